"""How often features are selected from halves of the rows, by the same method."""

import json

import numpy as np
import pandas as pd
import pytest
from cli_helpers import make_frame, read_features, select, selection_of
from report_helpers import FACTS, OPTIONS

from skproj.cli import _selection
from skproj.cli._page import render
from skproj.cli._report import feature_rows
from skproj.cli._report_numbers import report_numbers
from skproj.cli._select import summary
from skproj.cli._selection import ALL_FEATURES_KEPT


def make_clinic(seed):
    """Return a table of four columns that tell something of the kind, and of noise."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(160, 30))
    ill = rng.random(160) < 1.0 / (1.0 + np.exp(-0.7 * X[:, :4].sum(axis=1)))
    names = [f"{'signal' if j < 4 else 'noise'}{j}" for j in range(30)]
    frame = pd.DataFrame(X.round(3), columns=names)
    return frame.assign(kind=np.where(ill, "ill", "well"))


@pytest.mark.parametrize(
    ("method", "seed"),
    [("selector", 1), pytest.param("autoencoder", 2, marks=pytest.mark.slow)],
)
def test_noise_is_not_selected_by_all(method, seed, tmp_path):
    """Training parts of folds, which share most rows, select the same noise.

    With these seeds, much noise is in the model.
    """
    arguments = ["--cv", "5", "--keep-gain", "1", "--method", method]
    s = selection_of(make_clinic(seed), tmp_path, *arguments)
    assert s.n_halves == {"selector": 20, "autoencoder": 10}[method]
    is_noise = np.char.startswith(s.names, "noise")
    noise, signals = s.frequencies[s.support & is_noise], s.frequencies[~is_noise]
    assert len(noise) >= 5
    assert noise.mean() < 0.75
    assert np.mean(noise == 1.0) < 0.2
    assert signals.mean() > noise.mean() + 0.1
    # Each half selects as many features as the model has.
    assert s.frequencies.sum() == pytest.approx(s.n_selected)
    by_name = dict(zip(s.names, s.frequencies, strict=True))
    for feature in s.features:
        assert feature.frequency == by_name[feature.name]


def test_frequency_is_that_of_the_method_in_the_table(tmp_path):
    """No linear model sees a product."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 8))  # a half has enough rows
    frame = pd.DataFrame(X, columns=[f"gene{j}" for j in range(8)])
    frame["kind"] = np.where(X[:, 0] * X[:, 1] > 0.0, "a", "b")
    arguments = ["--method", "autoencoder", "--stability", "2"]
    s = selection_of(frame, tmp_path, *arguments)
    assert s.n_halves == 4
    assert s.support[:2].all()
    assert not s.support.all()
    assert s.frequencies[:2].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("task", "arguments"), [("regression", []), ("survival", ["--event", "died"])]
)
def test_frequency_of_the_linear_selector(task, arguments, tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 8))
    frame = pd.DataFrame(X, columns=[f"gene{j}" for j in range(8)])
    frame["kind"] = X[:, 0] + 0.3 * rng.normal(size=120)
    if task == "survival":
        frame["kind"] = rng.exponential(np.exp(-2.0 * X[:, 0])) + 0.01
        frame["died"] = (rng.random(120) < 0.8).astype(int)
    s = selection_of(frame, tmp_path, *arguments, "--keep-gain", "one-standard-error")
    assert s.frequencies[0] == 1.0
    assert s.n_selected < 8
    assert s.frequencies.sum() == pytest.approx(s.n_selected)


def test_all_outputs_have_the_same_frequency(result):
    report = json.loads((result / "report.json").read_text("utf-8"))
    n_halves = report["n_halves"]
    assert n_halves == 20
    frequencies = {row["feature"]: row["frequency"] for row in read_features(result)}
    page = (result / "report.html").read_text("utf-8")
    assert "Selected in halves</th>" in page
    for feature in report["features"]:
        assert feature["frequency"] == float(frequencies[feature["name"]])
        n_times = round(feature["frequency"] * n_halves)
        row = page[page.index(f"<td>{feature['name']}<td") :].partition("<tr>")[0]
        assert f'<td class="n">{n_times} of {n_halves}<td>' in row


def test_terminal_has_the_halves(data, capsys):
    assert select(data, "--stability", "3", "--keep-gain", "one-standard-error") == 0
    lines = capsys.readouterr().out.splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("Top "))
    assert "(share of 6 halves that select it, " in lines[head]
    assert lines[head + 1].split()[:3] == ["score", "halves", "feature"]
    assert lines[head + 2].split()[1] in [f"{100 * n // 6}%" for n in range(7)]


def test_nothing_is_counted_if_nothing_was_left_out(tmp_path):
    """Each half would select all features."""
    s = selection_of(make_frame(), tmp_path, "--eta", "1000")
    assert s.support.all()
    assert s.frequencies is None
    assert s.stability is None
    assert ALL_FEATURES_KEPT in s.warnings
    told = "\n".join(summary(s))
    assert "Radius eta = 1000: no feature was left out of 8, " in told
    assert "halves" not in told
    assert {row["frequency"] for row in feature_rows(s)} == {None}
    page = render(report_numbers(s, None, FACTS, OPTIONS), {})
    assert "all: no feature was left out" in page
    assert "Selected in halves" not in page


def test_too_few_groups_for_halves_are_said(tmp_path):
    """The selection itself needs fewer."""
    frame = make_frame(n_classes=2).assign(site=np.arange(90) % 3)
    arguments = ["--groups", "site", "--test-size", "0", "--eta", "0.3"]
    s = selection_of(frame, tmp_path, *arguments)
    assert not s.support.all()
    assert s.frequencies is None
    (sentence,) = [text for text in s.warnings if "halves" in text]
    assert sentence.startswith("How often halves select the features is not known: ")
    assert "at least 4 different values" in sentence


def test_folds_are_fitted_in_doubt_only(tmp_path, monkeypatch):
    monkeypatch.setattr(_selection, "fit_folds", None)
    assert selection_of(make_frame(), tmp_path).verdict.predicts
