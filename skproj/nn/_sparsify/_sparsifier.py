"""Training of a network to a number of zeros in a training loop of any kind."""

import math
import numbers
from functools import partial

import torch
from sklearn.utils import check_scalar
from torch.nn.functional import hardshrink

from skproj.nn._sparsify import _hoyer
from skproj.nn._sparsify._blocks import (
    local_part,
    parse_pattern,
    part_like,
    targeted_weights,
)
from skproj.nn.functional import projection_n_of_m
from skproj.nn.optim._projected import check_held
from skproj.nn.prune._sparsity_report import sparsity_report
from skproj.utils._choices import check_choice
from skproj.utils._docs import shared_docs

SCORES = ("balanced", "hoyer")

# Shares of the steps after which the wanted number of weights is left, and after which
# it is settled which ones.
RAMP_END, FIXED_FROM = 0.4, 0.8
# The same for weights that are projected to a Hoyer sparsity.
FIXED_FROM_OF_HOYER = 0.67
# Steps between two thresholds, and the share of all steps after which they are computed
# anew in any case.
INTERVAL = 16
LARGEST_SHARE = 0.01
# How evenly the layers keep their weights: 0 compares magnitudes of all layers, 1 gives
# layers of different size nearly the same number of weights.
LAYER_BALANCE = 0.75


def cubic(share):
    """Return the share of the zeros at a share of the ramp, fast at first."""
    return 1.0 - (1.0 - min(share, 1.0)) ** 3


def by_balance(magnitudes):
    """Return scores that can be compared among layers of different scale.

    The score of a weight is its square, divided by a power of the sum of the squares of
    the weights of its layer that are not smaller; see the notes of `Sparsifier`.
    """
    sums = magnitudes.double().square().cumsum(0)
    sums.clamp_(min=torch.finfo(sums.dtype).tiny)
    return lambda part: (
        magnitudes[part].double().square() / sums[part].pow(LAYER_BALANCE)
    )


def by_magnitude(magnitudes):
    """Return scores that compare the weights of all layers by their magnitudes."""
    return magnitudes.__getitem__


