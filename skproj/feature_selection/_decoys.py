r"""Decoys: columns that imitate the features without any influence on the target.

The decoy of a feature without influence is exchangeable with it: not even with all the
data does it show which of the two is the feature. A selector that treats both alike is
then as likely to prefer the one as the other. The decoys that are preferred count the
features that are preferred without a reason (model-X knockoffs).

Gaussian decoys of a standardised row x with covariance Sigma are a draw from

    N(x - S Sigma^-1 x, 2 S - S Sigma^-1 S)

for a diagonal matrix S with 0 <= S <= 2 Sigma. Features and decoys together have the
covariance [[Sigma, Sigma - S], [Sigma - S, Sigma]]. All such S are valid. The default
is that of minimal variance-based reconstructability: the trace of the inverse of that
covariance is least, which is, up to a factor, that of S^-1 + (2 Sigma - S)^-1.
"""

import math

import numpy as np
from scipy import linalg, sparse
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.utils import check_array
from sklearn.utils.random import sample_without_replacement

from skproj.utils._features import FEATURE_PARAMETERS
from skproj.utils._moments import mean_and_deviation

DECOYS = ("knockoff", "permuted")

# Of more features S is a multiple of the identity, and there is no array with a row
# and a column for each feature.
MAX_DENSE_FEATURES = 1500
# S is found to this relative accuracy, by at most so many inversions.
S_RTOL = 0.05
S_MAX_ITER = 50
# The shrinkage of Ledoit and Wolf gives the least error of the covariance, but makes
# decoys of too little correlation with the other features, which beat the neighbours of
# informative features too rarely. With this share of it the rate is controlled, also
# for scores that look at one feature at a time. Less shrinkage only costs power.
SHRINKAGE_SHARE = 1.0 / 3.0
# Equal columns have a singular covariance.
MIN_SHRINKAGE = 1e-3


class ColumnsWithDecoys:
    """Data in which each feature has a decoy.

    X : ndarray or CSR matrix of shape (n_samples, 2 * n_features)
        Features and decoys in a random order, because a selector may prefer the first
        one of equal columns.
    """

    def __init__(self, X, kind, random_state, allow_nan):
        is_sparse, gaussian = sparse.issparse(X), kind == "knockoff"
        if is_sparse and gaussian:
            raise ValueError(
                "decoys='knockoff' needs a dense X, because such decoys have no zeros; "
                "use decoys='permuted' for sparse data."
            )
        X = check_array(
            X,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            ensure_all_finite="allow-nan" if allow_nan else True,
            input_name="X",
        )
        decoys = (gaussian_decoys if gaussian else permuted_decoys)(X, random_state)
        self._order = random_state.permutation(2 * X.shape[1])
        stack = sparse.hstack if is_sparse else np.hstack
        both = stack([X, decoys])
        self.X = (both.tocsr() if is_sparse else both)[:, self._order]

    def split(self, columns):
        """Return the part of the features and that of their decoys, in their order.

        The columns are on the last axis of the array, which may be empty.
        """
        if columns.size == 0:
            return columns, columns
        in_order = np.empty_like(columns)
        in_order[..., self._order] = columns
        return np.split(in_order, 2, axis=-1)


def check_exchangeable(estimator, groups):
    """Refuse what tells features from decoys, or samples from each other.

    `estimator` is a selector, or None.
    """
    if groups is not None:
        raise ValueError(
            "fdr needs independent samples: it cannot be combined with groups, because "
            "decoys do not imitate what the samples of a group have in common."
        )
    parameters = {} if estimator is None else estimator.get_params()
    for name, value in parameters.items():
        if name.split("__")[-1] in FEATURE_PARAMETERS and value is not None:
            raise ValueError(
                "fdr needs an estimator that treats features and decoys alike, got "
                f"{name}={value!r}."
            )


def filter_margins(margins, fdr):
    """Return the fitted attributes that follow from the margins over the decoys."""
    rates = smallest_rates(margins)
    return {
        "decoy_margins_": margins,
        "fdr_threshold_": float(np.min(margins[rates <= fdr], initial=np.inf)),
        "smallest_fdr_": rates,
    }


def describe_failure(fdr, margins):
    """Say why no feature is kept."""
    n_above, n_below = np.count_nonzero(margins > 0), np.count_nonzero(margins < 0)
    return (
        f"fdr={fdr:g} needs at least {math.ceil(1.0 / fdr - 1e-9)} features that score "
        "higher than their decoys, and few decoys that score higher than their "
        f"features, got {n_above} and {n_below}"
    )


