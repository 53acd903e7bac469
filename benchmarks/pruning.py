"""Compare ways to train networks to a share of zeros, at the same training time.

    python benchmarks/pruning.py --networks resnet transformer --results runs.csv
    python benchmarks/pruning.py --mnist mnist_t10k.npz --results runs.csv    # one hour
    python benchmarks/pruning.py --table ablation --networks mlp plain \
        --zeros 0.98 0.99 --results ablation.csv --rst doc/benchmarks_ablation.rst
    python benchmarks/pruning.py --table peers --mnist mnist_t10k.npz \
        --networks plain lenet-300-100-splits --zeros 0.98 0.99 \
        --seeds 10 11 12 13 14 --results peers.csv \
        --rst doc/benchmarks_pruning_peers.rst                     # needs torchao
    python benchmarks/pruning.py --results runs.csv --rst doc/benchmarks_pruning.rst \
        --summary-rst doc/benchmarks_pruning_summary.rst --networks    # the tables only

The page has the shares .98 and .99; its perceptron among the peers has seeds 10 to 34.

Data. LeNet-300-100 is trained with 8000 images of the test part of MNIST, LeNet-5 with
4000; the other 2000 images are the test data. The file has arrays `X`, of 784 columns,
and `y`. The other networks are trained with 70 % of the digits of scikit-learn, a split
for each seed, and tested with the others.

Method. For each seed a dense network is trained (Adam, learning rate 0.001 for MNIST,
10 epochs, and 0.003 for the digits, 20 epochs). Each method goes on from a copy of it
for the same number of epochs, 30 for MNIST and 60 for the digits, with Adam, a learning
rate that decreases from 0.003 to zero, and the same batches. "One shot" prunes the
dense network and trains the rest. PAT, the pruning-aware training of torchao, keeps the
largest weights of the network at each step, as many as a cubic ramp says, until half or
two thirds of the steps; removed weights can return until then.

Tables. Accuracy on the test data in percent: mean and standard error over the seeds.
The number of zeros in a column is exact; an empty cell was not run, or is out of reach.
The seconds are those of CPU time of a run at the largest share of zeros, the shortest
of all seeds. Seeds that only some methods have run are left out. The summary has the
accuracies at 98 % zeros of all networks, and the differences of `sparsify` and gradual
magnitude pruning, which start from the same dense network with the same batches, for
all seeds that both have run.
"""

import argparse
import copy
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

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
    Transformer,
    load_mnist,
    load_shuffled_mnist,
    load_small_images,
    make_lenet_5,
    make_lenet_300_100,
    make_plain_7,
    make_resnet,
    make_small_perceptron,
)
from _tables import as_markdown, as_rst
from torch.nn import functional as F

from skproj.nn import Sparsifier, prune, sparsify
from skproj.nn._sparsify import _blocks
from skproj.nn.optim import _removal


class Problem(NamedTuple):
    """A network, its data, and lengths of the training."""

    title: str
    make: object
    load: object
    n_samples: int
    batch_size: int
    learning_rate: float
    n_dense_epochs: int
    n_epochs: int


PROBLEMS = {
    "lenet-300-100": Problem(
        "LeNet-300-100", make_lenet_300_100, load_mnist, 8000, 100, 1e-3, 10, 30
    ),
    "lenet-5": Problem("LeNet-5", make_lenet_5, load_mnist, 4000, 100, 1e-3, 10, 30),
    "mlp": Problem(
        "multilayer perceptron",
        make_small_perceptron,
        load_small_images,
        0,
        64,
        3e-3,
        20,
        60,
    ),
    "resnet": Problem(
        "residual network", make_resnet, load_small_images, 0, 64, 3e-3, 20, 60
    ),
    "transformer": Problem(
        "transformer", Transformer, load_small_images, 0, 64, 3e-3, 20, 60
    ),
    "plain": Problem(
        "plain network of 7 layers",
        make_plain_7,
        load_small_images,
        0,
        64,
        3e-3,
        20,
        60,
    ),
    "lenet-300-100-splits": Problem(
        "LeNet-300-100, a split for each seed",
        make_lenet_300_100,
        load_shuffled_mnist,
        8000,
        100,
        1e-3,
        10,
        30,
    ),
}

DEFAULT = ["lenet-300-100", "lenet-5", "resnet", "transformer"]


