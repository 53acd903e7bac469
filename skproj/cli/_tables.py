"""Tables read from files of all kinds."""

import warnings
from dataclasses import dataclass, replace
from functools import partial
from itertools import compress
from pathlib import Path

import numpy as np

from skproj.cli._anndata_table import read_anndata
from skproj.cli._backed_table import PLACE, BackedFrameTable, open_annotated
from skproj.cli._checks import check_unique, require
from skproj.cli._entries import (
    cells_of,
    decimal_of,
    is_number,
    object_columns,
    read_numbers,
    tidy,
    trim_names,
    without_codes,
)
from skproj.cli._errors import AT_ONCE, CommandError, Errors, check_is_file
from skproj.cli._frame_table import AS_WRITTEN, FrameTable
from skproj.cli._rows import rows_to_use
from skproj.cli._text import (
    STANDARD_INPUT,
    TEXT_SEPARATORS,
    TextSource,
    read_frame,
    recognize,
    suffix_of,
    warn_of_titles,
)
from skproj.persistence._panel._text_tables import (
    clean,
    clean_names,
    name_columns,
    to_number,
)
from skproj.utils._optional import import_optional
from skproj.utils._wording import join_names

ANNOTATED = (".h5ad", ".zarr")
IN_BLOCKS = (*ANNOTATED, ".parquet")
WRITTEN = (*TEXT_SEPARATORS, ".xlsx")
SUFFIXES = (*WRITTEN, ".parquet", *ANNOTATED)


@dataclass(frozen=True)
class ReadOptions:
    """A file to read, and what the user says about it."""

    path: Path  # its suffix says what it is; - is the standard input, with text
    index: str | None = None  # column with the names of the rows
    layer: str | None = None  # of annotated data
    target: str | None = None  # column that may hold labels, read as it is written
    groups: str | None = None  # column with the groups of the rows, names as well
    event: str | None = None  # column that says whether an event was seen at the time
    separator: str | None = None  # of text
    encoding: str | None = None  # of text
    decimal: str | None = None  # by default the sign that suits all columns
    thousands: str | None = None
    usual_decimal: str | None = None  # where nothing in the table tells the sign
    missing: tuple = ()  # more of what stands for a missing value in text
    below: tuple = ()  # limits such as <90, half of which is read in their place
    where: tuple = ()  # of `Condition`: the rows that are used
    sheet: str | None = None  # of an .xlsx file; the first if None
    transpose: bool = False  # whether there is a row for each feature
    labels: Path | None = None  # another table, whose columns are added by the names
    text: tuple = ()  # columns read as they are written, such as categories 01 and 02
    wanted: tuple = ()  # names that keep spaces at their ends, as a model has them
    drop: tuple = ()  # columns of which the numbers do not matter
    used: tuple | None = None  # the only columns of which they matter
    backed: object = None  # the options of a command that reads features in blocks
    complete: bool = False  # whether to leave out rows without target or event
    errors: object = AT_ONCE  # takes what does not keep a table from being read

    @classmethod
    def of(cls, options, **others):
        same = "index", "layer", "sheet", "decimal", "thousands", "encoding"
        same = {name: getattr(options, name) for name in same}
        read = {"missing": tuple(options.na), "below": tuple(options.na_below)}
        others = {**read, "separator": options.sep, **others}
        return cls(options.data, transpose=options.transpose, **same, **others)

    @property
    def decimal_sign(self):
        """The decimal sign if the user has said it, or the other one of the two."""
        return self.decimal or {",": ".", ".": ","}.get(self.thousands)

    @property
    def used_columns(self):
        """Names of the columns that say what a row is, and whether it is used."""
        roles = self.target, self.event, self.groups
        named = [name for name in roles if name is not None]
        return list(dict.fromkeys([*named, *(c.column for c in self.where)]))

    def matters(self, name):
        is_used = name not in self.drop and (self.used is None or name in self.used)
        return is_used or name in {condition.column for condition in self.where}

    @property
    def suffix(self):
        return ".csv" if str(self.path) == STANDARD_INPUT else suffix_of(self.path)


