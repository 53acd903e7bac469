"""The selector on data in blocks of rows, against the fit in memory."""

import numpy as np
import pytest
from blocks_helpers import (
    N_FEATURES,
    N_SAMPLES,
    leave_little_memory,
    make_block_data,
)
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skproj import (
    ProjectionFeatureSelector,
    StabilitySelector,
)
from skproj.blocks import RowBlocks, open_blocks
from skproj.blocks._row_blocks import take_rows
from skproj.feature_selection import eta_path
from skproj.linear_model._block_matrix import BlockMatrix
from skproj.linear_model._constraint import CoefficientBall

TOL = 1e-7


@pytest.fixture(autouse=True)
def few_columns_in_memory(monkeypatch):
    leave_little_memory(monkeypatch)


def assert_same_model(blocks, memory, *, atol=2e-4):
    assert_array_equal(blocks.get_support(), memory.get_support())
    scale = np.abs(memory.coef_).max()
    coefs = blocks.coef_, memory.coef_
    if getattr(memory, "feature_groups", None) is not None:
        # What all classes have in common changes neither the loss nor, for a feature
        # that is not the largest of its group, the norm.
        coefs = (coef - coef.mean(axis=0) for coef in coefs)
    assert_allclose(*coefs, atol=atol * scale)
    assert_allclose(blocks.intercept_, memory.intercept_, rtol=5e-3, atol=5e-3)
    assert blocks.coef_.dtype == memory.coef_.dtype
    assert 0 < np.count_nonzero(memory.get_support()) < N_FEATURES / 3


KINDS = ["classes", "two classes", "labels", "survival", "one target", "targets"]


@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "csr"])
@pytest.mark.parametrize("kind", KINDS)
def test_blocks_give_the_model_of_the_data_in_memory(kind, is_sparse):
    """Whatever the block size, which changes nothing but rounding."""
    X, y = make_block_data(kind, is_sparse)
    options = {"eta": 0.8, "tol": TOL, "max_iter": 5000}
    memory = ProjectionFeatureSelector(**options).fit(X, y)
    coefs = []
    for block_size in (1, 7, N_SAMPLES):
        blocks = open_blocks(X, block_size=block_size)
        selector = ProjectionFeatureSelector(**options).fit(blocks, y)
        assert_same_model(selector, memory)
        assert selector.duality_gap_ <= TOL * 10.0
        coefs.append(selector.coef_)
    for coef in coefs[1:]:
        assert_allclose(coef, coefs[0], atol=1e-9 * np.abs(coefs[0]).max())


@pytest.mark.parametrize(
    "options",
    [
        {"projection": "l12"},
        {"projection": "l1"},
        {"projection": "bilevel_l1inf", "tol": 1e-6},
        {"class_weight": "balanced", "l2_reg": 0.01},
        {"fit_intercept": False},
        {"standardize": False, "eta": 0.1},
        {"feature_weights": np.linspace(0.5, 2.0, N_FEATURES)},
        {"always_keep": [3, 50], "never_keep": [0, 41]},
        {"feature_groups": np.arange(N_FEATURES) // 5},
        {"feature_groups": [[0, 1, 2], [2, 3, 40], [60, 61]]},
        {"eta": None, "n_features_to_select": 12},
    ],
    ids=lambda options: "-".join(options),
)
@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "csr"])
def test_blocks_know_the_parameters_of_the_selector(options, is_sparse):
    X, y = make_block_data("classes", is_sparse)
    weights = np.random.default_rng(1).integers(0, 4, N_SAMPLES).astype(float)
    options = {"eta": 0.8, "tol": TOL, "max_iter": 5000} | options
    memory = ProjectionFeatureSelector(**options).fit(X, y, weights)
    blocks = open_blocks(X, block_size=11)
    selector = ProjectionFeatureSelector(**options).fit(blocks, y, weights)
    assert_same_model(selector, memory)
    assert_allclose(selector.eta_, memory.eta_, rtol=2e-3)


