"""
Sparsity against the radius
===========================

The same radius has different effects for different balls. This example shows the number
of zero columns and zero entries against the radius, and the distance of the result to
the matrix.
"""

# %%
# The matrix
# ----------
# The columns have different sizes; some have even entries, others a few large ones. In
# the figures, solid lines are exact projections, dashed lines bi-level projections.
# ``bilevel_l12`` is the same operator as ``l12``, and the l2 and the linf ball make no
# zeros.
import matplotlib.pyplot as plt
import numpy as np

from skproj.projection import BALLS

rng = np.random.default_rng(0)
normal = rng.standard_normal((100, 500))
sizes = rng.lognormal(sigma=0.5, size=500)
powers = rng.uniform(0.5, 2.5, size=500)
W = sizes * np.sign(normal) * np.abs(normal) ** powers

styles = {
    "l1": {"color": "#000000", "linestyle": "-"},
    "bilevel_l11": {"color": "#000000", "linestyle": "--"},
    "l12": {"color": "#E69F00", "linestyle": "-"},
    "bilevel_l12": {"color": "#D55E00", "linestyle": ":", "linewidth": 3},
    "l1inf": {"color": "#0072B2", "linestyle": "-"},
    "bilevel_l1inf": {"color": "#0072B2", "linestyle": "--"},
    "l2": {"color": "#009E73", "linestyle": "-."},
    "linf": {"color": "#CC79A7", "linestyle": "-."},
}
shares = np.geomspace(0.005, 1.0, 40)


def measure(ball):
    """Return zero columns, zero entries and the distance for each radius, as shares."""
    rows = []
    for share in shares:
        P = ball.project(W, share * ball.norm(W))
        distance = np.linalg.norm(P - W) / np.linalg.norm(W)
        rows.append([np.mean(~P.any(axis=0)), np.mean(P == 0.0), distance])
    return np.transpose(rows)


curves = {name: measure(ball) for name, ball in BALLS.items()}

# %%
# Zero columns and zero entries
# -----------------------------
# The radius is a share of the norm of the matrix, so that balls of different norms can
# be compared. For the same share, the bi-level projections have more zero columns than
# the exact ones. The l1 ball has as many zero entries as the others, but they are
# spread over the matrix: a column is zero only if all its entries are. The two lines at
# the bottom are the l2 and the linf ball.
figure, axes = plt.subplots(1, 2, figsize=(7.5, 4.6), sharey=True, layout="constrained")
for name, (columns, entries, _) in curves.items():
    axes[0].plot(shares, columns, label=name, **styles.get(name, {}))
    axes[1].plot(shares, entries, **styles.get(name, {}))
for axis, title in zip(axes, ["zero columns", "zero entries"], strict=True):
    axis.set_title(title, fontsize="medium")
    axis.set_xscale("log")
    axis.set_xticks([0.01, 0.1, 1.0], ["1 %", "10 %", "100 %"])
    axis.grid(alpha=0.3)
axes[0].set_ylabel("share of all")
axes[0].set_yticks([0.0, 0.5, 1.0], ["0", "50 %", "100 %"])
figure.supxlabel("radius, as a share of the norm of the matrix", fontsize="medium")
figure.legend(loc="outside upper center", ncols=4)

# %%
# Distance to the matrix
# ----------------------
# The left panel shows the distance against the radius: by definition, an exact
# projection is nearer than the bi-level one of the same norm. The right panel shows the
# distance against the share of zero columns: for the same share, the bi-level
# projection is nearer on this matrix, because the exact one needs a much smaller
# radius.
figure, axes = plt.subplots(1, 2, figsize=(7.5, 4.6), sharey=True, layout="constrained")
for name, (columns, _, distance) in curves.items():
    axes[0].plot(shares, distance, label=name, **styles.get(name, {}))
    if BALLS[name].sparsifying:
        axes[1].plot(columns, distance, **styles.get(name, {}))
axes[0].set_xscale("log")
axes[0].set_xticks([0.01, 0.1, 1.0], ["1 %", "10 %", "100 %"])
axes[0].set_xlabel("radius, as a share of the norm of the matrix")
axes[1].set_xlabel("share of zero columns")
axes[1].set_xticks([0.0, 0.5, 1.0], ["0", "50 %", "100 %"])
axes[0].set_ylabel("distance, share of the Frobenius norm")
for axis in axes:
    axis.grid(alpha=0.3)
figure.legend(loc="outside upper center", ncols=4)

# %%
# This is a random matrix. In a network the weights adapt to the ball during training,
# and the accuracy matters, see
# :ref:`sphx_glr_auto_examples_features_plot_accuracy_against_radius.py`. For a given
# matrix, :func:`~skproj.projection.radius_for_sparsity` finds the radius for a number
# of columns.
plt.show()
