"""
Effect of each ball on a matrix
===============================

A small matrix is projected onto every ball, to show the effect on the entries of a
column that is kept. Groups are columns, ``axis=0``.
"""

# %%
# One matrix on every ball
# ------------------------
# The matrix has twelve columns of decreasing size. For each sparsifying ball,
# :func:`~skproj.projection.radius_for_sparsity` finds the largest radius that keeps
# five columns (for the l1 ball: as many entries as five columns have). The results then
# differ only in the effect on the kept columns. The l2 and the linf ball make no zeros;
# their radius is half of the norm. Grey is exactly zero.
import matplotlib.pyplot as plt
import numpy as np

from skproj.projection import BALLS, radius_for_sparsity

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
n_panels = (len(panels) + 1) // 2
figure, axes = plt.subplots(
    2, n_panels, figsize=(10, 4), sharex=True, sharey=True, layout="constrained"
)
for axis, (title, P) in zip(axes.flat, panels.items(), strict=False):
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

# %%
# - **No groups** (`l1`): single entries become zero.
# - **l2 inside a group** (`l12`): a kept column keeps its direction and gets shorter.
# - **l_inf inside a group** (`l1inf`): the large entries of a kept column are clipped
#   to one level. For the same number of columns, the bi-level projection has the larger
#   radius here, and clips less.
# - **l1 inside a group** (`bilevel_l11`): a kept column gets zeros as well.
#
# Which ball is best depends on the use of the weights, see :ref:`which-ball`. For the
# number of zero columns at each radius, see
# :ref:`sphx_glr_auto_examples_projections_plot_sparsity_curves.py`.
plt.show()
