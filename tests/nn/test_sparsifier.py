"""Training to a share of zeros in loops of one's own."""

import copy
import io
import itertools
import math

import pytest
import torch
from sparsify_helpers import make_problem, nonzero_of
from torch import nn
from torch.nn import functional as F

from skproj.nn import Sparsifier, sparsify
from skproj.nn._training._trainer import learning_rate_factor

N_WEIGHTS = 470


def adam(model, **options):
    return torch.optim.Adam(model.parameters(), **{"lr": 0.01} | options)


def batches(loader, n_steps, seed=0):
    torch.manual_seed(seed)
    found = []
    while len(found) < n_steps:
        found += list(loader)
    return found[:n_steps]


def train(model, optimizer, data, after_step=None):
    for X, y in data:
        optimizer.zero_grad()
        F.cross_entropy(model(X), y).backward()
        optimizer.step()
        if after_step is not None:
            after_step()


def layers_of(model):
    return [model[0][0], model[1][0], model[1][3]]


def weights_of(model):
    return [layer.weight.detach().clone() for layer in layers_of(model)]


def same(model, other):
    states = model.state_dict(), other.state_dict()
    return all(torch.equal(W, states[1][name]) for name, W in states[0].items())


# ---------------------------------------------------------------------------
# Numbers of zeros


@pytest.mark.parametrize("target", [0.0, 0.37, 0.95, 1.0])
@pytest.mark.parametrize("n_steps", [1, 7, 60])
def test_exact_share(target, n_steps):
    model, loader = make_problem()
    optimizer = adam(model)
    with Sparsifier(model, optimizer, target, n_steps=n_steps) as sparsifier:
        train(model, optimizer, batches(loader, n_steps))
    n_kept = round((1 - target) * N_WEIGHTS)
    assert nonzero_of(*layers_of(model)) == n_kept
    assert sparsifier.sparsity() == 1.0 - n_kept / N_WEIGHTS
    assert sparsifier.n_steps_done == n_steps
    assert sum(int(mask.sum()) for mask in sparsifier.masks.values()) == n_kept
    assert all(layer.bias.all() for layer in layers_of(model))


def test_shares_of_parts_and_layers():
    model, loader = make_problem()
    optimizer = adam(model)
    with Sparsifier(model, optimizer, {"1": 0.75, "0.0": 0.5}, n_steps=20) as one:
        train(model, optimizer, batches(loader, 20))
    first, *others = layers_of(model)
    assert nonzero_of(first) == 120
    assert nonzero_of(*others) == round(0.25 * 230)
    assert list(one.masks) == ["1.0.weight", "1.3.weight", "0.0.weight"]

    model, loader = make_problem()
    optimizer = adam(model)
    with Sparsifier(model, optimizer, 0.9, n_steps=20, layers=["1.3"]):
        train(model, optimizer, batches(loader, 20))
    assert [nonzero_of(layer) for layer in layers_of(model)] == [240, 200, 3]


def test_pattern_from_the_beginning_to_the_end():
    model, loader = make_problem()
    optimizer = adam(model)
    counts = []

    def count():
        W = model[1][0].weight.detach().reshape(-1, 4)
        counts.append(int(W.count_nonzero(dim=1).max()))

    with Sparsifier(model, optimizer, "2:4", n_steps=20, layers=["1.0"]):
        count()
        train(model, optimizer, batches(loader, 20), count)
    assert counts == [2] * 21
    assert nonzero_of(model[1][0]) == 100


def test_zeros_grow_with_the_steps_and_may_return():
    model, loader = make_problem()
    optimizer = adam(model, lr=0.05)
    sparsifier = Sparsifier(model, optimizer, 0.8, n_steps=100)
    shares, supports = [], []

    def record():
        shares.append(sparsifier.sparsity())
        joined = torch.cat([W.flatten() for W in weights_of(model)])
        supports.append(joined != 0)

    train(model, optimizer, batches(loader, 100), record)
    ramp = [0.8 * (1 - (1 - min(i / 30, 1)) ** 3) for i in range(1, 101)]
    assert max(abs(a - b) for a, b in zip(shares, ramp, strict=True)) < 0.08
    assert shares[49:] == [0.8] * 51
    changes = itertools.pairwise(supports)
    returned = [bool((new & ~old).any()) for old, new in changes]
    assert any(returned[30:48])
    assert not any(returned[49:])


