"""Sparse tables of single cells, with known markers."""

from __future__ import annotations

import inspect
from typing import Any

from sklearn.utils import Bunch

from skproj._typing import Integer, Number, RandomState
from skproj.datasets._arguments import (
    DOCS,
    check_arguments,
    check_room,
    draw_seed,
    numbered_names,
)
from skproj.datasets._cells_model import CellModel
from skproj.utils._docs import shared_docs

MIN_INTEGERS = {"n_obs": 1, "n_vars": 1, "n_types": 2, "n_markers": 0, "n_batches": 1}
# Smallest and largest value, and which of the two are allowed.
RANGES = {
    "density": (1e-6, 0.9, "both"),
    "effect_size": (0.0, 5.0, "both"),
    "batch_strength": (0.0, 2.0, "both"),
}


@shared_docs(**DOCS)
def make_cells(
    n_obs: Integer = 1000,
    n_vars: Integer = 2000,
    *,
    density: Number = 0.05,
    n_types: Integer = 10,
    n_markers: Integer = 30,
    effect_size: Number = 1.2,
    n_batches: Integer = 4,
    batch_strength: Number = 0.2,
    return_X_y: bool = False,
    random_state: RandomState = None,
) -> Any:
    r"""Draw a sparse table of single cells of several types, with known markers.

    .. math::

        c_{ij} &\sim \text{Poisson}(g_{ij}) \\
        g_{ij} &\sim \text{Gamma}\left(
            \text{shape} = s_i e^{\beta_{t_i j} + \delta_{b_i j}} / \phi, \;
            \text{scale} = \phi \, m_j\right) \\
        x_{ij} &= \log\left(1 + c_{ij} \,
            \frac{\sum_l m_l}{\sum_l c_{il}}\right)

    Cell `i` has the library size :math:`s_i`, the type :math:`t_i` and the batch
    :math:`b_i`; gene `j` has the mean :math:`m_j`, the log fold change
    :math:`\beta_{kj}` in type `k`, which is positive in the type that it marks and
    otherwise zero, and the shift :math:`\delta_{bj}` in batch `b`. The entries
    :math:`x_{ij}` are normalised and ready for a selector. Unlike in
    :func:`make_omics`, the zeros are never drawn nor stored.

    Parameters
    ----------
    n_obs : int, default=1000
        Number of cells. The first rows of a larger table are the same.
    n_vars : int, default=2000
        Number of genes.
    density : float, default=0.05
        Expected share of non-zero entries, from 1e-6 to 0.9.
    n_types : int, default=10
        Number of types of cells, at least 2, which are equally frequent.
    n_markers : int, default=30
        Number of genes that mark each type. No gene marks two.
    effect_size : float, default=1.2
        Mean of the log fold changes (natural logarithm) of the markers, which are
        between a half and one and a half times as large.
    n_batches : int, default=4
        Number of batches, such as donors, which are equally frequent.
    batch_strength : float, default=0.2
        Standard deviation of the shifts of the genes in a batch, on the log scale.
        Ignored if there is one batch.
    {seed_and_bunch}

        data : CSR matrix of shape (n_obs, n_vars)
            The table, of dtype float32.
        target : ndarray of shape (n_obs,)
            Type of each cell, integers from 0.
        support : ndarray of shape (n_vars,)
            Boolean mask of the markers.
        marker_of : ndarray of shape (n_vars,)
            The type that each gene marks, -1 for none.
        fold_change : ndarray of shape (n_vars,)
            Factor of the mean of each marker in its type; 1 for the other genes.
        gene_mean : ndarray of shape (n_vars,)
            The :math:`m_j`.
        batch : ndarray of shape (n_obs,)
            Batch of each cell, integers from 0.
        feature_names : ndarray of shape (n_vars,)
            ``gene0, gene1, ...``, of dtype object.
    {end_of_bunch}
        If an argument is out of its range, or if the types need more than `n_vars`
        markers.

    See Also
    --------
    make_omics : Dense tables of counts, with blocks of correlated genes.

    Notes
    -----
    A count is negative binomial [1]_, with the mean :math:`\mu_{ij} = s_i m_j
    e^{\beta + \delta}` and the variance :math:`\mu_{ij} (1 + \phi m_j)`, where
    :math:`\phi = 0.5`. It is drawn as the sum of a Poisson number of parts with
    logarithmic sizes [2]_: the parts of a cell are drawn together, each with the gene
    to which it belongs, so that time and memory are proportional to the non-zero
    entries. Means and library sizes are log-normal, with standard deviations 1.5 and
    0.3 of the logarithm; the scale of the means is the root of the expected density.
    Markers are drawn from the genes between the median and the 95 % quantile of
    the means, or from more if these are too few.

    The command ``skproj datasets cells`` writes the same tables in blocks of rows.

    {negative_binomial_reference}
    .. [2] A. W. Kemp, "Efficient generation of logarithmically distributed
       pseudo-random variables", Applied Statistics 30(3) (1981),
       :doi:`10.2307/2346348`.

    Examples
    --------
    >>> from skproj.datasets import make_cells
    >>> cells = make_cells(n_obs=500, n_vars=1000, density=0.1, random_state=0)
    >>> cells.data.shape, int(cells.support.sum())
    ((500, 1000), 300)
    >>> round(cells.data.nnz / (500 * 1000), 2)
    0.1
    """
    parameters = dict(locals())
    check_arguments(parameters, {}, {}, booleans=["return_X_y"])
    del parameters["return_X_y"]
    model = make_cell_model(**parameters)
    cells = next(model.blocks(n_obs, n_obs))
    if return_X_y:
        return cells.X, cells.type
    return Bunch(
        data=cells.X,
        target=cells.type,
        support=model.marker_of >= 0,
        marker_of=model.marker_of,
        fold_change=model.fold_change,
        gene_mean=model.gene_mean,
        batch=cells.batch,
        feature_names=numbered_names("gene", n_vars),
        DESCR=inspect.getdoc(make_cells),
    )


def make_cell_model(n_obs, n_vars, *, random_state=None, **options):
    """Check the arguments of `make_cells`, all given, and return their `CellModel`."""
    parameters = {"n_obs": n_obs, "n_vars": n_vars, **options}
    check_arguments(parameters, MIN_INTEGERS, RANGES)
    n_needed = options["n_types"] * options["n_markers"]
    check_room(n_needed, "n_types * n_markers", "n_vars", n_vars)
    return CellModel(n_vars, seed=draw_seed(random_state), **options)
