"""The target of a selection: labels, numbers or survival times, and the groups."""

import re
import warnings

import numpy as np

from skproj.cli._checks import check_finite, is_numeric, option
from skproj.cli._entries import are_whole, spoiled
from skproj.cli._errors import CommandError
from skproj.cli._rows import is_entry
from skproj.persistence._panel._text_tables import TRUTH
from skproj.utils._optional import import_optional
from skproj.utils._wording import join_names

# Numbers with more different values than this are not taken for labels.
MAX_LABELS = 20
# What says whether an event was seen, as text in lower case.
EVENT_CODES = {f"{code}{end}": code for code in range(3) for end in ("", ".0")} | TRUTH


def read_target(table, options):
    """Return the task, and the target as an array.

    Labels are strings or integers, numbers float64; survival times are structured.
    """
    column, labels = table.target(options.target), table.labels(options.target)
    target = f"the target {options.target!r}"
    check_complete(column, target)
    if not is_numeric(column) and options.task != "classification":
        decimal = table.reading.get("decimal", ".")
        if reason := spoiled(column, options.target, decimal):
            raise CommandError(f"{options.data}: the target {reason}")
    if options.event is not None:
        return "survival", survival_times(column, table.target(options.event), options)
    numeric = is_numeric(column)
    whole = numeric and bool(are_whole(column))
    task = options.task
    if task == "auto":
        few = labels.nunique() <= MAX_LABELS
        task = "regression" if numeric and not (whole and few) else "classification"
    if task == "regression" and not numeric:
        raise CommandError(f"{target} is not a number, as --task regression needs.")
    if task == "classification" and numeric and not whole:
        raise CommandError(
            f"{target} holds numbers that are not whole, which are not labels; use "
            "--task regression."
        )
    if task == "classification":
        column = labels
    if column.nunique() < 2:
        what = "class" if task == "classification" else "value"
        raise CommandError(
            f"{target} has one {what} only: {str(column.iloc[0])!r}; there is nothing "
            "to tell apart."
        )
    if task == "classification":
        warn_of_case(column, target)
        return task, column.to_numpy(dtype=np.int64 if is_numeric(column) else str)
    y = column.to_numpy(dtype=np.float64)
    check_finite(y[:, np.newaxis], [options.target], options.data, can_drop=False)
    return task, y


def survival_times(time, event, options):
    from skproj.utils._survival import CODES, join_survival  # after scikit-learn

    target, told = f"the target {options.target!r}", f"the column {options.event!r}"
    if not is_numeric(time):
        raise CommandError(f"{target} is not a number, as --event needs.")
    check_complete(event, told)
    if options.event_value is not None:
        codes = event.map(lambda entry: int(is_entry(entry, options.event_value)))
        if not codes.any():
            raise CommandError(
                f"{told} of --event is never {options.event_value!r}; it has "
                f"{join_names(event.astype(str).unique().tolist())}"
            )
    else:
        codes = event.astype(str).str.strip().str.lower().map(EVENT_CODES)
    if codes.isna().any():
        words = list(dict.fromkeys(map(str, event)))
        choice = option("--event", f"{options.event}={words[0]}")
        raise CommandError(
            f"{told} of --event must be {CODES}, got "
            f"{str(event[codes.isna()].iloc[0])!r}. Of its values {join_names(words)} "
            f"one may be the event: {choice} says which."
        )
    time = time.to_numpy(dtype=np.float64)
    check_finite(time[:, np.newaxis], [options.target], options.data, can_drop=False)
    if time.min() < 0.0:
        raise CommandError(f"{target} has a negative time: {time.min():g}.")
    try:
        y = join_survival(codes.to_numpy(), time, f"{told} of --event", target)
    except ValueError as error:  # 0 and 1 and 2
        raise CommandError(str(error)) from error
    if len(np.unique(y["time"])) < 2:
        raise CommandError(f"{target} has one value only; there is nothing to order.")
    return y


def check_complete(column, name, advice="leave out these rows"):
    if column.isna().any():
        raise CommandError(
            f"{name} is missing in {column.isna().sum()} of {len(column)} rows; "
            f"{advice}."
        )


def number_groups(table, options):
    pd = import_optional("pandas", extra="cli")
    column, name = table.target(options.groups), f"the column {options.groups!r}"
    advice = "fill it in, or leave out these rows"
    check_complete(column, f"{name} of --groups", advice)
    if column.dtype.kind == "O":  # a sheet may hold 1 as a number and as text
        column = column.astype(str)
        warn_of_case(column, name)
    return pd.factorize(column)[0]


def warn_of_case(column, name):
    """Give a warning if values differ in case, blanks and leading zeros only."""
    values = [value for value in column.unique() if isinstance(value, str)]
    same = {}
    for value in values:
        key = re.sub(r"\b0+(?=\d)", "", " ".join(value.casefold().split()))
        same.setdefault(key, []).append(value)
    if alike := next((names for names in same.values() if len(names) > 1), None):
        cased = len({value.casefold() for value in alike}) < len(alike)
        what = "upper and lower case" if cased else "blanks or leading zeros"
        warnings.warn(
            f"{name} has values that differ only in {what}, which are kept apart: "
            f"{join_names(alike)}",
            stacklevel=2,
        )


def describe_task(task, y):
    if task == "regression":
        return f"regression, from {y.min():.6g} to {y.max():.6g}"
    if task == "survival":
        n_events = np.count_nonzero(y["event"])
        latest = y["time"].max()
        return f"survival, {n_events} events in {len(y)} rows, times up to {latest:.6g}"
    classes, counts = np.unique(y, return_counts=True)
    return (
        f"classification, {len(classes)} classes of {counts.min()} to {counts.max()} "
        f"rows: {join_names(classes.tolist(), at_most=10)}"
    )
