"""Checks of names and numbers in tables."""

import warnings
from collections import Counter
from shlex import quote

import numpy as np
from scipy import sparse

from skproj.cli._errors import CommandError, Errors
from skproj.utils._wording import join_names, near_matches

WANTED_BY_MODEL = ", which the model needs"

# Where fewer numbers lie between the smallest and the largest value of a column, too
# much of it is lost.
MIN_FLOAT_STEPS = 1000

# More names are not typed after an option.
MAX_TYPED = 20


def is_numeric(column):
    """Whether a column holds numbers, which truth values are not."""
    return getattr(column.dtype, "kind", "O") in "iuf"


def option(name, *values):
    """Return an option with its values as a shell takes them.

    A value that begins with a hyphen would be taken for another option.
    """
    if any(value.startswith("-") for value in values):
        return " ".join(f"{name}={quote(value)}" for value in values)
    return " ".join([name, *map(quote, values)])


def drop(names):
    """Return the option that leaves columns out; more than a few without the names."""
    names = list(names)
    return option("--drop", *names) if len(names) <= MAX_TYPED else "--drop"


def require(names, known, path, kind, wanted_by=""):
    """Raise an error if a table lacks a name of a kind, such as "column".

    `wanted_by` is appended to the missing names.
    """
    known_names = set(known)
    missing = [name for name in names if name not in known_names]
    if not missing:
        return
    hint = near_matches(missing[0], known)
    if not hint:
        hint = f"; there are {join_names(known) or 'none'}"
    raise CommandError(f"{path} has no {kind} {join_names(missing)}{wanted_by}{hint}")


def check_unique(names, path):
    """Raise an error if a name occurs twice."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise CommandError(
            f"{path} has several columns of the same name: {join_names(twice)}; "
            "rename them, so that each feature can be told from the others."
        )


def convert(X, dtype, names, path, *, can_drop=True, allow_missing=False):
    """Check numbers, see `check_finite`, and return them in another precision.

    A warning says where it is too low.
    """
    check_finite(X, names, path, can_drop=can_drop, allow_missing=allow_missing)
    if dtype is None or X.dtype == dtype:
        return X
    with np.errstate(over="ignore"):
        rounded = X.astype(dtype)
    check_finite(
        rounded, names, path, infinite="too large", allow_missing=allow_missing
    )
    if sparse.issparse(X):
        return rounded  # with zeros, and so without a large constant in all rows
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN")
        spread = np.nanmax(X, axis=0) - np.nanmin(X, axis=0)
        size = np.nanmax(np.abs(rounded), axis=0)
    coarse = (spread > 0.0) & (spread < MIN_FLOAT_STEPS * np.spacing(size))
    if coarse.any():
        affected = [names[j] for j in np.flatnonzero(coarse)]
        warnings.warn(
            f"{path} has {len(affected)} of {len(names)} columns whose rows differ by "
            f"too little to be told apart in {rounded.dtype}: {join_names(affected)}; "
            "subtract a constant from each",
            stacklevel=2,
        )
    return rounded


def check_finite(
    X, names, path, *, can_drop=True, infinite="infinite", allow_missing=False
):
    """Raise an error that says where a number is missing or infinite."""
    entries = X.data if sparse.issparse(X) else X
    if np.isfinite(entries).all():
        return
    errors = Errors()
    tests = {} if allow_missing else {"missing": np.isnan}
    for what, test in {**tests, infinite: np.isinf}.items():
        bad = test(entries)
        if not bad.any():
            continue
        columns = np.zeros(len(names), dtype=np.intp)
        if sparse.issparse(X):
            columns += np.bincount(X.indices[bad], minlength=len(names))
        else:
            columns += bad.sum(axis=0)
        affected = [names[j] for j in np.flatnonzero(columns)]
        advice = "fill them in, or leave out these rows"
        if can_drop and what == "missing":
            advice = "--impute median fills them in, or leave out these rows"
        if can_drop and len(affected) < len(names):
            advice += f", or {drop(affected)} leaves out these columns"
        errors.append(
            f"{path} has {what} values, {columns.sum()} in {len(affected)} of "
            f"{len(names)} columns: {join_names(affected)}; {advice}"
        )
    errors.raise_all()
