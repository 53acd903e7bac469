"""One training loop for every network estimator.

Nothing here touches PyTorch's global state for longer than a fit: random numbers
come from a local generator, the number of threads is put back, default dtype and
device are never changed.
"""

import contextlib
import copy
import itertools
import math
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from scipy import sparse
from sklearn.callback import CallbackContext
from torch.optim.adamw import adamw

from skproj.nn._training._network import Objective, PredictionObjective, weights_of
from skproj.nn.optim._proximal import group_soft_threshold_, soft_threshold_

# Samples are gathered in blocks of about this many entries, which stay in the cache.
BLOCK_ENTRIES = 1 << 18

# Bound the memory of the hidden layers, and of dense rows, where there are no batches.
PREDICTION_ROWS = 8192
PREDICTION_ENTRIES = 1 << 22


class DivergedError(ValueError):
    """A loss or weight has become infinite or NaN."""


def all_finite(module):
    """Whether no weight of a module is infinite or NaN."""
    return all(torch.isfinite(parameter).all() for parameter in module.parameters())


@contextlib.contextmanager
def torch_threads(n_threads):
    """Run a block with `n_threads` intra-op threads, then restore the old number.

    None leaves the number as it is.
    """
    before = torch.get_num_threads()
    if n_threads is None or n_threads == before:
        yield
        return
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def resolve_device(device):
    """Turn ``"auto"`` or a device name into a usable `torch.device`.

    Raises
    ------
    ValueError
        If the device is unknown or not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.zeros(1, device=resolved).cpu()  # "meta" is a device without numbers
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ValueError(
            f"device={device!r} cannot be used here; pass 'auto', 'cpu' or a device "
            "that PyTorch finds on this machine."
        ) from error
    return resolved


def device_of(module):
    """Return where the numbers of a module are."""
    return next(itertools.chain(module.parameters(), module.buffers())).device


def to_tensor(array, device):
    """Move an array to a device; a writeable CPU array is shared, not copied."""
    array = np.require(array, requirements=["C", "W"])
    return torch.from_numpy(array).to(device)


def torch_dtype(dtype):
    """Return the type of tensors that hold numbers of a NumPy type."""
    return torch.from_numpy(np.empty(0, dtype=dtype)).dtype


def merge_duplicates(X, labels, weight):
    """Find the distinct samples, in an order that depends on nothing but them.

    Training on the distinct samples with their weights added up makes a weight of 2
    the same as writing a sample twice, whatever the batches and the noise, and makes
    the result independent of the order of the rows.

    Parameters
    ----------
    X : {ndarray, CSR matrix} of shape (n_samples, n_features)
        C-contiguous if dense.
    labels : ndarray of int of shape (n_samples,)
    weight : ndarray of shape (n_samples,)

    Returns
    -------
    rows : ndarray of int of shape (n_distinct,)
        One row of X for each distinct sample of positive weight.
    weight : ndarray of shape (n_distinct,)
        Their weights.
    """
    rows = np.flatnonzero(weight > 0)
    keys = _row_keys(X, rows)
    order = np.lexsort((labels[rows], keys))
    rows, keys = rows[order], keys[order]
    tied = (keys[1:] == keys[:-1]) & (labels[rows[1:]] == labels[rows[:-1]])
    repeats = _equal_neighbours(X, rows, tied)
    if not np.array_equal(repeats, tied):
        # Different samples with one key: only here their entries decide the order.
        ends = np.flatnonzero(np.r_[True, ~tied, True])
        for start, stop in itertools.pairwise(ends):
            if not repeats[start : stop - 1].all():
                run = rows[start:stop]
                rows[start:stop] = run[np.lexsort(dense_rows(X, run).T[::-1])]
        repeats = _equal_neighbours(X, rows, tied)
    starts = np.flatnonzero(np.r_[True, ~repeats])
    return rows[starts], np.add.reduceat(weight[rows], starts)


def _equal_neighbours(X, rows, candidates):
    """Compare each row with the next one, where `candidates` is true."""
    equal = candidates.copy()
    places = np.flatnonzero(candidates)
    for block in _blocks(len(places), X.shape[1]):
        place = places[block]
        here, next_ones = (dense_rows(X, rows[place + shift]) for shift in (0, 1))
        equal[place] = (here == next_ones).all(axis=1)
    return equal


def _row_keys(X, rows):
    """Random combination of the scaled columns: changes as little as X does.

    Not by BLAS, where the rounding of a row may depend on its position.
    """
    blocks = [rows[block] for block in _blocks(len(rows), X.shape[1])]
    low, high = np.inf, -np.inf
    for block in blocks:
        dense = dense_rows(X, block)
        low = np.minimum(low, dense.min(axis=0))
        high = np.maximum(high, dense.max(axis=0))
    with np.errstate(over="ignore"):
        span = high.astype(np.float64) - low
    factors = np.random.RandomState(0).uniform(1.0, 2.0, X.shape[1])
    factors = np.divide(factors, span, out=np.zeros_like(span), where=span > 0)
    # A span beyond all floats, or below them, says nothing that could be scaled.
    factors[~np.isfinite(factors) | np.isinf(span)] = 0.0
    low = np.where(factors > 0, low, 0.0)
    return np.concatenate(
        [((dense_rows(X, block) - low) * factors).sum(axis=1) for block in blocks]
    )


def dense_rows(X, rows):
    """Take some rows of an array or a CSR matrix as an array."""
    return X[rows].toarray() if sparse.issparse(X) else X[rows]


def prediction_rows(n_columns):
    """Return how many rows to take at once where there are no batches."""
    return max(1, min(PREDICTION_ROWS, PREDICTION_ENTRIES // max(1, n_columns)))


def _blocks(n_rows, n_columns):
    """Slices of rows that bound the memory of temporary arrays."""
    step = max(1, (1 << 20) // max(1, n_columns))
    return [slice(start, start + step) for start in range(0, n_rows, step)]


@dataclass(frozen=True)
class Samples:
    """Weighted samples; the dense ones are on the training device.

    Attributes
    ----------
    X : tensor or CSR matrix of shape (n_rows, n_features)
        May hold more rows than are used. Sparse rows become dense batch by batch.
    y : tensor of shape (n_samples,) or (n_samples, n_targets)
    weight : tensor of shape (n_samples,)
        The weights have mean 1, so that losses are weighted means.
    rows : tensor of int of shape (n_samples,)
        The row of X that each sample is in.
    """

    X: torch.Tensor
    y: torch.Tensor
    weight: torch.Tensor
    rows: torch.Tensor

    def __len__(self):
        return len(self.rows)

    def batch(self, index):
        """Return features, targets and weights of some samples."""
        rows = self.rows[index]
        if sparse.issparse(self.X):
            X = to_tensor(dense_rows(self.X, rows.cpu().numpy()), self.y.device)
        else:
            X = self.X[rows]
        return X, self.y[index], self.weight[index]

    def keep_columns(self, kept):
        """Return the same samples with some of the features only.

        Parameters
        ----------
        kept : ndarray of int of shape (n_kept,)
        """
        everything = torch.arange(len(self), device=self.rows.device)
        if not sparse.issparse(self.X):
            columns = torch.from_numpy(kept).to(self.X.device)
            X = self.X[self.rows.unsqueeze(1), columns]
            return replace(self, X=X, rows=everything)
        X = self.X[self.rows.cpu().numpy()][:, kept]
        # Once the dense columns take no more memory, they are faster.
        if X.shape[0] * X.shape[1] <= 2 * self.X.nnz:
            X = to_tensor(X.toarray(), self.y.device)
        return replace(self, X=X, rows=everything)


@dataclass(frozen=True)
class Penalty:
    """The l1 norm of the weights of each layer, or the sum of norms of its columns.

    Attributes
    ----------
    alphas : sequence of float
        What the norm of each layer is multiplied with; infinity keeps a layer at zero.
    by_group : bool
        Whether the columns of a matrix, what one unit or feature feeds, are groups.
    """

    alphas: tuple
    by_group: bool = False

    def scaled(self, factor):
        """Return a part of this penalty."""
        return replace(self, alphas=tuple(factor * alpha for alpha in self.alphas))

    def shrink_(self, weight, amount):
        """Take the proximal step of one layer."""
        if self.by_group:
            group_soft_threshold_(weight, amount, dim=0)
        else:
            soft_threshold_(weight, amount)

    def violation(self, weight, gradient, alpha):
        """Measure how far a layer is from its condition of optimality.

        Parameters
        ----------
        weight, gradient : tensor of shape (n_outputs, n_inputs)
        alpha : float

        Returns
        -------
        violation : tensor of shape (n_outputs, n_inputs) or (n_inputs,)
            For each weight or group the distance between minus the gradient and the
            subdifferential of `alpha` times the norm.
        """
        if not self.by_group:
            kept = (gradient + alpha * weight.sign()).abs()
            removed = (gradient.abs() - alpha).clamp(min=0)
            return torch.where(weight != 0, kept, removed)
        norms = torch.linalg.vector_norm(weight, dim=0)
        directions = weight / torch.where(norms > 0, norms, 1.0)
        kept = torch.linalg.vector_norm(gradient + alpha * directions, dim=0)
        removed = (torch.linalg.vector_norm(gradient, dim=0) - alpha).clamp(min=0)
        return torch.where(norms > 0, kept, removed)

    def shrink_all_(self, parameters, step_size):
        """Take the proximal step of all layers.

        Parameters
        ----------
        parameters : iterable of torch.nn.Parameter
            Of the network; the matrices among them are penalised, in their order.
        step_size : callable
            Returns the step size of a parameter, a float or tensor.
        """
        weights = (parameter for parameter in parameters if parameter.ndim == 2)
        for weight, alpha in zip(weights, self.alphas, strict=True):
            if alpha > 0:
                self.shrink_(weight, step_size(weight) * alpha)


# Of Adam, unless there is a reason for more.
EPS = 1e-8


class Adam:
    """Adam with decoupled weight decay, without the bookkeeping of `torch.optim`.

    That takes several times longer than the arithmetic of a small network.

    Parameters
    ----------
    parameters : iterable of torch.nn.Parameter
    learning_rate, weight_decay : float
    penalty : Penalty or None
        Each step ends with its proximal step, in the metric of the step.
    eps : float
        What is added to the root of the second moment.

    References
    ----------
    I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019,
    arXiv:1711.05101.
    """

    default_learning_rate = 0.004
    betas = 0.9, 0.999

    def __init__(self, parameters, learning_rate, weight_decay, penalty=None, eps=EPS):
        self.parameters = list(parameters)
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.penalty = penalty
        self.eps = eps
        self._moments = [None] * len(self.parameters)

    def step(self):
        """Move the parameters that have a gradient."""
        moving, moments = [], []
        for i, parameter in enumerate(self.parameters):
            if parameter.grad is None:
                continue
            if self._moments[i] is None:
                self._moments[i] = (
                    torch.zeros_like(parameter),
                    torch.zeros_like(parameter),
                    parameter.new_zeros((), dtype=torch.float32),  # number of steps
                )
            moving.append(parameter)
            moments.append(self._moments[i])
        first_moments, second_moments, steps = map(list, zip(*moments, strict=True))
        adamw(
            moving,
            [parameter.grad for parameter in moving],
            first_moments,
            second_moments,
            [],
            steps,
            fused=True,
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=self.learning_rate,
            weight_decay=self.weight_decay,
            eps=self.eps,
            maximize=False,
        )
        if self.penalty is not None:
            sizes = {
                parameter: self._step_size(second_moment, step)
                for parameter, second_moment, step in zip(
                    moving, second_moments, steps, strict=True
                )
                if parameter.ndim == 2
            }
            self.penalty.shrink_all_(moving, sizes.get)

    def _step_size(self, second_moment, step):
        """Return what Adam multiplies the momentum of each weight with."""
        correction = 1.0 - self.betas[1] ** step
        return self.learning_rate / (second_moment / correction).sqrt_().add_(self.eps)


class SGD:
    """Gradient descent with momentum, without the bookkeeping of `torch.optim`.

    The momentum is a mean of gradients, so that it changes neither the length of the
    steps nor the weights that a penalty holds at zero.

    Parameters
    ----------
    parameters : iterable of torch.nn.Parameter
    learning_rate, weight_decay : float
    penalty : Penalty or None
        Each step ends with its proximal step.
    eps : float
        Only there so that all solvers are made in one way.
    """

    default_learning_rate = 0.1
    momentum = 0.9

    def __init__(self, parameters, learning_rate, weight_decay, penalty=None, eps=EPS):
        self.parameters = list(parameters)
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.penalty = penalty
        self._means = None

    def step(self):
        """Move the parameters, which all have a gradient."""
        gradients = [parameter.grad for parameter in self.parameters]
        if self._means is None:
            self._means = [gradient.clone() for gradient in gradients]
        else:
            torch._foreach_lerp_(self._means, gradients, 1.0 - self.momentum)
        if self.weight_decay:
            keep = 1.0 - self.learning_rate * self.weight_decay
            torch._foreach_mul_(self.parameters, keep)
        torch._foreach_add_(self.parameters, self._means, alpha=-self.learning_rate)
        if self.penalty is not None:
            self.penalty.shrink_all_(self.parameters, lambda _: self.learning_rate)


SOLVERS = {"adam": Adam, "sgd": SGD}


class EarlyStopping:
    """Keep the best weights; stop when `n_iter_no_change` epochs brought no progress.

    Parameters
    ----------
    module : torch.nn.Module
    tol : float
        A score must rise by more than this to count as progress.
    n_iter_no_change : int
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


