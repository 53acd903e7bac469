"""Compare StabilitySelector with single selections, and both with the F test.

    python benchmarks/stability.py                       # all, ten minutes
    python benchmarks/stability.py --problems omics --seeds 0
    python benchmarks/stability.py --rst doc/benchmarks_stability.rst

Set OMP_NUM_THREADS=1 first.

Method. A table of 600 samples and 1000 features is split at random into two
tables of 300, and each method selects features of each of these. The methods keep their
defaults, except for the number of features where the table says so: the number that the
stability selection selects on each half of its data, or the number that it keeps.

omics   log counts of `make_omics` with three classes and 60 markers, each informative
        by itself
joint   normal variables, neighbours with correlation 0.5, two classes by a noisy sum of
        eight of them with random signs
weak    the same with twenty variables, each with less influence

Tables. "features" is the number of selected features, "false" the number of those
without influence; "F1" compares with the features that have influence. "reproduced" is
the stability index of the selections on the two tables, "accuracy" the accuracy of a
logistic regression on the selected features, on the other table. "CPU seconds" are for
one fit. All values are means. The sentence below a table gives the stability index over
the halves of the tables of 300, and the bound on the number of false selections.
"""

import argparse
import platform
import textwrap
import time
import warnings
from pathlib import Path

import numpy as np
import sklearn
from _tables import as_markdown, as_rst, processor, versions
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skproj
from skproj.datasets import make_omics
from skproj.feature_selection import ProjectionFeatureSelector, StabilitySelector
from skproj.utils._stability import stability_index

N_SAMPLES, N_FEATURES = 600, 1000
LOW_THRESHOLD = 0.55
TITLES = ["features", "false", "F1", "reproduced", "accuracy", "CPU seconds"]


def make_counts(seed):
    """Return log counts, classes, and which features are markers."""
    omics = make_omics(
        N_SAMPLES, N_FEATURES, n_classes=3, n_markers=60, random_state=seed
    )
    return np.log1p(omics.data), omics.target, omics.support


def make_sum(n_informative, seed):
    """Return correlated variables, the sign of a noisy sum, and what is in the sum."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((N_SAMPLES, N_FEATURES))
    for j in range(1, N_FEATURES):
        X[:, j] = 0.5 * X[:, j - 1] + np.sqrt(0.75) * X[:, j]
    weights = np.zeros(N_FEATURES)
    chosen = rng.choice(N_FEATURES, n_informative, replace=False)
    weights[chosen] = rng.choice([-1.0, 1.0], n_informative)
    total = X @ weights
    noise = 0.5 * rng.standard_normal(N_SAMPLES)
    return X, (total / total.std() + noise > 0).astype(int), weights != 0


PROBLEMS = {
    "omics": make_counts,
    "joint": lambda seed: make_sum(8, seed),
    "weak": lambda seed: make_sum(20, seed),
}


def timed(selector, X, y):
    """Fit; return the support and the CPU seconds."""
    start = time.process_time()
    selector.fit(X, y)
    return selector.get_support(), time.process_time() - start


def select_all(X, y):
    """Return support and seconds of each method, and the stability selection."""
    stable = StabilitySelector(random_state=0)
    support, seconds = timed(stable, X, y)
    n_asked = int(stable.supports_[0].sum())
    baseline = stable.baseline_selection_probabilities_
    found = {
        f"one fit, {n_asked} features": timed(
            ProjectionFeatureSelector(n_features_to_select=n_asked), X, y
        ),
        "`StabilitySelector`": (support, seconds),
        f"the same, from {LOW_THRESHOLD} on": (
            stable.selection_probabilities_ >= LOW_THRESHOLD,
            np.nan,
        ),
        "one fit, as many features": timed(
            ProjectionFeatureSelector(n_features_to_select=max(1, support.sum())), X, y
        ),
        f"F test, {n_asked} features": timed(SelectKBest(f_classif, k=n_asked), X, y),
        "F test on halves, from 0.75 on": (baseline >= 0.75, np.nan),
    }
    return found, stable


def accuracy(support, train, test):
    """Score a logistic regression on the selected features."""
    if not support.any():
        return np.bincount(test[1]).max() / len(test[1])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    model.fit(train[0][:, support], train[1])
    return model.score(test[0][:, support], test[1])


def run(problem, seed):
    """Return the numbers of each method on one table, and those of its halves."""
    X, y, truth = PROBLEMS[problem](seed)
    order = np.random.default_rng(seed).permutation(N_SAMPLES)
    parts = [(X[rows], y[rows]) for rows in np.split(order, 2)]
    supports, numbers, halves = {}, {}, []
    for train, test in (parts, parts[::-1]):
        found, stable = select_all(*train)
        for method, (support, seconds) in found.items():
            supports.setdefault(method, []).append(support)
            numbers.setdefault(method, []).append(
                [
                    support.sum(),
                    (support & ~truth).sum(),
                    f1_score(truth, support),
                    accuracy(support, train, test),
                    seconds,
                ]
            )
        halves.append(
            [
                stable.stability_,
                stable.baseline_stability_,
                stable.expected_false_selections_,
            ]
        )
    means = {}
    for method, rows in numbers.items():
        *first, score, seconds = np.mean(rows, axis=0)
        index, _ = stability_index(np.array(supports[method]))
        means[method] = [*first, index, score, seconds]
    return means, np.mean(halves, axis=0)


def table(problem, results):
    """Rows of the table of a problem, the first with the titles."""
    rows = [[problem, *TITLES]]
    formats = [".1f", ".1f", ".2f", ".2f", ".3f", ".2g"]
    for method in results[0][0]:
        means = np.mean([numbers[method] for numbers, _ in results], axis=0)
        cells = [
            "" if np.isnan(mean) else f"{mean:{form}}"
            for mean, form in zip(means, formats, strict=True)
        ]
        rows.append([method, *cells])
    return rows


def describe_halves(results):
    """Say how stable the selections of the halves were, and the bound."""
    index, baseline, bound = np.mean([halves for _, halves in results], axis=0)
    return (
        f"Selections of the halves agree with an index of {index:.2f}, those of the F "
        f"test with {baseline:.2f}; the bound on the false features is {bound:.1f}."
    )


def describe_conditions(seeds):
    """Say where and how the numbers were taken."""
    packages = versions(numpy=np, sklearn=sklearn, skproj=skproj)
    return (
        f"{len(seeds)} tables each. Measured on {processor()}, {platform.system()}, "
        f"one thread, with {packages}."
    )


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=[*PROBLEMS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--rst", type=Path, help="write the tables here")
    return parser.parse_args()


def main():
    """Measure, print, and write the file that was asked for."""
    options = parse_arguments()
    warnings.filterwarnings("ignore", "No feature is selected", UserWarning)
    texts = []
    for problem in options.problems:
        results = [run(problem, seed) for seed in options.seeds]
        rows, note = table(problem, results), describe_halves(results)
        print(f"{as_markdown(rows)}\n{note}\n", flush=True)
        texts += [as_rst(rows), textwrap.fill(note, width=88) + "\n"]
    conditions = textwrap.fill(
        describe_conditions(options.seeds), width=88, break_on_hyphens=False
    )
    print(conditions)
    if options.rst:
        options.rst.write_text("\n".join([*texts, conditions]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
