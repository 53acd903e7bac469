# Roots of ``sum(max(v - t, 0)) == radius`` of long vectors, with fewer looks at them.
#
# A sample tells a band that should hold the root. One pass over the vector counts what
# is above the band and copies what is in it, and Newton's method ends on the copies.
# Whether the band holds the root is seen from exact sums; if not, it ends on the vector
# itself.

from cython cimport floating
from cython.parallel cimport prange
from libc.math cimport INFINITY, sqrt
from libc.stdlib cimport free, malloc
from libc.string cimport memmove

from ._newton cimport MANY, Root, newton, take_sample
from ._simd cimport SKPROJ_SLACK, collect_band, largest_value, rounded_down

cdef enum:
    # Longer vectors are solved for with a band.
    LONG = 1 << 16
    # Entries of all the bands of a search, at most.
    MAX_BAND = 1 << 20
    # Entries that must fit in what is left of the room for a band before they are read.
    CHUNK = 4096
    # Parts of a vector that threads share; their number decides how sums are rounded.
    N_PARTS = 64
    # Entries of a sample, at least, and those above a band that has no upper end.
    MIN_SAMPLE = 8192
    MIN_ABOVE = 32
    # Half the width of a band, in standard deviations of what the sample says.
    BAND_DEVIATIONS = 4


cdef struct Band:
    double low, high


cdef inline Py_ssize_t collect_chunks(
    const floating* x, Py_ssize_t n, floating low, floating high, bint signed_,
    floating* band, Py_ssize_t room, Py_ssize_t* count, double* excess
) noexcept nogil:
    """Do what collect_band does; return -1 if there may be no room for it."""
    cdef Py_ssize_t chunk, first, size, kept = 0
    count[0] = 0
    excess[0] = 0.0
    for chunk in range((n + CHUNK - 1) // CHUNK):
        first = chunk * CHUNK
        size = min(n - first, <Py_ssize_t>CHUNK)
        if kept + size + SKPROJ_SLACK > room:
            return -1
        kept += collect_band(x + first, size, low, high, signed_, band + kept, count,
                             excess)
    return kept


cdef inline double half_width(
    double mean, double squares, Py_ssize_t size
) noexcept nogil:
    """Half the width of a band, from mean and sum of squares of ``size`` numbers."""
    return BAND_DEVIATIONS * sqrt(max(squares - size * mean * mean, 0.0))


cdef inline Band estimate_band(
    const floating* x, Py_ssize_t n, double radius, bint signed_, floating* sample,
    Py_ssize_t size
) noexcept nogil:
    """Estimate a band from ``size`` entries, a multiple of 8, of at least as many."""
    cdef:
        Py_ssize_t n_finite = take_sample(x, n, signed_, sample, size), i
        double share = radius * (<double>size / n), value, tau, deviation = 0.0
        double mean = 0.0
        Band band
        Root root
        bint few
    band.low = INFINITY
    band.high = INFINITY
    if n_finite == 0:
        return band
    root = newton(sample, n_finite, share, True, 0, 0.0, 0.0,
                  largest_value(sample, n_finite, True) - share, MANY)
    tau = root.level + root.step
    for i in range(n_finite):
        value = max(sample[i] - tau, 0.0)
        mean += value / size
        deviation += value * value
    deviation = half_width(mean, deviation, size)
    few = share < 1.5 * deviation
    while True:
        root = newton(sample, n_finite, share + deviation, True, 0, 0.0, 0.0, tau,
                      MANY)
        if not few or root.count >= min(n_finite, <Py_ssize_t>MIN_ABOVE):
            break
        deviation = 2.0 * deviation + share
    band.low = root.level + root.step
    if not signed_:
        band.low = max(band.low, 0.0)
    if not few:
        root = newton(sample, n_finite, share - deviation, True, 0, 0.0, 0.0, tau,
                      MANY)
        band.high = root.level + root.step
    return band


cdef inline bint find_root_in_band(
    const floating* x, Py_ssize_t n, double radius, bint signed_, Band band,
    floating* entries, Py_ssize_t room, int n_threads, Root* root
) noexcept nogil:
    """Find the root with the entries in a band; False if it does not hold the root.

    ``entries`` have room for N_PARTS times ``room`` of them.
    """
    cdef:
        Py_ssize_t length = (n + N_PARTS - 1) // N_PARTS, part, i, count = 0, kept = 0
        Py_ssize_t[N_PARTS] sizes
        Py_ssize_t[N_PARTS] counts
        double[N_PARTS] excesses
        double low, high, excess = 0.0, in_band = 0.0
    low = rounded_down(band.low, x)  # compared with entries
    high = <floating>band.high
    if not -INFINITY < low <= high:
        return False
    for part in prange(N_PARTS, num_threads=n_threads, schedule="static"):
        i = min(part * length, n)
        sizes[part] = collect_chunks(x + i, min(length, n - i), <floating>low,
                                     <floating>high, signed_, entries + part * room,
                                     room, &counts[part], &excesses[part])
    for part in range(N_PARTS):
        if sizes[part] < 0:
            return False
        memmove(entries + kept, entries + part * room, sizes[part] * sizeof(floating))
        kept += sizes[part]
        count += counts[part]
        excess += excesses[part]
    for i in range(kept):
        in_band += entries[i] - low
    # More than the radius is above the low end, and no more than it above the high end.
    if count + kept == 0 or not excess + in_band >= radius or (
            count > 0 and not excess - count * (high - low) <= radius):
        return False
    root[0] = newton(<const floating*>entries, kept, radius, True, count, excess, low,
                     low, MANY)
    return True


cdef inline Root find_root_of_long(
    const floating* x, Py_ssize_t n, double radius, bint signed_, const Band* guess,
    int n_threads
) noexcept nogil:
    """Find the root of a long vector, shared by all threads.

    A ``guess`` that is not NULL takes the place of what a sample says.
    """
    cdef:
        Py_ssize_t room = (min((n + N_PARTS - 1) // N_PARTS, MAX_BAND // N_PARTS)
                           + CHUNK + SKPROJ_SLACK)
        Py_ssize_t size = min(min(max(n // 128, <Py_ssize_t>MIN_SAMPLE),
                                  <Py_ssize_t>MAX_BAND), n) // 8 * 8
        Root root
        bint found = False
        floating* entries = <floating*>malloc(
            max(N_PARTS * room, size) * sizeof(floating))
    if entries != NULL:  # slower without, but possible
        found = find_root_in_band(
            x, n, radius, signed_,
            estimate_band(x, n, radius, signed_, entries, size) if guess == NULL
            else guess[0],
            entries, room, n_threads, &root)
    if not found:
        root = newton(x, n, radius, signed_, 0, 0.0, 0.0,
                      largest_value(x, n, signed_) - radius, MANY)
    free(entries)
    return root
