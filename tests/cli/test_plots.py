"""The plots of the report: each has what the table and the numbers have."""

import re

import numpy as np
import pandas as pd
import pytest
from cli_helpers import selection_of
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from numpy.testing import assert_allclose, assert_array_equal
from report_helpers import FACTS, OPTIONS, make_result

from skproj.cli import _selection
from skproj.cli._page import render
from skproj.cli._plots import draw_plots, path_of
from skproj.cli._report_numbers import report_numbers
from skproj.cli._result import Predictions, Threshold

N_COLUMNS = 9
NETWORK = ["--method", "autoencoder", "--keep-gain", "1"]
# Arguments, and the number of classes; 0 are numbers, None survival times.
CASES = {
    "network, threshold": ([*NETWORK, "--threshold", "balanced_accuracy"], 2),
    "network, many classes": (NETWORK, 12),
    "selector": ([], 3),
    "regression": ([], 0),
    "survival": (["--event", "died"], None),
    "blocks": (["--backed"], 2),
}


def make_table(n_classes):
    """Return a table with a target of classes, of numbers, or of survival times."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, N_COLUMNS))
    frame = pd.DataFrame(X, columns=[f"gene{j}" for j in range(N_COLUMNS)])
    if n_classes:
        code = np.arange(len(X)) % n_classes
        for k in range(3):
            frame[f"gene{k}"] += 1.5 * (code // 2**k % 2)
        return frame.assign(target=[f"class {k:02}" for k in code])
    if n_classes is None:
        time = rng.exponential(np.exp(-X[:, 0])) + 0.01
        return frame.assign(target=time, died=(rng.random(len(X)) < 0.7).astype(int))
    return frame.assign(target=X[:, 0] + X[:, 1] + rng.normal(size=len(X)))


@pytest.fixture(scope="module", params=CASES)
def selection(request, tmp_path_factory):
    """Return a selection as the report gets it."""
    arguments, n_classes = CASES[request.param]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_selection, "measure_stability", lambda *_: ({}, []))
        table, folder = make_table(n_classes), tmp_path_factory.mktemp("plots")
        return selection_of(table, folder, *arguments, target="target")


def drawn(selection, name):
    """Return the axes of a plot."""
    figure = Figure()
    draw_plots(selection, path_of(selection))[name](figure)
    return figure.axes


def test_features_of_the_plot_are_those_of_the_table(selection):
    ax, *_ = drawn(selection, "features")
    shown = selection.features[:20]
    widths = [bar.get_width() for bar in ax.patches]
    assert_allclose(widths[: len(shown)], [feature.score for feature in shown])
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert labels[: len(shown)] == [feature.name for feature in shown]
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend[0] == f"kept: {selection.n_selected} of {N_COLUMNS}"


def test_plot_of_features_says_how_many_it_leaves_out():
    ax, *_ = drawn(make_result(n_features=60, n_selected=45), "features")
    assert len(ax.patches) == 20
    assert ax.get_ylabel() == "First 20 of 45 features"


def test_path_has_all_radii_that_were_tried(selection):
    search, path = selection.search, path_of(selection)
    results = search.cv_results_
    tried = getattr(search, "etas_", results.get("param_select__eta"))
    tried = np.sort(np.asarray(tried, dtype=float))
    assert len(tried) > 2
    assert_array_equal(np.sort(path.etas), tried)
    numbers = report_numbers(selection, path, FACTS, OPTIONS)["path"]
    assert len(numbers) == len(tried)
    axes = drawn(selection, "radius")
    lines = [line for ax in axes for line in ax.lines if len(line.get_xdata()) > 2]
    scores, n_features = sorted(lines, key=lambda line: line.get_linestyle())
    assert_array_equal(scores.get_ydata(), [row["score"] for row in numbers])
    assert_array_equal(n_features.get_ydata(), [row["n_features"] for row in numbers])


def test_predictions_of_the_plot_are_those_of_the_table(selection):
    s = selection
    ax, *_ = drawn(s, "test")
    if s.class_names:
        (image,) = ax.images
        confusion = report_numbers(s, None, FACTS, OPTIONS)["confusion"]
        assert_array_equal(image.get_array(), confusion)
        assert np.sum(confusion) == s.n_test
        texts = [int(text.get_text()) for text in ax.texts]
        assert texts == np.ravel(confusion).tolist()
    elif s.task == "survival":
        labels = [text.get_text() for text in ax.get_legend().get_texts()]
        counts = [re.search(r"(\d+) events of (\d+)$", text) for text in labels]
        n_events, n_rows = np.sum([list(map(int, c.groups())) for c in counts], axis=0)
        assert n_rows == s.n_test
        assert n_events == s.predictions.y_test["event"].sum()
    else:
        points = np.asarray(ax.collections[0].get_offsets())
        p = s.predictions
        assert_array_equal(points, np.column_stack([p.y_predicted, p.y_test]))


def test_curves_are_those_of_the_table(selection):
    """All classes, and the areas under them are the scores of the table."""
    if not selection.class_names:
        assert "curves" not in draw_plots(selection, None)
        return
    check_curves(selection)


def check_curves(selection):
    numbers = report_numbers(selection, None, FACTS, OPTIONS)
    rows = [row for row in numbers["classes"] if row["auc"] is not None]
    if len(selection.class_names) == 2:
        rows = [row for row in rows if row["name"] == numbers["positive_class"]]
    roc, recall = drawn(selection, "curves")
    curves = roc.lines[: len(rows)]
    assert len(roc.lines) == len(rows) + 1  # and the diagonal
    assert len(recall.lines) == len(rows)
    for row, curve, other in zip(rows, curves, recall.lines, strict=True):
        area = np.trapezoid(curve.get_ydata(), curve.get_xdata())
        assert area == pytest.approx(row["auc"])
        x, y = other.get_data()
        assert -np.sum(np.diff(x) * y[:-1]) == pytest.approx(row["average_precision"])
    text = render(numbers, {"curves": ""})
    swatches = re.findall(
        r'swatch" style="border-top:\S+ (\w+) (\S+)"></span>(.*?)<', text
    )
    styles = {"solid": "-", "dashed": "--", "dotted": ":"}
    assert [(styles[style], color, name) for style, color, name in swatches] == [
        (curve.get_linestyle(), to_hex(curve.get_color()), row["name"])
        for curve, row in zip(curves, rows, strict=True)
    ]
    assert len({swatch[:2] for swatch in swatches}) == len(rows)


def test_curves_of_more_classes_than_colours():
    """One of which was not held out."""
    names = [f"class {i:02}" for i in range(25)]
    result = make_result(class_names=names, n_test=200)
    p = result.predictions
    kept = p.y_test != names[3]
    result.predictions = Predictions(
        p.y_test[kept], p.y_predicted[kept], p.probabilities[kept], p.decisions[kept]
    )
    check_curves(result)


def test_calibration_is_that_of_the_table(selection):
    """Means of the points are those of all rows; the rows of a fifth are a point."""
    s = selection
    if s.predictions.probabilities is None:
        assert "calibration" not in draw_plots(s, None)
        return
    probabilities = s.predictions.probabilities.astype(np.float64)
    true = s.codes[0]
    if s.positive is None:
        claimed, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == true
    else:
        claimed, right = probabilities[:, s.positive], true == s.positive
    (ax,) = drawn(s, "calibration")
    mean, share = ax.lines[1].get_data()
    assert_allclose(mean, [part.mean() for part in fifths(claimed, claimed)])
    assert_allclose(share, [part.mean() for part in fifths(right, claimed)])


def fifths(values, by):
    edges = np.quantile(by, np.linspace(0.0, 1.0, 6))
    place = np.searchsorted(edges[1:-1], by)
    return [values[place == k] for k in range(5)]


def make_calibrated(n_classes, threshold=None):
    """Return a result whose probabilities are true."""
    rng = np.random.RandomState(0)
    probabilities = rng.dirichlet(np.ones(n_classes), size=6000)
    true = (probabilities.cumsum(axis=1) < rng.uniform(size=(6000, 1))).sum(axis=1)
    names = np.array([f"class {i}" for i in range(n_classes)])
    predicted = probabilities.argmax(axis=1)
    if threshold is not None:
        predicted = (probabilities[:, 0] < threshold).astype(int)
        threshold = Threshold(threshold, "class 0", "f1", 0.5, "By a threshold.")
    return make_result(
        class_names=tuple(names),
        n_test=6000,
        threshold=threshold,
        predictions=Predictions(
            names[true], names[predicted], probabilities, probabilities
        ),
    )


@pytest.mark.parametrize(
    ("n_classes", "threshold"), [(2, None), (2, 0.1), (2, 0.9), (5, None)]
)
def test_probabilities_that_are_true_are_on_the_diagonal(n_classes, threshold):
    """Whatever the threshold is by which the rows are predicted."""
    result = make_calibrated(n_classes, threshold)
    (ax,) = drawn(result, "calibration")
    mean, share = ax.lines[1].get_data()
    assert len(mean) == 5
    assert_allclose(share, mean, atol=0.05)
    if n_classes == 2:
        name = "class 1" if threshold is None else "class 0"
        assert ax.get_xlabel() == f"Probability of {name}"
        assert ax.get_ylabel() == f"Share of rows of {name}"
        assert mean.max() - mean.min() > 0.7


def test_matrix_of_many_classes_has_a_scale():
    names = [f"class {i:02}" for i in range(20)]
    ax, *others = drawn(make_result(class_names=names, n_test=200), "test")
    assert len(ax.texts) == 0
    assert len(others) == 1
