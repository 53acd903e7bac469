"""Temperature scaling: probabilities that fit labels which a model has not seen."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax


def fit_temperature(logits, labels, weight):
    """Find the temperature that makes probabilities fit labels best.

    The logits, of shape (n_samples, n_classes), belong to samples that the model was
    not trained with. The temperature divides them; it minimises the weighted
    cross-entropy, which is convex in its inverse (C. Guo, G. Pleiss, Y. Sun, K. Q.
    Weinberger, "On calibration of modern neural networks", arXiv:1706.04599).
    """
    logits = logits.astype(np.float64)

    def cross_entropy(log_temperature):
        log_probabilities = log_softmax(logits * np.exp(-log_temperature), axis=1)
        return (
            -weight
            @ np.take_along_axis(
                log_probabilities, labels[:, np.newaxis], axis=1
            ).ravel()
        )

    # Where no label is wrong, or none is right, the best one would be 0 or infinite.
    found = minimize_scalar(
        cross_entropy, bounds=np.log((0.05, 20.0)), method="bounded"
    )
    return float(np.exp(found.x))
