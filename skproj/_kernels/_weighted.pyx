"""Projection of vectors onto weighted l1 balls.

Entry i of a vector becomes ``sign(x_i) * max(|x_i| - tau * w_i, 0)``, where tau is the
root of ``sum(w * max(|x| - tau * w, 0)) == radius``. Newton's method finds it as
level + offset. At a level of few digits the rests ``|x_i| - level * w_i`` are exact to
a rounding each; if their weighted sum is at most a few times the radius, what is left
after the offset meets the radius to rounding. If there is no such level, because the
radius is tiny, or if sums could overflow or underflow, _shrink.pxd does the rest.

For a long vector a sample tells a band that should hold tau, as in _bands.pxd.

Reference: Perez et al., Artif. Intell. 306 (2022), arXiv:2009.02980.
"""

from cython cimport floating
from cython.parallel cimport prange, threadid
from libc.float cimport DBL_EPSILON, DBL_MAX
from libc.math cimport INFINITY, NAN, fabs, isnan
from libc.stdlib cimport free, malloc
from libc.string cimport memmove

from ._bands cimport CHUNK, LONG, MAX_BAND, MIN_SAMPLE, N_PARTS, Band, half_width
from ._layout cimport (
    BLOCK_ENTRIES, Groups, are_contiguous, columns_together, groups_of, groups_together,
    pitch_of
)
from ._newton cimport place_in_sample
from ._shrink cimport project_any
from ._simd cimport (
    SKPROJ_NEAR, collect_pairs, few_digits, gather_columns, soft_weighted,
    soft_weighted_row, weighted_look, weighted_norm
)

# For a radius, entries and weights inside these bounds no sum overflows, and products
# that underflow do not matter to it; for larger sums of squares they do not either.
cdef double MIN_RADIUS = 1e-100, MAX_ENTRY = 1e100, MAX_WEIGHT = 1e70
cdef double MIN_SQUARES = 1e-150
# The part of the radius by which sums may miss it.
cdef double ROUNDING = 1e-15
cdef enum:
    # Looks at a vector; Newton's method hardly ever needs more than ten.
    MAX_LOOKS = 100


cdef struct Sums:
    # Of all entries: the sum of w * |x|, the largest |x| and the largest w, which are
    # infinite if not all are valid.
    double norm, largest, heaviest
    # Of the entries above a band, whose low end is ``base``: the sums of
    # w * (|x| - base * w) and of w * w. Of those in it: how many, -1 if too many.
    double base, excess, squares
    Py_ssize_t kept


cdef Sums NOTHING  # zeros, as all that is static in C


cdef struct Threshold:
    # It is level + offset. The offset is NaN where the search failed, left of the root;
    # the level is NaN for entries, and infinite for weights, that are not valid.
    double level, offset


cdef void add(const Sums* part, Sums* total) noexcept nogil:
    total.norm += part.norm
    total.largest = max(total.largest, part.largest)
    total.heaviest = max(total.heaviest, part.heaviest)
    total.excess += part.excess
    total.squares += part.squares


cdef Threshold newton(
    const floating* x, const double* w, Py_ssize_t n, const Sums* above, double radius,
    double start
) noexcept nogil:
    """Find the root of ``sum(w * max(|x| - tau * w, 0)) == radius`` from any start.

    The sum, also over the entries above a band, is convex and decreasing: a step from
    the right of the root lands left of it, and from the left the steps rise. Wherever
    they began, they end at the root rounded down to few digits; then the offset rises.
    The root is not left of ``above.base``.
    """
    cdef:
        double left = above.base, unused, squares, excess, surplus, step, level
        Threshold tau
        int _look
    tau.level = few_digits(start)
    tau.offset = 0.0
    if not left < tau.level < INFINITY:  # nor is NaN
        tau.level = left
    for _look in range(MAX_LOOKS):
        excess = weighted_look(x, w, n, tau.level, tau.offset, &unused, &squares)
        surplus = (excess + above.excess - radius
                   - above.squares * (tau.level - above.base + tau.offset))
        squares += above.squares
        # No squares: the level is right of everything.
        step = surplus / squares if squares > MIN_SQUARES else -INFINITY
        if tau.offset == 0.0:
            if step > 0.0:
                left = tau.level
            level = max(few_digits(max(tau.level + step, 0.0)), left)
            if level != tau.level:
                tau.level = level
                continue
        elif surplus < 0.0 or tau.offset + step == tau.offset:
            return tau  # the rest is rounding
        if fabs(surplus) <= ROUNDING * radius:
            return tau
        if not (step > 0.0 and surplus <= SKPROJ_NEAR * radius):
            break
        tau.offset += step
    tau.level = left
    tau.offset = NAN
    return tau


