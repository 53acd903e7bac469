"""The search behind the group sparse projection.

Of vectors c_i let a_i = abs(c_i). Wanted are directions x_i >= 0 of length 1 with the
largest sum of x_i @ a_i, whose means w_i @ x_i do not cost more than a budget: that is
what the average sparsity says. For a multiplier mu the directions are those of
max(a_i - mu * step_i * w_i, 0), and their cost falls as mu rises.
"""

import math
from typing import NamedTuple

import numpy as np

from skproj._kernels import _hoyer

EPS = np.finfo(np.float64).eps

# How far the average sparsity may be from the target, and up to which distance an
# input is left alone: the rounding of a result must not make it be projected again.
TOLERANCE = 1e-12
TOLERANCE_INSIDE = {"f": 6e-8, "d": 4e-12}

# Squares of entries between these numbers, and of differences of neighbours, neither
# overflow nor lose digits.
SMALLEST_SAFE, LARGEST_SAFE = 1e-130, 1e140

# A bracket of multipliers this narrow, relatively, is a jump. One around a multiplier
# where a jump is suspected is half as wide; entries that differ by less than TIE may
# be the cause of one.
COLLAPSED = 32 * EPS
JUST = 8 * EPS
TIE = 1e-12

# The search begins with about as many entries as SAMPLE, of each vector at least
# MIN_PART, and goes on with all of them a little to the left of what that gives.
SAMPLE, MIN_PART = 1 << 15, 256
SAMPLE_TOLERANCE = 1e-4
LEFT_OF_START = 0.98

# Exponent of the smallest factor between the vectors that matters; what is divided by
# its power of two must not overflow.
SMALLEST_UNIT = -800.0

# Steps of the ascent that replaces the surrogate by the squared error.
MAX_ASCENT, ASCENT_TOLERANCE = 100, 1e-10


class Vectors(NamedTuple):
    """Vectors one after the other: ``data[starts[i]:starts[i] + sizes[i]]``.

    data : float32 or float64 array of shape (n_entries,).
    weights : float64 array of the same shape, at most 1; None if all of them are 1.
    is_copy : whether `data` is no memory of the user.
    """

    data: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray
    weights: np.ndarray | None
    is_copy: bool


def starts_of(sizes):
    """Where vectors begin that follow one another."""
    return np.cumsum(sizes) - sizes


# ---------------------------------------------------------------------------
# Sums over the entries


class _Norms(NamedTuple):
    """Norms of all vectors, as float64 arrays of shape (n_vectors,)."""

    largest: np.ndarray
    sums: np.ndarray
    lengths: np.ndarray


def _norms(vectors, n_threads):
    """Compute the norms; also scale vectors whose squares are out of range.

    Returns the vectors, their norms, and the exponents of the powers of two that they
    have been divided by; None if there are none.
    """
    norms = _Norms(*np.empty((3, len(vectors.sizes))))
    where = vectors.data, vectors.starts, vectors.sizes
    _hoyer.vector_norms(*where, *norms, n_threads)
    largest = norms.largest
    if not np.isfinite(largest).all():
        raise ValueError("X contains NaN or infinity.")
    if (
        vectors.data.dtype == np.float32
        or not (
            ((largest < SMALLEST_SAFE) & (largest > 0.0)) | (largest > LARGEST_SAFE)
        ).any()
    ):
        return vectors, norms, None
    _, exponents = np.frexp(largest)
    exponents -= 1  # 2 to the power of the largest exponent would be infinite
    exponents[largest == 0.0] = exponents[largest > 0.0].max()
    data = np.ldexp(vectors.data, np.repeat(-exponents, vectors.sizes))
    scaled, norms, _ = _norms(vectors._replace(data=data, is_copy=True), n_threads)
    return scaled, norms, exponents


class _Directions(NamedTuple):
    """What the kernels measure at thresholds, arrays of shape (n_vectors,).

    `marks` are the numbers of entries above the thresholds; for weighted vectors the
    entries that are left of spent ones and -1 for others.
    """

    thresholds: np.ndarray
    means: np.ndarray
    lengths: np.ndarray
    slopes: np.ndarray
    marks: np.ndarray


