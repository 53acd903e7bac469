"""Concordance and Brier score of survival times."""

import numpy as np
from sklearn.utils import check_array, check_consistent_length, column_or_1d

from skproj.utils._docs import shared_docs
from skproj.utils._survival import SURVIVAL_DOCS, read_survival

# Pairs are compared in blocks of at most so many.
MAX_PAIRS = 2**22

DOCS = {
    **SURVIVAL_DOCS,
    "y_train": """
    y_train : structured ndarray or DataFrame of shape (n_train_samples,)
        Survival times of training samples, in the same form. The distribution of
        censoring is estimated from them.
    """,
    "y_score": """
    y_score : array-like of shape (n_samples,)
        Predicted risk, such as the logarithm of the hazard; larger is an earlier event.
    """,
    "concordance": """
    Returns
    -------
    score : float
        From 0 to 1; 0.5 for predictions at random.

    Raises
    ------
    ValueError
    """,
    "example": """
    Examples
    --------
    >>> import numpy as np
    >>> y = np.array(
    ...     [(True, 1.0), (False, 2.0), (True, 3.0), (True, 4.0)],
    ...     dtype=[("event", bool), ("time", float)],
    ... )
    """,
}


@shared_docs(**DOCS)
def concordance_index_censored(y_true, y_score):
    """Compute Harrell's concordance index.

    A pair of samples is comparable if the earlier time is that of an event; a censored
    sample with the same time counts as later. The index is the share of the comparable
    pairs in which the earlier sample has the larger risk [1]_. Equal risks count half.

    Parameters
    ----------
    {y_true}
    {y_score}

    {concordance}
        If `y_true` is not of that form, if `y_score` has another number of samples or
        is not finite, or if no pair is comparable.

    See Also
    --------
    concordance_index_ipcw : The same without the influence of censoring.

    References
    ----------
    .. [1] F. E. Harrell, K. L. Lee, D. B. Mark, "Multivariable prognostic models:
       issues in developing models, evaluating assumptions and adequacy, and measuring
       and reducing errors", Statistics in Medicine 15(4), 1996,
       https://pubmed.ncbi.nlm.nih.gov/8668867.

    {example}
    >>> from skproj.metrics import concordance_index_censored
    >>> concordance_index_censored(y, [4.0, 3.0, 1.0, 2.0])
    0.75
    """
    y_true, y_score = _check_scores(y_true, y_score)
    return _concordance(y_true, y_score, np.ones(len(y_true)))


@shared_docs(**DOCS)
def concordance_index_ipcw(y_train, y_true, y_score, *, tau=None):
    """Compute Uno's concordance index.

    The pairs are those of :func:`concordance_index_censored`, with the inverse of the
    squared probability of not being censored before the earlier time as weight. The
    expected score then does not depend on the censoring, if that is independent of the
    features [1]_.

    Parameters
    ----------
    {y_train}
    {y_true}
    {y_score}
    tau : float, default=None
        Only events before this time count; None for all of them. It should be less
        than the last time of `y_train`, where few samples are left and weights are
        large.

    {concordance}
        If `y_train` or `y_true` is not of that form, if `y_score` has another number
        of samples or is not finite, if no pair is comparable, or if the training
        samples are all censored before an event of `y_true`.

    See Also
    --------
    concordance_index_censored : All comparable pairs count the same.

    References
    ----------
    .. [1] H. Uno, T. Cai, M. J. Pencina, R. B. D'Agostino, L. J. Wei, "On the
       C-statistics for evaluating overall adequacy of risk prediction procedures with
       censored survival data", Statistics in Medicine 30(10), 2011,
       :doi:`10.1002/sim.4154`.

    {example}
    >>> from skproj.metrics import concordance_index_ipcw
    >>> round(concordance_index_ipcw(y, y, [4.0, 3.0, 1.0, 2.0]), 3)
    0.571
    """
    y_true, y_score = _check_scores(y_true, y_score)
    return _concordance(y_true, y_score, ipcw_weights(y_train, y_true, tau))


