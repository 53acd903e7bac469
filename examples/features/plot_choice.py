"""
How many features
=================

:class:`~skproj.feature_selection.ProjectionFeatureSelectorCV` follows a path of models
from no feature to many, and scores them on rows that they were not fitted to. It keeps
the sparsest model with 95 % of the gain that the best model has over a model without
features.
"""

# %%
# Share of the gain along the path
# --------------------------------
# The range is that of the choices for other rows to score.
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import StratifiedShuffleSplit

from skproj import ProjectionFeatureSelectorCV

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
search = ProjectionFeatureSelectorCV(random_state=0).fit(X, y)
n_selected = int(search.get_support().sum())
low, high = search.n_features_range_
print(
    f"{n_selected} of {X.shape[1]} features keep 95 % of what can be learned here; "
    f"with other rows to score it would be {low} to {high}."
)

figure, ax = plt.subplots(figsize=(5.5, 3.8), layout="constrained")
counts, shares = search.path_.n_selected, search.cv_results_["share_of_gain"]
ax.plot(counts, 100 * shares, ".-")
ax.axhline(95, color="grey", linestyle=":")
ax.axvspan(low, high, color="C0", alpha=0.15, label="range")
ax.plot(n_selected, 100 * shares[search.best_index_], "o", color="C3", label="chosen")
ax.set(xlabel="features", ylabel="share of the gain (%)", ylim=(-3, 103))
ax.xaxis.set_major_locator(MaxNLocator(integer=True))
ax.legend(loc="lower right")

# %%
# Choice on other rows
# --------------------
# The choice on ten subsamples of nine tenths of the rows, by the share of the gain and
# by the best score.
splitter = StratifiedShuffleSplit(10, test_size=0.1, random_state=0)
parts = [train for train, _ in splitter.split(X, y)]
figure, ax = plt.subplots(figsize=(5.5, 3.8), layout="constrained")
for place, keep_gain in enumerate((0.95, 1.0)):
    selector = ProjectionFeatureSelectorCV(keep_gain=keep_gain, random_state=0)
    numbers = [
        selector.fit(X.iloc[rows], y.iloc[rows]).get_support().sum() for rows in parts
    ]
    print(f"keep_gain={keep_gain}: {min(numbers)} to {max(numbers)} features")
    shift = 0.12 * (place - 0.5) + np.zeros(len(numbers))
    ax.plot(np.sort(numbers), np.arange(10) + 1 + shift, "o", label=f"{keep_gain:g}")
ax.set(xlabel="features", ylabel="subsamples, ordered", xlim=(0, None))
ax.xaxis.set_major_locator(MaxNLocator(integer=True))
ax.legend(title="keep_gain", loc="lower right")
plt.show()
