"""Counts, offsets, strata and one sign, in the linear models in a ball."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from path_helpers import (
    INNER_ORDER,
    PlainProblem,
    check_matched,
    draw,
    make_problems,
    random_cases,
    solve_by_cvxpy,
)
from scipy.optimize import nnls
from sklearn.linear_model import ElasticNet, PoissonRegressor

from skproj.linear_model._feature_structure import make_structure

LOSSES = (
    "squared_error",
    "huber",
    "binary",
    "multinomial",
    "labels",
    "poisson",
    "cox",
    "cox_efron",
)
OFFSET = ("binary", "poisson", "cox", "cox_efron")
N_PROBLEMS = 8


def draw_options(loss, n_samples=40, seed=0):
    """Return an offset and strata for the losses that take them."""
    rng = np.random.default_rng(seed)
    options = {}
    if loss in OFFSET:
        options["offset"] = rng.uniform(-1.0, 1.0, n_samples)
    if loss.startswith("cox"):
        options["strata"] = rng.integers(0, 3, n_samples)
    return options


@pytest.mark.parametrize("weighted", [False, True])
def test_counts_without_constraint_are_poisson_regression(weighted):
    """In the units of the data."""
    arguments = draw("poisson", 80, 5, weighted)
    arguments["X"] = arguments["X"] * 10.0 ** np.arange(-2.0, 3.0) + 1.0
    problem, _ = make_problems(arguments)
    fit = problem.solve(np.inf, tol=1e-9, max_iter=20000)
    assert fit.converged
    coef, intercept = problem.original_units(fit)
    scale = 10.0 ** np.arange(-2.0, 3.0)
    model = PoissonRegressor(alpha=0.0, solver="newton-cholesky", tol=1e-12)
    model.fit(arguments["X"] / scale, arguments["y"], arguments["sample_weight"])
    assert_allclose(coef[:, 0] * scale, model.coef_, atol=1e-5)
    assert_allclose(intercept, model.intercept_, atol=1e-4)


def test_counts_with_exposure_are_weighted_rates():
    """The logarithm of the exposure is the offset, or the exposure is the weight."""
    arguments = draw("poisson", standardize=False, weighted=False)
    exposure = np.random.default_rng(1).uniform(0.5, 4.0, len(arguments["y"]))
    counts, _ = make_problems(arguments | {"offset": np.log(exposure)})
    rates = {"y": arguments["y"] / exposure, "sample_weight": exposure}
    rates, _ = make_problems(arguments | rates)
    for eta in (0.2, 1.0, np.inf):
        options = {"projection": "l1", "tol": 1e-10, "max_iter": 20000}
        found, expected = (
            problem.original_units(problem.solve(eta, **options))
            for problem in (counts, rates)
        )
        for values, others in zip(found, expected, strict=True):
            assert_allclose(values, others, atol=1e-4)


@pytest.mark.parametrize("loss", OFFSET)
def test_offset_is_a_column_whose_coefficient_is_one(loss):
    """A column of the ball with nothing to gain has its coefficient in the offset."""
    arguments = draw(loss, 80, 5, fit_intercept=False, standardize=False)
    problem, plain = make_problems(arguments)
    options = {"tol": 1e-9, "max_iter": 20000}
    fit = problem.solve(np.inf, **options)
    offset = plain.D[:, 0] * fit.coef[0, 0]
    arguments |= {"X": arguments["X"][:, 1:], "offset": offset}
    problem, _ = make_problems(arguments)
    rest = problem.solve(np.inf, **options)
    assert_allclose(rest.objective, fit.objective, rtol=1e-8)
    assert_allclose(rest.coef, fit.coef[1:], atol=1e-4)


@pytest.mark.parametrize("ball", INNER_ORDER)
@pytest.mark.parametrize("loss", OFFSET)
def test_offset_and_strata_agree_with_cvxpy(loss, ball):
    """At the radius of the penalised model, with a feature that is always in it."""
    structure = make_structure(12, always_keep=[4])
    for l2_reg, penalty in ((0.0, 0.05), (0.1, 0.01)):
        options = draw_options(loss) | {"structure": structure, "l2_reg": l2_reg}
        arguments = draw(loss, **options)
        V, b = solve_by_cvxpy(PlainProblem(**arguments), ball, penalty)
        check_matched(arguments, ball, V, b, 1e-3)


@pytest.mark.parametrize("loss", ["cox", "cox_efron"])
def test_strata_are_compared_within_themselves_only(loss):
    """Times of another unit in one stratum change nothing, and one stratum is none."""
    arguments = draw(loss) | draw_options(loss)
    y, strata = arguments["y"], arguments["strata"]
    times = np.where(strata == 1, 100.0 * y["time"] + 3.0, y["time"])
    moved = y.copy()
    moved["time"] = times
    options = {"projection": "l1", "tol": 1e-10, "max_iter": 20000}
    for changed, other in (
        ({"y": moved, "strata": np.array(["b", "c", "a"])[strata]}, {}),
        ({"strata": np.full(len(y), 7)}, {"strata": None}),
    ):
        fits = [
            make_problems(arguments | part)[0].solve(0.5, **options)
            for part in (changed, other)
        ]
        assert_allclose(fits[0].objective, fits[1].objective, rtol=1e-9)
        assert_allclose(fits[0].coef, fits[1].coef, atol=1e-4)


@pytest.mark.parametrize("shape", [(40, 12), (15, 40)])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.6])
def test_positive_is_that_of_the_elastic_net(l1_ratio, shape):
    """At the radius of the penalised solution."""
    for penalty in (0.3, 0.05, 0.005):
        options = {"positive": True, "l2_reg": penalty * (1.0 - l1_ratio)}
        arguments = draw("squared_error", *shape, **options)
        arguments["y"] = y = arguments["y"][:, :1]
        model = ElasticNet(
            alpha=penalty, l1_ratio=l1_ratio, positive=True, tol=1e-13, max_iter=1000000
        )
        model.fit(arguments["X"], y[:, 0], arguments["sample_weight"])
        b = np.array([[model.intercept_]])
        check_matched(arguments, "l1", model.coef_[:, np.newaxis], b)


def test_positive_in_a_large_ball_is_nonnegative_least_squares():
    """The radius is beyond the norm of the solution."""
    options = {"fit_intercept": False, "standardize": False, "positive": True}
    arguments = draw("squared_error", weighted=False, **options)
    arguments["y"] = arguments["y"][:, 0]
    expected, _ = nnls(arguments["X"], arguments["y"])
    problem, _ = make_problems(arguments)
    fit = problem.solve(2.0 * expected.sum(), "l1", tol=1e-10, max_iter=20000)
    assert fit.converged
    assert_allclose(fit.coef[:, 0], expected, atol=1e-4)
    assert fit.coef.min() == 0.0


@pytest.mark.parametrize("ball", INNER_ORDER)
@pytest.mark.parametrize("loss", LOSSES)
def test_positive_agrees_with_cvxpy(loss, ball):
    """All losses and norms; a feature that is always in the model has any sign."""
    weights = 1.2 ** np.arange(12)
    structure = make_structure(12, always_keep=[4], feature_weights=weights)
    options = draw_options(loss) | {"structure": structure, "positive": True}
    arguments = draw(loss, **options)
    V, b = solve_by_cvxpy(PlainProblem(**arguments), ball, 0.02)
    check_matched(arguments, ball, np.maximum(V, 0.0), b, 1e-3)
    problem, _ = make_problems(arguments)
    assert problem.solve(0.5, ball).coef.min() >= 0.0


@pytest.mark.parametrize("ball", INNER_ORDER)
@pytest.mark.parametrize("loss", LOSSES)
def test_random_problems_with_options_have_certificates(loss, ball):
    """No descent gains more than the gap, on problems as hard as those without."""

    def draw_more(n_samples, rng):
        options = draw_options(loss, n_samples, seed=rng)
        return options | {"positive": bool(rng.random() < 0.5)}

    for case in random_cases(loss, ball, N_PROBLEMS, draw_more):
        fit = case.solve()
        best = case.check(fit)
        if case.plain.positive:
            assert fit.coef.min(initial=0.0) >= 0.0, case.seed
        case.check(case.problem.solve(case.eta, ball, max_iter=3), best)
        noise = case.rng.standard_normal(fit.coef.shape)
        start = case.start(case.eta * noise, fit.intercept)
        case.check_equal(case.solve(start=start), fit)
