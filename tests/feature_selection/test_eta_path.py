"""The path over the radii, and the choice of one by cross-validation."""

import warnings

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import huber
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer, make_scorer, mean_absolute_error
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedKFold
from sklearn.preprocessing import StandardScaler

from skproj import ProjectionFeatureSelector, ProjectionFeatureSelectorCV
from skproj.feature_selection import eta_path

CANCER = load_breast_cancer(return_X_y=True)
WINE = load_wine(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
ETAS = np.array([0.05, 0.3, 1.0, 3.0])


def make_multi_target():
    X, y = DIABETES
    return X, np.column_stack([y, 3.0 * X[:, 0] + y])


PROBLEMS = {
    "binary": (CANCER, {}),
    "multiclass": (WINE, {}),
    "regression": (DIABETES, {}),
    "multi-target": (make_multi_target(), {"loss": "huber"}),
}


class SelectingModel(ClassifierMixin, BaseEstimator):
    """The linear model of the selector as an estimator that predicts."""

    def __init__(self, eta=None):
        self.eta = eta

    def fit(self, X, y):
        """Fit the selector."""
        self.selector_ = ProjectionFeatureSelector(eta=self.eta).fit(X, y)
        self.classes_ = self.selector_.classes_
        return self

    def predict(self, X):
        """Take the largest logit."""
        logits = X @ self.selector_.coef_.T + self.selector_.intercept_
        if len(self.classes_) == 2:
            return self.classes_[(logits[:, 0] > 0.0).astype(int)]
        return self.classes_[logits.argmax(axis=1)]


# --------------------------------------------------------------------------- path


@pytest.mark.parametrize("projection", ["l12", "bilevel_l1inf"])
@pytest.mark.parametrize("kind", PROBLEMS)
def test_path_agrees_with_independent_fits(kind, projection):
    """Warm starts change the time, not the models."""
    (X, y), options = PROBLEMS[kind]
    options = {**options, "projection": projection, "tol": 1e-7, "max_iter": 20000}
    path = eta_path(X, y, etas=ETAS, **options)
    scale = X.std(axis=0) / (np.std(y) if y.dtype.kind == "f" else 1.0)
    for i, eta in enumerate(ETAS):
        alone = ProjectionFeatureSelector(eta=eta, **options).fit(X, y)
        assert_allclose(
            path.coefs[i] * scale, alone.coef_ * scale, rtol=1e-3, atol=2e-3
        )
        assert_allclose(path.dual_gaps[i], alone.duality_gap_, atol=1e-5)
        assert path.n_selected[i] == np.count_nonzero(path.coefs[i].any(axis=0))


def test_path_has_documented_shapes_and_order():
    """The fields are those of lasso_path, from sparse to dense."""
    X, y = WINE
    etas, coefs, n_selected, dual_gaps, intercepts, n_iters = eta_path(
        X.astype(np.float32), y, etas=ETAS[::-1]
    )
    assert_array_equal(etas, ETAS)
    assert coefs.shape == (4, 3, 13)
    assert intercepts.shape == (4, 3)
    assert coefs.dtype == intercepts.dtype == np.float32
    assert n_selected.shape == dual_gaps.shape == n_iters.shape == (4,)
    assert n_selected[0] < n_selected[-1]
    assert np.all(dual_gaps <= 1e-4 * np.log(3) * 1.01)


def test_path_takes_fewer_iterations_than_independent_fits():
    """That is what the warm starts are for."""
    X, y = CANCER
    etas = np.geomspace(0.5, 20.0, 15)
    path = eta_path(X, y, etas=etas)
    alone = [ProjectionFeatureSelector(eta=eta).fit(X, y).n_iter_ for eta in etas]
    assert path.n_iters.sum() < 0.8 * sum(alone)


@pytest.mark.parametrize("kind", PROBLEMS)
def test_path_chooses_radii_from_the_data(kind):
    """The default grid goes from no feature to where nothing more is gained."""
    (X, y), options = PROBLEMS[kind]
    path = eta_path(X, y, n_etas=8, **options)
    assert len(path.etas) == 8
    assert path.etas[0] == path.n_selected[0] == 0
    ratios = path.etas[2:] / path.etas[1:-1]
    assert_allclose(ratios, ratios[0])
    assert 1 <= path.n_selected[1] <= 2
    assert path.n_selected[-1] > X.shape[1] / 3
    if kind in ("regression", "multi-target"):  # classes may be separable
        far = eta_path(X, y, etas=[8.0 * path.etas[-1]], max_iter=20000, **options)
        last, best = (X @ p.coefs[-1].T + p.intercepts[-1] for p in (path, far))
        spread = np.linalg.norm(best - best.mean(axis=0))
        assert np.linalg.norm(best - last) < 0.2 * spread


@pytest.mark.slow
def test_path_scales_with_the_data():
    """Without standardisation the radii follow the units."""
    X, y = CANCER
    X = StandardScaler().fit_transform(X)
    plain = eta_path(X, y, n_etas=5, standardize=False)
    for scale in (1e-9, 1e9):
        scaled = eta_path(X * scale, y, n_etas=5, standardize=False)
        # Accuracy is not quite the same, which may halve or double an end of the grid.
        assert np.all(np.abs(np.log2(scaled.etas[1:] * scale / plain.etas[1:])) < 1.1)


def test_path_of_weighted_samples_is_that_of_repeated_ones():
    """Weights of samples and classes count in the grid and in the models."""
    X, y = WINE
    weight = np.random.default_rng(0).integers(0, 4, len(y))
    weighted = eta_path(X, y, sample_weight=weight, n_etas=4, class_weight="balanced")
    repeated = eta_path(
        np.repeat(X, weight, axis=0),
        np.repeat(y, weight),
        n_etas=4,
        class_weight="balanced",
    )
    # The ends come from models with gaps of 1e-7.
    assert_allclose(weighted.etas, repeated.etas, rtol=1e-6)
    assert_allclose(weighted.coefs, repeated.coefs, rtol=1e-5, atol=1e-8)


def test_path_of_sparse_data_is_that_of_dense():
    X, y = WINE
    X = np.where(X > np.median(X, axis=0), X, 0.0)
    dense, thin = (eta_path(data, y, etas=ETAS) for data in (X, sparse.csr_matrix(X)))
    assert_allclose(thin.coefs, dense.coefs, rtol=1e-5, atol=1e-8)


def test_path_warns_once_of_all_unfinished_models():
    """One warning counts them."""
    with pytest.warns(
        ConvergenceWarning, match=r"2 of 3 linear models.*max_iter=4"
    ) as log:
        eta_path(*CANCER, etas=[1e-3, 10.0, 20.0], max_iter=4)
    assert log[0].filename == __file__


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"etas": [1.0, -1.0]}, r"etas must be .* of radii that are at least 0, got"),
        ({"etas": []}, r"etas must be a non-empty array"),
        ({"etas": [[1.0]]}, r"etas must be a non-empty array"),
        ({"etas": [np.nan]}, r"etas must be a non-empty array"),
        ({"n_etas": 0}, r"number of etas must be at least 1, got 0"),
        ({"projection": "l2"}, r"The 'projection' parameter"),
        ({"tol": -1.0}, r"The 'tol' parameter"),
        ({"loss": "huber", "class_weight": "balanced"}, r"class_weight is for"),
        ({"sample_weight": np.ones(3)}, r"sample_weight.shape"),
    ],
)
def test_path_refuses_bad_parameters(options, message):
    """The message names the parameter."""
    with pytest.raises(ValueError, match=message):
        eta_path(*WINE, **options)


