"""Base class of the estimators that train a network."""

import numbers
from abc import ABCMeta, abstractmethod
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import assert_all_finite, check_random_state
from sklearn.utils.sparsefuncs import min_max_axis

from skproj.blocks import RowBlocks
from skproj.blocks._duplicates import dense_rows
from skproj.linear_model._targets import plain_target
from skproj.nn._training._block_samples import BlockSamples
from skproj.nn._training._network import ACTIVATIONS
from skproj.nn._training._optimizers import SOLVERS
from skproj.nn._training._samples import Samples, TrainingData, prediction_rows
from skproj.nn._training._state import (
    PartialFitState,
    network_from_arrays,
    network_to_arrays,
)
from skproj.nn._training._tensors import (
    device_of,
    resolve_device,
    to_tensor,
    torch_dtype,
    torch_threads,
)
from skproj.nn._training._trainer import (
    FitCallbacks,
    Trainer,
    TrainingHistory,
    TrainingOptions,
)
from skproj.nn._training._units import largest_entry
from skproj.utils._doc_link import DocumentationLink
from skproj.utils._state import VersionedState
from skproj.utils._survival import refuse_survival
from skproj.utils._validation import (
    SUPPORTED_DTYPES,
    Interval,
    StrOptions,
    check_block_features,
    check_is_fitted,
    check_names,
    validate_data,
)
from skproj.utils._wording import join_names, name_columns

# With batch_size="auto", an epoch has this many steps if batches stay in the range.
AUTO_STEPS_PER_EPOCH = 6
MIN_AUTO_BATCH_SIZE = 8
MAX_AUTO_BATCH_SIZE = 128

DIFFERENT_NETWORK = (
    "warm_start=True and partial_fit need the classes, number and names of features, "
    "dtype, activation and hidden_layer_sizes of the previous fit, partial_fit also "
    "its never_keep and standardize, which differ."
)

# Entries of which so many squares can be added up are not too large.
SQUARES_AT_ONCE = 1e5

# Frames between a method called by `fit` and the caller of `fit`, with its decorators.
FIT_STACKLEVEL = 5

# Fitted attributes that are networks.
NETWORK_ATTRIBUTES = "module_", "_smaller_"


