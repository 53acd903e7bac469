"""Lasso paths of a quadratic loss on many halves of the samples: what they select.

Columns and targets are centred and scaled on each half, to a length of one. A penalty
is then a correlation. With several targets, the penalty is on the norm of the
coefficients of a column (group lasso). Coordinate descent goes over the columns that
the strong rule lets through; the gradient of all columns says after that whether it has
missed one.
"""

from libc.math cimport fabs, sqrt
from libc.stdlib cimport free, malloc
from libc.string cimport memset
from scipy.linalg.cython_blas cimport daxpy, ddot, dgemm, dgemv

import numpy as np

cdef:
    # Columns with less than this share of their square after centring are constant.
    double MIN_SHARE = 1e-12
    # Coordinate descent ends when no coefficient moves by more than this share of the
    # penalty; a column is missed when its gradient is larger by more than that.
    double TOL = 1e-2
    int MAX_SWEEPS = 200
    int ONE = 1


cdef struct Half:
    # A row of the columns' and the residuals' arrays is one column, of m samples.
    Py_ssize_t m, n_columns, n_targets
    double* weights     # of the samples, which add up to one
    double* roots       # of the weights
    double* columns
    double* residuals
    double* coef        # (n_columns, n_targets)
    double* gradient    # (n_columns, n_targets)
    Py_ssize_t* list    # columns to go over
    char* listed        # whether they are in the list


cdef double standardize(
    Half* half, const double* x, const Py_ssize_t* rows, double* out, bint scaled
) noexcept nogil:
    """Take samples of a column, centre it, and scale it to a length of one.

    A constant column becomes zero. Returns the square of the length before.
    """
    cdef:
        int m = <int>half.m
        Py_ssize_t i
        double mean, square, scale
    for i in range(m):
        out[i] = x[rows[i]]
    mean = ddot(&m, half.weights, &ONE, out, &ONE)
    for i in range(m):
        out[i] = half.roots[i] * (out[i] - mean)
    square = ddot(&m, out, &ONE, out, &ONE)
    # The squares of the roots add up to one.
    if square <= MIN_SHARE * (square + mean * mean):
        square = 0.0
    scale = sqrt(square) if scaled else 1.0
    for i in range(m):
        out[i] = out[i] / scale if square > 0.0 else 0.0
    return square


cdef double descend(Half* half, Py_ssize_t j, double penalty) noexcept nogil:
    """Minimise over the coefficients of a column; return how far they move."""
    cdef:
        int m = <int>half.m
        Py_ssize_t k
        double* column = half.columns + j * half.m
        double* coef = half.coef + j * half.n_targets
        double* goal = half.gradient + j * half.n_targets
        double step, shrink, norm = 0.0, moved = 0.0
    for k in range(half.n_targets):
        goal[k] = coef[k] + ddot(&m, column, &ONE, half.residuals + k * m, &ONE)
        norm += goal[k] * goal[k]
    norm = sqrt(norm)
    shrink = 1.0 - penalty / norm if norm > penalty else 0.0
    for k in range(half.n_targets):
        step = coef[k] - shrink * goal[k]
        if step != 0.0:
            coef[k] -= step
            daxpy(&m, &step, column, &ONE, half.residuals + k * m, &ONE)
            moved = max(moved, fabs(step))
    return moved


cdef bint is_selected(Half* half, Py_ssize_t j) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(half.n_targets):
        if half.coef[j * half.n_targets + k] != 0.0:
            return True
    return False


cdef void solve(Half* half, Py_ssize_t n_listed, double penalty) noexcept nogil:
    """Go over the listed columns, and more often over those that are selected."""
    cdef:
        Py_ssize_t i, j
        double moved = 1.0
        bint over_all = True
        int _
    for _ in range(MAX_SWEEPS):
        moved = 0.0
        for i in range(n_listed):
            j = half.list[i]
            if over_all or is_selected(half, j):
                moved = max(moved, descend(half, j, penalty))
        if moved <= TOL * penalty:
            if over_all:
                return
            over_all = True
        else:
            over_all = False


cdef Py_ssize_t extend_list(
    Half* half, Py_ssize_t n_listed, double least
) noexcept nogil:
    """List the columns whose gradient has at least this norm."""
    cdef:
        Py_ssize_t j, k
        double square
    for j in range(half.n_columns):
        square = 0.0
        for k in range(half.n_targets):
            square += half.gradient[j * half.n_targets + k] ** 2
        if not half.listed[j] and (square > 0.0 and square >= least * least):
            half.list[n_listed] = j
            half.listed[j] = True
            n_listed += 1
    return n_listed


