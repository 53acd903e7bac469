"""Time, passes and memory of the selectors on data in blocks of rows.

    python benchmarks/_cells.py cells.zarr --n-obs 200000 --n-vars 20000
    python benchmarks/blocks.py cells.zarr
    python benchmarks/blocks.py *.zarr --figures blocks.jsonl
    python benchmarks/blocks.py cells.zarr --fits fit --workers 1 2 \
        --figures blocks.jsonl --rst doc/benchmarks_blocks.rst \
        --plot doc/benchmarks_blocks.png

Data. Tables of single cells written by ``benchmarks/_cells.py``: 5 % of the entries
are not zero, and there are ten types of cells, which the selectors predict.

Method. Each fit runs in a process of its own, with one thread for arithmetic and one
for reading. The time of reading is that of a pass that does nothing, in the same
process. The memory is the largest resident memory of the process, Python and libraries
included. `fit` is `ProjectionFeatureSelector` with ``eta=10``, `search` is
`ProjectionFeatureSelectorCV` with 20 radii and 3 folds, `stability` is
`StabilitySelector` with 10 pairs of halves and ``eta=10``. With ``--workers``,
processes of a dask cluster on this machine make the passes: each has one core, where it
reads as well, and has imported the libraries. `--figures` keeps the figures of several
runs.
"""

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from _results import describe_system
from _tables import as_markdown, as_rst
from matplotlib.ticker import EngFormatter

FITS = ("fit", "search", "stability")


def run_here(path, name, n_workers):
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
    with start_workers(n_workers) as client:
        blocks = open_blocks(path, client=client)
        begin = time.perf_counter()
        estimator.fit(blocks, y.astype(str))
        seconds = time.perf_counter() - begin
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures = {
        "n_rows": blocks.shape[0],
        "n_columns": blocks.shape[1],
        "n_entries": int(n_entries),
        "fit": name,
        "n_workers": n_workers,
        "n_selected": int(estimator.get_support().sum()),
        "n_passes": blocks.n_passes,
        "seconds": seconds,
        "reading": reading,
        "gigabytes": kilobytes / 1e6,
        "megabytes_moved": blocks.n_bytes_moved / 1e6,
    }
    print(json.dumps(figures))


