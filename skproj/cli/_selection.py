"""Search for the radius, and comparison with models without selection."""

import contextlib
import math
import warnings
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import SelectKBest, f_classif, f_regression
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    r2_score,
    root_mean_squared_error,
)
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from skproj import (
    ProjectionFeatureSelector,
    SparseSupervisedAutoencoder,
    SparseSupervisedAutoencoderCV,
    SparseSupervisedAutoencoderRegressor,
)
from skproj.callback import CompactProgressBar
from skproj.cli._errors import CommandError
from skproj.feature_selection import eta_path
from skproj.utils._path_search import choose_row

# Each radius is a fit of the whole pipeline in every fold.
N_ETAS = 12
REGRESSOR_ETAS = 2.0 ** np.arange(-3, 7)

# Scores on the rows that are held out; the first is the one in the summary.
METRICS = {
    "classification": {
        "accuracy": accuracy_score,
        "balanced accuracy": balanced_accuracy_score,
    },
    "regression": {"R2": r2_score, "RMSE": root_mean_squared_error},
}


@dataclass
class SelectionResult:
    """A fitted model and its scores.

    Attributes
    ----------
    model : Pipeline
        Fitted to the training rows, with the names of the features.
    search : estimator object
        The search that chose the radius, with `cv_results_` and `best_index_`.
    eta : float
        The radius.
    names : ndarray of str of shape (n_features,)
    support : ndarray of bool of shape (n_features,)
        The features that are selected.
    scores : ndarray of shape (n_features,)
        Importance of each feature, zero if it is not selected.
    cv_score, cv_std : float
        Mean and standard deviation over the folds, of `cv_score_name`.
    cv_score_name : str
    comparison : list of tuple
        Name, number of features and scores by metric of each model, the selection
        first. Empty if no rows are held out.
    remarks : list of str
        Sentences on what a user should know of the result.
    y_test, y_predicted : ndarray of shape (n_test,)
        Of the rows that are held out.
    n_train, n_test : int
    """

    model: Pipeline
    search: object
    eta: float
    names: np.ndarray
    support: np.ndarray
    scores: np.ndarray
    cv_score: float
    cv_std: float
    cv_score_name: str
    comparison: list
    remarks: list
    y_test: np.ndarray
    y_predicted: np.ndarray
    n_train: int
    n_test: int

    @property
    def ranking(self):
        """The features, the most important first."""
        return np.argsort(-self.scores, kind="stable")

    @property
    def n_selected(self):
        return int(np.count_nonzero(self.support))


def select(X, y, names, *, task, method, options, show_progress=False):
    """Search for the radius on the training rows, and measure on the others.

    Parameters
    ----------
    X : {ndarray, CSR matrix} of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,)
    names : list of str
        Names of the features.
    task : {"classification", "regression"}
    method : {"autoencoder", "selector"}
    options : argparse.Namespace
        With `eta`, `rule`, `test_size`, `cv`, `seed` and `n_jobs`.
    show_progress : bool, default=False
        Whether to print progress bars.

    Returns
    -------
    selection : SelectionResult

    Raises
    ------
    CommandError
        If there are too few rows, or if no feature is selected.
    """
    train, test = split_rows(y, task, options)
    X_train, y_train = X[train], y[train]
    if is_constant(X_train):
        raise CommandError("every feature has the same value in all rows.")
    search = make_search(task, method, X_train, y_train, options)
    try:
        model = fit_search(search, X_train, y_train, show_progress)
    except ValueError as error:
        # From what comes after a selector that keeps nothing.
        if "0 feature(s)" not in str(error):
            raise
        raise CommandError(NOTHING_SELECTED) from error
    step = model["select"]
    support = step.get_support()
    if not support.any():
        raise CommandError(NOTHING_SELECTED)

    model[0].feature_names_in_ = np.asarray(names, dtype=object)
    chosen_by = step if hasattr(step, "cv_results_") else search
    results, best = chosen_by.cv_results_, chosen_by.best_index_
    cv_score, cv_score_name = results["mean_test_score"][best], SEARCH_METRICS[task]
    if chosen_by is step:
        cv_score, cv_score_name = -cv_score, "log loss"
    comparison = []
    y_predicted = np.empty(0, dtype=y.dtype)
    if len(test):
        X_test, y_test = X[test], y[test]
        with without_names():
            y_predicted = model.predict(X_test)
        metrics = METRICS[task]
        rows = [(METHOD_NAMES[method], support.sum(), y_predicted)]
        others = baselines(task, method, support.sum(), X_train, options.seed)
        for name, n_features, baseline in others:
            fit_baseline(baseline, X_train, y_train)
            rows.append((name, n_features, baseline.predict(X_test)))
        comparison = [
            (
                name,
                int(n_features),
                {metric: float(f(y_test, y_hat)) for metric, f in metrics.items()},
            )
            for name, n_features, y_hat in rows
        ]
    return SelectionResult(
        model=model,
        search=chosen_by,
        eta=float(step.eta_),
        names=np.asarray(names, dtype=str),
        support=support,
        scores=np.asarray(
            step.scores_ if hasattr(step, "scores_") else step.feature_importances_
        ),
        cv_score=float(cv_score),
        cv_std=float(results["std_test_score"][best]),
        cv_score_name=cv_score_name,
        comparison=comparison,
        remarks=remarks_on(step),
        y_test=y[test],
        y_predicted=y_predicted,
        n_train=len(train),
        n_test=len(test),
    )


