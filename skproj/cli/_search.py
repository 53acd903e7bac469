"""Search for the radius, and models for the folds that know nothing of their rows."""

import contextlib
import warnings
from functools import partial

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.ensemble import VotingClassifier, VotingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.parallel import Parallel, delayed

from skproj import (
    ProjectionFeatureSelector,
    ProjectionFeatureSelectorCV,
    SparseSupervisedAutoencoder,
    SparseSupervisedAutoencoderCV,
    SparseSupervisedAutoencoderRegressor,
)
from skproj.callback import CompactProgressBar
from skproj.cli._arguments import N_FOLDS
from skproj.cli._errors import CommandError
from skproj.cli._survival import score_concordance
from skproj.linear_model import CoxRidge
from skproj.utils._path_search import (
    ONE_STANDARD_ERROR,
    choose_row,
    counts_of,
    name_of_radius,
)

# Radii of a path; of blocks, each takes passes over the data.
N_ETAS, N_ETAS_OF_BLOCKS = 30, 12
# Of the ridge regression, which chooses by leaving one row out.
RIDGE_PENALTIES = np.logspace(-2.0, 4.0, 13)
REGRESSOR_ETAS = 2.0 ** np.arange(-3, 7)

SEARCH_METRICS = {
    "classification": "accuracy",
    "regression": "R2",
    "survival": "concordance index",
}
LOSSES = {
    "classification": "log_loss",
    "regression": "squared_error",
    "survival": "cox",
}
NOTHING_SELECTED = (
    "no feature was selected: none helps to predict the target by more than the error "
    "of its score; try --keep-gain 1, a larger --eta, or another --method"
)


def make_search(run):
    """Return the search for the radius: a grid search, or a pipeline with a search.

    A grid search has the folds of the run; searches in a pipeline make the same ones.
    """
    problem = run.problem
    task, options = problem.task, problem.options
    given = None if options.eta is None else [options.eta]
    selector = {"loss": LOSSES[task], **problem.structure}
    weighted = {"class_weight": options.class_weight} if problem.classifies else {}
    first = first_steps(problem)
    # Searches that know the scores of the folds without a grid.
    search = {"scoring": options.scoring, "random_state": options.seed}
    if problem.is_linear:
        search |= selector | weighted | {"n_jobs": options.n_jobs}
        if options.keep_gain is not None:
            search["keep_gain"] = options.keep_gain
        # Of few rows, the selector repeats its own folds.
        search["cv"] = None if options.cv == N_FOLDS else options.cv
        n_etas = N_ETAS_OF_BLOCKS if problem.in_blocks else N_ETAS
        selector = ProjectionFeatureSelectorCV(given or n_etas, **search)
        return Pipeline([*first, ("select", selector), *last_steps(problem)])
    search |= {"cv": options.cv, "selection_rule": rule_of(problem)}
    if problem.classifies:
        search |= weighted | problem.structure
        autoencoder = SparseSupervisedAutoencoderCV(etas=given, **search)
        return Pipeline([*first, ("select", autoencoder)])
    else:
        autoencoder = SparseSupervisedAutoencoderRegressor(
            random_state=options.seed,
            loss="cox" if task == "survival" else "squared_error",
            **problem.structure,
        )
        steps = [("select", autoencoder)]
        etas = given or REGRESSOR_ETAS
    scorer = options.scoring or SEARCH_METRICS[task].lower()
    return GridSearchCV(
        Pipeline([*first, *steps]),
        {"select__eta": np.asarray(etas).tolist()},
        scoring={
            "score": score_concordance if task == "survival" else scorer,
            "n_features": count_features,
        },
        refit=partial(
            choose_radius,
            folds=range(len(run.splits)),
            rule=rule_of(problem),
            n_samples=len(run.y),
        ),
        cv=run.splits,
        n_jobs=options.n_jobs,
        error_score="raise",
    )


def rule_of(problem):
    """Return the name of the rule by which the radius of a network is chosen."""
    if problem.options.keep_gain == ONE_STANDARD_ERROR:
        return ONE_STANDARD_ERROR
    counts_features = problem.classifies or problem.task == "survival"
    return (
        "parsimonious" if counts_features and not problem.options.keep_gain else "best"
    )


def first_steps(problem):
    if problem.in_blocks:
        return []
    with_mean = problem.prepare is not None or not sparse.issparse(problem.X)
    scale = ("scale", StandardScaler(with_mean=with_mean))
    if problem.prepare is None:
        return [scale]
    return [("prepare", clone(problem.prepare)), scale]


def last_steps(problem):
    """Return the steps of pipelines after the selection, `problem.machine`."""
    scale = [("scale", StandardScaler(with_mean=False))] if problem.in_blocks else []
    model = linear_model(problem)
    if problem.method == "auto":
        parts = [("linear", model), ("network", dense_network(problem))]
        model = VotingRegressor(parts)
        if problem.classifies:
            model = VotingClassifier(parts, voting="soft")
    return [*scale, ("predict", model)]


def linear_model(problem):
    if problem.task == "survival":
        return CoxRidge()
    if problem.classifies:
        class_weight = problem.options.class_weight
        return LogisticRegression(class_weight=class_weight, max_iter=1000)
    return RidgeCV(RIDGE_PENALTIES)


