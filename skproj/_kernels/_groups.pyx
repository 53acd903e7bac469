"""Norms of the groups of a matrix, and maps that shrink each group.

A matrix comes as a two-dimensional view of shape (n_groups, group_size) in which
one of the two strides is one entry: either each group is contiguous, or the
groups are adjacent (the columns of a C-ordered array). In the second case the
loops walk along the rows, a tile of groups at a time.

Blocks do not depend on the number of threads, so neither do the results.
"""

from cython cimport floating
from cython.parallel cimport prange

from ._simd cimport SKPROJ_TILE, map_group, map_tile, reduce_group, reduce_tile

cdef extern from "_simd.h":
    const int SKPROJ_NORM_L1
    const int SKPROJ_NORM_L2
    const int SKPROJ_NORM_LINF
    const int SKPROJ_MAP_CLIP
    const int SKPROJ_MAP_SCALE
    const int SKPROJ_MAP_SOFT
    const int SKPROJ_MAP_SIMPLEX

L1, L2, LINF = SKPROJ_NORM_L1, SKPROJ_NORM_L2, SKPROJ_NORM_LINF
CLIP, SCALE, SOFT = SKPROJ_MAP_CLIP, SKPROJ_MAP_SCALE, SKPROJ_MAP_SOFT
SUBTRACT_AND_CLAMP = SKPROJ_MAP_SIMPLEX

# Entries in a block of contiguous groups: large enough to hide the scheduling.
cdef Py_ssize_t BLOCK_ENTRIES = 16384


def group_norms(
    const floating[:, :] X,  # IN, (n_groups, group_size)
    int norm,                # one of L1, L2, LINF
    double[::1] out,         # OUT, (n_groups,)
    int n_threads,
):
    """Write the norm of each group; NaN and infinity in X show up in it."""
    cdef:
        Py_ssize_t n_groups = X.shape[0], size = X.shape[1]
        Py_ssize_t group_stride, entry_stride, per_block, block, n_blocks
        Py_ssize_t j, start, stop
        const floating* x

    if n_groups == 0:
        return
    if size == 0:
        out[:] = 0.0
        return
    x = &X[0, 0]
    group_stride = X.strides[0] // <Py_ssize_t>sizeof(floating)
    entry_stride = X.strides[1] // <Py_ssize_t>sizeof(floating)
    if entry_stride == 1 or size == 1:
        per_block = max(1, BLOCK_ENTRIES // size)
        n_blocks = (n_groups + per_block - 1) // per_block
        for block in prange(n_blocks, nogil=True, num_threads=n_threads,
                            schedule="static"):
            start = block * per_block
            stop = min(start + per_block, n_groups)
            for j in range(start, stop):
                out[j] = reduce_group(norm, x + j * group_stride, size)
    else:
        n_blocks = (n_groups + SKPROJ_TILE - 1) // SKPROJ_TILE
        for block in prange(n_blocks, nogil=True, num_threads=n_threads,
                            schedule="static"):
            start = block * SKPROJ_TILE
            stop = min(start + SKPROJ_TILE, n_groups)
            reduce_tile(norm, x + start, size, stop - start, entry_stride, &out[start])


def map_groups(
    const floating[:, :] X,   # IN, (n_groups, group_size)
    int kind,                 # one of CLIP, SCALE, SOFT, SUBTRACT_AND_CLAMP
    const double[::1] levels,  # IN, (n_groups,)
    floating[:, :] out,       # OUT, same layout as X; may be X itself
    int n_threads,
):
    """Shrink each group by its level."""
    cdef:
        Py_ssize_t n_groups = X.shape[0], size = X.shape[1]
        Py_ssize_t group_stride, entry_stride, out_group_stride, out_entry_stride
        Py_ssize_t per_block, block, n_blocks, j, start, stop
        const floating* x
        floating* y

    if n_groups == 0 or size == 0:
        return
    x = &X[0, 0]
    y = &out[0, 0]
    group_stride = X.strides[0] // <Py_ssize_t>sizeof(floating)
    entry_stride = X.strides[1] // <Py_ssize_t>sizeof(floating)
    out_group_stride = out.strides[0] // <Py_ssize_t>sizeof(floating)
    out_entry_stride = out.strides[1] // <Py_ssize_t>sizeof(floating)
    if (entry_stride == 1 and out_entry_stride == 1) or size == 1:
        per_block = max(1, BLOCK_ENTRIES // size)
        n_blocks = (n_groups + per_block - 1) // per_block
        for block in prange(n_blocks, nogil=True, num_threads=n_threads,
                            schedule="static"):
            start = block * per_block
            stop = min(start + per_block, n_groups)
            for j in range(start, stop):
                map_group(kind, x + j * group_stride, size, levels[j],
                          y + j * out_group_stride)
    else:
        n_blocks = (n_groups + SKPROJ_TILE - 1) // SKPROJ_TILE
        for block in prange(n_blocks, nogil=True, num_threads=n_threads,
                            schedule="static"):
            start = block * SKPROJ_TILE
            stop = min(start + SKPROJ_TILE, n_groups)
            map_tile(kind, x + start, size, stop - start, entry_stride,
                     &levels[start], y + start, out_entry_stride)
