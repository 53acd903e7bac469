"""Soft thresholds, and optimisers that end each step with one."""

import copy
import io

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso
from torch import nn

from skproj.nn import ProximalAdam, ProximalSGD
from skproj.nn.optim._proximal import group_soft_threshold_, soft_threshold_
from skproj.projection import prox_l1, prox_l12

L1 = 0.3

# The options of each optimiser, with a learning rate that suits the problem below.
OPTIMIZERS = {
    "SGD": (ProximalSGD, {"lr": 0.1}),
    "momentum": (ProximalSGD, {"lr": 0.02, "momentum": 0.9}),
    "Adam": (ProximalAdam, {"lr": 0.02}),
}
each_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


def random_tensor(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=dtype)


# ---------------------------------------------------------------------------
# The thresholds


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_soft_threshold_is_the_proximity_operator(dtype):
    W = random_tensor(6, 5, dtype=dtype)
    expected = prox_l1(W.numpy().copy(), 0.7)
    assert soft_threshold_(W, 0.7) is W
    np.testing.assert_allclose(W.numpy(), expected, rtol=1e-6)
    np.testing.assert_array_equal(W.numpy() == 0, expected == 0)


def test_soft_threshold_takes_an_amount_for_each_weight():
    W, amount = random_tensor(4, 3), random_tensor(4, 3, seed=1).abs()
    expected = [
        prox_l1(w, t.item())
        for w, t in zip(W.view(-1, 1), amount.view(-1), strict=True)
    ]
    soft_threshold_(W, amount)
    np.testing.assert_allclose(W.view(-1, 1).numpy(), np.array(expected))


@pytest.mark.parametrize("dim", [0, 1, (0, 2), (1, 2), None])
def test_group_soft_threshold_is_the_proximity_operator(dim):
    W = random_tensor(4, 5, 3)
    W[0, 0] = 0.0
    expected = prox_l12(W.numpy().copy(), 1.8, axis=dim)
    assert group_soft_threshold_(W, 1.8, dim) is W
    np.testing.assert_allclose(W.numpy(), expected, rtol=1e-12)
    np.testing.assert_array_equal(W.numpy() == 0, expected == 0)


@pytest.mark.parametrize(("dim", "n"), [(0, (1, 5, 3)), ((1, 2), (4, 1, 1))])
def test_group_soft_threshold_takes_an_amount_for_each_group(dim, n):
    W = random_tensor(4, 5, 3)
    norm = W.norm(dim=dim, keepdim=True)
    amount = 2.0 * random_tensor(*n, seed=1).abs() * norm  # some beyond the norm
    expected = W * (norm - amount).clamp(min=0) / norm
    group_soft_threshold_(W, amount, dim)
    torch.testing.assert_close(W, expected)
    assert torch.equal(W == 0, expected == 0)
    assert 0 < (W == 0).sum() < W.numel()


def test_group_soft_threshold_in_half_precision():
    """The squares of weights are too small for float16."""
    W = torch.tensor([[1e-4], [1e-4]], dtype=torch.float16)
    expected = group_soft_threshold_(W.double(), 5e-5, 0)
    group_soft_threshold_(W, 5e-5, 0)
    torch.testing.assert_close(W, expected.to(W.dtype))


def test_group_soft_threshold_of_zeros():
    W = torch.tensor([[0.0, 1.0], [0.0, -2.0]])
    before = W.clone()
    group_soft_threshold_(W, 0.0, 0)
    assert torch.equal(W, before)


@pytest.mark.parametrize("dim", [0, (0, 2), None])
def test_adam_shares_the_step_size_of_a_group(dim):
    """Also from the step on after which a penalty is put on the group."""
    W = start(4, 3, 2)
    optimizer = ProximalAdam([W], lr=0.1, penalty="l12", dim=dim)
    for l1 in (0.0, 1e-12):
        before = W.detach().clone()
        optimizer.param_groups[0]["l1"] = l1
        W.grad = random_tensor(4, 3, 2, seed=1)
        optimizer.step()
    mean = 0.1 * W.grad * (1 + 0.9) / (1 - 0.9**2)
    sizes = (W.detach() - before) / mean
    expected = W.grad.square().mean(dim, keepdim=True).sqrt().reciprocal() * -0.1
    torch.testing.assert_close(sizes, expected.expand_as(sizes), rtol=1e-6, atol=0)


