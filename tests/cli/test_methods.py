"""What a paper takes from the page: methods in words, rates, and numbers read aloud."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_helpers import make_frame, selection_of
from numpy.testing import assert_allclose
from report_helpers import FACTS, OPTIONS, make_result
from sklearn.metrics import confusion_matrix
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skproj.cli._methods import describe_model, methods
from skproj.cli._page._view import alternatives, plain_number
from skproj.cli._plots import draw_plots
from skproj.cli._report_numbers import report_numbers
from skproj.cli._select import describe_feature


def paragraph(frame, folder, *arguments, target="kind"):
    found = selection_of(frame, folder, *arguments, target=target)
    options = OPTIONS.__class__(**{**vars(OPTIONS), **options_of(arguments)})
    facts = {**FACTS, "rows": len(frame), "target": target}
    return found, methods(found, facts, options)


def options_of(arguments):
    pairs = zip(arguments[::2], arguments[1::2], strict=True)
    named = {name.removeprefix("--"): value for name, value in pairs}
    return {**named, "cv": int(named.get("cv", 2))}


def trial(frame):
    times = np.random.default_rng(0).exponential(size=len(frame)) + 0.01
    return frame.drop(columns="kind").assign(time=times, died=[0, 1, 1] * 30)


def test_methods_of_classes(tmp_path):
    found, told = paragraph(make_frame(2), tmp_path, "--cv", "5", "--method", "auto")
    text = told["text"]
    assert f"{len(make_frame())} rows with skproj" in text
    assert f"random part of {found.n_test} rows, stratified by outcome, was" in text
    assert f"the other {found.n_train} rows" in text
    assert "minimised the log loss" in text
    assert "Of 30 radii, 3 repetitions of 5-fold cross-validation chose" in text
    assert "kept 95% of the best gain" in text
    assert f"{found.n_selected} selected features were then given to a ridge-p" in text
    assert "logistic regression and to a neural network" in text
    score = found.comparison[0].scores[0] if found.comparison else None
    assert score is None or f"{score.name} {score.value:.3f}" in text
    assert re.findall(r"@\w+\{(\w+),", told["references"]) == [
        "barlaud2017outer",
        "pedregosa2011scikit",
        "nogueira2018stability",
    ]


def test_methods_of_numbers_and_times(tmp_path):
    frame = make_frame().drop(columns="kind")
    frame["y"] = frame["gene0"] * 2.0 + 1.0
    given = ["--method", "selector", "--cv", "2"]
    _, told = paragraph(frame, tmp_path, *given, target="y")
    assert "minimised the squared error" in told["text"]
    assert "stratified" not in told["text"]
    assert "given to a ridge-penalised linear regression." in told["text"]
    times = trial(make_frame())
    (tmp_path / "times").mkdir()
    given = [*given, "--event", "died"]
    _, told = paragraph(times, tmp_path / "times", *given, target="time")
    assert "the partial likelihood of proportional hazards" in told["text"]
    assert "stratified" not in told["text"]
    assert "Of 30 radii, 2-fold cross-validation" in told["text"]
    assert "given to a ridge-penalised Cox regression." in told["text"]


@pytest.mark.parametrize(
    ("changes", "there", "absent"),
    [
        ({"method": "autoencoder", "cv": 5}, "chosen by 5-fold", "repetitions"),
        ({"keep_gain": 0.975}, "that kept 97.5% of", ""),
        ({"class_weight": "balanced"}, "rare classes had larger weights", ""),
        ({"windows": 4}, "Windows of 4 neighbouring channels", "Groups of features"),
        ({"feature_groups": Path("a/b.csv")}, "those of b.csv. Features of a", "Windo"),
        ({"backed": True, "cv": 5}, "Of 3 radii, 5-fold", "repetitions"),
    ],
)
def test_methods_name_what_was_asked_for(changes, there, absent):
    result = make_result(preparation=["Always in the model: 'age'."])
    options = OPTIONS.__class__(**{**vars(OPTIONS), "method": "auto", **changes})
    text = methods(result, FACTS, options)["text"]
    assert there in text
    assert not absent or absent not in text
    assert "Always in the model: 'age'." in text
    plain = methods(result, FACTS, OPTIONS)["text"]
    assert there not in plain


def test_a_threshold_is_told_and_one_feature_is_no_plural():
    threshold = OPTIONS.__class__(label="red", sentence="From 0.3 on it is red.")
    result = make_result(threshold=threshold, n_selected=1)
    text = methods(result, FACTS, OPTIONS)["text"]
    assert "The selected feature was then given to" in text
    assert "From 0.3 on it is red." in text


def test_methods_without_what_is_not_known():
    result = make_result(n_test=0, stability=None, stability_interval=None)
    options = OPTIONS.__class__(**{**vars(OPTIONS), "eta": 3.25})
    told = methods(result, {**FACTS, "groups": "40 groups by patient"}, options)
    for word in ("held out", "radii", "stability", "nan", "None"):
        assert word not in told["text"]
    assert "in 200 rows (40 groups by patient) with skproj" in told["text"]
    assert "nogueira" not in told["references"]


def test_a_model_has_a_line_for_each_step(tmp_path):
    frame = make_frame()
    frame.loc[::7, "gene3"] = np.nan
    found = selection_of(
        frame.assign(site=["x", "y"] * 45),
        tmp_path,
        *("--impute", "median", "--encode", "onehot", "--method", "auto"),
    )
    lines = describe_model(found.model)
    assert re.fullmatch(r"OneHotEncoder\(.*\) of 1 columns", lines[0])
    assert re.fullmatch(r"SimpleImputer\(.*\) of 8 columns", lines[1])
    assert lines[2] == "StandardScaler()"
    assert lines[3].startswith("ProjectionFeatureSelectorCV(")
    assert lines[4].startswith("VotingClassifier of LogisticRegression(")
    assert all(len(line) < 450 and "\n" not in line for line in lines)
    assert describe_model(make_pipeline(StandardScaler())) == ["StandardScaler()"]


def test_an_indicator_of_gaps_says_what_it_is(tmp_path):
    frame = make_frame(2)
    rng = np.random.default_rng(0)
    absent = np.where(frame["kind"] == "red", rng.random(90) < 0.9, False)
    frame["Lab 02"] = np.where(absent, np.nan, rng.random(90))
    found = selection_of(frame, tmp_path, "--impute", "indicator")
    lines = list(map(describe_feature, found.features))
    assert any("  Lab 02 is missing  (high in red)" in line for line in lines)


@pytest.mark.parametrize("positive", [0, 1])
def test_rates_of_two_classes(positive):
    result = make_result(class_names=("ill", "well"), n_test=75)
    threshold = OPTIONS.__class__(label=("ill", "well")[positive], sentence="")
    result.threshold = threshold
    rates = report_numbers(result, None, FACTS, OPTIONS)["rates"]
    table = confusion_matrix(*result.codes)
    table = table if positive else table[::-1, ::-1]
    (tn, fp), (fn, tp) = table
    expected = [tp / (tp + fn), tn / (tn + fp), tp / (tp + fp), tn / (tn + fn)]
    assert_allclose([row["value"] for row in rates], expected)
    assert all(row["low"] < row["value"] <= row["high"] + 1e-12 for row in rates)
    assert [row["rows"] for row in rates] == [tp + fn, tn + fp, tp + fp, tn + fn]


def test_rates_of_more_classes_are_not_told():
    result = make_result(class_names=("a", "b", "c"))
    assert report_numbers(result, None, FACTS, OPTIONS)["rates"] == []


@pytest.mark.parametrize("names", [("ill", "well"), ("a", "b", "c")])
def test_classes_that_are_apart_have_histograms(names):
    result = make_result(class_names=names)
    predictions = result.predictions
    true = np.searchsorted(names, predictions.y_test)
    decisions = predictions.decisions
    decisions[np.arange(len(true)), true] += 4.0
    ax = drawn(result, "curves")[0]
    counts = [sum(bar.get_height() for bar in bars) for bars in ax.containers]
    n_rows = len(true)
    if len(names) == 2:
        assert counts == np.bincount(true).tolist()
        assert ax.get_xlabel() == "Probability of well"
    else:
        assert counts == [n_rows, 2 * n_rows]
    decisions[true == 1, 1] -= 20.0
    assert len(drawn(result, "curves")) == 2


def drawn(result, name):
    matplotlib_figure = pytest.importorskip("matplotlib.figure")
    figure = matplotlib_figure.Figure()
    draw_plots(result, None)[name](figure)
    return figure.axes


def test_survival_curves_have_the_numbers_at_risk(tmp_path):
    found = selection_of(
        trial(make_frame()), tmp_path, "--event", "died", "--eta", "1", target="time"
    )
    ax = drawn(found, "test")[0]
    assert ax.get_xlabel() == "time"
    at_start = [text.get_text() for text in ax.texts if text.xy[0] == 0.0][1:]
    assert sum(map(int, at_start)) == found.n_test


def test_plots_are_read_aloud_with_their_numbers():
    result = make_result()
    path = pd.Series({"etas": [1.0, 2.0], "mean_scores": [0.5, 0.75]})
    path["std_scores"], path["n_features"] = [0.1, 0.1], [1, 4]
    numbers = report_numbers(result, path, FACTS, OPTIONS)
    told = alternatives(numbers)
    assert "From 0.500 with 1 features to 0.750 with 4; chosen are 12" in told["radius"]
    area = next(row["auc"] for row in numbers["classes"])
    assert f"green {area:.3f}" in told["curves"]
    assert told["test"] == " balanced accuracy 0.830, AUC 0.850."


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1400.4, "1,400"),
        (-123456, "-123,000"),
        (1e9, "1e+09"),
        (0.01234, "0.0123"),
        (999.7, "1,000"),
    ],
)
def test_numbers_as_people_write_them(value, text):
    assert plain_number(value) == text
