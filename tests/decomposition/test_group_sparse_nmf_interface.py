"""GroupSparseNMF: transform, special cases, callbacks and errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nmf_helpers import factors, make_parts
from scipy import sparse
from scipy.optimize import nnls
from sklearn.base import clone
from sklearn.callback import ProgressBar
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import estimator_checks_generator

from skproj import GroupSparseNMF
from skproj._kernels._hals import descend_coordinates
from skproj.projection import hoyer_sparsity


@pytest.mark.parametrize("params", [{}, {"sparsity_H": 0.7}, {"sparsity_W": 0.7}])
def test_transform_solves_nonnegative_least_squares(dense, params):
    model = GroupSparseNMF(6, **params).fit(dense)
    new = np.random.default_rng(1).random((5, 40))
    expected = [nnls(model.components_.T, x)[0] for x in new]
    np.testing.assert_allclose(model.transform(new), expected, atol=1e-9)
    np.testing.assert_allclose(model.transform(new[:1])[0], expected[0], atol=1e-9)


def test_fit_transform_is_transform_unless_W_is_constrained(dense):
    model = GroupSparseNMF(6, sparsity_H=0.7)
    np.testing.assert_allclose(model.fit_transform(dense), model.transform(dense))
    model = GroupSparseNMF(6, sparsity_W=0.7, random_state=0)
    sparse_W, free_W = model.fit_transform(dense), model.transform(dense)
    assert hoyer_sparsity(free_W).mean() < 0.6
    errors = [np.linalg.norm(dense - W @ model.components_) for W in (sparse_W, free_W)]
    assert errors[1] < errors[0]


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, id=getattr(check, "func", check).__name__)
        for _, check in estimator_checks_generator(GroupSparseNMF(sparsity_W=0.5))
        # They compare transform with fit_transform, see the test above.
        if "check_transformer_general" not in str(check)
        and "check_transformer_data_not_an_array" not in str(check)
    ],
)
def test_constraint_on_W_passes_checks_of_scikit_learn(check):
    check(GroupSparseNMF(sparsity_W=0.5))


@pytest.mark.parametrize("sparsity_H", [None, 0.5])
def test_rows_times_roots_of_weights_are_weighted_samples(sparsity_H):
    """An integer weight is as many equal samples."""
    rng = np.random.default_rng(0)
    X, W, H = rng.random((30, 12)), rng.random((30, 4)), rng.random((4, 12))
    weights = rng.integers(1, 4, size=30)
    model = GroupSparseNMF(init="custom", sparsity_H=sparsity_H, max_iter=200, tol=0.0)
    roots = np.sqrt(weights)[:, np.newaxis]
    weighted = clone(model).fit(roots * X, W=roots * W, H=H)
    repeated = clone(model).fit(
        np.repeat(X, weights, axis=0), W=np.repeat(W, weights, axis=0), H=H
    )
    np.testing.assert_allclose(
        weighted.components_, repeated.components_, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        np.repeat(weighted.transform(X), weights, axis=0),
        repeated.transform(np.repeat(X, weights, axis=0)),
        rtol=1e-5,
        atol=1e-6,
    )


def test_inverse_transform_multiplies(dense):
    model = GroupSparseNMF(6).fit(dense)
    W = model.transform(dense)
    np.testing.assert_allclose(model.inverse_transform(W), W @ model.components_)
    with pytest.raises(
        ValueError, match="a column for each of the 6 components, got 5"
    ):
        model.inverse_transform(W[:, :5])


@pytest.mark.parametrize(
    "params", [{}, {"sparsity_H": 0.6}, {"sparsity_W": 0.6}], ids=str
)
def test_dead_components_come_back_to_life(dense, params):
    """A start with components of zeros ends with all of them in use."""
    rng = np.random.default_rng(0)
    W, H = rng.random((60, 6)), rng.random((6, 40))
    W[:, [1, 4]] = H[2] = 0.0
    model = GroupSparseNMF(6, init="custom", **params)
    W = model.fit_transform(dense, W=W, H=H)
    assert W.any(axis=0).all()
    assert model.components_.any(axis=1).all()
    three = GroupSparseNMF(3, init="random", random_state=0, **params).fit(dense)
    assert model.reconstruction_err_ < three.reconstruction_err_


@pytest.mark.parametrize("params", [{}, {"sparsity_H": 0.6}, {"sparsity_W": 0.6}])
@pytest.mark.parametrize("init", ["random", "nndsvd"])
def test_zeros_have_zero_factors(params, init):
    X = np.zeros((6, 5))
    model = GroupSparseNMF(3, init=init, **params)
    W = model.fit_transform(X)
    assert model.reconstruction_err_ == 0.0
    np.testing.assert_array_equal(W @ model.components_, X)


def test_more_components_than_the_rank_are_no_problem():
    x, y = np.arange(1.0, 8.0), np.arange(5.0)
    model = GroupSparseNMF(4, init="random", random_state=0).fit(np.outer(x, y))
    assert model.reconstruction_err_ < 1e-6 * np.linalg.norm(np.outer(x, y))
    assert np.isfinite(model.components_).all()


@pytest.mark.parametrize("shape", [(1, 8), (8, 1), (1, 1)])
def test_single_sample_or_feature_works(shape):
    """Vectors with one entry have no sparsity and are not constrained."""
    X = np.random.default_rng(0).random(shape) + 0.5
    model = GroupSparseNMF(1, sparsity_W=0.3, sparsity_H=0.3)
    W = model.fit_transform(X)
    for factor in (W, model.components_.T):
        if len(factor) > 1:
            assert hoyer_sparsity(factor).mean() >= 0.3 - 1e-8


@given(
    n_samples=st.integers(2, 12),
    n_features=st.integers(2, 12),
    n_components=st.integers(1, 14),
    sparsity_W=st.none() | st.floats(0.0, 1.0),
    sparsity_H=st.none() | st.floats(0.0, 1.0),
    mode=st.sampled_from(["group", "column"]),
    digits=st.integers(0, 3),
    seed=st.integers(0, 1000),
)
def test_any_shape_and_level(
    n_samples, n_features, n_components, sparsity_W, sparsity_H, mode, digits, seed
):
    """Levels, signs and errors are right; few digits make ties and zeros."""
    X = np.random.default_rng(seed).random((n_samples, n_features)).round(digits)
    model = GroupSparseNMF(
        n_components,
        sparsity_W=sparsity_W,
        sparsity_H=sparsity_H,
        mode=mode,
        max_iter=5,
        tol=0.0,
        random_state=seed,
    )
    found = factors(model, X)
    W, H = found["sparsity_W"], model.components_
    assert (W >= 0.0).all()
    assert (H >= 0.0).all()
    for name, level in (("sparsity_W", sparsity_W), ("sparsity_H", sparsity_H)):
        if level is not None:
            sparsities = hoyer_sparsity(found[name])
            met = sparsities.mean() if mode == "group" else sparsities.min()
            assert met >= level - 1e-8
    np.testing.assert_allclose(
        model.reconstruction_err_, np.linalg.norm(X - W @ H), rtol=1e-6, atol=1e-12
    )
    # What the curve takes from sums of squares is worth fewer digits.
    assert model.reconstruction_err_ <= min(model.loss_curve_) * (1.0 + 1e-3) + 1e-12


@pytest.mark.parametrize("init", ["random", "nndsvd", "nndsvdar"])
def test_same_seed_same_result(dense, init):
    model = GroupSparseNMF(6, sparsity_H=0.6, init=init, random_state=3, max_iter=20)
    model.set_params(tol=0.0)
    W = model.fit_transform(dense)
    other = clone(model)
    np.testing.assert_array_equal(other.fit_transform(dense), W)
    np.testing.assert_array_equal(other.components_, model.components_)
    if init != "nndsvd":
        other.set_params(random_state=4).fit(dense)
        assert not np.allclose(other.components_, model.components_)


def test_grid_search_over_the_sparsity():
    """Held-out entries tell the level that the components have."""
    X, H = make_parts(noise=0.2, n_samples=60)

    def score(model, X, y=None):
        return -np.linalg.norm(X - model.inverse_transform(model.transform(X)))

    levels = [0.1, 0.4, 0.8]
    search = GridSearchCV(
        GroupSparseNMF(10, random_state=0), {"sparsity_H": levels}, scoring=score, cv=3
    ).fit(X)
    level = hoyer_sparsity(H, axis=1).mean()
    assert abs(level - 0.4) < 0.1
    assert search.best_params_ == {"sparsity_H": 0.4}


class CountIterations:
    """Keeps what it is shown, and asks for the end after three iterations."""

    def setup(self, estimator, context):
        self.models = []

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        if context.task_name == "iteration":
            self.models.append(fitted_estimator)
        return len(self.models) == 3


def test_callback_sees_each_iteration_and_can_stop(dense):
    counter = CountIterations()
    model = GroupSparseNMF(6, sparsity_H=0.6).set_callbacks(counter).fit(dense)
    assert model.n_iter_ == len(counter.models) == 3
    first, _, last = counter.models
    np.testing.assert_array_equal(last.components_, model.components_)
    assert not np.allclose(first.components_, model.components_)
    np.testing.assert_allclose(last.transform(dense), model.transform(dense))


def test_progress_bar_runs(dense, capsys):
    GroupSparseNMF(6).set_callbacks(ProgressBar()).fit(dense)
    assert "GroupSparseNMF" in capsys.readouterr().out


def test_too_few_iterations_are_warned_of(dense):
    message = r"after max_iter=3 iterations. Increase max_iter or tol"
    with pytest.warns(ConvergenceWarning, match=message) as caught:
        GroupSparseNMF(6, max_iter=3).fit_transform(dense)
    assert caught[0].filename == __file__
    assert GroupSparseNMF(6, max_iter=3, tol=0.0).fit(dense).n_iter_ == 3


ONES = np.ones((4, 3))


@pytest.mark.parametrize(
    ("params", "arguments", "message"),
    [
        ({"sparsity_H": 1.5}, {}, "'sparsity_H' parameter of GroupSparseNMF must be"),
        ({"sparsity_W": -0.1}, {}, "'sparsity_W' parameter of GroupSparseNMF must be"),
        ({"n_components": 0}, {}, "'n_components' parameter"),
        ({"mode": "row"}, {}, "'mode' parameter"),
        (
            {"n_components": 4, "init": "nndsvd"},
            {},
            r"'nndsvd' needs n_components <= min\(n_samples, n_features\) = 3, got 4",
        ),
        ({}, {"X": -ONES}, "Negative values in data passed to X"),
        ({}, {"X": sparse.csr_array(-ONES)}, "Negative values in data passed to X"),
        ({}, {"X": ONES * np.nan}, "Input X contains NaN"),
        ({}, {"X": ONES * np.inf}, "Input X contains infinity"),
        ({}, {"X": ONES * 1e200}, "too large or too small to compute with in float64"),
        ({}, {"X": ONES * 1e-200}, "too large or too small to compute with in float64"),
        (
            {"init": "random"},
            {"X": ONES.astype(np.float32) * np.float32(2e38)},
            "too large or too small to compute with in float32",
        ),
        ({}, {"W": ONES}, 'W and H are only used with init="custom"'),
        ({"init": "custom"}, {"W": ONES}, 'init="custom" needs both W and H'),
        (
            {"init": "custom"},
            {"W": ONES, "H": np.ones((2, 3))},
            r"W must have shape \(4, 2\), got \(4, 3\)",
        ),
        (
            {"init": "custom", "n_components": 2},
            {"W": np.ones((4, 2)), "H": ONES},
            r"H must have shape \(2, 3\), got \(4, 3\)",
        ),
        (
            {"init": "custom"},
            {"W": ONES, "H": -np.ones((3, 3))},
            "Negative values in data passed to H",
        ),
    ],
)
def test_bad_input_is_refused_in_one_sentence(params, arguments, message):
    """And nothing of an earlier fit changes."""
    model = GroupSparseNMF(2, max_iter=1, tol=0.0).fit(ONES)
    before = vars(model) | {"params": None}
    model.set_params(**({"n_components": "auto"} | params))
    with pytest.raises(ValueError, match=message):
        model.fit_transform(**({"X": ONES} | arguments))
    for name, value in vars(model).items():
        if name.endswith("_"):
            assert value is before[name]
    with pytest.raises(ValueError, match="Negative values in data passed to X"):
        model.transform(-ONES)


def test_kernel_solves_each_row():
    """Coordinate descent to the end is nonnegative least squares, row by row."""
    rng = np.random.default_rng(0)
    A = rng.random((30, 5))
    A[:, 3] = 0.0
    B = rng.normal(size=(8, 30)) + A.sum(axis=1)
    found = np.zeros((8, 5))
    descend_coordinates(A.T @ A, B @ A, found, 1e-14, 100_000)
    expected = [nnls(A, b)[0] for b in B]
    np.testing.assert_allclose(found, expected, atol=1e-8)
    row = np.zeros((1, 5))
    descend_coordinates(A.T @ A, B[5:6] @ A, row, 1e-14, 100_000)
    np.testing.assert_allclose(row[0], found[5], rtol=1e-12)
