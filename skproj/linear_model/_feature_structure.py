r"""Features as the constraint of a linear model sees them.

The columns of the design are the features that the constraint is about, group by group.
A feature of several groups has a column in each of them, and its coefficient is their
sum. With a weight c_j of each column the constraint is

    sum_g |(c_j w_j for j in g)| <= eta

which is the plain one for v_j = c_j w_j: the columns are divided by their weights, and
neither the solver nor the certificate sees them. Features that are always in the model
are columns beside the one of the intercept; features that never are have no column.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from skproj.utils._wording import join_names, near_matches

# The parameters of an estimator that say something about single features.
FEATURE_PARAMETERS = ("feature_weights", "always_keep", "never_keep", "feature_groups")


@dataclass(frozen=True)
class FeatureStructure:
    """Columns of the design and their groups, and the features outside of the ball."""

    n_features: int
    # Feature of each column; None if they are the features in their order.
    columns: np.ndarray | None = None
    weights: np.ndarray | None = None  # one per column; None if all are 1
    # Number of columns in each group, or the one of all groups.
    sizes: int | np.ndarray = 1
    # Features that are always in the model.
    forced: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.intp))
    names: np.ndarray | None = None  # of the features, for messages

    @property
    def grouped(self):
        """Whether there are groups of several features."""
        return np.max(self.sizes, initial=1) > 1

    @property
    def plain(self):
        """Whether each feature is a group of weight 1, and all are in the ball."""
        no_columns = self.columns is None and self.weights is None
        return no_columns and not self.grouped and len(self.forced) == 0

    @property
    def n_groups(self):
        """Number of groups."""
        if np.ndim(self.sizes):
            return len(self.sizes)
        return len(self.features_of_columns) // self.sizes

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
        return len(np.unique(self.features_of_columns))

    def check_n_samples(self, n_samples):
        """Refuse more forced features than the samples determine."""
        if len(self.forced) >= n_samples:
            raise ValueError(
                "always_keep must name fewer features than there are samples, "
                f"{n_samples}, got {len(self.forced)} features."
            )

    def feature_scores(self, group_scores):
        """Return the largest score of the groups of each feature, zero without one."""
        scores = np.repeat(group_scores, self.sizes)
        if self.columns is None:
            return scores
        largest = np.zeros(self.n_features, dtype=scores.dtype)
        np.maximum.at(largest, self.columns, scores)
        return largest

    def reachable(self, n_selected):
        """Return the largest number of features up to `n_selected` of equal groups."""
        if np.ndim(self.sizes) or not self.grouped:
            return n_selected
        return max(n_selected // self.sizes, 1) * self.sizes

    def best_groups(self, group_scores, n_selected):
        """Set scores to zero but for the best groups.

        They are as many of the best as have `n_selected` features together, and one at
        least.
        """
        order = np.argsort(-group_scores, kind="stable")
        order = order[group_scores[order] > 0.0]
        best = np.zeros_like(group_scores)
        for n_groups, group in enumerate(order):
            best[group] = group_scores[group]
            found = np.count_nonzero(self.feature_scores(best))
            if found > n_selected and n_groups:
                best[group] = 0.0
                break
            if found >= n_selected:
                break
        return best


def structure_of(estimator, projections):
    """Return the `FeatureStructure` of an estimator that has seen its features.

    The `projections` are the names of those that it accepts.
    """
    structure = make_structure(
        estimator.n_features_in_,
        getattr(estimator, "feature_names_in_", None),
        **{name: getattr(estimator, name) for name in FEATURE_PARAMETERS},
    )
    projection = estimator.projection
    if structure.grouped and (callable(projection) or projection == "l1"):
        names = sorted(name for name in projections if name != "l1")
        raise ValueError(
            f"feature_groups needs one of the projections {join_names(names)}, "
            f"whose norms have groups, got projection={projection!r}."
        )
    return structure


def make_structure(
    n_features,
    names=None,
    *,
    feature_weights=None,
    always_keep=None,
    never_keep=None,
    feature_groups=None,
):
    """Check the parameters of a selector and return the `FeatureStructure`.

    `names` are those of the features, or None.
    """
    if all(
        given is None
        for given in (feature_weights, always_keep, never_keep, feature_groups)
    ):
        return FeatureStructure(n_features, names=names)
    weights = np.ones(n_features)
    if feature_weights is not None:
        weights = _check_weights(feature_weights, n_features)
    forced = find_features(always_keep, n_features, names, "always_keep")
    never = find_features(never_keep, n_features, names, "never_keep")
    weights[never] = np.inf
    both = forced[np.isinf(weights[forced])]
    if len(both):
        both = both.tolist() if names is None else names[both]
        raise ValueError(
            "always_keep must not have features of never_keep, or of infinite "
            f"feature_weights, got {join_names(both)} in both."
        )
    in_ball = np.isfinite(weights)
    in_ball[forced] = False
    groups = []
    if feature_groups is not None:
        groups = find_groups(feature_groups, n_features, names)
    columns, sizes = _arrange(groups, in_ball)
    weights = weights[columns] * np.sqrt(np.repeat(sizes, sizes))
    return FeatureStructure(
        n_features,
        None if np.array_equal(columns, np.arange(n_features)) else columns,
        None if np.all(weights == 1.0) else weights,
        int(sizes[0]) if len(sizes) and np.all(sizes == sizes[0]) else sizes,
        forced,
        names,
    )


def _check_weights(feature_weights, n_features):
    """Return the weights as a new array."""
    try:
        weights = np.array(feature_weights, dtype=np.float64)
    except (TypeError, ValueError):
        weights = np.zeros(0)
    if weights.shape != (n_features,) or not np.all(weights > 0.0):
        raise ValueError(
            f"feature_weights must be an array of {n_features} positive numbers, one "
            f"for each feature, got {feature_weights!r}; for a weight of zero use "
            "always_keep."
        )
    return weights


def find_features(features, n_features, names, parameter):
    """Return the sorted indices of features given by index, by name or by a mask."""
    if features is None:
        return np.zeros(0, dtype=np.intp)
    given = np.asarray(features)
    if given.ndim == 1 and given.size == 0:
        return np.zeros(0, dtype=np.intp)
    if given.ndim == 1 and given.dtype.kind == "b" and len(given) == n_features:
        return np.flatnonzero(given)
    if given.ndim == 1 and all(isinstance(name, str) for name in given.tolist()):
        return np.unique(_find_names(given.tolist(), names, parameter))
    if given.ndim != 1 or given.dtype.kind not in "iu":
        raise ValueError(
            f"{parameter} must have indices or names of features, or be a boolean mask "
            f"of all {n_features}, got {features!r}."
        )
    wrong = given[(given < 0) | (given >= n_features)]
    if len(wrong):
        raise ValueError(
            f"{parameter} must have indices from 0 to {n_features - 1}, got {wrong[0]}."
        )
    return np.unique(given.astype(np.intp))


def _find_names(wanted, names, parameter):
    """Return the indices of names."""
    if names is None:
        raise ValueError(
            f"{parameter} must have indices, because X has no names of features, got "
            f"{wanted[0]!r}."
        )
    names = list(names)
    places = {name: place for place, name in enumerate(names)}
    for name in wanted:
        if name not in places:
            hint = near_matches(name, names) or "."
            raise ValueError(
                f"{parameter} must have names of features of X, got {name!r}{hint}"
            )
    return np.array([places[name] for name in wanted], dtype=np.intp)


def find_groups(feature_groups, n_features, names):
    """Return an array of features for each group that is named, or has a label."""
    groups = feature_groups
    if isinstance(groups, Mapping):
        groups = list(groups.values())
    elif not any(np.ndim(group) for group in groups):
        return _group_by_label(groups, n_features)
    found = [find_features(g, n_features, names, "feature_groups") for g in groups]
    if not all(len(group) for group in found):
        raise ValueError("feature_groups must not have a group without features.")
    return found


def _group_by_label(labels, n_features):
    labels = np.asarray(labels).tolist()
    if len(labels) != n_features or not all(isinstance(x, (str, int)) for x in labels):
        raise ValueError(
            f"feature_groups must have a label, a str or an int, for each of the "
            f"{n_features} features, or lists of features, got {len(labels)} labels: "
            f"{labels[:5]!r}{'...' if len(labels) > 5 else ''}"
        )
    members = {}
    for feature, label in enumerate(labels):
        members.setdefault(label, []).append(feature)
    return [np.array(group) for group in members.values()]


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
    starts = np.cumsum(sizes) - sizes
    order = np.argsort(columns[starts], kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return columns[np.argsort(np.repeat(place, sizes), kind="stable")], sizes[order]
