"""Projections after the steps of an optimizer."""

import copy
import io
import pickle

import pytest
import torch
from projected_helpers import each_ball, norm, project_by_hand, train

import skproj.nn.functional as F
from skproj.nn import register_projection

# ---------------------------------------------------------------------------
# register_projection


@each_ball
def test_every_ball_holds_after_a_step(ball, layer):
    """By its name; the bias is left alone."""
    optimizer = torch.optim.SGD(layer.parameters(), lr=1e-4)
    unprojected = copy.deepcopy(layer)
    train(unprojected, torch.optim.SGD(unprojected.parameters(), lr=1e-4))
    register_projection(optimizer, layer.weight, ball.name, 0.7)
    train(layer, optimizer)
    expected = ball.project(unprojected.weight.detach().numpy(), 0.7)
    torch.testing.assert_close(layer.weight.detach(), torch.from_numpy(expected))
    assert torch.equal(layer.bias, unprojected.bias)
    assert layer.weight.requires_grad


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True),
        lambda p: torch.optim.Adam(p, lr=0.01),
        lambda p: torch.optim.AdamW(p, lr=0.01, foreach=True),
        lambda p: torch.optim.Adagrad(p, lr=0.01),
    ],
    ids=["SGD", "Adam", "AdamW", "Adagrad"],
)
def test_with_any_optimizer(make, layer):
    """With state of its own, and several groups of parameters."""
    optimizer = make([{"params": [layer.weight]}, {"params": [layer.bias]}])
    register_projection(optimizer, layer.weight, "l1inf", 0.5)
    train(layer, optimizer, 5)
    assert norm(layer) <= 0.5 * (1 + 1e-6)


def test_with_closure(layer):
    """LBFGS calls a function several times in a step; one projection follows."""
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=3)
    calls = []

    def projection(W, radius, *, dim):
        calls.append(radius)
        return F.projection_l1inf_ball(W, radius, dim=dim)

    register_projection(optimizer, layer.weight, projection, 0.5)

    def closure():
        optimizer.zero_grad()
        loss = (layer(torch.eye(6)) - 1.0).square().sum()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    assert calls == [0.5, 0.5, 0.5]
    assert norm(layer) <= 0.5 * (1 + 1e-6)


def test_with_scheduler(layer):
    """A scheduler of the learning rate wraps the step; the hook still follows it."""
    optimizer = torch.optim.SGD(layer.parameters(), lr=1e-4)
    handle = register_projection(optimizer, layer.weight, "l1inf", 0.5)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    for _ in range(3):
        train(layer, optimizer)
        scheduler.step()
        assert norm(layer) <= 0.5 * (1 + 1e-6)
    assert handle.n_steps == 3


def test_with_gradient_scaler(layer):
    """A step that is skipped because of an overflow is not counted."""
    optimizer = torch.optim.SGD(layer.parameters(), lr=1e-4)
    handle = register_projection(optimizer, layer.weight, "l1inf", 0.5)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for factor, n_steps in ((float("inf"), 0), (1.0, 1)):
        before = layer.weight.detach().clone()
        optimizer.zero_grad()
        scaler.scale(layer(torch.eye(6)).sum() * factor).backward()
        scaler.step(optimizer)
        scaler.update()
        assert handle.n_steps == n_steps
        assert torch.equal(before, layer.weight) is (n_steps == 0)
    assert norm(layer) <= 0.5 * (1 + 1e-6)


@pytest.mark.parametrize("dim", [0, 1, (0, 1), None])
def test_dim(dim, layer):
    """What the groups run along."""
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0)
    expected = F.projection_l12_ball(layer.weight.detach(), 2.0, dim=dim)
    register_projection(optimizer, layer.weight, "l12", 2.0, dim=dim)
    train(layer, optimizer)
    assert torch.equal(layer.weight, expected)


