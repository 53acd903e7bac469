"""Passes of the group sparse projection over the entries of a group of vectors.

Vector i holds ``data[starts[i]:starts[i] + sizes[i]]``; a vector without entries is
not allowed. With a the absolute values of a vector and w its weights, its direction at
a threshold is the unit vector of ``y = max(a - threshold * w, 0)``. Of that

- the mean is ``w @ y / norm(y)``, which the Hoyer sparsity is made of,
- the length is ``norm(y)``.

Where y is zero the direction is that of one entry, the vector is spent, and its length
is 0. A vector is the work of one thread, so no result depends on their number.
"""

from cython cimport floating
from cython.parallel cimport prange, threadid
from libc.float cimport DBL_EPSILON
from libc.math cimport INFINITY, ceil, fabs, sqrt
from libc.stdlib cimport free, malloc

from ._layout cimport BLOCK_ENTRIES
from ._simd cimport (
    SKPROJ_NORM_L1, SKPROJ_NORM_L2, SKPROJ_NORM_LINF, SKPROJ_SLACK, collect_band,
    deficit_moments, excess_moments, gather_columns, reduce_group, rounded_down,
    soft_and_scale, weighted_look
)

# Entries that collect_entries may write behind those of a vector.
SLACK = SKPROJ_SLACK

# Columns that are transposed together: whole cache lines, and few places to write to.
cdef Py_ssize_t TILE = 16


def transpose(
    const floating[:, :] X,  # IN, (n_rows, n_columns), adjacent columns
    floating[:, :] out,      # OUT, (n_columns, n_rows), adjacent columns
    int n_threads,
):
    """Copy the columns of a matrix to the rows of another one."""
    cdef:
        Py_ssize_t n_rows = X.shape[0], n_columns = X.shape[1], tile, first
        Py_ssize_t stride = X.strides[0] // <Py_ssize_t>sizeof(floating)
        Py_ssize_t pitch = out.strides[0] // <Py_ssize_t>sizeof(floating)
        const floating* x = &X[0, 0]
        floating* y = &out[0, 0]
    for tile in prange((n_columns + TILE - 1) // TILE, nogil=True,
                       num_threads=n_threads, schedule="static"):
        first = tile * TILE
        gather_columns(x + first, n_rows, min(TILE, n_columns - first), stride,
                       y + first * pitch, pitch)


