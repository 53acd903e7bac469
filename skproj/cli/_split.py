"""Rows to train on and rows to hold out."""

import math

import numpy as np
from sklearn.model_selection import (
    GroupShuffleSplit,
    StratifiedGroupKFold,
    train_test_split,
)

from skproj.cli._errors import CommandError


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
    labels = y if task == "classification" else None
    check_numbers(labels, len(y), options)
    if task == "survival":
        check_events(y["event"], options)
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
    n_groups = len(np.unique(groups))
    needed = options.cv + 1
    if n_groups < needed:
        raise CommandError(
            f"--groups {options.groups} has {n_groups} different values, and "
            f"{options.cv} folds besides the rows held out need {needed}; use a "
            "smaller --cv, or --test-size 0"
        )
    if labels is None:
        splitter = GroupShuffleSplit(
            1, test_size=options.test_size, random_state=options.seed
        )
    else:
        n_parts = min(max(round(1.0 / options.test_size), 2), n_groups)
        splitter = StratifiedGroupKFold(
            n_parts, shuffle=True, random_state=options.seed
        )
    train, test = next(iter(splitter.split(rows, labels, groups)))
    if labels is not None and len(np.unique(labels[train])) < len(np.unique(labels)):
        raise CommandError(
            f"--groups {options.groups}: without the groups that are held out, the "
            "other rows lack a class; use --test-size 0, or another --seed"
        )
    order = np.random.RandomState(options.seed).permutation
    return order(train), order(test)


def check_events(event, options):
    """Raise an error if a fold, or the rows held out, would be without an event."""
    share = max(1.0 - options.test_size, 1e-9)
    needed = math.ceil(2 * options.cv / share)
    if np.count_nonzero(event) < needed:
        raise CommandError(
            f"column {options.event!r} of --event has {np.count_nonzero(event)} events "
            f"only, and {options.cv} folds need {needed}; use a smaller --cv"
        )


def check_numbers(labels, n_rows, options):
    """Raise an error if there are too few rows for the folds and the test rows."""
    held_out = f", with a share of {options.test_size:g} held out"
    task = f"{options.cv} folds" + (held_out if options.test_size > 0.0 else "")
    advice = "use a smaller --cv or --test-size"
    if labels is None:
        needed = math.ceil(2 * options.cv / (1.0 - options.test_size))
        if n_rows < needed:
            raise CommandError(f"{n_rows} rows are too few for {task}; {advice}")
        return
    classes, counts = np.unique(labels, return_counts=True)
    # A row more, because shares are rounded.
    needed = math.ceil(options.cv / (1.0 - options.test_size)) + 1
    rarest = counts.argmin()
    if counts[rarest] < needed:
        raise CommandError(
            f"class {str(classes[rarest])!r} has {counts[rarest]} rows only, and "
            f"{task}, need {needed} of each class; {advice}, or leave out that class"
        )
    if 0.0 < options.test_size * n_rows < len(classes):
        raise CommandError(
            f"a share of {options.test_size:g} of {n_rows} rows is too small to have "
            f"a row of each of {len(classes)} classes; use a larger --test-size, or 0"
        )
