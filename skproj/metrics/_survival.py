"""Concordance, Brier score and Kaplan-Meier estimate of survival times."""

from __future__ import annotations

import numpy as np
from sklearn.utils import check_array, check_consistent_length, column_or_1d

from skproj._typing import ArrayLike, Number
from skproj.utils._docs import shared_docs
from skproj.utils._survival import join_survival, read_survival

# Pairs are compared in blocks of at most so many.
MAX_PAIRS = 2**20

DOCS = {
    "survival": """
    Parameters
    ----------
    survival_train : structured ndarray or DataFrame of shape (n_train_samples,)
        Events and times of training samples, see :doc:`/survival` for the form. They
        estimate the distribution of censoring.
    survival_test : structured ndarray or DataFrame of shape (n_samples,)
        Events and times of the samples of the predictions.
    """,
    "weights": """
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples of the predictions; 2 counts as two samples, 0 as none.
    sample_weight_train : array-like of shape (n_train_samples,), default=None
        Weights of the training samples, in the distribution of censoring.
    """,
    "cindex": """
    Returns
    -------
    cindex : float
        From 0 to 1; 0.5 for predictions at random.
    concordant, discordant, tied_risk, tied_time : int, or float for weighted samples
        Numbers of comparable pairs: in the right order, in the wrong one, of equal
        risk, which count half in the index, and with the same time. A pair counts as
        the product of the weights of its samples.

    {errors}
    """,
    "errors": """
    Raises
    ------
    ValueError
        If an argument is not of that form, if no pair is comparable, or if training
        samples are all censored before a time that counts.
    """,
    "example": """
    Examples
    --------
    >>> import numpy as np
    >>> from skproj import metrics
    >>> event, time = np.array([True, False, True, True]), np.arange(1.0, 5.0)
    >>> y = np.rec.fromarrays([event, time], names="event,time")
    """,
}


@shared_docs(**DOCS)
def concordance_index_censored(
    event_indicator: ArrayLike,
    event_time: ArrayLike,
    estimate: ArrayLike,
    tied_tol: Number = 1e-8,
    *,
    sample_weight: ArrayLike | None = None,
) -> tuple[float, int, int, int, int]:
    """Compute Harrell's concordance index.

    A pair of samples is comparable if the earlier time is that of an event; a censored
    sample with the same time counts as later. The index is the share of the comparable
    pairs in which the earlier sample has the larger risk [1]_.

    Parameters
    ----------
    event_indicator : array-like of bool of shape (n_samples,)
        Whether the event was seen; else the sample is censored.
    event_time : array-like of shape (n_samples,)
        Time of the event or of censoring.
    estimate : array-like of shape (n_samples,)
        Predicted risk, such as the logarithm of the hazard; larger is an earlier event.
    tied_tol : float, default=1e-8
        Risks count as equal if they differ by no more.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples; 2 counts as two samples, 0 as none.

    {cindex}

    References
    ----------
    .. [1] F. E. Harrell, K. L. Lee, D. B. Mark, "Multivariable prognostic models",
       Statistics in Medicine 15(4), 1996, https://pubmed.ncbi.nlm.nih.gov/8668867.

    {example}
    >>> metrics.concordance_index_censored(event, time, [4.0, 3.0, 1.0, 2.0])
    (0.75, 3, 1, 0, 0)
    """
    y = join_survival(event_indicator, event_time, "event_indicator", "event_time")
    return _concordance(y, estimate, 1.0, tied_tol, sample_weight)


@shared_docs(**DOCS)
def concordance_index_ipcw(
    survival_train: ArrayLike,
    survival_test: ArrayLike,
    estimate: ArrayLike,
    tau: Number | None = None,
    tied_tol: Number = 1e-8,
    *,
    sample_weight: ArrayLike | None = None,
    sample_weight_train: ArrayLike | None = None,
) -> tuple[float, int, int, int, int]:
    """Compute Uno's concordance index.

    The pairs are those of :func:`concordance_index_censored`, with the inverse of the
    squared probability of not being censored before the earlier time as weight. The
    expected score then does not depend on the censoring, if that is independent of the
    features [1]_.

    {survival}
    estimate : array-like of shape (n_samples,)
        Predicted risk, such as the logarithm of the hazard; larger is an earlier event.
    tau : float, default=None
        Only events before this time count in the index; None for all. It should be less
        than the last time of `survival_train`: few samples are left, of large weight.
    tied_tol : float, default=1e-8
        Risks count as equal if they differ by no more.
    {weights}

    {cindex}

    References
    ----------
    .. [1] H. Uno, T. Cai, M. J. Pencina, R. B. D'Agostino, L. J. Wei, "On the
       C-statistics for evaluating overall adequacy of risk prediction procedures",
       Statistics in Medicine 30(10), 2011, :doi:`10.1002/sim.4154`.

    {example}
    >>> round(metrics.concordance_index_ipcw(y, y, [4.0, 3.0, 1.0, 2.0])[0], 3)
    0.571
    """
    y = read_survival(survival_test, "survival_test")
    y["event"] &= _read_weight(sample_weight, y) > 0.0  # others have no weight anyway
    inverse = ipcw_weights(survival_train, y, tau, sample_weight_train)
    return _concordance(y, estimate, inverse, tied_tol, sample_weight)


