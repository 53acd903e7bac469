"""Feature selection by a linear model, or any model, projected onto a ball."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from sklearn.base import MetaEstimatorMixin
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping

from skproj._typing import ArrayLike, Integer, Labels, Number
from skproj.feature_selection._estimator_strategy import EstimatorStrategy
from skproj.feature_selection._linear_selector import (
    DOCS,
    WARN_AT_CALLER,
    LinearSelector,
    model_attributes,
)
from skproj.feature_selection._radius_search import Trial, search_radius
from skproj.linear_model._default_radius import NOTHING_LEARNED, choose_radius
from skproj.linear_model._feature_structure import structure_of
from skproj.linear_model._targets import choose_loss
from skproj.projection._registry import SPARSIFYING
from skproj.utils._choices import number_to_select
from skproj.utils._docs import shared_docs
from skproj.utils._state import store_parameters
from skproj.utils._tasks import subtask
from skproj.utils._validation import (
    HasMethods,
    Interval,
    RealNotInt,
    _fit_context,
    atomic_fit,
)

# Models whose number of features is off by more than this share of the wanted number
# are solved with a larger `tol` and at most so many gradients.
SEARCH_TOL_FACTOR = 10.0
SEARCH_MAX_ITER = 100
MAX_REFINED_ERROR = 0.05


@shared_docs(**DOCS)
class ProjectionFeatureSelector(MetaEstimatorMixin, LinearSelector):
    r"""Select features with a linear model constrained to a ball.

    {problem}

    The groups of the norm are the rows of `W`, one per feature, unless
    `feature_groups`, `feature_weights`, `always_keep` or `never_keep` say otherwise:
    see the page :doc:`/feature_structure` of the user guide. The constraint makes whole
    rows exactly zero, and the other features are selected [1]_. The problem is
    convex for the exact balls: the solution does not depend on a start or on a seed,
    and comes with a bound on its distance from the optimum.

    With `estimator`, the weights of that estimator are projected instead.

    Parameters
    ----------
    estimator : estimator object, default=None
        An estimator with `coef_` or `feature_importances_` after fitting, or whose
        weights `importance_getter` knows. A clone of it is fitted, and its weights
        are projected once. None fits the linear model above. Not with `positive`,
        `offset`, `strata` and parameters of single features.
    eta : float, default=None
        Radius of the projection ball; smaller is sparser; not a learning rate. It may
        be infinite, or 0 for no feature. It is in units of the coefficients of
        standardised features, or of the weights of `estimator`. If None, and
        `n_features_to_select` is None as well, samples left out choose it, see the
        notes, or it is half the norm of the weights of `estimator`.
    n_features_to_select : int or float, default=None
        Number of features to select, all if it exceeds theirs, or their fraction if a
        float in (0, 1]. The radius is then searched for, not with `eta`. Features of
        `always_keep` come on top. With `feature_groups`, whole groups are selected: as
        many as fit into this number of features, but at least one group.
    projection : str or callable, default="l1inf"
    {projection_loss}
    {huber_epsilon}
    {l2_reg}
    {standardize}
    {fit_intercept}
    {class_weight}
    {positive}
    {feature_structure}
    prefit : bool, default=False
        Whether `estimator` is fitted already, and used as it is.
    importance_getter : str or callable, default="auto"
        Where the weights of `estimator` are, of shape (n_features,) or
        (n_outputs, n_features): an attribute with dots for nested ones, or a function
        of the fitted estimator. "auto" is `coef_`, then `feature_importances_`.
    {solver}
    {n_threads}

    Attributes
    ----------
    {scores}
    eta_ : float
        The radius that was used, or chosen.
    n_iter_ : int
        Number of gradients of the linear model, over all radii that were tried. With
        `estimator`: number of projections.
    {model}
    estimator_ : estimator object
        The fitted estimator. Only with `estimator`, and in place of the attributes of
        the linear model, `coef_`, `intercept_`, `duality_gap_` and `classes_`.
    {features}

    Warns
    -----
    UserWarning
        If no feature is selected, for instance because all are constant or `eta` is 0,
        or fewer than `n_features_to_select`: there may be fewer, and not every number
        is possible. The l1 ball cannot keep more features than there are samples. Or if
        nothing can be learned from the features, and no radius was given.
    ConvergenceWarning
        If the linear model reaches `max_iter`.

    See Also
    --------
    ProjectionFeatureSelectorCV : Choose the radius by cross-validation.
    sklearn.feature_selection.SelectFromModel : Select by a threshold on importances.
    skproj.projection.projection_l1inf_ball : The default projection.

    Notes
    -----
    The solver works on a growing set of features, and stops by the duality gap over all
    features. Projected gradient steps with momentum [2]_ find which coefficients are
    zero, and Newton's method finds the others on a face of the ball, as in [3]_.

    Without `eta` and `n_features_to_select` the radius is the smallest of 19, of the
    path of :func:`eta_path`, that keeps 95 % of what the best one gains over a model
    without features, by the rule and the scores of
    :class:`ProjectionFeatureSelectorCV`. The scores are those of five folds, three
    times in another order for less than 1000 samples. Equal samples are merged before
    that, and shuffled in an order of their own. Of more than 10,000 samples, or fewer
    of many features, so many are taken; those of data in blocks are read in one more
    pass. If no radius gains more than the standard error of the gain, it is that of
    a single feature, with a warning.

    Data in blocks take a pass for the moments and the first gradient, and for each
    working set one to read its features and one for the gap. Passes are added for
    features that the gradient did not show, and by `n_features_to_select`. Without a
    constraint and with a callable `projection`, all features are read into memory.

    The bi-level projections do not give the nearest point of the ball. The linear
    model then iterates gradient steps and projections to a fixed point, which does
    not depend on the length of the steps, with Anderson acceleration [4]_. It usually
    keeps fewer features than the exact projection for the same radius, and its
    objective is larger.

    Samples of weight zero count as absent.

    `n_features_to_select` is searched for from model to model; the last one is fitted
    from zero, so that a fit with ``eta=eta_`` gives the same. If several features tie
    at the radius where `n_features_to_select` is passed, those with the largest scores
    are kept, and the coefficients of the others become zero; `eta_`, `intercept_` and
    `duality_gap_` are those of the model before that. If they tie at every radius that
    is small enough, it is the largest one of these that the search has met.

    A feature of several groups of `feature_groups` has a coefficient in each of them;
    those that the model has are the sums (latent group lasso [5]_).

    Callbacks, for instance ``set_callbacks(sklearn.callback.ProgressBar())``, see a
    task for each radius of the search.

    References
    ----------
    .. [1] M. Barlaud, W. Belhajali, P. L. Combettes, L. Fillatre, "Classification and
       regression using an outer approximation projection-gradient method", IEEE
       Transactions on Signal Processing 65(17), 2017, :arxiv:`1506.02196`.
    .. [2] A. Beck, M. Teboulle, "A fast iterative shrinkage-thresholding algorithm for
       linear inverse problems", SIAM Journal on Imaging Sciences 2(1), 2009,
       :doi:`10.1137/080716542`.
    .. [3] J. J. Moré, G. Toraldo, "On the solution of large quadratic programming
       problems with bound constraints", SIAM Journal on Optimization 1(1), 1991,
       :doi:`10.1137/0801008`.
    .. [4] H. F. Walker, P. Ni, "Anderson acceleration for fixed-point iterations",
       SIAM Journal on Numerical Analysis 49(4), 2011, :doi:`10.1137/10078356X`.
    .. [5] L. Jacob, G. Obozinski, J.-P. Vert, "Group lasso with overlap and graph
       lasso", International Conference on Machine Learning, 2009,
       :doi:`10.1145/1553374.1553431`.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skproj.feature_selection import ProjectionFeatureSelector
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> selector = ProjectionFeatureSelector().fit(X, y)
    >>> selector.get_feature_names_out()
    array(['mean texture', 'mean concave points', 'radius error',
           'fractal dimension error', 'worst radius', 'worst texture',
           'worst smoothness', 'worst concavity', 'worst concave points',
           'worst symmetry'], dtype=object)
    >>> selector = ProjectionFeatureSelector(n_features_to_select=5).fit(X, y)
    >>> selector.transform(X).shape
    (569, 5)

    Counts per unit of exposure that grow with one feature:

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> exposure = rng.uniform(1.0, 9.0, len(X))
    >>> counts = rng.poisson(exposure * np.exp(X["worst texture"] / 20.0))
    >>> selector = ProjectionFeatureSelector(eta=0.2, loss="poisson", positive=True)
    >>> selector.fit(X, counts, offset=np.log(exposure)).get_feature_names_out()
    array(['worst texture'], dtype=object)
    """

    eta_: float
    n_iter_: int
    estimator_: Any

    _parameter_constraints: dict = {  # noqa: RUF012
        **LinearSelector._parameter_constraints,
        "estimator": [HasMethods("fit"), None],
        "eta": [Interval(numbers.Real, 0, None, closed="both"), None],
        "n_features_to_select": [
            Interval(numbers.Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0, 1, closed="right"),
            None,
        ],
        "prefit": ["boolean"],
        "importance_getter": [str, callable],
    }
    _fitted_attributes = (
        LinearSelector._model_attributes,
        ("estimator_", "eta_", "n_iter_", "scores_"),
    )
    _optional_attributes = ("classes_",)

    def __init__(
        self,
        estimator: Any = None,
        *,
        eta: Number | None = None,
        n_features_to_select: Integer | None = None,
        projection: str | Callable[..., Any] = "l1inf",
        loss: str | Callable[..., Any] = "auto",
        huber_epsilon: Number = 1.35,
        l2_reg: Number = 0.0,
        standardize: bool = True,
        fit_intercept: bool = True,
        class_weight: Mapping[Any, Any] | str | None = None,
        positive: bool = False,
        feature_weights: ArrayLike | None = None,
        always_keep: Labels | None = None,
        never_keep: Labels | None = None,
        feature_groups: Labels | Mapping[Any, Any] | None = None,
        prefit: bool = False,
        importance_getter: str | Callable[..., Any] = "auto",
        max_iter: Integer = 1000,
        tol: Number = 1e-4,
        n_threads: Integer = 1,
    ) -> None:
        store_parameters(**locals())

    @shared_docs(**DOCS)
    @_fit_context(prefer_skip_nested_validation=False)
    @atomic_fit
    def fit(
        self, X, y=None, sample_weight=None, *, offset=None, strata=None, **fit_params
    ):
        """Select the features.

        Parameters
        ----------
        {data_or_blocks}
        {targets}
            Only a fitted `estimator` can do without.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples. With `estimator` they are passed to its `fit`.
        {offset_and_strata}
        **fit_params : dict
            More parameters for the `fit` of `estimator`, routed if metadata routing is
            enabled.

        {fitted}

        Raises
        ------
        ValueError
            If both `eta` and `n_features_to_select` are given, if `X`, `y` or `offset`
            contains NaN or infinity, if `y`, `offset` or `strata` does not suit `loss`,
            if one of `feature_weights`, `always_keep`, `never_keep` and
            `feature_groups` does not suit the features, the samples or the projection,
            or if the coefficients overflow.
        TypeError
            If there are `fit_params` but no `estimator`, or if `X` is in blocks and
            there is an `estimator` to fit.
        """
        if self.eta is not None and self.n_features_to_select is not None:
            raise ValueError(
                "eta and n_features_to_select cannot be combined, got "
                f"eta={self.eta!r} and "
                f"n_features_to_select={self.n_features_to_select!r}."
            )
        strategy = LinearModelStrategy if self.estimator is None else EstimatorStrategy
        strategy = strategy(self, X, y, sample_weight, offset, strata, fit_params)
        n_selected = None
        if self.n_features_to_select is not None:
            n_selected = number_to_select(
                "n_features_to_select",
                self.n_features_to_select,
                structure_of(self, SPARSIFYING).n_in_ball,
                stacklevel=WARN_AT_CALLER,
            )
        context, arguments = self._begin_fit(strategy.max_subtasks, *strategy.data)
        strategy.begin(context, arguments)
        if n_selected is not None:
            trial = strategy.search(n_selected)
        else:
            eta = strategy.default_eta if self.eta is None else float(self.eta)
            trial = strategy.fit_radius(eta)
        scores = trial.best_scores(n_selected)
        self._set_fitted(strategy.fitted_attributes(trial, scores))
        n_found = trial.n_selected if trial.falls_short(n_selected) else None
        self._warn(trial.fit, n_found, WARN_AT_CALLER)
        context.call_on_fit_task_end(**arguments)
        return self

    @shared_docs(**DOCS)
    def get_metadata_routing(self):
        """Get the routing of metadata: to `estimator` if there is one, else to `fit`.

        {routing}
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
        if self.estimator is not None:
            base = get_tags(self.estimator)
            tags.input_tags.sparse = base.input_tags.sparse
            tags.input_tags.allow_nan = base.input_tags.allow_nan
            tags.target_tags.multi_output = base.target_tags.multi_output
        return tags


