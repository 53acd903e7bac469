"""Results of a selection in an AnnData object: writing, table and plot."""

import numpy as np

from skproj.anndata._describe import DETECTED
from skproj.anndata._docs import DOCS
from skproj.anndata._dots import draw_dots
from skproj.anndata._groups import REST, keep_groups, merge_others, read_groups
from skproj.anndata._matrix import choose_matrix, means_of_groups, read, stored_values
from skproj.utils._choices import check_integer
from skproj.utils._docs import shared_docs
from skproj.utils._optional import import_optional

OBS_COLUMNS = ("label", "confidence")
VAR_COLUMNS = ("selected", "score", "selection_frequency")
VARM_KEYS = ("difference", "coef", *DETECTED)


def check_inputs_stay(key, of_obs, of_var):
    """Refuse results that would take the place of a column that they come from.

    The dicts have parameters that may be columns of `adata.obs`, and of `adata.var`.
    """
    for given, names in ((of_obs, OBS_COLUMNS), (of_var, VAR_COLUMNS)):
        written = [f"{key}_{name}" for name in names]
        for parameter, column in given.items():
            if isinstance(column, str) and column in written:
                raise ValueError(
                    f"key_added={key!r} would overwrite {parameter}={column!r}: choose "
                    "another one."
                )


def write_results(adata, key, results):
    """Write the results of `describe`, in place of earlier ones of the same key.

    Returns their places in `adata`, a list of str.
    """
    for name in VARM_KEYS:  # not every method has all of them
        adata.varm.pop(f"{key}_{name}", None)
    places = []
    for kind, table in (("var", adata.var), ("varm", adata.varm), ("obs", adata.obs)):
        for name, columns in results[kind].items():
            table[f"{key}_{name}"] = columns
            places.append(f".{kind}['{key}_{name}']")
    adata.obsm[f"{key}_logits"] = results["logits"]
    adata.obsm[f"X_{key}"] = results["plane"]
    adata.uns[key] = results["uns"]
    return [*places, f".obsm['{key}_logits']", f".obsm['X_{key}']", f".uns[{key!r}]"]


@shared_docs(**DOCS)
def selected_df(adata, *, key="skproj", all_genes=False):
    """Return the selected genes as a table.

    Parameters
    ----------
    {adata_key}
    all_genes : bool, default=False
        Whether to list all genes that could have been selected.

    Returns
    -------
    table : pandas.DataFrame
        One row for each gene, indexed by its name, the largest score first, with the
        columns "selected" (only with `all_genes`), "score", "selection_frequency",
        "group", the group in which the gene exceeds the other cells the most,
        "difference", by how many standard deviations it does so, and "pct_nz_group"
        and "pct_nz_reference", the shares of the cells of the group and of the others
        in which it is above zero, named as in scanpy.

    {no_results}

    See Also
    --------
    select_features : Makes these results, and explains them.

    {scanpy}

    {example}
    >>> skproj.anndata.select_features(adata, "type", n_genes=3)
    >>> table = skproj.anndata.selected_df(adata)
    >>> table.shape
    (3, 6)
    >>> list(table.columns)[:4]
    ['score', 'selection_frequency', 'group', 'difference']
    """
    pandas = import_optional("pandas", extra="anndata")
    _check_key(adata, key)
    table = adata.var[[f"{key}_{name}" for name in VAR_COLUMNS]].set_axis(
        VAR_COLUMNS, axis=1
    )
    differences = np.asarray(adata.varm[f"{key}_difference"])
    table["group"] = pandas.Categorical.from_codes(
        np.where(table["selected"], differences.argmax(axis=1), -1),
        categories=adata.uns[key]["groups"],
    )
    table["difference"] = differences.max(axis=1)
    place = differences.argmax(axis=1)
    for name, column in zip(DETECTED, ("group", "reference"), strict=True):
        shares = np.asarray(adata.varm[f"{key}_{name}"])
        table[f"pct_nz_{column}"] = shares[np.arange(len(shares)), place]
    if all_genes:
        table = table[table["score"].notna()]
    else:
        table = table[table["selected"]].drop(columns="selected")
    return table.sort_values("score", ascending=False, kind="stable")


@shared_docs(**DOCS)
def plot_selected(adata, *, key="skproj", n_genes=20, ax=None):
    """Draw the expression of the selected genes in the groups.

    The area of a dot is the share of cells that express the gene, its colour their mean
    expression. Genes stand beside others of the same group, in which they exceed the
    other cells the most. The bars above are the scores.

    Parameters
    ----------
    {adata_key}
    n_genes : int, default=20
        Largest number of genes to draw: those with the largest scores. The label of
        the axis says if there are more.
    ax : matplotlib Axes, default=None
        Where to draw; None makes a new figure, which has the bars as well.

    Returns
    -------
    ax : matplotlib Axes
        The axes with the dots.

    {no_results}
        Also if its expression or labels are not there any more, or `n_genes` is not a
        positive integer.

    See Also
    --------
    selected_df : The scores as a table.
    skproj.inspection.SupportDisplay : Plot of the scores alone.

    Notes
    -----
    Data with negative values, which are scaled, have no share of cells that express a
    gene; all dots have the same area then.

    {scanpy}

    {example}
    >>> skproj.anndata.select_features(adata, "type", n_genes=3)
    >>> ax = skproj.anndata.plot_selected(adata)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['B', 'NK', 'T']
    """
    check_integer("n_genes", n_genes, least=1)
    table = selected_df(adata, key=key).head(n_genes)
    table = table.sort_values(["group", "score"], ascending=[True, False])
    results = adata.uns[key]
    params, names = results["params"], results["groups"]
    groups = read_groups(adata, params["groupby"])
    if params["reference"] == REST and list(params["groups"]) == [names[0]]:
        groups = merge_others(groups, names[0])
    groups = keep_groups(groups, names)
    if len(groups.names) == 0 or len(table) == 0:
        raise ValueError(
            f"adata has no cells of the groups, or no genes, of key={key!r}: it must "
            "have some of those that select_features had."
        )
    matrix, _ = choose_matrix(adata, params["layer"])
    genes = adata.var_names.get_indexer(table.index)
    order = np.argsort(genes)
    X = read(matrix, np.flatnonzero(groups.has_label), genes[order])
    codes = groups.codes[groups.has_label]
    place = np.argsort(order)
    n_groups, shares = len(groups.names), None
    means = means_of_groups(X, codes, n_groups)[:, place]
    if stored_values(X).min(initial=0) >= 0:
        expressed = (X > 0).astype(np.float32)
        shares = means_of_groups(expressed, codes, n_groups)[:, place]
    ax = draw_dots(
        ax, means, shares, table["score"].to_numpy(), table.index, groups.names
    )
    if len(table) < results["n_selected"]:
        ax.set_xlabel(f"{len(table)} of {results['n_selected']} selected genes")
    if len(groups.names) < len(results["groups"]):
        ax.set_ylabel(f"{len(groups.names)} of {len(results['groups'])} groups")
    return ax


def _check_key(adata, key):
    if key not in adata.uns or f"{key}_score" not in adata.var:
        raise ValueError(
            f"adata has no results under key={key!r}: call "
            "skproj.anndata.select_features first, or give its key_added as key."
        )
