"""Competitors in the timings: plain NumPy, plain PyTorch, packages from PyPI.

The NumPy and PyTorch versions are straightforward scripts: sort, sum, compare. The
packages are optional (``pip install POT pyproximal sporco``); each is called through
its function for the same projection. Every function is ``f(X, radius, axis)`` and
returns a new array. ``projections.py`` runs them.
"""

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch


def numpy_threshold(values, radius, axis):
    """Tau for which the parts of `values` above it add up to `radius`."""
    falling = np.flip(np.sort(values, axis=axis), axis)
    shape = [1] * values.ndim
    shape[axis] = -1
    counts = np.arange(1, values.shape[axis] + 1).reshape(shape)
    # In float32 the sum of ten million entries would be wrong.
    sums = np.cumsum(falling, axis=axis, dtype=np.float64)
    taus = (sums - radius) / counts
    last = np.count_nonzero(falling > taus, axis=axis, keepdims=True) - 1
    tau = np.take_along_axis(taus, np.maximum(last, 0), axis)
    return tau.astype(values.dtype)


def numpy_budgets(norms, radius):
    """Project non-negative norms onto the l1 ball."""
    tau = max(numpy_threshold(norms.ravel(), radius, 0)[0], 0)
    return np.maximum(norms - tau, 0)


def numpy_simplex(X, radius, axis):
    """Project a vector onto the simplex."""
    return np.maximum(X - numpy_threshold(X, radius, 0), 0)


def numpy_l1(X, radius, axis):
    """Project all entries onto the l1 ball."""
    return np.sign(X) * numpy_budgets(np.abs(X), radius)


@lru_cache(maxsize=1)
def entry_weights(shape):
    """Weights for a weighted l1 ball, the same ones for each array of a shape."""
    return np.random.default_rng(1).random(shape) + 0.01


def numpy_weighted_l1(X, radius, axis):
    """Project all entries onto a weighted l1 ball."""
    magnitudes, weights = np.abs(X), entry_weights(X.shape)
    falling = np.argsort(magnitudes / weights, axis=None)[::-1]
    a, w = magnitudes.ravel()[falling], weights.ravel()[falling]
    tau = max(((np.cumsum(w * a) - radius) / np.cumsum(w * w)).max(), 0)
    return np.sign(X) * np.maximum(magnitudes - tau * weights, 0).astype(X.dtype)


def numpy_l12(X, radius, axis):
    """Project onto the l1,2 ball."""
    norms = np.linalg.norm(X, axis=axis, keepdims=True)
    return X * (numpy_budgets(norms, radius) / norms)


def numpy_bilevel_l11(X, radius, axis):
    """Project onto the l1,1 ball in two levels."""
    magnitudes = np.abs(X)
    budgets = numpy_budgets(magnitudes.sum(axis=axis, keepdims=True), radius)
    taus = np.maximum(numpy_threshold(magnitudes, budgets, axis), 0)
    return np.sign(X) * np.maximum(magnitudes - taus, 0)


def numpy_bilevel_l1inf(X, radius, axis):
    """Project onto the l1,inf ball in two levels."""
    budgets = numpy_budgets(np.abs(X).max(axis=axis, keepdims=True), radius)
    return np.clip(X, -budgets, budgets)


def numpy_trilevel_l1infinf(X, radius, axis):
    """Project a tensor in three levels: its slices ``X[..., k]`` are the groups."""
    inner = np.abs(X).max(axis=0, keepdims=True)
    budgets = numpy_budgets(inner.max(axis=1, keepdims=True), radius)
    return np.clip(X, -budgets, budgets)


def torch_threshold(values, radius, dim):
    """Tau for which the parts of `values` above it add up to `radius`."""
    falling = values.sort(dim=dim, descending=True).values
    shape = [1] * values.ndim
    shape[dim] = -1
    counts = torch.arange(1, values.shape[dim] + 1, dtype=values.dtype).reshape(shape)
    taus = (falling.cumsum(dim) - radius) / counts
    last = (falling > taus).sum(dim, keepdim=True) - 1
    return taus.gather(dim, last.clamp(min=0))


def torch_budgets(norms, radius):
    """Project non-negative norms onto the l1 ball."""
    tau = torch_threshold(norms.ravel(), radius, 0).clamp(min=0)
    return (norms - tau).clamp(min=0)


def torch_simplex(X, radius, dim):
    """Project a vector onto the simplex."""
    return (X - torch_threshold(X, radius, 0)).clamp(min=0)


def torch_l1(X, radius, dim):
    """Project all entries onto the l1 ball."""
    return X.sign() * torch_budgets(X.abs(), radius)


def torch_l12(X, radius, dim):
    """Project onto the l1,2 ball."""
    norms = torch.linalg.vector_norm(X, dim=dim, keepdim=True)
    return X * (torch_budgets(norms, radius) / norms)


def torch_bilevel_l11(X, radius, dim):
    """Project onto the l1,1 ball in two levels."""
    magnitudes = X.abs()
    budgets = torch_budgets(magnitudes.sum(dim, keepdim=True), radius)
    taus = torch_threshold(magnitudes, budgets, dim).clamp(min=0)
    return X.sign() * (magnitudes - taus).clamp(min=0)


