"""Projections of tensors agree with those of arrays."""

import inspect
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensor_cases import (
    CASES,
    FUNCTIONS,
    INF,
    assert_close,
    each_ball,
    each_case,
    each_function,
    random_tensor,
)

import skproj.nn.functional as F
from skproj import projection as arrays
from skproj.nn.functional import _operator, _tensors
from skproj.projection import BALLS

LAYOUTS = ["contiguous", "transposed", "strided", "expanded"]
RADII = [0.0, 1e-3, 0.7, 5.0, 1e3]


@st.composite
def tensors(draw, ndim):
    """Tensors with ties, zero groups and extreme scales; sometimes one entry."""
    shape = [draw(st.integers(1, 5)) for _ in range(ndim)]
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if draw(st.booleans()):
        X = rng.integers(-3, 4, size=shape).astype(np.float64)
    else:
        X = rng.normal(size=shape) * rng.choice([0.0, 0.1, 1.0, 5.0], size=shape[-1])
    return torch.from_numpy(X * draw(st.sampled_from([1.0, 1.0, 1e-200, 1e200])))


shares = st.sampled_from([0.0, 1e-6, 0.05, 0.4, 0.9, 1.0, 3.0, INF])


def radius_from(X, share):
    """A radius from nothing to far beyond the norm; finite for an infinite share."""
    total = float(X.abs().max())
    return share * total * math.sqrt(X.numel()) if total > 0.0 else share


def test_every_function_on_arrays_has_one_on_tensors():
    """With an in-place variant, the same arguments, and a case in these tests."""
    names = {name for name in arrays.__all__ if name.startswith("projection_")}
    in_place = {f"{name}_" for name in names}
    # The projection onto a pattern is for weights of networks only.
    others = {"hoyer_sparsity", "projection_n_of_m"}
    assert {*names, *in_place, *others} == set(F.__all__)
    # That of a group of vectors is tested in test_hoyer.py.
    assert {case.name for case in CASES} == names - {"projection_hoyer"}
    for name in names:
        before = inspect.signature(getattr(arrays, name)).parameters
        after = inspect.signature(getattr(F, name)).parameters
        kept = [p for p in before if p not in ("out", "n_threads", "return_threshold")]
        renamed = {"axis": "dim", "axes": "dims"}
        assert [renamed.get(p, p) for p in kept] == list(after)
        for p in kept:
            assert before[p].default == after[renamed.get(p, p)].default
        assert inspect.signature(getattr(F, f"{name}_")) == inspect.signature(
            getattr(F, name)
        )
    assert all(f"projection_{name}_ball" in names for name in BALLS)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@each_case
def test_equals_function_on_arrays(case, dtype, layout):
    """Bit by bit, in the memory layout of the tensor, without changing it."""
    X = random_tensor(case, dtype, layout)
    before = X.clone()
    for radius in RADII:
        P = case(X, radius)
        expected = torch.from_numpy(case.on_arrays(X.numpy(), radius))
        assert P.dtype == dtype
        torch.testing.assert_close(P, expected, rtol=0, atol=0)
        assert P.stride() == torch.empty_like(X).stride()
        assert P.data_ptr() != X.data_ptr()
    assert torch.equal(X, before)


@each_case
@settings(max_examples=15)
@given(st.data())
def test_device_code_equals_function_on_arrays(case, data):
    """Plain PyTorch and the kernels agree on ties, zeros and all scales."""
    X = data.draw(tensors(case.ndim))
    radius = radius_from(X, data.draw(shares))
    if case.name == "projection_simplex" and math.isinf(radius):
        radius = 1.0
    expected = torch.from_numpy(case.on_arrays(X.numpy(), radius))
    scale = max(X.abs().max(), expected.abs().max())
    assert_close(case.on_device(X, radius), expected, scale)


@each_case
def test_device_code_in_float32(case):
    """Sums are float64, so that the results agree to the rounding of float32."""
    X = random_tensor(case, torch.float32)
    for radius in RADII:
        P = case.on_device(X, radius)
        assert P.dtype == torch.float32
        assert_close(P, torch.from_numpy(case.on_arrays(X.numpy(), radius)), radius + 1)


@pytest.mark.parametrize("layout", LAYOUTS)
@each_function
def test_device_code_takes_any_layout(case, layout):
    """Strides do not matter."""
    X = random_tensor(case, layout=layout)
    assert_close(case.on_device(X, 2.0), case(X.contiguous(), 2.0), 1.0)


@each_ball
def test_device_code_keeps_what_is_inside(case):
    """Bit by bit, whatever rounding does to the sums."""
    for seed in range(10):
        X = random_tensor(case, seed=seed)
        assert torch.equal(case.on_device(X, 1e3), X)


@pytest.mark.parametrize("share", [1e-12, 1e-8, 0.3])
@pytest.mark.parametrize("name", BALLS)
def test_device_code_meets_the_radius(name, share):
    """Also a tiny one, beside which the rounding of the entries is large."""
    ball = BALLS[name]
    dims = [0] if ball.grouped else [0, 1]
    for seed in range(10):
        X = random_tensor(FUNCTIONS[0], seed=seed)
        radius = share * ball.norm(X.numpy())
        P = _operator.project_on_device(X, None, name, radius, dims, [], [])
        assert ball.norm(P.numpy()) == pytest.approx(radius, rel=1e-2, abs=0)
        assert ball.norm(P.numpy()) <= radius * (1 + 1e-12)