def test_same_as_sparsify():
    """With the learning rates of `sparsify`, the loop is that of `sparsify`."""
    model, loader = make_problem()
    expected = copy.deepcopy(model)
    torch.manual_seed(0)
    sparsify(
        expected,
        F.cross_entropy,
        loader,
        target=0.9,
        n_epochs=5,
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=0.01),
    )
    optimizer = adam(model)
    n_steps = 5 * len(loader)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, n_steps)
    )
    torch.manual_seed(0)
    with Sparsifier(model, optimizer, 0.9, n_steps=n_steps):
        for _ in range(5):
            train(model, optimizer, loader, schedule.step)
    for W, other in zip(weights_of(model), weights_of(expected), strict=True):
        torch.testing.assert_close(W, other)


# ---------------------------------------------------------------------------
# Loops of all kinds


@pytest.mark.parametrize("by_name", [False, True])
def test_closures_see_the_sparse_weights(by_name):
    model, loader = make_problem()
    other = copy.deepcopy(model)
    data = batches(loader, 50)
    optimizer = adam(model)
    torch.manual_seed(1)
    with Sparsifier(model, optimizer, 0.9, n_steps=50):
        train(model, optimizer, data)

    optimizer = adam(other)
    torch.manual_seed(1)
    with Sparsifier(other, optimizer, 0.9, n_steps=50) as sparsifier:
        seen = []
        for X, y in data:

            def closure(X=X, y=y):
                seen.append(sparsifier.sparsity())
                optimizer.zero_grad()
                loss = F.cross_entropy(other(X), y)
                loss.backward()
                return loss

            share = sparsifier.sparsity()
            loss = (
                optimizer.step(closure=closure)
                if by_name
                else (optimizer.step(closure))
            )
            assert loss.item() > 0.0
            assert seen.pop() == share
    assert same(model, other)


def test_learning_rates_are_left_to_the_scheduler():
    model, loader = make_problem()
    optimizer = adam(model, lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 10, gamma=0.5)
    rates = []

    def after_step():
        schedule.step()
        rates.append(optimizer.param_groups[0]["lr"])

    with Sparsifier(model, optimizer, 0.9, n_steps=30):
        train(model, optimizer, batches(loader, 30), after_step)
    assert rates == [0.1] * 9 + [0.05] * 10 + [0.025] * 10 + [0.0125]


def test_accumulated_gradients_count_once():
    model, loader = make_problem()
    optimizer = adam(model)
    with Sparsifier(model, optimizer, 0.9, n_steps=10) as sparsifier:
        for i, (X, y) in enumerate(batches(loader, 40)):
            F.cross_entropy(model(X), y).backward()
            if i % 4 == 3:
                optimizer.step()
                optimizer.zero_grad()
    assert sparsifier.n_steps_done == 10
    assert nonzero_of(*layers_of(model)) == 47


def test_skipped_steps_of_a_scaler_do_not_count():
    model, loader = make_problem()
    optimizer = adam(model)
    scaler = torch.amp.GradScaler("cpu")
    with Sparsifier(model, optimizer, 0.9, n_steps=20) as sparsifier:
        for i, (X, y) in enumerate(batches(loader, 30)):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                loss = F.cross_entropy(model(X).float(), y)
            scaler.scale(loss * (math.inf if i % 3 == 2 else 1.0)).backward()
            scaler.step(optimizer)
            scaler.update()
    assert sparsifier.n_steps_done == 20
    assert nonzero_of(*layers_of(model)) == 47


