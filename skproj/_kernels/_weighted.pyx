"""Projection of vectors onto weighted l1 balls.

``x_i = sign(y_i) * max(|y_i| - tau * w_i, 0)`` with ``sum(w * abs(x)) == radius``. The
left side is convex and decreasing in tau, so Newton's method from tau = 0 rises
monotonically to the root and never needs an entry again that has become zero.

What is carried is not tau but the lengths ``|y_i| - tau * w_i`` themselves, from which
each step is subtracted. The sum that is compared with the radius is then that of the
result, and nothing cancels when the radius is tiny.
"""

from cython cimport floating
from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY, fabs, frexp, ldexp
from libc.stdlib cimport free, malloc

cdef double EPS = 2.220446049250313e-16
# Entries that are summed plainly; the sums of such blocks are added with care.
cdef Py_ssize_t BLOCK = 128
# More Newton steps than it takes to shrink a float to nothing without losing an entry.
cdef Py_ssize_t MORE_STEPS = 64


cdef inline double product(double a, double b, int exponent, bint plain) noexcept nogil:
    """Compute ``a * b * 2 ** exponent`` so that no factor of it can overflow."""
    cdef int exponent_a = 0, exponent_b = 0
    if plain:
        return a * b
    a = frexp(a, &exponent_a)
    b = frexp(b, &exponent_b)
    return ldexp(a * b, exponent_a + exponent_b + exponent)


cdef void largest_exponents(
    const double* length, const double* weight, Py_ssize_t n,
    int* of_products, int* of_squares
) noexcept nogil:
    """Exponents of the largest ``length * weight`` and the largest ``weight ** 2``."""
    cdef:
        Py_ssize_t i
        int a = 0, b = 0
    for i in range(n):
        frexp(length[i], &a)
        frexp(weight[i], &b)
        of_products[0] = max(of_products[0], a + b) if i > 0 else a + b
        of_squares[0] = max(of_squares[0], 2 * b) if i > 0 else 2 * b


