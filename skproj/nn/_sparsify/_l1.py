"""Search for the l1 weights of the blocks of a network."""

import copy
import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from skproj.nn._sparsify._loop import clone_state, restore_state, to_device
from skproj.nn._sparsify._methods import FixedZeros, L1Penalty
from skproj.nn._training._l1_search import search_l1_weight
from skproj.nn._training._l1_training import (
    MAX_TRIMMED_IF_FEW,
    MAX_TRIMMED_SHARE,
    first_alpha,
)

# Of the number of weights, for one target and for several.
SEARCH_TOL = {0: 0.01, 1: 0.05}


def gradients_at_random_weights(module, blocks, step, loader):
    """Return the gradients of the weights of all blocks, for the first batch.

    The layers of a copy are initialised anew, with the random numbers as they are.
    """
    places = {id(W): name for name, W in module.named_parameters()}
    names = [places[id(weight)] for block in blocks for weight in block.weights]
    other = copy.deepcopy(module)
    for part in other.modules():
        if callable(getattr(part, "reset_parameters", None)):
            part.reset_parameters()
    device = next(other.parameters()).device
    step(other, to_device(next(iter(loader)), device)).backward()
    parameters = dict(other.named_parameters())
    return [
        torch.zeros_like(parameters[name])
        if parameters[name].grad is None
        else parameters[name].grad
        for name in names
    ]


def reach_by_l1(module, blocks, trainer, gradients, *, max_iter):
    """Find l1 weights for the targets of blocks, trim, and train without penalty.

    Returns the list of the l1 weights.
    """
    start = clone_state(module)
    is_single = len(blocks) == 1
    shape = () if is_single else (len(blocks),)

    def train(alpha):
        restore_state(module, start)
        trainer.run(L1Penalty(blocks, np.broadcast_to(alpha, len(blocks)).tolist()))
        return clone_state(module)

    def count(_):
        # The last training has left its weights in the module.
        return np.array([block.count_nonzero() for block in blocks]).reshape(shape)

    wanted = np.array([block.n_kept for block in blocks]).reshape(shape)
    found = search_l1_weight(
        train,
        count,
        wanted,
        total=np.array([block.size for block in blocks]).reshape(shape),
        alpha_init=first_alpha(
            [gradient.abs().flatten() for gradient in gradients], int(wanted.sum())
        ),
        tol=SEARCH_TOL[len(shape)],
        surplus=np.maximum(MAX_TRIMMED_SHARE * wanted, MAX_TRIMMED_IF_FEW),
        max_iter=max_iter,
        callback=lambda *_: trainer.is_stopped,
    )
    restore_state(module, found.model)
    if not found.converged and not trainer.is_stopped:
        warnings.warn(
            f"The search for the l1 weight ended after {found.n_iter} trainings with "
            f"{found.count} nonzero weights, where {wanted} were wanted; the smallest "
            "of them are removed. Raise max_iter or n_epochs.",
            ConvergenceWarning,
            stacklevel=3,
        )
    trainer.run(FixedZeros(blocks))
    return np.broadcast_to(found.alpha, len(blocks)).tolist()
