"""A selection from its rows to its result: search, comparison and verdict."""

import argparse
from dataclasses import asdict, replace
from functools import partial

import numpy as np
from sklearn.model_selection import GridSearchCV

from skproj import ProjectionFeatureSelectorCV, StabilitySelector
from skproj.cli._baselines import baselines, fit_baseline
from skproj.cli._evidence import decisions_of
from skproj.cli._features import describe_features
from skproj.cli._models import without_names
from skproj.cli._preparation import describe_categories
from skproj.cli._problem import divide
from skproj.cli._result import (
    ModelScores,
    Predictions,
    Repeat,
    SelectionResult,
    rounded,
)
from skproj.cli._scores import score_predictions
from skproj.cli._search import (
    SEARCH_METRICS,
    fit_folds,
    fit_search,
    make_search,
    model_of,
    one_radius,
    searcher,
    selecting,
)
from skproj.cli._survival import evaluation_times, score_risks, survival_probabilities
from skproj.cli._threshold import choose_threshold, put_threshold
from skproj.cli._verdict import Judge
from skproj.persistence._summary import READING_ATTRIBUTE, VERDICT_ATTRIBUTE

# Pairs of halves without --stability: those of the network take as long as its search.
N_PAIRS = {"auto": 10, "autoencoder": 5, "selector": 10}
# Scores of less rows, events, or rows of a class are said to be uncertain.
MIN_HELD_OUT = 10

ALL_FEATURES_KEPT = (
    "No feature could be left out without a worse score; a smaller --keep-gain, such "
    "as 0.8, accepts one that is worse."
)


def select(problem, show_progress=False):
    """Search for the radius on the training rows, and measure on the others.

    It is an error if there are too few rows, or if no feature is selected.
    """
    run = divide(problem)
    search = fit_search(make_search(run), run, show_progress)
    model = model_of(search)
    if problem.prepare is None:
        model[0].feature_names_in_ = np.asarray(problem.names, dtype=object)
    threshold = None
    if problem.options.threshold is not None:
        threshold = choose_threshold(model, one_radius(search), run)
    predictor = put_threshold(model, threshold, run)
    predictions = predict(predictor, run)
    verdict = judge(run, search, model, predictions)
    setattr(predictor, VERDICT_ATTRIBUTE, asdict(verdict))
    setattr(predictor, READING_ATTRIBUTE, problem.reading)
    described, unmeasured = describe_selection(run, search, model)
    comparison = compare(run, model, predictions)
    seed, n_repeats = problem.options.seed, problem.options.repeat or 0
    return SelectionResult(
        **described,
        verdict=verdict,
        model=predictor,
        threshold=threshold,
        predictions=predictions,
        comparison=comparison,
        repeats=[select_again(problem, seed + i) for i in range(1, n_repeats + 1)],
        warnings=[
            *problem.warnings,
            *unmeasured,
            *few_held_out(problem, predictions.y_test),
            *warnings_on(model["select"], verdict, comparison),
        ],
    )


def select_again(problem, seed):
    """Return the selection with another seed, as a `Repeat`, without other models."""
    options = argparse.Namespace(**{**vars(problem.options), "seed": seed})
    problem = replace(problem, options=options)
    run = divide(problem)
    model = model_of(fit_search(make_search(run), run, False))
    selected = names_of(problem, model)[model["select"].get_support()].tolist()
    name, score = None, None
    if len(run.test):
        headline, *_ = scores_of(run)(predict(model, run))
        name, score = headline.name, headline.value
    return Repeat(seed, len(selected), name, score, selected)


