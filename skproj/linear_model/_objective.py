"""Objective of the linear models, and lower bounds of it."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from skproj._kernels._columns import Columns
from skproj._kernels._linear_path import Part
from skproj._kernels._losses import Loss
from skproj.linear_model._design import StandardizedDesign


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

    def ridge(self, features, shape):
        """Return the ridge penalty of each coefficient of some features."""
        weights = self.ridge_weights
        return np.broadcast_to(
            self.l2_reg * (1.0 if weights is None else weights[features]), shape
        )

    def part(self, constraint, features=slice(None)):
        """Return the model of some features in memory, which the constraint is about.

        A copy of their columns is made.
        """
        design = self.design
        scale = design.inverse_scale[features]
        sources = features if design.sources is None else design.sources[features]
        columns = Columns(design.X[:, sources], design.mean[features], scale)
        ridge = np.ascontiguousarray(self.ridge(features, (len(scale), 1))[:, 0])
        ball = constraint.kernel((len(scale), self.loss.n_outputs))
        return Part(columns, self.loss, ridge, ball)

    def certificate(self, coef, products, intercept):
        """Return the certificate at a model, where its gradient is known."""
        intercept, value, residuals = self.loss.best_intercept(products, intercept)
        ridge = self.ridge(slice(None), coef.shape) * coef
        value += 0.5 * float(np.vdot(ridge, coef))
        slope = float(np.vdot(residuals.T, products.T) + np.vdot(ridge, coef))
        gradient = self.design.transposed_dot(residuals) + ridge
        return Certificate(
            self, coef, residuals, value, slope, gradient=gradient, intercept=intercept
        )


@dataclass
class Certificate:
    """A model whose gradient bounds the objective in a ball."""

    objective: Objective
    coef: np.ndarray
    residuals: np.ndarray
    value: float  # of the objective
    slope: float  # product of the coefficients with their gradient
    features: np.ndarray | None = None  # those of the coefficients; None for all
    gradient: np.ndarray | None = None  # of all features, if it is known
    intercept: np.ndarray | None = None

    def among(self, objective, features):
        """Return the certificate for an objective of more features, these included."""
        if self.features is not None:
            features = features[self.features]
        return replace(self, objective=objective, features=features, gradient=None)

    def complete(self, gradient):
        """Add the gradient of the penalty to that of the loss, for all features."""
        own = slice(None) if self.features is None else self.features
        if self.objective.l2_reg:
            gradient[own] += self.objective.ridge(own, self.coef.shape) * self.coef
        return replace(self, gradient=gradient)

    def gap_and_bound(self, constraint, value):
        """Return how far `value` is from the minimum, and a bound of the objective.

        Maps that do not lead to the minimum have the distance from a fixed point.
        """
        bound = self.value - self.slope
        bound -= constraint.eta * constraint.dual_norm(self.gradient)
        bound = max(float(bound), 0.0)
        if constraint.kernel(self.gradient.shape).exact:
            return value - bound, bound
        coef = self.coef
        if self.features is not None:
            coef = np.zeros_like(self.gradient)
            coef[self.features] = self.coef
        residual = constraint.fixed_point_residual(coef, self.gradient)
        return min(value - bound, residual), bound
