"""Time the projections of the registry against the memory floor and against NumPy.

    python benchmarks/projections.py --csv projections.csv
    python benchmarks/projections.py --size 200x3000 --balls l1inf --repeats 20

Every cell is the least of a few runs, in nanoseconds per entry, and in brackets a
multiple of the memory floor: one pass that reads every entry (max of abs) and one
that reads and writes it (clip in place), by the kernels of skproj on contiguous
rows, in the same run, on the same data and threads. No projection that has to read
everything twice and write it once is faster. All projections of skproj work in
place; "numpy" is a plain NumPy version of bilevel_l1inf.
"""

import argparse
import csv
import platform
import re
import time
from itertools import product
from pathlib import Path

import numpy as np

import skproj
from skproj._kernels import _groups
from skproj.projection import BALLS
from skproj.utils._threads import effective_n_threads

SHARES = (0.01, 0.1, 0.5)  # radius as a part of the norm of the data


def numpy_bilevel_l1inf(X, radius, *, axis):
    """Project onto the l1,inf ball in two levels, as one would write it."""
    norms = np.abs(X).max(axis=axis)
    if norms.sum() <= radius:
        return X.copy()
    falling = np.sort(norms)[::-1]
    taus = (np.cumsum(falling) - radius) / np.arange(1, len(norms) + 1)
    tau = taus[np.count_nonzero(falling > taus) - 1]
    budgets = np.expand_dims(np.maximum(norms - tau, 0.0), axis)
    return np.clip(X, -budgets, budgets)


def fastest(function, X, repeats):
    """Least time of one call on a fresh copy of X, in nanoseconds per entry."""
    work, times = X.copy(), []
    for _ in range(repeats):
        np.copyto(work, X)
        start = time.perf_counter_ns()
        function(work)
        times.append(time.perf_counter_ns() - start)
    return min(times) / X.size


def memory_floor(X, repeats, n_threads):
    """One reading pass and one clipping pass in place, in nanoseconds per entry."""
    norms, levels = np.empty(len(X)), np.full(len(X), np.inf)

    def two_passes(work):
        _groups.group_norms(work, _groups.LINF, norms, n_threads)
        _groups.map_groups(work, _groups.CLIP, levels, work, n_threads)

    return fastest(two_passes, X, repeats)


def contestants(names, axis, n_threads):
    """Yield name, norm and ``f(X, radius)`` of all that is timed."""
    for name in names:
        ball = BALLS[name]

        def run(X, radius, ball=ball):
            ball.project(X, radius, axis=axis, out=X, n_threads=n_threads)

        yield name, ball.norm, run
    if n_threads == 1:
        norm = BALLS["bilevel_l1inf"].norm
        yield "numpy", norm, lambda X, r: numpy_bilevel_l1inf(X, r, axis=axis)


def measure(sizes, names, repeats, threads):
    """Yield one row of results per case; `threads` are the counts to try."""
    rng = np.random.default_rng(0)
    for size, dtype in product(sizes, ("float64", "float32")):
        X = rng.normal(size=size).astype(dtype)
        for n_threads in threads:
            floor = memory_floor(X, repeats, n_threads)
            for axis in (0, 1):
                for name, norm, run in contestants(names, axis, n_threads):
                    total = norm(X, axis=axis)
                    for share in SHARES:
                        radius = share * total
                        ns = fastest(lambda W, r=radius, f=run: f(W, r), X, repeats)
                        yield {
                            "shape": "x".join(map(str, size)),
                            "dtype": dtype,
                            "threads": n_threads,
                            "axis": axis,
                            "name": name,
                            "radius": share,
                            "ns_per_entry": round(ns, 4),
                            "times_floor": round(ns / floor, 3),
                            "floor_ns_per_entry": round(floor, 4),
                        }


def processor():
    """Name of the processor, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", info.read_text()) if info.exists() else 0
    return found[1] if found else platform.processor() or platform.machine()


def parse_size(text):
    """Turn "1000x10000" into (1000, 10000)."""
    rows, columns = text.lower().split("x")
    return int(rows), int(columns)


def main():
    """Print the table and write the CSV file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--size",
        type=parse_size,
        nargs="+",
        default=[(1000, 10_000), (10_000, 1000)],
        metavar="ROWSxCOLUMNS",
    )
    parser.add_argument("--balls", nargs="+", choices=BALLS, default=list(BALLS))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--csv", type=Path, help="also write the results here")
    arguments = parser.parse_args()

    print(__doc__)
    print(f"{processor()}, {effective_n_threads(-1)} CPUs, {platform.platform()}")
    print(
        f"Python {platform.python_version()}, NumPy {np.__version__}, "
        f"skproj {skproj.__version__}, least of {arguments.repeats} runs\n"
    )
    columns = "".join(f"{f'radius {share:.0%}':>18}" for share in SHARES)
    rows = []
    group = None
    for row in measure(
        arguments.size, arguments.balls, arguments.repeats, arguments.threads
    ):
        rows.append(row)
        case = row["shape"], row["dtype"], row["threads"]
        if case != group:
            group = case
            print(
                "{}, {}, {} thread(s); floor {:.3f} ns per entry".format(
                    *case, row["floor_ns_per_entry"]
                )
            )
            print(f"{'':>20}axis{columns}")
        if row["radius"] == SHARES[0]:
            print(f"{row['name']:>20}{row['axis']:>4}", end="")
        cell = f"{row['ns_per_entry']:.2f} ({row['times_floor']:.1f}x)"
        print(f"{cell:>18}", end="\n" if row["radius"] == SHARES[-1] else "")
    if arguments.csv:
        with arguments.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
