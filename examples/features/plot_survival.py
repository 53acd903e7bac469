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
from skproj.inspection import SurvivalCurvesDisplay
from skproj.metrics import concordance_index_censored

trial = make_survival(n_samples=450, n_features=1000, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(
    trial.data, trial.target, test_size=1 / 3, random_state=0
)
selector = ProjectionFeatureSelectorCV(random_state=0).fit(X_train, y_train)
support = selector.get_support()
print(
    f"{support.sum()} features selected, "
    f"{np.count_nonzero(support & trial.support)} of the 10 informative ones"
)

# %%
# Survival of the thirds
# ----------------------
risk = X_test @ selector.coef_[0]
index = concordance_index_censored(y_test["event"], y_test["time"], risk)[0]
print(f"concordance index: {index:.2f}")

SurvivalCurvesDisplay.from_predictions(y_test, risk)
plt.show()
