"""Checks of the results for one input."""

import functools
import math
from dataclasses import dataclass

import fuzz_hoyer
import fuzz_oracles as oracles
import numpy as np
from fuzz_families import FAMILIES, NORMS, NORMS_OF_EACH, norm_of
from fuzz_inputs import (
    ALL_LAYOUTS,
    DENSE_LAYOUTS,
    LAYOUTS,
    RADII,
    make_groups,
    require,
)
from scipy import sparse

from skproj.projection import projection_hoyer

# Largest distance from the oracle, relative to the largest entry. The projections are
# Lipschitz in the data and in the radius, ties included, so that the rounding of a sum
# of n entries moves no entry by more than about n * eps, here and in the oracles.
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}

# Largest relative excess of the norm of the result over the radius.
NORM_TOLERANCE = {"float32": 1e-6, "float64": 1e-14}

# Groups (or entries) below the threshold by this much have to be exactly zero. Closer
# to it, the order of a summation decides.
ZERO_MARGIN = 1e-12

# The norm of a result may be above the radius by NORM_TOLERANCE if it is a sum of at
# most so many entries, as that of the smaller inputs is. The rounding errors of a sum
# grow with the root of the number of entries.
USUAL_SUM = 1 << 14

# It may be below by so much of the radius, and of the norm of those entries of the data
# that are left, whose lengths are rounded. Where there is a promise for tiny radii, so
# much of the largest entry for each that is left takes the place of the latter.
MISSING = {"float32": 1e-6, "float64": 1e-12}
MISSING_OF_LEFT = 1e-14
MISSING_OF_LARGEST = {"float32": 1e-13, "float64": 1e-30}

# The oracles see scaled data if an exponent of two is larger than that.
SAFE_EXPONENT = 300


# ---------------------------------------------------------------------------
# What the oracle says of a problem


@dataclass(frozen=True)
class Solved:
    """A problem with the answer of the oracle; the groups are the rows.

    What the oracle sees is divided by powers of two where its sums would overflow or
    lose digits: by one for each group if the groups do not matter to each other.
    """

    radius: float
    groups: np.ndarray  # not scaled, as all that stands above the exponents
    low: np.ndarray  # entries or 0, whichever is less
    high: np.ndarray  # entries or 0, whichever is more
    weights: np.ndarray | None
    exponents: np.ndarray  # of the powers of two, one or one for each group
    radii: np.ndarray  # as many
    norms: np.ndarray  # of the data, as many
    left: np.ndarray  # of the data that are not dead, as many
    expected: np.ndarray
    thresholds: np.ndarray
    dead: np.ndarray  # entries that have to be zero
    largest: np.ndarray  # what errors are relative to, as many
    largest_threshold: float  # what errors of thresholds are relative to


def _radius(family, problem, weighted, exponent):
    """Radius of a problem, from its data divided by a power of two."""
    norm = norm_of(weighted.T, family.orders)
    of_one = np.linalg.norm(weighted[problem.chosen_group], family.orders[-1])
    with np.errstate(over="ignore"):
        norm, of_one = np.ldexp((norm, of_one), exponent).tolist()
    radius = RADII[problem.radius_kind](norm, of_one, problem.share)
    if family.fills:  # what is not finite is refused
        return min(radius, 10.0 * norm, float(np.finfo(problem.dtype).max) / 2.0)
    return radius


def _norms(family, rows):
    """Norm of each row by itself, or the norm of all, summed in pairs."""
    if family.batched:
        exponents = np.frexp(np.abs(rows).max(axis=1))[1]  # squares may be subnormal
        norms = np.linalg.norm(scaled(rows, exponents), family.orders[-1], axis=1)
        return np.ldexp(norms, exponents)
    return np.reshape(norm_of(rows.T, family.orders), 1)


def scaled(rows, exponents):
    """Divide rows by powers of two; the rows themselves if the exponents are 0."""
    if not exponents.any():
        return rows
    with np.errstate(under="ignore"):
        return np.ldexp(rows, -exponents[:, np.newaxis])


