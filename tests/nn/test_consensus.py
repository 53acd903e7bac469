"""The consensus schedule: numbers of features, options, callbacks, copies."""

import pickle

import numpy as np
import pytest
import torch
from autoencoder_helpers import Callback, clip_columns, scheduled
from consensus_helpers import FEW, MANY, SMALL, WIDE, assert_alike, planted, quick
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array

from skproj import SparseSupervisedAutoencoder, SparseSupervisedAutoencoderRegressor
from skproj.nn._training._consensus import (
    FEW_SAMPLES,
    MAX_ROTATED_SAMPLES,
    N_PARTS,
    draw_parts,
    has_few_samples,
)
from skproj.projection._registry import SPARSIFYING


@pytest.mark.parametrize(
    ("n_samples", "n_features"),
    [
        (FEW, 30),
        (FEW, 150),
        (MANY, 30),
        pytest.param(MANY, WIDE - 1, marks=pytest.mark.slow),
        (MANY, WIDE),
    ],
)
def test_number_of_features_is_met_and_its_radius_leads_there(n_samples, n_features):
    """A smaller radius keeps fewer features; that of a fit gives the fit again."""
    X, y = planted(n_samples, n_features)
    etas = []
    for k in (12, 2):
        model = quick(n_features_to_select=k, projection="l12").fit(X, y)
        assert model.n_selected_features_ == model.get_support().sum() == k
        assert model.module_.encoder[0].weight.shape == (16, k)
        again = quick(eta=model.eta_, projection="l12").fit(X, y)
        assert again.eta_ == model.eta_
        if not has_few_samples(n_samples, n_features):
            assert_alike(again, model, X, rtol=0)
        else:  # the radii of all groups need not decrease: it may be reached earlier
            assert again.n_selected_features_ >= k
        etas.append(model.eta_)
    assert etas == sorted(etas, reverse=True)
    assert np.all(model.get_support(indices=True) < 3)


@pytest.mark.parametrize("params", [{"eta": np.inf}, {"n_features_to_select": 30}])
@pytest.mark.parametrize("n_samples", [FEW, MANY])
def test_model_of_all_features_is_only_refined(n_samples, params):
    """There is nothing to project; its importances tell the features apart."""
    X, y = planted(n_samples)
    model = quick(**params).fit(X, y)
    assert model.eta_ == np.inf
    assert model.n_iter_ == 2 * SMALL["max_epochs"]
    assert model.n_selected_features_ == 30
    importances = model.feature_importances_
    assert importances[:3].min() > importances[3:].max()


@pytest.mark.parametrize(
    ("n_samples", "projection"),
    [*((FEW, ball) for ball in [*SPARSIFYING, "hoyer", clip_columns])]
    + [(MANY, "l1inf"), (MANY, "hoyer"), (MANY, clip_columns)],
)
def test_every_projection_selects(n_samples, projection):
    """A number of features, and the radius that it had."""
    X, y = planted(n_samples)
    params = {"projection": projection}
    model = quick(n_features_to_select=4, **params).fit(X, y)
    assert model.n_selected_features_ == 4
    assert set(range(3)) <= set(model.get_support(indices=True))
    assert_array_equal(model.feature_importances_ > 0, model.get_support())
    again = quick(eta=model.eta_, **params).fit(X, y)
    # Where the radii of the stages are not decreasing, it ends before.
    assert again.n_selected_features_ >= 4


@pytest.mark.parametrize("hidden", [(), (8,), (8, 4), (7,)])
@pytest.mark.parametrize("n_samples", [FEW, MANY])
def test_layers_and_precision(n_samples, hidden):
    """The networks side by side become one of the widths that were asked for."""
    X, y = planted(n_samples)
    for dtype in (np.float32, np.float64):
        model = quick(hidden_layer_sizes=hidden, n_features_to_select=5)
        model.fit(X.astype(dtype), y)
        layers = model.module_.encoder[::2]
        assert [layer.out_features for layer in layers] == [*hidden, 2]
        x = X.astype(dtype)
        outputs = model.transform(x), model.predict_proba(x), model.reconstruct(x)
        for array in (*outputs, model.encoder_weights_):
            assert array.dtype == dtype
        assert model.feature_importances_.dtype == dtype
        assert model.score(x, y) > 0.8


class Stop(Callback):
    """A callback that ends the first task of a kind, and keeps what it saw."""

    def __init__(self, task_name):
        self.task_name = task_name
        self.models = []

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        """Keep the model, and ask to stop."""
        if context.task_name == self.task_name:
            self.models.append(fitted_estimator)
            return True
        return False


