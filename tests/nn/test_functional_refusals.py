"""Arguments that the projections of tensors refuse, and CUDA devices."""

import math

import numpy as np
import pytest
import torch
from tensor_cases import (
    FUNCTIONS,
    X,
    assert_close,
    each_case,
    each_function,
    random_tensor,
)

import skproj.nn.functional as F


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (np.ones(3), "X must be a torch.Tensor, got ndarray"),
        (torch.ones(3, dtype=torch.int64), r"X must hold float64.* got torch.int64"),
        (torch.ones(3, dtype=torch.complex64), "X must hold .* got torch.complex64"),
        (torch.ones(3, dtype=torch.bool), "X must hold .* got torch.bool"),
        (torch.eye(3).to_sparse(), "X must be a dense tensor"),
        (torch.ones(3, device="meta"), "X is on the meta device"),
    ],
)
@each_function
def test_tensor_is_refused(case, tensor, message):
    """In one sentence that names the argument."""
    for suffix in ("", "_"):
        with pytest.raises(TypeError, match=message):
            getattr(F, f"{case.name}{suffix}")(
                tensor, 1.0, *([X] if case.weighted else [])
            )


@pytest.mark.parametrize(
    ("radius", "error", "message"),
    [
        (-1.0, ValueError, "radius must be non-negative"),
        (math.nan, ValueError, "radius must be non-negative"),
        ("1", TypeError, "radius must be a real number"),
        (torch.tensor(1.0), TypeError, "radius must be a float, got a tensor"),
    ],
)
@each_function
def test_radius_is_refused(case, radius, error, message):
    """Tensors as well, since reading them would wait for the device."""
    with pytest.raises(error, match=message):
        case(random_tensor(case), radius)


@pytest.mark.parametrize(
    ("dim", "error", "message"),
    [
        (2, ValueError, "dim must be between -2 and 1 .* got 2"),
        (-3, ValueError, "dim must be between -2 and 1 .* got -3"),
        ((0, -2), ValueError, "dim must not name a dimension twice"),
        ((), ValueError, "dim must name at least one dimension"),
        (1.0, TypeError, "dim must be an integer"),
        (True, TypeError, "dim must be an integer"),
    ],
)
def test_dim_is_refused(dim, error, message):
    """Whatever does not name dimensions of X."""
    with pytest.raises(error, match=message):
        F.projection_l1inf_ball(X, 1.0, dim=dim)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((1,), {}, TypeError, "norms must be a non-empty tuple"),
        (((),), {}, TypeError, "norms must be a non-empty tuple"),
        (((1, 3),), {}, ValueError, "norms must be 1, 2 or inf each"),
        (((1, 2, 2),), {}, ValueError, "norms must have one entry for each of the 2"),
        (((1, 2),), {"dims": (0,)}, ValueError, "dims must be a tuple with one"),
        (((1, 2),), {"dims": 0}, ValueError, "dims must be a tuple with one"),
        (((1, 2),), {"dims": (0, 0)}, ValueError, "dims must name each of the 2"),
        (((1,),), {"dims": (0,)}, ValueError, "dims must name each of the 2"),
        (((1, 2),), {"dims": (0, 5)}, ValueError, "dims must be between -2 and 1"),
        (((1, 2),), {"dims": (0, None)}, ValueError, "dims must name at least one"),
    ],
)
def test_levels_are_refused(arguments, options, error, message):
    """Norms and dimensions must fit each other, and X."""
    with pytest.raises(error, match=message):
        F.projection_multilevel(X, 1.0, *arguments, **options)


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (None, TypeError, "weights must be a torch.Tensor"),
        (np.ones(2), TypeError, "weights must be a torch.Tensor"),
        (torch.ones(3), ValueError, r"weights must have shape \(3, 2\) or be"),
        (torch.ones(2, 3, 2), ValueError, "weights must have shape"),
        (torch.tensor([1.0, -1.0]), ValueError, "weights must be finite"),
        (torch.tensor([1.0, math.nan]), ValueError, "weights must be finite"),
        (torch.ones(2, device="meta"), ValueError, "weights must be on the device"),
        (torch.ones(2, dtype=torch.complex64), TypeError, "weights must be a dense"),
    ],
)
def test_weights_are_refused(weights, error, message):
    """They must be real, of a fitting shape, on the device of X."""
    with pytest.raises(error, match=message):
        F.projection_weighted_l1_ball(X, 1.0, weights)


def test_scalar_and_infinite_simplex_are_refused():
    """As by the functions on arrays."""
    with pytest.raises(ValueError, match="X must have at least one dimension"):
        F.projection_l1_ball(torch.tensor(1.0), 1.0)
    with pytest.raises(ValueError, match=r"radius must be finite in torch.float16"):
        F.projection_simplex(X.half(), 1e5)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@each_function
def test_bad_entries_are_refused(case, bad):
    """On the CPU, where looking costs nothing."""
    X = random_tensor(case)
    X[0, -1] = bad
    with pytest.raises(ValueError, match="X contains NaN or infinity"):
        case(X, 1.0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@each_case
def test_cuda(case, dtype):
    """Results and gradients agree with the CPU, and stay where they are."""
    X = random_tensor(case, dtype).requires_grad_()
    Y = X.detach().cuda().requires_grad_()
    for radius in (0.05, 0.7, 5.0, 1e3):
        G = random_tensor(case, dtype, seed=5)
        P, Q = case(X, radius), case(Y, radius)
        assert Q.is_cuda
        assert_close(Q.detach().cpu(), P.detach(), 1.0)
        expected = torch.autograd.grad(P, X, G)[0]
        actual = torch.autograd.grad(Q, Y, G.cuda())[0]
        assert_close(actual.cpu(), expected, 10.0)
        Z = Y.detach().clone()
        assert_close(case(Z, radius, "_").cpu(), P.detach(), 1.0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(
    "case", [c for c in FUNCTIONS if c.name != "projection_l1inf_ball"], ids=str
)
def test_cuda_does_not_wait(case):
    """Only the exact l1,inf projection reads a number back from the device."""
    X = random_tensor(case, torch.float32).cuda()
    args, options = case.arguments(X)
    torch.cuda.set_sync_debug_mode("error")
    try:
        getattr(F, case.name)(X, 1.0, *args, **options)
    finally:
        torch.cuda.set_sync_debug_mode("default")
