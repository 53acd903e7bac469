r"""Linear models whose coefficients are constrained to a ball.

The problem, with one group (row of W) per feature and an unconstrained intercept b:

    minimise  f(W, b) = sum_i w_i loss(y_i, x_i W + b) + lambda / 2 |W|_2^2
    subject to  ||W|| <= eta

The intercept is minimised over at every point, so that the methods below see a
function of W alone. Its gradient is G = X^T R + lambda W with residuals R that add up
to zero.

Certificate. For any point Z with residuals R, convexity gives for all W in the ball

    f(W) >= f(Z) + <G, W - Z> >= f(Z) - <G, Z> - eta * dual_norm(G)

where <G, Z> = <R, X Z> + lambda |Z|_2^2. The objective minus the best such bound is the
duality gap. At W = Z it is <G, Z> + eta * dual_norm(G), but the bound may be taken at
any point: here where the method needs the gradient anyway. It is valid for bi-level
projections as well, because they share the ball. It needs residuals that add up to
zero; Newton's method leaves them there to 1e-10 of their size. Losses are not negative,
so 0 is always a bound.

Features with penalties c_j or in groups, and some that are always or never in the
model, make no difference to this: see `_feature_structure.py`.

The bi-level projections do not lead to the minimum, but to a fixed point of gradient
step and projection; `BallConstraint.fixed_point_residual` is the distance from it in
the units of the gap.
"""

import copy
import functools
from dataclasses import dataclass

import numpy as np

from skproj.blocks import RowBlocks
from skproj.linear_model._block_matrix import BlockMatrix
from skproj.linear_model._constraint import BallConstraint
from skproj.linear_model._cox import TIES, Cox
from skproj.linear_model._design import StandardizedDesign
from skproj.linear_model._feature_structure import FeatureStructure
from skproj.linear_model._losses import make_loss
from skproj.linear_model._steps import Objective, Point
from skproj.linear_model._unpenalized import UnpenalizedColumns
from skproj.linear_model._working_sets import (
    solve,
    solve_in_blocks,
    solve_in_working_sets,
)
from skproj.utils._moments import mean_and_deviation


@dataclass(frozen=True)
class BallConstrainedFit:
    """Result of `BallConstrainedProblem.solve`, for the standardised data."""

    coef: np.ndarray  # of shape (n_columns, n_outputs), those of the design
    intercept: np.ndarray  # in the form of `Loss`
    objective: float  # the mean loss, and the ridge penalty
    # Bound on how far `objective` is from the minimum over the ball; the objective
    # itself if nothing better is known.
    gap: float
    n_iter: int  # number of gradients
    converged: bool  # whether `tol` was reached

    @classmethod
    def from_solution(cls, solution):
        """Keep what is needed of the result of a method."""
        model = solution.model
        return cls(
            coef=model.coef,
            intercept=model.intercept,
            objective=model.value,
            gap=max(model.value - solution.bound, 0.0),  # rounding
            n_iter=solution.n_iter,
            converged=solution.converged,
        )


