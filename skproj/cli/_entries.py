"""Entries of tables: text is trimmed, and numbers are read by one rule for all."""

import math
import re
import warnings
from collections import Counter

import numpy as np

from skproj.cli._checks import MAX_TYPED, option
from skproj.persistence._panel._text_tables import (
    EITHER,
    GROUP_MARKS,
    MISSING,
    NUMBERS,
    TRUTH,
    clean,
    clean_names,
    count,
    find_decimal,
    half_of_limit,
    in_lines,
    to_number,
    to_numbers,
)
from skproj.utils._optional import import_optional
from skproj.utils._wording import join_names

# A column of text is named as one of numbers if at least this share of it are numbers.
MIN_NUMERIC_SHARE = 0.5
# So many whole numbers may be codes, with other text among them.
MAX_CODES = 20
# What may be around a number.
LIMITS = "<>\u2264\u2265~\u2248"
AROUND = re.compile(
    rf"[()\[\]{LIMITS}=%\u2030$\u20ac\u00a3\u00a5*\s]|EUR|USD|GBP|CHF|JPY|-$|^'|'$"
    r"|(?<=\d)[_`\u00b4\u2032\u02d9\u200b](?=\d{3}(?!\d))"
)
# A unit such as mg/dl after a number; without a blank only after a fraction, as 2a is a
# name.
UNIT = re.compile(
    r"^([<>~]?\s*[+-]?[\d.,]*\d)(?:\s+|(?<=[.,]\d)|(?<=[.,]\d\d))"
    r"[^\W\d_][^\s\d]*[23]?$"
)


def object_columns(frame):
    """Return the names of the columns of objects, such as text.

    Without a look at each column, of which there may be very many.
    """
    return frame.columns[[dtype.kind == "O" for dtype in frame.dtypes]]


def tidy(frame, options, trimmed_names=()):
    """Return a frame with text trimmed, see `clean`, and gaps where it says so.

    A warning says where. That of names is done: `trimmed_names` are such names.
    """
    path, missing = options.path, options.missing
    absent = MISSING.union(map(clean, missing))
    changed, trimmed = {}, []
    for name in object_columns(frame):
        column = frame[name]
        entries = [entry for entry in column.unique() if isinstance(entry, str)]
        new = {e: half_of_limit(clean(e), options.below) for e in entries}
        gaps = [entry for entry in entries if new[entry] in absent]
        changes = [new[entry] for entry in entries if new[entry] != entry]
        if not all(e in absent or is_number(e) for e in changes):
            trimmed.append(name)
        if gaps or changes:
            column = column.astype(object)
            column = column.mask(column.isin(gaps))
            changed[name] = column.map(lambda e, new=new: new.get(e, e))
    frame = frame.assign(**changed) if changed else frame
    codes = [number for text in missing if (number := to_number(text)) is not None]
    if codes:
        numeric = frame.select_dtypes("number").columns
        frame[numeric] = frame[numeric].mask(frame[numeric].isin(codes))
    if object_columns(frame.index.to_frame()).size:
        names = frame.index.map(lambda e: clean(e) if isinstance(e, str) else e)
        if not names.equals(frame.index):
            trimmed.append(frame.index.name or "row")
        frame = frame.set_axis(names, axis=0)
    where = [f"the columns {join_names(trimmed)}"] if trimmed else []
    if trimmed_names:
        where.append(f"the names {join_names(trimmed_names)}")
    if where:
        warnings.warn(
            f"{path}: text was trimmed, in {' and '.join(where)}: spaces at its ends "
            "and the Unicode form of letters do not count",
            stacklevel=2,
        )
    return frame


def without_codes(frame, cells, codes, decimal):
    """Return a frame with gaps where columns of numbers have one of these.

    Their `cells` are given by name, as text.
    """
    changed = {}
    for name, column in cells.items() if codes else ():
        numbers = column_numbers(column, decimal)
        if numbers is not None and np.isin(numbers, codes).any():
            changed[name] = frame[name].mask(np.isin(numbers, codes))
    return frame.assign(**changed) if changed else frame


