"""Files and array-likes whose rows are read in blocks."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy import sparse

from skproj.blocks._row_blocks import RowBlocks, float_dtype
from skproj.utils._wording import near_matches

# Entries of a block, zeros of sparse matrices not counted.
BLOCK_ENTRIES = 1 << 20


@dataclass(frozen=True)
class Source:
    """Something with rows that can be read in blocks.

    `bounds` returns the rows where blocks may begin, and the number of rows; `read`
    yields the blocks between two of them, each time it is called. If the source is
    `columnar`, it also gets places of columns, and reads no others.
    """

    read: Callable
    bounds: Callable
    shape: tuple
    dtype: np.dtype
    feature_names: list | None = None
    columnar: bool = False
    make_chunks: Callable | None = None  # delayed chunks of rows, of dask

    def blocks(self, start=0, stop=None, **others):
        """Return the blocks of some rows, or of all; `others` are for `RowBlocks`."""
        if self.dtype.kind not in "biuf":
            raise ValueError(f"source must hold real numbers, got dtype {self.dtype}.")
        stop = self.shape[0] if stop is None else stop
        return RowBlocks(
            partial(self.read, start, stop),
            (stop - start, self.shape[1]),
            self.dtype,
            self.feature_names,
            partial(self.read, start, stop) if self.columnar else None,
            **others,
        )


def is_dask(matrix):
    return hasattr(matrix, "compute") and hasattr(matrix, "chunks")


def is_dask_frame(table):
    is_table = hasattr(table, "compute") and hasattr(table, "dtypes")
    return is_table and table.ndim == 2  # a Series has dtypes, too


def open_array(matrix, names, block_size):
    """Slices of a dense array, which need not be in memory."""
    if len(matrix.shape) != 2:
        raise ValueError(
            f"source must have rows and columns, got the shape {matrix.shape}."
        )
    n_rows, n_columns = matrix.shape
    size = block_size or _default_size(matrix)

    def read(start, stop):
        for first in range(start, stop, size):
            yield np.asarray(matrix[first : min(first + size, stop)])

    bounds = partial(range_bounds, n_rows, size)
    return Source(read, bounds, (n_rows, n_columns), np.dtype(matrix.dtype), names)


def range_bounds(n_rows, size):
    return np.append(np.arange(0, n_rows, size), n_rows)


def _default_size(matrix):
    """Return a number of rows that is one of whole chunks, if there are chunks."""
    size = max(BLOCK_ENTRIES // max(matrix.shape[1], 1), 1)
    chunks = getattr(matrix, "chunks", None)
    if chunks and size > chunks[0]:
        size -= size % chunks[0]
    return size


def open_compressed(group, names, block_size):
    """Rows of a CSR matrix, in memory or a group of a file in the layout of AnnData."""
    if sparse.issparse(group):
        data, indices, indptr = group.data, group.indices, group.indptr
        shape = group.shape
    else:
        data, indices = group["data"], group["indices"]
        indptr = np.asarray(group["indptr"][:])
        shape = tuple(int(n) for n in group.attrs["shape"])
    n_columns = shape[1]

    def read(start, stop):
        own = indptr[start : stop + 1]
        rows = _row_bounds(own, block_size)
        entries = own[rows]
        for (first, last), values, places in zip(
            itertools.pairwise(rows),
            _slices(data, entries),
            _slices(indices, entries),
            strict=True,
        ):
            if len(places) and not 0 <= places.min() <= places.max() < n_columns:
                raise ValueError(f"source has entries beyond its {n_columns} columns.")
            starts = own[first : last + 1] - own[first]
            index_dtype = np.int32 if starts[-1] < 2**31 else np.int64
            yield sparse.csr_array(
                (
                    values,
                    places.astype(index_dtype, copy=False),
                    starts.astype(index_dtype, copy=False),
                ),
                shape=(int(last - first), n_columns),
            )

    bounds = partial(_row_bounds, indptr, block_size)
    return Source(read, bounds, shape, np.dtype(data.dtype), names)


def _row_bounds(indptr, block_size):
    """Return the first rows of the blocks, and the number of rows."""
    n_rows = len(indptr) - 1
    if block_size is not None:
        return range_bounds(n_rows, block_size)
    bounds = [0]
    while bounds[-1] < n_rows:
        full = indptr[bounds[-1]] + BLOCK_ENTRIES
        end = int(np.searchsorted(indptr, full, side="right")) - 1
        # Rows without entries take memory as well.
        bounds.append(min(max(end, bounds[-1] + 1), bounds[-1] + BLOCK_ENTRIES, n_rows))
    return np.array(bounds)


def _slices(array, bounds):
    """Yield an array between bounds, and read each of its chunks once."""
    chunks = getattr(array, "chunks", None)
    chunk = chunks[0] if chunks else 1
    left = np.empty(0, dtype=array.dtype)  # what was read already
    for start, stop in itertools.pairwise(bounds):
        have = start + len(left)
        if stop > have:
            end = min(-(-stop // chunk) * chunk, array.shape[0])
            new = array[have:end]
            left = np.concatenate([left, new]) if len(left) else new
        yield left[: stop - start]
        left = left[stop - start :]


def open_dask(matrix, names, block_size):
    """Chunks of rows of a dask array, dense or sparse, one computed at a time."""
    n_rows, n_columns = matrix.shape
    if any(np.isnan(n) for n in (n_rows, n_columns)):
        raise ValueError(
            "source must have chunks of known sizes: call its compute_chunk_sizes()."
        )
    matrix = matrix.rechunk({1: -1})
    return Source(
        partial(_read_chunks, matrix, block_size),
        lambda: np.cumsum([0, *matrix.chunks[0]]),
        (int(n_rows), int(n_columns)),
        np.dtype(matrix.dtype),
        names,
        make_chunks=lambda: matrix.to_delayed().ravel().tolist(),
    )


def _read_chunks(matrix, block_size, start, stop):
    """Yield the blocks of some rows of a dask array."""
    rows = matrix[start:stop]
    for chunk in range(rows.numblocks[0]):
        yield from split(rows.partitions[chunk].compute(), block_size)


def open_dask_frame(frame, columns, block_size):
    """Partitions of a dask dataframe, of which only the columns it needs are read."""
    names, dtype = _choose_columns(columns, frame.columns, frame.dtypes.get)

    def choose(names):
        # Before it counts the rows of partitions: it may join those of few columns.
        return frame[names].astype(dtype).optimize()

    def read(start, stop, places=None):
        if places is None:
            yield from source.read(start, stop)
            return
        chosen = choose([names[place] for place in places])
        for place in range(chosen.npartitions):
            rows = chosen.partitions[place].compute().to_numpy()
            yield from split(rows[max(start, 0) : max(stop, 0)], block_size)
            start, stop = start - len(rows), stop - len(rows)

    source = open_dask(choose(names).to_dask_array(lengths=True), names, block_size)
    return replace(source, read=read, columnar=True)


def split(chunk, block_size):
    size = block_size or max(chunk.shape[0], 1)
    for first in range(0, chunk.shape[0], size):
        yield chunk[first : first + size]


def open_parquet(file, columns, block_size):
    """Row groups of a Parquet file, of which only the columns it needs are read."""
    schema = file.schema_arrow

    def dtype_of(name):
        try:
            return np.dtype(schema.field(name).type.to_pandas_dtype())
        except NotImplementedError:  # categories, for instance
            return np.dtype(object)

    names, dtype = _choose_columns(columns, schema.names, dtype_of)
    size = block_size or max(BLOCK_ENTRIES // max(len(names), 1), 1)
    groups = map(file.metadata.row_group, range(file.metadata.num_row_groups))
    ends = np.cumsum([0, *(group.num_rows for group in groups)])

    def read(start, stop, places=None):
        chosen = names if places is None else [names[place] for place in places]
        groups = np.flatnonzero((ends[:-1] >= start) & (ends[1:] <= stop)).tolist()
        for batch in file.iter_batches(size, row_groups=groups, columns=chosen):
            block = np.empty((batch.num_rows, len(chosen)), dtype, order="F")
            for place, name in enumerate(chosen):
                block[:, place] = batch.column(name).to_numpy(zero_copy_only=False)
            yield block

    shape = (file.metadata.num_rows, len(names))
    return Source(read, lambda: ends, shape, dtype, names, columnar=True)


def _choose_columns(columns, known, get_dtype):
    """Return the names of the columns to read of a table, and a dtype for them all."""
    names = list(known) if columns is None else list(columns)
    if not names:
        raise ValueError("columns must name at least one column, got none.")
    if len(set(known)) < len(known):
        raise ValueError("source must have columns of different names.")
    dtypes = []
    for name in names:
        if name not in known:
            hint = near_matches(name, list(known)) or "."
            raise ValueError(
                f"columns must be columns of the source, got {name!r}{hint}"
            )
        dtype = get_dtype(name)
        if dtype.kind not in "biuf":
            raise ValueError(
                f"columns must hold numbers, got {name!r} of type {dtype}: name those "
                "to read."
            )
        dtypes.append(getattr(dtype, "numpy_dtype", dtype))  # of pandas
    return names, float_dtype(np.result_type(np.float32, *dtypes))
