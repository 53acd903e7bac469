"""Rows to train on and rows to hold out."""

import math
from shlex import quote

import numpy as np

from skproj.cli._errors import CommandError, Errors


def split_rows(y, task, options, groups=None):
    """Return the rows to train on and those to hold out, in random order.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
    task : {"classification", "regression", "survival"}
    options : argparse.Namespace
        With `test_size`, `cv` and `seed`.
    groups : ndarray of int of shape (n_rows,), default=None
        Rows of a group stay together.

    Returns
    -------
    train, test : ndarray of int
    """
    from sklearn.model_selection import train_test_split

    errors = Errors()
    check_split(y, task, options, groups, errors)
    errors.raise_all()
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
        rows,
        test_size=options.test_size,
        stratify=labels,
        random_state=options.seed,
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
    with errors:
        check_numbers(y if task == "classification" else None, len(y), options)
    with errors:
        if task == "survival":
            check_events(y["event"], options)
    with errors:
        if groups is not None:
            check_groups(groups, options)


def check_groups(groups, options):
    """Raise an error if there are too few groups for the folds."""
    n_groups = len(np.unique(groups))
    needed = options.cv + (options.test_size > 0.0)
    if n_groups < needed:
        besides = " besides the rows held out" if options.test_size > 0.0 else ""
        raise CommandError(
            f"--groups {quote(options.groups)} has {n_groups} different values, and "
            f"{options.cv} folds{besides} need {needed}"
            + fewer_folds(options, lambda cv, share: n_groups >= cv + (share > 0.0))
        )


def check_events(event, options):
    """Raise an error if a fold, or the rows held out, would be without an event."""
    n_events = np.count_nonzero(event)

    def needed(cv, share):
        return math.ceil(2 * cv / max(1.0 - share, 1e-9))

    n_needed = needed(options.cv, options.test_size)
    if n_events < n_needed:
        raise CommandError(
            f"column {options.event!r} of --event has {n_events} events only, and "
            f"{options.cv} folds need {n_needed}"
            + fewer_folds(options, lambda *parts: n_events >= needed(*parts))
        )


def check_numbers(labels, n_rows, options):
    """Raise an error if there are too few rows for the folds and the test rows."""
    held_out = f", with a share of {options.test_size:g} held out"
    task = f"{options.cv} folds" + (held_out if options.test_size > 0.0 else "")
    if labels is None:

        def has_rows(cv, share):
            return n_rows >= math.ceil(2 * cv / (1.0 - share))

        if not has_rows(options.cv, options.test_size):
            advice = fewer_folds(options, has_rows)
            raise CommandError(f"{n_rows} rows are too few for {task}{advice}")
        return
    classes, counts = np.unique(labels, return_counts=True)
    rarest = counts.argmin()

    def needed(cv, share):  # a row more, because shares are rounded
        return math.ceil(cv / (1.0 - share)) + 1

    n_needed = needed(options.cv, options.test_size)
    if counts[rarest] < n_needed:
        advice = fewer_folds(options, lambda *parts: counts[rarest] >= needed(*parts))
        raise CommandError(
            f"class {str(classes[rarest])!r} has {counts[rarest]} rows only, and "
            f"{task}, need {n_needed} of each class{advice}, or leave out that class"
        )
    if 0.0 < options.test_size * n_rows < len(classes):
        raise CommandError(
            f"a share of {options.test_size:g} of {n_rows} rows is too small to have "
            f"a row of each of {len(classes)} classes; use --test-size 0, or a larger "
            "one"
        )


def fewer_folds(options, is_enough):
    """Return the advice on the most folds that are possible, if any are.

    `is_enough` says whether there are enough rows for a number of folds and a share of
    the rows that is held out.
    """
    for share in (options.test_size, 0.0):
        for cv in range(options.cv, 1, -1):
            if is_enough(cv, share):
                folds = f" --cv {cv}" if cv < options.cv else ""
                test = " --test-size 0" if share < options.test_size else ""
                return f"; use{folds}{test}"
    return ""
