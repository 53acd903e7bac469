"""Proximal steps of sparse penalties, for all the optimizers.

A proximal step computes, in place and without a graph,

    argmin over x of  sum_i (x_i - w_i)^2 / (2 amount_i) + penalty(x)

where the penalty is the l1 norm, or the sum of the l2 norms of groups, and an amount is
a step size times the weight of the penalty. SGD has one amount; Adam has one for each
weight, because its step sizes differ.
"""

import torch

# For the norm of a group. About five steps are enough in float64, even where the
# amounts in a group differ by sixteen orders of magnitude.
MAX_NEWTON_STEPS = 20


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

    A number `amount` is subtracted from the l2 norm of each group, which runs along
    `dim`; a tensor holds a non-negative amount for each weight.
    """
    if weight.numel() == 0:
        return weight
    if isinstance(amount, torch.Tensor):
        # Ratios of the numbers of a group, and their squares, can be beyond float16.
        dtype = torch.promote_types(weight.dtype, torch.float32)
        # A threshold of 0, which may have been rounded to it, leaves 0 / 0 of a zero.
        amount = amount.to(dtype).clamp(min=torch.finfo(dtype).tiny)
        norm = _norms_after_threshold(weight.to(dtype), amount, dim)
        return weight.mul_(norm / (norm + amount))
    norm = _norms(weight, dim)
    smallest = torch.finfo(norm.dtype).tiny  # makes 0 / 0 zero
    return weight.mul_((norm - amount).clamp_(min=0).div_(norm.clamp_(min=smallest)))


def _norms(weight, dim):
    """Compute the l2 norms of the groups, in a shape that fits the weight."""
    return torch.linalg.vector_norm(weight, dim=dim, keepdim=True)


def _norms_after_threshold(weight, amount, dim):
    """Find the norms of the groups of the minimiser, for one amount per weight.

    With r the norm of its group, the minimiser is r w / (r + amount), and r solves
    ``|| w / (r + amount) || = 1``. The inverse of that norm is concave and increases
    with r, so that Newton's method started below the solution stays below it; with
    equal amounts it starts at the solution.
    """
    dims = tuple(range(weight.ndim)) if dim is None else dim
    norm = (_norms(weight, dim) - amount.amax(dim=dims, keepdim=True)).clamp_(min=0)
    tol = 4 * torch.finfo(weight.dtype).eps
    for _ in range(MAX_NEWTON_STEPS):
        denominator = norm + amount
        ratio = weight / denominator
        excess = _norms(ratio, dim) - 1
        # A group with no excess at r = 0 is zero.
        if (excess <= tol).all():
            break
        slope = (ratio.square() / denominator).sum(dim=dims, keepdim=True)
        step = excess * (excess + 1).square() / slope
        norm = torch.where(excess > tol, norm + step, norm)
    return norm
