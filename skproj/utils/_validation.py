"""The one file that reaches for scikit-learn's semi-private validation helpers."""

from sklearn.base import _fit_context
from sklearn.feature_selection._base import _get_feature_importances
from sklearn.utils._param_validation import (
    HasMethods,
    Hidden,
    Interval,
    InvalidParameterError,
    RealNotInt,
    StrOptions,
)
from sklearn.utils.metadata_routing import _routing_enabled
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)

__all__ = [
    "HasMethods",
    "Hidden",
    "Interval",
    "InvalidParameterError",
    "RealNotInt",
    "StrOptions",
    "_check_sample_weight",
    "_fit_context",
    "_get_feature_importances",
    "_routing_enabled",
    "check_is_fitted",
    "validate_data",
]
