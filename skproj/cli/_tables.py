"""Tables read from files: names, numbers, and their checks."""

import csv
import gzip
import io
import warnings
from collections import Counter

import numpy as np
from scipy import sparse

from skproj.cli._errors import CommandError, near_matches
from skproj.utils._optional import import_optional
from skproj.utils._wording import join_names

TEXT_SEPARATORS = {".csv": ",", ".tsv": "\t"}
SEPARATOR_NAMES = {",": "commas", "\t": "tabs"}
WANTED_BY_MODEL = ", which the model needs"
# Where fewer numbers lie between the smallest and the largest value of a column, too
# much of it is lost.
MIN_FLOAT_STEPS = 1000
SUFFIXES = (*TEXT_SEPARATORS, ".parquet", ".h5ad")


def read_table(path, *, index=None, layer=None, target=None):
    """Read a table.

    Parameters
    ----------
    path : Path
        Its suffix says what it is.
    index : str, default=None
        Column with the names of the rows.
    layer : str, default=None
        Layer of an .h5ad file.
    target : str, default=None
        Column that may hold labels.

    Returns
    -------
    table : FrameTable or AnnDataTable

    Raises
    ------
    CommandError
        If there is no such file, if it cannot be read, or if it is empty.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise CommandError(f"{path} {what}.")
    suffix = suffix_of(path)
    if suffix not in SUFFIXES:
        raise CommandError(
            f"{path}: unsupported file type {suffix or 'without suffix'!r}; "
            f"it must be one of {', '.join(SUFFIXES)}."
        )
    if layer is not None and suffix != ".h5ad":
        raise CommandError(f"--layer is for .h5ad files, which {path} is not.")
    if index is not None and suffix == ".h5ad":
        raise CommandError("--index is not for .h5ad files: obs_names name the rows.")
    read = READERS.get(suffix, read_text)
    try:
        table = read(path, index=index, layer=layer, target=target)
    except (CommandError, ModuleNotFoundError):
        raise
    # The libraries raise what they like for a broken file.
    except Exception as error:
        raise CommandError(f"{path} cannot be read: {error}") from error
    if table.n_rows == 0 or not table.columns:
        raise CommandError(f"{path} has no rows or no columns.")
    return table


def suffix_of(path):
    """Return the suffix in lower case, without that of a compression."""
    if path.suffix.lower() == ".gz":
        path = path.with_suffix("")
    return path.suffix.lower()


def read_text(path, *, index, layer, target):
    pd = import_optional("pandas", extra="cli")
    separator = TEXT_SEPARATORS[suffix_of(path)]
    header, first = read_first_lines(path, separator)
    # Names are text, and so may labels be.
    text = [name for name in (index, target) if name is not None]
    # Without a name are the names of the rows, as pandas and R write them.
    if not header[0] or len(first) == len(header) + 1:
        text.append(0)
    frame = pd.read_csv(
        path, sep=separator, dtype=dict.fromkeys(text, str), low_memory=False
    )
    if frame.index.nlevels > 1:
        raise CommandError(f"{path} has more columns than names of columns.")
    if not header[0]:
        frame = frame.set_index(frame.columns[0]).rename_axis(index=None)
    labels = frame.get(target)
    if labels is not None:
        frame[target] = infer_type(labels)
    return FrameTable(frame, path, index, labels)


def infer_type(column):
    """Return a column of text as numbers or truth values if it holds nothing else."""
    pd = import_optional("pandas", extra="cli")
    text = io.StringIO(column.to_csv(index=False))
    inferred = pd.read_csv(text, low_memory=False)
    return inferred.iloc[:, 0].set_axis(column.index)


def read_first_lines(path, separator):
    """Return the names, which pandas would change if they are equal, and a row."""
    open_text = gzip.open if path.suffix.lower() == ".gz" else open
    with open_text(path, "rt", newline="", encoding="utf-8-sig") as file:
        lines = filter(None, csv.reader(file, delimiter=separator))
        header, first = next(lines, None), next(lines, [])
    if header is None:
        raise CommandError(f"{path} is empty.")
    check_unique(filter(None, header), path)
    n_unnamed = header[1:].count("")
    if n_unnamed:
        raise CommandError(f"{path} has columns without a name: {n_unnamed}.")
    if len(header) == 1 and any(other in header[0] for other in ";,\t"):
        raise CommandError(
            f"{path} has a single column, {header[0]!r}; those of a "
            f"{suffix_of(path)} file are separated by {SEPARATOR_NAMES[separator]}, "
            "and the decimal sign is a point."
        )
    return header, first


def read_parquet(path, *, index, layer, target):
    pd = import_optional("pandas", extra="cli")
    parquet = import_optional("pyarrow.parquet", extra="cli")
    check_unique(parquet.read_schema(path).names, path)
    return FrameTable(pd.read_parquet(path, engine="pyarrow"), path, index)


def read_h5ad(path, *, index, layer, target):
    anndata = import_optional("anndata", extra="anndata")
    with warnings.catch_warnings():
        # Names of features are checked below; those of rows may be equal.
        warnings.filterwarnings("ignore", ".* names are not unique")
        adata = anndata.read_h5ad(path)
    check_unique(adata.var_names, path)
    if layer is not None and layer not in adata.layers:
        known = join_names(adata.layers) if adata.layers else "there are none"
        raise CommandError(f"{path} has no layer {layer!r}; layers: {known}.")
    return AnnDataTable(adata, path, layer)


READERS = {".parquet": read_parquet, ".h5ad": read_h5ad}


class FrameTable:
    """A table with one kind of columns, features and others.

    Parameters
    ----------
    frame : DataFrame
    path : Path
        The file that it comes from, for messages.
    index : str or None
        Column with the names of the rows.
    labels : Series, default=None
        The target as it is written, if the file does not tell text from numbers.

    Attributes
    ----------
    columns : list of str
        Names of all columns but the index.
    row_names : Index or None
        Names of the rows, if they have any.
    row_label : str
        Name of the index column.
    n_rows : int
    """

    def __init__(self, frame, path, index, labels=None):
        pd = import_optional("pandas", extra="cli")
        frame.columns = [str(name) for name in frame.columns]
        self.path = path
        if index is not None:
            self._require([index], list(frame.columns))
            frame = frame.set_index(index)
        self.columns = list(frame.columns)
        named = not isinstance(frame.index, pd.RangeIndex)
        self.row_names = frame.index if named else None
        self.row_label = frame.index.name or "row"
        self.n_rows = len(frame)
        self._frame = frame
        self._labels = labels

    def _require(self, names, known, wanted_by=""):
        require(names, known, f"{self.path} has no column %s", wanted_by)

    def feature_names(self, target, drop, groups=None):
        """Return the names of the columns that are left over."""
        others = {target, *drop} | ({groups} - {None})
        self._require([target], self.columns)
        self._require(sorted(others), self.columns)
        return [name for name in self.columns if name not in others]

    def target(self, name):
        """Return a column as a Series."""
        return self._frame[name]

    def labels(self, name):
        """Return a column as a Series, of text if numbers would lose zeros of it."""
        column = self.target(name)
        if self._labels is None or not is_numeric(column):
            return column
        text = self._labels.str.strip().set_axis(column.index)
        return text if text.str.fullmatch(r"[+-]?0\d+").any() else column

    def numbers(self, names, *, dtype=None, can_drop=True):
        """Return columns as numbers.

        Parameters
        ----------
        names : list of str
        dtype : dtype, default=None
            If None, float32 if all columns are, else float64.
        can_drop : bool, default=True
            Whether errors may propose to leave columns out.

        Returns
        -------
        X : ndarray of shape (n_rows, n_names)

        Raises
        ------
        CommandError
            If a column is missing or is no column of numbers, or if a number is missing
            or infinite.
        """
        self._require(names, self.columns, WANTED_BY_MODEL)
        frame = self._frame[names]
        text = [
            name
            for name, dtype in frame.dtypes.items()
            if getattr(dtype, "kind", "O") not in "biuf"
        ]
        if text:
            some = " ".join(quote(name) for name in text[:5])
            more = " ..." if len(text) > 5 else ""
            entries = frame[text[0]].dropna().head(1).tolist()
            example = f" (the first begins with {str(entries[0])!r})" if entries else ""
            advice = (
                f"; --drop {some}{more} leaves them out, and --index {quote(text[0])} "
                "takes that one as the names of the rows"
            )
            raise CommandError(
                f"{self.path} has {len(text)} of {len(names)} columns that are not "
                f"numbers: {join_names(text)}{example}{advice if can_drop else ''}"
            )
        single = (frame.dtypes == np.float32).all()
        own_dtype = np.float32 if single else np.float64
        X = frame.to_numpy(dtype=own_dtype, na_value=np.nan)
        check_finite(X, names, self.path, can_drop=can_drop)
        return convert(X, dtype, names, self.path)

    def frame(self, names):
        """Return columns as a DataFrame, as they are."""
        self._require(names, self.columns, WANTED_BY_MODEL)
        return self._frame[names]


class AnnDataTable:
    """Annotated data: the features are in a matrix, the other columns in `obs`.

    Parameters
    ----------
    adata : AnnData
    path : Path
    layer : str or None

    Attributes
    ----------
    columns : list of str
        Names of the features.
    row_names : Index
    row_label : str
    n_rows : int
    """

    row_label = "obs_name"

    def __init__(self, adata, path, layer):
        self.path = path
        self.columns = [str(name) for name in adata.var_names]
        self.row_names = adata.obs_names
        self.n_rows = adata.n_obs
        self._obs = adata.obs
        self._matrix = adata.X if layer is None else adata.layers[layer]
        if self._matrix is None:
            raise CommandError(f"{path} has no X; name a layer with --layer.")

    def feature_names(self, target, drop, groups=None):
        """Return the names of the features that are left over."""
        wanted = [target] if groups is None else [target, groups]
        require(wanted, list(self._obs), f"{self.path} has no column of obs %s")
        require(drop, self.columns, f"{self.path} has no feature %s")
        others = set(drop)
        return [name for name in self.columns if name not in others]

    def target(self, name):
        """Return a column of `obs`."""
        return self._obs[name]

    labels = target

    def numbers(self, names, *, dtype=None, can_drop=True):
        """Return features as an array or a CSR matrix, see `FrameTable.numbers`."""
        require(names, self.columns, f"{self.path} has no feature %s", WANTED_BY_MODEL)
        place = {name: j for j, name in enumerate(self.columns)}
        X = self._matrix
        if sparse.issparse(X):
            X = X.tocsr()
        if names != self.columns:
            X = X[:, [place[name] for name in names]]
        if X.dtype != np.float32:
            X = X.astype(np.float64)
        check_finite(X, names, self.path, can_drop=can_drop)
        return convert(X, dtype, names, self.path)

    def frame(self, names):
        """Return features as a DataFrame."""
        pd = import_optional("pandas", extra="cli")
        X = self.numbers(names)
        X = X.toarray() if sparse.issparse(X) else X
        return pd.DataFrame(X, index=self.row_names, columns=names)


def is_numeric(column):
    """Whether a column holds numbers, which truth values are not."""
    return getattr(column.dtype, "kind", "O") in "iuf"


def quote(name):
    """Return an argument as a shell takes it."""
    return name if name.isidentifier() else "'" + name.replace("'", "'\\''") + "'"


def require(names, known, sentence, wanted_by=""):
    """Raise an error if a name is not known.

    ``%s`` in the sentence stands for the missing names; `wanted_by` is appended to it.
    """
    known_names = set(known)
    missing = [name for name in names if name not in known_names]
    if not missing:
        return
    hint = near_matches(missing[0], known)
    if not hint:
        hint = f"; there are {join_names(known) or 'none'}"
    raise CommandError(sentence % join_names(missing) + wanted_by + hint)


def check_unique(names, path):
    """Raise an error if a name occurs twice."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise CommandError(
            f"{path} has several columns of the same name: {join_names(twice)}; "
            "rename them, so that each feature can be told from the others."
        )


