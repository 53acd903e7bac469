"""Columns made into features: missing numbers filled in, text encoded."""

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.preprocessing import OneHotEncoder

from skproj.cli._errors import CommandError
from skproj.cli._frame_table import as_text
from skproj.utils._optional import import_optional
from skproj.utils._wording import join_names

# A column of text with more values than this is not taken for a category.
MAX_CATEGORIES = 50

IMPUTERS = {
    "median": lambda: SimpleImputer(strategy="median", keep_empty_features=True),
    "knn": lambda: KNNImputer(keep_empty_features=True),
    "indicator": lambda: SimpleImputer(
        strategy="median", add_indicator=True, keep_empty_features=True
    ),
}
IMPUTED = {
    "median": "the median of the column",
    "knn": "the mean of the five most similar rows",
    "indicator": "the median of the column, with a column that says where",
}


def prepare_columns(table, names, options):
    """Return the columns to select from, and what makes features of them.

    Parameters
    ----------
    table : FrameTable or AnnDataTable
    names : list of str
    options : argparse.Namespace
        With `impute` and `encode`.

    Returns
    -------
    X : {ndarray, CSR matrix, DataFrame} of shape (n_rows, n_names)
        A DataFrame if there is a transformer. Numbers are float32.
    transformer : ColumnTransformer or None
        None if there is nothing to do.
    done : list of str
        Sentences on what the transformer does.
    categories : dict of int
        The numbers of values of the columns of text, whose features come first.
    """
    text = table.text_columns(names) if options.encode else []
    numeric = [name for name in names if name not in set(text)]
    allow_missing = options.impute is not None
    X = table.numbers(numeric, dtype=np.float32, allow_missing=allow_missing)
    n_missing = count_missing(X) if allow_missing else np.zeros(len(numeric), int)
    if not text and not n_missing.any():
        return X, None, [], {}
    X = X.toarray() if hasattr(X, "toarray") else X
    pd = import_optional("pandas", extra="cli")
    frame = pd.DataFrame(X, index=table.frame(names[:1]).index, columns=numeric)
    numbers, steps, done, n_values = [], [], [], {}
    if numeric:
        step = "passthrough"
        if n_missing.any():
            step = IMPUTERS[options.impute]()
            columns = np.flatnonzero(n_missing)
            done.append(
                f"Missing numbers, {n_missing.sum()} in {len(columns)} of "
                f"{len(numeric)} columns, were filled in by {IMPUTED[options.impute]}."
            )
        numbers.append(("numbers", step, numeric))
    if text:
        table.check_not_numbers(text)
        categories = table.frame(text).apply(as_text)
        check_categories(categories, table.path)
        frame = pd.concat([frame, categories], axis=1)
        # Those of all rows: the same columns in each split.
        values = [np.unique(categories[name].to_numpy(object)) for name in text]
        check_feature_names(numeric, text, values, table.path)
        n_values = dict(zip(text, map(len, values), strict=True))
        encoder = OneHotEncoder(
            categories=values,
            handle_unknown="ignore",
            sparse_output=False,
            dtype="float32",
        )
        steps.append(("text", encoder, text))
        done.append(
            f"Text was encoded by a column for each value, in: {join_names(text)}."
        )
    # Those that say where a number was missing differ between the folds: at the end.
    steps += numbers
    transformer = ColumnTransformer(steps, verbose_feature_names_out=False)
    return frame, transformer, done, n_values


def count_missing(X):
    """Return the number of missing entries of each column."""
    if not hasattr(X, "toarray"):
        return np.isnan(X).sum(axis=0)
    return np.bincount(X.indices[np.isnan(X.data)], minlength=X.shape[1])


def check_categories(frame, path):
    """Raise an error if a column has so many values that it cannot be a category."""
    for name, column in frame.items():
        if column.nunique() > MAX_CATEGORIES:
            raise CommandError(
                f"{path}: column {name!r} has {column.nunique()} different values, "
                f"more than the {MAX_CATEGORIES} that --encode allows; --drop it, or "
                "--index it if it has the names of the rows"
            )


def check_feature_names(numeric, text, values, path):
    """Raise an error if two columns would make features of the same name."""
    columns = {name: name for name in numeric}
    for name, of_column in zip(text, values, strict=True):
        for value in of_column:
            feature = f"{name}_{value}"
            other = columns.setdefault(feature, name)
            if other != name:
                raise CommandError(
                    f"{path}: a feature {feature!r} is made of the columns {other!r} "
                    f"and {name!r}; rename one of them, or --drop it"
                )


def describe_categories(prepare, support):
    """Return a sentence on the categories that are selected, if there are.

    Parameters
    ----------
    prepare : ColumnTransformer
        Fitted.
    support : ndarray of bool of shape (n_features,)

    Returns
    -------
    sentences : list of str
    """
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
