"""Helpers of the tests of the sparse perceptrons."""

from autoencoder_helpers import Callback
from numpy.testing import assert_array_equal

from skproj import SparseMLPClassifier


def quick(cls=SparseMLPClassifier, **params):
    settings = {
        "hidden_layer_sizes": (20,),
        "target_sparsity": 0.7,
        "max_epochs": 30,
        "random_state": 0,
    }
    return cls(**{**settings, **params})


def assert_same_network(one, other):
    for name in ("coefs_", "intercepts_"):
        for a, b in zip(getattr(one, name), getattr(other, name), strict=True):
            assert_array_equal(a, b)


class StopAfter(Callback):
    """Callback that ends a fit after a number of tasks of a name."""

    def __init__(self, task_name, n_tasks):
        self.task_name, self.n_tasks, self.n_seen = task_name, n_tasks, 0

    def on_fit_task_end(self, estimator, context):
        self.n_seen += context.task_name == self.task_name
        return self.n_seen >= self.n_tasks
