"""Losses of linear models: weighted means over samples, and their derivatives.

NumPy reads and writes an array of all logits for each operation. Here the samples are
taken in parts that stay in a cache, and the exponentials are vectorised. A loss does
not change after it is made: threads may share it.
"""

cimport cython
from libc.math cimport INFINITY, NAN, exp, fabs, fmax, log, sqrt
from libc.stdlib cimport calloc, free, malloc
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
    void add_change "skproj_change" (
        In x, In y, In factors, In weights, Py_ssize_t n, double* products,
        double* squares) noexcept
    void find_roots "skproj_roots" (
        In residuals, In targets, In other, In other_targets, In weights, int shares,
        double epsilon, Py_ssize_t n, double* roots) noexcept
    void exponentials "skproj_exponentials" (In x, Py_ssize_t n, double* out) noexcept


# Samples of the Cox model are in an order in which those at risk come first, stratum
# by stratum: those of one time are together, and its events, a tie, end at the last.
cdef enum:
    FIRST = 1
    EVENT = 2
    CLOSES = 4

cdef struct AtRisk:
    double mass, level   # weight times exp(logit - level)
    double share, tied   # of the mass of all samples up to here, and of the events
    double hazard, seen  # at the end of a tie: what it adds, also that for its events
    # With u the mean of columns at risk and v its difference from that of the events,
    # the means of a tie have the Gram matrix of root * (u + mix * v) and spread * v.
    double root, mix, spread


# The level of logits grows where exponentials would overflow.
cdef double LEVEL_RANGE = 500.0
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

    def offsets(self, intercept):
        """Return what the intercept adds to the logits."""
        return intercept if self.basis is None else self.basis @ intercept

    def value_and_residuals(self, products, intercept=None):
        """Return the mean loss and its derivative with respect to the logits."""
        return self._evaluate(products, intercept, False)[1:]

    def value(self, products, intercept=None):
        """Return the mean loss."""
        return self._evaluate(products, intercept, False)[1]

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

    def curvature_bound(self, change):
        """Bound what the first-order term of a change of the logits misses.

        Where the curvature has no bound, the change is one from products of zero.
        """
        return self.linear_term_and_bound(change, np.zeros_like(change), change)[1]

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
            double largest, squares, length, previous, decrease
            double* gradient
            double* step
            double* start
            double* hessian
            const double** columns
            int n_logits = <int>(self.n_samples * n_outputs), _
        if not self.has_intercept or not value < INFINITY:
            return value
        gradient = <double*>malloc((size * (3 + 2 * size) + n_free) * sizeof(double))
        if gradient == NULL:
            return NAN
        step, start, hessian = gradient + size, gradient + 2 * size, gradient + 3 * size
        columns = <const double**>(hessian + 2 * size * size)
        for i in range(n_free):
            columns[i] = &self.columns[i, 0]
        squares = self.intercept_gradient(residuals, gradient)
        for _ in range(INTERCEPT_MAX_ITER if self.basis is None else BASIS_MAX_ITER):
            largest = 0.0
            for i in range(size):
                largest = fmax(largest, fabs(gradient[i]))
            if not largest > INTERCEPT_TOL * dasum(&n_logits, residuals, &ONE):
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
            while True:
                for i in range(size):
                    intercept[i] = start[i] - step[i]
                    step[i] *= 0.5
                value = self.evaluate(products, intercept, residuals)
                squares = self.intercept_gradient(residuals, gradient)
                if decrease > MIN_RELATIVE_DECREASE * previous:
                    if not value > previous:
                        break
                elif not squares > length:
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


