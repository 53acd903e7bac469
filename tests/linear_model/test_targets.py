"""Targets of any container: plain arrays, or a sentence on what is missing."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from skproj import (
    ProjectionFeatureSelector,
    ProjectionFeatureSelectorCV,
    SparseMLPClassifier,
    SparseSupervisedAutoencoder,
    SparseSupervisedAutoencoderRegressor,
    StabilitySelector,
)
from skproj.linear_model._targets import choose_loss, plain_target

LABELS = ["a", "b", "b", "a", "b", "a", "a", "b"]
WORDS = [
    lambda values: pd.Series(values, dtype="string"),
    lambda values: pd.Series(values, dtype="category"),
    lambda values: pd.Series(values, dtype=object),
    lambda values: np.array(values, dtype=object),
    lambda values: list(values),
    lambda values: pd.Series(values, dtype="string").to_frame(),
]
NUMBERS = ["Int64", "boolean", "Float64", "category", "object"]
MISSING = [None, np.nan, pd.NA]


def test_words_stay_words():
    for make in WORDS:
        found = plain_target(make(LABELS))
        assert_array_equal(found.ravel(), LABELS)
        assert set(map(type, found.ravel().tolist())) == {str}


@pytest.mark.parametrize("dtype", NUMBERS)
def test_numbers_get_their_type(dtype):
    values = {"boolean": [True, False], "Float64": [0.5, 2.0]}.get(dtype, [3, 5])
    found = plain_target(pd.Series(values * 4, dtype=dtype))
    assert_array_equal(found, values * 4)
    assert found.dtype == np.asarray(values).dtype
    assert plain_target(pd.DataFrame({"a": values, "b": values}, dtype=dtype)).ndim == 2


@pytest.mark.parametrize("arrow", ["int64", "bool", "double", "string"])
def test_columns_of_arrow(arrow):
    pytest.importorskip("pyarrow")
    values = {"string": ["a", "b"], "double": [0.5, 2.0]}.get(arrow, [0, 1])
    y = pd.Series(values, dtype=f"{arrow}[pyarrow]")
    assert_array_equal(plain_target(y), values)
    with pytest.raises(ValueError, match="y contains NaN: 1 of 3 samples"):
        plain_target(pd.Series([*values, None], dtype=f"{arrow}[pyarrow]"))


@pytest.mark.parametrize("make", WORDS)
@pytest.mark.parametrize("gap", MISSING)
def test_missing_words_are_counted(gap, make):
    with pytest.raises(
        ValueError, match="Input y contains NaN: 2 of 8 samples have no"
    ):
        plain_target(make([gap, *LABELS[1:5], gap, *LABELS[6:]]))


def test_missing_values_of_several_kinds_are_counted():
    y = np.array([None, "a", np.nan, "b", pd.NA, pd.NaT], dtype=object)
    with pytest.raises(ValueError, match="Input y contains NaN: 4 of 6 samples"):
        plain_target(y)


@pytest.mark.parametrize(
    ("y", "numeric", "message"),
    [
        (pd.Series([1, None, 0], dtype="Int64"), False, "NaN: 1 of 3 samples"),
        (np.array([[1.0, np.nan], [0.0, 1.0]]), True, "NaN: 1 of 2 samples"),
        ([1.5, None], True, "NaN: 1 of 2 samples"),
        (np.array(["a", 1], dtype=object), False, "of one type, got int and str"),
        (pd.to_datetime(pd.Series(["2020-01-01"])), False, "labels, got datetime64"),
        (["1.5", "x"], True, "y must have numbers for a regression: .*'x'"),
    ],
)
def test_other_targets_are_refused(y, numeric, message):
    with pytest.raises(ValueError, match=message):
        plain_target(y, numeric)


ESTIMATORS = [
    ProjectionFeatureSelector(),
    ProjectionFeatureSelectorCV(etas=2, cv=2),
    StabilitySelector(n_pairs=1),
    SparseMLPClassifier(max_epochs=1, alpha=0.1),
    SparseSupervisedAutoencoder(max_epochs=1),
]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:(No feature|Only|The network)")
def test_estimators_take_columns_of_pandas(estimator):
    X = np.random.default_rng(0).standard_normal((16, 3))
    y = pd.Series(2 * LABELS, dtype="string")
    for target in (y, y == "a", (y == "a").astype("Int64")):
        estimator.fit(X, target)
        classes = np.unique(target.to_numpy().tolist())
        if hasattr(estimator, "classes_"):
            assert_array_equal(estimator.classes_, classes)
            assert estimator.classes_.dtype.kind in (classes.dtype.kind, "O")
        if hasattr(estimator, "predict"):
            assert type(estimator.predict(X)) is np.ndarray
            assert estimator.predict(X).dtype == estimator.classes_.dtype
    y[[2, 5]] = pd.NA
    with pytest.raises(ValueError, match="Input y contains NaN: 2 of 16 samples"):
        estimator.fit(X, y)


def test_regression_of_nullable_numbers():
    X = np.random.default_rng(0).standard_normal((16, 3))
    model = SparseSupervisedAutoencoderRegressor(max_epochs=1, random_state=0)
    found = model.fit(X, pd.Series(X[:, 0], dtype="Float64")).predict(X)
    assert_array_equal(found, model.fit(X, X[:, 0]).predict(X))
    with pytest.raises(ValueError, match="y must have numbers for a regression"):
        model.fit(X, 2 * LABELS)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_masked_targets_are_missing(estimator):
    X = np.random.default_rng(0).standard_normal((16, 3))
    y = np.ma.array(np.arange(16) % 2, mask=np.arange(16) == 3)
    with pytest.raises(ValueError, match="Input y contains NaN: 1 of 16 samples"):
        estimator.fit(X, y)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.ones(16) * 1j, "Complex data not supported: y is complex128"),
        (sparse.csr_array(np.eye(16)), "y must be dense, got a sparse matrix"),
    ],
)
def test_targets_of_no_plain_numbers(y, message):
    X = np.random.default_rng(0).standard_normal((16, 3))
    for estimator in [*ESTIMATORS, SparseSupervisedAutoencoderRegressor()]:
        with pytest.raises((TypeError, ValueError), match=message):
            estimator.fit(X, y)


def test_text_in_several_columns():
    y = np.array([["a", "b"]] * 16)
    with pytest.raises(ValueError, match="y of several columns must have numbers, got"):
        ProjectionFeatureSelector().fit(np.eye(16), y)


@pytest.mark.parametrize(
    ("y", "loss", "message"),
    [
        (np.arange(60) % 21, "log_loss", "21 different numbers of y for classes"),
        (np.column_stack([np.arange(60) % 2, np.arange(60.0)]), "squared_error", "two"),
    ],
)
def test_targets_that_look_like_others(y, loss, message):
    with pytest.warns(UserWarning, match=f'loss="auto" takes the {message}'):
        assert choose_loss("auto", y) == loss
    assert choose_loss(loss, y) == loss


@pytest.mark.parametrize(
    "y",
    [
        np.arange(63) % 21,
        (np.arange(60) % 21).astype(str),
        np.arange(60.0) % 20,
        np.arange(60.0) / 2,
        np.column_stack([np.arange(60) % 2, np.arange(60.0) - 1]),
        np.arange(120).reshape(60, 2) % 2,
    ],
)
def test_targets_without_a_doubt(y):
    choose_loss("auto", y)


@pytest.mark.parametrize("shape", [(4, 0), (4, 2, 2)])
def test_shape_of_targets_is_named(shape):
    """What validation says of two dimensions sounds like X."""
    with pytest.raises(ValueError, match=rf"y must have the shape .* got \({shape[0]}"):
        plain_target(np.zeros(shape))


@pytest.mark.parametrize("labels", [np.zeros(0), np.array([], dtype=object)])
def test_no_samples_are_no_error_of_reshape(labels):
    X = np.zeros((0, 3))
    with pytest.raises(ValueError, match="Found array with 0 sample"):
        ProjectionFeatureSelector().fit(X, labels)


def test_weights_that_make_targets_huge_are_named():
    X = np.arange(8.0).reshape(4, 2) ** 2
    selector = ProjectionFeatureSelector(eta=1.0)
    with pytest.raises(ValueError, match="standard deviations; leave out the smallest"):
        selector.fit(X[:, :1] * 0, [0.0, 1.0, 2.0, 3.7], [1.0, *3 * [1e-300]])
