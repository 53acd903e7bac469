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
from sklearn.linear_model import ElasticNet

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
