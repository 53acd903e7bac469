"""Columns of weights as the groups that a projection removes together."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from skproj.linear_model._row_groups import RowGroups


@dataclass(frozen=True)
class ColumnGroups:
    """Columns of weights in the order of their groups, and those outside of the ball.

    The projection sees the columns divided by the weights of their features, in the
    order of the groups. Where a feature is in several groups, its column is shared out
    among them in equal parts, which are added up again afterwards.

    Attributes
    ----------
    rows : RowGroups
        The groups, whose rows are the columns that the projection sees.
    places : ndarray of int of shape (n_spread,) or None
        Column of the weights of each column that the projection sees; None if they are
        the same.
    factors : ndarray of shape (n_spread,) or None
        By which these are multiplied beforehand; None for 1.
    weights : ndarray of shape (n_spread,) or None
        By which these are multiplied afterwards; None for 1.
    outside : ndarray of int
        Columns that are always kept.
    """

    rows: RowGroups
    places: np.ndarray | None = None
    factors: np.ndarray | None = None
    weights: np.ndarray | None = None
    outside: np.ndarray | None = None

    @classmethod
    def arrange(cls, structure, features):
        """Return the groups of the columns of some features.

        Parameters
        ----------
        structure : FeatureStructure
        features : ndarray of int or None
            Sorted; a group that lacks some of its features is left out.
        """
        if structure.plain:
            return cls(RowGroups())
        if features is None:
            features = structure.all_features()
        is_present = np.zeros(structure.n_features, dtype=bool)
        is_present[features] = True
        spread = structure.features_of_columns
        sizes = structure.sizes
        if sizes is None:
            sizes = np.ones(structure.n_groups, dtype=np.intp)
        ends = np.cumsum(sizes)
        n_present = np.append(0, np.cumsum(is_present[spread]))
        is_whole = n_present[ends] - n_present[ends - sizes] == sizes
        seen = np.repeat(is_whole, sizes)
        places = np.searchsorted(features, spread[seen])
        copies = np.bincount(places, minlength=len(features))
        weights, factors = None, None
        if structure.weights is not None:
            weights = structure.weights[seen]
            factors = 1.0 / (weights * copies[places])
        elif copies.max(initial=1) > 1:
            factors = 1.0 / copies[places]
        sizes = sizes[is_whole]
        return cls(
            RowGroups(sizes if np.any(sizes > 1) else None),
            places,
            factors,
            weights,
            np.searchsorted(features, np.intersect1d(features, structure.forced)),
        )

    def spread(self, W):
        """Return the columns that the projection sees, as rows."""
        if self.places is None:
            return W.T
        V = np.ascontiguousarray(W[:, self.places])
        return V.T if self.factors is None else (V * self.factors).T

    def gather(self, V, W):
        """Undo `spread` after a projection; other columns are those of W."""
        V = V.T
        if self.places is None:
            return V
        if self.weights is not None:
            V = V * self.weights
        V = V.astype(W.dtype, copy=False)
        sums = np.zeros_like(W)
        if len(self.free) == len(self.places):
            sums[:, self.places] = V
        else:
            np.add.at(sums.T, self.places, V.T)
        sums[:, self.outside] = W[:, self.outside]
        return sums

    def of_columns(self, norms, W, order):
        """Return the largest norm of the groups of each column of W.

        Columns outside of the ball have their own.
        """
        if self.places is None:
            return norms
        norms = norms.astype(W.dtype, copy=False)
        largest = np.zeros(W.shape[1], dtype=W.dtype)
        np.maximum.at(largest, self.places, self.rows.repeat(norms))
        largest[self.outside] = np.linalg.norm(W[:, self.outside], ord=order, axis=0)
        return largest

    def share(self, values):
        """Give the columns of a group the root mean square of their values.

        Columns outside of the ball get 1, a column of several groups the largest value.

        Parameters
        ----------
        values : ndarray of shape (n_rows, n_columns)
        """
        if self.places is None:
            return values
        shared = np.ones_like(values)
        for row, of_row in zip(shared, values[:, self.places], strict=True):
            norms = self.rows.norms(of_row[:, np.newaxis], 2)
            if not self.rows.single:
                norms /= np.sqrt(self.rows.sizes)
            row[self.free] = 0.0
            np.maximum.at(row, self.places, self.rows.repeat(norms))
        return shared

    def n_best(self, norms, at_most):
        """Return how many of the largest groups have at most so many columns.

        It is one at least, if any norm is positive.
        """
        if self.rows.single:
            return min(at_most, len(norms))
        order = np.argsort(-norms, kind="stable")
        rank = np.empty(len(order), dtype=np.intp)
        rank[order] = np.arange(len(order))
        # A column of several groups counts with the first of them.
        n_columns = 1 + self.places.max(initial=-1)
        first = np.full(n_columns, len(order))
        np.minimum.at(first, self.places, self.rows.repeat(rank))
        found = np.cumsum(np.bincount(first, minlength=len(order))[: len(order)])
        n_groups = int(np.searchsorted(found, at_most, side="right"))
        return min(max(n_groups, 1), np.count_nonzero(norms))

    def kept(self, norms, at_most=None):
        """Return the sorted columns that a projection has left.

        Parameters
        ----------
        norms : ndarray of shape (n_columns,)
            As `of_columns` returns them; zero for columns to drop.
        at_most : int, default=None
            Drop the smallest groups beyond this number of columns as well: they are
            tied. Columns outside of the ball do not count.

        Returns
        -------
        kept : ndarray of int of shape (n_kept,)
        """
        of_groups = norms if self.places is None else norms[self.places]
        if not self.rows.single:
            of_groups = np.minimum.reduceat(of_groups, self.rows.starts)
        n_groups = np.count_nonzero(of_groups)
        if at_most is not None:
            n_groups = min(n_groups, self.n_best(of_groups, at_most) if at_most else 0)
        best = np.argsort(-of_groups, kind="stable")[:n_groups]
        if self.places is None:
            return np.sort(best)
        is_best = np.zeros(len(of_groups), dtype=bool)
        is_best[best] = True
        return np.union1d(self.places[self.rows.repeat(is_best)], self.outside)

    @cached_property
    def free(self):
        """Index of the columns that are in the ball."""
        return slice(None) if self.places is None else np.unique(self.places)

    def n_free(self, n_columns):
        """Return how many of the columns are in the ball."""
        return n_columns if self.places is None else n_columns - len(self.outside)

    @property
    def is_one(self):
        """Whether a single group has all the columns in the ball."""
        return not self.rows.single and np.max(self.rows.sizes) == len(self.free)
