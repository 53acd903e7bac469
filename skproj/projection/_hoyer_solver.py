"""Group sparse projections of vectors: directions, and how they are written.

The multiplier is found in `_hoyer_search.py`, which says what is solved.
"""

from typing import NamedTuple

import numpy as np

from skproj._kernels import _hoyer
from skproj.projection._hoyer_search import (
    EPS,
    JUMP_MARGIN,
    START_FACTOR,
    Problem,
    bracket_multiplier,
    start_from_sample,
)
from skproj.projection._hoyer_vectors import (
    Directions,
    Measured,
    Norms,
    measured,
    norms_of,
)

# How far the average sparsity may be from the target, and up to which distance an
# input is left alone: the rounding of a result must not make it be projected again.
TOLERANCE = 1e-12
TOLERANCE_INSIDE = {"f": 6e-8, "d": 4e-12}

# Exponent of the smallest factor between the vectors that matters; what is divided by
# its power of two must not overflow.
SMALLEST_EXPONENT = -800.0

# Steps of the ascent that replaces the surrogate by the squared error.
MAX_ASCENT_STEPS, ASCENT_TOLERANCE = 100, 1e-10


class _Solution(NamedTuple):
    """Arguments of the writing kernels, and products of vectors and directions.

    All are arrays of shape (n_vectors,). With weights, `marks` are the entries that are
    left of spent vectors and -1 for others; without, how many equal entries are left.
    """

    levels: np.ndarray
    offsets: np.ndarray
    means: np.ndarray
    lengths: np.ndarray
    inner: np.ndarray
    marks: np.ndarray


def _rates(vectors):
    """Cost of a mean, per vector, and the mean if the entries are as the weights."""
    if vectors.weights is None:
        full, smallest = np.sqrt(vectors.sizes), 1.0
    else:
        full = np.sqrt(np.add.reduceat(vectors.weights**2, vectors.starts))
        smallest = np.minimum.reduceat(vectors.weights, vectors.starts)
    return 1.0 / (full - smallest), full


def _means(vectors, norms, n_threads):
    """Means of the directions of the vectors themselves."""
    if vectors.weights is None:
        ones = np.ones_like(norms.sums)
        return np.divide(norms.sums, norms.lengths, out=ones, where=norms.sums > 0.0)
    measured = Measured(vectors, n_threads)
    return measured.measure(np.zeros_like(norms.sums)).means


def _solution(vectors, norms, directions):
    """Turn what has been measured at thresholds into a solution."""
    thresholds, means, lengths, _, marks = directions
    spent = lengths == 0.0
    inner = lengths + thresholds * means
    if vectors.weights is None:
        inner[spent] = norms.largest[spent]
        levels = np.where(spent, norms.largest, thresholds)
        marks = spent.astype(np.intp)
    else:
        inner[spent] = np.abs(vectors.data[vectors.starts[spent] + marks[spent]])
        levels = thresholds
    zeros = np.zeros_like(levels)
    return _Solution(levels, zeros, means.copy(), lengths.copy(), inner, marks)


def _exact(vectors, norms, means, n_threads):
    """Solve for given means, each vector on its own; infinite ones are left out."""
    n_vectors = len(vectors.sizes)
    offsets, lengths, inner = np.ones((3, n_vectors))
    n_tied = np.zeros(n_vectors, dtype=np.intp)
    where = vectors.data, vectors.starts, vectors.sizes
    _hoyer.solve_vectors(
        *where, norms.largest, means, offsets, lengths, inner, n_tied, n_threads
    )
    tied = n_tied > 0
    inner[tied] = norms.largest[tied] * means[tied]
    return _Solution(norms.largest, offsets, means.copy(), lengths, inner, n_tied)


