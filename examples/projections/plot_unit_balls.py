"""
Pictures of the balls
=====================

The balls of the l1, l1,2 and l1,inf norms in two and three dimensions, and the points
to which the exact and the bi-level projections lead. The corners and edges of a ball
explain the zeros, and the shape of a column explains which projection makes it zero.

A matrix with three entries is a point in space. All entries and results are computed
with the functions of `skproj.projection`; groups are columns, ``axis=0``.
"""

# %%
# Two entries
# -----------
# Two entries can be two columns of one entry each, or one column of two entries. In two
# columns, every ball is the l1 ball. In one column, the inner norm gives the shape: a
# disc for l1,2 and a square for l1,inf.
#
# Each line connects a point with its nearest point in the ball. A corner of the l1 ball
# is the nearest point of a whole wedge of the plane, and at a corner one column is zero
# (orange). The disc has no corners. The corners of the square are not on the axes: an
# entry becomes equal to another one, not zero.
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LightSource, ListedColormap
from matplotlib.patches import Patch

from skproj.projection import BALLS

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "0.6"
angles = np.linspace(0.0, 2.0 * np.pi, 721)
circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
starts = 1.7 * circle[np.arange(12, 720, 24)]
panels = [
    ("l1", (1, 2), "two columns: l1\n(also l1,2 and l1,inf)"),
    ("l12", (2, 1), "one column: l1,2"),
    ("l1inf", (2, 1), "one column: l1,inf"),
]
figure, axes = plt.subplots(1, 3, figsize=(9, 3.9), sharey=True, layout="constrained")
for axis, (name, shape, title) in zip(axes, panels, strict=True):
    ball = BALLS[name]
    norms = [ball.norm(point.reshape(shape)) for point in circle]
    boundary = circle / np.array(norms)[:, None]
    axis.fill(*boundary.T, color="0.9")
    axis.plot(*boundary.T, color="black", linewidth=1)
    for start in starts:
        end = ball.project(start.reshape(shape), 1.0).ravel()
        color = ORANGE if np.any(end == 0.0) else BLUE
        axis.plot(*np.stack([start, end]).T, color=color, linewidth=0.8)
        axis.plot(*end, color=color, marker="o", markersize=4)
    axis.axhline(0.0, color=GREY, linewidth=0.5)
    axis.axvline(0.0, color=GREY, linewidth=0.5)
    axis.set_aspect("equal")
    axis.set_title(title, fontsize="medium")
    axis.set_xlabel("first entry")
axes[0].set_ylabel("second entry")

# %%
# Three entries in two columns
# ----------------------------
# The first column has the two entries x and y, the second column has the entry z:
#
# .. math::
#
#     W = \begin{pmatrix} x & z \\ y & 0 \end{pmatrix}
#
# At each height z, the section of the ball is the disc, diamond or square of the inner
# norm, with the radius :math:`1 - |z|`. It shrinks to a point at the two tips (orange).
# **At a tip the whole first column is zero**; at the rim (blue) the second column is
# zero. Only the l1 ball also has corners and edges at which a single entry of the first
# column is zero.
#
# The bi-level projections lead into the same sets: `bilevel_l11` into the l1 ball,
# `bilevel_l12` into the l1,2 ball and `bilevel_l1inf` into the l1,inf ball.


def matrix(point):
    x, y, z = point
    return np.array([[x, z], [y, 0.0]])


def entries(matrix):
    return np.array([matrix[0, 0], matrix[1, 0], matrix[0, 1]])


