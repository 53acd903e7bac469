"""Survival times with known informative features."""

import inspect
import numbers

import numpy as np
from scipy.optimize import brentq
from sklearn.utils import Bunch, check_random_state, check_scalar

from skproj.utils._survival import DTYPE

# Times are at most so far from their median, as a power of e.
MAX_LOG_TIME = 300.0


def make_survival(
    n_samples=200,
    n_features=1000,
    n_informative=10,
    *,
    effect_size=0.5,
    correlation=0.0,
    block_size=10,
    shape=1.0,
    censoring=0.5,
    return_X_y=False,
    random_state=None,
):
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
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` instead of a Bunch.
    random_state : int, RandomState instance or None, default=None
        Seed of all that is random.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

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
        DESCR : str
            This description.
    (X, y) : tuple
        Only `data` and `target`, if `return_X_y`.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
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
    for name, value, smallest in (
        ("n_samples", n_samples, 2),
        ("n_features", n_features, 1),
        ("n_informative", n_informative, 0),
        ("block_size", block_size, 1),
    ):
        check_scalar(value, name, numbers.Integral, min_val=smallest)
    if n_informative > n_features:
        raise ValueError(
            f"n_informative must be at most n_features={n_features}, got "
            f"{n_informative} instead."
        )
    for name, value, largest, boundaries in (
        ("effect_size", effect_size, 10.0, "both"),
        ("correlation", correlation, 1.0, "left"),
        ("shape", shape, 100.0, "right"),
        ("censoring", censoring, 1.0, "left"),
    ):
        check_scalar(
            value,
            name,
            numbers.Real,
            min_val=0.0,
            max_val=largest,
            include_boundaries=boundaries,
        )
    check_scalar(return_X_y, "return_X_y", (bool, np.bool_))
    seed = check_random_state(random_state).randint(2**32, size=4, dtype=np.uint32)
    rng = np.random.default_rng(seed)

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
        feature_names=np.array(
            [f"feature{j}" for j in range(n_features)], dtype=object
        ),
        DESCR=inspect.getdoc(make_survival),
    )


def _rate(event_time, censoring):
    """Return the rate of censoring for an expected share of censored samples."""

    def excess(log_rate):
        return -np.expm1(-np.exp(log_rate) * event_time).mean() - censoring

    logs = np.log(event_time)
    return np.exp(brentq(excess, -logs.max() - 50.0, -logs.min() + 50.0))
