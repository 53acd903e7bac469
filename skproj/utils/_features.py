"""The parameters of an estimator that say something about single features."""

from collections.abc import Mapping

import numpy as np

from skproj.utils._validation import count_missing
from skproj.utils._wording import join_names, near_matches

MAX_SHOWN = 5  # entries in an error
# Bound of the weights of features and of their inverses: norms in single precision do
# not overflow.
MAX_WEIGHT = 1e12

FEATURE_PARAMETERS = ("feature_weights", "always_keep", "never_keep", "feature_groups")


def feature_parameters(estimator):
    return {name: getattr(estimator, name) for name in FEATURE_PARAMETERS}


def by_index(parameters, n_features, names):
    """Check some of `FEATURE_PARAMETERS`, and return all, in that order, with indices.

    They are None where a parameter is, else an array of weights, lists of indices, and
    a list of lists of indices.
    """
    indexed = dict.fromkeys(FEATURE_PARAMETERS) | parameters
    weights = np.ones(n_features)
    if (given := indexed["feature_weights"]) is not None:
        indexed["feature_weights"] = weights = _check_weights(given, n_features, names)
    for name in ("always_keep", "never_keep"):
        if indexed[name] is not None:
            indexed[name] = _find_features(indexed[name], n_features, names, name)
    if indexed["feature_groups"] is not None:
        indexed["feature_groups"] = _find_groups(
            indexed["feature_groups"], n_features, names
        )
    never = {*np.flatnonzero(np.isinf(weights)), *(indexed["never_keep"] or ())}
    both = sorted(map(int, never.intersection(indexed["always_keep"] or ())))
    if both:
        shown = both if names is None else [names[feature] for feature in both]
        raise ValueError(
            "always_keep must not have features of never_keep, or of infinite "
            f"feature_weights, got {join_names(shown)} in both."
        )
    return indexed


def of_columns(indexed, columns):
    """Return what `by_index` returned for some of the features; they are sorted."""

    def among_columns(features):
        common = np.intersect1d(features, columns).astype(np.intp)
        return np.searchsorted(columns, common).tolist()

    part = dict(indexed)
    if indexed["feature_weights"] is not None:
        part["feature_weights"] = indexed["feature_weights"][columns]
    for name in ("always_keep", "never_keep"):
        if indexed[name] is not None:
            part[name] = among_columns(indexed[name])
    if indexed["feature_groups"] is not None:
        groups = map(among_columns, indexed["feature_groups"])
        part["feature_groups"] = [group for group in groups if group]
    return part


def in_order(values, n_features, names, parameter):
    """Return what a parameter has for each feature, as an array in their order.

    A Series is read by its index, which may have further names, unless that counts the
    features. Truth values may be objects, as those of pandas that may be missing are.
    """
    if hasattr(values, "iloc") and values.ndim == 1:
        index, numbers = values.index.tolist(), list(range(n_features))
        known = numbers if names is None else list(names)
        if index not in (known, numbers):
            places = {name: place for place, name in enumerate(index)}
            missing = [name for name in known if name not in places]
            if missing or len(places) < len(index):
                found = f"without {missing[0]!r}" if missing else "with repeated names"
                what = "names" if names is not None else "numbers, as X has no names"
                raise ValueError(
                    f"{parameter} as a Series must have the features in its index, by "
                    f"their {what}, got one {found}."
                )
            values = values.iloc[[places[name] for name in known]]
    values = np.asarray(values)
    if values.dtype == object and values.ndim == 1:
        if all(isinstance(value, (bool, np.bool_)) for value in values):
            values = values.astype(bool)
    return values


