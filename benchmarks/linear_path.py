"""Time the path of the feature selector against adelie, skglm and celer.

    python benchmarks/linear_path.py --peers PYTHON --data FOLDER
    python benchmarks/linear_path.py --peers PYTHON --check
    python benchmarks/linear_path.py --only fit calls

The packages need other versions of NumPy: PYTHON is an interpreter that has them, and
without one only skproj is measured. A cell has the minimum of several runs in seconds
of CPU, on one thread. Parts:

search  Five stratified folds and the fit of all samples, standardised in each of them,
        by `ProjectionFeatureSelectorCV` with 30 radii, to a gap of 1e-6 and to that of
        the default, and by the others with their own grids: 100 penalties of adelie,
        which ends where 90 % of the deviance are explained, 30 of skglm and celer, for
        each class against the rest if there are several. The classifier of celer has no
        intercept. "kept" is the number of features that skproj selects.
        "same" is the share of features that skproj selects as well at the norm of the
        model that adelie has chosen, of all that either selects; "excess" is how far
        the loss of skproj is above that of adelie there, relatively.
        The tables are khan, alon, tcga_breast and mdrr, files of X and y in FOLDER,
        all products of eight features, 462 x 255, and normal features, 750 x 1000.
fit     One model of 62 samples with 2000 features, at a radius.
cox     The path of Cox models, 500 samples with 10,000 features.
calls   Calls of functions, in Python and from it, in a fit of each selector.

``--check`` compares the models of a penalty with those of their norm instead, for each
loss: the excess of the loss, which must not be above 1e-6, the largest difference of a
coefficient, and the gap. An excess far below zero is what the other has left.
"""

import argparse
import cProfile
import os
import pstats
import subprocess
import tempfile
import time
import warnings
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from _results import describe_system
from _tables import as_rst, as_text
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import PolynomialFeatures
from threadpoolctl import threadpool_limits

from skproj.datasets import make_survival
from skproj.feature_selection import (
    ProjectionFeatureSelector,
    ProjectionFeatureSelectorCV,
    eta_path,
)
from skproj.linear_model._targets import make_problem
from skproj.utils._survival import read_target

PEERS = ("adelie", "skglm", "celer")
OWN_TABLES = ("products", "normal")
TABLES = ("khan", "alon", "tcga_breast", "mdrr", *OWN_TABLES)
LOSSES = {
    "gaussian": "squared_error",
    "multigaussian": "squared_error",
    "huber": "huber",
    "poisson": "poisson",
    "cox": "cox",
}
SCRIPT = Path(__file__).with_name("_linear_path_peers.py")
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
N_FOLDS = 5
CHECK_PENALTIES = (0.5, 0.1, 0.05)  # of the largest
CHECK_TOL = 1e-10
MAX_EXCESS = 1e-6


def run_peers(python, kind, X, y, folds=None, peers=PEERS, repeats=3, **job):
    """Return what the packages find for a job, as a dict."""
    if python is None:
        return {}
    folds = np.full(len(X), -1) if folds is None else folds
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, name) for name in ("job.npz", "result.npz")]
        job |= {"X": X, "y": y, "kind": kind, "folds": folds, "peers": peers}
        np.savez(paths[0], repeats=repeats + 1, **job)  # the first run compiles
        environment = os.environ | ONE_THREAD
        subprocess.run([python, "-I", SCRIPT, *paths], check=True, env=environment)
        with np.load(paths[1]) as result:
            return dict(result)


def cpu_seconds(function, repeats):
    """Return the least CPU time of some runs, and the last result."""
    times = []
    for _ in range(repeats):
        began = time.process_time()
        result = function()
        times.append(time.process_time() - began)
    return min(times), result


def products(n_samples=462, n_features=8):
    """Return the products of all subsets of a few features, and two classes."""
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((n_samples, n_features))
    noise = rng.standard_normal(n_samples)
    y = (Z[:, 0] + Z[:, 1] * Z[:, 2] + noise > 0.0).astype(int)
    subsets = PolynomialFeatures(n_features, interaction_only=True, include_bias=False)
    return subsets.fit_transform(Z + 3.0), y


def load_table(name, folder):
    """Return the features and the numbers of the classes."""
    if name == "products":
        return products()
    if name == "normal":
        sizes = {"n_samples": 750, "n_features": 1000}
        return make_classification(
            **sizes, n_informative=20, n_redundant=100, random_state=0
        )
    with np.load(folder / f"{name}.npz") as arrays:
        y = np.unique(arrays["y"], return_inverse=True)[1]
        return arrays["X"].astype(np.float64), y