cdef bint is_settled(const Sums* seen, double radius, Threshold* tau) noexcept nogil:
    """Whether there is nothing to search for: inside the ball, or out of bounds."""
    cdef bint inside = seen.norm - radius <= 2.0 * DBL_EPSILON * radius
    tau.level = 0.0 if seen.largest < INFINITY else NAN
    tau.level = tau.level if seen.heaviest < INFINITY else INFINITY
    tau.offset = 0.0 if inside else NAN
    return inside or not (seen.largest < MAX_ENTRY and seen.heaviest < MAX_WEIGHT)


cdef Band estimate_weighted_band(
    const floating* x, const double* w, Py_ssize_t n, double radius, double* values,
    double* weights, Py_ssize_t size
) noexcept nogil:
    """Estimate a band from ``size`` entries, a multiple of 8, of at least as many."""
    cdef:
        Py_ssize_t i, j, place
        double share = radius * (<double>size / n), tau, term, deviation = 0.0
        double mean = 0.0
        Band band
    for i in range(size // 8):
        place = place_in_sample(i, n, size)
        for j in range(8):
            values[8 * i + j] = fabs(<double>x[place + j])
            weights[8 * i + j] = w[place + j]
    tau = newton(values, weights, size, &NOTHING, share, 0.0).level
    for i in range(size):
        term = weights[i] * max(values[i] - tau * weights[i], 0.0)
        mean += term / size
        deviation += term * term
    deviation = half_width(mean, deviation, size)
    band.low = newton(values, weights, size, &NOTHING, share + deviation, tau).level
    band.high = DBL_MAX  # not infinity: times a weight of zero it would be NaN
    if share > 1.5 * deviation:
        band.high = newton(values, weights, size, &NOTHING, share - deviation,
                           tau).level
    return band


cdef void collect_part(
    const floating* x, const double* w, Py_ssize_t n, Band band, double* values,
    double* weights, Py_ssize_t room, Sums* part
) noexcept nogil:
    """Add up a part of a vector and copy what is in the band."""
    cdef:
        Py_ssize_t chunk, first, size
        Sums seen = NOTHING
    part[0] = NOTHING
    for chunk in range((n + CHUNK - 1) // CHUNK):
        first = chunk * CHUNK
        size = min(n - first, <Py_ssize_t>CHUNK)
        seen.norm = weighted_norm(x + first, w + first, size, &seen.largest,
                                  &seen.heaviest)
        add(&seen, part)
        if part.kept + size > room:
            part.kept = -1
        if part.kept >= 0:
            part.kept += collect_pairs(
                x + first, w + first, size, band.low, band.high, values + part.kept,
                weights + part.kept, &part.excess, &part.squares)


cdef Threshold find_threshold_of_long(
    const floating* x, const double* w, Py_ssize_t n, double radius, Band band,
    int n_threads
) noexcept nogil:
    """Find the threshold of a long vector, shared by all threads.

    A band whose ends are NaN is estimated from a sample.
    """
    cdef:
        Py_ssize_t length = (n + N_PARTS - 1) // N_PARTS, part, i, kept = 0
        Py_ssize_t room = min(length, MAX_BAND // N_PARTS) + CHUNK
        Py_ssize_t size = min(max(n // 128, <Py_ssize_t>MIN_SAMPLE),
                              <Py_ssize_t>MAX_BAND) // 8 * 8
        # They are enough for the sample as well.
        double* values = <double*>malloc(2 * N_PARTS * room * sizeof(double))
        double* weights = values + N_PARTS * room
        Sums[N_PARTS] parts
        Sums seen = NOTHING
        Threshold tau
        bint fits = values != NULL
    if not fits:  # slower, but possible
        room = 0
    elif isnan(band.low) and isnan(band.high):
        band = estimate_weighted_band(x, w, n, radius, values, weights, size)
    for part in prange(N_PARTS, num_threads=n_threads, schedule="static"):
        i = min(part * length, n)
        collect_part(x + i, w + i, min(length, n - i), band, values + part * room,
                     weights + part * room, room, &parts[part])
    for part in range(N_PARTS):
        add(&parts[part], &seen)
        fits = fits and parts[part].kept >= 0
        if fits:
            i = parts[part].kept
            memmove(values + kept, values + part * room, i * sizeof(double))
            memmove(weights + kept, weights + part * room, i * sizeof(double))
            kept += i
    seen.base = band.low
    if not is_settled(&seen, radius, &tau):
        if fits and seen.excess <= SKPROJ_NEAR * radius:
            tau = newton(<const double*>values, weights, kept, &seen, radius, band.low)
        if isnan(tau.offset) or tau.level + tau.offset > band.high:
            tau = newton(x, w, n, &NOTHING, radius, tau.level)
    free(values)
    return tau


cdef void find_thresholds(
    const floating* x, Py_ssize_t x_stride, const double* w, Py_ssize_t w_stride,
    Py_ssize_t n_groups, Py_ssize_t size, double radius, Band guess,
    int n_threads, double* levels, double* offsets
) noexcept nogil:
    """Find the thresholds of contiguous groups; threads share those that are long.

    Neighbours are alike: the level of one makes a good start for the next.
    """
    cdef:
        Py_ssize_t j
        double start = 0.0
        Sums seen = NOTHING
        Threshold tau
    for j in range(n_groups):
        if size >= LONG:
            tau = find_threshold_of_long(x + j * x_stride, w + j * w_stride, size,
                                         radius, guess, n_threads)
        else:
            seen.norm = weighted_norm(x + j * x_stride, w + j * w_stride, size,
                                      &seen.largest, &seen.heaviest)
            if not is_settled(&seen, radius, &tau):
                tau = newton(x + j * x_stride, w + j * w_stride, size, &NOTHING,
                             radius, start if isnan(guess.low) else guess.low)
                start = tau.level
        levels[j] = tau.level
        offsets[j] = tau.offset


def project_weighted_l1(
    const floating[:, :] X,  # IN, (n_groups, group_size), not empty
    const double[:, :] W,    # IN, weights of the same shape
    double radius,
    floating[:, :] out,      # OUT, of the same shape; may be X itself
    double[::1] thresholds,  # OUT, (n_groups,)
    double[::1] offsets,     # OUT, (n_groups,), what the thresholds have beyond levels
    int n_threads,
    double low=NAN,          # IN, a band for long vectors, with a level for others to
    double high=NAN,         # start from; NaN if not known
):
    """Project each group onto the weighted l1 ball.

    Of the two strides of an array the same one is one entry for all three. Returns
    whether all entries are finite, and whether all weights are and not negative; `out`
    is written only if both hold.
    """
    cdef:
        Py_ssize_t n_groups = X.shape[0], size = X.shape[1]  # not zero, to divide by
        Groups in_x = groups_of(n_groups, size, X.strides[0], X.strides[1],
                                sizeof(floating))
        Groups in_w = groups_of(n_groups, size, W.strides[0], W.strides[1],
                                sizeof(double))
        Groups in_y = groups_of(n_groups, size, out.strides[0], out.strides[1],
                                sizeof(floating))
        const floating* x = &X[0, 0]
        const double* w = &W[0, 0]
        floating* y = &out[0, 0]
        const floating* group
        const double* weights
        bint by_rows = are_contiguous(&in_x), finite = True, valid = True, shared
        Py_ssize_t pitch = pitch_of(size, sizeof(double)), in_tile = 0
        Py_ssize_t width = groups_together(&in_x), n_tiles, tile, first, n, j, i
        Py_ssize_t n_parts = (size + BLOCK_ENTRIES - 1) // BLOCK_ENTRIES
        double* levels = &thresholds[0]
        double* numbers
        floating* entries
        Band guess = Band(few_digits(low), few_digits(high))
        int n_workers

    if not by_rows:
        width = columns_together(&in_x, sizeof(double))
        in_tile = width * pitch
    n_tiles = (n_groups + width - 1) // width  # which is positive
    # Many long groups are better shared out among the threads than each of them.
    shared = size >= LONG and (n_tiles < n_threads or by_rows and size >= 16 * LONG)
    n_workers = 1 if shared else <int>min(<Py_ssize_t>n_threads, n_tiles)
    numbers = <double*>malloc(n_workers * in_tile * 2 * sizeof(double) + 1)
    entries = <floating*>(numbers + n_workers * in_tile)
    try:
        if numbers == NULL:
            raise MemoryError("No memory for the weighted l1 projection.")
        for tile in prange(n_tiles, num_threads=n_workers, schedule="static",
                           nogil=True):
            first = tile * width
            n = min(width, n_groups - first)
            group = x + first * in_x.group_stride
            weights = w + first * in_w.group_stride
            if not by_rows:
                i = threadid() * in_tile
                gather_columns(group, size, n, in_x.entry_stride, entries + i, pitch)
                gather_columns(weights, size, n, in_w.entry_stride, numbers + i, pitch)
                group = entries + i
                weights = numbers + i
            find_thresholds(
                group, in_x.group_stride if by_rows else pitch,
                weights, in_w.group_stride if by_rows else pitch, n, size,
                max(radius, MIN_RADIUS), guess, n_threads if shared else 1,
                levels + first, &offsets[first])
        for j in range(n_groups):
            finite = finite and not isnan(levels[j])
            valid = valid and not levels[j] == INFINITY
            if radius < MIN_RADIUS:  # the levels are left of the roots
                offsets[j] = NAN
        if not finite or not valid:
            return finite, valid
        for j in prange(n_groups, num_threads=n_threads, schedule="static", nogil=True):
            if isnan(offsets[j]):
                levels[j] = project_any(
                    x + j * in_x.group_stride, in_x.entry_stride,
                    w + j * in_w.group_stride, in_w.entry_stride,
                    y + j * in_y.group_stride, in_y.entry_stride, size, radius,
                    levels[j])
        if by_rows:
            for tile in prange(n_groups * n_parts, num_threads=n_threads,
                               schedule="static", nogil=True):
                j = tile // n_parts  # of at least one
                i = tile % n_parts * BLOCK_ENTRIES
                if not isnan(offsets[j]):
                    soft_weighted(
                        x + j * in_x.group_stride + i, w + j * in_w.group_stride + i,
                        min(<Py_ssize_t>BLOCK_ENTRIES, size - i), levels[j], offsets[j],
                        y + j * in_y.group_stride + i)
        else:
            width = min((n_groups - 1) // n_threads + 1, <Py_ssize_t>BLOCK_ENTRIES)
            for tile in prange((n_groups + width - 1) // width, num_threads=n_threads,
                               schedule="static", nogil=True):
                first = tile * width
                n = min(width, n_groups - first)
                for i in range(size):
                    soft_weighted_row(
                        x + i * in_x.entry_stride + first,
                        w + i * in_w.entry_stride + first,
                        n, levels + first, &offsets[first],
                        y + i * in_y.entry_stride + first)
        for j in range(n_groups):
            if not isnan(offsets[j]):
                thresholds[j] += offsets[j]
            elif isnan(thresholds[j]):
                raise MemoryError("No memory for the weighted l1 projection.")
        return finite, valid
    finally:
        free(numbers)
