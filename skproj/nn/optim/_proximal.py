"""Steps on a loss and on a sparse penalty, for all optimizers of skproj.

A proximal step computes, in place and without a graph,

    argmin over x of  sum_i (x_i - w_i)^2 / (2 amount_i) + penalty(x)

where the penalty is the l1 norm, or the sum of the l2 norms of groups, and an amount is
a step size times the weight of the penalty. Step sizes that differ from weight to
weight would leave the norms of groups without a formula. Therefore the weights of a
group share their step size.
"""

import math

import torch


def shape_of_groups(weight, dim):
    """Return the shape of a number for each group, whose entries run along `dim`."""
    dims = range(weight.ndim) if dim is None else [dim] if isinstance(dim, int) else dim
    inside = {d % weight.ndim for d in dims}
    return [1 if d in inside else n for d, n in enumerate(weight.shape)]


def proximal_step_(weight, amount, penalty, dim=0):
    """Apply the proximity operator of a penalty, "l1" or "l12", in place.

    `dim` is what the l2 norm of a group runs along.
    """
    if penalty == "l1":
        return soft_threshold_(weight, amount)
    return group_soft_threshold_(weight, amount, dim)


@torch.no_grad()
def soft_threshold_(weight, amount):
    """Move each weight towards zero by a non-negative amount, and no further.

    Weights of at most `amount` become exact zeros.
    """
    return weight.sub_(weight.clamp(-amount, amount))


@torch.no_grad()
def group_soft_threshold_(weight, amount, dim=0):
    """Shrink each group of weights, down to exact zeros if its norm is small.

    The non-negative `amount`, a number or a tensor with one for each group, is
    subtracted from the l2 norm of each group, which runs along `dim`.
    """
    if weight.numel() == 0:
        return weight
    norm = _norms(weight, dim)
    smallest = torch.finfo(norm.dtype).tiny  # makes 0 / 0 zero
    factor = (norm - amount).clamp_(min=0).div_(norm.clamp_(min=smallest))
    return weight.mul_(factor.to(weight.dtype))


@torch.no_grad()
def adam_step_(
    weight,
    gradient,
    mean,
    mean_square,
    n_steps,
    *,
    lr,
    betas,
    eps,
    weight_decay,
):
    """Take a step of `torch.optim.AdamW` in place; return the step sizes.

    The averages of the gradient and of its square are changed in place as well. The
    second has the shape of `weight`, or that of `shape_of_groups`, if groups share
    their averages and step sizes. `n_steps` counts this step.
    """
    beta1, beta2 = betas
    mean.lerp_(gradient, 1.0 - beta1)
    if mean_square.shape == weight.shape:
        mean_square.mul_(beta2).addcmul_(gradient, gradient, value=1.0 - beta2)
    else:
        dims = [d for d, n in enumerate(mean_square.shape) if n == 1]
        norm = _norms(gradient, dims).mul_(
            math.sqrt(max(mean_square.numel(), 1) / max(weight.numel(), 1))
        )
        mean_square.mul_(beta2).add_(norm.square_(), alpha=1.0 - beta2)
    # The root comes first: in float16 a square may be beyond its range.
    scale = mean_square.sqrt().div_(math.sqrt(1.0 - beta2**n_steps)).add_(eps)
    if weight_decay > 0.0:
        weight.mul_(1.0 - lr * weight_decay)
    weight.addcdiv_(mean, scale, value=-lr / (1.0 - beta1**n_steps))
    return scale.reciprocal_().mul_(lr)


def _norms(weight, dim):
    """Compute the l2 norms of groups, in float32 at least, in a shape that fits."""
    dtype = torch.promote_types(weight.dtype, torch.float32)
    if shape_of_groups(weight, dim)[-1:] != [1]:
        # Several times as fast where the entries of a group are not neighbours.
        return weight.to(dtype).square().sum(dim, keepdim=True).sqrt_()
    return torch.linalg.vector_norm(weight, dim=dim, keepdim=True, dtype=dtype)
