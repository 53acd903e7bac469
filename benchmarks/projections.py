"""Time the projections against the memory floor and against other libraries.

    python benchmarks/projections.py                       # everything, many minutes
    python benchmarks/projections.py --size 1000x10000 --dtype float64 --axis 0
    python benchmarks/projections.py --balls l1inf bilevel_l1inf --libraries NumPy
    python benchmarks/projections.py --csv all.csv --rst table.rst --markdown README.md

Tables. A cell has the minimum time of a few runs in nanoseconds per entry, and in
brackets the multiple of the memory floor: one pass that reads every entry (max of abs)
and one that reads and writes it (clip in place), by the kernels of skproj over
contiguous rows, on the same array and with the same number of threads. A projection
that reads the array twice and writes it once cannot be faster. Radius "1" is the number
1; the others are shares of the norm of the data. "speed-up" is the time with one thread
divided by the time with this number of threads, the minimum over the radii.

skproj works in place, on a fresh copy for each run. The other libraries return a new
array, see the column "result". Before the timing, their result is compared with that of
skproj; "wrong" means that it differs. They are timed with a radius of 10 % of the norm
and, except torch, with one thread. Libraries that are not installed are omitted. "l1"
and "weighted_l1" project all entries of a matrix together, so their axis does not
matter. The weights are uniform between 0.01 and 1.01; as float64 they add 8 bytes per
entry, which the floor does not include. The last table is for small inputs:
microseconds per call, with a new result.
"""

import argparse
import csv
import math
import platform
import textwrap
import time
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import peers
import torch
from _tables import as_markdown, as_rst, processor, versions, write_between_marks

import skproj
from skproj._kernels import _groups
from skproj.projection import (
    BALLS,
    norm_l1,
    norm_multilevel,
    projection_multilevel,
    projection_simplex,
    projection_weighted_l1_ball,
)
from skproj.projection._threads import effective_n_threads

SIZES = [
    (1000, 10_000),
    (10_000, 1000),
    (100, 100_000),
    (4000, 4000),
    (10_000_000,),
    (64, 64, 1000),
]
SMALL_SIZES = [(10, 10), (100, 100), (10_000,)]
RADII = {"1": None, "1 %": 0.01, "10 %": 0.1, "50 %": 0.5}
PEER_RADIUS = "10 %"
PATIENCE = 1.0  # seconds after which a cell gets no more than its two runs
TOLERANCE = 1e-4  # of the largest entry, for results of other libraries


@dataclass(frozen=True)
class Operator:
    """A projection of skproj.

    ``project(X, radius, axis=, out=, n_threads=)`` and ``norm(X, axis=)``; without
    groups the axis is always None.
    """

    name: str
    project: Callable
    norm: Callable
    grouped: bool = False


def _project_tensor(X, radius, *, axis, out=None, n_threads=None):
    return projection_multilevel(X, radius, out=out, n_threads=n_threads)


def _project_weighted(X, radius, *, axis=None, out=None, n_threads=None):
    weights = peers.entry_weights(X.shape)
    return projection_weighted_l1_ball(
        X, radius, weights, axis=axis, out=out, n_threads=n_threads
    )


def _weighted_norm(X, axis):
    return float(np.sum(peers.entry_weights(X.shape) * np.abs(X)))


OPERATORS = {
    "simplex": Operator(
        "simplex", projection_simplex, lambda X, axis: norm_l1(X, axis=axis)
    ),
    **{
        name: Operator(name, ball.project, ball.norm, ball.grouped)
        for name, ball in BALLS.items()
        if ball.sparsifying
    },
    "weighted_l1": Operator("weighted_l1", _project_weighted, _weighted_norm),
    "trilevel_l1infinf": Operator(
        "trilevel_l1infinf", _project_tensor, lambda X, axis: norm_multilevel(X)
    ),
}
OPERATORS_BY_NDIM = {
    1: ["simplex", "l1", "weighted_l1"],
    2: ["weighted_l1", *(name for name, ball in BALLS.items() if ball.sparsifying)],
    3: ["trilevel_l1infinf"],
}


class Setting(NamedTuple):
    """All that the measurements that are compared have in common."""

    shape: str
    data: str
    dtype: str
    operator: str
    axis: int | None


@dataclass
class Line:
    """What was measured in one setting with one library."""

    setting: Setting
    library: str
    threads: int
    floor: float  # ns per entry
    times: dict  # ns per entry for each label of RADII; NaN for a wrong result
    speed_ups: dict  # over one thread, for each label; empty if that was not timed


def operators_for(X, names):
    """Operators that are timed on an array, of those that were asked for."""
    return [OPERATORS[name] for name in OPERATORS_BY_NDIM[X.ndim] if name in names]


