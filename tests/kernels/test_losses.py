"""The compiled losses of linear models, against formulas of NumPy."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import xlogy

from skproj._kernels._losses import Huber, Logistic, Poisson, Softmax
from skproj.linear_model._losses import make_loss

EPS = np.finfo(float).eps
# The kernels take 256 samples at a time, and change those of 512.
N_SAMPLES = [1, 7, 255, 256, 257, 1100]


def softmax(x, intercept, targets, weights):
    """Return the loss and the residuals; x has a row for each class."""
    logits = x + intercept[:, np.newaxis]
    shifted = logits - logits.max(axis=0)
    powers = np.exp(shifted)
    sums = powers.sum(axis=0)
    chosen = shifted[targets.argmax(axis=0), np.arange(x.shape[1])]
    return weights @ (np.log(sums) - chosen), (powers / sums - targets) * weights


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


def poisson(x, intercept, targets, weights):
    logits = x + intercept[:, np.newaxis]
    means = np.exp(logits)
    values = means - targets - xlogy(targets, means) + xlogy(targets, targets)
    return np.sum(weights * values), weights * (means - targets)


def make_arguments(name, n_samples, n_outputs):
    rng = np.random.default_rng(n_samples)
    shape = n_outputs, n_samples
    x = 4.0 * rng.standard_normal(shape)
    intercept, weights = rng.standard_normal(n_outputs), rng.random(n_samples)
    targets = rng.integers(2, size=shape).astype(float)
    if name == "softmax":
        codes = rng.integers(n_outputs, size=n_samples)
        targets = (np.arange(n_outputs)[:, np.newaxis] == codes).astype(float)
    elif name == "poisson":
        targets *= rng.poisson(20.0, shape)
    return x, intercept, targets, weights, *([0.7] if name == "huber" else [])


FORMULAS = {"softmax": softmax, "logistic": logistic, "huber": huber}
FORMULAS["poisson"] = poisson
CLASSES = {"softmax": Softmax, "logistic": Logistic, "huber": Huber, "poisson": Poisson}


def evaluate(name, x, intercept, targets, weights, *epsilon):
    """Return the loss and the residuals, with a row for each output."""
    options = {"epsilon": epsilon[0]} if epsilon else {}
    loss = CLASSES[name](targets.T, weights, **options)
    value, residuals = loss.value_and_residuals(x.T, intercept)
    return value, residuals.T


@pytest.mark.parametrize("n_outputs", [1, 3, 33])
@pytest.mark.parametrize("n_samples", [*N_SAMPLES, 2, 5, 16, 17, 511, 513])
@pytest.mark.parametrize("name", FORMULAS)
def test_equals_numpy(name, n_samples, n_outputs):
    """Also for weights of zero and far logits."""
    x, *arguments = make_arguments(name, n_samples, n_outputs)
    arguments[2][1::3] = 0.0
    far = x.copy()
    far[:, ::5] *= 1e2 if name == "poisson" else 1e3
    far = np.clip(far, -300.0, 300.0) if name == "poisson" else far
    size = max(1.0, arguments[1].max())  # what counts lose against their means
    for logits, rtol in ((x, 1e-14), (far, 1e-13)):
        value, residuals = FORMULAS[name](logits, *arguments)
        found, found_residuals = evaluate(name, logits, *arguments)
        assert_allclose(found, value, rtol=rtol, atol=1e-15 * size)
        assert_allclose(found_residuals, residuals, rtol=10 * rtol, atol=2 * EPS * size)


def test_huber_loss_without_a_bound_is_half_the_squared_error():
    x, intercept, targets, weights, _ = make_arguments("huber", 300, 2)
    value, residuals = evaluate("huber", x, intercept, targets, weights)
    errors = x + intercept[:, np.newaxis] - targets
    assert_allclose(value, 0.5 * np.sum(weights * errors**2), rtol=1e-14)
    assert_allclose(residuals, weights * errors, rtol=1e-14)


@pytest.mark.parametrize("n_classes", [1, 2, 10, 33])
@pytest.mark.parametrize("n_samples", N_SAMPLES)
def test_softmax_hessian(n_samples, n_classes):
    x, intercept, targets, weights = make_arguments("softmax", n_samples, n_classes)
    loss = Softmax(targets.T, weights)
    _, residuals = loss.value_and_residuals(x.T, intercept)
    ones = np.ones((n_samples, 1))
    hessian = loss.second_derivative(ones, x.T, residuals, intercept)
    powers = np.exp(x + intercept[:, np.newaxis])
    shares = powers / powers.sum(axis=0)
    expected = np.diag(shares @ weights) - (shares * weights) @ shares.T
    assert_allclose(hessian, expected, atol=EPS * n_samples)


@pytest.mark.parametrize("n_columns", [1, 3, 600])
@pytest.mark.parametrize("n_samples", [1, 70, 1100])
@pytest.mark.parametrize("name", FORMULAS)
def test_hessian_of_columns(name, n_samples, n_columns):
    """It is the plain sum over the samples, also of more columns than a tile has."""
    n_outputs = 3 if n_columns < 10 else 1
    arguments = make_arguments(name, n_samples, n_outputs)
    x, intercept, targets, weights, *epsilon = arguments
    _, residuals = FORMULAS[name](*arguments)
    loss = CLASSES[name](targets.T, weights, **({"epsilon": 0.7} if epsilon else {}))
    columns = np.random.default_rng(0).standard_normal((n_samples, n_columns))
    found = loss.second_derivative(columns, x.T, residuals.T, intercept)
    means = residuals / weights + targets
    second = {
        "softmax": np.eye(n_outputs)[..., np.newaxis] * means - means[:, None] * means,
        "logistic": np.eye(n_outputs)[..., np.newaxis] * (means * (1.0 - means)),
        "poisson": np.eye(n_outputs)[..., np.newaxis] * means,
        "huber": np.eye(n_outputs)[..., np.newaxis]
        * (np.abs(x + intercept[:, np.newaxis] - targets) < 0.7),
    }[name]
    blocks = [
        [columns.T @ ((weights * entry)[:, np.newaxis] * columns) for entry in row]
        for row in second
    ]
    expected = np.transpose(blocks, (2, 0, 3, 1))
    size = n_columns * n_outputs
    assert_allclose(found, expected.reshape(size, size), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("n_samples", [*N_SAMPLES, 512, 513])
@pytest.mark.parametrize("name", FORMULAS)
def test_linear_term_and_bound(name, n_samples, n_outputs):
    """The bound is one of weighted squares of the change, or of means of counts."""
    _, _, targets, weights, *_ = make_arguments(name, n_samples, n_outputs)
    rng = np.random.default_rng(0)
    x, y, residuals = rng.standard_normal((3, n_samples, n_outputs))
    loss = CLASSES[name](targets.T, weights)
    found = loss.linear_term_and_bound(residuals, x, y)
    second = {"softmax": 0.5, "logistic": 0.25, "huber": 1.0}.get(name)
    if second is None:
        second = np.exp(np.maximum(x, y))
    expected = 0.5 * np.sum(second * weights[:, np.newaxis] * (y - x) ** 2)
    assert_allclose(found, (np.vdot(residuals, y - x), expected), atol=1e-12)


def log_loss(x):
    """Return the loss and the residuals of logits x and targets 0, each by itself."""
    zero, one = np.zeros((1, 1)), np.ones(1)
    found = [evaluate("logistic", np.full((1, 1), v), zero[0], zero, one) for v in x]
    return np.array([v for v, _ in found]), np.array([r[0, 0] for _, r in found])


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
    equal, targets = np.zeros((n_classes, 1)), np.eye(n_classes, 1)
    value, _ = evaluate("softmax", equal, equal[:, 0], targets, np.ones(1))
    assert_allclose(value, math.log(n_classes), rtol=2 * EPS)


def test_numbers_below_the_normal_ones_are_as_good_as_zero():
    values, residuals = log_loss([-708.0, -710.0, -745.0, -1e8, -np.inf])
    assert_allclose(residuals, 0.0, atol=4e-308)
    assert_allclose(values, 0.0, atol=4e-308)
    values, residuals = log_loss([0.0, 700.0, 710.0, 1e8])
    assert_allclose(values, [math.log(2.0), 700.0, 710.0, 1e8], rtol=EPS)
    assert_array_equal(residuals, [0.5, 1.0, 1.0, 1.0])
    x = np.array([[-1e8, 1e8, -np.inf], [1e8, -1e8, 0.0]])
    targets = np.array([[0.0] * 3, [1.0] * 3])
    value, residuals = evaluate("softmax", x, np.zeros(2), targets, np.ones(3))
    assert value == 2e8
    assert_allclose(residuals, [[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]], atol=4e-308)


@pytest.mark.parametrize("invalid", [np.nan, np.inf])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("name", FORMULAS)
def test_what_is_not_finite_shows(name, place, invalid):
    """A step that goes too far must not look like a good one."""
    arguments = make_arguments(name, 300, 3)
    arguments[0][place, 256] = invalid
    value, residuals = evaluate(name, *arguments)
    if np.isnan(invalid) or name == "softmax":
        assert np.isnan(value)
        assert np.isnan(residuals[place, 256])
    elif name in ("huber", "poisson") or arguments[2][place, 256] == 0.0:
        assert value == np.inf
    else:
        assert np.isfinite(value)
    others = np.arange(300) != 256
    assert np.isfinite(residuals[:, others]).all()


def test_poisson_loss_is_infinite_where_a_mean_overflows():
    targets = np.array([[0.0, 3.0]])
    for far in (710.0, 1e8):
        x = np.array([[far, 0.0]])
        value, residuals = evaluate("poisson", x, np.zeros(1), targets, np.ones(2) / 2)
        assert value == np.inf
        assert residuals[0, 0] == np.inf
        loss = Poisson(targets.T, np.ones(2) / 2)
        assert loss.linear_term_and_bound(np.zeros((2, 1)), x.T, -x.T)[1] == np.inf


LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "strided": lambda x: np.repeat(np.repeat(x, 2, axis=0), 3, axis=1)[::2, ::3],
    "reversed": lambda x: np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["log_loss", "squared_error", "huber", "poisson"])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_losses_take_products_of_any_layout(n_outputs, name, layout):
    """A kernel wants rows of outputs; whatever it gets, the result is the same."""
    rng = np.random.default_rng(0)
    products = rng.standard_normal((300, n_outputs)).astype(np.float32).astype(float)
    targets = rng.standard_normal((300, n_outputs))
    if name == "log_loss":
        targets = rng.integers(max(n_outputs, 2), size=300)
    elif name == "poisson":
        targets = rng.poisson(2.0, (300, n_outputs)).astype(float)
    loss = make_loss(name, targets, np.full(300, 1.0 / 300))
    given = LAYOUTS[layout](products)
    for intercept in (None, rng.standard_normal(n_outputs)):
        value, residuals = loss.value_and_residuals(products, intercept)
        found, found_residuals = loss.value_and_residuals(given, intercept)
        assert_allclose(found, value, rtol=1e-14)
        assert_allclose(found_residuals, residuals, rtol=1e-12, atol=1e-18)
        changes = (
            loss.linear_term_and_bound(found_residuals, given, 2 * given),
            loss.linear_term_and_bound(residuals, products, 2 * products),
        )
        assert_allclose(*changes, rtol=1e-12)


@pytest.mark.parametrize("seed", range(1, 60, 5))
def test_intercept_of_classes_of_very_different_weight(seed):
    """The search for a step ends where changes of the loss are lost in rounding."""
    rng = np.random.default_rng(seed)
    n_samples, n_classes = rng.integers(5, 60), rng.integers(2, 4)
    y = rng.integers(0, n_classes, n_samples)
    y[:n_classes] = np.arange(n_classes)
    targets = np.eye(n_classes)[y]
    weights = np.where(y == 0, 1000.0, 1e-4)
    weights /= weights.sum()
    means = weights @ targets
    products = np.zeros((n_samples, n_classes), order="F")
    _, value, residuals = Softmax(targets, weights).best_intercept(products, None)
    assert_allclose(value, -xlogy(means, means).sum(), rtol=1e-8)
    assert_allclose(residuals.sum(axis=0), 0.0, atol=1e-12)
