"""What a display draws of a default estimator is what the estimator has."""

import copy
import functools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from display_helpers import texts, tick_labels
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import make_classification, make_regression
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
)
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from skproj import (
    GroupSparseNMF,
    ProjectionFeatureSelector,
    ProjectionFeatureSelectorCV,
    SparseMLPClassifier,
    SparseMLPRegressor,
    SparseSupervisedAutoencoder,
    SparseSupervisedAutoencoderCV,
    SparseSupervisedAutoencoderRegressor,
    StabilitySelector,
)
from skproj.blocks import RowBlocks
from skproj.datasets import make_survival
from skproj.inspection import (
    EtaPathDisplay,
    LatentDisplay,
    SparsityDisplay,
    SupportDisplay,
    SurvivalCurvesDisplay,
    WeightsDisplay,
)
from skproj.nn import SparsificationSchedule

SIZE = {"n_samples": 80, "n_features": 12, "n_informative": 4, "random_state": 0}
CLASSES = make_classification(**SIZE, n_classes=3)
TWO_CLASSES = make_classification(**SIZE)
NUMBERS = make_regression(**SIZE)
TIMES = make_survival(n_samples=80, n_features=12, random_state=0, return_X_y=True)
FEW_EPOCHS = {"max_epochs": 2, "random_state": 0}

FITS = {
    "selector": (ProjectionFeatureSelector(), CLASSES),
    "selector of numbers": (ProjectionFeatureSelector(), NUMBERS),
    "selector of times": (ProjectionFeatureSelector(), TIMES),
    "search": (ProjectionFeatureSelectorCV(), CLASSES),
    "search of numbers": (ProjectionFeatureSelectorCV(), NUMBERS),
    "search of times": (ProjectionFeatureSelectorCV(), TIMES),
    "stability": (StabilitySelector(n_pairs=5, random_state=0), CLASSES),
    "network": (SparseSupervisedAutoencoder(**FEW_EPOCHS), CLASSES),
    "network of two": (SparseSupervisedAutoencoder(**FEW_EPOCHS), TWO_CLASSES),
    "network search": (SparseSupervisedAutoencoderCV(**FEW_EPOCHS), CLASSES),
    "network of numbers": (SparseSupervisedAutoencoderRegressor(**FEW_EPOCHS), NUMBERS),
    "network of times": (
        SparseSupervisedAutoencoderRegressor(loss="cox", **FEW_EPOCHS),
        TIMES,
    ),
    "perceptron": (SparseMLPClassifier(**FEW_EPOCHS), CLASSES),
    "perceptron of numbers": (SparseMLPRegressor(**FEW_EPOCHS), NUMBERS),
    "factorisation": (GroupSparseNMF(random_state=0), (abs(CLASSES[0]), None)),
}
WITH_SUPPORT = [name for name in FITS if "perc" not in name and "fact" not in name]
WITH_LATENT = [name for name in FITS if "perc" not in name and " of " not in name]
WITH_LATENT.append("network of two")
WITH_WEIGHTS = [name for name in FITS if name != "stability"]


@functools.cache
def fitted(name):
    estimator, (X, y) = FITS[name]
    return estimator.fit(X, y)


def assert_in_view(ax, x, y):
    """No point is beyond the limits of the axes."""
    for values, limits in ((x, ax.get_xlim()), (y, ax.get_ylim())):
        assert min(limits) <= np.min(values)
        assert np.max(values) <= max(limits)


def assert_draws_rows(display, results, rows, name="eta", metric="score"):
    """Each point is a row of the table, from the smallest radius to the largest."""
    etas = np.array([results["params"][row][name] for row in rows], dtype=float)
    assert_array_equal(display.etas, etas)
    assert np.all(np.diff(etas) > 0)
    assert display.params == [results["params"][row] for row in rows]
    x, means = display.line_.get_data()
    inside = np.isfinite(etas) & (etas > 0)
    assert_array_equal(x[inside], etas[inside])
    assert np.all(np.diff(x) > 0)
    assert_array_equal(means, results[f"mean_test_{metric}"][rows])
    stds = results[f"std_test_{metric}"][rows]
    edges = display.band_.get_paths()[0].vertices
    for edge in (means - stds, means + stds):
        assert {*np.round(edge, 9)} <= {*np.round(edges[:, 1], 9)}
        assert_in_view(display.ax_, x, edge)
    if display.n_features is not None:
        x, counts = display.line_features_.get_data()
        assert_array_equal(counts, display.n_features)
        assert_in_view(display.ax_features_, x, counts)
    chosen = display.chosen_line_.get_xdata()[0]
    assert chosen == display.line_.get_xdata()[display.chosen_index]


