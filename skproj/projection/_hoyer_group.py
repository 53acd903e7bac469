"""The group sparse projection of vectors of arrays or of tensors, with one algorithm.

`_hoyer_search.py` describes the problem. A `Group` has the numbers of its vectors in
arrays or in tensors of PyTorch; here they meet operators and methods that both have.
"""

from abc import ABC, abstractmethod

from skproj.projection._hoyer_search import MultiplierProblem, bracket_multiplier

# How far the average sparsity may be from the target, and up to which distance an
# input is left alone: the rounding of a result must not make it be projected again.
TOLERANCE = 1e-12
TOLERANCE_INSIDE = {"f": 6e-8, "d": 4e-12}

# Exponent of the smallest factor between the vectors that matters; what is divided by
# its power of two must not overflow.
SMALLEST_EXPONENT = -800.0


class Group(ABC):
    """Vectors to project, and the directions that solve a problem for them.

    Numbers of the vectors have the shape (n_vectors,). A solution is whatever its group
    writes the result from.

    Attributes
    ----------
    rates : array or tensor
        Cost of a mean of a direction.
    full : array or tensor
        Mean if the entries are as the weights: the largest one.
    largest : array or tensor
        Largest absolute values.
    units : float, array or tensor
        Numbers that the vectors have been divided by, relative to the largest of them.
    inside : float
        How far the sparsity of a vector that is left alone may be from the target.
    """

    @abstractmethod
    def means(self):
        """Return the means of the directions of the vectors themselves."""

    @abstractmethod
    def smallest_means(self):
        """Return the means of directions of single entries."""

    @abstractmethod
    def measured(self):
        """Return the vectors in the form that `bracket_multiplier` measures."""

    @abstractmethod
    def start_from_sample(self, problem, sparsity):
        """Return a multiplier to start the search from, or None."""

    @abstractmethod
    def solution(self, directions):
        """Return the solution that has been measured."""

    @abstractmethod
    def single_entries(self, means):
        """Return the solution of the largest entries that have these means."""

    @abstractmethod
    def joined(self, is_dense, dense, sparse):
        """Return the solution with the denser of two directions of some vectors."""

    @abstractmethod
    def with_mean(self, solution, i, mean, dense, sparse):
        """Return the solution whose vector i has a mean between two directions."""

    @abstractmethod
    def solve_each(self, sparsity):
        """Solve for the sparsity of each vector; also return their multipliers."""


def solve(group, sparsity, per_vector, start):
    """Return the multiplier, or that of each vector, and the solution.

    The solution is None if the vectors are sparse enough. The arguments are those of
    `projection_hoyer`, with `start` in the units of the group.
    """
    if per_vector:
        return group.solve_each(sparsity)
    rates = group.rates
    budget = float(rates @ group.full) - sparsity * len(rates)
    tolerance, inside = TOLERANCE * len(rates), group.inside * len(rates)
    if rates @ group.means() <= budget + inside:
        return 0.0, None
    steps = rates / group.units
    smallest = group.smallest_means()
    limits = group.largest / (smallest + (smallest == 0.0))
    if rates @ smallest >= budget - tolerance:
        return float((limits / steps).max()), group.single_entries(smallest)
    problem = MultiplierProblem(rates, steps, budget, limits / steps)
    if start is None:
        start = group.start_from_sample(problem, sparsity)
    mu, *sides = bracket_multiplier(group.measured(), problem, tolerance, start)
    return mu, _join(group, problem, *sides, tolerance)


def _join(group, problem, dense, sparse, tolerance):
    """Choose between both sides of a jump, vector by vector, to meet the budget.

    The first vectors take the dense side, and one a mean in between: as long as they
    are on the same side of everything else, all choices are equally good.
    """
    if dense is sparse:
        return group.solution(dense)
    gains = (problem.rates * (dense.means - sparse.means)).clip(min=0.0)
    room = problem.budget - problem.rates @ sparse.means
    used = gains.cumsum(0)
    is_dense = used <= room + tolerance
    solution = group.joined(is_dense, dense, sparse)
    i = int(is_dense.sum())
    room = float(room - used[i - 1] if i else room)
    if i == len(gains) or room <= tolerance:
        return solution
    mean = sparse.means[i] + room / problem.rates[i]
    return group.with_mean(solution, i, mean, dense, sparse)