def _join(vectors, norms, problem, dense, sparse, tolerance, n_threads):
    """Choose between both sides of a jump, vector by vector, to meet the budget.

    The first vectors take the dense side, and one a mean in between: as long as they
    are on the same side of everything else, all choices are equally good.

    Returns the solution and, where there are weights, the number of the vector in
    between and its direction; None if there is none.
    """
    if dense is sparse:
        return _solution(vectors, norms, dense), None
    gains = np.maximum(problem.rates * (dense.means - sparse.means), 0.0)
    room = problem.budget - problem.rates @ sparse.means
    used = np.cumsum(gains)
    is_dense = used <= room + tolerance
    directions = Directions(
        *(np.where(is_dense, d, s) for d, s in zip(dense, sparse, strict=True))
    )
    solution = _solution(vectors, norms, directions)
    n_dense = np.count_nonzero(is_dense)
    room -= used[n_dense - 1] if n_dense else 0.0
    if n_dense == len(gains) or room <= tolerance:
        return solution, None
    i = n_dense
    mean = sparse.means[i] + room / problem.rates[i]
    if vectors.weights is not None:
        mixed, solution.inner[i] = _mixture(vectors, i, dense, sparse, mean)
        return solution, (i, mixed)
    one = vectors._replace(
        starts=vectors.starts[i : i + 1], sizes=vectors.sizes[i : i + 1]
    )
    one_norms = Norms(*(norm[i : i + 1] for norm in norms))
    exact = _exact(one, one_norms, np.array([mean]), n_threads)
    for values, value in zip(solution, exact, strict=True):
        values[i] = value[0]
    return solution, None


def _mixture(vectors, i, dense, sparse, mean):
    """Mix two directions of a weighted vector.

    Returns the direction that has the mean, with signs, and the product with it.
    """
    part = slice(vectors.starts[i], vectors.starts[i] + vectors.sizes[i])
    a, w = np.abs(vectors.data[part]).astype(np.float64), vectors.weights[part]

    def direction(of, factor):
        if of.lengths[i] > 0.0:
            y = np.maximum(a - of.thresholds[i] * factor * w, 0.0)
            return y / (np.linalg.norm(y) or 1.0)
        return (np.arange(len(a)) == of.marks[i]).astype(np.float64)

    # The kernels may round differences otherwise: what is left must not vanish here.
    x, y = direction(sparse, 1.0), direction(dense, 1.0 - JUMP_MARGIN)
    # (x + share * y) / norm has the mean: a quadratic equation for the share.
    square = (w @ y) ** 2 - mean**2
    half = (w @ x) * (w @ y) - mean**2 * (x @ y)
    rest = (w @ x) ** 2 - mean**2
    share = (np.sqrt(max(half**2 - square * rest, 0.0)) - half) / square
    mixed = x + share * y
    mixed /= np.linalg.norm(mixed)
    signed = mixed * np.sign(vectors.data[part]) + 0.0  # which makes -0 a 0
    return signed, mixed @ a


def _smallest_means(vectors):
    """Means of directions of single entries: 1, or the weights of nonzero entries."""
    if vectors.weights is None:
        return np.ones(len(vectors.sizes))
    weights = np.where(vectors.data == 0.0, np.inf, vectors.weights)
    smallest = np.minimum.reduceat(weights, vectors.starts)
    of_zeros = np.minimum.reduceat(vectors.weights, vectors.starts)
    return np.where(np.isfinite(smallest), smallest, of_zeros)


def _sparsest(vectors, norms, means):
    """Directions of single entries: the largest of those that have these means."""
    zeros = np.zeros_like(means)
    if vectors.weights is None:
        return Directions(norms.largest, means, zeros, zeros, zeros)
    data, starts, sizes, weights, _ = vectors
    candidates = np.where(weights == np.repeat(means, sizes), np.abs(data), -1.0)
    largest = np.maximum.reduceat(candidates, starts)
    places = np.flatnonzero(candidates == np.repeat(largest, sizes))
    marks = places[np.searchsorted(places, starts)] - starts
    return Directions(zeros, means, zeros, zeros, marks)


