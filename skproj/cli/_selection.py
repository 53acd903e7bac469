"""A selection from its rows to its result: search, comparison and verdict."""

import warnings
from dataclasses import asdict
from functools import partial

import numpy as np
from sklearn.model_selection import GridSearchCV

from skproj import ProjectionFeatureSelector, StabilitySelector
from skproj.cli._baselines import baselines, fit_baseline
from skproj.cli._checkpoints import Checkpoints
from skproj.cli._evidence import decisions_of
from skproj.cli._features import describe_features
from skproj.cli._models import without_names
from skproj.cli._preparation import describe_categories
from skproj.cli._problem import divide
from skproj.cli._result import ModelScores, Predictions, SelectionResult
from skproj.cli._scores import score_predictions
from skproj.cli._search import (
    LOSSES,
    SEARCH_METRICS,
    fit_folds,
    fit_search,
    make_search,
    model_of,
    one_radius,
    searcher,
)
from skproj.cli._survival import (
    evaluation_times,
    score_risks,
    survival_probabilities,
)
from skproj.cli._threshold import choose_threshold, put_threshold
from skproj.cli._verdict import Judge
from skproj.utils._stability import stability_index
from skproj.utils._summary import READING_ATTRIBUTE, VERDICT_ATTRIBUTE

ALL_FEATURES_KEPT = (
    "No feature could be left out without a worse score; --rule one-standard-error "
    "accepts one that is slightly worse."
)


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
    run.checkpoints.start(problem.X)
    search = run.checkpoints.step("search", find_radius, run, show_progress)
    model = model_of(search)
    if problem.prepare is None:
        model[0].feature_names_in_ = np.asarray(problem.names, dtype=object)
    threshold, step = None, run.checkpoints.step
    if problem.options.threshold is not None:
        template = one_radius(search)
        threshold = step("threshold", choose_threshold, model, template, run)
    predictor = put_threshold(model, threshold, run)
    predictions = predict(predictor, run)
    verdict, folds = judge(run, search, model, predictions)
    setattr(predictor, VERDICT_ATTRIBUTE, asdict(verdict))
    setattr(predictor, READING_ATTRIBUTE, problem.reading)
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


def find_radius(run, show_progress):
    """Return the fitted search."""
    return fit_search(make_search(run), run, show_progress)


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
    chosen_by = searcher(search)
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
            p.classes,
            substitutes=step.substitutes_ if p.in_blocks else None,
        ),
        **cv_score_of(p, chosen_by),
        "class_names": [str(label) for label in p.classes] if p.classifies else [],
        "n_train": len(run.train),
        "stability": index,
        "stability_interval": interval,
        "preparation": done,
    }


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
    told = {}
    with without_names():
        if problem.task == "survival":
            told["times"] = evaluation_times(run.y)
            told["survival"] = survival_probabilities(model, X, told["times"])
        elif problem.classifies:
            told["decisions"] = decisions_of(model, X, problem.classes)
            if hasattr(model, "predict_proba"):
                told["probabilities"] = told["decisions"]
        return Predictions(y, model.predict(X), **told)


def judge(run, search, model, predictions):
    """Return the verdict, and the models of the folds if they were needed for it."""
    p = run.problem
    judge = Judge(p.task, p.options.target, p.classes)
    if len(run.test):
        _, y, groups = p.part(run.test)
        decisions = predictions.decisions if p.classifies else predictions.y_predicted
        judge.add(decisions, y, groups)
    folds = None
    # Where the search knows how often each feature is selected, only in doubt.
    if isinstance(search, GridSearchCV) or not judge.is_certain():
        folds = fit_folds(search, run)
        for fold, (_, rows) in zip(folds, run.splits, strict=True):
            X, y, groups = run.part(rows)
            if fold is not None:
                decisions = decisions_of(fold, X, p.classes)
            else:
                n_rows = len(rows)
                decisions = np.zeros(
                    (n_rows, len(p.classes)) if p.classifies else n_rows
                )
            judge.add(decisions, y, groups, of_fold=True)
    features, names = prepared(p, model, p.X)
    rows = features, p.y, names, p.options.seed, p.groups
    return run.checkpoints.step("verdict", judge.verdict, *rows), folds


def measure_stability(run, step, folds, X):
    """Return how often each feature is selected, the stability index and its interval.

    By the folds, or by halves of the rows if that is asked for. All are None if
    nothing is known.
    """
    options, structure = run.problem.options, run.problem.structure
    if options.stability is not None:
        n_kept = len(structure.get("always_keep", ()))
        n_selected = int(step.get_support().sum()) - n_kept
        selector = StabilitySelector(
            ProjectionFeatureSelector(
                n_features_to_select=max(n_selected, 1),
                loss=LOSSES[run.problem.task],
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
        nothing = np.zeros(X.shape[1], dtype=bool)
        supports = np.array(
            [nothing if f is None else f["select"].get_support() for f in folds]
        )
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
    support = model["select"].get_support()
    rows = [(p.method_name, int(support.sum()), predictions)]
    for name, n_features, baseline in baselines(p, support):
        told = run.checkpoints.step(name, predict_baseline, run, baseline)
        rows.append((name, n_features, told))
    score = partial(score_predictions, classes=p.classes)
    if p.task == "survival":
        score = partial(score_risks, run.y)
    return [
        ModelScores(name, n_features, score(told)) for name, n_features, told in rows
    ]


def predict_baseline(run, baseline):
    """Return the predictions of a model to compare with, which is fitted first."""
    return predict(fit_baseline(baseline, run), run)


def cv_score_of(problem, chosen_by):
    """Return the fields on the score of the chosen radius over the folds.

    A loss is positive.
    """
    results, row = chosen_by.cv_results_, chosen_by.best_index_
    score, name = float(results["mean_test_score"][row]), problem.options.scoring
    if name is None and not isinstance(chosen_by, GridSearchCV):
        if problem.classifies:
            score, name = -score, "log loss"
        elif problem.task == "survival":
            name = "gain of log likelihood"
    return {
        "cv_score": score,
        "cv_std": float(results["std_test_score"][row]),
        "cv_score_name": name or SEARCH_METRICS[problem.task],
    }


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
