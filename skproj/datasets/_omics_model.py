"""The random model of `make_omics`: samples, genes, and the table of counts."""

from types import SimpleNamespace

import numpy as np
from sklearn.utils import gen_batches

# Standard deviations, on the log scale, of what differs from gene to gene.
SPREAD_OF_MEANS = 1.5
SPREAD_OF_DISPERSIONS = 0.4

# A gene with this mean has twice the dispersion of a gene with a large mean.
MEAN_OF_DOUBLE_DISPERSION = 5.0

# The gamma distribution needs a positive dispersion; this one cannot be told from none.
MIN_DISPERSION = 1e-12

# Beyond any sequencer, and within what can be drawn from a Poisson distribution.
MAX_RATE = 1e15

# Samples are drawn in chunks of about so many entries, which stay in the cache.
MAX_CHUNK_ENTRIES = 2**18


def draw_samples(p, sizes, rng):
    """Draw the properties of the samples; `p` are the parameters of `make_omics`."""
    true_class = rng.permutation(np.repeat(np.arange(p.n_classes), sizes))
    mislabelled = np.zeros(p.n_samples, dtype=bool)
    n_mislabelled = round(p.label_noise * p.n_samples)
    mislabelled[rng.permutation(p.n_samples)[:n_mislabelled]] = True
    target = true_class.copy()
    target[mislabelled] = _other_classes(true_class[mislabelled], p.n_classes, rng)
    spread = p.library_spread
    return SimpleNamespace(
        true_class=true_class,
        target=target,
        mislabelled=mislabelled,
        degree=rng.uniform(1.0 - p.heterogeneity, 1.0, p.n_samples),
        batch=_draw_batches(true_class, p.n_batches, p.batch_confounding, rng),
        library_size=rng.lognormal(-0.5 * spread**2, spread, p.n_samples),
    )


def _other_classes(classes, n_classes, rng):
    """Draw a different class for each."""
    return (classes + rng.integers(1, n_classes, size=classes.size)) % n_classes


def _draw_batches(classes, n_batches, confounding, rng):
    """Draw the batch of each sample; some batches follow from the class."""
    batch = rng.integers(n_batches, size=classes.size)
    confounded = rng.random(classes.size) < confounding
    return np.where(confounded, classes % n_batches, batch)


def draw_genes(p, rng):
    """Draw the properties of the genes; `p` are the parameters of `make_omics`."""
    log_mean = rng.normal(np.log(p.median_count), SPREAD_OF_MEANS, p.n_features)
    mean = np.exp(log_mean)
    dispersion = p.dispersion * (1.0 + MEAN_OF_DOUBLE_DISPERSION / mean)
    dispersion *= rng.lognormal(
        -0.5 * SPREAD_OF_DISPERSIONS**2, SPREAD_OF_DISPERSIONS, p.n_features
    )
    block = np.full(p.n_features, -1)
    in_blocks = rng.permutation(p.n_features)[: p.n_blocks * p.block_size]
    block[in_blocks] = np.arange(in_blocks.size) // p.block_size
    batch_shift = np.zeros((p.n_batches, p.n_features))
    if p.n_batches > 1:
        batch_shift[:] = rng.normal(0.0, p.batch_strength, batch_shift.shape)

    columns = rng.permutation(p.n_features)
    markers, rest = columns[: p.n_markers], columns[p.n_markers :]
    joint_pairs = rest[: 2 * p.n_joint_pairs].reshape(-1, 2)
    log_fold_change = np.zeros((p.n_classes, p.n_features))
    log_fold_change[:, markers] = _draw_effects(
        p.n_classes, p.n_markers, p.shared_fraction, p.effect_size, rng
    )
    joint_sign = _draw_signs(p.n_classes, p.n_joint_pairs, rng)
    # The mean of exp(state * effect_size) is a cosh, in logarithm.
    log_mean[joint_pairs] -= np.logaddexp(p.effect_size, -p.effect_size) - np.log(2.0)

    # With variances multiplied as (1 + common) (1 + own) = 1 + dispersion, the
    # correlation in blocks does not change the variance of a count.
    log_dispersion = np.log1p(dispersion)
    log_common = np.where(block >= 0, p.block_correlation, 0.0) * log_dispersion
    log_mean -= 0.5 * log_common
    own_dispersion = np.maximum(np.expm1(log_dispersion - log_common), MIN_DISPERSION)
    return SimpleNamespace(
        mean=mean,
        dispersion=dispersion,
        block=block,
        batch_shift=batch_shift,
        markers=markers,
        joint_pairs=joint_pairs,
        log_fold_change=log_fold_change,
        joint_sign=joint_sign,
        log_mean=log_mean,
        loading=np.sqrt(log_common),
        own_dispersion=own_dispersion,
    )


def _draw_effects(n_classes, n_markers, shared_fraction, effect_size, rng):
    """Draw the log fold change of each marker in the classes that it marks."""
    markers = np.arange(n_markers)
    change = rng.normal(0.0, effect_size, n_markers)
    marked = markers % n_classes
    effects = np.zeros((n_classes, n_markers))
    effects[marked, markers] = change
    # A marker shared by both of two classes would mark neither.
    if n_classes > 2:
        shared = rng.permutation(markers)[: round(shared_fraction * n_markers)]
        second = _other_classes(marked[shared], n_classes, rng)
        effects[second, shared] = change[shared]
    return effects


def _draw_signs(n_classes, n_pairs, rng):
    """Draw a sign for each class and pair; each pair has both signs."""
    signs = np.tile((-1.0) ** np.arange(n_classes), (n_pairs, 1))
    return rng.permuted(signs, axis=1).T


def draw_counts(p, samples, genes, rng):
    """Draw the table, a few samples at a time."""
    first, second = genes.joint_pairs.T
    X = np.empty((p.n_samples, p.n_features), dtype=p.dtype)
    for rows in gen_batches(p.n_samples, max(1, MAX_CHUNK_ENTRIES // p.n_features)):
        classes, chunk = samples.true_class[rows], X[rows]
        # The last factor is for the genes of block -1, whose loadings are zero.
        factors = rng.standard_normal((len(chunk), p.n_blocks + 1))
        rate = np.take(factors, genes.block, axis=1)
        rate *= genes.loading
        rate += genes.log_mean
        rate += np.log(samples.library_size[rows, np.newaxis])
        rate += genes.batch_shift[samples.batch[rows]]
        rate[:, genes.markers] += (
            samples.degree[rows, np.newaxis]
            * genes.log_fold_change[classes[:, np.newaxis], genes.markers]
        )
        state = p.effect_size * rng.choice([-1.0, 1.0], (len(chunk), p.n_joint_pairs))
        rate[:, first] += state
        rate[:, second] += state * genes.joint_sign[classes]
        np.exp(rate, out=rate)
        rate *= rng.standard_gamma(1.0 / genes.own_dispersion, rate.shape)
        rate *= genes.own_dispersion
        np.minimum(rate, MAX_RATE, out=rate)
        chunk[:] = rng.poisson(rate)
        if p.dropout > 0.0:
            chunk[rng.random(rate.shape) < p.dropout / (p.dropout + rate)] = 0.0
        if not p.counts:
            total = chunk.sum(axis=1, dtype=np.float64, keepdims=True)
            chunk *= genes.mean.sum() / np.maximum(total, 1.0)
            np.log1p(chunk, out=chunk)
    return X
