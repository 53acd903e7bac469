"""The command line: what it writes, what it prints, and how it fails."""

import base64
import csv
import gzip
import io
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

import skproj
from skproj import persistence
from skproj.cli import _select, main
from skproj.cli._report import FILES, PLOTS

MARKUP = "<script>alert(1)</script>"
N_ROWS, N_FEATURES = 90, 8
FAST = ["--method", "selector", "--cv", "2", "--no-progress"]


def make_frame(n_classes=3):
    """Return a table of which only the first two columns tell the classes apart."""
    rng = np.random.default_rng(0)
    y = np.arange(N_ROWS) % n_classes
    X = rng.normal(size=(N_ROWS, N_FEATURES))
    X[:, 0] += 6.0 * (y == 0)
    X[:, 1] += 6.0 * (y == 1)
    names = [f"gene{j}" for j in range(N_FEATURES)]
    frame = pd.DataFrame(X.round(3), columns=names)
    frame["kind"] = np.array(["red", "green", "blue"])[y]
    return frame


def select(data, *arguments, target="kind"):
    return main(["select", str(data), "--target", target, *FAST, *map(str, arguments)])


def read_features(folder):
    with open(folder / "features.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def selected(folder):
    return {r["feature"] for r in read_features(folder) if r["selected"] == "True"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "table.csv"
    make_frame().to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def result(data):
    """Return a folder that `skproj select` has written."""
    folder = data.parent / "deep" / "result"
    assert select(data, "--out", folder) == 0
    return folder


def test_select_writes_features_model_and_report(data, result):
    assert {path.name for path in result.iterdir()} == set(FILES)
    rows = read_features(result)
    assert {"gene0", "gene1"} <= selected(result)
    assert {row["feature"] for row in rows} == {f"gene{j}" for j in range(N_FEATURES)}
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert [(score > 0) for score in scores] == [r["selected"] == "True" for r in rows]

    model = persistence.load(result / "model.skops")
    assert set(model[:-1].get_feature_names_out()) == selected(result)
    frame = make_frame()
    assert model.score(frame.drop(columns="kind"), frame["kind"]) > 0.9
    # What is written is what a user gets, not what only this process may read.
    assert (os.stat(result).st_mode & 0o777) == (0o777 & ~current_umask())


def current_umask():
    umask = os.umask(0)
    os.umask(umask)
    return umask


def test_select_prints_radius_scores_and_features(data, capsys):
    assert select(data, "--rule", "one-standard-error") == 0
    printed = capsys.readouterr()
    assert re.search(r"Radius eta = [\d.]+: \d of 8 features, cross-val", printed.out)
    assert re.search(r"no selection, SVM +8 +[01]\.\d{3}", printed.out)
    assert re.search(r"\n +[\d.]+  gene[01]\n", printed.out)
    assert printed.err == ""


def test_select_quiet_prints_nothing(data, capsys):
    assert select(data, "--quiet") == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("method", ["selector", "autoencoder"])
def test_progress_is_a_few_lines(method, data, capsys):
    arguments = ["--target", "kind", "--cv", "2", "--eta", "4", "--method", method]
    assert main(["select", str(data), *arguments]) == 0
    bars = [line for line in capsys.readouterr().out.splitlines() if "%" in line]
    assert 2 <= len(bars) <= 3
    assert all("100%" in bar for bar in bars)


def test_same_seed_gives_same_files(data, result, tmp_path):
    assert select(data, "--out", tmp_path / "again") == 0
    for name in ("features.csv", "radius.png"):
        assert (tmp_path / "again" / name).read_bytes() == (result / name).read_bytes()
    assert select(data, "--out", tmp_path / "other", "--seed", 1) == 0
    assert read_features(tmp_path / "other") != read_features(result)


class Page(HTMLParser):
    """Collects the tags, the text and the images of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.images, self.links = set(), [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        attrs = dict(attrs)
        self.images += [attrs["src"]] if tag == "img" else []
        self.links += [attrs[a] for a in ("href", "src") if a in attrs]

    def handle_data(self, data):
        self.texts.append(data)


def test_report_is_one_page_with_escaped_names(tmp_path):
    frame = make_frame().rename(columns={"gene0": MARKUP, "gene1": "$x^$ & _"})
    frame["kind"] = frame["kind"].replace("red", "<b>$red")
    data = tmp_path / "<i>data.csv"
    frame.to_csv(data, index=False)
    assert select(data, "--out", tmp_path / "out") == 0
    page = Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert page.tags.isdisjoint({"script", "i", "b", "link"})
    assert MARKUP in page.texts
    assert "$x^$ & _" in page.texts
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    for image, name in zip(page.images, PLOTS, strict=True):
        png = (tmp_path / "out" / name).read_bytes()
        assert png.startswith(b"\x89PNG")
        assert base64.b64decode(image.partition(",")[2]) == png


def test_report_says_what_was_done(data, result):
    text = " ".join(Page((result / "report.html").read_text("utf-8")).texts)
    for part in (
        _select.digest(data),
        f"skproj select {data} --target kind",
        f"{N_ROWS} rows and {N_FEATURES} features",
        skproj.__version__,
        "classification, 3 classes of 30 to 30 rows",
        "no selection, SVM",
        "23 rows that were held out",
    ):
        assert part in text


@pytest.mark.parametrize("kind", ["tsv.gz", "parquet", "h5ad", "sparse.h5ad", "layer"])
def test_kinds_of_tables_give_the_same_selection(kind, result, tmp_path):
    frame = make_frame()
    path = tmp_path / f"table.{kind if kind != 'layer' else 'h5ad'}"
    arguments = []
    if kind == "tsv.gz":
        with gzip.open(path, "wt") as file:
            frame.to_csv(file, sep="\t", index=False)
    elif kind == "parquet":
        frame.to_parquet(path)
    else:
        X = frame.drop(columns="kind").to_numpy()
        obs = pd.DataFrame({"kind": frame["kind"].to_numpy(dtype=object)})
        obs.index = [f"cell{i}" for i in range(N_ROWS)]
        var = pd.DataFrame(index=frame.columns[:-1])
        adata = anndata.AnnData(
            sparse.csc_matrix(X) if kind == "sparse.h5ad" else X, obs=obs, var=var
        )
        if kind == "layer":
            adata.layers["raw"], adata.X = X, np.zeros_like(X)
            arguments = ["--layer", "raw"]
        adata.write_h5ad(path)
    assert select(path, *arguments, "--out", tmp_path / "out") == 0
    assert selected(tmp_path / "out") == selected(result)

    out = tmp_path / "predictions.csv"
    model = tmp_path / "out" / "model.skops"
    assert main(["apply", str(model), str(path), *arguments, "--out", str(out)]) == 0
    predicted = pd.read_csv(out, index_col=0)
    assert (predicted["prediction"].to_numpy() == frame["kind"]).mean() > 0.9
    if kind.endswith("h5ad"):
        assert predicted.index[1] == "cell1"


def test_names_of_rows_come_from_a_column(result, tmp_path):
    frame = make_frame()
    frame.insert(0, "sample", [f"s{i}" for i in range(N_ROWS)])
    path, out = tmp_path / "named.csv", tmp_path / "out"
    frame.to_csv(path, index=False)
    assert select(path, "--index", "sample", "--out", out) == 0
    assert selected(out) == selected(result)


def test_header_without_the_column_of_row_names(result, tmp_path):
    """As R writes tables."""
    frame = make_frame()
    frame.index = [f"s{i}" for i in range(N_ROWS)]
    path, out = tmp_path / "r.csv", tmp_path / "out"
    text = frame.to_csv()
    path.write_text(text.removeprefix(","))
    assert select(path, "--out", out) == 0
    assert selected(out) == selected(result)


@pytest.mark.parametrize("write", ["pandas", "R"])
def test_first_column_without_a_name_has_the_names_of_the_rows(
    write, result, tmp_path, capsys
):
    """It is no feature, though it tells the classes apart in sorted tables."""
    frame = make_frame()
    if write == "R":
        frame.index = [f"s{i}" for i in range(N_ROWS)]
    path, out = tmp_path / "table.csv", tmp_path / "out"
    frame.to_csv(path)
    assert select(path, "--out", out) == 0
    assert "90 rows, 8 features" in capsys.readouterr().out
    assert selected(out) == selected(result)
    assert main(["apply", str(out / "model.skops"), str(path)]) == 0
    first = capsys.readouterr().out.splitlines()[1]
    assert first.startswith("s0," if write == "R" else "0,")


@pytest.mark.parametrize("suffix", ["csv", "tsv.gz", "parquet"])
def test_labels_keep_their_zeros(suffix, tmp_path, capsys):
    """As numbers, 01 and 1 would be one class."""
    codes = {"red": "01", "green": "1", "blue": "0020"}
    frame = make_frame()
    frame["kind"] = frame["kind"].map(codes)
    path, out = tmp_path / f"table.{suffix}", tmp_path / "out"
    if suffix == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if "tsv" in suffix else ",")
    assert select(path, "--out", out) == 0
    assert "3 classes of 30 to 30 rows: '0020', '01', '1'" in capsys.readouterr().out
    assert main(["apply", str(out / "model.skops"), str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    predicted = [line.split(",")[1] for line in lines]
    assert np.mean(predicted == frame["kind"]) > 0.9


def test_labels_that_are_numbers_stay_numbers(tmp_path, capsys):
    frame = make_frame()
    for labels, shown in (([10, 2, 0], "0, 2, 10"), ([1.0, -1.0, 0.5], "-1 to 1")):
        frame["kind"] = np.array(labels)[np.arange(N_ROWS) % 3]
        frame.to_csv(tmp_path / "table.csv", index=False)
        assert select(tmp_path / "table.csv") == 0
        assert shown in capsys.readouterr().out
    frame["kind"] = [f"{i:03}" for i in range(N_ROWS)]  # of a regression
    frame.to_csv(tmp_path / "table.csv", index=False)
    assert select(tmp_path / "table.csv", "--task", "regression") == 0
    assert "regression, from 0 to 89" in capsys.readouterr().out


@pytest.mark.parametrize("place", ["--index", "unnamed", "R"])
def test_names_of_rows_keep_their_zeros(place, result, tmp_path, capsys):
    frame = make_frame().drop(columns="kind")
    frame.index = [f"{i:03}" for i in range(N_ROWS)]
    path, index = tmp_path / "new.csv", []
    if place == "--index":
        frame.index.name = "sample"
        index = ["--index", "sample"]
    text = frame.to_csv()
    path.write_text(text.removeprefix(",") if place == "R" else text)
    assert main(["apply", str(result / "model.skops"), str(path), *index]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == frame.index.tolist()


def test_names_may_be_anything_but_empty(result, tmp_path, capsys):
    names = {"gene0": 'a "q", b', "gene1": "two\nlines", "gene2": "h\u00e9 \u6f22"}
    path, out = tmp_path / "table.csv", tmp_path / "out"
    make_frame().rename(columns=names).to_csv(path, index=False, encoding="utf-8-sig")
    assert select(path, "--out", out) == 0
    assert selected(out) == {names.get(name, name) for name in selected(result)}
    assert main(["apply", str(out / "model.skops"), str(path), "--transform"]) == 0
    capsys.readouterr()


def test_regression(tmp_path, capsys):
    frame = make_frame().drop(columns="kind")
    noise = np.random.default_rng(1).normal(scale=0.1, size=N_ROWS)
    frame["size"] = 5000 + 300 * (frame["gene2"] + noise)
    path = tmp_path / "numbers.csv"
    frame.to_csv(path, index=False)
    assert select(path, "--out", tmp_path / "out", target="size") == 0
    assert "regression" in capsys.readouterr().out
    assert read_features(tmp_path / "out")[0]["feature"] == "gene2"
    model = persistence.load(tmp_path / "out" / "model.skops")
    assert model.score(frame.drop(columns="size"), frame["size"]) > 0.7


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_autoencoder(task, tmp_path, capsys):
    frame = make_frame(n_classes=2)
    if task == "regression":
        frame["kind"] = frame["gene0"] * 3.0
    path, out = tmp_path / "table.csv", tmp_path / "out"
    frame.to_csv(path, index=False)
    arguments = ["--method", "autoencoder", "--eta", "4", "--out", out]
    assert select(path, *arguments) == 0
    assert "Radius eta = 4:" in capsys.readouterr().out
    assert "gene0" in selected(out)
    assert main(["apply", str(out / "model.skops"), str(path)]) == 0
    predictions = capsys.readouterr().out.splitlines()
    assert len(predictions) == N_ROWS + 1
    if task == "classification":
        assert predictions[0] == (
            "row,prediction,confidence,probability_green,probability_red"
        )
        label, *numbers = predictions[1].split(",")[1:]
        assert label == "red"
        assert float(numbers[0]) == max(map(float, numbers[1:]))
        assert sum(map(float, numbers[1:])) == pytest.approx(1.0)


def test_selection_of_all_features_is_pointed_out(tmp_path, capsys):
    path = tmp_path / "table.csv"
    make_frame()[["gene0", "gene1", "kind"]].to_csv(path, index=False)
    assert select(path, "--eta", "50") == 0
    assert "--rule one-standard-error" in capsys.readouterr().out


def test_all_rows_can_be_trained_on(data, tmp_path, capsys):
    assert select(data, "--test-size", 0, "--out", tmp_path / "out") == 0
    assert "held out" not in capsys.readouterr().out
    assert not (tmp_path / "out" / "test.png").exists()
    assert "No rows were held out" in (tmp_path / "out" / "report.html").read_text()


def test_apply_finds_columns_by_name(result, tmp_path, capsys):
    frame = make_frame().drop(columns="kind")
    shuffled = frame[frame.columns[::-1]].assign(note="text")
    path = tmp_path / "new.csv"
    shuffled.to_csv(path, index=False)
    assert main(["apply", str(result / "model.skops"), str(path)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "row,prediction"
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
def test_columns_that_need_more_precision_are_named(tmp_path, capsys):
    path = tmp_path / "table.csv"
    frame = make_frame()
    frame.assign(gene3=frame["gene3"] + 1e6, gene4=3e8).to_csv(path, index=False)
    assert select(path) == 0
    warning = capsys.readouterr().err
    assert "1 of 8 columns whose rows differ by too little" in warning
    assert "'gene3'" in warning
    assert warning.count("\n") == 1


def test_a_model_that_has_not_converged_is_pointed_out(
    data, tmp_path, monkeypatch, capsys
):
    assert select(data) == 0
    assert "has not converged" not in capsys.readouterr().out
    defaults = skproj.ProjectionFeatureSelector.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "max_iter", 2)
    assert select(data, "--eta", 50, "--out", tmp_path / "out") == 0
    sentence = "The linear selector has not converged in 2 iterations"
    assert capsys.readouterr().out.count(sentence) == 1
    assert sentence in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_apply_transform_keeps_selected_columns_as_they_are(data, result, capsys):
    assert main(["apply", str(result / "model.skops"), str(data), "--transform"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = lines[0].split(",")[1:]
    assert set(names) == selected(result)
    expected = make_frame()[names].iloc[0].tolist()
    assert [float(number) for number in lines[1].split(",")[1:]] == expected


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
    cells = [row["feature"] for row in read_features(formulas / "out")]
    assert sorted(cells) == sorted(CELLS)
    rows = json.loads((formulas / "out" / "features.json").read_text("utf-8"))
    assert [CELLS[FORMULAS.index(row["feature"])] for row in rows] == cells
    expected = [
        {**row, "feature": FORMULAS[CELLS.index(row["feature"])]}
        for row in read_features(formulas / "out")
    ]
    assert [{k: str(v) for k, v in row.items()} for row in rows] == expected


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


def test_apply_names_missing_columns(result, tmp_path, capsys):
    path = tmp_path / "new.csv"
    make_frame().drop(columns=["gene3", "gene5"]).to_csv(path, index=False)
    out = tmp_path / "out.csv"
    arguments = ["apply", str(result / "model.skops"), str(path), "--out", str(out)]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "has no column 'gene3', 'gene5', which the model needs" in error
    assert not out.exists()


def test_info_of_model(result, capsys):
    assert main(["info", str(result / "model.skops")]) == 0
    printed = capsys.readouterr().out
    assert "StandardScaler, ProjectionFeatureSelector, SVC" in printed
    assert f"{len(selected(result))} of {N_FEATURES}" in printed
    assert "'blue', 'green', 'red'" in printed
    assert f"skproj {skproj.__version__}" in printed


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


def change(**columns):
    return make_frame().assign(**columns)


few = ["red"] * 2 + ["blue"] * (N_ROWS - 2)
gap = [np.nan, np.nan, *range(N_ROWS - 2)]
ONE_LINE = [
    (make_frame(), ["--target", "Kind"], "no column 'Kind'; did you mean 'kind'?"),
    (make_frame(), ["--target", "zzz"], "no column 'zzz'; there are 'gene0', "),
    (make_frame(), ["--drop", "gen1"], "no column 'gen1'; did you mean"),
    (make_frame().iloc[:0], [], "has no rows"),
    (make_frame()[["kind"]], [], "has no features besides the target"),
    (change(kind="red"), [], "one class only: 'red'"),
    (change(kind=2.5), [], "one value only: '2.5'"),
    (change(kind=few), [], "class 'red' has 2 rows only, and 2 folds"),
    (change(kind=gap), [], "the target 'kind' is missing in 2 of 90 rows"),
    (change(note="a b"), [], "not numbers: 'note' (the first begins with 'a b'); --d"),
    (change(gene1=gap), [], "missing values, 2 in 1 of 8 columns: 'gene1'"),
    (change(gene1=np.inf), [], "infinite values, 90 in 1 of 8 columns: 'gene1'"),
    (make_frame(), ["--task", "regression"], "'kind' is not a number"),
    (change(kind=np.arange(90) / 4), ["--task", "classification"], "are no labels"),
    (make_frame().iloc[::10], ["--cv", "9"], "rows only, and 9 folds"),
    (make_frame()[["gene0", "kind"]].assign(gene0=1), [], "same value in all rows"),
    (make_frame(), ["--layer", "raw"], "--layer is for .h5ad files"),
    (make_frame(), ["--index", "sample"], "no column 'sample'"),
    (make_frame(), ["--n-jobs", "0"], "n_jobs"),
    (make_frame(), ["--index", "kind"], "'kind' is both --index and --target"),
    (change(gene1=1e300), [], "too large values, 90 in 1 of 8 columns: 'gene1'"),
]


@pytest.mark.parametrize(
    ("frame", "arguments", "sentence"), ONE_LINE, ids=[row[2][:30] for row in ONE_LINE]
)
def test_unsuitable_table_gets_one_line(frame, arguments, sentence, tmp_path, capsys):
    path, out = tmp_path / "table.csv", tmp_path / "new" / "out"
    frame.to_csv(path, index=False)
    assert select(path, *arguments, "--out", out) == 2
    error = capsys.readouterr().err
    assert error.startswith("skproj: error: ")
    assert error.count("\n") == 1
    assert sentence in error
    assert [entry.name for entry in tmp_path.iterdir()] == ["table.csv"]


@pytest.mark.filterwarnings("default::UserWarning")
@pytest.mark.parametrize("method", ["selector", "autoencoder"])
def test_selection_of_nothing_is_an_error(method, data, tmp_path, capsys):
    out = tmp_path / "out"
    assert select(data, "--method", method, "--eta", "1e-300", "--out", out) == 2
    *warnings, error = capsys.readouterr().err.splitlines()
    assert all(line.startswith("skproj: warning: ") for line in warnings)
    assert error.startswith("skproj: error: no feature was selected")
    assert not out.exists()


def test_apply_to_columns_that_are_not_numbers(result, tmp_path, capsys):
    for number, sentence in (("many", "not numbers: 'gene2'"), (np.inf, "infinite")):
        path = tmp_path / "new.csv"
        change(gene2=number).to_csv(path, index=False)
        assert main(["apply", str(result / "model.skops"), str(path)]) == 2
        error = capsys.readouterr().err
        assert sentence in error
        assert "--drop" not in error  # which is no option of apply


BROKEN = {
    "twice.csv": (b"a,b,a,kind\n1,2,3,x\n", "several columns of the same name: 'a'"),
    "empty.csv": (b"", "is empty"),
    "lines.csv": (b"\n\n", "is empty"),
    "semicolons.csv": (b"a;kind\n1,5;x\n", "single column, 'a;kind'; those of a .csv "),
    "commas.tsv": (b"a,kind\n1,x\n", "file are separated by tabs"),
    "unnamed.csv": (b"a,,kind,\n1,2,x,\n", "columns without a name: 2"),
    "extra.csv": (b"a,kind\n1,2,3,x\n1,2,3,x\n", "more columns than names"),
    "utf16.csv": ("a,kind\n1,x\n".encode("utf-16"), "cannot be read: "),
    "ragged.csv": (b"a,kind\n1,x\n1,x,3,4\n", "cannot be read: "),
    "table.parquet": (b"nonsense", "cannot be read: "),
    "table.h5ad": (b"nonsense", "cannot be read: "),
    "table.xlsx": (b"nonsense", "'.xlsx' is not a kind of table"),
    "table": (b"nonsense", "'no suffix' is not a kind of table"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_table_gets_one_line(name, tmp_path, capsys):
    content, sentence = BROKEN[name]
    (tmp_path / name).write_bytes(content)
    assert select(tmp_path / name) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert sentence in error


def test_missing_files_get_one_line(result, data, tmp_path, capsys):
    for arguments in (
        ["select", tmp_path / "none.csv", "--target", "kind"],
        ["select", tmp_path, "--target", "kind"],
        ["apply", tmp_path / "none.skops", data],
        ["apply", result / "model.skops", tmp_path / "none.csv"],
        ["info", tmp_path],
    ):
        assert main([str(argument) for argument in arguments]) == 2
        assert re.fullmatch(
            r"skproj: error: \S+ (does not exist|is a folder)\.\n",
            capsys.readouterr().err,
        )


def test_several_columns_in_h5ad_with_the_same_name(tmp_path, capsys):
    with pytest.warns(UserWarning, match="Variable names are not unique"):
        adata = anndata.AnnData(
            np.eye(4),
            obs=pd.DataFrame({"kind": list("abab")}, index=list("wxyz")),
            var=pd.DataFrame(index=["a", "a", "b", "c"]),
        )
    adata.write_h5ad(tmp_path / "cells.h5ad")
    assert select(tmp_path / "cells.h5ad") == 2
    assert "several columns of the same name: 'a'" in capsys.readouterr().err


def test_h5ad_without_the_column(tmp_path, capsys):
    path = tmp_path / "cells.h5ad"
    obs = pd.DataFrame({"kind": list("abab")}, index=list("wxyz"))
    for columns, known in (([], "none"), (["kind"], "'kind'")):
        adata = anndata.AnnData(sparse.csr_matrix(np.eye(4)), obs=obs[columns])
        adata.write_h5ad(path)
        assert select(path, target="zzz") == 2
        error = capsys.readouterr().err
        assert error.endswith(f"has no column of obs 'zzz'; there are {known}\n")


def test_damaged_model_gets_one_line(result, data, tmp_path, capsys):
    path = tmp_path / "model.skops"
    path.write_bytes((result / "model.skops").read_bytes()[:-100])
    for arguments in (["info", str(path)], ["apply", str(path), str(data)]):
        assert main(arguments) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_model_of_newer_version_gets_one_line(result, tmp_path, monkeypatch, capsys):
    model = persistence.load(result / "model.skops")
    with monkeypatch.context() as newer:
        newer.setattr(skproj.ProjectionFeatureSelector, "_state_migrations", (dict,))
        persistence.dump(model, tmp_path / "newer.skops")
    assert main(["info", str(tmp_path / "newer.skops")]) == 2
    assert "newer version" in capsys.readouterr().err


def test_files_are_replaced_only_when_asked(data, result, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    (out / "test.png").write_text("of an earlier run")
    assert select(data, "--out", out) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert select(data, "--out", out, "--overwrite", "--test-size", 0) == 0
    names = {path.name for path in out.iterdir()}
    assert names == set(FILES) - {"test.png"} | {"mine.txt"}

    file = tmp_path / "predictions.csv"
    apply = ["apply", str(result / "model.skops"), str(data), "--out", str(file)]
    assert [main(apply), main(apply), main([*apply, "--overwrite"])] == [0, 2, 0]
    assert "--overwrite" in capsys.readouterr().err
    assert select(data, "--out", file, "--overwrite") == 2
    assert "--out must be a folder" in capsys.readouterr().err


def test_out_is_checked_before_the_search(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(_select, "select", None)
    assert select(data, "--out", data / "out") == 2
    assert "table.csv is not a folder that can be written" in capsys.readouterr().err
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert select(data, "--out", tmp_path / "new" / "out") == 2
    assert "is not a folder that can be written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("out", ["link", "link/deep", "link.csv"])
def test_links_to_nothing_are_refused_before_the_work(
    out, data, result, tmp_path, monkeypatch, capsys
):
    link = tmp_path / out.partition("/")[0]
    link.symlink_to(tmp_path / "missing")
    monkeypatch.setattr(_select, "select", None)
    for command in (
        ["select", str(data), "--target", "kind"],
        ["apply", str(result / "model.skops"), str(data), "--overwrite"],
        ["datasets", "diabetes"],
    ):
        assert main([*command, "--out", str(tmp_path / out)]) == 2
        error = capsys.readouterr().err
        if command[0] != "datasets" or out == "link.csv":
            assert error == f"skproj: error: --out: {link} is a link to nothing.\n"
    assert [path.name for path in tmp_path.iterdir()] == [link.name]


def test_special_files_are_not_replaced(data, result, tmp_path, capsys):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    arguments = ["apply", str(result / "model.skops"), str(data), "--overwrite"]
    assert main([*arguments, "--out", str(pipe)]) == 2
    assert "--out must be a file" in capsys.readouterr().err


def test_files_of_a_folder_that_exists_are_made_within_it(data, tmp_path, monkeypatch):
    """It can be a file system of its own, or in a folder that is not ours."""
    out = tmp_path / "out"
    out.mkdir()
    used = []
    write = _select.write_results
    monkeypatch.setattr(
        _select, "write_results", lambda *a: (used.append(a[0]), write(*a))
    )
    assert select(data, "--out", out) == 0
    assert used[0].parent == out
    assert {path.name for path in out.iterdir()} == set(FILES)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left")])
def test_nothing_is_left_of_a_run_that_breaks_off(
    error, data, tmp_path, monkeypatch, capsys
):
    def write_some(folder, *arguments):
        (folder / "features.csv").write_text("half")
        raise error

    monkeypatch.setattr(_select, "write_results", write_some)
    code = select(data, "--out", tmp_path / "out")
    assert code == (130 if error is KeyboardInterrupt else 2)
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err.count("\n") == 1


def test_traceback_is_shown_when_asked(tmp_path, monkeypatch, capsys):
    arguments = ["info", str(tmp_path / "none.skops")]
    assert main(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert main([*arguments, "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv("SKPROJ_TRACEBACK", "1")
    assert main(arguments) == 2
    assert "Traceback" in capsys.readouterr().err


def test_errors_of_the_program_itself_have_another_code(data, monkeypatch, capsys):
    def fail(*arguments, **options):
        raise AssertionError("a slip")

    monkeypatch.setattr(_select, "select", fail)
    assert select(data) == 1
    assert "AssertionError: a slip" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["select", "t.csv"],
        ["select", "t.csv", "--target", "y", "--eta", "0"],
        ["select", "t.csv", "--target", "y", "--test-size", "1"],
        ["select", "t.csv", "--target", "y", "--cv", "1"],
        ["select", "t.csv", "--target", "y", "--seed", "-1"],
    ],
)
def test_unsuitable_arguments(arguments, capsys):
    assert main(arguments) == 2
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize("command", ["select", "apply", "info", "datasets"])
def test_help_has_examples(command, capsys):
    assert main([command, "--help"]) == 0
    printed = capsys.readouterr().out
    assert f"  skproj {command}" in printed.partition("examples:")[2]
    assert max(map(len, printed.splitlines())) <= 88


def test_module_runs_and_shows_versions():
    done = subprocess.run(
        [sys.executable, "-m", "skproj", "info"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert re.search(rf"^skproj +{re.escape(skproj.__version__)}$", done.stdout, re.M)
    assert re.search(r"^OpenMP threads +\d+", done.stdout, re.M)


def test_help_and_versions_leave_out_heavy_packages():
    code = (
        "import sys; from skproj.cli import main; main(['info']); main(['--help']); "
        "print({'torch', 'sklearn', 'pandas', 'matplotlib'}.isdisjoint(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "True"
