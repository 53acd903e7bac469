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
from dataclasses import dataclass, replace

import numpy as np

from skproj.blocks import RowBlocks
from skproj.linear_model._block_matrix import BlockMatrix
from skproj.linear_model._constraint import BallConstraint
from skproj.linear_model._cox import TIES, Cox
from skproj.linear_model._design import StandardizedDesign
from skproj.linear_model._feature_structure import FeatureStructure
from skproj.linear_model._losses import make_loss
from skproj.linear_model._steps import (
    Model,
    Objective,
    Point,
    accelerated_steps,
    mixed_steps,
)
from skproj.linear_model._unpenalized import UnpenalizedColumns
from skproj.utils._moments import mean_and_deviation

# Groups in the first working set; each next one has at least twice as many as are not
# zero. A working set is solved to this fraction of the current gap. The next one grows
# if the gap over all features is still more than this share of the last gap.
FIRST_WORKING_SET_SIZE = 100
WORKING_SET_TOL = 0.05
MAX_GAP_RATIO = 0.5
# Columns of blocks are in memory by turns, and are solved to this share of `tol`: then
# small gradients of the other columns are no reason to read them.
PART_TOL = 0.5


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

    def solve(
        self,
        eta,
        projection="l1inf",
        *,
        start=None,
        max_iter=1000,
        tol=1e-4,
        n_threads=1,
    ):
        """Fit the model for one radius, infinity for no constraint, as
        `BallConstrainedFit`.

        It starts from the fit `start`, for instance that for another radius, or from
        zero, and uses at most `max_iter` gradients. A fit with an exact projection has
        converged when the duality gap is at most ``tol * max(objective, 1) * min(eta /
        unit, 1)``, where the unit is 1, or `natural_radius` if that is less; without a
        constraint, when no entry of the gradient exceeds `tol`. Other projections
        converge to a point that they no longer move, by the same measure.
        """
        constraint = self.constraint(projection, eta, n_threads)
        # In a small ball the objective varies by no more than a multiple of eta. What
        # is small depends on the units of the coefficients.
        tol = tol * min(eta / min(self.natural_radius(projection), 1.0), 1.0)
        if start is None:
            intercept = self.loss.zero_intercept()
            coef = np.zeros((self.design.n_features, self.loss.n_outputs))
        else:
            intercept = start.intercept
            coef = constraint.project(start.coef.copy())
        first = self._point_at_zero if start is None else None
        if isinstance(self.design.X, BlockMatrix):
            solve = functools.partial(_solve_in_blocks, first=first)
        elif constraint.sparsifies:
            solve = functools.partial(_solve_in_working_sets, first=first)
        else:
            solve = _solve
        solution = solve(self.objective, constraint, coef, intercept, max_iter, tol)
        model = solution.model
        return BallConstrainedFit(
            coef=model.coef,
            intercept=model.intercept,
            objective=model.value,
            gap=max(model.value - solution.bound, 0.0),  # rounding
            n_iter=solution.n_iter,
            converged=solution.converged,
        )

    @property
    def null_objective(self):
        """The objective without features."""
        return self._point_at_zero.value

    @functools.cached_property
    def _point_at_zero(self):
        zero = np.zeros((self.design.n_features, self.loss.n_outputs))
        products = np.zeros((self.loss.n_samples, self.loss.n_outputs))
        return Point(self.objective, zero, products, self.loss.zero_intercept())

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


@dataclass(frozen=True)
class _SolverResult:
    """Result of a method for a set of features."""

    model: Model
    bound: float
    dual: Point  # where the bound was taken
    n_iter: int
    converged: bool


def _solve(objective, constraint, coef, intercept, max_iter, tol):
    """Solve with all the features of `objective`."""
    exact = constraint.exact(objective.loss.n_outputs)
    take_steps = accelerated_steps if exact else mixed_steps
    stop_at = _minimum if exact else _fixed_point
    steps = take_steps(objective, constraint, coef, intercept)
    solution = stop_at(steps, constraint, max_iter, tol)
    coef, products, intercept, _ = solution.model
    intercept, mean_loss, _ = objective.loss.best_intercept(products, intercept)
    value = mean_loss + objective.penalty(coef)
    return replace(solution, model=Model(coef, products, intercept, value))


def _minimum(steps, constraint, max_iter, tol):
    """Take steps until the certificate, or the gradient if there is no ball, is small.

    The model of the smallest objective is returned.
    """
    bound, best = -np.inf, None
    for n_iter, (point, model, _) in enumerate(steps, start=1):
        new_bound = point.lower_bound(constraint)
        if new_bound > bound:
            bound, dual = new_bound, point
        if best is None:
            best = Model(point.coef, point.products, point.intercept, point.value)
        if model.value < best.value:
            best = model
        if constraint.bounded:
            gap = best.value - max(bound, 0.0)
            converged = gap <= tol * max(best.value, 1.0)
        else:
            converged = np.max(np.abs(point.gradient), initial=0.0) <= tol
        if converged or n_iter == max_iter:
            return _SolverResult(best, max(bound, 0.0), dual, n_iter, converged)


