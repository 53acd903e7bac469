"""Plot of the expression of genes in groups of cells, with a dot for each pair."""

import numpy as np

from skproj.inspection._common import KEPT_COLOR, single_axes
from skproj.utils._optional import import_optional
from skproj.utils._wording import short_names

# Inches for a dot, and for what is beside, above and below the dots.
DOT_SIZE = 0.3
LEGENDS_WIDTH = 4.0
BARS_HEIGHT = 0.8
NAMES_HEIGHT = 1.1

# Area in square points of the dot of a gene that all cells express.
LARGEST_DOT = 150.0

SHARES = (0.25, 0.5, 0.75, 1.0)
COLORMAP = "Reds"


def draw_dots(ax, means, shares, scores, gene_names, group_names):
    """Draw a dot for each gene and group, and return the axes.

    `means` are the mean expressions, of shape (n_groups, n_genes); colours are relative
    to the range of a gene. `shares`, of the same shape, are those of the cells that
    express a gene, and the areas of the dots; None makes all the same. For None, `ax`
    are those of a new figure, with bars of the scores above the dots.
    """
    n_groups, n_genes = means.shape
    if ax is None:
        bars, ax = _new_axes(n_groups, n_genes)
        bars.bar(range(n_genes), scores, color=KEPT_COLOR, width=0.6)
        bars.set_ylabel("score")
    ax = single_axes(ax)
    lowest, ranges = means.min(axis=0), np.ptp(means, axis=0)
    rows, columns = np.indices(means.shape)
    dots = ax.scatter(
        columns.ravel(),
        rows.ravel(),
        s=LARGEST_DOT * (np.ones_like(means) if shares is None else shares).ravel(),
        c=((means - lowest) / np.where(ranges > 0, ranges, 1)).ravel(),
        cmap=COLORMAP,
        vmin=0.0,
        vmax=1.0,
        edgecolor="0.5",
        linewidth=0.5,
    )
    # A dollar sign in a name is no mathematics.
    genes = short_names(gene_names)
    ax.set_xticks(range(n_genes), genes, rotation=90, parse_math=False)
    ax.set_yticks(range(n_groups), short_names(group_names), parse_math=False)
    ax.set(xlim=(-0.7, n_genes - 0.3), ylim=(n_groups - 0.3, -0.7))
    ax.figure.colorbar(
        dots, ax=ax, label="mean expression,\nfrom lowest to highest", aspect=10
    )
    if shares is not None:
        handles = [
            ax.scatter([], [], s=LARGEST_DOT * share, color="0.7", label=f"{share:.0%}")
            for share in SHARES
        ]
        ax.legend(
            handles=handles,
            title="cells that\nexpress it",
            loc="upper left",
            bbox_to_anchor=(1.0, 1.0),
            frameon=False,
        )
    return ax


def _new_axes(n_groups, n_genes):
    """Return the axes for the bars and for the dots in a new figure."""
    pyplot = import_optional("matplotlib.pyplot", extra="plot")
    dots_height = DOT_SIZE * (n_groups + 1)
    _, (bars, ax) = pyplot.subplots(
        2,
        sharex=True,
        height_ratios=[BARS_HEIGHT, dots_height],
        figsize=(
            LEGENDS_WIDTH + DOT_SIZE * n_genes,
            BARS_HEIGHT + dots_height + NAMES_HEIGHT,
        ),
        layout="constrained",
    )
    bars.tick_params(axis="x", bottom=False)
    bars.spines[["top", "right"]].set_visible(False)
    return bars, ax
