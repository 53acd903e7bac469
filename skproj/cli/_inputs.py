"""Inputs of ``skproj select``, with all that is wrong with them in one error."""

import hashlib
import warnings
from dataclasses import dataclass

import numpy as np

from skproj.cli._arguments import OF_STANDARD_INPUT, STANDARD_INPUT
from skproj.cli._channels import windows
from skproj.cli._errors import CommandError
from skproj.cli._preparation import read_columns
from skproj.cli._split import check_split
from skproj.cli._structure import check_kept, read_groups
from skproj.cli._tables import ReadOptions, read_table
from skproj.cli._target import number_groups, read_target
from skproj.utils._wording import join_names, near_matches

# With larger ones, coefficients in float32 may be infinite; squares of numbers below
# its inverse may be zero.
MAX_TARGET = 1e20


@dataclass(frozen=True)
class Inputs:
    """A table, what `read_columns` has read of it, and parts of a `Problem`."""

    table: object
    columns: tuple
    names: list
    task: str
    y: np.ndarray
    groups: np.ndarray | None
    feature_groups: list  # of lists of names
    digests: dict  # of the files, before they were read


def read_inputs(options, errors):
    """Read the table, and raise all errors in it and those that were found before.

    A check is left out if what it needs is missing.
    """
    table, task, y, groups, columns, feature_groups = (None,) * 6
    digests = digests_of(options)
    target, event, owner = options.target, options.event, options.groups
    n_found = len(errors)
    roles = {"target": target, "event": event, "groups": owner}
    others = {"labels": options.labels, "drop": tuple(options.drop)}
    others |= {"where": tuple(options.where), "complete": True, "errors": errors}
    others |= {"backed": options if options.backed else None}
    with errors:
        table = read_table(ReadOptions.of(options, **roles, **others))
    if table is None:
        errors.raise_all()
    others = [name for name in (event, owner) if name is not None]
    names = table.feature_names(target, options.drop, others, errors)
    all_known = len(errors) == n_found
    names = without_dates(table, names, options)
    known = set(table.label_names)
    if {target, event or target} <= known:
        with errors:
            task, y = read_target(table, options)
    if owner in known:
        with errors:
            groups = number_groups(table, options)
    with errors:
        if not names:
            raise CommandError(f"{options.data} has no features besides the target.")
        check_kept(options.always_keep, names, options)
    with errors:
        feature_groups = read_groups(options.feature_groups, names, options.drop)
        feature_groups += windows(names, options.windows)
    # Text may be a column whose name was not given as it is, and then no feature.
    text = () if all_known else set(table.text_columns(names))
    with errors:
        wanted = [name for name in names if name not in text]
        columns = read_columns(table, wanted, options)
    if y is not None:
        if {"cv", "test_size"}.isdisjoint(options.refused):
            check_split(y, task, options, groups, errors)
        check_classes(task, y, options, errors)
        with errors:
            check_size(y, options)
    if options.scoring is not None:
        with errors:
            check_score(task, y, options)
    errors.raise_all()
    found = table, columns, names, task, y, groups, feature_groups
    return Inputs(*found, digests)


def without_dates(table, names, options):
    """Leave out columns of dates, and those of text that --where asked about."""
    asked = {condition.column for condition in options.where}
    left_out = set()
    if asked.intersection(names) and not options.encode:
        left_out = asked.intersection(table.text_columns(names))
    dates = [name for name in table.date_columns(names) if name not in left_out]
    if dates:
        warnings.warn(
            f"{options.data}: columns of dates were left out, {join_names(dates)}. "
            "When a row was recorded often gives the target away; to use a date, write "
            "it as a number, such as the age in days",
            stacklevel=2,
        )
    left_out.update(dates)
    return [name for name in names if name not in left_out]


def files_of(options):
    """Return the files that are read, or None, by what they are."""
    return {
        "the table": options.data,
        "the labels": options.labels,
        "the groups of features": options.feature_groups,
    }


def digests_of(options):
    return {
        name: digest(path)
        for name, path in files_of(options).items()
        if path is not None and (str(path) == STANDARD_INPUT or path.exists())
    }


def digest(path):
    if str(path) == STANDARD_INPUT:
        return OF_STANDARD_INPUT
    if path.is_dir():  # a zarr store
        total = hashlib.sha256()
        for file in sorted(file for file in path.rglob("*") if file.is_file()):
            total.update(f"{file.relative_to(path).as_posix()} {digest(file)}".encode())
        return total.hexdigest()
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_size(y, options):
    numbers = y["time"] if y.dtype.names else y
    largest = np.abs(numbers).max() if numbers.dtype.kind == "f" else 1.0
    if not 1.0 / MAX_TARGET <= largest <= MAX_TARGET:
        verb = "divide" if largest > MAX_TARGET else "multiply"
        raise CommandError(
            f"the target {options.target!r} has numbers up to {largest:.3g}; {verb} it "
            f"by a constant, so that the largest is from {1.0 / MAX_TARGET:g} to "
            f"{MAX_TARGET:g}."
        )


def check_classes(task, y, options, errors):
    """Find options that are for classes, where the target is something else."""
    classifies, n_classes = task == "classification", len(np.unique(y))
    what = f"has {n_classes} classes" if classifies else "is a number"
    if options.threshold is not None and not (classifies and n_classes == 2):
        errors.append(
            "--threshold is for a target of two classes, and "
            f"{options.target!r} {what}."
        )
    if options.class_weight is not None and not classifies:
        errors.append(
            f"--class-weight is for a target of classes, and {options.target!r} {what}."
        )


def check_score(task, y, options):
    from sklearn.dummy import DummyClassifier, DummyRegressor
    from sklearn.metrics import get_scorer, get_scorer_names

    name, known = options.scoring, get_scorer_names()
    if name not in known:
        raise CommandError(
            f"--scoring: scikit-learn has no score {name!r}"
            f"{near_matches(name, known) or ', such as balanced_accuracy or r2'}"
        )
    if y is None or task == "survival":
        return
    model = DummyClassifier() if task == "classification" else DummyRegressor()
    X = np.zeros((len(y), 1))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            get_scorer(name)(model.fit(X, y), X, y)
    except (AttributeError, TypeError, ValueError) as error:
        raise CommandError(
            f"--scoring {name} does not suit the target {options.target!r}: {error}"
        ) from error
