"""Ways to bring the weights of a network to a number of zeros in one training.

A method has hooks, which the training calls in each step and at the end of each epoch.
Their argument is the share of the training that is done.
"""

import math

import numpy as np
import torch

from skproj.nn._sparsify._sparsifier import INTERVAL, LARGEST_SHARE, cubic
from skproj.nn.prune._weight_groups import as_array, project_jointly


def by_magnitude(magnitudes):
    """Compare the weights of all layers by their magnitudes."""
    return magnitudes.__getitem__


class FixedZeros:
    """Train the weights that are not zero; the base class of the other methods.

    Parameters
    ----------
    blocks : list of Block

    Attributes
    ----------
    masks : list of tensor of bool, or None
        Of each weight, where it is not zero; None before the zeros are fixed.
    """

    # Share of the training at which the zeros are fixed.
    fixed_from = 0.0
    # How the weights of different layers are compared, see `Block.thresholds`.
    score = staticmethod(by_magnitude)

    def __init__(self, blocks):
        self.blocks = blocks
        self.masks = None

    def make_optimizer(self, make, parameters):
        """Make the optimizer of all trained parameters."""
        return make(parameters)

    def before_forward(self, done):
        """Bring the weights to those for which the loss is computed."""
        if self.masks is None and done >= self.fixed_from:
            self.fix_zeros()

    def before_update(self, done):
        """Bring the weights to those that the optimizer changes."""

    def after_update(self, done):
        """Set the weights to zero that have to be."""
        if self.masks is not None:
            self._apply(self.masks)

    def after_epoch(self, done):
        """Change the weights once in an epoch."""

    def fix_zeros(self):
        """Keep the weights with the largest scores, exactly as many as wanted."""
        self.masks = [mask for block in self.blocks for mask in block.masks(self.score)]
        self._apply(self.masks)

    def finish(self):
        """Leave each block with its number of weights, however the training ended."""
        if self.masks is None:
            self.fix_zeros()

    def state_dict(self):
        """Return what another instance needs to go on."""
        return {"masks": self.masks}

    def load_state_dict(self, state):
        """Go on from the result of `state_dict`."""
        self.masks = state["masks"]

    def _weights(self):
        return [weight.detach() for block in self.blocks for weight in block.weights]

    def _apply(self, masks):
        for weight, mask in zip(self._weights(), masks, strict=True):
            weight.mul_(mask)


class _Ramp(FixedZeros):
    """A method that decides anew now and then what is removed."""

    _own_state = ("_n_steps", "_last")

    def __init__(self, blocks):
        super().__init__(blocks)
        self._n_steps = 0
        self._last = -math.inf

    def state_dict(self):
        """Return what another instance needs to go on."""
        own = {name: getattr(self, name) for name in self._own_state}
        return super().state_dict() | own

    def load_state_dict(self, state):
        """Go on from the result of `state_dict`."""
        super().load_state_dict(state)
        for name in self._own_state:
            setattr(self, name, state[name])

    def _is_due(self, done):
        """Count a step, and say whether to decide anew."""
        is_due = self._n_steps % INTERVAL == 0 or done - self._last >= LARGEST_SHARE
        self._n_steps += 1
        if is_due:
            self._last = done
        return is_due


class _Thresholds(_Ramp):
    """A method with thresholds that leave fewer and fewer weights."""

    # Share of the training at which the wanted number is left.
    ramp_end = fixed_from = 0.67
    _own_state = (*_Ramp._own_state, "_thresholds")

    def __init__(self, blocks):
        super().__init__(blocks)
        self._thresholds = None

    def _remove_smallest(self, done):
        """Set the weights to zero that do not exceed the thresholds."""
        if self._is_due(done):
            share = cubic(done / self.ramp_end)
            self._thresholds = [
                threshold
                for block in self.blocks
                for threshold in block.thresholds(share, self.score)
            ]
        for weight, threshold in zip(self._weights(), self._thresholds, strict=True):
            weight.mul_(weight.abs() > threshold)


class GradualMagnitude(_Thresholds):
    """Remove the smallest weights little by little; they stay zero."""

    def before_update(self, done):
        """Note what is zero."""
        if self.masks is None:
            self._kept = [weight != 0 for weight in self._weights()]

    def after_update(self, done):
        """Keep the zeros, and remove the smallest weights."""
        super().after_update(done)
        if self.masks is None:
            self._apply(self._kept)
            self._remove_smallest(done)


