"""Ball-constrained linear models along a grid of radii."""

import numbers
import warnings
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

# Radii are doubled until that lowers the objective by less than this share of its value
# without features, or until the slope of the objective is `min_slope_share` of the loss
# times that at zero. The slope is the penalty of the lasso with the same solution.
# Models beyond overfit, and take many iterations. Radii below the last share of the
# natural one are not tried, even if several features are still selected.
MIN_RELATIVE_GAIN = 0.01
MIN_RADIUS_SHARE = 1e-2
# The ends of the grid need no accurate models.
GRID_TOL = 1e-3
TINY = np.finfo(np.float64).tiny


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
    if etas.ndim != 1 or not len(etas) or not np.all(etas > 0.0):
        raise ValueError("etas must be a non-empty array of positive radii.")
    return etas


def make_etas(etas, problem, projection, **options):
    """Return the radii that `etas`, a checked array or number, stands for.

    A number of them is a geometric progression from a radius that keeps one feature,
    or group of features, to the largest that matters. The options are those of
    `BallConstrainedProblem.solve`.
    """
    if not isinstance(etas, int):
        return etas
    options["tol"] = GRID_TOL
    natural = problem.natural_radius(projection)
    first = fit = problem.solve(natural, projection, **options)
    smallest = natural
    groups = problem.constraint(projection).groups
    while (
        np.count_nonzero(groups.nonzero(fit.coef)) > 1
        and smallest > MIN_RADIUS_SHARE * natural
    ):
        smallest /= 2.0
        fit = problem.solve(smallest, projection, start=fit, **options)
    largest, fit = natural, first
    least_slope = problem.loss.min_slope_share * problem.slope(None, projection)
    least_gain = MIN_RELATIVE_GAIN * problem.null_objective
    last_slope = None
    while True:
        slope = max(problem.slope(fit, projection), TINY)
        if slope < least_slope:
            if last_slope is not None:  # between the last two on a power law
                share = np.log(slope / least_slope) / np.log(slope / last_slope)
                largest *= 0.5**share
            return np.geomspace(smallest, largest, etas)
        last_slope, objective = slope, fit.objective
        fit = problem.solve(2.0 * largest, projection, start=fit, **options)
        if objective - fit.objective <= least_gain:  # both are 0 if squares underflow
            return np.geomspace(smallest, largest, etas)
        largest *= 2.0


def solve_path(problem, etas, **options):
    """Yield the fits for increasing radii, each started from the ones before.

    The options are those of `BallConstrainedProblem.solve`.
    """
    last, fit, start = None, None, None
    for i, eta in enumerate(etas):
        if last is not None and etas[i - 2] < etas[i - 1] < eta < np.inf:
            growth = (eta - etas[i - 1]) / (etas[i - 1] - etas[i - 2])
            start = replace(fit, coef=_extrapolate(last.coef, fit.coef, growth))
        last, fit = fit, problem.solve(eta, start=start, **options)
        start = fit
        yield fit


def _extrapolate(previous, coef, growth):
    """Continue a path on a straight line; what is zero stays zero."""
    further = coef + growth * (coef - previous)
    return np.where(coef != 0.0, further, 0.0)


def collect_path(problem, etas, fits, dtype):
    """Return the fits as an `EtaPath` in the units of the data."""
    models = [problem.original_units(fit, dtype) for fit in fits]
    return EtaPath(
        etas=etas,
        coefs=np.stack([coef.T for coef, _ in models]),
        n_selected=np.array([np.count_nonzero(problem.support(fit)) for fit in fits]),
        dual_gaps=np.array([fit.gap for fit in fits]),
        intercepts=np.stack([intercept for _, intercept in models]),
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
