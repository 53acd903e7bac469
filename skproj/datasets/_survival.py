"""Survival times with known informative features."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from scipy.optimize import brentq
from sklearn.utils import Bunch

from skproj._typing import Integer, Number, RandomState
from skproj.datasets._arguments import (
    DOCS,
    at_least,
    between,
    draw_seed,
    numbered_names,
)
from skproj.utils._docs import shared_docs
from skproj.utils._survival import DTYPE
from skproj.utils._validation import validate_parameter_constraints

CONSTRAINTS = {
    "n_samples": at_least(2),
    "n_features": at_least(1),
    "n_informative": at_least(0),
    "effect_size": between(0.0, 10.0),
    "correlation": between(0.0, 1.0, "left"),
    "block_size": at_least(1),
    "shape": between(0.0, 100.0, "right"),
    "censoring": between(0.0, 1.0, "left"),
    "return_X_y": ["boolean"],
}

# Times are at most so far from their median, as a power of e.
MAX_LOG_TIME = 300.0


@shared_docs(**DOCS)
def make_survival(
    n_samples: Integer = 200,
    n_features: Integer = 1000,
    n_informative: Integer = 10,
    *,
    effect_size: Number = 0.5,
    correlation: Number = 0.0,
    block_size: Integer = 10,
    shape: Number = 1.0,
    censoring: Number = 0.5,
    return_X_y: bool = False,
    random_state: RandomState = None,
) -> Any:
    r"""Draw survival times with proportional hazards, and known informative features.

    .. math::

        h(t \mid x) = k \, t^{k - 1} \, e^{x^T \beta}

    is the hazard of a sample with the features `x`, where `k` is `shape`: the times
    have a Weibull distribution [1]_, for a shape of 1 an exponential one. Features are
    normal; those of a block are correlated.

    Parameters
    ----------
    n_samples : int, default=200
        Number of samples, at least 2.
    n_features : int, default=1000
        Number of features.
    n_informative : int, default=10
        Number of features that change the hazard, at random places.
    effect_size : float, default=0.5
        Size of their coefficients, whose signs are drawn at random.
    correlation : float, default=0.0
        Correlation, at least 0 and less than 1, of two features of a block.
    block_size : int, default=10
        Number of features in a block; the last one may have fewer.
    shape : float, default=1.0
        Shape of the Weibull distribution. The hazard grows with time above 1, and falls
        below.
    censoring : float, default=0.5
        Expected share of censored samples, at least 0 and less than 1, given the
        event times. The times of censoring are exponential and do not depend on the
        features.
    {seed_and_bunch}

        data : ndarray of shape (n_samples, n_features)
            The features.
        target : structured ndarray of shape (n_samples,)
            The fields `event`, whether the event was seen, and `time`.
        support : ndarray of shape (n_features,)
            Boolean mask of the informative features.
        coef : ndarray of shape (n_features,)
            The coefficients :math:`\beta`.
        event_time : ndarray of shape (n_samples,)
            The times of the events, also of those that were not seen.
        block : ndarray of shape (n_features,)
            Block of each feature.
        feature_names : ndarray of shape (n_features,)
            ``feature0, feature1, ...``, of dtype object.
    {end_of_bunch}
        If an argument is out of its range.

    See Also
    --------
    make_omics : Counts of classes.

    Notes
    -----
    The rate of censoring is the root of the expected share for the features that were
    drawn, with the event times as they are; the share itself is random.

    References
    ----------
    .. [1] R. Bender, T. Augustin, M. Blettner, "Generating survival times to simulate
       Cox proportional hazards models", Statistics in Medicine 24(11), 2005,
       :doi:`10.1002/sim.2059`.

    Examples
    --------
    >>> from skproj.datasets import make_survival
    >>> trial = make_survival(n_samples=100, n_features=50, random_state=0)
    >>> trial.data.shape, int(trial.support.sum())
    ((100, 50), 10)
    >>> trial.target.dtype.names
    ('event', 'time')
    """
    validate_parameter_constraints(CONSTRAINTS, locals(), "make_survival")
    if n_informative > n_features:
        raise ValueError(
            f"n_informative must be at most n_features={n_features}, got "
            f"{n_informative}."
        )
    rng = np.random.default_rng(draw_seed(random_state))

    block = np.arange(n_features) // block_size
    factors = rng.standard_normal((n_samples, block[-1] + 1))
    X = np.sqrt(1.0 - correlation) * rng.standard_normal((n_samples, n_features))
    X += np.sqrt(correlation) * factors[:, block]
    informative = rng.choice(n_features, n_informative, replace=False)
    coef = np.zeros(n_features)
    coef[informative] = effect_size * rng.choice([-1.0, 1.0], n_informative)
    log_time = (np.log(rng.standard_exponential(n_samples)) - X @ coef) / shape
    middle = np.median(log_time)
    event_time = np.exp(np.clip(log_time, middle - MAX_LOG_TIME, middle + MAX_LOG_TIME))
    target = np.empty(n_samples, dtype=DTYPE)
    end = np.full(n_samples, np.inf)
    if censoring > 0.0:
        end = rng.standard_exponential(n_samples) / _rate(event_time, censoring)
    target["event"] = event_time <= end
    target["time"] = np.minimum(event_time, end)
    if return_X_y:
        return X, target
    return Bunch(
        data=X,
        target=target,
        support=np.isin(np.arange(n_features), informative),
        coef=coef,
        event_time=event_time,
        block=block,
        feature_names=numbered_names("feature", n_features),
        DESCR=inspect.getdoc(make_survival),
    )


def _rate(event_time, censoring):
    """Return the rate of censoring for an expected share of censored samples."""

    def excess(log_rate):
        return -np.expm1(-np.exp(log_rate) * event_time).mean() - censoring

    logs = np.log(event_time)
    return np.exp(brentq(excess, -logs.max() - 50.0, -logs.min() + 50.0))
