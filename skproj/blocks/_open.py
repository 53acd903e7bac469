"""Blocks of files and of array-likes."""

import os
from functools import partial
from pathlib import Path

import numpy as np
from scipy import sparse

from skproj.blocks._row_blocks import RowBlocks
from skproj.blocks._sources import (
    is_dask,
    is_dask_frame,
    open_array,
    open_compressed,
    open_dask,
    open_dask_frame,
    open_parquet,
)
from skproj.utils._choices import check_integer
from skproj.utils._optional import import_optional

TABLES = "Parquet files and dask dataframes"


def open_blocks(
    source,
    *,
    layer=None,
    columns=None,
    block_size=None,
    column_bytes=None,
    client=None,
):
    """Read a file or an array-like in blocks of rows.

    Parameters
    ----------
    source : str, path-like or array-like
        A file that ends in .h5ad, .zarr (written by anndata), .parquet or .npy; an
        AnnData, in backed mode for instance; a dense array of NumPy, h5py or zarr, a
        memory map, a dask array or dataframe; a CSR matrix, also as anndata's dataset
        of a file; or a `pyarrow.parquet.ParquetFile`.
    layer : str, default=None
        Layer of an AnnData or of its file to read in place of `X`.
    columns : list of str, default=None
        Columns to read of a Parquet file or a dask dataframe, which has the target as
        well. None for all.
    block_size : int, default=None
        Largest number of rows of a block. None for blocks of about a million entries,
        zeros of sparse data not counted. Dask arrays, dask dataframes and Parquet files
        have blocks of their own, their chunks, partitions and row groups, which are
        split if they are larger.
    column_bytes : int, default=None
        Bytes of features in memory; see :class:`RowBlocks`.
    client : distributed.Client, default=None
        Client of a dask cluster, whose workers make the passes of the selectors: each
        reads some rows of the file, which all of them must be able to open under the
        same path, or works on the chunks of the dask array or dataframe that it
        has. The result does not depend on the number of workers. None reads in this
        process.

    Returns
    -------
    blocks : RowBlocks
        The matrix, of dtype float32 or float64. The names of its features are those of
        the genes, or the columns.

    Raises
    ------
    TypeError
        If `source` is not one of these, or `client` is not a client.
    ValueError
        If there is no such layer or column, if the rows cannot be read because the
        source is stored by column (CSC), if `client` is given for a source in the
        memory of this process, or if another argument is unsuitable.

    See Also
    --------
    RowBlocks : Blocks of a source of one's own.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skproj import ProjectionFeatureSelector
    >>> from skproj.blocks import open_blocks
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> blocks = open_blocks(X, block_size=100)
    >>> [start for start, block in blocks]
    [0, 100, 200, 300, 400, 500]
    >>> selector = ProjectionFeatureSelector(eta=1.0).fit(blocks, y)
    >>> selector.get_support(indices=True)
    array([20, 22, 27])
    >>> blocks.take_columns(selector.get_support(indices=True)).shape
    (569, 3)
    """
    if block_size is not None:
        check_integer(
            "block_size", block_size, least=1, valid="a number of rows or None"
        )
    if isinstance(source, RowBlocks):
        raise TypeError("source must not be RowBlocks, which are open already.")
    opened = _open_source(source, layer, columns, block_size)
    blocks = opened.blocks(column_bytes=column_bytes)
    if client is not None:
        from skproj.blocks._cluster import Cluster  # which few selections need

        open_file = None
        if isinstance(source, str | os.PathLike):
            path = os.path.abspath(source)
            open_file = partial(_open_source, path, layer, columns, block_size)
        blocks.cluster = Cluster(client, opened, open_file, block_size)
    return blocks


def _open_source(source, layer, columns, block_size):
    """Return what reads a file or an array-like."""
    if isinstance(source, str | os.PathLike):
        source = _open_file(Path(source))
    if hasattr(source, "iter_batches"):
        _refuse("layer", layer, "an AnnData")
        return open_parquet(source, columns, block_size)
    if is_dask_frame(source):
        _refuse("layer", layer, "an AnnData")
        return open_dask_frame(source, columns, block_size)
    _refuse("columns", columns, TABLES)
    if _is_group(source) and "var" in source:
        return _open_stored_anndata(source, layer, block_size)
    if all(hasattr(source, name) for name in ("obs", "var", "layers", "X")):
        layers = {None: source.X, **source.layers}
        return _open_matrix(_pick_layer(layers, layer), source.var_names, block_size)
    _refuse("layer", layer, "an AnnData")
    return _open_matrix(source, None, block_size)


def _refuse(name, value, owner):
    if value is not None:
        raise ValueError(f"{name} is for {owner} only, got {value!r}.")


def _open_file(path):
    suffix = path.suffix.lower()
    if suffix not in (".h5ad", ".zarr", ".parquet", ".npy"):
        raise ValueError(
            "source must end in .h5ad, .zarr, .parquet or .npy if it is a file, got "
            f"{str(path)!r}."
        )
    if not path.exists():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    if suffix == ".h5ad":
        return import_optional("h5py", extra="anndata").File(path, "r")
    if suffix == ".zarr":
        return import_optional("zarr", extra="anndata").open_group(path, mode="r")
    if suffix == ".parquet":
        parquet = import_optional("pyarrow.parquet", extra="cli")
        # A buffer would hold all row groups, not one after another.
        return parquet.ParquetFile(path, pre_buffer=False)
    return np.load(path, mmap_mode="r")


def _is_group(source):
    """Whether a source is a group of an HDF5 file or of a zarr store."""
    return hasattr(source, "attrs") and hasattr(source, "require_group")


def _open_stored_anndata(group, layer, block_size):
    layers = {None: group["X"]} if "X" in group else {}
    if "layers" in group:
        layers |= {name: group["layers"][name] for name in group["layers"]}
    var = group["var"]
    names = var[var.attrs["_index"]][:]
    names = [name.decode() if isinstance(name, bytes) else name for name in names]
    return _open_matrix(_pick_layer(layers, layer), names, block_size)


def _pick_layer(layers, layer):
    if layers.get(layer) is None:
        known = ", ".join(repr(name) for name in layers if name is not None) or "none"
        wanted = "X, which is missing" if layer is None else repr(layer)
        raise ValueError(f"layer must be one of the layers ({known}), got {wanted}.")
    return layers[layer]


def _open_matrix(matrix, names, block_size):
    """Return what reads a matrix in memory, in a file or of dask."""
    stored = getattr(matrix, "group", None)  # of anndata's sparse dataset
    if _is_group(stored):
        matrix = stored
    kind = dict(matrix.attrs).get("encoding-type") if _is_group(matrix) else None
    if kind == "csc_matrix" or getattr(matrix, "format", None) in ("csc", "coo"):
        raise ValueError(
            "source must be stored by row to be read in blocks of rows, got one that "
            "is stored by column: write it in CSR format."
        )
    if kind == "csr_matrix" or (sparse.issparse(matrix) and matrix.format == "csr"):
        opened = open_compressed
    elif is_dask(matrix):
        opened = open_dask
    elif all(hasattr(matrix, name) for name in ("shape", "dtype", "__getitem__")):
        opened = open_array
    else:
        raise TypeError(
            "source must be a file, an AnnData, an array or a CSR matrix, got "
            f"{type(matrix).__name__}."
        )
    return opened(matrix, names, block_size)
