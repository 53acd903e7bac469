"""Alternating updates of two nonnegative factors with given Hoyer sparsity."""

from functools import partial
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.linalg.lapack import dsyevd
from sklearn.utils import gen_batches

from skproj._kernels._descent import descend_projected
from skproj._kernels._hals import balance_columns, descend_coordinates
from skproj.projection import projection_hoyer

# An update of one factor takes at most so many steps, and ends when one of them moves
# the factor by no more than this share of the first.
MAX_UPDATE_STEPS = 10
UPDATE_TOL = 0.1

# Pace of the momentum at the first step and after a restart.
FIRST_MOMENTUM_PARAMETER = 0.1

# Squared errors below this multiple of the rounding of ``sum(X**2)`` are unknown.
ROUNDING_FACTOR = 1e3

# Entries of the residual that are in memory at a time.
MAX_BLOCK_ENTRIES = 1_000_000


class SparsityConstraint:
    """Projection of the columns of a factor to a Hoyer sparsity.

    Parameters
    ----------
    sparsity : float
    weights : ndarray of shape (n_rows,) or None
        Of the rows of the factor.
    per_vector : bool
        Whether each column has the sparsity, else it is the average.
    n_rows : int
    """

    def __init__(self, sparsity, weights, per_vector, n_rows):
        self.project = partial(
            projection_hoyer,
            sparsity=sparsity,
            axis=0,
            weights=None if weights is None else weights[:, np.newaxis],
            per_vector=per_vector,
            n_threads=1,
        )
        # What the kernel needs: the sparsity is rate * (full - mean of a direction).
        weights = np.ones(n_rows) if weights is None else weights / weights.max()
        full = np.linalg.norm(weights)
        self.weights = None if weights.min() == 1.0 else weights
        self.has_sparsity = n_rows > 1
        self.rate = 1.0 / (full - weights.min()) if self.has_sparsity else np.inf
        self.mean = full - sparsity / self.rate
        self.per_vector = per_vector

    def descend(self, factor, gram, cross, curvature):
        """Take projected gradient steps in place; False if the kernel cannot."""
        return self.has_sparsity and descend_projected(
            gram,
            cross,
            factor,
            self.weights,
            self.rate,
            self.mean,
            self.per_vector,
            curvature,
            FIRST_MOMENTUM_PARAMETER,
            UPDATE_TOL,
            MAX_UPDATE_STEPS,
        )


