"""Linear classifiers that choose their penalty, for the benchmarks.

Each takes a seed for its inner folds, and the groups of the samples, which these keep
together. The features have zero mean and unit variance.
"""

import numpy as np
from _inner_folds import inner_folds
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import NearestCentroid

N_SPLITS = 5


class ElasticNetPath(ClassifierMixin, BaseEstimator):
    """Logistic regression with an elastic net penalty, one class against the rest.

    For each ratio of the l1 penalty to all of it, 25 penalties, from the smallest
    without a feature to a fiftieth of it. Ratio and penalty have the least log loss in
    five folds. The solver, a proximal Newton method with working sets, is that of
    skglm. All classes have the same ratio, and the same penalty relative to their
    largest one.
    """

    N_PENALTIES = 25
    SMALLEST = 0.02

    def __init__(self, seed, groups=None, l1_ratios=(1.0, 0.5, 0.2)):
        self.seed = seed
        self.groups = groups
        self.l1_ratios = l1_ratios

    def fit(self, X, y):
        """Choose, then walk the chosen path with all samples."""
        self.classes_, codes = np.unique(y, return_inverse=True)
        labels = np.arange(len(self.classes_))
        # Of two classes, the second against the first.
        targets = (codes[:, None] == labels)[:, 1 if len(labels) == 2 else 0 :]
        largest = np.abs(X.T @ (targets - targets.mean(axis=0))).max(axis=0) / len(X)
        shares = np.geomspace(1.0, self.SMALLEST, self.N_PENALTIES)

        losses = np.zeros((len(self.l1_ratios), len(shares)))
        folds = list(inner_folds(self.seed, self.groups, N_SPLITS).split(X, y))
        for train, test in folds:
            for i, ratio in enumerate(self.l1_ratios):
                path = self._path(X[train], targets[train], ratio, largest, shares)
                for j, (coef, intercept) in enumerate(path):
                    probabilities = self._probabilities(X[test], coef, intercept)
                    losses[i, j] += log_loss(codes[test], probabilities, labels=labels)
        i, j = np.unravel_index(losses.argmin(), losses.shape)
        self.l1_ratio_, self.share_ = self.l1_ratios[i], shares[j]
        path = self._path(X, targets, self.l1_ratio_, largest, shares[: j + 1])
        *_, (self.coef_, self.intercept_) = path
        return self

    def _path(self, X, targets, ratio, largest, shares):
        """Yield coefficients (features, targets) and intercepts for each penalty."""
        from skglm.datafits import Logistic
        from skglm.penalties import L1_plus_L2
        from skglm.solvers import ProxNewton

        X = np.asfortranarray(X)
        signs = np.where(targets.T, 1.0, -1.0)
        solver = ProxNewton(tol=1e-3, fit_intercept=True, warm_start=True)
        weights = np.zeros((len(signs), X.shape[1] + 1))
        # A class that is missing here has next to no probability.
        weights[:, -1] = np.where(targets.any(axis=0), 0.0, -10.0)
        for share in shares:
            for k in np.flatnonzero(targets.any(axis=0)):
                penalty = L1_plus_L2(share * largest[k] / ratio, ratio)
                products = X @ weights[k, :-1] + weights[k, -1]
                weights[k] = solver.solve(
                    X, signs[k], Logistic(), penalty, weights[k].copy(), products
                )[0]
            yield weights[:, :-1].T.copy(), weights[:, -1].copy()

    def _probabilities(self, X, coef, intercept):
        shares = expit(X @ coef + intercept)
        if shares.shape[1] == 1:
            return np.hstack([1.0 - shares, shares])
        shares = np.maximum(shares, np.finfo(float).tiny)
        return shares / shares.sum(axis=1, keepdims=True)

    def predict_proba(self, X):
        """Probabilities of the classes."""
        return self._probabilities(X, self.coef_, self.intercept_)

    def predict(self, X):
        """Predict the classes."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def get_support(self):
        """Return which features any class uses."""
        return self.coef_.any(axis=1)


class RidgeLogistic(ClassifierMixin, BaseEstimator):
    """Multinomial logistic regression with a ridge penalty.

    The penalty has the least log loss in five folds, of 15 from 0.1 to a million. With
    more features than samples, the coordinates in the space of the samples take the
    place of the features, which changes nothing but the time.
    """

    def __init__(self, seed, groups=None):
        self.seed = seed
        self.groups = groups

    def fit(self, X, y):
        """Choose the penalty and fit all samples."""
        self.axes_ = None
        if X.shape[1] > X.shape[0]:
            self.axes_ = np.linalg.svd(X, full_matrices=False)[2].T
        self.model_ = LogisticRegressionCV(
            Cs=np.geomspace(1e-6, 10.0, 15),
            l1_ratios=(0.0,),
            scoring="neg_log_loss",
            cv=inner_folds(self.seed, self.groups, N_SPLITS),
            max_iter=1000,
            use_legacy_attributes=False,
        ).fit(self._coordinates(X), y)
        self.classes_ = self.model_.classes_
        return self

    def _coordinates(self, X):
        return X if self.axes_ is None else X @ self.axes_

    def predict_proba(self, X):
        """Probabilities of the classes."""
        return self.model_.predict_proba(self._coordinates(X))

    def predict(self, X):
        """Predict the classes."""
        return self.model_.predict(self._coordinates(X))


class ShrinkageLDA(ClassifierMixin, BaseEstimator):
    """Linear discriminant analysis with the shrinkage of Ledoit and Wolf.

    It is ``LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")``, without the
    matrix of all pairs of features. There is nothing to choose.
    """

    def __init__(self, seed=None, groups=None):
        self.seed = seed
        self.groups = groups

    def fit(self, X, y):
        """Solve for the coefficients in the space of the samples."""
        self.classes_, codes = np.unique(y, return_inverse=True)
        priors = np.bincount(codes) / len(codes)
        means = np.array([X[codes == k].mean(axis=0) for k in range(len(priors))])
        diagonal, factors = np.zeros(X.shape[1]), []
        for k, prior in enumerate(priors):
            Z = X[codes == k] - means[k]
            scale = Z.std(axis=0)
            scale[scale < 1e-12] = 1.0
            level, shrinkage = ledoit_wolf_of_wide(Z / scale)
            diagonal += prior * shrinkage * level * scale**2
            factors.append(np.sqrt(prior * (1.0 - shrinkage) / len(Z)) * Z)
        # The covariance is diag(diagonal) + F'F: the Woodbury identity.
        F = np.vstack(factors)
        G = F / diagonal
        small = np.eye(len(F)) + G @ F.T
        self.coef_ = means / diagonal - np.linalg.solve(small, G @ means.T).T @ G
        self.intercept_ = np.log(priors) - 0.5 * np.sum(means * self.coef_, axis=1)
        return self

    def predict_proba(self, X):
        """Probabilities of the classes."""
        scores = X @ self.coef_.T + self.intercept_
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return scores / scores.sum(axis=1, keepdims=True)

    def predict(self, X):
        """Predict the classes."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def ledoit_wolf_of_wide(Z):
    """Mean variance and shrinkage of centred data, from products of the samples."""
    n, p = Z.shape
    gram = Z @ Z.T
    level = np.trace(gram) / (n * p)
    squares = np.sum(gram**2) / n**2  # of the entries of the covariance
    spread = (np.sum(np.diag(gram) ** 2) / n - squares) / (n * p)
    distance = squares / p - level**2
    return level, 0.0 if spread == 0 else min(spread, distance) / distance


class ShrunkenCentroids(ClassifierMixin, BaseEstimator):
    """Nearest shrunken centroids, as in the method PAM, with empirical priors.

    The threshold is the largest of those with the best accuracy in five folds, of 30
    from 0 to the one that leaves no feature.
    """

    def __init__(self, seed, groups=None):
        self.seed = seed
        self.groups = groups

    def fit(self, X, y):
        """Choose the threshold and fit all samples."""
        model = NearestCentroid(priors="empirical")
        largest = np.abs(model.fit(X, y).deviations_).max()
        thresholds = np.linspace(largest, 0.0, 30, endpoint=False)
        search = GridSearchCV(
            model,
            {"shrink_threshold": [*thresholds, None]},
            cv=inner_folds(self.seed, self.groups, N_SPLITS),
        )
        self.model_ = search.fit(X, y).best_estimator_
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, X):
        """Probabilities of the classes."""
        return self.model_.predict_proba(X)

    def predict(self, X):
        """Predict the classes."""
        return self.model_.predict(X)

    def get_support(self):
        """Return the features in which the centroids differ."""
        return self.model_.deviations_.any(axis=0)