def trim_names(written, wanted=()):
    """Return names of columns without spaces, and those of them that had some."""
    written = [str(name) for name in written]
    names = clean_names(written, wanted)
    return names, [n for n, old in zip(names, written, strict=True) if n != old]


def tidy_obs(obs, options):
    """Return the `obs` of annotated data, with what is used of it as `tidy` does it."""
    names, changed = trim_names(obs)
    obs = obs.set_axis(names, axis=1)
    names = [name for name in options.used_columns if name in obs]
    used = tidy(obs[names], options, changed)
    return obs.set_axis(used.index, axis=0).assign(**used)


def is_number(cell):
    """Whether a cell holds a number, whatever its decimal sign."""
    return any(to_number(cell, sign) is not None for sign in ".,")


def cells_of(column):
    """Return the entries of a column, None where one is missing."""
    return column.astype(object).where(column.notna(), None).tolist()


def decimal_of(cells, options):
    """Return the decimal sign of a table, of whose columns of objects are the cells."""
    if options.decimal_sign is not None:
        return options.decimal_sign
    used = {name: cells[name] for name in cells if options.matters(name)}
    others = {name: cells[name] for name in cells if name not in options.drop}
    return find_decimal(used, others, options.usual_decimal)


def read_numbers(frame, options, cells, decimal=None):
    """Return a frame with numbers for text, and the decimal sign.

    Columns, of which the `cells` are given by name, are numbers if all their cells are.
    The decimal sign suits all columns, unless it is given.
    """
    decimal = decimal or decimal_of(cells, options)
    changed, grouped = {}, {}
    for name, column in cells.items():
        numbers = column_numbers(column, decimal)
        if numbers is not None:
            changed[name] = numbers
            example = first_with_marks(column, decimal)
            if example and options.matters(name):
                grouped[name] = example
        elif all(isinstance(c, str) and c.lower() in TRUTH for c in column):
            changed[name] = np.array([c.lower() == "true" for c in column])
    if grouped and options.thousands is None:
        cell = next(iter(grouped.values()))
        mark = re.search(rf"\d([.,{GROUP_MARKS}])\d", cell)[1]
        mark = "'" if mark == "\u2019" else mark if mark in ".," else " "
        warnings.warn(
            f"{options.path} has numbers with thousands marks, in "
            f"{join_names(grouped)}: {cell!r} was read as "
            f"{to_number(cell, decimal):.12g}; {option('--thousands', mark)} confirms "
            "it",
            stacklevel=2,
        )
    return with_columns(frame, changed), decimal


def with_columns(frame, columns):
    """Return a frame with some columns replaced, of which there may be very many."""
    pd = import_optional("pandas", extra="cli")
    if len(columns) == 0:
        return frame
    new = pd.DataFrame(columns, index=frame.index)
    others = frame.columns.difference(new.columns, sort=False)
    return pd.concat([frame[others], new], axis=1)[frame.columns]


def proves_decimal(numbers):
    """Whether some numbers would not be any with thousands marks for a decimal sign."""
    with np.errstate(invalid="ignore", over="ignore"):
        size = np.abs(numbers)
        thousandths = size * 1000.0
        is_fraction = np.isfinite(size) & (size % 1.0 != 0.0)
        is_short = np.abs(thousandths - np.round(thousandths)) < 1e-6
    return bool((is_fraction & ~(is_short & (size >= 1.0) & (size < 1000.0))).any())


def first_with_marks(cells, decimal):
    """Return the first number with marks between its digits, or None."""
    other = ".,".replace(decimal, "")
    found = re.search(rf"(?m)^.*\d[{other}{GROUP_MARKS}]\d.*$", in_lines(cells))
    return found and found[0]


