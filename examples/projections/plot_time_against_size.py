"""
Run time of projections
=======================

A projection inside an optimizer runs after every step, so it should not take longer
than the step. This example times the exact and the bi-level projection onto the l1,inf
ball, and the projection onto the l1 ball, for matrices with increasing numbers of
columns and rows.
"""

# %%
# Baselines
# ---------
# A projection must read the matrix once, for its norms, and write the result once; this
# time is the floor. The NumPy version is a straightforward bi-level projection.
import time

import matplotlib.pyplot as plt
import numpy as np

from skproj.projection import (
    norm_l1inf,
    norm_l11,
    norm_linf,
    projection_bilevel_l1inf_ball,
    projection_l1_ball,
    projection_l1inf_ball,
)


def in_plain_numpy(W, radius):
    norms = np.abs(W).max(axis=0)
    falling = np.sort(norms)[::-1]
    thresholds = (np.cumsum(falling) - radius) / np.arange(1, len(falling) + 1)
    threshold = thresholds[np.count_nonzero(falling > thresholds) - 1]
    levels = np.maximum(norms - threshold, 0.0)
    return np.clip(W, -levels, levels)


def floor(W, out):
    norm_linf(W, n_threads=1)
    np.copyto(out, W)


# %%
# The radius is 10 % of the norm of the matrix, with one thread. The minimum of several
# rounds is reported, because other processes can only increase the time.


def calls(W):
    out = np.empty_like(W)
    radius, radius_of_l1 = 0.1 * norm_l1inf(W), 0.1 * norm_l11(W)
    settings = {"out": out, "n_threads": 1}
    return {
        "NumPy, bi-level": lambda: in_plain_numpy(W, radius),
        "l1inf, exact": lambda: projection_l1inf_ball(W, radius, **settings),
        "l1": lambda: projection_l1_ball(W, radius_of_l1, **settings),
        "bilevel_l1inf": lambda: projection_bilevel_l1inf_ball(W, radius, **settings),
        "floor": lambda: floor(W, out),
    }


def milliseconds(W):
    functions = calls(W)
    fastest = dict.fromkeys(functions, np.inf)
    for _ in range(8 + 8_000_000 // W.size):
        for name, call in functions.items():
            start = time.perf_counter()
            call()
            passed = 1e3 * (time.perf_counter() - start)
            fastest[name] = min(fastest[name], passed)
    return fastest


def times_of(shapes):
    rng = np.random.default_rng(0)
    rows = [milliseconds(rng.standard_normal(shape)) for shape in shapes]
    return {name: [row[name] for row in rows] for name in rows[0]}


sizes = [250, 500, 1000, 2000, 4000]
growing = {
    "columns (groups), 1000 rows": times_of([(1000, n) for n in sizes]),
    "rows (entries of a group), 1000 columns": times_of([(n, 1000) for n in sizes]),
}

# %%
# Time against size
# -----------------
# All times grow linearly with the number of entries, in both directions. The bi-level
# projection stays near the floor. The exact one searches for the level of each column,
# which takes two to eight times as long, similar to the bi-level projection in NumPy.
# From a quarter of a million entries on, it starts the search from an estimate by a
# sample.
styles = {
    "NumPy, bi-level": {"color": "#CC79A7", "marker": "D", "linestyle": ":"},
    "l1inf, exact": {"color": "#0072B2", "marker": "o", "linestyle": "-"},
    "l1": {"color": "#000000", "marker": "s", "linestyle": "-"},
    "bilevel_l1inf": {"color": "#E69F00", "marker": "^", "linestyle": "-"},
    "floor": {"color": "0.5", "linestyle": "--"},
}
figure, axes = plt.subplots(
    1, 2, figsize=(7.5, 4.6), sharex=True, sharey=True, layout="constrained"
)
for axis, (direction, times) in zip(axes, growing.items(), strict=True):
    for name, values in times.items():
        axis.plot(sizes, values, label=name, **styles[name])
    axis.set_xlabel(direction)
    axis.grid(alpha=0.3)
axes[0].set_ylabel("milliseconds, float64, one thread")
handles, labels = axes[0].get_legend_handles_labels()
figure.legend(handles, labels, loc="outside upper center", ncols=5)

# %%
# The largest matrices in numbers:
print(f"{'milliseconds':16} {'1000 x 4000':>12} {'4000 x 1000':>12}")
for name in styles:
    wide, tall = (times[name][-1] for times in growing.values())
    print(f"{name:16} {wide:12.1f} {tall:12.1f}")

# %%
# These are a few rounds with one kind of data on one computer; other processes affect
# the curves. The exact projection is faster for small radii, and slower for short
# groups. For small arrays, checking the arguments dominates. The page
# :doc:`/projections_speed` has the results of the full benchmark,
# ``benchmarks/projections.py``.
plt.show()