@functools.lru_cache(maxsize=1)
def solve(name, problem):
    """Make the data of a problem and ask the oracle of a family."""
    family = FAMILIES[name]
    groups = make_groups(problem)
    weights = None if family.weights is None else family.weights(groups)
    _, exponent = np.frexp(np.abs(groups).max())
    weighted = np.ldexp(groups, -exponent)
    if weights is not None:
        weighted *= weights
    radius = _radius(family, problem, weighted, exponent)

    if family.whole:
        groups = groups.reshape(1, -1)
        weights = None if weights is None else weights.reshape(1, -1)
    largest = np.abs(groups).max(axis=1 if family.batched else None, keepdims=True)
    if family.fills:  # the result may be larger than the data
        largest = np.maximum(largest, radius)
    _, exponents = np.frexp(largest.ravel())
    if np.abs(exponents).max() < SAFE_EXPONENT:
        exponents[:] = 0
    rows = scaled(groups, exponents)
    largest = scaled(largest, exponents).ravel()
    with np.errstate(over="ignore", under="ignore"):
        radii = np.ldexp(radius, -exponents)
    expected, thresholds = family.oracle(
        rows,
        radii if family.batched else radii.item(),
        *(() if weights is None else (weights,)),
    )
    thresholds = np.reshape(thresholds, -1)

    if weights is None:
        vanishing = np.broadcast_to(family.vanishing(rows.T), rows.T.shape)
    else:
        vanishing = oracles.ratios(rows, weights).T
    over = 0 if family.batched else None
    tops = np.max(vanishing, axis=over, where=vanishing < np.inf, initial=0.0)
    limits = np.minimum(thresholds, np.finfo(np.float64).max)
    limits = limits - ZERO_MARGIN * tops - np.ldexp(math.ulp(0.0), -exponents)
    dead = np.ascontiguousarray((vanishing < limits).T)
    weighted = rows if weights is None else weights * rows
    norms = _norms(family, weighted)
    return Solved(
        radius,
        groups,
        np.minimum(groups, 0.0),
        np.maximum(groups, 0.0),
        weights,
        exponents,
        radii,
        norms,
        _norms(family, np.where(dead, 0.0, weighted)),
        expected,
        thresholds,
        dead,
        largest,
        max(norms.max(), tops.max()),
    )


# ---------------------------------------------------------------------------
# The check of one case


def lay_out(case, groups, *, takes_sparse=False):
    """Array of a case and an equal one in C order; the groups are rows of float64."""
    array = (groups.T if case.axis == 0 else groups).astype(case.dtype)
    layout = case.layout
    if not takes_sparse:
        layout = DENSE_LAYOUTS.get(layout, layout)
    return ALL_LAYOUTS[layout](array), array


def results(case, X, array, function, announce):
    """Make the calls of a case.

    Yields
    ------
    rows : ndarray of shape (n_groups, group_size)
        The result of the first call, as float64, so that the groups are rows. That of
        the other calls has the same bits.
    more : object
        What else the function returns.
    """
    first = None
    for mode, n_threads in case.calls:
        announce(f"n_threads={n_threads}, {mode}")
        out = None
        if mode == "in place":
            require(np.array_equal(X, array), "X has changed, although not in place")
            out = X
        elif mode == "out":
            out = LAYOUTS[case.out_layout](np.full_like(array, 7.0))
        if case.layout in LAYOUTS:
            X.flags.writeable = mode == "in place"
        P, more = function(X, out=out, n_threads=n_threads)
        require(P.dtype == X.dtype and P.shape == X.shape, "another dtype or shape")
        if out is not None:
            require(P is out, "out is not returned")
            require(nothing_beside(P), "written beside the result")
        elif sparse.issparse(P):
            P = P.toarray()
        else:
            require(not np.may_share_memory(P, X), "the result shares memory with X")
        if first is None:
            first = P
            rows = P.T if case.axis == 0 else P
            yield np.ascontiguousarray(rows, dtype=np.float64), more
        require(
            np.array_equal(P, first),
            "another number of threads or place of the result gives another result",
        )
    if case.layout in LAYOUTS:
        require(nothing_beside(X), "written beside X")
    else:
        now = X.toarray() if sparse.issparse(X) else X
        require(np.array_equal(now, array), "X has changed, although not in place")


