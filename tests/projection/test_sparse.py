"""Sparse matrices are projected as dense ones are."""

import re
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sparse_cases import FORMATS, KINDS, NORMS, PROXES, each_ball, each_format

from skproj._kernels import _groups, _thresholds
from skproj.projection import (
    BALLS,
    norm_l1,
    norm_l1inf,
    norm_linf,
    norm_linf1,
    projection_l1_ball,
    projection_l1inf_ball,
    projection_linf_ball,
    prox_l1,
    radius_for_sparsity,
)
from skproj.projection._engine import PARALLEL_MIN_SIZE
from skproj.projection._registry import SPARSIFYING

TOLERANCE = {np.float32: 1e-6, np.float64: 1e-12}
each_norm = pytest.mark.parametrize("norm", NORMS)
each_prox = pytest.mark.parametrize("prox", PROXES)
each_axis = pytest.mark.parametrize("axis", [0, 1, -1, None])
shares = st.sampled_from([0.0, 1e-6, 0.05, 0.4, 0.9, 1.5, np.inf])
axes = st.sampled_from([0, 1, -1, -2, None, (0, 1), (1, 0)])


def onto(ball, X, radius, axis, **options):
    """Project by the function of a ball, whose `axis` holds for any of them."""
    return ball.projection(X, radius, axis=axis, **options)


def random_matrix(rng, shape, density, dtype=np.float64):
    """Return a matrix with groups of very different size, some of them empty."""
    X = rng.normal(size=shape) * rng.choice([0.1, 1.0, 5.0], size=shape[1])
    X[rng.random(shape) >= density] = 0.0
    if np.issubdtype(dtype, np.integer):
        X = np.round(3 * X)
    return X.astype(dtype)