# Measuring


def fastest(function, X, repeats, n_threads):
    """Least time of one call on a fresh copy of X, in nanoseconds per entry.

    With one thread it is the time of the processor: other programs matter less.
    """
    clock = time.process_time_ns if n_threads == 1 else time.perf_counter_ns
    work, times = np.empty_like(X), []
    while len(times) < repeats and (len(times) < 2 or sum(times) < PATIENCE * 1e9):
        np.copyto(work, X)
        start = clock()
        function(work)
        times.append(clock() - start)
    return min(times) / X.size


def memory_floor(X, repeats, n_threads):
    """One reading pass and one clipping pass in place, in nanoseconds per entry."""
    n_rows = math.gcd(X.size, 1024) if X.ndim == 1 else X.size // X.shape[-1]
    norms, levels = np.empty((1, n_rows)), np.full(n_rows, np.inf)

    def two_passes(work):
        rows = work.reshape(n_rows, -1)
        _groups.group_norms(rows, _groups.LINF, norms, n_threads)
        _groups.map_groups(rows, _groups.CLIP, levels, rows, n_threads)

    return fastest(two_passes, X, 2 * repeats, n_threads)


def make_data(kind, shape, dtype):
    """Draw an array, the same in every run."""
    rng = np.random.default_rng(0)
    draw = rng.standard_normal if kind == "gaussian" else rng.random
    return draw(shape, dtype=dtype)


def agrees(peer, operator, X, radius, axis):
    """Whether another library computes what skproj does."""
    expected = operator.project(X, radius, axis=axis, n_threads=1)
    result = peer.project(X, radius, axis)
    error = np.abs(result - expected).max()
    return bool(error <= TOLERANCE * np.abs(X).max())


def time_skproj(operator, X, axis, radii, n_threads, repeats):
    """Time skproj, in place, for each radius."""

    def run(work, radius):
        operator.project(work, radius, axis=axis, out=work, n_threads=n_threads)

    return {
        label: fastest(partial(run, radius=radius), X, repeats, n_threads)
        for label, radius in radii.items()
    }


def time_peer(peer, operator, X, axis, radii, n_threads, repeats):
    """Time another library, for one radius, if its result is right."""
    torch.set_num_threads(n_threads)
    radius = radii[PEER_RADIUS]
    if not agrees(peer, operator, X, radius, axis):
        return {PEER_RADIUS: math.nan}
    ns = fastest(lambda work: peer.project(work, radius, axis), X, repeats, n_threads)
    return {PEER_RADIUS: ns}


def lines_of_operator(operator, X, data, axis, floors, all_peers, repeats):
    """Yield the lines of one operator on one array, those of skproj first."""
    norm = operator.norm(X, axis=axis)
    radii = {label: share * norm if share else 1.0 for label, share in RADII.items()}
    timers = [("skproj", time_skproj, list(floors))]
    for peer in all_peers:
        if peer.operator == operator.name and peer.takes(X.dtype):
            threads = [n for n in floors if n == 1 or peer.uses_threads()]
            timers.append((peer.library, partial(time_peer, peer), threads))

    shape = "x".join(map(str, X.shape))
    setting = Setting(shape, data, X.dtype.name, operator.name, axis)
    for library, timer, threads in timers:
        alone = {}
        for n_threads in threads:
            times = timer(operator, X, axis, radii, n_threads, repeats)
            speed_ups = {label: ns / times[label] for label, ns in alone.items()}
            yield Line(setting, library, n_threads, floors[n_threads], times, speed_ups)
            if n_threads == 1:
                alone = times


def measure(all_peers, options):
    """Yield every line that was asked for."""
    for shape, dtype, data in product(options.size, options.dtype, options.data):
        X = make_data(data, shape, dtype)
        floors = {n: memory_floor(X, options.repeats, n) for n in options.threads}
        for operator in operators_for(X, options.balls):
            for axis in options.axis if operator.grouped else [None]:
                yield from lines_of_operator(
                    operator, X, data, axis, floors, all_peers, options.repeats
                )


def microseconds(function, repeats, *args, **kwargs):
    """Least time of one call on the same arguments each time."""
    timer = timeit.Timer(lambda: function(*args, **kwargs))
    number, _ = timer.autorange()
    return 1e6 * min(timer.repeat(repeats, number)) / number


