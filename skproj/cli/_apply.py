"""``skproj apply``: predictions of a saved model."""

import sys

import numpy as np

from skproj.cli._errors import CommandError
from skproj.cli._model_input import columns_of_text, model_input, needed_columns
from skproj.cli._models import feature_names, load_model, without_names
from skproj.cli._output import (
    check_free,
    for_spreadsheets,
    print_lines,
    write_table,
)
from skproj.cli._survival import survival_probabilities
from skproj.cli._tables import ReadOptions, read_table
from skproj.persistence._panel import NotTraceable, needed_features
from skproj.utils._optional import import_optional
from skproj.utils._pipelines import selection_of, steps_of
from skproj.utils._summary import READING_ATTRIBUTE

# Of the times of events in training.
SURVIVAL_QUANTILES = (0.25, 0.5, 0.75)


def run(options):
    check_free(options.out, options.overwrite)
    model = load_model(options.model)
    names = feature_names(model, options.model)
    reading = getattr(model, READING_ATTRIBUTE, {})
    table = read_table(
        ReadOptions.of(
            options,
            text=columns_of_text(model, names),
            wanted=tuple(names),
            used=tuple(names[j] for j in needed_columns(model, names)),
            usual_decimal=reading.get("decimal"),
            missing=tuple(options.na or reading.get("missing", ())),
        )
    )
    if options.transform:
        result = table.frame(selected_names(model, names, options.model))
    else:
        if not hasattr(model, "predict"):
            raise CommandError(
                "the model cannot predict; --transform selects features."
            )
        result = predictions(model, model_input(model, names, table))
    if table.row_names is None:
        result.index = np.arange(1, table.n_rows + 1)
    else:
        result.index = table.row_names
    result.index.name = table.row_label
    if options.out is None:
        for_spreadsheets(result).to_csv(sys.stdout)
        return
    write_table(result, options.out, index=True)
    print_lines(f"Wrote {options.out}: {len(result)} rows, {result.shape[1]} columns")


def selected_names(model, names, path):
    """Return the names of the columns that the selected features are made of."""
    last = selection_of(model)
    if last is None:
        raise CommandError(f"{path} holds no model that selects features.")
    try:
        places = needed_features(model, names).columns
        return [names[j] for j in np.unique(places)]
    except NotTraceable as error:
        # A step may mix columns and keep their names, as when it fills in gaps by
        # similar rows.
        kept = names_out(steps_of(model), last, names)
        if not kept <= set(names):
            raise CommandError(
                f"{path} selects features that are no columns: {error}."
            ) from error
        return [name for name in names if name in kept]


def names_out(steps, last, names):
    """Return the names of the features after the last of some steps."""
    for step in steps[: steps.index(last) + 1]:
        if not hasattr(step, "get_feature_names_out"):
            return {None}
        names = step.get_feature_names_out(np.asarray(names, dtype=object))
    return set(names)


def predictions(model, X):
    """Return predictions and, where they are known, probabilities."""
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
