"""Plot the mean ranks of ``real_tables.py``, with the bar of Nemenyi's test."""

import numpy as np
from _real_tables_summary import group_fits, mean_ranks
from scipy.stats import studentized_range


def critical_difference(n_methods, n_tables, level=0.05):
    """Difference of mean ranks that is significant in the test of Nemenyi."""
    quantile = studentized_range.ppf(1 - level, n_methods, np.inf) / np.sqrt(2)
    return quantile * np.sqrt(n_methods * (n_methods + 1) / (6 * n_tables))


def cliques(ranks, width):
    """Largest runs of sorted ranks that are within `width`, as first and last index."""
    runs, reached = [], -1
    for first in range(len(ranks)):
        last = int(np.searchsorted(ranks, ranks[first] + width, side="right")) - 1
        if last > reached and last > first:
            runs.append((first, last))
        reached = max(reached, last)
    return runs


def plot_ranks(fits, titles, path):
    """Write the plot: a line for each method, a bar over those that do not differ."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    ranks, n_tables = mean_ranks(group_fits(fits))
    if len(ranks) < 2:
        print("There are no ranks to plot: no table has fits of two methods.")
        return
    names = sorted(ranks, key=ranks.get)
    values = np.array([ranks[name] for name in names])
    width = critical_difference(len(names), n_tables)
    runs = cliques(values, width)

    figure, axes = plt.subplots(figsize=(7.5, 1.4 + 0.28 * len(names)))
    lines = -np.arange(len(names), dtype=float)
    axes.hlines(lines, 1, values, color="0.85", linewidth=1)
    axes.plot(values, lines, "o", color="C0")
    for i, (first, last) in enumerate(runs):
        place = len(names) + 0.3 + 0.25 * i
        axes.plot([place, place], lines[[first, last]], color="0.3", linewidth=3)
    axes.plot([1, 1 + width], [1.0, 1.0], color="C3", linewidth=3)
    axes.text(1, 1.2, f"critical difference {width:.2f}", va="bottom")
    axes.set_yticks(lines, [f"{titles[name]} ({ranks[name]:.2f})" for name in names])
    axes.set_xlim(0.8, len(names) + 0.5 + 0.25 * len(runs))
    axes.set_ylim(lines[-1] - 0.6, 2.2)
    axes.set_xticks(range(1, len(names) + 1))
    axes.set_xlabel(f"mean rank of the accuracy on {n_tables} tables")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)
