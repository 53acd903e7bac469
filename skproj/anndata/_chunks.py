"""Cells and their labels, part by part."""

import contextlib
import os

import numpy as np
from scipy import sparse
from sklearn.utils import check_random_state

from skproj.anndata._docs import DOCS
from skproj.anndata._groups import read_groups
from skproj.anndata._matrix import (
    check_adata,
    choose_genes,
    choose_matrix,
    is_stored_by_gene,
    pick,
)
from skproj.utils._choices import check_integer
from skproj.utils._docs import shared_docs
from skproj.utils._optional import import_optional

# Neighbours in the file that stay together in random order: reading cell by cell is
# slow, and chunks of neighbours only may have a single group.
SHUFFLE_BLOCK_CELLS = 32


@shared_docs(**DOCS)
def iter_chunks(
    adata,
    groupby,
    *,
    layer=None,
    mask_var=None,
    chunk_size=1024,
    shuffle=False,
    random_state=0,
):
    """Iterate over cells and their labels, part by part.

    For data that do not fit into memory: feed the parts to the `partial_fit` of an
    estimator.

    Parameters
    ----------
    adata : AnnData, str or path-like
        Cells and genes [1]_, in memory, in backed mode, or a file with the ending
        .h5ad.
    groupby : str
        Column of `adata.obs` with the labels. Cells whose label is missing are left
        out.
    layer : str, default=None
        Layer to use instead of `adata.X`. In backed mode the layers are in memory.
    mask_var : str or array-like of bool of shape (n_vars,), default=None
        The genes to read, or the column of `adata.var` that says which. None stands
        for all.
    chunk_size : int, default=1024
        Number of cells to read at once.
    shuffle : bool, default=False
        Whether to mix the cells: each part is made of groups of 32 neighbours from all
        over the data. Use it for training if cells of a group are neighbours.
    random_state : int, RandomState instance or None, default=0
        Seed of the order if `shuffle`; use another number for each epoch.

    Returns
    -------
    chunks : iterator of tuple
        Expression `X`, an array or a sparse matrix, float32 or float64, of shape
        (n_chunk_cells, n_genes), and the labels `y` of shape (n_chunk_cells,).

    Raises
    ------
    TypeError
        If `adata` is neither an AnnData nor a path.
    ValueError
        If a name is not in `adata`, another argument is unsuitable, or the file is
        stored by gene (CSC), so that cells cannot be read from it.

    See Also
    --------
    select_features : For data that fit into memory.

    References
    ----------
    .. [1] I. Virshup, S. Rybakov, F. J. Theis, P. Angerer, F. A. Wolf, "anndata:
       Access and store annotated data matrices", Journal of Open Source Software
       9(101), 2024, :doi:`10.21105/joss.04371`.

    {example}
    >>> from skproj import SparseSupervisedAutoencoder
    >>> model = SparseSupervisedAutoencoder(eta=2.0, random_state=0)
    >>> for epoch in range(3):
    ...     for X, y in skproj.anndata.iter_chunks(
    ...         adata, "type", chunk_size=64, shuffle=True, random_state=epoch
    ...     ):
    ...         model = model.partial_fit(X, y, classes=["B", "NK", "T"])
    >>> model.get_support().shape
    (100,)
    """
    check_integer("chunk_size", chunk_size, least=1)
    random_state = check_random_state(random_state)
    with contextlib.ExitStack() as opened:
        if isinstance(adata, str | os.PathLike):
            anndata = import_optional("anndata", extra="anndata")
            adata = anndata.read_h5ad(adata, backed="r")
            opened.callback(adata.file.close)
        check_adata(adata)
        groups = read_groups(adata, groupby)
        genes = choose_genes(adata, mask_var)
        matrix, name = choose_matrix(adata, layer)
        if is_stored_by_gene(matrix):
            raise ValueError(
                f"{name} is stored by gene (CSC), so cells cannot be read from the "
                "file: write it in CSR format."
            )
        chunks = _make_chunks(
            adata.n_obs, chunk_size, random_state if shuffle else None
        )
        return _read_chunks(opened.pop_all(), matrix, groups, genes, chunks)


def _make_chunks(n_cells, chunk_size, random_state):
    """Return the slices of neighbouring cells that each chunk is made of."""
    if random_state is None:
        starts, n_blocks, size = np.arange(0, n_cells, chunk_size), 1, chunk_size
    else:
        size = min(SHUFFLE_BLOCK_CELLS, chunk_size)
        starts = random_state.permutation(np.arange(0, n_cells, size))
        n_blocks = chunk_size // size
    slices = [slice(start, min(start + size, n_cells)) for start in starts]
    return [slices[i : i + n_blocks] for i in range(0, len(slices), n_blocks)]


def _read_chunks(opened, matrix, groups, genes, chunks):
    """Yield the chunks, and close what was opened for them."""
    values = groups.values
    with opened:
        for blocks in chunks:
            parts, y = [], []
            for block in blocks:
                inside = np.flatnonzero(groups.has_label[block])
                if len(inside) > 0:
                    parts.append(pick(matrix[block], inside, genes))
                    y.append(values[groups.codes[block][inside]])
            if parts:
                # In the format of the matrix.
                stack = sparse.vstack if sparse.issparse(parts[0]) else np.concatenate
                yield stack(parts), np.concatenate(y)
