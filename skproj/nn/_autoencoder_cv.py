"""Choice of the radius by cross-validation along runs from dense to sparse."""

import numbers

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import rankdata
from sklearn.base import clone
from sklearn.metrics import check_scoring, get_scorer_names
from sklearn.model_selection import check_cv
from sklearn.utils import check_array, check_random_state

from skproj.nn._autoencoder import SparseSupervisedAutoencoder, fit_temperature
from skproj.utils._validation import (
    StrOptions,
    _fit_context,
    nothing_half_fitted,
)

SELECTION_RULES = ("best", "one-standard-error")


class SparseSupervisedAutoencoderCV(SparseSupervisedAutoencoder):
    """x"""

    _parameter_constraints: dict = {  # noqa: RUF012
        **SparseSupervisedAutoencoder._parameter_constraints,
        "etas": ["array-like", None],
        "cv": ["cv_object"],
        "scoring": [StrOptions(set(get_scorer_names())), callable, None],
        "selection_rule": [StrOptions(set(SELECTION_RULES))],
        "n_jobs": [numbers.Integral, None],
    }
    for _name in ("eta", "n_features_to_select", "warm_start"):
        _parameter_constraints.pop(_name)

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        *,
        etas=None,
        cv=None,
        scoring=None,
        selection_rule="best",
        n_jobs=None,
        projection="l12",
        activation="silu",
        reconstruction_loss="huber",
        reconstruction_weight=0.0,
        descent="progressive",
        survival_rate=0.7,
        max_epochs=20,
        batch_size=64,
        learning_rate_init=0.002,
        input_noise=1.0,
        weight_decay=0.0,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        class_weight=None,
        calibrate=True,
        device="auto",
        n_threads=1,
        random_state=None,
        verbose=False,
    ):
        super().__init__(
            hidden_layer_sizes,
            projection=projection,
            activation=activation,
            reconstruction_loss=reconstruction_loss,
            reconstruction_weight=reconstruction_weight,
            descent=descent,
            survival_rate=survival_rate,
            max_epochs=max_epochs,
            batch_size=batch_size,
            learning_rate_init=learning_rate_init,
            input_noise=input_noise,
            weight_decay=weight_decay,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            class_weight=class_weight,
            calibrate=calibrate,
            device=device,
            n_threads=n_threads,
            random_state=random_state,
            verbose=verbose,
        )
        self.etas = etas
        self.cv = cv
        self.scoring = scoring
        self.selection_rule = selection_rule
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=True)
    @nothing_half_fitted
    def fit(self, X, y, sample_weight=None):
        """Choose the radius, train the network and select features.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data, float32 or float64, preferably of unit variance. A sparse
            matrix is used in CSR format, and only batches of it become dense.
        y : array-like of shape (n_samples,)
            Class labels; at least two different ones.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples, in training and in the scores. A sample of weight
            zero counts as absent.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data is unsuitable, if there is only one class, or
            if the training diverges (then scale X or lower `learning_rate_init`).

        Warns
        -----
        UserWarning
            If no feature is selected.
        """
        X, y = self._validate_data(X, y)
        etas = self._checked_etas()
        splits = list(check_cv(self.cv, y, classifier=True).split(X, y))
        model = self._single_model()
        scorer = check_scoring(model, scoring=self.scoring)

        context = self._init_callback_context(max_subtasks=1 + len(splits))
        path_context = context.subcontext(task_name="path", max_subtasks=None)
        problem, trainer = model._prepare(X, y, sample_weight, path_context, self)
        arguments = trainer.callback_arguments
        context.call_on_fit_task_begin(**arguments)
        path_context.call_on_fit_task_begin(**arguments)
        states = list(model._walk(problem, trainer, etas))
        path_context.call_on_fit_task_end(**arguments)
        self.etas_ = np.array([state["eta_"] for state in states])

        folds = []
        for result in Parallel(n_jobs=self.n_jobs, return_as="generator")(
            delayed(_score_along_path)(
                clone(model), X, y, sample_weight, split, self.etas_, scorer
            )
            for split in splits
        ):
            fold_context = context.subcontext(task_name="fold", max_subtasks=0)
            fold_context.call_on_fit_task_begin(**arguments)
            folds.append(result)
            fold_context.call_on_fit_task_end(**arguments)

        scores, counts, latents = zip(*folds, strict=True)
        self.cv_results_ = _summary(self.etas_, np.array(scores), np.array(counts))
        self.n_features_path_ = np.array(
            [state["n_selected_features_"] for state in states]
        )
        self.importances_path_ = np.array(
            [state["feature_importances_"] for state in states]
        )
        self.best_index_ = _best_index(self.cv_results_, self.selection_rule)
        self.best_score_ = self.cv_results_["mean_test_score"][self.best_index_]
        self._set_state(states[self.best_index_])
        if self.calibrate:
            self.temperature_ = self._temperature(latents, splits, y, sample_weight)
        context.call_on_fit_task_end(**arguments)
        self._warn_if_few_are_selected()
        return self

    def _checked_etas(self):
        """Return the radii to try from large to small, or None for those of the run."""
        if self.etas is None:
            if self.descent != "progressive":
                raise ValueError(
                    f"descent={self.descent!r} passes no radii of its own: give etas."
                )
            return None
        etas = check_array(
            self.etas, ensure_2d=False, dtype=np.float64, input_name="etas"
        )
        if etas.ndim != 1 or not np.all(etas > 0.0):
            raise ValueError(f"etas must be positive numbers, got {self.etas!r}.")
        return np.unique(etas)[::-1]

    def _single_model(self):
        """Return the estimator that is fitted along a path."""
        parameters = self.get_params(deep=False)
        for name in ("etas", "cv", "scoring", "selection_rule", "n_jobs"):
            del parameters[name]
        # Folds hold back nothing for a calibration: it takes their predictions.
        parameters["calibrate"] = False
        if not isinstance(self.random_state, numbers.Integral):
            # The folds start from the weights that all the data start from.
            random_state = check_random_state(self.random_state)
            parameters["random_state"] = random_state.randint(2**31 - 1)
        model = SparseSupervisedAutoencoder(**parameters)
        model.n_features_in_ = self.n_features_in_
        return model

    def _temperature(self, latents, splits, y, sample_weight):
        """Fit the temperature to what the folds predicted for their test samples."""
        test = np.concatenate([split[1] for split in splits])
        latents = np.concatenate([latent[self.best_index_] for latent in latents])
        weight = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight)
        labels = np.searchsorted(self.classes_, y[test])
        # A fold that never saw a class says nothing about its samples.
        known = np.isfinite(np.take_along_axis(latents, labels[:, np.newaxis], 1))
        known = known.ravel()
        return fit_temperature(latents[known], labels[known], weight[test][known])


