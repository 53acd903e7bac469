"""The classifiers that ``estimators.py`` and ``real_tables.py`` compare, by name.

Each line of `METHODS` has a function ``make(seed, groups=None)`` that returns an
unfitted estimator. The features have zero mean and unit variance. A method makes its
choices (radius, penalty, number of features) inside `fit`, from the training data,
whose splits keep the samples of a group together. To add a method, write such a
function and a line in `METHODS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from _inner_folds import inner_folds
from linear_peers import (
    ElasticNetPath,
    RidgeLogistic,
    ShrinkageLDA,
    ShrunkenCentroids,
)
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC

from skproj.feature_selection import (
    ProjectionFeatureSelector,
    ProjectionFeatureSelectorCV,
)
from skproj.nn import (
    SparseSupervisedAutoencoder,
    SparseSupervisedAutoencoderCV,
    SparsificationSchedule,
)

SIZES = (5, 10, 20, 30, 50, 70, 100, 150, 250)  # numbers of features to choose from
PENALTIES = 0.02 * 2.0 ** np.arange(8)  # C of the l1-penalised regression


def sparse_logistic(seed, C=1.0):
    """Logistic regression with an l1 penalty, one class against the rest.

    liblinear takes a tenth of the time of the solver for all classes at once.
    """
    one_class = LogisticRegression(
        l1_ratio=1.0,
        solver="liblinear",
        C=C,
        tol=1e-3,
        max_iter=200,
        random_state=seed,
    )
    return OneVsRestClassifier(one_class)


def nonzero_features(model):
    """Which features a logistic regression uses for any class."""
    return np.any([part.coef_[0] != 0 for part in model.estimators_], axis=0)


# Ways to select. ``select(X, y, seed, settings)`` yields the columns for each setting,
# the sparsest first.


def f_scores(X, y):
    """F statistics of the features; 0 for those that are constant."""
    scores = np.zeros(X.shape[1])
    varying = np.ptp(X, axis=0) > 0
    scores[varying] = f_classif(X[:, varying], y)[0]
    return scores


def largest(scores, sizes):
    """Yield the columns with the largest scores."""
    order = np.argsort(-scores, kind="stable")
    for size in sizes:
        yield order[:size]


def by_f_test(X, y, seed, sizes):
    """Select by the F test of each feature alone."""
    return largest(f_scores(X, y), sizes)


def by_forest(X, y, seed, sizes):
    """Select by the importances of a random forest."""
    forest = RandomForestClassifier(200, random_state=seed).fit(X, y)
    return largest(forest.feature_importances_, sizes)


def by_l1_penalty(X, y, seed, penalties):
    """Select what a logistic regression with an l1 penalty uses."""
    for C in penalties:
        yield np.flatnonzero(nonzero_features(sparse_logistic(seed, C).fit(X, y)))


def by_ball(X, y, seed, sizes):
    """Select what a linear model in a ball of skproj uses."""
    for size in sizes:
        size = min(size, X.shape[1])
        selector = ProjectionFeatureSelector(n_features_to_select=size).fit(X, y)
        yield selector.get_support(indices=True)


class SelectThenClassify(ClassifierMixin, BaseEstimator):
    """Features by `select`, then a classifier; both chosen by inner cross-validation.

    It does what a grid search over a pipeline does, but selects once for all of the
    classifiers, and ranks once for all of the sizes.
    """

    def __init__(self, select, settings, classifiers, seed, groups=None):
        self.select = select
        self.settings = settings
        self.classifiers = classifiers
        self.seed = seed
        self.groups = groups

    def fit(self, X, y):
        """Choose, then fit the choice to all samples."""
        scores = np.zeros((len(self.settings), len(self.classifiers)))
        for train, test in inner_folds(self.seed, self.groups).split(X, y):
            choices = self.select(X[train], y[train], self.seed, self.settings)
            for row, columns in zip(scores, choices, strict=True):
                if not len(columns):
                    continue
                for j, classifier in enumerate(self.classifiers):
                    model = clone(classifier).fit(X[np.ix_(train, columns)], y[train])
                    row[j] += model.score(X[np.ix_(test, columns)], y[test])
        i, j = np.unravel_index(scores.argmax(), scores.shape)  # sparsest of the best
        (self.columns_,) = self.select(X, y, self.seed, self.settings[i : i + 1])
        self.model_ = clone(self.classifiers[j]).fit(X[:, self.columns_], y)
        self.classes_ = self.model_.classes_
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X):
        """Predict the classes."""
        return self.model_.predict(X[:, self.columns_])

    def predict_proba(self, X):
        """Probabilities of the classes, if the classifier has them."""
        return self.model_.predict_proba(X[:, self.columns_])

    def get_support(self):
        """Return which features were selected."""
        support = np.zeros(self.n_features_in_, dtype=bool)
        support[self.columns_] = True
        return support


def hold_back(X, y, seed, groups):
    """Split off a fifth of the samples to choose by."""
    return next(inner_folds(seed, groups, n_splits=5).split(X, y))


class LassoNetPath(ClassifierMixin, BaseEstimator):
    """LassoNet from dense to sparse, stopped where a held-back fifth says.

    The first penalty is given, because to estimate it takes longer than the path, and
    the steps are longer than the default ones.
    """

    def __init__(self, seed, groups=None):
        self.seed = seed
        self.groups = groups

    def fit(self, X, y):
        """Walk the path and keep the sparsest of the best networks."""
        from lassonet import LassoNetClassifier

        self.classes_, codes = np.unique(y, return_inverse=True)
        train, held = hold_back(X, codes, self.seed, self.groups)
        X, X_held, codes, codes_held = X[train], X[held], codes[train], codes[held]
        best_score = -1.0

        def keep_best(network, path):
            nonlocal best_score
            score = network.score(X_held, codes_held)
            if score >= best_score and path[-1].selected.any():
                best_score = score
                self.selected_ = path[-1].selected.numpy().copy()
                self.state_ = network.model.cpu_state_dict()

        self.network_ = LassoNetClassifier(
            lambda_start=5.0,
            path_multiplier=1.1,
            device="cpu",
            verbose=0,
            random_state=self.seed,
            torch_seed=self.seed,
        )
        self.network_.path(X, codes, X_val=X_held, y_val=codes_held, callback=keep_best)
        self.network_.load(self.state_)
        return self

    def predict(self, X):
        """Predict the classes."""
        return self.classes_[self.network_.predict(X)]

    def predict_proba(self, X):
        """Probabilities of the classes."""
        return self.network_.predict_proba(X)

    def get_support(self):
        """Return which features the network uses."""
        return self.selected_


class PublishedRecipe(ClassifierMixin, BaseEstimator):
    """Reimplementation of the recipe of Barlaud et al. for a supervised autoencoder.

    As published: Adam for 30 epochs with batches of 4 and steps of 5e-4, the bi-level
    projection of the first layer, then 30 epochs from the same initial weights with
    the mask; the cross-entropy plus 5e-5 times the Huber loss of the reconstruction,
    summed over the features.

    Not as published: the authors can project the second layer of the encoder too,
    and here only the first one is. They try radii by hand and keep the epoch that is
    best on the test data; here the radius is chosen with a held-back fifth of the
    training data, then all of these are fitted, and the last epoch is kept. The mask
    is of whole features.
    """

    ETAS = (0.5, 1.0, 2.0, 5.0)
    WEIGHT_PER_FEATURE = 5e-5

    def __init__(self, seed, groups=None):
        self.seed = seed
        self.groups = groups

    def fit(self, X, y):
        """Choose the radius, the smallest of the best, and fit all samples."""
        X = np.asarray(X, dtype=np.float32)
        train, held = hold_back(X, y, self.seed, self.groups)
        scores = [
            self._network(eta, X).fit(X[train], y[train]).score(X[held], y[held])
            for eta in self.ETAS
        ]
        self.network_ = self._network(self.ETAS[np.argmax(scores)], X).fit(X, y)
        self.classes_ = self.network_.classes_
        return self

    def _network(self, eta, X):
        return SparseSupervisedAutoencoder(
            eta=eta,
            projection="bilevel_l1inf",
            schedule=SparsificationSchedule(
                "double",
                rewind=True,
                batch_size=4,
                learning_rate_init=5e-4,
                input_noise=0.0,
                # Ours is a mean over the features.
                reconstruction_weight=self.WEIGHT_PER_FEATURE * X.shape[1],
            ),
            max_epochs=30,
            random_state=self.seed,
            device="cpu",
        )

    def predict(self, X):
        """Predict the classes."""
        return self.network_.predict(np.asarray(X, dtype=np.float32))

    def predict_proba(self, X):
        """Probabilities of the classes."""
        return self.network_.predict_proba(np.asarray(X, dtype=np.float32))

    def get_support(self):
        """Return which features the network uses."""
        return self.network_.get_support()


def in_float32(estimator):
    """Let an estimator see float32, in which networks are trained."""
    return make_pipeline(FunctionTransformer(np.float32), estimator)


def rbf_svcs():
    """Classifiers behind a selection."""
    return [SVC(C=C) for C in (1.0, 10.0)]


def l1_logistic(seed, groups=None):
    """Logistic regression with an l1 penalty."""
    return GridSearchCV(
        sparse_logistic(seed),
        {"estimator__C": PENALTIES},
        cv=inner_folds(seed, groups),
    )


def l1_svc(seed, groups=None):
    """Selection by the l1 penalty, then an RBF SVC."""
    return SelectThenClassify(by_l1_penalty, PENALTIES, rbf_svcs(), seed, groups)


def f_test_svc(seed, groups=None):
    """Selection by the F test, then an RBF SVC."""
    return SelectThenClassify(by_f_test, SIZES, rbf_svcs(), seed, groups)


def forest_logistic(seed, groups=None):
    """Selection by a random forest, then logistic regression."""
    linear = [LogisticRegression(C=C, max_iter=1000) for C in (0.1, 1.0)]
    return SelectThenClassify(by_forest, SIZES, linear, seed, groups)


def elastic_net(seed, groups=None):
    """Logistic regression with an elastic net penalty."""
    return ElasticNetPath(seed, groups, l1_ratios=(1.0, 0.5, 0.2))


def lasso(seed, groups=None):
    """Logistic regression with an l1 penalty, chosen by the log loss."""
    return ElasticNetPath(seed, groups, l1_ratios=(1.0,))


def mlp(seed, groups=None):
    """Train a plain network on all features."""
    return MLPClassifier(random_state=seed)


def autoencoder(seed, groups=None):
    """Autoencoder of skproj that chooses its radius, with its default arguments."""
    folds = None if groups is None else inner_folds(seed, groups, n_splits=5)
    return in_float32(
        SparseSupervisedAutoencoderCV(cv=folds, random_state=seed, device="cpu")
    )


def ball_svc(seed, groups=None):
    """Linear model of skproj in a ball, then an RBF SVC."""
    return SelectThenClassify(by_ball, SIZES, rbf_svcs(), seed, groups)


def ball_logistic(seed, groups=None):
    """Selection by skproj with its default arguments, then logistic regression."""
    folds = inner_folds(seed, groups, n_splits=5)
    return make_pipeline(
        ProjectionFeatureSelectorCV(cv=folds), RidgeLogistic(seed, groups)
    )


@dataclass(frozen=True)
class Method:
    """A classifier: its function, and the package that it needs, if any."""

    title: str
    make: Callable
    requires: str | None = None

    def is_available(self):
        """Whether the package is installed."""
        return self.requires is None or find_spec(self.requires) is not None


METHODS = {
    "l1": Method("L1 logistic regression", l1_logistic),
    "l1-svc": Method("L1 selection + SVC", l1_svc),
    "f-svc": Method("F test + SVC", f_test_svc),
    "forest": Method("random forest + logistic regression", forest_logistic),
    "elastic-net": Method("elastic net", elastic_net, requires="skglm"),
    "lasso": Method("lasso", lasso, requires="skglm"),
    "ridge": Method("ridge on all features", RidgeLogistic),
    "lda": Method("LDA with shrinkage on all features", ShrinkageLDA),
    "centroids": Method("nearest shrunken centroids", ShrunkenCentroids),
    "mlp": Method("MLP on all features", mlp),
    "lassonet": Method("LassoNet", LassoNetPath, requires="lassonet"),
    "paper": Method(
        "reimplementation of the recipe of Barlaud et al.", PublishedRecipe
    ),
    "autoencoder": Method("SparseSupervisedAutoencoderCV", autoencoder),
    "ball-svc": Method("ProjectionFeatureSelector + SVC", ball_svc),
    "ball-logistic": Method("ProjectionFeatureSelectorCV + ridge", ball_logistic),
}


def available(names):
    """Leave out, with a word, methods that need a package that is missing."""
    for name in names:
        if METHODS[name].is_available():
            yield name
        else:
            print(f"{METHODS[name].requires} is not installed and is left out.")


def kept_features(model, n_features):
    """Which features a fitted model uses."""
    if hasattr(model, "best_estimator_"):
        model = model.best_estimator_
    for step in getattr(model, "steps", ()):
        model = step[1]
        if hasattr(model, "get_support"):
            break
    if hasattr(model, "get_support"):
        return model.get_support()
    if hasattr(model, "feature_importances_"):
        return model.feature_importances_ != 0
    if isinstance(model, OneVsRestClassifier):
        return nonzero_features(model)
    return np.ones(n_features, dtype=bool)