def solve_at(problem, coef, ball, tol):
    """Return the fit at the norm of coefficients, and its excess over their loss."""
    eta = problem.constraint(ball).scores(coef).sum()
    fit = problem.solve(eta, ball, tol=tol, max_iter=100_000)
    _, theirs, _ = problem.loss.best_intercept(problem.design.dot(coef), fit.intercept)
    return fit, (fit.objective - theirs) / max(theirs, 1e-300)


def run_search(options):
    """Time cross-validated searches."""
    titles = ["table", "skproj 1e-6", "skproj", *PEERS, "kept", "same", "excess"]
    rows = [titles]
    for name in options.tables:
        X, y = load_table(name, options.data)
        splits = StratifiedKFold(N_FOLDS, shuffle=True, random_state=0)
        splits, folds = list(splits.split(X, y)), np.zeros(len(y), dtype=int)
        for k, (_, test) in enumerate(splits):
            folds[test] = k
        cells = []
        for tol in (1e-6, 1e-4):
            selector = ProjectionFeatureSelectorCV(cv=splits, tol=tol, max_iter=100_000)
            seconds, _ = cpu_seconds(partial(selector.fit, X, y), options.repeats)
            cells.append(f"{seconds:.3f}")
        kept = np.count_nonzero(selector.get_support())
        several = y.max() > 1
        targets = np.eye(y.max() + 1)[y] if several else y.astype(float)
        kind = "multinomial" if several else "binomial"
        job = {"peers": options.packages, "repeats": options.repeats}
        found = run_peers(options.peers, kind, X, targets, folds, **job)
        cells += [
            f"{found[f'{peer} cpu']:.3f}" if f"{peer} cpu" in found else ""
            for peer in PEERS
        ]
        cells += [str(kept), "", ""]
        if "adelie best" in found:
            coef = found["adelie coefs"][found["adelie best"]]
            problem = make_problem(X, y, loss="log_loss")
            fit, excess = solve_at(problem, coef, "l12", 1e-6)
            ours, theirs = fit.coef.any(axis=1), coef.any(axis=1)
            same = np.sum(ours & theirs) / max(np.sum(ours | theirs), 1)
            cells[-2:] = f"{same:.2f}", f"{excess:+.0e}"
        rows.append([f"{name} ({X.shape[0]} x {X.shape[1]})", *cells])
    return rows


def narrow_table():
    """Return 62 samples of two classes."""
    return make_classification(62, 2000, n_informative=20, random_state=0)


def run_fit(options):
    """Time one fit at a radius."""
    rows = [["fit", "milliseconds", "features"]]
    X, y = narrow_table()
    for order, tol in (("C", 1e-4), ("F", 1e-4), ("C", 1e-6)):
        data = np.asarray(X, order=order)
        selector = ProjectionFeatureSelector(projection="l1", eta=1.0, tol=tol)
        seconds, _ = cpu_seconds(partial(selector.fit, data, y), 10 * options.repeats)
        kept = np.count_nonzero(selector.get_support())
        rows.append([f"{order} order, tol={tol:g}", f"{1e3 * seconds:.2f}", str(kept)])
    return rows


def run_cox(options):
    """Time a path of Cox models; skglm has the same number of penalties."""
    X, y = make_survival(500, 10_000, 20, return_X_y=True, random_state=0)
    rows = [["path of Cox models", "seconds", "models", "features of the last"]]
    for tol in (1e-6, 1e-4):
        seconds, path = cpu_seconds(
            partial(eta_path, X, y, projection="l1", n_etas=30, tol=tol),
            options.repeats,
        )
        kept = path.n_selected[-1]
        rows.append([f"skproj, tol={tol:g}", f"{seconds:.2f}", "30", str(kept)])
    # Where the radii end as well.
    job = {"penalties": np.geomspace(1.0, 0.05, 30), "peers": options.packages}
    found = run_peers(
        options.peers, "cox", X, read_target(y), repeats=options.repeats, **job
    )
    for peer in options.packages:
        if f"{peer} cpu" not in found:
            continue
        kept = np.count_nonzero(found[f"{peer} coefs"][-1])
        cells = [f"{found[f'{peer} cpu']:.2f}", str(found[f"{peer} n_models"])]
        rows.append([peer, *cells, str(kept)])
    return rows


