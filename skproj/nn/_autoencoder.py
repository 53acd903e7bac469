"""Sparse supervised autoencoders: a classifier and a regressor."""

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets

from skproj.nn._base import BaseSparseAutoencoder, Problem
from skproj.nn._training import merge_duplicates
from skproj.utils._validation import (
    StrOptions,
    _check_sample_weight,
    check_class_weight,
)

REGRESSION_LOSSES = {
    "squared_error": torch.nn.functional.mse_loss,
    "huber": torch.nn.functional.huber_loss,
}


class SparseSupervisedAutoencoder(ClassifierMixin, BaseSparseAutoencoder):
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
    hidden_layer_sizes : int or array-like of int, default=(100,)
        Widths of the hidden layers of the encoder; the decoder mirrors them. With
        an empty tuple the encoder is linear.
    eta : float, default=1.0
        Radius of the projection ball; smaller is sparser; not a learning rate. It
        is in units of weights, so it is comparable between data sets only when the
        features have unit variance. Infinity keeps every feature.
    projection : str or callable, default="bilevel_l1inf"
        The projection of the first layer: {"l1", "l12", "l1inf", "bilevel_l11",
        "bilevel_l12", "bilevel_l1inf"}, see :mod:`skproj.projection`; or a function
        ``projection(W, radius, axis=0)`` that returns an array of the shape of `W`.
    activation : str, default="silu"
        Activation after each hidden layer: {"silu", "relu", "gelu", "tanh",
        "logistic", "identity"}.
    reconstruction_loss : {"huber", "squared_error"}, default="huber"
        Loss between features and reconstruction, averaged over the features; the
        Huber loss changes from square to absolute value at 1.
    reconstruction_weight : float, default=0.1
        The :math:`\alpha` above. With 0 the decoder is not trained.
    descent : {"double", "double-rewind", "projected", "single"}, default="double"
        How training and projection alternate:

        - "double": train, project, then train the surviving weights further, without
          a bound on their size.
        - "double-rewind": the same, but the surviving weights restart from their
          initial values (the lottery ticket of [1]_).
        - "projected": train with a projection after every optimiser step, so that
          the weights end in the ball.
        - "single": train, project, and leave it at that.
    max_epochs : int, default=30
        Number of epochs of each descent.
    batch_size : int, default=64
        Samples per optimiser step.
    learning_rate_init : float, default=0.002
        Learning rate of Adam.
    input_noise : float, default=0.7
        Standard deviation of Gaussian noise added to the input of the encoder while
        training; the reconstruction is compared with the clean input. The default
        is meant for features of unit variance.
    weight_decay : float, default=0.0
        Decoupled weight decay (AdamW).
    early_stopping : bool, default=False
        Whether to hold back validation data and stop a descent when their loss does
        not fall any more; the descent then ends with its best weights.
    validation_fraction : float, default=0.1
        Share of the distinct samples held back, stratified by class, if
        `early_stopping`.
    n_iter_no_change : int, default=10
        Epochs without progress that end a descent if `early_stopping`.
    tol : float, default=1e-4
        A smaller improvement of the validation loss is no progress.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, multiplied into the sample weights.
    warm_start : bool, default=False
        Whether `fit` starts from the weights of the previous fit.
    device : str or torch.device, default="auto"
        Where to train; "auto" takes a CUDA device if there is one.
    n_threads : int or None, default=1
        Threads of PyTorch and of the projection during `fit` and prediction; the
        old setting is restored afterwards. None leaves it as it is. More than one
        rarely helps networks of this size.
    random_state : int, RandomState instance or None, default=None
        Seed of the initial weights, the shuffling, the noise and the validation
        split. PyTorch's global generator is not used.
    verbose : bool, default=False
        Whether to print the loss of each epoch. For progress bars use
        ``set_callbacks(sklearn.callback.ProgressBar())``.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels, in the order of the latent code.
    encoder_weights_ : ndarray of shape (n_hidden, n_features)
        First-layer weights of the encoder; columns of removed features are zero.
    feature_importances_ : ndarray of shape (n_features,)
        Norms of the columns of the first layer when it was last projected, in the
        inner norm of the ball; zero for features that were not selected.
    n_selected_features_ : int
        Number of features with a nonzero column.
    loss_curve_ : list of float
        Mean training loss of each epoch, through all descents.
    validation_scores_ : list of float or None
        Minus the validation loss of each epoch; None without `early_stopping`.
    best_validation_score_ : float or None
        The best validation score of the last descent.
    n_iter_ : int
        Number of epochs, through all descents.
    module_ : torch.nn.Module
        The network, with submodules ``encoder`` and ``decoder``.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X had string column names.

    See Also
    --------
    skproj.feature_selection.ProjectionFeatureSelector : A convex linear selector.
    skproj.projection : The projections themselves.

    Notes
    -----
    Features should have unit variance: put a
    :class:`~sklearn.preprocessing.StandardScaler` before this estimator in a
    :class:`~sklearn.pipeline.Pipeline`. The network is trained in the precision of
    X; float32 is faster, the more so the more features there are.

    Equal samples are merged and their weights added up before training, so an integer
    weight is exactly the same as repeating a sample, and the order of the rows does
    not matter.

    References
    ----------
    .. [1] M. Barlaud, G. Perez, J.-P. Marmorat, "A new linear time bi-level l1,inf
       projection; application to the sparsification of auto-encoders neural
       networks", :arxiv:`2407.16293`.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skproj import SparseSupervisedAutoencoder
    >>> X, y = make_classification(
    ...     n_samples=400, n_features=50, n_informative=4, n_redundant=0, random_state=0
    ... )
    >>> X = StandardScaler().fit_transform(X)
    >>> model = SparseSupervisedAutoencoder(eta=0.2, random_state=0).fit(X, y)
    >>> 0 < model.n_selected_features_ < 20
    True
    >>> model.predict_proba(X).shape
    (400, 2)
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        **BaseSparseAutoencoder._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "calibrate": ["boolean"],
    }

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        *,
        eta=1.0,
        n_features_to_select=None,
        projection="l12",
        activation="silu",
        reconstruction_loss="huber",
        reconstruction_weight=0.0,
        descent="progressive",
        survival_rate=0.7,
        max_epochs=20,
        batch_size=64,
        learning_rate_init=0.002,
        input_noise=1.0,
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

    def _make_problem(self, X, y, sample_weight):
        check_classification_targets(y)
        weight = _check_sample_weight(
            sample_weight, X, dtype=np.float64, ensure_non_negative=True
        )
        weight = weight / weight.max()  # sums of huge weights would overflow
        classes, labels = np.unique(y, return_inverse=True)
        rows, weight = merge_duplicates(X, labels, weight)
        present, labels = np.unique(labels[rows], return_inverse=True)
        classes = classes[present]
        if len(classes) < 2:
            raise ValueError(
                "y must contain at least two classes among the samples of positive "
                f"weight, got one class: {classes[0]!r}."
            )
        class_weight = check_class_weight(
            self.class_weight,
            classes=classes,
            y=classes[labels],
            sample_weight=weight,
        )
        weight *= (class_weight / class_weight.max())[labels]
        return Problem(
            rows=rows,
            weight=weight,
            targets=labels,
            n_outputs=len(classes),
            strata=labels,
            attributes={"classes_": classes},
        )

    def _has_same_targets(self, problem):
        return np.array_equal(self.classes_, problem.attributes["classes_"])

    def _prediction_losses(self, latent, y):
        return torch.nn.functional.cross_entropy(latent, y, reduction="none")

    def _reason_to_hold_back(self):
        if self.calibrate:
            return "calibrate=True"
        return super()._reason_to_hold_back()

    def _fitted_state(self, problem, trainer, outcome=None):
        state = super()._fitted_state(problem, trainer, outcome)
        state["temperature_"] = 1.0
        if self.calibrate and outcome is not None:
            held_back = trainer.validation
            with torch.inference_mode():
                X, y, weight = held_back.batch(torch.arange(len(held_back)))
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