class ProjectedTraining(FixedZeros):
    """Let a `Sparsifier` make the zeros.

    Parameters
    ----------
    make_sparsifier : callable
        Makes the `Sparsifier` of an optimizer.
    """

    fixed_from = math.inf

    def __init__(self, make_sparsifier):
        self._make_sparsifier = make_sparsifier

    def make_optimizer(self, make, parameters):
        """Make the optimizer of all trained parameters, with hooks."""
        optimizer = make(parameters)
        self._sparsifier = self._make_sparsifier(optimizer)
        super().__init__(self._sparsifier.blocks)
        return optimizer

    def finish(self):
        """Leave the wanted number of weights."""
        self._sparsifier.finalize()

    def state_dict(self):
        """Return what another instance needs to go on."""
        return self._sparsifier.state_dict()

    def load_state_dict(self, state):
        """Go on from the result of `state_dict`."""
        self._sparsifier.load_state_dict(state)


class GradualUnits(_Ramp):
    """Remove units little by little; they do not return.

    Parameters
    ----------
    blocks : list of Block
        The weights to count.
    work : UnitWork
    share : float
        Share of the multiplications that is left in the end.
    n_branches : int
        Number of branches beside shortcuts that are left in the end.
    """

    ramp_end = 0.5
    _own_state = (*_Ramp._own_state, "_kept")

    def __init__(self, blocks, work, share, n_branches):
        super().__init__(blocks)
        self._work = work
        self._share = share
        self._n_branches = n_branches
        self._kept = torch.ones(len(work.is_free), dtype=torch.bool)

    def before_forward(self, done):
        """Leave the weights as they are."""

    def after_update(self, done):
        """Remove units now and then, and keep those from being read."""
        if self._is_due(done):
            self._remove(cubic(done / self.ramp_end))
        self._work.stop_reading(self._kept)

    def finish(self):
        """Remove units until no more than the share is left, and all their weights."""
        self._remove(1.0)
        self._work.erase(self._kept)

    def _remove(self, share):
        left = 1.0 - share * (1.0 - self._share)
        n_gone = round(share * (self._work.n_branches - self._n_branches))
        kept = self._work.keep_branches(
            self._work.n_branches - n_gone, self._kept.numpy()
        )
        self._kept = torch.from_numpy(self._work.keep(left, kept))


class InducedHoyer(FixedZeros):
    """Project the layers to a Hoyer sparsity after each epoch; prune in the end.

    The sparsity is less where it would give too many zeros.
    """

    fixed_from = 0.67
    sparsity = 0.8

    def after_epoch(self, done):
        """Project the layers of each block to a common Hoyer sparsity."""
        if self.masks is not None:
            return
        for block in self.blocks:
            arrays = [
                (layer, as_array(weight))
                for layer, weight in zip(block.layers, block.weights, strict=True)
            ]
            projected = self._project(arrays, self.sparsity, "hoyer")
            if sum(map(np.count_nonzero, projected)) < block.n_kept:
                share = 1.0 - block.n_kept / block.size
                projected = self._project(arrays, share, "zeros")
            for weight, P in zip(block.weights, projected, strict=True):
                weight.detach().copy_(torch.from_numpy(P))

    @staticmethod
    def _project(arrays, sparsity, target):
        projected = project_jointly(
            arrays, sparsity, "layer/filters", target, normalize=False
        )
        return list(projected)


class L1Penalty(FixedZeros):
    """Let the l1 weights of a proximal optimizer grow to their values.

    Parameters
    ----------
    blocks : list of Block
    alphas : sequence of float
        The l1 weight of each block.
    """

    fixed_from = math.inf
    ramp_end = 1 / 3

    def __init__(self, blocks, alphas):
        super().__init__(blocks)
        self._alphas = alphas

    def make_optimizer(self, make, parameters):
        """Make the optimizer with a parameter group for each block."""
        penalised = {id(weight) for block in self.blocks for weight in block.weights}
        groups = [{"params": block.weights} for block in self.blocks]
        others = [weight for weight in parameters if id(weight) not in penalised]
        self._optimizer = make([*groups, {"params": others}] if others else groups)
        return self._optimizer

    def before_update(self, done):
        """Set the l1 weights."""
        share = min(done / self.ramp_end, 1.0)
        groups = self._optimizer.param_groups[: len(self.blocks)]
        for group, alpha in zip(groups, self._alphas, strict=True):
            group["l1"] = share * alpha if math.isfinite(alpha) else alpha

    def finish(self):
        """Leave the number of weights as the penalty has made it."""
