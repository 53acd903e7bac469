"""Losses of linear models by their public names."""

import numpy as np

from skproj._kernels._cox import Cox
from skproj._kernels._losses import Huber, Logistic, Poisson, Softmax

# Treatment of ties by the public name of the loss.
TIES = {"cox": "breslow", "cox_efron": "efron"}


def make_loss(
    name,
    targets,
    weights,
    *,
    fit_intercept=True,
    huber_epsilon=1.35,
    offset=None,
    strata=None,
):
    """Choose a loss by its public name, as `Loss` of the kernels.

    The targets are the codes 0, 1, ... of the classes, of shape (n_samples,), for
    "log_loss", events and times, a structured array, for "cox" and "cox_efron", and
    float64 of shape (n_samples, n_outputs) for the others, and for several labels,
    which are 0 or 1. The `offset`, of shape (n_samples,), is added to the logits. The
    `strata` of a Cox model are a label for each sample: only samples of the same
    stratum are compared.
    """
    if name in TIES:
        return Cox(targets, weights, TIES[name], offset, strata)
    options = {}
    if name == "squared_error":
        kind = Huber
    elif name == "huber":
        kind, options = Huber, {"epsilon": huber_epsilon}
    elif name == "poisson":
        kind = Poisson
    else:
        kind = Logistic
        if targets.ndim == 1:
            classes = np.arange(int(targets.max()) + 1)
            if len(classes) > 2:
                kind = Softmax
            else:
                classes = np.array([1])
            targets = (classes[:, np.newaxis] == targets).T
    return kind(targets, weights, fit_intercept, offset, **options)
