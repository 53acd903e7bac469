"""The displays draw the numbers of the estimators, and say what they lack."""

import itertools
import subprocess
import sys

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skproj import (
    GroupSparseNMF,
    ProjectionFeatureSelector,
    ProjectionFeatureSelectorCV,
    SparseMLPClassifier,
    SparseSupervisedAutoencoder,
    SparseSupervisedAutoencoderCV,
)
from skproj.feature_selection import StabilitySelector, eta_path
from skproj.inspection import (
    EtaPathDisplay,
    LatentDisplay,
    SparsityDisplay,
    SupportDisplay,
    WeightsDisplay,
)
from skproj.nn.prune import sparsity_report
from skproj.projection import projection_bilevel_l1inf_ball

matplotlib.use("Agg")

CANCER = load_breast_cancer(as_frame=True)
DIGITS, DIGIT_LABELS = (part[::6] for part in load_digits(return_X_y=True))
FLOWERS = load_iris(return_X_y=True)


@pytest.fixture(autouse=True)
def close_figures():
    """Leave no figure to the next test."""
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def selector_cv():
    return ProjectionFeatureSelectorCV(8, cv=3).fit(CANCER.data, CANCER.target)


@pytest.fixture(scope="module")
def autoencoder_cv():
    network = SparseSupervisedAutoencoderCV(max_epochs=3, cv=3, random_state=0)
    return make_pipeline(StandardScaler(), network).fit(*FLOWERS)


@pytest.fixture(scope="module")
def autoencoder():
    network = SparseSupervisedAutoencoder(
        n_features_to_select=5, max_epochs=3, random_state=0
    )
    model = make_pipeline(StandardScaler().set_output(transform="pandas"), network)
    return model.fit(CANCER.data, CANCER.target_names[CANCER.target])


@pytest.fixture(scope="module")
def mlp():
    network = SparseMLPClassifier(
        (16,), target_sparsity=0.8, max_epochs=5, sparsity_tol=0.05, random_state=0
    )
    return make_pipeline(StandardScaler(), network).fit(DIGITS, DIGIT_LABELS)


@pytest.fixture(scope="module")
def nmf():
    return GroupSparseNMF(4, sparsity_H=0.8, max_iter=30, tol=0.1).fit(DIGITS)


@pytest.fixture(scope="module")
def search():
    """Two parameters, and the number of features as a second score."""
    model = make_pipeline(
        ProjectionFeatureSelector(), StandardScaler(), LogisticRegression()
    )
    grid = {
        "projectionfeatureselector__eta": [5.0, 0.1, 1.0],
        "logisticregression__C": [1e-3, 1.0],
    }
    scoring = {
        "accuracy": "accuracy",
        "n_features": lambda model, X, y: model[0].get_support().sum(),
    }
    search = GridSearchCV(model, grid, scoring=scoring, refit="accuracy", cv=3)
    return search.fit(CANCER.data, CANCER.target)


def texts(legend):
    return [text.get_text() for text in legend.get_texts()]


def tick_labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


# ---------------------------------------------------------------------------
# All displays


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


# ---------------------------------------------------------------------------
# EtaPathDisplay


def test_path_of_selector(selector_cv):
    """Scores, spread, numbers of features and the mark are the estimator's."""
    display = EtaPathDisplay.from_estimator(selector_cv)
    results = selector_cv.cv_results_
    x, means = display.line_.get_data()
    np.testing.assert_array_equal(x, selector_cv.etas_)
    np.testing.assert_array_equal(means, results["mean_test_score"])
    low, high = means - results["std_test_score"], means + results["std_test_score"]
    corners = display.band_.get_paths()[0].vertices
    for edge in (low, high):
        assert {*np.round(edge, 12)} <= {*np.round(corners[:, 1], 12)}
    counts = selector_cv.path_.n_selected.copy()
    counts[selector_cv.best_index_] = selector_cv.get_support().sum()
    np.testing.assert_array_equal(display.line_features_.get_ydata(), counts)
    assert display.chosen_index == selector_cv.best_index_
    assert display.chosen_eta == selector_cv.eta_
    assert list(display.chosen_line_.get_xdata()) == [selector_cv.eta_] * 2
    assert display.ax_.get_xscale() == "log"
    assert display.ax_.get_ylabel() == "Accuracy"
    n_kept = selector_cv.get_support().sum()
    assert texts(display.legend_)[-1] == (
        f"chosen: η = {selector_cv.eta_:.3g}, {n_kept} features"
    )


