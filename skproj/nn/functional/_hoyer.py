"""The group sparse projection in plain PyTorch, for tensors on any device.

The vectors are slices of a tensor along some dimensions, or follow one another in a
tensor of one dimension. Here they are rows of matrices: one for all slices, or one for
vectors whose lengths are alike. Numbers that belong to vectors, such as their norms,
are tensors of shape (n_vectors,), or columns beside the matrices.

What is solved is said in `skproj.projection._hoyer_solver`, which does the search for
the multiplier here as well: each of its steps reads two numbers back from the device.
"""

import itertools
import math
from typing import NamedTuple

import torch

from skproj.nn.functional._tensors import (
    _accumulator,
    _ratio,
    _safe_scale,
    _with_signs_of,
)
from skproj.projection._hoyer_solver import (
    ASCENT_TOLERANCE,
    EPS,
    JUST,
    LEFT_OF_START,
    MAX_ASCENT,
    SMALLEST_UNIT,
    TOLERANCE,
    TOLERANCE_INSIDE,
    _bracket,
    _Directions,
    _Problem,
)

# For gradients: entries are equal if they are left with less than this part of the
# largest one, and a direction along the weights if its mean has less room to grow.
SMALLEST_PART = 1e-7
LEAST_ROOM = 1e-12


# ---------------------------------------------------------------------------
# Vectors as rows of matrices


class _Slices:
    """Vectors that are the slices of a tensor along some dimensions."""

    def __init__(self, X, dims):
        if len(dims) == X.ndim:  # a single one, whose entries are in the order of X
            dims = sorted(dims)
        self.size = math.prod([X.shape[d] for d in dims])
        self.order = [d for d in range(X.ndim) if d not in dims] + list(dims)
        self.shape = [X.shape[d] for d in self.order]
        self.n_entries = X.numel()
        self.n_vectors = X.numel() // self.size if self.size > 1 else 0
        self.indices = torch.arange(self.n_vectors, device=X.device)
        self.sizes = [X.new_full((self.n_vectors, 1), self.size, dtype=_accumulator(X))]

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


class _Parts:
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
        self.n_entries = sum(sizes[i] for i in indices)
        self.n_vectors = len(indices)
        self.indices = torch.tensor(indices).to(X.device)
        self.numbers, self.sizes, self.places = [], [], []
        for group in groups.values():
            number, start, size = torch.tensor(group).T[..., None].to(X.device)
            step = torch.arange(max(size for *_, size in group), device=X.device)
            self.numbers.append(number[:, 0])
            self.sizes.append(size.to(_accumulator(X)))
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


def _vectors_of(X, dims, sizes):
    return _Slices(X, dims) if dims else _Parts(X, sizes)


def _weights_of(vectors, weights, X):
    """List the weights as matrices, the rates of the means, and the largest means.

    Weights are divided by the largest of their vector; without any all are the number
    1. A rate is what a mean costs, and a mean is largest if all entries are as weights.
    """
    if weights is None:
        full = [size.sqrt() for size in vectors.sizes]
        return [1.0 for _ in full], [1.0 / (norm - 1.0) for norm in full], full
    W = vectors.take(weights.to(_accumulator(X)).expand(X.shape))
    W = [w / w.amax(-1, keepdim=True) for w in W]
    full = [torch.linalg.vector_norm(w, dim=-1, keepdim=True) for w in W]
    for k, size in enumerate(vectors.sizes):
        is_entry = torch.arange(W[k].shape[1], device=X.device) < size
        W[k] = torch.where(is_entry, W[k], 1.0)
    smallest = [w.amin(-1, keepdim=True) for w in W]
    return W, [1.0 / (f - s) for f, s in zip(full, smallest, strict=True)], full


def _total(values):
    return values.sum(-1, keepdim=True)


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
    mean = torch.where(spent, last, _ratio(_total(w * y), length))
    slope = _ratio(mean * mean - _total(y.sign_() * (w * w)), length).clamp(max=0.0)
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
        count = _total(kept).to(a.dtype)
        center = _total(kept * deficits) / count
        variance = _total((kept * (deficits - center)).square()) / count
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


