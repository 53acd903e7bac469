"""The group sparse projection of tensors, of this device and others."""

import inspect
import math

import fuzz_hoyer
import numpy as np
import pytest
import torch
from hoyer_cases import N_INPUTS, by_script_of_torch

import skproj.nn.functional as F
from skproj import projection as arrays
from skproj.nn.functional import _hoyer_solver
from skproj.projection import (
    hoyer_sparsity,
    projection_hoyer,
)


@pytest.mark.parametrize("name", ["hoyer_sparsity", "projection_hoyer"])
def test_arguments_on_tensors(name):
    before = inspect.signature(getattr(arrays, name)).parameters
    after = inspect.signature(getattr(F, name)).parameters
    kept = [p for p in before if p not in ("out", "n_threads")]
    assert ["dim" if p == "axis" else p for p in kept] == list(after)
    for p in kept:
        assert before[p].default == after["dim" if p == "axis" else p].default


OPTIONS = [
    {},
    {"per_vector": True},
    {"scale": "keep_l2"},
    {"weights": 1},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dim", [0, 1, (0, 2)])
def test_tensors_are_as_arrays(rng, options, dtype, dim):
    X = torch.from_numpy(rng.standard_normal((4, 5, 6))).to(dtype)
    on_arrays = dict(options)
    if "weights" in options:
        options = {"weights": torch.from_numpy(rng.random((4, 5, 6)) + 0.1)}
        on_arrays = {"weights": options["weights"].numpy()}
    P, multiplier = F.projection_hoyer(
        X, 0.7, dim=dim, return_multiplier=True, **options
    )
    Q, expected = projection_hoyer(
        X.numpy(), 0.7, axis=dim, return_multiplier=True, **on_arrays
    )
    np.testing.assert_array_equal(P.numpy(), Q)
    np.testing.assert_array_equal(multiplier, expected)
    Y = X.clone()
    assert F.projection_hoyer_(Y, 0.7, dim=dim, **options) is Y
    assert torch.equal(Y, P)
    if "weights" in options:
        levels = F.hoyer_sparsity(P, dim, options["weights"])
        same = hoyer_sparsity(Q, dim, on_arrays["weights"])
    else:
        levels, same = F.hoyer_sparsity(P, dim), hoyer_sparsity(Q, dim)
    np.testing.assert_allclose(levels.numpy(), same, atol=1e-12)


def test_lists_of_tensors(rng):
    X = [torch.from_numpy(rng.standard_normal(n)) for n in (5, 1, 9)]
    P = F.projection_hoyer(X, 0.6)
    Q = projection_hoyer([x.numpy() for x in X], 0.6)
    for p, q in zip(P, Q, strict=True):
        np.testing.assert_array_equal(p.numpy(), q)
    np.testing.assert_allclose(F.hoyer_sparsity(P).numpy(), hoyer_sparsity(Q))
    F.projection_hoyer_(X, 0.6)
    assert all(torch.equal(x, p) for x, p in zip(X, P, strict=True))
    assert F.projection_hoyer([], 0.6) == F.projection_hoyer_([], 0.6) == []


def test_half_precision(rng):
    X = torch.from_numpy(rng.standard_normal((30, 5))).to(torch.bfloat16)
    P = F.projection_hoyer(X, 0.7)
    assert P.dtype == torch.bfloat16
    assert abs(float(F.hoyer_sparsity(P).mean()) - 0.7) < 1e-2
    assert torch.equal(P, F.projection_hoyer(X.float(), 0.7).to(torch.bfloat16))


def on_device(X, sparsity, weights=None, return_multiplier=False, **options):
    """Project a list of arrays by the code for other devices."""
    sizes = [len(x) for x in X]
    defaults = {"per_vector": False, "scale": "ls", "start": None}
    flat = torch.from_numpy(np.concatenate(X))
    if weights is not None:
        weights = torch.from_numpy(np.concatenate(weights))
    P, multiplier = _hoyer_solver.project(
        flat, weights, sparsity, [], sizes, **(defaults | options)
    )
    P = [p.numpy() for p in P.split(sizes)]
    return (P, multiplier.numpy()) if return_multiplier else P


@pytest.mark.parametrize("start", range(0, N_INPUTS // 2, 35))
def test_adversarial_groups_on_device(start, monkeypatch):
    """What holds for arrays holds for the code for other devices."""
    monkeypatch.setattr(fuzz_hoyer, "projection_hoyer", on_device)
    assert not fuzz_hoyer.fuzz(2, range(start, start + 35))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"per_vector": True},
        {"scale": "keep_l2"},
    ],
    ids=str,
)
def test_device_code_equals_function_on_arrays(options):
    """To rounding, ties included; entries equal but for rounding have no one result."""
    for index in range(63):
        case = fuzz_hoyer.make_case(3, index)
        if any("near ties" in name for name in case.families):
            continue
        if "per_vector" in options and case.weights is not None:
            continue
        arguments = {"weights": case.weights, "return_multiplier": True, **options}
        expected, _ = projection_hoyer(case.vectors, case.sparsity, **arguments)
        results, _ = on_device(case.vectors, case.sparsity, **arguments)
        tolerance = 1e-6 if case.vectors[0].dtype == np.float32 else 1e-9
        for p, q in zip(results, expected, strict=True):
            scale = np.abs(q).max()
            np.testing.assert_allclose(p, q, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("axis", [0, 1, (0, 2), (2, 0), None])
@pytest.mark.parametrize("layout", ["C", "F", "strided"])
def test_device_code_takes_slices_of_any_layout(rng, axis, layout):
    X = rng.integers(-4, 5, (4, 5, 6)).astype(float)  # many are equal
    Y = {
        "C": X,
        "F": np.asfortranarray(X),
        "strided": np.repeat(X, 2, axis=1)[:, ::2],
    }[layout]
    W = rng.uniform(0.1, 2.0, (5, 6))
    dims = list(range(3)) if axis is None else list(np.atleast_1d(axis))
    for weights in (None, W):
        expected = projection_hoyer(X, 0.8, axis=axis, weights=weights)
        weights = None if weights is None else torch.from_numpy(weights)
        spec = 0.8, dims, [], False, "ls", None
        P, _ = _hoyer_solver.project(torch.from_numpy(Y), weights, *spec)
        np.testing.assert_allclose(P.numpy(), expected, rtol=0, atol=1e-10)


def test_device_code_ends_on_bad_input(rng):
    """NaN and infinity are not looked for there, but do no harm beyond their result."""
    for bad in (math.nan, math.inf):
        for options in ({}, {"per_vector": True}):
            X = [rng.standard_normal(5), rng.standard_normal(3)]
            X[0][2] = bad
            assert len(on_device(X, 0.7, **options)) == 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cuda(rng, options, dtype):
    """Results and gradients agree with the CPU, and stay where they are."""
    X = torch.from_numpy(rng.standard_normal((30, 8))).to(dtype)
    group = [X[:n, 0].clone() for n in (5, 1, 30, 17)]
    there = dict(options)
    if "weights" in options:
        options = {"weights": torch.from_numpy(rng.random((30, 8)) + 0.1)}
        there = {"weights": options["weights"].cuda()}
    tolerance = {"rtol": 0, "atol": 1e-5 if dtype == torch.float32 else 1e-11}
    P, Q = (
        F.projection_hoyer(X, 0.7, **options),
        F.projection_hoyer(X.cuda(), 0.7, **there),
    )
    assert Q.is_cuda
    torch.testing.assert_close(Q.cpu(), P, **tolerance)
    if "weights" not in options:
        results = F.projection_hoyer([x.cuda() for x in group], 0.7, **there)
        for p, q in zip(
            F.projection_hoyer(group, 0.7, **options), results, strict=True
        ):
            torch.testing.assert_close(q.cpu(), p, **tolerance)
    gradients = []
    for Y, arguments in ((X, options), (X.cuda(), there)):
        Y = Y.clone().requires_grad_()
        (F.projection_hoyer(Y, 0.7, **arguments) ** 3).sum().backward()
        gradients.append(Y.grad.cpu())
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=1e-4)


