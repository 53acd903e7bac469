"""The `projection` parameter of an autoencoder: how columns of weights are removed."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from skproj.linear_model._feature_structure import FeatureStructure
from skproj.nn._training._column_groups import ColumnGroups
from skproj.projection import hoyer_sparsity, projection_hoyer, radius_for_sparsity
from skproj.projection._engine import project
from skproj.projection._registry import BALLS, project_by_callable


@dataclass(frozen=True)
class ColumnProjection:
    """A projection of weights whose columns belong to the features.

    How sparse it makes them is said by `eta`: a radius, of which larger ones keep more
    columns, or for the Hoyer projection a sparsity, of which larger ones keep fewer.
    `density` compares them, whatever they are.

    The `method` is the `projection` parameter of an estimator, the `structure` what its
    parameters say of the features; `columns` are the features of the columns of
    weights, None for all of the structure.
    """

    method: object
    structure: FeatureStructure
    n_threads: int | None
    columns: np.ndarray | None = None

    def of(self, columns):
        """Return the projection of weights that have the columns of these features."""
        return self if self.structure.plain else replace(self, columns=columns)

    @cached_property
    def groups(self):
        """The columns as the groups that are removed together."""
        return ColumnGroups.arrange(self.structure, self.columns)

    @property
    def _is_hoyer(self):
        return isinstance(self.method, str) and self.method == "hoyer"

    @property
    def _ball(self):
        """The ball of the method; None for the Hoyer projection and callables."""
        known = not (self._is_hoyer or callable(self.method))
        return BALLS[self.method] if known else None

    @property
    def _order(self):
        """Order of the norm of a group that adds up to that of the ball."""
        return 2 if self._ball is None else self._ball.inner_norm

    @property
    def densest(self):
        """The `eta` that keeps all columns."""
        return 0.0 if self._is_hoyer else math.inf

    @property
    def sparsest(self):
        """The `eta` that keeps as few columns as possible."""
        return 1.0 if self._is_hoyer else 0.0

    def next_count(self, n_columns, fraction):
        """Return how many columns are left by a projection that keeps a share of them.

        Columns outside of the ball do not count. It is 0 if nothing but all or none of
        them can be left.
        """
        n_free = self.groups.n_free(n_columns)
        if self.groups.is_one:
            return 0
        return max(0, min(math.ceil(fraction * n_free), n_free - 1))

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
        """Project weights of shape (n_hidden, n_columns); return an array.

        Raises
        ------
        ValueError
            If a callable returns something that is no projection.
        """
        return self.project_and_rank(W, eta)[0]

    def project_and_rank(self, W, eta):
        """Project weights; return an array, and the norms of its columns.

        These are as `norms` returns them, but know which groups were removed.
        """
        V = self._project_groups(self.groups.spread(W), eta)
        return self.groups.gather(V, W), self._norms(V, W)

    def norms(self, W):
        """Return the norms of the columns, in the inner norm of the ball.

        That of a column in groups is the largest of theirs.
        """
        return self._norms(self.groups.spread(W), W)

    def _norms(self, V, W):
        """Return the norms of the columns of W from what they are spread to."""
        norms = self.groups.rows.norms(V, self._order)
        return self.groups.of_columns(norms, W, self._order)

    def _project_groups(self, V, eta):
        """Project what `ColumnGroups.spread` returns."""
        rows, ball = self.groups.rows, self._ball
        if len(V) == 0:
            return V
        if callable(self.method):
            return project_by_callable(self.method, V.T, eta, axis=0).T
        if ball is None:
            norms = self._all_norms(V)
            projected = projection_hoyer(norms, eta, n_threads=self.n_threads)
            shares = np.divide(projected, norms, out=projected, where=norms > 0.0)
            shares = rows.repeat(shares[: rows.count(len(V))])
            return V * shares.astype(V.dtype)[:, np.newaxis]
        matrix, axis = rows.as_matrix(V), 1 if ball.grouped else None
        matrix = project(matrix, eta, ball.solver, axis, None, self.n_threads, False)
        return rows.as_array(matrix, V.shape).astype(V.dtype, copy=False)

    def _all_norms(self, V):
        """Return the norms of all groups in float64; those removed before are zero."""
        norms = np.zeros(self.structure.n_groups)
        present = self.groups.rows.norms(V.astype(np.float64), 2)
        norms[: len(present)] = present
        return norms

    def eta_for(self, W, n_columns):
        """Compute the `eta` of the projection that leaves a number of columns.

        Of groups it leaves as many as have at most this number of columns, and one at
        least. Columns outside of the ball do not count. With ties, and for callables,
        the `eta` is one that leaves at least as many.
        """
        if n_columns == 0:
            return self.sparsest
        V, rows, ball = self.groups.spread(W), self.groups.rows, self._ball
        # By the norm of this order the ball removes groups.
        order = self._order if ball is None else ball.threshold_norm or self._order
        n_groups = self.groups.structure.n_best(rows.norms(V, order), n_columns)
        if n_groups >= np.count_nonzero(rows.nonzero(V)):
            return self.densest
        if self._is_hoyer:
            return self._sparsity_for(V, n_groups)
        if ball is not None and ball.grouped:
            try:
                return radius_for_sparsity(
                    rows.as_matrix(V), n_groups=n_groups, ball=self.method, axis=1
                )
            except ValueError:  # ties: no radius leaves exactly this number
                pass
        return self._search_radius(V, n_groups)

    def _sparsity_for(self, V, n_groups):
        """Cut the norms between those that stay and those that go."""
        norms = self._all_norms(V)
        smallest = np.partition(norms, -n_groups)[-n_groups]
        next_one = norms[norms < smallest].max()
        left = np.maximum(norms - (smallest + next_one) / 2.0, 0.0)
        return float(hoyer_sparsity(left))

    def _search_radius(self, V, n_groups):
        """Bisect for the smallest radius that leaves enough groups."""

        def enough(radius):
            P = self._project_groups(V, radius)
            return np.count_nonzero(self.groups.rows.nonzero(P)) >= n_groups

        high = float(np.abs(V).sum(dtype=np.float64))
        low = 1e-15 * high  # a callable may keep everything, whatever the radius
        if not enough(high):
            return high
        if enough(low):
            return low
        while low < (middle := (low + high) / 2.0) < high and high - low > 1e-9 * high:
            low, high = (low, middle) if enough(middle) else (middle, high)
        return high