def draw_ball(axis, name):
    """The faces between the tips and the rim, which is the ball of the inner norm."""
    n_sides = 96 if name == "l12" else 8
    directions = circle[:: 720 // n_sides]
    norms = [BALLS[name].norm(direction.reshape(2, 1)) for direction in directions]
    x, y = (directions / np.array(norms)[:, None]).T
    zero = np.zeros_like(x)
    axis.plot_surface(
        np.stack([zero, x, zero]),
        np.stack([zero, y, zero]),
        np.stack([zero - 1.0, zero, zero + 1.0]),
        rstride=1,
        cstride=1,
        color="#b5cfe3",
        alpha=0.85,
        lightsource=LightSource(azdeg=225, altdeg=35),
        linewidth=0,
        antialiased=False,
    )
    axis.plot(x, y, zero, color=BLUE, linewidth=2, zorder=3)
    axis.plot([0, 0], [0, 0], [-1, 1], "o", color=ORANGE, zorder=3)
    axis.set(xlabel="x", ylabel="y", zlabel="z", aspect="equal")
    axis.set(xticks=[-1, 0, 1], yticks=[-1, 0, 1], zticks=[-1, 0, 1])
    axis.view_init(elev=20, azim=-62)
    axis.computed_zorder = False


# sphinx_gallery_thumbnail_number = 4
figure, axes = plt.subplots(
    1, 3, figsize=(10, 3.8), subplot_kw={"projection": "3d"}, layout="constrained"
)
for axis, name in zip(axes, ("l1", "l12", "l1inf"), strict=True):
    draw_ball(axis, name)
    axis.set_title(f"{name[:2]},{name[2:]}".rstrip(","), fontsize="x-large")

# %%
# Nearest point against bi-level result
# -------------------------------------
# The point (0.5, 0.5, 1.6) is outside of the l1,inf ball. The bi-level projection leads
# to the tip: the first column becomes zero. The nearest point is beside the tip, where
# both columns are left.
ball, bilevel = BALLS["l1inf"], BALLS["bilevel_l1inf"]
start = np.array([0.5, 0.5, 1.6])
nearest = entries(ball.project(matrix(start), 1.0))
leveled = entries(bilevel.project(matrix(start), 1.0))
for name, end in [("nearest point", nearest), ("bi-level", leveled)]:
    print(f"{name:14}", end.round(3), f"distance {np.linalg.norm(start - end):.3f}")

# %%
# The plane x = y contains the three points. It is drawn with equal scales, so that
# lengths and angles are those in space. The line to the nearest point is perpendicular
# to the ball. The bi-level projection subtracts the same number from the largest entry
# of each column, here x = y and z. It moves further along the first column, because
# there the two entries decrease together.
#
# The coloured areas are the points from which one column becomes zero. In the nearest
# point, a column is zero if the *sum* of its magnitudes is at most a threshold; in the
# bi-level result, if its *largest* magnitude is at most a threshold. The first column
# has two equal entries here, so that its sum is twice its largest entry: the bi-level
# projection makes it zero from a larger area, and the second column, with one entry,
# from a smaller area. Both projections agree if all entries of a column have the same
# magnitude, and all columns the same number of them. They differ where the columns have
# different shapes.
size = np.linspace(0.0, 1.8, 181)
diagonal, height = np.meshgrid(size, size)


def zero_column(ball):
    """0, 1 or 2: which column becomes zero, from each point of the plane."""
    number = np.zeros(diagonal.shape)
    for index in np.ndindex(number.shape):
        s, z = diagonal[index] / np.sqrt(2.0), height[index]
        kept = ball.project(matrix((s, s, z)), 1.0).any(axis=0)
        if s > 0.0 and z > 0.0 and not kept.all():
            number[index] = 1 + np.argmin(kept)
    return number


colours = ListedColormap(["white", "#fdd0a2", "#c6dbef"])
figure, axes = plt.subplots(1, 2, figsize=(8, 4.2), sharey=True, layout="constrained")
for axis, title, operator, end in [
    (axes[0], "nearest point (l1inf)", ball, nearest),
    (axes[1], "bi-level (bilevel_l1inf)", bilevel, leveled),
]:
    axis.pcolormesh(
        diagonal, height, zero_column(operator), cmap=colours, vmin=0, vmax=2
    )
    axis.fill([0, np.sqrt(2), 0], [0, 0, 1], color="0.85")
    axis.plot([0, np.sqrt(2)], [1, 0], color="black", linewidth=1)
    line = np.stack([start, end])
    across = line[:, 0] * np.sqrt(2.0)
    axis.plot(across, line[:, 2], color=BLUE, linewidth=1.5)
    axis.plot(across[0], line[0, 2], "o", color=BLUE, markerfacecolor="white")
    axis.plot(across[1], line[1, 2], "o", color=BLUE)
    axis.text(0.4, 0.25, "ball", ha="center")
    axis.set_aspect("equal")
    axis.set_title(title, fontsize="medium")
    axis.set_xlabel("first column: distance along x = y")
handles = [
    Patch(color=colours(number), label=f"column {number} is zero") for number in (1, 2)
]
axes[0].legend(handles=handles, loc="upper right", fontsize="small")
axes[0].set_ylabel("second column: z")

# %%
# The same in space, with the point (white), the nearest point (blue) and the bi-level
# result at the tip (orange):
figure, axis = plt.subplots(
    figsize=(4.6, 4.4), subplot_kw={"projection": "3d"}, layout="constrained"
)
draw_ball(axis, "l1inf")
for end, color in [(nearest, BLUE), (leveled, ORANGE)]:
    axis.plot(*np.stack([start, end]).T, color=color, zorder=4)
    axis.plot(*end[:, None], "o", color=color, zorder=5)
axis.plot(*start[:, None], "o", color="black", markerfacecolor="white", zorder=5)
axis.set(aspect="equal")

# %%
# Many columns of two entries
# ---------------------------
# A column with two entries is a point in the plane, and a matrix with two rows is a set
# of such points. Each line leads from a column to its projection, at 40 % of the norm
# of the matrix. Columns that become zero end at the origin (orange); their number is in
# the title.
#
# - **l1**: each entry is reduced by the same amount, also to zero.
# - **l1,2**: each column moves towards the origin by the same length.
# - **l1,inf**: the l1 norm of each column is reduced by the same amount. The whole
#   amount is taken from the largest entries.
# - **bi-level l1,1**: the l1 norm of each column is reduced by the same amount, taken
#   from all entries.
# - **bi-level l1,inf**: the largest entry of each column is reduced by the same amount.
n_columns = 16
directions = 2.4 * np.arange(n_columns) + 0.5  # spread by the golden angle
W = np.stack([np.cos(directions), np.sin(directions)]) * np.geomspace(2, 0.4, n_columns)
figure, axes = plt.subplots(
    2, 3, figsize=(9, 6.6), sharex=True, sharey=True, layout="constrained"
)
names = ["l1", "l12", "l1inf", "bilevel_l11", "bilevel_l12", "bilevel_l1inf"]
for axis, name in zip(axes.flat, names, strict=True):
    ball = BALLS[name]
    P = ball.project(W, 0.4 * ball.norm(W))
    n_zero = np.count_nonzero(~P.any(axis=0))
    for column, end in zip(W.T, P.T, strict=True):
        color = BLUE if end.any() else ORANGE
        axis.plot(*np.stack([column, end]).T, color=color, linewidth=1)
        axis.plot(*column, "o", color=color, markerfacecolor="white", markersize=4)
        axis.plot(*end, "o", color=color, markersize=4)
    axis.axhline(0.0, color=GREY, linewidth=0.5)
    axis.axvline(0.0, color=GREY, linewidth=0.5)
    axis.set(xlim=(-2, 2), ylim=(-2, 2), aspect="equal")
    axis.set_title(f"{name}: {n_zero} of {n_columns} columns zero", fontsize="medium")
for axis in axes[1]:
    axis.set_xlabel("first row")
for axis in axes[:, 0]:
    axis.set_ylabel("second row")
plt.show()
