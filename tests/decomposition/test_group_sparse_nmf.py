"""GroupSparseNMF: sparsity, error and kinds of data."""

import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest
from nmf_helpers import factors, make_parts
from scipy import sparse
from scipy.optimize import linear_sum_assignment, nnls
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning

from skproj import GroupSparseNMF
from skproj.projection import hoyer_sparsity

LEVEL = {"rtol": 0.0, "atol": 1e-8}


def relative_error(X, model):
    return model.reconstruction_err_ / np.linalg.norm(X)


def similarity(found, true):
    """Mean cosine of the components, each matched with a true one."""
    found, true = (H / np.linalg.norm(H, axis=1, keepdims=True) for H in (found, true))
    cosines = found @ true.T
    return cosines[linear_sum_assignment(-cosines)].mean()


@pytest.mark.parametrize("init", ["random", "nndsvd", "nndsvda", "nndsvdar"])
@pytest.mark.parametrize(
    "levels",
    [
        {"sparsity_H": 0.55},
        {"sparsity_W": 0.7},
        {"sparsity_W": 0.6, "sparsity_H": 0.8},
        {"sparsity_W": 0.99, "sparsity_H": 1.0},
    ],
    ids=str,
)
def test_average_level_is_met(dense, levels, init):
    """A constraint that binds holds with equality, whatever the start."""
    model = GroupSparseNMF(6, init=init, random_state=0, **levels)
    found = factors(model, dense)
    for name, level in levels.items():
        np.testing.assert_allclose(hoyer_sparsity(found[name]).mean(), level, **LEVEL)


@pytest.mark.parametrize("levels", [{"sparsity_H": 0.6}, {"sparsity_W": 0.7}], ids=str)
def test_level_of_each_column_is_met(dense, levels):
    model = GroupSparseNMF(6, mode="column", random_state=0, **levels)
    found = factors(model, dense)
    for name, level in levels.items():
        sparsities = hoyer_sparsity(found[name])
        assert sparsities.min() >= level - 1e-8
        np.testing.assert_allclose(np.median(sparsities), level, **LEVEL)


def test_group_shares_the_sparsity_out(dense):
    """On average only: single components are sparser and less sparse than the level."""
    model = GroupSparseNMF(6, sparsity_H=0.6, random_state=0).fit(dense)
    sparsities = hoyer_sparsity(model.components_, axis=1)
    assert sparsities.min() < 0.55
    assert sparsities.max() > 0.65


def test_a_level_below_that_of_the_data_changes_nothing():
    X, _ = make_parts()
    free = GroupSparseNMF(5, random_state=0, max_iter=50, tol=0.0).fit(X)
    level = 0.5 * hoyer_sparsity(free.components_, axis=1).mean()
    bound = clone(free).set_params(sparsity_H=level).fit(X)
    assert hoyer_sparsity(bound.components_, axis=1).mean() > 1.5 * level
    assert bound.reconstruction_err_ < 1.01 * free.reconstruction_err_


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"sparsity_H": 0.6},
        {"sparsity_W": 0.6},
        {"sparsity_W": 0.6, "sparsity_H": 0.6},
        {"sparsity_H": 0.6, "mode": "column"},
    ],
    ids=str,
)
def test_error_falls_and_is_that_of_what_is_returned(dense, params):
    model = GroupSparseNMF(6, init="random", random_state=0, **params)
    W = model.fit_transform(dense)
    curve = np.array(model.loss_curve_)
    assert len(curve) == model.n_iter_ + 1
    assert (np.diff(curve) <= 1e-9 * curve[0]).all()
    error = np.linalg.norm(dense - W @ model.components_)
    np.testing.assert_allclose(model.reconstruction_err_, error, rtol=1e-9)
    assert error <= curve.min() * (1.0 + 1e-9)
    assert curve[-1] < 0.9 * curve[0]


