"""Tables of `make_omics` follow the model that its docstring writes down."""

import tracemalloc

import numpy as np
import pytest
from sklearn.feature_selection import f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skproj.datasets import _omics, make_omics


@pytest.fixture
def equal_libraries(monkeypatch):
    monkeypatch.setattr(_omics, "SPREAD_OF_LIBRARIES", 0.0)


@pytest.fixture
def no_blocks(monkeypatch):
    monkeypatch.setattr(_omics, "BLOCK_SIZE", 10**6)


def z_scores(X, expected):
    """Distance of the mean of each column from what is expected, in standard errors."""
    return (X.mean(axis=0) - expected) / (X.std(axis=0, ddof=1) / np.sqrt(len(X)))


def assert_standard_normal(z):
    """Loose enough for the skewness of means of counts, and for many of them."""
    assert abs(z.mean()) < 0.25
    assert 0.8 < z.std() < 1.2
    assert np.abs(z).max() < 6.0


def log_correlation(X):
    return np.corrcoef(np.log1p(X), rowvar=False)


def test_everything_has_its_shape_and_type():
    omics = make_omics(50, 120, 4, 20, n_batches=2, random_state=0)
    assert omics.data.shape == (50, 120)
    assert omics.data.dtype == np.float64
    np.testing.assert_array_equal(omics.data, np.floor(omics.data))
    assert omics.data.min() >= 0.0
    assert omics.target.shape == omics.batch.shape == omics.library_size.shape == (50,)
    assert omics.target.dtype.kind == omics.batch.dtype.kind == "i"
    assert omics.mislabelled.shape == (50,)
    assert omics.log_fold_change.shape == (4, 120)
    assert omics.gene_mean.shape == omics.dispersion.shape == (120,)
    assert omics.support.dtype == bool
    assert omics.support.sum() == 20
    np.testing.assert_array_equal(np.bincount(omics.block + 1), [20, 25, 25, 25, 25])
    assert list(omics.feature_names[[0, -1]]) == ["gene0", "gene119"]
    assert omics.DESCR.startswith("Draw a wide table")


def test_seed_decides_everything_and_the_global_generator_is_left_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second, other = (
        make_omics(30, 400, random_state=seed) for seed in (3, 3, 4)
    )
    for key, value in first.items():
        np.testing.assert_array_equal(value, second[key])
    assert np.any(first.data != other.data)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    generator = np.random.RandomState(3)
    X, y = make_omics(30, 400, random_state=generator, return_X_y=True)
    np.testing.assert_array_equal(X, first.data)
    np.testing.assert_array_equal(y, first.target)
    X, _ = make_omics(30, 400, random_state=generator, return_X_y=True)
    assert np.any(X != first.data)


def test_classes_are_of_equal_size():
    omics = make_omics(101, 300, 4, random_state=0)
    np.testing.assert_array_equal(np.sort(np.bincount(omics.target)), [25, 25, 25, 26])
    assert np.any(np.diff(omics.target) < 0)


def test_label_noise_changes_so_many_labels():
    """The labels are changed after the table is drawn from the true classes."""
    clean = make_omics(200, 300, random_state=0)
    noisy = make_omics(
        200, 300, label_noise=0.1, batch_confounding=1.0, n_batches=3, random_state=0
    )
    assert not clean.mislabelled.any()
    assert noisy.mislabelled.sum() == 20
    np.testing.assert_array_equal(noisy.target != noisy.batch, noisy.mislabelled)


def test_means_follow_the_fold_changes(equal_libraries, no_blocks):
    """Markers differ between the classes as they are said to, other genes do not."""
    omics = make_omics(9000, 200, n_markers=60, effect_size=0.7, random_state=0)
    np.testing.assert_array_equal(omics.support, np.any(omics.log_fold_change, axis=0))
    nodes, weights = np.polynomial.legendre.leggauss(20)
    degrees = (nodes + 1.0) / 2.0  # uniform
    for k, change in enumerate(omics.log_fold_change):
        factor = 0.5 * weights @ np.exp(np.outer(degrees, change))
        X = omics.data[omics.target == k]
        assert_standard_normal(z_scores(X, omics.gene_mean * factor))
        strong = np.abs(change) > 0.7
        assert np.abs(z_scores(X, omics.gene_mean)[strong]).min() > 6.0


