"""The Hoyer sparsity and the group sparse projection, on arrays and tensors."""

import inspect
import itertools
import math

import fuzz_hoyer
import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch.autograd import gradcheck, gradgradcheck

import skproj.nn.functional as F
from skproj import projection as arrays
from skproj.nn.functional import _hoyer_solver
from skproj.projection import (
    _hoyer_vectors,
    _reference,
    hoyer_sparsity,
    projection_hoyer,
)

N_INPUTS = 420  # twenty of each family

# PyTorch prepares for its forward mode by a function that it has deprecated itself.
by_script_of_torch = pytest.mark.filterwarnings(
    "ignore:.torch.jit.script:DeprecationWarning"
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def average(P, **kwargs):
    return np.nanmean(hoyer_sparsity(P, **kwargs))


def sum_of_products(X, P):
    """What the projection maximises, for columns."""
    norms = np.linalg.norm(P, axis=0)
    return np.sum(X * P / np.where(norms > 0.0, norms, 1.0))


# ---------------------------------------------------------------------------
# The sparsity


def test_sparsity_of_known_vectors():
    X = np.array([[3.0, 1.0, 0.0, 1.0], [0.0, -1.0, 0.0, 2.0], [0.0, 1.0, 0.0, 2.0]])
    expected = [1.0, 0.0, 1.0, (math.sqrt(3) - 5 / 3) / (math.sqrt(3) - 1)]
    np.testing.assert_allclose(hoyer_sparsity(X), expected, atol=1e-15)


@pytest.mark.parametrize("axis", [0, 1, 2, (0, 2), (1, 0), None])
def test_sparsity_of_slices(rng, axis):
    X = rng.standard_normal((3, 4, 5))
    axes = (0, 1, 2) if axis is None else np.atleast_1d(axis)
    rest = [i for i in range(3) if i not in axes]
    size = math.prod(X.shape[i] for i in axes)
    vectors = X.transpose(*rest, *axes).reshape(-1, size)
    expected = [_reference.hoyer_sparsity(x) for x in vectors]
    actual = hoyer_sparsity(X, axis=axis)
    assert np.shape(actual) == tuple(X.shape[i] for i in rest)
    np.testing.assert_allclose(np.ravel(actual), expected, rtol=1e-13)


def test_weighted_sparsity(rng):
    X, W = rng.standard_normal((9, 4)), rng.uniform(0.0, 3.0, (9, 4))
    expected = [_reference.hoyer_sparsity(*xw) for xw in zip(X.T, W.T, strict=True)]
    np.testing.assert_allclose(hoyer_sparsity(X, weights=W), expected, rtol=1e-12)
    np.testing.assert_allclose(
        hoyer_sparsity(X, weights=W * 1e200), expected, rtol=1e-12
    )


def test_sparsity_of_short_vectors():
    """A vector of one entry has none; without entries there is nothing to say."""
    assert np.isnan(hoyer_sparsity(np.ones((1, 3)))).all()
    assert np.isnan(hoyer_sparsity(np.ones((0, 3)))).all()
    assert hoyer_sparsity(np.ones((3, 0))).shape == (0,)
    actual = hoyer_sparsity([np.ones(1), np.eye(2), np.ones(3)])
    np.testing.assert_allclose(actual, [np.nan, 2 - math.sqrt(2), 0.0], atol=1e-12)


@pytest.mark.parametrize("exponent", [-300, -150, 150, 300])
def test_sparsity_does_not_depend_on_the_scale(rng, exponent):
    X = rng.standard_normal((50, 4))
    actual = hoyer_sparsity(X * 10.0**exponent)
    np.testing.assert_allclose(actual, hoyer_sparsity(X), rtol=1e-12)


# ---------------------------------------------------------------------------
# The level


@pytest.mark.parametrize("start", range(0, N_INPUTS, 60))
def test_adversarial_groups(start):
    """What fuzz_hoyer.py checks, for some of its inputs."""
    failures, first = fuzz_hoyer.fuzz(1, range(start, start + 60))
    assert not failures, first


def test_adversarial_groups_are_of_every_family():
    cases = [fuzz_hoyer.make_case(1, index) for index in range(N_INPUTS)]
    assert {name for case in cases for name in case.families} == set(
        fuzz_hoyer.FAMILIES
    )
    assert {case.weights is None for case in cases} == {True, False}
    assert {case.vectors[0].dtype.char for case in cases} == {"f", "d"}


@pytest.mark.parametrize("spoil", ["level", "signs", "zeros", "objective"])
def test_adversarial_groups_notice_wrong_results(monkeypatch, spoil):
    """The checks fail for a projection that is wrong in one respect."""
    project = projection_hoyer

    def spoiled(X, sparsity, **arguments):
        result = project(X, sparsity, **arguments)
        P = result[0] if arguments.get("return_multiplier") else result
        for x, p in zip(X, P, strict=True):
            if spoil == "level":
                p[np.abs(p).argmax()] *= 1.0 + 1e-5
            elif spoil == "signs":
                p *= -1.0
            elif spoil == "zeros":
                p[p == 0.0] = 1e-30
            else:  # the same sparsity, elsewhere
                p[...] = np.where(x >= 0.0, 1.0, -1.0) * np.abs(p)[::-1]
        return result

    monkeypatch.setattr(fuzz_hoyer, "projection_hoyer", spoiled)
    failures, _ = fuzz_hoyer.fuzz(1, range(21))
    assert failures


def _ternary(rng):
    return rng.choice([-1.0, 0.0, 1.0], (64, 256))


def _clipped_at_largest(rng):
    X = rng.standard_normal((64, 256))
    second = -np.sort(-np.abs(X), axis=1)[:, 1:2]
    return np.clip(X, -second, second)


# Groups of rows on which the iteration alone does not arrive at the target.
TIES = {
    "signs": (lambda rng: rng.choice([-1.0, 1.0], (64, 256)), 0.5),
    "binary": (lambda rng: rng.integers(0, 2, (64, 256)).astype(float), 0.6),
    "all equal": (lambda rng: np.ones((64, 256)), 0.5),
    "ternary": (_ternary, 0.8),
    "two largest": (_clipped_at_largest, 0.97),
    "clipped at 1": (lambda rng: np.clip(rng.standard_normal((64, 256)), -1, 1), 0.5),
    "clipped at .5": (lambda rng: np.clip(rng.normal(size=(64, 256)), -0.5, 0.5), 0.3),
    "float32, 1e20": (lambda rng: np.float32(1e20 * rng.normal(size=(64, 256))), 0.8),
    "float32, 1e15": (lambda rng: np.float32(1e15 * rng.normal(size=(64, 256))), 0.8),
    "float32, 1e-20": (lambda rng: np.float32(1e-20 * rng.normal(size=(64, 256))), 0.8),
}


@pytest.mark.parametrize("name", TIES)
@pytest.mark.parametrize("per_vector", [False, True])
def test_ties_and_scales(rng, name, per_vector):
    make, sparsity = TIES[name]
    X = make(rng)
    P = projection_hoyer(X, sparsity, axis=1, per_vector=per_vector)
    assert P.dtype == X.dtype
    tolerance = 1e-7 if X.dtype == np.float32 else 1e-12
    levels = hoyer_sparsity(P, axis=1)
    if per_vector:
        np.testing.assert_allclose(levels, sparsity, atol=tolerance)
    assert abs(levels.mean() - sparsity) <= tolerance


def test_ties_in_lists(rng):
    """A ragged group with ties, and one with a vector of one entry."""
    vectors = [np.ones(4), np.ones(9), np.array([1.0, 1.0, 0.5])]
    assert abs(average(projection_hoyer(vectors, 0.5)) - 0.5) < 1e-12
    vectors = [rng.standard_normal(n) for n in (30, 1, 200)]
    P = projection_hoyer(vectors, 0.8)
    assert abs(average(P) - 0.8) < 1e-12
    assert P[1] == vectors[1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sparsity", [0.5, 0.8, 0.95, 0.99])
def test_level_of_large_matrices(rng, dtype, sparsity):
    """Where a sample tells where to start, also if it misleads."""
    X = rng.standard_normal((300, 800)).astype(dtype)
    X[::7] *= 30.0
    X[:, ::3] *= 1e-3
    tolerance = 1e-7 if dtype == np.float32 else 1e-11
    for Y in (
        X,
        np.ascontiguousarray(X[:, ::-1]),
        np.sort(X, axis=None).reshape(X.shape),
    ):
        P = projection_hoyer(Y, sparsity, axis=1)
        expected = max(sparsity, average(Y, axis=1))
        assert abs(average(P, axis=1) - expected) <= tolerance


@pytest.mark.parametrize("exponent", [-300, -250, 100, 300])
def test_extreme_scales(rng, exponent):
    X = rng.standard_normal((50, 6))
    P, multiplier = projection_hoyer(X, 0.7, return_multiplier=True)
    scaled, larger = projection_hoyer(X * 10.0**exponent, 0.7, return_multiplier=True)
    np.testing.assert_allclose(scaled, P * 10.0**exponent, rtol=1e-9)
    assert larger == pytest.approx(multiplier * 10.0**exponent, rel=1e-9)


def test_ties_to_rounding_of_small_scale():
    """The squares of their differences do not vanish."""
    for seed in range(50):
        rng = np.random.default_rng(seed)
        X = 1.0 + rng.integers(0, 4, (6, 2)) * np.finfo(np.float64).eps
        for per_vector in (False, True):
            P = projection_hoyer(X, 0.7, per_vector=per_vector)
            scaled = projection_hoyer(np.ldexp(X, -464), 0.7, per_vector=per_vector)
            np.testing.assert_array_equal(scaled, np.ldexp(P, -464))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": "keep_l2"},
        {"per_vector": True},
        {"weights": np.linspace(0.5, 1.0, 6)[:, np.newaxis]},
        {"target": "zeros"},
        {"objective": "ls"},
    ],
    ids=str,
)
@pytest.mark.parametrize(("dtype", "exponent"), [("f4", 127), ("f8", 1023)])
def test_entries_near_the_largest_number(dtype, exponent, options):
    """The result is right, or it is refused if it is beyond that."""
    n_refused = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        X = np.ldexp(rng.uniform(-1.9, 1.9, (6, 2)), exponent).astype(dtype)
        expected = projection_hoyer(np.ldexp(X.astype("f8"), -exponent), 0.5, **options)
        for out in (None, np.full_like(X, 7.0)):
            if np.abs(expected).max() < 2.0:
                P = projection_hoyer(X, 0.5, out=out, **options)
                P = np.ldexp(P.astype("f8"), -exponent)
                rtol = 1e-6 if dtype == "f4" else 1e-9
                np.testing.assert_allclose(P, expected, rtol=rtol)
                continue
            with pytest.raises(ValueError, match="X is too large: its projection"):
                projection_hoyer(X, 0.5, out=out, **options)
            n_refused += 1
            if out is not None:
                np.testing.assert_array_equal(out, 7.0)
    assert 0 < n_refused < 60


