"""Losses of linear models: values, residuals and the best intercept."""

import copy
import math
from abc import ABC, abstractmethod

import numpy as np

from skproj._kernels import _losses as kernels

# The intercept counts as optimal when the residuals cancel to this relative accuracy.
INTERCEPT_TOL = 1e-10
INTERCEPT_MAX_ITER = 50
# Several columns take longer where most errors are on the linear parts of the loss.
BASIS_MAX_ITER = 200
# A step that promises less than this share of the loss is lost in its rounding.
MIN_RELATIVE_DECREASE = 1e-10
# Less curvature than this, as a share of that of the squared error, counts as none.
MIN_HUBER_CURVATURE = 1e-6


class Loss(ABC):
    """Weighted mean over the samples of a convex, non-negative loss of the logits.

    The logits are `products`, of shape (n_samples, n_outputs), and what the intercept
    adds to them. The targets have one row for each sample; what they mean is up to the
    loss. The weights are positive and add up to 1. Without `fit_intercept`,
    `best_intercept` keeps the intercept that it is given. Arrays of shape (n_samples,
    n_outputs) are in Fortran order, in which kernels and reductions are fast.

    The intercept has the shape (n_outputs,), or, if it is made of the columns of a
    `basis` of shape (n_samples, n_free), the shape (n_free, n_outputs).
    """

    basis = None

    # Bound of the largest eigenvalue of the Hessian of one sample's loss.
    curvature = 1.0
    # Share of the slope at zero where a path of radii ends.
    min_slope_share = 0.004

    def __init__(self, targets, weights, fit_intercept=True):
        self.targets = np.asfortranarray(targets)
        self.weights = weights[:, np.newaxis]
        self.max_intercept_iter = INTERCEPT_MAX_ITER if fit_intercept else 0

    @property
    def n_samples(self):
        return self.targets.shape[0]

    @property
    def n_outputs(self):
        return self.targets.shape[1]

    def with_basis(self, basis):
        """Return the same loss with an intercept made of orthonormal columns.

        They are orthonormal for the weights, and one of them is constant if there is
        an intercept.
        """
        loss = copy.copy(self)
        loss.basis = basis
        loss.max_intercept_iter = BASIS_MAX_ITER if basis.shape[1] else 0
        return loss

    @property
    def n_free(self):
        """Number of columns that the intercept is made of."""
        return 1 if self.basis is None else self.basis.shape[1]

    def zero_intercept(self):
        """Return the intercept without effect."""
        shape = (self.n_free, self.n_outputs)
        return np.zeros(shape[1] if self.basis is None else shape)

    def offsets(self, intercept):
        """Return what the intercept adds to the logits."""
        return intercept if self.basis is None else self.basis @ intercept

    def _logits(self, products, intercept):
        return products if intercept is None else products + self.offsets(intercept)

    def _intercept_gradient(self, residuals):
        if self.basis is None:
            return residuals.sum(axis=0)
        return (self.basis.T @ residuals).ravel()

    def _intercept_curvatures(self, second):
        """Return the Hessian of the intercept for second derivatives of the logits.

        Those of different outputs are zero.
        """
        if self.basis is None:
            return np.diag(second.sum(axis=0))
        hessian = np.zeros((self.n_free, self.n_outputs) * 2)
        for output, values in enumerate(second.T):
            weighted = values[:, np.newaxis] * self.basis
            hessian[:, output, :, output] = self.basis.T @ weighted
        return hessian.reshape([self.n_free * self.n_outputs] * 2)

    @abstractmethod
    def value_and_residuals(self, products, intercept=None):
        """Return the mean loss and its derivative with respect to the logits."""

    def value(self, products, intercept=None):
        """Return the mean loss."""
        return self.value_and_residuals(products, intercept)[0]

    @abstractmethod
    def intercept_hessian(self, products, residuals, intercept=None):
        """Return the second derivative with respect to the intercept, a matrix."""

    def curvature_bound(self, change):
        """Bound the second-order term of the mean loss when the logits change."""
        return 0.5 * self.curvature * np.vdot((self.weights * change).T, change.T)

    def linear_term_and_bound(self, residuals, products, new_products):
        """Return the first-order term when the logits change, and that bound."""
        change = new_products - products
        return np.vdot(residuals.T, change.T), self.curvature_bound(change)

    def best_intercept(self, products, intercept):
        """Minimise over the intercept by damped Newton steps.

        They decrease the loss, or, where that is lost in rounding, its gradient.
        `intercept` is where to start.

        Returns the intercept, the mean loss, and the derivative of the loss with
        respect to the logits, whose columns add up to zero if there is an intercept,
        and are orthogonal to the `basis`.
        """
        value, residuals = self.value_and_residuals(products, intercept)
        for _ in range(self.max_intercept_iter):
            gradient = self._intercept_gradient(residuals)
            if np.abs(gradient).max() <= INTERCEPT_TOL * np.abs(residuals).sum():
                break
            hessian = self.intercept_hessian(products, residuals, intercept)
            hessian.flat[:: len(gradient) + 1] += 1e-12  # all samples may be saturated
            if len(gradient) == 1:  # where a solver would take longer than the loss
                step = gradient / hessian[0]
            else:
                step = np.linalg.solve(hessian, gradient)
            decrease = gradient @ step
            step = step.reshape(intercept.shape)
            previous = value
            resolved = decrease > MIN_RELATIVE_DECREASE * previous
            while True:
                value, residuals = self.value_and_residuals(products, intercept - step)
                if resolved:
                    accepted = not value > previous
                else:
                    new_gradient = self._intercept_gradient(residuals)
                    accepted = not _length(new_gradient) > _length(gradient)
                if accepted:
                    break
                step /= 2.0
            intercept = intercept - step
        return intercept, value, residuals


