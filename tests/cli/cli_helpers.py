"""A table, and calls of the command line on it."""

import csv

import numpy as np
import pandas as pd
import pytest

from skproj.cli import _select, _selection, main

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


def read_features(folder):
    with open(folder / "features.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def selected(folder):
    return {r["feature"] for r in read_features(folder) if r["selected"] == "TRUE"}
