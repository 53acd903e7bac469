"""The constraint of a linear model: a ball by name, or a user's projection."""

import numpy as np

from skproj.projection._registry import BALLS, project_by_callable, weight_norms

# Order of the dual of the norm inside a group.
DUAL_ORDER = {1: np.inf, 2: 2, np.inf: 1}


class BallConstraint:
    """Ball of radius `eta` for matrices whose groups are the rows.

    The ball is a key of `BALLS`, or a callable ``projection(W, eta, axis=1)``; an
    infinite radius means no constraint.
    """

    def __init__(self, projection, eta, n_threads=1):
        self.eta = eta
        self.ball = None if callable(projection) else BALLS[projection]
        self.projection = projection
        self.n_threads = n_threads

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

        With one output the groups have one entry each, and the bi-level projections
        are the exact one.
        """
        if self.ball is None:
            return not self.bounded
        return self.ball.exact or n_outputs == 1 or not self.bounded

    def project(self, coef):
        """Project an array of shape (n_features, n_outputs)."""
        if not self.bounded:
            return coef
        if self.ball is None:
            return project_by_callable(self.projection, coef, self.eta, axis=1)
        return self.ball.project(coef, self.eta, axis=1, n_threads=self.n_threads)

    def scores(self, coef):
        """Norm of each group; for the balls of `BALLS` they add up to the norm."""
        return weight_norms(self.projection, coef, axis=1)

    def dual_norm(self, gradient):
        """Dual norm of an array; its largest entry if the ball is not known."""
        if self.ball is None:
            return float(np.max(np.abs(gradient), initial=0.0))
        return self.ball.dual_norm(gradient, axis=1)

    def fixed_point_residual(self, coef, gradient):
        r"""Distance from a fixed point of gradient step and projection.

        It is in units of the objective, not negative, and zero at a fixed point only.
        For the exact balls it is the duality gap. A bi-level projection divides the
        radius between the groups by the norms :math:`|g_j|` of their gradients, and
        solves each group by itself, which has a gap of its own:

        .. math::

            \eta \max_j |g_j| - \sum_j |w_j| |g_j|
            + \sum_j \left( |w_j| |g_j|_{dual} + \langle w_j, g_j \rangle \right)

        The distance is larger for points outside of the ball.
        """
        norms = np.linalg.norm(coef, ord=self.ball.inner_norm, axis=1)
        gradient_norms = np.linalg.norm(gradient, ord=self.ball.inner_norm, axis=1)
        duals = np.linalg.norm(gradient, ord=DUAL_ORDER[self.ball.inner_norm], axis=1)
        outside = max(norms.sum() - self.eta, 0.0)
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
        return np.linalg.norm(gradient, ord=order, axis=1)
