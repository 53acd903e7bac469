"""The kernels behind the projections: right for every shape, layout and scale."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from skproj.projection import BALLS, _reference, projection_l1_ball, projection_simplex
from skproj.projection._layout import as_groups, groups_of

# Largest error that is accepted, relative to the largest entry of the input.
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}
# Rows of the registry whose oracle has another name; the others share theirs.
ORACLES = {"bilevel_l12": _reference.l12}
each_ball = pytest.mark.parametrize("ball", BALLS.values(), ids=BALLS)


def oracle(name):
    """Slow projection of the columns of a matrix onto a ball of the registry."""
    return ORACLES.get(name) or getattr(_reference, name)


def on_columns(function, X, axis):
    """Apply a function of a matrix to the groups of X, as float64 columns."""
    axes = tuple(range(X.ndim)) if axis is None else axis
    axes = axes if isinstance(axes, tuple) else (axes,)
    front = tuple(range(len(axes)))
    moved = np.moveaxis(np.array(X, dtype=np.float64), axes, front)
    size = np.prod([X.shape[i] for i in axes], dtype=int)
    return np.moveaxis(
        function(moved.reshape(size, -1)).reshape(moved.shape), front, axes
    )


def assert_close(actual, expected, X, scale=0.0):
    largest = max(np.max(np.abs(X.astype(np.float64)), initial=0.0), scale)
    tolerance = TOLERANCE[actual.dtype.name] * largest
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)


def _every_second(A):
    wide = np.full([2 * n for n in A.shape], 7.0, dtype=A.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in A.shape)]
    view[...] = A
    return view


def _backwards(A):
    flip = tuple(slice(None, None, -1) for _ in A.shape)
    return A[flip].copy()[flip]


def _read_only(A):
    A = A.copy()
    A.flags.writeable = False
    return A


def _packed_record(A):
    records = np.zeros(A.shape, dtype=[("value", A.dtype), ("tag", "S5")])
    records["value"] = A
    return records["value"]


def _unaligned(A):
    memory = np.zeros(A.nbytes + 1, dtype=np.uint8)
    view = memory[1:].view(A.dtype).reshape(A.shape)
    view[...] = A
    return view


LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "last axis first": lambda A: np.moveaxis(np.moveaxis(A, -1, 0).copy(), 0, -1),
    "strided": _every_second,
    "negative strides": _backwards,
    "negative last stride": lambda A: A[..., ::-1].copy()[..., ::-1],
    "read-only": _read_only,
    "broadcast rows": lambda A: np.broadcast_to(A[:1], A.shape),
    "broadcast columns": lambda A: np.broadcast_to(A[..., :1], A.shape),
    "packed record": _packed_record,
    "unaligned": _unaligned,
    "swapped bytes": lambda A: A.astype(A.dtype.newbyteorder("S")),
}
VALUES = {
    "gaussian": lambda rng, shape: rng.normal(size=shape),
    "ties": lambda rng, shape: rng.integers(-2, 3, size=shape),
    "equal": lambda rng, shape: np.full(shape, -3.0),
    "zeros": lambda rng, shape: np.zeros(shape),
    "zero columns": lambda rng, shape: (
        rng.normal(size=shape) * rng.integers(0, 2, size=shape[-1])
    ),
    "mixed scales": lambda rng, shape: (
        rng.normal(size=shape) * 10.0 ** rng.integers(-9, 9, size=shape[-1])
    ),
}


@st.composite
def arrays(draw):
    """Arrays of one to three dimensions in every layout, and an axis for them."""
    shape = draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))
    if draw(st.booleans()):
        shape[draw(st.integers(0, len(shape) - 1))] = draw(st.integers(7, 40))
    values = VALUES[draw(st.sampled_from(sorted(VALUES)))]
    dtype = draw(st.sampled_from(sorted(TOLERANCE)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    X = LAYOUTS[draw(st.sampled_from(sorted(LAYOUTS)))](
        values(rng, tuple(shape)).astype(dtype)
    )
    some = st.integers(-len(shape), len(shape) - 1)
    several = st.lists(
        some, min_size=1, max_size=len(shape), unique_by=lambda i: i % len(shape)
    )
    return X, draw(some | several.map(tuple) | st.none())


# Radius as a share of the norm of the array.
shares = st.floats(0.01, 0.99) | st.sampled_from([0.5, 1e-9, 1.0, 2.0, np.inf, 0.0])


def norm_of(X, axis, order):
    """Sum of the norms of the groups, by NumPy."""
    norms = []
    on_columns(
        lambda C: norms.append(np.linalg.norm(C, ord=order, axis=0)) or C, X, axis
    )
    return norms[0].sum()


@each_ball
@given(arrays(), shares)
@example((np.array([[3.0, 1.0, 0.5], [-1.0, 1.0, 0.0]]), 0), 4 / 9)
def test_projection_equals_reference(ball, problem, share):
    """Every ball, whatever the shape, axis, memory layout, dtype and radius."""
    X, axis = problem
    norm = norm_of(X, axis, ball.inner_norm)
    radius = share * norm if norm else share
    actual = ball.project(X, radius, axis=axis)
    assert actual.shape == X.shape
    assert actual.dtype == X.dtype.newbyteorder("=")
    expected = on_columns(lambda C: oracle(ball.name)(C, radius), X, axis)
    assert_close(actual, expected, X)


@pytest.mark.parametrize(
    ("function", "reference"),
    [(projection_l1_ball, _reference.l1), (projection_simplex, _reference.simplex)],
)
@given(arrays(), st.floats(0.1, 9.0) | st.sampled_from([1.0, 1e-9, 1e9, 0.0]))
def test_projection_equals_reference_along_axis(function, reference, problem, radius):
    """With an axis, each group is projected by itself."""
    X, axis = problem
    expected = on_columns(
        lambda C: np.stack([reference(x, radius) for x in C.T], axis=1), X, axis
    )
    assert_close(function(X, radius, axis=axis), expected, X, scale=radius)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((40, 1030), "float32"),
        ((1030, 5), "float64"),
        ((17, 33), "float32"),
        ((1, 1500), "float64"),
        ((20_000, 2), "float64"),
    ],
    ids=str,
)
@each_ball
def test_projection_equals_reference_across_blocks(ball, shape, dtype):
    """Sizes that end in the middle of a tile, of a block and of a SIMD register."""
    X = np.random.default_rng(0).normal(size=shape).astype(dtype)
    radius = 0.3 * norm_of(X, 0, ball.inner_norm)
    expected = oracle(ball.name)(X.astype(np.float64), radius)
    assert_close(ball.project(X, radius), expected, X)
    assert_close(ball.project(np.asfortranarray(X), radius), expected, X)
    assert_close(ball.project(X.T.copy(), radius, axis=1), expected.T, X)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 3)], ids=str)
@pytest.mark.parametrize("axis", [0, -1, None])
@each_ball
def test_projection_of_empty_array_is_empty(ball, axis, shape):
    """No kernel touches the first entry of an array that has none."""
    X = np.empty(shape, dtype=np.float32)
    P = ball.project(X, 1.0, axis=axis)
    assert P.shape == shape
    assert P.dtype == np.float32
    out = np.empty_like(X)
    assert ball.project(X, 1.0, axis=axis, out=out) is out


@pytest.mark.parametrize("layout", ["unaligned", "packed record"])
def test_kernels_do_not_see_unaligned_entries(layout):
    """They would read them through pointers that C does not allow."""
    X = LAYOUTS[layout](np.ones((4, 5)))
    assert as_groups(X, (0,)) is None
    assert groups_of(X, (0,)).entries.flags.aligned


@each_ball
@given(
    shape=st.sampled_from([(1, 1), (7, 5), (3, 1025), (70, 40), (1025, 3)]),
    where=st.floats(0, 1, exclude_max=True),
    bad=st.sampled_from([np.nan, -np.nan, np.inf, -np.inf]),
    dtype=st.sampled_from(sorted(TOLERANCE)),
    order=st.sampled_from("CF"),
    radius=st.sampled_from([0.0, 1.0, np.inf]),
)
def test_projection_finds_entry_that_is_not_finite(
    ball, shape, where, bad, dtype, order, radius
):
    """SIMD maxima do not skip a NaN, wherever it is."""
    X = np.ones(shape, dtype=dtype, order=order)
    X.flat[int(where * X.size)] = bad
    with pytest.raises(ValueError, match="X contains NaN or infinity"):
        ball.project(X, radius)


def misleading(rng, shape):
    """Columns whose scales a sample of evenly spaced ones does not see."""
    scales = np.where(np.arange(shape[1]) % 7 == 3, 100.0, 1.0)
    return rng.normal(size=shape) * scales


LARGE = {
    "gaussian": lambda rng, shape: rng.normal(size=shape),
    "heavy tails": lambda rng, shape: rng.standard_cauchy(size=shape),
    "scales": lambda rng, shape: (
        rng.normal(size=shape) * np.geomspace(1e-6, 1e6, shape[1])
    ),
    "identical columns": lambda rng, shape: np.repeat(
        rng.normal(size=(shape[0], 1)), shape[1], axis=1
    ),
    "ties": lambda rng, shape: rng.integers(-2, 3, size=shape),
    "constant": lambda rng, shape: np.full(shape, -3.0),
    "zero blocks": lambda rng, shape: (
        rng.normal(size=shape) * (np.arange(shape[1]) < shape[1] // 3)
    ),
    "misleading": misleading,
}
SHAPES = [(1000, 1500), (100, 15_000), (12_000, 130), (400_000, 3)]


def assert_l1inf_is_exact(X, radius, P, theta):
    """Check the optimality conditions, columns being the groups."""
    A, P = np.abs(X.astype(np.float64)), np.abs(P.astype(np.float64))
    levels, l1 = P.max(axis=0), A.sum(axis=0)
    rounding = 1e-12 if X.dtype == np.float64 else 1e-5
    assert math.fsum(levels) == pytest.approx(radius, rel=rounding)
    np.testing.assert_array_equal(P, np.minimum(A, levels))
    # One step of the type in a level changes the excess by so much.
    step = np.spacing(X.dtype.type(levels.max())) * X.shape[0]
    alive = levels > 0.0
    excess = (A - P).sum(axis=0)
    np.testing.assert_allclose(
        excess[alive], theta, rtol=1e-9, atol=2.0 * step + rounding * l1.max()
    )
    assert np.all(l1[~alive] <= theta * (1.0 + rounding) + rounding * l1.max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("kind", "shape"), [*zip(LARGE, itertools.cycle(SHAPES))], ids=str
)
def test_l1inf_projection_of_large_matrix(kind, shape, dtype):
    """Both memory orders, radii from nearly nothing to nearly the norm."""
    X = np.asarray(LARGE[kind](np.random.default_rng(1), shape), dtype=dtype)
    norm = np.abs(X).max(axis=0).astype(np.float64).sum()
    for order, shares in (("C", (1e-5, 0.5)), ("F", (0.01, 1.0 - 1e-6))):
        W = np.asarray(X, order=order)
        for share in shares:
            options = {"n_threads": 2, "return_threshold": True}
            P, theta = BALLS["l1inf"].projection(W, share * norm, **options)
            assert_l1inf_is_exact(X, share * norm, P, theta)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_l1inf_projection_beside_a_huge_column(dtype, order):
    """Where one step of the type is more than theta, no level fits exactly."""
    X = np.abs(np.random.default_rng(0).normal(size=(1000, 2000)))
    X[:, 5] = 1e8 if dtype is np.float32 else 1e17
    X = np.asarray(X, dtype=dtype, order=order)
    radius = float(X[0, 5]) + 4000.0
    P, theta = BALLS["l1inf"].projection(X, radius, return_threshold=True)
    others = np.arange(X.shape[1]) != 5
    excess = (X.astype(np.float64) - P)[:, others].sum(axis=0)
    np.testing.assert_allclose(excess, theta, rtol=1e-3)


def test_l1inf_projection_where_one_column_has_nearly_all_of_the_radius():
    """The others are solved for as exactly as if they were alone."""
    X = np.abs(np.random.default_rng(0).normal(size=(6, 8)))
    X[:, 0] = 0.0
    X[2, 0] = 1e13
    P, theta = BALLS["l1inf"].projection(X, 1e13 + 4.0, return_threshold=True)
    np.testing.assert_allclose((X - P)[:, 1:].sum(axis=0), theta, rtol=1e-12)
