"""Losses of linear models by their public names."""

import numpy as np

from skproj._kernels import _losses as kernels

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
    """Choose a loss by its public name.

    The targets are the codes 0, 1, ... of the classes, of shape (n_samples,), for
    "log_loss", events and times for the Cox losses, and float64 of shape (n_samples,
    n_outputs) for the others, and for several labels, which are 0 or 1.
    """
    if name in TIES:
        return kernels.Cox(targets, weights, TIES[name], offset, strata)
    options = {"fit_intercept": fit_intercept, "offset": offset}
    if name == "squared_error":
        return kernels.Huber(targets, weights, **options)
    if name == "huber":
        return kernels.Huber(targets, weights, epsilon=huber_epsilon, **options)
    if name == "poisson":
        return kernels.Poisson(targets, weights, **options)
    if targets.ndim == 1:
        n_classes = int(targets.max()) + 1
        targets = np.asarray(targets)[:, np.newaxis] == np.arange(n_classes)
        if n_classes > 2:
            return kernels.Softmax(targets, weights, **options)
        targets = targets[:, 1:] if n_classes == 2 else ~targets
    return kernels.Logistic(targets, weights, **options)
