"""Losses of linear models: weighted means over samples, and their derivatives.

NumPy reads and writes an array of all logits for each operation. Here the samples are
taken in parts that stay in a cache, and the exponentials are vectorised. A loss does
not change after it is made: threads may share it.
"""

cimport cython
from libc.math cimport INFINITY, NAN, exp, fabs, fmax, log
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset
from scipy.linalg.cython_blas cimport dasum, daxpy, ddot, dsyrk
from scipy.linalg.cython_lapack cimport dposv

import numpy as np


cdef extern from "_losses.h" nogil:
    enum:
        SKPROJ_SAMPLES
    Kernel logistic_loss "skproj_logistic_loss"
    Kernel huber_loss "skproj_huber_loss"
    Kernel poisson_loss "skproj_poisson_loss"
    double softmax_loss "skproj_softmax_loss" (
        In x, In intercept, In targets, In weights, Py_ssize_t n_classes, Py_ssize_t n,
        double* residuals, double* work) noexcept
    double softmax_shift "skproj_softmax_shift" (
        In shift, In targets, In weights, Py_ssize_t n_classes, Py_ssize_t n,
        double* residuals) noexcept
    void softmax_curvature "skproj_softmax_curvature" (
        In column, In residuals, In targets, In weights, Py_ssize_t n_classes,
        Py_ssize_t n, double* out, double* work) noexcept
    void add_change "skproj_change" (
        In x, In y, In factors, In weights, Py_ssize_t n, double* products,
        double* squares) noexcept
    void find_roots "skproj_roots" (
        In residuals, In targets, In other, In other_targets, In weights, int shares,
        double epsilon, Py_ssize_t n, double* roots) noexcept


# The intercept counts as optimal when the residuals cancel to this relative accuracy.
cdef double INTERCEPT_TOL = 1e-10
cdef int INTERCEPT_MAX_ITER = 50
# Several columns take longer where most errors are on the linear parts of the loss.
cdef int BASIS_MAX_ITER = 200
# A step that promises less than this share of the loss is lost in its rounding.
cdef double MIN_RELATIVE_DECREASE = 1e-10
# Added to the Hessian, if need be 100 times as much: all samples may be saturated.
cdef double NEWTON_RIDGE = 1e-12
# The mean of counts that are all zero; its logarithm has to be finite.
cdef double MIN_MEAN = 1e-12
# Entries of columns that are multiplied with each other in one go.
cdef Py_ssize_t TILE = 32768
cdef int ONE = 1