cdef double weighted_sum(
    const double* a, const double* weight, Py_ssize_t n, int exponent, bint plain
) noexcept nogil:
    """Sum of the products, to a few roundings whatever n (Kahan over blocks)."""
    cdef:
        Py_ssize_t i, j
        double block, total = 0.0, missing = 0.0, before
    for j in range((n + BLOCK - 1) // BLOCK):
        block = missing
        for i in range(j * BLOCK, min((j + 1) * BLOCK, n)):
            block += product(a[i], weight[i], exponent, plain)
        before = total
        total = before + block
        missing = block - (total - before)
    return total


cdef Py_ssize_t subtract(
    double* length, double* weight, Py_ssize_t* position, Py_ssize_t n,
    double step, int exponent, bint plain
) noexcept nogil:
    """Subtract step times the weights and drop what is not positive any more."""
    cdef:
        Py_ssize_t i, kept = 0
        double rest
    for i in range(n):
        rest = length[i] - product(step, weight[i], exponent, plain)
        if rest > 0.0:
            length[kept] = rest
            weight[kept] = weight[i]
            position[kept] = position[i]
            kept += 1
    return kept


cdef Py_ssize_t shrink(
    double* length,         # abs(y), all positive; becomes that of the result
    double* weight,         # all positive
    Py_ssize_t* position,   # moved along with the other two
    Py_ssize_t n, double radius, bint plain, double* tau
) noexcept nogil:
    """Subtract tau times the weights; return the number of lengths that are left."""
    cdef:
        Py_ssize_t i, _step
        int products = 0, squares = 0
        double surplus, scaled_radius = radius, step
    tau[0] = 0.0
    if radius == 0.0:
        for i in range(n):
            tau[0] = max(tau[0], length[i] / weight[i])
        return 0
    # Each step drops an entry or takes nearly all of the surplus.
    for _step in range(n + MORE_STEPS):
        if not plain:
            largest_exponents(length, weight, n, &products, &squares)
            scaled_radius = ldexp(radius, -products)
        surplus = weighted_sum(length, weight, n, -products, plain) - scaled_radius
        if surplus <= 2 * EPS * scaled_radius:
            break
        step = surplus / weighted_sum(weight, weight, n, -squares, plain)
        if surplus > scaled_radius:
            # Rounding must not carry a step past a root that is far below: less than
            # the radius would be left, and nothing to tell which entries it was.
            step *= 1.0 - 8 * EPS
        n = subtract(length, weight, position, n, step, products - squares, plain)
        tau[0] += ldexp(step, products - squares)
        if n == 0:
            break
    return n


cdef bint is_plain(
    double longest, double lightest, double heaviest, double radius
) noexcept nogil:
    """Whether all products that matter are far from overflow and underflow."""
    return (
        1e-100 < longest < 1e100 and 1e-30 < lightest and heaviest < 1e30
        and radius > 1e-200
    )


cdef double project_group(
    const floating* x, Py_ssize_t x_stride,
    const double* w, Py_ssize_t w_stride,
    floating* out, Py_ssize_t out_stride,
    Py_ssize_t n, double radius,
    double* length, double* weight, Py_ssize_t* position
) noexcept nogil:
    """Project one vector, with strides in bytes; return its threshold."""
    cdef:
        Py_ssize_t i, kept = 0
        double value, w_i, tau = 0.0
        double longest = 0.0, lightest = INFINITY, heaviest = 0.0
        floating entry
        floating* place

    for i in range(n):
        value = fabs((<const floating*>(<const char*>x + i * x_stride))[0])
        w_i = (<const double*>(<const char*>w + i * w_stride))[0]
        if value > 0.0 and w_i > 0.0:
            length[kept] = value
            weight[kept] = w_i
            position[kept] = i
            kept += 1
            longest = max(longest, value)
            lightest = min(lightest, w_i)
            heaviest = max(heaviest, w_i)
    if kept > 0:
        kept = shrink(length, weight, position, kept, radius,
                      is_plain(longest, lightest, heaviest, radius), &tau)
    # From the back, so that `kept` always points at the next surviving entry.
    for i in range(n - 1, -1, -1):
        entry = (<const floating*>(<const char*>x + i * x_stride))[0]
        place = <floating*>(<char*>out + i * out_stride)
        if kept > 0 and position[kept - 1] == i:
            kept -= 1
            value = length[kept]
            entry = <floating>(value if entry > 0 else -value)
        elif (<const double*>(<const char*>w + i * w_stride))[0] > 0.0:
            entry = 0
        place[0] = entry
    return tau


def project_weighted_l1(
    const floating[:, :] X,  # IN, (n_groups, group_size), any strides
    const double[:, :] W,    # IN, weights of the same shape, not negative
    double radius,
    floating[:, :] out,      # OUT, (n_groups, group_size); may be X itself
    double[::1] thresholds,  # OUT, (n_groups,)
    int n_threads,
):
    """Project each group onto the weighted l1 ball."""
    cdef:
        Py_ssize_t n_groups = X.shape[0], size = X.shape[1], j, used
        const floating* x = &X[0, 0]
        const double* w = &W[0, 0]
        floating* y = &out[0, 0]
        double* lengths
        double* weights
        Py_ssize_t* positions

    n_threads = <int>min(<Py_ssize_t>n_threads, n_groups)
    lengths = <double*>malloc(n_threads * size * sizeof(double))
    weights = <double*>malloc(n_threads * size * sizeof(double))
    positions = <Py_ssize_t*>malloc(n_threads * size * sizeof(Py_ssize_t))
    if lengths == NULL or weights == NULL or positions == NULL:
        free(lengths)
        free(weights)
        free(positions)
        raise MemoryError("No memory for the workspace of the weighted l1 projection.")
    for j in prange(n_groups, nogil=True, num_threads=n_threads, schedule="static"):
        used = threadid() * size
        thresholds[j] = project_group(
            <const floating*>(<const char*>x + j * X.strides[0]), X.strides[1],
            <const double*>(<const char*>w + j * W.strides[0]), W.strides[1],
            <floating*>(<char*>y + j * out.strides[0]), out.strides[1],
            size, radius, lengths + used, weights + used, positions + used)
    free(lengths)
    free(weights)
    free(positions)
