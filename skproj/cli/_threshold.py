"""The threshold between two classes, chosen in the folds for a score of the labels."""

import numpy as np
from scipy.special import expit, logit
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV

from skproj.cli._result import Threshold, rounded
from skproj.cli._search import selecting


def choose_threshold(model, template, run):
    """Return the threshold between two classes with the best score in the folds.

    It is for the scores of `model`, which is fitted to all rows; `template` is the
    same, unfitted, for the training part of each fold. The score, which `threshold` of
    the options names, is that of the rarer class.
    """
    options = run.problem.options
    classes, counts = np.unique(run.y, return_counts=True)
    label = classes[0] if counts[0] < counts[1] else classes[1]
    tuned = TunedThresholdClassifierCV(
        template, scoring=options.threshold, cv=run.splits, n_jobs=options.n_jobs
    )
    with selecting(quiet=True):
        tuned.fit(run.X, (run.y == label).astype(np.int64))
    value, of_probability = tuned.best_threshold_, hasattr(model, "predict_proba")
    temperature = getattr(model[-1], "temperature_", 1.0)
    if temperature != 1.0:
        # The networks of the folds are not calibrated, and this one is.
        value = expit(logit(value) / temperature)
    scale = "a probability" if of_probability else "a decision value"
    return Threshold(
        value=float(value),
        label=label.item(),
        score_name=options.threshold,
        score=float(tuned.best_score_),
        sentence=(
            f"A row is predicted as {label.item()!r} from {scale} of {value:.3g} on, "
            f"which has the best {options.threshold} in the folds: "
            f"{rounded(tuned.best_score_, 3)}."
        ),
    )


def put_threshold(model, threshold, run):
    """Return a model that predicts by a threshold; None leaves the model as it is."""
    if threshold is None:
        return model
    return FixedThresholdClassifier(
        FrozenEstimator(model), threshold=threshold.value, pos_label=threshold.label
    ).fit(run.X, run.y)
