"""The functions on tensors compute on the device where a tensor is.

The device of these tests is a pretended one, so that no GPU is needed: its tensors are
on "meta" for PyTorch, and each operation is carried out on entries that they hide.
"""

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

import skproj.nn.functional as F
from skproj.nn.functional import _hoyer, _operator

DEVICE = torch.device("meta")
aten = torch.ops.aten


class Remote(torch.Tensor):
    """A tensor of the device. Only numbers can be read from it."""

    is_meta = False
    n_reads = 0

    @staticmethod
    def __new__(cls, entries):
        """Make a tensor without entries of its own."""
        return torch.Tensor._make_wrapper_subclass(
            cls,
            entries.shape,
            strides=entries.stride(),
            dtype=entries.dtype,
            device=DEVICE,
        )

    def __init__(self, entries):
        self.entries = entries

    def item(self):
        """Read a number, for which the device has to finish its work."""
        Remote.n_reads += 1
        return self.entries.item()

    def __bool__(self):
        return bool(self.item())

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        """Refuse to be used without the device."""
        raise AssertionError(f"{func} outside of the device")


class Device(TorchDispatchMode):
    """Computes with tensors of the device, and refuses to mix them with others."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Carry out an operation on the entries."""
        kwargs = kwargs or {}
        name = func._schema.name
        if name in IMPLEMENTATIONS:
            with self:
                return IMPLEMENTATIONS[name](*args, **kwargs)
        tensors = [
            t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)
        ]
        remote = [t for t in tensors if isinstance(t, Remote)]
        target = kwargs.get("device")
        if not remote and target != DEVICE:
            return func(*args, **kwargs)
        if name not in ("aten::to", "aten::_to_copy"):
            mixed = [t for t in tensors if t.ndim > 0 and not isinstance(t, Remote)]
            assert not mixed, f"{name} mixes devices"
        elif remote:
            assert target in (None, DEVICE), f"{name} moves a tensor to {target}"
        if target is not None:
            kwargs["device"] = torch.device("cpu")
        args_there, kwargs_there = _map(Remote, lambda t: t.entries, (args, kwargs))
        result = func(*args_there, **kwargs_there)
        if func._schema.is_mutable:
            return args[0]
        if isinstance(result, bool | int | float):
            Remote.n_reads += 1
        return _map(torch.Tensor, Remote, result)


def _map(kind, function, tree):
    return tree_map(lambda x: function(x) if isinstance(x, kind) else x, tree)


IMPLEMENTATIONS = {
    "skproj::project": _operator.project_new,
    "skproj::project_": _operator.project_in_memory,
    "skproj::project_hoyer": _operator.project_hoyer_new,
}


@pytest.fixture(autouse=True)
def device():
    """Compute on the device, and count what is read from it."""
    Remote.n_reads = 0
    with Device():
        yield


