"""What all estimators that train a network share."""

import numbers
from abc import ABCMeta, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state

from skproj.nn._training._loop import (
    SGD,
    Adam,
    Samples,
    Trainer,
    dense_rows,
    device_of,
    prediction_rows,
    resolve_device,
    to_tensor,
    torch_dtype,
    torch_threads,
)
from skproj.nn._training._network import ACTIVATIONS
from skproj.nn._training._state import (
    generator_from_array,
    generator_to_array,
    network_from_arrays,
    network_to_arrays,
    optimizer_from_arrays,
    optimizer_to_arrays,
)
from skproj.utils._state import VersionedState
from skproj.utils._validation import (
    Interval,
    StrOptions,
    check_is_fitted,
    validate_data,
)

SUPPORTED_DTYPES = [np.float64, np.float32]

# What batch_size="auto" means: so many steps in an epoch, if batches stay in the range.
MIN_STEPS = 6
SMALLEST_BATCH = 8
LARGEST_BATCH = 128

OTHER_NETWORK = (
    "warm_start=True and partial_fit need the classes, number of features, dtype, "
    "activation and hidden_layer_sizes of the previous fit, which differ."
)

# From a method called by `fit`, through `fit` and its decorators.
WARN_AT_CALLER = 5

# Fitted attributes that are networks.
NETWORKS = "module_", "_smaller_"


@dataclass
class Stream:
    """What a `partial_fit` leaves for the next one: a network of all features.

    Attributes
    ----------
    module : torch.nn.Module
    generator : torch.Generator
    settings : tuple
        Of the layers; they cannot change.
    optimizer : Adam, SGD or None
        None before the first part.
    is_learning : bool
        Whether a part is being learned, or could not be learned to its end.
    """

    module: torch.nn.Module
    generator: torch.Generator
    settings: tuple
    optimizer: Adam | SGD | None = None
    is_learning: bool = False

    def to_arrays(self):
        """Return all that is needed to go on elsewhere."""
        optimizer = self.optimizer
        return {
            "module": network_to_arrays(self.module),
            "generator": generator_to_array(self.generator),
            "device": str(self.generator.device),
            "settings": self.settings,
            "optimizer": None if optimizer is None else optimizer_to_arrays(optimizer),
            "is_learning": self.is_learning,
        }

    @classmethod
    def from_arrays(cls, state):
        """Undo `to_arrays`; None where the device is missing."""
        try:
            device = resolve_device(state["device"])
        except ValueError:
            return None
        module = network_from_arrays(state["module"]).to(device)
        optimizer = state["optimizer"]
        if optimizer is not None:
            optimizer = optimizer_from_arrays(optimizer, module.parameters(), device)
        return cls(
            module=module,
            generator=generator_from_array(state["generator"], device),
            settings=state["settings"],
            optimizer=optimizer,
            is_learning=state["is_learning"],
        )


