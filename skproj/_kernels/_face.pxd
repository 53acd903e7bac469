# Faces of balls, for kernels.

from ._coefficient_ball cimport Ball
from ._columns cimport Columns
from ._losses cimport Loss


cdef class Face:
    cdef:
        Columns columns
        Loss loss
        Ball ball
        const double[::1] ridge
        # Rows of coefficients on the face; entries of these, and with the intercept.
        Py_ssize_t[::1] rows
        Py_ssize_t n_rows, n_bound, n, room
        Py_ssize_t[::1] pointers    # to their columns, which are in `expanded`, or not
        double[::1] expanded
        # Entries and their gradient, by the quadratic model, whose second derivatives
        # are (n, n); the parameter of each entry, or -1, and the multiple.
        double[::1] entries, gradient, curvature, factor
        Py_ssize_t[::1] owner
        # Parameters, their step, and the share of it until they meet a bound; which are
        # left; which must not be negative; and those whose size must not exceed another
        # one's, or -1. The norm grows by `normal` times them.
        double[::1] theta, normal, step, left
        char[::1] alive, bounded
        Py_ssize_t[::1] limit
        # First entry of the group of the l1,2 ball, or -1, and its norm.
        Py_ssize_t[::1] group
        double[::1] size
        Py_ssize_t[::1] place       # of the parameter in the system
        double[::1] system, sides, kept

    # Start at a model; False if all coefficients are zero.
    cdef bint start(self, const double* coef, const double* products,
                    const double* intercept, const double* residuals,
                    const double* gradient) except -1

    # Go to the minimum in the ball. False: the system is singular.
    cdef bint minimise(self, double eta)

    # Write the coefficients. The change of the intercept is in the entries behind.
    cdef void fill(self, double* coef) noexcept

    cdef int reserve(self) except -1
    cdef int find_curvature(self, const double* products, const double* intercept,
                            const double* residuals) except -1
    cdef void find_parameters(self) noexcept
    cdef void bend(self, double multiplier) noexcept
    cdef bint solve(self, double slack)
    cdef double share_left(self, Py_ssize_t p) noexcept
    cdef bint leaves_with(self, Py_ssize_t p, Py_ssize_t blocking) noexcept
    cdef void leave(self, Py_ssize_t blocking) noexcept
    cdef void set_entry(self, Py_ssize_t e, double value) noexcept
