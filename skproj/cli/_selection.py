"""A selection from its rows to its result: search, comparison and verdict."""

import warnings
from dataclasses import asdict, dataclass

import numpy as np
from scipy import sparse
from sklearn.model_selection import GridSearchCV

from skproj import ProjectionFeatureSelector, StabilitySelector
from skproj.blocks import RowBlocks
from skproj.blocks._row_blocks import take_rows
from skproj.cli._baselines import baselines, fit_baseline
from skproj.cli._checkpoints import Checkpoints
from skproj.cli._errors import CommandError
from skproj.cli._evidence import decisions_of
from skproj.cli._features import describe_features
from skproj.cli._models import without_names
from skproj.cli._preparation import describe_categories
from skproj.cli._result import (
    ModelScores,
    Predictions,
    SelectionResult,
)
from skproj.cli._scores import score_predictions
from skproj.cli._search import (
    LOSSES,
    MACHINES,
    SEARCH_METRICS,
    fit_folds,
    fit_search,
    make_search,
    model_of,
    one_radius,
)
from skproj.cli._split import split_rows
from skproj.cli._survival import (
    evaluation_times,
    score_risks,
    survival_probabilities,
)
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
    X : {ndarray, CSR matrix, DataFrame, RowBlocks} of shape (n_rows, n_columns)
    y : ndarray of shape (n_rows,)
    names : list of str
        Names of the columns.
    task : {"classification", "regression", "survival"}
    method : {"autoencoder", "selector"}
    options : argparse.Namespace
        Of ``skproj select``.
    groups : ndarray of int of shape (n_rows,), default=None
        Rows of a group stay on the same side of each split.
    prepare : transformer, default=None
        What makes features of the columns of a DataFrame, within each split.
    structure : dict, default=None
        Parameters of the selectors on the features: `always_keep`, `feature_groups`.
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
    structure: dict | None = None
    preparation: tuple = ()
    warnings: tuple = ()

    @property
    def classifies(self):
        return self.task == "classification"

    @property
    def in_blocks(self):
        return isinstance(self.X, RowBlocks)

    @property
    def method_name(self):
        """What a user calls the method."""
        if self.method == "autoencoder":
            return "sparse supervised autoencoder"
        if self.in_blocks:
            return f"linear selector, {MACHINES[self.task]}"
        return f"linear selector, {'Cox model' if self.task == 'survival' else 'SVM'}"

    def part(self, rows):
        """Return some of the rows."""
        groups = None if self.groups is None else self.groups[rows]
        return take_rows(self.X, rows), self.y[rows], groups


@dataclass(frozen=True)
class Run:
    """A problem whose rows are divided, and the steps of it that are finished.

    Attributes
    ----------
    problem : Problem
    X, y, groups : {ndarray, CSR matrix, DataFrame, RowBlocks}, ndarray, ndarray or None
        The training rows.
    train, test : ndarray of int
        Places of the training rows, and of those that are held out.
    splits : list of tuple of ndarray
        The folds of the training rows.
    checkpoints : Checkpoints
    """

    problem: Problem
    X: object
    y: np.ndarray
    groups: np.ndarray | None
    train: np.ndarray
    test: np.ndarray
    splits: list
    checkpoints: Checkpoints


def select(problem, show_progress=False, checkpoints=None):
    """Search for the radius on the training rows, and measure on the others.

    Parameters
    ----------
    problem : Problem
    show_progress : bool, default=False
        Whether to print a progress bar.
    checkpoints : Checkpoints, default=None
        Where finished steps are kept, and taken from.

    Returns
    -------
    selection : SelectionResult

    Raises
    ------
    CommandError
        If there are too few rows, or if no feature is selected.
    """
    run = divide(problem, checkpoints or Checkpoints())
    run.checkpoints.start()
    run.checkpoints.keep_passes(problem.X)
    search = run.checkpoints.step("search", find_radius, run, show_progress)
    model = model_of(search)
    if problem.prepare is None:
        model[0].feature_names_in_ = np.asarray(problem.names, dtype=object)
    threshold = find_threshold(run, search, model)
    predictor = put_threshold(model, threshold, run.X, run.y)
    predictions = predict(predictor, run)
    verdict, folds = judge(run, search, model, predictions)
    setattr(predictor, VERDICT_ATTRIBUTE, asdict(verdict))
    described = describe_selection(run, search, model, folds)
    comparison = compare(run, model, predictions)
    return SelectionResult(
        **described,
        verdict=verdict,
        model=predictor,
        threshold=threshold,
        predictions=predictions,
        comparison=comparison,
        warnings=[
            *problem.warnings,
            *warnings_on(model["select"], verdict, comparison),
        ],
    )