# ---------------------------------------------------------------------------
# What the optimisers converge to


class LeastSquares:
    """Half the mean squared error of a linear model; 4 of its 12 weights matter."""

    def __init__(self, seed=0):
        self.X = random_tensor(60, 12, seed=seed)
        truth = torch.tensor([1.5, -1.0, 0.8, 0.4], dtype=torch.float64)
        self.y = self.X[:, :4] @ truth + 0.1 * random_tensor(60, seed=seed + 1)
        self.gram = self.X.T @ self.X / 60
        self.moment = self.X.T @ self.y / 60

    def __call__(self, W):
        return (self.X @ W.flatten() - self.y).square().mean() / 2

    def gradient(self, W):
        return (self.gram @ W.detach().flatten() - self.moment).view_as(W)


def minimise(optimizer, W, problem, n_steps=1500, scheduler=None):
    for _ in range(n_steps):
        W.grad = problem.gradient(W)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return W.detach()


def start(*shape):
    return nn.Parameter(random_tensor(*shape, seed=7))


def make(name, params, **options):
    optimizer, defaults = OPTIMIZERS[name]
    return optimizer(params, **defaults | options)


def polynomial_decay(optimizer, n_steps=1500):
    return torch.optim.lr_scheduler.PolynomialLR(optimizer, n_steps + 1, power=2.0)


@pytest.mark.parametrize("scheduled", [False, True])
@each_optimizer
def test_stationary_point_is_the_lasso_solution(name, scheduled):
    """Whatever momentum and schedule: |gradient| = l1, or less at exact zeros."""
    problem = LeastSquares()
    W = start(12)
    optimizer = make(name, [W], l1=L1)
    scheduler = polynomial_decay(optimizer) if scheduled else None
    solution = minimise(optimizer, W, problem, scheduler=scheduler)
    g = problem.gradient(solution)
    zero = solution == 0
    assert 0 < zero.sum() < 12
    torch.testing.assert_close(
        g[~zero], -L1 * solution[~zero].sign(), atol=1e-6, rtol=0
    )
    assert (g[zero].abs() <= L1).all()
    lasso = Lasso(alpha=L1, fit_intercept=False, tol=1e-12)
    lasso.fit(problem.X.numpy(), problem.y.numpy())
    np.testing.assert_allclose(solution.numpy(), lasso.coef_, atol=1e-6)
    np.testing.assert_array_equal(zero.numpy(), lasso.coef_ == 0)


@pytest.mark.parametrize(
    ("name", "shape", "dim"),
    [
        ("SGD", (3, 4), 0),
        ("momentum", (2, 2, 3), (1, 2)),
        ("Adam", (3, 4), 1),
        ("Adam", (2, 2, 3), (1, 2)),
    ],
)
def test_groups_converge_to_the_solution_of_proximal_gradient(name, shape, dim):
    problem = LeastSquares(seed=3)
    W = start(*shape)
    optimizer = make(name, [W], l1=0.5, penalty="l12", dim=dim)
    solution = minimise(optimizer, W, problem)
    expected = start(*shape).detach()
    step = 1.0 / torch.linalg.eigvalsh(problem.gram).max().item()
    for _ in range(1000):
        moved = expected - step * problem.gradient(expected)
        expected = torch.from_numpy(prox_l12(moved.numpy(), step * 0.5, axis=dim))
    torch.testing.assert_close(solution, expected, atol=1e-6, rtol=0)
    assert torch.equal(solution == 0, expected == 0)
    assert 0 < (solution == 0).sum() < solution.numel()


