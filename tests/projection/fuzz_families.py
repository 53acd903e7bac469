"""Projections, proximity operators and norms with their fast oracles."""

from collections.abc import Callable
from dataclasses import dataclass

import fuzz_oracles as oracles
import fuzz_targets
import numpy as np
from fuzz_targets import (
    TARGETS,
    Norm,
    as_tensor,
    column_norms,
)

from skproj.projection import (
    norm_l1,
    norm_l1inf,
    norm_l2,
    norm_l11,
    norm_l12,
    norm_linf,
    norm_linf1,
    norm_linf2,
    norm_multilevel,
    prox_l1,
    prox_l1inf,
    prox_l12,
    prox_linf1,
)

# ---------------------------------------------------------------------------
# The projections and the proximity operators


@dataclass(frozen=True)
class Family:
    """A projection of large arrays, and how to know that its result is right.

    Parameters
    ----------
    call : callable
        ``call(X, radius, *, axis, out, n_threads)``, with `weights` if there are some,
        returns the result and the threshold or None.
    oracle : callable
        One of `fuzz_oracles.py`.
    norm : Norm
        What the radius is taken from.
    vanishing : callable
        What is zero where it is below the threshold of the oracle, as in `Target`.
    batched : bool
        Whether each group is projected by itself.
    whole : bool
        Whether all entries are one group.
    meets : bool
        Whether the norm of the result is the radius if that of the data is larger.
    meets_tiny : bool
        Whether the same holds where the radius is tiny against the entries.
    fills : bool
        Whether the norm of the result is the radius in any case.
    takes_sparse : bool
        Whether sparse matrices are accepted.
    weights : callable or None
        As in `Target`.
    """

    call: Callable
    oracle: Callable
    norm: Norm
    vanishing: Callable
    batched: bool = False
    whole: bool = False
    meets: bool = True
    meets_tiny: bool = False
    fills: bool = False
    takes_sparse: bool = True
    weights: Callable | None = None


# Of the projections that do not go level by level.
ORACLES = {"l1inf": oracles.onto_l1inf}


def _of_target(name):
    """Family for a projection of `TARGETS`."""
    target = TARGETS[name]
    *outer, inner = target.norm.orders
    batched = target.whole or outer == [np.inf]
    weighted = target.weights is fuzz_targets.weights_of_entries
    if name in ORACLES:
        oracle = ORACLES[name]
    elif target.fills:
        oracle = oracles.onto_simplex
    elif weighted:
        oracle = oracles.onto_weighted_l1
    elif batched:
        oracle = oracles.ONTO[inner]
    else:
        oracle = oracles.level_by_level(target.norm.orders)

    def call(X, radius, *, axis, **arguments):
        axis = None if target.whole else axis
        return target.projection(
            X, radius, axis=axis, return_threshold=True, **arguments
        )

    return Family(
        call,
        oracle,
        target.norm,
        target.vanishing,
        batched,
        target.whole,
        meets_tiny=batched and inner == 1 and not weighted,
        fills=target.fills,
        takes_sparse=not (target.fills or weighted or len(outer) == 2),
        weights=target.weights if weighted else None,
    )


def _prox(function, oracle, orders, vanishing, **options):
    """Family for a proximity operator, with the orders of the dual norm."""

    def call(X, radius, *, axis, **arguments):
        if function is not prox_l1:
            arguments["axis"] = axis
        return function(X, radius, **arguments), None

    return Family(call, oracle, Norm(orders), vanishing, meets=False, **options)


_inf = np.inf
FAMILIES = {name: _of_target(name) for name in TARGETS} | {
    "prox_l1": _prox(prox_l1, oracles.soft, (_inf,), np.abs, batched=True, whole=True),
    "prox_l12": _prox(
        prox_l12, oracles.shorten, (_inf, 2), column_norms(2), batched=True
    ),
    "prox_l1inf": _prox(
        prox_l1inf, oracles.clip_top, (_inf, 1), column_norms(1), batched=True
    ),
    "prox_linf1": _prox(prox_linf1, oracles.leave_l1inf, (1, _inf), np.abs),
}


def _of_all(function):
    return lambda X, *, axis, n_threads: function(X, n_threads=n_threads)


def _of_tensor(orders):
    def norm(X, *, axis, n_threads):
        axes = (2, 1, 0) if axis == 0 else (1, 0, 2)
        X = as_tensor(X, axis)
        return norm_multilevel(X, orders, axes=axes, n_threads=n_threads)

    return norm


# The norms with their orders, and those that are one number for each group.
NORMS = {
    "norm_l1": (_of_all(norm_l1), (1,)),
    "norm_l2": (_of_all(norm_l2), (2,)),
    "norm_linf": (_of_all(norm_linf), (_inf,)),
    "norm_l11": (norm_l11, (1, 1)),
    "norm_l12": (norm_l12, (1, 2)),
    "norm_l1inf": (norm_l1inf, (1, _inf)),
    "norm_linf1": (norm_linf1, (_inf, 1)),
    "norm_linf2": (norm_linf2, (_inf, 2)),
    "norm_multilevel_1_1_2": (_of_tensor((1, 1, 2)), (1, 1, 2)),
    "norm_multilevel_2_inf_1": (_of_tensor((2, _inf, 1)), (2, _inf, 1)),
}
NORMS_OF_EACH = {
    "norm_l1 of each": (norm_l1, 1),
    "norm_l2 of each": (norm_l2, 2),
    "norm_linf of each": (norm_linf, _inf),
}
