"""The parameters of an estimator that say something about single features."""

import numpy as np

from skproj.linear_model._feature_structure import find_features, find_groups


def by_index(parameters, n_features, names):
    """Return the parameters with indices of features in place of names.

    Parameters
    ----------
    parameters : dict
        Those of `FEATURE_PARAMETERS`.
    n_features : int
    names : ndarray of str or None
    """
    indexed = dict(parameters)
    for name in ("always_keep", "never_keep"):
        if parameters[name] is not None:
            features = find_features(parameters[name], n_features, names, name)
            indexed[name] = features.tolist()
    if parameters["feature_groups"] is not None:
        groups = find_groups(parameters["feature_groups"], n_features, names)
        indexed["feature_groups"] = [group.tolist() for group in groups]
    return indexed


def of_columns(indexed, columns):
    """Return parameters for some of the features, from those that `by_index` returned.

    Parameters
    ----------
    indexed : dict
    columns : ndarray of int
        Sorted.
    """

    def among_columns(features):
        common = np.intersect1d(features, columns).astype(np.intp)
        return np.searchsorted(columns, common).tolist()

    part = dict(indexed)
    if indexed["feature_weights"] is not None:
        part["feature_weights"] = np.asarray(indexed["feature_weights"])[columns]
    for name in ("always_keep", "never_keep"):
        if indexed[name] is not None:
            part[name] = among_columns(indexed[name])
    if indexed["feature_groups"] is not None:
        groups = map(among_columns, indexed["feature_groups"])
        part["feature_groups"] = [group for group in groups if group]
    return part
