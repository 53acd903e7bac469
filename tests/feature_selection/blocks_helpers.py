"""Data for the selectors on blocks, of which few columns have room in memory."""

import numpy as np
from scipy import sparse

import skproj.blocks._row_blocks as row_blocks
import skproj.linear_model._ball_constrained as ball_constrained

N_SAMPLES, N_FEATURES = 150, 300


def leave_little_memory(monkeypatch, column_bytes=20_000):
    """Let a few columns have room in memory, so that they are read by turns."""
    monkeypatch.setattr(row_blocks, "COLUMN_BYTES", column_bytes)
    monkeypatch.setattr(ball_constrained, "FIRST_WORKING_SET_SIZE", 10)


def make_block_data(kind="classes", is_sparse=False, dtype=np.float64):
    rng = np.random.default_rng(3)
    X = rng.gamma(2.0, 1.0, (N_SAMPLES, N_FEATURES)) * rng.uniform(0.1, 9, N_FEATURES)
    X[:, 1::2] += 0.3 * X[:, ::2]
    X[rng.random(X.shape) < (0.7 if is_sparse else 0.0)] = 0.0
    X[:, 7] = 3.7  # constant
    X[:, 9] = 0.0
    scaled = (X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-9)
    signal = scaled[:, [0, 11, 40, 41]] @ rng.standard_normal((4, 3))
    signal += rng.standard_normal(signal.shape)
    if kind == "classes":
        y = np.array(["a", "b", "c"])[signal.argmax(axis=1)]
    elif kind == "two classes":
        y = signal[:, 0] > 0.5
    elif kind == "labels":
        y = (signal > 0.0).astype(int)
    elif kind == "survival":
        y = np.empty(N_SAMPLES, dtype=[("event", bool), ("time", float)])
        y["event"], y["time"] = rng.random(N_SAMPLES) < 0.7, np.exp(-signal[:, 0])
    else:
        y = 10.0 + 4.0 * signal[:, : 1 if kind == "one target" else 2]
    X = X.astype(dtype)
    return (sparse.csr_array(X) if is_sparse else X), y
