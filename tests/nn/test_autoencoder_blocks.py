"""Autoencoders on data in blocks of rows, against the fit in memory."""

import tracemalloc

import numpy as np
import pytest
import torch
from autoencoder_helpers import SCHEDULES, assert_same_model, quick
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone

from skproj import SparseMLPClassifier, SparseSupervisedAutoencoderRegressor
from skproj.blocks import RowBlocks, open_blocks
from skproj.blocks._duplicates import merge_duplicates
from skproj.nn import SparsificationSchedule, _base_autoencoder
from skproj.nn._training import _block_samples
from skproj.nn._training._block_samples import BlockSamples
from skproj.nn._training._measured_blocks import measure

N_SAMPLES, N_FEATURES = 500, 24


def make_data(is_sparse=False, kind="classes", never=(), n_samples=N_SAMPLES):
    """Return distinct samples, in the order in which a fit in memory takes them.

    It depends on all features but those that the model never keeps.
    """
    rng = np.random.default_rng(5)
    X = rng.standard_normal((n_samples, N_FEATURES)).astype(np.float32)
    if is_sparse:
        X[rng.random(X.shape) < 0.7] = 0.0
    signal = X[:, :3] @ rng.standard_normal((3, 3))
    labels = signal.argmax(axis=1)
    values = signal[:, 0] if kind == "values" else labels
    _, codes = np.unique(values, return_inverse=True)
    used = np.delete(X, never, axis=1)
    rows, _, _ = merge_duplicates(used, codes, np.ones(n_samples))
    assert len(rows) == n_samples
    y = values[rows] if kind == "values" else np.array(["a", "b", "c"])[labels[rows]]
    return (sparse.csr_array(X[rows]) if is_sparse else X[rows]), y


@pytest.mark.usefixtures("nothing_in_memory")
@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "csr"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_one_window_trains_as_in_memory(schedule, is_sparse):
    """With the same order of the samples, the network is the same to the bit."""
    X, y = make_data(is_sparse)
    if isinstance(schedule, str):
        schedule = SparsificationSchedule(schedule)
    schedule = clone(schedule).set_params(batch_size=32)
    options = {"schedule": schedule, "eta": 4.0}
    memory = quick(**options).fit(X, y)
    blocks = quick(**options).fit(open_blocks(X, block_size=70), y)
    assert_same_model(memory, blocks, X)
    assert_array_equal(memory.classes_, blocks.classes_)
    assert memory.n_iter_ == blocks.n_iter_


