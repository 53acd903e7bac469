"""The projections in plain PyTorch, for tensors on any device, and their gradients.

Most of them are chains of levels. A level is a norm (1, 2 or inf) and the dimensions
that it runs along: a fibre. The norms of the fibres of the innermost level are the
entries of the next level, and so on outwards. The radius is the budget of the
outermost fibre; projecting a fibre onto the ball of its budget gives each of its
entries a value, which is the budget of the fibre behind that entry. With one level
that is the l1, l2 or l_inf ball, with two a bi-level projection.

Sums are float64 for float32 tensors. Nothing here reads a number back from the device,
except the exact l1,inf projection once in a few steps. Reduced tensors keep their
dimensions, with size 1, so that they broadcast against what they were reduced from.
"""

import math
from typing import NamedTuple

import torch

# Newton's method for the exact l1,inf ball: reading a result back stalls the device,
# so that it is done once in some steps. The cap is far beyond what any matrix needs.
STEPS_BETWEEN_CHECKS = 8
MAX_CHECKS = 64

# Powers of two: scaling by them and their inverses is exact and stays in the range.
SMALLEST_SCALE, LARGEST_SCALE = 2.0**-1000, 2.0**1000


class Level(NamedTuple):
    """One level of a chain: a norm of order 1, 2 or inf along some dimensions."""

    norm: float
    dims: tuple[int, ...]


def chain_of_levels(levels):
    """Drop levels without dimensions, and merge those that act as one.

    The l2 norm of l2 norms is an l2 norm, and so is its projection; the same holds
    for l_inf. It does not for l1, where the levels share out budgets.
    """
    chain = []
    for level in levels:
        if chain and level.norm == chain[-1].norm != 1:
            chain[-1] = Level(level.norm, chain[-1].dims + level.dims)
        elif level.dims:
            chain.append(level)
    return chain


# ---------------------------------------------------------------------------
# Building blocks


def accumulator(X):
    """Type that sums are carried in; some devices have no float64."""
    return torch.float32 if X.device.type == "mps" else torch.float64


def _norm(V, level):
    norm, dims = level
    if norm == math.inf:  # on a CPU vector_norm is much slower than this
        largest = torch.maximum(V.amax(dims, keepdim=True), -V.amin(dims, keepdim=True))
        return largest.to(accumulator(V))
    return torch.linalg.vector_norm(V, norm, dims, keepdim=True, dtype=accumulator(V))


def _norms_of_levels(V, levels):
    """List the entries of every level, from the norm of all down to `V` itself."""
    values = [V]
    for level in reversed(levels):
        values.insert(0, _norm(values[0], level))
    return values


def safe_scale(X, dims, at_least=0.0):
    """Power of two that brings `X` near 1, where sums and squares are harmless.

    float32 needs none: its squares are far within the range of the sums. Then the
    result is no tensor but the number 1, which `_scaled` does not multiply by.
    """
    if X.dtype != torch.float64:
        return 1.0
    largest = X.abs().amax(dims, keepdim=True).clamp(min=at_least)
    largest = largest.clamp(SMALLEST_SCALE, LARGEST_SCALE)
    return torch.frexp(largest).mantissa / largest


def _scaled(X, scale):
    return X * scale if isinstance(scale, torch.Tensor) else X


def _fibres_last(V, dims):
    """Move `dims` to the end, as one dimension."""
    rest = [d for d in range(V.ndim) if d not in dims]
    return V.permute(*rest, *dims).flatten(len(rest))


def _per_fibre(values, V, dims):
    """Shape one value for each fibre such that it broadcasts against `V`."""
    return values.reshape([1 if d in dims else n for d, n in enumerate(V.shape)])


def ratio(a, b):
    """Divide, with 0 for 0 / 0, and without NaN in gradients."""
    return a / torch.where(b > 0, b, 1.0)


def _constant(X, number):
    """Make a tensor of one number, of the dimensions of `X`, without a transfer."""
    size = [1] * X.ndim
    return torch.full(size, number, dtype=accumulator(X), device=X.device)


