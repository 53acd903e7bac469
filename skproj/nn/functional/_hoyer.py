"""Group sparse projections of tensors. There is no radius, and X may be a list."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Literal

import torch

from skproj import projection as arrays
from skproj._typing import Axis, Number, Params, Projected, Result
from skproj.nn.functional._checks import check_dims, check_tensor, check_weights
from skproj.nn.functional._docs import (
    PROJECTED_VECTORS,
    VECTORS,
    VECTORS_IN_PLACE,
    document,
    document_in_place,
)
from skproj.nn.functional._hoyer_gradient import sparsity_of_slices
from skproj.nn.functional._operator import apply, check_in_place
from skproj.projection._hoyer import check_options


def _as_list(X):
    """Return the tensors of a group, which may be a single one."""
    is_list = isinstance(X, list | tuple)
    group = list(X) if is_list else [X]
    for number, tensor in enumerate(group):
        check_tensor(tensor, f"X[{number}]" if is_list else "X")
    return group


def _check_group(X, dim, weights):
    """Return the tensors of a group, their dimensions (None for a list), weights."""
    is_list = isinstance(X, list | tuple)
    group = _as_list(X)
    if len({tensor.device for tensor in group}) > 1:
        raise ValueError("X must hold tensors of one device.")
    if is_list and (dim != 0 or isinstance(dim, bool)):
        raise ValueError(f"dim must be 0 for a list of tensors, got {dim!r} instead.")
    dims = None if is_list else check_dims(dim, X.ndim)
    if weights is None:
        return group, dims, None
    if not is_list:
        weights = [weights]
    elif not isinstance(weights, list | tuple) or len(weights) != len(group):
        raise ValueError(
            f"weights must be a list with one tensor for each of the {len(group)} "
            "tensors of X."
        )
    for w, tensor in zip(weights, group, strict=True):
        check_weights(w, tensor)
    return group, dims, [w.detach() for w in weights]


def _hoyer(X, sparsity, dim, weights, per_vector, scale, start):
    """Check all arguments; return results for the tensors of `X`, and a multiplier."""
    group, dims, weights = _check_group(X, dim, weights)
    options = check_options(sparsity, weights, per_vector, scale, start)
    sizes = []
    if dims is None:
        dims, sizes = [], [V.numel() for V in group]
        X, weights = _one_after_the_other(group, weights)
    elif weights is not None:
        [weights] = weights
    work = X.to(torch.promote_types(X.dtype, torch.float32))
    spec = options.sparsity, dims, sizes, options.per_vector, scale
    P, multiplier = apply(work, weights, "hoyer", *spec, options.start)
    multiplier = multiplier.detach()
    if dims:
        return [P.to(X.dtype)], multiplier
    # Copies, since PyTorch does not let the parts of a tensor be changed in place.
    parts = zip(P.split(sizes), group, strict=True)
    return [V.reshape(T.shape).to(T.dtype, copy=True) for V, T in parts], multiplier


def _one_after_the_other(group, weights):
    """Put the entries of tensors into one of one dimension, and their weights too."""
    if not group:
        return torch.empty(0), None
    if weights is not None:
        weights = [w.expand(V.shape) for w, V in zip(weights, group, strict=True)]
        weights = torch.cat([w.reshape(-1) for w in weights])
    return torch.cat([V.reshape(-1) for V in group]), weights


@document(arrays.hoyer_sparsity, VECTORS)
def hoyer_sparsity(
    X: torch.Tensor | Sequence[torch.Tensor],
    dim: Axis = 0,
    weights: torch.Tensor | Sequence[torch.Tensor] | None = None,
) -> torch.Tensor:
    r"""Compute the Hoyer sparsity of each vector of a group of tensors.

    Returns
    -------
    sparsity : float64 tensor of the shape of `X` without `dim`
        The sparsity of each vector, with a gradient to `X`. It is 1 for a vector of
        zeros, and NaN for one with less than two entries, which has none, and for one
        whose entries are not finite or whose weights are not as above. For a list of
        tensors the shape is ``(n_tensors,)``.

    Raises
    ------
    ValueError
        If `dim` or `weights` does not fit `X`.

    >>> hoyer_sparsity(torch.tensor([[3.0, 1.0], [0.0, -1.0]])).round(decimals=6)
    tensor([1., 0.], dtype=torch.float64)
    """
    group, dims, weights = _check_group(X, dim, weights)
    if dims is not None:
        w = None if weights is None else weights[0]
        return sparsity_of_slices(X, dims, w)
    weights = [None] * len(group) if weights is None else weights
    values = [
        sparsity_of_slices(tensor, tuple(range(tensor.ndim)), w)
        for tensor, w in zip(group, weights, strict=True)
    ]
    return torch.stack(values) if values else torch.empty(0, dtype=torch.float64)


@document(arrays.projection_hoyer, PROJECTED_VECTORS)
def projection_hoyer(
    X: torch.Tensor | Sequence[torch.Tensor],
    sparsity: Number,
    *,
    dim: Axis = 0,
    weights: torch.Tensor | Sequence[torch.Tensor] | None = None,
    per_vector: bool = False,
    scale: Literal["ls", "keep_l2"] = "ls",
    return_multiplier: bool = False,
    start: Number | None = None,
) -> Projected:
    """Give a group of vectors an average Hoyer sparsity.

    Returns
    -------
    P : torch.Tensor of the shape, dtype, device and memory layout of `X`, or list
        The projection, with a gradient to `X`. What is sparse enough already comes
        back as it is, so do empty tensors and vectors of one entry. The tensors of a
        list are contiguous.
    multiplier : float64 tensor of shape (), or of the shape of `X` without `dim`
        The mu >= 0 such that, for vectors of length n without weights, entries of
        magnitude at most ``mu / (sqrt(n) - 1)`` become zero, but for one of each
        vector; 0 if `X` comes back as it is. One for each vector if `per_vector`.
        Without a gradient. Only if `return_multiplier`.

    Raises
    ------
    ValueError
        If `sparsity` is not between 0 and 1, if a tensor on the CPU contains NaN or
        infinity, if options do not go together, if `dim` or `weights` does not fit
        `X`, or if the tensors of a list are on several devices.

    Notes
    -----
    `skproj.projection.projection_hoyer` describes the result and the algorithm. On the
    CPU it reads float32 and float64 tensors where they are; those of lists are copied.
    Other devices compute for themselves, wait for each step of the search, and do not
    look for NaN and infinity. bfloat16 and float16 are computed in float32 and rounded,
    which changes the sparsity a little.

    Examples
    --------
    The filters of a convolution share an average sparsity:

    >>> W = torch.linspace(-1.0, 2.0, 36).reshape(2, 2, 3, 3)
    >>> P = projection_hoyer(W, 0.4, dim=(1, 2, 3))
    >>> hoyer_sparsity(P, dim=(1, 2, 3)).mean().round(decimals=6).item()
    0.4
    """
    results, multiplier = _hoyer(X, sparsity, dim, weights, per_vector, scale, start)
    P = results if isinstance(X, list | tuple) else results[0]
    return (P, multiplier) if return_multiplier else P


def _in_place(function: Callable[Params, Result]) -> Callable[Params, Result]:
    """Make the twin of a projection that writes into its argument."""

    @functools.wraps(function)
    def project(X, *args, return_multiplier=False, **options):
        group = _as_list(X)
        for tensor in group:
            check_in_place(tensor)
        with torch.no_grad():
            P, multiplier = function(X, *args, return_multiplier=True, **options)
            results = P if isinstance(X, list | tuple) else [P]
            for tensor, result in zip(group, results, strict=True):
                tensor.copy_(result)
        return (X, multiplier) if return_multiplier else X

    project.__name__ = project.__qualname__ = f"{function.__name__}_"
    return document_in_place(project, function, PROJECTED_VECTORS, VECTORS_IN_PLACE)


projection_hoyer_ = _in_place(projection_hoyer)
