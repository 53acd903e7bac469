"""select_features: matrices, labels and errors."""

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata_helpers import (
    BOTH_METHODS,
    FORMATS,
    QUICK,
    assert_same_results,
    written_names,
)

from skproj.anndata import _matrix, select_features, selected_df
from skproj.blocks import _sources

# Which data are used


def test_format_of_matrix_does_not_matter(small):
    expected = select_features(small, "type", copy=True, **QUICK)
    for make in FORMATS.values():
        other = small.copy()
        other.X = make(small.X)
        select_features(other, "type", **QUICK)
        assert_same_results(expected, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("layout", ["csr", "csc", "dense"])
@BOTH_METHODS
def test_object_in_a_file_gives_the_same(
    small, layout, settings, tmp_path, monkeypatch
):
    monkeypatch.setattr(_sources, "BLOCK_ENTRIES", 100 * small.n_vars)
    monkeypatch.setattr(_matrix, "MAX_BLOCK_GENES", 15)
    small.X = FORMATS[layout](small.X)
    small.obs.iloc[::7, small.obs.columns.get_loc("type")] = np.nan
    small.var["mask"] = np.arange(small.n_vars) % 3 > 0
    small.write_h5ad(tmp_path / "small.h5ad")
    backed = anndata.read_h5ad(tmp_path / "small.h5ad", backed="r")
    select_features(backed, "type", mask_var="mask", **settings)
    assert backed.isbacked
    select_features(small, "type", mask_var="mask", **settings)
    assert_same_results(small, backed, rtol=0)
    with pytest.raises(ValueError, match="copy=True would read a whole file"):
        select_features(backed, "type", copy=True, **settings)
    with pytest.raises(ValueError, match="view of an object in a file"):
        select_features(backed[:50], "type", **settings)
    backed.write_h5ad(tmp_path / "results.h5ad")
    backed.file.close()
    read = anndata.read_h5ad(tmp_path / "results.h5ad")
    assert_same_results(small, read, rtol=0)


def test_layer_is_used_instead_of_X(small):
    expected = select_features(small, "type", copy=True, **QUICK)
    other = small.copy()
    other.layers["logs"] = small.X
    other.X = np.zeros(small.shape, dtype=np.float32)
    select_features(other, "type", layer="logs", **QUICK)
    assert_same_results(expected, other, rtol=0)
    assert other.uns["skproj"]["params"]["layer"] == "logs"


def test_only_genes_of_the_mask_are_considered(pbmc):
    mask = pbmc.var["highly_variable"].to_numpy().copy()
    mask[pbmc.var_names == "CST3"] = False
    pbmc.var["mask"] = mask
    by_name = select_features(pbmc, "bulk_labels", mask_var="mask", copy=True, **QUICK)
    select_features(pbmc, "bulk_labels", mask_var=mask, **QUICK)
    assert_same_results(pbmc, by_name, rtol=0)
    outside = pbmc.var[~mask]
    assert not outside["skproj_selected"].any()
    assert outside["skproj_score"].isna().all()
    assert outside["skproj_selection_frequency"].isna().all()
    assert "CST3" not in selected_df(pbmc, all_genes=True).index
    assert len(selected_df(pbmc, all_genes=True)) == mask.sum()


def test_cells_without_a_label_take_no_part(small):
    unlabelled = np.arange(small.n_obs) % 4 == 0
    small.obs.loc[unlabelled, "type"] = np.nan
    only_labelled = small[~unlabelled].copy()
    select_features(small, "type", **QUICK)
    select_features(only_labelled, "type", **QUICK)
    pd.testing.assert_frame_equal(selected_df(small), selected_df(only_labelled))
    np.testing.assert_array_equal(
        small.obs["skproj_label"][~unlabelled], only_labelled.obs["skproj_label"]
    )
    assert np.isfinite(small.obsm["skproj_logits"]).all()


@pytest.mark.parametrize("batch_key", [None, "batch"])
def test_missing_values_outside_of_the_selection_do_not_matter(small, batch_key):
    """Neither in genes to leave out, nor in unselected genes of cells to predict."""
    unlabelled = np.arange(small.n_obs) % 4 == 0
    small.obs.loc[unlabelled, "type"] = np.nan
    small.obs["batch"] = np.arange(small.n_obs) % 3
    small.X = small.X.toarray()
    settings = {"mask_var": np.arange(small.n_vars) % 2 == 0, "batch_key": batch_key}
    expected = select_features(small, "type", copy=True, **settings, **QUICK)
    small.X[:, ~settings["mask_var"]] = np.nan
    selected = expected.var["skproj_selected"].to_numpy()
    small.X[np.ix_(unlabelled, ~selected)] = np.nan
    select_features(small, "type", **settings, **QUICK)
    assert_same_results(small, expected, rtol=0)


@pytest.mark.parametrize("values", [[True, False, True], [3, 1, 2], ["x", "y", "z"]])
def test_labels_keep_their_type(small, values, tmp_path):
    codes = small.obs["type"].astype("category").cat.codes.to_numpy()
    small.obs["label"] = np.array(values)[codes]
    select_features(small, "label", **QUICK)
    assert (small.obs["skproj_label"] == small.obs["label"]).mean() > 0.8
    small.write_h5ad(tmp_path / "small.h5ad")


def by_name(adata):
    """Return the results of genes and groups in the order of their names."""
    groups = list(adata.uns["skproj"]["groups"])
    tables = [
        pd.DataFrame(adata.varm[f"skproj_{name}"], adata.var_names, groups)
        for name in ("difference", "coef")
    ]
    logits = pd.DataFrame(adata.obsm["skproj_logits"], columns=groups)
    tables = [table.sort_index() for table in (*tables, logits)]
    return [table.sort_index(axis=1) for table in tables], adata.obs["skproj_label"]


def with_categories(adata):
    categories = ["unused", *sorted(set(adata.obs["type"]))[::-1]]
    adata.obs["type"] = pd.Categorical(adata.obs["type"], categories, ordered=True)
    return adata


def with_one_name(adata):
    adata.obs_names = ["cell"] * adata.n_obs
    return adata


@pytest.mark.filterwarnings("ignore:Observation names are not unique")
@pytest.mark.filterwarnings("ignore::anndata.ImplicitModificationWarning")
@pytest.mark.parametrize(
    "change",
    [
        lambda adata: adata[:, ::-1].copy(),
        lambda adata: adata[:, ::-1],
        with_categories,
        with_one_name,
    ],
    ids=["genes", "view", "categories", "cells of one name"],
)
def test_results_are_of_the_right_gene_and_group(small, change):
    """Whatever their order; labels that differ by a space are the user's own."""
    small.obs["type"] = small.obs["type"].replace("CD14+ Monocyte", "CD19+ B ")
    expected, labels = by_name(select_features(small, "type", copy=True, **QUICK))
    changed = change(small)
    select_features(changed, "type", **QUICK)
    found, found_labels = by_name(changed)
    for one, other in zip(expected, found, strict=True):
        pd.testing.assert_frame_equal(one, other, rtol=1e-3, atol=1e-3)
    assert list(found_labels) == list(labels)
    assert {"CD19+ B", "CD19+ B "} < set(labels)


def test_unused_categories_stay(small):
    small.obs["type"] = pd.Categorical(
        small.obs["type"], categories=[*small.obs["type"].unique(), "Platelet"][::-1]
    )
    select_features(small, "type", **QUICK)
    assert (small.obs["skproj_label"] == small.obs["type"]).mean() > 0.8
    assert "Platelet" in small.obs["skproj_label"].cat.categories
    assert "Platelet" not in small.uns["skproj"]["groups"]


def test_raw_counts_are_noticed(small):
    small.layers["counts"] = small.X.copy()
    small.layers["counts"].data = np.expm1(small.X.data).round().astype(np.float32)
    with pytest.warns(UserWarning, match="looks like raw counts") as record:
        select_features(small, "type", layer="counts", **QUICK)
    assert [warning.filename for warning in record] == [__file__]
    small.layers["on"] = (small.X > 0).astype(np.int8)  # not counts: no warning
    select_features(small, "type", layer="on", **QUICK)


# What is refused


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"groupby": "celltype"}, r"groupby='celltype' is not a column.*'type'"),
        ({"groupby": "number"}, "groupby='number' must be a column of labels"),
        ({"groupby": "same"}, "at least two groups of cells; it has only one, 'B'"),
        ({"groupby": "none"}, "at least two groups of cells; it has none"),
        ({"groupby": "rare"}, r"cv=2 needs at least 2 cells .* small are few \(1\)"),
        ({"layer": "counts"}, r"layer='counts' is not in adata.layers, .* 'nan'"),
        ({"layer": "nan"}, r"adata.layers\['nan'\] has NaN .* 'CD79A'"),
        ({"layer": "infinite"}, r"adata.layers\['infinite'\] has .* 'CD79A'"),
        ({"layer": "text"}, r"adata.layers\['text'\] must hold real numbers"),
        ({"mask_var": "variable"}, "mask_var='variable' is not a column of adata.var"),
        ({"mask_var": "number"}, r"adata.var\['number'\] must be 50 booleans"),
        ({"mask_var": np.ones(3, bool)}, "mask_var must be 50 booleans"),
        ({"mask_var": np.zeros(50, bool)}, "mask_var keeps no gene"),
        ({"donor_key": "donor"}, "donor_key='donor' is not a column of adata.obs"),
        (
            {"donor_key": "same"},
            "donor_key='same' must have at least cv=2 different values",
        ),
        ({"donor_key": "none"}, "donor_key='none' has missing values"),
        (
            {"donor_key": "is_b"},
            "donor_key='is_b' leaves a training part with samples of one class",
        ),
        ({"groupby": "skproj_label"}, "key_added='skproj' would overwrite groupby="),
        ({"mask_var": "skproj_selected"}, "would overwrite mask_var='skproj_selected'"),
        ({"class_weight": {"Platelet": 2.0}}, r"class_weight has 'Platelet'.*'CD19\+"),
        ({"method": "forest"}, "method must be one of .*'autoencoder'.*'forest'"),
        ({"eta": "best"}, "eta must be .* got 'best'"),
        ({"eta": -1.0}, "eta must be .* got -1.0"),
        (
            {"n_genes": 3},
            "n_genes_per_group cannot be combined, got eta=2.0 and n_genes=3",
        ),
        (
            {"eta": "cv", "n_genes": 3, "n_genes_per_group": 2},
            "cannot be combined, got n_genes=3 and n_genes_per_group=2",
        ),
        (
            {"eta": "cv", "n_genes_per_group": 0},
            "n_genes_per_group must be an integer of at least 1, got 0",
        ),
        (
            {"eta": "cv", "n_genes_per_group": 2, "method": "autoencoder"},
            "n_genes_per_group needs method=\"linear\", got method='autoencoder'",
        ),
        (
            {"eta": "cv", "n_genes_per_group": 2, "class_weight": {"CD19+ B": 2.0}},
            'class_weight must be "balanced" or None with n_genes_per_group',
        ),
        (
            {"eta": "cv", "n_genes_per_group": 5, "layer": "few"},
            "n_genes_per_group=5 is too large: .* only 3 genes can be selected",
        ),
        ({"groups": "CD19+ B"}, 'groups must be "all" or a list, got .CD19'),
        ({"groups": ["CD19+ B"], "reference": "CD19+ B"}, "it has only one, 'CD19"),
        ({"groups": []}, "it has none"),
        ({"groups": ["B"]}, r"groups has 'B', and groupby='type' no such .*'CD19\+ B'"),
        ({"reference": "B"}, r"reference has 'B', and groupby='type' no such group"),
        ({"groupby": "mixed"}, "groupby='mixed' has different groups of the same name"),
        (
            {"groupby": "counts"},
            "'counts' must be a column of labels, but it holds 139 different numbers",
        ),
        (
            {"groupby": "ages"},
            "'ages' must be .* labels, but it holds 29 different numbers, 1 of them in",
        ),
        ({"groupby": "barcode"}, r"c109 \(1\) and 268 more: merge them"),
        ({"batch_key": "lane"}, "batch_key='lane' is not a column of adata.obs"),
        ({"batch_key": "none"}, "batch_key='none' has missing values"),
        ({"batch_key": "type"}, "batch_key='type' has cells of only one group in each"),
        ({"donor_key": "skproj_label"}, "would overwrite donor_key='skproj_label'"),
        ({"eta": "cv", "n_genes": 2.5}, "n_genes must be an integer of at least 1"),
        ({"cv": 1}, "cv must be an integer of at least 2, got 1"),
        ({"random_state": None}, "random_state must be an integer"),
        ({"key_added": "a/b"}, "key_added must be a name without a slash"),
        ({"layer": "constant"}, "No gene was selected"),
    ],
)
@pytest.mark.filterwarnings("ignore:No feature is selected:UserWarning")
@pytest.mark.filterwarnings("ignore:Only 3 features are selected:UserWarning")
def test_bad_input_is_refused_with_a_sentence(small, settings, message):
    small.obs["number"] = np.linspace(0, 1, small.n_obs)
    small.obs["same"] = "B"
    small.obs["none"] = pd.Categorical([np.nan] * small.n_obs)
    small.obs["rare"] = np.where(np.arange(small.n_obs) == 5, "few", "many")
    small.obs["counts"] = np.arange(small.n_obs) // 2
    small.obs["ages"] = np.append(99, np.arange(1, small.n_obs) // 10)
    small.obs["barcode"] = [f"c{100 + i}" for i in range(small.n_obs)]
    is_b = (small.obs["type"] == "CD19+ B").to_numpy()
    small.obs["mixed"] = np.array([1, "1"], dtype=object)[is_b.astype(int)]
    small.var["number"] = 1.0
    small.layers["nan"] = small.X.toarray()
    small.layers["nan"][3, small.var_names.get_loc("CD79A")] = np.nan
    small.layers["infinite"] = small.layers["nan"].copy()
    for cell, value in ((3, np.inf), (4, -np.inf)):
        small.layers["infinite"][cell, small.var_names.get_loc("CD79A")] = value
    small.obs["is_b"] = is_b
    small.layers["text"] = np.full(small.shape, "x", dtype=object)
    small.layers["constant"] = np.ones(small.shape, dtype=np.float32)
    small.layers["few"] = small.layers["constant"].copy()
    small.layers["few"][:, :3] = np.random.default_rng(0).normal(size=(small.n_obs, 3))
    before = written_names(small)
    with pytest.raises(ValueError, match=message):
        select_features(small, **({"groupby": "type"} | QUICK | settings))
    assert written_names(small) == before


def test_unknown_parameter_is_refused(small):
    with pytest.raises(TypeError, match=r"'max_epochs' is no parameter .* max_iter"):
        select_features(small, "type", max_epochs=3, **QUICK)
    with pytest.raises(TypeError, match=r"'etas' is no parameter"):
        select_features(small, "type", etas=[1.0], **QUICK)
    with pytest.raises(TypeError, match="adata must be an AnnData, got DataFrame"):
        select_features(small.obs, "type")


@pytest.mark.parametrize("noted", [None, {}, {"base": None}])
def test_base_of_logarithms_need_not_be_noted(small, noted):
    expected = select_features(small, "type", copy=True, **QUICK)
    small.uns["log1p"] = noted
    select_features(small, "type", **QUICK)
    names = ("names", "logfoldchanges")
    for one, other in (
        (expected.uns["skproj"][n], small.uns["skproj"][n]) for n in names
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("base", ["e", -2.0])
def test_base_of_logarithms_must_be_a_number(small, base):
    small.uns["log1p"] = {"base": base}
    before = written_names(small)
    with pytest.raises(ValueError, match=r"\['base'\] must be a positive number"):
        select_features(small, "type", **QUICK)
    assert written_names(small) == before


def test_object_without_X_is_refused(small):
    empty = anndata.AnnData(obs=small.obs, layers={"logs": small.X})
    with pytest.raises(ValueError, match=r"adata.X is None; choose a layer.*'logs'"):
        select_features(empty, "type", **QUICK)


def test_repeated_names_of_genes_are_refused(small):
    """A table could not say which of them is meant."""
    small.var_names = [f"g{i // 2}" for i in range(50)]
    with pytest.raises(ValueError, match=r"unique, but repeats 'g0', .* 15 more: call"):
        select_features(small, "type", **QUICK)
    small.var_names_make_unique()
    select_features(small, "type", **QUICK)


def test_of_more_genes_than_there_are_all_are_selected(small):
    with (
        pytest.warns(UserWarning, match="Only 48 features"),  # of a fold
        pytest.warns(UserWarning, match="n_genes=51 exceeds .* from, 50: all") as log,
    ):
        select_features(small, "type", n_genes=51, cv=2)
    assert log[0].filename == __file__
    assert small.var["skproj_selected"].sum() == 50
