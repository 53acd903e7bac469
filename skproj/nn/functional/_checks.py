"""Checks of the arguments of functions on tensors."""

import math
import numbers
from functools import partial

import torch

from skproj.projection._layout import check_radius
from skproj.projection._multilevel import check_axes_of_levels

KERNEL_DTYPES = (torch.float32, torch.float64)
HALF_DTYPES = (torch.bfloat16, torch.float16)  # computed in float32


def check_tensor(X, name="X"):
    """Refuse what is not a dense floating-point tensor of at least one dimension."""
    if not isinstance(X, torch.Tensor):
        raise TypeError(
            f"{name} must be a torch.Tensor, got {type(X).__name__} instead; "
            "skproj.projection takes arrays."
        )
    if X.layout != torch.strided or X.is_nested:
        raise TypeError(f"{name} must be a dense tensor, got a sparse or nested one.")
    if X.is_meta:
        raise TypeError(f"{name} is on the meta device, where tensors have no entries.")
    if X.dtype not in KERNEL_DTYPES + HALF_DTYPES:
        raise TypeError(
            f"{name} must hold float64, float32, bfloat16 or float16 numbers, "
            f"got {X.dtype} instead."
        )
    if X.ndim == 0:
        raise ValueError(f"{name} must have at least one dimension, got a scalar.")


def check_type_of_dims(dim, name="dim"):
    """Refuse what is neither an integer, nor a tuple of integers, nor None."""
    dims = dim if isinstance(dim, tuple | list) else () if dim is None else (dim,)
    if any(isinstance(d, bool) or not isinstance(d, numbers.Integral) for d in dims):
        raise TypeError(
            f"{name} must be an integer, a tuple of integers or None, got {dim!r}."
        )


def check_dims(dim, ndim, name="dim"):
    """Return `dim` (int, tuple of int, or None for all) as a list of int >= 0."""
    if dim is None:
        return list(range(ndim))
    check_type_of_dims(dim, name)
    dims = list(dim) if isinstance(dim, tuple | list) else [dim]
    if not dims:
        raise ValueError(f"{name} must name at least one dimension, got {dim!r}.")
    if ndim == 0:
        raise ValueError(f"{name} must be None for a scalar tensor, got {dim!r}.")
    if not all(-ndim <= d < ndim for d in dims):
        raise ValueError(
            f"{name} must be between {-ndim} and {ndim - 1} for a tensor with {ndim} "
            f"dimensions, got {dim!r}."
        )
    dims = [int(d) % ndim for d in dims]
    if len(set(dims)) < len(dims):
        raise ValueError(f"{name} must not name a dimension twice, got {dim!r}.")
    return dims


def check_float_radius(radius):
    """Return `radius` as a non-negative float; a tensor is refused."""
    if isinstance(radius, torch.Tensor):
        raise TypeError(
            "radius must be a float, got a tensor; radius.item() is one, without "
            "gradient, and waits for the device."
        )
    return check_radius(radius)


def check_weights(weights, X):
    if not isinstance(weights, torch.Tensor):
        raise TypeError(
            f"weights must be a torch.Tensor, got {type(weights).__name__} instead."
        )
    if weights.layout != torch.strided or weights.dtype.is_complex:
        raise TypeError("weights must be a dense tensor of real numbers.")
    if weights.device != X.device:
        raise ValueError(
            f"weights must be on the device of X, {X.device}, got {weights.device}."
        )
    try:
        weights.expand(X.shape)
    except RuntimeError:
        raise ValueError(
            f"weights must have shape {tuple(X.shape)} or be broadcastable to it, got "
            f"shape {tuple(weights.shape)} instead."
        ) from None


def check_levels(norms, dims, ndim):
    """Return norms, dimensions and the number of dimensions of each norm, as lists."""
    if not isinstance(norms, tuple | list) or not norms:
        raise TypeError(f"norms must be a non-empty tuple of norms, got {norms!r}.")
    if not all(norm in (1, 2, math.inf) for norm in norms):
        raise ValueError(f"norms must be 1, 2 or inf each, got {norms!r}.")
    each = "a tuple with one dimension, or tuple of dimensions"
    check = partial(check_dims, name="dims")
    levels = check_axes_of_levels(dims, len(norms), ndim, check, "dims", each)
    flat = [d for level in levels for d in level]
    return [float(norm) for norm in norms], flat, [len(level) for level in levels]
