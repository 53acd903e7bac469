"""Training of one network with one projection, and the ends of all schedules."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from skproj.nn._training._network import first_layer
from skproj.nn._training._trainer import KeptZeros


@dataclass(frozen=True)
class SparsityTarget:
    """Last projection of a schedule: an `eta`, or the number of features to keep at
    most.

    Without an `eta` it follows from `n_features`.
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

    The trainer has the kept features only; `eta` is that of the last projection, and
    the importances are the norms of the kept columns after it.
    """

    trainer: object
    eta: float
    importances: np.ndarray


@dataclass(frozen=True)
class StageResults:
    """Sparse networks of each group after a stage.

    ``refine(input_noise)`` returns such a list after one more stage, with this noise.
    It stays valid when the schedule goes on. `stopped` tells whether a callback wants
    the fit to end with this stage.
    """

    of_groups: list
    refine: Callable
    stopped: bool = False


def train_and_project(trainer, target, projection, schedule):
    """Train one network with one projection: "single", or "double" descent [1]_.

    1. Train the network of all features for one stage.
    2. Project its first layer, and drop the features whose columns are zero.
    3. "double": train the others for one more stage, with less noise on the input, and
       with the zeros inside their columns held fixed; on request of the schedule from
       their initial weights.

    The trainer is changed in place. Returns a `SparseResult`.

    References
    ----------
    .. [1] M. Barlaud, G. Perez, J.-P. Marmorat, "A new linear time bi-level l1,inf
       projection; application to the sparsification of auto-encoders neural
       networks", arXiv:2407.16293.
    """
    initial, columns = copy.deepcopy(trainer.module), trainer.data.columns
    stop = trainer.train_stage()
    eta, norms = project_to_target(trainer, projection, target)
    norms = drop_columns(trainer, projection, norms, target.n_features)
    if schedule.kind == "double" and not stop:
        hook = KeptZeros([first_layer(trainer.module)])
        if schedule.rewind:
            initial.keep_features(np.searchsorted(columns, trainer.data.columns))
            trainer.module.load_state_dict(initial.state_dict())
            hook.after_step()
        noise = min(schedule.final_noise, trainer.options.input_noise)
        trainer.options = replace(trainer.options, input_noise=noise)
        trainer.train_stage(hook=hook)
    return SparseResult(trainer, eta, norms)


def project_to_target(trainer, projection, target):
    """Project the first layer in place; return the `eta` and the norms of columns."""
    weight = first_layer(trainer.module)
    projection = projection.of(trainer.data.columns)
    eta = target.eta_for(projection, weight.cpu().numpy())
    projected, norms = projection.project_and_rank(weight.cpu().numpy(), eta)
    weight.copy_(torch.from_numpy(projected))
    return eta, norms


def drop_columns(trainer, projection, norms, at_most=None):
    """Drop the columns that were projected to zero; return the norms of the others.

    The smallest of more columns than `at_most` are dropped as well: they are tied.
    """
    kept = projection.of(trainer.data.columns).groups.kept(norms, at_most)
    trainer.keep_columns(kept)
    return norms[kept]
