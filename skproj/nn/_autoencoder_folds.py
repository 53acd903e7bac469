"""Paths from dense to sparse, and their scores on the folds of a cross-validation."""

import functools
from dataclasses import dataclass, field

import numpy as np
from scipy.special import log_softmax
from sklearn.metrics import check_scoring

from skproj.utils._calibration import fit_temperature


@dataclass(frozen=True)
class Fold:
    """Results of the fits for all radii on the test samples of one split.

    Attributes
    ----------
    scores : ndarray of shape (n_candidates,) or None
        None if there is no scorer.
    counts : ndarray of int of shape (n_candidates,)
        Numbers of selected features.
    latents : ndarray of shape (n_candidates, n_known, n_classes)
        Logits of the test samples whose class the training samples have; minus
        infinity for classes that they lack.
    labels : ndarray of int of shape (n_known,)
    weight : ndarray of shape (n_known,)
    """

    scores: np.ndarray | None
    counts: np.ndarray
    latents: np.ndarray
    labels: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class Path:
    """Results of a schedule with all samples, and those of the folds.

    Attributes
    ----------
    input_noise : float
    final_noises : list of float
    states : list of dict
        Fitted attributes of the candidates: for each radius, each of the final noises.
    folds : list of Fold
    """

    input_noise: float
    final_noises: list
    states: list
    folds: list = field(default_factory=list)

    @property
    def etas(self):
        """Radii from dense to sparse, of shape (n_etas,)."""
        return np.array([s["eta_"] for s in self.states[:: len(self.final_noises)]])

    @property
    def parameters(self):
        """The parameters of the candidates, as columns of a table."""
        return {
            "eta": np.repeat(self.etas, len(self.final_noises)),
            "input_noise": np.full(len(self.states), self.input_noise),
            "final_noise": np.tile(self.final_noises, len(self.etas)),
        }

    def stack(self, name):
        """Return an attribute of the folds, of shape (n_splits, n_candidates)."""
        return np.array([vars(fold)[name] for fold in self.folds])

    @functools.cached_property
    def temperatures(self):
        """Fit a temperature for each candidate to the samples of all the folds."""
        labels = np.concatenate([fold.labels for fold in self.folds])
        weight = np.concatenate([fold.weight for fold in self.folds])
        return np.array(
            [
                fit_temperature(np.concatenate(latents), labels, weight)
                for latents in zip(*(fold.latents for fold in self.folds), strict=True)
            ]
        )

    def calibrated_scores(self):
        """Return minus the log loss with these temperatures.

        It has the shape (n_splits, n_candidates).
        """
        temperatures = self.temperatures[:, np.newaxis, np.newaxis]
        return np.array([-log_losses(fold, temperatures) for fold in self.folds])


def as_indices(rows):
    """Return the indices of rows that may be given by a mask."""
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool else rows


def fit_fold(
    model, X, split, *, y, sample_weight, etas, final_noises, classes, scoring
):
    """Train from dense to sparse with the training samples of one split.

    Returns
    -------
    fold : Fold
    """
    train, test = map(as_indices, split)
    weight_train, weight_test = None, np.ones(len(test))
    score_arguments = {}
    if sample_weight is not None:
        weight_train, weight_test = sample_weight[train], sample_weight[test]
        score_arguments["sample_weight"] = weight_test
    scorer = None if scoring is None else check_scoring(model, scoring=scoring)
    X_train, y_train = model._validate_data(X[train], y[train])
    X_test, y_test = X[test], y[test]
    context = model._init_callback_context(max_subtasks=None)
    encoded, trainer = model._prepare(X_train, y_train, weight_train, context)
    trained = np.isin(classes, encoded.attributes["classes_"])
    known = np.isin(y_test, encoded.attributes["classes_"])
    if not np.any(weight_test[known] > 0.0):
        raise ValueError(
            "cv makes a split without any test sample of positive weight whose class "
            "its training samples have."
        )

    scores, counts, latents = [], [], []
    for state in model._train_path(encoded, trainer, etas, final_noises):
        model._set_state(state)
        if scorer is not None:
            scores.append(scorer(model, X_test, y_test, **score_arguments))
        counts.append(model.n_selected_features_)
        latent = np.full((np.count_nonzero(known), len(classes)), -np.inf)
        latent[:, trained] = model.transform(X_test[known])
        latents.append(latent)
    return Fold(
        scores=np.array(scores) if scorer is not None else None,
        counts=np.array(counts),
        latents=np.array(latents),
        labels=np.searchsorted(classes, y_test[known]),
        weight=weight_test[known],
    )


def log_losses(fold, temperatures):
    """Return the weighted mean log loss for each candidate.

    Parameters
    ----------
    fold : Fold
    temperatures : ndarray of shape (n_candidates, 1, 1)
    """
    log_probabilities = log_softmax(fold.latents / temperatures, axis=2)
    samples = np.arange(len(fold.labels))
    return -log_probabilities[:, samples, fold.labels] @ (
        fold.weight / fold.weight.sum()
    )