class BaseNetwork(
    VersionedState, CallbackSupportMixin, BaseEstimator, metaclass=ABCMeta
):
    """An estimator with a network: validation, samples, random numbers, blocks."""

    _parameter_constraints: dict = {  # noqa: RUF012
        "hidden_layer_sizes": [
            "array-like",
            Interval(numbers.Integral, 1, None, closed="left"),
        ],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "max_epochs": [Interval(numbers.Integral, 1, None, closed="left")],
        "batch_size": [
            Interval(numbers.Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "learning_rate_init": [Interval(numbers.Real, 0, None, closed="neither")],
        "weight_decay": [Interval(numbers.Real, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(numbers.Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(numbers.Integral, 1, None, closed="left")],
        "tol": [Interval(numbers.Real, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "device": [str, torch.device],
        "n_threads": [Interval(numbers.Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    # Fitted attributes of every network, and what a `partial_fit` remembers.
    _network_attributes = (
        "_columns_",
        "best_validation_score_",
        "loss_curve_",
        "module_",
        "n_iter_",
        "validation_scores_",
    )
    _optional_attributes = ("_stream_",)

    # Further arguments of `validate_data`.
    _target_checks: dict = {}  # noqa: RUF012

    @abstractmethod
    def _make_problem(self, X, y, sample_weight):
        """Check the targets and merge equal samples; return a `Problem`."""

    @abstractmethod
    def _new_module(self, sizes, dtype, generator):
        """Return a network with random weights, on the CPU."""

    @abstractmethod
    def _take_weights(self, module, fitted, problem):
        """Make a new network continue the previous fit."""

    @abstractmethod
    def _trainer_settings(self, problem):
        """Return what a `Trainer` takes beyond the parameters of every network."""

    @abstractmethod
    def _fitted_state(self, problem, trainer):
        """Return the fitted attributes of a network, which may still be in training."""

    @property
    @abstractmethod
    def _dtype(self):
        """Precision of the fitted network."""

    def _n_network_outputs(self, problem):
        """Return how many numbers the network computes for a sample."""
        return problem.n_outputs

    def _first_learning_rate(self):
        return self.learning_rate_init

    def _prediction_module(self):
        """Return the network that predicts; its input is the columns `_columns_`."""
        return self.module_

    def _validate_data(self, X, y, *, reset=True):
        """Check X and y; X comes back as a C-contiguous array or a CSR matrix.

        Without `reset`, it gets the precision of the fitted network.
        """
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse="csr",
            dtype=SUPPORTED_DTYPES if reset else self._dtype,
            ensure_min_samples=2 if reset else 1,
            reset=reset,
            **self._target_checks,
        )
        return X if sparse.issparse(X) else np.ascontiguousarray(X), y

    def _prepare(self, X, y, sample_weight, context):
        """Return the problem, and a trainer with a new network for it."""
        problem = self._make_problem(X, y, sample_weight)
        random_state = check_random_state(self.random_state)
        fitted = getattr(self, "module_", None) if self.warm_start else None
        start = self._network(X, problem, random_state, fitted)
        train, held_back = self._split(problem, random_state)
        trainer = self._make_trainer(X, problem, start, train, held_back)
        trainer.context = context
        trainer.callback_arguments = {
            "estimator": self,
            "X": X,
            "y": y,
            "metadata": (
                {} if sample_weight is None else {"sample_weight": sample_weight}
            ),
        }
        self._show_to_callbacks(problem, trainer)
        return problem, trainer

    def _show_to_callbacks(self, problem, trainer):
        """Let callbacks ask for a model of the current state of a trainer."""
        trainer.callback_arguments = {
            **trainer.callback_arguments,
            "reconstruction_attributes": lambda: self._fitted_state(problem, trainer),
        }

    def _network(self, X, problem, random_state, fitted):
        """Return a network to train, new or like a fitted one."""
        sizes = (X.shape[1], *self._hidden_sizes(), self._n_network_outputs(problem))
        device = resolve_device(self.device)
        generator = torch.Generator().manual_seed(random_state.randint(2**31 - 1))
        module = self._new_module(sizes, torch_dtype(X.dtype), generator)
        if fitted is not None:
            self._take_weights(module, fitted, problem)
        if device.type != "cpu":
            generator = torch.Generator(device).manual_seed(generator.initial_seed())
        return Stream(module.to(device), generator, self._layer_settings())

    def _make_trainer(self, X, problem, start, train, held_back):
        """Return a trainer of the network of a `Stream`."""
        device = device_of(start.module)
        X_on_device = X if sparse.issparse(X) else to_tensor(X, device)

        def samples(chosen):
            weight = problem.weight[chosen]
            weight = weight / weight.max()  # sums of huge weights would overflow
            weight /= weight.mean()
            return Samples(
                X_on_device,
                y=to_tensor(problem.targets[chosen], device),
                weight=to_tensor(weight.astype(X.dtype), device),
                rows=to_tensor(problem.rows[chosen], device),
            )

        return Trainer(
            module=start.module,
            data=samples(train),
            validation=None if held_back is None else samples(held_back),
            columns=np.arange(X.shape[1]),
            generator=start.generator,
            batch_size=self._batch_size(len(train)),
            learning_rate_init=self._first_learning_rate(),
            weight_decay=self.weight_decay,
            early_stopping=self.early_stopping,
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
            verbose=bool(self.verbose),
            **self._trainer_settings(problem),
        )

    def _batch_size(self, n_samples):
        """Return the samples of an optimiser step."""
        if self.batch_size == "auto":
            return min(max(n_samples // MIN_STEPS, SMALLEST_BATCH), LARGEST_BATCH)
        return self.batch_size

    def _split(self, problem, random_state):
        """Return the samples to train with, and those to hold back or None."""
        everything = np.arange(len(problem.rows))
        reason = self._reason_to_hold_back()
        if reason is None:
            return everything, None
        try:
            return train_test_split(
                everything,
                test_size=self.validation_fraction,
                stratify=problem.strata,
                random_state=random_state,
            )
        except ValueError as error:
            raise ValueError(
                f"{reason} cannot hold back samples of every class with "
                f"validation_fraction={self.validation_fraction} of "
                f"{len(everything)} distinct samples: {error}"
            ) from error

    def _reason_to_hold_back(self):
        """Return the setting that needs validation data, or None."""
        return "early_stopping=True" if self.early_stopping else None

    def _set_state(self, state):
        for name, value in state.items():
            setattr(self, name, value)

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
        """Return what the layers of the network depend on, beside the data."""
        return self._hidden_sizes(), self.activation

    def _apply(self, function, X):
        """Validate X and run ``function(module, rows)`` on blocks of its rows."""
        check_is_fitted(self)
        X = validate_data(
            self, X, accept_sparse="csr", dtype=SUPPORTED_DTYPES, reset=False
        )
        dtype_in = X.dtype
        if len(self._columns_) < X.shape[1]:
            X = X[:, self._columns_]
        device = resolve_device(self.device)
        module = self._prediction_module().to(device).eval()
        dtype = torch_dtype(self._dtype)
        with torch_threads(self.n_threads), torch.inference_mode():
            blocks = []
            step = prediction_rows(X.shape[1])
            for start in range(0, X.shape[0], step):
                rows = dense_rows(X, slice(start, start + step))
                rows = to_tensor(rows, device).to(dtype)
                if not torch.isfinite(rows).all():
                    raise ValueError(
                        f"X contains values beyond the range of {dtype}, in which "
                        "the network was trained."
                    )
                blocks.append(function(module, rows))
            return torch.cat(blocks).cpu().numpy().astype(dtype_in, copy=False)

    def _resume(self, X, problem):
        """Return the network and the trainer that a `partial_fit` goes on with.

        The stream is marked as learning: what fails from here on starts afresh.
        """
        stream = getattr(self, "_stream_", None)
        if stream is not None and stream.settings != self._layer_settings():
            raise ValueError(OTHER_NETWORK)
        if stream is None or stream.is_learning:
            random_state = check_random_state(self.random_state)
            fitted = getattr(self, "module_", None)
            stream = self._network(X, problem, random_state, fitted)
        everything = np.arange(len(problem.rows))
        trainer = self._make_trainer(X, problem, stream, everything, None)
        trainer.loss_curve = list(getattr(self, "loss_curve_", []))
        if stream.optimizer is None:
            stream.optimizer = trainer.make_optimizer()
        stream.optimizer.learning_rate = trainer.learning_rate()  # may be set between
        stream.optimizer.weight_decay = self.weight_decay
        stream.is_learning = True
        return stream, trainer

    def __getstate__(self):
        state = super().__getstate__()
        for name in NETWORKS:
            if name in state:
                state[name] = network_to_arrays(state[name])
        if "_stream_" in state:
            state["_stream_"] = state["_stream_"].to_arrays()
        return state

    def __setstate__(self, state):
        super().__setstate__(state)
        fitted = vars(self)
        for name in NETWORKS:
            if name in fitted:
                fitted[name] = network_from_arrays(fitted[name])
        # Without it a further `partial_fit` starts from the fitted network.
        stream = fitted.pop("_stream_", None)
        if stream is not None:
            stream = Stream.from_arrays(stream)
        if stream is not None:
            self._stream_ = stream

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
