"""GroupSparseNMF: partial_fit."""

import pickle

import numpy as np
import pytest
from nmf_helpers import make_parts
from scipy import sparse
from sklearn.base import clone
from sklearn.decomposition import MiniBatchNMF
from sklearn.utils import gen_batches

from skproj import GroupSparseNMF
from skproj.persistence import dump, load
from skproj.projection import hoyer_sparsity

LEVELS = [
    {},
    {"sparsity_H": 0.6},
    {"sparsity_H": 0.6, "mode": "column"},
    {"sparsity_H": 0.6, "weights_H": np.linspace(1.0, 2.0, 40)},
]


def error(model, X):
    return np.linalg.norm(X - model.inverse_transform(model.transform(X)))


def pass_over(model, X, size=20):
    for rows in gen_batches(len(X), size):
        model.partial_fit(X[rows])


def test_another_number_of_components_is_refused(dense):
    model = GroupSparseNMF(4, random_state=0).partial_fit(dense)
    before = model.components_.copy()
    with pytest.raises(ValueError, match=r"n_components must stay 4 .*, got 6"):
        model.set_params(n_components=6).partial_fit(dense)
    np.testing.assert_array_equal(model.components_, before)
    model.set_params(n_components="auto").partial_fit(dense)


@pytest.mark.parametrize(
    ("params", "forget_factor"),
    list(zip(LEVELS, [0.7, 0.0, 0.7, 0.0], strict=True)),
)
def test_the_same_batch_leads_to_what_fit_finds(dense, params, forget_factor):
    """The error falls with each call, to that of a minimum of `fit`."""
    model = GroupSparseNMF(
        4, forget_factor=forget_factor, init="nndsvda", random_state=0, **params
    )
    errors = [error(model.partial_fit(dense), dense) for _ in range(60)]
    assert (np.diff(errors) <= 1e-6 * errors[0]).all()
    fitted = clone(model).set_params(tol=1e-7, max_iter=5000).fit(dense)
    assert errors[-1] <= 1.01 * fitted.reconstruction_err_


@pytest.mark.parametrize("params", LEVELS)
def test_error_falls_with_passes_over_batches(params):
    X, _ = make_parts(noise=0.1, n_samples=200, n_features=40, n_components=5)
    model = GroupSparseNMF(5, init="random", random_state=0, **params)
    errors = []
    for _ in range(6):
        pass_over(model, X)
        errors.append(error(model, X))
    assert model.n_steps_ == 60
    assert errors[0] > errors[1] > errors[-1]
    fitted = clone(model).set_params(tol=1e-6, max_iter=2000).fit(X)
    assert errors[-1] < 1.1 * fitted.reconstruction_err_


def test_error_is_not_above_that_of_scikit_learn():
    X, _ = make_parts(noise=0.1, n_samples=200, n_features=40, n_components=5)
    ours = GroupSparseNMF(5, init="random", random_state=0)
    theirs = MiniBatchNMF(5, init="random", random_state=0)
    for _ in range(10):
        pass_over(ours, X)
        pass_over(theirs, X)
    assert error(ours, X) < error(theirs, X)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("mode", ["group", "column"])
def test_each_call_keeps_the_sparsity(dense, mode, dtype):
    model = GroupSparseNMF(6, sparsity_H=0.7, mode=mode, random_state=0)
    for rows in gen_batches(len(dense), 7):
        model.partial_fit(dense[rows].astype(dtype))
        sparsities = hoyer_sparsity(model.components_.astype(float), axis=1)
        met = sparsities.mean() if mode == "group" else sparsities.min()
        assert met >= 0.7 - 1e-7
        assert model.components_.dtype == dtype
        assert (model.components_ >= 0.0).all()


def test_sparsity_of_the_coefficients_of_a_batch(dense):
    """It changes the components, and needs no more than one sample."""
    models = [
        GroupSparseNMF(4, sparsity_W=level, init="random", random_state=0)
        for level in (None, 0.8)
    ]
    for model in models:
        pass_over(model, dense)
        model.partial_fit(dense[:1])
    free, bound = models
    assert not np.allclose(free.components_, bound.components_)
    weighted = clone(bound).set_params(weights_W=np.linspace(1.0, 3.0, 20))
    pass_over(weighted, dense)
    with pytest.raises(ValueError, match=r"weights_W must have shape \(5,\), got"):
        weighted.partial_fit(dense[:5])


def test_a_factor_of_0_forgets_all(dense):
    """Only the components are left of earlier batches."""
    model = GroupSparseNMF(4, forget_factor=0.0, init="random", random_state=0)
    model.set_params(sparsity_H=0.6).partial_fit(dense[:30])
    other = clone(model).set_params(init="custom")
    other.partial_fit(dense[30:], W=np.ones((30, 4)), H=model.components_)
    model.partial_fit(dense[30:])
    np.testing.assert_allclose(model.components_, other.components_, atol=1e-9)