def test_compiled_module():
    model, loader = make_problem()
    other = copy.deepcopy(model)
    data = batches(loader, 30)
    for network in (model, other):
        compiled = (
            network if network is model else torch.compile(network, backend="eager")
        )
        optimizer = adam(compiled)
        torch.manual_seed(0)
        with Sparsifier(compiled, optimizer, {"1": 0.9}, n_steps=30):
            train(compiled, optimizer, data)
    assert same(model, other)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
        lambda p: torch.optim.AdamW(p, lr=0.01, fused=True),
        lambda p: torch.optim.AdamW(p, lr=0.01, foreach=True, amsgrad=True),
        lambda p: torch.optim.RMSprop(p, lr=0.01),
        lambda p: torch.optim.Adafactor(p, lr=0.01),
    ],
    ids=["SGD", "fused AdamW", "AMSGrad", "RMSprop", "Adafactor"],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_optimizers_and_dtypes(make, dtype):
    model, loader = make_problem()
    model.to(dtype)
    optimizer = make(model.parameters())
    data = [(X.to(dtype), y) for X, y in batches(loader, 30)]
    with Sparsifier(model, optimizer, 0.9, n_steps=30):
        train(model, optimizer, data)
    assert nonzero_of(*layers_of(model)) == 47


def test_removed_weights_are_trained_on():
    """Before the zeros are fixed, the weights are those of an explicit loop."""
    torch.manual_seed(0)
    model = nn.Linear(30, 4, bias=False)
    dense = model.weight.detach().clone()
    X = torch.randn(50, 30)
    y = X[:, :4]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparsifier = Sparsifier(model, optimizer, 0.9, n_steps=500)
    for _ in range(200):
        optimizer.zero_grad()
        F.mse_loss(model(X), y).backward()
        gradient = model.weight.grad.clone()
        optimizer.step()
        dense = dense - 0.1 * gradient
        W = model.weight.detach()
        torch.testing.assert_close(W[W != 0], dense[W != 0])
    assert sparsifier.masks is None
    assert sparsifier.sparsity() > 0.85
    sparsifier.remove()


# ---------------------------------------------------------------------------
# Ends, interruptions and errors


def test_early_end_and_more_steps():
    model, loader = make_problem()
    optimizer = adam(model)
    data = batches(loader, 40)
    sparsifier = Sparsifier(model, optimizer, 0.9, n_steps=1000)
    train(model, optimizer, data[:10])
    assert sparsifier.masks is None
    report = sparsifier.finalize()
    assert report.n_zeros == N_WEIGHTS - 47
    kept = weights_of(model)
    assert sparsifier.finalize().n_zeros == report.n_zeros
    assert all(map(torch.equal, kept, weights_of(model)))
    train(model, optimizer, data[10:])  # without hooks
    assert nonzero_of(*layers_of(model)) > 47

    model, loader = make_problem()
    optimizer = adam(model)
    sparsifier = Sparsifier(model, optimizer, 0.9, n_steps=10)
    train(model, optimizer, data)
    assert sparsifier.n_steps_done == 40
    assert nonzero_of(*layers_of(model)) == 47


@pytest.mark.parametrize("target", [0.9, "2:4"])
@pytest.mark.parametrize("n_first", [3, 15, 28])
def test_goes_on_from_its_state(target, n_first):
    layers = None if target == 0.9 else ["1.0"]
    model, loader = make_problem()
    model[1][1].p = 0.0
    start = copy.deepcopy(model.state_dict())
    data = batches(loader, 30)
    optimizer = adam(model)
    with Sparsifier(model, optimizer, target, n_steps=30, layers=layers):
        train(model, optimizer, data)
    expected = copy.deepcopy(model)

    model.load_state_dict(start)
    optimizer = adam(model)
    sparsifier = Sparsifier(model, optimizer, target, n_steps=30, layers=layers)
    train(model, optimizer, data[:n_first])
    file = io.BytesIO()
    parts = model, optimizer, sparsifier
    torch.save([part.state_dict() for part in parts], file)
    file.seek(0)

    model, _ = make_problem(seed=1)
    model[1][1].p = 0.0
    optimizer = adam(model)
    sparsifier = Sparsifier(model, optimizer, target, n_steps=30, layers=layers)
    parts = model, optimizer, sparsifier
    for part, state in zip(parts, torch.load(file, weights_only=True), strict=True):
        part.load_state_dict(state)
    with sparsifier:
        train(model, optimizer, data[n_first:])
    assert same(model, expected)


