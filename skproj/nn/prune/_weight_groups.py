"""Weights of layers as groups of vectors, and their projection to a sparsity."""

import numpy as np
import torch
from scipy.optimize import brentq
from torch import nn
from torch.nn.utils import prune

from skproj.nn.prune._operations import CONVOLUTIONS
from skproj.projection import projection_hoyer

LAYERS = (nn.Linear, *CONVOLUTIONS)
GROUPINGS = ("layer/filters", "layer/inputs", "model/filters", "model/layers")
TARGETS = ("hoyer", "zeros")

# Below this distance of two Hoyer levels, the projections are the same.
LEVEL_TOLERANCE = 1e-13


# ---------------------------------------------------------------------------
# Checks of the arguments


def is_masked(module, name):
    """Say whether a module has original and mask; norms of PyTorch have no mask."""
    return name not in module._parameters and f"{name}_mask" in module._buffers


def pruned_or_plain(module, name):
    """Return the trained parameter of a module, `<name>_orig` if it is pruned."""
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"module must be a torch.nn.Module, got {type(module).__name__} instead."
        )
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {name!r} instead.")
    trained = f"{name}_orig" if is_masked(module, name) else name
    parameter = module._parameters.get(trained)
    if parameter is None:
        raise ValueError(
            f"name must be that of a parameter of {type(module).__name__}, "
            f"got {name!r}."
        )
    if isinstance(parameter, nn.UninitializedParameter) or parameter.is_meta:
        raise ValueError(
            f"{name} of {type(module).__name__} must have numbers: initialize it first."
        )
    return parameter


def masked_product(module, name):
    """Return the original times the mask; the gradient keeps no other copy of that."""
    mask, original = (getattr(module, f"{name}_{kind}") for kind in ("mask", "orig"))
    if mask.dtype is torch.bool and not torch.jit.is_tracing():
        return original * mask.view(torch.uint8)  # twice as fast as with bool
    return original * mask.to(original.dtype)


def refresh_masked(module, name):
    """Make the weight anew of a module with a mask, as its next forward pass does."""
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, prune.BasePruningMethod) and hook._tensor_name == name:
            hook(module, None)


@torch.no_grad()
def effective_weight(module, name):
    """Return the weight with its mask, also before the next forward pass."""
    parameter = pruned_or_plain(module, name)
    if not is_masked(module, name):
        return parameter.detach()
    return masked_product(module, name)


def check_weight(module, name):
    """Refuse a parameter without filters."""
    parameter = pruned_or_plain(module, name)
    if parameter.ndim < 2:
        raise ValueError(
            f"name must be that of a weight with at least 2 dimensions, got {name!r} "
            f"of shape {tuple(parameter.shape)}."
        )
    if not parameter.is_floating_point():
        raise TypeError(
            "name must be that of a weight of floating-point numbers, "
            f"got {name!r} of {parameter.dtype}."
        )


def check_parameters(parameters):
    """Return pairs of module and name as a list without repetitions."""
    message = "parameters must be an iterable of pairs (module, name), "
    try:
        pairs = list(parameters)
    except TypeError:
        raise TypeError(f"{message}got {type(parameters).__name__} instead.") from None
    if not pairs:
        raise ValueError(f"{message}got none.")
    unique = {}
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise TypeError(f"{message}got one of {type(pair).__name__}.")
        module, name = pair
        check_weight(module, name)
        unique[id(module), name] = (module, name)
    return list(unique.values())


def group_by_parameter(parameters):
    """Collect the modules and names of each parameter, which modules may share."""
    places = {}
    for module, name in parameters:
        places.setdefault(id(pruned_or_plain(module, name)), []).append((module, name))
    return list(places.values())


# ---------------------------------------------------------------------------
# Vectors


