r"""Linear models whose coefficients are constrained to a ball.

The problem, with one group (row of W) per feature and an unconstrained intercept b:

    minimise  f(W, b) = sum_i w_i loss(y_i, x_i W + b)   subject to  ||W|| <= eta

The intercept is minimised over at every point, so that the methods below see a
function of W alone, and its gradient is X^T R with residuals R that add up to zero.

Certificate. For any point Z with residuals R, convexity gives for all W in the ball

    f(W) >= f(Z) + <G, W - Z> >= f(Z) - <R, X Z> - eta * dual_norm(G),   G = X^T R

where <G, Z> = <R, X Z>. The objective minus the best such bound is the duality gap. At
W = Z it is <G, Z> + eta * dual_norm(G), but the bound may be taken at any point: here
where the method needs the gradient anyway. It is valid for bi-level projections as
well, because they share the ball. It needs residuals that add up to zero; Newton's
method leaves them there to 1e-10 of their size. Losses are not negative, so 0 is
always a bound.

The bi-level projections do not lead to the minimum, but to a fixed point of gradient
step and projection; `BallConstraint.fixed_point_residual` is the distance from it in
the units of the gap.
"""

import functools
import math
from collections import deque
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from skproj.linear_model._constraint import BallConstraint
from skproj.linear_model._design import StandardizedDesign, mean_and_deviation
from skproj.linear_model._losses import make_loss

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

# Features in the first working set; each next one has at least twice as many as are not
# zero. A working set is solved to this fraction of the current gap. The next one grows
# if the gap over all features is still more than this share of the last gap.
FIRST_WORKING_SET_SIZE = 100
WORKING_SET_TOL = 0.05
MAX_GAP_RATIO = 0.5


@dataclass(frozen=True)
class BallConstrainedFit:
    """Result of `BallConstrainedProblem.solve`.

    Attributes
    ----------
    coef : ndarray of shape (n_features, n_outputs)
        Coefficients of the standardised data.
    intercept : ndarray of shape (n_outputs,)
        Intercept of the standardised data.
    objective : float
        The mean loss.
    gap : float
        Bound on how far `objective` is from the minimum over the ball; the objective
        itself if nothing better is known.
    n_iter : int
        Number of gradients used.
    converged : bool
        Whether `tol` was reached.
    """

    coef: np.ndarray
    intercept: np.ndarray
    objective: float
    gap: float
    n_iter: int
    converged: bool

    @property
    def n_selected(self):
        """Number of features with coefficients."""
        return np.count_nonzero(self.coef.any(axis=1))


