"""Base class of the feature selectors with a ball-constrained linear model."""

import numbers
import warnings

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_consistent_length

from skproj.blocks._row_blocks import RowBlocks, set_feature_names
from skproj.feature_selection._block_selector import BlockSelectorMixin
from skproj.linear_model._feature_structure import structure_of
from skproj.linear_model._losses import TIES
from skproj.linear_model._targets import make_problem, plain_target
from skproj.projection._registry import SPARSIFYING
from skproj.utils._doc_link import DocumentationLink
from skproj.utils._moments import SAFE_SIZE, unit_factors
from skproj.utils._splits import check_groups
from skproj.utils._state import VersionedState
from skproj.utils._survival import (
    is_survival,
    read_survival,
    read_target,
    refuse_survival,
)
from skproj.utils._validation import (
    Interval,
    StrOptions,
    _check_sample_weight,
    as_numbers,
    check_is_fitted,
    validate_data,
)

# Stack level of the caller of `fit`, which is called through two decorators.
WARN_AT_CALLER = 4

NUMERIC_LOSSES = ("squared_error", "huber", "poisson")

DOCS = {
    "problem": r"""
    .. math::

        \min_{W, b} \; \frac{1}{\sum_i w_i} \sum_i w_i \, \ell(y_i, x_i W + b)
        + \frac{\lambda}{2} \|W\|_2^2
        \quad \text{subject to} \quad \|W\| \le \eta
    """,
    "projection_loss": """
        Name of the ball and its projection: {"l1", "l12", "l1inf", "bilevel_l11",
        "bilevel_l12", "bilevel_l1inf"}, see :mod:`skproj.projection`; or a callable
        ``projection(W, radius, axis=1)``, where `W` has shape (n_features, n_outputs)
        and `axis` is what the norm of a feature runs along. With a single output all
        names are the l1 ball.
    loss : {"auto", "log_loss", "squared_error", "huber", "poisson", "cox", \
"cox_efron"}, default="auto"
        Loss of the linear model: logistic or softmax, half the squared error, the
        Huber loss, half the Poisson deviance, for counts or rates whose logarithm is
        linear, or, for survival times, the negative log partial likelihood of the Cox
        model with the ties of Breslow or of Efron. "auto" is "cox" if `y` holds
        survival times, "log_loss" if `y` is one column of strings, booleans, integers,
        or floats with at most 20 values, all whole numbers, or several columns of 0 and
        1; else "squared_error". Losses of several columns are added up.
    """,
    "huber_epsilon": """
    huber_epsilon : float, default=1.35
        Errors above this are penalised linearly by the Huber loss. In units of the
        standard deviation of `y` if `standardize`.
    """,
    "l2_reg": """
    l2_reg : float, default=0.0
        The ridge penalty added to the mean loss is half of it times the sum of the
        squared coefficients of the standardised features. It makes correlated features
        share their weight, so that more of them are kept.
    """,
    "standardize": """
    standardize : bool, default=True
        Whether the linear model sees features, and targets of a regression other than
        counts, divided by their standard deviation in the training samples, so that the
        radius means the same for any units. The samples are weighted. Sparse data stay
        sparse.
    """,
    "fit_intercept": """
    fit_intercept : bool, default=True
        Whether the linear model has an intercept, which is not constrained. The Cox
        model has none; for it the features are centred only.
    """,
    "class_weight": """
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, as in :class:`~sklearn.linear_model.LogisticRegression`;
        they multiply `sample_weight`. "balanced" counts the training samples. Only for
        classification with one column of labels.
    """,
    "positive": """
    positive : bool, default=False
        Whether the coefficients must not be negative; with several outputs, those of
        all of them. Those of `always_keep` may be. Not for a callable `projection`.
    """,
    "feature_structure": """
    feature_weights : array-like of shape (n_features,), default=None
        Positive weights of the features in the norm: the coefficients of a feature
        count as many times. Those of what is likely to matter are less than 1. The
        weight infinity is that of `never_keep`. They do not touch the ridge penalty.
    always_keep : array-like of int, str or bool, default=None
        Features that are in the model whatever the radius, by index, by name, or as a
        mask of all. Like the intercept they are not constrained, nor penalised.
    never_keep : array-like of int, str or bool, default=None
        Features that are not in the model.
    feature_groups : array-like or dict, default=None
        Groups of features that are selected together: a label, str or int, for each
        feature, or a list of lists of features (indices or names), or a dict of such
        lists; features in none of these are selected on their own. The norm of
        a group is that of the coefficients of all its features, times the square root
        of its number of features, as in the group lasso. Features of `always_keep` and
        `never_keep` are left out of their groups. A feature in several groups has a
        coefficient in each, and is selected with any of them. Not for the l1 ball and
        callables.
    """,
    "solver": """
    max_iter : int, default=1000
        Largest number of gradients of the linear model for one radius.
    tol : float, default=1e-4
        The linear model has converged when the duality gap is at most
        ``tol * max(objective, 1) * min(eta, 1)``. If features and targets are not
        standardised and coefficients are small, 1 in the last factor becomes less.
        For the bi-level projections the distance from the point that they aim at, in
        the same units, takes the place of the gap.
    """,
    "n_threads": """
    n_threads : int, default=1
        Number of threads that project the weights of `estimator`, where there is one,
        -1 for all, None for what OpenMP would use. It does not change the result. It
        has no effect on the linear model, whose steps take one thread; its products
        with all features use those of BLAS.
    """,
    "scores": """
    scores_ : ndarray of shape (n_features_in_,)
        Norm of each feature's projected weights; zero if it is not selected. With
        `feature_weights` it is multiplied by them; with `feature_groups` it is the norm
        of the group, or the largest of its groups. For `always_keep` it is the norm of
        the coefficients of the standardised feature, and positive in any case.
    """,
    "model": """
    coef_ : ndarray of shape (n_outputs, n_features_in_)
        Coefficients of the linear model in the units of `X` and `y`; zero for the
        features that are not selected. One row for two classes or a single target,
        else one row per class or column of `y`. Of the type of `X`, or of float64 if
        they are beyond the range of float32.
    intercept_ : ndarray of shape (n_outputs,)
        Intercept of the linear model. For the Cox model, minus the mean of the
        logarithm of the relative hazard, ``X @ coef_[0]``, or 0 without
        `fit_intercept`.
    duality_gap_ : float
        Bound on how far the mean loss (of the standardised data), plus the ridge
        penalty, is from its minimum over the ball, up to rounding in the dtype of `X`.
        It need not be small for the bi-level projections, which do not aim at the
        minimum. It is the objective itself where nothing better is known: for callables
        and without a constraint.
    classes_ : ndarray of shape (n_classes,)
        The classes, in the order of the rows of `coef_`, or, of several labels, the
        numbers of the columns of `y`. Only for classification.
    """,
    "features": """
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen during `fit`, if all are strings.
    """,
    "fitted": """
    Returns
    -------
    self : object
        The fitted selector.
    """,
    "routing": """
    Returns
    -------
    routing : MetadataRouter or MetadataRequest
        See the metadata routing guide of scikit-learn.
    """,
    "targets": """
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        Labels or target values. Several columns are targets of a regression, or labels
        that are 0 or 1: their coefficients of a feature are one group of the norm, so
        that it is selected for all of them, or for none. Survival times are a
        structured array of shape (n_samples,) with a boolean field, whether the event
        was seen, and a field of numbers, the time of the event or of censoring, or a
        DataFrame with the columns `event` and `time`. Other forms: :doc:`/survival`.
    """,
    "offset_and_strata": """
    offset : array-like of shape (n_samples,), default=None
        Numbers that are added to the linear predictor, such as the logarithms of the
        exposures of counts; for the losses "poisson", "cox", "cox_efron", and
        "log_loss" of two classes. Predictions with `coef_` need theirs as well.
    strata : array-like of shape (n_samples,), default=None
        Labels, for the losses "cox" and "cox_efron": each stratum has a hazard of its
        own, and samples are compared with those of the same stratum only.
    """,
    "data_or_blocks": """
    X : {array-like, sparse matrix, RowBlocks} of shape (n_samples, n_features)
        Training data. CSR and CSC matrices stay sparse, float32 and float64 are kept.
        :class:`~skproj.blocks.RowBlocks` are read in passes, and need not fit into
        memory.
    """,
}


