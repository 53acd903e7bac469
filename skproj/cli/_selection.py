"""A selection from its rows to its result: search, comparison and verdict."""

import warnings
from dataclasses import asdict, dataclass

import numpy as np
from scipy import sparse
from sklearn.model_selection import GridSearchCV
from sklearn.utils import _safe_indexing

from skproj import ProjectionFeatureSelector, StabilitySelector
from skproj.cli._baselines import baselines, fit_baseline
from skproj.cli._errors import CommandError
from skproj.cli._evidence import decisions_of
from skproj.cli._features import describe_features
from skproj.cli._preparation import describe_categories
from skproj.cli._result import (
    ModelScores,
    Predictions,
    SelectionResult,
)
from skproj.cli._scores import score_predictions
from skproj.cli._search import (
    METHOD_NAMES,
    SEARCH_METRICS,
    fit_folds,
    fit_search,
    make_search,
    one_radius,
)
from skproj.cli._split import split_rows
from skproj.cli._threshold import choose_threshold, put_threshold
from skproj.cli._verdict import Judge
from skproj.utils._splits import make_splits
from skproj.utils._stability import stability_index
from skproj.utils._summary import VERDICT_ATTRIBUTE

ALL_FEATURES_KEPT = (
    "No feature could be left out without a worse score; --rule one-standard-error "
    "accepts one that is slightly worse."
)


@dataclass(frozen=True)
class Problem:
    """Rows to select features of, and how.

    Attributes
    ----------
    X : {ndarray, CSR matrix, DataFrame} of shape (n_rows, n_columns)
    y : ndarray of shape (n_rows,)
    names : list of str
        Names of the columns.
    task : {"classification", "regression"}
    method : {"autoencoder", "selector"}
    options : argparse.Namespace
        Of ``skproj select``.
    groups : ndarray of int of shape (n_rows,), default=None
        Rows of a group stay on the same side of each split.
    prepare : transformer, default=None
        What makes features of the columns of a DataFrame, within each split.
    preparation, warnings : sequence of str
        Sentences on what was done to the columns, and on what is suspect in the data.
    """

    X: object
    y: np.ndarray
    names: list
    task: str
    method: str
    options: object
    groups: np.ndarray | None = None
    prepare: object = None
    preparation: tuple = ()
    warnings: tuple = ()

    @property
    def classifies(self):
        return self.task == "classification"

    def part(self, rows):
        """Return some of the rows."""
        groups = None if self.groups is None else self.groups[rows]
        return _safe_indexing(self.X, rows), self.y[rows], groups


def select(problem, show_progress=False):
    """Search for the radius on the training rows, and measure on the others.

    Parameters
    ----------
    problem : Problem
    show_progress : bool, default=False
        Whether to print a progress bar.

    Returns
    -------
    selection : SelectionResult

    Raises
    ------
    CommandError
        If there are too few rows, or if no feature is selected.
    """
    p, options = problem, problem.options
    train, test = split_rows(p.y, p.task, options, p.groups)
    X_train, y_train, groups_train = p.part(train)
    if p.prepare is None and is_constant(X_train):
        raise CommandError("every feature has the same value in all rows.")
    splits = make_splits(
        options.cv,
        X_train,
        y_train,
        classifier=p.classifies,
        groups=groups_train,
        random_state=options.seed,
        groups_name="--groups",
    )
    search = make_search(p.task, p.method, X_train, y_train, splits, options, p.prepare)
    model = fit_search(search, X_train, y_train, groups_train, show_progress)
    threshold = None
    if options.threshold is not None:
        template = one_radius(search, model)
        threshold = choose_threshold(model, template, X_train, y_train, splits, options)
    predictor = put_threshold(model, threshold, X_train, y_train)
    predictions = predict(predictor, problem, test)
    verdict, folds = judge(problem, search, model, predictions, train, test, splits)

    step = model["select"]
    features, names = prepared(problem, model, X_train)
    frequencies, index, interval = measure_stability(
        problem, step, folds, features, y_train, groups_train
    )
    comparison = compare(problem, model, predictions, train, test, splits)
    if p.prepare is None:
        model[0].feature_names_in_ = names.astype(object)
        predictor = put_threshold(model, threshold, X_train, y_train)  # with names
    setattr(predictor, VERDICT_ATTRIBUTE, asdict(verdict))
    support = step.get_support()
    done = list(p.preparation)
    if p.prepare is not None:
        done += describe_categories(model["prepare"], support)
    scores = step.scores_ if hasattr(step, "scores_") else step.feature_importances_
    scores = np.asarray(scores)
    classes = model.classes_ if p.classifies else None
    chosen_by = search if isinstance(search, GridSearchCV) else step
    cv_score, cv_std, cv_score_name = cv_score_of(problem, chosen_by)
    return SelectionResult(
        verdict=verdict,
        model=predictor,
        task=p.task,
        search=chosen_by,
        eta=float(step.eta_),
        names=names,
        support=support,
        scores=scores,
        frequencies=frequencies,
        features=describe_features(
            names, support, scores, frequencies, features, y_train, classes
        ),
        cv_score=cv_score,
        cv_std=cv_std,
        cv_score_name=cv_score_name,
        comparison=comparison,
        warnings=[*p.warnings, *warnings_on(step, verdict, comparison)],
        predictions=predictions,
        class_names=[] if classes is None else [str(label) for label in classes],
        n_train=len(train),
        n_test=len(test),
        stability=index,
        stability_interval=interval,
        preparation=done,
        threshold=threshold,
    )