def test_several_parameters(layer):
    """An iterator of parameters, each projected by itself."""
    other = torch.nn.Linear(6, 4)
    optimizer = torch.optim.SGD([layer.weight, other.weight], lr=0.0)
    register_projection(optimizer, iter([layer.weight, other.weight]), "l1inf", 0.5)
    for module in (layer, other):
        module.weight.grad = torch.zeros_like(module.weight)
    optimizer.step()
    for module in (layer, other):
        assert norm(module) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "projection",
    [
        project_by_hand,
        F.projection_l12_ball,
        F.projection_l12_ball_,
        lambda W, radius, dim: W.copy_(F.projection_l12_ball(W, radius, dim=dim)),
        lambda W, radius, dim: F.projection_l12_ball(W.double(), radius, dim=dim),
    ],
    ids=["own", "new", "in place", "own in place", "other dtype"],
)
def test_callable(projection, layer):
    """A new tensor is copied into the parameter; W itself may be changed."""
    weight = layer.weight
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0)
    expected = F.projection_l12_ball(weight.detach(), 2.0, dim=1)
    register_projection(optimizer, weight, projection, 2.0, dim=1)
    train(layer, optimizer)
    assert layer.weight is weight
    torch.testing.assert_close(weight.detach(), expected)


def test_radius_of_step(layer):
    """A schedule sees the number of steps done."""
    optimizer = torch.optim.SGD(layer.parameters(), lr=1e-5)
    seen = []

    def radius(step):
        seen.append(step)
        return 4.0 / step

    handle = register_projection(optimizer, layer.weight, "l1inf", radius)
    for step in range(1, 8):
        train(layer, optimizer)
        assert handle.n_steps == step
        assert norm(layer) == pytest.approx(4.0 / step)
    assert seen == list(range(1, 8))


def test_bad_radius_of_schedule_is_refused(layer):
    """When it is used, before anything is projected."""
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0)
    register_projection(optimizer, layer.weight, "l1inf", lambda step: -1.0)
    before = layer.weight.detach().clone()
    with pytest.raises(ValueError, match="radius must be non-negative"):
        train(layer, optimizer)
    assert torch.equal(layer.weight, before)


def test_registrations_are_independent(layer):
    """Two on one optimizer, one of which is removed."""
    optimizer = torch.optim.SGD(layer.parameters(), lr=1e-4)
    first = register_projection(optimizer, layer.weight, "l1inf", 1.0)
    second = register_projection(optimizer, layer.bias, "l1", 0.1)
    train(layer, optimizer)
    first.remove()
    train(layer, optimizer, 2)
    assert (first.n_steps, second.n_steps) == (1, 3)
    assert layer.bias.detach().abs().sum() <= 0.1 * (1 + 1e-6)


def test_handle_as_context_manager(layer):
    """It projects inside the block only."""
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0)
    with register_projection(optimizer, layer.weight, "l1inf", 1.0) as handle:
        train(layer, optimizer)
    with torch.no_grad():
        layer.weight.mul_(3.0)
    train(layer, optimizer)
    assert norm(layer) == pytest.approx(3.0)
    assert handle.n_steps == 1
    handle.remove()  # again: nothing happens


def test_checkpoint(layer):
    """The optimizer's state does not touch the count, which has a state of its own."""
    optimizer = torch.optim.Adam(layer.parameters())
    handle = register_projection(
        optimizer, layer.weight, "l1inf", lambda step: step / 2
    )
    train(layer, optimizer, 3)
    saved = io.BytesIO()
    torch.save([optimizer.state_dict(), handle.state_dict()], saved)
    saved.seek(0)
    optimizer_state, handle_state = torch.load(saved)

    train(layer, optimizer, 2)
    optimizer.load_state_dict(optimizer_state)
    assert handle.n_steps == 5
    handle.load_state_dict(handle_state)
    assert handle.n_steps == 3
    with torch.no_grad():
        layer.weight.mul_(10.0)
    train(layer, optimizer)
    assert norm(layer) == pytest.approx(2.0)  # the fourth step


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_copied_optimizer_has_no_projection(copied, layer):
    """PyTorch copies no hooks: what the docstring says must be done is enough."""
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0)
    register_projection(optimizer, layer.weight, "l1inf", 1.0)
    layer, optimizer = copied((layer, optimizer))
    before = norm(layer)
    train(layer, optimizer)
    assert norm(layer) == before
    register_projection(optimizer, layer.weight, "l1inf", 1.0)
    train(layer, optimizer)
    assert norm(layer) == pytest.approx(1.0)


