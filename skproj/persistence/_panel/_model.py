"""Predictions from a panel of few columns: a model in one file that needs only NumPy.

As a program, it reads a table of text and writes the predictions as csv:

    python THIS_FILE table.csv
    python THIS_FILE table.csv --out predictions.csv

As a module, it predicts from a data frame, or a dict of columns by their names:

    predict(table), predict_proba(table), decision_function(table)

The table needs the columns of the panel, in any order; others are ignored. PANEL says
which they are, and what the model makes of them: of a column x, the feature
(x - center) / scale. An empty cell becomes what "fill" says, and is an error without.
"""

import argparse
import csv
import io
import math
import os
import sys

import numpy as np

from skproj.persistence._panel._text_tables import (
    MISSING,
    TRUTH,
    clean,
    clean_names,
    find_decimal,
    find_layout,
    half_of_limit,
    read_rows,
    to_number,
)

PANEL = {}  # the columns and the classes; MODEL, at the end, has the other numbers

# A spreadsheet takes text that begins with one of these for a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def predict(table):
    """Return the predicted classes or numbers.

    Parameters
    ----------
    table : data frame or dict
        Columns by their names, all of the same length.

    Returns
    -------
    y : ndarray of shape (n_rows,)
    """
    if PANEL["classes"] is None:
        return _mean(_numbers, table)
    return np.array(PANEL["classes"])[_places(table)]


def predict_proba(table):
    """Return the probabilities of the classes, of shape (n_rows, n_classes)."""
    if PANEL["classes"] is None:
        raise ValueError("this model predicts numbers, not classes")
    return _mean(_probabilities, table)


def decision_function(table):
    """Return what the classes are told apart by.

    One number for each row and class; of two classes, one number for each row, which
    is positive for the second one.
    """
    if PANEL["classes"] is None:
        raise ValueError("this model predicts numbers, not classes")
    if len(MODEL["parts"]) > 1:
        raise ValueError("a mean of models has probabilities, and no decision function")
    outputs = _outputs(MODEL["parts"][0], _features(table))
    return outputs[:, 1] - outputs[:, 0] if outputs.shape[1] == 2 else outputs


def columns():
    """Return the names of the columns that are needed."""
    return list(dict.fromkeys(feature["column"] for feature in PANEL["features"]))


def _places(table):
    """Return the place of the predicted class of each row."""
    threshold = MODEL.get("threshold")
    if threshold is None:
        return predict_proba(table).argmax(axis=1)
    place = threshold["place"]
    if threshold["of"] == "probability":
        scores = predict_proba(table)[:, place]
    else:
        scores = decision_function(table) * (1.0 if place == 1 else -1.0)
    return np.where(scores >= threshold["value"], place, 1 - place)


def _mean(predict_part, table):
    """Return the mean of what the parts of the model predict, by their shares."""
    X = _features(table)
    return sum(part["share"] * predict_part(part, X) for part in MODEL["parts"])


def _numbers(part, X):
    return _outputs(part, X)[:, 0] * part["scale"] + part["center"]


def _probabilities(part, X):
    logits = _outputs(part, X) / part["temperature"]
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def _features(table):
    """Return the features of all rows, an array of shape (n_rows, n_features)."""
    missing = [name for name in columns() if name not in table]
    if missing:
        raise ValueError("the table has no column " + ", ".join(map(repr, missing)))
    features = []
    for feature in PANEL["features"]:
        values = list(table[feature["column"]])
        absent = np.array([_is_missing(value) for value in values], dtype=bool)
        values = _filled(values, absent, feature)
        if feature["kind"] == "missing":
            x = absent.astype(float)
        elif feature["kind"] == "category":
            x = np.array([float(_is_category(v, feature)) for v in values])
        else:
            x = np.array([_number(v, i, feature) for i, v in enumerate(values, 1)])
        features.append((x - feature["center"]) / feature["scale"])
    if len({len(x) for x in features}) > 1:
        raise ValueError("the columns of the table differ in length")
    return np.stack(features, axis=1)


