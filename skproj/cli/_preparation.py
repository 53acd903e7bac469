"""Columns made into features: missing numbers filled in, text encoded."""

import numpy as np

from skproj.cli._checks import option
from skproj.cli._errors import CommandError, Errors
from skproj.cli._frame_table import MAX_CATEGORIES, as_text
from skproj.utils._optional import import_optional
from skproj.utils._wording import join_names

IMPUTED = {
    "median": "the median of the column",
    "knn": "the mean of the five most similar rows",
    "indicator": "the median of the column, with a column that says where",
}


def read_columns(table, names, options):
    """Return columns of a table, or raise all that is wrong with them.

    These are numbers in float32, with NaN for gaps that are to be filled in; their
    names; and a DataFrame of the columns that are to be encoded, or None.
    """
    errors = Errors()
    text = table.text_columns(names) if options.encode else []
    numeric = [name for name in names if name not in set(text)]
    frame, numbers = None, None
    with errors:
        numbers = table.numbers(
            numeric, dtype=np.float32, allow_missing=options.impute is not None
        )
    if text:
        with errors:
            table.check_not_numbers(text)
        frame = table.frame(text).apply(as_text)
        check_categories(frame, table.path, errors)
        with errors:
            check_feature_names(numeric, frame, table.path)
    errors.raise_all()
    return numbers, numeric, frame


def prepare_columns(columns, options):
    """Return the columns to select from, and what makes features of them.

    The columns, of `read_columns`, become a DataFrame if there is a transformer, which
    is a ColumnTransformer or None. Then come sentences on what it does, and by the
    names of the columns of text, whose features come first, the numbers of their
    values.
    """
    X, numeric, text = columns
    imputes = options.impute is not None
    n_missing = count_missing(X) if imputes else np.zeros(len(numeric), int)
    if text is None and not n_missing.any():
        return X, None, [], {}
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import KNNImputer, SimpleImputer
    from sklearn.preprocessing import OneHotEncoder

    X = X.toarray() if hasattr(X, "toarray") else X
    pd = import_optional("pandas", extra="cli")
    index = None if text is None else text.index
    frame = pd.DataFrame(X, index=index, columns=numeric)
    numbers, steps, done, n_values = [], [], [], {}
    if numeric:
        step = "passthrough"
        if n_missing.any():
            step = SimpleImputer(strategy="median", keep_empty_features=True)
            step.add_indicator = options.impute == "indicator"
            if options.impute == "knn":
                step = KNNImputer(keep_empty_features=True)
            done.append(
                f"Missing numbers, {n_missing.sum()} in "
                f"{np.count_nonzero(n_missing)} of "
                f"{len(numeric)} columns, were filled in by {IMPUTED[options.impute]}."
            )
        numbers.append(("numbers", step, numeric))
    if text is not None:
        frame = pd.concat([frame, text], axis=1)
        # Those of all rows: the same columns in each split.
        values = [np.unique(text[name].to_numpy(object)) for name in text]
        n_values = dict(zip(text, map(len, values), strict=True))
        encoder = OneHotEncoder(
            categories=values,
            handle_unknown="ignore",
            sparse_output=False,
            dtype="float32",
        )
        steps.append(("text", encoder, list(text)))
        done.append(
            f"Text was encoded by a column for each value, in: {join_names(text)}."
        )
    # Those that say where a number was missing differ between the folds: at the end.
    steps += numbers
    transformer = ColumnTransformer(steps, verbose_feature_names_out=False)
    return frame, transformer, done, n_values


def count_missing(X):
    if not hasattr(X, "toarray"):
        return np.isnan(X).sum(axis=0)
    return np.bincount(X.indices[np.isnan(X.data)], minlength=X.shape[1])


def check_categories(frame, path, errors):
    for name, column in frame.items():
        if (n_values := column.nunique()) > MAX_CATEGORIES:
            advice = f"{option('--drop', name)} leaves it out"
            if n_values == len(column):
                advice += f", and {option('--index', name)} names the rows by it"
            errors.append(
                f"{path}: column {name!r} has {n_values} different values, more "
                f"than the {MAX_CATEGORIES} that --encode allows; {advice}"
            )


def check_feature_names(numeric, text, path):
    """Raise an error if two columns would make features of the same name."""
    columns = {name: name for name in numeric}
    for name in text:
        for value in text[name].unique():
            feature = f"{name}_{value}"
            other = columns.setdefault(feature, name)
            if other != name:
                raise CommandError(
                    f"{path}: a feature {feature!r} is made of the columns {other!r} "
                    f"and {name!r}; rename one of them, or leave one out by "
                    f"{option('--drop', name)}"
                )


def describe_categories(prepare, support):
    encoder = prepare.named_transformers_.get("text")
    if encoder is None:
        return []
    ends = np.cumsum([len(values) for values in encoder.categories_])
    masks = np.split(support[prepare.output_indices_["text"]], ends[:-1])
    kept = [
        f"{name!r} ({len(mask)})"
        for name, mask in zip(encoder.feature_names_in_, masks, strict=True)
        if mask.any()
    ]
    if not kept:
        return []
    return [
        "The values of a category are selected together; their numbers are in "
        f"brackets: {', '.join(kept)}."
    ]