@contextlib.contextmanager
def start_workers(n_workers):
    """Start processes with a core each, and return their client, or None."""
    if n_workers == 0:
        yield None
        return
    import dask
    from distributed import Client, LocalCluster

    # dask has large arrays returned to the system at once, and mapped anew.
    malloc = "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_"
    with (
        dask.config.set({malloc: 1 << 25}),
        LocalCluster(
            n_workers=n_workers, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(n_workers)
        for core, worker in enumerate(client.scheduler_info(n_workers=-1)["workers"]):
            client.run(prepare_worker, core, workers=[worker])
        yield client


def prepare_worker(core):
    """Import the libraries, and stay on a core."""
    import anndata  # noqa: F401

    import skproj  # noqa: F401

    # The worker computes in one thread, reads in another and has some of its own.
    for thread in os.listdir("/proc/self/task"):
        os.sched_setaffinity(int(thread), {core})


def measure(path, name, n_workers):
    """Fit in another process; return its figures."""
    command = [sys.executable, __file__, str(path), "--fits", name]
    command += ["--run", "--workers", str(n_workers)]
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    result = subprocess.run(
        command, stdout=subprocess.PIPE, check=True, env=os.environ | one_thread
    )
    return json.loads(result.stdout)


def tabulate(figures):
    """Return the rows of the table."""
    rows = [
        [
            "cells",
            "genes",
            "entries, millions",
            "fit",
            "workers",
            "genes selected",
            "passes",
            "s",
            "s of reading a pass",
            "GB",
            "MB moved",
        ]
    ]
    for f in figures:
        rows.append(
            [
                f"{f['n_rows']}",
                f"{f['n_columns']}",
                f"{f['n_entries'] / 1e6:.0f}",
                f["fit"],
                f"{f['n_workers'] or 'none'}",
                f"{f['n_selected']}",
                f"{f['n_passes']}",
                f"{f['seconds']:.1f}",
                f"{f['reading']:.1f}",
                f"{f['gigabytes']:.2f}",
                f"{f['megabytes_moved']:.0f}" if f["n_workers"] else "",
            ]
        )
    return rows


def plot(figures, path):
    """Draw time over rows, columns and workers, and memory over rows."""
    figure, axes = plt.subplots(2, 2, figsize=(8.0, 6.4), layout="constrained")
    here = [f for f in figures if f["n_workers"] == 0]
    columns = max(f["n_columns"] for f in here if f["n_rows"] > min_rows(here))
    long = [f for f in here if f["n_columns"] == columns]
    wide = [f for f in here if f["n_rows"] == min_rows(here)]
    shared = [f for f in figures if f["n_workers"]]
    for ax, own, x, y in (
        (axes[0, 0], long, "n_rows", "seconds"),
        (axes[0, 1], wide, "n_columns", "seconds"),
        (axes[1, 0], long, "n_rows", "gigabytes"),
        (axes[1, 1], shared, "n_workers", "seconds"),
    ):
        for name in dict.fromkeys(f["fit"] for f in own):
            draw(ax, [f for f in own if f["fit"] == name], x, y, marker="o", label=name)
        if y == "seconds" and own is not shared:
            draw(ax, own, x, "reading", "k--", marker=".", label="one reading")
            ax.set_yscale("log")
        if own is not shared:
            ax.set_xscale("log")
        ticks = sorted({f[x] for f in own})
        ax.set_xticks(ticks, map(EngFormatter(sep=""), ticks))
        ax.minorticks_off()
    axes[0, 0].set(xlabel=f"cells, {columns} genes", ylabel="seconds")
    axes[0, 1].set(xlabel=f"genes, {min_rows(here)} cells", ylabel="seconds")
    axes[1, 0].set(xlabel=f"cells, {columns} genes", ylabel="largest memory, GB")
    rows = max((f["n_rows"] for f in shared), default=0)
    axes[1, 1].set(xlabel=f"workers, {rows} cells", ylabel="seconds")
    for ax in axes[1]:
        ax.set_ylim(0.0, 1.1 * ax.get_ylim()[1])
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4
    )
    plt.savefig(path, dpi=150)


def min_rows(figures):
    """Return the number of rows of the smallest tables."""
    return min(f["n_rows"] for f in figures)


def draw(ax, figures, x, y, *style, **more):
    """Draw one figure over another, the last of equal ones."""
    points = sorted({f[x]: f[y] for f in figures}.items())
    ax.plot(*zip(*points, strict=True), *style, **more)


def main():
    """Measure, print, and write the files that were asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--fits", nargs="+", choices=FITS, default=FITS)
    parser.add_argument("--workers", nargs="+", type=int, default=[0])
    parser.add_argument("--run", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--figures", type=Path, help="add the figures to this file")
    parser.add_argument("--rst", type=Path, help="write the table here")
    parser.add_argument("--plot", type=Path, help="draw the figures here")
    options = parser.parse_args()
    if options.run:
        run_here(str(options.files[0]), options.fits[0], options.workers[0])
        return
    figures = []
    if options.figures and options.figures.exists():
        lines = options.figures.read_text(encoding="utf-8").splitlines()
        figures = [json.loads(line) for line in lines]
    for path, name, n_workers in product(options.files, options.fits, options.workers):
        figures.append(measure(path, name, n_workers))
        print(figures[-1], flush=True)
        if options.figures:
            with options.figures.open("a", encoding="utf-8") as file:
                file.write(json.dumps(figures[-1]) + "\n")
    keys = "n_workers", "n_rows", "n_columns"
    figures.sort(key=lambda f: (FITS.index(f["fit"]), *(f[key] for key in keys)))
    rows = tabulate(figures)
    print(as_markdown(rows))
    if options.rst:
        text = f"{as_rst(rows)}\nMeasured on {describe_system()}; one thread.\n"
        options.rst.write_text(text, encoding="utf-8")
    if options.plot:
        plot(figures, options.plot)


if __name__ == "__main__":
    main()
