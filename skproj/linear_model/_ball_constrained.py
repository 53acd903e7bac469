r"""Linear models whose coefficients are constrained to a ball.

The problem, with one group (row of W) per feature and an unconstrained intercept b:

    minimise  f(W, b) = sum_i w_i loss(y_i, x_i W + b) + lambda / 2 |W|_2^2
    subject to  ||W|| <= eta

The intercept is minimised over at every point, so that the solver sees a function of W
alone. Its gradient is G = X^T R + lambda W with residuals R that add up to zero.

`solve_in_parts` chooses the features whose columns are in memory, and `Part` of the
kernel `_linear_path` solves for them: by projected gradient steps with momentum, and by
Newton's method on the face of the ball that they find.

Certificate. For any point Z with residuals R, convexity gives for all W in the ball

    f(W) >= f(Z) + <G, W - Z> >= f(Z) - <G, Z> - eta * dual_norm(G)

where <G, Z> = <R, X Z> + lambda |Z|_2^2. The objective minus the best such bound is the
duality gap. At W = Z it is <G, Z> + eta * dual_norm(G), but the bound may be taken at
any point: here where the solver needs the gradient anyway. It is valid for bi-level
projections as well, because they share the ball. It needs residuals that add up to
zero; the intercept is fitted until they do, to 1e-10 of their size. Losses are not
negative, so 0 is always a bound. If W must not be negative, the dual norm is that of
min(G, 0).

Features with penalties c_j or in groups, and some that are always or never in the
model, make no difference to this: see `_feature_structure.py`.

The bi-level projections do not lead to the minimum, but to a fixed point of gradient
step and projection; `Ball.fixed_point_residual` is the distance from it in the units of
the gap. Anderson's acceleration takes the place of momentum there.
"""

import copy
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from skproj.blocks import RowBlocks
from skproj.linear_model._block_matrix import BlockMatrix
from skproj.linear_model._constraint import CoefficientBall
from skproj.linear_model._design import MAX_SIZE, StandardizedDesign, UnpenalizedColumns
from skproj.linear_model._feature_structure import FeatureStructure
from skproj.linear_model._losses import TIES, make_loss
from skproj.linear_model._objective import Certificate, Objective, spread
from skproj.linear_model._row_groups import RowGroups
from skproj.utils._moments import mean_and_deviation, normalized_weights
from skproj.utils._wording import name_columns

# Groups in the first working set; each next one has at least half as many more as are
# not zero. A working set is solved to this fraction of the current gap. The next one is
# twice as large if the gap over all features is still more than this share of the last.
FIRST_WORKING_SET_SIZE = 100
WORKING_SET_TOL = 0.05
MAX_GAP_RATIO = 0.5
# The last working set is solved to this share of `tol`: the gap over all features may
# be larger. Small gradients are no reason then to read more columns of blocks.
PART_TOL = 0.5


