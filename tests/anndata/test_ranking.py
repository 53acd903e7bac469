"""The ranking of select_features is one that scanpy reads."""

import re

import anndata
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata_helpers import BOTH_METHODS, QUICK

from skproj.anndata import select_features

COLUMNS = ["names", "scores", "logfoldchanges", "pvals", "pvals_adj"]


@pytest.fixture(autouse=True)
def hidden_figures():
    shown, sc.settings.autoshow = sc.settings.autoshow, False
    yield
    sc.settings.autoshow = shown
    plt.close("all")


def table_of(adata, **settings):
    return sc.get.rank_genes_groups_df(adata, key="skproj", **settings)


def assert_fold_changes_are_those_of_scanpy(adata, reference):
    sc.tl.rank_genes_groups(
        adata, "type", reference=reference, method="t-test", use_raw=False
    )
    for group in adata.uns["skproj"]["names"].dtype.names:
        ours = table_of(adata, group=group).set_index("names")["logfoldchanges"]
        theirs = sc.get.rank_genes_groups_df(adata, group=group).set_index("names")
        np.testing.assert_allclose(
            ours, theirs.loc[ours.index, "logfoldchanges"], rtol=1e-3, atol=1e-5
        )


@BOTH_METHODS
def test_table_has_all_selected_genes_of_each_group(small, settings):
    select_features(small, "type", **settings)
    groups = list(small.uns["skproj"]["groups"])
    assert table_of(small, group=None)["group"].cat.categories.tolist() == groups
    for place, group in enumerate(groups):
        table = table_of(small, group=group)
        assert list(table.columns) == COLUMNS
        assert set(table["names"]) == set(small.var_names[small.var["skproj_selected"]])
        assert table["scores"].is_monotonic_decreasing
        differences = pd.Series(
            small.varm["skproj_difference"][:, place], small.var_names
        )
        np.testing.assert_allclose(
            table["scores"], differences[table["names"]], rtol=1e-5
        )
        assert table[["pvals", "pvals_adj"]].isna().all(axis=None)


@pytest.mark.parametrize("base", [None, 2])
def test_fold_changes_are_those_of_scanpy(small, base):
    small.obs["type"] = small.obs["type"].astype("category")
    small.uns["log1p"] = {"base": base}
    select_features(small, "type", **QUICK)
    assert_fold_changes_are_those_of_scanpy(small, "rest")
    select_features(small, "type", reference="CD19+ B", **QUICK)
    assert_fold_changes_are_those_of_scanpy(small, "CD19+ B")


def test_reference_changes_the_ranking_only(small):
    select_features(small, "type", key_added="rest", **QUICK)
    select_features(small, "type", reference="CD19+ B", **QUICK)
    np.testing.assert_array_equal(small.var["skproj_score"], small.var["rest_score"])
    ranking = small.uns["skproj"]
    assert ranking["names"].dtype.names == ("CD14+ Monocyte", "CD8+ Cytotoxic T")
    assert ranking["params"]["reference"] == "CD19+ B"
    X = small.X.toarray().astype(float)
    group, other = (
        X[small.obs["type"] == name] for name in ("CD8+ Cytotoxic T", "CD19+ B")
    )
    expected = (group.mean(axis=0) - other.mean(axis=0)) / X.std(axis=0)
    places = small.var_names.get_indexer(ranking["names"]["CD8+ Cytotoxic T"])
    np.testing.assert_allclose(
        ranking["scores"]["CD8+ Cytotoxic T"], expected[places], rtol=1e-5
    )


@pytest.mark.filterwarnings("ignore:The set_bad function:PendingDeprecationWarning")
@pytest.mark.parametrize("in_file", [False, True])
def test_scanpy_draws_the_results(small, in_file, tmp_path):
    select_features(small, "type", **QUICK)
    if in_file:
        small.write_h5ad(tmp_path / "small.h5ad")
        small = anndata.read_h5ad(tmp_path / "small.h5ad")
    axes = sc.pl.rank_genes_groups(small, key="skproj", n_genes=4)
    assert [ax.get_title() for ax in axes] == [
        f"{name} vs. rest" for name in small.uns["skproj"]["groups"]
    ]
    assert axes[1].texts[0].get_text() == "CD79A"
    settings = {"key": "skproj", "n_genes": 2, "dendrogram": False}
    axes = sc.pl.rank_genes_groups_dotplot(small, **settings)
    drawn = [text.get_text() for text in axes["mainplot_ax"].get_xticklabels()]
    expected = [
        small.uns["skproj"]["names"][g][:2] for g in small.uns["skproj"]["groups"]
    ]
    assert drawn == np.concatenate(expected).tolist()
    assert "heatmap_ax" in sc.pl.rank_genes_groups_heatmap(small, **settings)
    panel = small[:, small.var["skproj_selected"]].copy()
    for values in ("logfoldchanges", "scores"):
        sc.pl.rank_genes_groups_dotplot(panel, values_to_plot=values, **settings)
    ax = sc.pl.embedding(small, basis="skproj", color="type")
    assert len(ax.collections[0].get_offsets()) == small.n_obs


def test_map_shows_the_logits(small):
    """Two principal components; the rest of the variance is small for three groups."""
    select_features(small, "type", **QUICK)
    plane, logits = small.obsm["X_skproj"], small.obsm["skproj_logits"]
    assert plane.shape == (small.n_obs, 2)
    centred = logits - logits.mean(axis=0)
    leading = np.linalg.svd(centred, compute_uv=False)[:2]
    np.testing.assert_allclose(np.linalg.norm(plane, axis=0), leading, rtol=1e-4)
    select_features(small, "type", groups=["CD19+ B", "CD14+ Monocyte"], **QUICK)
    assert small.obsm["X_skproj"].shape == (small.n_obs, 2)


def test_scaled_data_have_no_fold_changes(small):
    X = small.X.toarray()
    small.X = (X - X.mean(axis=0)) * 3
    select_features(small, "type", **QUICK)
    table = table_of(small, group="CD19+ B")
    assert np.isfinite(table["scores"]).all()
    assert table["logfoldchanges"].isna().any()


@pytest.mark.parametrize(("verbosity", "n_lines"), [(1, 0), (2, 2), (3, 15)])
def test_verbosity_of_scanpy_is_heard(small, verbosity, n_lines, capsys):
    before = sc.settings.verbosity
    sc.settings.verbosity = verbosity
    sc.settings.logfile = ""
    try:
        select_features(small, "type", **QUICK)
    finally:
        sc.settings.verbosity = before
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == n_lines
    if lines:
        assert lines[0] == "selecting genes for 3 groups of 'type'"
        assert re.search(r" \(\d+:\d\d:\d\d\)$", lines[-1])
    assert ("    .obsm['X_skproj']" in lines) == (verbosity == 3)
