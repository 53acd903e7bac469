"""Norms of the groups of a matrix, and maps that shrink each group.

A matrix comes as a two-dimensional view of shape (n_groups, group_size) in which
one of the two strides is one entry: either each group is contiguous, or the
groups are adjacent (the columns of a C-ordered array). In the second case the
loops walk along the rows of a tile of columns.

No result depends on how the work is cut into blocks, so none depends on the number
of threads.
"""

from cython cimport floating
from cython.parallel cimport prange
from libc.float cimport DBL_MIN
from libc.math cimport INFINITY, sqrt
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from ._layout cimport (
    BLOCK_ENTRIES, Groups, are_contiguous, groups_of, groups_together, size_of, start_of
)
from ._simd cimport (
    SKPROJ_MAP_CLIP, SKPROJ_MAP_SCALE, SKPROJ_MAP_SOFT, SKPROJ_MAP_SUBTRACT,
    SKPROJ_NORM_L1, SKPROJ_NORM_L2, SKPROJ_NORM_LINF, finish_columns,
    level_of_instructions, map_columns, map_group, reduce_columns, reduce_group,
    sum_and_max_abs_columns
)

L1, L2, LINF = SKPROJ_NORM_L1, SKPROJ_NORM_L2, SKPROJ_NORM_LINF
CLIP, SCALE, SOFT = SKPROJ_MAP_CLIP, SKPROJ_MAP_SCALE, SKPROJ_MAP_SOFT
SUBTRACT_AND_CLAMP = SKPROJ_MAP_SUBTRACT

cdef enum:
    # Rows of columns that are summed in one go, and that are written together.
    BLOCK_ROWS = 256
    ROWS_TOGETHER = 64
# Columns in a tile: long row segments for the memory, sums that stay in the cache.
cdef Py_ssize_t MAX_TILE = 16384
# Columns that are worth a pass over the rows of their own.
cdef Py_ssize_t LONG_RUN = 64


def level():
    """Level of instructions that the loops use: baseline, avx2 or avx512."""
    return level_of_instructions().decode()


