"""Survival times: from a table with times and events to risks."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from cli_helpers import apply, export, select, selected, write
from numpy.testing import assert_allclose, assert_array_equal

from skproj import persistence
from skproj.cli import main
from skproj.cli._evidence import rank_evidence, risk_influence
from skproj.cli._result import Predictions
from skproj.cli._survival import concordance, evaluation_times, score_risks
from skproj.datasets import make_survival
from skproj.metrics import concordance_index_censored, integrated_brier_score
from skproj.utils._survival import DTYPE

TIMES = ["--event", "died"]


def make_trial(seed=0):
    """Return a table with times, of which only the first two columns are of use."""
    X, y = make_survival(
        n_samples=160,
        n_features=12,
        n_informative=2,
        effect_size=1.5,
        return_X_y=True,
        random_state=seed,
    )
    informative = make_survival(
        n_samples=160, n_features=12, n_informative=2, random_state=seed
    ).support
    order = np.argsort(~informative, kind="stable")
    frame = pd.DataFrame(X[:, order], columns=[f"gene{j}" for j in range(12)])
    return frame.assign(time=y["time"], died=y["event"].astype(int))


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    path = tmp_path_factory.mktemp("trial") / "trial.csv"
    make_trial().to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def outcome(trial):
    folder = trial.parent / "outcome"
    assert select(trial, *TIMES, "--out", folder, target="time", plots=True) == 0
    return folder


def test_result(trial, outcome, capsys):
    assert select(trial, *TIMES, target="time") == 0
    printed = capsys.readouterr().out
    assert "target 'time': survival, " in printed
    assert "The selected features predict 'time': concordance index 0." in printed
    assert {"gene0", "gene1"} <= selected(outcome)
    report = json.loads((outcome / "report.json").read_text("utf-8"))
    assert report["task"] == "survival"
    names = [score["name"] for score in report["models"][0]["scores"]]
    assert names == ["concordance index", "Uno's index", "Brier score"]
    own, *others = [model["scores"][0]["value"] for model in report["models"]]
    assert own > 0.7
    assert others[-1] == 0.5  # without features
    page = (outcome / "report.html").read_text("utf-8")
    assert "Kaplan-Meier curves of the rows that were held out" in page
    assert (outcome / "test.png").stat().st_size > 1000
    model = persistence.load(outcome / "model.skops")
    signs = np.sign(model["predict"].coef_)
    kept = model["select"].get_support().nonzero()[0]
    directions = {f["name"]: f["direction"] for f in report["features"]}
    for j, sign in zip(kept[:2], signs[:2], strict=True):
        assert directions[f"gene{j}"] == ("+" if sign > 0 else "-")


def test_risks_of_new_rows(trial, outcome, tmp_path, capsys):
    """The command, and the program without skproj, give those of the model."""
    model = persistence.load(outcome / "model.skops")
    X = make_trial().drop(columns=["time", "died"])
    risk = model.predict(X)
    table = apply(outcome, trial)
    assert_allclose(table["prediction"], risk)
    survival = table.filter(like="survival_")
    times = [float(name.removeprefix("survival_")) for name in survival]
    Z = model[:-1].transform(X)
    assert_allclose(survival, model[-1].predict_survival(Z, times))
    assert (np.diff(survival.to_numpy(), axis=1) <= 0.0).all()
    panel = export(outcome, tmp_path / "panel")
    assert_allclose(panel["predict"](X), risk, rtol=1e-6)
    assert main(["info", str(outcome / "model.skops")]) == 0
    assert "CoxRidge" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["labels", "truth", "codes of R", "h5ad"])
def test_times_of_other_tables(kind, outcome, tmp_path):
    frame, arguments = make_trial(), list(TIMES)
    path, out = tmp_path / "table.csv", tmp_path / "out"
    if kind == "truth":
        frame["died"] = frame["died"].astype(bool)
    elif kind == "codes of R":
        frame["died"] += 1
    elif kind == "labels":
        frame.index = [f"row{i}" for i in range(len(frame))]
        labels = write(frame[["time", "died"]], tmp_path / "labels.csv", index=True)
        frame = frame.drop(columns=["time", "died"])
        arguments += ["--labels", labels]
    else:
        path = path.with_suffix(".h5ad")
    write(frame, path, index=kind == "labels")
    assert select(path, *arguments, "--out", out, target="time") == 0
    assert selected(out) == selected(outcome)


@pytest.mark.usefixtures("no_baselines")
def test_network(tmp_path):
    """Its risks are those of the command, and of the program without skproj."""
    out = tmp_path / "out"
    frame = make_trial().drop(columns=[f"gene{j}" for j in range(6, 12)])
    trial = write(frame, tmp_path / "trial.csv")
    arguments = [*TIMES, "--method", "autoencoder", "--stability", 1, "--out", out]
    assert select(trial, *arguments, target="time") == 0
    assert {"gene0", "gene1"} <= selected(out)
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert report["models"][0]["scores"][0]["value"] > 0.7
    model = persistence.load(out / "model.skops")
    X = frame.drop(columns=["time", "died"])
    risk = model.predict(X.astype("float32"))
    table = apply(out, trial)
    assert table.columns[1].startswith("survival_")
    assert_allclose(table["prediction"], risk, atol=1e-5)
    panel = export(out, tmp_path / "panel")
    assert_allclose(panel["predict"](X), risk, atol=1e-5)


def test_groups_and_stability(trial, tmp_path):
    frame = make_trial()
    frame["patient"] = np.arange(len(frame)) // 2
    out = tmp_path / "out"
    arguments = [*TIMES, "--groups", "patient", "--stability", "4", "--out", out]
    assert select(frame, *arguments, target="time") == 0
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert report["features"][0]["frequency"] == 1.0


def test_random_times_are_not_predicted(capsys):
    silent = 0
    for seed in range(5):
        frame = make_trial(seed)
        order = np.random.default_rng(seed).permutation(len(frame))
        frame[["time", "died"]] = frame[["time", "died"]].to_numpy()[order]
        if select(frame, *TIMES, target="time") == 0:
            silent += "Nothing predicts 'time'" in capsys.readouterr().out
        else:
            silent += "no feature was selected" in capsys.readouterr().err
    assert silent >= 4


@pytest.mark.parametrize("tied", [False, True])
def test_variance_is_that_of_all_permutations(tied):
    rng = np.random.default_rng(0)
    y = np.empty(6, dtype=DTYPE)
    y["event"], y["time"] = rng.random(6) < 0.6, rng.exponential(5.0, 6)
    risk = rng.normal(size=6)
    if tied:
        y["time"], risk = np.ceil(y["time"] / 3.0), np.round(risk)
    influence, variance = risk_influence(risk, y)

    def index(risk):
        return concordance_index_censored(y["event"], y["time"], risk)[0]

    assert_allclose(0.5 + influence.sum(), index(risk))
    scores = [index(np.array(order)) for order in itertools.permutations(risk)]
    assert_allclose(variance, np.var(scores))
    # Groups of one row add nothing to what permutations of the rows know.
    evidence = rank_evidence(risk, y, groups=np.arange(6))
    assert evidence.variance < 4.0 * variance


def test_times_of_the_scores_are_within_the_follow_up():
    """Later, the Brier score would prefer whoever forecasts that nobody survives."""
    trial = make_survival(n_samples=200, n_features=10, random_state=0)
    y_train, y = trial.target[:100], trial.target[100:]
    everything = evaluation_times(y_train, y)
    assert len(everything) == 15
    end = everything[6]
    early = y.copy()
    early["event"] &= y["time"] < end
    early["time"] = np.minimum(y["time"], end)
    times = evaluation_times(y_train, early)
    assert_array_equal(times, everything[:6])
    risk, survival = np.zeros(100), np.full((100, 6), 0.5)
    brier = score_risks(
        y_train, Predictions(early, risk, survival=survival, times=times)
    )[-1]
    expected = integrated_brier_score(y_train, early, survival, times)
    assert_allclose(brier.value, expected)
    late = y.copy()
    late["time"] += 1e6
    times = evaluation_times(y_train, late)
    assert len(times) == 0
    told = Predictions(late, risk, survival=np.empty((100, 0)), times=times)
    assert [score.name for score in score_risks(y_train, told)] == ["concordance index"]


def test_error_of_the_concordance_is_that_of_repeated_samples():
    values, errors = [], []
    for seed in range(200):
        trial = make_survival(n_samples=80, n_features=10, random_state=seed)
        weights = np.ones(80)
        value, error = concordance(trial.target, trial.data @ trial.coef, weights)
        values.append(value)
        errors.append(error)
    assert 0.8 < np.mean(errors) / np.std(values) < 1.25


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        ({}, ["--event", "time"], "column 'time' is both --event and --target."),
        ({}, ["--event", "dead"], "has no column 'dead'; did you mean 'died'?"),
        ({}, ["--event", "gene0"], "of --event must be booleans, 0 and 1, or 1 (cens"),
        ({}, ["--scoring", "r2"], "--scoring r2 is not for survival times"),
        ({}, ["--task", "regression"], "--task regression is not for survival"),
        ({}, ["--class-weight", "balanced"], "--class-weight balanced is not for"),
        ({}, ["--threshold", "f1"], "--threshold is for a target of two classes"),
        ({}, ["--cv", "50"], "events only, and 50 folds need 134"),
        ({"time": -1.0}, [], "the target 'time' has a negative time: -1."),
        ({"time": np.nan}, [], "the target 'time' is missing in 160 of 160 rows"),
        ({"time": "soon"}, [], "the target 'time' is not a number, as --event needs."),
        ({"time": 3.0}, [], "the target 'time' has one value only"),
        ({"died": np.nan}, [], "the column 'died' is missing in 160 of 160 rows"),
        ({"died": 0}, [], "has 0 events only"),
        ({"died": [0, 1, 2, 1] * 40}, [], "2 (event), got [0.0, 1.0, 2.0]."),
        ({"died": 3}, [], "or 1 (censored) and 2 (event), got '3'."),
    ],
)
def test_what_is_refused(changes, arguments, message, capsys):
    frame = make_trial().assign(**changes)
    assert select(frame, *TIMES, *arguments, target="time") == 2
    assert message in capsys.readouterr().err


def test_copies_of_the_target_are_suspected(capsys):
    frame = make_trial()
    frame["days"], frame["dead"] = 365.0 * frame["time"], 1 - frame["died"]
    assert select(frame, *TIMES, "--drop-suspects", target="time") == 0
    assert "Suspected leaks were left out: " in (printed := capsys.readouterr().out)
    for name in ("days", "dead"):
        assert repr(name) in printed
