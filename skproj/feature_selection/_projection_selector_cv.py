"""Choice of the radius by cross-validation along warm-started paths."""

import numbers

import numpy as np
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import check_scoring, get_scorer_names
from sklearn.model_selection import StratifiedGroupKFold, check_cv
from sklearn.utils import Bunch
from sklearn.utils.metadata_routing import (
    UNUSED,
    MetadataRouter,
    MethodMapping,
    process_routing,
)
from sklearn.utils.parallel import delayed

from skproj.feature_selection._linear_selector import (
    DOCS,
    WARN_AT_CALLER,
    LinearSelector,
    model_attributes,
)
from skproj.feature_selection._radius_search import Trial
from skproj.linear_model._eta_path import (
    check_etas,
    collect_path,
    make_etas,
    solve_path,
    warn_of_unfinished,
)
from skproj.linear_model._targets import choose_loss
from skproj.utils._docs import shared_docs
from skproj.utils._path_search import SELECTION_RULES, choose_row, tabulate_scores
from skproj.utils._splits import make_splits
from skproj.utils._tasks import run_tasks, subtask
from skproj.utils._validation import (
    Interval,
    StrOptions,
    _fit_context,
    _routing_enabled,
    atomic_fit,
)


@shared_docs(**DOCS)
class ProjectionFeatureSelectorCV(LinearSelector):
    r"""Select features with a linear model in a ball whose radius is cross-validated.

    The model is that of :class:`ProjectionFeatureSelector`. In each fold one
    warm-started path goes through all radii, each model is scored on the samples left
    out, and the model of the radius with the best mean score is fitted to all samples.

    Parameters
    ----------
    etas : int or array-like of shape (n_etas,), default=20
        Radii of the projection ball; smaller is sparser; not learning rates. They are
        sorted. A number of radii is a geometric progression, derived from all samples
        as :func:`eta_path` does: from one that keeps a single feature to the largest
        that matters.
    cv : int, cross-validation generator or iterable, default=None
        How the samples are split. A number of folds, 5 if None, shuffles the samples;
        the folds are stratified for a classification, and keep groups together if
        `groups` are passed to `fit`. Others are used as they are.
    scoring : str or callable, default=None
        Score of a linear model on the samples left out: a name that scikit-learn
        knows, or ``scorer(estimator, X, y)``. None is the accuracy of a
        classification and the R2 of a regression.
    selection_rule : {"best", "one-standard-error"}, default="best"
        "best" takes the radius of the best mean score, and the smallest one of equals.
        "one-standard-error" takes the smallest radius whose mean score is less than
        one standard error of the best mean below it [1]_.
    {projection_loss}
    {huber_epsilon}
    {standardize}
    {fit_intercept}
    {class_weight}
    {solver}
    n_jobs : int, default=None
        Number of folds that are worked on at the same time; -1 for as many as there
        are processors. It does not change the result.
    {n_threads}
    random_state : int, RandomState instance or None, default=None
        Order of the samples in the folds, if `cv` is a number or None. Pass an int for
        the same folds in every call.

    Attributes
    ----------
    eta_ : float
        The radius that was chosen.
    best_score_ : float
        Its mean score in the cross-validation.
    best_index_ : int
        Its place in `etas_`.
    etas_ : ndarray of shape (n_etas,)
        The radii, increasing.
    cv_results_ : dict of ndarray of shape (n_etas,)
        In the form of :class:`~sklearn.model_selection.GridSearchCV`: "param_eta",
        "split0_test_score" and so on, "mean_test_score", "std_test_score",
        "rank_test_score", "params", and "mean_n_features", the mean number of features
        that the folds keep.
    path_ : EtaPath
        The path for all samples: the result of :func:`eta_path`.
    n_splits_ : int
        Number of folds.
    scores_ : ndarray of shape (n_features_in_,)
        Norm of each feature's projected weights; zero if it is not selected.
    n_iter_ : int
        Number of gradients of the last fit.
    {model}
    {features}

    Warns
    -----
    UserWarning
        If no feature is selected, for instance because all are constant.
    ConvergenceWarning
        If a linear model reaches `max_iter`.

    See Also
    --------
    ProjectionFeatureSelector : For one radius, or a number of features.
    eta_path : The path without cross-validation.
    sklearn.linear_model.LassoCV : The same for a penalty.

    Notes
    -----
    The score is that of the linear model. If what follows the selection in a pipeline
    is not linear, search for `eta` of :class:`ProjectionFeatureSelector` in the whole
    pipeline with :class:`~sklearn.model_selection.GridSearchCV`.

    Callbacks, for instance ``set_callbacks(sklearn.callback.ProgressBar())``, see a
    task for each fold, and one for the last fit.

    Samples of weight zero are left out of the training. Weights of samples are passed
    on to the scorer as well; if metadata routing is enabled, only if it requests them.

    References
    ----------
    .. [1] L. Breiman, J. H. Friedman, R. A. Olshen, C. J. Stone, "Classification and
       regression trees", Wadsworth, 1984, :doi:`10.1201/9781315139470`.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skproj.feature_selection import ProjectionFeatureSelectorCV
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> selector = ProjectionFeatureSelectorCV(selection_rule="one-standard-error")
    >>> selector.fit_transform(X, y).shape
    (569, 6)
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        **LinearSelector._parameter_constraints,
        "etas": [Interval(numbers.Integral, 1, None, closed="left"), "array-like"],
        "cv": ["cv_object"],
        "scoring": [StrOptions(set(get_scorer_names())), callable, None],
        "selection_rule": [StrOptions(set(SELECTION_RULES))],
        "n_jobs": [numbers.Integral, None],
        "random_state": ["random_state"],
    }
    _fitted_attributes = (
        (
            *LinearSelector._model_attributes,
            "best_index_",
            "best_score_",
            "cv_results_",
            "etas_",
            "n_splits_",
            "path_",
        ),
    )
    _optional_attributes = ("classes_",)
    # Groups are for the splitter, which says whether it wants them.
    __metadata_request__fit = {"groups": UNUSED}  # noqa: RUF012

    def __init__(
        self,
        etas=20,
        *,
        cv=None,
        scoring=None,
        selection_rule="best",
        projection="l1inf",
        loss="auto",
        huber_epsilon=1.35,
        standardize=True,
        fit_intercept=True,
        class_weight=None,
        max_iter=1000,
        tol=1e-4,
        n_jobs=None,
        n_threads=1,
        random_state=None,
    ):
        self.etas = etas
        self.cv = cv
        self.scoring = scoring
        self.selection_rule = selection_rule
        self.projection = projection
        self.loss = loss
        self.huber_epsilon = huber_epsilon
        self.standardize = standardize
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.max_iter = max_iter
        self.tol = tol
        self.n_jobs = n_jobs
        self.n_threads = n_threads
        self.random_state = random_state

    @shared_docs(**DOCS)
    @_fit_context(prefer_skip_nested_validation=True)
    @atomic_fit
    def fit(self, X, y, sample_weight=None, *, groups=None, **params):
        """Choose the radius and select the features.

        Parameters
        ----------
        {data}
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Labels or target values.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.
        groups : array-like of shape (n_samples,), default=None
            Groups, such as patients or batches, whose samples stay on the same side of
            each split. Metadata routing need not be enabled.
        **params : dict
            For the splitter and the scorer, if metadata routing is enabled.

        {fitted}

        Raises
        ------
        ValueError
            If `etas` has a radius that is not positive, if `X` or `y` contains NaN or
            infinity, if `y` does not suit `loss`, if there are not enough samples or
            groups for the folds, or if the scores are not finite.
        TypeError
            If there are `params` and metadata routing is not enabled.
        """
        if params and not _routing_enabled():
            raise TypeError(
                f"fit got unexpected arguments {sorted(params)}: only metadata routing "
                "would pass them on."
            )
        etas = check_etas(self.etas)
        X, y, sample_weight = self._validate(X, y, sample_weight)
        loss = choose_loss(self.loss, y)
        problem, classes = self._make_problem(loss, X, y, sample_weight)
        options = self._solver_options()
        routed = self._route(sample_weight, groups, params)
        folds = make_splits(
            self.cv,
            X,
            y,
            classifier=classes is not None,
            random_state=self.random_state,
            **routed.splitter.split,
        )
        context, arguments = self._begin_fit(len(folds) + 1, X, y, sample_weight)

        etas = make_etas(etas, problem, **options)
        scorer = _make_scorer(self.scoring, classes)
        score_params = routed.scorer.score
        calls = (
            delayed(_score_fold)(
                self, etas, loss, X, y, sample_weight, fold, scorer, score_params
            )
            for fold in folds
        )
        results = run_tasks(calls, self.n_jobs, context, "fold", arguments)
        scores, n_features, n_unfinished = (
            np.array(column) for column in zip(*results, strict=True)
        )
        cv_results = tabulate_scores({"eta": etas}, scores, n_features)
        best = choose_row(etas, scores, self.selection_rule)

        with subtask(context, "refit", arguments):
            fits = list(solve_path(problem, etas, **options))
            # From zero, as `ProjectionFeatureSelector` starts: the selections agree.
            eta = float(etas[best])
            fit = problem.solve(eta, **options)
            trial = Trial.from_coef(self.projection, eta, fit.coef, fit)
            model = model_attributes(
                problem, trial, trial.scores, classes, X.dtype, fit.n_iter
            )
            self._set_fitted(
                {
                    **model,
                    "best_index_": best,
                    "best_score_": float(cv_results["mean_test_score"][best]),
                    "cv_results_": cv_results,
                    "etas_": etas,
                    "n_splits_": len(folds),
                    "path_": collect_path(problem, etas, fits, X.dtype),
                }
            )
        self._warn(fit, None, WARN_AT_CALLER)
        n_unfinished = n_unfinished.sum() + sum(not fit.converged for fit in fits)
        n_fits = (len(folds) + 1) * len(etas)
        warn_of_unfinished(
            n_unfinished, n_fits, self.max_iter, self.tol, stacklevel=WARN_AT_CALLER
        )
        context.call_on_fit_task_end(**arguments)
        return self

    def _route(self, sample_weight, groups, params):
        """Return the arguments of the splitter and the scorer besides the data."""
        if _routing_enabled():
            if sample_weight is not None:
                params["sample_weight"] = sample_weight
            if groups is not None:
                params["groups"] = groups
            return process_routing(self, "fit", **params)
        groups = {} if groups is None else {"groups": groups}
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        return Bunch(splitter=Bunch(split=groups), scorer=Bunch(score=weights))

    @shared_docs(**DOCS)
    def get_metadata_routing(self):
        """Get the routing of metadata: to the splitter and to the scorer.

        {routing}
        """
        shuffled = self.cv is None or isinstance(self.cv, numbers.Integral)
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(
                # Folds made from a number take groups if there are some.
                splitter=StratifiedGroupKFold() if shuffled else check_cv(self.cv),
                method_mapping=MethodMapping().add(caller="fit", callee="split"),
            )
            .add(
                scorer=_make_scorer(self.scoring, classes=None),
                method_mapping=MethodMapping().add(caller="fit", callee="score"),
            )
        )


def _make_scorer(scoring, classes):
    """Return ``scorer(estimator, X, y, **params)``."""
    if scoring is None:
        scoring = "r2" if classes is None else "accuracy"
    return check_scoring(LinearRegression(), scoring)


def _score_fold(selector, etas, loss, X, y, sample_weight, fold, scorer, score_params):
    """Return scores and numbers of features along the path, and how many failed."""
    train, test = fold
    weights = None if sample_weight is None else sample_weight[train]
    problem, classes = selector._make_problem(loss, X[train], y[train], weights)
    score_params = {name: value[test] for name, value in score_params.items()}
    X_test, y_test = X[test], y[test]
    scores, n_features, n_unfinished = [], [], 0
    for fit in solve_path(problem, etas, **selector._solver_options()):
        model = _predictor(*problem.original_units(fit, X.dtype), classes, y_test.ndim)
        scores.append(scorer(model, X_test, y_test, **score_params))
        n_features.append(fit.n_selected)
        n_unfinished += not fit.converged
    return scores, n_features, n_unfinished


def _predictor(coef, intercept, classes, target_ndim):
    """Return a fitted linear model of scikit-learn with these coefficients."""
    if classes is None:
        model = LinearRegression()
        if target_ndim == 1:
            coef, intercept = coef[:, 0], intercept[0]
    else:
        model = LogisticRegression()
        model.classes_ = classes
    model.coef_ = coef.T
    model.intercept_ = intercept
    model.n_features_in_ = len(coef)
    return model
