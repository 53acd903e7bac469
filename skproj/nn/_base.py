"""What the sparse supervised autoencoders share: network, training, selection."""

import copy
import numbers
import warnings
from abc import abstractmethod

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin

from skproj.nn._estimator import OTHER_NETWORK, WARN_AT_CALLER, BaseNetwork
from skproj.nn._training._column_projection import ColumnProjection
from skproj.nn._training._descents import Descents, Goal, Outcome
from skproj.nn._training._loop import torch_threads
from skproj.nn._training._network import (
    REGRESSION_LOSSES,
    Autoencoder,
    Objective,
    first_layer,
    make_mlp,
)
from skproj.projection._registry import SPARSIFYING
from skproj.utils._validation import (
    Interval,
    StrOptions,
    _fit_context,
    check_is_fitted,
    nothing_half_fitted,
)

DESCENTS = ("progressive", "double", "double-rewind", "projected", "single")


# What the docstrings of the estimators share.
DOCS = {
    "layers": """
        hidden_layer_sizes : int or array-like of int, default=(100,)
            Widths of the hidden layers of the encoder; the decoder mirrors them. With
            an empty tuple the encoder is linear.
    """,
    "network": """
        activation : str, default="silu"
            Activation after each hidden layer: {"silu", "relu", "gelu", "tanh",
            "logistic", "identity"}.
        reconstruction_loss : {"huber", "squared_error"}, default="huber"
            Loss between features and reconstruction, averaged over the features that
            are still in training; the Huber loss changes from square to absolute
            value at 1.
        reconstruction_weight : float, default=0.0
            The :math:`\\alpha` above. With 0 the decoder is not trained, which saves
            a third to half of the time; it made no difference to the accuracy of any
            data set that we tried.
    """,
    "radius": """
        eta : float, default=10.0
            Radius of the projection ball; smaller is sparser; not a learning rate. It
            is in units of weights, so it is comparable between data sets only when the
            features have unit variance. Infinity keeps every feature.
        n_features_to_select : int, default=None
            Number of features to select instead of giving `eta`, which is not used
            then: the run goes on to the projection whose radius, `eta_`, leaves so
            many. A fit at that `eta` may reach it earlier, with more features.
    """,
    "ball": """
        projection : str or callable, default="l12"
            The projection of the first layer: {"l1", "l12", "l1inf", "bilevel_l11",
            "bilevel_l12", "bilevel_l1inf"}, see :mod:`skproj.projection`; "hoyer",
            which gives the norms of the columns, one for each feature, the Hoyer
            sparsity `eta`, between 0 and 1, where larger is sparser; or a function
            ``projection(W, radius, axis=0)`` that returns an array of the shape of
            `W`.
    """,
    "descents": """
        descent : str, default="progressive"
            How training and projection alternate:

            - "progressive": train; then again and again project such that a share of
              `survival_rate` of the features survives and train these, until the
              radius (or the number of features) that is wanted has been reached.
            - "double": train, project, then train the surviving weights further,
              without a bound on their size.
            - "double-rewind": the same, but the surviving weights restart from their
              initial values (the lottery ticket of [1]_).
            - "projected": train with a projection after every optimiser step, so that
              the weights end in the ball.
            - "single": train, project, and leave it at that.
        survival_rate : float, default=0.7
            Share of the features that survive each intermediate projection of a
            progressive descent. While there are more than eight features per sample,
            each projection does the work of four.
    """,
    "steps": """
        max_epochs : int, default=20
            Number of epochs of each descent.
        batch_size : int or "auto", default="auto"
            Samples per optimiser step; "auto" is a sixth of the samples, but at least
            8 and at most 128.
        learning_rate_init : float, default=0.004
            Learning rate of Adam. It is divided by the standard deviation of the noise
            on the input where that is above 1.
    """,
    "training": """
        weight_decay : float, default=0.0
            Decoupled weight decay (AdamW).
        early_stopping : bool, default=False
            Whether to hold back validation data and stop a descent when their loss
            does not fall any more; the descent then ends with its best weights.
        validation_fraction : float, default=0.1
            Share of the distinct samples held back, stratified by class.
        n_iter_no_change : int, default=10
            Epochs without progress that end a descent if `early_stopping`.
        tol : float, default=1e-4
            A smaller improvement of the validation loss is no progress.
    """,
    "running": """
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
    """,
    "attributes": """
        eta_ : float
            Radius of the last projection.
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
            The network, with submodules ``encoder`` and ``decoder``. It takes and
            returns the selected features only.
        n_features_in_ : int
            Number of features seen during `fit`.
        feature_names_in_ : ndarray of shape (n_features_in_,)
            Names of the features, if X had string column names.
    """,
    "notes": """
        Features should have unit variance: put a
        :class:`~sklearn.preprocessing.StandardScaler` before this estimator in a
        :class:`~sklearn.pipeline.Pipeline`. The network is trained in the precision of
        X; float32 is faster, the more so the more features there are.

        A progressive fit at one radius is the run at any smaller radius, stopped
        earlier. The weights of the last descent are not bounded by `eta`.

    """,
    "merging": """
        Equal samples are merged and their weights added up before training, so an
        integer weight is exactly the same as repeating a sample, and the order of the
        rows does not matter.
    """,
}


