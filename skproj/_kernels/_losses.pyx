"""Losses of linear models: weighted sums over samples, and their derivatives.

NumPy reads and writes an array of all logits for each operation. Here the samples are
taken in parts that stay in a cache, and the exponentials are vectorised. Arrays have a
row for each output and a column for each sample.
"""

from libc.stdlib cimport free, malloc


cdef extern from "_losses.h" nogil:
    enum:
        SKPROJ_SAMPLES

    double softmax_loss "skproj_softmax_loss" (
        const double* x, const double* intercept, const Py_ssize_t* codes,
        const double* weights, Py_ssize_t n_classes, Py_ssize_t n, double* residuals,
        double* work) noexcept
    void softmax_hessian "skproj_softmax_hessian" (
        const double* residuals, const Py_ssize_t* codes, const double* weights,
        Py_ssize_t n_classes, Py_ssize_t n, double* hessian, double* work) noexcept
    double logistic_loss "skproj_logistic_loss" (
        const double* x, double intercept, const double* targets,
        const double* weights, Py_ssize_t n, double* residuals) noexcept
    double huber_loss "skproj_huber_loss" (
        const double* x, double intercept, const double* targets,
        const double* weights, double epsilon, Py_ssize_t n, double* residuals
        ) noexcept
    void add_change "skproj_change" (
        const double* x, const double* y, const double* factors,
        const double* weights, Py_ssize_t n, double* products, double* squares
        ) noexcept


cdef double* allocate(Py_ssize_t n_classes) except NULL:
    cdef double* work = <double*>malloc(n_classes * SKPROJ_SAMPLES * sizeof(double))
    if work == NULL:
        raise MemoryError("No memory for the logits of some samples.")
    return work


def softmax(
    const double[:, ::1] x,          # IN, (n_classes, n), at least one sample
    const double[::1] intercept,     # IN, (n_classes,), added to the logits
    const Py_ssize_t[::1] codes,     # IN, (n,), the classes
    const double[::1] weights,       # IN, (n,)
    double[:, ::1] residuals=None,   # OUT, as x
):
    """Return the multinomial log loss, and its derivative in `residuals`."""
    cdef:
        double value
        double* out = NULL if residuals is None else &residuals[0, 0]
        double* work = allocate(x.shape[0])
    with nogil:
        value = softmax_loss(&x[0, 0], &intercept[0], &codes[0], &weights[0],
                             x.shape[0], x.shape[1], out, work)
    free(work)
    return value


def add_softmax_hessian(
    const double[:, ::1] residuals,  # IN, (n_classes, n)
    const Py_ssize_t[::1] codes,     # IN, (n,)
    const double[::1] weights,       # IN, (n,), positive
    double[:, ::1] hessian,          # IN and OUT, (n_classes, n_classes)
):
    """Add the second derivative with respect to the intercept, in the lower triangle.

    It follows from the residuals, because they have the probabilities of the classes.
    """
    cdef double* work = allocate(residuals.shape[0])
    with nogil:
        softmax_hessian(&residuals[0, 0], &codes[0], &weights[0], residuals.shape[0],
                        residuals.shape[1], &hessian[0, 0], work)
    free(work)


def logistic(
    const double[:, ::1] x,          # IN, (n_outputs, n), at least one sample
    const double[::1] intercept,     # IN, (n_outputs,)
    const double[:, ::1] targets,    # IN, (n_outputs, n), 0 or 1
    const double[::1] weights,       # IN, (n,)
    double[:, ::1] residuals=None,   # OUT, as x
):
    """Return the sum of binary log losses, and its derivative in `residuals`."""
    cdef:
        Py_ssize_t k
        double value = 0.0
        bint wanted = residuals is not None
    with nogil:
        for k in range(x.shape[0]):
            value += logistic_loss(&x[k, 0], intercept[k], &targets[k, 0], &weights[0],
                                   x.shape[1], &residuals[k, 0] if wanted else NULL)
    return value


