"""select_features: parameters of single genes, which are about all of adata.var."""

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata_helpers import QUICK_AUTOENCODER, assert_same_results

from skproj import ProjectionFeatureSelector
from skproj.anndata import select_features, selected_df

SETTINGS = {"n_genes": 3, "cv": 2}
KEPT = "g15"


@pytest.fixture
def adata():
    """Twenty genes, of which three tell the groups; the first five are masked."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 20)).astype(np.float32)
    group = rng.integers(3, size=120)
    X[np.arange(120), np.array([7, 18, 9])[group]] += 2.0
    var = pd.DataFrame(
        {"variable": np.arange(20) >= 5}, index=[f"g{j}" for j in range(20)]
    )
    obs = pd.DataFrame({"type": np.array(["A", "B", "C"])[group]})
    obs.index = [f"cell{i}" for i in range(120)]
    return anndata.AnnData(X, obs, var)


def select(adata, **settings):
    return select_features(
        adata, "type", mask_var="variable", copy=True, **(SETTINGS | settings)
    )


def is_kept(adata):
    return adata.var_names == KEPT


@pytest.mark.parametrize(
    "form",
    [
        lambda adata: [15],
        lambda adata: [KEPT],
        is_kept,
        lambda adata: pd.Series(is_kept(adata), index=adata.var_names)[::-1],
        lambda adata: "housekeeping",
        lambda adata: "nullable",
    ],
    ids=["place", "name", "mask", "series", "column", "nullable column"],
)
def test_gene_that_is_always_kept(adata, form):
    """It is the gene of `adata.var`, whatever genes the mask leaves out before it."""
    adata.var["housekeeping"] = is_kept(adata)
    adata.var["nullable"] = pd.array(is_kept(adata), dtype="boolean")
    result = select(adata, always_keep=form(adata))
    assert result.var.loc[KEPT, "skproj_selected"]
    assert result.var["skproj_selected"].sum() == 4
    assert result.var.loc[KEPT, "skproj_selection_frequency"] == 1.0
    # As the estimator does that sees these genes by name.
    inside = adata[:, adata.var["variable"]]
    selector = ProjectionFeatureSelector(
        n_features_to_select=3, always_keep=[KEPT], loss="log_loss"
    ).fit(inside.to_df(), adata.obs["type"])
    assert set(selected_df(result).index) == set(selector.get_feature_names_out())


def test_gene_that_is_never_kept(adata):
    for never in ([18], ["g18", "g0"], "never"):
        adata.var["never"] = adata.var_names == "g18"
        result = select(adata, never_keep=never)
        assert not result.var.loc["g18", "skproj_selected"]
        assert result.var["skproj_selected"].sum() == 3


def test_network_that_always_and_never_keeps_genes(adata):
    settings = QUICK_AUTOENCODER | SETTINGS
    result = select(adata, always_keep=[KEPT], never_keep=["g18"], **settings)
    kept = selected_df(result)
    assert kept.loc[KEPT, "selection_frequency"] == 1.0
    assert len(kept) == 4
    assert "g18" not in kept.index


def test_groups_and_weights_of_all_genes(adata):
    """By name, by a label for each gene of the mask or not, and by a column."""
    adata.var["pathway"] = [None] * 20
    adata.var.loc[["g2", "g3"], "pathway"] = "masked"
    adata.var.loc[["g4", "g7", "g8"], "pathway"] = "signal"
    adata.var["cost"] = np.where(adata.var_names == "g12", 1e-3, 1.0)
    groups = {"signal": ["g4", "g7", "g8"], "masked": [2, 3]}
    labels = [
        "signal" if name in groups["signal"] else name for name in adata.var_names
    ]
    outside = select(adata, feature_groups=[["g0", "g1"]])  # of the mask
    assert_same_results(outside, select(adata), rtol=0)
    expected = select(adata, feature_groups=groups, projection="l12", n_genes=4)
    assert expected.var.loc[["g7", "g8"], "skproj_selected"].all()
    for form in ("pathway", labels, pd.Series(labels, index=adata.var_names)[::-1]):
        result = select(adata, feature_groups=form, projection="l12", n_genes=4)
        assert_same_results(result, expected, rtol=0)
    shuffled = adata.var["cost"].sample(frac=1.0, random_state=0)
    for form in ("cost", adata.var["cost"].to_numpy(), shuffled):
        assert select(adata, feature_weights=form).var.loc["g12", "skproj_selected"]


def test_genes_of_each_group_with_one_that_is_always_kept(adata):
    result = select(adata, n_genes=None, n_genes_per_group=1, always_keep=[KEPT])
    for group in ("A", "B", "C"):
        names = set(result.uns["skproj"]["names"][group])
        assert KEPT in names
        assert len(names) == 2


def test_parameters_are_noted_as_they_were_given(adata, tmp_path):
    result = select(adata, always_keep=[KEPT], never_keep=[18])
    noted = result.uns["skproj"]["params"]["estimator"]
    assert "always_keep=['g15']" in noted
    assert "never_keep=[18]" in noted
    result.write_h5ad(tmp_path / "result.h5ad")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"always_keep": ["g2", "g15"]},
            r"the genes 'g2', which adata.var\['variable'",
        ),
        ({"always_keep": ["g15"], "never_keep": [15]}, "got 'g15' in both"),
        ({"always_keep": ["G-15"]}, "got 'G-15'; did you mean 'g15'"),
        ({"always_keep": [20]}, "always_keep must have indices from 0 to 19, got 20"),
        ({"always_keep": np.ones(15, bool)}, "or be a boolean mask of all 20"),
        ({"always_keep": "cost"}, r"adata.var\['cost'\] must be 20 booleans"),
        (
            {"always_keep": "gaps"},
            r"\['gaps'\] must be 20 booleans, .* none of them mis",
        ),
        ({"never_keep": "genes"}, "never_keep='genes' is not a column of adata.var"),
        ({"feature_weights": np.ones(15)}, "feature_weights must be an array of 20"),
        ({"feature_weights": "gap cost"}, "must be an array of 20 positive numbers"),
        ({"feature_groups": [1] * 15}, "a label, .* for each of the 20 features"),
        ({"feature_weights": {"g7": 2.0}}, r"positive numbers, .* got \{'g7': 2.0\}"),
        (
            {
                "n_genes": None,
                "n_genes_per_group": 1,
                "feature_groups": [["g7", "g5"]],
                "projection": "l12",
            },
            "gives 1 genes to one group and 2 to another, because feature_groups",
        ),
        ({"always_keep": "skproj_selected"}, "would overwrite always_keep='skproj_sel"),
    ],
)
def test_what_is_refused(adata, settings, message):
    adata.var["cost"] = 1.0
    adata.var["gap cost"] = [np.nan, *[1.0] * 19]
    adata.var["gaps"] = pd.array([None, *[True] * 19], dtype="boolean")
    with pytest.raises(ValueError, match=message) as error:
        select(adata, **settings)
    assert "\n" not in str(error.value)
    assert "skproj_selected" not in adata.var


def test_genes_outside_of_the_selection_do_not_count(adata):
    """Fifteen are in the mask, of which nine are never kept, and one always."""
    settings = {"never_keep": np.arange(14), "always_keep": [KEPT]}
    assert select(adata, **settings, n_genes=5).var["skproj_selected"].sum() == 6
    with pytest.raises((ValueError, UserWarning), match=r"n_genes=7 exceeds .*, 5"):
        select(adata, **settings, n_genes=7)


def test_mask_is_read_by_the_names_of_genes(adata):
    mask = adata.var["variable"]
    expected = select(adata)
    shuffled = mask.sample(frac=1.0, random_state=0)
    for form in (shuffled, mask.astype("boolean"), mask.to_numpy().astype(object)):
        result = select_features(adata, "type", mask_var=form, copy=True, **SETTINGS)
        assert_same_results(result, expected, rtol=0)
    for wrong, message in (
        (mask.set_axis([f"gene{j}" for j in range(20)]), "mask_var as a Series must"),
        (mask.astype(object).mask(mask.index == "g3"), "none of them missing"),
        (mask.astype(np.uint8), "must be 20 booleans"),
    ):
        with pytest.raises(ValueError, match=message):
            select_features(adata, "type", mask_var=wrong, **SETTINGS)
