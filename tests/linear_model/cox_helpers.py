"""Survival times of the tests, and the partial likelihood by its definition."""

import math

import numpy as np

from skproj.utils._survival import DTYPE


def make_times(n_samples=30, n_features=8, n_times=None, seed=0):
    """Return features and survival times, at `n_times` different times if given."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_samples, n_features)) + 2.0
    time = rng.exponential(np.exp(-X[:, 0] + X[:, 1]))
    if n_times is not None:
        time = np.ceil(np.argsort(np.argsort(time)) * n_times / n_samples)
    y = np.empty(n_samples, dtype=DTYPE)
    y["event"], y["time"] = rng.random(n_samples) < 0.6, time
    return X, y


def deviance_by_definition(y, weights, logits, ties):
    """Return half the deviance, divided by the weight of the samples, term by term."""
    value = 0.0
    for t in sorted(set(y["time"][y["event"]])):
        tied = [i for i in range(len(y)) if y["event"][i] and y["time"][i] == t]
        at_risk = [i for i in range(len(y)) if y["time"][i] >= t]
        total = sum(weights[i] for i in tied)
        for place, i in enumerate(tied):
            share = place / len(tied) if ties == "efron" else 0.0
            mass = math.fsum(weights[j] * math.exp(logits[j]) for j in at_risk)
            mass -= share * math.fsum(weights[j] * math.exp(logits[j]) for j in tied)
            value += total / len(tied) * math.log(mass) - weights[i] * logits[i]
            # The model with a parameter for each sample.
            value -= total / len(tied) * math.log(total * (1.0 - share))
    return value / sum(weights)
