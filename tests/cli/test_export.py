"""skproj export panel: a table of the panel, and a program that predicts from it."""

import csv
import io
import shutil

import numpy as np
import pandas as pd
import pytest
from cli_helpers import apply, make_frame, read_features, select, selected, write
from panel_helpers import run_panel
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skproj import (
    ProjectionFeatureSelector,
    persistence,
)
from skproj.cli import main
from skproj.linear_model import CoxRidge

PROGRAM = "panel_model.py"


def export(result, out, *arguments):
    return main(["export", "panel", str(result), "--out", str(out), *arguments])


def predictions(folder, *arguments):
    done = run_panel(folder / PROGRAM, *arguments)
    assert done.returncode == 0, done.stderr
    return pd.read_csv(io.StringIO(done.stdout), index_col=0)


def read_panel(folder):
    with open(folder / "panel.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def autoencoder(data):
    folder = data.parent / "autoencoder"
    assert select(data, "--method", "autoencoder", "--eta", 4, "--out", folder) == 0
    return folder


@pytest.fixture(scope="module")
def mean(data):
    folder = data.parent / "mean"
    assert select(data, "--method", "auto", "--eta", 4, "--out", folder) == 0
    return folder


@pytest.mark.parametrize("kind", ["result", "autoencoder", "mean"])
def test_program_predicts_as_apply_does(kind, request, data, tmp_path, capsys):
    result, out = request.getfixturevalue(kind), tmp_path / "panel"
    capsys.readouterr()
    assert export(result, out) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("The selected features predict 'kind'")
    sentence = "by the mean of LogisticRegression and SparseSupervisedAutoencoder.\n"
    assert (sentence in printed) == (kind == "mean")
    files = ["panel.csv", PROGRAM]
    if kind == "result":
        files = ["panel.csv", "panel_model.R", PROGRAM, "panel_model.xlsx"]
    assert f"Wrote to {out}: {', '.join(files)}\n" in printed
    assert sorted(path.name for path in out.iterdir()) == files

    expected = apply(result, data)
    names = list(selected(result))
    few = tmp_path / "few.csv"
    make_frame()[names[::-1]].assign(note="text").to_csv(few, index=False)
    found = predictions(out, few)
    assert found.index.name == expected.index.name == "row"
    assert found.columns.tolist() == expected.columns.tolist()
    assert found["prediction"].tolist() == expected["prediction"].tolist()
    numbers = expected.select_dtypes("number")
    atol = 1e-9 if kind == "result" else 1e-6  # networks compute in single precision
    np.testing.assert_allclose(found[numbers.columns], numbers, rtol=0, atol=atol)


def test_program_predicts_numbers_as_apply_does(tmp_path, capsys):
    """By the mean of a ridge regression and a network."""
    frame = make_frame().drop(columns="kind")
    frame["dose"] = 1e3 + 50.0 * frame["gene0"] * (frame["gene1"] > 0.0)
    path, out, panel = (tmp_path / name for name in ("table.csv", "out", "panel"))
    frame.to_csv(path, index=False)
    options = "--method", "auto", "--eta", 1, "--out", out
    assert select(path, *options, target="dose") == 0
    assert export(out, panel) == 0
    sentence = "mean of RidgeCV and SparseSupervisedAutoencoderRegressor.\n"
    assert sentence in capsys.readouterr().out
    model = persistence.load(out / "model.skops")
    X = frame[list(model.feature_names_in_)]
    parts = [part.predict(model[:-1].transform(X)) for part in model[-1].estimators_]
    assert np.abs(parts[0] - parts[1]).max() > 1.0
    found = predictions(panel, path)
    assert found.columns.tolist() == ["prediction"]
    np.testing.assert_allclose(found["prediction"], model.predict(X), rtol=1e-6)


def test_table_of_the_panel(mean, tmp_path):
    result, out = mean, tmp_path / "panel"
    assert export(result / "model.skops", out) == 0  # the file does as well
    rows = read_panel(out)
    assert {row["name"] for row in rows} == selected(result)
    importances = [float(row["importance"]) for row in rows]
    assert importances == sorted(importances, reverse=True)
    scores = {row["feature"]: row["score"] for row in read_features(result)}
    assert all(row["importance"] == scores[row["name"]] for row in rows)
    # No number that a reader would multiply by the standardised value.
    assert not any(name.startswith(("weight", "coefficient")) for name in rows[0])
    highest = {"gene0": "red", "gene1": "green"}
    model = persistence.load(result / "model.skops")
    for row in rows:
        j = list(model.feature_names_in_).index(row["column"])
        assert float(row["center"]) == model["scale"].mean_[j]
        assert float(row["scale"]) == model["scale"].scale_[j]
        assert 0.0 < float(row["frequency"]) <= 1.0
        assert row["direction"] == highest.get(row["name"], row["direction"])


def test_gaps_and_categories(tmp_path):
    frame = make_frame()
    frame.loc[::7, "gene1"] = np.nan
    site = np.where(frame["kind"] == "blue", "nörd", "süd").astype(object)
    site[::11] = np.nan
    frame["site"] = site
    path, out = write(frame, tmp_path / "table.csv"), tmp_path / "out"
    options = ["--impute", "indicator", "--encode", "onehot", "--eta", 50]
    assert select(path, *options, "--out", out) == 0
    assert export(out, tmp_path / "panel") == 0
    kinds = {row["name"]: row["kind"] for row in read_panel(tmp_path / "panel")}
    assert kinds["gene1"] == "number"
    assert kinds["site_nörd"] == "category"
    expected = apply(out, path)
    german = tmp_path / "german.csv"
    options = {"sep": ";", "decimal": ",", "na_rep": "-1.#IND"}  # of old printf
    frame.drop(columns="kind").to_csv(german, encoding="latin-1", **options)
    found = predictions(tmp_path / "panel", german, "--encoding", "latin-1")
    assert found["prediction"].tolist() == expected["prediction"].tolist()
    assert found.index.tolist() == frame.index.tolist()
    done = run_panel(tmp_path / "panel" / PROGRAM, german)
    assert done.returncode == 2
    assert "is not in utf-8-sig; --encoding names another" in done.stderr
    frame.to_csv(german, index=False, encoding="utf-16", sep="\t")
    assert predictions(tmp_path / "panel", german).equals(expected)


def test_program_reads_and_writes_files(result, tmp_path):
    out = tmp_path / "panel"
    assert export(result, out) == 0
    table, new = tmp_path / "table.csv", tmp_path / "new.csv"
    frame = make_frame().assign(patient=[f"=p{i}" for i in range(90)])
    table.write_text("# from the laboratory\n\n" + frame.to_csv(index=False))
    assert (
        run_panel(out / PROGRAM, table, "--id", "patient", "--out", new).returncode == 0
    )
    written = pd.read_csv(new)
    assert written.columns.tolist()[:3] == ["patient", "prediction", "confidence"]
    assert written["patient"][3] == "'=p3"
    done = run_panel(out / PROGRAM, table, "--out", new)
    assert (done.returncode, done.stdout) == (2, "")
    assert "new.csv exists already" in done.stderr


PROBLEMS = {
    "": "is empty",
    "gene1,gene2\n1,2\n": "has no column 'gene0'",
    "gene0,gene1,gene0\n1,2,3\n": "has two columns 'gene0'",
    "gene0,gene1\n1,2\n3\n": "has 1 cells in row 2, and 2 names",
    "gene0,gene1\n1,2\n,3\n": "'gene0' has no value in row 2",
    "gene0,gene1\n1,2\n1,high\n": "'gene1' has 'high' in row 2",
}


@pytest.fixture(scope="module")
def small(data):
    """Return a panel of two columns."""
    folder = data.parent / "small"
    assert select(data, "--eta", 0.1, "--out", folder) == 0
    assert selected(folder) == {"gene0", "gene1"}
    assert export(folder, folder / "panel") == 0
    return folder / "panel"


@pytest.mark.parametrize("text", PROBLEMS, ids=PROBLEMS.values())
def test_problems_of_a_table_are_one_line(text, small, tmp_path):
    path, out = tmp_path / "table.csv", tmp_path / "out.csv"
    path.write_text(text)
    done = run_panel(small / PROGRAM, path, "--out", out)
    assert done.returncode == 2
    assert PROBLEMS[text] in done.stderr
    assert done.stderr.count("\n") == 1
    assert not out.exists()


def test_details_of_another_selection_are_not_taken(result, small, tmp_path, capsys):
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    shutil.copy(small.parent / "model.skops", mixed)
    for content in (None, "{", '[{"feature": "gene7", "selected": true}]'):
        if content is not None:
            (mixed / "features.json").write_text(content)
        assert export(mixed, tmp_path / "panel", "--overwrite") == 0
        assert "there is no features.json" in capsys.readouterr().out
        assert "direction" not in read_panel(tmp_path / "panel")[0]


def targets():
    """Return the table without its target, and targets of each kind."""
    frame = make_frame()
    X = frame.drop(columns="kind")
    number = 1e3 + X["gene0"] - 2.0 * X["gene1"]
    time = np.exp(-X["gene0"])
    event = np.arange(len(X)) % 3 > 0
    binary = np.where(frame["kind"] == "red", "red", "other")
    survival = np.rec.fromarrays([event, time], names="event,time")
    return X, {"two": binary, "three": frame["kind"], "number": number, "cox": survival}


@pytest.mark.parametrize(
    ("last", "target", "loss"),
    [
        (LogisticRegression(), "two", "log_loss"),
        (LogisticRegression(), "three", "log_loss"),
        (Ridge(), "number", "squared_error"),
        (CoxRidge(), "cox", "cox"),
    ],
    ids=["logistic", "classes", "ridge", "Cox"],
)
def test_sum_over_the_panel_is_the_output_of_a_linear_model(
    last, target, loss, tmp_path, capsys
):
    """It is the intercept and coefficients times standardised columns."""
    X, y = targets()[0], targets()[1][target]
    selector = ProjectionFeatureSelector(loss=loss, n_features_to_select=3)
    model = make_pipeline(StandardScaler(), selector, last).fit(X, y)
    persistence.dump(model, tmp_path / "model.skops")
    assert export(tmp_path / "model.skops", tmp_path / "panel") == 0
    assert capsys.readouterr().out.startswith("The panel needs 3 of 8 columns.")
    panel = pd.read_csv(tmp_path / "panel" / "panel.csv")
    intercept, rows = panel.iloc[-1], panel.iloc[:-1]
    assert intercept["name"] == "(intercept)"
    columns = [name for name in panel if name.startswith("coefficient")]
    labels = [name.removeprefix("coefficient").strip() for name in columns]
    assert labels == (model.classes_.tolist() if target == "three" else [""])
    standardised = (X[rows["column"]] - rows["center"].to_numpy()) / rows[
        "scale"
    ].to_numpy()
    sums = standardised.to_numpy() @ rows[columns].to_numpy(float)
    sums += intercept[columns].to_numpy(float)
    classifies = hasattr(model, "decision_function")
    expected = model.decision_function(X) if classifies else model.predict(X)
    np.testing.assert_allclose(np.squeeze(sums), expected, rtol=1e-10, atol=1e-10)


def test_models_that_cannot_be_exported_leave_nothing(data, tmp_path, capsys):
    frame = make_frame()
    frame.loc[::7, "gene1"] = np.nan
    out = tmp_path / "out"
    assert select(frame, "--impute", "knn", "--eta", 1, "--out", out) == 0
    capsys.readouterr()
    panel = tmp_path / "panel"
    empty = tmp_path / "empty"
    empty.mkdir()
    for result, message in (
        (out, "cannot be exported: the step KNNImputer may mix columns or rows"),
        (empty, "holds no model.skops"),
        (tmp_path / "none", "none does not exist"),
        (data, "is not a file of skops"),
    ):
        assert export(result, panel) == 2
        captured = capsys.readouterr()
        assert message in captured.err
        assert captured.err.count("\n") == 1
        assert captured.out == ""
        assert not panel.exists()
    panel.mkdir()
    (panel / "notes.txt").write_text("mine")
    assert export(out, panel) == 2
    assert "--overwrite replaces what is there" in capsys.readouterr().err


def test_names_are_no_formulas_in_a_spreadsheet(tmp_path):
    """The program knows them as they are."""
    frame = make_frame().rename(columns={"gene0": '=1+"1"', "gene1": "@\r\nb'''"})
    frame["kind"] = "-" + frame["kind"]
    path, out = tmp_path / "table.parquet", tmp_path / "out"
    frame.to_parquet(path)
    assert select(path, "--eta", 0.1, "--out", out) == 0
    assert export(out, tmp_path / "panel") == 0
    *rows, _ = read_panel(tmp_path / "panel")  # without the intercept
    assert {row["name"] for row in rows} == {'\'=1+"1"', "'@\n\nb'''"}
    assert {row["direction"] for row in rows} <= {"'-red", "'-green", "'-blue"}
    table = tmp_path / "table.csv"
    frame.to_csv(table, index=False)
    found = predictions(tmp_path / "panel", table)
    expected = persistence.load(out / "model.skops").predict(frame.iloc[:, :-1])
    assert found["prediction"].tolist() == ["'" + label for label in expected]


def test_confidence_is_that_of_the_predicted_class(tmp_path):
    frame = make_frame(n_classes=2)
    X, y = frame.drop(columns="kind"), frame["kind"]
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=0.01)).fit(X, y)
    frozen = FrozenEstimator(pipeline)
    model = FixedThresholdClassifier(frozen, threshold=0.3, pos_label="red").fit(X, y)
    path, table = tmp_path / "model.skops", tmp_path / "table.csv"
    persistence.dump(model, path)
    assert export(path, tmp_path / "panel") == 0
    X.to_csv(table)
    found = predictions(tmp_path / "panel", table)
    assert found["prediction"].tolist() == model.predict(X).tolist()
    of_red = found["prediction"] == "red"
    expected = found["probability_green"].where(~of_red, found["probability_red"])
    assert found["confidence"].equals(expected.rename("confidence"))
    assert (found["confidence"] < 0.5).any()