def test_points_of_path_are_models(selector_cv, autoencoder_cv):
    """What is seen at a point is at hand, or can be fitted."""
    display = EtaPathDisplay.from_estimator(selector_cv)
    assert display.params == [{"eta": eta} for eta in selector_cv.etas_]
    for i in set(range(8)) - {display.chosen_index}:
        coef = selector_cv.path_.coefs[i]
        assert coef.any(axis=0).sum() == display.n_features[i]
    X = StandardScaler().fit_transform(FLOWERS[0])
    display = EtaPathDisplay.from_estimator(autoencoder_cv)
    for i in (0, display.chosen_index):
        network = SparseSupervisedAutoencoder(
            max_epochs=3, random_state=0, **display.params[i]
        )
        network.fit(X, FLOWERS[1])
        assert network.n_selected_features_ == display.n_features[i]


def test_path_of_autoencoder(autoencoder_cv):
    """Of several noises the chosen ones are drawn; all features are at infinity."""
    network = autoencoder_cv[-1]
    display = EtaPathDisplay.from_estimator(autoencoder_cv)
    order = np.argsort(network.etas_)
    np.testing.assert_array_equal(display.etas, network.etas_[order])
    np.testing.assert_array_equal(display.n_features, network.n_features_path_[order])
    assert display.params[display.chosen_index] == {
        "eta": network.eta_,
        "input_noise": network.input_noise_,
        "final_noise": network.final_noise_,
    }
    assert display.mean_scores[display.chosen_index] == network.best_score_
    assert display.ax_.get_ylabel() == "Negative log loss"
    assert np.isinf(display.etas[-1])
    x = display.line_.get_xdata()
    assert np.isfinite(x).all()
    assert x[-1] > x[-2]
    assert "η = ∞" in [text.get_text() for text in display.ax_.texts]


@pytest.mark.parametrize("form", ["search", "dict", "frame"])
def test_path_of_search(search, form):
    """The radii of a step of a pipeline, sorted, at the best value of the rest."""
    results = search.cv_results_
    if form == "frame":
        results = pd.DataFrame(results)
    display = EtaPathDisplay.from_cv_results(
        search if form == "search" else results, metric="accuracy"
    )
    np.testing.assert_array_equal(display.etas, [0.1, 1.0, 5.0])
    assert display.params[display.chosen_index] == search.best_params_
    best_C = search.best_params_["logisticregression__C"]
    for i, params in enumerate(display.params):
        assert params["projectionfeatureselector__eta"] == display.etas[i]
        assert params["logisticregression__C"] == best_C
        row = search.cv_results_["params"].index(params)
        for values, column in (
            (display.mean_scores, "mean_test_accuracy"),
            (display.std_scores, "std_test_accuracy"),
            (display.n_features, "mean_test_n_features"),
        ):
            assert values[i] == search.cv_results_[column][row]
    np.testing.assert_array_equal(display.line_.get_ydata(), display.mean_scores)


def test_path_of_search_with_several_scores(search):
    """The score is that by which the search has chosen, unless it is named."""
    display = EtaPathDisplay.from_estimator(search)
    assert display.ax_.get_ylabel() == "Accuracy"
    assert display.mean_scores[display.chosen_index] == search.best_score_
    display = EtaPathDisplay.from_cv_results(search, metric="n_features")
    np.testing.assert_array_equal(display.mean_scores, display.n_features)


def test_path_of_search_with_given_counts(search):
    """Numbers of features may come as an array, one for each candidate."""
    counts = np.arange(6)
    display = EtaPathDisplay.from_cv_results(
        search, metric="accuracy", n_features=counts, score_name="share"
    )
    rows = [search.cv_results_["params"].index(params) for params in display.params]
    np.testing.assert_array_equal(display.line_features_.get_ydata(), counts[rows])
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


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"results": DIGITS}, TypeError, "not an estimator instance"),
        (
            {"metric": "recall"},
            ValueError,
            "score of the search, accuracy, n_features; got 'recall'",
        ),
        ({"parameter": "nonsense"}, ValueError, "parameter must be one of .*C.*eta"),
        ({"n_features": "nonsense"}, ValueError, "n_features must be a column"),
        ({"n_features": [1]}, ValueError, "n_features must be 6 numbers"),
    ],
)
def test_path_refuses(search, options, error, message):
    """The error names the argument."""
    options = {"results": search, "metric": "accuracy"} | options
    with pytest.raises(error, match=message):
        EtaPathDisplay.from_cv_results(**options)


def test_path_refuses_search_without_radius():
    """A parameter that only ends in these letters is none."""
    table = {"param_theta": [1.0], "params": [{"theta": 1.0}], "mean_test_score": [1]}
    with pytest.raises(ValueError, match=r"parameter must say which .*: 0 of them"):
        EtaPathDisplay.from_cv_results(table)