def test_vectors_of_very_different_scales(rng):
    X = rng.standard_normal((50, 4)) * [1e-200, 1e-100, 1.0, 1e200]
    for per_vector in (False, True):
        P = projection_hoyer(X, 0.6, per_vector=per_vector)
        assert abs(average(P) - 0.6) < 1e-11
    np.testing.assert_allclose(hoyer_sparsity(P), 0.6, atol=1e-11)


@pytest.mark.filterwarnings("error")
def test_ties_of_very_different_scales():
    """Thresholds of the shortest vectors do not overflow on the way."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X = [
            scale * rng.choice([1.0, 0.5, 1.0 + 1e-15], n)
            for n, scale in zip(rng.integers(2, 40, 3), [1e280, 1, 1e-300], strict=True)
        ]
        P = projection_hoyer(X, 0.3, objective="ls")
        assert abs(average(P) - max(0.3, average(X))) < 1e-10


@pytest.mark.filterwarnings("error")
def test_weights_of_zero_at_high_sparsity():
    """Where differences are rounding errors, the level is met all the same."""
    for seed in range(200):
        rng = np.random.default_rng(seed)
        X = np.exp(8.0 * rng.standard_normal((5, 1)))
        W = rng.uniform(0.1, 2.0, (5, 1))
        W[rng.integers(5)] = 0.0
        wanted = max(1.0 - 1e-9, average(X, weights=W))
        P = projection_hoyer(X, wanted, weights=W)
        assert abs(average(P, weights=W) - wanted) < 1e-10


def test_equal_entries_that_fill_the_average():
    """They are all left, or one of them; no vector takes up a rounding error."""
    for n, r in itertools.product((2, 3, 5, 6, 7), (3, 5, 7, 9, 11)):
        for n_spent in range(1, r):
            P = projection_hoyer(np.ones((n, r)), n_spent / r)
            assert all(len(np.unique(p[p > 0.0])) == 1 for p in P.T)


def test_zero_vectors_do_not_set_the_scale(rng):
    X = rng.standard_normal((50, 4)) * [1e-290, 1e-303, 0.0, 1e-290]
    P = projection_hoyer(X, 0.8)
    assert abs(average(P) - 0.8) < 1e-9
    assert np.count_nonzero(P[:, 1]) == 1  # so much shorter than the others


def test_zero_vectors_count_as_sparse(rng):
    """Two of four vectors are 1, so that the others need less."""
    X = rng.standard_normal((40, 4))
    X[:, 1:3] = 0.0
    P = projection_hoyer(X, 0.7)
    assert abs(average(P) - 0.7) < 1e-12
    assert abs(hoyer_sparsity(P)[[0, 3]].mean() - 0.4) < 1e-12
    assert not projection_hoyer(np.zeros((3, 2)), 1.0).any()


def test_sparsity_of_one_leaves_one_entry(rng):
    X = np.round(rng.standard_normal((20, 5)), 1)
    X[3:5, 2] = 7.0
    P = projection_hoyer(X, 1.0)
    first = np.abs(X).argmax(axis=0)
    expected = np.zeros_like(X)
    expected[first, np.arange(5)] = X[first, np.arange(5)]
    np.testing.assert_array_equal(P, expected)


# ---------------------------------------------------------------------------
# Optimality


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


def _best_by_slsqp(X, sparsity, objective, rng, n_starts=6):
    """Largest objective that a general solver finds from several starts."""
    n, r = X.shape
    A = np.abs(X)

    def products(x):
        return (x.reshape(n, r) * A).sum(axis=0)

    def value(x):
        return -np.sum(products(x) ** (2 if objective == "ls" else 1))

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
        best = _best_by_slsqp(X, sparsity, "surrogate", rng)
        P = projection_hoyer(X, sparsity)
        assert best > 0.0
        assert sum_of_products(X, P) >= best * (1.0 - 1e-7)


@pytest.mark.parametrize("kind", ["gaussian", "scaled", "single"])
@pytest.mark.filterwarnings("ignore:Values in x were outside bounds:RuntimeWarning")
def test_least_squares_objective(rng, kind):
    """Its distance is not larger than the surrogate's, nor than a general solver's."""
    for sparsity in (0.4, 0.6, 0.8):
        X = KINDS[kind](rng)
        P = projection_hoyer(X, sparsity, objective="ls")
        Q = projection_hoyer(X, sparsity)
        assert abs(average(P) - max(sparsity, average(X))) < 1e-11
        distance = np.sum((X - P) ** 2)
        assert distance <= np.sum((X - Q) ** 2) * (1.0 + 1e-12)
        if average(X) < sparsity:
            best = _best_by_slsqp(X, sparsity, "ls", rng)
            assert distance <= np.sum(X**2) - best + 1e-6 * np.sum(X**2)


def test_least_squares_objective_is_another_one():
    X = np.array([[1.0, 30.0], [0.9, 20.0], [0.8, 25.0], [0.2, 10.0]])
    P = projection_hoyer(X, 0.5, objective="ls")
    Q = projection_hoyer(X, 0.5)
    assert np.sum((X - P) ** 2) < 0.99 * np.sum((X - Q) ** 2)


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


# ---------------------------------------------------------------------------
# Invariances


@pytest.mark.parametrize("options", [{}, {"per_vector": True}, {"target": "zeros"}])
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
        {"target": "zeros"},
        {"target": "zeros", "per_vector": True},
        {"objective": "ls"},
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


# ---------------------------------------------------------------------------
# Each vector by itself, and zeros


def test_each_vector_by_bisection(rng):
    X = rng.standard_normal((50, 8)) * np.exp(rng.standard_normal(8))
    P, multipliers = projection_hoyer(X, 0.75, per_vector=True, return_multiplier=True)
    for x, p, mu in zip(X.T, P.T, multipliers, strict=True):
        np.testing.assert_allclose(p, _reference.hoyer([x], 0.75)[0], atol=1e-12)
        left = np.abs(x) > mu / (math.sqrt(50) - 1.0)
        np.testing.assert_array_equal(left, p != 0.0)


@pytest.mark.parametrize("noise", [1e-8, 1e-11, 1e-13, 1e-15])
def test_each_vector_of_nearly_equal_entries(rng, noise):
    X = 1.0 + noise * rng.standard_normal((100, 20))
    for sparsity in (0.1, 0.5, 0.9):
        P = projection_hoyer(X, sparsity, per_vector=True)
        np.testing.assert_allclose(hoyer_sparsity(P), sparsity, atol=1e-13)


def test_fewest_entries_at_ties():
    """Of equal entries no more are kept than the sparsity needs."""
    P = projection_hoyer(np.ones((100, 3)), 0.5, per_vector=True)
    mean = 10.0 - 0.5 * 9.0
    assert (np.count_nonzero(P, axis=0) == math.ceil(mean**2)).all()


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 0.9, 0.97, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_fraction_of_zeros(rng, sparsity, weighted):
    X = rng.standard_normal((40, 25)) * np.exp(rng.standard_normal(25))
    weights = rng.uniform(0.1, 2.0, X.shape) if weighted else None
    P = projection_hoyer(X, sparsity, target="zeros", weights=weights)
    # One entry of each vector is kept in any case.
    assert np.count_nonzero(P) == max(X.size - round(sparsity * X.size), 25)
    assert (np.count_nonzero(P, axis=0) > 0).all()
    Q, multiplier = projection_hoyer(
        X, sparsity, target="zeros", weights=weights, return_multiplier=True
    )
    if sparsity:
        rates = 1.0 / (math.sqrt(40) - 1.0)
        if weighted:
            W = weights / weights.max(axis=0)
            rates = W / (np.linalg.norm(W, axis=0) - W.min(axis=0))
        above = np.abs(X) > multiplier * rates
        assert (Q[above] != 0.0).all()
        assert np.count_nonzero(Q[~above]) == np.count_nonzero(~above.any(axis=0))


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_fraction_of_zeros_of_each_vector(rng, sparsity):
    vectors = [rng.standard_normal(n) for n in (2, 30, 7, 30, 1)]
    P = projection_hoyer(vectors, sparsity, target="zeros", per_vector=True)
    for x, p in zip(vectors[:-1], P, strict=False):
        wanted = min(round(sparsity * len(x)), len(x) - 1)
        assert np.count_nonzero(p == 0.0) == wanted


def test_fraction_of_zeros_counts_those_that_are_there(rng):
    X = rng.standard_normal((10, 10))
    X[:5] = 0.0
    X[:, 3] = 0.0
    np.testing.assert_array_equal(projection_hoyer(X, 0.5, target="zeros"), X)
    P = projection_hoyer(X, 0.7, target="zeros")
    assert np.count_nonzero(P == 0.0) == 70
    P = projection_hoyer(X, 0.7, target="zeros", per_vector=True)
    np.testing.assert_array_equal((P == 0.0).sum(axis=0), [7, 7, 7, 10] + [7] * 6)


# ---------------------------------------------------------------------------
# Arrays of all kinds


LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "reversed": lambda X: np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1],
    "strided": lambda X: np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3],
    "wide": lambda X: np.hstack([X, X])[:, : X.shape[1]],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("axis", [0, 1, None])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layouts(rng, layout, axis, dtype):
    X = rng.standard_normal((37, 21)).astype(dtype)
    for options in ({}, {"per_vector": True}, {"weights": rng.random((37, 21)) + 0.1}):
        if axis is None and "per_vector" in options:
            continue
        expected = projection_hoyer(X, 0.7, axis=axis, **options)
        Y = LAYOUTS[layout](X)
        Y.setflags(write=False)
        P = projection_hoyer(Y, 0.7, axis=axis, **options)
        np.testing.assert_allclose(P, expected, rtol=1e-4 if dtype == "f" else 1e-9)
        assert P.dtype == dtype
        out = LAYOUTS[layout](np.zeros_like(X))
        assert projection_hoyer(X, 0.7, axis=axis, out=out, **options) is out
        np.testing.assert_array_equal(out, expected)
        Z = LAYOUTS[layout](X).copy(order="K")
        projection_hoyer(Z, 0.7, axis=axis, out=Z, **options)
        np.testing.assert_array_equal(Z, P)


@pytest.mark.parametrize("axis", [0, (1, 2), (0, 2), (2, 0), None, -1])
def test_tensors(rng, axis):
    X = rng.standard_normal((4, 5, 6))
    P = projection_hoyer(X, 0.6, axis=axis)
    assert abs(average(P, axis=axis) - 0.6) < 1e-11
    assert P.shape == X.shape


def test_overlapping_out(rng):
    memory = rng.standard_normal(41)
    expected = projection_hoyer(memory[:-1], 0.6)
    projection_hoyer(memory[:-1], 0.6, out=memory[1:])
    np.testing.assert_array_equal(memory[1:], expected)


def test_integers_become_float64():
    P = projection_hoyer(np.arange(12).reshape(4, 3), 0.6)
    assert P.dtype == np.float64
    assert abs(average(P) - 0.6) < 1e-12


def test_nothing_to_do(rng):
    """Sparse enough, without entries, or with one: everything comes back as it is."""
    X = rng.standard_normal((10, 3))
    for Y in (X, X[:1], X[:0], X[:, :0], np.empty(0), np.ones(1)):
        P, multiplier = projection_hoyer(Y, 0.01, return_multiplier=True)
        np.testing.assert_array_equal(P, Y)
        assert not np.shares_memory(P, Y)
        assert multiplier == 0.0
    assert projection_hoyer([], 0.5).shape == (0,)
    [p] = projection_hoyer([np.ones(1)], 0.9)
    assert p == 1.0


def test_out_for_lists(rng):
    vectors = [rng.standard_normal(5), rng.standard_normal((2, 4))]
    expected = projection_hoyer(vectors, 0.6)
    P = projection_hoyer(vectors, 0.6, out=vectors)
    for p, q, x in zip(P, expected, vectors, strict=True):
        assert p is x
        np.testing.assert_array_equal(p, q)


# ---------------------------------------------------------------------------
# Refusals

X = np.arange(1.0, 13.0).reshape(4, 3)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"sparsity": 1.5}, ValueError, "sparsity must be between 0 and 1, got 1.5"),
        ({"sparsity": math.nan}, ValueError, "sparsity must be between 0 and 1"),
        ({"sparsity": "0.5"}, TypeError, "sparsity must be a real number"),
        ({"sparsity": True}, TypeError, "sparsity must be a real number"),
        ({"target": "nonzeros"}, ValueError, "target must be 'hoyer' or 'zeros'"),
        ({"scale": "l2"}, ValueError, "scale must be 'ls' or 'keep_l2'"),
        ({"objective": "l2"}, ValueError, "objective must be 'surrogate' or 'ls'"),
        (
            {"objective": "ls", "target": "zeros"},
            ValueError,
            "objective must be 'surrogate' if target is 'zeros'",
        ),
        ({"weights": X, "per_vector": True}, ValueError, "weights must be None"),
        ({"weights": -X}, ValueError, "weights must be finite and non-negative"),
        ({"weights": 0.0 * X}, ValueError, "weights must not be all 0 in a vector"),
        ({"weights": np.ones(4)}, ValueError, "weights must have shape"),
        ({"start": -1.0}, ValueError, "start must be non-negative"),
        ({"start": "0"}, TypeError, "start must be a real number or None"),
        ({"axis": 2}, ValueError, "axis"),
        ({"out": np.empty(3)}, ValueError, "out must have shape"),
        ({"n_threads": 0}, ValueError, "n_threads must not be 0"),
        ({"X": X * math.inf}, ValueError, "X contains NaN or infinity"),
        ({"X": np.array([math.nan])}, ValueError, "X contains NaN or infinity"),
        ({"X": X > 0.0}, TypeError, "X must hold float32"),
        ({"X": [X[0], X[1] * math.nan]}, ValueError, "X contains NaN or infinity"),
        ({"X": [X[0], np.array([math.inf])]}, ValueError, "X contains NaN or infinity"),
        ({"X": [X[0]], "axis": 1}, ValueError, "axis must be 0 for a list of arrays"),
        ({"X": [X[0]], "weights": X[0]}, ValueError, "weights must be a list"),
        ({"X": [X[0]], "out": X[0]}, ValueError, "out must be a list of 1 arrays"),
        ({"X": [X[0]], "out": [None]}, TypeError, r"out\[0\] must be a NumPy array"),
    ],
)
def test_refusals(arguments, error, message):
    arguments = {"X": X.copy(), "sparsity": 0.5} | arguments
    with np.errstate(invalid="ignore"), pytest.raises(error, match=message):
        projection_hoyer(**arguments)


def test_refusals_write_nothing():
    out = np.full((4, 3), 5.0)
    Y = X.copy()
    Y[2, 1] = math.nan
    with pytest.raises(ValueError, match="X contains NaN"):
        projection_hoyer(Y, 0.5, out=out)
    assert (out == 5.0).all()


def test_sparsity_refuses():
    with pytest.raises(ValueError, match="X contains NaN or infinity"):
        hoyer_sparsity(np.array([1.0, math.inf]))
    with pytest.raises(ValueError, match="axis must be 0 for a list"):
        hoyer_sparsity([X[0]], axis=None)


# ---------------------------------------------------------------------------
# Tensors


@pytest.mark.parametrize("name", ["hoyer_sparsity", "projection_hoyer"])
def test_arguments_on_tensors(name):
    before = inspect.signature(getattr(arrays, name)).parameters
    after = inspect.signature(getattr(F, name)).parameters
    kept = [p for p in before if p not in ("out", "n_threads")]
    assert ["dim" if p == "axis" else p for p in kept] == list(after)
    for p in kept:
        assert before[p].default == after["dim" if p == "axis" else p].default


OPTIONS = [
    {},
    {"per_vector": True},
    {"target": "zeros"},
    {"scale": "keep_l2"},
    {"objective": "ls"},
    {"weights": 1},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dim", [0, 1, (0, 2)])
def test_tensors_are_as_arrays(rng, options, dtype, dim):
    X = torch.from_numpy(rng.standard_normal((4, 5, 6))).to(dtype)
    on_arrays = dict(options)
    if "weights" in options:
        options = {"weights": torch.from_numpy(rng.random((4, 5, 6)) + 0.1)}
        on_arrays = {"weights": options["weights"].numpy()}
    P, multiplier = F.projection_hoyer(
        X, 0.7, dim=dim, return_multiplier=True, **options
    )
    Q, expected = projection_hoyer(
        X.numpy(), 0.7, axis=dim, return_multiplier=True, **on_arrays
    )
    np.testing.assert_array_equal(P.numpy(), Q)
    np.testing.assert_array_equal(multiplier, expected)
    Y = X.clone()
    assert F.projection_hoyer_(Y, 0.7, dim=dim, **options) is Y
    assert torch.equal(Y, P)
    if "weights" in options:
        levels = F.hoyer_sparsity(P, dim, options["weights"])
        same = hoyer_sparsity(Q, dim, on_arrays["weights"])
    else:
        levels, same = F.hoyer_sparsity(P, dim), hoyer_sparsity(Q, dim)
    np.testing.assert_allclose(levels.numpy(), same, atol=1e-12)


def test_lists_of_tensors(rng):
    X = [torch.from_numpy(rng.standard_normal(n)) for n in (5, 1, 9)]
    P = F.projection_hoyer(X, 0.6)
    Q = projection_hoyer([x.numpy() for x in X], 0.6)
    for p, q in zip(P, Q, strict=True):
        np.testing.assert_array_equal(p.numpy(), q)
    np.testing.assert_allclose(F.hoyer_sparsity(P).numpy(), hoyer_sparsity(Q))
    F.projection_hoyer_(X, 0.6)
    assert all(torch.equal(x, p) for x, p in zip(X, P, strict=True))
    assert F.projection_hoyer([], 0.6) == F.projection_hoyer_([], 0.6) == []


def test_half_precision(rng):
    X = torch.from_numpy(rng.standard_normal((30, 5))).to(torch.bfloat16)
    P = F.projection_hoyer(X, 0.7)
    assert P.dtype == torch.bfloat16
    assert abs(float(F.hoyer_sparsity(P).mean()) - 0.7) < 1e-2
    assert torch.equal(P, F.projection_hoyer(X.float(), 0.7).to(torch.bfloat16))


# ---------------------------------------------------------------------------
# Tensors of other devices


def on_device(X, sparsity, weights=None, return_multiplier=False, **options):
    """Project a list of arrays by the code for other devices."""
    sizes = [len(x) for x in X]
    defaults = {"per_vector": False, "target": "hoyer", "scale": "ls"}
    defaults |= {"objective": "surrogate", "start": None}
    flat = torch.from_numpy(np.concatenate(X))
    if weights is not None:
        weights = torch.from_numpy(np.concatenate(weights))
    P, multiplier = _hoyer_solver.project(
        flat, weights, sparsity, [], sizes, **(defaults | options)
    )
    P = [p.numpy() for p in P.split(sizes)]
    return (P, multiplier.numpy()) if return_multiplier else P


@pytest.mark.parametrize("start", range(0, N_INPUTS // 2, 70))
def test_adversarial_groups_on_device(start, monkeypatch):
    """What holds for arrays holds for the code for other devices."""
    monkeypatch.setattr(fuzz_hoyer, "projection_hoyer", on_device)
    failures, first = fuzz_hoyer.fuzz(2, range(start, start + 70))
    assert not failures, first


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"per_vector": True},
        {"target": "zeros"},
        {"target": "zeros", "per_vector": True},
        {"scale": "keep_l2"},
        {"objective": "ls"},
    ],
    ids=str,
)
def test_device_code_equals_function_on_arrays(options):
    """To rounding, ties included; entries equal but for rounding have no one result."""
    for index in range(210):
        case = fuzz_hoyer.make_case(3, index)
        if any("near ties" in name for name in case.families):
            continue
        if "per_vector" in options and case.weights is not None:
            continue
        if "objective" in options and index % 10:
            continue
        arguments = {"weights": case.weights, "return_multiplier": True, **options}
        expected, mu = projection_hoyer(case.vectors, case.sparsity, **arguments)
        results, same = on_device(case.vectors, case.sparsity, **arguments)
        tolerance = 1e-6 if case.vectors[0].dtype == np.float32 else 1e-9
        for p, q in zip(results, expected, strict=True):
            scale = np.abs(q).max()
            np.testing.assert_allclose(p, q, rtol=0, atol=tolerance * scale)
        if "target" in options:
            np.testing.assert_allclose(same, mu, rtol=1e-12)


@pytest.mark.parametrize("axis", [0, 1, (0, 2), (2, 0), None])
@pytest.mark.parametrize("layout", ["C", "F", "strided"])
def test_device_code_takes_slices_of_any_layout(rng, axis, layout):
    X = rng.integers(-4, 5, (4, 5, 6)).astype(float)  # many are equal
    Y = {
        "C": X,
        "F": np.asfortranarray(X),
        "strided": np.repeat(X, 2, axis=1)[:, ::2],
    }[layout]
    W = rng.uniform(0.1, 2.0, (5, 6))
    dims = list(range(3)) if axis is None else list(np.atleast_1d(axis))
    for weights in (None, W):
        expected = projection_hoyer(X, 0.8, axis=axis, weights=weights)
        weights = None if weights is None else torch.from_numpy(weights)
        spec = 0.8, dims, [], False, "hoyer", "ls", "surrogate", None
        P, _ = _hoyer_solver.project(torch.from_numpy(Y), weights, *spec)
        np.testing.assert_allclose(P.numpy(), expected, rtol=0, atol=1e-10)


def test_device_code_ends_on_bad_input(rng):
    """NaN and infinity are not looked for there, but do no harm beyond their result."""
    for bad in (math.nan, math.inf):
        for options in ({}, {"per_vector": True}, {"target": "zeros"}):
            X = [rng.standard_normal(5), rng.standard_normal(3)]
            X[0][2] = bad
            assert len(on_device(X, 0.7, **options)) == 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cuda(rng, options, dtype):
    """Results and gradients agree with the CPU, and stay where they are."""
    X = torch.from_numpy(rng.standard_normal((30, 8))).to(dtype)
    group = [X[:n, 0].clone() for n in (5, 1, 30, 17)]
    there = dict(options)
    if "weights" in options:
        options = {"weights": torch.from_numpy(rng.random((30, 8)) + 0.1)}
        there = {"weights": options["weights"].cuda()}
    tolerance = {"rtol": 0, "atol": 1e-5 if dtype == torch.float32 else 1e-11}
    P, Q = (
        F.projection_hoyer(X, 0.7, **options),
        F.projection_hoyer(X.cuda(), 0.7, **there),
    )
    assert Q.is_cuda
    torch.testing.assert_close(Q.cpu(), P, **tolerance)
    if "weights" not in options:
        results = F.projection_hoyer([x.cuda() for x in group], 0.7, **there)
        for p, q in zip(
            F.projection_hoyer(group, 0.7, **options), results, strict=True
        ):
            torch.testing.assert_close(q.cpu(), p, **tolerance)
    if options.keys() & {"target", "objective"}:
        return
    gradients = []
    for Y, arguments in ((X, options), (X.cuda(), there)):
        Y = Y.clone().requires_grad_()
        (F.projection_hoyer(Y, 0.7, **arguments) ** 3).sum().backward()
        gradients.append(Y.grad.cpu())
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=1e-4)


# ---------------------------------------------------------------------------
# Derivatives


def check_derivatives(function, *tensors):
    """Compare first and second derivatives of both modes with finite differences."""
    tensors = [X.clone().requires_grad_() for X in tensors]
    assert gradcheck(
        function,
        tensors,
        check_forward_ad=True,
        check_batched_grad=True,
        check_batched_forward_grad=True,
    )
    assert gradgradcheck(
        function,
        tensors,
        check_fwd_over_rev=True,
        check_batched_grad=True,
        fast_mode=True,
    )


def random_group(*sizes, seed=0):
    """Make float64 tensors of one dimension."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, dtype=torch.float64, generator=generator) for n in sizes]


