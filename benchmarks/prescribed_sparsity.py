"""Compare the search for an l1 weight with pruning, at a given number of zeros.

    python benchmarks/prescribed_sparsity.py                # all, about twenty minutes
    python benchmarks/prescribed_sparsity.py --problems digits --zeros 0.95 --seeds 0
    python benchmarks/prescribed_sparsity.py --rst doc/benchmarks_sparsity.rst

Method. There are four problems: the digits and the breast cancer data of scikit-learn,
with 70 % training samples, and forecasts of the Mackey-Glass series, with and without
noise on the targets, trained on the first half and tested on the second. The estimators
train a dense network for 100 epochs (the default). With method="l1" they search for the
l1 weight that leaves the target number of nonzero weights, with 100 epochs for each
step, and train the nonzero weights for 100 epochs without penalty. With
method="projected" they remove weights little by little in 100 epochs; with three times
as many in both stages, the training is about as long as the search. Pruning starts from
a dense network of 200 epochs, removes the smallest weights of the network or of each
layer with the functions of PyTorch, and trains the others for 100 epochs, with the same
learning rates. The dense network in the table is trained for as many epochs.

Tables. The first table of a problem has the test scores: mean and standard error over
the seeds. The second one describes the search: the deviation of the count from the
target before trimming (in the worst layer if each has a target) and the number of
trained networks, both for the worst seed. The tolerance is 1 % for the network and 5 %
for a layer; up to 10 % too many weights are trimmed. The third table has the results
for fixed l1 weights.
"""

import argparse
import copy
import platform
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from _mackey_glass import make_mackey_glass
from _tables import as_markdown, as_rst, processor, versions
from scipy.optimize import brentq
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn.utils import prune as torch_prune

import skproj
from skproj.nn import SparseMLPClassifier, SparseMLPRegressor, prune

N_EPOCHS = 100
LEARNING_RATE = 4e-3
FIXED_L1_WEIGHTS = (1e-4, 1e-3, 1e-2)


# Problems


def split(load, seed):
    """Split samples of scikit-learn, differently for each seed."""
    X, y = load(return_X_y=True)
    return train_test_split(X, y, test_size=0.3, stratify=y, random_state=seed)


def make_series(noise, seed):
    """Make a series for each seed, and split it in time."""
    X, y = make_mackey_glass(2000, horizon=85, noise=noise, random_state=seed)
    return X[:1000], X[1000:], y[:1000], y[1000:]


ACCURACY, ERROR = "accuracy, %", "mean squared error, % of the variance"


class Kind(NamedTuple):
    """Source of the data, score, hidden layers and size of a batch."""

    load: Callable
    score: str
    hidden_layer_sizes: tuple
    batch_size: int


KINDS = {
    "digits": Kind(partial(split, load_digits), ACCURACY, (128, 64), 64),
    "breast cancer": Kind(partial(split, load_breast_cancer), ACCURACY, (64, 64), 32),
    "mackey-glass": Kind(partial(make_series, 0.1), ERROR, (64, 64), 32),
    "mackey-glass without noise": Kind(partial(make_series, 0.0), ERROR, (64, 64), 32),
}


def standardised(train, test):
    """Scale by mean and standard deviation of the training data."""
    mean, std = train.mean(axis=0), train.std(axis=0)
    std = np.where(std > 0.0, std, 1.0)
    return [((part - mean) / std).astype(np.float32) for part in (train, test)]


