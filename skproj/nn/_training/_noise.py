"""Normal noise for the inputs of a training."""

import torch

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
        self._drawn = torch.empty(0)

    def add_(self, X, scale, generator):
        """Add noise of a standard deviation in place.

        Parameters
        ----------
        X : tensor of shape (n_samples, n_features) or (n_groups, n_samples, n_features)
            The groups get the same noise.
        scale : float
        generator : torch.Generator
        """
        shape = X.shape[-2:]
        n, drawn = shape.numel(), self._drawn
        if len(drawn) >= max(MIN_DRAWN, 2 * n) and drawn.dtype == X.dtype:
            start = torch.randint(len(drawn) - n + 1, (), generator=generator)
            signs = torch.randint(2, (shape[0], 1), generator=generator).mul_(2).sub_(1)
            noise = drawn[start : start + n].view(shape)
            X.addcmul_(noise, signs.to(X.dtype), value=scale)
            return
        noise = X.new_empty(shape).normal_(generator=generator)
        if noise.device.type == "cpu":
            self._drawn = torch.cat([drawn.to(noise.dtype), noise.flatten()])
        X.add_(noise, alpha=scale)
