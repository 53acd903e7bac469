"""Normal noise for the inputs of a training."""

import torch

# Numbers that are drawn before they are used again. Drawing a number takes longer than
# a training step takes for an entry of the input.
MIN_DRAWN = 1 << 20


class NoiseSource:
    """Standard normal numbers, of which blocks are cut from changing places.

    On a CPU only the first numbers are new ones: `MIN_DRAWN`, and two blocks. Later
    blocks begin at random places among them.
    """

    def __init__(self):
        self._drawn = torch.empty(0)

    def draw(self, like, generator):
        """Return noise of the shape, type and device of a tensor."""
        n = like.numel()
        is_full = len(self._drawn) >= max(MIN_DRAWN, 2 * n)
        if is_full and self._drawn.dtype == like.dtype:
            start = torch.randint(len(self._drawn) - n + 1, (), generator=generator)
            return self._drawn[start : start + n].view(like.shape)
        noise = torch.empty_like(like).normal_(generator=generator)
        if noise.device.type == "cpu":
            self._drawn = torch.cat([self._drawn.to(noise.dtype), noise.flatten()])
        return noise
