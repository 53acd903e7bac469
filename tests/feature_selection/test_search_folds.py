"""The folds of the search: shuffled, and with groups kept together."""

import numpy as np
import pytest
import sklearn
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skproj import ProjectionFeatureSelectorCV

WINE = load_wine(return_X_y=True)
ETAS = np.array([0.05, 0.3, 1.0, 3.0])


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("cv", [3, GroupKFold(3)], ids=["number", "splitter"])
def test_cv_keeps_groups_together(cv, routing):
    """Groups are taken with and without metadata routing, in a pipeline too."""
    X, y = WINE
    groups = np.arange(len(y)) // 3
    held_back = []

    def scorer(model, X_test, y_test):
        held_back.append({tuple(row) for row in X_test})
        return 0.0

    selector = ProjectionFeatureSelectorCV([1.0], cv=cv, scoring=scorer, random_state=0)
    with sklearn.config_context(enable_metadata_routing=routing):
        selector.fit(X, y, groups=groups)
        if routing:
            model = make_pipeline(selector, StandardScaler(), LogisticRegression())
            model.fit(X, y, groups=groups)
    assert len(held_back) == (6 if routing else 3)
    for group in np.unique(groups):
        rows = {tuple(row) for row in X[groups == group]}
        assert all(rows <= fold or not rows & fold for fold in held_back)


def test_cv_of_groups_is_not_fooled_by_repeated_rows():
    """Rows that repeat a patient with random labels predict each other only."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 4)
    X = rng.standard_normal((30, 40))[groups] + 0.1 * rng.standard_normal((120, 40))
    y = rng.permutation(np.arange(30) % 2)[groups]
    options = {"scoring": "accuracy", "random_state": 0}
    alone = ProjectionFeatureSelectorCV(8, **options).fit(X, y)
    grouped = ProjectionFeatureSelectorCV(8, **options).fit(X, y, groups=groups)
    assert alone.best_score_ > 0.9
    assert grouped.best_score_ < 0.7


def test_cv_does_not_depend_on_the_order_of_rows():
    """Rows that are sorted by class or by batch score like shuffled ones."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 60)
    batch = np.tile(np.repeat(np.arange(4), 15), 2)
    X = rng.standard_normal((120, 20))
    X[:, 0] += 2.0 * y
    X[:, 1] += 3.0 * batch  # what is learned without a batch does not hold in it
    X[:, 0] += 3.0 * batch
    scores = [
        ProjectionFeatureSelectorCV(ETAS, scoring="accuracy", random_state=0)
        .fit(X[order], y[order])
        .best_score_
        for order in (np.argsort(y), np.lexsort((y, batch)), rng.permutation(120))
    ]
    assert max(scores) - min(scores) < 0.05


@pytest.mark.parametrize(
    ("groups", "message"),
    [(np.zeros(5), r"groups must have shape \(178,\)"), (np.zeros(178), r"cv=5")],
)
def test_cv_refuses_bad_groups(groups, message):
    """A fit before stays as it was."""
    selector = ProjectionFeatureSelectorCV([1.0]).fit(*WINE)
    before = selector.coef_
    with pytest.raises(ValueError, match=message):
        selector.fit(*WINE, groups=groups)
    assert selector.coef_ is before
