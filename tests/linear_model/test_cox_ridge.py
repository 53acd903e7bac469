"""CoxRidge: its minimum, its hazard, and what it refuses."""

import numpy as np
import pytest
from cox_helpers import deviance_by_definition, make_times
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import minimize
from sklearn import config_context
from sklearn.model_selection import KFold, cross_validate

from skproj._kernels._cox import Cox
from skproj.datasets import make_survival
from skproj.linear_model import CoxRidge
from skproj.metrics import concordance_index_censored


@pytest.mark.parametrize("n_times", [None, 5])
@pytest.mark.parametrize("ties", ["breslow", "efron"])
@pytest.mark.parametrize("alpha", [None, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
def test_minimum_is_that_of_the_definition(ties, n_times, alpha, weighted):
    X, y = make_times(n_features=3, n_times=n_times)
    strength = 3.0 if alpha is None else alpha
    weight = np.random.default_rng(1).exponential(2.0, len(y)) if weighted else None
    own = weight if weighted else np.ones(len(y))

    def objective(coef):
        mean = deviance_by_definition(y, own, X @ coef, ties)
        return own.sum() * mean + 0.5 * strength * coef @ coef

    expected = minimize(objective, np.zeros(3), method="BFGS", options={"gtol": 1e-5})
    model = CoxRidge(alpha, ties=ties).fit(X, y, weight)
    assert_allclose(model.coef_, expected.x, atol=1e-5)
    risk = model.predict(X)
    assert_allclose(np.average(risk, weights=weight), 0.0, atol=1e-12)
    index = concordance_index_censored(
        y["event"], y["time"], risk, sample_weight=weight
    )
    assert model.score(X, y, weight) == index[0]


@pytest.mark.parametrize("n_times", [None, 5])
@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
def test_weights_count_as_repeated_or_absent_samples(n_times, make):
    """Also those of absent events, and of samples with the largest features."""
    X, y = make_times(n_features=3, n_times=n_times)
    counts = np.random.default_rng(1).integers(0, 4, len(y))
    X[0], counts[0], counts[y["time"].argmin()] = 1e9, 0, 0
    repeated = np.repeat(X, counts, axis=0), np.repeat(y, counts)
    expected = CoxRidge().fit(*repeated)
    model = CoxRidge().fit(make(X), y, counts)
    assert_allclose(model.coef_, expected.coef_, rtol=1e-6)
    assert_allclose(model.intercept_, expected.intercept_, rtol=1e-6)
    assert_array_equal(model.event_times_, expected.event_times_)
    times = np.quantile(y["time"], [0.1, 0.5, 0.9])
    found = model.predict_survival(X[1:], times)
    assert_allclose(found, expected.predict_survival(X[1:], times), rtol=1e-6)
    assert_allclose(model.score(make(X), y, counts), expected.score(*repeated))
    scaled = CoxRidge(alpha=3e6).fit(make(X), y, 1e6 * counts)
    assert_allclose(scaled.coef_, expected.coef_, rtol=1e-6)


def test_weights_are_routed():
    X, y = make_times(60, 3)
    weight, folds = np.random.default_rng(1).integers(0, 4, len(y)), KFold(3)
    with config_context(enable_metadata_routing=True):
        model = CoxRidge().set_fit_request(sample_weight=True)
        model = model.set_score_request(sample_weight=True)
        params = {"sample_weight": weight}
        found = cross_validate(model, X, y, cv=folds, params=params)["test_score"]
    for score, (train, test) in zip(found, folds.split(X), strict=True):
        fitted = CoxRidge().fit(X[train], y[train], weight[train])
        assert score == fitted.score(X[test], y[test], weight[test])


@pytest.mark.parametrize("n_times", [None, 5])
def test_survival_is_that_of_the_definition(n_times):
    X, y = make_times(n_times=n_times)
    model = CoxRidge().fit(X, y)
    risk = model.predict(X)
    times = np.array([0.0, 0.3, 1.0, 2.0, 100.0])
    expected = np.ones((len(X), len(times)))
    for column, limit in zip(expected.T, times, strict=True):
        for event, time in y:
            if event and time <= limit:
                at_risk = np.exp(risk[y["time"] >= time]).sum()
                column *= np.exp(-np.exp(risk) / at_risk)
    assert_allclose(model.predict_survival(X, times), expected, rtol=1e-10)


def test_survival_at_one_time_and_in_any_order():
    """Beyond the last event it stays; at zero, and before the first event, it is 1."""
    X, y = make_times()
    model = CoxRidge().fit(X, y)
    last = model.event_times_[-1]
    found = model.predict_survival(X, [last + 9.0, 0.3, last, 0.0, 0.3])
    assert_array_equal(found[:, [0, 1]], found[:, [2, 4]])
    assert_array_equal(found[:, 3], 1.0)
    for time in (0.3, np.float32(0.3), np.array(0.3), [0.3]):
        column = model.predict_survival(X, time)
        assert column.shape == (len(X), 1)
        assert_allclose(column, found[:, [1]])
    assert_array_equal(model.predict_survival(X, 0), np.ones((len(X), 1)))


def test_time_zero_is_a_time():
    X, y = make_times()
    y["time"] -= y["time"].min()
    assert CoxRidge().fit(X, y).predict_survival(X, 0.0).shape == (len(X), 1)
    y["time"] = 0.0
    model = CoxRidge().fit(X, y)
    assert_array_equal(model.event_times_, [0.0])


def test_numbers_alone_are_times_of_events():
    X, y = make_times()
    y["event"] = True
    coef = CoxRidge().fit(X, y["time"]).coef_
    assert_allclose(coef, CoxRidge().fit(X, y).coef_, rtol=1e-12)


def test_sparse_features_give_the_same():
    X, y = make_times()
    dense, other = CoxRidge().fit(X, y), CoxRidge().fit(sparse.csr_matrix(X), y)
    assert_allclose(other.coef_, dense.coef_, rtol=1e-6)
    assert_allclose(other.predict(sparse.csr_matrix(X)), dense.predict(X), rtol=1e-6)


def test_features_that_separate_are_survived():
    """Without a penalty no finite coefficient is best; probabilities stay finite."""
    _, y = make_times()
    X, y["event"] = -y["time"][:, np.newaxis], True
    model = CoxRidge(0.0).fit(X, y)
    assert np.isfinite(model.coef_).all()
    probabilities = model.predict_survival(1e6 * X, [0.0, 1.0])
    assert np.isfinite(probabilities).all()


def test_many_correlated_features_reach_the_minimum():
    """Of more than 800 the solver of the path would have no second derivatives."""
    rng = np.random.default_rng(0)
    X = 0.1 * rng.standard_normal((200, 900)) + 2.7 * rng.standard_normal((200, 1))
    _, y = make_times(200)
    model = CoxRidge().fit(X, y)
    weights = np.full(len(y), 1.0 / len(y))
    _, residuals = Cox(y, weights).value_and_residuals((X @ model.coef_)[:, None])
    gradient = X.T @ residuals[:, 0] + 900.0 / len(y) * model.coef_
    assert_allclose(gradient, 0.0, atol=1e-6)


def test_what_is_refused():
    X, y = make_times()
    fitted = CoxRidge().fit(X, y)
    before = fitted.coef_
    none = y.copy()
    none["event"] = False
    for wrong, weight in ((none, None), (y, ~y["event"])):
        with pytest.raises(ValueError, match="y must have an event"):
            fitted.fit(X, wrong, weight)
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_w"):
        fitted.fit(X, y, y["event"] - 0.5)
    assert fitted.coef_ is before
    with pytest.raises(ValueError, match=r"times of y must be finite"):
        CoxRidge().fit(X, -y["time"])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        CoxRidge().fit(X[1:], y)
    with pytest.raises(ValueError, match="alpha"):
        CoxRidge(-1.0).fit(X, y)
    for wrong, message in (
        ([np.nan], "times contains NaN"),
        (np.inf, "times contains infinity"),
        ([1.0, -2.0], r"times must not be negative, got -2\.0"),
        ([[1.0], [2.0]], r"times must be a number or a list, got shape \(2, 1\)"),
        ("soon", "could not convert"),
        ([], "0 sample"),
    ):
        with pytest.raises(ValueError, match=message):
            fitted.predict_survival(X, wrong)
    three = np.rec.fromarrays([y["event"], y["time"], y["time"]], names="a,b,c")
    for method in (fitted.fit, fitted.score):
        with pytest.raises(ValueError, match="y must be a structured array with two"):
            method(X, three)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("size", [1e30, 1e300])
def test_large_features_are_fitted(make, size):
    """As the same features in other units, whose penalty is too small to matter."""
    X, y = make_survival(n_samples=80, n_features=10, return_X_y=True, random_state=0)
    X, large = X[:, :3] * [1e6, 1.0, 1.0], X[:, :3] * [size, 1.0, 1.0]
    expected = CoxRidge().fit(X, y).predict(X)
    found = CoxRidge().fit(make(large), y)
    assert_allclose(found.predict(make(large)), expected, rtol=1e-4, atol=1e-5)
