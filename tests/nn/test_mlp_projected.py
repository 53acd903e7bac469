"""Sparse perceptrons whose smallest weights are removed: method="projected"."""

import pickle
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from mlp_helpers import StopAfter, assert_same_network
from mlp_helpers import quick as quick_by_l1
from numpy.testing import assert_allclose, assert_array_equal

from skproj import SparseMLPClassifier, SparseMLPRegressor
from skproj.nn._removal_training import PerceptronRemoval, idle_weights
from skproj.nn._training._network import make_mlp, weights_of
from skproj.nn._training._trainer import Trainer

quick = partial(quick_by_l1, method="projected")
BY_SEARCH = "alpha_", "search_history_", "n_search_iter_"


def counts_of(model):
    return [np.count_nonzero(coef) for coef in model.coefs_]


def targets_of(blobs, kind):
    """Return an estimator and the targets of a task."""
    X, y = blobs
    return {
        "multiclass": (SparseMLPClassifier, y),
        "binary": (SparseMLPClassifier, y == "a"),
        "regression": (SparseMLPRegressor, X[:, 0] * X[:, 1]),
        "two targets": (SparseMLPRegressor, X[:, :2] ** 2),
    }[kind]


TASKS = ["multiclass", "binary", "regression", "two targets"]


@pytest.mark.parametrize(
    ("task", "sparsity", "solver"),
    [
        *(("multiclass", share, "adam") for share in (0.0, 0.3, 0.97, 1.0)),
        *((task, 0.9, "sgd") for task in TASKS),
    ],
)
def test_number_of_weights_is_exact(blobs, task, sparsity, solver):
    cls, y = targets_of(blobs, task)
    model = quick(
        cls, target_sparsity=sparsity, solver=solver, hidden_layer_sizes=(12, 8)
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The network is constant")
        model.fit(blobs[0], y)
    total = sum(coef.size for coef in model.coefs_)
    assert sum(counts_of(model)) == round((1 - sparsity) * total)
    assert model.sparsity_ == pytest.approx(1 - sum(counts_of(model)) / total)
    assert model.n_iter_ == len(model.loss_curve_) == 60
    assert model.predict(blobs[0]).shape == y.shape


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ([0.8, 0.5], [40, 30]),
        ([0.99, 0.0], [2, 60]),
        ([0.0, 0.9], [200, 6]),
        ([1.0, 0.5], [0, 30]),
    ],
)
def test_number_of_weights_of_each_layer_is_exact(blobs, target, expected):
    """Also where weights without effect are needed for it."""
    model = quick(target_sparsity=target).fit(*blobs)
    assert counts_of(model) == expected


@pytest.mark.slow
def test_digits_at_a_sparsity_as_accurate_as_dense(digits):
    X, X_test, y, y_test = digits
    params = {"hidden_layer_sizes": (64, 32), "random_state": 0}
    dense = SparseMLPClassifier(alpha=0.0, **params).fit(X, y)
    model = SparseMLPClassifier(method="projected", **params).fit(X, y)
    assert model.score(X_test, y_test) > dense.score(X_test, y_test) - 0.01


def test_number_is_reached_little_by_little_and_zeros_are_settled_late(
    blobs, monkeypatch
):
    """With the schedule of `Sparsifier`."""
    counts, train_epoch = [], Trainer.train_epoch

    def spy(trainer, optimizer, **options):
        train_epoch(trainer, optimizer, **options)
        counts.append([weight != 0 for weight in weights_of(trainer.module)])

    monkeypatch.setattr(Trainer, "train_epoch", spy)
    quick(target_sparsity=0.9).fit(*blobs)
    n_left = np.array([sum(int(mask.sum()) for mask in masks) for masks in counts])
    assert_array_equal(n_left[:30], 260)
    assert 26 < n_left[35] < n_left[32] < 260
    for masks in counts[54:]:
        assert all(map(torch.equal, masks, counts[-1]))
    assert n_left[-1] == 26


def test_the_largest_weights_are_kept():
    """Where all of them have an effect."""
    module = make_mlp((10, 3), "relu", dtype=torch.float32, generator=torch.Generator())
    removal = PerceptronRemoval(module, np.array(6), 10)
    expected = module[0].weight.detach().abs().flatten().topk(6).indices.sort().values
    removal.finalize()
    found = module[0].weight.detach().flatten().nonzero().flatten()
    assert torch.equal(found, expected)


