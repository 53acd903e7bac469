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
