"""Scores of the models of a path on the samples left out of a fold."""

from functools import partial

import numpy as np
from scipy.special import expit, kl_div, log_expit, log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import check_scoring, r2_score

from skproj.blocks._row_blocks import RowBlocks, take_rows
from skproj.linear_model._block_matrix import BlockMatrix
from skproj.linear_model._eta_path import solve_path
from skproj.linear_model._losses import make_loss
from skproj.linear_model._targets import has_columns
from skproj.utils._moments import mean_and_deviation, normalized_weights

# Logarithms of rates whose squares are finite.
MAX_LOG_RATE = 300.0


def make_scorer(scoring, classes, y=None, sample_weight=None, tests=(), loss=None):
    """Return ``scorer(estimator, X, y, **params)``.

    The `tests` are the rows of the test parts. If the R2 of one of them is not defined,
    because all targets are equal, errors are compared with the variance of all of `y`.
    """
    if scoring is None and loss == "poisson":
        scoring = minus_half_deviance
    elif scoring is None:
        scoring = "r2" if classes is None else minus_log_loss
    if scoring == "r2" and classes is None and tests:
        weights = normalized_weights(sample_weight, len(y))
        targets = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
        _, deviation = mean_and_deviation(targets, weights)
        seen = (targets[rows][weights[rows] > 0.0] for rows in tests)
        pooled = any(np.any(np.ptp(part, axis=0) == 0.0) for part in seen)
        deviation = np.where(deviation > 0.0, deviation, 1.0)
        scoring = partial(score_r2, deviation=deviation, pooled=pooled)
    return check_scoring(LinearRegression(), scoring)


def score_r2(model, X, y, sample_weight=None, *, deviation, pooled):
    """Score a regression by R2, in units in which squares are normal numbers.

    If `pooled`, errors are compared with the variance of all targets: the mean over
    parts of one size is the R2 of all their predictions together.
    """
    y, found = (v.reshape(len(v), -1) / deviation for v in (y, model.predict(X)))
    if not pooled:
        return r2_score(y, found, sample_weight=sample_weight)
    errors = np.square(y - found).mean(axis=1)
    return 1.0 - float(np.average(errors, weights=sample_weight))


def minus_log_loss(classifier, X, y, sample_weight=None):
    """Score a linear classifier by the mean log probability of the labels.

    Unlike the scorer of scikit-learn, it takes labels that the classifier has not seen:
    their probability is the smallest number above zero. For several labels it is the
    mean over these as well.
    """
    logits = classifier.decision_function(X)
    if isinstance(classifier, MultiLabelModel):
        found = log_expit(np.where(y > 0, logits, -logits)).mean(axis=1)
        return float(np.average(found, weights=sample_weight))
    if logits.ndim == 1:
        logits = np.column_stack([np.zeros_like(logits), logits])
    places = np.searchsorted(classifier.classes_, y)
    places = np.minimum(places, len(classifier.classes_) - 1)
    found = log_softmax(logits, axis=1)[np.arange(len(y)), places]
    known = classifier.classes_[places] == y
    found = np.where(known, found, np.log(np.finfo(np.float64).tiny))
    return float(np.average(found, weights=sample_weight))


def minus_half_deviance(model, X, y, sample_weight=None):
    """Score rates by minus half the mean Poisson deviance, also of several targets."""
    y, rates = (values.reshape(len(y), -1) for values in (y, model.predict(X)))
    deviances = kl_div(y, rates).mean(axis=1)
    return -float(np.average(deviances, weights=sample_weight))


class PoissonModel(RegressorMixin, BaseEstimator):
    """A linear model of the logarithms of rates, for scorers."""

    def predict(self, X):
        """Return the rates."""
        logarithms = X @ self.coef_.T + self.intercept_
        rates = np.exp(np.clip(logarithms, -MAX_LOG_RATE, MAX_LOG_RATE))
        return rates[:, 0] if rates.shape[1] == 1 else rates