def nothing_beside(view):
    """Whether the memory around a view is NaN, as it was."""
    base = view.base
    if base is None:
        return True
    if base.dtype == np.uint8:  # `_misaligned`
        return (base[:1] == 255).all() and (base[1 + view.nbytes :] == 255).all()
    return np.count_nonzero(np.isnan(base)) == base.size - view.size


def check_projection(name, case, announce):
    """Compare the results for a case with all that is known about them."""
    family = FAMILIES[name]
    announce("the oracle")
    solved = solve(name, case.problem)
    shape = case.problem.shape[::-1]
    X, array = lay_out(
        case, solved.groups.reshape(shape), takes_sparse=family.takes_sparse
    )
    arguments = {"axis": case.axis}
    if solved.weights is not None:
        weights = solved.weights.reshape(shape)
        weights = weights.T if case.axis == 0 else weights
        arguments["weights"] = LAYOUTS[case.out_layout](weights)
    function = functools.partial(family.call, radius=solved.radius, **arguments)
    for rows, thresholds in results(case, X, array, function, announce):
        _check_rows(family, case, solved, rows.reshape(solved.groups.shape))
        if thresholds is not None:
            _check_thresholds(case, solved, np.ravel(thresholds))


def _check_rows(family, case, solved, rows):
    """Check a result; its rows are the groups."""
    dtype = case.dtype
    if family.fills:
        require(np.isfinite(rows).all(), "the result is not finite")
        require((rows >= 0.0).all(), "an entry of the result is negative")
    else:
        require(  # false for NaN as well
            ((solved.low <= rows) & (rows <= solved.high)).all(),
            "an entry is not finite, has grown or has changed its sign",
        )
    if family.meets and not family.fills:
        inside = solved.radii >= solved.norms * (1.0 + ZERO_MARGIN)
        inside = inside if family.batched else inside.item()
        require(
            np.array_equal(rows[inside], solved.groups[inside]),
            "the inside of the ball has changed",
        )
    rows = scaled(rows, solved.exponents)
    require(
        not np.logical_and(rows, solved.dead).any(),
        "something below the threshold is not exactly zero",
    )
    # Below the smallest normal number, entries are rounded absolutely, and so are they
    # and their radius when they are scaled.
    with np.errstate(over="ignore"):
        smallest = float(np.finfo(dtype).smallest_subnormal)
        rounding = np.ldexp(smallest, -solved.exponents) + 2.0 * math.ulp(0.0)
    errors = np.abs(rows - solved.expected)
    errors = errors.max(axis=1) if family.batched else np.reshape(errors.max(), 1)
    worst = np.argmax(errors - TOLERANCE[dtype] * solved.largest - rounding)
    require(
        errors[worst] <= TOLERANCE[dtype] * solved.largest[worst] + rounding[worst],
        "the result is not that of the oracle (error relative to the largest entry)",
        errors[worst] / max(solved.largest[worst], rounding[worst]),
    )
    if family.meets:
        _check_norms(family, case, solved, rows, rounding)


def _norm_tolerance(dtype, n_entries):
    return NORM_TOLERANCE[dtype] * math.sqrt(max(n_entries / USUAL_SUM, 1.0))


