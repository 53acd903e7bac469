"""Columns and rows that may give the target away, or make scores too good."""

import re
import warnings
from itertools import pairwise

import numpy as np
from scipy import sparse
from scipy.stats import rankdata

from skproj.blocks import RowBlocks
from skproj.cli._checks import option
from skproj.cli._features import columns_of
from skproj.cli._split import fewer_folds, groups_that_suffice
from skproj.feature_selection._half_selections import univariate_scores
from skproj.utils._survival import is_survival
from skproj.utils._wording import join_names

# A column is a copy of the target if no more than this share of the rows contradict,
# or if the classes explain at least this share of its variance.
MAX_CONTRADICTIONS = 0.01
MIN_SHARE = 0.98
MIN_RANK_CORRELATION = 0.999
# Fewer rows are told apart by chance.
MIN_ROWS = 20
# Only columns that the target explains well are compared with it.
N_CANDIDATES = 200
N_CANDIDATES_OF_BLOCKS = 20
# A table of fewer columns has equal rows by chance.
MIN_COLUMNS = 5
# Whole numbers in at least so many columns, up to more than this, may be raw counts.
MIN_COUNT_COLUMNS, MAX_CODE = 10, 20

# Numbers that often stand for a missing value, if they are far from all others.
GAP_CODES = [sign * (10.0**n - 1.0) for n in range(2, 7) for sign in (1, -1)] + [-9.0]

OWNER = re.compile(
    r"(^|[^a-z])(patient|subject|donor|participant|individual|animal|person|case)"
    r"([^a-z]|$)",
    re.IGNORECASE,
)


def suspect_columns(X, y, names, classifies):
    """Return the columns that may give the target away, and why, by their names.

    The rows are in the order of the file.
    """
    n_rows = len(y)
    if n_rows < MIN_ROWS or X.shape[1] == 0:
        return {}
    in_blocks = isinstance(X, RowBlocks)
    found = {} if in_blocks else {names[j]: why for j, why in running_numbers(X)}
    shares = univariate_scores(X, y, y if classifies else None, None)
    targets = [(y, classifies)]
    if is_survival(y):
        targets = [(y["time"], False), (y["event"], True)]
    n_candidates = N_CANDIDATES_OF_BLOCKS if in_blocks else N_CANDIDATES
    candidates = np.argsort(-shares, kind="stable")[:n_candidates]
    for j, column in columns_of(X, candidates):
        if np.isnan(column).any() or np.ptp(column) == 0.0:
            continue
        if (classifies and shares[j] >= MIN_SHARE) or any(
            is_copy(column, *target) for target in targets
        ):
            found.setdefault(names[j], "is nearly a copy of the target")
    return found


def running_numbers(X):
    """Yield the columns that count the rows, and those that number them."""
    n_rows, n_columns = X.shape
    if sparse.issparse(X):
        return  # most entries are equal
    for start in range(0, n_columns, 4096):
        block = X[:, start : start + 4096]
        steps = np.diff(block, axis=0)
        counts = np.all(steps > 0, axis=0) | np.all(steps < 0, axis=0)
        span = np.ptp(block, axis=0)
        whole = np.all(block == np.round(block), axis=0)
        for j in np.flatnonzero(counts | (whole & (span < 2 * n_rows))):
            if counts[j]:
                yield start + j, "goes up or down from row to row, as a running number"
            elif span[j] >= n_rows - 1 and len(np.unique(block[:, j])) == n_rows:
                yield start + j, "has another whole number in each row, as an id"


def is_copy(column, y, classifies):
    """Whether a column alone tells nearly all of the target."""
    if not classifies:
        ranks, target = rankdata(column), rankdata(y)
        return abs(np.corrcoef(ranks, target)[0, 1]) >= MIN_RANK_CORRELATION
    values, codes = np.unique(column, return_inverse=True)
    classes, labels = np.unique(y, return_inverse=True)
    if len(classes) < 2 or len(values) > 2 * len(classes):
        return False
    table = np.zeros((len(values), len(classes)), dtype=int)
    np.add.at(table, (codes, labels), 1)
    # A column that says nothing contradicts the rows of all classes but the largest.
    allowed = min(len(y), 2 * (len(y) - table.sum(axis=0).max()))
    return len(y) - table.max(axis=1).sum() <= MAX_CONTRADICTIONS * allowed


