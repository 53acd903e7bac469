"""The searches and the stability selection on data in blocks."""

import numpy as np
import pytest
from blocks_helpers import N_FEATURES, leave_little_memory, make_block_data
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score
from sklearn.model_selection import ShuffleSplit

import skproj.linear_model._eta_path as eta_path_module
from skproj import (
    ProjectionFeatureSelector,
    ProjectionFeatureSelectorCV,
    StabilitySelector,
)
from skproj.blocks import RowBlocks, open_blocks
from skproj.feature_selection import eta_path
from skproj.projection import projection_l1_ball

ETAS = np.geomspace(0.1, 2.0, 10)
EXACT = {"tol": 1e-7, "max_iter": 5000}


@pytest.fixture(autouse=True)
def few_columns_in_memory(monkeypatch):
    leave_little_memory(monkeypatch, 40_000)


def make_search(**options):
    return ProjectionFeatureSelectorCV(
        **{"etas": ETAS, "cv": 3, "random_state": 0} | EXACT | options
    )


def assert_same_search(blocks, memory):
    for name in ("mean_test_score", "std_test_score", "split1_test_score"):
        assert_allclose(blocks.cv_results_[name], memory.cv_results_[name], atol=1e-4)
    assert_allclose(
        blocks.cv_results_["mean_n_features"], memory.cv_results_["mean_n_features"]
    )
    assert blocks.eta_ == memory.eta_
    assert_array_equal(blocks.get_support(), memory.get_support())
    scale = np.abs(memory.coef_).max()
    assert_allclose(blocks.coef_, memory.coef_, atol=1e-3 * scale)
    assert_allclose(blocks.path_.coefs, memory.path_.coefs, atol=1e-3 * scale)
    assert_allclose(blocks.selection_frequency_, memory.selection_frequency_)
    assert blocks.substitutes_.keys() == memory.substitutes_.keys()
    for feature, pairs in memory.substitutes_.items():
        found = dict(blocks.substitutes_[feature])
        assert found.keys() == dict(pairs).keys()
        assert_allclose([found[other] for other, _ in pairs], [v for _, v in pairs])


@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "csr"])
@pytest.mark.parametrize("kind", ["classes", "labels", "survival", "targets"])
def test_search_gives_that_of_the_data_in_memory(kind, is_sparse):
    X, y = make_block_data(kind, is_sparse)
    blocks = open_blocks(X, block_size=40)
    search = make_search().fit(blocks, y)
    assert_same_search(search, make_search().fit(X, y))
    assert 0 < search.get_support().sum() < N_FEATURES / 2
    # Far from a pass for each fold and radius, and one for each gradient.
    assert blocks.n_passes < 3 * len(ETAS)


