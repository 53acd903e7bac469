"""Evidence that predictions, or single features, are better than chance."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.stats import rankdata

from skproj.linear_model._cox import null_residuals
from skproj.metrics._survival import pairs_of_samples
from skproj.utils._survival import is_survival

# Permutations of the target in the test of single features, and the multiplications
# that it may take: some seconds on one processor.
N_PERMUTATIONS = 999
MAX_PRODUCTS = 2 * 10**11
MAX_BLOCK_ENTRIES = 2**22


@dataclass(frozen=True)
class RankEvidence:
    """How well predictions rank rows, and how far from the mean chance alone takes it.

    The score is the area under the ROC curve, of one class against the rest and
    averaged over the classes; or the rank correlation with a target of numbers; or the
    concordance index of survival times.
    """

    score: float
    variance: float  # if the predictions have nothing to do with the target


def rank_evidence(decisions, y, classes=None, groups=None):
    """Measure how well predictions rank rows that the model was not fitted to.

    The decisions, of shape (n_rows, n_classes), are larger for the likelier class;
    without `classes` they are predicted numbers or risks, of shape (n_rows,). Rows of a
    group are not independent: chance acts on whole groups. None is returned if there is
    nothing to rank: one row, one class, or one value, be it of `y` or of the decisions
    for classes.
    """
    if len(np.unique(y)) < 2:
        return None
    if is_survival(y):
        influence, variance = risk_influence(decisions, y)
        chance = 0.5
    elif classes is None:
        influence = rank_scores(decisions) * rank_scores(y)
        chance, variance = 0.0, 1.0 / (len(y) - 1)
    else:
        influence, variance = class_influence(decisions, y, classes)
        chance = 0.5
    if groups is not None:
        codes = np.unique(groups, return_inverse=True)[1]
        # Each pair of rows is in the terms of both.
        weights = 2.0 * influence if is_survival(y) else influence
        variance = max(variance, np.square(np.bincount(codes, weights)).sum())
    if variance == 0.0:
        return None
    return RankEvidence(float(chance + influence.sum()), float(variance))


def rank_scores(values):
    """Return centred ranks of length 1; zeros if all values are equal."""
    ranks = rankdata(values)
    ranks -= ranks.mean()
    return ranks / max(np.linalg.norm(ranks), 1.0)


def class_influence(decisions, y, classes):
    """Return what each row adds to the area under the curve, and its variance.

    The sum is the mean area over the classes, less one half. The variance is that over
    all permutations of `y`, with ties.
    """
    n_rows = len(y)
    inside = y[:, np.newaxis] == classes
    counts = inside.sum(axis=0)
    there = counts > 0
    inside, counts = inside[:, there], counts[there]
    ranks = rankdata(decisions[:, there], axis=0)
    added = (ranks - ranks.mean(axis=0)) / (counts * (n_rows - counts) * len(counts))
    mean = added @ counts / n_rows
    variance = np.square(added - mean[:, np.newaxis]).sum(axis=0) @ counts
    return added[inside] - mean, variance / (n_rows - 1)


def risk_influence(risk, y):
    """Return what each row adds to the concordance index, and its variance.

    The sum is the index less one half. It is a generalised correlation coefficient, of
    which the variance over all permutations of the risks is known [1]_.

    References
    ----------
    .. [1] H. E. Daniels, "The relation between measures of correlation in the universe
       of sample permutations", Biometrika 33(2), 1944, :doi:`10.1093/biomet/33.2.129`.
    """
    n_rows, time = len(y), y["time"]
    concordant, comparable, _ = pairs_of_samples(y, risk)
    n_pairs = comparable.sum() / 2.0
    if n_pairs == 0.0 or n_rows < 3:
        return np.zeros(n_rows), 0.0
    # A censored row is later than events at the same time.
    seen, censored = time[y["event"]], np.sort(time[~y["event"]])
    n_tied = np.searchsorted(censored, seen, "right") - np.searchsorted(censored, seen)
    earlier = np.zeros(n_rows)
    earlier[y["event"]] = (
        n_rows - np.searchsorted(np.sort(time), seen, "right") + n_tied
    )
    _, n_equal = np.unique(risk, return_counts=True)
    terms = []
    for row_sums, n_unequal in (
        (2.0 * earlier - comparable, 2.0 * n_pairs),
        (2.0 * rankdata(risk) - n_rows - 1.0, n_rows**2 - np.square(n_equal).sum()),
    ):
        terms.append((np.square(row_sums).sum() - n_unequal, n_unequal))
    (order, n_ordered), (ranks, n_ranked) = terms
    variance = 4.0 * order * ranks / (n_rows * (n_rows - 1.0) * (n_rows - 2.0))
    variance += 2.0 * n_ordered * n_ranked / (n_rows * (n_rows - 1.0))
    influence = (2.0 * concordant - comparable) / (4.0 * n_pairs)
    return influence, variance / (4.0 * n_pairs) ** 2


def combine(evidence, n_folds=0):
    """Combine evidence of different rows, each part weighted by its precision.

    If `n_folds` is positive, the parts are that many folds of a cross-validation. Each
    row was in the training parts of the other folds, which makes their scores
    correlated: the variance is corrected as in [1]_.

    References
    ----------
    .. [1] C. Nadeau, Y. Bengio, "Inference for the generalization error", Machine
       Learning 52(3), 2003, :doi:`10.1023/A:1024068626366`.
    """
    if not evidence:
        return None
    precisions = np.array([1.0 / part.variance for part in evidence])
    scores = np.array([part.score for part in evidence])
    total = precisions.sum()
    variance = 1.0 / total
    if n_folds > 1:
        variance *= 1.0 + n_folds / (n_folds - 1.0)
    return RankEvidence(float(precisions @ scores / total), float(variance))


@dataclass(frozen=True)
class Association:
    """Result of `association_test`."""

    p_value: float  # of both statistics together; NaN if the data are too large
    feature: int  # the most strongly associated one
    stands_out: bool  # whether it says more than the sum over all features


def association_test(X, y, classifies, seed):
    """Test whether any features are associated with the target.

    Of the shares of the features' variances that the target explains, the largest
    finds a single strong feature, and the sum finds many weak ones [1]_. The smaller
    of their p-values is compared with that for permuted targets [2]_, which accounts
    for the choice, for the number of features and for their correlations.

    References
    ----------
    .. [1] J. J. Goeman, S. A. van de Geer, F. de Kort, H. C. van Houwelingen, "A
       global test for groups of genes: testing association with a clinical outcome",
       Bioinformatics 20(1), 2004, :doi:`10.1093/bioinformatics/btg382`.
    .. [2] P. H. Westfall, S. S. Young, "Resampling-Based Multiple Testing", Wiley,
       1993.
    """
    n_rows, n_features = X.shape
    if is_survival(y):  # how much earlier than expected an event comes
        y = null_residuals(y, np.full(n_rows, 1.0 / n_rows))
    if classifies:
        targets = (y[:, np.newaxis] == np.unique(y)).astype(np.float64)
    else:
        targets = (y - y.mean())[:, np.newaxis]
    targets = targets / np.linalg.norm(targets, axis=0)
    n_orders = N_PERMUTATIONS + 1
    if n_rows * n_features * targets.shape[1] * n_orders > MAX_PRODUCTS:
        return Association(np.nan, -1, False)
    random_state = np.random.RandomState(seed)
    orders = [np.arange(n_rows)]
    orders += [random_state.permutation(n_rows) for _ in range(N_PERMUTATIONS)]
    largest, total = np.zeros((2, n_orders))
    best, feature = -1.0, -1
    columns = X.tocsc() if sparse.issparse(X) else X
    width = MAX_BLOCK_ENTRIES // n_rows + 1
    for start in range(0, n_features, width):
        block = standardize(columns[:, start : start + width])
        for i, order in enumerate(orders):
            shares = np.square(block @ targets[order]).sum(axis=1)
            largest[i] = max(largest[i], shares.max())
            total[i] += shares.sum()
            if i == 0 and shares.max() > best:
                best, feature = shares.max(), start + int(shares.argmax())
    p_values = np.array([share_as_large(largest), share_as_large(total)])
    smaller = p_values.min(axis=0)
    return Association(
        p_value=float(np.mean(smaller <= smaller[0])),
        feature=feature,
        stands_out=bool(p_values[0, 0] <= p_values[1, 0]),
    )


def means_of_groups(X, y, groups):
    """Return a row for each group, which chance acts on as a whole.

    These are means of the features, and targets; None if targets vary within a group.
    """
    _, first, codes, counts = np.unique(
        groups, return_index=True, return_inverse=True, return_counts=True
    )
    if (y != y[first][codes]).any():
        return None
    entries = 1.0 / counts[codes], (codes, np.arange(len(y)))
    return sparse.csr_matrix(entries) @ X, y[first]


def share_as_large(values):
    """Return for each value the share of all values that are at least as large."""
    # Equal values may differ in the last digits.
    places = np.searchsorted(np.sort(values), values * (1.0 - 1e-9))
    return 1.0 - places / len(values)


def standardize(block):
    """Return columns as rows of mean 0 and length 1, or of zeros."""
    block = block.toarray() if sparse.issparse(block) else block
    block = block.T.astype(np.float64)
    block -= block.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(block, axis=1, keepdims=True)
    # What is left of a constant is rounding.
    block /= np.where(norms > 0.0, norms, 1.0)
    return block


def decisions_of(model, X, classes):
    """Return what rows are ranked by, of shape (n_rows, n_classes) or (n_rows,).

    These are probabilities or the decision function, larger for the likelier class.
    Without `classes` they are the predicted numbers or risks.
    """
    if classes is None:
        return model.predict(X)
    if hasattr(model, "predict_proba"):
        known = model.predict_proba(X)
    else:
        known = model.decision_function(X)
    if known.ndim == 1:
        known = np.column_stack([-known, known])
    if len(model.classes_) == len(classes):
        return known
    # A part of the rows may lack a class.
    decisions = np.full((len(known), len(classes)), known.min() - 1.0)
    decisions[:, np.isin(classes, model.classes_)] = known
    return decisions
