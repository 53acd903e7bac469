"""The folds of the search: shuffled, and with groups kept together."""

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    LeaveOneOut,
    StratifiedKFold,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skproj import ProjectionFeatureSelector, ProjectionFeatureSelectorCV
from skproj.feature_selection import eta_path
from skproj.linear_model._fold_scores import FoldScores, pool_scores
from skproj.utils._stability import stability_index

WINE = load_wine(return_X_y=True)
ETAS = np.array([0.05, 0.3, 1.0, 3.0])


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("cv", [3, GroupKFold(3)], ids=["number", "splitter"])
def test_cv_keeps_groups_together(cv, routing):
    """Groups are taken with and without metadata routing, in a pipeline too."""
    X, y = WINE
    groups = np.arange(len(y)) // 3
    held_back = []

    def scorer(model, X_test, y_test):
        held_back.append({tuple(row) for row in X_test})
        return 0.0

    selector = ProjectionFeatureSelectorCV([1.0], cv=cv, scoring=scorer, random_state=0)
    with sklearn.config_context(enable_metadata_routing=routing):
        selector.fit(X, y, groups=groups)
        if routing:
            model = make_pipeline(selector, StandardScaler(), LogisticRegression())
            model.fit(X, y, groups=groups)
    assert len(held_back) == (6 if routing else 3)
    for group in np.unique(groups):
        rows = {tuple(row) for row in X[groups == group]}
        assert all(rows <= fold or not rows & fold for fold in held_back)


def test_cv_of_groups_is_not_fooled_by_repeated_rows():
    """Rows that repeat a patient with random labels predict each other only."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 4)
    X = rng.standard_normal((30, 40))[groups] + 0.1 * rng.standard_normal((120, 40))
    y = rng.permutation(np.arange(30) % 2)[groups]
    options = {"scoring": "accuracy", "random_state": 0}
    alone = ProjectionFeatureSelectorCV(8, **options).fit(X, y)
    with pytest.warns(UserWarning, match="No feature is selected"):
        grouped = ProjectionFeatureSelectorCV(8, **options).fit(X, y, groups=groups)
    assert alone.best_score_ > 0.9
    assert grouped.best_score_ < 0.7


def test_cv_does_not_depend_on_the_order_of_rows():
    """Rows that are sorted by class or by batch score like shuffled ones."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 60)
    batch = np.tile(np.repeat(np.arange(4), 15), 2)
    X = rng.standard_normal((120, 20))
    X[:, 0] += 2.0 * y
    X[:, 1] += 3.0 * batch  # what is learned without a batch does not hold in it
    X[:, 0] += 3.0 * batch
    scores = [
        ProjectionFeatureSelectorCV(ETAS, scoring="accuracy", random_state=0)
        .fit(X[order], y[order])
        .best_score_
        for order in (np.argsort(y), np.lexsort((y, batch)), rng.permutation(120))
    ]
    assert max(scores) - min(scores) < 0.05


@pytest.mark.parametrize(
    ("groups", "message"),
    [(np.zeros(5), r"groups must have shape \(178,\)"), (np.zeros(178), r"cv=5")],
)
def test_cv_refuses_bad_groups(groups, message):
    """A fit before stays as it was."""
    selector = ProjectionFeatureSelectorCV([1.0]).fit(*WINE)
    before = selector.coef_
    with pytest.raises(ValueError, match=message):
        selector.fit(*WINE, groups=groups)
    assert selector.coef_ is before


# ------------------------------------------------- what the search says of its folds


def test_cv_reports_how_stable_the_selection_is():
    """Frequencies are those of fits of the folds, substitutes those of the data."""
    X, y = load_wine(return_X_y=True, as_frame=True)
    X["copy"] = X["proline"] + 1e-3 * X["hue"]
    folds = [
        (train, test)
        for train, test in StratifiedKFold(4, shuffle=True, random_state=0).split(X, y)
    ]
    # Which of two almost equal columns is kept is a matter of accuracy.
    selector = ProjectionFeatureSelectorCV(ETAS, cv=folds, tol=1e-10).fit(X, y)
    kept = [
        ProjectionFeatureSelector(eta=selector.eta_, projection="l12", tol=1e-10)
        .fit(X.iloc[train], y.iloc[train])
        .get_support()
        for train, _ in folds
    ]
    assert_allclose(selector.selection_frequency_, np.mean(kept, axis=0))
    stability, interval = stability_index(np.array(kept))
    assert_allclose(selector.stability_, stability)
    assert_allclose(selector.stability_interval_, interval)
    assert set(selector.substitutes_) == set(selector.get_feature_names_out())
    found = selector.substitutes_.get("proline") or selector.substitutes_["copy"]
    assert {name for name, _ in found} <= {"proline", "copy"}
    assert found[0][1] > 0.999