cdef inline int vectors_together(const Py_ssize_t[::1] sizes) noexcept nogil:
    """Number of vectors that a thread takes at a time."""
    cdef Py_ssize_t i, total = 0
    for i in range(sizes.shape[0]):
        total += sizes[i]
    total //= sizes.shape[0]  # not 0: without vectors no kernel is called
    return <int>max(BLOCK_ENTRIES // (total + 1), 1)


def vector_norms(
    const floating[::1] data,      # IN
    const Py_ssize_t[::1] starts,  # IN, (n_vectors,)
    const Py_ssize_t[::1] sizes,   # IN, (n_vectors,)
    double[::1] largest,           # OUT, (n_vectors,), l_inf norms
    double[::1] sums,              # OUT, (n_vectors,), l1 norms
    double[::1] lengths,           # OUT, (n_vectors,), l2 norms
    int n_threads,
):
    """Write three norms of each vector; NaN and infinity show up in the first."""
    cdef Py_ssize_t i, together = vectors_together(sizes)
    for i in prange(starts.shape[0], nogil=True, num_threads=n_threads,
                    schedule="dynamic", chunksize=together):
        largest[i] = reduce_group(SKPROJ_NORM_LINF, &data[starts[i]], sizes[i])
        sums[i] = reduce_group(SKPROJ_NORM_L1, &data[starts[i]], sizes[i])
        lengths[i] = reduce_group(SKPROJ_NORM_L2, &data[starts[i]], sizes[i])


def collect_entries(
    const floating[::1] data,          # IN
    const Py_ssize_t[::1] starts,      # IN, (n_vectors,)
    const Py_ssize_t[::1] sizes,       # IN, (n_vectors,)
    const double[::1] thresholds,      # IN, (n_vectors,), not negative
    floating[::1] kept,                # OUT, may be data itself
    const Py_ssize_t[::1] kept_starts,  # IN, (n_vectors,), SLACK entries apart
    Py_ssize_t[::1] kept_sizes,        # OUT, (n_vectors,), may be sizes itself
    int n_threads,
):
    """Copy the absolute values of each vector that are above its threshold."""
    cdef:
        Py_ssize_t i, above, together = vectors_together(sizes)
        double excess
    for i in prange(starts.shape[0], nogil=True, num_threads=n_threads,
                    schedule="dynamic", chunksize=together):
        above = 0
        excess = 0.0
        kept_sizes[i] = collect_band(
            &data[starts[i]], sizes[i], rounded_down(thresholds[i], &data[0]),
            <floating>INFINITY, False, &kept[kept_starts[i]], &above, &excess)


def measure_directions(
    const floating[::1] data,       # IN
    const Py_ssize_t[::1] starts,   # IN, (n_vectors,)
    const Py_ssize_t[::1] sizes,    # IN, (n_vectors,)
    const double[::1] thresholds,   # IN, (n_vectors,)
    double[::1] means,              # OUT, (n_vectors,)
    double[::1] lengths,            # OUT, (n_vectors,)
    double[::1] slopes,             # OUT, (n_vectors,), of the means
    Py_ssize_t[::1] counts,         # OUT, (n_vectors,), entries above the threshold
    int n_threads,
):
    """Measure the direction of each vector at its threshold, with weights of 1."""
    cdef:
        Py_ssize_t i, together = vectors_together(sizes)
        double total, squares
    for i in prange(starts.shape[0], nogil=True, num_threads=n_threads,
                    schedule="dynamic", chunksize=together):
        total = 0.0
        squares = 0.0
        counts[i] = excess_moments(&data[starts[i]], sizes[i], thresholds[i], &total,
                                   &squares)
        lengths[i] = sqrt(squares)
        if lengths[i] > 0.0:
            means[i] = total / lengths[i]
            slopes[i] = min((means[i] * means[i] - counts[i]) / lengths[i], 0.0)
        else:
            means[i] = 1.0
            slopes[i] = 0.0


cdef Py_ssize_t last_entry(
    const floating* x, const double* w, Py_ssize_t size, double threshold
) noexcept nogil:
    """Find the entry that is left of a spent vector.

    It is that with the largest ``a - threshold * w`` of those that are not zero, the
    one with the smallest weight if there are several.
    """
    cdef:
        Py_ssize_t j, best = 0
        double y, top = -INFINITY
    for j in range(size):
        y = fabs(<double>x[j]) - threshold * w[j] if x[j] != 0 else -INFINITY
        if y > top or (y == top and w[j] < w[best]):
            top = y
            best = j
    return best


def measure_weighted_directions(
    const floating[::1] data,       # IN
    const double[::1] weights,      # IN, of the same shape
    const Py_ssize_t[::1] starts,   # IN, (n_vectors,)
    const Py_ssize_t[::1] sizes,    # IN, (n_vectors,)
    const double[::1] thresholds,   # IN, (n_vectors,)
    double[::1] means,              # OUT, (n_vectors,)
    double[::1] lengths,            # OUT, (n_vectors,)
    double[::1] slopes,             # OUT, (n_vectors,), of the means
    Py_ssize_t[::1] best,           # OUT, (n_vectors,), entries of spent vectors, or -1
    int n_threads,
):
    """Measure the direction of each vector at its threshold."""
    cdef:
        Py_ssize_t i, together = vectors_together(sizes)
        double total, squares, weight_squares
    for i in prange(starts.shape[0], nogil=True, num_threads=n_threads,
                    schedule="dynamic", chunksize=together):
        squares = 0.0
        weight_squares = 0.0
        total = weighted_look(&data[starts[i]], &weights[starts[i]], sizes[i],
                              thresholds[i], 0.0, &squares, &weight_squares)
        lengths[i] = sqrt(squares)
        best[i] = -1
        if lengths[i] > 0.0:
            means[i] = total / lengths[i]
            slopes[i] = min((means[i] * means[i] - weight_squares) / lengths[i], 0.0)
        else:
            best[i] = last_entry(&data[starts[i]], &weights[starts[i]], sizes[i],
                                 thresholds[i])
            means[i] = weights[starts[i] + best[i]]
            slopes[i] = 0.0


cdef void solve_vector(
    const floating* x, Py_ssize_t size, double largest, double mean, floating* entries,
    double* offset, double* length, double* inner, Py_ssize_t* n_tied
) noexcept nogil:
    """Find the direction of a vector with a given mean, with weights of 1.

    All differences are to the largest entry, and exact near it. With the entries that
    are left the threshold has a closed form, which never passes that of the solution;
    entries that are below it drop out, until none does.
    """
    cdef:
        Py_ssize_t i, kept, count, above = 0
        double first, second, center, depth = 0.0, excess = 0.0
    n_tied[0] = 0
    if mean <= 1.0 + 4 * DBL_EPSILON:
        n_tied[0] = 1
        return
    kept = collect_band(x, size, <floating>0, <floating>INFINITY, False, entries,
                        &above, &excess)
    count = 0
    while count != kept:
        count = kept
        deficit_moments(<const floating*>entries, count, largest, 0.0, &first, &second)
        center = first / count  # not 0: the largest entry is never dropped
        deficit_moments(<const floating*>entries, count, largest, center, &first,
                        &second)
        second -= first * first / count
        if not second > 0.0:
            n_tied[0] = min(<Py_ssize_t>ceil(mean * mean * (1.0 - 8 * DBL_EPSILON)),
                            count)
            return
        depth = center + mean * sqrt(
            second / count / max(count - mean * mean, DBL_EPSILON * count))
        kept = 0
        for i in range(count):
            entries[kept] = entries[i]
            kept += largest - entries[i] < depth
    deficit_moments(<const floating*>entries, count, largest, depth, &first, &second)
    offset[0] = -depth
    length[0] = sqrt(second)
    # Not 0: the largest entry is above the threshold by the depth.
    inner[0] = ((depth - largest) * first + second) / length[0]


def solve_vectors(
    const floating[::1] data,       # IN
    const Py_ssize_t[::1] starts,   # IN, (n_vectors,)
    const Py_ssize_t[::1] sizes,    # IN, (n_vectors,)
    const double[::1] largest,      # IN, (n_vectors,), l_inf norms, not 0
    const double[::1] means,        # IN, (n_vectors,), infinite: nothing to solve
    double[::1] offsets,            # OUT, (n_vectors,)
    double[::1] lengths,            # OUT, (n_vectors,)
    double[::1] inner,              # OUT, (n_vectors,), products of x and direction
    Py_ssize_t[::1] n_tied,         # OUT, (n_vectors,)
    int n_threads,
):
    """Find the direction of each vector that has a given mean, with weights of 1.

    The thresholds are ``largest + offsets``. Where only entries that are all equal to
    the largest are left, `n_tied` says how many of them are needed, and the other
    results have no meaning; elsewhere it is 0.
    """
    cdef:
        Py_ssize_t i, longest = 0, together = vectors_together(sizes)
        floating* entries
    for i in range(sizes.shape[0]):
        longest = max(longest, sizes[i] + SKPROJ_SLACK)
    entries = <floating*>malloc(n_threads * longest * sizeof(floating))
    if entries == NULL:
        raise MemoryError("No memory for the entries of the longest vector.")
    for i in prange(starts.shape[0], nogil=True, num_threads=n_threads,
                    schedule="dynamic", chunksize=together):
        if means[i] < INFINITY:
            solve_vector(&data[starts[i]], sizes[i], largest[i], means[i],
                         entries + threadid() * longest, &offsets[i], &lengths[i],
                         &inner[i], &n_tied[i])
    free(entries)


cdef void write_tied(
    const floating* x, Py_ssize_t size, double level, Py_ssize_t n_tied, double first,
    double other, floating* out
) noexcept nogil:
    """Keep the first entries of magnitude ``level``, with new magnitudes."""
    cdef:
        Py_ssize_t j, found = 0
        double value
    for j in range(size):
        value = 0.0
        if found < n_tied and fabs(<double>x[j]) == level:
            value = other if found else first
            found += 1
        out[j] = <floating>(0.0 - value if x[j] < 0 else value)


def write_directions(
    const floating[::1] data,       # IN
    const Py_ssize_t[::1] starts,   # IN, (n_vectors,)
    const Py_ssize_t[::1] sizes,    # IN, (n_vectors,)
    const double[::1] levels,       # IN, (n_vectors,)
    const double[::1] offsets,      # IN, (n_vectors,); thresholds are levels + offsets
    const double[::1] factors,      # IN, (n_vectors,)
    const Py_ssize_t[::1] n_tied,   # IN, (n_vectors,), 0 unless a level is the largest
    const double[::1] others,       # IN, (n_vectors,), magnitude of all but the first
    floating[::1] out,              # OUT, of the shape of data; may be data itself
    int n_threads,
):
    """Soft-threshold each vector and multiply it by its factor.

    Where `n_tied` is not 0, that many entries of the magnitude of the level are kept
    instead: the first gets the magnitude `factors`, and the rest `others`.
    """
    cdef Py_ssize_t i, together = vectors_together(sizes)
    for i in prange(starts.shape[0], nogil=True, num_threads=n_threads,
                    schedule="dynamic", chunksize=together):
        if n_tied[i] == 0:
            soft_and_scale(&data[starts[i]], sizes[i], levels[i], offsets[i],
                           factors[i], &out[starts[i]])
        else:
            write_tied(&data[starts[i]], sizes[i], levels[i], n_tied[i], factors[i],
                       others[i], &out[starts[i]])


cdef void write_weighted(
    const floating* x, const double* w, Py_ssize_t size, double threshold,
    double factor, Py_ssize_t best, floating* out
) noexcept nogil:
    """Soft-threshold and scale a vector, or keep its entry ``best`` if it is spent."""
    cdef:
        Py_ssize_t j
        double y
    for j in range(size):
        if best >= 0:
            y = 1.0 if j == best else 0.0
        else:
            y = max(fabs(<double>x[j]) - threshold * w[j], 0.0)
        y *= factor
        out[j] = <floating>(0.0 - y if x[j] < 0 else y)


def write_weighted_directions(
    const floating[::1] data,       # IN
    const double[::1] weights,      # IN, of the same shape
    const Py_ssize_t[::1] starts,   # IN, (n_vectors,)
    const Py_ssize_t[::1] sizes,    # IN, (n_vectors,)
    const double[::1] thresholds,   # IN, (n_vectors,)
    const double[::1] factors,      # IN, (n_vectors,)
    const Py_ssize_t[::1] best,     # IN, (n_vectors,), -1 unless a vector is spent
    floating[::1] out,              # OUT, of the shape of data; may be data itself
    int n_threads,
):
    """Take thresholds times weights off each vector and multiply it by its factor.

    Of a spent vector the entry `best` gets the magnitude `factors`.
    """
    cdef Py_ssize_t i, together = vectors_together(sizes)
    for i in prange(starts.shape[0], nogil=True, num_threads=n_threads,
                    schedule="dynamic", chunksize=together):
        write_weighted(&data[starts[i]], &weights[starts[i]], sizes[i], thresholds[i],
                       factors[i], best[i], &out[starts[i]])
