"""Errors of the command line."""

import contextlib

# In place of `Errors`, where the first error is to be raised at once.
AT_ONCE = contextlib.nullcontext()


class CommandError(Exception):
    """Error that the user can correct, in one sentence, or several of them."""

    def __str__(self):
        return " ".join(self.args)


class Errors(list):
    """Sentences on errors of independent checks, which are raised together.

    A check is in a block of its own, which an error ends: ``with errors: ...``.
    """

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if kind is CommandError:
            self.extend(error.args)
        return kind is CommandError

    def raise_all(self):
        """Raise what was found, each sentence once."""
        if self:
            raise CommandError(*dict.fromkeys(self))


def check_is_file(path):
    """Raise an error if there is no such file; a .zarr store is a folder."""
    is_store = path.suffix.lower() == ".zarr" and path.is_dir()
    if not (path.is_file() or is_store):
        what = "is a folder" if path.is_dir() else "does not exist"
        raise CommandError(f"{path} {what}.")
