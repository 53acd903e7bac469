"""What the selectors by a ball-constrained linear model have in common."""

import numbers
import warnings

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import SelectorMixin

from skproj.feature_selection._radius_search import Trial
from skproj.linear_model._constraint import BallConstraint
from skproj.linear_model._targets import make_problem, plain_integers
from skproj.projection._registry import SPARSIFYING
from skproj.utils._state import VersionedState
from skproj.utils._validation import (
    Interval,
    StrOptions,
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)


class LinearSelector(
    VersionedState, SelectorMixin, CallbackSupportMixin, BaseEstimator
):
    """Base of the selectors: parameters, data and results of the linear model."""

    _parameter_constraints: dict = {  # noqa: RUF012
        "projection": [StrOptions(set(SPARSIFYING)), callable],
        "loss": [StrOptions({"auto", "log_loss", "squared_error", "huber"})],
        "huber_epsilon": [Interval(numbers.Real, 0, None, closed="neither")],
        "standardize": ["boolean"],
        "fit_intercept": ["boolean"],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "max_iter": [Interval(numbers.Integral, 1, None, closed="left")],
        "tol": [Interval(numbers.Real, 0, None, closed="left")],
        "n_threads": [
            Interval(numbers.Integral, 1, None, closed="left"),
            Interval(numbers.Integral, None, -1, closed="right"),
            None,
        ],
    }

    # What a fit of the linear model sets, beside `classes_`.
    _model_attributes = (
        "coef_",
        "duality_gap_",
        "eta_",
        "intercept_",
        "n_iter_",
        "scores_",
    )

    def _validate(self, X, y, sample_weight):
        """Check the data, and return them as arrays."""
        X, y = validate_data(
            self,
            X,
            plain_integers(y),
            accept_sparse=("csr", "csc"),
            dtype=[np.float64, np.float32],
            multi_output=True,
            ensure_min_samples=2,
        )
        if sample_weight is not None:
            sample_weight = _check_sample_weight(
                sample_weight, X, dtype=np.float64, ensure_non_negative=True
            )
        return X, y, sample_weight

    def _make_problem(self, loss, X, y, sample_weight):
        """Return the linear model for these samples, and their classes or None."""
        return make_problem(
            X,
            y,
            loss=loss,
            sample_weight=sample_weight,
            class_weight=self.class_weight,
            fit_intercept=self.fit_intercept,
            standardize=self.standardize,
            huber_epsilon=self.huber_epsilon,
        )

    def _begin_fit(self, max_subtasks, X, y, sample_weight):
        """Tell the callbacks; return their context, and what their hooks are given."""
        arguments = {"estimator": self, "X": X, "y": y, "metadata": None}
        if sample_weight is not None:
            arguments["metadata"] = {"sample_weight": sample_weight}
        context = self._init_callback_context(max_subtasks=max_subtasks)
        context.call_on_fit_task_begin(**arguments)
        return context, arguments

    def _solver_options(self):
        """Return the parameters of `BallConstrainedProblem.solve`."""
        return {
            "projection": self.projection,
            "max_iter": self.max_iter,
            "tol": self.tol,
            "n_threads": self.n_threads,
        }

    def _trial(self, eta, coef, solution=None):
        """Describe what is left of the features for a radius."""
        constraint = BallConstraint(self.projection, eta)
        scores = constraint.scores(coef)
        # A known norm that stays below the radius does not feel the constraint.
        binding = constraint.ball is None or scores.sum() >= 0.999 * eta
        return Trial(eta, scores, solution, binding)

    def _set_selection(self, trial, n_selected=None):
        """Set the scores, of at most `n_selected` features if it is not None."""
        self.eta_ = trial.eta
        self.scores_ = trial.scores
        if n_selected is not None and trial.n_selected > n_selected:
            self.scores_ = np.zeros_like(trial.scores)
            best = np.argsort(-trial.scores, kind="stable")[:n_selected]
            self.scores_[best] = trial.scores[best]

    def _set_model(self, problem, solution, classes, dtype):
        """Set the coefficients of the selected features, in the units of the data."""
        coef, self.intercept_ = problem.original_units(solution, dtype)
        self.coef_ = np.where(self.scores_ > 0.0, coef.T, dtype.type(0.0))
        self.duality_gap_ = float(solution.gap)
        if classes is not None:
            self.classes_ = classes

    def _warn(self, solution, n_selected, stacklevel):
        """Warn of a model that has not converged, and of too few features."""
        stacklevel += 1
        if solution is not None and not solution.converged:
            warnings.warn(
                f"The linear model has not converged in max_iter={self.max_iter} "
                f"iterations: the duality gap is {solution.gap:.2g}, "
                f"for tol={self.tol}. Increase max_iter or tol, decrease eta, or "
                "use standardize=True.",
                ConvergenceWarning,
                stacklevel=stacklevel,
            )
        n_found = np.count_nonzero(self.scores_)
        if n_found == 0:
            warnings.warn(
                "No feature is selected: all of them are constant or have no "
                "weight, or eta is too small.",
                UserWarning,
                stacklevel=stacklevel,
            )
        elif n_selected is not None and n_found < n_selected:
            warnings.warn(
                f"Only {n_found} features are selected, fewer than "
                f"n_features_to_select={self.n_features_to_select}: "
                "no larger radius was found to keep more.",
                UserWarning,
                stacklevel=stacklevel,
            )

    def _get_support_mask(self):
        check_is_fitted(self)
        return self.scores_ > 0.0

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.sparse = True
        return tags
