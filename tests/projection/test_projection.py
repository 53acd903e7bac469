"""Properties of the projections onto all balls."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from projection_cases import (
    assert_equal_to_rounding,
    each_ball,
    matrices,
    onto_vector_ball,
)

import skproj.projection
from skproj.projection import (
    BALLS,
    projection_bilevel_l12_ball,
    projection_l1_ball,
    projection_l1inf_ball,
    projection_l12_ball,
    projection_simplex,
)

EXACT = {name: ball for name, ball in BALLS.items() if ball.exact}
each_exact_ball = pytest.mark.parametrize("ball", EXACT.values(), ids=EXACT)
shares = st.floats(0.01, 0.99)  # radius as a part of the norm: outside the ball


def group_norms(X, ball):
    return np.linalg.norm(X, ord=ball.inner_norm, axis=0)


@each_ball
def test_registry_row(ball):
    """The key, the name of the function and the public names agree."""
    assert BALLS[ball.name] is ball
    assert ball.projection.__name__ == f"projection_{ball.name}_ball"
    assert ball.projection.__name__ in skproj.projection.__all__


@each_ball
@given(matrices(), shares)
def test_projection_is_idempotent(ball, X, share):
    """What has been projected stays where it is."""
    radius = share * ball.norm(X)
    P = ball.project(X, radius)
    assert_equal_to_rounding(ball.project(P, radius), P, ball.norm(X))


@each_ball
@given(matrices(), shares, st.floats(1e-3, 1e3))
def test_projection_scales(ball, X, share, t):
    """P(t X, t radius) = t P(X, radius)."""
    radius = share * ball.norm(X)
    expected = t * ball.project(X, radius)
    assert_equal_to_rounding(
        ball.project(t * X, t * radius), expected, t * ball.norm(X)
    )


@each_ball
@given(matrices(), shares, st.randoms(use_true_random=False))
def test_projection_is_equivariant(ball, X, share, random):
    """Columns, rows and signs may be exchanged before or after."""
    radius = share * ball.norm(X)
    rows, columns = list(range(X.shape[0])), list(range(X.shape[1]))
    random.shuffle(rows)
    random.shuffle(columns)
    P = ball.project(X, radius)
    moved = ball.project(-X[rows][:, columns], radius)
    assert_equal_to_rounding(moved, -P[rows][:, columns], ball.norm(X))


@each_ball
@given(matrices(), shares)
def test_projection_of_one_column_is_that_of_the_inner_ball(ball, X, share):
    """A single group leaves only the inner norm."""
    column = X[:, :1]
    radius = share * ball.norm(column)
    expected = onto_vector_ball(column, radius, ball.inner_norm)
    assert_equal_to_rounding(ball.project(column, radius), expected, ball.norm(column))


@each_ball
def test_sparsifying_ball_makes_zeros_and_the_others_none(ball):
    """What the registry says about each of them."""
    X = np.random.default_rng(0).normal(size=(6, 8))
    P = ball.project(X, 0.1 * ball.norm(X))
    assert np.any(P == 0.0) == ball.sparsifying


@each_exact_ball
@given(matrices(), shares)
def test_exact_projection_is_the_nearest_point(ball, X, share):
    """<X - P, P> = radius * dual_norm(X - P), which makes P optimal."""
    radius = share * ball.norm(X)
    P = ball.project(X, radius)
    gain = np.sum((X - P) * P)
    assert gain == pytest.approx(radius * ball.dual_norm(X - P), rel=1e-9)


@each_exact_ball
@given(matrices(), st.integers(0, 2**32), shares)
def test_exact_projection_is_non_expansive(ball, X, seed, share):
    """Two projections are at most as far apart as their inputs."""
    step = np.random.default_rng(seed).normal(size=X.shape)
    radius = share * ball.norm(X)
    before = np.linalg.norm(step)
    after = np.linalg.norm(ball.project(X + step, radius) - ball.project(X, radius))
    assert after <= before * (1 + 1e-12)


@given(matrices(), shares)
def test_bilevel_l12_is_exact(X, share):
    """One operator under two names."""
    radius = share * BALLS["l12"].norm(X)
    np.testing.assert_array_equal(
        projection_bilevel_l12_ball(X, radius), projection_l12_ball(X, radius)
    )


@pytest.mark.parametrize("name", ["l12", "bilevel_l11", "bilevel_l12", "bilevel_l1inf"])
@given(matrices(), shares)
def test_bilevel_projection_projects_the_norms(name, X, share):
    """The norms of the groups end where the l1 ball sends them; tau kills the others.

    For the l1 ball of the norms: 0 <= u_j <= v_j, and one threshold for all.
    """
    ball = BALLS[name]
    radius = share * ball.norm(X)
    P, tau = ball.projection(X, radius, return_threshold=True)
    before, after = group_norms(X, ball), group_norms(P, ball)
    assert_equal_to_rounding(after, np.maximum(before - tau, 0.0), ball.norm(X))
    assert_equal_to_rounding(after, projection_l1_ball(before, radius), ball.norm(X))
    np.testing.assert_array_equal(P[:, before <= tau], 0.0)


@given(matrices(), shares)
def test_projection_l1inf_ball_satisfies_kkt(X, share):
    """One theta: kept columns lose it in l1 norm, the others have no more than it."""
    radius = share * BALLS["l1inf"].norm(X)
    P, theta = projection_l1inf_ball(X, radius, return_threshold=True)
    levels = np.abs(P).max(axis=0)
    lost = np.abs(X - P).sum(axis=0)
    kept = levels > 0.0
    scale = np.abs(X).sum()
    assert theta > 0.0
    assert_equal_to_rounding(P, np.clip(X, -levels, levels), scale)
    assert_equal_to_rounding(lost[kept], theta, scale)
    assert np.all(np.abs(X).sum(axis=0)[~kept] <= theta + 1e-12 * scale)
    assert_equal_to_rounding(levels.sum(), radius, scale)


def _cvxpy_norm(cp, name, V):
    return {
        "l1": lambda: cp.sum(cp.abs(V)),
        "l12": lambda: cp.sum(cp.norm(V, 2, axis=0)),
        "l1inf": lambda: cp.sum(cp.max(cp.abs(V), axis=0)),
        "l2": lambda: cp.norm(V, "fro"),
        "linf": lambda: cp.max(cp.abs(V)),
    }[name]()


def _solve(cp, X, constraints):
    V = cp.Variable(X.shape)
    problem = cp.Problem(cp.Minimize(cp.sum_squares(V - X)), constraints(V))
    tight = dict.fromkeys(["tol_gap_abs", "tol_gap_rel", "tol_feas"], 1e-9)
    problem.solve(cp.CLARABEL, **tight)
    return V.value


@pytest.mark.parametrize("share", [0.05, 0.5])
@pytest.mark.parametrize("name", ["l1", "l12", "l1inf", "l2", "linf"])
def test_exact_projection_equals_cvxpy(name, share):
    """A general convex solver finds the same nearest point."""
    cp = pytest.importorskip("cvxpy")
    X = np.random.default_rng(7).normal(size=(6, 7))
    radius = share * BALLS[name].norm(X)
    expected = _solve(cp, X, lambda V: [_cvxpy_norm(cp, name, V) <= radius])
    np.testing.assert_allclose(BALLS[name].project(X, radius), expected, atol=1e-5)


@pytest.mark.parametrize("radius", [0.3, 4.0])
def test_projection_simplex_equals_cvxpy(radius):
    """The same for the simplex, from both sides of it."""
    cp = pytest.importorskip("cvxpy")
    x = np.random.default_rng(8).normal(size=9)
    expected = _solve(cp, x, lambda v: [v >= 0, cp.sum(v) == radius])
    np.testing.assert_allclose(projection_simplex(x, radius), expected, atol=1e-5)
