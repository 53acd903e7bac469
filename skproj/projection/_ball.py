"""A ball: its norms, its projection and its proximity operator."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ball:
    """A ball that a matrix can be projected onto.

    The registry `BALLS` holds one for each name. The estimators accept those that
    make zeros.

    Parameters
    ----------
    name : str
        Name of the ball in the estimators.
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
        Whether groups matter. If not, `project` ignores its `axis`, and one threshold
        holds for all entries, as in the l1 ball.
    sparsifying : bool, default=True
        Whether projecting makes entries or groups zero.
    prox : callable or None, default=None
        Proximity operator of the norm, ``prox(X, alpha)``; it takes the `axis` of the
        groups, if there are any. None if skproj has none.
    threshold_norm : {1, 2, inf} or None, default=None
        Order of the norm of a group that decides whether it becomes zero; None if that
        is `inner_norm`.

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
    prox: Callable | None = None
    threshold_norm: float | None = None

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
