"""SparseSupervisedAutoencoder: learning by parts."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest
import torch
from autoencoder_helpers import assert_same_model, quick, scheduled
from numpy.testing import assert_allclose, assert_array_equal


def stream(X, y, n_parts=6):
    """Cut the shuffled samples into parts."""
    order = np.random.default_rng(0).permutation(len(X))
    return [(X[rows], y[rows]) for rows in np.array_split(order, n_parts)]


def test_partial_fit_learns_from_a_stream(wide):
    """With a falling radius, informative features are left and tell the classes."""
    X, y = wide
    model = quick(random_state=5, projection="l12")
    for eta in np.geomspace(10.0, 0.5, 20):
        model.set_params(eta=eta)
        for part in stream(X, y):
            model.partial_fit(*part, classes=["ill", "healthy"])
    assert model.n_selected_features_ <= 6
    assert np.mean(model.get_support(indices=True) < 5) > 0.6
    assert model.score(X, y) > 0.88
    assert len(model.loss_curve_) == model.n_iter_ == 20 * 6
    model.set_params(n_features_to_select=3).partial_fit(*part)
    assert model.n_selected_features_ == 3
    assert model.partial_fit(*part).encoder_weights_.dtype == np.float32
    assert model.partial_fit(X.astype(float), y).encoder_weights_.dtype == np.float32


def test_partial_fit_needs_no_more_memory_for_more_parts(wide):
    """Nothing of a part is kept."""
    X, y = wide
    model = quick(projection="l12").partial_fit(X, y, classes=np.unique(y))
    sizes, peaks = [], []
    for n_parts in (3, 30):
        tracemalloc.start()
        for _ in range(n_parts):
            model.partial_fit(X.copy(), y)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        sizes.append(len(pickle.dumps(model)) - 9 * model.n_iter_)  # its loss curve
    assert peaks[1] < peaks[0] + 3 * X.nbytes
    assert abs(sizes[1] - sizes[0]) < 500


def test_partial_fit_continues_after_a_fit_and_a_pickle(wide):
    """A fit is continued from its weights, and a copy goes on like the original."""
    X, y = wide
    model = quick(eta=3.0, max_epochs=20).fit(X, y)
    score, weights = model.score(X, y), model.encoder_weights_
    model.set_params(
        **scheduled({"learning_rate_init": 1e-6, "eta": np.inf})
    ).partial_fit(X[:10], y[:10])
    assert_allclose(model.encoder_weights_, weights, atol=1e-5)
    assert model.score(X, y) == pytest.approx(score, abs=0.01)
    model.set_params(schedule="consensus", eta=3.0)
    copied = pickle.loads(pickle.dumps(model))
    for part in stream(X, y):
        model.partial_fit(*part)
        copied.partial_fit(*part)
    assert_same_model(model, copied, X)
    assert not np.allclose(model.encoder_weights_, weights, atol=1e-3)
    model.fit(X, y)
    assert_same_model(model, quick(eta=3.0).set_params(max_epochs=20).fit(X, y), X)


def test_partial_fit_after_a_failure_goes_on_from_what_was_fitted(wide):
    """Weights that became infinite are not trained on."""
    X, y = wide
    model = quick(eta=3.0).fit(X, y).partial_fit(X, y)
    expected = model.predict_proba(X)
    with pytest.raises(ValueError, match="diverged"):
        model.set_params(**scheduled({"learning_rate_init": 1e38})).partial_fit(X, y)
    assert_array_equal(model.predict_proba(X), expected)
    model.set_params(
        **scheduled({"learning_rate_init": 1e-6, "eta": np.inf})
    ).partial_fit(X, y)
    assert_allclose(model.predict_proba(X), expected, atol=1e-3)


def test_partial_fit_counts_samples_of_weight_zero_as_absent(wide):
    """And weights otherwise matter, also those of the classes."""
    X, y = wide
    weights = np.random.default_rng(0).integers(0, 3, len(X))
    classes = np.unique(y)
    first = quick().partial_fit(X, y, classes=classes, sample_weight=weights)
    here = weights > 0
    second = quick().partial_fit(
        X[here], y[here], classes=classes, sample_weight=weights[here]
    )
    assert_same_model(first, second, X)
    class_weight = {"healthy": 1.0, "ill": 2.0}
    by_class = quick(class_weight=class_weight).partial_fit(X, y, classes=classes)
    by_sample = quick().partial_fit(
        X, y, classes=classes, sample_weight=[class_weight[label] for label in y]
    )
    assert_same_model(by_class, by_sample, X)
    plain = quick().partial_fit(X, y, classes=classes)
    assert not np.array_equal(plain.predict_proba(X), by_class.predict_proba(X))


def test_partial_fit_holds_nothing_back(wide):
    """A part may be a single sample."""
    X, y = wide
    model = quick(calibrate=True).partial_fit(X, y, classes=np.unique(y))
    assert_same_model(model, quick().partial_fit(X, y, classes=np.unique(y)), X)
    assert model.partial_fit(X[:1], y[:1]).temperature_ == 1.0


def test_partial_fit_says_what_is_wrong(wide):
    """Classes that are missing, change or do not hold the labels, and the like."""
    X, y = wide
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        quick().partial_fit(X, y)
    with pytest.raises(ValueError, match=r"not in classes: \['healthy'\]"):
        quick().partial_fit(X, y, classes=["ill", "well"])
    with pytest.raises(ValueError, match="at least two classes"):
        quick().partial_fit(X, y, classes=["ill"])
    with pytest.raises(ValueError, match=r"balanced.*partial_fit"):
        quick(class_weight="balanced").partial_fit(X, y, classes=np.unique(y))
    model = quick().partial_fit(X, y, classes=np.unique(y))
    with pytest.raises(ValueError, match="not the same as on the last call"):
        model.partial_fit(X, y, classes=["healthy", "ill", "dead"])
    with pytest.raises(ValueError, match="not in classes"):
        model.partial_fit(X, np.where(y == "ill", "dead", y))
    with pytest.raises(ValueError, match="50 features"):
        model.partial_fit(X[:, 1:], y)
    for fitted in (model, quick().fit(X, y)):
        for change in ({"hidden_layer_sizes": (33,)}, {"activation": "tanh"}):
            changed = copy.deepcopy(fitted).set_params(**change)
            with pytest.raises(ValueError, match=r"partial_fit need.*hidden_layer_si"):
                changed.partial_fit(X, y)


def test_decoder_is_fitted_to_the_part(wide):
    """It changes nothing in the network that goes on; or it is trained with it."""
    X, y = wide
    model = quick().partial_fit(X, y, classes=np.unique(y))
    start = copy.deepcopy(model._stream_.module.decoder.state_dict())
    errors = np.square(model.reconstruct(X) - X).mean(axis=0)
    support = model.get_support()
    assert_allclose(model.reconstruction_error_[support], errors[support], rtol=1e-4)
    model.partial_fit(X, y)
    after = model._stream_.module.decoder.state_dict()
    assert all(torch.equal(after[name], start[name]) for name in after)
    joint = {"schedule": "double", "reconstruction_weight": 1.0}
    model.set_params(**scheduled(joint)).partial_fit(X, y)
    learned = model._stream_.module.decoder.state_dict()
    assert any(not torch.equal(learned[name], start[name]) for name in start)


def test_failed_part_is_as_if_it_had_not_been(wide):
    """A projection that fails in a later part leaves the network as it was."""
    X, y = wide
    calls = []

    def fails_later(W, radius, axis=0):
        calls.append(radius)
        if len(calls) == 4:
            raise RuntimeError("no projection today")
        return W

    model = quick(projection=fails_later, random_state=0)
    model.partial_fit(X, y, classes=np.unique(y)).partial_fit(X, y)
    before = model.decision_function(X)
    with pytest.raises(RuntimeError, match="today"):
        model.partial_fit(X, y)
    assert_array_equal(model.decision_function(X), before)
    model.partial_fit(X, y)  # from the network of the second part
    assert model.n_iter_ == 3


def test_huge_weights_of_a_part_are_only_relative(wide):
    """Weights whose sum overflows."""
    X, y = wide
    fits = [
        quick(random_state=0)
        .partial_fit(X, y, classes=np.unique(y), sample_weight=weight)
        .decision_function(X)
        for weight in (None, np.full(len(X), 1e308))
    ]
    assert_allclose(fits[1], fits[0])