# ---------------------------------------------------------------------------
# Solutions, as the solver for arrays finds them: multipliers, and directions of the
# rows, which are None if all vectors are sparse enough


class _Group:
    """Magnitudes of the rows, divided by powers of two, and their weights.

    For the search this is what is measured.
    """

    def __init__(self, vectors, X, weights):
        self.vectors = vectors
        rows = [V.abs().to(_accumulator(X)) for V in vectors.take(X)]
        scales = [a.new_ones(len(a), 1) * _safe_scale(a, (-1,)) for a in rows]
        self.A = [a * scale for a, scale in zip(rows, scales, strict=True)]
        self.W, rates, full = _weights_of(vectors, weights, X)
        self.rates, self.full = vectors.join(rates), vectors.join(full)
        self.largest = vectors.join([a.amax(-1) for a in self.A])
        self.own_units = 1.0 / vectors.join(scales)
        self.top = float(self.own_units.max())
        self.units = (self.own_units / self.top).clamp(min=2.0**SMALLEST_UNIT)
        self.inside = TOLERANCE_INSIDE["f" if X.dtype == torch.float32 else "d"]

    def each(self, function, *values):
        """List the results of a function of rows, their weights, and columns."""
        return list(map(function, self.A, self.W, *map(self.vectors.split, values)))

    def measure(self, thresholds):
        """Measure the directions at thresholds of shape (n_vectors,)."""
        columns = zip(*self.each(_measure, thresholds), strict=True)
        return _Directions(thresholds, *map(self.vectors.join, columns), None)

    def forget_below(self, directions):
        """Keep all entries: how many are left would have to be read back."""

    def means(self):
        """Means of the directions of the vectors themselves."""
        return self.measure(torch.zeros_like(self.rates)).means

    def products(self, X):
        """Products of the vectors and directions."""
        products = [_total(x * a) for x, a in zip(X, self.A, strict=True)]
        return self.vectors.join(products)


def _join(group, problem, dense, sparse, tolerance):
    """Choose between both sides of a jump; the result is a list of directions."""
    if dense is sparse:
        return group.each(_direction, dense.thresholds)
    gains = (problem.rates * (dense.means - sparse.means)).clamp(min=0.0)
    room = problem.budget - problem.rates @ sparse.means
    used = gains.cumsum(0)
    is_dense = used <= room + tolerance
    thresholds = torch.where(is_dense, dense.thresholds, sparse.thresholds)
    X = group.each(_direction, thresholds)
    i = int(is_dense.sum())
    room = float(room - used[i - 1] if i else room)
    if i == len(gains) or room <= tolerance:
        return X
    mean = sparse.means[i] + room / problem.rates[i]
    k, j = group.vectors.find(i)
    a, w = group.A[k][j : j + 1], group.W[k]
    if not isinstance(w, torch.Tensor):
        X[k][j] = _direction_of_mean(a, mean)[0]
        return X
    w = w[j : j + 1]
    # What is left on the dense side must not vanish here by another rounding.
    threshold = dense.thresholds[i] * (1.0 - JUST * (dense.lengths[i] > 0.0))
    sides = _direction(a, w, sparse.thresholds[i]), _direction(a, w, threshold)
    X[k][j] = _mixture(*sides, w, mean)
    return X


def _smallest_weight(a, w):
    """Mean of a single entry: the smallest weight of those that are not zero."""
    if not isinstance(w, torch.Tensor):
        return torch.ones_like(a[:, :1])
    smallest = torch.where(a > 0.0, w, math.inf).amin(-1, keepdim=True)
    return torch.where(smallest.isinf(), w.amin(-1, keepdim=True), smallest)


def _single_entry(a, w, mean):
    """Direction of the largest of the entries that have this weight."""
    return _entry(torch.where(w == mean, a, -1.0).argmax(-1, keepdim=True), a)