def _solve_group(vectors, norms, units, options, n_threads):
    """Solve for an average sparsity.

    Returns the multiplier, the solution (None if the vectors are sparse enough), and
    what `_join` says about a vector in between.
    """
    rates, full = _rates(vectors)
    budget = rates @ full - options.sparsity * len(rates)
    tolerance = TOLERANCE * len(rates)
    inside = TOLERANCE_INSIDE[vectors.data.dtype.char] * len(rates)
    if rates @ _means(vectors, norms, n_threads) <= budget + inside:
        return 0.0, None, None
    steps, start = rates / units, options.start
    smallest = _smallest_means(vectors)
    ratios = norms.largest / np.where(smallest > 0.0, smallest, 1.0)
    if rates @ smallest >= budget - tolerance:
        directions = _sparsest(vectors, norms, smallest)
        return np.max(ratios / steps), _solution(vectors, norms, directions), None
    best, value = None, 0.0
    for _ in range(MAX_ASCENT_STEPS):
        problem = Problem(rates, steps, budget, ratios / steps)
        if start is None:
            start = start_from_sample(vectors, problem, options.sparsity, n_threads)
        mu, dense, sparse = bracket_multiplier(
            measured(vectors, n_threads), problem, tolerance, start
        )
        joined = _join(vectors, norms, problem, dense, sparse, tolerance, n_threads)
        # The sum of squares is convex in the directions, so that maximising what it is
        # linearised to never makes it smaller.
        products = joined[0].inner * units
        before, value = value, products @ products
        if best is None or value > before:
            best = mu, *joined
        if options.objective != "ls" or value <= before * (1.0 + ASCENT_TOLERANCE):
            break
        gains = np.where(products > 0.0, products / products.max(), 1.0)
        steps = rates / np.maximum(units * gains, 2.0**SMALLEST_EXPONENT)
        start = START_FACTOR * mu
    return best


def _multiplier_for_zeros(vectors, units, sparsity):
    """Smallest multiplier that makes a part of all entries zero; 0 if they are.

    Each vector keeps the entry that is last to go. What else is kept is a matter of
    order.
    """
    data, starts, sizes, weights, _ = vectors
    n_kept = len(data) - round(sparsity * len(data))
    if np.count_nonzero(data) <= n_kept:
        return 0.0
    rates, _ = _rates(vectors)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.abs(data) * np.repeat(units / rates, sizes)
        if weights is not None:
            ratios = np.where(data == 0.0, 0.0, ratios / weights)
    largest = np.maximum.reduceat(ratios, starts)
    at_top = np.flatnonzero(ratios == np.repeat(largest, sizes))
    last_to_go = at_top[np.searchsorted(at_top, starts)][largest > 0.0]
    ratios[last_to_go] = np.inf
    place = len(data) - max(n_kept, len(last_to_go)) - 1
    ordered = np.partition(ratios, place)[place]
    if not np.isfinite(ordered):  # what is left has no weight
        ordered = np.max(ratios, initial=0.0, where=np.isfinite(ratios))
    return ordered * (1.0 + 4 * EPS)


def _zeros_in_group(vectors, norms, units, sparsity, n_threads):
    """Solve for a fraction of zeros; the solution is None if there are enough."""
    mu = _multiplier_for_zeros(vectors, units, sparsity)
    if mu == 0.0:
        return 0.0, None
    directions = measured(vectors, n_threads).measure(mu * _rates(vectors)[0] / units)
    return mu, _solution(vectors, norms, directions)


def _leave_alone(solution, norms, chosen):
    """Make some vectors of a solution come out as they are."""
    lengths = np.where(norms.lengths > 0.0, norms.lengths, 1.0)
    alone = _Solution(0.0, 0.0, 0.0, lengths, lengths, 0)
    for values, value in zip(solution, alone, strict=True):
        np.copyto(values, value, where=chosen)


def _solve_each(vectors, norms, sparsity, n_threads):
    """Solve for the sparsity of each vector; also return their multipliers."""
    rates, full = _rates(vectors)
    budgets = rates * full - sparsity
    inside = TOLERANCE_INSIDE[vectors.data.dtype.char]
    done = rates * _means(vectors, norms, n_threads) <= budgets + inside
    wanted = np.where(done, np.inf, full - sparsity / rates)
    solution = _exact(vectors, norms, wanted, n_threads)
    thresholds = norms.largest + np.where(solution.marks > 0, 0.0, solution.offsets)
    levels = norms.largest.copy()
    solution = solution._replace(levels=levels)
    _leave_alone(solution, norms, done)
    return np.where(done, 0.0, thresholds / rates), solution


def _zeros_in_each(vectors, norms, sparsity, n_threads):
    """Solve for a fraction of zeros in each vector, as `_solve_each` does."""
    data, starts, sizes, _, _ = vectors
    thresholds = np.empty(len(sizes))
    done = np.empty(len(sizes), dtype=bool)
    for size in np.unique(sizes):
        chosen = np.flatnonzero(sizes == size)
        rows = np.abs(data[starts[chosen, np.newaxis] + np.arange(size)])
        place = min(round(sparsity * size), size - 1) - 1
        done[chosen] = np.count_nonzero(rows == 0.0, axis=1) > place
        rows.partition(max(place, 0), axis=1)
        thresholds[chosen] = rows[:, max(place, 0)]
    directions = measured(vectors, n_threads).measure(thresholds)
    solution = _solution(vectors, norms, directions)
    _leave_alone(solution, norms, done)
    return np.where(done, 0.0, thresholds / _rates(vectors)[0]), solution