def test_each_class_has_markers_of_its_own_and_some_are_shared():
    omics = make_omics(12, 400, 4, 100, effect_size=1.5, random_state=0)
    changes = omics.log_fold_change[:, omics.support]
    n_marked = np.count_nonzero(changes, axis=0)
    np.testing.assert_array_equal(np.bincount(n_marked), [0, 80, 20])
    shared = changes[:, n_marked == 2].T
    shared = shared[shared != 0.0].reshape(-1, 2)
    np.testing.assert_array_equal(shared[:, 0], shared[:, 1])
    own = np.count_nonzero(changes[:, n_marked == 1], axis=1)
    assert own.min() > 5
    largest = np.abs(changes).max(axis=0) * np.sign(changes.sum(axis=0))
    assert 35 < np.count_nonzero(largest > 0.0) < 65
    assert 1.2 < largest.std() < 1.8
    of_two = make_omics(12, 400, 2, 100, random_state=0)
    marked = np.count_nonzero(of_two.log_fold_change, axis=0)
    np.testing.assert_array_equal(marked, of_two.support)


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_variance_is_that_of_the_dispersion_whatever_the_correlation(
    correlation, equal_libraries
):
    omics = make_omics(
        20000, 60, n_markers=0, block_correlation=correlation, random_state=0
    )
    mean = omics.gene_mean
    expected = mean + omics.dispersion * mean**2
    ratio = omics.data.var(axis=0) / expected
    assert 0.95 < np.median(ratio) < 1.05
    assert 0.7 < ratio.min() < ratio.max() < 1.4
    assert np.all(expected > 1.1 * mean)


def test_dispersion_falls_with_the_mean():
    omics = make_omics(6, 4000, dispersion=0.2, random_state=0)
    trend = 0.2 * (1.0 + 5.0 / omics.gene_mean)
    scatter = np.log(omics.dispersion / trend)
    assert abs(np.mean(omics.dispersion / trend) - 1.0) < 0.05
    assert abs(scatter.std() - 0.4) < 0.03
    assert abs(np.log(omics.gene_mean).std() - 1.5) < 0.1
    assert 18.0 < np.median(omics.gene_mean) < 22.0


def test_no_dispersion_gives_poisson_counts(equal_libraries):
    omics = make_omics(20000, 40, n_markers=0, dispersion=0.0, random_state=0)
    np.testing.assert_allclose(
        omics.data.var(axis=0) / omics.data.mean(axis=0), 1.0, atol=0.08
    )


def test_genes_are_correlated_within_blocks_only(equal_libraries, monkeypatch):
    monkeypatch.setattr(_omics, "MEDIAN_COUNT", 1e4)
    omics = make_omics(
        3000, 60, n_markers=0, dispersion=0.1, block_correlation=0.6, random_state=0
    )
    correlation = log_correlation(omics.data)
    same = (omics.block[:, np.newaxis] == omics.block) & (omics.block >= 0)
    np.fill_diagonal(correlation, np.nan)
    np.fill_diagonal(same, False)
    assert same.sum() == 2 * 25 * 24
    assert abs(correlation[same].mean() - 0.6) < 0.05
    assert correlation[same].min() > 0.4
    assert np.nanmax(np.abs(correlation[~same])) < 0.12


def test_library_sizes_scale_the_samples(monkeypatch):
    monkeypatch.setattr(_omics, "SPREAD_OF_LIBRARIES", 0.5)
    omics = make_omics(2000, 500, n_markers=0, random_state=0)
    assert abs(np.log(omics.library_size).std() - 0.5) < 0.03
    assert abs(omics.library_size.mean() - 1.0) < 0.05
    total = omics.data.sum(axis=1) / omics.gene_mean.sum()
    assert np.corrcoef(np.log(total), np.log(omics.library_size))[0, 1] > 0.9


