"""The table of a cross-validated path, and the choice of a row."""

from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

ONE_STANDARD_ERROR = "one-standard-error"
SELECTION_RULES = ("best", ONE_STANDARD_ERROR)

# Columns with the number of features, of our searches and of a further scorer.
COUNT_COLUMNS = ("mean_n_features", "mean_test_n_features")

# "parsimonious" takes more features than the first number only for a higher score: for
# each factor of e, by the second one over the root of the number of samples.
FREE_FEATURES = 30
SCORE_PER_FACTOR = 0.6
# Scores are smoothed over this width in logarithms of the number of features, which is
# divided by the number of samples, and at most the second one.
SMOOTHING_WIDTH = 200.0
MAX_SMOOTHING_WIDTH = 2.0


class Choice(NamedTuple):
    """Candidates of a path that were chosen, and what they are compared with."""

    rows: np.ndarray  # of shape (n_draws,)
    shares: np.ndarray  # of the best gain over the null model, (n_draws, n_candidates)
    learns: np.ndarray  # whether that gain exceeds its error, (n_draws,)


def choose_by_gain(
    scores,
    weights,
    radii,
    keep_gain,
    *,
    null=None,
    eligible=True,
    families=0.0,
    n_repeats=1.0,
    draws=None,
):
    """Choose the sparsest candidate that keeps a share of the best one's gain.

    The gain is that over the null model, or over the sparsest candidate if there is
    none. Nothing is learned if the best gain does not exceed its standard error; then
    a share of it means nothing, and the sparsest candidate is chosen.

    Parameters
    ----------
    scores : ndarray of shape (n_units, n_candidates)
        Scores of samples that were not trained on, or of folds; larger is better.
    weights : ndarray of shape (n_units,)
    radii : ndarray of shape (n_candidates,)
        Smaller is sparser.
    keep_gain : float or str
        In (0, 1]; 1 is the best candidate, the sparsest of equals. With
        `ONE_STANDARD_ERROR` it is the sparsest within one standard error of the best.
    null : int, default=None
        Place of the null model among the candidates.
    eligible : ndarray of bool of shape (n_candidates,), default=True
        Which may be chosen.
    families : ndarray of shape (n_candidates,), default=0.0
        The chosen one has the same entry as the best.
    n_repeats : float, default=1.0
        In how many units each sample is: so many of them tell no more than one.
    draws : ndarray of int of shape (n_draws, n_units), default=None
        How often each unit is in some samples of them, for which a choice is made each.
        None is all units once. The errors are those of all units.

    Returns
    -------
    choice : Choice
    """
    eligible = np.broadcast_to(eligible, len(radii))
    families = np.broadcast_to(families, len(radii))
    draws = np.ones((1, len(scores)), dtype=np.int64) if draws is None else draws

    def sparsest(good):
        return np.where(good & eligible, radii, np.inf).argmin(axis=1)

    base = sparsest(np.ones((1, len(radii)), dtype=bool))[0] if null is None else null
    shares = weights * draws
    shares = shares / shares.sum(axis=1, keepdims=True)
    differences = scores - scores[:, [base]]
    gains = shares @ differences
    largest = np.where(eligible, gains, -np.inf).max(axis=1, keepdims=True)
    best = sparsest(gains == largest)
    errors = _standard_errors(differences, weights, n_repeats)
    learns = largest[:, 0] > errors[best]
    kept = np.divide(gains, largest, out=np.zeros_like(gains), where=largest > 0.0)
    if keep_gain == ONE_STANDARD_ERROR:
        means, errors = shares @ scores, _standard_errors(scores, weights, n_repeats)
        limits = means[np.arange(len(best)), best] - errors[best]
        good = means >= limits[:, np.newaxis]
    else:  # the best is kept also if it loses
        good = gains >= largest if keep_gain == 1.0 else kept >= keep_gain
    good &= families == families[best][:, np.newaxis]
    if keep_gain not in (1.0, ONE_STANDARD_ERROR):
        good |= ~learns[:, np.newaxis]
    return Choice(sparsest(good), kept, learns)


def _standard_errors(scores, weights, n_repeats):
    """Return the standard errors of the weighted means of scores."""
    shares = weights / weights.sum()
    deviations = shares[:, np.newaxis] * (scores - shares @ scores)
    variances = np.square(deviations).sum(axis=0)
    return np.sqrt(n_repeats * len(scores) / max(len(scores) - 1, 1) * variances)


def tabulate_scores(parameters, scores, n_features, means=None):
    """Return the results of the folds in the form of a grid search.

    The parameters, "eta" among them, are arrays of shape (n_candidates,); `scores` and
    `n_features` have the shape (n_splits, n_candidates). The scores must be finite. The
    mean scores are those of the folds, or `means`.
    """
    wrong = np.argwhere(~np.isfinite(scores))
    if len(wrong):
        split, row = wrong[0]
        raise ValueError(
            f"scoring must give finite scores, got {scores[split, row]} for split "
            f"{split} of cv and eta={parameters['eta'][row]:.3g}: its test part may be "
            "too small, or have one class only; use another scoring, or fewer splits."
        )
    means = scores.mean(axis=0) if means is None else means
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


def choose_row(radii, scores, rule, *, n_features=None, n_samples=None, paths=None):
    """Return the row with the best score, or a sparser one that is nearly as good.

    Of equally good rows it is the one with the smallest radius. The rule is one of
    `SELECTION_RULES`, or "parsimonious", which needs the other arguments: `n_features`,
    like `scores` of shape (n_splits, n_candidates), and `paths`, which path from dense
    to sparse each candidate belongs to.
    """
    means = scores.mean(axis=0)
    if rule == "parsimonious":
        log_counts = np.log(np.maximum(n_features.mean(axis=0), 1.0))
        width = min(SMOOTHING_WIDTH / n_samples, MAX_SMOOTHING_WIDTH)
        means = smooth_paths(means, log_counts, paths, width)
        excess = np.maximum(log_counts - np.log(FREE_FEATURES), 0.0)
        means = means - SCORE_PER_FACTOR / np.sqrt(n_samples) * excess
    threshold = means.max()
    if rule == ONE_STANDARD_ERROR and len(scores) > 1:
        best = scores[:, means.argmax()]
        threshold -= best.std(ddof=1) / np.sqrt(len(scores))
    good = np.flatnonzero(means >= threshold)
    return int(good[radii[good].argmin()])


def smooth_paths(means, log_counts, paths, width):
    """Return scores with less noise, by local quadratic regression along each path.

    All arrays have the shape (n_candidates,); `log_counts` are the logarithms of the
    numbers of features, `width` is the standard deviation of a Gaussian in them.
    """
    smooth = np.empty_like(means)
    for i, center in enumerate(log_counts):
        path = paths == paths[i]
        distance = log_counts[path] - center
        weight = np.exp(-0.25 * (distance / width) ** 2)  # root of a Gaussian
        powers = distance[:, np.newaxis] ** np.arange(3)
        smooth[i] = np.linalg.lstsq(
            powers * weight[:, np.newaxis], means[path] * weight
        )[0][0]
    return smooth


def name_of_radius(results):
    """Return the name of the parameter that is the radius in the table of a search."""
    names = [name.removeprefix("param_") for name in results if name[:6] == "param_"]
    named = [name for name in names if f"__{name}".endswith("__eta")]
    if len(named) != 1:
        raise ValueError(
            f"A search must have one parameter called eta, and this has {len(named)}."
        )
    return named[0]


def counts_of(results):
    """Return the numbers of features of the candidates, or None if there are none."""
    column = next((name for name in COUNT_COLUMNS if name in results), None)
    return None if column is None else results[column]
