"""
Survival curves of risk groups
==============================

Ten of a thousand features change the hazard of an event, and half of the samples are
censored. :class:`~skproj.feature_selection.ProjectionFeatureSelectorCV` fits a Cox
model in a ball to a training part. Its risk divides the samples held back into thirds,
whose survival is estimated by Kaplan and Meier's method.
"""

# %%
# Selection
# ---------
import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import train_test_split

from skproj import ProjectionFeatureSelectorCV
from skproj.datasets import make_survival
from skproj.metrics import concordance_index_censored

trial = make_survival(n_samples=450, n_features=1000, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(
    trial.data, trial.target, test_size=1 / 3, random_state=0
)
selector = ProjectionFeatureSelectorCV(
    selection_rule="one-standard-error", random_state=0
).fit(X_train, y_train)
support = selector.get_support()
print(
    f"{support.sum()} features selected, "
    f"{np.count_nonzero(support & trial.support)} of the 10 informative ones"
)

# %%
# Survival of the thirds
# ----------------------
risk = X_test @ selector.coef_[0]
print(f"concordance index: {concordance_index_censored(y_test, risk):.2f}")


def survival_curve(y):
    """Return the times of events, and the probability of no event until each."""
    times = np.unique(y["time"][y["event"]])
    at_risk = (y["time"] >= times[:, np.newaxis]).sum(axis=1)
    events = (y["event"] & (y["time"] == times[:, np.newaxis])).sum(axis=1)
    return np.append(0.0, times), np.append(1.0, np.cumprod(1.0 - events / at_risk))


figure, ax = plt.subplots(layout="constrained")
third = np.searchsorted(np.quantile(risk, [1 / 3, 2 / 3]), risk)
for group, label in enumerate(("low risk", "medium risk", "high risk")):
    times, probability = survival_curve(y_test[third == group])
    ax.step(times, probability, where="post", label=label)
ax.set_xlim(0.0, np.quantile(y_test["time"], 0.95))
ax.set_ylim(0.0, 1.0)
ax.set_xlabel("time")
ax.set_ylabel("share without event")
ax.legend()
plt.show()