@dataclass
class Trainer:
    """A network in training: what stays from one descent of a fit to the next.

    Attributes
    ----------
    module : torch.nn.Module
        Trained in place. ``module.keep_features(kept)`` makes it smaller.
    objective : Objective or PredictionObjective
    data : Samples
    validation : Samples or None
    columns : ndarray of int of shape (n_alive,)
        The features that the module and the samples still have.
    generator : torch.Generator
        On the device of the data; shuffles and draws noise.
    batch_size : int
    learning_rate_init, weight_decay : float
        Noise above 1 divides the learning rate.
    early_stopping : bool
        Whether each descent stops early and ends at its best epoch, as the
        validation data judge.
    tol, n_iter_no_change : float, int
        Of the early stopping.
    verbose : bool
        Whether to print a line after each epoch.
    input_noise : float
        Standard deviation of the noise in training; there is none in evaluation.
    solver : {"adam", "sgd"}
    penalty : Penalty or None
    eps : float
        Of Adam.
    anneals : bool
        Whether the learning rate of a descent falls to 0, as half a cosine, and the
        penalty rises to its full size in the first third: what is removed little by
        little leaves a better rest.
    context : CallbackContext
        Of the fit; to be set before the first descent.
    callback_arguments : dict
        What the hooks of the callbacks are given.
    obeys_callbacks : bool
        Whether callbacks can end a descent or the fit.
    loss_curve : list of float
        Mean training loss of each epoch so far.
    validation_scores : list of float
        Minus the mean validation loss of each epoch so far.
    best_validation_score : float or None
        The best one of the last descent.
    """

    module: torch.nn.Module
    objective: Objective | PredictionObjective
    data: Samples
    validation: Samples | None
    columns: np.ndarray
    generator: torch.Generator
    batch_size: int
    learning_rate_init: float
    weight_decay: float
    early_stopping: bool
    tol: float
    n_iter_no_change: int
    verbose: bool
    input_noise: float = 0.0
    solver: str = "adam"
    penalty: Penalty | None = None
    eps: float = EPS
    anneals: bool = False
    context: CallbackContext | None = None
    callback_arguments: dict = field(default_factory=dict)
    obeys_callbacks: bool = True
    loss_curve: list = field(default_factory=list)
    validation_scores: list = field(default_factory=list)
    best_validation_score: float | None = None

    def branch(self):
        """Return a copy that trains on independently, with the same random numbers."""
        generator = torch.Generator(self.generator.device)
        generator.set_state(self.generator.get_state())
        return replace(
            self,
            module=copy.deepcopy(self.module),
            generator=generator,
            loss_curve=list(self.loss_curve),
            validation_scores=list(self.validation_scores),
        )

    def keep_columns(self, kept):
        """Go on with some of the features only.

        Parameters
        ----------
        kept : ndarray of int of shape (n_kept,)
            Positions among the present columns.
        """
        if len(kept) == len(self.columns):
            return
        self.module.keep_features(kept)
        self.columns = self.columns[kept]
        self.data = self.data.keep_columns(kept)
        if self.validation is not None:
            self.validation = self.validation.keep_columns(kept)

    def make_optimizer(self, max_noise=math.inf):
        """Return a fresh optimiser of the module."""
        return SOLVERS[self.solver](
            self.module.parameters(),
            self.learning_rate(max_noise),
            self.weight_decay,
            self.penalty,
            self.eps,
        )

    def learning_rate(self, max_noise=math.inf):
        """Return the learning rate for the noise of a descent.

        The steps of Adam do not get shorter when noise hides the gradient.
        """
        return self.learning_rate_init / max(1.0, self.noise(max_noise))

    def noise(self, max_noise=math.inf):
        """Return the standard deviation of the noise in a descent."""
        return min(self.input_noise, max_noise)

    def descend(self, max_epochs, *, max_noise=math.inf, after_step=None):
        """Train for at most `max_epochs` epochs with a fresh optimiser.

        Parameters
        ----------
        max_epochs : int
        max_noise : float, default=inf
            Bound of the noise on the input.
        after_step : callable, default=None
            Called without arguments after every optimiser step: a projection, a mask.

        Returns
        -------
        stop : bool
            Whether a callback wants the fit to end with this descent.

        Raises
        ------
        DivergedError
            If the training diverges.
        """
        descent = self.context.subcontext(task_name="descent", max_subtasks=max_epochs)
        descent.call_on_fit_task_begin(**self.callback_arguments)
        optimizer = self.make_optimizer(max_noise)
        stopping = None
        if self.early_stopping:
            stopping = EarlyStopping(
                self.module, tol=self.tol, n_iter_no_change=self.n_iter_no_change
            )
        for i in range(max_epochs):
            if self.anneals:
                share = 0.5 * (1.0 + math.cos(math.pi * i / max_epochs))
                optimizer.learning_rate = self.learning_rate(max_noise) * share
                if self.penalty is not None:
                    part = min(1.0, 3 * (i + 1) / max_epochs)
                    optimizer.penalty = self.penalty.scaled(part)
            epoch = descent.subcontext(task_name="epoch")
            epoch.call_on_fit_task_begin(**self.callback_arguments)
            self.train_epoch(optimizer, max_noise=max_noise, after_step=after_step)
            stop = False
            if stopping is not None:
                self.validation_scores.append(-self.evaluate(self.validation))
                stop = stopping.update(self.validation_scores[-1])
            if self.verbose:
                self._print_epoch()
            asked = epoch.call_on_fit_task_end(**self.callback_arguments)
            stop |= asked and self.obeys_callbacks
            if stop:
                break
        if stopping is not None:
            stopping.restore_best()
            self.best_validation_score = stopping.best_score
        asked = descent.call_on_fit_task_end(**self.callback_arguments)
        return asked and self.obeys_callbacks

    def evaluate(self, data):
        """Weighted mean loss on `data`, without noise."""
        self.module.eval()
        step = prediction_rows(len(self.columns))
        with torch.inference_mode():
            total = sum(
                (self.objective.losses(self.module, X, y) * weight).sum()
                for X, y, weight in map(
                    data.batch,
                    torch.arange(len(data), device=data.rows.device).split(step),
                )
            )
        return float(total) / len(data)

    @torch.no_grad()
    def loss_and_gradients(self):
        """Return the mean loss of the training data, and its gradients.

        Returns
        -------
        loss : float
            Without the penalty.
        gradients : list of tensor
            Of the matrices of weights, in their order.
        """
        weights = weights_of(self.module)
        gradients = [torch.zeros_like(weight) for weight in weights]
        total = torch.zeros_like(self.data.weight[0])
        everything = torch.arange(len(self.data), device=self.data.rows.device)
        for index in everything.split(prediction_rows(len(self.columns))):
            X, y, weight = self.data.batch(index)
            total += self.objective.backward(self.module, X, X, y, weight).sum()
            share = len(index) / len(self.data)
            for gradient, parameter in zip(gradients, weights, strict=True):
                gradient.add_(parameter.grad, alpha=share)
        self.module.zero_grad()
        return float(total) / len(self.data), gradients

    @torch.no_grad()
    def train_epoch(self, optimizer, *, max_noise=math.inf, after_step=None):
        """Take a step for each batch of the shuffled samples.

        Raises
        ------
        DivergedError
            If the loss or a weight becomes infinite.
        """
        self.module.train()
        total = torch.zeros_like(self.data.weight[0])
        for X_seen, X, y, weight in self._shuffled_batches(max_noise):
            losses = self.objective.backward(self.module, X_seen, X, y, weight)
            optimizer.step()
            if after_step is not None:
                after_step()
            total += losses.sum()
        self.module.zero_grad()  # copies of the network need no gradients
        loss = float(total) / len(self.data)
        if not np.isfinite(loss) or not all_finite(self.module):
            raise DivergedError(
                f"The training diverged in epoch {len(self.loss_curve) + 1} (loss "
                f"{loss}). Scale X to unit variance, for example with "
                "StandardScaler in a Pipeline, or lower learning_rate_init."
            )
        self.loss_curve.append(loss)

    def _shuffled_batches(self, max_noise):
        """Yield noisy features, features, targets and weights of all batches.

        Samples are gathered and noise is drawn for many small batches at once.
        """
        n_samples, device = len(self.data), self.data.weight.device
        order = torch.randperm(n_samples, generator=self.generator, device=device)
        entries = self.batch_size * max(1, len(self.columns))
        n_rows = self.batch_size * max(1, BLOCK_ENTRIES // entries)
        deviation = self.noise(max_noise)
        for block in order.split(n_rows):
            X, y, weight = self.data.batch(block)
            X_seen = X
            if deviation:
                noise = torch.empty_like(X).normal_(generator=self.generator)
                X_seen = noise.mul_(deviation).add_(X)
            parts = (part.split(self.batch_size) for part in (X_seen, X, y, weight))
            yield from zip(*parts, strict=True)

    def _print_epoch(self):
        line = f"Epoch {len(self.loss_curve)}, loss {self.loss_curve[-1]:.6f}"
        if self.early_stopping:
            line += f", validation loss {-self.validation_scores[-1]:.6f}"
        print(line)
