"""Supervised autoencoder whose first layer is projected onto a ball."""

import copy
import numbers
import warnings
from functools import partial

import numpy as np
import torch
from scipy.special import softmax
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.callback import CallbackSupportMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets

from skproj.nn._training import (
    ACTIVATIONS,
    PREDICTION_ROWS,
    Samples,
    Trainer,
    make_mlp,
    merge_duplicates,
    resolve_device,
    to_tensor,
    torch_threads,
)
from skproj.projection._registry import SPARSIFYING, project_weights, weight_norms
from skproj.utils._validation import (
    Interval,
    StrOptions,
    _check_sample_weight,
    _fit_context,
    check_class_weight,
    check_is_fitted,
    nothing_half_fitted,
    validate_data,
)

RECONSTRUCTION_LOSSES = {
    "huber": torch.nn.functional.huber_loss,
    "squared_error": torch.nn.functional.mse_loss,
}

DESCENTS = ("double", "double-rewind", "projected", "single")


class Autoencoder(torch.nn.Module):
    """Encoder to the logits of the classes, decoder back to the features."""

    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, X):
        """Return the latent code and the reconstruction."""
        latent = self.encoder(X)
        return latent, self.decoder(latent)


class SparseSupervisedAutoencoder(
    CallbackSupportMixin,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    BaseEstimator,
):
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
        "hidden_layer_sizes": [
            "array-like",
            Interval(numbers.Integral, 1, None, closed="left"),
        ],
        "eta": [Interval(numbers.Real, 0, None, closed="right")],
        "projection": [StrOptions(set(SPARSIFYING)), callable],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "reconstruction_loss": [StrOptions(set(RECONSTRUCTION_LOSSES))],
        "reconstruction_weight": [Interval(numbers.Real, 0, None, closed="left")],
        "descent": [StrOptions(set(DESCENTS))],
        "max_epochs": [Interval(numbers.Integral, 1, None, closed="left")],
        "batch_size": [Interval(numbers.Integral, 1, None, closed="left")],
        "learning_rate_init": [Interval(numbers.Real, 0, None, closed="neither")],
        "input_noise": [Interval(numbers.Real, 0, None, closed="left")],
        "weight_decay": [Interval(numbers.Real, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(numbers.Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(numbers.Integral, 1, None, closed="left")],
        "tol": [Interval(numbers.Real, 0, None, closed="left")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "warm_start": ["boolean"],
        "device": [str, torch.device],
        "n_threads": [Interval(numbers.Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        *,
        eta=1.0,
        projection="bilevel_l1inf",
        activation="silu",
        reconstruction_loss="huber",
        reconstruction_weight=0.1,
        descent="double",
        max_epochs=30,
        batch_size=64,
        learning_rate_init=0.002,
        input_noise=0.7,
        weight_decay=0.0,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        class_weight=None,
        warm_start=False,
        device="auto",
        n_threads=1,
        random_state=None,
        verbose=False,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.eta = eta
        self.projection = projection
        self.activation = activation
        self.reconstruction_loss = reconstruction_loss
        self.reconstruction_weight = reconstruction_weight
        self.descent = descent
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
        self.warm_start = warm_start
        self.device = device
        self.n_threads = n_threads
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    @nothing_half_fitted
    def fit(self, X, y, sample_weight=None):
        """Train the network and select features.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data, float32 or float64, preferably of unit variance.
        y : array-like of shape (n_samples,)
            Class labels; at least two different ones.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples; a sample of weight zero counts as absent.

        Returns
        -------
        self : SparseSupervisedAutoencoder
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data is unsuitable, if there is only one class, or
            if the training diverges (then scale X or lower `learning_rate_init`).

        Warns
        -----
        UserWarning
            If no feature is selected.
        """
        X, y = validate_data(
            self, X, y, dtype=[np.float64, np.float32], ensure_min_samples=2
        )
        check_classification_targets(y)
        sizes = self._layer_sizes()
        device = resolve_device(self.device)
        X = np.ascontiguousarray(X)
        classes, labels, rows, weight = self._distinct_samples(X, y, sample_weight)

        random_state = check_random_state(self.random_state)
        generator = torch.Generator().manual_seed(random_state.randint(2**31 - 1))
        module = self._initial_module(X, classes, sizes, generator).to(device)
        if device.type != "cpu":
            generator = torch.Generator(device).manual_seed(generator.initial_seed())
        self._project(module.encoder[0].weight.detach().clone())  # fails early

        X_on_device = to_tensor(X, device)

        def samples(chosen):
            relative_weight = weight[chosen] / weight[chosen].mean()
            return Samples(
                X_on_device,
                y=to_tensor(labels[chosen], device),
                weight=to_tensor(relative_weight.astype(X.dtype), device),
                rows=to_tensor(rows[chosen], device),
            )

        train, validation = self._split(labels, random_state)
        trainer = Trainer(
            module=module,
            losses=self._losses,
            data=samples(train),
            validation=None if validation is None else samples(validation),
            generator=generator,
            batch_size=self.batch_size,
            learning_rate_init=self.learning_rate_init,
            weight_decay=self.weight_decay,
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
            verbose=bool(self.verbose),
            callback_arguments={
                "estimator": self,
                "X": X,
                "y": y,
                "metadata": (
                    {} if sample_weight is None else {"sample_weight": sample_weight}
                ),
                # Called only by callbacks that want a model of the current state.
                "reconstruction_attributes": lambda: self._fitted_attributes(
                    copy.deepcopy(module), classes
                ),
            },
        )
        with torch_threads(self.n_threads):
            importances = self._descend(trainer)

        attributes = self._fitted_attributes(module, classes, importances)
        for name, value in attributes.items():
            setattr(self, name, value)
        self.loss_curve_ = trainer.loss_curve
        self.n_iter_ = len(trainer.loss_curve)
        self.validation_scores_ = trainer.validation_scores or None
        self.best_validation_score_ = trainer.best_validation_score
        if self.n_selected_features_ == 0:
            warnings.warn(
                "No feature was selected: the projection made every column of the "
                f"first layer zero. Increase eta (now {self.eta!r}).",
                UserWarning,
                stacklevel=4,
            )
        return self

    def _distinct_samples(self, X, y, sample_weight):
        """Return the classes, and label, row and weight of each distinct sample."""
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
        return classes, labels, rows, weight

    def _split(self, labels, random_state):
        """Return the samples to train with, and those to hold back or None."""
        everything = np.arange(len(labels))
        if not self.early_stopping:
            return everything, None
        try:
            return train_test_split(
                everything,
                test_size=self.validation_fraction,
                stratify=labels,
                random_state=random_state,
            )
        except ValueError as error:
            raise ValueError(
                "early_stopping=True cannot hold back samples of every class with "
                f"validation_fraction={self.validation_fraction} of {len(labels)} "
                f"distinct samples: {error}"
            ) from error

    def _fitted_attributes(self, module, classes, importances=None):
        """Return what prediction and selection need of a network."""
        weight = module.encoder[0].weight.detach().cpu().numpy().copy()
        if importances is None:
            importances = weight_norms(self.projection, weight, axis=0)
        return {
            "module_": module,
            "classes_": classes,
            "encoder_weights_": weight,
            "feature_importances_": importances,
            "n_selected_features_": int(np.count_nonzero(importances)),
        }

    @property
    def _n_features_out(self):
        """Number of columns of the latent code, which scikit-learn makes names for."""
        return len(self.classes_)

    def _layer_sizes(self):
        """Return the widths of the hidden layers as a tuple."""
        sizes = np.atleast_1d(np.asarray(self.hidden_layer_sizes, dtype=object))
        if sizes.ndim != 1 or not all(
            isinstance(n, numbers.Integral) and not isinstance(n, bool) and n > 0
            for n in sizes
        ):
            raise ValueError(
                "hidden_layer_sizes must hold positive integers, got "
                f"{self.hidden_layer_sizes!r} instead."
            )
        return tuple(int(n) for n in sizes)

    def _initial_module(self, X, classes, sizes, generator):
        """Return a new network, or the fitted one if `warm_start` asks for it."""
        sizes = (X.shape[1], *sizes, len(classes))
        dtype = torch.from_numpy(np.empty(0, dtype=X.dtype)).dtype
        make = {"dtype": dtype, "generator": generator}
        encoder = make_mlp(sizes, self.activation, **make)
        module = Autoencoder(encoder, make_mlp(sizes[::-1], self.activation, **make))
        if not (self.warm_start and hasattr(self, "module_")):
            return module
        fitted = self.module_
        if (
            str(fitted) != str(module)  # layers, their sizes and activations
            or fitted.encoder[0].weight.dtype != dtype
            or not np.array_equal(classes, self.classes_)
        ):
            raise ValueError(
                "warm_start=True needs the classes, number of features, dtype, "
                "activation and hidden_layer_sizes of the previous fit, which differ."
            )
        return copy.deepcopy(fitted)

    def _losses(self, module, X, y, generator):
        """Loss of each sample; noise only with a generator."""
        X_seen = X
        if self.input_noise and generator is not None:
            noise = torch.empty_like(X).normal_(generator=generator)
            X_seen = torch.add(X, noise, alpha=self.input_noise)
        latent = module.encoder(X_seen)
        losses = torch.nn.functional.cross_entropy(latent, y, reduction="none")
        if self.reconstruction_weight:
            loss = RECONSTRUCTION_LOSSES[self.reconstruction_loss]
            errors = loss(module.decoder(latent), X, reduction="none")
            losses = losses + self.reconstruction_weight * errors.mean(dim=1)
        return losses

    def _descend(self, trainer):
        """Alternate training and projection; return the norms of the columns."""
        module = trainer.module
        weight = module.encoder[0].weight.detach()
        initial_state = None
        if self.descent == "double-rewind":
            initial_state = copy.deepcopy(module.state_dict())

        n_descents = 1 if self.descent in ("single", "projected") else 2
        fit_context = self._init_callback_context(max_subtasks=n_descents)
        fit_context.call_on_fit_task_begin(**trainer.callback_arguments)
        for number in range(n_descents):
            descent = fit_context.subcontext(
                task_name="descent", max_subtasks=self.max_epochs
            )
            descent.call_on_fit_task_begin(**trainer.callback_arguments)
            if number == 0:
                trainer.descend(
                    descent,
                    self.max_epochs,
                    after_step=(
                        partial(self._project, weight)
                        if self.descent == "projected"
                        else None
                    ),
                )
                self._project(weight)
                importances = weight_norms(
                    self.projection, weight.cpu().numpy(), axis=0
                )
            else:
                removed = weight == 0
                if initial_state is not None:
                    module.load_state_dict(initial_state)
                    weight.masked_fill_(removed, 0.0)
                trainer.descend(
                    descent,
                    self.max_epochs,
                    after_step=partial(weight.masked_fill_, removed, 0.0),
                )
            if descent.call_on_fit_task_end(**trainer.callback_arguments):
                break
        fit_context.call_on_fit_task_end(**trainer.callback_arguments)
        return importances

    def _project(self, weight):
        """Project the weights of the first layer in place."""
        projected = project_weights(
            self.projection,
            weight.cpu().numpy(),
            self.eta,
            axis=0,
            n_threads=self.n_threads,
        )
        weight.copy_(torch.from_numpy(projected))

    def _apply(self, function, X):
        """Validate X and run ``function(module, rows)`` on blocks of its rows."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        device = resolve_device(self.device)
        module = self.module_.to(device).eval()
        dtype = module.encoder[0].weight.dtype
        with torch_threads(self.n_threads), torch.inference_mode():
            blocks = []
            for start in range(0, len(X), PREDICTION_ROWS):
                rows = to_tensor(X[start : start + PREDICTION_ROWS], device).to(dtype)
                if not torch.isfinite(rows).all():
                    raise ValueError(
                        f"X contains values beyond the range of {dtype}, in which "
                        "the network was trained."
                    )
                blocks.append(function(module, rows))
            return torch.cat(blocks).cpu().numpy().astype(X.dtype, copy=False)

    def _latent(self, X):
        return self._apply(lambda module, rows: module.encoder(rows), X)

    def decision_function(self, X):
        """Compute the logits of the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
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
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            Softmax of the latent code, in the order of `classes_`.
        """
        return softmax(self._latent(X), axis=1)

    def predict(self, X):
        """Predict the class of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Class labels.
        """
        labels = self._latent(X).argmax(axis=1)
        return self.classes_[labels]

    def transform(self, X):
        """Encode the samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        latent : ndarray of shape (n_samples, n_classes)
            The latent code, one column per class.
        """
        return self._latent(X)

    def reconstruct(self, X):
        """Encode and decode the samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        reconstruction : ndarray of shape (n_samples, n_features)
            What the decoder makes of the latent code. It means nothing if
            `reconstruction_weight` was 0.
        """
        return self._apply(lambda module, rows: module.decoder(module.encoder(rows)), X)

    def get_support(self, indices=False):
        """Return which features were selected.

        Parameters
        ----------
        indices : bool, default=False
            Whether to return indices instead of a mask.

        Returns
        -------
        support : ndarray of shape (n_features,) or (n_selected_features_,)
            Boolean mask, or the indices of the selected features.
        """
        check_is_fitted(self)
        support = self.feature_importances_ != 0
        return np.flatnonzero(support) if indices else support

    def __getstate__(self):
        state = super().__getstate__()
        module = state.get("module_")
        if module is not None and module.encoder[0].weight.device.type != "cpu":
            # So that a pickle opens where that device is missing.
            state["module_"] = copy.deepcopy(module).cpu()
        return state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
