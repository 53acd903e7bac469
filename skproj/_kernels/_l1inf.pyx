"""Levels of the exact projection onto the l1,inf ball.

One theta, and one level mu_j per group with ``sum_i max(|x_ij| - mu_j, 0) == theta``
(mu_j = 0 where ``||x_j||_1 <= theta``), such that ``sum_j mu_j == radius``. The sum of
the levels is convex and decreasing in theta: Newton's method in theta outside, in mu_j
inside, each from any start.

To look at a large matrix as rarely as possible, a sample of it (_l1inf_sample) gives a
band of theta, and of each level. One pass then counts the entries above the band of
their level and copies those in it; Newton's method ends on these few. Whether a band
holds what it should is seen: a group whose does not is looked at again, and if that of
theta does not, Newton's method goes on with the matrix itself.

References: Chu et al., ICML 2020; Perez, Condat, Barlaud, arXiv:2307.09836.
"""

from cython cimport floating
from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY, fabs
from libc.stdint cimport int32_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from ._bands cimport (
    CHUNK, MAX_BAND, collect_chunks, columns_together, threads_with_columns
)
from ._columns cimport MAX_MIXED, MAX_ROWS, collect_sorted
from ._newton cimport above_or_equal, below, look, newton, rounded_down
from ._simd cimport collect_band, count_above, gather_columns, reduce_group

cdef extern from "_simd.h":
    const int SKPROJ_NORM_L1
    const int SKPROJ_SLACK

# Comparisons of sums are not upset by how they were rounded.
cdef double ROUNDING = 1.0 + 1e-12
# Part of the radius that the sum of the levels may be off by: its rounding.
cdef double SETTLED = 4 * 2.220446049250313e-16
# Newton needs about ten steps; the bounds only rule out an endless loop.
cdef int MAX_STEPS = 10_000
cdef int MAX_LOOKS = 100
# Blocks of contiguous groups with a share each of the room for copied entries. Blocks
# do not depend on the threads, or the result would.
cdef Py_ssize_t N_BLOCKS = 64


cdef struct Matrix:
    # Groups of `size` entries, handled `width` at a time.
    Py_ssize_t n_groups, size, group_stride, entry_stride, width, pitch, n_tiles
    bint contiguous


cdef struct State:
    # What is known of each group; theta is where levels and counts belong to.
    const double* l1
    const double* largest
    double* levels
    Py_ssize_t* counts  # entries above the level; 0 if dead, or not looked at yet
    double theta
    double spread  # that of the estimate


cdef struct Band:
    # Of each group: the level is above `low`; `above` entries are above the band and
    # have `excess` over low; the `size` entries in it are copied to `start`.
    double* low
    double* excess
    Py_ssize_t* above
    Py_ssize_t* start
    Py_ssize_t* size


