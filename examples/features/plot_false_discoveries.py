"""
False discovery rate
====================

How many of the selected features are false? With `fdr`,
:class:`~skproj.feature_selection.StabilitySelector` adds a decoy for each feature, and
keeps the features that score higher than their decoys. Decoys that win tell how many
features win by chance. Twenty of the 100 features of these data have an influence;
neighbouring features are correlated.
"""

# %%
# Features against their decoys
# -----------------------------
# The margin of a feature without influence is as often negative as positive. Few are
# below the dotted line, so that few of those above the dashed line, the threshold,
# are expected to be due to chance. An informative feature may lose against its decoy.

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

selector = StabilitySelector(fdr=0.2, n_pairs=10, random_state=0).fit(X, y)
support = selector.get_support()
print(f"kept: {support.sum()}, of them false: {(support & ~informative).sum()}")

figure, ax = plt.subplots(figsize=(5.5, 4), layout="constrained")
order = np.argsort(selector.decoy_margins_)
colors = np.where(informative, "C0", "C1")
ax.bar(range(100), selector.decoy_margins_[order], color=colors[order], width=1.0)
ax.axhline(selector.fdr_threshold_, color="0.3", linestyle="--", linewidth=1)
ax.axhline(-selector.fdr_threshold_, color="0.3", linestyle=":", linewidth=1)
ax.set_xlabel("features, by margin")
ax.set_ylabel("margin over the decoy")
for label, color in (("informative", "C0"), ("without influence", "C1")):
    ax.bar(0, 0, color=color, label=label)
ax.legend()

# %%
# Other rates
# -----------
# `smallest_fdr_` has the smallest rate that would have kept each feature. The true
# share of false features is below the diagonal on average over many data sets, not in
# each of them.
figure, ax = plt.subplots(figsize=(5.5, 4), layout="constrained")
rates = np.unique(selector.smallest_fdr_[selector.smallest_fdr_ < 1.0])
shares, counts = [], []
for rate in rates:
    kept = selector.smallest_fdr_ <= rate
    shares.append((kept & ~informative).sum() / kept.sum())
    counts.append((kept & informative).sum())
ax.plot(rates, shares, "o-", color="C1", label="share of false features")
ax.plot(rates, np.array(counts) / 20, "s-", color="C0", label="share of those found")
ax.plot([0, 1], [0, 1], color="0.5", linestyle="--", linewidth=1)
ax.set_xlabel("fdr")
ax.set_ylim(0, 1.05)
ax.legend()
