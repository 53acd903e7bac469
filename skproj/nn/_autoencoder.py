"""Sparse supervised autoencoders: a classifier and a regressor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.special import softmax

from skproj._typing import ArrayLike, HasArray, Integer, Labels, Number, RandomState
from skproj.nn._base_autoencoder import (
    CLASSIFICATION_NOISE,
    REGRESSION_NOISE,
    BaseSparseAutoencoder,
)
from skproj.nn._docs import AUTOENCODER_DOCS
from skproj.nn._schedule import SparsificationSchedule
from skproj.nn._survival_targets import SurvivalMixin
from skproj.nn._targets import NetworkClassifierMixin, NetworkRegressorMixin
from skproj.nn._training._objectives import (
    CLASSIFICATION_LOSSES,
    PREDICTION_LOSSES,
    by_autograd,
)
from skproj.utils._calibration import fit_temperature
from skproj.utils._docs import shared_docs
from skproj.utils._state import store_parameters
from skproj.utils._survival import join_survival
from skproj.utils._validation import StrOptions


@shared_docs(**AUTOENCODER_DOCS)
class SparseSupervisedAutoencoder(NetworkClassifierMixin, BaseSparseAutoencoder):
    r"""Classifier and feature selector: an autoencoder with a projected first layer.

    The encoder maps the features to one latent number per class, which are the
    logits of the classifier; the decoder maps them back. The weights minimise

    .. math::

        \frac{1}{n} \sum_i w_i \big(\text{loss}(y_i, z_i) + \alpha \,
        \text{Huber}(x_i, \hat x_i)\big) \quad \text{subject to} \quad
        \|W_1\| \le \eta

    where :math:`W_1`, of shape (n_hidden, n_features), holds the first layer of
    the encoder, and the norm is that of `projection`. Its columns belong to
    features: columns that the projection makes zero are features not selected. By
    default, :math:`\alpha` is infinitely small: the decoder, and the mean of the
    logits, on which the classes do not depend, are fitted when the rest is.

    Parameters
    ----------
    {layers}
    {radius}
    {ball}
    {feature_structure}
    {standardize}
    {classification_loss}
    {network}
    {schedule}
    {steps}
    {class_weight}
    calibrate : bool, default=False
        Whether to hold back a tenth of the distinct samples, stratified by class, and
        fit the temperature [3]_ of the class probabilities with them.
    {device}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels, in the order of the latent code.
    temperature_ : float
        Divisor of the latent code in the softmax of `predict_proba`; 1 unless it was
        calibrated.
    {attributes}

    See Also
    --------
    SparseSupervisedAutoencoderCV : Chooses `eta` by cross-validation.
    SparseSupervisedAutoencoderRegressor : The same for a regression.
    skproj.feature_selection.ProjectionFeatureSelector : A convex linear selector.

    Notes
    -----
    {choice}

    {notes}

    {merging}

    {references}
    {calibration_reference}

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skproj import SparseSupervisedAutoencoder
    >>> X, y = make_classification(
    ...     n_samples=400, n_features=50, n_informative=4, n_redundant=0, random_state=0
    ... )
    >>> X = StandardScaler().fit_transform(X)
    >>> model = SparseSupervisedAutoencoder(n_features_to_select=4, random_state=0)
    >>> model.fit(X, y).get_support(indices=True).shape
    (4,)
    >>> model.predict_proba(X).shape
    (400, 2)
    >>> model.inverse_transform(model.transform(X)).shape
    (400, 50)
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        **BaseSparseAutoencoder._parameter_constraints,
        "loss": [StrOptions(set(CLASSIFICATION_LOSSES)), callable],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "calibrate": ["boolean"],
    }
    _network_attributes = (*BaseSparseAutoencoder._network_attributes, "temperature_")

    def __init__(
        self,
        hidden_layer_sizes: Integer | Sequence[Integer] | HasArray = (100,),
        *,
        eta: Number | None = None,
        n_features_to_select: Integer | None = None,
        projection: str | Callable[..., Any] = "bilevel_l1inf",
        feature_weights: ArrayLike | None = None,
        always_keep: Labels | None = None,
        never_keep: Labels | None = None,
        feature_groups: Labels | Mapping[Any, Any] | None = None,
        standardize: bool = True,
        loss: str | Callable[..., Any] = "cross_entropy",
        activation: str = "silu",
        schedule: str | SparsificationSchedule = "consensus",
        max_epochs: Integer = 20,
        class_weight: Mapping[Any, Any] | str | None = None,
        calibrate: bool = False,
        device: str | torch.device = "auto",
        n_threads: Integer = 1,
        random_state: RandomState = None,
        verbose: bool = False,
    ) -> None:
        store_parameters(**locals())

    _code_is_logits = True

    # Share of the samples that are held back for the calibration.
    validation_fraction = 0.1

    def _prediction_loss(self):
        if callable(self.loss):
            return by_autograd(self.loss)
        return CLASSIFICATION_LOSSES[self.loss]

    def _linear_targets(self, encoded):
        return "log_loss", encoded.targets

    def _reason_to_hold_back(self):
        return "calibrate=True" if self.calibrate else None

    def _fitted_state(self, encoded, trainer, result=None):
        state = super()._fitted_state(encoded, trainer, result)
        state["temperature_"] = 1.0
        held_back = trainer.data.validation
        if self.calibrate and result is not None and held_back is not None:
            state["temperature_"] = fit_temperature(
                *trainer.latent_codes(held_back), n_distinct=len(held_back)
            )
        return state

    def _decision(self, X):
        latent = self._latent(X)
        if latent.shape[1] == 2:
            return latent[:, 1] - latent[:, 0]
        # Their mean describes the features, not the classes.
        return latent - latent.mean(axis=1, keepdims=True)

    def _probabilities(self, X):
        latent = self._latent(X)
        return softmax(latent / latent.dtype.type(self.temperature_), axis=1)


