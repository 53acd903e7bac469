"""Selection of genes in AnnData objects: the results, their place, and the input."""

import importlib.util
import subprocess
import sys
import warnings
from pathlib import Path

import anndata
import joblib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import ImplicitModificationWarning
from scipy import sparse
from sklearn.metrics import accuracy_score
from sklearn.model_selection import StratifiedKFold, train_test_split

from skproj import (
    ProjectionFeatureSelector,
    SparseSupervisedAutoencoder,
)
from skproj.anndata import (
    _matrix,
    iter_chunks,
    plot_selected,
    select_features,
    selected_df,
)
from skproj.anndata._groups import make_folds, read_groups

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
    "max_epochs": 2,
    "hidden_layer_sizes": 20,
}
BOTH_METHODS = pytest.mark.parametrize(
    "settings", [QUICK, QUICK_AUTOENCODER], ids=["linear", "autoencoder"]
)


@pytest.fixture(scope="module")
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
    found["latent"] = adata.obsm[f"X_{key}"]
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


# What is selected, and how well it predicts


@pytest.mark.parametrize("method", ["linear", "autoencoder"])
def test_known_markers_are_found(pbmc, method):
    extra = {} if method == "linear" else {"max_epochs": 4}
    select_features(pbmc, "bulk_labels", n_genes=40, cv=2, method=method, **extra)
    table = selected_df(pbmc)
    groups = table["group"].astype(str)
    assert {"CST3", "CD79A"} <= set(table.index[:15])
    assert len({"NKG7", "GNLY", "PRF1", "GZMB"} & set(table.index)) >= 1
    assert groups["CD79A"] == "CD19+ B"
    assert groups[table.index.isin(["NKG7", "GNLY", "PRF1"])].eq("CD56+ NK").all()
    assert pbmc.uns["skproj"]["accuracy"] > 0.7  # the largest group has 0.34


def test_chosen_genes_predict_cells_without_a_label(pbmc):
    truth = pbmc.obs["bulk_labels"].copy()
    _, held_back = train_test_split(
        np.arange(len(truth)), test_size=0.3, stratify=truth, random_state=0
    )
    pbmc.obs.iloc[held_back, 0] = np.nan
    select_features(pbmc, "bulk_labels", eta=3.0, cv=2)
    predicted = pbmc.obs["skproj_label"]
    assert not predicted.isna().any()
    accuracy = (predicted == truth).iloc[held_back].mean()
    assert accuracy > truth.value_counts(normalize=True).max() + 0.35
    # No better than what the folds had promised, up to chance.
    assert abs(accuracy - pbmc.uns["skproj"]["accuracy"]) < 0.1
    assert abs(accuracy - pbmc.obs["skproj_confidence"].iloc[held_back].mean()) < 0.1


