"""
Selecting groups of features
============================

Features often come in groups: the columns of a categorical variable, the bands of a
sensor, the genes of a pathway. With `feature_groups`, the
:class:`~skproj.feature_selection.ProjectionFeatureSelector` keeps whole groups. Many
weak features of a group then support each other.
"""

# %%
# Data with informative groups
# ----------------------------
# There are 40 groups of 10 features. In four of them, every feature has a small effect
# on the target; the other groups have none.
import matplotlib.pyplot as plt
import numpy as np

from skproj import ProjectionFeatureSelector

n_samples, n_groups, size = 150, 40, 10
informative = [3, 11, 20, 32]
rng = np.random.default_rng(0)
groups = np.repeat(np.arange(n_groups), size)
X = rng.standard_normal((n_samples, n_groups * size))
effects = np.where(np.isin(groups, informative), rng.choice([-1, 1], len(groups)), 0)
y = X @ effects + 5 * rng.standard_normal(n_samples)

# %%
# With and without the groups
# ---------------------------
# Both selectors are asked for 40 features, as many as are informative.
selectors = {
    "groups": ProjectionFeatureSelector(
        n_features_to_select=40, projection="l12", feature_groups=groups
    ),
    "single features": ProjectionFeatureSelector(
        n_features_to_select=40, projection="l12"
    ),
}
for name, selector in selectors.items():
    found = np.isin(groups[selector.fit(X, y).get_support()], informative)
    print(f"{name}: {found.sum()} of {found.size} selected features are informative")

# %%
# The selected features of each group
# -----------------------------------
# Without the groups, the selected features are scattered over nearly all of them.
fig, axes = plt.subplots(2, sharex=True, sharey=True, layout="constrained")
colors = np.where(np.isin(np.arange(n_groups), informative), "C0", "C1")
for ax, (name, selector) in zip(axes, selectors.items(), strict=True):
    counts = selector.get_support().reshape(n_groups, size).sum(axis=1)
    ax.bar(np.arange(n_groups), counts, color=colors)
    ax.set(title=name, ylabel="selected")
axes[1].set_xlabel("group; blue ones are informative")
plt.show()
