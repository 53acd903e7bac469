"""Newton's method on a face of the ball of a linear model.

The coefficients that are not zero, and the intercept, minimise a smooth function. Its
quadratic model is minimised by an active set: what the ball or a sign keeps from going
further leaves the face, and the rest goes on.
"""

from libc.math cimport fabs, isfinite
from libc.string cimport memcpy, memset
from scipy.linalg.cython_lapack cimport dpotrf, dpotrs

import numpy as np

from ._coefficient_ball cimport FREE, L1, L12, L1INF, Ball
from ._columns cimport Columns
from ._losses cimport Loss
from ._simd cimport SKPROJ_NORM_L2, SKPROJ_NORM_LINF, reduce_group

cdef:
    # Largest number of bounds that a step meets.
    int MAX_BOUNDS = 100
    # Share of the curvatures that is added to them, so that collinear columns have a
    # solution, and equal ones that start together stay together.
    double NEWTON_RIDGE = 1e-9
    # Entries that differ by less from the largest of their group are equal to it.
    double TIED = 1e-10
    # Bounds that are met within this share of a step are met together.
    double TOGETHER = 1e-6


cdef class Face:
    """Coefficients that are not zero, and the intercept, as Newton's method sees them.

    The parameters are those of a face of the ball. An entry is a multiple of one
    parameter, or stays zero: the largest entries of a group of the l1,inf ball have one
    together. The arguments are those of `Part`.
    """

    def __init__(self, Columns columns, Loss loss, ridge, Ball ball):
        self.columns, self.loss, self.ridge, self.ball = columns, loss, ridge, ball
        self.rows = np.empty(columns.n_columns + 1, dtype=np.intp)
        self.pointers = np.empty(columns.n_columns + loss.n_free, dtype=np.intp)
        self.expanded = np.empty(0)

    cdef bint start(self, const double* coef, const double* products,
                    const double* intercept, const double* residuals,
                    const double* gradient) except -1:
        cdef Py_ssize_t e, i, n_outputs = self.ball.n_outputs
        self.n_rows = self.ball.nonzero_rows(coef, &self.rows[0])
        self.n = self.n_bound = self.n_rows * n_outputs
        if self.n == 0:
            return False
        if self.loss.has_intercept:
            self.n += self.loss.n_free * n_outputs
        if self.n > self.room:
            self.reserve()
        self.find_curvature(products, intercept, residuals)
        for e in range(self.n):
            self.entries[e] = self.gradient[e] = 0.0
        for e in range(self.n_bound):
            i = self.rows[e // n_outputs] * n_outputs + e % n_outputs
            self.entries[e], self.gradient[e] = coef[i], gradient[i]
        self.find_parameters()
        return True

    cdef bint minimise(self, double eta):
        cdef:
            Py_ssize_t e, p
            double share, slack, change
            int n_bounds
        for n_bounds in range(MAX_BOUNDS):
            slack = eta
            for p in range(self.n):
                if self.alive[p]:
                    slack -= self.normal[p] * self.theta[p]
            if not self.solve(slack):
                return n_bounds > 0
            share = 1.0
            for p in range(self.n):
                self.left[p] = self.share_left(p) if self.alive[p] else 2.0
                share = min(share, self.left[p])
            for e in range(self.n):
                if self.owner[e] >= 0:
                    change = share * self.factor[e] * self.step[self.owner[e]]
                    self.set_entry(e, self.entries[e] + change)
            for p in range(self.n):
                if self.alive[p]:
                    self.theta[p] += share * self.step[p]
            if share == 1.0:
                return True
            for p in range(self.n):  # equal columns leave together
                if self.alive[p] and self.left[p] <= share * (1.0 + TOGETHER):
                    self.leave(p)
        return True

    cdef void fill(self, double* coef) noexcept:
        cdef Py_ssize_t i, n_outputs = self.ball.n_outputs
        memset(coef, 0, self.ball.size * sizeof(double))
        for i in range(self.n_rows):
            memcpy(coef + self.rows[i] * n_outputs, &self.entries[i * n_outputs],
                   n_outputs * sizeof(double))

    cdef int reserve(self) except -1:
        cdef Py_ssize_t room = self.n
        self.owner, self.limit, self.group, self.place = np.empty((4, room), np.intp)
        self.factor, self.entries, self.gradient, self.size = np.empty((4, room))
        self.theta, self.normal, self.step, self.left, self.kept = np.empty((5, room))
        self.curvature, self.system = np.empty((2, room * room))
        self.sides = np.empty(2 * room)
        self.alive, self.bounded = np.empty((2, room), dtype=np.int8)
        self.room = room
        return 0

    cdef int find_curvature(self, const double* products, const double* intercept,
                            const double* residuals) except -1:
        """Second derivatives of the objective by the entries."""
        cdef:
            Py_ssize_t i, j, k, n_outputs = self.ball.n_outputs, n = self.loss.n_samples
            Py_ssize_t m = self.n_rows, n_rows = self.n // n_outputs
            double* H = &self.curvature[0]
            double* room = NULL
        self.columns.sort_by_column()
        if self.columns.is_float or self.columns.is_sparse:
            if self.expanded.shape[0] < m * n:
                self.expanded = np.empty(m * n)
            room = &self.expanded[0]
        for i in range(m):
            self.pointers[i] = <Py_ssize_t>self.columns.column(
                self.rows[i], NULL if room == NULL else room + i * n)
        for i in range(n_rows - m):
            self.pointers[m + i] = <Py_ssize_t>&self.loss.columns[i, 0]
        if self.loss.hessian(<const double* const*>&self.pointers[0], n_rows, products,
                             intercept, residuals, H):
            raise MemoryError("No memory for the second derivatives of the loss.")
        for i in range(self.n_bound):
            H[i * self.n + i] += self.ridge[self.rows[i // n_outputs]]
        # A shift of all outputs changes no probability: none is wanted.
        for i in range(0 if self.ball.kind == FREE else m, n_rows):
            for k in range(i * n_outputs, (i + 1) * n_outputs):
                for j in range(i * n_outputs, (i + 1) * n_outputs):
                    H[k * self.n + j] += self.loss.shift
        return 0

    cdef void find_parameters(self) noexcept:
        """Parameters at the entries, and the curvature of the norm."""
        cdef:
            Py_ssize_t e, start = 0, stop, top, j = 0, n_outputs = self.ball.n_outputs
            int kind = self.ball.kind
            double size, slope = 0.0, squares = 0.0
        for e in range(self.n):
            self.normal[e] = 0.0
            self.factor[e], self.owner[e] = 1.0, e
            self.limit[e] = self.group[e] = -1
            self.alive[e] = True
            self.bounded[e] = e < self.n_bound and self.ball.positive
        while start < self.n_bound:
            while self.ball.starts[j + 1] <= self.rows[start // n_outputs] * n_outputs:
                j += 1
            stop, top = start + self.ball.starts[j + 1] - self.ball.starts[j], -1
            size = reduce_group(
                SKPROJ_NORM_L2 if kind == L12 else SKPROJ_NORM_LINF,
                <const double*>&self.entries[start], stop - start)
            for e in range(start, stop):
                if kind == L12:
                    self.normal[e] = self.entries[e] / size
                    self.group[e], self.size[e] = start, size
                elif kind == L1:
                    self.normal[e], self.bounded[e] = 1.0, True
                    self.factor[e] = 1.0 if self.entries[e] > 0.0 else -1.0
                elif kind == L1INF and fabs(self.entries[e]) >= size * (1.0 - TIED):
                    self.factor[e] = 1.0 if self.entries[e] > 0.0 else -1.0
                    if top >= 0:
                        self.owner[e], self.alive[e] = top, False
                    else:
                        top, self.normal[e], self.bounded[e] = e, 1.0, True
                if self.entries[e] == 0.0 and (self.ball.positive or kind == L1):
                    self.alive[e], self.owner[e] = False, -1
            for e in range(start, stop if kind == L1INF else start):
                if self.alive[e] and e != top:
                    self.limit[e] = top
            start = stop
        for e in range(self.n):
            self.theta[e] = self.factor[e] * self.entries[e]
            slope -= self.normal[e] * self.factor[e] * self.gradient[e]
            squares += self.normal[e] * self.normal[e]
        if kind == L12 and slope > 0.0:
            self.bend(slope / squares)

    cdef void bend(self, double multiplier) noexcept:
        """Add the curvature of the l1,2 norm, times its multiplier."""
        cdef Py_ssize_t e, other
        for e in range(self.n):
            other = self.group[e]
            while 0 <= other < self.n and self.group[other] == self.group[e]:
                self.curvature[e * self.n + other] += multiplier / self.size[e] * (
                    (e == other) - self.normal[e] * self.normal[other])
                other += 1

    cdef bint solve(self, double slack):
        """Find the step to the minimum in the ball; False if the system is singular."""
        cdef:
            Py_ssize_t e, other, p, q, m = 0
            double multiplier = 0.0, along = 0.0, of = 0.0
            int size, n_sides = 2, info = 0
            double* A = &self.system[0]
            double* gradient = &self.sides[0]
            double* normal
        for p in range(self.n):
            self.step[p] = 0.0
            if self.alive[p]:
                self.place[p] = m
                m += 1
        if m == 0:
            return True
        normal = gradient + m
        memset(A, 0, m * m * sizeof(double))
        memset(gradient, 0, 2 * m * sizeof(double))
        for e in range(self.n):
            if self.owner[e] < 0:
                continue
            p = self.place[self.owner[e]]
            gradient[p] -= self.factor[e] * self.gradient[e]
            normal[p] = self.normal[self.owner[e]]
            for other in range(self.n):
                if self.owner[other] >= 0:
                    q = self.place[self.owner[other]]
                    A[p * m + q] += (self.factor[e] * self.factor[other]
                                     * self.curvature[e * self.n + other])
        for p in range(m):
            A[p * m + p] *= 1.0 + NEWTON_RIDGE
        size = <int>m
        dpotrf("L", &size, A, &size, &info)
        if info != 0:
            return False
        # Both sides are solved for together: the multiplier is that of the normal.
        memcpy(&self.kept[0], normal, m * sizeof(double))
        dpotrs("L", &size, &n_sides, A, &size, gradient, &size, &info)
        if self.ball.kind != FREE:
            for p in range(m):
                along += self.kept[p] * gradient[p]
                of += self.kept[p] * normal[p]
            if along > slack and of > 0.0:
                multiplier = (along - slack) / of
        for p in range(self.n):
            if self.alive[p]:
                q = self.place[p]
                self.step[p] = gradient[q] - multiplier * normal[q]
                if not isfinite(self.step[p]):
                    return False
        return True

    cdef double share_left(self, Py_ssize_t p) noexcept:
        """Share of the step that a parameter can go, or more than 1."""
        cdef:
            Py_ssize_t other = p, top = self.limit[p]
            double sign, share = 2.0, here = 0.0, there = 0.0
        if self.bounded[p] and self.theta[p] + self.step[p] < 0.0:
            share = self.theta[p] / -self.step[p]
        # Until the entry is as large as the largest of its group.
        for sign in (-1.0, 1.0):
            if top >= 0 and (sign * (self.theta[p] + self.step[p])
                             > self.theta[top] + self.step[top]):
                share = min(share, max(self.theta[top] - sign * self.theta[p], 0.0)
                            / (sign * self.step[p] - self.step[top]))
        if self.group[p] != p:
            return share
        # Until the group of the l1,2 ball has turned around.
        while other < self.n and self.group[other] == p:
            if self.alive[other]:
                here += self.normal[other] * self.theta[other]
                there += self.normal[other] * (self.theta[other] + self.step[other])
            other += 1
        return min(share, here / (here - there) if there <= 0.0 < here else 2.0)

    cdef bint leaves_with(self, Py_ssize_t p, Py_ssize_t blocking) noexcept:
        """Whether a parameter has to leave with another one."""
        return p == blocking or self.limit[p] == blocking or (
            self.group[p] >= 0 and self.group[p] == self.group[blocking]
            and not self.bounded[p])

    cdef void leave(self, Py_ssize_t blocking) noexcept:
        """Take what has met its bound off the face."""
        cdef Py_ssize_t e, p, top = self.limit[blocking]
        if top >= 0 and fabs(self.theta[blocking]) > 0.5 * self.theta[top]:
            # It moves with the largest entries of its group from now on.
            self.factor[blocking] = 1.0 if self.theta[blocking] > 0.0 else -1.0
            self.owner[blocking], self.alive[blocking] = top, False
            self.set_entry(blocking, self.factor[blocking] * self.theta[top])
            return
        for e in range(self.n):
            if self.owner[e] >= 0 and self.leaves_with(self.owner[e], blocking):
                self.set_entry(e, 0.0)
                self.owner[e] = -1
        for p in range(self.n):
            if self.leaves_with(p, blocking):
                self.alive[p] = False

    cdef void set_entry(self, Py_ssize_t e, double value) noexcept:
        """Change an entry, and with it the gradient."""
        cdef:
            Py_ssize_t other
            double change = value - self.entries[e]
        self.entries[e] = value
        if change != 0.0:
            for other in range(self.n):
                self.gradient[other] += self.curvature[e * self.n + other] * change
