"""Levels of the exact projection onto the l1,inf ball.

One theta, and one level mu_j per group with ``sum_i max(|x_ij| - mu_j, 0) == theta``
(mu_j = 0 where ``||x_j||_1 <= theta``), such that ``sum_j mu_j == radius``. The sum of
the levels is convex and decreasing in theta: Newton's method in theta outside, in mu_j
inside, each from any start.

To look at a large matrix as rarely as possible, a sample of it gives a band of theta.
One pass then finds bounds for each level over that band, counts the entries above
them and copies those between; Newton's method ends on these few. Whether the band
holds theta is seen; if not, Newton's method goes on with the matrix itself.

References: Chu et al., ICML 2020; Perez, Condat, Barlaud, arXiv:2307.09836.
"""

from cython cimport floating
from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY, fabs, sqrt
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from ._newton cimport newton
from ._simd cimport collect_band, count_above, gather_columns

cdef double EPS = 2.220446049250313e-16
# Newton needs about ten steps; the bound only rules out an endless loop.
cdef int MAX_STEPS = 10_000
# Entries of the groups that may be alive from which on a sample pays, and its size.
cdef Py_ssize_t SAMPLE_FROM = 1 << 18
cdef Py_ssize_t MAX_SAMPLE = 1 << 17
# Entries of a group in the sample, where there are more.
cdef Py_ssize_t SAMPLE_OF_GROUP = 1024
# Half the width of the band, in standard deviations of what the sample says.
cdef double SPREAD = 4.0
# Blocks of groups with a share each of the room for copied entries; their number must
# not depend on the threads, or the result would.
cdef enum:
    N_BLOCKS = 64
cdef Py_ssize_t MAX_BAND = 1 << 20
# Entries that must fit in what is left of that room before they are read.
cdef Py_ssize_t CHUNK = 4096
# Columns of a C-ordered array that are copied together: whole cache lines that fit.
cdef Py_ssize_t MAX_GATHER = 64
cdef Py_ssize_t GATHER_ENTRIES = 1 << 20


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
    # Guess for groups not looked at: the excess over theta is spread over so many.
    double spread


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
            start = newton(entries + band.start[j], band.size[j], theta, True,
                           band.above[j], band.excess[j], band.low[j], start,
                           &state.counts[j], &offset)
            state.levels[j] = max(start + offset, 0.0)


cdef void bound_level(
    const floating* x, Py_ssize_t n, double largest, double theta_low,
    double theta_high, double level, double* low, double* high
) noexcept nogil:
    """Bounds of the level of one group for all theta of a band, from a guess.

    The excess over a level is convex: its tangent is below it, and its chord to the
    largest entry, where nothing is left, above it.
    """
    cdef:
        double excess = 0.0, theta = 0.5 * (theta_low + theta_high)
        double near = 1.5 * (theta_high - theta_low)
        Py_ssize_t count
    while True:
        count = count_above(x, n, level, False, &excess)
        if count == 0:
            level = largest - theta
        elif fabs(excess - theta) <= near:
            break
        else:
            level += (excess - theta) / count
    low[0] = max(level + (excess - theta_high) / count, 0.0)
    high[0] = level
    if excess > theta_low:
        high[0] += (largest - level) * (1.0 - theta_low / excess)