def torch_bilevel_l1inf(X, radius, dim):
    """Project onto the l1,inf ball in two levels."""
    budgets = torch_budgets(X.abs().amax(dim, keepdim=True), radius)
    return X.clamp(-budgets, budgets)


def torch_trilevel_l1infinf(X, radius, dim):
    """Project a tensor in three levels: its slices ``X[..., k]`` are the groups."""
    inner = X.abs().amax(0, keepdim=True)
    budgets = torch_budgets(inner.amax(1, keepdim=True), radius)
    return X.clamp(-budgets, budgets)


def on_arrays(function):
    """Let a function of tensors take and return arrays; no entry is copied."""

    def of_array(X, radius, axis):
        return function(torch.from_numpy(X), radius, axis).numpy()

    return of_array


def pot_functions():
    """Projections of POT."""
    ot = importlib.import_module("ot")
    return {"simplex": lambda X, radius, axis: ot.utils.proj_simplex(X, radius)}


def pyproximal_functions():
    """Projections of pyproximal, for one vector each."""
    projection = importlib.import_module("pyproximal.projection")

    def simplex(X, radius, axis):
        return projection.SimplexProj(X.size, radius)(X.ravel()).reshape(X.shape)

    def l1(X, radius, axis):
        return projection.L1BallProj(X.size, radius)(X.ravel()).reshape(X.shape)

    return {"simplex": simplex, "l1": l1}


def sporco_functions():
    """Projections of sporco."""
    prox = importlib.import_module("sporco.prox")
    return {"l1": lambda X, radius, axis: prox.proj_l1(X, radius)}


def published_functions(path):
    """Projections of the code that the authors of the methods published.

    `path` is its extension module for PyTorch, github.com/memo-p/projection, which has
    no licence that would let it come along. It takes float64 only. At its head, the
    weighted bucket filter returns zeros, l1 and bi-level l1,1 are wrong for signed
    input, l1 moves points that are inside the ball, and l1,2 lacks the square root of
    the norm: the comparison of results leaves out what is wrong.
    """
    spec = importlib.util.spec_from_file_location(path.name.split(".")[0], path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def by_axis(of_columns, of_rows):
        def project(X, radius, axis):
            of_groups = of_columns if axis == 0 else of_rows
            return of_groups(torch.from_numpy(X), radius).numpy()

        return project

    def of_vector(X, radius, axis):
        flat = module.proj_l1(torch.from_numpy(X).flatten(), radius)
        return flat.numpy().reshape(X.shape)

    return {
        "l1": of_vector,
        "l1inf": by_axis(module.proj_l1infty_col, module.proj_l1infty),
        "bilevel_l11": by_axis(module.proj_l11_bilevel_col, module.proj_l11_bilevel),
        "bilevel_l1inf": by_axis(
            module.proj_l1infty_bilevel_col, module.proj_l1infty_bilevel
        ),
    }


NUMPY = {
    "simplex": numpy_simplex,
    "l1": numpy_l1,
    "weighted_l1": numpy_weighted_l1,
    "l12": numpy_l12,
    "bilevel_l11": numpy_bilevel_l11,
    "bilevel_l12": numpy_l12,
    "bilevel_l1inf": numpy_bilevel_l1inf,
    "trilevel_l1infinf": numpy_trilevel_l1infinf,
}
TORCH = {
    "simplex": torch_simplex,
    "l1": torch_l1,
    "l12": torch_l12,
    "bilevel_l11": torch_bilevel_l11,
    "bilevel_l12": torch_l12,
    "bilevel_l1inf": torch_bilevel_l1inf,
    "trilevel_l1infinf": torch_trilevel_l1infinf,
}
LIBRARIES = {
    "NumPy": lambda: NUMPY,
    "torch": lambda: {name: on_arrays(f) for name, f in TORCH.items()},
    "POT": pot_functions,
    "pyproximal": pyproximal_functions,
    "sporco": sporco_functions,
}
# Its functions need a path, and take one type.
PUBLISHED = "published"


@dataclass(frozen=True)
class Peer:
    """One way to compute an operator; ``project(X, radius, axis)`` returns new."""

    library: str
    operator: str
    project: Callable

    def uses_threads(self):
        """Whether it can use more than one thread."""
        return self.library == "torch"

    def takes(self, dtype):
        """Whether it takes entries of a type."""
        return self.library != PUBLISHED or dtype == np.float64


def load(libraries, published=None):
    """Peers of the named libraries, and the names of those that are missing.

    `published` is the path of the authors' published code, see `published_functions`.
    """
    peers, missing = [], []
    if published:
        functions = published_functions(published)
        peers = [Peer(PUBLISHED, name, f) for name, f in functions.items()]
    for library in libraries:
        try:
            functions = LIBRARIES[library]()
        except ImportError:
            missing.append(library)
            continue
        peers += [Peer(library, name, f) for name, f in functions.items()]
    return peers, missing
