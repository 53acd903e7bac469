"""A data frame as a table."""

import datetime
import re

import numpy as np

from skproj.cli._checks import (
    WANTED_BY_MODEL,
    convert,
    drop,
    is_numeric,
    option,
    require,
)
from skproj.cli._entries import spoiled
from skproj.cli._errors import AT_ONCE, CommandError, Errors
from skproj.persistence._panel._text_tables import TRUTH
from skproj.utils._optional import import_optional
from skproj.utils._wording import join_names, near_matches

# Dates as 2024-03-31, 31.3.2024 or 3/31/24, and the time of the day.
DATE = re.compile(
    r"(\d{4}([-/.])[01]?\d\2[0-3]?\d|[0-3]?\d([-/.])[0-3]?\d\3(\d{4}|\d\d))"
    r"([T ]\d\d?:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?"
)

# Column of a frame with the target as it is written.
AS_WRITTEN = "\0written"

# A column of text with more values than this is not taken for a category.
MAX_CATEGORIES = 50
# Of more columns that would be numbers but for some entries, the first ones are named.
MAX_SPOILED = 5


class FrameTable:
    """A table with one kind of columns, features and others.

    The path is for messages. If the file does not tell text from numbers, `labels` is
    the target as it is written, and `reading` has the decimal sign and what stands for
    a missing value.
    """

    can_encode = True

    def __init__(self, frame, path, labels=None, reading=None):
        pd = import_optional("pandas", extra="cli")
        self.path = path
        self.reading = reading or {}
        self.columns = list(frame.columns)  # all but the index
        named = not isinstance(frame.index, pd.RangeIndex)
        self.row_names = frame.index if named else None  # if rows have any
        self.row_label = frame.index.name or "row"
        self.n_rows = len(frame)
        self._frame = frame
        self._labels = labels

    @property
    def label_names(self):
        return self.columns

    def feature_names(self, target, drop, others=(), errors=AT_ONCE):
        """Return the names of the columns that are left over.

        What is not there is an error.
        """
        with errors:
            if target not in self.columns:
                self._hint_at_transpose(target)
            require([target], self.columns, self.path, "column")
        for names in (*([name] for name in others), drop):
            with errors:
                require(names, self.columns, self.path, "column")
        others = {target, *drop, *others}
        return [name for name in self.columns if name not in others]

    def _hint_at_transpose(self, target):
        frame, names = self._frame, self.row_names
        if len(frame.columns) and names is None and not is_numeric(frame.iloc[:, 0]):
            names, frame = frame.iloc[:, 0], frame.iloc[:, 1:]
        if names is None or len(self._frame.columns) == 0:
            return
        if target in set(names):
            raise CommandError(
                f"{self.path} has no column {target!r} but a row of that name: "
                "--transpose reads a table with a row for each feature"
            )
        is_long = 1 < len(frame.columns) < self.n_rows / 2 and names.is_unique
        is_long &= not near_matches(target, self.columns)
        if is_long and all(is_numeric(column) for _, column in frame.items()):
            raise CommandError(
                f"{self.path} has no column {target!r}, and with {self.n_rows} rows of "
                f"{frame.shape[1]} numbers it seems to have a row for each feature: "
                "--transpose reads it, and --labels FILE adds the target"
            )

    def target(self, name):
        return self._frame[name]

    def labels(self, name):
        """Return a column as a Series, of text if numbers would lose zeros of it."""
        column = self.target(name)
        if self._labels is None or not is_numeric(column):
            return column
        text = self._labels.set_axis(column.index)
        return text if text.str.fullmatch(r"[+-]?0\d+").any() else column

    def other_columns(self, drop):
        """Return the names of columns that are no features but may name groups."""
        return list(drop)

    def label_columns(self, index):
        """Return all columns by the names of the rows, and the target as it is written.

        The names are those of the table, of the column `index` if it is there, or else
        of the first column.
        """
        frame = self._frame
        if self._labels is not None:
            frame = frame.assign(**{AS_WRITTEN: self._labels})
        if index in self.columns:
            return frame.set_index(index)
        return frame if self.row_names is not None else frame.set_index(self.columns[0])

    def numbers(self, names, *, dtype=None, can_drop=True, allow_missing=False):
        """Return columns as an array of numbers, or raise all that is wrong with them.

        Without a dtype they are float32 if all columns are, else float64. `can_drop`
        says whether errors may propose to leave columns out, `allow_missing` whether
        numbers may be missing, which are then NaN.
        """
        errors = Errors()
        with errors:
            require(names, self.columns, self.path, "column", WANTED_BY_MODEL)
        known = set(self.columns)
        frame = self._frame[[name for name in names if name in known]]
        frame = truth_values_as_numbers(frame)
        with errors:
            self._check_numeric(frame, can_drop)
        if errors:
            frame = frame.loc[:, [not is_text_type(dtype) for dtype in frame.dtypes]]
        single = (frame.dtypes == np.float32).all()
        own_dtype = np.float32 if single else np.float64
        X = frame.to_numpy(dtype=own_dtype, na_value=np.nan)
        options = {"can_drop": can_drop, "allow_missing": allow_missing}
        with errors:
            X = convert(X, dtype, list(frame.columns), self.path, **options)
        errors.raise_all()
        return X

    def text_columns(self, names):
        dtypes = self._dtypes()
        return [name for name in names if is_text_type(dtypes[name])]

    def date_columns(self, names):
        dtypes = self._dtypes()
        return [
            name
            for name in self.text_columns(names)
            if dtypes[name].kind == "M"
            or (name in self._frame and are_dates(self._frame[name]))
        ]

    def _dtypes(self):
        return self._frame.dtypes

    def _check_numeric(self, frame, can_drop):
        """Raise an error that names columns that do not hold numbers."""
        names = list(frame.columns)
        text = [name for name, dtype in frame.dtypes.items() if is_text_type(dtype)]
        if not text:
            return
        self.check_not_numbers(text)
        entries = frame[text[0]].dropna().head(1).tolist()
        example = f" (the first begins with {str(entries[0])!r})" if entries else ""
        ways = self._ways_with_text(frame[text], len(names)) if can_drop else []
        advice = "; " + ", or ".join(ways) if ways else ""
        raise CommandError(
            f"{self.path} has {len(text)} of {len(names)} columns that are not "
            f"numbers: {join_names(text)}{example}{advice}"
        )

    def _ways_with_text(self, frame, n_columns):
        """Return what can be done with columns of text, by options as one types them.

        Each of them is of use for this table.
        """
        ways = []
        if frame.shape[1] < n_columns:
            ways.append(f"{drop(frame)} leaves them out")
        many = frame.columns[frame.nunique() > MAX_CATEGORIES]
        if self.can_encode and len(many) < frame.shape[1]:
            others = f"{drop(many)} " if len(many) else ""
            whose = "of the others" if len(many) else "of them"
            ways.append(f"{others}--encode onehot makes a column of each value {whose}")
        for name in frame if self.row_names is None and len(frame) else ():
            if frame[name].is_unique and frame[name].notna().all():
                names_rows = f"{option('--index', name)} takes {name!r} as the names"
                return [*ways, f"{names_rows} of the rows"]
        return ways

    def check_not_numbers(self, names):
        """Raise an error that names columns of text if most of it are numbers."""
        decimal = self.reading.get("decimal", ".")
        found = (spoiled(self.target(name), name, decimal) for name in names)
        reasons = list(filter(None, found))
        errors = Errors(f"{self.path}: {reason}" for reason in reasons[:MAX_SPOILED])
        if len(reasons) > MAX_SPOILED:
            errors.append(
                f"{self.path}: {len(reasons) - MAX_SPOILED} more columns are like these"
            )
        errors.raise_all()

    def frame(self, names):
        require(names, self.columns, self.path, "column", WANTED_BY_MODEL)
        return self._frame[names]


def are_dates(column):
    """Whether all entries of a column are dates, as text or as objects."""
    entries = column.dropna().unique().tolist()
    return bool(entries) and all(
        isinstance(entry, datetime.date)
        or (isinstance(entry, str) and DATE.fullmatch(entry))
        for entry in entries
    )


def is_text_type(dtype):
    """Whether a column of this type holds neither numbers nor truth values."""
    return getattr(dtype, "kind", "O") not in "biuf"


def truth_values_as_numbers(frame):
    """Return a frame where columns of truth values with gaps are 1, 0 and NaN."""
    changed = {}
    for name in frame.columns[[is_text_type(dtype) for dtype in frame.dtypes]]:
        column = frame[name]
        numbers = column.astype(str).str.strip().str.lower().map(TRUTH)
        gaps = column.isna()
        if gaps.any() and not gaps.all() and (numbers.isna() == gaps).all():
            changed[name] = numbers
    return frame.assign(**changed) if changed else frame


def as_text(column):
    """Return a column of objects, all of them text: "nan" where one is missing."""
    return column.astype(str).astype(object).mask(column.isna(), "nan")
