"""Compare and time sparse factorisations on data with known parts.

    python benchmarks/nmf.py                  # everything, some minutes
    python benchmarks/nmf.py --only parts     # one of the three tables

Set OMP_NUM_THREADS=1 first.

parts   X = W H plus noise, 100 x 100 of rank 10: W is uniform; H is normal, shifted so
        that 47 % of it are negative, and these are set to zero. The noise is normal;
        its norm is a share of the norm of X. Every constrained method gets the average
        Hoyer sparsity of the true H; the penalty of scikit-learn is found by bisection,
        with a new fit for each value. Means over ten draws of the relative error in
        percent, the cosine between matched true and estimated parts, the zeros in
        percent, the sparsity of the parts, and the number of fits. The error uses least
        squares coefficients for the parts, so shrinkage by a penalty is not counted.
images  Synthetic data of _nmf_data.py: images of localised parts, with the size of
        the CBCL faces, 2429 x 361, and rank 49; spectra of 2500 pixels, mixtures of
        five materials. 500 iterations from the same start; relative error in percent,
        Hoyer sparsity of what is constrained, zeros in it, cosine between matched true
        and estimated rows of H, CPU seconds.
speed   CPU milliseconds of an iteration on dense data, from 100 of them, the minimum of
        five interleaved runs. One iteration of scikit-learn updates each entry of a
        factor once, one of skproj up to ten times.
"""

import argparse
import time
import warnings

import numpy as np
import sklearn
from _nmf_data import make_hyperspectral, make_part_images
from _tables import as_rst, processor, versions
from scipy.optimize import linear_sum_assignment, nnls
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning

import skproj
from skproj.decomposition import GroupSparseNMF
from skproj.projection import hoyer_sparsity

N_DRAWS = 10
NOISES = (0.0, 0.2)
RANK = 10
# Of normal numbers with this mean, 47 % are negative.
SHIFT = 0.0753

SHAPES = (
    (1000, 2000, 20),
    (1000, 2000, 50),
    (2429, 361, 49),
    (1797, 64, 10),
    (200, 100, 10),
    (50, 40, 5),
)
# Sparsities of the parts at which the authors give errors for the CBCL faces.
FACE_LEVELS = (0.669, 0.85)
N_ITERATIONS = 100
REPEATS = 5


def make_parts(noise, rng):
    """Return data and its true parts."""
    W = rng.random((100, RANK))
    H = rng.normal(SHIFT, 1.0, size=(RANK, 100)).clip(0.0)
    X = W @ H
    error = rng.normal(size=X.shape)
    X += noise * np.linalg.norm(X) / np.linalg.norm(error) * error
    return X.clip(0.0), H


def similarity(found, true):
    """Mean cosine of the parts, each matched with a true one."""
    norms = np.linalg.norm(found, axis=1, keepdims=True)
    found = np.divide(found, norms, where=norms > 0.0, out=np.zeros_like(found))
    cosines = found @ (true / np.linalg.norm(true, axis=1, keepdims=True)).T
    return cosines[linear_sum_assignment(-cosines)].mean()


def bisect_penalty(X, level, seed, *, both):
    """Return the model of scikit-learn whose parts have a sparsity, if there is one."""
    low, high = 1e-6, 1.0
    for n_fits in range(1, 21):
        penalty = np.sqrt(low * high)
        model = NMF(
            RANK,
            init="random",
            alpha_W=penalty if both else 0.0,
            alpha_H=penalty,
            l1_ratio=1.0,
            max_iter=2000,
            random_state=seed,
        ).fit(X)
        reached = hoyer_sparsity(model.components_, axis=1).mean()
        if abs(reached - level) < 1e-3:
            return model, n_fits
        low, high = (low, penalty) if reached > level else (penalty, high)
    return model, n_fits


def fit_all(X, level, seed):
    """Yield name, model and number of fits of every method."""
    shared = {"max_iter": 2000, "random_state": seed}
    ours = {"tol": 1e-6} | shared
    for init in ("nndsvd", "random"):
        name = f"GroupSparseNMF, init={init}"
        model = GroupSparseNMF(RANK, init=init, **ours)
        yield f"{name}, no constraint", model.fit(X), 1
        model.set_params(sparsity_H=level)
        yield f"{name}, mode=group", model.fit(X), 1
        model.set_params(mode="column")
        yield f"{name}, mode=column", model.fit(X), 1
    model = NMF(RANK, init="random", tol=1e-5, **shared)
    yield "NMF of scikit-learn", model.fit(X), 1
    both = bisect_penalty(X, level, seed, both=True)
    yield "the same, l1 penalty on both factors", *both
    yield "the same, l1 penalty on H", *bisect_penalty(X, level, seed, both=False)


def describe(X, true, parts, n_fits):
    """Return the numbers of a row of the table."""
    W = np.array([nnls(parts.T, x)[0] for x in X])
    return (
        100.0 * np.linalg.norm(X - W @ parts) / np.linalg.norm(X),
        similarity(parts, true),
        100.0 * np.mean(parts == 0.0),
        hoyer_sparsity(parts, axis=1).mean(),
        n_fits,
    )