@by_script_of_torch
@pytest.mark.parametrize("scale", ["ls", "keep_l2"])
@pytest.mark.parametrize("per_vector", [False, True])
@pytest.mark.parametrize("sparsity", [0.05, 0.4, 0.6, 0.9, 1.0])
def test_derivatives(scale, per_vector, sparsity):
    options = {"scale": scale, "per_vector": per_vector}
    [X] = random_group(15)
    check_derivatives(
        lambda X: F.projection_hoyer(X, sparsity, **options), X.reshape(5, 3)
    )


@by_script_of_torch
@pytest.mark.parametrize("dim", [1, (0, 2), (2, 0), None])
def test_derivatives_of_slices(dim):
    [X] = random_group(12)
    check_derivatives(lambda X: F.projection_hoyer(X, 0.6, dim=dim), X.reshape(2, 2, 3))


@by_script_of_torch
@pytest.mark.parametrize("scale", ["ls", "keep_l2"])
@pytest.mark.parametrize("per_vector", [False, True])
def test_derivatives_of_vectors_of_different_lengths(scale, per_vector):
    """One of a single entry among them, which stays as it is."""

    def project(*group):
        return tuple(F.projection_hoyer(group, 0.6, scale=scale, per_vector=per_vector))

    check_derivatives(project, *random_group(5, 1, 3, 8))


