"""EtaPathDisplay: paths of estimators and searches."""

import numpy as np
import pytest
from display_helpers import CANCER, FLOWERS, texts, tick_labels
from sklearn.model_selection import GridSearchCV

from skproj import SparseSupervisedAutoencoder
from skproj.feature_selection import eta_path
from skproj.inspection import EtaPathDisplay


def test_path_of_selector(selector_cv):
    """Scores, spread, numbers of features and the mark are the estimator's."""
    display = EtaPathDisplay.from_estimator(selector_cv)
    results = selector_cv.cv_results_
    x, means = display.line_.get_data()
    assert selector_cv.etas_[0] == 0.0 < x[0] < x[1]  # beyond the logarithmic axis
    assert "η = 0" in [text.get_text() for text in display.ax_.texts]
    np.testing.assert_array_equal(x[1:], selector_cv.etas_[1:])
    np.testing.assert_array_equal(means, results["mean_test_score"])
    counts = selector_cv.path_.n_selected.copy()
    counts[selector_cv.best_index_] = selector_cv.get_support().sum()
    np.testing.assert_array_equal(display.line_features_.get_ydata(), counts)
    assert display.chosen_index == selector_cv.best_index_
    assert display.chosen_eta == selector_cv.eta_
    assert list(display.chosen_line_.get_xdata()) == [selector_cv.eta_] * 2
    assert display.ax_.get_xscale() == "log"
    assert display.ax_.get_ylabel() == "Negative log loss"
    n_kept = selector_cv.get_support().sum()
    assert texts(display.legend_)[-1] == (
        f"chosen: η = {selector_cv.eta_:.3g}, {n_kept} features"
    )


def test_path_of_search_with_several_scores(search):
    """The score is that by which the search has chosen."""
    display = EtaPathDisplay.from_estimator(search)
    assert display.ax_.get_ylabel() == "Accuracy"
    assert display.mean_scores[display.chosen_index] == search.best_score_
    display = EtaPathDisplay.from_estimator(search, score_name="share")
    assert display.ax_.get_ylabel() == "Share"


def test_path_of_search_without_counts():
    """There is one axis then, which is linear for radii that are near each other."""
    search = GridSearchCV(
        SparseSupervisedAutoencoder(max_epochs=1), {"eta": [1.0, 2.0]}, cv=2
    ).fit(*FLOWERS)
    display = EtaPathDisplay.from_estimator(search)
    assert display.n_features is None
    assert display.ax_features_ is None
    assert display.figure_.axes == [display.ax_]
    assert display.ax_.get_xscale() == "linear"
    assert texts(display.legend_)[-1] == f"chosen: η = {display.chosen_eta:.3g}"


def test_path_without_scores():
    """Only the numbers of features are drawn, and nothing was chosen."""
    path = eta_path(CANCER.data, CANCER.target, etas=[0.01, 0.1, 1.0])
    display = EtaPathDisplay.from_path(path)
    np.testing.assert_array_equal(display.line_features_.get_ydata(), path.n_selected)
    assert display.line_ is None
    assert display.chosen_line_ is None
    assert display.chosen_eta is None
    assert display.ax_features_ is display.ax_
    assert display.params[1] == {"eta": 0.1}


def test_path_shows_that_nothing_is_kept():
    """Zero features have a place on an axis that is logarithmic otherwise."""
    display = EtaPathDisplay(
        etas=[0.1, 1.0, 10.0], n_features=[0, 5, 1234], chosen_index=2
    ).plot()
    low, _ = display.ax_features_.get_ylim()
    assert low == 0.0
    assert tick_labels(display.ax_features_.yaxis) == ["0", "1", "10", "100", "1000"]
    assert texts(display.legend_)[-1] == "chosen: η = 10, 1234 features"


def search_of(params, means):
    """Return a search whose table has these candidates."""
    names = list(dict.fromkeys(name for candidate in params for name in candidate))
    search = GridSearchCV(SparseSupervisedAutoencoder(), {})
    search.cv_results_ = {
        **{f"param_{name}": [c.get(name) for c in params] for name in names},
        "params": params,
        "mean_test_score": np.array(means),
        "std_test_score": np.zeros(len(means)),
    }
    search.best_index_ = int(np.argmax(means))
    return search


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ([{"eta": 1.0, "step__eta": 1.0}], "one parameter called eta, and this has 2"),
        ([{"eta": 1.0}, {"C": 1.0}], "chosen candidate of the search has no 'eta'"),
    ],
)
def test_path_refuses(params, message):
    """Two radii, or a best candidate from a grid without the parameter."""
    with pytest.raises(ValueError, match=message):
        EtaPathDisplay.from_estimator(search_of(params, range(len(params))))


def test_path_refuses_search_without_radius():
    """A parameter that only ends in these letters is none."""
    with pytest.raises(TypeError, match=r"cross-validated path .* of a parameter eta"):
        EtaPathDisplay.from_estimator(search_of([{"theta": 1.0}], [1.0]))


def test_other_parameters_are_compared_by_what_they_are():
    params = [{"eta": 1.0, "sizes": [10, 5]}, {"eta": 2.0, "sizes": [10, 5]}]
    assert params[0]["sizes"] is not params[1]["sizes"]
    display = EtaPathDisplay.from_estimator(search_of(params, [0.5, 0.7]))
    assert list(display.etas) == [1.0, 2.0]
    assert display.note == ""


@pytest.mark.parametrize("etas", [[0.01, 0.1, np.inf], [0.2, 0.3, np.inf]])
def test_infinite_radius_is_near_the_others(etas):
    """However small these are."""
    display = EtaPathDisplay(etas=etas, mean_scores=[0.1, 0.2, 0.3]).plot()
    assert etas[1] < display.line_.get_xdata()[-1] <= 2 * etas[1]
    assert "η = ∞" in [text.get_text() for text in display.ax_.texts]
