# Faces of balls, for kernels.

from ._coefficient_ball cimport Ball


cdef class Face:
    cdef:
        Ball ball
        readonly Py_ssize_t room
        Py_ssize_t n                # entries of the face
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

    # Start at coefficients, of which all those of some groups are on the face: these
    # are sorted rows. The entries behind are not in the ball, and start at 0. The
    # second derivatives of the objective are in `curvature`.
    cdef void start(self, const double* coef, const double* gradient,
                    const Py_ssize_t* rows, Py_ssize_t n_rows, Py_ssize_t n) noexcept

    # Go to the minimum in the ball. False: the system is singular.
    cdef bint minimise(self, double eta)

    cdef void bend(self, double multiplier) noexcept
    cdef bint solve(self, double slack)
    cdef double share_left(self, Py_ssize_t p) noexcept
    cdef bint leaves_with(self, Py_ssize_t p, Py_ssize_t blocking) noexcept
    cdef void leave(self, Py_ssize_t blocking) noexcept
    cdef void set_entry(self, Py_ssize_t e, double value) noexcept
