# Standardised columns of a design, for kernels.


cdef class Columns:
    cdef:
        readonly Py_ssize_t n_samples, n_columns
        object _arrays              # what the pointers point to
        object _matrix              # the compressed one until it is sorted by column
        bint is_sparse, is_float
        const void* data            # of dense columns, or of compressed rows
        const int* indices
        const Py_ssize_t* indptr
        const void* column_data     # of the same by column
        const int* column_rows
        const Py_ssize_t* column_starts
        const double* mean          # of compressed columns; others have been centred
        const double* scale
        Py_ssize_t* index           # workspaces of n_columns
        double* factors             # of n_columns times the outputs side by side

    # The rows of products, one for each output, of a C-ordered array of coefficients.
    cdef void dot(self, const double* coef, Py_ssize_t n_outputs,
                  double* products) noexcept nogil
    # The C-ordered product of the transpose with such rows.
    cdef void transposed_dot(self, const double* rows, Py_ssize_t n_outputs,
                             double* out) noexcept nogil
    # A column as numbers that the pointer returned points to: `out`, if they are not
    # in memory already. The other function is to be called before.
    cdef int sort_by_column(self) except -1
    cdef const double* column(self, Py_ssize_t j, double* out) noexcept nogil

    cdef void dot_sparse(self, const double* coef, Py_ssize_t n_outputs,
                         double* products) noexcept nogil
    cdef void transposed_dot_sparse(self, const double* rows, Py_ssize_t n_outputs,
                                    double* out) noexcept nogil
