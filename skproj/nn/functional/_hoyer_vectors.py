"""Vectors of a group sparse projection as rows of matrices, on any device.

The vectors are slices of a tensor along some dimensions, or follow one another in a
tensor of one dimension. Here they are rows of matrices: one for all slices, or one for
vectors whose lengths are alike. Numbers that belong to vectors, such as their norms,
are tensors of shape (n_vectors,), or columns beside the matrices.
"""

import itertools
import math

import torch

from skproj.nn.functional._tensors import accumulator


class Slices:
    """Vectors that are the slices of a tensor along some dimensions."""

    def __init__(self, X, dims):
        if len(dims) == X.ndim:  # a single one, whose entries are in the order of X
            dims = sorted(dims)
        self.size = math.prod([X.shape[d] for d in dims])
        self.order = [d for d in range(X.ndim) if d not in dims] + list(dims)
        self.shape = [X.shape[d] for d in self.order]
        self.n_vectors = X.numel() // self.size if self.size > 1 else 0
        self.indices = torch.arange(self.n_vectors, device=X.device)
        self.sizes = [X.new_full((self.n_vectors, 1), self.size, dtype=accumulator(X))]

    def take(self, X):
        """List the matrices."""
        return [X.permute(self.order).reshape(self.n_vectors, self.size)]

    def put(self, matrices, X):
        """Make a tensor like `X` of matrices like those of `take`."""
        places = sorted(range(X.ndim), key=self.order.__getitem__)
        return matrices[0].reshape(self.shape).permute(places)

    def split(self, values):
        """List the columns that belong to the matrices."""
        return [values.reshape(self.n_vectors, 1)]

    def join(self, columns):
        """Join what `split` has parted."""
        return columns[0].reshape(-1)

    def find(self, i):
        """Matrix and row of a vector."""
        return 0, i


class Parts:
    """Vectors of different lengths that follow one another in a tensor.

    Lengths with as many binary digits share a matrix, filled up with zeros. Vectors of
    less than two entries are left out; `indices` are those of the others.
    """

    def __init__(self, X, sizes):
        indices, groups = [], {}
        starts = itertools.accumulate(sizes, initial=0)
        for i, (size, start) in enumerate(zip(sizes, starts, strict=False)):
            if size > 1:
                group = groups.setdefault(int(size).bit_length(), [])
                group.append((len(indices), start, size))
                indices.append(i)
        self.n_vectors = len(indices)
        self.indices = torch.tensor(indices).to(X.device)
        self.numbers, self.sizes, self.places = [], [], []
        for group in groups.values():
            number, start, size = torch.tensor(group).T[..., None].to(X.device)
            step = torch.arange(max(size for *_, size in group), device=X.device)
            self.numbers.append(number[:, 0])
            self.sizes.append(size.to(accumulator(X)))
            # Where a row has no entry it takes the zero that is put behind the tensor.
            self.places.append(torch.where(step < size, start + step, X.numel()))

    def take(self, X):
        """List the matrices."""
        X = torch.nn.functional.pad(X, (0, 1))
        return [X[places] for places in self.places]

    def put(self, matrices, X):
        """Make a tensor of matrices like those of `take`; `X` has what they lack."""
        source = torch.arange(X.numel() + 1, device=X.device)
        places = torch.cat([places.reshape(-1) for places in self.places])
        source[places] = torch.arange(len(places), device=X.device) + X.numel()
        return torch.cat([X, *[M.reshape(-1) for M in matrices]])[source[:-1]]

    def split(self, values):
        """List the columns that belong to the matrices."""
        return [values[numbers, None] for numbers in self.numbers]

    def join(self, columns):
        """Join what `split` has parted."""
        order = torch.cat(self.numbers).argsort()
        return torch.cat([column.reshape(-1) for column in columns])[order]

    def find(self, i):
        """Matrix and row of a vector."""
        for k, numbers in enumerate(self.numbers):
            [rows] = (numbers == i).nonzero(as_tuple=True)
            if len(rows):
                return k, int(rows)


def vectors_of(X, dims, sizes):
    return Slices(X, dims) if dims else Parts(X, sizes)


def weights_of(vectors, weights, X):
    """List the weights as matrices, the rates of the means, and the largest means.

    Weights are divided by the largest of their vector; without any all are the number
    1. A rate is what a mean costs, and a mean is largest if all entries are as weights.
    """
    if weights is None:
        full = [size.sqrt() for size in vectors.sizes]
        return [1.0 for _ in full], [1.0 / (norm - 1.0) for norm in full], full
    W = vectors.take(weights.to(accumulator(X)).expand(X.shape))
    W = [w / w.amax(-1, keepdim=True) for w in W]
    full = [torch.linalg.vector_norm(w, dim=-1, keepdim=True) for w in W]
    for k, size in enumerate(vectors.sizes):
        is_entry = torch.arange(W[k].shape[1], device=X.device) < size
        W[k] = torch.where(is_entry, W[k], 1.0)
    smallest = [w.amin(-1, keepdim=True) for w in W]
    return W, [1.0 / (f - s) for f, s in zip(full, smallest, strict=True)], full


def total(values):
    return values.sum(-1, keepdim=True)
