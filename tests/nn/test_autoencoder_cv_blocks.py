"""SparseSupervisedAutoencoderCV on data in blocks of rows, against that in memory."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import GroupKFold

from skproj import SparseSupervisedAutoencoder, SparseSupervisedAutoencoderCV
from skproj.blocks import RowBlocks, open_blocks
from skproj.blocks._duplicates import merge_duplicates
from skproj.feature_selection import StabilitySelector
from skproj.nn import SparsificationSchedule

N_SAMPLES, N_FEATURES = 600, 18

OPTIONS = {
    "max_epochs": 4,
    "cv": 3,
    "random_state": 0,
    "hidden_layer_sizes": (10,),
    "linear_part": False,  # not of blocks
    "schedule": SparsificationSchedule(keep_fraction=0.5, batch_size=32),
}


def make_data(is_sparse=False):
    """Return distinct samples in the order in which fits in memory take them.

    Many samples have the extreme values, so that it is the one of the folds as well.
    """
    rng = np.random.default_rng(5)
    X = rng.standard_normal((N_SAMPLES, N_FEATURES)).astype(np.float32).clip(-1, 1)
    if is_sparse:
        X[rng.random(X.shape) < 0.7] = 0.0
    labels = (X[:, :3] @ rng.standard_normal((3, 3))).argmax(axis=1)
    rows, _, _ = merge_duplicates(X, labels, np.ones(N_SAMPLES))
    X, labels = X[rows], labels[rows]
    return (sparse.csr_array(X) if is_sparse else X), np.array(["a", "b", "c"])[labels]


def assert_same_search(one, other):
    """The networks agree to the bit, the scores up to rounding in other products."""
    for name in set(one.cv_results_) - {"params", "rank_test_score"}:
        assert_allclose(other.cv_results_[name], one.cv_results_[name], rtol=1e-5)
    assert one.best_index_ == other.best_index_
    assert one.final_noise_ == other.final_noise_
    assert_allclose(one.temperature_, other.temperature_, rtol=1e-5)
    assert_array_equal(one.encoder_weights_, other.encoder_weights_)
    assert_array_equal(one.importances_path_, other.importances_path_)
    assert_array_equal(one.selection_frequency_, other.selection_frequency_)


SEARCHES = {
    "default": {},
    "radii": {"etas": [0.5, 2.0]},
    "scorer": {"scoring": "balanced_accuracy"},
    "groups": {"feature_groups": np.arange(N_FEATURES) // 2},
}


@pytest.mark.usefixtures("nothing_in_memory")
@pytest.mark.parametrize(
    ("name", "is_sparse"), [("default", True), *((name, False) for name in SEARCHES)]
)
def test_one_window_is_searched_as_in_memory(name, is_sparse):
    """With the same order of the samples; folds leave out their test samples."""
    X, y = make_data(is_sparse)
    options = OPTIONS | SEARCHES[name]
    memory = SparseSupervisedAutoencoderCV(**options).fit(X, y)
    blocks = open_blocks(X, block_size=70)
    search = SparseSupervisedAutoencoderCV(**options).fit(blocks, y)
    assert_same_search(memory, search)
    assert search.substitutes_.keys() == memory.substitutes_.keys()
    assert_array_equal(search.predict(blocks), memory.predict(X))
    assert search.score(X, y) > 0.5


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "csr"])
def test_the_block_size_changes_nothing(is_sparse):
    X, y = make_data(is_sparse)
    weights = np.random.default_rng(1).integers(0, 3, N_SAMPLES)
    searches = [
        SparseSupervisedAutoencoderCV(**OPTIONS).fit(
            open_blocks(X, block_size=size), y, weights
        )
        for size in (7, 170, N_SAMPLES)
    ]
    for search in searches[1:]:
        assert_same_search(searches[0], search)
    assert searches[0].score(X, y) > 0.5


@pytest.mark.usefixtures("small_windows")
def test_sparse_folds_find_what_dense_ones_find(monkeypatch):
    """Networks that see different columns of one sparse batch."""
    X, y = make_data(is_sparse=True)
    schedule = clone(OPTIONS["schedule"]).set_params(input_noise=0.0)
    options = OPTIONS | {"schedule": schedule}
    blocks = open_blocks(X, block_size=70)
    dense = SparseSupervisedAutoencoderCV(**options).fit(blocks, y)
    monkeypatch.setattr("skproj.nn._training._sparse_rows.MAX_DENSITY", 1.0)
    search = SparseSupervisedAutoencoderCV(**options).fit(blocks, y)
    columns = "mean_test_score", "mean_n_features", "param_eta"
    for name in columns:
        assert_allclose(search.cv_results_[name], dense.cv_results_[name], rtol=1e-3)
    assert_array_equal(search.get_support(), dense.get_support())
    assert_allclose(search.encoder_weights_, dense.encoder_weights_, atol=1e-3)


@pytest.mark.usefixtures("small_windows")
def test_groups_and_names():
    X, y = make_data()
    groups = np.arange(N_SAMPLES) % 7
    names = [f"gene{j}" for j in range(N_FEATURES)]
    blocks = RowBlocks(lambda: iter([X[:400], X[400:]]), X.shape, X.dtype, names)
    options = OPTIONS | {"cv": GroupKFold(3), "never_keep": ["gene17"]}
    search = SparseSupervisedAutoencoderCV(**options).fit(blocks, y, groups=groups)
    assert_array_equal(search.feature_names_in_, names)
    selected = search.get_support(indices=True)
    assert list(search.substitutes_) == [names[j] for j in selected]
    assert 17 not in selected


@pytest.mark.usefixtures("nothing_in_memory")
def test_few_samples_are_read_as_a_whole():
    X, y = make_data()
    X, y = X[::2], y[::2]
    memory = SparseSupervisedAutoencoderCV(**OPTIONS).fit(X, y)
    blocks = open_blocks(X, block_size=70)
    assert_same_search(memory, SparseSupervisedAutoencoderCV(**OPTIONS).fit(blocks, y))


@pytest.mark.usefixtures("small_windows")
def test_halves_of_a_stability_selection_are_read_in_blocks():
    X, y = make_data()
    estimator = SparseSupervisedAutoencoder(
        n_features_to_select=3, max_epochs=20, hidden_layer_sizes=(10,), random_state=0
    )
    options = {"n_pairs": 2, "threshold": 0.5, "random_state": 0}
    memory = StabilitySelector(estimator, **options).fit(X, y)
    blocks = open_blocks(X, block_size=70)
    # Halves are so few samples that each is read as a whole.
    selector = StabilitySelector(estimator, **options).fit(blocks, y)
    assert memory.get_support().any()
    assert_array_equal(selector.get_support(), memory.get_support())
    assert_array_equal(selector.supports_, memory.supports_)
