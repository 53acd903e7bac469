"""SupportDisplay: ranked importances."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from display_helpers import CANCER, FLOWERS, texts, tick_labels
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest
from sklearn.pipeline import make_pipeline

from skproj import ProjectionFeatureSelector
from skproj.feature_selection import StabilitySelector
from skproj.inspection import SupportDisplay


def test_support_of_selector(selector_cv):
    """The largest scores come first, with their names; zeros are left out."""
    display = SupportDisplay.from_estimator(selector_cv, max_features=3)
    best = np.argsort(-selector_cv.scores_)[:3]
    widths = [bar.get_width() for bar in display.bars_]
    np.testing.assert_array_equal(widths, selector_cv.scores_[best])
    assert tick_labels(display.ax_.yaxis) == list(CANCER.data.columns[best])
    np.testing.assert_array_equal(display.ranking[:3], best)
    n_kept = selector_cv.get_support().sum()
    assert texts(display.legend_) == [f"kept: {n_kept} of 30"]
    assert display.ax_.get_ylabel() == f"First 3 of {n_kept} features"
    display.plot()
    assert len(display.bars_) == n_kept
    low, high = display.ax_.get_ylim()
    assert low > high  # the first bar, at 0, is at the top


def test_support_of_pipeline(autoencoder):
    """The selector is looked for, and names come from the steps before it."""
    display = SupportDisplay.from_estimator(autoencoder)
    network = autoencoder[-1]
    np.testing.assert_array_equal(display.importances, network.feature_importances_)
    np.testing.assert_array_equal(display.support, network.get_support())
    np.testing.assert_array_equal(display.feature_names, CANCER.data.columns)
    assert len(display.bars_) == 5


def test_support_takes_names_from_steps_before():
    """Names that a transformer makes are used where the selector saw an array."""
    steps = PCA(4), SelectKBest(k=2)
    display = SupportDisplay.from_estimator(make_pipeline(*steps).fit(*FLOWERS))
    assert list(display.feature_names) == ["pca0", "pca1", "pca2", "pca3"]
    selector = SelectKBest(k=2).fit(*FLOWERS)
    assert list(SupportDisplay.from_estimator(selector).feature_names) == [
        "x0",
        "x1",
        "x2",
        "x3",
    ]
    names = ["a", "b", "c", "d"]
    display = SupportDisplay.from_estimator(selector, feature_names=names)
    assert list(display.feature_names) == names
    with pytest.raises(ValueError, match="feature_names must be 4 names"):
        SupportDisplay.from_estimator(selector, feature_names=["a"])


def test_support_tells_kept_features_without_colour(selector_cv):
    """What is not kept is hatched as well as grey."""
    selector = SelectKBest(k=2).fit(*FLOWERS)
    display = SupportDisplay.from_estimator(selector)
    hatched = [bool(bar.get_hatch()) for bar in display.bars_]
    assert hatched == [False, False, True, True]
    assert texts(display.legend_) == ["kept: 2 of 4", "not kept: 2 of 4"]


def test_support_of_stability_selection():
    """Probabilities are drawn with the line of the threshold."""
    selector = StabilitySelector(
        ProjectionFeatureSelector(eta=2.0), n_pairs=5, random_state=0
    ).fit(CANCER.data, CANCER.target)
    display = SupportDisplay.from_estimator(selector)
    np.testing.assert_array_equal(
        display.importances, selector.selection_probabilities_
    )
    assert list(display.threshold_line_.get_xdata()) == [selector.threshold_] * 2
    assert display.ax_.get_xlabel() == "Selection probability"
    assert texts(display.legend_)[-1] == f"threshold: {selector.threshold_:.3g}"


def test_support_with_long_names():
    """Both ends of a long name are left, and dollar signs are no formula."""
    name = "ENSG00000000003 cost in $ of the first_measurement_of [mmol/$l]"
    display = SupportDisplay(importances=[1.0], support=[True], feature_names=[name])
    display.plot()
    (label,) = tick_labels(display.ax_.yaxis)
    start, end = label.split("…")
    assert name.startswith(start)
    assert name.endswith(end)
    assert len(label) <= 30
    display.figure_.canvas.draw()
    assert not display.ax_.yaxis.get_ticklabels()[0].get_parse_math()


def test_support_with_infinite_importance():
    """A feature that separates the classes perfectly has the longest bar."""
    display = SupportDisplay(importances=[2.0, np.inf, 1.0], support=[0, 1, 0]).plot()
    widths = [bar.get_width() for bar in display.bars_]
    assert widths[0] > widths[1] == 2.0
    assert [text.get_text() for text in display.ax_.texts] == ["∞", "", ""]


def test_support_refuses_to_draw_no_features():
    """The error names the argument."""
    display = SupportDisplay(importances=[1.0], support=[True])
    with pytest.raises(ValueError, match="max_features == 0, must be >= 1"):
        display.plot(max_features=0)


def test_support_of_nothing():
    """A selector that keeps nothing has an empty plot, and no error."""
    display = SupportDisplay(importances=np.zeros(3), support=np.zeros(3)).plot()
    assert len(display.bars_) == 0


def test_figure_grows_with_bars():
    """Names do not overlap in a new figure."""
    few, many = (
        SupportDisplay(importances=np.ones(60), support=np.ones(60)).plot(
            max_features=n
        )
        for n in (5, 60)
    )
    assert few.figure_.get_figheight() == plt.rcParams["figure.figsize"][1]
    many.figure_.canvas.draw()
    boxes = [x.get_window_extent() for x in many.ax_.yaxis.get_ticklabels()]
    assert all(a.y0 >= b.y1 for a, b in itertools.pairwise(boxes))
