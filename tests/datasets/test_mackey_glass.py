import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from skproj.datasets import make_mackey_glass


def series(n_samples=200, **parameters):
    """Take the series itself, from time `n_discarded`."""
    parameters = {"n_discarded": 0, "random_state": 0} | parameters
    return make_mackey_glass(n_samples, 1, **parameters)[0][:, 0]


def test_rows_are_windows_and_targets_are_ahead():
    X, y = make_mackey_glass(50, 4, spacing=3, horizon=5, random_state=1)
    x = series(64, n_discarded=1000, random_state=1)
    for i in range(50):
        np.testing.assert_array_equal(X[i], x[[i, i + 3, i + 6, i + 9]])
        assert y[i] == x[i + 14]


def test_series_is_that_of_another_solver():
    """Up to time tau the delayed value is the constant history, which x(0) is."""
    x = series(18)
    production = 0.2 * x[0] / (1.0 + x[0] ** 10)
    first = solve_ivp(
        lambda t, x: production - 0.1 * x,
        (0.0, 17.0),
        x[:1],
        t_eval=range(18),
        rtol=1e-10,
        atol=1e-12,
        dense_output=True,
    )
    np.testing.assert_allclose(x, first.y[0], rtol=1e-8)

    def second_stretch(t, x):
        delayed = first.sol(t - 17.0)
        return 0.2 * delayed / (1.0 + delayed**10) - 0.1 * x

    second = solve_ivp(
        second_stretch, (17.0, 34.0), first.y[:, -1], rtol=1e-10, atol=1e-12
    )
    np.testing.assert_allclose(series(35)[-1], second.y[0, -1], rtol=1e-8)


@pytest.mark.parametrize("tau", [7.3, 17.0])
def test_error_falls_with_the_fourth_power_of_the_step(tau):
    """The delay need not be a multiple of the step, nor of the sampling time."""
    exact = series(100, tau=tau, step=0.01)
    errors = [
        np.abs(series(100, tau=tau, step=step) - exact).max() for step in (1.0, 0.25)
    ]
    assert errors[1] < 1e-6
    assert errors[0] / errors[1] > 100.0  # 256 for equal shares of tau


@pytest.mark.parametrize("tau", [0.3, 2.0, 4.5])
def test_series_settles_at_the_fixed_point_below_the_bifurcation(tau):
    """There a / (1 + x^10) = b; whether it is stable depends on the delay."""
    x = series(10, a=0.3, tau=tau, n_discarded=1500)
    # Its slope decides: the equation there is dx/dt = -c x(t - tau) - b x.
    c = 0.1 * (10.0 * (1.0 - 0.1 / 0.3) - 1.0)
    bifurcation = math.acos(-0.1 / c) / math.sqrt(c**2 - 0.01)
    assert (bifurcation > tau) == np.allclose(x, 2.0**0.1, atol=1e-3)


def test_longer_delay_oscillates_and_the_default_does_not_repeat_itself():
    assert np.ptp(series(100, tau=6.0, n_discarded=3000)) > 0.1
    x = series(3000, n_discarded=1000)
    windows = np.lib.stride_tricks.sliding_window_view(x, 100)
    distance = np.abs(windows[500:] - windows[0]).max(axis=1)
    assert distance.min() > 1e-3


def test_series_is_positive_and_bounded():
    """Production is at most a times the maximum of x / (1 + x^10)."""
    for seed in range(5):
        x = series(2000, random_state=seed)
        peak = (1.0 / 9.0) ** 0.1
        assert 0.0 < x.min()
        assert x.max() < 2.0 * peak / (1.0 + 1.0 / 9.0)


def test_seed_decides_everything():
    for first, second in zip(
        make_mackey_glass(30, noise=0.1, random_state=3),
        make_mackey_glass(30, noise=0.1, random_state=3),
        strict=True,
    ):
        np.testing.assert_array_equal(first, second)
    assert not np.allclose(series(), series(random_state=1))


def test_noise_is_that_of_the_targets():
    X, y = make_mackey_glass(4000, random_state=0)
    X_noisy, y_noisy = make_mackey_glass(4000, noise=0.3, random_state=0)
    np.testing.assert_array_equal(X, X_noisy)
    assert np.std(y_noisy - y) == pytest.approx(0.3, rel=0.05)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"n_samples": 0}, ValueError, "n_samples"),
        ({"n_lags": 2.0}, TypeError, "n_lags"),
        ({"spacing": 0}, ValueError, "spacing"),
        ({"horizon": 0}, ValueError, "horizon"),
        ({"n_discarded": -1}, ValueError, "n_discarded"),
        ({"a": -0.1}, ValueError, "a =="),
        ({"b": 0.0}, ValueError, "b =="),
        ({"tau": 0.0}, ValueError, "tau"),
        ({"tau": math.inf}, ValueError, "tau must be finite"),
        ({"noise": math.nan}, ValueError, "noise must be finite"),
        ({"step": 0.0}, ValueError, "step"),
        ({"step": 11.0}, ValueError, "step must be at most 1 / b = 10"),
    ],
)
def test_bad_arguments_are_refused(parameters, error, message):
    with pytest.raises(error, match=message):
        make_mackey_glass(**parameters)
