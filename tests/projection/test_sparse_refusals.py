"""Sparse matrices that are refused, or hold more than they should."""

import numpy as np
import pytest
from scipy import sparse
from sparse_cases import KINDS, NORMS, PROXES, each_ball, each_format

from skproj.projection import (
    BALLS,
    norm_multilevel,
    projection_multilevel,
    projection_simplex,
    projection_weighted_l1_ball,
    prox_l1,
    radius_for_sparsity,
)
from skproj.projection._registry import SPARSIFYING

GOOD = sparse.csr_array(np.array([[3.0, 0.0, 1.0], [0.0, -2.0, 0.0]]))


def _with(value):
    X = GOOD.copy()
    X.data[1] = value
    return X


BAD_ARGUMENTS = {
    "X NaN": ({"X": _with(np.nan)}, ValueError, "X contains NaN"),
    "X inf": ({"X": _with(-np.inf)}, ValueError, "X contains NaN or infinity"),
    "X sums to NaN": (
        {"X": sparse.coo_array(([np.inf, -np.inf], ([0, 0], [1, 1])), shape=(2, 3))},
        ValueError,
        "X contains NaN",
    ),
    "X bool": ({"X": GOOD > 0}, TypeError, "X must hold"),
    "X complex": ({"X": GOOD.astype(complex)}, TypeError, "X must hold"),
    "X long double": ({"X": GOOD.astype(np.longdouble)}, TypeError, "X must hold"),
    "X one dimension": (
        {"X": sparse.coo_array(np.ones(3))},
        ValueError,
        "X must have two dimensions if it is sparse",
    ),
    "axis too large": ({"axis": 2}, ValueError, "axis 2 is out of bounds"),
    "axis repeated": ({"axis": (0, 0)}, ValueError, "repeated axis"),
    "axis empty": ({"axis": ()}, ValueError, "axis must name"),
    "axis str": ({"axis": "0"}, TypeError, "axis must be an integer"),
    "n_threads zero": ({"n_threads": 0}, ValueError, "n_threads must not be 0"),
}


@pytest.mark.parametrize("bad", BAD_ARGUMENTS)
def test_bad_argument_is_refused(bad):
    """The errors are those for dense arrays, wherever the groups run."""
    change, error, message = BAD_ARGUMENTS[bad]
    for axis in (0, 1, None):
        arguments = {"X": GOOD, "axis": axis, **change}
        for norm in NORMS:
            with pytest.raises(error, match=message):
                norm(**arguments)
        for ball in BALLS.values():
            with pytest.raises(error, match=message):
                ball.projection(radius=1.0, **arguments)
        for prox in PROXES[1:]:
            with pytest.raises(error, match=message):
                prox(alpha=1.0, **arguments)


