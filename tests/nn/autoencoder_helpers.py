"""Helpers of the tests of SparseSupervisedAutoencoder."""

import numpy as np
from numpy.testing import assert_array_equal
from sklearn.base import clone

from skproj import SparseSupervisedAutoencoder
from skproj.nn import SparsificationSchedule

SCHEDULES = [
    "consensus",
    "double",
    SparsificationSchedule("double", rewind=True),
    "single",
]


def scheduled(params):
    """Move the settings of a schedule into one."""
    known = set(SparsificationSchedule().get_params())
    own = {name: params[name] for name in params if name in known}
    if not own:
        return params
    others = {name: params[name] for name in params if name not in known}
    schedule = others.get("schedule", "consensus")
    if isinstance(schedule, str):
        schedule = SparsificationSchedule(schedule)
    return others | {"schedule": clone(schedule).set_params(**own)}


def quick(**params):
    return SparseSupervisedAutoencoder(
        **scheduled({"max_epochs": 5, "random_state": 0, "eta": 0.5, **params})
    )


def state_of(model):
    return [tensor.numpy() for tensor in model.module_.state_dict().values()]


def assert_same_model(one, other, X):
    """Weights, support, history and predictions agree to the bit."""
    for a, b in zip(state_of(one), state_of(other), strict=True):
        assert_array_equal(a, b)
    assert one.eta_ == other.eta_
    assert one.loss_curve_ == other.loss_curve_
    assert_array_equal(one.feature_importances_, other.feature_importances_)
    assert_array_equal(one.encoder_weights_, other.encoder_weights_)
    assert_array_equal(one.predict_proba(X), other.predict_proba(X))


SMALL = {"hidden_layer_sizes": (20,), "max_epochs": 2}


def clip_columns(W, radius, axis):
    """Shorten the columns by one length, as a callable without a known ball."""
    norms = np.linalg.norm(W, axis=axis)
    threshold = norms.max() / (1.0 + radius)
    return W * np.maximum(1.0 - threshold / np.where(norms > 0, norms, 1.0), 0.0)


class Callback:
    """The hooks that most callbacks of the tests have no use for."""

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass
