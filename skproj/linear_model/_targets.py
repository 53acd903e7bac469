"""Targets of any container, and loss, targets and weights of a linear model."""

import numbers
import warnings

import numpy as np
from scipy import sparse
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import type_of_target

from skproj.blocks._row_blocks import take_rows
from skproj.linear_model._ball_constrained import BallConstrainedProblem
from skproj.linear_model._design import MAX_SIZE
from skproj.linear_model._losses import TIES
from skproj.utils._survival import is_survival
from skproj.utils._validation import check_class_weight, check_complete

# With loss="auto", floating-point targets that take more values than this are not
# taken for labels, even if all are whole numbers.
MAX_FLOAT_LABELS = 20
# More integers than that, each on average in fewer samples, may be no labels.
MIN_REPEATED = 3


def plain_target(y, numeric=False):
    """Return targets of any container as an array of a plain dtype.

    Validation would make floats of nullable integers, and a class "nan" of what is
    missing in a list of text. If `numeric`, text must be that of numbers.
    """
    if sparse.issparse(y):
        raise TypeError("y must be dense, got a sparse matrix.")
    check_complete(y)
    is_list = isinstance(y, list | tuple)
    values = np.array(y, dtype=object) if is_list else np.asarray(y)
    if values.ndim == 0:
        return y
    if values.ndim > 2 or values.shape[1:] == (0,):
        raise ValueError(
            "y must have the shape (n_samples,) or (n_samples, n_targets), got "
            f"{values.shape}."
        )
    if values.dtype.kind == "O":
        types = {str if isinstance(v, str) else type(v) for v in values.ravel()}
        numbers_only = all(issubclass(t, (numbers.Number, np.bool_)) for t in types)
        if len(types) > 1 and not numbers_only:
            names = " and ".join(sorted(found.__name__ for found in types))
            raise ValueError(f"y must have numbers or labels of one type, got {names}.")
        if numbers_only or is_list:
            values = np.array(values.tolist())
    if values.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: y is {values.dtype}.")
    if values.dtype.kind in "mM":
        raise ValueError(f"y must have numbers or labels, got {values.dtype}.")
    if not numeric or values.dtype.kind in "biu":
        return values
    try:
        return values.astype(np.float64)
    except ValueError as error:
        raise ValueError(f"y must have numbers for a regression: {error}.") from error


def choose_loss(loss, y):
    """Return the name of the loss that the `loss` parameter means for `y`."""
    if loss != "auto":
        return loss
    if is_survival(y):
        return "cox"
    found = "log_loss" if looks_like_labels(y) else "squared_error"
    doubt = _doubt(y, found)
    if doubt:
        warnings.warn(
            f'loss="auto" takes {doubt}; else give loss="squared_error", or '
            "the targets as they are meant.",
            UserWarning,
            stacklevel=4,
        )
    return found


def _doubt(y, loss):
    """Say how targets were read if they rather look like others, else None."""
    if has_columns(y):
        if y.dtype.kind not in "biuf":
            raise ValueError(f"y of several columns must have numbers, got {y.dtype}.")
        coded = np.isin(y, (0, 1)).all(axis=0)
        if y.shape[1] == 2 and coded.sum() == 1 and np.all(y >= 0):
            return (
                "the two columns of y for two targets of a regression: survival times "
                "need fields, 'event' and 'time'"
            )
    elif loss == "log_loss" and y.dtype.kind in "iuf":
        n_values = len(np.unique(y))
        if n_values > MAX_FLOAT_LABELS and MIN_REPEATED * n_values > len(y):
            return f"the {n_values} different numbers of y for classes"
    return None


def has_columns(y):
    """Whether `y` has several columns."""
    return y.ndim == 2 and y.shape[1] > 1


def looks_like_labels(y):
    if has_columns(y):
        return y.dtype.kind in "biuf" and bool(np.isin(y, (0, 1)).all())
    if y.dtype.kind != "f":
        return True
    # Larger numbers are all whole.
    whole = np.all(y == np.round(y)) and np.abs(y).max() < 2.0**53
    return whole and len(np.unique(y)) <= MAX_FLOAT_LABELS


