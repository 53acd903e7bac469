"""Survival times: targets with an event and a time for each sample."""

import re
import warnings

import numpy as np
from sklearn.utils.validation import check_array, check_consistent_length, column_or_1d

from skproj.utils._validation import as_numbers

DTYPE = np.dtype([("event", bool), ("time", np.float64)])
FORMS = (
    "a structured array with two fields, the event, boolean, and the time, a number, "
    "or a DataFrame with the columns 'event' and 'time'"
)
CODES = "booleans, 0 and 1, or 1 (censored) and 2 (event)"
# What names of fields say. One of a time may name the event as well: "time_to_event".
TIME_NAME = re.compile(r"time|duration|days|weeks|months|years", re.IGNORECASE)
EVENT_NAME = re.compile(r"event|status|cens|dead|death|died", re.IGNORECASE)
OPPOSITE_NAME = re.compile(r"(?<!un)censor", re.IGNORECASE)


def is_survival(y):
    """Whether `y` is survival times as `read_target` returns them."""
    return isinstance(y, np.ndarray) and y.dtype == DTYPE


def read_target(y, name="y"):
    """Return survival times as an array of dtype `DTYPE`, other targets as they are.

    Survival times are a field for the event and one for the time, in either order: a
    structured array, a list of records, of dicts, or of pairs with a boolean, also as
    rows of an array of objects, or a DataFrame. Types tell the fields apart, else
    names, and else, but not in a DataFrame, values. A ValueError refuses what else is
    structured, or does not suit.
    """
    fields = _fields(y)
    if fields is None:
        return y
    names, columns = list(fields), list(fields.values())
    place = _place_of_event(names, columns) if len(names) == 2 else None
    if place is None:
        found = ", ".join(f"{n!r} ({c.dtype})" for n, c in fields.items())
        raise ValueError(f"{name} must be {FORMS}, got the fields {found}.")
    if OPPOSITE_NAME.search(names[place]):
        raise ValueError(
            f"{name} must have a field 'event', true where the event was seen, got "
            f"{names[place]!r}, which by its name is true where it was not."
        )
    columns = columns[place], columns[1 - place]
    return join_survival(*columns, f"The events of {name}", f"The times of {name}")


def read_survival(y, name="y"):
    """Return survival times as `read_target`; a ValueError refuses other targets."""
    target = read_target(y, name)
    if not is_survival(target):
        dtype = getattr(y, "dtype", None)
        got = type(y).__name__ if dtype is None else f"dtype {dtype}"
        got += f" and shape {np.shape(y)}" if np.ndim(y) else ""
        raise ValueError(f"{name} must be {FORMS}, got {got}.")
    return target


def read_times(y, reader):
    """Return survival times as `read_target`; numbers alone are times of events.

    `reader` is the name of the estimator.
    """
    if y is None:
        raise ValueError(f"{reader} requires y to be passed, but the target y is None.")
    if is_survival(y := read_target(y)):
        return y
    time = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
    if time.ndim > 1 and time.shape[1] > 1:
        raise ValueError(f"y must be {FORMS}, got shape {time.shape}.")
    time = column_or_1d(time, warn=True)
    return join_survival(np.ones(len(time)), time, "The events of y", "The times of y")


def refuse_survival(y, reader):
    """Raise an error if `y` is survival times, or structured in another way."""
    if is_survival(read_target(y)):
        raise ValueError(
            f"{reader} needs a y of labels or numbers, got survival times: these are "
            "for the feature selectors, CoxRidge, and "
            "SparseSupervisedAutoencoderRegressor(loss='cox')."
        )


def join_survival(event, time, event_name, time_name):
    """Return events and times as an array of dtype `DTYPE`.

    A column of 1 and 2 has 2 for an event, as in the package survival of R; one of 1
    alone has events only. A ValueError has the names.
    """
    event = as_numbers(event, "biuf", f"{event_name} must be {CODES}")
    time = as_numbers(time, "iuf", f"{time_name} must be numbers")
    check_consistent_length(event, time)
    codes = np.unique(event)
    if np.isin(codes, (1.0, 2.0)).all() and 2.0 in codes:
        if len(codes) == 1:
            warnings.warn(
                f"{event_name} are all 2: they are read as events that were seen.",
                UserWarning,
                stacklevel=3,
            )
        event = event == 2.0
    elif not np.isin(codes, (0.0, 1.0)).all():
        raise ValueError(f"{event_name} must be {CODES}, got {codes[:5].tolist()}.")
    wrong = np.flatnonzero(~(np.isfinite(time) & (time >= 0.0)))
    if len(wrong):
        raise ValueError(
            f"{time_name} must be finite and not negative, got {time[wrong[0]]} in "
            f"sample {wrong[0]}."
        )
    target = np.empty(len(time), dtype=DTYPE)
    target["event"], target["time"] = event, time
    return target


def _fields(y):
    """Return the fields of a structured target by name; None for other targets."""
    dtype = getattr(y, "dtype", None)
    if hasattr(y, "column_names"):  # of pyarrow
        y = y.to_pandas()
    if hasattr(y, "columns"):
        exact = {"event", "time"} <= {str(name).lower() for name in y.columns}
        if len(y.columns) != 2 and not exact:
            return None
        columns = {str(name): np.asarray(y[name]) for name in y.columns}
        known = exact or _n_boolean(columns.values()) == 1
        if not known and {_role(name) for name in columns} == {"event", "time"}:
            known = not all(map(_is_coded, columns.values()))  # else two labels
        return columns if known else None
    if getattr(dtype, "names", None):
        return {name: np.asanyarray(y)[name] for name in dtype.names}
    if getattr(dtype, "fields", None) and hasattr(y, "to_list"):  # of polars
        y = y.to_list()
    objects = getattr(dtype, "kind", "") == "O" and y.ndim in (1, 2)
    rows = list(y) if objects or isinstance(y, list | tuple) else []
    first, names = rows[0] if rows else None, None
    if isinstance(first, dict):
        names, rows = list(first), [[row.get(key) for key in first] for row in rows]
    elif isinstance(first, np.void):
        names = first.dtype.names
    elif np.ndim(first) != 1 or {*map(np.shape, rows)} != {(2,)}:
        return None
    columns = [np.array(column, dtype=object) for column in zip(*rows, strict=True)]
    if names is None and _n_boolean(columns) != 1:
        return None
    return dict(zip(names or "12", columns, strict=True))


def _place_of_event(names, columns):
    """Return which of two fields is the event, or None."""
    roles = [_role(name) for name in names]
    if _n_boolean(columns) == 1:
        place = _n_boolean(columns[1:])
        return None if roles[place] == "time" and "event" in roles else place
    if roles.count("event") == 1:
        return roles.index("event")
    if roles.count("time") == 1:
        return 1 - roles.index("time")
    coded = [_is_coded(column) for column in columns]
    return coded.index(True) if sum(coded) == 1 else None


def _role(name):
    """Return what the name of a field says: that it is a "time" or an "event"."""
    if TIME_NAME.search(name):
        return "time"
    return "event" if EVENT_NAME.search(name) else None


def _is_coded(column):
    """Whether a column may say which events were seen."""
    return any(np.isin(column, codes).all() for codes in ((0, 1), (1, 2)))


def _n_boolean(columns):
    """Return how many columns hold booleans, be it as objects."""
    return sum(
        any(isinstance(value, bool | np.bool_) for value in column.flat)
        if column.dtype.kind == "O"
        else column.dtype.kind == "b"
        for column in columns
    )
