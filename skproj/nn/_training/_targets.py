"""What classifiers and regressors make of their targets."""

from dataclasses import dataclass

import numpy as np
from sklearn.utils.multiclass import check_classification_targets

from skproj.nn._training._loop import merge_duplicates
from skproj.utils._validation import check_class_weight, relative_weights


@dataclass(frozen=True)
class Problem:
    """What a subclass makes of the targets.

    Attributes
    ----------
    rows : ndarray of int of shape (n_distinct,)
        One row of X for each distinct sample.
    weight : ndarray of shape (n_distinct,)
    targets : ndarray of shape (n_distinct,) or (n_distinct, n_targets)
        What the loss takes.
    n_outputs : int
        Number of classes or targets.
    strata : ndarray of int of shape (n_distinct,) or None
        What held-back samples are stratified by.
    attributes : dict
        Fitted attributes that describe the targets.
    """

    rows: np.ndarray
    weight: np.ndarray
    targets: np.ndarray
    n_outputs: int
    strata: np.ndarray | None
    attributes: dict


class ClassTargets:
    """Mixin of the classifiers, which have a parameter `class_weight`."""

    _target_attributes = ("classes_",)

    def _make_problem(self, X, y, sample_weight):
        check_classification_targets(y)
        weight = relative_weights(sample_weight, X)
        classes, labels = np.unique(y, return_inverse=True)
        rows, weight = merge_duplicates(X, labels, weight)
        present, labels = np.unique(labels[rows], return_inverse=True)
        classes = classes[present]
        if len(classes) < 2:
            raise ValueError(
                "y must contain at least two classes among the samples of positive "
                f"weight, got one class: {classes[0]!r}."
            )
        class_weight = check_class_weight(
            self.class_weight,
            classes=classes,
            y=classes[labels],
            sample_weight=weight,
        )
        weight *= (class_weight / class_weight.max())[labels]
        return Problem(
            rows=rows,
            weight=weight,
            targets=labels,
            n_outputs=len(classes),
            strata=labels,
            attributes={"classes_": classes},
        )

    def _part(self, X, y, classes, sample_weight):
        """Check what `partial_fit` is given; return X and a `Problem`."""
        if self.class_weight == "balanced":
            raise ValueError(
                'class_weight="balanced" needs all the data: give partial_fit a dict '
                "of weights."
            )
        first = not hasattr(self, "classes_")
        if first and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        X, y = self._validate_data(X, y, reset=first)
        check_classification_targets(y)
        known = np.unique(classes) if first else self.classes_
        if classes is not None and not np.array_equal(np.unique(classes), known):
            raise ValueError(
                f"classes={classes!r} is not the same as on the last call to "
                f"partial_fit: {known!r}."
            )
        if len(known) < 2:
            raise ValueError(f"classes must hold at least two classes, got {known!r}.")
        labels = np.minimum(np.searchsorted(known, y), len(known) - 1)
        if not np.array_equal(known[labels], y):
            raise ValueError(
                f"y contains labels that are not in classes: {np.setdiff1d(y, known)}."
            )
        weight = relative_weights(sample_weight, X)
        weight = (
            weight
            * check_class_weight(
                self.class_weight, classes=known, y=known, sample_weight=None
            )[labels]
        )
        return X, Problem(
            rows=np.flatnonzero(weight > 0.0),
            weight=weight[weight > 0.0],
            targets=labels[weight > 0.0],
            n_outputs=len(known),
            strata=None,
            attributes={"classes_": known},
        )

    def _has_same_targets(self, problem):
        return np.array_equal(self.classes_, problem.attributes["classes_"])


class NumericTargets:
    """Mixin of the regressors: the network sees targets of mean 0 and variance 1."""

    _target_checks: dict = {"multi_output": True, "y_numeric": True}  # noqa: RUF012
    _target_attributes = ("_y_ndim_", "n_outputs_", "target_mean_", "target_scale_")

    def _make_problem(self, X, y, sample_weight):
        weight = relative_weights(sample_weight, X)
        targets = y.reshape(len(y), -1).astype(np.float64)
        _, labels = np.unique(targets, axis=0, return_inverse=True)
        rows, weight = merge_duplicates(X, labels.ravel(), weight)
        for name in ("target_mean_", "target_scale_"):
            vars(self).pop(name, None)
        return self._scaled_problem(X, y, rows, weight)

    def _part(self, X, y, sample_weight):
        """Check what `partial_fit` is given; return X and a `Problem`."""
        X, y = self._validate_data(X, y, reset=not hasattr(self, "target_mean_"))
        weight = relative_weights(sample_weight, X)
        present = np.flatnonzero(weight)
        return X, self._scaled_problem(X, y, present, weight[present])

    def _scaled_problem(self, X, y, rows, weight):
        """Scale the targets as before, or by their own moments."""
        targets = y.reshape(len(y), -1)[rows].astype(np.float64)
        if hasattr(self, "target_mean_"):
            mean, scale = self.target_mean_, self.target_scale_
            if len(mean) != targets.shape[1]:
                raise ValueError(
                    f"y has {targets.shape[1]} targets, but {len(mean)} were expected."
                )
        else:
            mean, scale = centre_and_scale(targets, weight, np.finfo(X.dtype).max)
        return Problem(
            rows=rows,
            weight=weight,
            targets=((targets - mean) / scale).astype(X.dtype),
            n_outputs=targets.shape[1],
            strata=None,
            attributes={
                "target_mean_": mean,
                "target_scale_": scale,
                "n_outputs_": targets.shape[1],
                "_y_ndim_": y.ndim,
            },
        )

    def _has_same_targets(self, problem):
        return self.n_outputs_ == problem.n_outputs

    def _in_target_units(self, output):
        """Turn what the network returns into predictions."""
        y = output * self.target_scale_ + self.target_mean_
        y = y.astype(output.dtype, copy=False)
        return y.ravel() if self._y_ndim_ == 1 else y


def centre_and_scale(targets, weight, largest):
    """Return weighted mean and standard deviation of the targets; 1 for constant ones.

    Parameters
    ----------
    targets : ndarray of shape (n_samples, n_targets)
    weight : ndarray of shape (n_samples,)
    largest : float
        Of the numbers that predictions can be.
    """
    if np.abs(targets).max() > largest / 4:
        raise ValueError("y is too large for the precision of X; rescale it.")
    span = np.abs(targets).max(axis=0)
    span[span == 0.0] = 1.0
    units = targets / span  # squares neither overflow nor underflow
    mean = np.average(units, axis=0, weights=weight)
    spread = np.sqrt(np.average((units - mean) ** 2, axis=0, weights=weight))
    constant = spread <= 100.0 * np.finfo(np.float64).eps
    return mean * span, np.where(constant, 1.0, spread * span)
