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
step and projection; `CoefficientBall.fixed_point_residual` is the distance from it in
the units of the gap.
"""

import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from skproj.blocks import RowBlocks
from skproj.linear_model._block_matrix import BlockMatrix
from skproj.linear_model._constraint import CoefficientBall
from skproj.linear_model._cox import TIES, Cox
from skproj.linear_model._design import MAX_SIZE, StandardizedDesign, UnpenalizedColumns
from skproj.linear_model._feature_structure import FeatureStructure
from skproj.linear_model._losses import make_loss
from skproj.linear_model._steps import (
    Descent,
    FixedPointSearch,
    Model,
    Objective,
    Point,
)
from skproj.utils._moments import mean_and_deviation, normalized_weights
from skproj.utils._wording import name_columns

# The curvature, one over the step size, is lowered by the first factor in every
# iteration. Where the step fails, it is raised to the measured one times the second.
CURVATURE_DECAY = 0.8
CURVATURE_MARGIN = 1.5
# Groups in the first working set; each next one has at least twice as many as are not
# zero. A working set is solved to this fraction of the current gap. The next one grows
# if the gap over all features is still more than this share of the last gap.
FIRST_WORKING_SET_SIZE = 100
WORKING_SET_TOL = 0.05
MAX_GAP_RATIO = 0.5
# Columns of blocks are in memory by turns, and are solved to this share of `tol`: then
# small gradients of the other columns are no reason to read them.
PART_TOL = 0.5
# Such a part is solved as a whole if it has at most so many entries for each sample.
# The products then take no longer than the rest of a step, and steps with few features
# would only be more of them.
MAX_WHOLE_ENTRIES = 64


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


class Models(NamedTuple):
    """Linear models of the data, with the coefficients that are not zero in all."""

    n_features: int
    features: np.ndarray  # of shape (n_kept,), in any order
    coefs: np.ndarray  # of shape (n_models, n_kept, n_outputs)
    intercepts: np.ndarray  # of shape (n_models, n_outputs)
    supports: np.ndarray  # of shape (n_models, n_features): which are selected
    classes: np.ndarray | None  # of a classification

    def dense(self):
        """Return all coefficients, of shape (n_models, n_features, n_outputs)."""
        n_models, _, n_outputs = self.coefs.shape
        coefs = np.zeros((n_models, self.n_features, n_outputs), self.coefs.dtype)
        coefs[:, self.features] = self.coefs
        return coefs


class BallConstrainedProblem:
    """The data of a ball-constrained linear model, prepared for any radius.

    `X`, an array or a CSR or CSC matrix, is never copied as a whole, and never
    densified. `RowBlocks` are read in few passes. The targets are those of `make_loss`
    or `Cox`; two classes have one output, more have one output each. The weights of the
    samples are positive. With `fit_intercept` the features are centred as well; if
    `standardize`, they, and the targets of a regression, are divided by their standard
    deviation. The penalty is half of `l2_reg` times the sum of the squared coefficients
    of the standardised data. The `classes` of a classification are kept as they are.
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
        classes=None,
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
        self.classes = classes
        self._known_point = None
        weights = normalized_weights(sample_weight, X.shape[0])
        self.target_scale = 1.0
        if standardize and loss != "log_loss" and loss not in TIES:
            mean, deviation = mean_and_deviation(targets, weights)
            constant = np.where(np.abs(mean) > MAX_SIZE, np.abs(mean), 1.0)
            self.target_scale = np.where(deviation > 0.0, deviation, constant)
            targets = targets / self.target_scale
        if loss not in TIES and np.abs(targets).max() > MAX_SIZE:
            raise ValueError(
                f"The numbers in y exceed {MAX_SIZE:g}; use standardize=True."
            )
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
        residuals = None
        # With forced columns the gradient at zero depends on the data in another way.
        if isinstance(X, RowBlocks) and not len(structure.forced):
            zero = np.zeros((loss.n_samples, loss.n_outputs))
            _, _, residuals = loss.best_intercept(zero, loss.zero_intercept())
        options = {"center": fit_intercept, "scale": standardize}
        design = StandardizedDesign.from_data(
            X, weights, residuals, names=structure.names, **options
        )
        self.unpenalized = None
        if len(structure.forced):
            self.unpenalized = UnpenalizedColumns(
                design.columns(structure.forced),
                weights,
                fit_intercept and not isinstance(loss, Cox),
            )
            loss = loss.with_basis(self.unpenalized.basis)
        design, ridge_weights = design.rearranged(structure), None
        if structure.weights is not None:
            ridge_weights = structure.weights[:, np.newaxis] ** -2.0
        self.objective = Objective(design, loss, l2_reg, ridge_weights)

    def with_l2_reg(self, l2_reg):
        """Return the problem of the same data with another ridge penalty."""
        problem = copy.copy(self)
        problem.objective = self.objective._replace(l2_reg=l2_reg)
        return problem

    def among(self, groups, projection):
        """Return the problem of some groups, in memory, and their columns."""
        features, part = self.constraint(projection).subset(groups)
        problem = copy.copy(self)
        problem.structure = replace(self.structure, sizes=part.groups.sizes)
        problem.objective = self.objective.columns(features)
        problem._known_point = None
        return problem, features

    def constraint(self, projection, eta=1.0, n_threads=1):
        """Return the ball of a radius for the columns of the design."""
        return CoefficientBall(projection, eta, n_threads, self.structure.sizes)

    def forced_scores(self, projection, fit):
        """Return positive scores of the features that are always in the model."""
        coef = self.unpenalized.standardized_coef(fit.intercept)
        scores = CoefficientBall(projection, 1.0).scores(coef)
        return np.maximum(scores, np.finfo(scores.dtype).tiny)

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
        if eta == 0.0:
            null = self._point_at_zero
            args = null.coef, null.intercept, null.value
            return BallConstrainedFit(*args, gap=0.0, n_iter=0, converged=True)
        constraint = self.constraint(projection, eta, n_threads)
        tol = self.tolerance(eta, projection, tol)
        if start is None:
            intercept = self.loss.zero_intercept()
            coef = np.zeros((self.design.n_features, self.loss.n_outputs))
            first = self._point_at_zero
        else:
            intercept = start.intercept
            coef = constraint.project(start.coef.copy())
        objective, options = self.objective, {"first": first}
        if self.in_blocks and self.design.X.fits:
            objective, options = objective.columns(slice(None)), {}
        elif self.in_blocks and constraint.sparsifies:
            n_groups = constraint.groups.count(self.design.n_features)
            size = self.design.X.n_affordable * n_groups
            size = max(size // max(self.design.n_features, 1), FIRST_WORKING_SET_SIZE)
            options |= {"size": size, "max_size": size if within_memory else np.inf}
            options |= {"solve_part": solve_in_memory, "part_tol": PART_TOL * tol}
            if first is None or not coef.any():
                options["groups"] = known_groups(self.design, constraint, coef)
        sets = WorkingSets(
            objective, constraint, coef, intercept, max_iter, tol, **options
        )
        for method, part in sets:
            sets.solved = method(*part)
            del part  # with its copy of columns, before that of the next one
        fit, _ = sets.solved
        return fit

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
        return self.constraint(projection).dual_norm(self.gradient(fit))

    def gradient(self, fit):
        """Return the gradient at `fit`, or at zero if it is None."""
        if fit is None:
            return self._point_at_zero.gradient
        products = self.design.dot(fit.coef)
        return Point(self.objective, fit.coef, products, fit.intercept).gradient

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
        models = self.models([fit], dtype)
        return models.dense()[0], models.intercepts[0]

    def models(self, fits, dtype=np.float64):
        """Return the `Models` of fits, in the units of the data.

        They are in float64 where numbers are beyond the range of `dtype`.
        """
        structure, n_outputs = self.structure, self.loss.n_outputs
        nonzero = np.concatenate([fit.coef.ravel().nonzero()[0] for fit in fits])
        columns = np.unique(nonzero // n_outputs)
        coefs = np.array([fit.coef[columns] for fit in fits])
        intercepts = np.array([fit.intercept for fit in fits])

        groups = np.repeat(np.arange(structure.n_groups), structure.sizes)[columns]
        kept = np.zeros((len(fits), structure.n_groups))
        np.maximum.at(kept, (slice(None), groups), coefs.any(axis=2))
        supports = structure.feature_scores(kept) > 0.0
        supports[:, structure.forced] = True

        if self.unpenalized is None:
            found = self.design.original_units(coefs, intercepts, columns)
            features, coefs, intercepts = found
        else:
            forced, intercepts = self.unpenalized.original_units(intercepts)
            found = self.design.original_units(coefs, intercepts, columns)
            features = np.append(found[0], structure.forced)
            coefs, intercepts = np.hstack([found[1], forced]), found[2]
        with np.errstate(over="ignore"):
            coefs, intercepts = (
                coefs * self.target_scale,
                intercepts * self.target_scale,
            )
        sizes, largest = (
            np.abs(coefs).max(axis=2, initial=0.0),
            np.abs(intercepts).max(),
        )
        if not np.isfinite(sizes).all() or not np.isfinite(largest):
            which = "intercept overflows float64; divide y."
            overflow = np.zeros(structure.n_features, dtype=bool)
            overflow[features] = ~np.isfinite(sizes).all(axis=0)
            if overflow.any():
                names = name_columns(overflow, structure.names)
                which = f"coefficients of {names} of X overflow float64; rescale X."
            raise ValueError(f"The {which}")
        limits = np.finfo(dtype)
        sizes = np.append(sizes[sizes > 0.0], max(largest, limits.tiny))
        if sizes.min() < limits.tiny or sizes.max() > limits.max:
            dtype = np.float64
        coefs, intercepts = (x.astype(dtype, copy=False) for x in (coefs, intercepts))
        found = features, coefs, intercepts, supports, self.classes
        return Models(structure.n_features, *found)


def known_groups(design, constraint, coef):
    """Return the groups whose columns of blocks are in memory.

    It is None if there are none, or if `coef` has others.
    """
    known = np.zeros(design.X.shape[1], dtype=bool)
    known[design.X.known_columns] = True
    if design.sources is not None:
        known = known[design.sources]
    missing = constraint.groups.nonzero(~known[:, np.newaxis])
    if missing.all() or np.any(missing & constraint.groups.nonzero(coef)):
        return None
    return np.flatnonzero(~missing)


def take_steps(objective, constraint, coef, intercept, max_iter, tol):
    """Solve with all the features of `objective`, by projected gradient steps.

    The length of the steps follows the curvature. Return the fit, and the point where
    its bound was taken.
    """
    design, loss = objective.design, objective.loss
    point = Point(objective, coef, design.dot(coef), intercept)
    method = Descent if constraint.exact(loss.n_outputs) else FixedPointSearch
    method = method(objective, constraint, tol, point)
    curvature = loss.curvature_bound(design.dot(point.gradient))
    if curvature > 0.0:
        curvature /= np.vdot(point.gradient, point.gradient)
    else:  # without a gradient any positive number will do
        curvature = 1.0
    for n_iter in itertools.count(1):
        curvature *= CURVATURE_DECAY
        while True:
            coef = constraint.project(point.coef - point.gradient / curvature)
            products = design.dot(coef)
            mean_loss = loss.value(products, point.intercept)
            step = coef - point.coef
            squared_length = np.vdot(step, step)
            ridge = 2.0 * objective.penalty(step)
            allowed = curvature * squared_length - ridge
            needed = point.second_order_term(loss, products, mean_loss)
            if needed > allowed:
                # The difference of products may be nothing but rounding errors, which
                # do not shrink with the step. The product of the step does: no
                # curvature exceeds the Lipschitz constant of the gradient by more than
                # the margin.
                needed = min(needed, 2.0 * loss.curvature_bound(design.dot(step)))
            if squared_length == 0.0 or not needed > allowed:
                break
            curvature = CURVATURE_MARGIN * ((needed + ridge) / squared_length)
        value = mean_loss + objective.penalty(coef)
        model = Model(coef, products, point.intercept, value)
        converged = method.has_converged(point, model, curvature)
        if converged or n_iter == max_iter:
            break
        point, curvature = method.next_point(point, model, curvature)
    coef, products, intercept, _ = method.best
    intercept, mean_loss, _ = loss.best_intercept(products, intercept)
    value = mean_loss + objective.penalty(coef)
    gap = max(value - max(method.bound, 0.0), 0.0)  # rounding
    fit = BallConstrainedFit(coef, intercept, value, gap, n_iter, converged)
    return fit, method.dual


@dataclass
class WorkingSets:
    """Parts of a problem: few groups, then also those with large gradients.

    Iterating yields methods and their arguments, for a part each. What a method returns
    has to be put into `solved`, which is the result for all features in the end: when
    that of a part holds for all, by the same measure.
    """

    objective: Objective
    constraint: CoefficientBall
    coef: np.ndarray
    intercept: np.ndarray
    max_iter: int
    tol: float
    first: Point | None = None  # that of the coefficients, if it is known
    # Number of groups in the first working set, or these groups.
    size: int | None = None
    groups: np.ndarray | None = None
    max_size: float = np.inf  # a result that needs more groups has not converged
    solve_part: Callable = take_steps
    part_tol: float | None = None  # by default a share of the gap that is left
    solved: tuple | None = None

    def __iter__(self):
        objective, constraint, tol = self.objective, self.constraint, self.tol
        coef, intercept, groups = self.coef, self.intercept, self.groups
        design, nonzero = objective.design, constraint.groups.nonzero
        n_groups = 0  # without a ball that makes zeros, all features are solved for
        if constraint.sparsifies:
            n_groups = constraint.groups.count(design.n_features)
        size = max(self.size or FIRST_WORKING_SET_SIZE, np.count_nonzero(nonzero(coef)))
        n_iter, gap, value = 0, np.inf, 1.0
        if 1.25 * size < n_groups and groups is None:
            dual = self.first
            if dual is None:
                dual = Point(objective, coef, design.dot(coef), intercept)
            value, gradient = dual.value, dual.gradient
            gap, _ = dual.gap_and_bound(constraint, slice(None), gradient, value)
        while 1.25 * size < n_groups and n_iter < self.max_iter - 1:
            if groups is None:
                scores = constraint.screening_scores(gradient)
                scores[nonzero(coef)] = np.inf
                groups = np.sort(np.argpartition(scores, -size)[-size:])
            features, part_constraint = constraint.subset(groups)
            yield (
                self.solve_part,
                (
                    objective.columns(features),
                    part_constraint,
                    coef[features],
                    intercept,
                    self.max_iter - 1 - n_iter,
                    self.part_tol or max(tol, WORKING_SET_TOL * gap / max(value, 1.0)),
                ),
            )
            fit, dual = self.solved
            groups, n_iter = None, n_iter + fit.n_iter
            coef = np.zeros_like(coef)
            coef[features] = fit.coef
            intercept, value = fit.intercept, fit.objective
            gradient = dual.add_ridge(design.transposed_dot(dual.residuals), features)
            last_gap = gap
            gap, bound = dual.gap_and_bound(constraint, features, gradient, value)
            converged = gap <= tol * max(value, 1.0)
            if gap > MAX_GAP_RATIO * last_gap:
                size *= 2
            size = max(size, 2 * np.count_nonzero(nonzero(coef)))
            if converged or size > self.max_size:
                gap = max(value - bound, 0.0)  # rounding
                fit = BallConstrainedFit(coef, intercept, value, gap, n_iter, converged)
                self.solved = fit, dual.among(features, gradient)
                return
        whole = objective, constraint, coef, intercept, self.max_iter - n_iter, tol
        yield take_steps, whole
        fit, dual = self.solved
        self.solved = replace(fit, n_iter=n_iter + fit.n_iter), dual


def solve_in_memory(objective, *start):
    """Solve a part in memory, as a whole if it is small, as `take_steps` does."""
    X = objective.design.X
    if X.size <= MAX_WHOLE_ENTRIES * X.shape[0]:
        return take_steps(objective, *start)
    sets = WorkingSets(objective, *start)
    for method, part in sets:
        sets.solved = method(*part)
        del part
    return sets.solved
