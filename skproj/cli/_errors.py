"""Errors of the command line."""


class CommandError(Exception):
    """Error that the user can correct, in one sentence."""


def check_is_file(path):
    """Raise an error if there is no such file; a .zarr store is a folder."""
    is_store = path.suffix.lower() == ".zarr" and path.is_dir()
    if not (path.is_file() or is_store):
        what = "is a folder" if path.is_dir() else "does not exist"
        raise CommandError(f"{path} {what}.")