def test_gradients_after_projection(layer):
    """A graph that was built before a step knows that the weight has changed."""
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0)
    register_projection(optimizer, layer.weight, "l1inf", 1.0)
    X = torch.eye(6, requires_grad=True)
    loss = layer(X).sum()
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"optimizer": None}, TypeError, "optimizer must be a torch.optim.Optimizer"),
        ({"params": []}, ValueError, "params must contain at least one parameter"),
        ({"params": torch.ones(2, 2)}, ValueError, "params must be parameters of the"),
        ({"params": ["weight"]}, TypeError, "params must be a torch.Tensor, got str"),
        ({"params": 3}, TypeError, "params must be a tensor or an iterable"),
        ({"params": {"weight": 3}}, TypeError, "params must be .* got dict"),
        ({"projection": "l7"}, ValueError, "projection must be one of 'l1', .*'l7'"),
        ({"projection": 1}, TypeError, "projection must be a string or a callable"),
        ({"radius": -1.0}, ValueError, "radius must be non-negative"),
        ({"radius": "1"}, TypeError, "radius must be a real number"),
        ({"radius": torch.tensor(1.0)}, TypeError, "radius must be a float"),
        ({"dim": 2}, ValueError, "dim must be between -2 and 1"),
        ({"dim": "0"}, TypeError, "dim must be an integer"),
        ({"dim": "0", "projection": "l1"}, TypeError, "dim must be an integer"),
    ],
)
def test_refusal(change, error, message, layer):
    """At the registration, which then leaves no hook behind."""
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0)
    arguments = {
        "optimizer": optimizer,
        "params": layer.weight,
        "projection": "l1inf",
        "radius": 1.0,
    }
    with pytest.raises(error, match=message):
        register_projection(**(arguments | change))
    assert not optimizer._optimizer_step_post_hooks


@pytest.mark.parametrize(
    "returned", [None, torch.ones(2)], ids=["nothing", "another shape"]
)
def test_bad_result_of_callable_is_refused(returned, layer):
    """Before it is written to the parameter."""
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0)
    register_projection(optimizer, layer.weight, lambda W, radius, dim: returned, 1.0)
    with pytest.raises(ValueError, match=r"projection must return a tensor .*\(4, 6\)"):
        train(layer, optimizer)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.int64, torch.bool], ids=str)
def test_result_of_callable_in_other_numbers_is_refused(dtype, layer):
    """PyTorch would convert them, and lose a part."""
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0)
    register_projection(optimizer, layer.weight, lambda W, r, dim: W.to(dtype), 1.0)
    before = layer.weight.detach().clone()
    with pytest.raises(TypeError, match=f"projection must return .* got {dtype}"):
        train(layer, optimizer)
    assert torch.equal(layer.weight, before)


@pytest.mark.parametrize("first", ["weight", "bias"])
def test_failure_names_the_parameter(first, layer):
    """A step in which nothing was projected does not count."""
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0)
    params = [layer.weight, layer.bias]
    if first == "bias":
        params.reverse()
    handle = register_projection(optimizer, params, "l1inf", 0.1)
    with torch.no_grad():
        layer.bias[0] = torch.nan
    with pytest.raises(ValueError, match="NaN") as raised:
        optimizer.step()
    i = 0 if first == "bias" else 1
    note = raised.value.__notes__[0]
    assert f"parameter {i} of the registration, of shape (4,)" in note
    assert handle.n_steps == i


def test_ball_without_groups_does_not_look_at_dim(layer):
    """Weight and bias together, although the bias has no dimension 1."""
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0)
    register_projection(optimizer, layer.parameters(), "l1", 0.1, dim=1)
    optimizer.step()
    for W in layer.parameters():
        assert float(W.detach().abs().sum()) == pytest.approx(0.1)


def test_removal_by_the_schedule(layer):
    """The optimizer is going through its hooks at that time."""
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0)

    def radius(step):
        first.remove()
        return 1.0

    first = register_projection(optimizer, layer.weight, "l1inf", radius)
    second = register_projection(optimizer, layer.bias, "l1", 0.1)
    optimizer.step()
    optimizer.step()
    assert (first.n_steps, second.n_steps) == (1, 2)


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ({}, TypeError),
        (3, TypeError),
        ({"n_steps": "3"}, TypeError),
        ({"n_steps": True}, TypeError),
        ({"n_steps": -1}, ValueError),
    ],
)
def test_bad_state_is_refused(state, error, layer):
    """And the count stays what it was."""
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0)
    handle = register_projection(optimizer, layer.weight, "l1inf", 1.0)
    train(layer, optimizer)
    with pytest.raises(error, match="n_steps"):
        handle.load_state_dict(state)
    assert handle.n_steps == 1