def test_path_refuses_choice_without_radius():
    """The best candidate may come from a grid without the parameter."""
    table = {
        "param_eta": [1.0, None],
        "params": [{"eta": 1.0}, {"C": 1.0}],
        "mean_test_score": [0.5, 0.7],
        "rank_test_score": [2, 1],
    }
    with pytest.raises(ValueError, match="chosen candidate of the search has no 'eta'"):
        EtaPathDisplay.from_cv_results(table)


def table_of_radii(params, means):
    return {
        "param_eta": [candidate["eta"] for candidate in params],
        "params": params,
        "mean_test_score": np.array(means),
        "std_test_score": np.zeros(len(means)),
        "rank_test_score": np.argsort(np.argsort(-np.array(means))) + 1,
    }


def test_path_of_saved_table():
    """Other parameters are compared by what they are, not by where they are."""
    params = [{"eta": 1.0, "sizes": [10, 5]}, {"eta": 2.0, "sizes": [10, 5]}]
    assert params[0]["sizes"] is not params[1]["sizes"]
    display = EtaPathDisplay.from_cv_results(table_of_radii(params, [0.5, 0.7]))
    assert list(display.etas) == [1.0, 2.0]
    table = table_of_radii(params, [0.5, 0.7]) | {"params": [str(x) for x in params]}
    with pytest.raises(ValueError, match='results must have dicts in the column "par'):
        EtaPathDisplay.from_cv_results(table)


def test_path_of_halving_has_each_radius_once():
    """The last try counts, which had the most samples."""
    etas = [1.0, 2.0, 4.0, 2.0, 4.0, 4.0]
    means = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    table = table_of_radii([{"eta": eta} for eta in etas], means)
    display = EtaPathDisplay.from_cv_results(table)
    assert list(display.etas) == [1.0, 2.0, 4.0]
    assert list(display.mean_scores) == [0.1, 0.4, 0.6]
    assert display.chosen_eta == 4.0


@pytest.mark.parametrize("etas", [[0.01, 0.1, np.inf], [0.2, 0.3, np.inf]])
def test_infinite_radius_is_near_the_others(etas):
    """However small these are."""
    display = EtaPathDisplay(etas=etas, mean_scores=[0.1, 0.2, 0.3]).plot()
    assert etas[1] < display.line_.get_xdata()[-1] <= 2 * etas[1]


def test_path_refuses_what_is_no_search(nmf):
    """A fitted estimator of another kind is told apart."""
    with pytest.raises(
        TypeError, match=r"results must be a fitted search .*GroupSparse"
    ):
        EtaPathDisplay.from_cv_results(nmf)


# ---------------------------------------------------------------------------
# SupportDisplay


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


# ---------------------------------------------------------------------------
# WeightsDisplay


def test_weights_before_and_after():
    """Two images on one scale; zeros, and only they, are masked."""
    W = np.random.default_rng(0).normal(size=(7, 30))
    P = projection_bilevel_l1inf_ball(W, 3.0, axis=0)
    display = WeightsDisplay.from_weights(W, P, titles=("free", "projected"))
    assert 0 < display.support.sum() < 30
    before, after = display.images_
    np.testing.assert_array_equal(before.get_array(), W)
    np.testing.assert_array_equal(after.get_array().mask, P == 0.0)
    np.testing.assert_array_equal(after.get_array().filled(0.0), P)
    assert before.get_clim() == after.get_clim()
    assert before.get_clim()[0] == -before.get_clim()[1]
    assert [ax.get_title() for ax in display.axes_] == [
        "free: 30 of 30 columns are not zero",
        f"projected: {display.support.sum()} of 30 columns are not zero",
    ]
    display.plot(order="norm")
    shown = display.images_[1].get_array().filled(0.0)
    norms = np.linalg.norm(shown, axis=0)
    assert np.all(np.diff(norms) <= 0)


def test_weights_of_estimators(autoencoder, mlp, nmf, selector_cv):
    """The first layer has a row for each neuron and a column for each feature."""
    for estimator, weights, rows in (
        (autoencoder, autoencoder[-1].encoder_weights_, "Hidden neuron"),
        (mlp, mlp[-1].coefs_[0].T, "Hidden neuron"),
        (nmf, nmf.components_, "Component"),
        (selector_cv, selector_cv.coef_, "Output"),
    ):
        display = WeightsDisplay.from_estimator(estimator)
        (image,) = display.images_
        np.testing.assert_array_equal(image.get_array().filled(0.0), weights)
        assert display.ax_.get_ylabel() == rows