SEARCHES = {
    "default": {},
    "no last stage": {"schedule": SparsificationSchedule(final_noise=1.0)},
    "radii": {"etas": [1.0, 2.0, 4.0]},
    "another score": {"scoring": "accuracy", "selection_rule": "best"},
    "blocks": {},
}


@pytest.mark.parametrize("name", SEARCHES)
def test_network_search_has_every_radius(name):
    """The path of the chosen noise, and on it the chosen candidate."""
    X, y = CLASSES
    if name == "blocks":
        X = RowBlocks(lambda: iter(np.array_split(CLASSES[0], 2)), X.shape)
    search = SparseSupervisedAutoencoderCV(**FEW_EPOCHS, cv=3, **SEARCHES[name]).fit(
        X, y
    )
    results, best = search.cv_results_, search.best_index_
    display = EtaPathDisplay.from_estimator(search)
    etas = np.sort(search.etas_)
    assert len(etas) > 2
    # A network is trained with its input noise, and less at the end at most.
    noise = 1.0
    rows = []
    for eta in etas:
        same = results["param_eta"] == eta
        alone = same & (results["param_linear_weight"] == 0.0)
        (row,) = np.flatnonzero(alone & (results["param_final_noise"] == noise))
        rows.append(best if eta == search.eta_ else row)
    assert_draws_rows(display, results, rows)
    assert_array_equal(display.n_features, search.n_features_path_[::-1])
    assert display.chosen_eta == search.eta_
    assert display.mean_scores[display.chosen_index] == search.best_score_
    choice = texts(display.legend_)[-1]
    assert f", {search.n_selected_features_} feature" in choice
    label = display.ax_.get_xlabel()
    hidden = len(results["params"]) - len(rows)
    assert (f"{len(rows)} of {len(rows) + hidden} candidates" in label) == (hidden > 0)
    refined = search.final_noise_ < noise
    differs = [f"final noise = {search.final_noise_:.3g}"] if refined else []
    if search.linear_weight_:
        differs.append(f"linear weight = {search.linear_weight_:.3g}")
    at_chosen = f"{', '.join(differs)} at the chosen η"
    assert at_chosen in label if differs else "at the chosen" not in label


def test_default_network_search_is_refined():
    """Otherwise the test above would not see a chosen row outside of the path."""
    search = fitted("network search")
    assert search.best_index_ >= len(search.etas_)
    assert len(EtaPathDisplay.from_estimator(search).etas) == len(search.etas_)


def test_table_of_an_older_version_has_every_radius():
    """It does not say which rows are a path, but the search knows its radii."""
    search = copy.copy(fitted("network search"))
    display = EtaPathDisplay.from_estimator(search)
    del search.path_rows_
    older = EtaPathDisplay.from_estimator(search)
    assert older.params == display.params
    assert len(older.etas) == len(search.etas_)


@pytest.mark.parametrize("name", ["search", "search of numbers", "search of times"])
def test_selector_search_has_every_radius(name):
    """With the scores of the folds, and the numbers of the path of all samples."""
    search = fitted(name)
    display = EtaPathDisplay.from_estimator(search)
    assert_draws_rows(display, search.cv_results_, list(range(30)))
    assert_array_equal(display.n_features, search.path_.n_selected)
    scores = {"search": "Negative log loss", "search of numbers": "R2"}
    expected = scores.get(name, "Gain in log partial likelihood")
    assert display.ax_.get_ylabel() == expected
    assert display.ax_.get_xlabel() == "Radius η"


def test_selector_search_with_ridge_has_every_radius():
    """At the chosen penalty, which the label has."""
    search = ProjectionFeatureSelectorCV(6, l2_reg=[0.0, 0.1, 1.0]).fit(*CLASSES)
    display = EtaPathDisplay.from_estimator(search)
    rows = np.flatnonzero(search.cv_results_["param_l2_reg"] == search.l2_reg_)
    assert_draws_rows(display, search.cv_results_, list(rows))
    assert display.ax_.get_xlabel().splitlines()[1] == (
        f"6 of 18 candidates; l2 reg = {search.l2_reg_:.3g}"
    )


def test_other_number_of_features_of_the_model_is_said():
    """A fit from zero may keep one of several similar features more or less."""
    search = fitted("search")
    display = EtaPathDisplay.from_estimator(search)
    n_path = display.n_features[display.chosen_index]
    display.n_selected = n_path + 1
    choice = texts(display.plot().legend_)[-1]
    assert choice.endswith(f", {n_path} features, {n_path + 1} in the fitted model")


