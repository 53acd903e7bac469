"""Matrix factorisations with sparse factors."""

from skproj.decomposition._group_sparse_nmf import GroupSparseNMF

__all__ = ["GroupSparseNMF"]
