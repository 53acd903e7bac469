"""Points of the ball-constrained linear models, and how steps between them go on."""

import copy
import functools
import math
from collections import deque
from typing import NamedTuple

import numpy as np

from skproj._kernels._losses import Loss
from skproj.linear_model._design import StandardizedDesign

# Anderson acceleration: the number of steps that are combined into the next point, and
# the ridge that keeps their shares small where the map has kinks. When the force
# exceeds the shortest one so far by the third factor, the memory is dropped and the
# curvature is multiplied by the fourth.
ANDERSON_MEMORY = 5
MIXING_RIDGE = 1e-5
MAX_FORCE_GROWTH = 2.0
RESTART_CURVATURE_FACTOR = 2.0


class Objective(NamedTuple):
    """The mean loss of a linear model, and a ridge penalty of its coefficients."""

    design: StandardizedDesign
    loss: Loss
    l2_reg: float = 0.0
    # Factors of the ridge penalty of shape (n_features, 1): 1 if None.
    ridge_weights: np.ndarray | None = None

    def columns(self, features):
        """Keep some features."""
        weights = self.ridge_weights
        return self._replace(
            design=self.design.columns(features),
            ridge_weights=None if weights is None else weights[features],
        )

    def ridge_gradient(self, coef):
        """Return the gradient of the ridge penalty."""
        if self.ridge_weights is None:
            return self.l2_reg * coef
        return self.l2_reg * (self.ridge_weights * coef)

    def penalty(self, coef):
        """Return the ridge penalty."""
        if not self.l2_reg:
            return 0.0
        return 0.5 * float(np.vdot(self.ridge_gradient(coef), coef))


class Model(NamedTuple):
    """Coefficients, the logits they give without the intercept, and the objective."""

    coef: np.ndarray
    products: np.ndarray
    intercept: np.ndarray
    value: float


class Point:
    """A point where the gradient is known; the intercept is the best one there."""

    def __init__(self, objective, coef, products, intercept):
        self.coef = coef
        self.products = products
        self.intercept, self.mean_loss, self.residuals = objective.loss.best_intercept(
            products, intercept
        )
        self.value = self.mean_loss + objective.penalty(coef)
        self.ridge = objective.ridge_gradient(coef) if objective.l2_reg else None
        self.gradient = self.add_ridge(
            objective.design.transposed_dot(self.residuals), slice(None)
        )

    def add_ridge(self, gradient, features):
        """Add the gradient of the penalty to that of the loss, in place.

        `features` are those of the point among those of the gradient.
        """
        if self.ridge is not None:
            gradient[features] += self.ridge
        return gradient

    def among(self, features, gradient):
        """Return the point among more features, with the gradient of all of them."""
        point = copy.copy(self)
        point.gradient = gradient
        point.coef = np.zeros_like(gradient)
        point.coef[features] = self.coef
        if self.ridge is not None:
            point.ridge = np.zeros_like(gradient)
            point.ridge[features] = self.ridge
        return point

    def lower_bound(self, constraint, gradient=None):
        """Bound the objective on the ball; `gradient` may have more features."""
        if not constraint.sparsifies:
            return 0.0
        if gradient is None:
            gradient = self.gradient
        return float(
            self.value - self.slope - constraint.eta * constraint.dual_norm(gradient)
        )

    def gap_and_bound(self, constraint, features, gradient, value):
        """Return how far `value` is from the minimum, and a bound of the objective.

        The point has `features` only, `gradient` is the one there of all; maps that do
        not lead to the minimum have the distance from a fixed point.
        """
        bound = max(self.lower_bound(constraint, gradient), 0.0)
        if constraint.exact(gradient.shape[1]):
            return value - bound, bound
        coef = np.zeros_like(gradient)
        coef[features] = self.coef
        residual = constraint.fixed_point_residual(coef, gradient)
        return min(value - bound, residual), bound

    def second_order_term(self, loss, products, mean_loss):
        """Return twice the error of a linear model of the loss, or a bound of it.

        The difference is sharper than the bound, but is lost in rounding errors when
        the step is small.
        """
        linear, bound = loss.linear_term_and_bound(
            self.residuals, self.products, products
        )
        missed = mean_loss - self.mean_loss - linear
        return 2.0 * (min(missed, bound) if missed > 1e-9 * mean_loss else bound)

    @functools.cached_property
    def slope(self):
        """Product of the gradient with the coefficients."""
        # In Fortran order, which `vdot` would copy.
        slope = np.vdot(self.residuals.T, self.products.T)
        if self.ridge is not None:
            slope += np.vdot(self.ridge, self.coef)
        return slope

    def certificate(self, dtype):
        """Return what a lower bound needs, with residuals of this dtype."""
        point = copy.copy(self)
        point.slope = self.slope
        point.residuals, point.products = self.residuals.astype(dtype), None
        return point


