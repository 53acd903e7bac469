"""Features always or never in an autoencoder, groups of features, and weights."""

import numpy as np
import pandas as pd
import pytest
from autoencoder_helpers import SCHEDULES
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone

from skproj import (
    SparseSupervisedAutoencoder,
    SparseSupervisedAutoencoderCV,
    SparseSupervisedAutoencoderRegressor,
)
from skproj.linear_model._feature_structure import make_structure
from skproj.nn._training._column_groups import ColumnGroups
from skproj.nn._training._column_projection import ColumnProjection
from skproj.persistence import dump, load

N_FEATURES = 24
FORCED, NEVER = [5, 20], [0, 9]
PROJECTIONS = ["l12", "l1inf", "bilevel_l11", "bilevel_l1inf", "hoyer"]
FAST = {"hidden_layer_sizes": (10,), "max_epochs": 2, "random_state": 0}


def quick(**params):
    return SparseSupervisedAutoencoder(**{**FAST, "eta": 0.5, **params})


@pytest.fixture(scope="module")
def table():
    """Two classes; the first four features tell them apart, the others are noise."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    X = rng.standard_normal((60, N_FEATURES))
    X[:, :4] += 2.0 * y[:, np.newaxis]
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def same_model(model, other, X, other_X, columns):
    """Two models agree to the bit, of which one has only these columns."""
    assert_array_equal(model.feature_importances_[columns], other.feature_importances_)
    assert_array_equal(model.encoder_weights_[:, columns], other.encoder_weights_)
    assert_array_equal(model.predict_proba(X), other.predict_proba(other_X))
    assert model.eta_ == other.eta_


# Always and never


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("as_csr", [False, True])
def test_never_kept_columns_are_those_of_a_smaller_table(table, schedule, as_csr):
    """To the bit: the network, its selection and its predictions."""
    X, y = table
    columns = np.setdiff1d(np.arange(N_FEATURES), NEVER)
    small = X[:, columns]
    if as_csr:
        X, small = sparse.csr_array(X), sparse.csr_array(small)
    params = {"schedule": schedule}
    model = quick(never_keep=NEVER, **params).fit(X, y)
    other = quick(**params).fit(small, y)
    same_model(model, other, X, small, columns)
    assert not model.get_support()[NEVER].any()
    reconstruction = model.reconstruct(X)
    assert_array_equal(reconstruction[:, columns], other.reconstruct(small))
    assert not reconstruction[:, NEVER].any()


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_never_kept_columns_do_not_count_in_any_ball(table, projection):
    X, y = table
    columns = np.setdiff1d(np.arange(N_FEATURES), NEVER)
    params = {"projection": projection, "n_features_to_select": 3}
    model = quick(never_keep=NEVER, **params).fit(X, y)
    other = quick(**params).fit(X[:, columns], y)
    same_model(model, other, X, X[:, columns], columns)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_counts_are_exact_beside_what_is_always_kept(table, schedule):
    X, y = table
    model = quick(
        schedule=schedule, always_keep=FORCED, never_keep=NEVER, n_features_to_select=3
    ).fit(X, y)
    support = model.get_support()
    assert support[FORCED].all()
    assert not support[NEVER].any()
    assert model.n_selected_features_ == support.sum() == 5
    assert model.encoder_weights_[:, FORCED].any(axis=0).all()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_no_radius_removes_what_is_always_kept(table, schedule):
    """A tiny ball leaves nothing else; the columns are not in it."""
    X, y = table
    model = quick(schedule=schedule, always_keep=FORCED, eta=1e-9).fit(X, y)
    assert model.get_support()[FORCED].all()
    assert model.feature_importances_[FORCED].min() > 0.01
    others = np.delete(model.feature_importances_, FORCED)
    assert others.sum() <= 1.0001e-9


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_all_features_always_kept_are_those_of_an_infinite_radius(table, schedule):
    X, y = table
    model = quick(schedule=schedule, always_keep=np.ones(N_FEATURES, bool)).fit(X, y)
    assert model.get_support().all()
    if schedule != "consensus":  # these pass no other projection
        other = quick(schedule=schedule, eta=np.inf).fit(X, y)
        assert_array_equal(model.encoder_weights_, other.encoder_weights_)


@pytest.mark.parametrize(
    ("projection", "order"), [("l12", 2), ("bilevel_l1inf", np.inf)]
)
def test_the_radius_does_not_count_what_is_always_kept(table, projection, order):
    """After one training stage, the projection is that of the other columns."""
    X, y = table
    params = {"schedule": "single", "projection": projection}
    dense = quick(**params | {"eta": np.inf}).fit(X, y).encoder_weights_
    model = quick(**params, always_keep=FORCED).fit(X, y)
    others = np.setdiff1d(np.arange(N_FEATURES), FORCED)
    assert_array_equal(model.encoder_weights_[:, FORCED], dense[:, FORCED])
    norms = np.linalg.norm(model.encoder_weights_[:, others], ord=order, axis=0)
    assert norms.sum() == pytest.approx(0.5)
    assert_allclose(norms, model.feature_importances_[others], rtol=1e-12)


def test_constant_features_stay_if_they_are_always_kept(table):
    X, y = table
    X = X.copy()
    X[:, 5] = 0.0
    model = quick(always_keep=[5], n_features_to_select=2).fit(X, y)
    assert model.get_support()[5]
    assert model.n_selected_features_ == 3


def test_names_indices_and_masks_agree(table):
    X, y = table
    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(N_FEATURES)])
    by_name = quick(always_keep=["x20", "x5"], never_keep=["x0"]).fit(frame, y)
    mask = np.isin(np.arange(N_FEATURES), FORCED)
    by_mask = quick(always_keep=mask, never_keep=[0]).fit(X, y)
    assert_array_equal(by_name.encoder_weights_, by_mask.encoder_weights_)
    assert by_name.feature_names_in_[FORCED].tolist() == ["x5", "x20"]


def test_search_where_nothing_is_left_to_choose(table):
    X, y = table
    model = SparseSupervisedAutoencoderCV(
        **FAST, cv=3, always_keep=np.arange(N_FEATURES)
    ).fit(X, y)
    assert model.get_support().all()
    assert model.etas_.tolist() == [np.inf]


def test_search_keeps_and_leaves_out_features_in_all_folds(table):
    X, y = table
    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(N_FEATURES)])
    model = SparseSupervisedAutoencoderCV(
        **FAST, cv=3, always_keep=["x5"], never_keep=["x9"]
    ).fit(frame, y)
    assert_array_equal(model.selection_frequency_[[5, 9]], [1.0, 0.0])
    assert (model.importances_path_[:, 5] > 0.0).all()
    assert not model.importances_path_[:, 9].any()
    counts = np.count_nonzero(model.importances_path_, axis=1)
    assert_array_equal(counts, model.n_features_path_)


def test_parts_learn_with_the_same_features(table):
    X, y = table
    model = quick(always_keep=FORCED, never_keep=NEVER, n_features_to_select=2)
    columns = np.setdiff1d(np.arange(N_FEATURES), NEVER)
    other = quick(always_keep=np.searchsorted(columns, FORCED), n_features_to_select=2)
    for rows in (slice(0, 30), slice(30, 60)):
        model.partial_fit(X[rows], y[rows], classes=[0, 1])
        other.partial_fit(X[rows][:, columns], y[rows], classes=[0, 1])
        assert model.n_selected_features_ == 4
    same_model(model, other, X, X[:, columns], columns)
    model.set_params(never_keep=[1])
    with pytest.raises(ValueError, match="partial_fit also its never_keep"):
        model.partial_fit(X, y)


def test_saved_and_compact_models(table, tmp_path):
    X, y = table
    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(N_FEATURES)])
    model = quick(
        always_keep=["x5"],
        never_keep=["x0"],
        feature_groups={"a": ["x1", "x2"], "b": ["x2", "x7", "x8"]},
        feature_weights=np.linspace(0.5, 1.5, N_FEATURES),
        n_features_to_select=4,
    ).fit(frame, y)
    dump(model, tmp_path / "model.skops")
    loaded = load(tmp_path / "model.skops")
    assert_array_equal(loaded.predict_proba(frame), model.predict_proba(frame))
    assert loaded.get_params()["always_keep"] == ["x5"]
    small, kept = model.compact(), model.get_support(indices=True)
    assert_allclose(
        small.predict_proba(frame.iloc[:, kept]), model.predict_proba(frame)
    )
    assert kept[small.always_keep].tolist() == [5]
    assert_array_equal(small.feature_weights, model.feature_weights[kept])
    clone(small).fit(X[:, kept], y)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"always_keep": [N_FEATURES]}, "always_keep must have indices from 0 to 23"),
        ({"never_keep": ["x1"]}, "never_keep must have indices, because X has no"),
        ({"always_keep": [1], "never_keep": [1]}, "got 1 in both"),
        ({"never_keep": np.ones(N_FEATURES, bool)}, "must leave a feature, got all 24"),
        ({"feature_weights": np.zeros(N_FEATURES)}, "use always_keep"),
        (
            {"feature_weights": [1e-30] * N_FEATURES},
            "must be from 1e-12 to 1e.12, or infinite, got 1e-30",
        ),
        ({"feature_groups": [0, 1]}, "must have a label"),
        ({"feature_groups": [[0, 1]], "projection": "l1"}, "got projection='l1'"),
    ],
)
def test_refusals(table, params, message):
    X, y = table
    with pytest.raises(ValueError, match=message):
        quick(**params).fit(X, y)


def test_more_features_than_the_ball_has_are_all(table):
    model = quick(always_keep=[1], n_features_to_select=N_FEATURES)
    with pytest.warns(UserWarning, match="to choose from, 23: all of them are taken"):
        model.fit(*table)
    assert model.get_support().all()


# Groups


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_groups_of_one_feature_are_no_groups(table, schedule):
    X, y = table
    model = quick(schedule=schedule, feature_groups=np.arange(N_FEATURES)).fit(X, y)
    other = quick(schedule=schedule).fit(X, y)
    assert_array_equal(model.encoder_weights_, other.encoder_weights_)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("sizes", [(4,) * 6, (2, 3, 4, 5, 10)])
def test_counts_are_met_by_whole_groups(table, schedule, sizes):
    """Equal sizes and different ones; together they have at most as many features."""
    X, y = table
    labels = np.repeat(np.arange(len(sizes)), sizes)
    for wanted in (1, 9):
        model = quick(
            schedule=schedule, feature_groups=labels, n_features_to_select=wanted
        ).fit(X, y)
        support = model.get_support()
        whole = [len(set(support[labels == label])) == 1 for label in range(len(sizes))]
        assert all(whole)
        n_groups = len(set(labels[support]))
        assert n_groups == 1 or support.sum() <= wanted
        if sizes[0] == 4:
            assert support.sum() == max(4, 4 * (wanted // 4))


@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("groups", [[[0, 1, 2], [6, 7], [8, 9, 10, 11]], [[0, 9]] * 1])
def test_groups_in_every_ball(table, projection, groups):
    X, y = table
    model = quick(projection=projection, feature_groups=groups, n_features_to_select=5)
    support = model.fit(X, y).get_support()
    assert all(len(set(support[group])) == 1 for group in groups)
    assert 1 <= support.sum() <= 5


@pytest.mark.parametrize("schedule", ["consensus", "single"])
def test_one_group_of_all_features_stays_or_goes(table, schedule):
    X, y = table
    params = {"schedule": schedule, "feature_groups": np.zeros(N_FEATURES, int)}
    assert quick(**params, n_features_to_select=1).fit(X, y).get_support().all()
    with pytest.warns(UserWarning, match="No feature was selected"):
        model = quick(**params, eta=1e-300).fit(X.astype("f4"), y)
    assert model.n_selected_features_ == 0


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_overlapping_groups_select_a_union_of_groups(table, schedule):
    """Also where one has all the features of others."""
    X, y = table
    groups = [[0, 1, 2], [2, 3], [3, 4, 5, 6], [4, 5], list(range(10, N_FEATURES))]
    for wanted in (3, 6):
        model = quick(
            schedule=schedule, feature_groups=groups, n_features_to_select=wanted
        ).fit(X, y)
        kept = set(model.get_support(indices=True).tolist())
        inside = map(set, [*groups, [7], [8], [9]])
        inside = [group for group in inside if kept >= group]
        assert kept == set().union(*inside)
    everything = [list(range(N_FEATURES)), [0, 1]]
    model = quick(schedule=schedule, feature_groups=everything, eta=1.0).fit(X, y)
    assert model.get_support(indices=True).tolist() in everything


def test_search_selects_whole_groups(table):
    X, y = table
    labels = np.repeat(np.arange(12), 2)
    model = SparseSupervisedAutoencoderCV(**FAST, cv=3, feature_groups=labels).fit(X, y)
    pairs = model.importances_path_.reshape(-1, 12, 2)
    assert_array_equal(pairs[..., 0], pairs[..., 1])
    frequency = model.selection_frequency_.reshape(12, 2)
    assert_array_equal(frequency[:, 0], frequency[:, 1])


# The projection


def projection_of(method="l12", n_features=6, **params):
    structure = make_structure(n_features, **params)
    return ColumnProjection(method, structure, n_threads=1)


def test_weighted_projection_is_that_of_the_weighted_ball():
    """The columns minimise the distance, under sum_j c_j |w_j| <= the radius it has."""
    rng = np.random.default_rng(0)
    W, weights = rng.standard_normal((3, 6)), rng.uniform(0.3, 3.0, 6)
    P = projection_of(feature_weights=weights).project(W, 1.5)
    left, norms = np.linalg.norm(P, axis=0), np.linalg.norm(W, axis=0)
    assert (left / weights).sum() == pytest.approx(1.5)
    # The optimal point: |p_j| = max(|w_j| - level c_j, 0) with one level for all.
    kept = left > 0.0
    level = ((norms - left) / weights)[kept]
    assert_allclose(level, level[0])
    assert np.all(norms[~kept] <= level[0] * weights[~kept] + 1e-12)
    assert_allclose(P[:, kept] / left[kept], W[:, kept] / norms[kept])


def test_grouped_projection_is_that_of_stacked_columns():
    rng = np.random.default_rng(1)
    W = rng.standard_normal((3, 6))
    for method in PROJECTIONS:
        eta = 0.5 if method == "hoyer" else 0.8
        P = projection_of(method, feature_groups=[0, 1, 0, 1, 0, 1]).project(W, eta)
        stacked = np.vstack([W[:, ::2].T.ravel(), W[:, 1::2].T.ravel()]).T
        expected = projection_of(method, 2).project(stacked / np.sqrt(3.0), eta)
        expected *= np.sqrt(3.0)
        assert_allclose(P[:, ::2].T.ravel(), expected[:, 0], atol=1e-12)
        assert_allclose(P[:, 1::2].T.ravel(), expected[:, 1], atol=1e-12)


def test_small_weights_are_selected_earlier(table):
    X, y = table
    weights = np.ones(N_FEATURES)
    weights[[15, 16]] = 1e-3
    model = quick(feature_weights=weights, n_features_to_select=2).fit(X, y)
    assert model.get_support(indices=True).tolist() == [15, 16]
    model = quick(feature_weights=weights / 1e9, n_features_to_select=2)
    model.fit(X.astype(np.float32), y)
    assert model.get_support(indices=True).tolist() == [15, 16]
    assert model.feature_importances_.dtype == np.float32
    weights[[15, 16]] = np.inf
    model = quick(feature_weights=weights).fit(X, y)
    other = quick(never_keep=[15, 16]).fit(X, y)
    assert_array_equal(model.encoder_weights_, other.encoder_weights_)


def test_prior_of_a_group_is_the_mean_of_its_features():
    structure = make_structure(5, feature_groups=[[0, 1], [2, 3]], always_keep=[3])
    groups = ColumnGroups.arrange(structure, None)
    shared = groups.share(np.array([[1.0, 7.0, 3.0, 9.0, 2.0]]))
    assert_allclose(shared, [[5.0, 5.0, 3.0, 1.0, 2.0]])


def test_regressor_takes_the_same_parameters(table):
    X, _ = table
    model = SparseSupervisedAutoencoderRegressor(
        **FAST,
        always_keep=[20],
        never_keep=[0],
        feature_groups=[[1, 2], [7, 8]],
        n_features_to_select=2,
    ).fit(X, X[:, 1] + X[:, 2] + 0.1 * X[:, 0])
    assert model.get_support()[20]
    assert not model.get_support()[0]
    assert model.n_selected_features_ in (2, 3)
