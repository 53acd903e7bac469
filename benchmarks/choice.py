"""Compare rules for the number of features over subsamples of tables.

    python benchmarks/choice.py
    python benchmarks/choice.py --data tables --rst doc/benchmarks_choice.rst

Set OMP_NUM_THREADS=1 first.

Data. Three tables of scikit-learn, and each file ``NAME.npz`` of the folder ``--data``
with arrays ``X`` and ``y``.

Method. Each table is divided ten times, stratified by class, into nine tenths of the
rows, for which `ProjectionFeatureSelectorCV` chooses and fits, and the other rows.
"Features" are the smallest and the largest number that was kept. The losses are those
of the other rows, the log loss or the squared error in units of the deviation of the
target, with their standard errors over the divisions, which share most rows: of the
model that was chosen, and of a ridge regression on the features that it keeps, whose
penalty is cross-validated.
"""

import argparse
import textwrap
import warnings
from pathlib import Path

import numpy as np
from _results import describe_system, mean_and_error
from _tables import as_rst, as_text
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.metrics import log_loss
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit
from sklearn.preprocessing import StandardScaler

from skproj import ProjectionFeatureSelectorCV

RULES = 0.9, 0.95, 0.99, 1.0, "one-standard-error"
N_DIVISIONS = 10
HEADER = ["table", "keep_gain", "features", "loss as fitted", "with a ridge head"]


def read_tables(folder):
    """Return the tables by name; targets of a regression have unit variance."""
    loaders = load_breast_cancer, load_wine, load_diabetes
    tables = {f.__name__.removeprefix("load_"): f(return_X_y=True) for f in loaders}
    X, y = tables["diabetes"]
    tables["diabetes"] = X, (y - y.mean()) / y.std()
    for path in sorted(Path(folder).glob("*.npz")) if folder else []:
        with np.load(path, allow_pickle=True) as file:
            y = np.unique(file["y"], return_inverse=True)[1]
            tables[path.stem] = file["X"].astype(float), y
    return tables


def losses_of(selector, X, y, X_test, y_test):
    """Return the losses of the fitted selector's model and of a ridge head."""
    kept = selector.get_support()
    scale = StandardScaler().fit(X[:, kept])
    X_kept, X_test_kept = scale.transform(X[:, kept]), scale.transform(X_test[:, kept])
    fitted = X_test @ selector.coef_.T + selector.intercept_
    if y.dtype.kind == "f":
        head = RidgeCV(np.logspace(-2, 4, 13)).fit(X_kept, y)
        predictions = fitted[:, 0], head.predict(X_test_kept)
        return [np.mean((values - y_test) ** 2) for values in predictions]
    if fitted.shape[1] == 1:
        fitted = np.hstack([np.zeros_like(fitted), fitted])
    shifted = np.exp(fitted - fitted.max(axis=1, keepdims=True))
    head = LogisticRegressionCV(
        Cs=10, l1_ratios=[0.0], scoring="neg_log_loss", use_legacy_attributes=False
    )
    head.fit(X_kept, y)
    probabilities = (
        shifted / shifted.sum(axis=1, keepdims=True),
        head.predict_proba(X_test_kept),
    )
    return [log_loss(y_test, values, labels=head.classes_) for values in probabilities]


def rows_of_table(name, X, y):
    """Return a row for each rule."""
    regression = y.dtype.kind == "f"
    splitter = ShuffleSplit if regression else StratifiedShuffleSplit
    divisions = splitter(N_DIVISIONS, test_size=0.1, random_state=0).split(X, y)
    counts, losses = ({rule: [] for rule in RULES} for _ in range(2))
    for train, test in divisions:
        for rule in RULES:
            selector = ProjectionFeatureSelectorCV(keep_gain=rule, random_state=0)
            selector.fit(X[train], y[train])
            counts[rule].append(int(selector.get_support().sum()))
            parts = X[train], y[train], X[test], y[test]
            losses[rule].append(losses_of(selector, *parts))
    for rule in RULES:
        fitted, head = ([pair[i] for pair in losses[rule]] for i in (0, 1))
        means = [mean_and_error(values) for values in (fitted, head)]
        shown = [f"{mean:.3f} +- {error:.3f}" for mean, error in means]
        yield [name, str(rule), f"{min(counts[rule])} to {max(counts[rule])}", *shown]


def main():
    """Run all tables, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", help="folder of further tables")
    parser.add_argument("--rst", help="file to write as a table of the documentation")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = [HEADER]
    for name, (X, y) in read_tables(options.data).items():
        rows += rows_of_table(name, X, y)
    print(as_text(rows), describe_system(), sep="\n")
    if options.rst:
        conditions = f"Measured on {describe_system()}; one thread."
        Path(options.rst).write_text(f"{as_rst(rows)}\n{textwrap.fill(conditions)}\n")


if __name__ == "__main__":
    main()