class _Measured:
    """Vectors that are measured at several thresholds."""

    def __init__(self, vectors, n_threads):
        self.vectors = vectors
        self.n_threads = n_threads

    def measure(self, thresholds):
        """Measure the directions at thresholds of shape (n_vectors,)."""
        directions = _Directions(
            thresholds,
            *np.empty((3, len(thresholds))),
            np.empty(len(thresholds), dtype=np.intp),
        )
        self._measure(directions)
        return directions

    def _measure(self, directions):
        data, starts, sizes, weights, _ = self.vectors
        _hoyer.measure_weighted_directions(
            data, weights, starts, sizes, *directions, self.n_threads
        )

    def forget_below(self, directions):
        """Note that no threshold will be below those of some directions again."""


class _Collected(_Measured):
    """The same without weights, where entries below all thresholds are dropped."""

    def __init__(self, vectors, n_threads):
        super().__init__(vectors, n_threads)
        n_vectors = len(vectors.sizes)
        self.starts = vectors.starts + _hoyer.SLACK * np.arange(n_vectors)
        n_entries = len(vectors.data) + _hoyer.SLACK * n_vectors
        self.kept = np.empty(n_entries, dtype=vectors.data.dtype)
        self.sizes = np.empty(n_vectors, dtype=np.intp)
        self.is_whole = True

    def _measure(self, directions):
        if self.is_whole:
            data, starts, sizes, _, _ = self.vectors
            self._collect(data, starts, sizes, directions.thresholds)
        _hoyer.measure_directions(
            self.kept, self.starts, self.sizes, *directions, self.n_threads
        )

    def _collect(self, data, starts, sizes, thresholds):
        _hoyer.collect_entries(
            data,
            starts,
            sizes,
            thresholds,
            self.kept,
            self.starts,
            self.sizes,
            self.n_threads,
        )

    def forget_below(self, directions):
        """Keep what is above the thresholds of the directions measured last."""
        if self.is_whole:
            self.is_whole = False
        elif 4 * directions.marks.sum() < 3 * self.sizes.sum():
            self._collect(self.kept, self.starts, self.sizes, directions.thresholds)


def _measured(vectors, n_threads):
    kind = _Collected if vectors.weights is None else _Measured
    return kind(vectors, n_threads)


# ---------------------------------------------------------------------------
# The multiplier


class _Problem(NamedTuple):
    """Maximise the products with the directions, which have a budget for their means.

    rates : what a unit of the mean of each vector costs.
    steps : threshold of each vector per unit of the multiplier.
    budget : for the cost of all means.
    limits : multipliers from which on the vectors are spent, or nearly so if they have
        weights.
    """

    rates: np.ndarray
    steps: np.ndarray
    budget: float
    limits: np.ndarray


