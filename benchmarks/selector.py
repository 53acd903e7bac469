"""Time the feature selector against upper limits and LogisticRegression(saga).

    python benchmarks/selector.py                   # everything, many minutes
    python benchmarks/selector.py --only dense path # some of the parts

Set OMP_NUM_THREADS=1 first. Times are seconds of `fit`: the minimum of a few runs for
dense data, one run for large data. "bar" is the upper limit.

dense   1000 samples, 1000 features (float64) and 100,000 features (float32)
sparse  CSR, 100,000 samples, 20,000 features, 5 % not zero, float32 and float64
search  1064 features, 64 of which are the pixels of digits: 200 of them, or 20
path    20 radii by one path, from small to large, from large to small, and alone
saga    the l1 ball, and the l1 penalty whose solution has the same norm. The penalty is
        searched for first. Then saga gets the loosest of a few tolerances for which its
        loss is at most 1e-4 above that of the ball, relatively, in a model whose norm
        is no larger by more than that.
survival  30 radii of the Cox model for 500 samples, half of them censored, and
        10,000 features; Coxnet of scikit-survival, if installed, for 30 penalties
        down to 5 % of the largest, where the radii end as well
"""

import argparse
import time
import warnings
from functools import partial

import numpy as np
from scipy import sparse
from scipy.special import softmax
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from skproj.datasets import add_probes, make_survival
from skproj.feature_selection import ProjectionFeatureSelector, eta_path
from skproj.linear_model._ball_constrained import BallConstrainedProblem
from skproj.linear_model._eta_path import make_etas

PROJECTIONS = ("l1", "l12", "l1inf", "bilevel_l11", "bilevel_l1inf")
N_CLASSES = (2, 10)
N_INFORMATIVE = 50
REPEATS = 3
SAGA_TOLS = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)
SAGA_FACTOR = 5.0


def make_labels(X, n_classes, rng):
    """Return classes that depend on the first columns, with noise."""
    informative = X[:, :N_INFORMATIVE]
    logits = informative @ rng.standard_normal((N_INFORMATIVE, n_classes))
    noise = rng.standard_normal(logits.shape)
    return (logits + 0.5 * logits.std() * noise).argmax(axis=1)


def make_sparse(n_samples, n_features, dtype, rng):
    """Return random CSR data, made in blocks to need less time and memory."""
    blocks = [
        sparse.random(1000, n_features, 0.05, format="csr", dtype=dtype, rng=rng)
        for _ in range(n_samples // 1000)
    ]
    return sparse.vstack(blocks, format="csr")


def seconds(function, repeats=REPEATS):
    """Return the least time of a few runs, and what the last one returned."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return min(times), result


def report(what, measured, bar=None, note=""):
    """Print one line."""
    verdict = (
        "" if bar is None else f"bar {bar:g} {'ok' if measured <= bar else 'MISSED'}"
    )
    print(f"{what:<52} {measured:9.3f} s  {verdict:<16} {note}", flush=True)


def describe(selector):
    """Say how sparse and how exact a fit is."""
    kept = np.count_nonzero(selector.get_support())
    gap = selector.duality_gap_
    return f"{kept} kept, {selector.n_iter_} gradients, gap {gap:.1e}"


def time_fits(name, X, y, bar, etas, repeats):
    """Time every projection."""
    for projection in PROJECTIONS:
        for eta in etas:
            selector = ProjectionFeatureSelector(projection=projection, eta=eta)
            measured, _ = seconds(lambda s=selector: s.fit(X, y), repeats)
            report(
                f"{name} {projection} eta={eta:g}", measured, bar, describe(selector)
            )


def run_dense():
    """Time dense data."""
    for n_features, dtype, bar in ((1000, np.float64, 0.15), (100_000, np.float32, 10)):
        for n_classes in N_CLASSES:
            rng = np.random.default_rng(0)
            X = rng.standard_normal((1000, n_features), dtype=dtype)
            y = make_labels(X, n_classes, rng)
            name = f"1000 x {n_features} {n_classes} classes"
            repeats = REPEATS if n_features == 1000 else 1
            time_fits(name, X, y, bar, (1.0, 5.0), repeats)


def run_sparse():
    """Time sparse data."""
    for dtype in (np.float32, np.float64):
        rng = np.random.default_rng(0)
        X = make_sparse(100_000, 20_000, dtype, rng)
        for n_classes in N_CLASSES:
            y = make_labels(X, n_classes, rng)
            name = f"CSR {X.dtype} {n_classes} classes"
            time_fits(name, X, y, 120, (5.0,), repeats=1)


def load_probes():
    """Return the digits with 1000 permuted columns."""
    X, y = load_digits(return_X_y=True)
    X, _, _ = add_probes(X, 1000, random_state=0)
    return X, y


def run_search():
    """Time the search for a number of features."""
    X, y = load_probes()
    for projection in PROJECTIONS:
        for k in (20, 200):
            selector = ProjectionFeatureSelector(
                projection=projection, n_features_to_select=k
            )
            measured, _ = seconds(lambda s=selector: s.fit(X, y), 1)
            report(f"digits {projection} k={k}", measured, 2, describe(selector))


def walk(problem, etas, projection, warm):
    """Fit for each radius; return the number of gradients."""
    fit, n_iter = None, 0
    for eta in etas:
        fit = problem.solve(eta, projection, start=fit if warm else None)
        n_iter += fit.n_iter
    return n_iter


def run_path():
    """Time the path in both directions, and separate fits."""
    X, y = load_probes()
    problem = BallConstrainedProblem(X, y, loss="log_loss")
    for projection in ("l1inf", "bilevel_l1inf"):
        etas = make_etas(20, problem, projection)
        for name, grid, warm in (
            ("small to large", etas, True),
            ("large to small", etas[::-1], True),
            ("alone", etas, False),
        ):
            measured, n_iter = seconds(
                lambda g=grid, w=warm, p=projection: walk(problem, g, p, w), 1
            )
            report(f"digits {projection} {name}", measured, note=f"{n_iter} gradients")


def fit_saga(X, y, C, tol, max_iter=100_000):
    """Fit the penalised model."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(
            l1_ratio=1.0, solver="saga", C=C, tol=tol, max_iter=max_iter, random_state=0
        ).fit(X, y)


