"""A table, and calls of the command line on it."""

import csv
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skproj.cli import _report, _search, _select, _selection, main

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


def run(*arguments, plots=False):
    """Run a command; without the plots of a report, which take most of the time.

    Networks of numbers and times are searched for at few radii.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_search, "REGRESSOR_ETAS", np.array([0.5, 2.0, 8.0]))
        if not plots:
            patch.setattr(_report, "draw_plots", lambda *_: {})
        return main([*map(str, arguments)])


def select(data, *arguments, target="kind", plots=False):
    """Run `select` on a file, or on the table of a frame."""
    if isinstance(data, pd.DataFrame):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "table.csv")
            data.to_csv(path, index=False)
            return select(path, *arguments, target=target, plots=plots)
    return run("select", data, "--target", target, *FAST, *arguments, plots=plots)


def write(frame, path, index=False):
    """Write a table to a file of any kind; only genes are features of AnnData."""
    if path.suffix in (".h5ad", ".zarr"):
        anndata = pytest.importorskip("anndata")
        genes = [name for name in frame if name.startswith("gene")]
        obs = frame.drop(columns=genes).set_axis(frame.index.astype(str))
        adata = anndata.AnnData(frame[genes].set_axis(obs.index), obs)
        adata.layers["same"] = adata.X
        getattr(adata, f"write_{path.suffix[1:]}")(path)
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".xlsx":
        frame.to_excel(path, index=index)
    else:
        frame.to_csv(path, sep="\t" if ".tsv" in path.suffixes else ",", index=index)
    return path


def selection_of(frame, folder, *arguments, target="kind"):
    """Return the selection that the report is written of, without other models.

    They take most of the time.
    """
    path = folder / "table.parquet"
    frame.to_parquet(path)
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_select, "write_report", lambda *told: found.append(told[1]))
        patch.setattr(_selection, "baselines", lambda *_: [])
        assert select(path, *arguments, "--out", folder / "out", target=target) == 0
    return found[0]


def apply(result, path, *options, **reading):
    """Return what `apply` writes for a table, which pandas reads as is said."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out.csv")
        arguments = [result / "model.skops", path, "--out", out, *options]
        assert main(["apply", *map(str, arguments)]) == 0
        return pd.read_csv(out, **{"index_col": 0, **reading})


def export(result, panel):
    """Export the panel of a selection, and return the names of its program."""
    assert main(["export", "panel", str(result), "--out", str(panel)]) == 0
    names, path = {"__name__": "panel"}, panel / "panel_model.py"
    exec(compile(path.read_text("utf-8"), path, "exec"), names)
    return names


def read_features(folder):
    with open(folder / "features.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def selected(folder):
    return {r["feature"] for r in read_features(folder) if r["selected"] == "TRUE"}
