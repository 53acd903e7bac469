"""Selection of the features that another selector keeps on most halves of the data."""

from __future__ import annotations

import numbers
import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import (
    check_array,
    check_consistent_length,
    check_random_state,
    get_tags,
)
from sklearn.utils.metadata_routing import (
    UNUSED,
    MetadataRouter,
    MethodMapping,
    process_routing,
)

from skproj._typing import Integer, Labels, Number, RandomState
from skproj.blocks._row_blocks import RowBlocks, set_feature_names
from skproj.feature_selection._block_selector import BlockSelectorMixin
from skproj.feature_selection._estimator_strategy import refuse_class_per_row
from skproj.feature_selection._false_discoveries import (
    PAIRS_PER_DRAW,
    describe_failure,
    n_draws,
    select_with_decoys,
)
from skproj.feature_selection._half_selections import (
    MIN_SAMPLES,
    check_target,
    count_selections_of_halves,
    drop_weightless,
    is_stratified,
    number_groups,
    select_on_all,
)
from skproj.feature_selection._linear_selector import DOCS, WARN_AT_CALLER
from skproj.feature_selection._projection_selector import ProjectionFeatureSelector
from skproj.utils._doc_link import DocumentationLink
from skproj.utils._docs import shared_docs
from skproj.utils._state import VersionedState, store_parameters
from skproj.utils._validation import (
    HasMethods,
    Interval,
    StrOptions,
    _fit_context,
    _routing_enabled,
    atomic_fit,
    check_is_fitted,
    validate_data,
)

# The default estimator selects so many features that, of those it keeps at this
# threshold, no more than the wanted number are false.
DESIGN_THRESHOLD = 0.9

DEFAULT_PAIRS = 50


