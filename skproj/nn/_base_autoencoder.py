"""Base class of the sparse supervised autoencoders."""

import copy
import numbers
import warnings
from abc import abstractmethod

import numpy as np
import torch
from scipy import sparse

from skproj.blocks import RowBlocks
from skproj.blocks._row_blocks import set_feature_names
from skproj.linear_model._default_radius import choose_number
from skproj.linear_model._feature_structure import structure_of
from skproj.nn._autoencoder_output import AutoencoderOutputMixin
from skproj.nn._base_network import (
    DIFFERENT_NETWORK,
    FIT_STACKLEVEL,
    BaseNetwork,
    auto_batch_size,
)
from skproj.nn._docs import AUTOENCODER_DOCS
from skproj.nn._schedule import KINDS, SparsificationSchedule
from skproj.nn._training._block_samples import MEMORY_BYTES
from skproj.nn._training._column_projection import ColumnProjection
from skproj.nn._training._compiled import reason_against_compiled
from skproj.nn._training._consensus import ConsensusTraining, draw_parts
from skproj.nn._training._decoder import fit_decoder
from skproj.nn._training._measured_blocks import measure
from skproj.nn._training._network import ACTIVATIONS, Autoencoder, first_layer, make_mlp
from skproj.nn._training._objectives import Objective
from skproj.nn._training._schedule import (
    SparseResult,
    SparsityTarget,
    drop_columns,
    project_to_target,
    train_and_project,
)
from skproj.nn._training._sparse_rows import multiplies_sparse
from skproj.nn._training._tensors import resolve_device
from skproj.nn._training._units import Units
from skproj.projection._registry import SPARSIFYING
from skproj.utils._choices import number_to_select
from skproj.utils._docs import shared_docs
from skproj.utils._features import by_index, feature_parameters
from skproj.utils._validation import (
    Interval,
    StrOptions,
    _fit_context,
    atomic_fit,
    check_names,
)

# Batches that stay sparse may be larger than others if an epoch has this many steps.
# What a step takes that does not depend on the samples is much of that of small ones.
SPARSE_STEPS_PER_EPOCH = 100
MAX_SPARSE_BATCH_SIZE = 2048


# Noise on the input, and in the last stage; it makes the predictions of a regression
# smaller, so that there is less of it.
CLASSIFICATION_NOISE, REGRESSION_NOISE = (1.0, 0.5), (0.3, 0.1)


class BaseSparseAutoencoder(AutoencoderOutputMixin, BaseNetwork):
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
        X, y = self._validate_for_fit(X, y)
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
                result = train_and_project(
                    run.trainer, target, self._projection(), schedule
                )
            data, run.trainer = run.trainer.data, result.trainer
            self._set_state(self._fitted_state(run.encoded, run.trainer, result))
            self._fit_decoder(data)
        self._fit_predictions(X, y, sample_weight)
        self._warn_if_few_are_selected()
        return self

    def _validate_for_fit(self, X, y):
        """Check X and y, of which blocks are read in a first pass.

        These come back as `MeasuredBlocks` or, if they are few enough, in memory.
        """
        if not isinstance(X, RowBlocks):
            return self._validate_data(X, y)
        # A stand-in without entries, which are checked in the pass.
        empty = sparse.csr_array(X.shape, dtype=X.dtype)
        names = self._names_to_keep()
        _, y = self._validate_data(empty, y)
        set_feature_names(self, X)
        check_names(names, X.feature_names)
        X = measure(X)
        if X.n_bytes > MEMORY_BYTES:
            return X, y
        X = X.take_columns(np.arange(X.shape[1]))
        return X if sparse.issparse(X) else np.ascontiguousarray(X), y

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
            advice = f"Increase eta (now {self.eta_:g})."
            if self.eta_ == np.inf:
                advice = "The features are constant, or have no effect."
            message = (
                "No feature was selected: the training or the projection made every "
                f"column of the first layer zero. {advice}"
            )
        else:
            return
        warnings.warn(message, UserWarning, stacklevel=FIT_STACKLEVEL)

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
