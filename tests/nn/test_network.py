"""Explicit gradients of networks against autograd, and the decay of the rates."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from skproj import SparseMLPClassifier, SparseSupervisedAutoencoder
from skproj.nn import SparsificationSchedule
from skproj.nn._training._network import ACTIVATIONS, Autoencoder, make_mlp
from skproj.nn._training._objectives import REGRESSION_LOSSES, Objective, cross_entropy
from skproj.nn._training._optimizers import Adam, Penalty
from skproj.nn._training._trainer import Trainer, TrainingOptions

AUTOGRAD_LOSSES = {
    "squared_error": torch.nn.functional.mse_loss,
    "huber": torch.nn.functional.huber_loss,
}


def network(sizes, activation, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    make = {"dtype": dtype, "generator": generator}
    encoder = make_mlp(sizes, activation, **make)
    return Autoencoder(encoder, make_mlp(sizes[::-1], activation, **make))


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    X = 2.0 * torch.randn(30, 7, dtype=torch.float64, generator=generator)
    X_seen = X + torch.randn(30, 7, dtype=torch.float64, generator=generator)
    weight = torch.rand(30, dtype=torch.float64, generator=generator)
    return X_seen, X, weight


@pytest.mark.parametrize("sizes", [(7, 3), (7, 5, 3), (7, 6, 5, 3)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("reconstruction", REGRESSION_LOSSES)
@pytest.mark.parametrize("prediction", ["cross_entropy", *REGRESSION_LOSSES])
@pytest.mark.parametrize("share", [0.0, 0.4])
def test_gradients_equal_those_of_autograd(
    batch, sizes, activation, reconstruction, prediction, share
):
    """Every layer, activation and loss."""
    X_seen, X, weight = batch
    module = network(sizes, activation)
    latent = module.encoder(X_seen)
    if prediction == "cross_entropy":
        y, loss = torch.arange(30) % 3, cross_entropy
        losses = torch.nn.functional.cross_entropy(latent, y, reduction="none")
    else:
        y, loss = X[:, :3].flip(0), REGRESSION_LOSSES[prediction]
        losses = AUTOGRAD_LOSSES[prediction](latent, y, reduction="none").sum(dim=1)
    if share:
        errors = AUTOGRAD_LOSSES[reconstruction](
            module.decoder(latent), X, reduction="none"
        )
        losses = losses + share * errors.mean(dim=1)
    expected_losses = losses * weight
    expected_losses.mean().backward()
    expected = {name: p.grad for name, p in module.named_parameters()}
    module.zero_grad(set_to_none=True)

    objective = Objective(loss, REGRESSION_LOSSES[reconstruction], share)
    with torch.no_grad():
        losses = objective.backward(module, X_seen, X, y, weight)
    torch.testing.assert_close(losses, expected_losses.detach())
    for name, parameter in module.named_parameters():
        if expected[name] is None:
            assert parameter.grad is None
        else:
            torch.testing.assert_close(parameter.grad, expected[name])


@pytest.mark.parametrize("loss", [cross_entropy, *REGRESSION_LOSSES.values()])
def test_losses_without_noise_are_those_of_training(batch, loss):
    """Evaluation and training compute one thing."""
    _, X, weight = batch
    y = torch.arange(30) % 3 if loss is cross_entropy else X[:, :3]
    module = network((7, 5, 3), "tanh")
    objective = Objective(loss, REGRESSION_LOSSES["huber"], 0.3)
    with torch.no_grad():
        losses = objective.backward(module, X, X, y, weight)
        torch.testing.assert_close(objective.losses(module, X, y) * weight, losses)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_adam_takes_the_steps_of_torch(weight_decay):
    """The same trajectory as `torch.optim.AdamW`."""
    ours, theirs = (
        [torch.nn.Parameter(torch.linspace(-1, 1, 6).reshape(2, 3))] for _ in range(2)
    )
    optimizer = Adam(ours, 0.05, weight_decay)
    reference = torch.optim.AdamW(theirs, lr=0.05, weight_decay=weight_decay)
    for step in range(5):
        gradient = torch.cos(torch.arange(6.0) * (step + 1)).reshape(2, 3)
        ours[0].grad, theirs[0].grad = gradient, gradient.clone()
        with torch.no_grad():
            optimizer.step()
        reference.step()
    torch.testing.assert_close(ours[0], theirs[0])
    assert not np.allclose(ours[0].detach(), np.linspace(-1, 1, 6).reshape(2, 3))


def rates_of_epochs(monkeypatch, fit):
    """Return the learning rates of all epochs of a fit."""
    rates = []
    train_epoch = Trainer.train_epoch

    def spy(self, optimizer, **options):
        rates.append(optimizer.learning_rate)
        train_epoch(self, optimizer, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_epoch", spy)
        fit()
    return np.array(rates)


def test_perceptrons_anneal_and_autoencoders_do_not(monkeypatch):
    """A part of a stream does not know how many follow: its rate is constant."""
    X = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    settings = {"max_epochs": 4, "random_state": 0}
    mlp = SparseMLPClassifier(alpha=1e-3, learning_rate_init=0.01, **settings)
    rates = rates_of_epochs(monkeypatch, lambda: mlp.fit(X, y))
    falling = 0.005 * (1 + np.cos(np.pi * np.arange(4) / 4))
    np.testing.assert_allclose(rates, np.tile(falling, len(rates) // 4))
    for kind in ("consensus", "double", "single"):
        schedule = SparsificationSchedule(kind, learning_rate_init=0.01)
        model = SparseSupervisedAutoencoder(eta=1.0, schedule=schedule, **settings)
        rates = rates_of_epochs(monkeypatch, lambda model=model: model.fit(X, y))
        assert len(rates) >= 4
        np.testing.assert_allclose(rates, 0.01)
    for model in (mlp, SparseSupervisedAutoencoder(schedule=schedule, **settings)):
        rates = rates_of_epochs(
            monkeypatch,
            lambda model=model: model.partial_fit(X, y, classes=[0, 1]),
        )
        np.testing.assert_allclose(rates, [0.01])


def test_annealing_lowers_the_learning_rate_and_raises_the_penalty():
    """The penalty is whole after a third of the epochs, the rate falls to 0."""
    options = TrainingOptions(
        max_epochs=30,
        batch_size=8,
        learning_rate_init=0.2,
        verbose=False,
        penalty=Penalty((3.0, 6.0)),
        annealing=True,
    )
    module = torch.nn.Linear(2, 1)
    rates, parts = [], []
    for i in range(30):
        optimizer = options.make_optimizer(module)
        options.anneal(optimizer, i)
        rates.append(optimizer.learning_rate)
        parts.append(optimizer.penalty.alphas)
    np.testing.assert_allclose(rates, 0.1 * (1 + np.cos(np.pi * np.arange(30) / 30)))
    np.testing.assert_allclose(parts[0], [0.3, 0.6])
    np.testing.assert_allclose(parts[4], [1.5, 3.0])
    assert all(part == (3.0, 6.0) for part in parts[9:])
    constant = replace(options, annealing=False)
    optimizer = constant.make_optimizer(module)
    constant.anneal(optimizer, 20)
    assert optimizer.learning_rate == 0.2
    assert optimizer.penalty.alphas == (3.0, 6.0)
