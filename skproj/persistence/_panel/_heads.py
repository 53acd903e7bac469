"""From a fitted predictor to plain numbers that NumPy can predict with."""

import numpy as np
from sklearn import linear_model
from sklearn.ensemble import VotingClassifier, VotingRegressor

from skproj.linear_model import CoxRidge
from skproj.persistence._panel._features import NotExportable

# The last one predicts the logarithm of the hazard.
LINEAR_REGRESSORS = (
    linear_model.ElasticNet,
    linear_model.ElasticNetCV,
    linear_model.LassoCV,
    linear_model.LinearRegression,
    linear_model.Ridge,
    linear_model.RidgeCV,
    CoxRidge,
)
POSSIBLE = (
    "the sparse supervised autoencoders, CoxRidge, LogisticRegression and linear "
    "regressors of scikit-learn, and means of these by VotingRegressor or a "
    "VotingClassifier with voting='soft'"
)


def describe_predictor(predictor):
    """Return a fitted predictor as a mean of networks, a list of dicts.

    Each has the name of its ``"model"``, its ``"share"`` in the mean, and what the file
    with the predictions needs, with arrays as ndarray. The first layer has weights for
    all inputs of the predictor.
    """
    if isinstance(predictor, VotingClassifier | VotingRegressor):
        return describe_mean(predictor)
    name = type(predictor).__name__
    if is_autoencoder(predictor):
        part = describe_autoencoder(predictor)
    elif isinstance(predictor, linear_model.LogisticRegression):
        part = describe_logistic(predictor)
    elif isinstance(predictor, LINEAR_REGRESSORS):
        coef, intercept = np.asarray(predictor.coef_), np.ravel(predictor.intercept_)
        if coef.ndim > 1 and len(coef) > 1:
            raise NotExportable("it predicts several targets")
        part = {**linear(coef.reshape(1, -1), intercept), "center": 0.0, "scale": 1.0}
    elif not hasattr(predictor, "predict"):
        raise NotExportable(f"its last step, {name}, selects and cannot predict")
    else:
        raise NotExportable(f"it predicts by {name}; possible are {POSSIBLE}")
    return [{"model": name, "share": 1.0, **part}]


def describe_mean(predictor):
    if getattr(predictor, "voting", "soft") != "soft":
        raise NotExportable(
            f"it predicts by a VotingClassifier with voting={predictor.voting!r}; "
            f"possible are {POSSIBLE}"
        )
    weights = np.ones(len(predictor.estimators_))
    if predictor.weights is not None:
        pairs = zip(predictor.estimators, predictor.weights, strict=True)
        weights = np.array([w for (_, model), w in pairs if model != "drop"])
    shares = (weights / weights.sum()).tolist()
    return [
        {**part, "share": share * part["share"]}
        for share, model in zip(shares, predictor.estimators_, strict=True)
        for part in describe_predictor(model)
    ]


def inputs_of(predictor, n_features):
    """Return the mask of the inputs that the predictions depend on."""
    if is_autoencoder(predictor):
        return predictor.get_support()
    if isinstance(predictor, VotingClassifier | VotingRegressor):
        parts = [inputs_of(model, n_features) for model in predictor.estimators_]
        return np.any(parts, axis=0)
    return np.full(n_features, True)


def is_autoencoder(predictor):
    if not hasattr(predictor, "module_"):
        return False  # without PyTorch
    from skproj.nn._base_autoencoder import BaseSparseAutoencoder

    return isinstance(predictor, BaseSparseAutoencoder)


def describe_autoencoder(predictor):
    """Return the encoder."""
    if getattr(predictor, "_y_ndim_", 1) > 1:
        raise NotExportable("it predicts several targets")
    layers = [
        {
            "weight": layer.weight.detach().cpu().numpy(),
            "bias": layer.bias.detach().cpu().numpy(),
        }
        for layer in predictor.module_.encoder[::2]
    ]
    layers[0]["weight"] = predictor.encoder_weights_
    part = {"activation": predictor.activation, "layers": layers}
    if hasattr(predictor, "temperature_"):
        if len(predictor.classes_) > 2:  # the mean of the outputs is not of the classes
            for name in ("weight", "bias"):
                layers[-1][name] = layers[-1][name] - layers[-1][name].mean(axis=0)
        return {**part, "temperature": float(predictor.temperature_)}
    center, scale = predictor.target_mean_[0], predictor.target_scale_[0]
    return {**part, "center": float(center), "scale": float(scale)}


def describe_logistic(predictor):
    coef, intercept = predictor.coef_, predictor.intercept_
    if len(coef) == 1:  # the logit of the second class; that of the first one is 0
        coef = np.concatenate([np.zeros_like(coef), coef])
        intercept = np.concatenate([np.zeros_like(intercept), intercept])
    return {**linear(coef, intercept), "temperature": 1.0}


def linear(coef, intercept):
    """Return a network of one layer."""
    bias = np.broadcast_to(intercept, len(coef))
    return {"activation": "identity", "layers": [{"weight": coef, "bias": bias}]}


def describe_threshold(classifier):
    """Return from which score on a FixedThresholdClassifier predicts which class."""
    is_probability = classifier.response_method in ("auto", "predict_proba")
    value = classifier.threshold
    if value == "auto":
        value = 0.5 if is_probability else 0.0
    label, (_, second) = classifier.pos_label, classifier.classes_
    return {
        "value": float(value),
        "place": int(label is None or label == second),
        "of": "probability" if is_probability else "decision",
    }
