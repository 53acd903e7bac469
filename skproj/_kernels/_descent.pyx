"""Accelerated projected gradient steps for a factor of given Hoyer sparsity.

For a factor F, a Gram matrix G and a matrix C: lower ``<F @ G / 2 - C, F>`` with
columns that are not negative and have a Hoyer sparsity, of each or on average. The
columns are copied to rows, the vectors of `_hoyer.pyx`, whose projection is repeated
here for what is met in nearly all steps. Elsewhere a step is not taken, and the caller
is told.
"""

from libc.float cimport DBL_EPSILON
from libc.math cimport INFINITY, sqrt
from libc.stdlib cimport calloc, free

from ._hoyer cimport solve_vector
from ._simd cimport (
    SKPROJ_NORM_LINF, SKPROJ_SLACK, excess_moments, gather_columns, reduce_group,
    soft_and_scale, weighted_look
)


cdef extern from "_descent.h" nogil:
    void take_step "skproj_step" (
        const double* x, const double* x_before, const double* g,
        const double* g_before, const double* cross, Py_ssize_t n, double momentum,
        double size, double* out) noexcept
    void assess "skproj_assess" (
        const double* x, const double* g, const double* cross, const double* other,
        Py_ssize_t n, double* value, double* moved) noexcept
    void multiply "skproj_multiply" (
        const double* matrix, const double* rows, Py_ssize_t n_rows, Py_ssize_t n,
        double* out) noexcept


# The same numbers as in projection/_hoyer_group.py, _hoyer_search.py and
# _hoyer_vectors.py, which have what they are for.
cdef:
    double TOLERANCE = 1e-12
    double TOLERANCE_INSIDE = 4e-12
    double MIN_BRACKET_WIDTH = 32 * DBL_EPSILON
    double SMALLEST_SAFE = 1e-130
    double LARGEST_SAFE = 1e140

cdef enum:
    TILE = 16  # columns that are transposed together


cdef struct Level:
    double rate                # cost of a unit of the mean of a direction
    double mean                # mean that has the sparsity
    bint each                  # of each vector, else the average
    const double* weights      # NULL: all of them are 1


cdef struct Steps:
    Py_ssize_t n_vectors, n    # vectors of n entries, one after the other
    const double* gram
    double* cross              # of the shape of the vectors, as all until `new_g`
    double* x
    double* x_before
    double* new
    double* g                  # products with the Gram matrix
    double* g_before
    double* new_g
    double* means              # (n_vectors,), as `lengths`
    double* lengths
    double* entries            # (n + SLACK,)
    double size                # of a step
    double threshold           # of the step before


