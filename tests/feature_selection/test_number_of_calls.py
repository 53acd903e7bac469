"""The work of a search is in compiled loops: few functions are called from Python."""

import cProfile

import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from skproj.feature_selection import ProjectionFeatureSelectorCV

MAX_CALLS = 20_000


@pytest.mark.parametrize("data", [load_breast_cancer, load_wine, load_diabetes])
def test_search_calls_few_functions(data):
    """Five folds and thirty radii, with all that is around the solver."""
    X, y = data(return_X_y=True)
    selector = ProjectionFeatureSelectorCV(cv=5, random_state=0).fit(X, y)  # imports
    with cProfile.Profile() as profile:
        selector.fit(X, y)
    assert sum(entry.callcount for entry in profile.getstats()) < MAX_CALLS
