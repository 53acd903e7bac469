"""skproj apply, info and datasets."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from cli_helpers import N_FEATURES, N_ROWS, make_frame, read_features, select, selected
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import VotingClassifier
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    OneHotEncoder,
    PowerTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVR

import skproj
from skproj import persistence
from skproj.cli import main


def test_apply_finds_columns_by_name(result, tmp_path, capsys):
    frame = make_frame().drop(columns="kind")
    shuffled = frame[frame.columns[::-1]].assign(note="text")
    path = tmp_path / "new.csv"
    shuffled.to_csv(path, index=False)
    assert main(["apply", str(result / "model.skops"), str(path)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == (
        "row,prediction,confidence,probability_blue,probability_green,probability_red"
    )
    model = persistence.load(result / "model.skops")
    assert [line.split(",")[1] for line in printed[1:]] == model.predict(frame).tolist()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_apply_predicts_as_python_does(dtype, tmp_path):
    """In the precision of the table: here differences vanish in a lower one."""
    frame = make_frame().drop(columns="kind")
    frame["gene0"] += 2.0**26 if dtype == np.float64 else 0.0
    frame = frame.astype(dtype)
    y = make_frame()["gene0"] * 3.0
    model = make_pipeline(StandardScaler(), SVR()).fit(frame, y)
    path, out = tmp_path / "table.parquet", tmp_path / "out.csv"
    frame.to_parquet(path)
    persistence.dump(model, tmp_path / "model.skops")
    arguments = [str(tmp_path / "model.skops"), str(path), "--out", str(out)]
    assert main(["apply", *arguments]) == 0
    predicted = pd.read_csv(out, float_precision="round_trip")["prediction"]
    np.testing.assert_array_equal(predicted, model.predict(frame))


@pytest.mark.filterwarnings("default::UserWarning")
def test_columns_that_need_more_precision_are_named(capsys):
    frame = make_frame()
    assert select(frame.assign(gene3=frame["gene3"] + 1e6, gene4=3e8)) == 0
    warning = capsys.readouterr().err
    assert "1 of 8 columns whose rows differ by too little" in warning
    assert "'gene3'" in warning
    assert warning.count("\n") == 1


def test_a_model_that_has_not_converged_is_pointed_out(
    data, tmp_path, monkeypatch, capsys
):
    assert select(data) == 0
    assert "has not converged" not in capsys.readouterr().out
    defaults = skproj.ProjectionFeatureSelectorCV.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "max_iter", 2)
    assert select(data, "--eta", 50, "--out", tmp_path / "out") == 0
    sentence = "The linear selector has not converged in 2 iterations"
    assert capsys.readouterr().out.count(sentence) == 1
    assert sentence in (tmp_path / "out" / "report.html").read_text("utf-8")


FORMULAS = [
    "=cmd|' /C calc'!A0",
    "+1",
    "-1",
    "@SUM(1,2)",
    "\t=1",
    "\r=1",
    "a\r=1",
    "a=1",
]


CELLS = ["'" + text.replace("\r", "\n") for text in FORMULAS[:6]] + ["a\n=1", "a=1"]


@pytest.fixture(scope="module")
def formulas(tmp_path_factory):
    """Return a folder with a table full of formulas, and a selection from it."""
    folder = tmp_path_factory.mktemp("formulas")
    frame = make_frame()
    frame.columns = [*FORMULAS, "kind"]
    frame.index = pd.Index([f"@{i}" for i in range(N_ROWS)], name="=rows")
    frame["kind"] = "=" + frame["kind"]
    frame.to_parquet(folder / "table.parquet")
    out = folder / "out"
    assert select(folder / "table.parquet", "--eta", 50, "--out", out) == 0
    return folder


def test_features_are_no_formulas_in_a_spreadsheet(formulas):
    """In the file for programs, names are what they are."""
    table = read_features(formulas / "out")
    cells = [row["feature"] for row in table]
    assert sorted(cells) == sorted(CELLS)
    labels = {"'=red", "'=green", "'=blue"}
    assert {row["direction"] for row in table if row["direction"]} <= labels
    rows = json.loads((formulas / "out" / "features.json").read_text("utf-8"))
    assert [CELLS[FORMULAS.index(row["feature"])] for row in rows] == cells
    assert {row["direction"] for row in rows if "direction" in row} <= {
        label[1:] for label in labels
    }
    for row, cell in zip(rows, table, strict=True):
        assert cell["selected"] == str(row["selected"]).upper()
        for name in ("rank", "score", "mean =red"):
            assert str(row.get(name, "")) == cell[name]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "csv.gz", "parquet", None])
def test_predictions_are_no_formulas_in_a_spreadsheet(
    suffix, formulas, tmp_path, capsys
):
    """In parquet files and models, names and labels are what they are."""
    model, table = formulas / "out" / "model.skops", formulas / "table.parquet"
    out = tmp_path / f"new.{suffix}"
    arguments = ["--out", str(out)] if suffix else []
    assert main(["apply", str(model), str(table), *arguments]) == 0
    printed = capsys.readouterr().out
    if suffix == "parquet":
        found, mark = pd.read_parquet(out), ""
    else:
        found, mark = io.StringIO(printed) if suffix is None else out, "'"
        found = pd.read_csv(found, sep="\t" if suffix == "tsv" else ",", index_col=0)
    assert found.index.name == f"{mark}=rows"
    assert found.index.tolist() == [f"{mark}@{i}" for i in range(N_ROWS)]
    labels = mark + pd.read_parquet(table)["kind"]
    assert set(found["prediction"]) == set(labels)
    assert (found["prediction"] == labels.to_numpy()).mean() > 0.9


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_selected_columns_are_no_formulas_in_a_spreadsheet(suffix, formulas, tmp_path):
    """Negative numbers are numbers."""
    model, table = formulas / "out" / "model.skops", formulas / "table.parquet"
    out = tmp_path / f"new.{suffix}"
    arguments = [str(model), str(table), "--out", str(out)]
    assert main(["apply", *arguments, "--transform"]) == 0
    names = persistence.load(model)[:-1].get_feature_names_out().tolist()
    assert set(names) >= set(FORMULAS[:2])
    expected = pd.read_parquet(table)[names]
    if suffix == "parquet":
        pd.testing.assert_frame_equal(pd.read_parquet(out), expected)
    else:
        found = pd.read_csv(out, index_col=0)
        assert found.columns.tolist() == [CELLS[FORMULAS.index(n)] for n in names]
        np.testing.assert_array_equal(found, expected)
    # What was written for programs is a table with the names of the model.
    code = main(["apply", str(model), str(out), "--transform"])
    assert code == (0 if suffix == "parquet" else 2)


def test_info_of_model(result, capsys):
    assert main(["info", str(result / "model.skops")]) == 0
    printed = capsys.readouterr().out
    report = json.loads((result / "report.json").read_text("utf-8"))
    first = printed.splitlines()[0]
    assert first.split(maxsplit=1) == ["verdict", report["verdict"]["sentence"]]
    assert report["verdict"]["predicts"] is True
    assert "ProjectionFeatureSelectorCV, LogisticRegression\n" in printed
    assert f"{len(selected(result))} of {N_FEATURES}" in printed
    assert "'blue', 'green', 'red'" in printed
    assert f"skproj {skproj.__version__}" in printed


@pytest.mark.parametrize("voting", ["soft", "hard"])
def test_info_of_a_mean_of_models(voting, tmp_path, capsys):
    """It names the models, also where it is not fitted; votes are no mean."""
    parts = [("linear", LogisticRegression()), ("bayes", GaussianNB())]
    model = make_pipeline(StandardScaler(), VotingClassifier(parts, voting=voting))
    frame = make_frame()
    path = tmp_path / "model.skops"
    for _ in range(2):
        persistence.dump(model, path)
        assert main(["info", str(path)]) == 0
        name = "mean of LogisticRegression and GaussianNB"
        name = name if voting == "soft" else "VotingClassifier"
        assert f"StandardScaler, {name}\n" in capsys.readouterr().out
        model.fit(frame.drop(columns="kind"), frame["kind"])


def test_datasets(tmp_path, capsys):
    assert main(["datasets"]) == 0
    assert "digits-probes (--target digit)" in capsys.readouterr().out
    path = tmp_path / "digits.parquet"
    assert main(["datasets", "digits-probes", "--out", str(path)]) == 0
    frame = pd.read_parquet(path)
    assert frame.shape == (1797, 61 + 1000 + 1)
    assert frame.columns.str.startswith("probe").sum() == 1000
    for name, target in (("breast-cancer", "diagnosis"), ("diabetes", "progression")):
        path = tmp_path / f"{name}.csv"
        assert main(["datasets", name, "--out", str(path)]) == 0
        assert target in pd.read_csv(path)


def test_apply_needs_the_selected_columns_of_any_pipeline(tmp_path, capsys):
    """Whatever the names of its steps, if each works on columns by themselves."""
    frame = make_frame()
    site = np.where(frame["kind"] == "blue", "north", "south").astype(object)
    frame.insert(3, "site", site)
    frame.insert(4, "grade", np.arange(N_ROWS) // 3 % 3)
    frame.loc[::7, "gene1"] = frame.loc[::9, "gene5"] = frame.loc[::11, "site"] = np.nan
    text = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())
    prepare = make_column_transformer(
        (
            make_pipeline(SimpleImputer(), StandardScaler()),
            [f"gene{j}" for j in "0156"],
        ),
        (text, ["site"]),
        (OneHotEncoder(), ["grade"]),
    )
    selector = skproj.ProjectionFeatureSelector(n_features_to_select=3)
    model = make_pipeline(prepare, selector, LogisticRegression())
    X = frame.drop(columns="kind")
    model.fit(X, frame["kind"])
    names = model[:-1].get_feature_names_out()
    assert {name.partition("__")[0] for name in names} == {"pipeline-1", "pipeline-2"}
    path, out = tmp_path / "model.skops", tmp_path / "few.csv"
    persistence.dump(model, path)
    for columns in (["site", "gene1", "gene0"], list(X)):
        frame[columns].to_csv(out, index=False)
        assert main(["apply", str(path), str(out)]) == 0
        lines = capsys.readouterr().out.splitlines()[1:]
        assert [line.split(",")[1] for line in lines] == model.predict(X).tolist()
    frame[["gene1", "gene0"]].to_csv(out, index=False)
    assert main(["apply", str(path), str(out)]) == 2
    assert "no column 'site', which the model needs" in capsys.readouterr().err


TRANSFORMED = {
    "nested": (make_pipeline(make_pipeline(StandardScaler()), RobustScaler()), None),
    "two selectors": (make_pipeline(VarianceThreshold(), StandardScaler()), None),
    "mixed": (make_pipeline(KNNImputer(), StandardScaler()), None),
    "mixed without names": (make_pipeline(PCA(3)), "features that are no columns"),
    "no selection": (None, "no model that selects"),
}


@pytest.mark.parametrize("kind", TRANSFORMED)
def test_transform_by_any_pipeline(kind, data, tmp_path, capsys):
    before, message = TRANSFORMED[kind]
    frame = make_frame()
    X, y = frame.drop(columns="kind"), frame["kind"]
    selector = skproj.ProjectionFeatureSelector(n_features_to_select=2)
    model = LogisticRegression()
    if before:
        model = make_pipeline(clone(before), selector, model)
    path = tmp_path / "model.skops"
    persistence.dump(model.fit(X, y), path)
    assert main(["apply", str(path), str(data), "--transform"]) == (2 if message else 0)
    printed = capsys.readouterr()
    if message:
        assert message in printed.err
        return
    found = pd.read_csv(io.StringIO(printed.out), index_col=0)
    assert set(found) == {"gene0", "gene1"}
    np.testing.assert_array_equal(found, X[list(found)])


def test_apply_needs_all_columns_where_they_are_mixed(data, tmp_path, capsys):
    X = make_frame().drop(columns="kind")
    model = make_pipeline(PowerTransformer(), Ridge()).fit(X, X["gene0"])
    persistence.dump(model, tmp_path / "model.skops")
    assert main(["apply", str(tmp_path / "model.skops"), str(data)]) == 0
    X[["gene0"]].to_csv(tmp_path / "few.csv", index=False)
    capsys.readouterr()
    arguments = [str(tmp_path / name) for name in ("model.skops", "few.csv")]
    assert main(["apply", *arguments]) == 2
    assert "which the model needs" in capsys.readouterr().err
