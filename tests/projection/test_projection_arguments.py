"""Arguments of projections: accepted input, out, and refusals."""

import numpy as np
import pytest
from projection_cases import each_ball, each_function
from scipy import sparse


@each_function
def test_input_of_other_types(function):
    """Lists and integers become float64; float32 stays float32."""
    X = [[3, -1, 2], [0, 5, -2]]
    expected = function(np.array(X, dtype=np.float64), 2.0)
    assert expected.dtype == np.float64
    for other in (X, np.array(X), np.array(X, dtype=np.int8)):
        P = function(other, np.float32(2.0))
        assert P.dtype == np.float64
        np.testing.assert_array_equal(P, expected)
    single = function(np.array(X, dtype=np.float32), 2)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, rtol=1e-6)


def _packed_record(shape, dtype):
    records = np.zeros(shape, dtype=[("value", dtype), ("tag", "i2")])
    records["tag"] = 7
    return records


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("axis", [0, 1, None])
@each_function
def test_out_in_a_packed_record(function, axis, order):
    """Nothing is written beside it; the fuzzer has the other layouts."""
    X = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32, order=order)
    before = X.copy()
    for radius in (0.0, 2.0, 1e9):  # a point, outside, inside
        expected = function(X, radius, axis=axis)
        np.testing.assert_array_equal(X, before)
        records = _packed_record(X.shape, X.dtype)
        out = records["value"]
        for given in (X, out):  # which holds X in place
            out[...] = np.float32(7.0) if given is X else X
            assert function(given, radius, axis=axis, out=out) is out
            np.testing.assert_allclose(out, expected, rtol=1e-6)
            np.testing.assert_array_equal(records["tag"], 7)


@pytest.mark.parametrize(
    "view",
    [
        lambda X: X[::-1],
        lambda X: X[:, ::-1],
        lambda X: X.T,
        lambda X: np.lib.stride_tricks.as_strided(X.base[1:], X.shape, X.strides),
    ],
    ids=["rows reversed", "columns reversed", "transposed", "shifted by one entry"],
)
@pytest.mark.parametrize("axis", [0, 1])
@each_function
def test_out_that_overlaps(function, axis, view):
    """Memory of X that `out` covers in another order is read before it is written."""
    for radius in (2.0, 1e9):  # outside, inside
        memory = np.random.default_rng(2).normal(size=26)
        X = memory[:25].reshape(5, 5)
        expected = function(X.copy(), radius, axis=axis)
        out = view(X)
        function(X, radius, axis=axis, out=out)
        np.testing.assert_allclose(out, expected, rtol=1e-12)


GOOD = np.arange(12.0).reshape(3, 4) - 5.0


def _with(value):
    X = GOOD.copy()
    X[2, 3] = value
    return X


def _locked():
    out = np.full(GOOD.shape, 7.0)
    out.flags.writeable = False
    return out