def read_table(options):
    """Read a table.

    It is an error if there is no such file, if it cannot be read, or if it is empty.
    """
    check_source(options)
    path, suffix = options.path, options.suffix
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


def check_source(options):
    path, suffix, errors = options.path, options.suffix, Errors()
    if str(path) != STANDARD_INPUT:
        check_is_file(path)
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
        ("--decimal", options.decimal, WRITTEN, "files of text and .xlsx"),
        ("--thousands", options.thousands, WRITTEN, "files of text and .xlsx"),
        ("--encoding", options.encoding, TEXT_SEPARATORS, "files of text"),
        ("--na-below", options.below or None, WRITTEN, "files of text and .xlsx"),
    ):
        if value is not None and suffix not in suffixes:
            errors.append(f"{option} is for {kind}, which {path} is not.")
    in_file = options.backed or suffix in ANNOTATED
    if in_file and options.missing and options.target is not None:
        errors.append("--na is not for annotated data and --backed.")
    if options.decimal is not None and options.decimal == options.thousands:
        errors.append(
            f"--decimal and --thousands must differ, got {options.decimal!r} for both."
        )
    if suffix in ANNOTATED and options.index is not None:
        errors.append(f"--index is not for {suffix} files: obs_names name the rows.")
    if suffix in ANNOTATED and (options.transpose or options.labels is not None):
        errors.append(
            f"--transpose and --labels are not for {suffix} files, whose rows are "
            "samples and whose labels are in obs."
        )
    errors.raise_all()


def read_text(options):
    source = TextSource(options.path)
    layout = recognize(source, options)
    names, trimmed = trim_names(layout.names, options.wanted)
    layout = layout._replace(names=names)
    check_header(names, options.path, layout.n_empty)
    # Names are text, and so may labels be.
    known = {"", options.index, options.target, options.groups, *options.text}
    if options.transpose:
        known = {names[0] if options.index is None else options.index}
    text = known.intersection(names)
    frame, decimal = read_frame(source, layout, options, text)
    return finish(frame, options, trimmed, decimal)


def check_header(names, path, n_empty=0):
    """Raise an error if columns cannot be told apart by their names."""
    check_unique(filter(None, names), path)
    n_unnamed = names[1:].count("")
    if n_unnamed:
        raise CommandError(
            f"{path} has columns without a name: {n_unnamed + n_empty}. Its header is "
            f"{join_names(names)}: each column needs a name, and lines above the "
            "header must go."
        )


def transpose(frame, options):
    """Return a row for each sample of a table of text with a row for each feature."""
    pd = import_optional("pandas", extra="cli")
    if options.index is None and isinstance(frame.index, pd.RangeIndex):
        frame = frame.set_index(frame.columns[0])  # the names of the features
    elif options.index is not None:
        frame = set_index(frame, options)
    about = descriptions(frame)
    if about:
        warnings.warn(
            f"{options.path}: columns that describe the features were left out, "
            f"{join_names(about)}",
            stacklevel=2,
        )
    names = feature_names(frame, about, options)
    frame = frame.drop(columns=about).set_axis(clean_names(names, options.wanted))
    check_unique(frame.index, options.path)
    return frame.T.rename_axis(index=None, columns=None)


def descriptions(frame):
    """Return the columns without a number, unless these are all columns."""
    found = [
        name
        for name, column in frame.items()
        if not any(is_number(entry) for entry in column if isinstance(entry, str))
        and column.notna().any()
    ]
    return found if len(found) < len(frame.columns) else []