def huber(
    const double[:, ::1] x,          # IN, (n_outputs, n), at least one sample
    const double[::1] intercept,     # IN, (n_outputs,)
    const double[:, ::1] targets,    # IN, (n_outputs, n)
    const double[::1] weights,       # IN, (n,)
    double epsilon,                  # infinite for half the squared error
    double[:, ::1] residuals=None,   # OUT, as x
):
    """Return the sum of Huber losses, and its derivative in `residuals`."""
    cdef:
        Py_ssize_t k
        double value = 0.0
        bint wanted = residuals is not None
    with nogil:
        for k in range(x.shape[0]):
            value += huber_loss(&x[k, 0], intercept[k], &targets[k, 0], &weights[0],
                                epsilon, x.shape[1],
                                &residuals[k, 0] if wanted else NULL)
    return value


def change(
    const double[:, ::1] x,          # IN, (n_outputs, n), at least one sample
    const double[:, ::1] y,          # IN, as x
    const double[:, ::1] residuals,  # IN, as x
    const double[::1] weights,       # IN, (n,)
):
    """Return the products of the residuals with ``y - x``, and its weighted squares."""
    cdef:
        Py_ssize_t k
        double products = 0.0, squares = 0.0
    with nogil:
        for k in range(x.shape[0]):
            add_change(&x[k, 0], &y[k, 0], &residuals[k, 0], &weights[0], x.shape[1],
                       &products, &squares)
    return products, squares


cdef class Loss:
    cdef double evaluate(self, const double* products, const double* intercept,
                         double* residuals) noexcept nogil:
        return 0.0
    cdef double fit_intercept(self, const double* products, double* intercept,
                              double* residuals) noexcept nogil:
        return 0.0
    cdef double linear_term(self, const double* products, const double* new_products,
                            const double* intercept, const double* residuals,
                            double* bound) noexcept nogil:
        return 0.0
    cdef int hessian(self, const double* const* columns, Py_ssize_t m,
                     const double* products, const double* intercept,
                     const double* residuals, double* out) noexcept nogil:
        return 0

cdef class Stub(Loss):
    cdef double[::1] w, y
    cdef bint logit
    def __init__(self, y, w, logit):
        self.w, self.y, self.logit = w, y, logit
        self.n_samples, self.n_outputs, self.n_free, self.has_intercept, self.basis = len(y), 1, 1, True, None
    cdef double evaluate(self, const double* products, const double* intercept, double* residuals) noexcept nogil:
        if self.logit:
            return logistic_loss(products, intercept[0], &self.y[0], &self.w[0], self.n_samples, residuals)
        return huber_loss(products, intercept[0], &self.y[0], &self.w[0], 1e300, self.n_samples, residuals)
    cdef double curv(self, double r, Py_ssize_t i) noexcept nogil:
        if not self.logit:
            return self.w[i]
        r = abs(r)
        return r * (1 - r / self.w[i])
    cdef double fit_intercept(self, const double* products, double* intercept, double* residuals) noexcept nogil:
        cdef double v = self.evaluate(products, intercept, residuals), g, h
        cdef int it
        cdef Py_ssize_t i
        for it in range(30):
            g = 0; h = 1e-12
            for i in range(self.n_samples):
                g += residuals[i]; h += self.curv(residuals[i], i)
            if abs(g) < 1e-12:
                break
            intercept[0] -= g / h
            v = self.evaluate(products, intercept, residuals)
        return v
    cdef double linear_term(self, const double* products, const double* new_products, const double* intercept, const double* residuals, double* bound) noexcept nogil:
        cdef double a = 0, b = 0
        add_change(products, new_products, residuals, &self.w[0], self.n_samples, &a, &b)
        bound[0] = 0.5 * b * (0.25 if self.logit else 1.0)
        return a
    cdef int hessian(self, const double* const* columns, Py_ssize_t m, const double* products, const double* intercept, const double* residuals, double* out) noexcept nogil:
        cdef Py_ssize_t i, j, s
        cdef double t
        for i in range(m):
            for j in range(i + 1):
                t = 0
                for s in range(self.n_samples):
                    t += columns[i][s] * columns[j][s] * self.curv(residuals[s], s)
                out[i * m + j] = out[j * m + i] = t
        return 0
