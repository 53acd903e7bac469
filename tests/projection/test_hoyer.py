"""The group sparse projection is optimal, and does not depend on what it should not."""

import math

import numpy as np
import pytest
from hoyer_cases import average
from scipy.optimize import minimize

from skproj.projection import (
    _hoyer_vectors,
    _reference,
    projection_hoyer,
)


def sum_of_products(X, P):
    """What the projection maximises, for columns."""
    norms = np.linalg.norm(P, axis=0)
    return np.sum(X * P / np.where(norms > 0.0, norms, 1.0))


@pytest.mark.parametrize("sparsity", [0.3, 0.6, 0.9])
def test_same_as_reference(rng, sparsity):
    """Without ties there is one solution."""
    X = rng.standard_normal((30, 7)) * np.exp(rng.standard_normal(7))
    expected = np.transpose(_reference.hoyer(list(X.T), sparsity))
    np.testing.assert_allclose(projection_hoyer(X, sparsity), expected, atol=1e-10)
    W = rng.uniform(0.2, 2.0, X.shape)
    expected = np.transpose(_reference.hoyer(list(X.T), sparsity, list(W.T)))
    P = projection_hoyer(X, sparsity, weights=W)
    np.testing.assert_allclose(P, expected, atol=1e-9)


def _best_by_slsqp(X, sparsity, rng, n_starts=3):
    """Largest sum of products that a general solver finds from several starts."""
    n, r = X.shape
    A = np.abs(X)

    def products(x):
        return (x.reshape(n, r) * A).sum(axis=0)

    def value(x):
        return -np.sum(products(x))

    constraints = [
        {"type": "eq", "fun": lambda x: (x.reshape(n, r) ** 2).sum(axis=0) - 1.0},
        {
            "type": "ineq",
            "fun": lambda x: (
                np.mean((np.sqrt(n) - x.reshape(n, r).sum(axis=0)) / (np.sqrt(n) - 1.0))
                - sparsity
            ),
        },
    ]
    best = 0.0
    for _ in range(n_starts):
        start = A * rng.uniform(0.2, 1.0, A.shape) + 1e-3
        start /= np.linalg.norm(start, axis=0)
        found = minimize(
            value,
            start.ravel(),
            bounds=[(0.0, 1.0)] * A.size,
            constraints=constraints,
            method="SLSQP",
            options={"maxiter": 300, "ftol": 1e-12},
        )
        feasible = all(
            np.all(np.abs(c["fun"](found.x)) < 1e-8)
            if c["type"] == "eq"
            else c["fun"](found.x) > -1e-8
            for c in constraints
        )
        if feasible:
            best = max(best, -found.fun)
    return best


KINDS = {
    "gaussian": lambda rng: rng.standard_normal((5, 3)),
    "scaled": lambda rng: rng.standard_normal((5, 3)) * [1.0, 3.0, 10.0],
    "integers": lambda rng: rng.integers(1, 4, (5, 3)).astype(float),
    "single": lambda rng: rng.standard_normal((6, 1)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:Values in x were outside bounds:RuntimeWarning")
def test_no_general_solver_is_better(rng, kind):
    for sparsity in (0.4, 0.6, 0.8):
        X = KINDS[kind](rng)
        if average(X) >= sparsity:
            continue
        best = _best_by_slsqp(X, sparsity, rng)
        P = projection_hoyer(X, sparsity)
        assert best > 0.0
        assert sum_of_products(X, P) >= best * (1.0 - 1e-7)


def test_results_are_least_squares_lengths(rng):
    """Of vectors in their directions the results are nearest, or as long as before."""
    X = rng.standard_normal((30, 5))
    P = projection_hoyer(X, 0.7)
    np.testing.assert_allclose(np.sum(P * (X - P), axis=0), 0.0, atol=1e-13)
    Q = projection_hoyer(X, 0.7, scale="keep_l2")
    np.testing.assert_allclose(
        np.linalg.norm(Q, axis=0), np.linalg.norm(X, axis=0), rtol=1e-13
    )
    np.testing.assert_allclose(
        Q / np.linalg.norm(Q, axis=0), P / np.linalg.norm(P, axis=0), atol=1e-14
    )


@pytest.mark.parametrize("options", [{}, {"per_vector": True}])
def test_equivariance(rng, options):
    """To the order and signs of entries, the order of vectors, and a common scale."""
    X = rng.standard_normal((30, 7))
    P = projection_hoyer(X, 0.7, **options)
    rows, columns = rng.permutation(30), rng.permutation(7)
    permuted = projection_hoyer(X[rows][:, columns], 0.7, **options)
    np.testing.assert_allclose(permuted, P[rows][:, columns], atol=1e-12)
    signs = rng.choice([-1.0, 1.0], X.shape)
    turned = projection_hoyer(signs * X, 0.7, **options)
    np.testing.assert_allclose(turned, signs * P, atol=1e-13)
    scaled = projection_hoyer(3.7 * X, 0.7, **options)
    np.testing.assert_allclose(scaled, 3.7 * P, atol=1e-11)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": "keep_l2"},
        {"per_vector": True},
    ],
    ids=str,
)
def test_idempotence(rng, dtype, options):
    X = rng.standard_normal((40, 25)).astype(dtype)
    P, multiplier = projection_hoyer(X, 0.6, return_multiplier=True, **options)
    assert np.all(multiplier > 0.0)
    again, multiplier = projection_hoyer(P, 0.6, return_multiplier=True, **options)
    np.testing.assert_array_equal(again, P)
    assert not np.any(multiplier)


