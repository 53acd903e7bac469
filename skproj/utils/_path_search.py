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

    The parameters, "eta" among them, are arrays of shape (n_candidates,); `scores` and
    `n_features` have the shape (n_splits, n_candidates). The scores must be finite.
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

    Of equally good rows it is the one with the smallest radius. The rule is one of
    `SELECTION_RULES`, or "parsimonious", which needs `n_samples` and `n_features`. The
    latter, like `scores`, has the shape (n_splits, n_candidates).
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
