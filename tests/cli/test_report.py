"""The report: one page, its files, and the same numbers in all of them."""

import argparse
import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from cli_helpers import N_FEATURES, N_ROWS, make_frame, select
from report_helpers import (
    FACTS,
    MARKUP,
    OPTIONS,
    TEN_LONG_NAMES,
    make_result,
    page_of,
    write,
)

import skproj
from skproj.cli import _inputs, _select
from skproj.cli._output import write_rows
from skproj.cli._page import render
from skproj.cli._plots import draw_plots, path_of, svg_of
from skproj.cli._report import FILES, feature_rows
from skproj.cli._report_numbers import report_numbers
from skproj.cli._result import Predictions, Verdict
from skproj.persistence import load


class Page(HTMLParser):
    """Collects the tags, the text, the links and the tables of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.links, self.ids = [], [], [], []
        self.feed(text)
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        self.ids.append(attrs.get("id"))
        self.links += [
            v for k, v in attrs.items() if k in ("href", "src", "xlink:href", "action")
        ]

    def handle_data(self, data):
        self.texts.append(data)


def read(folder):
    text = (folder / "report.html").read_text(encoding="utf-8")
    numbers = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return text, Page(text), numbers


def test_page_needs_no_network_and_escapes_names(tmp_path):
    frame = make_frame().rename(columns={"gene0": MARKUP, "gene1": "$x^$ & _"})
    frame["kind"] = frame["kind"].replace("red", "<b>$red")
    data = tmp_path / "<i>data.csv"
    frame.to_csv(data, index=False)
    assert select(data, "--out", tmp_path / "out", plots=True) == 0
    text, page, _ = read(tmp_path / "out")
    assert set(page.tags).isdisjoint({"link", "iframe", "object", "img"})
    assert page.tags.count("script") == 1
    assert MARKUP in page.texts
    assert "$x^$ & _" in page.texts
    assert "<b>$red" in page.text
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert "default-src 'none'" in text


def test_page_says_what_was_done(data, result):
    _, page, numbers = read(result)
    for part in (
        _inputs.digest(data),
        f"skproj select {data} --target kind",
        f"{N_ROWS} rows, {N_FEATURES} features",
        skproj.__version__,
        "classification, 3 classes of 30 to 30 rows",
        "no selection, logistic regression",
        "23 rows that were held out",
        numbers["verdict"]["sentence"],
    ):
        assert part in page.text


@pytest.mark.parametrize("predicts", [True, False])
def test_verdict_comes_first(predicts, tmp_path):
    sentence = "Whatever the verdict is."
    verdict = Verdict(predicts, sentence, "AUC", 0.5, 0.5, 0.0, 0.1)
    text = page_of(make_result(verdict=verdict))
    body = Page(text).text.partition("Selection of features for kind table.csv")[2]
    assert body.index(sentence) < body.index("Features selected")
    assert ('class="verdict nothing"' in text) is not predicts


def test_page_and_json_have_the_same_numbers():
    result = make_result(warnings=["Column 'id' is a suspected leak."])
    numbers = report_numbers(result, path_of(result), FACTS, OPTIONS)
    page = Page(render(numbers, {}))
    for model in numbers["models"]:
        assert model["name"] in page.text
        for score in model["scores"]:
            assert f"{score['value']:.3f}" in page.text
            assert f"{score['low']:.3f} to {score['high']:.3f}" in page.text
    for row in numbers["classes"]:
        assert f"{row['auc']:.3f}" in page.text
    features = {feature.name: feature for feature in result.features}
    for feature in numbers["features"]:
        assert feature["score"] == pytest.approx(features[feature["name"]].score)
        assert f"{feature['score']:.4g}" in page.text
    assert np.sum(numbers["confusion"]) == result.n_test
    for text in (*numbers["warnings"], *numbers["preparation"], "0.60 to 0.80"):
        assert text in page.text
    path = [point["n_features"] for point in numbers["path"]]
    np.testing.assert_array_equal(
        path, result.search.cv_results_["mean_test_n_features"]
    )


def test_path_has_every_radius_of_a_network_search(data, tmp_path):
    """Though the chosen one has another noise in the last stage than the path."""
    options = "--method", "autoencoder", "--cv", 3, "--stability", 1
    assert select(data, "--out", tmp_path, *options) == 0
    *_, numbers = read(tmp_path)
    search = load(tmp_path / "model.skops")["select"]
    results = search.cv_results_
    assert search.best_index_ >= len(search.etas_) > 2
    n_features = [point["n_features"] for point in numbers["path"]]
    np.testing.assert_array_equal(n_features, search.n_features_path_[::-1])
    means = results["mean_test_score"][: len(search.etas_)].copy()
    means[search.etas_ == search.eta_] = search.best_score_
    np.testing.assert_allclose(
        [point["score"] for point in numbers["path"]], -means[::-1]
    )
    assert [point["eta"] for point in numbers["path"][:-1]] == sorted(search.etas_)[:-1]
    assert numbers["path"][-1]["eta"] is None  # which is infinite


def test_json_has_no_numbers_that_json_has_not(tmp_path):
    """Neither NaN nor infinity, which other programs cannot read."""
    result = make_result(cv_std=np.nan, stability=np.nan, eta=np.inf)
    numbers = report_numbers(result, None, FACTS, OPTIONS)
    assert numbers["cross_validation"]["standard_deviation"] is None
    json.dumps(numbers, allow_nan=False)
    text = page_of(result)
    assert "nan" not in text.lower().split()


def test_features_have_a_table_for_spreadsheets(tmp_path):
    result = make_result(class_names=("=a", "b"))
    write_rows(feature_rows(result), tmp_path / "features.csv")
    with open(tmp_path / "features.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    first = result.features[0]
    assert rows[0]["frequency"] == "0.8"
    assert rows[0]["direction"].removeprefix("'") == first.direction
    assert rows[0]["substitutes"] == "gene_1 (0.80); gene_2 (0.70); gene_3 (0.60)"
    assert float(rows[0]["mean b"]) == first.groups[1]["mean"]
    assert float(rows[0]["spread =a"]) == first.groups[0]["spread"]
    assert rows[-1]["frequency"] == "0.1"
    assert rows[-1]["direction"] == ""
    assert {row["direction"] for row in rows} <= {"'=a", "b", ""}


def test_settings_are_all_that_change_the_result():
    options = argparse.Namespace(**{**vars(OPTIONS), "test_size": 0.0, "debug": True})
    numbers = report_numbers(make_result(), None, FACTS, options)
    assert numbers["settings"] == {
        **{"cv": 3, "seed": 0, "drop": "age", "test size": 0.0},
        **{"method": "auto", "task": "auto", "n jobs": 1},
    }
    assert numbers["command"] == "skproj select table.csv --target kind"


def test_large_report_is_light():
    """3,000 features, ten classes with long names, three substitutes each."""
    result = make_result(
        n_features=3500, n_selected=3000, class_names=TEN_LONG_NAMES, n_test=200
    )
    text = page_of(result, "radius", "curves", "calibration")
    assert text.count("<svg") == 3
    assert len(text.encode()) < 1_000_000
    assert text.count("<tr><td class=") == 3000


def test_plots_name_what_they_show():
    result = make_result(class_names=TEN_LONG_NAMES, n_selected=252, n_features=300)
    path = path_of(result)
    plots = {name: svg_of(d) for name, d in draw_plots(result, path).items()}
    texts = {
        name: re.findall(r"<text[^>]*>([^<]*)<", svg) for name, svg in plots.items()
    }
    assert "chosen: η = 3.25, 252 features" in texts["radius"]
    assert "features, mean of the folds" in texts["radius"]
    everything = " ".join(text for svg in texts.values() for text in svg)
    assert "_" not in everything.replace("gene_", "")
    assert "Output" not in everything


def test_plots_have_the_colour_of_the_page():
    result = make_result()
    plots = draw_plots(result, path_of(result))
    for name in ("radius", "curves", "calibration"):
        svg = svg_of(plots[name])
        assert "#000000" not in svg
        assert "#010203" not in svg
        assert "currentColor" in svg
        assert "<metadata" not in svg


def test_a_loss_is_drawn_as_it_is_written():
    """The search has the negative log loss, the text the log loss."""
    result = make_result()
    scores = result.search.cv_results_["mean_test_score"]
    result.search.cv_results_["mean_test_score"] = -scores
    result.cv_score_name = "log loss"
    path = path_of(result)
    np.testing.assert_array_equal(path.mean_scores, scores)
    svg = svg_of(draw_plots(result, path)["radius"])
    assert "Log loss" in svg
    assert "minus" not in svg
    assert "negative" not in svg


def test_files_are_those_that_fit(tmp_path):
    write(tmp_path / "all", make_result(names=np.array([f"{j} nm" for j in range(60)])))
    assert {path.name for path in (tmp_path / "all").iterdir()} == set(FILES)
    write(tmp_path / "none", make_result(n_test=0, stability=None))
    _, page, numbers = read(tmp_path / "none")
    assert {path.name for path in (tmp_path / "none").iterdir()} == set(FILES) - {
        "spectrum.png",
        "test.png",
        "curves.png",
        "calibration.png",
    }
    assert numbers["confusion"] is None
    assert "No rows were held out" in page.text


def test_regression_has_directions_instead_of_classes():
    page = Page(page_of(make_result(class_names=()), "test"))
    assert "Direction" in page.text
    assert "Means by class" not in page.text
    assert "Predicted" in page.text
    assert "Each class against the rest" not in page.text


def test_class_without_rows_held_out_has_no_curve():
    labels = np.array(["a", "b"] * 20)
    decisions = np.random.RandomState(0).uniform(size=(40, 3))
    result = make_result(
        class_names=("a", "b", "c"),
        n_test=40,
        predictions=Predictions(labels, labels[::-1], None, decisions),
    )
    numbers = report_numbers(result, None, FACTS, OPTIONS)
    assert [row["rows"] for row in numbers["classes"]] == [20, 20, 0]
    assert numbers["classes"][2]["auc"] is None
    assert "curves" in draw_plots(result, None)
    assert "calibration" not in draw_plots(result, None)
    text = page_of(result)
    assert "nan" not in text.lower().split()


def test_numbers_as_labels_are_matched_with_their_names():
    labels = np.array([0, 1] * 20)
    result = make_result(
        class_names=("0", "1"), n_test=40, predictions=Predictions(labels, labels)
    )
    numbers = report_numbers(result, None, FACTS, OPTIONS)
    assert numbers["confusion"] == [[20, 0], [0, 20]]
    assert numbers["classes"][0]["auc"] is None


def test_columns_of_models_line_up_whatever_their_names(tmp_path):
    """The terminal has room for the longest name."""
    result = make_result()
    name = "a model with a name of forty characters!"
    long = replace(result.comparison[0], name=name)
    comparison = [*result.comparison, long]
    lines = _select.summary(replace(result, comparison=comparison))
    first = next(i for i, line in enumerate(lines) if line.endswith("AUC"))
    table = lines[first : first + 1 + len(comparison)]
    assert len({len(line) for line in table}) == 1
    assert [line[41:].split()[0] for line in table[1:]] == [
        str(model.n_features) for model in comparison
    ]