def _threshold(V, radius, dims, weights=None):
    """Solve ``sum(w * max(v - tau * w, 0)) == radius`` for tau in each fibre.

    Any set of entries bounds tau from below by (sum w v - radius) / sum w^2, and the
    right set, which is a head of the entries in the order of v / w, attains it: tau is
    a maximum, which needs no search for the right set.
    """
    v, radius = _fibres_last(V, dims), _fibres_last(radius, dims)
    if weights is None:
        sums = v.sort(-1, descending=True).values.cumsum(-1)
        squares = torch.arange(1, v.shape[-1] + 1, device=V.device, dtype=sums.dtype)
    else:
        w = _fibres_last(weights, dims)
        # Entries without a weight are free and come first, be they 0 or not.
        order = torch.where(w > 0, v / w, math.inf).argsort(-1, descending=True)
        v, w = v.gather(-1, order), w.gather(-1, order)
        sums, squares = (v * w).cumsum(-1), (w * w).cumsum(-1)
    bounds = torch.where(squares > 0, (sums - radius) / squares, -math.inf)
    return _per_fibre(bounds.amax(-1), V, dims)


def _onto_simplex(V, radius, dims):
    """Project the fibres, counted from their maxima.

    What is left of them may be tiny, and the rounding of the entries must not be
    large beside it: their differences are exact.
    """
    V = V.to(accumulator(V))
    V = V - V.amax(dims, keepdim=True)
    return (V - _threshold(V, radius, dims)).clamp(min=0.0)


def _project_fibres(V, norm, budget, level):
    """Project the non-negative fibres of a level, each onto the ball of its budget."""
    if level.norm == 1:
        return torch.where(norm <= budget, V, _onto_simplex(V, budget, level.dims))
    if level.norm == 2:
        return V * _l2_factor(norm, budget)
    return torch.minimum(V, budget)


def _l2_factor(norm, budget):
    return torch.where(norm <= budget, 1.0, budget / norm)


def _clip(X, level):
    level = level.to(X.dtype)
    return X.clamp(0.0 - level, level)  # 0.0 - 0.0 is not the -0.0 that -0.0 would be


def with_signs_of(X, V):
    """Give the signs of `X`, and its type, to what is not negative; 0 gets none."""
    return torch.where(X < 0, 0.0 - V, V).to(X.dtype)


# ---------------------------------------------------------------------------
# Projections


def project_levels(X, radius, levels):
    """Project a non-empty tensor by a chain of levels, outermost first."""
    all_dims = tuple(d for level in levels for d in level.dims)
    scale = safe_scale(X, all_dims)
    values = _norms_of_levels(_scaled(X, scale), levels)
    budget = _constant(X, radius) * scale
    *outer, inner = levels
    *outer_norms, norm, V = values
    for i, level in enumerate(outer):
        budget = _project_fibres(values[i + 1], outer_norms[i], budget, level)
    if inner.norm == 1:
        shrunk = _onto_simplex(V.abs(), budget, inner.dims) / scale
        return torch.where(norm <= budget, X, with_signs_of(X, shrunk))
    if inner.norm == 2:
        return (X * _l2_factor(norm, budget)).to(X.dtype)
    return _clip(X, budget / scale)


def project_simplex(X, radius, dims):
    """Project each slice of a non-empty tensor onto the simplex."""
    scale = safe_scale(X, dims, at_least=radius)
    P = _onto_simplex(_scaled(X, scale), _constant(X, radius) * scale, dims)
    return (P / scale).to(X.dtype)


def project_weighted_l1(X, radius, dims, weights):
    """Project each slice of a non-empty tensor onto the weighted l1 ball."""
    w = weights.to(accumulator(X)).expand(X.shape)
    scale = safe_scale(X, dims)
    # Multiplying weights and radius by one number leaves the ball as it is.
    weight_scale = safe_scale(w, dims)
    w = w * weight_scale
    V = _scaled(X, scale).abs().to(w.dtype)
    radius = _constant(X, radius) * (scale * weight_scale)
    inside = (w * V).sum(dims, keepdim=True) <= radius
    tau = _threshold(V, radius, dims, w).clamp(min=0.0)
    shrunk = (V - tau * w).clamp(min=0.0)
    # The rounding of V is not small beside a tiny radius.
    shrunk = shrunk * ratio(radius, (w * shrunk).sum(dims, keepdim=True))
    return torch.where(inside | (w == 0), X, with_signs_of(X, shrunk / scale))


