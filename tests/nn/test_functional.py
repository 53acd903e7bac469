"""Projections of tensors agree with those of arrays, and have the right gradients."""

import copy
import importlib.util
import inspect
import math
import pickle
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import forward_ad, gradcheck, gradgradcheck

import skproj.nn.functional as F
from skproj import projection as arrays
from skproj.nn.functional import _operator, _tensors
from skproj.projection import BALLS


@dataclass(frozen=True)
class Case:
    """A function, and arguments for tensors of some number of dimensions."""

    name: str
    dim: object = None
    norms: tuple = ()
    weighted: bool = False
    ndim: int = 2
    options: dict = field(default_factory=dict)

    def weights(self, like):
        """Weights of very different sizes; one of them is 0."""
        weights = torch.linspace(0.0, 2.0, like.shape[-1], dtype=torch.float64)
        return (weights**2).to(device=like.device)

    def arguments(self, X):
        """All arguments of the torch function after the radius."""
        if self.weighted:
            return (self.weights(X),), {"dim": self.dim}
        if self.norms:
            return (self.norms,), {"dims": self.dim}
        return (), {"dim": self.dim}

    def __call__(self, X, radius, suffix=""):
        """Project a tensor."""
        args, options = self.arguments(X)
        return getattr(F, f"{self.name}{suffix}")(X, radius, *args, **options)

    def on_arrays(self, X, radius):
        """Project an array."""
        args, options = self.arguments(torch.from_numpy(X))
        args = [a.numpy() if isinstance(a, torch.Tensor) else a for a in args]
        options = {{"dim": "axis", "dims": "axes"}[k]: v for k, v in options.items()}
        return getattr(arrays, self.name)(X, radius, *args, **options)

    def on_device(self, X, radius):
        """Project a tensor of the CPU by the code for other devices."""
        args, options = self.arguments(X)
        dim = options.get("dim", options.get("dims"))
        weights = args[0] if self.weighted else None
        norms = self.norms or None
        name = self.name.removeprefix("projection_").removesuffix("_ball")
        return _operator.project_on_device(
            *_operator.operands(name, X, radius, dim, weights, norms)
        )

    def __str__(self):
        parts = [self.name.removeprefix("projection_"), *map(str, self.norms)]
        return "-".join([*parts, str(self.dim).replace(" ", "")])


INF = math.inf
SLICED = ["simplex", "l1_ball", "l2_ball", "linf_ball"]
GROUPED = [
    "l12_ball",
    "l1inf_ball",
    "bilevel_l11_ball",
    "bilevel_l12_ball",
    "bilevel_l1inf_ball",
]
CASES = [
    *(Case(f"projection_{name}", dim) for name in SLICED for dim in (None, 0, -1)),
    *(
        Case("projection_weighted_l1_ball", dim, weighted=True)
        for dim in (None, 0, (1, 0))
    ),
    *(Case(f"projection_{name}", dim) for name in GROUPED for dim in (0, 1, None)),
    *(Case(f"projection_{name}", (0, 2), ndim=3) for name in ("l1_ball", *GROUPED)),
    Case("projection_multilevel", norms=(1, INF, INF), ndim=3),
    Case("projection_multilevel", norms=(1, 1, 1), ndim=3),
    Case("projection_multilevel", norms=(1, 2, 2), ndim=3),
    Case("projection_multilevel", (0, 1, 2), norms=(1, 2, INF), ndim=3),
    Case("projection_multilevel", (1, 0, 2), norms=(1, INF, 2), ndim=3),
    Case("projection_multilevel", (0, (1, 2)), norms=(1, INF), ndim=3),
    Case("projection_multilevel", ((0, 2), 1), norms=(INF, 1), ndim=3),
    Case("projection_multilevel", (2, 0, 1), norms=(2, 1, INF), ndim=3),
    Case("projection_multilevel", norms=(2, 1)),
    Case("projection_multilevel", ((0, 1),), norms=(2,)),
]
# One for each function: for what does not depend on the dimensions.
FUNCTIONS = list({case.name: case for case in CASES}.values())
LAYOUTS = ["contiguous", "transposed", "strided", "expanded"]
RADII = [0.0, 1e-3, 0.7, 5.0, 1e3]