@by_script_of_torch
@pytest.mark.parametrize("scale", ["ls", "keep_l2"])
def test_derivatives_with_weights(scale):
    """One of them is 0, of an entry that never goes."""
    W = [w.abs() + 0.2 for w in random_group(5, 8, seed=1)]
    W[0][2] = 0.0

    def project(*group):
        return tuple(F.projection_hoyer(group, 0.6, weights=W, scale=scale))

    check_derivatives(project, *random_group(5, 8))


# The largest entries of a vector, and the others. At these sparsities the average is
# met without a jump, or jumps where the five are spent and others than all are left.
TIED = torch.tensor([0.7, 0.7, 0.7, 0.7, -0.7, 0.0, 0.0], dtype=torch.float64)
REST = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, 0.3, -0.2], dtype=torch.float64)
OTHER = torch.tensor([1.0, -0.8, 0.9, 0.4, 0.05, 0.3], dtype=torch.float64)
JUMPS = {0.3: False, 0.35: False, 0.5: True, 0.55: True, 0.6: True, 0.62: True}


@pytest.mark.parametrize("sparsity", JUMPS)
def test_where_equal_entries_make_the_average_jump(sparsity):
    """The tests below are of both kinds: at a jump equal entries become unequal."""
    P, _ = F.projection_hoyer([TIED + REST, OTHER], sparsity)
    assert (len(P[:5].abs().unique()) > 1) == JUMPS[sparsity]


