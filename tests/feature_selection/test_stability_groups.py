"""Halves of groups in the stability selection."""

import numpy as np
import pytest
import sklearn

from skproj.feature_selection import StabilitySelector
from skproj.feature_selection._half_selections import draw_group_halves, number_groups


def make_patients(n_patients=12, n_rows=6, n_features=50):
    """Return rows in which each patient has a fingerprint, and random labels."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(n_patients), n_rows)
    prints = rng.normal(size=(n_patients, n_features))
    X = prints[groups] + 0.1 * rng.normal(size=(len(groups), n_features))
    y = (np.arange(n_patients) % 2)[groups]
    return X, y, groups


@pytest.mark.parametrize("mixed", [False, True])
def test_no_group_is_in_both_halves(mixed):
    _, y, groups = make_patients()
    strata = np.arange(len(y)) % 2 if mixed else y
    random_state = np.random.RandomState(0)
    seen = set()
    for _ in range(20):
        first, second = draw_group_halves(strata, groups, random_state)
        assert set(groups[first]).isdisjoint(groups[second])
        assert len(first) == len(second) == len(y) // 2
        assert np.bincount(strata[first]).tolist() == [18, 18]
        seen.add(tuple(first))
    assert len(seen) > 10


def test_groups_change_what_counts_as_stable():
    """Fingerprints of patients are in both halves of the rows, not of the patients."""
    X, y, groups = make_patients()
    selector = StabilitySelector(n_pairs=10, random_state=0)
    with pytest.warns(UserWarning, match="No feature is selected"):
        by_group = selector.fit(X, y, groups=groups).selection_probabilities_
    by_row = selector.fit(X, y).selection_probabilities_
    assert by_row.max() == 1.0
    assert by_group.max() < 0.75


def test_groups_may_be_names_and_need_no_routing():
    X, y, groups = make_patients()
    names = [f"patient {i:02}" for i in groups]
    selector = StabilitySelector(n_pairs=3, threshold=0.1, random_state=0)
    expected = selector.fit(X, y, groups=groups).supports_
    np.testing.assert_array_equal(selector.fit(X, y, groups=names).supports_, expected)
    with sklearn.config_context(enable_metadata_routing=True):
        again = selector.fit(X, y, groups=groups).supports_
    np.testing.assert_array_equal(again, expected)


def test_samples_without_weight_have_no_group():
    X, y, groups = make_patients()
    keep = groups < 10
    selector = StabilitySelector(n_pairs=3, threshold=0.1, random_state=0)
    weighted = selector.fit(X, y, groups=groups, sample_weight=1.0 * keep).supports_
    part = selector.fit(X[keep], y[keep], groups=groups[keep]).supports_
    np.testing.assert_array_equal(weighted, part)


@pytest.mark.parametrize(
    ("groups", "sentence"),
    [
        (np.arange(72) % 3, "groups must have at least 4 different values"),
        (np.arange(71), r"groups must have shape \(72,\)"),
        (np.where(np.arange(72) < 36, 0, np.arange(72)), "of class 0 are in group 0"),
    ],
)
def test_unsuitable_groups_are_refused(groups, sentence):
    X, y, _ = make_patients()
    y = np.sort(y)
    with pytest.raises(ValueError, match=sentence):
        StabilitySelector(n_pairs=2).fit(X, y, groups=groups)


def test_groups_are_numbered():
    assert number_groups(["b", "a", "c", "d", "a"], 5).tolist() == [1, 0, 2, 3, 0]
