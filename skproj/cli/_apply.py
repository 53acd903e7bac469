"""``skproj apply``: predictions of a saved model."""

import sys

import numpy as np

from skproj.cli._errors import CommandError
from skproj.cli._models import feature_names, load_model
from skproj.cli._options import check_free
from skproj.cli._output import (
    check_table_suffix,
    for_spreadsheets,
    print_lines,
    write_table,
)
from skproj.cli._tables import ReadOptions, check_source, read_table
from skproj.persistence._summary import READING_ATTRIBUTE


def run(options, errors):
    with errors:
        check_free(options.out, options.overwrite)
        check_table_suffix(options.out)
    with errors:
        check_source(ReadOptions.of(options))
    errors.raise_all()
    model = load_model(options.model)  # the libraries come with it
    from skproj.cli import _model_input as of_model

    names = feature_names(model, options.model)
    reading = getattr(model, READING_ATTRIBUTE, {})
    table = read_table(
        ReadOptions.of(
            options,
            text=of_model.columns_of_text(model, names),
            wanted=tuple(names),
            used=tuple(names[j] for j in of_model.needed_columns(model, names)),
            usual_decimal=reading.get("decimal"),
            missing=tuple(options.na or reading.get("missing", ())),
            below=tuple(options.na_below or reading.get("below", ())),
        )
    )
    if options.transform:
        result = table.frame(of_model.selected_names(model, names, options.model))
    else:
        if not hasattr(model, "predict"):
            raise CommandError(
                "the model cannot predict; --transform selects features."
            )
        result = of_model.predictions(model, of_model.model_input(model, names, table))
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
