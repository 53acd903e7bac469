"""Counts, offsets, strata and nonnegative coefficients of the linear selectors."""

import re

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import clone, config_context
from sklearn.linear_model import (
    Lasso,
    LogisticRegression,
    PoissonRegressor,
)
from sklearn.metrics import log_loss, mean_poisson_deviance
from sklearn.model_selection import KFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skproj.blocks import RowBlocks
from skproj.feature_selection import (
    ProjectionFeatureSelector,
    ProjectionFeatureSelectorCV,
    StabilitySelector,
    eta_path,
)
from skproj.linear_model._targets import choose_loss

N_SAMPLES, N_FEATURES = 90, 6
FREE = {"eta": np.inf, "tol": 1e-9, "max_iter": 20000}


def make_options_data(kind, seed=0):
    """Return X, y, an offset and strata; what the offset adds is in y as well."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((N_SAMPLES, N_FEATURES))
    offset = rng.uniform(-1.0, 2.0, N_SAMPLES)
    strata = rng.choice(["a", "b", "c"], N_SAMPLES)
    logits = 0.6 * X[:, 0] - 0.4 * X[:, 1] + offset
    if kind == "poisson":
        y = rng.poisson(np.exp(logits))
    elif kind == "log_loss":
        y = np.where(rng.uniform(size=N_SAMPLES) < 1 / (1 + np.exp(-logits)), "+", "-")
    else:
        y = np.empty(N_SAMPLES, dtype=[("event", bool), ("time", float)])
        y["event"] = rng.uniform(size=N_SAMPLES) < 0.7
        y["time"] = np.ceil(10.0 * rng.exponential(np.exp(-logits)))  # with ties
    return X, y, offset, strata


def in_blocks(X):
    return RowBlocks(lambda: iter([X[:50], X[50:]]), X.shape)


def partial_likelihood(y, logits, strata):
    """Return the logarithm, with the ties of Breslow, as it is defined."""
    total = 0.0
    for event, time, logit, stratum in zip(*y_fields(y), logits, strata, strict=True):
        if event:
            at_risk = (y["time"] >= time) & (strata == stratum)
            total += logit - np.log(np.exp(logits[at_risk]).sum())
    return total


def y_fields(y):
    return y["event"], y["time"]


# ---------------------------------------------------------------------------
# Nonnegative coefficients


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array, in_blocks])
def test_positive_gives_the_nonnegative_lasso_of_the_same_norm(container):
    X, _, offset, _ = make_options_data("poisson")
    y = X @ [1.0, -2.0, 1.0, 0.0, 0.5, -0.5] + offset
    lasso = Lasso(alpha=0.1, positive=True, tol=1e-10).fit(X, y)
    selector = ProjectionFeatureSelector(
        eta=lasso.coef_.sum(), standardize=False, positive=True, tol=1e-10
    ).fit(container(X), y)
    assert_allclose(selector.coef_[0], lasso.coef_, atol=1e-6)
    assert_allclose(selector.intercept_[0], lasso.intercept_, atol=1e-6)
    assert_array_equal(selector.get_support(), lasso.coef_ > 0.0)


@pytest.mark.parametrize("projection", ["l12", "l1inf", "bilevel_l1inf"])
def test_searches_keep_coefficients_nonnegative(projection):
    X, y, offset, _ = make_options_data("poisson")
    options = {"projection": projection, "loss": "poisson", "positive": True}
    y = np.column_stack([y, y[::-1]])
    by_number = ProjectionFeatureSelector(n_features_to_select=3, **options)
    assert by_number.fit(X, y, offset=offset).get_support().sum() == 3
    search = ProjectionFeatureSelectorCV(6, cv=3, random_state=0, **options)
    search.fit(X, y, offset=offset)
    for coef in (by_number.coef_, search.coef_, search.path_.coefs):
        assert coef.min() == 0.0
        assert coef.max() > 0.0
    path = eta_path(X, y, etas=search.etas_, offset=offset, **options)
    assert_array_equal(path.coefs, search.path_.coefs)


# ---------------------------------------------------------------------------
# Counts, and offsets


def test_offsets_of_counts_are_exposures():
    """A count with an exposure is a rate with that weight, also of other packages."""
    X, y, offset, _ = make_options_data("poisson")
    exposure, shrinkage = np.exp(offset), 0.3
    selector = ProjectionFeatureSelector(
        loss="poisson", standardize=False, l2_reg=shrinkage, **FREE
    ).fit(X, y, offset=offset)
    model = PoissonRegressor(alpha=shrinkage / exposure.mean(), tol=1e-10)
    model.fit(X, y / exposure, sample_weight=exposure)
    assert_allclose(selector.coef_[0], model.coef_, atol=1e-6)
    assert_allclose(selector.intercept_[0], model.intercept_, atol=1e-6)
    options = {"eta": 0.5, "loss": "poisson", "standardize": False, "tol": 1e-11}
    counts, rates = (ProjectionFeatureSelector(**options) for _ in range(2))
    counts.fit(X, y, offset=offset)
    rates.fit(X, y / exposure, sample_weight=exposure)
    assert_allclose(counts.coef_, rates.coef_, atol=1e-5)


@pytest.mark.parametrize("loss", ["poisson", "log_loss", "cox", "cox_efron"])
def test_linear_offset_is_taken_off_the_coefficients(loss):
    X, y, _, strata = make_options_data(loss)
    known = np.array([0.2, 0.0, -0.3, 0.1, 0.0, 0.4])
    selector = ProjectionFeatureSelector(loss=loss, **FREE)
    strata = {"strata": strata} if loss.startswith("cox") else {}
    coef = selector.fit(X, y, **strata).coef_
    selector.fit(X, y, offset=X @ known, **strata)
    assert_allclose(selector.coef_[0], coef[0] - known, atol=1e-5)


def test_default_score_is_that_of_the_counts_left_out():
    X, y, offset, _ = make_options_data("poisson")
    weight = np.random.default_rng(1).integers(0, 3, N_SAMPLES).astype(float)
    fold = train, test = np.split(np.random.default_rng(2).permutation(N_SAMPLES), [60])
    options = {"loss": "poisson", "tol": 1e-8}
    search = ProjectionFeatureSelectorCV([0.2, 0.8], cv=[fold], **options)
    search.fit(X, y, weight, offset=offset)
    for eta, score in zip(
        search.etas_, search.cv_results_["split0_test_score"], strict=True
    ):
        model = ProjectionFeatureSelector(eta=eta, projection="l12", **options)
        model.fit(X[train], y[train], weight[train], offset=offset[train])
        logits = X[test] @ model.coef_[0] + model.intercept_ + offset[test]
        deviance = mean_poisson_deviance(
            y[test], np.exp(logits), sample_weight=weight[test]
        )
        assert_allclose(score, -0.5 * deviance, atol=1e-6)
    search.set_params(scoring="neg_mean_poisson_deviance")
    search.fit(X, y, weight, offset=offset)
    assert_allclose(search.cv_results_["split0_test_score"][1], -deviance, atol=1e-6)


def test_default_score_of_several_counts_is_the_mean():
    X, y, offset, _ = make_options_data("poisson")
    y = np.column_stack([y, 2 * y[::-1]])
    fold = train, test = np.arange(60), np.arange(60, N_SAMPLES)
    search = ProjectionFeatureSelectorCV([0.5], cv=[fold], loss="poisson", tol=1e-8)
    search.fit(X, y, offset=offset)
    model = ProjectionFeatureSelector(
        eta=0.5, projection="l12", loss="poisson", tol=1e-8
    ).fit(X[train], y[train], offset=offset[train])
    logits = X[test] @ model.coef_.T + model.intercept_ + offset[test, np.newaxis]
    deviances = map(mean_poisson_deviance, y[test].T, np.exp(logits).T)
    assert_allclose(search.best_score_, -0.5 * np.mean(list(deviances)), atol=1e-6)


@pytest.mark.parametrize("scoring", [None, "neg_log_loss"])
def test_scores_of_classes_have_the_offset(scoring):
    X, y, offset, _ = make_options_data("log_loss")
    fold = train, test = np.arange(60), np.arange(60, N_SAMPLES)
    search = ProjectionFeatureSelectorCV([0.5], cv=[fold], scoring=scoring, tol=1e-9)
    search.fit(X, y, offset=offset)
    model = ProjectionFeatureSelector(eta=0.5, projection="l12", tol=1e-9)
    model.fit(X[train], y[train], offset=offset[train])
    logits = X[test] @ model.coef_[0] + model.intercept_ + offset[test]
    assert model.classes_.tolist() == ["+", "-"]
    expected = -log_loss(y[test] == "-", 1.0 / (1.0 + np.exp(-logits)))
    assert_allclose(search.best_score_, expected, atol=1e-6)


def test_rates_out_of_range_have_a_finite_score():
    """The models say nothing about samples that are far from those they have seen."""
    X, y, _, _ = make_options_data("poisson")
    X[:2, 0] = 1e7, -1e7
    folds = [(np.arange(2, N_SAMPLES), [place]) for place in (0, 1)]
    search = ProjectionFeatureSelectorCV([0.1, 0.5], cv=folds, loss="poisson")
    search.fit(X, y)
    assert np.isfinite(search.cv_results_["std_test_score"]).all()


# ---------------------------------------------------------------------------
# Strata


@pytest.mark.parametrize("loss", ["cox", "cox_efron"])
def test_strata_without_common_features_are_separate_problems(loss):
    X, y, _, _ = make_options_data("cox")
    first = np.random.default_rng(1).uniform(size=N_SAMPLES) < 0.5
    both = np.hstack([np.where(own[:, np.newaxis], X, 0.0) for own in (first, ~first)])
    selector = ProjectionFeatureSelector(loss=loss, **FREE)
    coef = selector.fit(both, y, strata=np.where(first, "x", "y")).coef_[0]
    parts = [selector.fit(X[own], y[own]).coef_[0] for own in (first, ~first)]
    assert_allclose(coef, np.concatenate(parts), atol=1e-5)


def test_default_score_is_the_partial_likelihood_with_strata_and_offset():
    X, y, offset, strata = make_options_data("cox")
    fold = train, test = np.arange(60), np.arange(60, N_SAMPLES)
    search = ProjectionFeatureSelectorCV([0.4], cv=[fold], tol=1e-9)
    search.fit(X, y, offset=offset, strata=pd.Series(strata).astype("category"))
    model = ProjectionFeatureSelector(eta=0.4, projection="l12", tol=1e-9)
    model.fit(X[train], y[train], offset=offset[train], strata=strata[train])

    def left_out(logits):
        on_all = partial_likelihood(y, logits, strata)
        on_train = partial_likelihood(y[train], logits[train], strata[train])
        return (on_all - on_train) / len(test)

    gain = left_out(X @ model.coef_[0] + offset) - left_out(offset)
    assert_allclose(search.best_score_, gain, atol=1e-6)


# ---------------------------------------------------------------------------
# Rows


@pytest.mark.parametrize("loss", ["poisson", "log_loss", "cox"])
@pytest.mark.parametrize("container", [np.asarray, in_blocks])
def test_samples_of_weight_zero_are_absent(loss, container):
    X, y, offset, strata = make_options_data(loss)
    weight = np.random.default_rng(1).integers(0, 3, N_SAMPLES).astype(float)
    rows = {"offset": offset} | ({"strata": strata} if loss == "cox" else {})
    search = ProjectionFeatureSelectorCV([0.2, 0.5], cv=3, loss=loss, random_state=0)
    search.fit(container(X), y, weight, **rows)
    kept = weight > 0.0
    selector = ProjectionFeatureSelector(eta=search.eta_, projection="l12", loss=loss)
    rows = {name: values[kept] for name, values in rows.items()}
    selector.fit(X[kept], y[kept], weight[kept], **rows)
    assert_allclose(search.coef_, selector.coef_, atol=1e-4)


def test_halves_have_their_own_offsets():
    X, y, offset, _ = make_options_data("poisson")
    selector = ProjectionFeatureSelector(loss="poisson", n_features_to_select=2)
    stable = StabilitySelector(selector, n_pairs=5, stratify=False, random_state=0)
    weight = (np.arange(N_SAMPLES) % 10 > 0).astype(float)
    stable.fit(X, y, offset=offset, sample_weight=weight)
    assert_array_equal(stable.get_support(indices=True), [0, 1])


def test_offset_and_strata_are_routed():
    X, y, offset, strata = make_options_data("cox")
    rows = {"offset": offset, "strata": strata}
    expected = ProjectionFeatureSelector(eta=0.5).fit(X, y, **rows)
    search = ProjectionFeatureSelectorCV([0.2, 0.5], random_state=0)
    chosen = search.fit(X, y, **rows).best_score_
    supports = StabilitySelector(n_pairs=2, random_state=0).fit(X, y, **rows).supports_
    with config_context(enable_metadata_routing=True):
        request = dict.fromkeys(rows, True)
        selector = ProjectionFeatureSelector(eta=0.5).set_fit_request(**request)
        pipeline = make_pipeline(StandardScaler(), selector).fit(X, y, **rows)
        assert_allclose(pipeline[-1].scores_, expected.scores_, atol=1e-4)
        scores = {"scoring": lambda model, X, y: model[-1].coef_[0, 0]}
        found = cross_validate(pipeline, X, y, params=rows, cv=KFold(2), **scores)
        for (train, _), score in zip(
            KFold(2).split(X), found["test_score"], strict=True
        ):
            own = {name: values[train] for name, values in rows.items()}
            half = clone(pipeline).fit(X[train], y[train], **own)
            assert_allclose(half[-1].coef_[0, 0], score, rtol=1e-10)
        search.set_fit_request(**request)
        pipeline = make_pipeline(StandardScaler(), search).fit(X, y, **rows)
        assert_allclose(pipeline[-1].best_score_, chosen, atol=1e-4)
        stable = StabilitySelector(n_pairs=2, random_state=0).fit(X, y, **rows)
        assert_array_equal(stable.supports_, supports)


# ---------------------------------------------------------------------------
# Input


def bad_inputs():
    """Return kinds of data, arguments of `fit`, and messages."""
    X, y, offset, strata = make_options_data("poisson")
    short, missing = offset[1:], np.where(np.arange(N_SAMPLES) == 3, np.nan, offset)
    what = "offset must have 90 finite numbers, one for each sample"
    return [
        ("poisson", {"offset": short}, f"{what}, got 89."),
        ("poisson", {"offset": missing}, f"{what}, got nan in sample 3."),
        ("poisson", {"offset": offset.astype(str)}, f"{what}, without missing"),
        ("poisson", {"offset": X}, f"{what}, .* got float64 of shape (90, 6)."),
        ("cox", {"strata": strata[1:]}, "strata must have shape (90,), .* (89,)."),
        ("cox", {"strata": missing}, "strata must be of one type, without missing"),
        ("poisson", {"strata": strata}, "strata are for .* got loss='poisson'."),
        ("poisson", {"y": y - 1.0}, "loss='poisson' needs .* got numbers from -1 to"),
        ("poisson", {"y": 0.0 * y}, "loss='poisson' needs .* got numbers from 0 to 0."),
        ("poisson", {"y": np.full(90, "many")}, "y must have numbers"),
        ("squared_error", {"offset": offset}, "offset is for .* loss='squared_error'."),
        ("huber", {"offset": offset}, "offset is for .* got loss='huber'."),
        (
            "log_loss",
            {"offset": offset, "y": np.arange(90) % 3},
            "offset is for .* got loss='log_loss' for 3 classes or labels.",
        ),
    ]


@pytest.mark.parametrize(("loss", "changes", "message"), bad_inputs())
@pytest.mark.parametrize("search", [False, True])
def test_bad_rows_are_refused(loss, changes, message, search):
    X, y, _, _ = make_options_data("poisson" if loss != "cox" else "cox")
    selector = ProjectionFeatureSelectorCV if search else ProjectionFeatureSelector
    selector = selector(loss=loss)
    pattern = ".*".join(map(re.escape, message.split(".*")))
    with pytest.raises(ValueError, match=pattern):
        selector.fit(X, **({"y": y} | changes))
    assert not hasattr(selector, "coef_")
    with pytest.raises(ValueError, match=pattern):
        eta_path(X, loss=loss, **({"y": y} | changes))


@pytest.mark.parametrize(
    ("parameters", "rows"),
    [({"positive": True}, {}), ({}, {"offset": 0}), ({}, {"strata": 1})],
)
def test_estimators_have_none_of_the_options(parameters, rows):
    X, y, *values = make_options_data("log_loss")
    (name,) = parameters or rows
    rows = {key: values[place] for key, place in rows.items()}
    selector = ProjectionFeatureSelector(LogisticRegression(), **parameters)
    with pytest.raises(ValueError, match=f"{name} is for the linear model and cannot"):
        selector.fit(X, y, **rows)


def test_positive_needs_a_ball_by_name():
    X, y, *_ = make_options_data("log_loss")

    def projection(W, radius, axis=1):
        return W

    for kind in (ProjectionFeatureSelector, ProjectionFeatureSelectorCV):
        selector = kind(projection=projection, positive=True)
        with pytest.raises(ValueError, match="positive=True needs the name of a proj"):
            selector.fit(X, y)


def test_auto_never_takes_counts():
    _, y, *_ = make_options_data("poisson")
    assert choose_loss("auto", y) == "log_loss"
    assert choose_loss("auto", y / 7.0) == "squared_error"
