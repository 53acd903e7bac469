"""Cox model of survival times with a quadratic penalty."""

from __future__ import annotations

from numbers import Real
from typing import ClassVar

import numpy as np
from scipy import sparse
from scipy.optimize import minimize
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.sparsefuncs import min_max_axis
from sklearn.utils.validation import check_consistent_length

from skproj._kernels._cox import Cox
from skproj._typing import Number
from skproj.linear_model._cox import SurvivalPredictionMixin, breslow
from skproj.utils._doc_link import DocumentationLink
from skproj.utils._moments import normalized_weights, unit_factors
from skproj.utils._state import VersionedState
from skproj.utils._survival import read_times
from skproj.utils._validation import (
    _check_sample_weight,
    atomic_fit,
    check_is_fitted,
    validate_data,
)

# It ends at this size of the gradient of the mean loss.
OPTIONS = {"maxiter": 1000, "gtol": 1e-9, "ftol": 0.0}


class CoxRidge(
    SurvivalPredictionMixin, VersionedState, DocumentationLink, BaseEstimator
):
    r"""Cox model of proportional hazards with a quadratic penalty.

    .. math::

        -\ell(\beta) + \frac{\alpha}{2} \|\beta\|_2^2

    is minimised, where :math:`\ell` is the log partial likelihood [1]_. It is a model
    to fit to selected features: it predicts risks and probabilities of survival, and
    its coefficients are shrunk less than those of a model in a ball.

    Parameters
    ----------
    alpha : float, default=None
        Strength of the penalty. None is the number of features: it is that of a normal
        prior with which the log hazard has the variance 1, if the features are
        standardised, as they should be.
    ties : {"breslow", "efron"}, default="breslow"
        Treatment of events at the same time.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Change of the log hazard by a unit of each feature.
    intercept_ : float
        It makes the weighted mean log hazard of the training samples zero.
    event_times_ : ndarray of shape (n_event_times,)
        The different times of events.
    log_cumulative_hazard_ : ndarray of shape (n_event_times,)
        Logarithm of Breslow's estimate [2]_ at these times, for the log hazard 0.
    n_iter_ : int
        Iterations of the solver.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if they are strings.

    See Also
    --------
    skproj.feature_selection.ProjectionFeatureSelectorCV : Selection of features for
        survival times.
    skproj.metrics.concordance_index_censored : Score of the predicted risks.
    skproj.metrics.integrated_brier_score : Score of the predicted probabilities.

    References
    ----------
    .. [1] D. R. Cox, "Regression models and life-tables", Journal of the Royal
       Statistical Society B 34(2), 1972, :doi:`10.1111/j.2517-6161.1972.tb00899.x`.
    .. [2] N. E. Breslow, discussion of [1]_.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from skproj import ProjectionFeatureSelector
    >>> from skproj.datasets import make_survival
    >>> from skproj.linear_model import CoxRidge
    >>> X, y = make_survival(n_features=50, return_X_y=True, random_state=0)
    >>> selector = ProjectionFeatureSelector(n_features_to_select=10)
    >>> model = make_pipeline(selector, CoxRidge()).fit(X, y)
    >>> model.score(X, y) > 0.7
    True
    >>> selected = selector.transform(X)
    >>> model[-1].predict_survival(selected[:2], [0.5, 1.0]).shape
    (2, 2)
    """

    coef_: np.ndarray
    intercept_: float
    event_times_: np.ndarray
    log_cumulative_hazard_: np.ndarray
    n_iter_: int

    _parameter_constraints: ClassVar = {
        "alpha": [Interval(Real, 0.0, None, closed="left"), None],
        "ties": [StrOptions({"breslow", "efron"})],
    }

    _fitted_attributes = (
        ("coef_", "event_times_", "intercept_", "log_cumulative_hazard_", "n_iter_"),
    )

    def __init__(self, alpha: Number | None = None, *, ties: str = "breslow") -> None:
        self.alpha = alpha
        self.ties = ties

    @_fit_context(prefer_skip_nested_validation=True)
    @atomic_fit
    def fit(self, X, y, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : structured ndarray or DataFrame of shape (n_samples,), or array-like
            Survival times: a structured array with a boolean field, whether the event
            was seen, and a field of numbers, the time of the event or of censoring, or
            a DataFrame with the columns `event` and `time`. Other forms:
            :doc:`/survival`. Numbers alone are times of events.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples. One of weight 2 counts as two samples, but not as
            two tied events with ``ties="efron"``; one of weight zero is absent.

        Returns
        -------
        self : object
            The fitted model.

        Raises
        ------
        ValueError
            If `y` is not of that form, if it has no event, if `X` contains NaN or
            infinity, or if weights are negative or all zero.
        """
        target = read_times(y, type(self).__name__)
        X = validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32])
        check_consistent_length(X, target)
        sample_weight = _check_sample_weight(
            sample_weight, X, dtype=np.float64, ensure_non_negative=True
        )
        present = sample_weight > 0.0
        if not present.all():
            X, target, sample_weight = (a[present] for a in (X, target, sample_weight))
        if not target["event"].any():
            raise ValueError("y must have an event: all its samples are censored.")
        weights = normalized_weights(sample_weight, len(target))
        loss = Cox(target, weights, self.ties)
        penalty = X.shape[1] if self.alpha is None else self.alpha
        penalty = penalty * weights[0] / sample_weight[0]  # the loss is a mean
        # Steps of one length suit large features if their coefficients have units.
        sizes = np.abs(min_max_axis(X, axis=0) if sparse.issparse(X) else X)
        units = np.minimum(unit_factors(sizes.max(axis=0)), 1.0)

        def objective(scaled):
            coef = units * scaled
            value, residuals = loss.value_and_residuals((X @ coef)[:, np.newaxis])
            gradient = X.T @ residuals[:, 0] + penalty * coef
            return value + 0.5 * penalty * (coef @ coef), units * gradient

        start = np.zeros(X.shape[1])
        found = minimize(objective, start, jac=True, method="L-BFGS-B", options=OPTIONS)
        self.coef_ = units * found.x
        self.n_iter_ = int(found.nit)
        logits = X @ self.coef_
        self.intercept_ = -float(weights @ logits)
        self.event_times_, self.log_cumulative_hazard_ = breslow(
            target, logits + self.intercept_, weights
        )
        return self

    def predict(self, X):
        """Predict the logarithm of the hazard.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        risk : ndarray of shape (n_samples,)
            Relative to the mean of the training samples; the larger, the earlier is
            the event.

        Raises
        ------
        NotFittedError
            If the model is not fitted.
        """
        check_is_fitted(self)
        X = validate_data(
            self, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=False
        )
        return X @ self.coef_ + self.intercept_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.required = True
        tags.target_tags.positive_only = True
        return tags
