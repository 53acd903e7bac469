"""
False discovery rate
====================

How many of the selected features are false? With `fdr`,
:class:`~skproj.feature_selection.StabilitySelector` adds decoys, which imitate the
features without any influence. Decoys that score as high as features tell how many of
these do so by chance. Twenty of the 100 features of these data have an influence;
neighbouring features are correlated.
"""

# %%
# Features against decoys
# -----------------------
# The scores of features are means over the draws of the decoys. Few decoys are above
# the dashed line, the threshold, so that few features above it are expected to be due
# to chance. An informative feature may be below the line.

import matplotlib.pyplot as plt
import numpy as np

from skproj.feature_selection import StabilitySelector

rng = np.random.default_rng(0)
X = rng.standard_normal((300, 100))
for j in range(1, 100):
    X[:, j] = 0.5 * X[:, j - 1] + np.sqrt(0.75) * X[:, j]
informative = np.isin(np.arange(100), rng.choice(100, 20, replace=False))
signal = X[:, informative] @ rng.choice([-1.0, 1.0], 20)
y = signal + signal.std() * rng.standard_normal(300)

selector = StabilitySelector(fdr=0.2, random_state=0).fit(X, y)
support = selector.get_support()
print(f"kept: {support.sum()}, of them false: {(support & ~informative).sum()}")
print(f"estimate: {selector.expected_false_selections_:.1f}")

figure, ax = plt.subplots(figsize=(5.5, 4), layout="constrained")
order = np.argsort(selector.scores_)
colors = np.where(informative, "C0", "C1")
ax.bar(range(100), selector.scores_[order], color=colors[order], width=1.0)
for decoys in selector.decoy_scores_:
    ax.plot(range(100), np.sort(decoys), color="0.6", linewidth=0.8)
ax.axhline(selector.threshold_, color="0.3", linestyle="--", linewidth=1)
ax.set_xlabel("features, or decoys, by score")
ax.set_ylabel("score")
for label, color in (("informative", "C0"), ("without influence", "C1")):
    ax.bar(0, 0, color=color, label=label)
ax.plot([], [], color="0.6", label="decoys of each draw")
ax.legend()

# %%
# Other rates
# -----------
# `q_values_` has the estimate of the smallest rate that would have kept each feature.
# The true share of false features is near the diagonal on average over many data sets,
# not in each of them.
figure, ax = plt.subplots(figsize=(5.5, 4), layout="constrained")
rates = np.unique(selector.q_values_[selector.q_values_ < 1.0])
shares, counts = [], []
for rate in rates:
    kept = selector.q_values_ <= rate
    shares.append((kept & ~informative).sum() / kept.sum())
    counts.append((kept & informative).sum())
ax.plot(rates, shares, "o-", color="C1", label="share of false features")
ax.plot(rates, np.array(counts) / 20, "s-", color="C0", label="share of those found")
ax.plot([0, 1], [0, 1], color="0.5", linestyle="--", linewidth=1)
ax.set_xlabel("fdr")
ax.set_ylim(0, 1.05)
ax.legend()
