"""Forecasts of the chaotic series of Mackey and Glass.

M. C. Mackey and L. Glass, "Oscillation and chaos in physiological control systems",
Science 197 (1977), :doi:`10.1126/science.267326`: the solution of the delay
differential equation ``dx/dt = a x(t - tau) / (1 + x(t - tau)^10) - b x(t)``.
"""

import itertools
import math

import numpy as np
from scipy.interpolate import CubicHermiteSpline
from sklearn.utils import check_random_state

# Rates of production and decay, and delay: chaotic for delays from about 16.8.
A, B, TAU = 0.2, 0.1, 17.0
# Largest step of the integration, whose error is of its fourth order.
STEP = 0.1
# The history before time 0 is constant, and differs from the fixed point 1, where the
# series would stay for long.
LOWEST_HISTORY, HIGHEST_HISTORY = 0.2, 0.8
# Time that passes before the first value is used.
TRANSIENT = 1000


def make_mackey_glass(
    n_samples, n_lags=6, *, spacing=6, horizon=6, noise=0.0, random_state=None
):
    """Make a regression problem: to forecast the series, sampled at times 1 apart.

    A row of `X` has `n_lags` values, `spacing` apart, the oldest first; the target is
    the value `horizon` after the last of them, with Gaussian noise of the standard
    deviation `noise`. The next row is one time later: split the rows in time.
    """
    random_state = check_random_state(random_state)
    history = random_state.uniform(LOWEST_HISTORY, HIGHEST_HISTORY)
    width = (n_lags - 1) * spacing
    end = TRANSIENT + width + n_samples - 1 + horizon
    values = integrate(history, end)(np.arange(TRANSIENT, end + 1.0))
    rows = np.arange(n_samples)
    X = values[rows[:, np.newaxis] + spacing * np.arange(n_lags)]
    y = values[rows + width + horizon]
    if noise > 0.0:
        y = y + random_state.normal(0.0, noise, n_samples)
    return X, y


def integrate(history, duration, *, a=A, b=B, tau=TAU, step=STEP):
    """Return the solution from 0 to `duration` as a function of the time.

    Over a time of `tau` the delayed values are known, so that what is left is a linear
    equation with an input. It is integrated by the classical Runge-Kutta method. The
    steps divide `tau`, because derivatives of the series jump at its multiples. Between
    them the series is interpolated by cubic polynomials with the right derivatives.
    """
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
