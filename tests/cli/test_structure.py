"""Columns that are selected together, and columns that are always in the model."""

import json
import re

import anndata
import numpy as np
import pandas as pd
import pytest
from cli_helpers import (
    N_ROWS,
    apply,
    export,
    make_frame,
    read_features,
    select,
    selected,
)
from scipy import sparse

from skproj import persistence
from skproj.cli._arguments import make_parser
from skproj.cli._split import split_rows

CITIES = np.array(["lyon", "nice", "oslo", "rome"])


def make_cities():
    """Return a table of which a single value of a column of text tells the classes."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        rng.normal(size=(N_ROWS, 6)), columns=[f"gene{j}" for j in range(6)]
    )
    city = rng.integers(4, size=N_ROWS)
    frame["kind"] = np.where(city == 2, "cold", "warm")
    frame["city"] = CITIES[city]
    # Names that begin alike, and a value that many splits lack.
    frame["city_size"] = rng.permutation(np.array(["big", "small"]).repeat(N_ROWS // 2))
    frame.loc[0, "city_size"] = "tiny"
    frame.loc[::9, "gene3"] = np.nan
    return frame


@pytest.mark.parametrize(
    ("task", "method", "place"),
    [
        ("classification", "selector", "training"),
        ("regression", "autoencoder", "held out"),
        ("survival", "selector", "training"),
    ],
)
@pytest.mark.usefixtures("no_baselines")
def test_value_that_few_rows_have(task, method, place, tmp_path, capsys):
    """A fold lacks it, or all training rows do: it stays with the others."""
    path, out, few = (tmp_path / name for name in ("table.csv", "out", "few.csv"))
    frame = make_cities().drop(columns="gene3")
    rng = np.random.default_rng(1)
    cold = frame["kind"] == "cold"
    target, extra = "kind", []
    if task == "regression":
        frame["kind"] = 3.0 * cold + rng.normal(size=N_ROWS)
    elif task == "survival":
        target, extra = "time", ["--event", "died"]
        time = rng.exponential(np.where(cold, 1.0, 30.0)) + 0.01
        frame = frame.drop(columns="kind").assign(
            time=time, died=(rng.random(N_ROWS) < 0.8).astype(int)
        )
    options = make_parser().parse_args(["select", str(path), "--target", target])
    column = frame[target].to_numpy()
    if task == "survival":
        column = np.array(
            list(zip(frame["died"] == 1, frame["time"], strict=True)),
            dtype=[("event", bool), ("time", float)],
        )
    rows = split_rows(column, task, options)[place == "held out"]
    rare = rows[frame.loc[rows, "city"] != "oslo"][0]
    frame.loc[rare, "city"] = "turin"
    frame.to_csv(path, index=False)

    arguments = [
        "--encode",
        "onehot",
        "--keep-gain",
        "one-standard-error",
        "--out",
        out,
    ]
    arguments += ["--method", method, "--stability", 2, *extra]
    assert select(path, *arguments, target=target) == 0
    kept, cities = selected(out), {f"city_{name}" for name in (*CITIES, "turin")}
    assert cities <= kept
    sizes = {"city_size_big", "city_size_small", "city_size_tiny"}
    assert len(kept & sizes) in (0, 3)
    frequencies = {r["frequency"] for r in read_features(out) if r["feature"] in cities}
    assert len(frequencies) == 1
    model = persistence.load(out / "model.skops")
    names = model["prepare"].get_feature_names_out().tolist()
    groups = [{names[j] for j in group} for group in model["select"].feature_groups]
    assert groups == [cities, sizes]
    j = names.index("city_turin")
    assert (model["scale"].var_[j] == 0.0) == (place == "held out")

    # What the features are made of is named once, and is all that is needed.
    columns = sorted({"city" if name in cities else name for name in kept - sizes})
    columns += ["city_size"] if sizes <= kept else []
    frame[columns].to_csv(few, index=False)
    assert apply(out, few).equals(apply(out, path))
    assert sorted(apply(out, path, "--transform")) == sorted(columns)
    export(out, tmp_path / "panel")
    assert f"The panel needs {len(columns)} of 7 columns." in capsys.readouterr().out


@pytest.mark.parametrize("other", ["city_size", "city_b_big"])
def test_features_of_one_name(other, tmp_path, capsys):
    """Of two columns of text, or of one of text and one of numbers."""
    frame = make_cities().drop(columns="gene3")
    frame.loc[:9, "city"] = "size_big" if other == "city_size" else "b_big"
    if other not in frame:
        frame[other] = frame["gene0"]
    out = tmp_path / "out"
    assert select(frame, "--encode", "onehot", "--out", out) == 2
    captured = capsys.readouterr()
    assert "is made of the columns 'city" in captured.err
    assert "'city' and " in captured.err or f"{other!r} and 'city'" in captured.err
    assert "Searching" not in captured.out
    assert select(frame, "--encode", "onehot", "--drop", other, "--out", out) == 0


@pytest.mark.parametrize("method", ["selector", "autoencoder"])
def test_columns_that_are_always_kept(method, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["--always-keep", "gene5", "gene6", "--stability", "2"]
    arguments += ["--keep-gain", "one-standard-error", "--method", method, "--out", out]
    assert select(make_frame(), *arguments) == 0
    assert "Always in the model: 'gene5', 'gene6'." in capsys.readouterr().out
    assert {"gene0", "gene5", "gene6"} <= selected(out)
    assert len(selected(out)) < 8
    rows = {row["feature"]: row for row in read_features(out)}
    assert float(rows["gene5"]["frequency"]) == 1.0


def test_always_kept_with_gaps_and_categories(tmp_path):
    out = tmp_path / "out"
    arguments = ["--always-keep", "gene3", "city_size", "--encode", "onehot"]
    arguments += ["--impute", "indicator", "--out", out]
    assert select(make_cities(), *arguments) == 0
    sizes = {"city_size_big", "city_size_small", "city_size_tiny"}
    assert {"gene3", *sizes} <= selected(out)


def test_groups_of_a_file(tmp_path, capsys):
    path, groups, out = (tmp_path / n for n in ("table.csv", "groups.csv", "out"))
    make_cities().drop(columns="gene3").to_csv(path, index=False)
    names = ["gene0", "city", "gene1", "gene2"]
    table = pd.DataFrame({"feature": names, "group": [1, 1, 2, 2]})
    table.to_csv(groups, index=False)
    arguments = ["--feature-groups", groups, "--encode", "onehot", "--out", out]
    assert select(path, *arguments, "--keep-gain", "one-standard-error") == 0
    kept = selected(out)
    assert {"gene0", *(f"city_{name}" for name in CITIES)} <= kept
    assert len(kept & {"gene1", "gene2"}) in (0, 2)
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert report["settings"]["feature groups"] == str(groups)
    drop = ["--drop", "gene2", "--out", tmp_path / "other"]
    assert select(path, *arguments, *drop) == 0
    assert "gene2" not in {row["feature"] for row in read_features(tmp_path / "other")}
    # A name twice is that feature once, in the file and as an option.
    pd.concat([table, table]).to_csv(groups, index=False)
    twice = ["--always-keep", "gene5", "gene5", "--overwrite"]
    assert select(path, *arguments, *twice, "--keep-gain", "one-standard-error") == 0
    step = persistence.load(out / "model.skops")["select"]
    assert [len(group) for group in step.feature_groups] == [5, 2, 3]
    assert len(step.always_keep) == 1
    table.assign(feature="gene00").to_csv(groups, index=False)
    assert select(path, *arguments, "--overwrite") == 2
    error = capsys.readouterr().err
    assert "the table has no feature 'gene00'" in error
    table.drop(columns="group").to_csv(groups, index=False)
    assert select(path, *arguments, "--overwrite") == 2
    assert "has no column 'group'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("suffix", "arguments"),
    [
        (".csv", []),
        (".parquet", ["--backed"]),
        (".h5ad", []),
        (".h5ad", ["--layer", "counts"]),
        (".h5ad", ["--layer", "counts", "--backed"]),
    ],
)
def test_structure_is_by_name_beside_dropped_columns(
    suffix, arguments, tmp_path, capsys
):
    """Those before it in the file, those that are constant, and suspects."""
    frame = make_frame()
    frame["gene2"] = 1.0
    frame.insert(1, "leak", frame["kind"].map({"red": 5.0, "green": 7.0, "blue": 9.0}))
    path, groups = tmp_path / f"table{suffix}", tmp_path / "groups.csv"
    if suffix == ".csv":
        frame.to_csv(path, index=False)
    elif suffix == ".parquet":
        frame.to_parquet(path)
    else:
        X = frame.drop(columns="kind")
        obs = frame[["kind"]].set_axis(frame.index.astype(str))
        adata = anndata.AnnData(sparse.csr_matrix(X.to_numpy()), obs)
        adata.var_names = X.columns
        adata.layers["counts"] = adata.X
        adata.X = sparse.csr_matrix(adata.shape)
        if "--layer" not in arguments:
            adata.X = adata.layers["counts"]
        adata.write_h5ad(path)
    table = {"feature": ["gene0", "gene1", "gene6"], "group": [1, 2, 2]}
    pd.DataFrame(table).to_csv(groups, index=False)
    arguments += ["--always-keep", "gene5", "--feature-groups", groups]
    arguments += ["--drop", "gene0", "--drop-suspects", "--eta", "3"]
    assert select(path, *arguments) == 0
    told = capsys.readouterr().out
    assert "Suspected leaks were left out: 'leak'." in told
    top = told.rsplit("selected features", 1)[1]
    found = re.findall(r"  (gene\d|leak)  ", top)
    assert {"gene1", "gene5", "gene6"} <= set(found)
    assert not {"gene0", "leak", "gene2"} & set(found)


def test_always_kept_and_dropped(data, capsys):
    assert select(data, "--always-keep", "gene1", "--drop", "gene1") == 2
    assert "--always-keep and --drop both have 'gene1'." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["gene9"], "has no feature 'gene9'; did you mean"),
        (["kind"], "has no feature 'kind'"),
        ([f"gene{j}" for j in range(8)], "--always-keep leaves nothing to select."),
    ],
)
def test_what_is_refused(names, message, data, capsys):
    assert select(data, "--always-keep", *names) == 2
    assert message in capsys.readouterr().err
