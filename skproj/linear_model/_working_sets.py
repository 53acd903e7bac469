"""Methods of the ball-constrained linear models: all features, or few at a time.

See `_ball_constrained.py` for the problem and the certificate.
"""

from dataclasses import dataclass, replace

import numpy as np

from skproj.linear_model._steps import (
    Model,
    Point,
    accelerated_steps,
    mixed_steps,
)

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
class SolverResult:
    """Result of a method for a set of features."""

    model: Model
    bound: float
    dual: Point  # where the bound was taken
    n_iter: int
    converged: bool


def solve(objective, constraint, coef, intercept, max_iter, tol):
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
            return SolverResult(best, max(bound, 0.0), dual, n_iter, converged)


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
            return SolverResult(best, bound, dual, n_iter, converged)


def solve_in_blocks(
    objective,
    constraint,
    coef,
    intercept,
    max_iter,
    tol,
    *,
    first=None,
    within_memory=False,
):
    """Solve with few passes: with a part of the columns in memory at a time.

    That part is solved as a whole if it is small, or in smaller working sets. A ball
    that does not say which columns may be zero needs passes for each gradient.
    `within_memory` gives up when more columns are needed than memory is meant to hold.
    """
    design, matrix = objective.design, objective.design.X
    if matrix.fits:
        objective = objective.columns(slice(None))
        method = solve_in_working_sets if constraint.sparsifies else solve
        return method(objective, constraint, coef, intercept, max_iter, tol)
    if not constraint.sparsifies:
        return solve(objective, constraint, coef, intercept, max_iter, tol)
    n_groups = constraint.groups.count(design.n_features)
    size = matrix.n_affordable * n_groups // max(design.n_features, 1)
    size = max(size, FIRST_WORKING_SET_SIZE)
    return solve_in_working_sets(
        objective,
        constraint,
        coef,
        intercept,
        max_iter,
        tol,
        first=first,
        size=size,
        max_size=size if within_memory else np.inf,
        groups=None
        if coef.any() and first is not None
        else known_groups(design, constraint, coef),
        solve_part=solve_in_memory,
        part_tol=PART_TOL * tol,
    )


def solve_in_memory(objective, *options):
    """Solve with columns of blocks that are in memory."""
    X = objective.design.X
    small = X.size <= MAX_WHOLE_ENTRIES * X.shape[0]
    return (solve if small else solve_in_working_sets)(objective, *options)


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


def solve_in_working_sets(
    objective,
    constraint,
    coef,
    intercept,
    max_iter,
    tol,
    *,
    first=None,
    size=None,
    max_size=np.inf,
    groups=None,
    solve_part=solve,
    part_tol=None,
):
    """Solve with few groups, add those with large gradients, and repeat.

    It ends when the result holds for all features, by the same measure. `first` is the
    point of the coefficients if it is known. The first working set has `groups`, if
    they are given, or as many as `size`. Each is solved to `part_tol`, or to a share of
    the gap that is left. A result that needs more than `max_size` has not converged.
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
        gap, _ = gap_and_bound(constraint, dual, features, gradient, value)
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
        gap, bound = gap_and_bound(constraint, part.dual, features, gradient, value)
        converged = gap <= tol * max(value, 1.0)
        if gap > MAX_GAP_RATIO * last_gap:
            size *= 2
        size = max(size, 2 * np.count_nonzero(nonzero(coef)))
        if converged or size > max_size:
            return replace(
                part,
                model=part.model._replace(coef=coef),
                bound=bound,
                dual=part.dual.among(features, gradient),
                n_iter=n_iter,
                converged=converged,
            )
    whole = solve(objective, constraint, coef, intercept, max_iter - n_iter, tol)
    return replace(whole, n_iter=n_iter + whole.n_iter)


def gap_and_bound(constraint, dual, features, gradient, value):
    """Distance from the solution for all features, and a bound of the objective.

    `dual` has coefficients of `features` only; `gradient` is the one there, of all.
    """
    bound = max(dual.lower_bound(constraint, gradient), 0.0)
    if constraint.exact(gradient.shape[1]):
        return value - bound, bound
    coef = np.zeros_like(gradient)
    coef[features] = dual.coef
    return min(value - bound, constraint.fixed_point_residual(coef, gradient)), bound