@pytest.mark.parametrize(
    "options",
    [
        {"cv": ShuffleSplit(4, test_size=0.4, random_state=2)},
        {"scoring": "accuracy", "projection": "bilevel_l1inf", "tol": 1e-6},
        {"scoring": lambda model, X, y, **_: accuracy_score(y, model.predict(X))},
        {"l2_reg": [0.0, 0.1], "class_weight": "balanced"},
        {"always_keep": [3], "feature_groups": np.arange(N_FEATURES) // 3},
        {"etas": 6, "cv": 2},
    ],
    ids=lambda options: "-".join(options),
)
def test_search_knows_its_parameters(options):
    X, y = make_block_data("classes", True)
    weights = np.random.default_rng(1).integers(0, 4, len(y)).astype(float)
    search = make_search(**options).fit(open_blocks(X, block_size=17), y, weights)
    memory = make_search(**options)
    if "etas" in options:  # those of blocks end at the memory
        memory.set_params(etas=search.etas_)
    assert_same_search(search, memory.fit(X, y, weights))


def test_unsorted_folds_are_sorted():
    X, y = make_block_data()
    rng = np.random.default_rng(0)
    shuffled = [np.split(rng.permutation(len(y)), [100]) for _ in range(2)]
    search = make_search(cv=shuffled).fit(open_blocks(X, block_size=60), y)
    assert_same_search(search, make_search(cv=shuffled).fit(X, y))


def test_repeated_rows_are_refused():
    X, y = make_block_data()
    folds = [([*range(100), 3], range(100, 150))]
    with pytest.raises(ValueError, match="sorted indices without repetition"):
        make_search(cv=folds).fit(open_blocks(X), y)


@pytest.mark.parametrize("n_first", [1, 4, 64])
@pytest.mark.parametrize("ahead_bytes", [1, 1 << 20], ids=["one", "many"])
def test_radii_ahead_only_save_passes(n_first, ahead_bytes, monkeypatch):
    """Where the features in memory do not suffice, and beyond the end of the path."""
    X, y = make_block_data("classes", True)
    etas = np.geomspace(0.05, 4.0, 12)
    expected = eta_path(X, y, etas=etas, **EXACT)
    monkeypatch.setattr(eta_path_module, "FIRST_AHEAD", n_first)
    monkeypatch.setattr(eta_path_module, "AHEAD_BYTES", ahead_bytes)
    path = eta_path(open_blocks(X, block_size=40), y, etas=etas, **EXACT)
    scale = np.abs(expected.coefs).max()
    assert_allclose(path.coefs, expected.coefs, atol=2e-4 * scale)
    assert path.dual_gaps.max() <= 2e-7
    assert_array_equal(path.n_selected, expected.n_selected)


def test_wrong_columns_in_memory_are_noticed(monkeypatch):
    """A pass says that the models ahead need others, whatever they are solved with."""
    X, y = make_block_data()
    expected = eta_path(X, y, etas=ETAS, **EXACT)
    known = eta_path_module.known_groups
    monkeypatch.setattr(
        eta_path_module,
        "known_groups",
        lambda design, constraint, coef: (
            np.flatnonzero(coef.any(axis=1))
            if known(design, constraint, coef) is not None
            else None
        ),
    )
    path = eta_path(open_blocks(X, block_size=40), y, etas=ETAS, **EXACT)
    assert_allclose(
        path.coefs, expected.coefs, atol=2e-4 * np.abs(expected.coefs).max()
    )


def test_grid_ends_where_memory_does(monkeypatch):
    X, y = make_block_data()
    ends, sizes = [], []
    for column_bytes in (40_000, 120_000, 1 << 20):
        leave_little_memory(monkeypatch, column_bytes)
        path = eta_path(open_blocks(X, block_size=40), y, n_etas=5)
        ends.append(path.etas[-1])
        sizes.append(path.n_selected[-1])
    assert ends[0] < ends[1] < ends[2]
    assert sizes[0] < sizes[1] < sizes[2]
    assert_allclose(path.etas, eta_path(X, y, n_etas=5).etas, rtol=1e-6)


def soft_threshold(W, eta, *, axis):
    """A projection of a user onto the l1 ball."""
    return projection_l1_ball(W, eta)


@pytest.mark.parametrize("projection", ["l1inf", soft_threshold])
def test_grid_does_not_end_where_iterations_do(projection, monkeypatch):
    """Only memory ends a grid, not fits that have not converged."""
    X, y = make_block_data()
    leave_little_memory(monkeypatch, 40_000)
    grids = []
    for data in (open_blocks(X, block_size=40), X):
        with pytest.warns(ConvergenceWarning, match="max_iter"):
            path = eta_path(data, y, n_etas=5, projection=projection, max_iter=1)
        grids.append(path.etas)
    assert len(np.unique(grids[0])) == 5
    assert grids[0][0] == 0.0
    assert grids[0][1] == pytest.approx(grids[1][1], rel=0.01)


@pytest.mark.parametrize("kind", ["classes", "survival", "one target"])
def test_stability_selection_gives_that_of_the_data_in_memory(kind):
    X, y = make_block_data(kind, True)
    weights = np.ones(len(y))
    weights[[5, 90]] = 0.0
    options = {
        "estimator": ProjectionFeatureSelector(eta=0.5, **EXACT),
        "n_pairs": 10,  # of which 8 share passes, and 2
        "random_state": 0,
    }
    blocks = open_blocks(X, block_size=40)
    selector = StabilitySelector(**options).fit(blocks, y, sample_weight=weights)
    memory = StabilitySelector(**options).fit(X, y, sample_weight=weights)
    assert_array_equal(selector.supports_, memory.supports_)
    assert_array_equal(
        selector.baseline_selection_probabilities_,
        memory.baseline_selection_probabilities_,
    )
    assert 0 < selector.get_support().sum() < 20
    assert blocks.n_passes < 30


def test_stability_selection_has_its_defaults_and_names():
    X, y = make_block_data()
    names = [f"gene{j}" for j in range(N_FEATURES)]
    blocks = RowBlocks(lambda: iter([X[:70], X[70:]]), X.shape, feature_names=names)
    selector = StabilitySelector(n_pairs=3, random_state=0).fit(blocks, y)
    memory = StabilitySelector(n_pairs=3, random_state=0).fit(X, y)
    assert_array_equal(selector.get_support(), memory.get_support())
    assert_array_equal(selector.feature_names_in_, names)
