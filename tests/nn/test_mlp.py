"""Sparse MLPs: the sparsity asked for, optimality, and what estimators must do."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.datasets import load_digits, make_classification, make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.preprocessing import StandardScaler

from skproj import SparseMLPClassifier, SparseMLPRegressor
from skproj.datasets import make_mackey_glass
from skproj.nn._training._l1_training import remove_dead_ends
from skproj.nn._training._network import SparseLinear, compress, make_mlp, weights_of
from skproj.nn._training._objectives import logistic
from skproj.nn._training._optimizers import SGD, SOLVERS, Adam, Penalty
from skproj.nn._training._trainer import Trainer


@pytest.fixture(scope="module")
def blobs():
    """Three classes, two of ten features informative."""
    X, y = make_classification(
        n_samples=240,
        n_features=10,
        n_informative=4,
        n_redundant=0,
        n_classes=3,
        random_state=0,
    )
    X = StandardScaler().fit_transform(X).astype(np.float32)
    return X, np.array(["a", "b", "c"])[y]


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    parts = train_test_split(X, y, random_state=0, stratify=y)
    scaler = StandardScaler().fit(parts[0])
    return *(scaler.transform(part).astype(np.float32) for part in parts[:2]), *parts[
        2:
    ]


def quick(cls=SparseMLPClassifier, **params):
    settings = {
        "hidden_layer_sizes": (20,),
        "target_sparsity": 0.7,
        "max_epochs": 30,
        "random_state": 0,
    }
    return cls(**{**settings, **params})


def assert_same_network(one, other):
    for name in ("coefs_", "intercepts_"):
        for a, b in zip(getattr(one, name), getattr(other, name), strict=True):
            assert_array_equal(a, b)


def zeros(model):
    """Count zero weights of each layer, and all weights."""
    return (
        np.array([np.count_nonzero(coef == 0) for coef in model.coefs_]),
        np.array([coef.size for coef in model.coefs_]),
    )


@pytest.mark.parametrize("sparsity", [0.8, 0.95])
def test_digits_at_a_sparsity_as_accurate_as_dense(digits, sparsity):
    """Few steps, the exact count, and an accuracy within a point of the dense one."""
    X, X_test, y, y_test = digits
    params = {"hidden_layer_sizes": (128, 64), "random_state": 0}
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


def test_mackey_glass_at_a_sparsity_as_accurate_as_dense():
    """The error is within five percent of that of the dense network."""
    X, y = make_mackey_glass(1500, noise=0.05, random_state=0)
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
    ("sizes", "alpha", "precision"), [((), 0.05, 1e-3), ((6,), 0.05, 0.2)]
)
@pytest.mark.parametrize("penalty", ["l1", "l12"])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_penalised_network_fulfils_the_condition_of_optimality(
    blobs, solver, penalty, sizes, alpha, precision
):
    """Minus the gradient is in alpha's subdifferential, with gradients of autograd."""
    X, y = blobs
    X = X.astype(np.float64)
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
    assert model.search_history_["n_nonzero"][-1] in (15, 16)
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


@pytest.mark.parametrize("cls", [SparseMLPClassifier, SparseMLPRegressor])
def test_integer_weights_equal_repeated_samples_in_any_order(blobs, cls):
    X, y = blobs
    y = y if cls is SparseMLPClassifier else X[:, 0] * X[:, 1]
    weights = np.random.default_rng(0).integers(0, 3, len(X))
    weighted = quick(cls, early_stopping=True).fit(X, y, sample_weight=weights)
    rows = np.repeat(np.arange(len(X)), weights)[::-1]
    assert_same_network(weighted, quick(cls, early_stopping=True).fit(X[rows], y[rows]))


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


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fit_learns_at_a_fixed_alpha(blobs, solver):
    """A stream makes weights zero, and alpha can change on the way."""
    X, y = blobs
    model = quick(solver=solver, alpha=5e-3)
    for _ in range(60):
        for rows in np.array_split(np.arange(len(X)), 3):
            model.partial_fit(X[rows], y[rows], classes=["a", "b", "c"])
    assert 0.2 < model.sparsity_ < 0.95
    assert model.alpha_ == 5e-3
    assert model.score(X, y) > 0.7
    assert model.n_iter_ == len(model.loss_curve_) == 180
    copied = pickle.loads(pickle.dumps(model)).partial_fit(X, y)
    assert_same_network(model.partial_fit(X, y), copied)
    before = model.sparsity_
    model.set_params(alpha=[0.1, 0.0])
    for _ in range(30):
        model.partial_fit(X, y)
    assert model.layer_sparsities_[0] > before