def test_failing_steps_and_closures_leave_the_weights():
    class Failing(torch.optim.SGD):
        fails = False

        def step(self, closure=None):
            if self.fails:
                raise RuntimeError("out of memory")
            return super().step(closure)

    model, loader = make_problem()
    optimizer = Failing(model.parameters(), lr=0.05)
    expected = copy.deepcopy(model)
    data = batches(loader, 20)
    sparsifier = Sparsifier(model, optimizer, 0.9, n_steps=20)
    torch.manual_seed(0)
    train(model, optimizer, data[:5])
    optimizer.fails = True
    with pytest.raises(RuntimeError, match="out of memory"):
        optimizer.step()
    optimizer.fails = False
    state = torch.get_rng_state()

    def failing():
        raise KeyError("batch")

    before = sparsifier.sparsity()
    with pytest.raises(KeyError, match="batch"):
        optimizer.step(failing)
    assert sparsifier.sparsity() == before
    torch.set_rng_state(state)
    with sparsifier:
        train(model, optimizer, data[5:])

    optimizer = Failing(expected.parameters(), lr=0.05)
    torch.manual_seed(0)
    with Sparsifier(expected, optimizer, 0.9, n_steps=20):
        train(expected, optimizer, data)
    assert same(model, expected)


def test_error_in_the_block_removes_the_hooks():
    model, loader = make_problem()
    optimizer = adam(model)
    sparsifier = Sparsifier(model, optimizer, 0.9, n_steps=10)
    data = [*batches(loader, 3), (None, None)]
    with pytest.raises(TypeError), sparsifier:
        train(model, optimizer, data)
    train(model, optimizer, batches(loader, 3))
    assert sparsifier.n_steps_done == 3


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_steps": 0}, ValueError, "n_steps"),
        ({"n_steps": 2.5}, TypeError, "n_steps"),
        ({"target": 1.5}, ValueError, "target must be between 0 and 1"),
        ({"target": "4:2"}, ValueError, "target must be a share"),
        ({"layers": ["2"]}, ValueError, "layers"),
        ({"optimizer": None}, TypeError, "optimizer must be a torch.optim.Optimizer"),
        ({"module": None}, TypeError, "module must be a torch.nn.Module"),
    ],
)
def test_wrong_arguments_change_nothing(arguments, error, message):
    model, loader = make_problem()
    optimizer = adam(model)
    before = weights_of(model)
    known = {"module": model, "optimizer": optimizer, "target": 0.9, "n_steps": 10}
    with pytest.raises(error, match=message):
        Sparsifier(**known | arguments)
    train(model, optimizer, batches(loader, 1))
    assert nonzero_of(*layers_of(model)) == N_WEIGHTS
    assert all(not torch.equal(*W) for W in zip(before, weights_of(model), strict=True))


def test_optimizers_that_do_not_fit():
    model, _ = make_problem()
    other, _ = make_problem()
    with pytest.raises(ValueError, match="weights of module must be parameters of"):
        Sparsifier(model, adam(other), 0.9, n_steps=10)
    with pytest.raises(ValueError, match="LBFGS"):
        Sparsifier(model, torch.optim.LBFGS(model.parameters()), 0.9, n_steps=10)


def test_states_that_do_not_fit():
    model, loader = make_problem()
    optimizer = adam(model)
    sparsifier = Sparsifier(model, optimizer, 0.9, n_steps=10)
    train(model, optimizer, batches(loader, 3))
    with pytest.raises(ValueError, match="must be the result of state_dict"):
        sparsifier.load_state_dict({"n_steps_done": 3})
    other = nn.Linear(3, 2)
    state = sparsifier.state_dict()
    sparsifier = Sparsifier(other, adam(other), 0.9, n_steps=10)
    with pytest.raises(ValueError, match="a network with the same weights"):
        sparsifier.load_state_dict(state)
    assert sparsifier.n_steps_done == 0


def test_weights_that_are_not_finite_raise_no_other_error():
    """The loss says that the training has diverged."""
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    Sparsifier(model, optimizer, target=0.5, n_steps=10)
    for _ in range(10):
        optimizer.zero_grad()
        (model(torch.full((2, 6), float("nan"))).sum()).backward()
        optimizer.step()
    assert model[0].weight.isnan().any()