# --------------------------------------------------------------- cross-validation


@pytest.mark.parametrize("data", [CANCER, WINE], ids=["binary", "multiclass"])
def test_cv_chooses_what_a_grid_search_chooses(data):
    """Scores, ranks and choice are those of separate fits in GridSearchCV."""
    X, y = data
    etas = np.geomspace(0.1, 8.0, 7)
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    search = GridSearchCV(SelectingModel(), {"eta": etas}, cv=folds).fit(X, y)
    selector = ProjectionFeatureSelectorCV(
        etas,
        cv=4,
        scoring="accuracy",
        keep_gain=1.0,
        projection="l1inf",
        random_state=0,
    )
    selector.fit(X, y)
    assert selector.eta_ == search.best_params_["eta"]
    assert selector.best_index_ == search.best_index_
    assert_allclose(selector.best_score_, search.best_score_, atol=0.01)
    for name in ("mean_test_score", "std_test_score", "split3_test_score"):
        assert_allclose(selector.cv_results_[name], search.cv_results_[name], atol=0.03)
    own = {"mean_n_features", "param_l2_reg", "share_of_gain"}
    found = set(selector.cv_results_) - own
    assert found <= set(search.cv_results_)
    assert selector.cv_results_["params"] == [
        {**params, "l2_reg": 0.0} for params in search.cv_results_["params"]
    ]
    assert selector.cv_results_["rank_test_score"][selector.best_index_] == 1