def _check_norms(family, case, solved, rows, rounding):
    """Check that norms are the radius if they were larger, or if they have to be."""
    dtype, radii = case.dtype, solved.radii
    if solved.weights is None:
        norms = _norms(family, rows)
        rounding = rounding * rows.shape[1]
    else:
        norms = _norms(family, solved.weights * rows)
        rounding = rounding * solved.weights.sum(axis=1)
    if not family.batched:
        rounding = rounding * len(rows)
    n_entries = rows.shape[1] if family.batched else rows.size
    goals = radii if family.fills else np.minimum(radii, solved.norms)
    above = norms - goals
    allowed = rounding + _norm_tolerance(dtype, n_entries) * goals
    worst = np.argmax(above - allowed)
    require(
        above[worst] <= allowed[worst],
        "the norm is above the radius (relative to the radius)",
        above[worst] / (goals[worst] or 1.0),
    )
    allowed = rounding + MISSING[dtype] * goals
    if family.meets_tiny:
        n_left = np.count_nonzero(~solved.dead, axis=1)
        allowed += MISSING_OF_LARGEST[dtype] * solved.largest * n_left
    else:
        allowed += MISSING_OF_LEFT * solved.left
    worst = np.argmax(-above - allowed)
    require(
        -above[worst] <= allowed[worst],
        "the norm is below the radius (relative to the radius)",
        -above[worst] / (goals[worst] or 1.0),
    )


def _check_thresholds(case, solved, thresholds):
    """Check what a projection says that its threshold is."""
    expected = solved.thresholds
    require(thresholds.shape == expected.shape, "thresholds of another shape")
    with np.errstate(over="ignore", under="ignore"):
        result = np.ldexp(thresholds, -solved.exponents)
        unscaled = np.ldexp(expected, solved.exponents)
    # What is above all numbers comes back as infinity.
    result = np.where(np.isinf(unscaled) & (unscaled == thresholds), expected, result)
    # Below the smallest normal number, what they sum is rounded absolutely.
    with np.errstate(over="ignore"):
        smallest = float(np.finfo(case.dtype).smallest_subnormal)
        rounding = np.ldexp(smallest, -solved.exponents) * solved.groups.shape[1]
    errors = np.abs(result - expected) - rounding
    require(
        errors.max() <= TOLERANCE[case.dtype] * solved.largest_threshold,
        "the threshold is not that of the oracle (relative to the largest possible)",
        errors.max() / (solved.largest_threshold or 1.0),
    )


def _norms_by_numpy(groups):
    """All norms of an array, by name, as arrays of one dimension."""
    tops = np.abs(groups).max(axis=1)
    exponents = np.frexp(tops.max(keepdims=True))[1]
    columns = scaled(groups, exponents).T
    norms = {
        key: np.ldexp(norm_of(columns, orders), exponents)
        for key, (_, orders) in NORMS.items()
    }
    exponents = np.frexp(tops)[1]
    rows = scaled(groups, exponents)
    for key, (_, order) in NORMS_OF_EACH.items():
        norms[key] = np.ldexp(np.linalg.norm(rows, order, axis=1), exponents)
    return norms


def check_norms(name, case, announce):
    """Compare the norms of an array with those of NumPy."""
    groups = make_groups(case.problem)
    X, _ = lay_out(case, groups)
    tolerance = _norm_tolerance("float64", groups.size)
    functions = NORMS | NORMS_OF_EACH
    with np.errstate(over="ignore", under="ignore"):
        all_expected = _norms_by_numpy(groups)
    for key, expected in all_expected.items():
        function, _ = functions[key]
        norms = []
        for _, n_threads in case.calls:
            announce(f"{key}, n_threads={n_threads}")
            norms.append(function(X, axis=case.axis, n_threads=n_threads))
            require(np.array_equal(norms[-1], norms[0]), f"threads change {key}")
        with np.errstate(invalid="ignore"):  # norms that are infinite
            errors = np.where(norms[0] == expected, 0.0, np.abs(norms[0] - expected))
        errors = errors - groups.size * math.ulp(0.0)
        relative = errors / np.where(expected > 0.0, expected, 1.0)
        require(
            relative.max() <= tolerance,
            f"{key} is not that of NumPy (relative error)",
            relative.max(),
        )


USUAL_SPARSITIES = (0.0, 0.1, 0.5, 0.9, 0.99, 1.0)