each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_ball = pytest.mark.parametrize(
    "case", [case for case in CASES if case.name != "projection_simplex"], ids=str
)
each_function = pytest.mark.parametrize("case", FUNCTIONS, ids=str)

# PyTorch prepares for its forward mode by a function that it has deprecated itself.
by_script_of_torch = pytest.mark.filterwarnings(
    "ignore:.torch.jit.script:DeprecationWarning"
)


def random_tensor(case, dtype=torch.float64, layout="contiguous", seed=0):
    """Build a tensor whose groups have different sizes, in a given memory layout."""
    generator = torch.Generator().manual_seed(seed)
    shape = (3, 5, 2)[: case.ndim]
    X = torch.randn(shape, dtype=dtype, generator=generator)
    X *= torch.tensor([2.0, 0.1, 1.0, 0.5, 3.0], dtype=dtype).reshape(
        [-1] + [1] * (case.ndim - 2)
    )
    if layout == "transposed":
        X = X.transpose(0, -1).contiguous().transpose(0, -1)
    elif layout == "strided":
        X = X.repeat_interleave(2, -1)[..., ::2]
    elif layout == "expanded":
        X = X[:1].expand(shape)
    return X


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


def assert_close(actual, expected, scale):
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5}[actual.dtype]
    torch.testing.assert_close(
        actual, expected, rtol=0, atol=tolerance * max(float(scale), 1e-300)
    )


# ---------------------------------------------------------------------------
# The same numbers as from arrays


def test_every_function_on_arrays_has_one_on_tensors():
    """With an in-place variant, the same arguments, and a case in these tests."""
    names = {name for name in arrays.__all__ if name.startswith("projection_")}
    in_place = {f"{name}_" for name in names}
    assert {*names, *in_place, "hoyer_sparsity"} == set(F.__all__)
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


# ---------------------------------------------------------------------------
# Gradients


@pytest.mark.parametrize("radius", [0.05, 0.8, 5.0, 1e3])
@each_case
def test_gradient(case, radius):
    """The gradient and its gradient are those of finite differences."""
    X = random_tensor(case, seed=3).requires_grad_()
    assert gradcheck(lambda X: case(X, radius), X)
    assert gradgradcheck(lambda X: case(X, radius), X, fast_mode=True)


@each_case
def test_gradient_of_device_code(case, monkeypatch):
    """The gradient is computed from the result, whoever has computed that."""

    def project(X, out, *spec):
        out.copy_(_operator.project_on_device(X, *spec))

    monkeypatch.setattr(_operator, "_project_on_cpu", project)
    X = random_tensor(case, seed=3).requires_grad_()
    assert gradcheck(lambda X: case(X, 0.8), X, fast_mode=True)


@each_function
def test_gradient_in_other_layouts(case):
    """A transposed and a strided tensor have the gradient of a contiguous one."""
    G = random_tensor(case, seed=5)
    results = []
    for layout in ("contiguous", "transposed", "strided"):
        X = random_tensor(case, layout=layout, seed=3).requires_grad_()
        case(X, 0.8).backward(G)
        results.append(X.grad)
    for result in results[1:]:
        assert_close(result, results[0], 1.0)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
@each_function
def test_gradient_does_not_depend_on_the_scale(case, scale):
    """P(t X, t radius) = t P(X, radius), whose gradient is the same for any t."""
    gradients = []
    for factor in (1.0, scale):
        X = (random_tensor(case, seed=3) * factor).requires_grad_()
        case(X, 0.8 * factor).backward(random_tensor(case, seed=5))
        gradients.append(X.grad)
    assert_close(gradients[1], gradients[0], 1.0)


@each_function
def test_gradient_for_radius_zero(case):
    """The result is zero whatever X is, but for entries without a weight."""
    for factor in (1.0, 0.0):
        X = (random_tensor(case) * factor).requires_grad_()
        G = torch.ones_like(X)
        case(X, 0.0).backward(G)
        free = case.weights(X) == 0 if case.weighted else torch.tensor(False)
        assert torch.equal(X.grad, torch.where(free, G, 0.0))


@each_ball
def test_gradient_inside_is_the_identity(case):
    """Also where whole groups are zero."""
    X = random_tensor(case)
    X[0], X[..., 0] = 0.0, 0.0
    X.requires_grad_()
    G = random_tensor(case, seed=5)
    case(X, 1e3).backward(G)
    assert torch.equal(X.grad, G)