# ---------------------------------------------------------------------------
# Methods. Each trains a copy of the dense network in place.

LEARNING_RATE = 3e-3


def train_on(model, batches, n_epochs, after_step=None, make_sparsifier=None):
    """Train with the learning rates of `sparsify`."""
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    n_steps = n_epochs * len(batches)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    sparsifier = make_sparsifier and make_sparsifier(model, optimizer, n_steps=n_steps)
    for i in range(n_epochs):
        for j, (inputs, target) in enumerate(batches):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), target).backward()
            optimizer.step()
            schedule.step()
            if after_step is not None:
                after_step((i * len(batches) + j + 1) / n_steps)
    if sparsifier is not None:
        sparsifier.finalize()


def by_sparsify(model, batches, zeros, n_epochs):
    """Train with `sparsify`."""
    sparsify(model, F.cross_entropy, batches, target=zeros, n_epochs=n_epochs)


def by_hoyer(model, batches, zeros, n_epochs):
    """Project to a Hoyer sparsity once, and train the rest."""
    make = partial(Sparsifier, target=zeros, score="hoyer")
    train_on(model, batches, n_epochs, make_sparsifier=make)


def weights_of(model):
    """Return the weights that are pruned."""
    return [getattr(*pair).detach() for pair in prune.prunable_parameters(model)]


@torch.no_grad()
def keep_largest(weights, n_kept):
    """Set all weights but the largest ones of all layers to zero."""
    n_zeros = sum(W.numel() for W in weights) - n_kept
    if n_zeros == 0:
        return
    magnitudes = torch.cat([W.abs().flatten() for W in weights])
    largest = magnitudes.kthvalue(n_zeros).values
    for W in weights:
        W.mul_(W.abs() > largest)


def by_gradual_magnitude(model, batches, zeros, n_epochs, *, ramp_end=2 / 3):
    """Remove the smallest weights little by little; they stay zero."""
    weights = weights_of(model)
    n_weights = sum(W.numel() for W in weights)
    masks = [torch.ones_like(W) for W in weights]

    def after_step(done):
        torch._foreach_mul_(weights, masks)
        if done - after_step.last >= 0.01 and after_step.last < ramp_end:
            after_step.last = done
            share = 1.0 - (1.0 - min(done / ramp_end, 1.0)) ** 3
            keep_largest(weights, round((1.0 - share * zeros) * n_weights))
            masks[:] = [(W != 0).to(W.dtype) for W in weights]

    after_step.last = 0.0
    train_on(model, batches, n_epochs, after_step)


def by_one_shot(model, batches, zeros, n_epochs):
    """Remove the smallest weights at once."""
    weights = weights_of(model)
    keep_largest(weights, round((1.0 - zeros) * sum(W.numel() for W in weights)))
    masks = [(W != 0).to(W.dtype) for W in weights]
    train_on(model, batches, n_epochs, lambda _: torch._foreach_mul_(weights, masks))


def by_pat(model, batches, zeros, n_epochs, *, healing_start=2 / 3):
    """Train with the optimizer of torchao, which keeps the weights at its own pace."""
    from torchao.prototype.pat import PruneOptimizer

    pruned = [getattr(*pair) for pair in prune.prunable_parameters(model)]
    others = {id(W) for W in pruned}
    config = {
        "params": pruned,
        "prox_type": "GlobalMinSparsityConstraint",
        "group_type": "ElemGrouper",
        "min_sparsity": zeros,
        "min_sparsity_schedule": True,
    }
    rest = {"params": [W for W in model.parameters() if id(W) not in others]}
    adam = torch.optim.Adam([config, rest], lr=LEARNING_RATE)
    n_steps = n_epochs * len(batches)
    start = round(healing_start * n_steps)
    optimizer = PruneOptimizer(adam, healing_start_step=start)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, n_steps)
    for _ in range(n_epochs):
        for inputs, target in batches:
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), target).backward()
            optimizer.step()
            schedule.step()


def with_settings(
    model, batches, zeros, n_epochs, *, ramp_end=0.3, fixed_from=0.5, balance=0.75
):
    """Train with `sparsify`, with other values of its constants."""
    with (
        patch.object(_removal, "RAMP_END", ramp_end),
        patch.object(_removal.WeightRemoval, "fixed_from", fixed_from),
        patch.object(_blocks, "LAYER_BALANCE", balance),
    ):
        by_sparsify(model, batches, zeros, n_epochs)