def test_statistics_are_sums_of_those_of_batches(dense):
    """The scale of the coefficients is chosen anew with each batch."""
    model = GroupSparseNMF(3, forget_factor=0.4, random_state=0).fit(dense)
    gram, cross = np.zeros((3, 3)), np.zeros((40, 3))
    for rows in gen_batches(60, 15):
        W = model.transform(dense[rows])
        gram = 0.4 * gram + W.T @ W
        cross = 0.4 * cross + dense[rows].T @ W
        model.partial_fit(dense[rows])
        scales = np.sqrt(model.gram_.diagonal() / gram.diagonal())
        gram, cross = gram * np.outer(scales, scales), cross * scales
        np.testing.assert_allclose(model.gram_, gram, rtol=1e-9)
        np.testing.assert_allclose(model.cross_, cross, rtol=1e-9)


def test_a_small_factor_follows_a_change():
    old, _ = make_parts(0, n_features=40, n_components=5)
    new, _ = make_parts(1, n_features=40, n_components=5)
    errors = []
    for forget_factor in (0.5, 1.0):
        model = GroupSparseNMF(
            5, sparsity_H=0.3, forget_factor=forget_factor, random_state=0
        )
        for X in (old, new):
            for _ in range(5):
                pass_over(model, X)
        errors.append(error(model, new))
    assert errors[0] < 0.9 * errors[1]


@pytest.mark.parametrize("convert", [sparse.csr_array, sparse.csc_matrix])
def test_sparse_equals_dense(dense, convert):
    X = np.where(dense < 0.5, 0.0, dense)
    model = GroupSparseNMF(4, sparsity_H=0.6, init="random", random_state=0)
    other = clone(model)
    for rows in gen_batches(60, 20):
        model.partial_fit(X[rows])
        other.partial_fit(convert(X[rows]))
    np.testing.assert_allclose(other.components_, model.components_, atol=1e-8)


@pytest.mark.parametrize("X", [np.zeros((5, 8)), np.ones((1, 8)), np.ones((6, 1))])
def test_special_batches(X):
    model = GroupSparseNMF(2, sparsity_H=0.5, init="random", random_state=0)
    for _ in range(3):
        model.partial_fit(X)
    assert np.isfinite(model.components_).all()
    if X.any():
        assert error(model, X) < 0.8 * np.linalg.norm(X)
    else:
        assert model.components_.any()


def test_fit_and_partial_fit_after_one_another(dense):
    """Each leaves its own attributes only; partial_fit begins where fit ended."""
    model = GroupSparseNMF(4, sparsity_H=0.6, random_state=0, tol=1e-6, max_iter=2000)
    model.fit(dense)
    least = model.reconstruction_err_
    model.partial_fit(dense)
    assert not hasattr(model, "reconstruction_err_")
    assert model.n_steps_ == 1
    assert error(model, dense) < 1.001 * least
    model.check_state()
    model.fit(dense)
    assert not hasattr(model, "gram_")
    np.testing.assert_allclose(model.reconstruction_err_, least)
    model.check_state()


@pytest.mark.parametrize("how", ["pickle", "file"])
def test_a_saved_model_goes_on(dense, how, tmp_path):
    model = GroupSparseNMF(4, sparsity_H=0.6, random_state=0).partial_fit(dense[:30])
    if how == "pickle":
        other = pickle.loads(pickle.dumps(model))
    else:
        dump(model, tmp_path / "model.skops")
        other = load(tmp_path / "model.skops")
    for one in (model, other):
        one.partial_fit(dense[30:])
    np.testing.assert_array_equal(other.components_, model.components_)
    assert other.n_steps_ == 2


@pytest.mark.parametrize(
    ("params", "arguments", "message"),
    [
        ({"forget_factor": 1.5}, {}, "'forget_factor' parameter of GroupSparseNMF"),
        ({}, {"X": -np.ones((4, 40))}, "Negative values in data passed to X"),
        ({}, {"X": np.ones((4, 3))}, "X has 3 features, but GroupSparseNMF is expecti"),
        ({}, {"X": np.full((4, 40), 1e200)}, "too large or too small to compute with"),
        ({}, {"W": np.ones((4, 3))}, "W and H must be None after the first call"),
        ({"weights_H": [1.0]}, {}, r"weights_H must have shape \(40,\), got \(1,\)"),
    ],
)
def test_bad_input_changes_nothing(dense, params, arguments, message):
    model = GroupSparseNMF(3, random_state=0).partial_fit(dense)
    before = dict(vars(model))
    model.set_params(**params)
    with pytest.raises(ValueError, match=message):
        model.partial_fit(**({"X": np.ones((4, 40))} | arguments))
    for name in ("components_", "gram_", "cross_", "n_steps_"):
        assert vars(model)[name] is before[name]


def test_bad_input_to_the_first_call_fits_nothing(dense):
    model = GroupSparseNMF(3, init="custom")
    with pytest.raises(ValueError, match='init="custom" needs both W and H'):
        model.partial_fit(dense)
    assert not hasattr(model, "components_")
    assert not hasattr(model, "n_features_in_")
