"""Progress and other callbacks of the selectors."""

from selector_helpers import WINE, TaskLog
from sklearn.callback import ProgressBar
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from skproj import ProjectionFeatureSelector, ProjectionFeatureSelectorCV


def test_cv_reports_progress(capsys):
    """scikit-learn's progress bar runs, with processes as well."""
    selector = ProjectionFeatureSelectorCV(3, cv=2).set_callbacks(ProgressBar())
    selector.fit(*WINE)
    assert "100%" in capsys.readouterr().out
    selector.set_params(n_jobs=2).fit(*WINE)
    assert "100%" in capsys.readouterr().out


def test_callbacks_see_the_folds():
    """Each fold is a task, and so is the last fit."""
    log = TaskLog()
    ProjectionFeatureSelectorCV(3, cv=3).set_callbacks(log).fit(*WINE)
    assert log.names == ["fold"] * 3 + ["refit", "fit"]


def test_callbacks_see_the_radii_of_a_search():
    """Each radius that is tried for a number of features is a task."""
    log = TaskLog()
    ProjectionFeatureSelector(eta=1.0).set_callbacks(log).fit(*WINE)
    assert log.names == ["radius", "fit"]
    log = TaskLog()
    ProjectionFeatureSelector(n_features_to_select=5).set_callbacks(log).fit(*WINE)
    assert log.names[-1] == "fit"
    assert set(log.names[:-1]) == {"radius"}
    assert len(log.names) > 3
    log = TaskLog()
    selector = ProjectionFeatureSelector(LogisticRegression(), n_features_to_select=5)
    X = StandardScaler().fit_transform(WINE[0])
    selector.set_callbacks(log).fit(X, WINE[1])
    assert log.names == ["fit"]
