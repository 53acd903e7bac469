"""Files and folders that are written completely or not at all."""

import contextlib
import csv
import os
import shutil
import uuid

from skproj.cli._errors import CommandError
from skproj.cli._text import TEXT_SEPARATORS, suffix_of
from skproj.utils._optional import import_optional
from skproj.utils._wording import on_one_line

# A cell of a text file that begins with one of these is a formula to a spreadsheet.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def check_free(path, overwrite, *, folder=False):
    """Raise an error if a file or folder exists already, or cannot be written."""
    if path is None:
        return
    if not path.exists():
        check_writable(path.absolute())
        return
    if not (path.is_dir() if folder else path.is_file()):
        wanted = "folder" if folder else "file"
        raise CommandError(f"--out must be a {wanted}, which {path} is not.")
    check_writable(path if folder else path.absolute().parent)
    if not overwrite and (not folder or any(path.iterdir())):
        what = "is a folder with files in it" if folder else "exists already"
        raise CommandError(f"{path} {what}; --overwrite replaces what is there.")


def check_writable(folder):
    """Raise an error if a folder that may be still to be made cannot be written to."""
    while not folder.exists():
        if folder.is_symlink():
            raise CommandError(f"--out: {folder} is a link to nothing.")
        folder = folder.parent
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        raise CommandError(f"--out: {folder} is not a folder that can be written to.")


@contextlib.contextmanager
def new_folder(path, expected):
    """Make a folder whose files appear at the end of a block, or not at all.

    Parameters
    ----------
    path : Path
        The folder. If it exists, the new files go into it.
    expected : sequence of str
        Names of files that may come from an earlier run. They go, unless there are
        new ones.

    Yields
    ------
    folder : Path
        A temporary folder to write into.
    """
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    # Within a folder that exists: it can be a file system of its own.
    is_new = not path.exists()
    temporary = (path.parent if is_new else path) / f".{uuid.uuid4().hex}"
    try:
        temporary.mkdir()
        yield temporary
        if is_new:
            temporary.rename(path)
            return
        for name in expected:
            if not (temporary / name).exists():
                (path / name).unlink(missing_ok=True)
        for file in temporary.iterdir():
            os.replace(file, path / file.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def print_lines(*lines):
    """Print lines, in which names may have line breaks and control characters."""
    for line in lines:
        print(on_one_line(line))


def write_table(frame, path, *, index):
    """Write a DataFrame: parquet as it is, text in a form for spreadsheets.

    The suffix of the path is the format. Its folder is made if it is missing.
    """
    from skproj.utils._files import new_file  # scikit-learn comes with it

    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = suffix_of(path)
    with new_file(path) as file:
        if suffix == ".parquet":
            import_optional("pyarrow", extra="cli")
            frame.to_parquet(file, index=index)
        else:
            separator = TEXT_SEPARATORS.get(suffix, ",")
            for_spreadsheets(frame).to_csv(file, index=index, sep=separator)


def write_rows(rows, path):
    """Write dicts as rows of a .csv file, in a form for spreadsheets."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(map(as_cell, columns))
        for row in rows:
            writer.writerow(as_cell(row.get(name)) for name in columns)


def for_spreadsheets(frame):
    """Return a DataFrame whose text no spreadsheet takes for a formula."""
    text = frame.select_dtypes(exclude="number").map(as_cell)
    return (
        frame.assign(**text)
        .rename(columns=as_cell)
        .set_axis(frame.index.map(as_cell))
        .rename_axis(index=as_cell(frame.index.name))
    )


def as_cell(value):
    """Return a value, with an apostrophe in front if it is text like a formula."""
    if not isinstance(value, str):
        return value
    mark = "'" if value.startswith(FORMULA_STARTS) else ""
    # Before Python 3.13 a carriage return is not quoted, and begins another row.
    return mark + value.replace("\r", "\n")
