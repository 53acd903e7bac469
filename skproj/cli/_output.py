"""Files and folders that are written completely or not at all."""

import contextlib
import os
import shutil
import uuid

from skproj.cli._errors import CommandError
from skproj.cli._text import TEXT_SEPARATORS, suffix_of
from skproj.persistence._panel._model import _as_cell as as_cell
from skproj.utils._optional import import_optional
from skproj.utils._wording import on_one_line


def check_table_suffix(path):
    if path is not None and suffix_of(path) not in (*TEXT_SEPARATORS, ".parquet"):
        raise CommandError(
            f"--out must end in .csv, .tsv or .parquet, got {str(path)!r}."
        )


@contextlib.contextmanager
def new_folder(path, expected):
    """Make a folder whose files appear at the end of a block, or not at all.

    Yields a temporary folder to write into. If the folder exists, the new files go into
    it. Files that are `expected` may come from an earlier run; they go, unless there
    are new ones.
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
            options = {"sep": separator, "lineterminator": "\n"}
            for_spreadsheets(frame).to_csv(file, index=index, **options)


def write_rows(rows, path):
    pd = import_optional("pandas", extra="cli")
    write_table(pd.DataFrame(rows), path, index=False)


def for_spreadsheets(frame):
    """Return a DataFrame as spreadsheets and R take it.

    No text is a formula, and truth values are TRUE and FALSE.
    """
    text = frame.select_dtypes(exclude="number")
    return (
        frame.assign(**{name: as_cells(column) for name, column in text.items()})
        .rename(columns=as_cell)
        .set_axis(frame.index.map(as_cell))
        .rename_axis(index=as_cell(frame.index.name))
    )


def as_cells(column):
    """Return a column of text or truth values, which may be the labels of a model."""
    words = column.astype(object).map(str, na_action="ignore")
    if words.dropna().isin(("True", "False")).all():
        return words.str.upper()
    return column.map(as_cell)