def divide(problem, checkpoints):
    """Return a `Run`: hold out rows, and make folds of the others."""
    p, options = problem, problem.options
    train, test = split_rows(p.y, p.task, options, p.groups)
    if p.in_blocks:  # which are read from the first row to the last
        train, test = np.sort(train), np.sort(test)
    X, y, groups = p.part(train)
    if p.prepare is None and not p.in_blocks and is_constant(X):
        raise CommandError("every feature has the same value in all rows.")
    splits = make_splits(
        options.cv,
        X,
        y,
        classifier=p.classifies,
        groups=groups,
        random_state=options.seed,
        groups_name="--groups",
    )
    if p.in_blocks:
        splits = [tuple(np.sort(part) for part in fold) for fold in splits]
    return Run(p, X, y, groups, train, test, splits, checkpoints)


def find_radius(run, show_progress):
    """Return the fitted search."""
    p = run.problem
    search = make_search(p, run.X, run.y, run.splits)
    return fit_search(search, run.X, run.y, run.groups, show_progress, run.checkpoints)


def find_threshold(run, search, model):
    """Return the threshold between two classes, or None if none is asked for."""
    options = run.problem.options
    if options.threshold is None:
        return None
    template = one_radius(search, model)
    return run.checkpoints.step(
        "threshold",
        choose_threshold,
        model,
        template,
        run.X,
        run.y,
        run.splits,
        options,
    )


def describe_selection(run, search, model, folds):
    """Return the fields of a `SelectionResult` on the features and the search."""
    p, step = run.problem, model["select"]
    features, names = prepared(p, model, run.X)
    support = step.get_support()
    frequencies, index, interval = run.checkpoints.step(
        "stability", measure_stability, run, step, folds, features
    )
    done = list(p.preparation)
    if p.prepare is not None:
        done += describe_categories(model["prepare"], support)
    scores = step.scores_ if hasattr(step, "scores_") else step.feature_importances_
    scores = np.asarray(scores)
    classes = model.classes_ if p.classifies else None
    chosen_by = search if isinstance(search, GridSearchCV) else step
    cv_score, cv_std, cv_score_name = cv_score_of(p, chosen_by)
    return {
        "task": p.task,
        "search": chosen_by,
        "eta": float(step.eta_),
        "names": names,
        "support": support,
        "scores": scores,
        "frequencies": frequencies,
        "features": describe_features(
            names,
            support,
            scores,
            frequencies,
            features,
            run.y,
            classes,
            substitutes=substitutes_by_place(step) if p.in_blocks else None,
        ),
        "cv_score": cv_score,
        "cv_std": cv_std,
        "cv_score_name": cv_score_name,
        "class_names": [] if classes is None else [str(label) for label in classes],
        "n_train": len(run.train),
        "n_test": len(run.test),
        "stability": index,
        "stability_interval": interval,
        "preparation": done,
    }


def substitutes_by_place(step):
    """Return the substitutes of a selector with the places of the features."""
    place = {name: j for j, name in enumerate(step.feature_names_in_)}
    return {
        place[name]: [(place[other], value) for other, value in others]
        for name, others in step.substitutes_.items()
    }


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


