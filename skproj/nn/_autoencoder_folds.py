"""Paths from dense to sparse, and their scores on the folds of a cross-validation."""

import functools
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.metrics import check_scoring

from skproj.blocks._row_blocks import take_rows
from skproj.utils._calibration import fit_temperature


@dataclass(frozen=True)
class Fold:
    """Results of the fits for all radii on the test samples of one split.

    Attributes
    ----------
    scores : ndarray of shape (n_candidates,) or None
        None if there is no scorer.
    supports : list of ndarray of int
        The features that each candidate selected.
    latents : ndarray of shape (n_candidates, n_known, n_classes)
        Logits of the test samples whose class the training samples have; minus
        infinity for classes that they lack.
    labels : ndarray of int of shape (n_known,)
    weight : ndarray of shape (n_known,)
    """

    scores: np.ndarray | None
    supports: list
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
        Of the candidates: for each radius, each of the final noises.
    states : list of dict
        Fitted attributes of the candidates.
    n_distinct : int
        Number of distinct samples.
    folds : list of Fold
    refiners : list of callable
        ``refiners[i](noise)`` returns the fitted attributes of a candidate after one
        more stage with this noise: of all the samples, and of the folds.
    scorers : list of FoldScorer
        For the refined candidates.
    """

    input_noise: float
    final_noises: list
    states: list
    n_distinct: int
    folds: list = field(default_factory=list)
    refiners: list = field(default_factory=list)
    scorers: list = field(default_factory=list)

    @property
    def parameters(self):
        """The parameters of the candidates, as columns of a table."""
        return {
            "eta": np.array([state["eta_"] for state in self.states]),
            "input_noise": np.full(len(self.states), self.input_noise),
            "final_noise": np.array(self.final_noises),
        }

    def refined(self, candidate, noises):
        """Return a path of one of the candidates, refined with some noises."""
        states = []
        for noise in noises:
            state, *parts = self.refiners[candidate](noise)
            states.append(state)
            for scorer, part in zip(self.scorers, parts, strict=True):
                scorer.add(part)
        folds = [scorer.fold() for scorer in self.scorers]
        return replace(self, final_noises=noises, states=states, folds=folds)

    @property
    def scores(self):
        """Scores of the scorer, of shape (n_splits, n_candidates)."""
        return np.array([fold.scores for fold in self.folds])

    @property
    def counts(self):
        """Numbers of selected features, of shape (n_splits, n_candidates)."""
        return np.array(
            [[len(support) for support in fold.supports] for fold in self.folds]
        )

    @functools.cached_property
    def temperatures(self):
        """Fit a temperature for each candidate to the samples of all the folds."""
        labels = np.concatenate([fold.labels for fold in self.folds])
        weight = np.concatenate([fold.weight for fold in self.folds])
        return np.array(
            [
                fit_temperature(
                    np.concatenate(latents), labels, weight, self.n_distinct
                )
                for latents in zip(*(fold.latents for fold in self.folds), strict=True)
            ]
        )

    def calibrated_scores(self):
        """Return minus the log loss with these temperatures.

        It has the shape (n_splits, n_candidates).
        """
        temperatures = self.temperatures[:, np.newaxis, np.newaxis]
        return np.array([-log_losses(fold, temperatures) for fold in self.folds])

    def supports(self, n_features):
        """Return what was selected, of shape (n_splits, n_candidates, n_features)."""
        supports = np.zeros((*self.counts.shape, n_features), dtype=bool)
        for masks, fold in zip(supports, self.folds, strict=True):
            for mask, support in zip(masks, fold.supports, strict=True):
                mask[support] = True
        return supports


@dataclass(frozen=True)
class Candidates:
    """The candidates of several paths, one path after the other.

    Attributes
    ----------
    paths : list of Path
    calibrated : bool
        Whether the scores are minus the log loss after calibration, instead of those
        of the scorer.
    """

    paths: list
    calibrated: bool

    @property
    def states(self):
        """Fitted attributes of the candidates."""
        return [state for path in self.paths for state in path.states]

    @property
    def parameters(self):
        """The parameters of the candidates, as columns of a table."""
        columns = [path.parameters for path in self.paths]
        return {
            name: np.concatenate([column[name] for column in columns])
            for name in columns[0]
        }

    @property
    def temperatures(self):
        """Temperatures of the candidates, of shape (n_candidates,)."""
        return np.concatenate([path.temperatures for path in self.paths])

    @functools.cached_property
    def scores(self):
        """Scores of the candidates, of shape (n_splits, n_candidates)."""
        return np.hstack(
            [p.calibrated_scores() if self.calibrated else p.scores for p in self.paths]
        )

    @property
    def counts(self):
        """Numbers of selected features, of shape (n_splits, n_candidates)."""
        return np.hstack([path.counts for path in self.paths])

    def supports(self, n_features):
        """Return what was selected, of shape (n_splits, n_candidates, n_features)."""
        return np.hstack([path.supports(n_features) for path in self.paths])


def as_indices(rows):
    """Return the indices of rows that may be given by a mask."""
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool else rows


class FoldScorer:
    """The test samples of one split, and what models say about them.

    Parameters
    ----------
    model : SparseSupervisedAutoencoder
        Its fitted attributes are set again and again.
    X, y : {ndarray, CSR matrix, RowBlocks}, ndarray
        All samples. In blocks, each model is scored in a pass.
    split : tuple of ndarray
        Indices or masks of the training and of the test samples.
    sample_weight : ndarray of shape (n_samples,) or None
    classes : ndarray of shape (n_classes,)
    scoring : str, callable or None
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
        self._scores, self._supports, self._latents = [], [], []

    def add(self, state):
        """Take the fitted attributes of the next model."""
        model = self.model
        model._set_state(state)
        if self.scorer is not None:
            score = self.scorer(model, self.X, self.y, **self.score_arguments)
            self._scores.append(score)
        self._supports.append(model.get_support(indices=True))
        latent = np.full((len(self.weight), len(self.classes)), -np.inf)
        latents = model._latent(take_rows(self.X, self.known))
        # A model of the training samples alone knows no other classes.
        own = np.isin(self.classes, model.classes_) & self.trained
        latent[:, own] = latents[:, np.isin(model.classes_, self.classes[own])]
        self._latents.append(latent)

    def fold(self):
        """Return the results of the models since the last call.

        Returns
        -------
        fold : Fold
        """
        fold = Fold(
            scores=None if self.scorer is None else np.array(self._scores),
            supports=self._supports,
            latents=np.array(self._latents),
            labels=np.searchsorted(self.classes, self.y[self.known]),
            weight=self.weight,
        )
        self._scores, self._supports, self._latents = [], [], []
        return fold


