"""Sparse supervised autoencoders: a classifier and a regressor."""

import torch
from scipy.special import softmax
from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin

from skproj.nn._base import DOCS, BaseSparseAutoencoder
from skproj.nn._training._network import REGRESSION_LOSSES, cross_entropy
from skproj.nn._training._targets import ClassTargets, NumericTargets
from skproj.utils._calibration import fit_temperature
from skproj.utils._docs import shared_docs
from skproj.utils._validation import (
    StrOptions,
    _fit_context,
    nothing_half_fitted,
)


@shared_docs(**DOCS)
class SparseSupervisedAutoencoder(ClassifierMixin, ClassTargets, BaseSparseAutoencoder):
    r"""Classifier and feature selector: an autoencoder with a projected first layer.

    The encoder maps the features to one latent number per class, which are the
    logits of the classifier; the decoder maps them back. The weights minimise

    .. math::

        \frac{1}{n} \sum_i w_i \big(\text{CrossEntropy}(y_i, z_i) + \alpha \,
        \text{loss}(x_i, \hat x_i)\big) \quad \text{subject to} \quad
        \|W_1\| \le \eta

    where :math:`W_1`, of shape (n_hidden, n_features), holds the first layer of
    the encoder, and the norm is that of `projection`. Its columns belong to
    features: columns that the projection makes zero are features not selected.

    Parameters
    ----------
    {layers}
    {radius}
    {ball}
    {network}
    {descents}
    {steps}
    input_noise : float, default=1.0
        Standard deviation of Gaussian noise added to the input of the encoder while
        training [2]_; the reconstruction is compared with the clean input. The
        default is meant for features of unit variance; small noisy data
        are often better served by 3.
    final_noise : float, default=0.5
        Standard deviation of the noise in the descent after the last projection, unless
        `input_noise` is smaller: few features can be trusted more. Not used where
        there is no such descent.
    {training}
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, multiplied into the sample weights.
    calibrate : bool, default=False
        Whether to hold back `validation_fraction` of the samples and fit the
        temperature [3]_ of the class probabilities with them.
    warm_start : bool, default=False
        Whether `fit` starts from the weights of the previous fit.
    {running}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels, in the order of the latent code.
    temperature_ : float
        What the latent code is divided by before it becomes probabilities; 1 unless
        it was calibrated.
    {attributes}

    See Also
    --------
    SparseSupervisedAutoencoderCV : Chooses `eta` by cross-validation.
    SparseSupervisedAutoencoderRegressor : The same for a regression.
    skproj.feature_selection.ProjectionFeatureSelector : A convex linear selector.

    Notes
    -----
    {notes}

    {merging}

    References
    ----------
    .. [1] M. Barlaud, G. Perez, J.-P. Marmorat, "A new linear time bi-level l1,inf
       projection; application to the sparsification of auto-encoders neural
       networks", :arxiv:`2407.16293`.
    .. [2] P. Vincent, H. Larochelle, Y. Bengio, P.-A. Manzagol, "Extracting and
       composing robust features with denoising autoencoders", ICML 2008,
       :doi:`10.1145/1390156.1390294`.
    .. [3] C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On calibration of modern
       neural networks", ICML 2017, :arxiv:`1706.04599`.

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
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        **BaseSparseAutoencoder._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "calibrate": ["boolean"],
    }
    _fitted_attributes = (
        (
            *BaseSparseAutoencoder._network_attributes,
            *ClassTargets._target_attributes,
            "temperature_",
        ),
    )

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        *,
        eta=10.0,
        n_features_to_select=None,
        projection="l12",
        activation="silu",
        reconstruction_loss="huber",
        reconstruction_weight=0.0,
        descent="progressive",
        survival_rate=0.7,
        max_epochs=20,
        batch_size="auto",
        learning_rate_init=0.004,
        input_noise=1.0,
        final_noise=0.5,
        weight_decay=0.0,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        class_weight=None,
        calibrate=False,
        warm_start=False,
        device="auto",
        n_threads=1,
        random_state=None,
        verbose=False,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.eta = eta
        self.n_features_to_select = n_features_to_select
        self.projection = projection
        self.activation = activation
        self.reconstruction_loss = reconstruction_loss
        self.reconstruction_weight = reconstruction_weight
        self.descent = descent
        self.survival_rate = survival_rate
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.input_noise = input_noise
        self.final_noise = final_noise
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.class_weight = class_weight
        self.calibrate = calibrate
        self.warm_start = warm_start
        self.device = device
        self.n_threads = n_threads
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    @nothing_half_fitted
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Train for one epoch on a part of the data, then project the first layer.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Some samples.
        y : array-like of shape (n_samples,)
            Their class labels.
        classes : array-like of shape (n_classes,), default=None
            All classes that can occur; needed in the first call.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        self : object
            The estimator, ready to predict.

        Raises
        ------
        ValueError
            If a parameter or the data is unsuitable, or if `classes` is missing in
            the first call or changes in a later one.

        Notes
        -----
        The projection of one call is not the end of a feature: the next call trains
        all of them again. Nothing is held back, and no samples are merged. Lower
        `eta` from call to call with `set_params` for a progressive descent.
        """
        self._learn(*self._part(X, y, classes, sample_weight))
        return self

    def _prediction_loss(self):
        return cross_entropy

    def _reason_to_hold_back(self):
        if self.calibrate:
            return "calibrate=True"
        return super()._reason_to_hold_back()

    def _fitted_state(self, problem, trainer, outcome=None):
        state = super()._fitted_state(problem, trainer, outcome)
        state["temperature_"] = 1.0
        held_back = trainer.validation
        if self.calibrate and outcome is not None and held_back is not None:
            with torch.inference_mode():
                X, y, weight = held_back.batch(
                    torch.arange(len(held_back), device=held_back.rows.device)
                )
                logits = trainer.module.eval().encoder(X)
            state["temperature_"] = fit_temperature(
                *(tensor.cpu().numpy() for tensor in (logits, y, weight))
            )
        return state

    def decision_function(self, X):
        """Compute the logits of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        decision : ndarray of shape (n_samples,) or (n_samples, n_classes)
            The latent code; for two classes the difference of its two columns,
            positive where the second class is predicted.
        """
        latent = self._latent(X)
        return latent[:, 1] - latent[:, 0] if latent.shape[1] == 2 else latent

    def predict_proba(self, X):
        """Estimate the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            Softmax of the latent code divided by `temperature_`, in the order of
            `classes_`.
        """
        latent = self._latent(X)
        return softmax(latent / latent.dtype.type(self.temperature_), axis=1)

    def predict(self, X):
        """Predict the class of each sample.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Class labels.
        """
        labels = self._latent(X).argmax(axis=1)
        return self.classes_[labels]