@by_script_of_torch
@pytest.mark.parametrize("per_vector", [False, True])
def test_transforms(per_vector):
    """Those of torch.func agree with each other, and torch.vmap with a loop."""
    torch.manual_seed(0)
    batch = torch.randn(6, 3, 4, dtype=torch.float64)
    W = torch.rand(3, 6, 4, dtype=torch.float64) + 0.1

    def project(X):
        return F.projection_hoyer(X, 0.6, per_vector=per_vector)

    def loss(X):
        return (project(X) ** 3).sum()

    X = batch[:, 0]
    jacobian = torch.func.jacrev(project)(X)
    torch.testing.assert_close(torch.func.jacfwd(project)(X), jacobian)
    tangent = torch.func.jvp(project, (X,), (W[0],))[1]
    torch.testing.assert_close(tangent, torch.tensordot(jacobian, W[0], 2))
    hessian = torch.func.hessian(loss)(X)
    assert hessian.any()
    torch.testing.assert_close(torch.autograd.functional.hessian(loss, X), hessian)
    with pytest.raises(RuntimeError, match="forward mode cannot be nested"):
        torch.func.jacfwd(torch.func.jacfwd(loss))(X)

    mapped = torch.vmap(project, in_dims=1, out_dims=1)
    expected = torch.stack([project(X) for X in batch.unbind(1)], dim=1)
    assert torch.equal(mapped(batch), expected)
    changed = batch.clone()
    torch.vmap(lambda X: F.projection_hoyer_(X, 0.6, per_vector=per_vector), in_dims=1)(
        changed
    )
    assert torch.equal(changed, expected)
    gradients = torch.vmap(torch.func.grad(loss), in_dims=1)(batch)
    for X, gradient in zip(batch.unbind(1), gradients, strict=True):
        torch.testing.assert_close(gradient, torch.func.grad(loss)(X))
    assert mapped(batch[:, :0]).shape == (6, 0, 4)
    assert torch.vmap(torch.func.grad(loss), 1)(batch[:, :0]).shape == (0, 6, 4)


