"""Classification and regression with a network: targets and predictions."""

import functools
from abc import abstractmethod
from dataclasses import dataclass, replace

import numpy as np
from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets

from skproj.blocks._duplicates import merge_duplicates
from skproj.nn._docs import PARTIAL_FIT_DOCS, PREDICTION_DOCS
from skproj.utils._docs import shared_docs
from skproj.utils._survival import refuse_survival
from skproj.utils._validation import (
    _check_sample_weight,
    _fit_context,
    atomic_fit,
    check_class_weight,
)


@dataclass(frozen=True)
class EncodedTargets:
    """Rows, weights and targets of the distinct samples to train with."""

    rows: np.ndarray  # one row of X for each distinct sample
    weight: np.ndarray
    targets: np.ndarray  # as the loss takes them
    n_outputs: int  # number of classes or targets
    attributes: dict  # fitted attributes that describe the targets
    strata: np.ndarray | None = None  # labels by which held-back samples are stratified
    # Which of the distinct samples each sample is, -1 for weight zero; None where
    # nothing was merged.
    places: np.ndarray | None = None


def relative_weights(sample_weight, X):
    """Return a weight for each sample; the largest is 1, so no sum overflows."""
    weight = _check_sample_weight(
        sample_weight, X, dtype=np.float64, ensure_non_negative=True
    )
    return weight / weight.max()


def _has_partial_fit(estimator):
    estimator._check_partial_fit()
    return True


class NetworkClassifierMixin(ClassifierMixin):
    """Mixin of the classifiers, which have a parameter `class_weight`."""

    _target_attributes = ("classes_",)

    @abstractmethod
    def _decision(self, X):
        """Return the logits; for two classes only that of the second one."""

    @abstractmethod
    def _probabilities(self, X):
        """Return the probabilities of the classes."""

    @available_if(_has_partial_fit)
    @_fit_context(prefer_skip_nested_validation=True)
    @atomic_fit
    @shared_docs(**PARTIAL_FIT_DOCS)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Train for one epoch on a part of the data.

        {effect_and_data}
        y : array-like of shape (n_samples,)
            Their class labels.
        classes : array-like of shape (n_classes,), default=None
            All classes that can occur; needed in the first call.
        {weight_and_returns}

        Raises
        ------
        ValueError
            If a parameter or the data is unsuitable, or if `classes` is missing in
            the first call or changes in a later one.
        """
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
        class_weight = check_class_weight(
            self.class_weight, classes=known, y=known, sample_weight=None
        )
        weight = relative_weights(sample_weight, X) * class_weight[labels]
        present = weight > 0.0
        encoded = EncodedTargets(
            rows=np.flatnonzero(present),
            weight=weight[present],
            targets=labels[present],
            n_outputs=len(known),
            attributes={"classes_": known},
        )
        self._learn(X, encoded)
        return self

    @functools.wraps(ClassifierMixin.score)
    def score(self, X, y, sample_weight=None):
        refuse_survival(y, type(self).__name__)
        return super().score(X, y, sample_weight)

    @shared_docs(**PREDICTION_DOCS)
    def decision_function(self, X):
        """Compute the logits of the classes.

        {data_and_returns}
        decision : ndarray of shape (n_samples,) or (n_samples, n_classes)
            The logits; for two classes one number, which is positive where the second
            class is predicted.
        """
        return self._decision(X)

    @shared_docs(**PREDICTION_DOCS)
    def predict_proba(self, X):
        """Estimate the probability of each class.

        {data_and_returns}
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        return self._probabilities(X)

    @shared_docs(**PREDICTION_DOCS)
    def predict(self, X):
        """Predict the class of each sample.

        {data_and_returns}
        y : ndarray of shape (n_samples,)
            Class labels.
        """
        decision = self._decision(X)
        if decision.ndim == 1:
            return self.classes_[(decision > 0).astype(int)]
        return self.classes_[decision.argmax(axis=1)]

    def _encode_targets(self, X, y, sample_weight):
        check_classification_targets(y)
        weight = relative_weights(sample_weight, X)
        classes, labels = np.unique(y, return_inverse=True)
        rows, weight, places = merge_duplicates(X, labels, weight)
        present, labels = np.unique(labels[rows], return_inverse=True)
        classes = classes[present]
        if len(classes) < 2:
            raise ValueError(
                "y must contain at least two classes among the samples of positive "
                f"weight, got one class: {classes.tolist()[0]!r}."
            )
        class_weight = check_class_weight(
            self.class_weight,
            classes=classes,
            y=classes[labels],
            sample_weight=weight,
        )
        weight *= (class_weight / class_weight.max())[labels]
        return EncodedTargets(
            rows=rows,
            weight=weight,
            targets=labels,
            n_outputs=len(classes),
            strata=labels,
            attributes={"classes_": classes},
            places=places,
        )

    def _has_same_targets(self, encoded):
        return np.array_equal(self.classes_, encoded.attributes["classes_"])


