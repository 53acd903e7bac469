"""Paths of adelie, skglm and celer, run by the Python that has them.

    PYTHON benchmarks/_linear_path_peers.py JOB.npz RESULT.npz

``linear_path.py`` writes the job and reads the result. A job has X, the targets y, the
`kind` of the model, the rows of the folds, and how often to run. Nothing of skproj is
imported, because the packages need other versions of NumPy.
"""

import sys
import time
import warnings
from importlib.metadata import version

import numpy as np

N_PENALTIES = 30
SMALLEST = 0.01  # of the largest penalty
TOL = 1e-7  # those of skglm and celer are the gradient, or a duality gap
HUBER_EPSILON = 1.35


def standardize(X, train):
    """Return all rows, standardised by those of `train`, in Fortran order."""
    mean, deviation = X[train].mean(axis=0), X[train].std(axis=0)
    deviation[deviation == 0.0] = 1.0
    return np.asfortranarray((X - mean) / deviation)


def adelie_path(Z, y, kind, penalties=None, tol=TOL):
    """Path of the penalised model, features with several outputs as groups."""
    import adelie as ad

    if kind == "cox":
        start = np.full(len(y), y["time"].min() - 1.0)
        model = ad.glm.cox(
            start, y["time"], y["event"].astype(float), tie_method="breslow"
        )
    else:
        targets = np.asfortranarray(y, dtype=np.float64)
        model = getattr(ad.glm, kind)(targets, dtype=np.float64)
    state = ad.grpnet(
        Z,
        model,
        penalty=np.ones(Z.shape[1]),
        lmda_path=penalties,
        early_exit=penalties is None,
        tol=tol,
        irls_tol=tol,
        max_iters=1_000_000,
        progress_bar=False,
        n_threads=1,
    )
    n_outputs = 1 if y.ndim == 1 else y.shape[1]
    coefs = state.betas.toarray().reshape(len(state.lmdas), -1, n_outputs)
    return state.lmdas, coefs, np.reshape(state.intercepts, (len(coefs), n_outputs))


def skglm_path(Z, y, kind, penalties=None, tol=TOL):
    """Path of the l1 penalty, for one output, by the solver for the loss."""
    from skglm import datafits, solvers
    from skglm.penalties import L1
    from skglm.utils.jit_compilation import compiled_clone

    one_step = {"gaussian": datafits.Quadratic, "huber": datafits.Huber}
    if kind in one_step:
        arguments = (HUBER_EPSILON,) if kind == "huber" else ()
        datafit, solver = one_step[kind](*arguments), solvers.AndersonCD
    else:
        classes = {"binomial": "Logistic", "poisson": "Poisson", "cox": "Cox"}
        datafit, solver = getattr(datafits, classes[kind])(), solvers.ProxNewton
    intercept = kind != "cox"
    options = {"max_iter": 200} if solver is solvers.ProxNewton else {}
    solver = solver(tol=tol, fit_intercept=intercept, warm_start=True, **options)
    if kind == "binomial":
        y = 2.0 * y - 1.0
    if kind == "cox":
        y = np.column_stack([y["time"], y["event"]]).astype(np.float64, order="F")
    datafit = compiled_clone(datafit)
    datafit.initialize(Z, y)
    weights, products = np.zeros(Z.shape[1] + intercept), np.zeros(len(Z))
    if penalties is None:
        first = np.zeros_like(products)
        if kind == "binomial":
            first += np.log((y > 0).mean() / (y < 0).mean())
        if kind in ("gaussian", "huber"):
            gradient = Z.T @ (y - y.mean()) / len(y)
        else:
            gradient = Z.T @ datafit.raw_grad(y, first)
        penalties = np.geomspace(1.0, SMALLEST, N_PENALTIES) * np.abs(gradient).max()
    coefs = []
    for penalty in penalties:
        weights, _, _ = solver._solve(
            Z, y, datafit, compiled_clone(L1(penalty)), weights.copy(), products.copy()
        )
        products = Z @ weights[: Z.shape[1]] + weights[Z.shape[1] :].sum()
        coefs.append(weights)
    coefs = np.array(coefs)
    found = coefs[:, : Z.shape[1], np.newaxis]
    return penalties, found, coefs[:, Z.shape[1] :].sum(axis=1, keepdims=True)


