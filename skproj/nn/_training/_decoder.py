"""Last stage of the training of an autoencoder: the decoder alone."""

import numpy as np
import torch

from skproj.nn._training._block_samples import BlockSamples
from skproj.nn._training._coordinates import dense_columns

# Bound of the entries of the samples that the decoder is fitted to, unless that are
# less than the second number of samples. Of those in blocks, a window is enough.
MAX_DECODER_ENTRIES, MIN_DECODER_SAMPLES = 1 << 24, 256

# Ridge penalties to choose from, in units of the largest squared singular value.
RIDGES = torch.logspace(-6, 1, 15, dtype=torch.float64)

# Steps that turn least squares into the least Huber loss. They converge linearly; the
# rest is less than what the choice of the penalty changes.
HUBER_STEPS = 5


@torch.no_grad()
def fit_decoder(module, samples, places, *, units, has_free_shift, is_fitted=False):
    """Fit the decoder to an encoder whose predictions do not change.

    1. Probabilities of a softmax do not depend on a number that is added to all logits.
       Where there is such a freedom, it is used: the mean of the logits becomes the
       direction of the features that the logits explain least.
    2. The last layer of the decoder gets the least Huber loss, with a ridge penalty
       chosen by generalised cross-validation; the other layers keep their random
       weights. The loss is that of features of unit variance.

    Parameters
    ----------
    module : Autoencoder
        Changed in place. It takes the features in the units that they have in X.
    samples : Samples or BlockSamples
        Of the training.
    places : ndarray of int
        Columns of the samples that the network takes.
    units : Units or None
        Of these columns.
    has_free_shift : bool
        Whether the code are the logits of a softmax.
    is_fitted : bool
        Whether there is a decoder, of which only the errors are wanted.

    Returns
    -------
    errors : ndarray of shape (n_columns,)
        Mean squared error of each feature, in its units.
    """
    X, weight = _training_rows(samples, places)
    X = X if units is None else units.restore(X)
    share = (weight / weight.sum()).double().unsqueeze(1)
    module.eval()
    if is_fitted:
        squares = (module(X)[1] - X).double().square()
        return (share * squares).sum(dim=0).cpu().numpy()
    largest = X.abs().amax(dim=0).double().clamp(min=torch.finfo(torch.float64).tiny)
    Y = X / largest  # whose squares do not overflow
    mean = (share * Y).sum(dim=0)
    spread = (share * (Y - mean).square()).sum(dim=0).sqrt()
    scale = torch.where(spread > 0.0, spread, 1.0)
    Y = (Y - mean) / scale
    mean, scale = mean * largest, scale * largest

    if has_free_shift:
        _use_free_shift(module.encoder, X, Y, share)
    hidden, last = module.decoder[:-1](module.encoder(X)), module.decoder[-1]
    slope, offset = _ridge(hidden, Y, share, n_huber_steps=HUBER_STEPS)
    last.weight.copy_((slope * scale).T)
    last.bias.copy_(mean + offset * scale)
    errors = (
        scale
        * (share * (hidden.double() @ slope + offset - Y).square()).sum(dim=0).sqrt()
    )
    return (errors**2).cpu().numpy()


def _training_rows(samples, places):
    """Return the columns of some samples, dense, with the weights."""
    n_rows = max(MIN_DECODER_SAMPLES, MAX_DECODER_ENTRIES // max(1, len(places)))
    if isinstance(samples, BlockSamples):
        samples, places = samples.keep_columns(places), np.arange(len(places))
    if isinstance(samples, BlockSamples):  # still too many: those that come first
        n_rows = min(n_rows, max(MIN_DECODER_SAMPLES, samples.window_rows))
        n_rows = min(n_rows, len(samples))
        return samples.first(n_rows), samples.weight[:n_rows]
    step = -(-len(samples) // n_rows)
    index = torch.arange(0, len(samples), step, device=samples.rows.device)
    return dense_columns(samples, index, places), samples.weight[index]


def _use_free_shift(encoder, X, Y, share):
    """Make the mean of the logits the main part of what the others do not explain."""
    hidden, last = encoder[:-1](X), encoder[-1]
    last.weight -= last.weight.mean(dim=0)
    last.bias -= last.bias.mean()
    logits = last(hidden)
    slope, offset = _ridge(logits, Y, share)
    rest = (Y - logits.double() @ slope - offset) * share.sqrt()
    # The first principal component, from the smaller Gram matrix.
    if rest.shape[1] > len(rest):
        component = torch.linalg.eigh(rest @ rest.T).eigenvectors[:, -1]
    else:
        component = rest @ torch.linalg.eigh(rest.T @ rest).eigenvectors[:, -1]
    slope, offset = _ridge(hidden, component.unsqueeze(1) / share.sqrt(), share)
    spread = _deviation(hidden.double() @ slope)
    if spread > 0.0:
        factor = _deviation(logits) / spread
        last.weight += (factor * slope.T).to(last.weight)
        last.bias += (factor * offset).to(last.bias)


def _deviation(A):
    return (A - A.mean(dim=0)).square().mean().sqrt()


def _ridge(A, Y, share, *, n_huber_steps=0):
    """Return slope and offset of a ridge regression in float64.

    Each of the further steps replaces residuals beyond 1 by 1: the fixed point has the
    least Huber loss.
    """
    A, root = A.double(), share.sqrt()
    mean_A, mean_Y = (share * A).sum(dim=0), (share * Y).sum(dim=0)
    U, sizes, V = torch.linalg.svd((A - mean_A) * root, full_matrices=False)
    parts = U.T @ ((Y - mean_Y) * root)
    total = (share * (Y - mean_Y).square()).sum()
    squares = sizes.square()
    tiny = torch.finfo(torch.float64).tiny
    kept = squares / (
        squares + squares.amax().clamp(min=tiny) * RIDGES.to(Y).unsqueeze(1)
    )
    explained = (kept * (2.0 - kept)) @ parts.square().sum(dim=1)
    freedom = (1.0 - (1.0 + kept.sum(dim=1)) / len(A)).clamp(min=1e-3)
    kept = kept[((total - explained) / freedom**2).argmin()]
    factors = (kept / sizes.clamp(min=tiny)).unsqueeze(1)
    slope = V.T @ (factors * parts)
    offset = mean_Y - mean_A @ slope
    for _ in range(n_huber_steps):
        fit = A @ slope + offset
        target = fit + (Y - fit).clamp(-1.0, 1.0)
        mean = (share * target).sum(dim=0)
        slope = V.T @ (factors * (U.T @ ((target - mean) * root)))
        offset = mean - mean_A @ slope
    return slope, offset
