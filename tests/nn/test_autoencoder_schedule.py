"""SparseSupervisedAutoencoder: paths, numbers of features, Hoyer projection."""

import itertools

import numpy as np
import pytest
from autoencoder_helpers import (
    SCHEDULES,
    SMALL,
    assert_same_model,
    clip_columns,
    quick,
)
from numpy.testing import assert_array_equal
from sklearn.base import clone

from skproj.linear_model._feature_structure import FeatureStructure
from skproj.nn._training._column_projection import ColumnProjection
from skproj.nn._training._consensus import draw_parts
from skproj.nn._training._schedule import SparsityTarget
from skproj.projection import hoyer_sparsity
from skproj.projection._registry import SPARSIFYING


def walk(model, X, y, etas=None):
    """Yield a fitted model for each radius of one run from dense to sparse."""
    X, y = model._validate_data(X, y)
    context = model._init_callback_context(max_subtasks=None)
    problem, trainer = model._prepare(X, y, None, context)
    parts = draw_parts(trainer, stratify=True)
    targets = etas and [SparsityTarget(eta=eta) for eta in etas]
    for stage in model._consensus().run(trainer, targets, parts):
        result, *_ = stage.refine(model._schedule().final_noise)
        state = model._fitted_state(problem, result.trainer, result)
        fitted = clone(model)
        fitted.n_features_in_ = X.shape[1]
        fitted._set_state(state)
        fitted._fit_decoder(trainer.data)
        yield fitted


def test_a_fit_equals_the_outcome_of_the_path_at_its_radius(wide):
    """Decreasing radii, fewer and fewer features, each what a fit of its own gives."""
    X, y = wide
    model = quick(random_state=1, **SMALL)
    path = list(walk(clone(model), X, y))
    etas = np.array([stop.eta_ for stop in path])
    counts = [stop.n_selected_features_ for stop in path]
    assert len(path) > 5
    assert np.all(np.diff(etas) < 0)
    assert counts == sorted(counts, reverse=True)
    for stop in path[::4]:
        assert_same_model(clone(model).set_params(eta=stop.eta_).fit(X, y), stop, X)


def test_a_fit_equals_the_result_of_a_run_with_several_targets(wide):
    """What a run passes on its way does not change where it gets."""
    X, y = wide
    model = quick(**SMALL)
    etas = [np.inf, 20.0, 3.0, 2.9, 0.5, 1e-3]
    for eta, stop in zip(etas, walk(clone(model), X, y, etas), strict=True):
        assert_same_model(clone(model).set_params(eta=eta).fit(X, y), stop, X)


def test_a_larger_eta_is_the_same_run_stopped_earlier(wide):
    """Until its last projection, the history is that of any smaller radius."""
    X, y = wide
    sparse, dense = (quick(eta=eta, **SMALL).fit(X, y) for eta in (0.5, 3.0))
    # There are two stages after the last projection.
    shared = dense.n_iter_ - 2 * SMALL["max_epochs"]
    assert 0 < shared < sparse.n_iter_
    assert dense.loss_curve_[:shared] == sparse.loss_curve_[:shared]
    assert set(sparse.get_support(indices=True)) < set(dense.get_support(indices=True))


@pytest.mark.parametrize(
    ("projection", "k"),
    [*((ball, 7) for ball in [*SPARSIFYING, clip_columns])]
    + [*itertools.product(["l12", clip_columns], [1, 49, 50])],
)
def test_n_features_to_select_is_exact(wide, projection, k):
    """Every ball, and a callable, keeps the number that was asked for."""
    X, y = wide
    for schedule in ("consensus", "double"):
        model = quick(
            projection=projection, n_features_to_select=k, schedule=schedule, **SMALL
        ).fit(X, y)
        assert model.n_selected_features_ == model.get_support().sum() == k
        assert len(model.module_.encoder[0].weight.T) == k


@pytest.mark.parametrize(
    "projection",
    [
        "l12",
        pytest.param(lambda W, radius, axis: W, id="keeps all"),
        pytest.param(lambda W, r, axis: np.sign(W) * min(r, 1.0), id="ties all"),
    ],
)
def test_n_features_to_select_is_exact_where_columns_are_tied(wide, projection):
    """Twins, constant columns and projections that tell no column from another."""
    X, y = wide
    X = np.c_[X[:, :10], X[:, :10], np.zeros((len(X), 10), dtype=X.dtype)]
    model = quick(projection=projection, n_features_to_select=3, **SMALL).fit(X, y)
    assert model.n_selected_features_ == 3


