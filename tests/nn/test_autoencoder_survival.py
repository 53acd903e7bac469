"""SparseSupervisedAutoencoderRegressor(loss="cox"): survival times."""

import copy
import functools

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.preprocessing import StandardScaler

from skproj import (
    SparseMLPClassifier,
    SparseMLPRegressor,
    SparseSupervisedAutoencoder,
    SparseSupervisedAutoencoderCV,
    SparseSupervisedAutoencoderRegressor,
    persistence,
)
from skproj.datasets import make_survival
from skproj.linear_model import CoxRidge
from skproj.linear_model._cox import breslow
from skproj.metrics import concordance_index_censored
from skproj.nn._training._objectives import proportional_hazards
from skproj.utils._survival import DTYPE

SMALL = {"hidden_layer_sizes": (20,), "max_epochs": 5, "random_state": 0}


def make_trial(n_samples=120):
    X, y = make_survival(
        n_samples=n_samples, n_features=10, return_X_y=True, random_state=0
    )
    return StandardScaler().fit_transform(X), y


def make_products(n_samples, seed):
    """Return survival times with a hazard of products, which no linear model finds."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, 60))
    log_hazard = 2.0 * (X[:, 0] * X[:, 1] + X[:, 2] * X[:, 3])
    y = np.empty(n_samples, dtype=DTYPE)
    y["time"] = rng.exponential(1.0, n_samples) * np.exp(-log_hazard)
    end = rng.exponential(3.0 * np.median(y["time"]), n_samples)
    y["event"] = y["time"] <= end
    y["time"] = np.minimum(y["time"], end)
    return X, y


def fit(X, y, loss="cox", **parameters):
    model = SparseSupervisedAutoencoderRegressor(loss=loss, **SMALL)
    sample_weight = parameters.pop("sample_weight", None)
    return model.set_params(**parameters).fit(X, y, sample_weight=sample_weight)


def test_gradient_is_that_of_the_loss():
    rng = np.random.default_rng(0)
    target = torch.tensor(np.column_stack([rng.random(9) < 0.5, rng.random(9)]))
    output = torch.tensor(rng.normal(size=(9, 1)), requires_grad=True)
    losses, gradient = proportional_hazards(output, target)
    (expected,) = torch.autograd.grad(losses.sum(), output)
    assert_allclose(gradient.detach(), expected)
    risk, (event, hazard) = output[:, 0], target.T
    assert_allclose(losses.detach(), (hazard * risk.exp() - event * risk).detach())


def test_hazard_of_equal_risks_is_that_of_nelson_and_aalen():
    _, y = make_trial()
    weight = np.arange(len(y)) % 3 + 1.0
    times, log_hazard = breslow(y, np.zeros(len(y)), weight)
    expected = 0.0
    for time, value in zip(times, log_hazard, strict=True):
        at_risk = weight[y["time"] >= time].sum()
        expected += weight[y["event"] & (y["time"] == time)].sum() / at_risk
        assert_allclose(np.exp(value), expected)


def test_hazards_of_products_are_found():
    X, y = make_products(1000, 0)
    model = SparseSupervisedAutoencoderRegressor(
        n_features_to_select=4, loss="cox", random_state=0
    ).fit(X[:700], y[:700])
    assert_array_equal(model.get_support(indices=True), np.arange(4))
    linear = CoxRidge().fit(X[:700, :4], y[:700])
    assert linear.score(X[700:, :4], y[700:]) < 0.6
    assert model.score(X[700:], y[700:]) > 0.75


@pytest.mark.parametrize("schedule", ["consensus", "double", "single"])
def test_predictions(schedule):
    X, y = make_trial()
    model = fit(X, y, schedule=schedule, eta=2.0)
    risk = model.predict(X)
    assert_allclose(risk.mean(), 0.0, atol=1e-6)
    index = concordance_index_censored(y["event"], y["time"], risk)[0]
    assert model.score(X, y) == index > 0.6
    times = np.quantile(y["time"], [0.0, 0.3, 0.6, 1.0])
    probability = model.predict_survival(X, [*times, 0.0])
    assert_array_equal(probability[:, -1], 1.0)
    assert_array_equal(model.predict_survival(X, times[1]), probability[:, [1]])
    assert (np.diff(probability[:, :-1], axis=1) <= 0.0).all()
    # As many events are expected as were seen.
    log_hazards = np.append(-np.inf, model.log_cumulative_hazard_)
    place = np.searchsorted(model.event_times_, y["time"], side="right")
    expected = np.exp(risk + log_hazards[place]).sum()
    assert_allclose(expected, y["event"].sum(), rtol=1e-5)


def test_forms_of_the_same_samples():
    X, y = make_trial()
    expected = fit(X, y).predict(X)
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"time": y["time"], "event": y["event"].astype(int)})
    codes = np.rec.fromarrays([y["time"], y["event"] + 1], names="days,status")
    for other in (frame, codes, y.tolist()):
        assert_array_equal(fit(X, other).predict(X), expected)
    dense = fit(sparse.csr_matrix(X), y).predict(X)
    assert_allclose(dense, expected, atol=1e-5)
    order = np.random.default_rng(0).permutation(len(y))
    assert_array_equal(fit(X[order], y[order]).predict(X), expected)
    twice = fit(np.vstack([X, X]), np.concatenate([y, y])).predict(X)
    weight = np.full(len(y), 2.0)
    assert_allclose(fit(X, y, sample_weight=weight).predict(X), twice, atol=1e-6)
    y["event"] = True
    model = fit(X, y)
    assert_array_equal(fit(X, y["time"]).predict(X), model.predict(X))
    counts = np.arange(len(y)) % 3
    found = model.score(X, y, counts)
    assert_allclose(found, model.score(np.repeat(X, counts, 0), np.repeat(y, counts)))


def test_saved_and_refitted_with_another_loss(tmp_path):
    X, y = make_trial()
    model = fit(X, y)
    persistence.dump(model, tmp_path / "model.skops")
    loaded = persistence.load(tmp_path / "model.skops")
    for copied in (loaded, copy.deepcopy(model)):
        probability = copied.predict_survival(X, [0.1, 0.5])
        assert_array_equal(probability, model.predict_survival(X, [0.1, 0.5]))
    model.set_params(loss="squared_error").fit(X, y["time"])
    assert not hasattr(model, "event_times_")
    assert not hasattr(model, "predict_survival")
    assert model.score(X, y["time"]) <= 1.0


def test_what_is_refused():
    X, y = make_trial()
    model = SparseSupervisedAutoencoderRegressor(loss="cox", **SMALL)
    with pytest.raises(ValueError, match=r"times of y must be finite and not negative"):
        model.fit(X, -y["time"])
    censored = y.copy()
    censored["event"] = False
    with pytest.raises(ValueError, match="y must have an event"):
        model.fit(X, censored)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(X[1:], y)
    assert not hasattr(model, "module_")
    assert not hasattr(model, "partial_fit")


@pytest.mark.parametrize(
    "model",
    [
        SparseMLPClassifier(alpha=0.0, **SMALL),
        SparseMLPRegressor(alpha=0.0, **SMALL),
        SparseSupervisedAutoencoder(schedule="single", **SMALL),
        SparseSupervisedAutoencoderCV(**SMALL),
        SparseSupervisedAutoencoderRegressor(schedule="single", **SMALL),
    ],
)
def test_other_networks_refuse_structured_targets(model):
    """They would fit a class for each row."""
    X, y = make_trial(40)
    codes = np.rec.fromarrays([y["time"], y["event"] * 1], names="time,event")
    three = np.rec.fromarrays([y["time"], y["time"], y["time"]], names="a,b,c")
    methods = [model.fit]
    if hasattr(model, "partial_fit"):
        methods.append(
            functools.partial(model.partial_fit, classes=[0, 1])
            if is_classifier(model)
            else model.partial_fit
        )
        methods.append(model.score)
    for method in methods:
        for target in (y, codes):
            with pytest.raises(ValueError, match="needs a y of labels or numbers, got"):
                method(X, target)
        with pytest.raises(ValueError, match="y must be a structured array with two"):
            method(X, three)