def test_cv_keeps_what_a_fit_with_its_radius_keeps():
    """The last fit is that of ProjectionFeatureSelector, the path that of eta_path."""
    X, y = WINE
    selector = ProjectionFeatureSelectorCV(6, cv=5, l2_reg=[0.0, 0.1]).fit(X, y)
    options = {"l2_reg": selector.l2_reg_, "projection": "l12"}
    alone = ProjectionFeatureSelector(eta=selector.eta_, **options).fit(X, y)
    for name in ("coef_", "intercept_", "scores_", "n_iter_", "duality_gap_"):
        assert_array_equal(getattr(selector, name), getattr(alone, name))
    path = eta_path(X, y, etas=selector.etas_, **options)
    for found, expected in zip(selector.path_, path, strict=True):
        assert_array_equal(found, expected)
    expected = eta_path(X, y, n_etas=6, projection="l12").etas
    assert_array_equal(selector.etas_, expected)
    assert selector.n_splits_ == 5


def test_cv_default_scores_are_log_loss_and_r2():
    """scoring=None depends on the loss, not on what a selector is."""
    y = DIABETES[1]

    def r2(model, X, y_test):  # with the variance of all targets
        return 1.0 - np.mean((model.predict(X) - y_test) ** 2) / y.var()

    cases = ((WINE, "neg_log_loss"), (DIABETES, r2))
    for data, scoring in cases:
        default, named = (
            ProjectionFeatureSelectorCV(ETAS, scoring=s, random_state=0)
            .fit(*data)
            .cv_results_
            for s in (None, scoring)
        )
        splits = [name for name in default if name.startswith("split")]
        assert len(splits) == 15
        for name in splits:
            assert_allclose(default[name], named[name], rtol=1e-6)
        # Parts of nearly one size.
        means = (results["mean_test_score"] for results in (default, named))
        assert_allclose(*means, rtol=1e-2)


def test_cv_score_of_a_huber_loss_is_that_loss():
    """In units of the deviation of all targets, outliers count as in the training."""
    X, y = DIABETES
    y = np.where(np.arange(len(y)) % 50 == 0, 100.0 * y, y)

    def score(model, X, y_test):
        return -huber(1.2, (model.predict(X) - y_test) / y.std()).mean()

    default, named = (
        ProjectionFeatureSelectorCV(
            ETAS, loss="huber", huber_epsilon=1.2, scoring=s, cv=3, random_state=0
        ).fit(X, y)
        for s in (None, score)
    )
    for i in range(3):
        name = f"split{i}_test_score"
        assert_allclose(default.cv_results_[name], named.cv_results_[name], rtol=1e-9)


