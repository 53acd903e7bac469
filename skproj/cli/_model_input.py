"""The columns that a saved model needs of a table, and what it returns for them."""

import numpy as np
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.preprocessing import OneHotEncoder

from skproj.cli._errors import CommandError
from skproj.cli._frame_table import as_text
from skproj.cli._models import without_names
from skproj.cli._survival import survival_probabilities
from skproj.persistence._panel._export import needed_features
from skproj.persistence._panel._features import NotExportable, places_of
from skproj.persistence._panel._text_tables import clean
from skproj.utils._optional import import_optional
from skproj.utils._pipelines import selection_of, steps_of

# Of the times of events in training.
SURVIVAL_QUANTILES = (0.25, 0.5, 0.75)


def model_input(model, names, table):
    """Return the input of a model from the columns that it depends on.

    Columns that were not selected have no weight. They may be missing, and are not
    looked at: zero, or a known category, takes their place.
    """
    needed = needed_columns(model, names)
    first, *others = steps_of(model)
    if isinstance(first, ColumnTransformer):
        wanted = [names[j] for j in needed]
        return prepared_input(first, names, wanted, table)
    allow_missing = any(is_imputer(step) for step in (first, *others))
    options = {"can_drop": False, "allow_missing": allow_missing}
    if len(needed) == len(names):
        return table.numbers(names, **options)
    own = table.numbers([names[j] for j in needed], **options)
    if sparse.issparse(own):
        if not getattr(first, "with_mean", False):
            places = needed[own.indices].astype(own.indices.dtype)
            shape = own.shape[0], len(names)
            return sparse.csr_array((own.data, places, own.indptr), shape=shape)
        own = own.toarray()
    X = np.zeros((len(own), len(names)), dtype=own.dtype)
    X[:, needed] = own
    return X


def needed_columns(model, names):
    try:
        places = {feature.column for feature in needed_features(model, names)}
        return np.array(sorted(places), dtype=np.intp)
    except NotExportable:  # as where similar rows are found by all columns
        return np.arange(len(names))


def prepared_input(prepare, names, wanted, table):
    """Return a DataFrame for a ColumnTransformer, with some of its columns."""
    pd = import_optional("pandas", extra="cli")
    encoded = encoded_columns(prepare, names)
    text = {name for name, (values, _) in encoded.items() if values.dtype == object}
    frame = pd.DataFrame(
        {name: encoded[name][0][0] if name in encoded else 0.0 for name in names},
        index=np.arange(table.n_rows),
    )
    parts = [steps_of(transformer) for _, transformer, _ in prepare.transformers_]
    imputes = any(is_imputer(step) for steps in parts for step in steps)
    if numeric := [name for name in wanted if name not in text]:
        options = {"can_drop": False, "allow_missing": imputes}
        frame[numeric] = table.numbers(numeric, **options)
    for name in text.intersection(wanted):
        column = table.frame([name])[name]
        known = {clean(value): value for value in encoded[name][0] if value == value}
        values = as_text(column).map(lambda text, known=known: known.get(text, text))
        if encoded[name][1]:
            values[column.isna()] = np.nan
        frame[name] = values.to_numpy()
    return frame


def columns_of_text(model, names):
    first = steps_of(model)[0]
    if not isinstance(first, ColumnTransformer):
        return ()
    encoded = encoded_columns(first, names)
    return tuple(n for n, (values, _) in encoded.items() if values.dtype == object)


def encoded_columns(prepare, names):
    """Return the columns that a fitted ColumnTransformer encodes, by their names.

    Of each, the categories, and whether the encoder is to see that a value is missing;
    otherwise the text "nan" stands for it.
    """
    encoded = {}
    for _, transformer, columns in prepare.transformers_:
        steps = steps_of(transformer)
        imputes = any(map(is_imputer, steps))
        for encoder in steps:
            if isinstance(encoder, OneHotEncoder):
                places = places_of(columns, names)
                for j, values in zip(places, encoder.categories_, strict=True):
                    knows_missing = any(value != value for value in values)
                    encoded[names[j]] = values, imputes or knows_missing
    return encoded


def is_imputer(step):
    return isinstance(step, SimpleImputer | KNNImputer)


def selected_names(model, names, path):
    last = selection_of(model)
    if last is None:
        raise CommandError(f"{path} holds no model that selects features.")
    try:
        places = {feature.column for feature in needed_features(model, names)}
        return [names[j] for j in sorted(places)]
    except NotExportable as error:
        # A step may mix columns and keep their names, as when it fills in gaps by
        # similar rows.
        kept = names_out(steps_of(model), last, names)
        if not kept <= set(names):
            raise CommandError(
                f"{path} selects features that are no columns: {error}."
            ) from error
        return [name for name in names if name in kept]


def names_out(steps, last, names):
    for step in steps[: steps.index(last) + 1]:
        if not hasattr(step, "get_feature_names_out"):
            return {None}
        names = step.get_feature_names_out(np.asarray(names, dtype=object))
    return set(names)


def predictions(model, X):
    pd = import_optional("pandas", extra="cli")
    with without_names():
        columns = {"prediction": model.predict(X)}
        if hasattr(steps_of(model)[-1], "predict_survival"):
            return pd.DataFrame(columns | survival_columns(model, X))
        if hasattr(model, "predict_proba"):
            probabilities = model.predict_proba(X)
            said = np.searchsorted(model.classes_, columns["prediction"])
            columns["confidence"] = probabilities[np.arange(len(said)), said]
            for label, column in zip(model.classes_, probabilities.T, strict=True):
                columns[f"probability_{label}"] = column
    return pd.DataFrame(columns)


def survival_columns(model, X):
    """Return probabilities of survival at quartiles of the times of events, by name."""
    times = np.quantile(steps_of(model)[-1].event_times_, SURVIVAL_QUANTILES)
    times = np.unique([float(f"{time:.4g}") for time in times])  # as the names say
    probabilities = survival_probabilities(model, X, times)
    return {
        f"survival_{time:g}": column
        for time, column in zip(times, probabilities.T, strict=True)
    }