def feature_names(frame, about, options):
    """Return the names in the index, those that repeat with what describes them."""
    names = frame.index.astype(str).to_series().where(frame.index.notna())
    is_missing = names.isna().to_numpy()
    repeats = names.duplicated(keep=False).to_numpy() & ~is_missing
    if not about or not (repeats | is_missing).any():
        return names.fillna("nan")
    other = frame[about[0]].astype(str).to_numpy()
    warnings.warn(
        f"{options.path}: {np.sum(repeats | is_missing)} names of features repeat or "
        f"are missing, and {about[0]!r} tells them apart",
        stacklevel=2,
    )
    return [
        more if missing else f"{name} ({more})" if repeat else name
        for name, more, missing, repeat in zip(
            names, other, is_missing, repeats, strict=True
        )
    ]


def read_xlsx(options):
    pd = import_optional("pandas", extra="cli")
    import_optional("openpyxl", extra="cli")
    sheet = 0 if options.sheet is None else options.sheet
    with pd.ExcelFile(options.path, engine="openpyxl") as book:
        if options.sheet is not None and sheet not in book.sheet_names:
            raise CommandError(
                f"{options.path} has no sheet {sheet!r}; there are "
                f"{join_names(book.sheet_names)}"
            )
        if options.sheet is None and len(book.sheet_names) > 1:
            first, *others = book.sheet_names
            warnings.warn(
                f"{options.path}: the sheet {first!r} was read, and not "
                f"{join_names(others)}; --sheet names another",
                stacklevel=2,
            )
        rows = book.parse(sheet, header=None, dtype=object).dropna(how="all")
    if rows.empty:
        raise CommandError(f"{options.path} is empty.")
    is_title = rows.notna().sum(axis=1) == 1
    if len(rows.columns) == 2:  # the names of the rows may have none
        is_title &= rows[0].notna()
    if len(rows.columns) > 1:
        titles = rows[is_title.cummin()].to_numpy()
        warn_of_titles(options.path, titles[pd.notna(titles)].tolist())
        rows = rows[~is_title.cummin()]
    written, _ = name_columns(rows.iloc[0].fillna("").astype(str).tolist(), [])
    names, trimmed = trim_names(written, options.wanted)
    check_header(names, options.path)
    frame = rows.iloc[1:, : len(names)].set_axis(names, axis=1).reset_index(drop=True)
    if rows.iloc[1:, len(names) :].notna().any(axis=None):
        raise CommandError(
            f"{options.path} has more columns than names of columns. Its header is "
            f"{join_names(names)}: each column needs a name, and lines above the "
            "header must go."
        )
    text = names if options.transpose else [n for n in names if n in options.text]
    frame = frame.infer_objects()
    frame[text] = frame[text].astype(str).where(frame[text].notna())
    return finish(frame, options, trimmed)


def read_parquet(options):
    """Read a .parquet file; of one that is read in blocks, what is no feature."""
    pd = import_optional("pandas", extra="cli")
    parquet = import_optional("pyarrow.parquet", extra="cli")
    metadata = parquet.read_metadata(options.path)
    schema = metadata.schema.to_arrow_schema()
    names = clean_names(schema.names, options.wanted)
    check_unique(names, options.path)
    stored = dict(zip(names, schema.names, strict=True))
    if options.index not in (None, *names):
        with AT_ONCE if options.transpose else options.errors:
            require([options.index], names, options.path, "column")
        options = replace(options, index=None)
    roles = {options.index, options.target, options.groups, *options.text}
    others = {*roles, *options.used_columns}
    others = [stored[name] for name in names if name in others]
    columns = others if options.backed else None
    frame = pd.read_parquet(options.path, engine="pyarrow", columns=columns)
    frame.columns, trimmed = trim_names(frame, options.wanted)
    frame = frame.rename_axis(index=[n and clean(n) for n in frame.index.names])
    # Whole numbers with gaps become others, and 1 as a name 1.0.
    for name in roles.intersection(frame):
        if str(schema.field(stored[name]).type).startswith(("int", "uint")):
            frame[name] = frame[name].astype("Int64")
    make = FrameTable
    if options.backed:
        make = partial(BackedFrameTable, options, metadata, stored)
        frame = frame.assign(**{PLACE: np.arange(len(frame))})
    if options.transpose:
        frame = frame.astype(str)
    return finish(frame, options, trimmed, typed=not options.transpose, make=make)


