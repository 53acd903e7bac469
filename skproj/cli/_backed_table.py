"""Annotated data whose matrix stays in the file, and is read in blocks of rows."""

from dataclasses import dataclass

import numpy as np

from skproj.blocks import RowBlocks, open_blocks
from skproj.cli._anndata_table import AnnotatedTable
from skproj.cli._checks import check_unique
from skproj.cli._errors import CommandError
from skproj.cli._progress import show_rows
from skproj.utils._optional import import_optional

# Memory without columns, and per row, measured with 200000 rows and ten classes.
FIXED_BYTES = 500_000_000
ROW_BYTES = 2500
# Of the columns in memory, those of the folds included.
COPIES = 5
MIN_COLUMN_BYTES = 10_000_000


@dataclass(frozen=True)
class Backing:
    """How a matrix is read in blocks.

    Attributes
    ----------
    memory : int or None
        Bytes of memory that are meant for the run.
    shows_progress : bool
        Whether each pass has a progress bar.
    """

    memory: int | None
    shows_progress: bool


def open_backed(options):
    """Open annotated data, and read `obs`; `options` are those of `read_table`."""
    anndata = import_optional("anndata", extra="anndata")
    blocks = open_blocks(options.path, layer=options.layer)
    if options.suffix == ".zarr":
        zarr = import_optional("zarr", extra="anndata")
        group = zarr.open_group(options.path, mode="r")
        obs = anndata.io.read_elem(group["obs"])
    else:
        with import_optional("h5py", extra="anndata").File(options.path, "r") as group:
            obs = anndata.io.read_elem(group["obs"])
    names = [str(name) for name in blocks.feature_names]
    check_unique(names, options.path)
    return BackedTable(obs, names, options.path, blocks, options.backed)


class BackedTable(AnnotatedTable):
    """Annotated data whose matrix is read in blocks.

    Parameters
    ----------
    obs : DataFrame
    columns : list of str
    path : Path
    blocks : RowBlocks
    backing : Backing
    """

    def __init__(self, obs, columns, path, blocks, backing):
        super().__init__(obs, columns, path)
        self._blocks = blocks
        self._backing = backing

    def numbers(self, names, *, dtype=None, **others):
        """Return features as `RowBlocks`, whose numbers are not checked."""
        places = np.array(self.places(names))
        is_all = names == self.columns

        def read():
            title = f"Pass {self._blocks.n_passes + 1}"
            with show_rows(title, self.n_rows, self._backing.shows_progress) as advance:
                for _, block in self._blocks:
                    yield block if is_all else block[:, places]
                    advance(block.shape[0])

        return RowBlocks(
            read,
            (self.n_rows, len(names)),
            self._blocks.dtype if dtype is None else dtype,
            names,
            column_bytes=column_bytes(self._backing.memory, self.n_rows),
        )


def column_bytes(memory, n_rows):
    """Return the bytes for features in memory, or None for the default."""
    if memory is None:
        return None
    least = FIXED_BYTES + n_rows * ROW_BYTES
    n_bytes = (memory - least) // COPIES
    if n_bytes < MIN_COLUMN_BYTES:
        needed = least + COPIES * MIN_COLUMN_BYTES
        raise CommandError(
            f"--memory must be at least {-(-needed // 10**6)}MB for {n_rows} rows."
        )
    return n_bytes
