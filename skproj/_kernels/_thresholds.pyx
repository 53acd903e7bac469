"""Thresholds of l1 balls and simplexes: tau with ``sum(max(v - tau, 0)) == radius``.

Groups that fit the cache are solved by Newton's method. For a long vector a sample
gives a band that should hold the root; one pass over the vector counts what is above
the band and copies what is in it, and Newton's method ends there. Whether the band
does hold the root is seen, and costs further passes if not.

A threshold comes as level + offset: close to the entries it is more exact than one
double, and so is what is left of the entries.

References: Condat, Math. Program. 158 (2016), doi:10.1007/s10107-015-0946-6.
"""

from cython cimport floating
from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY, NAN, fabs, isnan, sqrt
from libc.stdint cimport int32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memmove, memset

from ._bands cimport (
    CHUNK, MAX_BAND, collect_chunks, columns_together, threads_with_columns
)
from ._columns cimport (
    FEW_COLUMNS, MAX_MIXED, MAX_ROWS, N_NUMBERS, TOGETHER, Columns, columns_at_once,
    find_roots, place_columns
)
from ._newton cimport (
    find_threshold, newton, offset_to_subtract, set_threshold
)
from ._simd cimport gather_columns, largest_value, map_group, reduce_group

cdef extern from "_simd.h":
    const int SKPROJ_NORM_L1
    const int SKPROJ_MAP_SUBTRACT
    const int SKPROJ_SLACK

# Longer groups are vectors that threads share and that a sample is taken of.
cdef Py_ssize_t LONG = 65536
# Parts of a long vector; their number decides how sums are rounded, so it is fixed.
cdef enum:
    N_PARTS = 64
# Half the width of the band, in standard deviations of what the sample says.
cdef double SPREAD = 4.0
# Entries of the sample that tell where a band may begin.
cdef Py_ssize_t ENOUGH = 32


