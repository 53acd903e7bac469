"""Projections of tensors onto balls, each with a twin that works in place."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from skproj import projection as arrays
from skproj._typing import Axes, Axis, Number, Params
from skproj.nn.functional._docs import document, document_in_place
from skproj.nn.functional._operator import (
    operands,
    project_in_place,
    project_out_of_place,
)
from skproj.projection._docs import alias


def out_of_place(
    of_array: Callable[..., Any],
) -> Callable[[Callable[Params, Any]], Callable[Params, torch.Tensor]]:
    """Make a projection into a new tensor of a function that checks its arguments.

    The function has the name, the signature and the docstring of the result, and
    returns the `operands` of the projection; `of_array` is the one for arrays, whose
    description it shares.
    """

    def decorate(check):
        @functools.wraps(check)
        def project(*args, **kwargs):
            return project_out_of_place(*check(*args, **kwargs))

        return document(of_array)(project)

    return decorate


def in_place(
    function: Callable[Params, torch.Tensor],
) -> Callable[Params, torch.Tensor]:
    """Make the twin of a projection that writes into its argument."""
    check = function.__wrapped__

    @functools.wraps(check)
    def project(*args, **kwargs):
        return project_in_place(*check(*args, **kwargs))

    project.__name__ = project.__qualname__ = f"{check.__name__}_"
    return document_in_place(project, function)


@out_of_place(arrays.projection_simplex)
def projection_simplex(X: torch.Tensor, radius: Number = 1.0, *, dim: Axis = None):
    """Project a tensor, or each slice of it, onto the simplex.

    >>> x = torch.tensor([0.5, 1.0, -2.0])
    >>> projection_simplex(x)
    tensor([0.2500, 0.7500, 0.0000])
    """
    return operands("simplex", X, radius, dim)


@out_of_place(arrays.projection_l1_ball)
def projection_l1_ball(X: torch.Tensor, radius: Number, *, dim: Axis = None):
    """Project a tensor, or each slice of it, onto the l1 ball.

    >>> x = torch.tensor([3.0, -1.0, 0.5])
    >>> projection_l1_ball(x, 2.0)
    tensor([2., 0., 0.])
    """
    return operands("l1", X, radius, dim)


@out_of_place(arrays.projection_weighted_l1_ball)
def projection_weighted_l1_ball(
    X: torch.Tensor, radius: Number, weights: torch.Tensor, *, dim: Axis = None
):
    """Project a tensor, or each slice of it, onto a weighted l1 ball.

    Parameters
    ----------
    weights : torch.Tensor of the shape of `X`, or broadcastable to it
        Finite and non-negative, on the device of `X`. An entry whose weight is zero is
        left alone.

    >>> x = torch.tensor([3.0, -1.0, 0.5])
    >>> w = torch.tensor([1.0, 2.0, 0.0])
    >>> projection_weighted_l1_ball(x, 2.0, w)
    tensor([2.0000, 0.0000, 0.5000])
    """
    return operands("weighted_l1", X, radius, dim, weights)


@out_of_place(arrays.projection_l2_ball)
def projection_l2_ball(X: torch.Tensor, radius: Number, *, dim: Axis = None):
    """Project a tensor, or each slice of it, onto the l2 ball.

    >>> x = torch.tensor([3.0, -4.0])
    >>> projection_l2_ball(x, 2.5)
    tensor([ 1.5000, -2.0000])
    """
    return operands("l2", X, radius, dim)


@out_of_place(arrays.projection_linf_ball)
def projection_linf_ball(X: torch.Tensor, radius: Number, *, dim: Axis = None):
    """Project a tensor, or each slice of it, onto the l_inf ball.

    >>> x = torch.tensor([3.0, -4.0, 1.0])
    >>> projection_linf_ball(x, 2.0)
    tensor([ 2., -2.,  1.])
    """
    return operands("linf", X, radius, dim)


@out_of_place(arrays.projection_l12_ball)
def projection_l12_ball(X: torch.Tensor, radius: Number, *, dim: Axis = 0):
    """Project a tensor onto the l1,2 ball (group lasso).

    >>> X = torch.tensor([[3.0, 0.6, 0.5], [-4.0, 0.8, 0.0]])
    >>> projection_l12_ball(X, 2.5)
    tensor([[ 1.5000,  0.0000,  0.0000],
            [-2.0000,  0.0000,  0.0000]])
    """
    return operands("l12", X, radius, dim)


@out_of_place(arrays.projection_l1inf_ball)
def projection_l1inf_ball(X: torch.Tensor, radius: Number, *, dim: Axis = 0):
    """Project a tensor onto the l1,inf ball, exactly.

    Notes
    -----
    Devices other than the CPU sort the groups and are asked a few times whether
    Newton's method has converged.

    >>> X = torch.tensor([[3.0, 1.0, 0.5], [-1.0, 1.0, 0.0]])
    >>> projection_l1inf_ball(X, 2.0)
    tensor([[ 1.6667,  0.3333,  0.0000],
            [-1.0000,  0.3333,  0.0000]])
    """
    return operands("l1inf", X, radius, dim)


@out_of_place(arrays.projection_bilevel_l11_ball)
def projection_bilevel_l11_ball(X: torch.Tensor, radius: Number, *, dim: Axis = 0):
    """Project a tensor onto the l1,1 ball in two levels.

    >>> X = torch.tensor([[3.0, 1.0, 0.5], [-1.0, 1.0, 0.0]])
    >>> projection_bilevel_l11_ball(X, 2.0)
    tensor([[2., 0., 0.],
            [0., 0., 0.]])
    """
    return operands("bilevel_l11", X, radius, dim)


@out_of_place(arrays.projection_bilevel_l1inf_ball)
def projection_bilevel_l1inf_ball(X: torch.Tensor, radius: Number, *, dim: Axis = 0):
    """Project a tensor onto the l1,inf ball in two levels.

    >>> X = torch.tensor([[3.0, 1.0, 0.5], [-1.0, 1.0, 0.0]])
    >>> projection_bilevel_l1inf_ball(X, 2.0)
    tensor([[ 2.,  0.,  0.],
            [-1.,  0.,  0.]])
    """
    return operands("bilevel_l1inf", X, radius, dim)


@out_of_place(arrays.projection_multilevel)
def projection_multilevel(
    X: torch.Tensor,
    radius: Number,
    norms: Sequence[Number] = (1, math.inf, math.inf),
    *,
    dims: Axes = None,
):
    """Project a tensor onto the ball of a norm of norms, level by level.

    >>> W = torch.arange(8.0).reshape(4, 1, 1, 2)
    >>> projection_multilevel(W, 4.0, (1, math.inf), dims=(0, (1, 2, 3))).flatten(1)
    tensor([[0., 0.],
            [0., 0.],
            [1., 1.],
            [3., 3.]])
    """
    return operands("multilevel", X, radius, dims, norms=norms)


projection_bilevel_l12_ball = alias(projection_l12_ball, "projection_bilevel_l12_ball")

projection_simplex_ = in_place(projection_simplex)
projection_l1_ball_ = in_place(projection_l1_ball)
projection_weighted_l1_ball_ = in_place(projection_weighted_l1_ball)
projection_l2_ball_ = in_place(projection_l2_ball)
projection_linf_ball_ = in_place(projection_linf_ball)
projection_l12_ball_ = in_place(projection_l12_ball)
projection_l1inf_ball_ = in_place(projection_l1inf_ball)
projection_bilevel_l11_ball_ = in_place(projection_bilevel_l11_ball)
projection_bilevel_l1inf_ball_ = in_place(projection_bilevel_l1inf_ball)
projection_multilevel_ = in_place(projection_multilevel)
projection_bilevel_l12_ball_ = alias(
    projection_l12_ball_, "projection_bilevel_l12_ball_"
)

# For each ball of the registry the function and its twin in place.
BY_BALL = {
    "l1": (projection_l1_ball, projection_l1_ball_),
    "l2": (projection_l2_ball, projection_l2_ball_),
    "linf": (projection_linf_ball, projection_linf_ball_),
    "l12": (projection_l12_ball, projection_l12_ball_),
    "l1inf": (projection_l1inf_ball, projection_l1inf_ball_),
    "bilevel_l11": (projection_bilevel_l11_ball, projection_bilevel_l11_ball_),
    "bilevel_l12": (projection_bilevel_l12_ball, projection_bilevel_l12_ball_),
    "bilevel_l1inf": (projection_bilevel_l1inf_ball, projection_bilevel_l1inf_ball_),
}
