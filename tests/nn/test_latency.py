"""Units that are removed until a forward pass is fast enough, or in multiples."""

import copy

import numpy as np
import pytest
import torch
from sparsify_helpers import same_state
from sparsify_networks import NETWORKS, convolutions, depthwise, perceptron, residual
from sparsify_unit_helpers import build, count_flops, fit

from skproj.nn import prune
from skproj.nn._sparsify import _latency
from skproj.nn._sparsify._unit_work import UnitWork

X = torch.zeros(2, 1, 8, 8)


@pytest.fixture
def times(monkeypatch):
    """Replace measured times by .3, and .7 times the share of the multiplications."""
    ratios = []

    def time_ratio(smaller, module, inputs):
        assert not smaller.training
        assert not module.training
        flops = [count_flops(network, *inputs) for network in (smaller, module)]
        ratios.append(0.3 + 0.7 * flops[0] / flops[1])
        return ratios[-1]

    monkeypatch.setattr(_latency, "time_ratio", time_ratio)
    return ratios


@pytest.mark.parametrize(
    ("make", "latency"), [(convolutions, 0.4), (residual, 0.6), (depthwise, 0.9)]
)
def test_no_more_units_go_than_needed(make, latency, times):
    model = build(make)
    dense = copy.deepcopy(model)
    fit(model, target=None, latency=latency)
    smaller, _ = prune.shrink(model, X)
    ratio = _latency.time_ratio(smaller.eval(), dense.eval(), (X,))
    # The step of the search, and a unit of these small networks.
    assert latency - 0.05 < ratio <= latency
    assert len(times) < 10


def test_weights_are_those_of_the_module_when_training_begins(times):
    model, seen = build(residual), []
    model.register_forward_pre_hook(
        lambda module, _: (
            seen.append(copy.deepcopy(module)) if module.training else None
        )
    )
    fit(model, target=None, latency=0.5, n_epochs=1)
    expected = build(residual).state_dict()
    for name, W in seen[0].named_parameters():
        assert torch.equal(W, expected[name])


def test_latency_out_of_reach(times):
    model = build(convolutions)
    with pytest.raises(ValueError, match=r"latency must be at least 0\.3\d, which was"):
        fit(model, target=None, latency=0.2)
    assert same_state(model, build(convolutions))
    assert len(times) == 1


@pytest.mark.parametrize("name", ["shrink", "time_ratio"])
def test_errors_of_the_measurement_change_nothing(name, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    model = build(convolutions)
    monkeypatch.setattr(_latency, name, fail)
    with pytest.raises(KeyboardInterrupt):
        fit(model, target=None, latency=0.5)
    assert same_state(model, build(convolutions))


def test_ratio_is_that_of_the_medians(monkeypatch):
    """Whatever a few passes took; the networks take turns."""
    calls, clock = [], iter(np.cumsum(np.tile([0, 1, 0, 4], 200)).tolist())
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    networks = [lambda X, i=i: calls.append(i) for i in range(2)]
    assert _latency.time_ratio(*networks, (X,)) == 0.25
    assert calls == [0, 1] * (len(calls) // 2)
    durations = iter([9.0, 1.0] + 15 * [1.0, 2.0] + 7 * [50.0, 2.0])
    steps = (step for duration in durations for step in (0.0, duration))
    clock = iter(np.cumsum(list(steps)).tolist())
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    assert _latency.time_ratio(*networks, (X,)) == 0.5


@pytest.mark.parametrize("round_to", [1, 4, 8])
@pytest.mark.parametrize("make", NETWORKS)
def test_multiples(make, round_to):
    """Each layer keeps a multiple, or all of its units, and no more than needed."""
    model, sizes = build(make), {}
    for name, layer in model.named_modules():
        sizes[name] = getattr(layer, "out_features", getattr(layer, "out_channels", 0))
    work = UnitWork(model, (X,), set(model.modules()), round_to)
    everything = np.ones(len(work.is_free), bool)
    for target in (0.3, 0.6):
        kept = work.keep(1.0 - target, everything)
        least = 1.0 - min(target, work.largest_share())
        assert work.count(kept) <= least * work.count(everything) * (1.0 + 1e-9)
        other = copy.deepcopy(model)
        UnitWork(other, (X,), set()).erase(torch.from_numpy(kept))
        smaller, _ = prune.shrink(other, X)
        for name, layer in smaller.named_modules():
            n = getattr(layer, "out_features", getattr(layer, "out_channels", 0))
            assert n % round_to == 0 or n == sizes[name]


@pytest.mark.parametrize("round_to", [3, 8])
def test_training_in_multiples(round_to):
    model = build(residual)
    fit(model, 0.5, round_to=round_to)
    smaller, savings = prune.shrink(model, X)
    assert savings.after.flops <= 0.5 * savings.before.flops
    widths = {
        layer.out_channels
        for layer in smaller.modules()
        if hasattr(layer, "kernel_size") and hasattr(layer, "out_channels")
    }
    assert widths
    assert all(width % round_to == 0 or width in (16, 24) for width in widths)


def test_multiples_are_kept_in_each_layer():
    """At least one multiple stays."""
    model = build(perceptron)
    with pytest.raises(ValueError, match=r"target must be at most 0\.\d+ for"):
        fit(model, 0.95, round_to=8)
    fit(model, 0.84, round_to=8)
    smaller, _ = prune.shrink(model, X)
    assert (smaller[1].out_features, smaller[4].out_features) == (8, 8)


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (ValueError, "Exactly one of target and latency", {}),
        (ValueError, "Exactly one of target", {"target": 0.5, "latency": 0.5}),
        (ValueError, "latency must be less than 1, got 1.0", {"latency": 1.0}),
        (ValueError, "latency == -1, must be >= 0", {"latency": -1}),
        (TypeError, "latency must be an instance of float", {"latency": "fast"}),
        (ValueError, "round_to == 0, must be >= 1", {"target": 0.5, "round_to": 0}),
        (TypeError, "round_to must be an instance", {"target": 0.5, "round_to": 8.0}),
    ],
)
def test_refusals(error, message, options):
    with pytest.raises(error, match=message):
        fit(build(convolutions), **{"target": None} | options)