@by_script_of_torch
@pytest.mark.parametrize("scale", ["ls", "keep_l2"])
@pytest.mark.parametrize("sparsity", JUMPS)
def test_derivatives_with_equal_entries(sparsity, scale):
    """Exact for all changes but those that make entries unequal at a jump."""

    def project(size, rest, other):
        group = [TIED * size + REST * rest, other]
        return tuple(F.projection_hoyer(group, sparsity, scale=scale))

    one = torch.ones((), dtype=torch.float64)
    check_derivatives(project, one, one, OTHER)
    if not JUMPS[sparsity]:
        check_derivatives(
            lambda *group: tuple(F.projection_hoyer(group, sparsity)),
            TIED + REST,
            OTHER,
        )


@by_script_of_torch
def test_derivatives_at_a_jump_with_weights():
    """Where entries are as their weights, and where one is left, or another one."""
    weights = [torch.tensor([1.0, 2.0, 0.5, 1.5], dtype=torch.float64)]
    weights.append(torch.ones(6, dtype=torch.float64))
    rest = torch.tensor([0.0, 0.0, 0.0, 0.4], dtype=torch.float64)
    proportional = weights[0] * (rest == 0.0)

    def project(size, other, sparsity):
        group = [proportional * size + rest, other]
        return tuple(F.projection_hoyer(group, sparsity, weights=weights))

    one = torch.ones((), dtype=torch.float64)
    for sparsity in (0.5, 0.6):
        check_derivatives(lambda *X, s=sparsity: project(*X, s), one, OTHER)


