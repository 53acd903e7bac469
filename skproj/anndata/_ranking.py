"""Ranking of the selected genes in each group, in the layout of scanpy."""

import numpy as np

from skproj.anndata._matrix import compare_groups, scale_of_genes
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


def rank_genes(selection, groups, reference, X, expression, gene_names, log_base):
    """Return the columns that the functions of scanpy for rankings read.

    `X` and `expression` are the selected genes of the cells with a label, as the model
    sees them and as they are. `reference` is the code of the group that the others are
    compared with, which is not ranked itself, or None.

    Returns a dict of recarrays with a field for each group, the genes of the largest
    scores first. There are no tests, hence no p-values: they are NaN.
    """
    pandas = import_optional("pandas", extra="anndata")
    codes = groups.codes[groups.has_label]
    means, others = compare_groups(X, codes, reference)
    differences = (means - others) / scale_of_genes(X)
    as_they_are = compare_groups(expression, codes, reference)
    fold_changes = log_fold_changes(*as_they_are, log_base)
    of_group = selection.of_group(len(groups.names))
    tables = {name: {} for name in DTYPES}
    for group, name in enumerate(groups.names):
        if group == reference:
            continue
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

    The means are of logarithms of one plus the expression. Where they are not, as in
    scaled data, the result may be NaN.
    """
    factor = 1.0 if log_base is None else np.log(log_base)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        expression, other = (
            np.expm1(logs * factor) + SMALLEST_EXPRESSION for logs in (means, others)
        )
        return np.log2(expression / other)
