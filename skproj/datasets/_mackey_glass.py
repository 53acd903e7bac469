"""Forecasts of a chaotic series, from a delay differential equation."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from scipy.interpolate import CubicHermiteSpline
from sklearn.utils import check_random_state

from skproj._typing import Integer, Number, RandomState
from skproj.datasets._arguments import check_arguments

# The history before time 0 is constant, and differs from the fixed point 1 of the usual
# parameters, where the series would stay for long.
LOWEST_HISTORY, HIGHEST_HISTORY = 0.2, 0.8

MIN_INTEGERS = {
    "n_samples": 1,
    "n_lags": 1,
    "spacing": 1,
    "horizon": 1,
    "n_discarded": 0,
}
# Smallest value, no largest one, and whether it is allowed.
RANGES = {
    **dict.fromkeys(("a", "noise"), (0.0, None, "both")),
    **dict.fromkeys(("b", "tau", "step"), (0.0, None, "neither")),
}


def make_mackey_glass(
    n_samples: Integer = 1000,
    n_lags: Integer = 6,
    *,
    spacing: Integer = 6,
    horizon: Integer = 6,
    a: Number = 0.2,
    b: Number = 0.1,
    tau: Number = 17.0,
    noise: Number = 0.0,
    n_discarded: Integer = 1000,
    step: Number = 0.1,
    random_state: RandomState = None,
) -> Any:
    r"""Make a regression problem: to forecast the chaotic series of Mackey and Glass.

    .. math::

        \frac{dx}{dt}(t) = \frac{a \, x(t - \tau)}{1 + x(t - \tau)^{10}} - b \, x(t)

    The series is sampled at times 1 apart. A row of `X` holds `n_lags` of its values,
    :math:`x(t - (n_{\text{lags}} - 1) s), \dots, x(t - s), x(t)` with `s` the
    `spacing`, the oldest first; the target is :math:`x(t + \text{horizon})`. The next
    row belongs to `t + 1`.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of rows.
    n_lags : int, default=6
        Number of values in a row.
    spacing : int, default=6
        Time between two of them.
    horizon : int, default=6
        How far ahead the target is.
    a : float, default=0.2
        Rate of production, non-negative.
    b : float, default=0.1
        Rate of decay, positive.
    tau : float, default=17.0
        Delay, positive. With the default of `a` and `b`, the series settles at 1 for
        delays up to about 4.7, oscillates above, and is chaotic from about 16.8.
    noise : float, default=0.0
        Standard deviation of the Gaussian noise added to the targets.
    n_discarded : int, default=1000
        Length of the transient: time that passes before the first value is used.
    step : float, default=0.1
        Largest step of the integration, at most ``1 / b``; the error is of its fourth
        order.
    random_state : int, RandomState instance or None, default=None
        Seed of the history, which is constant up to time 0, and of the noise.

    Returns
    -------
    X : ndarray of shape (n_samples, n_lags)
        Values of the series.
    y : ndarray of shape (n_samples,)
        Later values, with noise.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If an argument is out of its range.

    See Also
    --------
    sklearn.datasets.make_friedman1 : Regression on independent features.

    Notes
    -----
    Rows that follow each other are nearly equal: split them in time, as
    :class:`sklearn.model_selection.TimeSeriesSplit` does, not at random.

    Over a time of `tau` the delayed values are known, so that what is left is a linear
    equation with an input. It is integrated by the classical Runge-Kutta method. The
    steps divide `tau`, because derivatives of the series jump at its multiples. Between
    the steps the series is interpolated by cubic polynomials with the right
    derivatives. For chaotic parameters, a small error at the start is a large one
    later, whatever the method.

    References
    ----------
    .. [1] M. C. Mackey and L. Glass, "Oscillation and chaos in physiological control
       systems", Science 197 (1977), :doi:`10.1126/science.267326`.

    Examples
    --------
    >>> from skproj.datasets import make_mackey_glass
    >>> X, y = make_mackey_glass(500, random_state=0)
    >>> X.shape, y.shape
    ((500, 6), (500,))
    >>> bool((y[:-6] == X[6:, -1]).all())  # 6 rows later the target is the last value
    True
    """
    check_arguments(locals(), MIN_INTEGERS, RANGES)
    # Beyond 2.8 the Runge-Kutta method is not stable.
    if b * step > 1.0:
        raise ValueError(
            f"step must be at most 1 / b = {1.0 / b:g}, got {step!r} instead."
        )
    random_state = check_random_state(random_state)
    history = random_state.uniform(LOWEST_HISTORY, HIGHEST_HISTORY)
    width = (n_lags - 1) * spacing
    duration = n_discarded + width + n_samples - 1 + horizon
    series = _integrate(history, a, b, tau, step, duration)
    values = series(np.arange(n_discarded, duration + 1.0))
    rows = np.arange(n_samples)
    X = values[rows[:, np.newaxis] + spacing * np.arange(n_lags)]
    y = values[rows + width + horizon]
    if noise > 0.0:
        y = y + random_state.normal(0.0, noise, n_samples)
    return X, y


def _integrate(history, a, b, tau, step, duration):
    """Return the solution from 0 to `duration` as a function of the time."""
    n_steps = math.ceil(tau / step)  # in each stretch of length tau
    h = tau / n_steps
    z = b * h
    # One Runge-Kutta step for dx/dt = -b x + input, with the input at the beginning, in
    # the middle and at the end of the step.
    keep = 1.0 - z + z**2 / 2.0 - z**3 / 6.0 + z**4 / 24.0
    gains = h / 6.0 * np.array([1 - z + z**2 / 2 - z**3 / 4, 4 - 2 * z + z**2 / 2, 1])

    delayed = np.full(n_steps + 1, history)
    delayed_midpoints = np.full(n_steps, history)
    x, slope = [history], []
    for _ in range(math.ceil(duration / tau)):
        production = a * delayed / (1.0 + delayed**10)
        at_midpoints = a * delayed_midpoints / (1.0 + delayed_midpoints**10)
        drive = gains @ np.array([production[:-1], at_midpoints, production[1:]])
        delayed = np.fromiter(
            itertools.accumulate(
                drive.tolist(), lambda value, d: keep * value + d, initial=x[-1]
            ),
            dtype=np.float64,
        )
        derivative = production - b * delayed
        delayed_midpoints = (delayed[:-1] + delayed[1:]) / 2.0
        delayed_midpoints += h / 8.0 * (derivative[:-1] - derivative[1:])
        x.extend(delayed[1:])
        slope.extend(derivative[:-1])
    slope.append(derivative[-1])
    return CubicHermiteSpline(h * np.arange(len(x)), x, slope)
