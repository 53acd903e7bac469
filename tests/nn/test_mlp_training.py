"""Sparse perceptrons: parts, early stopping, divergence, callbacks, steps."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from mlp_helpers import StopAfter, assert_same_network, quick
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.datasets import make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from skproj import SparseMLPRegressor
from skproj.nn._training._l1_training import remove_dead_ends
from skproj.nn._training._network import weights_of
from skproj.nn._training._optimizers import SGD, SOLVERS, Adam, Penalty
from skproj.nn._training._trainer import Trainer


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fit_learns_at_a_fixed_alpha(blobs, solver):
    """A stream makes weights zero, and alpha can change on the way."""
    X, y = blobs
    model = quick(solver=solver, alpha=5e-3)
    for _ in range(60):
        for rows in np.array_split(np.arange(len(X)), 3):
            model.partial_fit(X[rows], y[rows], classes=["a", "b", "c"])
    assert 0.2 < model.sparsity_ < 0.95
    assert model.alpha_ == 5e-3
    assert model.score(X, y) > 0.7
    assert model.n_iter_ == len(model.loss_curve_) == 180
    copied = pickle.loads(pickle.dumps(model)).partial_fit(X, y)
    assert_same_network(model.partial_fit(X, y), copied)
    before = model.sparsity_
    model.set_params(alpha=[0.1, 0.0])
    for _ in range(30):
        model.partial_fit(X, y)
    assert model.layer_sparsities_[0] > before


def test_partial_fit_goes_on_from_a_fit(blobs):
    """The first part does not undo what the fit found."""
    X, y = blobs
    model = quick(alpha=5e-3, max_epochs=100).fit(X, y)
    score, sparsity = model.score(X, y), model.sparsity_
    model.partial_fit(X, y)
    assert model.score(X, y) == pytest.approx(score, abs=0.03)
    assert model.sparsity_ == pytest.approx(sparsity, abs=0.2)


def test_partial_fit_needs_a_fixed_alpha(blobs):
    assert not hasattr(quick(), "partial_fit")
    with pytest.raises(AttributeError, match="partial_fit"):
        quick().partial_fit(*blobs)


def test_partial_fit_of_targets():
    X, y = make_regression(200, 10, n_informative=3, random_state=0)
    X = StandardScaler().fit_transform(X)
    model = quick(SparseMLPRegressor, alpha=1e-2, penalty="l12")
    for _ in range(100):
        model.partial_fit(X, y)
    assert model.score(X, y) > 0.9
    assert 0 < model.sparsity_ < 1


def test_same_seed_same_result_and_global_state_alone(blobs):
    X, y = blobs
    torch.manual_seed(0)
    state, n_threads = torch.get_rng_state(), torch.get_num_threads()
    one = quick(n_threads=2, alpha=0.02, max_epochs=2, batch_size=len(X)).fit(X, y)
    assert torch.get_num_threads() == n_threads
    assert torch.equal(torch.get_rng_state(), state)
    assert_same_network(one, clone(one).fit(X, y))
    other = clone(one).set_params(random_state=1).fit(X, y)
    assert not np.array_equal(one.coefs_[0], other.coefs_[0])


def test_early_stopping_ends_the_trainings_that_may_end(blobs):
    """Not the steps of the search, which all have the same length."""
    X, y = blobs
    model = quick(
        early_stopping=True, n_iter_no_change=2, max_epochs=200, alpha=1e-3
    ).fit(X, y)
    n_stoppable = len(model.validation_scores_)
    assert n_stoppable < 2 * 200
    assert model.n_iter_ == n_stoppable + 200
    assert model.best_validation_score_ in model.validation_scores_


def test_warm_start_continues_and_refuses_another_shape(blobs):
    X, y = blobs
    cold = quick(alpha=0.0, max_epochs=20).fit(X, y)
    warm = quick(alpha=0.0, max_epochs=20, warm_start=True).fit(X, y).fit(X, y)
    assert warm.loss_curve_[0] < 0.8 * cold.loss_curve_[0]
    with pytest.raises(ValueError, match="warm_start=True"):
        warm.set_params(hidden_layer_sizes=(3,)).fit(X, y)


def test_warm_start_trains_as_well_as_a_new_network(digits):
    """The tiny gradients of a trained network say nothing about the steps to take."""
    X, y = digits[0][:300], digits[2][:300]
    params = {"alpha": 0.01, "debias": False, "max_epochs": 40}
    cold = quick(**params).fit(X, y)
    warm = quick(alpha=0.0, max_epochs=100, warm_start=True).fit(X, y)
    warm.set_params(**params).fit(X, y)
    losses = [model.search_history_["loss"][0] for model in (warm, cold)]
    assert losses[0] < 1.2 * losses[1]


def test_diverging_training_is_repeated_with_half_the_learning_rate(blobs):
    """Again, until it does not diverge, and from the same start."""
    X, y = blobs[0] * 8.0, blobs[0][:, 0]
    # With this seed it does not diverge at an eighth.
    params = {"solver": "sgd", "alpha": 0.01, "random_state": 1, "max_epochs": 20}
    model = SparseMLPRegressor((20,), learning_rate_init=0.4, **params).fit(X, y)
    for n_halvings in (1, 2, 3):
        slow = SparseMLPRegressor(
            (20,), learning_rate_init=0.4 / 2**n_halvings, **params
        ).fit(X, y)
        assert_same_network(model, slow)
    assert np.isfinite(model.loss_curve_).all()


@pytest.mark.parametrize("n_stages", [1, 2, 3])
def test_each_training_may_diverge(blobs, monkeypatch, n_stages):
    """The dense one, a step of the search, the debiasing."""
    X, y = blobs
    expected = quick(alpha=0.02, max_epochs=5).fit(X, y)
    rates, train_stage = [], Trainer.train_stage

    def diverge_once(trainer, *args, **kwargs):
        rates.append(trainer.options.learning_rate_init)
        if len(rates) == n_stages:
            weights_of(trainer.module)[0].data.fill_(np.nan)
        return train_stage(trainer, *args, **kwargs)

    monkeypatch.setattr(Trainer, "train_stage", diverge_once)
    model = quick(alpha=0.02, max_epochs=5).fit(X, y)
    first = SOLVERS["adam"].default_learning_rate
    assert rates == [first] * n_stages + [first / 2] * (4 - n_stages)
    assert all(np.isfinite(coef).all() for coef in model.coefs_)
    assert_array_equal(
        model.loss_curve_[: 5 * (n_stages - 1)],
        expected.loss_curve_[: 5 * (n_stages - 1)],
    )
    assert len(model.loss_curve_) == 15


def test_error_of_a_callback_is_no_divergence(blobs):
    class Fail(StopAfter):
        n_calls = 0

        def on_fit_task_end(self, estimator, context):
            self.n_calls += 1
            raise ValueError("no disk left")

    fail = Fail("epoch", 1)
    with pytest.raises(ValueError, match="no disk left"):
        quick().set_callbacks(fail).fit(*blobs)
    assert fail.n_calls == 1


def test_callbacks_see_trainings_and_epochs(blobs, capsys):
    """The dense training, each step of the search, the debiasing."""
    X, y = blobs
    monitor = ScoringMonitor(scoring="accuracy")
    model = quick(max_epochs=10, sparsity_tol=0.2)
    model.set_callbacks(monitor, ProgressBar()).fit(X, y)
    log = monitor.get_logs(select="most_recent").data_as_pandas
    scores = log.loc[log["task_id_path"].map(len) == 3, "accuracy"]
    assert len(scores) == 10 * (2 + model.n_search_iter_)
    assert scores.between(0, 1).all()
    assert "100%" in capsys.readouterr().out


@pytest.mark.parametrize("n_stages", [1, 2])
def test_callback_can_end_the_search(blobs, n_stages):
    """What has been trained is trimmed to the sparsity asked for."""
    X, y = blobs
    model = quick(target_sparsity=0.9).set_callbacks(StopAfter("stage", n_stages))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    assert model.n_search_iter_ == n_stages - 1
    assert model.n_iter_ == 30 * n_stages
    assert model.sparsity_ >= 0.9


def test_verbose_prints_a_line_for_each_epoch(blobs, capsys):
    quick(verbose=True, max_epochs=4, alpha=1e-3).fit(*blobs)
    assert len(capsys.readouterr().out.splitlines()) == 12


@pytest.mark.parametrize("by_group", [False, True])
@pytest.mark.parametrize("solver", [SGD, Adam])
def test_steps_of_a_quadratic_end_at_its_soft_threshold(solver, by_group):
    """The fixed point depends neither on momentum nor on the metric of the steps."""
    alpha = 0.3
    target = torch.tensor([[1.0, -0.2, 0.25], [-2.0, 0.1, 0.1]], dtype=torch.float64)
    curvature = torch.tensor([[1.0, 4.0, 1.0], [1.0, 1.0, 1.0]], dtype=torch.float64)
    weight = torch.nn.Parameter(torch.ones_like(target))
    optimizer = solver([weight], 0.05, 0.0, Penalty((alpha,), by_group))
    with torch.no_grad():
        for i in range(3000):
            optimizer.learning_rate = 0.05 * (1 - i / 3000)
            weight.grad = curvature * (weight - target)
            optimizer.step()
        gradient = curvature * (weight - target)
    violation = optimizer.penalty.violation(weight.detach(), gradient, alpha)
    assert violation.max() < 1e-3
    assert weight[:, 2].eq(0).all()
    assert weight[0, 0] > 0.5
    if not by_group:
        assert_allclose(weight[0, 1].item(), -0.2 + 0.3 / 4, atol=1e-3)


def test_weights_that_lead_nowhere_are_not_left():
    """A unit that feeds nothing gets nothing, unless its layer has no penalty."""
    sizes = [2, 3, 2, 1]
    module = torch.nn.Sequential(*map(torch.nn.Linear, sizes, sizes[1:]))
    first, second, third = (layer.weight.detach() for layer in module)
    second[:, 0] = 0.0
    third[:, 1] = 0.0
    inputs = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    before = module(inputs)
    remove_dead_ends(module, (0.0, 0.1, 0.1))
    assert first.all()
    assert second.any(dim=1).tolist() == [True, False]
    remove_dead_ends(module, (0.1, 0.1, 0.1))
    assert first.any(dim=1).tolist() == [False, True, True]
    assert torch.equal(module(inputs), before)
