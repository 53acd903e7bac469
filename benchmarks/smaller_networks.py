"""Compare networks from which most of the work is gone, at the same training time.

    python benchmarks/smaller_networks.py --results runs.csv
    python benchmarks/smaller_networks.py --mnist mnist_t10k.npz --results runs.csv
    python benchmarks/smaller_networks.py --results runs.csv --problems \
        --rst doc/benchmarks_smaller_networks.rst                    # the tables only

Data and networks. A residual network of 20 layers (stages of 16, 32 and 64 channels,
with batch normalisation), a plain one of 7 layers, and a transformer whose tokens are
the rows of an image, for the digits of scikit-learn, 70 % of which are for training, a
split for each seed; the same residual network for images of 28 x 28, 8000 of the test
part of MNIST for training and 2000 for test. The file has arrays `X`, of 784 columns,
and `y`.

Method. A dense network is trained (Adam, learning rate 0.003), then units are removed
and the rest is trained, with a learning rate that decreases from 0.003 to zero; the
batches are the same. "Narrow" is a network with the same share of the channels in
each layer, trained from scratch for all these epochs. "torch-pruning" removes the
channels with the smallest norms, if that package is installed: from the dense network
at once, or in five parts in the first half of the training, with training after each
of them, as its readme proposes. All save at least the same share of the
multiplications; what cannot is left out.

Tables. Accuracy on the test data in percent: mean and standard error over the seeds.
Milliseconds of CPU time of a forward pass in evaluation mode, of a batch of 1 and of
64, on one thread: the shortest of many, as a multiple of those of the dense network;
"folded" is the same after `torch.fx.experimental.optimization.fuse` has put the
normalisations of both networks into their convolutions. Memory is that of the
parameters and of a forward pass at its peak, as a multiple of that of the dense
network. The seconds are those of CPU time of removal and training after it.
"""

import argparse
import copy
import math
import time
from itertools import accumulate, product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from _results import (
    append_record,
    describe_conditions,
    describe_system,
    mean_and_error,
    read_records,
)
from _small_networks import (
    Batches,
    Residual,
    load_mnist,
    load_small_images,
    make_plain_7,
)
from _tables import as_markdown, as_rst
from pruning import accuracy_of
from torch import nn
from torch.fx.experimental.optimization import fuse
from torch.nn import functional as F

from skproj.nn import prune, sparsify_units
from skproj.nn.prune import _shrink as shrink

LEARNING_RATE = 3e-3
# In how many parts torch-pruning removes the channels, with training after each.
N_PARTS = 5
N_TIMINGS = {1: 200, 64: 30}

# ---------------------------------------------------------------------------
# Networks


def make_resnet_20(width=16):
    """Build three stages of three blocks."""
    layers = [nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)]
    layers.append(nn.ReLU())
    n_inputs = width
    for n_outputs in (width, 2 * width, 4 * width):
        for _ in range(3):
            stride = 1 if n_outputs in (n_inputs, width) else 2
            layers.append(Residual(n_inputs, n_outputs, stride, norm_in_shortcut=True))
            n_inputs = n_outputs
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(n_inputs, 10)
    return nn.Sequential(*layers, *head)


