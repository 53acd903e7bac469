"""Models in a ball against penalised models of other libraries, and certificates."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from path_helpers import (
    INNER_ORDER,
    PlainProblem,
    check_matched,
    draw,
    make_problems,
    random_cases,
    solve_by_cvxpy,
)
from sklearn.linear_model import (
    ElasticNet,
    Lasso,
    LogisticRegression,
    lasso_path,
)

from skproj.feature_selection import ProjectionFeatureSelector
from skproj.linear_model._eta_path import solve_path
from skproj.linear_model._feature_structure import make_structure

LOSSES = (
    "squared_error",
    "huber",
    "binary",
    "multinomial",
    "labels",
    "cox",
    "cox_efron",
)
BILEVEL = {"bilevel_l11": "l1", "bilevel_l12": "l12", "bilevel_l1inf": "l1inf"}
# With each loss and ball: together several hundred.
N_PROBLEMS = 16
N_WARM = 6


@pytest.mark.parametrize("penalty", [0.3, 0.05, 0.005])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.6])
@pytest.mark.parametrize("shape", [(40, 12), (15, 40)])
def test_l1_ball_is_the_lasso_and_the_elastic_net(shape, l1_ratio, penalty):
    """At the radius of the solution, also with more features than samples."""
    arguments = draw("squared_error", *shape, l2_reg=penalty * (1.0 - l1_ratio))
    arguments["y"] = y = arguments["y"][:, :1]
    model = ElasticNet(alpha=penalty, l1_ratio=l1_ratio, tol=1e-13, max_iter=1000000)
    model.fit(arguments["X"], y[:, 0], arguments["sample_weight"])
    b = np.array([[model.intercept_]])
    check_matched(arguments, "l1", model.coef_[:, np.newaxis], b)


@pytest.mark.parametrize("penalty", [0.1, 0.01])
@pytest.mark.parametrize("loss", ["binary", "multinomial"])
def test_l1_ball_is_penalised_logistic_regression(loss, penalty):
    """Two and three classes, with an intercept that is not penalised."""
    arguments = draw(loss)
    model = LogisticRegression(
        l1_ratio=1.0, solver="saga", C=1.0 / penalty, tol=1e-12, max_iter=100000
    )
    model.fit(arguments["X"], arguments["y"], arguments["sample_weight"])
    check_matched(arguments, "l1", model.coef_.T, model.intercept_[np.newaxis], 1e-3)


@pytest.mark.parametrize("l2_reg", [0.0, 0.1])
@pytest.mark.parametrize("ball", INNER_ORDER)
@pytest.mark.parametrize("loss", LOSSES)
def test_exact_balls_are_penalised_models_of_cvxpy(loss, ball, l2_reg):
    """All losses and norms, also with features that are always in the model."""
    structure = make_structure(
        12, always_keep=[4], feature_weights=1.5 ** np.arange(12)
    )
    arguments = draw(loss, l2_reg=l2_reg, structure=structure)
    plain = PlainProblem(**arguments)
    for penalty in (0.1, 0.01):
        V, b = solve_by_cvxpy(plain, ball, penalty)
        check_matched(arguments, ball, V, b, 1e-3)


@pytest.mark.parametrize("ball", ["l12", "l1inf"])
@pytest.mark.parametrize("loss", LOSSES)
def test_groups_of_features_are_penalised_groups_of_cvxpy(loss, ball):
    """Unequal groups, and a feature in two of them, whose coefficients only add up."""
    structure = make_structure(12, feature_groups=[[0, 3, 4], [5, 6], [7, 0]])
    arguments = draw(loss, structure=structure)
    V, b = solve_by_cvxpy(PlainProblem(**arguments), ball, 0.03)
    check_matched(arguments, ball, V, b, None)


@pytest.mark.parametrize("shape", [(40, 12), (20, 30)])
def test_path_is_the_path_of_the_lasso(shape):
    """The radii of a path of penalties give its coefficients, all of them."""
    arguments = draw("squared_error", *shape, weighted=False)
    X, y = arguments["X"], arguments["y"][:, 0]
    arguments["y"] = y
    _, coefs, _ = lasso_path(X, y, eps=0.02, alphas=20, tol=1e-12, max_iter=1000000)
    etas = np.abs(coefs).sum(axis=0)
    coefs, etas = coefs[:, etas > 0.0], etas[etas > 0.0]
    problem, plain = make_problems(arguments)
    path = solve_path(problem, etas, projection="l1", tol=1e-9, max_iter=50000)
    for coef, fit in zip(coefs.T, path, strict=True):
        assert fit.converged
        expected = plain.objective(coef[:, np.newaxis], np.zeros((1, 1)))
        assert_allclose(fit.objective, expected, rtol=1e-6)
        assert_allclose(fit.coef[:, 0], coef, atol=1e-3)


def test_selector_is_the_lasso_in_the_units_of_the_data():
    """The units of features and target change the model as they should."""
    arguments = draw("squared_error")
    X, y, weights = (arguments[name] for name in ("X", "y", "sample_weight"))
    lasso = Lasso(alpha=0.05, tol=1e-13, max_iter=1000000).fit(X, y[:, 0], weights)
    scale, shift = 10.0 ** np.linspace(-3.0, 3.0, 12), np.arange(12)
    selector = ProjectionFeatureSelector(
        eta=np.abs(lasso.coef_).sum(), projection="l1", tol=1e-10, max_iter=50000
    )
    selector.fit(X * scale + shift, 7.0 * y[:, 0] - 2.0, sample_weight=weights)
    assert_array_equal(selector.get_support(), lasso.coef_ != 0.0)
    assert_allclose(selector.coef_[0] * scale, 7.0 * lasso.coef_, atol=1e-4)
    predictions = (X * scale + shift) @ selector.coef_[0] + selector.intercept_
    assert_allclose(predictions, 7.0 * lasso.predict(X) - 2.0, atol=1e-3)
    assert selector.duality_gap_ <= 1e-10


@pytest.mark.parametrize("ball", INNER_ORDER)
@pytest.mark.parametrize("loss", LOSSES)
def test_random_problems_have_certificates(loss, ball):
    """Fits converge, are in the ball, and no descent from them gains more than the gap.

    Neither does the descent gain more than that on fits that end after few steps.
    """
    for case in random_cases(loss, ball, N_PROBLEMS):
        fit = case.solve()
        unit = min(case.problem.natural_radius(ball), 1.0)
        share = min(case.eta / unit, 1.0) * (1.0 + 1e-9)
        assert 0.0 <= fit.gap <= share * case.tol * max(fit.objective, 1.0), case.seed
        best = case.check(fit)
        for max_iter in (1, 4):
            case.check(case.problem.solve(case.eta, ball, max_iter=max_iter), best)


@pytest.mark.parametrize("ball", INNER_ORDER)
@pytest.mark.parametrize("loss", LOSSES)
def test_random_paths_end_where_cold_fits_do(loss, ball):
    """Fits of a warm-started path are as good as those from zero."""
    for case in random_cases(loss, ball, N_WARM):
        etas = case.eta * np.geomspace(0.1, 1.0, 4)
        options = {"projection": ball, "tol": case.tol, "max_iter": 20000}
        path = solve_path(case.problem, etas, **options)
        for eta, warm in zip(etas, path, strict=True):
            assert warm.converged, case.seed
            case.check_equal(warm, case.solve(eta))


@pytest.mark.parametrize("ball", INNER_ORDER)
@pytest.mark.parametrize("loss", LOSSES)
def test_random_starts_do_not_matter(loss, ball):
    """Zeros, points far outside of the ball and other features are left again."""
    for case in random_cases(loss, ball, N_WARM):
        fit = case.solve()
        noise = case.rng.standard_normal(fit.coef.shape)
        for coef in (
            np.zeros_like(fit.coef),
            case.eta * noise,
            1e6 * noise,
            -fit.coef,
            np.where(fit.coef == 0.0, case.eta * noise, 0.0),
        ):
            intercept = np.array(fit.intercept)
            if case.plain.F.shape[1]:  # else it is not fitted
                intercept += 3.0 * case.rng.standard_normal(intercept.shape)
            start = case.start(coef, intercept)
            case.check_equal(case.solve(start=start), fit)


@pytest.mark.parametrize("projection", BILEVEL)
@pytest.mark.parametrize("loss", LOSSES)
def test_random_bilevel_fits_have_certificates(loss, projection):
    """The gap is that of the ball, though the fixed point is not its minimum."""
    for case in random_cases(loss, BILEVEL[projection], N_WARM):
        options = {"tol": 1e-4, "max_iter": 20000}
        fit = case.problem.solve(case.eta, projection, **options)
        assert fit.converged, case.seed
        case.check(fit)