@shared_docs()
class Sparsifier:
    r"""Train a network to a share of zeros in a training loop of your own.

    The loop stays as it is: hooks on the steps of the optimizer set more and more
    weights to zero. Removed weights are remembered and trained on, so that they return
    when they have grown [1]_. In the end exactly as many weights are zero as `target`
    says.

    Parameters
    ----------
    module : torch.nn.Module
        Any network without masks, usually trained before; also within
        `torch.compile`, `torch.nn.parallel.DistributedDataParallel` or
        `torch.distributed.fsdp.fully_shard`. It keeps plain parameters.
    optimizer : torch.optim.Optimizer
        Optimizer of the weights; any but `torch.optim.LBFGS`. If a library wraps it, as
        ``accelerator.prepare(module, optimizer)`` does, wrap both before. Its learning
        rates are left alone: schedulers work as usual.
    target : float, dict of str to float, or str, default=0.9
        Share of the weights that shall be zero, between 0 and 1. A dict has a share for
        each of some layers, or parts of the network with all layers in them, by their
        names as in `module.named_modules`; others are not pruned. A pattern such as
        "2:4" leaves 2 of each 4 consecutive weights of a neuron, in the linear layers
        whose number of inputs is a multiple of 4.
    n_steps : int
        Number of steps of the optimizer that the training will have: epochs times
        batches, over the number of batches whose gradients are accumulated.
    layers : iterable of str, default=None
        Names of layers or parts of the network to which a single `target` applies. None
        takes all that `skproj.nn.prune.sparsity_report` lists.
    score : {{"balanced", "hoyer"}}, default="balanced"
        How the weights to keep are chosen: by magnitudes that are balanced among the
        layers, see the notes, or by the group sparse projection [3]_ of the filters of
        each layer to a Hoyer sparsity, to compare with the literature.
    every : int, default=None
        Number of steps between two projections to a Hoyer sparsity of 0.8, for
        instance those of an epoch; the smallest weights are removed after 67 % of
        `n_steps`. None projects the network once, to the Hoyer sparsity with which the
        target is met, as closely as the last weight of each filter allows, and trains
        the weights that are left: single-shot pruning.

    Attributes
    ----------
    n_steps_done : int
        Number of steps so far. More than `n_steps` do no harm.
    masks : dict of str to torch.Tensor, or None
        Where the weights are that are kept, by the names of the parameters; None until
        that is settled.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If `target`, `n_steps`, `score` or `every` is out of range, if a named layer has
        no weights to prune, or if `optimizer` does not hold a weight. Then nothing is
        changed.

    See Also
    --------
    sparsify : The same with a training loop of its own.
    sparsify_units : Makes all weights of neurons and filters zero, to save time.
    register_projection : Keeps weights in a ball, without a number of zeros.

    Notes
    -----
    The share of zeros grows as :math:`1 - (1 - t)^3`, to the target after 40 % of
    `n_steps`; after 80 % the zeros are fixed. A pattern has all its zeros from the
    beginning. Between two steps the weights are the sparse ones, so that evaluation,
    checkpoints of the module and averages of weights see them. Gradients are computed
    at them as well, and change all weights: the hook before a step puts the removed
    weights back, and the hook after it removes the smallest ones again.

    Weights of different layers are compared by

    .. math::

        s_i = w_i^2 \Big/ \Big( \sum_{{|w_j| \ge |w_i|}} w_j^2 \Big)^{{3/4}}

    with a sum over the layer of the weight. An exponent of 0 would compare magnitudes,
    which removes too many weights of layers whose weights are small; 1 is the score of
    layer-adaptive pruning [2]_.

    Steps that `torch.amp.GradScaler` skips do not count, unless the optimizer is a
    fused one, which skips inside of its step. On several processes all need the same
    steps, as they have in data-parallel training. Hooks are in no state of an
    optimizer: to go on from a checkpoint, load the states of the module and of the
    optimizer, make the `Sparsifier` anew, and load its state.

    References
    ----------
    .. [1] T. Lin, S. U. Stich, L. Barba, D. Dmitriev, M. Jaggi, "Dynamic model pruning
       with feedback", International Conference on Learning Representations, 2020,
       :arxiv:`2006.07253`.
    .. [2] J. Lee, S. Park, S. Mo, S. Ahn, J. Shin, "Layer-adaptive sparsity for the
       magnitude-based pruning", International Conference on Learning Representations,
       2021, :arxiv:`2010.07611`.
    .. [3] R. Ohib, N. Gillis, N. Dalmasso, S. Shah, V. K. Potluru, S. Plis, "Explicit
       group sparse projection with applications to deep learning and NMF",
       Transactions on Machine Learning Research, 2022, :arxiv:`1912.03896`.

    Examples
    --------
    >>> import torch
    >>> from torch.nn import functional as F
    >>> from skproj.nn import Sparsifier
    >>> _ = torch.manual_seed(0)
    >>> X = torch.randn(500, 20)
    >>> y = (X[:, 0] * X[:, 1] > 0).long()
    >>> model = torch.nn.Sequential(
    ...     torch.nn.Linear(20, 50), torch.nn.ReLU(), torch.nn.Linear(50, 2)
    ... )
    >>> optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    >>> with Sparsifier(model, optimizer, target=0.9, n_steps=300) as sparsifier:
    ...     for _ in range(300):
    ...         optimizer.zero_grad()
    ...         F.cross_entropy(model(X), y).backward()
    ...         optimizer.step()
    >>> sparsifier.sparsity()
    0.9
    >>> float((model(X).argmax(dim=1) == y).float().mean()) > 0.9
    True
    """

    def __init__(
        self,
        module,
        optimizer,
        target=0.9,
        *,
        n_steps,
        layers=None,
        score="balanced",
        every=None,
    ):
        check_scalar(n_steps, "n_steps", numbers.Integral, min_val=1)
        _check_score(score, every, target)
        module, optimizer = _unwrapped(module), _innermost(optimizer)
        self.blocks = targeted_weights(module, target, layers)
        self._parameters = [W for block in self.blocks for W in block.weights]
        check_held(optimizer, self._parameters, "weights of module")
        names = {id(W): name for name, W in module.named_parameters()}
        self._names = [names[id(W)] for W in self._parameters]
        self._module, self._n_steps = module, int(n_steps)
        self._is_hoyer, self._every = score == "hoyer", every
        self._fixed_from = FIXED_FROM_OF_HOYER if self._is_hoyer else FIXED_FROM
        self._project = None
        if isinstance(target, str):
            n, m = parse_pattern(target)
            self._project = partial(projection_n_of_m, n=n, m=m)
        self.n_steps_done = 0
        self._last = -math.inf  # share of the steps at the last thresholds
        self._thresholds = self._removed = self._masks = None
        self._is_whole = True  # whether the weights are those before the removal
        self._hooks = [
            optimizer.register_step_pre_hook(self._before_step),
            optimizer.register_step_post_hook(self._after_step),
        ]
        if self._is_hoyer and every is None:
            self._fix()
        elif self._project is not None:
            self._remove()

    @property
    def _weights(self):
        return [local_part(W) for W in self._parameters]

    @property
    def masks(self):  # numpydoc ignore=GL08
        if self._masks is None:
            return None
        return dict(zip(self._names, self._masks, strict=True))

    def sparsity(self):
        """Return the share of zeros among the weights at this moment.

        Returns
        -------
        share : float
            Of the weights that have a target.
        """
        n_nonzero = sum(block.count_nonzero() for block in self.blocks)
        return 1.0 - n_nonzero / sum(block.size for block in self.blocks)

    def finalize(self):
        """Leave exactly the wanted number of weights, and remove the hooks.

        Training may go on, but then the zeros do not stay: set the masks by
        `torch.nn.utils.prune.custom_from_mask` for that.

        Returns
        -------
        report : SparsityReport
            The zeros of each layer.
        """
        if self._masks is None:
            self._put_back()
            self._fix()
        self.remove()
        return sparsity_report(self._module)

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
        """Return what another `Sparsifier` needs to go on.

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
        """Go on from the state of another `Sparsifier` of the same network.

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
    def _after_step(self, optimizer, args, kwargs):
        self.n_steps_done += 1
        self._is_whole = True
        if self._masks is not None:
            torch._foreach_mul_(self._weights, self._masks)
            return
        if self._is_hoyer:
            self._project_to_hoyer()
        if self.n_steps_done >= self._fixed_from * self._n_steps:
            self._fix()
        elif not self._is_hoyer:
            self._remove()

    @torch.no_grad()
    def _put_back(self):
        if not self._is_whole:
            torch._foreach_add_(self._weights, self._removed)
            self._is_whole = True

    @torch.no_grad()
    def _remove(self):
        """Set the weights with the smallest scores to zero, and remember them."""
        done = self.n_steps_done / self._n_steps
        if self._project is None and (
            self.n_steps_done % INTERVAL == 1 or done - self._last >= LARGEST_SHARE
        ):
            share, self._last = cubic(done / RAMP_END), done
            self._thresholds = [
                threshold
                for block in self.blocks
                for threshold in block.thresholds(share, by_balance)
            ]
        if self._removed is None:
            self._removed = [torch.empty_like(W) for W in self._weights]
        for i, (W, removed) in enumerate(
            zip(self._weights, self._removed, strict=True)
        ):
            kept = self._kept(i, W)
            torch.sub(W, kept, out=removed)
            W.copy_(kept)
        self._is_whole = False

    @torch.no_grad()
    def _project_to_hoyer(self):
        """Replace the weights by their projection, which does not fix the zeros."""
        if self.n_steps_done % self._every:
            return
        for block in self.blocks:
            projected = _hoyer.project_block(block, _hoyer.LEVEL)
            for W, P in zip(block.weights, projected, strict=True):
                local_part(W).copy_(part_like(P.to(W.device, W.dtype), W))

    def _kept(self, i, W):
        """Return a weight with zeros in the place of its entries to remove."""
        if self._project is not None:
            return self._project(W)
        return hardshrink(W, self._thresholds[i])

    @torch.no_grad()
    def _fix(self):
        """Settle which weights are kept, exactly as many as wanted."""
        if self._project is not None:
            self._masks = [self._project(W) != 0 for W in self._weights]
        else:
            masks = [mask for block in self.blocks for mask in self._masks_of(block)]
            pairs = zip(masks, self._parameters, strict=True)
            self._masks = [part_like(*pair) for pair in pairs]
        self._removed, self._is_whole = None, True
        torch._foreach_mul_(self._weights, self._masks)

    def _masks_of(self, block):
        if not self._is_hoyer:
            return block.masks(by_balance)
        if self._every is not None:
            return block.masks(by_magnitude)
        projected = _hoyer.project_block(block)
        return [
            (P != 0).to(W.device) for P, W in zip(projected, block.weights, strict=True)
        ]