def _solve_group(group, sparsity, objective, start):
    rates = group.rates
    budget = float(rates @ group.full) - sparsity * len(rates)
    tolerance, inside = TOLERANCE * len(rates), group.inside * len(rates)
    if rates @ group.means() <= budget + inside:
        return 0.0, None
    steps = rates / group.units
    smallest = group.vectors.join(group.each(_smallest_weight))
    ratios = group.largest / torch.where(smallest > 0.0, smallest, 1.0)
    if rates @ smallest >= budget - tolerance:
        return float((ratios / steps).max()), group.each(_single_entry, smallest)
    best, value = None, 0.0
    for _ in range(MAX_ASCENT):
        problem = _Problem(rates, steps, budget, ratios / steps)
        mu, dense, sparse = _bracket(group, problem, tolerance, start)
        X = _join(group, problem, dense, sparse, tolerance)
        products = group.products(X) * group.units
        before, value = value, float(products @ products)
        if best is None or value > before:
            best = mu, X
        if objective != "ls" or value <= before * (1.0 + ASCENT_TOLERANCE):
            break
        gains = torch.where(products > 0.0, products / products.max(), 1.0)
        steps = rates / (group.units * gains).clamp(min=2.0**SMALLEST_UNIT)
        start = LEFT_OF_START * mu
    return best


def _solve_each(group, sparsity):
    done = group.rates * (group.full - group.means()) >= sparsity - group.inside
    wanted = group.vectors.split(group.full - sparsity / group.rates)
    X, thresholds = zip(*map(_direction_of_mean, group.A, wanted), strict=True)
    return torch.where(done, 0.0, group.vectors.join(thresholds) / group.rates), X


def _zeros_in_group(group, sparsity):
    n_entries = group.vectors.n_entries
    n_kept = n_entries - round(sparsity * n_entries)
    if sum(int(a.count_nonzero()) for a in group.A) <= n_kept:
        return 0.0, None

    def ratios_of(a, w, factor):
        """Multipliers at which entries go; each vector keeps the last one."""
        ratios = torch.where(a > 0.0, a * factor / w, 0.0)
        last, place = ratios.max(-1, keepdim=True)
        return ratios.scatter(-1, place, torch.where(last > 0.0, math.inf, last))

    ratios = group.each(ratios_of, group.units / group.rates)
    ratios = torch.cat([values.reshape(-1) for values in ratios])
    n_kept = max(n_kept, int(group.largest.count_nonzero()))
    mu = ratios.kthvalue(len(ratios) - n_kept).values
    if mu.isinf():  # what is left has no weight
        mu = torch.where(ratios.isinf(), 0.0, ratios).max()
    mu = float(mu) * (1.0 + 4 * EPS)
    return mu, group.each(_direction, mu * group.rates / group.units)


def _zeros_in_each(group, sparsity):
    thresholds, done = [], []
    for a, size in zip(group.A, group.vectors.sizes, strict=True):
        n_zeros = torch.minimum((sparsity * size).round(), size - 1.0).long()
        n_filled = a.shape[1] - size.long()
        place = (n_filled + n_zeros - 1).clamp(min=n_filled)
        thresholds.append(a.sort(-1).values.gather(-1, place))
        done.append(_total(a == 0.0) - n_filled >= n_zeros)
    thresholds, done = map(group.vectors.join, (thresholds, done))
    X = group.each(_direction, thresholds)
    return torch.where(done, 0.0, thresholds / group.rates), X


def empty_multiplier(X, dims, sizes, per_vector):
    """Make a tensor for the multiplier, or for those of all vectors."""
    shape = []
    if per_vector and dims:
        shape = [n for d, n in enumerate(X.shape) if d not in dims]
    elif per_vector:
        shape = [len(sizes)]
    return X.new_empty(shape, dtype=_accumulator(X))


