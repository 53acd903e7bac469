"""Results of a selection in an AnnData object: writing, table and plot."""

import numpy as np

from skproj.anndata._docs import DOCS
from skproj.utils._docs import shared_docs
from skproj.utils._optional import import_optional

OBS_COLUMNS = ("label", "confidence")
VAR_COLUMNS = ("selected", "score", "selection_frequency")
VARM_KEYS = ("difference", "coef")


def check_inputs_stay(key, groupby, batch_key, mask_var):
    """Refuse results that would take the place of a column that they come from."""
    written = {
        "groupby": (groupby, OBS_COLUMNS),
        "batch_key": (batch_key, OBS_COLUMNS),
        "mask_var": (mask_var, VAR_COLUMNS),
    }
    for parameter, (column, names) in written.items():
        if isinstance(column, str) and column in [f"{key}_{name}" for name in names]:
            raise ValueError(
                f"key_added={key!r} would overwrite {parameter}={column!r}: choose "
                "another one."
            )


def write_results(adata, key, *, var, varm, obs, latent, uns):
    """Write the results of a selection, in place of earlier ones of the same key.

    The dicts `var`, `varm` and `obs` hold columns, without the key in their names.
    """
    for name in VARM_KEYS:  # not every method has all of them
        adata.varm.pop(f"{key}_{name}", None)
    for name, column in var.items():
        adata.var[f"{key}_{name}"] = column
    for name, columns in varm.items():
        adata.varm[f"{key}_{name}"] = columns
    for name, column in obs.items():
        adata.obs[f"{key}_{name}"] = column
    adata.obsm[f"X_{key}"] = latent
    adata.uns[key] = uns


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
        "group", the group in which the gene exceeds the other cells the most, and
        "difference", by how many standard deviations it does so.

    {no_results}

    See Also
    --------
    select_features : Makes these results, and explains them.

    References
    ----------
    {scanpy}

    Examples
    --------
    {example}
    >>> skproj.anndata.select_features(adata, "type", n_genes=3)
    >>> table = skproj.anndata.selected_df(adata)
    >>> table.shape
    (3, 4)
    >>> list(table.columns)
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
    if all_genes:
        table = table[table["score"].notna()]
    else:
        table = table[table["selected"]].drop(columns="selected")
    return table.sort_values("score", ascending=False, kind="stable")


@shared_docs(**DOCS)
def plot_selected(adata, *, key="skproj", n_genes=20, ax=None):
    """Draw the selected genes with the largest scores.

    Parameters
    ----------
    {adata_key}
    n_genes : int, default=20
        Largest number of genes to draw.
    ax : matplotlib Axes, default=None
        Where to draw; None makes a new figure.

    Returns
    -------
    display : SupportDisplay
        The plot, with the axes in `ax_`, the figure in `figure_`, and the numbers.

    {no_results}

    See Also
    --------
    selected_df : The same as a table.

    References
    ----------
    {scanpy}

    Examples
    --------
    {example}
    >>> skproj.anndata.select_features(adata, "type", n_genes=3)
    >>> display = skproj.anndata.plot_selected(adata)
    >>> len(display.bars_)
    3
    """
    from skproj.inspection import SupportDisplay

    table = selected_df(adata, key=key, all_genes=True)
    display = SupportDisplay(
        importances=table["score"],
        support=table["selected"],
        feature_names=table.index,
        importance_name=f"score ({adata.uns[key]['params']['groupby']})",
    )
    return display.plot(ax, max_features=n_genes)


def _check_key(adata, key):
    """Refuse an object without the results of a selection."""
    if key not in adata.uns or f"{key}_score" not in adata.var:
        raise ValueError(
            f"adata has no results under key={key!r}: call "
            "skproj.anndata.select_features first, or give its key_added as key."
        )
