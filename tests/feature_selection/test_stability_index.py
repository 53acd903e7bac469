"""Stability index and halves of the data."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from selector_helpers import FixedSelector, stability_by_definition

from skproj.feature_selection import StabilitySelector
from skproj.feature_selection._half_selections import draw_halves
from skproj.utils._stability import stability_index


@pytest.mark.parametrize("shape", [(2, 3), (10, 7), (100, 30)])
def test_stability_index_is_that_of_the_paper(shape):
    rng = np.random.default_rng(0)
    for share in (0.1, 0.5, 0.9):
        selections = rng.random(shape) < share * rng.uniform(0.2, 1.1, shape[1])
        if not 0 < selections.mean() < 1:
            selections[0, 0] = not selections[0, 0]
        stability, interval = stability_index(selections)
        expected, expected_interval = stability_by_definition(selections)
        assert_allclose(stability, expected)
        # The index cannot leave this range.
        limits = -1.0 / (len(selections) - 1), 1.0
        assert_allclose(interval, np.clip(expected_interval, *limits))


def test_stability_index_of_small_cases():
    """Equal selections have 1; two that exclude each other -1, as small as it gets."""
    equal = np.array([[True, False, False]] * 4)
    assert_allclose(stability_index(equal)[0], 1.0)
    assert_allclose(stability_index(equal)[1], [1.0, 1.0])
    assert_allclose(stability_index(np.array([[True, False], [False, True]]))[0], -1.0)


def test_stability_interval_is_within_the_range_of_the_index():
    nearly_equal = np.eye(6, dtype=bool)[[0, 0, 0, 0, 1]] | np.eye(6, dtype=bool)[2]
    opposite = np.array([[True, False, True], [False, True, False], [True, True, True]])
    for selections, end in ((nearly_equal, 1), (opposite, 0)):
        beyond = stability_by_definition(selections)[1][end]
        limit = (-1.0 / (len(selections) - 1), 1.0)[end]
        assert abs(beyond) > abs(limit)
        assert stability_index(selections)[1][end] == limit


@pytest.mark.parametrize("value", [True, False])
def test_stability_index_needs_a_choice(value):
    """If everything is selected, or nothing, chance would agree as well."""
    stability, interval = stability_index(np.full((4, 3), value))
    assert np.isnan(stability)
    assert np.isnan(interval).all()


def test_stability_interval_covers_the_population():
    """About 95 % of the intervals of independent selections hold the true index."""
    rng = np.random.default_rng(0)
    chances = rng.beta(0.3, 0.7, 40)
    share = chances.mean()
    true = 1.0 - (chances * (1.0 - chances)).mean() / (share * (1.0 - share))
    covered = []
    for _ in range(400):
        low, high = stability_index(rng.random((60, 40)) < chances)[1]
        covered.append(low <= true <= high)
    assert 0.91 <= np.mean(covered) <= 0.98


@pytest.mark.parametrize("sizes", [[20], [2, 11], [2, 3, 4, 5], [7, 7, 7], [2, 2]])
def test_halves_are_disjoint_equal_and_stratified(sizes):
    strata = np.repeat(np.arange(len(sizes)), np.sort(sizes))
    for seed in range(20):
        first, second = draw_halves(strata, np.random.RandomState(seed))
        assert len(first) == len(second) == len(strata) // 2
        assert len(np.union1d(first, second)) == 2 * len(first)
        counts = [
            np.bincount(strata[rows], minlength=len(sizes)) for rows in (first, second)
        ]
        assert np.min(counts) >= 1
        assert np.abs(counts[0] - counts[1]).max() <= 1


def test_every_sample_is_in_half_of_the_halves():
    """Of an odd number of samples one is left out, another one each time."""
    halves = [
        draw_halves(np.zeros(9, dtype=int), np.random.RandomState(s))
        for s in range(500)
    ]
    counts = np.bincount(np.ravel(halves), minlength=9)
    assert_allclose(counts / 500.0, 8.0 / 9.0, atol=0.06)


def test_no_half_loses_a_class():
    """Two samples of a rare class go to different halves."""
    X = np.random.default_rng(0).standard_normal((40, 4))
    y = np.array(["a"] * 25 + ["b"] * 13 + ["rare"] * 2)

    class ThreeClasses(FixedSelector):
        def fit(self, X, y):
            assert_array_equal(np.unique(y), ["a", "b", "rare"])
            return super().fit(X, y)

    StabilitySelector(ThreeClasses(), n_pairs=20, random_state=0).fit(X, y)
    with pytest.raises(AssertionError):
        StabilitySelector(
            ThreeClasses(), n_pairs=20, stratify=False, random_state=0
        ).fit(X, y)