class Transformer(nn.Module):
    """Two layers of attention over the rows of an image, of four heads each."""

    def __init__(self, width=16):
        super().__init__()
        n_units = 4 * width
        self.embedding = nn.Linear(8, n_units)
        self.places = nn.Parameter(0.1 * torch.randn(8, n_units))
        layer = nn.TransformerEncoderLayer(
            n_units, 4, 4 * n_units, dropout=0.0, batch_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(n_units, 10)

    def forward(self, X):
        """Classify by the mean of the tokens."""
        tokens = self.embedding(X.flatten(1, 2)) + self.places
        return self.head(self.encoder(tokens).mean(1))


class Problem(NamedTuple):
    """A network, its data, lengths of the training, and how much work shall go."""

    title: str
    make: object
    load: object
    batch_size: int
    n_dense_epochs: int
    n_epochs: int
    n_seeds: int
    targets: tuple = (0.5, 0.9, 0.95)


PROBLEMS = {
    "resnet-20-digits": Problem(
        "Residual network of 20 layers, digits",
        make_resnet_20,
        load_small_images,
        64,
        20,
        30,
        5,
    ),
    "plain-7-digits": Problem(
        "Plain network of 7 layers, digits",
        make_plain_7,
        load_small_images,
        64,
        20,
        30,
        5,
    ),
    "transformer-digits": Problem(
        "Transformer of 2 layers, digits",
        Transformer,
        load_small_images,
        64,
        20,
        30,
        5,
        (0.5,),
    ),
    "resnet-20-mnist": Problem(
        "Residual network of 20 layers, MNIST",
        make_resnet_20,
        load_mnist,
        100,
        5,
        8,
        3,
    ),
}
N_MNIST = 8000

# ---------------------------------------------------------------------------
# Methods. Each returns a smaller network, trained.


def train(model, batches, n_epochs, *, decay, epochs=None):
    """Train a network in place, in all or only in some of its epochs."""
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    n_steps = n_epochs * len(batches)
    for i in range(n_epochs) if epochs is None else epochs:
        for j, (inputs, target) in enumerate(batches):
            if decay:
                done = (i * len(batches) + j) / n_steps
                rate = LEARNING_RATE * (1 + math.cos(math.pi * done)) / 2
                optimizer.param_groups[0]["lr"] = rate
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), target).backward()
            optimizer.step()
    return model


def by_sparsify_units(problem, dense, batches, X, target):
    """Remove units little by little in the training."""
    model = copy.deepcopy(dense)
    sparsify_units(
        model,
        F.cross_entropy,
        batches,
        target=target,
        example_inputs=X,
        n_epochs=problem.n_epochs,
    )
    return prune.shrink(model, X)[0]


def by_narrow_layers(problem, dense, batches, X, target):
    """Train a network from scratch with fewer channels."""
    most = (1.0 - target) * count_flops(dense, X)
    width = 16
    while count_flops(problem.make(width), X) > most:
        width -= 1
    model = problem.make(width)
    n_epochs = problem.n_dense_epochs + problem.n_epochs
    return train(model, batches, n_epochs, decay=True)


def make_pruner(model, X, percent, n_parts=1):
    """Make a pruner of torch-pruning for the channels with the smallest norms."""
    import torch_pruning

    *_, last = model.modules()
    attention = [x for x in model.modules() if type(x) is nn.MultiheadAttention]
    return torch_pruning.pruner.BasePruner(
        model,
        X,
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=percent / 100,
        iterative_steps=n_parts,
        ignored_layers=[last],
        num_heads={module: module.num_heads for module in attention},
    )


def find_percent(dense, X, target, n_parts=1):
    """Return the smallest share of the channels with which enough work is gone."""
    most = (1.0 - target) * count_flops(dense, X)
    for percent in range(10, 100):
        model = copy.deepcopy(dense).eval()
        pruner = make_pruner(model, X, percent, n_parts)
        for _ in range(n_parts):
            pruner.step()
        if count_flops(model, X) <= most:
            return percent
    raise ValueError(f"torch-pruning does not reach {target}.")


def by_torch_pruning(problem, dense, batches, X, target):
    """Remove the channels with the smallest norms at once, then train."""
    model = copy.deepcopy(dense).eval()
    make_pruner(model, X, find_percent(dense, X, target)).step()
    return train(model, batches, problem.n_epochs, decay=True)