def _find_features(features, n_features, names, parameter):
    """Return the sorted indices of features given by index, by name or by a mask."""
    given = np.asarray(features)
    if given.ndim == 1 and given.size == 0:
        return []
    if given.ndim == 1 and isinstance(given[0], (bool, np.bool_)):
        given = in_order(features, n_features, names, parameter)
        if given.dtype == bool and len(given) == n_features:
            return np.flatnonzero(given).tolist()
    if given.ndim == 1 and all(isinstance(name, str) for name in given.tolist()):
        return sorted(set(_find_names(given.tolist(), names, parameter)))
    if given.ndim != 1 or given.dtype.kind not in "iu":
        raise ValueError(
            f"{parameter} must have indices or names of features, or be a boolean mask "
            f"of all {n_features}, got {_shown(features)}."
        )
    wrong = given[(given < 0) | (given >= n_features)]
    if len(wrong):
        raise ValueError(
            f"{parameter} must have indices from 0 to {n_features - 1}, got {wrong[0]}."
        )
    found = np.unique(given.astype(np.intp))
    small = given.dtype.itemsize == 1 and len(given) == n_features and given.max() < 2
    if small or len(found) < len(given):
        raise ValueError(
            f"{parameter} must have each index once, or be a boolean mask, in which a "
            f"feature is True or False instead of 1 or 0, got {_shown(features)}."
        )
    return found.tolist()


def _shown(values):
    """Return what was given on one line, only the first entries of many."""
    array = np.asarray(values)
    if array.ndim != 1 or len(array) <= MAX_SHOWN:
        return " ".join(repr(values).split())
    first = ", ".join(map(repr, array[:MAX_SHOWN].tolist()))
    return f"{len(array)} entries, [{first}, ...]"


def _find_names(wanted, names, parameter):
    if names is None:
        raise ValueError(
            f"{parameter} must have indices, because X has no names of features, got "
            f"{wanted[0]!r}."
        )
    names = list(names)
    places = {name: place for place, name in enumerate(names)}
    repeated = len(places) < len(names)
    for name in wanted:
        if name not in places:
            hint = near_matches(name, names) or "."
            raise ValueError(
                f"{parameter} must have names of features of X, got {name!r}{hint}"
            )
        if repeated and names.count(name) > 1:
            raise ValueError(
                f"{parameter} must have indices instead of {name!r}, because X has "
                f"{names.count(name)} features of that name."
            )
    return [places[name] for name in wanted]


def _check_weights(feature_weights, n_features, names):
    weights = in_order(feature_weights, n_features, names, "feature_weights")
    try:
        weights = weights.astype(np.float64)
    except (TypeError, ValueError):
        weights = np.zeros(0)
    if weights.shape != (n_features,) or not np.all(weights > 0.0):
        raise ValueError(
            f"feature_weights must be an array of {n_features} positive numbers, one "
            f"for each feature, got {_shown(feature_weights)}; for a weight of zero "
            "use always_keep."
        )
    beyond = np.isfinite(weights)
    beyond &= (weights < 1.0 / MAX_WEIGHT) | (weights > MAX_WEIGHT)
    if beyond.any():
        raise ValueError(
            f"feature_weights must be from {1.0 / MAX_WEIGHT:g} to {MAX_WEIGHT:g}, or "
            f"infinite, got {weights[beyond][0]:g}."
        )
    return weights


def _find_groups(groups, n_features, names):
    """Return a list of features for each group that is named, or has a label."""
    if isinstance(groups, Mapping):
        groups = list(groups.values())
    elif len(groups) and not any(np.ndim(group) for group in groups):
        if count_missing(groups):
            raise ValueError(
                "feature_groups must have a label, a str or an int, for each of the "
                f"{n_features} features, got {count_missing(groups)} missing ones."
            )
        labels = in_order(groups, n_features, names, "feature_groups")
        return _group_by_label(labels.tolist(), n_features)
    found = [_find_features(g, n_features, names, "feature_groups") for g in groups]
    if not all(found):
        raise ValueError("feature_groups must not have a group without features.")
    return found


def _group_by_label(labels, n_features):
    if len(labels) != n_features or not all(isinstance(x, (str, int)) for x in labels):
        raise ValueError(
            f"feature_groups must have a label, a str or an int, for each of the "
            f"{n_features} features, or lists of features, got {_shown(labels)}."
        )
    members = {}
    for feature, label in enumerate(labels):
        members.setdefault(label, []).append(feature)
    return list(members.values())
