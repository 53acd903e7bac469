"""Features traced back through the steps of a pipeline to their columns."""

import math
from typing import NamedTuple

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


class Feature(NamedTuple):
    """A feature, and the column that it is made of.

    Its value is ``(x - center) / scale``, where `x` is the number in its column, or 1
    or 0: whether the number is missing, or whether the text is a category.
    """

    name: str
    column: int  # place of the column among those of the table
    kind: str = "number"  # or "missing", or "category"
    fill: object = None  # what stands in for a missing value; None if none may be
    category: object = None  # the text or number; None for the other kinds
    known: tuple | None = None  # all categories of the column, if others are an error
    center: float = 0.0
    scale: float = 1.0
    importance: float = math.nan  # in the last step that selects, NaN without one


def trace(step, features):
    """Return the list of `Feature` that a transformer makes of others.

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
            names = step.get_feature_names_out(names_of(features))
            pairs = zip(made, names, strict=True)
            return [f if f.name == name else f._replace(name=name) for f, name in pairs]
    raise NotExportable(
        f"the step {type(step).__name__} may mix columns or rows; possible are "
        f"{POSSIBLE_STEPS}"
    )


def names_of(features):
    return np.array([feature.name for feature in features], dtype=object)


def trace_columns(step, features):
    if step.transformer_weights:
        raise NotExportable("the ColumnTransformer has transformer_weights")
    made = []
    for _, transformer, columns in step.transformers_:
        part = [features[j] for j in places_of(columns, names_of(features))]
        if part and not (isinstance(transformer, str) and transformer == "drop"):
            made += trace(transformer, part)
    return made


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
        pairs = zip(features, scores, strict=True)
        features = [feature._replace(importance=score) for feature, score in pairs]
    return [features[j] for j in step.get_support(indices=True)]


def trace_scaler(step, features):
    """Append ``(x - center) / scale`` to what was done before."""
    center = getattr(step, "mean_", getattr(step, "center_", None))
    if getattr(step, "with_mean", True) is False:
        center = None  # the mean is known all the same
    scale = getattr(step, "scale_", None)
    shape = len(features)
    centers = np.broadcast_to(0.0 if center is None else center, shape)
    scales = np.broadcast_to(1.0 if scale is None else scale, shape)
    return [
        f._replace(center=f.center + f.scale * float(c), scale=f.scale * float(s))
        for f, c, s in zip(features, centers, scales, strict=True)
    ]


def trace_imputer(step, features):
    if not is_nan(step.missing_values):
        raise NotExportable(f"the SimpleImputer fills in {step.missing_values!r}")
    made = []
    for feature, statistic in zip(features, step.statistics_, strict=True):
        if is_nan(statistic):
            made += [feature] if step.keep_empty_features else []
            continue
        if feature.kind == "number" and feature.fill is None:  # else nothing is missing
            fill = str(statistic)
            if not isinstance(statistic, str):  # in the units of the column
                fill = float(statistic) * feature.scale + feature.center
            feature = feature._replace(fill=fill)
        made.append(feature)
    if step.add_indicator:
        missing = [features[j] for j in step.indicator_.features_]
        made += [Feature(f.name, f.column, "missing") for f in missing]
    return made


def trace_encoder(step, features):
    if any((f.kind, f.center, f.scale) != ("number", 0.0, 1.0) for f in features):
        raise NotExportable("the OneHotEncoder has columns that were changed before")
    if step.max_categories is not None or step.min_frequency is not None:
        raise NotExportable("the OneHotEncoder merges rare categories")
    made = []
    for j, (feature, values) in enumerate(zip(features, step.categories_, strict=True)):
        categories = tuple(map(plain_value, values))
        known = categories if step.handle_unknown == "error" else None
        feature = feature._replace(kind="category", known=known)
        dropped = None if step.drop_idx_ is None else step.drop_idx_[j]
        made += [
            feature._replace(category=category)
            for k, category in enumerate(categories)
            if k != dropped
        ]
    return made


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