def test_cv_default_score_takes_classes_that_are_not_in_training():
    """They have a tiny probability, and the score stays finite."""
    X, y = WINE
    train, test = np.flatnonzero(y < 2), np.arange(len(y))
    selector = ProjectionFeatureSelectorCV(ETAS, cv=[(train, test)]).fit(X, y)
    scores = selector.cv_results_["mean_test_score"]
    assert np.all(np.isfinite(scores))
    assert np.all(scores < -100.0)


@pytest.mark.parametrize(
    ("data", "scoring"),
    [
        (CANCER, "roc_auc"),
        (CANCER, "neg_log_loss"),
        (WINE, "roc_auc_ovr"),
        (WINE, "balanced_accuracy"),
        (DIABETES, "neg_mean_absolute_error"),
        (DIABETES, make_scorer(mean_absolute_error, greater_is_better=False)),
        (make_multi_target(), "neg_mean_squared_error"),
        (WINE, lambda estimator, X, y: np.mean(estimator.predict(X) == y)),
    ],
)
def test_cv_takes_any_scorer(data, scoring):
    """Scorers of labels, decisions and probabilities are all served."""
    selector = ProjectionFeatureSelectorCV(ETAS, cv=3, scoring=scoring).fit(*data)
    means = selector.cv_results_["mean_test_score"]
    assert means.max() > means.min()


def test_cv_one_standard_error_rule():
    """The smallest radius within one standard error of the best is taken."""
    X, y = CANCER
    etas = np.geomspace(0.2, 20.0, 10)
    options = {"cv": 5, "scoring": "neg_log_loss", "random_state": 0}
    best = ProjectionFeatureSelectorCV(etas, keep_gain=1.0, **options).fit(X, y)
    sparser = ProjectionFeatureSelectorCV(
        etas, keep_gain="one-standard-error", **options
    )
    sparser.fit(X, y)
    assert sparser.eta_ < best.eta_
    results = best.cv_results_
    splits = np.stack([results[f"split{i}_test_score"] for i in range(5)])
    limit = best.best_score_ - splits[:, best.best_index_].std(ddof=1) / np.sqrt(5)
    assert np.all(results["mean_test_score"][: sparser.best_index_] < limit)
    assert results["mean_test_score"][sparser.best_index_] >= limit


def test_cv_takes_the_sparser_of_equals():
    """If all scores are the same the smallest radius wins."""
    selector = ProjectionFeatureSelectorCV(
        ETAS, scoring=lambda estimator, X, y: 1.0
    ).fit(*WINE)
    assert selector.eta_ == ETAS[0]


@pytest.mark.slow
def test_cv_does_not_depend_on_jobs():
    """Processes give what one process gives, to the bit."""
    X, y = WINE
    one, two = (
        ProjectionFeatureSelectorCV(5, n_jobs=n, random_state=0).fit(X, y)
        for n in (None, 2)
    )
    assert_array_equal(one.coef_, two.coef_)
    for name in ("mean_test_score", "mean_n_features", "param_eta"):
        assert_array_equal(one.cv_results_[name], two.cv_results_[name])


