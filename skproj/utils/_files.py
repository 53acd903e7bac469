"""Writing files."""

import contextlib
import os
import uuid
from pathlib import Path


def check_checkpoint(path):
    """Return the path of a folder, which need not be there; or None."""
    if path is None:
        return None
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"checkpoint must be a path or None, got {path!r}.")
    path = Path(path)
    if path.is_file():
        raise ValueError(f"checkpoint must be a folder, got the file {path}.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"checkpoint: there is no folder {path.parent}.")
    return path


@contextlib.contextmanager
def new_file(path):
    """Make a file that is written completely, or stays as it was.

    Yields a temporary path in the same folder, with the same suffix, to write to.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
