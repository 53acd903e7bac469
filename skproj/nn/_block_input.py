"""Validation of data in blocks of rows."""

import numpy as np
from scipy import sparse

from skproj.blocks._measured import measure
from skproj.blocks._row_blocks import set_feature_names
from skproj.nn._training._block_samples import MEMORY_BYTES


def validate_blocks(estimator, blocks, y):
    """Check blocks and targets of a fit, in a first pass.

    Parameters
    ----------
    estimator : BaseNetwork
        Gets the attributes that describe the features.
    blocks : RowBlocks
    y : array-like

    Returns
    -------
    X : ndarray, CSR matrix or MeasuredBlocks
        Data of at most `MEMORY_BYTES` are read.
    y : ndarray
    """
    # A stand-in without entries, which are checked in the pass.
    empty = sparse.csr_array(blocks.shape, dtype=blocks.dtype)
    names = names_to_keep(estimator)
    _, y = estimator._validate_data(empty, y)
    set_feature_names(estimator, blocks)
    check_names(names, blocks.feature_names)
    X = measure(blocks)
    if X.n_bytes > MEMORY_BYTES:
        return X, y
    X = X.take_columns(np.arange(X.shape[1]))
    return X if sparse.issparse(X) else np.ascontiguousarray(X), y


def check_block_features(estimator, blocks):
    """Check that blocks have the features of a fitted estimator.

    Raises
    ------
    ValueError
        If their number or their names differ.
    """
    name, n_features = type(estimator).__name__, estimator.n_features_in_
    if blocks.shape[1] != n_features:
        raise ValueError(
            f"X has {blocks.shape[1]} features, but {name} is expecting {n_features} "
            "features as input."
        )
    check_names(getattr(estimator, "feature_names_in_", None), blocks.feature_names)


def names_to_keep(estimator):
    """Return the names of the features whose weights a fit starts with, or None."""
    continues = getattr(estimator, "warm_start", False) and hasattr(
        estimator, "module_"
    )
    return getattr(estimator, "feature_names_in_", None) if continues else None


def check_names(fitted, given):
    """Raise an error if names are not those of the fit; None are not known."""
    if fitted is None or given is None or len(fitted) != len(given):
        return
    different = np.flatnonzero(fitted != given)
    if len(different):
        first = different[0]
        raise ValueError(
            "X must have the feature names of the fit, in their order: feature "
            f"{first} is {given[first]!r} instead of {fitted[first]!r}."
        )
