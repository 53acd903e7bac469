"""The table of a cross-validated path, and the choice of a row."""

import numpy as np
from scipy.stats import rankdata

SELECTION_RULES = ("best", "one-standard-error")

# "parsimonious" takes more features than the first number only for a higher score: for
# each factor of e, by the second one over the root of the number of samples.
FREE_FEATURES = 30
SCORE_PER_FACTOR = 0.2


def tabulate_scores(parameters, scores, n_features):
    """Return the results of the folds in the form of a grid search.

    Parameters
    ----------
    parameters : dict of ndarray of shape (n_candidates,)
        Among them "eta".
    scores, n_features : ndarray of shape (n_splits, n_candidates)

    Returns
    -------
    results : dict

    Raises
    ------
    ValueError
        If a score is not finite.
    """
    if not np.isfinite(scores).all():
        raise ValueError(
            "scoring must give finite scores, got "
            f"{scores.tolist()} for etas={parameters['eta'].tolist()}."
        )
    means = scores.mean(axis=0)
    rows = zip(*(column.tolist() for column in parameters.values()), strict=True)
    return {
        **{f"param_{name}": column for name, column in parameters.items()},
        "params": [dict(zip(parameters, row, strict=True)) for row in rows],
        **{f"split{i}_test_score": split for i, split in enumerate(scores)},
        "mean_test_score": means,
        "std_test_score": scores.std(axis=0),
        "rank_test_score": rankdata(-means, method="min").astype(np.int32),
        "mean_n_features": n_features.mean(axis=0),
    }


def choose_row(radii, scores, rule, n_features=None, n_samples=None):
    """Return the row with the best score, or a sparser one that is nearly as good.

    Parameters
    ----------
    radii : ndarray of shape (n_candidates,)
    scores : ndarray of shape (n_splits, n_candidates)
    rule : str
        One of `SELECTION_RULES`, or "parsimonious".
    n_features : ndarray of shape (n_splits, n_candidates), default=None
    n_samples : int, default=None
        Needed by "parsimonious", as is `n_features`.

    Returns
    -------
    row : int
        Of equally good ones that with the smallest radius.
    """
    means = scores.mean(axis=0)
    if rule == "parsimonious":
        factors = np.maximum(n_features.mean(axis=0) / FREE_FEATURES, 1.0)
        means = means - SCORE_PER_FACTOR / np.sqrt(n_samples) * np.log(factors)
    threshold = means.max()
    if rule == "one-standard-error" and len(scores) > 1:
        best = scores[:, means.argmax()]
        threshold -= best.std(ddof=1) / np.sqrt(len(scores))
    good = np.flatnonzero(means >= threshold)
    return int(good[radii[good].argmin()])
