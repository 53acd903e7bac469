"""
Stability selection
===================

A selector does not tell you whether another sample would have led to the same features.
:class:`~skproj.feature_selection.StabilitySelector` repeats the selection on many
halves of the data, and keeps the features that are selected on most halves. The data
are the breast cancer data with 200 additional columns without signal, so that false
selections are known.
"""

# %%
# A single fit and many fits
# --------------------------
# By default, :math:`\sqrt{0.8 d}` of :math:`d` features are selected on each half. With
# so few features, at most one of those selected on 90 % of the halves is false on
# average. A single fit with the same number of features also selects probes.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.callback import ProgressBar
from sklearn.datasets import load_breast_cancer

from skproj.datasets import add_probes
from skproj.feature_selection import ProjectionFeatureSelector, StabilitySelector
from skproj.inspection import SupportDisplay

data = load_breast_cancer()
rows = np.random.default_rng(0).permutation(len(data.target))[:150]
X, _, is_probe = add_probes(data.data[rows], 200, random_state=0)
y = data.target[rows]
names = np.array([f"probe {i}" for i in range(X.shape[1])], dtype=object)
names[~is_probe] = data.feature_names

selector = StabilitySelector(n_pairs=25, random_state=0).set_callbacks(ProgressBar())
selector.fit(X, y)
n_features = round(selector.mean_n_features_)
single = ProjectionFeatureSelector(n_features_to_select=n_features).fit(X, y)

for name, support in {
    "one fit": single.get_support(),
    "most halves": selector.get_support(),
}.items():
    print(f"{name:12} {support.sum():3} features, {(support & is_probe).sum()} probes")
print(f"bound on false selections: {selector.expected_false_selections_:.1f}")

# %%
# Selection probabilities
# -----------------------
# The dashed line is the threshold. Changing it needs no new fit: use
# ``selection_probabilities_ >= threshold``.
display = SupportDisplay.from_estimator(selector, feature_names=names)

# %%
# Comparison with the F test
# --------------------------
# For comparison, the F test selects as many features on the same halves. The stability
# index is 1 if all halves agree, and 0 for random selections. If the F test is as
# stable, and the final model as good, prefer the F test. It keeps all of several
# redundant features; a selector that uses features jointly keeps one of them, not
# always the same one.
figure, ax = plt.subplots(figsize=(5, 4.5), layout="constrained")
for chosen, label, color in ((~is_probe, "features", "C0"), (is_probe, "probes", "C1")):
    ax.scatter(
        selector.baseline_selection_probabilities_[chosen],
        selector.selection_probabilities_[chosen],
        s=18,
        alpha=0.6,
        color=color,
        label=label,
    )
ax.axhline(selector.threshold_, color="0.5", linestyle="--", linewidth=1)
ax.axvline(selector.threshold_, color="0.5", linestyle="--", linewidth=1)
ax.set_xlabel(f"F test: share of the halves, index {selector.baseline_stability_:.2f}")
ax.set_ylabel(f"Selector: share of the halves, index {selector.stability_:.2f}")
ax.legend()
