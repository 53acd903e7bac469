"""``skproj datasets cells``: a synthetic table of cells, written in blocks of rows."""

import contextlib
import shutil
import uuid

import numpy as np

from skproj.cli._arguments import CELL_DEFAULTS
from skproj.cli._errors import CommandError
from skproj.cli._options import check_free
from skproj.cli._progress import show_rows
from skproj.utils._optional import import_optional

DESCRIPTION = (
    "a sparse table of single cells with known markers, of any size, in the layout of "
    "AnnData (.h5ad or .zarr)"
)
TARGET = "cell_type"
BATCH = "donor"

# Entries of X, and rows of obs, in a chunk of the file. Writes are of so many at least.
CHUNK_ENTRIES = 2**20
CHUNK_ROWS = 2**16

# Files by which a folder is known as a zarr store that may be replaced.
ZARR_MARKS = (".zgroup", "zarr.json")


def run(options):
    """Write the table; `options` are those of ``skproj datasets``."""
    path = options.out
    if path is None:
        raise CommandError("--out must say which file to write.")
    suffix = path.suffix.lower()
    if suffix not in (".h5ad", ".zarr"):
        raise CommandError(f"--out must end in .h5ad or .zarr, got {str(path)!r}.")
    is_folder = suffix == ".zarr"
    check_free(path, options.overwrite, folder=is_folder)
    if is_folder and path.is_dir() and any(path.iterdir()):
        if not any((path / name).is_file() for name in ZARR_MARKS):
            raise CommandError(f"{path} is not a zarr store; it is not replaced.")
    import_optional("anndata", extra="anndata")
    if is_folder:  # before the work; the other library comes with anndata
        import_optional("zarr", extra="anndata")
    from skproj.datasets._cells import CellModel

    given = {name: getattr(options, name) for name in CELL_DEFAULTS}
    given = {name: value for name, value in given.items() if value is not None}
    values = CELL_DEFAULTS | given
    n_obs = values.pop("n_obs")
    try:
        model = CellModel(**values)
    except ValueError as error:
        raise CommandError(as_options(str(error), values)) from None
    path.parent.mkdir(parents=True, exist_ok=True)
    with new_group(path) as group:
        shows_progress = not options.no_progress
        n_entries = write_cells(model, n_obs, group, shows_progress=shows_progress)
    print(f"cells: {DESCRIPTION}")
    print(
        f"Wrote {path}: {n_obs} rows, {model.n_vars} features, "
        f"{n_entries} non-zero entries; predict column {TARGET!r}"
    )


def as_options(sentence, names):
    """Return an error with arguments as the options of the command."""
    for name in names:
        sentence = sentence.replace(name, "--" + name.replace("_", "-"))
    return sentence


@contextlib.contextmanager
def new_group(path):
    """Make an HDF5 file or a zarr store that is written completely or not at all.

    Yields its root, a group. What was at the path is replaced at the end.
    """
    if path.suffix.lower() == ".h5ad":
        from skproj.utils._files import new_file

        h5py = import_optional("h5py", extra="anndata")
        with new_file(path) as temporary, h5py.File(temporary, "w") as group:
            yield group
        return
    zarr = import_optional("zarr", extra="anndata")
    path = path.resolve()
    temporary, old = (path.with_name(f".{uuid.uuid4().hex}.zarr") for _ in range(2))
    try:
        # The version that anndata writes itself, and that older readers know.
        yield zarr.open_group(temporary, mode="w", zarr_format=2)
        if path.exists():
            path.rename(old)
        temporary.rename(path)
    finally:
        if old.exists() and not path.exists():
            old.rename(path)
        for folder in (temporary, old):
            shutil.rmtree(folder, ignore_errors=True)