class Problem:
    """Data, an estimator and a score."""

    def __init__(self, name, seed):
        self.seed = seed
        self.kind = KINDS[name]
        self.classifies = self.kind.score == ACCURACY
        X_train, X_test, self.y_train, self.y_test = self.kind.load(seed)
        self.X_train, self.X_test = standardised(X_train, X_test)
        if not self.classifies:
            self.y_train, self.y_test = standardised(self.y_train, self.y_test)

    def fit(self, n_epochs=N_EPOCHS, **options):
        """Fit the estimator."""
        kind = SparseMLPClassifier if self.classifies else SparseMLPRegressor
        return kind(
            self.kind.hidden_layer_sizes,
            max_epochs=n_epochs,
            batch_size=self.kind.batch_size,
            learning_rate_init=LEARNING_RATE,
            random_state=self.seed,
            **options,
        ).fit(self.X_train, self.y_train)

    def finetune(self, module):
        """Train a network as the estimators do."""
        X, y = torch.from_numpy(self.X_train), torch.from_numpy(self.y_train)
        loss = half_squared_error
        if self.classifies:
            loss = nn.functional.cross_entropy if y.max() > 1 else logistic_loss
        optimizer = torch.optim.Adam(module.parameters(), lr=LEARNING_RATE)
        n_steps = N_EPOCHS * -(-len(X) // self.kind.batch_size)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
        generator = torch.Generator().manual_seed(self.seed)
        for _ in range(N_EPOCHS):
            for batch in torch.randperm(len(X), generator=generator).split(
                self.kind.batch_size
            ):
                optimizer.zero_grad()
                loss(module(X[batch]), y[batch]).backward()
                optimizer.step()
                scheduler.step()

    @torch.no_grad()
    def score(self, module):
        """Accuracy, or mean squared error with respect to the variance, in percent."""
        output = module(torch.from_numpy(self.X_test)).numpy()
        if self.classifies:
            is_binary = output.shape[1] == 1
            chosen = output[:, 0] > 0 if is_binary else output.argmax(axis=1)
            return 100.0 * np.mean(chosen == self.y_test)
        return 100.0 * mean_squared_error(self.y_test, output[:, 0])


def half_squared_error(output, y):
    """Loss of the regression."""
    return (output[:, 0] - y).square().mean() / 2


def logistic_loss(output, y):
    """Loss of two classes, which have one output."""
    return nn.functional.binary_cross_entropy_with_logits(output[:, 0], y.float())


# Methods. Pruning works on a trained network in place.


def by_global_magnitude(module, zeros):
    """Remove the smallest weights of all layers."""
    torch_prune.global_unstructured(
        prune.prunable_parameters(module), torch_prune.L1Unstructured, amount=zeros
    )


def by_layer_magnitude(module, zeros):
    """Remove the smallest weights of each layer."""
    for layer, name in prune.prunable_parameters(module):
        torch_prune.l1_unstructured(layer, name, zeros)


PRUNING = {
    "global magnitude, finetuned": by_global_magnitude,
    "l1_unstructured in each layer, finetuned": by_layer_magnitude,
}
DENSE = "dense"
SEARCH, LAYER_SEARCH = "l1 search", "l1 search, a target for each layer"
TOLERANCES = {SEARCH: 0.01, LAYER_SEARCH: 0.05}
# Epochs of each of the two stages.
REMOVALS = {"projected": N_EPOCHS, "projected, 300 epochs": 3 * N_EPOCHS}


def layer_targets(coefs, zeros):
    """Zeros of each layer with which its units have as many weights as those of others.

    As far as the layer has so many weights.
    """
    n_weights = np.array([W.size for W in coefs])
    n_units = np.array([sum(W.shape) for W in coefs])

    def surplus(share):
        return np.minimum(share * n_units, n_weights).sum() - wanted

    wanted = (1.0 - zeros) * n_weights.sum()
    share = brentq(surplus, 0.0, n_weights.max())
    return 1.0 - np.minimum(share * n_units / n_weights, 1.0)


def smallest_miss(model, target):
    """By how much the search missed its target, in percent of the nonzero weights."""
    n_weights = np.array([W.size for W in model.coefs_])
    counts = model.search_history_["n_nonzero"]
    if counts.ndim == 1:
        n_weights, counts = n_weights.sum(keepdims=True), counts[:, np.newaxis]
    wanted = np.rint((1.0 - np.asarray(target)) * n_weights)
    return 100.0 * np.abs(counts / wanted - 1.0).max(axis=1).min()


def run(name, zeros, seed, scores, searches, fixed):
    """Add the results of a seed."""
    problem = Problem(name, seed)
    dense = problem.fit(alpha=0.0, debias=False)
    module = copy.deepcopy(dense.module_)
    problem.finetune(module)  # as long as the others
    scores.setdefault((DENSE, None), []).append(problem.score(module))
    for share in zeros:
        targets = {SEARCH: share, LAYER_SEARCH: layer_targets(dense.coefs_, share)}
        for method, target in targets.items():
            model = problem.fit(target_sparsity=target, sparsity_tol=TOLERANCES[method])
            scores.setdefault((method, share), []).append(problem.score(model.module_))
            searches.setdefault((method, share), []).append(
                (smallest_miss(model, target), model.n_search_iter_)
            )
        for method, n_epochs in REMOVALS.items():
            model = problem.fit(n_epochs, method="projected", target_sparsity=share)
            scores.setdefault((method, share), []).append(problem.score(model.module_))
        for method, prune_by in PRUNING.items():
            module = copy.deepcopy(dense.module_)
            prune_by(module, share)
            problem.finetune(module)
            scores.setdefault((method, share), []).append(problem.score(module))
    for alpha in FIXED_L1_WEIGHTS:
        model = problem.fit(alpha=alpha)
        fixed.setdefault(alpha, []).append(
            (100.0 * model.sparsity_, problem.score(model.module_))
        )


# Tables


def cell(values):
    """Write mean and standard error."""
    text = f"{np.mean(values):.1f}"
    if len(values) > 1:
        text += f" ± {np.std(values, ddof=1) / np.sqrt(len(values)):.1f}"
    return text


def tables(name, zeros, scores, searches, fixed):
    """Yield the title and the rows of each table of a problem."""
    titles = [f"{100 * share:g} % zeros" for share in zeros]
    rows = [[KINDS[name].score, *titles]]
    rows.append([DENSE, *(cell(scores[DENSE, None]) for _ in zeros)])
    for method in (*TOLERANCES, *REMOVALS, *PRUNING):
        rows.append([method, *(cell(scores[method, share]) for share in zeros)])
    yield f"{name}: test score", rows

    rows = [["worst of the seeds", *titles]]
    for method in TOLERANCES:
        worst = [np.max(searches[method, share], axis=0) for share in zeros]
        cells = [f"{miss:.1f} % off, {n:.0f} steps" for miss, n in worst]
        rows.append([method, *cells])
    yield f"{name}: the search", rows

    rows = [["l1 weight", *(f"{alpha:g}" for alpha in fixed)]]
    reached = [zip(*results, strict=True) for results in fixed.values()]
    zeros_reached, scores_reached = zip(*reached, strict=True)
    rows.append(["zeros, %", *map(cell, zeros_reached)])
    rows.append([KINDS[name].score, *map(cell, scores_reached)])
    yield f"{name}: fixed l1 weights", rows


def describe_conditions(seeds):
    """Say where and how the numbers were taken."""
    packages = versions(torch=torch, skproj=skproj)
    text = (
        f"{len(seeds)} seeds. Measured on {processor()}, {platform.system()}, one "
        f"thread, with {packages}."
    )
    return textwrap.fill(text, width=88, break_on_hyphens=False)


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", nargs="+", choices=KINDS, default=[*KINDS])
    parser.add_argument(
        "--zeros", nargs="+", type=float, default=[0.8, 0.9, 0.95, 0.98]
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[*range(5)])
    parser.add_argument("--rst", type=Path, help="write the tables here")
    return parser.parse_args()


def main():
    """Measure, print, and write the file that was asked for."""
    options = parse_arguments()
    torch.set_num_threads(1)
    texts = []
    for name in options.problems:
        scores, searches, fixed = {}, {}, {}
        for seed in options.seeds:
            run(name, options.zeros, seed, scores, searches, fixed)
        for title, rows in tables(name, options.zeros, scores, searches, fixed):
            print(f"{title}\n\n{as_markdown(rows)}", flush=True)
            texts.append(as_rst(rows, title))
    print(describe_conditions(options.seeds))
    if options.rst:
        texts.append(describe_conditions(options.seeds) + "\n")
        options.rst.write_text("\n".join(texts), encoding="utf-8")


if __name__ == "__main__":
    main()
