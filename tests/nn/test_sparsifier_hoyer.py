"""Group sparse projection in a training loop: the rows of the source paper."""

from functools import partial

import numpy as np
import pytest
import torch
from sparsify_helpers import make_problem
from torch import nn
from torch.nn import functional as F

from skproj.nn import Sparsifier
from skproj.nn._sparsify._blocks import targeted_weights
from skproj.nn._sparsify._hoyer import LEVEL, project_block
from skproj.nn._training._trainer import learning_rate_factor
from skproj.projection import hoyer_sparsity, projection_hoyer

# Masks of `single_shot` and of `sparsify(method="hoyer")`, which were removed, for the
# network below: bits of the weights, layer after layer.
SINGLE_SHOT = {
    0.5: "be189bccccf3a4cab237b553f7f65648063e739beaa15b93c94a8a208f01f0fa2060dcf3430e"
    "70367fa64281636de940",
    0.8: "981088cc4070804800070013139004400222401040015100c1000820830110182060c412030c"
    "000040a4000101296100",
    0.95: "10008800401080400000000012000000002000100000400000000800010000000040000201"
    "0000000080000100090000",
}
PERIODIC = (
    "981088cc407080480007869213900440022040104001510081000820830110082060c402030c000040"
    "a4000113294100"
)


def make_network():
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(24, 12),
        nn.ReLU(),
        nn.Linear(12, 3),
    )
    random = np.random.RandomState(0)
    with torch.no_grad():
        for W in model.parameters():
            values = random.normal(size=W.shape) / np.sqrt(W[0].numel())
            W.copy_(torch.from_numpy(values))
    return model


def layers_of(model):
    return [layer for layer in model if hasattr(layer, "weight")]


def bits_of(model):
    mask = [layer.weight.detach().numpy().ravel() != 0 for layer in layers_of(model)]
    return np.packbits(np.concatenate(mask)).tobytes().hex()


def train(model, make_sparsifier, n_epochs=9):
    random = np.random.RandomState(1)
    X = torch.from_numpy(random.normal(size=(60, 1, 4, 4))).float()
    y = (X.mean((1, 2, 3)) > 0).long()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    n_steps = 3 * n_epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, n_steps)
    )
    with make_sparsifier(model, optimizer, n_steps=n_steps) as sparsifier:
        for _ in range(n_epochs):
            for i in (0, 20, 40):
                optimizer.zero_grad()
                F.cross_entropy(model(X[i : i + 20]), y[i : i + 20]).backward()
                optimizer.step()
                schedule.step()
                yield sparsifier


@pytest.mark.parametrize("target", SINGLE_SHOT)
def test_single_shot(target):
    """The zeros are those of the trained network, and stay."""
    model = make_network()
    make = partial(Sparsifier, target=target, score="hoyer")
    n_kept = bin(int(SINGLE_SHOT[target], 16)).count("1")
    assert n_kept == max(round((1 - target) * 378), 21)  # one of each filter
    for sparsifier in train(model, make):
        assert bits_of(model) == SINGLE_SHOT[target]
        assert sum(int(mask.sum()) for mask in sparsifier.masks.values()) == n_kept
    assert not torch.equal(model[0].weight, make_network()[0].weight)


def test_periodic_projection():
    model = make_network()
    shares = [
        sparsifier.sparsity()
        for sparsifier in train(
            model, partial(Sparsifier, target=0.8, score="hoyer", every=3)
        )
    ]
    assert bits_of(model) == PERIODIC
    n_nonzero = [378 - round(378 * share) for share in shares]
    # After each epoch of the ramp, and at its end.
    assert n_nonzero[2:18:3] == [79, 105, 106, 106, 105, 106]
    assert n_nonzero[18:] == [76] * 9
    assert min(n_nonzero[::3][1:6]) > 200  # weights return at once


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_projection_of_layers_is_that_of_arrays(dtype):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(9, 7), nn.ConvTranspose1d(6, 4, 3, groups=2))
    (block,) = targeted_weights(model.to(dtype), 0.9)
    W, V = (W.detach().double().numpy() for W in block.weights)
    filters = np.concatenate(
        [V[:3].transpose(1, 0, 2).reshape(2, 9), V[3:].transpose(1, 0, 2).reshape(2, 9)]
    )
    projected = [P.double().numpy() for P in project_block(block, 0.6)]
    P = projection_hoyer(W, 0.6, axis=1)
    np.testing.assert_allclose(projected[0], P, rtol=1e-5, atol=1e-6)
    P = projection_hoyer(filters, 0.6, axis=1).reshape(2, 2, 3, 3)
    expected = P.transpose(0, 2, 1, 3).reshape(6, 2, 3)
    np.testing.assert_allclose(projected[1], expected, rtol=1e-5, atol=1e-6)
    assert hoyer_sparsity(projected[0], axis=1).mean() == pytest.approx(0.6, rel=1e-4)


def test_a_level_leaves_no_fewer_weights_than_wanted():
    (block,) = targeted_weights(make_network(), 0.1)
    n_nonzero = sum(int(P.count_nonzero()) for P in project_block(block, LEVEL))
    assert n_nonzero == block.n_kept == 340


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"score": "best"}, ValueError, "score must be one of 'balanced', 'hoyer'"),
        ({"every": 3}, ValueError, "every must be None for score='balanced', got 3"),
        ({"score": "hoyer", "every": 0}, ValueError, "every == 0, must be >= 1"),
        ({"score": "hoyer", "every": 1.5}, TypeError, "every must be an instance of"),
        ({"score": "hoyer", "target": "2:4"}, ValueError, "target must be a share for"),
    ],
)
def test_refusals(options, error, message):
    model, _ = make_problem()
    before = [W.detach().clone() for W in model.parameters()]
    optimizer = torch.optim.Adam(model.parameters())
    with pytest.raises(error, match=message):
        Sparsifier(model, optimizer, n_steps=10, **options)
    assert all(map(torch.equal, model.parameters(), before))


@pytest.mark.parametrize("every", [None, 2])
def test_resumed_training_has_the_same_result(every):
    results = []
    for place in (None, 5, 23):
        model = make_network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        make = partial(Sparsifier, target=0.8, n_steps=30, score="hoyer", every=every)
        sparsifier = make(model, optimizer)
        for step in range(30):
            if step == place:
                state = sparsifier.state_dict()
                sparsifier.remove()
                weights = {k: W.clone() for k, W in model.state_dict().items()}
                sparsifier = make(model, optimizer)
                model.load_state_dict(weights)
                sparsifier.load_state_dict(state)
            optimizer.zero_grad()
            model(torch.ones(1, 1, 4, 4)).square().sum().backward()
            optimizer.step()
        sparsifier.finalize()
        results.append([W.detach().clone() for W in model.parameters()])
    for other in results[1:]:
        assert all(map(torch.equal, results[0], other))