def _sparsities(rows):
    """Hoyer sparsity of each row."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    rows = np.divide(rows, largest, out=np.zeros(rows.shape), where=largest > 0.0)
    norms = np.linalg.norm(rows, axis=1)
    root = math.sqrt(rows.shape[1])
    ratios = np.abs(rows).sum(axis=1) / np.where(norms > 0.0, norms, 1.0)
    return (root - np.where(norms > 0.0, ratios, 1.0)) / (root - 1.0)


def _hoyer_of(groups, threshold):
    """Project the groups by the threshold that all of them share."""
    A = np.abs(groups)
    D = np.maximum(A - threshold, 0.0)
    vanished = np.flatnonzero(~D.any(axis=1))
    D[vanished, A[vanished].argmax(axis=1)] = 1.0
    D /= D.max(axis=1, keepdims=True)  # the squares of tiny entries would be 0
    D /= np.linalg.norm(D, axis=1, keepdims=True)
    return np.copysign(D * (D * A).sum(axis=1, keepdims=True), groups)


def check_hoyer(name, case, announce):
    """Check the level, the signs, the zeros, and what follows from the multiplier."""
    groups = make_groups(case.problem)
    size, _ = case.problem.shape
    number = 2 * len(USUAL_SPARSITIES) * case.problem.share
    if number < len(USUAL_SPARSITIES):
        sparsity = USUAL_SPARSITIES[int(number)]
    else:
        sparsity = 2.0 * case.problem.share - 1.0
    level_tolerance = fuzz_hoyer.LEVEL[np.dtype(case.dtype).char]
    X, array = lay_out(case, groups)
    function = functools.partial(
        projection_hoyer, sparsity=sparsity, axis=case.axis, return_multiplier=True
    )
    if np.abs(groups).max() > np.finfo(case.dtype).max / math.sqrt(size):
        return  # Entries become larger, and may be above all numbers.
    for rows, multiplier in results(case, X, array, function, announce):
        require(np.isfinite(rows).all(), "the result is not finite")
        require((np.sign(rows) * np.sign(groups) >= 0.0).all(), "a sign has changed")
        require(not rows[groups == 0.0].any(), "a zero became an entry")
        if size == 1:
            require(np.array_equal(rows, groups), "a vector of one entry has changed")
            continue
        if np.abs(groups).max() * level_tolerance < np.finfo(case.dtype).tiny:
            continue  # Numbers with few digits may not reach a level.
        before = _sparsities(groups).mean()
        wanted = max(sparsity, before)
        level = _sparsities(rows).mean()
        require(
            abs(level - wanted) <= level_tolerance,
            "the average sparsity is not as wanted (difference)",
            level - wanted,
        )
        require(multiplier >= 0.0, "a negative multiplier")
        if multiplier == 0.0:
            require(np.array_equal(rows, groups), "a sparse array has changed")
            continue
        exponents = np.frexp(np.abs(groups).max(keepdims=True).ravel())[1]
        groups = scaled(groups, exponents)
        threshold = np.ldexp(multiplier, -exponents) / (math.sqrt(size) - 1.0)
        expected = _hoyer_of(groups, threshold)
        if abs(_sparsities(expected).mean() - wanted) > level_tolerance:
            continue  # The level is reached at a jump, by some of the groups.
        # What is left above the threshold has lost digits.
        top = np.abs(groups).max(axis=1)
        lost = 1e-14 * top / np.maximum(top - threshold, 1e-14)
        errors = np.abs(scaled(rows, exponents) - expected).max(axis=1)
        worst = np.argmax(errors - lost)
        require(
            errors[worst] <= TOLERANCE[case.dtype] + lost[worst],
            "the result is not that of its multiplier (error relative to the largest)",
            errors[worst],
        )


def check_hoyer_groups(name, case, announce):
    """Check another group of vectors, which is not as large."""
    announce("a group of vectors")
    fuzz_hoyer.check(fuzz_hoyer.make_case(case.problem.seed, case.problem.number))


CHECKS = dict.fromkeys(FAMILIES, check_projection) | {
    "hoyer": check_hoyer,
    "norms": check_norms,
    "hoyer_groups": check_hoyer_groups,
}
