"""The search for the multiplier of the group sparse projection.

The problem: given vectors c_i, with a_i = abs(c_i), find directions x_i >= 0 of length
1 with the largest sum of x_i @ a_i. The mean w_i @ x_i of a direction has a cost, and a
budget limits the sum of the costs: that is the average sparsity. For a multiplier mu
the directions are those of max(a_i - mu * step_i * w_i, 0). Their cost falls as mu
rises. A vector is spent where this is zero: its direction is that of its last entry.
"""

import math
from typing import NamedTuple

import numpy as np

from skproj.projection._hoyer_vectors import Collected, Vectors, starts_of

EPS = np.finfo(np.float64).eps

# A bracket of multipliers this narrow, relatively, is a jump. One around a multiplier
# where a jump is suspected is half as wide; entries that differ by less than
# TIE_TOLERANCE may be the cause of one.
MIN_BRACKET_WIDTH = 32 * EPS
JUMP_MARGIN = 8 * EPS
TIE_TOLERANCE = 1e-12

# The search begins with about MAX_SAMPLE_ENTRIES entries, of each vector at least
# MIN_VECTOR_SAMPLE, and goes on with all of them a little to the left of what that
# gives.
MAX_SAMPLE_ENTRIES, MIN_VECTOR_SAMPLE = 1 << 15, 256
SAMPLE_TOLERANCE = 1e-4
START_FACTOR = 0.98


class MultiplierProblem(NamedTuple):
    """Numbers of the problem, for each vector but for the budget.

    rates : cost of a unit of the mean.
    steps : threshold per unit of the multiplier.
    budget : sum of the costs of all means.
    limits : smallest multiplier at which the vector is spent; with weights, about that.
    """

    rates: np.ndarray
    steps: np.ndarray
    budget: float
    limits: np.ndarray


class _Jumps:
    """Multipliers at which vectors with several largest entries are spent at once."""

    def __init__(self, measured, problem):
        self.measured = measured
        self.problem = problem
        self.places = None

    def around_middle_jump(self, low, high):
        """List the multipliers right and left of the middle jump between two others.

        The list is empty if there is no jump, or with weights, where none is known.
        """
        if not isinstance(self.measured, Collected):
            return []
        if self.places is None:
            limits, steps = self.problem.limits, self.problem.steps
            nearly = self.measured.measure(limits * steps * (1.0 - TIE_TOLERANCE))
            self.places = np.sort(limits[nearly.marks > 1])
        places = self.places[(low < self.places) & (self.places < high)]
        if len(places) == 0:
            return []
        middle = places[len(places) // 2]
        return [middle * (1.0 + JUMP_MARGIN), middle * (1.0 - JUMP_MARGIN)]


def _between(low, high):
    """Halve a bracket, on a logarithmic scale if it is wide."""
    if low == 0.0:
        return 1e-4 * high
    if high > 16.0 * low:
        return math.sqrt(low) * math.sqrt(high)
    return low + (high - low) / 2


def bracket_multiplier(measured, problem, tolerance, start):
    """Find where the cost of the means falls to the budget.

    Newton's method, with bisection where that does not bring the cost nearer. Where
    vectors have several largest entries the cost jumps; these places are tried first.
    The numbers of the vectors may be in arrays or in tensors of PyTorch.

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

        if high - low <= MIN_BRACKET_WIDTH * high:
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
            beside = jumps.around_middle_jump(low, high)
            pending = [mu for mu in beside if low < mu < high]
            pending = pending or [_between(low, high)]


def start_from_sample(vectors, problem, sparsity, n_threads):
    """Solve for a part of the entries; None if there are few, or it does not work."""
    if vectors.weights is not None or len(vectors.data) < 4 * MAX_SAMPLE_ENTRIES:
        return None
    sampled, problem = _sample(vectors, problem, sparsity)
    if problem.budget <= problem.rates.sum():
        return None
    tolerance = SAMPLE_TOLERANCE * len(problem.rates)
    mu, _, _ = bracket_multiplier(
        Collected(sampled, n_threads), problem, tolerance, None
    )
    return START_FACTOR * mu


def _sample(vectors, problem, sparsity):
    """Return some entries of some of the vectors, and their problem."""
    starts, sizes = vectors.starts, vectors.sizes
    apart = np.minimum(
        max(len(vectors.data) // MAX_SAMPLE_ENTRIES, 1), sizes // MIN_VECTOR_SAMPLE
    )
    apart = np.maximum(apart, 1)
    parts = -(-sizes // apart)
    chosen = np.arange(0, len(sizes), max(parts.sum() // MAX_SAMPLE_ENTRIES, 1))
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
    return sampled, MultiplierProblem(rates, steps, budget, limits)