def _length(vector):
    return math.sqrt(vector @ vector)


class _CompiledLoss(Loss):
    """Loss whose kernel takes a row for each output."""

    @abstractmethod
    def _evaluate(self, products, intercept, residuals=None):
        """Call the kernel, with all arguments as it takes them."""

    def value_and_residuals(self, products, intercept=None):
        residuals = np.empty(products.shape, order="F")
        return self._evaluate(*self._rows(products, intercept), residuals.T), residuals

    def value(self, products, intercept=None):
        return self._evaluate(*self._rows(products, intercept))

    def linear_term_and_bound(self, residuals, products, new_products):
        linear, squares = kernels.change(
            *(np.asfortranarray(x).T for x in (products, new_products, residuals)),
            self.weights[:, 0],
        )
        return linear, 0.5 * self.curvature * squares

    def _rows(self, products, intercept):
        """Return the products by output, and what is added to those of each output."""
        if intercept is None or self.basis is not None:
            products = self._logits(products, intercept)
            intercept = np.zeros(self.n_outputs)
        return np.asfortranarray(products).T, intercept


class SquaredError(_CompiledLoss):
    """Half the squared error, summed over the outputs."""

    epsilon = np.inf

    def _evaluate(self, products, intercept, residuals=None):
        targets, weights = self.targets.T, self.weights[:, 0]
        return kernels.huber(
            products, intercept, targets, weights, self.epsilon, residuals
        )

    def intercept_hessian(self, products, residuals, intercept=None):
        return np.eye(self.n_free * self.n_outputs)


class Huber(SquaredError):
    """Half the squared error, linear where the error exceeds `epsilon`."""

    def __init__(self, targets, weights, fit_intercept=True, epsilon=1.35):
        super().__init__(targets, weights, fit_intercept)
        self.epsilon = epsilon

    def intercept_hessian(self, products, residuals, intercept=None):
        errors = np.abs(self._logits(products, intercept) - self.targets)
        second = self.weights * (errors <= self.epsilon)
        if self.basis is None:
            singular = second.sum(axis=0) == 0.0
        else:
            least = [
                np.linalg.eigvalsh(self.basis.T @ (values[:, np.newaxis] * self.basis))
                for values in second.T
            ]
            singular = np.min(least, axis=1) < MIN_HUBER_CURVATURE
        # If too many errors are on the linear parts: the parabolas that touch the loss.
        shares = self.epsilon / np.maximum(errors, self.epsilon)
        return self._intercept_curvatures(
            np.where(singular, self.weights * shares, second)
        )


class BinaryLogLoss(_CompiledLoss):
    """Logistic loss of one logit, or the sum over several; the targets are 0 or 1."""

    curvature = 0.25

    def _evaluate(self, products, intercept, residuals=None):
        targets, weights = self.targets.T, self.weights[:, 0]
        return kernels.logistic(products, intercept, targets, weights, residuals)

    def intercept_hessian(self, products, residuals, intercept=None):
        errors = np.abs(residuals)
        return self._intercept_curvatures(errors * (1.0 - errors / self.weights))


class MultinomialLogLoss(_CompiledLoss):
    """Softmax loss; the targets are the codes of the classes, of shape (n_samples,).

    A shift of all the logits of a sample changes nothing. The residuals of a sample
    add up to zero, and so do the steps of the intercept and the gradient's rows: what
    starts at zero keeps the sum zero until a projection changes it.
    """

    curvature = 0.5

    def __init__(self, targets, weights, fit_intercept=True):
        super().__init__(targets, weights, fit_intercept)
        self.n_classes = int(targets.max()) + 1

    @property
    def n_outputs(self):
        return self.n_classes

    def _evaluate(self, products, intercept, residuals=None):
        weights = self.weights[:, 0]
        return kernels.softmax(products, intercept, self.targets, weights, residuals)

    def intercept_hessian(self, products, residuals, intercept=None):
        shift = 1.0 / self.n_outputs  # in the direction of the shift only
        if self.basis is None:
            hessian = np.zeros((self.n_outputs, self.n_outputs))
            kernels.add_softmax_hessian(
                residuals.T, self.targets, self.weights[:, 0], hessian
            )
            return hessian + np.tril(hessian, -1).T + shift
        weighted = residuals.copy()  # probabilities
        weighted[np.arange(self.n_samples), self.targets] += self.weights[:, 0]
        parts = self.basis[:, :, np.newaxis] * weighted[:, np.newaxis]
        parts = parts.reshape(self.n_samples, -1)
        hessian = self._intercept_curvatures(weighted)
        hessian -= parts.T @ (parts / self.weights)
        return hessian + np.kron(
            np.eye(self.n_free), np.full((self.n_outputs,) * 2, shift)
        )


def make_loss(name, targets, weights, *, fit_intercept=True, huber_epsilon=1.35):
    """Choose a loss by its public name.

    The targets are the codes 0, 1, ... of the classes, of shape (n_samples,), for
    "log_loss", and float64 of shape (n_samples, n_outputs) for the others, and for
    several labels, which are 0 or 1.
    """
    if name == "squared_error":
        return SquaredError(targets, weights, fit_intercept)
    if name == "huber":
        return Huber(targets, weights, fit_intercept, huber_epsilon)
    if targets.ndim == 2:
        return BinaryLogLoss(targets, weights, fit_intercept)
    n_classes = int(targets.max()) + 1
    if n_classes <= 2:
        codes = targets[:, np.newaxis].astype(np.float64)
        return BinaryLogLoss(codes, weights, fit_intercept)
    return MultinomialLogLoss(targets.astype(np.intp), weights, fit_intercept)