def test_partial_fit_goes_on_from_a_fit(blobs):
    """The first part does not undo what the fit found."""
    X, y = blobs
    model = quick(alpha=5e-3, max_epochs=100).fit(X, y)
    score, sparsity = model.score(X, y), model.sparsity_
    model.partial_fit(X, y)
    assert model.score(X, y) == pytest.approx(score, abs=0.03)
    assert model.sparsity_ == pytest.approx(sparsity, abs=0.2)


def test_partial_fit_needs_a_fixed_alpha(blobs):
    assert not hasattr(quick(), "partial_fit")
    with pytest.raises(AttributeError, match="partial_fit"):
        quick().partial_fit(*blobs)


def test_partial_fit_of_targets():
    X, y = make_regression(200, 10, n_informative=3, random_state=0)
    X = StandardScaler().fit_transform(X)
    model = quick(SparseMLPRegressor, alpha=1e-2, penalty="l12")
    for _ in range(100):
        model.partial_fit(X, y)
    assert model.score(X, y) > 0.9
    assert 0 < model.sparsity_ < 1


def test_grid_search_over_the_sparsity(blobs):
    X, y = blobs
    search = GridSearchCV(
        quick(sparsity_tol=0.1), {"target_sparsity": [0.5, 0.99]}, cv=2
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "The network is constant")
        search.fit(X, y)
    assert search.best_params_ == {"target_sparsity": 0.5}


def test_fitted_state_survives_a_pickle(blobs):
    X, y = blobs
    model = quick(target_sparsity=0.97, hidden_layer_sizes=(40, 40), max_epochs=60)
    model.fit(X, y)
    copied = pickle.loads(pickle.dumps(model))
    assert_array_equal(copied.predict_proba(X), model.predict_proba(X))
    assert_same_network(copied, model)


def test_same_seed_same_result_and_global_state_alone(blobs):
    X, y = blobs
    torch.manual_seed(0)
    state, n_threads = torch.get_rng_state(), torch.get_num_threads()
    one = quick(n_threads=2, alpha=0.02, max_epochs=2, batch_size=len(X)).fit(X, y)
    assert torch.get_num_threads() == n_threads
    assert torch.equal(torch.get_rng_state(), state)
    assert_same_network(one, clone(one).fit(X, y))
    other = clone(one).set_params(random_state=1).fit(X, y)
    assert not np.array_equal(one.coefs_[0], other.coefs_[0])


def test_early_stopping_ends_the_trainings_that_may_end(blobs):
    """Not the steps of the search, which all have the same length."""
    X, y = blobs
    model = quick(
        early_stopping=True, n_iter_no_change=2, max_epochs=200, alpha=1e-3
    ).fit(X, y)
    n_stoppable = len(model.validation_scores_)
    assert n_stoppable < 2 * 200
    assert model.n_iter_ == n_stoppable + 200
    assert model.best_validation_score_ in model.validation_scores_


def test_warm_start_continues_and_refuses_another_shape(blobs):
    X, y = blobs
    cold = quick(alpha=0.0, max_epochs=5).fit(X, y)
    warm = quick(alpha=0.0, max_epochs=5, warm_start=True).fit(X, y).fit(X, y)
    assert warm.loss_curve_[0] < 0.8 * cold.loss_curve_[0]
    with pytest.raises(ValueError, match="warm_start=True"):
        warm.set_params(hidden_layer_sizes=(3,)).fit(X, y)


def test_warm_start_trains_as_well_as_a_new_network(digits):
    """The tiny gradients of a trained network say nothing about the steps to take."""
    X, y = digits[0][:300], digits[2][:300]
    params = {"alpha": 0.01, "debias": False, "max_epochs": 40}
    cold = quick(**params).fit(X, y)
    warm = quick(alpha=0.0, max_epochs=100, warm_start=True).fit(X, y)
    warm.set_params(**params).fit(X, y)
    losses = [model.search_history_["loss"][0] for model in (warm, cold)]
    assert losses[0] < 1.2 * losses[1]


def test_diverging_training_is_repeated_with_half_the_learning_rate(blobs):
    """Again, until it does not diverge, and from the same start."""
    X, y = blobs[0] * 8.0, blobs[0][:, 0]
    params = {"solver": "sgd", "alpha": 0.01, "random_state": 0, "max_epochs": 20}
    model = SparseMLPRegressor((20,), learning_rate_init=0.4, **params).fit(X, y)
    for n_halvings in (1, 2, 3):
        slow = SparseMLPRegressor(
            (20,), learning_rate_init=0.4 / 2**n_halvings, **params
        ).fit(X, y)
        assert_same_network(model, slow)
    assert np.isfinite(model.loss_curve_).all()


