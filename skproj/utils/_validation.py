"""Validation; the one file that uses private helpers of scikit-learn."""

import functools
from collections.abc import Callable
from numbers import Real

import numpy as np
from sklearn import config_context
from sklearn.base import _fit_context
from sklearn.callback._transport import close_listener, open_listener, send
from sklearn.feature_selection._base import _get_feature_importances
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    RealNotInt,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.metadata_routing import _routing_enabled
from sklearn.utils.validation import (
    _check_method_params,
    _check_sample_weight,
    _num_features,
    check_is_fitted,
)
from sklearn.utils.validation import validate_data as _validate_data

from skproj._typing import Params, Result
from skproj.utils._wording import first_difference

SUPPORTED_DTYPES = [np.float64, np.float32]


def validate_data(*args, **options):
    """Validate as scikit-learn does, with arrays of any library made ones of NumPy."""
    with config_context(array_api_dispatch=False):
        return _validate_data(*args, **options)


def check_complete(y):
    """Refuse missing labels, which scikit-learn does not see or not explain."""
    n_missing = count_missing(y)
    if n_missing:
        raise ValueError(
            f"Input y contains NaN: {n_missing} of {len(y)} samples have no target; "
            "leave them out."
        )


def count_missing(labels):
    """Return in how many rows of a list, array or frame there is NaN, None or NA."""
    if np.ma.is_masked(labels):
        return _count_rows(np.ma.getmaskarray(labels))
    array = np.asarray(labels)
    if array.dtype.kind in "US" and isinstance(labels, list | tuple):
        array = np.asarray(labels, dtype=object)  # not "nan"
    if array.ndim == 0 or array.dtype.kind not in "fO":
        return 0
    if array.dtype.kind == "f":
        missing = np.isnan(array)
    else:
        missing = np.array([_is_missing(label) for label in array.ravel()], dtype=bool)
    return _count_rows(missing.reshape(array.shape))


def _count_rows(missing):
    """Return in how many rows of any shape something is missing."""
    return np.count_nonzero(missing.any(axis=tuple(range(1, missing.ndim))))


def _is_missing(label):
    """Whether a label is missing."""
    if label is None:
        return True
    try:
        return bool(label != label)  # NaN differs from itself
    except TypeError:  # NA is neither equal nor different
        return True
    except ValueError:  # an array
        return False


def as_numbers(values, kinds, rule):
    """Convert some kinds of numbers, also those of nullable columns, but not text."""
    values = np.asanyarray(values)
    known = values.dtype.kind in kinds
    if values.dtype.kind == "O":
        known = all(isinstance(value, Real | np.bool_) for value in values.flat)
    if known and values.ndim == 1 and not np.ma.is_masked(values):
        return np.asarray(values, dtype=np.float64)
    raise ValueError(
        f"{rule}, without missing values, got {values.dtype} of shape {values.shape}."
    )


def check_class_weight(class_weight, *, classes, y, sample_weight):
    """Return the weight of each class, all of them positive and finite."""
    weights = compute_class_weight(
        class_weight, classes=classes, y=y, sample_weight=sample_weight
    )
    if not np.all(np.isfinite(weights) & (weights > 0.0)):
        raise ValueError(
            f"class_weight must be positive and finite, got {class_weight!r}."
        )
    return weights


def atomic_fit(fit: Callable[Params, Result]) -> Callable[Params, Result]:
    """Make a `fit` that fails leave the fitted attributes as they were."""

    @functools.wraps(fit)
    def fit_or_restore(estimator, *args, **kwargs):
        before = {k: v for k, v in vars(estimator).items() if k.endswith("_")}
        try:
            return fit(estimator, *args, **kwargs)
        except BaseException:
            for name in [name for name in vars(estimator) if name.endswith("_")]:
                delattr(estimator, name)
            vars(estimator).update(before)
            raise

    return fit_or_restore


def check_block_features(estimator, blocks):
    """Raise an error if blocks do not have the features of a fitted estimator."""
    name, n_features = type(estimator).__name__, estimator.n_features_in_
    if blocks.shape[1] != n_features:
        raise ValueError(
            f"X has {blocks.shape[1]} features, but {name} is expecting {n_features} "
            "features as input."
        )
    check_names(getattr(estimator, "feature_names_in_", None), blocks.feature_names)


def check_names(fitted, given):
    """Raise an error if names are not those of the fit; None are not known."""
    if fitted is None or given is None or len(fitted) != len(given):
        return
    if not np.array_equal(fitted, given):
        raise ValueError(
            "X must have the feature names of the fit, in their order: "
            f"{first_difference(given, fitted)}."
        )
