"""Rules by which tables of text are read, the same wherever skproj reads one.

Only the standard library is used: an exported panel contains this file.
"""

import contextlib
import csv
import re
import unicodedata
import warnings
from collections import namedtuple
from itertools import islice

# Text of a file that stands for a missing value.
MISSING = {
    *("", "NA", "<NA>", "#NA", "N/A", "n/a", "#N/A", "#N/A N/A"),
    *("NULL", "null", "None", "NaN", "-NaN", "nan", "-nan"),
    *("1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
    *("#DIV/0!", "#NAME?", "#NULL!", "#NUM!", "#REF!", "#VALUE!"),
}
TRUTH = {"true": 1.0, "false": 0.0}
# Blanks are the last resort: text may hold them.
SEPARATORS = ",;\t| "
# What is read to recognise the separator, the lines above the header and its cells.
N_LINES = 20

# Signs that nobody sees, and spaces that look like a plain one.
INVISIBLE = " \ufeff\u200b\u2060"
BLANKS = dict.fromkeys([*range(0x2000, 0x200B), 0xA0, 0x202F, 0x205F, 0x3000], " ")
MINUS_SIGNS = dict.fromkeys(map(ord, "\u2212\u2013\ufe63\uff0d"), "-")

# Between groups of three digits, besides the point or the comma.
GROUP_MARKS = " \xa0\u2007\u2009\u202f'\u2019"
NUMBER = (
    r"[+-]?(?:[1-9]\d?\d?(?P<{name}>[{other}{marks}])\d{{3}}(?:(?P={name})\d{{3}})*"
    r"(?:[{decimal}]\d*)?"
    r"|(?:\d+(?:[{decimal}]\d*)?|[{decimal}]\d+)(?:[eE][+-]?\d+)?)"
)
POINT = NUMBER.format(decimal=".", other=",", marks=GROUP_MARKS, name="point")
COMMA = NUMBER.format(decimal=",", other=".", marks=GROUP_MARKS, name="comma")
# In lines of cells: numbers by a decimal sign, by either, and by one alone.
NUMBERS = {sign: re.compile(f"^{n}$", re.M) for sign, n in ((".", POINT), (",", COMMA))}
EITHER = re.compile(f"^(?:{POINT}|{COMMA})$", re.M)
PROOFS = {
    ".": re.compile(f"^(?!{COMMA}$){POINT}$", re.M),
    ",": re.compile(f"^(?!{POINT}$){COMMA}$", re.M),
}
# Numbers by both, such as 3,894. Beside 437, programs write 2.500 only as thousands.
DOUBTS = re.compile(f"^(?={POINT}$)(?={COMMA}$).*[.,].*$", re.M)
DOUBTS_BESIDE_WHOLE = re.compile(f"^(?={POINT}$)(?={COMMA}$).*[.,].*0$", re.M)
WHOLE = re.compile(r"^\d+$", re.M)

# The lines before the header, some of which are titles, the names of the columns, of
# which the first may be "", and the number of empty columns after them. If the header
# is short, the names of the rows have no name, not even an empty one.
Layout = namedtuple("Layout", "separator n_skipped titles names n_empty is_short")


def clean(text, start=INVISIBLE + "\t\r\n"):
    """Return text without spaces at its ends, in the composed form of Unicode."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text.translate(BLANKS))
    return text.lstrip(start).rstrip(INVISIBLE + "\t\r\n")


def clean_names(names, wanted=()):
    """Return names of columns, see `clean`; those that are `wanted` as they are there.

    A model may have been fitted to names with spaces.
    """
    known = {clean(name, INVISIBLE): name for name in wanted}
    names = [clean(name, INVISIBLE) for name in names]
    return [known.get(name, name) for name in names]


def to_number(cell, decimal="."):
    """Return the number that a cell holds, or None, see `to_numbers`."""
    if not isinstance(cell, str):
        return float(cell) if is_number(cell) else None
    return next(iter(to_numbers([cell.strip()], decimal) or ()), None)


def to_numbers(cells, decimal="."):
    """Return the numbers that cells of text hold, an iterator; None if one holds none.

    Groups of three digits may be separated: by a point or comma, whichever is not the
    decimal sign, by spaces or by apostrophes.
    """
    lines = in_lines(cells)
    if count(NUMBERS[decimal], lines) != len(cells):
        return None
    for mark in GROUP_MARKS + ".,".replace(decimal, ""):
        lines = lines.replace(mark, "")
    return map(float, lines.replace(decimal, ".").split("\n"))


def in_lines(cells):
    """Return a line for each cell, a dash for one that is no text or several lines."""
    lines = "\n".join([cell if isinstance(cell, str) else "-" for cell in cells])
    if lines.count("\n") >= max(len(cells), 1):
        return in_lines([None if "\n" in (cell or "") else cell for cell in cells])
    return lines if lines.isascii() else lines.translate(MINUS_SIGNS)


def count(pattern, lines):
    """Return how often a pattern is found."""
    return pattern.subn("", lines)[1]


def half_of_limit(cell, limits):
    """Return half of 90 as text for an entry <90, other entries as they are.

    `limits` are the entries for which this is done; the sign < alone stands for all.
    Half of a negative limit is above it, and not read.
    """
    found = None
    if cell.startswith("<") and ("<" in limits or cell.replace(" ", "") in limits):
        text = cell[1:].strip()
        decimal = "," if "," in text and "." not in text else "."
        found = to_number(text, decimal)
    if found is None or found < 0.0:
        return cell
    return f"{found / 2:.15g}".replace(".", decimal)


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def find_decimal(columns, others=None, usual=None):
    """Return the decimal sign by which all numbers of a table can be read.

    Of the cells by the name of the column, None is a gap; a column counts if at least
    half of its cells can be numbers. If these columns do not tell, `others` are asked,
    and then `usual` is the sign. A ValueError is raised if columns contradict each
    other, or if numbers can be read in two ways. A warning says where such numbers were
    taken for fractions.
    """
    proofs, doubts = look_at_signs(columns)
    if len(proofs) == 2:
        (a, comma, i), (b, point, j) = proofs[","], proofs["."]
        raise ValueError(
            f"column {a!r} has decimal commas such as {comma!r} in row {i}, and column "
            f"{b!r} has decimal points such as {point!r} in row {j}: numbers must be "
            "written alike; --decimal says which sign is right"
        )
    more = look_at_signs(others)[0] if others and not proofs else {}
    if len(more) == 1:
        proofs = more
    decimal = next(iter(proofs), usual)
    unlikely = [doubt for doubt, beside_whole in doubts if beside_whole]
    unclear = [d for d, beside_whole in doubts if beside_whole or "," in d[1]]
    if decimal is None and unclear:
        sign, fraction, whole = both_ways(unclear[0][1])
        raise ValueError(
            f"{describe_cell(*unclear[0])}, which can be {fraction} or {whole}: "
            f"--decimal {sign} reads the first, --thousands {sign} the second"
        )
    decimal = decimal or "."
    guesses = unlikely if proofs else [doubt for doubt, _ in doubts]
    if as_fractions := [guess for guess in guesses if decimal in guess[1]]:
        sign, fraction, whole = both_ways(as_fractions[0][1])
        warnings.warn(
            f"{describe_cell(*as_fractions[0])}, which was read as {fraction}: "
            f"--thousands {sign} reads {whole}, --decimal {sign} confirms {fraction}",
            stacklevel=2,
        )
    return decimal


def describe_cell(name, cell, row):
    return f"column {name!r} has {cell!r} in row {row}"


def both_ways(cell):
    """Return the sign in a number, and it as a fraction and as a whole one."""
    fraction, whole = sorted((to_number(cell, "."), to_number(cell, ",")), key=abs)
    return "," if "," in cell else ".", f"{fraction:g}", f"{whole:.0f}"


def look_at_signs(columns):
    """Return which cells prove a decimal sign, and which can be read in two ways.

    Each is its column, itself and its row; the proofs are a dict by the sign. Those
    that can be read in two ways are of columns without a proof, and come with whether
    they are unlikely to be fractions.
    """
    proofs, doubts = {}, []
    for name, cells in columns.items():
        lines = in_lines(cells)
        n_words = sum(isinstance(cell, str) for cell in cells) - count(EITHER, lines)
        if 2 * n_words > len(cells) - cells.count(None):
            continue
        matches = {sign: pattern.search(lines) for sign, pattern in PROOFS.items()}
        found = {
            sign: (name, match[0], lines.count("\n", 0, match.start()) + 1)
            for sign, match in matches.items()
            if match
        }
        proofs = {**found, **proofs}
        doubt = DOUBTS.search(lines)
        if found or doubt is None:
            continue
        zero = WHOLE.search(lines) and DOUBTS_BESIDE_WHOLE.search(lines)
        doubt = zero if zero and "." in doubt[0] else doubt
        place = name, doubt[0], lines.count("\n", 0, doubt.start()) + 1
        doubts.append((place, zero is not None))
    return proofs, doubts


def find_layout(file, usual=",", separator=None):
    """Return the `Layout` of a table, from its lines."""
    lines, n_comments = [], 0
    for line in file:
        if lines or not (line.startswith("#") or not line.strip()):
            lines.append(line)
        else:
            n_comments += 1
        if len(lines) == N_LINES:
            break
    if not lines:
        raise ValueError("it is empty")
    separator, n_titles = find_header(lines, usual, separator)
    header, *rows = split_lines(lines[n_titles:], separator)
    skipped = n_comments + n_titles
    names, n_empty = name_columns(header, rows)
    is_short = len(names) > len(header)
    return Layout(separator, skipped, lines[:n_titles], names, n_empty, is_short)


def read_rows(file, layout):
    """Yield the cells of each row below the header, but for empty rows."""
    rows = split_lines(islice(file, layout.n_skipped, None), layout.separator)
    next(rows)
    n_names, seen = len(layout.names), set()
    for number, row in enumerate(rows, 1):
        if not n_names <= len(row) <= n_names + layout.n_empty:
            raise ValueError(
                f"it has {len(row)} cells in row {number}, and {n_names} names of "
                "columns; write quotes around text that holds the separator, and "
                "separators for empty cells"
            )
        if "".join(row[n_names:]).strip():
            raise ValueError("it has more columns than names of columns")
        if layout.is_short and row[0] in seen:
            raise ValueError(
                f"its rows have {n_names} cells, and {n_names - 1} columns have a "
                f"name; the first cells are no names of rows, as {row[0]!r} is in two "
                "rows (numbers with commas need quotes in a file with commas)"
            )
        seen.update(row[:1] if layout.is_short else ())
        if "".join(row).strip():
            yield row[:n_names]


def split_lines(lines, separator):
    """Return an iterator over the cells of each line that is not empty."""
    if separator == " ":
        lines = (line.rstrip() + "\n" for line in lines)
    rows = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    return filter(None, rows)


def find_header(lines, usual=",", separator=None):
    """Return the separator, and how many of the first lines are above the header.

    The separator makes the same number of cells in all lines from the header on, or at
    least in most of them. `csv.Sniffer` takes minutes for lines of 100,000 columns, and
    is wrong for some.
    """
    possible = [usual, *SEPARATORS] if separator is None else [separator]
    for share in (1.0, 0.6):
        found = []
        for sign in dict.fromkeys(possible):
            if sign == " " and separator is None and (found or share < 1.0):
                continue
            # A line without this sign may be too long for a cell.
            with contextlib.suppress(csv.Error):
                found += header_of(lines, sign, share)
        if found:
            n_above, _, _, _, best = min(found)
            return best, n_above
    return possible[0], 0


def header_of(lines, separator, share):
    """Return a list of one tuple for `find_header`, the smaller the better, or none."""
    for place in range(len(lines)):
        counts = list(map(measure, split_lines(lines[place:], separator)))
        if max(counts, default=(1, 1)) == (1, 1):
            break
        header, *rows = islice(split_lines(lines[place:], separator), 3)
        # A quoted line break may be cut off at the end.
        body = counts[1:-1] or counts[1:] or counts
        widths = [n_cells for n_cells, _ in body]
        width = max(set(widths), key=widths.count)
        n_names = len(without_end(header))
        # A spreadsheet fills up the line of a title with empty cells.
        is_title = sum(map(bool, map(str.strip, header))) == 1 and header[0].strip()
        is_title = is_title and width > 1 and (len(header) == width or width > 2)
        if n_names == 0 or is_title:
            continue
        if widths.count(width) < share * len(body) or not 2 <= width >= n_names:
            break
        # R omits the name of the first column; cells at the end may be empty.
        n_more = width - len(header)
        if n_more == 1 and [any(map(is_value, row)) for row in rows] == [False, True]:
            continue  # the names are in the next line
        if n_more > 1 and max(n_filled for _, n_filled in body) > n_names:
            if rows and len(rows[0]) == width and not any(map(is_value, rows[0])):
                continue  # a title with this sign in it, and the names below
            break
        if separator == " " and n_more != 1 and len(counts) < 3:
            break  # a name of two words, and an entry of two
        return [(place, n_more == 1, -width, SEPARATORS.find(separator), separator)]
    return []


def is_value(cell):
    """Whether a cell is no name of a column."""
    return clean(cell) in MISSING or to_number(cell) is not None


def measure(row):
    """Return the number of cells of a row, with and without empty ones at its end."""
    return len(row), len(without_end(row))


def without_end(row):
    """Return a row without the empty cells at its end."""
    n_cells = len(row)
    while n_cells and not row[n_cells - 1].strip():
        n_cells -= 1
    return row[:n_cells]


def name_columns(header, rows):
    """Return the names of the columns, and the number of empty ones at the end.

    The column of the names of the rows may have none, then "".
    """
    names = without_end(header)
    widths = [len(row) for row in rows]
    width = max(set(widths), key=widths.count, default=len(names))
    if width == len(names) + 1 == len(header) + 1 and any(
        row[-1].strip() for row in rows if len(row) == width
    ):
        return ["", *names], 0
    return names, max(width, len(header)) - len(names)