@pytest.mark.parametrize("strength", [0.0, 0.4])
def test_batches_shift_the_genes(strength, equal_libraries, no_blocks, monkeypatch):
    monkeypatch.setattr(_omics, "BATCH_STRENGTH", strength)
    omics = make_omics(
        4000, 300, n_markers=0, n_batches=2, dispersion=0.1, random_state=0
    )
    np.testing.assert_allclose(np.bincount(omics.batch), 2000, atol=200)
    p_values = f_classif(np.log1p(omics.data), omics.batch)[1]
    if strength == 0.0:
        assert 0.01 < np.mean(p_values < 0.05) < 0.1
    else:
        assert np.mean(p_values < 0.05) > 0.85
        first, second = (omics.data[omics.batch == b].mean(axis=0) for b in (0, 1))
        # The difference of two shifts.
        assert abs(np.log(second / first).std() / (strength * np.sqrt(2)) - 1) < 0.15


@pytest.mark.parametrize(("confounding", "agreement"), [(0.0, 1 / 3), (0.5, 2 / 3)])
def test_batches_may_follow_the_classes(confounding, agreement):
    omics = make_omics(
        6000, 5, n_markers=0, n_batches=3, batch_confounding=confounding, random_state=0
    )
    assert abs(np.mean(omics.batch == omics.target) - agreement) < 0.03


def test_normalised_data_have_equal_libraries():
    omics = make_omics(40, 500, counts=False, random_state=0)
    counts = make_omics(40, 500, random_state=0).data
    scale = omics.gene_mean.sum() / counts.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(omics.data, np.log1p(counts * scale))


def test_samples_without_counts_stay_finite(monkeypatch):
    monkeypatch.setattr(_omics, "MEDIAN_COUNT", 1e-3)
    omics = make_omics(20, 3, n_markers=0, counts=False, random_state=0)
    assert np.isfinite(omics.data).all()
    assert np.any(omics.data.sum(axis=1) == 0.0)


def test_extreme_arguments_give_finite_counts(monkeypatch):
    """Rates beyond what a Poisson distribution can be drawn for are limited."""
    monkeypatch.setattr(_omics, "MEDIAN_COUNT", 1e12)
    omics = make_omics(
        30,
        300,
        n_markers=250,
        effect_size=10.0,
        block_correlation=0.99,
        n_batches=2,
        random_state=0,
    )
    np.testing.assert_allclose(omics.data.max(), 1e15, rtol=1e-6)
    monkeypatch.setattr(_omics, "MEDIAN_COUNT", 1e-3)
    scattered = make_omics(30, 300, dispersion=1e3, random_state=0)
    assert np.isfinite(scattered.data).all()


@pytest.mark.parametrize("options", [{}, {"counts": False}])
def test_memory_is_at_most_twice_the_result(options):
    tracemalloc.start()
    try:
        X, _ = make_omics(1000, 5000, **options, return_X_y=True, random_state=0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * X.nbytes


def test_defaults_are_neither_easy_nor_hopeless():
    """A linear model does well, and a univariate test finds part of the markers."""
    omics = make_omics(random_state=0)
    X = np.log1p(omics.data)
    model = make_pipeline(StandardScaler(), LogisticRegression())
    assert 0.75 < cross_val_score(model, X, omics.target, cv=4).mean() < 0.95
    best = np.argsort(-f_classif(X, omics.target)[0])[: omics.support.sum()]
    assert 0.5 < omics.support[best].mean() < 0.8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_samples": 0}, "n_samples"),
        ({"n_features": 10.5}, "n_features"),
        ({"n_classes": 1}, "n_classes"),
        ({"n_markers": 501}, "n_markers must be at most n_features=500, got 501"),
        ({"block_correlation": 1.0}, r"block_correlation.* \[0.0, 1.0\). Got 1.0"),
        ({"effect_size": -1.0}, "effect_size"),
        ({"effect_size": np.nan}, "effect_size"),
        ({"dispersion": np.inf}, "dispersion"),
        ({"label_noise": 1.0}, "label_noise"),
        ({"n_batches": "1"}, "n_batches"),
        ({"counts": 1}, "counts"),
        ({"n_samples": 2}, "n_classes must be at most n_samples=2, got 3"),
        ({"random_state": "seed"}, "seed"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_omics(**{"n_features": 500, **arguments})
