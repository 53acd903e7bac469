"""The threshold between two classes, chosen in the folds for a score of the labels."""

import warnings

import numpy as np
from scipy.special import expit, logit
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV

from skproj.cli._errors import CommandError
from skproj.cli._result import Threshold
from skproj.cli._search import NOTHING_SELECTED, selects_nothing


def check_two_classes(task, y, options):
    """Raise an error if there is nothing that a threshold could separate."""
    if options.threshold is None:
        return
    classifies, n_classes = task == "classification", len(np.unique(y))
    what = f"has {n_classes} classes" if classifies else "is a number"
    if not classifies or n_classes != 2:
        raise CommandError(
            "--threshold is for a target of two classes, and "
            f"{options.target!r} {what}."
        )


def choose_threshold(model, template, X, y, splits, options):
    """Return the threshold with the best score in the folds.

    Parameters
    ----------
    model : estimator object
        Fitted to all rows; the threshold is for its scores.
    template : estimator object
        What is fitted to the training part of each fold: the same, unfitted.
    X : {ndarray, CSR matrix, DataFrame} of shape (n_rows, n_columns)
    y : ndarray of shape (n_rows,)
        Of two classes. The score is that of the rarer one.
    splits : list of tuple of ndarray
    options : argparse.Namespace
        With `threshold`, the name of the score, and `n_jobs`.

    Returns
    -------
    threshold : Threshold
    """
    classes, counts = np.unique(y, return_counts=True)
    label = classes[0] if counts[0] < counts[1] else classes[1]
    tuned = TunedThresholdClassifierCV(
        template, scoring=options.threshold, cv=splits, n_jobs=options.n_jobs
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "No feature (is|was) selected")
        try:
            tuned.fit(X, (y == label).astype(np.int64))
        except ValueError as error:
            if not selects_nothing(error):
                raise
            raise CommandError(NOTHING_SELECTED) from error
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
            f"{tuned.best_score_:.3f}."
        ),
    )


def put_threshold(model, threshold, X, y):
    """Return a model that predicts by a threshold; None leaves the model as it is."""
    if threshold is None:
        return model
    return FixedThresholdClassifier(
        FrozenEstimator(model), threshold=threshold.value, pos_label=threshold.label
    ).fit(X, y)
