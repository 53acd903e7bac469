"""Passes over blocks on the workers of a dask cluster."""

import os
import signal

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pytest
from cluster_helpers import start_cluster, time_limit
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skproj import ProjectionFeatureSelector, ProjectionFeatureSelectorCV
from skproj.blocks import RowBlocks, _cluster, open_blocks
from skproj.blocks._passes import ColumnReader, visit
from skproj.linear_model._block_visitors import Correlations, Product, Scan

N_ROWS, N_COLUMNS = 230, 30


@pytest.fixture(autouse=True)
def limited_time():
    """Bound the time of each test; the fixture of the cluster does it itself."""
    with time_limit():
        yield


@pytest.fixture(scope="module")
def client():
    with start_cluster() as client:
        yield client


@pytest.fixture(scope="module")
def table():
    """A matrix with zeros, and classes that three columns tell apart."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N_ROWS, N_COLUMNS)) + 3.0
    X[rng.random(X.shape) < 0.4] = 0.0
    y = np.array(["a", "b", "c"])[np.argmax(X[:, :3], axis=1)]
    return X, y


def write(X, folder, kind):
    """Write a matrix to a file of a kind, or return a dask array."""
    if kind == "dask":
        return da.from_array(X, chunks=(17, 30))
    if kind == "persisted":
        return da.from_array(X, chunks=(50, 7)).persist()
    path = folder / f"table.{kind}"
    if kind == "npy":
        np.save(path, X)
    elif kind in ("frame", "parquet"):
        pd = pytest.importorskip("pandas")
        frame = pd.DataFrame(X, columns=[f"gene {place}" for place in range(N_COLUMNS)])
        if kind == "frame":
            return dd.from_pandas(frame, chunksize=40, sort=False)
        frame.to_parquet(path, row_group_size=40)
    else:
        anndata = pytest.importorskip("anndata")
        data = anndata.AnnData(sparse.csr_matrix(X))
        if kind == "h5ad":
            data.write_h5ad(path)
        else:
            zarr = pytest.importorskip("zarr")
            group = zarr.open_group(path, mode="w", zarr_format=2)
            anndata.io.write_elem(group, "/", data)
    return path


@pytest.fixture(
    scope="module",
    params=["npy", "parquet", "h5ad", "zarr", "dask", "persisted", "frame"],
)
def blocks(request, table, client, tmp_path_factory):
    """Blocks in a cluster: more tasks than workers, and a last one that is shorter."""
    source = write(table[0], tmp_path_factory.mktemp("blocks"), request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_cluster, "TASK_BLOCKS", 3)
        return open_blocks(source, block_size=7, client=client)


def visitors(X, mask):
    """Return one visitor of each class, and another of the same kind."""
    rng = np.random.default_rng(1)
    n = N_ROWS if mask is None else np.count_nonzero(mask)
    weights = rng.dirichlet(np.ones(n))
    moments = rng.random((2, N_COLUMNS)) + 0.5
    return [
        Scan(weights, mask, N_COLUMNS),
        Scan(np.full(N_ROWS, 1.0 / N_ROWS), None, N_COLUMNS),
        Product(rng.standard_normal((n, 2)), mask, N_COLUMNS),
        Product(rng.standard_normal((N_ROWS, 1)), None, N_COLUMNS),
        Correlations(np.array([2, 5]), moments[0], moments[1], weights, mask),
        ColumnReader(np.array([1, 4, 9])),
        ColumnReader(np.array([0, 4])),
    ]


def results(visitors):
    """Return the results of visitors as arrays."""
    arrays = []
    for visitor in visitors:
        if isinstance(visitor, Scan):
            arrays += [*visitor.result[0].mean_and_deviation()]
        elif isinstance(visitor, ColumnReader):
            matrix = visitor.matrix
            dense = matrix.toarray() if sparse.issparse(matrix) else matrix
            arrays += [visitor.columns, dense]
        else:
            arrays.append(visitor.result)
    return arrays


# Parts without any of the rows, at the beginning, in the middle and at the end.
some = np.random.default_rng(2).random(N_ROWS) < 0.5
some[:60] = some[100:150] = some[-30:] = False


@pytest.mark.parametrize("mask", [None, some], ids=["all", "some"])
def test_workers_find_what_one_process_does(blocks, table, mask):
    X, _ = table
    here, there = visitors(X, mask), visitors(X, mask)
    visit(open_blocks(X, block_size=11), *here)
    before = blocks.n_passes
    visit(blocks, *there)
    assert blocks.n_passes == before + 1
    for one, other in zip(results(here), results(there), strict=True):
        assert_allclose(other, one, rtol=1e-11, atol=1e-12)


def test_columns_alone_are_read(blocks, table):
    columns = np.array([0, 4, 29])
    visit(blocks, reader := ColumnReader(columns))
    matrix = reader.matrix
    dense = matrix.toarray() if sparse.issparse(matrix) else matrix
    assert_array_equal(dense, table[0][:, columns])


@pytest.mark.slow
def test_number_of_workers_does_not_change_a_bit(table, client):
    X, y = table
    chunks = da.from_array(X, chunks=(20, N_COLUMNS))
    selector = ProjectionFeatureSelector(eta=3.0)
    coef = selector.fit(open_blocks(chunks, client=client), y).coef_
    with start_cluster(n_workers=1) as single:
        selector.fit(open_blocks(chunks, client=single), y)
    assert_array_equal(selector.coef_, coef)


def test_selectors_agree_with_those_in_memory(client, table, tmp_path):
    X, y = table
    blocks = open_blocks(write(X, tmp_path, "npy"), block_size=40, client=client)
    selector = ProjectionFeatureSelector(eta=3.0, tol=1e-9)
    coef = selector.fit(X, y).coef_
    assert_allclose(selector.fit(blocks, y).coef_, coef, atol=1e-6)
    search = ProjectionFeatureSelectorCV(etas=[0.5, 2.0], cv=3)
    support = search.fit(X, y).get_support()
    assert_array_equal(search.fit(blocks, y).get_support(), support)


def test_pass_survives_the_death_of_a_worker(table, client, tmp_path):
    X, y = table
    settled = da.from_array(X, chunks=(20, N_COLUMNS))
    path = tmp_path / "dead"

    # A function of the module could not be imported by the workers.
    def die_once(chunk, block_info=None):
        """Return a chunk, but end the worker that needs the fourth one first."""
        if block_info[None]["chunk-location"][0] == 3 and not path.exists():
            path.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return chunk

    deathly = settled.map_blocks(die_once, dtype=X.dtype, meta=X[:0])
    selector = ProjectionFeatureSelector(eta=3.0)
    coef = selector.fit(open_blocks(settled, client=client), y).coef_
    selector.fit(open_blocks(deathly, client=client), y)
    assert path.exists()
    assert_array_equal(selector.coef_, coef)


def test_messages_are_far_smaller_than_the_data(client, tmp_path):
    X = np.random.default_rng(0).standard_normal((3000, 200))
    np.save(tmp_path / "table.npy", X)
    blocks = open_blocks(tmp_path / "table.npy", block_size=100, client=client)
    visit(blocks, Product(np.ones((3000, 2)), None, 200))
    least = 8 * (2 * 3000 + 2 * 200)
    assert least < blocks.n_bytes_moved < 1.5 * least < X.nbytes / 50
    assert RowBlocks(lambda: iter([X]), X.shape).n_bytes_moved == 0


def test_file_that_has_changed_is_opened_again(client, tmp_path):
    path = tmp_path / "table.npy"
    for value in (1.0, 2.0):
        np.save(path, np.full((20, 3), value))
        visit(open_blocks(path, client=client), reader := ColumnReader(np.array([1])))
        assert_array_equal(reader.matrix, np.full((20, 1), value))


def test_file_that_changes_between_passes(client, tmp_path):
    """The workers look at the columns that they read, and name one."""
    path = tmp_path / "table.npy"
    X = np.random.default_rng(0).standard_normal((40, 3))
    np.save(path, X)
    blocks = open_blocks(path, block_size=3, client=client)
    here = open_blocks(X, block_size=7)
    product = Product(np.ones((40, 1)), None, 3)
    visit(blocks, product)
    visit(here, Product(np.ones((40, 1)), None, 3))
    assert_array_equal(blocks.checksums.of_columns, here.checksums.of_columns)
    np.lib.format.open_memmap(path, mode="r+")[37, 1] += 1.0
    with pytest.raises(ValueError, match=r"in 1 of 3 columns, the first .* 1:"):
        visit(blocks, Product(np.ones((40, 1)), None, 3))


def test_errors_of_workers_are_those_of_one_process(client, table, tmp_path):
    X, y = table
    X = X.copy()
    X[111, 5] = np.nan
    np.save(tmp_path / "table.npy", X)
    blocks = open_blocks(tmp_path / "table.npy", block_size=9, client=client)
    with pytest.raises(ValueError, match="Input X contains NaN"):
        ProjectionFeatureSelector().fit(blocks, y)


def test_unsuitable_client_or_source_is_refused(client, table):
    with pytest.raises(TypeError, match=r"client must be a distributed\.Client"):
        open_blocks(da.from_array(table[0]), client="tcp://scheduler:8786")
    with pytest.raises(ValueError, match="client is for files"):
        open_blocks(table[0], client=client)
