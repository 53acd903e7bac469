"""The threshold between two classes: chosen in the folds, saved, and said."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from cli_helpers import apply, select
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import (
    FixedThresholdClassifier,
    StratifiedKFold,
    TunedThresholdClassifierCV,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skproj import persistence
from skproj.cli import main
from skproj.cli._threshold import choose_threshold, put_threshold


def make_rare():
    """Return a table with few ill rows, which no column tells apart for certain."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        rng.normal(size=(200, 6)), columns=[f"gene{j}" for j in range(6)]
    )
    frame["state"] = np.where(np.arange(200) % 8 == 0, "ill", "well")
    frame["gene0"] += 1.3 * (frame["state"] == "ill")
    return frame


@pytest.fixture(scope="module")
def rare(tmp_path_factory):
    path = tmp_path_factory.mktemp("rare") / "rare.csv"
    make_rare().to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    "method", ["auto", pytest.param("autoencoder", marks=pytest.mark.slow)]
)
@pytest.mark.usefixtures("no_baselines")
def test_threshold_is_said_saved_and_applied(method, rare, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["--method", method, "--eta", "2", "--threshold", "balanced_accuracy"]
    assert select(rare, *arguments, "--out", out, target="state") == 0
    printed = capsys.readouterr().out
    report = json.loads((out / "report.json").read_text("utf-8"))
    sentence = report["threshold"]["sentence"]
    assert sentence.startswith("A row is predicted as 'ill' from a ")
    assert "the best balanced_accuracy in the folds: 0." in sentence
    assert sentence in printed
    assert sentence.replace("'", "&#39;") in (out / "report.html").read_text("utf-8")

    frame = make_rare()
    X = frame.drop(columns="state")
    model = persistence.load(out / "model.skops")
    assert isinstance(model, FixedThresholdClassifier)
    assert model.feature_names_in_.tolist() == X.columns.tolist()
    predicted = model.predict(X)
    threshold = report["threshold"]["value"]
    above = model.predict_proba(X)[:, 0] >= threshold
    np.testing.assert_array_equal(predicted == "ill", above)
    table = apply(out, rare)
    assert table["prediction"].tolist() == predicted.tolist()
    own = table["probability_well"].where(~above, table["probability_ill"])
    np.testing.assert_array_equal(table["confidence"], own)
    capsys.readouterr()
    assert main(["info", str(out / "model.skops")]) == 0
    assert f"{threshold:.4g} for 'ill'" in capsys.readouterr().out


def test_rare_rows_are_found(rare, tmp_path):
    """On rows held out; without a threshold, the likelier class is nearly all."""
    scores = []
    for arguments in ([], ["--threshold", "balanced_accuracy"]):
        out = tmp_path / f"out{len(arguments)}"
        assert select(rare, *arguments, "--out", out, target="state") == 0
        report = json.loads((out / "report.json").read_text("utf-8"))
        scores.append([model["scores"][0]["value"] for model in report["models"]])
        assert report["models"][0]["scores"][0]["name"] == "balanced accuracy"
    without, tuned = scores
    assert tuned[0] > without[0] + 0.1
    assert tuned[1] > without[1]  # the models to compare with have one as well
    assert tuned[-1] == without[-1] == 0.5


def make_run(score, X, y, splits):
    problem = SimpleNamespace(options=SimpleNamespace(threshold=score, n_jobs=1))
    return SimpleNamespace(problem=problem, X=X, y=y, splits=splits)


def test_choice_is_that_of_scikit_learn():
    """Of the rarer class, whatever its name is."""
    frame = make_rare()
    X, ill = frame.drop(columns="state").to_numpy(), frame["state"] == "ill"
    splits = list(StratifiedKFold(2).split(X, ill))
    template = make_pipeline(StandardScaler(), LogisticRegression())
    expected = TunedThresholdClassifierCV(template, scoring="f1", cv=splits)
    expected.fit(X, ill.astype(int))
    for names in (("ill", "well"), ("zero", "one")):
        y = np.where(ill, *names)
        model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
        run = make_run("f1", X, y, splits)
        found = choose_threshold(model, template, run)
        assert found.label == names[0]
        assert found.value == pytest.approx(expected.best_threshold_)
        assert found.score == pytest.approx(expected.best_score_)
        predicted = put_threshold(model, found, run).predict(X)
        np.testing.assert_array_equal(predicted == names[0], expected.predict(X) == 1)
        assert balanced_accuracy_score(y, predicted) > 0.6
    assert put_threshold(model, None, run) is model


def test_calibration_moves_the_threshold():
    """Probabilities of the folds are not calibrated; the same rows are above."""
    frame = make_rare()
    X, y = frame.drop(columns="state").to_numpy(), (frame["state"] == "ill").to_numpy()
    splits = list(StratifiedKFold(3).split(X, y))
    model = make_pipeline(LogisticRegression()).fit(X, y)
    run = make_run("balanced_accuracy", X, y, splits)
    plain = choose_threshold(model, model, run)
    told = model.predict_proba(X)[:, 1]
    model[-1].temperature_ = 2.5
    found = choose_threshold(model, model, run)
    odds = told / (1.0 - told)
    calibrated = odds**0.4 / (1.0 + odds**0.4)
    np.testing.assert_array_equal(calibrated >= found.value, told >= plain.value)
