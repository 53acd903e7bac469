"""Tables of text: separator, decimal sign, encoding and comments are recognised."""

import codecs
import contextlib
import csv
import gzip
import io
import itertools
import re
import sys
import warnings
from dataclasses import dataclass

import numpy as np

from skproj.cli._arguments import STANDARD_INPUT
from skproj.cli._errors import CommandError
from skproj.persistence._panel._model import MISSING
from skproj.utils._optional import import_optional

TEXT_SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
SEPARATOR_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}

# Wider tables are read row by row, if they are numbers.
MAX_NARROW = 2000

# What is read to recognise the separator and the decimal sign.
N_LINES = 10

DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+([eE][+-]?\d+)?\s*")
DECIMAL_POINT = re.compile(r"\s*[+-]?\d*\.\d+([eE][+-]?\d+)?\s*")


@dataclass(frozen=True)
class TextFormat:
    """How a table is written.

    Attributes
    ----------
    encoding, separator, decimal : str
    n_skipped : int
        Number of lines before the header.
    header, first : list of str
        The names of the columns, which pandas would change if they are equal, and the
        first row.
    """

    encoding: str
    separator: str
    decimal: str
    n_skipped: int
    header: list
    first: list


def suffix_of(path):
    """Return the suffix in lower case, without that of a compression."""
    if path.suffix.lower() == ".gz":
        path = path.with_suffix("")
    return path.suffix.lower()


class TextSource:
    """A file, or the standard input, that can be opened several times."""

    def __init__(self, path):
        self.path = path
        self.is_compressed = path.suffix.lower() == ".gz"
        self._content = None
        if str(path) == STANDARD_INPUT:
            self._content = sys.stdin.buffer.read()
            self.is_compressed = self._content.startswith(b"\x1f\x8b")

    def open(self):
        """Return a file of bytes, without a compression."""
        plain = io.BytesIO(self._content) if self._content is not None else None
        if self.is_compressed:
            return gzip.open(plain or self.path)
        return plain or open(self.path, "rb")


def recognize(source, options):
    """Return the format of a table.

    Parameters
    ----------
    source : TextSource
    options : ReadOptions
        What the user says about it comes first.

    Returns
    -------
    format : TextFormat
    """
    path = source.path
    encoding = options.encoding or recognize_encoding(source)
    with io.TextIOWrapper(source.open(), encoding, newline="") as file:
        n_skipped, lines = 0, []
        for line in file:
            if lines or not (line.startswith("#") or not line.strip()):
                lines.append(line)
            else:
                n_skipped += 1
            if len(lines) == N_LINES:
                break
    if not lines:
        raise CommandError(f"{path} is empty.")
    usual = TEXT_SEPARATORS.get(suffix_of(path), ",")
    separator = options.separator or recognize_separator(lines, usual)
    rows = list(
        itertools.islice(filter(None, csv.reader(lines, delimiter=separator)), N_LINES)
    )
    decimal = options.decimal or recognize_decimal(rows, separator)
    return TextFormat(
        encoding, separator, decimal, n_skipped, rows[0], (rows + [[]])[1]
    )


def recognize_encoding(source):
    """Return the encoding by the mark at the beginning, else UTF-8 or Latin-1."""
    with source.open() as file:
        start = file.read(4)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in start:
        raise CommandError(
            f"{source.path} seems to be in UTF-16 without a mark: --encoding utf-16-le "
            "or utf-16-be reads it"
        )
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with source.open() as file:
            while block := file.read(1 << 24):
                decoder.decode(block)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        warnings.warn(
            f"{source.path} is not in UTF-8 and was read as Latin-1; --encoding names "
            "another encoding",
            stacklevel=2,
        )
        return "latin-1"
    return "utf-8-sig"


def recognize_separator(lines, usual):
    """Return the separator that makes the same number of columns in all lines.

    `csv.Sniffer` takes minutes for lines of 100,000 columns, and is wrong for some.
    """
    best, most = usual, 1
    for separator in (usual, *SEPARATOR_NAMES):
        try:
            counts = [len(row) for row in csv.reader(lines, delimiter=separator) if row]
        except csv.Error:  # a line without this separator is too long for a field
            continue
        # A quoted line break may be cut off at the end; R omits the name of the first.
        body = counts[1:-1] or counts[1:] or counts
        if len(set(body)) == 1 and body[0] - counts[0] in (0, 1) and body[0] > most:
            best, most = separator, body[0]
    return best


