"""Survival times: targets with an event and a time for each sample."""

import numpy as np
from sklearn.utils.validation import check_array, column_or_1d

SURVIVAL_DOCS = {
    "y_true": """
    y_true : structured ndarray or DataFrame of shape (n_samples,)
        Survival times: a structured array with a boolean field, whether the event was
        seen, and a field of numbers, the time of the event or of censoring, in this
        order, or a DataFrame with the columns `event` and `time`.
    """,
}

# Sections of the docstrings of `predict_survival`.
PREDICT_SURVIVAL_DOCS = {
    "sections": """
        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        times : array-like of shape (n_times,)
            Times, in the units of `y`.

        Returns
        -------
        probability : ndarray of shape (n_samples, n_times)
            That the event comes after each time. After the last event of the training
            samples, it is the value at that event.

        Raises
        ------
        NotFittedError
            If the model is not fitted.
        ValueError
            If `times` is not a list of numbers.
    """,
}

DTYPE = np.dtype([("event", bool), ("time", np.float64)])
FORMS = (
    "a structured array with a boolean field, the event, and a field of numbers, the "
    "time, in this order, or a DataFrame with the columns 'event' and 'time'"
)


def is_survival(y):
    """Whether `y` has the form of survival times; its values are not looked at."""
    columns = getattr(y, "columns", None)
    if columns is not None:
        return len(columns) == 2 and set(columns) == {"event", "time"}
    dtype = getattr(y, "dtype", None)
    names = getattr(dtype, "names", None)
    if not names or len(names) != 2 or np.ndim(y) != 1:
        return False
    return dtype[0].kind == "b" and dtype[1].kind in "iuf"


def read_survival(y, name="y"):
    """Return events and times as an array of dtype `DTYPE`.

    A ValueError says what does not suit.
    """
    if hasattr(y, "columns") and {"event", "time"} <= set(y.columns):
        event, time = np.asarray(y["event"]), np.asarray(y["time"])
    elif is_survival(y):
        event, time = (y[field] for field in y.dtype.names)
    else:
        dtype = getattr(y, "dtype", None)
        got = type(y).__name__ if dtype is None else f"dtype {dtype}"
        if getattr(dtype, "names", None) is None and np.ndim(y):
            got += f" and shape {np.shape(y)}"
        raise ValueError(f"{name} must be {FORMS}, got {got}.")
    event = _as_numbers(event, f"The events of {name} must be booleans, or 0 and 1")
    wrong = (event != 0.0) & (event != 1.0)
    if wrong.any():
        raise ValueError(
            f"The events of {name} must be booleans, or 0 and 1, got "
            f"{event[wrong][0]} in sample {np.flatnonzero(wrong)[0]}."
        )
    time = _as_numbers(time, f"The times of {name} must be numbers")
    wrong = ~(np.isfinite(time) & (time >= 0.0))
    if wrong.any():
        raise ValueError(
            f"The times of {name} must be finite and not negative, got "
            f"{time[wrong][0]} in sample {np.flatnonzero(wrong)[0]}."
        )
    target = np.empty(len(time), dtype=DTYPE)
    target["event"] = event
    target["time"] = time
    return target


def _as_numbers(values, rule):
    """Convert booleans and numbers, also those of nullable columns, but not text."""
    try:
        if values.dtype.kind in "biufO":
            return values.astype(np.float64)
    except (TypeError, ValueError):  # what is missing in a column of objects
        pass
    raise ValueError(f"{rule}, without missing values, got dtype {values.dtype}.")


def read_times(y, reader):
    """Return events and times as `read_survival`; numbers alone are times of events.

    `reader` is the name of the estimator.
    """
    if y is None:
        raise ValueError(f"{reader} requires y to be passed, but the target y is None.")
    if is_survival(y) or getattr(getattr(y, "dtype", None), "names", None):
        return read_survival(y)
    time = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
    if time.ndim > 1 and time.shape[1] > 1:
        raise ValueError(f"y must be {FORMS}, got shape {time.shape}.")
    target = np.empty(len(time), dtype=DTYPE)
    target["event"], target["time"] = True, column_or_1d(time, warn=True)
    return read_survival(target)


def breslow(y, risk, weights):
    """Return the times of events, and the log cumulative hazard of the risk 0.

    The risks are logarithms of hazards; equal ones give the estimate of Nelson and
    Aalen.
    """
    order = np.argsort(-y["time"], kind="stable")
    time, event, weights = y["time"][order], y["event"][order], weights[order]
    at_risk = np.logaddexp.accumulate(risk[order] + np.log(weights))
    times, tie = np.unique(time[event], return_inverse=True)
    n_events = np.bincount(tie, weights[event])
    last = np.searchsorted(-time, -times, side="right") - 1
    return times, np.logaddexp.accumulate(np.log(n_events) - at_risk[last])


def log_hazard_until(times, event_times, log_hazard):
    """Return the log cumulative hazard until each time; `log_hazard` is at events."""
    place = np.searchsorted(event_times, times, side="right")
    return np.append(-np.inf, log_hazard)[place]


def survival_until(times, risk, event_times, log_hazard):
    """Return the probability of each risk that the event comes after each time."""
    times = check_array(times, ensure_2d=False, input_name="times").ravel()
    log_hazard = log_hazard_until(times, event_times, log_hazard)
    with np.errstate(over="ignore"):  # an infinite hazard leaves no survivor
        return np.exp(-np.exp(np.add.outer(risk.astype(np.float64), log_hazard)))