cdef void transpose(
    const double* x, Py_ssize_t n_rows, Py_ssize_t n_columns, double* out
) noexcept nogil:
    cdef Py_ssize_t tile, first
    for tile in range((n_columns + TILE - 1) // TILE):
        first = tile * TILE
        gather_columns(x + first, n_rows, min(TILE, n_columns - first), n_columns,
                       out + first * n_rows, n_rows)


cdef double measure(
    Steps* s, const double* w, double threshold, double* slope
) noexcept nogil:
    """Measure the directions of the new vectors; return the sum of their means."""
    cdef:
        Py_ssize_t i
        double total, squares, weights, length, mean, means = 0.0
    slope[0] = 0.0
    for i in range(s.n_vectors):
        if w == NULL:
            weights = <double>excess_moments(<const double*>s.new + i * s.n, s.n,
                                             threshold, &total, &squares)
        else:
            total = weighted_look(<const double*>s.new + i * s.n, w, s.n, threshold,
                                  0.0, &squares, &weights)
        length = sqrt(squares)
        mean = total / length if length > 0.0 else 1.0
        if length > 0.0:
            slope[0] += min((mean * mean - weights) / length, 0.0)
        s.lengths[i] = length
        s.means[i] = mean
        means += mean
    return means


cdef double largest_of(Steps* s, Py_ssize_t i) noexcept nogil:
    return reduce_group(SKPROJ_NORM_LINF, <const double*>s.new + i * s.n, s.n)


cdef bint is_safe(Steps* s, const double* w) noexcept nogil:
    """Whether the squares that have been measured did not underflow.

    Nothing is left of a vector of length 0, which with weights is not for this kernel.
    """
    cdef:
        Py_ssize_t i
        double largest
    for i in range(s.n_vectors):
        if not s.lengths[i] > SMALLEST_SAFE:
            largest = largest_of(s, i)
            if w != NULL or not (largest == 0.0 or largest > SMALLEST_SAFE):
                return False
    return True


cdef bint find_threshold(
    Steps* s, const Level* level, double high, double* threshold
) noexcept nogil:
    """Search for the threshold of all vectors that gives their means the right sum.

    Newton's method, as `bracket_multiplier`, from the threshold of the step before. It
    is 0 if the vectors are sparse enough. False: there may be a jump instead.
    """
    cdef:
        double low = -1.0, last = INFINITY, excess, slope, newton
        double wanted = s.n_vectors * level.mean
        double tolerance = TOLERANCE * s.n_vectors / level.rate
        double inside = TOLERANCE_INSIDE * s.n_vectors / level.rate
        int n_stalls = 0
    threshold[0] = s.threshold if s.threshold < high else 0.0
    while True:
        excess = measure(s, level.weights, threshold[0], &slope) - wanted
        if abs(excess) <= tolerance or (threshold[0] == 0.0 and excess <= inside):
            return True
        if excess > 0.0:
            low = threshold[0]
        else:
            high = threshold[0]
        if not high - low > MIN_BRACKET_WIDTH * high:
            return False
        n_stalls = n_stalls + 1 if abs(excess) > last / 2 else 0
        last = abs(excess)
        newton = threshold[0] - excess / slope if slope < 0.0 else high
        if low < newton < high and newton > 0.0 and n_stalls < 2:
            threshold[0] = newton
        elif low < 0.0:
            threshold[0] = 0.0
        else:
            threshold[0] = low + (high - low) / 2


cdef void keep_largest(double* x, Py_ssize_t n) noexcept nogil:
    cdef:
        Py_ssize_t i, best = 0
        double largest
    for i in range(n):
        if x[i] > x[best]:
            best = i
    largest = x[best]
    for i in range(n):
        x[i] = 0.0
    x[best] = largest


cdef bint project_group(Steps* s, const Level* level) noexcept nogil:
    """Give the new vectors an average sparsity."""
    cdef:
        Py_ssize_t i, j
        const double* w = level.weights
        double* x
        double threshold, factor
        double largest = reduce_group(SKPROJ_NORM_LINF, <const double*>s.new,
                                      s.n_vectors * s.n)
    if not (largest < LARGEST_SAFE
            and find_threshold(s, level, largest * (1.0 + 4 * DBL_EPSILON), &threshold)
            and is_safe(s, w)):
        return False
    s.threshold = threshold
    if threshold == 0.0:
        return True
    for i in range(s.n_vectors):
        x = s.new + i * s.n
        if s.lengths[i] > 0.0:
            factor = 1.0 + threshold * s.means[i] / s.lengths[i]
            if w == NULL:
                soft_and_scale(<const double*>x, s.n, threshold, 0.0, factor, x)
            else:
                for j in range(s.n):
                    x[j] = factor * max(x[j] - threshold * w[j], 0.0)
        elif w == NULL:
            keep_largest(x, s.n)
        else:
            return False
    return True


cdef bint project_each(Steps* s, const Level* level) noexcept nogil:
    """Give each of the new vectors a sparsity, without weights."""
    cdef:
        Py_ssize_t i, n_tied
        double* x
        double slope, largest, offset, length, inner
    measure(s, NULL, 0.0, &slope)
    if not is_safe(s, NULL):
        return False
    for i in range(s.n_vectors):
        if s.means[i] <= level.mean + TOLERANCE_INSIDE / level.rate:
            continue
        x = s.new + i * s.n
        largest = largest_of(s, i)
        if not largest < LARGEST_SAFE:
            return False
        solve_vector(<const double*>x, s.n, largest, level.mean, s.entries, &offset,
                     &length, &inner, &n_tied)
        if n_tied > 0:
            return False
        soft_and_scale(<const double*>x, s.n, largest, offset, inner / length, x)
    return True


cdef bint advance(
    Steps* s, const Level* level, double momentum, double* value, double* moved
) noexcept nogil:
    """Write new vectors, what they change, and their products; False: it cannot."""
    cdef Py_ssize_t size = s.n_vectors * s.n
    take_step(s.x, s.x_before, s.g, s.g_before, s.cross, size, momentum, s.size, s.new)
    if not (project_each(s, level) if level.each else project_group(s, level)):
        return False
    multiply(s.gram, s.new, s.n_vectors, s.n, s.new_g)
    value[0] = 0.0
    moved[0] = 0.0
    assess(s.new, s.new_g, s.cross, s.x, size, value, moved)
    return True


cdef bint descend(
    Steps* s, const Level* level, double first_alpha, double delta, int max_steps
) noexcept nogil:
    """Take steps, none of which raises the objective; False: one was not possible."""
    cdef:
        double value = 0.0, new_value, moved = 0.0, first = 0.0, square, next_alpha
        double alpha = first_alpha, momentum = 0.0
        int step
    multiply(s.gram, s.x, s.n_vectors, s.n, s.g)
    assess(s.x, s.g, s.cross, s.x, s.n_vectors * s.n, &value, &moved)
    for step in range(max_steps):
        if not advance(s, level, momentum, &new_value, &moved):
            return False
        if new_value > value and step > 0:
            alpha = first_alpha
            if not advance(s, level, 0.0, &new_value, &moved):
                return False
        if new_value > value:
            # The projection is not the nearest point, so even a plain step can.
            break
        if step == 0:
            first = moved
        square = alpha * alpha
        next_alpha = 0.5 * (sqrt(square * square + 4.0 * square) - square)
        momentum = alpha * (1.0 - alpha) / (square + next_alpha)
        alpha = next_alpha
        value = new_value
        s.x_before, s.x, s.new = s.x, s.new, s.x_before
        s.g_before, s.g, s.new_g = s.g, s.new_g, s.g_before
        if moved <= delta * delta * first:
            break
    return True


def descend_projected(
    const double[:, ::1] gram,   # IN, (n_components, n_components)
    const double[:, ::1] cross,  # IN, (n_rows, n_components)
    double[:, ::1] factor,       # IN and OUT, (n_rows, n_components)
    const double[::1] weights,   # IN, (n_rows,), at most 1, or None
    double rate,
    double mean,
    bint each,
    double curvature,
    double first_alpha,
    double delta,
    int max_steps,
):
    """Take steps until one moves the factor at most `delta` times as far as the first.

    The steps are as large as the largest curvature, which is not 0, allows. Returns
    whether they could be taken; otherwise the factor is as it was.
    """
    cdef:
        Py_ssize_t n = factor.shape[0], n_vectors = factor.shape[1]
        Py_ssize_t size = n * n_vectors
        # With a momentum of 0 what was before has no effect, but must be finite.
        double* work = <double*>calloc(
            7 * size + 2 * n_vectors + n + SKPROJ_SLACK, sizeof(double))
        Level level = [rate, mean, each, NULL]
        Steps s
        bint done

    if work == NULL:
        raise MemoryError("No memory for the steps of a factor.")
    if weights is not None:
        level.weights = &weights[0]
    s.n_vectors, s.n, s.gram, s.size = n_vectors, n, &gram[0, 0], 1.0 / curvature
    s.threshold = 0.0
    s.cross, s.x, s.x_before = work, work + size, work + 2 * size
    s.new, s.g = work + 3 * size, work + 4 * size
    s.g_before, s.new_g = work + 5 * size, work + 6 * size
    s.means, s.lengths = work + 7 * size, work + 7 * size + n_vectors
    s.entries = work + 7 * size + 2 * n_vectors
    with nogil:
        transpose(&cross[0, 0], n, n_vectors, s.cross)
        transpose(&factor[0, 0], n, n_vectors, s.x)
        done = descend(&s, &level, first_alpha, delta, max_steps)
        if done:
            transpose(s.x, n_vectors, n, &factor[0, 0])
    free(work)
    return done
