"""Derivatives of the group sparse projection, and the sparsity of tensors.

All is made of differentiable operations, so that it has derivatives itself.
"""

from typing import NamedTuple

import torch

from skproj.nn.functional._hoyer_vectors import total, vectors_of, weights_of
from skproj.nn.functional._tensors import accumulator, ratio, safe_scale

# Entries are equal if they are left with less than this part of the largest one, and a
# direction is along the weights if its mean has less room to grow.
SMALLEST_PART = 1e-7
LEAST_ROOM = 1e-12


class _Linearised(NamedTuple):
    """Effects of small changes of the rows of a matrix, as matrices and columns.

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
    x = p * _inverse_root(total(p * p))
    y = support * a - multiplier * rates * w
    n_left, smallest = total(support), SMALLEST_PART * a.detach().amax(-1, True)
    is_spent = y.detach().amax(-1, True) <= smallest
    inverse = ((n_left > 1.0) & ~is_spent) * _inverse_root(total(y * y))

    product = total(g * x)
    if scale == "ls":
        length = total(x * a)
        of_length, of_x = x, support * (length * g + product * a)
    else:
        of_length = a * _inverse_root(total(a * a))
        of_x = support * g * total(a * of_length)
    direct = product * of_length + inverse * (of_x - total(of_x * x) * x)

    mean, squares = total(w * x), total(w * w)
    room = squares - mean * mean
    has_room = room > LEAST_ROOM * squares
    turn = has_room * (w - mean * x)

    # Where spent entries are equal or, between two with weights, a - threshold * w is.
    away = w - support * total(w) / n_left.clamp(min=1.0)
    lift = torch.where(
        y.detach().amin(-1, True) < -smallest,
        ratio(away, total(away * away)),
        ratio(x, mean),
    )
    return _Linearised(
        direct=signs * direct,
        turn=signs * turn,
        room=has_room * room,
        along=total(of_x * turn),
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
    tied_share, share = ratio(use_of_tied, room_of_tied), ratio(use, steepness)
    share = torch.where(at_jump, tied_share, share)
    left = torch.where(at_jump, ratio(use - share * steepness, room_of_tied), 0.0)
    return [
        V.direct
        + share * V.inverse * V.turn
        + left * V.rates * V.tied * V.room * V.lift
        for V in rows
    ]


def gradient(G, g, X, P, multiplier, weights, dims, sizes, per_vector, scale):
    """Gradient of the projection; `G` and `g` are those of its results."""
    vectors = vectors_of(X, dims, sizes)
    if vectors.n_vectors == 0:
        return G

    def of_vectors(values):
        return vectors.split(values.reshape(values.numel())[vectors.indices])

    unit = safe_scale(X.detach().reshape(X.numel()), (0,))
    W, rates, _ = weights_of(vectors, weights, X)
    if per_vector:
        mu = [m * unit for m in of_vectors(multiplier)]
    else:
        mu = [multiplier.reshape(1, 1) * unit for _ in W]
    tensors = [T.to(accumulator(X)) for T in (G, X * unit, P * unit)]
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


def sparsity_of_slices(X, dims, weights):
    """Hoyer sparsity of the slices of a tensor, differentiable."""
    X = X.to(accumulator(X))
    if X.numel() == 0:
        return X.sum(dims) * torch.nan
    largest = X.detach().abs().amax(dims, keepdim=True)
    X = X / torch.where(largest > 0, largest, 1.0)
    w = torch.ones_like(X) if weights is None else weights.to(X.dtype).expand(X.shape)
    full, smallest = torch.linalg.vector_norm(w, dim=dims), w.amin(dims)
    full = torch.where(smallest < 0.0, torch.nan, full)
    is_zero = largest.sum(dims) == 0
    squares = (X * X).sum(dims)
    mean = (w * X.abs()).sum(dims) / torch.where(is_zero, 1.0, squares).sqrt()
    sparsity = (full - mean) / (full - smallest)
    return torch.where(is_zero & (full > smallest), 1.0, sparsity)