def recognize_decimal(rows, separator):
    """Return the decimal sign: a comma if numbers have one, and never a point."""
    if separator == ",":
        return "."
    cells = [cell for row in rows[1:] for cell in row[:1000]]
    has_comma = any(map(DECIMAL_COMMA.fullmatch, cells))
    return "," if has_comma and not any(map(DECIMAL_POINT.fullmatch, cells)) else "."


def read_frame(source, form, text):
    """Read a table of a known format.

    Parameters
    ----------
    source : TextSource
    form : TextFormat
    text : list of (str or int), or None
        Columns that are read as text; None for all.

    Returns
    -------
    frame : DataFrame
    """
    pd = import_optional("pandas", extra="cli")
    if text is not None and len(form.header) > MAX_NARROW:
        frame = read_wide_numbers(source, form, text)
        if frame is not None:
            return frame
    with source.open() as file:
        frame = pd.read_csv(
            file,
            sep=form.separator,
            decimal=form.decimal,
            encoding=form.encoding,
            skiprows=form.n_skipped,
            dtype=str if text is None else dict.fromkeys(text, str),
            low_memory=False,
        )
    return without_missing_text(frame, text, form.decimal)


def without_missing_text(frame, text, decimal="."):
    """Return a frame where text like " NA", which pandas takes for text, is missing.

    Columns are then numbers, if they hold nothing else and are not to be `text`.
    """
    for name in object_columns(frame):
        column = frame[name]
        entries = [entry for entry in column.unique() if isinstance(entry, str)]
        absent = [entry for entry in entries if entry.strip() in MISSING]
        if absent:
            column = column.mask(column.isin(absent))
            is_text = text is None or {name, frame.columns.get_loc(name)} & set(text)
            frame[name] = column if is_text else infer_type(column, decimal)
    return frame


def object_columns(frame):
    """Return the names of the columns of objects, such as text.

    Without a look at each column, of which there may be very many.
    """
    return frame.columns[[dtype.kind == "O" for dtype in frame.dtypes]]


def read_wide_numbers(source, form, text):
    """Read a wide table that is numbers but for the columns of text, row by row.

    pandas makes an object for each column, which takes most of the time.

    Returns
    -------
    frame : DataFrame or None
        The columns of text first. None if there is anything else: quotes, more text,
        or rows of another length.
    """
    pd = import_optional("pandas", extra="cli")
    names = form.header
    # Of another table, the target need not be here.
    places = {name: j for j, name in enumerate(names)} | {0: 0}
    text = sorted({places[name] for name in text if name in places})
    if len(form.first) != len(names):
        return None
    numeric = np.setdiff1d(np.arange(len(names)), text)
    words, numbers = [], []
    with io.TextIOWrapper(source.open(), form.encoding) as file:
        lines = itertools.islice(file, form.n_skipped, None)
        next(lines)
        for line in filter(str.strip, lines):
            cells = line.rstrip("\n").split(form.separator)
            # float reads underscores, which pandas takes for text.
            if len(cells) != len(names) or '"' in line:
                return None
            own = [cells[j] for j in text]
            for j in reversed(text):
                del cells[j]
            joined = form.separator.join(cells)
            if "_" in joined:
                return None
            if form.decimal == ",":
                cells = joined.replace(",", ".").split(form.separator)
            row = as_numbers(cells)
            if row is None:
                return None
            numbers.append(row)
            words.append(own)
    words = pd.DataFrame(
        words, columns=[names[j] or f"Unnamed: {j}" for j in text], dtype=object
    )
    words = without_missing_text(words, None)
    block = pd.DataFrame(np.array(numbers), columns=[names[j] for j in numeric])
    return pd.concat([words, block], axis=1)


def as_numbers(cells):
    """Return the numbers of a row, with NaN for gaps; None if there is text."""
    filled = ("nan" if cell.strip() in MISSING else cell for cell in cells)
    for row in (cells, filled):
        with contextlib.suppress(ValueError):
            return np.fromiter(map(float, row), np.float64, len(cells))
    return None


def infer_type(column, decimal="."):
    """Return a column of text as numbers or truth values if it holds nothing else."""
    pd = import_optional("pandas", extra="cli")
    text = io.StringIO(column.to_csv(index=False))
    inferred = pd.read_csv(text, low_memory=False, decimal=decimal)
    inferred = inferred.iloc[:, 0].set_axis(column.index)
    return column if inferred.dtype == object else inferred
