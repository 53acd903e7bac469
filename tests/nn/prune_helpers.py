"""Helpers of the tests of pruning."""

import numpy as np
import pytest
import torch

from skproj.nn.prune._weight_groups import GROUPINGS
from skproj.projection import projection_hoyer

each_grouping = pytest.mark.parametrize("grouping", GROUPINGS)


def zeros_of(*layers):
    return sum(int((layer.weight == 0).sum()) for layer in layers)


def train(model, optimizer, n_steps=5):
    generator = torch.Generator().manual_seed(1)
    X = torch.randn(20, 12, generator=generator)
    for _ in range(n_steps):
        optimizer.zero_grad()
        (model(X) - 1.0).square().sum().backward()
        optimizer.step()


# ---------------------------------------------------------------------------
# Several layers


def project_by_hand(arrays, sparsity, grouping, norm=1.0):
    """The projections of the documentation, without the code that is tested."""
    if grouping == "layer/filters":
        return [projection_hoyer(W, sparsity, axis=1) for W in arrays]
    if grouping == "layer/inputs":
        return [projection_hoyer(W, sparsity, axis=0) for W in arrays]
    if grouping == "model/filters":
        rows = [row for W in arrays for row in W]
    else:
        rows = [W.ravel() for W in arrays]
    projected = np.concatenate(projection_hoyer(rows, sparsity))
    ends = np.cumsum([W.size for W in arrays])[:-1]
    return [
        P.reshape(W.shape)
        for P, W in zip(np.split(projected, ends), arrays, strict=True)
    ]