def auto_batch_size(n_samples):
    """Return the samples of an optimizer step for ``batch_size="auto"``."""
    size = max(n_samples // AUTO_STEPS_PER_EPOCH, MIN_AUTO_BATCH_SIZE)
    return min(size, MAX_AUTO_BATCH_SIZE)


class BaseNetwork(
    VersionedState,
    DocumentationLink,
    CallbackSupportMixin,
    BaseEstimator,
    metaclass=ABCMeta,
):
    """An estimator with a network: validation, samples, random numbers, blocks."""

    _parameter_constraints: dict = {  # noqa: RUF012
        "hidden_layer_sizes": [
            "array-like",
            Interval(numbers.Integral, 1, None, closed="left"),
        ],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "max_epochs": [Interval(numbers.Integral, 1, None, closed="left")],
        "device": [str, torch.device],
        "n_threads": [Interval(numbers.Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    # Fitted attributes of every network, and the state of `partial_fit`.
    _network_attributes = (
        "_columns_",
        "loss_curve_",
        "module_",
        "n_iter_",
    )
    _optional_attributes = ("_stream_",)

    # Fitted attributes that describe the targets, in the classes for these.
    _target_attributes = ()

    @property
    def _fitted_attributes(self):
        return ((*self._network_attributes, *self._target_attributes),)

    # Further arguments of `validate_data`.
    _target_checks: dict = {}  # noqa: RUF012

    @abstractmethod
    def _encode_targets(self, X, y, sample_weight):
        """Check the targets and merge equal samples; return `EncodedTargets`."""

    @abstractmethod
    def _new_module(self, sizes, dtype, generator):
        """Return a network with random weights, on the CPU."""

    @abstractmethod
    def _take_weights(self, module, fitted, encoded):
        """Make a new network continue the previous fit."""

    @abstractmethod
    def _objective(self, encoded):
        """Return the objective of the training."""

    @abstractmethod
    def _further_options(self):
        """Return the learning rate, and the options that not every network has."""

    @abstractmethod
    def _batch_size(self, X, n_samples):
        """Return the samples of an optimizer step."""

    @abstractmethod
    def _fitted_state(self, encoded, trainer):
        """Return the fitted attributes of a network that is not trained any more."""

    @property
    def _dtype(self):
        """Precision of the fitted network."""
        empty = next(self.module_.parameters())[:0]  # nothing to copy from a device
        return empty.numpy(force=True).dtype

    def _check_partial_fit(self):
        """Raise an AttributeError if a part of the data cannot be learned."""

    def _usable_features(self):
        """Return the sorted indices of the features that the network may use."""
        return np.arange(self.n_features_in_)

    def _usable_columns(self, X):
        """Return these columns, as a C-contiguous array or a CSR matrix."""
        features = self._usable_features()
        if len(features) == X.shape[1]:
            return X
        if isinstance(X, RowBlocks):
            return X.keep_columns(features)
        X = X[:, features]
        return X if sparse.issparse(X) else np.ascontiguousarray(X)

    def _n_network_outputs(self, encoded):
        """Return how many numbers the network computes for a sample."""
        return encoded.n_outputs

    def _prediction_module(self):
        """Return the network that predicts; its input is the columns `_columns_`."""
        return self.module_

    def _names_to_keep(self):
        """Return the names of the features whose weights a fit starts with, or None."""
        if not (getattr(self, "warm_start", False) and hasattr(self, "module_")):
            return None
        return getattr(self, "feature_names_in_", None)

    def _validate_data(self, X, y, *, reset=True):
        """Check X and y; X comes back as a C-contiguous array or a CSR matrix.

        Without `reset`, it gets the precision of the fitted network.
        """
        refuse_survival(y, type(self).__name__)
        numeric = self._target_checks.get("y_numeric", False)
        names = self._names_to_keep() if reset else None
        X, y = validate_data(
            self,
            X,
            plain_target(y, numeric),
            accept_sparse="csr",
            dtype=SUPPORTED_DTYPES if reset else self._dtype,
            ensure_min_samples=2 if reset else 1,
            reset=reset,
            **self._target_checks,
        )
        check_names(names, getattr(self, "feature_names_in_", None))
        X = X if sparse.issparse(X) else np.ascontiguousarray(X)
        low, high = min_max_axis(X, 0) if sparse.issparse(X) else (X.min(0), X.max(0))
        limit = np.sqrt(np.finfo(X.dtype).max) / SQUARES_AT_ONCE
        if getattr(self, "standardize", False):
            limit = largest_entry(X.dtype)
        beyond = np.maximum(high, -low) > limit
        if beyond.any():
            beyond &= np.isin(np.arange(X.shape[1]), self._usable_features())
        if beyond.any():
            columns = name_columns(beyond, getattr(self, "feature_names_in_", None))
            raise ValueError(
                f"The training would have diverged: entries of {columns} of X exceed "
                f"{limit:.2g}. Scale them to unit variance, for example with "
                "StandardScaler in a Pipeline; no learning_rate_init is low enough."
            )
        return X, y

    @contextmanager
    def _fitting(self, X, y, sample_weight):
        """Begin a fit, and end it after the block, which trains and sets the state.

        The block gets the encoded targets and the trainer, in whose place it puts the
        one that it ends with.
        """
        context = self._init_callback_context(max_subtasks=None)
        encoded, trainer = self._prepare(X, y, sample_weight, context)
        callbacks = trainer.callbacks
        callbacks.begin(context, trainer)
        run = SimpleNamespace(encoded=encoded, trainer=trainer)
        with torch_threads(self.n_threads):
            yield run
        vars(self).pop("_stream_", None)
        callbacks.end(context, run.trainer)

    def _prepare(self, X, y, sample_weight, context, *, callbacks_may_stop=True):
        """Return the encoded targets, and a trainer with a new network for them."""
        metadata = {} if sample_weight is None else {"sample_weight": sample_weight}
        arguments = {"estimator": self, "X": X, "y": y, "metadata": metadata}
        X = self._usable_columns(X)
        encoded = self._encode_targets(X, y, sample_weight)
        random_state = check_random_state(self.random_state)
        is_continued = getattr(self, "warm_start", False)
        fitted = getattr(self, "module_", None) if is_continued else None
        start = self._network(X, encoded, random_state, fitted)
        train, held_back = self._split(encoded, random_state)
        units = self._units(X, encoded)
        trainer = self._make_trainer(X, encoded, start, train, held_back, units)
        trainer.callbacks = FitCallbacks(
            context,
            arguments=arguments,
            fitted_state=lambda other: self._fitted_state(encoded, other.branch()),
            may_stop=callbacks_may_stop,
        )
        return encoded, trainer

    def _network(self, X, encoded, random_state, fitted):
        """Return a network to train, new or like a fitted one."""
        sizes = (X.shape[1], *self._hidden_sizes(), self._n_network_outputs(encoded))
        device = resolve_device(self.device)
        generator = torch.Generator().manual_seed(random_state.randint(2**31 - 1))
        module = self._new_module(sizes, torch_dtype(X.dtype), generator)
        if fitted is not None:
            self._take_weights(module, fitted, encoded)
        if device.type != "cpu":
            generator = torch.Generator(device).manual_seed(generator.initial_seed())
        return PartialFitState(module.to(device), generator, self._layer_settings())

    def _units(self, X, encoded):
        """Return the `Units` in which the network sees all features, or None."""

    def _make_trainer(self, X, encoded, start, train, held_back, units):
        """Return a trainer of the network of a `PartialFitState`."""
        device, columns = device_of(start.module), self._usable_features()
        in_blocks = isinstance(X, RowBlocks)
        used = None if units is None else units.of(columns)
        if in_blocks or sparse.issparse(X):
            where_used = X
        else:
            where_used = to_tensor(X, device)
            if used is not None:
                where_used, used = used.standardize(where_used), None

        def samples(chosen):
            if in_blocks:
                chosen = np.sort(chosen)
            weight = encoded.weight[chosen]
            weight = weight / weight.max()  # sums of huge weights would overflow
            weight /= weight.mean()
            return (BlockSamples if in_blocks else Samples)(
                where_used,
                y=to_tensor(encoded.targets[chosen], device),
                weight=to_tensor(weight.astype(X.dtype), device),
                rows=to_tensor(encoded.rows[chosen], device),
                units=used,
            )

        data = TrainingData(
            train=samples(train),
            validation=None if held_back is None else samples(held_back),
            columns=columns,
            units=units,
        )
        options = TrainingOptions(
            max_epochs=self.max_epochs,
            batch_size=self._batch_size(X, len(train)),
            verbose=bool(self.verbose),
            **self._further_options(),
        )
        return Trainer(
            module=start.module,
            objective=self._objective(encoded),
            data=data,
            options=options,
            generator=start.generator,
        )

    def _split(self, encoded, random_state):
        """Return the samples to train with, and those to hold back or None."""
        everything = np.arange(len(encoded.rows))
        reason = self._reason_to_hold_back()
        if reason is None:
            return everything, None
        try:
            return train_test_split(
                everything,
                test_size=self.validation_fraction,
                stratify=encoded.strata,
                random_state=random_state,
            )
        except ValueError as error:
            raise ValueError(
                f"{reason} cannot hold back samples of every class, a share of "
                f"{self.validation_fraction} of {len(everything)} distinct samples: "
                f"{error}"
            ) from error

    def _reason_to_hold_back(self):
        """Return the setting that needs validation data, or None."""
        return None

    @staticmethod
    def _history_state(history):
        """Return the fitted attributes that describe the epochs."""
        return {
            "loss_curve_": list(history.loss_curve),
            "n_iter_": len(history.loss_curve),
        }

    def _set_state(self, state):
        vars(self).update(state)

    def _hidden_sizes(self):
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

    def _layer_settings(self):
        """Return the settings on which the layers depend, beside the data."""
        return self._hidden_sizes(), self.activation

    def _apply(self, function, X):
        """Validate X and run ``function(module, rows)`` on blocks of its rows."""
        check_is_fitted(self)
        if isinstance(X, RowBlocks):
            check_block_features(self, X)
        else:
            X = validate_data(
                self, X, accept_sparse="csr", dtype=SUPPORTED_DTYPES, reset=False
            )
        return self._apply_to_valid(function, X)

    def _apply_to_valid(self, function, X):
        """Run a function as `_apply` on data that were validated before."""
        if isinstance(X, RowBlocks):
            parts = []
            for _, block in X.iterate_columns(self._columns_):
                assert_all_finite(block, input_name="X")
                parts.append(self._apply_to_columns(function, block))
            return np.concatenate(parts)
        if len(self._columns_) < X.shape[1]:
            X = X[:, self._columns_]
        return self._apply_to_columns(function, X)

    def _apply_to_columns(self, function, X):
        """Run a function as `_apply` on the columns that the network takes."""
        dtype_in = X.dtype
        device = resolve_device(self.device)
        module = self._prediction_module().to(device).eval()
        dtype = torch_dtype(self._dtype)
        with torch_threads(self.n_threads), torch.inference_mode():
            blocks = []
            step = prediction_rows(X.shape[1])
            for start in range(0, X.shape[0], step):
                rows = dense_rows(X, slice(start, start + step))
                rows = to_tensor(rows, device).to(dtype)
                beyond = ~torch.isfinite(rows).all(dim=0).numpy(force=True)
                if beyond.any():
                    columns = self._columns_[beyond].tolist()
                    raise ValueError(
                        f"X contains values beyond the range of {dtype}, in which "
                        f"the network was trained, in columns {join_names(columns)}."
                    )
                blocks.append(function(module, rows))
            return torch.cat(blocks).cpu().numpy().astype(dtype_in, copy=False)

    @contextmanager
    def _learning_part(self, X, encoded, **options):
        """Train for one epoch of a `partial_fit`; the block sets the fitted state.

        The block gets the trainer. The state is marked as unfinished until its end: the
        next call after a failure starts afresh. The options are further fields of
        `TrainingOptions`.
        """
        X = self._usable_columns(X)
        units = self._units(X, encoded)
        state = getattr(self, "_stream_", None)
        if state is not None and state.settings != self._layer_settings():
            raise ValueError(DIFFERENT_NETWORK)
        if state is None or state.is_learning:
            random_state = check_random_state(self.random_state)
            fitted = getattr(self, "module_", None)
            if fitted is not None and units is not None:
                fitted = units.of(self._columns_).unfold(fitted)
            state = self._network(X, encoded, random_state, fitted)
        everything = np.arange(len(encoded.rows))
        trainer = self._make_trainer(X, encoded, state, everything, None, units)
        trainer.history = TrainingHistory(list(getattr(self, "loss_curve_", [])))
        trainer.options = options = replace(trainer.options, **options)
        if not isinstance(state.optimizer, SOLVERS[options.solver]):
            state.optimizer = options.make_optimizer(state.module)
        # Parameters may be set between two calls.
        state.optimizer.learning_rate = options.learning_rate
        state.optimizer.weight_decay = options.weight_decay
        state.optimizer.penalty = options.penalty
        state.optimizer.eps = options.eps
        state.is_learning = True
        with torch_threads(self.n_threads):
            trainer.train_epoch(state.optimizer)
            yield trainer
        state.is_learning = False
        self._stream_ = state

    def __getstate__(self):
        state = super().__getstate__()
        for name in NETWORK_ATTRIBUTES:
            if name in state:
                state[name] = network_to_arrays(state[name])
        if "_stream_" in state:
            state["_stream_"] = state["_stream_"].to_arrays()
        return state

    def __setstate__(self, state):
        super().__setstate__(state)
        fitted = vars(self)
        for name in NETWORK_ATTRIBUTES:
            if name in fitted:
                fitted[name] = network_from_arrays(fitted[name])
        arrays = fitted.pop("_stream_", None)
        resumed = None if arrays is None else PartialFitState.from_arrays(arrays)
        if resumed is not None:  # else `partial_fit` starts from the fitted network
            self._stream_ = resumed

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
