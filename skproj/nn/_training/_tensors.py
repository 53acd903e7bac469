"""Threads, devices and types of tensors.

PyTorch's global state is not touched for longer than a fit: the number of threads is
put back, default dtype and device are never changed.
"""

import contextlib
import itertools

import numpy as np
import torch


@contextlib.contextmanager
def torch_threads(n_threads):
    """Run a block with `n_threads` intra-op threads, then restore the old number.

    None leaves the number as it is.
    """
    before = torch.get_num_threads()
    if n_threads is None or n_threads == before:
        yield
        return
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def resolve_device(device):
    """Turn ``"auto"`` or a device name into a usable `torch.device`.

    A ValueError is raised if the device is unknown or not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.zeros(1, device=resolved).cpu()  # "meta" is a device without numbers
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ValueError(
            f"device={device!r} cannot be used here; pass 'auto', 'cpu' or a device "
            "that PyTorch finds on this machine."
        ) from error
    return resolved


def copy_generator(generator):
    """Return a generator that will draw the same numbers."""
    other = torch.Generator(generator.device)
    other.set_state(generator.get_state())
    return other


@torch.no_grad()
def draw_(tensor, distribution, *parameters, generator):
    """Fill a tensor by a method of its own with numbers that suit both precisions."""
    has_double = tensor.device.type != "mps"
    numbers = torch.empty_like(tensor, dtype=torch.float64) if has_double else tensor
    getattr(numbers, distribution)(*parameters, generator=generator)
    return tensor.copy_(numbers)


def device_of(module):
    """Return where the numbers of a module are."""
    return next(itertools.chain(module.parameters(), module.buffers())).device


def to_tensor(array, device):
    """Move an array to a device; a writeable CPU array is shared, not copied."""
    array = np.require(array, requirements=["C", "W"])
    return torch.from_numpy(array).to(device)


def torch_dtype(dtype):
    """Return the type of tensors that hold numbers of a NumPy type."""
    return torch.from_numpy(np.empty(0, dtype=dtype)).dtype
