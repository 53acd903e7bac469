r"""Partial likelihood of the Cox model of survival times.

With the weights w, the logits z and the samples R(t) that are at risk at the time t,

    f(z) = sum over events of  m log T  -  sum over events of  w z  -  constant
    T = sum of w exp(z) over R(t) - share * sum of w exp(z) over the events at t

where m is the mean weight of the events at the same time. With Breslow's treatment of
ties every share is 0; with Efron's the d events at one time have the shares 0, 1/d,
..., (d - 1)/d. The constant is the least value, that of a model with a parameter for
each sample: f is half the deviance, and is not negative.

Sums of exponentials are kept as logarithms, so that no logit overflows.
"""

import numpy as np
from sklearn.utils import check_array

from skproj.linear_model._losses import Loss

# Sections of the docstrings of `predict_survival`.
PREDICT_SURVIVAL_DOCS = {
    "sections": """
        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        times : float or array-like of shape (n_times,)
            Times, in the units of `y` and in any order.

        Returns
        -------
        probability : ndarray of shape (n_samples, n_times)
            That the event comes after each time; one column for a single number. After
            the last event of the training samples, it is the value at that event.

        Raises
        ------
        NotFittedError
            If the model is not fitted.
        ValueError
            If a time is negative, infinite or NaN, or if `times` is not a
            number or a list.
    """,
}

# Treatment of ties by the public name of the loss.
TIES = {"cox": "breslow", "cox_efron": "efron"}


class Cox(Loss):
    """Half the deviance of the Cox model; the targets are events and times.

    They are a structured array with the fields `event` and `time`, as `read_target`
    returns it, with at least one event. `ties` is "breslow" or "efron". The sum over
    the events is divided by the weight of all samples. A shift of all the logits
    changes nothing: there is no intercept to fit, only the columns of a `basis`.
    """

    # Only events count, and the order of few events is soon fitted without an error.
    min_slope_share = 0.05

    def __init__(self, targets, weights, ties="breslow"):
        event, time = targets["event"], targets["time"]
        super().__init__(event[:, np.newaxis], weights, fit_intercept=False)
        # In this order the samples at risk come first.
        self.order = np.argsort(-time, kind="stable")
        time, event, weights = time[self.order], event[self.order], weights[self.order]
        self.log_weights = np.log(weights)
        self.event_weights = np.where(event, weights, 0.0)
        self.events = np.flatnonzero(event)
        # Events at the same time form a tie; the latest tie is the first.
        _, self.starts, self.tie, sizes = np.unique(
            -time[self.events],
            return_index=True,
            return_inverse=True,
            return_counts=True,
        )
        tie_times = time[self.events[self.starts]]
        self.last_at_risk = np.searchsorted(-time, -tie_times, side="right") - 1
        # The last tie that is not later than the sample, counted from the latest.
        self.first_tie = np.searchsorted(-tie_times, -time, side="left")
        self.tie_weights = np.add.reduceat(weights[self.events], self.starts)
        self.mean_weights = (self.tie_weights / sizes)[self.tie]
        places = np.arange(len(self.events)) - self.starts[self.tie]
        efron = ties == "efron"
        self.shares = places / sizes[self.tie] if efron else np.zeros(len(places))
        self.least = self.tie_weights @ np.log(self.tie_weights)
        self.least += self.mean_weights @ np.log1p(-self.shares)

    def value_and_residuals(self, products, intercept=None):
        logits = self._logits(products, intercept)[self.order, 0]
        masses = logits + self.log_weights
        at_risk = np.logaddexp.accumulate(masses)[self.last_at_risk]
        tied = np.logaddexp.reduceat(masses[self.events], self.starts)
        tied_share = np.exp(np.minimum(tied - at_risk, 0.0))[self.tie]
        terms = at_risk[self.tie] + np.log1p(-self.shares * tied_share)
        value = self.mean_weights @ terms - self.event_weights @ logits - self.least

        # The hazard accumulates over time; the events of a tie only see a part of it.
        hazards = np.log(self.mean_weights) - terms
        seen = hazards + np.log1p(-self.shares)
        hazards, seen = (
            np.logaddexp.reduceat(values, self.starts) for values in (hazards, seen)
        )
        total = np.append(np.logaddexp.accumulate(hazards[::-1])[::-1], -np.inf)
        log_hazard = total[self.first_tie]
        log_hazard[self.events] = np.logaddexp(total[1:], seen)[self.tie]
        residuals = np.empty((len(masses), 1), order="F")
        residuals[self.order, 0] = np.exp(masses + log_hazard) - self.event_weights
        return max(float(value), 0.0), residuals  # rounding

    def curvature_bound(self, change):
        # The Hessian is a sum of variances within the samples at risk, each of which
        # is at most a quarter of the squared range.
        change = change[self.order, 0]
        largest = np.maximum.accumulate(change)[self.last_at_risk]
        smallest = np.minimum.accumulate(change)[self.last_at_risk]
        return 0.125 * float(self.tie_weights @ np.square(largest - smallest))

    def intercept_hessian(self, products, residuals, intercept=None):
        if self.basis is None:
            return np.zeros((1, 1))
        basis = self.basis[self.order]
        logits = self._logits(products, intercept)
        masses = logits[self.order, 0] + self.log_weights
        masses = np.exp(masses - masses.max())[:, np.newaxis]
        columns = np.hstack([masses, masses * basis])
        at_risk = columns.cumsum(axis=0)[self.last_at_risk]
        tied = np.add.reduceat(columns[self.events], self.starts)
        sums = at_risk[self.tie] - self.shares[:, np.newaxis] * tied[self.tie]
        means = sums[:, 1:] / np.maximum(sums[:, :1], np.finfo(float).tiny)
        hazards = residuals[self.order] + self.event_weights[:, np.newaxis]
        between = means.T @ (self.mean_weights[:, np.newaxis] * means)
        return basis.T @ (hazards * basis) - between


