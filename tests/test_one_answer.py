"""The same table in other forms: precision, layout, container, blocks, sparse."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits

from skproj import (
    GroupSparseNMF,
    ProjectionFeatureSelector,
    ProjectionFeatureSelectorCV,
    SparseMLPClassifier,
    SparseMLPRegressor,
    SparseSupervisedAutoencoder,
    SparseSupervisedAutoencoderCV,
    SparseSupervisedAutoencoderRegressor,
    StabilitySelector,
)
from skproj.blocks import RowBlocks, open_blocks

FORMS = {
    "float32": lambda X: X.astype(np.float32),
    "Fortran": np.asfortranarray,
    "uint8": lambda X: X.astype(np.uint8),
    "list": lambda X: X.tolist(),
    "frame of float32": lambda X: pd.DataFrame(X.astype(np.float32)),
    "CSR": sparse.csr_array,
    "CSR of float32": lambda X: sparse.csr_array(X.astype(np.float32)),
    "small blocks": lambda X: open_blocks(X, block_size=7),
    "blocks of float32": lambda X: open_blocks(X.astype(np.float32), block_size=90),
    "sparse blocks": lambda X: open_blocks(sparse.csr_array(X), block_size=33),
}

SHORT = {"max_epochs": 5, "random_state": 0}

ESTIMATORS = {
    "selector": ProjectionFeatureSelector(eta=2.0, tol=1e-8, max_iter=5000),
    "search": ProjectionFeatureSelectorCV(
        etas=[0.5, 2.0], cv=2, tol=1e-8, max_iter=5000, random_state=0
    ),
    "stability": StabilitySelector(
        ProjectionFeatureSelector(eta=1.0), n_pairs=3, random_state=0
    ),
    "autoencoder": SparseSupervisedAutoencoder(eta=4.0, **SHORT),
    "double": SparseSupervisedAutoencoder(eta=4.0, schedule="double", **SHORT),
    "autoencoder search": SparseSupervisedAutoencoderCV(etas=[8.0, 4.0], cv=2, **SHORT),
    "autoencoder regressor": SparseSupervisedAutoencoderRegressor(eta=4.0, **SHORT),
    "perceptron": SparseMLPClassifier(hidden_layer_sizes=(10,), **SHORT),
    "regressor": SparseMLPRegressor(hidden_layer_sizes=(10,), alpha=1e-3, **SHORT),
}

NO_BLOCKS = {"perceptron", "regressor"}


@pytest.fixture(scope="module")
def table():
    """Counts from 0 to 16, which are exact in each type, and three classes."""
    X, y = load_digits(n_class=3, return_X_y=True)
    return X[:150], y[:150]


@pytest.fixture(scope="module", params=ESTIMATORS)
def fitted(request, table):
    """The name of an estimator, and the estimator fitted to float64."""
    return request.param, clone(ESTIMATORS[request.param]).fit(*table)


def answers(model, X):
    """Return the selection, and the numbers that a user reads."""
    if hasattr(model, "get_support"):
        support = model.get_support()
    else:
        support = np.concatenate([(coef != 0).ravel() for coef in model.coefs_])
    if hasattr(model, "predict_proba"):
        return support, model.predict_proba(X)
    if hasattr(model, "predict"):
        return support, model.predict(X)
    names = "coef_", "selection_probabilities_"
    return support, next(getattr(model, name, np.zeros(0)) for name in names)


@pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("form", FORMS)
def test_one_answer(form, fitted, table):
    name, model = fitted
    X, y = table
    other = FORMS[form](X)
    if isinstance(other, RowBlocks) and name in NO_BLOCKS:
        with pytest.raises(TypeError, match="X in blocks cannot be used here"):
            clone(model).fit(other, y)
        return
    found = clone(ESTIMATORS[name]).fit(other, y)
    support, numbers = answers(found, X)
    expected_support, expected = answers(model, X)
    assert_array_equal(support, expected_support)
    assert_allclose(numbers, expected, rtol=1e-3, atol=1e-3)
    if hasattr(found, "predict_proba") and form.startswith("float32"):
        assert found.predict_proba(other).dtype == np.float32


@pytest.mark.parametrize("form", [form for form in FORMS if "blocks" not in form])
def test_one_factorisation(form, table):
    X, _ = table
    model = GroupSparseNMF(4, sparsity_H=0.5, init="random", random_state=0)
    expected = model.fit(X).components_
    found = model.fit(FORMS[form](X)).components_
    assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * expected.max())
