"""Temperature scaling: probabilities that fit labels which a model has not seen."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

# Samples, at least, of which one may be in doubt.
DOUBT_SAMPLES = 100


def fit_temperature(logits, labels, weight, n_distinct):
    """Find the temperature that makes probabilities fit labels best.

    The logits, of shape (n_samples, n_classes), belong to samples that the model was
    not trained with; minus infinity stands for a class that it does not know. The
    temperature divides them; it minimises the weighted cross-entropy with smoothed
    labels, which is convex in its inverse (C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger,
    "On calibration of modern neural networks", arXiv:1706.04599). Smoothing moves a
    share of each label to the other classes, one of `n_distinct`: samples that are all
    classified correctly do not show that a model is always right.
    """
    logits = logits.astype(np.float64)
    doubt = 1.0 / max(DOUBT_SAMPLES, n_distinct)
    targets = np.full(logits.shape, doubt / max(1, logits.shape[1] - 1))
    targets[np.arange(len(labels)), labels] = 1.0 - doubt
    known = np.isfinite(logits)
    targets = (targets * weight[:, np.newaxis])[known]

    def cross_entropy(log_temperature):
        log_probabilities = log_softmax(logits * np.exp(-log_temperature), axis=1)
        return -targets @ log_probabilities[known]

    # Where nothing can be learned from the logits, the best one would be infinite.
    found = minimize_scalar(
        cross_entropy, bounds=np.log((0.05, 20.0)), method="bounded"
    )
    return float(np.exp(found.x))
