"""iter_chunks: cells and labels, part by part."""

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata_helpers import FORMATS
from scipy import sparse

from skproj import SparseSupervisedAutoencoder
from skproj.anndata import iter_chunks

# Data that do not fit into memory


@pytest.mark.parametrize("layout", ["csr", "dense"])
@pytest.mark.parametrize("shuffle", [False, True])
def test_chunks_have_all_cells_once(small, layout, shuffle, tmp_path):
    small.obs["place"] = np.arange(small.n_obs)
    small.X = FORMATS[layout](small.X)
    small.write_h5ad(tmp_path / "small.h5ad")
    options = {"chunk_size": 70, "shuffle": shuffle, "mask_var": "highly_variable"}
    mask = small.var["highly_variable"].to_numpy()
    expected = sparse.csr_matrix(small.X).toarray()[:, mask]
    backed = anndata.read_h5ad(tmp_path / "small.h5ad", backed="r")
    for source in (small, backed, tmp_path / "small.h5ad"):
        chunks = list(iter_chunks(source, "place", **options))
        assert all(sparse.issparse(X) == (layout == "csr") for X, _ in chunks)
        assert max(len(y) for _, y in chunks) <= 70
        X = np.vstack([sparse.csr_matrix(X).toarray() for X, _ in chunks])
        places = np.concatenate([y for _, y in chunks]).astype(int)
        assert sorted(places) == list(range(small.n_obs))
        assert (np.diff(places) == 1).all() != shuffle
        np.testing.assert_array_equal(X, expected[places])
    backed.file.close()


def test_chunks_leave_out_cells_without_a_label(small):
    small.obs.iloc[:100, small.obs.columns.get_loc("type")] = np.nan
    chunks = list(iter_chunks(small, "type", chunk_size=30))
    labels = np.concatenate([y for _, y in chunks])
    np.testing.assert_array_equal(labels, small.obs["type"].iloc[100:])
    assert sum(X.shape[0] for X, _ in chunks) == small.n_obs - 100


@pytest.mark.parametrize("values", [[True, False, True], [3, 1, 2], ["x", "y", "z"]])
def test_labels_of_chunks_keep_their_type(small, values):
    """Also where some are missing, or all."""
    codes = small.obs["type"].astype("category").cat.codes.to_numpy()
    has_label = np.arange(small.n_obs) % 3 > 0
    expected = np.array(values)[codes]
    small.obs["label"] = pd.Categorical(expected)
    small.obs.loc[~has_label, "label"] = np.nan
    labels = np.concatenate([y for _, y in iter_chunks(small, "label")])
    np.testing.assert_array_equal(labels, expected[has_label])
    if not isinstance(values[0], str):
        assert labels.dtype == expected.dtype
    small.obs["label"] = np.full(small.n_obs, None)
    assert list(iter_chunks(small, "label")) == []


def test_training_by_chunks_learns_sorted_cells(small, tmp_path):
    order = np.argsort(small.obs["type"], kind="stable")
    small[order].copy().write_h5ad(tmp_path / "small.h5ad")
    model = SparseSupervisedAutoencoder(eta=3.0, random_state=0)
    for epoch in range(6):
        chunks = iter_chunks(
            tmp_path / "small.h5ad",
            "type",
            chunk_size=96,
            shuffle=True,
            random_state=epoch,
        )
        for X, y in chunks:
            model.partial_fit(X, y, classes=np.unique(small.obs["type"]))
    assert model.score(small.X, small.obs["type"].astype(str)) > 0.9


def test_chunks_refuse_what_they_cannot_read(small, tmp_path):
    small.X = small.X.tocsc()
    small.write_h5ad(tmp_path / "small.h5ad")
    with pytest.raises(ValueError, match="stored by gene"):
        iter_chunks(tmp_path / "small.h5ad", "type")
    with pytest.raises(ValueError, match="chunk_size must be an integer of at least 1"):
        iter_chunks(small, "type", chunk_size=0)
    with pytest.raises(ValueError, match="groupby='cluster' is not a column"):
        iter_chunks(small, "cluster")
    (X, y), *_ = iter_chunks(small, "type", chunk_size=10)  # in memory it may be CSC
    np.testing.assert_array_equal(X.toarray(), small.X[:10].toarray())
    np.testing.assert_array_equal(y, small.obs["type"][:10])


def test_chunks_close_the_file_that_they_opened(small, tmp_path, monkeypatch):
    path = tmp_path / "small.h5ad"
    small.write_h5ad(path)
    opened = []  # so that no file is closed by the garbage collection

    def read_and_keep(*args, **kwargs):
        opened.append(read_h5ad(*args, **kwargs))
        return opened[-1]

    read_h5ad = anndata.read_h5ad
    monkeypatch.setattr(anndata, "read_h5ad", read_and_keep)
    chunks = iter_chunks(path, "type", chunk_size=50)
    next(chunks)
    assert opened[-1].file.is_open
    chunks.close()
    assert not opened[-1].file.is_open
    list(iter_chunks(path, "type"))
    assert not opened[-1].file.is_open
    with pytest.raises(ValueError, match="groupby='cluster'"):
        iter_chunks(path, "cluster")
    assert not opened[-1].file.is_open
