"""CoxRidge: its minimum, its hazard, and what it refuses."""

import numpy as np
import pytest
from cox_helpers import deviance_by_definition, make_times
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.optimize import minimize

from skproj.datasets import make_survival
from skproj.linear_model import CoxRidge
from skproj.metrics import concordance_index_censored


@pytest.mark.parametrize("n_times", [None, 5])
@pytest.mark.parametrize("ties", ["breslow", "efron"])
@pytest.mark.parametrize("alpha", [None, 0.3])
def test_minimum_is_that_of_the_definition(ties, n_times, alpha):
    X, y = make_times(n_features=3, n_times=n_times)
    strength = 3.0 if alpha is None else alpha

    def objective(coef):
        mean = deviance_by_definition(y, np.ones(len(y)), X @ coef, ties)
        return len(y) * mean + 0.5 * strength * coef @ coef

    expected = minimize(objective, np.zeros(3), method="BFGS", options={"gtol": 1e-5})
    model = CoxRidge(alpha, ties=ties).fit(X, y)
    assert_allclose(model.coef_, expected.x, atol=1e-5)
    assert_allclose(model.predict(X).mean(), 0.0, atol=1e-12)
    assert model.score(X, y) == concordance_index_censored(y, X @ model.coef_)


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


def test_what_is_refused():
    X, y = make_times()
    fitted = CoxRidge().fit(X, y)
    before = fitted.coef_
    none = y.copy()
    none["event"] = False
    with pytest.raises(ValueError, match="y must have an event"):
        fitted.fit(X, none)
    assert fitted.coef_ is before
    with pytest.raises(ValueError, match=r"times of y must be finite"):
        CoxRidge().fit(X, -y["time"])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        CoxRidge().fit(X[1:], y)
    with pytest.raises(ValueError, match="alpha"):
        CoxRidge(-1.0).fit(X, y)
    with pytest.raises(ValueError, match="times"):
        fitted.predict_survival(X, [np.nan])


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("size", [1e30, 1e300])
def test_large_features_are_fitted(make, size):
    """As the same features in other units, whose penalty is too small to matter."""
    X, y = make_survival(n_samples=80, n_features=10, return_X_y=True, random_state=0)
    X, large = X[:, :3] * [1e6, 1.0, 1.0], X[:, :3] * [size, 1.0, 1.0]
    expected = CoxRidge().fit(X, y).predict(X)
    found = CoxRidge().fit(make(large), y)
    assert_allclose(found.predict(make(large)), expected, rtol=1e-4, atol=1e-5)
