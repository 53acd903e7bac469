"""Selection of the features that another selector keeps on most halves of the data."""

import numbers
import warnings

import numpy as np
from scipy import sparse
from scipy.stats import norm
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.callback import CallbackSupportMixin
from sklearn.feature_selection import SelectorMixin
from sklearn.impute import SimpleImputer
from sklearn.utils import (
    _safe_indexing,
    check_array,
    check_consistent_length,
    check_random_state,
    get_tags,
)
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    process_routing,
)
from sklearn.utils.parallel import delayed

from skproj.feature_selection._projection_selector import ProjectionFeatureSelector
from skproj.linear_model._design import mean_and_deviation
from skproj.linear_model._targets import choose_loss, plain_integers
from skproj.utils._state import VersionedState
from skproj.utils._tasks import run_tasks
from skproj.utils._validation import (
    HasMethods,
    Interval,
    StrOptions,
    _check_method_params,
    _check_sample_weight,
    _fit_context,
    _routing_enabled,
    check_is_fitted,
    nothing_half_fitted,
    validate_data,
)

DEFAULT_THRESHOLD = 0.75

# The default estimator selects so many features that, of those it keeps at this
# threshold, no more than the wanted number are false.
DESIGN_THRESHOLD = 0.9

CONFIDENCE = 0.95

# Two in each half.
MIN_SAMPLES = 4

# To select few features, or none, from one half of the data is a count like any other.
EXPECTED_WARNINGS = (
    r"No feature is selected|No feature was selected"
    r"|Only \d+ features (are|could be) selected"
)

# From a method called by `fit`, through `fit` and its decorators.
WARN_AT_CALLER = 5