def test_weights_of_sparse_coefficients():
    """Coefficients of scikit-learn that have become a sparse matrix are drawn."""
    model = LogisticRegression(max_iter=500).fit(*FLOWERS)
    coef = model.coef_
    display = WeightsDisplay.from_estimator(model.sparsify())
    np.testing.assert_array_equal(display.after, coef)


def test_kept_columns_of_wide_matrix_are_drawn():
    """However many columns there are, none that is not zero is lost."""
    W = np.zeros((3, 20_011))
    kept = np.array([0, 7000, 20_010])
    W[:, kept] = [[1.0, -2.0, 3.0]]
    display = WeightsDisplay(after=W).plot()
    shown = display.images_[0].get_array()
    assert shown.shape[1] <= 400
    assert sorted(set(shown.compressed())) == [-2.0, 1.0, 3.0]
    assert (~shown.mask).any(axis=0).sum() == 3
    assert display.images_[0].get_extent()[:2] == [-0.5, 20_010.5]


def test_single_row_of_weights_has_no_fractions():
    """As the coefficients of a model for two classes."""
    display = WeightsDisplay(after=np.ones((1, 5))).plot()
    low, high = sorted(display.ax_.get_ylim())
    ticks = display.ax_.get_yticks()
    assert ticks[(ticks >= low) & (ticks <= high)].tolist() == [0.0]


def test_weights_that_are_all_zero():
    """Nothing left is a grey image."""
    display = WeightsDisplay(after=np.zeros((2, 3))).plot()
    assert display.images_[0].get_array().mask.all()


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            lambda W: WeightsDisplay.from_weights(W, W[:, 1:]),
            "before and after must have the same shape",
        ),
        (lambda W: WeightsDisplay(after=W).plot(order="size"), "order must be"),
        (
            lambda W: WeightsDisplay(before=W, after=W).plot(plt.gca()),
            "ax must be 2 axes",
        ),
        (lambda W: WeightsDisplay(after=W[0]), "Expected 2D array"),
    ],
)
def test_weights_refuse(draw, message):
    """The error names the argument."""
    with pytest.raises(ValueError, match=message):
        draw(np.ones((2, 3)))


# ---------------------------------------------------------------------------
# LatentDisplay


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


# ---------------------------------------------------------------------------
# SparsityDisplay


def drawn_shares(bars):
    return [bar.get_width() / 100 for bar in bars]


def test_sparsity_of_network(mlp):
    """The shares are those that the network reports of itself."""
    display = SparsityDisplay.from_estimator(mlp)
    expected = mlp[-1].layer_sparsities_
    np.testing.assert_allclose(display.fraction_zeros, expected)
    np.testing.assert_allclose(drawn_shares(display.bars_zero_), expected)
    np.testing.assert_allclose(drawn_shares(display.bars_kept_), 1.0 - expected)
    assert tick_labels(display.ax_.yaxis) == ["layer 0", "layer 1"]
    n_left = [np.count_nonzero(W) for W in mlp[-1].coefs_]
    assert tick_labels(display.axis_counts_.yaxis) == [
        f"{n} of {W.size}" for n, W in zip(n_left, mlp[-1].coefs_, strict=True)
    ]


def test_sparsity_of_report():
    """The names are those of the modules."""
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    nn.init.ones_(model[0].weight).data[1] = 0.0
    display = SparsityDisplay.from_report(sparsity_report(model))
    assert list(display.layer_names) == ["0", "2"]
    assert list(display.n_zeros) == [4, 0]
    assert list(display.n_weights) == [12, 6]
    np.testing.assert_allclose(drawn_shares(display.bars_zero_), [1 / 3, 0.0])
    with pytest.raises(TypeError, match=r"report must be what .*, got Sequential"):
        SparsityDisplay.from_report(model)


def test_sparsity_of_factors(nmf):
    """Each component has a bar; both factors can be given by name."""
    H = nmf.components_
    display = SparsityDisplay.from_estimator(nmf)
    np.testing.assert_allclose(display.fraction_zeros, np.mean(H == 0.0, axis=1))
    W = nmf.transform(DIGITS)
    display = SparsityDisplay.from_weights({"W": W, "H": H})
    assert tick_labels(display.ax_.yaxis) == ["W", "H"]
    assert list(display.n_weights) == [W.size, H.size]
    np.testing.assert_allclose(
        display.fraction_zeros, [np.mean(W == 0.0), np.mean(H == 0.0)]
    )


def test_sparsity_of_autoencoder(autoencoder):
    """The first layer has as many zero columns as there are removed features."""
    display = SparsityDisplay.from_estimator(autoencoder)
    assert list(display.layer_names) == ["encoder_weights_"]
    np.testing.assert_allclose(display.fraction_zeros, [25 / 30])
