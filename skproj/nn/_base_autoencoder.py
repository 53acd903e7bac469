"""Base class of the sparse supervised autoencoders."""

import copy
import functools
import numbers
import warnings
from abc import abstractmethod

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array

from skproj.blocks import RowBlocks
from skproj.linear_model._default_radius import choose_number
from skproj.linear_model._feature_structure import structure_of
from skproj.nn._base_network import (
    DIFFERENT_NETWORK,
    FIT_STACKLEVEL,
    BaseNetwork,
    auto_batch_size,
)
from skproj.nn._block_input import validate_blocks
from skproj.nn._docs import AUTOENCODER_DOCS, PREDICTION_DOCS
from skproj.nn._schedule import KINDS, SparsificationSchedule
from skproj.nn._training._column_projection import ColumnProjection
from skproj.nn._training._compiled import reason_against_compiled
from skproj.nn._training._consensus import ConsensusTraining, draw_parts
from skproj.nn._training._decoder import fit_decoder
from skproj.nn._training._network import (
    ACTIVATIONS,
    Autoencoder,
    first_layer,
    make_mlp,
)
from skproj.nn._training._objectives import Objective
from skproj.nn._training._schedule import (
    ProjectedTraining,
    SparseResult,
    SparsityTarget,
    drop_columns,
    project_to_target,
)
from skproj.nn._training._sparse_rows import multiplies_sparse
from skproj.nn._training._tensors import (
    resolve_device,
    to_tensor,
    torch_dtype,
    torch_threads,
)
from skproj.nn._training._units import Units
from skproj.projection._registry import SPARSIFYING
from skproj.utils._choices import number_to_select
from skproj.utils._docs import shared_docs
from skproj.utils._features import (
    by_index,
    feature_parameters,
    of_columns,
)
from skproj.utils._validation import (
    SUPPORTED_DTYPES,
    Interval,
    StrOptions,
    _fit_context,
    atomic_fit,
    check_is_fitted,
)

# Batches that stay sparse may be larger than others if an epoch has this many steps.
# What a step takes that does not depend on the samples is much of that of small ones.
SPARSE_STEPS_PER_EPOCH = 100
MAX_SPARSE_BATCH_SIZE = 2048


# Noise on the input, and in the last stage; it makes the predictions of a regression
# smaller, so that there is less of it.
CLASSIFICATION_NOISE, REGRESSION_NOISE = (1.0, 0.5), (0.3, 0.1)