def predict(model, run):
    """Return the predictions of a model for the rows held out, which may be none."""
    problem = run.problem
    X, y, _ = problem.part(run.test)
    if len(y) == 0:
        return Predictions(y, np.empty(0, dtype=y.dtype))
    with without_names():
        predicted = model.predict(X)
        if problem.task == "survival":
            times = evaluation_times(run.y)
            survival = survival_probabilities(model, X, times)
            return Predictions(y, predicted, survival=survival, times=times)
        if not problem.classifies:
            return Predictions(y, predicted)
        decisions = decisions_of(model, X, model.classes_)
    probabilities = decisions if hasattr(model, "predict_proba") else None
    return Predictions(y, predicted, probabilities, decisions)


def judge(run, search, model, predictions):
    """Return the verdict, and the models of the folds if they were needed for it."""
    p = run.problem
    classes = model.classes_ if p.classifies else None
    judge = Judge(p.task, p.options.target, classes)
    if len(run.test):
        decisions = predictions.decisions
        judge.add_held_out(
            predictions.y_predicted if decisions is None else decisions,
            predictions.y_test,
            None if p.groups is None else p.groups[run.test],
        )
    folds = None
    # Where the search knows how often each feature is selected, only in doubt.
    if isinstance(search, GridSearchCV) or not judge.is_certain():
        folds = fit_folds(
            search, model, run.X, run.y, run.splits, p.options, run.checkpoints
        )
        for fold, (_, rows) in zip(folds, run.splits, strict=True):
            shape = len(rows) if classes is None else (len(rows), len(classes))
            decisions = np.zeros(shape)
            if fold is not None:
                decisions = decisions_of(fold, take_rows(run.X, rows), classes)
            groups = None if run.groups is None else run.groups[rows]
            judge.add_fold(decisions, run.y[rows], groups)
    features, names = prepared(p, model, p.X)
    verdict = run.checkpoints.step(
        "verdict",
        judge.verdict,
        features,
        p.y,
        names,
        p.options.seed,
        p.groups,
    )
    return verdict, folds


def measure_stability(run, step, folds, X):
    """Return how often each feature is selected, the stability index and its interval.

    By the folds, or by halves of the rows if that is asked for. All are None if
    nothing is known.
    """
    options, structure = run.problem.options, run.problem.structure or {}
    if options.stability is not None:
        n_kept = len(structure.get("always_keep", ()))
        n_selected = int(step.get_support().sum()) - n_kept
        selector = StabilitySelector(
            ProjectionFeatureSelector(
                n_features_to_select=max(n_selected, 1),
                loss=LOSSES.get(run.problem.task, "cox"),
                **structure,
            ),
            n_pairs=options.stability,
            stratify=run.problem.task != "regression",
            n_jobs=options.n_jobs,
            random_state=options.seed,
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "No feature is selected")
            selector.fit(X, run.y, groups=run.groups)
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


def compare(run, model, predictions):
    """Return the scores of the selection and of the models to compare with."""
    if len(run.test) == 0:
        return []
    p = run.problem
    classes = model.classes_ if p.classifies else None
    support = model["select"].get_support()
    rows = [(p.method_name, int(support.sum()), predictions)]
    for name, n_features, baseline in baselines(p, support, run.X):
        told = run.checkpoints.step(name, predict_baseline, run, baseline)
        rows.append((name, n_features, told))
    models = []
    for name, n_features, told in rows:
        if p.task == "survival":
            scores = score_risks(run.y, told)
        else:
            scores = score_predictions(told, classes)
        models.append(ModelScores(name, n_features, scores))
    return models


def predict_baseline(run, baseline):
    """Return the predictions of a model to compare with, which is fitted first."""
    p = run.problem
    fitted = fit_baseline(baseline, run.X, run.y, run.splits, p.options)
    return predict(fitted, run)


def cv_score_of(problem, chosen_by):
    """Return mean and spread of the chosen radius' score over the folds, and its name.

    A loss is positive.
    """
    results, row = chosen_by.cv_results_, chosen_by.best_index_
    score = float(results["mean_test_score"][row])
    std = float(results["std_test_score"][row])
    if problem.options.scoring is not None:
        return score, std, problem.options.scoring
    if isinstance(chosen_by, GridSearchCV) or not problem.classifies:
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
