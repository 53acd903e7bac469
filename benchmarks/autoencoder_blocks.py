"""Time and memory of the epochs of the autoencoder on data in blocks of rows.

    python benchmarks/_cells.py cells.zarr --n-obs 20000 --n-vars 20000
    python benchmarks/autoencoder_blocks.py cells.zarr
    python benchmarks/autoencoder_blocks.py cells.zarr --select 300

Method. One thread. The time of reading is the shortest of three passes over the blocks;
"passes" compares processor times with its processor time, of all threads. The
autoencoder has its default parameters, but trains for one epoch and keeps all columns;
the data are never read as a whole, however few they are. Products are the time of the
two products of the first layer with dense batches, and of those with sparse batches, of
as many batches as the epoch has; they are the least that an epoch takes. The processor
time is that of the thread that trains, without those that read and gather: the wall
time without other work on the machine, if there are two processors. The memory is the
largest resident one; that of reading is measured before the training.

With `--select`, the autoencoder is fitted to its end, and the rows are its stages: the
columns that are left, and the mean time of an epoch. Data are read into memory as soon
as they are few enough. The last line compares with the markers of the cells, and
with cells that the fit has not seen if there is `--test`.
"""

import argparse
import itertools
import resource
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _results import describe_system
from _tables import as_rst, as_text

from skproj import SparseSupervisedAutoencoder
from skproj.blocks import open_blocks
from skproj.nn import SparsificationSchedule, _base_autoencoder
from skproj.nn._training import _sparse_rows
from skproj.nn._training._measured_blocks import measure
from skproj.nn._training._sparse_rows import SparseRows, column_major
from skproj.nn._training._trainer import Trainer

N_PASSES = 3
N_PRODUCTS = 20


