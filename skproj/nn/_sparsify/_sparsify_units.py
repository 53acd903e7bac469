"""Training of a network until neurons and channels can be removed."""

import math
import numbers
from functools import partial

import numpy as np
import torch
from sklearn.utils import check_scalar

from skproj.nn._sparsify._blocks import all_weights
from skproj.nn._sparsify._latency import share_of_latency
from skproj.nn._sparsify._loop import DOCS, run_training
from skproj.nn._sparsify._unit_work import UnitWork
from skproj.nn.optim._removal import INTERVAL, LARGEST_SHARE, cubic
from skproj.nn.prune._layers import check_names, modules_in
from skproj.nn.prune._shrink import check_inputs
from skproj.utils._docs import shared_docs

# Share of the training after which no more units are removed.
RAMP_END = 0.5


@shared_docs(**DOCS)
def sparsify_units(
    module,
    loss,
    loader,
    *,
    target=None,
    latency=None,
    round_to=1,
    example_inputs,
    layers=None,
    n_epochs=30,
    optimizer=None,
    step=None,
    callback=None,
    verbose=False,
):
    """Train a network until units with a share of its work are zero.

    A unit is a neuron or a channel.

    Single zeros, as `sparsify` makes them, save time only with special hardware or
    kernels. Here all weights of some units become zero, so that
    :func:`~skproj.nn.prune.shrink` can return a network without them.

    The network should have been trained before. It is changed in place and keeps plain
    weights.

    Parameters
    ----------
    module : torch.nn.Module
        Network that `torch.fx` can trace, without masks. It is trained in the mode that
        it is in, usually ``module.train()``, and on its device.
    {data}
    target : float, default=None
        Share of the multiplications that `shrink` shall save at least, from 0 to less
        than 1, as `ShrinkReport` counts them. Exactly one of `target` and `latency`
        must be given.
    latency : float, default=None
        Time that a forward pass with `example_inputs` shall take at most, as a share of
        that of the module, between 0 and 1. The `target` that is enough is found before
        the training, by measuring smaller copies of the module; see the notes.
    round_to : int, default=1
        The number of units that a layer keeps is a multiple of it, or all of them.
    example_inputs : torch.Tensor or tuple of torch.Tensor
        Arguments of the module, to learn the shapes, and to measure times.
    layers : iterable of str, default=None
        Names, as in `module.named_modules`, of the layers whose outputs may be removed,
        or of parts of the network with all layers in them. None takes all linear and
        convolutional layers.
    {training}

    {report}
        If an argument is out of range, if `torch.fx` cannot trace the network, if its
        units cannot be removed or not enough of them, or if the loss becomes infinite
        or NaN. Then, and after any other error, the module is as it was.

    See Also
    --------
    skproj.nn.prune.shrink : Removes the units.
    sparsify : Makes single weights zero.

    Notes
    -----
    Units are removed little by little until half of the training is done, along a cubic
    ramp [1]_, and do not return. All layers lose the same share of their units, as
    nearly as possible, and keep at least one: the units that go are those that the
    next layers read with the smallest sums of squared weights. Units that meet in a
    sum, as in a residual network, are one; those that `shrink` cannot remove stay, as
    do units next to a frozen layer, and to a convolution with groups unless it is
    depthwise.

    Times are measured in evaluation mode, on the device of the module and with the
    present number of threads: the median of 20 forward passes of a smaller copy is
    compared with that of the module, whose passes alternate with them. Other programs
    change such a ratio by some hundredths, and so the number of units; a second
    measurement after the training may be above `latency` by as much. A network is not
    faster with each unit less, because kernels prefer some sizes: multiples of 8 or 16
    as `round_to` help. Measure with the batches that matter: small ones gain less.

    {gradual_reference}

    Examples
    --------
    >>> import torch
    >>> from torch.nn import functional as F
    >>> from torch.utils.data import DataLoader, TensorDataset
    >>> from skproj.nn import prune, sparsify_units
    >>> _ = torch.manual_seed(0)
    >>> X = torch.randn(500, 20)
    >>> y = (X[:, 0] * X[:, 1] > 0).long()
    >>> loader = DataLoader(TensorDataset(X, y), batch_size=50, shuffle=True)
    >>> model = torch.nn.Sequential(
    ...     torch.nn.Linear(20, 64), torch.nn.ReLU(), torch.nn.Linear(64, 2)
    ... )
    >>> _ = sparsify_units(model, F.cross_entropy, loader, target=0.75,
    ...                    example_inputs=X)
    >>> smaller, report = prune.shrink(model, X)
    >>> smaller[0]
    Linear(in_features=20, out_features=16, bias=True)
    >>> report.after.flops / report.before.flops
    0.25
    """
    if (target is None) == (latency is None):
        raise ValueError("Exactly one of target and latency must be given.")
    name, share = ("latency", latency) if target is None else ("target", target)
    check_scalar(share, name, numbers.Real, min_val=0.0)
    if not share < 1.0:
        raise ValueError(f"{name} must be less than 1, got {share!r}.")
    check_scalar(round_to, "round_to", numbers.Integral, min_val=1)
    if not isinstance(module, torch.nn.Module):
        raise TypeError(
            f"module must be a torch.nn.Module, got {type(module).__name__} instead."
        )
    names = [""] if layers is None else check_names(layers)
    makers = set().union(*modules_in(module, names, "layers").values())
    blocks = all_weights(module)
    inputs = check_inputs(example_inputs)
    work = UnitWork(module, inputs, makers, int(round_to))
    largest = work.largest_share()
    if target is None:
        target = share_of_latency(work, module, inputs, latency, largest)
    elif target > largest:
        around = ", ".join(work.unknown) or "its inputs, outputs and sums"
        raise ValueError(
            f"target must be at most {np.floor(1000 * largest) / 1000} for this "
            f"module, whose units stay around {around}, got {target!r}."
        )
    return run_training(
        module,
        loss,
        loader,
        partial(_UnitSparsifier, blocks=blocks, work=work, target=target),
        n_epochs=n_epochs,
        optimizer=optimizer,
        step=step,
        callback=callback,
        verbose=verbose,
    )


class _UnitSparsifier:
    """Hook on the steps of an optimizer that removes units little by little.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
    n_steps : int
        Of the whole training.
    blocks : list of Block
        The weights to count.
    work : UnitWork
    target : float
        Share of the multiplications that is gone in the end.
    """

    def __init__(self, optimizer, *, n_steps, blocks, work, target):
        self.blocks, self._work, self._target = blocks, work, target
        self._n_steps, self._n_done, self._last = n_steps, 0, -math.inf
        self._kept = torch.ones(len(work.is_free), dtype=torch.bool)
        self._hook = optimizer.register_step_post_hook(self._after_step)

    @torch.no_grad()
    def _after_step(self, optimizer, args, kwargs):
        self._n_done += 1
        done = self._n_done / self._n_steps
        if self._n_done % INTERVAL == 1 or done - self._last >= LARGEST_SHARE:
            self._last = done
            self._remove(cubic(done / RAMP_END))
        self._work.stop_reading(self._kept)

    def _remove(self, share):
        kept = self._work.keep(1.0 - share * self._target, self._kept.numpy())
        self._kept = torch.from_numpy(kept)

    @torch.no_grad()
    def finalize(self):
        """Remove units until no more than the share is left, and all their weights."""
        self._remove(1.0)
        self._work.erase(self._kept)
        self._hook.remove()
