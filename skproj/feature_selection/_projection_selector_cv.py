"""Choice of the radius by cross-validation along warm-started paths."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from sklearn.metrics import get_scorer_names
from sklearn.model_selection import StratifiedGroupKFold, check_cv
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.metadata_routing import (
    UNUSED,
    MetadataRouter,
    MethodMapping,
    process_routing,
)
from sklearn.utils.parallel import delayed

from skproj._typing import ArrayLike, Integer, Labels, Number, RandomState
from skproj.blocks import RowBlocks
from skproj.blocks._passes import run_together
from skproj.feature_selection._linear_selector import (
    DOCS,
    WARN_AT_CALLER,
    LinearSelector,
    model_attributes,
)
from skproj.feature_selection._radius_search import Trial
from skproj.linear_model._default_radius import FEW_SAMPLES, N_REPEATS
from skproj.linear_model._eta_path import (
    check_etas,
    collect_path,
    make_etas,
    solve_path,
    warn_of_unfinished,
)
from skproj.linear_model._fold_scores import (
    is_of_folds,
    make_score,
    make_scorer,
    pool_scores,
    score_fold,
)
from skproj.linear_model._substitutes import find_substitutes
from skproj.linear_model._targets import choose_loss
from skproj.utils._docs import shared_docs
from skproj.utils._path_search import (
    ONE_STANDARD_ERROR,
    choose_by_gain,
    tabulate_scores,
)
from skproj.utils._splits import make_splits
from skproj.utils._stability import (
    STABILITY_ATTRIBUTES,
    STABILITY_DOCS,
    describe_selection,
)
from skproj.utils._state import store_parameters
from skproj.utils._tasks import report_tasks, run_tasks, subtask
from skproj.utils._validation import (
    Interval,
    StrOptions,
    _fit_context,
    _routing_enabled,
    atomic_fit,
)

# Bootstrap samples of the scores, and the quantiles of the numbers of features that
# they choose.
N_DRAWS, RANGE = 100, (0.05, 0.95)
MAX_DRAWN = 1 << 22  # entries of an array of them

NOTHING_LEARNED = (
    "No feature is selected: nothing can be learned from the features. No radius gains "
    "more over the model without features than the standard error of the gain; "
    "keep_gain=1 takes the best one nevertheless."
)


@shared_docs(**DOCS, stability=STABILITY_DOCS)
class ProjectionFeatureSelectorCV(LinearSelector):
    r"""Select features with a linear model in a ball whose radius is cross-validated.

    The model is that of :class:`ProjectionFeatureSelector`. In each fold one
    warm-started path goes through all radii, and each model is scored on the samples
    left out. The smallest radius that keeps 95 % of what the best one gains over a
    model without features is chosen, and its model is fitted to all samples.

    Parameters
    ----------
    etas : int or array-like of shape (n_etas,), default=30
        Radii of the projection ball; smaller is sparser; not learning rates. They are
        sorted. A number of radii is 0, for no feature, and a geometric progression,
        derived from all samples as :func:`eta_path` does: from one that keeps a single
        feature to the largest that matters. Without a finite score of no feature, 0 is
        left out.
    cv : int, cross-validation generator or iterable, default=None
        How the samples are split. A number of folds shuffles the samples; the folds
        are stratified for a classification, and by the event for survival times, and
        keep groups together if `groups` are passed to `fit`. Others are used as they
        are; for survival times they get the events as `y`. None are 5 folds, three
        times in another order for less than 1000 samples in memory, whose scores
        depend on the order.
    scoring : str or callable, default=None
        Score of a linear model on the samples left out: a name that scikit-learn
        knows, or ``scorer(estimator, X, y)``. None is minus the log loss of a
        classification, minus half the Poisson deviance for ``loss="poisson"``, minus
        the Huber loss in units of the deviation of the target for ``loss="huber"``, and
        "r2" of another regression. These, and "r2", are means over all the samples left
        out, not over the folds: R2 is that of all predictions together. For survival
        times it is the cross-validated log partial likelihood [2]_, as its gain over a
        model without features for each sample left out; a scorer gets a model whose
        `predict` is the logarithm of the relative hazard.
    keep_gain : float in (0, 1] or "one-standard-error", default=0.95
        The smallest radius is taken whose mean score keeps this share of what the best
        one gains over the model without features. If that gain does not exceed its
        standard error, nothing can be learned from the features, and none is selected.
        1 takes the best mean score, whatever its error. "one-standard-error" takes the
        smallest radius whose mean score is less than one standard error of the best
        mean below it [1]_.
    projection : str or callable, default="l12"
    {projection_loss}
    {huber_epsilon}
    l2_reg : float or array-like of shape (n_l2_regs,), default=0.0
        Candidates for the ridge penalty, which is chosen with the radius: half of it
        times the sum of the squared coefficients of the standardised features. It makes
        correlated features share their weight.
    {standardize}
    {fit_intercept}
    {class_weight}
    {positive}
    {feature_structure}
    {solver}
    n_jobs : int, default=None
        Number of folds that are worked on at the same time; -1 for as many as there
        are processors. It does not change the result. Not for data in blocks, whose
        passes the folds share.
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
    l2_reg_ : float
        The ridge penalty that was chosen.
    best_index_ : int
        The row of `cv_results_` with both of them.
    etas_ : ndarray of shape (n_etas,)
        The radii, increasing.
    cv_results_ : dict of ndarray of shape (n_l2_regs * n_etas,)
        In the form of :class:`~sklearn.model_selection.GridSearchCV`: "param_eta",
        "param_l2_reg", "split0_test_score" and so on, "mean_test_score",
        "std_test_score", "rank_test_score", "params", "mean_n_features", the mean
        number of features that the folds keep, and "share_of_gain", the share of the
        best gain over the model without features.
    n_features_range_ : tuple of int
        Between which numbers of features the choice is with other samples to score:
        the 5 % and 95 % quantiles over 100 bootstrap samples of the scores. The models
        stay the same, so it is a lower bound of how much the number varies.
    path_ : EtaPath
        The path for all samples and the chosen ridge penalty: the result of
        :func:`eta_path`.
    n_splits_ : int
        Number of folds.
    loss_ : str
        The loss; for ``loss="auto"`` that of the targets.
    {stability}
    {scores}
    n_iter_ : int
        Number of gradients of the last fit.
    {model}
    {features}

    Warns
    -----
    UserWarning
        If no feature is selected: all are constant, or no radius gains more over the
        model without features than the standard error of the gain.
    ConvergenceWarning
        If a linear model reaches `max_iter`.

    See Also
    --------
    ProjectionFeatureSelector : For one radius, or a number of features.
    eta_path : The path without cross-validation.
    sklearn.linear_model.LassoCV : The same for a penalty.

    Notes
    -----
    The candidates of a path are compared by their own scores, although what follows the
    selection often predicts better than a model in a small ball does. Compared with the
    best score, a share of the gain keeps fewer features, and more nearly the same ones
    in other samples, see :doc:`/choice`.

    The score is that of the linear model. If what follows the selection in a pipeline
    is not linear, search for `eta` of :class:`ProjectionFeatureSelector` in the whole
    pipeline with :class:`~sklearn.model_selection.GridSearchCV`.

    Callbacks, for instance ``set_callbacks(sklearn.callback.ProgressBar())``, see a
    task for each fold, and one for the last fit.

    Samples of weight zero are left out of the training. Weights of samples are passed
    on to the scorer as well; if metadata routing is enabled, only if it requests them.
    The partial likelihood has the weights of the training. What a scorer gets predicts
    with the offsets of the samples left out, all of them in their order.

    With data in blocks a scorer gets the features of the model only. The grid of radii
    ends where the features no longer fit into the memory that is meant for them.

    The partial likelihood of the samples left out is that of all samples minus that of
    the training samples: the few events of a fold are compared with everyone at risk,
    not with the few samples of the fold only.

    References
    ----------
    .. [1] L. Breiman, J. H. Friedman, R. A. Olshen, C. J. Stone, "Classification and
       regression trees", Wadsworth, 1984, :doi:`10.1201/9781315139470`.
    .. [2] P. J. M. Verweij, H. C. van Houwelingen, "Cross-validation in survival
       analysis", Statistics in Medicine 12(24), 1993, :doi:`10.1002/sim.4780122407`.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skproj.feature_selection import ProjectionFeatureSelectorCV
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> selector = ProjectionFeatureSelectorCV(random_state=0)
    >>> selector.fit_transform(X, y).shape
    (569, 10)

    The features that are most strongly correlated with the worst radius:

    >>> feature = 20
    >>> [column for column, _ in selector.substitutes_[feature]]
    [22, 23, 0, 2, 3, 7]
    """

    eta_: float
    best_score_: float
    best_index_: int
    etas_: np.ndarray
    cv_results_: dict[str, np.ndarray]
    n_features_range_: tuple[int, int]
    n_splits_: int
    loss_: str
    n_iter_: int

    _parameter_constraints: dict = {  # noqa: RUF012
        **LinearSelector._parameter_constraints,
        "l2_reg": [Interval(numbers.Real, 0, None, closed="left"), "array-like"],
        "etas": [Interval(numbers.Integral, 1, None, closed="left"), "array-like"],
        "cv": ["cv_object"],
        "scoring": [StrOptions(set(get_scorer_names())), callable, None],
        "keep_gain": [
            Interval(numbers.Real, 0, 1, closed="right"),
            StrOptions({ONE_STANDARD_ERROR}),
        ],
        "n_jobs": [numbers.Integral, None],
        "random_state": ["random_state"],
    }
    _fitted_attributes = (
        (
            *LinearSelector._model_attributes,
            *STABILITY_ATTRIBUTES,
            "best_index_",
            "best_score_",
            "cv_results_",
            "etas_",
            "l2_reg_",
            "n_splits_",
            "path_",
        ),
    )
    _optional_attributes = ("classes_", "loss_", "n_features_range_")
    # Groups are for the splitter, which says whether it wants them.
    __metadata_request__fit = {"groups": UNUSED}  # noqa: RUF012

    def __init__(
        self,
        etas: ArrayLike | Integer | None = 30,
        *,
        cv: Any = None,
        scoring: str | Callable[..., Any] | None = None,
        keep_gain: Number | str = 0.95,
        projection: str | Callable[..., Any] = "l12",
        loss: str | Callable[..., Any] = "auto",
        huber_epsilon: Number = 1.35,
        l2_reg: Number | ArrayLike = 0.0,
        standardize: bool = True,
        fit_intercept: bool = True,
        class_weight: Mapping[Any, Any] | str | None = None,
        positive: bool = False,
        feature_weights: ArrayLike | None = None,
        always_keep: Labels | None = None,
        never_keep: Labels | None = None,
        feature_groups: Labels | Mapping[Any, Any] | None = None,
        max_iter: Integer = 1000,
        tol: Number = 1e-4,
        n_jobs: Integer | None = None,
        n_threads: Integer = 1,
        random_state: RandomState = None,
    ) -> None:
        store_parameters(**locals())

    @shared_docs(**DOCS)
    @_fit_context(prefer_skip_nested_validation=True)
    @atomic_fit
    def fit(
        self,
        X,
        y,
        sample_weight=None,
        *,
        offset=None,
        strata=None,
        groups=None,
        **params,
    ):
        """Choose the radius and select the features.

        Parameters
        ----------
        {data_or_blocks}
        {targets}
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.
        {offset_and_strata}
        groups : array-like of shape (n_samples,), default=None
            Groups, such as patients or batches, whose samples stay on the same side of
            each split. Metadata routing need not be enabled.
        **params : dict
            For the splitter and the scorer, if metadata routing is enabled.

        {fitted}

        Raises
        ------
        ValueError
            If `etas` has a negative radius, if `X`, `y` or `offset` has NaN
            or infinity, if `y`, `offset` or `strata` does not suit `loss`, if there are
            not enough samples or groups for the folds, or if scores are not finite.
        TypeError
            If there are `params` and metadata routing is not enabled.
        """
        if params and not _routing_enabled():
            raise TypeError(
                f"fit got unexpected arguments {sorted(params)}: only metadata routing "
                "would pass them on."
            )
        etas = check_etas(self.etas)
        l2_regs = _check_l2_regs(self.l2_reg)
        X, y, rows = self._validate(X, y, sample_weight, offset, strata)
        sample_weight = rows.get("sample_weight")
        loss = choose_loss(self.loss, y)
        problem = self._make_problem(loss, X, y, rows, l2_regs[0])
        options = self._solver_options()
        routed = self._route(sample_weight, groups, params)
        folds = self._make_folds(X, y, sample_weight, problem, routed.splitter.split)
        context, arguments = self._begin_fit(len(folds) + 1, X, y, rows)
        asked = make_etas(etas, problem, **options)
        score = make_score(
            self.scoring, self.huber_epsilon, loss, problem.classes, y, sample_weight
        )
        # Gains are those over the null model; other criteria may not be defined for it.
        etas = asked if asked[0] == 0.0 or is_of_folds(score) else np.append(0.0, asked)
        common = self._make_problem, options, (etas, l2_regs), loss, (X, y, rows)
        jobs = [(*common, score, fold, routed.scorer.score) for fold in folds]
        results = list(self._run_folds(jobs, X, context, arguments))
        units = pool_scores(results, [test for _, test in folds], len(y), groups)
        chosen = self._choose(results, units, etas, asked, l2_regs, X.shape[1])

        with subtask(context, "refit", arguments):
            fit, fits = self._refit(problem, chosen, X, sample_weight, options)
            self.loss_, self.n_splits_ = loss, len(folds)
        if chosen.learns or np.any(self.scores_):
            self._warn(fit, None, WARN_AT_CALLER)
        else:
            warnings.warn(NOTHING_LEARNED, UserWarning, stacklevel=WARN_AT_CALLER)
        n_unfinished = sum(result.n_unfinished for result in results)
        n_unfinished += sum(not fit.converged for fit in fits)
        n_fits = len(folds) * len(asked) * len(l2_regs) + len(fits)
        warn_of_unfinished(
            n_unfinished, n_fits, self.max_iter, self.tol, stacklevel=WARN_AT_CALLER
        )
        context.call_on_fit_task_end(**arguments)
        return self

    def _refit(self, problem, chosen, X, sample_weight, options):
        """Set what is fitted with all samples; return the fit, and those of the path.

        The samples are those of the problem, `chosen` is what `_choose` returns.
        """
        problem = problem.with_l2_reg(chosen.l2_reg)
        fits = list(solve_path(problem, chosen.etas, **options))
        # From zero, as `ProjectionFeatureSelector` starts: the selections agree.
        fit = problem.solve(chosen.eta, **options)
        constraint = problem.constraint(self.projection, chosen.eta)
        trial = Trial.score(constraint, fit.coef, problem.structure, fit)
        model = model_attributes(
            problem, self.projection, trial, trial.scores, X.dtype, fit.n_iter
        )
        substitutes = find_substitutes(
            X,
            np.flatnonzero(model["scores_"]),
            names=getattr(self, "feature_names_in_", None),
            sample_weight=sample_weight,
        )
        path = collect_path(problem, chosen.etas, fits, X.dtype)
        counts = path.n_selected[chosen.other_rows]
        low, high = np.quantile(counts, RANGE, method="nearest")
        best = chosen.row
        self._set_fitted(
            {
                **model,
                **describe_selection(chosen.supports[:, best], substitutes),
                "best_index_": best,
                "best_score_": float(chosen.cv_results["mean_test_score"][best]),
                "cv_results_": chosen.cv_results,
                "etas_": chosen.etas,
                "l2_reg_": chosen.l2_reg,
                "n_features_range_": (int(low), int(high)),
                "path_": path,
            }
        )
        return fit, fits

    def _make_folds(self, X, y, sample_weight, problem, split_params):
        """Return the splits of the samples, those with a score."""
        in_blocks = isinstance(X, RowBlocks)
        repeats = self.cv is None and not in_blocks and len(y) < FEW_SAMPLES
        random_state, folds = check_random_state(self.random_state), []
        for _ in range(N_REPEATS if repeats else 1):
            folds += make_splits(
                self.cv,
                np.zeros(len(y)) if in_blocks else X,
                y,
                classifier=problem.classes is not None,
                random_state=random_state,
                **split_params,
            )
        if sample_weight is not None:  # samples of weight zero have no score
            folds = [fold for fold in folds if sample_weight[fold[1]].any()]
        if in_blocks:  # which are read from the first row to the last
            folds = [tuple(np.sort(part) for part in fold) for fold in folds]
        return folds

    def _choose(self, folds, pooled, etas, asked, l2_regs, n_features):
        """Choose a candidate by the `FoldScores`; return it with all that is known."""
        radii, ridges = np.tile(etas, len(l2_regs)), np.repeat(l2_regs, len(etas))
        scores = np.array([fold.means for fold in folds])
        eligible = np.tile(np.isin(etas, asked), len(l2_regs))
        has_null = etas[0] == 0.0 and np.isfinite(scores[:, 0]).all()
        if not has_null and isinstance(check_etas(self.etas), int):
            eligible &= radii > 0.0

        units, weights, n_repeats = pooled
        choose = partial(
            choose_by_gain,
            units,
            weights,
            radii,
            self.keep_gain,
            null=0 if has_null else None,
            eligible=eligible,
            families=ridges,
            n_repeats=n_repeats,
        )
        packed = np.array([fold.supports[eligible] for fold in folds])
        supports = np.unpackbits(packed, axis=2, count=n_features).astype(bool)
        parameters = {"eta": radii[eligible], "l2_reg": ridges[eligible]}
        means = np.average(units[:, eligible], axis=0, weights=weights)
        counts = supports.sum(axis=2)
        cv_results = tabulate_scores(parameters, scores[:, eligible], counts, means)
        choice, n = choose(), len(weights)
        row = choice.rows[0]
        random_state = np.random.RandomState(0)
        step, others = max(MAX_DRAWN // n, 1), []
        for first in range(0, N_DRAWS, step):
            size = min(step, N_DRAWS - first)
            n_drawn = max(round(n / n_repeats), 1)
            draws = random_state.multinomial(n_drawn, np.full(n, 1.0 / n), size)
            others.extend(choose(draws=draws).rows)
        cv_results["share_of_gain"] = choice.shares[0, eligible]
        etas = radii[eligible & (ridges == l2_regs[0])]
        return Bunch(
            row=int(np.count_nonzero(eligible[:row])),
            learns=bool(choice.learns[0]),
            eta=float(radii[row]),
            l2_reg=float(ridges[row]),
            etas=etas,
            supports=supports,
            cv_results=cv_results,
            other_rows=np.searchsorted(etas, radii[others]),
        )

    def _run_folds(self, jobs, X, context, arguments):
        """Return the results of `score_fold`; on blocks, the folds share the passes."""
        if isinstance(X, RowBlocks):
            results = run_together([partial(score_fold, *job) for job in jobs])
            return report_tasks(results, context, "fold", arguments)
        calls = (delayed(score_fold)(*job) for job in jobs)
        return run_tasks(calls, self.n_jobs, context, "fold", arguments)

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
                scorer=make_scorer(self.scoring),
                method_mapping=MethodMapping().add(caller="fit", callee="score"),
            )
        )


def _check_l2_regs(l2_reg):
    """Return the candidates as a sorted array."""
    l2_regs = np.unique(np.asarray(l2_reg, dtype=np.float64))
    if not (len(l2_regs) and np.all(l2_regs >= 0.0) and np.all(np.isfinite(l2_regs))):
        raise ValueError(
            "l2_reg must be a number that is not negative, or a non-empty array of "
            f"such numbers, got {l2_reg!r}."
        )
    return l2_regs
