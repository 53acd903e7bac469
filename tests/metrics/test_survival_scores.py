"""Scores of survival times against their definitions, and against scikit-survival."""

import inspect

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import trapezoid
from sklearn.metrics import brier_score_loss, roc_auc_score
from survival_helpers import SCORES, scores_of

import skproj.metrics
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
    y[0], y[y["time"].argmax()] = y[y["time"].argmax()], y[0]
    return y[:n_samples], y[n_samples:], risk[n_samples:]


def make_weights(weighted, n_samples=40):
    """Return weights of training and of test samples, or None for both."""
    weights = np.random.default_rng(2).exponential(1.0, (2, n_samples))
    return weights if weighted else (None, None)


def left_after(y, t, weight=None, reverse=False):
    """Kaplan-Meier estimate at the time t, as a product over the times of events.

    In reverse it is that of the censoring, which comes after events of the same time.
    """
    weight = np.ones(len(y)) if weight is None else weight
    ends = y["event"] != reverse
    probability = 1.0
    for s in sorted(set(y["time"][ends])):
        if s <= t:
            ending = ends & (y["time"] == s)
            at_risk = (y["time"] > s) | (ending if reverse else y["time"] == s)
            probability *= 1.0 - weight[ending].sum() / weight[at_risk].sum()
    return probability


def concordance(y, risk, inverse, weight=None):
    """Return the index, and the numbers of pairs, pair by pair.

    A pair weighs as the product of the weights of its samples, as for a repeated one.
    """
    weight = np.ones(len(y)) if weight is None else weight
    concordant = comparable = 0.0
    numbers = np.zeros(4)
    for i in range(len(y)):
        for j in range(len(y)):
            (event, time), (other_event, other) = y[i], y[j]
            if event and (time < other or (time == other and not other_event)):
                sign, pair = np.sign(risk[i] - risk[j]), weight[i] * weight[j]
                comparable += pair * inverse[i]
                concordant += pair * inverse[i] * 0.5 * (1.0 + sign)
                kinds = [sign > 0, sign < 0, sign == 0, time == other]
                numbers += pair * np.array(kinds)
    return concordant / comparable, *numbers


@pytest.mark.parametrize("max_pairs", [2**20, 100, 1])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_concordance_is_that_of_the_definition(weighted, tied, max_pairs, monkeypatch):
    monkeypatch.setattr(survival_scores, "MAX_PAIRS", max_pairs)
    train, y, risk = make_predictions(tied)
    weight_train, weight = make_weights(weighted)
    expected = concordance(y, risk, np.ones(len(y)), weight)
    found = concordance_index_censored(
        y["event"], y["time"], risk, sample_weight=weight
    )
    assert_allclose(found, expected)
    assert {type(number) for number in found[1:]} == {float if weighted else int}
    tau = 6.0
    found = concordance_index_ipcw(
        train, y, risk, tau, sample_weight=weight, sample_weight_train=weight_train
    )
    left = np.array([left_after(train, t, weight_train, True) for t in y["time"]])
    expected = concordance(y, risk, left**-2 * (y["time"] < tau), weight)
    assert_allclose(found, expected)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_brier_score_is_that_of_the_definition(weighted, tied):
    train, y, _ = make_predictions(tied)
    weight_train, weight = make_weights(weighted)
    times = np.array([1.0, 1.5, 3.0, 7.0])
    estimate = np.sort(np.random.default_rng(1).random((len(y), 4)), axis=1)[:, ::-1]
    own = np.ones(len(y)) if weight is None else weight
    scores = []
    for t, column in zip(times, estimate.T, strict=True):
        total = 0.0
        for (event, time), p, w in zip(y, column, own, strict=True):
            if time <= t and event:
                total += w * p**2 / left_after(train, time, weight_train, True)
            elif time > t:
                total += w * (1.0 - p) ** 2 / left_after(train, t, weight_train, True)
        scores.append(total / own.sum())
    found = integrated_brier_score(
        train,
        y,
        estimate,
        times,
        sample_weight=weight,
        sample_weight_train=weight_train,
    )
    assert_allclose(found, trapezoid(scores, times) / (times[-1] - times[0]))


def test_weighted_scores_of_two_times_are_those_of_scikit_learn():
    """Events first and all others censored later: classes, which risks separate."""
    rng = np.random.default_rng(0)
    dead, risk, weight = rng.random(60) < 0.4, rng.standard_normal(60), rng.random(60)
    risk = np.round(2.0 * (risk + dead))
    found, *_ = concordance_index_censored(dead, 2.0 - dead, risk, sample_weight=weight)
    assert_allclose(found, roc_auc_score(dead, risk, sample_weight=weight))
    y = np.rec.fromarrays([dead, 2.0 - dead], names="event,time")
    alive = np.repeat(1.0 / (1.0 + np.exp(risk))[:, np.newaxis], 2, axis=1)
    found = integrated_brier_score(y, y, alive, [1.0, 1.5], sample_weight=weight)
    expected = brier_score_loss(~dead, alive[:, 0], sample_weight=weight)
    assert_allclose(found, expected)