@pytest.mark.usefixtures("nothing_in_memory")
@pytest.mark.parametrize(
    "options",
    [
        {"class_weight": "balanced"},
        {"always_keep": [7], "never_keep": [0, 20]},
        {"feature_groups": np.arange(N_FEATURES) // 4},
        {"n_features_to_select": 5},
        {"input_noise": 0.0},
        {"hidden_layer_sizes": (8, 4)},
    ],
    ids="-".join,
)
@pytest.mark.parametrize("schedule", ["consensus", "double"])
def test_blocks_know_the_parameters(schedule, options):
    X, y = make_data(never=options.get("never_keep", []))
    weights = np.random.default_rng(1).integers(1, 4, N_SAMPLES)
    options = {"schedule": schedule, "eta": 4.0} | options
    memory = quick(**options).fit(X, y, weights)
    blocks = quick(**options).fit(open_blocks(X, block_size=70), y, weights)
    assert_same_model(memory, blocks, X)


@pytest.mark.usefixtures("nothing_in_memory")
@pytest.mark.parametrize("loss", ["squared_error", "huber"])
def test_regression_in_one_window(loss):
    X, y = make_data(kind="values")
    options = {"loss": loss, "max_epochs": 4, "random_state": 0, "eta": 3.0}
    memory = SparseSupervisedAutoencoderRegressor(**options).fit(X, y)
    blocks = open_blocks(X, block_size=70)
    model = SparseSupervisedAutoencoderRegressor(**options).fit(blocks, y)
    assert_array_equal(model.encoder_weights_, memory.encoder_weights_)
    assert_allclose(model.predict(blocks), memory.predict(X), rtol=1e-4, atol=1e-6)
    assert_allclose(model.score(blocks, y), memory.score(X, y), rtol=1e-6)


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize(
    ("schedule", "is_sparse"),
    [
        ("consensus", False),
        ("double", True),
        pytest.param("consensus", True, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("options", [{}, {"calibrate": True}], ids="-".join)
def test_the_block_size_changes_nothing(schedule, is_sparse, options):
    """The windows in which samples are shuffled do not depend on the blocks."""
    X, y = make_data(is_sparse)
    models = [
        quick(schedule=schedule, n_features_to_select=8, batch_size=16, **options).fit(
            open_blocks(X, block_size=size), y
        )
        for size in ((7, N_SAMPLES) if options else (1, 170))
    ]
    for model in models[1:]:
        assert_same_model(models[0], model, X)
        assert model.temperature_ == models[0].temperature_
    assert models[0].score(X, y) > 0.6
    assert models[0].n_selected_features_ == 8


@pytest.mark.usefixtures("small_windows")
def test_windows_shuffle_anew_in_each_epoch():
    """Each sample is visited once an epoch; windows begin at other places."""
    X, _ = make_data()
    samples = block_samples(X)
    generator = torch.Generator().manual_seed(0)
    epochs = [
        torch.cat([index for index, _ in samples.visit(16, generator)]).numpy()
        for _ in range(3)
    ]
    size = _block_samples.WINDOW_BYTES // (16 * X[0].nbytes) * 16
    for order in epochs:
        assert_array_equal(np.sort(order), np.arange(N_SAMPLES))
        moved = np.abs(order - np.arange(N_SAMPLES))
        assert size / 4 < moved.max() < size
    assert not np.array_equal(epochs[0], epochs[1])
    # The first sample of an epoch's second window is the smallest of the rest.
    firsts = {max(i for i in range(1, N_SAMPLES) if is_cut(o, i)) for o in epochs}
    assert len(firsts) > 1
    in_order = [index for index, _ in samples.visit(16)]
    assert_array_equal(torch.cat(in_order), np.arange(N_SAMPLES))


def is_cut(order, i):
    """Whether an order visits the first samples before all others."""
    return order[:i].max() == i - 1


def block_samples(X, rows=None):
    rows = np.arange(X.shape[0]) if rows is None else rows
    return BlockSamples(
        measure(open_blocks(X, block_size=60)),
        y=torch.from_numpy(rows % 2),
        weight=torch.ones(len(rows)),
        rows=torch.from_numpy(rows),
    )


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "csr"])
def test_batches_are_the_rows_of_the_samples(is_sparse):
    """Also where samples are some of the rows, and features some of the columns."""
    X, _ = make_data(is_sparse)
    dense = X.toarray() if is_sparse else X
    rows, kept = np.arange(3, N_SAMPLES - 90, 2), np.array([1, 2, 20])
    for samples, columns in [
        (block_samples(X, rows), np.arange(N_FEATURES)),
        (block_samples(X, rows).keep_columns(kept), kept),
        (block_samples(X, rows).keep_columns(kept).keep_columns([2]), [20]),
    ]:
        assert isinstance(samples, BlockSamples)
        assert samples.row_entries == len(columns)
        for index, batch in samples.visit(16, torch.Generator().manual_seed(0)):
            assert_array_equal(batch, dense[rows[index]][:, columns])
        (batch,) = samples.in_memory().batches(len(rows))
        assert_array_equal(batch[0], dense[rows][:, columns])
        assert_array_equal(batch[1], rows % 2)


@pytest.mark.usefixtures("nothing_in_memory")
def test_few_samples_are_read_as_a_whole():
    """The ranking of few samples needs all of them at once."""
    X, y = make_data(n_samples=300)
    memory = quick(eta=4.0).fit(X, y)
    blocks = open_blocks(X, block_size=70)
    model = quick(eta=4.0).fit(blocks, y)
    assert_same_model(model, memory, X)
    assert blocks.n_passes == 3  # the first, the moments, and the one


def test_small_data_give_the_model_of_the_data_in_memory():
    """In any order of the rows, with equal samples merged."""
    X, y = make_data()
    order = np.r_[np.random.default_rng(0).permutation(N_SAMPLES), :20]
    memory = quick(calibrate=True).fit(X[order], y[order])
    blocks = open_blocks(X[order], block_size=70)
    assert_same_model(memory, quick(calibrate=True).fit(blocks, y[order]), X)


@pytest.mark.usefixtures("small_windows")
def test_samples_without_weight_count_as_absent():
    X, y = make_data()
    weights = np.random.default_rng(1).integers(0, 2, N_SAMPLES)
    blocks = open_blocks(X, block_size=70)
    model = quick().fit(blocks, y, weights)
    present = weights > 0
    assert_same_model(model, quick().fit(blocks.take_rows(present), y[present]), X)


@pytest.mark.usefixtures("small_windows")
def test_survival_times():
    rng = np.random.default_rng(0)
    X = make_data()[0].astype(np.float64)  # of which rounding is below the tolerance
    times = rng.exponential(np.exp(-2.0 * X[:, 0]))
    y = np.array(
        [(time < 3.0, min(time, 3.0)) for time in times],
        dtype=[("event", bool), ("time", float)],
    )
    blocks = open_blocks(X, block_size=70)
    model = SparseSupervisedAutoencoderRegressor(
        loss="cox", n_features_to_select=3, max_epochs=5, random_state=0
    ).fit(blocks, y)
    assert model.score(blocks, y) > 0.75
    assert_allclose(
        model.predict_survival(blocks, [1.0]), model.predict_survival(X, [1.0])
    )


class CountingSource:
    """A wide matrix that is drawn in blocks, and counts the columns that are read."""

    shape, block_size = (4000, 1500), 40

    def __init__(self):
        self.widths = []

    def draw(self, columns=None):
        """Draw all blocks; the first two features tell three classes apart."""
        columns = np.arange(self.shape[1]) if columns is None else columns
        self.widths.append(len(columns))
        for start in range(0, self.shape[0], self.block_size):
            rng = np.random.default_rng(start)
            size = self.block_size, self.shape[1]
            block = rng.standard_normal(size, dtype=np.float32)
            labels = np.arange(start, start + self.block_size) % 3
            block[:, 0] += 4.0 * (labels == 1)
            block[:, 1] += 4.0 * (labels == 2)
            yield block[:, columns]

    def open(self):
        """Return the blocks."""
        return RowBlocks(
            self.draw, self.shape, np.float32, read_columns=lambda c: self.draw(c)
        )


def test_wide_data_need_the_memory_of_windows(monkeypatch):
    """Not that of all rows; columns that are gone are not read."""
    n_bytes = 4 * np.prod(CountingSource.shape)  # of all
    monkeypatch.setattr(_base_autoencoder, "MEMORY_BYTES", n_bytes // 16)
    monkeypatch.setattr(_block_samples, "MEMORY_BYTES", n_bytes // 16)
    monkeypatch.setattr(_block_samples, "WINDOW_BYTES", n_bytes // 16)
    source = CountingSource()
    y = np.arange(source.shape[0]) % 3
    model = quick(
        schedule="double",
        n_features_to_select=300,
        max_epochs=3,
        input_noise=0.5,
        hidden_layer_sizes=(10,),
    )
    clone(model).fit(source.open(), y)  # what PyTorch imports is no memory of the data
    source.widths.clear()
    tracemalloc.start()
    try:
        model.fit(source.open(), y)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < n_bytes // 3
    # The first pass, the moments, a stage of all columns, and one of those that are
    # left, and the decoder.
    assert source.widths == [1500] * 5 + [300] * 3 + [300]
    assert model.get_support()[:2].all()
    assert model.score(source.open(), y) > 0.9
    assert source.widths[-1] == 300


@pytest.mark.usefixtures("small_windows")
def test_names_are_those_of_the_blocks():
    X, y = make_data()
    names = [f"gene{j}" for j in range(N_FEATURES)]
    blocks = RowBlocks(lambda: iter([X]), X.shape, X.dtype, names)
    model = quick(never_keep=["gene2"]).fit(blocks, y)
    assert_array_equal(model.feature_names_in_, names)
    assert not model.get_support()[2]
    assert_array_equal(model.predict(blocks), model.predict(open_blocks(X)))
    others = RowBlocks(lambda: iter([X]), X.shape, X.dtype, names[::-1])
    with pytest.raises(ValueError, match="feature 0 is 'gene23' instead of 'gene0'"):
        model.predict(others)
    with pytest.raises(ValueError, match="X has 3 features, but SparseSupervised"):
        model.transform(open_blocks(X[:, :3]))


@pytest.mark.usefixtures("small_windows")
def test_bad_blocks_are_refused():
    X, y = make_data()
    broken = X.copy()
    broken[-1, 3] = np.nan
    model = quick(eta=1.0, n_features_to_select=None)
    with pytest.raises(ValueError, match="Input X contains NaN"):
        model.fit(open_blocks(broken, block_size=70), y)
    with pytest.raises(ValueError, match="at least two classes"):
        model.fit(open_blocks(X), np.zeros(N_SAMPLES))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(open_blocks(X), y[1:])
    passes = iter([X, X, X[1:], X])  # the source changes
    with pytest.raises(ValueError, match="have 499 rows together"):
        model.fit(RowBlocks(lambda: iter([next(passes)]), X.shape), y)
    assert not hasattr(model, "classes_")
    model.fit(open_blocks(X), y)
    with pytest.raises(ValueError, match="Input X contains NaN"):
        quick(eta=np.inf).fit(X, y).predict(open_blocks(broken, block_size=70))


def test_other_methods_refuse_blocks():
    X, y = make_data()
    blocks = open_blocks(X)
    for call in (
        lambda *data: quick().partial_fit(*data, classes=np.unique(y)),
        SparseMLPClassifier(alpha=0.1).fit,
    ):
        with pytest.raises(TypeError, match="X in blocks cannot be used here"):
            call(blocks, y)


@pytest.mark.usefixtures("nothing_in_memory")
def test_columns_that_are_gone_are_not_read_from_parquet(tmp_path, monkeypatch):
    """The columns that are left reach the reader of the file, in each pass."""
    parquet = pytest.importorskip("pyarrow.parquet")
    X, y = make_data()
    path = tmp_path / "genes.parquet"
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=[f"gene{j}" for j in range(N_FEATURES)])
    frame.to_parquet(path, row_group_size=100)
    widths = []
    read = parquet.ParquetFile.iter_batches

    def counted(file, *args, columns, **options):
        widths.append(len(columns))
        return read(file, *args, columns=columns, **options)

    monkeypatch.setattr(parquet.ParquetFile, "iter_batches", counted)
    options = {"n_features_to_select": 6, "max_epochs": 2}
    quick(schedule="double", **options).fit(open_blocks(path), y)
    assert widths == [24] * 4 + [6] * 2 + [6]  # for the decoder