class BaseSparseAutoencoder(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseNetwork
):
    """An autoencoder whose latent code predicts and whose first layer is projected."""

    eta_: float
    encoder_weights_: np.ndarray
    feature_importances_: np.ndarray
    reconstruction_error_: np.ndarray
    n_selected_features_: int
    loss_curve_: list[float]
    n_iter_: int
    module_: torch.nn.Module

    _parameter_constraints: dict = {  # noqa: RUF012
        **BaseNetwork._parameter_constraints,
        "eta": [Interval(numbers.Real, 0, None, closed="right"), None],
        "n_features_to_select": [
            Interval(numbers.Integral, 1, None, closed="left"),
            None,
        ],
        "projection": [StrOptions({*SPARSIFYING, "hoyer"}), callable],
        "feature_weights": ["array-like", None],
        "always_keep": ["array-like", None],
        "never_keep": ["array-like", None],
        "feature_groups": ["array-like", dict, None],
        "standardize": ["boolean"],
        "schedule": [StrOptions(set(KINDS)), SparsificationSchedule],
    }

    _network_attributes = (
        *BaseNetwork._network_attributes,
        "eta_",
        "feature_importances_",
        "feature_mean_",
        "feature_scale_",
        "n_selected_features_",
        "reconstruction_error_",
    )

    # Fitted attributes whose last axis is that of the features.
    _feature_attributes = (
        "feature_importances_",
        "feature_mean_",
        "feature_scale_",
        "reconstruction_error_",
    )
    # Whether the code are the logits of a softmax.
    _code_is_logits = False

    @abstractmethod
    def _linear_targets(self, encoded):
        """Return the loss and the targets of a linear model in place of this one."""

    @abstractmethod
    def _prediction_loss(self):
        """Return the loss of the latent code, as an `Objective` takes it."""

    @shared_docs(**AUTOENCODER_DOCS)
    @_fit_context(prefer_skip_nested_validation=True)
    @atomic_fit
    def fit(self, X, y, sample_weight=None):
        """Train the network and select features.

        Data that do not fit into memory are passed as
        :class:`~skproj.blocks.RowBlocks` in place of an array. They are read in a pass
        for each epoch, once for the moments of the features with `standardize`, once
        for the choice of their number without `eta` and `n_features_to_select`, once
        more when the features that are left fit into memory, and once, with the
        selected features, for the decoder if it needs them.
        Nearby samples are shuffled, and equal ones are not merged: store the samples
        in random order.

        Parameters
        ----------
        {fit_sections}

        Warns
        -----
        UserWarning
            If no feature is selected, or fewer than `n_features_to_select`, or if
            neither this nor `eta` is given and no linear model learns anything.
        """
        if isinstance(X, RowBlocks):
            X, y = validate_blocks(self, X, y)
        else:
            X, y = self._validate_data(X, y)
        for name in ("feature_mean_", "feature_scale_"):  # of an earlier fit
            vars(self).pop(name, None)
        schedule = self._schedule()
        with self._fitting(X, y, sample_weight) as run:
            target = self._sparsity_target(X, run.encoded)
            if schedule.kind == "consensus":
                stratify = run.encoded.strata is not None
                parts = draw_parts(run.trainer, stratify=stratify)
                (results,) = self._consensus().run(run.trainer, [target], parts)
                result, *_ = results.of_groups
                if schedule.final_noise < schedule.input_noise and not results.stopped:
                    result, *_ = results.refine(schedule.final_noise)
            else:
                training = ProjectedTraining(
                    projection=self._projection(),
                    trains_again=schedule.kind == "double",
                    rewinds=schedule.rewind,
                    final_noise=schedule.final_noise,
                )
                result = training.run(run.trainer, target)
            data, run.trainer = run.trainer.data, result.trainer
            self._set_state(self._fitted_state(run.encoded, run.trainer, result))
            self._fit_decoder(data)
        self._fit_predictions(X, y, sample_weight)
        self._warn_if_few_are_selected()
        return self

    def _fit_decoder(self, data):
        """Fit the decoder, unless it was trained with the encoder.

        The data are those of the training, with some or all of the features.
        """
        errors = np.full(len(self.feature_importances_), np.nan)  # float64: squares
        if len(self._columns_):
            errors[self._columns_] = fit_decoder(
                self.module_,
                data.train,
                np.searchsorted(data.columns, self._columns_),
                units=data.units and data.units.of(self._columns_),
                has_free_shift=self._code_is_logits,
                is_fitted=self._objective().reconstruction_weight > 0.0,
            )
        self.reconstruction_error_ = errors

    def _fit_predictions(self, X, y, sample_weight):
        """Fit what makes predictions of the latent code, if there is such a thing."""

    @property
    def _chooses_number(self):
        return self.eta is None and self.n_features_to_select is None

    def _sparsity_target(self, X, encoded):
        """Return the last projection of the schedule."""
        if self._chooses_number:
            loss, targets = self._linear_targets(encoded)
            y = np.zeros((X.shape[0], *targets.shape[1:]), dtype=targets.dtype)
            y[encoded.rows] = targets
            weight = np.zeros(X.shape[0])
            weight[encoded.rows] = encoded.weight
            number, doubt = choose_number(loss, X, y, weight, self._structure())
            if doubt is not None:
                warnings.warn(doubt, UserWarning, stacklevel=FIT_STACKLEVEL)
            return SparsityTarget(n_features=number)
        if self.n_features_to_select is None:
            return SparsityTarget(eta=self._projection().check_eta(self.eta))
        wanted = number_to_select(
            "n_features_to_select",
            self.n_features_to_select,
            self._structure().n_in_ball,
            stacklevel=FIT_STACKLEVEL,
        )
        return SparsityTarget(n_features=wanted)

    def _learn(self, X, encoded):
        """Train one epoch on a part of the data, then project: a `partial_fit`."""
        projection = self._projection()
        if self._chooses_number and hasattr(self, "n_selected_features_"):
            n_free = self.n_selected_features_ - len(self._structure().forced)
            target = SparsityTarget(n_features=max(n_free, 1))
        else:
            target = self._sparsity_target(X, encoded)
        with self._learning_part(X, encoded) as trainer:
            eta, norms = project_to_target(trainer, projection, target)
            # All features stay in training; the fitted network is a small copy.
            fitted = trainer.branch()
            importances = drop_columns(fitted, projection, norms, target.n_features)
            result = SparseResult(fitted, eta, importances)
            self._set_state(self._fitted_state(encoded, fitted, result))
            self._fit_decoder(trainer.data)

    def _schedule(self):
        """Return the schedule, with numbers for what is "auto"."""
        schedule = self.schedule
        if isinstance(schedule, str):
            schedule = SparsificationSchedule(schedule)
        return schedule._resolved(*self._auto_noise())

    def _auto_noise(self):
        """Return the noise on the input, and that in the last stage."""
        return CLASSIFICATION_NOISE

    def _consensus(self):
        return ConsensusTraining(
            projection=self._projection(),
            keep_fraction=self._schedule().keep_fraction,
            hidden_sizes=self._hidden_sizes(),
            activation=self.activation,
        )

    def _train_groups(self, encoded, trainer, etas, shares):
        """Train a group of networks for each part of the samples, side by side.

        Parameters
        ----------
        encoded : EncodedTargets
        trainer : Trainer
        etas : ndarray of shape (n_etas,) or None
            Radii, from dense to sparse; None for those of the intermediate projections.
        shares : ndarray of shape (n_parts, n_samples)
            How much of the weight of each sample the parts have.

        Yields
        ------
        states : list of dict
            The fitted attributes for each radius: of all the samples, and the parts.
        refine : callable
            ``refine(noise)`` returns such a list after one more stage with this noise
            on the input.
        """
        consensus = self._consensus()
        if etas is None:
            path = consensus.run_path(trainer, shares)
        else:
            check_eta = self._projection().check_eta
            targets = [SparsityTarget(eta=check_eta(eta)) for eta in etas]
            path = consensus.run(trainer, targets, shares)

        def states_of(of_groups):
            return [
                self._fitted_state(encoded, result.trainer, result)
                for result in of_groups
            ]

        def refine(results, noise):
            with torch_threads(self.n_threads):
                return states_of(results.refine(noise))

        with torch_threads(self.n_threads):
            for results in path:
                yield states_of(results.of_groups), functools.partial(refine, results)

    def _projection(self):
        return ColumnProjection(self.projection, self._structure(), self.n_threads)

    def _indexed_parameters(self):
        """Return the parameters on features, without names."""
        names = getattr(self, "feature_names_in_", None)
        return by_index(feature_parameters(self), self.n_features_in_, names)

    def _structure(self):
        """Return what the parameters say about the features."""
        structure = structure_of(self, {*SPARSIFYING, "hoyer"})
        if len(structure.all_features()) == 0:
            raise ValueError(
                "never_keep and infinite feature_weights must leave a feature, got all "
                f"{self.n_features_in_}."
            )
        return structure

    def _usable_features(self):
        return self._structure().all_features()

    def _batch_size(self, X, n_samples):
        schedule = self._schedule()
        if schedule.batch_size != "auto":
            return schedule.batch_size
        size = auto_batch_size(n_samples)
        activations = [ACTIVATIONS[self.activation]] * len(self._hidden_sizes())
        device = resolve_device(self.device)
        step = self._objective(), activations, device
        if (
            not isinstance(X, RowBlocks)
            or not multiplies_sparse(X)
            or schedule.kind != "consensus"
            or reason_against_compiled(*step) is not None
        ):
            return size
        many = min(n_samples // SPARSE_STEPS_PER_EPOCH, MAX_SPARSE_BATCH_SIZE)
        return max(size, many)

    def _units(self, X, encoded):
        if not self.standardize:
            return None
        if getattr(self, "feature_mean_", None) is not None:  # of a `partial_fit`
            return Units(self.feature_mean_, self.feature_scale_)
        units = Units.of_samples(X, encoded.rows, encoded.weight)
        return units.spread(self._usable_features(), self.n_features_in_)

    def _layer_settings(self):
        settings = super()._layer_settings()
        if self.standardize:  # earlier versions never did, and have no such setting
            settings = *settings, "standardize"
        usable = self._usable_features()
        if len(usable) == self.n_features_in_:
            return settings
        return *settings, tuple(usable.tolist())

    def _fitted_state(self, encoded, trainer, result=None):
        module = trainer.module
        if result is None:
            weight = first_layer(module).cpu().numpy()
            norms = self._projection().norms(weight)
        else:
            norms = result.importances
        importances = np.zeros(self.n_features_in_, dtype=norms.dtype)
        importances[trainer.data.columns] = norms
        forced = self._structure().forced
        smallest = np.finfo(norms.dtype).tiny
        importances[forced] = np.maximum(importances[forced], smallest)
        units, columns = trainer.data.units, trainer.data.columns
        state = {
            **encoded.attributes,
            "module_": module if units is None else units.of(columns).fold(module),
            "_columns_": columns,
            "feature_importances_": importances,
            "feature_mean_": None if units is None else units.mean,
            "feature_scale_": None if units is None else units.scale,
            "n_selected_features_": int(np.count_nonzero(importances)),
            "reconstruction_error_": None,  # until there is a decoder
            **self._history_state(trainer.history),
        }
        if result is not None:
            state["eta_"] = result.eta
        return state

    def _warn_if_few_are_selected(self):
        n_selected = self.n_selected_features_
        structure, wanted = self._structure(), self.n_features_to_select
        n_free = n_selected - len(structure.forced)
        reachable = 0 if wanted is None else min(wanted, structure.n_in_ball)
        if wanted is not None and structure.grouped:  # groups may not add up to it
            uneven = np.ptp(structure.sizes) > 0
            reachable = 1 if uneven else structure.reachable(reachable)
        if n_free < reachable:
            message = (
                f"Only {n_free} features could be selected, fewer than "
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
        warnings.warn(message, UserWarning, stacklevel=FIT_STACKLEVEL)

    @property
    def _n_features_out(self):
        """Length of the latent code, which scikit-learn makes names for."""
        return self.module_.encoder[-1].out_features

    @property
    def encoder_weights_(self):
        """First-layer weights of the encoder, of shape (n_hidden, n_features)."""
        check_is_fitted(self)
        return self._in_all_columns(first_layer(self.module_).cpu().numpy())

    def _in_all_columns(self, selected):
        """Return an array with zeros for the features that were not selected."""
        columns = np.zeros((len(selected), self.n_features_in_), dtype=selected.dtype)
        columns[:, self._columns_] = selected
        return columns

    def _network(self, X, encoded, random_state, fitted):
        start = super()._network(X, encoded, random_state, fitted)
        if callable(self.projection):  # better found out before the training
            weight = first_layer(start.module).cpu().numpy()
            self._projection().project(weight, 1.0 if self.eta is None else self.eta)
        return start

    def _objective(self, encoded=None):
        schedule = self._schedule()
        is_joint = schedule.kind != "consensus"
        weight = schedule.reconstruction_weight if is_joint else 0.0
        return Objective(self._prediction_loss(), reconstruction_weight=weight)

    def _further_options(self):
        schedule = self._schedule()
        return {
            "learning_rate_init": schedule.learning_rate_init,
            "input_noise": schedule.input_noise,
        }

    def _new_module(self, sizes, dtype, generator):
        """Return a network with random weights, on the CPU."""
        make = {"dtype": dtype, "generator": generator}
        encoder = make_mlp(sizes, self.activation, **make)
        return Autoencoder(encoder, make_mlp(sizes[::-1], self.activation, **make))

    def _take_weights(self, module, fitted, encoded):
        """Make a new network continue the previous fit."""
        if (
            len(self.feature_importances_) != self.n_features_in_
            or first_layer(fitted).dtype != first_layer(module).dtype
            or len(first_layer(fitted)) != len(first_layer(module))
            or str(fitted.encoder[1:]) != str(module.encoder[1:])
            or not self._has_same_targets(encoded)
        ):
            raise ValueError(DIFFERENT_NETWORK)
        usable = self._usable_features()
        still_usable = np.isin(self._columns_, usable)
        if not still_usable.all():
            fitted = copy.deepcopy(fitted)
            fitted.keep_features(np.flatnonzero(still_usable))
        places = np.searchsorted(usable, self._columns_[still_usable])
        module.put_features(fitted, places)

    def _latent(self, X):
        """Return the latent code, which is what the network predicts from."""
        return self._apply(lambda module, rows: module.encoder(rows), X)

    _output = _latent

    @shared_docs(**PREDICTION_DOCS)
    def transform(self, X):
        """Encode the samples.

        {data_and_returns}
        latent : ndarray of shape (n_samples, n_outputs)
            The latent code, one column per class or target.
        """
        return self._latent(X)

    @shared_docs(**PREDICTION_DOCS)
    def reconstruct(self, X):
        """Encode and decode the samples.

        {data_and_returns}
        reconstruction : ndarray of shape (n_samples, n_features)
            Output of the decoder; zero for features that were not selected.

        """
        self._check_decoder()
        selected = self._apply(
            lambda module, rows: module.decoder(module.encoder(rows)), X
        )
        return self._in_all_columns(selected)

    def inverse_transform(self, Z):
        """Decode latent codes.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_outputs)
            Latent codes, as `transform` returns them.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Output of the decoder; zero for features that were not selected.
        """
        self._check_decoder()
        Z = check_array(Z, dtype=SUPPORTED_DTYPES, input_name="Z")
        if Z.shape[1] != self._n_features_out:
            raise ValueError(
                f"Z must have {self._n_features_out} columns, those of transform, got "
                f"{Z.shape[1]}."
            )
        device = resolve_device(self.device)
        decoder = self.module_.decoder.to(device).eval()
        with torch_threads(self.n_threads), torch.inference_mode():
            code = to_tensor(np.array(Z), device).to(torch_dtype(self._dtype))
            selected = decoder(code).cpu().numpy().astype(Z.dtype, copy=False)
        return self._in_all_columns(selected)

    def _check_decoder(self):
        check_is_fitted(self)
        if self.reconstruction_error_ is None:
            raise ValueError(
                "There is no trained decoder: this model was saved by an earlier "
                "version; fit it again."
            )

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
        indexed = self._indexed_parameters()
        model.set_params(**of_columns(indexed, self._columns_))
        model.n_features_in_ = len(self._columns_)
        model._columns_ = np.arange(len(self._columns_))
        for name in (*self._feature_attributes, "feature_names_in_"):
            if getattr(self, name, None) is not None:
                setattr(model, name, getattr(self, name)[..., self._columns_])
        return model

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
