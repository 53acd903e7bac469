"""The ball of the coefficients of a linear model, whose groups are consecutive rows.

Coefficients and gradients are C-ordered arrays of shape (n_rows, n_outputs).
"""

from libc.math cimport NAN, isnan
from libc.string cimport memcpy, memset

import numpy as np

from ._l1inf cimport clip_levels
from ._layout cimport Groups, groups_of
from ._simd cimport (
    SKPROJ_MAP_CLIP, SKPROJ_MAP_SOFT, SKPROJ_NORM_L1, SKPROJ_NORM_L2,
    SKPROJ_NORM_LINF, map_group, reduce_group
)
from ._thresholds cimport l1_threshold

# Kinds, orders of the norms inside a group and of their duals. The bi-level projection
# of the l1,2 ball is the exact one.
BALLS = {
    "l1": (L1, SKPROJ_NORM_L1, SKPROJ_NORM_LINF),
    "l12": (L12, SKPROJ_NORM_L2, SKPROJ_NORM_L2),
    "l1inf": (L1INF, SKPROJ_NORM_LINF, SKPROJ_NORM_L1),
    "bilevel_l11": (BILEVEL_L11, SKPROJ_NORM_L1, SKPROJ_NORM_LINF),
    "bilevel_l12": (L12, SKPROJ_NORM_L2, SKPROJ_NORM_L2),
    "bilevel_l1inf": (BILEVEL_L1INF, SKPROJ_NORM_LINF, SKPROJ_NORM_L1),
    "callable": (CALLABLE, SKPROJ_NORM_L2, SKPROJ_NORM_LINF),
}

cdef:
    # Sums of squares of such numbers neither overflow nor lose digits.
    double SMALLEST_SAFE = 1e-130
    double LARGEST_SAFE = 1e140


