"""Selection of the genes that tell groups of cells apart."""

import numpy as np
from scipy import sparse
from scipy.special import softmax
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from skproj._version import __version__
from skproj.anndata._docs import DOCS
from skproj.anndata._groups import join_or_none, make_folds, read_groups
from skproj.anndata._matrix import (
    check_adata,
    check_finite,
    check_integer,
    choose_genes,
    choose_matrix,
    read,
    scale_of_genes,
    warn_of_counts,
)
from skproj.anndata._methods import METHODS, check_radius
from skproj.anndata._results import check_inputs_stay, write_results
from skproj.utils._calibration import fit_temperature
from skproj.utils._docs import shared_docs


@shared_docs(**DOCS)
def select_features(
    adata,
    groupby,
    *,
    method="linear",
    eta="cv",
    n_genes=None,
    layer=None,
    use_raw=False,
    mask_var=None,
    cv=5,
    batch_key=None,
    key_added="skproj",
    random_state=0,
    n_jobs=None,
    copy=False,
    **parameters,
):
    r"""Select the genes that together tell groups of cells apart.

    A classifier of the groups is fitted whose weights are projected onto a ball, so
    that it uses few genes [1]_. Unlike a gene-by-gene test, it drops genes that are
    redundant given the others.

    Parameters
    ----------
    adata : AnnData
        Cells and genes [2]_, log-normalised. Sparse matrices stay sparse. Of an object
        in backed mode, the cells with a label and the genes of `mask_var` are read
        part by part, and have to fit into memory.
    groupby : str
        Column of `adata.obs` with the groups. Cells whose label is missing take no part
        in the fit, but get predictions.
    method : {"linear", "autoencoder"}, default="linear"
        "linear" is :class:`~skproj.feature_selection.ProjectionFeatureSelector`,
        "autoencoder" is :class:`~skproj.nn.SparseSupervisedAutoencoder`, which takes
        longer and finds genes that matter only jointly.
    eta : "cv" or float, default="cv"
        Radius of the projection ball; smaller is sparser; not a learning rate. "cv"
        chooses it by cross-validation: the smallest one that is at most one standard
        error worse than the best.
    n_genes : int, default=None
        Number of genes to select; then no radius is chosen.
    layer : str, default=None
        Layer to use instead of `adata.X`.
    use_raw : bool, default=False
        Only False is possible: `adata.raw` may have other genes than `adata.var`, where
        the results go.
    mask_var : str or array-like of bool of shape (n_vars,), default=None
        The genes to choose from, or the column of `adata.var` that says which, such as
        "highly_variable". None stands for all.
    cv : int, default=5
        Number of folds. They choose the radius, and give the selection frequencies and
        the predictions of cells that the model has not seen.
    batch_key : str, default=None
        Column of `adata.obs`, such as the donor; cells of a batch are held back
        together. None splits them at random.
    key_added : str, default="skproj"
        Prefix of the names of the results.
    random_state : int, default=0
        Seed of the folds and of the network.
    n_jobs : int, default=None
        Number of folds to work on in parallel, as in joblib; None means 1. It does not
        change the result.
    copy : bool, default=False
        Whether to return a copy with the results, and leave `adata` as it is.
    **parameters : dict
        Further parameters of the estimator, such as ``class_weight="balanced"`` or a
        dict from groups to weights, or ``selection_rule="best"`` of the search.

    Returns
    -------
    adata : AnnData or None
        None, unless `copy`. These fields are set:

        ``adata.var["skproj_selected"]`` : bool
            Whether a gene is selected.
        ``adata.var["skproj_score"]`` : float
            Norm of its weights, zero if it is not selected, NaN if it was not among
            those to choose from.
        ``adata.var["skproj_selection_frequency"]`` : float
            Fraction of the folds that select it, with the radius or number of genes
            of the result.
        ``adata.varm["skproj_difference"]`` : ndarray of shape (n_vars, n_groups)
            Mean in a group minus mean of the other cells, in standard deviations; NaN
            for genes that are not selected. It describes the genes and is not a
            result of the model.
        ``adata.varm["skproj_coef"]`` : ndarray of shape (n_vars, n_groups)
            Only with ``method="linear"``: coefficients for genes of unit variance; NaN
            for genes that are not selected.
        ``adata.obs["skproj_label"]`` : category
            Predicted group. Cells with a label are predicted by the fold that has not
            seen them, others by the fit to all.
        ``adata.obs["skproj_confidence"]`` : float
            Probability of that group, calibrated on the predictions of the folds.
        ``adata.obsm["X_skproj"]`` : ndarray of shape (n_obs, n_groups)
            Logits of the groups in the fit to all cells with a label. These cells look
            better separated than new ones would.
        ``adata.uns["skproj"]`` : dict
            The names of the groups in the order of these columns, "eta", "n_selected",
            "accuracy" and "balanced_accuracy" of the predictions of the folds,
            "temperature", "cv_results" of the search, "params" and "version".

    Raises
    ------
    TypeError
        If `adata` is not an AnnData object, or a parameter is unknown.
    ValueError
        If a name is not in `adata`, if there are fewer than two groups or a group has
        fewer cells than `cv`, if values are missing, if no gene is selected, or if
        another argument is unsuitable. Nothing is written then.

    Warns
    -----
    UserWarning
        If the data look like raw counts, or fewer genes are selected than asked for.

    See Also
    --------
    selected_df : The selected genes as a table.
    iter_chunks : For data that do not fit into memory.
    skproj.feature_selection.StabilitySelector : How reliable a selection is.

    Notes
    -----
    The genes are divided by their standard deviation, and not centred. Where
    ``method="autoencoder"``, it is that of all cells with a label, also in the folds.

    The radius is chosen by the folds that the accuracy is measured with, so that
    it is slightly optimistic with ``eta="cv"``. For a number to report, hold cells, or
    better donors, back from the whole function: give them no label.

    A selected gene need not differ more between the groups than one that is not, and
    scores are not test statistics.

    An object in backed mode gets its results in memory; they are in the file after
    `adata.write_h5ad`.

    References
    ----------
    .. [1] M. Barlaud, W. Belhajali, P. L. Combettes, L. Fillatre, "Classification and
       regression using an outer approximation projection-gradient method", IEEE
       Transactions on Signal Processing 65(17), 2017, :arxiv:`1506.02196`.
    .. [2] I. Virshup, S. Rybakov, F. J. Theis, P. Angerer, F. A. Wolf, "anndata:
       Access and store annotated data matrices", Journal of Open Source Software
       9(101), 2024, :doi:`10.21105/joss.04371`.

    Examples
    --------
    {example}
    >>> skproj.anndata.select_features(adata, "type", n_genes=5)
    >>> adata.var["skproj_selected"].sum()
    np.int64(5)
    >>> list(adata.obs.columns)
    ['type', 'skproj_label', 'skproj_confidence']
    """
    check_adata(adata)
    _check_arguments(adata, method, use_raw, cv, key_added, random_state, copy)
    check_inputs_stay(key_added, groupby, batch_key, mask_var)
    groups = read_groups(adata, groupby)
    folds = make_folds(
        adata, groups, cv=cv, batch_key=batch_key, random_state=random_state
    )
    genes = choose_genes(adata, mask_var)
    matrix, matrix_name = choose_matrix(adata, layer)
    radius = check_radius(eta, n_genes, len(genes))
    model = _make_method(method, parameters, groups, radius, random_state, n_jobs)

    labelled = np.flatnonzero(groups.has_label)
    codes = groups.codes[labelled]
    X = read(matrix, labelled, genes)
    check_finite(X, matrix_name, adata.var_names[genes])
    warn_of_counts(X, matrix_name, stacklevel=2)
    selection = model.select(X, codes, folds, radius)
    del X  # of the whole object, only the selected genes are needed
    genes_selected = genes[selection.selected]
    X = read(matrix, np.arange(adata.n_obs), genes_selected)
    check_finite(X, matrix_name, adata.var_names[genes_selected])

    latent = selection.logits(X)
    logits = latent.astype(np.float64)
    logits[labelled] = selection.fold_logits
    predicted = logits.argmax(axis=1)
    temperature = _temperature(selection.fold_logits, codes)
    var, varm = _describe_genes(selection, X[labelled], codes, genes, adata.n_vars)
    uns = {
        "groups": groups.names,
        "temperature": temperature,
        **_describe_model(selection, codes, predicted[labelled]),
        "params": {
            "groupby": groupby,
            "method": method,
            "eta": eta,
            "n_genes": n_genes,
            "layer": layer,
            "mask_var": mask_var if mask_var is None else str(mask_var),
            "cv": cv,
            "batch_key": batch_key,
            "random_state": random_state,
            "estimator": " ".join(repr(selection.recipe).split()),
        },
        "version": __version__,
    }
    adata = adata.copy() if copy else adata
    write_results(
        adata,
        key_added,
        var=var,
        varm=varm,
        obs={
            "label": groups.as_column(predicted),
            "confidence": softmax(logits / temperature, axis=1).max(axis=1),
        },
        latent=latent,
        uns=uns,
    )
    return adata if copy else None


