"""Small arrays, which one call of a kernel projects, give what larger ones give."""

import itertools

import numpy as np
import pytest

from skproj.projection import _engine, norm_l1inf, projection_l1inf_ball

LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "strided": lambda X: np.repeat(np.repeat(X, 2, axis=0), 2, axis=1)[::2, ::2],
    "backwards": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "columns apart": lambda X: np.repeat(X, 2, axis=0)[::2],
}
SHAPES = [(10, 10), (1, 7), (7, 1), (40, 25), (3, 300), (300, 3), (5, 4, 6)]


def in_both_ways(monkeypatch, X, radius, **options):
    """Results and thresholds with the kernel that does all, and without."""
    results = []
    for limit in (_engine.AT_ONCE, 0):
        monkeypatch.setattr(_engine, "AT_ONCE", limit)
        results.append(
            projection_l1inf_ball(X, radius, return_threshold=True, **options)
        )
        monkeypatch.undo()
    return results


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_same_bits(shape, layout, dtype, monkeypatch):
    rng = np.random.default_rng(len(shape) + shape[0])
    X = LAYOUTS[layout](rng.standard_normal(shape).astype(dtype))
    axes = [0, 1, None] if len(shape) == 2 else [0, (1, 2), (0, 2)]
    for axis, share in itertools.product(axes, [0.0, 1e-6, 0.1, 0.9, 1.0, 2.0, np.inf]):
        radius = share * norm_l1inf(X, axis=axis)
        (P, theta), (Q, expected) = in_both_ways(monkeypatch, X, radius, axis=axis)
        assert P.tobytes() == Q.tobytes()
        assert P.strides == Q.strides
        assert theta == expected
        out = LAYOUTS[layout](X.copy())
        assert projection_l1inf_ball(out, radius, axis=axis, out=out) is out
        assert out.tobytes() == P.tobytes()
        other = np.empty(shape, dtype=dtype, order="F" if P.flags.c_contiguous else "C")
        projection_l1inf_ball(X, radius, axis=axis, out=other)
        np.testing.assert_array_equal(other, P)


@pytest.mark.parametrize("scale", [1e-300, 1e-140, 1e140, 1e300, 0.0, -0.0])
def test_same_bits_at_any_scale(scale, monkeypatch):
    X = np.random.default_rng(0).standard_normal((10, 10)) * scale
    for share in (0.1, 1.0, 2.0):
        radius = share * norm_l1inf(X)
        (P, theta), (Q, expected) = in_both_ways(monkeypatch, X, radius)
        assert P.tobytes() == Q.tobytes()
        assert theta == expected


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_refused_before_anything_is_written(bad):
    X = np.ones((10, 10))
    X[3, 4] = bad
    before = X.copy()
    with pytest.raises(ValueError, match=r"X contains NaN or infinity\."):
        projection_l1inf_ball(X, 1.0, out=X)
    np.testing.assert_array_equal(X, before)


def test_out_that_overlaps():
    memory = np.random.default_rng(0).standard_normal((11, 10))
    X, out = memory[:-1], memory[1:]
    expected = projection_l1inf_ball(X.copy(), 2.0)
    projection_l1inf_ball(X, 2.0, out=out)
    np.testing.assert_array_equal(out, expected)


def test_one_call_is_all_there_is(monkeypatch):
    monkeypatch.delattr(_engine, "safe_norms")
    X = np.ones((10, 10))
    np.testing.assert_allclose(projection_l1inf_ball(X, 1.0), 0.1)
