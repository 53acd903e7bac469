"""The constraint of a linear model: a ball by name, or a user's projection."""

import copy

import numpy as np

from skproj._kernels._linear_path import KINDS
from skproj.linear_model._row_groups import RowGroups
from skproj.projection._engine import project
from skproj.projection._registry import BALLS, project_by_callable

# Order of the dual of the norm inside a group.
DUAL_ORDER = {1: np.inf, 2: 2, np.inf: 1}


class CoefficientBall:
    """Ball of radius `eta` for matrices whose groups are rows, or consecutive rows.

    The ball is a key of `BALLS`, or a callable ``projection(W, eta, axis=1)``, for
    which each row is a group; an infinite radius means no constraint. `groups` are
    `RowGroups`, by default of one row each. If `positive`,
    no coefficient may be negative, and a gradient only counts where it is negative: the
    norms of `BALLS` grow with the absolute values, so that the nearest matrix of the
    set is the projection of the positive part.
    """

    def __init__(self, projection, eta, n_threads=1, groups=None, positive=False):
        self.groups = groups or RowGroups()
        self.eta = eta
        self.ball = None if callable(projection) else BALLS[projection]
        self.projection = projection
        self.n_threads = n_threads
        self.positive = positive

    @property
    def key(self):
        """What tells parts of the kernel apart, whose radius is given to them."""
        return id(self.projection), self.bounded

    @property
    def bounded(self):
        """Whether the radius is finite."""
        return np.isfinite(self.eta)

    @property
    def sparsifies(self):
        """Whether the projection is known to make whole groups zero."""
        return self.bounded and self.ball is not None

    def exact(self, n_outputs):
        """Whether projecting gives the nearest point of the set.

        Where the groups have one entry each, the bi-level projections are the exact
        one.
        """
        if self.ball is None:
            return not self.bounded
        one_entry = n_outputs * self.groups.largest == 1
        return self.ball.exact or one_entry or not self.bounded

    def for_kernel(self, n_rows, n_outputs):
        """Return the arguments of `Part` that describe the constraint."""
        starts = np.append(0, np.cumsum(self.groups.repeat_sizes(n_rows)))
        if not self.bounded:
            kind = "none"
        elif self.ball is None:
            kind = "callable"
        elif n_outputs * self.groups.largest == 1:
            kind = "l1"
        else:
            kind = self.ball.name
        return starts, KINDS[kind], self.positive, self._project_onto

    def _project_onto(self, coef, eta):
        return project_by_callable(self.projection, coef, eta, axis=1)

    def project(self, coef):
        """Project an array of shape (n_features, n_outputs)."""
        if self.positive:
            coef = np.maximum(coef, 0.0)  # the norms depend on sizes only
        if not self.bounded:
            return coef
        if self.ball is None:
            return project_by_callable(self.projection, coef, self.eta, axis=1)
        matrix, axis = self.groups.as_matrix(coef), 1 if self.ball.grouped else None
        matrix = project(
            matrix, self.eta, self.ball.solver, axis, None, self.n_threads, False
        )
        return self.groups.as_array(matrix, coef.shape)

    def scores(self, coef):
        """Norm of each group; for the balls of `BALLS` they add up to the norm."""
        order = 2 if self.ball is None else self.ball.inner_norm
        return self.groups.norms(coef, order)

    def downhill(self, gradient):
        """Return the part of a gradient that coefficients of any sign can follow."""
        return np.minimum(gradient, 0.0) if self.positive else gradient

    def dual_norm(self, gradient):
        """Dual norm of a gradient; its largest entry if the ball is not known."""
        order = np.inf if self.ball is None else DUAL_ORDER[self.ball.inner_norm]
        norms = self.groups.norms(self.downhill(gradient), order)
        return float(np.max(norms, initial=0.0))

    def subset(self, groups):
        """Return the rows of some groups, and the constraint of these rows."""
        part = copy.copy(self)
        rows, part.groups = self.groups.subset(groups)
        return rows, part

    def fixed_point_residual(self, coef, gradient):
        r"""Distance from a fixed point of gradient step and projection.

        It is in units of the objective, not negative, and zero at a fixed point only.
        For the exact balls it is the duality gap. A bi-level projection divides the
        radius between the groups by the norms :math:`|g_j|` of their gradients, and
        solves each group by itself, which has a gap of its own:

        .. math::

            \eta \max_j |g_j| - \sum_j |w_j| |g_j|
            + \sum_j \left( |w_j| |g_j|_{dual} + \langle w_j, g_j \rangle \right)

        The distance is larger for points outside of the set.
        """
        order = self.ball.inner_norm
        outside = 0.0
        if self.positive:
            outside = np.maximum(-coef, 0.0).sum()
            coef = np.maximum(coef, 0.0)
        counts = self.downhill(gradient)
        norms = self.groups.norms(coef, order)
        gradient_norms = self.groups.norms(counts, order)
        duals = self.groups.norms(counts, DUAL_ORDER[order])
        outside += max(norms.sum() - self.eta, 0.0)
        return float(
            (self.eta + 2.0 * outside) * np.max(gradient_norms, initial=0.0)
            + norms @ (duals - gradient_norms)
            + np.vdot(coef, gradient)
        )

    def screening_scores(self, gradient):
        """Score of each group: the largest become nonzero first."""
        order = self.ball.inner_norm
        if self.exact(gradient.shape[1]):
            order = DUAL_ORDER[order]
        return self.groups.norms(self.downhill(gradient), order)
