"""Expression matrices: in memory or in a file, dense or sparse."""

import numbers
import warnings

import numpy as np
from scipy import sparse
from sklearn.preprocessing import StandardScaler
from sklearn.utils.sparsefuncs import inplace_column_scale

from skproj.anndata._groups import join_or_none, read_column
from skproj.blocks import open_blocks
from skproj.blocks._passes import join_rows
from skproj.utils._features import FEATURE_PARAMETERS, by_index, in_order, of_columns

# Genes of a file that is stored by gene that are read at once.
MAX_BLOCK_GENES = 256

# Whole numbers up to this need not be counts: presence, or the dose of an allele.
MAX_CODE_VALUE = 2
N_CHECKED_VALUES = 100_000


def check_adata(adata):
    """Refuse objects other than AnnData, and views of an object in a file."""
    if not all(hasattr(adata, name) for name in ("obs", "var", "layers", "uns")):
        raise TypeError(f"adata must be an AnnData, got {type(adata).__name__}.")
    if adata.isbacked and adata.is_view:
        raise ValueError(
            "adata is a view of an object in a file, which would be read as a whole: "
            "pass the object itself, with mask_var for some genes and NaN as the "
            "label of cells to leave out, or call to_memory() first."
        )


def check_gene_names(adata):
    if not adata.var_names.is_unique:
        repeated = adata.var_names[adata.var_names.duplicated()].unique()
        raise ValueError(
            f"adata.var_names must be unique, but repeats {join_or_none(repeated)}: "
            "call adata.var_names_make_unique() first."
        )


def choose_matrix(adata, layer):
    """Return `adata.X` or a layer, and its name in messages."""
    if layer is None:
        matrix, name = adata.X, "adata.X"
        if matrix is None:
            raise ValueError(
                "adata.X is None; choose a layer, which are "
                f"{join_or_none(list(adata.layers))}."
            )
    elif layer in adata.layers:
        matrix, name = adata.layers[layer], f"adata.layers[{layer!r}]"
    else:
        raise ValueError(
            f"layer={layer!r} is not in adata.layers, which has "
            f"{join_or_none(list(adata.layers))}."
        )
    if np.dtype(matrix.dtype).kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers, got dtype {matrix.dtype}.")
    return matrix, name


def read_log_base(adata):
    """Return the base of the logarithms that scanpy has noted, None if it is e."""
    try:
        base = adata.uns["log1p"]["base"]
    except (KeyError, TypeError):  # not noted
        return None
    if base is None or (isinstance(base, numbers.Real) and base > 0):
        return base
    raise ValueError(
        f"adata.uns['log1p']['base'] must be a positive number or None, got {base!r}."
    )


def choose_genes(adata, mask_var):
    if mask_var is None:
        return np.arange(adata.n_vars)
    genes = np.flatnonzero(_read_mask(adata, mask_var, "mask_var"))
    if len(genes) == 0:
        raise ValueError(f"{_source(mask_var, 'mask_var')} keeps no gene.")
    return genes


def choose_parameters(adata, parameters, genes, mask_var):
    """Return the parameters on genes, which are about all, for the `genes` considered.

    They may be columns of `adata.var`, too. What is None is left out.
    """
    given = {k: v for k, v in parameters.items() if k in FEATURE_PARAMETERS}
    for name in [name for name, value in given.items() if isinstance(value, str)]:
        if name.endswith("keep"):
            given[name] = _read_mask(adata, given[name], name)
            continue
        column = read_column(adata.var, given[name], name, "adata.var")
        if name == "feature_groups":  # genes without a label have no group
            column = column.groupby(column, observed=True).indices
        given[name] = column
    indexed = by_index(given, adata.n_vars, adata.var_names)
    outside = np.setdiff1d(indexed["always_keep"] or [], genes).astype(int)
    if len(outside):
        raise ValueError(
            f"always_keep has the genes {join_or_none(adata.var_names[outside])}, "
            f"which {_source(mask_var, 'mask_var')} leaves out."
        )
    chosen = of_columns(indexed, genes)
    return {name: value for name, value in chosen.items() if value is not None}


def _read_mask(adata, mask, parameter):
    """Return a mask of all genes, which may be the name of a column of `adata.var`."""
    source = _source(mask, parameter)
    if isinstance(mask, str):
        mask = read_column(adata.var, mask, parameter, "adata.var").to_numpy()
    mask = in_order(mask, adata.n_vars, adata.var_names, source)
    if mask.dtype != bool or mask.shape != (adata.n_vars,):
        raise ValueError(
            f"{source} must be {adata.n_vars} booleans, one for each gene and none of "
            f"them missing, got an array of shape {mask.shape} and dtype {mask.dtype}."
        )
    return mask


