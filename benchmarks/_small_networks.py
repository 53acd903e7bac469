"""Small networks and images for the benchmarks of pruning."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional as F

# ---------------------------------------------------------------------------
# Networks


def make_lenet_300_100():
    """Build a multilayer perceptron with 266200 weights."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 300),
        nn.ReLU(),
        nn.Linear(300, 100),
        nn.ReLU(),
        nn.Linear(100, 10),
    )


def make_small_perceptron():
    """Build a multilayer perceptron with 7400 weights for images of 8 x 8."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 10)
    )


def make_lenet_5():
    """Build two convolutions and three linear layers, 61470 weights."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


class Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, n_inputs, n_outputs, stride, *, norm_in_shortcut=False):
        super().__init__()
        self.first = nn.Conv2d(
            n_inputs, n_outputs, 3, stride=stride, padding=1, bias=False
        )
        self.norm1 = nn.BatchNorm2d(n_outputs)
        self.second = nn.Conv2d(n_outputs, n_outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(n_outputs)
        self.shortcut = nn.Identity()
        if stride > 1:
            self.shortcut = nn.Conv2d(n_inputs, n_outputs, 1, stride=stride, bias=False)
            if norm_in_shortcut:
                norm = nn.BatchNorm2d(n_outputs)
                self.shortcut = nn.Sequential(self.shortcut, norm)

    def forward(self, X):
        """Add the two branches."""
        Z = F.relu(self.norm1(self.first(X)))
        return F.relu(self.norm2(self.second(Z)) + self.shortcut(X))


def make_resnet():
    """Build a residual network with ten layers for images of 8 x 8."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        Residual(16, 16, 1),
        Residual(16, 16, 1),
        Residual(16, 32, 2),
        Residual(32, 32, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


def make_plain_7(width=16):
    """Build six convolutions and a linear layer, as in VGG networks."""
    layers, n_inputs = [], 1
    for factor in (1, 1, 2, 2, 4, 4):
        n_outputs = factor * width
        layers.append(nn.Conv2d(n_inputs, n_outputs, 3, padding=1, bias=False))
        layers += [nn.BatchNorm2d(n_outputs), nn.ReLU()]
        if n_outputs == n_inputs < 4 * width:
            layers.append(nn.MaxPool2d(2))
        n_inputs = n_outputs
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(n_inputs, 10)
    return nn.Sequential(*layers, *head)


class Attention(nn.Module):
    """Self-attention and a perceptron, each beside a shortcut."""

    def __init__(self, n_units, n_heads=4):
        super().__init__()
        self.n_heads = n_heads
        self.norm1, self.norm2 = nn.LayerNorm(n_units), nn.LayerNorm(n_units)
        self.projections = nn.Linear(n_units, 3 * n_units)
        self.output = nn.Linear(n_units, n_units)
        self.perceptron = nn.Sequential(
            nn.Linear(n_units, 4 * n_units), nn.GELU(), nn.Linear(4 * n_units, n_units)
        )

    def forward(self, X):
        """Attend, then transform each token."""
        n, n_tokens, n_units = X.shape
        parts = self.projections(self.norm1(X)).chunk(3, dim=2)
        heads = [
            part.view(n, n_tokens, self.n_heads, -1).transpose(1, 2) for part in parts
        ]
        Z = F.scaled_dot_product_attention(*heads).transpose(1, 2)
        X = X + self.output(Z.reshape(n, n_tokens, n_units))
        return X + self.perceptron(self.norm2(X))


class Transformer(nn.Module):
    """Two blocks of attention over the rows of an image."""

    n_units = 48

    def __init__(self):
        super().__init__()
        self.embedding = nn.Linear(8, self.n_units)
        self.places = nn.Parameter(0.1 * torch.randn(8, self.n_units))
        self.blocks = nn.Sequential(Attention(self.n_units), Attention(self.n_units))
        self.classifier = nn.Linear(self.n_units, 10)

    def forward(self, X):
        """Classify by the mean of the tokens."""
        tokens = self.embedding(X.flatten(1, 2)) + self.places
        return self.classifier(self.blocks(tokens).mean(dim=1))


# ---------------------------------------------------------------------------
# Data


class Batches:
    """Shuffled batches in the order of PyTorch's global generator."""

    def __init__(self, X, y, size):
        self.X, self.y, self.size = X, y, size

    def __len__(self):
        """Count the batches."""
        return -(-len(self.X) // self.size)

    def __iter__(self):
        """Shuffle, and yield the batches."""
        for index in torch.randperm(len(self.X)).split(self.size):
            yield self.X[index], self.y[index]


def load_mnist(path, n_samples, seed):
    """Return training and test images; all seeds have the same."""
    data = np.load(path)
    X = (data["X"].reshape(-1, 1, 28, 28).astype(np.float32) / 255 - 0.1307) / 0.3081
    y = data["y"].astype(np.int64)
    parts = X[:n_samples], X[8000:], y[:n_samples], y[8000:]
    return [torch.from_numpy(part) for part in parts]


def load_small_images(path, n_samples, seed):
    """Return training and test digits, split by the seed."""
    digits = load_digits()
    X = (digits.images / 8.0 - 1.0).astype(np.float32)[:, None]
    parts = train_test_split(
        X, digits.target, test_size=0.3, stratify=digits.target, random_state=seed
    )
    return [torch.from_numpy(part) for part in parts]


def load_shuffled_mnist(path, n_samples, seed):
    """Return training and test images, split by the seed."""
    parts = load_mnist(path, n_samples, seed)
    X, y = torch.cat(parts[:2]), torch.cat(parts[2:])
    order = torch.randperm(len(X), generator=torch.Generator().manual_seed(seed))
    X, y = X[order], y[order]
    return [X[:n_samples], X[n_samples:], y[:n_samples], y[n_samples:]]
