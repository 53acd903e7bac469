"""Errors of the command line."""

import difflib


class CommandError(Exception):
    """Error that the user can correct, in one sentence."""


def check_is_file(path):
    """Raise an error if there is no such file."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise CommandError(f"{path} {what}.")


def near_matches(name, names):
    """Return ", did you mean ...?" if any of the names is like this one."""
    by_lower_case = {other.lower(): other for other in reversed(names)}
    found = difflib.get_close_matches(name.lower(), by_lower_case, n=3)
    if not found:
        return ""
    quoted = " or ".join(repr(by_lower_case[lower]) for lower in found)
    return f"; did you mean {quoted}?"