def _check_arguments(adata, method, use_raw, cv, key_added, random_state, copy):
    """Refuse arguments that can be judged without the data."""
    if use_raw is not False:
        raise ValueError(
            "use_raw must be False: adata.raw may have other genes than adata.var, "
            "where the results go; make a layer of it, or an AnnData by "
            "adata.raw.to_adata()."
        )
    if method not in METHODS:
        raise ValueError(f"method must be one of {list(METHODS)}, got {method!r}.")
    check_integer(cv, "cv", least=2)
    check_integer(random_state, "random_state", least=0)
    if not isinstance(key_added, str) or not key_added or "/" in key_added:
        raise ValueError(
            f"key_added must be a name without a slash, got {key_added!r}."
        )
    if copy and adata.isbacked:
        raise ValueError(
            "copy=True would read a whole file into memory: use to_memory() first, or "
            "copy=False, which does not change the file."
        )


def _make_method(name, parameters, groups, radius, random_state, n_jobs):
    """Return the `Method` of this name, once its parameters are checked."""
    if radius is None:
        parameters = {"selection_rule": "one-standard-error", **parameters}
    if isinstance(parameters.get("class_weight"), dict):
        weights = _weights_of_codes(parameters["class_weight"], groups)
        parameters = {**parameters, "class_weight": weights}
    method = METHODS[name](parameters, random_state=int(random_state), n_jobs=n_jobs)
    method.check_parameters(searches=radius is None)
    return method


