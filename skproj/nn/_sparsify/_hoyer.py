"""Group sparse projection of the filters of each layer, to a level or to zeros."""

import numpy as np
import torch
from scipy.optimize import brentq

from skproj.nn.prune._weights import as_array, cut
from skproj.projection import projection_hoyer

# Hoyer sparsity of the layers while they are trained, unless it gives too many zeros.
LEVEL = 0.8
# Below this distance of two levels, the projections are the same.
LEVEL_TOLERANCE = 1e-13


def project_block(block, level=None):
    """Project the filters of the layers of a block to a Hoyer sparsity, the `level`.

    None, and a level with fewer nonzero weights than the block shall keep, stand for
    the level that comes closest to their number. Returns a tensor for each weight.
    """
    arrays = [as_array(weight) for weight in block.weights]
    matrices = [
        cut(layer, W, "outputs") for layer, W in zip(block.layers, arrays, strict=True)
    ]
    projected = None if level is None else _project(matrices, level)
    if projected is None or sum(map(np.count_nonzero, projected)) < block.n_kept:
        projected = _project_to_zeros(matrices, block.size - block.n_kept)
    return [
        torch.from_numpy(_join(layer, P, W.shape))
        for layer, P, W in zip(block.layers, projected, arrays, strict=True)
    ]


def _join(layer, rows, shape):
    """Return the weight that `cut` has cut into the vectors of its outputs."""
    if not getattr(layer, "transposed", False):
        return rows.reshape(shape)
    n_parts, n_inputs, n_columns, *kernel = layer.groups, *shape
    parts = rows.reshape(n_parts, n_columns, n_inputs // n_parts, *kernel)
    return np.ascontiguousarray(parts.swapaxes(1, 2)).reshape(shape)


def _project(matrices, level):
    return [projection_hoyer(M, level, axis=1) for M in matrices]


def _project_to_zeros(matrices, n_zeros):
    """Find the level that gives a number of zeros, or comes closest to it.

    The number grows with the level, one weight at a time unless weights are equal.
    """
    best, least = matrices, n_zeros - _count_zeros(matrices)
    if least <= 0:
        return matrices

    def excess_at(level):
        nonlocal best, least
        projected = _project(matrices, level)
        excess = _count_zeros(projected) - n_zeros
        if abs(excess) < least:
            best, least = projected, abs(excess)
        return excess

    if excess_at(1.0) > 0:
        brentq(excess_at, 0.0, 1.0, xtol=LEVEL_TOLERANCE)
    return best


def _count_zeros(arrays):
    return sum(W.size - np.count_nonzero(W) for W in arrays)