def test_cv_passes_weights_to_training_and_scoring():
    """A sample of weight zero is absent from both."""
    X, y = WINE
    rng = np.random.default_rng(0)
    X_more = np.vstack([X, rng.permuted(X, axis=0)])
    y_more = np.hstack([y, y])
    weight = np.repeat([1.0, 0.0], len(y))
    fold = rng.integers(0, 3, len(y))
    splits = [(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in range(3)]
    more_splits = [
        tuple(np.hstack([part, part + len(y)]) for part in split) for split in splits
    ]
    few = ProjectionFeatureSelectorCV(ETAS, cv=splits)
    few.fit(X, y, sample_weight=np.ones(len(y)))
    more = ProjectionFeatureSelectorCV(ETAS, cv=more_splits)
    more.fit(X_more, y_more, sample_weight=weight)
    assert_allclose(
        more.cv_results_["mean_test_score"], few.cv_results_["mean_test_score"]
    )
    assert_allclose(more.coef_, few.coef_, rtol=1e-6, atol=1e-10)


def test_cv_routes_metadata():
    """Groups reach the splitter, weights the scorer that asks for them."""
    X, y = WINE
    groups = np.arange(len(y)) % 6
    weight = np.random.default_rng(0).random(len(y))
    with sklearn.config_context(enable_metadata_routing=True):
        scorer = get_scorer("accuracy").set_score_request(sample_weight=True)
        selector = ProjectionFeatureSelectorCV(ETAS, cv=GroupKFold(3), scoring=scorer)
        selector.set_fit_request(sample_weight=True)
        selector.fit(X, y, sample_weight=weight, groups=groups)
        routed = selector.cv_results_["mean_test_score"]
        splits = list(GroupKFold(3).split(X, y, groups))
    plain = ProjectionFeatureSelectorCV(ETAS, cv=splits, scoring="accuracy")
    plain.fit(X, y, sample_weight=weight)
    assert_allclose(routed, plain.cv_results_["mean_test_score"])
    with pytest.raises(TypeError, match=r"unexpected arguments \['batches'\]"):
        plain.fit(X, y, batches=groups)


def test_cv_of_sparse_data_is_that_of_dense():
    """Folds of sparse data stay sparse and give the same choice."""
    X, y = WINE
    X = np.where(X > np.median(X, axis=0), X, 0.0)
    dense, thin = (
        ProjectionFeatureSelectorCV(ETAS, random_state=0).fit(data, y)
        for data in (X, sparse.csc_matrix(X))
    )
    assert thin.eta_ == dense.eta_
    assert_allclose(thin.coef_, dense.coef_, rtol=1e-5, atol=1e-8)


def test_cv_warns_once_of_unfinished_models():
    """All folds and the last path are counted in one warning."""
    selector = ProjectionFeatureSelectorCV([20.0, 30.0], cv=3, max_iter=3)
    with pytest.warns(ConvergenceWarning) as log:
        selector.fit(*CANCER)
    messages = [str(record.message) for record in log]
    assert sum("8 of 8 linear models" in message for message in messages) == 1
    assert all(record.filename == __file__ for record in log)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"etas": 0}, r"The 'etas' parameter"),
        ({"etas": [-1.0]}, r"etas must be .* of radii that are at least 0"),
        ({"scoring": "nonsense"}, r"The 'scoring' parameter"),
        ({"keep_gain": "worst"}, r"The 'keep_gain' parameter"),
        ({"keep_gain": 0.0}, r"The 'keep_gain' parameter"),
        ({"keep_gain": 1.1}, r"The 'keep_gain' parameter"),
        ({"cv": 1}, r"The 'cv' parameter"),
        ({"scoring": lambda model, X, y: np.nan}, r"scoring must give finite scores"),
        ({"projection": "linf"}, r"The 'projection' parameter"),
    ],
)
def test_cv_refuses_bad_parameters(options, message):
    """The message names the parameter, and an earlier fit stays."""
    selector = ProjectionFeatureSelectorCV(ETAS).fit(*WINE)
    before = selector.coef_
    with pytest.raises(ValueError, match=message):
        selector.set_params(**options).fit(*WINE)
    assert selector.coef_ is before


@pytest.mark.parametrize("n_samples", range(148, 178, 6))
def test_cv_grid_of_hopeless_data_ends(n_samples):
    """Constant features leave nothing to choose from, whatever rounding makes of it."""
    X, y = np.ones((n_samples, 13)), WINE[1][:n_samples]
    with warnings.catch_warnings(record=True) as log:
        warnings.simplefilter("always")
        selector = ProjectionFeatureSelectorCV(4).fit(X, y)
    assert any("No feature is selected" in str(record.message) for record in log)
    assert not selector.get_support().any()
