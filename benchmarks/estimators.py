"""Compare feature selectors and classifiers on data with known informative features.

    python benchmarks/estimators.py --append results.csv             # all, many hours
    python benchmarks/estimators.py --families digits --draws 1 --folds 0
    python benchmarks/estimators.py --methods f-svc lassonet --append more.csv
    python benchmarks/estimators.py --append results.csv --no-run --rst table.rst

Method. Each draw of a family of data is split into four stratified folds. On the three
training folds, the features are centred and scaled (counts are first divided by their
sum and log-transformed), and the method is fitted, with all its choices. Draws 1 to 3
are for tuning defaults; draws 4 and 5 are held out. Each finished fit is appended to
the CSV as a line, and is not repeated. Several runs may append to one file at the same
time; of equal fits the last one counts. To repeat the fits of a method, delete its
lines.

Tables. Numbers are means over folds and draws with their standard error, which treats
the folds as independent. "kept" is the number of features that the fitted model uses.
Precision, recall and F1 compare them with the informative features, including features
that are informative only jointly. "F1 of F test" is the F1 of as many features with the
largest F statistics. Times are CPU seconds for one fit with all its choices, with one
thread. Bold is the best of a column, italic is within one standard error of the
difference to it, computed fold by fold. Methods with fewer fits than the others are
labelled so and not marked.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple

import estimator_peers as peers
import numpy as np
import torch
from _results import (
    append_record,
    describe_conditions,
    describe_system,
    mean_and_error,
    read_records,
)
from _tables import as_markdown, as_rst, as_text, write_between_marks
from sklearn.datasets import load_breast_cancer, load_digits, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import VarianceThreshold
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from threadpoolctl import threadpool_limits

from skproj import datasets

N_FOLDS = 4
N_PROBES = 1000
PARTS = {"tuning": (1, 2, 3), "held out": (4, 5)}  # the draws of each
DRAWS = [draw for draws in PARTS.values() for draw in draws]
COUNTS_PER_SAMPLE = 1e4


# Data. Each function returns X, y and which columns are informative.


def synthetic(draw, n_informative, class_sep):
    """Draw clusters on the corners of a cube, the informative columns first."""
    X, y = make_classification(
        n_samples=1000,
        n_features=1000,
        n_informative=n_informative,
        n_redundant=0,
        n_repeated=0,
        n_classes=2,
        n_clusters_per_class=1,
        class_sep=class_sep,
        flip_y=0.01,
        hypercube=True,
        shuffle=False,
        random_state=draw,
    )
    return X, y, np.arange(X.shape[1]) < n_informative


def with_probes(draw, load):
    """Add columns without signal to real data; constant columns have none either."""
    X, y = load(return_X_y=True)
    X, _, is_probe = datasets.add_probes(X, N_PROBES, random_state=draw)
    return X, y, ~is_probe & (np.ptp(X, axis=0) > 0)


def omics(draw):
    """Draw counts of correlated genes in batches, with a few wrong labels."""
    data = datasets.make_omics(
        n_classes=4, n_batches=3, label_noise=0.02, random_state=draw
    )
    return data.data, data.target, data.support


def log_of_shares(X):
    """Log of counts, as if every sample had the same number of them."""
    return np.log1p(X * (COUNTS_PER_SAMPLE / X.sum(axis=1, keepdims=True)))


@dataclass(frozen=True)
class Family:
    """Data sets of one kind: ``make(draw)``, and what to do before scaling."""

    make: Callable
    transform: Callable | None = None


FAMILIES = {
    "synth64": Family(lambda draw: synthetic(draw, 64, 1.05)),
    "synth16": Family(lambda draw: synthetic(draw, 16, 0.7)),
    "digits": Family(lambda draw: with_probes(draw, load_digits)),
    "breast_cancer": Family(lambda draw: with_probes(draw, load_breast_cancer)),
    "omics": Family(omics, log_of_shares),
}


# Measuring


class Fit(NamedTuple):
    """One fit: a line of the CSV."""

    family: str
    draw: int
    fold: int
    method: str
    n_features: int
    accuracy: float
    balanced_accuracy: float
    kept: int
    precision: float
    recall: float
    f1: float
    f1_of_f_test: float
    seconds: float
    system: str

    @property
    def key(self):
        """What makes it a fit of its own."""
        return self[:4]


class Fold(NamedTuple):
    """Training and test data, scaled, and which of their columns are informative."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    informative: np.ndarray


def prepare(family, draw, fold):
    """Split and scale; what there is to learn is learned from the training data."""
    X, y, informative = family.make(draw)
    splits = StratifiedKFold(N_FOLDS, shuffle=True, random_state=0).split(X, y)
    train, test = list(splits)[fold]
    varying = VarianceThreshold()
    scaling = make_pipeline(
        FunctionTransformer(family.transform), varying, StandardScaler()
    )
    X_train, X_test = scaling.fit_transform(X[train]), scaling.transform(X[test])
    return Fold(X_train, y[train], X_test, y[test], informative[varying.get_support()])