def resident_gigabytes():
    """Return the largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def time_pass(blocks):
    """Return the shortest wall and processor times of reading all blocks."""
    seconds = []
    for _ in range(N_PASSES):
        wall, processor = time.perf_counter(), time.process_time()
        for _ in blocks:
            pass
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        seconds.append((wall, processor))
    return np.min(seconds, axis=0)


def read_annotation(path, table, name):
    """Return a column of a file of anndata."""
    import anndata
    import zarr

    column = anndata.io.read_elem(zarr.open_group(path, mode="r")[table])[name]
    return column.to_numpy()


def time_epochs(blocks, labels, **options):
    """Return the model, and columns, wall and processor time of each epoch."""
    epochs = []
    train_epoch = Trainer.train_epoch

    def timed(trainer, *args, **kwargs):
        wall, processor = time.perf_counter(), time.thread_time()
        train_epoch(trainer, *args, **kwargs)
        times = time.perf_counter() - wall, time.thread_time() - processor
        epochs.append((len(trainer.data.columns), *times))

    Trainer.train_epoch = timed
    try:
        model = SparseSupervisedAutoencoder(random_state=0, **options)
        model.fit(blocks, labels)
    finally:
        Trainer.train_epoch = train_epoch
    return model, epochs


def stages_of(epochs, reading):
    """Return a table of the stages of a fit."""
    rows = [["columns", "epochs", "processor, s", "passes", "wall, passes"]]
    for n_columns, stage in itertools.groupby(epochs, key=lambda epoch: epoch[0]):
        _, wall, processor = zip(*stage, strict=True)
        wall, processor, n_epochs = np.mean(wall), np.mean(processor), len(wall)
        passes = f"{processor / reading:.1f}", f"{wall / reading:.1f}"
        rows.append([str(n_columns), str(n_epochs), f"{processor:.2f}", *passes])
    return rows


def marker_score(model, path):
    """Return the F1 score of the selected columns, as markers of the cells."""
    markers = pd.notna(read_annotation(path, "var", "marker_of"))
    selected = model.get_support()
    return 2 * np.sum(selected & markers) / (selected.sum() + markers.sum())


def shortest_time(function):
    """Return the shortest processor time of calls."""
    seconds = []
    for _ in range(N_PRODUCTS):
        start = time.thread_time()
        function()
        seconds.append(time.thread_time() - start)
    return min(seconds)


@torch.no_grad()
def time_products(blocks, batch_size, n_units=100):
    """Return the times of an epoch's products, with dense and with sparse batches."""
    batch = next(iter(blocks))[1][:batch_size]
    X = torch.from_numpy(batch.toarray())
    W = torch.randn(1, n_units, X.shape[1], dtype=X.dtype)
    Z = torch.randn(1, n_units, len(X), dtype=X.dtype)
    columns = np.arange(X.shape[1], dtype=np.int32)
    factors = np.ones(len(columns), dtype=batch.dtype)
    rows = SparseRows(batch, [(columns, factors, None)], len(columns))
    turned = column_major(W).detach()
    n_batches = -(-blocks.shape[0] // batch_size)
    dense = shortest_time(lambda: W @ X.mT) + shortest_time(lambda: Z @ X)
    sparse = shortest_time(lambda: turned @ rows.mT) + shortest_time(lambda: Z @ rows)
    return n_batches * dense, n_batches * sparse


def one_epoch(blocks, labels, reading_wall, reading, options):
    """Return the table of an epoch with all columns."""
    rows = [["", "seconds", "passes", "memory, GB"]]

    def add(name, seconds, memory=""):
        rows.append([name, f"{seconds:.2f}", f"{seconds / reading:.1f}", memory])

    add("reading", reading, f"{resident_gigabytes():.2f}")
    add("reading, wall", reading_wall)
    _, epochs = time_epochs(blocks, labels, eta=np.inf, max_epochs=1, **options)
    _, wall, processor = epochs[0]
    memory = f"{resident_gigabytes():.2f}"
    batch_size = SparseSupervisedAutoencoder(**options)._batch_size(
        measure(blocks), blocks.shape[0]
    )
    dense, sparse = time_products(blocks, batch_size)
    add("dense products", dense)
    add("sparse products", sparse)
    add("epoch, processor", processor)
    add("epoch, wall", wall, memory)
    return rows


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", type=Path, help="a zarr store of `_cells.py`")
    parser.add_argument("--target", default="cell_type")
    parser.add_argument("--input-noise", type=float, default=1.0)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--select", type=int, help="fit, and select so many columns")
    parser.add_argument("--max-epochs", type=int, default=20, help="of each stage")
    parser.add_argument("--test", type=Path, help="such a store with other cells")
    parser.add_argument(
        "--dense", action="store_true", help="make all batches dense, as in memory"
    )
    parser.add_argument(
        "--rst", action="store_true", help="print for the documentation"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    labels = read_annotation(arguments.path, "obs", arguments.target)
    blocks = open_blocks(arguments.path)
    options = {
        "schedule": SparsificationSchedule(
            input_noise=arguments.input_noise,
            batch_size=arguments.batch_size or "auto",
        ),
    }
    if arguments.dense:
        _sparse_rows.MAX_DENSITY = 0.0
    reading_wall, reading = time_pass(blocks)
    if arguments.select:
        model, epochs = time_epochs(
            blocks,
            labels,
            n_features_to_select=arguments.select,
            max_epochs=arguments.max_epochs,
            **options,
        )
        rows = stages_of(epochs, reading)
    else:
        _base_autoencoder.MEMORY_BYTES = 0
        rows = one_epoch(blocks, labels, reading_wall, reading, options)
    print(as_rst(rows) if arguments.rst else as_text(rows))
    if arguments.select:
        passes = sum(processor for _, _, processor in epochs) / len(epochs) / reading
        print(f"Mean epoch: {passes:.1f} passes.", end=" ")
        print(f"F1 of the markers: {marker_score(model, arguments.path):.3f}.", end=" ")
        if arguments.test:
            tested = read_annotation(arguments.test, "obs", arguments.target)
            score = model.score(open_blocks(arguments.test), tested)
            print(f"Accuracy: {score:.4f}.", end=" ")
        print()
    print(f"{blocks.shape[0]} x {blocks.shape[1]}; {describe_system()}; one thread.")


if __name__ == "__main__":
    main()
