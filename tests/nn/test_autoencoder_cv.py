"""SparseSupervisedAutoencoderCV: the search against a grid search, rules, data."""

import pickle

import numpy as np
import pytest
from autoencoder_helpers import Callback, scheduled
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.callback import ProgressBar
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skproj import SparseSupervisedAutoencoderCV

SMALL = {"hidden_layer_sizes": (20,), "max_epochs": 2, "random_state": 0}


@pytest.fixture(scope="module")
def wide():
    """Two classes, 4 informative features first, 26 of pure noise."""
    X, y = make_classification(
        n_samples=120,
        n_features=30,
        n_informative=4,
        n_redundant=0,
        class_sep=1.5,
        shuffle=False,
        random_state=0,
    )
    order = np.random.default_rng(0).permutation(len(X))
    X = StandardScaler().fit_transform(X)
    return X[order], np.array(["healthy", "ill"])[y[order]]


def quick(**params):
    """Return a small search of the network alone."""
    fixed = {**SMALL, "cv": 2, "linear_part": False}
    return SparseSupervisedAutoencoderCV(**scheduled({**fixed, **params}))


def test_search_of_sparsities(wide):
    """With the Hoyer projection the path goes from small to large `eta`."""
    X, y = wide
    params = {"projection": "hoyer", "max_epochs": 4}
    search = quick(etas=[0.9, 0.2, 0.6], scoring="accuracy", **params).fit(X, y)
    assert_array_equal(search.etas_, [0.2, 0.6, 0.9])
    assert np.all(np.diff(search.n_features_path_) < 0)
    passed = quick(**params).fit(X, y)
    assert passed.etas_[0] == 0.0
    assert passed.etas_[-1] == 1.0
    assert_array_equal(passed.n_features_path_[[0, -1]], [30, 1])


