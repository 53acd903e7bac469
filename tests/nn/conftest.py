"""Data and models that several test modules use."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, make_classification
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn

from skproj.nn import _base_autoencoder
from skproj.nn._training import _block_samples


@pytest.fixture(scope="module")
def wide():
    """Two classes, 5 informative features first, 45 of pure noise."""
    X, y = make_classification(
        n_samples=300,
        n_features=50,
        n_informative=5,
        n_redundant=0,
        class_sep=1.5,
        shuffle=False,
        random_state=0,
    )
    X = StandardScaler().fit_transform(X).astype(np.float32)
    return X, np.array(["healthy", "ill"])[y]


@pytest.fixture(scope="module")
def blobs():
    """Three classes, two of ten features informative."""
    X, y = make_classification(
        n_samples=240,
        n_features=10,
        n_informative=4,
        n_redundant=0,
        n_classes=3,
        random_state=0,
    )
    X = StandardScaler().fit_transform(X).astype(np.float32)
    return X, np.array(["a", "b", "c"])[y]


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    parts = train_test_split(X, y, random_state=0, stratify=y)
    scaler = StandardScaler().fit(parts[0])
    return *(scaler.transform(part).astype(np.float32) for part in parts[:2]), *parts[
        2:
    ]


@pytest.fixture
def mlp():
    """Two layers of different scale."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 10), nn.Tanh(), nn.Linear(10, 8))


@pytest.fixture
def layer():
    """A layer with weights of norm far above 1."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(6, 4)
    with torch.no_grad():
        layer.weight.mul_(5.0)
    return layer


@pytest.fixture
def nothing_in_memory(monkeypatch):
    """Let no data be few enough to be read into memory, but one window hold them."""
    monkeypatch.setattr(_base_autoencoder, "MEMORY_BYTES", 0)
    monkeypatch.setattr(_block_samples, "MEMORY_BYTES", 0)


@pytest.fixture
def small_windows(nothing_in_memory, monkeypatch):
    """Let a window hold a few batches."""
    monkeypatch.setattr(_block_samples, "WINDOW_BYTES", 15_000)
