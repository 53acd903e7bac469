"""Scores of the models of a path on the samples left out of a fold."""

import numpy as np
from scipy.special import log_softmax
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import check_scoring

from skproj.linear_model._eta_path import solve_path


def make_scorer(scoring, classes):
    """Return ``scorer(estimator, X, y, **params)``."""
    if scoring is None:
        scoring = "r2" if classes is None else minus_log_loss
    return check_scoring(LinearRegression(), scoring)


def minus_log_loss(classifier, X, y, sample_weight=None):
    """Score a linear classifier by the mean log probability of the labels.

    Unlike the scorer of scikit-learn, it takes labels that the classifier has not seen:
    their probability is the smallest number above zero.
    """
    logits = classifier.decision_function(X)
    if logits.ndim == 1:
        logits = np.column_stack([np.zeros_like(logits), logits])
    places = np.searchsorted(classifier.classes_, y)
    places = np.minimum(places, len(classifier.classes_) - 1)
    found = log_softmax(logits, axis=1)[np.arange(len(y)), places]
    known = classifier.classes_[places] == y
    found = np.where(known, found, np.log(np.finfo(np.float64).tiny))
    return float(np.average(found, weights=sample_weight))


def score_fold(selector, candidates, loss, data, fold, scorer, score_params):
    """Return the scores and the features of the candidates, and how many failed.

    The masks of the features are packed into bits.
    """
    train, test = fold
    etas, l2_regs = candidates
    X, y, sample_weight = data
    weights = None if sample_weight is None else sample_weight[train]
    problem, classes = selector._make_problem(loss, X[train], y[train], weights)
    score_params = {name: value[test] for name, value in score_params.items()}
    X_test, y_test = X[test], y[test]
    scores, supports, n_unfinished = [], [], 0
    for l2_reg in l2_regs:
        ridge = problem.with_l2_reg(l2_reg)
        for fit in solve_path(ridge, etas, **selector._solver_options()):
            coef, intercept = problem.original_units(fit, X.dtype)
            model = _predictor(coef, intercept, classes, y_test.ndim)
            scores.append(scorer(model, X_test, y_test, **score_params))
            supports.append(np.packbits(problem.support(fit)))
            n_unfinished += not fit.converged
    return scores, np.array(supports), n_unfinished


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
