"""Selectors with survival times."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import make_scorer
from sklearn.model_selection import KFold, StratifiedGroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skproj._kernels._cox import Cox
from skproj.blocks import open_blocks
from skproj.feature_selection import (
    ProjectionFeatureSelector,
    ProjectionFeatureSelectorCV,
    StabilitySelector,
    eta_path,
)
from skproj.linear_model import CoxRidge
from skproj.linear_model._fold_scores import PartialLikelihoodGain
from skproj.linear_model._losses import TIES
from skproj.utils._survival import DTYPE


def make_survival_data(n_samples=120, n_features=40, seed=0):
    """Return features, the first two of which matter, and times."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_samples, n_features))
    time = rng.exponential(np.exp(-1.5 * X[:, 0] + 1.5 * X[:, 1]))
    censored = rng.exponential(np.median(time) * 2, n_samples)
    y = np.empty(n_samples, dtype=DTYPE)
    y["event"], y["time"] = time <= censored, np.minimum(time, censored)
    return X, y


X, Y = make_survival_data()


@pytest.mark.parametrize("loss", ["auto", "cox", "cox_efron"])
def test_selector_finds_the_features(loss):
    """Fit, transform, coefficients in the units of the data and the certificate."""
    selector = ProjectionFeatureSelector(n_features_to_select=2, loss=loss).fit(X, Y)
    assert_array_equal(selector.get_support(indices=True), [0, 1])
    assert selector.transform(X).shape == (120, 2)
    assert selector.coef_.shape == (1, 40)
    assert selector.coef_[0, 0] > 0.0 > selector.coef_[0, 1]
    assert 0.0 <= selector.duality_gap_ < 3e-4
    assert_allclose(selector.intercept_, -(X @ selector.coef_.T).mean(axis=0))
    assert not hasattr(selector, "classes_")


@pytest.mark.parametrize("loss", ["cox", "cox_efron"])
def test_forced_features_and_groups(loss):
    """Age and sex stay outside of the ball, groups are kept or dropped together."""
    groups = np.repeat(np.arange(20), 2)
    params = {"always_keep": [3, 4], "feature_groups": groups, "loss": loss}
    selector = ProjectionFeatureSelector(eta=0.3, tol=1e-8, **params).fit(X, Y)
    assert_array_equal(selector.get_support(indices=True), [0, 1, 3, 4])
    assert selector.duality_gap_ < 1e-7
    tiny = ProjectionFeatureSelector(eta=1e-9, **params).fit(X, Y)

    def deviance(coef):
        cox = Cox(Y, np.full(len(Y), 1.0 / len(Y)), TIES[loss])
        return cox.value_and_residuals(X[:, [3, 4]] @ coef[:, np.newaxis])[0]

    best = minimize(deviance, np.zeros(2), tol=1e-12).x
    assert_allclose(tiny.coef_[0, [3, 4]], best, atol=1e-5)


def as_frame(y):
    return pd.DataFrame({"time": y["time"], "event": y["event"]})


def as_records(y):
    return np.rec.fromarrays([y["time"], y["event"].astype("u1")], names="time,event")


def as_pairs(y):
    return y.tolist()


# Others are those of `read_target`.
FORMS = [as_frame, as_pairs]
FIRST_TWO = SelectFromModel(CoxRidge(), max_features=2, threshold=-np.inf)
SELECTORS = {
    "radius": (ProjectionFeatureSelector(), "coef_"),
    "estimator": (ProjectionFeatureSelector(CoxRidge(), eta=1.0), "scores_"),
    "search": (ProjectionFeatureSelectorCV(3, random_state=0), "coef_"),
    "halves": (StabilitySelector(n_pairs=2, random_state=0), "supports_"),
    "decoys": (StabilitySelector(n_pairs=2, fdr=0.5, random_state=0), "scores_"),
    "others": (StabilitySelector(FIRST_TWO, n_pairs=1, random_state=0), "supports_"),
}


@pytest.mark.parametrize("name", SELECTORS)
@pytest.mark.filterwarnings("ignore:No feature is selected")
def test_survival_times_have_several_forms(name):
    """No form is a class for each row, and parts of the rows are read alike."""
    selector, attribute = SELECTORS[name]
    few, y = X[:60, :6], Y[:60]
    expected = getattr(clone(selector).fit(few, y), attribute)
    for convert in FORMS:
        fitted = clone(selector).fit(few, convert(y))
        assert not hasattr(fitted, "classes_")
        assert_allclose(getattr(fitted, attribute), expected, rtol=1e-4)