def _filled(values, absent, feature):
    """Return the values, with what stands for those that are missing."""
    fill, name = feature.get("fill"), feature["column"]
    if fill is not None:
        return [fill if a else v for a, v in zip(absent, values)]  # noqa: B905
    if feature["kind"] == "number" and absent.any():
        raise ValueError(
            f"column {name!r} has no value in row {absent.argmax() + 1}, and the model "
            "cannot do without"
        )
    known = feature.get("known")
    if known is not None:
        for i, value in enumerate(values, 1):
            if not any(_is_category(value, {"category": c}) for c in known):
                raise ValueError(
                    f"column {name!r} has the unknown value {value!r} in row {i}"
                )
    return values


def _is_missing(value):
    return value is None or str(value) in ("nan", "NaT", "<NA>")


def _is_category(value, feature):
    category = feature["category"]
    if _is_missing(value):
        return category is None or category == "nan"
    if isinstance(category, str) or category is None:
        return value == category
    try:
        return _to_number(value) == category
    except ValueError:
        return False


def _number(value, row, feature):
    try:
        number = _to_number(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(
            f"column {feature['column']!r} has {value!r} in row {row}, which is not a "
            "finite number"
        )
    return number


def _to_number(value):
    if not isinstance(value, str):
        return float(value)
    text = value.strip().lower()
    if "_" in text:  # float would skip it
        raise ValueError(value)
    return TRUTH[text] if text in TRUTH else float(text)


def _logistic(x):
    return 0.5 + 0.5 * np.tanh(0.5 * x)


_erf = np.vectorize(math.erf, otypes=[float])

ACTIVATIONS = {
    "silu": lambda x: x * _logistic(x),
    "relu": lambda x: np.maximum(x, 0.0),
    "gelu": lambda x: 0.5 * x * (1.0 + _erf(x / math.sqrt(2.0))),
    "tanh": np.tanh,
    "logistic": _logistic,
    "identity": lambda x: x,
}


def _outputs(part, X):
    """Return the outputs of the last layer of a network."""
    for i, layer in enumerate(part["layers"]):
        if i > 0:
            X = ACTIVATIONS[part["activation"]](X)
        weight, bias = (_array(layer[name], part) for name in ("weight", "bias"))
        X = X @ weight.T + bias
    return X


def _array(values, part):
    """Return numbers as they were in the model, in double precision."""
    return np.array(values, dtype=part["dtype"]).astype(float)


def read_table(
    path,
    separator=None,
    decimal=None,
    encoding=None,
    thousands=None,
    missing=(),
    below=(),
):
    """Read a table of text.

    Parameters
    ----------
    path : str
    separator, decimal, encoding, thousands : str, optional
        By default what suits the header and the numbers; UTF-8, or UTF-16 with a mark.
    missing : sequence of str, optional
        More of what stands for a missing value; by default as in the training.
    below : sequence of str, optional
        Entries such as <90, in whose place half of the limit is read; < alone stands
        for all of them. By default as in the training.

    Returns
    -------
    table : dict of list
        None where a value is missing. A first column without a name has the name "".
    """
    with open(path, "rb") as file:
        data = file.read()
    if encoding is None:
        is_marked = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        encoding = "utf-16" if is_marked else "utf-8-sig"
    try:
        lines = list(io.StringIO(data.decode(encoding), newline=""))
        layout = find_layout(lines, ",", separator)
        rows = list(read_rows(lines, layout))
    except UnicodeError:
        raise ValueError(
            f"{path} is not in {encoding}; --encoding names another"
        ) from None
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    names = clean_names(layout.names, columns())
    twice = [name for name in columns() if names.count(name) > 1]
    if twice:
        raise ValueError(f"{path} has two columns {twice[0]!r}")
    reading = PANEL.get("reading", {})
    missing = [clean(text) for text in missing or reading.get("missing", ())]
    absent, limits = MISSING.union(missing), below or reading.get("below", ())
    cells = [
        [None if c in absent else half_of_limit(c, limits) for c in map(clean, row)]
        for row in rows
    ]
    table = {name: [row[j] for row in cells] for j, name in enumerate(names)}
    decimal = decimal or {",": ".", ".": ","}.get(thousands)
    _read_cells(table, decimal, reading.get("decimal"), set(map(to_number, missing)))
    return table


def _read_cells(table, decimal, usual, codes):
    """Put numbers in place of their text, and categories as the model knows them."""
    known = {}
    for feature in PANEL["features"]:
        if isinstance(feature.get("category"), str):
            categories = known.setdefault(feature["column"], {})
            categories[clean(feature["category"])] = feature["category"]
    numeric = {name: table[name] for name in columns() if name in {*table} - {*known}}
    if decimal is None:
        others = {name: cells for name, cells in table.items() if name not in known}
        decimal = find_decimal(numeric, others, usual)
    for name in numeric:
        numbers = {c: to_number(c, decimal) for c in table[name] if c is not None}
        known[name] = {c: None if x in codes else x for c, x in numbers.items()}
        known[name].update((c, c) for c, x in numbers.items() if x is None)
    for name in known.keys() & table.keys():
        table[name] = [known[name].get(cell, cell) for cell in table[name]]


def write_predictions(table, file, id_column=None):
    """Write the predictions for a table of `read_table` as csv."""
    if id_column is None and "" in table:
        id_column = ""
    if id_column is not None and id_column not in table:
        raise ValueError(f"the table has no column {id_column!r}")
    results = {"prediction": predict(table)}
    if {str(label) for label in PANEL["classes"] or [""]} == {"False", "True"}:
        results["prediction"] = results["prediction"].astype(str) == "True"
    if PANEL["classes"] is not None:
        probabilities = predict_proba(table)
        rows = np.arange(len(probabilities))
        results["confidence"] = probabilities[rows, _places(table)]
        for j, label in enumerate(PANEL["classes"]):
            results[f"probability_{label}"] = probabilities[:, j]
    n_rows = len(results["prediction"])
    names = range(1, n_rows + 1) if id_column is None else table[id_column]
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([_as_cell(id_column or "row"), *map(_as_cell, results)])
    for i, name in enumerate(names):
        values = [column[i] for column in results.values()]
        writer.writerow([_as_cell(name), *map(_as_cell, values)])


def _as_cell(value):
    """Return what no spreadsheet takes for a formula, and R for text if it is none."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, bool):
        return str(value).upper()
    if not isinstance(value, str):
        return value
    mark = "'" if value.startswith(FORMULA_STARTS) else ""
    # Before Python 3.13 a carriage return is not quoted, and begins another row.
    return mark + value.replace("\r", "\n")


def main(argv=None):
    """Run as a program; return its exit code."""
    parser = argparse.ArgumentParser(
        description="Predict from a table with the columns of a panel.",
        epilog="The columns are: " + ", ".join(map(repr, columns())).replace("%", "%%"),
    )
    parser.add_argument("table", help="file with a row for each sample")
    parser.add_argument("--out", help="new file for the predictions (default: print)")
    parser.add_argument(
        "--id", type=clean, metavar="COLUMN", help="names of the rows to print"
    )
    parser.add_argument("--sep", metavar="SIGN", help="sign between the columns")
    parser.add_argument("--decimal", choices=[".", ","], help="decimal sign")
    parser.add_argument(
        "--thousands", choices=[",", ".", "'", " "], help="sign between three digits"
    )
    parser.add_argument(
        "--na", nargs="+", default=(), metavar="TEXT", help="more missing values"
    )
    parser.add_argument(
        "--na-below",
        nargs="+",
        default=(),
        metavar="LIMIT",
        help="entries such as '<90', or '<' for all, that are read as half the limit",
    )
    parser.add_argument("--encoding", help="such as latin-1 (default: utf-8)")
    options = parser.parse_args(argv)
    try:
        if options.out is not None and os.path.exists(options.out):
            raise ValueError(f"{options.out} exists already")
        table = read_table(
            options.table,
            options.sep,
            options.decimal,
            options.encoding,
            options.thousands,
            options.na,
            options.na_below,
        )
        text = io.StringIO()
        write_predictions(table, text, options.id and clean(options.id))
        data = text.getvalue().encode("utf-8", "replace")
        if options.out is None:
            sys.stdout.buffer.write(data)
        else:
            with open(options.out, "xb") as file:
                file.write(data)
    except (OSError, ValueError, LookupError, csv.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


MODEL = {}

if __name__ == "__main__":
    sys.exit(main())