def test_early_stopping_waits_until_the_zeros_are_settled(blobs):
    """It then ends with the best weights of those epochs; the number is exact."""
    model = quick(early_stopping=True, n_iter_no_change=2, max_epochs=100, tol=0.5)
    model.fit(*blobs)
    assert model.n_iter_ == len(model.validation_scores_)
    n_dense = 3  # one epoch of progress, two without
    assert model.n_iter_ == n_dense + 50 + 2
    assert model.best_validation_score_ == max(model.validation_scores_[-3:])
    assert sum(counts_of(model)) == 78


@pytest.mark.parametrize("n_stages", [1, 2])
def test_callback_can_end_the_training(blobs, n_stages):
    """The number of weights is the one wanted all the same."""
    n_epochs = 5 if n_stages == 1 else 33
    model = quick().set_callbacks(StopAfter("epoch", n_epochs)).fit(*blobs)
    assert model.n_iter_ == n_epochs
    assert sum(counts_of(model)) == 78


def test_training_that_diverges_is_repeated_with_half_the_learning_rate(
    blobs, monkeypatch
):
    expected = quick(max_epochs=10).fit(*blobs)
    rates, train_stage = [], Trainer.train_stage

    def diverge_once(trainer, **options):
        rates.append(trainer.options.learning_rate_init)
        if len(rates) == 2:
            weights_of(trainer.module)[0].data.fill_(np.nan)
        return train_stage(trainer, **options)

    monkeypatch.setattr(Trainer, "train_stage", diverge_once)
    model = quick(max_epochs=10).fit(*blobs)
    assert rates == [0.004, 0.004, 0.002]
    assert model.loss_curve_[:10] == expected.loss_curve_[:10]
    assert sum(counts_of(model)) == 78


def test_attributes_of_the_search_are_those_of_the_last_fit(blobs):
    model = quick_by_l1(alpha=0.01).fit(*blobs)
    assert all(hasattr(model, name) for name in BY_SEARCH)
    model.set_params(method="projected", alpha=None).fit(*blobs)
    assert not any(hasattr(model, name) for name in BY_SEARCH)
    assert_same_network(pickle.loads(pickle.dumps(model)), model)


def test_what_needs_a_penalty_is_refused_in_a_sentence(blobs):
    message = "method must be 'l1' for penalty='l12', got 'projected'"
    with pytest.raises(ValueError, match=message):
        quick(penalty="l12").fit(*blobs)
    with pytest.raises(ValueError, match="'method' parameter"):
        quick_by_l1(method="hoyer").fit(*blobs)
    assert not hasattr(quick(alpha=0.1), "partial_fit")
    with pytest.raises(AttributeError, match="partial_fit"):
        quick(alpha=0.1).partial_fit(*blobs)


def test_settings_of_the_search_are_ignored(blobs):
    """As scikit-learn ignores those of another solver."""
    model = quick().fit(*blobs)
    other = quick(
        alpha=0.1, sparsity_tol=0.5, max_search_iter=1, trim=False, debias=False
    )
    assert_same_network(model, other.fit(*blobs))


def test_weights_without_effect():
    """Into a unit that feeds nothing, and out of one that nothing feeds."""
    first = torch.ones(4, 2, dtype=torch.bool)
    second = torch.ones(3, 4, dtype=torch.bool)
    third = torch.ones(1, 3, dtype=torch.bool)
    second[:, 1] = False  # the second unit of the first layer feeds nothing,
    first[3] = False  # nothing feeds the last one,
    third[0, 0] = False  # and the first one of the second layer feeds nothing.
    idle = idle_weights([first, second, third])
    assert idle[0].nonzero().tolist() == [[1, 0], [1, 1]]
    expected = [[0, 0], [0, 2], [0, 3], [1, 3], [2, 3]]
    assert idle[1].nonzero().tolist() == expected
    assert not idle[2].any()


def test_weights_without_effect_give_their_places_to_others(digits):
    """Few weights are left, and all of them have an effect."""
    X, _, y, _ = digits
    model = quick(target_sparsity=0.98, hidden_layer_sizes=(40, 40)).fit(X, y)
    masks = [torch.from_numpy(coef.T != 0) for coef in model.coefs_]
    assert sum(map(int, map(torch.sum, masks))) == round(0.02 * (64 + 40 + 10) * 40)
    assert not any(mask.any() for mask in idle_weights(masks))
    assert_allclose(model.predict_proba(X).sum(axis=1), 1.0, rtol=1e-5)
