"""Columns of any size: what is standardised has no units."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skproj.blocks import RowBlocks
from skproj.feature_selection import (
    ProjectionFeatureSelector,
    ProjectionFeatureSelectorCV,
    StabilitySelector,
    eta_path,
)
from skproj.linear_model._constraint import CoefficientBall

EXPONENTS = {"float64": [-1000, -540, 0, 1, 540, 1000], "float32": [-140, -66, 60, 120]}
WIDTH = 12


def make_data(dtype="float64"):
    """Return whole numbers, which stay exact when powers of two scale them."""
    rng = np.random.default_rng(0)
    X = rng.integers(-8, 9, (80, WIDTH)).astype(dtype)
    y = X[:, 0] - X[:, 1] + 0.5 * X[:, 2] + rng.standard_normal(80)
    return X, y


def scale(X, dtype):
    """Return X with columns of all sizes, and their exponents."""
    exponents = np.resize(EXPONENTS[dtype], X.shape[1])
    return np.ldexp(X, exponents), exponents


def in_blocks(X):
    parts = [X[:50], X[50:]]
    return RowBlocks(lambda: iter(parts), X.shape, dtype=X.dtype)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array, in_blocks])
@pytest.mark.parametrize("labels", [False, True], ids=["regression", "labels"])
@pytest.mark.parametrize("dtype", EXPONENTS)
def test_scores_have_no_units(dtype, labels, make):
    X, y = make_data(dtype)
    y = (y > 0.0).astype(int) if labels else y
    scaled, exponents = scale(X, dtype)
    # The same precision: float32 is not enough for columns of all sizes.
    expected = ProjectionFeatureSelector(n_features_to_select=4).fit(
        make(X.astype(np.float64)), y
    )
    found = ProjectionFeatureSelector(n_features_to_select=4).fit(make(scaled), y)
    assert_array_equal(found.get_support(), expected.get_support())
    assert_allclose(found.scores_, expected.scores_, rtol=1e-9)
    coef = np.ldexp(found.coef_.astype(np.float64), exponents)
    assert_allclose(coef, expected.coef_, rtol=1e-5)
    assert_allclose(found.intercept_, expected.intercept_, rtol=1e-5)


@pytest.mark.parametrize("dtype", EXPONENTS)
def test_search_path_and_stability_have_no_units(dtype):
    X, y = make_data(dtype)
    scaled, _ = scale(X, dtype)
    exact = X.astype(np.float64)
    found, expected = (
        ProjectionFeatureSelectorCV(etas=5, cv=3, random_state=0).fit(data, y)
        for data in (scaled, exact)
    )
    assert_allclose(found.best_score_, expected.best_score_, rtol=1e-6)
    assert_array_equal(found.scores_ > 0.0, expected.scores_ > 0.0)
    assert found.substitutes_ == {k: [] for k in expected.substitutes_}
    found, expected = (
        StabilitySelector(n_pairs=3, random_state=0).fit(data, y)
        for data in (scaled, exact)
    )
    assert_array_equal(found.supports_, expected.supports_)
    name = "baseline_selection_probabilities_"
    assert_array_equal(getattr(found, name), getattr(expected, name))
    found, expected = (eta_path(data, y, n_etas=4) for data in (scaled, exact))
    assert_array_equal(found.n_selected, expected.n_selected)
    assert_allclose(found.etas, expected.etas, rtol=1e-9)


@pytest.mark.parametrize("make", [np.asarray, in_blocks])
@pytest.mark.parametrize("dtype", EXPONENTS)
def test_substitutes_have_no_units(dtype, make):
    X, y = make_data(dtype)
    X[:, 3:6] = X[:, :3]
    X[:3, 3:6] += 1.0
    scaled, _ = scale(X, dtype)
    found, expected = (
        ProjectionFeatureSelectorCV(etas=5, cv=3, random_state=0).fit(make(data), y)
        for data in (scaled, X.astype(np.float64))
    )
    assert expected.substitutes_
    for feature, pairs in expected.substitutes_.items():
        columns, correlations = zip(*pairs, strict=True) if pairs else ((), ())
        again = dict(found.substitutes_[feature])
        assert list(again) == list(columns)
        assert_allclose(list(again.values()), correlations, rtol=1e-4)


def test_p_values_are_features():
    """Those below 1e-38 are subnormal numbers in float32, and their products 0."""
    rng = np.random.default_rng(0)
    exponents = rng.uniform(-45.0, -39.0, (100, 20))
    X = (10.0**exponents).astype(np.float32)
    y = (X[:, 4] > np.median(X[:, 4])).astype(int)
    for estimator in (
        ProjectionFeatureSelector(n_features_to_select=1),
        ProjectionFeatureSelector(eta=np.inf),
        ProjectionFeatureSelectorCV(etas=5, random_state=0),
    ):
        estimator.fit(X, y)
        assert estimator.scores_.argmax() == 4
        assert np.isfinite(estimator.coef_).all()
        assert estimator.coef_.dtype == np.float64
        assert estimator.transform(X).dtype == np.float32
    tiny = ProjectionFeatureSelector(n_features_to_select=1)
    tiny.fit(X.astype(np.float64) * 1e-258, y)
    assert_array_equal(tiny.get_support(indices=True), [4])


@pytest.mark.parametrize(
    ("scale", "parameters", "message"),
    [
        (1e-310, {}, "entries of columns 'b', 'c' of X deviate by less than 2.2e-308"),
        (1e80, {"standardize": False}, r"'b', 'c' of X exceed 1e\+75; use standardize"),
    ],
)
def test_columns_that_are_refused_are_named(scale, parameters, message):
    pd = pytest.importorskip("pandas")
    X, y = make_data()
    frame = pd.DataFrame(X[:, :3], columns=["a", "b", "c"])
    frame[["b", "c"]] *= scale
    with pytest.raises(ValueError, match=message):
        ProjectionFeatureSelector(**parameters).fit(frame, y)


def test_columns_whose_squares_are_zero_are_refused():
    """The dual norm of their gradients would be zero, and no feature the optimum."""
    X, y = make_data()
    labels = np.digitize(y, [-1.0, 1.0])
    selector = ProjectionFeatureSelector(eta=1e160, projection="l12", standardize=False)
    with pytest.raises(ValueError, match=r"are below 1e-150 in size; use standardize"):
        selector.fit(1e-160 * X, labels)
    selector.set_params(eta=1.0).fit(np.hstack([X, 1e-160 * X]), labels)
    assert selector.get_support()[:WIDTH].any()
    assert not selector.get_support()[WIDTH:].any()


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array, in_blocks])
@pytest.mark.parametrize("exponent", [-200, 140])
def test_targets_need_not_fit_into_the_dtype_of_the_features(exponent, make):
    """The search for features multiplies residuals with columns of float32."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 400)).astype(np.float32)
    y = np.ldexp((X[:, 0] - X[:, 1]).astype(np.float64), exponent)
    size = np.ldexp(1.0, exponent)
    options = {"eta": size, "standardize": False, "tol": 1e-6 * min(size, 1.0) ** 2}
    found = ProjectionFeatureSelector(**options).fit(make(X), y)
    expected = ProjectionFeatureSelector(**options).fit(X.astype(np.float64), y)
    assert_array_equal(found.get_support(indices=True), [0, 1])
    assert_allclose(found.coef_, expected.coef_, rtol=1e-5)


