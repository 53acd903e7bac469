"""The rows of a table that are used: those that are asked for and have a target."""

import math
import operator
import warnings

import numpy as np

from skproj.cli._checks import require
from skproj.cli._entries import cells_of
from skproj.cli._errors import CommandError
from skproj.persistence._panel._text_tables import MISSING, TRUTH, to_number
from skproj.utils._wording import join_names

ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def holds(condition, column, options, decimal="."):
    """Return for which entries a condition holds: of missing ones, only if it is !=.

    Where its value stands for a missing one, as in ``age != NA``, these are equal to
    it. Numbers are read by the decimal sign of the table, limits by it or with a point.
    """
    value = condition.value
    if condition.sign not in ORDER:
        if value in MISSING.union(options.missing):
            equal = column.isna().to_numpy(bool)
        else:
            equal = np.array([is_entry(e, value, decimal) for e in column], dtype=bool)
        return equal != (condition.sign == "!=")
    limit, compare = as_typed(value, decimal), ORDER[condition.sign]
    entries = [math.nan if entry is None else entry for entry in cells_of(column)]
    numbers = [to_number(entry, decimal) for entry in entries]
    if None in (limit, *numbers):
        word = value if limit is None else entries[numbers.index(None)]
        raise CommandError(
            f"{options.path}: --where {condition.text!r} compares numbers, and "
            f"{str(word)!r} is none."
        )
    return compare(np.array(numbers), limit)


def as_typed(text, decimal):
    """Return the number that was typed, by the sign of the table or with a point."""
    found = to_number(text, decimal)
    return to_number(text) if found is None else found


def is_entry(entry, text, decimal="."):
    """Whether an entry is what somebody has typed, as text, number or truth value."""
    word = str(entry)
    if word == text or (word.lower() == text.lower() and text.lower() in TRUTH):
        return True
    number = as_typed(text, decimal)
    return number is not None and to_number(entry, decimal) == number


def rows_to_use(frame, options, decimal="."):
    """Return which rows are asked for, and have a target, and an event if there is one.

    A warning says how many are left out. Where no row has a target, all are returned:
    there is nothing to leave out, and `read_target` raises an error.
    """
    kept = np.ones(len(frame), dtype=bool)
    for condition in options.where:
        require([condition.column], list(frame), options.path, "column")
        fulfilled = holds(condition, frame[condition.column], options, decimal)
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