class SparseSupervisedAutoencoderRegressor(
    RegressorMixin, MultiOutputMixin, BaseSparseAutoencoder
):
    """Regressor and feature selector: an autoencoder with a projected first layer."""

    _parameter_constraints: dict = {  # noqa: RUF012
        **BaseSparseAutoencoder._parameter_constraints,
        "loss": [StrOptions(set(REGRESSION_LOSSES))],
    }

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        *,
        eta=1.0,
        n_features_to_select=None,
        projection="l12",
        activation="silu",
        loss="squared_error",
        reconstruction_loss="huber",
        reconstruction_weight=0.0,
        descent="progressive",
        survival_rate=0.7,
        max_epochs=20,
        batch_size=64,
        learning_rate_init=0.002,
        input_noise=1.0,
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
        self.activation = activation
        self.loss = loss
        self.reconstruction_loss = reconstruction_loss
        self.reconstruction_weight = reconstruction_weight
        self.descent = descent
        self.survival_rate = survival_rate
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.input_noise = input_noise
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

    _target_checks: dict = {"multi_output": True, "y_numeric": True}  # noqa: RUF012

    def _make_problem(self, X, y, sample_weight):
        weight = _check_sample_weight(
            sample_weight, X, dtype=np.float64, ensure_non_negative=True
        )
        weight = weight / weight.max()  # sums of huge weights would overflow
        targets = y.reshape(len(y), -1).astype(np.float64)
        _, labels = np.unique(targets, axis=0, return_inverse=True)
        rows, weight = merge_duplicates(X, labels.ravel(), weight)
        targets = targets[rows]
        mean = np.average(targets, axis=0, weights=weight)
        scale = np.sqrt(np.average((targets - mean) ** 2, axis=0, weights=weight))
        scale[scale == 0.0] = 1.0
        return Problem(
            rows=rows,
            weight=weight,
            targets=((targets - mean) / scale).astype(X.dtype),
            n_outputs=targets.shape[1],
            strata=None,
            attributes={
                "target_mean_": mean,
                "target_scale_": scale,
                "n_outputs_": targets.shape[1],
                "_y_ndim_": y.ndim,
            },
        )

    def _prediction_losses(self, latent, y):
        return REGRESSION_LOSSES[self.loss](latent, y, reduction="none").sum(dim=1)

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
        latent = self._latent(X)
        y = latent * self.target_scale_ + self.target_mean_
        y = y.astype(latent.dtype, copy=False)
        return y.ravel() if self._y_ndim_ == 1 else y


def fit_temperature(logits, labels, weight):
    """Find the temperature that makes probabilities fit labels best.

    Parameters
    ----------
    logits : ndarray of shape (n_samples, n_classes)
        Of samples that the network was not trained with.
    labels : ndarray of int of shape (n_samples,)
    weight : ndarray of shape (n_samples,)

    Returns
    -------
    temperature : float
        What to divide the logits by. It minimises the weighted cross-entropy, which
        is convex in its inverse.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On calibration of modern neural
    networks", ICML 2017, arXiv:1706.04599.
    """
    logits = logits.astype(np.float64)

    def cross_entropy(log_temperature):
        log_probabilities = log_softmax(logits * np.exp(-log_temperature), axis=1)
        return (
            -weight
            @ np.take_along_axis(
                log_probabilities, labels[:, np.newaxis], axis=1
            ).ravel()
        )

    # Where no label is wrong, or none is right, the best one would be 0 or infinite.
    found = minimize_scalar(
        cross_entropy, bounds=np.log((0.05, 20.0)), method="bounded"
    )
    return float(np.exp(found.x))
