"""The parameters of the public estimators: names, order, defaults, and storage."""

import ast
import importlib
import inspect

import pytest
from numpydoc.docscrape import NumpyDocString
from sklearn.base import BaseEstimator, clone

import skproj

SIGNATURES = {
    "CoxRidge": "alpha=None, *, ties='breslow'",
    "GroupSparseNMF": """
        n_components='auto', *, sparsity_W=None, sparsity_H=None, weights_W=None,
        weights_H=None, mode='group', init=None, max_iter=500, tol=0.0001,
        forget_factor=0.7, random_state=None
    """,
    "ProjectionFeatureSelector": """
        estimator=None, *, eta=None, n_features_to_select=None, projection='l1inf',
        loss='auto', huber_epsilon=1.35, l2_reg=0.0, standardize=True,
        fit_intercept=True, class_weight=None, positive=False, feature_weights=None,
        always_keep=None, never_keep=None, feature_groups=None, prefit=False,
        importance_getter='auto', max_iter=1000, tol=0.0001, n_threads=1
    """,
    "ProjectionFeatureSelectorCV": """
        etas=30, *, cv=None, scoring=None, keep_gain=0.95, projection='l12',
        loss='auto', huber_epsilon=1.35, l2_reg=0.0, standardize=True,
        fit_intercept=True, class_weight=None, positive=False, feature_weights=None,
        always_keep=None, never_keep=None, feature_groups=None, max_iter=1000,
        tol=0.0001, n_jobs=None, n_threads=1, random_state=None
    """,
    "SparseMLPClassifier": """
        hidden_layer_sizes=(100,), *, target_sparsity=0.9, method='l1', alpha=None,
        penalty='l1', sparsity_tol=0.01, max_search_iter=20, trim=True, debias=True,
        activation='relu', solver='adam', max_epochs=100, batch_size='auto',
        learning_rate_init='auto', weight_decay=0.0, early_stopping=False,
        validation_fraction=0.1, n_iter_no_change=10, tol=0.0001, class_weight=None,
        warm_start=False, device='auto', n_threads=1, random_state=None, verbose=False
    """,
    "SparseMLPRegressor": """
        hidden_layer_sizes=(100,), *, target_sparsity=0.9, method='l1', alpha=None,
        penalty='l1', sparsity_tol=0.01, max_search_iter=20, trim=True, debias=True,
        loss='squared_error', activation='relu', solver='adam', max_epochs=100,
        batch_size='auto', learning_rate_init='auto', weight_decay=0.0,
        early_stopping=False, validation_fraction=0.1, n_iter_no_change=10, tol=0.0001,
        warm_start=False, device='auto', n_threads=1, random_state=None, verbose=False
    """,
    "SparseSupervisedAutoencoder": """
        hidden_layer_sizes=(100,), *, eta=None, n_features_to_select=None,
        projection='bilevel_l1inf', feature_weights=None, always_keep=None,
        never_keep=None, feature_groups=None, standardize=True, loss='cross_entropy',
        activation='silu', schedule='consensus', max_epochs=20, class_weight=None,
        calibrate=False,
        device='auto', n_threads=1, random_state=None, verbose=False
    """,
    "SparseSupervisedAutoencoderCV": """
        hidden_layer_sizes=(100,), *, etas=None, cv=None, scoring=None,
        selection_rule='parsimonious', projection='bilevel_l1inf',
        feature_weights=None, always_keep=None, never_keep=None, feature_groups=None,
        standardize=True, loss='cross_entropy', activation='silu',
        schedule='consensus', max_epochs=20,
        class_weight=None, calibrate=True, linear_part=True, device='auto',
        n_threads=1, random_state=None, verbose=False
    """,
    "SparseSupervisedAutoencoderRegressor": """
        hidden_layer_sizes=(100,), *, eta=None, n_features_to_select=None,
        projection='bilevel_l1inf', feature_weights=None, always_keep=None,
        never_keep=None, feature_groups=None, standardize=True, loss='squared_error',
        activation='silu',
        schedule='consensus', max_epochs=20, device='auto',
        n_threads=1, random_state=None, verbose=False
    """,
    "SparsificationSchedule": """
        kind='consensus', *, keep_fraction=0.7, rewind=False, batch_size='auto',
        learning_rate_init=0.004, input_noise='auto', final_noise='auto',
        reconstruction_weight=0.0
    """,
    "StabilitySelector": """
        estimator=None, *, n_pairs=None, param_name=None, param_values=None,
        threshold=None, max_false_selections=None, fdr=None, stratify='auto',
        n_jobs=None, random_state=None
    """,
}


def public_estimators():
    for subpackage in skproj._SUBPACKAGES:
        module = importlib.import_module(f"skproj.{subpackage}")
        for name in module.__all__:
            obj = getattr(module, name)
            if inspect.isclass(obj) and issubclass(obj, BaseEstimator):
                yield obj


ESTIMATORS = list(public_estimators())


def test_table_has_every_estimator():
    assert {cls.__name__ for cls in ESTIMATORS} == SIGNATURES.keys()


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_signature_is_that_of_the_table(cls):
    """Without its types, which mypy reads."""
    expected = " ".join(SIGNATURES[cls.__name__].split())
    empty, parameters = inspect.Signature.empty, inspect.signature(cls).parameters
    plain = [parameter.replace(annotation=empty) for parameter in parameters.values()]
    assert str(inspect.Signature(plain)) == f"({expected})"


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_documented_defaults_are_those_of_the_signature(cls):
    documented = {
        row.name: ast.literal_eval(row.type.partition("default=")[2])
        for row in NumpyDocString(inspect.getdoc(cls))["Parameters"]
    }
    signature = inspect.signature(cls).parameters
    assert documented == {name: row.default for name, row in signature.items()}


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_estimator_only_stores_its_parameters(cls):
    """Each parameter is the attribute of its name, and the very object."""
    given = {name: object() for name in inspect.signature(cls).parameters}
    estimator = cls(**given)
    assert estimator.get_params(deep=False) == given
    assert not {"self", "__class__"} & vars(estimator).keys()


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_defaults_survive_a_clone(cls):
    """A copy has the same parameters, and `repr` shows none that is a default."""
    estimator = clone(cls())
    defaults = inspect.signature(cls).parameters
    assert estimator.get_params(deep=False) == {
        name: parameter.default for name, parameter in defaults.items()
    }
    assert repr(estimator) == f"{cls.__name__}()"