@pytest.mark.parametrize("fit_intercept", [False, True])
def test_large_constant_column_of_single_precision(fit_intercept):
    """Its products are beyond the range of float32."""
    X, y = make_data("float32")
    X[:, 5] = 1e38
    options = {"eta": 1.0, "fit_intercept": fit_intercept}
    found = ProjectionFeatureSelector(**options).fit(X, y)
    expected = ProjectionFeatureSelector(**options).fit(X.astype(np.float64), y)
    assert_allclose(found.coef_, expected.coef_, rtol=1e-5)


@pytest.mark.parametrize("exponent", [-1000, -530, 530, 1000])
def test_scores_whose_squares_are_no_numbers(exponent):
    coef = np.ldexp(np.array([[1.0, 1.0], [3.0, 4.0], [0.0, 0.0]]), exponent)
    scores = CoefficientBall("l12", 1.0).scores(coef)
    assert_allclose(scores, np.ldexp([np.sqrt(2.0), 5.0, 0.0], exponent), rtol=1e-12)


def test_scores_of_tiny_features_that_are_always_kept():
    """Their coefficients have squares beyond all numbers."""
    X, y = make_data()
    X[:, 1] *= 1e-160
    selector = ProjectionFeatureSelector(
        eta=1.0, projection="l12", standardize=False, always_keep=[1]
    )
    selector.fit(X, np.digitize(y, [-1.0, 1.0]))
    assert np.isfinite(selector.scores_).all()
    assert_allclose(
        selector.scores_,
        np.linalg.norm(np.ldexp(selector.coef_, -500), axis=0) * 2.0**500,
    )


