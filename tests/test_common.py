"""scikit-learn's own checks over every estimator, without any expected failure."""

import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import has_fit_parameter

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
from skproj.linear_model import CoxRidge
from skproj.nn import SparsificationSchedule

# The targets of some checks are noise, for which a search selects nothing.
pytestmark = pytest.mark.filterwarnings("ignore:No feature")

# Small instances; every parameter that is not about time keeps its default.
ESTIMATORS = [
    CoxRidge(),
    GroupSparseNMF(),
    GroupSparseNMF(sparsity_H=0.6),
    GroupSparseNMF(sparsity_H=0.6, mode="column", init="random"),
    ProjectionFeatureSelector(),
    ProjectionFeatureSelector(n_features_to_select=1, projection="bilevel_l1inf"),
    ProjectionFeatureSelector(LogisticRegression()),
    ProjectionFeatureSelectorCV(etas=5, cv=3),
    SparseMLPClassifier((20,), max_epochs=20, target_sparsity=0.5),
    SparseMLPClassifier((20,), max_epochs=20, alpha=1e-3, solver="sgd"),
    SparseMLPClassifier((20,), max_epochs=20, method="projected", target_sparsity=0.5),
    SparseMLPRegressor((20,), max_epochs=20, target_sparsity=0.5),
    SparseMLPRegressor((20,), max_epochs=20, method="projected", target_sparsity=0.5),
    SparseMLPRegressor((20,), max_epochs=20, alpha=1e-3, penalty="l12"),
    SparseSupervisedAutoencoder(max_epochs=20),
    SparseSupervisedAutoencoder(max_epochs=20, schedule="double", projection="l1inf"),
    SparseSupervisedAutoencoderCV(
        max_epochs=8, cv=2, schedule=SparsificationSchedule(input_noise=0.3)
    ),
    SparseSupervisedAutoencoderRegressor(max_epochs=20),
    SparseSupervisedAutoencoderRegressor(max_epochs=20, loss="cox"),
]

ONE_OF_EACH_CLASS = {type(estimator): estimator for estimator in ESTIMATORS}.values()

# The checks that look at what was learnt, or compare two ways to the same factors. All
# others hold after a few steps as well.
CHECKS_OF_FINISHED_FITS = {
    "check_class_weight_classifiers",
    "check_classifiers_classes",
    "check_classifiers_one_label_sample_weights",
    "check_classifiers_train",
    "check_regressors_train",
    "check_transformer_general",
}

# What `check_estimator` leaves out and scikit-learn runs for its own estimators.
FURTHER_CHECKS = [
    "check_all_zero_sample_weights_error",
    "check_dataframe_column_names_consistency",
    "check_get_feature_names_out_error",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
    "check_inplace_ensure_writeable",
    "check_param_validation",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
]


def applies(name, estimator):
    """Whether a check is about something that an estimator does."""
    if "sample_weight" in name:
        return has_fit_parameter(estimator, "sample_weight")
    if "output" in name or "feature_names_out" in name:
        return hasattr(estimator, "transform")
    return True


def shortened(estimator, check):
    """Copy an estimator, with a short fit unless the check needs a finished one."""
    estimator = clone(estimator)
    if check in CHECKS_OF_FINISHED_FITS:
        return estimator
    if isinstance(estimator, GroupSparseNMF):
        return estimator.set_params(tol=1e-2)
    params = estimator.get_params()
    if "max_epochs" in params:
        estimator.set_params(max_epochs=2)
    if params.get("schedule") == "consensus":
        estimator.set_params(schedule=SparsificationSchedule(keep_fraction=0.3))
    return estimator


@parametrize_with_checks(ESTIMATORS)
def test_estimator_passes_check(estimator, check):
    """The contract of scikit-learn holds."""
    check(shortened(estimator, check.func.__name__))


# The checks of `set_output` fit on frames and transform arrays on purpose.
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.filterwarnings("ignore:X has feature names")
@pytest.mark.parametrize(
    ("estimator", "name"),
    [
        pytest.param(estimator, name, id=f"{type(estimator).__name__}-{name}")
        for name in FURTHER_CHECKS
        for estimator in ONE_OF_EACH_CLASS
        if applies(name, estimator)
    ],
)
def test_estimator_passes_further_check(estimator, name):
    """So do the checks that are not part of `check_estimator`."""
    check = getattr(estimator_checks, name)
    check(type(estimator).__name__, shortened(estimator, name))


@pytest.mark.parametrize(
    "estimator",
    [
        ProjectionFeatureSelector(eta=1.0),
        GroupSparseNMF(2, random_state=0),
        SparseMLPClassifier(max_epochs=1, random_state=0),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_tensors_are_taken_under_the_dispatch_of_scikit_learn(estimator, monkeypatch):
    """With the fit that the same numbers in NumPy give."""
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    X = np.random.default_rng(0).uniform(size=(40, 5))
    y = (X[:, 0] > 0.5).astype(int)
    method = "transform" if hasattr(estimator, "transform") else "predict_proba"
    expected = getattr(clone(estimator).fit(X, y), method)(X)
    with config_context(array_api_dispatch=True):
        fitted = estimator.fit(torch.from_numpy(X), torch.from_numpy(y))
        result = getattr(fitted, method)(torch.from_numpy(X))
    np.testing.assert_array_equal(np.asarray(result), expected)
