"""Training with an l1 weight: fixed, or found for a number of nonzero weights."""

import itertools

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from skproj.nn._training._l1_search import search_l1_weight
from skproj.nn._training._network import weights_of
from skproj.nn._training._optimizers import DEFAULT_EPS, Penalty
from skproj.nn._training._tensors import draw_
from skproj.nn._training._trainer import DivergedError, KeptZeros

# The first l1 weight of a search, as a share of the gradient entry whose rank is the
# number of weights wanted, in a network with random weights. (The gradient at zero
# weights, where a linear model would start, vanishes in a deep network.)
FIRST_ALPHA_SHARE = 0.1
# The first l1 weight where the gradient is zero.
MIN_FIRST_ALPHA = 1e-6

# Largest number of weights to trim, as a share of the weights wanted, or as a number
# where these are few.
MAX_TRIMMED_SHARE, MAX_TRIMMED_IF_FEW = 0.1, 2

# At the end of the dense training the gradients are tiny. Adam divides by their size:
# its first thresholds would wipe out most of the weights. Therefore its `eps` is at
# least this share of the size of the gradient at random weights.
MIN_EPS_SHARE = 0.3

# A training that diverges is repeated with half the learning rate, this many times.
MAX_HALVINGS = 3


def count_nonzero(module, *, by_group):
    """Return the number of weights or columns in each layer, and of those not zero."""
    weights = [weight.detach() for weight in weights_of(module)]
    if by_group:
        weights = [weight.any(dim=0) for weight in weights]
    sizes = np.array([weight.numel() for weight in weights])
    return sizes, np.array([int(weight.count_nonzero()) for weight in weights])


@torch.no_grad()
def keep_largest(weights, n_kept, *, by_group):
    """Set all weights, or columns if `by_group`, but the largest `n_kept` to zero."""
    if by_group:
        magnitudes = [torch.linalg.vector_norm(weight, dim=0) for weight in weights]
    else:
        magnitudes = [weight.abs() for weight in weights]
    masks = masks_of_largest(magnitudes, n_kept)
    for weight, mask in zip(weights, masks, strict=True):
        weight.mul_(mask)


def masks_of_largest(scores, n_kept):
    """Return where the largest of all scores are, exactly `n_kept` of them.

    The masks have the shapes of the scores. Of equal scores the first ones are taken.
    """
    joined = torch.cat([score.flatten() for score in scores])
    n_removed = len(joined) - n_kept
    if n_kept == 0 or n_removed == 0:
        mask = torch.full_like(joined, n_removed == 0, dtype=torch.bool)
    else:
        largest = joined.kthvalue(n_removed).values
        mask = joined > largest
        ties = (joined == largest).nonzero().flatten()
        mask[ties[: n_kept - int(mask.sum())]] = True
    parts = mask.split([score.numel() for score in scores])
    return [part.view_as(score) for part, score in zip(parts, scores, strict=True)]


def randomise(trainer):
    """Give the network of a trainer random weights, as those of a new one."""
    for weight in weights_of(trainer.module):
        bound = weight.shape[1] ** -0.5
        draw_(weight, "uniform_", -bound, bound, generator=trainer.generator)


@torch.no_grad()
def remove_dead_ends(module, alphas):
    """Set the weights into units that feed nothing to zero.

    They have no gradient, so that the penalty alone would remove them, which takes Adam
    many steps. They have no effect either, but would be counted. Nothing is removed
    from a layer without an l1 weight, whose alpha is 0.
    """
    weights = weights_of(module)
    for i in range(len(weights) - 1, 0, -1):
        if alphas[i - 1] > 0:
            weights[i - 1][~weights[i].any(dim=0)] = 0.0


class SparseTraining:
    """Base class of trainings to zeros, in stages of copies of a trainer.

    With `by_group` the columns of the weights are counted, as groups. The attribute
    `trainer` has the network of the last method that was called.
    """

    def __init__(self, trainer, *, by_group=False):
        self.trainer = trainer
        self._by_group = by_group
        self._hook = None  # on the steps of the last stage
        self._is_stopped = False  # by a callback
        self._may_be_constant = False

    def warnings(self):
        """Yield message and category of the warnings that the network deserves."""
        _, counts = count_nonzero(self.trainer.module, by_group=self._by_group)
        if not counts.all() and not self._may_be_constant:
            yield (
                "The network is constant: there are no weights left in layer "
                f"{np.flatnonzero(counts == 0).tolist()}. Ask for less sparsity.",
                UserWarning,
            )

    def _numbers_wanted(self, sparsity):
        """Return how many weights there are and shall be left, or for each layer."""
        self._may_be_constant = np.equal(sparsity, 1.0).any()
        sizes, _ = count_nonzero(self.trainer.module, by_group=self._by_group)
        total = sizes if np.ndim(sparsity) else sizes.sum()
        return total, np.rint((1.0 - sparsity) * total).astype(int)

    def _train_stage(self, start, make_hook=None):
        """Return a copy of a trainer that was trained; more slowly if it diverges.

        `make_hook` returns a hook on the steps for the network of the copy.
        """
        for n_halvings in itertools.count():
            learning_rate = start.options.learning_rate_init / 2**n_halvings
            trainer = start.branch(learning_rate_init=learning_rate)
            self._hook = None if make_hook is None else make_hook(trainer.module)
            try:
                self._is_stopped = trainer.train_stage(hook=self._hook)
            except DivergedError:
                if n_halvings == MAX_HALVINGS:
                    raise
            else:
                return trainer