class BallConstrainedProblem:
    """The data of a ball-constrained linear model, prepared for any radius.

    Parameters
    ----------
    X : {ndarray, CSR or CSC matrix} of shape (n_samples, n_features)
        Data of dtype float32 or float64; never copied as a whole, never densified.
    targets : ndarray
        Codes 0, 1, ... of the classes, of shape (n_samples,), if `loss` is "log_loss";
        float64 of shape (n_samples, n_outputs) otherwise.
    loss : {"log_loss", "squared_error", "huber"}
        Two classes have one output, more have one output each.
    sample_weight : ndarray of shape (n_samples,), default=None
        Positive weights.
    fit_intercept : bool, default=True
        Whether there is an intercept; the features are then centred as well.
    standardize : bool, default=True
        Whether the features, and the targets of a regression, are divided by their
        standard deviation.
    huber_epsilon : float, default=1.35
        Where the Huber loss becomes linear.
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
    ):
        if sample_weight is None:
            sample_weight = np.ones(X.shape[0])
        weights = sample_weight / sample_weight.max()  # huge ones would overflow
        weights /= weights.sum()
        self.target_scale = 1.0
        if standardize and loss != "log_loss":
            _, deviation = mean_and_deviation(targets, weights)
            self.target_scale = np.where(deviation > 0.0, deviation, 1.0)
            targets = targets / self.target_scale
        self.design = StandardizedDesign.from_data(
            X, weights, center=fit_intercept, scale=standardize
        )
        self.loss = make_loss(
            loss,
            targets,
            weights,
            fit_intercept=fit_intercept,
            huber_epsilon=huber_epsilon,
        )

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
        """Fit the model for one radius.

        Parameters
        ----------
        eta : float
            Radius of the ball; infinity means no constraint.
        projection : str or callable, default="l1inf"
            A key of `BALLS`, or ``projection(W, eta, axis=1)``.
        start : BallConstrainedFit, default=None
            Where to start, for instance the fit for another radius. None is zero.
        max_iter : int, default=1000
            Largest number of gradients.
        tol : float, default=1e-4
            A fit with an exact projection has converged when the duality gap is at
            most ``tol * max(objective, 1) * min(eta / unit, 1)``, where the unit is 1,
            or `natural_radius` if that is less; without a constraint, when
            no entry of the gradient exceeds `tol`. Other projections converge to a
            point that they no longer move, by the same measure.
        n_threads : int, default=1
            Number of threads of the projection.

        Returns
        -------
        fit : BallConstrainedFit
        """
        constraint = BallConstraint(projection, eta, n_threads)
        # In a small ball the objective varies by no more than a multiple of eta. What
        # is small depends on the units of the coefficients.
        tol = tol * min(eta / min(self.natural_radius(projection), 1.0), 1.0)
        if start is None:
            intercept = np.zeros(self.loss.n_outputs)
            coef = np.zeros((self.design.n_features, self.loss.n_outputs))
        else:
            intercept = start.intercept
            coef = constraint.project(start.coef.copy())
        solve = _solve_in_working_sets if constraint.sparsifies else _solve
        solution = solve(
            self.design, self.loss, constraint, coef, intercept, max_iter, tol
        )
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
        return _Point(self.design, self.loss, zero, products, zero.sum(axis=0))

    def natural_radius(self, projection):
        """Return the radius where a linear model of the objective at zero is zero.

        It has the units of the coefficients, whatever those of the data are. It is 1
        if the features tell nothing about the targets.
        """
        slope = BallConstraint(projection, 1.0).dual_norm(self._point_at_zero.gradient)
        radius = self.null_objective / slope if slope > 0.0 else 1.0
        return radius if 0.0 < radius < np.inf else 1.0

    def original_units(self, fit, dtype=np.float64):
        """Return the coefficients and the intercept in the units of the data."""
        coef, intercept = self.design.original_units(fit.coef, fit.intercept)
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


class _Model(NamedTuple):
    """Coefficients, the logits they give without the intercept, and the objective."""

    coef: np.ndarray
    products: np.ndarray
    intercept: np.ndarray
    value: float


class _Point:
    """A point where the gradient is known; the intercept is the best one there."""

    def __init__(self, design, loss, coef, products, intercept):
        self.coef = coef
        self.products = products
        self.intercept, self.value, self.residuals = loss.best_intercept(
            products, intercept
        )
        self.gradient = design.transposed_dot(self.residuals)

    def lower_bound(self, constraint, gradient=None):
        """Bound the objective on the ball; `gradient` may have more features."""
        if not constraint.sparsifies:
            return 0.0
        if gradient is None:
            gradient = self.gradient
        return float(
            self.value
            - np.vdot(self.residuals, self.products)
            - constraint.eta * constraint.dual_norm(gradient)
        )


class _GradientStep:
    """Projected gradient steps whose length follows the curvature."""

    def __init__(self, design, loss, constraint, first_point):
        self.design = design
        self.loss = loss
        self.constraint = constraint
        gradient = first_point.gradient
        along_gradient = loss.curvature_bound(design.dot(gradient))
        squared_length = np.vdot(gradient, gradient)
        # Without a gradient any positive number will do.
        self.curvature = along_gradient / squared_length if along_gradient > 0 else 1.0

    def __call__(self, point):
        """Return the model one step from `point`."""
        self.curvature *= CURVATURE_DECAY
        while True:
            coef = self.constraint.project(point.coef - point.gradient / self.curvature)
            products = self.design.dot(coef)
            value, _ = self.loss.value_and_residuals(products + point.intercept)
            step = coef - point.coef
            squared_length = np.vdot(step, step)
            allowed = self.curvature * squared_length
            needed = self._second_order_term(point, products, value)
            if needed > allowed:
                # The difference of products may be nothing but rounding errors, which
                # do not shrink with the step. The product of the step does: no
                # curvature exceeds the Lipschitz constant of the gradient by more than
                # the margin.
                bound = 2.0 * self.loss.curvature_bound(self.design.dot(step))
                needed = min(needed, bound)
            if squared_length == 0.0 or not needed > allowed:
                return _Model(coef, products, point.intercept, value)
            self.curvature = CURVATURE_MARGIN * needed / squared_length

    def _second_order_term(self, point, products, value):
        """Return twice the error of a linear model at `point`, or a bound of it.

        The difference is sharper than the bound, but is lost in rounding errors when
        the step is small.
        """
        change = products - point.products
        missed = value - point.value - np.vdot(point.residuals, change)
        bound = self.loss.curvature_bound(change)
        return 2.0 * (min(missed, bound) if missed > 1e-9 * value else bound)


def _accelerated_steps(design, loss, constraint, coef, intercept):
    """Yield, for ever, a point, the model one step from it, and the curvature used.

    FISTA with restart when the momentum points back.
    """
    model = _Model(coef, design.dot(coef), intercept, np.inf)
    point = _Point(design, loss, *model[:3])
    gradient_step = _GradientStep(design, loss, constraint, point)
    momentum = 1.0
    while True:
        previous, model = model, gradient_step(point)
        yield point, model, gradient_step.curvature
        if np.vdot(model.coef - point.coef, model.coef - previous.coef) < 0.0:
            momentum, push = 1.0, 0.0
        else:
            last, momentum = momentum, (1.0 + math.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
            push = (last - 1.0) / momentum
        point = _Point(
            design,
            loss,
            model.coef + push * (model.coef - previous.coef),
            model.products + push * (model.products - previous.products),
            model.intercept,
        )


def _mixed_steps(design, loss, constraint, coef, intercept):
    """Yield the same as `_accelerated_steps`, for maps that minimise nothing.

    Anderson acceleration: the next point is the affine combination of the last models
    for which that of the forces is shortest. When a force is much longer than the
    shortest one so far, the memory is dropped and the next step is shorter.
    """
    point = _Point(design, loss, coef, design.dot(coef), intercept)
    gradient_step = _GradientStep(design, loss, constraint, point)
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
        point = _Point(
            design,
            loss,
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


@dataclass(frozen=True)
class _SolverResult:
    """Result of a method for a set of features."""

    model: _Model
    bound: float
    dual: _Point  # where the bound was taken
    n_iter: int
    converged: bool


def _solve(design, loss, constraint, coef, intercept, max_iter, tol):
    """Solve with all the features of `design`."""
    exact = constraint.exact(loss.n_outputs)
    take_steps = _accelerated_steps if exact else _mixed_steps
    stop_at = _minimum if exact else _fixed_point
    steps = take_steps(design, loss, constraint, coef, intercept)
    solution = stop_at(steps, constraint, max_iter, tol)
    coef, products, intercept, _ = solution.model
    intercept, value, _ = loss.best_intercept(products, intercept)
    return replace(solution, model=_Model(coef, products, intercept, value))


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
            best = _Model(point.coef, point.products, point.intercept, point.value)
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


def _solve_in_working_sets(design, loss, constraint, coef, intercept, max_iter, tol):
    """Solve with few features, add those with large gradients, and repeat.

    It ends when the result holds for all features, by the same measure.
    """
    size, n_iter = max(FIRST_WORKING_SET_SIZE, np.count_nonzero(coef.any(axis=1))), 0
    if 1.25 * size < design.n_features:
        features, dual = (
            slice(None),
            _Point(design, loss, coef, design.dot(coef), intercept),
        )
        value, gradient = dual.value, dual.gradient
        gap, _ = _gap_and_bound(constraint, dual, features, gradient, value)
    while 1.25 * size < design.n_features and n_iter < max_iter - 1:
        scores = constraint.screening_scores(gradient)
        scores[np.any(coef, axis=1)] = np.inf
        features = np.sort(np.argpartition(scores, -size)[-size:])
        part = _solve(
            design.columns(features),
            loss,
            constraint,
            coef[features],
            intercept,
            max_iter - 1 - n_iter,
            max(tol, WORKING_SET_TOL * gap / max(value, 1.0)),
        )
        n_iter += part.n_iter
        coef = np.zeros_like(coef)
        coef[features] = part.model.coef
        _, _, intercept, value = part.model
        gradient = design.transposed_dot(part.dual.residuals)
        last_gap = gap
        gap, bound = _gap_and_bound(constraint, part.dual, features, gradient, value)
        if gap <= tol * max(value, 1.0):
            return replace(
                part,
                model=part.model._replace(coef=coef),
                bound=bound,
                n_iter=n_iter,
                converged=True,
            )
        if gap > MAX_GAP_RATIO * last_gap:
            size *= 2
        size = max(size, 2 * np.count_nonzero(np.any(coef, axis=1)))
    whole = _solve(design, loss, constraint, coef, intercept, max_iter - n_iter, tol)
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
