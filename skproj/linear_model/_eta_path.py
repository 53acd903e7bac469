"""Ball-constrained linear models along a grid of radii."""

import numbers
import warnings
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skproj.blocks._passes import n_together
from skproj.linear_model._ball_constrained import (
    PART_TOL,
    known_groups,
    solve_in_parts,
)
from skproj.linear_model._objective import spread

# Radii are doubled until that lowers the objective by less than this share of all that
# the features have gained, until the ball is larger than the model, until the features
# of data in blocks exceed the memory for them, or until the slope of the objective is
# `min_slope_share` of the loss times that at zero. The slope is the penalty of the
# lasso with the same solution. Models beyond overfit, and take many iterations.
MIN_RELATIVE_GAIN = 0.01
# The slope, a pass over data in blocks, is computed from this multiple of its end on.
NEAR_LEAST_SLOPE = 10.0
# The last model with one group is at the radius where the second group enters, less a
# margin of this share.
ENTRY_MARGIN = 0.1
# Share of the natural radius where the curvature is measured first, and the largest
# number of models that the search for that radius takes after it.
PROBE_SHARE = 1e-3
# Slopes that fall by less than this share tell nothing: a loss may be linear there.
FLAT_SHARE = 1e-6
MAX_ENTRY_TRIALS = 8
# A callable may keep several groups however small the radius is.
MAX_HALVINGS = 14
# Ratios of the largest radius and the smallest of the geometric progression.
MIN_SPAN, MAX_SPAN = 4.0, 1e3
# The ends of the grid come from accurate models, so that those of blocks and memory
# agree; but a fixed point takes long to find, and float32 has fewer digits.
GRID_TOL, COARSE_TOL = 1e-7, 1e-3
TINY = np.finfo(np.float64).tiny
# Data in blocks: number of models that are first checked in one pass, doubled when all
# have the right features. Their residuals take at most these bytes.
FIRST_AHEAD = 2
AHEAD_BYTES = 1 << 26


class EtaPath(NamedTuple):
    """Path of models; see :func:`skproj.feature_selection.eta_path`."""

    etas: np.ndarray
    coefs: np.ndarray
    n_selected: np.ndarray
    dual_gaps: np.ndarray
    intercepts: np.ndarray
    n_iters: np.ndarray


def check_etas(etas):
    """Return given radii as a sorted array, or a number of radii as it is."""
    if isinstance(etas, numbers.Integral):
        if etas < 1:
            raise ValueError(f"The number of etas must be at least 1, got {etas}.")
        return int(etas)
    etas = np.sort(np.asarray(etas, dtype=np.float64))
    if etas.ndim != 1 or not len(etas) or not np.all(etas >= 0.0):
        raise ValueError(
            "etas must be a non-empty array of radii that are at least 0, got "
            f"{etas.tolist()}."
        )
    return etas


def make_etas(etas, problem, projection, **options):
    """Return the radii that `etas`, a checked array or number, stands for.

    A number of them is 0, then a geometric progression from the last radius with one
    feature, or group of features, to the largest that matters, or, of data in blocks,
    whose features may be in memory together; 1 is the radius with one feature. The
    options are those of `BallConstrainedProblem.solve`.
    """
    if not isinstance(etas, int):
        return etas
    # All that features with weak effects gain is less than the objective, by far.
    shape = problem.design.n_features, problem.loss.n_outputs
    fine = problem.constraint(projection).kernel(shape).exact
    fine = fine and problem.design.X.dtype == np.float64
    options["tol"] = GRID_TOL if fine else COARSE_TOL
    smallest = _radius_of_one_group(problem, projection, **options)
    largest = _radius_of_all(problem, projection, smallest, **options)
    smallest = min(smallest, largest / MIN_SPAN)
    start = max(smallest, largest / MAX_SPAN)  # larger where two groups all but tie
    radii = np.geomspace(start, largest, max(etas - 1, 1))
    radii[0] = smallest
    return np.append(0.0, radii)[-etas:]


