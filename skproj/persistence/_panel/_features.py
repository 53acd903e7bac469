"""Features traced back through the steps of a pipeline to their columns."""

from dataclasses import dataclass, fields, replace

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import SelectorMixin
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    OneHotEncoder,
    RobustScaler,
    StandardScaler,
)

POSSIBLE_STEPS = (
    "SimpleImputer, OneHotEncoder, StandardScaler, RobustScaler, MaxAbsScaler, "
    "ColumnTransformer, and selectors"
)


class NotExportable(ValueError):
    """Error of a step that cannot be written as a panel.

    It mixes columns, or predicts in a way that is not known here.
    """


@dataclass(frozen=True)
class Features:
    """Features and the columns they are made of, arrays of shape (n_features,).

    The value of a feature is ``(x - center) / scale``, where `x` is the number in its
    column, or 1 or 0: whether the number is missing, or whether the text is a category.

    """

    names: np.ndarray
    columns: np.ndarray  # place of the column among those of the table
    kinds: np.ndarray  # "number", "missing" or "category"
    fills: np.ndarray  # what stands in for a missing value; None if none may be
    categories: np.ndarray  # the text or number; None for the other kinds
    known: np.ndarray  # all categories of the column, if others are an error; else None
    centers: np.ndarray
    scales: np.ndarray
    importances: np.ndarray  # in the last step that selects, NaN without one

    @classmethod
    def of_columns(cls, names):
        """Return the columns of a table as they are."""
        n = len(names)
        nothing = np.full(n, None)
        return cls(
            names=np.asarray(names, dtype=object),
            columns=np.arange(n),
            kinds=np.full(n, "number", dtype=object),
            fills=nothing,
            categories=nothing,
            known=nothing,
            centers=np.zeros(n),
            scales=np.ones(n),
            importances=np.full(n, np.nan),
        )

    def __len__(self):
        return len(self.names)

    def take(self, places):
        return Features(*(getattr(self, f.name)[places] for f in fields(self)))

    @property
    def are_plain(self):
        """Whether the features are columns that nothing was done to but imputing."""
        untouched = (self.centers == 0.0) & (self.scales == 1.0)
        return bool((untouched & (self.kinds == "number")).all())


def concatenate(parts):
    if not parts:
        return Features.of_columns([])
    return Features(
        *(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Features))
    )


def trace(step, features):
    """Return the `Features` that a transformer, or "passthrough", makes of others.

    A `NotExportable` is raised if it is not known to work on each column by itself.
    """
    is_identity = isinstance(step, FunctionTransformer) and step.func is None
    if step is None or isinstance(step, str) or is_identity:  # "passthrough"
        return features
    if isinstance(step, Pipeline):
        for _, inner in step.steps:
            features = trace(inner, features)
        return features
    for kinds, make in TRACED.items():
        if isinstance(step, kinds):
            made = make(step, features)
            names = step.get_feature_names_out(features.names)
            return replace(made, names=np.asarray(names, dtype=object))
    raise NotExportable(
        f"the step {type(step).__name__} may mix columns or rows; possible are "
        f"{POSSIBLE_STEPS}"
    )


def trace_columns(step, features):
    if step.transformer_weights:
        raise NotExportable("the ColumnTransformer has transformer_weights")
    parts = []
    for _, transformer, columns in step.transformers_:
        part = features.take(places_of(columns, features.names))
        if len(part) and not (isinstance(transformer, str) and transformer == "drop"):
            parts.append(trace(transformer, part))
    return concatenate(parts)


def places_of(columns, names):
    """Return the places of columns that a ColumnTransformer has by names or numbers."""
    if isinstance(columns, str):
        columns = [columns]
    if isinstance(columns, slice) and not isinstance(columns.start, str):
        return np.arange(len(names))[columns]
    if isinstance(columns, slice):
        raise NotExportable("the ColumnTransformer has a slice of names")
    columns = np.atleast_1d(np.asarray(columns, dtype=object))
    if all(isinstance(column, bool | np.bool_) for column in columns):
        return np.flatnonzero(columns)
    places = {name: place for place, name in enumerate(names)}
    return np.array(
        [places[c] if isinstance(c, str) else range(len(names))[c] for c in columns],
        dtype=np.intp,
    )


def trace_selector(step, features):
    scores = np.asarray(getattr(step, "scores_", np.nan))
    if scores.shape == (len(features),):
        features = replace(features, importances=scores)
    return features.take(step.get_support(indices=True))


def trace_scaler(step, features):
    """Append ``(x - center) / scale`` to what was done before."""
    center = getattr(step, "mean_", getattr(step, "center_", None))
    if getattr(step, "with_mean", True) is False:
        center = None  # the mean is known all the same
    scale = getattr(step, "scale_", None)
    center = 0.0 if center is None else np.asarray(center, dtype=np.float64)
    scale = 1.0 if scale is None else np.asarray(scale, dtype=np.float64)
    return replace(
        features,
        centers=features.centers + features.scales * center,
        scales=features.scales * scale,
    )


def trace_imputer(step, features):
    if not is_nan(step.missing_values):
        raise NotExportable(f"the SimpleImputer fills in {step.missing_values!r}")
    fills = features.fills.copy()
    statistics = step.statistics_
    for j, statistic in enumerate(statistics):
        if features.kinds[j] != "number" or fills[j] is not None:
            continue  # nothing can be missing
        if isinstance(statistic, str):
            fills[j] = str(statistic)
        elif not is_nan(statistic):  # in the units of the column
            fills[j] = float(statistic) * features.scales[j] + features.centers[j]
    parts = [replace(features, fills=fills)]
    if not step.keep_empty_features:
        parts[0] = parts[0].take([not is_nan(statistic) for statistic in statistics])
    if step.add_indicator:
        missing = features.take(step.indicator_.features_)
        empty = Features.of_columns(missing.names)
        kinds = np.full(len(missing), "missing", dtype=object)
        parts.append(replace(empty, columns=missing.columns, kinds=kinds))
    return concatenate(parts)


def trace_encoder(step, features):
    if not features.are_plain:
        raise NotExportable("the OneHotEncoder has columns that were changed before")
    if step.max_categories is not None or step.min_frequency is not None:
        raise NotExportable("the OneHotEncoder merges rare categories")
    parts = []
    for j, values in enumerate(step.categories_):
        categories = np.array([plain_value(value) for value in values], dtype=object)
        made = features.take(np.full(len(categories), j))
        known = np.full(len(categories), None)
        if step.handle_unknown == "error":
            known[:] = [tuple(categories)] * len(categories)
        kinds = np.full(len(categories), "category", dtype=object)
        made = replace(made, kinds=kinds, categories=categories, known=known)
        dropped = None if step.drop_idx_ is None else step.drop_idx_[j]
        if dropped is not None:
            made = made.take(np.arange(len(categories)) != dropped)
        parts.append(made)
    return concatenate(parts)


def plain_value(value):
    """Return a category as text, a number or a truth value; None if it is missing."""
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or is_nan(value):
        return None
    if not isinstance(value, str | bool | int | float):
        raise NotExportable(f"the OneHotEncoder has the category {value!r}")
    return value


def is_nan(value):
    """Whether a value is NaN, which text is not."""
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


TRACED = {
    ColumnTransformer: trace_columns,
    SelectorMixin: trace_selector,
    (StandardScaler, RobustScaler, MaxAbsScaler): trace_scaler,
    SimpleImputer: trace_imputer,
    OneHotEncoder: trace_encoder,
}