METHOD_NAMES = {
    "autoencoder": "sparse supervised autoencoder",
    "selector": "linear selector, SVM",
}
SEARCH_METRICS = {"classification": "accuracy", "regression": "R2"}
NOTHING_SELECTED = (
    "no feature was selected: at this radius none helps to predict the target; try a "
    "larger --eta, --rule best, or the other --method"
)


ALL_FEATURES_KEPT = (
    "No feature could be left out without a worse score; --rule one-standard-error "
    "accepts one that is slightly worse."
)


def remarks_on(step):
    """Return sentences on what a user should know of a fitted selection."""
    remarks = [ALL_FEATURES_KEPT] if step.get_support().all() else []
    if isinstance(step, ProjectionFeatureSelector) and step.n_iter_ >= step.max_iter:
        remarks.append(
            f"The linear selector has not converged in {step.max_iter} iterations: its "
            "scores are approximate. A smaller --eta needs fewer."
        )
    return remarks


def split_rows(y, task, options):
    """Return the rows to train on and those to hold out, in random order."""
    labels = y if task == "classification" else None
    check_numbers(labels, len(y), options)
    rows = np.arange(len(y))
    if options.test_size == 0.0:
        return np.random.RandomState(options.seed).permutation(rows), rows[:0]
    return train_test_split(
        rows,
        test_size=options.test_size,
        stratify=labels,
        random_state=options.seed,
    )


def check_numbers(labels, n_rows, options):
    """Raise an error if there are too few rows for the folds and the test rows."""
    held_out = f", with a share of {options.test_size:g} held out"
    task = f"{options.cv} folds" + (held_out if options.test_size > 0.0 else "")
    advice = "use a smaller --cv or --test-size"
    if labels is None:
        needed = math.ceil(2 * options.cv / (1.0 - options.test_size))
        if n_rows < needed:
            raise CommandError(f"{n_rows} rows are too few for {task}; {advice}")
        return
    classes, counts = np.unique(labels, return_counts=True)
    # A row more, because shares are rounded.
    needed = math.ceil(options.cv / (1.0 - options.test_size)) + 1
    rarest = counts.argmin()
    if counts[rarest] < needed:
        raise CommandError(
            f"class {str(classes[rarest])!r} has {counts[rarest]} rows only, and "
            f"{task}, need {needed} of each class; {advice}, or leave out that class"
        )
    if 0.0 < options.test_size * n_rows < len(classes):
        raise CommandError(
            f"a share of {options.test_size:g} of {n_rows} rows is too small to have "
            f"a row of each of {len(classes)} classes; use a larger --test-size, or 0"
        )


def is_constant(X):
    """Whether no column varies."""
    if sparse.issparse(X):
        return X.min(axis=0).toarray().tolist() == X.max(axis=0).toarray().tolist()
    return bool((X == X[0]).all())