class Factorization:
    """Approximation ``W @ H.T`` of a matrix, improved by alternating updates.

    `X` has the shape (n_samples, n_features), and `square` is the sum of its squares.
    The factors, of shapes (n_samples, n_components) and (n_features, n_components), are
    in float64. `constraint_W` and `constraint_H` are a `SparsityConstraint` or None.
    `best_W` and `best_H` are the factors with the least error, `best_error`.
    """

    def __init__(self, X, square, W, H, *, constraint_W, constraint_H):
        self.X = X
        self.square = square
        self.constraint_W = constraint_W
        self.constraint_H = constraint_H
        self.rounding = ROUNDING_FACTOR * np.finfo(X.dtype).eps * square
        self.W, self.H = W, H
        balance_columns(self.W, self.H)
        self.project_both()
        self.rescale()
        self.best_error = np.inf
        self.keep_best(self.error())

    def project_both(self):
        if self.constraint_W is not None:
            self.W = self.constraint_W.project(self.W)
        if self.constraint_H is not None:
            self.H = self.constraint_H.project(self.H)

    def rescale(self):
        """Multiply W by the number that makes the error least."""
        square = np.sum((self.W.T @ self.W) * (self.H.T @ self.H))
        if square > 0.0:
            self.W *= np.sum(multiply(self.X, self.H) * self.W) / square

    def error(self, cross=None, gram=None):
        """Return the norm of the residual.

        That takes no time if ``cross = X @ H`` and ``gram = H.T @ H`` are known.
        """
        if cross is None and sparse.issparse(self.X):
            cross = multiply(self.X, self.H)
        if cross is not None:
            gram = self.H.T @ self.H if gram is None else gram
            fitted = np.vdot(self.W.T @ self.W, gram)
            square = self.square - 2.0 * np.vdot(self.W, cross) + fitted
            if square > self.rounding:
                return float(np.sqrt(square))
        return float(np.sqrt(sum(np.sum(block * block) for block in self.residuals())))

    def residuals(self):
        """Yield ``X - W @ H.T``, a few rows at a time."""
        n_samples, n_features = self.X.shape
        for rows in gen_batches(n_samples, max(1, MAX_BLOCK_ENTRIES // n_features)):
            block = self.X[rows]
            block = block.toarray() if sparse.issparse(block) else block
            yield block - self.W[rows] @ self.H.T

    def iterate(self):
        """Update both factors once and return the norm of the residual."""
        # The projection of a group takes more from columns that are shorter, so the
        # balance decides where the zeros will be.
        if balance_columns(self.W, self.H):
            self.restart_zero_components()
        self.H = update_factor(
            self.H, self.W.T @ self.W, multiply(self.X.T, self.W), self.constraint_H
        )
        cross, gram = multiply(self.X, self.H), self.H.T @ self.H
        self.W = update_factor(self.W, gram, cross, self.constraint_W)
        error = self.error(cross, gram)
        self.keep_best(error)
        return error

    def keep_best(self, error):
        """Copy the factors if they are the best so far."""
        if error < self.best_error:
            self.best_error = error
            self.best_W, self.best_H = self.W.copy(), self.H.copy()

    def restart_zero_components(self):
        """Let components that are zero describe the features with the largest error."""
        zero = np.flatnonzero(~self.W.any(axis=0))
        if self.error() ** 2 <= self.rounding:
            return
        errors = self.positive_errors()
        worst = np.argsort(-errors, kind="stable")[: len(zero)]
        worst = worst[errors[worst] > 0.0]
        zero = zero[: len(worst)]
        columns = self.X[:, worst]
        columns = columns.toarray() if sparse.issparse(columns) else columns
        self.W[:, zero] = np.maximum(columns - self.W @ self.H[worst].T, 0.0)
        self.H[worst, zero] = 1.0
        balance_columns(self.W, self.H)
        self.project_both()

    def positive_errors(self):
        """Sum the squares of the positive part of the residual, for each feature."""
        if not sparse.issparse(self.X):
            return sum(
                np.sum(np.maximum(block, 0.0) ** 2, axis=0)
                for block in self.residuals()
            )
        # Where X is zero, the residual is not positive.
        X = self.X.tocoo()
        errors = np.zeros(X.shape[1])
        for part in gen_batches(X.nnz, max(1, MAX_BLOCK_ENTRIES // self.H.shape[1])):
            rows, columns = X.row[part], X.col[part]
            fitted = np.sum(self.W[rows] * self.H[columns], axis=1)
            squares = np.maximum(X.data[part] - fitted, 0.0) ** 2
            errors += np.bincount(columns, squares, minlength=len(errors))
        return errors


def update_factor(factor, gram, cross, constraint):
    """Move a factor F towards the least ``<F @ gram / 2 - cross, F>``."""
    if constraint is None:
        descend_coordinates(gram, cross, factor, UPDATE_TOL, MAX_UPDATE_STEPS)
        return factor
    curvature = dsyevd(gram, compute_v=False)[0][-1]
    # The kernel leaves the factor as it was where a threshold is that of several
    # equal entries, where a sparsity of nearly 1 is asked for, and at extreme
    # scales.
    if curvature <= 0.0 or constraint.descend(factor, gram, cross, curvature):
        return factor
    return descend_gradient(factor, gram, cross, constraint, curvature)


def descend_gradient(current, gram, cross, constraint, curvature):
    """Take accelerated projected gradient steps that do not raise the error."""

    def step_from(point):
        moved = point - (point @ gram - cross) / curvature
        moved = constraint.project(np.maximum(moved, 0.0))
        return moved, np.sum(moved * (0.5 * (moved @ gram) - cross))

    start = point = current
    value = np.sum(current * (0.5 * (current @ gram) - cross))
    alpha, first_move = FIRST_MOMENTUM_PARAMETER, None
    for _ in range(MAX_UPDATE_STEPS):
        new, new_value = step_from(point)
        if new_value > value and point is not current:
            alpha = FIRST_MOMENTUM_PARAMETER
            new, new_value = step_from(current)
        if new_value > value:
            # The projection is not the nearest point, so even a plain step can.
            break
        move = np.linalg.norm(new - current)
        first_move = move if current is start else first_move
        square = alpha * alpha
        next_alpha = 0.5 * (np.sqrt(square * square + 4.0 * square) - square)
        momentum = alpha * (1.0 - alpha) / (square + next_alpha)
        point = new + momentum * (new - current)
        current, value, alpha = new, new_value, next_alpha
        if move <= UPDATE_TOL * first_move:
            break
    return current


class Statistics(NamedTuple):
    """Sums over batches of samples, from which components are updated.

    gram : float64 array of shape (n_components, n_components), of ``W.T @ W``.
    cross : float64 array of shape (n_features, n_components), of ``X.T @ W``.
    """

    gram: np.ndarray
    cross: np.ndarray

    def balanced(self, H):
        """Return the statistics and H as if norms of coefficients were those of H."""
        of_W, of_H = np.sqrt(self.gram.diagonal()), np.linalg.norm(H, axis=0)
        ratios = np.ones(len(of_W))
        np.divide(of_H, of_W, out=ratios, where=(of_W > 0.0) & (of_H > 0.0))
        ratios = np.sqrt(ratios)
        gram = self.gram * np.outer(ratios, ratios)
        return Statistics(gram, self.cross * ratios), H / ratios


def update_online(X, W, H, past, forget_factor, constraint_W, constraint_H):
    """Update H for a batch of samples, whose least squares coefficients are W.

    `past` are the statistics of earlier batches, or None. Returns H and those of all.
    """
    if constraint_W is not None:
        cross = multiply(X, H)
        W = constraint_W.project(np.ascontiguousarray(W))
        W = update_factor(W, H.T @ H, cross, constraint_W)
    gram, cross = W.T @ W, multiply(X.T, W)
    if past is not None:
        gram += forget_factor * past.gram
        cross += forget_factor * past.cross
    statistics, H = Statistics(gram, cross).balanced(H)
    if constraint_H is not None:
        # The balance may change which components share the sparsity.
        H = constraint_H.project(H)
    H = update_factor(H, statistics.gram, statistics.cross, constraint_H)
    return H, statistics


def sum_squares(X):
    """Return the sum of the squares of X, unless products with X would overflow."""
    values = X.data if sparse.issparse(X) else X.ravel(order="K")
    square = np.einsum("i,i->", values, values, dtype=np.float64)
    # No product with X, which are sums in its dtype, comes near ten times this bound.
    bound = np.sqrt(square) * np.sqrt(max(X.shape))
    if bound > 0.1 * np.finfo(X.dtype).max or (square == 0.0 and values.any()):
        raise ValueError(
            "The entries of X are too large or too small to compute with in "
            f"{X.dtype}, the largest is {values.max():.2g}; rescale X."
        )
    return square


def multiply(X, factor):
    """Return ``X @ factor`` in float64, computed in the dtype of X."""
    if X.dtype == np.float64:
        return X @ factor
    # Where the entries of X fit float32, products with those of a factor may not.
    scale = np.abs(factor).max() or 1.0
    return scale * (X @ (factor / scale).astype(X.dtype, copy=False)).astype(np.float64)