@shared_docs(**DOCS)
def integrated_brier_score(y_train, y_true, y_prob, times):
    r"""Compute the Brier score of predicted survival, averaged over times.

    .. math::

        \frac{1}{n} \sum_i \left(
            \frac{S_i(t)^2 \, [t_i \le t, \text{event}]}{G(t_i)}
            + \frac{(1 - S_i(t))^2 \, [t_i > t]}{G(t)}
        \right)

    is the score at the time `t`, with the predicted probability :math:`S_i(t)` of
    being without an event, and the probability `G` of not being censored [1]_. It is
    integrated by the trapezoidal rule and divided by the length of the interval.

    Parameters
    ----------
    {y_train}
    {y_true}
    y_prob : array-like of shape (n_samples, n_times)
        Predicted probability that the event comes after each of the times.
    times : array-like of shape (n_times,)
        At least two increasing times.

    Returns
    -------
    score : float
        Smaller is better; 0 for perfect predictions, 0.25 for probabilities of 0.5.

    Raises
    ------
    ValueError
        If `y_train` or `y_true` is not of that form, if `y_prob` or `times` has
        another shape, if a probability is not between 0 and 1, if the times do not
        increase, or if the training samples are all censored before one of them.

    See Also
    --------
    concordance_index_censored : Only the order of the predictions counts.

    References
    ----------
    .. [1] E. Graf, C. Schmoor, W. Sauerbrei, M. Schumacher, "Assessment and comparison
       of prognostic classification schemes for survival data", Statistics in Medicine
       18(17-18), 1999, https://pubmed.ncbi.nlm.nih.gov/10474158.

    {example}
    >>> from skproj.metrics import integrated_brier_score
    >>> integrated_brier_score(y, y, np.full((4, 2), 0.5), [0.5, 1.5])
    0.25
    """
    y_true = read_survival(y_true, "y_true")
    times = column_or_1d(times, dtype=np.float64)
    if len(times) < 2 or not np.all(np.diff(times) > 0.0):
        raise ValueError(f"times must be at least two increasing numbers, got {times}.")
    y_prob = check_array(y_prob, dtype=np.float64, input_name="y_prob")
    if y_prob.shape != (len(y_true), len(times)):
        raise ValueError(
            f"y_prob must have shape ({len(y_true)}, {len(times)}), a row for each "
            f"sample and a column for each time, got shape {y_prob.shape}."
        )
    if y_prob.min() < 0.0 or y_prob.max() > 1.0:
        raise ValueError(
            f"y_prob must be between 0 and 1, got {y_prob.min()} to {y_prob.max()}."
        )
    losses = brier_losses(y_train, y_true, y_prob, times)
    return float(np.trapezoid(losses.mean(axis=0), times) / (times[-1] - times[0]))


@shared_docs(**DOCS)
def kaplan_meier_estimator(y_true):
    """Estimate the probability of survival.

    It is the product of the shares of samples without an event among those at risk, at
    the times of events [1]_.

    Parameters
    ----------
    {y_true}

    Returns
    -------
    times : ndarray of shape (n_event_times,)
        The different times of events.
    probability : ndarray of shape (n_event_times,)
        That the event comes after each of these times. It is 1 before the first one.

    Raises
    ------
    ValueError
        If `y_true` is not of that form.

    See Also
    --------
    skproj.inspection.SurvivalCurvesDisplay : The curves of samples of different risk.

    {kaplan_meier_reference}

    {example}
    >>> from skproj.metrics import kaplan_meier_estimator
    >>> times, probability = kaplan_meier_estimator(y)
    >>> times.tolist(), probability.tolist()
    ([1.0, 3.0, 4.0], [0.75, 0.375, 0.0])
    """
    y = read_survival(y_true, "y_true")
    ordered = np.sort(y["time"])
    times, n_events = np.unique(y["time"][y["event"]], return_counts=True)
    n_at_risk = len(y) - np.searchsorted(ordered, times)
    return times, np.cumprod(1.0 - n_events / n_at_risk)


