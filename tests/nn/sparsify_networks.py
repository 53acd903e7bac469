"""Networks with units of all kinds, for images of 8 x 8 and three classes."""

import torch
from torch import nn
from torch.nn import functional as F


class Residual(nn.Module):
    def __init__(self, n_inputs, n_outputs, stride=1):
        super().__init__()
        self.first = nn.Conv2d(n_inputs, n_outputs, 3, stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(n_outputs)
        self.second = nn.Conv2d(n_outputs, n_outputs, 3, padding=1)
        self.shortcut = nn.Identity()
        if stride > 1:
            self.shortcut = nn.Conv2d(n_inputs, n_outputs, 1, stride)

    def forward(self, X):
        return F.relu(self.second(F.relu(self.norm(self.first(X)))) + self.shortcut(X))


def perceptron():
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 40),
        nn.BatchNorm1d(40),
        nn.ReLU(),
        nn.Linear(40, 30),
        nn.GELU(),
        nn.Linear(30, 3),
    )


def convolutions():
    return nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 20, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(80, 16),
        nn.ReLU(),
        nn.Linear(16, 3),
    )


def residual():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        Residual(16, 16),
        Residual(16, 24, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(24, 3),
    )


def sequences():
    return nn.Sequential(
        nn.Flatten(2),
        nn.Conv1d(1, 14, 3, dilation=2),
        nn.Dropout1d(0.1),
        nn.ReLU(),
        nn.Conv1d(14, 12, 5, stride=2),
        nn.BatchNorm1d(12, affine=False),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(12, 3),
    )


class Concatenated(nn.Module):
    """Layers that read what all layers before have made."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 10, 3, padding=1)
        self.second = nn.Conv2d(11, 10, 3, padding=1)
        self.head = nn.Linear(21, 3)

    def forward(self, X):
        Z = torch.cat([X, F.relu(self.first(X))], dim=1)
        Z = torch.cat([Z, F.relu(self.second(Z))], dim=1)
        return self.head(Z.mean((2, 3)))


def depthwise():
    return nn.Sequential(
        nn.Conv2d(1, 16, 1),
        nn.Conv2d(16, 16, 3, padding=1, groups=16),
        nn.ReLU(),
        nn.Conv2d(16, 20, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(20, 3),
    )


def grouped():
    """The units that the convolution with groups reads and makes stay."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.Conv2d(8, 8, 3, padding=1, groups=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(512, 40),
        nn.ReLU(),
        nn.Linear(40, 3),
    )


def transposed():
    return nn.Sequential(
        nn.Conv2d(1, 12, 3, stride=2),
        nn.ReLU(),
        nn.ConvTranspose2d(12, 10, 3, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(10, 3),
    )


NETWORKS = [
    perceptron,
    convolutions,
    sequences,
    residual,
    Concatenated,
    depthwise,
    transposed,
]