def test_cv_substitutes_of_arrays_are_indices():
    """Without names columns are numbered; weights count."""
    X, y = WINE
    X = np.column_stack([X, -X[:, 6]])
    X[:30, 13] *= -1.0
    weight = np.where(np.arange(len(y)) < 30, 0.0, 1.0)
    selector = ProjectionFeatureSelectorCV([5.0], random_state=0)
    for column, found in selector.fit(X, y).substitutes_.items():
        assert not found or {column, found[0][0]} != {6, 13}
    found = selector.fit(X, y, sample_weight=weight).substitutes_
    pairs = {6: 13, 13: 6}  # any share of the two is a minimum, or one of them alone
    assert pairs.keys() & found.keys()
    for column in pairs.keys() & found.keys():
        assert found[column][0] == (pairs[column], -1.0)


# -------------------------------------------------------------- choice of the penalty


def test_cv_chooses_the_ridge_penalty():
    """The rows of the table are those of searches with a single penalty."""
    X, y = WINE
    l2_regs = [0.0, 0.1, 10.0]
    both = ProjectionFeatureSelectorCV(ETAS, l2_reg=l2_regs, random_state=0).fit(X, y)
    results = both.cv_results_
    assert_array_equal(results["param_l2_reg"], np.repeat(l2_regs, len(ETAS)))
    for l2_reg in l2_regs:
        one = ProjectionFeatureSelectorCV(ETAS, l2_reg=l2_reg, random_state=0)
        one.fit(X, y)
        assert_array_equal(
            results["mean_test_score"][results["param_l2_reg"] == l2_reg],
            one.cv_results_["mean_test_score"],
        )
        if l2_reg == both.l2_reg_:
            assert_array_equal(one.coef_, both.coef_)
    assert results["params"][both.best_index_] == {
        "eta": both.eta_,
        "l2_reg": both.l2_reg_,
    }
    assert both.best_score_ == results["mean_test_score"].max()


def test_cv_sparser_rule_stays_with_the_penalty():
    """One standard error is spent on the radius only."""
    data = load_breast_cancer(return_X_y=True)
    options = {"l2_reg": [0.0, 0.1], "random_state": 0}
    etas = np.geomspace(1.0, 30.0, 12)
    best = ProjectionFeatureSelectorCV(etas, keep_gain=1.0, **options).fit(*data)
    for keep_gain in ("one-standard-error", 0.95):
        sparser = ProjectionFeatureSelectorCV(etas, keep_gain=keep_gain, **options)
        sparser.fit(*data)
        assert sparser.l2_reg_ == best.l2_reg_
        assert sparser.eta_ < best.eta_


@pytest.mark.parametrize("l2_reg", [[], [-1.0], [np.nan], [np.inf], "much", -1.0])
def test_cv_refuses_bad_penalties(l2_reg):
    with pytest.raises(ValueError, match=r"l2_reg"):
        ProjectionFeatureSelectorCV(ETAS, l2_reg=l2_reg).fit(*WINE)


def test_selector_with_ridge_keeps_copies():
    """Equal features share their weight, and the selection keeps all of them."""
    X, y = WINE
    X = np.column_stack([X, X[:, 6]])
    options = {"eta": 1.0, "tol": 1e-9, "max_iter": 20000}
    selector = ProjectionFeatureSelector(l2_reg=0.5, **options).fit(X, y)
    assert selector.get_support()[[6, 13]].all()
    assert_allclose(selector.coef_[:, 13], selector.coef_[:, 6], rtol=1e-3)


def make_regression(n_targets):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((24, 5))
    Y = X[:, :2] + 0.5 * rng.standard_normal((24, 2))
    return X, Y[:, 0] if n_targets == 1 else Y


@pytest.mark.parametrize("scoring", [None, "r2"])
@pytest.mark.parametrize("n_targets", [1, 2])
@pytest.mark.parametrize("cv", [LeaveOneOut(), 24], ids=["splitter", "number"])
def test_score_of_single_samples_is_that_of_all_predictions(cv, n_targets, scoring):
    """R2 of a single sample is not defined."""
    X, y = make_regression(n_targets)
    options = {"loss": "squared_error", "projection": "l12"}
    predictions = np.empty((len(ETAS), *y.shape))
    for test in range(len(y)):
        train = np.arange(len(y)) != test
        path = eta_path(X[train], y[train], etas=ETAS, **options)
        found = path.coefs @ X[test] + path.intercepts
        predictions[:, test] = found if n_targets == 2 else found[:, 0]
    search = ProjectionFeatureSelectorCV(
        ETAS, cv=cv, scoring=scoring, random_state=0, **options
    ).fit(X, y)
    expected = [r2_score(y, predicted) for predicted in predictions]
    assert_allclose(search.cv_results_["mean_test_score"], expected, rtol=1e-3)


