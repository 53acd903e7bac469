"""Tables read from files of all kinds."""

import warnings
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from skproj.cli._anndata_table import read_anndata
from skproj.cli._backed_table import (
    PLACE,
    BackedFrameTable,
    open_annotated,
)
from skproj.cli._checks import check_unique, require
from skproj.cli._errors import AT_ONCE, CommandError, Errors, check_is_file
from skproj.cli._frame_table import FrameTable
from skproj.cli._target import rows_with_target
from skproj.cli._text import (
    STANDARD_INPUT,
    TEXT_SEPARATORS,
    TextSource,
    infer_type,
    object_columns,
    read_frame,
    recognize,
    suffix_of,
    without_missing_text,
)
from skproj.utils._optional import import_optional
from skproj.utils._wording import join_names

ANNOTATED = (".h5ad", ".zarr")
IN_BLOCKS = (*ANNOTATED, ".parquet")
SUFFIXES = (*TEXT_SEPARATORS, ".xlsx", ".parquet", *ANNOTATED)


@dataclass(frozen=True)
class ReadOptions:
    """A file to read, and what the user says about it.

    Attributes
    ----------
    path : Path
        Its suffix says what it is; - is the standard input, with text.
    index : str or None
        Column with the names of the rows.
    layer : str or None
        Layer of annotated data.
    target : str or None
        Column that may hold labels, and is read as it is written.
    groups : str or None
        Column with the groups of the rows, which are names as well.
    event : str or None
        Column that says whether an event was seen at the time of the target.
    separator, decimal, encoding : str or None
        Of text.
    sheet : str or None
        Of an .xlsx file; the first if None.
    transpose : bool
        Whether there is a row for each feature, and a column for each sample.
    labels : Path or None
        Another table, whose columns are added where the names of the rows are equal.
    text : tuple of str
        Columns that are read as they are written, such as categories 01 and 02.
    backed : Backing or None
        How the features are read in blocks; None reads them into memory.
    complete : bool
        Whether rows without a target or event are left out, as they are of blocks.
    errors : Errors
        Takes what does not keep a table from being read.
    """

    path: Path
    index: str | None = None
    layer: str | None = None
    target: str | None = None
    groups: str | None = None
    event: str | None = None
    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    sheet: str | None = None
    transpose: bool = False
    labels: Path | None = None
    text: tuple = ()
    backed: object = None
    complete: bool = False
    errors: object = AT_ONCE

    @classmethod
    def of(cls, options, **others):
        """Return those of a command."""
        return cls(
            path=options.data,
            index=options.index,
            layer=options.layer,
            separator=options.sep,
            decimal=options.decimal,
            encoding=options.encoding,
            sheet=options.sheet,
            transpose=options.transpose,
            **others,
        )

    @property
    def suffix(self):
        """The kind of the file."""
        return ".csv" if str(self.path) == STANDARD_INPUT else suffix_of(self.path)


def read_table(options):
    """Read a table.

    Parameters
    ----------
    options : ReadOptions

    Returns
    -------
    table : FrameTable, AnnDataTable, BackedFrameTable or BackedAnnotatedTable

    Raises
    ------
    CommandError
        If there is no such file, if it cannot be read, or if it is empty.
    """
    path, suffix = options.path, options.suffix
    if str(path) != STANDARD_INPUT:
        check_is_file(path)
    check_options(options)
    reader = READERS.get(suffix, read_text)
    if options.backed and suffix in ANNOTATED:
        reader = open_annotated
    try:
        table = reader(options)
    except (CommandError, ModuleNotFoundError):
        raise
    except UnicodeError as error:
        raise CommandError(
            f"{path} cannot be read: {error}; --encoding names another encoding"
        ) from error
    # The libraries raise what they like for a broken file.
    except Exception as error:
        raise CommandError(f"{path} cannot be read: {error}") from error
    if table.n_rows == 0 or not table.columns:
        raise CommandError(f"{path} has no rows or no columns.")
    return table