def test_weights_of_one_change_no_bit(rng):
    X = rng.standard_normal((100, 9))
    P = projection_hoyer(X, 0.7)
    for weights in (1.0, np.ones(X.shape)):
        np.testing.assert_array_equal(projection_hoyer(X, 0.7, weights=weights), P)
    nearly = projection_hoyer(X, 0.7, weights=rng.uniform(1.0 - 1e-12, 1.0, X.shape))
    np.testing.assert_allclose(nearly, P, atol=1e-10)


@pytest.mark.parametrize("shape", [(1500, 60), (60, 1500), (90_000, 1)])
@pytest.mark.parametrize("options", [{}, {"per_vector": True}, {"weights": 1}])
def test_threads_change_no_bit(rng, shape, options):
    X = rng.standard_normal(shape)
    if "weights" in options:
        options = {"weights": rng.uniform(0.1, 1.0, shape)}
    P = projection_hoyer(X, 0.8, n_threads=1, **options)
    for n_threads in (2, 5):
        Q = projection_hoyer(X, 0.8, n_threads=n_threads, **options)
        np.testing.assert_array_equal(P, Q)


def test_list_is_as_matrix(rng):
    X, W = rng.standard_normal((20, 6)), rng.uniform(0.1, 1.0, (20, 6))
    for weights in (None, W):
        P, multiplier = projection_hoyer(
            X, 0.7, weights=weights, return_multiplier=True
        )
        vectors = [x.reshape(4, 5) for x in X.T]
        as_list = None if weights is None else [w.reshape(4, 5) for w in W.T]
        Q, same = projection_hoyer(
            vectors, 0.7, weights=as_list, return_multiplier=True
        )
        np.testing.assert_array_equal([q.ravel() for q in Q], P.T)
        assert multiplier == same


def test_list_keeps_types_and_order(rng):
    vectors = [rng.standard_normal(5).astype(np.float32), np.arange(7), np.ones((2, 3))]
    P = projection_hoyer(tuple(vectors), 0.6)
    assert [p.dtype.char for p in P] == ["f", "d", "d"]
    assert [p.shape for p in P] == [(5,), (7,), (2, 3)]
    assert abs(average(P) - 0.6) < 1e-7


@pytest.mark.parametrize("options", [{}, {"weights": 1}], ids=str)
def test_warm_start(rng, options, monkeypatch):
    """The same result, sooner, from any start."""
    X = rng.standard_normal((400, 60))
    if "weights" in options:
        options = {"weights": rng.uniform(0.1, 1.0, X.shape)}
    P, multiplier = projection_hoyer(X, 0.8, return_multiplier=True, **options)
    for start in (multiplier, 0.5 * multiplier, 3.0 * multiplier, 0.0, 1e300, math.inf):
        Q = projection_hoyer(X, 0.8, start=start, **options)
        np.testing.assert_allclose(Q, P, atol=1e-9)

    calls = []
    measure = _hoyer_vectors.Measured.measure
    monkeypatch.setattr(
        _hoyer_vectors.Measured,
        "measure",
        lambda self, thresholds: calls.append(1) or measure(self, thresholds),
    )
    projection_hoyer(X, 0.8, start=0.0, **options)
    n_cold = len(calls)
    projection_hoyer(X, 0.8, start=0.999 * multiplier, **options)
    assert len(calls) - n_cold < n_cold


def test_few_measurements_at_ties(monkeypatch):
    """Jumps are tried before anything is bisected."""
    calls = []
    measure = _hoyer_vectors.Measured.measure
    monkeypatch.setattr(
        _hoyer_vectors.Measured,
        "measure",
        lambda self, thresholds: calls.append(1) or measure(self, thresholds),
    )
    X = np.random.default_rng(0).choice([-2.0, -1.0, 0.0, 1.0, 2.0], (64, 256))
    P = projection_hoyer(X, 0.9, axis=1)
    assert abs(average(P, axis=1) - 0.9) < 1e-12
    assert len(calls) < 20


@pytest.mark.parametrize(
    ("draw", "percentages"),
    [
        ("standard_normal", [58, 72, 84, 93, 98]),
        ("random", [67, 79, 88, 95, 99]),
        ("laplace", [50, 68, 82, 92, 98]),
    ],
)
def test_zeros_of_long_vectors_are_those_of_the_user_guide(draw, percentages):
    """Those of random vectors, by their distribution; doc/pruning.rst has a table."""
    x = getattr(np.random.default_rng(0), draw)(size=1_000_000)
    sparsities = [0.5, 0.6, 0.7, 0.8, 0.9]
    for sparsity, percentage in zip(sparsities, percentages, strict=True):
        zeros = np.mean(projection_hoyer(x, sparsity) == 0.0)
        assert zeros == pytest.approx(percentage / 100, abs=0.006)