def suspect_rows(table, X, y, options, classifies):
    found = []
    changes = np.count_nonzero(y[1:] != y[:-1])
    if classifies and changes == len(np.unique(y)) - 1 and len(y) >= MIN_ROWS:
        found.append(
            "The rows are sorted by class: whatever changes along the table, such as a "
            "date or a batch, tells the classes apart."
        )
    n_equal = count_equal_rows(X) if X.shape[1] else 0
    if n_equal and options.groups is None:
        found.append(
            f"{n_equal} rows are equal to an earlier row: on both sides of a split, "
            "they make the scores too good."
        )
    if options.groups is None:
        found += repeated_owners(table, options)
    return found + raw_counts(X)


def raw_counts(X):
    rows = next(iter(X))[1] if isinstance(X, RowBlocks) else X
    values = rows.data if sparse.issparse(rows) else np.asarray(rows).ravel()
    values = values[~np.isnan(values)]
    largest = values.max(initial=0.0)
    if X.shape[1] < MIN_COUNT_COLUMNS or largest <= MAX_CODE:
        return []
    if values.min() < 0.0 or np.any(values != values.round()):
        return []
    return [
        "The features look like raw counts: whole numbers up to "
        f"{largest:.0f}. If they are, bring the rows to the same total and take "
        "logarithms first: the totals say little of the target, and hide the rest."
    ]


def codes_of_gaps(X, names):
    """Return a sentence if some numbers seem to stand for missing values.

    They are as far from all others of their column as these are from each other.
    """
    if sparse.issparse(X) or isinstance(X, RowBlocks) or X.shape[1] == 0:
        return []
    found = {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN")
        ends = np.nanmin(X, axis=0), np.nanmax(X, axis=0)
    for end in ends:
        for j in np.flatnonzero(np.isin(end, GAP_CODES)):
            others = X[~np.isnan(X[:, j]) & (X[:, j] != end[j]), j]
            if len(np.unique(others)) < 3:
                continue
            distance = np.abs(others - end[j]).min()
            if distance > max(np.ptp(others), np.abs(others).max()):
                found.setdefault(f"{end[j]:.0f}", []).append(names[j])
    return [
        f"{code} is far from all other numbers of {join_names(where)}. If it stands "
        f"for a missing value, {option('--na', code)} --impute median says so."
        for code, where in found.items()
    ]


def count_equal_rows(X):
    if X.shape[1] < MIN_COLUMNS:
        return 0
    blocks = (block for _, block in X) if isinstance(X, RowBlocks) else [X]
    keys = (hash(key) for block in blocks for key in row_keys(block))
    keys = np.fromiter(keys, dtype=np.int64, count=X.shape[0])
    return len(keys) - len(np.unique(keys))


def row_keys(X):
    if sparse.issparse(X):
        for a, b in pairwise(X.indptr):
            yield X.indices[a:b].tobytes(), X.data[a:b].tobytes()
    else:
        for row in np.ascontiguousarray(X):
            yield row.tobytes()


def repeated_owners(table, options):
    """Return a sentence if several rows seem to be of the same patient or the like."""
    if table.row_names is not None and not table.row_names.is_unique:
        n_names = table.row_names.nunique()
        by_name = "--groups, with a column that has the names,"
        if getattr(options, "index", None) is not None:
            by_name = f"{option('--groups', options.index)} in place of --index"
        return [
            f"The names of the rows repeat: {n_names} names for {table.n_rows} rows. "
            f"Rows of one name are hardly independent; {by_name} keeps them on one "
            "side of each split."
        ]
    owners = [
        name
        for name in table.other_columns(options.drop)
        if OWNER.search(name)
        and name != options.target
        and 1 < table.target(name).nunique() < table.n_rows
        and table.target(name).notna().all()
    ]
    if not owners:
        return []
    n_owners = table.target(owners[0]).nunique()
    folds = fewer_folds(options, n_owners, groups_that_suffice) or ""
    return [
        f"Several rows share a value of {join_names(owners)}. If they are not "
        f"independent, {option('--groups', owners[0])}{folds} keeps them on one side "
        "of each split."
    ]
