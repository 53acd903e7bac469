"""SurvivalCurvesDisplay: curves of groups of risk."""

import numpy as np
import pytest
from display_helpers import texts

from skproj.inspection import SurvivalCurvesDisplay
from skproj.metrics import kaplan_meier_estimator
from skproj.utils._survival import DTYPE


def make_risks(n_samples=30):
    rng = np.random.default_rng(0)
    y = np.empty(n_samples, dtype=DTYPE)
    y["event"], y["time"] = rng.random(n_samples) < 0.6, rng.exponential(3.0, n_samples)
    return y, rng.normal(size=n_samples) - y["time"]


def test_curves_are_those_of_the_thirds():
    y, risk = make_risks()
    display = SurvivalCurvesDisplay.from_predictions(y, risk)
    order = np.argsort(risk)
    labels = texts(display.legend_)
    for i, rows in enumerate(np.split(order, 3)):
        times, probability = kaplan_meier_estimator(y["event"][rows], y["time"][rows])
        x, height = display.lines_[i].get_data()
        np.testing.assert_array_equal(x, [0.0, *times, y["time"][rows].max()])
        np.testing.assert_array_equal(height, [1.0, *probability, probability[-1]])
        name = ("low", "medium", "high")[i]
        assert labels[i] == f"{name} risk: {y['event'][rows].sum()} events of 10"


def test_groups_of_equal_risk_stay_together():
    y, _ = make_risks()
    display = SurvivalCurvesDisplay.from_predictions(y, np.zeros(len(y)))
    assert len(display.lines_) == 1
    display = SurvivalCurvesDisplay.from_predictions(y, y["time"] > 2.0, n_groups=2)
    assert display.group_names == ["low risk", "high risk"]
    np.testing.assert_array_equal(display.group, y["time"] > 2.0)
    display = SurvivalCurvesDisplay.from_predictions(y, y["time"], n_groups=5)
    assert display.group_names[-1] == "5 risk"


def test_group_without_an_event_is_drawn():
    y, _ = make_risks()
    y["event"][:15] = False
    group = np.arange(30) >= 15
    display = SurvivalCurvesDisplay(y_true=y, group=group.astype(int)).plot()
    assert set(display.lines_[0].get_ydata()) == {1.0}


def test_what_is_refused():
    y, risk = make_risks()
    with pytest.raises(ValueError, match="n_groups"):
        SurvivalCurvesDisplay.from_predictions(y, risk, n_groups=31)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        SurvivalCurvesDisplay.from_predictions(y, risk[1:])
    with pytest.raises(ValueError, match="y_true must be"):
        SurvivalCurvesDisplay.from_predictions(risk, risk)
    with pytest.raises(ValueError, match="group_names must have a name for each of 1"):
        SurvivalCurvesDisplay(y_true=y, group=np.zeros(30, int), group_names=["a", "b"])
