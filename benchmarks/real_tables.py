"""Compare classifiers on a folder of real tables with many features.

    python benchmarks/real_tables.py --data tables --out results.csv
    python benchmarks/real_tables.py --data tables --methods lasso,ridge --tables alon
    python benchmarks/real_tables.py --data tables --out results.csv --no-run
    python benchmarks/real_tables.py --repeats 3 --write-rst x.rst --write-plot x.svg

Data. Each file ``NAME.npz`` of the folder has arrays ``X`` and ``y``, and ``groups`` if
samples belong together. Without a folder: data sets of scikit-learn with a thousand
columns of noise, a data set of scanpy if it is installed, and generated omics counts.

Method. Four stratified outer folds, which keep groups together. Constant columns are
left out, the others centred and scaled, by the training part. Each method makes all its
choices inside of it (see ``estimator_peers.py`` and ``linear_peers.py``). Each finished
fit is appended to the file of results, and is not repeated.

Summary. Differences of accuracy to the method ``--reference`` are taken fold by fold;
their standard errors over tables treat the tables as independent, those of one table
its folds. "Stability" is the mean Jaccard index of the features kept in the outer
folds. Times are CPU seconds for one fit with all its choices, with one thread.
"""

import argparse
import signal
import time
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import estimator_peers as peers
import numpy as np
import torch
from _real_tables_plot import plot_ranks
from _real_tables_summary import parts_of_summary
from _results import (
    append_record,
    describe_conditions,
    describe_system,
    read_records,
)
from _tables import as_rst, as_text
from estimators import log_of_shares, omics, with_probes
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.feature_selection import VarianceThreshold
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

N_FOLDS = 4
DEFAULT_METHODS = (
    "elastic-net",
    "lasso",
    "ridge",
    "lda",
    "f-svc",
    "forest",
    "centroids",
    "lassonet",
    "paper",
    "ball-logistic",
    "autoencoder",
)


class Table(NamedTuple):
    """Samples, their classes as numbers, and the groups they belong to, or None."""

    X: np.ndarray
    y: np.ndarray
    groups: np.ndarray | None = None


class TableFit(NamedTuple):
    """One fit: a line of the file of results."""

    table: str
    method: str
    repeat: int
    fold: int
    n_samples: int
    n_features: int
    accuracy: float
    balanced_accuracy: float
    log_loss: float  # nan without probabilities
    kept: int
    support: str  # columns of the table, or "all" those that vary
    cpu: float
    wall: float
    system: str

    @property
    def key(self):
        """What makes it a fit of its own."""
        return self[:4]


# Data


def read_table(path):
    """Read a file of a folder of tables."""
    with np.load(path) as arrays:
        y = np.unique(arrays["y"], return_inverse=True)[1]
        groups = arrays["groups"] if "groups" in arrays else None
        return Table(arrays["X"].astype(float), y, groups)


def blood_cells():
    """Scaled expression of genes in blood cells, with the types of the cells."""
    import scanpy

    data = scanpy.datasets.pbmc68k_reduced()
    y = np.unique(data.obs["bulk_labels"].astype(str), return_inverse=True)[1]
    return Table(np.asarray(data.X, dtype=float), y)


def generated_omics():
    """Counts of genes in batches, as `estimators.py` draws and transforms them."""
    X, y, _ = omics(1)
    return Table(log_of_shares(X), y)


OWN_TABLES = {
    "breast-cancer": lambda: Table(*with_probes(1, load_breast_cancer)[:2]),
    "digits": lambda: Table(*with_probes(1, load_digits)[:2]),
    "wine": lambda: Table(*with_probes(1, load_wine)[:2]),
    "omics": generated_omics,
}
if find_spec("scanpy"):
    OWN_TABLES["blood-cells"] = blood_cells


def find_tables(folder, names):
    """Return functions that load tables, by name, the smallest file first."""
    loaders = OWN_TABLES
    if folder is not None:
        paths = sorted(folder.glob("*.npz"), key=lambda path: path.stat().st_size)
        loaders = {path.stem: lambda path=path: read_table(path) for path in paths}
    unknown = set(names or ()) - set(loaders)
    if unknown:
        raise SystemExit(f"No tables {sorted(unknown)}; there are {sorted(loaders)}.")
    return {name: loaders[name] for name in names or loaders}


def outer_folds(table, repeat):
    """Return training and test rows of each fold."""
    kind = StratifiedKFold if table.groups is None else StratifiedGroupKFold
    folds = kind(N_FOLDS, shuffle=True, random_state=repeat)
    return list(folds.split(table.X, table.y, table.groups))


# Measuring


class TooLongError(Exception):
    """A fit has used up its time."""


def limit_time(seconds):
    """Raise `TooLongError` after so many CPU seconds; 0 is without a limit."""

    def stop(number, frame):
        raise TooLongError

    signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)


def probabilities_of(model, X):
    """Probabilities of the classes, or None."""
    try:
        return model.predict_proba(X)
    except AttributeError:
        return None


