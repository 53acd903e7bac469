"""Path from dense to sparse, and its scores on the folds of a cross-validation."""

from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.metrics import check_scoring

from skproj.blocks._row_blocks import take_rows
from skproj.utils._calibration import fit_temperature


@dataclass
class Path:
    """Results of a schedule with all samples, and those of the folds.

    Attributes
    ----------
    states : list of dict
        Fitted attributes of the candidates.
    noises : list of float
        Noise on the input in the last stage of the candidates.
    linear_weights : list of float
        Weight of the linear part of the candidates.
    n_distinct : int
        Number of distinct samples.
    scorers : list of FoldScorer
        With the results of the folds.
    refiners : list of callable
        ``refiners[i](noise)`` returns the fitted attributes of a candidate after one
        more stage with this noise: of all the samples, and of the folds.
    calibrated : bool
        Whether the scores are minus the log loss after calibration, instead of those
        of the scorer.
    """

    states: list
    noises: list
    linear_weights: list
    n_distinct: int
    scorers: list
    refiners: list
    calibrated: bool

    @property
    def parameters(self):
        """The parameters of the candidates, as columns of a table."""
        return {
            "eta": np.array([state["eta_"] for state in self.states]),
            "final_noise": np.array(self.noises),
            "linear_weight": np.array(self.linear_weights),
        }

    def refine(self, candidate, noise):
        """Add a candidate, which is another one with one more stage of less noise."""
        state, *parts = self.refiners[candidate](noise)
        self.states.append(state)
        self.noises.append(noise)
        self.linear_weights.append(0.0)
        for scorer, part in zip(self.scorers, parts, strict=True):
            scorer.add(part)

    @property
    def counts(self):
        """Numbers of selected features, of shape (n_splits, n_candidates)."""
        return np.array([[len(s) for s in scorer.supports] for scorer in self.scorers])

    @property
    def temperatures(self):
        """Fit a temperature for each candidate to the samples of all the folds."""
        labels = np.concatenate([scorer.labels for scorer in self.scorers])
        weight = np.concatenate([scorer.weight for scorer in self.scorers])
        latents = zip(*(scorer.latents for scorer in self.scorers), strict=True)
        return np.array(
            [
                fit_temperature(np.concatenate(parts), labels, weight, self.n_distinct)
                for parts in latents
            ]
        )

    @property
    def scores(self):
        """Scores of the candidates, of shape (n_splits, n_candidates)."""
        if not self.calibrated:
            return np.array([scorer.scores for scorer in self.scorers])
        temperatures = self.temperatures[:, np.newaxis, np.newaxis]
        return np.array(
            [-log_losses(s, np.array(s.latents), temperatures) for s in self.scorers]
        )

    def supports(self, candidate, n_features):
        """Return what a candidate selected, of shape (n_splits, n_features)."""
        supports = np.zeros((len(self.scorers), n_features), dtype=bool)
        for mask, scorer in zip(supports, self.scorers, strict=True):
            mask[scorer.supports[candidate]] = True
        return supports


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

    Attributes
    ----------
    scores : list of float
        Of the models, one after the other; empty if there is no scorer.
    supports : list of ndarray of int
        The features that each model selected.
    latents : list of ndarray of shape (n_known, n_classes)
        Logits of the test samples whose class the training samples have; minus
        infinity for classes that they lack.
    labels : ndarray of int of shape (n_known,)
    weight : ndarray of shape (n_known,)
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
        self.scores, self.supports, self.latents = [], [], []

    def add(self, state):
        """Take the fitted attributes of the next model."""
        model = self.model
        model._set_state(state)
        if self.scorer is not None:
            score = self.scorer(model, self.X, self.y, **self.score_arguments)
            self.scores.append(score)
        self.supports.append(model.get_support(indices=True))
        latent = np.full((len(self.weight), len(self.classes)), -np.inf)
        latents = model._latent(take_rows(self.X, self.known))
        # A model of the training samples alone knows no other classes.
        own = np.isin(self.classes, model.classes_) & self.trained
        latent[:, own] = latents[:, np.isin(model.classes_, self.classes[own])]
        self.latents.append(latent)


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
        states,
        [trainer.options.input_noise] * len(states),
        [0.0] * len(states),
        len(encoded.rows),
        scorers,
        refiners,
        calibrated=scoring is None,
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


def log_losses(scorer, latents, temperatures):
    """Return the weighted mean log loss for each candidate.

    Parameters
    ----------
    scorer : FoldScorer
    latents : ndarray of shape (n_candidates, n_known, n_classes)
    temperatures : ndarray of shape (n_candidates, 1, 1)
    """
    log_probabilities = log_softmax(latents / temperatures, axis=2)
    samples = np.arange(len(scorer.labels))
    return -log_probabilities[:, samples, scorer.labels] @ (
        scorer.weight / scorer.weight.sum()
    )
