"""Training of a network with a loss, data and an optimizer of the user."""

import math
import numbers
from functools import partial

import numpy as np
import torch
from sklearn.utils import check_scalar

from skproj.nn._sparsify._report import SparsifyReport
from skproj.nn._training._trainer import DivergedError, learning_rate_factor
from skproj.nn.optim._projected import check_steps
from skproj.nn.prune._sparsity_report import sparsity_report

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
    "training": """
        n_epochs : int, default=30
            Length of the training.
        optimizer : callable, default=None
            Makes the optimizer from parameters, for instance
            ``functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9)``. Its learning
            rate decreases to zero along a half cosine. None is `torch.optim.Adam` with
            a learning rate of 0.003.
        step : callable, default=None
            ``step(module, batch)`` returns the loss of a batch of any form. None calls
            the module and `loss`.
        callback : callable, default=None
            Called after each epoch with a dict of `epoch`, `loss` and `n_nonzero`; the
            weights are the sparse ones meanwhile. If it returns True, training ends,
            and the rest is removed at once.
        verbose : bool, default=False
            Whether to print a line for each epoch.
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
}


def run_training(
    module,
    loss,
    loader,
    make_sparsifier,
    *,
    n_epochs,
    optimizer,
    step,
    callback,
    verbose,
):
    """Train a network in place, and report; after an error it is as it was.

    `make_sparsifier` makes, of an optimizer and `n_steps`, an object with `blocks` and
    `finalize`, whose hooks on the steps make the zeros. The other arguments are those
    of `sparsify`.
    """
    check_scalar(n_epochs, "n_epochs", numbers.Integral, min_val=1)
    step = _check_step(loss, step, loader)
    optimizer = _make_optimizer(optimizer, module)
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be callable or None, got {callback!r}.")
    start = {name: tensor.clone() for name, tensor in _named_tensors(module).items()}
    history = []

    def end_epoch(row):
        history.append(row)
        if verbose:
            print(
                f"Epoch {row['epoch']} of {n_epochs}, loss {row['loss']:.6f}, "
                f"{row['n_nonzero']} nonzero weights"
            )
        return callback is not None and bool(callback(dict(row)))

    try:
        before = sparsity_report(module)
        sparsifier = make_sparsifier(optimizer, n_steps=n_epochs * len(loader))
        _train(module, step, loader, optimizer, sparsifier, n_epochs, end_epoch)
        sparsifier.finalize()
    except BaseException:
        with torch.no_grad():
            for name, tensor in _named_tensors(module).items():
                tensor.copy_(start[name])
        raise
    finally:
        module.zero_grad()
    history = {name: np.array([row[name] for row in history]) for name in history[0]}
    return SparsifyReport(before, sparsity_report(module), history)


def _named_tensors(module):
    """Return the parameters and buffers of a module, also those that are not saved."""
    tensors = dict(module.named_parameters()) | dict(module.named_buffers())
    return {name: tensor.detach() for name, tensor in tensors.items()}


def _train(module, step, loader, optimizer, sparsifier, n_epochs, end_epoch):
    """Train until the last epoch, or until `end_epoch` returns true."""
    n_batches, device = len(loader), next(module.parameters()).device
    rates = [group["lr"] for group in optimizer.param_groups]
    for epoch in range(n_epochs):
        losses = []
        for batch in loader:
            # A loader that yields more than its length does not end later.
            done = epoch * n_batches + min(len(losses), n_batches - 1)
            factor = learning_rate_factor(done, n_epochs * n_batches)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            optimizer.zero_grad()
            with torch.enable_grad():
                loss = step(module, to_device(batch, device))
                _check_loss(loss)
                loss.backward()
            losses.append(float(loss.detach()))
            if not math.isfinite(losses[-1]):
                raise DivergedError(
                    f"The loss is {losses[-1]} in epoch {epoch + 1}: make optimizer "
                    "with a smaller learning rate."
                )
            optimizer.step()
        if not losses:
            raise ValueError(
                f"loader must yield a batch, got none in epoch {epoch + 1}."
            )
        loss = sum(losses) / len(losses)
        n_nonzero = sum(block.count_nonzero() for block in sparsifier.blocks)
        if end_epoch({"epoch": epoch + 1, "loss": loss, "n_nonzero": n_nonzero}):
            return


# ---------------------------------------------------------------------------
# Checks of the arguments


def _check_step(loss, step, loader):
    """Return the function that computes the loss of a batch."""
    if step is None and not callable(loss):
        raise TypeError(f"loss must be callable unless step is given, got {loss!r}.")
    if step is not None and not callable(step):
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
    return partial(loss_of, loss) if step is None else step


def _make_optimizer(make, module):
    """Return the optimizer of the parameters that are trained."""
    parameters = [W for W in module.parameters() if W.requires_grad]
    if make is None:
        return torch.optim.Adam(parameters, lr=LEARNING_RATE)
    made = make(parameters) if callable(make) else None
    if not isinstance(made, torch.optim.Optimizer):
        raise TypeError(
            "optimizer must make an optimizer from parameters, such as "
            f"functools.partial(torch.optim.SGD, lr=0.1), got {make!r}."
        )
    check_steps(made)
    return made


def _check_loss(loss):
    """Refuse what has no gradient."""
    if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
        got = tuple(loss.shape) if isinstance(loss, torch.Tensor) else loss
        raise TypeError(
            f"loss or step must return a tensor of one number, got {got!r}."
        )
    if not loss.requires_grad:
        raise ValueError(
            "loss or step must return a tensor with a gradient, got one without."
        )


def loss_of(loss, module, batch):
    """Return the loss of a batch of inputs and targets."""
    if not isinstance(batch, list | tuple) or len(batch) != 2:
        raise ValueError(
            "loader must yield pairs (inputs, target) unless step is given, got "
            f"{type(batch).__name__} instead."
        )
    inputs, target = batch
    return loss(module(inputs), target)


def to_device(batch, device):
    """Move the tensors in nested lists, tuples and dictionaries to a device."""
    if isinstance(batch, torch.Tensor):
        return batch.to(device)
    if isinstance(batch, dict):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(to_device(value, device) for value in batch))
    if isinstance(batch, list | tuple):
        return type(batch)(to_device(value, device) for value in batch)
    return batch