def project(
    X, weights, sparsity, dims, sizes, per_vector, target, scale, objective, start
):
    """Project the slices of a tensor along `dims`, or parts of it of given `sizes`.

    The other arguments are those of `skproj.projection.projection_hoyer`. Returns the
    result and the multiplier.
    """
    vectors = _vectors_of(X, dims, sizes)
    multiplier = empty_multiplier(X, dims, sizes, per_vector).zero_()
    if vectors.n_vectors == 0:
        return X.clone(), multiplier
    if weights is not None and (weights == 1.0).all():
        weights = None
    group = _Group(vectors, X, weights)
    if per_vector:
        solve = _zeros_in_each if target == "zeros" else _solve_each
        mu, directions = solve(group, sparsity)
        multiplier.view(-1)[vectors.indices] = mu * group.own_units
    else:
        if target == "zeros":
            mu, directions = _zeros_in_group(group, sparsity)
        else:
            start = None if start is None else start / group.top
            mu, directions = _solve_group(group, sparsity, objective, start)
        if directions is None:
            return X.clone(), multiplier
        multiplier.fill_(mu * group.top)
        mu = torch.full_like(group.rates, mu)
    norms = group.products(directions)
    if scale == "keep_l2":
        norms = vectors.join([torch.linalg.vector_norm(a, dim=-1) for a in group.A])
    norms, mu = map(vectors.split, (norms * group.own_units, mu))
    rows = zip(vectors.take(X), directions, norms, mu, strict=True)
    rows = [
        torch.where(m > 0.0, _with_signs_of(V, x * norm), V) for V, x, norm, m in rows
    ]
    return vectors.put(rows, X), multiplier


# ---------------------------------------------------------------------------
# The gradient, of differentiable operations


class _Linearised(NamedTuple):
    """What small changes of the rows of a matrix do, as matrices and columns.

    direct : gradient for a fixed multiplier.
    turn : how directions turn as their means grow, times `room`.
    room : squared length of `turn`, 0 for equal entries, whose mean cannot grow.
    along : gradient of the result along `turn`.
    lift : gradient of the multiplier at which the entries that are left are spent.
    inverse : rate / length of what is above the threshold; 0 if entries are equal.
    tied : rate if several entries are left that are all at the threshold, else 0.
    rates : what means cost.
    """

    direct: torch.Tensor
    turn: torch.Tensor
    room: torch.Tensor
    along: torch.Tensor
    lift: torch.Tensor
    inverse: torch.Tensor
    tied: torch.Tensor
    rates: torch.Tensor


def _inverse_root(squares):
    is_positive = squares > 0.0
    return is_positive / torch.where(is_positive, squares, 1.0).sqrt()


def _linearised(G, X, P, w, rates, multiplier, scale):
    """Linearise the directions x = y / norm(y) of y = a - threshold * w.

    The sums are over the entries that are left. The result is x times its product with
    a, or times the length of a.
    """
    signs, support = X.detach().sign(), P.detach().sign().abs()
    a, p, g, w = signs * X, signs * P, signs * G, support * w
    x = p * _inverse_root(_total(p * p))
    y = support * a - multiplier * rates * w
    n_left, smallest = _total(support), SMALLEST_PART * a.detach().amax(-1, True)
    is_spent = y.detach().amax(-1, True) <= smallest
    inverse = ((n_left > 1.0) & ~is_spent) * _inverse_root(_total(y * y))

    product = _total(g * x)
    if scale == "ls":
        length = _total(x * a)
        of_length, of_x = x, support * (length * g + product * a)
    else:
        of_length = a * _inverse_root(_total(a * a))
        of_x = support * g * _total(a * of_length)
    direct = product * of_length + inverse * (of_x - _total(of_x * x) * x)

    mean, squares = _total(w * x), _total(w * w)
    room = squares - mean * mean
    has_room = room > LEAST_ROOM * squares
    turn = has_room * (w - mean * x)

    # Where spent entries are equal or, between two with weights, a - threshold * w is.
    away = w - support * _total(w) / n_left.clamp(min=1.0)
    lift = torch.where(
        y.detach().amin(-1, True) < -smallest,
        _ratio(away, _total(away * away)),
        _ratio(x, mean),
    )
    return _Linearised(
        direct=signs * direct,
        turn=signs * turn,
        room=has_room * room,
        along=_total(of_x * turn),
        lift=signs * lift / rates,
        inverse=rates * inverse,
        tied=rates * ((n_left > 1.0) & is_spent),
        rates=rates,
    )


