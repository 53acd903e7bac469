"""select_features: some of the groups, genes of each group, donors and batches."""

import anndata
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata_helpers import QUICK, QUICK_AUTOENCODER, assert_same_results

from skproj import ProjectionFeatureSelector
from skproj.anndata import plot_selected, select_features, selected_df
from skproj.anndata._describe import DETECTED
from skproj.anndata._groups import choose_groups, make_folds, read_groups

B, MONOCYTE, CYTOTOXIC = "CD19+ B", "CD14+ Monocyte", "CD8+ Cytotoxic T"
PER_GROUP = {"n_genes_per_group": 3, "cv": 2}


def in_two_batches(small, shift):
    """Return the cells as two batches, of which the second is shifted in all genes.

    The second batch has more cells of one of the groups.
    """
    rng = np.random.default_rng(0)
    share = np.where(small.obs["type"] == B, 0.7, 0.3)
    is_second = rng.random(small.n_obs) < share
    adata = anndata.AnnData(small.X.toarray(), obs=small.obs[["type"]], var=small.var)
    adata.X[is_second] += shift * rng.random(small.n_vars).astype(np.float32)
    adata.obs["batch"] = np.where(is_second, "second", "first")
    return adata


# Some of the groups


def test_other_groups_count_as_cells_without_a_label(small):
    only_two = small.copy()
    only_two.obs.loc[small.obs["type"] == CYTOTOXIC, "type"] = np.nan
    select_features(only_two, "type", **QUICK)
    select_features(small, "type", groups=[MONOCYTE, B], **QUICK)
    assert_same_results(small, only_two, rtol=0)
    assert list(small.uns["skproj"]["groups"]) == [MONOCYTE, B]
    assert set(small.obs["skproj_label"]) == {MONOCYTE, B}


def test_reference_takes_part_in_any_case(small):
    select_features(small, "type", groups=[MONOCYTE], reference=B, **QUICK)
    assert list(small.uns["skproj"]["groups"]) == [MONOCYTE, B]
    assert small.uns["skproj"]["names"].dtype.names == (MONOCYTE,)


def test_groups_that_are_numbers_have_values_or_names(small):
    small.obs["cluster"] = small.obs["type"].astype("category").cat.codes.to_numpy()
    select_features(small, "cluster", groups=[0, 2], reference=2, **QUICK)
    expected = small.copy()
    select_features(expected, "cluster", groups=["0", "2"], reference="2", **QUICK)
    assert_same_results(small, expected, rtol=0)
    assert small.uns["skproj"]["names"].dtype.names == ("0",)


def test_group_may_be_called_rest(small):
    small.obs["type"] = small.obs["type"].replace(B, "rest")
    groups, reference = choose_groups(
        read_groups(small, "type"), [MONOCYTE, CYTOTOXIC], "rest"
    )
    assert reference is None
    assert list(groups.names) == [MONOCYTE, CYTOTOXIC]


# Genes of each group


def test_each_group_has_its_number_of_genes(small):
    select_features(small, "type", **PER_GROUP)
    codes = small.obs["type"].astype("category").cat.codes.to_numpy()
    selector = ProjectionFeatureSelector(n_features_to_select=3)
    ranking, scores = small.uns["skproj"], []
    for place, group in enumerate(ranking["groups"]):
        selector.fit(small.X, codes == place)
        genes = small.var_names[selector.get_support()]
        assert set(ranking["names"][group]) == set(genes)
        coef = small.varm["skproj_coef"][:, place]
        np.testing.assert_array_equal(np.nan_to_num(coef) != 0, selector.get_support())
        assert ranking["eta"][place] == selector.eta_
        scores.append(selector.scores_)
    np.testing.assert_allclose(small.var["skproj_score"], np.max(scores, axis=0))
    assert ranking["n_selected"] == small.var["skproj_selected"].sum() <= 9
    assert ranking["accuracy"] > 0.9
    assert (selected_df(small)["selection_frequency"] > 0).any()


def test_each_group_has_genes_against_the_reference(small):
    select_features(small, "type", reference=B, **PER_GROUP)
    ranking = small.uns["skproj"]
    selector = ProjectionFeatureSelector(n_features_to_select=3)
    for group in (MONOCYTE, CYTOTOXIC):
        pair = small[small.obs["type"].isin([group, B])]
        selector.fit(pair.X, (pair.obs["type"] == group).to_numpy())
        genes = small.var_names[selector.get_support()]
        assert set(ranking["names"][group]) == set(genes)
    assert B not in ranking["names"].dtype.names
    place = list(ranking["groups"]).index(B)
    assert (small.obsm["skproj_logits"][:, place] == 0).all()
    assert np.isnan(ranking["eta"][place])
    assert ranking["accuracy"] > 0.9