cdef void find_band(
    const floating* x, Py_ssize_t n, double radius, bint signed_, floating* sample,
    Py_ssize_t size, double* low, double* high
) noexcept nogil:
    """Band that holds the threshold of x, as far as a sample of it can tell."""
    cdef:
        Py_ssize_t i, j, count = -1
        double share = radius * (<double>size / n), value, start, deviation = 0.0
        double mean = 0.0, offset = 0.0, tau
        bint few
    # Runs of eight entries are one cache line each.
    for i in range(size // 8):
        for j in range(8):
            value = x[<Py_ssize_t>(<double>i * (n - 8) / (size // 8)) + j]
            sample[8 * i + j] = <floating>(value if signed_ else fabs(value))
    start = largest_value(sample, size, True) - share
    tau = newton(sample, size, share, True, 0, 0.0, 0.0, start, &count, &offset)
    for i in range(size):
        value = max(sample[i] - tau, 0.0)
        mean += value / size
        deviation += value * value
    deviation = SPREAD * sqrt(max(deviation - size * mean * mean, 0.0))
    few = share <= 1.5 * deviation
    while True:
        count = -1
        low[0] = newton(sample, size, share + deviation, True, 0, 0.0, 0.0, tau, &count,
                        &offset)
        if not few or count >= ENOUGH:
            break
        deviation = 2.0 * deviation + share
    if not signed_:
        low[0] = max(low[0], 0.0)
    high[0] = INFINITY
    if not few:
        count = -1
        high[0] = newton(sample, size, share - deviation, True, 0, 0.0, 0.0, tau,
                         &count, &offset)


cdef void find_long_threshold(
    const floating* x, Py_ssize_t n, double radius, bint signed_, double total,
    int n_threads, double* level, double* offset
) noexcept nogil:
    """Threshold of a long vector, shared by all threads."""
    cdef:
        Py_ssize_t length = (n + N_PARTS - 1) // N_PARTS, part, start
        Py_ssize_t room = min(length, MAX_BAND // N_PARTS) + CHUNK + SKPROJ_SLACK
        Py_ssize_t sample_size = min(max(n // 128, LONG // 8), MAX_BAND) // 8 * 8
        Py_ssize_t count = 0, kept = 0
        Py_ssize_t[N_PARTS] sizes
        Py_ssize_t[N_PARTS] counts
        double[N_PARTS] excesses
        double low = 0.0, high = 0.0, excess = 0.0, in_band = 0.0, spread = 0.0
        bint fits = True
        floating* band = <floating*>malloc(
            max(N_PARTS * room, sample_size) * sizeof(floating))

    if band == NULL:  # slower, but possible
        find_threshold(x, n, radius, signed_, total, &spread, level,
                       offset, &start)
        return
    find_band(x, n, radius, signed_, band, sample_size, &low, &high)
    low = <floating>low  # compared with entries
    high = <floating>high
    for part in prange(N_PARTS, num_threads=n_threads, schedule="static"):
        start = min(part * length, n)
        sizes[part] = collect_chunks(x + start, min(length, n - start), <floating>low,
                                     <floating>high, signed_, band + part * room, room,
                                     &counts[part], &excesses[part])
    for part in range(N_PARTS):
        if sizes[part] < 0:
            fits = False
            break
        memmove(band + kept, band + part * room, sizes[part] * sizeof(floating))
        kept += sizes[part]
        count += counts[part]
        excess += excesses[part]
    if fits:
        for start in range(kept):
            in_band += band[start] - low
        fits = excess + in_band >= radius and (
            count == 0 or excess - count * (high - low) <= radius)
    if fits:
        start = -1
        level[0] = newton(band, kept, radius, True, count, excess, low, low, &start,
                          offset)
        offset[0] = offset_to_subtract(offset[0], x)
    else:
        find_threshold(x, n, radius, signed_, total, &spread, level,
                       offset, &start)
    free(band)


cdef void find_thresholds_of_columns(
    const floating* x, Py_ssize_t n_groups, Py_ssize_t size, Py_ssize_t stride,
    const double* norms, const double* radii, double* levels, double* offsets,
    int n_threads
) except *:
    """Replace levels that are NaN, except for a few left for another method."""
    cdef:
        Py_ssize_t width = columns_at_once(n_groups, size), tile, first, last
        Py_ssize_t j
        double* numbers = <double*>malloc(
            n_threads * width * (N_NUMBERS + 3) * sizeof(double))
        floating* entries = <floating*>malloc(
            n_threads * 2 * MAX_MIXED * sizeof(floating))
        int32_t* columns_of_entries = <int32_t*>malloc(
            n_threads * MAX_MIXED * sizeof(int32_t))
        double* storage
        floating* roots
        Columns columns
    if numbers == NULL or entries == NULL or columns_of_entries == NULL:
        free(numbers)
        free(entries)
        free(columns_of_entries)
        raise MemoryError("No memory for the workspace of the l1 threshold.")
    for tile in prange((n_groups + width - 1) // width, num_threads=n_threads,
                       schedule="static", nogil=True):
        first = tile * width
        last = min(first + width, n_groups)
        storage = numbers + threadid() * width * (N_NUMBERS + 3)
        roots = <floating*>(storage + width * (N_NUMBERS + 1))
        columns = place_columns(storage, width)
        memset(columns.wanted, 0, width)
        for j in range(last - first):
            columns.radii[j] = INFINITY
            columns.lowest[j] = 0.0
            if isnan(levels[first + j]):
                columns.radii[j] = radii[first + j]
                columns.lowest[j] = (norms[first + j] - radii[first + j]) / size
                columns.wanted[j // TOGETHER] = True
        find_roots(x + first, size, last - first, stride, &columns, roots,
                   <floating*>(storage + width * (N_NUMBERS + 2)),
                   entries + threadid() * 2 * MAX_MIXED,
                   columns_of_entries + threadid() * MAX_MIXED)
        for j in range(last - first):
            if isnan(levels[first + j]) and not isnan(columns.steps[j]):
                set_threshold(roots[j], columns.steps[j], x, &levels[first + j],
                              &offsets[first + j])
    free(numbers)
    free(entries)
    free(columns_of_entries)


def group_thresholds(
    const floating[:, :] X,   # IN, (n_groups, group_size), one stride is one entry
    const double[::1] norms,  # IN, (n_groups,), l1 norms; unused if signed
    const double[::1] radii,  # IN, (n_groups,)
    bint signed_,             # simplex (True) or l1 ball (False)
    double[::1] levels,       # OUT, (n_groups,)
    double[::1] offsets,      # OUT, (n_groups,)
    int n_threads,
):
    """Threshold of each group for its own radius, as level + offset.

    It is 0 for a group inside its l1 ball, and infinite for a radius of 0: such a group
    is not looked at. Returns how many groups are not inside their ball.
    """
    cdef:
        Py_ssize_t n_groups = X.shape[0], size = X.shape[1], group_stride, entry_stride
        Py_ssize_t width = 1, pitch, tile, first, last, j, n_outside = 0
        const floating* x
        const floating* group
        floating* buffers = NULL
        floating* buffer
        double spread
        Py_ssize_t count = 0
        bint contiguous, is_long, wanted

    if n_groups == 0 or size == 0:
        return 0
    # Many long groups are better shared out among the threads than each of them.
    is_long = size >= LONG and (n_groups == 1 or size >= 16 * LONG)
    x = &X[0, 0]
    group_stride = X.strides[0] // <Py_ssize_t>sizeof(floating)
    entry_stride = X.strides[1] // <Py_ssize_t>sizeof(floating)
    contiguous = entry_stride == 1 or size == 1
    for j in range(n_groups):
        levels[j] = 0.0
        offsets[j] = 0.0
        if not signed_ and radii[j] == 0.0:
            levels[j] = INFINITY
        elif signed_ or norms[j] > radii[j]:
            levels[j] = NAN  # still to be found
        n_outside += levels[j] != 0.0
    if n_outside == 0:
        return 0
    if contiguous:
        width = max(1, (n_groups + N_PARTS - 1) // N_PARTS)
    elif signed_ or n_groups < FEW_COLUMNS or size >= MAX_ROWS:
        width = columns_together(n_groups, size)
    else:
        find_thresholds_of_columns(x, n_groups, size, entry_stride, &norms[0],
                                   &radii[0], &levels[0], &offsets[0], n_threads)
    # Columns apart by a power of two would all compete for the same cache lines.
    pitch = size + 8
    if not contiguous:
        n_threads = threads_with_columns(width, size, n_threads)
        buffers = <floating*>malloc(
            (1 if is_long else n_threads) * width * pitch * sizeof(floating))
        if buffers == NULL:
            raise MemoryError("No memory for the workspace of the l1 threshold.")

    with nogil:
        for tile in prange((n_groups + width - 1) // width,
                           num_threads=1 if is_long else n_threads, schedule="static"):
            first = tile * width
            last = min(first + width, n_groups)
            wanted = False
            for j in range(first, last):
                wanted = wanted or isnan(levels[j])
            if not wanted:
                continue
            spread = 0.0
            buffer = buffers
            if not contiguous:
                buffer = buffers + (0 if is_long else threadid()) * width * pitch
                gather_columns(x + first, size, last - first, entry_stride, buffer,
                               pitch)
            for j in range(first, last):
                if not isnan(levels[j]):
                    continue
                group = (x + j * group_stride if contiguous
                         else buffer + (j - first) * pitch)
                if not is_long:
                    find_threshold(group, size, radii[j], signed_, norms[j], &spread,
                                   &levels[j], &offsets[j], &count)
                else:
                    find_long_threshold(group, size, radii[j], signed_, norms[j],
                                        n_threads, &levels[j], &offsets[j])
    free(buffers)
    return n_outside


def share_out(
    const double[::1] norms,  # IN, (n,), non-negative
    double radius,            # IN
    double[::1] budgets,      # OUT, (n,)
):
    """Project norms of groups onto the l1 ball; return the threshold, 0 inside."""
    cdef:
        Py_ssize_t n = norms.shape[0], count = 0
        double total, level, offset = 0.0, spread = 0.0
    if n == 0:
        return 0.0
    with nogil:
        total = reduce_group(SKPROJ_NORM_L1, &norms[0], n)
        if total <= radius:
            level = 0.0
        elif radius == 0.0:
            level = largest_value(&norms[0], n, False)
        elif n < LONG:
            find_threshold(&norms[0], n, radius, False, total, &spread, &level,
                           &offset, &count)
        else:
            find_long_threshold(&norms[0], n, radius, False, total, 1, &level, &offset)
        map_group(SKPROJ_MAP_SUBTRACT, &norms[0], n, level, offset, &budgets[0])
    return level + offset