def random_tensor(*shape, seed=0):
    """Make a float32 tensor of the CPU."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


WEIGHTS = torch.tensor([0.0, 0.1, 1.0, 2.0])
NAMES = [name for name in F.__all__ if not name.endswith("_")]
ARGUMENTS = {
    "hoyer_sparsity": (),
    "projection_hoyer": (0.7,),
    "projection_multilevel": (2.0, (1, math.inf)),
    "projection_n_of_m": (2, 4),
    "projection_weighted_l1_ball": (2.0, WEIGHTS),
}
each_function = pytest.mark.parametrize("name", NAMES)


def call(name, X, suffix=""):
    """Call a function, with arguments on the device of `X`."""
    arguments = ARGUMENTS.get(name, (2.0,))
    if isinstance(X, Remote):
        arguments = _map(torch.Tensor, Remote, arguments)
    return getattr(F, name + suffix)(X, *arguments)


def assert_same(actual, expected):
    """Compare a tensor of the device with one of the CPU."""
    assert isinstance(actual, Remote)
    torch.testing.assert_close(actual.entries, expected, rtol=1e-5, atol=1e-5)


def test_tensors_of_the_device_stay_there():
    """What these tests rely on: a transfer is noticed, and so is a read number."""
    X = Remote(random_tensor(3))
    for transfer in (lambda: X.cpu(), lambda: X + torch.ones(3)):
        with pytest.raises(AssertionError):
            transfer()
    with pytest.raises((RuntimeError, TypeError, NotImplementedError)):
        X.numpy()
    assert Remote.n_reads == 0
    assert (X == X).all()
    assert Remote.n_reads == 1


@each_function
def test_result(name):
    """That of the CPU, in and out of place, without a transfer of entries."""
    X = random_tensor(6, 4)
    expected = call(name, X)
    Y = Remote(X.clone())
    assert_same(call(name, Y), expected)
    if f"{name}_" in F.__all__:
        assert call(name, Y, "_") is Y
        assert_same(Y, expected)


@each_function
def test_only_two_functions_wait(name):
    """The others read nothing from the device, not even whether a number is NaN."""
    X = Remote(random_tensor(6, 4))
    call(name, X)
    waits = name in ("projection_l1inf_ball", "projection_hoyer")
    assert (Remote.n_reads > 0) == waits
    X.entries[0, 0] = math.nan
    call(name, X)


# The gradient of the projection onto a pattern is that of PyTorch's operations.
WITH_OPERATORS = sorted({*NAMES} - {"hoyer_sparsity", "projection_n_of_m"})


@pytest.mark.parametrize("name", WITH_OPERATORS)
def test_gradient(name, monkeypatch):
    """Made of operations on the device, from which nothing is read."""
    calls = []

    def apply(X, weights, *spec):
        results = _operator.operate(X, weights, *spec)
        calls.append((X, weights, results, spec))
        return results

    for module in (_operator, _hoyer):
        monkeypatch.setattr(module, "apply", apply)
    gradients = []
    X, G = random_tensor(6, 4), random_tensor(6, 4, seed=1)
    for move in (torch.clone, Remote):
        call(name, move(X))
        Y, weights, results, spec = calls.pop()
        results = results if isinstance(results, tuple) else (results,)
        of_results = [move(G), *[torch.zeros_like(mu) for mu in results[1:]]]
        Remote.n_reads = 0
        gradients.append(
            _operator._gradient(of_results, Y, weights, *results, spec=spec)
        )
        assert Remote.n_reads == 0
    assert_same(gradients[1], gradients[0])


@pytest.mark.parametrize(
    "options",
    [
        {"per_vector": True},
        {"scale": "keep_l2"},
        {"start": 0.3},
    ],
    ids=str,
)
def test_options_of_hoyer(options):
    """Of slices, and of vectors of different lengths."""
    X = random_tensor(6, 4)
    group = [random_tensor(n, seed=n) for n in (5, 1, 3, 40)]
    for V in (X, group):
        P, multiplier = F.projection_hoyer(V, 0.7, return_multiplier=True, **options)
        Q, same = F.projection_hoyer(
            _map(torch.Tensor, Remote, V), 0.7, return_multiplier=True, **options
        )
        assert_same(same, multiplier)
        pairs = [(P, Q)] if V is X else zip(P, Q, strict=True)
        for p, q in pairs:
            assert_same(q, p)


@pytest.mark.parametrize("factor", [0.0, 1.0])
def test_weights_of_hoyer(factor):
    """Equal ones as well, which are not looked at for results alone."""
    group = [random_tensor(n, seed=n) for n in (5, 1, 3, 40)]
    weights = [1.0 + factor * random_tensor(len(x), seed=9).abs() for x in group]
    expected = F.projection_hoyer(group, 0.7, weights=weights)
    group, weights = _map(torch.Tensor, Remote, (group, weights))
    results = F.projection_hoyer(group, 0.7, weights=weights)
    for actual, p in zip(results, expected, strict=True):
        assert_same(actual, p)


def test_tensors_of_two_devices_are_refused():
    """A list is put together, which is possible on one device only."""
    X = random_tensor(3)
    with pytest.raises(ValueError, match="X must hold tensors of one device"):
        F.projection_hoyer([X, Remote(X)], 0.5)
    with pytest.raises(ValueError, match="weights must be on the device of X"):
        F.projection_hoyer(Remote(X), 0.5, weights=X.abs())