class StabilitySelector(
    VersionedState,
    MetaEstimatorMixin,
    SelectorMixin,
    CallbackSupportMixin,
    BaseEstimator,
):
    r"""Select the features that a selector keeps on most halves of the data.

    The samples are split at random into two halves, many times over, and `estimator`
    selects features on each half [1]_ [2]_. Features are kept whose share of the
    selections reaches a threshold :math:`\pi`. If :math:`q` of :math:`d` features are
    selected on average, the expected number of false selections is at most

    .. math::

        \operatorname{E} V \le \frac{1}{2 \pi - 1} \, \frac{q^2}{d}

    Parameters
    ----------
    estimator : estimator object, default=None
        A selector: it has `get_support` once it is fitted; or a pipeline with selectors
        in which all other steps keep the names of the features. Clones of it are
        fitted. None is :class:`ProjectionFeatureSelector`, for
        :math:`\sqrt{0.8 \, d \, v}` features where :math:`v` is
        `max_false_selections`, or 1; with `param_name` its own default.
    n_pairs : int, default=50
        Number of times that the samples are split into two halves.
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
        Share of the halves that select each feature.
    path_probabilities_ : ndarray of shape (n_values, n_features_in_)
        The same for each of `param_values` alone. Only with `param_name`.
    threshold_ : float
        The threshold. Another one, `t`, needs no new fit: it keeps
        ``selection_probabilities_ >= t``.
    expected_false_selections_ : float
        The bound above; infinite if the threshold is at most 0.5.
    mean_n_features_ : float
        Mean number :math:`q` of features that a half selects.
    stability_ : float
        Stability index [3]_ of the selections by the halves: 1 if all are equal, 0 in
        expectation if features are drawn at random. NaN if each half selects nothing,
        or everything.
    stability_interval_ : ndarray of shape (2,)
        Its 95 % confidence interval, as if the halves were independent.
    baseline_selection_probabilities_ : ndarray of shape (n_features_in_,)
        Share of the halves in which a feature is among those with the largest F
        statistics, of as many as `estimator` selects there. Only if there is a `y`.
    baseline_stability_ : float
        Stability index of these selections. Only if there is a `y`.
    baseline_stability_interval_ : ndarray of shape (2,)
        Its 95 % confidence interval. Only if there is a `y`.
    supports_ : ndarray of bool of shape (2 * n_pairs, n_features_in_)
        What each half selects. The two halves of a split are neighbours.
    feature_importances_ : ndarray of shape (n_features_in_,)
        The selection probabilities, under the name that other tools look for.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen during `fit`, if all are strings.

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
    What the bound counts as false are features that a half selects with a probability
    of at most :math:`q / d`, as one drawn at random would be [2]_. Features without
    influence are selected more often than that if they are correlated with one that has
    influence. A single half of the data is a smaller sample: what needs all the samples
    to be seen is missed.

    With `param_name`, the bound holds for what the path as a whole selects [1]_.

    The F statistic looks at one feature at a time. Where its selections are as stable
    and predict as well, it is the simpler choice. It takes the `sample_weight` that is
    passed to `fit` into account, and replaces missing values by the mean.

    Callbacks, for instance ``set_callbacks(sklearn.callback.ProgressBar())``, see a
    task for each pair of halves.

    References
    ----------
    .. [1] N. Meinshausen, P. Bühlmann, "Stability selection", Journal of the Royal
       Statistical Society B 72(4), 2010, :arxiv:`0809.2932`.
    .. [2] R. D. Shah, R. J. Samworth, "Variable selection with error control: another
       look at stability selection", Journal of the Royal Statistical Society B 75(1),
       2013, :arxiv:`1105.5578`.
    .. [3] S. Nogueira, K. Sechidis, G. Brown, "On the stability of feature selection
       algorithms", Journal of Machine Learning Research 18(174), 2018,
       https://jmlr.org/papers/v18/17-514.html.

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

    _parameter_constraints: dict = {  # noqa: RUF012
        "estimator": [HasMethods("fit"), None],
        "n_pairs": [Interval(numbers.Integral, 1, None, closed="left")],
        "param_name": [str, None],
        "param_values": ["array-like", None],
        "threshold": [Interval(numbers.Real, 0, 1, closed="right"), None],
        "max_false_selections": [
            Interval(numbers.Real, 0, None, closed="neither"),
            None,
        ],
        "stratify": ["boolean", StrOptions({"auto"})],
        "n_jobs": [numbers.Integral, None],
        "random_state": ["random_state"],
    }
    _of_every_fit = (
        "expected_false_selections_",
        "mean_n_features_",
        "selection_probabilities_",
        "stability_",
        "stability_interval_",
        "supports_",
        "threshold_",
    )
    _fitted_attributes = (
        _of_every_fit,
        (
            *_of_every_fit,
            "baseline_selection_probabilities_",
            "baseline_stability_",
            "baseline_stability_interval_",
        ),
    )
    _optional_attributes = ("path_probabilities_",)

    def __init__(
        self,
        estimator=None,
        *,
        n_pairs=50,
        param_name=None,
        param_values=None,
        threshold=None,
        max_false_selections=None,
        stratify="auto",
        n_jobs=None,
        random_state=None,
    ):
        self.estimator = estimator
        self.n_pairs = n_pairs
        self.param_name = param_name
        self.param_values = param_values
        self.threshold = threshold
        self.max_false_selections = max_false_selections
        self.stratify = stratify
        self.n_jobs = n_jobs
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    @nothing_half_fitted
    def fit(self, X, y=None, **fit_params):
        """Select features on halves of the data, and keep those selected often.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data, numeric. Frames reach `estimator` as frames, sparse matrices
            in CSR format.
        y : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
            Labels or target values, if `estimator` needs them.
        **fit_params : dict
            For the `fit` of `estimator`, routed if metadata routing is enabled. Of
            what has an entry for each sample, such as `sample_weight`, each half gets
            its own part. A sample of weight zero counts as absent.

        Returns
        -------
        self : object
            The fitted selector.

        Raises
        ------
        ValueError
            If parameters contradict each other, if a class has a single sample, or if
            it cannot be said which features `estimator` selects.
        """
        self._check_parameters()
        for name in [name for name in vars(self) if name.startswith("baseline_")]:
            delattr(self, name)  # of an earlier fit with a target
        self.__dict__.pop("path_probabilities_", None)
        X = self._validate_X(X)
        if y is not None:
            y = check_array(
                plain_integers(y), ensure_2d=False, dtype=None, input_name="y"
            )
            check_consistent_length(X, y)
        if _routing_enabled():
            fit_params = process_routing(self, "fit", **fit_params).estimator.fit
        if fit_params.get("sample_weight") is not None:
            X, y, fit_params = drop_weightless(X, y, fit_params)
        stratified = y is not None and self._is_stratified(y)

        arguments = {"estimator": self, "X": X, "y": y, "metadata": fit_params}
        context = self._init_callback_context(max_subtasks=self.n_pairs)
        context.call_on_fit_task_begin(**arguments)
        seeds = check_random_state(self.random_state).randint(
            2**31 - 1, size=self.n_pairs
        )
        candidates = self._candidates()
        calls = (
            delayed(select_on_halves)(candidates, X, y, stratified, fit_params, seed)
            for seed in seeds
        )
        pairs = run_tasks(calls, self.n_jobs, context, "pair", arguments)
        path_supports, baseline_supports = zip(*pairs, strict=True)
        self._set_results(
            np.concatenate(path_supports), np.concatenate(baseline_supports)
        )
        context.call_on_fit_task_end(**arguments)
        return self

    def _check_parameters(self):
        """Refuse parameters that contradict each other."""
        if self.threshold is not None and self.max_false_selections is not None:
            raise ValueError(
                "threshold and max_false_selections cannot be combined, got "
                f"threshold={self.threshold!r} and "
                f"max_false_selections={self.max_false_selections!r}."
            )
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
        allow_nan = get_tags(self).input_tags.allow_nan
        array = check_array(
            X,
            accept_sparse="csr",
            ensure_all_finite="allow-nan" if allow_nan else True,
            ensure_min_samples=MIN_SAMPLES,
            estimator=self,
            input_name="X",
        )
        return X if hasattr(X, "columns") else array

    def _is_stratified(self, y):
        """Whether `y` holds labels, which are then known to be in order."""
        stratify = self.stratify
        if stratify == "auto":
            stratify = choose_loss("auto", y) == "log_loss"
        if stratify:
            number_classes(y)
        return bool(stratify)

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
        return base.set_fit_request(sample_weight=True) if _routing_enabled() else base

    def _set_results(self, path_supports, baseline_supports):
        """Set what follows from the selections.

        Parameters
        ----------
        path_supports : ndarray of bool of shape (n_halves, n_values, n_features)
        baseline_supports : ndarray of bool of shape (n_halves, n_features) or \
                (n_halves, 0)
        """
        self.supports_ = path_supports.any(axis=1)
        self.selection_probabilities_ = self.supports_.mean(axis=0)
        if self.param_name is not None:
            self.path_probabilities_ = path_supports.mean(axis=0)
        self.stability_, self.stability_interval_ = stability_index(self.supports_)
        if baseline_supports.size > 0:
            self.baseline_selection_probabilities_ = baseline_supports.mean(axis=0)
            self.baseline_stability_, self.baseline_stability_interval_ = (
                stability_index(baseline_supports)
            )
        self.mean_n_features_ = float(self.supports_.sum(axis=1).mean())
        self._set_threshold()
        if not self._get_support_mask().any():
            warnings.warn(
                f"No feature is selected: the largest selection probability is "
                f"{self.selection_probabilities_.max():.3g}, and the threshold "
                f"{self.threshold_:.3g}.",
                UserWarning,
                stacklevel=WARN_AT_CALLER,
            )

    def _set_threshold(self):
        """Set the threshold, and the bound that it gives."""
        # What is false is at most this for a threshold of 1.
        smallest = self.mean_n_features_**2 / self.n_features_in_
        if self.max_false_selections is None:
            self.threshold_ = float(self.threshold or DEFAULT_THRESHOLD)
        else:
            wanted = 0.5 * (smallest / self.max_false_selections + 1.0)
            if wanted > 1.0:
                n_allowed = np.sqrt(self.max_false_selections * self.n_features_in_)
                warnings.warn(
                    f"max_false_selections={self.max_false_selections:g} cannot be "
                    f"reached: threshold 1 bounds the expected number by {smallest:.3g}"
                    f", because the estimator selects {self.mean_n_features_:.3g} "
                    f"features on average and may select {n_allowed:.3g}.",
                    UserWarning,
                    stacklevel=WARN_AT_CALLER + 1,
                )
            # Probabilities are multiples of this.
            n_halves = len(self.supports_)
            steps = np.ceil(min(wanted, 1.0) * n_halves - 1e-9)
            self.threshold_ = float(steps / n_halves)
        self.expected_false_selections_ = np.inf
        if self.threshold_ > 0.5:
            self.expected_false_selections_ = smallest / (2.0 * self.threshold_ - 1.0)

    @property
    def feature_importances_(self):
        """The selection probabilities, under the name that other tools look for."""
        check_is_fitted(self)
        return self.selection_probabilities_

    def _get_support_mask(self):
        check_is_fitted(self)
        return self.selection_probabilities_ >= self.threshold_

    def get_metadata_routing(self):
        """Get the routing of metadata: to the `fit` of `estimator`.

        Returns
        -------
        routing : MetadataRouter
            See the metadata routing guide of scikit-learn.
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
        tags.target_tags.required = base.target_tags.required
        tags.input_tags.sparse = base.input_tags.sparse
        tags.input_tags.allow_nan = base.input_tags.allow_nan
        return tags