class StratifiedCox(Loss):
    """Sum of the partial likelihoods of strata."""

    min_slope_share = Cox.min_slope_share

    def __init__(self, targets, weights, ties, strata):
        super().__init__(targets["event"][:, np.newaxis], weights, fit_intercept=False)
        self.parts = []
        for stratum in np.unique(strata):
            rows = np.flatnonzero(strata == stratum)
            if targets["event"][rows].any():
                self.parts.append((rows, Cox(targets[rows], weights[rows], ties)))

    def value_and_residuals(self, products, intercept=None):
        logits = self._logits(products, intercept)
        total, residuals = 0.0, np.zeros(logits.shape, order="F")
        for rows, part in self.parts:
            value, residuals[rows] = part.value_and_residuals(logits[rows])
            total += value
        return total, residuals

    def curvature_bound(self, change):
        return sum(part.curvature_bound(change[rows]) for rows, part in self.parts)

    def intercept_hessian(self, products, residuals, intercept=None):
        if self.basis is None:
            return np.zeros((1, 1))
        logits = self._logits(products, intercept)
        total = 0.0
        for rows, part in self.parts:
            part.basis = self.basis[rows]
            total += part.intercept_hessian(logits[rows], residuals[rows])
        return total


def null_residuals(targets, weights):
    """Return the martingale residuals of equal hazards, for one unit of weight each.

    They are events seen minus events expected.
    """
    loss = Cox(targets, weights)
    _, residuals = loss.value_and_residuals(np.zeros((len(targets), 1)))
    return -residuals[:, 0] / weights


def breslow(y, risk, weights):
    """Return the times of events, and the log cumulative hazard of the risk 0.

    The risks are logarithms of hazards; equal ones give the estimate of Nelson and
    Aalen.
    """
    order = np.argsort(-y["time"], kind="stable")
    time, event, weights = y["time"][order], y["event"][order], weights[order]
    at_risk = np.logaddexp.accumulate(risk[order] + np.log(weights))
    times, tie = np.unique(time[event], return_inverse=True)
    n_events = np.bincount(tie, weights[event])
    last = np.searchsorted(-time, -times, side="right") - 1
    return times, np.logaddexp.accumulate(np.log(n_events) - at_risk[last])


def log_hazard_until(times, event_times, log_hazard):
    """Return the log cumulative hazard until each time; `log_hazard` is at events."""
    place = np.searchsorted(event_times, times, side="right")
    return np.append(-np.inf, log_hazard)[place]


def survival_until(times, risk, event_times, log_hazard):
    """Return the probability of each risk that the event comes after each time."""
    times = np.atleast_1d(np.asarray(times))
    if times.ndim > 1:
        raise ValueError(f"times must be a number or a list, got shape {times.shape}.")
    times = check_array(times, ensure_2d=False, dtype=np.float64, input_name="times")
    if times.min() < 0.0:
        raise ValueError(f"times must not be negative, got {times.min()}.")
    log_hazard = log_hazard_until(times, event_times, log_hazard)
    with np.errstate(over="ignore"):  # an infinite hazard leaves no survivor
        return np.exp(-np.exp(np.add.outer(risk.astype(np.float64), log_hazard)))