def agreement(kept, informative):
    """Precision, recall and F1 of a selection."""
    found = np.count_nonzero(kept & informative)
    n_kept, n_informative = np.count_nonzero(kept), np.count_nonzero(informative)
    precision = found / n_kept if n_kept else 0.0
    return precision, found / n_informative, 2 * found / (n_kept + n_informative)


def f_test_selection(X, y, size):
    """Select so many features by the F test."""
    (columns,) = peers.by_f_test(X, y, None, [size])
    kept = np.zeros(X.shape[1], dtype=bool)
    kept[columns] = True
    return kept


def measure(data, method, seed):
    """Fit once, and return what stands between the names and the system in a line."""
    model = peers.METHODS[method].make(seed)
    start = time.process_time()
    model.fit(data.X, data.y)
    seconds = time.process_time() - start

    predicted = model.predict(data.X_test)
    kept = peers.kept_features(model, data.X.shape[1])
    size = np.count_nonzero(kept)
    univariate = f_test_selection(data.X, data.y, size)
    return (
        data.X.shape[1],
        accuracy_score(data.y_test, predicted),
        balanced_accuracy_score(data.y_test, predicted),
        size,
        *agreement(kept, data.informative),
        agreement(univariate, data.informative)[-1],
        seconds,
    )


def wanted(options):
    """Family, draw and fold of what was asked for."""
    return product(options.families, options.draws, options.folds)


def run(options, done):
    """Yield the fits that are not among those that are done."""
    methods = list(peers.available(options.methods))
    system = describe_system()
    known = {fit.key for fit in done}
    for setting in wanted(options):
        missing = [name for name in methods if (*setting, name) not in known]
        if not missing:
            continue
        family, draw, fold = setting
        data = prepare(FAMILIES[family], draw, fold)
        for method in missing:
            numbers = measure(data, method, seed=10 * draw + fold)
            yield Fit(*setting, method, *numbers, system)


# The file of results


def read_fits(path):
    """Read the lines of a file, of equal fits the last one; it need not exist."""
    return read_records(path, Fit)


def append_fit(path, fit):
    """Add a line to a file."""
    append_record(path, fit)


# Tables


def leaders(values_of):
    """Say which method is best and which are not clearly behind.

    `values_of` has an array of the same folds for each method. A method is not clearly
    behind if it is at most one standard error of the difference below the best one.
    """
    best = max(values_of, key=lambda name: np.mean(values_of[name]))
    close = set()
    for name, values in values_of.items():
        behind, error = mean_and_error(np.subtract(values_of[best], values))
        if name != best and behind <= np.nan_to_num(error):
            close.add(name)
    return best, close


class Column(NamedTuple):
    """A column of the tables: a field of `Fit`, and how to write its mean."""

    title: str
    field: str
    digits: int
    with_error: bool = False
    marked: bool = False


COLUMNS = [
    Column("accuracy", "accuracy", 3, with_error=True, marked=True),
    Column("balanced accuracy", "balanced_accuracy", 3, with_error=True, marked=True),
    Column("kept", "kept", 0),
    Column("precision", "precision", 2),
    Column("recall", "recall", 2),
    Column("F1", "f1", 2, with_error=True, marked=True),
    Column("F1 of F test", "f1_of_f_test", 2),
    Column("seconds", "seconds", 1),
]


def fits_by_method(fits, family, draws):
    """Group the fits of some draws of a family, in the order of draws and folds."""
    groups = {}
    for fit in sorted(fits, key=lambda fit: fit.key):
        if fit.family == family and fit.draw in draws:
            groups.setdefault(fit.method, []).append(fit)
    return {name: groups[name] for name in peers.METHODS if name in groups}


def data_of(groups):
    """Draws and folds that any method was fitted to."""
    return {(fit.draw, fit.fold) for fits in groups.values() for fit in fits}


def cells_of(groups, column):
    """Write a column: a text for each method."""
    values_of = {
        name: [getattr(fit, column.field) for fit in fits]
        for name, fits in groups.items()
    }
    n_data = len(data_of(groups))
    complete = {name: x for name, x in values_of.items() if len(x) == n_data}
    marked = column.marked and complete
    best, close = leaders(complete) if marked else (None, set())
    texts = {}
    for name, values in values_of.items():
        mean, error = mean_and_error(values)
        text = f"{mean:.{column.digits}f}"
        if column.with_error and not np.isnan(error):
            text += f" ± {error:.{column.digits}f}"
        mark = "**" if name == best else "*" if name in close else ""
        texts[name] = f"{mark}{text}{mark}"
    return texts