def test_transforms_of_lists_weights_and_multipliers():
    torch.manual_seed(0)
    A, B = torch.randn(3, 5, dtype=torch.float64), torch.randn(7, 3).double()
    W = torch.rand(3, 5, dtype=torch.float64) + 0.1

    def project(a, b):
        P, multiplier = F.projection_hoyer([a, b], 0.6, return_multiplier=True)
        return *P, multiplier

    mapped = torch.vmap(project, in_dims=(0, 1))(A, B)
    rows = [project(a, b) for a, b in zip(A, B.T, strict=True)]
    for actual, expected in zip(mapped, zip(*rows, strict=True), strict=True):
        assert torch.equal(actual, torch.stack(expected))
    x = A[0]
    P = torch.vmap(lambda w: F.projection_hoyer(x, 0.6, weights=w))(W)
    expected = [F.projection_hoyer(x, 0.6, weights=w) for w in W]
    assert torch.equal(P, torch.stack(expected))
    with pytest.raises(RuntimeError):  # x has no room for them
        torch.vmap(lambda w: F.projection_hoyer_(x, 0.6, weights=w))(W)
    levels = torch.vmap(F.hoyer_sparsity)(A)
    torch.testing.assert_close(levels, F.hoyer_sparsity(A, dim=1))


# Of PyTorch itself, which instantiates the autograd function that it traces.
by_tracing_of_torch = pytest.mark.filterwarnings(
    "ignore:.*should not be instantiated:DeprecationWarning"
)


@by_tracing_of_torch
@pytest.mark.parametrize(
    "options", [{"per_vector": True}, {"scale": "keep_l2", "weights": 1}], ids=str
)
def test_compile(options):
    """One graph, with gradients, and the same in place."""
    torch.manual_seed(0)
    X = torch.randn(6, 4)
    if "weights" in options:
        options = options | {"weights": torch.rand(6, 4) + 0.1}

    def loss(X):
        P, multiplier = F.projection_hoyer(
            X * 2.0, 0.6, return_multiplier=True, **options
        )
        return (P**3).sum() * multiplier.sum()

    def in_place(X):
        Y = X * 2.0
        F.projection_hoyer_(Y, 0.6, **options)
        return Y + 1.0

    torch._dynamo.reset()
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    Y = X.clone().requires_grad_()
    compiled(Y).backward()
    torch.testing.assert_close(Y.grad, torch.func.grad(loss)(X))
    compiled = torch.compile(in_place, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(X), in_place(X))


