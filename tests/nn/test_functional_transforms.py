"""Projections of tensors in place, compiled, mapped and copied."""

import copy
import importlib.util
import math
import pickle

import pytest
import torch
from tensor_cases import INF, assert_close, each_case, each_function, random_tensor

import skproj.nn.functional as F
from skproj.nn.functional import _operator


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
