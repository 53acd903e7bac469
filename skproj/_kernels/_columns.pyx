"""Columns of a design matrix, dense or compressed, and their products."""

from cython cimport floating
from libc.stdlib cimport free, malloc
from libc.string cimport memset

import numpy as np
from scipy import sparse


cdef extern from "_columns.h" nogil:
    void dots_f32 "skproj_dots_f32" (
        const float* x, Py_ssize_t n, Py_ssize_t m, const double* r, double* out,
        Py_ssize_t stride) noexcept
    void dots_f64 "skproj_dots_f64" (
        const double* x, Py_ssize_t n, Py_ssize_t m, const double* r, double* out,
        Py_ssize_t stride) noexcept
    void combine_f32 "skproj_combine_f32" (
        const float* x, Py_ssize_t n, const Py_ssize_t* index, Py_ssize_t m,
        const double* factors, double* y) noexcept
    void combine_f64 "skproj_combine_f64" (
        const double* x, Py_ssize_t n, const Py_ssize_t* index, Py_ssize_t m,
        const double* factors, double* y) noexcept


# Columns that are standardised together, in float64.
TOGETHER = 64


cdef double sparse_dot(
    const floating* data, const int* rows, Py_ssize_t size, const double* r
) noexcept nogil:
    cdef double total = 0.0
    cdef Py_ssize_t i
    for i in range(size):
        total += data[i] * r[rows[i]]
    return total


cdef void add_sparse(
    const floating* data, const int* rows, Py_ssize_t size, double factor, double* y
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(size):
        y[rows[i]] += factor * data[i]


cdef class Columns:
    """Columns ``(X - mean) * scale``, of an array or a sparse matrix X.

    Dense columns are a standardised copy of the same type; of a sparse matrix, the
    mean is taken off in the products.
    """

    def __cinit__(self, X, mean, scale):
        cdef:
            Py_ssize_t pointer
            const double[::1] means = mean, scales = scale
        self.n_samples, self.n_columns = X.shape
        self.is_sparse = sparse.issparse(X)
        self.is_float = X.dtype == np.float32
        if self.is_sparse:
            X = X.tocsc()
            arrays = [X.data, X.indices.astype(np.intc, copy=False),
                      X.indptr.astype(np.intp, copy=False)]
            pointer = arrays[1].ctypes.data
            self.indices = <const int*>pointer
            pointer = arrays[2].ctypes.data
            self.indptr = <const Py_ssize_t*>pointer
        else:
            dtype = np.float32 if self.is_float else np.float64
            arrays = [np.empty(X.shape, dtype=dtype, order="F")]
            for first in range(0, self.n_columns, TOGETHER):
                some = slice(first, first + TOGETHER)
                centred = np.subtract(X[:, some], mean[some], dtype=np.float64)
                np.multiply(centred, scale[some], out=arrays[0][:, some],
                            casting="same_kind")
        self._arrays = [*arrays, mean, scale]
        pointer = arrays[0].ctypes.data
        self.data = <const void*>pointer
        if self.n_columns:
            self.mean, self.scale = &means[0], &scales[0]
        self.index = <Py_ssize_t*>malloc((self.n_columns + 1) * sizeof(Py_ssize_t))
        self.factors = <double*>malloc((self.n_columns + 1) * sizeof(double))
        if self.index == NULL or self.factors == NULL:
            raise MemoryError("No memory for the columns of a linear model.")

    def __dealloc__(self):
        free(self.index)
        free(self.factors)

    cdef void dot(
        self, const double* coef, Py_ssize_t n_outputs, double* products
    ) noexcept nogil:
        cdef:
            Py_ssize_t n = self.n_samples, m, j, k
            double* row
        for k in range(n_outputs):
            row = products + k * n
            m = 0
            for j in range(self.n_columns):
                if coef[j * n_outputs + k] != 0.0:
                    self.index[m] = j
                    self.factors[m] = coef[j * n_outputs + k]
                    m += 1
            if self.is_sparse:
                self.dot_sparse(m, row)
            elif self.is_float:
                combine_f32(<const float*>self.data, n, self.index, m, self.factors,
                            row)
            else:
                combine_f64(<const double*>self.data, n, self.index, m, self.factors,
                            row)

    cdef void dot_sparse(self, Py_ssize_t m, double* row) noexcept nogil:
        cdef:
            Py_ssize_t i, j
            double factor, shift = 0.0
        memset(row, 0, self.n_samples * sizeof(double))
        for i in range(m):
            j = self.index[i]
            factor = self.factors[i] * self.scale[j]
            shift += factor * self.mean[j]
            self.add(j, factor, row)
        for i in range(self.n_samples):
            row[i] -= shift

    cdef void add(self, Py_ssize_t j, double factor, double* row) noexcept nogil:
        cdef Py_ssize_t start = self.indptr[j], size = self.indptr[j + 1] - start
        if self.is_float:
            add_sparse(<const float*>self.data + start, self.indices + start, size,
                       factor, row)
        else:
            add_sparse(<const double*>self.data + start, self.indices + start, size,
                       factor, row)

    cdef void transposed_dot(
        self, const double* rows, Py_ssize_t n_outputs, double* out
    ) noexcept nogil:
        cdef:
            Py_ssize_t n = self.n_samples, m = self.n_columns, i, j, k, start, size
            const double* row
            double total, product
        for k in range(n_outputs):
            row = rows + k * n
            if not self.is_sparse:
                if self.is_float:
                    dots_f32(<const float*>self.data, n, m, row, out + k, n_outputs)
                else:
                    dots_f64(<const double*>self.data, n, m, row, out + k, n_outputs)
                continue
            total = 0.0
            for i in range(n):
                total += row[i]
            for j in range(m):
                start = self.indptr[j]
                size = self.indptr[j + 1] - start
                if self.is_float:
                    product = sparse_dot(<const float*>self.data + start,
                                         self.indices + start, size, row)
                else:
                    product = sparse_dot(<const double*>self.data + start,
                                         self.indices + start, size, row)
                out[j * n_outputs + k] = self.scale[j] * (
                    product - self.mean[j] * total)

    cdef const double* column(self, Py_ssize_t j, double* out) noexcept nogil:
        cdef Py_ssize_t i, n = self.n_samples
        if self.is_sparse:
            for i in range(n):
                out[i] = -self.mean[j] * self.scale[j]
            self.add(j, self.scale[j], out)
        elif self.is_float:
            for i in range(n):
                out[i] = (<const float*>self.data)[j * n + i]
        else:
            return <const double*>self.data + j * n
        return out
