"""Factors of the features from their F statistics."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.feature_selection import f_classif, f_regression

from skproj.nn._training import _feature_prior
from skproj.nn._training._feature_prior import (
    FEATURES_PER_SAMPLE,
    MAX_VARIANCE_RATIO,
    PRIOR_POWER,
    SMALLEST_FACTOR,
    feature_prior,
    prior_power,
    variance_ratios,
)
from skproj.nn._training._samples import Samples


def problem(n_samples=30, n_features=60, n_classes=3):
    """Return features, some of which depend on the labels."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_samples, n_features)) + 3.0
    y = np.arange(n_samples) % n_classes
    X[:, :5] += y[:, np.newaxis]
    return X, y


def samples_of(X, y, rows=None):
    """Return samples, by default all the rows."""
    rows = np.arange(X.shape[0]) if rows is None else rows
    return Samples(
        torch.from_numpy(X) if isinstance(X, np.ndarray) else X,
        y=torch.from_numpy(y)[rows],
        weight=torch.ones(len(rows), dtype=torch.float64),
        rows=torch.from_numpy(rows),
    )


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_ratios_of_classes_are_the_f_statistics(n_classes):
    """F is their multiple by the degrees of freedom."""
    X, y = problem(n_classes=n_classes)
    (ratios,) = variance_ratios(samples_of(X, y), np.ones((1, len(y))))
    F, _ = f_classif(X, y)
    expected = F * (n_classes - 1) / (len(y) - n_classes)
    assert_allclose(ratios, expected, rtol=1e-9, atol=1e-12)


def test_ratios_of_a_target_are_the_f_statistics():
    """Of the regression on it, whatever its scale."""
    X, y = problem()
    target = y + np.random.default_rng(1).standard_normal(len(y))
    F, _ = f_regression(X, target)
    for scale in (1.0, 1e-6, 1e6):
        targets = scale * target[:, np.newaxis]
        (ratios,) = variance_ratios(samples_of(X, targets), np.ones((1, len(y))))
        assert_allclose(ratios, F / (len(y) - 2), rtol=1e-9)


def test_ratios_of_several_targets_are_those_of_a_least_squares_fit():
    """Targets that are copies of others change nothing."""
    X, y = problem()
    targets = np.random.default_rng(1).standard_normal((len(y), 2)) + y[:, np.newaxis]
    design = np.c_[np.ones(len(y)), targets]
    residuals = X - design @ np.linalg.lstsq(design, X, rcond=None)[0]
    rest = residuals.var(axis=0)
    for repeated in (targets, np.c_[targets, targets, targets[:, :1] + 1.0]):
        (ratios,) = variance_ratios(samples_of(X, repeated), np.ones((1, len(y))))
        assert_allclose(ratios, (X.var(axis=0) - rest) / rest, rtol=1e-8)


def test_prior_is_a_power_of_the_root_of_the_statistic():
    """Relative to its mean, and not below a share of it."""
    X, y = problem(n_samples=24, n_features=100)
    (prior,) = feature_prior(samples_of(X, y), np.ones((1, 24)))
    root = np.sqrt(f_classif(X, y)[0])
    relative = np.maximum(root / root.mean(), SMALLEST_FACTOR)
    assert_allclose(prior, relative ** prior_power(100, 24), rtol=1e-9)
    assert prior[:5].min() > np.median(prior)


def test_power_grows_with_the_features_per_sample():
    """From none at as many features as samples to a bound at ten times as many."""
    assert prior_power(5, 100) == prior_power(100, 100) == 0.0
    powers = [prior_power(n, 100) for n in (101, 200, 500, 999)]
    assert powers == sorted(powers)
    assert 0.0 < powers[0] < powers[-1] < PRIOR_POWER
    assert prior_power(100 * FEATURES_PER_SAMPLE, 100) == pytest.approx(PRIOR_POWER)
    assert prior_power(10**6, 100) == PRIOR_POWER
    X, y = problem(n_samples=60, n_features=60)
    assert_array_equal(feature_prior(samples_of(X, y), np.ones((2, 60))), 1.0)


