r"""Decoys: columns that imitate the features without any influence on the target.

The decoy of a feature without influence is exchangeable with it: not even with all the
data does it show which of the two is the feature. A selector that treats both alike is
then as likely to prefer the one as the other (model-X knockoffs).

Gaussian decoys of a standardised row z with covariance Sigma are a draw from

    N(z - S Sigma^-1 z, 2 S - S Sigma^-1 S)

for a diagonal matrix S with 0 <= S <= 2 Sigma. Features and decoys together have the
covariance [[Sigma, Sigma - S], [Sigma - S, Sigma]]. All such S are valid. The one used
is that of minimal variance-based reconstructability: the trace of the inverse of that
covariance is least, which is, up to a factor, that of S^-1 + (2 Sigma - S)^-1.

Here z are normal scores, and the decoy of a column has the entries of the column, in
the order of its Gaussian decoy (Gaussian copula). Where columns have few values, the
correlations of their decoys with others are about a tenth too small. Columns of zeros
and ones with a single one in each row are a category. Its decoy is a category too: the
level whose Gaussian decoy is largest.
"""

import numpy as np
from scipy import linalg
from scipy.special import ndtri
from scipy.stats import rankdata

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
# Steps by which the levels of a category get the frequencies that they have.
LEVEL_STEPS = 50


class DecoyModel:
    """Joint distribution of the columns of an array and their decoys.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Without missing values. Constant columns are their own decoys.
    """

    def __init__(self, X):
        self.X, self.categories = X, find_categories(X)
        # One level follows from the others: the last one.
        implied = [columns[-1] for columns in self.categories]
        varying = np.flatnonzero(X.min(axis=0) < X.max(axis=0))
        self.modelled = np.setdiff1d(varying, implied)
        if len(self.modelled) == 0:
            return
        self.entries = np.sort(X[:, self.modelled], axis=0)
        Z = normal_scores(X[:, self.modelled])
        shrinkage = max(SHRINKAGE_SHARE * shrinkage_of(Z), MIN_SHRINKAGE)
        dense = Z.shape[1] <= MAX_DENSE_FEATURES
        self.gaussian = (DenseDraw if dense else LowRankDraw)(Z, shrinkage)

    def draw(self, random_state):
        """Return an array of decoys."""
        decoys = self.X.copy()
        if len(self.modelled) == 0:
            return decoys
        noise = random_state.standard_normal(self.entries.shape)
        G = self.gaussian.draw(noise)
        decoys[:, self.modelled] = reorder(self.entries, G)
        for columns in self.categories:
            places = np.searchsorted(self.modelled, columns[:-1])
            decoys[:, columns] = draw_levels(self.X[:, columns], G[:, places])
        return decoys


def draw_levels(X, G):
    """Return columns of a category by the Gaussian decoys of all levels but the last.

    The level is that with the largest one, in units of the columns, and shifted so that
    all are as frequent as they are.
    """
    low, high = X.min(axis=0), X.max(axis=0)
    shares = (X == high).mean(axis=0)
    values = np.zeros(X.shape)
    values[:, :-1] = G / G.std(axis=0) * np.sqrt(shares * (1.0 - shares))[:-1]
    values[:, -1] = -values.sum(axis=1)
    values += shares
    for _ in range(LEVEL_STEPS):
        level = values.argmax(axis=1)
        values -= np.bincount(level, minlength=len(shares)) / len(X) - shares
    return np.where(np.arange(len(shares)) == level[:, np.newaxis], high, low)


def find_categories(X):
    """Return the places of neighbouring columns of which each row marks just one.

    These have two values, of which the larger one marks.
    """
    low, high = X.min(axis=0), X.max(axis=0)
    marks = X == high
    binary = (marks | (X == low)).all(axis=0) & (low < high)
    found, start, total = [], 0, np.zeros(len(X), dtype=int)
    for j in range(X.shape[1]):
        total += marks[:, j]
        while total.max() > 1 or (start <= j and not binary[j]):
            total -= marks[:, start]
            start += 1
        if start < j and total.min() == 1:
            found.append(np.arange(start, j + 1))
            start, total = j + 1, np.zeros_like(total)
    return found


def normal_scores(X):
    """Return normal quantiles of the mean ranks, standardised."""
    scores = ndtri((rankdata(X, axis=0) - 0.5) / len(X))
    scores -= scores.mean(axis=0)
    return scores / scores.std(axis=0)


def shrinkage_of(Z):
    """Return the shrinkage of Ledoit and Wolf for standardised columns.

    With fewer rows than columns, no array has a row and a column for each column.
    """
    n_samples, n_features = Z.shape
    gram = Z @ Z.T if n_samples < n_features else Z.T @ Z
    squares = np.square(gram).sum() / n_samples**2
    distance = squares - n_features
    lengths = np.square(Z).sum(axis=1)
    error = (np.square(lengths).sum() / n_samples - squares) / n_samples
    return min(error / distance, 1.0) if distance > 0.0 else 1.0


def reorder(entries, like):
    """Return sorted columns in the order of the entries of other ones."""
    out = np.empty_like(entries)
    np.put_along_axis(out, np.argsort(like, axis=0), entries, axis=0)
    return out


class DenseDraw:
    """Gaussian decoys with an array that has a row for each column."""

    def __init__(self, Z, shrinkage):
        covariance = (1.0 - shrinkage) / len(Z) * (Z.T @ Z)
        covariance.flat[:: len(covariance) + 1] += shrinkage
        s = least_reconstructable(covariance)
        projector = linalg.solve(covariance, np.diag(s), assume_a="pos")
        spread = 2.0 * np.diag(s) - s[:, np.newaxis] * projector
        self.mean, self.root = Z - Z @ projector, linalg.cholesky(spread)

    def draw(self, noise):
        """Return a draw; `noise` is standard normal."""
        return self.mean + noise @ self.root


class LowRankDraw:
    """Gaussian decoys with S as the smallest eigenvalue of Sigma, times identity."""

    def __init__(self, Z, shrinkage):
        n_samples, n_features = Z.shape
        square = min(Z.shape) == n_samples
        gram = Z @ Z.T if square else Z.T @ Z
        values, vectors = linalg.eigh(gram)
        kept = values > 1e-10 * values[-1]
        values, vectors = values[kept], vectors[:, kept]
        if square:
            vectors = Z.T @ (vectors / np.sqrt(values))
        self.directions = vectors.T
        eigenvalues = (1.0 - shrinkage) / n_samples * values + shrinkage
        # That of what no row of Z contains.
        complete = len(values) == n_features
        other = eigenvalues.min() if complete else shrinkage
        s = min(other, eigenvalues.min())
        scales, self.other_scale = (
            np.sqrt(2.0 * s - s * s / e) for e in (eigenvalues, other)
        )
        self.scales = scales - self.other_scale
        self.mean = Z - s * ((Z @ vectors) / eigenvalues) @ self.directions

    def draw(self, noise):
        """Return a draw; `noise` is standard normal."""
        along = (noise @ self.directions.T) * self.scales
        return self.mean + along @ self.directions + self.other_scale * noise


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
