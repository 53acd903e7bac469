"""Search for the radius, and models for the folds with the radius of the others."""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import get_scorer_names
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR
from sklearn.utils.parallel import Parallel, delayed

from skproj import (
    ProjectionFeatureSelector,
    ProjectionFeatureSelectorCV,
    SparseSupervisedAutoencoder,
    SparseSupervisedAutoencoderCV,
    SparseSupervisedAutoencoderRegressor,
)
from skproj.blocks import RowBlocks
from skproj.blocks._row_blocks import take_rows
from skproj.callback import CompactProgressBar
from skproj.cli._errors import CommandError
from skproj.cli._survival import score_concordance
from skproj.feature_selection import eta_path
from skproj.linear_model import CoxRidge
from skproj.utils._path_search import choose_row
from skproj.utils._wording import near_matches

# Each radius is a fit of the whole pipeline in every fold.
N_ETAS = 12
REGRESSOR_ETAS = 2.0 ** np.arange(-3, 7)

SEARCH_METRICS = {
    "classification": "accuracy",
    "regression": "R2",
    "survival": "concordance index",
}
# What is fitted to the features that are selected from blocks.
MACHINES = {"classification": "logistic regression", "regression": "ridge regression"}
LOSSES = {"classification": "log_loss", "regression": "squared_error"}
NOTHING_SELECTED = (
    "no feature was selected: at this radius none helps to predict the target; try a "
    "larger --eta, --rule best, or the other --method"
)


def make_search(problem, X, y, splits):
    """Return the search for the radius: a grid search, or a pipeline with a search.

    Parameters
    ----------
    problem : Problem
    X : {ndarray, CSR matrix, DataFrame, RowBlocks} of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,)
    splits : list of tuple of ndarray
        The folds of a grid search; searches in a pipeline make the same ones.

    Returns
    -------
    search : GridSearchCV or Pipeline
    """
    task, method, options = problem.task, problem.method, problem.options
    structure, prepare = problem.structure or {}, problem.prepare
    classifies = task == "classification"
    given = None if options.eta is None else [options.eta]
    if problem.in_blocks:
        return search_in_blocks(task, given, options, structure)
    first = first_steps(X, prepare)
    if classifies and method == "autoencoder":
        autoencoder = SparseSupervisedAutoencoderCV(
            etas=given,
            cv=options.cv,
            scoring=options.scoring,
            selection_rule=rule_of(method, task, options),
            class_weight=options.class_weight,
            n_jobs=options.n_jobs,
            random_state=options.seed,
            **structure,
        )
        return Pipeline([*first, ("select", autoencoder)])
    if method == "autoencoder":
        autoencoder = regression_autoencoder(
            task, random_state=options.seed, **structure
        )
        steps = [("select", autoencoder)]
        etas = given or REGRESSOR_ETAS
    else:
        loss = LOSSES.get(task, "cox")
        more = {"loss": loss, **structure}
        if classifies:
            more["class_weight"] = options.class_weight
        steps = [
            ("select", ProjectionFeatureSelector(**more)),
            ("predict", predictor(task, options.class_weight)),
        ]
        etas = given or radii_of_path(X, y, prepare, **more)
    return GridSearchCV(
        Pipeline([*first, *steps]),
        {"select__eta": np.asarray(etas).tolist()},
        scoring={
            "score": scorer_of(task, options),
            "n_features": count_features,
        },
        refit=ChooseRadius(rule_of(method, task, options), len(splits), len(y)),
        cv=splits,
        n_jobs=options.n_jobs,
        error_score="raise",
    )


def search_in_blocks(task, etas, options, structure):
    """Return the pipeline whose search shares the passes over blocks."""
    selector = ProjectionFeatureSelectorCV(
        N_ETAS if etas is None else etas,
        cv=options.cv,
        scoring=options.scoring,
        selection_rule=rule_of("selector", task, options),
        loss=LOSSES[task],
        class_weight=options.class_weight,
        random_state=options.seed,
        **structure,
    )
    return Pipeline([("select", selector), *last_steps(task, options.class_weight)])


def last_steps(task, class_weight):
    """Return the steps after a selection from blocks, for many rows."""
    scale = ("scale", StandardScaler(with_mean=False))
    if task == "classification":
        model = LogisticRegression(class_weight=class_weight, max_iter=1000)
    else:
        model = Ridge()
    return [scale, ("predict", model)]


def regression_autoencoder(task, **parameters):
    """Return an autoencoder for numbers or survival times."""
    if task == "survival":
        parameters |= {"loss": "cox", "input_noise": 1.0, "final_noise": 0.5}
    return SparseSupervisedAutoencoderRegressor(**parameters)


def scorer_of(task, options):
    """Return what the radius of a grid search is chosen by."""
    if task == "survival":
        return score_concordance
    return options.scoring or SEARCH_METRICS[task].lower()


def rule_of(method, task, options):
    """Return the name of the rule by which the radius is chosen."""
    if options.rule != "auto":
        return options.rule
    both = method == "autoencoder" and task == "classification"
    return "parsimonious" if both or task == "survival" else "best"


def first_steps(X, prepare):
    """Return the steps of all pipelines before the selection; none for blocks."""
    if isinstance(X, RowBlocks):
        return []
    with_mean = prepare is not None or not sparse.issparse(X)
    scale = ("scale", StandardScaler(with_mean=with_mean))
    return [scale] if prepare is None else [("prepare", clone(prepare)), scale]