def _sum_of_all(columns):
    return sum(column.sum((0, 1), keepdim=True) for column in columns)


def _respond(rows, g, add):
    """Add to the gradient of rows what they do by way of the multiplier.

    A mean falls by inverse * room as the multiplier rises, and all of them together
    keep their cost. At a jump the multiplier is where tied entries are spent, which
    stay equal: the mean of their vector makes up for those of others.
    """
    use = add([-V.inverse * V.along for V in rows]) + g
    steepness = add([V.rates * V.inverse * V.room for V in rows])
    use_of_tied = add([-V.tied * V.along for V in rows])
    room_of_tied = add([V.rates * V.tied * V.room for V in rows])
    at_jump = room_of_tied > 0.0
    tied_share, share = _ratio(use_of_tied, room_of_tied), _ratio(use, steepness)
    share = torch.where(at_jump, tied_share, share)
    left = torch.where(at_jump, _ratio(use - share * steepness, room_of_tied), 0.0)
    return [
        V.direct
        + share * V.inverse * V.turn
        + left * V.rates * V.tied * V.room * V.lift
        for V in rows
    ]


def gradient(G, g, X, P, multiplier, weights, dims, sizes, per_vector, scale):
    """Gradient of the projection; `G` and `g` are those of its results."""
    vectors = _vectors_of(X, dims, sizes)
    if vectors.n_vectors == 0:
        return G

    def of_vectors(values):
        return vectors.split(values.reshape(values.numel())[vectors.indices])

    unit = _safe_scale(X.detach().reshape(X.numel()), (0,))
    W, rates, _ = _weights_of(vectors, weights, X)
    if per_vector:
        mu = [m * unit for m in of_vectors(multiplier)]
    else:
        mu = [multiplier.reshape(1, 1) * unit for _ in W]
    tensors = [T.to(_accumulator(X)) for T in (G, X * unit, P * unit)]
    rows = zip(*map(vectors.take, tensors), W, rates, mu, strict=True)
    rows = [_linearised(*row, scale) for row in rows]
    if per_vector:  # equal entries have a mean that does not change
        rows = [V._replace(tied=torch.zeros_like(V.tied)) for V in rows]
        pairs = zip(rows, of_vectors(g), strict=True)
        rows = [_respond([V], of_mu, sum)[0] for V, of_mu in pairs]
    else:
        rows = _respond(rows, g.reshape(1, 1), _sum_of_all)
    rows = zip(rows, vectors.take(G), mu, strict=True)
    rows = [torch.where(m > 0.0, V.to(G.dtype), before) for V, before, m in rows]
    return vectors.put(rows, G)


# ---------------------------------------------------------------------------
# The sparsity


def sparsity_of_slices(X, dims, weights):
    """Hoyer sparsity of the slices of a tensor, differentiable."""
    X = X.to(_accumulator(X))
    if X.numel() == 0:
        return X.sum(dims) * torch.nan
    largest = X.detach().abs().amax(dims, keepdim=True)
    X = X / torch.where(largest > 0, largest, 1.0)
    w = torch.ones_like(X) if weights is None else weights.to(X.dtype).expand(X.shape)
    full, smallest = torch.linalg.vector_norm(w, dim=dims), w.amin(dims)
    is_zero = largest.sum(dims) == 0
    squares = (X * X).sum(dims)
    mean = (w * X.abs()).sum(dims) / torch.where(is_zero, 1.0, squares).sqrt()
    sparsity = (full - mean) / (full - smallest)
    return torch.where(is_zero & (full > smallest), 1.0, sparsity)