def project_l1inf(X, radius, dims):
    """Project a non-empty tensor onto the l1,inf ball, exactly.

    A group that loses theta in l1 norm is clipped at mu(theta), which is piecewise
    linear. With the entries of a group in descending order a_1, a_2, ... it is
    (a_1 + ... + a_k - theta) / k as long as k entries are clipped, which ends at the
    theta where the level has come down to a_{k+1}. After sorting, a step of Newton's
    method on sum mu(theta) = radius is a search in the ends of the pieces. From the
    left of the root the steps never pass it.
    """
    scale = safe_scale(X, tuple(range(X.ndim)))
    groups = _fibres_last(_scaled(X, scale).abs(), dims).to(accumulator(X))
    size = groups.shape[-1]
    groups = groups.reshape(-1, size)
    budget = (_constant(X, radius) * scale).flatten()
    ordered = groups.sort(1, descending=True).values
    sums = ordered.cumsum(1)
    counts = torch.arange(1, size + 1, device=X.device, dtype=groups.dtype)
    after = torch.nn.functional.pad(ordered[:, 1:], (0, 1))
    ends = (sums - counts * after).cummax(1).values  # rounding must not unsort them

    def levels_and_slopes(theta):
        piece = torch.searchsorted(ends, theta.repeat(len(ends), 1), right=True)
        alive = (piece < size).to(sums.dtype)
        piece = piece.clamp(max=size - 1)
        mu = (sums.gather(1, piece) - theta).clamp(min=0.0) / counts[piece]
        return alive * mu, alive / counts[piece]

    theta = torch.zeros_like(budget)
    for _ in range(MAX_CHECKS):
        for _ in range(STEPS_BETWEEN_CHECKS):
            mu, slopes = levels_and_slopes(theta)
            proposed = theta + (mu.sum() - budget) / slopes.sum()
            rises = proposed > theta  # false for NaN: bad input ends the loop
            theta = torch.where(rises, proposed, theta)
        if not rises:
            break
    mu, _ = levels_and_slopes(theta)
    mu = mu * (budget / mu.sum()).clamp(max=1.0).nan_to_num(nan=0.0)
    largest = ordered[:, :1]
    mu = torch.where(largest.sum() <= budget, largest, mu)
    return _clip(X, _per_fibre(mu, X, dims) / scale)


# ---------------------------------------------------------------------------
# Gradients. G is that of the result P. Where P does not depend on small changes of an
# entry the gradient is 0; at kinks it is one of the possible ones. All of them are made
# of differentiable operations, so that they have gradients themselves.


def _signs_of_losses(X, P):
    return (X.detach() - P.detach()).sign_()


