"""Writing files."""

import contextlib
import os
import uuid


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