def is_constant(X):
    """Whether no column varies."""
    if sparse.issparse(X):
        return X.min(axis=0).toarray().tolist() == X.max(axis=0).toarray().tolist()
    return bool((X == X[0]).all())


def prepared(problem, model, X):
    """Return the features that are made of columns, and their names."""
    if problem.prepare is None:
        return X, np.asarray(problem.names, dtype=str)
    step = model["prepare"]
    return step.transform(X), np.asarray(step.get_feature_names_out(), dtype=str)


def predict(model, problem, rows):
    """Return the predictions of a model for rows that may be none."""
    y = problem.y[rows]
    if len(rows) == 0:
        return Predictions(y, np.empty(0, dtype=y.dtype))
    X, *_ = problem.part(rows)
    if not problem.classifies:
        return Predictions(y, model.predict(X))
    decisions = decisions_of(model, X, model.classes_)
    probabilities = decisions if hasattr(model, "predict_proba") else None
    return Predictions(y, model.predict(X), probabilities, decisions)


def judge(problem, search, model, predictions, train, test, splits):
    """Return the verdict, and the models of the folds if they were needed for it."""
    X, y, groups = problem.part(train)
    classes = model.classes_ if problem.classifies else None
    judge = Judge(problem.task, problem.options.target, classes)
    if len(test):
        decisions = predictions.decisions
        judge.add_held_out(
            predictions.y_predicted if decisions is None else decisions,
            predictions.y_test,
            None if problem.groups is None else problem.groups[test],
        )
    folds = None
    # Where the search knows how often each feature is selected, only in doubt.
    if isinstance(search, GridSearchCV) or not judge.is_certain():
        folds = fit_folds(search, model, X, y, splits, problem.options)
        for fold, (_, rows) in zip(folds, splits, strict=True):
            shape = len(rows) if classes is None else (len(rows), len(classes))
            decisions = np.zeros(shape)
            if fold is not None:
                decisions = decisions_of(fold, _safe_indexing(X, rows), classes)
            judge.add_fold(decisions, y[rows], None if groups is None else groups[rows])
    features, names = prepared(problem, model, problem.X)
    grouped = problem.groups is not None
    seed = problem.options.seed
    return judge.verdict(features, problem.y, names, seed, grouped=grouped), folds


def measure_stability(problem, step, folds, X, y, groups):
    """Return how often each feature is selected, the stability index and its interval.

    By the folds, or by halves of the rows if that is asked for. All are None if
    nothing is known.
    """
    options = problem.options
    if options.stability is not None:
        selector = StabilitySelector(
            ProjectionFeatureSelector(
                n_features_to_select=int(step.get_support().sum()),
                loss="log_loss" if problem.classifies else "squared_error",
            ),
            n_pairs=options.stability,
            stratify=problem.classifies,
            n_jobs=options.n_jobs,
            random_state=options.seed,
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "No feature is selected")
            selector.fit(X, y, groups=groups)
        frequencies = selector.selection_probabilities_
        index, interval = selector.stability_, selector.stability_interval_
    elif hasattr(step, "selection_frequency_"):
        frequencies = step.selection_frequency_
        index, interval = step.stability_, step.stability_interval_
    elif folds is not None:
        supports = np.zeros((len(folds), X.shape[1]), dtype=bool)
        for support, fold in zip(supports, folds, strict=True):
            if fold is not None:
                support[:] = fold["select"].get_support()
        frequencies = supports.mean(axis=0)
        index, interval = stability_index(supports)
    else:
        return None, None, None
    if np.isnan(index):
        return frequencies, None, None
    return frequencies, float(index), tuple(float(limit) for limit in interval)


def compare(problem, model, predictions, train, test, splits):
    """Return the scores of the selection and of the models to compare with."""
    if len(test) == 0:
        return []
    p = problem
    classes = model.classes_ if p.classifies else None
    support = model["select"].get_support()
    X, y, _ = p.part(train)
    others = baselines(p, support, X)
    rows = [(METHOD_NAMES[p.method], int(support.sum()), predictions)]
    for name, n_features, baseline in others:
        fitted = fit_baseline(baseline, X, y, splits, p.options)
        rows.append((name, n_features, predict(fitted, p, test)))
    return [
        ModelScores(
            name,
            n_features,
            score_predictions(
                p.task, told.y_test, told.y_predicted, told.decisions, classes
            ),
        )
        for name, n_features, told in rows
    ]


def cv_score_of(problem, chosen_by):
    """Return mean and spread of the chosen radius' score over the folds, and its name.

    A loss is positive.
    """
    results, row = chosen_by.cv_results_, chosen_by.best_index_
    score = float(results["mean_test_score"][row])
    std = float(results["std_test_score"][row])
    if problem.options.scoring is not None:
        return score, std, problem.options.scoring
    if isinstance(chosen_by, GridSearchCV):
        return score, std, SEARCH_METRICS[problem.task]
    return -score, std, "log loss"


def warnings_on(step, verdict, comparison):
    """Return sentences on what a user should know of a fitted selection."""
    found = []
    if step.get_support().all() and verdict.predicts:
        found.append(ALL_FEATURES_KEPT)
    if isinstance(step, ProjectionFeatureSelector) and step.n_iter_ >= step.max_iter:
        found.append(
            f"The linear selector has not converged in {step.max_iter} iterations: its "
            "scores are approximate. A smaller --eta needs fewer."
        )
    headline = comparison[0].scores[0] if comparison else None
    if verdict.predicts and headline and headline.name == "R2" and headline.value <= 0:
        found.append(
            f"The predictions rank the rows, but are no closer to the target than its "
            f"mean is: R2 {headline.value:.2f}."
        )
    return found
