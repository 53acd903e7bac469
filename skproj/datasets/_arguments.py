"""Checks, docstrings and names that the generators of data share."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state

from skproj.utils._validation import Interval

DOCS = {
    "seed_and_bunch": """
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` instead of a Bunch.
    random_state : int, RandomState instance or None, default=None
        Seed of all that is random.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.
    """,
    "end_of_bunch": """
        DESCR : str
            This description.
    (X, y) : tuple
        Only `data` and `target`, if `return_X_y`.

    Raises
    ------
    ValueError
    """,
}


def at_least(smallest):
    return [Interval(Integral, smallest, None, closed="left")]


def between(smallest, largest, closed="both"):
    return [Interval(Real, smallest, largest, closed=closed)]


def draw_seed(random_state):
    """Return a seed for a Generator, which draws twice as fast as a RandomState."""
    return check_random_state(random_state).randint(2**32, size=4, dtype=np.uint32)


def numbered_names(kind, n):
    """Return the names of features, of dtype object."""
    return np.array([f"{kind}{j}" for j in range(n)], dtype=object)
