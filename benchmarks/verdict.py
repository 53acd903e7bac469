"""Measure how often the verdict of `skproj select` is right.

    python benchmarks/verdict.py --out verdict.csv            # all, an hour
    python benchmarks/verdict.py --tables "10 columns" --draws 20
    python benchmarks/verdict.py --out verdict.csv --no-run --rst verdict.rst

Set OMP_NUM_THREADS=1 first.

Method. Tables of 100 rows are drawn, of normal columns, and the whole of
`skproj select` runs on each: linear selector, five folds, a quarter of the rows held
out. Rates are those of the verdict "nothing predicts". One of its tests needs no model,
and one test is enough: where that one finds something, no models are fitted.

nothing     no column has to do with the target
one column  one column is shifted with the target
ten columns ten columns are shifted, each by less

Together the shifts are worth an area under the ROC curve of 0.75 for two equal classes,
and the same correlation with a target of numbers. In the "rare" tables one row in five
is of the rarer class.

Bounds. "best test" decides on the same tables by the likelihood ratio at a level of
5 %: it knows how many columns are shifted, and by how much, but neither which ones nor
in which direction. By the lemma of Neyman and Pearson no test of this level that knows
no more finds more on average. "true model" knows the columns as well, and ranks the
rows, at the same level.
"""

import argparse
import itertools
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from _results import (
    append_record,
    describe_conditions,
    describe_system,
    read_records,
)
from _tables import as_rst, as_text
from scipy.stats import norm

from skproj.cli._arguments import make_parser
from skproj.cli._evidence import association_test, rank_evidence
from skproj.cli._problem import Problem
from skproj.cli._selection import select
from skproj.cli._verdict import ASSOCIATION_LEVEL

N_ROWS = 100
# Between the means of two equal classes, in standard deviations: an area of 0.75.
SHIFT = np.sqrt(2.0) * norm.ppf(0.75)
# Of a standardised target, the same correlation.
SLOPE = SHIFT / 2.0
LEVEL = 0.05
N_SIMULATED = 2000

SIGNALS = {"nothing": 0, "one column": 1, "ten columns": 10}
TABLES = {
    "10 columns": ("classes", 10),
    "200 columns": ("classes", 200),
    "1000 columns": ("classes", 1000),
    "200 columns, rare": ("rare", 200),
    "200 columns, numbers": ("numbers", 200),
}
TITLES = ["signal", "draws", "verdict", "best test", "true model"]


class Draw(NamedTuple):
    """What is said of a table, by the verdict and by the tests that know more."""

    table: str
    signal: str
    seed: int
    predicts: int
    best_test: int
    true_model: int
    system: str

    @property
    def key(self):
        return self.table, self.signal, self.seed


def draw(table, n_shifted, seed):
    """Return rows, target, and the shift of each of the first columns."""
    kind, n_columns = TABLES[table]
    rng = np.random.default_rng(seed)
    strength = SHIFT
    if kind == "numbers":
        y, strength = rng.normal(size=N_ROWS), SLOPE
    else:
        n_rare = N_ROWS // (5 if kind == "rare" else 2)
        y = rng.permutation(np.arange(N_ROWS) < n_rare).astype(int)
    X = rng.normal(size=(N_ROWS, n_columns))
    shift = strength / np.sqrt(max(n_shifted, 1))
    X[:, :n_shifted] += shift * y[:, np.newaxis]
    return X, y, shift


def log_likelihood_ratio(scores, n_shifted, mean):
    """Return the logarithm of the likelihood ratio, up to a constant.

    Parameters
    ----------
    scores : ndarray of shape (n_columns, n_draws)
        Normal, with unit variance; of mean zero, or `mean` or ``-mean`` for
        `n_shifted` columns that are not known.
    """
    ratios = np.cosh(mean * scores)
    # Sums over all sets of columns of the products of their ratios.
    sums = np.zeros((n_shifted + 1, scores.shape[1]))
    sums[0] = 1.0
    for ratio in ratios:
        sums[1:] += ratio * sums[:-1]
    return np.log(sums[-1])