def test_two_groups_share_their_genes(small):
    select_features(small, "type", groups=[B, MONOCYTE], **PER_GROUP)
    assert small.uns["skproj"]["n_selected"] == 3
    latent = small.obsm["skproj_logits"]
    np.testing.assert_allclose(latent[:, 0], -latent[:, 1], rtol=1e-4, atol=1e-5)


def test_genes_of_groups_survive_a_file(small, tmp_path):
    select_features(small, "type", reference=B, groups=[MONOCYTE], **PER_GROUP)
    small.write_h5ad(tmp_path / "small.h5ad")
    read = anndata.read_h5ad(tmp_path / "small.h5ad")
    assert_same_results(small, read, rtol=0)
    ours, theirs = small.uns["skproj"], read.uns["skproj"]
    assert list(theirs["names"][MONOCYTE]) == list(ours["names"][MONOCYTE])
    assert list(theirs["params"]["groups"]) == [MONOCYTE]


def test_reference_in_the_part_held_back_is_refused(small):
    small.obs["donor"] = np.where(small.obs["type"] == B, 2, np.arange(small.n_obs) % 2)
    with pytest.raises(ValueError, match="The reference has no cells outside of one"):
        select_features(
            small, "type", reference=B, donor_key="donor", **(PER_GROUP | {"cv": 3})
        )


# A single group


@pytest.mark.parametrize(
    "settings", [QUICK, PER_GROUP, QUICK_AUTOENCODER], ids=["eta", "group", "network"]
)
def test_single_group_is_told_from_all_other_cells(small, settings, tmp_path):
    """As if these had one label; cells without a label stay without."""
    small.obs.iloc[::7, small.obs.columns.get_loc("type")] = np.nan
    label = small.obs["type"].map({B: B, MONOCYTE: "others", CYTOTOXIC: "others"})
    small.obs["label"] = label
    expected = select_features(
        small, "label", groups=[B], reference="others", copy=True, **settings
    )
    select_features(small, "type", groups=[B], **settings)
    predicted = expected.obs["skproj_label"]
    expected.obs["skproj_label"] = predicted.cat.rename_categories({"others": "rest"})
    assert_same_results(small, expected, rtol=0)
    ranking = small.uns["skproj"]
    assert list(ranking["names"][B]) == list(expected.uns["skproj"]["names"][B])
    assert list(ranking["groups"]) == [B, "rest"]
    assert ranking["names"].dtype.names == (B,)
    assert ranking["params"]["reference"] == "rest"
    assert ranking["accuracy"] > 0.9
    assert set(small.obs["skproj_label"]) == {B, "rest"}
    small.write_h5ad(tmp_path / "small.h5ad")
    read = anndata.read_h5ad(tmp_path / "small.h5ad")
    for adata, names in (
        (read, [B, "rest"]),
        (small[small.obs["type"] == MONOCYTE], ["rest"]),
        (small[small.obs["type"] == B], [B]),
    ):
        ax = plot_selected(adata)
        assert [label.get_text() for label in ax.get_yticklabels()] == names
    plt.close("all")


def test_rest_has_one_meaning(small):
    """All other cells have no group of that name beside them."""
    small.obs["type"] = small.obs["type"].replace(MONOCYTE, "rest")
    for group in (B, "rest"):
        with pytest.raises(
            ValueError, match="groupby='type' has a group 'rest', which"
        ):
            select_features(small, "type", groups=[group], **QUICK)
    select_features(small, "type", groups=[B, "rest"], **QUICK)
    assert len(plot_selected(small).get_yticks()) == 2  # of the three groups
    plt.close("all")
    two = small[small.obs["type"] != CYTOTOXIC].copy()
    select_features(two, "type", groups=[B], **QUICK)
    assert (two.obs["skproj_label"] == two.obs["type"]).mean() > 0.9


# Donors


