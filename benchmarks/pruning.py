"""Compare ways to prune networks: accuracy on digits at a given fraction of zeros.

    python benchmarks/pruning.py                          # all, about ten minutes
    python benchmarks/pruning.py --networks mlp --zeros 0.95 --seeds 0
    python benchmarks/pruning.py --rst doc/benchmarks_pruning.rst

Method. The digits of scikit-learn are split into 70 % training and 30 % test images,
differently for each seed. A network is trained (Adam, 60 epochs), pruned to the target
fraction of zeros in its linear and convolutional layers, and fine-tuned with fixed
masks (40 epochs). All methods of a seed start from the same dense network, except
"induced", which projects during training: the sparsity increases from epoch 10 to epoch
50, and the network is pruned by magnitude after 60 epochs. "In 5 rounds" increases the
sparsity in five steps, with 8 epochs of fine-tuning after each.

Tables. Accuracy on the test images in percent after fine-tuning: mean and standard
error over the seeds. The number of zeros in a column is the same up to a few weights; a
cell is empty if a method cannot reach it. "Hoyer" is `skproj.nn.prune.single_shot`, by
grouping.
"""

import argparse
import copy
import platform
import textwrap
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import torch
from _tables import as_markdown, as_rst, processor, versions
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn.utils import prune as torch_prune

import skproj
from skproj.nn import prune

N_EPOCHS = 60
N_FINETUNING_EPOCHS = 40
INDUCED_EPOCHS = (10, 50)  # while the sparsity grows
N_ROUNDS = 5
BATCH_SIZE = 64
LEARNING_RATE = 3e-3


def make_mlp():
    """Build 64-128-64-10, 17024 weights."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 128),
        nn.ReLU(),
        nn.Linear(128, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def make_cnn():
    """Build two convolutions and a linear layer, 9872 weights."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(512, 10),
    )


NETWORKS = {"mlp": make_mlp, "cnn": make_cnn}


# Data and training


def load(seed):
    """Split the images, with values between 0 and 1."""
    digits = load_digits()
    X = (digits.images / 16.0).astype(np.float32)[:, None]
    parts = train_test_split(
        X, digits.target, test_size=0.3, stratify=digits.target, random_state=seed
    )
    return [torch.from_numpy(part) for part in parts]


def train(model, data, n_epochs, generator, register=None):
    """Train a model; `register` puts something behind the steps of the optimizer."""
    X, _, y, _ = data
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    if register is not None:
        register(optimizer)
    for _ in range(n_epochs):
        for batch in torch.randperm(len(X), generator=generator).split(BATCH_SIZE):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(X[batch]), y[batch]).backward()
            optimizer.step()


@torch.no_grad()
def accuracy(model, data):
    """Percentage of test images that are classified right."""
    _, X, _, y = data
    return 100.0 * (model(X).argmax(dim=1) == y).double().mean().item()


# Methods. Each prunes a trained model in place.


def by_global_magnitude(model, zeros):
    """Remove the smallest weights of all layers."""
    torch_prune.global_unstructured(
        prune.prunable_parameters(model), torch_prune.L1Unstructured, amount=zeros
    )


def by_layer_magnitude(model, zeros):
    """Remove the smallest weights of each layer."""
    for layer, name in prune.prunable_parameters(model):
        torch_prune.l1_unstructured(layer, name, zeros)


def by_hoyer(model, zeros, *, keep_classifier=False, **options):
    """Project all layers at the common Hoyer level that gives the zeros."""
    if keep_classifier:
        sizes = [layer.weight.numel() for layer, _ in prune.prunable_parameters(model)]
        zeros = min(zeros * sum(sizes) / sum(sizes[:-1]), 1.0)  # of the others
        options["exclude"] = [str(len(model) - 1)]
    prune.single_shot(model, zeros, target="zeros", **options)


METHODS = {
    "global magnitude": by_global_magnitude,
    "the same in each layer": by_layer_magnitude,
    "Hoyer, layer/filters": by_hoyer,
    "Hoyer, layer/filters, dense classifier": partial(by_hoyer, keep_classifier=True),
    "Hoyer, layer/inputs": partial(by_hoyer, grouping="layer/inputs"),
    "Hoyer, model/filters": partial(by_hoyer, grouping="model/filters"),
    "Hoyer, model/layers": partial(by_hoyer, grouping="model/layers"),
    "Hoyer, model/layers, normalized": partial(
        by_hoyer, grouping="model/layers", normalize=True
    ),
}
DENSE = "dense"
IN_ROUNDS = f"global magnitude, in {N_ROUNDS} rounds"
INDUCED = "induced, layer/filters"
LARGEST_DEVIATION = 0.002  # of the fraction of zeros


