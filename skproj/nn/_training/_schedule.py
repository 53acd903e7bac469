"""Schedule from a dense network to a sparse one."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from skproj.nn._training._column_projection import ColumnProjection
from skproj.nn._training._network import first_layer

KINDS = ("progressive", "double", "double-rewind", "projected", "single")

# Above this many features per sample, where training is slow and the features are
# mostly noise, one intermediate projection replaces several.
WIDE_FEATURES_PER_SAMPLE = 8
WIDE_PROJECTIONS_PER_STAGE = 4


@dataclass(frozen=True)
class SparsityTarget:
    """Last projection of a schedule.

    Attributes
    ----------
    eta : float or None
        Of the projection; None if it follows from `n_features`.
    n_features : int or None
        The number of features to keep at most.
    """

    eta: float | None = None
    n_features: int | None = None

    def is_reached(self, projection, next_eta, next_count):
        """Whether the next intermediate projection would go too far."""
        if self.n_features is not None:
            return self.n_features >= next_count
        return projection.density(self.eta) >= projection.density(next_eta)

    def eta_for(self, projection, weight):
        """Return the `eta` for weights of shape (n_hidden, n_columns)."""
        if self.eta is not None:
            return self.eta
        return projection.eta_for(weight, self.n_features)


@dataclass(frozen=True)
class SparseResult:
    """Sparse network of a schedule, valid until the schedule goes on.

    Attributes
    ----------
    trainer : Trainer
        With the kept features only.
    eta : float
        Of the last projection.
    importances : ndarray of shape (n_kept,)
        Norms of the kept columns after the last projection.
    """

    trainer: object
    eta: float
    importances: np.ndarray


@dataclass(frozen=True)
class StageResults:
    """Sparse networks of each group after a stage.

    Attributes
    ----------
    of_groups : list of SparseResult
    refine : callable
        ``refine(input_noise)`` returns such a list after one more stage, with this
        noise. It stays valid when the schedule goes on.
    stopped : bool
        Whether a callback wants the fit to end with this stage.
    """

    of_groups: list
    refine: Callable
    stopped: bool = False


@dataclass(frozen=True)
class SparsificationSchedule:
    """Alternation of training stages and projections of the first layer [1]_.

    The "progressive" schedule, for a target `eta`:

    1. Train the dense network for one stage.
    2. Find the `eta` of the projection that keeps a share `keep_fraction` of the
       columns of the first layer. While it is denser than the target, project with it,
       drop the features whose columns are zero, and train the others for one stage,
       with the zeros inside their columns held fixed.
    3. Project with the target `eta`, drop the features whose columns are zero, and
       train the others for the last stage, with less noise on the input.

    "double" leaves out step 2 and is the double descent of [1]_; in "double-rewind" the
    last stage starts from the initial weights. "single" also leaves out the last stage.
    "projected" trains one stage with a projection to the target after each step.

    Attributes
    ----------
    projection : ColumnProjection
    kind : str
        One of `KINDS`.
    keep_fraction : float
        Share of the features that an intermediate projection keeps.
    final_noises : list of float
        Noise on the input in the last stage, where the other stages have more. Each
        target has a result for each of them.

    References
    ----------
    .. [1] M. Barlaud, G. Perez, J.-P. Marmorat, "A new linear time bi-level l1,inf
       projection; application to the sparsification of auto-encoders neural
       networks", arXiv:2407.16293.
    """

    projection: ColumnProjection
    kind: str
    keep_fraction: float
    final_noises: list

    def run(self, trainer, targets):
        """Train from dense to sparse, and yield the results for each target.

        Parameters
        ----------
        trainer : Trainer
            Its network is trained in place.
        targets : list of SparsityTarget
            From dense to sparse. The result of one does not depend on the others.

        Yields
        ------
        result : SparseResult
        """
        if self.kind == "projected":
            yield from self._run_projected(trainer, targets)
            return
        pending = list(targets)
        initial = trainer.branch() if "rewind" in self.kind else None
        stop = trainer.train_stage()
        while pending:
            count = 0 if stop else self._next_count(trainer)
            eta = self._eta_for(trainer, count)
            while pending and pending[0].is_reached(self.projection, eta, count):
                target = pending.pop(0)
                end = trainer.branch() if pending else trainer
                result = self._project_last(end, target)
                yield from self._train_last(result, stop, initial)
            if pending:
                self._project_intermediate(trainer, eta, count)
                stop = self._train_sparse(trainer)

    def run_path(self, trainer):
        """Train from dense to sparse, and yield the results for each projection.

        The first one has all the features, unless there are far more than samples.
        Each result is that of `run` for its `eta`. They go from dense to sparse: an
        intermediate projection that is no sparser than an earlier one has no result.

        Parameters
        ----------
        trainer
            As in `run`.

        Yields
        ------
        result : SparseResult
        """
        density, sparsest = self.projection.density, self.projection.densest
        stop = trainer.train_stage()
        if not self._is_wide(trainer):
            dense = SparsityTarget(eta=sparsest)
            result = self._project_last(trainer.branch(), dense)
            yield from self._train_last(result, stop)
        while (count := self._next_count(trainer)) > 0:
            eta = self._eta_for(trainer, count)
            importances = self._project_intermediate(trainer, eta, count)
            if density(eta) < density(sparsest):
                sparsest = eta
                result = SparseResult(trainer.branch(), eta, importances)
                yield from self._train_last(result, stop)
            if stop:
                return
            stop = self._train_sparse(trainer)

    def _run_projected(self, trainer, targets):
        """Train a stage for each target: all its steps depend on its `eta`."""
        for target in targets:
            end = trainer if target is targets[-1] else trainer.branch()
            weight, projection = self._first_layer(end)
            end.train_stage(
                after_step=partial(_project_in_place, weight, projection, target.eta)
            )
            yield self._project_last(end, target)

    # Training stages

    def _train_sparse(self, trainer):
        """Train the kept features for one stage; zeros inside their columns stay."""
        weight = first_layer(trainer.module)
        removed = weight == 0
        keep_zeros = None
        if removed.any():
            keep_zeros = partial(weight.masked_fill_, removed, 0.0)
        return trainer.train_stage(after_step=keep_zeros)

    def _train_last(self, result, stop, initial=None):
        """Train the last stage for each noise, from `initial` if it is given."""
        if stop or self.kind == "single":
            yield result
            return
        trainer = result.trainer
        if initial is not None:
            self._rewind(trainer, initial)
        for noise in self.final_noises:
            noise = min(noise, trainer.options.input_noise)
            end = trainer.branch(input_noise=noise)
            self._train_sparse(end)
            yield replace(result, trainer=end)

    @staticmethod
    def _rewind(trainer, initial):
        """Give the weights that are not zero their initial values."""
        weight = first_layer(trainer.module)
        removed = weight == 0
        module = copy.deepcopy(initial.module)
        kept = np.searchsorted(initial.data.columns, trainer.data.columns)
        module.keep_features(kept)
        trainer.module.load_state_dict(module.state_dict())
        weight.masked_fill_(removed, 0.0)

    # Projections

    def _next_count(self, trainer):
        """Return how many features the next intermediate projection keeps."""
        if self.kind != "progressive":
            return 0
        fraction = self.keep_fraction
        if self._is_wide(trainer):
            fraction **= WIDE_PROJECTIONS_PER_STAGE
        columns = trainer.data.columns
        return self.projection.of(columns).next_count(len(columns), fraction)

    @staticmethod
    def _is_wide(trainer):
        n_features, n_samples = len(trainer.data.columns), len(trainer.data.train)
        return n_features > WIDE_FEATURES_PER_SAMPLE * n_samples

    def _first_layer(self, trainer):
        """Return the weights to project, in shared memory, and their projection."""
        projection = self.projection.of(trainer.data.columns)
        return first_layer(trainer.module), projection

    def _eta_for(self, trainer, n_features):
        """Return the `eta` that keeps a number of columns of the first layer."""
        weight, projection = self._first_layer(trainer)
        return projection.eta_for(weight.cpu().numpy(), n_features)

    def _project_intermediate(self, trainer, eta, n_features):
        """Project on the way; return the norms of the kept columns."""
        n_before = len(trainer.data.columns)
        _, norms = self.project_to_target(trainer, SparsityTarget(eta))
        importances = self.drop_columns(trainer, norms)
        if len(trainer.data.columns) == n_before:  # ties, or a callable keeps all
            importances = self.drop_columns(trainer, norms, at_most=n_features)
        return importances

    def _project_last(self, trainer, target):
        eta, norms = self.project_to_target(trainer, target)
        importances = self.drop_columns(trainer, norms, at_most=target.n_features)
        return SparseResult(trainer, eta, importances)

    def project_to_target(self, trainer, target):
        """Project the first layer in place; return the `eta` and the norms."""
        weight, projection = self._first_layer(trainer)
        eta = target.eta_for(projection, weight.cpu().numpy())
        return eta, _project_in_place(weight, projection, eta)

    def drop_columns(self, trainer, norms, at_most=None):
        """Drop the columns that were projected to zero; return the norms of others.

        Parameters
        ----------
        trainer : Trainer
        norms : ndarray of shape (n_columns,)
            After the projection.
        at_most : int, default=None
            Drop the smallest of more columns than this as well: they are tied.

        Returns
        -------
        importances : ndarray of shape (n_kept,)
        """
        kept = self.projection.of(trainer.data.columns).groups.kept(norms, at_most)
        trainer.keep_columns(kept)
        return norms[kept]


def _project_in_place(weight, projection, eta):
    """Project weights in shared memory; return the norms of their columns."""
    projected, norms = projection.project_and_rank(weight.cpu().numpy(), eta)
    weight.copy_(torch.from_numpy(projected))
    return norms
