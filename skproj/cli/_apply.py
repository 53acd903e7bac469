"""``skproj apply``: predictions of a saved model."""

import sys
from dataclasses import replace

import numpy as np

from skproj.cli._arguments import STANDARD_INPUT
from skproj.cli._errors import CommandError
from skproj.cli._models import feature_names, load_model
from skproj.cli._options import check_free
from skproj.cli._output import (
    check_table_suffix,
    for_spreadsheets,
    print_lines,
    write_table,
)
from skproj.cli._tables import ReadOptions, read_table


def run(options, errors):
    with errors:
        check_free(options.out, options.overwrite)
        check_table_suffix(options.out)
    source, table = ReadOptions.of(options), None
    if str(source.path) != STANDARD_INPUT:  # which can be read only once
        with errors:
            table = read_table(source)
    errors.raise_all()
    model = load_model(options.model)  # the libraries come with it
    from skproj.cli import _model_input as of_model

    names = feature_names(model, options.model)
    text = of_model.columns_of_text(model, names)
    if text or table is None:
        table = read_table(replace(source, text=text))
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