def measure(table, train, test, method, seed, limit):
    """Fit once, and return the numbers of a line."""
    varying = VarianceThreshold()
    scaling = make_pipeline(varying, StandardScaler())
    X, X_test = scaling.fit_transform(table.X[train]), scaling.transform(table.X[test])
    y, y_test = table.y[train], table.y[test]
    groups = None if table.groups is None else table.groups[train]

    model = peers.METHODS[method].make(seed, groups)
    cpu, wall = time.process_time(), time.perf_counter()
    if limit:
        limit_time(limit)
    try:
        model.fit(X, y)
    finally:
        if limit:
            limit_time(0)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall

    predicted = model.predict(X_test)
    shares = probabilities_of(model, X_test)
    kept = peers.kept_features(model, X.shape[1])
    columns = varying.get_support(indices=True)[kept]
    return (
        *table.X.shape,
        accuracy_score(y_test, predicted),
        balanced_accuracy_score(y_test, predicted),
        np.nan if shares is None else log_loss(y_test, shares, labels=model.classes_),
        len(columns),
        "all" if kept.all() else " ".join(map(str, columns)),
        cpu,
        wall,
    )


def warm_up(methods):
    """Fit small data once, as some packages compile their functions at first use."""
    X = np.random.default_rng(0).normal(size=(40, 5))
    for method in methods:
        if peers.METHODS[method].requires == "skglm":
            peers.METHODS[method].make(0).fit(X, np.arange(40) % 2)


def run(options, done):
    """Yield the fits that are not among those that are done."""
    methods = list(peers.available(options.methods))
    warm_up(methods)
    system = describe_system()
    known = {fit.key for fit in done}
    for name, load in find_tables(options.data, options.tables).items():
        table = load()
        for method in methods:
            for repeat in range(options.repeats):
                for fold, (train, test) in enumerate(outer_folds(table, repeat)):
                    key = (name, method, repeat, fold)
                    if key in known:
                        continue
                    seed = N_FOLDS * repeat + fold
                    try:
                        numbers = measure(
                            table, train, test, method, seed, options.limit
                        )
                    except TooLongError:
                        print(f"{name}: {method} takes too long and is left out.")
                        break
                    yield TableFit(*key, *numbers, system)


def print_fit(fit):
    """Print one fit as soon as it is done."""
    print(
        f"{fit.table:14}{fit.method:14}repeat {fit.repeat} fold {fit.fold}  "
        f"accuracy {fit.accuracy:.3f}  kept {fit.kept:5}{fit.cpu:8.1f} s",
        flush=True,
    )


# Command line


def names(text):
    """Read names with commas between them."""
    return [name for name in text.split(",") if name]


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of tables, as npz files")
    parser.add_argument(
        "--methods",
        type=names,
        default=DEFAULT_METHODS,
        help=f"of {', '.join(peers.METHODS)} (default: {','.join(DEFAULT_METHODS)})",
    )
    parser.add_argument("--tables", type=names, help="(default: all)")
    parser.add_argument("--repeats", type=int, default=1, help="(default: 1)")
    parser.add_argument(
        "--out", type=Path, help="CSV file; take fits from here, add new ones"
    )
    parser.add_argument(
        "--no-run", action="store_true", help="only sum up what is in the file"
    )
    parser.add_argument(
        "--limit",
        type=float,
        default=0,
        help="leave out a method where a fit takes more CPU seconds",
    )
    parser.add_argument(
        "--reference", default="autoencoder", help="method to compare the others with"
    )
    parser.add_argument("--write-rst", type=Path, help="write the summary here")
    parser.add_argument(
        "--write-plot", type=Path, help="write a plot of the mean ranks here"
    )
    options = parser.parse_args()
    unknown = set(options.methods) - set(peers.METHODS)
    if unknown:
        parser.error(f"no methods {sorted(unknown)}")
    if options.no_run and options.out is None:
        parser.error("--no-run needs --out, the file with the results")
    return options


def main():
    """Measure, print, and write the files that were asked for."""
    options = parse_arguments()
    # Which penalties and sizes are too large or too small is part of the search.
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)

    fits = [
        fit
        for fit in read_records(options.out, TableFit)
        if fit.method in options.methods
        and fit.repeat < options.repeats
        and (not options.tables or fit.table in options.tables)
    ]
    if not options.no_run:
        with threadpool_limits(1):
            for fit in run(options, fits):
                print_fit(fit)
                if options.out:
                    append_record(options.out, fit)
                fits.append(fit)
    if not fits:
        return

    titles = {name: method.title for name, method in peers.METHODS.items()}
    parts = list(parts_of_summary(fits, titles, options.reference))
    conditions = describe_conditions(fits)
    for title, rows in parts:
        print(f"\n{title}\n{as_text(rows)}", end="")
    print(f"\n{conditions}")
    if options.write_rst:
        text = [as_rst(rows, title) for title, rows in parts]
        options.write_rst.write_text(
            "\n".join([*text, conditions]) + "\n", encoding="utf-8"
        )
    if options.write_plot:
        plot_ranks(fits, titles, options.write_plot)


if __name__ == "__main__":
    main()
