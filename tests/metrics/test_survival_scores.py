"""Scores of survival times against their definitions."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import skproj.metrics._survival as survival_scores
from skproj.metrics import (
    concordance_index_censored,
    concordance_index_ipcw,
    integrated_brier_score,
    kaplan_meier_estimator,
)
from skproj.utils._survival import DTYPE


def make_predictions(tied, n_samples=40, seed=0):
    """Return survival times of training and test samples, and risks of the latter."""
    rng = np.random.default_rng(seed)
    y = np.empty(2 * n_samples, dtype=DTYPE)
    y["event"] = rng.random(len(y)) < 0.6
    y["time"] = rng.exponential(5.0, len(y))
    risk = -y["time"] + rng.normal(0.0, 3.0, len(y))
    if tied:
        y["time"], risk = np.ceil(y["time"]), np.round(risk)
    y["event"][y["time"].argmax()] = True
    return y[:n_samples], y[n_samples:], risk[n_samples:]


def uncensored(y, t):
    """Kaplan-Meier estimate at the time t, as a product over the times of censoring."""
    probability = 1.0
    for s in sorted(set(y["time"][~y["event"]])):
        if s <= t:
            ends = np.sum(~y["event"] & (y["time"] == s))
            left = np.sum((y["time"] > s) | (~y["event"] & (y["time"] == s)))
            probability *= 1.0 - ends / left
    return probability


def concordance(y, risk, weight):
    concordant = comparable = 0.0
    for i in range(len(y)):
        for j in range(len(y)):
            (event, time), (other_event, other) = y[i], y[j]
            if event and (time < other or (time == other and not other_event)):
                comparable += weight[i]
                concordant += weight[i] * (1.0 + np.sign(risk[i] - risk[j]))
    return 0.5 * concordant / comparable


@pytest.mark.parametrize("max_pairs", [2**22, 100, 1])
@pytest.mark.parametrize("tied", [False, True])
def test_concordance_is_that_of_the_definition(tied, max_pairs, monkeypatch):
    monkeypatch.setattr(survival_scores, "MAX_PAIRS", max_pairs)
    train, y, risk = make_predictions(tied)
    expected = concordance(y, risk, np.ones(len(y)))
    assert_allclose(concordance_index_censored(y, risk), expected)
    tau = 6.0
    weight = [uncensored(train, t) ** -2 * (t < tau) for t in y["time"]]
    found = concordance_index_ipcw(train, y, risk, tau=tau)
    assert_allclose(found, concordance(y, risk, weight))


@pytest.mark.parametrize("tied", [False, True])
def test_brier_score_is_that_of_the_definition(tied):
    train, y, _ = make_predictions(tied)
    times = np.array([0.5, 1.0, 3.0, 7.0])
    y_prob = np.sort(np.random.default_rng(1).random((len(y), 4)), axis=1)[:, ::-1]
    scores = []
    for t, column in zip(times, y_prob.T, strict=True):
        total = 0.0
        for (event, time), p in zip(y, column, strict=True):
            if time <= t and event:
                total += p**2 / uncensored(train, time)
            elif time > t:
                total += (1.0 - p) ** 2 / uncensored(train, t)
        scores.append(total / len(y))
    expected = sum(
        0.5 * (scores[k] + scores[k + 1]) * (times[k + 1] - times[k]) for k in range(3)
    )
    found = integrated_brier_score(train, y, y_prob, times)
    assert_allclose(found, expected / (times[-1] - times[0]))


def test_scores_without_censoring_are_the_usual_ones():
    """All weights are one, and the perfect order and probabilities score best."""
    y = np.zeros(20, dtype=DTYPE)
    y["event"], y["time"] = True, np.arange(20.0)
    assert concordance_index_censored(y, -y["time"]) == 1.0
    assert concordance_index_ipcw(y, y, -y["time"]) == 1.0
    assert concordance_index_ipcw(y, y, y["time"]) == 0.0
    assert concordance_index_censored(y, np.zeros(20)) == 0.5
    times = np.array([2.5, 8.5, 15.5])
    alive = (y["time"][:, np.newaxis] > times).astype(float)
    assert integrated_brier_score(y, y, alive, times) == 0.0
    assert_allclose(integrated_brier_score(y, y, 1.0 - alive, times), 1.0)


def test_impossible_scores_are_refused():
    train, y, risk = make_predictions(False)
    with pytest.raises(ValueError, match=r"y_true must be a structured array"):
        concordance_index_censored(risk, risk)
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples"):
        concordance_index_censored(y, risk[:5])
    with pytest.raises(ValueError, match=r"y_score contains NaN"):
        concordance_index_censored(y, np.full(len(y), np.nan))
    censored = y.copy()
    censored["event"] = False
    with pytest.raises(ValueError, match=r"y_true must have an event before"):
        concordance_index_censored(censored, risk)
    late = y.copy()
    late["time"] += 100.0
    with pytest.raises(ValueError, match=r"y_train must have samples that are not ce"):
        concordance_index_ipcw(censored, late, risk)
    y_prob = np.full((len(y), 2), 0.5)
    for times in ([1.0], [2.0, 1.0], [1.0, np.nan]):
        with pytest.raises(ValueError, match=r"times must be at least two increasing"):
            integrated_brier_score(train, y, y_prob, times)
    with pytest.raises(ValueError, match=r"y_prob must have shape \(40, 3\)"):
        integrated_brier_score(train, y, y_prob, [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"y_prob must be between 0 and 1, got 0.5 to"):
        integrated_brier_score(train, y, y_prob + [0.0, 1.0], [1.0, 2.0])


@pytest.mark.parametrize("tied", [False, True])
def test_kaplan_meier_is_that_of_the_definition(tied):
    y, *_ = make_predictions(tied)
    times, probability = kaplan_meier_estimator(y)
    expected, left = [], 1.0
    for t in sorted(set(y["time"][y["event"]])):
        at_risk = np.sum(y["time"] >= t)
        left *= 1.0 - np.sum(y["event"] & (y["time"] == t)) / at_risk
        expected.append((t, left))
    assert_allclose(np.transpose([times, probability]), expected)
