"""skproj select: tables, results and report."""

import os
import re

import anndata
import numpy as np
import pandas as pd
import pytest
from cli_helpers import (
    N_FEATURES,
    N_ROWS,
    apply,
    make_frame,
    read_features,
    select,
    selected,
    write,
)
from scipy import sparse

from skproj import persistence
from skproj.cli import main
from skproj.cli._report import FILES


def test_select_writes_features_model_and_report(data, result):
    assert {path.name for path in result.iterdir()} == set(FILES) - {"spectrum.png"}
    rows = read_features(result)
    assert {"gene0", "gene1"} <= selected(result)
    assert {row["feature"] for row in rows} == {f"gene{j}" for j in range(N_FEATURES)}
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert [(score > 0) for score in scores] == [r["selected"] == "TRUE" for r in rows]

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
    assert select(data, "--keep-gain", "one-standard-error") == 0
    printed = capsys.readouterr()
    assert re.search(r"Radius eta = [\d.]+: \d of 8 features, cross-val", printed.out)
    assert re.search(r"no selection, logistic +8 +[01]\.\d{3} \(0\.", printed.out)
    table = printed.out[printed.out.index("\nOn ") : printed.out.index("\nTop ")]
    assert max(map(len, table.splitlines())) <= 80
    assert "\n     score halves  feature (the class in which it is high)" in printed.out
    assert re.search(r"\n +[\d.]+ +\d+%  gene[01]  \(high in ", printed.out)
    assert printed.err == ""


def test_select_quiet_prints_nothing(data, capsys):
    assert select(data, "--quiet") == 0
    assert capsys.readouterr() == ("", "")


def test_same_seed_gives_same_files(data, result, tmp_path):
    assert select(data, "--out", tmp_path / "again", plots=True) == 0
    for name in ("features.csv", "radius.png"):
        assert (tmp_path / "again" / name).read_bytes() == (result / name).read_bytes()
    assert select(data, "--out", tmp_path / "other", "--seed", 1) == 0
    assert read_features(tmp_path / "other") != read_features(result)


@pytest.mark.parametrize("in_layer", [False, True])
def test_annotated_data_give_the_same_selection(in_layer, result, tmp_path):
    frame, path, arguments = make_frame(), tmp_path / "table.h5ad", []
    X = frame.drop(columns="kind").to_numpy()
    obs = pd.DataFrame({"kind": frame["kind"].to_numpy(dtype=object)})
    obs.index = [f"cell{i}" for i in range(N_ROWS)]
    adata = anndata.AnnData(sparse.csc_matrix(X), obs=obs)
    adata.var_names = frame.columns[:-1]
    if in_layer:
        adata.layers["raw"], adata.X = X, np.zeros_like(X)
        arguments = ["--layer", "raw"]
    adata.write_h5ad(path)
    assert select(path, *arguments, "--out", tmp_path / "out") == 0
    assert selected(tmp_path / "out") == selected(result)

    predicted = apply(tmp_path / "out", path, *arguments)
    assert (predicted["prediction"].to_numpy() == frame["kind"]).mean() > 0.9
    assert predicted.index[1] == "cell1"


@pytest.mark.parametrize("write", ["a column", "numbers", "names", "R"])
def test_names_of_rows_are_no_feature(write, result, tmp_path, capsys):
    """Of a column without a name, also if its place in the header is left out, as by R.

    They tell the classes apart in sorted tables, and keep their zeros.
    """
    frame, path, out = make_frame(), tmp_path / "table.csv", tmp_path / "out"
    if write != "numbers":
        frame.index = [f"{i:03}" for i in range(N_ROWS)]
    index = ["--index", "sample"] if write == "a column" else []
    text = frame.to_csv(index_label=index[1:] or None)
    path.write_text(text.removeprefix(",") if write == "R" else text)
    assert select(path, *index, "--out", out) == 0
    assert "90 rows, 8 features" in capsys.readouterr().out
    assert selected(out) == selected(result)
    assert main(["apply", str(out / "model.skops"), str(path), *index]) == 0
    first = capsys.readouterr().out.splitlines()[1]
    assert first.startswith("0," if write == "numbers" else "000,")


def test_labels_that_are_numbers_stay_numbers(capsys):
    frame = make_frame()
    for labels, shown in (([10, 2, 0], "0, 2, 10"), ([1.0, -1.0, 0.5], "-1 to 1")):
        frame["kind"] = np.array(labels)[np.arange(N_ROWS) % 3]
        assert select(frame) == 0
        assert shown in capsys.readouterr().out
    frame["kind"] = [f"{i:03}" for i in range(N_ROWS)]  # of a regression
    assert select(frame, "--task", "regression", "--eta", "1") == 0
    assert "regression, from 0 to 89" in capsys.readouterr().out


def test_names_may_be_anything_but_empty(result, tmp_path):
    names = {"gene0": 'a "q", b', "gene1": "two\nlines", "gene2": "h\u00e9 \u6f22"}
    path, out = tmp_path / "table.csv", tmp_path / "out"
    make_frame().rename(columns=names).to_csv(path, index=False, encoding="utf-8-sig")
    assert select(path, "--out", out) == 0
    assert selected(out) == {names.get(name, name) for name in selected(result)}
    apply(out, path, "--transform")


def test_regression(tmp_path, capsys):
    frame = make_frame().drop(columns="kind")
    noise = np.random.default_rng(1).normal(scale=0.1, size=N_ROWS)
    frame["size"] = 5000 + 300 * (frame["gene2"] + noise)
    assert select(frame, "--out", tmp_path / "out", target="size") == 0
    assert "regression" in capsys.readouterr().out
    assert read_features(tmp_path / "out")[0]["feature"] == "gene2"
    model = persistence.load(tmp_path / "out" / "model.skops")
    assert model.score(frame.drop(columns="size"), frame["size"]) > 0.7


def test_autoencoder(tmp_path, capsys):
    path, out = write(make_frame(n_classes=2), tmp_path / "table.csv"), tmp_path / "out"
    arguments = ["--method", "autoencoder", "--eta", "4", "--out", out]
    assert select(path, *arguments) == 0
    assert "Radius eta = 4:" in capsys.readouterr().out
    assert "gene0" in selected(out)
    table = apply(out, path)
    assert list(table.columns[:2]) == ["prediction", "confidence"]
    probabilities = table[["probability_green", "probability_red"]]
    assert table["prediction"].iloc[0] == "red"
    np.testing.assert_array_equal(table["confidence"], probabilities.max(axis=1))
    np.testing.assert_allclose(probabilities.sum(axis=1), np.ones(N_ROWS))


def test_all_rows_can_be_trained_on(data, tmp_path, capsys):
    assert select(data, "--test-size", 0, "--out", tmp_path / "out") == 0
    assert "held out" not in capsys.readouterr().out
    assert not (tmp_path / "out" / "test.png").exists()
    assert "No rows were held out" in (tmp_path / "out" / "report.html").read_text()