def count(model, X, y):
    step = model["select"] if isinstance(model, Pipeline) else model
    return np.count_nonzero(step.get_support())


def pipeline():
    return Pipeline([("select", ProjectionFeatureSelector()), ("svc", SVC())])


NETWORK = SparseSupervisedAutoencoderRegressor(**FEW_EPOCHS)
GRIDS = {
    "pipeline": (pipeline(), {}, "accuracy", CLASSES),
    "two parameters": (pipeline(), {"svc__C": [0.1, 1.0, 10.0]}, "accuracy", CLASSES),
    "network": (Pipeline([("select", NETWORK)]), {}, "r2", NUMBERS),
}


@pytest.mark.parametrize("name", GRIDS)
def test_grid_search_has_every_radius(name):
    model, others, scorer, data = GRIDS[name]
    grid = {"select__eta": [4.0, 0.25, 1.0, 2.0], **others}
    scoring = {"score": scorer, "n_features": count}
    search = GridSearchCV(model, grid, scoring=scoring, refit="score", cv=2).fit(*data)
    results = search.cv_results_
    rows = [
        results["params"].index({**search.best_params_, "select__eta": eta})
        for eta in (0.25, 1.0, 2.0, 4.0)
    ]
    display = EtaPathDisplay.from_estimator(search)
    assert_draws_rows(display, results, rows, name="select__eta")
    assert_array_equal(display.n_features, results["mean_test_n_features"][rows])
    assert display.params[display.chosen_index] == search.best_params_
    counts, choice = texts(display.legend_)[-2:]
    assert counts == "features, mean of the folds"
    assert choice.endswith(" features on average")
    note = "4 of 12 candidates; C = " if others else ""
    assert note in display.ax_.get_xlabel()


def test_grids_of_different_parameters_have_every_radius():
    """Radii that were not tried with the chosen values are drawn with their own."""
    grids = [
        {"select__eta": [0.5, 1.0], "svc__C": [1.0]},
        {"select__eta": [2.0, 4.0], "select__projection": ["l1inf"]},
    ]
    search = GridSearchCV(pipeline(), grids, cv=2).fit(*CLASSES)
    display = EtaPathDisplay.from_estimator(search)
    assert_draws_rows(display, search.cv_results_, [0, 1, 2, 3], name="select__eta")
    assert " at the chosen η" in display.ax_.get_xlabel()


def test_search_in_a_search_has_every_radius():
    """The outer one knows no radii; the inner one is in its best model."""
    model = Pipeline(
        [
            ("select", ProjectionFeatureSelectorCV(5, cv=5, random_state=0)),
            ("svc", SVC()),
        ]
    )
    search = GridSearchCV(model, {"svc__C": [0.1, 1.0]}, cv=2).fit(*CLASSES)
    display = EtaPathDisplay.from_estimator(search)
    inner = search.best_estimator_["select"]
    assert_draws_rows(display, inner.cv_results_, list(range(5)))
    search = GridSearchCV(SVC(), {"C": [0.1, 1.0]}, cv=2).fit(*CLASSES)
    with pytest.raises(
        TypeError, match="of a parameter eta; this GridSearchCV has not"
    ):
        EtaPathDisplay.from_estimator(search)


def test_random_search_has_every_radius():
    """No two candidates have the same other parameters."""
    rng = np.random.RandomState(0)
    choices = {"select__eta": list(rng.uniform(0.1, 5.0, size=50))}
    choices["svc__C"] = list(rng.uniform(0.1, 5.0, size=50))
    search = RandomizedSearchCV(pipeline(), choices, n_iter=6, cv=2, random_state=0)
    results = search.fit(*CLASSES).cv_results_
    display = EtaPathDisplay.from_estimator(search)
    rows = np.argsort(results["param_select__eta"].astype(float))
    assert_draws_rows(display, results, list(rows), name="select__eta")
    assert display.ax_.get_xlabel().splitlines()[1] == (
        f"C = {search.best_params_['svc__C']:.3g} at the chosen η"
    )


