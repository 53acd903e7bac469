"""Scores of predictions, with confidence intervals in closed form."""

import math

import numpy as np
from scipy.stats import norm, rankdata
from scipy.stats import t as student
from sklearn.metrics import r2_score

from skproj.cli._evidence import rank_scores
from skproj.cli._result import Score

QUANTILE = norm.isf(0.025)


def score_predictions(predictions, classes):
    """Return the scores of labels or numbers predicted for rows that were held out.

    The headline is the first. `classes` is None for numbers.
    """
    y, predicted = predictions.y_test, predictions.y_predicted
    if classes is None:
        return [
            r2_interval(y, predicted),
            mean_interval("MAE", np.abs(y - predicted)),
            correlation_interval(y, predicted),
        ]
    accuracy = float((y == predicted).mean())
    return [
        recall_interval(y, predicted),
        area_interval(y, predictions.decisions, classes),
        make_score("accuracy", accuracy, *wilson(accuracy, len(y))),
    ]


def wilson(share, n):
    """Return the interval of Wilson [1]_ for a share of n rows.

    References
    ----------
    .. [1] E. B. Wilson, "Probable inference, the law of succession, and statistical
       inference", Journal of the American Statistical Association 22(158), 1927,
       :doi:`10.1080/01621459.1927.10502953`.
    """
    squared = QUANTILE**2
    middle = (share + squared / (2.0 * n)) / (1.0 + squared / n)
    half = share * (1.0 - share) / n + squared / (4.0 * n**2)
    half = QUANTILE * np.sqrt(half) / (1.0 + squared / n)
    return middle - half, middle + half


def recall_interval(y, predicted):
    """Balanced accuracy: the intervals of the recalls, added in quadrature [1]_.

    References
    ----------
    .. [1] G. Y. Zou, A. Donner, "Construction of confidence limits about effect
       measures: a general approach", Statistics in Medicine 27(10), 2008,
       :doi:`10.1002/sim.3095`.
    """
    classes, counts = np.unique(y, return_counts=True)
    recalls = np.array([(predicted[y == label] == label).mean() for label in classes])
    low, high = wilson(recalls, counts)
    value = recalls.mean()
    if len(np.unique(predicted)) == 1:  # whatever the rows are
        return make_score("balanced accuracy", value, value, value)
    low = value - np.linalg.norm(recalls - low) / len(classes)
    high = value + np.linalg.norm(high - recalls) / len(classes)
    return make_score("balanced accuracy", value, low, high)


def area_interval(y, decisions, classes):
    """Area under the ROC curve of each class against the rest, averaged.

    The limits of the areas [1]_ are averaged as well, as if the areas were perfectly
    correlated, which makes the interval rather too wide.

    References
    ----------
    .. [1] R. G. Newcombe, "Confidence intervals for an effect size measure based on the
       Mann-Whitney statistic. Part 2", Statistics in Medicine 25(4), 2006,
       :doi:`10.1002/sim.2324`.
    """
    rows = []
    if np.ptp(decisions, axis=0).max() == 0.0:
        return make_score("AUC", 0.5, 0.5, 0.5)
    for column, label in enumerate(classes):
        inside = y == label
        m, n = int(inside.sum()), int((~inside).sum())
        if m and n:
            ranks = rankdata(decisions[:, column])[inside].sum()
            area = (ranks - m * (m + 1) / 2) / (m * n)
            rows.append((area, *area_limits(area, m, n)))
    if not rows:
        return make_score("AUC", math.nan, math.nan, math.nan)
    return make_score("AUC", *np.mean(rows, axis=0))


def area_limits(area, m, n):
    """Return the areas whose standard error just allows the one that was measured."""
    grid = np.linspace(0.0, 1.0, 2001)
    extra = (m + n) / 2 - 1
    variance = grid * (1.0 - grid) / (m * n)
    variance = variance * (
        1.0 + extra * ((1.0 - grid) / (2.0 - grid) + grid / (1.0 + grid))
    )
    possible = grid[np.abs(grid - area) <= QUANTILE * np.sqrt(variance)]
    if len(possible) == 0:
        return area, area
    return min(possible[0], area), max(possible[-1], area)


def r2_interval(y, predicted):
    """R2, as a ratio of means with the error of their linear expansion."""
    value = r2_score(y, predicted)
    squares = np.square(y - y.mean())
    influence = np.square(y - predicted) - (1.0 - value) * squares
    half = half_width(influence) / squares.mean()
    return make_score("R2", value, value - half, value + half, largest=1.0, least=None)


def mean_interval(name, losses):
    value, half = losses.mean(), half_width(losses)
    return make_score(name, value, value - half, value + half, largest=None)


def correlation_interval(y, predicted):
    """Rank correlation, with the interval of Bonett and Wright [1]_.

    References
    ----------
    .. [1] D. G. Bonett, T. A. Wright, "Sample size requirements for estimating Pearson,
       Kendall and Spearman correlations", Psychometrika 65(1), 2000,
       :doi:`10.1007/BF02294183`.
    """
    value = float(rank_scores(y) @ rank_scores(predicted))
    low, high = -1.0, 1.0
    if np.ptp(predicted) == 0.0:
        low, high = 0.0, 0.0
    elif len(y) > 3 and abs(value) < 1.0:
        half = QUANTILE * np.sqrt((1.0 + value**2 / 2.0) / (len(y) - 3))
        low, high = np.tanh(np.arctanh(value) + np.array([-half, half]))
    return make_score("rank correlation", value, low, high, least=-1.0)


def half_width(values):
    n = len(values)
    return student.isf(0.025, max(n - 1, 1)) * values.std(ddof=1) / np.sqrt(n)


def make_score(name, value, low, high, *, least=0.0, largest=1.0):
    """Return a score whose interval is within the possible values."""
    # Rounding may put the score itself outside.
    low = min(low if least is None else max(low, least), value)
    high = max(high if largest is None else min(high, largest), value)
    return Score(name, float(value), float(low), float(high))
