"""``skproj datasets cells``: a synthetic table of cells, written in blocks of rows."""

import contextlib
import shutil
import uuid

import numpy as np
from scipy import sparse

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

# Entries of X, and rows of obs, in a chunk of the file. The last chunk is written anew
# by the next write, which is of several at least.
CHUNK_ENTRIES = 2**20
CHUNKS_OF_WRITE = 4
CHUNK_ROWS = 2**16

# Files by which a folder is known as a zarr store that may be replaced.
ZARR_MARKS = (".zgroup", "zarr.json")


def run(options):
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

    Memory is needed for some chunks of the entries, and for the ten bytes per row.
    """
    from anndata.io import sparse_dataset, write_elem

    pd = import_optional("pandas", extra="anndata")
    encode(group, "anndata", "0.1.0")
    for name in ("layers", "obsm", "varm", "obsp", "varp", "uns"):
        write_elem(group, name, {})
    kinds = [f"type{k}" for k in range(model.n_types)]
    genes = {
        "marker_of": pd.Categorical.from_codes(model.marker_of, kinds),
        "fold_change": model.fold_change,
        "mean": model.gene_mean,
    }
    names = pd.Index([f"gene{j}" for j in range(model.n_vars)], dtype=object)
    write_elem(group, "var", pd.DataFrame(genes, index=names))
    waiting = [sparse.csr_matrix((0, model.n_vars), dtype=np.float32)]
    storage = {"chunks": (CHUNK_ENTRIES,), "indptr_dtype": np.int64}
    write_elem(group, "X", waiting[0], dataset_kwargs=storage)
    X, n_entries, types, batches = sparse_dataset(group["X"]), 0, [], []
    with show_rows("rows", n_obs, shows_progress) as advance:
        for block in model.blocks(n_obs):
            types.append(block.type.astype(np.min_scalar_type(-model.n_types)))
            batches.append(block.batch.astype(np.int8))
            n_entries += block.X.nnz
            waiting.append(block.X)
            if sum(part.nnz for part in waiting) >= CHUNKS_OF_WRITE * CHUNK_ENTRIES:
                X.append(sparse.vstack(waiting, "csr"))
                waiting = []
            advance(block.X.shape[0])
    if waiting:
        X.append(sparse.vstack(waiting, "csr"))
    write_obs(model, np.concatenate(types), np.concatenate(batches), kinds, group)
    return n_entries


def write_obs(model, types, batches, kinds, group):
    """Write the cells: types, donors, and names, a chunk of them at a time."""
    from anndata.io import write_elem

    pd = import_optional("pandas", extra="anndata")
    obs, n_obs = group.create_group("obs"), len(types)
    encode(obs, "dataframe", "0.2.0", _index="_index")
    obs.attrs["column-order"] = [TARGET, BATCH]
    donors = [f"donor{b}" for b in range(model.n_batches)]
    write_elem(obs, TARGET, pd.Categorical.from_codes(types, kinds))
    write_elem(obs, BATCH, pd.Categorical.from_codes(batches, donors))
    options = {"shape": (n_obs,), "chunks": (min(n_obs, CHUNK_ROWS),)}
    if hasattr(obs, "create_array"):  # of zarr
        index = obs.create_array("_index", dtype=str, **options)
    else:
        kind = import_optional("h5py", extra="anndata").string_dtype()
        index = obs.create_dataset("_index", dtype=kind, **options)
    encode(index, "string-array", "0.2.0")
    for start in range(0, n_obs, CHUNK_ROWS):
        rows = range(start, min(start + CHUNK_ROWS, n_obs))
        index[rows.start : rows.stop] = np.array([f"cell{i}" for i in rows], object)


def encode(element, kind, version, **others):
    """Set the attributes by which anndata knows an element of a file."""
    element.attrs.update({"encoding-type": kind, "encoding-version": version, **others})