@pytest.mark.parametrize("tied", [False, True])
def test_weights_count_as_repeated_or_absent_samples(tied):
    """Of the training samples as well, the last of which is absent here."""
    train, y, risk = make_predictions(tied)
    counts_train, counts = np.random.default_rng(3).integers(0, 4, (2, len(y)))
    counts_train[y["time"].argmax()] = 0
    last = train["time"].argmax()
    counts_train[last], counts[y["time"].argmax()] = 1, 0
    trains, ys, risks = (
        np.repeat(values, n)
        for values, n in ((train, counts_train), (y, counts), (risk, counts))
    )
    weights = {"sample_weight": counts, "sample_weight_train": counts_train}
    assert_allclose(
        concordance_index_censored(y["event"], y["time"], risk, sample_weight=counts),
        concordance_index_censored(ys["event"], ys["time"], risks),
    )
    assert_allclose(
        concordance_index_ipcw(train, y, risk, **weights),
        concordance_index_ipcw(trains, ys, risks),
    )
    times = np.linspace(ys["time"].min(), 0.9 * ys["time"].max(), 9)
    estimate = np.random.default_rng(1).random((len(y), 9))
    assert_allclose(
        integrated_brier_score(train, y, estimate, times, **weights),
        integrated_brier_score(trains, ys, np.repeat(estimate, counts, axis=0), times),
    )
    beyond = np.append(times[:-1], ys["time"].max())
    with pytest.raises(ValueError, match=r"times must be .* within the follow-up"):
        integrated_brier_score(train, y, estimate, beyond, **weights)
    for reverse in (False, True):
        found = kaplan_meier_estimator(
            y["event"], y["time"], reverse=reverse, sample_weight=counts
        )
        expected = kaplan_meier_estimator(ys["event"], ys["time"], reverse=reverse)
        assert_allclose(found, expected)


def test_scores_are_those_of_scikit_survival():
    table = np.loadtxt(SCORES.splitlines())
    for seed, expected in enumerate(table):
        found = scores_of(skproj.metrics, kaplan_meier_estimator, seed)
        assert_allclose(found, expected, rtol=1e-9, err_msg=f"seed {seed}")


def test_names_and_scores_of_more_draws_are_those_of_scikit_survival():
    theirs = pytest.importorskip("sksurv.metrics")
    nonparametric = pytest.importorskip("sksurv.nonparametric")
    for name in (
        "concordance_index_censored",
        "concordance_index_ipcw",
        "integrated_brier_score",
    ):
        own = inspect.signature(getattr(skproj.metrics, name)).parameters.values()
        own = [p for p in own if not p.name.startswith("sample_weight")]
        assert own == [*inspect.signature(getattr(theirs, name)).parameters.values()]
    for seed in range(200):
        expected = scores_of(theirs, nonparametric.kaplan_meier_estimator, seed)
        found = scores_of(skproj.metrics, kaplan_meier_estimator, seed)
        assert_allclose(found, expected, rtol=1e-9, err_msg=f"seed {seed}")


def test_scores_without_censoring_are_the_usual_ones():
    """All weights are one, and the perfect order and probabilities score best."""
    y = np.zeros(20, dtype=DTYPE)
    y["event"], y["time"] = True, np.arange(20.0)
    perfect = (1.0, 190, 0, 0, 0)
    assert concordance_index_censored(y["event"], y["time"], -y["time"]) == perfect
    assert concordance_index_ipcw(y, y, -y["time"]) == perfect
    assert concordance_index_ipcw(y, y, y["time"]) == (0.0, 0, 190, 0, 0)
    same = concordance_index_censored(y["event"], y["time"], np.zeros(20))
    assert same == (0.5, 0, 0, 190, 0)
    times = np.array([2.5, 8.5, 15.5])
    alive = (y["time"][:, np.newaxis] > times).astype(float)
    assert integrated_brier_score(y, y, alive, times) == 0.0
    assert_allclose(integrated_brier_score(y, y, 1.0 - alive, times), 1.0)


def test_risks_within_the_tolerance_are_equal():
    event, time = np.array([True, True, False]), np.array([1.0, 2.0, 3.0])
    risk = np.array([1.0, 1.0 + 1e-9, 0.0])
    assert concordance_index_censored(event, time, risk)[1:] == (2, 0, 1, 0)
    exact = concordance_index_censored(event, time, risk, tied_tol=0.0)
    assert exact[1:] == (2, 1, 0, 0)