def test_power_counts_the_samples_that_are_there():
    """Samples without weight in any group count for nothing."""
    X, y = problem(n_samples=60, n_features=50)
    weight = np.ones((2, 60))
    weight[:, 40:] = 0.0
    prior = feature_prior(samples_of(X, y), weight)
    few = feature_prior(samples_of(X, y, np.arange(40)), np.ones((1, 40)))
    assert_allclose(prior, np.repeat(few, 2, axis=0), rtol=1e-9)
    assert prior.std() > 0.0


@pytest.mark.parametrize("kind", ["classes", "targets"])
def test_weights_equal_repetition(kind):
    """Whole numbers of them, and each group for itself."""
    X, y = problem()
    if kind == "targets":
        y = y[:, np.newaxis] + np.random.default_rng(1).standard_normal((len(y), 2))
    weight = np.random.default_rng(2).integers(0, 4, (3, len(y))).astype(float)
    ratios = variance_ratios(samples_of(X, y), weight)
    for own, part in zip(ratios, weight, strict=True):
        rows = np.repeat(np.arange(len(y)), part.astype(int))
        (expected,) = variance_ratios(samples_of(X, y, rows), np.ones((1, len(rows))))
        assert_allclose(own, expected, rtol=1e-8)
    assert_allclose(variance_ratios(samples_of(X, y), 5.0 * weight), ratios)


def test_group_without_a_class():
    """It is as if there were no such class."""
    X, y = problem()
    weight = np.array([y != 2]).astype(float)
    (ratios,) = variance_ratios(samples_of(X, y), weight)
    F, _ = f_classif(X[y != 2], y[y != 2])
    assert_allclose(ratios, F / ((y != 2).sum() - 2), rtol=1e-9)


@pytest.mark.parametrize("n_present", [1, 2])
def test_group_of_hardly_any_samples(n_present):
    """One sample explains nothing, two of two classes explain each other."""
    X, y = problem(n_classes=2)
    weight = np.zeros((1, len(y)))
    weight[0, :n_present] = 1.0
    (ratios,) = variance_ratios(samples_of(X, y), weight)
    expected = 0.0 if n_present == 1 else MAX_VARIANCE_RATIO
    assert_allclose(ratios, expected, rtol=1e-6, atol=1e-12)


def test_constant_and_perfect_columns():
    """The one says nothing, the other is bounded, and neither divides by zero."""
    X, y = problem()
    X[:, 0], X[:, 1], X[:, 2] = 0.0, 0.1, y
    with np.errstate(all="raise"):
        (ratios,) = variance_ratios(samples_of(X, y), np.ones((1, len(y))))
        (prior,) = feature_prior(samples_of(X, y), np.ones((1, len(y))))
        constant = feature_prior(samples_of(0.0 * X, y), np.ones((1, len(y))))
    assert_allclose(ratios[:2], 0.0, atol=1e-12)
    assert ratios[2] == pytest.approx(MAX_VARIANCE_RATIO)
    assert prior[:2] == pytest.approx(SMALLEST_FACTOR ** prior_power(60, 30))
    assert prior.argmax() == 2
    assert_array_equal(constant, 1.0)


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [(np.float64, 1e300), (np.float64, 1e-300), (np.float32, 1e37)],
)
def test_scale_of_the_features_does_not_matter(dtype, scale):
    """Squares of huge values do not overflow, nor do those of small ones vanish."""
    X, y = problem()
    weight = np.ones((1, len(y)))
    ratios = variance_ratios(samples_of(X, y), weight)
    scaled = variance_ratios(samples_of((scale * X).astype(dtype), y), weight)
    assert_allclose(scaled, ratios, rtol=1e-9 if dtype == np.float64 else 1e-2)


def test_sparse_features_and_blocks_of_columns(monkeypatch):
    """The same numbers, also in another order of the rows."""
    X, y = problem()
    X = np.where(X > 3.0, X, 0.0)
    rows = np.random.default_rng(1).permutation(len(y))
    weight = np.random.default_rng(2).uniform(size=(2, len(y)))
    expected = variance_ratios(samples_of(X, y, rows), weight)
    sparse = variance_ratios(samples_of(csr_array(X), y, rows), weight)
    assert_allclose(sparse, expected, rtol=1e-9)
    monkeypatch.setattr(_feature_prior, "MAX_BLOCK_ENTRIES", 7 * len(y))
    for layout in (X, csr_array(X)):
        blocks = variance_ratios(samples_of(layout, y, rows), weight)
        assert_allclose(blocks, expected, rtol=1e-9)
