"""
Which pixels matter? Selection among a thousand probes
======================================================

The handwritten digits that ship with scikit-learn have 61 pixels that vary. We widen
them by 1000 *probes*: copies of real pixels, each permuted by itself, which carry no
information. A good selector keeps pixels and drops probes, and a classifier that sees
only the kept columns is better than one that sees all.

The radius ``eta`` of the projection ball says how sparse the selection is; a grid
search with cross-validation inside the training data chooses it. This is done twice:
for the convex :class:`~skproj.feature_selection.ProjectionFeatureSelector` in front of
a support vector machine, and for the :class:`~skproj.nn.SparseSupervisedAutoencoder`,
which selects and classifies in one.
"""

# %%
# Data
# ----
import argparse
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.callback import ProgressBar
from sklearn.datasets import load_digits
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_score,
    train_test_split,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skproj import ProjectionFeatureSelector, SparseSupervisedAutoencoder
from skproj.datasets import add_probes

parser = argparse.ArgumentParser(description="Select features among probes.")
parser.add_argument("--out", type=Path, help="folder to save the plots in")
parser.add_argument("--n-jobs", type=int, default=2, help="processes of the searches")
options = parser.parse_args()

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
# Scaling, selection and classification are refitted in every fold, so no score has seen
# the data that it is measured on. Besides the accuracy, each fold reports how many
# pixels and probes were kept.


def kept_pixels(model, X, y):
    return np.count_nonzero(model["select"].get_support() & ~is_probe)


def kept_probes(model, X, y):
    return np.count_nonzero(model["select"].get_support() & is_probe)


candidates = {
    "ProjectionFeatureSelector + SVC": (
        Pipeline(
            [
                ("scale", StandardScaler()),
                ("select", ProjectionFeatureSelector()),
                ("classify", SVC()),
            ]
        ),
        [1.0, 2.0, 4.0, 8.0, 16.0, 32.0],
    ),
    "SparseSupervisedAutoencoder": (
        Pipeline(
            [
                ("scale", StandardScaler()),
                ("select", SparseSupervisedAutoencoder(random_state=0)),
            ]
        ),
        [2.0, 4.0, 8.0, 16.0, 32.0, 64.0],
    ),
}
searches = {}
for name, (pipeline, etas) in candidates.items():
    print(f"\nSearching eta for {name}")
    search = GridSearchCV(
        pipeline,
        {"select__eta": etas},
        scoring={
            "accuracy": "accuracy",
            "pixels": kept_pixels,
            "probes": kept_probes,
        },
        refit="accuracy",
        cv=StratifiedKFold(4, shuffle=True, random_state=0),
        n_jobs=options.n_jobs,
    )
    search.set_callbacks(ProgressBar(max_propagation_depth=0))
    searches[name] = search.fit(X_train, y_train)

# %%
# Accuracy, and what was kept
# ---------------------------
# Beside the two selections stand the same classifiers without any selection, and the
# univariate ranking by the F test with as many features as the first search chose. That
# ranking does as well here: each of these pixels tells digits apart by itself.
n_chosen = np.count_nonzero(
    searches["ProjectionFeatureSelector + SVC"].best_estimator_["select"].get_support()
)
baselines = {
    "no selection, logistic regression": LogisticRegression(max_iter=1000),
    "no selection, SVC": SVC(),
    "no selection, autoencoder": SparseSupervisedAutoencoder(
        eta=np.inf, random_state=0
    ),
    f"F test, {n_chosen} best, SVC": Pipeline(
        [("select", SelectKBest(k=n_chosen)), ("classify", SVC())]
    ),
}
print(f"\n{'method':35} {'eta':>5} {'CV':>6} {'test':>6} {'pixels':>10} {'probes':>12}")
for name, classifier in baselines.items():
    # A few permuted pixels are constant in a training set; the F test warns of them.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s)Features .* are constant")
        warnings.filterwarnings("ignore", "invalid value encountered in divide")
        model = Pipeline([("scale", StandardScaler()), ("model", classifier)])
        scores = cross_val_score(model, X_train, y_train, cv=4, n_jobs=options.n_jobs)
        model.fit(X_train, y_train)
    support = np.full(len(names), True)
    if isinstance(classifier, Pipeline):
        support = classifier["select"].get_support()
    print(
        f"{name:35} {'':5} {scores.mean():6.3f} {model.score(X_test, y_test):6.3f} "
        f"{np.count_nonzero(support & ~is_probe):4} of {n_pixels:2} "
        f"{np.count_nonzero(support & is_probe):4} of {is_probe.sum():4}"
    )