def gradient_of_levels(G, X, P, levels):
    """Gradient of a chain of levels with a positive radius.

    The v of a level come from X, its u from P, and the norm of the u of a fibre is its
    budget. For a fibre that is not left alone, with g the gradient of u and s the
    signs, which only the innermost entries have, the gradients of v and of the budget
    are

    - l1: on the support of u, ``g - s * mean`` and ``mean``, that of ``s * g``: the
      threshold is the mean of v over the support less the budget over its size;
    - l2, with the direction e = v / norm(v): ``budget / norm(v) * (g - e * <e, g>)``
      and ``<e, g>``;
    - l_inf: g where v is not clipped, and the sum of ``s * g`` where it is.

    The gradients of budgets go outwards, level by level; then those of the v go back
    inwards through the norms that the v are.
    """
    # Signs where entries differ, 0 elsewhere. On CPUs, arithmetic with signs is several
    # times as fast as with masks, and most of its time goes to new memory.
    lost = [_signs_of_losses(X, P)]
    for level in reversed(levels):
        lost.insert(0, lost[0].abs().amax(level.dims, keepdim=True))
    # Only ratios and signs of norms are used, so that they may be scaled.
    scale = safe_scale(X.detach(), tuple(d for level in levels for d in level.dims))

    def norms(Y):
        needed = levels if levels[0].norm != 1 else levels[1:]
        values = _norms_of_levels(_scaled(Y, scale), needed)
        values = [value.to(G.dtype) for value in values]
        return values if needed is levels else [None, *values]

    v, u = norms(X), norms(P)

    # Fibres that come through unchanged: all is inside, or an l_inf budget is slack.
    free = lost[0] == 0
    for i, level in enumerate(levels, 1):
        if level.norm == math.inf:
            free = free | ((lost[i - 1] == 0) & (u[i - 1] > 0))

    g = G
    direct = []
    for i, level in reversed(list(enumerate(levels, 1))):
        if level.norm == 1:
            signs = u[i].detach().sign()
            count = signs.abs().sum(level.dims, keepdim=True).clamp(min=1.0)
            along = signs * g
            mean = along.sum(level.dims, keepdim=True) / count
            direct.insert(0, (along - mean).mul_(signs))
            g = mean
        elif level.norm == 2:
            along = ratio(v[i], v[i - 1])
            inner = (along * g).sum(level.dims, keepdim=True)
            across = torch.addcmul(g, along, inner, value=-1)
            direct.insert(0, ratio(u[i - 1], v[i - 1]) * across)
            g = inner
        else:
            along = lost[i] * g
            kept = u[i - 1].detach().sign()
            direct.insert(0, torch.addcmul(g, lost[i], along, value=-1).mul_(kept))
            g = along.sum(level.dims, keepdim=True)

    del along, lost  # large ones, before new ones are made
    h = direct[0]
    for i, level in enumerate(levels[1:], 2):
        h = torch.addcmul(direct[i - 1], h, _gradient_of_norm(v[i], v[i - 1], level))
    return torch.where(free, G, h)


def _gradient_of_norm(V, norm, level):
    if level.norm == 2:
        return ratio(V, norm)
    signs = V.detach().sign()
    if level.norm == 1:
        return signs
    largest = V.detach().abs().sub_(norm.detach()).sign_().add_(1.0)  # 0 if smaller
    return signs.mul_(largest).div_(largest.sum(level.dims, keepdim=True))


def gradient_of_simplex(G, X, P, dims):
    """Gradient for a positive radius: on the support, less the mean there.

    The support has a fixed sum, so that a change of all its entries alike is undone.
    """
    support = (P > 0).to(G.dtype)
    count = support.sum(dims, keepdim=True).clamp(min=1.0)
    return support * (G - (support * G).sum(dims, keepdim=True) / count)


def gradient_of_weighted_l1(G, X, P, dims, weights):
    """Gradient for a positive radius.

    On the support ``tau = (sum w |x| - radius) / sum w^2``, so that the gradient there
    loses its component along the weights. Entries without a weight are never changed.
    """
    outside = (X != P).any(dims, keepdim=True)
    along = weights.to(accumulator(X)) * P.detach().sign()
    along = along * safe_scale(along, dims)
    component = ratio(
        (along * G).sum(dims, keepdim=True), (along * along).sum(dims, keepdim=True)
    )
    support = (P != 0) | (weights == 0)
    moved = torch.where(support, G - along * component, 0.0).to(G.dtype)
    return torch.where(outside, moved, G)


def gradient_of_l1inf(G, X, P, dims):
    """Gradient of the exact l1,inf projection for a positive radius.

    A kept group with k clipped entries is clipped at mu = (sum of them - theta) / k,
    and theta follows from the levels, which add up to the radius.
    """
    lost = _signs_of_losses(X, P)  # the clipped entries
    counts = lost.abs().sum(dims, keepdim=True)
    kept = P.detach().abs().amax(dims, keepdim=True).sign()
    shares = kept / counts.clamp(min=1.0)
    along = lost * G
    g = along.sum(dims, keepdim=True)
    mean = ratio((shares * g).sum(), shares.sum())
    direct = torch.addcmul(G, lost, along, value=-1).mul_(kept)
    moved = torch.addcmul(direct, lost, shares * (g - mean))
    return torch.where(counts.amax() > 0, moved, G)
