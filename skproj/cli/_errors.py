"""Errors of the command line."""

import difflib


class CommandError(Exception):
    """Error that the user can correct, in one sentence."""


def near_matches(name, names):
    """Return ", did you mean ...?" if any of the names is like this one."""
    by_lower_case = {other.lower(): other for other in reversed(names)}
    found = difflib.get_close_matches(name.lower(), by_lower_case, n=3)
    if not found:
        return ""
    quoted = " or ".join(repr(by_lower_case[lower]) for lower in found)
    return f"; did you mean {quoted}?"