class L1Training(SparseTraining):
    """Dense training, training with an l1 weight from there, and debiasing.

    `is_continued` says whether the network of the trainer has the weights of an earlier
    fit, not random ones. With `by_group` the columns of the weights are penalised and
    counted, as groups. The attribute `alpha` is the l1 weight of the present network.
    """

    def __init__(self, trainer, *, is_continued, by_group):
        super().__init__(trainer, by_group=by_group)
        self.alpha = 0.0
        self._early_stopping = trainer.options.early_stopping
        start = trainer.branch()
        if is_continued:
            randomise(start)
        _, self._first_gradients = start.loss_and_gradients()
        self._history = {
            name: []
            for name in ("alpha", "n_nonzero", "loss", "violation", "mean_violation")
        }
        self._shortfall = None

    def train_at(self, alpha):
        """Train at a fixed l1 weight, or one for each layer, from the dense network."""
        self._may_be_constant = np.isinf(alpha).any()
        self.trainer = self._train_stage(self.trainer)
        if self._is_stopped:
            return
        self.trainer = self._train_at(alpha)
        self.alpha = alpha
        self._record(alpha, self._count(self.trainer, np.ndim(alpha)), self.trainer)

    def reach(self, sparsity, *, tol, max_iter, trim):
        """Find the l1 weight for a sparsity, or one for each layer.

        It tries at most `max_iter` l1 weights, until the number of nonzero weights is
        right up to `tol` of it. `trim` sets surplus weights to zero.
        """
        total, wanted = self._numbers_wanted(sparsity)
        n_axes = np.ndim(sparsity)
        surplus = 0
        if trim:
            surplus = np.maximum(MAX_TRIMMED_SHARE * wanted, MAX_TRIMMED_IF_FEW)
        first = self._first_alpha(np.sum(wanted))
        self.trainer = self._train_stage(self.trainer)
        if not self._is_stopped:
            found = search_l1_weight(
                self._train_at,
                lambda trainer: self._count(trainer, n_axes),
                wanted,
                total=total,
                alpha_init=first,
                tol=tol,
                surplus=surplus,
                max_iter=max_iter,
                callback=self._record,
            )
            self.trainer, self.alpha = found.model, found.alpha
            if not found.converged:
                self._shortfall = (
                    f"The search for the l1 weight ended after {found.n_iter} steps "
                    f"with {found.count} nonzero weights or groups, where {wanted} "
                    "were wanted: raise max_search_iter, sparsity_tol or max_epochs."
                )
        if trim:
            self._trim(wanted)

    def debias(self):
        """Train the weights that are left without the penalty."""
        if self._is_stopped or not np.any(self.alpha):
            return
        start = self.trainer.branch(
            penalty=None, eps=DEFAULT_EPS, early_stopping=self._early_stopping
        )
        self.trainer = self._train_stage(
            start, lambda module: KeptZeros(weights_of(module))
        )

    def history(self):
        """Return the table of the steps."""
        return {name: np.array(column) for name, column in self._history.items()}

    def warnings(self):
        """Yield message and category of the warnings that the network deserves."""
        if self._shortfall is not None:
            yield self._shortfall, ConvergenceWarning
        yield from super().warnings()

    def _first_alpha(self, n_wanted):
        """Guess the l1 weight that leaves some weights, from the first gradients."""
        if self._by_group:
            sizes = [torch.linalg.vector_norm(g, dim=0) for g in self._first_gradients]
        else:
            sizes = [gradient.abs().flatten() for gradient in self._first_gradients]
        largest = torch.cat(sizes).sort(descending=True).values
        guess = FIRST_ALPHA_SHARE * float(largest[min(n_wanted, len(largest)) - 1])
        return guess if guess > 0.0 else MIN_FIRST_ALPHA

    def _train_at(self, alpha):
        """Return a trainer that was trained with an l1 weight from the dense network.

        It never stops early: the number of weights is only right at the end.
        """
        n_layers = len(weights_of(self.trainer.module))
        penalty = Penalty(tuple(np.broadcast_to(alpha, n_layers)), self._by_group)
        joined = torch.cat([gradient.flatten() for gradient in self._first_gradients])
        eps = max(DEFAULT_EPS, MIN_EPS_SHARE * float(joined.square().mean().sqrt()))
        start = self.trainer.branch(penalty=penalty, eps=eps, early_stopping=False)
        trainer = self._train_stage(start)
        if not self._by_group:
            remove_dead_ends(trainer.module, penalty.alphas)
        return trainer

    def _count(self, trainer, n_axes):
        _, counts = count_nonzero(trainer.module, by_group=self._by_group)
        return counts if n_axes else counts.sum()

    def _record(self, alpha, count, trainer):
        """Add a step to the history; return whether a callback wants no more."""
        loss, gradients = trainer.loss_and_gradients()
        weights = [weight.detach() for weight in weights_of(trainer.module)]
        violations = trainer.options.penalty.violations(weights, gradients)
        row = alpha, count, loss, float(violations.max()), float(violations.mean())
        for column, value in zip(self._history.values(), row, strict=True):
            column.append(value)
        return self._is_stopped

    def _trim(self, wanted):
        weights = [weight.detach() for weight in weights_of(self.trainer.module)]
        if wanted.ndim == 0:
            keep_largest(weights, int(wanted), by_group=self._by_group)
            return
        for weight, n_kept in zip(weights, wanted, strict=True):
            keep_largest([weight], int(n_kept), by_group=self._by_group)
