"""One table of the balls that the rest of skproj iterates over."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skproj.projection._bilevel import (
    projection_bilevel_l1inf_ball,
    projection_bilevel_l11_ball,
)
from skproj.projection._l1 import projection_l1_ball
from skproj.projection._l1inf import projection_l1inf_ball
from skproj.projection._l2_linf import projection_l2_ball, projection_linf_ball
from skproj.projection._l12 import projection_bilevel_l12_ball, projection_l12_ball
from skproj.projection._norms import (
    norm_l1inf,
    norm_l2,
    norm_l11,
    norm_l12,
    norm_linf,
    norm_linf1,
    norm_linf2,
)


@dataclass(frozen=True)
class Ball:
    """A ball that a matrix can be projected onto.

    The registry `BALLS` holds one for each name. The estimators accept those that
    make zeros.

    Parameters
    ----------
    name : str
        What the estimators call it.
    projection : callable
        ``projection(X, radius, *, axis, out, n_threads, return_threshold)``.
    norm : callable
        The norm that is at most the radius, ``norm(X, *, axis)``.
    dual_norm : callable
        Its dual, ``dual_norm(X, *, axis)``.
    inner_norm : {1, 2, inf}
        Order of the norm inside a group.
    exact : bool
        Whether the projection is the nearest point of the ball.
    grouped : bool, default=True
        Whether the projection treats groups as such; otherwise one threshold holds
        for all entries.
    sparsifying : bool, default=True
        Whether projecting makes entries or groups zero.

    Examples
    --------
    >>> from skproj.projection import BALLS
    >>> ball = BALLS["l1inf"]
    >>> W = [[3.0, 1.0, 0.5], [-1.0, 1.0, 0.0]]
    >>> ball.norm(W), ball.norm(ball.project(W, 2.0))
    (4.5, 2.0)
    """

    name: str
    projection: Callable
    norm: Callable
    dual_norm: Callable
    inner_norm: float
    exact: bool
    grouped: bool = True
    sparsifying: bool = True

    def project(self, X, radius, *, axis=0, out=None, n_threads=None):
        """Project an array whose groups run along `axis`.

        Parameters
        ----------
        X : array-like or sparse matrix
            Input of dtype float32 or float64; integers are converted to float64.
        radius : float
            Radius of the ball.
        axis : int or tuple of int, default=0
            What the groups run along. A ball without groups takes all entries
            together, whatever the axis.
        out : ndarray of the shape and dtype of `X`, default=None
            Where to write the result; may be `X` itself. It must be None if `X` is
            sparse.
        n_threads : int, default=None
            Number of OpenMP threads, as in the functions.

        Returns
        -------
        P : ndarray or sparse matrix of the shape and dtype of `X`
            The projection, sparse if `X` is: in CSC if `X` is, otherwise in CSR.
        """
        if not self.grouped:
            axis = None
        return self.projection(X, radius, axis=axis, out=out, n_threads=n_threads)


@functools.wraps(norm_l2, assigned=("__doc__",))
def _l2_of_all(X, *, axis=0, n_threads=None):
    return norm_l2(X, n_threads=n_threads)


@functools.wraps(norm_linf, assigned=("__doc__",))
def _linf_of_all(X, *, axis=0, n_threads=None):
    return norm_linf(X, n_threads=n_threads)


_L1 = {"norm": norm_l11, "dual_norm": _linf_of_all, "inner_norm": 1}
_L12 = {"norm": norm_l12, "dual_norm": norm_linf2, "inner_norm": 2}
_L1INF = {"norm": norm_l1inf, "dual_norm": norm_linf1, "inner_norm": np.inf}
_DENSE = {"exact": True, "grouped": False, "sparsifying": False}

BALLS = {
    ball.name: ball
    for ball in (
        Ball("l1", projection_l1_ball, **_L1, exact=True, grouped=False),
        Ball("l12", projection_l12_ball, **_L12, exact=True),
        Ball("l1inf", projection_l1inf_ball, **_L1INF, exact=True),
        Ball("bilevel_l11", projection_bilevel_l11_ball, **_L1, exact=False),
        Ball("bilevel_l12", projection_bilevel_l12_ball, **_L12, exact=True),
        Ball("bilevel_l1inf", projection_bilevel_l1inf_ball, **_L1INF, exact=False),
        Ball("l2", projection_l2_ball, _l2_of_all, _l2_of_all, 2, **_DENSE),
        Ball("linf", projection_linf_ball, _linf_of_all, norm_l11, np.inf, **_DENSE),
    )
}

# The names that an estimator accepts.
SPARSIFYING = tuple(name for name, ball in BALLS.items() if ball.sparsifying)


def project_weights(projection, W, radius, *, axis, n_threads=1):
    """Project a weight matrix by the `projection` parameter of an estimator.

    Parameters
    ----------
    projection : str or callable
        A key of `BALLS`, or a function ``f(W, radius, *, axis)``.
    W : ndarray of shape (n_rows, n_columns)
        Not changed.
    radius : float
    axis : int
        What the groups run along.
    n_threads : int, default=1

    Returns
    -------
    P : ndarray of the shape and dtype of `W`

    Raises
    ------
    ValueError
        If a callable returns an array of another shape, or NaN or infinity.
    """
    if not callable(projection):
        return BALLS[projection].project(W, radius, axis=axis, n_threads=n_threads)
    P = np.asarray(projection(W.copy(), radius, axis=axis), dtype=W.dtype)
    if P.shape != W.shape:
        raise ValueError(
            "projection must return an array of the shape of its argument, "
            f"{W.shape}, got shape {P.shape}."
        )
    if not np.isfinite(P).all():
        raise ValueError("projection returned NaN or infinity.")
    return P


def weight_norms(projection, W, *, axis):
    """Norm of each group, in the inner norm of the ball (l2 for a callable)."""
    order = 2 if callable(projection) else BALLS[projection].inner_norm
    return np.linalg.norm(W, ord=order, axis=axis)