def check_options(options):
    """Raise an error if an option is for files of another kind."""
    path, suffix, errors = options.path, options.suffix, Errors()
    if suffix not in SUFFIXES:
        raise CommandError(
            f"{path}: unsupported file type {suffix or 'without suffix'!r}; "
            f"it must be one of {', '.join(SUFFIXES)}."
        )
    for option, value, suffixes, kind in (
        ("--layer", options.layer, ANNOTATED, ".h5ad and .zarr"),
        ("--backed", options.backed, IN_BLOCKS, ".h5ad, .zarr and .parquet"),
        ("--sheet", options.sheet, (".xlsx",), ".xlsx files"),
        ("--sep", options.separator, TEXT_SEPARATORS, "files of text"),
        ("--decimal", options.decimal, TEXT_SEPARATORS, "files of text"),
        ("--encoding", options.encoding, TEXT_SEPARATORS, "files of text"),
    ):
        if value is not None and suffix not in suffixes:
            errors.append(f"{option} is for {kind}, which {path} is not.")
    if suffix in ANNOTATED and options.index is not None:
        errors.append(f"--index is not for {suffix} files: obs_names name the rows.")
    if suffix in ANNOTATED and (options.transpose or options.labels is not None):
        errors.append(
            f"--transpose and --labels are not for {suffix} files, whose rows are "
            "samples and whose labels are in obs."
        )
    errors.raise_all()


def read_text(options):
    """Read a table of text."""
    source = TextSource(options.path)
    form = recognize(source, options)
    check_header(form.header, options.path)
    # Names are text, and so may labels be.
    known = options.index, options.target, options.groups, *options.text
    text = [name for name in known if name is not None]
    # Without a name are the names of the rows, as pandas and R write them.
    unnamed = not form.header[0]
    if unnamed or len(form.first) == len(form.header) + 1:
        text.append(0)
    frame = read_frame(source, form, None if options.transpose else text)
    # Truth values with gaps are text, of which pandas changes the writing.
    if changed := [n for n in object_columns(frame) if holds_truth_values(frame[n])]:
        frame = read_frame(source, form, text + changed)
    if frame.index.nlevels > 1:
        raise CommandError(f"{options.path} has more columns than names of columns.")
    if unnamed:
        frame = frame.set_index(frame.columns[0]).rename_axis(index=None)
    if options.transpose:
        frame = transpose(frame, options, form.decimal)
    return finish(frame, options, form.decimal, typed=False)


def check_header(header, path):
    """Raise an error if columns cannot be told apart by their names."""
    check_unique(filter(None, header), path)
    n_unnamed = header[1:].count("")
    if n_unnamed:
        raise CommandError(f"{path} has columns without a name: {n_unnamed}.")


def transpose(frame, options, decimal="."):
    """Return a row for each sample of a table of text with a row for each feature."""
    pd = import_optional("pandas", extra="cli")
    if options.index is None and isinstance(frame.index, pd.RangeIndex):
        frame = frame.set_index(frame.columns[0])  # the names of the features
    elif options.index is not None:
        frame = set_index(frame, options)
    check_unique(frame.index, options.path)
    frame = frame.T.rename_axis(index=None, columns=None)
    kept = {options.target, options.groups, *options.text}
    names = [name for name in frame.columns if name not in kept]
    try:  # all at once, as there may be very many
        block = frame[names]
        if decimal == ",":
            block = block.apply(lambda column: column.str.replace(",", "."))
        numbers = block.to_numpy(dtype=object, na_value="nan").astype("float64")
        block = pd.DataFrame(numbers, index=frame.index, columns=names)
    except ValueError:
        block = frame[names].apply(infer_type, decimal=decimal)
    others = frame[[name for name in frame.columns if name in kept]]
    return pd.concat([block, others], axis=1)


def read_xlsx(options):
    """Read a sheet of a workbook."""
    pd = import_optional("pandas", extra="cli")
    import_optional("openpyxl", extra="cli")
    sheet = 0 if options.sheet is None else options.sheet
    with pd.ExcelFile(options.path, engine="openpyxl") as book:
        if options.sheet is not None and sheet not in book.sheet_names:
            raise CommandError(
                f"{options.path} has no sheet {sheet!r}; there are "
                f"{join_names(book.sheet_names)}"
            )
        header = book.parse(sheet, header=None, nrows=1).fillna("").astype(str)
        if header.empty:
            raise CommandError(f"{options.path} is empty.")
        check_header(header.iloc[0].tolist(), options.path)
        dtype = str if options.transpose else dict.fromkeys(options.text, str)
        frame = book.parse(sheet, dtype=dtype)
    frame = without_missing_text(frame, None if options.transpose else options.text)
    if not header.iloc[0, 0]:
        frame = frame.set_index(frame.columns[0]).rename_axis(index=None)
    if options.transpose:
        frame = transpose(frame, options)
    return finish(frame, options, typed=not options.transpose)


