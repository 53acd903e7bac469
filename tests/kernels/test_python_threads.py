"""Calls from many threads of Python, with or without its global interpreter lock."""

import functools
import pkgutil
import subprocess
import sys
import sysconfig
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.sparse as sp

import skproj._kernels
from skproj import projection
from skproj.decomposition import GroupSparseNMF
from skproj.feature_selection import eta_path

N_THREADS_OF_PYTHON = 8
N_CALLS_OF_EACH = 2
rng = np.random.default_rng(0)


def shared(X):
    """An array that nobody may write to, as all threads read it."""
    X.flags.writeable = False
    return X


MATRICES = {
    "C": shared(rng.standard_normal((60, 130))),
    "Fortran": shared(np.asfortranarray(rng.standard_normal((130, 60)))),
    "small": shared(rng.standard_normal((10, 10))),
    "large": shared(rng.standard_normal((400, 300)).astype(np.float32)),
}
POSITIVE = shared(rng.random((40, 30)))
FUNCTIONS = {
    **{name: ball.projection for name, ball in projection.BALLS.items()},
    "simplex": projection.projection_simplex,
    "weighted_l1": functools.partial(projection.projection_weighted_l1_ball, weights=2),
    "multilevel": functools.partial(projection.projection_multilevel, norms=(1, 2)),
    "hoyer": projection.projection_hoyer,
    "prox_l1": projection.prox_l1,
    "prox_l12": projection.prox_l12,
    "prox_l1inf": projection.prox_l1inf,
    "prox_linf1": projection.prox_linf1,
}
NORMS = [name for name in projection.__all__ if name.startswith("norm_")]


def in_threads(call):
    """What all threads get that start at the same time, as one list."""
    barrier = threading.Barrier(N_THREADS_OF_PYTHON)

    def calls(_):
        barrier.wait(timeout=60)
        return [call() for _ in range(N_CALLS_OF_EACH)]

    with ThreadPoolExecutor(N_THREADS_OF_PYTHON) as pool:
        results = pool.map(calls, range(N_THREADS_OF_PYTHON))
        return [result for each in results for result in each]


def assert_same_in_threads(call):
    expected = call()
    results = in_threads(call)
    assert len(results) == N_THREADS_OF_PYTHON * N_CALLS_OF_EACH
    for result in results:
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_projections(function, matrix, n_threads):
    X = MATRICES[matrix]

    def call():
        out = np.empty_like(X)
        result = FUNCTIONS[function](X, 0.7, out=out, n_threads=n_threads)
        assert result is out
        return result

    assert_same_in_threads(call)


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("name", NORMS)
def test_norms(name, n_threads):
    norm, options = getattr(projection, name), {"n_threads": n_threads}
    if name == "norm_multilevel":
        options["norms"] = (1, np.inf)
    for X in MATRICES.values():
        assert_same_in_threads(functools.partial(norm, X, **options))


@pytest.mark.parametrize("ball", projection.BALLS)
def test_sparse_matrices(ball):
    X = sp.random(50, 70, 0.2, format="csc", random_state=0)
    project = projection.BALLS[ball].projection
    assert_same_in_threads(lambda: project(X, 1.5).toarray())


@pytest.mark.parametrize("ball", ["l1inf", "bilevel_l11", "l12"])
def test_radii_for_a_sparsity(ball):
    X = MATRICES["C"]
    assert_same_in_threads(
        lambda: projection.radius_for_sparsity(X, n_groups=7, ball=ball)
    )


@pytest.mark.parametrize("loss", ["squared_error", "huber", "log_loss", "cox"])
@pytest.mark.parametrize("ball", ["l1", "l1inf"])
def test_linear_paths(loss, ball):
    rng = np.random.default_rng(1)
    X = shared(rng.standard_normal((40, 25)))
    target = X[:, 0] - X[:, 1] + 0.3 * rng.standard_normal(40)
    if loss == "log_loss":
        target = np.where(target > 0, "yes", "no")
    elif loss == "cox":
        target = np.rec.fromarrays(
            [rng.random(40) < 0.7, np.exp(target)], names="event,time"
        )

    def path():
        return eta_path(X, target, n_etas=4, projection=ball, loss=loss).coefs

    assert_same_in_threads(path)


@pytest.mark.parametrize("sparsity", [None, 0.6])
def test_factorizations(sparsity):
    def factors():
        model = GroupSparseNMF(
            3, sparsity_W=sparsity, max_iter=20, tol=0.0, random_state=0
        )
        with np.errstate(all="ignore"):
            return model.fit_transform(POSITIVE)

    assert_same_in_threads(factors)


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"),
    reason="this Python always has its global interpreter lock",
)
def test_kernels_do_not_switch_the_lock_on():
    names = [module.name for module in pkgutil.iter_modules(skproj._kernels.__path__)]
    assert len(names) > 10
    imports = [f"import skproj._kernels.{name}" for name in names]
    code = "\n".join(["import sys", *imports, "assert not sys._is_gil_enabled()"])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
