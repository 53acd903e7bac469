"""Checks, docstrings and names that the generators of data share."""

import numbers

import numpy as np
from sklearn.utils import check_random_state, check_scalar

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
    TypeError
        If an argument has the wrong type.
    ValueError
    """,
}


def check_arguments(arguments, integers, ranges, booleans=()):
    """Refuse arguments of a wrong type or out of range.

    `arguments` are all of them by name, `booleans` the names of some. `integers` has
    the smallest value of each integer; `ranges` has the smallest and the largest value
    of each other number, and which of the two are allowed. Where there is no largest
    value, that is None, numbers must be finite.
    """
    for name, smallest in integers.items():
        check_scalar(arguments[name], name, numbers.Integral, min_val=smallest)
    for name, (smallest, largest, boundaries) in ranges.items():
        value = arguments[name]
        check_scalar(
            value,
            name,
            numbers.Real,
            min_val=smallest,
            max_val=largest,
            include_boundaries=boundaries,
        )
        if not np.isfinite(value):
            kind = "finite" if largest is None else "a number"
            raise ValueError(f"{name} must be {kind}, got {value!r} instead.")
    for name in booleans:
        check_scalar(arguments[name], name, (bool, np.bool_))


def check_room(n_needed, what, most, n_most):
    """Refuse more features than there are."""
    if n_needed > n_most:
        raise ValueError(
            f"{what} must be at most {most}={n_most}, got {n_needed} instead."
        )


def draw_seed(random_state):
    """Return a seed for a Generator, which draws twice as fast as a RandomState."""
    return check_random_state(random_state).randint(2**32, size=4, dtype=np.uint32)


def numbered_names(kind, n):
    """Return the names of features, of dtype object."""
    return np.array([f"{kind}{j}" for j in range(n)], dtype=object)