def _radius_of_one_group(problem, projection, **options):
    """Return nearly the largest radius whose model has one group, or those that tie.

    Another group enters where the dual norm of its gradient is no longer less than that
    of the first. The model of the first alone is found in memory.
    """
    constraint = problem.constraint(projection)
    eta = problem.natural_radius(projection)
    options["tol"] /= max(eta, 1.0)
    if constraint.ball is None:
        return _halve_until_one_group(problem, projection, eta, **options)
    scores = constraint.screening_scores(problem.gradient(None))
    size = scores.max(initial=0.0)
    if size == 0.0:
        return eta
    first = scores >= (1.0 - np.sqrt(np.finfo(problem.design.X.dtype).eps)) * size
    alone, features = problem.among(np.flatnonzero(first), projection)
    # The curvature along the path of the first gives a guess, the secants the rest.
    eta *= PROBE_SHARE
    fit = alone.solve(eta, projection, **options)
    slope = alone.constraint(projection).screening_scores(alone.gradient(fit)).max()
    low, lead = 0.0, size - scores[~first]
    eta *= lead.min(initial=size) / max(size - slope, FLAT_SHARE * size)
    for _ in range(MAX_ENTRY_TRIALS):
        fit = alone.solve(eta, projection, **options)
        coef = spread(fit.coef, features, problem.objective)
        gradient = problem.gradient(fit._replace(coef=coef))
        scores = constraint.screening_scores(gradient)
        slope = scores[first].max()
        new_lead = slope - scores[~first]
        loss = np.maximum(lead - new_lead, np.maximum(FLAT_SHARE * lead, TINY))
        entry = low + (eta - low) * np.min(lead / loss, initial=np.inf)
        if new_lead.min(initial=np.inf) >= 0.0:
            if entry < (1.0 + 2.0 * ENTRY_MARGIN) * eta or slope <= 0.1 * size:
                return eta
            low, lead = eta, new_lead
        eta = min((1.0 - ENTRY_MARGIN) * entry, 4.0 * eta)
    return low or eta


def _halve_until_one_group(problem, projection, eta, **options):
    """Return the first of the halved radii with one group, or with the fewest."""
    fit, found = None, []
    for _ in range(MAX_HALVINGS):
        fit = problem.solve(eta, projection, start=fit, **options)
        found.append((np.count_nonzero(fit.coef.any(axis=1)), -eta))
        if found[-1][0] <= 1:
            break
        eta /= 2.0
    return -min(found)[1]


def _radius_of_all(problem, projection, eta, **options):
    """Return the largest radius that matters, doubling that of a sparse model."""
    null = problem.null_objective
    fall = problem.slope(None, projection)
    least_slope = problem.loss.min_slope_share * fall
    last = None
    options["within_memory"] = True
    fit = _solve_for_gain(problem, eta, projection, **options)
    while True:
        constraint, reach = problem.constraint(projection, eta), eta
        if constraint.ball is not None:  # the ball may be larger than the model
            reach = min(constraint.scores(fit.coef).sum(), eta) or eta
        slope = fall  # the last mean slope, an upper bound
        if fall < NEAR_LEAST_SLOPE * least_slope:
            slope = problem.slope(fit, projection)
        if slope < least_slope:
            if last is None:
                return reach
            last_slope, last_eta = last
            share = (last_slope - least_slope) / (last_slope - slope)
            return last_eta + share * (reach - last_eta)
        last = slope, eta
        larger = _solve_for_gain(problem, 2.0 * eta, projection, start=fit, **options)
        gain = fit.objective - larger.objective
        # Nothing but rounding, if no feature varies or squares underflow.
        total = max(null - larger.objective, 0.0)
        in_memory = larger.converged or larger.n_iter >= options["max_iter"]
        if not in_memory or gain <= MIN_RELATIVE_GAIN * total:
            return reach
        fall = gain / eta
        eta, fit = 2.0 * eta, larger


def _solve_for_gain(problem, eta, projection, *, tol, **options):
    """Solve with a gap that is small beside what the features gain at this radius."""
    unit = problem.natural_radius(projection)
    tol *= min(eta / unit, 1.0) / problem.tolerance(eta, projection, 1.0)
    return problem.solve(eta, projection, tol=tol, **options)


