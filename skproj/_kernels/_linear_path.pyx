"""Ball-constrained linear models of columns in memory.

Projected gradient steps, accelerated by momentum, find which coefficients are zero.
The others minimise a smooth function then, on a face of the ball, see `_face.pyx`: as
soon as the steps have taken as long as one of Newton's method, or a quarter of that
where the number of zeros has stayed the same, it is tried. The point is taken only if
the objective is not larger there, so that it may save steps, and nothing else.

The projections that do not lead to the minimum have a fixed point instead, which
Anderson's acceleration finds.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport INFINITY, fabs, sqrt
from libc.string cimport memcpy, memset

import numpy as np

from ._coefficient_ball cimport CALLABLE, FREE, Ball, array_of, read
from ._columns cimport Columns
from ._face cimport Face
from ._losses cimport Loss
from ._simd cimport SKPROJ_NORM_L2, SKPROJ_NORM_LINF, reduce_group

cdef enum:
    # Steps that Anderson's acceleration combines.
    MEMORY = 5

cdef:
    # The curvature, one over the step size, is lowered by the first factor in every
    # iteration. Where a step fails, it is raised to the measured one times the second.
    double CURVATURE_DECAY = 0.8
    double CURVATURE_MARGIN = 1.5
    # A ridge keeps the shares of Anderson's acceleration small where the map has kinks.
    # When the force exceeds the shortest one so far by the second factor, the memory is
    # dropped and the curvature is multiplied by the third.
    double MIXING_RIDGE = 1e-5
    double MAX_FORCE_GROWTH = 2.0
    double RESTART_CURVATURE_FACTOR = 2.0
    # Largest number of coefficients, and of entries of their columns, for Newton's
    # method.
    Py_ssize_t MAX_ENTRIES = 800
    Py_ssize_t MAX_COLUMN_ENTRIES = 1 << 24
    # Samples that share the cost of solving the systems.
    double SHARED_BY = 300.0
    # How often it may fail in a row, and how often its step is shortened.
    int MAX_FAILED = 5
    int MAX_SHORTENINGS = 4
    # Share of the steps before it when the number of zeros has been the same for some.
    int SETTLED = 4
    double SETTLED_SHARE = 0.25
    # Change of the logits for which the curvature is measured.
    double STEP_OF_CURVATURE = 1e-2


cdef struct Point:
    # A model, and what is known there. The arrays are one after the other.
    double* coef           # (n_columns, n_outputs)
    double* products       # (n_outputs, n_samples), without the intercept
    double* intercept
    double value, mean_loss  # of the objective, and of the loss
    # At the best intercept:
    double* residuals
    double* gradient
    double slope           # product of the coefficients with their gradient


cdef class Part:
    """A linear model of some columns, to be fitted for several radii.

    Parameters
    ----------
    columns : Columns
    loss : Loss
    ridge : ndarray of shape (n_columns,)
        Ridge penalty of each column.
    ball : Ball
    """

    cdef:
        Columns columns
        Loss loss
        Ball ball
        bint has_ridge
        const double[::1] ridge
        double eta
        # Numbers of coefficients, of products, and of what makes a model.
        Py_ssize_t n, n_outputs, size, n_products, model_size
        object buffers
        double* moves          # of the coefficients
        double* logits
        readonly double largest_curvature  # of all steps
        # The point and that of the bound, and models that steps lead to.
        Point[2] points
        Point[3] steps
        Point trial
        # Forces, one after the other, and models that Anderson's acceleration combines.
        double* force
        double* forces
        Point[MEMORY] models
        int n_known
        double shortest
        # Newton's method, and how often it has failed in a row.
        Face face
        int n_failed

    def __init__(self, Columns columns, Loss loss, ridge, Ball ball):
        self.columns, self.loss, self.ridge, self.ball = columns, loss, ridge, ball
        self.has_ridge = bool(np.any(ridge))
        self.n, self.n_outputs, self.size = loss.n_samples, loss.n_outputs, ball.size
        self.n_products = self.n * self.n_outputs
        self.model_size = self.size + self.n_products + loss.n_free * self.n_outputs
        self.buffers = []
        self.face = Face(columns, loss, ridge, ball)
        cdef int i
        for i in range(2):
            self.points[i] = self.new_point(True)
        for i in range(3):
            self.steps[i] = self.new_point(False)
        self.trial = self.new_point(False)
        self.moves, self.logits = self.room(self.size), self.room(self.n_products)

    cdef double* room(self, Py_ssize_t size):
        cdef double[::1] buffer = np.zeros(size + 1)
        self.buffers.append(buffer)
        return &buffer[0]

    cdef Point new_point(self, bint known):
        cdef Point point
        cdef Py_ssize_t more = self.n_products + self.size if known else 0
        point.coef = self.room(self.model_size + more)
        point.products = point.coef + self.size
        point.intercept = point.products + self.n_products
        point.residuals = point.coef + self.model_size if known else NULL
        point.gradient = point.residuals + self.n_products if known else NULL
        return point

    def solve(self, coef, intercept, double eta, int max_iter, double tol):
        """Fit the model for one radius, from these coefficients.

        Returns the coefficients, the intercept, the objective, a lower bound of it, the
        number of gradients, whether the gap of the columns is at most `tol` times the
        objective or 1, and the point of the bound: its coefficients, residuals,
        objective, and the product of coefficients and gradient.
        """
        cdef:
            bint exact = self.ball.exact, converged = False, turns_back
            # Some may be the same: those that are written get another place first.
            Point point = self.points[0], dual = self.points[1]
            Point best = self.steps[0], last, new
            double curvature, momentum = 1.0, push, bound = -INFINITY
            double residual, least = INFINITY, next_momentum, length
            double n_needed
            int n_iter = 1, n_steps = 0, n_same = 0
            Py_ssize_t i, n_rows = 0, last_rows
        self.eta = eta
        self.n_failed = 0
        read(coef, point.coef)
        read(intercept, point.intercept)
        self.ball.project(point.coef, eta)
        self.columns.dot(point.coef, self.n_outputs, point.products)
        self.look(&point)
        if not point.value < INFINITY:  # exponentials overflow: start at zero
            memset(point.coef, 0, self.model_size * sizeof(double))
            self.look(&point)
        self.copy_model(&point, &best)
        last = best
        if not exact:
            self.reset_memory()
        # Squares of the gradient's own size may underflow.
        length = reduce_group(SKPROJ_NORM_LINF, <const double*>point.gradient,
                              self.size)
        for i in range(self.size):
            self.moves[i] = point.gradient[i] / length if length > 0.0 else 0.0
        curvature = self.curvature_along(&point, self.moves, 0.0)
        length = reduce_group(SKPROJ_NORM_L2, <const double*>self.moves, self.size)
        curvature = (curvature / (length * length)
                     if length > 0.0 and 0.0 < curvature < INFINITY else 1.0)
        while True:
            PyErr_CheckSignals()
            new = self.unused(&last, &best)
            curvature = self.take_step(&point, &new, CURVATURE_DECAY * curvature)
            self.largest_curvature = max(self.largest_curvature, curvature)
            if exact:
                self.raise_bound(&point, &dual, &bound)
                if new.value < best.value:
                    best = new
                converged = self.is_minimum(&point, &best, bound, tol)
            else:
                residual = self.distance(&point, &new, curvature)
                if residual < least:
                    least = residual
                    best = new
                    bound = -INFINITY
                    self.raise_bound(&point, &dual, &bound)
                    bound = max(bound, 0.0)
                converged = (min(least, best.value - bound)
                             <= tol * max(best.value, 1.0))
            if converged or n_iter >= max_iter:
                break
            n_iter += 1
            turns_back = exact and self.turns_back(&point, &new, &last)
            if point.coef == dual.coef:
                point = self.points[self.points[0].coef == dual.coef]
                memcpy(point.intercept, dual.intercept,
                       self.loss.n_free * self.n_outputs * sizeof(double))
            if not exact:
                curvature = self.mix(&point, &new, curvature)
                continue
            n_steps += 1
            n_rows, last_rows = self.ball.nonzero_rows(best.coef, NULL), n_rows
            n_same = n_same + 1 if n_rows == last_rows else 0
            n_needed = self.steps_for_newton(n_rows)
            if n_same >= SETTLED:
                n_needed *= SETTLED_SHARE
            if n_steps >= n_needed and n_iter < max_iter:
                n_steps, momentum = 0, 1.0
                n_iter += 1
                new = self.unused(&best, &best)
                self.copy_model(&best, &point)
                self.look(&point)
                if self.newton(&point, &new):
                    self.copy_model(&point, &best)
                    self.n_failed = 0
                else:
                    self.n_failed += 1
                last = best
                self.raise_bound(&point, &dual, &bound)
                converged = self.is_minimum(&point, &best, bound, tol)
                if converged:
                    break
                continue
            if turns_back:
                momentum, push = 1.0, 0.0
            else:
                next_momentum = (1.0 + sqrt(1.0 + 4.0 * momentum * momentum)) / 2.0
                push, momentum = (momentum - 1.0) / next_momentum, next_momentum
            self.blend(&last, &new, push, &point)
            last = new
            self.look(&point)
        return self.result(&best, &dual, bound, n_iter, converged)

    cdef result(self, Point* best, Point* dual, double bound, int n_iter,
                bint converged):
        cdef double value = self.penalty(best.coef) + self.loss.fit_intercept(
            best.products, best.intercept, self.logits)
        shape = self.columns.n_columns, self.n_outputs
        intercept = array_of(best.intercept, self.loss.n_free * self.n_outputs)
        residuals = array_of(dual.residuals, (self.n_outputs, self.n)).T
        return (array_of(best.coef, shape), intercept, value, bound, n_iter, converged,
                array_of(dual.coef, shape), residuals, dual.value, dual.slope)

    # Points.

    cdef void look(self, Point* point) noexcept nogil:
        """Find the intercept, the residuals and the gradient."""
        cdef Py_ssize_t i
        point.mean_loss = self.loss.fit_intercept(point.products, point.intercept,
                                                  point.residuals)
        point.value = point.mean_loss + self.penalty(point.coef)
        self.columns.transposed_dot(point.residuals, self.n_outputs, point.gradient)
        point.slope = 0.0
        for i in range(self.n_products):
            point.slope += point.residuals[i] * point.products[i]
        if self.has_ridge:
            for i in range(self.size):
                point.gradient[i] += (self.ridge[i // self.n_outputs]
                                      * point.coef[i])
            point.slope += 2.0 * self.penalty(point.coef)

    cdef double penalty(self, const double* coef) noexcept nogil:
        cdef Py_ssize_t i
        cdef double total = 0.0
        if self.has_ridge:
            for i in range(self.size):
                total += self.ridge[i // self.n_outputs] * coef[i] * coef[i]
        return 0.5 * total

    cdef void raise_bound(self, const Point* point, Point* dual, double* bound
                          ) noexcept nogil:
        """Keep the point that gives the best lower bound of the objective in the ball.

        Of a function of Python, and without a ball, it is just a point. Nothing is
        copied: the point must not be written any more.
        """
        cdef double low = 0.0
        if self.ball.kind not in (FREE, CALLABLE):
            low = point.value - point.slope
            low -= self.eta * self.ball.dual_norm(point.gradient)
        if low > bound[0]:
            bound[0] = low
            dual[0] = point[0]

    cdef Point unused(self, const Point* last, const Point* best) noexcept nogil:
        """A place for a model that is none of these."""
        cdef int i = 0
        while self.steps[i].coef == last.coef or self.steps[i].coef == best.coef:
            i += 1
        return self.steps[i]

    cdef void copy_model(self, const Point* source, Point* target) noexcept nogil:
        memcpy(target.coef, source.coef, self.model_size * sizeof(double))
        target.value, target.mean_loss = source.value, source.mean_loss

    cdef void blend(self, const Point* a, const Point* b, double share,
                    Point* out) noexcept nogil:
        """The model ``b + share * (b - a)``, without what is known of it."""
        cdef Py_ssize_t i
        for i in range(self.size + self.n_products):
            out.coef[i] = b.coef[i] + share * (b.coef[i] - a.coef[i])

    cdef bint is_minimum(self, Point* point, Point* best, double bound,
                         double tol) noexcept nogil:
        cdef Py_ssize_t i
        cdef double slope
        if self.ball.kind == FREE:
            for i in range(self.size):
                slope = point.gradient[i]
                if self.ball.positive and slope > 0.0:
                    slope = min(slope, point.coef[i])
                if not fabs(slope) <= tol or self.ball.positive and point.coef[i] < 0.0:
                    return False
            self.copy_model(point, best)  # of which that is known
            return True
        return best.value - max(bound, 0.0) <= tol * max(best.value, 1.0)

    # Steps.

    cdef double take_step(self, Point* point, Point* new, double curvature) except? -1:
        """Project a gradient step that is short enough; return its curvature."""
        cdef:
            Py_ssize_t i
            double squared_length, ridge, allowed, needed, linear, missed, bound
        memcpy(new.intercept, point.intercept,
               self.loss.n_free * self.n_outputs * sizeof(double))
        while True:
            for i in range(self.size):
                new.coef[i] = point.coef[i] - point.gradient[i] / curvature
            self.ball.project(new.coef, self.eta)
            self.columns.dot(new.coef, self.n_outputs, new.products)
            new.mean_loss = self.loss.evaluate(new.products, new.intercept, NULL)
            new.value = new.mean_loss + self.penalty(new.coef)
            squared_length = 0.0
            for i in range(self.size):
                self.moves[i] = new.coef[i] - point.coef[i]
                squared_length += self.moves[i] * self.moves[i]
            if squared_length == 0.0:
                return curvature
            ridge = 2.0 * self.penalty(self.moves)
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
                needed = min(needed, self.curvature_along(point, self.moves, 1.0))
            if not needed > allowed:
                return curvature
            needed = CURVATURE_MARGIN * ((needed + ridge) / squared_length)
            curvature = needed if curvature < needed < INFINITY else 4.0 * curvature

    cdef double curvature_along(self, Point* point, const double* step,
                                double shortest) noexcept nogil:
        """Bound of the curvature of the loss in a direction, of short steps.

        They are at least this share of the step.
        """
        cdef:
            Py_ssize_t i
            double largest, scale, bound = 0.0
        self.columns.dot(step, self.n_outputs, self.logits)
        largest = reduce_group(SKPROJ_NORM_LINF, <const double*>self.logits,
                               self.n_products)
        if not 0.0 < largest < INFINITY:
            return largest
        scale = max(STEP_OF_CURVATURE / largest, shortest)
        for i in range(self.n_products):
            self.logits[i] = point.products[i] + scale * self.logits[i]
        self.loss.linear_term(point.products, self.logits, point.intercept,
                              point.residuals, &bound)
        return 2.0 * bound / scale / scale

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

    cdef double distance(self, Point* point, Point* new, double curvature
                         ) noexcept nogil:
        """Distance from a fixed point; it sets the force that leads there."""
        cdef Py_ssize_t i
        for i in range(self.size):
            self.force[i] = curvature * (new.coef[i] - point.coef[i])
        if self.ball.kind == CALLABLE:
            return self.eta * self.ball.dual_norm(self.force)
        return self.ball.distance(point.coef, point.gradient, self.eta)

    cdef double mix(self, Point* point, Point* new, double curvature):
        """Go to the combination of the last models with the shortest force.

        When a force is much longer than the shortest one so far, the memory is dropped
        and the next step is shorter. Returns its curvature.
        """
        cdef:
            Py_ssize_t i
            int place, n
            double length = reduce_group(SKPROJ_NORM_L2, <const double*>self.force,
                                         self.size)
            double[::1] shares
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
        self.copy_model(new, point)
        memset(point.coef, 0, (self.size + self.n_products) * sizeof(double))
        for place in range(n):
            for i in range(self.size + self.n_products):
                point.coef[i] += shares[place] * self.models[place].coef[i]
        self.look(point)
        return curvature

    cdef double[::1] shortest_combination(self, int n):
        """Shares, which add up to 1, of the shortest affine combination of forces."""
        cdef double[::1] numbers = <double[: n * self.size + 1]>self.forces
        forces = np.asarray(numbers)[: n * self.size].reshape(n, self.size)
        gram = forces @ forces.T
        scale = np.trace(gram)
        if scale == 0.0:
            return np.full(n, 1.0 / n)
        shares = np.linalg.solve(gram / scale + MIXING_RIDGE * np.eye(n), np.ones(n))
        return shares / shares.sum()

    # Newton's method.

    cdef double steps_for_newton(self, Py_ssize_t n_rows) noexcept nogil:
        """How many steps take as long as one of Newton's; infinity if it is too large.

        The costs are multiplications for a sample, with 100 for the loss. Those of the
        systems could be shared by as many samples as there are, but then models of
        weighted samples would not be those of repeated ones, to the last digits.
        """
        cdef:
            double m = self.loss.n_free + n_rows
            double size = m * self.n_outputs
            double step = self.n_outputs * (1.5 * self.columns.n_columns + 100.0)
        if (size > MAX_ENTRIES or self.n * m > MAX_COLUMN_ENTRIES
                or self.n_failed > MAX_FAILED):
            return INFINITY
        return 4 ** self.n_failed * size / step * (
            (m + 20.0) / 2.0 + size * (size / 2.0 + 4.0) / SHARED_BY)

    cdef bint newton(self, Point* point, Point* new) except -1:
        """Minimise on the face of a point; False if that does not lower the objective.

        Otherwise the point becomes the new one.
        """
        cdef:
            Face face = self.face
            Py_ssize_t i
            int _
            double share = 1.0, norm
        if not face.start(point.coef, point.products, point.intercept, point.residuals,
                          point.gradient) or not face.minimise(self.eta):
            return False
        face.fill(new.coef)
        if self.ball.kind != FREE:
            norm = self.ball.norm(new.coef)
            if norm > self.eta:
                for i in range(self.size):
                    new.coef[i] *= self.eta / norm
        self.columns.dot(new.coef, self.n_outputs, new.products)
        self.copy_model(point, &self.trial)
        for _ in range(MAX_SHORTENINGS):
            self.blend(&self.trial, new, share - 1.0, point)
            for i in range(face.n - face.n_bound):
                point.intercept[i] = (self.trial.intercept[i]
                                      + share * face.entries[face.n_bound + i])
            self.look(point)
            if point.value <= self.trial.value:
                return True
            share *= 0.25
        self.copy_model(&self.trial, point)
        self.look(point)
        return False
