"""Projection of tensors onto patterns with few entries in each block."""

from __future__ import annotations

import numbers

import torch

from skproj._typing import Integer
from skproj.nn.functional._checks import check_dims, check_tensor

# Entries of blocks up to this length are compared pair by pair, which is faster there
# than to sort them.
LONG_BLOCK = 32


def projection_n_of_m(
    X: torch.Tensor, n: Integer = 2, m: Integer = 4, *, dim: Integer = -1
) -> torch.Tensor:
    r"""Keep the n largest of each m consecutive entries of a tensor.

    The result is the nearest tensor with at most `n` entries other than zero in each
    block of `m`,

    .. math::

        P \in \arg\min_Y \; \|Y - X\|_2 \quad \text{subject to} \quad
        \|Y_b\|_0 \le n \; \text{for each block} \; b

    Of entries of equal magnitude the first are kept. Weights with 2 of 4 entries are
    those that recent GPUs multiply faster [1]_.

    Parameters
    ----------
    X : torch.Tensor
        Any dense floating-point tensor; its size along `dim` is a multiple of `m`.
    n : int, default=2
        How many entries of a block are kept, from 0 to `m`.
    m : int, default=4
        Number of entries of a block.
    dim : int, default=-1
        Dimension along which the entries of a block follow each other: -1 is that of
        the inputs of the weight of `torch.nn.Linear`.

    Returns
    -------
    P : torch.Tensor of the shape of `X`
        A new tensor. Its gradient goes to the entries that are kept.

    Raises
    ------
    TypeError
        If `X` is not a dense tensor of floating-point numbers, or another argument is
        not an integer.
    ValueError
        If `n`, `m` or `dim` is out of range, or does not fit the shape of `X`.

    See Also
    --------
    skproj.nn.sparsify : Trains to such patterns, with ``target="2:4"``.
    torch.sparse.to_sparse_semi_structured : Makes the tensors of a GPU.

    References
    ----------
    .. [1] A. Mishra, J. A. Latorre, J. Pool, D. Stosic, D. Stosic, G. Venkatesh, C. Yu,
       P. Micikevicius, "Accelerating sparse deep neural networks", :arxiv:`2104.08378`.

    Examples
    --------
    >>> import torch
    >>> from skproj.nn.functional import projection_n_of_m
    >>> projection_n_of_m(torch.tensor([3.0, -1.0, 0.5, -2.0, 1.0, 1.0, 1.0, 4.0]))
    tensor([ 3.,  0.,  0., -2.,  1.,  0.,  0.,  4.])
    """
    check_tensor(X)
    for name, value in (("m", m), ("n", n), ("dim", dim)):
        # `check_scalar` of scikit-learn would end the graph of `torch.compile`.
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            raise TypeError(f"{name} must be an integer, got {value!r}.")
    if not 1 <= m:
        raise ValueError(f"m must be at least 1, got {m!r}.")
    if not 0 <= n <= m:
        raise ValueError(f"n must be between 0 and m={m}, got {n!r}.")
    [dim] = check_dims(dim, X.ndim)
    if X.shape[dim] % m > 0:
        raise ValueError(
            f"X must have a multiple of m={m} entries along dim {dim}, "
            f"got {X.shape[dim]}."
        )
    blocks = X.unflatten(dim, (-1, m)) if X.shape[dim] else X.unflatten(dim, (0, m))
    kept = _largest(blocks.detach().abs(), n, dim + 1)
    return torch.where(kept, blocks, 0.0).reshape(X.shape)


def _largest(magnitudes, n, dim):
    """Return where the n largest along a dimension are, the first of equal ones."""
    m = magnitudes.shape[dim]
    if m > LONG_BLOCK:
        order = torch.argsort(magnitudes, dim=dim, descending=True, stable=True)
        kept = torch.zeros_like(magnitudes, dtype=torch.bool)
        return kept.scatter_(dim, order.narrow(dim, 0, n), True)
    entries = magnitudes.unbind(dim)
    ranks = [torch.zeros_like(entry, dtype=torch.int8) for entry in entries]
    for i in range(m):
        for j in range(i):
            is_less = entries[j] < entries[i]
            ranks[j] += is_less
            ranks[i] += ~is_less
    return torch.stack(ranks, dim) < n