def test_gradient_along_tied_directions(rng):
    """By differences, for changes that keep equal what is equal, of many families."""
    for index in range(105):
        case = fuzz_hoyer.make_case(0, index)
        unusual = {"near ties", "few near ties", "tiny", "huge"}
        if unusual & set(case.families) or sum(map(len, case.vectors)) > 500:
            continue
        X = [torch.from_numpy(x.astype(float)) for x in case.vectors]
        W = case.weights and [torch.from_numpy(w) for w in case.weights]
        magnitudes = torch.cat(X).abs().unique()
        changes = magnitudes * torch.from_numpy(rng.standard_normal(len(magnitudes)))
        T = [changes[torch.searchsorted(magnitudes, x.abs())] * x.sign() for x in X]
        G = [torch.from_numpy(rng.standard_normal(len(x))) for x in X]

        def loss(t, X=X, T=T, G=G, W=W, case=case):
            moved = [x + t * d for x, d in zip(X, T, strict=True)]
            P = F.projection_hoyer(moved, case.sparsity, weights=W)
            return sum((g * p).sum() for g, p in zip(G, P, strict=True))

        t = torch.zeros((), dtype=torch.float64, requires_grad=True)
        [slope] = torch.autograd.grad(loss(t), t)
        # At a kink one of the sides counts, and a kink may be near.
        differences = [
            (loss(a * step) - loss(b * step)) / ((a - b) * step)
            for step in (1e-4, 1e-5, 1e-6, 1e-7)
            for a, b in ((0.5, -0.5), (1, 0), (0, -1))
        ]
        scale = 1e-3 * (slope.abs() + torch.cat(X).abs().max())
        assert min((slope - d).abs() for d in differences) <= scale, case