@pytest.mark.parametrize("resource", ["n_samples", "max_epochs"])
def test_halving_has_every_radius(resource):
    """The last try of each: a resource that is a parameter differs among them."""
    network = SparseSupervisedAutoencoder(random_state=0)
    amounts = {"max_epochs": (1, 4), "n_samples": (40, 80)}[resource]
    search = HalvingGridSearchCV(
        network if resource == "max_epochs" else network.set_params(max_epochs=2),
        {"eta": [0.5, 1.0, 2.0, 4.0]},
        resource=resource,
        min_resources=amounts[0],
        max_resources=amounts[1],
        factor=2,
        cv=2,
        random_state=0,
    ).fit(*CLASSES)
    results = search.cv_results_
    radii = results["param_eta"].astype(float)
    rows = [np.flatnonzero(radii == eta)[-1] for eta in (0.5, 1.0, 2.0, 4.0)]
    assert len(radii) > 4
    display = EtaPathDisplay.from_estimator(search)
    assert_draws_rows(display, results, rows)
    assert display.params[display.chosen_index] == search.best_params_
    assert f"4 of {len(radii)} candidates" in display.ax_.get_xlabel()
    assert "n resources = " in display.ax_.get_xlabel()


def test_radii_without_a_score_are_counted():
    """A fit that has failed leaves a gap in the line."""
    display = EtaPathDisplay(
        etas=[1.0, 2.0, 3.0], mean_scores=[0.1, np.nan, 0.3], n_features=[1, np.nan, 20]
    ).plot()
    assert display.ax_.get_xlabel() == "Radius η\n1 without a finite score"
    assert_in_view(display.ax_features_, [1.0, 3.0], [1, 20])


@pytest.mark.parametrize("name", WITH_SUPPORT)
def test_every_kept_feature_has_a_bar(name):
    """Or the label of the axis says how many there are."""
    estimator = fitted(name)
    values = getattr(estimator, "selection_probabilities_", None)
    if values is None:
        values = getattr(estimator, "feature_importances_", None)
    if values is None:
        values = estimator.scores_
    support = estimator.get_support()
    display = SupportDisplay.from_estimator(estimator)
    drawn = display.ranking[: len(display.bars_)]
    assert set(np.flatnonzero(support)) <= set(drawn)
    assert not values[np.setdiff1d(np.arange(12), drawn)].any()
    assert_array_equal([bar.get_width() for bar in display.bars_], values[drawn])
    assert tick_labels(display.ax_.yaxis) == [f"x{i}" for i in drawn]
    assert texts(display.legend_)[0] == f"kept: {support.sum()} of 12"
    display.plot(max_features=2)
    assert display.ax_.get_ylabel() == f"First 2 of {len(drawn)} features"
    assert texts(display.legend_)[0] == f"kept: {support.sum()} of 12"


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_weights_are_those_of_the_first_layer(name):
    """Each one is a pixel, and each layer has a bar."""
    estimator = fitted(name)
    if hasattr(estimator, "coefs_"):
        weights, layers = estimator.coefs_[0].T, estimator.coefs_
        names, row_name = ["layer 0", "layer 1"], "Hidden neuron"
    elif hasattr(estimator, "components_"):
        weights = layers = estimator.components_
        names, row_name = [f"component {i}" for i in range(len(layers))], "Component"
    else:
        is_network = hasattr(estimator, "encoder_weights_")
        names = ["encoder_weights_" if is_network else "coef_"]
        weights = getattr(estimator, names[0])
        layers, row_name = [weights], "Hidden neuron" if is_network else "Output"
    display = WeightsDisplay.from_estimator(estimator)
    (image,) = display.images_
    assert_array_equal(image.get_array().filled(0.0), weights)
    assert display.ax_.get_ylabel() == row_name
    n_kept = np.count_nonzero(weights.any(axis=0))
    assert f": {n_kept} of 12 columns" in display.ax_.get_title()
    bars = SparsityDisplay.from_estimator(estimator)
    assert list(bars.layer_names) == names
    shares = [100 * np.mean(layer == 0.0) for layer in layers]
    assert_allclose([bar.get_width() for bar in bars.bars_zero_], shares)
    assert tick_labels(bars.axis_counts_.yaxis) == [
        f"{np.count_nonzero(layer)} of {layer.size}" for layer in layers
    ]


@pytest.mark.parametrize("name", WITH_LATENT)
def test_every_sample_is_in_the_latent_plot(name):
    X, y = TWO_CLASSES if name == "network of two" else CLASSES
    estimator = fitted(name)
    display = LatentDisplay.from_estimator(
        estimator, abs(X) if "fact" in name else X, y
    )
    classes = np.unique(y)
    assert texts(display.legend_) == [str(label) for label in classes]
    for label, artist in zip(classes, display.artists_, strict=True):
        own = display.coordinates[y == label]
        if own.shape[1] == 1:
            assert sum(bar.get_height() for bar in artist) == len(own)
        else:
            assert_array_equal(artist.get_offsets(), own)
            assert_in_view(display.ax_, *own.T)


