"""Count the informative inputs that a training with minibatches keeps.

    python benchmarks/selected_inputs.py

Data. 1500 samples for training and 500 for test, of 100 features with a normal
distribution, of which 8 are informative: the class is the sign of a sum of their
hyperbolic tangents with random weights, of noise, and in the problem "mixed" of one
absolute value instead of a tangent. Each draw has other data and another network.

Method. A network with 50 hidden units is trained for 30 epochs with batches of 64;
`Sparsifier` leaves 10 inputs. "Unconstrained" is the same without it. The figures are
the number of draws in which all 8 informative inputs are among the 10, the mean number
of them, and the test accuracy in percent, with its standard error.
"""

import argparse

import numpy as np
import torch
from _results import describe_system, mean_and_error
from _tables import as_markdown
from torch import nn
from torch.nn import functional as F

from skproj.nn import Sparsifier

N_TRAIN, N_INFORMATIVE, N_KEPT, N_EPOCHS = 1500, 8, 10, 30
OPTIMIZERS = {
    "Adam": lambda W: torch.optim.Adam(W, lr=3e-3),
    "AdamW": lambda W: torch.optim.AdamW(W, lr=3e-3),
    "SGD": lambda W: torch.optim.SGD(W, lr=0.1),
}


def draw(problem, seed):
    """Return samples and classes."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(2000, 100))
    weights = rng.choice([-1.0, 1.0], N_INFORMATIVE) * rng.uniform(0.7, 1.3, 8)
    parts = np.tanh(1.5 * X[:, :N_INFORMATIVE])
    if problem == "mixed":
        parts[:, 0] = 1.2 * np.abs(X[:, 0]) - 1.0
    y = parts @ weights + 0.5 * rng.normal(size=2000) > 0.0
    return torch.tensor(X, dtype=torch.float32), torch.tensor(y.astype(np.int64))


def run(problem, name, seed, *, is_constrained):
    """Return the number of informative inputs that are kept, and the accuracy."""
    X, y = draw(problem, seed)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(100, 50), nn.ReLU(), nn.Linear(50, 2))
    optimizer = OPTIMIZERS[name](model.parameters())
    sparsifier = is_constrained and Sparsifier(
        model,
        optimizer,
        target=1.0 - N_KEPT / X.shape[1],
        n_steps=N_EPOCHS * -(-N_TRAIN // 64),
        layers=["0"],
        groups="inputs",
    )
    for _ in range(N_EPOCHS):
        for rows in torch.randperm(N_TRAIN).split(64):
            optimizer.zero_grad()
            F.cross_entropy(model(X[rows]), y[rows]).backward()
            optimizer.step()
    if sparsifier:
        sparsifier.finalize()
    with torch.no_grad():
        right = model(X[N_TRAIN:]).argmax(dim=1) == y[N_TRAIN:]
    is_kept = model[0].weight.detach().any(dim=0)
    n_found = int(is_kept[:N_INFORMATIVE].sum())
    return n_found, 100.0 * float(right.double().mean())


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="seed of the first draw")
    parser.add_argument("--problems", nargs="+", default=["monotone", "mixed"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    seeds = range(options.first, options.first + options.draws)
    rows = [["problem", "optimizer", "all 8 kept", "kept", "accuracy", "unconstrained"]]
    for problem in options.problems:
        for name in OPTIMIZERS:
            found, accuracies = zip(
                *(run(problem, name, seed, is_constrained=True) for seed in seeds),
                strict=True,
            )
            others = [
                run(problem, name, seed, is_constrained=False)[1] for seed in seeds
            ]
            n_all = sum(n == N_INFORMATIVE for n in found)
            cells = [
                "{:.1f} ± {:.1f}".format(*mean_and_error(values))
                for values in (accuracies, others)
            ]
            share = f"{n_all} of {options.draws}"
            rows.append([problem, name, share, f"{np.mean(found):.1f}", *cells])
            print(rows[-1], flush=True)
    print(as_markdown(rows))
    print(f"Measured on {describe_system()}; one thread.")


if __name__ == "__main__":
    main()
