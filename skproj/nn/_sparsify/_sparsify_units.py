"""Training of a network until neurons, channels and heads can be removed."""

import numbers

import numpy as np
import torch
from sklearn.utils import check_scalar

from skproj.nn._sparsify._blocks import all_weights
from skproj.nn._sparsify._methods import GradualUnits
from skproj.nn._sparsify._run import (
    DOCS,
    check_optimizer,
    check_step,
    run_trainings,
)
from skproj.nn._sparsify._unit_work import UnitWork
from skproj.nn.prune._layers import check_names, modules_in
from skproj.nn.prune._shrink import check_inputs
from skproj.utils._docs import shared_docs


@shared_docs(**DOCS)
def sparsify_units(
    module,
    loss,
    loader,
    *,
    target,
    example_inputs,
    layers=None,
    branches=0.0,
    n_epochs=30,
    optimizer=None,
    step=None,
    callback=None,
    checkpoint=None,
    verbose=False,
):
    """Train a network until units with a share of its work are zero.

    A unit is a neuron, a channel, or a head of attention.

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
    target : float
        Share of the multiplications that `shrink` shall save at least, from 0 to less
        than 1, as `ShrinkReport` counts them, and of those of recurrent layers.
    example_inputs : torch.Tensor or tuple of torch.Tensor
        Arguments of the module, to learn the shapes.
    layers : iterable of str, default=None
        Names, as in `module.named_modules`, of the layers whose outputs may be removed,
        or of parts of the network with all layers in them. None takes all linear,
        convolutional, recurrent and embedding layers, and attention.
    branches : float, default=0.0
        Share of the branches beside shortcuts that are removed altogether, between 0
        and 1. Each takes several calls, which is most of the time of small inputs.
    n_epochs : int, default=30
        Length of the training.
    {optimizer}
    {step}
    {session}

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
    next layers, or the output projections of attention, read with the smallest sums of
    squared weights. Units that meet in a sum, as in a residual network, are one; those
    that `shrink` cannot remove stay, as do units next to a frozen layer, and to a
    convolution with groups unless it is depthwise. The branches that go are those with
    the smallest outputs, by the weights of their last layer, or of the normalisation
    behind it.

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
    check_scalar(target, "target", numbers.Real, min_val=0.0)
    if isinstance(branches, bool | np.bool_):
        raise TypeError(f"branches must be a number, got {branches!r}.")
    check_scalar(branches, "branches", numbers.Real)
    if not 0.0 <= branches <= 1.0:
        raise ValueError(f"branches must be between 0 and 1, got {branches!r}.")
    if not target < 1.0:
        raise ValueError(f"target must be less than 1, got {target!r}.")
    if not isinstance(module, torch.nn.Module):
        raise TypeError(
            f"module must be a torch.nn.Module, got {type(module).__name__} instead."
        )
    names = [""] if layers is None else check_names(layers)
    makers = set().union(*modules_in(module, names, "layers").values())
    blocks = all_weights(module)
    work = _make_work(module, check_inputs(example_inputs), makers, target)
    n_branches = work.n_branches - round(branches * work.n_branches)
    step = check_step(loss, step, loader)
    make_optimizer, kind = check_optimizer(optimizer, module, proximal=False)

    def train(make_trainer):
        method = GradualUnits(blocks, work, 1.0 - target, n_branches)
        make_trainer(make_optimizer).run(method)

    return run_trainings(
        module,
        loader,
        step,
        train,
        settings={
            "method": "gradual",
            "optimizer": kind,
            "target": float(target),
            "layers": names,
            "branches": n_branches,
        },
        n_epochs=n_epochs,
        callback=callback,
        checkpoint=checkpoint,
        verbose=verbose,
    )


@torch.no_grad()
def _make_work(module, inputs, makers, target):
    """Return the `UnitWork` of a network, of which enough can be removed."""
    work = UnitWork(module, inputs, makers)
    everything = np.ones(len(work.is_free), bool)
    total, least = work.count(everything), work.count(work.keep(0.0, everything))
    largest = 1.0 - least / total if total > 0 else 0.0
    if target > largest:
        raise ValueError(
            f"target must be at most {np.floor(1000 * largest) / 1000} for this "
            f"module, of which no more work can be removed, got {target!r}."
        )
    return work