def convert(X, dtype, names, path):
    """Return finite numbers in another precision, and warn where it is too low."""
    if dtype is None or X.dtype == dtype:
        return X
    with np.errstate(over="ignore"):
        rounded = X.astype(dtype)
    check_finite(rounded, names, path, infinite="too large")
    if sparse.issparse(X):
        return rounded  # with zeros, and so without a large constant in all rows
    spread, size = np.ptp(X, axis=0), np.abs(rounded).max(axis=0)
    coarse = (spread > 0.0) & (spread < MIN_FLOAT_STEPS * np.spacing(size))
    if coarse.any():
        affected = [names[j] for j in np.flatnonzero(coarse)]
        warnings.warn(
            f"{path} has {len(affected)} of {len(names)} columns whose rows differ by "
            f"too little to be told apart in {rounded.dtype}: {join_names(affected)}; "
            "subtract a constant from each",
            stacklevel=2,
        )
    return rounded


def check_finite(X, names, path, *, can_drop=True, infinite="infinite"):
    """Raise an error that says where a number is missing or infinite."""
    entries = X.data if sparse.issparse(X) else X
    if np.isfinite(entries).all():
        return
    for test, what in ((np.isnan, "missing"), (np.isinf, infinite)):
        bad = test(entries)
        if not bad.any():
            continue
        columns = np.zeros(len(names), dtype=np.intp)
        if sparse.issparse(X):
            columns += np.bincount(X.indices[bad], minlength=len(names))
        else:
            columns += bad.sum(axis=0)
        affected = [names[j] for j in np.flatnonzero(columns)]
        raise CommandError(
            f"{path} has {what} values, {columns.sum()} in {len(affected)} of "
            f"{len(names)} columns: {join_names(affected)}; fill them in, or leave out "
            "these rows" + (" or, with --drop, these columns" if can_drop else "")
        )