def test_n_features_to_select_that_cannot_be_reached(wide):
    """More than there are, or than is kept, is a warning to the caller."""
    X, y = wide

    def at_most_two(W, radius, axis):
        return np.where(np.arange(W.shape[1]) < min(2, radius), W, 0.0)

    with pytest.warns(UserWarning, match="n_features_to_select=51 .*, 50: all") as log:
        model = quick(n_features_to_select=51).fit(X, y)
    assert len(log) == 1
    assert log[0].filename == __file__
    assert model.n_selected_features_ == 50
    model.set_params(n_features_to_select=49, never_keep=[3, 4], always_keep=[0])
    with pytest.warns(UserWarning, match="n_features_to_select=49 .*, 47: all"):
        model.fit(X, y)
    assert model.n_selected_features_ == 48
    with pytest.warns(
        UserWarning, match="Only 2 features.*n_features_to_select=3"
    ) as w:
        model = quick(n_features_to_select=3, projection=at_most_two).fit(X, y)
    assert w[0].filename == __file__
    assert_array_equal(model.get_support(indices=True), [0, 1])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_hoyer_projection_takes_eta_as_a_sparsity(wide, schedule):
    """The norms of the columns, removed ones included, have it."""
    X, y = wide
    params = {"projection": "hoyer", "schedule": schedule, "eta": 0.8}
    model = quick(**params).fit(X, y)
    assert model.eta_ == 0.8
    assert hoyer_sparsity(model.feature_importances_) == pytest.approx(0.8, abs=1e-7)
    removed = ~model.get_support()
    assert 0 < np.count_nonzero(removed) < len(removed)
    assert not model.encoder_weights_[:, removed].any()
    sparser = quick(**{**params, "eta": 0.95}).fit(X, y)
    assert sparser.n_selected_features_ < model.n_selected_features_


def test_hoyer_projection_of_parts_and_for_a_number_of_features(wide):
    """`partial_fit` keeps the sparsity; a number of features leads to one."""
    X, y = wide
    model = quick(projection="hoyer", eta=0.9)
    for _ in range(3):
        model.partial_fit(X, y, classes=np.unique(y))
        level = hoyer_sparsity(model.feature_importances_)
        assert level == pytest.approx(0.9, abs=1e-7)
    model = quick(projection="hoyer", n_features_to_select=7).fit(X, y)
    assert model.n_selected_features_ == 7
    level = hoyer_sparsity(model.feature_importances_)
    assert level == pytest.approx(model.eta_, abs=1e-7)


def test_hoyer_sparsity_with_equal_norms():
    """At least as many columns stay as were asked for, and all of the tied ones."""
    projection = ColumnProjection("hoyer", FeatureStructure(6), n_threads=1)
    W = np.array([[3.0, 1.0, -1.0, 1.0, 0.5]])
    for wanted, left in ((1, 1), (2, 4), (3, 4), (4, 4), (5, 5)):
        P = projection.project(W, projection.eta_for(W, wanted))
        assert np.count_nonzero(P) == left
    assert_array_equal(projection.project(W, projection.densest), W)


@pytest.mark.parametrize("method", [*SPARSIFYING, "hoyer", clip_columns])
def test_density_is_larger_where_more_columns_are_kept(method):
    """Whether `eta` is a radius or a sparsity, also at both ends."""
    projection = ColumnProjection(method, FeatureStructure(6), n_threads=1)
    W = np.random.default_rng(0).normal(size=(4, 6))
    etas = [projection.eta_for(W, k) for k in range(7)]
    assert (etas[0], etas[-1]) == (projection.sparsest, projection.densest)
    first, *others = np.diff([projection.density(eta) for eta in etas])
    assert first >= 0.0  # a sparsity of 1 keeps one column
    assert np.all(np.array(others) > 0.0)


def test_hoyer_sparsity_above_one_is_refused(wide):
    """The default of `eta` is meant for balls."""
    with pytest.raises(ValueError, match="eta is a sparsity and must be at most 1"):
        quick(projection="hoyer", eta=10.0).fit(*wide)
