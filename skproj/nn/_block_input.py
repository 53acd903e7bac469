"""Validation of data in blocks of rows."""

import numpy as np
from scipy import sparse

from skproj.blocks._row_blocks import set_feature_names
from skproj.nn._training._block_samples import MEMORY_BYTES
from skproj.nn._training._measured_blocks import measure
from skproj.utils._validation import check_names


def validate_blocks(estimator, blocks, y):
    """Check blocks and targets of a fit, in a first pass.

    The estimator gets the attributes that describe the features. Returns the data, as
    `MeasuredBlocks` or, of at most `MEMORY_BYTES`, in memory, and the targets.
    """
    # A stand-in without entries, which are checked in the pass.
    empty = sparse.csr_array(blocks.shape, dtype=blocks.dtype)
    names = estimator._names_to_keep()
    _, y = estimator._validate_data(empty, y)
    set_feature_names(estimator, blocks)
    check_names(names, blocks.feature_names)
    X = measure(blocks)
    if X.n_bytes > MEMORY_BYTES:
        return X, y
    X = X.take_columns(np.arange(X.shape[1]))
    return X if sparse.issparse(X) else np.ascontiguousarray(X), y