def _write(vectors, norms, solution, mixed, scale, out, n_threads):
    """Write the vectors of a solution to `out`, which has the shape of the data."""
    data, starts, sizes, weights, _ = vectors
    levels, offsets, means, lengths, inner, marks = solution
    new_lengths = norms.lengths if scale == "keep_l2" else inner
    factors = new_lengths / np.where(lengths > 0.0, lengths, 1.0)
    if weights is not None:
        _hoyer.write_weighted_directions(
            data, weights, starts, sizes, levels, factors, marks, out, n_threads
        )
        if mixed is not None:
            i, direction = mixed
            part = slice(starts[i], starts[i] + sizes[i])
            out[part] = new_lengths[i] * direction
        return
    others = offsets  # of no meaning where no entries are equal
    if marks.any():
        # Of n equal entries the first is larger, for the mean to be right.
        n = np.maximum(marks, 1)
        spread = np.sqrt(np.maximum((n - 1) * (n - means**2), 0.0))
        first = np.where(n > 1, (means + spread) / n, 1.0)
        factors = np.where(marks > 0, new_lengths * first, factors)
        others = new_lengths * (means - spread / np.maximum(n - 1, 1)) / n
    _hoyer.write_directions(
        data,
        starts,
        sizes,
        levels,
        offsets,
        factors,
        marks,
        others,
        out,
        n_threads,
    )


class HoyerOptions(NamedTuple):
    """Checked arguments of `projection_hoyer`."""

    sparsity: float
    per_vector: bool
    target: str
    scale: str
    objective: str
    start: float | None


def project_vectors(vectors, options, out, n_threads):
    """Project the vectors; also return the multiplier.

    The result is written to `out`, which has the shape of the data, if it is not None.
    The data may be overwritten if they are a copy.
    """
    vectors, norms, exponents = norms_of(vectors, n_threads)
    top, units = 0, 1.0
    if exponents is not None:
        top = exponents.max()
        units = np.exp2(np.maximum(exponents - top, SMALLEST_EXPONENT))
    mixed = None
    if options.per_vector:
        solve = _zeros_in_each if options.target == "zeros" else _solve_each
        mu, solution = solve(vectors, norms, options.sparsity, n_threads)
        top = 0 if exponents is None else exponents
    elif options.target == "zeros":
        mu, solution = _zeros_in_group(
            vectors, norms, units, options.sparsity, n_threads
        )
    else:
        if options.start is not None:
            options = options._replace(start=np.ldexp(options.start, -top))
        mu, solution, mixed = _solve_group(vectors, norms, units, options, n_threads)
    dtype = vectors.data.dtype
    with np.errstate(over="ignore"):
        lengths = np.ldexp(norms.lengths, 0 if exponents is None else exponents)
        # Entries may grow, up to the length of their vector.
        may_overflow = lengths.max() > np.finfo(dtype).max
        result = None if may_overflow else out
        if result is None:
            result = vectors.data if vectors.is_copy else np.empty_like(vectors.data)
        if solution is not None:
            _write(vectors, norms, solution, mixed, options.scale, result, n_threads)
        elif result is not vectors.data:
            np.copyto(result, vectors.data)
        if exponents is not None:
            np.ldexp(result, np.repeat(exponents, vectors.sizes), out=result)
        if may_overflow and not np.isfinite(result).all():
            raise ValueError(
                f"X is too large: its projection has entries above the largest {dtype}."
            )
        if out is not None and out is not result:
            np.copyto(out, result)
        return result, np.ldexp(mu, top)


def sparsities(vectors, n_threads):
    """Hoyer sparsity of each vector."""
    vectors, norms, _ = norms_of(vectors, n_threads)
    rates, full = _rates(vectors)
    levels = rates * (full - _means(vectors, norms, n_threads))
    return np.clip(levels, 0.0, 1.0)
