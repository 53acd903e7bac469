"""Time, passes and memory of the selectors on data in blocks of rows.

    skproj datasets cells --n-obs 200000 --n-vars 20000 --out cells.zarr
    python benchmarks/blocks.py cells.zarr
    python benchmarks/blocks.py *.zarr --rst doc/benchmarks_blocks.rst \
        --plot doc/benchmarks_blocks.png

Data. Tables of single cells written by ``skproj datasets cells``: 20000 genes, of which
5 % are not zero in a cell, and ten types, which the selectors predict.

Method. Each fit runs in a process of its own, with one thread for arithmetic and one
for reading. The time of reading is that of a pass that does nothing, in the same
process. The memory is the largest resident memory of the process, Python and libraries
included. `fit` is `ProjectionFeatureSelector` with ``eta=10``, `search` is
`ProjectionFeatureSelectorCV` with 20 radii and 3 folds, `stability` is
`StabilitySelector` with 10 pairs of halves and ``eta=10``.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from _results import describe_system
from _tables import as_markdown, as_rst

FITS = ("fit", "search", "stability")


def run_here(path, name):
    """Fit in this process, and print the figures."""
    # Imported here: the libraries of the table and the plot do not count.
    import zarr
    from anndata.io import read_elem

    from skproj.blocks import open_blocks
    from skproj.feature_selection import (
        ProjectionFeatureSelector,
        ProjectionFeatureSelectorCV,
        StabilitySelector,
    )

    y = np.asarray(read_elem(zarr.open_group(path, mode="r")["obs/cell_type"]))
    blocks = open_blocks(path)
    begin = time.perf_counter()
    n_entries = sum(block.nnz for _, block in blocks)
    reading = time.perf_counter() - begin
    one = ProjectionFeatureSelector(eta=10.0)
    estimator = {
        "fit": one,
        "search": ProjectionFeatureSelectorCV(20, cv=3, random_state=0),
        "stability": StabilitySelector(one, n_pairs=10, random_state=0),
    }[name]
    blocks.n_passes = 0
    begin = time.perf_counter()
    estimator.fit(blocks, y.astype(str))
    seconds = time.perf_counter() - begin
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures = {
        "n_rows": blocks.shape[0],
        "n_entries": int(n_entries),
        "fit": name,
        "n_selected": int(estimator.get_support().sum()),
        "n_passes": blocks.n_passes,
        "seconds": seconds,
        "reading": reading,
        "gigabytes": kilobytes / 1e6,
    }
    print(json.dumps(figures))


def measure(path, name):
    """Fit in another process; return its figures."""
    command = [sys.executable, __file__, str(path), "--run", name]
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    result = subprocess.run(
        command, stdout=subprocess.PIPE, check=True, env=os.environ | one_thread
    )
    return json.loads(result.stdout)


def tabulate(figures):
    """Return the rows of the table."""
    titles = ["cells", "entries, millions", "fit", "genes", "passes", "s"]
    rows = [[*titles, "s of reading a pass", "GB"]]
    for f in figures:
        rows.append(
            [
                f"{f['n_rows']}",
                f"{f['n_entries'] / 1e6:.0f}",
                f["fit"],
                f"{f['n_selected']}",
                f"{f['n_passes']}",
                f"{f['seconds']:.1f}",
                f"{f['reading']:.1f}",
                f"{f['gigabytes']:.2f}",
            ]
        )
    return rows


def plot(figures, path):
    """Draw time and memory over the number of rows."""
    _, axes = plt.subplots(1, 2, figsize=(8.0, 3.2), layout="constrained")
    names = list(dict.fromkeys(f["fit"] for f in figures))
    for ax, key in zip(axes, ("seconds", "gigabytes"), strict=True):
        for name in names:
            own = sorted((f["n_rows"], f[key]) for f in figures if f["fit"] == name)
            ax.plot(*zip(*own, strict=True), marker="o", label=name)
        ax.set(xscale="log", xlabel="cells")
    reading = sorted({f["n_rows"]: f["reading"] for f in figures}.items())
    axes[0].plot(*zip(*reading, strict=True), "k--", marker=".", label="one reading")
    axes[0].set(yscale="log", ylabel="seconds")
    axes[1].set(ylabel="largest memory, GB", ylim=(0.0, None))
    axes[0].legend()
    plt.savefig(path, dpi=150)


def main():
    """Measure, print, and write the files that were asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--fits", nargs="+", choices=FITS, default=FITS)
    parser.add_argument("--run", choices=FITS, help=argparse.SUPPRESS)
    parser.add_argument("--rst", type=Path, help="write the table here")
    parser.add_argument("--plot", type=Path, help="draw the figures here")
    options = parser.parse_args()
    if options.run:
        run_here(str(options.files[0]), options.run)
        return
    figures = []
    for path in options.files:
        for name in options.fits:
            figures.append(measure(path, name))
            print(figures[-1], flush=True)
    figures.sort(key=lambda f: (FITS.index(f["fit"]), f["n_rows"]))
    rows = tabulate(figures)
    print(as_markdown(rows))
    if options.rst:
        text = f"{as_rst(rows)}\nMeasured on {describe_system()}; one thread.\n"
        options.rst.write_text(text, encoding="utf-8")
    if options.plot:
        plot(figures, options.plot)


if __name__ == "__main__":
    main()
