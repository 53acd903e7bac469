"""Projection onto patterns of n of m entries, and training to them."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from sparsify_helpers import ShuffledBatches, run
from torch import nn
from torch.nn import functional as F

from skproj.nn.functional import projection_n_of_m

# ---------------------------------------------------------------------------
# Projection


def by_sorting(X, n, m):
    """Keep the first of the largest, one block after the other."""
    P = np.zeros_like(X)
    for block, result in zip(X.reshape(-1, m), P.reshape(-1, m), strict=True):
        kept = np.argsort(-np.abs(block), kind="stable")[:n]
        result[kept] = block[kept]
    return P


@settings(deadline=None)
@given(
    data=st.data(),
    m=st.integers(1, 9) | st.integers(31, 35),
    n_blocks=st.integers(0, 4),
)
def test_the_largest_are_kept(data, m, n_blocks):
    n = data.draw(st.integers(0, m))
    # Few values, so that some are equal.
    elements = st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 1e-300, 3.0])
    X = data.draw(npst.arrays(float, (3, n_blocks * m), elements=elements))
    P = projection_n_of_m(torch.from_numpy(X), n, m)
    np.testing.assert_array_equal(P, by_sorting(X, n, m))


@pytest.mark.parametrize("dim", [0, 1, 2, -2])
def test_dimensions(dim):
    X = torch.randn(8, 12, 4, dtype=torch.float64)
    expected = by_sorting(X.movedim(dim, -1).contiguous().numpy(), 2, 4)
    P = projection_n_of_m(X, dim=dim)
    np.testing.assert_array_equal(P.movedim(dim, -1), expected)
    assert P.shape == X.shape


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_dtypes_and_layouts(dtype):
    X = torch.randn(12, 8, dtype=dtype).T
    P = projection_n_of_m(X, dim=1)
    assert P.dtype == dtype
    assert torch.equal(P, projection_n_of_m(X.double(), dim=1).to(dtype))
    assert (P.count_nonzero(dim=1) == 6).all()


def test_gradient_goes_to_what_is_kept():
    X = torch.randn(3, 8, dtype=torch.float64, requires_grad=True)
    P = projection_n_of_m(X)
    P.sum().backward()
    assert torch.equal(X.grad, (P != 0).double())
    assert torch.autograd.gradcheck(projection_n_of_m, X)


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (ValueError, "X must have a multiple of m=3 entries along dim 1", {"m": 3}),
        (ValueError, "n must be between 0 and m=4, got 5", {"n": 5}),
        (ValueError, "n must be between 0 and m=4, got -1", {"n": -1}),
        (ValueError, "m must be at least 1, got 0", {"m": 0}),
        (TypeError, "n must be an integer, got 1.5", {"n": 1.5}),
        (TypeError, "dim must be an integer, got None", {"dim": None}),
        (ValueError, "dim must be between -2 and 1", {"dim": 2}),
        (TypeError, "X must be a torch.Tensor", {"X": np.ones(4)}),
        (TypeError, "X must hold float64", {"X": torch.ones(4, dtype=torch.int64)}),
    ],
)
def test_refusals(error, message, options):
    with pytest.raises(error, match=message):
        projection_n_of_m(**({"X": torch.ones(4, 8)} | options))


@pytest.mark.parametrize("options", [{"n": 1, "dim": 0}, {"n": 3, "m": 36}])
def test_compiled_as_one_graph(options):
    X = torch.randn(8, 72, requires_grad=True)
    function = partial(projection_n_of_m, **options)
    P = torch.compile(function, backend="aot_eager", fullgraph=True)(X)
    assert torch.equal(P, function(X))
    P.sum().backward()
    assert torch.equal(X.grad, (P != 0).float())


# ---------------------------------------------------------------------------
# Training


def make_problem():
    torch.manual_seed(0)
    X = torch.randn(120, 12)
    y = (X[:, 0] > X[:, 1]).long() + (X[:, 2] > 0.5).long()
    layers = nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 10), nn.ReLU()
    return nn.Sequential(*layers, nn.Linear(10, 3)), ShuffledBatches(X, y)


def has_pattern(W, n, m):
    return (W.reshape(-1, m).count_nonzero(dim=1) <= n).all()


def test_training_to_a_pattern():
    """Layers with another number of inputs are left alone."""
    model, loader = make_problem()
    sparse, report = run(model, loader, target="2:4")
    assert has_pattern(sparse[0].weight, 2, 4)
    assert has_pattern(sparse[2].weight, 2, 4)
    assert sparse[4].weight.count_nonzero() == 30
    assert report.after.n_zeros == 120 + 100


def test_other_patterns_and_layers():
    model, loader = make_problem()
    sparse, report = run(model, loader, target="1:5", layers=["2", "4"])
    assert has_pattern(sparse[2].weight, 1, 5)
    assert has_pattern(sparse[4].weight, 1, 5)
    assert report.after.n_zeros == 160 + 24


def test_training_beats_one_projection():
    model, loader = make_problem()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(30):
        for X, y in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(X), y).backward()
            optimizer.step()
    sparse, _ = run(model, loader, target="1:4", n_epochs=20)
    with torch.no_grad():
        for layer in (model[0], model[2]):
            layer.weight.copy_(projection_n_of_m(layer.weight, 1))
        losses = [F.cross_entropy(net(loader.X), loader.y) for net in (sparse, model)]
    assert losses[0] < 0.5 * losses[1]


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("target must be a share, a dict", {"target": "half"}),
        ("target must be a share, a dict", {"target": "5:4"}),
        ("target must be a share, a dict", {"target": "0:4"}),
        ("target 2:7 needs a linear layer with a multiple of 7", {"target": "2:7"}),
        ("layers: there is no weight to prune in '4'", {"layers": ["2", "4"]}),
    ],
)
def test_refusals_of_training(message, options):
    model, loader = make_problem()
    with pytest.raises(ValueError, match=message):
        run(model, loader, **{"target": "2:4"} | options)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_semi_structured_tensors():
    """The result is what PyTorch's sparse kernels take."""
    W = projection_n_of_m(torch.randn(128, 128, device="cuda", dtype=torch.float16))
    X = torch.randn(64, 128, device="cuda", dtype=torch.float16)
    packed = torch.sparse.to_sparse_semi_structured(W)
    torch.testing.assert_close(F.linear(X, packed), F.linear(X, W), atol=0.1, rtol=0.01)
