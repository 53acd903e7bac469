"""Hooks that remove weights little by little, and let them return until late."""

import math
from functools import partial
from typing import NamedTuple

import torch

from skproj.nn.prune._weights import is_distributed, local_part

# Shares of the steps after which the wanted number is left, and after which it is
# settled what that is.
RAMP_END, FIXED_FROM = 0.3, 0.5
# Groups are removed more slowly, and at a constant pace: a wrong one costs more.
GROUP_RAMP_END, GROUP_FIXED_FROM = 0.6, 0.8
# How much removed groups shrink in a whole training, as the logarithm of a factor. Adam
# moves them as far by noise as by a small gradient: only those that grow steadily
# shall return.
GROUP_DECAY = 5.0
# Steps between two thresholds, and the share of all steps after which they are computed
# anew in any case.
INTERVAL = 16
LARGEST_SHARE = 0.01
# Orders of the norms by which projections onto balls choose groups: a projection whose
# radius leaves k groups leaves those with the largest norms.
GROUP_NORMS = {
    "bilevel_l1inf": math.inf,
    "bilevel_l12": 2,
    "bilevel_l11": 1,
    "l12": 2,
    "l1inf": 1,
}
BALL_OF_GROUPS = "l12"  # unless another is given


def cubic(share):
    """Return the share of the zeros at a share of the ramp, fast at first."""
    return 1.0 - (1.0 - min(share, 1.0)) ** 3


class WeightGroups(NamedTuple):
    """Groups of the entries of a weight, some of which are left in the end.

    Attributes
    ----------
    weight : torch.nn.Parameter
    dims : tuple of int
        Along which a group runs.
    ball : str
        A key of `GROUP_NORMS`.
    n_kept : int
        How many groups are left in the end.
    """

    weight: torch.nn.Parameter
    dims: tuple
    ball: str
    n_kept: int

    @property
    def weights(self):
        """Return the weight in a list."""
        return [self.weight]

    @property
    def size(self):
        """Number of the groups."""
        return self.weight.numel() // math.prod(self.weight.shape[d] for d in self.dims)

    def count_nonzero(self):
        """Count the groups that are not zero."""
        return int(self._norms(self.weight.detach()).count_nonzero())

    def thresholds(self, share):
        """Return the norm up to which groups are removed at a share of the way."""
        n_removed = round(share * (self.size - self.n_kept))
        if n_removed == 0:
            return [-1.0]
        norms = self._norms(self.weight.detach()).flatten()
        return [float(norms.kthvalue(n_removed).values)]

    def keep(self, W, threshold):
        """Return a weight without the groups whose norms are no larger."""
        return W * (self._norms(W) > threshold)

    def masks(self):
        """Return where the entries of the largest groups are, in a list."""
        W = self.weight.detach()
        norms = self._norms(W)
        mask = torch.zeros_like(norms, dtype=torch.bool)
        mask.view(-1)[norms.flatten().topk(self.n_kept).indices] = True
        return [mask.expand_as(W)]

    def _norms(self, W):
        order = GROUP_NORMS[self.ball]
        return torch.linalg.vector_norm(W, order, dim=self.dims, keepdim=True)


def check_not_distributed(weight):
    """Refuse a weight of which a process may have parts of groups only."""
    if is_distributed(weight):
        raise ValueError("groups of weights must be on one process, got a DTensor.")


