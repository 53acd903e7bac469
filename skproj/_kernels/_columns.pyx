"""Columns of a design matrix, dense or compressed, and their products."""

from cython cimport floating
from libc.stdlib cimport free, malloc
from libc.string cimport memset

import numpy as np
from scipy import sparse


cdef extern from "_columns.h" nogil:
    enum:
        SKPROJ_OUTPUTS
    Py_ssize_t lanes_of "skproj_lanes_of" (Py_ssize_t width) noexcept
    void dots "skproj_dots" (
        const void* x, bint single, Py_ssize_t n, Py_ssize_t m, const double* r,
        double* out, Py_ssize_t stride) noexcept
    void combine "skproj_combine" (
        const void* x, bint single, Py_ssize_t n, const Py_ssize_t* index,
        Py_ssize_t m, const double* factors, double* y) noexcept
    void multiply_rows "skproj_multiply_rows" (
        const void* data, bint single, const int* indices, const Py_ssize_t* indptr,
        Py_ssize_t n, const double* matrix, const double* shift, Py_ssize_t width,
        double* out) noexcept
    void add_rows "skproj_add_rows" (
        const void* data, bint single, const int* indices, const Py_ssize_t* indptr,
        Py_ssize_t n, const double* rows, Py_ssize_t width, double* matrix) noexcept


# Rows of a matrix that are read together: they stay in a cache.
cdef Py_ssize_t ROWS = 16


def multiply_transposed(X, residuals):
    """Return the product of the transpose of a matrix with a few columns.

    That of CSR matrices is of float64, others have the type of X.
    """
    cdef:
        const double[:, ::1] rows
        double[:, ::1] matrix
        Py_ssize_t first = 0, width
        bint is_float = is_single(X)
    if not (sparse.issparse(X) and X.format == "csr"):
        return X.T @ residuals.astype(X.dtype, copy=False)
    arrays, rows = compressed(X), np.ascontiguousarray(residuals.T, dtype=np.float64)
    products = np.empty((X.shape[1], rows.shape[0]))
    while first < rows.shape[0] and products.size:
        width = min(rows.shape[0] - first, SKPROJ_OUTPUTS)
        matrix = np.zeros((X.shape[1], lanes_of(width)))
        if rows.shape[1]:
            add_rows(<const void*>address(arrays[0]), is_float,
                     <const int*>address(arrays[1]),
                     <const Py_ssize_t*>address(arrays[2]), rows.shape[1],
                     &rows[first, 0], width, &matrix[0, 0])
        products[:, first : first + width] = matrix.base[:, :width]
        first += width
    return products


def add_words(X, const unsigned long long[::1] weights,
              unsigned long long[:, ::1] sums):
    """Add the 32-bit words of the entries of a CSR matrix, times weights of its rows.

    The sums of each column are a row of an array, one for each word of an entry, and
    one more; they are modulo 2**64.
    """
    cdef:
        const unsigned int[::1] words = np.ascontiguousarray(X.data).view(np.uint32)
        const int[::1] indices = np.ascontiguousarray(X.indices, dtype=np.intc)
        const Py_ssize_t[::1] indptr = np.ascontiguousarray(X.indptr, dtype=np.intp)
        Py_ssize_t i, p, k, n_words = sums.shape[1] - 1
    with nogil:
        for i in range(weights.shape[0]):
            for p in range(indptr[i], indptr[i + 1]):
                for k in range(n_words):
                    sums[indices[p], k] += weights[i] * words[p * n_words + k]


cdef Py_ssize_t address(array):
    return array.ctypes.data


def compressed(X):
    """Return the arrays of a CSR or CSC matrix, as the loops read them."""
    dtype = np.float32 if is_single(X) else np.float64
    pairs = (X.data, dtype), (X.indices, np.intc), (X.indptr, np.intp)
    return [np.ascontiguousarray(array, dtype=kind) for array, kind in pairs]


cdef bint is_single(X):
    return X.dtype.newbyteorder("=") == np.float32


cdef int standardize(
    const floating[:, :] X, const Py_ssize_t[::1] sources, const double[::1] mean,
    const double[::1] scale, floating[::1, :] out
) except -1:
    """Write ``(X - mean) * scale`` of some columns, whatever the order of X."""
    cdef Py_ssize_t start, i, j
    for start in range(0, X.shape[0], ROWS):
        for j in range(sources.shape[0]):
            for i in range(start, min(start + ROWS, X.shape[0])):
                out[i, j] = <floating>((X[i, sources[j]] - mean[j]) * scale[j])
    return 0


