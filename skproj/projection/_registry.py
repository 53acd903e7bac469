"""One table of the balls that the rest of skproj iterates over."""

import numpy as np

from skproj.projection._bilevel import BILEVEL_L1INF, BILEVEL_L11
from skproj.projection._l1 import L1
from skproj.projection._l1inf import L1INF
from skproj.projection._l2_linf import L2, LINF
from skproj.projection._l12 import BILEVEL_L12, L12

BALLS = {
    ball.name: ball
    for ball in (L1, L12, L1INF, BILEVEL_L11, BILEVEL_L12, BILEVEL_L1INF, L2, LINF)
}

# The names that an estimator accepts.
SPARSIFYING = tuple(name for name, ball in BALLS.items() if ball.sparsifying)


def project_by_callable(projection, W, radius, *, axis):
    """Project a weight matrix by a user's ``projection(W, radius, *, axis)``.

    The matrix is not changed. A ValueError is raised for a result of another shape, or
    with NaN or infinity.
    """
    P = np.asarray(projection(W.copy(), radius, axis=axis), dtype=W.dtype)
    if P.shape != W.shape:
        raise ValueError(
            "projection must return an array of the shape of its argument, "
            f"{W.shape}, got shape {P.shape}."
        )
    if not np.isfinite(P).all():
        raise ValueError("projection returned NaN or infinity.")
    return P