BAD_ARGUMENTS = {
    "radius negative": ({"radius": -1e-300}, ValueError, "radius must be non-neg"),
    "radius NaN": ({"radius": np.nan}, ValueError, "radius must be non-neg"),
    "radius huge": ({"radius": -(10**400)}, ValueError, "radius must be non-neg"),
    "radius minus inf": ({"radius": -np.inf}, ValueError, "radius must be non-neg"),
    "radius bool": ({"radius": True}, TypeError, "radius must be a real"),
    "radius NumPy bool": ({"radius": np.True_}, TypeError, "radius must be a real"),
    "radius str": ({"radius": "1"}, TypeError, "radius must be a real"),
    "radius None": ({"radius": None}, TypeError, "radius must be a real"),
    "radius complex": ({"radius": 1j}, TypeError, "radius must be a real"),
    "radius array": ({"radius": np.ones(2)}, TypeError, "radius must be a real"),
    "X NaN": ({"X": _with(np.nan)}, ValueError, "X contains NaN"),
    "X inf": ({"X": _with(np.inf)}, ValueError, "X contains NaN or inf"),
    "X float16": ({"X": GOOD.astype(np.float16)}, TypeError, "X must hold"),
    "X complex": ({"X": GOOD.astype(complex)}, TypeError, "X must hold"),
    "X object": ({"X": GOOD.astype(object)}, TypeError, "X must hold"),
    "X bool": ({"X": GOOD > 0}, TypeError, "X must hold"),
    "X str": ({"X": GOOD.astype(str)}, TypeError, "X must hold"),
    "X sparse matrix": ({"X": sparse.csr_matrix(GOOD)}, TypeError, "for a sp|is a sp"),
    "X sparse array": ({"X": sparse.coo_array(GOOD)}, TypeError, "for a sp|is a sp"),
    "X masked": ({"X": np.ma.masked_less(GOOD, 0)}, TypeError, "X is a masked array"),
    "X scalar": ({"X": 3.0}, ValueError, "X must have at least one"),
    "axis too large": ({"axis": 2}, ValueError, "axis 2 is out of bounds"),
    "axis too small": ({"axis": -3}, ValueError, "axis -3 is out of bounds"),
    "axis in tuple": ({"axis": (0, 5)}, ValueError, "axis 5 is out of bounds"),
    "axis repeated": ({"axis": (0, -2)}, ValueError, "repeated axis"),
    "axis empty": ({"axis": ()}, ValueError, "axis must name"),
    "axis float": ({"axis": 0.5}, TypeError, "axis must be an integer"),
    "axis str": ({"axis": "0"}, TypeError, "axis must be an integer"),
    "out list": ({"out": [[7.0] * 4] * 3}, TypeError, "out must be a NumPy"),
    "out shape": ({"out": np.full((4, 3), 7.0)}, ValueError, "out must have shape"),
    "out ndim": ({"out": np.full(12, 7.0)}, ValueError, "out must have shape"),
    "out dtype": (
        {"out": np.full((3, 4), 7.0, dtype=np.float32)},
        TypeError,
        "out must have dtype float64",
    ),
    "out read-only": ({"out": _locked()}, ValueError, "out must be writeable"),
    "n_threads zero": ({"n_threads": 0}, ValueError, "n_threads must not be 0"),
    "n_threads float": ({"n_threads": 1.5}, TypeError, "n_threads must be an int"),
    "n_threads bool": ({"n_threads": True}, TypeError, "n_threads must be an int"),
    "n_threads str": ({"n_threads": "2"}, TypeError, "n_threads must be an int"),
}


@pytest.mark.parametrize("bad", BAD_ARGUMENTS)
@each_function
def test_bad_argument_is_refused_before_writing(function, bad):
    """One clear error that names the argument, and `out` is as it was."""
    change, error, message = BAD_ARGUMENTS[bad]
    arguments = {"X": GOOD, "radius": 1.0, "out": np.full((3, 4), 7.0), **change}
    with pytest.raises(error, match=message):
        function(**arguments)
    np.testing.assert_array_equal(arguments["out"], 7.0)


@each_ball
def test_minus_infinity_is_refused(ball):
    """Only a simplex has a nearest point."""
    with pytest.raises(ValueError, match="X contains NaN or inf"):
        ball.project(_with(-np.inf), 1.0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@each_function
def test_bad_entry_is_refused_in_place(function, value):
    """An array that is to be projected in place keeps its good entries."""
    X = _with(value)
    with pytest.raises(ValueError, match="X contains NaN"):
        function(X, 0.0, out=X)
    np.testing.assert_array_equal(X, _with(value))


@each_ball
def test_axis_of_tensors(ball):
    """Negative and tuple axes name the same groups as a matrix of them."""
    X = np.random.default_rng(4).normal(size=(3, 4, 5))
    for axis, columns in (
        (-1, X.reshape(12, 5).T),
        (2, X.reshape(12, 5).T),
        ((1, 2), X.reshape(3, 20).T),
        ((-1, -2), X.reshape(3, 20).T),
        (0, X.reshape(3, 20)),
        (None, X.reshape(60, 1)),
    ):
        radius = 0.4 * ball.norm(columns)
        assert ball.norm(X, axis=axis) == pytest.approx(ball.norm(columns), rel=1e-14)
        P = ball.project(X, radius, axis=axis)
        expected = ball.project(columns, radius)
        if columns.shape[0] != 3:
            expected = expected.T
        np.testing.assert_allclose(P, expected.reshape(X.shape), atol=1e-14)
