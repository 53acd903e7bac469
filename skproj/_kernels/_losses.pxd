# Losses of linear models, for kernels. Arrays of logits have a contiguous row of
# n_samples for each output.

ctypedef const double* In
ctypedef double (*Kernel)(
    In x, double intercept, In targets, In weights, double epsilon, Py_ssize_t n,
    double* residuals) noexcept nogil


cdef class Loss:
    cdef:
        readonly Py_ssize_t n_samples, n_outputs
        readonly Py_ssize_t n_free       # columns that the intercept is made of
        readonly bint has_intercept      # whether there is anything to fit
        readonly object basis            # (n_samples, n_free), or None: ones

        object arguments, options        # of the constructor
        const double[::1] weights
        const double[::1] offset         # of the samples, or None
        const double[:, ::1] targets
        const double[:, ::1] columns     # the basis by columns
        Py_ssize_t constant              # the one of them that is constant, or -1
        Kernel kernel                    # the loss of one output
        double epsilon                   # its parameter
        double least                     # a constant of the value
        readonly double curvature        # bound of the second derivatives of a sample
        double shift                     # curvature that Newton's method adds to shifts

    # Value at logits ``products + offsets of the intercept`` (offset of the samples
    # included). The derivative goes to `residuals` unless it is NULL.
    cdef double evaluate(self, In products, In intercept, double* residuals
                         ) noexcept nogil

    # The same after a shift of the intercept, from the value and residuals before it.
    cdef double move(self, In products, In intercept, In shift, double value,
                     double* residuals) noexcept nogil

    # Minimise over the intercept, in place, (n_free, n_outputs) row-major; return the
    # value there, with its derivative in `residuals`. NaN if it fails for memory.
    cdef double fit_intercept(self, In products, double* intercept, double* residuals
                              ) noexcept nogil

    # First-order term of a change of the products, and a bound of the second-order term
    # (of the whole Taylor remainder, along the segment; infinity if there is none).
    cdef double linear_term(self, In products, In new_products, In intercept,
                            In residuals, double* bound) noexcept nogil

    # Gram matrix of columns for the second derivative of the loss at a point, of which
    # the residuals are known: entry ((i, k), (j, l)) is sum over samples s, t of
    # x_si H_(s,k),(t,l) x_tj. `out` is (m * K, m * K), with K outputs, entry (i, k) in
    # row i * K + k; both triangles are written. Non-zero return: no memory.
    cdef int hessian(self, const double* const* columns, Py_ssize_t m, In products,
                     In intercept, In residuals, double* out) noexcept nogil

    # The value at products plus a number for each output, or NULL; the logits; the
    # gradient of the intercept, and the square of its length.
    cdef double at(self, In products, In intercept, double* residuals) noexcept nogil
    cdef void add_offsets(self, In products, In intercept, double* logits
                          ) noexcept nogil
    cdef double intercept_gradient(self, In residuals, double* out) noexcept nogil


# How many rows of m columns are multiplied in one go, at least one.
cdef Py_ssize_t tile_of(Py_ssize_t m, Py_ssize_t n) noexcept nogil
# Multiply the upper triangle by `kept`, and add the products of the columns.
cdef void add_gram(
    In rows, Py_ssize_t stride, Py_ssize_t n_rows, Py_ssize_t m, double factor,
    double kept, double* gram) noexcept nogil
# Write an upper triangle to all that the Hessian has of two outputs.
cdef void copy_triangle(
    In gram, Py_ssize_t m, Py_ssize_t n_outputs, Py_ssize_t k, Py_ssize_t other,
    double sign, double* out) noexcept nogil