def test_cells_of_a_donor_stay_together(pbmc):
    pbmc.obs["donor"] = np.arange(pbmc.n_obs) % 7
    groups = read_groups(pbmc, "phase")
    folds = make_folds(pbmc, groups, cv=3, donor_key="donor", random_state=0)
    donors = pbmc.obs["donor"].to_numpy()
    for train, test in folds:
        assert not set(donors[train]) & set(donors[test])
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(700))


def test_group_of_one_donor_cannot_be_predicted(small):
    """The other donors do not know it; the search and the folds still work."""
    is_b = small.obs["type"] == B
    small.obs["donor"] = np.where(is_b, 2, np.arange(small.n_obs) % 2)
    select_features(small, "type", cv=3, donor_key="donor", etas=[2.0, 4.0])
    assert not small.obs["skproj_label"][is_b].eq(B).any()
    assert small.obs["skproj_label"][~is_b].eq(small.obs["type"][~is_b]).mean() > 0.8
    assert np.isfinite(small.obs["skproj_confidence"]).all()


# Batches


def test_shift_of_a_batch_changes_nothing(small):
    """It is subtracted, up to rounding."""
    expected = in_two_batches(small, 0.0)
    shifted = in_two_batches(small, 20.0)
    for adata in (expected, shifted):
        select_features(adata, "type", batch_key="batch", **QUICK)
    assert_same_results(expected, shifted, but=DETECTED, rtol=1e-3, atol=1e-3)
    one, other = expected.uns["skproj"], shifted.uns["skproj"]
    for group in (B, MONOCYTE, CYTOTOXIC):
        assert list(one["names"][group]) == list(other["names"][group])
        np.testing.assert_allclose(
            one["scores"][group], other["scores"][group], rtol=1e-3, atol=1e-3
        )
    uncorrected = in_two_batches(small, 20.0)
    select_features(uncorrected, "type", **QUICK)
    assert uncorrected.uns["skproj"]["accuracy"] < shifted.uns["skproj"]["accuracy"]


@pytest.mark.parametrize("sparse", [True, False])
def test_batches_are_centred_by_their_mean(small, sparse):
    small.obs["batch"] = np.arange(small.n_obs) % 3
    X = small.X.toarray()
    if not sparse:
        small.X = X.copy()
    before = X.copy()
    for batch in range(3):
        rows = small.obs["batch"].to_numpy() == batch
        X[rows] -= X[rows].astype(float).mean(axis=0).astype(np.float32)
    centred = anndata.AnnData(X, obs=small.obs, var=small.var)
    select_features(centred, "type", **QUICK)
    select_features(small, "type", batch_key="batch", **QUICK)
    assert_same_results(small, centred, but=DETECTED, rtol=1e-3, atol=1e-4)
    X = small.X.toarray() if sparse else small.X
    np.testing.assert_array_equal(X, before)


def test_batch_without_labels_has_its_own_mean(small):
    """It gets predictions as if its shift were not there."""
    adata = in_two_batches(small, 20.0)
    truth = adata.obs["type"].copy()
    is_second = adata.obs["batch"] == "second"
    adata.obs.loc[is_second, "type"] = np.nan
    select_features(adata, "type", batch_key="batch", **QUICK)
    assert (adata.obs["skproj_label"] == truth)[is_second].mean() > 0.8


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_genes_that_tell_batches_only_are_not_selected(small, dtype):
    """Their rounding errors would tell them as well, divided by their deviation."""
    adata = in_two_batches(small, 0.0)
    adata.obs["batch"] = np.where(adata.obs["type"] == B, "first", adata.obs["batch"])
    rng = np.random.default_rng(0)
    is_first = (adata.obs["batch"] == "first").to_numpy()
    adata.X = adata.X.astype(dtype)
    adata.X[:, :20] = np.where(is_first[:, np.newaxis], *rng.random((2, 1, 20)))
    select_features(adata, "type", batch_key="batch", n_genes=25, cv=2)
    assert not adata.var["skproj_selected"].iloc[:20].any()
    select_features(adata, "type", n_genes=25, cv=2)
    assert adata.var["skproj_selected"].iloc[:20].any()


def test_donors_may_be_the_batches(small):
    small.obs["donor"] = pd.Categorical(np.arange(small.n_obs) % 4)
    select_features(small, "type", batch_key="donor", donor_key="donor", **QUICK)
    assert small.uns["skproj"]["accuracy"] > 0.8
    assert small.uns["skproj"]["params"]["donor_key"] == "donor"
