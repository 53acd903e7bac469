"""Scores of the models of a path on the samples left out of a fold."""

from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.special import expit, huber, kl_div, log_expit, log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import check_scoring

from skproj.blocks._row_blocks import RowBlocks, take_rows
from skproj.linear_model._block_matrix import BlockMatrix
from skproj.linear_model._eta_path import solve_path
from skproj.linear_model._losses import TIES, make_loss
from skproj.linear_model._targets import has_columns
from skproj.utils._moments import mean_and_deviation, normalized_weights

# Logarithms of rates whose squares are finite.
MAX_LOG_RATE = 300.0


def make_score(scoring, huber_epsilon, loss, classes, y, sample_weight):
    """Return ``score(models, X, y, offset, sample_weight)``, which scores rows.

    The result has a row for each sample and a column for each of the `Models`. For
    survival times it is None, the gain of the partial likelihood in a fold, and for
    other criteria it has one row, the score of the fold.
    """
    if isinstance(scoring, str) and loss in TIES:
        raise ValueError(
            "scoring must be None or a function for survival times, which no scorer of "
            f"scikit-learn takes, got {scoring!r}."
        )
    if scoring is None and (loss in TIES or classes is not None):
        return None if loss in TIES else score_labels
    if scoring is None and loss == "poisson":
        return score_rates
    if scoring in (None, "r2") and classes is None and loss not in TIES:
        weights = normalized_weights(sample_weight, len(y))
        targets = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
        _, deviation = mean_and_deviation(targets, weights)
        deviation = np.where(deviation > 0.0, deviation, 1.0)
        if scoring is None and loss == "huber":
            return partial(score_huber, deviation=deviation, epsilon=huber_epsilon)
        return partial(score_targets, deviation=deviation)
    return partial(score_estimators, scorer=make_scorer(scoring), loss=loss)


def is_of_folds(score):
    """Whether a score of `make_score` is a scorer's, which knows no single samples."""
    return getattr(score, "func", None) is score_estimators


def make_scorer(scoring):
    """Return the scorer of linear models that `scoring` stands for."""
    return check_scoring(LinearRegression(), scoring or "r2")


def score_targets(models, X, y, offset, *, deviation):
    """Score regressions by 1 minus the squared error over the variance of all targets.

    The mean over all samples is the R2 of their predictions together.
    """
    errors = _predict(models, X, offset) / deviation
    errors -= y.reshape(len(y), 1, -1) / deviation
    return 1.0 - np.square(errors).mean(axis=2)


def score_huber(models, X, y, offset, *, deviation, epsilon):
    """Score regressions by minus the Huber loss, in units of the deviation."""
    errors = _predict(models, X, offset) / deviation
    errors -= y.reshape(len(y), 1, -1) / deviation
    return -huber(epsilon, errors).mean(axis=2)


def score_labels(models, X, y, offset):
    """Score classifications by the log probability of the labels.

    Unlike the scorer of scikit-learn, it takes labels that no model has seen: their
    probability is the smallest number above zero. For several labels it is the mean
    over these as well.
    """
    logits, classes = _predict(models, X, offset), models.classes
    if has_columns(y):
        signed = np.where(y[:, np.newaxis] > 0, logits, -logits)
        found = log_expit(signed).mean(axis=2)
    else:
        if logits.shape[2] == 1:
            logits = np.concatenate([np.zeros_like(logits), logits], axis=2)
        places = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
        found = log_softmax(logits, axis=2)[np.arange(len(y)), :, places]
        found[classes[places] != y] = np.log(np.finfo(np.float64).tiny)
    return found


def score_rates(models, X, y, offset):
    """Score rates by minus half the Poisson deviance, also of several targets."""
    rates = _rates(_predict(models, X, offset))
    return -kl_div(y.reshape(len(y), 1, -1), rates).mean(axis=2)


def score_estimators(models, X, y, offset, *, scorer, loss, **params):
    """Score linear models by a scorer of scikit-learn, one after the other.

    Of data in blocks, it sees the features that the models have, and those only.
    """
    coefs = models.dense()
    if isinstance(X, RowBlocks):
        X, coefs = _columns_in_memory(X, models.features), models.coefs
        if X.shape[1] == 0:  # estimators need a feature
            X, coefs = np.zeros((len(y), 1)), np.zeros((len(coefs), 1, coefs.shape[2]))
    scores = []
    for coef, intercept in zip(coefs, models.intercepts, strict=True):
        if offset is not None:  # an intercept for each sample
            intercept = intercept + offset[:, np.newaxis]
        model = _predictor(coef, intercept, models.classes, y, loss)
        scores.append(scorer(model, X, y, **params))
    return np.array([scores])


def _predict(models, X, offset=None):
    """Return the linear predictions, of shape (n_samples, n_models, n_outputs)."""
    n_models, n_kept, n_outputs = models.coefs.shape
    coefs = models.coefs.transpose(1, 0, 2).reshape(n_kept, n_models * n_outputs)
    products = _columns_in_memory(X, models.features) @ coefs
    products = np.asarray(products, dtype=np.float64)
    products = products.reshape(-1, n_models, n_outputs) + models.intercepts
    return products if offset is None else products + offset[:, None, None]


