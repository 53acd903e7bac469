"""Parts of docstrings that the functions for AnnData objects share."""

DOCS = {
    "adata_key": """
    adata : AnnData
        Cells and genes with the results of :func:`select_features`.
    key : str, default="skproj"
        The `key_added` of that function.
    """,
    "no_results": """
    Raises
    ------
    ValueError
        If `adata` has no results of that name.
    """,
    "scanpy": """
    References
    ----------
    .. [1] F. A. Wolf, P. Angerer, F. J. Theis, "SCANPY: large-scale single-cell gene
       expression data analysis", Genome Biology 19(15), 2018,
       :doi:`10.1186/s13059-017-1382-0`: the conventions followed here.
    """,
    "example": """
    Examples
    --------
    >>> import anndata
    >>> import numpy as np
    >>> import skproj.anndata
    >>> from skproj.datasets import make_omics
    >>> X, y = make_omics(
    ...     200, 100, n_markers=5, counts=False, random_state=0, return_X_y=True
    ... )
    >>> adata = anndata.AnnData(X, obs={"type": np.array(["B", "NK", "T"])[y]})
    """,
}
