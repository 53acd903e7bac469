"""Fitted estimators that the displays draw."""

import matplotlib
import matplotlib.pyplot as plt
import pytest
from display_helpers import CANCER, DIGITS, FLOWERS
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skproj import (
    GroupSparseNMF,
    ProjectionFeatureSelector,
    ProjectionFeatureSelectorCV,
    SparseSupervisedAutoencoder,
    SparseSupervisedAutoencoderCV,
)

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    """Leave no figure to the next test."""
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def selector_cv():
    return ProjectionFeatureSelectorCV(8, cv=3).fit(CANCER.data, CANCER.target)


@pytest.fixture(scope="session")
def autoencoder_cv():
    network = SparseSupervisedAutoencoderCV(max_epochs=3, cv=3, random_state=0)
    return make_pipeline(StandardScaler(), network).fit(*FLOWERS)


@pytest.fixture(scope="session")
def autoencoder():
    network = SparseSupervisedAutoencoder(
        n_features_to_select=5, max_epochs=3, random_state=0
    )
    model = make_pipeline(StandardScaler().set_output(transform="pandas"), network)
    return model.fit(CANCER.data, CANCER.target_names[CANCER.target])


@pytest.fixture(scope="session")
def nmf():
    return GroupSparseNMF(4, sparsity_H=0.8, max_iter=30, tol=0.1).fit(DIGITS)


@pytest.fixture(scope="session")
def search():
    """Two parameters, and the number of features as a second score."""
    model = make_pipeline(
        ProjectionFeatureSelector(), StandardScaler(), LogisticRegression()
    )
    grid = {
        "projectionfeatureselector__eta": [5.0, 0.1, 1.0],
        "logisticregression__C": [1e-3, 1.0],
    }
    scoring = {
        "accuracy": "accuracy",
        "n_features": lambda model, X, y: model[0].get_support().sum(),
    }
    search = GridSearchCV(model, grid, scoring=scoring, refit="accuracy", cv=3)
    return search.fit(CANCER.data, CANCER.target)
