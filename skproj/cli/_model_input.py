"""The columns that a saved model needs of a table, and what it predicts from."""

import numpy as np
from sklearn.impute import KNNImputer

from skproj.utils._optional import import_optional
from skproj.utils._pipelines import selection_of, steps_of

# Of the pipelines of the command line, before "predict", if there is one.
KNOWN_STEPS = (["scale", "select"], ["prepare", "scale", "select"])


def model_input(model, names, table):
    """Return the input of a model from the columns that it depends on.

    Columns that were not selected have no weight. They may be missing, and are not
    looked at.

    Parameters
    ----------
    model : estimator object
        Fitted to columns of these names.
    names : list of str
    table : FrameTable or AnnDataTable

    Returns
    -------
    X : {ndarray, CSR matrix, DataFrame} of shape (n_rows, n_names)
        Zero, or empty text, where nothing depends on it.
    """
    needed = needed_columns(model, names)
    prepare = steps_of(model).get("prepare")
    if prepare is None:
        if len(needed) == len(names):
            return table.numbers(names, can_drop=False)
        own = table.numbers([names[j] for j in needed], can_drop=False)
        own = own.toarray() if hasattr(own, "toarray") else own
        X = np.zeros((len(own), len(names)), dtype=own.dtype)
        X[:, needed] = own
        return X
    pd = import_optional("pandas", extra="cli")
    text = set(columns_of(prepare, "text"))
    imputes = prepare.named_transformers_.get("numbers", "passthrough") != "passthrough"
    wanted = [names[j] for j in needed]
    numeric = [name for name in wanted if name not in text]
    frame = pd.DataFrame(
        {name: "" if name in text else np.float32(0.0) for name in names},
        index=np.arange(table.n_rows),
    )
    if numeric:
        frame[numeric] = table.numbers(
            numeric, dtype=np.float32, can_drop=False, allow_missing=imputes
        )
    if own := [name for name in wanted if name in text]:
        frame[own] = table.frame(own).astype(str).to_numpy()
    return frame


def needed_columns(model, names):
    """Return the places of the columns that the predictions depend on."""
    everything = np.arange(len(names))
    steps = steps_of(model)
    # The pipelines of the command line: nothing before the selection mixes columns.
    if list(steps)[:-1] not in KNOWN_STEPS and list(steps) not in KNOWN_STEPS:
        return everything
    support = selection_of(model).get_support()
    if "prepare" not in steps:
        return np.flatnonzero(support)
    prepare = steps["prepare"]
    if isinstance(prepare.named_transformers_.get("numbers"), KNNImputer):
        return everything  # to find similar rows
    sources = source_columns(prepare)
    needed = {sources[j] for j in np.flatnonzero(support)}
    return np.array([j for j, name in enumerate(names) if name in needed])


def describe_categories(prepare, support):
    """Return a sentence on the categories of which a value is selected, if there are.

    Parameters
    ----------
    prepare : ColumnTransformer
        Fitted.
    support : ndarray of bool of shape (n_features,)

    Returns
    -------
    sentences : list of str
    """
    sources = np.array(source_columns(prepare))
    parts = []
    for name in columns_of(prepare, "text"):
        own = support[sources == name]
        if own.any():
            parts.append(f"{np.count_nonzero(own)} of {len(own)} of {name!r}")
    if not parts:
        return []
    return [
        f"Values of categories are selected one by one: {', '.join(parts)}. "
        "Predictions need the whole column."
    ]


def columns_of(prepare, name):
    """Return the columns that a part of a fitted ColumnTransformer works on."""
    for part, _, columns in prepare.transformers_:
        if part == name:
            return list(columns)
    return []


def source_columns(prepare):
    """Return the column that each feature is made of."""
    numeric, text = columns_of(prepare, "numbers"), columns_of(prepare, "text")
    sources = list(numeric)
    indicator = getattr(prepare.named_transformers_.get("numbers"), "indicator_", None)
    if indicator is not None:
        sources += [numeric[j] for j in indicator.features_]
    if text:
        categories = prepare.named_transformers_["text"].categories_
        for name, values in zip(text, categories, strict=True):
            sources += [name] * len(values)
    return sources
