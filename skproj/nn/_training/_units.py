"""Standardisation of the features of a training, and networks in other units."""

import copy
from typing import NamedTuple

import numpy as np
import torch

from skproj.blocks import RowBlocks
from skproj.utils._moments import BlockMoments, mean_and_deviation, normalized_weights

# Precision of means and deviations, relative to these.
DIGITS = 2.0**-24


def largest_entry(dtype):
    """Return the largest size of entries whose units float numbers can change."""
    return np.finfo(dtype).max ** 0.75


class Units(NamedTuple):
    """Means and deviations of features: a training sees ``(X - mean) / scale``."""

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of_samples(cls, X, rows, weight):
        """Return the weighted moments of some rows, in the order of these.

        Constant columns are centred only. Blocks are read in a pass.
        """
        shares = normalized_weights(weight, len(rows))
        if isinstance(X, RowBlocks):
            moments, of_rows = BlockMoments(), np.zeros(X.shape[0])
            of_rows[rows] = shares
            for start, block in X:
                present = of_rows[start : start + block.shape[0]] > 0.0
                if present.any():
                    part = of_rows[start : start + block.shape[0]][present]
                    moments.add(block if present.all() else block[present], part)
            mean, deviation = moments.mean_and_deviation()
        else:
            mean, deviation = mean_and_deviation(X[rows], shares)
        constant = deviation < 1.0 / largest_entry(X.dtype)
        # Rounded: the order in which sums were computed shall not change a network.
        digits, exponents = np.frexp(np.where(constant, 1.0, deviation))
        scale = np.ldexp(np.round(digits / DIGITS) * DIGITS, exponents)
        rounded = np.round(mean / (DIGITS * scale)) * (DIGITS * scale)
        mean = np.where(constant | ~np.isfinite(rounded), mean, rounded)
        return cls(mean.astype(X.dtype), scale.astype(X.dtype))

    def spread(self, columns, n_features):
        """Return the units of all features, of which these are some."""
        mean, scale = np.zeros((2, n_features), dtype=self.mean.dtype)
        scale += 1.0
        mean[columns], scale[columns] = self
        return Units(mean, scale)

    def of(self, columns):
        """Return the units of some of the features."""
        return Units(self.mean[columns], self.scale[columns])

    def standardize(self, X):
        """Return samples, a tensor, in the units of the training."""
        mean, scale = self._tensors(X)
        return X.sub(mean).div_(scale)

    def restore(self, X):
        """Undo `standardize`."""
        mean, scale = self._tensors(X)
        return X.mul(scale).add_(mean)

    def fold(self, module):
        """Return a copy of an autoencoder of these features that takes raw ones."""
        return self._change(module, self.mean.astype(np.float64) / self.scale, False)

    def unfold(self, module):
        """Return a copy of one that takes raw features for standardised ones."""
        return self._change(module, -self.mean.astype(np.float64), True)

    def _tensors(self, like):
        return (torch.from_numpy(values).to(like) for values in self)

    @torch.no_grad()
    def _change(self, module, shift, multiply):
        module = copy.deepcopy(module)
        first, last = module.encoder[0], module.decoder[-1]
        mean, scale = self._tensors(first.weight.double())
        shift = torch.from_numpy(shift).to(scale)
        moved = (first.weight.double() * shift).sum(dim=1)
        first.bias.copy_(first.bias.double() - moved)
        if multiply:
            first.weight.copy_(first.weight.double() * scale)
            last.bias.copy_((last.bias.double() - mean) / scale)
            last.weight.copy_(last.weight.double() / scale.unsqueeze(1))
        else:
            first.weight.copy_(first.weight.double() / scale)
            last.bias.copy_(last.bias.double() * scale + mean)
            last.weight.copy_(last.weight.double() * scale.unsqueeze(1))
        return module
