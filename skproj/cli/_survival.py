"""Survival times: the model after a selection, its scores, and what it is beside."""

import math

import numpy as np

from skproj.cli._result import Score
from skproj.cli._scores import QUANTILE, make_score, mean_interval
from skproj.metrics._survival import brier_losses, ipcw_weights, pairs_of_samples

# Where probabilities of survival are compared, as quantiles of the times of events:
# from the first ones to where few rows are left.
TIME_QUANTILES = np.linspace(0.1, 0.8, 15)


def score_concordance(model, X, y):
    """Score a model by the concordance index; 0.5 if there is nothing to compare."""
    value, _ = concordance(y, model.predict(X), np.ones(len(y)))
    return 0.5 if math.isnan(value) else value


def concordance(y, risk, weights):
    """Return the weighted concordance index, and its standard error.

    The error is that of the infinitesimal jackknife, as in the package survival of R.
    Both are NaN if no pair is comparable.
    """
    concordant, comparable, _ = pairs_of_samples(y, risk, weights)
    total = comparable.sum()
    if total == 0.0:
        return math.nan, math.nan
    value = concordant.sum() / total
    influence = 2.0 * (concordant - value * comparable) / total
    return float(value), float(np.linalg.norm(influence))


def evaluation_times(y_train, y):
    """Return the times at which probabilities of survival are compared.

    They are within the follow-up of both parts: later, nobody shows who survives.
    """
    times = np.unique(np.quantile(y_train["time"][y_train["event"]], TIME_QUANTILES))
    last = min(y_train["time"].max(), y["time"].max())
    return times[(times >= y["time"].min()) & (times < last)]


def survival_probabilities(model, X, times):
    for step in model[:-1]:
        X = step.transform(X)
    last = getattr(model[-1], "best_estimator_", model[-1])
    if len(times) == 0:
        return np.empty((X.shape[0], 0))
    return last.predict_survival(X, times)


def score_risks(y_train, predictions):
    """Return the scores of predictions for rows that were held out.

    The concordance indices of Harrell and of Uno, and the integrated Brier score, if
    there are times to score them at.
    """
    y, risk, times = predictions.y_test, predictions.y_predicted, predictions.times
    scores = [interval("concordance index", *concordance(y, risk, np.ones(len(y))))]
    if len(times) < 2:
        return scores
    weights = ipcw_weights(y_train, y, times[-1])
    scores.append(interval("Uno's index", *concordance(y, risk, weights)))
    losses = brier_losses(y_train, y, predictions.survival, times)
    losses = np.trapezoid(losses, times, axis=1) / (times[-1] - times[0])
    return [*scores, mean_interval("Brier score", losses)]


def interval(name, value, error):
    """Return a concordance index with its interval, on the scale of its logit."""
    if not 0.0 < value < 1.0:  # such as NaN
        return Score(name, value, value, value)
    logit = math.log(value / (1.0 - value))
    half = QUANTILE * error / (value * (1.0 - value))
    low, high = (1.0 / (1.0 + math.exp(-(logit + d))) for d in (-half, half))
    return make_score(name, value, low, high)