cdef Py_ssize_t tile_of(Py_ssize_t m, Py_ssize_t n) noexcept nogil:
    """Return how many rows of m columns are multiplied in one go, at least one."""
    return min(max(TILE // max(m, 1), 64), n)


cdef double dot(In x, In y, Py_ssize_t n) noexcept nogil:
    cdef int size = <int>n
    return ddot(&size, <double*>x, &ONE, <double*>y, &ONE)


cdef void add_multiple(double* total, double factor, In x, Py_ssize_t n) noexcept nogil:
    cdef int size = <int>n
    daxpy(&size, &factor, <double*>x, &ONE, total, &ONE)


cdef void add_gram(
    In rows, Py_ssize_t stride, Py_ssize_t n_rows, Py_ssize_t m, double factor,
    double kept, double* gram
) noexcept nogil:
    """Multiply the upper triangle by `kept`, and add the products of the columns."""
    cdef int size = <int>m, length = <int>n_rows, lda = <int>stride
    if m == 1:  # which takes dsyrk longer
        gram[0] = factor * dot(rows, rows, n_rows) + (kept * gram[0] if kept else 0.0)
        return
    dsyrk("L", "T", &size, &length, &factor, <double*>rows, &lda, &kept, gram, &size)


cdef void copy_triangle(
    In gram, Py_ssize_t m, Py_ssize_t n_outputs, Py_ssize_t k, Py_ssize_t other,
    double sign, double* out
) noexcept nogil:
    """Write an upper triangle to all that the Hessian has of two outputs."""
    cdef:
        Py_ssize_t i, j, stride = m * n_outputs
        double entry
    for i in range(m):
        for j in range(m):
            entry = sign * gram[min(i, j) * m + max(i, j)]
            out[(i * n_outputs + k) * stride + j * n_outputs + other] = entry
            out[(i * n_outputs + other) * stride + j * n_outputs + k] = entry


cdef int solve(
    In hessian, In gradient, Py_ssize_t n, double* work, double* step
) noexcept nogil:
    """Divide by a matrix that is positive semidefinite but for rounding."""
    cdef:
        int size = <int>n, failed = 1, _
        Py_ssize_t i
        double largest = 1.0, ridge
    for i in range(n):
        largest = fmax(largest, hessian[i * (n + 1)])
    ridge = NEWTON_RIDGE * largest
    for _ in range(7):
        memcpy(work, hessian, n * n * sizeof(double))
        memcpy(step, gradient, n * sizeof(double))
        for i in range(n):
            work[i * (n + 1)] += ridge
        dposv("L", &size, &ONE, work, &size, step, &size, &failed)
        if not failed:
            break
        ridge *= 100.0
    return failed


def rows_of(array):
    """Return an array with a contiguous row for each output."""
    return np.ascontiguousarray(np.asarray(array, dtype=np.float64).T)


def flat(array):
    """Return a copy of the numbers of an array."""
    return np.array(array, dtype=np.float64).ravel()


@cython.auto_pickle(False)
cdef class Loss:
    """Weighted mean over the samples of a convex, non-negative loss of the logits.

    The logits are `products`, of shape (n_samples, n_outputs), what the intercept adds
    to them, and the `offset` of each sample. The targets have the shape of the logits.
    The weights are positive and add up to 1. Without `fit_intercept`, `best_intercept`
    keeps the intercept that it is given. Arrays of shape (n_samples, n_outputs) are in
    Fortran order, in which nothing is copied.

    The intercept has the shape (n_outputs,), or, if it is made of the columns of a
    `basis` of shape (n_samples, n_free), the shape (n_free, n_outputs).
    """

    # Share of the slope at zero where a path of radii ends.
    min_slope_share = 0.004

    def __init__(self, targets, weights, fit_intercept=True, offset=None, **options):
        self.targets, self.weights = rows_of(targets), flat(weights)
        self.offset = None if offset is None else flat(offset)
        self.n_outputs, self.n_samples = self.targets.shape[0], self.targets.shape[1]
        self.n_free, self.has_intercept, self.constant = 1, fit_intercept, 0
        self.columns = np.ones((1, self.n_samples))
        self.arguments = (targets, weights, fit_intercept, offset)
        self.options = options
        self.prepare(targets, **options)

    def prepare(self, targets):
        """Set what a loss has of its own."""

    def with_basis(self, basis):
        """Return the same loss with an intercept made of orthonormal columns.

        They are orthonormal for the weights, and one of them is constant if there is
        an intercept.
        """
        cdef Loss loss = type(self)(*self.arguments, **self.options)
        constant = np.flatnonzero(np.ptp(basis, axis=0) == 0.0)
        loss.constant = constant[0] if len(constant) else -1
        loss.basis, loss.columns = basis, rows_of(basis)
        loss.n_free, loss.has_intercept = basis.shape[1], basis.shape[1] > 0
        return loss

    def zero_intercept(self):
        """Return the intercept without effect."""
        shape = (self.n_free, self.n_outputs)
        return np.zeros(shape[1] if self.basis is None else shape)

    def value_and_residuals(self, products, intercept=None):
        """Return the mean loss and its derivative with respect to the logits."""
        return self._evaluate(products, intercept, False)[1:]

    def best_intercept(self, products, intercept):
        """Minimise over the intercept; `intercept` is where to start.

        Returns the intercept, the mean loss, and the derivative of the loss with
        respect to the logits, whose columns add up to zero if there is an intercept,
        and are orthogonal to the `basis`.
        """
        return self._evaluate(products, intercept, True)

    def _evaluate(self, products, intercept, bint fit):
        if intercept is None:
            intercept = self.zero_intercept()
        cdef:
            const double[:, ::1] x = rows_of(products)
            double[:, ::1] residuals = np.empty((self.n_outputs, self.n_samples))
            double[::1] b = flat(intercept)
            double* own = &b[0] if len(b) else NULL
            double value
        with nogil:
            if fit:
                value = self.fit_intercept(&x[0, 0], own, &residuals[0, 0])
            else:
                value = self.evaluate(&x[0, 0], own, &residuals[0, 0])
        return b.base.reshape(np.shape(intercept)), value, residuals.base.T

    def linear_term_and_bound(self, residuals, products, new_products, intercept=None):
        """Return the first-order term of a change, and a bound of what it misses."""
        cdef:
            const double[:, ::1] x = rows_of(products), y = rows_of(new_products)
            const double[:, ::1] r = rows_of(residuals)
            double[::1] b = flat([] if intercept is None else intercept)
            double linear, bound
        linear = self.linear_term(
            &x[0, 0], &y[0, 0], &b[0] if len(b) else NULL, &r[0, 0], &bound)
        return linear, bound

    def second_derivative(self, columns, products, residuals, intercept=None):
        """Return the Hessian of coefficients of columns, as `hessian` arranges it."""
        cdef:
            const double[:, ::1] x = rows_of(products), r = rows_of(residuals)
            const double[:, ::1] z = rows_of(columns)
            double[::1] b = flat([] if intercept is None else intercept)
            Py_ssize_t m = z.shape[0]
            Py_ssize_t[::1] places = <Py_ssize_t>&z[0, 0] + np.arange(m) * z.strides[0]
            double[:, ::1] out = np.empty((m * self.n_outputs,) * 2)
        if self.hessian(<const double* const*>&places[0], m, &x[0, 0],
                        &b[0] if len(b) else NULL, &r[0, 0], &out[0, 0]):
            raise MemoryError("No memory for a Hessian.")
        return out.base

    cdef double evaluate(self, In products, In intercept, double* residuals
                         ) noexcept nogil:
        cdef:
            double* logits = residuals
            double value
        if self.offset is None and (self.basis is None or intercept == NULL):
            return self.at(products, intercept, residuals)
        if residuals == NULL:
            logits = <double*>malloc(self.n_samples * self.n_outputs * sizeof(double))
            if logits == NULL:
                return NAN
        self.add_offsets(products, intercept, logits)
        value = self.at(logits, NULL, residuals)
        if residuals == NULL:
            free(logits)
        return value

    cdef void add_offsets(self, In products, In intercept, double* logits
                          ) noexcept nogil:
        cdef Py_ssize_t i, k, n = self.n_samples, n_outputs = self.n_outputs
        if logits != products:
            memcpy(logits, products, n * n_outputs * sizeof(double))
        for k in range(n_outputs):
            if self.offset is not None:
                add_multiple(logits + k * n, 1.0, &self.offset[0], n)
            for i in range(self.n_free if intercept != NULL else 0):
                add_multiple(logits + k * n, intercept[i * n_outputs + k],
                             &self.columns[i, 0], n)

    cdef double at(self, In products, In intercept, double* residuals) noexcept nogil:
        cdef:
            Py_ssize_t k, n = self.n_samples
            double value = -self.least
        for k in range(self.n_outputs):
            value += self.kernel(
                products + k * n, intercept[k] if intercept != NULL else 0.0,
                &self.targets[k, 0], &self.weights[0], self.epsilon, n,
                residuals + k * n if residuals != NULL else NULL)
        return 0.0 if value < 0.0 else value  # rounding; NaN stays NaN

    cdef double linear_term(self, In products, In new_products, In intercept,
                            In residuals, double* bound) noexcept nogil:
        cdef:
            Py_ssize_t k, n = self.n_samples
            double linear = 0.0, squares = 0.0
        for k in range(self.n_outputs):
            add_change(products + k * n, new_products + k * n, residuals + k * n,
                       &self.weights[0], n, &linear, &squares)
        bound[0] = 0.5 * self.curvature * squares
        return linear

    cdef int hessian(self, const double* const* columns, Py_ssize_t m, In products,
                     In intercept, In residuals, double* out) noexcept nogil:
        cdef:
            Py_ssize_t k, other, part, start, size, i, j, n = self.n_samples
            Py_ssize_t n_outputs = self.n_outputs, tile = tile_of(m, n)
            double* roots = <double*>malloc((n + m * (m + tile)) * sizeof(double))
            double* gram = roots + n
            double* rows = gram + m * m
        memset(out, 0, m * m * n_outputs * n_outputs * sizeof(double))
        for k in range(n_outputs if roots != NULL else 0):
            for other in range(0 if self.shift > 0.0 else k, k + 1):
                find_roots(residuals + k * n, &self.targets[k, 0],
                           residuals + other * n, &self.targets[other, 0],
                           &self.weights[0], self.curvature < 1.0, self.epsilon, n,
                           roots)
                for part in range((n + tile - 1) // tile):
                    start = part * tile
                    size = min(tile, n - start)
                    for i in range(m):
                        for j in range(start, start + size):
                            rows[i * tile + j - start] = columns[i][j] * roots[j]
                    add_gram(rows, tile, size, m, 1.0, part > 0, gram)
                copy_triangle(gram, m, n_outputs, k, other,
                              1.0 if k == other else -1.0, out)
        free(roots)
        return roots == NULL

    cdef double move(self, In products, In intercept, In shift, double value,
                     double* residuals) noexcept nogil:
        return self.evaluate(products, intercept, residuals)

    cdef double intercept_gradient(self, In residuals, double* out) noexcept nogil:
        """Return the square of its length."""
        cdef Py_ssize_t i, k, n = self.n_samples, n_outputs = self.n_outputs
        for i in range(self.n_free):
            for k in range(n_outputs):
                out[i * n_outputs + k] = dot(&self.columns[i, 0], residuals + k * n, n)
        return dot(out, out, self.n_free * n_outputs)

    cdef double fit_intercept(self, In products, double* intercept, double* residuals
                              ) noexcept nogil:
        """Take damped Newton steps.

        They decrease the loss, or, where that is lost in rounding, its gradient.
        """
        cdef:
            Py_ssize_t n_free = self.n_free, n_outputs = self.n_outputs, i, k
            Py_ssize_t size = n_free * n_outputs
            double value = self.evaluate(products, intercept, residuals)
            double largest, allowed = INFINITY, squares, length, previous, decrease
            double* gradient
            double* step
            double* start
            double* shift
            double* hessian
            const double** columns
            int n_logits = <int>(self.n_samples * n_outputs), _
            bint moves
        if not self.has_intercept or not value < INFINITY:
            return value
        gradient = <double*>malloc((size * (4 + 2 * size) + n_free) * sizeof(double))
        if gradient == NULL:
            return NAN
        step, start, shift = gradient + size, gradient + 2 * size, gradient + 3 * size
        hessian = gradient + 4 * size
        columns = <const double**>(hessian + 2 * size * size)
        for i in range(n_free):
            columns[i] = &self.columns[i, 0]
        squares = self.intercept_gradient(residuals, gradient)
        for _ in range(INTERCEPT_MAX_ITER if self.basis is None else BASIS_MAX_ITER):
            largest = 0.0
            for i in range(size):
                largest = fmax(largest, fabs(gradient[i]))
            if not largest > allowed:  # of the residuals before
                allowed = INTERCEPT_TOL * dasum(&n_logits, residuals, &ONE)
            if not largest > allowed:
                break
            if self.hessian(columns, n_free, products, intercept, residuals, hessian):
                value = NAN
                break
            # Along a shift of all outputs nothing changes.
            for i in range(size if self.shift > 0.0 else 0):
                for k in range(n_outputs):
                    hessian[i * size + i // n_outputs * n_outputs + k] += self.shift
            if solve(hessian, gradient, size, hessian + size * size, step):
                break
            decrease = dot(gradient, step, size)
            previous, length = value, squares
            memcpy(start, intercept, size * sizeof(double))
            moves = True
            while moves:
                moves = False
                for i in range(size):
                    shift[i] = -intercept[i]
                    intercept[i] = start[i] - step[i]
                    shift[i] += intercept[i]
                    step[i] *= 0.5
                    moves |= intercept[i] != start[i]
                value = self.move(products, intercept, shift, value, residuals)
                squares = self.intercept_gradient(residuals, gradient)
                if decrease > MIN_RELATIVE_DECREASE * previous:
                    if not value > previous:
                        break
                elif not squares > length:
                    break
            if not moves:  # sums of small changes have lost the value in rounding
                value = self.evaluate(products, intercept, residuals)
                break
        free(gradient)
        return value


cdef class Huber(Loss):
    """Half the squared error, linear where the error exceeds `epsilon`."""

    def prepare(self, targets, epsilon=np.inf):
        self.kernel, self.curvature, self.epsilon = huber_loss, 1.0, epsilon


cdef class Logistic(Loss):
    """Logistic loss of one logit, or the sum over several; the targets are 0 or 1."""

    def prepare(self, targets):
        self.kernel, self.curvature = logistic_loss, 0.25


cdef class Softmax(Loss):
    """Softmax loss; one target of a sample is 1, the others are 0.

    A shift of all the logits of a sample changes nothing. The residuals of a sample
    add up to zero, and so do the steps of the intercept and the gradient's rows: what
    starts at zero keeps the sum zero until a projection changes it.
    """

    def prepare(self, targets):
        self.curvature, self.shift = 0.5, 1.0 / self.n_outputs

    cdef double at(self, In products, In intercept, double* residuals) noexcept nogil:
        cdef:
            Py_ssize_t n_bytes = self.n_outputs * SKPROJ_SAMPLES * sizeof(double)
            double* work = <double*>malloc(n_bytes)
            double value = NAN
        if work != NULL:
            value = softmax_loss(
                products, intercept, &self.targets[0, 0], &self.weights[0],
                self.n_outputs, self.n_samples, residuals, work)
        free(work)
        return value

    cdef int hessian(self, const double* const* columns, Py_ssize_t m, In products,
                     In intercept, In residuals, double* out) noexcept nogil:
        """Of one column, as of the intercept, take the pairs of outputs together."""
        cdef:
            Py_ssize_t n_outputs = self.n_outputs
            double* gram
        if m != 1:
            return Loss.hessian(self, columns, m, products, intercept, residuals, out)
        gram = <double*>malloc(
            (n_outputs + 1) * (n_outputs + SKPROJ_SAMPLES) * sizeof(double))
        if gram == NULL:
            return 1
        softmax_curvature(columns[0], residuals, &self.targets[0, 0], &self.weights[0],
                          n_outputs, self.n_samples, gram, gram + n_outputs * n_outputs)
        copy_triangle(gram, n_outputs, 1, 0, 0, 1.0, out)
        free(gram)
        return 0

    cdef double move(self, In products, In intercept, In shift, double value,
                     double* residuals) noexcept nogil:
        """Without exponentials, if the intercept is constant and the shift small."""
        cdef Py_ssize_t k
        for k in range(self.n_outputs):
            if self.basis is not None or not (fabs(shift[k]) <= 1.0
                                              and value < INFINITY):
                return Loss.move(self, products, intercept, shift, value, residuals)
        return fmax(value + softmax_shift(
            shift, &self.targets[0, 0], &self.weights[0], self.n_outputs,
            self.n_samples, residuals), 0.0)


cdef class Poisson(Loss):
    """Half the deviance of counts; the logits are the logarithms of their means."""

    def prepare(self, targets):
        self.kernel, self.curvature = poisson_loss, INFINITY
        y = np.asarray(self.targets)
        self.least = (y - y * np.log(np.where(y > 0.0, y, 1.0))).sum(0) @ self.weights

    cdef double fit_intercept(self, In products, double* intercept, double* residuals
                              ) noexcept nogil:
        # The constant is known for any other coefficients; without them, that is all.
        cdef:
            Py_ssize_t i, k, n = self.n_samples
            double largest, total, mean
            double* row
            double* constants
        if self.has_intercept and self.constant >= 0:
            constants = intercept + self.constant * self.n_outputs
            memset(constants, 0, self.n_outputs * sizeof(double))
            self.add_offsets(products, intercept, residuals)
            for k in range(self.n_outputs):
                row, largest, total = residuals + k * n, -INFINITY, 0.0
                for i in range(n):
                    largest = fmax(largest, row[i])
                for i in range(n):
                    total += self.weights[i] * exp(row[i] - largest)
                mean = fmax(dot(&self.targets[k, 0], &self.weights[0], n), MIN_MEAN)
                constants[k] = log(mean / total) - largest
                constants[k] /= self.columns[self.constant, 0]
        return Loss.fit_intercept(self, products, intercept, residuals)

    cdef double linear_term(self, In products, In new_products, In intercept,
                            In residuals, double* bound) noexcept nogil:
        cdef:
            Py_ssize_t i, n = self.n_samples, size = n * self.n_outputs
            double* logits = <double*>malloc(size * sizeof(double))
            double linear = Loss.linear_term(
                self, products, new_products, intercept, residuals, bound)
            double change
        if logits == NULL:
            return NAN
        for i in range(size):
            logits[i] = fmax(products[i], new_products[i])
        self.add_offsets(logits, intercept, logits)
        bound[0] = 0.0
        for i in range(size):
            change = new_products[i] - products[i]
            if change != 0.0:
                bound[0] += 0.5 * self.weights[i % n] * exp(logits[i]) * change * change
        free(logits)
        return linear
