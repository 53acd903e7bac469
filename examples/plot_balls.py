"""
What each ball does to a matrix
===============================

The same small matrix on every ball, how sparse the result is for which radius, and
what the radius says about the part that is taken away. Groups are columns throughout,
``axis=0``.
"""

# %%
# The same matrix on every ball
# -----------------------------
# Twelve columns of decreasing size. For each ball that makes zeros,
# :func:`~skproj.projection.radius_for_sparsity` finds the largest radius that leaves
# five columns (for the l1 ball: as many entries as five columns have), so that only
# what happens to the kept ones differs. The l2 and the linf ball make no zeros; their
# radius is half of the norm. Grey is exactly zero.
import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from skproj.projection import BALLS, radius_for_sparsity

parser = argparse.ArgumentParser(description="Plot what the balls do to a matrix.")
parser.add_argument("--out", type=Path, help="folder to save the plots in")
options = parser.parse_args()

rng = np.random.default_rng(0)
n_rows, n_columns, n_kept = 8, 12, 5
W = rng.standard_normal((n_rows, n_columns)) * np.geomspace(3.0, 0.3, n_columns)


def chosen_radius(ball):
    if not ball.sparsifying:
        return 0.5 * ball.norm(W)
    n_groups = n_kept if ball.grouped else n_kept * n_rows
    return radius_for_sparsity(W, n_groups=n_groups, ball=ball.name)


panels = {"the matrix": W}
for name, ball in BALLS.items():
    if name == "bilevel_l12":  # the same operator as l12
        continue
    radius = chosen_radius(ball)
    panels[f"{name}, radius {radius:.1f}"] = ball.project(W, radius)

colours = plt.get_cmap("RdBu_r").with_extremes(bad="0.8")
limit = np.abs(W).max()
figure, axes = plt.subplots(
    2, 4, figsize=(10, 4), sharex=True, sharey=True, layout="constrained"
)
for axis, (title, P) in zip(axes.flat, panels.items(), strict=True):
    image = axis.imshow(
        np.ma.masked_equal(P, 0.0),
        cmap=colours,
        vmin=-limit,
        vmax=limit,
        interpolation="nearest",
    )
    axis.set_title(title, fontsize="medium")
    axis.set_xticks([])
    axis.set_yticks([])
figure.supxlabel("column", fontsize="medium")
figure.supylabel("row", fontsize="medium")
figure.colorbar(image, ax=axes, label="entry", shrink=0.8)
matrix_figure = figure

# %%
# Sparsity and distance against the radius
# ----------------------------------------
# A larger random matrix: columns of different sizes, some of even entries, some with a
# few large ones. The radius is a share of the norm of the matrix, so that balls of
# different norms can be compared. Solid lines are exact projections, the nearest
# points; dashed ones are bi-level. On the right the radius is left out: how far away is
# a point with so many zero columns?
sizes = rng.lognormal(sigma=0.5, size=500)
powers = rng.uniform(0.5, 2.5, size=500)
normal = rng.standard_normal((100, 500))
X = sizes * np.sign(normal) * np.abs(normal) ** powers
shares = np.geomspace(0.005, 1.0, 40)
styles = {
    "l1": {"color": "#000000", "linestyle": "-"},
    "bilevel_l11": {"color": "#000000", "linestyle": "--"},
    "l12": {"color": "#E69F00", "linestyle": "-"},
    "l1inf": {"color": "#0072B2", "linestyle": "-"},
    "bilevel_l1inf": {"color": "#0072B2", "linestyle": "--"},
}


def zero_columns_and_distance(ball, share):
    P = ball.project(X, share * ball.norm(X))
    return 1.0 - P.any(axis=0).mean(), np.linalg.norm(P - X) / np.linalg.norm(X)


figure, axes = plt.subplots(1, 3, figsize=(11, 4), layout="constrained")
for name, style in styles.items():
    zeros, distance = np.transpose(
        [zero_columns_and_distance(BALLS[name], share) for share in shares]
    )
    axes[0].plot(shares, zeros, label=name, **style)
    axes[1].plot(shares, distance, **style)
    axes[2].plot(zeros, distance, **style)
for axis in axes[:2]:
    axis.set_xlabel("radius (share of the norm of the ball)")
    axis.set_xscale("log")
    axis.set_xticks([0.01, 0.1, 1.0], ["1 %", "10 %", "100 %"])
axes[0].set_ylabel("columns that are zero (share)")
axes[1].set_ylabel("distance (share of the Frobenius norm)")
axes[2].set_xlabel("columns that are zero (share)")
axes[2].set_ylabel("distance (share of the Frobenius norm)")
for axis in axes:
    axis.grid(alpha=0.3)
figure.legend(loc="outside upper center", ncols=5)
radius_figure = figure

# %%
# What is left and what is taken away
# -----------------------------------
# In the norm of the ball, the result and what was taken away add up to the norm of the
# matrix, :math:`\|P\| + \|X - P\| = \|X\|`: a radius of 30 % of the norm takes away
# 70 % of it, no more. In the Frobenius norm the two add up to more.
quantities = {
    "left": {"color": "#0072B2", "linestyle": "--"},
    "taken away": {"color": "#E69F00", "linestyle": "-."},
    "sum": {"color": "#000000", "linestyle": "-"},
    "sum, Frobenius norm": {"color": "#CC79A7", "linestyle": ":", "linewidth": 2.5},
}
linear_shares = np.linspace(0.0, 1.0, 41)


def parts_of_norm(ball, share):
    P = ball.project(X, share * ball.norm(X))
    left, taken = ball.norm(P) / ball.norm(X), ball.norm(X - P) / ball.norm(X)
    frobenius = (np.linalg.norm(P) + np.linalg.norm(X - P)) / np.linalg.norm(X)
    return left, taken, left + taken, frobenius


figure, axes = plt.subplots(
    1, 4, figsize=(11, 3.4), sharex=True, sharey=True, layout="constrained"
)
for axis, name in zip(
    axes, ["bilevel_l11", "bilevel_l12", "bilevel_l1inf", "l1inf"], strict=True
):
    curves = np.transpose([parts_of_norm(BALLS[name], s) for s in linear_shares])
    for (label, style), curve in zip(quantities.items(), curves, strict=True):
        axis.plot(linear_shares, curve, label=label, **style)
    np.testing.assert_allclose(curves[2], 1.0, rtol=1e-9)  # the identity
    axis.set_title(name, fontsize="medium")
    axis.set_xticks([0.0, 0.5, 1.0], ["0", "50 %", "100 %"])
    axis.grid(alpha=0.3)
axes[0].set_ylabel("share of the norm of the matrix")
figure.supxlabel("radius, as a share of the norm of the ball", fontsize="medium")
handles, labels = axes[0].get_legend_handles_labels()
figure.legend(handles, labels, loc="outside upper center", ncols=4)
identity_figure = figure

# %%
if options.out is not None:
    options.out.mkdir(parents=True, exist_ok=True)
    for name, figure in [
        ("balls_matrix.png", matrix_figure),
        ("balls_radius.png", radius_figure),
        ("balls_identity.png", identity_figure),
    ]:
        figure.savefig(options.out / name, dpi=100)
    print(f"Plots are in {options.out}/")