def test_compile_with_another_sparsity():
    """One that changes is not frozen into the graph."""

    def project(X, sparsity):
        P = F.projection_hoyer(X, sparsity)
        return P, F.hoyer_sparsity(P)

    torch._dynamo.reset()
    compiled = torch.compile(project, backend="eager", fullgraph=True)
    X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    for sparsity in (0.5, 0.6, 0.7):
        torch.testing.assert_close(compiled(X, sparsity), project(X, sparsity))


@by_tracing_of_torch
def test_compile_lists():
    """Of lengths that change from call to call."""
    torch.manual_seed(0)

    def loss(a, b):
        return sum((P**3).sum() for P in F.projection_hoyer([a, b], 0.6))

    torch._dynamo.reset()
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    for n in (5, 9):
        a, b = torch.randn(n), torch.randn(3, 2)
        expected = torch.func.grad(loss, (0, 1))(a, b)
        a.requires_grad_(), b.requires_grad_()
        compiled(a, b).backward()
        torch.testing.assert_close((a.grad, b.grad), expected)


@pytest.mark.parametrize(
    ("shape", "weighted", "dims", "sizes", "per_vector", "start"),
    [
        ((5, 4), False, [0], [], False, None),
        ((5, 4), False, [0], [], True, None),
        ((5, 4), True, [0, 1], [], False, 0.1),
        ((9,), False, [], [4, 5], True, None),
    ],
)
def test_operator_is_well_defined(shape, weighted, dims, sizes, per_vector, start):
    """PyTorch's own checks: schema, fake tensors, dispatch, tracing."""
    weights = torch.rand(shape[-1]) + 0.1 if weighted else None
    options = per_vector, "ls", start
    operator = torch.ops.skproj.project_hoyer.default
    arguments = torch.randn(shape), weights, 0.6, dims, sizes, *options
    torch.library.opcheck(operator, arguments)


def test_results_of_lists_can_be_changed():
    """They do not share memory, of which PyTorch would complain."""
    X = [torch.ones(4, requires_grad=True), torch.ones(9)]
    P, Q = F.projection_hoyer(X, 0.3)
    P.add_(1.0)
    Q.mul_(2.0)
    assert P.untyped_storage().data_ptr() != Q.untyped_storage().data_ptr()


@by_script_of_torch
def test_refusals_of_tensors():
    X = torch.randn(4, 3, requires_grad=True)
    with pytest.raises(RuntimeError, match="X requires a gradient"):
        F.projection_hoyer_(X, 0.5)
    with pytest.raises(RuntimeError, match="X carries a tangent"):
        torch.func.jvp(lambda X: F.projection_hoyer_(X + 0.0, 0.5), (X,), (X,))
    with pytest.raises(TypeError, match=r"X\[1\] must be a torch.Tensor"):
        F.projection_hoyer([torch.ones(2), np.ones(2)], 0.5)
    with pytest.raises(ValueError, match="dim must be 0 for a list"):
        F.hoyer_sparsity([torch.ones(2)], dim=1)
    with pytest.raises(ValueError, match="weights must be a list"):
        F.hoyer_sparsity([torch.ones(2)], weights=torch.ones(2))
    with pytest.raises(RuntimeError, match="several entries in one place"):
        F.projection_hoyer_(torch.ones(1, 3).expand(4, 3), 0.5)


def test_sparsity_of_bad_weights_is_nan():
    """Without waiting for a device, and inside of transforms."""
    X = torch.tensor([[3.0, 1.0], [1.0, 2.0]])
    bad = torch.tensor([[-1.0, 1.0], [torch.nan, 1.0], [torch.inf, 1.0], [0.0, 0.0]])
    for w in bad:
        weights = torch.stack([w, torch.ones(2)])
        levels = F.hoyer_sparsity(X, dim=1, weights=weights)
        assert levels[0].isnan()
        assert levels[1] == F.hoyer_sparsity(X, dim=1)[1]
    of_each = torch.func.vmap(lambda w: F.hoyer_sparsity(X, dim=1, weights=w))
    assert of_each(bad).isnan().all()