class LinearSelector(
    VersionedState,
    DocumentationLink,
    BlockSelectorMixin,
    CallbackSupportMixin,
    BaseEstimator,
):
    """Base class: parameters, data and results of the linear model."""

    _parameter_constraints: dict = {  # noqa: RUF012
        "projection": [StrOptions(set(SPARSIFYING)), callable],
        "loss": [StrOptions({"auto", "log_loss", *NUMERIC_LOSSES, *TIES})],
        "huber_epsilon": [Interval(numbers.Real, 0, None, closed="neither")],
        "l2_reg": [Interval(numbers.Real, 0, None, closed="left")],
        "standardize": ["boolean"],
        "fit_intercept": ["boolean"],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "positive": ["boolean"],
        "feature_weights": ["array-like", None],
        "always_keep": ["array-like", None],
        "never_keep": ["array-like", None],
        "feature_groups": ["array-like", dict, None],
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

    def _validate(self, X, y, sample_weight, offset, strata):
        """Check the data; return `X`, `y` and a dict of the others that are given."""
        if self.positive and callable(self.projection):
            raise ValueError(
                "positive=True needs the name of a projection, got "
                f"projection={self.projection!r}."
            )
        options = {
            "accept_sparse": ("csr", "csc"),
            "dtype": [np.float64, np.float32],
            "ensure_min_samples": 2,
        }
        blocks = X if isinstance(X, RowBlocks) else None
        if blocks is not None:
            # Without entries, which are checked when they are read first.
            X = sparse.csr_array(blocks.shape, dtype=blocks.dtype)
        y = read_target(y)
        if self.loss in TIES or (self.loss == "auto" and is_survival(y)):
            # Validation of targets would make one array of the two fields.
            if y is None:
                validate_data(self, X, y, **options)  # says that y is required
            X = validate_data(self, X, **options)
            y = read_survival(y)
            check_consistent_length(X, y)
        else:
            refuse_survival(y, f"loss={self.loss!r}")
            y = plain_target(y, numeric=self.loss in NUMERIC_LOSSES)
            X, y = validate_data(self, X, y, multi_output=True, **options)
        rows = {}
        if sample_weight is not None:
            weight = _check_sample_weight(
                sample_weight, X, dtype=np.float64, ensure_non_negative=True
            )
            if weight.max() > SAFE_SIZE:  # sums would overflow, and only ratios matter
                weight = weight * unit_factors(weight.max())
            rows["sample_weight"] = weight
        if offset is not None:
            rows["offset"] = _check_offset(offset, X.shape[0])
        if strata is not None:
            rows["strata"] = check_groups(strata, X.shape[0], "strata")[1]
        if blocks is None:
            return X, y, rows
        set_feature_names(self, blocks)
        return blocks, y, rows

    def _make_problem(self, loss, X, y, rows, l2_reg=0.0):
        """Return the linear model for these samples."""
        return make_problem(
            X,
            y,
            loss=loss,
            **rows,
            class_weight=self.class_weight,
            positive=self.positive,
            fit_intercept=self.fit_intercept,
            standardize=self.standardize,
            huber_epsilon=self.huber_epsilon,
            l2_reg=l2_reg,
            structure=structure_of(self, SPARSIFYING),
        )

    def _begin_fit(self, max_subtasks, X, y, rows):
        """Tell the callbacks; return their context and the arguments of their hooks."""
        arguments = {"estimator": self, "X": X, "y": y, "metadata": rows or None}
        context = self._init_callback_context(max_subtasks=max_subtasks)
        context.call_on_fit_task_begin(**arguments)
        return context, arguments

    def _solver_options(self):
        """Return the parameters of `BallConstrainedProblem.solve`."""
        return {
            "projection": self.projection,
            "max_iter": self.max_iter,
            "tol": self.tol,
        }

    def _warn(self, fit, n_found, stacklevel):
        """Warn of a model that has not converged, and of too few features.

        `n_found` is their number if it should be larger.
        """
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
        if not np.any(self.scores_):
            signs = ", no effect is positive" if self.positive else ""
            warnings.warn(
                "No feature is selected: all of them are constant or have no "
                f"weight{signs}, eta is too small, or a search found no model that "
                "is better.",
                UserWarning,
                stacklevel=stacklevel,
            )
        elif n_found is not None:
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
        tags.target_tags.multi_output = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.sparse = True
        return tags


def model_attributes(problem, projection, trial, scores, dtype, n_iter):
    """Return the fitted attributes of a linear model, in the units of the data.

    The trial has the fit of the problem; the scores are zero for features that are not
    selected, those of the forced ones are added.
    """
    if problem.unpenalized is not None:
        scores = scores.copy()
        forced = problem.forced_scores(projection, trial.fit)
        scores[problem.structure.forced] = forced
    coef, intercept = problem.original_units(trial.fit, dtype)
    attributes = {
        "coef_": np.where(scores > 0.0, coef.T, dtype.type(0.0)),
        "duality_gap_": float(trial.fit.gap),
        "eta_": trial.eta,
        "intercept_": intercept,
        "n_iter_": n_iter,
        "scores_": scores,
    }
    if problem.classes is not None:
        attributes["classes_"] = problem.classes
    return attributes


def _check_offset(offset, n_samples):
    """Return finite numbers, one for each sample, as an array of float64."""
    rule = f"offset must have {n_samples} finite numbers, one for each sample"
    offset = as_numbers(offset, "iuf", rule)
    if len(offset) != n_samples:
        raise ValueError(f"{rule}, got {len(offset)}.")
    wrong = np.flatnonzero(~np.isfinite(offset))
    if len(wrong):
        raise ValueError(f"{rule}, got {offset[wrong[0]]} in sample {wrong[0]}.")
    return offset
