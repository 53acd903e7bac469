"""Errors of the command line."""


class CommandError(Exception):
    """Error that the user can correct, in one sentence."""


def check_is_file(path):
    """Raise an error if there is no such file."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise CommandError(f"{path} {what}.")