def celer_path(Z, y, kind, penalties=None, tol=TOL):
    """Path of the l1 penalty; a logistic regression has no intercept here."""
    from celer import celer_path

    name, targets = ("logreg", 2.0 * y - 1.0) if kind == "binomial" else ("lasso", y)
    center = 0.0 if kind == "binomial" else y.mean()
    targets = targets - center
    largest = np.abs(Z.T @ targets).max() / (2.0 if kind == "binomial" else len(y))
    if penalties is None:
        penalties = np.geomspace(1.0, SMALLEST, N_PENALTIES) * largest
    _, coefs, _ = celer_path(Z, targets, name, alphas=penalties, tol=tol)
    coefs = coefs.T[:, :, np.newaxis]
    return penalties, coefs, np.full((len(coefs), 1), center)


PATHS = {"adelie": adelie_path, "skglm": skglm_path, "celer": celer_path}
KINDS = {
    "adelie": (
        "binomial",
        "multinomial",
        "gaussian",
        "multigaussian",
        "poisson",
        "cox",
    ),
    "skglm": ("binomial", "gaussian", "huber", "poisson", "cox"),
    "celer": ("binomial", "gaussian"),
}


def make_path(name, kind):
    """Return the path of a package, of each class against the rest if it must be."""
    if kind in KINDS[name]:
        return PATHS[name]
    if kind != "multinomial":
        return None

    def one_against_rest(Z, y, kind, penalties=None):
        paths = [
            PATHS[name](
                Z, y[:, k], "binomial", None if penalties is None else penalties[:, k]
            )
            for k in range(y.shape[1])
        ]
        penalties, coefs, intercepts = zip(*paths, strict=True)
        coefs, intercepts = np.concatenate(coefs, 2), np.concatenate(intercepts, 1)
        return np.column_stack(penalties), coefs, intercepts

    return one_against_rest


def log_losses(logits, y):
    """Mean log loss of each model of a path, for logits (models, samples, outputs)."""
    if y.ndim == 1:
        return np.mean(np.logaddexp(0.0, logits[..., 0]) - y * logits[..., 0], axis=1)
    largest = logits.max(axis=2, keepdims=True)
    totals = np.log(np.exp(logits - largest).sum(axis=2)) + largest[..., 0]
    return np.mean(totals - np.sum(y * logits, axis=2), axis=1)


def search(path, X, y, kind, folds):
    """Fit all samples, then the folds; return penalties, models and the best one."""
    everything = np.arange(len(X))
    penalties, coefs, _ = path(standardize(X, everything), y, kind)
    losses = np.zeros(len(penalties))
    for fold in np.unique(folds[folds >= 0]):
        train, test = folds != fold, folds == fold
        Z = standardize(X, train)
        _, models, shifts = path(np.asfortranarray(Z[train]), y[train], kind, penalties)
        logits = np.einsum("ij,ljk->lik", Z[test], models) + shifts[:, np.newaxis]
        losses += log_losses(logits, y[test])
    return penalties, coefs, losses.argmin()


def main():
    """Run the job with every package that has its kind of model."""
    warnings.simplefilter("ignore")
    job, result = np.load(sys.argv[1]), {}
    X, y, kind, folds = job["X"], job["y"], str(job["kind"]), job["folds"]
    penalties = job["penalties"] if "penalties" in job else None
    tol = float(job["tol"]) if "tol" in job else TOL
    for name in job["peers"]:
        path = make_path(name, kind)
        if path is None:
            continue
        cpu = []
        for _ in range(int(job["repeats"])):
            began = time.process_time()
            if (folds >= 0).any():
                found, coefs, best = search(path, X, y, kind, folds)
            else:
                Z = standardize(X, np.arange(len(X)))
                shares = penalties
                if shares is not None:  # of the largest
                    shares = shares * path(Z, y, kind, None, 1e-3)[0][0]
                    began = time.process_time()
                found, coefs, _ = path(Z, y, kind, shares, tol)
                best = len(found) - 1
            cpu.append(time.process_time() - began)
        result |= {
            f"{name} cpu": min(cpu[1:] or cpu),  # the first may have compiled
            f"{name} n_models": len(found),
            f"{name} coefs": coefs,
            f"{name} best": best,
            f"{name} version": version(name),
        }
    np.savez(sys.argv[2], **result)


if __name__ == "__main__":
    main()
