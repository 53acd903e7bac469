"""Splits of the samples for the searches by cross-validation."""

import numbers

import numpy as np
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    check_cv,
)
from sklearn.utils.multiclass import type_of_target

from skproj.utils._survival import is_survival
from skproj.utils._validation import count_missing


def make_splits(
    cv,
    X,
    y,
    *,
    classifier,
    groups=None,
    random_state=None,
    groups_name="groups",
    **split_params,
):
    """Split samples for a cross-validation, in random order unless `cv` is a splitter.

    Samples that are stored in blocks, by class or by batch, would otherwise make test
    parts that are unlike the data. A number of folds, 5 for None, is stratified for a
    classification, and without a group on both sides of a split if there are `groups`,
    which messages call `groups_name`. Folds of survival times are stratified by the
    event if there are enough of both kinds, and a splitter gets the events as `y`. The
    `split_params` are for the `split` of a splitter, besides `X`, `y` and `groups`.

    Returns a list of at least one pair of indices, (train, test). A ValueError refuses
    too few samples or groups, and training parts of one class.
    """
    n_samples, codes, what = X.shape[0], None, "cv"
    cv = 5 if cv is None else cv
    if is_survival(y):
        y = y["event"].astype(int)
        few = np.bincount(y, minlength=2).min()
        classifier = isinstance(cv, numbers.Integral) and few >= cv
    if groups is not None:
        groups, codes = check_groups(groups, n_samples, groups_name)
    labelled = classifier and type_of_target(y) in ("binary", "multiclass")
    if isinstance(cv, numbers.Integral):
        what = groups_name if groups is not None else f"cv={cv}"
        splits = _shuffled_folds(
            int(cv), np.zeros(n_samples), y, labelled, codes, random_state, groups_name
        )
    else:
        if groups is not None:
            split_params = split_params | {"groups": groups}
        splitter = check_cv(cv, y, classifier=classifier)
        splits = list(splitter.split(X, y, **split_params))
    if not splits:
        raise ValueError(f"cv must give at least one split, got {cv!r}.")
    if labelled and len(np.unique(y)) > 1:
        for train, _ in splits:
            found = np.unique(y[train]).tolist()
            if len(found) == 1:
                raise ValueError(
                    f"{what} leaves a training part with samples of one class only, "
                    f"{found[0]!r}: all others are in the part held back."
                )
    return splits


def check_groups(groups, n_samples, name):
    """Return groups as an array, and as numbers."""
    missing = count_missing(groups) > 0
    groups = np.asarray(groups)
    if groups.shape != (n_samples,):
        raise ValueError(
            f"{name} must have shape ({n_samples},), a group for each sample, got "
            f"shape {groups.shape}."
        )
    try:
        codes = np.unique(groups, return_inverse=True)[1]
    except TypeError:  # None, or numbers, among text
        missing = True
    if missing:
        raise ValueError(f"{name} must be of one type, without missing values.")
    return groups, codes


def _shuffled_folds(n_splits, places, y, stratified, groups, random_state, groups_name):
    """Return the splits of shuffled folds; `groups` are numbers, or None."""
    if n_splits < 2:
        raise ValueError(f"cv must be at least 2 folds, got {n_splits}.")
    if len(places) < n_splits:
        raise ValueError(
            f"cv={n_splits} needs at least {n_splits} samples, got {len(places)}."
        )
    n_groups = n_splits if groups is None else groups.max() + 1
    if n_groups < n_splits:
        raise ValueError(
            f"{groups_name} must have at least cv={n_splits} different values, one "
            f"for each fold, got {n_groups}."
        )
    if groups is None:
        splitter = StratifiedKFold if stratified else KFold
    else:
        splitter = StratifiedGroupKFold if stratified else GroupKFold
    splitter = splitter(n_splits, shuffle=True, random_state=random_state)
    return list(splitter.split(places, y, groups))