@pytest.mark.parametrize("n_groups", [1, 3, 12])
@pytest.mark.parametrize("name", ["network of times", "selector of times"])
def test_every_event_is_in_the_survival_curves(name, n_groups):
    """Until the last time, in groups that look different."""
    estimator, (X, y) = fitted(name), TIMES
    risk = X @ estimator.coef_[0] if name[0] == "s" else estimator.predict(X)
    display = SurvivalCurvesDisplay.from_predictions(y, risk, n_groups=n_groups)
    sizes = np.bincount(display.group)
    assert sizes.sum() == len(y)
    for i, line in enumerate(display.lines_):
        own = y[display.group == i]
        times = line.get_xdata()
        assert set(own["time"][own["event"]]) <= set(times)
        assert_in_view(display.ax_, times, line.get_ydata())
        text = f"{own['event'].sum()} events of {sizes[i]}"
        assert texts(display.legend_)[i].endswith(text)
    looks = {(line.get_color(), line.get_linestyle()) for line in display.lines_}
    assert len(looks) == len(display.lines_)


def test_names_that_would_look_alike_are_written_in_full():
    """As those of the layers of a network, which differ in the middle."""
    names = [f"transformer.encoder.layers.{i}.self_attention.out" for i in (3, 5)]
    bars = SparsityDisplay(layer_names=names, n_zeros=[1, 2], n_weights=[3, 3]).plot()
    assert tick_labels(bars.ax_.yaxis) == names
    kept = SupportDisplay(importances=[1, 2], support=[1, 1], feature_names=names)
    assert tick_labels(kept.plot().ax_.yaxis) == names[::-1]
    latent = LatentDisplay(codes=np.eye(2), labels=names).plot()
    assert texts(latent.legend_) == names


def test_importances_below_zero_and_missing_ones_have_bars():
    """Correlations, and the F test of a constant column."""
    values = [-0.5, np.nan, 0.2, 0.0, -np.inf]
    display = SupportDisplay(importances=values, support=[0, 0, 1, 0, 0]).plot()
    assert tick_labels(display.ax_.yaxis) == ["x2", "x0", "x4", "x1"]
    widths = [bar.get_width() for bar in display.bars_]
    assert widths[:2] == [0.2, -0.5]
    assert widths[2] < -0.5
    assert [text.get_text() for text in display.ax_.texts] == ["", "", "-∞", "nan"]


def test_all_rows_of_a_large_matrix_are_drawn():
    """No single weight falls between the pixels."""
    W = np.zeros((2000, 30))
    W[[0, 701, 1999], [3, 4, 29]] = [1.0, -2.0, 3.0]
    shown = WeightsDisplay(after=W).plot().images_[0].get_array()
    assert sorted(shown.compressed()) == [-2.0, 1.0, 3.0]
    assert len(shown) <= 150


@pytest.mark.parametrize(("n_latent", "n_classes"), [(2, 88), (1, 56)])
def test_many_classes_look_different(n_latent, n_classes):
    """Or a warning says that they do not."""
    labels = np.arange(n_classes + 1)
    codes = np.random.default_rng(0).normal(size=(len(labels), n_latent))
    with pytest.warns(UserWarning, match=f"can tell {n_classes} classes or groups"):
        LatentDisplay(codes=codes, labels=labels).plot()
    artists = LatentDisplay(codes=codes[1:], labels=labels[1:]).plot().artists_
    if n_latent == 2:
        looks = {
            (*artist.get_facecolor()[0], artist.get_paths()[0].vertices.tobytes())
            for artist in artists
        }
    else:
        looks = {(bars[0].get_facecolor(), bars[0].get_hatch()) for bars in artists}
    assert len(looks) == n_classes


def test_histogram_has_samples_at_both_ends():
    """Also where the bins are as narrow as the spacing of the numbers."""
    values = 1e16 + np.array([0.0, 2.0, 4.0])[:, np.newaxis]
    display = LatentDisplay(codes=values, labels=[0, 1, 1]).plot()
    heights = [sum(bar.get_height() for bar in bars) for bars in display.artists_]
    assert heights == [1, 2]


def test_groups_and_risks_that_are_no_numbers_are_refused():
    _, y = TIMES
    with pytest.raises(ValueError, match="y_score must be numbers, got NaN"):
        SurvivalCurvesDisplay.from_predictions(y, np.full(len(y), np.nan))
    with pytest.raises(ValueError, match="group must hold integers from 0"):
        SurvivalCurvesDisplay(y_true=y, group=np.full(len(y), -1))
    assert plt.get_fignums() == []
