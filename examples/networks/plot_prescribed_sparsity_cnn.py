"""
A convolutional network with a tenth of its weights
===================================================

An l1 penalty makes weights exactly zero, but the number of zeros is not known in
advance. :func:`~skproj.nn.find_l1_weight` trains the network several times to find the
penalty for a given number of weights. It works with any training loop that can be
restarted; this one uses :class:`~skproj.nn.ProximalAdam`.
"""

# %%
# A network
# ---------
import copy

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn.utils import prune as torch_prune

from skproj.nn import ProximalAdam, find_l1_weight, prune

plt.style.use("tableau-colorblind10")
digits = load_digits()
images = (digits.images / 16).astype(np.float32)[:, None]
X_train, X_test, y_train, y_test = map(
    torch.from_numpy,
    train_test_split(
        images, digits.target, test_size=0.3, stratify=digits.target, random_state=0
    ),
)


def train(model, groups, n_epochs=8):
    """Train with a learning rate that decreases to zero, always on the same batches."""
    optimizer = ProximalAdam(groups, lr=5e-3)
    n_steps = n_epochs * -(-len(X_train) // 64)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    generator = torch.Generator().manual_seed(0)
    for _ in range(n_epochs):
        for batch in torch.randperm(len(X_train), generator=generator).split(64):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(X_train[batch]), y_train[batch])
            loss.backward()
            optimizer.step()
            scheduler.step()
    return model


@torch.no_grad()
def accuracy(model):
    return (model(X_test).argmax(dim=1) == y_test).double().mean().item()


torch.manual_seed(0)
dense = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1),
    nn.ReLU(),
    nn.Conv2d(16, 32, 3, padding=1),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Linear(512, 10),
)
train(dense, dense.parameters())
print(f"accuracy of the dense network: {accuracy(dense):.3f}")

# %%
# A tenth of the weights
# ----------------------
# The search needs two functions. One trains with a given penalty, always from the same
# initial weights, here those of the dense network. The other one counts the nonzero
# weights. Biases are not penalised.


def weights_and_biases(model):
    parameters = list(model.parameters())
    return [W for W in parameters if W.ndim > 1], [b for b in parameters if b.ndim == 1]


def train_with_l1(l1):
    model = copy.deepcopy(dense)
    weights, biases = weights_and_biases(model)
    return train(model, [{"params": weights, "l1": l1}, {"params": biases}])


def count(model):
    weights, _ = weights_and_biases(model)
    return sum(int(W.count_nonzero()) for W in weights)


def kept_by_layer(model):
    weights, _ = weights_and_biases(model)
    return [int(W.count_nonzero()) / W.numel() for W in weights]


steps = []


def show(l1, n_nonzero, model):
    steps.append((l1, n_nonzero, model))
    print(f"l1 weight {l1:.5f}: {n_nonzero:5} weights, accuracy {accuracy(model):.3f}")


n_weights = count(dense)
target = n_weights // 10
print(f"target: {target} of {n_weights} weights")
result = find_l1_weight(
    train_with_l1, count, target, total=n_weights, tol=0.01, callback=show
)

# %%
# The penalty also shrinks the remaining weights. Training them without the penalty,
# with the zeros fixed, removes this bias. For comparison, the smallest weights of the
# dense network are removed, and the others are trained for the same number of epochs.


def without_penalty(model):
    model = copy.deepcopy(model)
    weights, _ = weights_and_biases(model)
    for W in weights:  # weights without gradient do not change
        W.register_hook((W != 0).float().mul)
    return train(model, model.parameters())


def prune_by_magnitude(n_kept):
    model = copy.deepcopy(dense)
    layers = prune.prunable_parameters(model)
    torch_prune.global_unstructured(
        layers, torch_prune.L1Unstructured, amount=n_weights - n_kept
    )
    for layer, name in layers:
        torch_prune.remove(layer, name)
    return model