cdef bint collect_bands(
    const floating* x, const Matrix* matrix, const State* state, double theta_low,
    double theta_high, floating* entries, Py_ssize_t room, Band* band,
    floating* buffers, int n_threads
) noexcept nogil:
    """Fill the band of every group; False if the room does not suffice."""
    cdef:
        Py_ssize_t block, tile, j, first, last, kept, stride, entry, size, added
        Py_ssize_t chunk
        double level, high
        const floating* groups
        bint fits = True
        bint[N_BLOCKS] block_fits
    for block in prange(N_BLOCKS, num_threads=n_threads, schedule="static"):
        kept = 0
        block_fits[block] = True
        for tile in range(block * matrix.n_tiles // N_BLOCKS,
                          (block + 1) * matrix.n_tiles // N_BLOCKS):
            first = tile * matrix.width
            last = min(first + matrix.width, matrix.n_groups)
            stride = 0
            groups = groups_of_tile(
                x, matrix, state, theta_low, tile,
                buffers + threadid() * matrix.width * matrix.pitch, &stride)
            for j in range(first, last):
                band.size[j] = 0
                if state.l1[j] <= theta_low or not block_fits[block]:
                    continue
                high = 0.0
                bound_level(
                    groups + (j - first) * stride, matrix.size, state.largest[j],
                    theta_low, theta_high,
                    guess_level(state, j, matrix.size, 0.5 * (theta_low + theta_high)),
                    &band.low[j], &high)
                band.start[j] = block * room + kept
                band.above[j] = 0
                band.excess[j] = 0.0
                for chunk in range((matrix.size + CHUNK - 1) // CHUNK):
                    entry = chunk * CHUNK
                    size = min(CHUNK, matrix.size - entry)
                    if kept + size >= room:
                        block_fits[block] = False
                        break
                    added = collect_band(
                        groups + (j - first) * stride + entry, size, band.low[j], high,
                        False, entries + block * room + kept, &band.above[j],
                        &band.excess[j])
                    band.size[j] += added
                    kept = kept + added
    for block in range(N_BLOCKS):
        fits = fits and block_fits[block]
    return fits


cdef double weight_above(
    const State* state, Py_ssize_t n_groups, double theta
) noexcept nogil:
    """Sum over the groups of what their l1 norm has above theta."""
    cdef:
        Py_ssize_t j
        double total = 0.0
    for j in range(n_groups):
        total += max(state.l1[j] - theta, 0.0)
    return total


cdef void take_sample(
    const floating* x, const Matrix* matrix, const State* state, double theta,
    floating* sample, double* l1, Py_ssize_t* picked, Py_ssize_t n_sampled,
    Py_ssize_t n_alive, Py_ssize_t size
) noexcept nogil:
    """Copy `size` entries of each of n_sampled groups, both evenly spaced."""
    cdef:
        Py_ssize_t j, k = 0, seen = 0, i
        const floating* group
    for j in range(matrix.n_groups):
        if state.l1[j] <= theta:
            continue
        if k < n_sampled and seen * n_sampled >= k * n_alive:
            picked[k] = j
            group = x + j * matrix.group_stride
            l1[k] = 0.0
            for i in range(size):
                sample[k * size + i] = group[i * matrix.size // size
                                             * matrix.entry_stride]
                l1[k] += fabs(<double>sample[k * size + i])
            k += 1
        seen += 1


cdef void solve_sample(
    const floating* sample, const double* l1, const Py_ssize_t* picked,
    Py_ssize_t n_sampled, Py_ssize_t size, const Matrix* matrix, const State* state,
    double radius, double* levels, double* theta, double* low, double* high,
    double* spread
) noexcept nogil:
    """Estimate theta and a band around it.

    The radius is shared out in proportion to what the l1 norms have above theta: the
    levels nearly are, so that the sample says little more than a factor.
    """
    cdef:
        double share = <double>size / matrix.size, part, total, slope, offset, level
        double weight, sampled_weight, deviation = 0.0, half_width
        Py_ssize_t k, count
        int step, stage
    for stage in range(2):
        weight = weight_above(state, matrix.n_groups, theta[0])
        sampled_weight = 0.0
        for k in range(n_sampled):
            sampled_weight += max(state.l1[picked[k]] - theta[0], 0.0)
        if sampled_weight == 0.0:
            return
        part = radius * sampled_weight / weight
        for step in range(50):
            total = 0.0
            slope = 0.0
            for k in range(n_sampled):
                levels[k] = 0.0
                level = (l1[k] - theta[0] * share) / size  # left of the root
                if level > 0.0:
                    count = -1
                    level = newton(sample + k * size, size, theta[0] * share, False, 0,
                                   0.0, 0.0, level, &count, &offset)
                    levels[k] = level + offset
                    total += levels[k]
                    slope += share / count
            if slope == 0.0:
                theta[0] *= 0.5
                continue
            theta[0] += (total - part) / slope
            if fabs(total - part) <= 1e-4 * part:
                break
    total = 0.0
    for k in range(n_sampled):
        weight = max(state.l1[picked[k]] - theta[0], 0.0)
        total += weight
        deviation += (levels[k] - part / sampled_weight * weight) ** 2
    spread[0] = total / part
    deviation = SPREAD * sqrt(deviation)
    half_width = deviation / slope
    low[0] = theta[0] - half_width
    high[0] = theta[0] + 1.25 * half_width if part > 2.0 * deviation else INFINITY


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
            or fabs(total[0] - radius) <= 2 * EPS * radius)


cdef void settle(
    const State* state, Py_ssize_t n_groups, double radius, double surplus, double slope
) noexcept nogil:
    """Follow the linear piece to the root, where the levels add up to the radius."""
    cdef Py_ssize_t j
    cdef double total = 0.0
    for j in range(n_groups):
        if state.counts[j] > 0:
            state.levels[j] = max(
                state.levels[j] - surplus / slope / state.counts[j], 0.0)
            total += state.levels[j]
    if total > radius:
        for j in range(n_groups):
            state.levels[j] *= radius / total


def l1inf_levels(
    const floating[:, :] X,     # IN, (n_groups, group_size), one stride is one entry
    const double[::1] l1,       # IN, (n_groups,), l1 norms of the groups
    const double[::1] largest,  # IN, (n_groups,), l_inf norms of the groups
    double radius,              # 0 < radius < sum(largest)
    double start,               # 0 <= start <= theta
    double[::1] levels,         # OUT, (n_groups,)
    int n_threads,
):
    """Clipping level of each group for the exact l1,inf ball; returns theta."""
    cdef:
        Matrix matrix
        State state
        Band band
        Py_ssize_t n_groups = X.shape[0], size = X.shape[1], j, n_alive = 0
        Py_ssize_t sample_size = 0, n_sampled = 0, room = 0
        double theta = start, low = start, high = INFINITY, total = 0.0, slope = 0.0
        bint found = False, banded = False, first = True
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
        matrix.width = min(max(GATHER_ENTRIES // size // 8 * 8, 8), MAX_GATHER)
    # Columns apart by a power of two would all compete for the same cache lines.
    matrix.pitch = size + 8
    matrix.n_tiles = (n_groups + matrix.width - 1) // matrix.width
    n_threads = <int>min(<Py_ssize_t>n_threads, matrix.n_tiles)

    # counts: now, before, and of the band above, start and size; two numbers of the band
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
    state.theta = start
    state.spread = 0.0
    band.above = counts + 2 * n_groups
    band.start = counts + 3 * n_groups
    band.size = counts + 4 * n_groups
    band.low = numbers
    band.excess = numbers + n_groups

    with nogil:
        for j in range(n_groups):
            n_alive += l1[j] > start
        if n_alive * size >= SAMPLE_FROM:
            sample_size = min(size, max(SAMPLE_OF_GROUP, MAX_SAMPLE // n_alive))
            n_sampled = min(n_alive, max(1, MAX_SAMPLE // sample_size))
            room = min(MAX_BAND, matrix.n_tiles * matrix.width * size) // N_BLOCKS
            room += CHUNK + 1
            entries = <floating*>malloc(
                max(N_BLOCKS * room, n_sampled * sample_size) * sizeof(floating))
        if entries != NULL:
            # The arrays of the band and of the levels are free for the sample.
            take_sample(x, &matrix, &state, start, entries, band.low, band.start,
                        n_sampled, n_alive, sample_size)
            solve_sample(entries, band.low, band.start, n_sampled, sample_size, &matrix,
                         &state, radius, band.excess, &theta, &low, &high,
                         &state.spread)
            theta = max(theta, start)
            low = max(low, start)
            banded = high < INFINITY and high - low > 1e-9 * high and collect_bands(
                x, &matrix, &state, low, high, entries, room, &band, buffers, n_threads)
            if banded:
                theta = low
        while not found and step < MAX_STEPS:
            step += 1
            memcpy(counts + n_groups, counts, n_groups * sizeof(Py_ssize_t))
            if banded:
                update_levels_in_band(entries, &matrix, &band, &state, theta, n_threads)
            else:
                update_levels(x, &matrix, &state, theta, buffers, n_threads)
            state.theta = theta
            found = update_theta(&state, n_groups, radius, counts + n_groups, &theta,
                                 &total, &slope)
            if slope == 0.0:  # the sample has led beyond every group
                theta = start
                found = False
            if banded and ((first and total < radius) or theta > high):
                banded = False
                found = False
            first = False
        if slope > 0.0:
            settle(&state, n_groups, radius, total - radius, slope)
    free(counts)
    free(numbers)
    free(buffers)
    free(entries)
    return theta
