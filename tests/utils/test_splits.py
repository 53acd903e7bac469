"""Splits of the samples for the searches."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.model_selection import GroupKFold, KFold

from skproj.utils._splits import make_splits

X = np.zeros((60, 2))
CLASSES = np.repeat([0, 1, 2], 20)
NUMBERS = np.linspace(0.0, 1.0, 60)
BATCHES = np.repeat(np.arange(12), 5)


@pytest.mark.parametrize("cv", [None, 4])
@pytest.mark.parametrize("groups", [None, BATCHES])
@pytest.mark.parametrize(
    ("y", "classifier"), [(CLASSES, True), (NUMBERS, False), (NUMBERS, True)]
)
def test_each_sample_is_held_back_once(y, classifier, groups, cv):
    """The folds are a partition, and no group is on both sides of a split."""
    splits = make_splits(cv, X, y, classifier=classifier, groups=groups, random_state=0)
    assert len(splits) == (cv or 5)
    held_back = np.concatenate([test for _, test in splits])
    assert_array_equal(np.sort(held_back), np.arange(60))
    for train, test in splits:
        assert_array_equal(np.sort(np.hstack([train, test])), np.arange(60))
        if groups is not None:
            assert not set(groups[train]) & set(groups[test])


def test_folds_of_sorted_labels_are_stratified():
    """Rows that are sorted by class give folds with all classes."""
    for _, test in make_splits(5, X, CLASSES, classifier=True, random_state=0):
        assert_array_equal(np.bincount(CLASSES[test]), [4, 4, 4])


@pytest.mark.parametrize(("y", "classifier"), [(CLASSES % 2, True), (NUMBERS, False)])
def test_folds_of_rows_in_blocks_are_mixed(y, classifier):
    """Rows sorted by batch, or by their target, are in all the folds."""
    for _, test in make_splits(3, X, y, classifier=classifier, random_state=0):
        assert len(np.unique(BATCHES[test])) >= 7
        assert abs(NUMBERS[test].mean() - 0.5) < 0.2


def test_seed_decides_the_folds():
    """The same seed gives the same folds, another one others."""
    first, again, other = (
        make_splits(5, X, CLASSES, classifier=True, random_state=seed)
        for seed in (0, 0, 1)
    )
    for a, b, c in zip(first, again, other, strict=True):
        assert_array_equal(a[1], b[1])
        assert not np.array_equal(a[1], c[1])


def test_groups_may_be_text():
    """Names of patients are as good as numbers."""
    names = np.array([f"patient {i}" for i in BATCHES], dtype=object)
    splits, expected = (
        make_splits(3, X, CLASSES, classifier=True, groups=groups, random_state=0)
        for groups in (list(names), np.unique(names, return_inverse=True)[1])
    )
    for (_, found), (_, wanted) in zip(splits, expected, strict=True):
        assert_array_equal(found, wanted)


def test_splitters_and_iterables_are_used_as_they_are():
    """The parameter groups reaches the splitters; nothing is shuffled."""
    expected = list(KFold(3).split(X))
    for cv in (KFold(3), expected, iter(expected)):
        splits = make_splits(cv, X, CLASSES, classifier=True, random_state=0)
        assert_array_equal(splits[1][1], expected[1][1])
    splits = make_splits(GroupKFold(4), X, CLASSES, classifier=True, groups=BATCHES)
    expected = list(GroupKFold(4).split(X, CLASSES, BATCHES))
    assert_array_equal(splits[2][0], expected[2][0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": BATCHES[1:]}, r"groups must have shape \(60,\).* shape \(59,\)"),
        ({"groups": np.ones((60, 2))}, r"groups must have shape \(60,\)"),
        ({"groups": np.where(BATCHES, BATCHES, np.nan)}, r"without missing values"),
        ({"groups": [None, *"a" * 59]}, r"groups must be of one type"),
        ({"groups": BATCHES % 4}, r"groups must have at least cv=5 .* got 4"),
        (
            {"groups": BATCHES % 4, "groups_name": "batch_key='b'"},
            r"batch_key='b' must",
        ),
        ({"cv": 1}, r"cv must be at least 2 folds, got 1"),
        ({"cv": 61}, r"cv=61 needs at least 61 samples, got 60"),
        ({"cv": []}, r"cv must give at least one split, got \[\]"),
        (
            {"cv": 2, "groups": CLASSES > 0, "y": CLASSES > 0},
            r"groups leaves a training part with samples of one class only",
        ),
    ],
)
def test_bad_input_is_refused(options, message):
    """One sentence names the argument."""
    arguments = {"cv": 5, "X": X, "y": CLASSES, "classifier": True} | options
    with pytest.raises(ValueError, match=message):
        make_splits(**arguments)