DENSE = "dense, trained on"
PROJECTED = "`sparsify`"
GRADUAL = "gradual magnitude"
METHODS = {
    PROJECTED: by_sparsify,
    GRADUAL: by_gradual_magnitude,
    "magnitude, one shot": by_one_shot,
    "Hoyer, one shot": by_hoyer,
}
LATE = {"ramp_end": 2 / 3, "fixed_from": 0.8}
EVEN = {"balance": 0.0}  # magnitudes of all layers are compared
ABLATION = {
    PROJECTED: by_sparsify,
    "zeros fixed after 80 %": partial(with_settings, fixed_from=0.8),
    "target after two thirds": partial(with_settings, **LATE),
    "magnitudes": partial(with_settings, **EVEN),
    "magnitudes, target after two thirds": partial(with_settings, **LATE, **EVEN),
    "gradual magnitude, target after 40 %": partial(by_gradual_magnitude, ramp_end=0.4),
    GRADUAL: by_gradual_magnitude,
}
PEERS = {
    PROJECTED: by_sparsify,
    GRADUAL: by_gradual_magnitude,
    "PAT of torchao, frozen after half": partial(by_pat, healing_start=0.5),
    "PAT of torchao, frozen after two thirds": by_pat,
}
TABLES = {"methods": METHODS, "ablation": ABLATION, "peers": PEERS}
SUMMARY_ZEROS = 0.98


class Record(NamedTuple):
    """Accuracy in percent, and seconds, of a run."""

    network: str
    method: str
    zeros: float
    seed: int
    accuracy: float
    seconds: float
    n_weights: int
    system: str

    @property
    def key(self):
        """What identifies a run."""
        return self.network, self.method, self.zeros, self.seed


@torch.no_grad()
def accuracy_of(model, X, y):
    """Percentage of the images that are classified right."""
    model.eval()
    return 100.0 * float((model(X).argmax(dim=1) == y).double().mean())


def train(model, batches, problem):
    """Train the dense network."""
    optimizer = torch.optim.Adam(model.parameters(), lr=problem.learning_rate)
    for _ in range(problem.n_dense_epochs):
        for inputs, target in batches:
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), target).backward()
            optimizer.step()


def run(network, options, known):
    """Yield a record for each run that is not known yet."""
    problem = PROBLEMS[network]
    system = describe_system()
    for seed in options.seeds:
        X, X_test, y, y_test = problem.load(options.mnist, problem.n_samples, seed)
        torch.manual_seed(seed)
        dense = problem.make()
        batches = Batches(X, y, problem.batch_size)
        train(dense, batches, problem)
        n_weights = sum(
            layer.weight.numel() for layer, _ in prune.prunable_parameters(dense)
        )
        todo = [(DENSE, by_one_shot, 0.0)]
        todo += [
            (name, TABLES[options.table][name], zeros)
            for zeros in options.zeros
            for name in options.methods
        ]
        for name, method, zeros in todo:
            if (network, name, zeros, seed) in known:
                continue
            model = copy.deepcopy(dense)
            torch.manual_seed(seed)
            start = time.process_time()
            method(model, batches, zeros, problem.n_epochs)
            seconds = time.process_time() - start
            yield Record(
                network,
                name,
                zeros,
                seed,
                accuracy_of(model, X_test, y_test),
                seconds,
                n_weights,
                system,
            )


# ---------------------------------------------------------------------------
# Tables


def cell(records):
    """Write mean and standard error."""
    if not records:
        return ""
    mean, error = mean_and_error([record.accuracy for record in records])
    return f"{mean:.1f} ± {error:.1f}" if len(records) > 1 else f"{mean:.1f}"


def of_common_seeds(records):
    """Leave out the seeds that only some methods have run for a network."""
    seeds = {}
    for record in records:
        own = seeds.setdefault(record.network, {})
        own.setdefault(record.method, set()).add(record.seed)
    common = {name: set.intersection(*own.values()) for name, own in seeds.items()}
    return [record for record in records if record.seed in common[record.network]]


