"""Helpers of the tests of `shrink`."""

import torch
from torch import nn


def make_mlp():
    return nn.Sequential(
        nn.Linear(6, 9),
        nn.BatchNorm1d(9),
        nn.ELU(),
        nn.Dropout(),
        nn.Linear(9, 7),
        nn.Softplus(),
        nn.Linear(7, 5, bias=False),
        nn.PReLU(),
        nn.Linear(5, 3, bias=False),
    )


def build(make, seed=0):
    torch.manual_seed(seed)
    return make().double().eval()


def zero(tensor, *indices):
    with torch.no_grad():
        tensor[indices] = 0.0


def flat(output):
    """All numbers of nested outputs."""
    if isinstance(output, torch.Tensor):
        return output.detach().ravel()
    parts = output.values() if isinstance(output, dict) else output
    return torch.cat([flat(part) for part in parts if not isinstance(part, int)])


def assert_same(smaller, model, *shape):
    """On other inputs than those of the shrinking."""
    X = torch.randn(shape, dtype=next(model.parameters()).dtype)
    tolerance = 1e-10 if X.dtype == torch.float64 else 1e-5
    torch.testing.assert_close(
        flat(smaller.eval()(X)), flat(model.eval()(X)), rtol=tolerance, atol=tolerance
    )