@BOTH_METHODS
def test_predictions_are_out_of_fold(small, settings):
    """A model that has seen the labels of noise would predict them."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(120, 200)).astype(np.float32)
    adata = anndata.AnnData(
        noise, obs={"g": rng.permutation(np.repeat(["a", "b"], 60))}
    )
    select_features(adata, "g", **settings)
    assert adata.uns["skproj"]["accuracy"] < 0.65
    assert adata.obs["skproj_confidence"].mean() < 0.65
    in_sample = adata.obsm["X_skproj"].argmax(axis=1) == (adata.obs["g"] == "b")
    assert in_sample.mean() > 0.7


def test_linear_results_are_those_of_the_estimator(small):
    select_features(small, "type", **QUICK)
    X, codes = small.X, small.obs["type"].astype("category").cat.codes.to_numpy()
    selector = ProjectionFeatureSelector(eta=2.0).fit(X, codes)
    np.testing.assert_array_equal(small.var["skproj_selected"], selector.get_support())
    np.testing.assert_allclose(small.var["skproj_score"], selector.scores_)
    latent = X @ selector.coef_.T + selector.intercept_
    np.testing.assert_allclose(small.obsm["X_skproj"], latent, rtol=1e-4, atol=1e-4)

    supports, accuracies = [], []
    folds = StratifiedKFold(2, shuffle=True, random_state=0)
    for train, test in folds.split(X, codes):
        selector.fit(X[train], codes[train])
        supports.append(selector.get_support())
        guess = (X[test] @ selector.coef_.T + selector.intercept_).argmax(axis=1)
        labels = small.obs["skproj_label"].cat.codes.to_numpy()
        np.testing.assert_array_equal(labels[test], guess)
        accuracies.append(accuracy_score(codes[test], guess) * len(test))
    frequency = np.mean(supports, axis=0)
    np.testing.assert_array_equal(small.var["skproj_selection_frequency"], frequency)
    assert small.uns["skproj"]["accuracy"] == pytest.approx(
        sum(accuracies) / small.n_obs
    )


def test_autoencoder_results_are_those_of_the_estimator(small):
    """It gets genes of unit variance, those of the mask only."""
    mask = np.arange(small.n_vars) % 2 == 0
    select_features(small, "type", mask_var=mask, **QUICK_AUTOENCODER)
    X = small.X[:, mask].toarray()
    X = X / np.where(X.std(axis=0) > 0, X.std(axis=0), 1)
    codes = small.obs["type"].astype("category").cat.codes.to_numpy()
    model = SparseSupervisedAutoencoder(
        n_features_to_select=10, max_epochs=2, hidden_layer_sizes=20, random_state=0
    ).fit(X, codes)
    tolerance = {"rtol": 1e-3, "atol": 1e-3}
    np.testing.assert_allclose(
        small.var["skproj_score"][mask], model.feature_importances_, **tolerance
    )
    np.testing.assert_allclose(small.obsm["X_skproj"], model.transform(X), **tolerance)


def test_coefficients_are_for_genes_of_unit_variance(small):
    select_features(small, "type", **QUICK)
    X = small.X.toarray()
    selected = small.var["skproj_selected"].to_numpy()
    coef = small.varm["skproj_coef"]
    assert np.isnan(coef[~selected]).all()
    latent = (X / X.std(axis=0))[:, selected] @ coef[selected]
    shift = small.obsm["X_skproj"] - latent
    np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape), atol=1e-4)


def test_two_groups_have_a_logit_each(small):
    small.obs.loc[small.obs["type"] == "CD19+ B", "type"] = np.nan
    select_features(small, "type", **QUICK)
    latent = small.obsm["X_skproj"]
    assert latent.shape == (small.n_obs, 2)
    np.testing.assert_allclose(latent[:, 0], -latent[:, 1], rtol=1e-5)
    unlabelled = small.obs["type"].isna().to_numpy()
    predicted = small.obs["skproj_label"].to_numpy()[unlabelled]
    names = small.uns["skproj"]["groups"]
    np.testing.assert_array_equal(predicted, names[latent.argmax(axis=1)][unlabelled])
    coef = small.varm["skproj_coef"]
    np.testing.assert_allclose(coef[:, 0], -coef[:, 1])


def test_difference_is_that_of_means(small):
    select_features(small, "type", **QUICK)
    X = small.X.toarray().astype(np.float64)
    is_b = (small.obs["type"] == "CD19+ B").to_numpy()
    column = list(small.uns["skproj"]["groups"]).index("CD19+ B")
    expected = (X[is_b].mean(axis=0) - X[~is_b].mean(axis=0)) / X.std(axis=0)
    selected = small.var["skproj_selected"].to_numpy()
    difference = small.varm["skproj_difference"][:, column]
    np.testing.assert_allclose(difference[selected], expected[selected], rtol=1e-5)
    assert np.isnan(difference[~selected]).all()


def test_radius_is_chosen_by_cross_validation(pbmc):
    adata = pbmc[:300, :100].copy()
    etas = [0.5, 2.0, 4.0, 8.0]
    counts = adata.obs["louvain"].value_counts()
    rare = adata.obs["louvain"].isin(counts.index[counts < 5])
    adata.obs.loc[rare, "louvain"] = np.nan
    select_features(adata, "louvain", cv=3, etas=etas)
    sparse_result = adata.uns["skproj"]
    select_features(adata, "louvain", cv=3, etas=etas, selection_rule="best")
    best = adata.uns["skproj"]
    table = best["cv_results"]
    np.testing.assert_array_equal(table["param_eta"], etas)
    row = table["mean_test_score"].argmax()
    assert best["eta"] == etas[row]
    error = table["std_test_score"][row] / np.sqrt(2)  # of the mean of three folds
    good = table["mean_test_score"] >= table["mean_test_score"][row] - error
    assert sparse_result["eta"] == etas[good.argmax()] < best["eta"]
    assert sparse_result["n_selected"] < best["n_selected"]


def test_autoencoder_chooses_radius_and_noise(small):
    settings = {"max_epochs": 2, "hidden_layer_sizes": 10, "etas": [20.0, 3.0]}
    select_features(
        small, "type", method="autoencoder", cv=2, final_noise=0.5, **settings
    )
    result = small.uns["skproj"]
    assert result["eta"] in (20.0, 3.0)
    assert set(result["cv_results"]["param_input_noise"]) == {1.0, 3.0}
    assert f"eta={result['eta']}" in result["params"]["estimator"]
    assert result["accuracy"] > 0.7


def test_balanced_weights_reach_the_estimator(small):
    rare = np.flatnonzero(small.obs["type"] == "CD8+ Cytotoxic T")[5:]
    small.obs.iloc[rare, small.obs.columns.get_loc("type")] = np.nan
    select_features(small, "type", eta=0.2, cv=2, key_added="plain")
    select_features(small, "type", eta=0.2, cv=2, class_weight="balanced")
    recall = {
        key: (small.obs[f"{key}_label"].iloc[rare] == "CD8+ Cytotoxic T").mean()
        for key in ("plain", "skproj")
    }
    assert recall["skproj"] > recall["plain"]


@pytest.mark.parametrize(
    "values", [["CD14+", "CD19+", "CD8+"], [2, 3, 1]], ids=["names", "numbers"]
)
def test_weights_are_given_by_group(small, values):
    """Not by the place of the group, which users do not see."""
    codes = small.obs["type"].astype("category").cat.codes.to_numpy()
    small.obs["label"] = np.array(values)[codes]
    select_features(small, "label", class_weight={values[0]: 9.0}, **QUICK)
    places = np.argsort(np.argsort(values))[codes]
    weight = {place: 1.0 for place in range(3)}
    weight[np.sort(values).tolist().index(values[0])] = 9.0
    expected = ProjectionFeatureSelector(eta=2.0, class_weight=weight)
    expected.fit(small.X, places)
    np.testing.assert_allclose(small.var["skproj_score"], expected.scores_)


def test_batches_stay_together(pbmc):
    pbmc.obs["donor"] = np.arange(pbmc.n_obs) % 7
    groups = read_groups(pbmc, "phase")
    folds = make_folds(pbmc, groups, cv=3, batch_key="donor", random_state=0)
    donors = pbmc.obs["donor"].to_numpy()
    for train, test in folds:
        assert not set(donors[train]) & set(donors[test])
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(700))


def test_group_of_one_batch_cannot_be_predicted(small):
    """The other batches do not know it; the search and the folds still work."""
    is_b = small.obs["type"] == "CD19+ B"
    small.obs["donor"] = np.where(is_b, 2, np.arange(small.n_obs) % 2)
    select_features(small, "type", cv=3, batch_key="donor", etas=[2.0, 4.0])
    assert not small.obs["skproj_label"][is_b].eq("CD19+ B").any()
    assert small.obs["skproj_label"][~is_b].eq(small.obs["type"][~is_b]).mean() > 0.8
    assert np.isfinite(small.obs["skproj_confidence"]).all()


def test_parallel_folds_give_the_same(small):
    settings = {"cv": 2, "etas": [0.5, 2.0]}
    expected = select_features(small, "type", copy=True, **settings)
    with joblib.parallel_config("threading"):
        select_features(small, "type", n_jobs=2, **settings)
    assert_same_results(small, expected, rtol=0)


# Where results are written


@BOTH_METHODS
def test_results_survive_a_file(small, settings, tmp_path):
    select_features(small, "type", **settings)
    assert {str(dtype) for dtype in small.obs.dtypes.iloc[-2:]} == {
        "category",
        "float64",
    }
    assert small.var["skproj_selected"].dtype == bool
    small.write_h5ad(tmp_path / "small.h5ad")
    read = anndata.read_h5ad(tmp_path / "small.h5ad")
    assert_same_results(small, read, rtol=0)
    assert read.uns["skproj"]["params"] == small.uns["skproj"]["params"]
    pd.testing.assert_frame_equal(selected_df(small), selected_df(read))


def test_search_survives_a_file(small, tmp_path):
    select_features(small, "type", cv=2, etas=[0.5, 2.0])
    small.write_h5ad(tmp_path / "small.h5ad")
    read = anndata.read_h5ad(tmp_path / "small.h5ad").uns["skproj"]["cv_results"]
    for name, column in small.uns["skproj"]["cv_results"].items():
        np.testing.assert_array_equal(read[name], column)


def test_works_in_place_or_on_a_copy(small):
    before = written_names(small)
    result = select_features(small, "type", copy=True, **QUICK)
    assert written_names(small) == before
    assert select_features(small, "type", **QUICK) is None
    assert_same_results(small, result, rtol=0)


def test_results_replace_earlier_ones(small):
    select_features(small, "type", **QUICK)
    assert "skproj_coef" in small.varm
    select_features(small, "type", **QUICK_AUTOENCODER)
    assert "skproj_coef" not in small.varm
    assert "difference" in selected_df(small)
    assert len(selected_df(small)) == 10


def test_key_added_names_everything(small):
    before = written_names(small)
    select_features(small, "type", key_added="mine", **QUICK)
    assert {name.removeprefix("X_")[:4] for name in written_names(small) - before} == {
        "mine"
    }
    assert len(selected_df(small, key="mine")) == small.uns["mine"]["n_selected"]


def test_view_becomes_an_object_of_its_own(small):
    view = small[:, 3:]
    with pytest.warns(ImplicitModificationWarning, match="view"):
        select_features(view, "type", **QUICK)
    assert not view.is_view
    assert "skproj" not in small.uns
    own = small[:, 3:].copy()
    select_features(own, "type", **QUICK)
    assert_same_results(view, own, rtol=0)
    copied = select_features(small[:, 3:], "type", copy=True, **QUICK)
    assert_same_results(copied, own, rtol=0)


# Which data are used


@BOTH_METHODS
def test_format_of_matrix_does_not_matter(small, settings):
    expected = select_features(small, "type", copy=True, **settings)
    for make in FORMATS.values():
        other = small.copy()
        other.X = make(small.X)
        select_features(other, "type", **settings)
        assert_same_results(expected, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("layout", ["csr", "csc", "dense"])
@BOTH_METHODS
def test_object_in_a_file_gives_the_same(
    small, layout, settings, tmp_path, monkeypatch
):
    monkeypatch.setattr(_matrix, "CELLS_AT_ONCE", 100)
    monkeypatch.setattr(_matrix, "GENES_AT_ONCE", 15)
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
    assert np.isfinite(small.obsm["X_skproj"]).all()


@pytest.mark.parametrize("values", [[True, False, True], [3, 1, 2], ["x", "y", "z"]])
def test_labels_keep_their_type(small, values, tmp_path):
    codes = small.obs["type"].astype("category").cat.codes.to_numpy()
    small.obs["label"] = np.array(values)[codes]
    select_features(small, "label", **QUICK)
    assert (small.obs["skproj_label"] == small.obs["label"]).mean() > 0.8
    small.write_h5ad(tmp_path / "small.h5ad")


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
        ({"use_raw": True}, r"use_raw must be False: adata.raw may have other genes"),
        ({"mask_var": "variable"}, "mask_var='variable' is not a column of adata.var"),
        ({"mask_var": "number"}, r"adata.var\['number'\] must be 50 booleans"),
        ({"mask_var": np.ones(3, bool)}, "mask_var must be 50 booleans"),
        ({"mask_var": np.zeros(50, bool)}, "mask_var keeps no gene"),
        ({"batch_key": "donor"}, "batch_key='donor' is not a column of adata.obs"),
        ({"batch_key": "same"}, "batch_key='same' has 1 batches, fewer than cv=2"),
        ({"batch_key": "none"}, "batch_key='none' has missing values"),
        ({"batch_key": "is_b"}, "batch_key='is_b' leaves a fold with cells of 'CD19"),
        ({"groupby": "skproj_label"}, "key_added='skproj' would overwrite groupby="),
        ({"mask_var": "skproj_selected"}, "would overwrite mask_var='skproj_selected'"),
        ({"class_weight": {"Platelet": 2.0}}, r"class_weight has 'Platelet'.*'CD19\+"),
        ({"method": "forest"}, "method must be one of .*'autoencoder'.*'forest'"),
        ({"eta": "best"}, "eta must be .* got 'best'"),
        ({"eta": -1.0}, "eta must be .* got -1.0"),
        ({"n_genes": 3}, "eta and n_genes cannot be combined"),
        (
            {"eta": "cv", "n_genes": 51},
            "n_genes=51 exceeds the number of genes to choose from, 50",
        ),
        ({"eta": "cv", "n_genes": 2.5}, "n_genes must be an integer of at least 1"),
        ({"cv": 1}, "cv must be an integer of at least 2, got 1"),
        ({"random_state": None}, "random_state must be an integer"),
        ({"key_added": "a/b"}, "key_added must be a name without a slash"),
        ({"layer": "constant"}, "No gene was selected"),
    ],
)
@pytest.mark.filterwarnings("ignore:No feature is selected:UserWarning")
def test_bad_input_is_refused_with_a_sentence(small, settings, message):
    small.obs["number"] = np.linspace(0, 1, small.n_obs)
    small.obs["same"] = "B"
    small.obs["none"] = pd.Categorical([np.nan] * small.n_obs)
    small.obs["rare"] = np.where(np.arange(small.n_obs) == 5, "few", "many")
    small.var["number"] = 1.0
    small.layers["nan"] = small.X.toarray()
    small.layers["nan"][3, small.var_names.get_loc("CD79A")] = np.nan
    small.layers["infinite"] = small.layers["nan"].copy()
    for cell, value in ((3, np.inf), (4, -np.inf)):
        small.layers["infinite"][cell, small.var_names.get_loc("CD79A")] = value
    small.obs["is_b"] = small.obs["type"] == "CD19+ B"
    small.layers["text"] = np.full(small.shape, "x", dtype=object)
    small.layers["constant"] = np.ones(small.shape, dtype=np.float32)
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


def test_object_without_X_is_refused(small):
    empty = anndata.AnnData(obs=small.obs, layers={"logs": small.X})
    with pytest.raises(ValueError, match=r"adata.X is None; choose a layer.*'logs'"):
        select_features(empty, "type", **QUICK)


# Reading the results


def test_table_is_sorted_and_complete(small):
    select_features(small, "type", **QUICK)
    table = selected_df(small)
    assert list(table.columns) == [
        "score",
        "selection_frequency",
        "group",
        "difference",
    ]
    assert table["score"].is_monotonic_decreasing
    assert set(table.index) == set(small.var_names[small.var["skproj_selected"]])
    everything = selected_df(small, all_genes=True)
    assert len(everything) == small.n_vars
    pd.testing.assert_frame_equal(
        everything[everything["selected"]].drop(columns="selected"), table
    )
    for name in ("CD79A", "CST3"):
        top = small.X[:, small.var_names.get_loc(name)].toarray().ravel()
        means = pd.Series(top).groupby(small.obs["type"].to_numpy()).mean()
        assert table.loc[name, "group"] == means.idxmax()


def test_results_must_be_there(small):
    for function in (selected_df, plot_selected):
        with pytest.raises(ValueError, match="no results under key='skproj'"):
            function(small)


def test_plot_shows_the_first_genes(small):
    select_features(small, "type", **QUICK)
    display = plot_selected(small, n_genes=3)
    names = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert names == list(selected_df(small).index[:3])
    np.testing.assert_allclose(
        [bar.get_width() for bar in display.bars_], selected_df(small)["score"][:3]
    )
    plt.close(display.figure_)


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


def test_import_brings_nothing_heavy():
    code = (
        "import sys, skproj.anndata\n"
        "print([m for m in ('torch', 'matplotlib', 'anndata') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_linear_method_does_without_torch():
    """Its import takes longer than most selections."""
    code = (
        "import sys, anndata, numpy as np\n"
        "from skproj.anndata import select_features\n"
        "y = np.repeat(['a', 'b'], 20)\n"
        "X = np.random.default_rng(0).normal(size=(40, 5)) + (y == 'a')[:, None]\n"
        "adata = anndata.AnnData(X, obs={'g': y})\n"
        "select_features(adata, 'g', n_genes=2, cv=2)\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