def dense_network(problem):
    """Return an autoencoder that keeps all the features that it gets."""
    parameters = {"eta": np.inf, "random_state": problem.options.seed}
    if not problem.classifies:
        return SparseSupervisedAutoencoderRegressor(**parameters)
    class_weight = problem.options.class_weight
    return SparseSupervisedAutoencoder(class_weight=class_weight, **parameters)


def count_features(model, X, y):
    return np.count_nonzero(model["select"].get_support())


def choose_radius(results, *, folds, rule, n_samples):
    """Return the row of a search's results that the scores in some folds choose."""
    radii = radii_of(results)
    scores = np.array([results[f"split{i}_test_score"] for i in folds])
    return choose_row(
        radii,
        scores,
        rule,
        n_features=counts_of(results)[np.newaxis],
        n_samples=n_samples,
        paths=np.zeros(len(radii), dtype=int),
    )


def radii_of(results):
    return np.asarray(results[f"param_{name_of_radius(results)}"], dtype=float)


def fit_search(search, run, show_progress):
    """Fit and return the search; it is an error if no feature is selected."""
    is_grid = isinstance(search, GridSearchCV)
    if show_progress:
        # A grid search counts its fits; in a pipeline it is a step that counts.
        bar = CompactProgressBar(
            description="Selection of features",
            max_propagation_depth=0 if is_grid else 1,
        )
        search.set_callbacks(bar)
    # The folds of a grid search are made already.
    has_groups = not is_grid and run.groups is not None
    with selecting(quiet=True):
        search.fit(run.X, run.y, **{"select__groups": run.groups} if has_groups else {})
    search.set_callbacks()  # they are not saved with the model
    model = model_of(search)
    if not model["select"].get_support().any():
        raise CommandError(NOTHING_SELECTED)
    return search


@contextlib.contextmanager
def selecting(*, quiet=False):
    """Say in a fit that nothing is selected, and not that a model has not converged.

    That does not matter for the largest radii, and of the model that is kept there is a
    warning of its own. If `quiet`, warnings of selectors that nothing is selected are
    left out.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # Progress is that of the selection.
        warnings.filterwarnings("ignore", "The estimator .* does not support callbacks")
        if quiet:
            warnings.filterwarnings("ignore", "No features? (is|was|were) selected")
        try:
            yield
        except ValueError as error:
            # Of what comes after a selector that keeps nothing.
            if "0 feature(s)" not in str(error):
                raise
            raise CommandError(NOTHING_SELECTED) from error


def model_of(search):
    """Return the pipeline that came out of a search."""
    return search.best_estimator_ if isinstance(search, GridSearchCV) else search


def searcher(search):
    """Return what has the results: the grid search, or the step of a pipeline."""
    return search if isinstance(search, GridSearchCV) else search["select"]


def fit_folds(search, run):
    """Fit a model to the training part of each fold, its radius chosen by that alone.

    A radius that the fold's own rows have helped to choose would flatter its score. The
    linear selector searches anew, with the other folds; a network takes their scores. A
    model is None where no feature is selected.
    """
    results, problem = searcher(search).cv_results_, run.problem
    template, calls = one_radius(search), []
    for i, (train, _) in enumerate(run.splits):
        X, y, groups = run.part(train)
        fold, given = clone(template), {}
        if not problem.is_linear:
            row = choose_radius(
                results,
                folds=[other for other in range(len(run.splits)) if other != i],
                rule=rule_of(problem),
                n_samples=len(run.y),
            )
            fold.set_params(select__eta=float(radii_of(results)[row]))
        elif len(run.splits) > 2:  # of two folds, there is none to choose by
            fold = clone(search).set_params(select__cv=other_folds(run, i))
            given = {} if groups is None else {"select__groups": groups}
        calls.append(delayed(fit_fold)(fold, X, y, given))
    return Parallel(n_jobs=problem.options.n_jobs)(calls)


def other_folds(run, i):
    """Return the folds but one as splits of the training rows of that one."""
    train = run.splits[i][0]
    places = np.zeros(len(run.y), dtype=np.intp)
    places[train] = np.arange(len(train))
    tests = [test for j, (_, test) in enumerate(run.splits) if j != i]
    return [(places[np.setdiff1d(train, test)], places[test]) for test in tests]


def one_radius(search):
    """Return the unfitted pipeline for the radius that was chosen, without a search."""
    model = clone(model_of(search))
    chosen_by = searcher(search)
    if chosen_by is search:
        return model
    if isinstance(chosen_by, ProjectionFeatureSelectorCV):
        one, others = ProjectionFeatureSelector(), {}
    else:
        # It leaves the order of the rows as it is, and would hold some back.
        one, others = SparseSupervisedAutoencoder(), {"calibrate": False}
    parameters = chosen_by.get_params(deep=False) | {"eta": chosen_by.eta_} | others
    known = one.get_params(deep=False)
    one.set_params(**{name: parameters[name] for name in known if name in parameters})
    return model.set_params(select=one)


def fit_fold(model, X, y, given):
    """Fit a model; None if it selects nothing."""
    try:
        with selecting(quiet=True):
            model.fit(X, y, **given)
    except CommandError:
        return None
    return model if model["select"].get_support().any() else None
