"""select_features: the results and their place."""

import subprocess
import sys

import anndata
import joblib
import numpy as np
import pandas as pd
import pytest
from anndata import ImplicitModificationWarning
from anndata_helpers import (
    BOTH_METHODS,
    QUICK,
    QUICK_AUTOENCODER,
    assert_same_results,
    written_names,
)
from sklearn.metrics import accuracy_score
from sklearn.model_selection import StratifiedKFold, train_test_split

from skproj import ProjectionFeatureSelector, SparseSupervisedAutoencoder
from skproj.anndata import select_features, selected_df
from skproj.nn import SparsificationSchedule

# What is selected, and how well it predicts


@pytest.mark.slow
@pytest.mark.parametrize("method", ["linear", "autoencoder"])
def test_known_markers_are_found(pbmc, method):
    extra = {} if method == "linear" else {"max_epochs": 10, "projection": "l12"}
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
    in_sample = adata.obsm["skproj_logits"].argmax(axis=1) == (adata.obs["g"] == "b")
    assert in_sample.mean() > 0.7


def test_linear_results_are_those_of_the_estimator(small):
    select_features(small, "type", **QUICK)
    X, codes = small.X, small.obs["type"].astype("category").cat.codes.to_numpy()
    selector = ProjectionFeatureSelector(eta=2.0).fit(X, codes)
    np.testing.assert_array_equal(small.var["skproj_selected"], selector.get_support())
    np.testing.assert_allclose(small.var["skproj_score"], selector.scores_)
    latent = X @ selector.coef_.T + selector.intercept_
    np.testing.assert_allclose(
        small.obsm["skproj_logits"], latent, rtol=1e-4, atol=1e-4
    )

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
        n_features_to_select=10, max_epochs=10, hidden_layer_sizes=20, random_state=0
    ).fit(X, codes)
    tolerance = {"rtol": 1e-3, "atol": 1e-3}
    np.testing.assert_allclose(
        small.var["skproj_score"][mask], model.feature_importances_, **tolerance
    )
    np.testing.assert_allclose(
        small.obsm["skproj_logits"], model.transform(X), **tolerance
    )


def test_coefficients_are_for_genes_of_unit_variance(small):
    select_features(small, "type", **QUICK)
    X = small.X.toarray()
    selected = small.var["skproj_selected"].to_numpy()
    coef = small.varm["skproj_coef"]
    assert np.isnan(coef[~selected]).all()
    latent = (X / X.std(axis=0))[:, selected] @ coef[selected]
    shift = small.obsm["skproj_logits"] - latent
    np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape), atol=1e-4)


def test_two_groups_have_a_logit_each(small):
    small.obs.loc[small.obs["type"] == "CD19+ B", "type"] = np.nan
    select_features(small, "type", **QUICK)
    latent = small.obsm["skproj_logits"]
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
    etas = [4.0, 16.0, 24.0, 32.0]
    counts = adata.obs["louvain"].value_counts()
    rare = adata.obs["louvain"].isin(counts.index[counts < 5])
    adata.obs.loc[rare, "louvain"] = np.nan
    select_features(adata, "louvain", cv=3, etas=etas)
    sparse_result = adata.uns["skproj"]
    select_features(adata, "louvain", cv=3, etas=etas, keep_gain=1.0)
    best = adata.uns["skproj"]
    table = best["cv_results"]
    np.testing.assert_array_equal(table["param_eta"], etas)
    row = table["mean_test_score"].argmax()
    assert best["eta"] == etas[row]
    good = table["share_of_gain"] >= 0.9
    assert sparse_result["eta"] == etas[good.argmax()] < best["eta"]
    assert sparse_result["n_selected"] < best["n_selected"]


