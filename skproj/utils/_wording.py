"""Wording of messages."""

import difflib
import itertools
import re
from collections import Counter

# Of more names than this, only those that differ in case and separators are proposed:
# the comparison of letters would take seconds.
MAX_COMPARED = 10_000

# Of a name in a plot or a table.
MAX_NAME_LENGTH = 30


def on_one_line(text):
    """Return text with escapes for line breaks and control characters."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))


def shorten(name):
    """Leave out the middle of a long name: its end often tells it from others."""
    name = str(name)
    if len(name) <= MAX_NAME_LENGTH:
        return name
    half = (MAX_NAME_LENGTH - 1) // 2
    return f"{name[:half]}…{name[-half:]}"


def short_names(names):
    """Shorten names, but not those that would then look like another one."""
    short = {str(name): shorten(name) for name in names}
    counts = Counter(short.values())
    return [
        short[name] if counts[short[name]] == 1 else name for name in map(str, names)
    ]


def in_words(name):
    """Return the name of a feature; that of an indicator of gaps says what it is."""
    column = name.removeprefix("missingindicator_")
    return name if column == name else f"{column} is missing"


def join_names(names, at_most=5):
    """Return names in quotes, and how many more there are."""
    names = list(names)
    text = ", ".join(repr(name) for name in names[:at_most])
    left_out = len(names) - at_most
    return f"{text} and {left_out} more" if left_out > 0 else text


def name_columns(columns, names=None):
    """Return "column 'a'", or "columns 'a', 'b' and 3 more", for a mask of columns."""
    found = columns.nonzero()[0].tolist()
    listed = found if names is None else [names[column] for column in found]
    return f"column{'s' if len(listed) > 1 else ''} {join_names(listed)}"


def first_difference(names, expected):
    """Say where names differ first from others."""
    pairs = itertools.zip_longest(names, expected)
    place, (name, other) = next((i, p) for i, p in enumerate(pairs) if p[0] != p[1])
    return f"feature {place} is {name!r} instead of {other!r}"


def near_matches(name, names):
    """Return ", did you mean ...?" if any of the names is like this one."""
    plain = {as_plain(other): other for other in reversed(names)}
    found = [as_plain(name)] if as_plain(name) in plain else []
    if not found and len(plain) <= MAX_COMPARED:
        found = difflib.get_close_matches(as_plain(name), plain, n=3)
    if not found:
        return ""
    quoted = " or ".join(repr(plain[match]) for match in found)
    return f"; did you mean {quoted}?"


def as_plain(name):
    """Return a name in lower case, without what is often written differently."""
    return re.sub(r"[\s._-]+", "", name.lower())