def _check_score(score, every, target):
    check_choice("score", score, SCORES)
    if score == "hoyer" and isinstance(target, str):
        raise ValueError(f"target must be a share for score='hoyer', got {target!r}.")
    if every is not None:
        check_scalar(every, "every", numbers.Integral, min_val=1)
        if score != "hoyer":
            raise ValueError(f"every must be None for score={score!r}, got {every!r}.")


def _unwrapped(module):
    """Return the network in a module that `torch.compile` or DDP has made of it."""
    while isinstance(module, torch.nn.Module):
        if hasattr(module, "_orig_mod"):
            module = module._orig_mod
        elif isinstance(module, torch.nn.parallel.DistributedDataParallel):
            module = module.module
        else:
            break
    return module


def _innermost(optimizer):
    """Return the optimizer that another one or a wrapper calls."""
    while isinstance(
        getattr(optimizer, "optimizer", None), torch.optim.Optimizer
    ):  # of accelerate and Lightning
        optimizer = optimizer.optimizer
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(
            "optimizer must be a torch.optim.Optimizer, "
            f"got {type(optimizer).__name__} instead."
        )
    if isinstance(optimizer, torch.optim.LBFGS):
        raise ValueError(
            "optimizer must make one step from one gradient, which LBFGS does not."
        )
    return optimizer