def run_calls(options):
    """Count calls under a profiler."""
    X, y = narrow_table()
    rows = [["calls", "thousands"]]
    for name, selector in (
        ("ProjectionFeatureSelector(eta=1)", ProjectionFeatureSelector(eta=1.0)),
        ("ProjectionFeatureSelectorCV()", ProjectionFeatureSelectorCV(random_state=0)),
    ):
        profile = cProfile.Profile()
        profile.runcall(selector.fit, X, y)
        n_calls = pstats.Stats(profile).total_calls
        rows.append([name, f"{1e-3 * n_calls:.1f}"])
    return rows


def check_data(kind, n_samples=120, n_features=200):
    """Return features and targets that depend on three of them."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_samples, n_features))
    logits = X[:, :3] + 0.5 * rng.standard_normal((n_samples, 3))
    if kind == "binomial":
        return X, (logits[:, 0] > 0.0).astype(float)
    if kind == "multinomial":
        return X, np.eye(3)[logits.argmax(axis=1)]
    if kind == "poisson":
        return X, rng.poisson(np.exp(0.5 * logits[:, 0])).astype(float)
    if kind == "cox":
        times = rng.exponential(np.exp(-logits[:, 0]))
        return X, read_target(
            list(zip(rng.random(n_samples) < 0.7, times, strict=True))
        )
    y = logits[:, :2] - logits[:, :2].mean(axis=0)
    y = y / y.std(axis=0)
    return X, y if kind == "multigaussian" else y[:, 0]


def run_check(options):
    """Compare with the models of penalties, for each loss."""
    titles = ["loss", "peer", "penalty", "features", "excess", "coefficient", "gap"]
    rows = [titles]
    for kind in options.kinds:
        X, y = check_data(kind)
        classes = y.argmax(axis=1) if kind == "multinomial" else y
        loss = LOSSES.get(kind, "log_loss")
        problem = make_problem(X, classes, loss=loss)
        ball = "l12" if kind in ("multinomial", "multigaussian") else "l1"
        # Not celer, whose classifier has no intercept.
        peers = {"adelie", "skglm"} if y.ndim == 1 else {"adelie"}
        peers = sorted(peers.intersection(options.packages))
        job = {"repeats": 0, "penalties": CHECK_PENALTIES, "tol": CHECK_TOL}
        found = run_peers(options.peers, kind, X, y, peers=peers, **job)
        for peer, (k, share) in product(peers, enumerate(CHECK_PENALTIES)):
            if f"{peer} coefs" in found:
                coef = found[f"{peer} coefs"][k]
                fit, excess = solve_at(problem, coef, ball, CHECK_TOL)
                kept = np.count_nonzero(fit.coef.any(axis=1))
                distance = np.abs(fit.coef - coef).max()
                cells = f"{excess:+.1e}", f"{distance:.1e}", f"{fit.gap:.1e}"
                rows.append([kind, peer, f"{share:g}", str(kept), *cells])
                assert excess <= MAX_EXCESS, rows[-1]
    return rows


PARTS = {"search": run_search, "fit": run_fit, "cox": run_cox, "calls": run_calls}
KINDS = ("binomial", "multinomial", *LOSSES)


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", metavar="PYTHON", help="interpreter with the peers")
    parser.add_argument("--packages", nargs="+", choices=PEERS, default=PEERS)
    parser.add_argument("--data", metavar="FOLDER", type=Path)
    parser.add_argument("--tables", nargs="+", choices=TABLES)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--check", action="store_true", help="compare the models")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rst", action="store_true", help="print reStructuredText")
    options = parser.parse_args()
    if options.tables is None:
        options.tables = OWN_TABLES if options.data is None else TABLES
    if options.data is None and not set(options.tables) <= set(OWN_TABLES):
        parser.error(
            f"--tables other than {', '.join(OWN_TABLES)} need --data, a folder."
        )
    if options.check and options.peers is None:
        parser.error("--check needs --peers, an interpreter with the packages.")
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(f"CPU seconds, least of {options.repeats} runs, {describe_system()}.\n")
    with threadpool_limits(1):
        parts = [run_check] if options.check else [PARTS[p] for p in options.only]
        for part in parts:
            print((as_rst if options.rst else as_text)(part(options)), flush=True)


if __name__ == "__main__":
    main()
