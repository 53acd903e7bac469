"""Sparse perceptrons: sparsity, optimality, outputs."""

import numpy as np
import pytest
import torch
from mlp_helpers import assert_same_network, quick
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.datasets import make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from skproj import SparseMLPClassifier, SparseMLPRegressor
from skproj.nn._training._network import SparseLinear, compress, make_mlp
from skproj.nn._training._objectives import logistic


def zeros(model):
    """Count zero weights of each layer, and all weights."""
    return (
        np.array([np.count_nonzero(coef == 0) for coef in model.coefs_]),
        np.array([coef.size for coef in model.coefs_]),
    )


def test_digits_at_a_sparsity_as_accurate_as_dense(digits):
    """Few steps, the exact count, and an accuracy within a point of the dense one."""
    X, X_test, y, y_test = digits
    sparsity = 0.9
    params = {"hidden_layer_sizes": (64, 32), "random_state": 0}
    dense = SparseMLPClassifier(alpha=0.0, **params).fit(X, y)
    model = SparseMLPClassifier(target_sparsity=sparsity, **params).fit(X, y)
    n_zero, sizes = zeros(model)
    kept = sizes.sum() - n_zero.sum()
    assert abs(kept / ((1 - sparsity) * sizes.sum()) - 1) <= 0.01
    assert model.sparsity_ == pytest.approx(n_zero.sum() / sizes.sum())
    assert_allclose(model.layer_sparsities_, n_zero / sizes)
    assert model.n_search_iter_ <= 8
    assert model.score(X_test, y_test) > dense.score(X_test, y_test) - 0.01
    assert dense.sparsity_ == 0.0


@pytest.mark.slow
def test_mackey_glass_at_a_sparsity_as_accurate_as_dense(import_benchmark):
    """The error is within five percent of that of the dense network."""
    series = import_benchmark("_mackey_glass")
    X, y = series.make_mackey_glass(1500, noise=0.05, random_state=0)
    X = StandardScaler().fit_transform(X).astype(np.float32)
    params = {"hidden_layer_sizes": (64, 64), "random_state": 0}
    dense = SparseMLPRegressor(alpha=0.0, **params).fit(X[:1000], y[:1000])
    model = SparseMLPRegressor(target_sparsity=0.95, **params).fit(X[:1000], y[:1000])
    assert model.n_search_iter_ <= 8
    assert model.sparsity_ == pytest.approx(0.95, abs=0.0005)
    errors = [
        np.sqrt(np.mean((m.predict(X[1000:]) - y[1000:]) ** 2)) for m in (model, dense)
    ]
    assert errors[0] < 1.05 * errors[1]


def test_sparsity_of_each_layer_is_reached(digits):
    """With an l1 weight for each, in few steps."""
    X, _, y, _ = digits
    target = np.array([0.95, 0.9, 0.5])
    model = SparseMLPClassifier(
        (128, 64),
        target_sparsity=target,
        sparsity_tol=0.05,
        trim=False,
        max_epochs=60,
        random_state=0,
    ).fit(X, y)
    n_zero, sizes = zeros(model)
    assert_allclose((sizes - n_zero) / sizes, 1 - target, rtol=0.05)
    assert model.n_search_iter_ <= 8
    assert model.alpha_.shape == (3,)
    assert len(set(model.alpha_)) == 3
    history = model.search_history_
    assert history["alpha"].shape == history["n_nonzero"].shape
    assert history["alpha"].shape == (model.n_search_iter_, 3)


# Without a hidden layer the problem is convex, and converges to the last digits.
@pytest.mark.parametrize(
    ("solver", "penalty", "sizes", "precision"),
    [
        ("adam", "l1", (), 1e-3),
        ("adam", "l12", (6,), 0.2),
        ("sgd", "l1", (6,), 0.2),
        ("sgd", "l12", (), 1e-3),
    ],
)
def test_penalised_network_fulfils_the_condition_of_optimality(
    blobs, solver, penalty, sizes, precision
):
    """Minus the gradient is in alpha's subdifferential, with gradients of autograd."""
    X, y = blobs
    X, alpha = X.astype(np.float64), 0.05
    model = quick(
        hidden_layer_sizes=sizes,
        alpha=alpha,
        penalty=penalty,
        solver=solver,
        activation="tanh",
        debias=False,
        batch_size=len(X),
        max_epochs=1500,
        learning_rate_init={"adam": 0.03, "sgd": 1.0}[solver],
    ).fit(X, y)
    assert 0.0 < model.sparsity_ < 1.0
    labels = torch.from_numpy(np.searchsorted(model.classes_, y))
    loss = torch.nn.functional.cross_entropy(model.module_(torch.from_numpy(X)), labels)
    weights = [layer.weight for layer in model.module_[::2]]
    violations = [torch.zeros(1)]
    for weight, gradient in zip(
        weights, torch.autograd.grad(loss, weights), strict=True
    ):
        if penalty == "l1":
            is_kept = weight != 0
            size, balance = gradient.abs(), gradient + alpha * weight.sign()
            violations.append(balance[is_kept].abs())
        else:
            norms = weight.norm(dim=0)
            is_kept = norms != 0
            size = gradient.norm(dim=0)
            balance = gradient[:, is_kept] + alpha * (weight / norms)[:, is_kept]
            violations.append(balance.norm(dim=0))
        violations.append((size[~is_kept] - alpha).flatten())
    worst = torch.cat(violations).max().item()
    assert worst < precision * alpha
    history = model.search_history_
    assert_allclose(history["violation"], worst, rtol=1e-5, atol=1e-12)
    assert_allclose(history["loss"], loss.item())
    assert history["mean_violation"][0] <= history["violation"][0]