@pytest.mark.parametrize("name", ["SGD", "momentum"])
def test_weight_decay_is_a_penalty_of_its_own(name):
    problem = LeastSquares()
    W = start(12)
    solution = minimise(make(name, [W], l1=L1, weight_decay=0.2), W, problem)
    total = problem.gradient(solution) + 0.2 * solution
    zero = solution == 0
    torch.testing.assert_close(
        total[~zero], -L1 * solution[~zero].sign(), atol=1e-6, rtol=0
    )
    assert (total[zero].abs() <= L1).all()


def test_first_step_with_momentum_is_one_without():
    """The threshold does not run ahead of the weights."""
    problem = LeastSquares()
    W, V = start(12), start(12)
    minimise(ProximalSGD([W], lr=0.1, l1=L1), W, problem, n_steps=1)
    optimizer = ProximalSGD([V], lr=0.1, l1=L1, momentum=0.5)
    minimise(optimizer, V, problem, n_steps=1)
    torch.testing.assert_close(W, V)
    assert torch.equal(W == 0, V == 0)


# ---------------------------------------------------------------------------
# Without a penalty


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        (ProximalSGD, torch.optim.SGD, {}),
        (ProximalSGD, torch.optim.SGD, {"momentum": 0.9}),
        (ProximalSGD, torch.optim.SGD, {"weight_decay": 0.1}),
        (ProximalAdam, torch.optim.Adam, {}),
        (ProximalAdam, torch.optim.AdamW, {"weight_decay": 0.1}),
        (ProximalAdam, torch.optim.Adam, {"betas": (0.5, 0.9), "eps": 1e-3}),
    ],
)
def test_without_penalty_they_are_those_of_torch(ours, theirs, options):
    problem = LeastSquares()
    W, V = start(12), start(12)
    for parameter, optimizer in [(W, ours), (V, theirs)]:
        optimizer = optimizer([parameter], lr=0.03, **options)
        minimise(optimizer, parameter, problem, 50, polynomial_decay(optimizer, 50))
    torch.testing.assert_close(W, V, rtol=1e-12, atol=1e-12)


# ---------------------------------------------------------------------------
# As optimisers of PyTorch


@each_optimizer
def test_groups_of_parameters_have_their_own_penalty(name):
    problem = LeastSquares()
    penalised, free = start(6), start(6)
    optimizer = make(name, [{"params": penalised, "l1": 100.0}, {"params": [free]}])
    for _ in range(200):
        optimizer.zero_grad()
        problem(torch.cat([penalised, free])).backward()
        optimizer.step()
    assert not penalised.any()
    assert free.all()


@each_optimizer
def test_state_can_be_saved_and_loaded(name):
    problem = LeastSquares()
    W = start(12)
    optimizer = make(name, [W], l1=L1)
    minimise(optimizer, W, problem, n_steps=5)
    V = nn.Parameter(W.detach().clone())
    resumed = make(name, [V])
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    resumed.load_state_dict(torch.load(file))
    copied, U = copy.deepcopy((optimizer, W))
    for parameter, continued in [(W, optimizer), (V, resumed), (U, copied)]:
        minimise(continued, parameter, problem, n_steps=5)
    assert torch.equal(V, W)
    assert torch.equal(U, W)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (ProximalSGD, torch.optim.SGD),
        (ProximalAdam, torch.optim.AdamW),
        (ProximalAdam, ProximalSGD),
    ],
)
def test_state_of_another_optimizer_is_refused(ours, theirs):
    """Before anything is changed; it would fail at the next step."""
    W = start(12)
    optimizer = ours([W], lr=0.5)
    message = f"state_dict must be that of a {ours.__name__}, but .* has no"
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(theirs([start(12)], lr=0.1).state_dict())
    assert optimizer.param_groups[0]["lr"] == 0.5


