"""Selection of the genes that tell groups of cells apart."""

from types import SimpleNamespace

import numpy as np

from skproj._version import __version__
from skproj.anndata._batches import BatchCorrection
from skproj.anndata._describe import describe
from skproj.anndata._docs import DOCS
from skproj.anndata._groups import choose_groups, join_or_none, make_folds, read_groups
from skproj.anndata._log import log_info
from skproj.anndata._matrix import (
    check_adata,
    check_gene_names,
    choose_genes,
    choose_matrix,
    choose_parameters,
    read_finite,
    read_log_base,
    warn_of_counts,
)
from skproj.anndata._methods import METHODS, LinearOfGroups, check_radius
from skproj.anndata._results import check_inputs_stay, write_results
from skproj.linear_model._feature_structure import make_structure
from skproj.utils._choices import check_choice, check_integer
from skproj.utils._docs import shared_docs

# Arguments that are noted in the results.
NOTED = (
    *("groupby", "groups", "reference", "method", "eta"),
    *("n_genes", "n_genes_per_group", "min_genes_per_group"),
    *("layer", "mask_var", "cv", "batch_key", "donor_key", "random_state"),
)


@shared_docs(**DOCS)
def select_features(
    adata,
    groupby,
    *,
    groups="all",
    reference="rest",
    method="linear",
    eta="cv",
    n_genes=None,
    n_genes_per_group=None,
    min_genes_per_group=None,
    layer=None,
    mask_var=None,
    cv=5,
    batch_key=None,
    donor_key=None,
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
    groups : "all" or sequence, default="all"
        The groups to tell apart. Cells of other groups count as cells without a label,
        except for a single group, which is told from all the others if `reference` is
        "rest". They are then a group "rest" in the results.
    reference : str, default="rest"
        The group that the ranking in `adata.uns` compares the others with. It takes
        part even if it is not in `groups`. "rest" compares each group with all other
        cells.
    method : {"linear", "autoencoder"}, default="linear"
        "linear" is :class:`~skproj.feature_selection.ProjectionFeatureSelector`,
        "autoencoder" is :class:`~skproj.nn.SparseSupervisedAutoencoder`, which takes
        longer and finds genes that matter only jointly.
    eta : "cv" or float, default="cv"
        Radius of the projection ball; smaller is sparser; not a learning rate. "cv"
        chooses it by cross-validation: the smallest one that keeps 90 % of what the
        best one gains over no genes, or another `keep_gain`; with
        ``method="autoencoder"`` the smallest one that is at most one standard error
        worse than the best.
    n_genes : int, default=None
        Number of genes to select for all groups together; then no radius is chosen.
    n_genes_per_group : int, default=None
        Number of genes to select for each group. A model for each group then tells it
        from the `reference`; a gene may be selected for several groups. Only for the
        linear method.
    min_genes_per_group : int, default=None
        Least number of selected genes for each group, genes in which it exceeds the
        other cells the most: the radius that "cv" has chosen is enlarged until there
        are so many. Only for the linear method.
    layer : str, default=None
        Layer to use instead of `adata.X`. Of `adata.raw`, which may have other genes,
        make an AnnData by ``adata.raw.to_adata()``.
    mask_var : str or array-like of bool of shape (n_vars,), default=None
        The genes to choose from, or the column of `adata.var` that says which, such as
        "highly_variable". None stands for all. A Series is read by the names of genes.
    cv : int, default=5
        Number of folds. They choose the radius, and give the selection frequencies and
        the predictions of cells that the model has not seen.
    batch_key : str, default=None
        Column of `adata.obs` with a batch to correct for: the mean of the batch is
        subtracted from each gene, which makes the data dense.
    donor_key : str, default=None
        Column of `adata.obs` with the donor or patient, or another unit whose cells
        are held back together. None splits the cells at random.
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
        dict from groups to weights, or ``keep_gain=0.9`` of the search.
        `always_keep`, `never_keep`, `feature_groups` and `feature_weights` are about
        the genes of `adata.var`, by name or place, whatever `mask_var`, or columns of
        it: masks, labels of groups (missing for genes without a group), or weights.

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
        ``adata.varm["skproj_detected"]`` : ndarray of shape (n_vars, n_groups)
            Share of the cells of a group in which a selected gene is above zero; NaN
            where data have negative values, and for other genes.
        ``adata.varm["skproj_detected_rest"]`` : ndarray of shape (n_vars, n_groups)
            The same for the other cells.
        ``adata.varm["skproj_coef"]`` : ndarray of shape (n_vars, n_groups)
            Only with ``method="linear"``: coefficients for genes of unit variance; NaN
            for genes that are not selected.
        ``adata.obs["skproj_label"]`` : category
            Predicted group. Cells with a label are predicted by the fold that has not
            seen them, others by the fit to all.
        ``adata.obs["skproj_confidence"]`` : float
            Probability of that group, calibrated on the predictions of the folds.
        ``adata.obsm["skproj_logits"]`` : ndarray of shape (n_obs, n_groups)
            Logits of the groups in the fit to all cells with a label. These cells look
            better separated than new ones would.
        ``adata.obsm["X_skproj"]`` : ndarray of shape (n_obs, 2)
            The two principal components of these logits, to be drawn.
        ``adata.uns["skproj"]`` : dict
            The names of the groups in the order of these columns, "eta", "n_selected",
            "accuracy" and "balanced_accuracy" of the predictions of the folds,
            "temperature", "cv_results" of the search, "params" and "version".
            The ranking of the selected genes in each group but the reference, as scanpy
            reads it [3]_: "names", "scores", the difference of the mean from that of
            the reference in standard deviations, and "logfoldchanges", to the base 2.
            "pvals" and "pvals_adj" are NaN, because nothing is tested.

    Raises
    ------
    TypeError
        If `adata` is not an AnnData object, or a parameter is unknown.
    ValueError
        If a name is not in `adata`, if there are fewer than two groups or a group has
        fewer cells than `cv`, if no radius gives each group `min_genes_per_group`, if
        values are missing, if names of genes repeat, if no gene is selected, or if
        another argument is unsuitable. Nothing is written then.

    Warns
    -----
    UserWarning
        If the data look like raw counts, or fewer genes are selected than asked for.

    See Also
    --------
    selected_df : The selected genes as a table.
    skproj.blocks.open_blocks : For data that do not fit into memory.
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

    The mean of a batch is that of its cells that take part, whatever their group, or
    of all its cells if none takes part. If the batches have the groups in very unlike
    shares, the correction takes some of the difference between the groups with it.

    A model of a single group and its reference has a logit for this group only. With
    `n_genes_per_group`, these are the logits, and zero that of the reference.

    Progress is shown in lines if scanpy has been imported, from
    ``scanpy.settings.verbosity = 2`` on.

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
    .. [3] F. A. Wolf, P. Angerer, F. J. Theis, "SCANPY: large-scale single-cell gene
       expression data analysis", Genome Biology 19(15), 2018,
       :doi:`10.1186/s13059-017-1382-0`.

    {example}
    >>> skproj.anndata.select_features(adata, "type", n_genes=5)
    >>> adata.var["skproj_selected"].sum()
    np.int64(5)
    >>> list(adata.obs.columns)
    ['type', 'skproj_label', 'skproj_confidence']
    >>> adata.uns["skproj"]["names"].dtype.names
    ('B', 'NK', 'T')
    """
    given = locals()
    check_adata(adata)
    _check_arguments(given)
    check_gene_names(adata)
    chosen, code = choose_groups(read_groups(adata, groupby), groups, reference)
    folds = make_folds(
        adata, chosen, cv=cv, donor_key=donor_key, random_state=random_state
    )
    genes = choose_genes(adata, mask_var)
    matrix = choose_matrix(adata, layer)
    labelled = np.flatnonzero(chosen.has_label)
    codes = chosen.codes[labelled]
    batches = BatchCorrection(adata, batch_key)
    batches.check_groups(labelled, codes)
    log_base = read_log_base(adata)
    structure = choose_parameters(adata, parameters, genes, mask_var)
    n_free = make_structure(len(genes), **structure).n_in_ball
    radius = check_radius(eta, n_genes, n_genes_per_group, n_free)
    model = _make_method(
        METHODS[method] if n_genes_per_group is None else LinearOfGroups,
        parameters | structure,
        chosen,
        radius,
        reference=code,
        min_genes=min_genes_per_group,
        random_state=int(random_state),
        n_jobs=n_jobs,
    )

    start = log_info(f"selecting genes for {len(chosen.names)} groups of {groupby!r}")
    X = read_finite(*matrix, labelled, genes, adata.var_names)
    warn_of_counts(X, matrix[1], stacklevel=2)
    X = batches.fit_correct(X, labelled)
    selection = model.select(X, codes, folds, radius)
    del X  # of the whole object, only the selected genes are needed
    selected = genes[selection.selected]
    expression = read_finite(*matrix, np.arange(adata.n_obs), selected, adata.var_names)
    X = batches.correct(expression, selection.selected)
    results = describe(selection, chosen, code, X, expression, genes, log_base, adata)
    recipe = getattr(selection.recipe, "selector", selection.recipe)
    recipe.set_params(**{name: parameters[name] for name in structure})  # as given
    results["uns"]["params"] = {
        **{name: given[name] for name in NOTED},
        "use_raw": False,  # which functions of scanpy ask for
        "groups": groups if isinstance(groups, str) else [str(x) for x in groups],
        "reference": "rest" if code is None else str(reference),
        "mask_var": mask_var if mask_var is None else str(mask_var),
        "estimator": " ".join(repr(selection.recipe).split()),
    }
    results["uns"]["version"] = __version__
    adata = adata.copy() if copy else adata
    places = write_results(adata, key_added, results)
    log_info("    finished", since=start, details="\n    ".join(["added", *places]))
    return adata if copy else None


def _check_arguments(given):
    """Refuse arguments that can be judged without the data."""
    a = SimpleNamespace(**given)
    check_choice("method", a.method, METHODS)
    if a.n_genes_per_group is not None and a.method != "linear":
        raise ValueError(
            f'n_genes_per_group needs method="linear", got method={a.method!r}.'
        )
    check_integer("cv", a.cv, least=2)
    check_integer("random_state", a.random_state, least=0)
    if not isinstance(a.key_added, str) or not a.key_added or "/" in a.key_added:
        raise ValueError(
            f"key_added must be a name without a slash, got {a.key_added!r}."
        )
    if a.copy and a.adata.isbacked:
        raise ValueError(
            "copy=True would read a whole file into memory: use to_memory() first, or "
            "copy=False, which does not change the file."
        )
    of_obs = {name: given[name] for name in ("groupby", "batch_key", "donor_key")}
    check_inputs_stay(a.key_added, of_obs, {"mask_var": a.mask_var, **a.parameters})


def _make_method(cls, parameters, groups, radius, *, min_genes, **settings):
    """Return the `Method` of this class, once its parameters are checked."""
    if min_genes is not None:
        check_integer("min_genes_per_group", min_genes, least=1)
        if cls is not METHODS["linear"] or radius is not None:
            raise ValueError(
                'min_genes_per_group needs method="linear" and eta="cv", which chooses '
                "the number of genes."
            )
    if radius is None:
        parameters = cls.search_defaults | parameters
    if isinstance(parameters.get("class_weight"), dict):
        weights = _weights_of_codes(parameters["class_weight"], groups)
        parameters = {**parameters, "class_weight": weights}
    method = cls(parameters, min_genes=min_genes, **settings)
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
