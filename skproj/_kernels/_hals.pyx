"""Coordinate descent for many small nonnegative least squares problems at once.

For every row f of a factor, with one Gram matrix G and a row c of its own: minimise
``f'Gf / 2 - c'f`` over ``f >= 0``, one coordinate after the other. Done for all rows
these are the sweeps of HALS (hierarchical alternating least squares).

The gradient ``Gf - c`` is carried along: a coordinate that moves adds a row of G to it,
and one that stays, as most of those at zero do, costs nothing. Rows never meet, so the
result for one does not depend on the others.
"""

from libc.float cimport DBL_MIN
from libc.math cimport sqrt
from libc.stdlib cimport calloc, free, malloc


cdef inline void add_multiple(
    double* total, double factor, const double* row, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(n):
        total[k] += factor * row[k]


cdef double sweep(
    const double* gram, const double* inverse_curvature, double* f, double* gradient,
    Py_ssize_t n
) noexcept nogil:
    """Minimise over each coordinate in turn; return the sum of the squared moves."""
    cdef:
        Py_ssize_t k
        double step, moved = 0.0

    for k in range(n):
        step = max(f[k] - gradient[k] * inverse_curvature[k], 0.0) - f[k]
        if step != 0.0:
            f[k] += step
            add_multiple(gradient, step, gram + k * n, n)
            moved += step * step
    return moved


def descend_coordinates(
    const double[:, ::1] gram,   # IN, (n_components, n_components)
    const double[:, ::1] cross,  # IN, (n_rows, n_components), the rows c
    double[:, ::1] factor,       # IN and OUT, (n_rows, n_components), the rows f
    double delta,
    Py_ssize_t max_sweeps,
):
    """Sweep over each row until it moves at most `delta` times as far as at first."""
    cdef:
        Py_ssize_t n_rows = factor.shape[0], n = factor.shape[1], i, k, _sweep
        double first, moved
        const double* g = &gram[0, 0]
        double* f
        double* gradient = <double*>malloc(2 * n * sizeof(double))
        double* inverse_curvature = gradient + n

    if gradient == NULL:
        raise MemoryError("No memory for the gradient of a row.")
    with nogil:
        for k in range(n):
            # The coefficients of a component that is zero change nothing: they stay.
            inverse_curvature[k] = 1.0 / gram[k, k] if gram[k, k] >= DBL_MIN else 0.0
        for i in range(n_rows):
            f = &factor[i, 0]
            for k in range(n):
                gradient[k] = -cross[i, k]
            for k in range(n):
                if f[k] != 0.0:
                    add_multiple(gradient, f[k], g + k * n, n)
            first = sweep(g, inverse_curvature, f, gradient, n)
            for _sweep in range(1, max_sweeps):
                moved = sweep(g, inverse_curvature, f, gradient, n)
                if moved <= delta * delta * first:
                    break
    free(gradient)


cdef void add_squares(const double[:, ::1] factor, double* sums) noexcept nogil:
    cdef Py_ssize_t i, k
    for i in range(factor.shape[0]):
        for k in range(factor.shape[1]):
            sums[k] += factor[i, k] * factor[i, k]


cdef void scale_columns(double[:, ::1] factor, const double* ratios) noexcept nogil:
    cdef Py_ssize_t i, k
    for i in range(factor.shape[0]):
        for k in range(factor.shape[1]):
            factor[i, k] *= ratios[k]


def balance_columns(
    double[:, ::1] W,  # IN and OUT, (n_samples, n_components)
    double[:, ::1] H,  # IN and OUT, (n_features, n_components)
):
    """Make the norms of each column of both factors equal, without changing W @ H.T.

    Where one is zero the other becomes zero. Returns whether there is such a column.
    """
    cdef:
        Py_ssize_t n = W.shape[1], k
        double* of_W = <double*>calloc(2 * n, sizeof(double))
        double* of_H = of_W + n
        double ratio
        bint any_zero = False

    if of_W == NULL:
        raise MemoryError("No memory for the norms of the columns.")
    with nogil:
        add_squares(W, of_W)
        add_squares(H, of_H)
        for k in range(n):
            if of_W[k] > 0.0 and of_H[k] > 0.0:
                ratio = sqrt(sqrt(of_H[k]) / sqrt(of_W[k]))
                of_W[k] = ratio
                of_H[k] = 1.0 / ratio
            else:
                of_W[k] = of_H[k] = 0.0
                any_zero = True
        scale_columns(W, of_W)
        scale_columns(H, of_H)
    free(of_W)
    return any_zero