cdef class Columns:
    """Columns ``(X - mean) * scale``, of columns `sources` of a matrix X.

    Dense columns are a standardised copy of the same type; of a sparse matrix, the
    mean is taken off in the products.
    """

    def __cinit__(self, X, sources, mean, scale):
        cdef:
            const double[::1] means = mean, scales = scale
        if not (isinstance(X, np.ndarray) and X.dtype.isnative):
            X, sources = X[:, sources], slice(None)
        self.n_samples, self.n_columns = X.shape[0], scales.shape[0]
        self.is_sparse = sparse.issparse(X)
        self.is_float = is_single(X)
        if self.is_sparse:
            self._matrix = X.tocsr()
            arrays = compressed(self._matrix)
            self.indices = <const int*>address(arrays[1])
            self.indptr = <const Py_ssize_t*>address(arrays[2])
        else:
            dtype = np.float32 if self.is_float else np.float64
            shape = self.n_samples, self.n_columns
            X, arrays = np.asarray(X, dtype=dtype), [np.empty(shape, dtype, order="F")]
            index = np.arange(X.shape[1])[sources]
            if self.is_float:
                standardize[float](X, index, means, scales, arrays[0])
            else:
                standardize[double](X, index, means, scales, arrays[0])
        self._arrays = [*arrays, mean, scale]
        self.data = <const void*>address(arrays[0])
        if self.n_columns:
            self.mean, self.scale = &means[0], &scales[0]
        self.index = <Py_ssize_t*>malloc((self.n_columns + 1) * sizeof(Py_ssize_t))
        self.factors = <double*>malloc(
            (self.n_columns + 1) * SKPROJ_OUTPUTS * sizeof(double))
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
        if self.is_sparse:
            self.dot_sparse(coef, n_outputs, products)
            return
        for k in range(n_outputs):
            row = products + k * n
            m = 0
            for j in range(self.n_columns):
                if coef[j * n_outputs + k] != 0.0:
                    self.index[m] = j
                    self.factors[m] = coef[j * n_outputs + k]
                    m += 1
            combine(self.data, self.is_float, n, self.index, m, self.factors, row)

    cdef void dot_sparse(
        self, const double* coef, Py_ssize_t n_outputs, double* products
    ) noexcept nogil:
        cdef:
            Py_ssize_t j, k, first = 0, width, lanes
            double[SKPROJ_OUTPUTS] shift
        while first < n_outputs:
            width = min(n_outputs - first, SKPROJ_OUTPUTS)
            lanes = lanes_of(width)
            memset(shift, 0, sizeof(shift))
            memset(self.factors, 0, self.n_columns * lanes * sizeof(double))
            for j in range(self.n_columns):
                for k in range(width):
                    self.factors[j * lanes + k] = (
                        coef[j * n_outputs + first + k] * self.scale[j])
                    shift[k] += self.factors[j * lanes + k] * self.mean[j]
            multiply_rows(self.data, self.is_float, self.indices, self.indptr,
                          self.n_samples, self.factors, shift, width,
                          products + first * self.n_samples)
            first += width

    cdef void transposed_dot(
        self, const double* rows, Py_ssize_t n_outputs, double* out
    ) noexcept nogil:
        cdef Py_ssize_t n = self.n_samples, m = self.n_columns, k
        if self.is_sparse:
            self.transposed_dot_sparse(rows, n_outputs, out)
            return
        for k in range(n_outputs):
            dots(self.data, self.is_float, n, m, rows + k * n, out + k, n_outputs)

    cdef void transposed_dot_sparse(
        self, const double* rows, Py_ssize_t n_outputs, double* out
    ) noexcept nogil:
        cdef:
            Py_ssize_t n = self.n_samples, i, j, k, first = 0, width, lanes
            double[SKPROJ_OUTPUTS] totals
            const double* own
        while first < n_outputs:
            width = min(n_outputs - first, SKPROJ_OUTPUTS)
            lanes = lanes_of(width)
            own = rows + first * n
            memset(self.factors, 0, self.n_columns * lanes * sizeof(double))
            add_rows(self.data, self.is_float, self.indices, self.indptr, n, own, width,
                     self.factors)
            for k in range(width):
                totals[k] = 0.0
                for i in range(n):
                    totals[k] += own[k * n + i]
                for j in range(self.n_columns):
                    out[j * n_outputs + first + k] = self.scale[j] * (
                        self.factors[j * lanes + k] - self.mean[j] * totals[k])
            first += width

    cdef int sort_by_column(self) except -1:
        if self._matrix is None:
            return 0
        arrays, self._matrix = compressed(self._matrix.tocsc()), None
        self._arrays += arrays
        self.column_data = <const void*>address(arrays[0])
        self.column_rows = <const int*>address(arrays[1])
        self.column_starts = <const Py_ssize_t*>address(arrays[2])
        return 0

    cdef const double* column(self, Py_ssize_t j, double* out) noexcept nogil:
        cdef:
            Py_ssize_t i, n = self.n_samples
            double value
        if self.is_sparse:
            for i in range(n):
                out[i] = -self.mean[j] * self.scale[j]
            for i in range(self.column_starts[j], self.column_starts[j + 1]):
                value = ((<const float*>self.column_data)[i] if self.is_float
                         else (<const double*>self.column_data)[i])
                out[self.column_rows[i]] += value * self.scale[j]
        elif self.is_float:
            for i in range(n):
                out[i] = (<const float*>self.data)[j * n + i]
        else:
            return <const double*>self.data + j * n
        return out