class WeightRemoval:
    """Hooks on the steps of an optimizer that set more and more weights to zero.

    Removed weights are remembered and trained on: the hook before a step puts them
    back, and the hook after it removes the smallest ones again.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer or None
        None leaves it to a subclass to call `_put_back` and `_end_step`.
    blocks : list
        Objects with `weights`, `thresholds(share)`, `keep(W, threshold)`, `masks()`,
        `size`, `n_kept` and `count_nonzero()`.
    names : list of str
        Of the weights of all blocks.
    n_steps : int
        Of the whole training.

    Attributes
    ----------
    n_steps_done : int
        Number of steps so far. More than `n_steps` do no harm.
    """

    fixed_from = FIXED_FROM

    def __init__(self, optimizer, blocks, names, n_steps):
        self.blocks, self._names, self._n_steps = blocks, names, int(n_steps)
        self._parameters = [W for block in blocks for W in block.weights]
        self._keepers = [block.keep for block in blocks for _ in block.weights]
        self._by_group = isinstance(blocks[0], WeightGroups)
        if self._by_group:
            self.fixed_from = GROUP_FIXED_FROM
        self._decay = math.exp(-GROUP_DECAY / self._n_steps)  # of removed groups
        self.n_steps_done = 0
        self._last = -math.inf  # share of the steps at the last thresholds
        self._thresholds = self._removed = self._masks = None
        self._is_whole = True  # whether the weights are those before the removal
        self._hooks = []
        if optimizer is not None:
            self._hooks = [
                optimizer.register_step_pre_hook(self._before_step),
                optimizer.register_step_post_hook(lambda *_: self._end_step()),
            ]

    @property
    def _weights(self):
        return [local_part(W) for W in self._parameters]

    @property
    def masks(self):  # numpydoc ignore=GL08
        if self._masks is None:
            return None
        return dict(zip(self._names, self._masks, strict=True))

    def sparsity(self):
        """Return the share of zeros among the weights, or groups, at this moment.

        Returns
        -------
        share : float
            Of the weights that have a target.
        """
        n_nonzero = sum(block.count_nonzero() for block in self.blocks)
        return 1.0 - n_nonzero / sum(block.size for block in self.blocks)

    def finalize(self):
        """Leave exactly the wanted number, and remove the hooks."""
        if self._masks is None:
            self._put_back()
            self._fix()
        self.remove()

    def remove(self):
        """Remove the hooks, and leave the weights as they are."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if kind is None:
            self.finalize()
        else:
            self.remove()

    def state_dict(self):
        """Return what another object of the same kind needs to go on.

        Returns
        -------
        state : dict
            For `torch.save` and `load_state_dict`.
        """
        return {
            "n_steps_done": self.n_steps_done,
            "last": self._last,
            "thresholds": self._thresholds,
            "removed": self._named(self._removed),
            "masks": self.masks,
        }

    def load_state_dict(self, state_dict):
        """Go on from the state of another object for the same network.

        Parameters
        ----------
        state_dict : dict
            Result of `state_dict`, with the weights of the module as they were.
        """
        known = self.state_dict().keys()
        if not isinstance(state_dict, dict) or state_dict.keys() != known:
            raise ValueError(
                f"state_dict must be the result of state_dict, with {', '.join(known)}."
            )
        removed = self._checked(state_dict["removed"])
        masks = self._checked(state_dict["masks"])
        self.n_steps_done = state_dict["n_steps_done"]
        self._last = state_dict["last"]
        self._thresholds = state_dict["thresholds"]
        self._removed, self._masks = removed, masks
        self._is_whole = removed is None

    def _named(self, tensors):
        return tensors and dict(zip(self._names, tensors, strict=True))

    def _checked(self, tensors):
        """Return tensors by name as a list, on the devices of the weights."""
        if tensors is None:
            return None
        shapes = [(name, W.shape) for name, W in self._named(self._weights).items()]
        if shapes != [(name, tensor.shape) for name, tensor in tensors.items()]:
            raise ValueError(
                "state_dict must be of a network with the same weights, got "
                f"{', '.join(tensors)}."
            )
        return [
            tensor.to(W.device)
            for W, tensor in zip(self._weights, tensors.values(), strict=True)
        ]

    @torch.no_grad()
    def _before_step(self, optimizer, args, kwargs):
        """Put the removed weights back, but not while a closure is called."""
        self._put_back()
        place = "closure" if "closure" in kwargs else 1
        closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
        if closure is None or self._removed is None:
            return None

        def at_sparse_weights():
            removed = self._removed
            with torch.no_grad():
                # One of the two is zero: sums and differences are exact.
                torch._foreach_sub_(self._weights, removed)
            self._is_whole = False
            loss = closure()
            self._put_back()
            return loss

        if place == "closure":
            return args, kwargs | {"closure": at_sparse_weights}
        return (args[0], at_sparse_weights, *args[2:]), kwargs

    @torch.no_grad()
    def _put_back(self):
        if not self._is_whole:
            torch._foreach_add_(self._weights, self._removed)
            self._is_whole = True

    @torch.no_grad()
    def _end_step(self):
        self.n_steps_done += 1
        self._is_whole = True
        if self._masks is not None:
            torch._foreach_mul_(self._weights, self._masks)
        elif self.n_steps_done >= self.fixed_from * self._n_steps:
            self._fix()
        else:
            self._remove()

    @torch.no_grad()
    def _remove(self):
        """Set the smallest weights to zero, and remember them."""
        done = self.n_steps_done / self._n_steps
        if self.n_steps_done % INTERVAL == 1 or done - self._last >= LARGEST_SHARE:
            share, self._last = cubic(done / RAMP_END), done
            if self._by_group:
                share = min(done / GROUP_RAMP_END, 1.0)
            blocks = self.blocks
            self._thresholds = [t for block in blocks for t in block.thresholds(share)]
        keepers = [
            partial(keep, threshold=threshold)
            for keep, threshold in zip(self._keepers, self._thresholds, strict=True)
        ]
        self._keep(keepers)

    def _keep(self, keepers):
        """Leave of each weight what a function returns, and remember the rest."""
        if self._removed is None:
            self._removed = [torch.empty_like(W) for W in self._weights]
        for W, removed, keep in zip(self._weights, self._removed, keepers, strict=True):
            kept = keep(W)
            torch.sub(W, kept, out=removed)
            if self._by_group:
                removed.mul_(self._decay)
            W.copy_(kept)
        self._is_whole = False

    def _final_masks(self):
        """Return where the weights are that are left in the end."""
        return [mask for block in self.blocks for mask in block.masks()]

    @torch.no_grad()
    def _fix(self):
        """Settle which weights are kept, exactly as many as wanted."""
        self._masks = self._final_masks()
        self._removed, self._is_whole = None, True
        torch._foreach_mul_(self._weights, self._masks)