@st.composite
def problems(draw):
    """Return a sparse matrix of any format and the dense one that it stands for."""
    shape = draw(st.integers(0, 9)), draw(st.integers(0, 9))
    dtype = draw(st.sampled_from([np.float64, np.float32, np.int64, np.int8]))
    density = draw(st.sampled_from([0.0, 0.2, 0.6, 1.0]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dense = random_matrix(rng, shape, density, dtype)
    kind = KINDS[draw(st.sampled_from(sorted(KINDS)))]
    format = draw(st.sampled_from(FORMATS))
    if draw(st.booleans()):
        return untidy(dense, kind, rng, format), dense
    return kind(dense).asformat(format), dense


def untidy(dense, kind, rng, format="csr"):
    """Store entries in random order, some in two parts, and some zeros as well."""
    rows, columns = np.nonzero(rng.random(dense.shape) < 0.7)
    first = np.where(rng.random(len(rows)) < 0.5, dense[rows, columns], 0)
    rest = dense.copy()
    rest[rows, columns] -= first
    all_rows, all_columns = np.indices(dense.shape)
    i = np.concatenate([rows, all_rows.ravel()])
    j = np.concatenate([columns, all_columns.ravel()])
    values = np.concatenate([first, rest.ravel()])
    order = rng.permutation(len(i))
    entries = kind((values[order], (i[order], j[order])), shape=dense.shape)
    if format not in ("csr", "csc") or len(i) == 0:
        return entries.asformat(format)
    # SciPy itself would add up the duplicates on the way from COO.
    along = i if format == "csr" else j
    across = j if format == "csr" else i
    order = order[np.argsort(along[order], kind="stable")]
    n_groups = dense.shape[0 if format == "csr" else 1]
    indptr = np.searchsorted(along[order], np.arange(n_groups + 1))
    container = type(entries.asformat(format))
    return container((values[order], across[order], indptr), shape=dense.shape)


def parts_of(X):
    """Return copies of everything that a sparse matrix stores."""
    if X.format == "dok":
        return dict(X)
    names = ("data", "indices", "indptr", "coords", "row", "col", "offsets", "rows")
    return {name: np.array(getattr(X, name)) for name in names if hasattr(X, name)}


def assert_same_parts(actual, expected):
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(actual[name], value)


def assert_tidy(P, X):
    """Check kind, format, dtype and structure of what was computed from `X`."""
    assert P.format == (X.format if X.format in ("csr", "csc") else "csr")
    assert isinstance(P, sparse.sparray) == isinstance(X, sparse.sparray)
    assert P.shape == X.shape
    assert P.dtype == (X.dtype if X.dtype.kind == "f" else np.float64)
    assert P.nnz == np.count_nonzero(P.toarray())
    fresh = type(P)((P.data, P.indices, P.indptr), shape=P.shape)
    fresh.check_format(full_check=True)
    assert fresh.has_canonical_format


def assert_close(actual, expected, dense):
    tolerance = TOLERANCE[np.float32 if dense.dtype == np.float32 else np.float64]
    scale = np.abs(dense.astype(np.float64)).max(initial=0.0)
    if sparse.issparse(actual):
        actual = actual.toarray()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)


@each_ball
@given(problems(), axes, shares)
def test_projection_equals_that_of_the_dense_matrix(ball, problem, axis, share):
    """So do the thresholds; the result is tidy and the input as it was."""
    X, dense = problem
    before = parts_of(X)
    radius = float(share) * ball.norm(dense, axis=axis) if share < np.inf else np.inf
    P, threshold = onto(ball, X, radius, axis, return_threshold=True)
    expected, dense_threshold = onto(ball, dense, radius, axis, return_threshold=True)
    assert_tidy(P, X)
    assert_close(P, expected, dense)
    assert type(threshold) is type(dense_threshold)
    np.testing.assert_allclose(threshold, dense_threshold, rtol=1e-6, atol=1e-12)
    assert_same_parts(parts_of(X), before)


@each_norm
@given(problems(), axes)
def test_norm_equals_that_of_the_dense_matrix(norm, problem, axis):
    """Of all entries, and of each group."""
    X, dense = problem
    before = parts_of(X)
    value, expected = norm(X, axis=axis), norm(dense, axis=axis)
    assert type(value) is type(expected)
    np.testing.assert_allclose(value, expected, rtol=1e-14)
    assert_same_parts(parts_of(X), before)


@each_prox
@given(problems(), axes, st.sampled_from([0.0, 1e-3, 1.0, 20.0, np.inf]))
def test_prox_equals_that_of_the_dense_matrix(prox, problem, axis, alpha):
    """Nothing of a zero is left by them either."""
    X, dense = problem
    before = parts_of(X)
    options = {} if prox is prox_l1 else {"axis": axis}
    P = prox(X, alpha, **options)
    assert_tidy(P, X)
    assert_close(P, prox(dense, alpha, **options), dense)
    assert_same_parts(parts_of(X), before)


@pytest.mark.parametrize("name", SPARSIFYING)
@pytest.mark.parametrize("axis", [0, 1, None])
def test_radius_for_sparsity_equals_that_of_the_dense_matrix(name, axis):
    """For every number of groups; what is impossible is refused in the same words."""
    rng = np.random.default_rng(0)
    dense = random_matrix(rng, (9, 7), 0.4)
    dense[:, 2] = dense[4] = 0.0
    X = untidy(dense, sparse.coo_array, rng)
    n_groups = {0: 7, 1: 9, None: 1}[axis] if BALLS[name].grouped else dense.size
    for k in range(n_groups + 1):
        arguments = {"n_groups": k, "ball": name, "axis": axis}
        try:
            expected = radius_for_sparsity(dense, **arguments)
        except ValueError as error:
            with pytest.raises(ValueError, match=re.escape(str(error))):
                radius_for_sparsity(X, **arguments)
            continue
        radius = radius_for_sparsity(X, **arguments)
        assert radius == pytest.approx(expected, rel=1e-12)
        P = BALLS[name].project(X, radius, axis=axis)
        kept = norm_linf(P, axis=axis) if BALLS[name].grouped else P.data
        assert np.count_nonzero(kept) == k


@pytest.mark.parametrize("name", SPARSIFYING)
def test_radius_for_sparsity_of_a_matrix_without_entries(name):
    """No group can be left of zeros; none at all of no groups."""
    X = sparse.csr_array((3, 4))
    assert radius_for_sparsity(X, n_groups=0, ball=name) == 0.0
    with pytest.raises(ValueError, match="nearest possible number is 0"):
        radius_for_sparsity(X, n_groups=2, ball=name)
    empty = sparse.csr_array((0, 0))
    assert radius_for_sparsity(empty, n_groups=0, ball=name) == 0.0


@each_axis
@each_norm
def test_norm_of_extreme_scale(norm, axis):
    """The norm of each group is right, whatever the others are."""
    rng = np.random.default_rng(3)
    dense = random_matrix(rng, (8, 9), 0.5)
    dense *= 10.0 ** rng.choice([-310, -300, -160, 0, 150, 290, 300], size=(1, 9))
    value = norm(sparse.csr_array(dense), axis=axis)
    np.testing.assert_allclose(value, norm(dense, axis=axis), rtol=1e-13)


@pytest.mark.parametrize(
    ("axis", "dtype"), [(0, np.float32), (1, np.float64), (None, np.float32)]
)
@each_ball
def test_projection_of_a_large_matrix(ball, axis, dtype):
    """Threads share the groups, long ones and short ones, and change nothing."""
    rng = np.random.default_rng(4)
    density = 0.5 * rng.random((1, 700)) ** 3
    dense = rng.normal(size=(2000, 700)) * rng.exponential(size=700)
    dense = np.where(rng.random(dense.shape) < density, dense, 0.0).astype(dtype)
    X = sparse.csr_array(dense)
    assert X.nnz > PARALLEL_MIN_SIZE
    for share in (0.001, 0.3):
        radius = share * ball.norm(dense, axis=axis)
        P = onto(ball, X, radius, axis, n_threads=1)
        assert_close(P, onto(ball, dense, radius, axis), dense)
        if ball.grouped or axis is None:
            assert ball.norm(P, axis=axis) <= radius * (1 + TOLERANCE[dtype])
        parallel = onto(ball, X, radius, axis, n_threads=2)
        assert_same_parts(parts_of(parallel), parts_of(P))


def test_projection_of_more_columns_than_can_be_dense():
    """What is needed is in proportion to the entries and the groups."""
    n_columns = 10**5
    rng = np.random.default_rng(5)
    columns = np.sort(rng.choice(n_columns, size=2000, replace=False))
    rows = rng.integers(0, 10**6, size=2000)
    X = sparse.coo_array(
        (rng.normal(size=2000), (rows, columns)), shape=(10**6, n_columns)
    )
    for ball in BALLS.values():
        tracemalloc.start()
        P = onto(ball, X, 0.1 * ball.norm(X, axis=0), 0)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert 0 < P.nnz <= 2000
        assert peak < 100 * (10**6 + n_columns)
        assert ball.norm(P, axis=0) <= ball.norm(X, axis=0)


@pytest.mark.parametrize("kind", KINDS)
@each_format
@each_ball
def test_result_shares_no_memory_with_the_input(ball, format, kind):
    """Writing to the result, inside the ball or not, does not reach the input."""
    dense = random_matrix(np.random.default_rng(6), (6, 6), 0.5)
    X = KINDS[kind](dense).asformat(format)
    for radius in (0.2 * ball.norm(dense), np.inf):
        for axis in (0, 1, None):
            P = onto(ball, X, radius, axis)
            P.data[:] = 7.0
            P.indices[:] = 0
            P.indptr[1:] = 0
            np.testing.assert_array_equal(X.toarray(), dense)


@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csc_array])
def test_stored_entries_of_the_result_are_those_left(container):
    """Entries that become zero leave the structure, and so do stored zeros."""
    X = container(np.array([[3.0, 9.0, 0.5], [-1.0, 1.0, 0.0]]))
    X.data[X.data == 9.0] = 0.0
    assert X.nnz == 5
    P = projection_l1_ball(X, 2.0)
    assert (type(P), P.nnz) == (container, 1)
    np.testing.assert_array_equal(P.toarray(), [[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert projection_l1_ball(X, np.inf).nnz == 4
    assert projection_l1_ball(X, 0.0).nnz == 0


@each_axis
@each_ball
def test_projection_without_entries(ball, axis):
    """Zeros and nothing at all stay so; thresholds have the shape of dense ones."""
    for shape in ((3, 4), (0, 4), (3, 0), (0, 0)):
        X = sparse.csc_array(shape)
        P, threshold = onto(ball, X, 0.0, axis, return_threshold=True)
        assert_tidy(P, X)
        _, expected = onto(ball, np.zeros(shape), 0.0, axis, return_threshold=True)
        np.testing.assert_array_equal(threshold, expected)


def test_entries_beyond_the_structure_are_ignored():
    """A CSR matrix may own more memory than it uses."""
    arrays = np.array([3.0, -4.0, 9.0]), np.array([0, 1, 0]), np.array([0, 1, 2])
    X = sparse.csr_array(arrays, shape=(2, 2))
    for axis in (0, 1, None):
        P = projection_linf_ball(X, 2.0, axis=axis)
        np.testing.assert_array_equal(P.toarray(), [[2.0, 0.0], [0.0, -2.0]])
        assert norm_linf1(X, axis=axis) == (7.0 if axis is None else 4.0)


def test_long_indices_stay():
    """Indices of 64 bits are taken as they are."""
    X = sparse.csr_array(np.array([[3.0, -1.0], [0.0, 2.0]]))
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    for ball in BALLS.values():
        for axis in (0, 1, None):
            expected = onto(ball, X.toarray(), 1.0, axis)
            assert_close(onto(ball, X, 1.0, axis), expected, expected)


@given(st.integers(0, 2**32), st.sampled_from([np.float32, np.float64]))
def test_segments_equal_groups_of_one_length(seed, dtype):
    """Each segment gives what it gives as a group of its own."""
    rng = np.random.default_rng(seed)
    lengths = rng.choice([0, 1, 3, 8, 40, 700], size=12)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.intp)
    data = rng.normal(size=lengths.sum()).astype(dtype)
    norms, expected = np.empty((2, 1, 12))
    for norm in (_groups.L1, _groups.L2, _groups.LINF):
        expected[:, lengths == 0] = 0.0
        for j in np.flatnonzero(lengths):
            group = data[np.newaxis, indptr[j] : indptr[j + 1]]
            _groups.group_norms(group, norm, expected[:, j : j + 1], 1)
        _groups.group_norms(data[np.newaxis], norm, norms, 2, indptr)
        np.testing.assert_allclose(norms, expected, rtol=1e-15)


def test_thresholds_of_segments():
    """They leave the radius of each."""
    rng = np.random.default_rng(7)
    lengths = np.array([5, 0, 1, 300, 40])
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    data = rng.normal(size=lengths.sum())
    segments = np.split(data, indptr[1:-1])
    norms = np.array([np.abs(segment).sum() for segment in segments])
    radii = np.array([0.4, 0.3, 0.0, 0.3, 100.0]) * [1, 1, 1, norms[3], 1]
    levels, offsets = np.empty((2, 5))
    n_outside = _thresholds.group_thresholds(
        data[np.newaxis], norms, radii, False, levels, offsets, 1, indptr
    )
    assert n_outside == 3
    thresholds = levels + offsets
    np.testing.assert_array_equal(thresholds[[1, 2, 4]], [0.0, np.inf, 0.0])
    for j in (0, 3):
        left = np.maximum(np.abs(segments[j]) - thresholds[j], 0.0)
        assert left.sum() == pytest.approx(radii[j], rel=1e-14)


def test_projection_l1inf_ball_satisfies_kkt():
    """One theta: kept columns lose it in l1 norm, the others have no more than it."""
    rng = np.random.default_rng(8)
    X = sparse.random_array((300, 800), density=0.05, rng=rng, format="csr")
    X.data *= rng.exponential(size=800)[X.indices]
    for share in (0.001, 0.05, 0.3, 0.9):
        radius = share * norm_l1inf(X)
        P, theta = projection_l1inf_ball(X, radius, return_threshold=True)
        levels = norm_linf(P, axis=0)
        lost = norm_l1(X - P, axis=0)
        np.testing.assert_allclose(lost[levels > 0.0], theta, rtol=1e-11)
        assert np.all(lost[levels == 0.0] <= theta)
        assert levels.sum() == pytest.approx(radius, rel=1e-12)
        assert levels.sum() <= radius * (1 + 1e-15)
