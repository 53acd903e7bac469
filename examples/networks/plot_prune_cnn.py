"""
Pruning a convolutional network
===============================

A convolutional network for digits is trained to different shares of zeros by
:func:`~skproj.nn.sparsify`, and pruned in one shot for comparison. Zeros of single
weights save no time, so whole filters are pruned at the end, and
:func:`~skproj.nn.prune.shrink` makes the network smaller.
"""

# %%
# A network
# ---------
import copy
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn.utils import prune as torch_prune
from torch.utils.data import DataLoader, TensorDataset

from skproj.nn import prune, sparsify
from skproj.nn.functional import projection_l12_ball
from skproj.projection import radius_for_sparsity

plt.style.use("tableau-colorblind10")
digits = load_digits()
images = (digits.images / 16).astype(np.float32)[:, None]
X_train, X_test, y_train, y_test = map(
    torch.from_numpy,
    train_test_split(
        images, digits.target, test_size=0.3, stratify=digits.target, random_state=0
    ),
)
generator = torch.Generator().manual_seed(0)


def train(model, n_epochs):
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(n_epochs):
        for batch in torch.randperm(len(X_train), generator=generator).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(
                model(X_train[batch]), y_train[batch]
            ).backward()
            optimizer.step()
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
train(dense, 10)
print(f"accuracy of the dense network: {accuracy(dense):.3f}")

# %%
# Single weights
# --------------
# Each method starts from a copy of the trained network and trains it for ten epochs.
# :func:`~skproj.nn.sparsify` computes the gradient at the largest weights, but changes
# all of them, so that removed weights can return. In one shot, the smallest weights are
# removed before the training.
loader = DataLoader(
    TensorDataset(X_train, y_train), batch_size=64, shuffle=True, generator=generator
)


def train_sparse(model, zeros):
    sparsify(
        model,
        nn.functional.cross_entropy,
        loader,
        target=zeros,
        n_epochs=10,
        optimizer=partial(torch.optim.Adam, lr=5e-3),
    )


def in_one_shot(model, zeros):
    torch_prune.global_unstructured(
        prune.prunable_parameters(model), torch_prune.L1Unstructured, amount=zeros
    )
    train(model, 10)


methods = {"sparsify": train_sparse, "one shot, magnitude": in_one_shot}
fractions = [0.9, 0.95, 0.98, 0.99]
scores = {name: [] for name in methods}
reports = {name: [] for name in methods}
for name, method in methods.items():
    for zeros in fractions:
        model = copy.deepcopy(dense)
        method(model, zeros)
        scores[name].append(accuracy(model))
        reports[name].append(prune.sparsity_report(model))
print("zeros                 " + "".join(f"{zeros:8.0%}" for zeros in fractions))
for name, values in scores.items():
    print(f"{name:22}" + "".join(f"{value:8.3f}" for value in values))
print(f"\nsparsify, 98 % zeros\n{reports['sparsify'][2]}")

# %%
# The methods keep large weights; they differ in the number of weights that each layer
# keeps, which the second figure shows. Magnitudes of different layers are hard to
# compare: most weights of the linear layer are removed because there are many of them,
# which are small. `sparsify` compares weights by a score that takes the other weights
# of the layer into account. The benchmark of the page :doc:`/pruning` has more
# networks, and five seeds.
figure, axis = plt.subplots(figsize=(4.5, 3.4), layout="constrained")
for name, values in scores.items():
    axis.plot(fractions, values, "o-", label=name)
axis.axhline(accuracy(dense), color="gray", linestyle="--", label="dense")
axis.set_xlabel("fraction of zeros")
axis.set_ylabel("accuracy on the test images")
axis.legend()
axis.grid(alpha=0.3)
figure, axes = plt.subplots(
    1, 2, figsize=(8, 3.8), sharex=True, sharey=True, layout="constrained"
)
titles = ["first convolution", "second", "linear"]
for axis, name in zip(axes, list(methods)[:2], strict=True):
    kept = [
        [1 - layer.fraction_zeros for layer in report.layers]
        for report in reports[name]
    ]
    for share, title in zip(np.transpose(kept), titles, strict=True):
        axis.plot(fractions, share, "s-", label=title)
    axis.plot(fractions, 1 - np.array(fractions), color="gray", linestyle="--")
    axis.set_title(name, fontsize="medium")
    axis.set_xlabel("fraction of zeros")
    axis.set_yscale("log")
    axis.set_ylim(2e-3, 1.1)
    axis.grid(alpha=0.3)
axes[0].set_ylabel("share of weights kept in the layer")
axes[0].legend()

# %%
# Whole filters
# -------------
# Networks with unstructured zeros take as long as the dense network. Here a projection
# onto an l1,2 ball keeps half or a quarter of the filters of each convolution. The
# other filters are removed, together with the weights that depend only on them.
batch = X_test[:256]
print(
    f"{'filters kept':>12} {'accuracy':>9} {'parameters':>11} {'MFLOPs':>7} {'ms':>6}"
)
for share in (1.0, 0.5, 0.25):
    model = copy.deepcopy(dense)
    for layer in (model[0], model[2]):
        W = layer.weight.detach().numpy()
        radius = radius_for_sparsity(W, fraction=share, ball="l12", axis=(1, 2, 3))
        kept = projection_l12_ball(layer.weight.detach(), radius, dim=(1, 2, 3)) != 0
        torch_prune.custom_from_mask(layer, "weight", kept)
        with torch.no_grad():  # zero filters need no bias
            layer.bias *= layer.weight_mask[:, 0, 0, 0]
    if share < 1.0:
        train(model, 5)
    smaller, report = prune.shrink(model, batch)
    cost = report.after
    print(
        f"{share:8.0%} {accuracy(smaller):9.3f} {cost.n_parameters:11} "
        f"{cost.flops / 1e6:7.1f} {cost.milliseconds:6.2f}"
    )
print(f"\nReport of the smallest network:\n{report}")

# %%
# This is one network, one seed and 540 test images: one point of accuracy is five
# images. Times depend on the computer. The ranking of the methods may differ on
# networks with millions of weights.
plt.show()