@each_optimizer
def test_state_of_other_parameters_is_refused(name):
    """A state that broadcasts would do its work on the wrong entries without a word."""
    optimizer, other = make(name, [start(12, 1)]), make(name, [start(12, 3)])
    for W in optimizer.param_groups[0]["params"]:
        W.grad = torch.ones_like(W)
    options = {"momentum": 0.9} if "SGD" in type(optimizer).__name__ else {}
    optimizer.param_groups[0].update(options)
    optimizer.step()
    before = copy.deepcopy(other.state_dict())
    with pytest.raises(ValueError, match=r"has shape \(12, 1\) for \(12, 3\)"):
        other.load_state_dict(optimizer.state_dict())
    assert other.state_dict() == before


@each_optimizer
def test_dim_has_to_fit_penalised_parameters_only(name):
    """A bias without penalty may have fewer dimensions; one with it may not."""
    W, bias = start(2, 3), start(2)
    groups = [{"params": W}, {"params": bias, "l1": 0.0}]
    optimizer = make(name, groups, l1=float("inf"), penalty="l12", dim=1)
    (W.sum() + bias.sum()).backward()
    optimizer.step()
    assert not W.any()
    assert bias.all()
    before = bias.detach().clone()
    optimizer.param_groups[1]["l1"] = 1.0
    with pytest.raises(ValueError, match="dim must be between -1 and 0"):
        optimizer.step()
    assert torch.equal(bias, before)
    with pytest.raises(ValueError, match="dim must be None for a scalar tensor"):
        make(name, [nn.Parameter(torch.ones(()))], l1=1.0, penalty="l12")


@pytest.mark.parametrize("penalty", ["l1", "l12"])
@each_optimizer
def test_empty_parameter(name, penalty):
    empty, W = start(0, 3), start(1, 3)
    optimizer = make(name, [empty, W], l1=float("inf"), penalty=penalty)
    (empty.sum() + W.sum()).backward()
    optimizer.step()
    assert not W.any()


@each_optimizer
def test_parameter_without_gradient_is_left_alone(name):
    problem = LeastSquares()
    W, unused = start(12), start(3)
    before = unused.detach().clone()
    optimizer = make(name, [W, unused], l1=100.0)
    minimise(optimizer, W, problem, n_steps=3)
    assert torch.equal(unused, before)
    assert not W.any()


