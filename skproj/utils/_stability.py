"""How stable selections of features are."""

import numpy as np
from scipy.stats import norm

CONFIDENCE_LEVEL = 0.95

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