cdef class Cox(Loss):
    """Half the deviance of the Cox model; the targets are events and times.

    They are a structured array with the fields `event` and `time`, as `read_target`
    returns it, with at least one event. `ties` is "breslow" or "efron". The partial
    likelihoods of the `strata` add up. The sum over the events is divided by the weight
    of all samples. A shift of all the logits changes nothing: there is no intercept to
    fit, only the columns of a `basis`.
    """

    # Only events count, and the order of few events is soon fitted without an error.
    min_slope_share = 0.05

    cdef:
        const Py_ssize_t[::1] order
        const double[::1] ordered_weights, log_weights
        const unsigned char[::1] flags
        bint efron

    def __init__(self, targets, weights, ties="breslow", offset=None, strata=None):
        event, time = targets["event"], targets["time"]
        codes = np.zeros(len(time), dtype=np.intp)
        if strata is not None:
            codes = np.unique(strata, return_inverse=True)[1]
        order = np.lexsort((-time, codes))
        event, time, codes = event[order], time[order], codes[order]
        first = np.diff(codes, prepend=-1) != 0
        last_of_time = np.append(first[1:] | (np.diff(time) != 0.0), True)
        closes = np.zeros(len(time), dtype=bool)
        closes[last_of_time] = np.diff(event.cumsum()[last_of_time], prepend=0) > 0
        flags = FIRST * first + EVENT * event + CLOSES * closes
        Loss.__init__(self, targets["event"][:, np.newaxis], weights, False, offset)
        self.arguments = (targets, weights, ties, offset, strata)
        self.order, self.efron, self.curvature = order, ties == "efron", INFINITY
        self.flags, self.ordered_weights = flags.astype(np.uint8), flat(weights)[order]
        self.log_weights = np.log(self.ordered_weights)

    cdef AtRisk* at_risk(self, const double* logits, double* value) noexcept nogil:
        """Return what the derivatives need of the samples, and the value."""
        cdef:
            Py_ssize_t n = self.n_samples, i, k, n_tied = 0
            AtRisk* samples = <AtRisk*>malloc(n * (sizeof(AtRisk) + sizeof(double)))
            AtRisk* sample = samples
            double* masses = <double*>(samples + n)
            double level = 0.0, total = 0.0, tied = 0.0, weight = 0.0, events = 0.0
            double logit, rise, mean, place, left, mix, mixes, squares
        value[0] = 0.0 if samples != NULL else NAN
        for i in range(n if samples != NULL else 0):
            logit = logits[self.order[i]] + self.log_weights[i]
            if self.flags[i] & FIRST or logit > level + LEVEL_RANGE:
                level = logit
            samples[i].level, masses[i] = level, logit - level
        exponentials(masses, n if samples != NULL else 0, masses)
        for i in range(n if samples != NULL else 0):
            sample = samples + i
            if self.flags[i] & FIRST:
                total = 0.0
            elif sample.level != samples[i - 1].level:
                rise = sample.level - samples[i - 1].level
                total *= exp(-rise)
                tied *= exp(-rise)
                events -= weight * rise
            total += masses[i]  # at least 1, when there was a level
            sample.mass, sample.share = masses[i], masses[i] / total
            sample.tied = sample.root = 0.0
            if self.flags[i] & EVENT:
                tied += masses[i]
                sample.tied = masses[i] / tied
                weight += self.ordered_weights[i]
                events += self.ordered_weights[i] * (
                    logits[self.order[i]] - sample.level
                )
                n_tied += 1
            if self.flags[i] & CLOSES:
                mean, mixes, squares = weight / n_tied, 0.0, 0.0
                value[0] += weight * (log(total) - log(weight)) - events
                sample.seen = n_tied
                for k in range(1, n_tied if self.efron else 1):
                    place = <double>k / n_tied
                    left = 1.0 - place * (tied / total)
                    mix = 1.0 / left - 1.0
                    value[0] += mean * log(left / (1.0 - place))
                    sample.seen += (1.0 - place) / left - 1.0
                    mixes += mix
                    squares += mix * mix
                sample.seen *= mean / total
                sample.hazard = mean * (n_tied + mixes) / total
                sample.root, sample.mix = sqrt(weight), mixes / n_tied
                sample.spread = sqrt(fmax(mean * (squares - mixes * sample.mix), 0.0))
                tied = weight = events = 0.0
                n_tied = 0
        value[0] = 0.0 if value[0] < 0.0 else value[0]  # rounding; NaN stays NaN
        return samples

    cdef double at(self, In products, In intercept, double* residuals) noexcept nogil:
        cdef:
            Py_ssize_t n = self.n_samples, i
            double value, hazard = 0.0, seen = 0.0
            AtRisk* samples = self.at_risk(products, &value)
        # The hazards of the times before add up; events see a part of their tie.
        for i in range(n - 1, -1 if samples != NULL and residuals != NULL else n, -1):
            if i < n - 1 and self.flags[i + 1] & FIRST:
                seen = hazard = 0.0
            elif i < n - 1 and samples[i].level != samples[i + 1].level:
                seen *= exp(samples[i].level - samples[i + 1].level)
                hazard *= exp(samples[i].level - samples[i + 1].level)
            if self.flags[i] & CLOSES:
                seen = hazard + samples[i].seen
                hazard += samples[i].hazard
            residuals[self.order[i]] = samples[i].mass * hazard
            if self.flags[i] & EVENT:
                residuals[self.order[i]] = (
                    samples[i].mass * seen - self.ordered_weights[i]
                )
        free(samples)
        return value

    cdef double linear_term(self, In products, In new_products, In intercept,
                            In residuals, double* bound) noexcept nogil:
        # The Hessian is a sum of variances within the samples at risk, each of which is
        # at most a quarter of the squared range.
        cdef:
            double linear = Loss.linear_term(
                self, products, new_products, intercept, residuals, bound)
            double change, smallest = 0.0, largest = 0.0, weight = 0.0
            Py_ssize_t i
        bound[0] = 0.0
        for i in range(self.n_samples):
            change = new_products[self.order[i]] - products[self.order[i]]
            if self.flags[i] & FIRST:
                smallest = largest = change
            smallest, largest = min(smallest, change), max(largest, change)
            weight += self.ordered_weights[i] if self.flags[i] & EVENT else 0.0
            if self.flags[i] & CLOSES:
                bound[0] += 0.125 * weight * (largest - smallest) ** 2
                weight = 0.0
        return linear

    cdef Py_ssize_t means(self, In column, const AtRisk* samples, Py_ssize_t start,
                          Py_ssize_t stop, double* mean, double* rows) noexcept nogil:
        """Write a column of rows that are due to ties which end at these samples.

        The mean of the samples at risk and that of the events are kept for the next.
        """
        cdef:
            Py_ssize_t i, n_rows = 0
            double entry, at_risk = mean[0], tied = mean[1]
        for i in range(start, stop):
            entry = column[self.order[i]]
            at_risk += samples[i].share * (entry - at_risk)
            tied += samples[i].tied * (entry - tied)
            if samples[i].root > 0.0:
                rows[n_rows] = samples[i].root * (
                    at_risk + samples[i].mix * (at_risk - tied)
                )
                n_rows += 1
                if samples[i].spread > 0.0:
                    rows[n_rows] = samples[i].spread * (at_risk - tied)
                    n_rows += 1
        mean[0], mean[1] = at_risk, tied
        return n_rows

    cdef int hessian(self, const double* const* columns, Py_ssize_t m, In products,
                     In intercept, In residuals, double* out) noexcept nogil:
        # That of independent hazards minus what is due to the means of those at risk.
        cdef:
            Py_ssize_t n = self.n_samples, part, i, n_rows = 0
            Py_ssize_t tile = tile_of(m, n)
            int failed = Loss.hessian(
                self, columns, m, products, intercept, residuals, out)
            double* logits = <double*>calloc(n + 2 * m * (1 + tile), sizeof(double))
            double* means = logits + n
            double* rows = means + 2 * m
            double value
            AtRisk* samples = NULL
        if logits != NULL:
            self.add_offsets(products, intercept, logits)
            samples = self.at_risk(logits, &value)
        failed |= samples == NULL
        for part in range(0 if failed else (n + tile - 1) // tile):
            for i in range(m):
                n_rows = self.means(columns[i], samples, part * tile,
                                    min((part + 1) * tile, n), means + 2 * i,
                                    rows + 2 * tile * i)
            if n_rows > 0:
                add_gram(rows, 2 * tile, n_rows, m, -1.0, 1.0, out)
        copy_triangle(out, m, 1, 0, 0, 1.0, out)
        free(samples)
        free(logits)
        return failed