@shared_docs(**DOCS)
def integrated_brier_score(
    survival_train: ArrayLike,
    survival_test: ArrayLike,
    estimate: ArrayLike,
    times: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    sample_weight_train: ArrayLike | None = None,
) -> float:
    r"""Compute the Brier score of predicted survival, averaged over times.

    .. math::

        \frac{1}{\sum_i w_i} \sum_i w_i \left(
            \frac{S_i(t)^2 \, [t_i \le t, \text{event}]}{G(t_i)}
            + \frac{(1 - S_i(t))^2 \, [t_i > t]}{G(t)}
        \right)

    is the score at the time `t`, with the predicted probability :math:`S_i(t)` of
    being without an event, the weights of the samples, and the probability `G` of not
    being censored [1]_. It is integrated by the trapezoidal rule and divided by the
    length of the interval.

    {survival}
    estimate : array-like of shape (n_samples, n_times)
        Predicted probability that the event comes after each of the times.
    times : array-like of shape (n_times,)
        At least two increasing times within the follow-up of `survival_test`: from its
        first time to before its last one, as nobody shows who survives that.
    {weights}

    Returns
    -------
    score : float
        Smaller is better; 0 for perfect predictions, 0.25 for probabilities of 0.5.

    {errors}

    References
    ----------
    .. [1] E. Graf, C. Schmoor, W. Sauerbrei, M. Schumacher, "Assessment and comparison
       of prognostic classification schemes for survival data", Statistics in Medicine
       18(17-18), 1999, https://pubmed.ncbi.nlm.nih.gov/10474158.

    {example}
    >>> metrics.integrated_brier_score(y, y, np.full((4, 2), 0.5), [1.0, 1.5])
    0.25
    """
    y = read_survival(survival_test, "survival_test")
    weight = _read_weight(sample_weight, y)
    estimate = check_array(estimate, dtype=np.float64, input_name="estimate")
    check_consistent_length(y, estimate)
    y, estimate, weight = (a[weight > 0.0] for a in (y, estimate, weight))
    times = column_or_1d(times, dtype=np.float64)
    first, last = y["time"].min(), y["time"].max()
    increase = len(times) > 1 and np.all(np.diff(times) > 0.0)
    if not (increase and first <= times[0] and times[-1] < last):
        raise ValueError(
            "times must be at least two increasing numbers within the follow-up of "
            f"survival_test, from {first} to less than {last}, got {times}."
        )
    if estimate.shape != (len(y), len(times)):
        raise ValueError(
            f"estimate must have shape ({len(y)}, {len(times)}), samples by times, got "
            f"shape {estimate.shape}."
        )
    low, high = estimate.min(), estimate.max()
    if low < 0.0 or high > 1.0:
        raise ValueError(f"estimate must be between 0 and 1, got {low} to {high}.")
    losses = brier_losses(survival_train, y, estimate, times, sample_weight_train)
    scores = np.average(losses, axis=0, weights=weight)
    return float(np.trapezoid(scores, times) / (times[-1] - times[0]))