def test_the_true_forecast_scores_best_or_times_are_refused():
    """Past the end of follow-up, whoever is censored would count as if unknown."""
    rng = np.random.default_rng(0)
    train, y = np.empty((2, 4000), dtype=DTYPE)
    for part in (train, y):
        time = rng.exponential(10.0, len(part))
        part["event"], part["time"] = time < 8.0, np.minimum(time, 8.0)

    def score(factor, times):
        estimate = np.tile(np.exp(-factor * times / 10.0), (len(y), 1))
        return integrated_brier_score(train, y, estimate, times)

    within = np.linspace(1.0, 7.9, 50)
    assert score(1.0, within) < min(score(0.8, within), score(1.25, within))
    for times in (np.linspace(1.0, 20.0, 50), [1.0, 8.0], [0.0, 1.0]):
        for factor in (1.0, 3.0):
            with pytest.raises(
                ValueError, match=r"times must be .* to less than 8\.0,"
            ):
                score(factor, np.asarray(times))


def test_impossible_scores_are_refused():
    train, y, risk = make_predictions(False)
    event, time = y["event"], y["time"]
    for message, arguments in (
        (r"event_indicator must be booleans, 0 and 1", (risk, time, risk)),
        (r"event_time must be finite and not negative, got -", (event, -time, risk)),
        (r"event_time must be numbers", (event, event, risk)),
        (r"inconsistent numbers of samples", (event, time, risk[:5])),
        (r"inconsistent numbers of samples", (event, time[:5], risk)),
        (r"estimate contains NaN", (event, time, np.full(len(y), np.nan))),
        (r"There must be an event before", (np.zeros(len(y), bool), time, risk)),
    ):
        with pytest.raises(ValueError, match=message):
            concordance_index_censored(*arguments)
    with pytest.raises(ValueError, match=r"survival_test must be a structured array"):
        concordance_index_ipcw(train, time, risk)
    with pytest.raises(ValueError, match=r"survival_train must be a structured array"):
        concordance_index_ipcw(time, y, risk)
    censored, late = train.copy(), y.copy()
    censored["event"] = False
    late["time"] += 100.0
    for times in (train, censored):  # known to be zero, or not known
        with pytest.raises(ValueError, match=r"survival_train must have a sample that"):
            concordance_index_ipcw(times, late, risk)
    with pytest.raises(ValueError, match=r"There must be an event before"):
        concordance_index_ipcw(train, y, risk, tau=0.0)
    negative, short = np.ones((2, len(y)))
    negative[3] = -1.0
    for weight in (negative, short[1:], 0.0 * short, np.nan * short):
        for name in ("sample_weight", "sample_weight_train"):
            with pytest.raises(ValueError, match=f"{name} must have 40 finite numbers"):
                concordance_index_ipcw(train, y, risk, **{name: weight})
    estimate = np.full((len(y), 2), 0.5)
    for times in ([1.0], [2.0, 1.0], [1.0, np.nan], [1.0, 1.0]):
        with pytest.raises(ValueError, match=r"times must be at least two increasing"):
            integrated_brier_score(train, y, estimate, times)
    with pytest.raises(ValueError, match=r"estimate must have shape \(40, 3\)"):
        integrated_brier_score(train, y, estimate, [1.0, 2.0, 3.0])
    with pytest.raises(
        ValueError, match=r"estimate must be between 0 and 1, got 0.5 t"
    ):
        integrated_brier_score(train, y, estimate + [0.0, 1.0], [1.0, 2.0])


def test_forms_and_codes_of_the_times():
    train, y, risk = make_predictions(True)
    frame = [np.rec.fromarrays([p["time"], p["event"] + 1]) for p in (train, y)]
    expected = concordance_index_ipcw(train, y, risk, 6.0)
    assert concordance_index_ipcw(*frame, risk, 6.0) == expected
    expected = concordance_index_censored(y["event"], y["time"], risk)
    codes = y["event"].astype(np.uint8)
    for event in (codes, (codes + 1.0).tolist(), y["event"].astype(object)):
        assert concordance_index_censored(event, y["time"].tolist(), risk) == expected


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_kaplan_meier_is_that_of_the_definition(tied, reverse, weighted):
    y, *_ = make_predictions(tied)
    weight, _ = make_weights(weighted)
    times, probability = kaplan_meier_estimator(
        y["event"], y["time"], reverse=reverse, sample_weight=weight
    )
    assert_array_equal(times, sorted(set(y["time"])))
    assert_allclose(probability, [left_after(y, t, weight, reverse) for t in times])
