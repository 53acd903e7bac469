"""Losses, standardised design and moments of the linear models."""

import numpy as np
import pytest
from linear_helpers import HUBER_EPSILON, LOSSES, gradient_at, make_data
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skproj.linear_model._ball_constrained import BallConstrainedProblem
from skproj.linear_model._design import StandardizedDesign
from skproj.linear_model._losses import make_loss
from skproj.utils._moments import mean_and_deviation


def test_mean_and_deviation_agree_with_numpy():
    """The weighted moments are those of NumPy, also in blocks and for sparse data."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((3000, 200)) + 10.0 * rng.standard_normal(200)
    weights = rng.random(3000)
    weights /= weights.sum()
    mean = weights @ X
    deviation = np.sqrt(weights @ (X - mean) ** 2)
    for data in (X, np.asfortranarray(X), sparse.csr_array(X), sparse.csc_array(X)):
        found = mean_and_deviation(data, weights)
        assert_allclose(found[0], mean, rtol=1e-10)
        assert_allclose(found[1], deviation, rtol=1e-10)


def test_design_without_centring_keeps_constant_columns():
    """A column of ones may stand for an intercept, and keeps its scale."""
    X = np.column_stack([np.ones(4), np.arange(4.0)])
    design = StandardizedDesign.from_data(X, np.full(4, 0.25), center=False, scale=True)
    assert_allclose(design.inverse_scale, [1.0, 1.0 / np.std(np.arange(4))])
    assert_array_equal(design.mean, 0.0)


@pytest.mark.parametrize("kind", LOSSES)
def test_loss_residuals_are_the_derivative(kind):
    """Residuals, curvature bound and the Hessian of the intercept are right."""
    _, targets, name = make_data(kind)
    rng = np.random.default_rng(0)
    weights = rng.random(len(targets))
    loss = make_loss(name, targets, weights / weights.sum(), huber_epsilon=1.0)
    logits = rng.standard_normal((len(targets), loss.n_outputs))
    if name != "log_loss":
        logits += targets
    direction = rng.standard_normal(logits.shape)
    value, residuals = loss.value_and_residuals(logits)
    h = 1e-6
    ahead, behind = (
        loss.value_and_residuals(logits + sign * h * direction)[0] for sign in (1, -1)
    )
    slope = np.vdot(residuals, direction)
    assert_allclose((ahead - behind) / (2 * h), slope, rtol=1e-6)
    far, _ = loss.value_and_residuals(logits + direction)
    assert 0.0 <= far - value - slope <= loss.curvature_bound(direction)

    shift = rng.standard_normal(loss.n_outputs)
    shift -= shift.mean() if kind == "multinomial" else 0.0
    gradients = [
        loss.value_and_residuals(logits + sign * h * shift)[1].sum(axis=0)
        for sign in (1, -1)
    ]
    hessian = loss.intercept_hessian(logits, residuals)
    assert_allclose(hessian @ shift, (gradients[0] - gradients[1]) / (2 * h), atol=1e-6)


@pytest.mark.parametrize("offset", [0.0, 1e3, -1e6])
@pytest.mark.parametrize("kind", LOSSES)
def test_loss_best_intercept_is_found_from_afar(kind, offset):
    """Newton's method ends at residuals that add up to zero, wherever it starts."""
    _, targets, name = make_data(kind)
    weights = np.full(len(targets), 1.0 / len(targets))
    loss = make_loss(name, targets, weights, huber_epsilon=HUBER_EPSILON)
    products = np.random.default_rng(0).standard_normal((len(targets), loss.n_outputs))
    start = np.full(loss.n_outputs, offset)
    intercept, value, residuals = loss.best_intercept(products, start)
    assert_allclose(residuals.sum(axis=0), 0.0, atol=1e-9)
    assert value <= loss.value_and_residuals(products)[0]
    if kind == "multinomial":
        assert_allclose(intercept.mean(), offset, atol=1e-12)


@pytest.mark.parametrize("n_classes", [2, 5])
def test_loss_best_intercept_needs_few_values_for_many_samples(n_classes):
    """The rounding of a long sum does not trap the search for a step."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, n_classes, 200_000)
    loss = make_loss("log_loss", codes, np.full(len(codes), 1.0 / len(codes)))
    products = 0.1 * rng.standard_normal((len(codes), loss.n_outputs))
    evaluate, n_values = loss.value_and_residuals, 0

    def count(products, intercept):
        nonlocal n_values
        n_values += 1
        return evaluate(products, intercept)

    loss.value_and_residuals = count
    loss.best_intercept(products, np.zeros(loss.n_outputs))
    assert n_values < 10


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_natural_radius_follows_the_units(scale):
    """It is where the linear model at zero says that nothing is left of the loss."""
    X, targets, loss = make_data("binary")
    raw, other = (
        BallConstrainedProblem(data, targets, loss=loss, standardize=False)
        for data in (X, scale * X)
    )
    gradient, value = gradient_at(raw, np.zeros((12, 1)))
    radius = raw.natural_radius("l1inf")
    assert_allclose(radius * np.abs(gradient).max(), value)
    assert_allclose(other.natural_radius("l1inf") * scale, radius)
    assert_allclose(raw.null_objective, value)


def test_loss_is_finite_for_huge_logits():
    """Separated samples neither overflow nor warn."""
    for targets in (np.array([0, 1]), np.array([0, 1, 2])):
        loss = make_loss("log_loss", targets, np.full(len(targets), 1 / len(targets)))
        logits = np.full((len(targets), loss.n_outputs), -1e8)
        logits[1:] = 1e8
        value, residuals = loss.value_and_residuals(logits)
        assert np.isfinite(value)
        assert np.isfinite(residuals).all()
