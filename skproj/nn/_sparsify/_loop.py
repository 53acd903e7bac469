"""Training of a network with a loss, data and an optimizer of the user."""

import math
import numbers
from functools import partial

import numpy as np
import torch
from sklearn.utils import check_scalar

from skproj._version import __version__
from skproj.nn._sparsify._report import SparsifyReport
from skproj.nn._training._trainer import DivergedError, learning_rate_factor
from skproj.nn.optim._projected import check_steps
from skproj.nn.prune._sparsity_report import sparsity_report
from skproj.utils._files import check_checkpoint, new_file

LEARNING_RATE = 3e-3
STATE = {"settings", "start", "current", "history", "is_stopped"}

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
        checkpoint : str or pathlib.Path, default=None
            File that is written after each epoch. If it is there, training goes on from
            it, with the same result as without interruption, as long as the batches
            are the same and depend on nothing but PyTorch's global generator or that
            of the loader. After a change of another argument or of the version of
            skproj, the file is refused.
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
    settings,
    n_epochs,
    optimizer,
    step,
    callback,
    checkpoint,
    verbose,
):
    """Train a network in place, and report; after an error it is as it was.

    Parameters
    ----------
    make_sparsifier : callable
        Makes, of an optimizer and the number of its steps, an object with `blocks`,
        `finalize`, `state_dict` and `load_state_dict`, whose hooks on the steps make
        the zeros.
    settings : dict
        What has to be the same to go on from a checkpoint, besides the arguments here.
    module, loss, loader, n_epochs, optimizer, step, callback, checkpoint, verbose
        As those of `sparsify`.

    Returns
    -------
    report : SparsifyReport
    """
    check_scalar(n_epochs, "n_epochs", numbers.Integral, min_val=1)
    step, name = _check_step(loss, step, loader)
    make_optimizer, kind = _check_optimizer(optimizer, module)
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be callable or None, got {callback!r}.")
    weights = module.named_parameters()
    settings |= {
        "optimizer": kind,
        "n_epochs": int(n_epochs),
        "module": [[name, list(W.shape), str(W.dtype)] for name, W in weights],
        "loss or step": name,
        "the version of skproj": __version__,
    }
    start = {"module": clone_state(module), "random": random_state(loader)}
    saved = Checkpoint(checkpoint, settings, start)

    def end_epoch(row):
        saved.history.append(row)
        if verbose:
            print(
                f"Epoch {row['epoch']} of {n_epochs}, loss {row['loss']:.6f}, "
                f"{row['n_nonzero']} nonzero weights"
            )
        saved.is_stopped = callback is not None and bool(callback(dict(row)))

    try:
        restore_state(module, saved.start["module"])
        set_random_state(saved.start["random"], loader)
        before = sparsity_report(module)
        _train(module, step, loader, make_optimizer, make_sparsifier, saved, end_epoch)
    except BaseException:
        restore_state(module, start["module"])
        raise
    finally:
        module.zero_grad()
    history = {
        name: np.array([row[name] for row in saved.history])
        for name in saved.history[0]
    }
    return SparsifyReport(before, sparsity_report(module), history)


def _train(module, step, loader, make_optimizer, make_sparsifier, saved, end_epoch):
    """Train all epochs that are not in the checkpoint, which is written after each."""
    n_epochs, n_batches = saved.settings["n_epochs"], len(loader)
    optimizer = make_optimizer([W for W in module.parameters() if W.requires_grad])
    rates = [group["lr"] for group in optimizer.param_groups]
    n_done = 0
    if saved.current is not None:
        restore_state(module, saved.current["module"])
        n_done = saved.current["n_done"]
    sparsifier = make_sparsifier(optimizer, n_epochs * n_batches)
    if saved.current is not None:
        # A new sparsifier may have changed the weights.
        restore_state(module, saved.current["module"])
        optimizer.load_state_dict(saved.current["optimizer"])
        sparsifier.load_state_dict(saved.current["sparsifier"])
        set_random_state(saved.current["random"], loader)
    for epoch in range(n_done, n_epochs):
        if saved.is_stopped:
            break

        def set_rates(i, epoch=epoch):
            # A loader that yields more than its length does not end later.
            done = epoch * n_batches + min(i, n_batches - 1)
            factor = learning_rate_factor(done, n_epochs * n_batches)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor

        loss = _train_epoch(epoch, module, step, loader, optimizer, set_rates)
        n_nonzero = sum(block.count_nonzero() for block in sparsifier.blocks)
        end_epoch({"epoch": epoch + 1, "loss": loss, "n_nonzero": n_nonzero})
        saved.current = {
            "n_done": epoch + 1,
            "module": _named_tensors(module),
            "optimizer": optimizer.state_dict(),
            "sparsifier": sparsifier.state_dict(),
            "random": random_state(loader),
        }
        saved.write()
    sparsifier.finalize()