def test_weights_reach_the_estimator():
    few, counts = X[:60, :6], np.random.default_rng(0).integers(0, 3, 60)
    selector = ProjectionFeatureSelector(CoxRidge(), eta=1.0)
    found = clone(selector).fit(few, Y[:60], sample_weight=counts).scores_
    selector.fit(np.repeat(few, counts, axis=0), np.repeat(Y[:60], counts))
    assert_allclose(found, selector.scores_, rtol=1e-5)


@pytest.mark.parametrize("convert", FORMS)
def test_splits_and_paths_take_the_forms(convert):
    y, few = convert(Y), X[:, :4]
    path = eta_path(few, y, n_etas=3)
    assert_allclose(path.coefs, eta_path(few, Y, n_etas=3).coefs, rtol=1e-5)
    blocks = open_blocks(few, block_size=50)
    found = ProjectionFeatureSelectorCV(2, cv=2, random_state=0).fit(blocks, y)
    expected = ProjectionFeatureSelectorCV(2, cv=2, random_state=0).fit(blocks, Y)
    assert_allclose(found.coef_, expected.coef_, rtol=1e-5)
    scores = cross_val_score(CoxRidge(), few, y, cv=KFold(2))
    assert_allclose(scores, cross_val_score(CoxRidge(), few, Y, cv=KFold(2)))


THREE_FIELDS = np.rec.fromarrays([Y["event"], Y["time"], Y["time"]], names="e,t,entry")
TWO_NUMBERS = np.rec.fromarrays([Y["time"], Y["time"]], names="a,b")


@pytest.mark.parametrize("name", SELECTORS)
@pytest.mark.parametrize("y", [THREE_FIELDS, TWO_NUMBERS])
def test_other_structured_targets_are_refused(name, y):
    selector = clone(SELECTORS[name][0])
    with pytest.raises(ValueError, match="y must be a structured array with two"):
        selector.fit(X, y)


@pytest.mark.parametrize(
    "selector",
    [
        ProjectionFeatureSelector(loss="log_loss"),
        ProjectionFeatureSelectorCV(3, loss="squared_error"),
        ProjectionFeatureSelector(LogisticRegression(), eta=1.0),
        ProjectionFeatureSelector(make_pipeline(StandardScaler(), Ridge()), eta=1.0),
        StabilitySelector(SelectFromModel(LogisticRegression()), n_pairs=1),
    ],
)
@pytest.mark.parametrize("convert", [np.asarray, as_records])
def test_survival_times_are_no_labels_and_no_numbers(selector, convert):
    with pytest.raises(ValueError, match="needs a y of labels or numbers, got"):
        selector.fit(X, convert(Y))


def changed(field, value):
    y = Y.copy()
    y[field][3] = value
    return y


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.column_stack([Y["event"], Y["time"]]), r"got dtype float64 and shape \(12"),
        (Y["time"], r"y must be a structured array .* got dtype float64"),
        (changed("time", np.nan), r"finite and not negative, got nan in sample 3"),
        (changed("time", -1.0), r"finite and not negative, got -1.0 in sample 3"),
        (Y[:50], r"inconsistent numbers of samples"),
        (as_frame(Y).assign(event=3), r"booleans, 0 and 1, or 1 .* got \[3.0\]"),
        (as_frame(Y).assign(event="yes"), r"booleans, 0 and 1, or 1"),
        (as_frame(Y).assign(time="long"), r"times of y must be numbers"),
        (as_frame(Y).rename(columns={"time": "t"}) * 1.0, r"got DataFrame"),
        (list(range(120)), r"got list"),
        (None, r"requires y to be passed"),
    ],
)
def test_wrong_survival_times_are_refused(y, message):
    selector = ProjectionFeatureSelector(loss="cox")
    with pytest.raises(ValueError, match=message):
        selector.fit(X, y)
    assert not hasattr(selector, "coef_")


def test_events_are_needed_and_class_weights_refused():
    y = Y.copy()
    y["event"] = False
    for estimator in (ProjectionFeatureSelector, ProjectionFeatureSelectorCV):
        with pytest.raises(ValueError, match=r"loss='cox' needs at least one event"):
            estimator().fit(X, y)
    with pytest.raises(ValueError, match=r"class_weight is for classification"):
        ProjectionFeatureSelector(class_weight="balanced").fit(X, Y)


def test_named_scorers_are_refused():
    """None of them takes an array of two fields."""
    with pytest.raises(ValueError, match="scoring must be None or a function for surv"):
        ProjectionFeatureSelectorCV(3, scoring="r2").fit(X, Y)


