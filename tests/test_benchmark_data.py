"""Data of the benchmarks: images, spectra, a chaotic series and single cells."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.integrate import solve_ivp
from sklearn.feature_selection import f_classif

from skproj.blocks import open_blocks
from skproj.projection import hoyer_sparsity


@pytest.fixture
def nmf_data(import_benchmark):
    return import_benchmark("_nmf_data")


@pytest.fixture
def mackey_glass(import_benchmark):
    return import_benchmark("_mackey_glass")


@pytest.fixture
def series(mackey_glass):
    """Take the series itself, from time `n_discarded`."""

    def take(n_samples=200, *, n_discarded=0, history=0.5, **parameters):
        end = n_discarded + n_samples - 1
        solution = mackey_glass.integrate(history, end, **parameters)
        return solution(np.arange(n_discarded, end + 1.0))

    return take


def rank(X):
    return np.linalg.matrix_rank(X)


def test_images_are_sums_of_their_parts(nmf_data):
    X, parts = nmf_data.make_part_images(
        100, 12, shape=(15, 20), noise=0.0, random_state=0
    )
    assert X.shape == (100, 300)
    assert rank(X) == rank(np.vstack([X, parts])) == 12
    np.testing.assert_allclose(parts.max(axis=1), 1.0)
    assert (X >= 0.0).all()


def test_parts_are_connected_spots(nmf_data):
    """Rows and columns with pixels of a part follow one another; most have none."""
    _, parts = nmf_data.make_part_images(1, 30, random_state=0)
    assert hoyer_sparsity(parts, axis=1).min() > 0.5
    for part in parts.reshape(30, 19, 19):
        for axis in (0, 1):
            used = np.flatnonzero(part.any(axis=axis))
            assert np.ptp(used) + 1 == len(used) <= 9


def test_spectra_are_mixtures(nmf_data):
    X, endmembers, abundances = nmf_data.make_hyperspectral(
        300, 200, 4, noise=0, random_state=0
    )
    np.testing.assert_allclose(abundances.sum(axis=1), 1.0)
    np.testing.assert_allclose(X, abundances @ endmembers, atol=1e-15)
    assert rank(X) == 4
    # Most pixels consist of one or two materials.
    assert (np.sort(abundances, axis=1)[:, -2:].sum(axis=1) > 0.8).mean() > 0.8
    # And their spectra are smooth.
    assert np.abs(np.diff(endmembers, axis=1)).max() < 0.15


@pytest.mark.parametrize("name", ["make_part_images", "make_hyperspectral"])
def test_noise_and_seed(nmf_data, name):
    make = vars(nmf_data)[name]
    clean = make(100, noise=0.0, random_state=0)[0]
    noisy = make(100, noise=0.1, random_state=0)[0]
    error = np.linalg.norm(noisy - clean) / np.linalg.norm(clean)
    # Less than the noise, of which negative sums are cut off.
    assert 0.05 < error < 0.1
    assert (noisy >= 0.0).all()
    np.testing.assert_array_equal(make(100, noise=0.1, random_state=0)[0], noisy)
    assert not np.array_equal(make(100, noise=0.1, random_state=1)[0], noisy)


def test_rows_are_windows_and_targets_are_ahead(mackey_glass, series):
    X, y = mackey_glass.make_mackey_glass(50, 4, spacing=3, horizon=5, random_state=1)
    history = np.random.RandomState(1).uniform(0.2, 0.8)
    x = series(64, n_discarded=1000, history=history)
    for i in range(50):
        np.testing.assert_array_equal(X[i], x[[i, i + 3, i + 6, i + 9]])
        assert y[i] == x[i + 14]


def test_series_is_that_of_another_solver(series):
    """Up to time tau the delayed value is the constant history, which x(0) is."""
    x = series(18)
    production = 0.2 * x[0] / (1.0 + x[0] ** 10)
    first = solve_ivp(
        lambda t, x: production - 0.1 * x,
        (0.0, 17.0),
        x[:1],
        t_eval=range(18),
        rtol=1e-10,
        atol=1e-12,
        dense_output=True,
    )
    np.testing.assert_allclose(x, first.y[0], rtol=1e-8)

    def second_stretch(t, x):
        delayed = first.sol(t - 17.0)
        return 0.2 * delayed / (1.0 + delayed**10) - 0.1 * x

    second = solve_ivp(
        second_stretch, (17.0, 34.0), first.y[:, -1], rtol=1e-10, atol=1e-12
    )
    np.testing.assert_allclose(series(35)[-1], second.y[0, -1], rtol=1e-8)


@pytest.mark.parametrize("tau", [7.3, 17.0])
def test_error_falls_with_the_fourth_power_of_the_step(series, tau):
    """The delay need not be a multiple of the step, nor of the sampling time."""
    exact = series(100, tau=tau, step=0.01)
    errors = [
        np.abs(series(100, tau=tau, step=step) - exact).max() for step in (1.0, 0.25)
    ]
    assert errors[1] < 1e-6
    assert errors[0] / errors[1] > 100.0  # 256 for equal shares of tau


def test_seed_decides_everything(mackey_glass):
    (X, y), (X_again, y_again), (other, _) = (
        mackey_glass.make_mackey_glass(30, noise=0.1, random_state=seed)
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(X, X_again)
    np.testing.assert_array_equal(y, y_again)
    assert not np.allclose(X, other)


def test_noise_is_that_of_the_targets(mackey_glass):
    X, y = mackey_glass.make_mackey_glass(4000, random_state=0)
    X_noisy, y_noisy = mackey_glass.make_mackey_glass(4000, noise=0.3, random_state=0)
    np.testing.assert_array_equal(X, X_noisy)
    assert np.std(y_noisy - y) == pytest.approx(0.3, rel=0.05)


@pytest.fixture
def cells(import_benchmark):
    return import_benchmark("_cells")


@pytest.mark.parametrize("density", [0.001, 0.05, 0.3, 0.9])
def test_cells_have_the_density(cells, density):
    X, _ = cells.CellModel(1000, density=density).draw(3000)
    assert X.has_canonical_format
    assert X.dtype == np.float32
    assert X.nnz / (3000 * 1000) == pytest.approx(density, rel=0.03)


def test_first_cells_of_a_larger_table_are_the_same(cells):
    model = cells.CellModel(600)
    large, types = model.draw(2 * model.part_rows + 77)
    for n_obs in (50, model.part_rows, model.part_rows + 1):
        small, some = cells.CellModel(600).draw(n_obs)
        assert (small != large[:n_obs]).nnz == 0
        assert_array_equal(some, types[:n_obs])
    assert (cells.CellModel(600, seed=1).draw(50)[0] != large[:50]).nnz


def test_cells_are_told_apart_by_their_markers(cells):
    model = cells.CellModel(2000, n_markers=20)
    X, types = model.draw(3000)
    sums = np.asarray(np.expm1(X.astype(np.float64)).sum(axis=1))
    assert_allclose(sums, model.gene_mean.sum(), rtol=1e-5)
    kept = X.getnnz(axis=0) > 0
    top = np.argsort(-f_classif(X[:, kept], types)[0])[:200]
    assert np.mean(model.marker_of[kept][top] >= 0) > 0.7


@pytest.mark.filterwarnings("ignore:Writing zarr v2 data")
def test_cells_are_written_as_a_store_of_blocks(cells, tmp_path, monkeypatch):
    path = tmp_path / "cells.zarr"
    options = ["--n-obs", "70", "--n-vars", "400"]
    monkeypatch.setattr("sys.argv", ["_cells.py", str(path), *options])
    cells.main()
    blocks = open_blocks(path)
    expected, _ = cells.CellModel(400).draw(70)
    found = sparse.vstack([block for _, block in blocks])
    assert (found != expected).nnz == 0
