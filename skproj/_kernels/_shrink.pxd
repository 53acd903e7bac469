# The textbook projection of a vector onto a weighted l1 ball, for numbers of any range.
#
# ``x_i = sign(y_i) * max(|y_i| - tau * w_i, 0)`` with ``sum(w * abs(x)) == radius``,
# whose left side is convex and decreasing in tau: Newton's method from the left of the
# root rises to it.
#
# What is carried is not tau but the lengths ``|y_i| - tau * w_i`` themselves, of which
# each step takes its part. The sum that is compared with the radius is then that of the
# result, and nothing cancels when the radius is tiny.

from cython cimport floating
from libc.float cimport DBL_EPSILON
from libc.math cimport NAN, frexp, ldexp
from libc.stdlib cimport free, malloc

from ._simd cimport rest


cdef inline double product(double a, double b, int exponent) noexcept nogil:
    """Compute ``a * b * 2 ** exponent`` so that no factor of it can overflow."""
    cdef int exponent_a = 0, exponent_b = 0
    a = frexp(a, &exponent_a)
    b = frexp(b, &exponent_b)
    return ldexp(a * b, exponent_a + exponent_b + exponent)


cdef inline double scaled_sum(
    const double* length, const double* w, Py_ssize_t stride, Py_ssize_t n,
    bint of_squares, int* exponent
) noexcept nogil:
    """Sum ``w * length``, or ``w * w`` of what is left, divided by ``2 ** exponent``.

    The largest of the terms becomes about 1. The sum is right to a few roundings
    whatever n (Kahan).
    """
    cdef:
        Py_ssize_t i
        int first = 0, second = 0
        double total = 0.0, missing = 0.0, term, before
    exponent[0] = -(1 << 20)  # less than all
    for i in range(n):
        if length[i] > 0.0:
            frexp(w[i * stride], &first)
            frexp(w[i * stride] if of_squares else length[i], &second)
            exponent[0] = max(exponent[0], first + second)
    for i in range(n):
        if length[i] > 0.0:
            term = missing + product(
                w[i * stride], w[i * stride] if of_squares else length[i], -exponent[0])
            before = total
            total = before + term
            missing = term - (total - before)
    return total


cdef inline double shrink(
    double* length,   # abs(y), becomes that of the result; 0 where the weight is 0
    const double* w, Py_ssize_t stride, Py_ssize_t n, double radius
) noexcept nogil:
    """Subtract tau times the weights, and return tau."""
    cdef:
        Py_ssize_t i, _step
        int products = 0, squares = 0
        double tau = 0.0, surplus, scaled_radius, step, rest_of_length
        bint is_stuck
    if radius == 0.0:
        for i in range(n):
            if length[i] > 0.0:
                tau = max(tau, length[i] / w[i * stride])  # a weight that is not 0
            length[i] = 0.0
        return tau
    # Each step drops an entry or takes nearly all of the surplus, of which less than a
    # float can tell is left after 64 of these.
    for _step in range(n + 64):
        surplus = scaled_sum(length, w, stride, n, False, &products)
        scaled_radius = ldexp(radius, -products)
        surplus -= scaled_radius
        if surplus <= 2 * DBL_EPSILON * scaled_radius:
            break
        # Not zero: the largest of the squares is scaled to about 1.
        step = surplus / scaled_sum(length, w, stride, n, True, &squares)
        if surplus > scaled_radius:
            # Rounding must not carry a step past a root that is far below: less than
            # the radius would be left, and nothing to tell which entries it was.
            step *= 1.0 - 8 * DBL_EPSILON
        is_stuck = True
        for i in range(n):
            if length[i] > 0.0:
                rest_of_length = length[i] - product(step, w[i * stride],
                                                     products - squares)
                is_stuck = is_stuck and rest_of_length == length[i]
                length[i] = rest_of_length
        tau += ldexp(step, products - squares)
        if is_stuck:  # what is left of the surplus is less than the smallest number
            break
    return tau


cdef inline double project_any(
    const floating* x, Py_ssize_t x_stride, const double* w, Py_ssize_t w_stride,
    floating* out, Py_ssize_t out_stride, Py_ssize_t n, double radius, double level
) noexcept nogil:
    """Project one vector, with strides in entries.

    Newton's method starts at ``level``, which is left of the root and a number as for
    `rest`. Returns the threshold, or NaN if there is no memory.
    """
    cdef:
        Py_ssize_t i
        double largest = 0.0, scale = 1.0, tau
        double* length = <double*>malloc(n * sizeof(double))
    if length == NULL:
        return NAN
    for i in range(n):
        length[i] = (rest(x[i * x_stride], w[i * w_stride], level)
                     if w[i * w_stride] > 0.0 else 0.0)
        largest = max(largest, length[i])
    if largest < 1e-280:  # subnormal numbers have few digits
        scale = 2.0**700
    for i in range(n):
        length[i] *= scale
    tau = shrink(length, w, w_stride, n, radius * scale)
    for i in range(n):
        if w[i * w_stride] > 0.0:
            length[i] = max(length[i], 0.0) / scale  # not zero
            out[i * out_stride] = <floating>(
                length[i] if x[i * x_stride] > 0 else 0.0 - length[i])
        else:
            out[i * out_stride] = x[i * x_stride]
    free(length)
    return level + tau / scale