def table(records, methods=None):
    """Title and rows for the records of a network."""
    first = records[0]
    zeros = sorted({record.zeros for record in records} - {0.0})
    titles = [f"{100 * share:g} % zeros" for share in zeros]
    rows = [["accuracy, %", *titles, "s"]]
    for name in (DENSE, *(methods or METHODS)):
        own = [record for record in records if record.method == name]
        if not own:
            continue
        shares = [0.0] * len(zeros) if name == DENSE else zeros
        cells = [cell([r for r in own if r.zeros == share]) for share in shares]
        largest = max(record.zeros for record in own)
        seconds = min(record.seconds for record in own if record.zeros == largest)
        label = name.replace("`", "``")
        rows.append([label, *cells, f"{seconds:.0f}"])
    title = PROBLEMS[first.network].title
    n_seeds = len({record.seed for record in records})
    return f"{title}, {first.n_weights} weights, {n_seeds} seeds", rows


def summary(records):
    """Title and rows for all networks at one share of zeros."""
    networks = [name for name in PROBLEMS if any(r.network == name for r in records)]
    rows = [["accuracy, %", *(PROBLEMS[name].title for name in networks)]]
    for method in (DENSE, *METHODS):
        zeros = 0.0 if method == DENSE else SUMMARY_ZEROS
        own = [r for r in records if (r.method, r.zeros) == (method, zeros)]
        if own:
            cells = [cell([r for r in own if r.network == name]) for name in networks]
            rows.append([method.replace("`", "``"), *cells])
    return f"Test accuracy with {100 * SUMMARY_ZEROS:g} % zeros", rows


def differences(records):
    """Title and rows for the two gradual methods, compared seed by seed."""
    zeros = sorted({record.zeros for record in records} - {0.0})
    rows = [["", *(f"{100 * share:g} % zeros" for share in zeros)]]
    accuracies = {record.key: record.accuracy for record in records}
    for network in PROBLEMS:
        cells = []
        for share in zeros:
            pairs = [
                (accuracy, accuracies.get((network, GRADUAL, share, key[3])))
                for key, accuracy in accuracies.items()
                if key[:3] == (network, PROJECTED, share)
            ]
            gains = [ours - theirs for ours, theirs in pairs if theirs is not None]
            if len(gains) > 1:
                mean, error = mean_and_error(gains)
                cells.append(f"{mean:+.2f} ± {error:.2f} ({len(gains)} seeds)")
            else:
                cells.append("")
        if any(record.network == network for record in records):
            rows.append([PROBLEMS[network].title, *cells])
    return "`sparsify` minus gradual magnitude, in points of accuracy", rows


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="*", choices=PROBLEMS, default=DEFAULT)
    parser.add_argument("--table", choices=TABLES, default="methods")
    parser.add_argument("--methods", nargs="+", help="of the table; default: all")
    parser.add_argument(
        "--zeros", nargs="+", type=float, default=[0.9, 0.95, 0.98, 0.99]
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--mnist", type=Path, help="file of the test part of MNIST")
    parser.add_argument("--results", type=Path, help="add the runs to this file")
    parser.add_argument("--rst", type=Path, help="write the tables here")
    parser.add_argument("--summary-rst", type=Path, help="write the summary here")
    return parser.parse_args()


def main():
    """Measure, print, and write the files that were asked for."""
    options = parse_arguments()
    torch.set_num_threads(1)
    methods = TABLES[options.table]
    options.methods = options.methods or [*methods]
    records = read_records(options.results, Record)
    for network in options.networks:
        if PROBLEMS[network].load is load_mnist and options.mnist is None:
            print(f"{network} is left out: it needs --mnist.")
            continue
        for record in run(network, options, {record.key for record in records}):
            records.append(record)
            if options.results:
                append_record(options.results, record)
    texts = []
    common = of_common_seeds(records)
    for network in PROBLEMS:
        own = [record for record in common if record.network == network]
        if own:
            title, rows = table(own, methods)
            print(f"{title}\n\n{as_markdown(rows)}", flush=True)
            texts.append(as_rst(rows, title))
    if records:
        texts.append(describe_conditions(records) + "\n")
        print(texts[-1])
    if options.rst:
        options.rst.write_text("\n".join(texts), encoding="utf-8")
    if options.summary_rst:
        texts = []
        for title, rows in summary(common), differences(records):
            texts.append(as_rst(rows, title))
        options.summary_rst.write_text("\n".join(texts), encoding="utf-8")


if __name__ == "__main__":
    main()
