"""From a fitted predictor to plain numbers that NumPy can predict with."""

import numpy as np
from sklearn import linear_model
from sklearn.compose import TransformedTargetRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from skproj.linear_model import CoxRidge

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
    "the sparse supervised autoencoders, CoxRidge, SVC, SVR, LogisticRegression and "
    "linear regressors of scikit-learn"
)


class NotExportable(ValueError):
    """Error of a predictor that cannot be written as a panel."""


def describe_predictor(predictor):
    """Return a fitted predictor as plain values, and its classes, None of a regression.

    ``"type"`` is "network" or "svm"; the other items are what the file with the
    predictions needs, with arrays as ndarray.
    """
    if isinstance(predictor, TransformedTargetRegressor):
        return describe_scaled_target(predictor)
    if is_autoencoder(predictor):
        model = describe_autoencoder(predictor)
    elif isinstance(predictor, linear_model.LogisticRegression):
        model = describe_logistic(predictor)
    elif isinstance(predictor, LINEAR_REGRESSORS):
        coef, intercept = np.asarray(predictor.coef_), np.ravel(predictor.intercept_)
        if coef.ndim > 1 and len(coef) > 1:
            raise NotExportable("it predicts several targets")
        model = linear(coef.reshape(1, -1), intercept)
    elif isinstance(predictor, SVC | SVR):
        model = describe_svm(predictor)
    else:
        name = type(predictor).__name__
        if not hasattr(predictor, "predict"):
            raise NotExportable(f"its last step, {name}, selects and cannot predict")
        raise NotExportable(f"it predicts by {name}; possible are {POSSIBLE}")
    classes = getattr(predictor, "classes_", None)
    return model, None if classes is None else classes.tolist()


def is_autoencoder(predictor):
    if not hasattr(predictor, "module_"):
        return False  # without PyTorch
    from skproj.nn._base_autoencoder import BaseSparseAutoencoder

    return isinstance(predictor, BaseSparseAutoencoder)


def describe_autoencoder(predictor):
    """Return the encoder, whose inputs are the selected features."""
    if getattr(predictor, "_y_ndim_", 1) > 1:
        raise NotExportable("it predicts several targets")
    layers = [
        {
            "weight": layer.weight.detach().cpu().numpy(),
            "bias": layer.bias.detach().cpu().numpy(),
        }
        for layer in predictor.module_.encoder[::2]
    ]
    model = {"type": "network", "activation": predictor.activation, "layers": layers}
    if hasattr(predictor, "temperature_"):
        model["temperature"] = float(predictor.temperature_)
    else:
        model["center"] = float(predictor.target_mean_[0])
        model["scale"] = float(predictor.target_scale_[0])
    return model


def describe_logistic(predictor):
    coef, intercept = predictor.coef_, predictor.intercept_
    if len(coef) == 1:  # the logit of the second class; that of the first one is 0
        coef = np.concatenate([np.zeros_like(coef), coef])
        intercept = np.concatenate([np.zeros_like(intercept), intercept])
    return {**linear(coef, intercept), "temperature": 1.0}


def linear(coef, intercept):
    """Return a network of one layer."""
    return {
        "type": "network",
        "activation": "identity",
        "layers": [{"weight": coef, "bias": np.broadcast_to(intercept, len(coef))}],
        "center": 0.0,
        "scale": 1.0,
    }


def describe_svm(predictor):
    if not isinstance(predictor.kernel, str) or predictor.kernel == "precomputed":
        raise NotExportable(f"the kernel {predictor.kernel!r} is not known elsewhere")
    model = {
        "type": "svm",
        "kernel": predictor.kernel,
        "gamma": float(predictor._gamma),  # that of "scale" is nowhere else
        "coef0": float(predictor.coef0),
        "degree": int(predictor.degree),
        "vectors": dense(predictor.support_vectors_),
        "coefficients": dense(predictor.dual_coef_),
        "intercepts": predictor.intercept_,
        "center": 0.0,
        "scale": 1.0,
    }
    if isinstance(predictor, SVC):
        for name, unusual in (
            ("probability", True),
            ("break_ties", True),
            ("decision_function_shape", "ovo"),
        ):
            if getattr(predictor, name) == unusual:
                raise NotExportable(f"it predicts by an SVC with {name}={unusual!r}")
        model["n_support"] = predictor.n_support_
    return model


def describe_threshold(classifier, model):
    """Return from which score on a FixedThresholdClassifier predicts which class."""
    is_probability = "temperature" in model and (
        classifier.response_method in ("auto", "predict_proba")
    )
    value = classifier.threshold
    if value == "auto":
        value = 0.5 if is_probability else 0.0
    label, (_, second) = classifier.pos_label, classifier.classes_
    return {
        "value": float(value),
        "place": int(label is None or label == second),
        "of": "probability" if is_probability else "decision",
    }


def dense(array):
    return array.toarray() if hasattr(array, "toarray") else array


def describe_scaled_target(predictor):
    """Return a regression whose target was standardised."""
    transformer = predictor.transformer_
    if not isinstance(transformer, StandardScaler) or predictor._training_dim > 1:
        raise NotExportable("its target is transformed by more than a StandardScaler")
    model, classes = describe_predictor(predictor.regressor_)
    scale = 1.0 if transformer.scale_ is None else float(transformer.scale_[0])
    center = float(transformer.mean_[0]) if transformer.with_mean else 0.0
    model["center"] = model["center"] * scale + center
    model["scale"] *= scale
    return model, classes
