"""Base class of the multilayer perceptrons at a prescribed sparsity."""

import numbers
import warnings
from abc import abstractmethod

import numpy as np
import torch

from skproj.nn._base_network import (
    DIFFERENT_NETWORK,
    FIT_STACKLEVEL,
    BaseNetwork,
    auto_batch_size,
)
from skproj.nn._docs import MLP_DOCS
from skproj.nn._removal_training import RemovalTraining
from skproj.nn._training._l1_training import L1Training, count_nonzero
from skproj.nn._training._network import compress, make_mlp, weights_of
from skproj.nn._training._objectives import Objective
from skproj.nn._training._optimizers import DEFAULT_EPS, SOLVERS, Penalty
from skproj.utils._docs import shared_docs
from skproj.utils._validation import Interval, StrOptions, _fit_context, atomic_fit


class BaseSparseMLP(BaseNetwork):
    """A multilayer perceptron that is as sparse as asked."""

    alpha_: float | np.ndarray
    sparsity_: float
    layer_sparsities_: np.ndarray
    search_history_: dict[str, np.ndarray]
    n_search_iter_: int
    coefs_: list[np.ndarray]
    intercepts_: list[np.ndarray]
    n_layers_: int
    n_outputs_: int
    loss_curve_: list[float]
    module_: torch.nn.Sequential

    _parameter_constraints: dict = {  # noqa: RUF012
        **BaseNetwork._parameter_constraints,
        "target_sparsity": [Interval(numbers.Real, 0, 1, closed="both"), "array-like"],
        "method": [StrOptions({"projected", "l1"})],
        "alpha": [Interval(numbers.Real, 0, None, closed="both"), "array-like", None],
        "penalty": [StrOptions({"l1", "l12"})],
        "sparsity_tol": [Interval(numbers.Real, 0, None, closed="left")],
        "max_search_iter": [Interval(numbers.Integral, 1, None, closed="left")],
        "trim": ["boolean"],
        "debias": ["boolean"],
        "solver": [StrOptions(set(SOLVERS))],
        "learning_rate_init": [
            Interval(numbers.Real, 0, None, closed="neither"),
            StrOptions({"auto"}),
        ],
        "batch_size": [
            Interval(numbers.Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "weight_decay": [Interval(numbers.Real, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(numbers.Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(numbers.Integral, 1, None, closed="left")],
        "tol": [Interval(numbers.Real, 0, None, closed="left")],
        "warm_start": ["boolean"],
    }
    _network_attributes = (
        *BaseNetwork._network_attributes,
        "_smaller_",
        "best_validation_score_",
        "coefs_",
        "intercepts_",
        "layer_sparsities_",
        "n_layers_",
        "n_outputs_",
        "out_activation_",
        "sparsity_",
        "validation_scores_",
    )
    # Those of the method "l1"; a `partial_fit` does not search.
    _optional_attributes = (
        *BaseNetwork._optional_attributes,
        "alpha_",
        "n_search_iter_",
        "search_history_",
    )

    @abstractmethod
    def _loss(self, encoded):
        """Return the loss of the network, as an `Objective` takes it."""

    def _check_partial_fit(self):
        if self.alpha is None or self.method != "l1":
            raise AttributeError(
                "partial_fit needs method='l1' and a fixed l1 weight: set alpha, as "
                "a target_sparsity can be reached with all the data only."
            )

    @abstractmethod
    def _out_activation(self, encoded):
        """Return the name of the function from outputs to predictions."""

    @shared_docs(**MLP_DOCS)
    @_fit_context(prefer_skip_nested_validation=True)
    @atomic_fit
    def fit(self, X, y, sample_weight=None):
        """Train the network until it is as sparse as asked.

        Parameters
        ----------
        {fit_sections}

        Warns
        -----
        ConvergenceWarning
            If the search ends at another sparsity; the fitted network is the closest,
            trimmed if `trim`.
        UserWarning
            If a layer has lost all its weights without being asked to: the network is
            constant then.
        """
        X, y = self._validate_data(X, y)
        sparsity, alpha = self._checked_sparsity()
        with self._fitting(X, y, sample_weight) as run:
            if self.method == "l1":
                training, found = self._search(run.trainer, sparsity, alpha)
            else:
                training, found = RemovalTraining(run.trainer), {}
                training.reach(sparsity)
            run.trainer = training.trainer
            for name in ("alpha_", "search_history_", "n_search_iter_"):
                vars(self).pop(name, None)
            self._set_state(self._fitted_state(run.encoded, run.trainer) | found)
        self._warn(training)
        return self

    def _search(self, trainer, sparsity, alpha):
        """Train by an l1 weight; return the training, and what describes it."""
        training = L1Training(
            trainer,
            is_continued=self.warm_start and hasattr(self, "module_"),
            by_group=self._by_group,
        )
        if alpha is None:
            training.reach(
                sparsity,
                tol=self.sparsity_tol,
                max_iter=self.max_search_iter,
                trim=self.trim,
            )
        else:
            training.train_at(alpha)
        if self.debias:
            training.debias()
        history = training.history()
        return training, {
            "alpha_": training.alpha,
            "search_history_": history,
            "n_search_iter_": len(history["loss"]),
        }

    @property
    def _by_group(self):
        return self.penalty == "l12"

    @staticmethod
    def _warn(training):
        for message, category in training.warnings():
            warnings.warn(message, category, stacklevel=FIT_STACKLEVEL)

    def _learn(self, X, encoded):
        """Train one epoch on a part of the data: a `partial_fit`."""
        _, alpha = self._checked_sparsity()
        n_layers = len(self._hidden_sizes()) + 1
        penalty = Penalty(tuple(np.broadcast_to(alpha, n_layers)), self._by_group)
        # With this `eps` no threshold exceeds the learning rate.
        finite = np.where(np.isinf(alpha), 0.0, alpha)
        eps = max(DEFAULT_EPS, float(np.max(finite)))
        with self._learning_part(X, encoded, penalty=penalty, eps=eps) as trainer:
            self._set_state(self._fitted_state(encoded, trainer.branch()))
        self.alpha_ = alpha

    def _checked_sparsity(self):
        """Return target and l1 weight as floats or arrays; one of them is not used."""
        if self.method != "l1" and self._by_group:
            raise ValueError(
                f"method must be 'l1' for penalty='l12', got {self.method!r}."
            )
        n_layers = len(self._hidden_sizes()) + 1
        checked = []
        for name, largest in (("target_sparsity", 1.0), ("alpha", np.inf)):
            value = getattr(self, name)
            if value is not None and not isinstance(value, numbers.Real):
                value = np.array(value, dtype=np.float64)
                in_range = (value >= 0.0) & (value <= largest)
                if value.shape != (n_layers,) or not in_range.all():
                    bounds = "non-negative" if largest > 1 else "between 0 and 1"
                    raise ValueError(
                        f"{name} must be a number, or one for each of the {n_layers} "
                        f"layers, {bounds}, got {getattr(self, name)!r}."
                    )
            checked.append(value)
        return checked

    def _objective(self, encoded):
        return Objective(self._loss(encoded))

    def _further_options(self):
        rate = self.learning_rate_init
        if rate == "auto":
            rate = SOLVERS[self.solver].default_learning_rate
        return {
            "learning_rate_init": rate,
            "solver": self.solver,
            "annealing": True,
            "weight_decay": self.weight_decay,
            "early_stopping": self.early_stopping,
            "tol": self.tol,
            "n_iter_no_change": self.n_iter_no_change,
        }

    def _batch_size(self, X, n_samples):
        is_auto = self.batch_size == "auto"
        return auto_batch_size(n_samples) if is_auto else self.batch_size

    def _reason_to_hold_back(self):
        return "early_stopping=True" if self.early_stopping else None

    def _new_module(self, sizes, dtype, generator):
        return make_mlp(sizes, self.activation, dtype=dtype, generator=generator)

    def _take_weights(self, module, fitted, encoded):
        """Make a new network continue the previous fit."""
        if (
            str(fitted) != str(module)
            or weights_of(fitted)[0].dtype != weights_of(module)[0].dtype
            or not self._has_same_targets(encoded)
        ):
            raise ValueError(DIFFERENT_NETWORK)
        module.load_state_dict(fitted.state_dict())

    def _fitted_state(self, encoded, trainer):
        module = trainer.module
        smaller, columns = compress(module)
        linear = module[::2]
        sizes, counts = count_nonzero(module, by_group=self._by_group)
        return {
            **encoded.attributes,
            "module_": module,
            "_smaller_": smaller,
            "_columns_": columns,
            "coefs_": [
                layer.weight.detach().cpu().numpy().T.copy() for layer in linear
            ],
            "intercepts_": [
                layer.bias.detach().cpu().numpy().copy() for layer in linear
            ],
            "n_layers_": len(linear) + 1,
            "n_outputs_": linear[-1].out_features,
            "out_activation_": self._out_activation(encoded),
            "sparsity_": float(1.0 - counts.sum() / sizes.sum()),
            "layer_sparsities_": 1.0 - counts / sizes,
            "validation_scores_": list(trainer.history.validation_scores) or None,
            "best_validation_score_": trainer.history.best_validation_score,
            **self._history_state(trainer.history),
        }

    def _prediction_module(self):
        return self._smaller_

    def _output(self, X):
        return self._apply(lambda module, rows: module(rows), X)
