"""Steps of the ball-constrained linear models: projected gradients, accelerated."""

import copy
import functools
import math
from collections import deque
from typing import NamedTuple

import numpy as np

from skproj.linear_model._design import StandardizedDesign
from skproj.linear_model._losses import Loss

# The curvature, one over the step size, is lowered by the first factor in every
# iteration. Where the step fails, it is raised to the measured one times the second.
CURVATURE_DECAY = 0.8
CURVATURE_MARGIN = 1.5

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


class _GradientStep:
    """Projected gradient steps whose length follows the curvature."""

    def __init__(self, objective, constraint, first_point):
        self.objective = objective
        self.constraint = constraint
        gradient = first_point.gradient
        along_gradient = objective.loss.curvature_bound(objective.design.dot(gradient))
        squared_length = np.vdot(gradient, gradient)
        # Without a gradient any positive number will do.
        self.curvature = along_gradient / squared_length if along_gradient > 0 else 1.0

    def __call__(self, point):
        """Return the model one step from `point`."""
        design, loss = self.objective.design, self.objective.loss
        self.curvature *= CURVATURE_DECAY
        while True:
            coef = self.constraint.project(point.coef - point.gradient / self.curvature)
            products = design.dot(coef)
            mean_loss = loss.value(products, point.intercept)
            step = coef - point.coef
            squared_length = np.vdot(step, step)
            ridge = 2.0 * self.objective.penalty(step)
            allowed = self.curvature * squared_length - ridge
            needed = self._second_order_term(point, products, mean_loss)
            if needed > allowed:
                # The difference of products may be nothing but rounding errors, which
                # do not shrink with the step. The product of the step does: no
                # curvature exceeds the Lipschitz constant of the gradient by more than
                # the margin.
                bound = 2.0 * loss.curvature_bound(design.dot(step))
                needed = min(needed, bound)
            if squared_length == 0.0 or not needed > allowed:
                value = mean_loss + self.objective.penalty(coef)
                return Model(coef, products, point.intercept, value)
            self.curvature = CURVATURE_MARGIN * ((needed + ridge) / squared_length)

    def _second_order_term(self, point, products, mean_loss):
        """Return twice the error of a linear model of the loss, or a bound of it.

        The difference is sharper than the bound, but is lost in rounding errors when
        the step is small.
        """
        linear, bound = self.objective.loss.linear_term_and_bound(
            point.residuals, point.products, products
        )
        missed = mean_loss - point.mean_loss - linear
        return 2.0 * (min(missed, bound) if missed > 1e-9 * mean_loss else bound)


def accelerated_steps(objective, constraint, coef, intercept):
    """Yield, for ever, a point, the model one step from it, and the curvature used.

    FISTA with restart when the momentum points back.
    """
    model = Model(coef, objective.design.dot(coef), intercept, np.inf)
    point = Point(objective, *model[:3])
    gradient_step = _GradientStep(objective, constraint, point)
    momentum = 1.0
    while True:
        previous, model = model, gradient_step(point)
        yield point, model, gradient_step.curvature
        if np.vdot(model.coef - point.coef, model.coef - previous.coef) < 0.0:
            momentum, push = 1.0, 0.0
        else:
            last, momentum = momentum, (1.0 + math.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
            push = (last - 1.0) / momentum
        point = Point(
            objective,
            model.coef + push * (model.coef - previous.coef),
            model.products + push * (model.products - previous.products),
            model.intercept,
        )


def mixed_steps(objective, constraint, coef, intercept):
    """Yield the same as `accelerated_steps`, for maps that minimise nothing.

    Anderson acceleration: the next point is the affine combination of the last models
    for which that of the forces is shortest. When a force is much longer than the
    shortest one so far, the memory is dropped and the next step is shorter.
    """
    point = Point(objective, coef, objective.design.dot(coef), intercept)
    gradient_step = _GradientStep(objective, constraint, point)
    memory, shortest = deque(maxlen=ANDERSON_MEMORY), np.inf
    while True:
        model = gradient_step(point)
        yield point, model, gradient_step.curvature
        force = gradient_step.curvature * (model.coef - point.coef)
        length = np.linalg.norm(force)
        if length > MAX_FORCE_GROWTH * shortest:
            memory.clear()
            shortest = length
            gradient_step.curvature *= RESTART_CURVATURE_FACTOR
        shortest = min(shortest, length)
        memory.append((force, model))
        shares = _shortest_combination([force for force, _ in memory])
        point = Point(
            objective,
            sum(share * m.coef for share, (_, m) in zip(shares, memory, strict=True)),
            sum(
                share * m.products for share, (_, m) in zip(shares, memory, strict=True)
            ),
            model.intercept,
        )


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