def fit_fold(
    model, X, split, *, y, sample_weight, etas, final_noises, classes, scoring
):
    """Train from dense to sparse with the training samples of one split.

    Returns
    -------
    fold : Fold
    """
    scorer = FoldScorer(
        model,
        X,
        y,
        split,
        sample_weight=sample_weight,
        classes=classes,
        scoring=scoring,
    )
    context = model._init_callback_context(max_subtasks=None)
    # Samples without weight are left out, of blocks as well.
    encoded, trainer = model._prepare(X, y, scorer.weight_train, context)
    for state in model._train_path(encoded, trainer, etas, final_noises):
        scorer.add(state)
    return scorer.fold()


def train_alone(model, encoded, trainer, etas, final_noises):
    """Train from dense to sparse with all samples.

    Returns
    -------
    path : Path
        Whose folds are still to come.
    """
    states = list(model._train_path(encoded, trainer, etas, final_noises))
    n_etas = len(states) // len(final_noises)
    return Path(model.input_noise, final_noises * n_etas, states, len(encoded.rows))


def train_side_by_side(
    model, encoded, trainer, X, splits, *, y, sample_weight, etas, scoring
):
    """Train from dense to sparse with all samples and all splits at once.

    Returns
    -------
    path : Path
    """
    classes = encoded.attributes["classes_"]
    options = {"sample_weight": sample_weight, "classes": classes, "scoring": scoring}
    scorers = [FoldScorer(clone_of(model), X, y, s, **options) for s in splits]
    weight = np.ones(len(y)) if sample_weight is None else sample_weight
    shares = np.array(
        [training_shares(encoded.places, weight, s.weight_train) for s in scorers]
    )
    # The samples that are not held back.
    place_of = np.full(X.shape[0], -1)
    place_of[encoded.rows] = np.arange(len(encoded.rows))
    shares = shares[:, place_of[trainer.data.train.rows.cpu().numpy()]]
    states, refiners = [], []
    for groups, refine in model._train_groups(encoded, trainer, etas, shares):
        state, *parts = groups
        states.append(state)
        refiners.append(refine)
        for scorer, part in zip(scorers, parts, strict=True):
            scorer.add(part)
    return Path(
        model.input_noise,
        [model.input_noise] * len(states),
        states,
        len(encoded.rows),
        [scorer.fold() for scorer in scorers],
        refiners,
        scorers,
    )


def clone_of(model):
    """Return a model with the same parameters, to take fitted attributes."""
    other = clone(model)
    other.n_features_in_ = model.n_features_in_
    return other


def training_shares(places, weight, weight_train):
    """Return how much of the weight of each distinct sample a training part has.

    Parameters
    ----------
    places : ndarray of int of shape (n_samples,)
        Which of the distinct samples each sample is; -1 for weight zero.
    weight, weight_train : ndarray of shape (n_samples,)
        Of the samples, and of those in the part.

    Returns
    -------
    shares : ndarray of shape (n_distinct,)
    """
    present = places >= 0
    part, whole = (
        np.bincount(places[present], w[present]) for w in (weight_train, weight)
    )
    return part / whole


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