def test_short_training_reports_its_violation(blobs):
    """The number tells a network that has converged from one that has not.

    On average: the weights of a unit that is about to vanish linger.
    """
    X, y = blobs
    violations = [
        quick(alpha=0.02, max_epochs=n).fit(X, y).search_history_["mean_violation"][0]
        for n in (3, 300)
    ]
    assert violations[0] > 10 * violations[1]


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_alpha_that_was_found_gives_the_same_network(blobs, solver):
    """The search returns what a fit at its l1 weight trains."""
    X, y = blobs
    found = quick(solver=solver, trim=False, sparsity_tol=0.05).fit(X, y)
    fixed = quick(solver=solver, alpha=found.alpha_).fit(X, y)
    assert_same_network(found, fixed)
    assert fixed.alpha_ == found.alpha_
    assert fixed.n_search_iter_ == 1
    chosen = np.flatnonzero(found.search_history_["alpha"] == found.alpha_)[0]
    for name, column in fixed.search_history_.items():
        assert column[0] == found.search_history_[name][chosen]


def test_groups_are_counted_and_removed_together(blobs):
    """Features and neurons that feed nothing."""
    X, y = blobs
    model = quick(penalty="l12", target_sparsity=0.5).fit(X, y)
    groups = [coef.any(axis=1) for coef in model.coefs_]
    n_kept = sum(map(np.sum, groups))
    assert n_kept == 15  # of 10 features and 20 neurons
    assert model.sparsity_ == 0.5
    assert_allclose(model.layer_sparsities_, [1 - kept.mean() for kept in groups])
    # The search ends with the first count that trimming two groups can make exact.
    counts = model.search_history_["n_nonzero"]
    is_enough = (counts >= 15) & (counts <= 17)
    assert is_enough[-1]
    assert not is_enough[:-1].any()
    for coef, kept in zip(model.coefs_, groups, strict=True):
        assert np.count_nonzero(coef[kept]) == coef[kept].size


def test_trim_makes_the_count_exact(blobs):
    """By removing the smallest weights, of the network or of each layer."""
    X, y = blobs
    for target, expected in ((0.7, [78]), ([0.8, 0.5], [40, 30])):
        model = quick(target_sparsity=target, sparsity_tol=0.3).fit(X, y)
        counts = np.array([np.count_nonzero(coef) for coef in model.coefs_])
        counts = counts if len(expected) == 2 else [counts.sum()]
        assert np.all(np.array(counts) <= expected)
        loose = clone(model).set_params(trim=False).fit(X, y)
        assert_array_equal(
            np.minimum(loose.search_history_["n_nonzero"][-1], expected).ravel(),
            np.ravel(counts),
        )


def test_debiasing_lowers_the_loss_and_keeps_the_zeros(blobs):
    X, y = blobs
    biased = quick(debias=False, target_sparsity=0.8).fit(X, y)
    model = quick(target_sparsity=0.8).fit(X, y)
    assert model.loss_curve_[-1] < 0.95 * biased.loss_curve_[-1]
    assert model.n_iter_ == len(model.loss_curve_) == 90
    assert biased.n_iter_ == 60
    for a, b in zip(model.coefs_, biased.coefs_, strict=True):
        assert_array_equal(a == 0, b == 0)