def measure_small(all_peers, options):
    """Yield operator, shape, and microseconds a call of skproj and of NumPy."""
    plain = {peer.operator: peer for peer in all_peers if peer.library == "NumPy"}
    for shape in SMALL_SIZES:
        X = make_data("gaussian", shape, "float64")
        axis = 0 if X.ndim > 1 else None
        for operator in operators_for(X, options.balls):
            radius = RADII[PEER_RADIUS] * operator.norm(X, axis=axis)
            arguments = options.repeats, X, radius
            ours = microseconds(operator.project, *arguments, axis=axis)
            theirs = None
            if operator.name in plain:
                project = plain[operator.name].project
                theirs = microseconds(project, *arguments, axis=axis)
            yield operator.name, "x".join(map(str, shape)), ours, theirs


# Printing


def print_line(line, previous):
    """Print one line, below a heading if it begins a new array."""
    shape, data, dtype, operator, axis = line.setting
    if previous is None or previous.setting[:3] != (shape, data, dtype):
        heads = "".join(f"{f'radius {label}':>16}" for label in RADII)
        print(f"\n{shape}, {data}, {dtype}")
        print(f"{'':18}axis {'library':10} threads result  {heads}  speed-up")
    cells = "".join(
        f"{format_cell(line.times.get(label), line.floor):>16}" for label in RADII
    )
    result = "in place" if line.library == "skproj" else "new"
    speed_up = f"{min(line.speed_ups.values()):.2f}" if line.speed_ups else ""
    print(
        f"{operator:18}{'' if axis is None else axis:>4} {line.library:10} "
        f"{line.threads:>7} {result:8}{cells}{speed_up:>10}",
        flush=True,
    )


def format_cell(ns, floor):
    """Nanoseconds, and the multiple of the floor."""
    if ns is None:
        return ""
    return "wrong" if math.isnan(ns) else f"{ns:.2f} ({ns / floor:.1f}x)"


