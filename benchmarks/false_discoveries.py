"""Measure false discovery rate and power of selections with decoys.

    python benchmarks/false_discoveries.py --out build/false_discoveries.csv
    python benchmarks/false_discoveries.py --designs independent --n-draws 20
    python benchmarks/false_discoveries.py --out build/false_discoveries.csv \\
        --n-draws 0 --rst doc/benchmarks_false_discoveries.rst

Set OMP_NUM_THREADS=1 first. All draws take some minutes; those that the file of `--out`
has are not repeated.

Method. Each draw is a new table of 300 samples and 100 features, and two classes that
15 of them determine, by a sum with random signs and logistic noise. A feature is false
if the classes do not depend on it given the others.

AR 0.5        normal variables, the correlation of j and k is 0.5 to the power |j - k|
AR 0.9        the same with 0.9
blocks 0.8    normal variables in blocks of five with correlation 0.8
wide 0.5      AR 0.5 with 150 samples and 300 features, ten of which are informative
one-hot       60 variables of AR 0.5, and ten more that are cut into four levels, with a
              column each: nine variables and two levels of four others are informative.
              A column is false if no level of its variable is.
rare class    AR 0.5, six informative features, and one sample of ten in the rare class
counts        AR 0.5 as counts, zero for most samples in half of the columns
noise         AR 0.5 and classes of no relation

Methods. "lasso" are knockoffs with the difference of the coefficients of LassoCV as
statistic, and one draw of the same decoys; "bound" is `StabilitySelector` without
decoys, whose rate cannot be chosen.

Tables. The mean over the draws of the share of false features among those that are kept
(0 if there are none), and of the share of the informative features that are kept, with
standard errors. The sentence below has the agreement of two seeds on the same table:
the features that both keep, of those that one keeps (1 if there are none).
"""

import argparse
import textwrap
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from _results import append_record, describe_system, mean_and_error, read_records
from _tables import as_rst, as_text
from sklearn.linear_model import LassoCV
from sklearn.preprocessing import scale

from skproj.feature_selection import StabilitySelector
from skproj.feature_selection._decoys import DecoyModel

RATES = (0.1, 0.2)
# Seeds of the draws from here on; smaller ones were used to develop the method.
FIRST_SEED = 3000
LEVELS = (-0.8, 0.2, 1.0)
# Draws of which one is repeated with another seed.
AGREEMENT_EVERY = 4


class Record(NamedTuple):
    """Result of one method on one draw, for one nominal rate."""

    design: str
    method: str
    rate: float
    seed: int
    false: float
    power: float
    agreement: float
    seconds: float

    @property
    def key(self):
        return self[:4]


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


def draw(design, seed):
    """Return a table, its classes, which features are informative, and which false."""
    rng = np.random.default_rng(seed)
    n_samples, n_features, n_informative = 300, 100, 15
    if design == "wide 0.5":
        n_samples, n_features, n_informative = 150, 300, 10
    elif design == "rare class":
        n_informative = 6
    shape = n_samples, n_features
    if design == "one-hot":
        return draw_categories(rng, n_samples)
    X = blocks(rng, 0.8, shape) if design == "blocks 0.8" else None
    if X is None:
        X = autoregressive(rng, 0.9 if design == "AR 0.9" else 0.5, shape)
    if design == "counts":
        X = np.floor(np.exp(X + rng.choice([-0.5, 1.5], n_features)))
    weights = np.zeros(n_features)
    chosen = rng.choice(n_features, n_informative, replace=False)
    weights[chosen] = rng.choice([-1.0, 1.0], n_informative)
    total = (np.log1p(X) if design == "counts" else X) @ weights
    total += rng.logistic(size=n_samples)
    if design == "noise":
        return (
            X,
            rng.integers(0, 2, n_samples),
            weights != 0.0,
            np.ones(100, dtype=bool),
        )
    share = 0.9 if design == "rare class" else 0.5
    y = (total > np.quantile(total, share)).astype(int)
    return X, y, weights != 0.0, weights == 0.0


def draw_categories(rng, n_samples):
    """Return the same of a table with one-hot columns."""
    Z = autoregressive(rng, 0.5, (n_samples, 70))
    order = rng.permutation(70)
    weights = {j: [rng.choice([-1.0, 1.0])] for j in order[10:19]}
    weights |= {j: rng.permutation([1.2, -1.2, 0.0, 0.0]) for j in order[:4]}
    columns, effects, false = [], [], []
    for j in range(70):
        part = Z[:, [j]]
        if j in order[:10]:
            part = np.eye(4)[np.searchsorted(LEVELS, Z[:, j])]
        columns.append(part)
        effects.extend(weights.get(j, np.zeros(part.shape[1])))
        false.extend([j not in weights] * part.shape[1])
    X, effects = np.hstack(columns), np.array(effects)
    y = X @ effects + rng.logistic(size=n_samples) > 0.0
    return X, y.astype(int), effects != 0.0, np.array(false)


DESIGNS = (
    "wide 0.5",
    "AR 0.5",
    "AR 0.9",
    "blocks 0.8",
    "one-hot",
    "rare class",
    "counts",
    "noise",
)


def by_rate(X, y, seed):
    """Keep features by their q-values."""
    selector = StabilitySelector(fdr=RATES[-1], random_state=seed).fit(X, y)
    return {rate: selector.q_values_ <= rate for rate in RATES}