def register_induced(optimizer, *, model, zeros, n_steps):
    """Project after each epoch of `n_steps`, from the first to the last of them."""
    first, last = (n_steps * epoch for epoch in INDUCED_EPOCHS)
    schedule = prune.sparsity_schedule(zeros, last - first, begin=first)
    prune.induced_pruning(
        optimizer,
        prune.prunable_parameters(model),
        schedule,
        target="zeros",
        every=n_steps,
    )


def train_in_rounds(model, zeros, data, generator):
    """Remove the smallest weights of all layers little by little."""
    parameters = prune.prunable_parameters(model)
    n_weights = sum(layer.weight.numel() for layer, _ in parameters)
    share = prune.sparsity_schedule(zeros, N_ROUNDS)
    n_zeros = 0
    for step in range(1, N_ROUNDS + 1):
        wanted = round(share(step) * n_weights)
        by_global_magnitude(model, wanted - n_zeros)
        n_zeros = wanted
        train(model, data, N_FINETUNING_EPOCHS // N_ROUNDS, generator)


def run(network, zeros, seed):
    """Yield the name of each method, and the accuracy with it."""
    data = load(seed)
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    untrained = NETWORKS[network]()
    dense = copy.deepcopy(untrained)
    train(dense, data, N_EPOCHS, generator)

    def finetuned(model):
        train(model, data, N_FINETUNING_EPOCHS, generator)
        return accuracy(model, data)

    yield DENSE, None, finetuned(copy.deepcopy(dense))
    for share in zeros:
        for name, method in METHODS.items():
            model = copy.deepcopy(dense)
            method(model, share)
            reached = prune.sparsity_report(model).fraction_zeros
            if abs(reached - share) <= LARGEST_DEVIATION:
                yield name, share, finetuned(model)
        model = copy.deepcopy(dense)
        train_in_rounds(model, share, data, generator)
        yield IN_ROUNDS, share, accuracy(model, data)
        model = copy.deepcopy(untrained)
        register = partial(
            register_induced,
            model=model,
            zeros=share,
            n_steps=-(-len(data[0]) // BATCH_SIZE),
        )
        train(model, data, N_EPOCHS, generator, register)
        by_global_magnitude(model, share)
        yield INDUCED, share, finetuned(model)


# Tables


def cell(values):
    """Write mean and standard error."""
    if not values:
        return ""
    text = f"{np.mean(values):.1f}"
    if len(values) > 1:
        text += f" ± {np.std(values, ddof=1) / np.sqrt(len(values)):.1f}"
    return text


def table(results, zeros):
    """Rows of the table of a network, the first with the titles."""
    rows = [["accuracy, %", *(f"{100 * share:g} % zeros" for share in zeros)]]
    rows.append([DENSE, *(cell(results[DENSE, None]) for _ in zeros)])
    for name in (*METHODS, IN_ROUNDS, INDUCED):
        rows.append([name, *(cell(results.get((name, share))) for share in zeros)])
    return rows


def describe_conditions():
    """Say where and how the numbers were taken."""
    packages = versions(torch=torch, skproj=skproj)
    text = f"Measured on {processor()}, {platform.system()}, with {packages}."
    return textwrap.fill(text, width=88, break_on_hyphens=False)


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=[*NETWORKS])
    parser.add_argument("--zeros", nargs="+", type=float, default=[0.9, 0.95, 0.98])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--rst", type=Path, help="write the tables here")
    return parser.parse_args()


def main():
    """Measure, print, and write the file that was asked for."""
    options = parse_arguments()
    torch.set_num_threads(1)
    # That little is left of a layer is what some rows of the table are about.
    warnings.filterwarnings("ignore", ".* keeps .* weights", UserWarning)
    tables = []
    for network in options.networks:
        results = {}
        for seed in options.seeds:
            for name, share, value in run(network, options.zeros, seed):
                results.setdefault((name, share), []).append(value)
        rows = table(results, options.zeros)
        n_weights = sum(
            layer.weight.numel()
            for layer, _ in prune.prunable_parameters(NETWORKS[network]())
        )
        title = f"{network}, {n_weights} weights, {len(options.seeds)} seeds"
        print(f"{title}\n\n{as_markdown(rows)}", flush=True)
        tables.append(as_rst(rows, title))
    print(describe_conditions())
    if options.rst:
        text = "\n".join([*tables, describe_conditions()]) + "\n"
        options.rst.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