def column_numbers(cells, decimal):
    """Return cells as an array of numbers, or None; NaN for None.

    Whole numbers without gaps are integers.
    """
    found = to_numbers([cell for cell in cells if isinstance(cell, str)], decimal)
    if found is None or cells.count(None) == len(cells):
        return None
    numbers = [
        next(found) if isinstance(c, str) else math.nan if c is None else to_number(c)
        for c in cells
    ]
    if None in numbers:  # such as a date
        return None
    numbers = np.array(numbers)
    return numbers.astype(np.int64) if are_whole(numbers) else numbers


def are_whole(numbers):
    """Whether numbers are whole, in each column, and exact as integers."""
    with np.errstate(invalid="ignore"):
        return ((numbers % 1.0 == 0.0) & (np.abs(numbers) < 2.0**53)).all(axis=0)


def are_doubtful(cells, decimal):
    """Whether half of the cells or more are numbers, and some have other signs."""
    cells = [cell.strip() for cell in cells if isinstance(cell, str)]
    lines = in_lines(cells)
    return 2 * count(EITHER, lines) >= len(cells) > 0 and (
        ".,".replace(decimal, "") in lines
        or count(NUMBERS[decimal], lines) < len(cells)
    )


def spoiled(column, name, decimal="."):
    """Return a sentence on what keeps a column from being numbers, if most of it are.

    Whole numbers of few values may be codes, beside others that are text.
    """
    cells = cells_of(column)
    counts = Counter(cell for cell in cells if cell is not None)
    numbers = {cell: to_number(cell, decimal) for cell in counts}
    plain = {cell: x for cell, x in numbers.items() if x is not None}
    wrong = [c for c, x in numbers.items() if x is None]
    marked = [cell for cell in wrong if isinstance(cell, str) and is_marked(cell)]
    if not plain:  # classes such as <65 and >=65, and a few doses, are no numbers
        marked = [cell for cell in marked if not cell.startswith(tuple(LIMITS))]
        if len(marked) <= MAX_CODES and all(UNIT.match(cell) for cell in marked):
            marked = [cell for cell in marked if re.search(r"[.,]\d", cell)]
    n_numbers = sum(counts[cell] for cell in [*plain, *marked])
    grouped = first_with_marks(list(plain), decimal)
    codes = {x for x in plain.values() if x % 1.0 == 0.0}
    are_codes = codes.issuperset(plain.values()) and len(codes) <= MAX_CODES
    if n_numbers < max(1, MIN_NUMERIC_SHARE * counts.total()) or (
        are_codes and not marked and not grouped
    ):
        return ""
    if not wrong:
        first = grouped or next(iter(plain))
        return f"{name!r} is text that holds numbers such as {first!r}; store numbers"
    first, other = (marked or wrong)[0], ".,".replace(decimal, "")
    if not isinstance(first, str):
        advice = "write it as a plain number"
    elif all(to_number(cell, other) is not None for cell in counts):
        advice = f"--decimal {other} reads such entries, if all are written so"
    elif first in marked and not first.startswith(tuple(LIMITS)):
        advice = "write it as a plain number"
    else:
        words = [c for c in wrong if c not in marked or c.startswith(tuple(LIMITS))]
        words = words if len(words) <= MAX_TYPED else [first]
        them = "it" if len(words) == 1 else "them"
        advice = f"{option('--na', *words)} reads {them} as missing"
        if any(half_of_limit(word, "<") != word for word in words):
            advice += ", --na-below '<' as half of the limit"
    n_wrong = sum(counts[cell] for cell in wrong)
    entries = "1 entry" if n_wrong == 1 else f"{n_wrong} entries"
    return (
        f"{name!r} holds numbers but for {entries} such as {str(first)!r} in row "
        f"{cells.index(first) + 1}; {advice}"
    )


def is_marked(cell):
    """Whether a cell is a number with something around it, or with the other sign."""
    unit = UNIT.match(cell)
    return is_number(AROUND.sub("", unit[1] if unit else cell))
