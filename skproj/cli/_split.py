"""Rows to train on and rows to hold out."""

import math
from shlex import quote

import numpy as np

from skproj.cli._errors import CommandError


def split_rows(y, task, options, groups=None):
    """Return the rows to train on and those to hold out, in random order.

    Rows of a group stay together. `check_split` has found that there are enough.
    """
    from sklearn.model_selection import train_test_split

    labels = y if task == "classification" else None
    if task == "survival":
        few = np.bincount(y["event"], minlength=2).min() * options.test_size < 1.0
        labels = None if few or groups is not None else y["event"]
    rows = np.arange(len(y))
    if options.test_size == 0.0:
        return np.random.RandomState(options.seed).permutation(rows), rows[:0]
    if groups is not None:
        return split_groups(labels, rows, groups, options)
    return train_test_split(
        rows, test_size=options.test_size, stratify=labels, random_state=options.seed
    )


def split_groups(labels, rows, groups, options):
    """Hold out whole groups, of about as many rows, with all classes if possible."""
    from sklearn.model_selection import GroupShuffleSplit, StratifiedGroupKFold

    if labels is None:
        splitter = GroupShuffleSplit(
            1, test_size=options.test_size, random_state=options.seed
        )
    else:
        n_groups = len(np.unique(groups))
        n_parts = min(max(round(1.0 / options.test_size), 2), n_groups)
        splitter = StratifiedGroupKFold(
            n_parts, shuffle=True, random_state=options.seed
        )
    train, test = next(iter(splitter.split(rows, labels, groups)))
    if labels is not None and len(np.unique(labels[train])) < len(np.unique(labels)):
        raise CommandError(
            f"--groups {quote(options.groups)}: without the groups that are held out, "
            "the other rows lack a class; use --test-size 0, or another --seed"
        )
    order = np.random.RandomState(options.seed).permutation
    return order(train), order(test)


def check_split(y, task, options, groups, errors):
    """Find rows, classes, events or groups that are too few for the parts."""
    n_rows, share, n_found = len(y), options.test_size, len(errors)

    def two_each(cv, share):
        return math.ceil(2 * cv / (1.0 - share))

    kinds = [(options.data, "rows only", n_rows, two_each)]
    if task == "classification":
        classes, counts = np.unique(y, return_counts=True)
        label = str(classes[counts.argmin()])
        kinds = [(f"class {label!r}", "rows only", counts.min(), one_each)]
    elif task == "survival":
        column = f"column {options.event!r} of --event"
        kinds.append((column, "events only", np.count_nonzero(y["event"]), two_each))
    if groups is not None:
        column = f"--groups {quote(options.groups)}"
        kinds.append((column, "different values", len(np.unique(groups)), whole))
    for subject, what, n, needed in kinds:
        n_needed = needed(options.cv, share)
        if n < n_needed:
            advised = groups_that_suffice if needed is whole else needed
            fewer = fewer_folds(options, n, advised)
            besides = " besides the rows held out" if needed is whole and share else ""
            errors.append(
                f"{subject} has {n} {what}, and {options.cv} folds{besides} need "
                f"{n_needed}"
                + (", which are not there" if fewer is None else f"; use{fewer}")
            )
    if task != "classification" or len(errors) > n_found:
        return
    if 0.0 < share * n_rows < len(classes):
        errors.append(
            f"a share of {share:g} of {n_rows} rows is too small to have a row of each "
            f"of {len(classes)} classes; use --test-size 0, or a larger one"
        )


def one_each(cv, share):
    """Return how many rows a class needs; a row more, because shares are rounded."""
    return math.ceil(cv / (1.0 - share)) + 1


def whole(cv, share):
    """Return how many groups are needed at least."""
    return cv + (share > 0.0)


def groups_that_suffice(cv, share):
    """Return how many groups are enough, where the share may be of several."""
    return math.ceil(cv / (1.0 - share))


def fewer_folds(options, n, needed):
    """Return options for the most folds that are possible with so many, or None."""
    for share in (options.test_size, 0.0):
        for cv in range(options.cv, 1, -1):
            if needed(cv, share) <= n:
                folds = f" --cv {cv}" if cv < options.cv else ""
                test = " --test-size 0" if share < options.test_size else ""
                return f"{folds}{test}"
    return None