def radii_of_path(X, y, prepare, **parameters):
    """Return radii from one that keeps a single feature to the largest that matters."""
    if prepare is not None:
        X = clone(prepare).fit_transform(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        path = eta_path(X, y, n_etas=N_ETAS, **parameters)
    return path.etas


def predictor(task, class_weight=None):
    """Return the model that is fitted to selected features."""
    if task == "survival":
        return CoxRidge()
    if task == "classification":
        return SVC(class_weight=class_weight)
    # Its tolerance and penalty are meant for targets of unit variance.
    return TransformedTargetRegressor(SVR(), transformer=StandardScaler())


def count_features(model, X, y):
    """Score a pipeline by the number of features that it selects."""
    return np.count_nonzero(model["select"].get_support())


@dataclass(frozen=True)
class ChooseRadius:
    """Choice of a row of the results of a grid search, for its `refit`."""

    rule: str
    n_splits: int
    n_samples: int

    def __call__(self, results):
        scores = [results[f"split{i}_test_score"] for i in range(self.n_splits)]
        radii = np.asarray(results["param_select__eta"], dtype=float)
        return choose_row(
            radii,
            np.array(scores),
            self.rule,
            n_features=results["mean_test_n_features"][np.newaxis],
            n_samples=self.n_samples,
            paths=np.zeros(len(radii)),
        )


def fit_search(search, X, y, groups, show_progress, checkpoints):
    """Fit and return the search.

    Of a grid search, `checkpoints` keep each fitted selector.

    Raises
    ------
    CommandError
        If no feature is selected.
    """
    is_grid = isinstance(search, GridSearchCV)
    if show_progress:
        # A grid search counts its fits; in a pipeline it is a step that counts.
        bar = CompactProgressBar(
            description="Selection of features",
            max_propagation_depth=0 if is_grid else 1,
        )
        search.set_callbacks(bar)
    # The folds of a grid search are made already.
    params = {} if is_grid or groups is None else {"select__groups": groups}
    if is_grid:
        search.estimator.memory = checkpoints
    try:
        with warnings.catch_warnings():
            # Of the largest radii, where the last digits of the weights do not matter;
            # of the model that is kept, there is a warning of its own.
            warnings.simplefilter("ignore", ConvergenceWarning)
            search.fit(X, y, **params)
    except ValueError as error:
        if not selects_nothing(error):
            raise
        raise CommandError(NOTHING_SELECTED) from error
    search.set_callbacks()  # they are not saved with the model
    model = model_of(search)
    if is_grid:
        search.estimator.memory = model.memory = None
    if not model["select"].get_support().any():
        raise CommandError(NOTHING_SELECTED)
    return search


def model_of(search):
    """Return the pipeline that came out of a search."""
    return search.best_estimator_ if isinstance(search, GridSearchCV) else search


def selects_nothing(error):
    """Whether it is the error of what comes after a selector that keeps nothing."""
    return "0 feature(s)" in str(error)


def check_scorer(name):
    """Raise an error if scikit-learn has no such score; None is the default."""
    known = get_scorer_names()
    if name is not None and name not in known:
        raise CommandError(
            f"--scoring: scikit-learn has no score {name!r}"
            f"{near_matches(name, known) or ', such as balanced_accuracy or r2'}"
        )


def fit_folds(search, model, X, y, splits, options, checkpoints):
    """Fit a model to the training part of each fold, its radius chosen by the others.

    A radius that the fold's own rows have helped to choose would flatter its score.

    Parameters
    ----------
    search : GridSearchCV or Pipeline
        Fitted.
    model : Pipeline
        The pipeline that came out of it.
    X : {ndarray, CSR matrix, DataFrame, RowBlocks} of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,)
    splits : list of tuple of ndarray
    options : argparse.Namespace
    checkpoints : Checkpoints
        Each fold is a step.

    Returns
    -------
    models : list of Pipeline or None
        None where no feature is selected.
    """
    is_grid = isinstance(search, GridSearchCV)
    results = (search if is_grid else search["select"]).cv_results_
    radii = np.asarray(results["param_select__eta" if is_grid else "param_eta"], float)
    scores = np.array([results[f"split{i}_test_score"] for i in range(len(splits))])
    template = one_radius(search, model)
    rule = search.refit.rule if is_grid else search["select"].selection_rule
    counts = results["mean_test_n_features" if is_grid else "mean_n_features"]
    needs = {
        "n_features": counts[np.newaxis],
        "n_samples": len(y),
        "paths": np.zeros(len(radii), dtype=int),
    }
    calls = []
    for i, (train, _) in enumerate(splits):
        others = np.delete(scores, i, axis=0)
        eta = radii[choose_row(radii, others, rule, **needs)]
        fold = clone(template).set_params(select__eta=float(eta))
        rows = take_rows(X, train), y[train]
        calls.append(delayed(checkpoints.step)(f"fold {i + 1}", fit_fold, fold, *rows))
    return Parallel(n_jobs=options.n_jobs)(calls)


def one_radius(search, model):
    """Return the unfitted pipeline for the radius of a model, without a search."""
    if isinstance(search, GridSearchCV):
        return clone(model)
    parameters = search["select"].get_params(deep=False)
    in_blocks = isinstance(search["select"], ProjectionFeatureSelectorCV)
    one = ProjectionFeatureSelector() if in_blocks else SparseSupervisedAutoencoder()
    known = one.get_params(deep=False)
    shared = {name: value for name, value in parameters.items() if name in known}
    shared["eta"] = model["select"].eta_
    if not in_blocks:
        # It leaves the order of the rows as it is, and would hold some back.
        shared["calibrate"] = False
    return clone(model).set_params(select=one.set_params(**shared))


def fit_fold(model, X, y):
    """Fit a model; None if it selects nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "No feature (is|was) selected")
        try:
            model.fit(X, y)
        except ValueError as error:
            if not selects_nothing(error):
                raise
            return None
    return model if model["select"].get_support().any() else None
