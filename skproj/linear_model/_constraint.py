"""The constraint of a linear model: a ball by name, or a user's projection."""

from functools import partial

import numpy as np

from skproj._kernels._coefficient_ball import Ball
from skproj.linear_model._row_groups import RowGroups
from skproj.projection._registry import BALLS, project_by_callable
from skproj.utils._moments import SAFE_SIZE, unit_factors


class CoefficientBall:
    """Ball of radius `eta` for matrices whose groups are rows, or consecutive rows.

    The ball is a key of `BALLS`, or a callable ``projection(W, eta, axis=1)``, for
    which each row is a group; an infinite radius means no constraint. `groups` are
    `RowGroups`, by default of one row each. If `positive`, no coefficient may be
    negative. The dict `kernels` keeps what does not depend on the radius.
    """

    def __init__(self, projection, eta, groups=None, positive=False, kernels=None):
        self.groups = groups or RowGroups()
        self.eta = eta
        self.ball = None if callable(projection) else BALLS[projection]
        self.projection = projection
        self.positive = positive
        self.bounded = bool(np.isfinite(eta))
        # Whether the projection is known to make whole groups zero.
        self.sparsifies = self.bounded and self.ball is not None
        # Identity of the parts of the kernel, whose radius is given to them.
        self.key = id(projection), self.bounded
        self._kernels = {} if kernels is None else kernels

    def kernel(self, shape):
        """Return the `Ball` of arrays of this shape."""
        key = self.key, shape
        if key not in self._kernels:
            name = "callable" if self.ball is None else self.ball.name
            sizes = self.groups.sizes
            if sizes is None:
                sizes = np.ones(shape[0], dtype=np.intp)
            function = partial(project_by_callable, self.projection, axis=1)
            options = self.bounded, self.positive, function
            self._kernels[key] = Ball(name, sizes, shape[1], *options)
        return self._kernels[key]

    def project(self, coef):
        """Project an array of shape (n_features, n_outputs)."""
        return self.kernel(coef.shape).projected(coef, self.eta)

    def scores(self, coef):
        """Norm of each group; for the balls of `BALLS` they add up to the norm."""
        kernel, largest = self.kernel(coef.shape), np.abs(coef).max(initial=0.0)
        if largest == 0.0 or 1.0 / SAFE_SIZE < largest < SAFE_SIZE:
            return kernel.scores(coef)
        unit = unit_factors(largest)  # squares would overflow, or be zero
        return kernel.scores(coef * unit) / unit

    def dual_norm(self, gradient):
        """Dual norm of a gradient; its largest entry if the ball is not known."""
        return self.kernel(gradient.shape).dual_norm_of(gradient)

    def subset(self, groups):
        """Return the rows of some groups, and the constraint of these rows."""
        rows, groups = self.groups.subset(groups)
        return rows, CoefficientBall(self.projection, self.eta, groups, self.positive)

    def fixed_point_residual(self, coef, gradient):
        """Distance from a fixed point of gradient step and projection, see `Ball`."""
        return self.kernel(coef.shape).fixed_point_residual(coef, gradient, self.eta)

    def screening_scores(self, gradient):
        """Score of each group: the largest become nonzero first."""
        return self.kernel(gradient.shape).screening_scores(gradient)