def _train_epoch(epoch, module, step, loader, optimizer, set_rates):
    """Take a step for each batch; return the mean loss."""
    device = next(module.parameters()).device
    n_done, total = 0, 0.0
    for batch in loader:
        set_rates(n_done)
        n_done += 1
        optimizer.zero_grad()
        with torch.enable_grad():
            loss = step(module, to_device(batch, device))
            _check_loss(loss)
            loss.backward()
        value = float(loss.detach())
        if not math.isfinite(value):
            raise DivergedError(
                f"The loss is {value} in epoch {epoch + 1}: make optimizer with a "
                "smaller learning rate."
            )
        total += value
        optimizer.step()
    if n_done == 0:
        raise ValueError(f"loader must yield a batch, got none in epoch {epoch + 1}.")
    return total / n_done


# ---------------------------------------------------------------------------
# Checks of the arguments


def _check_step(loss, step, loader):
    """Return the function that computes the loss of a batch, and a name of it."""
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
    given = loss if step is None else step
    name = getattr(given, "__qualname__", type(given).__qualname__)
    return partial(loss_of, loss) if step is None else step, name


def _check_optimizer(optimizer, module):
    """Return a function that makes optimizers, after a try, and what it makes."""
    if optimizer is None:
        return partial(torch.optim.Adam, lr=LEARNING_RATE), "the default"
    made = callable(optimizer) and optimizer(
        [W for W in module.parameters() if W.requires_grad]
    )
    if not isinstance(made, torch.optim.Optimizer):
        raise TypeError(
            "optimizer must make an optimizer from parameters, such as "
            f"functools.partial(torch.optim.SGD, lr=0.1), got {optimizer!r}."
        )
    check_steps(made)
    return optimizer, f"{type(made).__name__} {sorted(made.defaults.items())}"


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


# ---------------------------------------------------------------------------
# States, and the file from which an interrupted call goes on


def clone_state(module):
    """Copy the parameters and buffers of a module, also those that are not saved."""
    return {name: tensor.clone() for name, tensor in _named_tensors(module).items()}


@torch.no_grad()
def restore_state(module, state):
    """Give a module the parameters and buffers of `clone_state`."""
    for name, tensor in _named_tensors(module).items():
        tensor.copy_(state[name])


def _named_tensors(module):
    tensors = dict(module.named_parameters()) | dict(module.named_buffers())
    return {name: tensor.detach() for name, tensor in tensors.items()}


def random_state(loader):
    """Return the state of all generators that a training uses."""
    generator = getattr(loader, "generator", None)
    return {
        "cpu": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "loader": None if generator is None else generator.get_state(),
    }


def set_random_state(state, loader):
    """Continue from the result of `random_state`."""
    torch.set_rng_state(state["cpu"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
    if state["loader"] is not None:
        loader.generator.set_state(state["loader"])


class Checkpoint:
    """State of a training after its last epoch, in a file or not.

    Parameters
    ----------
    path : str, path-like or None
        File to read, if it is there, and to write; None keeps nothing.
    settings : dict
        What has to be the same as in the call that wrote the file.
    start : dict
        State before the training; not used if there is a file.

    Attributes
    ----------
    current : dict or None
        State after the last epoch.
    history : list of dict
        A row for each epoch.
    start : dict
        That of the call that wrote the file.
    is_stopped : bool
        Whether a callback has ended the training.
    """

    def __init__(self, path, settings, start):
        self.settings, self.start = settings, start
        self.current, self.history, self.is_stopped = None, [], False
        self._path = check_checkpoint(path, is_folder=False)
        if self._path is not None and self._path.exists():
            saved = _load(self._path)
            if (old := saved["settings"]) != settings:
                differing = [k for k in settings if old.get(k) != settings[k]]
                raise ValueError(
                    f"checkpoint {path} was written with other values of "
                    f"{', '.join(differing)}: take another file."
                )
            vars(self).update(saved)

    def write(self):
        """Write the file, unless there is none."""
        if self._path is None:
            return
        state = {name: getattr(self, name) for name in STATE}
        with new_file(self._path) as file, file.open("wb") as stream:
            torch.save(state, stream)


def _load(path):
    try:
        saved = torch.load(path, weights_only=True)
    except Exception as error:  # of many kinds, for a file of another program
        raise ValueError(f"checkpoint {path} cannot be read: take another.") from error
    if not isinstance(saved, dict) or saved.keys() != STATE:
        raise ValueError(f"checkpoint {path} is another kind of file: take another.")
    return saved
