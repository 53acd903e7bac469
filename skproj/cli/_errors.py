"""Errors of the command line."""

import difflib
import re

# Of more names than this, only those that differ in case and separators are proposed:
# the comparison of letters would take seconds.
MAX_COMPARED = 10_000


class CommandError(Exception):
    """Error that the user can correct, in one sentence."""


def check_is_file(path):
    """Raise an error if there is no such file."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise CommandError(f"{path} {what}.")


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
