"""Tables whose features stay in the file, and are read in blocks of rows."""

import numpy as np

from skproj.cli._anndata_table import AnnotatedTable
from skproj.cli._checks import WANTED_BY_MODEL, check_unique, require
from skproj.cli._entries import tidy_obs
from skproj.cli._errors import CommandError
from skproj.cli._frame_table import FrameTable
from skproj.cli._options import shows_bars
from skproj.cli._progress import show_rows
from skproj.cli._rows import rows_to_use
from skproj.persistence._panel._text_tables import clean_names
from skproj.utils._optional import import_optional

# Memory without columns, and per row, measured with 200000 rows and ten classes.
FIXED_BYTES = 500_000_000
ROW_BYTES = 2500
# Of a row group of a Parquet file, while it is read.
ROW_GROUP_COPIES = 3
# Of the columns in memory, those of the folds included.
COPIES = 5
MIN_COLUMN_BYTES = 10_000_000

# Column of a frame with the places of its rows in the file.
PLACE = "\0place"


class BackedFeatures:
    """Mixin of tables whose features are read in blocks.

    `_command` has the options of the command: the memory that is meant for the run, and
    whether each pass has a bar. The mask `_kept` says which rows of the file are rows
    of the table, and `_open` returns the blocks of the file and the places of features
    in them.
    """

    _n_passes = 0
    _row_group_bytes = 0

    def numbers(self, names, *, dtype=None, **others):
        """Return features as `RowBlocks`, whose numbers are not checked."""
        from skproj.blocks import RowBlocks  # scikit-learn comes with it

        blocks, places = self._open(names)
        kept, shows_progress = self._kept, shows_bars(self._command)

        def read(columns=slice(None)):
            wanted = places[columns]
            is_all = np.array_equal(wanted, np.arange(blocks.shape[1]))
            self._n_passes += 1
            title = f"Pass {self._n_passes}"
            source = blocks if is_all else blocks.iterate_columns(wanted)
            with show_rows(title, len(kept), shows_progress) as advance:
                for start, block in source:
                    rows = kept[start : start + block.shape[0]]
                    yield block if rows.all() else block[rows]
                    advance(len(rows))

        return RowBlocks(
            read,
            (self.n_rows, len(names)),
            blocks.dtype if dtype is None else dtype,
            names,
            read,
            column_bytes=self._column_bytes(),
        )

    def _column_bytes(self):
        """Return the bytes for features in memory, or None for the default."""
        memory = self._command.memory
        if memory is None:
            return None
        reading = ROW_GROUP_COPIES * self._row_group_bytes
        least = FIXED_BYTES + self.n_rows * ROW_BYTES + reading
        n_bytes = (memory - least) // COPIES
        if n_bytes < MIN_COLUMN_BYTES:
            needed = least + COPIES * MIN_COLUMN_BYTES
            groups = f" in row groups of up to {self._row_group_bytes // 10**6}MB"
            raise CommandError(
                f"--memory must be at least {-(-needed // 10**6)}MB for {self.n_rows} "
                f"rows{groups if reading else ''}."
            )
        return n_bytes


class BackedAnnotatedTable(BackedFeatures, AnnotatedTable):
    """Annotated data whose matrix is read in blocks."""

    def __init__(self, obs, blocks, options):
        obs = tidy_obs(obs, options)
        self._kept = rows_to_use(obs, options)
        self._blocks, self._command = blocks, options.backed
        names = clean_names(map(str, blocks.feature_names), options.wanted)
        check_unique(names, options.path)
        super().__init__(obs[self._kept], names, options.path)

    def _open(self, names):
        return self._blocks, np.array(self.places(names), dtype=np.intp)


class BackedFrameTable(BackedFeatures, FrameTable):
    """A table with one kind of columns, of which the features are read in blocks.

    `frame` has the columns that are no features, and the places of the rows. `stored`
    are the names of the columns in the file, by what they are without spaces;
    `metadata` are those of pyarrow. The other parameters are those of a `FrameTable`.
    """

    can_encode = False

    def __init__(self, options, metadata, stored, frame, *others):
        self._kept = np.zeros(metadata.num_rows, dtype=bool)
        self._kept[frame.pop(PLACE)] = True
        self._command = options.backed
        groups = map(metadata.row_group, range(metadata.num_row_groups))
        self._row_group_bytes = max((g.total_byte_size for g in groups), default=0)
        # The columns of the file, without rows.
        schema = metadata.schema.to_arrow_schema()
        self._stored = stored
        self._empty = schema.empty_table().to_pandas(date_as_object=False)
        self._empty.columns = clean_names(map(str, self._empty), options.wanted)
        super().__init__(frame, *others)
        self.columns = [name for name in self._empty if name != options.index]
        self.columns += [name for name in self._frame if name not in self._empty]

    def target(self, name):
        if name in self._frame:
            return self._frame[name]
        pd = import_optional("pandas", extra="cli")
        column = pd.read_parquet(self.path, columns=[self._stored[name]]).iloc[:, 0]
        return column[self._kept].set_axis(self._frame.index)

    def _dtypes(self):
        return {**self._frame.dtypes, **self._empty.dtypes}

    def _open(self, names):
        from skproj.blocks import open_blocks

        require(names, self.columns, self.path, "column", WANTED_BY_MODEL)
        self._check_numeric(self._empty[names], can_drop=True)
        stored = [self._stored[name] for name in names]
        return open_blocks(self.path, columns=stored), np.arange(len(names))


def open_annotated(options):
    from skproj.blocks import open_blocks

    anndata = import_optional("anndata", extra="anndata")
    blocks = open_blocks(options.path, layer=options.layer)
    if options.suffix == ".zarr":
        zarr = import_optional("zarr", extra="anndata")
        group = zarr.open_group(options.path, mode="r")
        obs = anndata.io.read_elem(group["obs"])
    else:
        with import_optional("h5py", extra="anndata").File(options.path, "r") as group:
            obs = anndata.io.read_elem(group["obs"])
    return BackedAnnotatedTable(obs, blocks, options)