def by_bound(X, y, seed):
    """Keep features so that one is expected to be false, at most."""
    selector = StabilitySelector(max_false_selections=1.0, random_state=seed)
    return {np.nan: selector.fit(X, y).get_support()}


def lasso_knockoffs(X, y, seed):
    """Keep features whose coefficients exceed those of their decoys (knockoff+)."""
    random_state = np.random.RandomState(seed)
    both = scale(np.hstack([X, DecoyModel(X).draw(random_state)]))
    order = random_state.permutation(both.shape[1])
    size = np.empty(both.shape[1])
    model = LassoCV(alphas=30, cv=3, tol=1e-3).fit(both[:, order], y)
    size[order] = np.abs(model.coef_)
    margins = size[: X.shape[1]] - size[X.shape[1] :]
    thresholds = np.unique(np.abs(margins[margins != 0.0]))
    kept = {}
    for rate in RATES:
        passing = [
            t
            for t in thresholds
            if 1 + np.sum(margins <= -t) <= rate * np.sum(margins >= t)
        ]
        kept[rate] = margins >= min(passing, default=np.inf)
    return kept


# Each with the share of the draws that it gets.
METHODS = {
    "`StabilitySelector`": (by_rate, 1.0),
    "lasso": (lasso_knockoffs, 0.5),
    "bound": (by_bound, 0.25),
}


def measure(design, method, seed):
    """Run a method twice on a draw; yield a record for each rate."""
    X, y, truth, wrong = draw(design, FIRST_SEED + seed)
    start = time.process_time()
    found = METHODS[method][0](X, y, seed)
    seconds = time.process_time() - start
    other = found if seed % AGREEMENT_EVERY else METHODS[method][0](X, y, seed + 1)
    for rate, support in found.items():
        false = np.count_nonzero(support & wrong) / max(1, np.count_nonzero(support))
        power = support[truth].mean()
        agreement = np.nan
        if other is not found:
            either = np.count_nonzero(support | other[rate])
            both = np.count_nonzero(support & other[rate])
            agreement = both / either if either else 1.0
        yield Record(design, method, rate, seed, false, power, agreement, seconds)


def table(records):
    """Rows of the table, the first with the titles."""
    designs = [x for x in DESIGNS if any(r.design == x for r in records)]
    rows = [["", "nominal", "", *designs]]
    for method in METHODS:
        for rate in (*RATES, np.nan):
            own = [
                r
                for r in records
                if r.method == method and np.array_equal(r.rate, rate, equal_nan=True)
            ]
            if not own:
                continue
            for name in ("false", "power"):
                cells = []
                for design in designs:
                    values = [getattr(r, name) for r in own if r.design == design]
                    if not values or (name, design) == ("power", "noise"):
                        cells.append("")
                        continue
                    mean, error = mean_and_error(values)
                    cells.append(f"{mean:.3f} ± {error:.3f}")
                nominal = "" if np.isnan(rate) else f"{rate:g}"
                rows.append([method, nominal, name, *cells])
    return rows


def describe(records):
    """Say how many draws there are, how long they take, and where they were taken."""
    parts = []
    for method in METHODS:
        own = [r for r in records if r.method == method]
        if own:
            cells = Counter((r.design, r.rate > RATES[0]) for r in own)
            limits = sorted({min(cells.values()), max(cells.values())})
            n_draws = " to ".join(map(str, limits))
            seconds = np.mean([r.seconds for r in own])
            parts.append(f"{method} {n_draws} ({seconds:.2g} s)")
    agreements = []
    for design in DESIGNS:
        values = [
            r.agreement
            for r in records
            if (r.design, r.method, r.rate) == (design, next(iter(METHODS)), RATES[-1])
        ]
        if design != "noise" and not np.all(np.isnan(values)):
            agreements.append(f"{design} {np.nanmean(values):.2f}")
    return textwrap.fill(
        f"Draws of each cell, and CPU seconds for one: {', '.join(parts)}. Agreement "
        f"of two seeds of {next(iter(METHODS))} at {RATES[-1]}: "
        f"{', '.join(agreements)}. "
        f"Measured on {describe_system()}; one thread.",
        width=88,
        break_on_hyphens=False,
    )


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--designs", nargs="+", choices=DESIGNS, default=[*DESIGNS])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=[*METHODS])
    parser.add_argument("--n-draws", type=int, default=100)
    parser.add_argument("--out", type=Path, help="results, one line each")
    parser.add_argument("--rst", type=Path, help="write the tables here")
    return parser.parse_args()


def main():
    """Measure, print, and write the files that were asked for."""
    options = parse_arguments()
    warnings.simplefilter("ignore")
    records = read_records(options.out, Record)
    known = {record[:2] + (record.seed,) for record in records}
    for seed in range(options.n_draws):
        for design in options.designs:
            for method in options.methods:
                done = (design, method, seed) in known
                if done or seed >= METHODS[method][1] * options.n_draws:
                    continue
                for record in measure(design, method, seed):
                    records.append(record)
                    if options.out:
                        append_record(options.out, record)
    print(as_text(table(records)))
    print(describe(records))
    if options.rst:
        text = f"{as_rst(table(records))}\n{describe(records)}\n"
        options.rst.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
