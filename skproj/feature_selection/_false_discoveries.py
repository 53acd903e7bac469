"""Scores of features and decoys, and rates of false discoveries from their counts.

Features and decoys compete on lasso paths of halves of the samples. The score of a
column is the integral over the path of the cube of the share of the halves that select
it, less a share that is reached by chance (integrated path stability selection). The
target is that of a quadratic loss: classes are columns of zeros and ones, survival
times the residuals of equal hazards.
"""

import math

import numpy as np
from sklearn.utils.parallel import delayed

from skproj._kernels._lasso_halves import count_selections
from skproj.feature_selection._decoys import DecoyModel
from skproj.feature_selection._half_selections import (
    columns_of_target,
    draw_halves,
    number_classes,
)
from skproj.utils._moments import normalized_weights
from skproj.utils._survival import is_survival
from skproj.utils._tasks import run_tasks

# Draws of the decoys, a multiple of four: the fewest, and the most, of small tables, as
# long as all have so many entries together. With 32, the share of false features was
# .215 (standard error .008) at a rate of .2 in 60 tables of correlated pairs.
MIN_DRAWS, MAX_DRAWS, MAX_ENTRIES = 8, 16, 1 << 21
# Pairs of halves for each draw.
PAIRS_PER_DRAW = 15
# Penalties are correlations with the target, or with what is left of it. The path ends
# where halves select so many columns on average, as a share of all samples.
PENALTIES = np.geomspace(1.0, 0.02, 36)
MAX_SELECTED_SHARE = 0.2
# Halves stop at more columns than that.
STOP_SHARE = 1.25 * MAX_SELECTED_SHARE
# Share of the halves from which on a selection counts.
MIN_SHARE = 0.5
# Draws whose mean scores count as well, and what is added to the counts: one of four
# draws may have had one more decoy.
DRAWS_TOGETHER, ADDED_COUNT = 4, 0.25


def n_draws(shape):
    """Return the number of draws of the decoys for a table of this shape."""
    n_affordable = MAX_ENTRIES // math.prod(shape)
    return min(max(n_affordable, MIN_DRAWS), MAX_DRAWS) // 4 * 4


def q_values(scores, decoy_scores):
    """Return the smallest rate of false discoveries at which each feature is kept.

    The features with a score of at least t are kept, and the decoys of a draw with such
    a score count the false ones. The score of a feature is a mean over the draws, which
    is rarely as large as the largest single scores of a decoy, but more often as large
    as medium ones: mean scores of decoys over four draws are counted as well, and the
    smaller number is taken. Its mean over the draws, plus a quarter, over the number of
    features is the rate. It is infinite for scores that are not positive.

    Parameters
    ----------
    scores : ndarray of shape (n_features,)
        Mean over the draws.
    decoy_scores : ndarray of shape (n_draws, n_features)
        A multiple of four draws.

    Returns
    -------
    rates : ndarray of shape (n_features,)
    """
    n_features = len(scores)
    thresholds = np.unique(scores[scores > 0.0])
    n_kept = n_features - np.searchsorted(np.sort(scores), thresholds)
    together = decoy_scores.reshape(-1, DRAWS_TOGETHER, n_features).mean(axis=1)
    n_decoys = np.minimum(
        *(_mean_counts(values, thresholds) for values in (decoy_scores, together))
    )
    rates = (n_decoys + ADDED_COUNT) / n_kept
    # Kept at t means kept at all smaller thresholds too.
    rates = np.append(np.inf, np.minimum.accumulate(rates))
    return rates[np.searchsorted(thresholds, scores, side="right")]


def _mean_counts(values, thresholds):
    """Return how many of each row are at least as large as thresholds, on average."""
    in_order = np.sort(values, axis=None)
    n_larger = len(in_order) - np.searchsorted(in_order, thresholds)
    return n_larger / len(values)


def describe_failure(fdr, scores, decoy_scores):
    """Say why no feature is kept."""
    n_positive = np.count_nonzero(scores)
    n_needed = math.ceil(ADDED_COUNT / fdr - 1e-9)
    n_decoys = np.count_nonzero(decoy_scores) / len(decoy_scores)
    return (
        f"fdr={fdr:g} needs at least {n_needed} features that score higher than nearly "
        f"all decoys; {n_positive} features and {n_decoys:.3g} decoys of each draw "
        "score more than 0"
    )


def select_with_decoys(
    fdr, X, y, stratified, sample_weight, n_pairs, random_state, tasks
):
    """Return the fitted attributes of a selection with this rate of false discoveries.

    `tasks` are the number of jobs and what else `run_tasks` needs.
    """
    weights = normalized_weights(sample_weight, len(X))
    strata = number_classes(y) if stratified else np.zeros(len(X), dtype=int)
    classes = strata if stratified and not is_survival(y) else None
    targets = columns_of_target(y, classes, weights)
    if classes is not None and classes.max() == 1:
        targets = targets[:, :1]  # the other one is a multiple
    n_jobs, progress = tasks
    seeds = random_state.randint(2**31 - 1, size=n_draws(X.shape))
    model = DecoyModel(np.asarray(X, dtype=np.float64))
    common = model, np.asfortranarray(targets), weights, strata, n_pairs
    calls = (delayed(score_draw)(*common, seed) for seed in seeds)
    both = np.array(list(run_tasks(calls, n_jobs, *progress)))
    features, decoys = np.split(both, 2, axis=1)
    scores = features.mean(axis=0)
    rates = q_values(scores, decoys)
    kept = rates <= fdr
    n_false = float(rates[kept].max(initial=0.0) * np.count_nonzero(kept))
    return {
        "decoy_scores_": decoys,
        "expected_false_selections_": n_false,
        "q_values_": rates,
        "scores_": scores,
        "threshold_": float(scores[kept].min(initial=np.inf)),
    }


def score_draw(model, targets, weights, strata, n_pairs, seed):
    """Score the columns and one draw of their decoys."""
    random_state = np.random.RandomState(seed)
    both = np.hstack([model.X, model.draw(random_state)])
    # A solver may prefer the first one of equal columns.
    order = random_state.permutation(both.shape[1])
    both = np.asfortranarray(both[:, order])
    pairs = [draw_halves(strata, random_state) for _ in range(n_pairs)]
    halves, max_selected = np.concatenate(pairs), int(STOP_SHARE * len(both))
    counts = count_selections(both, targets, weights, halves, PENALTIES, max_selected)
    shares = np.empty(counts.shape)
    shares[:, order] = counts / len(halves)
    n_selected = shares.sum(axis=1)
    used = max(np.count_nonzero(n_selected <= MAX_SELECTED_SHARE * len(both)), 1)
    return 1.0 / PENALTIES[:used] @ np.maximum(shares[:used] - MIN_SHARE, 0.0) ** 3