def test_gain_of_partial_likelihood_is_that_of_the_definition():
    """All samples minus the training samples, for a unit of weight of the others."""
    weight = np.random.default_rng(0).uniform(0.0, 2.0, len(X))
    weight[:5] = 0.0
    test, train = np.arange(30), np.arange(30, 120)
    logits = X[:, :1]

    def log_likelihood(rows, values):
        total = 0.0
        for i in rows:
            if Y["event"][i] and weight[i]:
                at_risk = [j for j in rows if Y["time"][j] >= Y["time"][i]]
                mass = sum(weight[j] * np.exp(values[j, 0]) for j in at_risk)
                total += weight[i] * (values[i, 0] - np.log(mass))
        return total

    expected = 0.0
    for rows, sign in ((np.arange(120), 1.0), (train, -1.0)):
        gain = log_likelihood(rows, logits) - log_likelihood(rows, 0.0 * logits)
        expected += sign * gain / weight[test].sum()
    gain = PartialLikelihoodGain("cox", Y, (train, test), weight)
    assert_allclose(gain.gain(logits), expected, rtol=1e-10)
    assert gain.gain(0.0 * logits) == 0.0


def test_search_keeps_the_features_and_few_others():
    """The gain is that over equal hazards: near zero for the sparsest, best inside."""
    selector = ProjectionFeatureSelectorCV(
        10, keep_gain="one-standard-error", random_state=0
    ).fit(X, Y)
    assert selector.get_support()[:2].all()
    assert selector.get_support().sum() < 10
    assert selector.best_score_ > 0.1
    for i in range(5):
        assert np.isfinite(selector.cv_results_[f"split{i}_test_score"]).all()


def test_search_of_noise_gains_nothing():
    y = np.random.default_rng(3).permutation(Y)
    with pytest.warns(UserWarning, match="No feature is selected"):
        selector = ProjectionFeatureSelectorCV(5, random_state=0).fit(X, y)
    assert selector.eta_ == selector.best_score_ == 0.0


def test_search_takes_scorers_weights_groups_and_splitters():
    """The model of a scorer predicts the logarithm of the hazard."""
    seen = []

    def score(y_true, y_pred, sample_weight=None):
        seen.append((y_true.dtype, y_pred.ndim, sample_weight is None))
        if np.ptp(y_pred) == 0.0:
            return np.nan
        return np.corrcoef(y_true["time"], y_pred)[0, 1]

    selector = ProjectionFeatureSelectorCV(3, scoring=make_scorer(score), cv=3)
    selector.fit(X, Y)
    assert set(seen) == {(DTYPE, 1, True)}
    # The model without a feature has no such score.
    assert len(selector.etas_) == len(selector.path_.etas) == 2
    assert selector.etas_[0] == selector.cv_results_["param_eta"][0] > 0.0
    groups = np.arange(120) // 4
    weight = np.random.default_rng(0).integers(0, 3, 120).astype(float)
    for cv in (3, StratifiedGroupKFold(3)):
        selector = ProjectionFeatureSelectorCV(5, cv=cv)
        selector.fit(X, Y, sample_weight=weight, groups=groups)
        assert selector.get_support()[:2].all()


@pytest.mark.filterwarnings("ignore:No feature is selected")  # of three events
@pytest.mark.parametrize("event", [True, False])
def test_search_folds_need_no_event_and_no_censoring_in_each(event):
    """With fewer of a kind than folds, the folds are not stratified."""
    y = Y.copy()
    y["event"][:] = event
    y["event"][[1, 50, 90]] = not event
    selector = ProjectionFeatureSelectorCV(3, cv=5, random_state=0).fit(X, y)
    assert selector.n_splits_ == 5


def test_stability_selector_takes_survival_times():
    """The halves are stratified by the event; the baseline is the score test."""
    selector = StabilitySelector(
        ProjectionFeatureSelector(n_features_to_select=3), n_pairs=5, random_state=0
    )
    for y in (Y, as_frame(Y)):
        selector.fit(X, y)
        assert_array_equal(selector.get_support(indices=True), [0, 1])
        assert (selector.baseline_selection_probabilities_[:2] > 0.9).all()
    selector.fit(X, Y, groups=np.arange(120) // 3)
    assert_array_equal(selector.get_support(indices=True), [0, 1])
    y = Y.copy()
    y["event"] = True
    y["event"][0] = False
    assert StabilitySelector(n_pairs=1, random_state=0).fit(X, y).supports_.any()
