"""plot_selected: dots of the genes in the groups."""

import anndata
import matplotlib.pyplot as plt
import numpy as np
import pytest
from anndata_helpers import QUICK

from skproj.anndata import plot_selected, select_features, selected_df
from skproj.anndata._dots import LARGEST_DOT


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def texts(labels):
    return [label.get_text() for label in labels]


def dots_by_name(ax):
    """Return the colour and the area of the dots by group and gene."""
    dots = ax.collections[0]
    genes, groups = texts(ax.get_xticklabels()), texts(ax.get_yticklabels())
    return {
        (groups[int(y)], genes[int(x)]): (colour, area)
        for (x, y), colour, area in zip(
            dots.get_offsets(), dots.get_array(), dots.get_sizes(), strict=True
        )
    }


def test_dots_are_means_and_shares(small):
    """Also where genes are not in the order of the object."""
    select_features(small, "type", **QUICK)
    ax = plot_selected(small, n_genes=5)
    table = selected_df(small).head(5)
    genes = texts(ax.get_xticklabels())
    assert set(genes) == set(table.index)
    order = [
        list(small.uns["skproj"]["groups"]).index(g) for g in table.loc[genes, "group"]
    ]
    assert order == sorted(order)
    assert texts(ax.get_yticklabels()) == list(small.uns["skproj"]["groups"])
    dots = dots_by_name(ax)
    assert len(dots) == 15
    for gene in genes:
        column = small[:, gene].X.toarray().ravel().astype(float)
        means = {}
        for group in small.uns["skproj"]["groups"]:
            values = column[(small.obs["type"] == group).to_numpy()]
            means[group] = values.mean()
            assert dots[group, gene][1] == pytest.approx(
                LARGEST_DOT * np.mean(values > 0)
            )
        low, high = min(means.values()), max(means.values())
        for group, mean in means.items():
            colour = (mean - low) / (high - low)
            assert dots[group, gene][0] == pytest.approx(colour, abs=1e-6)


def test_bars_are_the_scores(small):
    select_features(small, "type", **QUICK)
    ax = plot_selected(small, n_genes=3)
    bars = next(axes for axes in ax.figure.axes if axes.patches and axes is not ax)
    scores = selected_df(small).loc[texts(ax.get_xticklabels()), "score"]
    np.testing.assert_allclose([bar.get_height() for bar in bars.patches], scores)


def test_genes_and_groups_that_are_not_drawn_are_counted(small):
    """Fewer genes were asked for, or fewer are there than were selected."""
    select_features(small, "type", **QUICK)
    n_selected = len(selected_df(small))
    ax = plot_selected(small, n_genes=n_selected)
    assert len(texts(ax.get_xticklabels())) == n_selected
    assert ax.get_xlabel() == ax.get_ylabel() == ""
    ax = plot_selected(small, n_genes=3)
    assert ax.get_xlabel() == f"3 of {n_selected} selected genes"
    keep = ~small.var_names.isin(selected_df(small).index[:2])
    part = small[small.obs["type"] != "CD19+ B", keep].copy()
    ax = plot_selected(part, n_genes=n_selected)
    assert ax.get_xlabel() == f"{n_selected - 2} of {n_selected} selected genes"
    assert ax.get_ylabel() == "2 of 3 groups"


def test_names_that_would_look_alike_are_written_in_full(small):
    long = [f"ENSG0000000000{i}_version_of_the_annotation" for i in range(small.n_vars)]
    small.var_names = long
    select_features(small, "type", **QUICK)
    drawn = texts(plot_selected(small, n_genes=5).get_xticklabels())
    assert set(drawn) == set(selected_df(small).index[:5])


def test_given_axes_are_drawn_into(small):
    select_features(small, "type", **QUICK)
    _, ax = plt.subplots()
    assert plot_selected(small, n_genes=3, ax=ax) is ax
    assert len(plt.get_fignums()) == 1


def test_cells_that_take_no_part_are_not_drawn(small, tmp_path):
    """Nor are genes read that were not selected; the object may be in a file."""
    groups = ["CD19+ B", "CD14+ Monocyte"]
    small.layers["logs"] = small.X.toarray()
    select_features(small, "type", groups=groups, layer="logs", **QUICK)
    expected = dots_by_name(plot_selected(small, n_genes=4))
    assert {group for group, _ in expected} == set(groups)
    small.layers["logs"][:, ~small.var["skproj_selected"].to_numpy()] = np.nan
    small.layers["logs"][~small.obs["type"].isin(groups)] = np.nan
    assert dots_by_name(plot_selected(small, n_genes=4)) == expected
    small.write_h5ad(tmp_path / "small.h5ad")
    backed = anndata.read_h5ad(tmp_path / "small.h5ad", backed="r")
    assert dots_by_name(plot_selected(backed, n_genes=4)) == expected
    backed.file.close()


def test_scaled_data_have_dots_of_one_size(small):
    X = small.X.toarray()
    small.X = X - X.mean(axis=0)
    select_features(small, "type", **QUICK)
    ax = plot_selected(small)
    assert set(ax.collections[0].get_sizes()) == {LARGEST_DOT}
    assert ax.get_legend() is None


def test_bad_input_is_refused(small):
    for function in (selected_df, plot_selected):
        with pytest.raises(ValueError, match="no results under key='skproj'"):
            function(small)
    select_features(small, "type", **QUICK)
    with pytest.raises(ValueError, match="n_genes must be an integer of at least 1"):
        plot_selected(small, n_genes=0)
    with pytest.raises(TypeError, match="ax must be the axes of one plot, got str"):
        plot_selected(small, ax="x")
    for part in (
        small[:, ~small.var["skproj_selected"].to_numpy()].copy(),
        small[:0].copy(),
    ):
        with pytest.raises(ValueError, match="no cells of the groups, or no genes"):
            plot_selected(part)
    del small.obs["type"]
    with pytest.raises(ValueError, match="groupby='type' is not a column"):
        plot_selected(small)