class NetworkRegressorMixin(RegressorMixin, MultiOutputMixin):
    """Mixin of the regressors: `_output` is about targets of mean 0 and variance 1."""

    _target_checks: dict = {"multi_output": True, "y_numeric": True}  # noqa: RUF012
    _target_attributes = ("_y_ndim_", "n_outputs_", "target_mean_", "target_scale_")

    @available_if(_has_partial_fit)
    @_fit_context(prefer_skip_nested_validation=True)
    @atomic_fit
    @shared_docs(**PARTIAL_FIT_DOCS)
    def partial_fit(self, X, y, sample_weight=None):
        """Train for one epoch on a part of the data.

        {effect_and_data}
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Their target values.
        {weight_and_returns}

        Raises
        ------
        ValueError
            If a parameter or the data is unsuitable.
        """
        X, y = self._validate_data(X, y, reset=not hasattr(self, "target_mean_"))
        weight = relative_weights(sample_weight, X)
        present = np.flatnonzero(weight)
        self._learn(X, self._scale_targets(X, y, present, weight[present]))
        return self

    @functools.wraps(RegressorMixin.score)
    def score(self, X, y, sample_weight=None):
        refuse_survival(y, type(self).__name__)
        return super().score(X, y, sample_weight)

    @shared_docs(**PREDICTION_DOCS)
    def predict(self, X):
        """Predict the target values.

        {data_and_returns}
        y : ndarray of shape (n_samples,) or (n_samples, n_targets)
            The predictions, in the units of the targets.
        """
        output = self._output(X)
        y = output * self.target_scale_ + self.target_mean_
        y = y.astype(output.dtype, copy=False)
        return y.ravel() if self._y_ndim_ == 1 else y

    def _encode_targets(self, X, y, sample_weight):
        weight = relative_weights(sample_weight, X)
        targets = y.reshape(len(y), -1).astype(np.float64)
        _, labels = np.unique(targets, axis=0, return_inverse=True)
        rows, weight, places = merge_duplicates(X, labels.ravel(), weight)
        for name in ("target_mean_", "target_scale_"):
            vars(self).pop(name, None)
        return replace(self._scale_targets(X, y, rows, weight), places=places)

    def _scale_targets(self, X, y, rows, weight):
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
        return EncodedTargets(
            rows=rows,
            weight=weight,
            targets=((targets - mean) / scale).astype(X.dtype),
            n_outputs=targets.shape[1],
            attributes={
                "target_mean_": mean,
                "target_scale_": scale,
                "n_outputs_": targets.shape[1],
                "_y_ndim_": y.ndim,
            },
        )

    def _has_same_targets(self, encoded):
        return self.n_outputs_ == encoded.n_outputs


def centre_and_scale(targets, weight, largest):
    """Return weighted mean and standard deviation of the targets; 1 for constant ones.

    `largest` is the largest number that predictions can be.
    """
    if np.abs(targets).max() > largest / 4:
        raise ValueError(
            "y is too large for the precision of X, of numbers up to "
            f"{largest:.2g}: got {np.abs(targets).max():.2g}; rescale it."
        )
    span = np.abs(targets).max(axis=0)
    span[span == 0.0] = 1.0
    units = targets / span  # squares neither overflow nor underflow
    mean = np.average(units, axis=0, weights=weight)
    spread = np.sqrt(np.average((units - mean) ** 2, axis=0, weights=weight))
    constant = spread <= 100.0 * np.finfo(np.float64).eps
    return mean * span, np.where(constant, 1.0, spread * span)
