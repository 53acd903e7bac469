"""Trainings of a network with a loss, data and an optimizer of the user."""

import math

import torch

from skproj.nn._training._trainer import DivergedError, learning_rate_factor


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


def loss_of(loss, module, batch):
    """Return the loss of a batch of inputs and targets."""
    if not isinstance(batch, list | tuple) or len(batch) != 2:
        raise ValueError(
            "loader must yield pairs (inputs, target) unless step is given, got "
            f"{type(batch).__name__} instead."
        )
    inputs, target = batch
    return loss(module(inputs), target)


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


class ModuleTrainer:
    """Trains a network in place, once or several times, for the same number of epochs.

    Parameters
    ----------
    module : torch.nn.Module
    step : callable
        ``step(module, batch)`` returns the loss of a batch.
    make_optimizer : callable
        Makes an optimizer from parameters or from groups of them.
    loader : iterable of batches
        With a length.
    n_epochs : int
        Length of a training.
    checkpoint : Checkpoint
        Where an interrupted training goes on.
    callback : callable
        Called with a row of the history after each epoch, when the weights are those of
        which the loss was computed. No other epoch is trained if it returns True.

    Attributes
    ----------
    history : list of dict
        A row for each epoch: `training` and `epoch`, counted from 1, the mean `loss`
        and the number of weights that are not zero, `n_nonzero`.
    """

    def __init__(
        self, module, step, make_optimizer, loader, n_epochs, checkpoint, callback
    ):
        self.history = checkpoint.history
        self._module = module
        self._step = step
        self._loader = loader
        self._make_optimizer = make_optimizer
        self._n_epochs = n_epochs
        self._checkpoint = checkpoint
        self._callback = callback
        self._n_trainings = 0
        self._random_state = random_state(loader)

    @property
    def is_stopped(self):
        """Whether the callback has ended the training, now or before a resumption."""
        return self._checkpoint.is_stopped

    def run(self, method):
        """Train with a method of `_methods`; each time with the same random numbers."""
        self._n_trainings += 1
        saved = self._checkpoint
        if self._n_trainings <= len(saved.finished):
            restore_state(self._module, saved.finished[self._n_trainings - 1])
            return
        set_random_state(self._random_state, self._loader)
        parameters = [W for W in self._module.parameters() if W.requires_grad]
        optimizer = method.make_optimizer(self._make_optimizer, parameters)
        first_rates = [group["lr"] for group in optimizer.param_groups]
        n_done = self._resume(method, optimizer) if saved.current else 0
        for epoch in range(n_done, self._n_epochs):
            if self.is_stopped:
                break
            self._train_epoch(epoch, method, optimizer, first_rates)
            saved.current = {
                "n_done": epoch + 1,
                "module": _named_tensors(self._module),
                "optimizer": optimizer.state_dict(),
                "method": method.state_dict(),
                "random": random_state(self._loader),
            }
            saved.write()
        method.finish()
        saved.finish_training(self._module)

    def _resume(self, method, optimizer):
        """Go on from the checkpoint; return the number of epochs that are done."""
        current = self._checkpoint.current
        restore_state(self._module, current["module"])
        optimizer.load_state_dict(current["optimizer"])
        method.load_state_dict(current["method"])
        set_random_state(current["random"], self._loader)
        return current["n_done"]

    def _train_epoch(self, epoch, method, optimizer, first_rates):
        device = next(self._module.parameters()).device
        n_batches, n_done, total = len(self._loader), 0, 0.0
        for batch in self._loader:
            # A loader that yields more than its length does not end later.
            step = epoch * n_batches + min(n_done, n_batches - 1)
            n_done += 1
            n_steps = self._n_epochs * n_batches
            for group, rate in zip(optimizer.param_groups, first_rates, strict=True):
                group["lr"] = rate * learning_rate_factor(step, n_steps)
            method.before_forward(step / n_steps)
            optimizer.zero_grad()
            with torch.enable_grad():
                loss = self._step(self._module, to_device(batch, device))
                _check_loss(loss)
                loss.backward()
            value = float(loss.detach())
            if not math.isfinite(value):
                raise DivergedError(
                    f"The loss is {value} in epoch {epoch + 1}: make optimizer with a "
                    "smaller learning rate."
                )
            total += value
            method.before_update(step / n_steps)
            optimizer.step()
            method.after_update((step + 1) / n_steps)
        if n_done == 0:
            raise ValueError(
                f"loader must yield a batch, got none in epoch {epoch + 1}."
            )
        done = (epoch + 1) / self._n_epochs
        method.after_epoch(done)
        self._record(epoch + 1, total / n_done, method, done)

    def _record(self, epoch, loss, method, done):
        method.before_forward(done)
        row = {
            "training": self._n_trainings,
            "epoch": epoch,
            "loss": loss,
            "n_nonzero": sum(block.count_nonzero() for block in method.blocks),
        }
        self.history.append(row)
        if self._callback(dict(row)):
            self._checkpoint.is_stopped = True
        method.before_update(done)