def _weights_of_codes(class_weight, groups):
    """Return the weights of groups, by their codes instead of their names."""
    values = groups.values.tolist()
    unknown = [value for value in class_weight if value not in values]
    if unknown:
        raise ValueError(
            f"class_weight has {join_or_none(unknown)}, and groupby={groups.name!r} "
            f"no such group with cells; the groups are {join_or_none(values)}."
        )
    return {code: class_weight.get(value, 1.0) for code, value in enumerate(values)}


def _temperature(logits, codes):
    """Return the temperature that calibrates the logits of the folds."""
    known = np.isfinite(logits[np.arange(len(codes)), codes])
    if not known.any():
        return 1.0
    return fit_temperature(logits[known], codes[known], np.ones(known.sum()))


def _describe_model(selection, codes, predicted):
    """Return the results that are single values or tables, for `uns`."""
    results = {
        "eta": float(selection.model.eta_),
        "n_selected": len(selection.selected),
        "accuracy": float(accuracy_score(codes, predicted)),
        "balanced_accuracy": float(balanced_accuracy_score(codes, predicted)),
    }
    table = getattr(selection.model, "cv_results_", None)
    if table is not None:
        results["cv_results"] = {
            name: np.asarray(table[name]) for name in table if name != "params"
        }
    return results


def _describe_genes(selection, X, codes, genes, n_vars):
    """Return the columns of results for all genes, as dicts for `var` and `varm`.

    X has the selected genes of the cells with a label, of shape (n_cells, n_selected).
    `genes` are the places of the genes that were considered.
    """

    def spread(values, places):
        columns = np.full((n_vars, *values.shape[1:]), np.nan)
        columns[places] = values
        return columns

    chosen = genes[selection.selected]
    deviations = scale_of_genes(X)[:, np.newaxis]
    var = {
        "selected": np.isin(np.arange(n_vars), chosen),
        "score": spread(selection.scores, genes),
        "selection_frequency": spread(selection.frequency, genes),
    }
    varm = {"difference": spread(_differences(X, codes) / deviations, chosen)}
    coef = selection.coef()
    if coef is not None:
        varm["coef"] = spread(coef.T * deviations, chosen)
    return var, varm


def _differences(X, codes):
    """Return the mean in each group minus the mean of the other cells.

    It has shape (n_genes, n_groups).
    """
    membership = sparse.csr_array((np.ones(len(codes)), (codes, np.arange(len(codes)))))
    sums = membership @ X
    sums = sums.toarray() if sparse.issparse(sums) else sums
    sizes = np.bincount(codes)[:, np.newaxis]
    others = (sums.sum(axis=0) - sums) / (len(codes) - sizes)
    return (sums / sizes - others).T
