"""Steps of a fitted model."""

from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier


def steps_of(model):
    """Return the steps of a pipeline, or the model itself, without a threshold."""
    if isinstance(model, FixedThresholdClassifier):
        return steps_of(getattr(model, "estimator_", model.estimator))
    if isinstance(model, FrozenEstimator):
        return steps_of(model.estimator)
    return [step for _, step in getattr(model, "steps", [("", model)])]


def selection_of(model):
    """Return the last step of a pipeline that selects features, or None."""
    selecting = [step for step in steps_of(model) if hasattr(step, "get_support")]
    return selecting[-1] if selecting else None
