"""Columns of weights as the groups that a projection removes together."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from skproj.linear_model._feature_structure import FeatureStructure
from skproj.linear_model._row_groups import RowGroups


@dataclass(frozen=True)
class ColumnGroups:
    """Columns of weights in the order of their groups, and those outside of the ball.

    The projection sees the columns divided by the weights of their features, in the
    order of the groups. Where a feature is in several groups, its column is shared out
    among them in equal parts, which are added up again afterwards.

    The `rows` of the groups are the columns that the projection sees. `places` says for
    each of these which column of the weights it is, and `factors` by what it is
    multiplied beforehand; None if they are the same, and for 1.
    """

    structure: FeatureStructure
    rows: RowGroups
    places: np.ndarray | None = None
    factors: np.ndarray | None = None

    @classmethod
    def arrange(cls, structure, features):
        """Return the groups of the columns of some features, which are sorted, or None.

        A group that lacks some of its features is left out.
        """
        if structure.plain:
            return cls(structure, structure.rows)
        if features is None:
            features = structure.all_features()
        structure = structure.among(features)
        places = structure.columns
        factors = 1.0 / np.bincount(places, minlength=len(features))[places]
        if structure.weights is not None:
            factors /= structure.weights
        elif np.all(factors == 1.0):
            factors = None
        return cls(structure, structure.rows, places, factors)

    @property
    def outside(self):
        """Columns that are always kept."""
        return self.structure.forced

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
        if self.structure.weights is not None:
            V = V * self.structure.weights
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
        largest = self.structure.feature_scores(norms.astype(W.dtype, copy=False))
        largest[self.outside] = np.linalg.norm(W[:, self.outside], ord=order, axis=0)
        return largest

    def share(self, values):
        """Give the columns of a group the root mean square of their values.

        Columns outside of the ball get 1, a column of several groups the largest value.
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

    def kept(self, norms, at_most=None):
        """Return the sorted columns that a projection has left.

        The norms are as `of_columns` returns them; zero for columns to drop. The
        smallest groups beyond `at_most` columns are dropped as well: they are tied.
        Columns outside of the ball do not count.
        """
        of_groups = norms if self.places is None else norms[self.places]
        if not self.rows.single:
            of_groups = np.minimum.reduceat(of_groups, self.rows.starts)
        if at_most == 0:
            of_groups = np.zeros_like(of_groups)
        elif at_most is not None:
            of_groups = self.structure.best_groups(of_groups, at_most)
        if self.places is None:
            return np.flatnonzero(of_groups)
        return np.union1d(self.places[self.rows.repeat(of_groups > 0.0)], self.outside)

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
