"""Writing files."""

import os
import uuid
from pathlib import Path


def write(data, path):
    """Write a file such that it is there completely, or as it was before.

    Parameters
    ----------
    data : bytes
    path : str or path-like
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent} to write to.")
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