for name, search in searches.items():
    support = search.best_estimator_["select"].get_support()
    test = search.best_estimator_.score(X_test, y_test)
    print(
        f"{name:35} {search.best_params_['select__eta']:5} "
        f"{search.best_score_:6.3f} {test:6.3f} "
        f"{np.count_nonzero(support & ~is_probe):4} of {n_pixels:2} "
        f"{np.count_nonzero(support & is_probe):4} of {is_probe.sum():4}"
    )

selector = searches["ProjectionFeatureSelector + SVC"].best_estimator_["select"]
autoencoder = searches["SparseSupervisedAutoencoder"].best_estimator_["select"]
importances = {
    "ProjectionFeatureSelector": selector.scores_,
    "SparseSupervisedAutoencoder": autoencoder.feature_importances_,
}
for name, importance in importances.items():
    top = np.argsort(importance)[::-1][:10]
    print(f"\nTop features of {name}:\n  {', '.join(names[top])}")

# %%
# The path over eta
# -----------------
# Too small a radius loses pixels, too large a one lets probes in; in between lies a
# plateau. The dashed line marks the radius with the best cross-validated accuracy.
figure, axes = plt.subplots(
    2, 2, figsize=(9, 6), sharex="col", sharey="row", layout="constrained"
)
for column, (name, search) in zip(axes.T, searches.items(), strict=True):
    results = search.cv_results_
    etas = results["param_select__eta"].astype(float)
    mean, std = results["mean_test_accuracy"], results["std_test_accuracy"]
    column[0].plot(etas, mean, "o-", color="tab:blue")
    column[0].fill_between(etas, mean - std, mean + std, alpha=0.2, color="tab:blue")
    column[1].plot(etas, results["mean_test_pixels"], "o-", label="pixels")
    column[1].plot(etas, results["mean_test_probes"], "s--", label="probes")
    column[0].set_title(name)
    column[1].set_xlabel("eta (radius of the ball)")
    for axis in column:
        axis.axvline(search.best_params_["select__eta"], color="gray", linestyle="--")
        axis.set_xscale("log", base=2)
        axis.grid(alpha=0.3)
axes[0, 0].set_ylabel("cross-validated accuracy\n(mean and std of 4 folds)")
axes[1, 0].set_ylabel("features kept\n(mean of 4 folds)")
axes[1, 0].set_yscale("symlog", linthresh=10)
axes[1, 0].set_ylim(-1, 1500)
axes[1, 0].set_yticks([0, 5, 10, 100, 1000], ["0", "5", "10", "100", "1000"])
for axis in axes[1]:
    axis.axhline(
        n_pixels, color="tab:blue", alpha=0.4, linestyle=":", label="all pixels"
    )
axes[1, 0].legend(loc="upper left")
eta_figure = figure

# %%
# The first layer
# ---------------
# Each column of the first weight matrix belongs to a feature. Without a projection
# every probe has weights as well; with it, whole columns are zero.
free = SparseSupervisedAutoencoder(eta=np.inf, random_state=0).fit(
    StandardScaler().fit_transform(X_train), y_train
)
figure, axes = plt.subplots(2, 1, figsize=(9, 5), sharex=True, layout="constrained")
limit = np.quantile(np.abs(autoencoder.encoder_weights_[:, ~is_probe]), 0.99)
for axis, model, title in [
    (axes[0], free, "no projection"),
    (axes[1], autoencoder, f"eta = {autoencoder.eta}"),
]:
    image = axis.imshow(
        model.encoder_weights_,
        aspect="auto",
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
        interpolation="nearest",
    )
    axis.axvline(n_pixels - 0.5, color="black", linewidth=0.8)
    axis.set_ylabel("hidden unit")
    axis.set_title(
        f"First-layer weights, {title}: {model.n_selected_features_} columns"
    )
axes[1].set_xlabel(f"feature: {n_pixels} pixels, then {is_probe.sum()} probes")
figure.colorbar(image, ax=axes, label="weight")
weights_figure = figure

# %%
# The selection as a picture
# --------------------------
# The score of each pixel at its place in the 8 by 8 image. White pixels were dropped.
figure, axes = plt.subplots(1, 2, figsize=(7, 3.4), layout="constrained")
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
pixels_figure = figure

# %%
if options.out is not None:
    options.out.mkdir(parents=True, exist_ok=True)
    for name, figure in [
        ("accuracy_against_eta.png", eta_figure),
        ("first_layer_weights.png", weights_figure),
        ("selected_pixels.png", pixels_figure),
    ]:
        figure.savefig(options.out / name, dpi=150)
    print(f"\nPlots are in {options.out}/")