def find_penalty(X, y, eta):
    """Return the C for which the l1 norm of the solution is `eta`."""
    low, high = 1e-4, 1e2
    while high / low > 1.0 + 1e-3:
        C = np.sqrt(low * high)
        if np.abs(fit_saga(X, y, C, 1e-4, max_iter=2000).coef_).sum() < eta:
            low = C
        else:
            high = C
    return low


def compare_with_saga(name, X, y, eta):
    """Report the time of the ball, and of the penalty at equal loss and norm."""
    selector = ProjectionFeatureSelector(projection="l1", eta=eta)
    ours, _ = seconds(lambda: selector.fit(X, y))
    logits = X @ selector.coef_.T + selector.intercept_
    if logits.shape[1] == 1:
        logits = np.hstack([np.zeros_like(logits), logits])
    target = log_loss(y, softmax(logits, axis=1))
    C = find_penalty(X, y, eta)
    for tol in SAGA_TOLS:
        theirs, model = seconds(partial(fit_saga, X, y, C, tol), 1)
        excess = log_loss(y, model.predict_proba(X)) / target - 1.0
        norm = np.abs(model.coef_).sum()
        if excess <= 1e-4 and norm <= eta * (1.0 + 1e-4):
            break
    note = f"saga {theirs:.3f} s at tol={tol:g}: {theirs / ours:.1f} times as long"
    note += f", loss {excess:+.1e}, norm {norm / eta - 1.0:+.1e}"
    report(name, ours, round(theirs / SAGA_FACTOR, 3), note)


def run_saga():
    """Compare with the penalised model."""
    for n_samples, n_features, n_classes, eta in (
        (1000, 1000, 2, 5.0),
        (1000, 1000, 10, 10.0),
        (2000, 5000, 2, 5.0),
    ):
        rng = np.random.default_rng(0)
        X = rng.standard_normal((n_samples, n_features))
        y = make_labels(X, n_classes, rng)
        X = StandardScaler().fit_transform(X)
        name = f"{n_samples} x {n_features} {n_classes} classes l1, saga / 5"
        compare_with_saga(name, X, y, eta)


def run_survival():
    """Fit a path of Cox models, and that of the penalised model if it is installed."""
    X, y = make_survival(500, 10_000, 20, return_X_y=True, random_state=0)
    n_etas = 30
    note = ""
    try:
        from sksurv.linear_model import CoxnetSurvivalAnalysis
    except ImportError:
        pass
    else:
        coxnet = CoxnetSurvivalAnalysis(
            n_alphas=n_etas, alpha_min_ratio=0.05, l1_ratio=1.0
        )
        Z = StandardScaler().fit_transform(X)
        theirs, _ = seconds(lambda: coxnet.fit(Z, y), repeats=1)
        note = f"Coxnet {theirs:.3f} s"
    for loss in ("cox", "cox_efron"):
        path = partial(eta_path, X, y, n_etas=n_etas, loss=loss)
        ours, _ = seconds(path, repeats=1)
        report(f"500 x 10000 {loss}, {n_etas} radii", ours, 5.0, note)


PARTS = {
    "dense": run_dense,
    "search": run_search,
    "path": run_path,
    "saga": run_saga,
    "sparse": run_sparse,
    "survival": run_survival,
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    for part in parser.parse_args().only:
        PARTS[part]()


if __name__ == "__main__":
    main()