@pytest.mark.parametrize("always_keep", [None, [4]])
def test_subnormal_columns_beside_others(always_keep):
    """Without standardisation nothing is divided by their size."""
    X, y = make_data()
    X[:, 4] *= 5e-324
    options = {"eta": 1.0, "standardize": False}
    found = ProjectionFeatureSelector(always_keep=always_keep, **options).fit(X, y)
    expected = ProjectionFeatureSelector(never_keep=[4], **options).fit(X, y)
    assert_allclose(found.coef_, expected.coef_, rtol=1e-9)


@pytest.mark.parametrize(
    "selector",
    [
        ProjectionFeatureSelector(eta=1.0, class_weight="balanced"),
        ProjectionFeatureSelectorCV(etas=3, random_state=0),
    ],
)
def test_sums_of_weights_do_not_overflow(selector):
    X, y = make_data()
    y, weight = (y > 0.0).astype(int), np.random.default_rng(0).random(80)
    expected = selector.fit(X, y, sample_weight=weight).coef_
    found = selector.fit(X, y, sample_weight=np.ldexp(weight, 1023)).coef_
    assert_allclose(found, expected, rtol=1e-9)


def test_coefficients_beyond_all_numbers_are_named():
    X, y = make_data()
    X[:, :8] *= 1e-300
    message = r"coefficients of columns 0, 1, 2, 3, 4 and 3 more of X overflow float64"
    with pytest.raises(ValueError, match=message):
        ProjectionFeatureSelector(eta=np.inf).fit(X, 1e20 * y)


@pytest.mark.parametrize("exponent", [-1000, -600, 600, 1000])
@pytest.mark.parametrize("cv", [3, 30], ids=["folds", "single samples"])
def test_targets_have_no_units(cv, exponent):
    """R2 of scikit-learn is 1 where squares are zero, and NaN where they overflow."""
    X, y = (values[:30] for values in make_data())
    search = ProjectionFeatureSelectorCV(etas=4, cv=cv, random_state=0)
    expected = search.fit(X, y).cv_results_["mean_test_score"]
    path = search.path_.coefs
    scaled = np.ldexp(y, exponent)
    found = search.fit(X, scaled).cv_results_["mean_test_score"]
    assert_allclose(found, expected, rtol=1e-9)
    assert_allclose(search.path_.coefs, np.ldexp(path, exponent), rtol=1e-9)
    halves = StabilitySelector(n_pairs=2, random_state=0)
    expected = halves.fit(X, y).supports_
    assert_array_equal(halves.fit(X, scaled).supports_, expected)


def test_large_targets_are_no_labels():
    """From 2 ** 53 on, all floating-point numbers are whole."""
    X, y = make_data()
    selector = ProjectionFeatureSelector().fit(X[:15], 1e20 * y[:15])
    assert not hasattr(selector, "classes_")
    constant = ProjectionFeatureSelector(loss="squared_error", eta=np.inf)
    with pytest.warns(UserWarning, match="No feature is selected"):
        constant.fit(X, np.full(80, 1e300))
    assert_allclose(constant.intercept_, 1e300)
    selector.set_params(standardize=False)
    with pytest.raises(
        ValueError, match=r"numbers in y exceed 1e\+75; use standardize"
    ):
        selector.fit(X, 1e80 * y)
