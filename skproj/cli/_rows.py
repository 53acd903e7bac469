"""The rows of a table that are used: those that are asked for and have a target."""

import math
import operator
import warnings

import numpy as np

from skproj.cli._checks import require
from skproj.cli._entries import cells_of
from skproj.cli._errors import CommandError
from skproj.persistence._panel._text_tables import to_number
from skproj.utils._wording import join_names

ORDER = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def holds(condition, column, path):
    """Return for which entries a condition holds: of missing ones, only if it is !=."""
    if condition.sign not in ORDER:
        equal = [is_entry(entry, condition.value) for entry in column]
        return np.array(equal, dtype=bool) != (condition.sign == "!=")
    limit, compare = to_number(condition.value), ORDER[condition.sign]
    entries = [math.nan if entry is None else entry for entry in cells_of(column)]
    numbers = [to_number(entry) for entry in entries]
    if None in (limit, *numbers):
        word = condition.value if limit is None else entries[numbers.index(None)]
        raise CommandError(
            f"{path}: --where {condition.text!r} compares numbers, and {str(word)!r} "
            "is none."
        )
    return compare(np.array(numbers), limit)


def is_entry(entry, text):
    """Whether an entry is what somebody has typed, as text or as a number."""
    if str(entry) == text:
        return True
    number = to_number(text)
    return number is not None and to_number(entry) == number


def rows_to_use(frame, options):
    """Return which rows are asked for, and have a target, and an event if there is one.

    A warning says how many are left out. Where no row has a target, all are returned:
    there is nothing to leave out, and `read_target` raises an error.
    """
    kept = np.ones(len(frame), dtype=bool)
    for condition in options.where:
        require([condition.column], list(frame), options.path, "column")
        fulfilled = holds(condition, frame[condition.column], options.path)
        if not (kept & fulfilled).any():
            entries = frame[condition.column][kept].dropna().astype(str).unique()
            raise CommandError(
                f"{options.path} has no row with --where {condition.text!r}; the "
                f"column {condition.column!r} has {join_names(entries.tolist())}"
            )
        kept &= fulfilled
    if not kept.all():
        asked = " and ".join(repr(condition.text) for condition in options.where)
        warnings.warn(
            f"{options.path}: --where {asked} leaves out {np.sum(~kept)} of "
            f"{len(frame)} rows",
            stacklevel=2,
        )
    names = [name for name in (options.target, options.event) if name in frame]
    complete = kept & frame[names].notna().all(axis=1).to_numpy()
    n_without = np.sum(kept) - np.sum(complete)
    if not complete.any():
        return kept
    if n_without:
        warnings.warn(
            f"{options.path} has {n_without} of {np.sum(kept)} rows without "
            f"{join_names(names)}; they are left out",
            stacklevel=2,
        )
    return complete