cdef const floating* groups_of_tile(
    const floating* x, const Matrix* matrix, const State* state, double theta,
    Py_ssize_t tile, floating* buffer, Py_ssize_t* stride
) noexcept nogil:
    """First group of a tile, contiguous; copied where it is not and theta spares it."""
    cdef:
        Py_ssize_t first = tile * matrix.width, run = 0, i, j, k, width
        bint alive
    if matrix.contiguous:
        stride[0] = matrix.group_stride
        return x + first * matrix.group_stride
    stride[0] = matrix.pitch
    width = min(matrix.width, matrix.n_groups - first)
    # Runs of cache lines in which some group is alive.
    for k in range((width + 15) // 8):
        j = 8 * k
        alive = False
        for i in range(j, min(j + 8, width)):
            alive = alive or state.l1[first + i] > theta
        if alive:
            run += 8
        elif run > 0:
            i = j - run
            gather_columns(x + first + i, matrix.size, min(run, width - i),
                           matrix.entry_stride, buffer + i * matrix.pitch, matrix.pitch)
            run = 0
    return buffer


cdef inline double guess_level(
    const State* state, Py_ssize_t j, Py_ssize_t size, double theta
) noexcept nogil:
    """Level of group j for another theta: the tangent, or what the sample suggests."""
    cdef double more = state.l1[j] - theta
    if state.counts[j] > 0:
        return state.levels[j] + (state.theta - theta) / state.counts[j]
    if state.spread > 0.0:
        return min(more / state.spread, state.largest[j])
    return max(state.largest[j] - theta, more / size)


cdef void update_levels(
    const floating* x, const Matrix* matrix, const State* state, double theta,
    floating* buffers, int n_threads
) noexcept nogil:
    """Levels and counts of all groups for theta, from the matrix itself."""
    cdef:
        Py_ssize_t tile, j, first, last, stride
        double start, offset
        const floating* groups
    for tile in prange(matrix.n_tiles, num_threads=n_threads, schedule="static"):
        first = tile * matrix.width
        last = min(first + matrix.width, matrix.n_groups)
        stride = 0
        groups = groups_of_tile(
            x, matrix, state, theta, tile,
            buffers + threadid() * matrix.width * matrix.pitch, &stride)
        for j in range(first, last):
            if state.l1[j] <= theta:
                state.levels[j] = 0.0
                state.counts[j] = 0
                continue
            start = guess_level(state, j, matrix.size, theta)
            if state.counts[j] == 0:
                state.counts[j] = -1
            offset = 0.0
            start = newton(groups + (j - first) * stride, matrix.size, theta, False, 0,
                           0.0, 0.0, start, &state.counts[j], &offset)
            state.levels[j] = max(start + offset, 0.0)


cdef void update_levels_in_band(
    const floating* entries, const Matrix* matrix, const Band* band, const State* state,
    double theta, int n_threads
) noexcept nogil:
    """Levels and counts of all groups for theta, from the entries in the band."""
    cdef:
        Py_ssize_t block, j, first, last
        double start, offset
    for block in prange(N_BLOCKS, num_threads=n_threads, schedule="static"):
        first = block * matrix.n_groups // N_BLOCKS
        last = (block + 1) * matrix.n_groups // N_BLOCKS
        for j in range(first, last):
            if state.l1[j] <= theta:
                state.levels[j] = 0.0
                state.counts[j] = 0
                continue
            start = band.low[j]
            if state.counts[j] > 0:
                start = max(start, guess_level(state, j, matrix.size, theta))
            else:
                state.counts[j] = -1
            offset = 0.0
            if band.size[j] == 0 and band.above[j] > 0:
                start = band.low[j] + (band.excess[j] - theta) / band.above[j]
                state.counts[j] = band.above[j]
            else:
                start = newton(entries + band.start[j], band.size[j], theta, True,
                               band.above[j], band.excess[j], band.low[j], start,
                               &state.counts[j], &offset)
            state.levels[j] = max(start + offset, 0.0)


cdef inline void guess_bounds(
    const State* state, const Estimate* estimate, Py_ssize_t j, floating* low,
    floating* high
) noexcept nogil:
    """Bounds that the level of group j probably keeps to for all theta of the band."""
    cdef:
        double left = (state.l1[j] - estimate.high) / estimate.spread
        double right = (state.l1[j] - estimate.low) / estimate.spread
    low[0] = <floating>max(left * (1.0 - estimate.reach), 0.0)
    high[0] = <floating>min(right * (1.0 + estimate.reach), state.largest[j])


cdef void find_bounds(
    const floating* x, Py_ssize_t n, double level, double largest,
    const Estimate* estimate, floating* low, floating* high
) noexcept nogil:
    """Bounds of the level of one group for all theta of the band.

    The excess over a level is convex. Its tangent at a level is below it; the chord to
    another level, where the excess is smaller than theta can be, is above it.
    """
    cdef:
        double excess = 0.0, right = largest, right_excess = 0.0, lower, upper
        double near = 1.5 * (estimate.high - estimate.low)
        Py_ssize_t count
        int _step
    for _step in range(MAX_LOOKS):
        level = rounded_down(min(level, largest), x)
        count = count_above(x, n, <floating>level, False, &excess)
        if count == 0:
            level = largest - estimate.theta
            continue
        if fabs(excess - estimate.theta) <= near:
            lower = level + (excess - estimate.high) / count
            upper = level
            if excess > estimate.low:
                upper += ((right - level) * (excess - estimate.low)
                          / (excess - right_excess))
            low[0] = below(<floating>lower) if lower > 0.0 else <floating>0.0
            high[0] = <floating>upper
            return
        if excess <= estimate.low:
            right = level
            right_excess = excess
        level += (excess - estimate.theta) / count
    # No level is near enough, where one step of the type is more than the whole band.
    low[0] = 0.0
    high[0] = <floating>largest


cdef Py_ssize_t narrow_band(
    const floating* x, Py_ssize_t n, double high, floating* entries, const State* state,
    const Estimate* estimate, Band* band, Py_ssize_t j
) noexcept nogil:
    """Solve for the low end of theta, and keep what the level can still pass by.

    x holds the n entries of the band, and ``entries`` may be the same storage, at least
    SKPROJ_SLACK entries further down. Returns how many are kept, or -1 if the band does
    not hold the level for all theta.
    """
    cdef:
        double excess = 0.0, offset = 0.0, level, lower
        Py_ssize_t count = -1
    if n + band.above[j] == 0:
        return -1
    level = newton(x, n, estimate.low, True, band.above[j], band.excess[j], band.low[j],
                   band.low[j], &count, &offset)
    if not band.low[j] <= level * ROUNDING or not level <= high * ROUNDING:
        return -1
    lower = level + offset - (estimate.high - estimate.low) / count  # the tangent
    if lower < band.low[j]:
        lower = band.low[j]
        look(x, n, <floating>lower, True, &excess)
        if lower > 0.0 and (band.excess[j] + excess) * ROUNDING < estimate.high:
            return -1
    lower = rounded_down(lower, x)
    band.excess[j] -= band.above[j] * (lower - band.low[j])
    band.low[j] = lower
    high = above_or_equal(level + offset, x)
    band.size[j] = collect_band(x, n, <floating>lower, <floating>high, True, entries,
                                &band.above[j], &band.excess[j])
    state.levels[j] = max(level + offset, 0.0)
    state.counts[j] = count
    return band.size[j]


cdef Py_ssize_t collect_and_narrow(
    const floating* x, Py_ssize_t n, floating* entries, Py_ssize_t room, Band* band,
    const State* state, const Estimate* estimate, Py_ssize_t j, bint guess
) noexcept nogil:
    """Fill the band of a contiguous group, by a guess or by a search for its bounds.

    Returns how many entries it has; -1 if the guess was wrong, -2 if there was no room.
    """
    cdef:
        Py_ssize_t size
        floating low = 0.0, high = 0.0
    if guess:
        guess_bounds(state, estimate, j, &low, &high)
    else:
        find_bounds(x, n, (state.l1[j] - estimate.low) / estimate.spread,
                    state.largest[j], estimate, &low, &high)
    size = collect_chunks(x, n, low, high, False, entries + SKPROJ_SLACK,
                          room - SKPROJ_SLACK, &band.above[j], &band.excess[j])
    if size < 0:
        return -2
    band.low[j] = low
    size = narrow_band(entries + SKPROJ_SLACK, size, high, entries, state, estimate,
                       band, j)
    return -2 if size < 0 and not guess else size


cdef Py_ssize_t collect_bands_of_groups(
    const floating* x, const Matrix* matrix, const State* state,
    const Estimate* estimate, Py_ssize_t first, Py_ssize_t last, floating* entries,
    Py_ssize_t room, Band* band
) noexcept nogil:
    """Fill the bands of some contiguous groups; -1 if the room does not suffice."""
    cdef:
        Py_ssize_t j, added, kept = 0
        const floating* group
    for j in range(first, last):
        band.start[j] = kept
        if state.l1[j] <= estimate.low:
            state.levels[j] = 0.0
            continue
        group = x + j * matrix.group_stride
        added = collect_and_narrow(group, matrix.size, entries + kept, room - kept,
                                   band, state, estimate, j, True)
        if added == -1:
            added = collect_and_narrow(group, matrix.size, entries + kept, room - kept,
                                       band, state, estimate, j, False)
        if added < 0:
            return -1
        kept += added
    return kept


cdef Py_ssize_t collect_bands_of_columns(
    const floating* x, const Matrix* matrix, const State* state,
    const Estimate* estimate, Py_ssize_t first, Py_ssize_t last, floating* entries,
    Py_ssize_t room, Band* band, floating* lows, floating* highs, int32_t* counts,
    floating* mixed, int32_t* columns, floating* buffer
) noexcept nogil:
    """Fill the bands of some adjacent columns; -1 if the room does not suffice.

    All columns are looked at together, row by row: no tile of them fits the cache, and
    long rows are what the memory is quick at. ``lows``, ``highs`` and ``counts`` have
    room for a number per column; ``mixed`` and ``columns`` are what collect_sorted
    wants, and ``buffer`` has room for one column.
    """
    cdef:
        Py_ssize_t j, start, width = last - first, added, kept = 0
    for j in range(width):
        if state.l1[first + j] <= estimate.low:
            lows[j] = <floating>INFINITY
            highs[j] = <floating>INFINITY
        else:
            guess_bounds(state, estimate, first + j, &lows[j], &highs[j])
    if not collect_sorted(x + first, matrix.size, width, matrix.entry_stride, lows,
                          highs, counts, band.excess + first, band.start + first,
                          band.size + first, mixed, columns):
        return -1
    for j in range(first, last):
        band.low[j] = lows[j - first]
        band.above[j] = counts[j - first]
        start = band.start[j]
        band.start[j] = kept
        if state.l1[j] <= estimate.low:
            state.levels[j] = 0.0
            continue
        if kept + band.size[j] + SKPROJ_SLACK > room:
            return -1
        added = narrow_band(mixed + MAX_MIXED + start, band.size[j], highs[j - first],
                            entries + kept, state, estimate, band, j)
        if added < 0:
            band.size[j] = -1
        else:
            kept += added
    for j in range(first, last):
        if band.size[j] < 0:
            gather_columns(x + j, matrix.size, 1, matrix.entry_stride, buffer,
                           matrix.pitch)
            band.start[j] = kept
            added = collect_and_narrow(buffer, matrix.size, entries + kept, room - kept,
                                       band, state, estimate, j, False)
            if added < 0:
                return -1
            kept += added
    return kept


cdef bint collect_bands(
    const floating* x, const Matrix* matrix, const State* state,
    const Estimate* estimate, floating* entries, Py_ssize_t room, Py_ssize_t width,
    Band* band, floating* buffers, int n_threads
) noexcept nogil:
    """Fill the bands of all groups, ``width`` at a time; False if they do not fit."""
    cdef:
        Py_ssize_t n_blocks = (matrix.n_groups + width - 1) // width
        Py_ssize_t block, first, last, j, kept
        Py_ssize_t n_failed = 0
        floating* lows = NULL
        floating* highs = NULL
        floating* mixed = NULL
        int32_t* counts = NULL
        int32_t* columns = NULL
    if not matrix.contiguous:
        lows = <floating*>malloc(n_threads * width * sizeof(floating))
        highs = <floating*>malloc(n_threads * width * sizeof(floating))
        counts = <int32_t*>malloc(n_threads * width * sizeof(int32_t))
        mixed = <floating*>malloc(2 * n_threads * MAX_MIXED * sizeof(floating))
        columns = <int32_t*>malloc(n_threads * MAX_MIXED * sizeof(int32_t))
    for block in prange(n_blocks, num_threads=n_threads, schedule="static"):
        first = block * width
        last = min(first + width, matrix.n_groups)
        if matrix.contiguous:
            kept = collect_bands_of_groups(
                x, matrix, state, estimate, first, last, entries + block * room, room,
                band)
        elif (lows == NULL or highs == NULL or counts == NULL or mixed == NULL
              or columns == NULL):
            kept = -1
        else:
            kept = collect_bands_of_columns(
                x, matrix, state, estimate, first, last, entries + block * room, room,
                band, lows + threadid() * width, highs + threadid() * width,
                counts + threadid() * width, mixed + 2 * threadid() * MAX_MIXED,
                columns + threadid() * MAX_MIXED,
                buffers + threadid() * matrix.width * matrix.pitch)
        n_failed += kept < 0
        for j in range(first, last):
            band.start[j] = band.start[j] + block * room
    free(lows)
    free(highs)
    free(counts)
    free(mixed)
    free(columns)
    return n_failed == 0


cdef bint update_theta(
    const State* state, Py_ssize_t n_groups, double radius, const Py_ssize_t* before,
    double* theta, double* total, double* slope
) noexcept nogil:
    """Take one step of Newton's method in theta; True at the root."""
    cdef Py_ssize_t j, n_changed = 0
    total[0] = 0.0
    slope[0] = 0.0
    for j in range(n_groups):
        n_changed += state.counts[j] != before[j]
        if state.counts[j] > 0:
            total[0] += state.levels[j]
            slope[0] += 1.0 / state.counts[j]
    if slope[0] > 0.0:
        theta[0] = state.theta + (total[0] - radius) / slope[0]
    return (n_changed == 0 or theta[0] == state.theta
            or fabs(total[0] - radius) <= SETTLED * radius)


cdef void settle(
    const State* state, Py_ssize_t n_groups, double radius, double surplus, double slope
) noexcept nogil:
    """Follow the linear piece to the root, where the levels add up to the radius."""
    cdef Py_ssize_t j
    cdef double total
    for j in range(n_groups):
        if state.counts[j] > 0:
            state.levels[j] = max(
                state.levels[j] - surplus / slope / state.counts[j], 0.0)
    total = reduce_group(SKPROJ_NORM_L1, <const double*>state.levels, n_groups)
    if total > radius:
        for j in range(n_groups):
            state.levels[j] *= radius / total


def l1inf_levels(
    const floating[:, :] X,     # IN, (n_groups, group_size), one stride is one entry
    const double[::1] l1,       # IN, (n_groups,), l1 norms of the groups
    const double[::1] largest,  # IN, (n_groups,), l_inf norms of the groups
    double radius,              # 0 < radius < sum(largest)
    Estimate estimate,          # IN, from _l1inf_sample
    double[::1] levels,         # OUT, (n_groups,)
    int n_threads,
):
    """Clipping level of each group for the exact l1,inf ball; returns theta."""
    cdef:
        Matrix matrix
        State state
        Band band
        Py_ssize_t n_groups = X.shape[0], size = X.shape[1], width, room
        double theta = estimate.theta, total = 0.0, slope = 0.0
        bint found = False, banded = False
        const floating* x = &X[0, 0]
        floating* buffers = NULL
        floating* entries = NULL
        Py_ssize_t* counts = NULL
        double* numbers = NULL
        int step = 0

    matrix.n_groups = n_groups
    matrix.size = size
    matrix.group_stride = X.strides[0] // <Py_ssize_t>sizeof(floating)
    matrix.entry_stride = X.strides[1] // <Py_ssize_t>sizeof(floating)
    matrix.contiguous = matrix.entry_stride == 1 or size == 1
    if matrix.contiguous:
        matrix.width = max(1, CHUNK // size)
    else:
        matrix.width = columns_together(n_groups, size)
        n_threads = threads_with_columns(matrix.width, size, n_threads)
    # Columns apart by a power of two would all compete for the same cache lines.
    matrix.pitch = size + 8
    matrix.n_tiles = (n_groups + matrix.width - 1) // matrix.width

    # counts: now and before, and of the band above, start and size
    counts = <Py_ssize_t*>calloc(5 * n_groups, sizeof(Py_ssize_t))
    numbers = <double*>malloc(2 * n_groups * sizeof(double))
    if not matrix.contiguous:
        buffers = <floating*>malloc(
            n_threads * matrix.width * matrix.pitch * sizeof(floating))
    if counts == NULL or numbers == NULL or (
            buffers == NULL and not matrix.contiguous):
        free(counts)
        free(numbers)
        free(buffers)
        raise MemoryError("No memory for the workspace of the l1,inf projection.")
    state.l1 = &l1[0]
    state.largest = &largest[0]
    state.levels = &levels[0]
    state.counts = counts
    state.theta = theta
    state.spread = estimate.spread
    band.above = counts + 2 * n_groups
    band.start = counts + 3 * n_groups
    band.size = counts + 4 * n_groups
    band.low = numbers
    band.excess = numbers + n_groups

    with nogil:
        if (estimate.high < INFINITY and estimate.high - estimate.low > 1e-9 * theta
                and size < MAX_ROWS):
            width = max((n_groups + N_BLOCKS - 1) // N_BLOCKS, 1)
            if not matrix.contiguous:
                width = min(max((n_groups // 8 + 63) // 64 * 64, 512), 4096, n_groups)
            room = min(MAX_BAND * width // n_groups, width * size)
            room += CHUNK + 2 * SKPROJ_SLACK
            entries = <floating*>malloc(
                ((n_groups + width - 1) // width * room + 1) * sizeof(floating))
        if entries != NULL:
            banded = collect_bands(x, &matrix, &state, &estimate, entries, room, width,
                                   &band, buffers, n_threads)
            state.theta = estimate.low  # where levels have been found, if they have
            if banded:
                theta = estimate.low
        while not found and step < MAX_STEPS:
            step += 1
            # To begin with, the counts of a band are new, and those before are 0.
            if step > 1 or not banded:
                memcpy(counts + n_groups, counts, n_groups * sizeof(Py_ssize_t))
            if banded and step > 1:
                update_levels_in_band(entries, &matrix, &band, &state, theta, n_threads)
            elif not banded:
                update_levels(x, &matrix, &state, theta, buffers, n_threads)
            state.theta = theta
            found = update_theta(&state, n_groups, radius, counts + n_groups, &theta,
                                 &total, &slope)
            if banded and ((step == 1 and total < radius) or theta > estimate.high):
                banded = False
                found = False
        if slope > 0.0:
            settle(&state, n_groups, radius, total - radius, slope)
    free(counts)
    free(numbers)
    free(buffers)
    free(entries)
    return max(theta, 0.0)
