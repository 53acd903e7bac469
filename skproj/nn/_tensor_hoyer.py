"""The group sparse projection of tensors, and its gradient.

The vectors are slices of one tensor along some dimensions, or a list of tensors. What
is computed for all of them at once sees their entries one after the other, with the
number of its vector beside each entry.
"""

from typing import NamedTuple

import torch
from torch.autograd.function import once_differentiable

from skproj import projection as arrays

# A direction that is left of less than this part of a vector is held fixed: it comes
# from entries that are equal but for rounding.
SMALLEST_PART = 1e-7


class Spec(NamedTuple):
    """What to do with the tensors.

    dims : what the vectors run along, or None if each tensor is a vector.
    weights : list with a tensor for each tensor, or None.
    options : further arguments of `skproj.projection.projection_hoyer`.
    """

    dims: tuple[int, ...] | None
    weights: list[torch.Tensor] | None
    options: dict


def _as_array(tensor, dtype):
    return tensor.detach().to("cpu", dtype).resolve_neg().numpy()


def project(spec, tensors):
    """Call the kernels; return the results, and the multipliers as a tensor."""
    works = [
        t.detach().to("cpu", torch.promote_types(t.dtype, torch.float32)).resolve_neg()
        for t in tensors
    ]
    results = [torch.empty_like(work) for work in works]
    X = [work.numpy() for work in works]
    out = [P.numpy() for P in results] or None  # [] is an array without entries
    weights = spec.weights
    if weights is not None:
        weights = [_as_array(w, torch.float64) for w in weights]
    axis = 0
    if spec.dims is not None:
        [X], [out], axis = X, out, spec.dims
        weights = None if weights is None else weights[0]
    _, multiplier = arrays.projection_hoyer(
        X,
        axis=axis,
        weights=weights,
        out=out,
        n_threads=torch.get_num_threads(),
        return_multiplier=True,
        **spec.options,
    )
    results = [P.to(X.device, X.dtype) for P, X in zip(results, tensors, strict=True)]
    return *results, torch.as_tensor(multiplier, dtype=torch.float64)


class Projection(torch.autograd.Function):
    """Maps (spec, tensors...) to the projections and the multiplier."""

    @staticmethod
    def forward(ctx, spec, *tensors):
        *results, multiplier = project(spec, tensors)
        ctx.mark_non_differentiable(multiplier)
        ctx.save_for_backward(*tensors, *results, multiplier)
        ctx.spec = spec
        return *results, multiplier

    @staticmethod
    @once_differentiable
    def backward(ctx, *G):
        *saved, multiplier = ctx.saved_tensors
        tensors, results = saved[: len(saved) // 2], saved[len(saved) // 2 :]
        gradients = _gradients(G[:-1], tensors, results, multiplier, ctx.spec)
        return None, *gradients


def _flat(tensors, dims):
    """Entries in the order of the vectors, as one float64 tensor on the CPU."""
    if dims is None:
        return torch.cat([t.reshape(-1).to("cpu", torch.float64) for t in tensors])
    [X] = tensors
    return _vectors_first(X, dims).reshape(-1).to("cpu", torch.float64)


def _vectors_first(X, dims):
    return X.permute([d for d in range(X.ndim) if d not in dims] + list(dims))


def _unflat(flat, tensors, dims):
    if dims is None:
        parts = flat.split([t.numel() for t in tensors])
        parts = [part.view(t.shape) for part, t in zip(parts, tensors, strict=True)]
    else:
        [X] = tensors
        moved = torch.empty_like(X, dtype=torch.float64, device="cpu")
        _vectors_first(moved, dims).copy_(flat.view(_vectors_first(X, dims).shape))
        parts = [moved]
    return [part.to(t.device, t.dtype) for part, t in zip(parts, tensors, strict=True)]


def _gradients(G, tensors, results, multiplier, spec):
    if spec.dims is None:
        sizes = torch.tensor([t.numel() for t in tensors])
    else:
        size = 1
        for d in spec.dims:
            size *= tensors[0].shape[d]
        sizes = torch.full((tensors[0].numel() // max(size, 1),), size)
    weights = None
    if spec.weights is not None:
        expanded = [
            w.expand(t.shape) for w, t in zip(spec.weights, tensors, strict=True)
        ]
        weights = _flat(expanded, spec.dims)
    flat = gradient_of_hoyer(
        *(_flat(part, spec.dims) for part in (G, tensors, results)),
        weights,
        sizes,
        multiplier.reshape(-1),
        spec.options["scale"],
    )
    return _unflat(flat, tensors, spec.dims)


def gradient_of_hoyer(G, X, P, weights, sizes, multiplier, scale):
    """Gradient of the projection of vectors that follow one another.

    On its support S the direction is x = y / q with y = a - mu * r * w and q its
    length, where r is the rate that makes means w @ x sparsities, and the result is x
    times its product with a, or times the length of a. A mean changes with y by
    (w - mean * x) / q, and with mu by -r * (w @ w - mean^2) / q, the sum over S. The
    sum of r times the means stays what it is: how mu moves follows from that.

    A single multiplier belongs to all vectors, several ones to a vector each.
    """
    number = torch.arange(len(sizes)).repeat_interleave(sizes)

    def total(values):
        return values.new_zeros(len(sizes)).index_add(0, number, values)

    def of_vectors(values, reduce):
        start = values.new_zeros(len(sizes))
        return start.scatter_reduce(0, number, values, reduce, include_self=False)

    unit = X.abs().max().clamp(min=torch.finfo(X.dtype).tiny)
    a, signs, support = X.abs() / unit, X.sign(), P != 0
    w = torch.ones_like(a) if weights is None else weights
    rates = 1.0 / (
        (w * w).new_tensor(0.0) + total(w * w).sqrt() - of_vectors(w, "amin")
    )
    rates = torch.where(sizes > 1, rates, 0.0)
    threshold = multiplier / unit * rates

    x = P.abs() / unit
    x = x / total(x * x).sqrt().clamp(min=torch.finfo(X.dtype).tiny)[number]
    w = torch.where(support, w, 0.0)
    y = torch.where(support, a, 0.0) - threshold[number] * w
    q = total(y * y).sqrt()
    free = (q > SMALLEST_PART * of_vectors(a, "amax")) & (total(support.double()) > 1)
    one_over_q = torch.where(free, 1.0 / torch.where(free, q, 1.0), 0.0)

    h = signs * G
    along = total(h * x)
    norm = total(a * a).sqrt()
    if scale == "ls":
        length, of_length = total(x * a), x
        v = length[number] * h + (along * threshold)[number] * w
    else:
        length, of_length = norm, a / norm.clamp(min=torch.finfo(X.dtype).tiny)[number]
        v = length[number] * h
    v = torch.where(support, v, 0.0)
    mean = total(w * x)
    across = one_over_q[number] * (v - total(v * x)[number] * x)
    of_mean = one_over_q[number] * (w - mean[number] * x)

    use = -rates * total(w * across)
    steepness = rates * rates * one_over_q * (total(w * w) - mean * mean)
    if len(multiplier) == 1:
        use, steepness = use.sum(), steepness.sum()
    share = torch.where(steepness > 0.0, use / steepness, 0.0) * rates
    gradient = along[number] * of_length + across + share[number] * of_mean
    changed = ((multiplier > 0.0) & (sizes > 1))[number]
    return torch.where(changed, signs * gradient, G)


def sparsity_of_slices(X, dims, weights):
    """Hoyer sparsity of the slices of a tensor, differentiable."""
    X = X.to(torch.float32 if X.device.type == "mps" else torch.float64)
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
