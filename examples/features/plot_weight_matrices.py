"""
First-layer weights before and after projection
===============================================

Each column of the first weight matrix of a network belongs to one feature. This example
shows the effect of each ball on this matrix: for one projection after training, and for
projections during training.
"""

# %%
# A network without a projection
# ------------------------------
# Of 120 features the first 12 are informative; they are on the left of the dotted line.
# The network uses all 120 features.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skproj import SparseSupervisedAutoencoder
from skproj.inspection import WeightsDisplay
from skproj.projection import BALLS, radius_for_sparsity

n_informative = 12
X, y = make_classification(
    n_samples=600,
    n_features=120,
    n_informative=n_informative,
    n_redundant=0,
    n_clusters_per_class=1,
    class_sep=0.8,
    flip_y=0.01,
    shuffle=False,
    random_state=0,
)
X = StandardScaler().fit_transform(X).astype(np.float32)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=200, stratify=y, random_state=0
)
free = SparseSupervisedAutoencoder((30,), eta=np.inf, random_state=0)
free.fit(X_train, y_train)
W = free.encoder_weights_

# %%
# :class:`~skproj.inspection.WeightsDisplay` shows the weights before and after a
# projection. Grey is exactly zero.
radius = radius_for_sparsity(W, n_groups=n_informative, ball="bilevel_l1inf")
P = BALLS["bilevel_l1inf"].project(W, radius)
display = WeightsDisplay.from_weights(W, P, titles=("before", "bilevel_l1inf"))
for axis in display.axes_:
    axis.axvline(n_informative - 0.5, color="black", linestyle=":")

# %%
# Several balls
# -------------
# The left panels show the weights of this network, projected once with the radius for
# 12 columns. The right panels show the first layer of networks trained to keep 12
# features, with the projections of a progressive schedule. The l1 ball has no groups:
# on the left, its radius keeps as many entries as 12 columns have.
#
# A single projection selects columns by the weights of a network that was trained with
# all uninformative features, and selects some of them. With several projections, the
# network adapts to the remaining features after each.
titles = {
    "l1": "l1: single entries",
    "l12": "l12: columns get shorter",
    "l1inf": "l1inf: columns are clipped",
    "bilevel_l11": "bilevel_l11: columns get zeros",
    "bilevel_l1inf": "bilevel_l1inf: columns are clipped",
}
figure, axes = plt.subplots(
    len(titles), 2, figsize=(9, 8), sharex=True, sharey=True, layout="constrained"
)
colours = plt.get_cmap("PuOr_r").with_extremes(bad="0.85")
print(f"{'columns':14} {'projected once':>17} {'trained with it':>17} {'accuracy':>9}")
print(f"{'no projection':14} {'':17} {'':17} {free.score(X_test, y_test):9.3f}")
for (once, trained), (ball, title) in zip(axes, titles.items(), strict=True):
    n_groups = n_informative * (1 if BALLS[ball].grouped else len(W))
    P = BALLS[ball].project(W, radius_for_sparsity(W, n_groups=n_groups, ball=ball))
    network = SparseSupervisedAutoencoder(
        (30,), projection=ball, n_features_to_select=n_informative, random_state=0
    ).fit(X_train, y_train)
    found = []
    for axis, weights in [(once, P), (trained, network.encoder_weights_)]:
        limit = np.abs(weights).max()
        axis.imshow(
            np.ma.masked_equal(weights, 0.0),
            cmap=colours,
            vmin=-limit,
            vmax=limit,
            aspect="auto",
            interpolation="nearest",
        )
        axis.axvline(n_informative - 0.5, color="black", linestyle=":")
        kept = weights.any(axis=0)
        found.append(f"{kept[:n_informative].sum():3} right of {kept.sum():3}")
    once.set_title(title, fontsize="medium", loc="left")
    once.set_ylabel("hidden unit")
    print(
        f"{ball:14} {found[0]:>17} {found[1]:>17} {network.score(X_test, y_test):9.3f}"
    )
axes[0, 1].set_title("trained with the ball", fontsize="medium", loc="right")
axes[0, 0].set_title("projected once", fontsize="medium", loc="right")
for axis in axes[-1]:
    axis.set_xlabel("feature")

# %%
# This is one data set with one network per ball and a fixed number of features: the
# ranking of the balls may differ on other data. Zero columns make a network smaller;
# the single zeros of the l1 ball do not.
plt.show()
