"""How stable selections of features are, and what may stand in for a feature."""

import numpy as np
from scipy import sparse
from scipy.stats import norm

from skproj.utils._moments import mean_and_deviation, normalized_weights

CONFIDENCE_LEVEL = 0.95

# Features count as substitutes from this absolute correlation on; of more than this
# number, the closest ones are kept.
MIN_CORRELATION = 0.8
MAX_SUBSTITUTES = 100
# Entries of the largest temporary array.
MAX_BLOCK_ENTRIES = 1 << 22
MAX_BLOCK_ROWS = 256

STABILITY_ATTRIBUTES = (
    "selection_frequency_",
    "stability_",
    "stability_interval_",
    "substitutes_",
)

STABILITY_DOCS = """
selection_frequency_ : ndarray of shape (n_features_in_,)
    Share of the folds that select each feature, with the chosen parameters. They share
    most samples: a feature that all of them select may be noise. For single features,
    use :class:`~skproj.feature_selection.StabilitySelector`, which selects on halves.
stability_ : float
    Stability index of the selections by the folds, see
    :class:`~skproj.feature_selection.StabilitySelector`: 1 if all are equal, 0 in
    expectation if features are drawn at random. NaN if each fold selects nothing, or
    everything, or if there is one fold only. It is larger than for independent data.
stability_interval_ : ndarray of shape (2,)
    Its 95 % confidence interval, as if the folds were independent, which they are not.
substitutes_ : dict of list of tuple (feature, correlation)
    For each selected feature, the other features whose absolute correlation with it in
    the training data is at least 0.8, the closest first and at most 100. Features are
    the names in `feature_names_in_`, or the indices of columns.
"""


def describe_selection(supports, substitutes):
    """Return the fitted attributes of `STABILITY_DOCS`; a fold has a row of `supports`.

    The `substitutes` are the result of `find_substitutes`.
    """
    stability, interval = stability_index(supports)
    return {
        "selection_frequency_": supports.mean(axis=0),
        "stability_": stability,
        "stability_interval_": interval,
        "substitutes_": substitutes,
    }


def stability_index(supports):
    """Return the stability of selections, and its confidence interval.

    The supports have the shape (n_selections, n_features). The stability is NaN if all
    selections are empty or all are full, or if there is only one.
    """
    n_selections, n_features = supports.shape
    frequencies = supports.mean(axis=0)
    fractions = supports.mean(axis=1)  # of the features, for each selection
    fraction = fractions.mean()
    by_chance = fraction * (1.0 - fraction)
    if by_chance == 0.0 or n_selections < 2:
        return np.nan, np.full(2, np.nan)
    variances = frequencies * (1.0 - frequencies) * n_selections / (n_selections - 1)
    stability = 1.0 - variances.mean() / by_chance
    # The influence of each selection on the index.
    influences = (
        supports @ frequencies / n_features
        - fractions * fraction
        + 0.5 * stability * (2.0 * fractions * fraction - fractions - fraction + 1.0)
    ) / by_chance
    error = 2.0 * np.std(influences) / np.sqrt(n_selections)
    half_width = norm.ppf(0.5 + 0.5 * CONFIDENCE_LEVEL) * error
    interval = np.array([stability - half_width, stability + half_width])
    # The index itself is within these limits.
    return float(stability), np.clip(interval, -1.0 / (n_selections - 1), 1.0)


def find_substitutes(X, kept, *, names=None, sample_weight=None):
    """Find the features that are strongly correlated with some features.

    Returns a dict: for each of the features `kept` a list of tuples of a feature, by
    its name if there are names, and its correlation, the closest first; empty for
    constant features. `X` is read in blocks of columns.
    """
    return collect_substitutes(kept, _correlate(X, kept, sample_weight), names)


def collect_substitutes(kept, correlations, names=None):
    """Return the dict of `find_substitutes` from blocks of correlations.

    Each block is a tuple of some of the features `kept`, of other features, and of
    their correlations, an array with a row for each of the former.
    """
    found = {int(i): [] for i in kept}
    for rows, candidates, values in correlations:
        close = np.abs(values) >= MIN_CORRELATION
        close &= rows[:, np.newaxis] != candidates
        for row in np.flatnonzero(close.any(axis=1)):
            places = np.flatnonzero(close[row])
            clipped = np.clip(values[row, places], -1.0, 1.0)
            pairs = zip(candidates[places].tolist(), clipped.tolist(), strict=True)
            closest = [*found[rows[row]], *pairs]
            closest.sort(key=lambda pair: -abs(pair[1]))
            found[int(rows[row])] = closest[:MAX_SUBSTITUTES]
    if names is None:
        return found
    return {
        str(names[i]): [(str(names[j]), value) for j, value in pairs]
        for i, pairs in found.items()
    }


def _correlate(X, kept, sample_weight):
    """Yield the correlations of features with all that are not constant, in blocks."""
    weights = normalized_weights(sample_weight, X.shape[0])
    mean, deviation = mean_and_deviation(X, weights)
    columns = X.tocsc() if sparse.issparse(X) else X
    kept = np.asarray(kept, dtype=int)[deviation[kept] > 0.0]
    others = np.flatnonzero(deviation > 0.0)
    width = MAX_BLOCK_ENTRIES // max(X.shape[0], MAX_BLOCK_ROWS) + 1

    def standardize(features):
        block = columns[:, features]
        block = block.toarray() if sparse.issparse(block) else block
        return (block.astype(np.float64) - mean[features]) / deviation[features]

    for first in range(0, len(kept), MAX_BLOCK_ROWS):
        rows = kept[first : first + MAX_BLOCK_ROWS]
        weighted = weights[:, np.newaxis] * standardize(rows)
        for start in range(0, len(others), width):
            candidates = others[start : start + width]
            yield rows, candidates, weighted.T @ standardize(candidates)