def by_iterated_torch_pruning(problem, dense, batches, X, target):
    """Remove channels in parts until half of the training is done."""
    n_parts = min(N_PARTS, problem.n_epochs // 2)
    model = copy.deepcopy(dense).eval()
    pruner = make_pruner(model, X, find_percent(dense, X, target, n_parts), n_parts)
    ends = np.linspace(0, problem.n_epochs / 2, n_parts + 1).round().astype(int)
    for i in range(n_parts):
        for group in pruner.step(interactive=True):
            group.prune()
        last = problem.n_epochs if i == n_parts - 1 else ends[i + 1]
        epochs = range(ends[i], last)
        train(model, batches, problem.n_epochs, decay=True, epochs=epochs)
        model.eval()
    return model


def keep_dense(problem, dense, batches, X, target):
    """Train the dense network on."""
    return train(copy.deepcopy(dense), batches, problem.n_epochs, decay=True)


DENSE = "dense, trained on"
METHODS = {
    DENSE: keep_dense,
    "`sparsify_units`": by_sparsify_units,
    "narrow, from scratch": by_narrow_layers,
    "torch-pruning, at once": by_torch_pruning,
    "torch-pruning, in parts": by_iterated_torch_pruning,
}

# ---------------------------------------------------------------------------
# Measures


@torch.no_grad()
def count_flops(model, X):
    """Count additions and multiplications, also of attention."""
    counter = shrink.count_flops(copy.deepcopy(model).eval(), (X,))
    return counter.get_total_flops()


@torch.no_grad()
def milliseconds(models, X):
    """Return the shortest times of several networks, in turns."""
    times = [[] for _ in models]
    for _ in range(N_TIMINGS[len(X)]):
        for model, seconds in zip(models, times, strict=True):
            start = time.process_time()
            model(X)
            seconds.append(time.process_time() - start)
    return [1e3 * min(seconds[1:]) for seconds in times]


@torch.no_grad()
def megabytes(model, X):
    """Return the memory of the parameters and of a forward pass at its peak."""
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        model(X)
    events = profile.profiler.kineto_results.events()
    changes = [event for event in events if event.name() == "[memory]"]
    changes.sort(key=lambda event: event.start_ns())
    n_bytes = max(accumulate(event.nbytes() for event in changes))
    n_bytes += sum(W.numel() * W.element_size() for W in model.parameters())
    return n_bytes / 1e6


TIMES = ("ms_1", "ms_64", "folded_1", "folded_64")
COSTS = ("flops", "parameters", *TIMES, "memory_1", "memory_64")


class Record(NamedTuple):
    """Measures of a run."""

    problem: str
    method: str
    target: float
    seed: int
    accuracy: float
    flops: float
    parameters: int
    ms_1: float
    ms_64: float
    folded_1: float
    folded_64: float
    memory_1: float
    memory_64: float
    dense_ms_1: float
    dense_ms_64: float
    dense_mb_1: float
    dense_mb_64: float
    seconds: float
    system: str

    @property
    def key(self):
        """What identifies a run."""
        return self.problem, self.method, self.target, self.seed


def measure(model, dense, X, y):
    """Return the accuracy, the costs, and the times of the dense network."""
    accuracy = accuracy_of(model, X, y)
    dense = copy.deepcopy(dense).eval()
    networks = [model, dense, fuse(model), fuse(dense)]
    costs = {
        "flops": count_flops(model, X[:1]) / count_flops(dense, X[:1]),
        "parameters": sum(W.numel() for W in model.parameters()),
    }
    for size in (1, 64):
        ms, dense_ms, folded, dense_folded = milliseconds(networks, X[:size])
        costs[f"ms_{size}"] = ms / dense_ms
        costs[f"folded_{size}"] = folded / dense_folded
        costs[f"dense_ms_{size}"] = dense_ms
        dense_mb = megabytes(dense, X[:size])
        costs[f"memory_{size}"] = megabytes(model, X[:size]) / dense_mb
        costs[f"dense_mb_{size}"] = dense_mb
    return {"accuracy": accuracy, **costs}


def run(name, options, known):
    """Yield a record for each run that is not known yet."""
    problem = PROBLEMS[name]
    for seed in options.seeds or range(problem.n_seeds):
        X, X_test, y, y_test = problem.load(options.mnist, N_MNIST, seed)
        batches = Batches(X, y, problem.batch_size)
        torch.manual_seed(seed)
        dense = train(problem.make(), batches, problem.n_dense_epochs, decay=False)
        targets = options.targets or problem.targets
        for method, target in [(DENSE, 0.0), *product(METHODS, targets)]:
            if method == DENSE and target > 0.0:
                continue
            if method not in options.methods or (name, method, target, seed) in known:
                continue
            torch.manual_seed(seed)
            start = time.process_time()
            try:
                model = METHODS[method](problem, dense, batches, X[:1], target)
            except ValueError as error:
                print(error)
                continue
            seconds = time.process_time() - start
            measures = measure(model, dense, X_test, y_test)
            yield Record(
                problem=name,
                method=method,
                target=target,
                seed=seed,
                seconds=seconds,
                system=describe_system(),
                **measures,
            )


# ---------------------------------------------------------------------------
# Tables


def table(name, records):
    """Title and rows for the records of a problem."""
    n_seeds = len({record.seed for record in records})
    ms = [min(getattr(r, f"dense_ms_{size}") for r in records) for size in (1, 64)]
    title = (
        f"{PROBLEMS[name].title}, {n_seeds} seeds; the dense one takes {ms[0]:.2g} ms "
        f"and {records[0].dense_mb_1:.2g} MB for a batch of 1, {ms[1]:.2g} ms and "
        f"{records[0].dense_mb_64:.2g} MB for 64"
    )
    header = ["", "accuracy, %", "FLOPs", "parameters", "ms, 1", "ms, 64"]
    header += ["folded, 1", "folded, 64", "memory, 1", "memory, 64", "s"]
    rows = [header]
    targets = sorted({record.target for record in records})
    for target, method in product(targets, METHODS):
        runs = [r for r in records if (r.method, r.target) == (method, target)]
        if not runs:
            continue
        label = method.replace("`", "``")
        mean, error = mean_and_error([r.accuracy for r in runs])
        costs = {key: np.mean([getattr(r, key) for r in runs]) for key in COSTS}
        rows.append(
            [
                f"{label}, {100 * target:g} % gone" if target else label,
                f"{mean:.1f} ± {error:.1f}" if len(runs) > 1 else f"{mean:.1f}",
                f"{costs['flops']:.2f}",
                f"{costs['parameters']:.0f}",
                *(f"{costs[key]:.2f}" for key in COSTS[2:]),
                f"{min(r.seconds for r in runs):.0f}",
            ]
        )
    return title, rows


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", nargs="*", choices=PROBLEMS, default=[*PROBLEMS])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=[*METHODS])
    parser.add_argument("--targets", nargs="+", type=float, help="shares of the work")
    parser.add_argument("--seeds", nargs="+", type=int, help="default: 5, or 3 (MNIST)")
    parser.add_argument("--mnist", type=Path, help="file of the test part of MNIST")
    parser.add_argument("--results", type=Path, help="add the runs to this file")
    parser.add_argument("--rst", type=Path, help="write the tables here")
    return parser.parse_args()


def main():
    """Measure, print, and write the files that were asked for."""
    options = parse_arguments()
    torch.set_num_threads(1)
    records = read_records(options.results, Record)
    for name in options.problems:
        if PROBLEMS[name].load is load_mnist and options.mnist is None:
            print(f"{name} is left out: it needs --mnist.")
            continue
        for record in run(name, options, {record.key for record in records}):
            print(f"{record.key} {record.accuracy:.2f}", flush=True)
            records.append(record)
            if options.results:
                append_record(options.results, record)
    texts = []
    for name in PROBLEMS:
        own = [record for record in records if record.problem == name]
        if own:
            title, rows = table(name, own)
            print(f"{title}\n\n{as_markdown(rows)}", flush=True)
            texts.append(as_rst(rows, title))
    if records:
        texts.append(describe_conditions(records) + "\n")
        print(texts[-1])
    if options.rst:
        options.rst.write_text("\n".join(texts), encoding="utf-8")


if __name__ == "__main__":
    main()
