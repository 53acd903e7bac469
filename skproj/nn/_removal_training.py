"""Training of a perceptron whose smallest weights are removed little by little."""

from functools import partial

import torch

from skproj.nn._sparsify._blocks import Block
from skproj.nn._training._l1_training import SparseTraining
from skproj.nn.optim._removal import WeightRemoval


class RemovalTraining(SparseTraining):
    """Dense training, and a training to a number of zeros, as that of `Sparsifier`."""

    def reach(self, sparsity):
        """Train until a share of the weights, or of those of each layer, is zero."""
        _, wanted = self._numbers_wanted(sparsity)
        self.trainer = self._train_stage(self.trainer)
        options, data = self.trainer.options, self.trainer.data
        n_steps = options.max_epochs * -(-len(data.train) // options.batch_size)
        make_hook = partial(PerceptronRemoval, wanted=wanted, n_steps=n_steps)
        if self._is_stopped:
            self._hook = make_hook(self.trainer.module)
        else:
            self.trainer = self._train_stage(self.trainer, make_hook)
        self._hook.finalize()


class PerceptronRemoval(WeightRemoval):
    """Removal of weights that also knows which of them have no effect.

    Those that lead into units that feed nothing, or come from units that nothing feeds,
    have no gradient or are no more than a bias, and stand in the way of others.
    `wanted` says how many weights of the network or of each layer shall be left after
    `n_steps`.
    """

    def __init__(self, module, wanted, n_steps):
        layers = [layer for layer in module if isinstance(layer, torch.nn.Linear)]
        parts = [[layer] for layer in layers] if wanted.ndim else [layers]
        blocks = [
            Block("", part, [layer.weight for layer in part], int(n_kept))
            for part, n_kept in zip(parts, wanted.ravel(), strict=True)
        ]
        super().__init__(None, blocks, list(map(str, range(len(layers)))), n_steps)

    before_step = WeightRemoval._put_back
    after_step = WeightRemoval._end_step

    @property
    def is_settled(self):
        """Whether it is known which weights are kept."""
        return self.masks is not None

    def _remove(self):
        last = self._last
        super()._remove()
        if self._last != last:  # new thresholds
            self._clear_idle([W != 0 for W in self._weights], self._removed)

    def _final_masks(self):
        masks = super()._final_masks()
        while self._clear_idle(masks):
            masks = super()._final_masks()
        return masks

    def _clear_idle(self, masks, removed=None):
        """Set weights without effect to zero; return whether there were any.

        They stay where their block has too few others.
        """
        weights = self._weights
        idle = [
            mask & (W != 0)
            for mask, W in zip(idle_weights(masks), weights, strict=True)
        ]
        # Weights that can be kept: those of the network, and those that can return.
        spare = [int(W.count_nonzero()) for W in (*weights, *(removed or ()))]
        place = 0
        for block in self.blocks:
            own = range(place, place + len(block.weights))
            place = own.stop
            n_others = sum(sum(spare[i :: len(idle)]) - int(idle[i].sum()) for i in own)
            if n_others < block.n_kept:
                return False
        for W, mask in zip(weights, idle, strict=True):
            W[mask] = 0.0
        return any(bool(mask.any()) for mask in idle)


def idle_weights(masks):
    """Return where the weights of a perceptron are that have no effect.

    The masks, of shape (n_outputs, n_inputs), are where the weights of each layer are.
    """
    live = [mask.clone() for mask in masks]
    for i in range(len(live) - 1, 0, -1):
        live[i - 1][~live[i].any(dim=0)] = False
    for i in range(1, len(live)):
        live[i][:, ~live[i - 1].any(dim=1)] = False
    return [mask & ~other for mask, other in zip(masks, live, strict=True)]
