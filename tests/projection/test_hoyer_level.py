"""The group sparse projection has the level of sparsity that it should have."""

import itertools
import math

import fuzz_hoyer
import numpy as np
import pytest
from hoyer_cases import N_INPUTS, average

from skproj.projection import (
    _reference,
    hoyer_sparsity,
    projection_hoyer,
)


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


@pytest.mark.parametrize("start", range(0, N_INPUTS, 70))
def test_adversarial_groups(start):
    """What fuzz_hoyer.py checks, for some of its inputs."""
    assert not fuzz_hoyer.fuzz(1, range(start, start + 70))


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
    assert fuzz_hoyer.fuzz(1, range(21))


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
        P = projection_hoyer(X, 0.3)
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
