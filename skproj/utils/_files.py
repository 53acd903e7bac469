"""Writing files."""

import contextlib
import os
import uuid
from pathlib import Path

# Parts of the docstrings of functions for files; the errors are those of writing.
FILE_DOCS = {
    "write_errors": """
    NotFittedError
        If the estimator is not fitted.
    FileNotFoundError
        If the folder is missing.
    """,
    "file_example": """
    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    """,
}


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


def write(data, path):
    """Write bytes to a `new_file`."""
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent} to write to.")
    with new_file(path) as temporary:
        temporary.write_bytes(data)
