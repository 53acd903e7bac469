"""LatentDisplay: planes and histograms."""

import numpy as np
import pytest
from display_helpers import CANCER, FLOWERS, texts
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skproj import ProjectionFeatureSelector
from skproj.inspection import LatentDisplay


def test_latent_of_two_classes(autoencoder):
    """The histogram of the logit difference, with the decision at zero."""
    y = CANCER.target_names[CANCER.target]
    display = LatentDisplay.from_estimator(autoencoder, CANCER.data, y)
    scaled = autoencoder[0].transform(CANCER.data)
    difference = autoencoder[-1].decision_function(scaled)
    np.testing.assert_array_equal(display.coordinates[:, 0], difference)
    predicted = autoencoder.predict(CANCER.data)
    for name, bars in zip(display.classes, display.artists_, strict=True):
        for side, is_right in zip(display.classes, (False, True), strict=True):
            counts = [
                bar.get_height()
                for bar in bars
                if (bar.get_x() + bar.get_width() / 2 > 0) == is_right
            ]
            assert sum(counts) == np.sum((y == name) & (predicted == side))
    assert texts(display.legend_) == ["benign", "malignant"]
    assert display.ax_.get_xlabel() == "Logit of malignant minus logit of benign"
    assert [list(line.get_xdata()) for line in display.ax_.lines] == [[0.0, 0.0]]


def test_latent_of_three_classes(autoencoder_cv):
    """Two principal components, with their share of the variance."""
    X, y = FLOWERS
    display = LatentDisplay.from_estimator(autoencoder_cv, X, y)
    np.testing.assert_array_equal(display.codes, autoencoder_cv.transform(X))
    expected = PCA(2).fit(display.codes)
    np.testing.assert_allclose(display.coordinates, expected.transform(display.codes))
    share = expected.explained_variance_ratio_
    np.testing.assert_allclose(display.explained_variance_ratio, share)
    assert display.ax_.get_xlabel() == (
        f"Principal component 1 ({share[0]:.0%} of the variance)"
    )
    markers = set()
    for name, points in zip(display.classes, display.artists_, strict=True):
        np.testing.assert_array_equal(
            points.get_offsets(), display.coordinates[y == name]
        )
        markers.add(points.get_paths()[0].vertices.tobytes())
    assert len(markers) == 3
    assert texts(display.legend_) == ["0", "1", "2"]


def test_latent_numbers_that_are_no_logits():
    """Two components without classes are a plane, one is a histogram."""
    X, y = FLOWERS
    display = LatentDisplay.from_estimator(PCA(2).fit(X), X, y)
    np.testing.assert_array_equal(display.coordinates, PCA(2).fit_transform(X))
    assert display.explained_variance_ratio is None
    assert display.ax_.get_xlabel() == "First latent number"
    display = LatentDisplay.from_estimator(PCA(1).fit(X), X, y)
    assert display.ax_.get_xlabel() == "Latent number"
    assert len(display.artists_) == 3


def test_kept_features_are_no_logits():
    """Though a selector for two classes may keep two of them."""
    y = CANCER.target_names[CANCER.target]
    selector = ProjectionFeatureSelector(n_features_to_select=2).fit(CANCER.data, y)
    display = LatentDisplay.from_estimator(selector, CANCER.data, y)
    np.testing.assert_array_equal(display.coordinates, selector.transform(CANCER.data))
    assert display.ax_.get_xlabel() == "First latent number"


def test_legend_of_many_classes_fits():
    """A new figure grows with it, as types of cells are many."""
    rng = np.random.default_rng(0)
    display = LatentDisplay(
        codes=rng.normal(size=(80, 2)), labels=np.repeat(np.arange(40), 2)
    ).plot()
    display.figure_.canvas.draw()
    legend = display.legend_.get_window_extent()
    assert legend.y0 >= 0
    assert display.ax_.get_position().height > 0.5


def test_histograms_of_many_classes_differ():
    """By hatches where colours repeat."""
    display = LatentDisplay(
        codes=np.arange(24.0)[:, np.newaxis], labels=np.repeat(np.arange(12), 2)
    ).plot()
    looks = {
        (bars[0].get_facecolor(), bars[0].get_hatch()) for bars in display.artists_
    }
    assert len(looks) == 12


def test_latent_of_pipeline_that_classifies():
    """What the classifier at the end is given is drawn."""
    X, y = FLOWERS
    steps = make_pipeline(StandardScaler(), PCA(2))
    model = make_pipeline(StandardScaler(), PCA(2), LogisticRegression()).fit(X, y)
    display = LatentDisplay.from_estimator(model, X, y)
    np.testing.assert_allclose(display.coordinates, steps.fit_transform(X))


def test_histogram_of_equal_numbers():
    """One bin is enough for them."""
    display = LatentDisplay(codes=np.full((6, 1), 3.0), labels=[0, 1] * 3).plot()
    assert [sum(bar.get_height() for bar in bars) for bars in display.artists_] == [
        3,
        3,
    ]


def test_latent_refuses(autoencoder):
    """Numbers are no classes, and the labels are as many as the samples."""
    X = CANCER.data
    with pytest.raises(ValueError, match="labels must be those of classes, got cont"):
        LatentDisplay.from_estimator(autoencoder, X, X["mean area"])
    missing = CANCER.target_names[CANCER.target].astype(object)
    missing[3] = None
    with pytest.raises(ValueError, match="labels must be of one type and none of them"):
        LatentDisplay.from_estimator(autoencoder, X, missing)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        LatentDisplay.from_estimator(autoencoder, X, CANCER.target[:5])
    with pytest.raises(
        ValueError, match=r"among the classes \['benign', 'malignant'\]"
    ):
        LatentDisplay.from_estimator(autoencoder, X, CANCER.target)
    with pytest.raises(NotFittedError):
        LatentDisplay.from_estimator(clone(autoencoder), X, CANCER.target)
    model = LogisticRegression(max_iter=500).fit(*FLOWERS)
    with pytest.raises(TypeError, match="must have transform; this LogisticReg"):
        LatentDisplay.from_estimator(model, *FLOWERS)