def titles_of(groups):
    """Titles of the methods, with the number of fits where some are missing."""
    n_data = len(data_of(groups))
    titles = {}
    for name, fits in groups.items():
        part = "" if len(fits) == n_data else f" ({len(fits)} of {n_data} fits)"
        titles[name] = peers.METHODS[name].title + part
    return titles


def table(groups):
    """Rows of the table of one family, the first with the titles."""
    columns = [titles_of(groups), *(cells_of(groups, column) for column in COLUMNS)]
    titles = ["method", *(column.title for column in COLUMNS)]
    return [titles, *([cells[name] for cells in columns] for name in groups)]


def tables(fits):
    """Yield title and rows of the table of each family and part."""
    for part, draws in PARTS.items():
        for family in FAMILIES:
            groups = fits_by_method(fits, family, draws)
            if groups:
                used = sorted({draw for draw, _ in data_of(groups)})
                drawn = "draw" + "s" * (len(used) > 1)
                title = f"{family}, {part} ({drawn} {', '.join(map(str, used))})"
                yield title, table(groups)


def short_table(fits):
    """Rows of the table of all families: accuracy, and the features kept."""
    groups_of = {family: fits_by_method(fits, family, DRAWS) for family in FAMILIES}
    groups_of = {family: groups for family, groups in groups_of.items() if groups}
    rows = {name: [method.title] for name, method in peers.METHODS.items()}
    for groups in groups_of.values():
        accuracy, kept = (
            cells_of(groups, column._replace(with_error=False))
            for column in COLUMNS
            if column.field in ("accuracy", "kept")
        )
        for name, row in rows.items():
            row.append(f"{accuracy[name]} ({kept[name]})" if name in groups else "")
    body = [row for row in rows.values() if any(row[1:])]
    return [["accuracy (features kept)", *groups_of], *body]


def print_fit(fit):
    """Print one fit as soon as it is done."""
    print(
        f"{fit.family:14}draw {fit.draw} fold {fit.fold}  {fit.method:14}"
        f"accuracy {fit.accuracy:.3f}  kept {fit.kept:4}  F1 {fit.f1:.2f}"
        f"{fit.seconds:8.1f} s",
        flush=True,
    )


def write_rst(path, fits):
    """Write the tables that the documentation includes."""
    parts = [as_rst(rows, title) for title, rows in tables(fits)]
    path.write_text(
        "\n".join([*parts, describe_conditions(fits)]) + "\n", encoding="utf-8"
    )


def write_markdown(path, fits):
    """Write the short table of the held-out draws, between the marks of the file."""
    fits = [fit for fit in fits if fit.draw in PARTS["held out"]]
    rows = short_table(fits)
    text = f"{as_markdown(rows)}\n{describe_conditions(fits)}\n"
    write_between_marks(path, "estimator benchmark table", text)


# Command line


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def choose(option, choices: Sequence, text, kind=str):
        parser.add_argument(
            option,
            nargs="+",
            type=kind,
            choices=choices,
            default=choices,
            help=f"{text} (default: all)",
        )

    choose("--families", list(FAMILIES), "data to compare on")
    choose("--methods", list(peers.METHODS), "what to compare")
    choose("--draws", DRAWS, "seeds of the data", int)
    choose("--folds", list(range(N_FOLDS)), "folds that are tested on", int)
    parser.add_argument(
        "--append", type=Path, metavar="CSV", help="take fits from here, add new ones"
    )
    parser.add_argument(
        "--no-run", action="store_true", help="only make tables of what is in the CSV"
    )
    parser.add_argument("--rst", type=Path, help="write the tables here")
    parser.add_argument(
        "--markdown",
        type=Path,
        help="write a short table of the held-out draws here, between the marks of "
        "the file if it has them",
    )
    options = parser.parse_args()
    if options.no_run and options.append is None:
        parser.error("--no-run needs --append, the file with the results")
    return options


def main():
    """Measure, print, and write the files that were asked for."""
    options = parse_arguments()
    # Which penalties and sizes are too large or too small is part of the search.
    warnings.simplefilter("ignore", ConvergenceWarning)
    warnings.simplefilter("ignore", UserWarning)
    torch.set_num_threads(1)

    asked = set(wanted(options))
    fits = [
        fit
        for fit in read_fits(options.append)
        if fit.key[:3] in asked and fit.method in options.methods
    ]
    if not options.no_run:
        with threadpool_limits(1):
            for fit in run(options, fits):
                print_fit(fit)
                if options.append:
                    append_fit(options.append, fit)
                fits.append(fit)

    for title, rows in tables(fits):
        print(f"\n{title}\n{as_text(rows)}", end="")
    if fits:
        print(f"\n{describe_conditions(fits)}")
    if options.rst:
        write_rst(options.rst, fits)
    if options.markdown:
        write_markdown(options.markdown, fits)


if __name__ == "__main__":
    main()