def test_gradient_of_ties_is_shared():
    """Entries that are the maximum of their group together have one gradient."""
    X = torch.tensor([[2.0, 1.0], [-2.0, 0.5]], dtype=torch.float64).requires_grad_()
    P = F.projection_bilevel_l1inf_ball(X, 2.0)
    P.backward(torch.tensor([[1.0, 0.0], [0.0, 0.0]], dtype=torch.float64))
    assert X.grad[0, 0] == -X.grad[1, 0] == 0.25  # half of it for the other column


def test_gradient_with_respect_to_weights_does_not_exist():
    """Weights are numbers that are given."""
    X = torch.tensor([3.0, -1.0], requires_grad=True)
    weights = torch.tensor([1.0, 2.0], requires_grad=True)
    F.projection_weighted_l1_ball(X, 1.0, weights).sum().backward()
    assert weights.grad is None
    P = F.projection_weighted_l1_ball(X.detach(), 1.0, weights)
    assert not P.requires_grad
    assert P.grad_fn is None


@pytest.mark.parametrize(
    ("dtype", "weights_dtype", "scale"),
    [
        (torch.float32, torch.float32, 1e30),
        (torch.float32, torch.float32, 1e-30),
        (torch.float32, torch.float64, 1e-60),
        (torch.float64, torch.float64, 1e200),
        (torch.float64, torch.float64, 1e-200),
    ],
)
def test_gradient_does_not_depend_on_the_scale_of_weights(dtype, weights_dtype, scale):
    """Multiplying weights and radius by one number leaves the ball as it is."""
    gradients = []
    for factor in (1.0, scale):
        x = torch.tensor([3.0, -1.0, 2.0, 0.5], dtype=dtype, requires_grad=True)
        weights = torch.tensor([1.0, 1.7, 0.5, 0.0], dtype=weights_dtype) * factor
        P = F.projection_weighted_l1_ball(x, 2.0 * factor, weights)
        P.backward(torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=dtype))
        gradients.append(x.grad)
    assert_close(gradients[1], gradients[0], 1.0)


@by_script_of_torch
@each_function
def test_forward_mode(case):
    """Directional derivatives are the products with the Jacobian of reverse mode."""
    X, T = random_tensor(case, seed=3), random_tensor(case, seed=5)

    def project(X):
        return case(X, 0.8)

    jacobian = torch.func.jacrev(project)(X)
    assert_close(torch.func.jacfwd(project)(X), jacobian, 1.0)
    expected = torch.tensordot(jacobian, T, X.ndim)
    assert_close(torch.func.jvp(project, (X,), (T,))[1], expected, 1.0)
    with forward_ad.dual_level():
        for Y in (X, X.clone().requires_grad_()):
            P = project(forward_ad.make_dual(Y, T))
            assert_close(forward_ad.unpack_dual(P).tangent, expected, 1.0)


@by_script_of_torch
@each_function
def test_second_derivatives_by_both_modes(case):
    """Forward over reverse and reverse over forward agree with reverse over reverse."""
    X = random_tensor(case, seed=3)

    def loss(X):
        return (case(X, 0.8) ** 3).sum()

    expected = torch.func.jacrev(torch.func.jacrev(loss))(X)
    assert_close(torch.func.hessian(loss)(X), expected, 1.0)
    assert_close(torch.func.jacrev(torch.func.jacfwd(loss))(X), expected, 1.0)
    with pytest.raises(RuntimeError, match="forward mode cannot be nested"):
        torch.func.jacfwd(torch.func.jacfwd(loss))(X)


@by_script_of_torch
def test_forward_mode_in_place_is_refused():
    """The tangent would stay what it was."""

    def in_place(X):
        return F.projection_l1_ball_(X.clone(), 1.0)

    with pytest.raises(RuntimeError, match="X carries a tangent"):
        torch.func.jvp(in_place, (X,), (X,))


@each_function
def test_result_without_need_of_gradient(case):
    """No graph where nothing asks for one."""
    X = random_tensor(case)
    assert not case(X, 1.0).requires_grad
    with torch.no_grad():
        assert not case(X.clone().requires_grad_(), 1.0).requires_grad
    with torch.inference_mode():
        assert torch.equal(case(X.clone(), 1.0), case(X, 1.0))


