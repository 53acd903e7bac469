"""Search for the radius that keeps a given number of features."""

import math
from typing import NamedTuple

import numpy as np

from skproj.linear_model._ball_constrained import BallConstrainedFit
from skproj.linear_model._feature_structure import FeatureStructure

# Until the radius is bracketed, it changes by at most this factor, and its logarithm by
# half more than the power law says, or by this much more if that is less.
MAX_GROWTH = 4.0
MAX_LOG_OVERSHOOT = 0.02
# Factor by which interpolation goes further if it has come from the same side twice in
# a row, but not beyond the middle.
REPEATED_SIDE_FACTOR = 4.0
# Radii beyond `start * MAX_RADIUS_RATIO`, or below `start / MAX_RADIUS_RATIO`, are not
# tried.
MAX_RADIUS_RATIO = 1e6
# A known norm below this share of the radius means that the constraint is not active.
ACTIVE_NORM_SHARE = 0.999
# The search ends when the radius is known to this relative accuracy.
RADIUS_RTOL = 1e-3


class Trial(NamedTuple):
    """Result of one radius."""

    eta: float
    scores: np.ndarray  # one per feature; zero if it is not selected
    fit: BallConstrainedFit | None  # None for the weights of an estimator
    active: bool  # whether a larger radius would change anything
    structure: FeatureStructure | None = None
    group_scores: np.ndarray | None = None

    @classmethod
    def score(cls, constraint, coef, structure=None, fit=None):
        """Score the features by coefficients in the ball of a constraint.

        The coefficients have the shape (n_features, n_outputs), or are those of the
        columns of a structure.
        """
        scores = group_scores = constraint.scores(coef)
        known = constraint.ball is not None
        active = not known or scores.sum() >= ACTIVE_NORM_SHARE * constraint.eta
        if structure is not None:
            scores = structure.feature_scores(group_scores)
        return cls(constraint.eta, scores, fit, active, structure, group_scores)

    @property
    def n_selected(self):
        """Number of selected features."""
        return np.count_nonzero(self.scores)

    def falls_short(self, n_selected):
        """Whether whole groups of at most `n_selected` features would be more."""
        if n_selected is None:
            return False
        if self.structure is not None:
            n_selected = self.structure.reachable(n_selected)
        return self.n_selected < n_selected

    def best_scores(self, n_selected=None):
        """Return the scores, those after the best `n_selected` set to zero.

        Groups are kept as a whole: as many as have no more features, but one at least.
        """
        if n_selected is None or self.n_selected <= n_selected:
            return self.scores
        if self.structure is not None and self.structure.grouped:
            best = self.structure.best_groups(self.group_scores, n_selected)
            return self.structure.feature_scores(best)
        scores = np.zeros_like(self.scores)
        best = np.argsort(-self.scores, kind="stable")[:n_selected]
        scores[best] = self.scores[best]
        return scores


def search_radius(attempt, n_selected, start):
    """Find a radius that keeps `n_selected` features; also return the number of trials.

    ``attempt(eta, nearest)`` returns a `Trial`, where `nearest` is the trial of a near
    radius, or None. The search begins at the radius `start`. The radius follows the
    power law through the last two trials until it is bracketed. Then the logarithm of
    the number of features is interpolated in that of the radius, and goes further than
    that if it came from the same side twice in a row.

    The result is a trial with exactly `n_selected` features if such a radius was met;
    else the one of the smallest radius with more; else, if every radius keeps too many,
    the largest of those that keep the fewest; else, if no radius keeps enough, the one
    with the most features.
    """
    trial = attempt(start, None)
    n_trials = 1
    previous = too_small = too_large = nearest = None
    while trial.n_selected != n_selected:
        if trial.n_selected < n_selected:
            too_small = trial
        else:
            too_large = trial
        # On one side as yet, where this is the most or the fewest.
        distance = abs(trial.n_selected - n_selected)
        if nearest is None or distance < abs(nearest.n_selected - n_selected):
            nearest = trial
        if too_large is None:
            eta = trial.eta * _growth(previous, trial, n_selected)
            if not trial.active and previous is not None and eta > trial.eta:
                # A model inside of the ball is one of several. From zero, more features
                # may come in.
                eta, trial = trial.eta, None
            elif not (trial.active and eta < start * MAX_RADIUS_RATIO):
                return nearest, n_trials
        elif too_small is None:
            eta = trial.eta / _growth(previous, trial, n_selected)
            if eta < start / MAX_RADIUS_RATIO:
                return nearest, n_trials
        else:
            if too_large.eta <= too_small.eta * (1.0 + RADIUS_RTOL):
                return too_large, n_trials
            share = _share(too_small, too_large, n_selected)
            if previous.n_selected > n_selected and trial.n_selected > n_selected:
                share = max(1.0 - REPEATED_SIDE_FACTOR * (1.0 - share), min(share, 0.5))
            elif previous.n_selected < n_selected and trial.n_selected < n_selected:
                share = min(REPEATED_SIDE_FACTOR * share, max(share, 0.5))
            eta = too_small.eta * (too_large.eta / too_small.eta) ** share
        previous, trial = trial, attempt(eta, trial)
        n_trials += 1
    return trial, n_trials


def _growth(previous, trial, n_selected):
    """Return the factor by which to move a radius that is not bracketed yet."""
    if previous is None or not (previous.n_selected and trial.n_selected):
        exponent = 1.0
    else:
        gain = math.log(trial.n_selected / previous.n_selected)
        exponent = gain / math.log(trial.eta / previous.eta)
    if not (trial.n_selected and exponent > 0.0):
        return MAX_GROWTH
    change = abs(math.log(n_selected / trial.n_selected)) / exponent
    change = min(change, math.log(MAX_GROWTH))  # its exponential may overflow
    return min(math.exp(change + min(0.5 * change, MAX_LOG_OVERSHOOT)), MAX_GROWTH)


def _share(too_small, too_large, n_selected):
    """Return where to expect `n_selected` features: 0 is one radius, 1 the other."""
    low, wanted, high = (
        math.log1p(n) for n in (too_small.n_selected, n_selected, too_large.n_selected)
    )
    return (wanted - low) / (high - low)
