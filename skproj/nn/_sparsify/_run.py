"""Parts that `sparsify` and `sparsify_units` share."""

import numbers
from functools import partial

import numpy as np
import torch
from sklearn.utils import check_scalar

from skproj._version import __version__
from skproj.nn._sparsify._checkpoint import Checkpoint
from skproj.nn._sparsify._loop import (
    ModuleTrainer,
    clone_state,
    loss_of,
    random_state,
    restore_state,
    set_random_state,
)
from skproj.nn._sparsify._report import SparsifyReport
from skproj.nn.optim import ProximalAdam, ProximalSGD
from skproj.nn.prune._sparsity_report import sparsity_report

PROXIMAL_OPTIMIZERS = (ProximalAdam, ProximalSGD)

LEARNING_RATE = 3e-3

DOCS = {
    "data": """
        loss : callable
            ``loss(module(inputs), target)`` is the mean loss of a batch, for instance
            `torch.nn.functional.cross_entropy`. Not used, and may be None, if `step` is
            given.
        loader : iterable of pair (inputs, target)
            The batches of an epoch, with a length: a `torch.utils.data.DataLoader`, or
            a list. Tensors are moved to the device of the module.
    """,
    "step": """
        step : callable, default=None
            ``step(module, batch)`` returns the loss of a batch of any form. None calls
            the module and `loss`.
    """,
    "optimizer": """
        optimizer : callable, default=None
            Makes the optimizer from parameters, for instance
            ``functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9)``. Its learning
            rate decreases to zero along a half cosine. None is `torch.optim.Adam` with
            a learning rate of 0.003.
    """,
    "report": """
        Returns
        -------
        report : SparsifyReport
            Zeros of each layer before and after, and the history of the training.

        Raises
        ------
        TypeError
            If an argument has the wrong type.
        ValueError
    """,
    "session": """
        callback : callable, default=None
            Called after each epoch with a dict of `training`, `epoch`, `loss` and
            `n_nonzero`; the weights are the sparse ones meanwhile. If it returns True,
            training ends, and the rest is removed at once.
        checkpoint : str or pathlib.Path, default=None
            File that is written after each epoch. If it is there, training goes on from
            it, with the same result as without interruption, as long as the batches
            depend on nothing but PyTorch's global generator or that of the loader. They
            are drawn once more at the beginning. After a change of them, of another
            argument or of the version of skproj, the file is refused.
        verbose : bool, default=False
            Whether to print a line for each epoch.
    """,
}


def run_trainings(
    module, loader, step, train, *, settings, n_epochs, callback, checkpoint, verbose
):
    """Train a network in place, and report; after an error it is as it was.

    Parameters
    ----------
    module : torch.nn.Module
    loader : iterable of batches
    step : callable
        ``step(module, batch)`` returns the loss of a batch.
    train : callable
        Called with a function that makes a `ModuleTrainer` from one that makes an
        optimizer; returns the l1 weights for the report, or None.
    settings : dict
        With the `method`, and all else that has to be the same to go on from a
        checkpoint.
    n_epochs, callback, checkpoint, verbose
        As those of `sparsify`.

    Returns
    -------
    report : SparsifyReport
    """
    check_scalar(n_epochs, "n_epochs", numbers.Integral, min_val=1)
    loss = step.args[0] if getattr(step, "func", None) is loss_of else step
    weights = module.named_parameters()
    settings = {
        **settings,
        "n_epochs": int(n_epochs),
        "module": [[name, list(W.shape), str(W.dtype)] for name, W in weights],
        "loss or step": getattr(loss, "__qualname__", type(loss).__qualname__),
        "the version of skproj": __version__,
    }
    start = {"module": clone_state(module), "random": random_state(loader)}
    saved = Checkpoint(checkpoint, settings, start)
    report_epoch = _reporter(callback, n_epochs, verbose)

    def make_trainer(make_optimizer):
        return ModuleTrainer(
            module, step, make_optimizer, loader, n_epochs, saved, report_epoch
        )

    try:
        restore_state(module, saved.start["module"])
        set_random_state(saved.start["random"], loader)
        saved.check_batches(loader)
        before = sparsity_report(module)
        l1 = train(make_trainer)
    except BaseException:
        restore_state(module, start["module"])
        raise
    finally:
        module.zero_grad()
    history = saved.history
    return SparsifyReport(
        before,
        sparsity_report(module),
        settings["method"],
        {name: np.array([row[name] for row in history]) for name in history[0]},
        l1,
    )


def check_step(loss, step, loader):
    """Return the function that computes the loss of a batch."""
    if step is None:
        if not callable(loss):
            raise TypeError(
                f"loss must be callable unless step is given, got {loss!r}."
            )
        step = partial(loss_of, loss)
    elif not callable(step):
        raise TypeError(f"step must be callable or None, got {step!r}.")
    try:
        n_batches = len(loader)
    except TypeError:
        raise TypeError(
            "loader must be an iterable of batches with a length, got "
            f"{type(loader).__name__} without one."
        ) from None
    if n_batches == 0:
        raise ValueError("loader must have a batch, got none.")
    return step


def check_optimizer(optimizer, module, *, proximal):
    """Return a function that makes optimizers, after a try, and what it makes."""
    if optimizer is None:
        kind = ProximalAdam if proximal else torch.optim.Adam
        return partial(kind, lr=LEARNING_RATE), "the default"
    made = callable(optimizer) and optimizer(
        [W for W in module.parameters() if W.requires_grad]
    )
    if not isinstance(made, torch.optim.Optimizer):
        raise TypeError(
            "optimizer must make an optimizer from parameters, such as "
            f"functools.partial(torch.optim.SGD, lr=0.1), got {optimizer!r}."
        )
    if isinstance(made, torch.optim.LBFGS):
        raise ValueError(
            "optimizer must make one step from one gradient, which LBFGS does not."
        )
    if proximal and not isinstance(made, PROXIMAL_OPTIMIZERS):
        raise ValueError(
            "optimizer must make a ProximalAdam or ProximalSGD for method='l1', "
            f"got {type(made).__name__}."
        )
    return optimizer, f"{type(made).__name__} {sorted(made.defaults.items())}"


def _reporter(callback, n_epochs, verbose):
    """Return what is called after each epoch."""
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be callable or None, got {callback!r}.")

    def report(row):
        if verbose:
            print(
                f"Training {row['training']}, epoch {row['epoch']} of {n_epochs}, "
                f"loss {row['loss']:.6f}, {row['n_nonzero']} nonzero weights"
            )
        return callback is not None and callback(row)

    return report