def test_more_iterations_are_no_worse(dense):
    """Of the iterates, the best is returned."""
    model = GroupSparseNMF(6, sparsity_W=0.7, sparsity_H=0.7, tol=0.0, random_state=0)
    errors = [
        model.set_params(max_iter=n_iter).fit(dense).reconstruction_err_
        for n_iter in (1, 5, 25)
    ]
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize("n_components", [3, 10, 20])
@pytest.mark.parametrize("init", ["random", "nndsvda"])
def test_unconstrained_agrees_with_scikit_learn(n_components, init):
    X, _ = load_digits(return_X_y=True)
    X = X[:300]
    params = {"init": init, "random_state": 0, "tol": 1e-5, "max_iter": 2000}
    ours = GroupSparseNMF(n_components, **params).fit(X)
    theirs = NMF(n_components, **params).fit(X)
    assert ours.reconstruction_err_ < 1.01 * theirs.reconstruction_err_


@pytest.mark.parametrize("seed", range(2))
def test_parts_without_noise_are_found(seed):
    """A level that the truth has leads to it; without, the error is larger."""
    X, H = make_parts(seed)
    level = hoyer_sparsity(H, axis=1).mean()
    params = {"tol": 1e-6, "max_iter": 1000, "random_state": 0}
    free = GroupSparseNMF(10, **params).fit(X)
    sparse_one = clone(free).set_params(sparsity_H=level).fit(X)
    assert relative_error(X, sparse_one) < 2e-4
    assert relative_error(X, sparse_one) < 0.5 * relative_error(X, free)
    assert similarity(sparse_one.components_, H) > 0.9999
    zeros = np.mean(sparse_one.components_ == 0.0)
    assert abs(zeros - np.mean(H == 0.0)) < 0.1
    assert np.mean(free.components_ == 0.0) < 0.2


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_error_is_below_that_of_penalties(noise):
    """scikit-learn's l1 penalty of the same Hoyer level fits worse."""
    X, H = make_parts(noise=noise)
    level = hoyer_sparsity(H, axis=1).mean()
    ours = GroupSparseNMF(10, sparsity_H=level, random_state=0).fit(X)
    low, high = 1e-5, 1.0
    for _ in range(12):
        alpha = np.sqrt(low * high)
        theirs = NMF(
            10, alpha_W=alpha, l1_ratio=1.0, init="random", random_state=0, max_iter=200
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            theirs.fit(X)
        reached = hoyer_sparsity(theirs.components_, axis=1).mean() >= level
        low, high = (low, alpha) if reached else (alpha, high)
    assert abs(hoyer_sparsity(theirs.components_, axis=1).mean() - level) < 0.02
    # The least squares coefficients: shrinkage is not held against a penalty.
    W = np.array([nnls(theirs.components_.T, x)[0] for x in X])
    theirs_error = np.linalg.norm(X - W @ theirs.components_)
    if noise == 0.0:
        assert ours.reconstruction_err_ < 0.1 * theirs_error
    else:
        assert ours.reconstruction_err_ < 0.99 * theirs_error
    assert similarity(ours.components_, H) > similarity(theirs.components_, H)


def test_group_finds_more_than_columns():
    """Where components differ in sparsity, one level for each of them is wrong."""
    X, H = make_parts(n_features=60)
    H[:5, :30] = 0.0
    X = np.random.default_rng(1).random((100, 10)) @ H
    level = hoyer_sparsity(H, axis=1).mean()
    group, column = (
        GroupSparseNMF(10, sparsity_H=level, mode=mode, random_state=0).fit(X)
        for mode in ("group", "column")
    )
    assert relative_error(X, group) < 0.1 * relative_error(X, column)


def test_custom_start_is_used_and_left_alone():
    X, H = make_parts()
    W = np.random.default_rng(0).random((100, 10))
    X = W @ H
    start = W.copy(), H.copy()
    model = GroupSparseNMF(init="custom").fit(X, W=W, H=H)
    assert model.n_components_ == 10
    # Sums of squares of X lose what is smaller than 1e-8 of it.
    assert model.reconstruction_err_ < 1e-12 * np.linalg.norm(X)
    np.testing.assert_array_equal(W, start[0])
    np.testing.assert_array_equal(H, start[1])
    np.testing.assert_allclose(similarity(model.components_, H), 1.0)


@pytest.mark.parametrize("params", [{}, {"sparsity_H": 0.5}, {"sparsity_W": 0.5}])
@pytest.mark.parametrize("convert", [sparse.csr_matrix, sparse.csc_array])
def test_sparse_equals_dense(params, convert):
    X, _ = make_parts(n_samples=50, n_features=30)
    X[X < 1.5] = 0.0
    model = GroupSparseNMF(4, random_state=0, **params)
    W = model.fit_transform(X)
    other = clone(model)
    np.testing.assert_allclose(other.fit_transform(convert(X)), W, atol=1e-6)
    np.testing.assert_allclose(other.components_, model.components_, atol=1e-6)
    np.testing.assert_allclose(
        other.reconstruction_err_, model.reconstruction_err_, rtol=1e-6
    )
    np.testing.assert_allclose(
        model.transform(convert(X)), model.transform(X), atol=1e-9
    )
    np.testing.assert_allclose(
        model.inverse_transform(convert(W)), model.inverse_transform(W)
    )


def test_entries_stored_in_parts_are_added():
    X, _ = make_parts(n_samples=50, n_features=30)
    X[X < 1.5] = 0.0
    whole = sparse.csr_array(X)
    parts = sparse.csr_array(
        (
            np.kron(whole.data, [0.99, 0.01]),
            np.repeat(whole.indices, 2),
            2 * whole.indptr,
        ),
        shape=X.shape,
    )
    model = GroupSparseNMF(4, sparsity_H=0.5, max_iter=20, tol=0.0, random_state=0)
    W = model.fit_transform(whole)
    other = clone(model)
    np.testing.assert_allclose(other.fit_transform(parts), W, atol=1e-9)
    np.testing.assert_allclose(other.loss_curve_, model.loss_curve_)
    assert parts.nnz == 2 * whole.nnz


def test_sparse_data_stay_sparse():
    """X has 100 million entries; not even a boolean array of them is made."""
    rng = np.random.default_rng(0)
    places = rng.integers(10_000, size=(2, 20_000))
    X = sparse.csr_array((rng.random(20_000), places), shape=(10_000, 10_000))
    tracemalloc.start()
    model = GroupSparseNMF(3, sparsity_H=0.8, max_iter=2, tol=0.0).fit(X)
    model.transform(X)
    assert tracemalloc.get_traced_memory()[1] < 2.5e7
    tracemalloc.stop()


@pytest.mark.parametrize("params", [{}, {"sparsity_H": 0.6}, {"sparsity_W": 0.6}])
def test_float32_is_kept(dense, params):
    X = dense.astype(np.float32)
    model = GroupSparseNMF(6, random_state=0, max_iter=20, tol=0.0, **params)
    W = model.fit_transform(X)
    assert W.dtype == model.components_.dtype == np.float32
    assert model.transform(X).dtype == np.float32
    assert model.inverse_transform(W).dtype == np.float32
    for name, factor in {"sparsity_H": model.components_.T, "sparsity_W": W}.items():
        if name in params:
            sparsity = hoyer_sparsity(factor.astype(np.float64)).mean()
            np.testing.assert_allclose(sparsity, params[name], **LEVEL)
    error = np.linalg.norm(
        X.astype(np.float64) - W.astype(np.float64) @ model.components_
    )
    np.testing.assert_allclose(model.reconstruction_err_, error, rtol=1e-6)
    in_double = clone(model).fit(dense)
    np.testing.assert_allclose(
        model.reconstruction_err_, in_double.reconstruction_err_, rtol=1e-3
    )


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [
        (np.float32, 1e30),
        (np.float32, 1e-30),
        (np.float64, 1e140),
        (np.float64, 1e-140),
    ],
)
def test_units_do_not_matter(dense, dtype, scale):
    """Nothing on the way over- or underflows where X does not."""
    model = GroupSparseNMF(4, sparsity_H=0.6, max_iter=5, tol=0.0, random_state=0)
    W = model.fit_transform(dense.astype(dtype)).astype(np.float64)
    expected = W @ model.components_
    W = model.fit_transform(dense.astype(dtype) * dtype(scale)).astype(np.float64)
    np.testing.assert_allclose(W / scale @ model.components_, expected, rtol=1e-2)


