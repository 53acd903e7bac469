"""Tables of text: separator, encoding and lines above the header are recognised."""

import codecs
import contextlib
import gzip
import io
import math
import re
import sys
import warnings

import numpy as np

from skproj.cli._arguments import STANDARD_INPUT
from skproj.cli._entries import (
    are_doubtful,
    are_whole,
    cells_of,
    object_columns,
    proves_decimal,
)
from skproj.cli._errors import CommandError
from skproj.persistence._panel._text_tables import MISSING, find_layout, read_rows
from skproj.utils._optional import import_optional

TEXT_SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}


def suffix_of(path):
    """Return the suffix in lower case, without that of a compression."""
    if path.suffix.lower() == ".gz":
        path = path.with_suffix("")
    return path.suffix.lower()


class TextSource:
    """A file, or the standard input, that can be opened several times."""

    def __init__(self, path):
        self.path = path
        self.encoding = None
        self.is_compressed, self._content = False, None
        if str(path) == STANDARD_INPUT:
            self._content = sys.stdin.buffer.read()
        with self.open() as file:  # whatever the suffix is
            start = file.read(4)
        self.is_compressed = start.startswith(b"\x1f\x8b")
        if start.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
            raise CommandError(
                f"{path} is no file of text but seems to be a workbook; save it as "
                ".csv, or if it is one of .xlsx, rename it"
            )

    def open(self):
        plain = io.BytesIO(self._content) if self._content is not None else None
        if self.is_compressed:
            return gzip.open(plain or self.path)
        return plain or open(self.path, "rb")

    def lines(self):
        with io.TextIOWrapper(self.open(), self.encoding, newline="") as file:
            yield from file


def recognize(source, options):
    """Return the `Layout` of a table, and set the encoding of its source.

    What the user says about it comes first.
    """
    source.encoding = options.encoding or recognize_encoding(source)
    usual = TEXT_SEPARATORS.get(suffix_of(source.path), ",")
    layout = find_layout(source.lines(), usual, options.separator)
    warn_of_titles(source.path, layout.titles)
    return layout


def warn_of_titles(path, titles):
    if titles:
        warnings.warn(
            f"{path}: {len(titles)} lines above the header were left out, of which the "
            f"first is {str(titles[0]).strip()[:60]!r}",
            stacklevel=2,
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


def read_frame(source, layout, options, text):
    """Return a table, and the decimal sign by which its numbers were read.

    The columns in `text` are read as text. The sign is None if all are text still.
    """
    absent = MISSING.union(options.missing)
    for decimal in [options.decimal_sign] if options.decimal_sign else ".,":
        frame = read_cells(source, layout, text, absent, decimal)
        if options.transpose and not text.issuperset(object_columns(frame)):
            continue
        if options.decimal_sign or not is_doubtful(
            frame, source, layout, options, decimal
        ):
            return frame, decimal
    return read_cells(source, layout, set(layout.names), absent, "."), None


def read_cells(source, layout, text, absent, decimal):
    """Return the cells of a table: numbers, or the text of all cells of a column."""
    pd = import_optional("pandas", extra="cli")
    names, spoiled = np.array(layout.names, dtype=object), False
    places = [j for j, name in enumerate(names) if name in text]
    words, numbers = [], []
    for row in read_rows(source.lines(), layout):
        words.append([row[j] for j in places])
        for j in reversed(places):
            del row[j]
        numbers.append(as_numbers(row, absent, decimal))
        if isinstance(numbers[-1], list) and None in numbers[-1]:
            numeric = np.setdiff1d(np.arange(len(names)), places)
            wrong = [
                j for j, x in zip(numeric, numbers.pop(), strict=True) if x is None
            ]
            places, spoiled, numbers = sorted([*places, *wrong]), True, []
    if spoiled:
        return read_cells(source, layout, set(names[places]), absent, decimal)
    numeric = np.delete(names, places)
    block = np.array(numbers, dtype=np.float64).reshape(len(words), len(numeric))
    is_whole = are_whole(block)
    whole = block[:, is_whole].astype(np.int64)
    parts = (
        pd.DataFrame(words, columns=names[places], dtype=object),
        pd.DataFrame(whole, columns=numeric[is_whole]),
        pd.DataFrame(block[:, ~is_whole], columns=numeric[~is_whole]),
    )
    return pd.concat(parts, axis=1)[names]


def as_numbers(cells, absent, decimal):
    """Return the numbers of a row, NaN for gaps, and None for what is no number."""
    joined = "\0".join(cells)
    if "_" not in joined and (decimal == "." or "." not in joined):
        plain = cells if decimal == "." else joined.replace(",", ".").split("\0")
        with contextlib.suppress(ValueError):
            return np.fromiter(map(float, plain), np.float64, len(cells))
    return [as_number(cell, absent, decimal) for cell in cells]


def as_number(cell, absent, decimal):
    if cell.strip() in absent:
        return math.nan
    if "_" in cell or (decimal == "," and "." in cell):  # which float reads
        return None
    with contextlib.suppress(ValueError):
        return float(cell.replace(decimal, "."))


def is_doubtful(frame, source, layout, options, decimal):
    """Whether numbers may be read otherwise than they are written.

    They are not if a column of text holds numbers of other signs, or if all fractions
    could be thousands.
    """
    known = {options.index, options.groups, *options.text, ""}
    for name in object_columns(frame):
        if name not in known and are_doubtful(cells_of(frame[name]), decimal):
            return True
    proved, digits = proves_decimal(frame.select_dtypes("float").to_numpy()), r"\d{3}"
    if proved and decimal == ",":  # and another column may have thousands such as 2,500
        proved, digits = False, r"\d\d0"
    number = re.compile(rf"(?<![\d.,])[1-9]\d?\d?[{decimal}]{digits}(?![\d.,])")
    return not proved and any(
        number.search(" ".join(row)) for row in read_rows(source.lines(), layout)
    )