def test_sparsity_zero_and_one(blobs):
    """No penalty, and nothing but biases: the shares of the classes."""
    X, y = blobs
    dense = quick(target_sparsity=0.0).fit(X, y)
    assert (dense.alpha_, dense.sparsity_, dense.n_search_iter_) == (0.0, 0.0, 1)
    empty = quick(target_sparsity=1.0, max_epochs=100).fit(X, y)
    assert (empty.alpha_, empty.sparsity_, empty.n_search_iter_) == (np.inf, 1.0, 1)
    shares = np.unique(y, return_counts=True)[1] / len(y)
    assert_allclose(empty.predict_proba(X[:2]), [shares, shares], atol=0.01)
    mixed = quick(target_sparsity=[0.5, 0.0], hidden_layer_sizes=(20,)).fit(X, y)
    assert_allclose(mixed.layer_sparsities_, [0.5, 0.0])
    assert mixed.alpha_[1] == 0.0


def test_fewer_weights_than_layers_is_a_constant_network(blobs):
    """The closest network comes with a warning."""
    X, y = blobs
    with pytest.warns(UserWarning, match="constant"):
        model = quick(target_sparsity=1 - 1 / 260, max_search_iter=12).fit(X, y)
    assert len(np.unique(model.predict(X))) == 1


@pytest.mark.parametrize("target", [0.999, [0.999, 0.5]])
def test_sparsity_that_rounds_to_no_weight_warns(blobs, target):
    """Of 260 or 200 weights, or none: nobody asked for a constant network."""
    with pytest.warns(UserWarning, match=r"constant: .* layer \[0"):
        model = quick(target_sparsity=target).fit(*blobs)
    assert model.layer_sparsities_[0] == 1.0


def test_search_that_ends_too_early_warns_and_returns_the_closest(blobs):
    X, y = blobs
    model = quick(target_sparsity=0.9, max_search_iter=2, trim=False)
    with pytest.warns(ConvergenceWarning, match=r"2 steps.*max_search_iter") as warned:
        model.fit(X, y)
    assert warned[0].filename == __file__
    counts = model.search_history_["n_nonzero"]
    kept = sum(map(np.count_nonzero, model.coefs_))
    assert kept == counts[np.abs(counts - 26).argmin()]
    with pytest.warns(ConvergenceWarning):
        model.set_params(trim=True).fit(X, y)
    assert model.sparsity_ == pytest.approx(0.9)


@pytest.mark.parametrize("cls", [SparseMLPClassifier, SparseMLPRegressor])
def test_shapes_are_those_of_scikit_learn(blobs, cls):
    X, y = blobs
    two = (y == "a").astype(int)
    model = quick(cls, hidden_layer_sizes=(7, 5)).fit(X, two)
    assert [coef.shape for coef in model.coefs_] == [(10, 7), (7, 5), (5, 1)]
    assert [bias.shape for bias in model.intercepts_] == [(7,), (5,), (1,)]
    assert (model.n_layers_, model.n_outputs_) == (4, 1)
    assert {coef.dtype for coef in model.coefs_} == {np.dtype(np.float32)}
    a = X
    for coef, bias in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
        a = np.maximum(a @ coef + bias, 0.0)
    output = (a @ model.coefs_[-1] + model.intercepts_[-1]).ravel()
    if cls is SparseMLPRegressor:
        expected = output * model.target_scale_ + model.target_mean_
        assert_allclose(model.predict(X), expected, atol=1e-5)
        assert model.out_activation_ == "identity"
    else:
        assert_allclose(model.decision_function(X), output, atol=1e-5)
        assert_array_equal(model.predict(X), (output > 0).astype(int))
        assert_allclose(model.predict_proba(X)[:, 1], 1 / (1 + np.exp(-output)), 1e-4)
        assert model.out_activation_ == "logistic"
        assert quick(cls).fit(X, y).out_activation_ == "softmax"


def test_two_targets():
    X, y = make_regression(200, 10, n_informative=3, n_targets=2, random_state=0)
    X = StandardScaler().fit_transform(X)
    model = quick(SparseMLPRegressor, max_epochs=100).fit(X, y)
    assert model.predict(X).shape == y.shape
    assert model.score(X, y) > 0.9
    assert quick(SparseMLPRegressor).fit(X, y[:, 0]).predict(X).shape == (200,)
    huber = quick(SparseMLPRegressor, loss="huber", max_epochs=100).fit(X, y)
    assert huber.score(X, y) > 0.9
    assert not np.array_equal(huber.predict(X), model.predict(X))


@pytest.mark.parametrize("method", ["l1", "projected"])
@pytest.mark.parametrize("cls", [SparseMLPClassifier, SparseMLPRegressor])
def test_integer_weights_equal_repeated_samples_in_any_order(blobs, cls, method):
    X, y = blobs
    y = y if cls is SparseMLPClassifier else X[:, 0] * X[:, 1]
    weights = np.random.default_rng(0).integers(0, 3, len(X))
    settings = {"method": method, "early_stopping": True}
    weighted = quick(cls, **settings).fit(X, y, sample_weight=weights)
    rows = np.repeat(np.arange(len(X)), weights)[::-1]
    assert_same_network(weighted, quick(cls, **settings).fit(X[rows], y[rows]))