@shared_docs(**DOCS)
def kaplan_meier_estimator(
    event: ArrayLike,
    time_exit: ArrayLike,
    *,
    reverse: bool = False,
    sample_weight: ArrayLike | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Estimate the probability of survival.

    It is the product of the shares of samples without an event among those at risk, at
    the times of events [1]_.

    Parameters
    ----------
    event : array-like of bool of shape (n_samples,)
        Whether the event was seen; else the sample is censored.
    time_exit : array-like of shape (n_samples,)
        Time of the event or of censoring.
    reverse : bool, default=False
        Whether to estimate the probability of not being censored instead. At a time
        with both, events come first.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples; 2 counts as two samples, 0 as none.

    Returns
    -------
    time : ndarray of shape (n_times,)
        The different times.
    prob_survival : ndarray of shape (n_times,)
        That the event comes after each of these times. It is 1 before the first one.

    {kaplan_meier_reference}

    {example}
    >>> metrics.kaplan_meier_estimator(event, time)[1].tolist()
    [0.75, 0.75, 0.375, 0.0]
    """
    y = join_survival(event, time_exit, "event", "time_exit")
    weight = _read_weight(sample_weight, y)
    y, weight = y[weight > 0.0], weight[weight > 0.0]
    times, place = np.unique(y["time"], return_inverse=True)
    n_leaving = np.bincount(place, weight)
    n_ending = np.bincount(place, weight * (y["event"] != reverse))
    n_later = np.append(n_leaving[:0:-1].cumsum()[::-1], 0.0)
    n_at_risk = n_later + (n_ending if reverse else n_leaving)
    return times, np.cumprod(1.0 - n_ending / np.where(n_at_risk > 0.0, n_at_risk, 1.0))


def ipcw_weights(train, y, tau=None, weight=None):
    """Return the weights of Uno's index: of events before `tau`, zero for others."""
    counts = y["event"] & (y["time"] < (np.inf if tau is None else tau))
    return _inverse_uncensored(train, weight, y["time"], counts) ** 2


def brier_losses(train, y, estimate, times, weight=None):
    """Return the squared errors of each sample at each time, for training samples."""
    time = y["time"][:, np.newaxis]
    dead, alive = (time <= times) & y["event"][:, np.newaxis], time > times
    inverse = _inverse_uncensored(train, weight, y["time"], dead.any(axis=1))
    losses = dead * np.square(estimate) * inverse[:, np.newaxis]
    inverse = _inverse_uncensored(train, weight, times, alive.any(axis=0))
    return losses + alive * np.square(1.0 - estimate) * inverse


def _inverse_uncensored(train, weight, times, counts):
    """Return one over the probability of not being censored; 0 where nothing counts."""
    y = read_survival(train, "survival_train")
    weight = _read_weight(weight, y, "sample_weight_train")
    known, probability = kaplan_meier_estimator(
        y["event"], y["time"], reverse=True, sample_weight=weight
    )
    probability = np.append(1.0, probability)[np.searchsorted(known, times, "right")]
    unknown = counts & ((probability <= 0.0) | (times > known[-1]))
    if unknown.any():
        raise ValueError(
            "survival_train must have a sample that is not censored at the time "
            f"{times[unknown].min()}; choose tau, or times, before {known[-1]}."
        )
    return np.divide(1.0, probability, out=np.zeros(len(times)), where=counts)


def _read_weight(sample_weight, y, name="sample_weight"):
    if sample_weight is None:
        return np.ones(len(y))
    weight = column_or_1d(sample_weight, dtype=np.float64, input_name=name)
    if weight.shape != y.shape or not weight.min() >= 0.0 < weight.max() < np.inf:
        raise ValueError(
            f"{name} must have {len(y)} finite numbers, none of them negative and not "
            f"all zero, got {weight}."
        )
    return weight


def _concordance(y, estimate, inverse, tied_tol, sample_weight):
    estimate = check_array(estimate, ensure_2d=False, input_name="estimate")
    estimate = column_or_1d(estimate, dtype=np.float64)
    check_consistent_length(y, estimate)
    weight = _read_weight(sample_weight, y)
    won, compared, numbers = pairs_of_samples(y, estimate, inverse, tied_tol, weight)
    if compared.sum() == 0.0:
        raise ValueError(
            "There must be an event before the time of another sample, got none that "
            f"counts in {len(y)} samples."
        )
    kind = int if sample_weight is None else float
    return float(won.sum() / compared.sum()), *map(kind, numbers)


def pairs_of_samples(y, estimate, inverse=1.0, tied_tol=0.0, weight=1.0):
    """Return the concordant and the comparable pairs of each sample, and their numbers.

    Each pair counts as the product of the weights of both samples, and but for the
    numbers, also as `inverse` of the earlier one. Equal risks count half.
    """
    factors, weight = (np.broadcast_to(a, len(y)) for a in (inverse, weight))
    factors = factors * weight
    sums, numbers = np.zeros((4, len(y))), np.zeros(4)
    earlier, size = np.flatnonzero(y["event"]), max(1, MAX_PAIRS // max(len(y), 1))
    for first in range(0, len(earlier), size):
        rows = earlier[first : first + size]
        time, risk = y["time"][rows][:, np.newaxis], estimate[rows][:, np.newaxis]
        same_time = (time == y["time"]) & ~y["event"]
        tied = np.abs(risk - estimate) <= tied_tol
        right = (risk > estimate) & ~tied
        kinds = np.array([right, ~(right | tied), tied, same_time])
        kinds &= (time < y["time"]) | same_time
        of_rows = kinds @ weight
        numbers += of_rows @ weight[rows]
        sums += factors[rows] @ kinds * weight
        sums[:, rows] += factors[rows] * of_rows
    return sums[0] + 0.5 * sums[2], sums[:3].sum(axis=0), numbers
