r"""Features as the constraint of a linear model sees them.

The columns of the design are the features that the constraint is about, group by group.
A feature of several groups has a column in each of them, and its coefficient is their
sum. With a weight c_j of each column the constraint is

    sum_g |(c_j w_j for j in g)| <= eta

which is the plain one for v_j = c_j w_j: the columns are divided by their weights, and
neither the solver nor the certificate sees them. Features that are always in the model
are columns beside the one of the intercept; features that never are have no column.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from skproj.linear_model._row_groups import RowGroups
from skproj.utils._features import by_index, feature_parameters
from skproj.utils._wording import join_names


@dataclass(frozen=True)
class FeatureStructure:
    """Columns of the design and their groups, and the features outside of the ball."""

    n_features: int
    # Feature of each column; None if they are the features in their order.
    columns: np.ndarray | None = None
    weights: np.ndarray | None = None  # one per column; None if all are 1
    sizes: np.ndarray | None = None  # columns in each group; None if all are 1
    # Features that are always in the model.
    forced: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.intp))
    names: np.ndarray | None = None  # of the features, for messages

    @property
    def grouped(self):
        """Whether there are groups of several features."""
        return self.sizes is not None

    @property
    def plain(self):
        """Whether each feature is a group of weight 1, and all are in the ball."""
        no_columns = self.columns is None and self.weights is None
        return no_columns and not self.grouped and len(self.forced) == 0

    @property
    def rows(self):
        """The groups of the columns."""
        return RowGroups(self.sizes)

    @property
    def n_groups(self):
        """Number of groups."""
        return len(self.sizes if self.grouped else self.features_of_columns)

    @property
    def features_of_columns(self):
        """Feature of each column."""
        return np.arange(self.n_features) if self.columns is None else self.columns

    def all_features(self):
        """Return the sorted features that are in the ball or always in the model."""
        return np.union1d(self.features_of_columns, self.forced)

    @property
    def n_in_ball(self):
        """Number of features that are in the ball."""
        return self.n_features if self.columns is None else len(np.unique(self.columns))

    def check_n_samples(self, n_samples):
        """Refuse more forced features than the samples determine."""
        if len(self.forced) >= n_samples:
            raise ValueError(
                "always_keep must name fewer features than there are samples, "
                f"{n_samples}, got {len(self.forced)} features."
            )

    def among(self, features):
        """Return the structure of some sorted features, as if there were no others.

        A group that lacks some of its features is left out.
        """
        columns = self.features_of_columns
        is_whole = self.rows.whole(np.isin(columns, features))
        seen = self.rows.repeat(is_whole)
        sizes = self.sizes[is_whole] if self.grouped else np.ones(0)
        return replace(
            self,
            n_features=len(features),
            columns=np.searchsorted(features, columns[seen]),
            weights=None if self.weights is None else self.weights[seen],
            sizes=sizes if np.any(sizes > 1) else None,
            forced=np.searchsorted(features, np.intersect1d(features, self.forced)),
            names=None,
        )

    def feature_scores(self, group_scores):
        """Return the largest score of the groups of each feature, zero without one."""
        scores = self.rows.repeat(group_scores)
        if self.columns is None:
            return scores
        largest = np.zeros((*scores.shape[:-1], self.n_features), dtype=scores.dtype)
        np.maximum.at(largest, (..., self.columns), scores)
        return largest

    def reachable(self, n_selected):
        """Return the largest number of features up to `n_selected` of equal groups."""
        if not self.grouped or np.ptp(self.sizes):
            return n_selected
        return max(n_selected // self.sizes[0], 1) * self.sizes[0]

    def n_best(self, group_scores, n_selected):
        """Return how many of the best groups have `n_selected` features together.

        Their scores are positive. One is taken at least, if there is any.
        """
        order = np.argsort(-group_scores, kind="stable")
        order = order[group_scores[order] > 0.0]
        places = np.zeros(len(group_scores), dtype=np.intp)
        places[order] = np.arange(len(order), 0, -1)
        # Of the features, each belongs to the best of its groups.
        places = self.feature_scores(places)
        counts = np.bincount(places, minlength=len(order) + 1)[:0:-1].cumsum()
        reached, beyond = np.searchsorted(counts, [n_selected, n_selected + 1])
        return min(max(min(reached + 1, beyond), 1), len(order))

    def best_groups(self, group_scores, n_selected):
        """Set the scores to zero but for those of the `n_best` groups."""
        order = np.argsort(-group_scores, kind="stable")
        order = order[: self.n_best(group_scores, n_selected)]
        best = np.zeros_like(group_scores)
        best[order] = group_scores[order]
        return best


def structure_of(estimator, projections):
    """Return the `FeatureStructure` of an estimator that has seen its features.

    The `projections` are the names of those that it accepts.
    """
    structure = make_structure(
        estimator.n_features_in_,
        getattr(estimator, "feature_names_in_", None),
        **feature_parameters(estimator),
    )
    projection = estimator.projection
    if structure.grouped and (callable(projection) or projection == "l1"):
        names = sorted(name for name in projections if name != "l1")
        raise ValueError(
            f"feature_groups needs one of the projections {join_names(names)}, "
            f"whose norms have groups, got projection={projection!r}."
        )
    return structure


def make_structure(n_features, names=None, **parameters):
    """Check the parameters of a selector and return the `FeatureStructure`.

    `names` are those of the features, or None.
    """
    if all(given is None for given in parameters.values()):
        return FeatureStructure(n_features, names=names)
    indexed = by_index(parameters, n_features, names)
    weights, forced, never, groups = indexed.values()
    weights = np.ones(n_features) if weights is None else weights
    forced = np.array(forced or [], dtype=np.intp)
    weights[never or []] = np.inf
    in_ball = np.isfinite(weights)
    in_ball[forced] = False
    columns, sizes = _arrange([np.array(group) for group in groups or []], in_ball)
    weights = weights[columns] * np.sqrt(np.repeat(sizes, sizes))
    return FeatureStructure(
        n_features,
        None if np.array_equal(columns, np.arange(n_features)) else columns,
        None if np.all(weights == 1.0) else weights,
        sizes if np.any(sizes > 1) else None,
        forced,
        names,
    )


def _arrange(groups, in_ball):
    """Return the features of the columns, group by group, and the sizes of the groups.

    Features that are not in the ball are left out of their groups. Features without a
    group are one.
    """
    alone = in_ball.copy()
    for group in groups:
        alone[group] = False
    groups = [group[in_ball[group]] for group in groups]
    groups = [group for group in groups if len(group)]
    alone = np.flatnonzero(alone)
    sizes = np.ones(len(groups) + len(alone), dtype=np.intp)
    sizes[: len(groups)] = [len(group) for group in groups]
    columns = np.concatenate([*groups, alone])
    # In the order of their first features, in which groups of one are no groups.
    first = columns[np.cumsum(sizes) - sizes]
    order = np.argsort(first, kind="stable")
    return columns[np.argsort(np.repeat(first, sizes), kind="stable")], sizes[order]