def test_class_weight_shifts_predictions(blobs):
    X, y = blobs
    plain = quick(target_sparsity=0.9).fit(X, y)
    model = quick(target_sparsity=0.9, class_weight={"a": 20, "b": 1, "c": 1})
    model.fit(X, y)
    assert np.mean(model.predict(X) == "a") > np.mean(plain.predict(X) == "a") + 0.1


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_sparse_input_gives_the_model_of_dense_input(blobs, solver):
    X, y = blobs
    X = np.where(np.abs(X) > 0.5, X, 0.0)
    dense = quick(solver=solver, sparsity_tol=0.1).fit(X, y)
    thin = quick(solver=solver, sparsity_tol=0.1).fit(csr_array(X), y)
    assert_same_network(dense, thin)
    assert_array_equal(thin.predict_proba(csr_array(X)), dense.predict_proba(X))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"target_sparsity": 1.5}, "target_sparsity"),
        ({"target_sparsity": [0.5]}, "target_sparsity.*each of the 2 layers"),
        ({"target_sparsity": [0.5, -0.1]}, "target_sparsity.*between 0 and 1"),
        ({"alpha": -1.0}, "alpha"),
        ({"alpha": [0.1, 0.1, 0.1]}, "alpha.*each of the 2 layers"),
        ({"alpha": [0.1, np.nan]}, "alpha.*non-negative"),
        ({"solver": "lbfgs"}, "solver"),
        ({"penalty": "l2"}, "penalty"),
        ({"learning_rate_init": "fast"}, "learning_rate_init"),
        ({"max_search_iter": 0}, "max_search_iter"),
    ],
)
def test_bad_parameters_are_named(blobs, params, message):
    with pytest.raises(ValueError, match=message):
        quick(**params).fit(*blobs)


def test_failed_fit_leaves_the_model_as_it_was(blobs):
    X, y = blobs
    model = quick().fit(X, y)
    expected = model.predict_proba(X)
    with pytest.raises(ValueError, match=r"diverged.*learning_rate_init"):
        model.set_params(learning_rate_init=1e38).fit(X[:, :5], y)
    assert_array_equal(model.predict_proba(X), expected)


@pytest.mark.parametrize("density", [0.02, 0.1, 1.0])
@pytest.mark.parametrize("activation", ["relu", "logistic"])
def test_compressed_network_is_the_same_function(density, activation):
    """Without dead units, constants included, and whatever is left."""
    generator = torch.Generator().manual_seed(0)
    module = make_mlp(
        (30, 40, 50, 3), activation, dtype=torch.float64, generator=generator
    )
    rng = np.random.default_rng(0)
    for layer in module[::2]:
        mask = torch.from_numpy(rng.random(layer.weight.shape) < density)
        layer.weight.data.mul_(mask)
    smaller, inputs = compress(module)
    X = torch.from_numpy(rng.standard_normal((20, 30)))
    with torch.inference_mode():
        torch.testing.assert_close(smaller(X[:, inputs]), module(X))
        torch.testing.assert_close(smaller(X[:1, inputs]), module(X[:1]))
    n_sparse = sum(isinstance(layer, SparseLinear) for layer in smaller)
    if density == 1.0:
        assert_array_equal(inputs, np.arange(30))
        assert n_sparse == 0
    else:
        assert len(inputs) < 30
        assert smaller[0].bias.numel() < 40


def test_thin_layers_multiply_as_sparse_matrices():
    """A layer with few weights that touches all its units."""
    module = make_mlp(
        (100, 100), "relu", dtype=torch.float32, generator=torch.Generator()
    )
    module[0].weight.data.mul_(torch.eye(100))
    smaller, inputs = compress(module)
    assert isinstance(smaller[0], SparseLinear)
    assert len(inputs) == 100
    X = torch.randn(7, 100, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(smaller(X), module(X))


def test_logistic_loss_is_that_of_torch():
    z = torch.linspace(-50, 50, 11, dtype=torch.float64).requires_grad_()
    y = torch.arange(11) % 2
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        z, y.double(), reduction="none"
    )
    losses, gradient = logistic(z.detach().unsqueeze(1), y)
    torch.testing.assert_close(losses, expected.detach())
    torch.testing.assert_close(
        gradient.squeeze(1), torch.autograd.grad(expected.sum(), z)[0]
    )