cdef inline Py_ssize_t tile_width(Py_ssize_t n_columns, int n_threads) noexcept nogil:
    """Columns of a tile, whole cache lines, enough tiles for all threads."""
    cdef Py_ssize_t share = (n_columns + n_threads - 1) // n_threads
    return min((share + 63) // 64 * 64, MAX_TILE)


cdef inline bint are_rows(const Groups* groups) noexcept nogil:
    """Whether to go group by group. Adjacent groups of one entry are one long row."""
    return are_contiguous(groups) and (
        groups.indptr != NULL or groups.size > 1 or groups.group_stride != 1)


cdef int reduce_tile(
    int norm, const floating* x, Py_ssize_t size, Py_ssize_t width, Py_ssize_t stride,
    double* out, double* largest
) noexcept nogil:
    """Norms of some columns; 1 if there is no memory.

    Long columns are summed block by block, with the rounding errors of these sums
    carried along: those of one long sum would show.
    """
    cdef:
        bint in_blocks = size > BLOCK_ROWS and norm != SKPROJ_NORM_LINF
        Py_ssize_t block, row, j
        double* sums = out
        double total
    if in_blocks:
        sums = <double*>malloc(width * sizeof(double))
        if sums == NULL:
            return 1
        memset(sums, 0, width * sizeof(double))
    memset(out, 0, width * sizeof(double))
    if largest != NULL:
        memset(largest, 0, width * sizeof(double))
    for block in range((size + BLOCK_ROWS - 1) // BLOCK_ROWS):
        row = block * BLOCK_ROWS
        if largest == NULL:
            reduce_columns(norm, x + row * stride, min(BLOCK_ROWS, size - row), width,
                           stride, sums)
        else:
            sum_and_max_abs_columns(x + row * stride, min(BLOCK_ROWS, size - row),
                                    width, stride, sums, largest)
        if in_blocks:
            for j in range(width):
                total = out[j] + sums[j]
                sums[j] -= total - out[j]  # what was rounded off
                out[j] = total
    if in_blocks:
        free(sums)
    if largest != NULL:
        finish_columns(x, SKPROJ_NORM_LINF, width, largest)
    finish_columns(x, norm, width, out)
    return 0


cdef double norm_of_parts(int norm, const double* parts, Py_ssize_t n) noexcept nogil:
    """Norm of a group from the norms of its parts."""
    cdef Py_ssize_t i
    cdef double total = 0.0
    for i in range(n):
        if norm == SKPROJ_NORM_L2:
            total += parts[i] * parts[i]
        elif norm == SKPROJ_NORM_L1:
            total += parts[i]
        elif not total >= parts[i]:  # NaN, once there, has to stay
            total = parts[i]
            if total != total:
                return total
    return sqrt(total) if norm == SKPROJ_NORM_L2 else total


cdef (double, double) extremes(const double* norms, Py_ssize_t n) noexcept nogil:
    """Smallest and largest of some norms; NaN, if there is one, is the largest."""
    cdef:
        Py_ssize_t j
        double smallest = norms[0], largest = norms[0]
    for j in range(1, n):
        smallest = min(smallest, norms[j])
        if not norms[j] <= largest and largest == largest:
            largest = norms[j]
    return smallest, largest


def smallest_and_largest(
    const double[::1] norms,  # IN, (n_groups,), at least one
):
    """Extremes of norms; NaN, if there is one, is the largest."""
    return extremes(&norms[0], norms.shape[0])


cdef void norms_of_rows(
    int norm, const floating* x, const Groups* groups, Py_ssize_t n_parts,
    Py_ssize_t width, Py_ssize_t block, double* first, double* second
) noexcept nogil:
    """Norms of some groups, or of a part of one; l_inf norms if second is not NULL."""
    cdef:
        Py_ssize_t part = block % n_parts  # at least 1; 0 for short groups
        Py_ssize_t start = block // n_parts * width, j, entry, length
    for j in range(start, min(start + width, groups.n_groups)):
        entry = start_of(groups, j) + part * BLOCK_ENTRIES
        length = size_of(groups, j)
        if n_parts > 1:
            length = min(length - part * BLOCK_ENTRIES, <Py_ssize_t>BLOCK_ENTRIES)
        first[j * n_parts + part] = reduce_group(norm, x + entry, length)
        if second != NULL:
            second[j * n_parts + part] = reduce_group(
                SKPROJ_NORM_LINF, x + entry, length)


cdef int norms_of_block(
    int norm, const floating* x, const Groups* groups, double* first, double* second
) noexcept nogil:
    """Norms of the groups of at most `BLOCK_ENTRIES`; 1 if there is no memory."""
    if are_rows(groups):
        norms_of_rows(norm, x, groups, 1, groups.n_groups, 0, first, second)
        return 0
    return reduce_tile(norm, x, groups.size, groups.n_groups, groups.entry_stride,
                       first, second)


def group_norms(
    const floating[:, :] X,  # IN, (n_groups, group_size)
    int norm,                # one of L1, L2, LINF
    double[:, ::1] out,      # OUT, (1 or 2, n_groups); in a second row the l_inf norms
    int n_threads,
    const Py_ssize_t[::1] indptr=None,  # IN, (n_groups + 1,), of segments of one row
):
    """Write the norm of each group; return the smallest and the largest of them.

    NaN and infinity in X show up in the norm of their group, and as the largest.
    """
    cdef:
        Groups groups
        Py_ssize_t n_groups = out.shape[1], width, block, n_blocks, n_parts = 1
        Py_ssize_t j, start, n_failed = 0
        const floating* x
        double* first
        double* second = NULL
        double* parts = NULL

    if n_groups == 0 or X.shape[1] == 0:
        out[:] = 0.0
        return 0.0, 0.0
    x = &X[0, 0]
    first = &out[0, 0]
    if out.shape[0] > 1:
        second = first + n_groups
    groups = groups_of(n_groups, X.shape[1], X.strides[0], X.strides[1],
                       sizeof(floating))
    if indptr is not None:
        groups.indptr = &indptr[0]
    if are_rows(&groups):
        width = groups_together(&groups)
        if indptr is None:
            n_parts = (groups.size + BLOCK_ENTRIES - 1) // BLOCK_ENTRIES
        if n_parts > 1:
            parts = <double*>malloc(2 * n_groups * n_parts * sizeof(double))
            if parts == NULL:
                raise MemoryError("No memory for the norms of the parts of groups.")
            first = parts
            second = NULL if second == NULL else parts + n_groups * n_parts
        n_blocks = (n_groups + width - 1) // width * n_parts
        with nogil:
            if n_blocks == 1:  # without the cost of OpenMP
                norms_of_rows(norm, x, &groups, 1, width, 0, first, second)
            else:
                for block in prange(n_blocks, num_threads=n_threads, schedule="static"):
                    norms_of_rows(norm, x, &groups, n_parts, width, block, first,
                                  second)
        if n_parts > 1:
            for j in range(n_groups):
                out[0, j] = norm_of_parts(norm, first + j * n_parts, n_parts)
                if second != NULL:
                    out[1, j] = norm_of_parts(SKPROJ_NORM_LINF, second + j * n_parts,
                                              n_parts)
            free(parts)
    else:
        width = tile_width(n_groups, n_threads)
        n_blocks = (n_groups + width - 1) // width
        with nogil:
            if n_blocks == 1:
                n_failed = reduce_tile(norm, x, groups.size, n_groups,
                                       groups.entry_stride, first, second)
            else:
                for block in prange(n_blocks, num_threads=n_threads, schedule="static"):
                    start = block * width
                    n_failed += reduce_tile(
                        norm, x + start, groups.size, min(width, n_groups - start),
                        groups.entry_stride, first + start,
                        NULL if second == NULL else second + start)
        if n_failed:
            raise MemoryError("No memory for the norms of the parts of groups.")
    return extremes(&out[0, 0], n_groups)


def scale_factors(
    const double[::1] norms,  # IN, (n_groups,)
    double[::1] lengths,      # IN, (n_groups,), at most the norms; OUT, the factors
):
    """Factors that shorten groups to given lengths."""
    cdef:
        Py_ssize_t j
        double factor
    for j in range(norms.shape[0]):
        factor = lengths[j] / norms[j] if lengths[j] < norms[j] else 1.0
        # A subnormal factor has lost its digits: the group would come out too long.
        if factor < DBL_MIN or lengths[j] == 0.0:
            factor = 0.0
        lengths[j] = factor


cdef void map_tile(
    int kind, const floating* x, Py_ssize_t size, Py_ssize_t width, Py_ssize_t stride,
    const double* levels, const double* offsets, floating* out, Py_ssize_t out_stride
) noexcept nogil:
    """Shrink some columns, some rows at a time: rows may be pages apart."""
    cdef Py_ssize_t block, i
    for block in range((size + ROWS_TOGETHER - 1) // ROWS_TOGETHER):
        i = block * ROWS_TOGETHER
        map_part_of_tile(kind, x + i * stride, min(ROWS_TOGETHER, size - i),
                         width, stride, levels, offsets, out + i * out_stride,
                         out_stride)


cdef void map_part_of_tile(
    int kind, const floating* x, Py_ssize_t size, Py_ssize_t width, Py_ssize_t stride,
    const double* levels, const double* offsets, floating* out, Py_ssize_t out_stride
) noexcept nogil:
    """Shrink columns. Long runs of columns that vanish are not read again."""
    cdef:
        double gone = (INFINITY if kind == SKPROJ_MAP_SOFT
                       or kind == SKPROJ_MAP_SUBTRACT else 0.0)
        Py_ssize_t start = 0, first, last = 0, i
    while start < width:
        # From start to first something is left, from first to last nothing.
        first = last
        while first < width and levels[first] != gone:
            first += 1
        last = first
        while last < width and levels[last] == gone:
            last += 1
        if last - first < LONG_RUN:
            if last < width:
                continue
            first = last
        if first > start:
            map_columns(kind, x + start, size, first - start, stride, levels + start,
                        offsets + start, out + start, out_stride)
        if last > first:
            for i in range(size):
                memset(out + i * out_stride + first, 0,
                       (last - first) * sizeof(floating))
        start = last


cdef void map_rows(
    int kind, const floating* x, const Groups* groups, Py_ssize_t n_parts,
    Py_ssize_t width, Py_ssize_t block, const double* levels, const double* offsets,
    floating* out, const Groups* targets
) noexcept nogil:
    """Shrink some groups, or a part of one."""
    cdef:
        Py_ssize_t entry = block % n_parts * BLOCK_ENTRIES  # at least 1 part
        Py_ssize_t start = block // n_parts * width, j, length
    for j in range(start, min(start + width, groups.n_groups)):
        length = size_of(groups, j)
        if n_parts > 1:
            length = min(length - entry, <Py_ssize_t>BLOCK_ENTRIES)
        map_group(kind, x + start_of(groups, j) + entry, length, levels[j], offsets[j],
                  out + start_of(targets, j) + entry)


cdef void map_block(
    int kind, const floating* x, const Groups* groups, const double* levels,
    const double* offsets, floating* out, const Groups* targets
) noexcept nogil:
    """Shrink the groups of at most `BLOCK_ENTRIES`."""
    if are_rows(groups) or are_rows(targets):  # so are both
        map_rows(kind, x, groups, 1, groups.n_groups, 0, levels, offsets, out, targets)
    else:
        map_tile(kind, x, groups.size, groups.n_groups, groups.entry_stride, levels,
                 offsets, out, targets.entry_stride)


def map_groups(
    const floating[:, :] X,    # IN, (n_groups, group_size)
    int kind,                  # one of CLIP, SCALE, SOFT, SUBTRACT_AND_CLAMP
    const double[::1] levels,  # IN, (n_groups,)
    floating[:, :] out,        # OUT, same layout as X; may be X itself
    int n_threads,
    const double[::1] offsets=None,  # IN, (n_groups,), to be added to soft thresholds
    const Py_ssize_t[::1] indptr=None,  # IN, (n_groups + 1,), of segments of one row
):
    """Shrink each group by its level."""
    cdef:
        Groups groups, targets
        Py_ssize_t n_groups = levels.shape[0], width, block, n_blocks, n_parts = 1
        Py_ssize_t start
        const floating* x
        const double* offset
        floating* y

    if n_groups == 0 or X.shape[1] == 0:
        return
    x = &X[0, 0]
    y = &out[0, 0]
    offset = &levels[0] if offsets is None else &offsets[0]  # something to read
    groups = groups_of(n_groups, X.shape[1], X.strides[0], X.strides[1],
                       sizeof(floating))
    targets = groups_of(n_groups, X.shape[1], out.strides[0], out.strides[1],
                        sizeof(floating))
    if indptr is not None:
        groups.indptr = targets.indptr = &indptr[0]
    if are_rows(&groups) or are_rows(&targets):  # so are both
        width = groups_together(&groups)
        if indptr is None:
            n_parts = (groups.size + BLOCK_ENTRIES - 1) // BLOCK_ENTRIES
        n_blocks = (n_groups + width - 1) // width * n_parts
        with nogil:
            if n_blocks == 1:  # without the cost of OpenMP
                map_rows(kind, x, &groups, 1, width, 0, &levels[0], offset, y,
                         &targets)
            else:
                for block in prange(n_blocks, num_threads=n_threads, schedule="static"):
                    map_rows(kind, x, &groups, n_parts, width, block, &levels[0],
                             offset, y, &targets)
    else:
        width = tile_width(n_groups, n_threads)
        n_blocks = (n_groups + width - 1) // width
        with nogil:
            if n_blocks == 1:
                map_tile(kind, x, groups.size, n_groups, groups.entry_stride,
                         &levels[0], offset, y, targets.entry_stride)
            else:
                for block in prange(n_blocks, num_threads=n_threads, schedule="static"):
                    start = block * width
                    map_tile(kind, x + start, groups.size, min(width, n_groups - start),
                             groups.entry_stride, &levels[start],
                             offset + start, y + start, targets.entry_stride)
