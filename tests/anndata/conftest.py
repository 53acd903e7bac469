"""Cells, and helpers of the tests of the AnnData functions."""

import importlib.util
import warnings
from pathlib import Path

import anndata
import numpy as np
import pytest
from scipy import sparse

FORMATS = {
    "csr": sparse.csr_matrix,
    "csc": sparse.csc_matrix,
    "dense": sparse.csr_matrix.toarray,
    "csr array": sparse.csr_array,
}


QUICK = {"eta": 2.0, "cv": 2}
QUICK_AUTOENCODER = {
    "method": "autoencoder",
    "n_genes": 10,
    "cv": 2,
    "max_epochs": 10,
    "hidden_layer_sizes": 20,
}


BOTH_METHODS = pytest.mark.parametrize(
    "settings", [QUICK, QUICK_AUTOENCODER], ids=["linear", "autoencoder"]
)


@pytest.fixture(scope="session")
def pbmc_read():
    """Blood cells of ten types, from the wheel of scanpy, with log-normalised X."""
    scanpy = Path(importlib.util.find_spec("scanpy").origin).parent
    with warnings.catch_warnings():  # the file is in an old format
        warnings.simplefilter("ignore", anndata.OldFormatWarning)
        warnings.filterwarnings("ignore", "Moving element", FutureWarning)
        adata = anndata.read_h5ad(scanpy / "datasets" / "10x_pbmc68k_reduced.h5ad")
    return anndata.AnnData(
        adata.raw.X.tocsr(),
        obs=adata.obs[["bulk_labels", "louvain", "phase"]],
        var=adata.var[["highly_variable"]],
    )


@pytest.fixture
def pbmc(pbmc_read):
    return pbmc_read.copy()


@pytest.fixture
def small(pbmc_read):
    """Three of the types and fifty genes, for what does not depend on the data."""
    types = ["CD14+ Monocyte", "CD19+ B", "CD8+ Cytotoxic T"]
    markers = ["CST3", "CD79A", "NKG7", "CD3D"]
    genes = pbmc_read.var_names.isin(markers)
    genes[:46] = True
    adata = pbmc_read[pbmc_read.obs["bulk_labels"].isin(types), genes].copy()
    adata.obs["type"] = adata.obs.pop("bulk_labels").astype(str)
    return adata


def results(adata, key="skproj"):
    """Everything that a selection has written, as arrays by their place."""
    found = {}
    for place in ("obs", "var"):
        table = getattr(adata, place)
        for name in table.columns[table.columns.str.startswith(f"{key}_")]:
            found[place, name] = table[name].to_numpy()
    for name in [name for name in adata.varm if name.startswith(f"{key}_")]:
        found["varm", name] = adata.varm[name]
    found["logits"] = adata.obsm[f"{key}_logits"]
    found["accuracy"] = adata.uns[key]["accuracy"]
    return found


def assert_same_results(one, other, **tolerance):
    one, other = results(one), results(other)
    assert one.keys() == other.keys()
    for name in one:
        if np.asarray(one[name]).dtype.kind == "f":
            np.testing.assert_allclose(
                one[name], other[name], **tolerance, err_msg=str(name)
            )
        else:
            np.testing.assert_array_equal(one[name], other[name], err_msg=str(name))


def written_names(adata):
    return {
        *adata.obs.columns,
        *adata.var.columns,
        *adata.varm,
        *adata.obsm,
        *adata.uns,
    }
