"""Data and results for the tests of GroupSparseNMF."""

import numpy as np


def make_parts(seed=0, *, noise=0.0, n_samples=100, n_features=100, n_components=10):
    """Return X = W H, with relative noise, and H, of which 47 % are zero.

    W is uniform; H is normal, shifted so that 47 % of it are negative, and these are
    set to zero.
    """
    rng = np.random.default_rng(seed)
    W = rng.random((n_samples, n_components))
    H = rng.normal(0.0753, 1.0, size=(n_components, n_features)).clip(0.0)
    X = W @ H
    error = rng.normal(size=X.shape)
    X += noise * np.linalg.norm(X) / np.linalg.norm(error) * error
    return X.clip(0.0), H


def factors(model, X):
    """Return the vectors of W and of H as columns."""
    W = model.fit_transform(X)
    return {"sparsity_W": W, "sparsity_H": model.components_.T}