def test_gradient_does_not_depend_on_the_scale():
    [X] = random_group(24)
    gradients = []
    for factor in (1.0, 1e-200, 1e200):
        Y = (X.reshape(6, 4) * factor).requires_grad_()
        F.projection_hoyer(Y, 0.6)[0].sum().backward()
        gradients.append(Y.grad)
    torch.testing.assert_close(gradients[1], gradients[0])
    torch.testing.assert_close(gradients[2], gradients[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradient_of_other_types(dtype):
    """That of the same numbers in float64, rounded."""
    X = torch.randn(200, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    gradients = []
    for Y in (X.clone(), X.double()):
        Y.requires_grad_()
        F.projection_hoyer(Y, 0.7)[::2].sum().backward()
        gradients.append(Y.grad.double())
    torch.testing.assert_close(*gradients, rtol=0, atol=50 * torch.finfo(dtype).eps)


def test_gradient_where_nothing_changes():
    """The identity, and 0 for a vector of zeros in a group that is made sparser."""
    X = torch.randn(6, 4, dtype=torch.float64).requires_grad_()
    G = torch.randn(6, 4, dtype=torch.float64)
    assert torch.equal(torch.autograd.grad(F.projection_hoyer(X, 0.0), X, G)[0], G)
    X = torch.cat([X.detach()[:, :3], torch.zeros(6, 1)], dim=1).requires_grad_()
    gradient = torch.autograd.grad(F.projection_hoyer(X, 0.8), X, G)[0]
    assert gradient.isfinite().all()
    assert not gradient[:, 3].any()


def test_gradient_of_sparsity():
    X = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(F.hoyer_sparsity, X)
    Z = torch.zeros(3, 2, requires_grad=True)
    levels = F.hoyer_sparsity(Z)
    assert levels.tolist() == [1.0, 1.0]
    levels.sum().backward()
    assert not Z.grad.isnan().any()


@by_script_of_torch
@pytest.mark.parametrize("per_vector", [False, True])
def test_transforms(per_vector):
    """Those of torch.func agree with each other, and torch.vmap with a loop."""
    torch.manual_seed(0)
    batch = torch.randn(6, 3, 4, dtype=torch.float64)
    W = torch.rand(3, 6, 4, dtype=torch.float64) + 0.1

    def project(X):
        return F.projection_hoyer(X, 0.6, per_vector=per_vector)

    def loss(X):
        return (project(X) ** 3).sum()

    X = batch[:, 0]
    jacobian = torch.func.jacrev(project)(X)
    torch.testing.assert_close(torch.func.jacfwd(project)(X), jacobian)
    tangent = torch.func.jvp(project, (X,), (W[0],))[1]
    torch.testing.assert_close(tangent, torch.tensordot(jacobian, W[0], 2))
    hessian = torch.func.hessian(loss)(X)
    assert hessian.any()
    torch.testing.assert_close(torch.autograd.functional.hessian(loss, X), hessian)
    with pytest.raises(RuntimeError, match="forward mode cannot be nested"):
        torch.func.jacfwd(torch.func.jacfwd(loss))(X)

    mapped = torch.vmap(project, in_dims=1, out_dims=1)
    expected = torch.stack([project(X) for X in batch.unbind(1)], dim=1)
    assert torch.equal(mapped(batch), expected)
    changed = batch.clone()
    torch.vmap(lambda X: F.projection_hoyer_(X, 0.6, per_vector=per_vector), in_dims=1)(
        changed
    )
    assert torch.equal(changed, expected)
    gradients = torch.vmap(torch.func.grad(loss), in_dims=1)(batch)
    for X, gradient in zip(batch.unbind(1), gradients, strict=True):
        torch.testing.assert_close(gradient, torch.func.grad(loss)(X))
    assert mapped(batch[:, :0]).shape == (6, 0, 4)
    assert torch.vmap(torch.func.grad(loss), 1)(batch[:, :0]).shape == (0, 6, 4)


def test_transforms_of_lists_weights_and_multipliers():
    torch.manual_seed(0)
    A, B = torch.randn(3, 5, dtype=torch.float64), torch.randn(7, 3).double()
    W = torch.rand(3, 5, dtype=torch.float64) + 0.1

    def project(a, b):
        P, multiplier = F.projection_hoyer([a, b], 0.6, return_multiplier=True)
        return *P, multiplier

    mapped = torch.vmap(project, in_dims=(0, 1))(A, B)
    rows = [project(a, b) for a, b in zip(A, B.T, strict=True)]
    for actual, expected in zip(mapped, zip(*rows, strict=True), strict=True):
        assert torch.equal(actual, torch.stack(expected))
    x = A[0]
    P = torch.vmap(lambda w: F.projection_hoyer(x, 0.6, weights=w))(W)
    expected = [F.projection_hoyer(x, 0.6, weights=w) for w in W]
    assert torch.equal(P, torch.stack(expected))
    with pytest.raises(RuntimeError):  # x has no room for them
        torch.vmap(lambda w: F.projection_hoyer_(x, 0.6, weights=w))(W)
    levels = torch.vmap(F.hoyer_sparsity)(A)
    torch.testing.assert_close(levels, F.hoyer_sparsity(A, dim=1))


# Of PyTorch itself, which instantiates the autograd function that it traces.
by_tracing_of_torch = pytest.mark.filterwarnings(
    "ignore:.*should not be instantiated:DeprecationWarning"
)


@by_tracing_of_torch
@pytest.mark.parametrize(
    "options", [{}, {"per_vector": True}, {"scale": "keep_l2"}, {"weights": 1}], ids=str
)
def test_compile(options):
    """One graph, with gradients, and the same in place."""
    torch.manual_seed(0)
    X = torch.randn(6, 4)
    if "weights" in options:
        options = {"weights": torch.rand(6, 4) + 0.1}

    def loss(X):
        P, multiplier = F.projection_hoyer(
            X * 2.0, 0.6, return_multiplier=True, **options
        )
        return (P**3).sum() * multiplier.sum()

    def in_place(X):
        Y = X * 2.0
        F.projection_hoyer_(Y, 0.6, **options)
        return Y + 1.0

    torch._dynamo.reset()
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    Y = X.clone().requires_grad_()
    compiled(Y).backward()
    torch.testing.assert_close(Y.grad, torch.func.grad(loss)(X))
    compiled = torch.compile(in_place, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(X), in_place(X))


def test_compile_with_another_sparsity():
    """One that changes is not frozen into the graph."""

    def project(X, sparsity):
        P = F.projection_hoyer(X, sparsity)
        return P, F.hoyer_sparsity(P)

    torch._dynamo.reset()
    compiled = torch.compile(project, backend="eager", fullgraph=True)
    X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    for sparsity in (0.5, 0.6, 0.7):
        torch.testing.assert_close(compiled(X, sparsity), project(X, sparsity))


@by_tracing_of_torch
def test_compile_lists():
    """Of lengths that change from call to call."""
    torch.manual_seed(0)

    def loss(a, b):
        return sum((P**3).sum() for P in F.projection_hoyer([a, b], 0.6))

    torch._dynamo.reset()
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    for n in (5, 9):
        a, b = torch.randn(n), torch.randn(3, 2)
        expected = torch.func.grad(loss, (0, 1))(a, b)
        a.requires_grad_(), b.requires_grad_()
        compiled(a, b).backward()
        torch.testing.assert_close((a.grad, b.grad), expected)


@pytest.mark.parametrize(
    ("shape", "weighted", "dims", "sizes", "per_vector", "start"),
    [
        ((5, 4), False, [0], [], False, None),
        ((5, 4), False, [0], [], True, None),
        ((5, 4), True, [0, 1], [], False, 0.1),
        ((9,), False, [], [4, 5], True, None),
    ],
)
def test_operator_is_well_defined(shape, weighted, dims, sizes, per_vector, start):
    """PyTorch's own checks: schema, fake tensors, dispatch, tracing."""
    weights = torch.rand(shape[-1]) + 0.1 if weighted else None
    options = per_vector, "hoyer", "ls", "surrogate", start
    operator = torch.ops.skproj.project_hoyer.default
    arguments = torch.randn(shape), weights, 0.6, dims, sizes, *options
    torch.library.opcheck(operator, arguments)


def test_results_of_lists_can_be_changed():
    """They do not share memory, of which PyTorch would complain."""
    X = [torch.ones(4, requires_grad=True), torch.ones(9)]
    P, Q = F.projection_hoyer(X, 0.3)
    P.add_(1.0)
    Q.mul_(2.0)
    assert P.untyped_storage().data_ptr() != Q.untyped_storage().data_ptr()


@by_script_of_torch
def test_refusals_of_tensors():
    X = torch.randn(4, 3, requires_grad=True)
    for options in ({"target": "zeros"}, {"objective": "ls"}):
        message = "X requires a gradient, or carries a tangent, which"
        with pytest.raises(RuntimeError, match=message):
            F.projection_hoyer(X, 0.5, **options)
        with pytest.raises(RuntimeError, match=message):
            torch.func.jvp(
                lambda X, options=options: F.projection_hoyer(X, 0.5, **options),
                (X.detach(),),
                (X.detach(),),
            )
        with torch.no_grad():
            F.projection_hoyer(X, 0.5, **options)
    with pytest.raises(RuntimeError, match="X requires a gradient"):
        F.projection_hoyer_(X, 0.5)
    with pytest.raises(RuntimeError, match="X carries a tangent"):
        torch.func.jvp(lambda X: F.projection_hoyer_(X + 0.0, 0.5), (X,), (X,))
    with pytest.raises(TypeError, match=r"X\[1\] must be a torch.Tensor"):
        F.projection_hoyer([torch.ones(2), np.ones(2)], 0.5)
    with pytest.raises(ValueError, match="dim must be 0 for a list"):
        F.hoyer_sparsity([torch.ones(2)], dim=1)
    with pytest.raises(ValueError, match="weights must be a list"):
        F.hoyer_sparsity([torch.ones(2)], weights=torch.ones(2))
    with pytest.raises(RuntimeError, match="several entries in one place"):
        F.projection_hoyer_(torch.ones(1, 3).expand(4, 3), 0.5)
