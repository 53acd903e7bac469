"""Blocks of rows of files and array-likes, against the matrix in memory."""

import anndata
import dask.array
import dask.dataframe
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from numpy.testing import assert_array_equal
from scipy import sparse

from skproj.blocks import RowBlocks, _sources, open_blocks

MATRIX = sparse.random_array(
    (57, 13), density=0.3, format="csr", dtype=np.float32, rng=np.random.default_rng(0)
)
DENSE = MATRIX.toarray()
NAMES = [f"gene{j}" for j in range(13)]

SOURCES = {
    "array": lambda folder: DENSE,
    "fortran": lambda folder: np.asfortranarray(DENSE),
    "strided": lambda folder: np.repeat(DENSE, 2, axis=1)[:, ::2],
    "csr": lambda folder: MATRIX,
    "npy": lambda folder: folder / "X.npy",
    "memmap": lambda folder: np.load(folder / "X.npy", mmap_mode="r"),
    "h5ad": lambda folder: folder / "cells.h5ad",
    "zarr": lambda folder: str(folder / "cells.zarr"),
    "anndata": lambda folder: anndata.read_h5ad(folder / "cells.h5ad"),
    "backed": lambda folder: anndata.read_h5ad(folder / "cells.h5ad", backed="r"),
    "sparse dataset": lambda folder: anndata.io.sparse_dataset(
        zarr.open_group(folder / "cells.zarr", mode="r")["X"]
    ),
    "dense h5": lambda folder: h5py.File(folder / "cells.h5ad")["layers/dense"],
    "dense zarr": lambda folder: zarr.open_group(folder / "cells.zarr", mode="r")[
        "layers/dense"
    ],
    "dask": lambda folder: dask.array.from_array(DENSE, chunks=(10, 4)),
    "sparse dask": lambda folder: dask.array.from_array(
        DENSE, chunks=(10, 13)
    ).map_blocks(sparse.csr_matrix),
    "parquet": lambda folder: folder / "genes.parquet",
    "dask frame": lambda folder: dask.dataframe.from_pandas(
        pd.DataFrame(DENSE, columns=NAMES), npartitions=4, sort=False
    ),
    "dask parquet": lambda folder: dask.dataframe.read_parquet(
        folder / "genes.parquet", split_row_groups=True
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with the same matrix in several files."""
    folder = tmp_path_factory.mktemp("files")
    cells = anndata.AnnData(MATRIX, var=pd.DataFrame(index=NAMES))
    cells.layers["dense"] = DENSE
    cells.layers["by gene"] = MATRIX.tocsc()
    cells.write_h5ad(folder / "cells.h5ad")
    group = zarr.open_group(folder / "cells.zarr", mode="w", zarr_format=2)
    anndata.io.write_elem(group, "/", cells)
    frame = pd.DataFrame(DENSE, columns=NAMES)
    frame.to_parquet(folder / "genes.parquet", row_group_size=20)
    target = pd.Categorical(["a"] * len(frame))
    frame.assign(target=target).to_parquet(folder / "target.parquet")
    np.save(folder / "X.npy", DENSE)
    return folder


def as_array(block):
    return block.toarray() if sparse.issparse(block) else block


@pytest.mark.parametrize("block_size", [None, 1, 7, 57, 100])
@pytest.mark.parametrize("name", SOURCES)
def test_blocks_are_the_matrix(name, block_size, folder, monkeypatch):
    monkeypatch.setattr(_sources, "BLOCK_ENTRIES", 64)
    blocks = open_blocks(SOURCES[name](folder), block_size=block_size)
    assert (blocks.shape, blocks.dtype) == (DENSE.shape, np.float32)
    for _ in range(2):
        starts, parts = zip(*blocks, strict=True)
        sizes = [part.shape[0] for part in parts]
        assert_array_equal(starts, np.cumsum(sizes) - sizes)
        assert max(sizes) <= (block_size or 20)
        assert_array_equal(np.concatenate([as_array(part) for part in parts]), DENSE)
    assert blocks.n_passes == 2
    columns = [0, 4, 12]
    assert_array_equal(as_array(blocks.take_columns(columns)), DENSE[:, columns])


@pytest.mark.parametrize("name", ["zarr", "parquet", "dask"])
def test_rows_are_left_out(name, folder):
    blocks = open_blocks(SOURCES[name](folder), block_size=5)
    rows = np.random.default_rng(0).random(57) < 0.5
    rows[10:20] = False
    part = blocks.take_rows(rows)
    parts = [as_array(block) for _, block in part]
    assert_array_equal(np.concatenate(parts), DENSE[rows])
    assert_array_equal(as_array(part.take_columns([2, 3])), DENSE[rows][:, [2, 3]])
    assert part.shape == (np.count_nonzero(rows), 13)


def test_names_layers_and_columns(folder):
    for name in ("h5ad", "zarr", "backed", "parquet"):
        assert_array_equal(open_blocks(SOURCES[name](folder)).feature_names, NAMES)
    layer = open_blocks(folder / "cells.zarr", layer="dense")
    assert not sparse.issparse(next(iter(layer))[1])
    stored = folder / "target.parquet"
    for source in (stored, dask.dataframe.read_parquet(stored)):
        part = open_blocks(source, columns=["gene3", "gene1"])
        assert_array_equal(part.take_columns([0, 1]), DENSE[:, [3, 1]])
        assert_array_equal(part.feature_names, ["gene3", "gene1"])


def test_columns_of_dask_dataframes_become_floats():
    """Partitions may be empty, and columns those of pandas that know missing values."""
    table = pd.DataFrame({"a": [1, 2, 3, 4], "b": [True, False, True, True]})
    table["c"] = pd.array([1, 2, None, 4], dtype="Int16")
    table["d"] = ["x", "y", "x", "y"]
    frame = dask.dataframe.from_pandas(table, npartitions=2)
    frame = frame[frame["a"] > 2]
    blocks = open_blocks(frame, columns=["c", "b", "a"])
    assert (blocks.shape, blocks.dtype) == ((2, 3), np.float64)
    expected = [[np.nan, 1.0, 3.0], [4.0, 1.0, 4.0]]
    assert_array_equal(blocks.take_columns([0, 1, 2]), expected)
    assert_array_equal(blocks.take_columns([1]), [[1.0], [1.0]])


def test_stored_chunks_are_read_once(tmp_path):
    """Blocks that end within a chunk do not make the next one read it again."""

    class Counting:
        dtype, shape, chunks = np.dtype(np.float32), (1000,), (100,)

        def __getitem__(self, places):
            read.append((places.start, places.stop))
            return values[places]

    values, read = np.arange(1000, dtype=np.float32), []
    bounds = np.array([0, 30, 30, 250, 600, 601, 990, 1000])
    parts = list(_sources._slices(Counting(), bounds))
    assert [len(part) for part in parts] == np.diff(bounds).tolist()
    assert_array_equal(np.concatenate(parts), values)
    assert read == [(0, 100), (100, 300), (300, 600), (600, 700), (700, 1000)]


TABLE = pd.DataFrame(np.ones((4, 3)), columns=list("abc"))
FRAME, REPEATED = (
    dask.dataframe.from_pandas(part, npartitions=2)
    for part in (TABLE, TABLE.set_axis(list("aab"), axis=1))
)


@pytest.mark.parametrize(
    ("source", "options", "error", "message"),
    [
        ("csr", {"block_size": 0}, ValueError, "block_size must be a number of rows"),
        ("csr", {"layer": "dense"}, ValueError, "layer is for an AnnData only"),
        ("h5ad", {"layer": "no"}, ValueError, "layer must be one of the layers"),
        ("h5ad", {"layer": "by gene"}, ValueError, "source must be stored by row"),
        ("zarr", {"columns": ["a"]}, ValueError, "columns is for Parquet files and"),
        ("dask frame", {"columns": ["Gene_1"]}, ValueError, "did you mean 'gene1'"),
        ("parquet", {"columns": ["Gene_1"]}, ValueError, "did you mean 'gene1'"),
        (FRAME, {"columns": []}, ValueError, "columns must name at least one column"),
        (REPEATED, {}, ValueError, "different names"),
        (FRAME["a"], {}, ValueError, "source must"),
        (3, {}, TypeError, "source must be a file, an AnnData"),
        ("target.parquet", {}, ValueError, "columns must hold numbers, got 'target'"),
        ("cells.csv", {}, ValueError, "source must end in .h5ad"),
        ("missing.zarr", {}, FileNotFoundError, "There is no file .*missing.zarr'"),
        (MATRIX.tocsc(), {}, ValueError, "source must be stored by row"),
        (np.zeros(3), {}, ValueError, "source must have rows and columns"),
        (np.zeros((2, 2), dtype=complex), {}, ValueError, "must hold real numbers"),
    ],
)
def test_unsuitable_sources_are_refused(source, options, error, message, folder):
    if isinstance(source, str):
        source = SOURCES[source](folder) if source in SOURCES else folder / source
    with pytest.raises(error, match=message):
        open_blocks(source, **options)


def test_entries_beyond_the_columns_are_refused():
    """They would be read from foreign memory by the products."""
    broken = sparse.csr_array((np.ones(1), [5], [0, 1]), shape=(1, 6))
    broken.indices[0] = 99
    with pytest.raises(ValueError, match="entries beyond its 6 columns"):
        list(open_blocks(broken))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((None, (2, 3)), TypeError, "make_blocks must be a function"),
        ((list, (2, 3, 4)), ValueError, "shape must be a number of rows"),
        ((list, (2, 3), float, ["a"]), ValueError, "feature_names must be 3 names"),
        ((list, (2, 3), float, None, 1), TypeError, "read_columns must be a function"),
    ],
)
def test_unsuitable_factory_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        RowBlocks(*arguments)


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([np.zeros((3, 2))], "Each block of X must have 4 columns"),
        ([np.zeros(4)], "Each block of X must have 4 columns"),
        ([np.zeros((3, 4))], "3 rows together"),
        ([np.zeros((9, 4))], "9 rows together"),
    ],
)
def test_wrong_blocks_are_refused(blocks, message):
    with pytest.raises(ValueError, match=message):
        list(RowBlocks(lambda: iter(blocks), (6, 4)))


def test_errors_of_the_source_are_passed_on():
    def fail():
        yield np.zeros((3, 4))
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(RowBlocks(fail, (6, 4)))


def test_blocks_of_other_kinds_are_converted():
    """Integers, CSC and empty blocks; what is not contiguous is copied."""
    parts = [
        np.ones((2, 3), dtype=np.int8),
        np.empty((0, 3)),
        sparse.csc_array(np.ones((2, 3), dtype=np.float32)),
        np.ones((4, 6))[::2, ::2],
    ]
    blocks = RowBlocks(lambda: iter(parts), (6, 3), np.int8)
    found = list(blocks)
    assert [start for start, _ in found] == [0, 2, 4]
    assert all(block.dtype == np.float64 for _, block in found)
    assert found[1][1].format == "csr"
    assert_array_equal(blocks.take_columns([0, 2]).toarray(), np.ones((6, 2)))
