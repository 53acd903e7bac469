"""The group sparse projection in plain PyTorch, for tensors on any device.

The algorithm is in `skproj.projection._hoyer_group`, and the same for arrays in
`skproj.projection._hoyer_solver`. Each step of the search for the multiplier reads two
numbers back from the device.
"""

import math

import torch

from skproj.nn.functional._hoyer_vectors import total, vectors_of, weights_of
from skproj.nn.functional._tensors import accumulator, ratio, safe_scale, with_signs_of
from skproj.projection._hoyer_group import (
    SMALLEST_EXPONENT,
    TOLERANCE_INSIDE,
    Group,
    solve,
)
from skproj.projection._hoyer_search import EPS, JUMP_MARGIN
from skproj.projection._hoyer_vectors import Directions

# ---------------------------------------------------------------------------
# Directions of rows: at a threshold, with a given mean, or in between


def _last_entry(a, w, threshold):
    """Place of the entry that is left of a spent vector."""
    if not isinstance(w, torch.Tensor):
        return a.argmax(-1, keepdim=True)
    rest = torch.where(a > 0.0, a - threshold * w, -math.inf)
    is_best = rest == rest.amax(-1, keepdim=True)
    return torch.where(is_best, w, math.inf).argmin(-1, keepdim=True)


def _entry(place, like):
    return torch.zeros_like(like).scatter_(-1, place, 1.0)


def _excess(a, w, threshold):
    y = (a - threshold * w).clamp_(min=0.0)
    return y, torch.linalg.vector_norm(y, dim=-1, keepdim=True)


def _measure(a, w, threshold):
    """Mean and length of the direction, and slope of the mean."""
    y, length = _excess(a, w, threshold)
    spent, last = length == 0.0, 1.0
    if isinstance(w, torch.Tensor):
        last = w.gather(-1, _last_entry(a, w, threshold))
    mean = torch.where(spent, last, ratio(total(w * y), length))
    slope = ratio(mean * mean - total(y.sign_() * (w * w)), length).clamp(max=0.0)
    return mean, length, torch.where(spent, 0.0, slope)


def _direction(a, w, threshold):
    y, length = _excess(a, w, threshold)
    last = _entry(_last_entry(a, w, threshold), a)
    return torch.where(length > 0.0, y / length, last)


def _direction_of_mean(a, mean):
    """Direction with a given mean, without weights, and its threshold.

    With the entries that are left the threshold has a closed form, in differences to
    the largest; entries drop out until none does, as in `solve_vector` of the kernels.
    """
    largest = a.amax(-1, keepdim=True)
    deficits = largest - a
    before, kept = None, a > 0.0
    while before is None or not torch.equal(before, kept):
        count = total(kept).to(a.dtype)
        center = total(kept * deficits) / count
        variance = total((kept * (deficits - center)).square()) / count
        rest = (count - mean * mean).clamp(min=EPS * count)
        depth = center + mean * (variance / rest).sqrt()
        tied = ~(variance > 0.0)
        before, kept = kept, kept & (tied | (deficits < depth))
    y = torch.where(kept, depth - deficits, 0.0).clamp(min=0.0)
    y = y / torch.linalg.vector_norm(y, dim=-1, keepdim=True)

    # Of entries equal to the largest as many are kept as the mean needs.
    single = mean <= 1.0 + 4 * EPS
    n = torch.minimum((mean * mean * (1.0 - 8 * EPS)).ceil(), count)
    n = torch.where(single, 1.0, n).clamp(min=1.0)
    spread = ((n - 1.0) * (n - mean * mean)).clamp(min=0.0).sqrt()
    first = torch.where(n > 1.0, (mean + spread) / n, 1.0)
    other = (mean - spread / (n - 1.0).clamp(min=1.0)) / n
    is_largest = deficits == 0.0
    rank = is_largest.cumsum(-1)
    equal = torch.where(rank == 1, first, other) * (is_largest & (rank <= n))
    tied = tied | single
    return torch.where(tied, equal, y), torch.where(tied, largest, largest - depth)


def _mixture(sparse, dense, w, mean):
    """Mix two directions so that the result has a mean between theirs."""
    low, high, inner = (w * sparse).sum(), (w * dense).sum(), (sparse * dense).sum()
    # (sparse + share * dense) / norm has the mean: a quadratic equation for the share.
    square, rest = high * high - mean * mean, low * low - mean * mean
    half = low * high - mean * mean * inner
    root = (half * half - square * rest).clamp(min=0.0).sqrt()
    mixed = sparse + (root - half) / square * dense
    return mixed / torch.linalg.vector_norm(mixed)


def _smallest_weight(a, w):
    """Mean of a single entry: the smallest weight of those that are not zero."""
    if not isinstance(w, torch.Tensor):
        return torch.ones_like(a[:, :1])
    smallest = torch.where(a > 0.0, w, math.inf).amin(-1, keepdim=True)
    return torch.where(smallest.isinf(), w.amin(-1, keepdim=True), smallest)


def _single_entry(a, w, mean):
    """Direction of the largest of the entries that have this weight."""
    return _entry(torch.where(w == mean, a, -1.0).argmax(-1, keepdim=True), a)


