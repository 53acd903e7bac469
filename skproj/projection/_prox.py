"""The way from a proximity operator to the engine of the projections."""

from skproj.projection._engine import project
from skproj.projection._layout import check_radius


def _check_alpha(alpha):
    """Return `alpha` as a non-negative float; infinity is allowed."""
    try:
        return check_radius(alpha)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("radius", "alpha", 1)) from None


def apply_prox(X, alpha, solver, axis, out, n_threads):
    """Apply the map that `solver` finds for a factor of the norm."""
    return project(X, _check_alpha(alpha), solver, axis, out, n_threads, False)
