"""Measure false discovery rate and power of selections with decoys, and of others.

    python benchmarks/false_discoveries.py --out build/false_discoveries.csv
    python benchmarks/false_discoveries.py --designs independent --n-draws 20
    python benchmarks/false_discoveries.py --out build/false_discoveries.csv \\
        --n-draws 0 --rst doc/benchmarks_false_discoveries.rst

Set OMP_NUM_THREADS=1 first. All draws take some hours; those that the file of
`--out` has are not repeated.

Method. Each draw is a new table of 300 samples and 100 features, and a target that 20
of them determine, with noise of half the standard deviation of the signal. A feature is
false if it is not one of the 20: the target does not depend on it given the others.

independent   normal variables
AR 0.5        normal variables, the correlation of j and k is 0.5 to the power |j - k|
AR 0.9        the same with 0.9
blocks 0.8    normal variables in blocks of five with correlation 0.8
binary 0.5    the signs of AR 0.5; a linear target only, as for the next one
wide 0.5      AR 0.5 with 150 samples and 300 features

linear        a sum with random signs
non-linear    eight steps, eight signed squares, and two products of two features

Methods. `StabilitySelector` has three pairs of halves, and its default estimator, a
linear model. "lasso" are knockoffs with the difference of the coefficients of LassoCV
as statistic, and the same Gaussian decoys; "bound" is `StabilitySelector` without
decoys. hidimstat and Boruta are run if they are installed, on linear targets; Boruta
with 50 trees of depth 5 and 20 rounds. Its rate, and the one of the bound, cannot be
chosen.

Tables. The mean over the draws of the share of false features among those that are kept
(0 if there are none), and of the share of the 20 features that are kept, with standard
errors.
"""

import argparse
import importlib
import textwrap
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from _results import append_record, describe_system, mean_and_error, read_records
from _tables import as_rst, as_text
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LassoCV
from sklearn.preprocessing import scale

from skproj.feature_selection import StabilitySelector
from skproj.feature_selection._decoys import ColumnsWithDecoys, smallest_rates

N_SAMPLES, N_FEATURES, N_INFORMATIVE = 300, 100, 20
NOISE = 0.5
RATES = (0.1, 0.2)
N_PAIRS = 3


class Record(NamedTuple):
    """Result of one method on one draw, for one nominal rate."""

    design: str
    target: str
    method: str
    rate: float
    seed: int
    false: float
    power: float
    seconds: float

    @property
    def key(self):
        return self[:5]


def autoregressive(rng, rho, shape):
    """Draw normal rows whose neighbouring columns have the correlation rho."""
    X = rng.standard_normal(shape)
    for j in range(1, shape[1]):
        X[:, j] = rho * X[:, j - 1] + np.sqrt(1.0 - rho**2) * X[:, j]
    return X