# ---------------------------------------------------------------------------
# The group


class _TensorGroup(Group):
    """Magnitudes of the rows, divided by powers of two, and their weights.

    A solution is a list of the directions of the rows.
    """

    def __init__(self, vectors, X, weights):
        self.vectors = vectors
        rows = [V.abs().to(accumulator(X)) for V in vectors.take(X)]
        scales = [a.new_ones(len(a), 1) * safe_scale(a, (-1,)) for a in rows]
        self.A = [a * scale for a, scale in zip(rows, scales, strict=True)]
        self.W, rates, full = weights_of(vectors, weights, X)
        self.rates, self.full = vectors.join(rates), vectors.join(full)
        self.largest = vectors.join([a.amax(-1) for a in self.A])
        self.own_units = 1.0 / vectors.join(scales)
        self.top = float(self.own_units.max())
        self.units = (self.own_units / self.top).clamp(min=2.0**SMALLEST_EXPONENT)
        self.inside = TOLERANCE_INSIDE["f" if X.dtype == torch.float32 else "d"]

    def each(self, function, *values):
        """List the results of a function of rows, their weights, and columns."""
        return list(map(function, self.A, self.W, *map(self.vectors.split, values)))

    def measure(self, thresholds):
        """Measure the directions at thresholds of shape (n_vectors,)."""
        columns = zip(*self.each(_measure, thresholds), strict=True)
        return Directions(thresholds, *map(self.vectors.join, columns), None)

    def forget_below(self, directions):
        """Keep all entries: how many are left would have to be read back."""

    def means(self):
        return self.measure(torch.zeros_like(self.rates)).means

    def smallest_means(self):
        return self.vectors.join(self.each(_smallest_weight))

    def measured(self):
        return self

    def start_from_sample(self, problem, sparsity):
        return None

    def solution(self, directions):
        return self.each(_direction, directions.thresholds)

    def single_entries(self, means):
        return self.each(_single_entry, means)

    def joined(self, is_dense, dense, sparse):
        thresholds = torch.where(is_dense, dense.thresholds, sparse.thresholds)
        return self.each(_direction, thresholds)

    def with_mean(self, solution, i, mean, dense, sparse):
        k, j = self.vectors.find(i)
        a, w = self.A[k][j : j + 1], self.W[k]
        if not isinstance(w, torch.Tensor):
            solution[k][j] = _direction_of_mean(a, mean)[0]
            return solution
        w = w[j : j + 1]
        # What is left on the dense side must not vanish here by another rounding.
        margin = JUMP_MARGIN * (dense.lengths[i] > 0.0)
        threshold = dense.thresholds[i] * (1.0 - margin)
        sides = _direction(a, w, sparse.thresholds[i]), _direction(a, w, threshold)
        solution[k][j] = _mixture(*sides, w, mean)
        return solution

    def products(self, solution):
        products = [total(x * a) for x, a in zip(solution, self.A, strict=True)]
        return self.vectors.join(products)

    def solve_each(self, sparsity):
        done = self.rates * (self.full - self.means()) >= sparsity - self.inside
        wanted = self.vectors.split(self.full - sparsity / self.rates)
        X, thresholds = zip(*map(_direction_of_mean, self.A, wanted), strict=True)
        return torch.where(done, 0.0, self.vectors.join(thresholds) / self.rates), X


# ---------------------------------------------------------------------------
# The projection


def empty_multiplier(X, dims, sizes, per_vector):
    """Make a tensor for the multiplier, or for those of all vectors."""
    shape = []
    if per_vector and dims:
        shape = [n for d, n in enumerate(X.shape) if d not in dims]
    elif per_vector:
        shape = [len(sizes)]
    return X.new_empty(shape, dtype=accumulator(X))


def project(X, weights, sparsity, dims, sizes, per_vector, scale, start):
    """Project the slices of a tensor along `dims`, or parts of it of given `sizes`.

    The other arguments are those of `skproj.projection.projection_hoyer`. Returns the
    result and the multiplier.
    """
    vectors = vectors_of(X, dims, sizes)
    multiplier = empty_multiplier(X, dims, sizes, per_vector).zero_()
    if vectors.n_vectors == 0:
        return X.clone(), multiplier
    if weights is not None and (weights == 1.0).all():
        weights = None
    group = _TensorGroup(vectors, X, weights)
    start = None if start is None else start / group.top
    mu, directions = solve(group, sparsity, per_vector, start)
    if directions is None:
        return X.clone(), multiplier
    if per_vector:
        multiplier.view(-1)[vectors.indices] = mu * group.own_units
    else:
        multiplier.fill_(mu * group.top)
        mu = torch.full_like(group.rates, mu)
    norms = group.products(directions)
    if scale == "keep_l2":
        norms = vectors.join([torch.linalg.vector_norm(a, dim=-1) for a in group.A])
    norms, mu = map(vectors.split, (norms * group.own_units, mu))
    rows = zip(vectors.take(X), directions, norms, mu, strict=True)
    rows = [
        torch.where(m > 0.0, with_signs_of(V, x * norm), V) for V, x, norm, m in rows
    ]
    return vectors.put(rows, X), multiplier
