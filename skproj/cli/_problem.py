"""A problem of selection, and its rows: training rows, folds, and rows held out."""

import functools
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from skproj.blocks import RowBlocks
from skproj.blocks._row_blocks import take_rows
from skproj.cli._errors import CommandError
from skproj.cli._split import split_rows
from skproj.utils._splits import make_splits


class TableRows:
    """Mixin of what has rows, as `X`, `y` and `groups`, which may be None."""

    def part(self, rows):
        groups = None if self.groups is None else self.groups[rows]
        return take_rows(self.X, rows), self.y[rows], groups


@dataclass(frozen=True)
class Problem(TableRows):
    """Rows to select features of, and how."""

    X: object  # ndarray, CSR matrix, DataFrame or RowBlocks
    y: np.ndarray
    names: list  # of the columns
    task: str  # "classification", "regression" or "survival"
    method: str  # "auto", "autoencoder" or "selector"
    options: object  # of ``skproj select``
    # Rows of a group, which has a number, stay on the same side of each split.
    groups: np.ndarray | None = None
    # What makes features of the columns of a DataFrame, within each split.
    prepare: object = None
    # Parameters of the selectors on the features: `always_keep`, `feature_groups`.
    structure: dict = field(default_factory=dict)
    # The decimal sign of the table, and what stands for a missing value in it.
    reading: dict = field(default_factory=dict)
    preparation: tuple = ()  # sentences on what was done to the columns
    warnings: tuple = ()  # sentences on what is suspect in the data

    @property
    def classifies(self):
        return self.task == "classification"

    @functools.cached_property
    def classes(self):
        return np.unique(self.y) if self.classifies else None

    @property
    def in_blocks(self):
        return isinstance(self.X, RowBlocks)

    @property
    def is_linear(self):
        return self.method != "autoencoder"

    @property
    def linear_machine(self):
        """Name, for users, of the linear model of selected features."""
        if self.task == "survival":
            return "Cox model"
        return "logistic regression" if self.classifies else "ridge regression"

    @property
    def machine(self):
        """Name, for users, of the model that is fitted to the selected features."""
        network = " + network" if self.method == "auto" else ""
        return f"{self.linear_machine}{network}"

    @property
    def method_name(self):
        if self.method == "autoencoder":
            return "sparse supervised autoencoder"
        return f"linear selector, {self.machine}"


@dataclass(frozen=True)
class Run(TableRows):
    """A problem whose rows are divided."""

    problem: Problem
    X: object  # the training rows, as `y` and `groups`
    y: np.ndarray
    groups: np.ndarray | None
    train: np.ndarray  # places of the training rows
    test: np.ndarray  # places of the rows that are held out
    splits: list  # the folds of the training rows


def divide(problem):
    """Return a `Run`: hold out rows, and make folds of the others."""
    p, options = problem, problem.options
    train, test = split_rows(p.y, p.task, options, p.groups)
    if p.in_blocks:  # which are read from the first row to the last
        train, test = np.sort(train), np.sort(test)
    X, y, groups = p.part(train)
    if p.prepare is None and not p.in_blocks and is_constant(X):
        raise CommandError("every feature has the same value in all rows.")
    splits = make_splits(
        options.cv,
        X,
        y,
        classifier=p.classifies,
        groups=groups,
        random_state=options.seed,
        groups_name="--groups",
    )
    if p.in_blocks:
        splits = [tuple(np.sort(part) for part in fold) for fold in splits]
    return Run(p, X, y, groups, train, test, splits)


def is_constant(X):
    if sparse.issparse(X):
        return X.min(axis=0).toarray().tolist() == X.max(axis=0).toarray().tolist()
    return bool((X == X[0]).all())