def write_cells(model, n_obs, group, *, shows_progress=False):
    """Write a table in the layout of AnnData, and return the number of its entries.

    Memory is needed for a chunk of the entries, and for ten bytes per row.
    """
    from anndata.io import write_elem

    encode(group, "anndata", "0.1.0")
    for name in ("layers", "obsm", "varm", "obsp", "varp", "uns"):
        write_elem(group, name, {})
    write_var(model, group)
    X = group.create_group("X")
    encode(X, "csr_matrix", "0.1.0", shape=[n_obs, model.n_vars])
    data = Appender(X, "data", np.float32)
    indices = Appender(X, "indices", np.int32)
    indptr = np.zeros(n_obs + 1, dtype=np.int64)
    types = np.empty(n_obs, dtype=np.min_scalar_type(-model.n_types))
    batches = np.empty(n_obs, dtype=np.min_scalar_type(-model.n_batches))
    with show_rows("rows", n_obs, shows_progress) as advance:
        for block in model.blocks(n_obs):
            rows = slice(block.start, block.start + block.X.shape[0])
            indptr[rows.start + 1 : rows.stop + 1] = np.diff(block.X.indptr)
            types[rows], batches[rows] = block.type, block.batch
            data.append(block.X.data)
            indices.append(block.X.indices)
            advance(block.X.shape[0])
        data.flush()
        indices.flush()
    np.cumsum(indptr, out=indptr)
    row_starts = Appender(X, "indptr", np.int64)
    row_starts.append(indptr)
    row_starts.flush()
    write_obs(model, types, batches, group)
    return int(indptr[-1])


def write_var(model, group):
    """Write the genes: their names, what they mark, and how strongly."""
    from anndata.io import write_elem

    pd = import_optional("pandas", extra="anndata")
    names = [f"gene{j}" for j in range(model.n_vars)]
    columns = {
        "marker_of": pd.Categorical.from_codes(model.marker_of, type_names(model)),
        "fold_change": model.fold_change,
        "mean": model.gene_mean,
    }
    write_elem(group, "var", pd.DataFrame(columns, index=pd.Index(names, dtype=object)))


def write_obs(model, types, batches, group):
    """Write the cells: names, a chunk of them at a time, types and donors."""
    from anndata.io import write_elem

    pd = import_optional("pandas", extra="anndata")
    obs = group.create_group("obs")
    encode(
        obs, "dataframe", "0.2.0", _index="_index", **{"column-order": [TARGET, BATCH]}
    )
    donors = [f"donor{b}" for b in range(model.n_batches)]
    write_elem(obs, TARGET, pd.Categorical.from_codes(types, type_names(model)))
    write_elem(obs, BATCH, pd.Categorical.from_codes(batches, donors))
    n_obs = types.size
    options = {"shape": (n_obs,), "chunks": (min(n_obs, CHUNK_ROWS),)}
    if is_zarr(group):
        index = obs.create_array("_index", dtype=str, **options)
    else:
        h5py = import_optional("h5py", extra="anndata")
        index = obs.create_dataset("_index", dtype=h5py.string_dtype(), **options)
    encode(index, "string-array", "0.2.0")
    for start in range(0, n_obs, CHUNK_ROWS):
        stop = min(start + CHUNK_ROWS, n_obs)
        names = [f"cell{i}" for i in range(start, stop)]
        index[start:stop] = np.array(names, dtype=object)


def type_names(model):
    return [f"type{k}" for k in range(model.n_types)]


def is_zarr(group):
    return not type(group).__module__.startswith("h5py")


def encode(element, kind, version, **others):
    """Set the attributes by which anndata knows an element of a file."""
    others = {"encoding-type": kind, "encoding-version": version, **others}
    for name, value in others.items():
        element.attrs[name] = value


class Appender:
    """Array in a group of h5py or zarr that grows by whole chunks."""

    def __init__(self, group, name, dtype):
        options = {"shape": (0,), "chunks": (CHUNK_ENTRIES,), "dtype": dtype}
        if is_zarr(group):
            self._array = group.create_array(name, **options)
        else:
            self._array = group.create_dataset(name, maxshape=(None,), **options)
        self._waiting, self._n_waiting = [], 0

    def append(self, values):
        """Append values, which are written when they fill a chunk."""
        self._waiting.append(values)
        self._n_waiting += values.size
        if self._n_waiting >= CHUNK_ENTRIES:
            self._write(self._n_waiting - self._n_waiting % CHUNK_ENTRIES)

    def flush(self):
        """Write what is left."""
        self._write(self._n_waiting)

    def _write(self, n_values):
        values = np.concatenate(self._waiting) if self._waiting else np.empty(0)
        start = self._array.shape[0]
        self._array.resize((start + n_values,))
        if n_values:
            self._array[start : start + n_values] = values[:n_values]
        self._waiting, self._n_waiting = [values[n_values:]], values.size - n_values
