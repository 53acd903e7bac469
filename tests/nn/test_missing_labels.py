"""Targets with a missing label: one sentence, from each estimator."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from skproj import ProjectionFeatureSelector, ProjectionFeatureSelectorCV
from skproj.blocks import open_blocks
from skproj.feature_selection import StabilitySelector
from skproj.nn import (
    SparseMLPClassifier,
    SparseSupervisedAutoencoder,
    SparseSupervisedAutoencoderCV,
)

X = np.random.default_rng(0).standard_normal((40, 3))
LABELS = pd.Series(["a", "b"] * 20)
IS_MISSING = np.arange(40) == 3


def list_with(missing):
    return LABELS.astype(object).mask(IS_MISSING, missing).tolist()


@pytest.mark.parametrize(
    "y",
    [
        LABELS.astype("string").mask(IS_MISSING),
        LABELS.astype("string[pyarrow]").mask(IS_MISSING),
        LABELS.astype("category").mask(IS_MISSING),
        LABELS.mask(IS_MISSING),
        (LABELS == "a").astype("boolean").mask(IS_MISSING),
        np.array(list_with(None), dtype=object),
        list_with(None),
        list_with(float("nan")),
        list_with(pd.NA),
    ],
    ids=["string", "arrow", "category", "str", "bool", "array", "None", "nan", "NA"],
)
@pytest.mark.parametrize(
    "estimator",
    [
        ProjectionFeatureSelector(),
        ProjectionFeatureSelector(LogisticRegression()),
        ProjectionFeatureSelectorCV(cv=2),
        StabilitySelector(n_pairs=2),
        SparseMLPClassifier(),
        SparseSupervisedAutoencoder(),
        SparseSupervisedAutoencoderCV(cv=2),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_missing_label_is_refused(estimator, y):
    """It is neither a class "nan" nor an error of another kind."""
    with pytest.raises(ValueError, match="y contains NaN: 1 of 40 samples have no"):
        estimator.fit(X, y)
    takes_blocks = not getattr(estimator, "estimator", None)
    if takes_blocks and not isinstance(estimator, SparseMLPClassifier):
        with pytest.raises(ValueError, match="y contains NaN: 1 of 40 samples have no"):
            estimator.fit(open_blocks(X), y)


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
def test_missing_group_is_no_group(missing):
    """Neither in a list, of which NumPy would make the text "nan"."""
    groups = list_with(missing)
    for given in (groups, pd.Series(groups)):
        with pytest.raises(
            ValueError, match=r"groups must be .* without missing values"
        ):
            ProjectionFeatureSelectorCV(cv=2).fit(X, LABELS, groups=given)
        with pytest.raises(
            ValueError, match=r"groups must be .* without missing values"
        ):
            StabilitySelector(n_pairs=2).fit(X, LABELS, groups=given)
