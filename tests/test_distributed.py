"""More than one machine: a dask cluster of processes, and data larger than memory."""

import functools
import os
import sys

import cloudpickle
import dask
import dask.array as da
import joblib
import numpy as np
import pytest
import torch
import zarr
from cluster_helpers import start_cluster, time_limit
from distributed import Client
from numpy.testing import assert_array_equal
from sklearn.callback import ProgressBar, _progressbar
from sklearn.datasets import load_digits, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skproj import (
    ProjectionFeatureSelector,
    ProjectionFeatureSelectorCV,
    SparseSupervisedAutoencoder,
)
from skproj.feature_selection import StabilitySelector
from skproj.nn import SparsificationSchedule

# Functions of this file are sent to the workers, which cannot import it.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(autouse=True)
def limited_time():
    """Bound the time of each test; the fixtures of the module do it themselves."""
    with time_limit():
        yield


@pytest.fixture(scope="module")
def client():
    """A cluster of two processes with a thread each, and the client of it."""
    with start_cluster() as client:
        yield client


@pytest.fixture(scope="module")
def data():
    """Standardised data and labels, the same objects for all tests."""
    X, y = load_wine(return_X_y=True)
    return StandardScaler().fit_transform(X), y


@pytest.fixture(scope="module")
def on_cluster(client, data):
    """Return a function that fits on the cluster, to which the data are sent once.

    It is one backend for all fits: equal data that are sent anew, just after they have
    been given up, can get lost.
    """
    with (
        time_limit(),
        joblib.parallel_config(backend="dask", scatter=list(data)) as config,
    ):
        backend = config["backend"]

    def fit(estimator):
        with joblib.parallel_config(backend=backend):
            return estimator.fit(*data)

    return fit


def make_grid_search():
    pipeline = make_pipeline(
        StandardScaler(), ProjectionFeatureSelector(), LogisticRegression()
    )
    return GridSearchCV(
        pipeline, {"projectionfeatureselector__eta": [0.1, 0.5, 1.0]}, cv=3
    )


def make_selector_search():
    return ProjectionFeatureSelectorCV(5, cv=3, random_state=0)


def make_autoencoder_search(loss="cross_entropy"):
    network = SparseSupervisedAutoencoder(
        (10,), loss=loss, max_epochs=2, random_state=0
    )
    grid = {"eta": [1.0, 10.0]}
    return GridSearchCV(network, grid, cv=3, error_score="raise")


def make_stability_selector():
    return StabilitySelector(n_pairs=4, random_state=0)


MAKERS = {
    "grid search": make_grid_search,
    "selector": make_selector_search,
    "autoencoder": make_autoencoder_search,
    "stability": make_stability_selector,
}


def numbers_of(estimator):
    """Return the fitted arrays that may depend on where the work was done."""
    attributes = {**getattr(estimator, "cv_results_", {}), **vars(estimator)}
    return {
        name: value
        for name, value in attributes.items()
        if isinstance(value, np.ndarray | float | int)
        and "time" not in name
        and (name.endswith(("_", "_score", "_features")))
    }


def assert_same_fit(first, second):
    first, second = numbers_of(first), numbers_of(second)
    assert first.keys() == second.keys()
    assert len(first) > 3
    for name, value in first.items():
        assert_array_equal(second[name], value, err_msg=name)


slow = functools.partial(pytest.param, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    "name", ["selector", "stability", slow("autoencoder"), slow("grid search")]
)
def test_cluster_gives_the_same(name, on_cluster, data):
    """Bit for bit what one process gives."""
    assert_same_fit(MAKERS[name]().fit(*data), on_cluster(MAKERS[name]()))


