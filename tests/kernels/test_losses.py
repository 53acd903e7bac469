"""The compiled losses of linear models, against formulas of NumPy."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skproj._kernels import _losses as kernels
from skproj.linear_model._losses import make_loss

EPS = np.finfo(float).eps
# The kernels take 256 samples at a time, and change those of 512.
N_SAMPLES = [1, 7, 255, 256, 257, 1100]


def softmax(x, intercept, codes, weights):
    """Return the loss and the residuals; x has a row for each class."""
    logits = x + intercept[:, np.newaxis]
    shifted = logits - logits.max(axis=0)
    powers = np.exp(shifted)
    sums = powers.sum(axis=0)
    places = codes, np.arange(len(codes))
    residuals = powers / sums
    residuals[places] -= 1.0
    return weights @ (np.log(sums) - shifted[places]), residuals * weights


def logistic(x, intercept, targets, weights):
    signs = 1.0 - 2.0 * targets
    margins = signs * (x + intercept[:, np.newaxis])
    decays = np.exp(-np.abs(margins))
    values = np.log1p(decays) + np.maximum(margins, 0.0)
    errors = np.where(margins >= 0.0, 1.0, decays) / (1.0 + decays)
    return (values @ weights).sum(), signs * weights * errors


def huber(x, intercept, targets, weights, epsilon):
    errors = x + intercept[:, np.newaxis] - targets
    clipped = np.clip(errors, -epsilon, epsilon)
    return np.sum(weights * clipped * (errors - 0.5 * clipped)), weights * clipped


def make_arguments(name, n_samples, n_outputs):
    rng = np.random.default_rng(n_samples)
    shape = n_outputs, n_samples
    x = 4.0 * rng.standard_normal(shape)
    intercept, weights = rng.standard_normal(n_outputs), rng.random(n_samples)
    if name == "softmax":
        return x, intercept, rng.integers(n_outputs, size=n_samples), weights
    targets = rng.integers(2, size=shape).astype(float)
    return x, intercept, targets, weights, *([0.7] if name == "huber" else [])


FORMULAS = {"softmax": softmax, "logistic": logistic, "huber": huber}


@pytest.mark.parametrize("n_outputs", [1, 2, 3, 10, 33])
@pytest.mark.parametrize("n_samples", N_SAMPLES)
@pytest.mark.parametrize("name", FORMULAS)
def test_equals_numpy(name, n_samples, n_outputs):
    arguments = make_arguments(name, n_samples, n_outputs)
    kernel = getattr(kernels, name)
    value, residuals = FORMULAS[name](*arguments)
    found = np.full_like(residuals, np.nan)
    assert_allclose(kernel(*arguments, found), value, rtol=1e-14, atol=1e-15)
    assert_allclose(found, residuals, rtol=1e-13, atol=2 * EPS)
    assert kernel(*arguments) == kernel(*arguments, found)


def test_huber_loss_without_a_bound_is_half_the_squared_error():
    x, intercept, targets, weights, _ = make_arguments("huber", 300, 2)
    residuals = np.empty_like(x)
    value = kernels.huber(x, intercept, targets, weights, np.inf, residuals)
    errors = x + intercept[:, np.newaxis] - targets
    assert_allclose(value, 0.5 * np.sum(weights * errors**2), rtol=1e-14)
    assert_allclose(residuals, weights * errors, rtol=1e-14)


@pytest.mark.parametrize("n_classes", [1, 2, 10, 33])
@pytest.mark.parametrize("n_samples", N_SAMPLES)
def test_softmax_hessian(n_samples, n_classes):
    x, intercept, codes, weights = make_arguments("softmax", n_samples, n_classes)
    _, residuals = softmax(x, intercept, codes, weights)
    hessian = np.ones((n_classes, n_classes))
    kernels.add_softmax_hessian(residuals, codes, weights, hessian)
    powers = np.exp(x + intercept[:, np.newaxis])
    shares = powers / powers.sum(axis=0)
    expected = np.diag(shares @ weights) - (shares * weights) @ shares.T
    assert_allclose(np.tril(hessian - 1.0), np.tril(expected), atol=EPS * n_samples)
    assert_array_equal(np.triu(hessian, 1), np.triu(np.ones_like(hessian), 1))


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("n_samples", [*N_SAMPLES, 512, 513])
def test_change(n_samples, n_outputs):
    rng = np.random.default_rng(0)
    x, y, residuals = rng.standard_normal((3, n_outputs, n_samples))
    weights = rng.random(n_samples)
    found = kernels.change(x, y, residuals, weights)
    expected = np.vdot(residuals, y - x), np.sum(weights * (y - x) ** 2)
    assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


def log_loss(x):
    """Return the loss and the residuals of logits x and targets 0, each by itself."""
    x, zero, one = np.asarray(x, dtype=float), np.zeros(1), np.ones(1)
    values, residuals = [], np.empty((len(x), 1, 1))
    for place, logit in enumerate(x):
        arguments = np.full((1, 1), logit), zero, np.zeros((1, 1)), one
        values.append(kernels.logistic(*arguments, residuals[place]))
    return np.array(values), residuals[:, 0, 0]


def test_exponential_and_logarithm_are_right_to_the_last_digits():
    """Of far logits the residuals are exponentials, and so are the values."""
    x = np.concatenate([np.linspace(-700.0, 0.0, 7001), -np.geomspace(1e-300, 1, 500)])
    values, residuals = log_loss(x)
    powers = np.array([math.exp(logit) for logit in x])
    assert_allclose(residuals, powers / (1.0 + powers), rtol=3 * EPS)
    assert_allclose(values, [math.log1p(power) for power in powers], rtol=4 * EPS)
    values, residuals = log_loss(-x)
    assert_allclose(residuals, 1.0 / (1.0 + powers), rtol=3 * EPS)


@pytest.mark.parametrize("n_classes", [2, 3, 7, 100, 5000])
def test_logarithm_of_many_classes(n_classes):
    equal = np.zeros((n_classes, 1))
    arguments = equal, equal[:, 0], np.array([1]), np.ones(1)
    assert_allclose(kernels.softmax(*arguments), math.log(n_classes), rtol=2 * EPS)


def test_numbers_below_the_normal_ones_are_as_good_as_zero():
    values, residuals = log_loss([-708.0, -710.0, -745.0, -1e8, -np.inf])
    assert_allclose(residuals, 0.0, atol=4e-308)
    assert_allclose(values, 0.0, atol=4e-308)
    values, residuals = log_loss([0.0, 700.0, 710.0, 1e8])
    assert_allclose(values, [math.log(2.0), 700.0, 710.0, 1e8], rtol=EPS)
    assert_array_equal(residuals, [0.5, 1.0, 1.0, 1.0])
    x = np.array([[-1e8, 1e8, -np.inf], [1e8, -1e8, 0.0]])
    arguments = x, np.zeros(2), np.ones(3, dtype=np.intp), np.ones(3)
    residuals = np.empty_like(x)
    assert kernels.softmax(*arguments, residuals) == 2e8
    assert_allclose(residuals, [[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]], atol=4e-308)


@pytest.mark.parametrize("invalid", [np.nan, np.inf])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("name", FORMULAS)
def test_what_is_not_finite_shows(name, place, invalid):
    """A step that goes too far must not look like a good one."""
    arguments = make_arguments(name, 300, 3)
    arguments[0][place, 256] = invalid
    residuals = np.empty_like(arguments[0])
    value = getattr(kernels, name)(*arguments, residuals)
    if np.isnan(invalid) or name == "softmax":
        assert np.isnan(value)
        assert np.isnan(residuals[place, 256])
    elif name == "huber" or arguments[2][place, 256] == 0.0:
        assert value == np.inf
    else:
        assert np.isfinite(value)
    others = np.arange(300) != 256
    assert np.isfinite(residuals[:, others]).all()


@pytest.mark.parametrize("n_outputs", [1, 2, 17])
@pytest.mark.parametrize("n_samples", [1, 2, 3, 5, 8, 15, 16, 17, 511, 512, 513, 769])
@pytest.mark.parametrize("name", FORMULAS)
def test_every_size_and_nothing_beside(name, n_samples, n_outputs):
    """Also for weights of zero, and targets that are far away."""
    x, intercept, targets, weights, *epsilon = make_arguments(
        name, n_samples, n_outputs
    )
    weights[::3] = 0.0
    x[:, ::5] *= 1e3
    room = np.full(x.size + 8, 7.0)
    found = room[4:-4].reshape(x.shape)
    arguments = x, intercept, targets, weights, *epsilon
    value, residuals = FORMULAS[name](*arguments)
    assert_allclose(getattr(kernels, name)(*arguments, found), value, rtol=1e-13)
    assert_allclose(found, residuals, rtol=1e-12, atol=2 * EPS)
    assert_array_equal(np.append(room[:4], room[-4:]), 7.0)


LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "strided": lambda x: np.repeat(np.repeat(x, 2, axis=0), 3, axis=1)[::2, ::3],
    "reversed": lambda x: np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["log_loss", "squared_error", "huber"])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_losses_take_products_of_any_layout(n_outputs, name, layout):
    """A kernel wants rows of outputs; whatever it gets, the result is the same."""
    rng = np.random.default_rng(0)
    products = rng.standard_normal((300, n_outputs)).astype(np.float32).astype(float)
    targets = rng.standard_normal((300, n_outputs))
    if name == "log_loss":
        targets = rng.integers(max(n_outputs, 2), size=300)
    loss = make_loss(name, targets, np.full(300, 1.0 / 300))
    given = LAYOUTS[layout](products)
    for intercept in (None, rng.standard_normal(n_outputs)):
        value, residuals = loss.value_and_residuals(products, intercept)
        found, found_residuals = loss.value_and_residuals(given, intercept)
        assert_allclose(found, value, rtol=1e-14)
        assert_allclose(found_residuals, residuals, rtol=1e-12, atol=1e-18)
        assert_allclose(loss.value(given, intercept), value, rtol=1e-14)
        changes = (
            loss.linear_term_and_bound(found_residuals, given, 2 * given),
            loss.linear_term_and_bound(residuals, products, 2 * products),
        )
        assert_allclose(*changes, rtol=1e-12)