def describe_selection(run, search, model):
    """Return fields of a `SelectionResult`, and sentences on those not known."""
    p, step = run.problem, model["select"]
    features, names = prepared(p, model, run.X)
    support = step.get_support()
    measured, unmeasured = measure_stability(run, search, model, features)
    if p.options.fdr is not None:
        discoveries, reason = measure_false_discoveries(run, support, features)
        measured, unmeasured = measured | discoveries, unmeasured + reason
    done = list(p.preparation)
    if p.prepare is not None:
        done += describe_categories(model["prepare"], support)
    scores = step.scores_ if hasattr(step, "scores_") else step.feature_importances_
    scores = np.asarray(scores)
    chosen_by = searcher(search)
    return {
        "task": p.task,
        "target": p.options.target,
        "search": chosen_by,
        "eta": float(step.eta_),
        "names": names,
        "support": support,
        "scores": scores,
        "features": describe_features(
            names,
            support,
            scores,
            measured.get("frequencies"),
            measured.get("q_values"),
            features,
            run.y,
            p.classes,
            substitutes=step.substitutes_ if p.in_blocks else None,
        ),
        **cv_score_of(p, chosen_by),
        "choice": describe_choice(step),
        "class_names": [str(label) for label in p.classes] if p.classifies else [],
        "n_train": len(run.train),
        "preparation": done,
        **measured,
    }, unmeasured


def describe_choice(step):
    keep_gain = getattr(step, "keep_gain", 1.0)
    if not isinstance(keep_gain, float) or keep_gain == 1.0 or len(step.etas_) == 1:
        return None
    support, (low, high) = step.get_support(), step.n_features_range_
    others = f"{low} to {high}" if low < high else f"{low} as well"
    return (
        f"These {np.count_nonzero(support)} of {len(support)} features hold "
        f"{100.0 * keep_gain:g} % of what a linear model can learn here; with other "
        f"rows to score it would be {others}."
    )


def prepared(problem, model, X):
    names = names_of(problem, model)
    return (X if problem.prepare is None else model["prepare"].transform(X)), names


def names_of(problem, model):
    names = problem.names
    if problem.prepare is not None:
        names = model["prepare"].get_feature_names_out()
    return np.asarray(names, dtype=str)


def predict(model, run):
    problem = run.problem
    X, y, _ = problem.part(run.test)
    if len(y) == 0:
        return Predictions(y, np.empty(0, dtype=y.dtype))
    told = {}
    with without_names():
        if problem.task == "survival":
            told["times"] = evaluation_times(run.y, y)
            told["survival"] = survival_probabilities(model, X, told["times"])
        elif problem.classifies:
            told["decisions"] = decisions_of(model, X, problem.classes)
            if hasattr(model, "predict_proba"):
                told["probabilities"] = told["decisions"]
        return Predictions(y, model.predict(X), **told)


def judge(run, search, model, predictions):
    """Return the verdict; in doubt, models of the folds are fitted for it."""
    p = run.problem
    judge = Judge(p.task, p.options.target, p.classes)
    if len(run.test):
        _, y, groups = p.part(run.test)
        decisions = predictions.decisions if p.classifies else predictions.y_predicted
        judge.add(decisions, y, groups)
    if not judge.is_certain():
        folds = fit_folds(search, run)
        for fold, (_, rows) in zip(folds, run.splits, strict=True):
            X, y, groups = run.part(rows)
            shape = (len(rows), len(p.classes)) if p.classifies else len(rows)
            decisions = np.zeros(shape)  # of a model that selects nothing
            if fold is not None:
                decisions = decisions_of(fold, X, p.classes)
            judge.add(decisions, y, groups, of_fold=True)
    features, names = prepared(p, model, p.X)
    return judge.verdict(features, p.y, names, p.options.seed, p.groups)


def measure_stability(run, search, model, X):
    """Return fields of a `SelectionResult`, or a sentence on why they are not known.

    Features are selected from halves as they are by the model, and as many.
    """
    p, support = run.problem, model["select"].get_support()
    n_pairs = p.options.stability or (0 if p.in_blocks else N_PAIRS[p.method])
    if support.all() or n_pairs == 0:
        return {}, []
    n_selected = int(support.sum()) - len(p.structure.get("always_keep", ()))
    one = one_radius(search)["select"]
    one.set_params(eta=type(one)().eta, n_features_to_select=max(n_selected, 1))
    selector = StabilitySelector(one, n_pairs=n_pairs, **options_of_halves(p))
    try:
        with selecting(quiet=True), without_names():
            if not p.in_blocks:
                X = model["scale"].transform(X)
            selector.fit(X, run.y, groups=run.groups)
    except ValueError as error:  # of too few rows or groups of a class
        return {}, [f"How often halves select the features is not known: {error}"]
    return {
        "frequencies": selector.selection_probabilities_,
        "n_halves": 2 * n_pairs,
        "stability": selector.stability_,
        "stability_interval": tuple(selector.stability_interval_.tolist()),
    }, []


