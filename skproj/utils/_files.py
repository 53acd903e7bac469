"""Writing files."""

import contextlib
import os
import uuid
from pathlib import Path


def check_checkpoint(path, *, is_folder):
    """Return the path of a checkpoint, a file or a folder if it is there; or None."""
    if path is None:
        return None
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"checkpoint must be a path or None, got {path!r}.")
    path = Path(path)
    if path.exists() and path.is_dir() != is_folder:
        wanted, found = ("folder", "file") if is_folder else ("file", "folder")
        raise ValueError(f"checkpoint must be a {wanted}, got the {found} {path}.")
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
