"""Fits that go on from an earlier one, after the features have changed."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from skproj import SparseMLPClassifier

NAMES = [f"gene{j}" for j in range(8)]


def make_table():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.standard_normal((60, 8)), columns=NAMES)
    return X, (X["gene0"] > 0.0).to_numpy().astype(int)


@pytest.mark.parametrize("names", [NAMES[::-1], ["other", *NAMES[1:]]])
def test_warm_start_with_other_names(names):
    """The weights would be those of other features."""
    X, y = make_table()
    options = {"max_epochs": 2, "warm_start": True, "random_state": 0}
    model = SparseMLPClassifier(alpha=1e-3, **options)
    model.fit(X, y)
    other = X[names] if set(names) == set(NAMES) else X.set_axis(names, axis=1)
    before = model.predict_proba(X)
    message = rf"feature 0 is '{names[0]}' instead of 'gene0'"
    with pytest.raises(ValueError, match=message):
        model.fit(other, y)
    assert_array_equal(model.predict_proba(X), before)
    model.fit(X, y)
    model.fit(X.to_numpy(), y)  # whose order nobody knows
    model.set_params(warm_start=False).fit(other, y)
    assert_array_equal(model.feature_names_in_, names)