def _fixed_point(steps, constraint, max_iter, tol):
    """Take steps until they do not move, or the certificate says it is the minimum.

    Maps other than the Euclidean projection do not lead to a minimum in general. The
    model with the least residual is returned.
    """
    least = np.inf
    for n_iter, (point, model, curvature) in enumerate(steps, start=1):
        if constraint.ball is None:
            # In units of the duality gap: what the step could have gained in the ball.
            force = curvature * (model.coef - point.coef)
            residual = constraint.eta * constraint.dual_norm(force)
        else:
            residual = constraint.fixed_point_residual(point.coef, point.gradient)
        if residual < least:
            least, best, dual = residual, model, point
            bound = max(point.lower_bound(constraint), 0.0)
        converged = min(residual, best.value - bound) <= tol * max(best.value, 1.0)
        if converged or n_iter == max_iter:
            return _SolverResult(best, bound, dual, n_iter, converged)


def _solve_in_blocks(
    objective, constraint, coef, intercept, max_iter, tol, *, first=None
):
    """Solve with few passes: with a part of the columns in memory at a time.

    That part is solved as data in memory are, in smaller working sets. A ball that does
    not say which columns may be zero needs passes for each gradient.
    """
    design, matrix = objective.design, objective.design.X
    if matrix.fits:
        objective = objective.columns(slice(None))
        solve = _solve_in_working_sets if constraint.sparsifies else _solve
        return solve(objective, constraint, coef, intercept, max_iter, tol)
    if not constraint.sparsifies:
        return _solve(objective, constraint, coef, intercept, max_iter, tol)
    n_groups = constraint.groups.count(design.n_features)
    known = matrix.known_columns
    plain = design.sources is None and constraint.groups.largest == 1
    usable = plain and np.isin(np.flatnonzero(coef.any(axis=1)), known).all()
    return _solve_in_working_sets(
        objective,
        constraint,
        coef,
        intercept,
        max_iter,
        tol,
        first=first,
        size=max(
            FIRST_WORKING_SET_SIZE,
            matrix.n_affordable * n_groups // max(design.n_features, 1),
        ),
        groups=known if usable and len(known) else None,
        solve_part=_solve_in_working_sets,
        part_tol=PART_TOL * tol,
    )


def _solve_in_working_sets(
    objective,
    constraint,
    coef,
    intercept,
    max_iter,
    tol,
    *,
    first=None,
    size=None,
    groups=None,
    solve_part=_solve,
    part_tol=None,
):
    """Solve with few groups, add those with large gradients, and repeat.

    It ends when the result holds for all features, by the same measure. `first` is the
    point of the coefficients if it is known. The first working set has `groups`, if
    they are given, or as many as `size`. Each is solved to `part_tol`, or to a share of
    the gap that is left.
    """
    design = objective.design
    nonzero = constraint.groups.nonzero
    n_groups = constraint.groups.count(design.n_features)
    size = max(size or FIRST_WORKING_SET_SIZE, np.count_nonzero(nonzero(coef)))
    n_iter = 0
    gap, value = np.inf, 1.0
    if 1.25 * size < n_groups and groups is None:
        features = slice(None)
        dual = first
        if dual is None:
            dual = Point(objective, coef, design.dot(coef), intercept)
        value, gradient = dual.value, dual.gradient
        gap, _ = _gap_and_bound(constraint, dual, features, gradient, value)
    while 1.25 * size < n_groups and n_iter < max_iter - 1:
        if groups is None:
            scores = constraint.screening_scores(gradient)
            scores[nonzero(coef)] = np.inf
            groups = np.sort(np.argpartition(scores, -size)[-size:])
        features, part_constraint = constraint.subset(groups)
        part = solve_part(
            objective.columns(features),
            part_constraint,
            coef[features],
            intercept,
            max_iter - 1 - n_iter,
            part_tol or max(tol, WORKING_SET_TOL * gap / max(value, 1.0)),
        )
        groups, n_iter = None, n_iter + part.n_iter
        coef = np.zeros_like(coef)
        coef[features] = part.model.coef
        _, _, intercept, value = part.model
        gradient = part.dual.add_ridge(
            design.transposed_dot(part.dual.residuals), features
        )
        last_gap = gap
        gap, bound = _gap_and_bound(constraint, part.dual, features, gradient, value)
        if gap <= tol * max(value, 1.0):
            return replace(
                part,
                model=part.model._replace(coef=coef),
                bound=bound,
                dual=part.dual.among(features, gradient),
                n_iter=n_iter,
                converged=True,
            )
        if gap > MAX_GAP_RATIO * last_gap:
            size *= 2
        size = max(size, 2 * np.count_nonzero(nonzero(coef)))
    whole = _solve(objective, constraint, coef, intercept, max_iter - n_iter, tol)
    return replace(whole, n_iter=n_iter + whole.n_iter)


def _gap_and_bound(constraint, dual, features, gradient, value):
    """Distance from the solution for all features, and a bound of the objective.

    `dual` has coefficients of `features` only; `gradient` is the one there, of all.
    """
    bound = max(dual.lower_bound(constraint, gradient), 0.0)
    if constraint.exact(gradient.shape[1]):
        return value - bound, bound
    coef = np.zeros_like(gradient)
    coef[features] = dual.coef
    return min(value - bound, constraint.fixed_point_residual(coef, gradient)), bound
