"""``skproj select``: from a table to features, a model and a report."""

import hashlib
import importlib.util
import os

import numpy as np

from skproj.cli._errors import CommandError
from skproj.cli._output import check_free, new_folder
from skproj.cli._report import FILES, write_report
from skproj.cli._selection import METHOD_NAMES, select
from skproj.cli._tables import check_finite, is_numeric, read_table
from skproj.utils._wording import join_names

# Numbers with more different values than this are not taken for labels.
MAX_LABELS = 20
N_PRINTED_FEATURES = 20
DEFAULT_METHODS = {"classification": "autoencoder", "regression": "selector"}


def run(options):
    if options.index == options.target:
        raise CommandError(f"column {options.index!r} is both --index and --target.")
    check_free(options.out, options.overwrite, folder=True)
    if options.out is not None:
        check_extras()
    say = (lambda *text: None) if options.quiet else print

    table = read_table(
        options.data, index=options.index, layer=options.layer, target=options.target
    )
    names = table.feature_names(options.target, options.drop)
    if not names:
        raise CommandError(f"{options.data} has no features besides the target.")
    column, labels = table.target(options.target), table.labels(options.target)
    task, y = labels_or_numbers(column, labels, options)
    X = table.numbers(names, dtype=np.float32)
    method = DEFAULT_METHODS[task] if options.method == "auto" else options.method
    facts = {
        "data": str(options.data),
        "SHA-256 of the file": digest(options.data),
        "rows": len(y),
        "features": len(names),
        "target": options.target,
        "task": describe_task(task, y),
        "method": METHOD_NAMES[method],
    }
    say(f"{options.data}: {len(y)} rows, {len(names)} features")
    say(f"target {options.target!r}: {facts['task']}")
    say(f"Searching for the radius of the {METHOD_NAMES[method]}, {options.cv} folds")

    selection = select(
        X,
        y,
        names,
        task=task,
        method=method,
        options=options,
        show_progress=not (options.quiet or options.no_progress) and has("rich"),
    )
    say("\n".join(summary(selection)))
    if options.out is None:
        say("\nNothing was written; --out DIR saves the model and a report.")
        return
    with new_folder(options.out, FILES) as folder:
        write_report(folder, selection, facts, options)
        written = sorted(os.listdir(folder))
    say(f"\nWrote to {options.out}: {', '.join(written)}")


def check_extras():
    """Raise an error if the results could not be written after all the work."""
    for library in ("matplotlib", "skops"):
        if not has(library):
            raise CommandError(f'--out needs {library}: pip install "skproj[cli]"')


def has(library):
    """Whether a library is installed."""
    return importlib.util.find_spec(library) is not None


def labels_or_numbers(column, labels, options):
    """Return the task, and the target as an array.

    `column` is the target of a regression, `labels` that of a classification. Labels
    are returned as strings or integers, numbers as float64.
    """
    target = f"the target {options.target!r}"
    if column.isna().any():
        raise CommandError(
            f"{target} is missing in {column.isna().sum()} of {len(column)} rows; "
            "leave out these rows."
        )
    numeric = is_numeric(column)
    whole = numeric and bool(((column % 1 == 0) & (column.abs() < 2**53)).all())
    task = options.task
    if task == "auto":
        few = labels.nunique() <= MAX_LABELS
        task = "regression" if numeric and not (whole and few) else "classification"
    if task == "regression" and not numeric:
        raise CommandError(f"{target} is not a number, as --task regression needs.")
    if task == "classification" and numeric and not whole:
        raise CommandError(
            f"{target} holds numbers that are not whole, which are not labels; use "
            "--task regression."
        )
    if task == "classification":
        column = labels
    if column.nunique() < 2:
        what = "class" if task == "classification" else "value"
        raise CommandError(
            f"{target} has one {what} only: {str(column.iloc[0])!r}; there is nothing "
            "to tell apart."
        )
    if task == "classification":
        return task, column.to_numpy(dtype=np.int64 if is_numeric(column) else str)
    y = column.to_numpy(dtype=np.float64)
    check_finite(y[:, np.newaxis], [options.target], options.data, can_drop=False)
    return task, y


def describe_task(task, y):
    if task == "regression":
        return f"regression, from {y.min():.6g} to {y.max():.6g}"
    classes, counts = np.unique(y, return_counts=True)
    return (
        f"classification, {len(classes)} classes of {counts.min()} to {counts.max()} "
        f"rows: {join_names(classes.tolist(), at_most=10)}"
    )


def digest(path):
    """Return the SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def summary(selection):
    """Return the lines to print about a selection."""
    s = selection
    lines = [
        "",
        f"Radius eta = {s.eta:.4g}: {s.n_selected} of {len(s.names)} features, "
        f"cross-validated {s.cv_score_name} {s.cv_score:.3f} +- {s.cv_std:.3f}",
    ]
    for remark in s.remarks:
        lines += ["", remark]
    if s.comparison:
        metrics = list(s.comparison[0][2])
        lines += [
            "",
            f"On {s.n_test} rows that were held out, after training on {s.n_train}:",
            f"{'':30} {'features':>9}" + "".join(f"{m:>19}" for m in metrics),
        ]
        lines += [
            f"{name:30} {number:9}" + "".join(f"{scores[m]:19.3f}" for m in metrics)
            for name, number, scores in s.comparison
        ]
    top = s.ranking[: min(N_PRINTED_FEATURES, s.n_selected)]
    lines += ["", f"Top {len(top)} of {s.n_selected} selected features:"]
    lines += [f"{s.scores[j]:10.4g}  {s.names[j]}" for j in top]
    return lines
