"""Gradients of projections of tensors."""

import pytest
import torch
from tensor_cases import (
    X,
    assert_close,
    each_ball,
    each_case,
    each_function,
    random_tensor,
)
from torch.autograd import forward_ad, gradcheck, gradgradcheck

import skproj.nn.functional as F
from skproj.nn.functional import _operator

# PyTorch prepares for its forward mode by a function that it has deprecated itself.
by_script_of_torch = pytest.mark.filterwarnings(
    "ignore:.torch.jit.script:DeprecationWarning"
)


@pytest.mark.parametrize("radius", [0.05, 0.8, 5.0])
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
