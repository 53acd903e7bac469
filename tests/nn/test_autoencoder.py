"""SparseSupervisedAutoencoder: projections, selection, outputs."""

import pickle

import numpy as np
import pytest
import torch
from autoencoder_helpers import SCHEDULES, quick
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    load_iris,
    load_wine,
    make_classification,
)
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectFromModel
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skproj import SparseSupervisedAutoencoder
from skproj.datasets import add_probes
from skproj.nn import SparsificationSchedule
from skproj.nn._training._objectives import by_autograd, focal
from skproj.projection import BALLS
from skproj.projection._registry import SPARSIFYING


def test_network_finds_the_informative_pixels_of_digits():
    """Real features are found among probes, and classes are told."""
    X, y = load_digits(return_X_y=True)
    X, _, is_probe = add_probes(X.astype(np.float32), 400, random_state=0)
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, stratify=y, random_state=0
    )
    network = SparseSupervisedAutoencoder(eta=10.0, random_state=0)
    model = make_pipeline(StandardScaler(), network)
    model.fit(X_train, y_train)
    support = model[-1].get_support()
    assert model.score(X_test, y_test) > 0.93
    assert 10 < support.sum() < 64
    assert np.mean(is_probe[support]) < 0.1


@pytest.mark.parametrize(
    ("projection", "schedule"),
    [*((ball, "single") for ball in SPARSIFYING), *(("l12", s) for s in SCHEDULES[:3])],
)
def test_every_ball_and_schedule_selects_and_stays_consistent(
    wide, projection, schedule
):
    """Support, importances, weights and counts tell one story for all options."""
    X, y = wide
    # The l_inf norm of a column is the smallest of its norms.
    eta = {"l1inf": 0.02, "bilevel_l1inf": 0.05}.get(projection, 0.5)
    model = quick(eta=eta, projection=projection, schedule=schedule).fit(X, y)
    support = model.get_support()
    assert 0 < support.sum() < X.shape[1]
    assert model.n_selected_features_ == support.sum()
    assert_array_equal(model.get_support(indices=True), np.flatnonzero(support))
    assert_array_equal(model.feature_importances_ > 0, support)
    assert model.encoder_weights_.shape == (100, 50)
    assert_array_equal(np.any(model.encoder_weights_ != 0, axis=0), support)
    if schedule == "single":
        norm = BALLS[projection].norm(model.encoder_weights_)
        assert norm <= eta * (1 + 1e-6)
    changed = X.copy()
    changed[:, ~support] += 100.0
    assert_allclose(model.transform(changed), model.transform(X), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("noise", [0.5, 1.0, 4.0])
def test_noise_above_one_shortens_the_steps(wide, noise):
    """The first step of Adam moves every weight by the learning rate."""
    X, y = wide
    params = {"max_epochs": 1, "batch_size": len(X), "input_noise": noise}
    params |= {"schedule": "single", "eta": np.inf}
    start = quick(learning_rate_init=1e-12, **params).fit(X, y).encoder_weights_
    moved = quick(learning_rate_init=0.004, **params).fit(X, y).encoder_weights_
    step = 0.004 / max(noise, 1.0)
    assert_allclose(np.median(np.abs(moved - start)), step, rtol=1e-3)


def test_double_rewind_restarts_from_the_initial_weights(wide):
    """With a vanishing step, the kept weights are the initial ones, not shrunk ones."""
    X, y = wide
    params = {"learning_rate_init": 1e-12, "max_epochs": 1}
    untouched = quick(eta=np.inf, schedule="single", **params).fit(X, y)
    rewound = quick(schedule="double", rewind=True, **params).fit(X, y)
    continued = quick(schedule="double", **params).fit(X, y)
    support = rewound.get_support()
    assert_allclose(
        rewound.encoder_weights_[:, support],
        untouched.encoder_weights_[:, support],
        rtol=1e-5,
    )
    assert_array_equal(support, continued.get_support())
    assert np.abs(continued.encoder_weights_).max() < 0.1 * (
        np.abs(rewound.encoder_weights_).max()
    )


def test_methods_agree_with_each_other(wide):
    """Probabilities, decision, labels and code are views of one latent code."""
    X, y = wide
    model = quick().fit(X, y)
    latent, proba = model.transform(X), model.predict_proba(X)
    assert latent.shape == proba.shape == (300, 2)
    assert_allclose(proba.sum(axis=1), 1.0, rtol=1e-5)
    decision = model.decision_function(X)
    assert_allclose(decision, latent[:, 1] - latent[:, 0], rtol=1e-5)
    assert_array_equal(model.predict(X), model.classes_[(decision > 0).astype(int)])
    assert_array_equal(model.predict(X), model.classes_[proba.argmax(axis=1)])
    assert model.score(X, y) > 0.85
    iris_X, iris_y = load_iris(return_X_y=True)
    iris = quick(eta=5.0).fit(iris_X, iris_y)
    code = iris.transform(iris_X)
    centred = code - code.mean(axis=1, keepdims=True)
    assert_allclose(iris.decision_function(iris_X), centred)


@pytest.mark.slow
def test_reconstruction_learns_when_it_is_asked_to():
    """The error falls with the weight, well below that of the mean, which is 1."""
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((400, 2))
    X = StandardScaler().fit_transform(factors @ rng.standard_normal((2, 12)))
    y = (factors[:, 0] > 0).astype(int)

    def error(weight):
        """Return the mean of several models: the last steps differ by chance."""
        models = [
            quick(
                eta=np.inf,
                schedule="single",
                reconstruction_weight=weight,
                input_noise=0.1,
                max_epochs=60,
                random_state=random_state,
            ).fit(X, y)
            for random_state in range(4)
        ]
        return np.mean([(model.reconstruct(X) - X) ** 2 for model in models])

    errors = [error(1e-3), error(10.0)]
    assert errors[1] < 0.5 * errors[0]
    assert errors[1] < 0.02


@pytest.mark.parametrize("sizes", [7, (7,), [20, 7], np.array([5]), ()])
def test_hidden_layer_sizes_shape_the_network(wide, sizes):
    """Integers, sequences and no hidden layer at all."""
    X, y = wide
    model = quick(hidden_layer_sizes=sizes).fit(X, y)
    wanted = tuple(np.atleast_1d(sizes).astype(int)) if np.size(sizes) else ()
    widths = [
        layer.out_features
        for layer in model.module_.encoder
        if isinstance(layer, torch.nn.Linear)
    ]
    assert tuple(widths) == (*wanted, 2)
    assert model.reconstruct(X).shape == X.shape


def test_callable_projection_is_used_and_checked(wide):
    """A function of the user selects; a wrong shape is refused by name."""
    X, y = wide

    def keep_first(W, radius, *, axis):
        assert axis == 0
        W[:, int(radius) :] = 0.0
        return W

    model = quick(projection=keep_first, eta=3).fit(X, y)
    assert_array_equal(model.get_support(indices=True), [0, 1, 2])
    with pytest.raises(ValueError, match="projection must return"):
        quick(projection=lambda W, radius, axis: W[:, 1:]).fit(X, y)


def test_nothing_selected_warns_and_still_predicts(wide):
    """An empty support is said plainly."""
    X, y = wide
    with pytest.warns(UserWarning, match="No feature was selected.*eta"):
        model = quick(projection=lambda W, radius, axis: 0 * W).fit(X, y)
    assert model.n_selected_features_ == 0
    assert len(np.unique(model.predict(X))) == 1
    with pytest.raises(ValueError, match="No feature is selected"):
        model.compact()
    with pytest.raises(NotFittedError):
        quick().compact()


def test_sample_weight_is_routed_through_a_search(wide):
    """With metadata routing, weights reach the network in a Pipeline in a search."""
    X, y = wide
    weights = np.random.default_rng(0).uniform(0.1, 5.0, len(X))
    with config_context(enable_metadata_routing=True):
        model = quick().set_fit_request(sample_weight=True)
        model.set_score_request(sample_weight=True)
        grid = {"sparsesupervisedautoencoder__eta": [0.5]}
        search = GridSearchCV(make_pipeline(model), grid, cv=3)
        search.fit(X, y, sample_weight=weights)
        expected = quick().fit(X, y, sample_weight=weights)
    assert_array_equal(search.predict_proba(X), expected.predict_proba(X))
    assert not np.array_equal(
        search.predict_proba(X), quick().fit(X, y).predict_proba(X)
    )


def test_names_and_dataframes(wide):
    """Column names come in, latent names come out."""
    pd = pytest.importorskip("pandas")
    X, y = wide
    frame = pd.DataFrame(X, columns=[f"gene{j}" for j in range(X.shape[1])])
    model = quick().set_output(transform="pandas").fit(frame, y)
    latent = model.transform(frame)
    assert list(latent.columns) == list(model.get_feature_names_out())
    assert list(latent.columns) == [
        "sparsesupervisedautoencoder0",
        "sparsesupervisedautoencoder1",
    ]
    selected = model.feature_names_in_[model.get_support()]
    assert set(selected) <= set(frame.columns)
    selector = SelectFromModel(model, prefit=True, threshold=1e-12).fit(frame)
    assert_array_equal(selector.get_feature_names_out(), selected)


def test_compact_model_takes_the_selected_features_only():
    """Equal outputs from fewer columns, and a size to match."""
    pd = pytest.importorskip("pandas")
    X, y = make_classification(n_samples=80, n_features=4000, random_state=0)
    X = pd.DataFrame(X, columns=[f"gene{j}" for j in range(X.shape[1])])
    model = quick(n_features_to_select=6).fit(X, y)
    compact = model.compact()
    support = model.get_support()
    few = X.loc[:, support]
    for method in ("predict_proba", "transform", "decision_function"):
        assert_allclose(
            getattr(compact, method)(few), getattr(model, method)(X), atol=1e-6
        )
    assert_array_equal(compact.predict(few), model.predict(X))
    assert_allclose(
        compact.reconstruct(few), model.reconstruct(X)[:, support], atol=1e-6
    )
    assert not model.reconstruct(X)[:, ~support].any()
    assert compact.n_features_in_ == compact.n_selected_features_ == 6
    assert compact.get_support().all()
    assert_array_equal(compact.feature_names_in_, few.columns)
    assert_array_equal(compact.encoder_weights_, model.encoder_weights_[:, support])
    assert len(pickle.dumps(compact)) < 25_000 < 50_000 < len(pickle.dumps(model))
    assert model.n_features_in_ == 4000
    compact.partial_fit(few, y)


def test_compact_model_of_a_stream_leaves_its_network_behind(wide):
    """The network of all features is for training only."""
    X, y = wide
    X = np.tile(X, (1, 40))
    model = quick(n_features_to_select=5).partial_fit(X, y, classes=np.unique(y))
    size, compact = len(pickle.dumps(model)), model.compact()
    assert len(pickle.dumps(compact)) < 0.05 * size
    assert_allclose(
        compact.predict_proba(X[:, model.get_support()]),
        model.predict_proba(X),
        atol=1e-6,
    )


def test_calibration_improves_the_probabilities_of_new_samples():
    """A network that is far too sure of itself is cooled down."""
    X, y = make_classification(n_samples=600, n_features=40, flip_y=0.4, random_state=0)
    X = StandardScaler().fit_transform(X)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    params = {"eta": np.inf, "input_noise": 0.0, "max_epochs": 60}
    model = quick(calibrate=True, **params)
    model.fit(X_train, y_train)
    assert model.temperature_ > 1.5
    proba = model.predict_proba(X_test)
    assert_allclose(proba.sum(axis=1), 1.0, rtol=1e-6)
    assert_array_equal(model.classes_[proba.argmax(axis=1)], model.predict(X_test))
    calibrated = log_loss(y_test, proba)
    model.temperature_ = 1.0
    assert calibrated < 0.8 * log_loss(y_test, model.predict_proba(X_test))
    assert quick(**params, schedule="single").fit(X, y).temperature_ == 1.0
    lonely = np.where(np.arange(len(X)) == 0, 2, y)
    with pytest.raises(ValueError, match=r"calibrate=True cannot hold back"):
        quick(calibrate=True).fit(X, lonely)


def test_weights_before_fit_are_missing(wide):
    """As every fitted attribute of scikit-learn."""
    assert not hasattr(quick(), "encoder_weights_")
    with pytest.raises(NotFittedError, match="not fitted yet"):
        quick().encoder_weights_  # noqa: B018
    assert hasattr(quick().fit(*wide), "encoder_weights_")


@pytest.mark.parametrize("load", [load_breast_cancer, load_wine])
def test_code_explains_as_much_as_principal_components(load):
    """Of the kept features, less 10 %, and the predictions know nothing of it."""
    X, y = load(return_X_y=True)
    parts = train_test_split(X, y, random_state=0, stratify=y)
    scaler = StandardScaler().fit(parts[0])
    X_train, X_test = map(scaler.transform, parts[:2])
    model = quick(n_features_to_select=8, eta=10.0).fit(X_train, parts[2])
    support = model.get_support()
    pca = PCA(len(model.classes_)).fit(X_train[:, support])
    for X in (X_train, X_test):
        kept, total = X[:, support], np.square(X[:, support]).sum()
        by_pca = pca.inverse_transform(pca.transform(kept))
        by_code = model.reconstruct(X)[:, support]
        explained = [1.0 - np.square(A - kept).sum() / total for A in (by_pca, by_code)]
        assert explained[1] > 0.9 * explained[0] > 0.5
    with pytest.raises(ValueError, match="columns, those of transform"):
        model.inverse_transform(X_train)


def test_free_direction_of_the_code_changes_no_probability(wide, monkeypatch):
    """A number that is added to all logits cancels out in the softmax."""
    X, y = wide
    model = quick(eta=3.0).fit(X, y)
    monkeypatch.setattr(SparseSupervisedAutoencoder, "_code_is_logits", False)
    other = quick(eta=3.0).fit(X, y)
    assert_allclose(model.predict_proba(X), other.predict_proba(X), atol=1e-5)
    assert not np.allclose(model.transform(X), other.transform(X), atol=0.1)
    assert np.nanmean(model.reconstruction_error_) < np.nanmean(
        other.reconstruction_error_
    )


def test_model_of_an_earlier_version_without_decoder_says_so(wide):
    X, y = wide
    model = quick().fit(X, y)
    model.reconstruction_error_ = None
    with pytest.raises(ValueError, match="no trained decoder"):
        model.reconstruct(X)
    model.compact()


def weighted_cross_entropy(logits, labels):
    return 2.0 * torch.nn.functional.cross_entropy(logits, labels, reduction="none")


@pytest.mark.parametrize("schedule", ["consensus", "double"])
def test_loss_by_name_or_function(wide, schedule):
    """A multiple of the loss is nearly the same for Adam; a wrong shape is named."""
    X, y = wide
    params = {"n_features_to_select": 5, "schedule": schedule, "max_epochs": 20}
    model = quick(**params).fit(X, y)
    own = quick(loss=weighted_cross_entropy, **params).fit(X, y)
    assert_array_equal(own.get_support(), model.get_support())
    assert_allclose(own.predict_proba(X), model.predict_proba(X), atol=0.05)
    assert_allclose(own.loss_curve_[0], 2.0 * model.loss_curve_[0], rtol=0.02)
    focused = quick(loss="focal", **params).fit(X, y)
    assert focused.score(X, y) > 0.85
    # Samples that are predicted well are left alone.
    certainty = [m.predict_proba(X).max(axis=1).mean() for m in (focused, model)]
    assert certainty[0] < certainty[1]
    with pytest.raises(ValueError, match="loss must return a tensor of shape"):
        quick(loss=lambda z, y: z.sum(), **params).fit(X, y)


def test_gradient_of_the_focal_loss_is_that_of_autograd():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 6, 3, generator=generator, dtype=torch.float64)
    labels = torch.randint(3, (2, 6), generator=generator)

    def reference(logits, labels):
        p = torch.softmax(logits, dim=1).gather(1, labels.unsqueeze(1)).squeeze(1)
        return -((1.0 - p) ** 2) * p.log()

    for one, other in zip(
        focal(logits, labels), by_autograd(reference)(logits, labels), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_grid_search_over_a_setting_of_the_schedule(wide):
    """Its parameters have names of their own, and are checked by the fit."""
    X, y = wide
    schedule = SparsificationSchedule()
    model = quick(schedule=schedule, n_features_to_select=9, max_epochs=1)
    grid = {"schedule__keep_fraction": [0.3, 0.9]}
    search = GridSearchCV(model, grid, cv=2).fit(X, y)
    stages = [
        clone(model).set_params(**p).fit(X, y).n_iter_
        for p in ({"schedule__keep_fraction": 0.3}, {"schedule__keep_fraction": 0.9})
    ]
    assert stages[0] < stages[1]
    assert schedule.keep_fraction == 0.7
    best = search.best_estimator_.schedule.keep_fraction
    assert best == search.best_params_["schedule__keep_fraction"]
    with pytest.raises(ValueError, match="'keep_fraction' parameter of Sparsification"):
        model.set_params(schedule__keep_fraction=2.0).fit(X, y)
