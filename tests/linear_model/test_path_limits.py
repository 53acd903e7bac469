"""Linear models at the limits of numbers, and after what was interrupted."""

import signal

import numpy as np
import pytest
from numpy.testing import assert_allclose
from path_helpers import HUBER_EPSILON, PlainProblem, draw, draw_targets, survival

from skproj.linear_model._eta_path import solve_path
from skproj.linear_model._losses import make_loss
from skproj.linear_model._objective import Objective
from skproj.linear_model._targets import make_problem


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("loss", ["multinomial", "poisson", "huber"])
def test_gradient_without_constraint_is_small_at_the_result(loss, positive):
    """The result itself meets the condition, and not only the point before it."""
    for seed in range(10):
        rng = np.random.default_rng([seed, 7])
        X = rng.standard_normal((rng.integers(8, 40), rng.integers(1, 50)))
        logits = X[:, rng.integers(0, X.shape[1], 3)]
        y = draw_targets(loss, logits + rng.standard_normal(logits.shape), rng)
        arguments = {"X": X, "y": y, "loss": loss, "positive": positive}
        arguments |= {"l2_reg": 0.1}
        if loss == "multinomial":
            arguments["loss"] = "log_loss"
        problem = make_problem(**arguments, huber_epsilon=HUBER_EPSILON)
        plain = PlainProblem(**arguments)
        for tol in (1e-2, 1e-4):
            fit = problem.solve(np.inf, tol=tol, max_iter=20000)
            V, b, _ = plain.point(problem, fit)
            gradient, _ = plain.gradient(V, b)
            if positive:
                assert V.min(initial=0.0) >= 0.0
                gradient = np.minimum(gradient, V)
            assert fit.converged
            assert np.abs(gradient).max() <= tol * 1.0001


@pytest.mark.parametrize("loss", ["binary", "squared_error", "poisson", "cox"])
@pytest.mark.parametrize("scale", [1e-140, 1e-100, 1e-20, 1e60])
def test_solve_does_not_depend_on_the_unit_of_the_features(loss, scale):
    """Radii and coefficients have the inverse unit; the squares of it may underflow."""
    arguments = draw(loss, standardize=False)
    expected = make_problem(**arguments)
    arguments["X"] = arguments["X"] * scale
    problem = make_problem(**arguments)
    for eta in (0.1, 2.0):
        fit = problem.solve(eta / scale, "l1inf", tol=1e-7, max_iter=2000)
        other = expected.solve(eta, "l1inf", tol=1e-7, max_iter=2000)
        assert fit.converged
        assert_allclose(fit.objective, other.objective, rtol=1e-6)


@pytest.mark.parametrize("mean", [1.0, 1e3])
@pytest.mark.parametrize("scale", [1.0, 10.0, 1e4])
def test_solve_of_counts_needs_few_iterations(scale, mean):
    """The first steps are not those for exponentials of a whole gradient step."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 10))
    y = rng.poisson(mean * np.exp(X[:, 0]))
    problem = make_problem(X * scale, y, loss="poisson", standardize=False)
    for eta in (0.1, 0.5, 1.0):
        fit = problem.solve(eta / scale, "l1", max_iter=60)
        assert fit.converged


def test_path_of_counts_survives_a_start_whose_exponentials_overflow():
    """A far radius is extrapolated to where the objective is infinite."""
    arguments = draw("poisson", fit_intercept=False)
    problem = make_problem(**arguments)
    etas = np.array([0.1, 1.0, 1e5])
    options = {"projection": "l1", "max_iter": 2000, "tol": 1e-6}
    *_, fit = solve_path(problem, etas, **options)
    free = problem.solve(np.inf, tol=1e-9, max_iter=20000)
    assert_allclose(fit.objective, free.objective, atol=1e-6)


def test_weights_that_underflow_do_not_change_a_cox_model():
    """They add nothing to the others in float64."""
    arguments = draw("cox")
    time = arguments["y"]["time"] + np.linspace(0.0, 1e-3, 40)
    arguments["y"] = survival(np.ones(40, dtype=bool), time)
    weights, latest = arguments["sample_weight"].copy(), np.argsort(-time)[:3]
    weights[latest] = 1e-300, 1e-84, 1e-300
    fit = make_problem(**arguments | {"sample_weight": weights}).solve(1.0, tol=1e-8)
    weights[latest] = 0.0
    other = make_problem(**arguments | {"sample_weight": weights}).solve(1.0, tol=1e-8)
    assert fit.converged
    assert_allclose(fit.objective, other.objective, rtol=1e-7)


@pytest.mark.parametrize("ties", ["cox", "cox_efron"])
def test_second_derivatives_of_a_cox_model_with_masses_of_zero(ties):
    """An event whose exponential underflows has the variance of those at risk."""
    y = survival(np.array([True, True, False, True]), np.array([1.0, 2.0, 3.0, 4.0]))
    loss = make_loss(ties, y, np.full(4, 0.25))
    logits = np.array([[-2000.0], [0.0], [0.5], [-1000.0]])
    column = np.array([[1.0], [2.0], [-1.0], [3.0]])
    _, residuals = loss.value_and_residuals(logits)
    found = loss.second_derivative(column, logits, residuals)
    shares = np.array([0.0, 1.0, np.exp(0.5), 0.0]) / (1.0 + np.exp(0.5))
    mean = shares @ column[:, 0]
    variance = shares @ (column[:, 0] - mean) ** 2  # of two events
    assert_allclose(found, 0.25 * 2.0 * variance, rtol=1e-12)


@pytest.mark.parametrize("loss", ["poisson", "binary", "cox"])
def test_offsets_beyond_the_range_of_exponentials_are_refused(loss):
    """They are logarithms."""
    arguments = draw(loss)
    offset = np.linspace(-1.0, 800.0, 40)
    with pytest.raises(ValueError, match=r"offset must have .* from -1 to 800"):
        make_problem(**arguments, offset=offset)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no timers")
def test_solve_can_be_interrupted_and_repeated():
    """A signal ends a long fit; the next one is as good as that of a new problem."""
    arguments = draw("cox")
    problem = make_problem(**arguments)

    def interrupt(*_):
        raise KeyboardInterrupt

    handler = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            problem.solve(0.5, tol=-1.0, max_iter=10**9)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, handler)
    expected = make_problem(**arguments).solve(0.5)
    assert problem.solve(0.5).objective == expected.objective


def test_solve_after_a_working_set_without_memory(monkeypatch):
    """A part that could not be made is not kept."""
    arguments = draw("binary", n_features=300)
    problem, part = make_problem(**arguments), Objective.part

    def refuse(*_):
        raise MemoryError

    monkeypatch.setattr(Objective, "part", refuse)
    with pytest.raises(MemoryError):
        problem.solve(1.0)
    monkeypatch.setattr(Objective, "part", part)
    expected = make_problem(**arguments).solve(1.0)
    assert problem.solve(1.0).objective == expected.objective


def test_solve_of_another_byte_order_equals_that_of_this_one():
    """The kernel reads numbers as the processor has them."""
    arguments = draw("binary")
    expected = make_problem(**arguments).solve(1.0)
    swapped = arguments["X"].dtype.newbyteorder()
    arguments["X"] = arguments["X"].astype(swapped)
    found = make_problem(**arguments).solve(1.0).objective
    assert_allclose(found, expected.objective, rtol=1e-6)
