"""From a dense network to a sparse one: descents and projections in turn."""

import copy
import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from skproj.nn._training._column_projection import ColumnProjection
from skproj.nn._training._network import first_layer

# Above this many features per sample, an intermediate projection does the work of
# several: there the descents are long and the features mostly noise.
WIDE = 8
LEAPS = 4

WITHOUT_LAST_DESCENT = ("projected", "single")


@dataclass(frozen=True)
class Goal:
    """Where a run from dense to sparse ends.

    Attributes
    ----------
    radius : float
        Of the last projection; not used with `n_features`.
    n_features : int or None
        The number of features to keep instead.
    """

    radius: float = math.inf
    n_features: int | None = None

    def is_reached(self, next_radius, next_count):
        """Whether the next intermediate projection would go too far."""
        if self.n_features is None:
            return self.radius >= next_radius
        return self.n_features >= next_count


@dataclass(frozen=True)
class Outcome:
    """A trained sparse network. It is valid until the run goes on.

    Attributes
    ----------
    trainer : Trainer
        With the surviving features only.
    radius : float
        Of the last projection.
    importances : ndarray of shape (n_kept,)
        Norms of the surviving columns after the last projection.
    """

    trainer: object
    radius: float
    importances: np.ndarray


@dataclass(frozen=True)
class Descents:
    """How training and projection of the first layer alternate.

    Attributes
    ----------
    projection : ColumnProjection
    kind : {"progressive", "double", "double-rewind", "projected", "single"}
        The `descent` parameter of an estimator.
    max_epochs : int
        Of each descent.
    survival_rate : float
        Share of the features that an intermediate projection leaves.
    final_noises : list of float
        Noise on the input in the descent after the last projection, where the other
        descents have more. Each goal has an outcome for each of them.
    """

    projection: ColumnProjection
    kind: str
    max_epochs: int
    survival_rate: float
    final_noises: list

    def run(self, trainer, goals):
        """Train from dense to sparse, and yield the outcomes for each goal.

        Parameters
        ----------
        trainer : Trainer
            Its network is trained in place.
        goals : iterable of Goal
            From dense to sparse. The outcome of one does not depend on the others.

        Yields
        ------
        outcome : Outcome
        """
        pending = list(goals)
        if self.kind == "projected":
            yield from self._run_projected(trainer, pending)
            return
        initial = copy.deepcopy(trainer.module) if "rewind" in self.kind else None
        stop = trainer.descend(self.max_epochs)
        while True:
            next_count = 0 if stop else self._next_count(trainer)
            next_radius = self.radius_for(first_layer(trainer.module), next_count)
            while pending and pending[0].is_reached(next_radius, next_count):
                goal = pending.pop(0)
                end = trainer.branch() if pending else trainer
                outcome = self._reach(end, goal)
                if self.kind == "single" or stop:
                    yield outcome
                else:
                    yield from self._descend_last(outcome, initial)
            if not pending:
                return
            self._thin_out(trainer, next_radius, next_count)
            stop = self._descend_sparse(trainer)

    def _run_projected(self, trainer, goals):
        """Give each goal a descent of its own: all its steps depend on the radius."""
        for goal in goals:
            end = trainer if goal is goals[-1] else trainer.branch()
            project = partial(self.project, first_layer(end.module), goal.radius)
            end.descend(self.max_epochs, after_step=project)
            yield self._reach(end, goal)

    def path(self, trainer):
        """Train from dense to sparse, and yield the outcomes for each projection.

        The first one has all the features, unless there are far more than samples.
        Each outcome is what `run` gives for its radius, which are decreasing: what a
        smaller radius than the present one has reached before is passed over.

        Parameters
        ----------
        trainer : Trainer
            Its network is trained in place.

        Yields
        ------
        outcome : Outcome
        """
        smallest = self.projection.everything
        stop = trainer.descend(self.max_epochs)
        if not self._is_wide(trainer):
            outcome = self._reach(trainer.branch(), Goal(radius=smallest))
            yield from [outcome] if stop else self._descend_last(outcome)
        while True:
            count = self._next_count(trainer)
            if count == 0:
                return
            radius = self.radius_for(first_layer(trainer.module), count)
            importances = self._thin_out(trainer, radius, count)
            if radius < smallest:
                smallest = radius
                outcome = Outcome(trainer.branch(), radius, importances)
                yield from [outcome] if stop else self._descend_last(outcome)
            if stop:
                return
            stop = self._descend_sparse(trainer)

    def radius_for(self, weight, n_features):
        """Compute the radius of the projection that leaves a number of columns."""
        return self.projection.radius_for(weight.cpu().numpy(), n_features)

    def _next_count(self, trainer):
        """Number of features that the next intermediate projection leaves."""
        if self.kind != "progressive":
            return 0
        n_alive = len(trainer.columns)
        if n_alive == 0:
            return 0
        rate = (
            self.survival_rate**LEAPS if self._is_wide(trainer) else self.survival_rate
        )
        return min(math.ceil(rate * n_alive), n_alive - 1)

    def _is_wide(self, trainer):
        """Whether there are far more features than samples."""
        return len(trainer.columns) > WIDE * len(trainer.data)

    def _thin_out(self, trainer, radius, n_features):
        """Project on the way; return the norms of the columns that are left."""
        n_before = len(trainer.columns)
        self.project(first_layer(trainer.module), radius)
        importances = self.narrow(trainer)
        if len(trainer.columns) == n_before:  # all are tied, or a callable keeps all
            importances = self.narrow(trainer, at_most=n_features)
        return importances

    def _reach(self, trainer, goal):
        """Project for the last time."""
        weight = first_layer(trainer.module)
        radius = self.final_radius(weight, goal)
        self.project(weight, radius)
        importances = self.narrow(trainer, at_most=goal.n_features)
        return Outcome(trainer, radius, importances)

    def final_radius(self, weight, goal):
        """Return the radius that a goal means for these weights."""
        if goal.n_features is None:
            return goal.radius
        return self.radius_for(weight, goal.n_features)

    def _descend_sparse(self, trainer, max_noise=math.inf):
        """Train what survived; zeros inside the surviving columns stay."""
        weight = first_layer(trainer.module)
        removed = weight == 0
        keep_zeros = None
        if removed.any():
            keep_zeros = partial(weight.masked_fill_, removed, 0.0)
        return trainer.descend(
            self.max_epochs, max_noise=max_noise, after_step=keep_zeros
        )

    def _descend_last(self, outcome, initial=None):
        """Train what survived the last projection, from `initial` if it is given."""
        trainer = outcome.trainer
        if initial is not None:
            weight = first_layer(trainer.module)
            removed = weight == 0
            initial = copy.deepcopy(initial)
            initial.keep_features(trainer.columns)
            trainer.module.load_state_dict(initial.state_dict())
            weight.masked_fill_(removed, 0.0)
        *first_noises, last_noise = self.final_noises
        for noise in first_noises:
            end = trainer.branch()
            self._descend_sparse(end, noise)
            yield replace(outcome, trainer=end)
        self._descend_sparse(trainer, last_noise)
        yield outcome

    def project(self, weight, radius):
        """Project a tensor in place."""
        projected = self.projection.project(weight.cpu().numpy(), radius)
        weight.copy_(torch.from_numpy(projected))

    def narrow(self, trainer, at_most=None):
        """Drop the columns that are zero, and return the norms of the others.

        Parameters
        ----------
        trainer : Trainer
        at_most : int, default=None
            Drop the smallest of more columns than this as well: they are tied.

        Returns
        -------
        importances : ndarray of shape (n_kept,)
        """
        weight = first_layer(trainer.module).cpu().numpy()
        importances = self.projection.norms(weight)
        kept = np.flatnonzero(importances)
        if at_most is not None and len(kept) > at_most:
            order = np.argsort(-importances[kept], kind="stable")
            kept = np.sort(kept[order[:at_most]])
        trainer.keep_columns(kept)
        return importances[kept]