class MultiLabelModel(ClassifierMixin, BaseEstimator):
    """A linear classifier of several labels, for scorers."""

    def decision_function(self, X):
        """Return the logits of the labels."""
        return X @ self.coef_.T + self.intercept_

    def predict_proba(self, X):
        """Return the probabilities of the labels."""
        return expit(self.decision_function(X))

    def predict(self, X):
        """Return 0 or 1 for each label."""
        return (self.decision_function(X) > 0.0).astype(int)


class PartialLikelihoodGain:
    """Cross-validated log partial likelihood, compared with equal hazards.

    It is that of the training and test samples together minus that of the training
    samples alone, divided by the weight of the test samples. The events left out are
    thus compared with all the samples at risk, not with the few of the test part.
    """

    def __init__(self, loss, y, fold, sample_weight=None, **of_rows):
        train, test = fold
        if sample_weight is None:
            sample_weight = np.ones(len(y))
        self.parts = []
        for rows, sign in ((np.concatenate([train, test]), 1.0), (train, -1.0)):
            present = rows[sample_weight[rows] > 0.0]
            own = {name: values[present] for name, values in of_rows.items()}
            part = make_loss(loss, y[present], sample_weight[present], **own)
            self.parts.append((present, part, sign / sample_weight[test].sum()))
        self.with_equal_hazards = self._deviance(np.zeros((len(y), 1)))

    def __call__(self, logits):
        """Return the gain; the logits have the shape (n_samples, 1)."""
        return self.with_equal_hazards - self._deviance(logits)

    def _deviance(self, logits):
        return sum(
            factor * part.value_and_residuals(logits[rows])[0]
            for rows, part, factor in self.parts
        )


def score_fold(selector, candidates, loss, data, scorer, fold, score_params):
    """Return the scores and the features of the candidates, and how many failed.

    The masks of the features are packed into bits. Without a scorer, which is for
    survival times only, the score is the gain of the partial likelihood. Of data in
    blocks, a scorer sees the features that the model has, and those only.
    """
    train, test = fold
    etas, l2_regs = candidates
    X, y, rows = data
    own = {name: values[train] for name, values in rows.items()}
    problem = selector._make_problem(loss, take_rows(X, train), y[train], own)
    score_params = {name: value[test] for name, value in score_params.items()}
    if scorer is None:
        gain = PartialLikelihoodGain(loss, y, fold, **rows)
    X_test, y_test = take_rows(X, test), y[test]
    scores, supports, n_unfinished = [], [], 0
    for l2_reg in l2_regs:
        ridge = problem.with_l2_reg(l2_reg)
        for fit in solve_path(ridge, etas, **selector._solver_options()):
            coef, intercept = problem.original_units(fit, X.dtype)
            part, coef = _columns_in_memory(X if scorer is None else X_test, coef)
            if scorer is None:
                scores.append(gain(part @ coef))
            else:
                if "offset" in rows:  # an intercept for each sample
                    intercept = intercept + rows["offset"][test, np.newaxis]
                model = _predictor(coef, intercept, problem.classes, y_test, loss)
                scores.append(scorer(model, part, y_test, **score_params))
            supports.append(np.packbits(problem.support(fit)))
            n_unfinished += not fit.converged
    return scores, np.array(supports), n_unfinished


def _columns_in_memory(X, coef):
    """Return data and coefficients; of blocks, those of the features of the model."""
    if not isinstance(X, RowBlocks):
        return X, coef
    kept = np.flatnonzero(coef.any(axis=1))
    if len(kept) == 0:
        kept = np.zeros(1, dtype=int)  # estimators need a feature
    return BlockMatrix(X)[:, kept], coef[kept]


def _predictor(coef, intercept, classes, y, loss):
    """Return a fitted linear model with these coefficients for targets like `y`."""
    if loss == "poisson":
        model = PoissonModel()
    elif classes is None:
        model = LinearRegression()
        if y.ndim == 1:
            coef, intercept = coef[:, 0], intercept[0]
    else:
        model = MultiLabelModel() if has_columns(y) else LogisticRegression()
        model.classes_ = classes
    model.coef_ = coef.T
    model.intercept_ = intercept
    model.n_features_in_ = len(coef)
    return model