@shared_docs(**DOCS)
class StabilitySelector(
    VersionedState,
    DocumentationLink,
    MetaEstimatorMixin,
    BlockSelectorMixin,
    CallbackSupportMixin,
    BaseEstimator,
):
    r"""Select the features that a selector keeps on most halves of the data.

    The samples are split at random into two halves, many times over, and `estimator`
    selects features on each half [1]_ [2]_. If samples belong to groups, such as
    patients, pass `groups` to `fit` for halves of the groups. Features are kept whose
    share of the selections reaches a threshold :math:`\pi`. If :math:`q` of :math:`d`
    features are selected on average, the expected number of false selections is at most

    .. math::

        \operatorname{E} V \le \frac{1}{2 \pi - 1} \, \frac{q^2}{d}

    Parameters
    ----------
    estimator : estimator object, default=None
        A selector: it has `get_support` once it is fitted; or a pipeline with selectors
        in which all other steps keep the names of the features. Clones of it are
        fitted. None is :class:`ProjectionFeatureSelector`, for
        :math:`\sqrt{0.8 \, d \, v}` features where :math:`v` is
        `max_false_selections`, or 1; with `param_name` its own default. Not with
        `fdr`.
    n_pairs : int, default=None
        Number of times that the samples are split into two halves. None is 50, or, with
        `fdr`, 15 for each draw of decoys; there are eight draws, or 16 of small
        tables.
    param_name : str, default=None
        A parameter of `estimator` that goes through `param_values`, for instance
        "eta". A half then selects what `estimator` selects for any of the values.
    param_values : array-like of shape (n_values,), default=None
        The values of that parameter.
    threshold : float, default=None
        Smallest share of the halves by which a feature must be selected, in (0, 1].
        None is 0.75, unless `max_false_selections` is given.
    max_false_selections : float, default=None
        The bound on the expected number of false selections that is wanted. The
        threshold is then the smallest one with this bound. Cannot be combined with
        `threshold`.
    fdr : float, default=None
        The false discovery rate that is wanted, in (0, 1): the expected share of false
        features among those that are kept. Features and as many decoys [4]_ then
        compete on lasso paths of the halves [5]_, which take the place of `estimator`;
        `X` must be dense and complete. Cannot be combined with `estimator`,
        `param_name`, `threshold` or `max_false_selections`.
    stratify : bool or "auto", default="auto"
        Whether `y` holds labels, and halves get equally many samples of each class.
        "auto" decides as the parameter `loss` of :class:`ProjectionFeatureSelector`.
    n_jobs : int, default=None
        Number of pairs that are worked on at the same time; -1 for as many as there
        are processors. It does not change the result.
    random_state : int, RandomState instance or None, default=None
        Seed of the splits, and of `estimator` wherever its `random_state` is None.

    Attributes
    ----------
    selection_probabilities_ : ndarray of shape (n_features_in_,)
        Share of the halves that select each feature. Only without `fdr`.
    path_probabilities_ : ndarray of shape (n_values, n_features_in_)
        The same for each of `param_values` alone. Only with `param_name`.
    threshold_ : float
        The threshold. Another one, `t`, needs no new fit: it keeps
        ``selection_probabilities_ >= t``. With `fdr`, the smallest of `scores_` that is
        kept, infinite if none is.
    expected_false_selections_ : float
        The bound above; infinite if the threshold is at most 0.5. With `fdr`, the
        estimate of the number of false features among those that are kept.
    q_values_ : ndarray of shape (n_features_in_,)
        Estimate of the smallest `fdr` that would have kept each feature: infinite for
        those that halves rarely select. A rate chosen after looking at it is not
        controlled. Only with `fdr`.
    scores_ : ndarray of shape (n_features_in_,)
        Integrated score of each feature, the mean over the draws. Only with `fdr`.
    decoy_scores_ : ndarray of shape (n_draws, n_features_in_)
        Integrated score of the decoys of each draw. Only with `fdr`.
    mean_n_features_ : float
        Mean number :math:`q` of features that a half selects. Like the following ones
        not with `fdr`.
    stability_ : float
        Stability index [3]_ of the selections by the halves: 1 if all are equal, 0 in
        expectation if features are drawn at random. NaN if each half selects nothing,
        or everything.
    stability_interval_ : ndarray of shape (2,)
        Its 95 % confidence interval within the range of the index, as if the halves
        were independent.
    baseline_selection_probabilities_ : ndarray of shape (n_features_in_,)
        Share of the halves in which a feature is among those with the largest F
        statistics, of as many as `estimator` selects there. Only if there is a `y`.
    baseline_stability_ : float
        Stability index of these selections. Only if there is a `y`.
    baseline_stability_interval_ : ndarray of shape (2,)
        Its 95 % confidence interval. Only if there is a `y`.
    supports_ : ndarray of bool of shape (2 * n_pairs, n_features_in_)
        Selection of each half. The two halves of a split are neighbours.
    feature_importances_ : ndarray of shape (n_features_in_,)
        The selection probabilities, or with `fdr` the scores, under the name that other
        tools look for.
    {features}

    Warns
    -----
    UserWarning
        If no feature reaches the threshold, or if `max_false_selections` cannot be
        reached because `estimator` selects too many features.

    See Also
    --------
    ProjectionFeatureSelector : The default of `estimator`.
    sklearn.feature_selection.RFECV : Selection by cross-validation.
    sklearn.feature_selection.SelectKBest : Selection by the F statistic.

    Notes
    -----
    The bound counts as false the features that a half selects with a probability of at
    most :math:`q / d`, that of a feature drawn at random [2]_. Features without
    influence are selected more often if they are correlated with one that has
    influence. A half of the data is a smaller sample: effects that need all the samples
    to be detected are missed.

    With `param_name`, the bound holds for the selections of the path as a whole [1]_.

    The F statistic looks at one feature at a time. Where its selections are as stable
    and predict as well, it is the simpler choice. It takes the `sample_weight` that is
    passed to `fit` into account, and replaces missing values by the mean.

    Callbacks, for instance ``set_callbacks(sklearn.callback.ProgressBar())``, see a
    task for each pair of halves.

    {stability_reference}
    .. [2] R. D. Shah, R. J. Samworth, "Variable selection with error control: another
       look at stability selection", Journal of the Royal Statistical Society B 75(1),
       2013, :arxiv:`1105.5578`.
    .. [3] S. Nogueira, K. Sechidis, G. Brown, "On the stability of feature selection
       algorithms", Journal of Machine Learning Research 18(174), 2018,
       https://jmlr.org/papers/v18/17-514.html.
    .. [4] E. Candès, Y. Fan, L. Janson, J. Lv, "Panning for gold: model-X knockoffs for
       high dimensional controlled variable selection", Journal of the Royal Statistical
       Society B 80(3), 2018, :arxiv:`1610.02351`.
    .. [5] O. Melikechi, J. W. Miller, "Integrated path stability selection", Journal of
       the American Statistical Association, 2025, :arxiv:`2403.15877`.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from skproj.feature_selection import StabilitySelector
    >>> X, y, coef = make_regression(
    ...     200, 100, n_informative=3, noise=20.0, coef=True, random_state=0
    ... )
    >>> selector = StabilitySelector(n_pairs=10, random_state=0).fit(X, y)
    >>> selector.get_support(indices=True), coef.nonzero()[0]
    (array([48, 56, 65]), array([48, 56, 65]))
    >>> round(selector.expected_false_selections_, 2)
    1.28
    """

    selection_probabilities_: np.ndarray
    path_probabilities_: np.ndarray
    threshold_: float
    expected_false_selections_: float
    q_values_: np.ndarray
    scores_: np.ndarray
    mean_n_features_: float
    stability_: float
    stability_interval_: np.ndarray
    supports_: np.ndarray
    feature_importances_: np.ndarray

    _parameter_constraints: dict = {  # noqa: RUF012
        "estimator": [HasMethods("fit"), None],
        "n_pairs": [Interval(numbers.Integral, 1, None, closed="left"), None],
        "param_name": [str, None],
        "param_values": ["array-like", None],
        "threshold": [Interval(numbers.Real, 0, 1, closed="right"), None],
        "max_false_selections": [
            Interval(numbers.Real, 0, None, closed="neither"),
            None,
        ],
        "fdr": [Interval(numbers.Real, 0, 1, closed="neither"), None],
        "stratify": ["boolean", StrOptions({"auto"})],
        "n_jobs": [numbers.Integral, None],
        "random_state": ["random_state"],
    }
    _of_every_fit = ("expected_false_selections_", "threshold_")
    _of_supports = (
        "mean_n_features_",
        "selection_probabilities_",
        "stability_",
        "stability_interval_",
        "supports_",
    )
    _of_baseline = (
        "baseline_selection_probabilities_",
        "baseline_stability_",
        "baseline_stability_interval_",
    )
    _fitted_attributes = (
        (*_of_every_fit, *_of_supports),
        (*_of_every_fit, *_of_supports, *_of_baseline),
        (*_of_every_fit, "decoy_scores_", "q_values_", "scores_"),
    )
    _optional_attributes = ("path_probabilities_",)
    # They are for the halves: `estimator` gets none.
    __metadata_request__fit = {"groups": UNUSED}  # noqa: RUF012

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_pairs: Integer | None = None,
        param_name: str | None = None,
        param_values: Labels | None = None,
        threshold: Number | None = None,
        max_false_selections: Number | None = None,
        fdr: Number | None = None,
        stratify: Any = "auto",
        n_jobs: Integer | None = None,
        random_state: RandomState = None,
    ) -> None:
        store_parameters(**locals())

    @shared_docs(**DOCS)
    @_fit_context(prefer_skip_nested_validation=False)
    @atomic_fit
    def fit(self, X, y=None, *, groups=None, **fit_params):
        """Select features on halves of the data, and keep those selected often.

        Parameters
        ----------
        X : {array-like, sparse matrix, RowBlocks} of shape (n_samples, n_features)
            Training data, numeric. `estimator` gets frames as frames, and sparse
            matrices in CSR format. If `estimator` takes them: blocks, whose passes the
            pairs share. Dense and complete with `fdr`.
        y : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
            Labels or target values, if `estimator` needs them.
        groups : array-like of shape (n_samples,), default=None
            Groups, such as patients or batches: the halves are halves of the groups,
            and no group is in both. Metadata routing need not be enabled.
        **fit_params : dict
            For the `fit` of `estimator`, routed if metadata routing is enabled. Of
            what has an entry for each sample, such as `sample_weight`, each half gets
            its own part. A sample of weight zero counts as absent.

        {fitted}

        Raises
        ------
        ValueError
            If parameters contradict each other, if a class has a single sample, or a
            single group, if there are less than four groups, if it cannot be said
            which features `estimator` selects, or if `fdr` is given and there are
            `groups`, no `y`, a sparse `X`, missing values, or arguments other than
            `sample_weight`.
        """
        self._check_parameters(groups, y, fit_params)
        X = self._validate_X(X)
        if y is not None:
            y = check_target(y)
            refuse_class_per_row(self.estimator, y)
            check_consistent_length(X, y)
        if _routing_enabled():
            fit_params = process_routing(self, "fit", **fit_params).estimator.fit
        if fit_params.get("sample_weight") is not None:
            X, y, groups, fit_params = drop_weightless(X, y, groups, fit_params)
        stratified = y is not None and is_stratified(self.stratify, y)
        if groups is not None:
            groups = number_groups(groups, X.shape[0], y if stratified else None)

        random_state = check_random_state(self.random_state)
        n_pairs = self.n_pairs
        if n_pairs is None:
            n_pairs = DEFAULT_PAIRS if self.fdr is None else PAIRS_PER_DRAW
        arguments = {"estimator": self, "X": X, "y": y, "metadata": fit_params}
        n_tasks = n_pairs if self.fdr is None else n_draws(X.shape)
        context = self._init_callback_context(max_subtasks=n_tasks)
        context.call_on_fit_task_begin(**arguments)
        name = "pair" if self.fdr is None else "draw of decoys"
        tasks = self.n_jobs, (context, name, arguments)
        if self.fdr is not None:
            weight = fit_params.get("sample_weight")
            data = X, y, stratified, weight, n_pairs, random_state
            self._set_fitted(select_with_decoys(self.fdr, *data, tasks))
            reason = describe_failure(self.fdr, self.scores_, self.decoy_scores_)
        else:
            seeds = random_state.randint(2**31 - 1, size=n_pairs)
            common = X, y, groups, stratified, fit_params
            pairs = select_on_all(self._candidates(), common, seeds, *tasks)
            parts = [np.concatenate(part) for part in zip(*pairs, strict=True)]
            aims = self.threshold, self.max_false_selections, WARN_AT_CALLER
            results = count_selections_of_halves(*parts, *aims)
            if self.param_name is None:
                del results["path_probabilities_"]
            self._set_fitted(results)
            largest = self.selection_probabilities_.max()
            reason = f"the largest selection probability is {largest:.3g}, "
            reason += f"and the threshold {self.threshold_:.3g}"
        if not self._get_support_mask().any():
            warnings.warn(
                f"No feature is selected: {reason}.",
                UserWarning,
                stacklevel=WARN_AT_CALLER,
            )
        context.call_on_fit_task_end(**arguments)
        return self

    def _check_parameters(self, groups, y, fit_params):
        """Refuse parameters that contradict each other."""
        names = ("threshold", "max_false_selections", "fdr")
        aims = {name: getattr(self, name) for name in names}
        if self.fdr is not None:
            aims |= {name: getattr(self, name) for name in ("estimator", "param_name")}
            if groups is not None:
                raise ValueError(
                    "fdr needs independent samples: it cannot be combined with groups, "
                    "because decoys do not imitate what the samples of a group have in "
                    "common."
                )
            if y is None:
                raise ValueError(
                    "fdr requires y to be passed, but the target y is None."
                )
            other = sorted(set(fit_params) - {"sample_weight"})
            if other:
                raise ValueError(f"fdr takes no {', '.join(other)}.")
        aims = {name: value for name, value in aims.items() if value is not None}
        if len(aims) > 1:
            given = " and ".join(f"{name}={value!r}" for name, value in aims.items())
            raise ValueError(f"{' and '.join(aims)} cannot be combined, got {given}.")
        if (self.param_name is None) != (self.param_values is None):
            raise ValueError(
                "param_name and param_values belong together, got "
                f"param_name={self.param_name!r} and "
                f"param_values={self.param_values!r}."
            )
        if self.param_values is not None and len(self.param_values) == 0:
            raise ValueError("param_values must hold at least one value.")

    def _validate_X(self, X):
        """Check the data, and return it as it is if it is a frame, else as an array."""
        validate_data(self, X, skip_check_array=True)
        if isinstance(X, RowBlocks):
            if self.fdr is not None:
                raise TypeError("X in blocks cannot be used here: fdr needs an array.")
            set_feature_names(self, X)
            return X
        tags = get_tags(self).input_tags
        array = check_array(
            X,
            accept_sparse="csr" if tags.sparse else False,
            ensure_all_finite="allow-nan" if tags.allow_nan else True,
            ensure_min_samples=MIN_SAMPLES,
            estimator=self,
            input_name="X",
        )
        return X if hasattr(X, "columns") and self.fdr is None else array

    def _candidates(self):
        """Return the estimators to fit on each half, one for each value of the path."""
        if self.estimator is not None:
            base = self.estimator
        elif self.param_name is not None:
            base = self._default_estimator()
        else:
            n_false = self.max_false_selections or 1.0
            n_features = np.sqrt(
                (2.0 * DESIGN_THRESHOLD - 1.0) * n_false * self.n_features_in_
            )
            base = self._default_estimator(
                n_features_to_select=min(self.n_features_in_, max(1, int(n_features)))
            )
        if self.param_name is None:
            return [base]
        return [
            clone(base).set_params(**{self.param_name: value})
            for value in self.param_values
        ]

    def _default_estimator(self, **parameters):
        """Return the selector that None stands for."""
        base = ProjectionFeatureSelector(**parameters)
        if _routing_enabled():
            base.set_fit_request(sample_weight=True, offset=True, strata=True)
        return base

    @property
    def feature_importances_(self):
        """The selection probabilities, or scores, as other tools look for them."""
        check_is_fitted(self)
        return self.selection_probabilities_ if self.fdr is None else self.scores_

    def _get_support_mask(self):
        check_is_fitted(self)
        return self.feature_importances_ >= self.threshold_

    @shared_docs(**DOCS)
    def get_metadata_routing(self):
        """Get the routing of metadata: to the `fit` of `estimator`.

        {routing}
        """
        estimator = self.estimator
        return MetadataRouter(owner=self).add(
            estimator=self._default_estimator() if estimator is None else estimator,
            method_mapping=MethodMapping().add(caller="fit", callee="fit"),
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        estimator = self.estimator
        base = get_tags(ProjectionFeatureSelector() if estimator is None else estimator)
        tags.target_tags = base.target_tags
        tags.input_tags.sparse = base.input_tags.sparse and self.fdr is None
        tags.input_tags.allow_nan = base.input_tags.allow_nan and self.fdr is None
        return tags
