"""SparseSupervisedAutoencoder: reproducibility, weights, early stopping, callbacks."""

import threading
import tracemalloc

import numpy as np
import pytest
import torch
from autoencoder_helpers import Callback, quick, state_of
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.callback import ScoringMonitor

from skproj.blocks._duplicates import merge_duplicates
from skproj.nn._training._samples import Samples


def test_concurrent_fits_do_not_disturb_each_other(wide):
    """Fits in threads draw from generators of their own."""
    X, y = wide
    expected = state_of(quick(max_epochs=2).fit(X, y))
    results = [None] * 6

    def work(i):
        results[i] = state_of(quick(max_epochs=2).fit(X, y))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(results))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        for a, b in zip(result, expected, strict=True):
            assert_array_equal(a, b)


def test_fit_leaves_global_state_alone(wide):
    """Neither global generator moves, and the number of threads is restored."""
    X, y = wide
    torch_before = torch.random.get_rng_state()
    numpy_before = np.random.get_state()[1].copy()  # noqa: NPY002
    threads_before = torch.get_num_threads()
    options = {"n_threads": threads_before + 1, "max_epochs": 1}
    quick(calibrate=True, **options).fit(X, y).predict(X)
    assert torch.equal(torch.random.get_rng_state(), torch_before)
    assert_array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002
    assert torch.get_num_threads() == threads_before
    with pytest.raises(ValueError, match="diverged"):
        quick(learning_rate_init=1e38, **options).fit(X, y)
    assert torch.get_num_threads() == threads_before


def test_integer_weights_equal_repeated_samples_in_any_order(wide):
    """Weights are repetition, also with small batches, noise and held-back data."""
    X, y = wide
    X = X.astype(np.float64)
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 4, len(X))
    params = {"batch_size": 16, "calibrate": True, "class_weight": "balanced"}
    weighted = quick(**params).fit(X, y, sample_weight=weights)
    rows = rng.permutation(np.repeat(np.arange(len(X)), weights))
    repeated = quick(**params).fit(X[rows], y[rows])
    for a, b in zip(state_of(weighted), state_of(repeated), strict=True):
        assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_class_weight_shifts_predictions(wide):
    """A heavy class is predicted more often; "balanced" equals its explicit form."""
    X, y = wide
    X, y = X[:, 20:], y  # only noise is left, so the prior decides
    light = quick(eta=np.inf).fit(X, y)
    heavy = quick(eta=np.inf, class_weight={"healthy": 20.0, "ill": 1.0}).fit(X, y)
    assert np.mean(heavy.predict(X) == "healthy") > np.mean(
        light.predict(X) == "healthy"
    )
    unbalanced = np.r_[np.flatnonzero(y == "ill"), np.flatnonzero(y == "healthy")[:30]]
    X, y = X[unbalanced], y[unbalanced]
    n_ill, n_healthy = np.sum(y == "ill"), np.sum(y == "healthy")
    explicit = {
        "ill": len(y) / (2 * n_ill),
        "healthy": len(y) / (2 * n_healthy),
    }
    for a, b in zip(
        state_of(quick(class_weight="balanced").fit(X, y)),
        state_of(quick(class_weight=explicit).fit(X, y)),
        strict=True,
    ):
        assert_array_equal(a, b)


def test_callbacks_see_stages_and_epochs(wide):
    """A monitor scores every epoch with a model that can predict."""
    X, y = wide
    monitor = ScoringMonitor(scoring="accuracy")
    model = quick(max_epochs=3, keep_fraction=0.1, n_features_to_select=3)
    model.set_callbacks(monitor).fit(X, y)
    log = monitor.get_logs(select="most_recent").data_as_pandas
    scores = log.loc[log["task_id_path"].map(len) == 3, "accuracy"]
    # All the features, then 5 and 3 of the 50, and the 3 with less noise.
    assert len(scores) == model.n_iter_ == 3 * 4
    assert scores.between(0, 1).all()


