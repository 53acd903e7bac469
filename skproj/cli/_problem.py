"""A problem of selection, and its rows: training rows, folds, and rows held out."""

import functools
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from skproj.blocks import RowBlocks
from skproj.blocks._row_blocks import take_rows
from skproj.cli._checkpoints import Checkpoints
from skproj.cli._errors import CommandError
from skproj.cli._split import split_rows
from skproj.utils._splits import make_splits


class TableRows:
    """Mixin of what has rows, as `X`, `y` and `groups`, which may be None."""

    def part(self, rows):
        """Return some of the rows."""
        groups = None if self.groups is None else self.groups[rows]
        return take_rows(self.X, rows), self.y[rows], groups


@dataclass(frozen=True)
class Problem(TableRows):
    """Rows to select features of, and how.

    Attributes
    ----------
    X : {ndarray, CSR matrix, DataFrame, RowBlocks} of shape (n_rows, n_columns)
    y : ndarray of shape (n_rows,)
    names : list of str
        Names of the columns.
    task : {"classification", "regression", "survival"}
    method : {"autoencoder", "selector"}
    options : argparse.Namespace
        Of ``skproj select``.
    groups : ndarray of int of shape (n_rows,), default=None
        Rows of a group stay on the same side of each split.
    prepare : transformer, default=None
        What makes features of the columns of a DataFrame, within each split.
    structure : dict
        Parameters of the selectors on the features: `always_keep`, `feature_groups`.
    reading : dict
        The decimal sign of the table, and what stands for a missing value in it.
    preparation, warnings : sequence of str
        Sentences on what was done to the columns, and on what is suspect in the data.
    """

    X: object
    y: np.ndarray
    names: list
    task: str
    method: str
    options: object
    groups: np.ndarray | None = None
    prepare: object = None
    structure: dict = field(default_factory=dict)
    reading: dict = field(default_factory=dict)
    preparation: tuple = ()
    warnings: tuple = ()

    @property
    def classifies(self):
        return self.task == "classification"

    @functools.cached_property
    def classes(self):
        """The classes in order, None for other targets."""
        return np.unique(self.y) if self.classifies else None

    @property
    def in_blocks(self):
        return isinstance(self.X, RowBlocks)

    @property
    def machine(self):
        """Name, for users, of the model that is fitted to the selected features."""
        if self.task == "survival":
            return "Cox model"
        if self.in_blocks:
            return "logistic regression" if self.classifies else "ridge regression"
        return "SVM"

    @property
    def method_name(self):
        """Name of the method for users."""
        if self.method == "autoencoder":
            return "sparse supervised autoencoder"
        return f"linear selector, {self.machine}"


@dataclass(frozen=True)
class Run(TableRows):
    """A problem whose rows are divided, and the steps of it that are finished.

    Attributes
    ----------
    problem : Problem
    X, y, groups : {ndarray, CSR matrix, DataFrame, RowBlocks}, ndarray, ndarray or None
        The training rows.
    train, test : ndarray of int
        Places of the training rows, and of those that are held out.
    splits : list of tuple of ndarray
        The folds of the training rows.
    checkpoints : Checkpoints
    """

    problem: Problem
    X: object
    y: np.ndarray
    groups: np.ndarray | None
    train: np.ndarray
    test: np.ndarray
    splits: list
    checkpoints: Checkpoints


def divide(problem, checkpoints):
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
    return Run(p, X, y, groups, train, test, splits, checkpoints)


def is_constant(X):
    """Whether no column varies."""
    if sparse.issparse(X):
        return X.min(axis=0).toarray().tolist() == X.max(axis=0).toarray().tolist()
    return bool((X == X[0]).all())
