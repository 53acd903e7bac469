"""Time and memory of an epoch of the autoencoder on data in blocks of rows.

    skproj datasets cells --n-obs 20000 --n-vars 20000 --density 0.05 --out cells.zarr
    python benchmarks/autoencoder_blocks.py cells.zarr

Method. One thread. The time of reading is the median of three passes over the blocks.
The autoencoder has its default parameters, but trains for one epoch and keeps all
columns; the data are never read as a whole, however few they are. Products are the
time of the two products of the first layer with dense batches, and of those with
sparse batches, which noise on the input does not allow, for as many batches as the
epoch has; they are the least that an epoch takes. The processor time is that of the
thread that trains, without those that read and gather: the wall time without other
work on the machine. The memory is the largest resident one; that of reading is measured
before the training.
"""

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import torch
from _results import describe_system
from _tables import as_rst, as_text

from skproj import SparseSupervisedAutoencoder
from skproj.blocks import open_blocks
from skproj.nn import _block_input
from skproj.nn._training._trainer import Trainer

N_PASSES = 3
N_PRODUCTS = 20


def resident_gigabytes():
    """Return the largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def time_pass(blocks):
    """Return the median time of reading all blocks."""
    seconds = []
    for _ in range(N_PASSES):
        start = time.perf_counter()
        for _ in blocks:
            pass
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def read_labels(path, name):
    """Return the labels of the rows of a file of anndata."""
    import anndata
    import zarr

    column = anndata.io.read_elem(zarr.open_group(path, mode="r")["obs"])[name]
    return column.to_numpy()


def time_epoch(blocks, labels, **options):
    """Return wall time and processor time of the training of an epoch."""
    seconds = []
    train_epoch = Trainer.train_epoch

    def timed(trainer, *args, **kwargs):
        wall, processor = time.perf_counter(), time.thread_time()
        train_epoch(trainer, *args, **kwargs)
        seconds.append((time.perf_counter() - wall, time.thread_time() - processor))

    Trainer.train_epoch = timed
    try:
        model = SparseSupervisedAutoencoder(
            eta=np.inf, max_epochs=1, random_state=0, **options
        ).fit(blocks, labels)
    finally:
        Trainer.train_epoch = train_epoch
    assert model.n_iter_ == len(seconds)
    return seconds[0]


def median_time(function):
    """Return the median time of calls."""
    seconds = []
    for _ in range(N_PRODUCTS):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


@torch.no_grad()
def time_products(blocks, n_units=100, batch_size=128):
    """Return the times of an epoch's products, with dense and with sparse batches."""
    batch = next(iter(blocks))[1][:batch_size]
    X = torch.from_numpy(batch.toarray())
    W = torch.randn(n_units, X.shape[1], dtype=X.dtype)
    Z = torch.randn(n_units, len(X), dtype=X.dtype)
    turned, gradient = np.ascontiguousarray(W.T), np.ascontiguousarray(Z.T)
    n_batches = -(-blocks.shape[0] // batch_size)
    dense = median_time(lambda: W @ X.T) + median_time(lambda: Z @ X)
    sparse = median_time(lambda: batch @ turned)
    sparse += median_time(lambda: batch.T @ gradient)
    return n_batches * dense, n_batches * sparse


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", type=Path, help="a zarr store of `skproj datasets`")
    parser.add_argument("--target", default="cell_type")
    parser.add_argument("--input-noise", type=float, default=1.0)
    parser.add_argument(
        "--rst", action="store_true", help="print for the documentation"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    _block_input.MEMORY_BYTES = 0
    labels = read_labels(options.path, options.target)
    blocks = open_blocks(options.path)
    reading = time_pass(blocks)
    rows = [["", "seconds", "passes", "memory, GB"]]

    def add(name, seconds, memory=""):
        rows.append([name, f"{seconds:.2f}", f"{seconds / reading:.1f}", memory])

    add("reading", reading, f"{resident_gigabytes():.2f}")
    noise = {"input_noise": options.input_noise}
    wall, processor = time_epoch(blocks, labels, **noise)
    memory = f"{resident_gigabytes():.2f}"
    dense, sparse = time_products(blocks)
    add("dense products", dense)
    add("sparse products", sparse)
    add("epoch, processor", processor)
    add("epoch, wall", wall, memory)
    print(as_rst(rows) if options.rst else as_text(rows))
    print(f"{blocks.shape[0]} x {blocks.shape[1]}; {describe_system()}; one thread.")


if __name__ == "__main__":
    main()
