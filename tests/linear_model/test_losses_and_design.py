"""Losses, standardised design and moments of the linear models."""

import numpy as np
import pytest
from linear_helpers import (
    HUBER_EPSILON,
    LOSSES,
    curvature_bound,
    gradient_at,
    make_data,
)
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import logsumexp
from sklearn.linear_model import PoissonRegressor
from sklearn.metrics import mean_poisson_deviance

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
    assert 0.0 <= far - value - slope <= curvature_bound(loss, direction)

    shift = rng.standard_normal(loss.n_outputs)
    shift -= shift.mean() if kind == "multinomial" else 0.0
    gradients = [
        loss.value_and_residuals(logits + sign * h * shift)[1].sum(axis=0)
        for sign in (1, -1)
    ]
    ones = np.ones((len(targets), 1))
    hessian = loss.second_derivative(ones, logits, residuals)
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
def test_loss_best_intercept_of_many_samples(n_classes):
    """The rounding of a long sum does not trap the search for a step."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, n_classes, 200_000)
    loss = make_loss("log_loss", codes, np.full(len(codes), 1.0 / len(codes)))
    products = 0.1 * rng.standard_normal((len(codes), loss.n_outputs))
    start = np.zeros(loss.n_outputs)
    _, value, residuals = loss.best_intercept(products, start)
    assert value <= loss.value_and_residuals(products, start)[0]
    assert np.abs(residuals.sum(axis=0)).max() <= 1e-10 * np.abs(residuals).sum()


@pytest.mark.parametrize("size", [0.01, 1.0, 30.0])
def test_loss_at_the_best_intercept_is_that_of_its_logits(size):
    """Small steps of the intercept change the probabilities without exponentials."""
    rng = np.random.default_rng(0)
    n_samples, n_classes = 700, 4
    weights = rng.uniform(0.1, 1.0, n_samples)
    targets = rng.integers(0, n_classes, n_samples)
    loss = make_loss("log_loss", targets, weights / weights.sum())
    products = size * rng.standard_normal((n_samples, n_classes))
    start = rng.uniform(-0.3, 0.3, n_classes)
    intercept, value, residuals = loss.best_intercept(products, start)
    direct = loss.value_and_residuals(products, intercept)
    assert_allclose(value, direct[0], rtol=1e-14)
    assert_allclose(residuals, direct[1], rtol=0, atol=1e-16)
    assert_allclose(residuals.sum(axis=0), 0.0, atol=1e-10 * np.abs(residuals).sum())


def make_counts(n_samples=60, n_outputs=2):
    rng = np.random.default_rng(0)
    weights = rng.uniform(0.2, 2.0, n_samples)
    targets = rng.poisson(3.0, (n_samples, n_outputs)).astype(float)
    return targets, weights / weights.sum(), rng


def test_value_of_counts_is_half_the_deviance():
    targets, weights, rng = make_counts()
    logits = rng.standard_normal(targets.shape)
    value, residuals = make_loss("poisson", targets, weights).value_and_residuals(
        logits
    )
    expected = sum(
        0.5 * mean_poisson_deviance(y, np.exp(z), sample_weight=weights)
        for y, z in zip(targets.T, logits.T, strict=True)
    )
    assert_allclose(value, expected, rtol=1e-13)
    assert_allclose(residuals, weights[:, np.newaxis] * (np.exp(logits) - targets))
    # The model with a parameter for each sample has none.
    present = np.maximum(targets, 1.0)
    loss = make_loss("poisson", present, weights)
    assert 0.0 <= loss.value_and_residuals(np.log(present))[0] < 1e-14


@pytest.mark.parametrize("start", [0.0, 30.0, -1e3, 1e6])
def test_intercept_of_counts_is_known(start):
    """The sum of the means is that of the targets, at any distance of the logits."""
    targets, weights, rng = make_counts()
    products = 200.0 * rng.standard_normal(targets.shape)
    offset = rng.standard_normal(len(targets))
    loss = make_loss("poisson", targets, weights, offset=offset)
    intercept, value, residuals = loss.best_intercept(products, np.full(2, start))
    expected = np.log(weights @ targets) - logsumexp(
        products + offset[:, np.newaxis], axis=0, b=weights[:, np.newaxis]
    )
    assert_allclose(intercept, expected, rtol=1e-12)
    assert_allclose(residuals.sum(axis=0), 0.0, atol=1e-12)
    assert_allclose(value, loss.value_and_residuals(products, intercept)[0])


def test_counts_of_zero_have_a_finite_intercept():
    loss = make_loss("poisson", np.zeros((9, 1)), np.full(9, 1.0 / 9.0))
    intercept, value, residuals = loss.best_intercept(np.zeros((9, 1)), np.zeros(1))
    assert np.isfinite(intercept).all()
    assert 0.0 <= value < 1e-11
    assert_allclose(residuals, 0.0, atol=1e-11)


@pytest.mark.parametrize("start", [0.0, 20.0, -1e3])
def test_free_coefficients_of_counts_are_those_of_scikit_learn(start):
    """With the exposure of the samples as offset, which is a weight there."""
    targets, weights, rng = make_counts(n_outputs=1)
    X, exposure = rng.standard_normal((60, 3)), rng.uniform(0.5, 2.0, 60)
    loss = make_loss("poisson", targets, weights, offset=np.log(exposure))
    loss = loss.with_basis(np.column_stack([np.ones(60), X]))
    first = np.array([[start], [1.0], [-1.0], [0.0]])
    found, _, residuals = loss.best_intercept(np.zeros((60, 1)), first)
    model = PoissonRegressor(alpha=0.0, tol=1e-10, solver="newton-cholesky")
    model.fit(X, targets[:, 0] / exposure, sample_weight=weights * exposure)
    assert_allclose(found[:, 0], [model.intercept_, *model.coef_], rtol=1e-6)
    assert_allclose(loss.basis.T @ residuals, 0.0, atol=1e-9)


@pytest.mark.parametrize("kind", [*LOSSES, "poisson"])
def test_offset_is_a_part_of_the_logits(kind):
    """Also with a basis, and in the first-order term of a change."""
    _, targets, name = make_data("squared_error" if kind == "poisson" else kind)
    targets = np.round(np.abs(targets)) if kind == "poisson" else targets
    name = "poisson" if kind == "poisson" else name
    rng = np.random.default_rng(0)
    weights, offset = np.full(len(targets), 1.0 / len(targets)), rng.normal(size=40)
    with_offset = make_loss(name, targets, weights, offset=offset)
    plain = make_loss(name, targets, weights)
    products = rng.standard_normal((40, plain.n_outputs))
    shifted, change = products + offset[:, np.newaxis], products[::-1]
    basis = rng.standard_normal((40, 2))
    for first, second in (
        (with_offset, plain),
        (with_offset.with_basis(basis), plain.with_basis(basis)),
    ):
        intercept = rng.standard_normal(first.zero_intercept().shape)
        found = first.value_and_residuals(products, intercept)
        added = intercept if second.basis is None else second.basis @ intercept
        logits = shifted + added
        expected = plain.value_and_residuals(logits)
        assert_allclose(found[0], expected[0], rtol=1e-12)
        assert_allclose(found[1], expected[1], rtol=1e-10, atol=1e-15)
        assert_allclose(
            first.linear_term_and_bound(
                found[1], products, products + change, intercept
            ),
            plain.linear_term_and_bound(expected[1], logits, logits + change),
            rtol=1e-9,
        )


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