def test_truth_values_are_written_as_r_reads_them(tmp_path):
    """R takes TRUE and FALSE for truth values, and True and False for text."""
    frame = make_frame()
    frame["kind"] = frame["kind"] == "red"
    frame["gene2"] = frame["gene2"] > 0
    path, out = write(frame, tmp_path / "table.csv"), tmp_path / "out"
    assert select(path, "--eta", 50, "--out", out) == 0
    assert export(out, tmp_path / "panel") == 0
    rows = read_features(out)
    assert {row["selected"] for row in rows} == {"TRUE"}
    assert {row["direction"] for row in rows} == {"TRUE", "FALSE"}
    *rows, _ = read_panel(tmp_path / "panel")  # without the intercept
    assert {row["direction"] for row in rows} == {"TRUE", "FALSE"}
    found = apply(out, path, dtype=str)["prediction"]
    printed = run_panel(tmp_path / "panel" / PROGRAM, path).stdout
    by_program = pd.read_csv(io.StringIO(printed), dtype=str)["prediction"]
    expected = frame["kind"].map({True: "TRUE", False: "FALSE"})
    assert (found.to_numpy() == expected).mean() > 0.9
    assert set(found) == {"TRUE", "FALSE"}
    assert by_program.tolist() == found.tolist()
    columns = apply(out, path, "--transform", dtype=str)
    expected = frame["gene2"].map({True: "TRUE", False: "FALSE"})
    assert columns["gene2"].tolist() == expected.tolist()


def test_threshold_of_a_search_is_refused(tmp_path):
    frame = make_frame(n_classes=2)
    X, y = frame.drop(columns="kind"), frame["kind"] == "red"
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    model = TunedThresholdClassifierCV(pipeline, cv=2, thresholds=5).fit(X, y)
    with pytest.raises(ValueError, match="predicts by TunedThresholdClassifierCV; po"):
        persistence.export_panel(model, tmp_path / PROGRAM)
    with pytest.raises(ValueError, match="TunedThresholdClassifierCV cannot be saved"):
        persistence.dump(model, tmp_path / "model.skops")
    assert list(tmp_path.iterdir()) == []
