"""Base class of the feature selectors with a ball-constrained linear model."""

import numbers
import warnings

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import SelectorMixin

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
    """Base class: parameters, data and results of the linear model."""

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

    # Attributes that a fit of the linear model sets, besides `classes_`.
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

    def _warn(self, fit, n_selected, stacklevel):
        """Warn of a model that has not converged, and of too few features."""
        stacklevel += 1
        if fit is not None and not fit.converged:
            warnings.warn(
                f"The linear model has not converged in max_iter={self.max_iter} "
                f"iterations: the duality gap is {fit.gap:.2g}, "
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


def model_attributes(problem, trial, scores, classes, dtype, n_iter):
    """Return the fitted attributes of a linear model, in the units of the data.

    Parameters
    ----------
    problem : BallConstrainedProblem
    trial : Trial
        With the fit of the problem.
    scores : ndarray of shape (n_features,)
        Scores of the selected features, zero for the others.
    classes : ndarray of shape (n_classes,) or None
    dtype : dtype
        That of the coefficients.
    n_iter : int

    Returns
    -------
    attributes : dict
    """
    coef, intercept = problem.original_units(trial.fit, dtype)
    attributes = {
        "coef_": np.where(scores > 0.0, coef.T, dtype.type(0.0)),
        "duality_gap_": float(trial.fit.gap),
        "eta_": trial.eta,
        "intercept_": intercept,
        "n_iter_": n_iter,
        "scores_": scores,
    }
    return attributes if classes is None else {**attributes, "classes_": classes}
