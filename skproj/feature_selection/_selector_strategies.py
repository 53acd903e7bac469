"""The two sources of weights of `ProjectionFeatureSelector`.

A strategy checks the data when it is made. `begin` prepares the weights, once the
callbacks know of the fit. `fit_radius` and `search` return the `Trial` of a radius, and
`fitted_attributes` returns the results.
"""

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.metadata_routing import process_routing

from skproj.feature_selection._linear_selector import STRUCTURE, model_attributes
from skproj.feature_selection._radius_search import Trial, search_radius
from skproj.linear_model._constraint import BallConstraint
from skproj.linear_model._targets import choose_loss
from skproj.utils._tasks import subtask
from skproj.utils._validation import (
    _get_feature_importances,
    _num_features,
    _routing_enabled,
    check_is_fitted,
    validate_data,
)

# Models whose number of features is off by more than this share of the wanted number
# are solved with a larger `tol` and at most so many gradients.
SEARCH_TOL_FACTOR = 10.0
SEARCH_MAX_ITER = 100
MAX_REFINED_ERROR = 0.05


class LinearModelStrategy:
    """Weights of a convex linear model, fitted for each radius."""

    max_subtasks = None  # the search decides how many radii there are
    default_eta = 1.0

    def __init__(self, selector, X, y, sample_weight, fit_params):
        if fit_params:
            raise TypeError(
                f"fit got unexpected arguments {sorted(fit_params)}: without an "
                "estimator there is nothing to pass them to."
            )
        if selector.prefit:
            raise ValueError("prefit=True needs a fitted estimator, got None.")
        self.data = X, y, sample_weight = selector._validate(X, y, sample_weight)
        self.dtype = X.dtype
        self.problem, self.classes = selector._make_problem(
            choose_loss(selector.loss, y), X, y, sample_weight, selector.l2_reg
        )
        self.options = selector._solver_options()
        self.n_iter = 0

    def begin(self, context, arguments):
        """Keep the context and arguments of the callbacks."""
        self.context, self.arguments = context, arguments

    def fit_radius(self, eta, start=None, **changes):
        """Fit the model for a radius, from the model `start` or from zero."""
        with subtask(self.context, "radius", self.arguments):
            fit = self.problem.solve(eta, start=start, **(self.options | changes))
            self.n_iter += fit.n_iter
        return Trial.from_fit(self.problem, self.options["projection"], fit, eta)

    def search(self, n_selected):
        """Search for the radius that keeps `n_selected` features."""
        n_selected = self.problem.structure.reachable(n_selected)
        quick = {
            "tol": SEARCH_TOL_FACTOR * self.options["tol"],
            "max_iter": min(SEARCH_MAX_ITER, self.options["max_iter"]),
        }

        def attempt(eta, nearest):
            start = None if nearest is None else nearest.fit
            trial = self.fit_radius(eta, start, **quick)
            if abs(trial.n_selected - n_selected) > MAX_REFINED_ERROR * n_selected:
                return trial
            return self.fit_radius(eta, trial.fit)

        def fit_from_zero(eta, nearest):
            # As a fit with ``eta=eta_`` does.
            return self.fit_radius(eta)

        start = self.problem.natural_radius(self.options["projection"])
        trial, _ = search_radius(attempt, n_selected, start)
        if trial.n_selected < n_selected:
            return self.fit_radius(trial.eta)
        trial, _ = search_radius(fit_from_zero, n_selected, trial.eta)
        return trial

    def fitted_attributes(self, trial, scores):
        """Return the attributes of the selector by name."""
        return model_attributes(
            self.problem,
            self.options["projection"],
            trial,
            scores,
            self.classes,
            self.dtype,
            self.n_iter,
        )


class EstimatorStrategy:
    """Weights of a given estimator, which are projected."""

    max_subtasks = 0

    def __init__(self, selector, X, y, sample_weight, fit_params):
        for name in STRUCTURE:
            if getattr(selector, name) is not None:
                raise ValueError(
                    f"{name} is for the linear model and must be None with an "
                    f"estimator, got {getattr(selector, name)!r}."
                )
        try:
            _num_features(X)
        except TypeError as error:
            raise ValueError(f"X must have rows and columns: {error}.") from error
        validate_data(selector, X, skip_check_array=True)
        if sample_weight is not None:
            fit_params = fit_params | {"sample_weight": sample_weight}
        self.data = X, y, fit_params.get("sample_weight")
        self.selector = selector
        self.fit_params = fit_params
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
            self.estimator = clone(self.selector.estimator).fit(X, y, **fit_params)
        self.weights = self._read_weights()
        with np.errstate(over="ignore"):
            trial = Trial.from_coef(self.selector.projection, np.inf, self.weights)
            self.default_eta = 0.5 * trial.scores.sum()
        if not np.isfinite(self.default_eta):
            raise ValueError(
                "The norm of the weights of the estimator overflows; rescale them."
            )

    def fit_radius(self, eta, nearest=None):
        """Project the weights onto the ball of a radius."""
        self.n_iter += 1
        selector = self.selector
        constraint = BallConstraint(selector.projection, eta, selector.n_threads)
        coef = constraint.project(self.weights)
        return Trial.from_coef(selector.projection, eta, coef)

    def search(self, n_selected):
        """Search for the radius that keeps `n_selected` features."""
        trial, _ = search_radius(self.fit_radius, n_selected, start=self.default_eta)
        return trial

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
        names = getattr(self.selector, "feature_names_in_", None)
        fitted_names = getattr(estimator, "feature_names_in_", None)
        known = names is not None and fitted_names is not None
        if known and not np.array_equal(names, fitted_names):
            raise ValueError(
                "The feature names of X, or their order, are not those that the "
                "fitted estimator was fitted with."
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
        if not np.isfinite(weights).all():
            raise ValueError("The weights of the estimator contain NaN or infinity.")
        return np.ascontiguousarray(weights)