@pytest.mark.parametrize("projection", ["l1inf", "bilevel_l1inf"])
def test_bad_guesses_only_cost_passes(projection, monkeypatch):
    """Working sets of the columns with the smallest gradients end in the same model."""
    X, y = make_block_data()
    options = {"projection": projection, "eta": 0.8, "tol": 1e-6, "max_iter": 5000}
    memory = ProjectionFeatureSelector(**options).fit(X, y)
    good = open_blocks(X, block_size=40)
    ProjectionFeatureSelector(**options).fit(good, y)
    right = CoefficientBall.screening_scores
    monkeypatch.setattr(
        CoefficientBall, "screening_scores", lambda self, G: -right(self, G)
    )
    bad = open_blocks(X, block_size=40)
    selector = ProjectionFeatureSelector(**options).fit(bad, y)
    assert_same_model(selector, memory)
    assert bad.n_passes > good.n_passes


@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "csr"])
def test_model_takes_few_passes(is_sparse):
    """Moments and the first gradient, columns, and the gap of the whole."""
    X, y = make_block_data("classes", is_sparse)
    blocks = open_blocks(X, block_size=40)
    selector = ProjectionFeatureSelector(eta=0.3).fit(blocks, y)
    assert selector.duality_gap_ <= 1e-4
    assert blocks.n_passes == 3
    etas = np.geomspace(0.1, 0.3, 5)
    blocks = open_blocks(X, block_size=40)
    path = eta_path(blocks, y, etas=etas)
    assert_allclose(path.coefs, eta_path(X, y, etas=etas).coefs, atol=3e-3)
    # The columns of the first radius do: it is checked alone, then two, and two more.
    assert blocks.n_passes == 2 + 3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_all_columns_are_read_at_once_where_they_fit(dtype):
    X, y = make_block_data("classes", True, dtype)
    blocks = open_blocks(X, block_size=40, column_bytes=1 << 20)
    memory = ProjectionFeatureSelector(eta=1.0).fit(X, y)
    selector = ProjectionFeatureSelector(eta=1.0).fit(blocks, y)
    assert_same_model(selector, memory, atol=1e-6)
    assert blocks.n_passes == 2


@pytest.mark.parametrize(
    "options",
    [
        {"eta": np.inf, "l2_reg": 1.0},
        {"projection": lambda W, radius, axis: np.clip(W, -radius, radius)},
        {"eta": 50.0, "l2_reg": 0.1},
    ],
    ids=["no constraint", "callable", "large radius"],
)
def test_dense_models_are_those_of_the_data_in_memory(options):
    """No column can be left out: all of them are read."""
    X, y = make_block_data("two classes")
    options = {"eta": 0.05, "tol": 1e-6, "max_iter": 3000} | options
    memory = ProjectionFeatureSelector(**options).fit(X, y)
    selector = ProjectionFeatureSelector(**options)
    selector.fit(open_blocks(X, block_size=80), y)
    scale = np.abs(memory.coef_).max()
    assert_allclose(selector.coef_, memory.coef_, atol=1e-3 * scale)


@pytest.mark.parametrize("rows", [None, np.arange(200) % 3 > 0], ids=["all", "some"])
@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "csr"])
def test_products_read_the_columns_that_they_need(is_sparse, rows):
    """A pass, unless the columns are in memory."""
    X, _ = make_block_data("classes", is_sparse)
    blocks = open_blocks(X, block_size=80)
    dense = X.toarray() if is_sparse else X
    if rows is not None:
        rows = np.resize(rows, len(dense))
        blocks, dense = take_rows(blocks, rows), dense[rows]
    matrix, coef = BlockMatrix(blocks), np.zeros((N_FEATURES, 2))
    assert not (matrix @ coef).any()
    for columns, n_read in (([3, 5], 1), ([5], 0), ([5, 8, 2], 1), ([2, 3], 1)):
        coef[:] = 0.0
        coef[columns] = np.random.default_rng(0).standard_normal((len(columns), 2))
        before = blocks.whole.n_passes
        assert_allclose(matrix @ coef, dense @ coef, atol=1e-12)
        assert blocks.whole.n_passes - before == n_read


