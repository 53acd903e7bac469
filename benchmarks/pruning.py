"""Compare ways to train networks to a share of zeros, at the same training time.

    python benchmarks/pruning.py --networks resnet transformer --results runs.csv
    python benchmarks/pruning.py --mnist mnist_t10k.npz --results runs.csv   # two hours
    python benchmarks/pruning.py --results runs.csv --rst doc/benchmarks_pruning.rst \
        --summary-rst doc/benchmarks_pruning_summary.rst --networks    # the tables only

Data. LeNet-300-100 is trained with 8000 images of the test part of MNIST, LeNet-5 with
4000; the other 2000 images are the test data. The file has arrays `X`, of 784 columns,
and `y`. The residual network and the transformer are trained with 70 % of the digits of
scikit-learn, a split for each seed, and tested with the others.

Method. For each seed a dense network is trained (Adam, learning rate 0.001 for MNIST,
10 epochs, and 0.003 for the digits, 20 epochs). Each method goes on from a copy of it
for the same number of epochs, 30 for MNIST and 60 for the digits, with Adam, a learning
rate that decreases from 0.003 to zero, and the same batches. "l1 search, equal time"
divides the epochs among its trainings, a sixth for each; "l1 search" has all of them in
each training. "One shot" prunes the dense network and trains the rest.

Tables. Accuracy on the test data in percent: mean and standard error over the seeds.
The number of zeros in a column is exact; an empty cell was not run, or is out of reach.
The seconds are those of CPU time of a run at the largest share of zeros, the shortest
of all seeds; the trainings are the most of all runs. Seeds that only some methods have
run are left out. The summary has the accuracies at 98 % zeros of all networks, and the
differences of "projected" and gradual magnitude pruning, which start from the same
dense network with the same batches, for all seeds that both have run.
"""

import argparse
import copy
import time
import warnings
from functools import partial
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
from _tables import as_markdown, as_rst
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune as torch_prune

from skproj.nn import prune, sparsify

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


class Attention(nn.Module):
    """Self-attention of four heads and a perceptron, each beside a shortcut."""

    n_heads = 4

    def __init__(self, n_units):
        super().__init__()
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
    "resnet": Problem(
        "residual network", make_resnet, load_small_images, 0, 64, 3e-3, 20, 60
    ),
    "transformer": Problem(
        "transformer", Transformer, load_small_images, 0, 64, 3e-3, 20, 60
    ),
}


# ---------------------------------------------------------------------------
# Methods. Each trains a copy of the dense network in place.


