"""Cells of the tests of the AnnData functions."""

import importlib.util
import warnings
from pathlib import Path

import anndata
import pytest


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
