"""Objective of the linear models, and lower bounds of it."""

from dataclasses import dataclass
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
    l2_reg: float
    ridge_weights: np.ndarray  # factors of the ridge penalty, (n_features, 1)

    def columns(self, features):
        """Keep some features."""
        return self._replace(
            design=self.design.columns(features),
            ridge_weights=self.ridge_weights[features],
        )

    def ridge(self, features=slice(None)):
        """Return the ridge penalty of some features, of shape (n_features, 1)."""
        return self.l2_reg * self.ridge_weights[features]

    def part(self, constraint, features=slice(None)):
        """Return the model of some features in memory, which the constraint is about.

        A copy of their columns is made.
        """
        design = self.design
        scale = design.inverse_scale[features]
        sources = features if design.sources is None else design.sources[features]
        columns = Columns(design.X, sources, design.mean[features], scale)
        ball = constraint.kernel((len(scale), self.loss.n_outputs))
        return Part(columns, self.loss, self.ridge(features).ravel(), ball)

    def certificate(self, coef, intercept):
        """Return the certificate at a model, where its gradient is known."""
        products = np.zeros((self.loss.n_samples, self.loss.n_outputs), order="F")
        if coef.any():
            products = self.design.dot(coef)
        intercept, value, residuals = self.loss.best_intercept(products, intercept)
        ridge = self.ridge() * coef
        value += 0.5 * float(np.vdot(ridge, coef))
        slope = float(np.vdot(residuals.T, products.T) + np.vdot(ridge, coef))
        gradient = self.design.transposed_dot(residuals) + ridge
        return Certificate(coef, residuals, value, slope, gradient, intercept)


@dataclass
class Certificate:
    """A model whose gradient bounds the objective in a ball."""

    coef: np.ndarray
    residuals: np.ndarray
    value: float  # of the objective
    slope: float  # product of the coefficients with their gradient
    gradient: np.ndarray | None = None  # if it is known
    intercept: np.ndarray | None = None

    def among(self, objective, features, gradient):
        """Return the certificate for an objective of more features, these included.

        The gradient is that of the loss; the penalty's is added in place.
        """
        coef = spread(self.coef, features, objective)
        if objective.l2_reg:
            gradient += objective.ridge() * coef
        known = self.residuals, self.value, self.slope, gradient, self.intercept
        return Certificate(coef, *known)

    def gap_and_bound(self, constraint, value):
        """Return how far `value` is from the minimum, and a bound of the objective.

        Maps that do not lead to the minimum have the distance from a fixed point.
        """
        bound = self.value - self.slope
        bound -= constraint.eta * constraint.dual_norm(self.gradient)
        bound = max(float(bound), 0.0)
        if constraint.kernel(self.gradient.shape).exact:
            return value - bound, bound
        residual = constraint.fixed_point_residual(self.coef, self.gradient)
        return min(value - bound, residual), bound


def spread(coef, features, objective):
    """Return the coefficients of all features for those of some; others are zero."""
    coefs = np.zeros((objective.design.n_features, coef.shape[1]))
    coefs[features] = coef
    return coefs
