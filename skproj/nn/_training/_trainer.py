"""Training of one network: its options, its results, and the loop over the epochs.

Random numbers come from a local generator, so that PyTorch's global one is untouched.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from sklearn.callback import CallbackContext

from skproj.nn._training._network import weights_of
from skproj.nn._training._noise import NoiseSource
from skproj.nn._training._objectives import Objective
from skproj.nn._training._optimizers import DEFAULT_EPS, SOLVERS, Penalty
from skproj.nn._training._samples import TrainingData, prediction_rows
from skproj.nn._training._tensors import copy_generator

# Samples are gathered in blocks of about this many entries, which stay in the cache.
BLOCK_ENTRIES = 1 << 18


class DivergedError(ValueError):
    """A loss or weight has become infinite or NaN."""


def all_finite(module):
    """Whether no weight of a module is infinite or NaN."""
    return all(math.isfinite(parameter.sum()) for parameter in module.parameters())


def learning_rate_factor(i, n):
    """Factor of the learning rate, which falls to 0 like half a cosine.

    `TrainingOptions.anneal` counts the epochs of a stage, `skproj.nn.sparsify` and
    `sparsify_units` all batches of a training.
    """
    return 0.5 * (1.0 + math.cos(math.pi * i / n))


def penalty_factor(i_epoch, max_epochs):
    """Factor of the penalty, which is whole after the first third of the epochs.

    Weights that are removed little by little leave a better rest.
    """
    return min(1.0, 3 * (i_epoch + 1) / max_epochs)


@dataclass(frozen=True)
class TrainingOptions:
    """Settings of a training, which do not change while it runs.

    Attributes
    ----------
    max_epochs : int
        Number of epochs of a training stage.
    batch_size : int
    learning_rate_init : float
        Noise above 1 divides it.
    verbose : bool
        Whether to print a line after each epoch.
    weight_decay : float
    early_stopping : bool
        Whether a stage stops early and ends with its best weights, as judged by the
        validation data.
    tol, n_iter_no_change : float, int
        Of the early stopping.
    input_noise : float
        Standard deviation of the noise in training; there is none in evaluation.
    solver : {"adam", "sgd"}
    penalty : Penalty or None
    eps : float
        Of Adam.
    annealing : bool
        Whether the learning rate and the penalty change during a stage, by
        `learning_rate_factor` and `penalty_factor`.
    """

    max_epochs: int
    batch_size: int
    learning_rate_init: float
    verbose: bool
    weight_decay: float = 0.0
    early_stopping: bool = False
    tol: float = 0.0
    n_iter_no_change: int = 1
    input_noise: float = 0.0
    solver: str = "adam"
    penalty: Penalty | None = None
    eps: float = DEFAULT_EPS
    annealing: bool = False

    @property
    def learning_rate(self):
        """The learning rate at the noise on the input.

        The steps of Adam do not get shorter when noise hides the gradient.
        """
        return self.learning_rate_init / max(1.0, self.input_noise)

    def make_optimizer(self, module):
        """Return a fresh optimizer of a module."""
        return SOLVERS[self.solver](
            module.parameters(),
            self.learning_rate,
            self.weight_decay,
            self.penalty,
            self.eps,
        )

    def anneal(self, optimizer, i_epoch):
        """Set the learning rate and the penalty of an epoch of a stage."""
        if not self.annealing:
            return
        factor = learning_rate_factor(i_epoch, self.max_epochs)
        optimizer.learning_rate = self.learning_rate * factor
        if self.penalty is not None:
            factor = penalty_factor(i_epoch, self.max_epochs)
            optimizer.penalty = self.penalty.scaled(factor)


@dataclass
class TrainingHistory:
    """Results of the epochs so far.

    Attributes
    ----------
    loss_curve : list of float
        Mean training loss of each epoch.
    validation_scores : list of float
        Minus the mean validation loss of each epoch.
    best_validation_score : float or None
        The best one of the last stage.
    """

    loss_curve: list = field(default_factory=list)
    validation_scores: list = field(default_factory=list)
    best_validation_score: float | None = None

    def copy(self):
        """Return a history that grows independently."""
        return replace(
            self,
            loss_curve=list(self.loss_curve),
            validation_scores=list(self.validation_scores),
        )


@dataclass(frozen=True)
class FitCallbacks:
    """Callbacks of a fit, and the arguments of their hooks.

    The `arguments` do not change during the fit; ``fitted_state(trainer)`` returns the
    fitted attributes of a network. `may_stop` tells whether callbacks can end a stage
    or the fit.
    """

    context: CallbackContext
    arguments: dict
    fitted_state: Callable
    may_stop: bool = True

    def begin(self, task, trainer):
        """Tell the callbacks that a task begins."""
        task.call_on_fit_task_begin(**self._arguments(trainer))

    def end(self, task, trainer):
        """Tell the callbacks that a task ends; return whether they want to stop."""
        stop = task.call_on_fit_task_end(**self._arguments(trainer))
        return stop and self.may_stop

    def _arguments(self, trainer):
        return {
            **self.arguments,
            "reconstruction_attributes": lambda: self.fitted_state(trainer),
        }


class EarlyStopping:
    """Keep the best weights; stop when `n_iter_no_change` epochs brought no progress.

    A score must rise by more than `tol` to count as progress.
    """

    def __init__(self, module, *, tol, n_iter_no_change):
        self.module = module
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.best_score = -np.inf
        self._best_state = None
        self._n_bad = 0

    def update(self, score):
        """Take the score of an epoch; return whether to stop."""
        self._n_bad = 0 if score > self.best_score + self.tol else self._n_bad + 1
        if score > self.best_score:
            self.best_score = score
            self._best_state = copy.deepcopy(self.module.state_dict())
        return self._n_bad >= self.n_iter_no_change

    def restore_best(self):
        """Put the best weights back into the module."""
        if self._best_state is not None:
            self.module.load_state_dict(self._best_state)


class KeptZeros:
    """Hook on the steps of a stage: weights that are zero now stay zero."""

    is_settled = True

    def __init__(self, weights):
        self._weights = [weight.detach() for weight in weights]
        self._zeros = [weight == 0 for weight in self._weights]

    def before_step(self):
        """Do nothing."""

    def after_step(self):
        """Set the weights to zero again."""
        for weight, zeros in zip(self._weights, self._zeros, strict=True):
            weight.masked_fill_(zeros, 0.0)


@dataclass
class Trainer:
    """A network in training, from one stage of a fit to the next.

    The module is trained in place; ``module.keep_features(kept)`` makes it smaller. The
    generator, on the device of the data, shuffles and draws noise. Callbacks are needed
    for stages, not for single epochs.
    """

    module: torch.nn.Module
    objective: Objective
    data: TrainingData
    options: TrainingOptions
    generator: torch.Generator
    callbacks: FitCallbacks | None = None
    history: TrainingHistory = field(default_factory=TrainingHistory)
    noise: NoiseSource = field(default_factory=NoiseSource)

    def branch(self, **options):
        """Return a copy that trains on independently, with the same random numbers.

        The options are fields of `TrainingOptions` in which the copy differs.
        """
        return replace(
            self,
            module=copy.deepcopy(self.module),
            options=replace(self.options, **options),
            generator=copy_generator(self.generator),
            history=self.history.copy(),
        )

    def keep_columns(self, kept):
        """Go on with some of the present columns only."""
        if len(kept) < len(self.data.columns):
            self.module.keep_features(kept)
            self.data = self.data.keep_columns(kept)

    def train_stage(self, *, hook=None):
        """Train for at most `max_epochs` epochs with a fresh optimizer.

        The hook, a `KeptZeros` or `PerceptronRemoval`, is called before and after every
        optimizer step. The stage does not stop early before its zeros are settled.
        Returns whether a callback wants the fit to end with this stage; raises a
        DivergedError if the training diverges.
        """
        options, history, callbacks = self.options, self.history, self.callbacks
        stage = callbacks.context.subcontext(
            task_name="stage", max_subtasks=options.max_epochs
        )
        callbacks.begin(stage, self)
        optimizer = options.make_optimizer(self.module)
        stopping = None
        if options.early_stopping:
            stopping = EarlyStopping(
                self.module, tol=options.tol, n_iter_no_change=options.n_iter_no_change
            )
        for i in range(options.max_epochs):
            options.anneal(optimizer, i)
            epoch = stage.subcontext(task_name="epoch")
            callbacks.begin(epoch, self)
            self.train_epoch(optimizer, hook=hook)
            stop = False
            if stopping is not None:
                history.validation_scores.append(-self.mean_loss(self.data.validation))
                if hook is None or hook.is_settled:
                    stop = stopping.update(history.validation_scores[-1])
            if options.verbose:
                self._print_epoch()
            stop |= callbacks.end(epoch, self)
            if stop:
                break
        if stopping is not None:
            stopping.restore_best()
            history.best_validation_score = stopping.best_score
        return callbacks.end(stage, self)

    @torch.no_grad()
    def train_epoch(self, optimizer, *, hook=None):
        """Take a step for each batch of the shuffled samples.

        A DivergedError is raised if the loss or a weight becomes infinite.
        """
        if not self.module.training:
            self.module.train()
        train, history = self.data.train, self.history
        total = train.weight.new_zeros(())
        for X_seen, X, y, weight in self._shuffled_batches():
            losses = self.objective.backward(self.module, X_seen, X, y, weight)
            if hook is not None:
                hook.before_step()
            optimizer.step()
            if hook is not None:
                hook.after_step()
            total += losses.sum(dim=-1).mean()  # over networks side by side
        optimizer.zero_grad()  # copies of the network need no gradients
        loss = float(total) / len(train)
        if not np.isfinite(loss) or not all_finite(self.module):
            raise DivergedError(
                f"The training diverged in epoch {len(history.loss_curve) + 1} (loss "
                f"{loss}). Scale X to unit variance, for example with "
                "StandardScaler in a Pipeline, or lower learning_rate_init."
            )
        history.loss_curve.append(loss)

    def _shuffled_batches(self):
        """Yield noisy features, features, targets and weights of all batches.

        Samples are gathered and noise is drawn for many small batches at once.
        """
        train, batch_size = self.data.train, self.options.batch_size
        noise_scale = self.options.input_noise
        entries = batch_size * train.row_entries
        n_rows = batch_size * max(1, BLOCK_ENTRIES // entries)
        for X, y, weight in train.batches(n_rows, self.generator):
            X_seen = X
            if noise_scale:
                X_seen = X.clone() if self.objective.reads_clean_samples else X
                self.noise.add_(X_seen, noise_scale, self.generator)
            yield from train.split((X_seen, X, y, weight), batch_size)

    def mean_loss(self, samples):
        """Return the weighted mean loss, without noise."""
        self.module.eval()
        with torch.inference_mode():
            total = sum(
                (self.objective.losses(self.module, X, y) * weight).sum(dim=-1).mean()
                for X, y, weight in self._large_batches(samples)
            )
        return float(total) / len(samples)

    def latent_codes(self, samples):
        """Return the latent codes of an autoencoder, with targets and weights."""
        encoder = self.module.eval().encoder
        with torch.inference_mode():
            parts = [
                (encoder(X), y, weight) for X, y, weight in self._large_batches(samples)
            ]
            return [torch.cat(part).cpu().numpy() for part in zip(*parts, strict=True)]

    @torch.no_grad()
    def loss_and_gradients(self):
        """Return the mean loss of the training data, without the penalty, and its
        gradients.

        These are of the matrices of weights, in their order.
        """
        train = self.data.train
        weights = weights_of(self.module)
        gradients = [torch.zeros_like(weight) for weight in weights]
        total = torch.zeros_like(train.weight[0])
        for X, y, weight in self._large_batches(train):
            total += self.objective.backward(self.module, X, X, y, weight).sum()
            share = len(weight) / len(train)
            for gradient, parameter in zip(gradients, weights, strict=True):
                gradient.add_(parameter.grad, alpha=share)
        self.module.zero_grad()
        return float(total) / len(train), gradients

    @staticmethod
    def _large_batches(samples):
        """Return an iterator over all samples, in batches of bounded memory."""
        return samples.batches(prediction_rows(samples.row_entries))

    def _print_epoch(self):
        history = self.history
        line = f"Epoch {len(history.loss_curve)}, loss {history.loss_curve[-1]:.6f}"
        if self.options.early_stopping:
            line += f", validation loss {-history.validation_scores[-1]:.6f}"
        print(line)