def _rates(logarithms):
    return np.exp(np.clip(logarithms, -MAX_LOG_RATE, MAX_LOG_RATE))


def _columns_in_memory(X, columns):
    """Return columns of an array, a sparse matrix or blocks."""
    if not isinstance(X, RowBlocks):
        return X[:, columns]
    if len(columns) == 0:
        return np.zeros((X.shape[0], 0))
    return BlockMatrix(X)[:, columns]


class PoissonModel(RegressorMixin, BaseEstimator):
    """A linear model of the logarithms of rates, for scorers."""

    def predict(self, X):
        """Return the rates."""
        rates = _rates(X @ self.coef_.T + self.intercept_)
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

    def __call__(self, models, X, y, offset):
        """Return the gain of each model; the loss has the offset."""
        logits = _predict(models, X).transpose(1, 0, 2)
        return np.array([[self.gain(values) for values in logits]])

    def gain(self, logits):
        """Return the gain; the logits have the shape (n_samples, 1)."""
        return self.with_equal_hazards - self._deviance(logits)

    def _deviance(self, logits):
        return sum(
            factor * part.value_and_residuals(logits[rows])[0]
            for rows, part, factor in self.parts
        )


class FoldScores(NamedTuple):
    """Scores of the candidates in a fold, of its samples or of all of it."""

    scores: np.ndarray  # of shape (n_rows, n_candidates)
    rows: np.ndarray | None  # places of the samples; None for the score of the fold
    weights: np.ndarray  # of the samples, or of the fold
    supports: np.ndarray  # masks of the features of each candidate, as bits
    n_unfinished: int

    @property
    def means(self):
        """Score of each candidate in the fold."""
        return np.average(self.scores, axis=0, weights=self.weights)

    def first(self, n):
        """Return those of the first `n` candidates."""
        return self._replace(scores=self.scores[:, :n], supports=self.supports[:n])


def score_fold(make, options, candidates, loss, data, score, fold, score_params):
    """Return the `FoldScores` of the candidates, of which each radius is positive or 0.

    ``make(loss, X, y, rows)`` returns the problem of some samples, whose `solve` has
    the options.

    Without a `score`, which is for survival times only, it is the gain of the partial
    likelihood.
    """
    train, test = fold
    etas, l2_regs = candidates
    X, y, rows = data
    own = {name: values[train] for name, values in rows.items()}
    problem = make(loss, take_rows(X, train), y[train], own)
    offset, params, of_rows = rows.get("offset"), {}, None
    weights = rows.get("sample_weight")
    weights = np.ones(len(test)) if weights is None else weights[test]
    if score is None:
        score = PartialLikelihoodGain(loss, y, fold, **rows)
        weights = weights.sum(keepdims=True)
    else:
        if is_of_folds(score):
            params = {name: value[test] for name, value in score_params.items()}
            weights = np.ones(1)
        else:
            of_rows = test
        X, y = take_rows(X, test), y[test]
        offset = None if offset is None else offset[test]
    scores, supports, n_unfinished = [], [], 0
    for l2_reg in l2_regs:
        ridge = problem.with_l2_reg(l2_reg)
        fits = solve_path(ridge, etas, **options)
        # The columns of a model of blocks are in memory until the next one.
        in_blocks = isinstance(X, RowBlocks)
        for part in ([fit] for fit in fits) if in_blocks else [list(fits)]:
            models = problem.models(part, X.dtype)
            scores.append(score(models, X, y, offset, **params))
            supports.append(np.packbits(models.supports, axis=1))
            n_unfinished += sum(not fit.converged for fit in part)
    scores, supports = np.concatenate(scores, axis=1), np.concatenate(supports)
    return FoldScores(scores, of_rows, weights, supports, n_unfinished)


def pool_scores(results, tests, n_samples, groups=None):
    """Return scores of units, their weights, and how many units each sample is in.

    Units are samples, whose scores in several test parts are averaged, groups of them,
    or folds. The shapes are (n_units, n_candidates) and (n_units,).
    """
    counts = np.zeros(n_samples)
    for test in tests:
        counts[test] += 1.0
    if results[0].rows is None:
        scores = np.concatenate([result.scores for result in results])
        weights = np.concatenate([result.weights for result in results])
        return scores, weights, counts[counts > 0.0].mean()
    totals = np.zeros((n_samples, results[0].scores.shape[1]))
    weights = np.zeros(n_samples)
    for result in results:
        totals[result.rows] += result.scores
        weights[result.rows] = result.weights
    seen = (counts > 0.0) & (weights > 0.0)
    scores, weights = totals[seen] / counts[seen, np.newaxis], weights[seen]
    if groups is not None:
        members, units = np.unique(np.asarray(groups)[seen], return_inverse=True)
        sums = np.zeros((len(members), scores.shape[1]))
        np.add.at(sums, units, scores * weights[:, np.newaxis])
        weights = np.bincount(units, weights)
        scores = sums / weights[:, np.newaxis]
    return scores, weights, 1.0


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
