"""Time and memory of pruning networks of real size, with random weights.

    python benchmarks/large_networks.py
    python benchmarks/large_networks.py --rst doc/benchmarks_large_networks.rst

Networks. ResNet-50, with 25.5 million weights, and a transformer encoder of 12 layers
with 768 units and 30000 tokens, with 108 million.

Method. Each operation runs in a process of its own, on one thread, on a network that
was just built and has made a forward pass, after the operation has run on a small
network, for which it loads modules. The seconds are those of CPU time. The memory is
the growth of the largest resident memory of the process during the operation, as a
multiple of the weights. Both are the least of three runs.
`report` is `sparsity_report`; `shrink` removes half of the
filters of one convolution of each block, or half of the hidden units of each
perceptron, and includes the forward passes that compare the outputs and measure the
time; `sparsify` is one epoch of one batch.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch
from _results import describe_system
from _small_networks import Attention
from _tables import as_markdown, as_rst
from torch import nn
from torch.nn import functional as F

from skproj.nn import prune, sparsify

# ---------------------------------------------------------------------------
# Networks


class Bottleneck(nn.Module):
    """Three convolutions beside a shortcut."""

    def __init__(self, n_inputs, n_units, stride):
        super().__init__()
        n_outputs = 4 * n_units
        self.first = nn.Conv2d(n_inputs, n_units, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(n_units)
        self.second = nn.Conv2d(
            n_units, n_units, 3, stride=stride, padding=1, bias=False
        )
        self.norm2 = nn.BatchNorm2d(n_units)
        self.third = nn.Conv2d(n_units, n_outputs, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(n_outputs)
        self.shortcut = nn.Identity()
        if n_inputs != n_outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(n_inputs, n_outputs, 1, stride=stride, bias=False),
                nn.BatchNorm2d(n_outputs),
            )

    def forward(self, X):
        """Add the two branches."""
        Z = F.relu(self.norm1(self.first(X)))
        Z = F.relu(self.norm2(self.second(Z)))
        return F.relu(self.norm3(self.third(Z)) + self.shortcut(X))

    def kill_half(self):
        """Make half of the filters of the second convolution zero."""
        half = len(self.second.weight) // 2
        self.second.weight[:half] = 0.0
        self.norm2.bias[:half] = self.norm2.running_mean[:half] = 0.0


class Encoder(Attention):
    """A block of attention as wide as those of large transformers."""

    def __init__(self):
        super().__init__(n_units=768, n_heads=12)

    def kill_half(self):
        """Make half of the hidden units of the perceptron zero."""
        half = len(self.perceptron[0].weight) // 2
        self.perceptron[0].weight[:half] = self.perceptron[0].bias[:half] = 0.0


def make_resnet50():
    """Build ResNet-50 for images of 224 x 224."""
    layers = [
        nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2, padding=1),
    ]
    n_inputs = 64
    for n_units, n_blocks, stride in (
        (64, 3, 1),
        (128, 4, 2),
        (256, 6, 2),
        (512, 3, 2),
    ):
        for i in range(n_blocks):
            layers.append(Bottleneck(n_inputs, n_units, stride if i == 0 else 1))
            n_inputs = 4 * n_units
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000)]
    return nn.Sequential(*layers)


def make_transformer():
    """Build a transformer encoder with an embedding of 30000 tokens."""
    return nn.Sequential(
        nn.Embedding(30000, 768), *(Encoder() for _ in range(12)), nn.LayerNorm(768)
    )


NETWORKS = {
    "resnet50": (make_resnet50, lambda: torch.randn(1, 3, 224, 224)),
    "transformer": (make_transformer, lambda: torch.randint(30000, (1, 64))),
}


# ---------------------------------------------------------------------------
# Operations


def by_report(model, X):
    """Count the zeros."""
    prune.sparsity_report(model)


def by_shrink(model, X):
    """Remove dead units."""
    with torch.no_grad():
        for block in model.modules():
            if isinstance(block, Bottleneck | Encoder):
                block.kill_half()
    _, report = prune.shrink(model, X)
    assert report.after.n_parameters < 0.9 * report.before.n_parameters


def by_sparsify(model, X):
    """Train with one batch to 90 % zeros."""
    sparsify(
        model,
        lambda output, target: output.square().mean(),
        [(X, X)],
        target=0.9,
        n_epochs=1,
    )


OPERATIONS = {
    "report": by_report,
    "shrink": by_shrink,
    "sparsify": by_sparsify,
}


def resident_bytes():
    """Largest resident memory of this process so far."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def run_here(network, operation):
    """Run an operation, and print its figures."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    OPERATIONS[operation](nn.Sequential(Encoder(24)), torch.randn(1, 4, 24))
    make, make_inputs = NETWORKS[network]
    model, X = make(), make_inputs()
    with torch.no_grad():
        model.eval()(X)
    n_bytes = sum(W.numel() * W.element_size() for W in model.parameters())
    before = resident_bytes()
    start = time.process_time()
    OPERATIONS[operation](model, X)
    seconds = time.process_time() - start
    growth = (resident_bytes() - before) / n_bytes
    print(json.dumps({"seconds": seconds, "growth": growth, "bytes": n_bytes}))


def measure(network, operation, n_runs):
    """Run an operation in other processes; return the least of each figure."""
    command = [sys.executable, __file__, "--networks", network, "--run", operation]
    runs = [
        json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        for _ in range(n_runs)
    ]
    return [min(run[name] for run in runs) for name in ("seconds", "growth")]


def main():
    """Measure, print, and write the file that was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=[*NETWORKS])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--run", choices=OPERATIONS, help=argparse.SUPPRESS)
    parser.add_argument("--rst", type=Path, help="write the table here")
    options = parser.parse_args()
    if options.run:
        run_here(*options.networks, options.run)
        return
    titles = [
        f"{name}, {unit}" for name in options.networks for unit in ("s", "memory")
    ]
    rows = [["operation", *titles]]
    for operation in OPERATIONS:
        row = [operation]
        for network in options.networks:
            seconds, growth = measure(network, operation, options.repeat)
            row += [f"{seconds:.2f}", f"{growth:.2f}"]
        rows.append(row)
        print(*row, flush=True)
    print(as_markdown(rows))
    if options.rst:
        text = f"{as_rst(rows)}\nMeasured on {describe_system()}; one thread.\n"
        options.rst.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