def test_default_radii_of_far_more_features_than_samples_are_sparse():
    """A second training of so many features would take most of the time."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20, 200))
    search = quick().fit(X, np.arange(20) % 2)
    # At most half of more than four for each sample, then 70 %.
    steps = [200, 100, 50, 35, 25, 18, 13, 10, 7, 5, 4, 3, 2, 1]
    passed = search.n_features_path_.tolist()
    assert passed == [step for step in steps if step in passed]
    assert passed[0] == 200
    assert len(passed) > 4


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(0)])
def test_folds_start_from_the_weights_of_the_whole(wide, random_state):
    """Also without an integer as seed: with no learning to speak of, scores agree."""
    X, y = wide
    cv = [(np.arange(120), np.arange(120))] * 2
    params = {"learning_rate_init": 1e-12, "etas": [np.inf]}
    search = quick(cv=cv, random_state=random_state, scoring="accuracy", **params)
    search.fit(X, y)
    assert search.best_score_ == search.score(X, y)


def test_one_standard_error_is_sparser(wide):
    """The smallest radius that is about as good as the best."""
    X, y = wide
    params = {"max_epochs": 10, "cv": 4, "random_state": 2, "final_noise": 1.0}
    params["projection"] = "l12"
    best, sparse = (
        quick(selection_rule=rule, **params).fit(X, y)
        for rule in ("best", "one-standard-error")
    )
    results = best.cv_results_
    assert_array_equal(
        results["mean_test_score"], sparse.cv_results_["mean_test_score"]
    )
    row = results["mean_test_score"].argmax()
    split_scores = [results[f"split{i}_test_score"][row] for i in range(4)]
    limit = results["mean_test_score"][row] - np.std(split_scores, ddof=1) / 2.0
    good_enough = results["param_eta"][results["mean_test_score"] >= limit]
    assert sparse.eta_ == good_enough.min() < best.eta_
    assert sparse.n_selected_features_ < best.n_selected_features_


@pytest.mark.parametrize("scoring", ["balanced_accuracy", "callable"])
def test_scorer_decides(wide, scoring):
    """By name, or a function of the model, which sees fitted models."""
    X, y = wide

    def few_features(model, X, y):
        assert len(model.predict(X)) == len(y)
        return -model.n_selected_features_

    scorer = few_features if scoring == "callable" else scoring
    search = quick(scoring=scorer, selection_rule="best")
    search.fit(X, y)
    results = search.cv_results_
    if scoring == "callable":
        assert_array_equal(results["mean_test_score"], -results["mean_n_features"])
        assert search.n_selected_features_ == 1
    else:
        assert results["mean_test_score"].max() == search.best_score_ <= 1.0


def test_scores_that_are_not_numbers_are_refused(wide):
    """They cannot be compared."""
    X, y = wide

    def undefined_for_dense(model, X, y):
        return np.nan if model.n_selected_features_ > 10 else 1.0

    with pytest.raises(ValueError, match="scoring must give finite scores"):
        quick(scoring=undefined_for_dense).fit(X, y)


def test_calibration_improves_the_probabilities_of_new_samples():
    """The temperature comes from the folds, and labels do not depend on it."""
    X, y = make_classification(n_samples=500, n_features=30, flip_y=0.4, random_state=0)
    X = StandardScaler().fit_transform(X)  # labels that are noise for a good part
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    params = {"etas": [np.inf], "input_noise": 0.0, "cv": 3}
    params |= {"hidden_layer_sizes": 100, "max_epochs": 100}
    search = quick(**params).fit(X_train, y_train)
    assert search.temperature_ > 1.5
    proba = search.predict_proba(X_test)
    assert_allclose(proba.sum(axis=1), 1.0)
    plain = quick(calibrate=False, **params).fit(X_train, y_train)
    assert plain.temperature_ == 1.0
    assert_array_equal(plain.predict(X_test), search.predict(X_test))
    assert log_loss(y_test, proba) < 0.8 * log_loss(y_test, plain.predict_proba(X_test))
    # The default score is that of the calibrated probabilities in either case.
    assert plain.best_score_ == search.best_score_ > -1.0


def test_callbacks_see_stages(wide, capsys):
    """The progress bar counts them, and a callback cannot end a search."""
    X, y = wide
    params = {"cv": 3}
    quick(**params).set_callbacks(ProgressBar()).fit(X, y)
    assert "100%" in capsys.readouterr().out

    class Listen(Callback):
        def __init__(self):
            self.names = []

        def on_fit_task_begin(self, estimator, context):
            self.names.append(context.task_name)

        def on_fit_task_end(self, estimator, context):
            return True

    listener = Listen()
    search = quick(**params).set_callbacks(listener).fit(X, y)
    n_epochs = listener.names.count("epoch")
    assert n_epochs == SMALL["max_epochs"] * listener.names.count("stage") > 10
    # Half a path could not be compared with the folds, so nothing ends early.
    undisturbed = quick(**params).fit(X, y)
    assert_array_equal(
        search.cv_results_["mean_test_score"],
        undisturbed.cv_results_["mean_test_score"],
    )


def test_compact_copies_and_clones(wide):
    """The path is cut to the selected features as well."""
    X, y = wide
    search = quick(selection_rule="one-standard-error", max_epochs=10).fit(X, y)
    support = search.get_support()
    copied = pickle.loads(pickle.dumps(search))
    assert_array_equal(copied.predict_proba(X), search.predict_proba(X))
    compact = search.compact()
    assert_allclose(
        compact.predict_proba(X[:, support]), search.predict_proba(X), atol=1e-6
    )
    assert_array_equal(compact.importances_path_, search.importances_path_[:, support])
    assert len(pickle.dumps(compact)) < len(pickle.dumps(search))
    fresh = clone(search)
    assert fresh.get_params() == search.get_params()
    with pytest.raises(NotFittedError):
        fresh.predict(X)


def test_masks_and_empty_splits(wide):
    """Splits may be masks, as for a grid search; there must be one."""
    X, y = wide
    half = np.arange(len(X)) % 2 == 0
    rows = np.arange(len(X))
    masks = quick(cv=[(half, ~half)], etas=[2.0]).fit(X, y)
    indices = quick(cv=[(rows[half], rows[~half])], etas=[2.0]).fit(X, y)
    assert masks.best_score_ == indices.best_score_
    lonely = [(rows[2:], rows[:2]), (rows[half], rows[~half])]
    labels = np.where(rows < 2, "other", y)
    with pytest.raises(ValueError, match="cv makes a split without any test sample"):
        quick(cv=lonely).fit(X, labels)
    with pytest.raises(ValueError, match="cv must give at least one split"):
        quick(cv=[]).fit(X, y)


def test_huge_and_scalar_weights_are_only_relative(wide):
    """Weights whose sum overflows, and one number for all."""
    X, y = wide
    scores = [
        quick(cv=3, etas=[1.0, 2.0])
        .fit(X, y, sample_weight=weight)
        .cv_results_["mean_test_score"]
        for weight in (None, np.full(len(X), 1e308), 2.0)
    ]
    assert_allclose(scores[1], scores[0])
    assert_allclose(scores[2], scores[0])
