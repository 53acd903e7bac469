"""Ranking of the selected genes in each group, in the layout of scanpy."""

import numpy as np

from skproj.utils._optional import import_optional

# Added to both sides of a ratio of expressions, one of which may be zero.
SMALLEST_EXPRESSION = 1e-9

DTYPES = {
    "names": object,
    "scores": np.float32,
    "logfoldchanges": np.float32,
    "pvals": np.float64,
    "pvals_adj": np.float64,
}


def rank_in_groups(group_names, gene_names, differences, fold_changes, of_group):
    """Return the columns that the functions of scanpy for rankings read.

    Parameters
    ----------
    group_names : sequence of str
        The groups to rank for.
    gene_names : ndarray of shape (n_genes,)
    differences, fold_changes : ndarray of shape (n_groups, n_genes)
        Scores, and changes in logarithms to the base 2.
    of_group : ndarray of bool of shape (n_groups, n_genes)
        The genes to list for a group, as many for each.

    Returns
    -------
    columns : dict of str to recarray
        A field for each group, with the genes of the largest scores first. There are
        no tests, hence no p-values: they are NaN.
    """
    pandas = import_optional("pandas", extra="anndata")
    tables = {name: {} for name in DTYPES}
    for group, name in enumerate(group_names):
        genes = np.flatnonzero(of_group[group])
        genes = genes[np.argsort(-differences[group, genes], kind="stable")]
        tables["names"][name] = gene_names[genes]
        tables["scores"][name] = differences[group, genes]
        tables["logfoldchanges"][name] = fold_changes[group, genes]
        for column in ("pvals", "pvals_adj"):
            tables[column][name] = np.full(len(genes), np.nan)
    return {
        column: pandas.DataFrame(table).to_records(
            index=False, column_dtypes=DTYPES[column]
        )
        for column, table in tables.items()
    }


def log_fold_changes(means, others, log_base):
    """Return the logarithms to the base 2 of the ratios of two mean expressions.

    The means are of logarithms of one plus the expression, to the base `log_base`, or
    natural ones if it is None. Where they are not, as in scaled data, the result may be
    NaN.
    """
    factor = 1.0 if log_base is None else np.log(log_base)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        expression, other = (
            np.expm1(logs * factor) + SMALLEST_EXPRESSION for logs in (means, others)
        )
        return np.log2(expression / other)