cdef class Ball:
    """A ball of any radius, or no constraint, for arrays of coefficients.

    Where the groups have one entry each, all balls are the l1 ball.

    Parameters
    ----------
    name : str
        Key of `BALLS`.
    sizes : ndarray of shape (n_groups,), dtype intp
        Number of rows of each group.
    n_outputs : int
    bounded : bool
        Whether there is a constraint.
    positive : bool
        Whether coefficients must not be negative. The norms grow with the absolute
        values, so that the nearest point is the projection of the positive part; a
        gradient only counts where it is negative.
    function : callable
        ``function(coef, eta)`` projects, of the ball "callable".
    """

    def __init__(self, name, sizes, Py_ssize_t n_outputs, bint bounded, bint positive,
                 function=None):
        self.starts = n_outputs * np.append(0, np.cumsum(sizes, dtype=np.intp))
        self.n_groups, self.size = len(sizes), n_outputs * np.sum(sizes, dtype=np.intp)
        self.n_outputs, self.positive, self.function = n_outputs, positive, function
        self.kind, self.inner, self.dual = BALLS[name]
        if not bounded:
            self.kind = FREE
        elif self.kind != CALLABLE and self.size == self.n_groups:
            self.kind = L1
        self.exact = self.kind in (FREE, L1, L12, L1INF)
        self.norms, self.budgets = np.empty((2, self.n_groups + 1))
        self.work, self.kept = np.empty((2, self.size + 1))

    # Functions of arrays, for the search among all the features.

    def projected(self, coef, double eta):
        """Return the projection of coefficients."""
        out = np.array(coef, dtype=np.float64, order="C")
        cdef double[::1] x = out.reshape(-1)
        if self.size:
            self.project(&x[0], eta)
        return out

    def scores(self, coef):
        """Return the norm of each group; these add up to the norm."""
        cdef const double[::1] x = flat(coef)
        return self.norms_of(&x[0], self.inner)

    def dual_norm_of(self, gradient):
        """Return the dual norm; the largest entry if the ball is not known."""
        cdef const double[::1] x = flat(gradient)
        return self.dual_norm(&x[0])

    def screening_scores(self, gradient):
        """Return a score of each group: the largest become nonzero first."""
        cdef const double[::1] x = flat(gradient)
        return self.norms_of(self.downhill(&x[0]),
                             self.dual if self.exact else self.inner)

    def fixed_point_residual(self, coef, gradient, double eta):
        r"""Return the distance from a fixed point of gradient step and projection.

        It is in units of the objective, not negative, and zero at a fixed point only.
        A bi-level projection divides the radius between the groups by the norms
        :math:`|g_j|` of their gradients, and solves each group by itself, which has a
        gap of its own:

        .. math::

            \eta \max_j |g_j| - \sum_j |w_j| |g_j|
            + \sum_j \left( |w_j| |g_j|_{dual} + \langle w_j, g_j \rangle \right)

        The distance is larger for points outside of the set. For the l1,2 ball it is
        the duality gap.
        """
        cdef const double[::1] x = flat(coef), slope = flat(gradient)
        return self.distance(&x[0], &slope[0], eta)

    cdef norms_of(self, const double* x, int order):
        cdef double[::1] out = np.empty(self.n_groups + 1)
        self.measure(order, x, &out[0])
        return out.base[: self.n_groups]

    # Functions for kernels.

    cdef double norm(self, const double* coef) noexcept nogil:
        if self.kind == L1:
            return reduce_group(SKPROJ_NORM_L1, coef, self.size)
        return self.measure(self.inner, coef, &self.norms[0])

    cdef double measure(self, int order, const double* x, double* out) noexcept nogil:
        """Norms of the groups; returns their sum."""
        cdef Py_ssize_t j
        cdef double total = 0.0
        for j in range(self.n_groups):
            out[j] = reduce_group(order, x + self.starts[j],
                                  self.starts[j + 1] - self.starts[j])
            total += out[j]
        return total

    cdef int project(self, double* coef, double eta) except -1:
        cdef Py_ssize_t i
        cdef double largest, scale = 1.0
        if self.kind == CALLABLE:
            shape = self.size // self.n_outputs, self.n_outputs
            return read(self.function(array_of(coef, shape), eta), coef)
        if self.positive:
            for i in range(self.size):
                coef[i] = max(coef[i], 0.0)
        if self.kind == FREE:
            return 0
        largest = reduce_group(SKPROJ_NORM_LINF, coef, self.size)
        if largest == 0.0:
            return 0
        if eta == 0.0:
            memset(coef, 0, self.size * sizeof(double))
            return 0
        if not SMALLEST_SAFE < largest < LARGEST_SAFE:
            scale = largest
            for i in range(self.size):
                coef[i] /= scale
        self.project_safe(coef, eta / scale)
        if scale != 1.0:
            for i in range(self.size):
                coef[i] *= scale
        return 0

    cdef int project_safe(self, double* coef, double eta) except -1:
        cdef:
            Py_ssize_t i, j, size
            double level, offset, total = self.norm(coef)
            double* x
        if total <= eta:
            return 0
        if self.kind == L1:
            l1_threshold(coef, self.size, total, eta, &level, &offset)
            map_group(SKPROJ_MAP_SOFT, <const double*>coef, self.size, level, offset,
                      coef)
            return 0
        if self.kind == L1INF:
            self.find_levels(coef, eta)
        else:
            l1_threshold(&self.norms[0], self.n_groups, total, eta, &level, &offset)
            for j in range(self.n_groups):
                self.budgets[j] = max((self.norms[j] - level) - offset, 0.0)
        for j in range(self.n_groups):
            x, size = coef + self.starts[j], self.starts[j + 1] - self.starts[j]
            if self.kind == L12:
                level = self.budgets[j] / self.norms[j] if self.norms[j] > 0.0 else 0.0
                for i in range(size):
                    x[i] *= level
            elif self.kind == BILEVEL_L11:
                l1_threshold(x, size, self.norms[j], self.budgets[j], &level, &offset)
                map_group(SKPROJ_MAP_SOFT, <const double*>x, size, level, offset, x)
            else:
                map_group(SKPROJ_MAP_CLIP, <const double*>x, size, self.budgets[j], 0.0,
                          x)
        return 0

    cdef int find_levels(self, const double* coef, double eta) except -1:
        """Levels at which the exact l1,inf projection clips, in the budgets."""
        cdef:
            Groups groups
            Py_ssize_t j, longest = 1
        for j in range(self.n_groups):
            longest = max(longest, self.starts[j + 1] - self.starts[j])
        groups = groups_of(self.n_groups, longest, longest, 1, 1)
        groups.indptr = &self.starts[0]
        self.measure(SKPROJ_NORM_L1, coef, &self.work[0])
        if isnan(clip_levels(coef, &groups, &self.work[0], &self.norms[0], eta, 0.0,
                             NAN, &self.budgets[0], 1)):
            raise MemoryError("No memory for the workspace of the l1,inf projection.")
        return 0

    cdef const double* downhill(self, const double* gradient) noexcept nogil:
        """The part of the gradient that coefficients of any sign can follow."""
        cdef Py_ssize_t i
        if not self.positive:
            return gradient
        for i in range(self.size):
            self.work[i] = min(gradient[i], 0.0)
        return &self.work[0]

    cdef double dual_norm(self, const double* gradient) noexcept nogil:
        cdef const double* x = self.downhill(gradient)
        cdef Py_ssize_t j
        cdef double largest = 0.0
        if self.dual == SKPROJ_NORM_LINF:
            return reduce_group(SKPROJ_NORM_LINF, x, self.size)
        self.measure(self.dual, x, &self.norms[0])
        for j in range(self.n_groups):
            largest = max(largest, self.norms[j])
        return largest

    cdef double distance(self, const double* coef, const double* gradient, double eta
                         ) noexcept nogil:
        cdef:
            const double* x = self.downhill(gradient)
            Py_ssize_t i, j, start, size
            double norm, slope, total = 0.0, largest = 0.0, result = 0.0, outside = 0.0
        for i in range(self.size):
            self.kept[i] = coef[i]
            if self.positive and coef[i] < 0.0:
                outside -= coef[i]
                self.kept[i] = 0.0
            result += self.kept[i] * gradient[i]
        for j in range(self.n_groups):
            start, size = self.starts[j], self.starts[j + 1] - self.starts[j]
            norm = reduce_group(self.inner, <const double*>&self.kept[start], size)
            slope = reduce_group(self.inner, x + start, size)
            largest = max(largest, slope)
            total += norm
            result += norm * (reduce_group(self.dual, x + start, size) - slope)
        outside += max(total - eta, 0.0)
        return (eta + 2.0 * outside) * largest + result

    cdef Py_ssize_t nonzero_rows(self, const double* coef, Py_ssize_t* rows
                                 ) noexcept nogil:
        cdef Py_ssize_t i, j, row, m = 0
        for j in range(self.n_groups):
            for i in range(self.starts[j], self.starts[j + 1]):
                if coef[i] != 0.0:
                    for row in range(self.starts[j] // self.n_outputs,
                                     self.starts[j + 1] // self.n_outputs):
                        if rows != NULL:
                            rows[m] = row
                        m += 1
                    break
        return m


cdef const double[::1] flat(array):
    """The numbers of an array, or one if there are none."""
    array = np.ascontiguousarray(array, dtype=np.float64).ravel()
    return array if len(array) else np.zeros(1)


cdef int read(array, double* out) except -1:
    """Copy the numbers of an array."""
    cdef const double[::1] x = np.ascontiguousarray(array, dtype=np.float64).ravel()
    if x.shape[0]:
        memcpy(out, &x[0], x.shape[0] * sizeof(double))
    return 0


cdef array_of(const double* x, shape):
    """Return a C-ordered array of numbers."""
    array = np.empty(shape)
    cdef double[::1] out = array.reshape(-1)
    if out.shape[0]:
        memcpy(&out[0], x, out.shape[0] * sizeof(double))
    return array
