"""The `projection` parameter of an autoencoder: how columns of weights are removed."""

import math
from dataclasses import dataclass

import numpy as np

from skproj.projection import hoyer_sparsity, projection_hoyer, radius_for_sparsity
from skproj.projection._registry import BALLS, project_by_callable, weight_norms


@dataclass(frozen=True)
class ColumnProjection:
    """A projection of weights whose columns belong to the features.

    The training knows radii only: a larger one keeps more columns. Of the Hoyer
    projection, whose `eta` is a sparsity, the radius is ``-eta``.

    Attributes
    ----------
    method : str or callable
        The `projection` parameter of an estimator.
    n_features : int
        Number of all features, of which the weights may have a part only.
    n_threads : int or None
    """

    method: object
    n_features: int
    n_threads: int | None

    @property
    def _is_hoyer(self):
        return isinstance(self.method, str) and self.method == "hoyer"

    @property
    def everything(self):
        """The radius that keeps all columns."""
        return 0.0 if self._is_hoyer else math.inf

    def to_radius(self, eta):
        """Return the radius that an `eta` means.

        Raises
        ------
        ValueError
            If it should be a sparsity and is not.
        """
        if not self._is_hoyer:
            return eta
        if eta > 1.0:
            raise ValueError(
                'With projection="hoyer" eta is a sparsity and must be at most 1, '
                f"got {eta!r}."
            )
        return -eta

    def to_eta(self, radius):
        """Return the `eta` that means a radius."""
        return abs(radius) if self._is_hoyer else radius

    def project(self, W, radius):
        """Project weights of shape (n_hidden, n_columns); return a new array.

        Raises
        ------
        ValueError
            If a callable returns something that is no projection.
        """
        if callable(self.method):
            return project_by_callable(self.method, W, radius, axis=0)
        if not self._is_hoyer:
            ball = BALLS[self.method]
            return ball.project(W, radius, axis=0, n_threads=self.n_threads)
        norms = self._all_norms(W)
        projected = projection_hoyer(norms, -radius, n_threads=self.n_threads)
        shares = np.divide(projected, norms, out=projected, where=norms > 0.0)
        return W * shares[: W.shape[1]].astype(W.dtype)

    def norms(self, W):
        """Return the norms of the columns, in the inner norm of the ball."""
        method = "l12" if self._is_hoyer else self.method
        return weight_norms(method, W, axis=0)

    def _all_norms(self, W):
        """Return the norms of the columns of all features in float64."""
        norms = np.zeros(self.n_features)
        norms[: W.shape[1]] = np.linalg.norm(W.astype(np.float64), axis=0)
        return norms

    def radius_for(self, W, n_columns):
        """Compute the radius of the projection that leaves a number of columns.

        With ties, and for callables, it is one that leaves at least as many.
        """
        if n_columns == 0:
            return -math.inf
        if n_columns >= np.count_nonzero(W.any(axis=0)):
            return self.everything
        if self._is_hoyer:
            return self._hoyer_radius(W, n_columns)
        if not callable(self.method) and BALLS[self.method].grouped:
            try:
                return radius_for_sparsity(
                    W, n_groups=n_columns, ball=self.method, axis=0
                )
            except ValueError:  # ties: no radius leaves exactly this number
                pass
        return self._search_radius(W, n_columns)

    def _hoyer_radius(self, W, n_columns):
        """Cut the norms between those that stay and those that go."""
        norms = self._all_norms(W)
        smallest = np.partition(norms, -n_columns)[-n_columns]
        next_one = norms[norms < smallest].max()
        left = np.maximum(norms - (smallest + next_one) / 2.0, 0.0)
        return -float(hoyer_sparsity(left))

    def _search_radius(self, W, n_columns):
        """Bisect for the smallest radius that leaves enough columns."""

        def enough(radius):
            P = self.project(W, radius)
            return np.count_nonzero(P.any(axis=0)) >= n_columns

        high = float(np.abs(W).sum(dtype=np.float64))
        low = 1e-15 * high  # a callable may keep everything, whatever the radius
        if not enough(high):
            return high
        if enough(low):
            return low
        while low < (middle := (low + high) / 2.0) < high and high - low > 1e-9 * high:
            low, high = (low, middle) if enough(middle) else (middle, high)
        return high
