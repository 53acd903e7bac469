"""All displays: imports, estimators and axes."""

import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from display_helpers import CANCER, DIGITS
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skproj import (
    ProjectionFeatureSelector,
    ProjectionFeatureSelectorCV,
    SparseMLPClassifier,
    SparseSupervisedAutoencoder,
)
from skproj.inspection import (
    EtaPathDisplay,
    LatentDisplay,
    SparsityDisplay,
    SupportDisplay,
    WeightsDisplay,
)


def test_import_leaves_out_matplotlib():
    """Who only asks for the numbers, or for help, does not wait for pyplot."""
    code = (
        "import sys, skproj.inspection; print({'matplotlib', 'torch'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_missing_matplotlib_is_named(monkeypatch):
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    display = SupportDisplay(importances=[1.0], support=[True])
    with pytest.raises(ImportError, match=r'pip install "skproj\[plot\]"'):
        display.plot()


WITHOUT_DATA = [EtaPathDisplay, SparsityDisplay, SupportDisplay, WeightsDisplay]


@pytest.mark.parametrize("display", WITHOUT_DATA)
@pytest.mark.parametrize(
    "estimator",
    [
        ProjectionFeatureSelectorCV(),
        SparseSupervisedAutoencoder(),
        make_pipeline(StandardScaler(), SparseMLPClassifier()),
        GridSearchCV(ProjectionFeatureSelector(), {"eta": [1.0]}),
    ],
    ids=["selector", "autoencoder", "pipeline", "search"],
)
def test_unfitted_estimator(display, estimator):
    """An estimator that is not fitted is said to be so, and nothing else."""
    with pytest.raises(NotFittedError):
        display.from_estimator(clone(estimator))
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("display", "lacking"),
    [
        (EtaPathDisplay, r"cross-validated path \(cv_results_, best_index_\)"),
        (SparsityDisplay, r"weights \(encoder_weights_, coefs_"),
        (SupportDisplay, "get_support"),
        (WeightsDisplay, "weights"),
    ],
)
def test_unsuitable_estimator(display, lacking):
    """The error names the estimator and what it lacks."""
    scaler = StandardScaler().fit(DIGITS)
    with pytest.raises(TypeError, match=f"{lacking}.* StandardScaler has not"):
        display.from_estimator(scaler)


@pytest.mark.parametrize("display", WITHOUT_DATA)
def test_displays_draw_in_given_axes(display, selector_cv):
    """The axes of a user get the plot, and no figure is made."""
    figure, ax = plt.subplots()
    drawn = display.from_estimator(selector_cv, ax=ax)
    assert drawn.ax_ is ax
    assert drawn.figure_ is figure
    assert plt.get_fignums() == [figure.number]
    assert ax.get_xlabel()
    assert drawn.plot() is drawn
    assert drawn.ax_ is not ax


def test_several_axes_are_refused(selector_cv):
    """A display of one plot cannot choose among them."""
    _, axes = plt.subplots(1, 2)
    with pytest.raises(TypeError, match="ax must be the axes of one plot, got ndarray"):
        SupportDisplay.from_estimator(selector_cv, ax=axes)


@pytest.mark.parametrize("display", WITHOUT_DATA)
def test_narrow_axes_stay(selector_cv, display):
    """A legend broader than the axes would make them vanish in a layout."""
    figure, axes = plt.subplots(1, 2, layout="constrained")
    for ax in axes:
        display.from_estimator(selector_cv, ax=ax)
    figure.canvas.draw()  # a layout that does not work out is a warning
    assert min(ax.get_position().width for ax in axes) > 0.1


def test_models_with_a_threshold(selector_cv):
    """As the command line saves them; the model inside may be frozen."""
    model = make_pipeline(selector_cv, StandardScaler(), LogisticRegression())
    X, y = CANCER.data, CANCER.target
    model = FixedThresholdClassifier(FrozenEstimator(model.fit(X, y)), threshold=0.3)
    display = SupportDisplay.from_estimator(model.fit(X, y))
    np.testing.assert_array_equal(display.support, model.estimator[0].get_support())
    np.testing.assert_array_equal(display.feature_names, X.columns)


def test_models_inside_models():
    """A search may be a step of a pipeline, and a pipeline another's step."""
    X, y = CANCER.data, CANCER.target
    selector = ProjectionFeatureSelector(n_features_to_select=3)
    inner = make_pipeline(StandardScaler(), selector, LogisticRegression())
    grid = {"projectionfeatureselector__n_features_to_select": [3]}
    search = GridSearchCV(inner, grid, cv=2)
    for last in (inner, search):
        model = make_pipeline(StandardScaler(), last).fit(X, y)
        display = SupportDisplay.from_estimator(model)
        fitted = getattr(model[-1], "best_estimator_", model[-1])[1]
        np.testing.assert_array_equal(display.support, fitted.get_support())
        np.testing.assert_array_equal(display.feature_names, X.columns)
        latent = LatentDisplay.from_estimator(model, X, y)
        assert latent.codes.shape == (len(X), 3)