def ipcw_weights(y_train, y_true, tau=None):
    """Return the weights of Uno's index: of events before `tau`, zero for others."""
    counts = y_true["event"].copy()
    if tau is not None:
        counts &= y_true["time"] < tau
    weights = np.zeros(len(y_true))
    uncensored = _Uncensored(y_train)
    weights[counts] = uncensored.inverse(y_true["time"][counts]) ** 2
    return weights


def brier_losses(y_train, y_true, y_prob, times):
    """Return the weighted squared errors of each sample at each time."""
    uncensored = _Uncensored(y_train)
    time = y_true["time"][:, np.newaxis]
    dead = (time <= times) & y_true["event"][:, np.newaxis]
    counts = dead.any(axis=1)
    weights = np.zeros(len(y_true))
    weights[counts] = uncensored.inverse(y_true["time"][counts])
    alive = time > times
    inverse = np.zeros(len(times))
    inverse[alive.any(axis=0)] = uncensored.inverse(times[alive.any(axis=0)])
    losses = dead * np.square(y_prob) * weights[:, np.newaxis]
    losses += alive * np.square(1.0 - y_prob) * inverse
    return losses


def _check_scores(y_true, y_score):
    y_true = read_survival(y_true, "y_true")
    y_score = check_array(
        y_score, ensure_2d=False, dtype=np.float64, input_name="y_score"
    )
    y_score = column_or_1d(y_score)
    check_consistent_length(y_true, y_score)
    return y_true, y_score


def _concordance(y_true, y_score, weights):
    """Return the weighted share of concordant pairs; the weight is of the earlier."""
    concordant, comparable = pairs_of_samples(y_true, y_score, weights)
    if comparable.sum() == 0.0:
        raise ValueError(
            "y_true must have an event before the time of another sample, got none "
            f"that counts in {len(y_true)} samples."
        )
    return float(concordant.sum() / comparable.sum())


def pairs_of_samples(y_true, y_score, weights):
    """Return the concordant and the comparable pairs that each sample is a part of.

    Each pair counts with the weight of the earlier sample; equal scores count half.
    """
    event, time = y_true["event"], y_true["time"]
    earlier = np.flatnonzero(event & (weights > 0.0))
    concordant, comparable = np.zeros((2, len(time)))
    size = max(1, MAX_PAIRS // len(time))
    for first in range(0, len(earlier), size):
        rows = earlier[first : first + size]
        row = rows[:, np.newaxis]
        pairs = (time[row] < time) | ((time[row] == time) & ~event)
        won = 1.0 * (y_score[row] > y_score) + 0.5 * (y_score[row] == y_score)
        for sums, terms in ((comparable, pairs), (concordant, pairs * won)):
            sums += weights[rows] @ terms
            sums[rows] += weights[rows] * terms.sum(axis=1)
    return concordant, comparable


class _Uncensored:
    """Kaplan-Meier estimate of the probability of not being censored.

    At a time with both, events come before censoring.
    """

    def __init__(self, y_train):
        y = read_survival(y_train, "y_train")
        self.times, place = np.unique(y["time"], return_inverse=True)
        n_events, n_censored = (
            np.bincount(place[which], minlength=len(self.times))
            for which in (y["event"], ~y["event"])
        )
        n_at_risk = len(y) - np.cumsum(n_events + n_censored) + n_censored
        share = n_censored / np.maximum(n_at_risk, 1)
        self.probability = np.concatenate([[1.0], np.cumprod(1.0 - share)])

    def inverse(self, times):
        """Return the inverse of the probability at times, which must not be zero."""
        place = np.searchsorted(self.times, times, side="right")
        probability = self.probability[place]
        if np.any(probability <= 0.0):
            raise ValueError(
                f"y_train must have samples that are not censored before "
                f"{np.max(times)}, the last time that counts; choose tau, or times, "
                f"before {self.times[-1]}."
            )
        return 1.0 / probability