# ---------------------------------------------------------------------------
# Types


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


# ---------------------------------------------------------------------------
# In place


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "strided"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@each_case
def test_in_place(case, dtype, layout):
    """The same numbers, in the memory of the argument, which is returned."""
    X = random_tensor(case, dtype, layout)
    expected, address, version = case(X, 0.7), X.data_ptr(), X._version
    assert case(X, 0.7, "_") is X
    assert X.data_ptr() == address
    assert X._version > version
    torch.testing.assert_close(
        X, expected, rtol=0, atol=1e-15 if dtype.itemsize > 4 else 1e-6
    )


def test_in_place_is_without_a_copy():
    """Nothing of the size of the tensor is allocated by PyTorch."""
    X = torch.randn(500, 400)
    with torch.profiler.profile(profile_memory=True) as profile:
        F.projection_bilevel_l1inf_ball_(X, 1.0)
    allocated = sum(max(e.self_cpu_memory_usage, 0) for e in profile.key_averages())
    assert allocated < X.nbytes / 10


def test_in_place_treats_gradients_as_torch_does():
    """What PyTorch refuses is refused, and a saved tensor is known to have changed."""
    W = torch.nn.Parameter(torch.eye(3))
    for X in (W, W * 2.0):
        before = X.detach().clone()
        with pytest.raises(RuntimeError, match="X requires a gradient"):
            F.projection_l1_ball_(X, 1.0)
        assert torch.equal(X, before)
    with torch.no_grad():
        assert F.projection_l1_ball_(W, 1.5) is W
    assert W.requires_grad
    assert W.detach().sum() == pytest.approx(1.5)

    X = torch.eye(3) * 5.0
    loss = (W * X).sum()
    F.projection_l1_ball_(X, 1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_in_place_with_shared_entries_is_refused():
    """As PyTorch refuses to write to an expanded tensor."""
    with pytest.raises(RuntimeError, match="several entries in one place"):
        F.projection_l1_ball_(torch.ones(1, 3).expand(4, 3), 1.0)


def test_in_place_leaves_refused_tensor_alone():
    """Nothing is written before the entries have been looked at."""
    X = torch.tensor([3.0, 4.0, math.nan])
    with pytest.raises(ValueError, match="NaN"):
        F.projection_l1_ball_(X, 1.0)
    assert torch.equal(X[:2], torch.tensor([3.0, 4.0]))


# ---------------------------------------------------------------------------
# Transformations


# Of PyTorch itself, which instantiates the autograd function that it traces.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@each_function
def test_compile(case):
    """One graph, with gradients, and the same for a projection in place."""

    def loss(X, radius):
        return (case(X * 2.0, radius) * torch.arange(X.shape[-1])).sum()

    def in_place(X, radius):
        Y = X * 2.0
        case(Y, radius, "_")
        return Y + 1.0

    X = random_tensor(case, torch.float32)
    Y = X.clone().requires_grad_()
    torch._dynamo.reset()
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    expected = torch.func.grad(loss)(X, 1.5)
    compiled(Y, 1.5).backward()
    torch.testing.assert_close(Y.grad, expected)
    compiled = torch.compile(in_place, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(X, 1.5), in_place(X, 1.5))


def test_compile_with_another_radius():
    """A radius that changes is not frozen into the graph."""
    torch._dynamo.reset()
    compiled = torch.compile(F.projection_l1_ball, backend="eager", fullgraph=True)
    X = torch.tensor([3.0, -1.0, 0.5])
    for radius in (1.0, 2.0, 2.5):
        assert torch.equal(compiled(X, radius), F.projection_l1_ball(X, radius))


@pytest.mark.parametrize("name", ["project", "project_"])
def test_operator_is_well_defined(name):
    """PyTorch's own checks: schema, fake tensors, dispatch, tracing."""
    X = torch.randn(4, 3)
    operator = getattr(torch.ops.skproj, name).default
    for spec in (
        (None, "l1inf", 1.0, [0], [], []),
        (torch.ones(3), "weighted_l1", 1.0, [0, 1], [], []),
        (None, "multilevel", 1.0, [1, 0], [1.0, INF], [1, 1]),
    ):
        torch.library.opcheck(operator, (X, *spec))


@each_function
def test_vmap(case):
    """A batch is projected entry by entry, in and out of place, with gradients."""
    batch = torch.stack([random_tensor(case, seed=i) for i in range(3)], dim=-1)

    def project(X):
        return case(X, 0.8)

    expected = torch.stack([project(X) for X in batch.unbind(-1)], dim=-1)
    mapped = torch.vmap(project, in_dims=-1, out_dims=-1)
    assert torch.equal(mapped(batch), expected)
    changed = batch.clone()
    torch.vmap(lambda X: case(X, 0.8, "_"), in_dims=-1)(changed)
    assert_close(changed, expected, 1.0)

    def loss(X):
        return (project(X) ** 2).sum()

    gradients = torch.vmap(torch.func.grad(loss), in_dims=-1, out_dims=-1)(batch)
    for X, gradient in zip(batch.unbind(-1), gradients.unbind(-1), strict=True):
        assert_close(gradient, torch.func.grad(loss)(X), 1.0)


def test_vmap_over_weights():
    """The weights may be the batch, or part of it."""
    X = torch.tensor([3.0, -1.0, 0.5])
    weights = torch.tensor([[1.0, 2.0, 0.0], [1.0, 1.0, 1.0]])
    P = torch.vmap(F.projection_weighted_l1_ball, in_dims=(None, None, 0))(
        X, 2.0, weights
    )
    expected = [F.projection_weighted_l1_ball(X, 2.0, w) for w in weights]
    assert torch.equal(P, torch.stack(expected))


def test_vmap_over_weights_in_place_is_refused():
    """One tensor cannot hold the projections of a batch, nor can an expanded one."""
    project_ = F.projection_weighted_l1_ball_
    weights = torch.ones(3, 2)
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.tensor([3.0, 2.0], dtype=dtype)
        with pytest.raises(RuntimeError):
            torch.vmap(project_, in_dims=(None, None, 0))(x, 1.0, weights)
        with pytest.raises(RuntimeError):
            torch.vmap(project_, in_dims=(0, None, 0))(x.expand(3, 2), 1.0, weights)
        assert x.tolist() == [3.0, 2.0]


def test_vmap_over_nothing():
    """The batch comes back empty, in and out of place, with gradients."""
    batch = torch.zeros(2, 0, 3)
    assert torch.vmap(F.projection_l1_ball, (1, None))(batch, 1.0).shape == (0, 2, 3)
    torch.vmap(F.projection_l1_ball_, (1, None))(batch, 1.0)
    project = torch.vmap(F.projection_weighted_l1_ball, (None, None, 0))
    assert project(torch.ones(3), 1.0, torch.ones(0, 3)).shape == (0, 3)
    gradient = torch.func.grad(lambda X: F.projection_l1_ball(X, 1.0).sum())
    assert torch.vmap(gradient)(torch.zeros(0, 3)).shape == (0, 3)
    batch.requires_grad_()
    torch.vmap(F.projection_l1_ball, (1, None))(batch, 1.0).sum().backward()
    assert batch.grad.shape == (2, 0, 3)


@pytest.mark.parametrize("name", F.__all__)
def test_functions_can_be_pickled_and_copied(name):
    """They are found by their names."""
    function = getattr(F, name)
    assert pickle.loads(pickle.dumps(function)) is function
    assert copy.deepcopy(function) is function


def test_module_can_be_executed_twice():
    """As by a reload: its operators are registered once."""
    spec = importlib.util.spec_from_file_location("operator_again", _operator.__file__)
    again = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(again)
    for module in (_operator, again):
        P = module.project_in_place(*module.operands("l1", torch.ones(2), 1.0, None))
        assert P.tolist() == [0.5, 0.5]


def test_threads_are_those_of_torch(monkeypatch):
    """`torch.set_num_threads` holds for the kernels."""
    seen = []

    def projection_l1_ball(X, radius, *, axis, out, n_threads):
        seen.append(n_threads)
        out[...] = 0.0

    l1 = _operator.PROJECTIONS["l1"]._replace(on_array=projection_l1_ball)
    monkeypatch.setitem(_operator.PROJECTIONS, "l1", l1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    F.projection_l1_ball(torch.ones(3), 1.0)
    assert seen == [7]


# ---------------------------------------------------------------------------
# Refusals

X = torch.ones(3, 2)


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


# ---------------------------------------------------------------------------
# Devices


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
