"""The radius for which a given number of features survives."""

import math
from typing import Any, NamedTuple

import numpy as np

# Until the radius is bracketed, it changes by this factor.
GROWTH = 4.0
# Radii beyond `start * MAX_RATIO`, or below `start / MAX_RATIO`, are not tried.
MAX_RATIO = 1e6
# The search ends when the radius is known to this relative accuracy.
RADIUS_RTOL = 1e-3


class Trial(NamedTuple):
    """What a radius gave."""

    eta: float
    scores: np.ndarray  # one per feature; zero if it did not survive
    solution: Any
    binding: bool  # whether a larger radius would change anything

    @property
    def n_selected(self):
        """How many features survived."""
        return np.count_nonzero(self.scores)


def search_radius(attempt, n_selected, start):
    """Find a radius that keeps `n_selected` features.

    Once the radius is bracketed, bisection of its logarithm takes turns with
    interpolation in the logarithm of the number of features.

    Parameters
    ----------
    attempt : callable
        ``attempt(eta, nearest)`` returns a `Trial`; `nearest` is the trial of a near
        radius, or None.
    n_selected : int
    start : float
        The first radius to try.

    Returns
    -------
    trial : Trial
        One with exactly `n_selected` features if such a radius was met; else the one
        of the smallest radius with more; else, if no radius keeps enough, the one
        with the most features.
    n_trials : int
    """
    trial = attempt(start, None)
    n_trials = 1
    too_small = too_large = None
    while trial.n_selected != n_selected:
        if trial.n_selected < n_selected:
            too_small = trial
        else:
            too_large = trial
        if too_large is None:
            eta = trial.eta * GROWTH
            if not (trial.binding and eta < start * MAX_RATIO):
                return trial, n_trials
        elif too_small is None:
            eta = trial.eta / GROWTH
            if eta < start / MAX_RATIO:
                return too_large, n_trials
        else:
            if too_large.eta <= too_small.eta * (1.0 + RADIUS_RTOL):
                return too_large, n_trials
            share = 0.5 if n_trials % 2 else _share(too_small, too_large, n_selected)
            eta = too_small.eta * (too_large.eta / too_small.eta) ** share
        trial = attempt(eta, trial)
        n_trials += 1
    return trial, n_trials


def _share(too_small, too_large, n_selected):
    """Where between two radii to expect `n_selected` features, from 0 to 1."""
    low, wanted, high = (
        math.log1p(n) for n in (too_small.n_selected, n_selected, too_large.n_selected)
    )
    return (wanted - low) / (high - low)