def test_data_are_sent_once(client, monkeypatch):
    """Whatever the number of tasks and fits: nothing else is as large."""
    X, y = load_digits(return_X_y=True)
    X, y = X[:300] / 16.0, y[:300]
    sizes = []
    scatter = Client.scatter

    def spy(self, data, *args, **kwargs):
        parts = data if isinstance(data, list | tuple) else [data]
        sizes.extend(getattr(part, "nbytes", 0) for part in parts)
        return scatter(self, data, *args, **kwargs)

    monkeypatch.setattr(Client, "scatter", spy)
    with joblib.parallel_config(backend="dask", scatter=[X, y]):
        for make in MAKERS.values():
            make().fit(X, y)
    assert sum(size >= X.nbytes // 2 for size in sizes) == 1


def loss_by_one_thread(logits, labels):
    """Cross-entropy that is refused to several threads."""
    if torch.get_num_threads() > 1:
        raise RuntimeError(f"trained with {torch.get_num_threads()} threads")
    return torch.nn.functional.cross_entropy(logits, labels, reduction="none")


def test_workers_train_with_n_threads(client, on_cluster):
    """Not with as many as PyTorch would take by itself."""
    workers = list(client.run(os.getpid))

    def on_each(function, *args):
        futures = [
            client.submit(function, *args, workers=[worker], pure=False)
            for worker in workers
        ]
        return client.gather(futures)

    on_each(torch.set_num_threads, 3)
    assert on_each(torch.get_num_threads) == [3, 3]
    with pytest.raises(RuntimeError, match="trained with 3 threads"):
        on_cluster(
            make_autoencoder_search(loss_by_one_thread).set_params(
                estimator__n_threads=3
            )
        )
    search = on_cluster(make_autoencoder_search(loss_by_one_thread))
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert on_each(torch.get_num_threads) == [3, 3]
    on_each(torch.set_num_threads, 1)


def forbid_messages():
    """Make a process unable to send messages to the callbacks of another one."""
    _progressbar.send, _progressbar.kept_send = no_socket, _progressbar.send


def allow_messages():
    """Undo it."""
    _progressbar.send = _progressbar.kept_send


def no_socket(*args):
    """Fail as on another computer."""
    raise FileNotFoundError("there is no socket here")


@pytest.mark.parametrize("name", ["selector", "stability"])
def test_progress_bar_stays_at_home(name, client, on_cluster, capsys):
    """Workers need not reach it, which they could not from another computer."""
    client.run(forbid_messages)
    try:
        on_cluster(MAKERS[name]().set_callbacks(ProgressBar()))
    finally:
        client.run(allow_messages)
    assert "100%" in capsys.readouterr().out


def die_once(flag):
    """Kill this process, unless one has died already."""
    try:
        flag.touch(exist_ok=False)
    except FileExistsError:
        return
    os._exit(1)


def deadly_transform(X, flag):
    die_once(flag)
    return X


def deadly_score(model, X, y, flag):
    die_once(flag)
    return model.score(X, y)


def make_deadly(name, flag):
    """Return an estimator that kills the first process that works for it."""
    if name == "stability":
        transform = FunctionTransformer(
            deadly_transform, kw_args={"flag": flag}, feature_names_out="one-to-one"
        )
        return StabilitySelector(
            make_pipeline(transform, ProjectionFeatureSelector()),
            n_pairs=6,
            random_state=0,
        )
    scoring = functools.partial(deadly_score, flag=flag)
    return ProjectionFeatureSelectorCV(5, cv=6, scoring=scoring, random_state=0)


@pytest.mark.parametrize(("shift", "name"), [(1, "stability"), slow(2, "selector")])
def test_death_of_a_worker_is_survived(shift, name, client, data, tmp_path):
    """What it was working on is done by the other one."""
    # Data of its own: those of an earlier test have died with its victim.
    X, y = data[0] + shift, data[1] + shift
    flag = tmp_path / "a worker has died"
    before = set(client.run(os.getpid).values())
    with joblib.parallel_config(backend="dask", scatter=[X, y]):
        together = make_deadly(name, flag).fit(X, y)
    client.wait_for_workers(2, timeout=60)
    assert len(before - set(client.run(os.getpid).values())) == 1
    assert_same_fit(make_deadly(name, flag).fit(X, y), together)


# --------------------------------------------------------------------- out of core


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The digits in a zarr store, in blocks of 200 samples."""
    X, y = load_digits(return_X_y=True)
    folder = tmp_path_factory.mktemp("digits")
    for name, values in (("X", X.astype(np.float32)), ("y", y)):
        chunks = (200, *values.shape[1:])
        store = zarr.create_array(
            folder / name, shape=values.shape, chunks=chunks, dtype=values.dtype
        )
        store[:] = values
    return folder


def train(blocks, n_epochs=6):
    """Train on one block of samples after the other."""
    schedule = SparsificationSchedule(input_noise=0.3)
    model = SparseSupervisedAutoencoder(
        (30,), eta=2.0, schedule=schedule, random_state=0
    )
    for _ in range(n_epochs):
        for X, y in blocks():
            model.partial_fit(X / 16.0, y, classes=np.arange(10))
    return model


def test_training_out_of_core(stored):
    """Blocks of a zarr store, of a dask array and of an array give the same model."""
    X, y = load_digits(return_X_y=True)
    X = X.astype(np.float32)
    zarr_X, zarr_y = (zarr.open_array(stored / name, mode="r") for name in "Xy")
    dask_X, dask_y = (da.from_zarr(str(stored / name)) for name in "Xy")

    def blocks_of_memory():
        return ((X[i : i + 200], y[i : i + 200]) for i in range(0, len(y), 200))

    def blocks_of_zarr():
        for start in range(0, zarr_X.shape[0], zarr_X.chunks[0]):
            rows = slice(start, start + zarr_X.chunks[0])
            yield zarr_X[rows], zarr_y[rows]

    def blocks_of_dask():
        for X_block, y_block in zip(dask_X.blocks, dask_y.blocks, strict=True):
            # Here: with a client, the cluster would do it.
            yield dask.compute(X_block, y_block, scheduler="synchronous")

    expected = train(blocks_of_memory)
    assert expected.score(X / 16.0, y) > 0.8
    assert 10 < expected.n_selected_features_ < 64
    for blocks in (blocks_of_zarr, blocks_of_dask):
        model = train(blocks)
        assert_array_equal(model.feature_importances_, expected.feature_importances_)
        assert_array_equal(model.transform(X), expected.transform(X))
