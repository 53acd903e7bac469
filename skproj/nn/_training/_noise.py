"""Normal noise for the inputs of a training."""

import torch

from skproj.nn._training._sparse_rows import SparseRows
from skproj.nn._training._tensors import draw_

# Numbers that are drawn before they are used again. Drawing a number takes longer than
# a training step takes for an entry of the input.
MIN_DRAWN = 1 << 20


class NoiseSource:
    """Standard normal numbers, of which blocks are cut from changing places.

    On a CPU only the first numbers are new ones: `MIN_DRAWN`, and two blocks. Later
    blocks begin at random places among them, and each row gets a random sign: without
    it, less of the informative features are found.
    """

    def __init__(self):
        self._drawn, self._n_drawn = [], 0  # blocks, which are joined when enough

    def add_(self, X, scale, generator):
        """Add noise of a standard deviation in place.

        Groups of samples, along the first of three axes, get the same noise.
        `SparseRows` get it in the layer that multiplies them, see `HiddenNoise`.
        """
        if isinstance(X, SparseRows):
            X.noise = self, scale, generator
            return
        shape = X.shape[-2:]
        noise, is_new = self._take(shape, X, generator)
        if is_new:
            X.add_(noise, alpha=scale)
        else:
            X.addcmul_(noise, _signs((shape[0], 1), X, generator), value=scale)

    def columns(self, like, generator):
        """Return noise for a matrix, and the signs that its columns get."""
        noise, _ = self._take(like.shape, like, generator)
        return noise, _signs(like.shape[1:], like, generator)

    def _take(self, shape, like, generator):
        """Return numbers of a shape, and whether they are new."""
        n = shape.numel()
        if self._n_drawn >= max(MIN_DRAWN, 2 * n):
            if len(self._drawn) > 1:
                self._drawn = [torch.cat(self._drawn)]
            (drawn,) = self._drawn
            start = torch.randint(len(drawn) - n + 1, (), generator=generator)
            return drawn[start : start + n].view(shape), False
        noise = draw_(like.new_empty(shape), "normal_", generator=generator)
        if noise.device.type == "cpu":
            self._drawn.append(noise.flatten())
            self._n_drawn += n
        return noise, True


def _signs(shape, like, generator):
    signs = torch.randint(2, shape, generator=generator).mul_(2).sub_(1)
    return signs.to(like.dtype)


# Added to the squared lengths of weights, as a share of their mean: rounding must not
# make a matrix of products indefinite.
MIN_SQUARE_SHARE = 1e-6


class HiddenNoise:
    """Noise on the input, drawn as the sum that it adds to the units of a first layer.

    For noise e of the variance s^2 the units W (x + e) of a network have the noise W e,
    of the covariance s^2 W W'. With W W' = L L' it is drawn as s L u, with standard
    normal u. Given W e, the part dz e' of the gradient of W has the expectation
    s dz u' inv(L) W. The rest of e is independent of W e and orthogonal to the rows
    of W: it adds normal numbers with the standard deviation s |dz| of the unit, less
    their projection on these rows. So x can stay sparse.

    Each unit sees the distribution of noise on the input. The numbers are drawn for
    each network of a group, and those that are orthogonal to W for each unit, while
    noise on the input would be the same for all of them.

    Parameters
    ----------
    weight : tensor of shape (n_units, n_features)
        Of the networks of a group, one below the other.
    n_units : int
        Of one network.
    source : NoiseSource
    scale : float
    generator : torch.Generator
    """

    def __init__(self, weight, n_units, source, scale, generator):
        self._source, self._scale, self._generator = source, scale, generator
        self._networks = -1, n_units
        self._weights = weights = weight.unflatten(0, self._networks)
        squares = (weights @ weights.mT).double()
        diagonal = squares.diagonal(dim1=1, dim2=2)
        least = torch.finfo(weights.dtype).tiny
        diagonal += MIN_SQUARE_SHARE * diagonal.mean(dim=1, keepdim=True) + least
        # Weights that are not finite end the training elsewhere.
        root, _ = torch.linalg.cholesky_ex(squares)
        self._root = root.to(weights.dtype)
        self._drawn = None

    def add_(self, Z):
        """Add the noise of some samples to units of shape (n_units, n_samples)."""
        Z = Z.unflatten(0, self._networks)
        self._drawn = draw_(torch.empty_like(Z), "normal_", generator=self._generator)
        Z.baddbmm_(self._root, self._drawn, alpha=self._scale)

    def add_gradient_(self, gradient, dZ):
        """Add what the noise is to the gradient of the weights.

        The shapes are (n_units, n_features) and, of dZ, (n_units, n_samples).
        """
        noise, signs = self._source.columns(gradient.T, self._generator)
        lengths = signs * torch.linalg.vector_norm(dZ, dim=1)
        seen = noise.T.unflatten(0, self._networks) @ self._weights.mT
        seen *= lengths.unflatten(0, self._networks).unsqueeze(-1)
        products = dZ.unflatten(0, self._networks) @ self._drawn.mT
        products -= _divide(seen, self._root.mT, upper=True)
        factors = _divide(products, self._root, upper=False)
        by_network = gradient.unflatten(0, self._networks)
        by_network += self._scale * factors @ self._weights
        gradient.T.addcmul_(noise, self._scale * lengths)


def _divide(products, root, *, upper):
    """Multiply with the inverse of a triangular matrix from the right."""
    return torch.linalg.solve_triangular(root, products, upper=upper, left=False)
