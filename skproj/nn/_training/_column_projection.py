"""The `projection` parameter of an autoencoder: how columns of weights are removed."""

import math
from dataclasses import dataclass

import numpy as np

from skproj.projection import hoyer_sparsity, projection_hoyer, radius_for_sparsity
from skproj.projection._registry import BALLS, project_by_callable, weight_norms


@dataclass(frozen=True)
class ColumnProjection:
    """A projection of weights whose columns belong to the features.

    How sparse it makes them is said by `eta`: a radius, of which larger ones keep more
    columns, or for the Hoyer projection a sparsity, of which larger ones keep fewer.
    `density` compares them, whatever they are.

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
    def densest(self):
        """The `eta` that keeps all columns."""
        return 0.0 if self._is_hoyer else math.inf

    @property
    def sparsest(self):
        """The `eta` that keeps as few columns as possible."""
        return 1.0 if self._is_hoyer else 0.0

    def check_eta(self, eta):
        """Return a positive number that was given as `eta`.

        Raises
        ------
        ValueError
            If it should be a sparsity and is not.
        """
        if self._is_hoyer and eta > 1.0:
            raise ValueError(
                'With projection="hoyer" eta is a sparsity and must be at most 1, '
                f"got {eta!r}."
            )
        return eta

    def density(self, eta):
        """Return a number that is larger for an `eta` which keeps more columns."""
        return 1.0 - eta if self._is_hoyer else eta

    def project(self, W, eta):
        """Project weights of shape (n_hidden, n_columns); return a new array.

        Raises
        ------
        ValueError
            If a callable returns something that is no projection.
        """
        if callable(self.method):
            return project_by_callable(self.method, W, eta, axis=0)
        if not self._is_hoyer:
            ball = BALLS[self.method]
            return ball.project(W, eta, axis=0, n_threads=self.n_threads)
        norms = self._all_norms(W)
        projected = projection_hoyer(norms, eta, n_threads=self.n_threads)
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

    def eta_for(self, W, n_columns):
        """Compute the `eta` of the projection that leaves a number of columns.

        With ties, and for callables, it is one that leaves at least as many.
        """
        if n_columns == 0:
            return self.sparsest
        if n_columns >= np.count_nonzero(W.any(axis=0)):
            return self.densest
        if self._is_hoyer:
            return self._sparsity_for(W, n_columns)
        if not callable(self.method) and BALLS[self.method].grouped:
            try:
                return radius_for_sparsity(
                    W, n_groups=n_columns, ball=self.method, axis=0
                )
            except ValueError:  # ties: no radius leaves exactly this number
                pass
        return self._search_radius(W, n_columns)

    def _sparsity_for(self, W, n_columns):
        """Cut the norms between those that stay and those that go."""
        norms = self._all_norms(W)
        smallest = np.partition(norms, -n_columns)[-n_columns]
        next_one = norms[norms < smallest].max()
        left = np.maximum(norms - (smallest + next_one) / 2.0, 0.0)
        return float(hoyer_sparsity(left))

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