# How to spoil each format, by setting the arrays that it is made of.
MALFORMED = {
    "column too large": ("csr", {"indices": [0, 10**8, 1]}),
    "column negative": ("csr", {"indices": [0, -1, 1]}),
    "row too large": ("csc", {"indices": [0, 10**8, 0]}),
    "indptr falls": ("csr", {"indptr": [0, 10**8, 3]}),
    "indptr falls to zero": ("csr", {"indptr": [0, 10**8, 0]}),
    "indptr negative": ("csr", {"indptr": [0, -1, 3]}),
    "indptr below zero": ("csr", {"indptr": [0, 0, -(10**8)]}),
    "indptr does not start at zero": ("csr", {"indptr": [1, 2, 3]}),
    "indptr ends behind the data": ("csc", {"indptr": [0, 1, 2, 10**8]}),
    "indptr too short": ("csr", {"indptr": [0, 3]}),
    "indptr too long": ("csc", {"indptr": [0, 1, 2, 3, 3]}),
    "data too short": ("csr", {"data": [1.0]}),
    "data too long": ("csr", {"data": [1.0, 2.0, 3.0, 4.0]}),
    "data not flat": ("csr", {"data": [[1.0, 2.0, 3.0]]}),
    "indices too short": ("csc", {"indices": [0]}),
    "COO row too large": ("coo", {"row": [0, 10**8, 1]}),
    "COO column negative": ("coo", {"col": [0, -1, 1]}),
    "COO too short": ("coo", {"col": [0]}),
    "BSR column too large": ("bsr", {"indices": [0, 10**8, 1]}),
    "BSR indptr falls": ("bsr", {"indptr": [0, 10**8, 0]}),
    "LIL column too large": ("lil", {"rows": [[0, 10**8], [1]]}),
    "LIL data too long": ("lil", {"data": [[1.0, 2.0], [3.0] * 10**6]}),
    "LIL data too short": ("lil", {"data": [[1.0, 2.0], []]}),
    "LIL without a row": ("lil", {"rows": [[0, 2]], "data": [[1.0, 2.0]]}),
    "DIA without an offset": ("dia", {"offsets": [0]}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", MALFORMED)
def test_malformed_matrix_is_refused(fault, kind):
    """Whose indices lead to memory that is not its own, or to none."""
    format, parts = MALFORMED[fault]
    X = KINDS[kind](GOOD).asformat(format, copy=True)
    if format == "bsr":
        X = X.tobsr(blocksize=(1, 1))
    for name, values in parts.items():
        if format == "lil":
            part = np.empty(len(values), dtype=object)
            part[:] = values
        else:
            part = np.array(values, dtype=getattr(X, name).dtype)
        setattr(X, name, part)
    before = dict(vars(X))
    refused = pytest.raises(ValueError, match="X is a malformed sparse matrix: ")
    for axis in (0, 1, None):
        for norm in NORMS:
            with refused:
                norm(X, axis=axis)
        for ball in BALLS.values():
            with refused:
                ball.projection(X, 1.0, axis=axis)
        for prox in PROXES[1:]:
            with refused:
                prox(X, 1.0, axis=axis)
    with refused:
        prox_l1(X, 1.0)
    for name in SPARSIFYING:
        with refused:
            radius_for_sparsity(X, n_groups=1, ball=name)
    assert all(vars(X)[name] is value for name, value in before.items())


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("format", ["csr", "csc"])
@each_ball
def test_room_behind_the_entries_is_kept(ball, format, index):
    """It belongs to the user; SciPy has such matrices, and would cut it off."""
    X = GOOD.asformat(format, copy=True)
    expected = ball.project(X, 1.0).toarray()
    X.data = np.append(X.data, [7.0, np.nan])
    X.indices = np.append(X.indices, [10**8, -1]).astype(index)
    X.indptr = X.indptr.astype(index)
    parts = X.data, X.indices, X.indptr
    np.testing.assert_array_equal(ball.project(X, 1.0).toarray(), expected)
    assert all(
        a is b for a, b in zip(parts, (X.data, X.indices, X.indptr), strict=True)
    )


@pytest.mark.parametrize("out", [np.empty((2, 3)), GOOD, "out"], ids=type)
@each_ball
def test_out_is_refused(ball, out):
    """Where the result has entries is not known before it is."""
    with pytest.raises(TypeError, match="out must be None for a sparse X"):
        ball.project(GOOD, 1.0, out=out)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (projection_simplex, "X is a sparse matrix, whose projection onto the simplex"),
        (lambda X: projection_weighted_l1_ball(X, 1.0, 2.0), "X is a sparse matrix"),
        (lambda X: projection_multilevel(X, 1.0), "X is a sparse matrix"),
        (norm_multilevel, "X is a sparse matrix"),
    ],
    ids=["simplex", "weighted l1", "multilevel", "norm_multilevel"],
)
@each_format
def test_sparse_input_is_refused_with_a_way_out(function, message, format):
    """By the functions that have no result to be stored sparsely, or no kernel."""
    with pytest.raises(TypeError, match=message + ".*pass X.toarray()"):
        function(GOOD.asformat(format))