def test_iteration_limit_is_kept_and_warned_of():
    X, y = make_block_data()
    selector = ProjectionFeatureSelector(max_iter=4, tol=1e-9)
    with pytest.warns(ConvergenceWarning, match="has not converged in max_iter=4"):
        selector.fit(open_blocks(X, block_size=40), y)
    assert selector.n_iter_ <= 4
    assert np.abs(selector.coef_).sum() > 0.0


def test_names_of_features_are_known():
    X, y = make_block_data()
    names = [f"gene{j}" for j in range(N_FEATURES)]
    blocks = RowBlocks(lambda: iter([X[:70], X[70:]]), X.shape, feature_names=names)
    selector = ProjectionFeatureSelector(eta=0.5, never_keep=["gene0"]).fit(blocks, y)
    assert_array_equal(selector.feature_names_in_, names)
    assert "gene11" in selector.get_feature_names_out()
    assert "gene0" not in selector.get_feature_names_out()
    selector.set_params(never_keep=[0]).fit(X, y)
    assert not hasattr(selector, "feature_names_in_")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "csr"])
def test_values_that_are_no_numbers_are_refused(value, is_sparse):
    X, y = make_block_data("classes", is_sparse)
    (X.data if is_sparse else X[100])[-5] = value
    selector = ProjectionFeatureSelector()
    with pytest.raises(ValueError, match="Input X contains"):
        selector.fit(open_blocks(X, block_size=30), y)
    assert not hasattr(selector, "n_features_in_")


def test_targets_of_another_length_are_refused():
    X, y = make_block_data()
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        ProjectionFeatureSelector().fit(open_blocks(X), y[:-1])


@pytest.mark.parametrize(
    "estimator",
    [
        ProjectionFeatureSelector(LogisticRegression()),
        StabilitySelector(LogisticRegression()),
        StabilitySelector(fdr=0.2),
        LogisticRegression(),
    ],
    ids=["selector", "stability", "decoys", "classifier"],
)
def test_other_estimators_refuse_blocks(estimator):
    X, y = make_block_data()
    with pytest.raises(TypeError, match="X in blocks cannot be used here"):
        estimator.fit(open_blocks(X), y)


@pytest.mark.parametrize(
    "selector",
    [
        ProjectionFeatureSelector(eta=0.5),
        StabilitySelector(ProjectionFeatureSelector(eta=0.5), n_pairs=3),
    ],
    ids=["selector", "stability"],
)
def test_selected_features_are_read(selector):
    X, y = make_block_data(is_sparse=True)
    blocks = open_blocks(X, block_size=40)
    columns = selector.fit(blocks, y).transform(blocks)
    assert columns.shape[1] > 1
    assert_array_equal(columns.toarray(), selector.transform(X).toarray())
    with pytest.raises(ValueError, match=r"has 300 features|expecting 300 features"):
        selector.transform(open_blocks(X[:, 1:]))


def test_pipeline_begins_with_blocks():
    X, y = make_block_data()
    model = make_pipeline(ProjectionFeatureSelector(eta=0.5), LogisticRegression())
    labels = clone(model).fit(X, y).predict(X)
    blocks = open_blocks(X, block_size=40)
    assert_array_equal(model.fit(blocks, y).predict(blocks), labels)


@pytest.mark.parametrize("is_sparse", [False, True])
def test_blocks_without_a_feature_to_choose(is_sparse):
    """No column is ever read then."""
    X, y = make_block_data("two classes", is_sparse)
    blocks = RowBlocks(lambda: iter([X[:90], X[90:]]), X.shape, dtype=X.dtype)
    for eta in (None, 1.0, np.inf):
        selector = ProjectionFeatureSelector(
            eta=eta, projection="l12", never_keep=np.arange(N_FEATURES)
        )
        with pytest.warns(UserWarning, match="No feature is selected"):
            selector.fit(blocks, y)
        with pytest.warns(UserWarning, match="No feature is selected"):
            in_memory = clone(selector).fit(X, y)
        assert_allclose(selector.intercept_, in_memory.intercept_)
        assert not selector.coef_.any()