@pytest.mark.parametrize("name", ["simplex", "l1", "weighted_l1"])
def test_device_code_meets_a_tiny_radius(name):
    """With ties at a maximum whose rounding is a few percent of the radius."""
    x = torch.tensor([1.0, 1e3, 1e3], dtype=torch.float64) * 1.1
    weights = torch.ones_like(x) if name == "weighted_l1" else None
    P = _operator.project_on_device(x, weights, name, 1e-11, [0], [], [])
    assert float(P.sum()) == pytest.approx(1e-11, rel=1e-12, abs=0)
    assert P[1] == P[2]


def test_device_code_of_l1inf_on_a_large_matrix():
    """Newton's method needs more than one check, and many groups die."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 900)) * rng.exponential(size=900)
    for share in (0.001, 0.05, 0.3, 0.9):
        radius = share * arrays.norm_l1inf(X)
        for dim in (0, 1):
            P = _tensors.project_l1inf(torch.from_numpy(X), radius, [dim])
            expected = arrays.projection_l1inf_ball(X, radius, axis=dim)
            np.testing.assert_allclose(P.numpy(), expected, rtol=0, atol=1e-11)
            total = P.abs().amax(dim).sum()
            assert total <= radius * (1 + 1e-13)


@pytest.mark.parametrize("name", ["l1inf", "bilevel_l1inf", "l1"])
def test_device_code_ends_on_bad_input(name):
    """NaN and infinity are not looked for, but do no harm beyond their result."""
    X = torch.tensor([[1.0, math.nan], [2.0, math.inf]])
    P = _operator.project_on_device(X, None, name, 1.0, [0], [], [])
    assert P.shape == X.shape


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@each_case
def test_half_precision(case, dtype):
    """Computed in float32 and rounded once; the gradient as well."""
    X = random_tensor(case, torch.float32).to(dtype)
    for radius in RADII:
        P = case(X, radius)
        assert P.dtype == dtype
        torch.testing.assert_close(P, case(X.float(), radius).to(dtype), rtol=0, atol=0)
        Y = X.clone()
        assert torch.equal(case(Y, radius, "_"), P)
    X.requires_grad_()
    Y = X.detach().float().requires_grad_()
    G = random_tensor(case, torch.float32, seed=5).to(dtype)
    case(X, 2.0).backward(G)
    case(Y, 2.0).backward(G.float())
    assert X.grad.dtype == dtype
    assert torch.equal(X.grad, Y.grad.to(dtype))


@pytest.mark.parametrize("ball", BALLS.values(), ids=BALLS)
def test_gradient_of_half_precision(ball):
    """That of float32, rounded: which entries are clipped is known before rounding."""
    generator = torch.Generator().manual_seed(0)
    for share in (0.9, 0.5):
        X = torch.randn(64, 16, generator=generator).bfloat16().requires_grad_()
        Y = X.detach().float().requires_grad_()
        G = torch.randn(64, 16, generator=generator).bfloat16()
        radius = share * ball.norm(Y.detach().numpy())
        project = getattr(F, f"projection_{ball.name}_ball")
        project(X, radius).backward(G)
        project(Y, radius).backward(G.float())
        assert torch.equal(X.grad, Y.grad.bfloat16())


@pytest.mark.parametrize("ball", BALLS.values(), ids=BALLS)
def test_half_precision_stays_in_the_ball(ball):
    """The norm is beyond the radius by no more than the rounding of the type."""
    X = torch.randn(40, 30, generator=torch.Generator().manual_seed(0))
    for dtype in (torch.bfloat16, torch.float16):
        P = getattr(F, f"projection_{ball.name}_ball")(X.to(dtype), 2.0)
        assert ball.norm(P.float().numpy()) <= 2.0 * (1 + torch.finfo(dtype).eps)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_empty_tensor(shape):
    """It comes back empty, with an empty gradient."""
    X = torch.zeros(shape, requires_grad=True)
    P = F.projection_l1_ball(X, 1.0)
    P.sum().backward()
    assert P.shape == X.grad.shape == X.shape


def test_channels_last():
    """The memory format of images is kept."""
    X = torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last)
    of_device = _operator.project_on_device(X, None, "l1", 1.0, [0], [], [])
    for P in (
        F.projection_l12_ball(X, 1.0, dim=(1, 2, 3)),
        F.projection_l12_ball(X.bfloat16(), 1.0, dim=(1, 2, 3)),
        _operator._like(X, of_device),
    ):
        assert P.is_contiguous(memory_format=torch.channels_last)


def test_lazy_minus_sign():
    """The imaginary part of a conjugate is a view that has yet to be negated."""
    X = torch.tensor([3.0 - 3.0j, 1.0 + 1.0j]).conj().imag
    assert X.is_neg()
    expected = torch.tensor([2.0, 0.0])
    assert torch.equal(F.projection_l1_ball(X, 2.0), expected)
    assert torch.equal(F.projection_l1_ball_(X, 2.0), expected)


def test_subclass_of_tensor_is_accepted():
    """Parameters, for one, give plain tensors."""
    W = torch.nn.Parameter(torch.eye(3))
    assert type(F.projection_l1_ball(W, 1.0)) is torch.Tensor