READERS = {
    ".parquet": read_parquet,
    ".xlsx": read_xlsx,
    **dict.fromkeys(ANNOTATED, read_anndata),
}


def finish(frame, options, trimmed=(), decimal=None, *, typed=False, make=FrameTable):
    """Return a frame as a table, with the columns of the labels.

    `trimmed` are names of columns that were, `decimal` is the sign by which numbers
    were read already, `typed` says whether the file tells numbers from text, `make`
    which table it is.
    """
    pd = import_optional("pandas", extra="cli")
    frame = tidy(frame, options, trimmed)
    if len(frame.columns) and frame.columns[0] == "":
        frame = frame.set_index("").rename_axis(index=None)
    if options.transpose:
        frame = transpose(frame, options)
    elif options.index is not None:
        with options.errors:
            frame = set_index(frame, options)
    others = []
    if options.labels is not None:
        names = {*frame, options.target, options.event, options.groups, AS_WRITTEN}
        frame = add_labels(frame, options)
        others = [name for name in frame if name not in names]
    known = {options.index, options.groups, *options.text, AS_WRITTEN}
    names = [] if typed else object_columns(frame).difference([*known], sort=False)
    cells = {name: cells_of(frame[name]) for name in names}
    codes = [x for text in options.missing if (x := to_number(text)) is not None]
    if (options.where or codes) and not typed:  # limits and codes are numbers as well
        decimal = decimal or decimal_of(cells, options)
        frame = without_codes(frame, cells, codes, decimal)
        cells = {name: cells_of(frame[name]) for name in names}
    if options.complete or options.backed:
        kept = rows_to_use(frame, options, decimal or ".")
        frame = frame[kept].drop(columns=others)
        cells = {n: list(compress(cells[n], kept)) for n in cells if n in frame}
    written = frame.pop(AS_WRITTEN) if AS_WRITTEN in frame else None
    labels, reading = frame.get(options.target), {}
    if not typed:
        frame, decimal = read_numbers(frame, options, cells, decimal)
        kind = None if labels is None else pd.api.types.infer_dtype(labels)
        if written is None and kind == "string":
            written = labels
        reading = {"decimal": decimal, "missing": list(options.missing)}
        reading |= {"below": list(options.below)} if options.below else {}
    return make(frame, options.path, written, reading)


def set_index(frame, options):
    if frame.index.name == options.index:  # as pandas has stored it
        return frame
    require([options.index], list(frame.columns), options.path, "column")
    return frame.set_index(options.index)


def add_labels(frame, options):
    """Add target, event and groups of another table, found by the names of the rows."""
    pd = import_optional("pandas", extra="cli")
    path = options.path
    if isinstance(frame.index, pd.RangeIndex):
        raise CommandError(
            f"{path} has no names of rows to find the rows of --labels by; --index "
            "COLUMN says where they are"
        )
    suffix = suffix_of(options.labels)
    other = ReadOptions(
        options.labels,
        text=() if options.index is None else (options.index,),
        target=options.target,
        groups=options.groups,
        usual_decimal=options.decimal_sign,
        thousands=options.thousands if suffix in WRITTEN else None,
        missing=options.missing,
        below=options.below,
    )
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
    asked = {condition.column for condition in options.where}.intersection(frame)
    possible = [*options.used_columns, AS_WRITTEN]
    wanted = [name for name in possible if name in labels and name not in asked]
    twice = [name for name in wanted if name in frame]
    if twice:
        raise CommandError(
            f"{path} and {options.labels} both have the column {join_names(twice)}."
        )
    return pd.concat([frame.loc[common], labels.loc[common, wanted]], axis=1)