class BaseSparseAutoencoder(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseNetwork
):
    """An autoencoder whose latent code predicts and whose first layer is projected."""

    _parameter_constraints: dict = {  # noqa: RUF012
        **BaseNetwork._parameter_constraints,
        "eta": [Interval(numbers.Real, 0, None, closed="right")],
        "n_features_to_select": [
            Interval(numbers.Integral, 1, None, closed="left"),
            None,
        ],
        "projection": [StrOptions({*SPARSIFYING, "hoyer"}), callable],
        "reconstruction_loss": [StrOptions(set(REGRESSION_LOSSES))],
        "reconstruction_weight": [Interval(numbers.Real, 0, None, closed="left")],
        "descent": [StrOptions(set(DESCENTS))],
        "survival_rate": [Interval(numbers.Real, 0, 1, closed="neither")],
        "input_noise": [Interval(numbers.Real, 0, None, closed="left")],
        "final_noise": [Interval(numbers.Real, 0, None, closed="left")],
    }

    _network_attributes = (
        *BaseNetwork._network_attributes,
        "_has_decoder_",
        "eta_",
        "feature_importances_",
        "n_selected_features_",
    )

    # Fitted attributes whose last axis is that of the features.
    _feature_attributes = ("feature_importances_",)

    @abstractmethod
    def _prediction_loss(self):
        """Return the loss of the latent code, as an `Objective` takes it."""

    @_fit_context(prefer_skip_nested_validation=True)
    @nothing_half_fitted
    def fit(self, X, y, sample_weight=None):
        """Train the network and select features.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data, float32 or float64, preferably of unit variance. A sparse
            matrix is used in CSR format, and only batches of it become dense.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Class labels, at least two different ones; or the values of a regression.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples; a sample of weight zero counts as absent.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data is unsuitable, if there is only one class, or
            if the training diverges (then scale X or lower `learning_rate_init`).

        Warns
        -----
        UserWarning
            If no feature is selected, or fewer than `n_features_to_select`.
        """
        X, y = self._validate_data(X, y)
        goal = self._goal(X.shape[1])
        context = self._init_callback_context(max_subtasks=None)
        problem, trainer = self._prepare(X, y, sample_weight, context)
        context.call_on_fit_task_begin(**trainer.callback_arguments)
        with torch_threads(self.n_threads):
            (outcome,) = self._descents().run(trainer, [goal])
            self._set_state(self._fitted_state(problem, trainer, outcome))
        vars(self).pop("_stream_", None)
        context.call_on_fit_task_end(**trainer.callback_arguments)
        self._warn_if_few_are_selected()
        return self

    def _goal(self, n_features):
        """Return where the run from dense to sparse ends."""
        wanted = self.n_features_to_select
        if wanted is None:
            return Goal(radius=self._projection().to_radius(self.eta))
        if isinstance(wanted, bool):
            raise ValueError(
                f"n_features_to_select must be an integer, got {wanted!r} instead."
            )
        if wanted > n_features:
            raise ValueError(
                f"n_features_to_select={wanted} exceeds the number of features, "
                f"{n_features}."
            )
        if self.descent == "projected":
            raise ValueError(
                'descent="projected" needs a radius: give eta instead of '
                "n_features_to_select."
            )
        return Goal(n_features=wanted)

    def _learn(self, X, problem):
        """Train one epoch on a part of the data, then project: a `partial_fit`."""
        goal = self._goal(X.shape[1])
        stream, trainer = self._resume(X, problem)
        descents = self._descents()
        with torch_threads(self.n_threads):
            trainer.train_epoch(stream.optimizer)
            weight = first_layer(stream.module)
            radius = descents.final_radius(weight, goal)
            descents.project(weight, radius)
            # All features stay in training; the fitted network is a small copy.
            trainer.module = copy.deepcopy(stream.module)
            importances = descents.narrow(trainer, at_most=goal.n_features)
            outcome = Outcome(trainer, radius, importances)
            self._set_state(self._fitted_state(problem, trainer, outcome))
        stream.is_learning = False
        self._stream_ = stream

    def _walk(self, problem, trainer, etas=None, final_noises=None):
        """Train from dense to sparse; yield the fitted state for each radius.

        Parameters
        ----------
        problem : Problem
        trainer : Trainer
        etas : ndarray of shape (n_etas,), default=None
            Radii, from dense to sparse; by default those that the run passes.
        final_noises : list of float, default=None
            Noises to use in the last descent instead of that of the estimator; there is
            a state for each of them.
        """
        descents = self._descents(final_noises)
        if etas is None:
            outcomes = descents.path(trainer)
        else:
            to_radius = descents.projection.to_radius
            goals = [Goal(radius=to_radius(eta)) for eta in etas]
            outcomes = descents.run(trainer, goals)
        with torch_threads(self.n_threads):
            for outcome in outcomes:
                yield self._fitted_state(problem, outcome.trainer, outcome)

    def _descents(self, final_noises=None):
        return Descents(
            projection=self._projection(),
            kind=self.descent,
            max_epochs=self.max_epochs,
            survival_rate=self.survival_rate,
            final_noises=final_noises or [self.final_noise],
        )

    def _projection(self):
        return ColumnProjection(self.projection, self.n_features_in_, self.n_threads)

    def _fitted_state(self, problem, trainer, outcome=None):
        """Return the fitted attributes of a network, which may still be in training."""
        module = copy.deepcopy(trainer.module)
        if outcome is None:
            weight = first_layer(module).cpu().numpy()
            norms = self._projection().norms(weight)
        else:
            norms = outcome.importances
        importances = np.zeros(self.n_features_in_, dtype=norms.dtype)
        importances[trainer.columns] = norms
        state = {
            **problem.attributes,
            "module_": module,
            "_columns_": trainer.columns,
            "feature_importances_": importances,
            "n_selected_features_": int(np.count_nonzero(importances)),
            "_has_decoder_": trainer.objective.reconstruction_weight > 0,
            "loss_curve_": list(trainer.loss_curve),
            "n_iter_": len(trainer.loss_curve),
            "validation_scores_": list(trainer.validation_scores) or None,
            "best_validation_score_": trainer.best_validation_score,
        }
        if outcome is not None:
            state["eta_"] = self._projection().to_eta(outcome.radius)
        return state

    def _warn_if_few_are_selected(self):
        n_selected = self.n_selected_features_
        wanted = self.n_features_to_select
        if wanted is not None and n_selected < wanted:
            message = (
                f"Only {n_selected} features could be selected, fewer than "
                f"n_features_to_select={wanted}: the other columns of the first layer "
                "are zero, or the projection cannot keep more."
            )
        elif n_selected == 0:
            message = (
                "No feature was selected: the projection made every column of the "
                f"first layer zero. Increase eta (now {self.eta_!r})."
            )
        else:
            return
        warnings.warn(message, UserWarning, stacklevel=WARN_AT_CALLER)

    @property
    def _n_features_out(self):
        """Length of the latent code, which scikit-learn makes names for."""
        return self.module_.encoder[-1].out_features

    @property
    def encoder_weights_(self):
        """First-layer weights of the encoder, of shape (n_hidden, n_features)."""
        check_is_fitted(self)
        weight = first_layer(self.module_).cpu().numpy()
        weights = np.zeros((len(weight), self.n_features_in_), dtype=weight.dtype)
        weights[:, self._columns_] = weight
        return weights

    def _network(self, X, problem, random_state, fitted):
        start = super()._network(X, problem, random_state, fitted)
        if callable(self.projection):  # better found out before the training
            weight = first_layer(start.module).cpu().numpy()
            self._projection().project(weight, self.eta)
        return start

    def _trainer_settings(self, problem):
        return {
            "objective": Objective(
                self._prediction_loss(),
                REGRESSION_LOSSES[self.reconstruction_loss],
                self.reconstruction_weight,
            ),
            "input_noise": self.input_noise,
        }

    @property
    def _dtype(self):
        return self.feature_importances_.dtype

    def _new_module(self, sizes, dtype, generator):
        """Return a network with random weights, on the CPU."""
        make = {"dtype": dtype, "generator": generator}
        encoder = make_mlp(sizes, self.activation, **make)
        return Autoencoder(encoder, make_mlp(sizes[::-1], self.activation, **make))

    def _take_weights(self, module, fitted, problem):
        """Make a new network continue the previous fit."""
        if (
            len(self.feature_importances_) != module.encoder[0].in_features
            or first_layer(fitted).dtype != first_layer(module).dtype
            or len(first_layer(fitted)) != len(first_layer(module))
            or str(fitted.encoder[1:]) != str(module.encoder[1:])
            or not self._has_same_targets(problem)
        ):
            raise ValueError(OTHER_NETWORK)
        module.put_features(fitted, self._columns_)

    def _latent(self, X):
        return self._apply(lambda module, rows: module.encoder(rows), X)

    def transform(self, X):
        """Encode the samples.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        latent : ndarray of shape (n_samples, n_outputs)
            The latent code, one column per class or target.
        """
        return self._latent(X)

    def reconstruct(self, X):
        """Encode and decode the samples.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        reconstruction : ndarray of shape (n_samples, n_features)
            What the decoder makes of the latent code; zero for features that were not
            selected.

        Raises
        ------
        ValueError
            If `reconstruction_weight` was 0: the decoder was not trained then.
        """
        check_is_fitted(self)
        if not self._has_decoder_:
            raise ValueError(
                "There is no trained decoder: fit with reconstruction_weight > 0."
            )
        selected = self._apply(
            lambda module, rows: module.decoder(module.encoder(rows)), X
        )
        reconstruction = np.zeros(
            (len(selected), self.n_features_in_), dtype=selected.dtype
        )
        reconstruction[:, self._columns_] = selected
        return reconstruction

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

    def compact(self):
        """Return an equal model that takes the selected features only.

        Its input is ``X[:, self.get_support()]``. It needs memory and time in
        proportion to the number of selected features.

        Returns
        -------
        model : object
            A fitted estimator of the same class, with
            ``n_features_in_ == n_selected_features_``.

        Raises
        ------
        ValueError
            If no feature is selected.
        """
        check_is_fitted(self)
        if len(self._columns_) == 0:
            raise ValueError("No feature is selected, so there is no compact model.")
        model = copy.deepcopy(self)
        vars(model).pop("_stream_", None)
        model.n_features_in_ = len(self._columns_)
        model._columns_ = np.arange(len(self._columns_))
        for name in (*self._feature_attributes, "feature_names_in_"):
            if hasattr(self, name):
                setattr(model, name, getattr(self, name)[..., self._columns_])
        return model

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
