"""Files that are written as a whole, or not at all."""

from pathlib import Path

from skproj.utils._files import new_file

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


def write(data, path):
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent} to write to.")
    with new_file(path) as temporary:
        temporary.write_bytes(data)