def best_test(X, y, n_shifted, shift, seed):
    """Whether the likelihood ratio is larger than chance allows."""
    direction = y - y.mean()
    length = np.linalg.norm(direction)
    scores = direction @ X / length
    null = np.random.default_rng(seed).normal(size=(X.shape[1], N_SIMULATED))
    both = np.column_stack([scores, null])
    own, *by_chance = log_likelihood_ratio(both, n_shifted, shift * length)
    return own > np.quantile(by_chance, 1.0 - LEVEL)


def true_model(X, y, n_shifted, is_regression):
    """Whether the sum of the shifted columns ranks the rows better than chance."""
    told = X[:, :n_shifted].sum(axis=1)
    if is_regression:
        evidence, chance = rank_evidence(told, y), 0.0
    else:
        decisions = np.column_stack([-told, told])
        evidence, chance = rank_evidence(decisions, y, np.arange(2)), 0.5
    bound = norm.isf(LEVEL) * np.sqrt(evidence.variance)
    return evidence.score - chance > bound


def judge(table, signal, seed, system):
    """Return what is said of one table."""
    n_shifted = SIGNALS[signal]
    X, y, shift = draw(table, n_shifted, seed)
    is_regression = TABLES[table][0] == "numbers"
    command = f"select none.csv --target target --seed {seed}"
    problem = Problem(
        X=X.astype(np.float32),
        y=y,
        names=[f"x{j}" for j in range(X.shape[1])],
        task="regression" if is_regression else "classification",
        method="selector",
        options=make_parser().parse_args(command.split()),
    )
    found = association_test(problem.X, y, problem.classifies, seed)
    predicts = found.p_value <= ASSOCIATION_LEVEL or select(problem).verdict.predicts
    best = known = False
    if n_shifted:
        best = best_test(X, y, n_shifted, shift, seed)
        known = true_model(X, y, n_shifted, is_regression)
    return Draw(table, signal, seed, int(predicts), int(best), int(known), system)


def rate(flags):
    """Write a share in percent, with its standard error where it varies."""
    share = np.mean(flags)
    if share in (0.0, 1.0):
        return f"{100 * share:.0f} %"
    error = np.sqrt(share * (1.0 - share) / len(flags))
    return f"{100 * share:.0f} ± {100 * error:.1f} %"


def tabulate(records):
    """Return the rows of a table of rates of "nothing predicts"."""
    rows = [["table", *TITLES]]
    for table in TABLES:
        for signal in SIGNALS:
            own = [r for r in records if (r.table, r.signal) == (table, signal)]
            if not own:
                continue
            cells = [str(len(own)), rate([not r.predicts for r in own]), "", ""]
            if SIGNALS[signal]:
                cells[2] = rate([not r.best_test for r in own])
                cells[3] = rate([not r.true_model for r in own])
            rows.append([table, signal, *cells])
    return rows


def describe_false_alarms(records):
    """Say how often something was found that is not there."""
    alarms = [r.predicts for r in records if not SIGNALS[r.signal]]
    return (
        f"Of {len(alarms)} tables without a signal, {sum(alarms)} were taken for "
        "predictable."
    )


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=[*TABLES])
    parser.add_argument("--signals", nargs="+", choices=SIGNALS, default=[*SIGNALS])
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--out", type=Path, help="file of results, which is continued")
    parser.add_argument("--no-run", action="store_true", help="only summarise")
    parser.add_argument("--rst", type=Path, help="write the table here")
    return parser.parse_args()


def main():
    """Measure what is missing, print, and write the file that was asked for."""
    options = parse_arguments()
    warnings.filterwarnings("ignore", "No feature (is|was) selected")
    records = read_records(options.out, Draw)
    done, system = {record.key for record in records}, describe_system()
    n_draws = 0 if options.no_run else options.draws
    wanted = itertools.product(range(n_draws), options.signals, options.tables)
    for seed, signal, table in wanted:
        if (table, signal, seed) not in done:
            records.append(judge(table, signal, seed, system))
            if options.out:
                append_record(options.out, records[-1])
    rows = tabulate(records)
    print(as_text(rows))
    if options.rst and records:
        notes = [describe_false_alarms(records), describe_conditions(records)]
        text = "\n".join([as_rst(rows), *notes, ""])
        options.rst.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
