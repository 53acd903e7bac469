"""Removal of channels in front of batch normalisations of all kinds."""

import pytest
import torch
from shrink_helpers import assert_same, build, zero
from torch import nn
from torch.nn import functional as F

from skproj.nn import prune


def test_batch_norm_without_scale():
    """Whatever comes in, a constant goes out."""
    model = build(
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    )
    zero(model[1].weight, slice(1, 3))
    smaller, _ = prune.shrink(model, torch.ones(1, 1, 8, 8, dtype=torch.float64))
    assert_same(smaller, model, 2, 1, 8, 8)
    assert smaller[0].out_channels == smaller[1].num_features == 2
    assert smaller[1].running_mean.shape == (2,)


@pytest.mark.parametrize(
    ("options", "n_kept"), [({"affine": False}, 3), ({"track_running_stats": False}, 4)]
)
def test_batch_norm_without_parameters(options, n_kept):
    """Statistics only; and without those it is left alone."""
    model = build(
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, **options), nn.Conv2d(4, 2, 1)
        )
    )
    zero(model[2].weight, slice(None), 1)
    smaller, _ = prune.shrink(model, torch.ones(2, 1, 8, 8, dtype=torch.float64))
    assert_same(smaller, model, 2, 1, 8, 8)
    assert smaller[0].out_channels == n_kept


class NormWithActivation(nn.BatchNorm2d):
    """Calls functions of PyTorch, as the layers of timm do."""

    def forward(self, X):
        mean, variance = self.running_mean, self.running_var
        X = F.batch_norm(X, mean, variance, self.weight, self.bias, self.training)
        return F.silu(X)


def test_batch_norm_of_another_class():
    """One dead channel is zero, one is constant, one is not read."""
    model = build(
        lambda: nn.Sequential(
            nn.Conv2d(1, 6, 3, bias=False),
            NormWithActivation(6),
            nn.Conv2d(6, 3, 3),
        )
    )
    with torch.no_grad():
        model[1].running_mean.normal_()
        model[1].bias.normal_()
        model[1].weight[2] = 0.0
    zero(model[0].weight, 1)
    zero(model[2].weight, slice(None), 4)
    smaller, report = prune.shrink(model, torch.ones(1, 1, 6, 6).double())
    assert_same(smaller, model, 2, 1, 6, 6)
    assert report.layers["0"] == ((6, 1, 3, 3), (3, 1, 3, 3))
    assert type(smaller[1]) is NormWithActivation
    assert smaller[1].num_features == 3
