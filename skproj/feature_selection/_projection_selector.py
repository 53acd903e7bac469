"""Feature selection by a linear model, or any model, projected onto a ball."""

import numbers
import warnings

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.feature_selection import SelectorMixin
from sklearn.utils import column_or_1d, get_tags
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    process_routing,
)
from sklearn.utils.multiclass import type_of_target

from skproj.feature_selection._radius_search import Trial, search_radius
from skproj.linear_model._ball_constrained import BallConstrainedProblem
from skproj.linear_model._constraint import BallConstraint
from skproj.projection._registry import SPARSIFYING
from skproj.utils._validation import (
    HasMethods,
    Interval,
    RealNotInt,
    StrOptions,
    _check_sample_weight,
    _fit_context,
    _get_feature_importances,
    _routing_enabled,
    check_class_weight,
    check_is_fitted,
    nothing_half_fitted,
    validate_data,
)

# With loss="auto", floating-point targets that take more values than this are not
# taken for labels, even if all are whole numbers.
MAX_FLOAT_LABELS = 20

# From a method called by `fit`, through `fit` and its decorators.
WARN_AT_CALLER = 5


class ProjectionFeatureSelector(SelectorMixin, MetaEstimatorMixin, BaseEstimator):
    r"""Select features with a linear model constrained to a ball.

    .. math::

        \min_{W, b} \; \frac{1}{\sum_i w_i} \sum_i w_i \, \ell(y_i, x_i W + b)
        \quad \text{subject to} \quad \|W\| \le \eta

    The groups of the norm are the rows of `W`, one per feature. The constraint makes
    whole rows exactly zero, and the other features are selected [1]_. The problem is
    convex for the exact balls: the solution does not depend on a start or on a seed,
    and comes with a bound on its distance from the optimum.

    With `estimator`, the weights of that estimator are projected instead.

    Parameters
    ----------
    estimator : estimator object, default=None
        An estimator with `coef_` or `feature_importances_` after fitting, or whose
        weights `importance_getter` knows. A clone of it is fitted, and its weights
        are projected once. None fits the linear model above.
    eta : float, default=None
        Radius of the projection ball; smaller is sparser; not a learning rate. It may
        be infinite. It is in units of the coefficients of standardised features, or
        of the weights of `estimator`. If None, and `n_features_to_select` is None as
        well, it is 1, or half the norm of the weights of `estimator`.
    n_features_to_select : int or float, default=None
        Number of features to select, or their fraction if a float in (0, 1]. The
        radius is then searched for. Cannot be combined with `eta`.
    projection : str or callable, default="l1inf"
        Name of the ball and its projection: {"l1", "l12", "l1inf", "bilevel_l11",
        "bilevel_l12", "bilevel_l1inf"}, see :mod:`skproj.projection`; or a callable
        ``projection(W, radius, axis=1)``, where `W` has shape (n_features, n_outputs)
        and `axis` is what the norm of a feature runs along. With a single output all
        names are the l1 ball.
    loss : {"auto", "log_loss", "squared_error", "huber"}, default="auto"
        Loss of the linear model: logistic or softmax, half the squared error, or the
        Huber loss. "auto" is "log_loss" if `y` is one column of strings, booleans,
        integers, or floats with at most 20 values, all whole numbers; else
        "squared_error".
    huber_epsilon : float, default=1.35
        Errors above this are penalised linearly by the Huber loss. In units of the
        standard deviation of `y` if `standardize`.
    standardize : bool, default=True
        Whether the linear model sees features, and targets of a regression, divided
        by their standard deviation, so that `eta` means the same for any units. The
        samples are weighted. Sparse data stay sparse.
    fit_intercept : bool, default=True
        Whether the linear model has an intercept, which is not constrained.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, as in :class:`~sklearn.linear_model.LogisticRegression`;
        they multiply `sample_weight`. Only for classification.
    prefit : bool, default=False
        Whether `estimator` is fitted already, and used as it is.
    importance_getter : str or callable, default="auto"
        Where the weights of `estimator` are, of shape (n_features,) or
        (n_outputs, n_features): an attribute with dots for nested ones, or a function
        of the fitted estimator. "auto" is `coef_`, then `feature_importances_`.
    max_iter : int, default=1000
        Largest number of gradients of the linear model for one radius.
    tol : float, default=1e-4
        The linear model has converged when the duality gap is at most
        ``tol * max(objective, 1) * min(eta, 1)``.
    n_threads : int, default=1
        Number of threads of the projection, -1 for all, None for what OpenMP would
        use. It does not change the result. Matrix products use the threads of BLAS.

    Attributes
    ----------
    scores_ : ndarray of shape (n_features_in_,)
        Norm of each feature's projected weights; zero if it is not selected.
    eta_ : float
        The radius that was used.
    n_iter_ : int
        Number of gradients of the linear model, over all radii that were tried. With
        `estimator`: number of projections.
    coef_ : ndarray of shape (n_outputs, n_features_in_)
        Coefficients of the linear model in the units of `X` and `y`; zero for the
        features that are not selected. One row for two classes or a single target,
        else one row per class or target. Not with `estimator`.
    intercept_ : ndarray of shape (n_outputs,)
        Intercept of the linear model. Not with `estimator`.
    duality_gap_ : float
        Bound on how far the mean loss (of the standardised data) is from its minimum
        over the ball, up to rounding in the dtype of `X`. It need not be small for the
        bi-level projections, which do not aim at the minimum. It is the mean loss
        itself where nothing better is known: for callables and without a constraint.
        Not with `estimator`.
    classes_ : ndarray of shape (n_classes,)
        The classes, in the order of the rows of `coef_`. Only for classification
        without `estimator`.
    estimator_ : estimator object
        The fitted estimator. Only with `estimator`.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen during `fit`, if all are strings.

    Warns
    -----
    UserWarning
        If no feature is selected, for instance because all are constant, or fewer
        than `n_features_to_select`: not every number is possible. The l1 ball cannot
        keep more features than there are samples, for instance.
    ConvergenceWarning
        If the linear model reaches `max_iter`.

    See Also
    --------
    sklearn.feature_selection.SelectFromModel : Select by a threshold on importances.
    skproj.projection.projection_l1inf_ball : The default projection.

    Notes
    -----
    The solver is FISTA [2]_ with adaptive restart and step size, on a growing set of
    features, and stops by the duality gap over all features.

    The bi-level projections do not give the nearest point of the ball. The linear
    model then iterates gradient steps and projections to a fixed point, which does
    not depend on the length of the steps. It usually keeps fewer features than the
    exact projection for the same radius, and its objective is larger.

    Samples of weight zero count as absent.

    If several features tie at the radius where `n_features_to_select` is passed, those
    with the largest scores are kept, and the coefficients of the others become zero;
    `eta_`, `intercept_` and `duality_gap_` are those of the model before that.

    References
    ----------
    .. [1] M. Barlaud, W. Belhajali, P. L. Combettes, L. Fillatre, "Classification and
       regression using an outer approximation projection-gradient method", IEEE
       Transactions on Signal Processing 65(17), 2017, :arxiv:`1506.02196`.
    .. [2] A. Beck, M. Teboulle, "A fast iterative shrinkage-thresholding algorithm for
       linear inverse problems", SIAM Journal on Imaging Sciences 2(1), 2009,
       :doi:`10.1137/080716542`.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skproj.feature_selection import ProjectionFeatureSelector
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> selector = ProjectionFeatureSelector().fit(X, y)
    >>> selector.get_feature_names_out()
    array(['worst radius', 'worst perimeter', 'worst concave points'],
          dtype=object)
    >>> selector = ProjectionFeatureSelector(n_features_to_select=5).fit(X, y)
    >>> selector.transform(X).shape
    (569, 5)
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        "estimator": [HasMethods("fit"), None],
        "eta": [Interval(numbers.Real, 0, None, closed="right"), None],
        "n_features_to_select": [
            Interval(numbers.Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0, 1, closed="right"),
            None,
        ],
        "projection": [StrOptions(set(SPARSIFYING)), callable],
        "loss": [StrOptions({"auto", "log_loss", "squared_error", "huber"})],
        "huber_epsilon": [Interval(numbers.Real, 0, None, closed="neither")],
        "standardize": ["boolean"],
        "fit_intercept": ["boolean"],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "prefit": ["boolean"],
        "importance_getter": [str, callable],
        "max_iter": [Interval(numbers.Integral, 1, None, closed="left")],
        "tol": [Interval(numbers.Real, 0, None, closed="left")],
        "n_threads": [
            Interval(numbers.Integral, 1, None, closed="left"),
            Interval(numbers.Integral, None, -1, closed="right"),
            None,
        ],
    }

    def __init__(
        self,
        estimator=None,
        *,
        eta=None,
        n_features_to_select=None,
        projection="l1inf",
        loss="auto",
        huber_epsilon=1.35,
        standardize=True,
        fit_intercept=True,
        class_weight=None,
        prefit=False,
        importance_getter="auto",
        max_iter=1000,
        tol=1e-4,
        n_threads=1,
    ):
        self.estimator = estimator
        self.eta = eta
        self.n_features_to_select = n_features_to_select
        self.projection = projection
        self.loss = loss
        self.huber_epsilon = huber_epsilon
        self.standardize = standardize
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.prefit = prefit
        self.importance_getter = importance_getter
        self.max_iter = max_iter
        self.tol = tol
        self.n_threads = n_threads

    @_fit_context(prefer_skip_nested_validation=False)
    @nothing_half_fitted
    def fit(self, X, y=None, sample_weight=None, **fit_params):
        """Select the features.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data. CSR and CSC matrices are used as they are, float32 and
            float64 are kept.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Labels or target values. Only a fitted `estimator` can do without.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples. With `estimator` they are passed to its `fit`.
        **fit_params : dict
            More parameters for the `fit` of `estimator`, routed if metadata routing is
            enabled.

        Returns
        -------
        self : object
            The fitted selector.

        Raises
        ------
        ValueError
            If both `eta` and `n_features_to_select` are given, if the latter exceeds
            the number of features, if `X` or `y` contains NaN or infinity, or if `y`
            does not suit `loss`: one class only, or labels that are not.
        TypeError
            If there are `fit_params` but no `estimator`.
        """
        if self.eta is not None and self.n_features_to_select is not None:
            raise ValueError(
                "eta and n_features_to_select cannot be combined, got "
                f"eta={self.eta!r} and "
                f"n_features_to_select={self.n_features_to_select!r}."
            )
        for name in ("classes_", "coef_", "intercept_", "duality_gap_", "estimator_"):
            self.__dict__.pop(name, None)  # of an earlier fit of another kind
        if self.estimator is None:
            self._fit_linear_model(X, y, sample_weight, fit_params)
        else:
            if sample_weight is not None:
                fit_params["sample_weight"] = sample_weight
            self._fit_estimator(X, y, fit_params)
        return self

    def _fit_linear_model(self, X, y, sample_weight, fit_params):
        """Fit the linear model for one radius, or for those of a search."""
        if fit_params:
            raise TypeError(
                f"fit got unexpected arguments {sorted(fit_params)}: without an "
                "estimator there is nothing to pass them to."
            )
        if self.prefit:
            raise ValueError("prefit=True needs a fitted estimator, got None.")
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=("csr", "csc"),
            dtype=[np.float64, np.float32],
            multi_output=True,
            ensure_min_samples=2,
        )
        if sample_weight is not None:
            sample_weight = _check_sample_weight(
                sample_weight, X, dtype=np.float64, ensure_non_negative=True
            )
            present = sample_weight > 0.0
            if not present.all():
                X, y, sample_weight = X[present], y[present], sample_weight[present]
        n_selected = self._check_n_features_to_select()
        loss, targets, sample_weight = self._prepare_targets(y, sample_weight)
        problem = BallConstrainedProblem(
            X,
            targets,
            loss=loss,
            sample_weight=sample_weight,
            fit_intercept=self.fit_intercept,
            standardize=self.standardize,
            huber_epsilon=self.huber_epsilon,
        )
        self.n_iter_ = 0

        def attempt(eta, nearest):
            solution = problem.solve(
                eta,
                self.projection,
                start=None if nearest is None else nearest.solution,
                max_iter=self.max_iter,
                tol=self.tol,
                n_threads=self.n_threads,
            )
            self.n_iter_ += solution.n_iter
            return self._trial(eta, solution.coef, solution)

        eta = 1.0 if self.eta is None else float(self.eta)
        if n_selected is None:
            trial = attempt(eta, None)
        else:
            trial, _ = search_radius(attempt, n_selected, start=eta)
        self._set_selection(trial, n_selected)
        solution = trial.solution
        if not solution.converged:
            warnings.warn(
                f"The linear model has not converged in max_iter={self.max_iter} "
                f"iterations: the duality gap is {solution.gap:.2g}, "
                f"for tol={self.tol}. Increase max_iter or tol, decrease eta, or "
                "use standardize=True.",
                ConvergenceWarning,
                stacklevel=WARN_AT_CALLER,
            )
        coef, intercept = problem.original_units(solution)
        with np.errstate(over="ignore"):
            self.coef_ = np.where(self.scores_ > 0.0, coef.T, 0.0).astype(X.dtype)
            self.intercept_ = intercept.astype(X.dtype)
        if not (np.isfinite(self.coef_).all() and np.isfinite(self.intercept_).all()):
            raise ValueError(
                f"The coefficients overflow {X.dtype}, the type of X; rescale X or y."
            )
        self.duality_gap_ = float(solution.gap)

    def _fit_estimator(self, X, y, fit_params):
        """Fit the estimator if it is not fitted yet, and project its weights."""
        validate_data(self, X, skip_check_array=True)
        n_selected = self._check_n_features_to_select()
        if self.prefit:
            try:
                check_is_fitted(self.estimator)
            except NotFittedError as error:
                raise NotFittedError(
                    "prefit=True needs a fitted estimator; "
                    f"this {type(self.estimator).__name__} is not."
                ) from error
            if fit_params:
                raise ValueError(
                    "prefit=True fits nothing, so it cannot use "
                    f"{', '.join(sorted(fit_params))}."
                )
            self._check_names_of(self.estimator)
            self.estimator_ = self.estimator
        else:
            if _routing_enabled():
                fit_params = process_routing(self, "fit", **fit_params).estimator.fit
            self.estimator_ = clone(self.estimator).fit(X, y, **fit_params)
        weights = self._weights_of_estimator()

        def attempt(eta, nearest=None):
            constraint = BallConstraint(self.projection, eta, self.n_threads)
            return self._trial(eta, constraint.project(weights))

        with np.errstate(over="ignore"):
            half_norm = 0.5 * self._trial(np.inf, weights).scores.sum()
        if not np.isfinite(half_norm):
            raise ValueError(
                "The norm of the weights of the estimator overflows; rescale them."
            )
        if n_selected is None:
            eta = half_norm if self.eta is None else float(self.eta)
            trial, self.n_iter_ = attempt(eta), 1
        else:
            trial, self.n_iter_ = search_radius(attempt, n_selected, start=half_norm)
        self._set_selection(trial, n_selected)

    def _check_names_of(self, estimator):
        """Refuse an estimator that was fitted on features of other names."""
        names = getattr(self, "feature_names_in_", None)
        fitted_names = getattr(estimator, "feature_names_in_", None)
        known = names is not None and fitted_names is not None
        if known and not np.array_equal(names, fitted_names):
            raise ValueError(
                "The feature names of X, or their order, are not those that the "
                "fitted estimator was fitted with."
            )

    def _weights_of_estimator(self):
        """Return the weights as an array of shape (n_features, n_outputs)."""
        weights = _get_feature_importances(self.estimator_, self.importance_getter)
        if sparse.issparse(weights):
            weights = weights.toarray()
        weights = np.atleast_2d(np.asarray(weights, dtype=np.float64)).T
        if weights.ndim != 2 or weights.shape[0] != self.n_features_in_:
            raise ValueError(
                "importance_getter must give weights of shape (n_features,) or "
                f"(n_outputs, n_features) with n_features={self.n_features_in_}, "
                f"got shape {weights.T.shape}."
            )
        if not np.isfinite(weights).all():
            raise ValueError("The weights of the estimator contain NaN or infinity.")
        return np.ascontiguousarray(weights)

    def _prepare_targets(self, y, sample_weight):
        """Return the name of the loss, its targets, and the weights of the samples."""
        if sparse.issparse(y):
            raise TypeError("y must be dense, got a sparse matrix.")
        loss = self.loss
        if loss == "auto":
            loss = "log_loss" if _looks_like_labels(y) else "squared_error"
        if loss != "log_loss":
            if self.class_weight is not None:
                raise ValueError(
                    f"class_weight is for classification only, got loss={loss!r}."
                )
            targets = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
            return loss, targets, sample_weight
        kind = type_of_target(y, input_name="y")
        if kind not in ("binary", "multiclass"):
            raise ValueError(
                f"Unknown label type: {kind}. loss='log_loss' needs class labels; "
                "use loss='squared_error' or loss='huber' for a regression."
            )
        y = column_or_1d(y, warn=True)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                "loss='log_loss' needs samples of at least two classes, "
                f"got one class only: {self.classes_[0]!r}."
            )
        if self.class_weight is not None:
            class_weight = check_class_weight(
                self.class_weight,
                classes=self.classes_,
                y=y,
                sample_weight=sample_weight,
            )
            if sample_weight is None:
                sample_weight = 1.0
            sample_weight = sample_weight * (class_weight / class_weight.max())[codes]
        return loss, codes, sample_weight

    def _check_n_features_to_select(self):
        """Return the number of features to select, or None."""
        wanted = self.n_features_to_select
        if wanted is None:
            return None
        if not isinstance(wanted, numbers.Integral):
            return max(1, round(wanted * self.n_features_in_))
        if wanted > self.n_features_in_:
            raise ValueError(
                f"n_features_to_select={wanted} must not exceed the number of "
                f"features, {self.n_features_in_}."
            )
        return int(wanted)

    def _trial(self, eta, coef, solution=None):
        """Describe what is left of the features for a radius."""
        constraint = BallConstraint(self.projection, eta)
        scores = constraint.scores(coef)
        # A known norm that stays below the radius does not feel the constraint.
        binding = constraint.ball is None or scores.sum() >= 0.999 * eta
        return Trial(eta, scores, solution, binding)

    def _set_selection(self, trial, n_selected):
        """Set the scores, of at most `n_selected` features if it is not None."""
        self.eta_ = trial.eta
        self.scores_ = trial.scores
        if n_selected is not None and trial.n_selected > n_selected:
            self.scores_ = np.zeros_like(trial.scores)
            best = np.argsort(-trial.scores, kind="stable")[:n_selected]
            self.scores_[best] = trial.scores[best]
        n_found = np.count_nonzero(self.scores_)
        if n_found == 0:
            warnings.warn(
                "No feature is selected: all of them are constant or have no "
                "weight, or eta is too small.",
                UserWarning,
                stacklevel=WARN_AT_CALLER + 1,
            )
        elif n_selected is not None and n_found < n_selected:
            warnings.warn(
                f"Only {n_found} features are selected, fewer than "
                f"n_features_to_select={self.n_features_to_select}: "
                "no larger radius was found to keep more.",
                UserWarning,
                stacklevel=WARN_AT_CALLER + 1,
            )

    def _get_support_mask(self):
        check_is_fitted(self)
        return self.scores_ > 0.0

    def get_metadata_routing(self):
        """Get the routing of metadata: to `estimator` if there is one, else to `fit`.

        Returns
        -------
        routing : MetadataRouter or MetadataRequest
            See the metadata routing guide of scikit-learn.
        """
        if self.estimator is None:
            return super().get_metadata_routing()
        return MetadataRouter(owner=self).add(
            estimator=self.estimator,
            method_mapping=MethodMapping().add(caller="fit", callee="fit"),
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = not self.prefit
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.sparse = True
        if self.estimator is not None:
            input_tags = get_tags(self.estimator).input_tags
            tags.input_tags.sparse = input_tags.sparse
            tags.input_tags.allow_nan = input_tags.allow_nan
        return tags


def _looks_like_labels(y):
    """Whether loss="auto" takes `y` for class labels."""
    if y.ndim == 2 and y.shape[1] > 1:
        return False
    if y.dtype.kind != "f":
        return True
    return np.all(y == np.round(y)) and len(np.unique(y)) <= MAX_FLOAT_LABELS
