"""Survival times with a known answer."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import kstest

from skproj.datasets import make_survival


@pytest.mark.parametrize("shape", [0.5, 1.0, 3.0])
def test_cumulative_hazards_are_exponential(shape):
    """At its time each event has met a standard exponential hazard."""
    trial = make_survival(2000, 30, shape=shape, random_state=0)
    hazard = trial.event_time**shape * np.exp(trial.data @ trial.coef)
    assert kstest(hazard, "expon").pvalue > 1e-3
    assert_array_equal(trial.coef != 0.0, trial.support)
    assert_allclose(np.abs(trial.coef[trial.support]), 0.5)


@pytest.mark.parametrize("censoring", [0.0, 0.2, 0.7])
def test_share_of_censored_samples_is_as_expected(censoring):
    trial = make_survival(4000, 20, shape=2.0, censoring=censoring, random_state=0)
    event = trial.target["event"]
    tolerance = 4.0 * np.sqrt(censoring * (1.0 - censoring) / 4000)
    assert abs(1.0 - event.mean() - censoring) <= tolerance
    assert_array_equal(trial.target["time"][event], trial.event_time[event])
    assert np.all(trial.target["time"] <= trial.event_time)
    assert np.all(trial.target["time"] > 0.0)


def test_features_of_a_block_are_correlated():
    trial = make_survival(5000, 25, correlation=0.6, block_size=10, random_state=0)
    expected = np.where(trial.block[:, np.newaxis] == trial.block, 0.6, 0.0)
    np.fill_diagonal(expected, 1.0)
    assert_allclose(np.corrcoef(trial.data.T), expected, atol=0.06)
    assert_array_equal(np.bincount(trial.block), [10, 10, 5])


def test_seed_fixes_the_result():
    trial = make_survival(20, 30, random_state=3)
    X, y = make_survival(20, 30, random_state=3, return_X_y=True)
    assert_array_equal(X, trial.data)
    assert_array_equal(y, trial.target)
    assert list(trial.feature_names[:2]) == ["feature0", "feature1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_samples": 1}, "n_samples"),
        ({"n_features": 5}, "n_informative must be at most n_features=5"),
        ({"censoring": 1.0}, "censoring"),
        ({"correlation": 1.0}, "correlation"),
        ({"shape": 0.0}, "shape"),
        ({"effect_size": -1.0}, "effect_size"),
        ({"effect_size": np.nan}, "effect_size"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_survival(**arguments)