@each_optimizer
def test_step_that_a_gradient_scaler_skips_changes_nothing(name):
    W = start(3)
    before = W.detach().clone()
    optimizer = make(name, [W], l1=L1)
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale((W * torch.tensor([1.0, 2.0, torch.inf])).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert torch.equal(W, before)
    assert not optimizer.state[W]


@each_optimizer
def test_closure_is_evaluated_once_with_gradients(name):
    problem = LeastSquares()
    W, V = start(12), start(12)
    optimizer = make(name, [W], l1=L1)
    n_calls = 0

    def closure():
        nonlocal n_calls
        n_calls += 1
        optimizer.zero_grad()
        loss = problem(W)
        loss.backward()
        return loss

    with torch.no_grad():
        loss = optimizer.step(closure)
    assert n_calls == 1
    assert loss == problem(start(12))
    minimise(make(name, [V], l1=L1), V, problem, n_steps=1)
    torch.testing.assert_close(W, V)


@pytest.mark.parametrize("penalty", ["l1", "l12"])
@each_optimizer
def test_infinite_penalty_leaves_nothing(name, penalty):
    W = start(2, 3)
    optimizer = make(name, [W], l1=float("inf"), penalty=penalty)
    W.square().sum().backward()
    optimizer.step()
    assert not W.any()


@pytest.mark.parametrize("penalty", ["l1", "l12"])
@each_optimizer
def test_learning_rate_of_zero_changes_nothing(name, penalty):
    W = nn.Parameter(torch.tensor([[1.0, 0.0], [2.0, 0.0]]))
    before = W.detach().clone()
    optimizer = make(name, [W], l1=L1, penalty=penalty, lr=0.0)
    W.sum().backward()
    optimizer.step()
    assert torch.equal(W, before)


def test_weight_of_an_input_that_is_always_zero_becomes_zero():
    problem = LeastSquares()
    problem.gram[5] = problem.moment[5] = 0.0
    W = start(12)
    minimise(ProximalAdam([W], lr=0.01, l1=0.01), W, problem, n_steps=1)
    assert W[5] == 0.0
    assert W.count_nonzero() == 11


def test_eps_bounds_the_threshold_of_tiny_gradients():
    """As in a network that has been trained, which is to lose weights slowly."""
    problem = LeastSquares()
    W = start(12)
    minimise(ProximalAdam([W], lr=0.05), W, problem, n_steps=3000)
    before = W.detach().clone()
    V = nn.Parameter(before.clone())
    minimise(ProximalAdam([V], lr=0.02, l1=L1), V, problem, n_steps=1)
    assert V.count_nonzero() == 0
    minimise(ProximalAdam([W], lr=0.02, l1=L1, eps=0.1), W, problem, n_steps=1)
    assert ((W - before).abs() <= 0.02 * L1 / 0.1 + 1e-9).all()
    assert W.count_nonzero() > 0


@each_optimizer
def test_sparse_gradient_is_refused_before_anything_moves(name):
    W, embedding = start(3), nn.Embedding(4, 2, sparse=True)
    before = W.detach().clone()
    optimizer = make(name, [W, embedding.weight])
    (W.sum() + embedding(torch.tensor([1])).sum()).backward()
    with pytest.raises(RuntimeError, match="dense gradients"):
        optimizer.step()
    assert torch.equal(W, before)


@pytest.mark.parametrize(
    ("optimizer", "options", "error", "message"),
    [
        (ProximalSGD, {"lr": -0.1}, ValueError, "lr must be non-negative"),
        (ProximalSGD, {"lr": "fast"}, TypeError, "lr must be a real number"),
        (ProximalSGD, {"l1": -1.0}, ValueError, "l1 must be non-negative"),
        (ProximalSGD, {"lr": float("inf")}, ValueError, "lr must be .* finite"),
        (ProximalSGD, {"momentum": 1.0}, ValueError, "momentum must be .* less than 1"),
        (ProximalSGD, {"weight_decay": float("nan")}, ValueError, "weight_decay"),
        (ProximalSGD, {"penalty": "l2"}, ValueError, "penalty must be one of"),
        (ProximalAdam, {"penalty": "l12", "dim": 1.0}, TypeError, "dim must be"),
        (ProximalAdam, {"l1": L1, "penalty": "l12", "dim": 2}, ValueError, "dim must"),
        (ProximalAdam, {"betas": 0.9}, TypeError, "betas must be two"),
        (ProximalAdam, {"betas": (0.9, 1.0)}, ValueError, "betas must be .* less"),
        (ProximalAdam, {"eps": 0.0}, ValueError, "eps must be positive"),
    ],
)
def test_bad_options_are_refused(optimizer, options, error, message):
    with pytest.raises(error, match=message):
        optimizer([start(2, 3)], **options)
    held = optimizer([start(2, 3)])
    with pytest.raises(error, match=message):
        held.add_param_group({"params": [start(2, 3)], **options})
    assert len(held.param_groups) == 1


def test_complex_parameters_are_refused():
    with pytest.raises(TypeError, match="real floating-point"):
        ProximalSGD([nn.Parameter(torch.zeros(2, dtype=torch.complex64))])


def test_large_gradients_in_half_precision():
    """The square of such a gradient is beyond float16, its root is not."""
    weight = torch.nn.Parameter(torch.zeros(2, dtype=torch.float16))
    optimizer = ProximalAdam([weight], lr=0.5, l1=0.0, eps=1e-3)
    weight.grad = torch.tensor([1000.0, -1000.0], dtype=torch.float16)
    optimizer.step()
    torch.testing.assert_close(
        weight.detach(), torch.tensor([-0.5, 0.5], dtype=torch.float16)
    )
