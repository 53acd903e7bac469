"""Weights of a given estimator as those of `ProjectionFeatureSelector`."""

import numpy as np
from scipy import sparse
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.utils.metadata_routing import process_routing

from skproj.feature_selection._radius_search import Trial, search_radius
from skproj.linear_model._constraint import CoefficientBall
from skproj.utils._features import feature_parameters
from skproj.utils._pipelines import steps_of
from skproj.utils._survival import is_survival, read_target, refuse_survival
from skproj.utils._validation import (
    _get_feature_importances,
    _num_features,
    _routing_enabled,
    check_complete,
    check_is_fitted,
    check_names,
    validate_data,
)
from skproj.utils._wording import name_columns


class EstimatorStrategy:
    """Weights of a given estimator, which are projected."""

    max_subtasks = 0

    def __init__(self, selector, X, y, sample_weight, offset, strata, fit_params):
        of_linear_model = {"offset": offset, "strata": strata}
        of_linear_model |= {"positive": selector.positive or None}
        for name, value in (feature_parameters(selector) | of_linear_model).items():
            if value is not None:
                raise ValueError(
                    f"{name} is for the linear model and cannot be combined with an "
                    f"estimator, got {name}={value!r}."
                )
        try:
            _num_features(X)
        except TypeError as error:
            raise ValueError(f"X must have rows and columns: {error}.") from error
        validate_data(selector, X, skip_check_array=True)
        check_complete(y)
        if sample_weight is not None:
            fit_params = fit_params | {"sample_weight": sample_weight}
        y = read_target(y)
        refuse_class_per_row(selector.estimator, y)
        weights = {"sample_weight": sample_weight}
        self.data = X, y, {} if sample_weight is None else weights
        self.selector, self.fit_params = selector, fit_params
        self.n_iter = 0

    def begin(self, context, arguments):
        """Fit the estimator unless it is fitted, and read its weights."""
        if self.selector.prefit:
            self.estimator = self._check_prefit(self.selector.estimator)
        else:
            X, y, _ = self.data
            fit_params = self.fit_params
            if _routing_enabled():
                routed = process_routing(self.selector, "fit", **fit_params)
                fit_params = routed.estimator.fit
            self.estimator = clone(self.selector.estimator)
            self.estimator.fit(X, y, **fit_params)  # which may return nothing
        self.weights = self._read_weights()
        with np.errstate(over="ignore"):
            constraint = CoefficientBall(self.selector.projection, np.inf)
            self.default_eta = 0.5 * constraint.scores(self.weights).sum()
        if not np.isfinite(self.default_eta):
            raise ValueError(
                "The norm of the weights of the estimator overflows, the largest is "
                f"{np.abs(self.weights).max():.2g}; rescale them."
            )

    def fit_radius(self, eta, nearest=None):
        """Project the weights onto the ball of a radius."""
        self.n_iter += 1
        constraint = CoefficientBall(self.selector.projection, eta)
        if constraint.sparsifies:
            n_threads = self.selector.n_threads
            coef = constraint.ball.project(
                self.weights, eta, axis=1, n_threads=n_threads
            )
        else:
            coef = constraint.project(self.weights)
        return Trial.score(constraint, coef)

    def search(self, n_selected):
        """Search for the radius that keeps `n_selected` features."""
        return search_radius(self.fit_radius, n_selected, start=self.default_eta)[0]

    def fitted_attributes(self, trial, scores):
        """Return the attributes of the selector by name."""
        return {
            "estimator_": self.estimator,
            "eta_": trial.eta,
            "n_iter_": self.n_iter,
            "scores_": scores,
        }

    def _check_prefit(self, estimator):
        """Return a fitted estimator that has seen features of the same names."""
        try:
            check_is_fitted(estimator)
        except NotFittedError as error:
            raise NotFittedError(
                "prefit=True needs a fitted estimator; "
                f"this {type(estimator).__name__} is not."
            ) from error
        if self.fit_params:
            raise ValueError(
                "prefit=True fits nothing, so it cannot use "
                f"{', '.join(sorted(self.fit_params))}."
            )
        check_names(
            *(getattr(x, "feature_names_in_", None) for x in (estimator, self.selector))
        )
        return estimator

    def _read_weights(self):
        """Return the weights as an array of shape (n_features, n_outputs)."""
        n_features = self.selector.n_features_in_
        weights = _get_feature_importances(
            self.estimator, self.selector.importance_getter
        )
        if sparse.issparse(weights):
            weights = weights.toarray()
        weights = np.atleast_2d(np.asarray(weights, dtype=np.float64)).T
        if weights.ndim != 2 or weights.shape[0] != n_features:
            raise ValueError(
                "importance_getter must give weights of shape (n_features,) or "
                f"(n_outputs, n_features) with n_features={n_features}, "
                f"got shape {weights.T.shape}."
            )
        wrong = ~np.isfinite(weights).all(axis=1)
        if wrong.any():
            names = getattr(self.selector, "feature_names_in_", None)
            raise ValueError(
                "The weights of the estimator contain NaN or infinity, for "
                f"{name_columns(wrong, names)} of X."
            )
        return np.ascontiguousarray(weights)


def refuse_class_per_row(estimator, y):
    """Refuse survival times where an estimator would take them for labels or numbers.

    That is asked of the estimator that a selector, a search or a pipeline fits.
    """
    if not is_survival(y) or estimator is None:
        return
    estimator = steps_of(estimator)[-1]
    while getattr(estimator, "estimator", None) is not None:
        estimator = steps_of(estimator.estimator)[-1]
    if is_classifier(estimator) or is_regressor(estimator):
        refuse_survival(y, type(estimator).__name__)