def _source(mask, parameter):
    """Return what a mask is called in messages."""
    return f"adata.var[{mask!r}]" if isinstance(mask, str) else parameter


def read(matrix, cells, genes):
    """Return some cells and genes of a matrix as floating-point numbers in memory.

    The matrix may be an array or sparse, also one of h5py, zarr, dask or anndata. The
    rows and columns are increasing. The result has the format and, if it is float32 or
    float64, the precision of the matrix, which it may be itself.
    """
    if isinstance(matrix, np.ndarray) or sparse.issparse(matrix):
        return pick(matrix, cells, genes)
    if getattr(matrix, "format", None) == "csc":  # in a file, where rows are scattered
        ends = range(MAX_BLOCK_GENES, len(genes), MAX_BLOCK_GENES)
        blocks = (matrix[:, part] for part in np.split(genes, ends))
        parts = [pick(block, cells, range(block.shape[1])) for block in blocks]
        return sparse.hstack(parts, format="csc")
    wanted, parts = np.zeros(matrix.shape[0], dtype=bool), []
    wanted[cells] = True
    for start, block in open_blocks(matrix):
        inside = np.flatnonzero(wanted[start : start + block.shape[0]])
        parts.append(pick(block, inside, genes, matrix.dtype))
    return join_rows(parts)


def pick(matrix, cells, genes, dtype=None):
    """Return some rows and columns; the matrix itself if these are all, in memory.

    Numbers that are not float32 or float64, by `dtype` or else by the matrix, become
    float32.
    """
    dtype = np.dtype(dtype or matrix.dtype)
    if hasattr(matrix, "compute"):  # dask returns only a plan
        matrix = matrix.compute()
    if len(cells) < matrix.shape[0]:
        matrix = matrix[cells]
    if len(genes) < matrix.shape[1]:
        matrix = matrix[:, genes]
    return matrix.astype(dtype if dtype.char in "fd" else np.float32, copy=False)


def read_finite(matrix, name, cells, genes, gene_names):
    """Return what `read` does, and refuse missing values by the genes they are in."""
    X = read(matrix, cells, genes)
    values = stored_values(X)
    with np.errstate(invalid="ignore", over="ignore"):  # the sentence below says it
        # A sum shows most often at once, without further memory, that all is well.
        if np.isfinite(values.sum()) or np.isfinite(values).all():
            return X
        bad = np.flatnonzero(~np.isfinite(np.asarray(X.sum(axis=0)).ravel()))
    raise ValueError(
        f"{name} has NaN or infinite values in the genes "
        f"{join_or_none(gene_names[genes[bad]])}: impute them, or leave the genes out "
        "by mask_var."
    )


def warn_of_counts(X, name, *, stacklevel):
    sample = stored_values(X)[:N_CHECKED_VALUES]
    if len(sample) == 0 or sample.min() < 0 or sample.max() <= MAX_CODE_VALUE:
        return
    if (sample == sample.round()).all():
        warnings.warn(
            f"{name} looks like raw counts: whole numbers up to {sample.max():.0f}. "
            "Normalise the cells to the same total and take logarithms first.",
            UserWarning,
            stacklevel=stacklevel + 1,
        )


def stored_values(X):
    """Return the values of a matrix one after the other; of a sparse one, not zeros."""
    return X.data if sparse.issparse(X) else X.reshape(-1)


def scale_of_genes(X):
    """Return the standard deviation of each gene, 1 for constant ones."""
    return StandardScaler(with_mean=False).fit(X).scale_


def divide_genes(X, scale):
    """Return X with each gene divided by a number; sparse data stay sparse."""
    X = X.copy()
    if sparse.issparse(X):
        inplace_column_scale(X, 1.0 / scale)
    else:
        X /= scale
    return X


def means_of_groups(X, codes, n_codes):
    """Return the mean of each gene over the cells of each code; NaN without cells.

    It has shape (n_codes, n_genes), in double precision.
    """
    entries = np.ones(len(codes)), (codes, np.arange(len(codes)))
    sums = sparse.csr_array(entries, shape=(n_codes, len(codes))) @ X
    sums = sums.toarray() if sparse.issparse(sums) else sums
    with np.errstate(invalid="ignore"):
        return sums / np.bincount(codes, minlength=n_codes)[:, np.newaxis]


def compare_groups(X, codes, reference=None):
    """Return the means in each group, and those that they are compared with.

    Both have shape (n_groups, n_genes). The second ones are of the other cells, or of
    the group with the code `reference`.
    """
    sizes = np.bincount(codes)[:, np.newaxis]
    means = means_of_groups(X, codes, len(sizes))
    if reference is not None:
        return means, np.broadcast_to(means[reference], means.shape)
    return means, ((sizes * means).sum(axis=0) - sizes * means) / (len(codes) - sizes)