class BallConstrainedProblem:
    """The data of a ball-constrained linear model, prepared for any radius.

    `X`, an array or a CSR or CSC matrix, is never copied as a whole, and never
    densified. `RowBlocks` are read in few passes. The targets are those of `make_loss`
    or `Cox`; two classes have one output, more have one output each. The weights of the
    samples are positive. With `fit_intercept` the features are centred as well; if
    `standardize`, they, and the targets of a regression, are divided by their standard
    deviation. The penalty is half of `l2_reg` times the sum of the squared coefficients
    of the standardised data.
    The `structure` says what the columns of the design are; by default they are the
    features.
    """

    def __init__(
        self,
        X,
        targets,
        *,
        loss,
        sample_weight=None,
        fit_intercept=True,
        standardize=True,
        huber_epsilon=1.35,
        l2_reg=0.0,
        structure=None,
    ):
        if structure is None:
            structure = FeatureStructure(X.shape[1])
        structure.check_n_samples(X.shape[0])
        self.structure = structure
        self._known_point = None
        if sample_weight is None:
            sample_weight = np.ones(X.shape[0])
        weights = sample_weight / sample_weight.max()  # huge ones would overflow
        weights /= weights.sum()
        self.target_scale = 1.0
        if standardize and loss != "log_loss" and loss not in TIES:
            _, deviation = mean_and_deviation(targets, weights)
            self.target_scale = np.where(deviation > 0.0, deviation, 1.0)
            targets = targets / self.target_scale
        if loss in TIES:
            loss = Cox(targets, weights, TIES[loss])
        else:
            loss = make_loss(
                loss,
                targets,
                weights,
                fit_intercept=fit_intercept,
                huber_epsilon=huber_epsilon,
            )
        design = _make_design(
            X,
            weights,
            None if len(structure.forced) else loss,
            center=fit_intercept,
            scale=standardize,
        )
        self.unpenalized = None
        if len(structure.forced):
            self.unpenalized = UnpenalizedColumns(
                design.columns(structure.forced),
                weights,
                fit_intercept and not isinstance(loss, Cox),
            )
            loss = loss.with_basis(self.unpenalized.basis)
        ridge_weights = None
        if structure.weights is not None:
            ridge_weights = structure.weights[:, np.newaxis] ** -2.0
        self.objective = Objective(
            design.rearranged(structure.columns, structure.weights),
            loss,
            l2_reg,
            ridge_weights,
        )

    def with_l2_reg(self, l2_reg):
        """Return the problem of the same data with another ridge penalty."""
        problem = copy.copy(self)
        problem.objective = self.objective._replace(l2_reg=l2_reg)
        return problem

    def constraint(self, projection, eta=1.0, n_threads=1):
        """Return the ball of a radius for the columns of the design."""
        return BallConstraint(projection, eta, n_threads, self.structure.sizes)

    def group_scores(self, projection, fit):
        """Return the share of each group of columns in the norm of a fit."""
        return self.constraint(projection).scores(fit.coef)

    def forced_scores(self, projection, fit):
        """Return positive scores of the features that are always in the model."""
        coef = self.unpenalized.standardized_coef(fit.intercept)
        scores = BallConstraint(projection, 1.0).scores(coef)
        return np.maximum(scores, np.finfo(scores.dtype).tiny)

    def support(self, fit):
        """Return the mask of the features that a fit selects or that are forced."""
        groups = self.constraint("l12").groups
        support = self.structure.feature_scores(groups.nonzero(fit.coef)) > 0.0
        support[self.structure.forced] = True
        return support

    @property
    def design(self):
        """The standardised data."""
        return self.objective.design

    @property
    def loss(self):
        """The mean loss as a function of the logits."""
        return self.objective.loss

    @property
    def in_blocks(self):
        """Whether the data are read in blocks."""
        return isinstance(self.design.X, BlockMatrix)

    def solve(
        self,
        eta,
        projection="l1inf",
        *,
        start=None,
        first=None,
        within_memory=False,
        max_iter=1000,
        tol=1e-4,
        n_threads=1,
    ):
        """Fit the model for one radius, infinity for no constraint, as
        `BallConstrainedFit`.

        It starts from the fit `start`, for instance that for another radius, or from
        zero, and uses at most `max_iter` gradients. The `Point` of the start may be
        given in `first`. `within_memory` gives up, without convergence, when data in
        blocks need more columns in memory than that is meant for.

        A fit with an exact projection has converged when the duality gap is at most
        ``tol * max(objective, 1) * min(eta / unit, 1)``, where the unit is 1, or
        `natural_radius` if that is less; without a constraint, when no entry of the
        gradient exceeds `tol`. Other projections converge to a point that they no
        longer move, by the same measure.
        """
        constraint = self.constraint(projection, eta, n_threads)
        tol = self.tolerance(eta, projection, tol)
        if start is None:
            intercept = self.loss.zero_intercept()
            coef = np.zeros((self.design.n_features, self.loss.n_outputs))
            first = self._point_at_zero
        else:
            intercept = start.intercept
            coef = constraint.project(start.coef.copy())
        if self.in_blocks:
            method = functools.partial(
                solve_in_blocks, first=first, within_memory=within_memory
            )
        elif constraint.sparsifies:
            method = functools.partial(solve_in_working_sets, first=first)
        else:
            method = solve
        solution = method(self.objective, constraint, coef, intercept, max_iter, tol)
        return BallConstrainedFit.from_solution(solution)

    def tolerance(self, eta, projection, tol):
        """Return the relative gap of a fit of this radius that has converged."""
        # In a small ball the objective varies by no more than a multiple of eta. What
        # is small depends on the units of the coefficients.
        return tol * min(eta / min(self.natural_radius(projection), 1.0), 1.0)

    @property
    def null_objective(self):
        """The objective without features."""
        return self._point_at_zero.value

    @property
    def _point_at_zero(self):
        # No cached_property: until Python 3.12 it has a lock, and this may wait for a
        # pass that other threads share.
        if self._known_point is None:
            zero = np.zeros((self.design.n_features, self.loss.n_outputs))
            products = np.zeros((self.loss.n_samples, self.loss.n_outputs))
            self._known_point = Point(
                self.objective, zero, products, self.loss.zero_intercept()
            )
        return self._known_point

    def slope(self, fit, projection):
        """Return how fast the minimum over the ball falls when the radius grows.

        That is the dual norm of the gradient at `fit`, or at zero if it is None.
        """
        point = self._point_at_zero
        if fit is not None:
            products = self.design.dot(fit.coef)
            point = Point(self.objective, fit.coef, products, fit.intercept)
        return self.constraint(projection).dual_norm(point.gradient)

    def natural_radius(self, projection):
        """Return the radius where a linear model of the objective at zero is zero.

        It has the units of the coefficients, whatever those of the data are. It is 1
        if the features tell nothing about the targets.
        """
        slope = self.slope(None, projection)
        radius = self.null_objective / slope if slope > 0.0 else 1.0
        return radius if 0.0 < radius < np.inf else 1.0

    def original_units(self, fit, dtype=np.float64):
        """Return the coefficients and the intercept in the units of the data."""
        if self.unpenalized is None:
            coef, intercept = self.design.original_units(fit.coef, fit.intercept)
        else:
            forced, intercept = self.unpenalized.original_units(fit.intercept)
            coef, intercept = self.design.original_units(fit.coef, intercept)
            coef[self.structure.forced] = forced
        with np.errstate(over="ignore"):
            coef, intercept = (
                (values * self.target_scale).astype(dtype, copy=False)
                for values in (coef, intercept)
            )
        if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
            raise ValueError(
                f"The coefficients overflow {dtype}, the type of X; rescale X or y."
            )
        return coef, intercept


def _make_design(X, weights, loss, *, center, scale):
    """Standardise the data; a pass over blocks also gives the gradient at zero.

    The loss is None if that gradient depends on the data in another way.
    """
    options = {"center": center, "scale": scale}
    if not isinstance(X, RowBlocks):
        return StandardizedDesign.from_data(X, weights, **options)
    residuals = None
    if loss is not None:
        zero = np.zeros((loss.n_samples, loss.n_outputs))
        _, _, residuals = loss.best_intercept(zero, loss.zero_intercept())
    matrix = BlockMatrix(X)
    moments = matrix.scan(weights, residuals)
    return StandardizedDesign.from_moments(matrix, *moments, **options)