class LinearModelStrategy:
    """Weights of a convex linear model, fitted for each radius.

    Like `EstimatorStrategy` it checks the data when it is made. `begin` prepares the
    weights, once the callbacks know of the fit. `fit_radius` and `search` return the
    `Trial` of a radius, and `fitted_attributes` returns the results.
    """

    max_subtasks = None  # the search decides how many radii there are

    def __init__(self, selector, X, y, sample_weight, offset, strata, fit_params):
        if fit_params:
            raise TypeError(
                f"fit got unexpected arguments {sorted(fit_params)}: without an "
                "estimator there is nothing to pass them to."
            )
        if selector.prefit:
            raise ValueError("prefit=True needs a fitted estimator, got None.")
        rows = sample_weight, offset, strata
        self.data = X, y, rows = selector._validate(X, y, *rows)
        self.dtype = X.dtype
        self.selector, self.loss = selector, choose_loss(selector.loss, y)
        self.problem = selector._make_problem(self.loss, X, y, rows, selector.l2_reg)
        self.options = selector._solver_options()
        self.n_iter = 0

    def begin(self, context, arguments):
        """Keep the context and arguments of the callbacks."""
        self.context, self.arguments = context, arguments

    @property
    def default_eta(self):
        """The radius that samples left out choose."""
        selector, structure = self.selector, self.problem.structure
        if structure.n_groups == 0:
            return 1.0
        make = partial(selector._make_problem, l2_reg=selector.l2_reg)
        eta, learns = choose_radius(
            make, self.loss, *self.data, self.options, selector.huber_epsilon
        )
        if not learns:
            warnings.warn(NOTHING_LEARNED, UserWarning, stacklevel=WARN_AT_CALLER + 1)
        return eta

    def fit_radius(self, eta, start=None, **changes):
        """Fit the model for a radius, from the model `start` or from zero."""
        with subtask(self.context, "radius", self.arguments):
            fit = self.problem.solve(eta, start=start, **(self.options | changes))
            self.n_iter += fit.n_iter
        constraint = self.problem.constraint(self.options["projection"], eta)
        return Trial.score(constraint, fit.coef, self.problem.structure, fit)

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

        start = self.problem.natural_radius(self.options["projection"])
        trial, _ = search_radius(attempt, n_selected, start)
        if trial.n_selected < n_selected:
            return self.fit_radius(trial.eta)
        # From zero, as a fit with ``eta=eta_`` starts.
        trial, _ = search_radius(
            lambda eta, nearest: self.fit_radius(eta), n_selected, trial.eta
        )
        return trial

    def fitted_attributes(self, trial, scores):
        """Return the attributes of the selector by name."""
        fixed = self.problem, self.options["projection"]
        return model_attributes(*fixed, trial, scores, self.dtype, self.n_iter)
