"""Parametrization by a projection."""

import copy
import io
import pickle

import pytest
import torch
from projected_helpers import each_ball, norm, project_by_hand, train
from torch.nn.utils import parametrize

import skproj.nn.functional as F
from skproj.nn import BallConstraint

# ---------------------------------------------------------------------------
# BallConstraint


@each_ball
def test_parametrization(ball, layer):
    """The weight is the projection of what is trained, and stays in the ball."""
    original = layer.weight.detach().clone()
    constraint = BallConstraint(ball.name, 0.7, dim=1)
    parametrize.register_parametrization(layer, "weight", constraint)
    expected = ball.project(original.numpy(), 0.7, axis=1)
    torch.testing.assert_close(layer.weight.detach(), torch.from_numpy(expected))
    assert torch.equal(layer.parametrizations.weight.original, original)
    train(layer, torch.optim.Adam(layer.parameters(), lr=0.05), 3)
    assert not torch.equal(layer.parametrizations.weight.original, original)
    assert ball.norm(layer.weight.detach().numpy(), axis=1) <= 0.7 * (1 + 1e-6)


def test_parametrization_has_the_gradient_of_the_function():
    """Through the projection to what is stored."""
    V = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    constraint = BallConstraint("l1inf", 0.7)
    assert torch.autograd.gradcheck(constraint, V)
    assert torch.equal(constraint(V), F.projection_l1inf_ball(V, 0.7))


def test_parametrization_by_callable(layer):
    """A function of the user's own."""
    constraint = BallConstraint(project_by_hand, 0.7)
    parametrize.register_parametrization(layer, "weight", constraint)
    assert norm(layer, "l12") == pytest.approx(0.7)
    assert "project_by_hand" in repr(constraint)


def test_assignment_to_parametrized_weight(layer):
    """It is stored as it is, and read as its projection."""
    parametrize.register_parametrization(layer, "weight", BallConstraint("l1", 1.0))
    W = torch.eye(4, 6)
    layer.weight = W
    assert torch.equal(layer.parametrizations.weight.original, W)
    assert torch.equal(layer.weight, F.projection_l1_ball(W, 1.0))
    train(layer, torch.optim.SGD(layer.parameters(), lr=0.1))
    assert torch.equal(W, torch.eye(4, 6))
    layer.weight = W
    parametrize.remove_parametrizations(layer, "weight")
    assert torch.equal(layer.weight, F.projection_l1_ball(W, 1.0))
    assert type(layer) is torch.nn.Linear


def test_copies_of_parametrized_module(layer):
    """What the docstring says about pickle, deepcopy and state_dict."""
    plain = copy.deepcopy(layer)
    constraint = BallConstraint("l1inf", 0.7)
    parametrize.register_parametrization(layer, "weight", constraint)
    with pytest.raises(RuntimeError, match="only supported through state_dict"):
        pickle.dumps(layer)
    copied = copy.deepcopy(layer)
    assert torch.equal(copied.weight, layer.weight)
    assert copied.parametrizations.weight.original is not layer.weight

    saved = io.BytesIO()
    torch.save(layer.state_dict(), saved)
    saved.seek(0)
    with torch.no_grad():
        plain.weight.zero_()
    parametrize.register_parametrization(plain, "weight", BallConstraint("l1inf", 0.7))
    plain.load_state_dict(torch.load(saved))
    assert torch.equal(plain.weight, layer.weight)
    assert pickle.loads(pickle.dumps(constraint)).radius == 0.7


# Of PyTorch itself, which instantiates the autograd function that it traces.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_parametrized_module_can_be_compiled(layer):
    """In one graph."""
    parametrize.register_parametrization(layer, "weight", BallConstraint("l1inf", 0.7))
    X = torch.randn(3, 6)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(X), layer(X))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("l7", 1.0), ValueError, "projection must be one of"),
        ((7, 1.0), TypeError, "projection must be a string or a callable"),
        (("l1", -1.0), ValueError, "radius must be non-negative"),
        (("l1", torch.tensor(1.0)), TypeError, "radius must be a float"),
        (("l1", 1.0, "0"), TypeError, "dim must be an integer"),
        (("l1inf", 1.0, 0.0), TypeError, "dim must be an integer"),
    ],
)
def test_constraint_refusal(arguments, error, message):
    """When it is made."""
    projection, radius, *dim = arguments
    with pytest.raises(error, match=message):
        BallConstraint(projection, radius, **({"dim": dim[0]} if dim else {}))


def test_constraint_with_bad_dim_leaves_the_layer_alone(layer):
    """The dimension is known to be wrong once there is a weight."""
    with pytest.raises(ValueError, match="dim must be between -2 and 1"):
        parametrize.register_parametrization(
            layer, "weight", BallConstraint("l1inf", 1.0, dim=2)
        )
    assert not parametrize.is_parametrized(layer)
