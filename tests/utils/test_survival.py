"""Survival times: one reader tells them from other targets."""

import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal

from skproj.utils._survival import is_survival, read_target, refuse_survival

EVENT = np.array([True, False, True, True, False])
TIME = np.array([0.0, 2.5, 1.0, 4.0, 7.0])


def records(*columns, names):
    return np.rec.fromarrays(columns, names=names)


def plain(*columns, names):
    named = zip(names.split(","), columns, strict=True)
    y = np.empty(len(TIME), dtype=[(name, column.dtype) for name, column in named])
    for name, column in zip(y.dtype.names, columns, strict=True):
        y[name] = column
    return y


def last_is(value):
    return np.append(TIME[:-1], value)


def object_column(rows):
    column = np.empty(len(rows), dtype=object)
    column[:] = rows
    return column


PAIRS = list(zip(EVENT.tolist(), TIME.tolist(), strict=True))
CODES = {
    "uint8": EVENT.astype(np.uint8),
    "float": EVENT.astype(float),
    "1 and 2": EVENT + 1,
    "float 1 and 2": EVENT + 1.0,
    "objects": EVENT.astype(object),
}
FORMS = {
    "as scikit-survival": plain(EVENT, TIME, names="event,time"),
    "other names": plain(EVENT, TIME, names="Status,Survival_in_days"),
    "cens": plain(EVENT, TIME, names="cens,time"),
    "names that say nothing": plain(TIME, EVENT, names="a,b"),
    "record array": records(TIME, EVENT, names="time,event"),
    "whole days": plain(EVENT + 1, (10 * TIME).astype(int), names="status,days"),
    "time to event": plain(TIME, EVENT * 1, names="time_to_event,observed"),
    "codes by value": plain(TIME, EVENT.astype("u1"), names="f0,f1"),
    "uncensored": plain(EVENT, TIME, names="uncensored,time"),
    "list of records": list(plain(EVENT, TIME, names="event,time")),
    "list of pairs": PAIRS,
    "list of lists": [[time, event] for event, time in PAIRS],
    "list of dicts": [{"time": t, "event": int(e)} for e, t in PAIRS],
    "column of pairs": object_column(PAIRS),
    "series of pairs": pd.Series(object_column(PAIRS)),
    "polars structs": pl.Series([{"event": e, "time": t} for e, t in PAIRS]),
    "frame": pd.DataFrame({"time": TIME, "event": EVENT * 1}),
    "frame, other names": pd.DataFrame({"Status": EVENT + 1, "Days": TIME}),
    "frame, by type": pd.DataFrame({"x": TIME, "y": EVENT}),
    "nullable frame": pd.DataFrame(
        {
            "event": pd.array(EVENT, dtype="boolean"),
            "time": pd.array(TIME, dtype="Float64"),
        }
    ),
    "polars frame": pl.DataFrame({"time": TIME, "event": EVENT}),
    "pyarrow table": pa.table({"time": TIME, "event": EVENT}),
    "values of a frame": pd.DataFrame({"x": TIME, "y": EVENT}).to_numpy(),
    "array of pairs": np.array(PAIRS, dtype=object),
    **{
        f"{kind}, {names}": make(*columns, names=names)
        for kind, event in CODES.items()
        for make in (records, plain)
        for names, columns in (
            ("event,time", (event, TIME)),
            ("time,event", (TIME, event)),
        )
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_the_same_times(form):
    target = read_target(FORMS[form])
    assert is_survival(target)
    assert type(target) is np.ndarray
    assert_array_equal(target["event"], EVENT)
    assert_array_equal(target["time"], 10 * TIME if form == "whole days" else TIME)


def test_codes_of_one_kind():
    """1 alone is events as in a column of 0 and 1; 2 alone says so."""
    for code in (1, 1.0, True):
        y = read_target(plain(np.full(5, code), TIME, names="event,time"))
        assert y["event"].all()
    with pytest.warns(UserWarning, match="The events of y are all 2: they are read as"):
        y = read_target(plain(np.full(5, 2), TIME, names="event,time"))
    assert y["event"].all()
    assert not read_target(plain(np.zeros(5), TIME, names="event,time"))["event"].any()


@pytest.mark.parametrize(
    "y",
    [
        TIME,
        TIME.tolist(),
        ["a", "b"],
        np.column_stack([EVENT, TIME]),
        np.column_stack([EVENT, TIME]).tolist(),
        object_column(["a", "b", None]),
        pd.Series(["a", "b"]),
        pd.DataFrame({"height": TIME, "weight": TIME}),
        pd.DataFrame({"a": EVENT, "b": EVENT}),
        pd.DataFrame({"adverse_event": EVENT * 1, "part_time": EVENT * 1}),
        pd.DataFrame({"event": TIME}),
        pd.Series(TIME, name="time"),
        [],
        None,
    ],
)
def test_other_targets_pass_as_they_are(y):
    assert read_target(y) is y
    refuse_survival(y, "SomeClassifier")


THREE = {"time": TIME, "event": EVENT, "arm": EVENT}


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (plain(EVENT, TIME, EVENT, names="event,time,arm"), "got the fields 'event'"),
        (plain(TIME, names="time"), r"y must be a structured array with two fields"),
        (plain(TIME, TIME, names="a,b"), r"got the fields 'a' \(float64\), 'b' \(flo"),
        (plain(EVENT, EVENT, names="a,b"), "got the fields"),
        (plain(EVENT * 1, EVENT + 1, names="a,b"), "got the fields"),
        (plain(EVENT, TIME, names="time,event"), "got the fields"),
        (plain(EVENT, TIME, names="censored,time"), "got 'censored', which by its"),
        (plain(TIME, TIME, names="event,time"), r"must be booleans, 0 and 1, or 1 \(c"),
        (plain(EVENT * 2, TIME, names="event,time"), r"got \[0.0, 2.0\]"),
        (plain(EVENT + EVENT * 1.0 + 1, TIME, names="event,time"), r"got \[1.0, 3.0\]"),
        (plain(EVENT.astype(str), TIME, names="event,time"), "events of y must be"),
        (plain(EVENT, TIME.astype(str), names="event,time"), "times of y must be numb"),
        (plain(EVENT, EVENT, names="event,time"), "times of y must be numbers"),
        (plain(EVENT, -TIME, names="event,time"), "not negative, got -2.5 in sample 1"),
        (plain(EVENT, last_is(np.inf), names="event,time"), "got inf in sample 4"),
        (plain(EVENT, last_is(np.nan), names="event,time"), "got nan in sample 4"),
        (plain(last_is(np.nan), TIME, names="event,time"), "must be booleans, 0 and"),
        (FORMS["as scikit-survival"].reshape(-1, 1), r"shape \(5, 1\)"),
        (pd.DataFrame(THREE), r"got the fields 'time' \(float64\), 'event' \(bool\)"),
        ([*PAIRS[:4], (None, 3.0)], "without missing values"),
        ([{"event": True, "time": 1.0}, {"event": True}], "times of y must be numbers"),
        (list(plain(TIME, TIME, TIME, names="a,b,c")), "got the fields"),
        (pd.DataFrame({"event": [True, None], "time": 1.0}), "without missing values"),
        (
            pd.DataFrame({"event": pd.array([1, None], dtype="Int8"), "time": 1.0}),
            "must be booleans, 0 and 1",
        ),
    ],
)
def test_others_are_refused_in_one_sentence(y, message):
    with pytest.raises(ValueError, match=message) as caught:
        read_target(y)
    assert re.fullmatch(r"(The \w+ of )?y must .*[^.]\.", str(caught.value))
    with pytest.raises(ValueError, match=message):
        refuse_survival(y, "SomeClassifier")