_, counts, models = zip(*steps, strict=True)
found = counts.index(result.count)
pruned = without_penalty(prune_by_magnitude(result.count))
curves = {
    "with the penalty": [accuracy(model) for model in models],
    "then without": [accuracy(without_penalty(model)) for model in models],
}
for name, values in curves.items():
    print(f"{name:20} {values[found]:.3f}")
print(f"{'global magnitude':20} {accuracy(pruned):.3f}")

# %%
# If the penalty is slightly too large, the network no longer works, as the dips show,
# and the search has to go back. The two methods keep different weights: the penalty
# keeps those that reduce the loss, however small they were. Magnitude pruning removes
# nearly all weights of the linear layer, which are small because there are many of
# them.
figure, axes = plt.subplots(1, 2, figsize=(8, 3.8), layout="constrained")
numbers = np.arange(1, len(steps) + 1)
axes[0].plot(numbers, counts, "o-")
axes[0].set_yscale("symlog", linthresh=1.0)  # has a place for no weights at all
axes[0].set_ylim(bottom=0.0)
axes[0].axhline(target, color="gray", linestyle="--", label="target")
axes[0].set_ylabel("nonzero weights")
for (name, values), marker in zip(curves.items(), "o^", strict=True):
    axes[1].plot(numbers, values, f"{marker}-", label=name)
axes[1].plot(found + 1, accuracy(pruned), "s", label="global magnitude")
axes[1].axhline(accuracy(dense), color="gray", linestyle=":", label="dense")
axes[1].set_ylabel("accuracy on the test images")
for axis in axes:
    axis.set_xlabel("step of the search")
    axis.set_xticks(numbers)
    axis.legend(loc="lower right")

# %%
# Shares of the weights that each layer keeps:
figure, axis = plt.subplots(figsize=(4.5, 3.2), layout="constrained")
# sphinx_gallery_thumbnail_number = 2
titles = ["first\nconvolution", "second\nconvolution", "linear"]
places = np.arange(len(titles))
bars = [
    ("penalty", kept_by_layer(result.model)),
    ("global magnitude", kept_by_layer(pruned)),
]
for shift, (name, share) in zip((-0.2, 0.2), bars, strict=True):
    axis.bar(places + shift, share, width=0.4, label=name)
axis.axhline(0.1, color="gray", linestyle="--", label="all layers")
axis.set_xticks(places, titles)
axis.set_ylabel("share of weights kept")
axis.legend()

# %%
# Half of the filters
# -------------------
# With a group penalty, whole filters become zero, and :func:`~skproj.nn.prune.shrink`
# removes them from the network. Only the two functions change: the norm of a group is
# computed over all dimensions of a filter, and filters are counted. With `tol`, one
# filter more or less is accepted.


def train_with_filters(l1):
    model = copy.deepcopy(dense)
    filters = [model[0].weight, model[2].weight]
    penalised = {id(W) for W in filters}
    others = [W for W in model.parameters() if id(W) not in penalised]
    groups = [
        {"params": filters, "l1": l1, "penalty": "l12", "dim": (1, 2, 3)},
        {"params": others},
    ]
    return train(model, groups)


def count_filters(model):
    return sum(int(layer.weight.any(dim=(1, 2, 3)).sum()) for layer in model[0:3:2])


result = find_l1_weight(
    train_with_filters, count_filters, target=24, total=48, tol=0.05
)
model = result.model
with torch.no_grad():  # zero filters need no bias
    for layer in model[0:3:2]:
        layer.bias *= layer.weight.any(dim=(1, 2, 3))
smaller, report = prune.shrink(model, X_test[:256])
print(f"{result.count} of 48 filters after {result.n_iter} steps")
print(
    f"accuracy {accuracy(smaller):.3f}, that of the dense network {accuracy(dense):.3f}"
)
print(report)

# %%
# The search trains the network several times, unlike magnitude pruning; this pays off
# if few weights are kept. This example uses one seed of a small network; the page
# :doc:`/prescribed_sparsity` has a comparison with three seeds.
plt.show()