def prepare_targets(loss, y, *, class_weight=None, sample_weight=None):
    """Check `y`, number its classes, and multiply the weights by those of the classes.

    The weights of the samples are positive. Returns the targets as
    `BallConstrainedProblem` takes them, the weights or None, and the classes of a
    classification or None. A ValueError says what in `y` or `class_weight` does not
    suit the loss.
    """
    if loss != "log_loss":
        if class_weight is not None:
            raise ValueError(
                f"class_weight is for classification only, got loss={loss!r}."
            )
        if loss in TIES:
            if not y["event"].any():
                raise ValueError(
                    f"loss={loss!r} needs at least one event in y, and in each part of "
                    f"it that is fitted, got none in {len(y)} samples."
                )
            return y, sample_weight, None
        values = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
        if loss == "poisson" and not (values.min() >= 0.0 and values.any(axis=0).all()):
            raise ValueError(
                "loss='poisson' needs a y of counts or rates, not negative, and in "
                "each part of it that is fitted some that are positive, got numbers "
                f"from {values.min():g} to {values.max():g}."
            )
        return values, sample_weight, None
    kind = "multiclass"  # whatever the labels are, if they are no floats
    if y.ndim > 1 or y.dtype.kind not in "biuU":
        kind = type_of_target(y, input_name="y")
    if kind == "multilabel-indicator":
        return _prepare_labels(y, class_weight, sample_weight)
    if kind not in ("binary", "multiclass"):
        raise ValueError(
            f"Unknown label type: {kind}. loss='log_loss' needs class labels; "
            "use loss='squared_error' or loss='huber' for a regression."
        )
    if y.ndim > 1:
        y = column_or_1d(y, warn=True)
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            "loss='log_loss' needs samples of at least two classes, "
            f"got one class only: {classes.tolist()[0]!r}."
        )
    if class_weight is not None:
        weights = check_class_weight(
            class_weight, classes=classes, y=y, sample_weight=sample_weight
        )
        if sample_weight is None:
            sample_weight = 1.0
        sample_weight = sample_weight * (weights / weights.max())[codes]
    return codes, sample_weight, classes


def _prepare_labels(y, class_weight, sample_weight):
    """Check the columns of a multi-label classification, which are 0 or 1."""
    if class_weight is not None:
        raise ValueError(
            "class_weight is for one column of labels, got a y with "
            f"{y.shape[1]} columns."
        )
    if not np.isin(y, (0, 1)).all():
        raise ValueError(
            "loss='log_loss' needs 0 and 1 in a y of several columns, got the values "
            f"{np.unique(y).tolist()}."
        )
    y = np.asarray(y, dtype=np.float64)
    constant = np.flatnonzero(np.ptp(y, axis=0) == 0.0)
    if len(constant) > 0:
        raise ValueError(
            "loss='log_loss' needs samples with and without each label, got one kind "
            f"only in column {constant[0]} of y."
        )
    return y, sample_weight, np.arange(y.shape[1])


def make_problem(
    X,
    y,
    *,
    loss,
    sample_weight=None,
    offset=None,
    strata=None,
    class_weight=None,
    **options,
):
    """Return the problem of these samples.

    Samples of weight zero count as absent. The options are those of
    `BallConstrainedProblem`. A ValueError refuses an offset or strata that do not suit
    the loss.
    """
    if sample_weight is not None:
        present = sample_weight > 0.0
        if not present.all():
            X = take_rows(X, present)
            y, sample_weight = y[present], sample_weight[present]
            offset, strata = (v if v is None else v[present] for v in (offset, strata))
    targets, sample_weight, classes = prepare_targets(
        loss, y, class_weight=class_weight, sample_weight=sample_weight
    )
    if strata is not None and loss not in TIES:
        raise ValueError(f"strata are for loss='cox' or 'cox_efron', got {loss=}.")
    if offset is not None and loss != "poisson" and loss not in TIES:
        if classes is None or len(classes) != 2 or targets.ndim == 2:
            what = "" if classes is None else f" for {len(classes)} classes or labels"
            raise ValueError(
                "offset is for loss='poisson', 'cox' and 'cox_efron', and 'log_loss' "
                f"of two classes, got loss={loss!r}{what}."
            )
    limit = np.log(MAX_SIZE)
    if offset is not None and np.abs(offset).max() > limit:
        raise ValueError(
            f"offset must have logarithms of numbers from {1.0 / MAX_SIZE:g} to "
            f"{MAX_SIZE:g}, up to {limit:.0f} in size, got numbers from "
            f"{offset.min():g} to {offset.max():g}."
        )
    return BallConstrainedProblem(
        X,
        targets,
        loss=loss,
        sample_weight=sample_weight,
        offset=offset,
        strata=strata,
        classes=classes,
        **options,
    )
