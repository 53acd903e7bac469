"""Description of a model in a few lines of text."""

import numpy as np
from sklearn.ensemble import VotingClassifier, VotingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import FixedThresholdClassifier

from skproj.persistence._summary import VERDICT_ATTRIBUTE
from skproj.utils._pipelines import selection_of, steps_of
from skproj.utils._wording import join_names

MAX_NAMES = 20


def describe_model(model):
    """Return the properties of a model as text by name; few if it is not fitted."""
    lines = {}
    verdict = getattr(model, VERDICT_ATTRIBUTE, None)
    if isinstance(verdict, dict):
        lines["verdict"] = verdict["sentence"]
    lines["model"] = ", ".join(map(name_of, steps_of(model)))
    if isinstance(model, FixedThresholdClassifier):
        lines["threshold"] = f"{model.threshold:.4g} for {model.pos_label!r}"
    step = selection_of(model)
    if hasattr(step, "eta_"):
        lines["eta"] = f"{step.eta_:.6g}"
    try:
        support = None if step is None else step.get_support()
    except NotFittedError:
        support = None
    if support is not None:
        lines["features"] = f"{np.count_nonzero(support)} of {len(support)}"
        names = getattr(model, "feature_names_in_", None)
        if names is not None and len(names) == len(support):
            selected = np.asarray(names)[support].tolist()
            lines["selected"] = join_names(selected, at_most=MAX_NAMES)
    classes = getattr(model, "classes_", None)
    if isinstance(classes, np.ndarray):
        lines["classes"] = join_names(classes.tolist(), at_most=MAX_NAMES)
    return lines


def name_of(step):
    """Return the name of a step: its class, or the models that it is the mean of."""
    is_mean = isinstance(step, VotingClassifier | VotingRegressor)
    if not is_mean or getattr(step, "voting", "soft") != "soft":
        return type(step).__name__
    names = [name_of(part) for _, part in step.estimators if part != "drop"]
    return "mean of " + " and ".join(names)
