"""Parameters on features: the right feature, or a sentence."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from skproj.utils._features import by_index, of_columns

NAMES = np.array(["a", "b", "c", "d"], dtype=object)
MASK = np.array([False, True, False, True])


def read(name, value, names=NAMES):
    return by_index({name: value}, 4, names)[name]


@pytest.mark.parametrize(
    "mask",
    [
        MASK,
        MASK.tolist(),
        MASK.astype(object),
        np.array(list(MASK), dtype=object),
        pd.Series(MASK),
        pd.Series(MASK, index=NAMES),
        pd.Series(MASK, index=NAMES)[::-1],
        pd.Series(MASK, index=NAMES, dtype="boolean").sort_values(),
        pd.Series([*MASK, True], index=[*NAMES, "e"])[["d", "e", "a", "c", "b"]],
        ["b", "d"],
        pd.Series(["d", "b"], index=["x", "y"]),
        np.array([1, 3]),
        pd.Index([3, 1]),
    ],
)
@pytest.mark.parametrize("name", ["always_keep", "never_keep", "feature_groups"])
def test_features_in_each_form(name, mask):
    """A Series is read by its index, in any order."""
    if name == "feature_groups":
        assert read(name, [mask]) == [[1, 3]]
    else:
        assert read(name, mask) == [1, 3]


def test_series_of_weights_and_labels_are_read_by_their_index():
    weights = pd.Series([1.0, 2.0, 3.0, 4.0], index=NAMES)
    for given in (
        weights,
        weights[["c", "a", "d", "b"]],
        weights.reset_index(drop=True),
    ):
        assert_array_equal(read("feature_weights", given), [1, 2, 3, 4])
    labels = pd.Series(["x", "x", "y", "y"], index=NAMES)
    for given in (
        labels,
        labels[::-1],
        labels.astype("category")[["b", "d", "a", "c"]],
    ):
        assert read("feature_groups", given) == [[0, 1], [2, 3]]
    numbered = weights.reset_index(drop=True)[::-1]
    assert_array_equal(read("feature_weights", numbered, None), [1, 2, 3, 4])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("feature_weights", pd.Series(1.0, index=list("abcx")), "got one without 'd'"),
        ("feature_weights", pd.Series(1.0, index=[3, 2, 1, 0]), "got one without 'a'"),
        ("feature_weights", pd.Series(1.0, index=list("abcda")), "with repeated names"),
        ("feature_weights", np.arange(9.0), r"got 9 entries, \[0.0, 1.0, .*, \.\.\.\]"),
        ("always_keep", pd.Series(MASK, index=list("wxyz")), "without 'a'"),
        ("always_keep", [True, None, False, True], "must have indices or names"),
        ("always_keep", MASK.astype(np.uint8), "each index once, or be a boolean mask"),
        ("always_keep", MASK.astype(int).tolist(), "each index once, or be a boolean"),
        (
            "feature_groups",
            [[1, 0, 1, 0], [0, 1, 0, 1]],
            "feature_groups must have each",
        ),
        ("always_keep", MASK[:3], "be a boolean mask of all 4, got array"),
        ("always_keep", [-1], "must have indices from 0 to 3, got -1"),
        ("feature_groups", ["x", None, "y", "y"], "a label, a str or an int, for each"),
        ("feature_groups", ["x", np.nan, np.nan, "y"], "for each of .* 2 missing ones"),
        ("feature_weights", [1.0, 1.0, 1e-13, 1.0], "from 1e-12 to 1e.12, or .*1e-13"),
        ("feature_weights", [1.0, 1.0, 1e13, 1.0], "from 1e-12 to 1e.12, or .*1e.13"),
    ],
)
def test_what_could_mean_another_feature_is_refused(name, value, message):
    with pytest.raises(ValueError, match=message) as error:
        read(name, value)
    assert "\n" not in str(error.value)


def test_series_with_names_needs_named_features():
    """Nothing says that they are in the order of X."""
    with pytest.raises(ValueError, match="by their numbers, as X has no names"):
        read("feature_weights", pd.Series(1.0, index=NAMES), None)


def test_there_may_be_no_groups():
    """None of them may be among the columns that are left."""
    assert read("feature_groups", []) == read("feature_groups", {}) == []
    indexed = by_index({"feature_groups": [["a", "b"]]}, 4, NAMES)
    assert of_columns(indexed, np.array([2, 3]))["feature_groups"] == []


def test_repeated_name_is_refused_only_where_it_is_used():
    names = ["a", "b", "a", "d"]
    assert read("always_keep", ["b"], names) == [1]
    with pytest.raises(
        ValueError, match="indices instead of 'a', because X has 2 feat"
    ):
        read("always_keep", ["a"], names)


def test_parameters_of_some_columns():
    """What is outside of them is left out, groups without a feature too."""
    indexed = by_index(
        {
            "feature_weights": [1.0, 2.0, 3.0, 4.0],
            "always_keep": ["d", "a"],
            "feature_groups": [["a"], ["b", "d", "c"]],
        },
        4,
        NAMES,
    )
    part = of_columns(indexed, np.array([1, 3]))
    assert_array_equal(part.pop("feature_weights"), [2.0, 4.0])
    assert part == {"always_keep": [1], "never_keep": None, "feature_groups": [[0, 1]]}