def scaler(X):
    return StandardScaler(with_mean=not sparse.issparse(X))


def make_search(task, method, X, y, options):
    """Return the search for the radius: a grid search, or a pipeline with a search."""
    classifies = task == "classification"
    given = None if options.eta is None else [options.eta]
    if classifies and method == "autoencoder":
        autoencoder = SparseSupervisedAutoencoderCV(
            etas=given,
            cv=options.cv,
            selection_rule="parsimonious" if options.rule == "auto" else options.rule,
            n_jobs=options.n_jobs,
            random_state=options.seed,
        )
        return Pipeline([("scale", scaler(X)), ("select", autoencoder)])
    if method == "autoencoder":
        autoencoder = SparseSupervisedAutoencoderRegressor(random_state=options.seed)
        steps = [("select", autoencoder)]
        etas = given or REGRESSOR_ETAS
    else:
        loss = "log_loss" if classifies else "squared_error"
        steps = [
            ("select", ProjectionFeatureSelector(loss=loss)),
            ("predict", support_vector_machine(task)),
        ]
        etas = given or radii_of_path(X, y, loss)
    return GridSearchCV(
        Pipeline([("scale", scaler(X)), *steps]),
        {"select__eta": np.asarray(etas).tolist()},
        scoring={
            "score": SEARCH_METRICS[task].lower(),
            "n_features": count_features,
        },
        refit=ChooseRadius(
            "best" if options.rule == "auto" else options.rule, options.cv
        ),
        cv=options.cv,
        n_jobs=options.n_jobs,
        error_score="raise",
    )


def radii_of_path(X, y, loss):
    """Return radii from one that keeps a single feature to the largest that matters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return eta_path(X, y, loss=loss, n_etas=N_ETAS).etas


def support_vector_machine(task):
    if task == "classification":
        return SVC()
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

    def __call__(self, results):
        scores = [results[f"split{i}_test_score"] for i in range(self.n_splits)]
        radii = np.asarray(results["param_select__eta"], dtype=float)
        return choose_row(radii, np.array(scores), self.rule)


def fit_search(search, X, y, show_progress):
    """Fit and return the pipeline."""
    is_grid = isinstance(search, GridSearchCV)
    if show_progress:
        # A grid search counts its fits; in a pipeline it is a step that counts.
        bar = CompactProgressBar(
            description="Selection of features",
            max_propagation_depth=0 if is_grid else 1,
        )
        search.set_callbacks(bar)
    with warnings.catch_warnings():
        # Of the largest radii, where the last digits of the weights do not matter; of
        # the model that is kept, there is a remark.
        warnings.simplefilter("ignore", ConvergenceWarning)
        search.fit(X, y)
    search.set_callbacks()  # they are not saved with the model
    return search.best_estimator_ if is_grid else search


def baselines(task, method, n_selected, X, seed):
    """Return names, numbers of features and models to compare with."""
    classifies = task == "classification"
    n_features = X.shape[1]
    machine = ("predict", support_vector_machine(task))
    f_test = SelectKBest(f_classif if classifies else f_regression, k=n_selected)
    models = [
        ("no selection, SVM", n_features, [machine]),
        ("F test, as many, SVM", n_selected, [("select", f_test), machine]),
    ]
    if method == "autoencoder":
        kind = (
            SparseSupervisedAutoencoder
            if classifies
            else SparseSupervisedAutoencoderRegressor
        )
        dense = ("predict", kind(eta=np.inf, random_state=seed))
        models.insert(1, ("no selection, autoencoder", n_features, [dense]))
    if classifies:
        models.append(("most frequent class", 0, [("predict", DummyClassifier())]))
    else:
        models.append(("mean of the target", 0, [("predict", DummyRegressor())]))
    return [
        (name, number, Pipeline([("scale", scaler(X)), *steps]))
        for name, number, steps in models
    ]


def fit_baseline(model, X, y):
    """Fit a model to compare with; the F test warns of constant features."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s)Features .* are constant")
        warnings.filterwarnings("ignore", "invalid value encountered in divide")
        model.fit(X, y)


@contextlib.contextmanager
def without_names():
    """Let models predict from arrays whose columns are in the order of the names."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X does not have valid feature names")
        yield