def compare_parts():
    """Print errors, similarities, zeros and sparsities."""
    for noise in NOISES:
        results = {}
        for seed in range(N_DRAWS):
            X, H = make_parts(noise, np.random.default_rng(seed))
            results.setdefault("the truth", []).append(describe(X, H, H, 0))
            level = hoyer_sparsity(H, axis=1).mean()
            for name, model, n_fits in fit_all(X, level, seed):
                numbers = describe(X, H, model.components_, n_fits)
                results.setdefault(name, []).append(numbers)
        rows = [("method", "error (%)", "cosine", "zeros (%)", "sparsity", "fits")]
        for name, numbers in results.items():
            error, cosine, zeros, sparsity, n_fits = np.mean(numbers, axis=0)
            cells = (f"{error:.4f}", f"{cosine:.4f}", f"{zeros:.1f}", f"{sparsity:.4f}")
            rows.append((name, *cells, f"{n_fits:.0f}"))
        print(as_rst(rows, f"Noise {noise:g}"), flush=True)


def image_rows(X, true, models, constrained):
    """Yield the row of each model; `constrained` is the factor of the sparsity."""
    for name, model in models.items():
        start = time.process_time()
        W = model.fit_transform(X)
        seconds = time.process_time() - start
        vectors = W if constrained == "W" else model.components_.T
        error = np.linalg.norm(X - W @ model.components_) / np.linalg.norm(X)
        yield (
            name,
            f"{100.0 * error:.2f}",
            f"{hoyer_sparsity(vectors).mean():.3f}",
            f"{100.0 * np.mean(vectors == 0.0):.0f}",
            f"{similarity(model.components_, true):.3f}",
            f"{seconds:.1f}",
        )


def compare_images():
    """Print errors and sparsities of images and of spectra."""
    head = ("method", "error (%)", "sparsity", "zeros (%)", "cosine", "seconds")
    shared = {"init": "nndsvda", "max_iter": 500, "tol": 0.0, "random_state": 0}
    X, parts = make_part_images(random_state=0)
    level = hoyer_sparsity(parts, axis=1).mean()
    rank = len(parts)
    models = {
        "NMF of scikit-learn": NMF(rank, **shared),
        "GroupSparseNMF": GroupSparseNMF(rank, **shared),
    }
    for value in (*FACE_LEVELS, level):
        name = f"GroupSparseNMF, sparsity_H={value:.3f}"
        models[name] = GroupSparseNMF(rank, sparsity_H=value, **shared)
    rows = [head, *image_rows(X, parts, models, "H")]
    title = f"Images of parts, 2429 x 361, rank {rank}, true sparsity {level:.3f}"
    print(as_rst(rows, title), flush=True)

    X, endmembers, abundances = make_hyperspectral(random_state=0)
    level = hoyer_sparsity(abundances).mean()
    rank = len(endmembers)
    models = {
        "NMF of scikit-learn": NMF(rank, **shared),
        "GroupSparseNMF": GroupSparseNMF(rank, **shared),
    }
    for factor in (0.8, 1.0, 1.2):
        name = f"GroupSparseNMF, sparsity_W={factor * level:.3f}"
        models[name] = GroupSparseNMF(rank, sparsity_W=factor * level, **shared)
    rows = [head, *image_rows(X, endmembers, models, "W")]
    title = f"Spectra, 2500 x 200, rank {rank}, true sparsity {level:.3f}"
    print(as_rst(rows, title), flush=True)


def compare_speed():
    """Print times of the same number of iterations."""
    shared = {"init": "random", "max_iter": N_ITERATIONS, "tol": 0.0, "random_state": 0}
    models = {
        "scikit-learn": NMF(**shared),
        "skproj": GroupSparseNMF(**shared),
        "sparsity_H=0.6": GroupSparseNMF(sparsity_H=0.6, **shared),
        "both 0.6": GroupSparseNMF(sparsity_H=0.6, sparsity_W=0.6, **shared),
    }
    rows = [("data", *models)]
    for n_samples, n_features, rank in SHAPES:
        rng = np.random.default_rng(0)
        X = rng.random((n_samples, rank)) @ rng.random((rank, n_features))
        X += 0.1 * rng.random(X.shape)
        times = {name: [] for name in models}
        for _ in range(REPEATS):
            for name, model in models.items():
                start = time.process_time()
                model.set_params(n_components=rank).fit(X)
                times[name].append(time.process_time() - start)
        least = {name: min(values) for name, values in times.items()}
        base = least["scikit-learn"]
        cells = [
            f"{1000.0 * value / N_ITERATIONS:.2f} ({value / base:.1f})"
            for value in least.values()
        ]
        rows.append((f"{n_samples} x {n_features}, rank {rank}", *cells))
    title = "CPU milliseconds of an iteration (in multiples of scikit-learn)"
    print(as_rst(rows, title))


PARTS = {"parts": compare_parts, "images": compare_images, "speed": compare_speed}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    names = parser.parse_args().only
    print(f"{processor()}, {versions(numpy=np, sklearn=sklearn, skproj=skproj)}\n")
    with warnings.catch_warnings():
        # A fixed number of iterations, and penalties far from the one looked for.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for name in names:
            PARTS[name]()


if __name__ == "__main__":
    main()