def write_csv(lines, path):
    """Write one row for each cell."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            (*Setting._fields, "library", "threads", "radius")
            + ("ns_per_entry", "times_floor", "floor_ns_per_entry")
        )
        for line in lines:
            for radius, ns in line.times.items():
                numbers = [f"{x:.4f}" for x in (ns, ns / line.floor, line.floor)]
                writer.writerow(
                    [*line.setting, line.library, line.threads, radius, *numbers]
                )


# Summary tables for the documentation


def summary(lines, *, by_axis):
    """Rows of the table of operators, the first with the titles."""
    threads = sorted({line.threads for line in lines} - {1})
    dtypes = sorted({line.setting.dtype for line in lines}, reverse=True)
    known = {line.library for line in lines}
    libraries = [x for x in [peers.PUBLISHED, *peers.LIBRARIES] if x in known]
    titles = ["operator", "axis", *dtypes]
    titles += [f"{n} threads" for n in threads] + libraries

    groups = {}
    for line in lines:
        axis = line.setting.axis if by_axis else None
        groups.setdefault((line.setting.operator, axis), []).append(line)
    rows = [titles]
    for name in OPERATORS:
        for axis in (None, 0, 1):
            group = groups.get((name, axis))
            if group is None:
                continue
            ours = [line for line in group if line.library == "skproj"]
            row = [f"`{name}`", "" if axis is None else str(axis)]
            row += [worst(ours, dtype) for dtype in dtypes]
            row += [speed_ups(ours, n) for n in threads]
            row += [against(group, library) for library in libraries]
            rows.append(row)
    if not by_axis:
        rows = [row[:1] + row[2:] for row in rows]
    return rows


def worst(lines, dtype):
    """Largest multiple of the floor with one thread, over shapes, data and radii."""
    multiples = [
        max(line.times.values()) / line.floor
        for line in lines
        if line.setting.dtype == dtype and line.threads == 1
    ]
    return f"{max(multiples):.1f}" if multiples else ""


def speed_ups(lines, threads):
    """Speed-up of a number of threads: the median, and from worst to best."""
    gains = [
        gain
        for line in lines
        if line.threads == threads
        for gain in line.speed_ups.values()
    ]
    return f"{np.median(gains):.1f} ({format_range(gains)})" if gains else ""


def against(lines, library):
    """Time of another library in multiples of ours, with one thread."""
    ours, theirs = (
        {
            line.setting: line.times[PEER_RADIUS]
            for line in lines
            if line.library == name and line.threads == 1
        }
        for name in ("skproj", library)
    )
    ratios = {setting: ns / ours[setting] for setting, ns in theirs.items()}
    wrong = {s.dtype for s, ratio in ratios.items() if math.isnan(ratio)}
    text = format_range([ratio for ratio in ratios.values() if not math.isnan(ratio)])
    return ", ".join(filter(None, [text, *(f"wrong in {x}" for x in sorted(wrong))]))


def format_range(numbers):
    """Least and largest number, or one where rounding makes them equal."""
    if not numbers:
        return ""
    low, high = (f"{x:.{1 if x < 10 else 0}f}" for x in (min(numbers), max(numbers)))
    return low if low == high else f"{low}-{high}"


def small_summary(small):
    """Rows of the table of small inputs, the first with the titles."""
    shapes = list(dict.fromkeys(shape for _, shape, _, _ in small))
    cells = {}
    for name, shape, ours, theirs in small:
        numpy = f", NumPy {theirs:.0f}" if theirs else ""
        cells[name, shape] = f"{ours:.0f}{numpy}"
    names = [name for name in OPERATORS if any((name, x) in cells for x in shapes)]
    body = [
        [f"`{name}`", *(cells.get((name, x), "") for x in shapes)] for name in names
    ]
    return [["operator", *shapes], *body]


def write_rst(path, conditions, lines, small):
    """Write the tables that the documentation includes."""
    parts = [
        as_rst(summary(lines, by_axis=True)),
        "Small inputs, microseconds for one call of skproj and of plain NumPy code:\n",
        as_rst(small_summary(small)),
        conditions,
    ]
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def write_markdown(path, conditions, lines):
    """Write the short table, between the marks of an existing file if it has them."""
    table = as_markdown(summary(lines, by_axis=False))
    write_between_marks(path, "benchmark table", f"{table}\n{conditions}\n")


def describe_conditions(options):
    """Say in a few sentences where and how the numbers were taken."""
    sizes = ", ".join("x".join(map(str, shape)) for shape in options.size)
    return textwrap.fill(
        f"Measured on {processor()}, {effective_n_threads(-1)} CPUs, "
        f"{platform.system()}, with {versions(NumPy=np, torch=torch, skproj=skproj)}; "
        f"least of {options.repeats} runs. "
        f"Arrays: {sizes}; {' and '.join(options.data)} data.",
        width=88,
    )


# Command line


def parse_size(text):
    """Turn "1000x10000" into (1000, 10000)."""
    shape = tuple(int(n) for n in text.lower().split("x"))
    if not 1 <= len(shape) <= 3 or min(shape) < 1:
        raise ValueError(text)
    return shape


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def choose(option, choices, text, **kwargs):
        kwargs = {"choices": choices, "default": choices} | kwargs
        parser.add_argument(option, nargs="+", help=f"{text} (default: all)", **kwargs)

    parser.add_argument(
        "--size",
        type=parse_size,
        nargs="+",
        default=SIZES,
        metavar="N[xN[xN]]",
        help="shapes: 10000000 is a vector, 1000x10000 a matrix, 64x64x1000 a tensor",
    )
    choose("--balls", list(OPERATORS), "what to time")
    choose("--axis", [0, 1], "what the groups of a matrix run along", type=int)
    choose("--dtype", ["float64", "float32"], "types of the entries")
    choose("--data", ["gaussian", "uniform"], "normal, or uniform between 0 and 1")
    parser.add_argument(
        "--libraries",
        nargs="*",
        choices=list(peers.LIBRARIES),
        default=list(peers.LIBRARIES),
        help="what to compare with; without a name: nothing (default: all)",
    )
    parser.add_argument(
        "--published",
        type=Path,
        metavar="PATH",
        help="extension module of the authors' published code, see peers.py",
    )
    parser.add_argument(
        "--threads", type=int, nargs="+", default=[1, 2], help="counts (default: 1 2)"
    )
    parser.add_argument(
        "--repeats", type=int, default=5, help="runs for each cell (default: 5)"
    )
    parser.add_argument("--csv", type=Path, help="write every cell to this file")
    parser.add_argument("--rst", type=Path, help="write the summary tables here")
    parser.add_argument(
        "--markdown",
        type=Path,
        help="write a short summary here, between the marks of the file if it has them",
    )
    options = parser.parse_args()
    options.threads = sorted(set(options.threads))  # speed-ups are over the first
    return options


def main():
    """Measure, print, and write the files that were asked for."""
    options = parse_arguments()
    all_peers, missing = peers.load(options.libraries, options.published)
    conditions = describe_conditions(options)
    print(__doc__)
    print(conditions)
    for library in missing:
        print(f"{library} is not installed and is left out.")

    lines = []
    for line in measure(all_peers, options):
        print_line(line, lines[-1] if lines else None)
        lines.append(line)

    print("\nSmall inputs, gaussian, float64, radius 10 %: microseconds for one call")
    small = list(measure_small(all_peers, options))
    for row in small_summary(small):
        print("".join(f"{cell.replace('`', ''):18}" for cell in row).rstrip())

    if options.csv:
        write_csv(lines, options.csv)
    if options.rst:
        write_rst(options.rst, conditions, lines, small)
    if options.markdown:
        write_markdown(options.markdown, conditions, lines)


if __name__ == "__main__":
    main()
