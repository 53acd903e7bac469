"""The linear part of the network of a search."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import load_wine, make_classification
from sklearn.preprocessing import StandardScaler

from skproj import SparseSupervisedAutoencoderCV
from skproj.nn import _linear_part


@pytest.fixture(scope="module")
def linear_data():
    """Few samples of classes that differ by sums of many features."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 60))
    y = np.digitize(X[:, :12].sum(axis=1), [-1.5, 1.5])
    return X * rng.uniform(0.5, 20.0, size=60) + rng.normal(size=60), y


def fit(X, y, **parameters):
    """Search with a small network."""
    parameters = {"max_epochs": 8, "random_state": 0, **parameters}
    return SparseSupervisedAutoencoderCV(20, **parameters).fit(X, y)


@pytest.fixture(scope="module")
def found(linear_data):
    return fit(*linear_data)


def part_of(monkeypatch):
    """Record what the network with a linear part is made of."""
    made = []
    make = _linear_part._with_linear_part

    def record(model, state, part, share, temperature):
        made.append((state, part, share, temperature))
        return make(model, state, part, share, temperature)

    monkeypatch.setattr(_linear_part, "_with_linear_part", record)
    return made


@pytest.mark.parametrize(
    ("layers", "parameters"),
    [
        (20, {}),
        ((20, 10), {"activation": "relu"}),
        (20, {"activation": "gelu"}),
        ((20, 10), {"standardize": False}),
    ],
    ids=str,
)
def test_logits_are_the_weighted_mean(linear_data, monkeypatch, parameters, layers):
    """Of the network alone, and of a linear function of raw features."""
    X, y = linear_data
    if not parameters.get("standardize", True):
        X = StandardScaler().fit_transform(X)
    made = part_of(monkeypatch)
    parameters = {"hidden_layer_sizes": layers, "max_epochs": 4, **parameters}
    search = SparseSupervisedAutoencoderCV(random_state=0, **parameters).fit(X, y)
    alone = SparseSupervisedAutoencoderCV(
        random_state=0, linear_part=False, **parameters
    ).fit(X, y)
    ((_, (columns, _, coef, intercept), share, temperature),) = made
    assert search.linear_weight_ == share > 0.0 == alone.linear_weight_

    def centred(logits):  # the mean describes the features
        return logits - logits.mean(axis=1, keepdims=True)

    linear = X[:, columns] @ coef.T + intercept
    wanted = (1.0 - share) / temperature * alone.transform(X) + share * linear
    assert_allclose(centred(search.transform(X)), centred(wanted), atol=1e-8)
    assert_allclose(search.decision_function(X), centred(wanted), atol=1e-8)
    kept = search.get_support(indices=True)
    assert set(alone.get_support(indices=True)) <= set(kept) == set(columns)
    assert search.n_selected_features_ == len(kept)


def test_part_raises_the_score_of_the_folds(linear_data, found):
    """Its row is the last one, and the best; the others are those without it."""
    search, alone = found, fit(*linear_data, linear_part=False)
    means = search.cv_results_["mean_test_score"]
    assert search.best_index_ == len(means) - 1
    assert_allclose(means[:-1], alone.cv_results_["mean_test_score"])
    assert search.best_score_ > alone.best_score_
    assert search.selection_frequency_.shape == (60,)
    assert search.selection_frequency_[search.get_support()].max() == 1.0


def test_score_does_not_see_the_test_samples(monkeypatch):
    """With classes drawn by lot, the folds do not learn them."""
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(80, 300)), np.arange(80) % 2
    support = np.arange(300) < 60
    choice = support, 2.0, True  # as if there were something to learn
    monkeypatch.setattr(_linear_part, "choose_support", lambda *_: choice)
    monkeypatch.setattr(_linear_part, "SCORE_PER_FACTOR", -1.0)  # features for nothing
    search = fit(X, y)
    assert search.linear_weight_ > 0.0
    assert search.cv_results_["mean_test_score"][-1] < -0.6  # log(2) is .69


