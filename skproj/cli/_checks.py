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

# Columns of other sizes are kept in float64: in float32, squares or coefficients in the
# units of the table would be zero or infinite.
SIZES_OF_FLOAT32 = 1e-15, 1e15

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
    if len(names) > MAX_TYPED:
        return "--drop with their names"
    return option("--drop", *names)


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
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise CommandError(
            f"{path} has several columns of the same name: {join_names(twice)}; "
            "rename them, so that each feature can be told from the others."
        )


def convert(X, dtype, names, path, *, can_drop=True, allow_missing=False):
    """Check numbers, see `check_finite`, and return them in another precision.

    They are in float64 if there are very large or small ones. A warning says where the
    precision is too low.
    """
    check_finite(X, names, path, can_drop=can_drop, allow_missing=allow_missing)
    if dtype is None or X.shape[1] == 0:
        return X
    with np.errstate(over="ignore"):
        rounded = X.astype(dtype, copy=False)
    check_finite(
        rounded, names, path, infinite="too large", allow_missing=allow_missing
    )
    entries = X.data[:, np.newaxis] if sparse.issparse(X) else X
    # As nanmax and nanmin, without a warning for a column of gaps.
    largest = np.fmax.reduce(entries, axis=0, initial=0.0).astype(np.float64)
    smallest = np.fmin.reduce(entries, axis=0, initial=0.0).astype(np.float64)
    size, (low, high) = np.maximum(largest, -smallest), SIZES_OF_FLOAT32
    if ((size > 0.0) & ((size < low) | (size > high))).any():
        return X.astype(np.float64, copy=False)
    if sparse.issparse(X) or X.dtype == dtype:
        return rounded  # with zeros, and so without a large constant in all rows
    spread = np.fmax.reduce(X, axis=0) - np.fmin.reduce(X, axis=0)
    spacing = np.spacing(size.astype(dtype))
    coarse = (spread > 0.0) & (spread < MIN_FLOAT_STEPS * spacing)
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
    """Raise an error that says where a number is missing or infinite.

    `X` may be `RowBlocks`, which are read once.
    """
    tests = {} if allow_missing else {"missing": np.isnan}
    tests[infinite] = np.isinf
    counts = {what: np.zeros(len(names), dtype=np.intp) for what in tests}
    in_blocks = not hasattr(X, "astype")
    for block in (block for _, block in X) if in_blocks else [X]:
        entries = block.data if sparse.issparse(block) else block
        if np.isfinite(entries).all():
            continue
        for what, test in tests.items():
            bad = test(entries)
            if sparse.issparse(block):
                counts[what] += np.bincount(block.indices[bad], minlength=len(names))
            else:
                counts[what] += bad.sum(axis=0)
    errors = Errors()
    for what, columns in counts.items():
        if not columns.any():
            continue
        affected = [names[j] for j in np.flatnonzero(columns)]
        advice = "fill them in, or leave out these rows"
        if can_drop and what == "missing" and not in_blocks:
            advice = "--impute median fills them in, or leave out these rows"
        if can_drop and len(affected) < len(names):
            advice += f", or {drop(affected)} leaves out these columns"
        errors.append(
            f"{path} has {what} values, {columns.sum()} in {len(affected)} of "
            f"{len(names)} columns: {join_names(affected)}; {advice}"
        )
    errors.raise_all()
