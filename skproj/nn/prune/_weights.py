"""Weights of layers: with their masks, as arrays, and cut into filters or inputs."""

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrize

from skproj.nn.prune._operations import CONVOLUTIONS

LAYERS = (nn.Linear, *CONVOLUTIONS)


def is_masked(module, name):
    """Say whether a module has original and mask; norms of PyTorch have no mask."""
    return name not in module._parameters and f"{name}_mask" in module._buffers


def pruned_or_plain(module, name):
    """Return the trained parameter of a module, `<name>_orig` if it is pruned."""
    trained = f"{name}_orig" if is_masked(module, name) else name
    parameter = module._parameters.get(trained)
    if parameter is None:
        check_plain(module, name)
    if isinstance(parameter, nn.UninitializedParameter) or parameter.is_meta:
        raise ValueError(
            f"{name} of {type(module).__name__} must have numbers: initialize it first."
        )
    return parameter


def check_plain(module, name, path=""):
    """Refuse a parameter that is masked, parametrized or computed by a hook.

    `path` is the name of the module in the network.
    """
    value = getattr(module, name, None)
    if name in module._parameters or not isinstance(value, torch.Tensor):
        return
    way = "prune.remove"
    if parametrize.is_parametrized(module, name):
        way = "parametrize.remove_parametrizations"
    elif f"{name}_g" in module._parameters:
        way = "remove_weight_norm"
    elif f"{name}_u" in module._buffers:
        way = "remove_spectral_norm"
    place = f" {path!r}" if path else ""
    raise ValueError(
        f"module must have plain parameters, but {name} of a {type(module).__name__}"
        f"{place} is computed from others: call torch.nn.utils.{way} first."
    )


def is_distributed(W):
    """Whether a tensor is a `DTensor`, as those of `fully_shard`."""
    return hasattr(W, "full_tensor")


def whole(W):
    """Return the values of a tensor of which a process may have a part only."""
    return (W.full_tensor() if is_distributed(W) else W).detach()


def local_part(weight):
    """Return the part of a weight that this process has, not a copy."""
    return weight.to_local() if is_distributed(weight) else weight


def part_like(values, weight):
    """Return the part of some values for a weight that this process has."""
    if not is_distributed(weight):
        return values
    from torch.distributed.tensor import distribute_tensor  # takes a second

    return distribute_tensor(values, weight.device_mesh, weight.placements).to_local()


def as_array(W):
    """Return a tensor as an array, in double precision unless it is float32.

    Of complex numbers it is the absolute values.
    """
    W = whole(W)
    W = W.abs() if W.is_complex() else W
    dtype = torch.float32 if W.dtype == torch.float32 else torch.float64
    return W.to("cpu", dtype).numpy()


def cut(module, W, kind):
    """Return the weights of each of the "outputs" or "inputs" as a row of a matrix."""
    n_parts = getattr(module, "groups", 1)
    n_rows, n_columns, *kernel = W.shape
    parts = W.reshape(n_parts, n_rows // n_parts, n_columns, int(np.prod(kernel)))
    # Weights of transposed convolutions have the inputs first.
    if (kind == "inputs") != getattr(module, "transposed", False):
        parts = parts.swapaxes(1, 2)
    n_vectors = parts.shape[0] * parts.shape[1]
    return parts.reshape(n_vectors, int(np.prod(parts.shape[2:])))