def test_parts_with_equal_targets_are_scored():
    """R2 of scikit-learn is 0 for each of them, whatever is predicted."""
    X, y = make_regression(1)
    groups = np.arange(24) // 4
    y = np.repeat(y[::4], 4)
    X[:, 0] = y
    search = ProjectionFeatureSelectorCV(
        [0.1, 10.0], cv=LeaveOneGroupOut(), loss="squared_error"
    ).fit(X, y, groups=groups)
    small, large = search.cv_results_["mean_test_score"]
    assert large > 0.99
    assert small < large


@pytest.mark.parametrize("y", [make_regression(1)[1], np.arange(24) % 2])
def test_samples_of_weight_zero_have_no_score(y):
    X, _ = make_regression(1)
    weight = np.append(np.zeros(4), np.ones(20))
    search = ProjectionFeatureSelectorCV(ETAS, cv=LeaveOneOut())
    found = search.fit(X, y, sample_weight=weight).cv_results_["mean_test_score"]
    expected = search.fit(X[4:], y[4:]).cv_results_["mean_test_score"]
    assert_allclose(found, expected, rtol=1e-3)


@pytest.mark.filterwarnings("ignore:Only one class is present")
def test_parts_that_cannot_be_scored_are_said_in_a_sentence():
    X, y = make_regression(1)
    labels = (y > 0.0).astype(int)
    search = ProjectionFeatureSelectorCV(ETAS, cv=LeaveOneOut(), scoring="roc_auc")
    with pytest.raises(ValueError, match="got nan for split 0 of cv") as error:
        search.fit(X, labels)
    assert len(str(error.value)) < 250
    search.set_params(cv=KFold(8), scoring=None)
    with pytest.raises(
        ValueError, match=r"cv leaves a training part .* one class only"
    ):
        search.fit(X, (np.arange(24) < 3).astype(int))


# ------------------------------------------------------------- scores of all folds


def fold_of(rows, scores, weights=None):
    scores = np.asarray(scores, dtype=float)
    weights = np.ones(len(scores)) if weights is None else weights
    return FoldScores(scores, rows, np.asarray(weights), None, 0)


def test_scores_of_a_sample_are_averaged():
    tests = [np.array([0, 2]), np.array([2, 3])]
    results = [
        fold_of(tests[0], [[1.0, 5.0], [2.0, 6.0]], [1.0, 3.0]),
        fold_of(tests[1], [[4.0, 0.0], [7.0, 1.0]], [3.0, 0.0]),
    ]
    scores, weights, n_repeats = pool_scores(results, tests, 5)
    assert_array_equal(scores, [[1.0, 5.0], [3.0, 3.0]])  # one has no weight
    assert_array_equal(weights, [1.0, 3.0])
    assert n_repeats == 1.0


def test_scores_of_a_group_count_together():
    test = np.arange(4)
    result = fold_of(test, [[1.0], [2.0], [3.0], [5.0]], [1.0, 1.0, 2.0, 3.0])
    groups = np.array(["b", "a", "b", "c"])
    scores, weights, _ = pool_scores([result], [test], 4, groups)
    assert_allclose(scores, [[2.0], [7.0 / 3.0], [5.0]])
    assert_array_equal(weights, [1.0, 3.0, 3.0])


def test_scores_of_folds_count_each_sample_once():
    tests = [np.arange(5), np.arange(5, 10)] * 3
    results = [fold_of(None, [[i, 0.0]], [5.0]) for i in range(6)]
    scores, weights, n_repeats = pool_scores(results, tests, 12)
    assert_array_equal(scores[:, 0], np.arange(6))
    assert_array_equal(weights, np.full(6, 5.0))
    assert n_repeats == 3.0


def test_nothing_is_learned_from_noise():
    """The warning says so, and keep_gain=1 takes the best score nevertheless."""
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((80, 30)), np.arange(80) % 2
    with pytest.warns(UserWarning, match=r"nothing can be learned .* standard error"):
        selector = ProjectionFeatureSelectorCV(random_state=0).fit(X, y)
    assert not selector.get_support().any()
    assert selector.n_features_range_[0] == 0
    best = ProjectionFeatureSelectorCV(keep_gain=1, random_state=0, etas=ETAS).fit(X, y)
    assert best.get_support().any()
