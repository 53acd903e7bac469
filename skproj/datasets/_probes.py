"""Columns that carry no signal, added to real data."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_array, check_random_state, check_scalar
from sklearn.utils.validation import check_consistent_length

from skproj._typing import Integer, Labels, RandomState, Table


def add_probes(
    X: Table,
    n_probes: Integer,
    *,
    feature_names: Labels | None = None,
    random_state: RandomState = None,
) -> Any:
    """Widen a data set by permuted copies of its own columns.

    A probe has the distribution of a real column and no relation to anything else,
    so it is known which features a selector should drop.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Data; its columns come first in the result.
    n_probes : int
        Number of columns to add. Each copies a column drawn at random, permuted by
        itself.
    feature_names : array-like of shape (n_features,), default=None
        Names of the columns of `X`; ``x0, x1, ...`` if None. Probes are called
        ``probe0, probe1, ...``.
    random_state : int, RandomState instance or None, default=None
        Seed of the choice of the columns and of the permutations.

    Returns
    -------
    X_wide : ndarray of shape (n_samples, n_features + n_probes)
        The widened data, in the dtype of `X`.
    names : ndarray of shape (n_features + n_probes,)
        Names of the columns, of dtype object.
    is_probe : ndarray of shape (n_features + n_probes,)
        Boolean mask of the added columns.

    Raises
    ------
    ValueError
        If `n_probes` is negative, if `feature_names` does not fit `X`, or if it
        contains the name of a probe.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skproj.datasets import add_probes
    >>> X, y = load_iris(return_X_y=True)
    >>> X_wide, names, is_probe = add_probes(X, 6, random_state=0)
    >>> X_wide.shape, int(is_probe.sum())
    ((150, 10), 6)
    >>> list(names[2:6])
    ['x2', 'x3', 'probe0', 'probe1']
    """
    X = check_array(X)
    check_scalar(n_probes, "n_probes", (int, np.integer), min_val=0)
    if feature_names is None:
        feature_names = [f"x{j}" for j in range(X.shape[1])]
    check_consistent_length(X.T, feature_names)
    probe_names = [f"probe{i}" for i in range(n_probes)]
    if taken := set(feature_names) & set(probe_names):
        raise ValueError(f"feature_names contains names of probes: {sorted(taken)}.")
    random_state = check_random_state(random_state)
    copied = random_state.randint(X.shape[1], size=n_probes)
    X_wide = np.empty((X.shape[0], X.shape[1] + n_probes), dtype=X.dtype)
    X_wide[:, : X.shape[1]] = X
    for probe, column in enumerate(copied, start=X.shape[1]):
        X_wide[:, probe] = X[random_state.permutation(len(X)), column]
    names = np.array([*feature_names, *probe_names], dtype=object)
    is_probe = np.arange(X_wide.shape[1]) >= X.shape[1]
    return X_wide, names, is_probe