@shared_docs(**AUTOENCODER_DOCS)
class SparseSupervisedAutoencoderRegressor(
    SurvivalMixin, NetworkRegressorMixin, BaseSparseAutoencoder
):
    r"""Regressor and feature selector: an autoencoder with a projected first layer.

    The encoder maps the features to one latent number per target, which is the
    prediction; the decoder maps it back. The weights minimise

    .. math::

        \frac{1}{n} \sum_i w_i \big(\text{loss}(y_i, z_i) + \alpha \,
        \text{Huber}(x_i, \hat x_i)\big) \quad \text{subject to} \quad
        \|W_1\| \le \eta

    where the targets have been scaled to mean 0 and variance 1, and :math:`W_1`, of
    shape (n_hidden, n_features), holds the first layer of the encoder. Its columns
    belong to features: columns that the projection makes zero are features not
    selected. By default, :math:`\alpha` is infinitely small: the decoder is fitted when
    the encoder is.

    Parameters
    ----------
    {layers}
    {radius}
    {ball}
    {feature_structure}
    {standardize}
    {loss}
    {network}
    {schedule}
    {steps}
    {device}

    Attributes
    ----------
    n_outputs_ : int
        Number of targets.
    {target_scaling}
    event_times_ : ndarray of shape (n_event_times,)
        The different times of events, with ``loss="cox"`` only.
    log_cumulative_hazard_ : ndarray of shape (n_event_times,)
        Logarithm of Breslow's estimate of the cumulative hazard at these times, where
        the predicted log hazard is 0.
    {attributes}

    See Also
    --------
    SparseSupervisedAutoencoder : The same for a classification.
    skproj.feature_selection.ProjectionFeatureSelector : A convex linear selector.

    Notes
    -----
    {choice}

    {notes}

    {merging}

    With ``loss="cox"``, `y` holds survival times: a structured array with a boolean
    field, whether the event was seen, and a field of numbers, the time of the event or
    of censoring, or a DataFrame with the columns `event` and `time` (other forms:
    :doc:`/survival`); numbers alone are times of events. `predict` returns the log
    hazard, relative to the mean of the training samples, and `score` the concordance
    index. The loss is the likelihood of proportional hazards [3]_, in which the
    cumulative hazard of a sample without features is estimated first, as by Nelson and
    Aalen: it is a sum over the samples, unlike the partial likelihood, and so suits
    batches and weights.

    {references}
    .. [3] D. R. Cox, "Regression models and life-tables", Journal of the Royal
       Statistical Society B 34(2), 1972, :doi:`10.1111/j.2517-6161.1972.tb00899.x`.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skproj import SparseSupervisedAutoencoderRegressor
    >>> X, y = make_regression(
    ...     n_samples=400, n_features=50, n_informative=4, random_state=0
    ... )
    >>> X = StandardScaler().fit_transform(X)
    >>> model = SparseSupervisedAutoencoderRegressor(
    ...     n_features_to_select=4, random_state=0
    ... ).fit(X, y)
    >>> model.n_selected_features_
    4
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        **BaseSparseAutoencoder._parameter_constraints,
        "loss": [StrOptions(set(PREDICTION_LOSSES)), callable],
    }

    def __init__(
        self,
        hidden_layer_sizes: Integer | Sequence[Integer] | HasArray = (100,),
        *,
        eta: Number | None = None,
        n_features_to_select: Integer | None = None,
        projection: str | Callable[..., Any] = "bilevel_l1inf",
        feature_weights: ArrayLike | None = None,
        always_keep: Labels | None = None,
        never_keep: Labels | None = None,
        feature_groups: Labels | Mapping[Any, Any] | None = None,
        standardize: bool = True,
        loss: str | Callable[..., Any] = "squared_error",
        activation: str = "silu",
        schedule: str | SparsificationSchedule = "consensus",
        max_epochs: Integer = 20,
        device: str | torch.device = "auto",
        n_threads: Integer = 1,
        random_state: RandomState = None,
        verbose: bool = False,
    ) -> None:
        store_parameters(**locals())

    def _prediction_loss(self):
        if callable(self.loss):
            return by_autograd(self.loss)
        return PREDICTION_LOSSES[self.loss]

    def _linear_targets(self, encoded):
        if self.loss == "cox":  # the order of the hazards is that of the times
            events = encoded.targets.T.astype(np.float64)
            return "cox", join_survival(*events, "The events of y", "The times of y")
        return "huber" if self.loss == "huber" else "squared_error", encoded.targets

    def _auto_noise(self):
        # A log hazard has no scale that noise could reduce.
        return CLASSIFICATION_NOISE if self.loss == "cox" else REGRESSION_NOISE