@pytest.mark.parametrize("n_stages", [1, 2, 3])
def test_each_training_may_diverge(blobs, monkeypatch, n_stages):
    """The dense one, a step of the search, the debiasing."""
    X, y = blobs
    expected = quick(alpha=0.02, max_epochs=5).fit(X, y)
    rates, train_stage = [], Trainer.train_stage

    def diverge_once(trainer, *args, **kwargs):
        rates.append(trainer.options.learning_rate_init)
        if len(rates) == n_stages:
            weights_of(trainer.module)[0].data.fill_(np.nan)
        return train_stage(trainer, *args, **kwargs)

    monkeypatch.setattr(Trainer, "train_stage", diverge_once)
    model = quick(alpha=0.02, max_epochs=5).fit(X, y)
    first = SOLVERS["adam"].default_learning_rate
    assert rates == [first] * n_stages + [first / 2] * (4 - n_stages)
    assert all(np.isfinite(coef).all() for coef in model.coefs_)
    assert_array_equal(
        model.loss_curve_[: 5 * (n_stages - 1)],
        expected.loss_curve_[: 5 * (n_stages - 1)],
    )
    assert len(model.loss_curve_) == 15


def test_error_of_a_callback_is_no_divergence(blobs):
    class Fail:
        n_calls = 0

        def setup(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context):
            self.n_calls += 1
            raise ValueError("no disk left")

    fail = Fail()
    with pytest.raises(ValueError, match="no disk left"):
        quick().set_callbacks(fail).fit(*blobs)
    assert fail.n_calls == 1


def test_callbacks_see_trainings_and_epochs(blobs, capsys):
    """The dense training, each step of the search, the debiasing."""
    X, y = blobs
    monitor = ScoringMonitor(scoring="accuracy")
    model = quick(max_epochs=10, sparsity_tol=0.2)
    model.set_callbacks(monitor, ProgressBar()).fit(X, y)
    log = monitor.get_logs(select="most_recent").data_as_pandas
    scores = log.loc[log["task_id_path"].map(len) == 3, "accuracy"]
    assert len(scores) == 10 * (2 + model.n_search_iter_)
    assert scores.between(0, 1).all()
    assert "100%" in capsys.readouterr().out


@pytest.mark.parametrize("n_stages", [1, 2])
def test_callback_can_end_the_search(blobs, n_stages):
    """What has been trained is trimmed to the sparsity asked for."""
    X, y = blobs

    class Stop:
        n_seen = 0

        def setup(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context):
            self.n_seen += context.task_name == "stage"
            return self.n_seen >= n_stages

    model = quick(target_sparsity=0.9).set_callbacks(Stop())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    assert model.n_search_iter_ == n_stages - 1
    assert model.n_iter_ == 30 * n_stages
    assert model.sparsity_ >= 0.9


def test_verbose_prints_a_line_for_each_epoch(blobs, capsys):
    quick(verbose=True, max_epochs=4, alpha=1e-3).fit(*blobs)
    assert len(capsys.readouterr().out.splitlines()) == 12


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


@pytest.mark.parametrize("by_group", [False, True])
@pytest.mark.parametrize("solver", [SGD, Adam])
def test_steps_of_a_quadratic_end_at_its_soft_threshold(solver, by_group):
    """The fixed point depends neither on momentum nor on the metric of the steps."""
    alpha = 0.3
    target = torch.tensor([[1.0, -0.2, 0.25], [-2.0, 0.1, 0.1]], dtype=torch.float64)
    curvature = torch.tensor([[1.0, 4.0, 1.0], [1.0, 1.0, 1.0]], dtype=torch.float64)
    weight = torch.nn.Parameter(torch.ones_like(target))
    optimizer = solver([weight], 0.05, 0.0, Penalty((alpha,), by_group))
    with torch.no_grad():
        for i in range(3000):
            optimizer.learning_rate = 0.05 * (1 - i / 3000)
            weight.grad = curvature * (weight - target)
            optimizer.step()
        gradient = curvature * (weight - target)
    violation = optimizer.penalty.violation(weight.detach(), gradient, alpha)
    assert violation.max() < 1e-3
    assert weight[:, 2].eq(0).all()
    assert weight[0, 0] > 0.5
    if not by_group:
        assert_allclose(weight[0, 1].item(), -0.2 + 0.3 / 4, atol=1e-3)


def test_weights_that_lead_nowhere_are_not_left():
    """A unit that feeds nothing gets nothing, unless its layer has no penalty."""
    sizes = [2, 3, 2, 1]
    module = torch.nn.Sequential(*map(torch.nn.Linear, sizes, sizes[1:]))
    first, second, third = (layer.weight.detach() for layer in module)
    second[:, 0] = 0.0
    third[:, 1] = 0.0
    inputs = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    before = module(inputs)
    remove_dead_ends(module, (0.0, 0.1, 0.1))
    assert first.all()
    assert second.any(dim=1).tolist() == [True, False]
    remove_dead_ends(module, (0.1, 0.1, 0.1))
    assert first.any(dim=1).tolist() == [False, True, True]
    assert torch.equal(module(inputs), before)
