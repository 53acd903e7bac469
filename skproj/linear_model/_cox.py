r"""Partial likelihood of the Cox model of survival times.

With the weights w, the logits z and the samples R(t), of the same stratum, that are at
risk at the time t,

    f(z) = sum over events of  m log T  -  sum over events of  w z  -  constant
    T = sum of w exp(z) over R(t) - share * sum of w exp(z) over the events at t

where m is the mean weight of the events at the same time. With Breslow's treatment of
ties every share is 0; with Efron's the d events at one time have the shares 0, 1/d,
..., (d - 1)/d. The constant is the least value, that of a model with a parameter for
each sample: f is half the deviance, and is not negative.
"""

import numpy as np
from sklearn.utils import check_array

from skproj._kernels._cox import Cox
from skproj.metrics import concordance_index_censored
from skproj.utils._survival import read_times


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


class SurvivalPredictionMixin:
    """Mixin of an estimator that predicts log hazards, and has `breslow` of them."""

    def predict_survival(self, X, times):
        """Predict probabilities of survival.

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
        """
        risk = self.predict(X).astype(np.float64)
        times = np.atleast_1d(np.asarray(times))
        if times.ndim > 1:
            raise ValueError(
                f"times must be a number or a list, got shape {times.shape}."
            )
        times = check_array(
            times, ensure_2d=False, dtype=np.float64, input_name="times"
        )
        if times.min() < 0.0:
            raise ValueError(f"times must not be negative, got {times.min()}.")
        log_hazard = log_hazard_until(
            times, self.event_times_, self.log_cumulative_hazard_
        )
        with np.errstate(over="ignore"):  # an infinite hazard leaves no survivor
            return np.exp(-np.exp(np.add.outer(risk, log_hazard)))

    def score(self, X, y, sample_weight=None):
        """Return Harrell's concordance index.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : structured ndarray or DataFrame of shape (n_samples,), or array-like
            Survival times, as in `fit`.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        score : float
            From 0 to 1; 0.5 for predictions at random.
        """
        y = read_times(y, type(self).__name__)
        return concordance_index_censored(
            y["event"], y["time"], self.predict(X), sample_weight=sample_weight
        )[0]
