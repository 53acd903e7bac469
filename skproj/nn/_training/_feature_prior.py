"""Factors of the features by what each of them says about the target."""

import math

import numpy as np
import torch
from scipy import sparse

# Largest power of the F statistic's root, and the number of features per sample from
# which it holds; with as many features as samples the power is 0.
PRIOR_POWER = 0.6
FEATURES_PER_SAMPLE = 10

# Bounds of the ratio of variances, and of the root of the statistic over its mean.
MAX_VARIANCE_RATIO = 1e4
SMALLEST_FACTOR = 0.02

# Entries that are converted to float64 at once.
MAX_BLOCK_ENTRIES = 1 << 22


def prior_power(n_features, n_samples):
    """Return the power: few samples say little about features together."""
    share = math.log(max(1.0, n_features / n_samples)) / math.log(FEATURES_PER_SAMPLE)
    return PRIOR_POWER * min(1.0, share)


def feature_prior(samples, weight):
    """Compute a factor for each group of samples and each feature.

    It is a power of the F statistic of the feature, between classes or of the
    regression on the targets: where there are far more features than samples, it is the
    only thing that is well estimated. It is 1 where there are as many samples as
    features. The weights have the shape (n_groups, n_samples).
    """
    n_features = samples.X.shape[1]
    n_samples = int((weight > 0).sum(axis=1).max())
    power = prior_power(n_features, n_samples)
    if power == 0.0:
        return np.ones((len(weight), n_features))
    ratios = np.sqrt(variance_ratios(samples, weight))
    mean = ratios.mean(axis=1, keepdims=True)
    relative = np.divide(ratios, mean, out=np.ones_like(ratios), where=mean > 0)
    return np.maximum(relative, SMALLEST_FACTOR) ** power


def variance_ratios(samples, weight):
    """Compute explained over unexplained variance, in proportion to the F statistics.

    Returns an array of shape (n_groups, n_features).
    """
    design = design_matrix(samples.y)
    shares = weight / weight.sum(axis=1, keepdims=True)
    # The directions of the target among the samples, orthonormal under the weights.
    directions = [target_directions(design, share) for share in shares]
    rows = samples.rows.cpu().numpy()
    X = samples.X.tocsc() if sparse.issparse(samples.X) else samples.X
    ratios = np.empty((len(weight), X.shape[1]))
    width = max(1, MAX_BLOCK_ENTRIES // len(rows))
    for start in range(0, X.shape[1], width):
        block = slice(start, start + width)
        part = X[:, block]
        if sparse.issparse(part):
            part = part[rows].toarray()
        else:
            part = part.cpu().numpy()[rows]
        part = part.astype(np.float64)
        part -= part.mean(axis=0)
        largest = np.abs(part).max(axis=0)
        part /= np.where(largest > 0, largest, 1.0)  # squares do not overflow
        means = shares @ part
        total = np.maximum(shares @ part**2 - means**2, 0.0)
        for group, direction in enumerate(directions):
            explained = np.minimum(((direction @ part) ** 2).sum(axis=0), total[group])
            rest = total[group] - explained
            ratios[group, block] = explained / np.maximum(
                rest, explained / MAX_VARIANCE_RATIO + np.finfo(np.float64).tiny
            )
    return ratios


def design_matrix(y):
    """Return the targets, or indicators of the classes, of shape (n_samples, n)."""
    if y.is_floating_point():
        return y.cpu().numpy().astype(np.float64)
    return torch.nn.functional.one_hot(y).cpu().numpy().astype(np.float64)


def target_directions(design, share):
    """Return vectors d with ``sum((d @ x) ** 2)`` the variance that targets explain.

    The shares of the samples have the sum 1.
    """
    root = np.sqrt(share)[:, np.newaxis]
    centred = root * (design - share @ design)
    vectors, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    return (vectors[:, sizes > 1e-10 * sizes[0]] * root).T