def blocks(rng, rho, shape, size=5):
    """Draw normal rows with blocks of columns that have the correlation rho."""
    common = rng.standard_normal((shape[0], shape[1] // size)).repeat(size, axis=1)
    return np.sqrt(rho) * common + np.sqrt(1.0 - rho) * rng.standard_normal(shape)


SHAPE = (N_SAMPLES, N_FEATURES)
DESIGNS = {
    "independent": lambda rng: rng.standard_normal(SHAPE),
    "AR 0.5": lambda rng: autoregressive(rng, 0.5, SHAPE),
    "AR 0.9": lambda rng: autoregressive(rng, 0.9, SHAPE),
    "blocks 0.8": lambda rng: blocks(rng, 0.8, SHAPE),
    "binary 0.5": lambda rng: np.sign(autoregressive(rng, 0.5, SHAPE)),
    "wide 0.5": lambda rng: autoregressive(rng, 0.5, (150, 300)),
}
LINEAR_ONLY = ("binary 0.5", "wide 0.5")
TARGETS = ("linear", "non-linear")


def draw(design, target, seed):
    """Return a table, its target, and which features determine it."""
    rng = np.random.default_rng(seed)
    X = DESIGNS[design](rng)
    chosen = rng.choice(X.shape[1], N_INFORMATIVE, replace=False)
    parts = scale(X[:, chosen])
    if target == "non-linear":
        parts[:, :8] = np.tanh(3.0 * parts[:, :8])
        parts[:, 8:16] *= np.abs(parts[:, 8:16])
        parts[:, 16:18] *= parts[:, 18:20]
        parts[:, 18:20] = 0.0
    signal = parts @ rng.choice([-1.0, 1.0], N_INFORMATIVE)
    y = signal + NOISE * signal.std() * rng.standard_normal(len(X))
    return X, y, np.isin(np.arange(X.shape[1]), chosen)


def with_decoys(kind):
    """Return a function that keeps features by their decoys."""

    def select(X, y, seed):
        selector = StabilitySelector(
            n_pairs=N_PAIRS, fdr=RATES[-1], decoys=kind, random_state=seed
        ).fit(X, y)
        return {rate: selector.smallest_fdr_ <= rate for rate in RATES}

    return select


def by_bound(X, y, seed):
    """Keep features so that one is expected to be false, at most."""
    selector = StabilitySelector(
        n_pairs=N_PAIRS, max_false_selections=1.0, random_state=seed
    )
    return {np.nan: selector.fit(X, y).get_support()}


def lasso_knockoffs(X, y, seed):
    """Compare the coefficients of a lasso for features and for decoys."""
    random_state = np.random.RandomState(seed)
    columns = ColumnsWithDecoys(X, "knockoff", random_state, False)
    model = LassoCV(alphas=30, cv=3, tol=1e-3).fit(scale(columns.X), y)
    own, decoys = columns.split(np.abs(model.coef_))
    rates = smallest_rates(own - decoys)
    return {rate: rates <= rate for rate in RATES}


def hidimstat_knockoffs(X, y, seed):
    """Select with knockoffs of hidimstat."""
    hidimstat = importlib.import_module("hidimstat")
    model = hidimstat.ModelXKnockoff(random_state=seed)
    model.fit_importance(X, y)
    return {rate: model.fdr_selection(fdr=rate) > 0 for rate in RATES}


def boruta(X, y, seed):
    """Select with Boruta, whose shadow features are permuted decoys."""
    forest = RandomForestRegressor(n_jobs=1, max_depth=5, random_state=seed)
    model = importlib.import_module("boruta").BorutaPy(
        forest, n_estimators=50, max_iter=20, random_state=seed
    )
    return {np.nan: model.fit(X, y).support_}


# Each with the share of the draws that it gets.
METHODS = {
    "`StabilitySelector`, knockoff": (with_decoys("knockoff"), 1.0),
    "`StabilitySelector`, permuted": (with_decoys("permuted"), 0.25),
    "lasso, knockoff": (lasso_knockoffs, 0.25),
    "hidimstat": (hidimstat_knockoffs, 0.025),
    "bound": (by_bound, 0.25),
    "Boruta": (boruta, 0.025),
}


# Of the methods that need another package.
PACKAGES = {"hidimstat": "hidimstat", "Boruta": "boruta"}


def is_left_out(design, target, method):
    """Whether the tables have no such cell."""
    package = PACKAGES.get(method)
    if target == "non-linear" and (design in LINEAR_ONLY or package is not None):
        return True
    return package is not None and importlib.util.find_spec(package) is None


def measure(design, target, method, seed):
    """Run a method on a draw; yield a record for each rate."""
    X, y, truth = draw(design, target, seed)
    start = time.process_time()
    found = METHODS[method][0](X, y, seed)
    seconds = time.process_time() - start
    for rate, support in found.items():
        false = np.count_nonzero(support & ~truth) / max(1, np.count_nonzero(support))
        power = support[truth].mean()
        yield Record(design, target, method, rate, seed, false, power, seconds)


def table(records, target):
    """Rows of the table of a kind of target, the first with the titles."""
    designs = [x for x in DESIGNS if any(r.design == x for r in records)]
    rows = [[target, "nominal", "", *designs]]
    for method in METHODS:
        for rate in (*RATES, np.nan):
            own = [
                r
                for r in records
                if (r.target, r.method) == (target, method)
                and np.array_equal(r.rate, rate, equal_nan=True)
            ]
            if not own:
                continue
            for name in ("false", "power"):
                cells = []
                for design in designs:
                    values = [getattr(r, name) for r in own if r.design == design]
                    mean, error = mean_and_error(values) if values else (np.nan,) * 2
                    cells.append(f"{mean:.3f} ± {error:.3f}" if values else "")
                nominal = "" if np.isnan(rate) else f"{rate:g}"
                rows.append([method, nominal, name, *cells])
    return rows


def describe(records):
    """Say how many draws there are, how long they take, and where they were taken."""
    parts = []
    for method in METHODS:
        own = [r for r in records if r.method == method]
        if own:
            cells = Counter((r.design, r.target, r.rate > RATES[0]) for r in own)
            limits = sorted({min(cells.values()), max(cells.values())})
            n_draws = " to ".join(map(str, limits))
            seconds = np.mean([r.seconds for r in own])
            parts.append(f"{method} {n_draws} ({seconds:.2g} s)")
    return textwrap.fill(
        f"Draws of each cell, and CPU seconds for one: {', '.join(parts)}. Measured on "
        f"{describe_system()}; one thread.",
        width=88,
        break_on_hyphens=False,
    )


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--designs", nargs="+", choices=DESIGNS, default=[*DESIGNS])
    parser.add_argument(
        "--targets", nargs="+", choices=TARGETS, default=[*TARGETS], metavar="TARGET"
    )
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=[*METHODS])
    parser.add_argument("--n-draws", type=int, default=200)
    parser.add_argument("--out", type=Path, help="results, one line each")
    parser.add_argument("--rst", type=Path, help="write the tables here")
    return parser.parse_args()


def main():
    """Measure, print, and write the files that were asked for."""
    options = parse_arguments()
    warnings.simplefilter("ignore")
    records = read_records(options.out, Record)
    known = {record[:3] + (record.seed,) for record in records}
    for seed in range(options.n_draws):
        for design in options.designs:
            for target in options.targets:
                for method in options.methods:
                    share = METHODS[method][1]
                    done = (design, target, method, seed) in known
                    if done or seed >= share * options.n_draws:
                        continue
                    if is_left_out(design, target, method):
                        continue
                    for record in measure(design, target, method, seed):
                        records.append(record)
                        if options.out:
                            append_record(options.out, record)
    texts = [as_rst(table(records, target)) for target in options.targets]
    for target in options.targets:
        print(as_text(table(records, target)))
    print(describe(records))
    if options.rst:
        text = "\n".join([*texts, describe(records)]) + "\n"
        options.rst.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