def options_of_halves(problem):
    return {
        "stratify": "auto" if problem.task == "survival" else problem.classifies,
        "n_jobs": problem.options.n_jobs,
        "random_state": problem.options.seed,
    }


def measure_false_discoveries(run, support, X):
    """Return fields of a `SelectionResult`, or a sentence on why they are not known."""
    p = run.problem
    selector = StabilitySelector(fdr=p.options.fdr, **options_of_halves(p))
    try:
        with selecting(quiet=True), without_names():
            selector.fit(X, run.y, groups=run.groups)
    except (TypeError, ValueError) as error:  # blocks, sparse, gaps, groups
        return {}, [f"The number of false discoveries is not known: {error}"]
    trusted = selector.get_support()
    return {
        "q_values": np.minimum(selector.q_values_, 1.0),
        "false_discoveries": describe_discoveries(
            p.options.fdr, trusted, support, selector.expected_false_selections_
        ),
    }, []


def describe_discoveries(fdr, trusted, support, n_false):
    n_trusted, n_selected = np.count_nonzero(trusted), np.count_nonzero(support)
    if n_trusted == 0:
        return (
            f"No feature can be trusted at a false discovery rate of {fdr:g}: none "
            "does much better than made-up features without influence."
        )
    return (
        f"Of {n_trusted} features with a q-value of at most {fdr:g}, about "
        f"{rounded(n_false, 1)} are expected to be false. "
        f"{np.count_nonzero(trusted & support)} of the {n_selected} selected features "
        f"are among them; {np.count_nonzero(support & ~trusted)} cannot be trusted "
        "alone."
    )


def compare(run, model, predictions):
    if len(run.test) == 0:
        return []
    p = run.problem
    support = model["select"].get_support()
    rows = [(p.method_name, int(support.sum()), predictions)]
    for name, n_features, baseline in baselines(p, support):
        rows.append((name, n_features, predict(fit_baseline(baseline, run), run)))
    score = scores_of(run)
    return [
        ModelScores(name, n_features, score(told)) for name, n_features, told in rows
    ]


def scores_of(run):
    if run.problem.task == "survival":
        return partial(score_risks, run.y)
    return partial(score_predictions, classes=run.problem.classes)


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


def few_held_out(problem, y):
    counts = {"rows": len(y)}
    if problem.task == "survival":
        counts = {"events": np.count_nonzero(y["event"])}
    elif problem.classifies:
        counts = {f"rows of {str(c)!r}": np.sum(y == c) for c in problem.classes}
    rarest = min(counts, key=counts.get)
    if len(y) == 0 or counts[rarest] >= MIN_HELD_OUT:
        return []
    return [
        f"Only {counts[rarest]} {rarest} were held out: the scores on the rows held "
        "out are uncertain, as their wide intervals say."
    ]


def warnings_on(step, verdict, comparison):
    """Return sentences on what a user should know of a fitted selection."""
    found = []
    if step.get_support().all() and verdict.predicts:
        found.append(ALL_FEATURES_KEPT)
    is_linear = isinstance(step, ProjectionFeatureSelectorCV)
    if is_linear and step.n_iter_ >= step.max_iter:
        found.append(
            f"The linear selector has not converged in {step.max_iter} iterations: its "
            "scores are approximate. A smaller --eta needs fewer."
        )
    headline = comparison[0].scores[0] if comparison else None
    if verdict.predicts and headline and headline.name == "R2" and headline.value <= 0:
        found.append(
            f"The predictions rank the rows, but are no closer to the target than its "
            f"mean is: R2 {rounded(headline.value, 2)}."
        )
    return found
