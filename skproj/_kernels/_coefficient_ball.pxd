# Balls of coefficients of linear models, for kernels.

cdef enum:
    # Kinds of constraints: none, the balls, and a function of Python.
    FREE, L1, L12, L1INF, BILEVEL_L11, BILEVEL_L1INF, CALLABLE


cdef class Ball:
    cdef:
        readonly int kind
        readonly bint exact         # whether projecting gives the nearest point
        bint positive
        int inner, dual             # orders inside a group, of the norm and its dual
        object function
        readonly Py_ssize_t n_groups, n_outputs, size
        # First entry of each group, and the number of entries.
        const Py_ssize_t[::1] starts
        double[::1] norms, budgets  # workspaces of n_groups
        double[::1] work, kept      # of the size of the coefficients

    cdef double norm(self, const double* coef) noexcept nogil
    # Project in place.
    cdef int project(self, double* coef, double eta) except -1
    cdef double dual_norm(self, const double* gradient) noexcept nogil
    # Distance from a fixed point of gradient step and projection.
    cdef double distance(self, const double* coef, const double* gradient, double eta
                         ) noexcept nogil
    # Number of rows of groups that are not zero; which ones, unless `rows` is NULL.
    cdef Py_ssize_t nonzero_rows(self, const double* coef, Py_ssize_t* rows
                                 ) noexcept nogil

    cdef norms_of(self, const double* x, int order)
    cdef double measure(self, int order, const double* x, double* out) noexcept nogil
    cdef int project_safe(self, double* coef, double eta) except -1
    cdef int find_levels(self, const double* coef, double eta) except -1
    cdef const double* downhill(self, const double* gradient) noexcept nogil


cdef int read(array, double* out) except -1
cdef array_of(const double* x, shape)