def test_each_group_has_so_many_genes(small):
    """Of the radii from the chosen one on, it is the smallest that gives as many."""
    counts = {}
    for least in (None, 2, 4):
        select_features(small, "type", cv=3, keep_gain=0.5, min_genes_per_group=least)
        groups = selected_df(small)["group"].value_counts(sort=False)
        counts[least] = groups.min(), small.uns["skproj"]["eta"], groups.sum()
        assert "cv_results" in small.uns["skproj"]
        assert small.uns["skproj"]["n_selected"] == groups.sum()
    assert counts[None][0] < 2 <= counts[2][0]
    assert counts[4][0] >= 4
    assert counts[None][1] < counts[2][1] <= counts[4][1]
    etas = small.uns["skproj"]["cv_results"]["param_eta"]
    below = etas[np.searchsorted(etas, counts[4][1]) - 1]
    select_features(small, "type", cv=3, eta=below, projection="l12")
    assert selected_df(small)["group"].value_counts().min() < 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_genes_per_group": 0}, "min_genes_per_group must be an integer of at"),
        ({"min_genes_per_group": 2, "eta": 1.0}, 'min_genes_per_group needs method="l'),
        ({"min_genes_per_group": 2, "n_genes": 5}, "min_genes_per_group needs method"),
        ({"min_genes_per_group": 2, "method": "autoencoder"}, "needs method="),
        ({"min_genes_per_group": 700}, "min_genes_per_group=700 is too large: with th"),
    ],
)
def test_numbers_of_genes_of_each_group_that_are_refused(small, settings, message):
    with pytest.raises(ValueError, match=message):
        select_features(small, "type", cv=2, **settings)
    assert "skproj" not in small.uns


def test_autoencoder_chooses_radius_and_noise(small):
    settings = {"max_epochs": 10, "hidden_layer_sizes": 10, "etas": [20.0, 3.0]}
    settings["schedule"] = SparsificationSchedule(input_noise=0.6)
    select_features(small, "type", method="autoencoder", cv=2, **settings)
    result = small.uns["skproj"]
    assert result["eta"] in (20.0, 3.0)
    assert set(result["cv_results"]["param_final_noise"]) == {0.5, 0.6}
    estimator = result["params"]["estimator"]
    assert f"eta={result['eta']}" in estimator
    assert "input_noise=0.6" in estimator
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


def test_parallel_folds_give_the_same(small):
    settings = {"cv": 2, "etas": [0.5, 2.0]}
    expected = select_features(small, "type", copy=True, **settings)
    with joblib.parallel_config("threading"):
        select_features(small, "type", n_jobs=2, **settings)
    assert_same_results(small, expected, rtol=0)


# Where results are written


@pytest.mark.parametrize(
    "settings",
    [QUICK, QUICK_AUTOENCODER, {"cv": 2, "etas": [0.5, 2.0]}],
    ids=["linear", "autoencoder", "search"],
)
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
    for name, column in small.uns["skproj"].get("cv_results", {}).items():
        np.testing.assert_array_equal(read.uns["skproj"]["cv_results"][name], column)
    pd.testing.assert_frame_equal(selected_df(small), selected_df(read))


def test_works_in_place_or_on_a_copy(small):
    before = written_names(small)
    result = select_features(small, "type", copy=True, **QUICK)
    assert written_names(small) == before
    assert select_features(small, "type", **QUICK) is None
    assert_same_results(small, result, rtol=0)


def test_results_replace_earlier_ones(small):
    select_features(small, "type", reference="CD19+ B", **QUICK)
    assert "skproj_coef" in small.varm
    select_features(small, "type", **QUICK_AUTOENCODER)
    assert len(small.uns["skproj"]["names"].dtype.names) == 3
    assert len(small.uns["skproj"]["names"]) == 10
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


# Reading the results


def test_table_is_sorted_and_complete(small):
    select_features(small, "type", **QUICK)
    table = selected_df(small)
    assert list(table.columns) == [
        "score",
        "selection_frequency",
        "group",
        "difference",
        "pct_nz_group",
        "pct_nz_reference",
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
        inside = (small.obs["type"] == means.idxmax()).to_numpy()
        shares = (top[inside] > 0).mean(), (top[~inside] > 0).mean()
        found = table.loc[name, ["pct_nz_group", "pct_nz_reference"]].astype(float)
        np.testing.assert_allclose(found, shares, rtol=1e-6)


def test_scaled_data_have_no_rates_of_detection(small):
    small.X = small.X.toarray() - 1.0
    select_features(small, "type", **QUICK)
    table = selected_df(small)
    assert table[["pct_nz_group", "pct_nz_reference"]].isna().all(axis=None)


@pytest.mark.slow
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
