"""Training of a network to a number of zeros in a training loop of any kind."""

from __future__ import annotations

import numbers
from functools import partial
from typing import Any

import torch
from sklearn.utils import check_scalar

from skproj._typing import Integer, Number
from skproj.nn._sparsify import _hoyer
from skproj.nn._sparsify._blocks import (
    by_magnitude,
    group_blocks,
    parse_pattern,
    targeted_weights,
)
from skproj.nn.functional import projection_n_of_m
from skproj.nn.optim._projected import check_held, check_optimizer, check_steps
from skproj.nn.optim._removal import WeightRemoval
from skproj.nn.prune._sparsity_report import sparsity_report
from skproj.nn.prune._weights import local_part, part_like
from skproj.utils._choices import check_choice
from skproj.utils._docs import shared_docs

SCORES = ("balanced", "hoyer")
# Share of the steps after which the zeros are settled of weights that are projected to
# a Hoyer sparsity.
FIXED_FROM_OF_HOYER = 0.67


@shared_docs()
class Sparsifier(WeightRemoval):
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
    groups : {{"inputs", "units"}} or dict of str to str, default=None
        Whether weights are removed one by one, or with all others that read the same
        input of a layer, or make the same output. `target` is then the share of the
        groups of each layer. A dict has names of layers whose inputs are removed, each
        with the ball whose projections choose them, such as "bilevel_l1inf"; the
        default is "l12", with which the groups with the largest l2 norms are kept.
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
    blocks : list
        The weights, or groups of them, that share a target.

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
    The share of zeros grows as :math:`1 - (1 - t)^3`, to the target after 30 % of
    `n_steps`; after 50 % the zeros are fixed. A pattern has all its zeros from the
    beginning. Of `groups` the share grows in proportion to the steps, until 60 % of
    them, they are fixed after 80 %, and those that are removed shrink by a factor
    :math:`e^5` in `n_steps`, so that noise does not bring them back. Between two steps
    the weights are the sparse ones, so that evaluation, checkpoints of the module and
    averages of weights see them. Gradients are computed at them as well, and change all
    weights: the hook before a step puts the removed weights back, and the hook after it
    removes the smallest ones again.

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
        module: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        target: Number | str = 0.9,
        *,
        n_steps: Integer,
        layers: Any = None,
        groups: str | None = None,
        score: str = "balanced",
        every: Integer | None = None,
    ) -> None:
        check_scalar(n_steps, "n_steps", numbers.Integral, min_val=1)
        _check_score(score, every, target, groups)
        module, optimizer = _unwrapped(module), _innermost(optimizer)
        if groups is None:
            blocks = targeted_weights(module, target, layers)
        else:
            blocks = group_blocks(module, target, layers, groups)
        parameters = [W for block in blocks for W in block.weights]
        check_held(optimizer, parameters, "weights of module")
        names = {id(W): name for name, W in module.named_parameters()}
        super().__init__(optimizer, blocks, [names[id(W)] for W in parameters], n_steps)
        self._module = module
        self._is_hoyer, self._every = score == "hoyer", every
        if self._is_hoyer:
            self.fixed_from = FIXED_FROM_OF_HOYER
        self._project = None
        if isinstance(target, str):
            n, m = parse_pattern(target)
            self._project = partial(projection_n_of_m, n=n, m=m)
        if self._is_hoyer and every is None:
            self._fix()
        elif self._project is not None:
            self._remove()

    def finalize(self):
        """Leave exactly the wanted number of weights, and remove the hooks.

        Training may go on, but then the zeros do not stay: set the masks by
        `torch.nn.utils.prune.custom_from_mask` for that.

        Returns
        -------
        report : SparsityReport
            The zeros of each layer.
        """
        super().finalize()
        return sparsity_report(self._module)

    @torch.no_grad()
    def _remove(self):
        if self._is_hoyer:
            self._project_to_hoyer()
        elif self._project is not None:
            self._keep([self._project] * len(self._parameters))
        else:
            super()._remove()

    def _project_to_hoyer(self):
        """Replace the weights by their projection now and then; they can return."""
        if self.n_steps_done % self._every:
            return
        for block in self.blocks:
            projected = _hoyer.project_block(block, _hoyer.LEVEL)
            for W, P in zip(block.weights, projected, strict=True):
                local_part(W).copy_(part_like(P.to(W.device, W.dtype), W))

    def _final_masks(self):
        if self._project is not None:
            return [self._project(W) != 0 for W in self._weights]
        if self._is_hoyer and self._every is None:
            masks = [
                (P != 0).to(W.device)
                for block in self.blocks
                for P, W in zip(_hoyer.project_block(block), block.weights, strict=True)
            ]
        elif self._is_hoyer:
            masks = [m for block in self.blocks for m in block.masks(by_magnitude)]
        else:
            masks = super()._final_masks()
        pairs = zip(masks, self._parameters, strict=True)
        return [part_like(*pair) for pair in pairs]


def _check_score(score, every, target, groups):
    check_choice("score", score, SCORES)
    if groups is not None and (score == "hoyer" or isinstance(target, str)):
        raise ValueError(
            f"groups must be None for a pattern and for score='hoyer', got {groups!r}."
        )
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
    check_optimizer(optimizer)
    check_steps(optimizer)
    return optimizer
