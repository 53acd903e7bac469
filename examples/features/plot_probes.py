"""
Selecting pixels among a thousand probes
========================================

The handwritten digits of scikit-learn have 61 pixels that vary. We add 1000 *probes*:
permuted copies of pixels, which are not informative. A good selector keeps pixels and
drops probes, and a classifier on the selected columns is better than one on all
columns.

The radius ``eta`` of the projection ball determines the number of selected features.
Cross-validation inside the training data chooses it, with one path per fold, for two
methods: the convex :class:`~skproj.feature_selection.ProjectionFeatureSelectorCV` in
front of a support vector machine, and the
:class:`~skproj.nn.SparseSupervisedAutoencoderCV`, which selects and classifies.
"""

# %%
# Data
# ----
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skproj import (
    ProjectionFeatureSelectorCV,
    SparseSupervisedAutoencoder,
    SparseSupervisedAutoencoderCV,
)
from skproj.datasets import add_probes
from skproj.inspection import EtaPathDisplay, WeightsDisplay
from skproj.nn import SparsificationSchedule

digits = load_digits()
varies = digits.data.std(axis=0) > 0
X, names, is_probe = add_probes(
    digits.data[:, varies].astype(np.float32),
    n_probes=1000,
    feature_names=np.array(digits.feature_names)[varies],
    random_state=0,
)
X_train, X_test, y_train, y_test = train_test_split(
    X, digits.target, test_size=0.25, stratify=digits.target, random_state=0
)
n_pixels = np.count_nonzero(~is_probe)
print(
    f"{len(X_train)} training and {len(X_test)} test images, "
    f"{n_pixels} pixels and {is_probe.sum()} probes"
)

# %%
# Two searches over eta
# ---------------------
# The linear model of the selector is less accurate than the final classifier, and its
# best radius includes many probes for a small gain in accuracy. The smallest radius
# within one standard error of the best excludes most of them. Dropping half of the
# features at each stage makes the search of the autoencoder faster.
selector = ProjectionFeatureSelectorCV(
    scoring="accuracy", keep_gain="one-standard-error", cv=4, random_state=0
)
autoencoder = SparseSupervisedAutoencoderCV(
    schedule=SparsificationSchedule(keep_fraction=0.5),
    scoring="accuracy",
    cv=4,
    random_state=0,
)
linear = make_pipeline(StandardScaler(), selector, SVC()).fit(X_train, y_train)
network = make_pipeline(StandardScaler(), autoencoder).fit(X_train, y_train)

# %%
# Accuracy and selected features
# ------------------------------
# For comparison, the same classifiers are trained on all features, and on as many
# features as the first search has chosen, ranked by the univariate F test. The F test
# does as well on these data, because each of the pixels is informative by itself.
n_chosen = np.count_nonzero(selector.get_support())
f_test = SelectKBest(k=n_chosen)
free = SparseSupervisedAutoencoder(eta=np.inf, random_state=0)
baselines = {
    "no selection, logistic regression": [LogisticRegression(max_iter=1000)],
    "no selection, SVC": [SVC()],
    "no selection, autoencoder": [free],
    f"F test, {n_chosen} best, SVC": [f_test, SVC()],
}
with warnings.catch_warnings():
    # A few permuted pixels are constant in the training set; the F test warns of them.
    warnings.filterwarnings("ignore", "(?s)Features .* are constant")
    warnings.filterwarnings("ignore", "invalid value encountered in divide")
    models = {
        name: make_pipeline(StandardScaler(), *steps).fit(X_train, y_train)
        for name, steps in baselines.items()
    }
models["ProjectionFeatureSelectorCV + SVC"] = linear
models["SparseSupervisedAutoencoderCV"] = network

print(f"{'method':35} {'eta':>6} {'test':>6} {'pixels':>10} {'probes':>12}")
for name, model in models.items():
    support, eta = np.full(len(names), True), ""
    for step in model:
        if hasattr(step, "get_support"):
            support = step.get_support()
            eta = f"{step.eta_:.3g}" if hasattr(step, "etas_") else ""
    print(
        f"{name:35} {eta:>6} {model.score(X_test, y_test):6.3f} "
        f"{np.count_nonzero(support & ~is_probe):4} of {n_pixels:2} "
        f"{np.count_nonzero(support & is_probe):4} of {is_probe.sum():4}"
    )

importances = {
    "ProjectionFeatureSelectorCV": selector.scores_,
    "SparseSupervisedAutoencoderCV": autoencoder.feature_importances_,
}
for name, importance in importances.items():
    top = np.argsort(importance)[::-1][:10]
    print(f"\nTop features of {name}:\n  {', '.join(names[top])}")

# %%
# Path over eta
# -------------
# A small radius loses pixels, a large radius includes probes; the score has a plateau
# in between. The dotted line marks the chosen radius. The network of that radius was
# trained for one more stage, with less noise, as the label of the axis says.
figure, axes = plt.subplots(2, 1, figsize=(7.5, 7), layout="constrained")
for axis, search in zip(axes, (selector, autoencoder), strict=True):
    EtaPathDisplay.from_estimator(search, score_name="accuracy", ax=axis)
    label = axis.get_xlabel()
    axis.set_xlabel(label.replace("η", f"η of {type(search).__name__}", 1))

# %%
# First-layer weights
# -------------------
# Each column of the first weight matrix belongs to a feature; the pixels are on the
# left of the line. Without a projection, every probe has nonzero weights; with the
# projection, whole columns are zero.
display = WeightsDisplay.from_weights(
    free.encoder_weights_,
    autoencoder.encoder_weights_,
    titles=("no projection", f"eta = {autoencoder.eta_:.3g}"),
)
for axis in display.axes_:
    axis.axvline(n_pixels - 0.5, color="black", linewidth=0.8)

# %%
# Scores of the pixels
# --------------------
# The score of each pixel at its position in the 8 by 8 image. White pixels are not
# selected.
figure, axes = plt.subplots(1, 2, figsize=(7, 3.4), layout="constrained")
# sphinx_gallery_thumbnail_number = 3
for axis, (name, importance) in zip(axes, importances.items(), strict=True):
    picture = np.zeros(64)
    picture[varies] = importance[~is_probe]
    image = axis.imshow(
        np.where(picture > 0, picture, np.nan).reshape(8, 8), cmap="viridis_r", vmin=0
    )
    axis.set_title(name, fontsize="medium")
    axis.set_xlabel("column")
    axis.set_ylabel("row")
    figure.colorbar(image, ax=axis, label="score", shrink=0.8)

# %%
# Probes are an easy test, because they are independent of all other columns. In real
# tables, uninformative features are correlated with informative ones, and no selection
# separates them as clearly as here, see :ref:`estimator-benchmark`.
