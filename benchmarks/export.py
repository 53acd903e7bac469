"""Write sparse networks as ONNX and exported programs, and compare the outputs.

    pip install onnx onnxruntime onnxscript
    python benchmarks/export.py

Networks. A convolutional network with masks of `torch.nn.utils.prune`, the same after
`sparsify_units` and `shrink`, a perceptron whose inputs were selected by
`register_projection`, and the network of a `SparseMLPClassifier`.

The figures are the largest difference of the outputs for 32 new samples, relative to
the largest output.
"""

import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from _tables import as_markdown
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune as torch_prune

from skproj.nn import (
    SparseMLPClassifier,
    prune,
    register_projection,
    sparsify_units,
)


def make_cnn():
    """Build a small convolutional network for images of 8 x 8."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(128, 10),
    )


def make_masked_cnn():
    """Mask 90 % of the weights."""
    model = make_cnn()
    torch_prune.global_unstructured(
        prune.prunable_parameters(model), torch_prune.L1Unstructured, amount=0.9
    )
    return model, (1, 8, 8)


def make_shrunk_cnn():
    """Remove 70 % of the multiplications."""
    model, X = make_cnn(), torch.randn(64, 1, 8, 8)
    y = torch.randint(10, (64,))
    sparsify_units(
        model, F.cross_entropy, [(X, y)], target=0.7, example_inputs=X, n_epochs=10
    )
    return prune.shrink(model, X)[0], (1, 8, 8)


def make_constrained_mlp():
    """Select 10 of 100 inputs."""
    model = nn.Sequential(nn.Linear(100, 50), nn.ReLU(), nn.Linear(50, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    X = torch.randn(640, 100)
    y = (X[:, 0] > X[:, 1]).long()
    with register_projection(optimizer, model[0].weight, n_groups=10, n_steps=30):
        for rows in torch.arange(640).repeat(3).split(64):
            optimizer.zero_grad()
            F.cross_entropy(model(X[rows]), y[rows]).backward()
            optimizer.step()
    return model, (100,)


def make_estimator():
    """Fit a classifier with 90 % zeros."""
    X = np.random.default_rng(0).normal(size=(200, 20)).astype(np.float32)
    estimator = SparseMLPClassifier((30,), random_state=0, max_epochs=20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(X, X[:, 0] > X[:, 1]).module_, (20,)


NETWORKS = {
    "masked CNN": make_masked_cnn,
    "shrunk CNN": make_shrunk_cnn,
    "constrained MLP": make_constrained_mlp,
    "SparseMLPClassifier": make_estimator,
}


def by_onnx(model, X, path, *, dynamo):
    """Write a file by one of the exporters, and run it by onnxruntime."""
    batch = {0: torch.export.Dim("batch")} if dynamo else {0: "batch"}
    shapes = {"dynamic_shapes": (batch,)} if dynamo else {"dynamic_axes": {"X": batch}}
    torch.onnx.export(model, (X[:2],), path, dynamo=dynamo, input_names=["X"], **shapes)
    session = onnxruntime.InferenceSession(path)
    return torch.from_numpy(session.run(None, {"X": X.numpy()})[0])


def by_exported_program(model, X, path):
    """Write and read a program of `torch.export`."""
    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(model, (X[:2],), dynamic_shapes=(batch,))
    torch.export.save(program, path)
    return torch.export.load(path).module()(X)


def by_torch_script(model, X, path):
    """Write and read a trace of TorchScript."""
    torch.jit.trace(model, (X[:2],)).save(path)
    return torch.jit.load(path)(X)


def by_pickle(model, X, path):
    """Write and read the module itself."""
    torch.save(model, path)
    return torch.load(path, weights_only=False)(X)


EXPORTS = {
    "ONNX, torch.export": lambda *args: by_onnx(*args, dynamo=True),
    "ONNX, TorchScript": lambda *args: by_onnx(*args, dynamo=False),
    "torch.export": by_exported_program,
    "torch.jit.trace": by_torch_script,
    "torch.save": by_pickle,
}


def main():
    """Export, compare and print."""
    warnings.simplefilter("ignore")
    rows = [["", *EXPORTS]]
    for title, make in NETWORKS.items():
        torch.manual_seed(0)
        model, shape = make()
        model = model.eval()
        X = torch.randn(32, *shape)
        cells = []
        for export in EXPORTS.values():
            with tempfile.TemporaryDirectory() as folder, torch.no_grad():
                expected = model(X)
                try:
                    outputs = export(model, X, str(Path(folder) / "network.pt2"))
                except Exception as error:
                    cells.append(type(error).__name__)
                    print(title, error)
                    continue
            difference = (outputs - expected).abs().max() / expected.abs().max()
            cells.append(f"{float(difference):.0e}")
        rows.append([title, *cells])
        print(rows[-1], flush=True)
    print(as_markdown(rows))


if __name__ == "__main__":
    main()
