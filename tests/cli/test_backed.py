"""skproj select --backed: annotated data whose matrix stays in the file."""

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from cli_helpers import apply, read_features, run, select, selected
from numpy.testing import assert_array_equal
from scipy import sparse

import skproj.blocks._row_blocks as row_blocks
from skproj import persistence
from skproj.blocks import _sources
from skproj.cli import main
from skproj.cli._anndata_table import AnnDataTable
from skproj.cli._model_input import model_input

N_ROWS, N_GENES = 400, 60
KINDS = np.array(["red", "green", "blue"])


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Several blocks, and room for a few genes in memory."""
    monkeypatch.setattr(_sources, "BLOCK_ENTRIES", 3000)
    monkeypatch.setattr(row_blocks, "COLUMN_BYTES", 40_000)


@pytest.fixture(scope="module")
def table():
    """Cells of which the first three genes tell the kinds apart."""
    rng = np.random.default_rng(0)
    X = rng.poisson(0.5, (N_ROWS, N_GENES)).astype(np.float32)
    y = rng.integers(3, size=N_ROWS)
    X[np.arange(N_ROWS), y] += rng.poisson(4.0, N_ROWS)
    obs = pd.DataFrame(
        {
            "kind": pd.Categorical(KINDS[y]),
            "weight": X[:, 0] * 2.0 + rng.standard_normal(N_ROWS),
            "batch": np.arange(N_ROWS) // 20,
        },
        index=[f"cell{i}" for i in range(N_ROWS)],
    )
    var = pd.DataFrame(index=[f"gene{j}" for j in range(N_GENES)])
    return anndata.AnnData(sparse.csr_matrix(X), obs, var)


def write(table, path):
    """Write annotated data to a file or a store."""
    if path.suffix == ".h5ad":
        table.write_h5ad(path)
    else:
        group = zarr.open_group(path, mode="w", zarr_format=2)
        anndata.io.write_elem(group, "/", table)
    return path


@pytest.fixture(params=[".h5ad", ".zarr"])
def path(request, table, tmp_path):
    return write(table, tmp_path / f"cells{request.param}")


def backed(path, *arguments, target="kind"):
    command = ["select", path, "--target", target, "--backed", "--cv", "3"]
    return run(*command, "--no-progress", *arguments)


def test_saved_model_predicts_from_tables_in_memory(path, tmp_path, capsys):
    out = tmp_path / "out"
    assert backed(path, "--out", out) == 0
    rows = {row["feature"]: row for row in read_features(out)}
    for j, kind in enumerate(KINDS):  # they are described as in memory
        row = rows[f"gene{j}"]
        assert row["direction"] == kind
        means = [float(row[f"mean {other}"]) for other in KINDS]
        assert KINDS[np.argmax(means)] == kind
    frame = apply(out, path)
    kinds = anndata.io.read_elem(
        zarr.open_group(path, mode="r")["obs"]
        if path.suffix == ".zarr"
        else h5py.File(path)["obs"]
    )["kind"]
    assert np.mean(frame["prediction"].to_numpy() == np.asarray(kinds)) > 0.8
    adata = (anndata.read_zarr if path.suffix == ".zarr" else anndata.read_h5ad)(path)
    saved = persistence.load(out / "model.skops")
    X = model_input(saved, list(adata.var_names), AnnDataTable(adata, path, None))
    # Zeros of columns that are not selected would take more memory than the table.
    assert sparse.issparse(X)
    adata.X = adata.X.toarray()
    dense = model_input(saved, list(adata.var_names), AnnDataTable(adata, path, None))
    assert_array_equal(X.toarray(), dense)
    expected = saved.predict(pd.DataFrame(dense, columns=adata.var_names))
    assert_array_equal(frame["prediction"], expected)


def test_structure_groups_and_stability(path, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = "--drop gene0 --always-keep gene40 --groups batch --stability 3".split()
    assert backed(path, "--out", out, *arguments, "--eta", "2") == 0
    assert "gene40" in selected(out)
    features = [row["feature"] for row in read_features(out)]
    assert len(features) == N_GENES - 1
    assert "gene0" not in features
    assert {"gene1", "gene2"} <= selected(out)


def test_leaks_are_suspected(table, tmp_path, capsys):
    leaking = table.copy()
    y = np.asarray(leaking.obs["kind"].cat.codes, dtype=np.float32)
    X = leaking.X.toarray()
    X[:, 7] = y
    X[30] = X[31]
    leaking.X = sparse.csr_matrix(X)
    path = write(leaking, tmp_path / "cells.h5ad")
    assert backed(path) == 0
    said = capsys.readouterr().out
    assert "'gene7' is nearly a copy of the target" in said
    assert "1 rows are equal to an earlier row" in said
    assert backed(path, "--drop-suspects") == 0
    assert "Suspected leaks were left out: 'gene7'" in capsys.readouterr().out


def test_noise_predicts_nothing(table, tmp_path, capsys):
    noise = table.copy()
    rng = np.random.default_rng(3)
    noise.obs["kind"] = rng.permutation(np.asarray(noise.obs["kind"]))
    path = write(noise, tmp_path / "cells.h5ad")
    assert backed(path, "--eta", "1.0") == 0
    said = capsys.readouterr().out
    assert "Nothing predicts 'kind' better than chance" in said
    assert "not tested, because they need all rows in memory" in said


def test_passes_are_shown(path, capsys):
    command = ["select", str(path), "--target", "kind", "--backed", "--eta", "2"]
    assert main([*command, "--cv", "2"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Pass 1 ")
    assert "rows/s" in lines[0]


def missing(table):
    X = table.X.toarray()
    X[5, 3] = np.nan
    return sparse.csr_matrix(X)


REFUSED = [
    (["--method", "autoencoder"], "--method autoencoder is not for --backed"),
    (["--impute", "median"], "--impute is not for --backed"),
    (["--encode", "onehot"], "--encode is not for --backed"),
    (["--threshold", "f1"], "--threshold is not for --backed"),
    (["--transpose"], "--transpose is not for --backed"),
    (["--n-jobs", "2"], "--n-jobs is not for --backed"),
    (["--layer", "raw"], "layer must be one of the layers"),
    (["--index", "batch"], "--index is not for .h5ad files"),
    (["--memory", "400MB"], "--memory must be at least 551MB for 400 rows"),
    (["--eta", "1e-300"], "no feature was selected"),
]


@pytest.mark.filterwarnings("default::UserWarning")
@pytest.mark.parametrize(
    ("arguments", "sentence"), REFUSED, ids=[row[0][0] for row in REFUSED]
)
def test_unsuitable_options_get_one_line(arguments, sentence, table, tmp_path, capsys):
    path = write(table, tmp_path / "cells.h5ad")
    assert backed(path, *arguments, "--out", tmp_path / "out") == 2
    *warnings, error = capsys.readouterr().err.splitlines()
    assert all(line.startswith("skproj: warning: ") for line in warnings)
    assert error.startswith("skproj: error: ")
    assert sentence in error
    assert not (tmp_path / "out").exists()


def test_unsuitable_data_get_one_line(table, tmp_path, capsys):
    gaps = table.copy()
    gaps.X = missing(table)
    by_column = table.copy()
    by_column.X = sparse.csc_matrix(table.X)
    for name, data, sentence in (
        ("gaps", gaps, "has missing values, 1 in 1 of 60 columns: 'gene3'"),
        ("columns", by_column, "cannot be read: "),
    ):
        path = write(data, tmp_path / f"{name}.h5ad")
        assert backed(path) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"skproj: error: {path} {sentence}")
        assert error.count("\n") == 1
        assert name == "gaps" or "stored by row" in error
    frame = pd.DataFrame({"a": [1.0, 2.0], "kind": ["x", "y"]})
    frame.to_csv(tmp_path / "table.csv", index=False)
    assert backed(tmp_path / "table.csv") == 2
    assert "--backed is for .h5ad, .zarr and .parquet, which" in capsys.readouterr().err
    assert select(tmp_path / "table.csv", "--memory", "2GB") == 2
    assert "--memory is for --backed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [("2GB", 2 * 10**9), ("1.5g", 15 * 10**8), ("500 MiB", 500 * 2**20), ("9kB", 9000)],
)
def test_sizes_are_read(text, n_bytes):
    from skproj.cli._arguments import memory

    assert memory(text) == n_bytes