def solve_path(problem, etas, **options):
    """Yield the fits for increasing radii, each started from the ones before.

    The options are those of `BallConstrainedProblem.solve`. Of data in blocks, more and
    more radii are solved with the features in memory before a pass, which says for
    how many of them these are sufficient.
    """
    n_done, n_ahead = np.count_nonzero(etas == 0.0), FIRST_AHEAD
    for _ in range(n_done):  # not a start: the others are the same without them
        yield problem.solve(0.0, **options)
    last = []  # one fit or two
    in_parts = problem.in_blocks and not problem.design.X.fits
    while n_done < len(etas):
        found, retry = [], None
        if last and in_parts:
            found, retry = _solve_ahead(
                problem, etas[n_done - len(last) :], last, n_ahead, **options
            )
            n_ahead = FIRST_AHEAD if retry is not None else 2 * n_ahead
        yield from found  # before other features take the place of theirs
        n_done, last = n_done + len(found), [*last, *found][-2:]
        if found and retry is None:
            continue
        if retry is None:
            retry = _next_start(etas[n_done - len(last) :], last), None
        start, first = retry
        fit = problem.solve(etas[n_done], start=start, first=first, **options)
        yield fit
        n_done, last = n_done + 1, [*last, fit][-2:]


def _next_start(etas, fits):
    """Return where to start the fit that follows on one or two others, or None.

    The first radii are those of the others.
    """
    if len(fits) < 2 or not etas[0] < etas[1] < etas[2] < np.inf:
        return fits[-1] if fits else None
    growth = (etas[2] - etas[1]) / (etas[1] - etas[0])
    previous, last = fits
    # On a straight line; what is zero stays zero.
    further = last.coef + growth * (last.coef - previous.coef)
    further[last.coef == 0.0] = 0.0
    return type(last)(further, *last[1:])


def _solve_ahead(problem, etas, last, n_ahead, projection, max_iter, tol):
    """Fit the next radii with the features in memory, and check them in one pass.

    The first radii are those of the one or two fits `last`. Returns the fits up to the
    first that other features would improve, and that one, with the point where the
    gradient of all features is known, or None.
    """
    design = problem.design
    dtype = design.X.dtype
    n_bytes = problem.loss.n_samples * problem.loss.n_outputs * dtype.itemsize
    n_ahead = min(n_ahead, max(AHEAD_BYTES // n_together() // n_bytes, 1))
    groups, candidates, fits = None, [], list(last)
    for place in range(len(last), min(len(last) + n_ahead, len(etas))):
        start = _next_start(etas[place - len(fits[-2:]) :], fits[-2:])
        constraint = problem.constraint(projection, etas[place])
        if not constraint.sparsifies:
            break
        is_first = groups is None
        if is_first:
            groups = known_groups(design, constraint, start.coef)
            if groups is None:
                break
        features, part_constraint = constraint.subset(groups)
        if is_first:
            objective, known = problem.objective.columns(features), {}
        aim = problem.tolerance(etas[place], projection, tol)
        fit, dual = solve_in_parts(
            objective,
            part_constraint,
            start.coef[features],
            start.intercept,
            max_iter,
            PART_TOL * aim,
            known=known,
        )
        if not fit.converged:
            break
        fits.append(fit._replace(coef=spread(fit.coef, features, problem.objective)))
        dual.residuals = dual.residuals.astype(dtype)
        candidates.append((constraint, aim, fits[-1], dual))
    if not candidates:
        return [], None
    objective = known = None  # no columns in memory twice while others compute
    gradients = design.transposed_dots([dual.residuals for *_, dual in candidates])
    found = []
    for candidate, gradient in zip(candidates, gradients, strict=True):
        constraint, aim, fit, dual = candidate
        dual = dual.among(problem.objective, features, gradient)
        gap, _ = dual.gap_and_bound(constraint, fit.objective)
        if gap > aim * max(fit.objective, 1.0):
            return found, (fit, dual)
        found.append(fit._replace(gap=max(gap, 0.0)))
    return found, None


def collect_path(problem, etas, fits, dtype):
    """Return the fits as an `EtaPath` in the units of the data."""
    models = problem.models(fits, dtype)
    return EtaPath(
        etas=etas,
        coefs=np.ascontiguousarray(models.dense().transpose(0, 2, 1)),
        n_selected=np.count_nonzero(models.supports, axis=1),
        dual_gaps=np.array([fit.gap for fit in fits]),
        intercepts=models.intercepts,
        n_iters=np.array([fit.n_iter for fit in fits]),
    )


def warn_of_unfinished(n_unfinished, n_fits, max_iter, tol, stacklevel):
    """Warn once of all the fits that have not converged."""
    if n_unfinished:
        warnings.warn(
            f"{n_unfinished} of {n_fits} linear models have not converged in "
            f"max_iter={max_iter} iterations, for tol={tol}. Increase max_iter or "
            "tol, or leave out the largest etas.",
            ConvergenceWarning,
            stacklevel=stacklevel + 1,
        )
