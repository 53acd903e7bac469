"""Settings of selections of cells, and comparisons of their results."""

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


def assert_same_results(one, other, *, but=(), **tolerance):
    one, other = results(one), results(other)
    assert one.keys() == other.keys()
    for name in one.keys() - {("varm", f"skproj_{name}") for name in but}:
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