def by_sparsify(model, batches, zeros, n_epochs, *, method, n_parts=1):
    """Train with a method of `sparsify`; return the number of trainings."""
    report = sparsify(
        model,
        F.cross_entropy,
        batches,
        target=zeros,
        method=method,
        n_epochs=max(1, n_epochs // n_parts),
    )
    return report.n_trainings


def in_one_shot(model, batches, zeros, n_epochs, *, prune_by):
    """Prune the dense network, then train what is left, once.

    With a target that is reached already, `sparsify` fixes the zeros.
    """
    prune_by(model, zeros)
    for layer, name in prune.prunable_parameters(model):
        if torch_prune.is_pruned(layer):
            torch_prune.remove(layer, name)
    reached = prune.sparsity_report(model).fraction_zeros
    if abs(reached - zeros) > LARGEST_DEVIATION:
        raise ValueError("These zeros are out of reach.")
    return by_sparsify(model, batches, reached, n_epochs, method="gradual")


def by_magnitude(model, zeros):
    """Mask the smallest weights of all layers."""
    torch_prune.global_unstructured(
        prune.prunable_parameters(model), torch_prune.L1Unstructured, amount=zeros
    )


def by_hoyer(model, zeros, *, grouping):
    """Mask what the group sparse projection makes zero."""
    prune.single_shot(model, zeros, target="zeros", grouping=grouping)


LARGEST_DEVIATION = 0.002  # of the share of zeros
N_L1_PARTS = 6
DENSE = "dense, trained on"
PROJECTED = "`sparsify`, projected (auto)"
GRADUAL = "`sparsify`, gradual magnitude"
METHODS = {
    PROJECTED: partial(by_sparsify, method="projected"),
    GRADUAL: partial(by_sparsify, method="gradual"),
    "`sparsify`, Hoyer": partial(by_sparsify, method="hoyer"),
    "`sparsify`, l1 search, equal time": partial(
        by_sparsify, method="l1", n_parts=N_L1_PARTS
    ),
    "`sparsify`, l1 search": partial(by_sparsify, method="l1"),
    "one shot, magnitude": partial(in_one_shot, prune_by=by_magnitude),
    "one shot, Hoyer, filters": partial(
        in_one_shot, prune_by=partial(by_hoyer, grouping="layer/filters")
    ),
    "one shot, Hoyer, inputs": partial(
        in_one_shot, prune_by=partial(by_hoyer, grouping="layer/inputs")
    ),
    "one shot, Hoyer, filters of the model": partial(
        in_one_shot, prune_by=partial(by_hoyer, grouping="model/filters")
    ),
    "one shot, Hoyer, layers of the model": partial(
        in_one_shot, prune_by=partial(by_hoyer, grouping="model/layers")
    ),
}
# The share of zeros of the summary, the only one at which some methods run.
SUMMARY_ZEROS = 0.98
METHODS_OF_SUMMARY = (
    "`sparsify`, Hoyer",
    "`sparsify`, l1 search",
    "one shot, Hoyer, inputs",
    "one shot, Hoyer, filters of the model",
    "one shot, Hoyer, layers of the model",
)


class Record(NamedTuple):
    """Accuracy in percent, trainings, and seconds, of a run."""

    network: str
    method: str
    zeros: float
    seed: int
    accuracy: float
    n_trainings: int
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
        todo = [(DENSE, partial(by_sparsify, method="gradual"), 0.0)]
        todo += [
            (name, METHODS[name], zeros)
            for zeros in options.zeros
            for name in options.methods
            if zeros == SUMMARY_ZEROS or name not in METHODS_OF_SUMMARY
        ]
        for name, method, zeros in todo:
            if (network, name, zeros, seed) in known:
                continue
            model = copy.deepcopy(dense)
            torch.manual_seed(seed)
            start = time.process_time()
            try:
                n_trainings = method(model, batches, zeros, problem.n_epochs)
            except ValueError:
                continue
            seconds = time.process_time() - start
            yield Record(
                network,
                name,
                zeros,
                seed,
                accuracy_of(model, X_test, y_test),
                n_trainings,
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


def table(records):
    """Title and rows for the records of a network."""
    first = records[0]
    zeros = sorted({record.zeros for record in records} - {0.0})
    titles = [f"{100 * share:g} % zeros" for share in zeros]
    rows = [["accuracy, %", *titles, "trainings", "s"]]
    for name in (DENSE, *METHODS):
        own = [record for record in records if record.method == name]
        if not own:
            continue
        shares = [0.0] * len(zeros) if name == DENSE else zeros
        cells = [cell([r for r in own if r.zeros == share]) for share in shares]
        largest = max(record.zeros for record in own)
        seconds = min(record.seconds for record in own if record.zeros == largest)
        n_trainings = max(record.n_trainings for record in own)
        label = name.replace("`", "``")
        rows.append([label, *cells, str(n_trainings), f"{seconds:.0f}"])
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
    return '"projected" minus gradual magnitude, in points of accuracy', rows


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="*", choices=PROBLEMS, default=[*PROBLEMS])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=[*METHODS])
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
    # That little is left of a layer is what some rows of the table are about.
    warnings.filterwarnings("ignore", ".* keeps .* weights", UserWarning)
    warnings.filterwarnings("ignore", "The search for the l1 weight", UserWarning)
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
            title, rows = table(own)
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