def drop_weightless(X, y, fit_params):
    """Leave out the samples of weight zero, so that halves are made of the others.

    Parameters
    ----------
    X : {ndarray, CSR matrix, frame} of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,) or (n_samples, n_targets), or None
    fit_params : dict
        With a `sample_weight`, which comes back as an array.

    Returns
    -------
    X, y, fit_params
        As they were, with fewer samples.

    Raises
    ------
    ValueError
        If less than four samples are left, or if the weights are unsuitable.
    """
    weight = _check_sample_weight(fit_params["sample_weight"], X)
    fit_params = fit_params | {"sample_weight": weight}
    rows = np.flatnonzero(weight)
    if len(rows) < MIN_SAMPLES:
        raise ValueError(
            f"sample_weight must have at least {MIN_SAMPLES} nonzero entries, got "
            f"{len(rows)}."
        )
    if len(rows) == X.shape[0]:
        return X, y, fit_params
    return (
        _safe_indexing(X, rows),
        None if y is None else y[rows],
        _check_method_params(X, fit_params, indices=rows),
    )


def select_on_halves(candidates, X, y, stratified, fit_params, seed):
    """Select features on the two halves of a random split.

    Parameters
    ----------
    candidates : list of estimator
        They are cloned.
    X : {ndarray, CSR matrix, frame} of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,) or (n_samples, n_targets), or None
    stratified : bool
        Whether both halves get the same number of samples of each class.
    fit_params : dict
    seed : int

    Returns
    -------
    supports : ndarray of bool of shape (2, n_candidates, n_features)
    baseline : ndarray of bool of shape (2, n_features)
        As many features of the largest F statistic; of shape (2, 0) without `y`.
    """
    random_state = np.random.RandomState(seed)
    # Numbered here: what comes with the task may be lost with the worker that has it.
    labels = number_classes(y) if stratified else None
    strata = np.zeros(X.shape[0], dtype=int) if labels is None else labels
    supports, baseline = [], []
    for rows in draw_halves(strata, random_state):
        half = _safe_indexing(X, rows)
        target = None if y is None else y[rows]
        params = _check_method_params(X, fit_params, indices=rows)
        seed = random_state.randint(2**31 - 1)
        support = np.array(
            [
                selected_by(fit_quietly(seeded(c, seed), half, target, params))
                for c in candidates
            ]
        )
        supports.append(support)
        n_selected = np.count_nonzero(support.any(axis=0))
        columns = np.zeros(0, dtype=bool)
        if y is not None:
            classes = None if labels is None else labels[rows]
            scores = univariate_scores(
                half, target, classes, params.get("sample_weight")
            )
            columns = np.zeros(len(scores), dtype=bool)
            columns[np.argsort(-scores, kind="stable")[:n_selected]] = True
        baseline.append(columns)
    return np.array(supports), np.array(baseline)