def test_verbose_prints_a_line_for_each_epoch(wide, capsys):
    """The loss is printed."""
    X, y = wide
    model = quick(verbose=True, max_epochs=2).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == model.n_iter_ > 4
    assert all("loss" in line for line in lines)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "kind", ["signs", "bits", "one-hot", "counts", "normal", "timestamp", "huge"]
)
def test_merge_duplicates_finds_the_distinct_rows_and_no_others(kind, dtype):
    """Data of few values must not collide; weights of equal rows are added up."""
    rng = np.random.default_rng(0)
    X = {
        "signs": rng.choice([-1.0, 1.0], (2000, 12)),
        "bits": rng.integers(0, 2, (3000, 60)),
        "one-hot": np.eye(27)[rng.integers(27, size=400)],
        "counts": rng.poisson(0.5, (2000, 8)),
        "normal": np.repeat(rng.standard_normal((500, 5)), 2, axis=0),
        "timestamp": np.c_[np.full(400, 1.7e18), rng.integers(0, 3, (400, 5))],
        "huge": rng.choice([-1e38, 1.0, 2.0, 1e38], (400, 6)),
    }[kind]
    if kind == "huge" and dtype == np.float64:
        X = np.where(np.abs(X) > 3, X * 1e270, X)
    X = X.astype(dtype)
    labels = rng.integers(0, 2, len(X))
    weight = rng.uniform(0, 1, len(X)) * (rng.uniform(size=len(X)) > 0.1)
    rows, merged, places = merge_duplicates(X, labels, weight)
    present = weight > 0
    table = np.c_[X, labels][present]
    distinct, inverse = np.unique(table, axis=0, return_inverse=True)
    expected = np.bincount(inverse.ravel(), weights=weight[present])
    found = np.c_[X, labels][rows]
    order = np.lexsort(found.T[::-1])
    assert_array_equal(found[order], distinct)
    assert_allclose(merged[order], expected, rtol=1e-12)
    assert_array_equal(places >= 0, present)
    assert_array_equal(np.c_[X, labels][rows][places[present]], table)
    of_sparse = merge_duplicates(sparse.csr_array(X), labels, weight)
    found = np.c_[X, labels][of_sparse[0]]
    assert_array_equal(found[np.lexsort(found.T[::-1])], distinct)
    assert_array_equal(found[of_sparse[2][present]], table)


def test_merge_duplicates_of_wide_sparse_data_makes_no_dense_rows():
    """But for those that may be equal."""
    X = sparse.random_array((300, 1 << 20), density=1e-5, format="csr", rng=0)
    X = sparse.vstack([X, X[:9]], format="csr")
    tracemalloc.start()
    try:
        rows, weight, _ = merge_duplicates(X, np.zeros(309, dtype=int), np.ones(309))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(rows) == 300
    assert np.count_nonzero(weight == 2.0) == 9
    assert peak < 100 * X.shape[1] * X.dtype.itemsize


def test_rounding_of_the_data_changes_rounding_of_the_model_only(wide):
    """One unit in the last place of X must not reorder the samples."""
    X, y = wide
    X = X.astype(np.float64)
    for other in (np.nextafter(X, np.inf), np.where(X == 0, -0.0, X), X[::-1]):
        labels = y[::-1] if other.base is X else y
        for a, b in zip(
            state_of(quick().fit(X, y)),
            state_of(quick().fit(other, labels)),
            strict=True,
        ):
            assert_allclose(a, b, rtol=1e-6, atol=1e-9)


def test_callback_may_keep_the_model_of_an_epoch(wide):
    """Models handed to callbacks are snapshots with all that prediction needs."""
    X, y = wide

    class KeepModels(Callback):
        def __init__(self):
            self.models = []

        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            if context.task_name == "epoch":
                self.models.append(fitted_estimator)

    keeper = KeepModels()
    quick(max_epochs=2).set_callbacks(keeper).fit(X, y)
    first, last = keeper.models[0], keeper.models[-1]
    assert not np.array_equal(first.predict_proba(X), last.predict_proba(X))
    assert first.get_support().sum() > last.get_support().sum()


def test_narrowing_keeps_the_rows_that_are_used():
    """Training and validation samples do not each copy the rows of both."""
    X = torch.arange(24.0).reshape(6, 4)
    samples = Samples(
        X, y=torch.zeros(2), weight=torch.ones(2), rows=torch.tensor([4, 1])
    )
    narrow = samples.keep_columns(np.array([3, 0]))
    assert narrow.X.tolist() == [[19.0, 16.0], [7.0, 4.0]]
    assert_array_equal(narrow.batch(torch.tensor([1]))[0], [[7.0, 4.0]])