def _score_along_path(model, X, y, sample_weight, split, etas, scorer):
    """Score the fits for all radii on one split.

    Returns
    -------
    scores : list of float of length n_etas
    counts : list of int of length n_etas
        Numbers of selected features.
    latents : list of n_etas ndarray of shape (n_test, n_classes)
        Logits of the test samples; minus infinity for classes that the training
        samples lack.
    """
    train, test = split
    weights = [None, None]
    score_arguments = {}
    if sample_weight is not None:
        sample_weight = np.asarray(sample_weight)
        weights = [sample_weight[train], sample_weight[test]]
        score_arguments["sample_weight"] = weights[1]
    X_train, y_train = model._validate_data(X[train], y[train])
    problem, trainer = model._prepare(
        X_train, y_train, weights[0], model._init_callback_context(max_subtasks=None)
    )
    classes = np.unique(y)
    scores, counts, latents = [], [], []
    for state in model._walk(problem, trainer, etas):
        model._set_state(state)
        scores.append(scorer(model, X[test], y[test], **score_arguments))
        counts.append(model.n_selected_features_)
        latent = np.full((len(test), len(classes)), -np.inf)
        latent[:, np.isin(classes, model.classes_)] = model.transform(X[test])
        latents.append(latent)
    return scores, counts, latents


def _summary(etas, scores, counts):
    """Return the table of the search in the form of `GridSearchCV`.

    Parameters
    ----------
    etas : ndarray of shape (n_etas,)
    scores, counts : ndarray of shape (n_splits, n_etas)
    """
    mean = scores.mean(axis=0)
    return {
        "param_eta": etas,
        "params": [{"eta": float(eta)} for eta in etas],
        **{f"split{i}_test_score": score for i, score in enumerate(scores)},
        "mean_test_score": mean,
        "std_test_score": scores.std(axis=0),
        "rank_test_score": rankdata(-mean, method="min").astype(np.int32),
        "mean_n_features": counts.mean(axis=0),
    }


def _best_index(results, rule):
    """Choose the radius: the best score, or the sparsest model that is as good.

    Of equal scores the smallest radius wins.
    """
    mean, std = results["mean_test_score"], results["std_test_score"]
    best = np.flatnonzero(mean == mean.max())[-1]
    if rule == "one-standard-error":
        n_splits = sum(name.startswith("split") for name in results)
        error = std[best] / np.sqrt(max(n_splits - 1, 1))
        best = np.flatnonzero(mean >= mean[best] - error)[-1]
    return best