def test_part_stays_away_where_features_matter_only_jointly():
    """The network alone tells the classes apart."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 8))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    search = fit(X, y, max_epochs=20)
    assert search.linear_weight_ == 0.0


@pytest.mark.parametrize(
    "parameters",
    [
        {"linear_part": False},
        {"activation": "tanh"},
        {"loss": "focal"},
        {"scoring": "accuracy"},
        {"selection_rule": "one-standard-error"},
    ],
    ids=str,
)
def test_network_is_alone(linear_data, parameters):
    """Where it is not wanted, or cannot be a part of the network."""
    search = fit(*linear_data, max_epochs=2, **parameters)
    assert search.linear_weight_ == 0.0
    assert search.module_.encoder[0].out_features == 20


def test_network_without_hidden_units_is_alone(linear_data):
    """It is linear."""
    X, y = linear_data
    search = SparseSupervisedAutoencoderCV((), max_epochs=8, random_state=0).fit(X, y)
    assert search.linear_weight_ == 0.0


def test_decoder_sees_all_features(linear_data, found):
    """It is fitted after the linear part has joined."""
    (X, _), search = linear_data, found
    support = search.get_support()
    errors = search.reconstruction_error_
    assert np.isfinite(errors[support]).all()
    assert np.isnan(errors[~support]).all()
    found = np.square(search.reconstruct(X) - X).mean(axis=0)[support]
    assert_allclose(found, errors[support], rtol=1e-6)


def test_saved_and_compact_models_predict_the_same(linear_data, found):
    """A network with a linear part is a network."""
    (X, _), search = linear_data, found
    wanted = search.predict_proba(X)
    again = pickle.loads(pickle.dumps(search))
    assert_allclose(again.predict_proba(X), wanted)
    assert again.linear_weight_ == search.linear_weight_ > 0.0
    compact = search.compact()
    assert_allclose(compact.predict_proba(X[:, search.get_support()]), wanted)


def test_sparse_and_weighted_samples(linear_data):
    """They give the model of dense and of repeated ones."""
    X, y = linear_data
    X = np.where(np.abs(X) > 1.0, X, 0.0)
    dense, thin = (fit(A, y, max_epochs=3) for A in (X, sparse.csr_array(X)))
    assert thin.linear_weight_ == dense.linear_weight_ > 0.0
    assert_array_equal(thin.predict_proba(X), dense.predict_proba(X))
    splits = [(np.arange(90) % 3 != i, np.arange(90) % 3 == i) for i in range(3)]
    weight = np.where(np.arange(90) % 2, 1.0, 2.0)
    rows = np.repeat(np.arange(90), weight.astype(int))
    weighted = SparseSupervisedAutoencoderCV(
        20, max_epochs=3, random_state=0, cv=splits
    )
    repeated = SparseSupervisedAutoencoderCV(
        20,
        max_epochs=3,
        random_state=0,
        cv=[(train[rows], test[rows]) for train, test in splits],
    )
    weighted.fit(X, y, sample_weight=weight)
    repeated.fit(X[rows], y[rows])
    assert repeated.linear_weight_ == weighted.linear_weight_ > 0.0
    assert_allclose(
        repeated.predict_proba(X), weighted.predict_proba(X), rtol=1e-4, atol=1e-6
    )


def test_class_that_a_fold_lacks():
    """Its logits are minus infinity there, not in the model."""
    X, y = load_wine(return_X_y=True)
    y = np.where(np.arange(len(y)) < 4, 3, y)
    splits = [(np.arange(len(y)) >= 4, np.arange(len(y)) < 60)]
    splits += [(np.arange(len(y)) % 3 != i, np.arange(len(y)) % 3 == i) for i in (1, 2)]
    search = fit(X, y, cv=splits)
    assert np.isfinite(search.predict_proba(X)).all()
    assert np.isfinite(search.best_score_)
    assert search.linear_weight_ > 0.0


def test_forbidden_features_stay_out(linear_data):
    """Of the linear model too; forced ones are in both."""
    X, y = linear_data
    search = fit(X, y, never_keep=[0, 1], always_keep=[59], max_epochs=3)
    support = search.get_support()
    assert not support[:2].any()
    assert support[59]
    assert search.linear_weight_ > 0.0


def test_features_of_denormal_numbers_are_constant(linear_data):
    """Coefficients of them would be infinite in float32."""
    X, y = linear_data
    X = X * np.where(np.arange(60) == 3, 1e-41, 1.0)
    search = fit(X.astype(np.float32), y, max_epochs=3)
    assert np.isfinite(search.predict_proba(X.astype(np.float32))).all()
    assert search.linear_weight_ > 0.0


def test_two_classes_have_one_linear_function():
    """Its halves are the logits of both."""
    X, y = make_classification(80, 30, n_informative=6, random_state=1)
    search = fit(X, y)
    difference = np.diff(search.transform(X), axis=1)[:, 0]
    assert_allclose(search.decision_function(X), difference)
    assert search.linear_weight_ > 0.0
    assert search.predict(X).shape == (80,)