class Descent:
    """Accelerated search for the minimum: FISTA, restarted if momentum points back.

    It ends when the certificate is small, or the gradient if there is no ball. The
    model of the smallest objective is the `best`; `bound` was taken at the point
    `dual`.
    """

    def __init__(self, objective, constraint, tol, point):
        self.objective, self.constraint, self.tol = objective, constraint, tol
        self.best = Model(point.coef, point.products, point.intercept, point.value)
        self.last, self.momentum = self.best, 1.0
        self.bound = -np.inf

    def has_converged(self, point, model, curvature):
        """Take note of the model one step from a point."""
        bound = point.lower_bound(self.constraint)
        if bound > self.bound:
            self.bound, self.dual = bound, point
        if model.value < self.best.value:
            self.best = model
        if self.constraint.bounded:
            gap = self.best.value - max(self.bound, 0.0)
            return gap <= self.tol * max(self.best.value, 1.0)
        return np.max(np.abs(point.gradient), initial=0.0) <= self.tol

    def next_point(self, point, model, curvature):
        """Return where to take the next step, and the curvature there."""
        previous, self.last = self.last, model
        if np.vdot(model.coef - point.coef, model.coef - previous.coef) < 0.0:
            self.momentum, push = 1.0, 0.0
        else:
            momentum = (1.0 + math.sqrt(1.0 + 4.0 * self.momentum**2)) / 2.0
            push, self.momentum = (self.momentum - 1.0) / momentum, momentum
        point = Point(
            self.objective,
            model.coef + push * (model.coef - previous.coef),
            model.products + push * (model.products - previous.products),
            model.intercept,
        )
        return point, curvature


class FixedPointSearch:
    """Search for a fixed point of gradient step and a map that minimises nothing.

    Anderson acceleration: the next point is the affine combination of the last models
    for which that of the forces is shortest. When a force is much longer than the
    shortest one so far, the memory is dropped and the next step is shorter.

    It ends when steps do not move, or the certificate says it is the minimum. The model
    with the least residual is the `best`; `bound` was taken at the point `dual`.
    """

    def __init__(self, objective, constraint, tol, point):
        self.objective, self.constraint, self.tol = objective, constraint, tol
        self.memory, self.shortest = deque(maxlen=ANDERSON_MEMORY), np.inf
        self.least = np.inf

    def has_converged(self, point, model, curvature):
        """Take note of the model one step from a point."""
        constraint = self.constraint
        if constraint.ball is None:
            # In units of the duality gap: what the step could have gained in the ball.
            force = curvature * (model.coef - point.coef)
            residual = constraint.eta * constraint.dual_norm(force)
        else:
            residual = constraint.fixed_point_residual(point.coef, point.gradient)
        if residual < self.least:
            self.least, self.best, self.dual = residual, model, point
            self.bound = max(point.lower_bound(constraint), 0.0)
        gap = min(residual, self.best.value - self.bound)
        return gap <= self.tol * max(self.best.value, 1.0)

    def next_point(self, point, model, curvature):
        """Return where to take the next step, and the curvature there."""
        force = curvature * (model.coef - point.coef)
        length = np.linalg.norm(force)
        if length > MAX_FORCE_GROWTH * self.shortest:
            self.memory.clear()
            self.shortest = length
            curvature *= RESTART_CURVATURE_FACTOR
        self.shortest = min(self.shortest, length)
        self.memory.append((force, model))
        forces, models = zip(*self.memory, strict=True)
        shares = list(zip(_shortest_combination(forces), models, strict=True))
        point = Point(
            self.objective,
            sum(share * m.coef for share, m in shares),
            sum(share * m.products for share, m in shares),
            model.intercept,
        )
        return point, curvature


def _shortest_combination(vectors):
    """Return the shares, which add up to 1, of the shortest affine combination."""
    matrix = np.stack([vector.ravel() for vector in vectors])
    gram = matrix @ matrix.T
    scale = np.trace(gram)
    if scale == 0.0:
        return np.full(len(vectors), 1.0 / len(vectors))
    gram.flat[:: len(vectors) + 1] += MIXING_RIDGE * scale
    shares = np.linalg.solve(gram / scale, np.ones(len(vectors)))
    return shares / shares.sum()