cdef void find_gradient(Half* half) noexcept nogil:
    cdef:
        int m = <int>half.m, p = <int>half.n_columns, n_targets = <int>half.n_targets
        double one = 1.0, zero = 0.0
    if n_targets == 1:
        dgemv("T", &m, &p, &one, half.columns, &m, half.residuals, &ONE, &zero,
              half.gradient, &ONE)
    else:
        dgemm("T", "N", &n_targets, &p, &m, &one, half.residuals, &m, half.columns,
              &m, &zero, half.gradient, &n_targets)


cdef void follow_path(
    Half* half, const double[::1] penalties, Py_ssize_t max_selected,
    int[:, ::1] counts
) noexcept nogil:
    """Add one to the count of each column for each penalty where it is selected.

    After the first penalty with more than `max_selected` columns nothing changes.
    """
    cdef:
        Py_ssize_t i, j, k, kept, n_listed = 0, n_more
        double penalty, last = penalties[0]
    find_gradient(half)
    for k in range(penalties.shape[0]):
        penalty = penalties[k]
        if n_listed <= max_selected:
            n_listed = extend_list(half, n_listed, max(2.0 * penalty - last, 0.0))
            while n_listed > 0:
                solve(half, n_listed, penalty)
                find_gradient(half)
                n_more = extend_list(half, n_listed, (1.0 + TOL) * penalty)
                if n_more == n_listed:
                    break
                n_listed = n_more
        last, kept = penalty, 0
        for i in range(n_listed):
            j = half.list[i]
            half.listed[j] = is_selected(half, j)
            if half.listed[j]:
                counts[k, j] += 1
                half.list[kept] = j
                kept += 1
        n_listed = kept


def count_selections(
    const double[::1, :] X,             # IN, (n_samples, n_columns)
    const double[::1, :] targets,       # IN, (n_samples, n_targets)
    const double[::1] weights,          # IN, (n_samples,), positive
    const Py_ssize_t[:, ::1] halves,    # IN, (n_halves, n_rows)
    const double[::1] penalties,        # IN, (n_penalties,), decreasing
    Py_ssize_t max_selected,
):
    """Return how many halves select each column, (n_penalties, n_columns)."""
    cdef:
        Py_ssize_t m = halves.shape[1], p = X.shape[1], n_targets = targets.shape[1]
        Py_ssize_t i, j
        double total
        Half half
        int[:, ::1] counts = np.zeros((penalties.shape[0], p), dtype=np.intc)
    half.m, half.n_columns, half.n_targets = m, p, n_targets
    half.columns = <double*>malloc(
        ((p + n_targets + 2) * m + 2 * p * n_targets) * sizeof(double))
    half.list = <Py_ssize_t*>malloc(p * (sizeof(Py_ssize_t) + 1))
    if half.columns == NULL or half.list == NULL:
        free(half.columns)
        free(half.list)
        raise MemoryError("No memory for half of the samples.")
    half.residuals = half.columns + p * m
    half.coef = half.residuals + n_targets * m
    half.gradient = half.coef + p * n_targets
    half.weights = half.gradient + p * n_targets
    half.roots = half.weights + m
    half.listed = <char*>(half.list + p)
    with nogil:
        for i in range(halves.shape[0]):
            total = 0.0
            for j in range(m):
                total += weights[halves[i, j]]
            for j in range(m):  # weights are positive
                half.weights[j] = weights[halves[i, j]] / total
                half.roots[j] = sqrt(half.weights[j])
            for j in range(p):
                standardize(&half, &X[0, j], &halves[i, 0], half.columns + j * m, True)
            total = 0.0
            for j in range(n_targets):
                total += standardize(&half, &targets[0, j], &halves[i, 0],
                                     half.residuals + j * m, False)
            for j in range(n_targets * m if total > 0.0 else 0):
                half.residuals[j] /= sqrt(total)
            memset(half.coef, 0, p * n_targets * sizeof(double))
            memset(half.listed, 0, p)
            follow_path(&half, penalties, max_selected, counts)
    free(half.columns)
    free(half.list)
    return counts.base
