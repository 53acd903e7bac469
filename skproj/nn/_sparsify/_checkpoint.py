"""File from which an interrupted call goes on."""

import hashlib
from collections.abc import Mapping

import numpy as np
import torch

from skproj.nn._sparsify._loop import clone_state, random_state, set_random_state
from skproj.utils._files import check_checkpoint, new_file

STATE = {"settings", "start", "finished", "current", "history", "is_stopped"}


class Checkpoint:
    """Trainings that are finished, and the state of the current one.

    Parameters
    ----------
    path : str, path-like or None
        File to read, if it is there, and to write; None keeps nothing.
    settings : dict
        What has to be the same as in the call that wrote the file.
    start : dict
        Parameters and buffers, and states of random generators, before the first
        training; not used if there is a file.

    Attributes
    ----------
    finished : list of dict
        Parameters and buffers of the network after each training.
    current : dict or None
        State of the current training, after its last epoch.
    history : list of dict
        A row for each epoch.
    start : dict
        That of the call that wrote the file.
    is_stopped : bool
        Whether a callback has ended the training.

    Raises
    ------
    ValueError
        If the file is of a call with other settings.
    """

    def __init__(self, path, settings, start):
        self.settings, self.start = settings, start
        self.finished, self.current, self.history = [], None, []
        self.is_stopped = False
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

    def check_batches(self, loader):
        """Raise an error if the batches of a loader are not those of the checkpoint."""
        if self._path is not None:
            random = random_state(loader)
            self.start["batches"] = _check_digest(
                lambda: set_random_state(random, loader) or loader,
                self.start.get("batches"),
                f"checkpoint {self._path} was written with other batches of loader: "
                "take another file.",
            )
            set_random_state(random, loader)

    def finish_training(self, module):
        """Add the network to those of the finished trainings."""
        self.current = None
        if self._path is not None:
            self.finished.append(clone_state(module))
            self.write()

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


def _check_digest(draw, known, sentence):
    """Return the digest of what is drawn; a ValueError if it is not the known one.

    What differs each time cannot be compared.
    """
    found = _digest(draw())
    if known not in (None, found) and _digest(draw()) == found:
        raise ValueError(sentence)
    return found


def _digest(value):
    """Return a digest of arrays, tensors and other values in nested containers."""
    total = hashlib.blake2b(digest_size=16)
    _update(total, value)
    return total.hexdigest()


def _update(total, value):
    """Add a value to a digest."""
    if isinstance(value, Mapping):
        value = [part for pair in value.items() for part in pair]
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().to_dense()
        value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    if isinstance(value, np.ndarray) and value.dtype != object:
        total.update(f"{value.dtype.str} {value.shape}".encode())
        total.update(np.ascontiguousarray(value))
    elif isinstance(value, str | bytes | int | float | None):
        total.update(repr(value).encode())
    elif hasattr(value, "__iter__"):
        total.update(b"[")
        for part in value:
            _update(total, part)
        total.update(b"]")
    else:  # such as an object without contents that can be seen
        total.update(type(value).__qualname__.encode())
