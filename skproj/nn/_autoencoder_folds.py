"""Path from dense to sparse, and its scores on the folds of a cross-validation."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.metrics import check_scoring

from skproj.blocks._row_blocks import take_rows
from skproj.nn._training._schedule import SparsityTarget
from skproj.nn._training._tensors import torch_threads
from skproj.utils._calibration import fit_temperature
from skproj.utils._path_search import tabulate_scores


class FoldResult(NamedTuple):
    """Selected features, logits of the test samples, and score, of a model of a fold.

    The logits are those of the samples whose class the training samples have; minus
    infinity for classes that they lack. The score is None without a scorer.
    """

    support: np.ndarray
    latent: np.ndarray
    score: float | None = None


@dataclass
class Candidate:
    """A network of all the samples, and those of the folds.

    Attributes
    ----------
    state : dict
        Fitted attributes.
    noise : float
        On the input in the last stage.
    of_folds : list of FoldResult
    linear_weight : float
        Of the linear part.
    refine : callable or None
        ``refine(noise)`` returns a candidate after one more stage with this noise.
    """

    state: dict
    noise: float
    of_folds: list
    linear_weight: float = 0.0
    refine: Callable | None = None


@dataclass
class Path:
    """Candidates of a schedule from dense to sparse.

    Attributes
    ----------
    candidates : list of Candidate
    folds : list of Fold
    n_distinct : int
        Number of distinct samples.
    calibrated : bool
        Whether the scores are minus the log loss after calibration, instead of those
        of the scorer.
    """

    candidates: list
    folds: list
    n_distinct: int
    calibrated: bool

    def table(self):
        """Return a table of the parameters and scores, as `cv_results_`."""
        parameters = {
            "eta": np.array([c.state["eta_"] for c in self.candidates]),
            "final_noise": np.array([c.noise for c in self.candidates]),
            "linear_weight": np.array([c.linear_weight for c in self.candidates]),
        }
        return tabulate_scores(parameters, self.scores, self.counts)

    @property
    def counts(self):
        """Numbers of selected features, of shape (n_splits, n_candidates)."""
        return np.array([[len(r.support) for r in row] for row in self._by_fold])

    @property
    def temperatures(self):
        """Fit a temperature for each candidate to the samples of all the folds."""
        return np.array(
            [
                self.temperature([result.latent for result in candidate.of_folds])
                for candidate in self.candidates
            ]
        )

    def temperature(self, latents):
        """Fit a temperature to the logits of all the folds."""
        labels = np.concatenate([fold.labels for fold in self.folds])
        weight = np.concatenate([fold.weight for fold in self.folds])
        return fit_temperature(np.concatenate(latents), labels, weight, self.n_distinct)

    @property
    def scores(self):
        """Scores of the candidates, of shape (n_splits, n_candidates)."""
        if not self.calibrated:
            return np.array([[r.score for r in row] for row in self._by_fold])
        temperatures = self.temperatures[:, np.newaxis, np.newaxis]
        return np.array(
            [
                -log_losses(fold, np.array([r.latent for r in row]), temperatures)
                for fold, row in zip(self.folds, self._by_fold, strict=True)
            ]
        )

    @property
    def _by_fold(self):
        return list(zip(*(c.of_folds for c in self.candidates), strict=True))

    def supports(self, candidate, n_features):
        """Return what a candidate selected, of shape (n_splits, n_features)."""
        supports = np.zeros((len(self.folds), n_features), dtype=bool)
        results = self.candidates[candidate].of_folds
        for mask, result in zip(supports, results, strict=True):
            mask[result.support] = True
        return supports


def as_indices(rows):
    """Return the indices of rows that may be given by a mask."""
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool else rows


class Fold:
    """The test samples of one split, and what models say about them.

    The fitted attributes of the model are set again and again. Of samples in blocks,
    each model is scored in a pass. The split consists of indices or masks. The
    attributes `labels` and `weight` are those of the test samples whose class the
    training samples have.
    """

    def __init__(self, model, X, y, split, *, sample_weight, classes, scoring):
        self.model = model
        train, test = map(as_indices, split)
        self.classes = classes
        self.score_arguments = {}
        weight = np.ones(len(y)) if sample_weight is None else sample_weight
        # Training samples may be there several times.
        self.weight_train = np.bincount(train, minlength=len(y)) * weight
        weight = weight[test]
        if sample_weight is not None:
            self.score_arguments["sample_weight"] = weight
        trained = y[self.weight_train > 0.0]
        self.scorer = None
        if scoring is not None:
            self.scorer = check_scoring(model, scoring=scoring)
        self.X, self.y = take_rows(X, test), y[test]
        self.known = np.isin(self.y, trained)
        self.trained = np.isin(classes, trained)
        self.weight = weight[self.known]
        self.labels = np.searchsorted(classes, self.y[self.known])
        if np.count_nonzero(self.trained) < 2:
            raise ValueError(
                "cv makes a split whose training part has less than two classes: "
                f"{classes[self.trained].tolist()}."
            )
        if not np.any(self.weight > 0.0):
            raise ValueError(
                "cv makes a split without any test sample of positive weight whose "
                "class its training samples have."
            )

    def result_of(self, state):
        """Return what the model with some fitted attributes says."""
        model, score = self.model, None
        model._set_state(state)
        if self.scorer is not None:
            score = self.scorer(model, self.X, self.y, **self.score_arguments)
        latent = np.full((len(self.weight), len(self.classes)), -np.inf)
        latents = model._latent(take_rows(self.X, self.known))
        # A model of the training samples alone knows no other classes.
        own = np.isin(self.classes, model.classes_) & self.trained
        latent[:, own] = latents[:, np.isin(model.classes_, self.classes[own])]
        return FoldResult(model.get_support(indices=True), latent, score)


def train_side_by_side(
    model, encoded, trainer, X, splits, *, y, sample_weight, etas, scoring
):
    """Train from dense to sparse with all samples and all splits at once.

    Without `etas` the candidates are those of the projections on the way.

    Returns
    -------
    path : Path
    """
    classes = encoded.attributes["classes_"]
    options = {"sample_weight": sample_weight, "classes": classes, "scoring": scoring}
    folds = [Fold(clone_of(model), X, y, split, **options) for split in splits]
    weight = np.ones(len(y)) if sample_weight is None else sample_weight
    shares = np.array(
        [training_shares(encoded.places, weight, f.weight_train) for f in folds]
    )
    # The samples that are not held back.
    place_of = np.full(X.shape[0], -1)
    place_of[encoded.rows] = np.arange(len(encoded.rows))
    shares = shares[:, place_of[trainer.data.train.rows.cpu().numpy()]]

    def candidate_of(results, noise, refine):
        state, *parts = [model._fitted_state(encoded, r.trainer, r) for r in results]
        pairs = zip(folds, parts, strict=True)
        of_folds = [fold.result_of(part) for fold, part in pairs]
        return Candidate(state, noise, of_folds, refine=refine)

    def refined(stage, noise):
        with torch_threads(model.n_threads):
            return candidate_of(stage.refine(noise), noise, None)

    targets = None if etas is None else [SparsityTarget(eta=eta) for eta in etas]
    noise = trainer.options.input_noise
    with torch_threads(model.n_threads):
        candidates = [
            candidate_of(stage.of_groups, noise, partial(refined, stage))
            for stage in model._consensus().run(trainer, targets, shares)
        ]
    return Path(candidates, folds, len(encoded.rows), calibrated=scoring is None)


def clone_of(model):
    """Return a model with the same parameters, to take fitted attributes."""
    other = clone(model)
    other.n_features_in_ = model.n_features_in_
    return other


def training_shares(places, weight, weight_train):
    """Return how much of the weight of each distinct sample a training part has.

    `places` tells which of the distinct samples each sample is; -1 for weight zero. The
    weights are those of the samples, and of those in the part.
    """
    present = places >= 0
    part, whole = (
        np.bincount(places[present], w[present]) for w in (weight_train, weight)
    )
    return part / whole


def log_losses(fold, latents, temperatures):
    """Return the weighted mean log loss for each candidate.

    The latents have the shape (n_candidates, n_known, n_classes).
    """
    log_probabilities = log_softmax(latents / temperatures, axis=2)
    samples = np.arange(len(fold.labels))
    return -log_probabilities[:, samples, fold.labels] @ (
        fold.weight / fold.weight.sum()
    )