def number_classes(y):
    """Return the number of the class of each sample; the largest class comes last.

    Parameters
    ----------
    y : ndarray of shape (n_samples,) or (n_samples, 1)

    Returns
    -------
    labels : ndarray of int of shape (n_samples,)

    Raises
    ------
    ValueError
        If a class has a single sample, or if there are several columns.
    """
    if y.ndim == 2 and y.shape[1] > 1:
        raise ValueError(
            f"stratify=True needs a y of one column, got {y.shape[1]} columns."
        )
    classes, labels, sizes = np.unique(
        y.ravel(), return_inverse=True, return_counts=True
    )
    if sizes.min() == 1:
        raise ValueError(
            "Each class needs a sample in each half, but class "
            f"{classes[sizes.argmin()]} has only 1 sample; if y does not hold "
            "labels, use stratify=False."
        )
    by_size = np.argsort(sizes, kind="stable")
    return np.argsort(by_size)[labels]


def draw_halves(strata, random_state):
    """Deal the samples of each stratum out to two halves of the same size.

    Parameters
    ----------
    strata : ndarray of int of shape (n_samples,)
        One of the largest stratum is left out if the number of samples is odd: it is
        the last one.
    random_state : RandomState

    Returns
    -------
    first, second : ndarray of int of shape (n_samples // 2,)
    """
    shuffled = random_state.permutation(len(strata))
    shuffled = shuffled[np.argsort(strata[shuffled], kind="stable")]
    even = shuffled[: len(strata) // 2 * 2]
    return np.sort(even[::2]), np.sort(even[1::2])


def seeded(estimator, seed):
    """Return a clone that draws the same numbers wherever it is fitted."""
    estimator = clone(estimator)
    seeds = {
        name: seed
        for name, value in estimator.get_params().items()
        if name.split("__")[-1] == "random_state" and value is None
    }
    return estimator.set_params(**seeds)


def fit_quietly(estimator, X, y, fit_params):
    """Fit without the warnings that few features are selected."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=EXPECTED_WARNINGS)
        return estimator.fit(X, y, **fit_params)


def selected_by(estimator):
    """Return the mask of the features that a fitted estimator selects."""
    if hasattr(estimator, "get_support"):
        return np.asarray(estimator.get_support())
    generated = [f"x{i}" for i in range(estimator.n_features_in_)]
    names = getattr(estimator, "feature_names_in_", generated)
    try:
        kept = estimator.get_feature_names_out(names)
    except AttributeError:  # it has none, or a step of a pipeline has none
        kept = None
    support = np.isin(names, [] if kept is None else kept)
    if kept is None or np.count_nonzero(support) != len(kept):
        raise ValueError(
            "estimator must have get_support once it is fitted, or be a pipeline of "
            "selectors and of steps that keep the names of the features, got "
            f"{estimator!r}."
        )
    return support


def univariate_scores(X, y, classes, sample_weight):
    """Return the share of each feature's variance that the target explains.

    The F statistic of an analysis of variance, or of a linear regression, grows with
    it. For several targets it is the sum of the shares.

    Parameters
    ----------
    X : {ndarray, CSR matrix, frame} of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,) or (n_samples, n_targets)
    classes : ndarray of int of shape (n_samples,), or None
        Classes to use instead of `y`.
    sample_weight : ndarray of shape (n_samples,), or None

    Returns
    -------
    scores : ndarray of shape (n_features,)
        Zero for constant features.
    """
    X = check_array(
        X, accept_sparse="csr", dtype=np.float64, ensure_all_finite="allow-nan"
    )
    if np.isnan(X.data if sparse.issparse(X) else X).any():
        X = SimpleImputer(keep_empty_features=True).fit_transform(X)
    weights = np.ones(X.shape[0]) if sample_weight is None else sample_weight
    weights = weights / weights.sum()
    if classes is None and y.dtype.kind not in "biuf":
        classes = y.ravel()
    if classes is None:
        targets = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
    else:
        targets = (classes[:, np.newaxis] == np.unique(classes)).astype(np.float64)
    mean, scale = mean_and_deviation(targets, weights)
    if classes is not None:
        scale = np.sqrt(mean)
    targets = targets - mean
    targets = np.divide(targets, scale, out=np.zeros_like(targets), where=scale > 0.0)
    _, deviation = mean_and_deviation(X, weights)
    covariance = X.T @ (weights[:, np.newaxis] * targets)
    explained = np.square(covariance).sum(axis=1)
    variance = np.square(deviation)
    return np.divide(
        explained, variance, out=np.zeros_like(variance), where=variance > 0.0
    )


def stability_index(supports):
    """Return the stability of selections, and its confidence interval.

    Parameters
    ----------
    supports : ndarray of bool of shape (n_selections, n_features)

    Returns
    -------
    stability : float
        NaN if all selections are empty or all are full.
    interval : ndarray of shape (2,)
    """
    n_selections, n_features = supports.shape
    frequencies = supports.mean(axis=0)
    fractions = supports.mean(axis=1)  # of the features, for each selection
    fraction = fractions.mean()
    by_chance = fraction * (1.0 - fraction)
    if by_chance == 0.0:
        return np.nan, np.full(2, np.nan)
    variances = frequencies * (1.0 - frequencies) * n_selections / (n_selections - 1)
    stability = 1.0 - variances.mean() / by_chance
    # The influence of each selection on the index.
    influences = (
        supports @ frequencies / n_features
        - fractions * fraction
        + 0.5 * stability * (2.0 * fractions * fraction - fractions - fraction + 1.0)
    ) / by_chance
    error = 2.0 * np.std(influences) / np.sqrt(n_selections)
    reach = norm.ppf(0.5 + 0.5 * CONFIDENCE) * error
    return float(stability), np.array([stability - reach, stability + reach])