@pytest.mark.parametrize("n_samples", [FEW, MANY])
def test_callback_that_stops_leaves_a_usable_model(n_samples):
    """After the first stage, what was learned is projected and kept."""
    X, y = planted(n_samples)
    callback = Stop("stage")
    params = {"n_features_to_select": 4, "max_epochs": 10}
    model = quick(**params).set_callbacks(callback)
    model.fit(X, y)
    assert model.n_iter_ == 10
    assert model.n_selected_features_ == 4
    assert model.score(X, y) > 0.8
    assert model.reconstruct(X).shape == X.shape
    (seen,) = callback.models
    assert seen.n_selected_features_ == 30
    assert seen.score(X, y) > 0.8
    model = quick(**params).set_callbacks(Stop("epoch")).fit(X, y)
    # 30, 21, 15, 11, 8, 6, 5 and 4 features, and 4 with less noise.
    assert model.n_iter_ == 9
    assert model.n_selected_features_ == 4


@pytest.mark.parametrize("n_samples", [FEW, MANY])
def test_same_seed_and_number_of_threads(n_samples):
    """The same bits for one seed, rounding for two threads, others for another."""
    X, y = planted(n_samples, 70)
    params = {"n_features_to_select": 30, "max_epochs": 1}
    model = quick(**params).fit(X, y)
    assert_alike(quick(**params).fit(X, y), model, X, rtol=0)
    assert_alike(quick(n_threads=2, **params).fit(X, y), model, X, rtol=1e-6)
    other = quick(**params).set_params(random_state=1).fit(X, y)
    assert not np.array_equal(other.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize(
    ("n_samples", "n_features", "few"),
    [
        (FEW_SAMPLES - 1, 1, True),
        (FEW_SAMPLES, 2 * FEW_SAMPLES, False),
        (FEW_SAMPLES, 2 * FEW_SAMPLES + 1, True),
        (MAX_ROTATED_SAMPLES, 2 * MAX_ROTATED_SAMPLES + 1, True),
        (MAX_ROTATED_SAMPLES, 2 * MAX_ROTATED_SAMPLES, False),
        (MAX_ROTATED_SAMPLES + 1, 10**6, False),
    ],
)
def test_samples_are_few_by_themselves_or_for_their_features(
    n_samples, n_features, few
):
    """Unless so many that principal directions take long."""
    assert has_few_samples(n_samples, n_features) == few


@pytest.mark.parametrize(
    ("n_samples", "n_features", "n_parts"),
    [(FEW + 3, 30, N_PARTS), (3, 30, 3), (MANY, WIDE - 1, 0), (MANY, WIDE, N_PARTS)],
)
def test_parts_leave_out_each_sample_once(n_samples, n_features, n_parts):
    """With about equally many of each class; none where samples are many."""
    X, y = planted(n_samples, n_features)
    model = quick()
    context = model._init_callback_context(max_subtasks=None)
    encoded, trainer = model._prepare(*model._validate_data(X, y), None, context)
    shares = draw_parts(trainer, stratify=True)
    assert shares.shape == (n_parts, n_samples)
    if n_parts == 0:
        return
    assert_array_equal((shares == 0.0).sum(axis=0), 1)
    labels = np.array(encoded.targets)
    for label in (0, 1):
        counts = (shares[:, labels == label] == 0.0).sum(axis=1)
        assert np.ptp(counts) <= 1


@pytest.mark.parametrize(
    ("make", "n_samples", "goes_on"),
    [
        (SparseSupervisedAutoencoder, FEW, False),
        (SparseSupervisedAutoencoder, MANY, True),
        (SparseSupervisedAutoencoderRegressor, FEW, True),
        (SparseSupervisedAutoencoderRegressor, MANY, True),
    ],
)
def test_stages_start_afresh_where_a_classifier_has_few_samples(
    make, n_samples, goes_on
):
    """Elsewhere they go on from the weights of the stage before, as projected."""
    X, y = planted(n_samples)
    params = SMALL | {"learning_rate_init": 1e-12, "max_epochs": 1}
    params = scheduled(params)
    dense = make(**params, eta=np.inf).fit(X, y == "ill")
    sparse = make(**params, n_features_to_select=7).fit(X, y == "ill")
    kept = sparse.get_support(indices=True)
    assert len(kept) == 7
    few = sparse.module_.state_dict()
    for name, weights in dense.module_.state_dict().items():
        if name == "encoder.0.weight":
            weights = weights[:, kept]
            shares = few[name].norm(dim=0) / weights.norm(dim=0)
            assert ((shares > 0.0) & (shares < 1.0)).all() or not goes_on
            weights = weights * shares
        elif not name.startswith("encoder.0"):
            continue  # fitted, or with the direction that is free
        assert np.allclose(few[name], weights, rtol=1e-4, atol=1e-6) == goes_on


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("n_samples", [FEW, MANY])
def test_cuda_selects_the_features_of_the_cpu(n_samples):
    """With dense and sparse samples and held-back samples."""
    X, y = planted(n_samples, 100)
    params = {"calibrate": True, "max_epochs": 20}
    for data in (X, csr_array(X)):
        model = quick(n_features_to_select=3, device="cuda", **params).fit(data, y)
        assert model.module_.encoder[0].weight.device.type == "cuda"
        assert_array_equal(model.get_support(indices=True), [0, 1, 2])
        copied = pickle.loads(pickle.dumps(model)).set_params(device="cpu")
        assert_allclose(copied.predict_proba(X), model.predict_proba(X), atol=1e-5)
