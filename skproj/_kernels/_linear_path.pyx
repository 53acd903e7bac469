"""Ball-constrained linear models of columns in memory.

Projected gradient steps, accelerated by momentum, find which coefficients are zero. The
others minimise a smooth function then, on a face of the ball, and Newton's method finds
that minimum: as soon as the steps have taken as long as one of Newton's, it is tried.
Its quadratic model is minimised by an active set: what the ball or a sign keeps from
going further leaves the face, and the rest goes on. The point is taken only if the
objective is not larger there, so that it may save steps, and nothing else.

The projections that do not lead to the minimum have a fixed point instead, which
Anderson's acceleration finds.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport INFINITY, NAN, fabs, isfinite, isnan, sqrt
from libc.string cimport memcpy, memset
from scipy.linalg.cython_lapack cimport dpotrf, dpotrs

import numpy as np

from ._columns cimport Columns
from ._layout cimport Groups, groups_of
from ._l1inf cimport clip_levels
from ._losses cimport Loss
from ._simd cimport (
    SKPROJ_MAP_CLIP, SKPROJ_MAP_SOFT, SKPROJ_NORM_L1, SKPROJ_NORM_L2,
    SKPROJ_NORM_LINF, map_group, reduce_group
)
from ._thresholds cimport l1_threshold

cdef enum:
    # Kinds of constraints: none, the balls, and a function of Python.
    FREE, L1, L12, L1INF, BILEVEL_L11, BILEVEL_L1INF, CALLABLE
    # Steps that Anderson's acceleration combines.
    MEMORY = 5

KINDS = {"none": FREE, "callable": CALLABLE, "l1": L1, "l12": L12, "l1inf": L1INF, "bilevel_l11": BILEVEL_L11,
         "bilevel_l12": L12, "bilevel_l1inf": BILEVEL_L1INF}

cdef:
    # The curvature, one over the step size, is lowered by the first factor in every
    # iteration. Where the step fails, it is raised to the measured one times the second.
    double CURVATURE_DECAY = 0.8
    double CURVATURE_MARGIN = 1.5
    # A ridge keeps the shares of Anderson's acceleration small where the map has kinks.
    # When the force exceeds the shortest one so far by the second factor, the memory is
    # dropped and the curvature is multiplied by the third.
    double MIXING_RIDGE = 1e-5
    double MAX_FORCE_GROWTH = 2.0
    double RESTART_CURVATURE_FACTOR = 2.0
    # Largest number of coefficients, and of entries of their columns, for Newton's
    # method; largest number of bounds that a step of it meets.
    Py_ssize_t MAX_ENTRIES = 800
    Py_ssize_t MAX_COLUMN_ENTRIES = 1 << 24
    int MAX_BOUNDS = 100
    int MAX_HALVINGS = 4
    # Share of the curvatures that is added to them, so that collinear columns have a
    # solution, and equal ones that start together stay together.
    double NEWTON_RIDGE = 1e-9
    # Entries that differ by less from the largest of their group are equal to it.
    double TIED = 1e-10
    # Change of the logits for which the curvature is measured.
    double STEP_OF_CURVATURE = 1e-2
    # Sums of squares of such numbers neither overflow nor lose digits.
    double SMALLEST_SAFE = 1e-130
    double LARGEST_SAFE = 1e140


cdef struct Point:
    # A model, and what is known there. Coefficients are (n_columns, n_outputs).
    double* coef
    double* products       # (n_outputs, n_samples), without the intercept
    double* intercept
    double value           # of the objective
    # At the best intercept:
    double* residuals
    double* gradient
    double mean_loss, slope


cdef class Face:
    """Coefficients that are not zero, and the intercept, as Newton's method sees them.

    The parameters are those of a face of the ball. An entry is a multiple of one
    parameter, or stays zero: the largest entries of a group of the l1,inf ball have one
    together. The norm of the face grows by ``normal`` times the parameters. There is
    room for `n` entries, and as many parameters.
    """

    cdef:
        Py_ssize_t n
        # Column of each entry, its parameter or -1, and the multiple.
        Py_ssize_t[::1] owner
        double[::1] factor
        # Entries and their gradient, by the quadratic model.
        double[::1] entries, gradient, curvature
        # Parameters; which are left; which must not be negative; those whose size must
        # not exceed another one's; and the group that ends with them, or -1.
        double[::1] theta, normal, step
        char[::1] alive, bounded
        Py_ssize_t[::1] limit, group, place
        double[::1] system, sides, kept

    def __init__(self, Py_ssize_t n):
        self.n = n
        self.owner, self.limit, self.group, self.place = np.empty((4, n), dtype=np.intp)
        self.factor, self.entries, self.gradient = np.empty((3, n))
        self.theta, self.normal, self.step, self.kept = np.empty((4, n))
        self.curvature, self.system = np.empty((2, n * n))
        self.sides = np.empty(2 * n)
        self.alive, self.bounded = np.empty((2, n), dtype=np.int8)


cdef class Part:
    """A linear model of some columns, to be fitted for several radii.

    Parameters
    ----------
    columns : Columns
    loss : Loss
    starts : ndarray of shape (n_groups + 1,), dtype intp
        First column of each group of the ball.
    ridge : ndarray of shape (n_columns,)
        Ridge penalty of each column.
    kind : int
        Kind of the ball.
    positive : bool
        Whether coefficients must not be negative.
    project : callable
        ``project(coef, eta)`` of the kind ``CALLABLE``.
    """

    cdef:
        Columns columns
        Loss loss
        int kind
        bint positive, has_ridge
        object function
        Py_ssize_t n, n_columns, n_outputs, n_groups, size, n_intercept
        const Py_ssize_t[::1] starts
        const double[::1] ridge
        double eta
        object buffers
        double* norms          # workspaces of n_groups
        double* budgets
        double* sums
        Py_ssize_t* first_entries
        double* work           # of the size of the coefficients, as the next one
        double* kept
        double* logits         # of the size of the products
        # Forces and models that Anderson's acceleration combines.
        double* force
        double* forces         # one after the other
        Point[MEMORY] models
        int n_known
        double shortest
        readonly double largest_curvature  # of all steps
        int n_failed           # steps of Newton's method in a row
        Face face
        double[::1] expanded, free_columns
        Py_ssize_t[::1] group_of
        Point point, dual, new, best, last, trial

    def __init__(self, Columns columns, Loss loss, ridge, starts, kind, positive,
                 project=None):
        self.columns, self.loss, self.starts, self.ridge = columns, loss, starts, ridge
        self.kind, self.positive, self.function = kind, positive, project
        self.n, self.n_columns = loss.n_samples, columns.n_columns
        self.n_outputs, self.n_groups = loss.n_outputs, len(starts) - 1
        self.size = self.n_columns * self.n_outputs
        self.n_intercept = loss.n_free * self.n_outputs
        self.has_ridge = bool(np.any(ridge))
        self.buffers = []
        self.group_of = np.repeat(np.arange(self.n_groups), np.diff(starts))
        self.free_columns = (np.ones(self.n) if loss.basis is None
                             else np.ravel(loss.basis, order="F"))
        self.expanded = np.empty(0)
        self.point, self.dual = self.new_point(True), self.new_point(True)
        self.new, self.best = self.new_point(False), self.new_point(False)
        self.last, self.trial = self.new_point(False), self.new_point(False)
        self.norms, self.budgets = self.room(self.n_groups), self.room(self.n_groups)
        self.sums = self.room(self.n_groups)
        self.first_entries = <Py_ssize_t*>self.room(self.n_groups + 1)
        self.work, self.kept = self.room(self.size), self.room(self.size)
        self.logits = self.room(self.n * self.n_outputs)

    cdef double* room(self, Py_ssize_t size):
        cdef double[::1] buffer = np.zeros(size + 1)
        self.buffers.append(buffer)
        return &buffer[0]

    cdef Point new_point(self, bint known):
        cdef Point point
        point.coef = self.room(self.size)
        point.products = self.room(self.n * self.n_outputs)
        point.intercept = self.room(self.n_intercept)
        point.residuals = self.room(self.n * self.n_outputs) if known else NULL
        point.gradient = self.room(self.size) if known else NULL
        return point
    # The ball.

    cdef Py_ssize_t first(self, Py_ssize_t j) noexcept nogil:
        return self.starts[j] * self.n_outputs

    cdef Py_ssize_t length(self, Py_ssize_t j) noexcept nogil:
        return (self.starts[j + 1] - self.starts[j]) * self.n_outputs

    cdef double measure(self, int norm, const double* x, double* out) noexcept nogil:
        """Norms of the groups; returns their sum."""
        cdef Py_ssize_t j
        cdef double total = 0.0
        for j in range(self.n_groups):
            out[j] = reduce_group(norm, x + self.first(j), self.length(j))
            total += out[j]
        return total

    cdef int inner_norm(self) noexcept nogil:
        if self.kind in (L1INF, BILEVEL_L1INF):
            return SKPROJ_NORM_LINF
        return SKPROJ_NORM_L2 if self.kind == L12 else SKPROJ_NORM_L1

    cdef double norm(self, const double* coef) noexcept nogil:
        if self.kind == L1:
            return reduce_group(SKPROJ_NORM_L1, coef, self.size)
        return self.measure(self.inner_norm(), coef, self.norms)

    cdef int project(self, double* coef, double eta) except -1:
        """Project in place."""
        cdef Py_ssize_t i
        cdef double largest, scale = 1.0
        if self.kind == CALLABLE:
            copy = np.empty((self.n_columns, self.n_outputs))
            self.write(coef, copy)
            self.read(self.function(copy, eta), coef)
            return 0
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
            Py_ssize_t i, j
            double level, offset, total
            double* x
        if self.kind == L1:
            total = reduce_group(SKPROJ_NORM_L1, coef, self.size)
            if total > eta:
                l1_threshold(coef, self.size, total, eta, &level, &offset)
                map_group(SKPROJ_MAP_SOFT, <const double*>coef, self.size, level,
                          offset, coef)
            return 0
        total = self.measure(self.inner_norm(), coef, self.norms)
        if total <= eta:
            return 0
        if self.kind == L1INF:
            self.find_levels(coef, eta)
        else:
            l1_threshold(self.norms, self.n_groups, total, eta, &level, &offset)
            for j in range(self.n_groups):
                self.budgets[j] = max((self.norms[j] - level) - offset, 0.0)
        for j in range(self.n_groups):
            x = coef + self.first(j)
            if self.kind == L12:
                level = self.budgets[j] / self.norms[j] if self.norms[j] > 0.0 else 0.0
                for i in range(self.length(j)):
                    x[i] *= level
            elif self.kind == BILEVEL_L11:
                l1_threshold(x, self.length(j), self.norms[j], self.budgets[j], &level,
                             &offset)
                map_group(SKPROJ_MAP_SOFT, <const double*>x, self.length(j), level,
                          offset, x)
            else:
                map_group(SKPROJ_MAP_CLIP, <const double*>x, self.length(j),
                          self.budgets[j], 0.0, x)
        return 0

    cdef int find_levels(self, const double* coef, double eta) except -1:
        """Levels at which the exact l1,inf projection clips, in the budgets."""
        cdef:
            Groups groups
            Py_ssize_t j, longest = 1
        for j in range(self.n_groups):
            self.first_entries[j] = self.first(j)
            longest = max(longest, self.length(j))
        self.first_entries[self.n_groups] = self.size
        groups = groups_of(self.n_groups, longest, longest, 1, 1)
        groups.indptr = self.first_entries
        self.measure(SKPROJ_NORM_L1, coef, self.sums)
        if isnan(clip_levels(coef, &groups, self.sums, self.norms, eta, 0.0, NAN,
                             self.budgets, 1)):
            raise MemoryError("No memory for the workspace of the l1,inf projection.")
        return 0

    cdef const double* downhill(self, const double* gradient) noexcept nogil:
        """The part of the gradient that coefficients of any sign can follow."""
        cdef Py_ssize_t i
        if not self.positive:
            return gradient
        for i in range(self.size):
            self.work[i] = min(gradient[i], 0.0)
        return self.work

    cdef double dual_norm(self, const double* gradient) noexcept nogil:
        cdef const double* x = self.downhill(gradient)
        cdef Py_ssize_t j
        cdef double norm, largest = 0.0
        if self.kind not in (L12, L1INF, BILEVEL_L1INF):
            return reduce_group(SKPROJ_NORM_LINF, x, self.size)
        for j in range(self.n_groups):
            norm = reduce_group(
                SKPROJ_NORM_L2 if self.kind == L12 else SKPROJ_NORM_L1,
                x + self.first(j), self.length(j))
            largest = max(largest, norm)
        return largest

    cdef double distance(self, Point* point) noexcept nogil:
        """Distance from a fixed point, see `CoefficientBall.fixed_point_residual`."""
        cdef:
            const double* x = self.downhill(point.gradient)
            int inner = self.inner_norm()
            int outer = (SKPROJ_NORM_L1 if inner == SKPROJ_NORM_LINF
                         else SKPROJ_NORM_LINF if inner == SKPROJ_NORM_L1 else inner)
            Py_ssize_t j
            double norm, slope, total = 0.0, largest = 0.0, result = 0.0
            double outside = 0.0
        memcpy(self.kept, point.coef, self.size * sizeof(double))
        if self.positive:
            for j in range(self.size):
                outside += max(-self.kept[j], 0.0)
                self.kept[j] = max(self.kept[j], 0.0)
        for j in range(self.n_groups):
            norm = reduce_group(inner, <const double*>self.kept + self.first(j),
                                self.length(j))
            slope = reduce_group(inner, x + self.first(j), self.length(j))
            largest = max(largest, slope)
            total += norm
            result += norm * (reduce_group(outer, x + self.first(j), self.length(j))
                              - slope)
        for j in range(self.size):
            result += self.kept[j] * point.gradient[j]
        outside += max(total - self.eta, 0.0)
        return (self.eta + 2.0 * outside) * largest + result

    # Points.

    cdef void read(self, array, double* out):
        cdef const double[::1] x = np.ascontiguousarray(array, dtype=np.float64).ravel()
        if x.shape[0]:
            memcpy(out, &x[0], x.shape[0] * sizeof(double))

    cdef void write(self, const double* x, array):
        cdef double[::1] out = array.reshape(-1)
        if out.shape[0]:
            memcpy(&out[0], x, out.shape[0] * sizeof(double))

    cdef double penalty(self, const double* coef) noexcept nogil:
        cdef Py_ssize_t i
        cdef double total = 0.0
        if self.has_ridge:
            for i in range(self.size):
                total += self.ridge[i // self.n_outputs] * coef[i] * coef[i]
        return 0.5 * total

    cdef void look(self, Point* point) noexcept nogil:
        """Find the intercept, the residuals and the gradient."""
        cdef Py_ssize_t i
        point.mean_loss = self.loss.fit_intercept(point.products, point.intercept,
                                                  point.residuals)
        point.value = point.mean_loss + self.penalty(point.coef)
        self.columns.transposed_dot(point.residuals, self.n_outputs, point.gradient)
        point.slope = 0.0
        for i in range(self.n * self.n_outputs):
            point.slope += point.residuals[i] * point.products[i]
        if self.has_ridge:
            for i in range(self.size):
                point.gradient[i] += (self.ridge[i // self.n_outputs]
                                      * point.coef[i])
            point.slope += 2.0 * self.penalty(point.coef)

    cdef double lower_bound(self, Point* point) noexcept nogil:
        """Bound of the objective in the ball."""
        if self.kind in (FREE, CALLABLE):
            return 0.0
        return point.value - point.slope - self.eta * self.dual_norm(point.gradient)

    cdef void copy_model(self, const Point* source, Point* target) noexcept nogil:
        memcpy(target.coef, source.coef, self.size * sizeof(double))
        memcpy(target.products, source.products,
               self.n * self.n_outputs * sizeof(double))
        memcpy(target.intercept, source.intercept, self.n_intercept * sizeof(double))
        target.value, target.mean_loss = source.value, source.mean_loss

    cdef void copy_point(self, const Point* source, Point* target) noexcept nogil:
        self.copy_model(source, target)
        memcpy(target.residuals, source.residuals,
               self.n * self.n_outputs * sizeof(double))
        memcpy(target.gradient, source.gradient, self.size * sizeof(double))
        target.slope = source.slope

    cdef void blend(self, const Point* a, const Point* b, double share,
                    Point* out) noexcept nogil:
        """The model ``b + share * (b - a)``, without what is known of it."""
        cdef Py_ssize_t i
        for i in range(self.size):
            out.coef[i] = b.coef[i] + share * (b.coef[i] - a.coef[i])
        for i in range(self.n * self.n_outputs):
            out.products[i] = b.products[i] + share * (b.products[i] - a.products[i])

    cdef double curvature_along(self, Point* point, const double* step,
                                double shortest) noexcept nogil:
        """Bound of the curvature of the loss in a direction, of short steps.

        They are at least this share of the step.
        """
        cdef:
            Py_ssize_t i, size = self.n * self.n_outputs
            double largest, scale, bound = 0.0
        self.columns.dot(step, self.n_outputs, self.logits)
        largest = reduce_group(SKPROJ_NORM_LINF, <const double*>self.logits, size)
        if not 0.0 < largest < INFINITY:
            return largest
        scale = max(STEP_OF_CURVATURE / largest, shortest)
        for i in range(size):
            self.logits[i] = point.products[i] + scale * self.logits[i]
        self.loss.linear_term(point.products, self.logits, point.intercept,
                              point.residuals, &bound)
        return 2.0 * bound / scale / scale

    # The search.

    def solve(self, coef, intercept, double eta, int max_iter, double tol):
        """Fit the model for one radius, from these coefficients.

        Returns the coefficients, the intercept, the objective, a lower bound of it, the
        number of gradients, whether the gap of the columns is at most `tol` times the
        objective or 1, and the point of the bound: its coefficients, residuals,
        objective, and the product of coefficients and gradient.
        """
        cdef:
            Py_ssize_t i
            bint exact = self.kind in (FREE, L1, L12, L1INF)
            Point point = self.point, dual = self.dual, best = self.best
            Point new = self.new, last = self.last, swap
            double curvature, momentum = 1.0, push, bound = -INFINITY, low, spent = 0.0
            double residual, least = INFINITY, next_momentum
            double cost = self.cost_of_step()
            int n_iter = 1
            bint converged = False
        self.eta = eta
        self.n_failed = 0
        self.read(coef, point.coef)
        self.read(intercept, point.intercept)
        self.project(point.coef, eta)
        self.columns.dot(point.coef, self.n_outputs, point.products)
        self.look(&point)
        if not point.value < INFINITY:  # exponentials overflow: start at zero
            memset(point.coef, 0, self.size * sizeof(double))
            self.read(np.zeros(self.n_intercept), point.intercept)
            self.columns.dot(point.coef, self.n_outputs, point.products)
            self.look(&point)
        self.copy_model(&point, &best)
        self.copy_model(&point, &last)
        if not exact:
            self.reset_memory()
        # Squares of the gradient's own size may underflow.
        low = reduce_group(SKPROJ_NORM_LINF, <const double*>point.gradient, self.size)
        for i in range(self.size):
            self.work[i] = point.gradient[i] / low if low > 0.0 else 0.0
        curvature = self.curvature_along(&point, self.work, 0.0)
        low = self.squares(self.work)
        curvature = curvature / low if low > 0.0 and 0.0 < curvature < INFINITY else 1.0
        while True:
            PyErr_CheckSignals()
            curvature *= CURVATURE_DECAY
            curvature = self.take_step(&point, &new, curvature)
            self.largest_curvature = max(self.largest_curvature, curvature)
            if exact:
                low = self.lower_bound(&point)
                if low > bound:
                    bound = low
                    self.copy_point(&point, &dual)
                if new.value < best.value:
                    self.copy_model(&new, &best)
                converged = self.is_minimum(&point, &best, bound, tol)
            else:
                if self.kind == CALLABLE:
                    self.set_force(&point, &new, curvature)
                    residual = self.eta * self.dual_norm(self.force)
                else:
                    residual = self.distance(&point)
                if residual < least:
                    least = residual
                    self.copy_model(&new, &best)
                    self.copy_point(&point, &dual)
                    bound = max(self.lower_bound(&point), 0.0)
                converged = (min(least, best.value - bound)
                             <= tol * max(best.value, 1.0))
            if converged or n_iter >= max_iter:
                break
            n_iter += 1
            if not exact:
                curvature = self.mix(&point, &new, curvature)
                continue
            spent += cost
            if spent >= self.cost_of_newton(&best) and n_iter < max_iter:
                spent = 0.0
                n_iter += 1
                self.copy_model(&best, &point)
                self.look(&point)
                if self.newton(&point, &new):
                    self.copy_model(&point, &best)
                    self.n_failed = 0
                else:
                    self.n_failed += 1
                self.copy_model(&best, &last)
                momentum = 1.0
                low = self.lower_bound(&point)
                if low > bound:
                    bound = low
                    self.copy_point(&point, &dual)
                converged = self.is_minimum(&point, &best, bound, tol)
                if converged:
                    break
                continue
            if self.turns_back(&point, &new, &last):
                momentum, push = 1.0, 0.0
            else:
                next_momentum = (1.0 + sqrt(1.0 + 4.0 * momentum * momentum)) / 2.0
                push, momentum = (momentum - 1.0) / next_momentum, next_momentum
            memcpy(new.intercept, point.intercept, self.n_intercept * sizeof(double))
            self.blend(&last, &new, push, &point)
            swap = last
            last = new
            new = swap
            self.look(&point)
        self.new, self.last = new, last  # which may have been swapped
        return self.result(&best, &dual, bound, n_iter, converged)

    cdef result(self, Point* best, Point* dual, double bound, int n_iter,
                bint converged):
        cdef double value
        shape = self.n_columns, self.n_outputs
        coef, dual_coef = np.empty(shape), np.empty(shape)
        rows = np.empty((self.n_outputs, self.n))
        intercept = np.empty(self.n_intercept)
        value = self.penalty(best.coef) + self.loss.fit_intercept(
            best.products, best.intercept, self.logits)
        self.write(best.coef, coef)
        self.write(best.intercept, intercept)
        self.write(dual.coef, dual_coef)
        self.write(dual.residuals, rows)
        return (coef, intercept, value, bound, n_iter, converged, dual_coef, rows.T,
                dual.value, dual.slope)

    cdef double squares(self, const double* x) noexcept nogil:
        cdef double norm = reduce_group(SKPROJ_NORM_L2, x, self.size)
        return norm * norm

    cdef bint is_minimum(self, Point* point, Point* best, double bound,
                         double tol) noexcept nogil:
        cdef Py_ssize_t i
        cdef double slope
        if self.kind == FREE:
            for i in range(self.size):
                slope = point.gradient[i]
                if self.positive and slope > 0.0:
                    slope = min(slope, point.coef[i])
                if not fabs(slope) <= tol or self.positive and point.coef[i] < 0.0:
                    return False
            self.copy_model(point, best)  # of which that is known
            return True
        return best.value - max(bound, 0.0) <= tol * max(best.value, 1.0)

    cdef double take_step(self, Point* point, Point* new, double curvature) except? -1:
        """Project a gradient step that is short enough; return its curvature."""
        cdef:
            Py_ssize_t i
            double move, squared_length, ridge, allowed, needed, linear, missed, bound
        memcpy(new.intercept, point.intercept, self.n_intercept * sizeof(double))
        while True:
            for i in range(self.size):
                new.coef[i] = point.coef[i] - point.gradient[i] / curvature
            self.project(new.coef, self.eta)
            self.columns.dot(new.coef, self.n_outputs, new.products)
            new.mean_loss = self.loss.evaluate(new.products, new.intercept, NULL)
            new.value = new.mean_loss + self.penalty(new.coef)
            squared_length = 0.0
            for i in range(self.size):
                move = new.coef[i] - point.coef[i]
                self.work[i] = move
                squared_length += move * move
            if squared_length == 0.0:
                return curvature
            ridge = 2.0 * self.penalty(self.work)
            allowed = curvature * squared_length - ridge
            # The difference is sharper than the bound, but is lost in rounding errors
            # when the step is small.
            linear = self.loss.linear_term(point.products, new.products,
                                           point.intercept, point.residuals, &bound)
            missed = new.mean_loss - point.mean_loss - linear
            needed = 2.0 * (min(missed, bound) if missed > 1e-9 * new.mean_loss
                            else bound)
            if needed > allowed:
                # The difference of products may be nothing but rounding errors, which
                # do not shrink with the step. The product of the step does: no
                # curvature exceeds the Lipschitz constant of the gradient by more than
                # the margin.
                needed = min(needed, self.curvature_along(point, self.work, 1.0))
            if not needed > allowed:
                return curvature
            needed = CURVATURE_MARGIN * ((needed + ridge) / squared_length)
            curvature = needed if curvature < needed < INFINITY else 4.0 * curvature

    cdef bint turns_back(self, Point* point, Point* new, Point* last) noexcept nogil:
        """Whether momentum points away from where the step goes."""
        cdef Py_ssize_t i
        cdef double product = 0.0
        for i in range(self.size):
            product += (new.coef[i] - point.coef[i]) * (new.coef[i] - last.coef[i])
        return product < 0.0

    # Anderson's acceleration.

    cdef void reset_memory(self):
        cdef int i
        if self.force == NULL:
            self.force = self.room(self.size)
            self.forces = self.room(MEMORY * self.size)
            for i in range(MEMORY):
                self.models[i] = self.new_point(False)
        self.n_known, self.shortest = 0, INFINITY

    cdef void set_force(self, Point* point, Point* new, double curvature) noexcept nogil:
        cdef Py_ssize_t i
        for i in range(self.size):
            self.force[i] = curvature * (new.coef[i] - point.coef[i])

    cdef double mix(self, Point* point, Point* new, double curvature):
        """Go to the combination of the last models with the shortest force.

        When a force is much longer than the shortest one so far, the memory is dropped
        and the next step is shorter. Returns its curvature.
        """
        cdef:
            Py_ssize_t i
            int place, n
            double length
            double[::1] shares
        self.set_force(point, new, curvature)
        length = sqrt(self.squares(self.force))
        if length > MAX_FORCE_GROWTH * self.shortest:
            self.n_known, self.shortest = 0, length
            curvature *= RESTART_CURVATURE_FACTOR
        self.shortest = min(self.shortest, length)
        place = self.n_known % MEMORY
        self.n_known += 1
        n = min(self.n_known, MEMORY)
        memcpy(self.forces + place * self.size, self.force, self.size * sizeof(double))
        self.copy_model(new, &self.models[place])
        shares = self.shortest_combination(n)
        memset(point.coef, 0, self.size * sizeof(double))
        memset(point.products, 0, self.n * self.n_outputs * sizeof(double))
        memcpy(point.intercept, new.intercept, self.n_intercept * sizeof(double))
        for place in range(n):
            for i in range(self.size):
                point.coef[i] += shares[place] * self.models[place].coef[i]
            for i in range(self.n * self.n_outputs):
                point.products[i] += shares[place] * self.models[place].products[i]
        self.look(point)
        return curvature

    cdef double[::1] shortest_combination(self, int n):
        """Shares, which add up to 1, of the shortest affine combination of forces."""
        cdef:
            Py_ssize_t i
            int a, b
            double product
            double[:, ::1] gram = np.empty((n, n))
        for a in range(n):
            for b in range(a + 1):
                product = 0.0
                for i in range(self.size):
                    product += (self.forces[a * self.size + i]
                                * self.forces[b * self.size + i])
                gram[a, b] = gram[b, a] = product
        matrix = np.asarray(gram)
        scale = np.trace(matrix)
        if scale == 0.0:
            return np.full(n, 1.0 / n)
        matrix.flat[:: n + 1] += MIXING_RIDGE * scale
        shares = np.linalg.solve(matrix / scale, np.ones(n))
        return shares / shares.sum()

    # Newton's method.

    cdef double cost_of_step(self) noexcept nogil:
        """Multiplications of a projected step, with 30 for an exponential."""
        return self.n * self.n_outputs * (1.5 * self.n_columns + 100.0)

    cdef double cost_of_newton(self, Point* point) noexcept nogil:
        """Those of a step of Newton's method; infinity if it is too large for it."""
        cdef:
            Py_ssize_t j, i, m = self.loss.n_free
            double size
        for j in range(self.n_groups):
            for i in range(self.length(j)):
                if point.coef[self.first(j) + i] != 0.0:
                    m += self.starts[j + 1] - self.starts[j]
                    break
        size = <double>m * self.n_outputs
        if size > MAX_ENTRIES or self.n * m > MAX_COLUMN_ENTRIES or self.n_failed > 5:
            return INFINITY
        return (4 ** self.n_failed) * (self.n * size * (m + 20.0) / 2.0 + size * size * (size / 2.0 + 4.0))

    cdef bint newton(self, Point* point, Point* new) except -1:
        """Minimise on the face of a point; False if that does not lower the objective.

        Otherwise the point becomes the new one.
        """
        cdef:
            Py_ssize_t i, j, k, m = 0, n_rows, n_entries, first
            Py_ssize_t n_outputs = self.n_outputs, n_free = 0
            int n_halvings
            double share = 1.0, norm
            Py_ssize_t[::1] rows = np.empty(self.n_columns, dtype=np.intp)
            Face face
        for j in range(self.n_groups):
            for i in range(self.length(j)):
                if point.coef[self.first(j) + i] != 0.0:
                    for k in range(self.starts[j], self.starts[j + 1]):
                        rows[m] = k
                        m += 1
                    break
        if m == 0:
            return False
        if self.loss.has_intercept:
            n_free = self.loss.n_free
        n_rows = m + n_free
        n_entries = n_rows * n_outputs
        if self.face is None or self.face.n < n_entries:
            self.face = Face(n_entries)
        face = self.face
        self.find_hessian(point, rows, m, n_free)
        self.find_face(point, rows, m, n_entries)
        if not self.minimise_on_face(n_entries, m * n_outputs):
            return False
        memset(new.coef, 0, self.size * sizeof(double))
        for i in range(m):
            memcpy(new.coef + rows[i] * n_outputs, &face.entries[i * n_outputs],
                   n_outputs * sizeof(double))
        if self.kind != FREE:
            norm = self.norm(new.coef)
            if norm > self.eta:
                for i in range(self.size):
                    new.coef[i] *= self.eta / norm
        self.columns.dot(new.coef, n_outputs, new.products)
        self.copy_model(point, &self.trial)
        for n_halvings in range(MAX_HALVINGS):
            self.blend(&self.trial, new, share - 1.0, point)
            for i in range(n_free * n_outputs):
                point.intercept[i] = (self.trial.intercept[i]
                                      + share * face.entries[m * n_outputs + i])
            self.look(point)
            if point.value <= self.trial.value:
                return True
            share *= 0.25
        self.copy_model(&self.trial, point)
        self.look(point)
        return False

    cdef int find_hessian(self, Point* point, Py_ssize_t[::1] rows, Py_ssize_t m,
                          Py_ssize_t n_free) except -1:
        """Second derivatives of the objective by the entries of some rows."""
        cdef:
            Py_ssize_t i, j, k, n_outputs = self.n_outputs, n_rows = m + n_free
            Py_ssize_t n_entries = n_rows * n_outputs
            Py_ssize_t[::1] pointers = np.empty(n_rows, dtype=np.intp)
            double* H = &self.face.curvature[0]
            double* room = NULL
        if self.columns.is_float or self.columns.is_sparse:
            if self.expanded.shape[0] < m * self.n:
                self.expanded = np.empty(m * self.n)
            room = &self.expanded[0]
        for i in range(m):
            pointers[i] = <Py_ssize_t>self.columns.column(
                rows[i], NULL if room == NULL else room + i * self.n)
        for i in range(n_free):
            pointers[m + i] = <Py_ssize_t>(&self.free_columns[0] + i * self.n)
        if self.loss.hessian(<const double* const*>&pointers[0], n_rows, point.products,
                             point.intercept, point.residuals, H):
            raise MemoryError("No memory for the second derivatives of the loss.")
        for i in range(m):
            for k in range(i * n_outputs, (i + 1) * n_outputs):
                H[k * n_entries + k] += self.ridge[rows[i]]
        # A shift of all outputs changes no probability: none is wanted.
        for i in range(0 if self.kind == FREE else m, n_rows):
            for k in range(i * n_outputs, (i + 1) * n_outputs):
                for j in range(i * n_outputs, (i + 1) * n_outputs):
                    H[k * n_entries + j] += self.loss.shift
        return 0

    cdef void find_face(self, Point* point, Py_ssize_t[::1] rows, Py_ssize_t m,
                        Py_ssize_t n_entries):
        """Parameters of the face of a point, and the curvature of its norm."""
        cdef:
            Face f = self.face
            Py_ssize_t i, j, e, start = 0, stop, top, n_outputs = self.n_outputs
            double size, slope = 0.0, squares = 0.0
            bint whole = self.kind in (L1, FREE)
        for i in range(n_entries):
            f.entries[i] = f.gradient[i] = f.normal[i] = 0.0
            f.factor[i], f.owner[i] = 1.0, i
            f.limit[i] = f.group[i] = -1
            f.alive[i], f.bounded[i] = True, False
        for i in range(m):
            for j in range(n_outputs):
                f.entries[i * n_outputs + j] = point.coef[rows[i] * n_outputs + j]
                f.gradient[i * n_outputs + j] = point.gradient[rows[i] * n_outputs + j]
        while start < m * n_outputs:
            stop, j = start + n_outputs, self.group_of[rows[start // n_outputs]]
            while stop < m * n_outputs and self.group_of[rows[stop // n_outputs]] == j:
                stop += n_outputs
            size = reduce_group(
                SKPROJ_NORM_L2 if self.kind == L12 else SKPROJ_NORM_LINF,
                <const double*>&f.entries[start], stop - start)
            top = -1
            for e in range(start, stop):
                if self.kind == FREE:
                    f.bounded[e] = self.positive
                elif self.kind == L1:
                    f.normal[e], f.bounded[e] = 1.0, True
                    f.factor[e] = 1.0 if f.entries[e] > 0.0 else -1.0
                elif self.kind == L12:
                    f.normal[e], f.group[e] = f.entries[e] / size, start
                    f.bounded[e] = self.positive
                elif fabs(f.entries[e]) >= size * (1.0 - TIED):
                    f.factor[e] = 1.0 if f.entries[e] > 0.0 else -1.0
                    if top >= 0:
                        f.owner[e], f.alive[e] = top, False
                    else:
                        top = e
                        f.normal[e], f.bounded[e], f.group[e] = 1.0, True, start
                else:
                    f.bounded[e] = self.positive
                if f.entries[e] == 0.0 and (self.positive or self.kind == L1):
                    f.alive[e], f.owner[e] = False, -1
            if self.kind == L1INF:
                for e in range(start, stop):
                    if f.alive[e] and e != top:
                        f.limit[e] = top
            start = stop
        for e in range(n_entries):
            f.theta[e] = f.factor[e] * f.entries[e]
            slope -= f.normal[e] * f.factor[e] * f.gradient[e]
            squares += f.normal[e] * f.normal[e]
        if self.kind == L12 and slope > 0.0:
            self.bend(m * n_outputs, n_entries, slope / squares)

    cdef void bend(self, Py_ssize_t n, Py_ssize_t n_entries, double slope) noexcept:
        """Add the curvature of the l1,2 norm, times its multiplier."""
        cdef:
            Face f = self.face
            Py_ssize_t e, other
            double size
        for e in range(n):
            for other in range(f.group[e], n):
                if f.group[other] != f.group[e]:
                    break
                if f.normal[e] != 0.0:
                    size = f.entries[e] / f.normal[e]
                else:
                    size = self.size_of(f.group[e], n)
                f.curvature[e * n_entries + other] += slope / size * (
                    (e == other) - f.normal[e] * f.normal[other])

    cdef double size_of(self, Py_ssize_t start, Py_ssize_t n) noexcept:
        cdef Py_ssize_t e
        for e in range(start, n):
            if self.face.normal[e] != 0.0:
                return self.face.entries[e] / self.face.normal[e]
        return 1.0

    cdef bint minimise_on_face(self, Py_ssize_t n_entries, Py_ssize_t n_bound):
        """Minimise the quadratic model; entries of the intercept are those behind.

        In the end the entries are those of the minimum. False: the system is singular.
        """
        cdef:
            Face f = self.face
            Py_ssize_t e, p, other, blocking
            double share, left, slack, product, before
            int n_bounds
            double* H = &f.curvature[0]
        for n_bounds in range(MAX_BOUNDS):
            slack = self.eta
            for p in range(n_bound):
                if f.alive[p]:
                    slack -= f.normal[p] * f.theta[p]
            if not self.solve_face(n_entries, slack):
                return n_bounds > 0
            share, blocking = 1.0, -1
            for p in range(n_bound):
                if not f.alive[p]:
                    continue
                left = 2.0
                if f.bounded[p] and f.theta[p] + f.step[p] < 0.0:
                    left = f.theta[p] / -f.step[p]
                if f.limit[p] >= 0:
                    left = min(left, self.share_to_limit(p))
                if self.kind == L12 and f.group[p] == p:
                    left = min(left, self.share_to_zero(p, n_bound))
                if left < share:
                    share, blocking = left, p
            for e in range(n_entries):
                p = f.owner[e]
                if p < 0:
                    continue
                product = share * f.factor[e] * f.step[p]
                if product != 0.0:
                    f.entries[e] += product
                    for other in range(n_entries):
                        f.gradient[other] += H[e * n_entries + other] * product
            for p in range(n_entries):
                if f.alive[p]:
                    f.theta[p] += share * f.step[p]
            if blocking < 0:
                return True
            self.leave(blocking, n_entries, n_bound)
        return True

    cdef double share_to_limit(self, Py_ssize_t p) noexcept:
        """How far an entry can go until it is as large as the largest of its group."""
        cdef:
            Face f = self.face
            Py_ssize_t top = f.limit[p]
            double sign, share = 2.0
        for sign in (-1.0, 1.0):
            if sign * (f.theta[p] + f.step[p]) > f.theta[top] + f.step[top]:
                share = min(share, max(f.theta[top] - sign * f.theta[p], 0.0)
                            / (sign * f.step[p] - f.step[top]))
        return share

    cdef double share_to_zero(self, Py_ssize_t start, Py_ssize_t n_bound) noexcept:
        """How far a group of the l1,2 ball can go until it has turned around."""
        cdef:
            Face f = self.face
            Py_ssize_t p
            double here = 0.0, there = 0.0
        for p in range(start, n_bound):
            if f.group[p] != start:
                break
            if f.alive[p]:
                here += f.normal[p] * f.theta[p]
                there += f.normal[p] * (f.theta[p] + f.step[p])
        return here / (here - there) if there <= 0.0 < here else 2.0

    cdef void leave(self, Py_ssize_t blocking, Py_ssize_t n_entries,
                    Py_ssize_t n_bound) noexcept:
        """Take what has met its bound off the face."""
        cdef:
            Face f = self.face
            Py_ssize_t e, p, top = f.limit[blocking]
        if top >= 0 and fabs(f.theta[blocking]) > 0.5 * f.theta[top]:
            # It moves with the largest entries of its group from now on.
            f.factor[blocking] = 1.0 if f.theta[blocking] > 0.0 else -1.0
            f.owner[blocking], f.alive[blocking] = top, False
            self.set_entry(blocking, f.factor[blocking] * f.theta[top], n_entries)
            return
        for e in range(n_bound):
            p = f.owner[e]
            if p >= 0 and (p == blocking or f.limit[p] == blocking or (
                    self.kind == L12 and not f.bounded[p]
                    and f.group[p] == f.group[blocking])):
                self.set_entry(e, 0.0, n_entries)
                f.owner[e] = -1
        for p in range(n_bound):
            if f.limit[p] == blocking or (self.kind == L12 and not f.bounded[p]
                                          and f.group[p] == f.group[blocking]):
                f.alive[p] = False
        f.alive[blocking] = False

    cdef void set_entry(self, Py_ssize_t e, double value,
                        Py_ssize_t n_entries) noexcept:
        cdef:
            Face f = self.face
            Py_ssize_t other
            double change = value - f.entries[e]
        f.entries[e] = value
        if change != 0.0:
            for other in range(n_entries):
                f.gradient[other] += f.curvature[e * n_entries + other] * change

    cdef bint solve_face(self, Py_ssize_t n_entries, double slack):
        """Find the step to the minimum in the ball; False if the system is singular."""
        cdef:
            Face f = self.face
            Py_ssize_t e, other, p, q, m = 0
            double multiplier = 0.0, along = 0.0, of = 0.0
            int size, n_sides = 2, info = 0
            char uplo = b"L"
            double* A = &f.system[0]
            double* gradient = &f.sides[0]
            double* normal
        for p in range(n_entries):
            f.step[p] = 0.0
            if f.alive[p]:
                f.place[p] = m
                m += 1
        if m == 0:
            return True
        normal = gradient + m
        memset(A, 0, m * m * sizeof(double))
        memset(gradient, 0, 2 * m * sizeof(double))
        for e in range(n_entries):
            if f.owner[e] < 0:
                continue
            p = f.place[f.owner[e]]
            gradient[p] -= f.factor[e] * f.gradient[e]
            normal[p] = f.normal[f.owner[e]]
            for other in range(n_entries):
                if f.owner[other] >= 0:
                    q = f.place[f.owner[other]]
                    A[p * m + q] += (f.factor[e] * f.factor[other]
                                     * f.curvature[e * n_entries + other])
        for p in range(m):
            A[p * m + p] *= 1.0 + NEWTON_RIDGE
        size = <int>m
        dpotrf(&uplo, &size, A, &size, &info)
        if info != 0:
            return False
        # normal^T x is the multiplier's equation; both sides are solved for together.
        memcpy(&f.kept[0], normal, m * sizeof(double))
        dpotrs(&uplo, &size, &n_sides, A, &size, gradient, &size, &info)
        if self.kind != FREE:
            for p in range(m):
                along += f.kept[p] * gradient[p]
                of += f.kept[p] * normal[p]
            if along > slack and of > 0.0:
                multiplier = (along - slack) / of
        for p in range(n_entries):
            if f.alive[p]:
                q = f.place[p]
                f.step[p] = gradient[q] - multiplier * normal[q]
                if not isfinite(f.step[p]):
                    return False
        return True