def smallest_rates(margins):
    """Return the smallest rate of false discoveries at which each feature is kept.

    The knockoff+ filter keeps the features with a margin of at least t. The margin of a
    feature without influence is as often negative as positive: one plus the number of
    margins of at most -t, divided by the number of those kept, estimates the rate. It
    is infinite for margins that are not positive.
    """
    thresholds = np.unique(np.abs(margins[margins != 0]))
    in_order = np.sort(margins)
    n_below = np.searchsorted(in_order, -thresholds, side="right")
    n_kept = len(margins) - np.searchsorted(in_order, thresholds, side="left")
    rates = (1.0 + n_below) / np.maximum(n_kept, 1)
    # Kept at t means kept at all smaller thresholds too.
    rates = np.append(np.minimum.accumulate(rates), np.inf)
    place = np.searchsorted(thresholds, margins, side="right") - 1
    return rates[place]


def permuted_decoys(X, random_state):
    """Return the columns, the entries of each in a random order of its own."""
    if not sparse.issparse(X):
        order = random_state.random_sample(X.shape).argsort(axis=0)
        return np.take_along_axis(X, order, axis=0)
    decoys = X.tocsc(copy=True)
    for start, stop in zip(decoys.indptr[:-1], decoys.indptr[1:], strict=True):
        decoys.indices[start:stop] = sample_without_replacement(
            X.shape[0], stop - start, method="pool", random_state=random_state
        )
    decoys.has_sorted_indices = False
    return decoys.tocsr()


def gaussian_decoys(X, random_state):
    """Return decoys with the means and the shrunken covariance of the features.

    Constant columns are their own decoys.
    """
    n_samples = X.shape[0]
    mean, deviation = mean_and_deviation(X, np.full(n_samples, 1.0 / n_samples))
    varying = np.flatnonzero(deviation > 0.0)
    decoys = X.copy()
    if len(varying) > 0:
        mean, deviation = mean[varying], deviation[varying]
        Z = (X[:, varying] - mean) / deviation
        shrinkage = ledoit_wolf_shrinkage(Z, assume_centered=True)
        shrinkage = max(SHRINKAGE_SHARE * shrinkage, MIN_SHRINKAGE)
        noise = random_state.standard_normal(Z.shape)
        dense = len(varying) <= MAX_DENSE_FEATURES
        draw = _draw_dense if dense else _draw_low_rank
        decoys[:, varying] = mean + deviation * draw(Z, shrinkage, noise)
    return decoys


def _draw_dense(Z, shrinkage, noise):
    covariance = (1.0 - shrinkage) / len(Z) * (Z.T @ Z)
    covariance.flat[:: len(covariance) + 1] += shrinkage
    s = least_reconstructable(covariance)
    projector = linalg.solve(covariance, np.diag(s), assume_a="pos")
    spread = 2.0 * np.diag(s) - s[:, np.newaxis] * projector
    return Z - Z @ projector + noise @ linalg.cholesky(spread)


def _draw_low_rank(Z, shrinkage, noise):
    """Draw with S as the smallest eigenvalue of Sigma, times the identity."""
    n_samples, n_features = Z.shape
    _, singular_values, directions = linalg.svd(Z, full_matrices=False)
    eigenvalues = (1.0 - shrinkage) / n_samples * np.square(singular_values)
    eigenvalues += shrinkage
    # That of what no row of Z contains.
    other = shrinkage if n_samples < n_features else eigenvalues[-1]
    s = min(other, eigenvalues[-1])
    scales, other_scale = (np.sqrt(2.0 * s - s * s / e) for e in (eigenvalues, other))
    along = (Z @ directions.T) * (1.0 - s / eigenvalues)
    along += (noise @ directions.T) * (scales - other_scale)
    return along @ directions + other_scale * noise


def least_reconstructable(covariance):
    """Return the diagonal of S that features and decoys tell least about each other."""
    s = np.full(len(covariance), linalg.eigvalsh(covariance, subset_by_index=[0, 0])[0])
    total, lengths = _reconstructability(covariance, s)
    for _ in range(S_MAX_ITER):
        # Zero at the minimum; elsewhere the total falls in this direction.
        direction = -np.log(s * lengths)
        if np.abs(direction).max() <= S_RTOL:
            break
        previous, step = total, 1.0
        while True:
            trial = s * np.exp(step * direction)
            total, lengths = _reconstructability(covariance, trial)
            if total <= previous:
                break
            step /= 2.0
        s = trial
    return s


def _reconstructability(covariance, s):
    """Return the trace that S minimises, and the row lengths of (2 Sigma - S)^-1."""
    rest = 2.0 * covariance
    rest.flat[:: len(s) + 1] -= s
    try:
        root = linalg.inv(linalg.cholesky(rest))
    except linalg.LinAlgError:  # it is not positive: S is too large
        return np.inf, None
    trace = (1.0 / s).sum() + np.square(root).sum()
    return trace, np.sqrt(np.square(root @ root.T).sum(axis=0))
