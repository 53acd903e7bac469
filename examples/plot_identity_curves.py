r"""
What the radius says about what is lost
=======================================

A projection splits a matrix into what is left and what is taken away. For every ball
that makes zeros, the norms of the two parts add up to that of the matrix:

.. math::

    \|P(Y)\| + \|Y - P(Y)\| = \|Y\|

if all three are the norm of the ball. So a radius of 30 % of the norm takes away 70 %,
whatever the matrix looks like [1]_.
"""

# %%
# A weight matrix, and two norms
# ------------------------------
# Columns of different sizes, as in a trained network. Each projection is measured in
# the norm of its own ball, and in the Frobenius norm, for which there is only the
# triangle inequality: the sum is at least the norm of the matrix.
import matplotlib.pyplot as plt
import numpy as np

from skproj.projection import BALLS

rng = np.random.default_rng(0)
Y = rng.standard_normal((100, 500)) * rng.lognormal(sigma=0.5, size=500)
shares = np.linspace(0.0, 1.0, 41)


def left_and_taken(ball, norm):
    """Norms of both parts, as shares of that of the matrix; one row per radius."""
    parts = []
    for share in shares:
        P = ball.project(Y, share * ball.norm(Y))
        parts.append([norm(P) / norm(Y), norm(Y - P) / norm(Y)])
    return np.array(parts)


balls = [ball for ball in BALLS.values() if ball.sparsifying]
own_norm = {ball.name: left_and_taken(ball, ball.norm) for ball in balls}
frobenius = {ball.name: left_and_taken(ball, np.linalg.norm) for ball in balls}

# %%
# In the norm of the ball
# -----------------------
# The same two straight lines for all the balls. The exact l1,inf projection fulfils the
# identity as well as the bi-level one: both clip each column at some level, and only
# the sum of the levels counts.
figure, axes = plt.subplots(
    2, 3, figsize=(9, 5.2), sharex=True, sharey=True, layout="constrained"
)
for axis, (name, parts) in zip(axes.flat, own_norm.items(), strict=True):
    left, taken = parts.T
    axis.fill_between(shares, left, color="#0072B2", alpha=0.35, label="left")
    axis.fill_between(
        shares, left, left + taken, color="#E69F00", alpha=0.35, label="taken away"
    )
    axis.plot(shares, left + taken, color="#000000", label="sum")
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
# How exactly? The largest deviation from the norm of the matrix over all the radii:
print(f"{'ball':14} {'its own norm':>13} {'Frobenius norm':>15}")
for ball in balls:
    in_own_norm, in_frobenius = (
        np.abs(parts[ball.name].sum(axis=1) - 1.0).max()
        for parts in (own_norm, frobenius)
    )
    print(f"{ball.name:14} {in_own_norm:13.0e} {in_frobenius:15.2f}")

# %%
# Which norm goes with which projection
# -------------------------------------
# Here is the largest deviation for every pair; in a white field the two parts add up
# for all radii. In the l1 norm they always do, because entries move towards zero and
# never beyond it. In the l1,inf norm they do as well: each projection lowers the
# largest entry of a column by what it takes away at most. The l1,2 norm needs the
# projection of its own ball, which only makes columns shorter, and the Frobenius norm
# fits none.
norms = {name: BALLS[name].norm for name in ("l1", "l12", "l1inf")}
norms["Frobenius"] = np.linalg.norm


def largest_deviation(ball, norm):
    return np.abs(left_and_taken(ball, norm).sum(axis=1) - 1.0).max()


deviations = np.array(
    [[largest_deviation(ball, norm) for norm in norms.values()] for ball in balls]
)
figure, axis = plt.subplots(figsize=(6, 4.2), layout="constrained")
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
# The identity says how much is taken away, not whether it was worth keeping: that two
# projections take away the same amount does not make them equally good. How many
# columns a radius leaves depends on the matrix, see
# :ref:`sphx_glr_auto_examples_plot_sparsity_curves.py`.
#
# .. [1] M. Barlaud, G. Perez, J.-P. Marmorat, "A new linear time bi-level l1,inf
#    projection; application to the sparsification of auto-encoders neural networks",
#    2024, :arxiv:`2407.16293`.
plt.show()