def read_parquet(options):
    """Read a .parquet file; of one that is read in blocks, what is no feature."""
    pd = import_optional("pandas", extra="cli")
    parquet = import_optional("pyarrow.parquet", extra="cli")
    metadata = parquet.read_metadata(options.path)
    schema = metadata.schema.to_arrow_schema()
    check_unique(schema.names, options.path)
    if options.index not in (None, *schema.names):
        with AT_ONCE if options.transpose else options.errors:
            require([options.index], schema.names, options.path, "column")
        options = replace(options, index=None)
    roles = {options.index, options.target, options.groups, *options.text}
    others = [name for name in schema.names if name in {*roles, options.event}]
    columns = others if options.backed else None
    frame = pd.read_parquet(options.path, engine="pyarrow", columns=columns)
    # Whole numbers with gaps become others, and 1 as a name 1.0.
    for name in roles:
        if name in frame and str(schema.field(name).type).startswith(("int", "uint")):
            frame[name] = frame[name].astype("Int64")
    make = FrameTable
    if options.backed:
        make = partial(BackedFrameTable, options, metadata)
        frame = frame.assign(**{PLACE: np.arange(len(frame))})
    if options.transpose:
        frame = transpose(frame.astype(str), options)
    return finish(frame, options, typed=not options.transpose, make=make)


READERS = {
    ".parquet": read_parquet,
    ".xlsx": read_xlsx,
    **dict.fromkeys(ANNOTATED, read_anndata),
}


def finish(frame, options, decimal=".", *, typed=True, make=FrameTable):
    """Return a frame as a table, with the columns of the labels.

    `typed` says whether the file tells numbers from text, `make` which table it is.
    """
    frame.columns = [str(name) for name in frame.columns]
    if options.index is not None and not options.transpose:
        with options.errors:
            frame = set_index(frame, options)
    if options.labels is not None:
        frame, from_labels = add_labels(frame, options)
        typed = typed and not from_labels
    if options.complete or options.backed:
        frame = frame[rows_with_target(frame, options)]
    labels = frame.get(options.target)
    if labels is None or typed or not is_text(labels):
        return make(frame, options.path)
    frame = frame.assign(**{options.target: infer_type(labels, decimal)})
    return make(frame, options.path, labels)


def set_index(frame, options):
    """Return a frame whose rows have the names of the column --index."""
    if frame.index.name == options.index:  # as pandas has stored it
        return frame
    require([options.index], list(frame.columns), options.path, "column")
    return frame.set_index(options.index)


def holds_truth_values(column):
    """Whether a column of objects holds truth values, as one with gaps does."""
    return any(isinstance(entry, bool) for entry in column[column.notna()])


def is_text(column):
    """Whether all entries that are there are strings."""
    return column.dropna().map(lambda entry: isinstance(entry, str)).all()


def add_labels(frame, options):
    """Add target, event and groups of another table, found by the names of the rows.

    Returns
    -------
    frame : DataFrame
    has_target : bool
        Whether the target is of the other table.
    """
    pd = import_optional("pandas", extra="cli")
    path = options.path
    if isinstance(frame.index, pd.RangeIndex):
        raise CommandError(
            f"{path} has no names of rows to find the rows of --labels by; --index "
            "COLUMN says where they are"
        )
    other = ReadOptions(options.labels, target=options.target, groups=options.groups)
    labels = read_table(other).label_columns(options.index)
    frame.index, labels.index = frame.index.astype(str), labels.index.astype(str)
    for names, what in ((frame.index, path), (labels.index, options.labels)):
        if not names.is_unique:
            raise CommandError(f"{what} has several rows of the same name.")
    common = frame.index[frame.index.isin(labels.index)]
    if len(common) == 0:
        raise CommandError(
            f"{path} and {options.labels} have no names of rows in common, such as "
            f"{frame.index[0]!r} and {labels.index[0]!r}"
        )
    if len(common) < len(frame):
        warnings.warn(
            f"{path} has {len(frame) - len(common)} of {len(frame)} rows that are not "
            f"in {options.labels}; they are left out",
            stacklevel=2,
        )
    possible = options.target, options.event, options.groups
    wanted = [name for name in possible if name in labels]
    twice = [name for name in wanted if name in frame]
    if twice:
        raise CommandError(
            f"{path} and {options.labels} both have the column {join_names(twice)}."
        )
    frame = pd.concat([frame.loc[common], labels.loc[common, wanted]], axis=1)
    return frame, options.target in wanted
