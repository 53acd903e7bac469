"""What is inside of a fitted model."""

from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier


def without_threshold(model):
    """Return the model that a threshold of the command line was put on."""
    if isinstance(model, FixedThresholdClassifier):
        model = getattr(model, "estimator_", model.estimator)
    return model.estimator if isinstance(model, FrozenEstimator) else model


def steps_of(model):
    """Return the steps of a pipeline by name; of another model itself, without one."""
    model = without_threshold(model)
    return dict(getattr(model, "steps", [("", model)]))


def selection_of(model):
    """Return the last step of a pipeline that selects features, or None."""
    steps = steps_of(model).values()
    selecting = [step for step in steps if hasattr(step, "get_support")]
    return selecting[-1] if selecting else None