class WeightVectors:
    """Division of the weight of a layer into vectors, the rows of a matrix."""

    def __init__(self, module, shape, kind):
        n_outputs, n_inputs, *kernel = shape
        n_parts = getattr(module, "groups", 1)
        self._weight_shape = tuple(shape)
        self._parts = (n_parts, n_outputs // n_parts, n_inputs, int(np.prod(kernel)))
        self._kind = kind
        # Weights of transposed convolutions have the inputs first.
        by_columns = (kind == "inputs") != getattr(module, "transposed", False)
        self._order = (0, 2, 1, 3) if by_columns else (0, 1, 2, 3)

    def cut(self, W):
        """Return the vectors of a weight."""
        parts = np.reshape(W, self._parts).transpose(self._order)
        if self._kind == "layers":
            return parts.reshape(1, -1)
        n_parts, n_vectors, *size = parts.shape
        return parts.reshape(n_parts * n_vectors, int(np.prod(size)))

    def join(self, rows):
        """Return the weight that has these vectors."""
        parts = np.reshape(rows, [self._parts[i] for i in self._order])
        return parts.transpose(self._order).reshape(self._weight_shape)


def is_distributed(W):
    """Whether a tensor is a `DTensor`, as those of `fully_shard`."""
    return hasattr(W, "full_tensor")


def whole(W):
    """Return the values of a tensor of which a process may have a part only."""
    return (W.full_tensor() if is_distributed(W) else W).detach()


def as_array(W):
    """Return a tensor as an array, in double precision unless it is float32.

    Of complex numbers it is the absolute values.
    """
    W = whole(W)
    W = W.abs() if W.is_complex() else W
    dtype = torch.float32 if W.dtype == torch.float32 else torch.float64
    return W.detach().to("cpu", dtype).numpy()


def _row_norms(rows):
    norms = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return np.where(norms > 0.0, norms, 1.0).astype(rows.dtype)


def _count_zeros(arrays):
    return sum(W.size - np.count_nonzero(W) for W in arrays)


def _project_rows(matrices, sparsity, scope, target):
    """Project the rows of matrices, one group for each or one for all; an iterator."""
    if scope == "layer":
        return (projection_hoyer(M, sparsity, axis=1, target=target) for M in matrices)
    rows = [row for M in matrices for row in M]
    projected = iter(projection_hoyer(rows, sparsity, target=target))
    return (np.stack([next(projected) for _ in M]) for M in matrices)


def _search_common_level(project, matrices, n_zeros):
    """Find the Hoyer level that gives a number of zeros, or comes closest to it.

    The number grows with the level, one weight at a time unless weights are equal.
    """
    best_level, least = None, n_zeros - _count_zeros(matrices)
    if least <= 0:
        return matrices

    def excess_at(level):
        nonlocal best_level, least
        excess = _count_zeros(project(level)) - n_zeros
        if abs(excess) < least:
            best_level, least = level, abs(excess)
        return excess

    if excess_at(1.0) > 0:
        brentq(excess_at, 0.0, 1.0, xtol=LEVEL_TOLERANCE)
    return matrices if best_level is None else project(best_level)


def project_jointly(weights, sparsity, grouping, target, normalize):
    """Project weights, pairs of layer and array, to a common sparsity.

    If `normalize`, all vectors have norm 1 in the projection. Returns an iterator over
    the arrays, which may be computed one at a time, to save memory.
    """
    scope, kind = grouping.split("/")
    cuts = [WeightVectors(module, W.shape, kind) for module, W in weights]
    matrices = [cut.cut(W) for cut, (_, W) in zip(cuts, weights, strict=True)]
    if normalize:
        norms = [_row_norms(M) for M in matrices]
        matrices = [M / norm for M, norm in zip(matrices, norms, strict=True)]

    if target == "hoyer":
        projected = _project_rows(matrices, sparsity, scope, target)
    else:
        n_zeros = round(sparsity * sum(M.size for M in matrices))
        # Vectors of one entry stay as they are, and others have to give more.
        n_free = sum(M.size for M in matrices if M.shape[1] > 1)
        if scope == "layer":
            projected = _search_common_level(
                lambda level: _project_rows(matrices, level, scope, "hoyer"),
                matrices,
                n_zeros,
            )
        elif n_zeros <= _count_zeros(matrices):
            projected = matrices
        else:
            share = min(n_zeros / n_free, 1.0) if n_free else 0.0
            projected = _project_rows(matrices, share, scope, target)
    if normalize:
        projected = (P * norm for P, norm in zip(projected, norms, strict=True))
    return (cut.join(P) for cut, P in zip(cuts, projected, strict=True))
