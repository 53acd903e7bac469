"""Projections, proximity operators and norms with their oracles, for the fuzzer."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import fuzz_oracles as oracles
import numpy as np
from fuzz_oracles import as_tensor

from skproj import projection as balls
from skproj.projection import _reference

_inf = np.inf


@dataclass(frozen=True)
class Family:
    """A projection, and how to know that its result is right.

    Parameters
    ----------
    call : callable
        ``call(X, radius, *, axis, out, n_threads)``, with `weights` if there are some,
        returns the result and the threshold or None.
    orders : tuple of {1, 2, inf}
        Of the norm that the radius is taken from, the outermost first. One takes all
        entries as one vector, two are those over and of the columns, three those of
        the tensor that `as_tensor` makes.
    oracle : callable
        One of `fuzz_oracles.py`.
    reference : callable
        ``reference(C, radius)`` projects small columns, slowly.
    vanishing : callable
        What is zero in the result where it is below the threshold: one number for
        each column, or for each entry.
    batched : bool
        Whether each group is projected by itself.
    whole : bool
        Whether all entries are one group.
    meets : bool
        Whether the norm of the result is the radius if that of the data is larger.
    meets_tiny : bool
        Whether the same holds where the radius is tiny against the entries.
    fills : bool
        Whether the norm of the result is the radius even if that means growing.
    takes_sparse : bool
        Whether sparse matrices are accepted.
    weights : callable or None
        ``weights(X)``, by which the norm multiplies the entries of the result.
    """

    call: Callable
    orders: tuple
    oracle: Callable
    reference: Callable
    vanishing: Callable
    batched: bool = False
    whole: bool = False
    meets: bool = True
    meets_tiny: bool = False
    fills: bool = False
    takes_sparse: bool = True
    weights: Callable | None = None


def column_norms(order):
    return lambda C: np.linalg.norm(C, ord=order, axis=0)


def nothing(C):
    """Say that no entry of the result need be zero."""
    return np.inf


def norm_of(C, orders):
    """Norm of norms of a matrix whose groups are columns, with sums in pairs."""
    if len(orders) == 1:
        return np.linalg.norm(C.reshape(1, -1, order="A"), orders[0], axis=1)[0]
    tensor = as_tensor(C, 0) if len(orders) == 3 else C
    for order in reversed(orders):
        rows = np.ascontiguousarray(np.moveaxis(tensor, 0, -1))
        tensor = np.linalg.norm(rows, order, axis=-1)
    return tensor


# ---------------------------------------------------------------------------
# Projections


def _projection(function, orders, reference, vanishing, *, oracle=None, **options):
    *outer, inner = orders
    whole = not outer
    batched = whole or outer == [_inf]
    if oracle is None:
        oracle = oracles.ONTO[inner] if batched else oracles.level_by_level(orders)

    def call(X, radius, *, axis, **arguments):
        axis = None if whole else axis
        return function(X, radius, axis=axis, return_threshold=True, **arguments)

    options.setdefault("meets_tiny", batched and inner == 1)
    return Family(call, orders, oracle, reference, vanishing, batched, whole, **options)


def _each_column(function):
    """Make a function of a vector work on the columns of a matrix."""
    return lambda C, radius: np.stack([function(x, radius) for x in C.T], axis=1)


def _of_vectors(name, function, order, reference, vanishing, **options):
    """All entries as one vector, and the columns one by one."""
    return {
        name: _projection(function, (order,), reference, vanishing, **options),
        f"{name}_columns": _projection(
            function, (_inf, order), _each_column(reference), vanishing, **options
        ),
    }


def weights_of_entries(X):
    """Weights between 1e-3 and 1e2, some zero, that depend on each entry alone.

    They are a function of the mantissa: powers of two and layouts do not change them.
    """
    mantissas, _ = np.frexp(np.abs(X, dtype=np.float64))
    digits = np.floor(mantissas * 9973) % 7
    return np.where(digits > 0.0, 10.0 ** (digits - 4), 0.0)


def _weighted_reference(x, radius):
    return _reference.weighted_l1(x, radius, weights_of_entries(x))


def _weighted_ratios(C):
    return oracles.ratios(C, weights_of_entries(C))


def _multilevel(norms):
    """Family of three norms; the columns of a matrix are the fibres of a tensor."""
    outer, middle, inner = norms

    def call(X, radius, *, axis, out=None, return_threshold, **arguments):
        P, threshold = balls.projection_multilevel(
            as_tensor(X, axis),
            radius,
            norms,
            axes=(2, 1, 0) if axis == 0 else (1, 0, 2),
            out=None if out is None else as_tensor(out, axis),
            return_threshold=True,
            **arguments,
        )
        return (P.reshape(X.shape) if out is None else out), threshold

    def reference(C, radius):
        return _reference.multilevel(as_tensor(C, 0), radius, norms).reshape(C.shape)

    def slice_norms(C):
        fibres = np.linalg.norm(as_tensor(C, 0), inner, axis=0)
        slices = np.linalg.norm(fibres, middle, axis=0)
        return np.broadcast_to(slices, fibres.shape).ravel()

    vanishing = slice_norms if outer == 1 else nothing
    return _projection(call, norms, reference, vanishing, takes_sparse=False)


def _prox(function, orders, oracle, vanishing, **options):
    """Family of a proximity operator, with the orders of the dual norm."""

    def call(X, radius, *, axis, **arguments):
        if function is not balls.prox_l1:
            arguments["axis"] = axis
        return function(X, radius, **arguments), None

    reference = getattr(_reference, function.__name__)
    return Family(call, orders, oracle, reference, vanishing, meets=False, **options)


FAMILIES = {
    **_of_vectors("l1", balls.projection_l1_ball, 1, _reference.l1, np.abs),
    **_of_vectors("l2", balls.projection_l2_ball, 2, _reference.l2, nothing),
    **_of_vectors("linf", balls.projection_linf_ball, _inf, _reference.linf, nothing),
    **_of_vectors(
        "simplex",
        balls.projection_simplex,
        1,
        _reference.simplex,
        np.positive,
        oracle=oracles.onto_simplex,
        fills=True,
        takes_sparse=False,
    ),
    **_of_vectors(
        "weighted_l1",
        balls.projection_weighted_l1_ball,
        1,
        _weighted_reference,
        _weighted_ratios,
        oracle=oracles.onto_weighted_l1,
        meets_tiny=False,
        takes_sparse=False,
        weights=weights_of_entries,
    ),
    "l12": _projection(
        balls.projection_l12_ball, (1, 2), _reference.l12, column_norms(2)
    ),
    "l1inf": _projection(
        balls.projection_l1inf_ball,
        (1, _inf),
        _reference.l1inf,
        column_norms(1),
        oracle=oracles.onto_l1inf,
    ),
    "bilevel_l11": _projection(
        balls.projection_bilevel_l11_ball,
        (1, 1),
        _reference.bilevel_l11,
        column_norms(1),
    ),
    "bilevel_l12": _projection(
        balls.projection_bilevel_l12_ball, (1, 2), _reference.l12, column_norms(2)
    ),
    "bilevel_l1inf": _projection(
        balls.projection_bilevel_l1inf_ball,
        (1, _inf),
        _reference.bilevel_l1inf,
        column_norms(_inf),
    ),
    "multilevel_1_inf_inf": _multilevel((1, _inf, _inf)),
    "multilevel_1_1_1": _multilevel((1, 1, 1)),
    "multilevel_1_2_2": _multilevel((1, 2, 2)),
    "multilevel_2_inf_1": _multilevel((2, _inf, 1)),
    "prox_l1": _prox(
        balls.prox_l1, (_inf,), oracles.soft, np.abs, batched=True, whole=True
    ),
    "prox_l12": _prox(
        balls.prox_l12, (_inf, 2), oracles.shorten, column_norms(2), batched=True
    ),
    "prox_l1inf": _prox(
        balls.prox_l1inf, (_inf, 1), oracles.clip_top, column_norms(1), batched=True
    ),
    "prox_linf1": _prox(balls.prox_linf1, (1, _inf), oracles.leave_l1inf, np.abs),
}


# ---------------------------------------------------------------------------
# Norms


def _of_all(function):
    return lambda X, *, axis, n_threads: function(X, n_threads=n_threads)


def _of_tensor(X, *, axis, n_threads, orders):
    axes = (2, 1, 0) if axis == 0 else (1, 0, 2)
    X = as_tensor(X, axis)
    return balls.norm_multilevel(X, orders, axes=axes, n_threads=n_threads)


# The norms with their orders, and those that are one number for each group.
NORMS = {
    "norm_l1": (_of_all(balls.norm_l1), (1,)),
    "norm_l2": (_of_all(balls.norm_l2), (2,)),
    "norm_linf": (_of_all(balls.norm_linf), (_inf,)),
    "norm_l11": (balls.norm_l11, (1, 1)),
    "norm_l12": (balls.norm_l12, (1, 2)),
    "norm_l1inf": (balls.norm_l1inf, (1, _inf)),
    "norm_linf1": (balls.norm_linf1, (_inf, 1)),
    "norm_linf2": (balls.norm_linf2, (_inf, 2)),
} | {
    f"norm_multilevel_{'_'.join(map(str, orders))}": (
        partial(_of_tensor, orders=orders),
        orders,
    )
    for orders in ((1, 1, 2), (2, _inf, 1))
}
NORMS_OF_EACH = {
    "norm_l1 of each": (balls.norm_l1, 1),
    "norm_l2 of each": (balls.norm_l2, 2),
    "norm_linf of each": (balls.norm_linf, _inf),
}