@pytest.mark.parametrize("init", ["nndsvd", "nndsvda", "nndsvdar"])
def test_start_does_not_depend_on_units(dense, init):
    model = GroupSparseNMF(4, init=init, max_iter=1, tol=0.0, random_state=0)
    expected = model.fit(dense).loss_curve_[0]
    for unit in (1e-140, 1e-3, 1e3, 1e140):
        start = model.fit(unit * dense).loss_curve_[0]
        np.testing.assert_allclose(start / unit, expected, rtol=1e-9)


def test_layout_does_not_matter(dense):
    model = GroupSparseNMF(4, sparsity_H=0.6, max_iter=5, tol=0.0, random_state=0)
    expected = model.fit(dense).components_
    frozen = dense.copy()
    frozen.setflags(write=False)
    strided = np.repeat(dense, 2, axis=1)[:, ::2]
    for X in (frozen, np.asfortranarray(dense), strided):
        found = model.fit(X).components_
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("factor", ["W", "H"])
def test_weights(factor, dense):
    """The weighted sparsity is met; heavier entries are used less."""
    n_entries = dense.shape["WH".index(factor)]
    weights = np.ones(n_entries)
    level = {f"sparsity_{factor}": 0.6}
    plain = GroupSparseNMF(6, random_state=0, **level).fit(dense)
    ones = GroupSparseNMF(6, random_state=0, **level, **{f"weights_{factor}": weights})
    np.testing.assert_array_equal(ones.fit(dense).components_, plain.components_)
    weights[: n_entries // 2] = 5.0
    model = GroupSparseNMF(6, random_state=0, **level)
    shares = []
    for value in (None, weights, list(weights[::-1])):
        model.set_params(**{f"weights_{factor}": value})
        found = factors(model, dense)[f"sparsity_{factor}"]
        column = None if value is None else np.asarray(value)[:, np.newaxis]
        level_found = hoyer_sparsity(found, axis=0, weights=column).mean()
        np.testing.assert_allclose(level_found, 0.6, atol=1e-6)
        shares.append(found[: n_entries // 2].sum() / found.sum())
    assert shares[1] < shares[0] < shares[2]


def test_series_of_weights_is_read_by_the_names_of_features(dense):
    frame = pd.DataFrame(dense).rename(columns="f{}".format)
    weights = pd.Series(np.linspace(1.0, 9.0, frame.shape[1]), index=frame.columns)
    options = {"n_components": 3, "sparsity_H": 0.6, "max_iter": 20, "tol": 0.0}
    fits = [
        GroupSparseNMF(**options, weights_H=given, random_state=0)
        for given in (weights.to_numpy(), weights[::-1])
    ]
    first, second = (fit.fit(frame).components_ for fit in fits)
    np.testing.assert_array_equal(first, second)
    with pytest.raises(ValueError, match="weights_H as a Series must have"):
        fits[1].fit(dense)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"weights_H": [1.0, 2.0]}, r"weights_H must have shape \(\d+,\), got \(2,\)"),
        ({"weights_W": [[1.0]]}, r"weights_W must have shape"),
        ({"weights_H": "negative"}, "weights_H must not be negative, and not all zero"),
        ({"weights_H": "zero"}, "weights_H must not be negative, and not all zero"),
        ({"weights_H": "nan"}, "Input weights_H contains NaN"),
        ({"weights_H": "one", "mode": "column"}, "weights_H must be None with mode="),
    ],
)
def test_unsuitable_weights(params, message, dense):
    values = {"negative": -1.0, "zero": 0.0, "nan": np.nan, "one": 1.0}
    params = {
        name: np.full(dense.shape[1], values[value]) if str(value) in values else value
        for name, value in params.items()
    }
    with pytest.raises(ValueError, match=message):
        GroupSparseNMF(3, sparsity_H=0.5, **params).fit(dense)
