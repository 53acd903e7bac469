r"""
Radius and reconstruction error
===============================

A projection splits a matrix into the projection and the residual. For every sparsifying
ball, the norms of the two parts add up to the norm of the matrix:

.. math::

    \|P(Y)\| + \|Y - P(Y)\| = \|Y\|

if all norms are the norm of the ball. A radius of 30 % of the norm therefore removes 70
% of the norm, whatever the matrix is [1]_.
"""

# %%
# A weight matrix and two norms
# -----------------------------
# The columns have different sizes, as in a trained network. The parts are measured in
# the norm of the ball, and in the Frobenius norm, for which only the triangle
# inequality holds: the sum is at least the norm of the matrix.
import matplotlib.pyplot as plt
import numpy as np

from skproj.projection import BALLS

rng = np.random.default_rng(0)
Y = rng.standard_normal((100, 500)) * rng.lognormal(sigma=0.5, size=500)
shares = np.linspace(0.0, 1.0, 41)


def part_norms(ball, norm):
    """Return norms of projection and residual, relative to the matrix, by radius."""
    parts = []
    for share in shares:
        P = ball.project(Y, share * ball.norm(Y))
        parts.append([norm(P) / norm(Y), norm(Y - P) / norm(Y)])
    return np.array(parts)


balls = [ball for ball in BALLS.values() if ball.sparsifying]
own_norm = {ball.name: part_norms(ball, ball.norm) for ball in balls}
frobenius = {ball.name: part_norms(ball, np.linalg.norm) for ball in balls}

# %%
# Norm of the ball
# ----------------
# In the norm of the ball, both parts are linear in the radius for all balls. The
# identity holds for the exact l1,inf projection as well as for the bi-level one: both
# clip each column at some level, and only the sum of the levels matters.
figure, axes = plt.subplots(
    2, 3, figsize=(9, 5.2), sharex=True, sharey=True, layout="constrained"
)
for axis, (name, parts) in zip(axes.flat, own_norm.items(), strict=True):
    kept, residual = parts.T
    axis.fill_between(shares, kept, color="#0072B2", alpha=0.35, label="projection")
    axis.fill_between(
        shares, kept, kept + residual, color="#E69F00", alpha=0.35, label="residual"
    )
    axis.plot(shares, kept + residual, color="#000000", label="sum")
    total = frobenius[name].sum(axis=1)
    axis.plot(
        shares, total, color="#CC79A7", ls=":", lw=2.5, label="sum, Frobenius norm"
    )
    axis.set_title(name, fontsize="medium")
    axis.set_xticks([0.0, 0.5, 1.0], ["0", "50 %", "100 %"])
axes[0, 0].set_ylim(0.0, 1.5)
figure.supxlabel("radius, as a share of the norm of the matrix", fontsize="medium")
figure.supylabel("share of the norm of the matrix", fontsize="medium")
handles, labels = axes[0, 0].get_legend_handles_labels()
figure.legend(handles, labels, loc="outside upper center", ncols=4)

# %%
# The largest deviation of the sum from the norm of the matrix, over all radii:
print(f"{'ball':14} {'its own norm':>13} {'Frobenius norm':>15}")
for ball in balls:
    in_own_norm, in_frobenius = (
        np.abs(parts[ball.name].sum(axis=1) - 1.0).max()
        for parts in (own_norm, frobenius)
    )
    print(f"{ball.name:14} {in_own_norm:13.0e} {in_frobenius:15.2f}")

# %%
# Pairs of norm and projection
# ----------------------------
# The figure shows the largest deviation for every pair. In white fields the identity
# holds for all radii. In the l1 norm it always holds, because entries move towards zero
# and never change sign. In the l1,inf norm it also holds: each projection lowers the
# largest entry of a column by the largest entry of the residual. In the l1,2 norm it
# holds only for the projection onto the l1,2 ball, which keeps the directions of the
# columns. In the Frobenius norm it never holds.
norms = {name: BALLS[name].norm for name in ("l1", "l12", "l1inf")}
norms["Frobenius"] = np.linalg.norm


def largest_deviation(ball, norm):
    return np.abs(part_norms(ball, norm).sum(axis=1) - 1.0).max()


deviations = np.array(
    [[largest_deviation(ball, norm) for norm in norms.values()] for ball in balls]
)
# sphinx_gallery_thumbnail_number = 2
figure, axis = plt.subplots(figsize=(5, 3.8), layout="constrained")
image = axis.imshow(
    np.where(deviations > 1e-9, deviations, np.nan), cmap="Blues", vmin=0.0
)
for row, column in np.ndindex(deviations.shape):
    value = deviations[row, column]
    text = f"{value:.2f}" if value > 1e-9 else "0"
    dark = value > 0.6 * deviations.max()
    axis.text(
        column, row, text, ha="center", va="center", color="white" if dark else "black"
    )
axis.set_xticks(range(len(norms)), norms)
axis.set_yticks(range(len(balls)), [ball.name for ball in balls])
axis.set_xlabel("norm")
axis.set_ylabel("projection")
axis.set_aspect("auto")
figure.colorbar(image, ax=axis, label="largest deviation (share of the norm)")

# %%
# The identity gives the size of the residual, not its importance: two projections with
# residuals of the same norm need not be equally good. The number of columns that a
# radius keeps depends on the matrix, see
# :ref:`sphx_glr_auto_examples_projections_plot_sparsity_curves.py`.
#
# .. [1] M. Barlaud, G. Perez, J.-P. Marmorat, "A new linear time bi-level l1,inf
#    projection; application to the sparsification of auto-encoders neural networks",
#    2024, :arxiv:`2407.16293`.
plt.show()