@shared_docs(**DOCS)
class SparseSupervisedAutoencoderRegressor(
    RegressorMixin, MultiOutputMixin, NumericTargets, BaseSparseAutoencoder
):
    r"""Regressor and feature selector: an autoencoder with a projected first layer.

    The encoder maps the features to one latent number per target, which is the
    prediction; the decoder maps it back. The weights minimise

    .. math::

        \frac{1}{n} \sum_i w_i \big(\text{loss}(y_i, z_i) + \alpha \,
        \text{loss}(x_i, \hat x_i)\big) \quad \text{subject to} \quad
        \|W_1\| \le \eta

    where the targets have been scaled to mean 0 and variance 1, and :math:`W_1`, of
    shape (n_hidden, n_features), holds the first layer of the encoder. Its columns
    belong to features: columns that the projection makes zero are features not
    selected.

    Parameters
    ----------
    {layers}
    {radius}
    {ball}
    loss : {"squared_error", "huber"}, default="squared_error"
        Loss of the prediction, summed over the targets; the Huber loss changes from
        square to absolute value at one standard deviation of the target.
    {network}
    {descents}
    {steps}
    input_noise : float, default=0.3
        Standard deviation of Gaussian noise added to the input of the encoder while
        training [2]_; the reconstruction is compared with the clean input. The
        default is meant for features of unit variance. Noise makes
        predictions smaller, so there is less of it than for a classification.
    final_noise : float, default=0.1
        Standard deviation of the noise in the descent after the last projection, unless
        `input_noise` is smaller: few features can be trusted more. Not used where
        there is no such descent.
    {training}
    warm_start : bool, default=False
        Whether `fit` starts from the weights of the previous fit.
    {running}

    Attributes
    ----------
    n_outputs_ : int
        Number of targets.
    target_mean_, target_scale_ : ndarray of shape (n_targets,)
        What the targets were centred and divided by; a `partial_fit` keeps those of
        its first call.
    {attributes}

    See Also
    --------
    SparseSupervisedAutoencoder : The same for a classification.
    skproj.feature_selection.ProjectionFeatureSelector : A convex linear selector.

    Notes
    -----
    {notes}

    {merging}

    References
    ----------
    .. [1] M. Barlaud, G. Perez, J.-P. Marmorat, "A new linear time bi-level l1,inf
       projection; application to the sparsification of auto-encoders neural
       networks", :arxiv:`2407.16293`.
    .. [2] P. Vincent, H. Larochelle, Y. Bengio, P.-A. Manzagol, "Extracting and
       composing robust features with denoising autoencoders", ICML 2008,
       :doi:`10.1145/1390156.1390294`.

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
        "loss": [StrOptions(set(REGRESSION_LOSSES))],
    }
    _fitted_attributes = (
        (
            *BaseSparseAutoencoder._network_attributes,
            *NumericTargets._target_attributes,
        ),
    )

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        *,
        eta=10.0,
        n_features_to_select=None,
        projection="l12",
        loss="squared_error",
        activation="silu",
        reconstruction_loss="huber",
        reconstruction_weight=0.0,
        descent="progressive",
        survival_rate=0.7,
        max_epochs=20,
        batch_size="auto",
        learning_rate_init=0.004,
        input_noise=0.3,
        final_noise=0.1,
        weight_decay=0.0,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        warm_start=False,
        device="auto",
        n_threads=1,
        random_state=None,
        verbose=False,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.eta = eta
        self.n_features_to_select = n_features_to_select
        self.projection = projection
        self.loss = loss
        self.activation = activation
        self.reconstruction_loss = reconstruction_loss
        self.reconstruction_weight = reconstruction_weight
        self.descent = descent
        self.survival_rate = survival_rate
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.input_noise = input_noise
        self.final_noise = final_noise
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.device = device
        self.n_threads = n_threads
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    @nothing_half_fitted
    def partial_fit(self, X, y, sample_weight=None):
        """Train for one epoch on a part of the data, then project the first layer.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Some samples.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Their target values.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        self : object
            The estimator, ready to predict.

        Raises
        ------
        ValueError
            If a parameter or the data is unsuitable.

        Notes
        -----
        The projection of one call is not the end of a feature: the next call trains
        all of them again. Nothing is held back, and no samples are merged. Lower
        `eta` from call to call with `set_params` for a progressive descent.
        """
        self._learn(*self._part(X, y, sample_weight))
        return self

    def _prediction_loss(self):
        return REGRESSION_LOSSES[self.loss]

    def predict(self, X):
        """Predict the target values.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_targets)
            The latent code, in the units of the targets.
        """
        return self._in_target_units(self._latent(X))