def _sample(vectors, problem, sparsity):
    """Take some entries of some of the vectors, and the problem that they pose."""
    starts, sizes = vectors.starts, vectors.sizes
    apart = np.minimum(max(len(vectors.data) // SAMPLE, 1), sizes // MIN_PART)
    apart = np.maximum(apart, 1)
    parts = -(-sizes // apart)
    chosen = np.arange(0, len(sizes), max(parts.sum() // SAMPLE, 1))
    starts, sizes, apart = starts[chosen], sizes[chosen], apart[chosen]
    parts = parts[chosen]
    data = np.concatenate(
        [
            vectors.data[start : start + size : step]
            for start, size, step in zip(starts, sizes, apart, strict=True)
        ]
    )
    rates = problem.rates[chosen]
    budget = rates @ np.sqrt(sizes) - sparsity * len(sizes)
    # A mean is proportional to the square root of the number of entries.
    rates = rates * np.sqrt(sizes / parts)
    sampled = Vectors(data, starts_of(parts), parts, None, is_copy=True)
    steps, limits = problem.steps[chosen], problem.limits[chosen]
    return sampled, _Problem(rates, steps, budget, limits)


class _Jumps:
    """Multipliers at which vectors with several largest entries are spent at once."""

    def __init__(self, measured, problem):
        self.measured = measured
        self.problem = problem
        self.places = None

    def beside_the_middle_one(self, low, high):
        """List multipliers on both sides of one between two others, if there is one.

        The last one comes first. With weights nothing is known about jumps.
        """
        if not isinstance(self.measured, _Collected):
            return []
        if self.places is None:
            limits, steps = self.problem.limits, self.problem.steps
            nearly = self.measured.measure(limits * steps * (1.0 - TIE))
            self.places = np.sort(limits[nearly.marks > 1])
        places = self.places[(low < self.places) & (self.places < high)]
        if len(places) == 0:
            return []
        middle = places[len(places) // 2]
        return [middle * (1.0 + JUST), middle * (1.0 - JUST)]


def _between(low, high):
    """Halve a bracket, on a logarithmic scale if it is wide."""
    if low == 0.0:
        return 1e-4 * high
    if high > 16.0 * low:
        return math.sqrt(low) * math.sqrt(high)
    return low + (high - low) / 2


def _bracket(measured, problem, tolerance, start):
    """Find where the cost of the means falls to the budget.

    Newton's method, with bisection where that does not bring the cost nearer. Where
    vectors have several largest entries the cost jumps; these places are tried first.
    What has an entry for each vector may be arrays or tensors of PyTorch.

    Returns the multiplier and the directions on both sides of it: the same ones unless
    it is a jump.
    """
    rates, steps, budget, limits = problem
    low, high = 0.0, float(limits.max()) * (1.0 + 4 * EPS)
    dense = sparse = None
    jumps = _Jumps(measured, problem)
    pending = [start] if start is not None and low < start < high else [low]
    n_stalls, last_error = 0, np.inf
    while True:
        mu = pending.pop()
        directions = measured.measure(mu * steps)
        error = float(rates @ directions.means) - budget
        if abs(error) <= tolerance:
            return mu, directions, directions
        if error > 0.0:
            low, dense = mu, directions
            measured.forget_below(directions)
            if low >= high:  # weighted vectors are not spent there
                high *= 4.0
        else:
            high, sparse = mu, directions
        n_stalls = n_stalls + 1 if abs(error) > last_error / 2 else 0
        last_error = abs(error)

        if high - low <= COLLAPSED * high:
            if sparse is not None:
                return high, dense or measured.measure(low * steps), sparse
            pending = [high]
            continue
        pending = [mu for mu in pending if low < mu < high]
        if pending:
            continue
        slope = float((rates * steps) @ directions.slopes)
        newton = mu - error / slope if slope < 0.0 else high
        if low < newton < high and n_stalls < 2:
            pending = [newton]
        else:
            beside = jumps.beside_the_middle_one(low, high)
            pending = [mu for mu in beside if low < mu < high]
            pending = pending or [_between(low, high)]


# ---------------------------------------------------------------------------
# Solutions


class _Solution(NamedTuple):
    """What the writing kernels want, and the products of vectors and directions.

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
    """What a mean costs, per vector, and the mean if the entries are as the weights."""
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
    measured = _Measured(vectors, n_threads)
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
    directions = _Directions(
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
    one_norms = _Norms(*(norm[i : i + 1] for norm in norms))
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
    x, y = direction(sparse, 1.0), direction(dense, 1.0 - JUST)
    # (x + share * y) / norm has the mean: a quadratic equation for the share.
    square = (w @ y) ** 2 - mean**2
    half = (w @ x) * (w @ y) - mean**2 * (x @ y)
    rest = (w @ x) ** 2 - mean**2
    share = (np.sqrt(max(half**2 - square * rest, 0.0)) - half) / square
    mixed = x + share * y
    mixed /= np.linalg.norm(mixed)
    signed = mixed * np.sign(vectors.data[part]) + 0.0  # which makes -0 a 0
    return signed, mixed @ a


def _start_from_sample(vectors, problem, sparsity, n_threads):
    """Solve for a part of the entries; None if there are few, or it does not work."""
    if vectors.weights is not None or len(vectors.data) < 4 * SAMPLE:
        return None
    sampled, problem = _sample(vectors, problem, sparsity)
    if problem.budget <= problem.rates.sum():
        return None
    tolerance = SAMPLE_TOLERANCE * len(problem.rates)
    mu, _, _ = _bracket(_Collected(sampled, n_threads), problem, tolerance, None)
    return LEFT_OF_START * mu


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
        return _Directions(norms.largest, means, zeros, zeros, zeros)
    data, starts, sizes, weights, _ = vectors
    candidates = np.where(weights == np.repeat(means, sizes), np.abs(data), -1.0)
    largest = np.maximum.reduceat(candidates, starts)
    places = np.flatnonzero(candidates == np.repeat(largest, sizes))
    marks = places[np.searchsorted(places, starts)] - starts
    return _Directions(zeros, means, zeros, zeros, marks)


def _solve_group(vectors, norms, units, task, n_threads):
    """Solve for an average sparsity.

    Returns the multiplier, the solution (None if the vectors are sparse enough), and
    what `_join` says about a vector in between.
    """
    rates, full = _rates(vectors)
    budget = rates @ full - task.sparsity * len(rates)
    tolerance = TOLERANCE * len(rates)
    inside = TOLERANCE_INSIDE[vectors.data.dtype.char] * len(rates)
    if rates @ _means(vectors, norms, n_threads) <= budget + inside:
        return 0.0, None, None
    steps, start = rates / units, task.start
    smallest = _smallest_means(vectors)
    ratios = norms.largest / np.where(smallest > 0.0, smallest, 1.0)
    if rates @ smallest >= budget - tolerance:
        directions = _sparsest(vectors, norms, smallest)
        return np.max(ratios / steps), _solution(vectors, norms, directions), None
    best, value = None, 0.0
    for _ in range(MAX_ASCENT):
        problem = _Problem(rates, steps, budget, ratios / steps)
        if start is None:
            start = _start_from_sample(vectors, problem, task.sparsity, n_threads)
        mu, dense, sparse = _bracket(
            _measured(vectors, n_threads), problem, tolerance, start
        )
        joined = _join(vectors, norms, problem, dense, sparse, tolerance, n_threads)
        # The sum of squares is convex in the directions, so that maximising what it is
        # linearised to never makes it smaller.
        products = joined[0].inner * units
        before, value = value, products @ products
        if best is None or value > before:
            best = mu, *joined
        if task.objective != "ls" or value <= before * (1.0 + ASCENT_TOLERANCE):
            break
        gains = np.where(products > 0.0, products / products.max(), 1.0)
        steps = rates / np.maximum(units * gains, 2.0**SMALLEST_UNIT)
        start = LEFT_OF_START * mu
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
    directions = _measured(vectors, n_threads).measure(mu * _rates(vectors)[0] / units)
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
    directions = _measured(vectors, n_threads).measure(thresholds)
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


class Task(NamedTuple):
    """What `projection_hoyer` is asked for, by the names of its arguments."""

    sparsity: float
    per_vector: bool
    target: str
    scale: str
    objective: str
    start: float | None


def project_vectors(vectors, task, out, n_threads):
    """Project the vectors; also return the multiplier.

    The result is written to `out`, which has the shape of the data, if it is not None.
    The data may be overwritten if they are a copy.
    """
    vectors, norms, exponents = _norms(vectors, n_threads)
    top, units = 0, 1.0
    if exponents is not None:
        top = exponents.max()
        units = np.exp2(np.maximum(exponents - top, SMALLEST_UNIT))
    mixed = None
    if task.per_vector:
        solve = _zeros_in_each if task.target == "zeros" else _solve_each
        mu, solution = solve(vectors, norms, task.sparsity, n_threads)
        top = 0 if exponents is None else exponents
    elif task.target == "zeros":
        mu, solution = _zeros_in_group(vectors, norms, units, task.sparsity, n_threads)
    else:
        if task.start is not None:
            task = task._replace(start=np.ldexp(task.start, -top))
        mu, solution, mixed = _solve_group(vectors, norms, units, task, n_threads)
    dtype = vectors.data.dtype
    with np.errstate(over="ignore"):
        lengths = np.ldexp(norms.lengths, 0 if exponents is None else exponents)
        # Entries may grow, up to the length of their vector.
        may_overflow = lengths.max() > np.finfo(dtype).max
        result = None if may_overflow else out
        if result is None:
            result = vectors.data if vectors.is_copy else np.empty_like(vectors.data)
        if solution is not None:
            _write(vectors, norms, solution, mixed, task.scale, result, n_threads)
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
    vectors, norms, _ = _norms(vectors, n_threads)
    rates, full = _rates(vectors)
    levels = rates * (full - _means(vectors, norms, n_threads))
    return np.clip(levels, 0.0, 1.0)