class BallConstrainedFit(NamedTuple):
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

    `X`, an array or a CSR or CSC matrix, is never densified; the columns that are
    solved for together are copied. `RowBlocks` are read in few passes. The problem is
    for one thread at a time. The targets, the offset and the strata are those of
    `make_loss`; two classes have one output, more have one output each. The weights of
    the samples are positive. With `fit_intercept` the features are centred as well; if
    `standardize`, they, and the targets of a regression by squared errors or the Huber
    loss, are divided by their standard deviation. The penalty is half of `l2_reg` times
    the sum of the squared coefficients of the standardised data. If `positive`, no
    coefficient in the ball may be negative. The `classes` of a classification are kept
    as they are.
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
        offset=None,
        strata=None,
        classes=None,
        fit_intercept=True,
        standardize=True,
        huber_epsilon=1.35,
        l2_reg=0.0,
        positive=False,
        structure=None,
    ):
        if structure is None:
            structure = FeatureStructure(X.shape[1])
        structure.check_n_samples(X.shape[0])
        self.structure = structure
        self.classes = classes
        self.positive = positive
        self.groups = RowGroups(structure.sizes)
        self._known = {}  # what is the same for all fits
        weights = normalized_weights(sample_weight, X.shape[0])
        self.target_scale = 1.0
        if standardize and loss in ("squared_error", "huber"):
            mean, deviation = mean_and_deviation(targets, weights)
            constant = np.where(np.abs(mean) > MAX_SIZE, np.abs(mean), 1.0)
            self.target_scale = np.where(deviation > 0.0, deviation, constant)
            targets = targets / self.target_scale
        largest = 1.0 if loss in TIES else np.abs(targets).max()
        if largest > MAX_SIZE:
            advice = "divide them" if loss == "poisson" else "use standardize=True"
            unit = ""
            if standardize and loss != "poisson":  # as the weights make them
                unit, advice = " standard deviations", "leave out the smallest weights"
            raise ValueError(f"The numbers in y exceed {MAX_SIZE:g}{unit}; {advice}.")
        has_constant = fit_intercept and loss not in TIES
        loss = make_loss(
            loss,
            targets,
            weights,
            fit_intercept=fit_intercept,
            huber_epsilon=huber_epsilon,
            offset=offset,
            strata=strata,
        )
        residuals = None
        # With forced columns the gradient at zero depends on the data in another way.
        if isinstance(X, RowBlocks) and not len(structure.forced):
            zero = np.zeros((loss.n_samples, loss.n_outputs))
            _, _, residuals = loss.best_intercept(zero, loss.zero_intercept())
        options = {"center": fit_intercept, "scale": standardize, "largest": largest}
        design = StandardizedDesign.from_data(
            X, weights, residuals, names=structure.names, **options
        )
        self.unpenalized = None
        if len(structure.forced):
            self.unpenalized = UnpenalizedColumns(
                design.columns(structure.forced), weights, has_constant
            )
            loss = loss.with_basis(self.unpenalized.basis)
        design = design.rearranged(structure)
        ridge_weights = np.ones((design.n_features, 1))
        if structure.weights is not None:
            ridge_weights = structure.weights[:, np.newaxis] ** -2.0
        self.objective = Objective(design, loss, l2_reg, ridge_weights)
        self.in_blocks = isinstance(design.X, BlockMatrix)

    def with_l2_reg(self, l2_reg):
        """Return the problem of the same data with another ridge penalty."""
        return self._with(self.objective._replace(l2_reg=l2_reg))

    def _with(self, objective):
        problem = copy.copy(self)
        problem.objective = objective
        problem._known = {}
        return problem

    def among(self, groups, projection):
        """Return the problem of some groups, in memory, and their columns."""
        features, part = self.constraint(projection).subset(groups)
        problem = self._with(self.objective.columns(features))
        problem.structure = replace(self.structure, sizes=part.groups.sizes)
        problem.groups = part.groups
        problem.in_blocks = False
        return problem, features

    def constraint(self, projection, eta=1.0):
        """Return the ball of a radius for the columns of the design."""
        kernels = self._known.setdefault("balls", {})
        return CoefficientBall(projection, eta, self.groups, self.positive, kernels)

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
        constraint = self.constraint(projection, eta)
        tol = self.tolerance(eta, projection, tol)
        if start is None:
            intercept = self.loss.zero_intercept()
            coef = np.zeros((self.design.n_features, self.loss.n_outputs))
            first = self._point_at_zero
        else:
            coef, intercept = start.coef, start.intercept
        objective, known = self.objective, self._known.setdefault(constraint.key, {})
        options = {"first": first, "known": known}
        if self.in_blocks and self.design.X.fits:
            objective, options = objective.columns(slice(None)), {}
        elif self.in_blocks and constraint.sparsifies:
            n_groups = constraint.groups.count(self.design.n_features)
            size = self.design.X.n_affordable * n_groups
            size = max(size // max(self.design.n_features, 1), FIRST_WORKING_SET_SIZE)
            options = {
                "first": first,
                "size": size,
                "max_size": size if within_memory else np.inf,
                "solve_part": solve_in_parts,
            }
            if first is None or not coef.any():
                options["groups"] = known_groups(self.design, constraint, coef)
        fit, _ = solve_in_parts(
            objective, constraint, coef, intercept, max_iter, tol, **options
        )
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
        if "zero" not in self._known:
            zero = np.zeros((self.design.n_features, self.loss.n_outputs))
            intercept = self.loss.zero_intercept()
            self._known["zero"] = self.objective.certificate(zero, intercept)
        return self._known["zero"]

    def slope(self, fit, projection):
        """Return how fast the minimum over the ball falls when the radius grows.

        That is the dual norm of the gradient at `fit`, or at zero if it is None.
        """
        return self.constraint(projection).dual_norm(self.gradient(fit))

    def gradient(self, fit):
        """Return the gradient at `fit`, or at zero if it is None."""
        if fit is None:
            return self._point_at_zero.gradient
        return self.objective.certificate(fit.coef, fit.intercept).gradient

    def natural_radius(self, projection):
        """Return the radius where a linear model of the objective at zero is zero.

        It has the units of the coefficients, whatever those of the data are. It is 1
        if the features tell nothing about the targets.
        """
        name = projection if isinstance(projection, str) else id(projection)
        if name not in self._known:
            slope = self.slope(None, projection)
            radius = self.null_objective / slope if slope > 0.0 else 1.0
            self._known[name] = radius if 0.0 < radius < np.inf else 1.0
        return self._known[name]

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

        groups = self.groups.repeat(np.arange(structure.n_groups))[columns]
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
            coefs, intercepts = (x * self.target_scale for x in (coefs, intercepts))
        sizes = np.abs(coefs).max(axis=2, initial=0.0)
        largest = np.abs(intercepts).max()
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


def solve_columns(objective, constraint, coef, intercept, max_iter, tol, part):
    """Solve for all the features of a part; return the fit and its certificate."""
    coef, intercept, value, bound, n_iter, converged, *dual = part.solve(
        coef, intercept, constraint.eta, max_iter, tol
    )
    gap = max(value - max(bound, 0.0), 0.0)  # rounding
    fit = BallConstrainedFit(
        coef,
        intercept.reshape(objective.loss.zero_intercept().shape),
        value,
        gap,
        n_iter,
        converged,
    )
    return fit, Certificate(*dual)


def solve_in_parts(
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
    max_size=np.inf,
    solve_part=None,
    known=None,
):
    """Solve with few groups, then also with those that have large gradients.

    When the result of a part holds for all features, by the same measure, it is that of
    the problem; return the fit and its certificate. `first` is that of the start, if it
    is known. `groups` are the first part, or `size` is the number of its groups. A
    result that needs more than `max_size` has not converged. The last part is kept in
    the dict `known`, and is tried first in the next call. `solve_part` is called in
    place of the kernel.
    """
    nonzero, known = constraint.groups.nonzero, {} if known is None else known
    n_groups = 0  # without a ball that makes zeros, all features are solved for
    if constraint.sparsifies:
        n_groups = constraint.groups.count(objective.design.n_features)
    is_nonzero, n_iter, gap, value = nonzero(coef), 0, np.inf, 1.0
    n_nonzero = np.count_nonzero(is_nonzero)
    size = max(size or max(FIRST_WORKING_SET_SIZE, 3 * n_nonzero // 2), n_nonzero)
    if 1.25 * size < n_groups and groups is None:
        groups = known.get("groups")
        if groups is not None and is_nonzero.sum() > is_nonzero[groups].sum():
            groups = None
        if groups is None and first is None:
            first = objective.certificate(coef, intercept)
        if groups is None:
            value, gradient = first.value, first.gradient
            gap, _ = first.gap_and_bound(constraint, value)
    while 1.25 * size < n_groups:
        if groups is None:
            scores = constraint.screening_scores(gradient)
            scores[nonzero(coef)] = np.inf
            groups = np.sort(np.argpartition(scores, -size)[-size:])
        features, part_constraint = constraint.subset(groups)
        part_tol = PART_TOL * tol
        if np.isfinite(gap) and solve_part is None:
            part_tol = max(part_tol, WORKING_SET_TOL * gap / max(value, 1.0))
        options = part_constraint, coef[features], intercept, max_iter - n_iter
        if solve_part is not None:
            fit, dual = solve_part(objective.columns(features), *options, part_tol)
        else:
            if known.get("groups") is not groups:
                known.update(groups=None, part=None)  # without two copies of columns
                known["part"] = objective.part(part_constraint, features)
                known["groups"] = groups
            fit, dual = solve_columns(objective, *options, part_tol, known["part"])
        n_iter += fit.n_iter
        coef = spread(fit.coef, features, objective)
        intercept, value = fit.intercept, fit.objective
        gradient = objective.design.transposed_dot(dual.residuals)
        dual, last_gap = dual.among(objective, features, gradient), gap
        gap, bound = dual.gap_and_bound(constraint, value)
        converged = gap <= tol * max(value, 1.0)
        groups, n_nonzero = None, np.count_nonzero(nonzero(coef))
        if gap > MAX_GAP_RATIO * last_gap:
            size *= 2
        size = max(size, 3 * n_nonzero // 2)
        if converged or size > max_size or n_iter >= max_iter:
            gap = max(value - bound, 0.0)  # rounding
            fit = BallConstrainedFit(coef, intercept, value, gap, n_iter, converged)
            return fit, dual
    if "whole" not in known:
        known.clear()
        known["whole"] = objective.part(constraint)
    fit, dual = solve_columns(
        objective, constraint, coef, intercept, max_iter - n_iter, tol, known["whole"]
    )
    return (fit._replace(n_iter=n_iter + fit.n_iter) if n_iter else fit), dual
