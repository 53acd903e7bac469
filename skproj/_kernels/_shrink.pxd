# The textbook projection of a vector onto a weighted l1 ball, for numbers of any range.
#
# ``x_i = sign(y_i) * max(|y_i| - tau * w_i, 0)`` with ``sum(w * abs(x)) == radius``. The
# left side is convex and decreasing in tau, so Newton's method from the left of the root
# rises monotonically to it and never needs an entry again that has become zero.
#
# What is carried is not tau but the lengths ``|y_i| - tau * w_i`` themselves, from which
# each step is subtracted. The sum that is compared with the radius is then that of the
# result, and nothing cancels when the radius is tiny.

from cython cimport floating
from libc.float cimport DBL_EPSILON
from libc.math cimport frexp, ldexp

from ._simd cimport rest

cdef enum:
    # Entries that are summed plainly; the sums of such blocks are added with care.
    BLOCK = 128
    # More Newton steps than it takes to shrink a float to nothing without losing an
    # entry.
    MORE_STEPS = 64


cdef inline double product(double a, double b, int exponent) noexcept nogil:
    """Compute ``a * b * 2 ** exponent`` so that no factor of it can overflow."""
    cdef int exponent_a = 0, exponent_b = 0
    a = frexp(a, &exponent_a)
    b = frexp(b, &exponent_b)
    return ldexp(a * b, exponent_a + exponent_b + exponent)


cdef inline int largest_exponent(
    const double* a, const double* b, Py_ssize_t n
) noexcept nogil:
    """Exponent of the largest ``a * b``, or one more."""
    cdef:
        Py_ssize_t i
        int exponent_a = 0, exponent_b = 0, largest = -(1 << 30)
    for i in range(n):
        frexp(a[i], &exponent_a)
        frexp(b[i], &exponent_b)
        largest = max(largest, exponent_a + exponent_b)
    return largest


cdef inline double scaled_sum(
    const double* a, const double* b, Py_ssize_t n, int exponent
) noexcept nogil:
    """Sum of the products, to a few roundings whatever n (Kahan over blocks)."""
    cdef:
        Py_ssize_t i, j
        double block, total = 0.0, missing = 0.0, before
    for j in range((n + BLOCK - 1) // BLOCK):
        block = missing
        for i in range(j * BLOCK, min((j + 1) * BLOCK, n)):
            block += product(a[i], b[i], exponent)
        before = total
        total = before + block
        missing = block - (total - before)
    return total


cdef inline Py_ssize_t shrink(
    double* length,         # abs(y), all positive; becomes that of the result
    double* weight,         # all positive
    Py_ssize_t* position,   # moved along with the other two
    Py_ssize_t n, double radius, double* tau
) noexcept nogil:
    """Subtract tau times the weights; return the number of lengths that are left."""
    cdef:
        Py_ssize_t i, kept, _step
        int products, squares
        double surplus, scaled_radius, step, left
    tau[0] = 0.0
    if radius == 0.0:
        for i in range(n):
            tau[0] = max(tau[0], length[i] / weight[i])  # weights are positive
        return 0
    # Each step drops an entry or takes nearly all of the surplus.
    for _step in range(n + MORE_STEPS):
        if n == 0:
            break
        products = largest_exponent(length, weight, n)
        squares = largest_exponent(weight, weight, n)
        scaled_radius = ldexp(radius, -products)
        surplus = scaled_sum(length, weight, n, -products) - scaled_radius
        if surplus <= 2 * DBL_EPSILON * scaled_radius:
            break
        # Not zero: the largest of the squares is scaled to about 1.
        step = surplus / scaled_sum(weight, weight, n, -squares)
        if surplus > scaled_radius:
            # Rounding must not carry a step past a root that is far below: less than
            # the radius would be left, and nothing to tell which entries it was.
            step *= 1.0 - 8 * DBL_EPSILON
        kept = 0
        for i in range(n):
            left = length[i] - product(step, weight[i], products - squares)
            if left > 0.0:
                length[kept] = left
                weight[kept] = weight[i]
                position[kept] = position[i]
                kept += 1
        n = kept
        tau[0] += ldexp(step, products - squares)
    return n


cdef inline double project_any(
    const floating* x, Py_ssize_t x_stride, const double* w, Py_ssize_t w_stride,
    floating* out, Py_ssize_t out_stride, Py_ssize_t n, double radius,
    double level, double scale,
    double* length, double* weight, Py_ssize_t* position
) noexcept nogil:
    """Project one vector, with strides in entries; return its threshold.

    Newton's method starts at ``level``, which is left of the root and a number as for
    `rest`, and sees entries that are ``scale``, a power of two, times larger.
    """
    cdef:
        Py_ssize_t i, kept = 0
        double value, tau
    for i in range(n):
        value = scale * rest(x[i * x_stride], w[i * w_stride], level)
        if value > 0.0 and w[i * w_stride] > 0.0:
            length[kept] = value
            weight[kept] = w[i * w_stride]
            position[kept] = i
            kept += 1
    kept = shrink(length, weight, position, kept, radius * scale, &tau)
    # From the back, so that `kept` always points at the next surviving entry.
    for i in range(n - 1, -1, -1):
        if kept > 0 and position[kept - 1] == i:
            kept -= 1
            value = length[kept] / scale  # not zero
            out[i * out_stride] = <floating>(value if x[i * x_stride] > 0 else -value)
        else:
            out[i * out_stride] = (0 if w[i * w_stride] > 0.0
                                   else x[i * x_stride])
    return level + tau / scale
