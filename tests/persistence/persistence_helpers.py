"""Helpers of the tests of saved files."""

import contextlib
import json
import tracemalloc
import zipfile

import numpy as np
import pandas as pd
from sklearn.datasets import make_classification
from sklearn.ensemble import VotingClassifier, VotingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skproj import (
    GroupSparseNMF,
    ProjectionFeatureSelector,
    ProjectionFeatureSelectorCV,
    SparseMLPClassifier,
    SparseMLPRegressor,
    SparseSupervisedAutoencoder,
    SparseSupervisedAutoencoderCV,
    SparseSupervisedAutoencoderRegressor,
)
from skproj.feature_selection import StabilitySelector
from skproj.linear_model import CoxRidge
from skproj.nn import SparsificationSchedule
from skproj.persistence import dump, load

QUICK = {"max_epochs": 3, "random_state": 0}


def make_data():
    X, labels = make_classification(
        n_samples=80, n_features=12, n_informative=4, n_classes=3, random_state=0
    )
    X = pd.DataFrame(X, columns=[f"gene {i}" for i in range(X.shape[1])])
    values = np.c_[X.to_numpy() @ np.arange(12.0), X["gene 1"]]
    return X, np.array(["ill", "well", "unknown"])[labels], values


X, LABELS, VALUES = make_data()


CASES = {
    "selector": (ProjectionFeatureSelector(eta=0.5), LABELS),
    "selector of a number": (ProjectionFeatureSelector(n_features_to_select=3), VALUES),
    "selector of a model": (ProjectionFeatureSelector(LogisticRegression()), LABELS),
    "selector cv": (ProjectionFeatureSelectorCV([0.5, 1.0, 2.0], cv=2), LABELS),
    "stability": (StabilitySelector(n_pairs=3, random_state=0), LABELS),
    "nmf": (GroupSparseNMF(2, max_iter=20, tol=1e-2, random_state=0), None),
    "autoencoder": (SparseSupervisedAutoencoder(eta=10.0, **QUICK), LABELS),
    "autoencoder of a number": (
        SparseSupervisedAutoencoder(
            (6, 5),
            n_features_to_select=3,
            schedule=SparsificationSchedule("double"),
            **QUICK,
        ),
        LABELS,
    ),
    "autoencoder cv": (SparseSupervisedAutoencoderCV(cv=2, **QUICK), LABELS),
    "autoencoder regressor": (
        SparseSupervisedAutoencoderRegressor(eta=10.0, **QUICK),
        VALUES,
    ),
    "autoencoder of times": (
        SparseSupervisedAutoencoderRegressor(eta=10.0, loss="cox", **QUICK),
        np.exp(VALUES[:, 0]),
    ),
    "cox": (CoxRidge(), np.exp(VALUES[:, 0])),
    "mlp": (
        SparseMLPClassifier((30, 40), alpha=0.003, max_epochs=10, random_state=0),
        LABELS,
    ),
    "mlp by groups": (
        SparseMLPClassifier(
            alpha=1e-3, penalty="l12", class_weight="balanced", **QUICK
        ),
        LABELS,
    ),
    "mlp projected": (SparseMLPClassifier(method="projected", **QUICK), LABELS),
    "mlp regressor": (
        SparseMLPRegressor(alpha=[1e-3, np.inf], loss="huber", **QUICK),
        VALUES,
    ),
    "pipeline": (
        make_pipeline(StandardScaler(), ProjectionFeatureSelector(eta=0.5), SVC()),
        LABELS,
    ),
    "pipeline of a network": (
        make_pipeline(StandardScaler(), SparseSupervisedAutoencoder(eta=10.0, **QUICK)),
        LABELS,
    ),
    "mean of classifiers": (
        VotingClassifier(
            [
                ("linear", LogisticRegression(max_iter=1000)),
                ("network", SparseSupervisedAutoencoder(eta=10.0, **QUICK)),
            ],
            voting="soft",
            weights=[1, 2],
        ),
        LABELS,
    ),
    "mean of regressors": (
        VotingRegressor(
            [
                ("linear", Ridge()),
                ("network", SparseSupervisedAutoencoderRegressor(eta=10.0, **QUICK)),
            ]
        ),
        VALUES[:, 0],
    ),
}


def through_file(estimator, tmp_path):
    path = tmp_path / "model.skops"
    dump(estimator, path)
    return load(path)


# ---------------------------------------------------------------------------
# Files that are not what they seem


def edit(path, change):
    """Rewrite a file of skops with another schema."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(members["schema.json"])
    change(schema)
    members["schema.json"] = json.dumps(schema).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def attributes_of(schema):
    return schema["content"]["content"]


@contextlib.contextmanager
def little_memory():
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
