"""SparseSupervisedAutoencoderCV on the consensus schedule."""

import numpy as np
import pytest
from autoencoder_helpers import scheduled
from consensus_helpers import FEW, MANY, SMALL, planted
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.model_selection import GroupKFold, StratifiedKFold

from skproj import SparseSupervisedAutoencoder, SparseSupervisedAutoencoderCV
from skproj.utils._path_search import (
    FREE_FEATURES,
    SCORE_PER_FACTOR,
    choose_row,
    smooth_paths,
)
from skproj.utils._stability import stability_index


def quick(**params):
    """Return a small search of the network alone, with few and large steps."""
    fixed = {**SMALL, "cv": 3, "linear_part": False}
    return SparseSupervisedAutoencoderCV(**scheduled({**fixed, **params}))


def assert_same_search(one, other, X, **tolerance):
    """Scores, choice and predictions agree."""
    for name in ("param_eta", "mean_test_score", "mean_n_features"):
        assert_allclose(one.cv_results_[name], other.cv_results_[name], **tolerance)
    assert one.best_index_ == other.best_index_
    assert_array_equal(one.get_support(), other.get_support())
    assert_array_equal(one.selection_frequency_, other.selection_frequency_)
    assert_allclose(one.transform(X), other.transform(X), **tolerance)


@pytest.mark.parametrize("n_samples", [FEW, MANY])
def test_table_has_a_row_for_each_radius(n_samples):
    """In the form of a grid search, without a last stage of as much noise."""
    X, y = planted(n_samples)
    noises = {"input_noise": 0.5, "final_noise": 0.5}
    search = quick(**noises, selection_rule="best").fit(X, y)
    results = search.cv_results_
    assert len({len(column) for column in results.values()}) == 1
    assert [name for name in results if name.startswith("split")] == [
        f"split{i}_test_score" for i in range(3)
    ]
    assert set(results["param_final_noise"]) == {0.5}
    best = search.best_index_
    assert results["rank_test_score"][best] == 1
    assert search.best_score_ == results["mean_test_score"][best]
    assert search.eta_ == results["param_eta"][best]
    assert_array_equal(search.etas_, results["param_eta"])
    assert search.etas_[0] == np.inf
    assert np.all(np.diff(search.etas_) < 0)
    assert search.n_features_path_[0] == 30
    assert search.n_features_path_[-1] == 1
    assert np.all(np.diff(search.n_features_path_) < 0)
    assert set(range(3)) <= set(search.get_support(indices=True))
    path = search.importances_path_
    assert_array_equal(np.count_nonzero(path, axis=1), search.n_features_path_)
    (row,) = np.flatnonzero(search.etas_ == search.eta_)
    assert_array_equal(path[row], search.feature_importances_)


@pytest.mark.parametrize("n_samples", [FEW, MANY])
@pytest.mark.parametrize("scoring", [None, "accuracy"])
def test_best_candidate_is_refined(n_samples, scoring):
    """With less noise; what is no better than before is not taken."""
    X, y = planted(n_samples)
    params = {"input_noise": 1.0, "scoring": scoring}
    plain = quick(final_noise=1.0, **params).fit(X, y)
    search = quick(final_noise=0.3, **params).fit(X, y)
    results, before = search.cv_results_, plain.cv_results_
    n_before, best = len(before["params"]), plain.best_index_
    refined = results["params"][n_before:]
    chosen = before["params"][best]
    assert refined == [chosen | {"final_noise": 0.3}]
    means = results["mean_test_score"]
    assert_array_equal(means[:n_before], before["mean_test_score"])
    assert means[best] != means[-1] or scoring is not None
    assert_array_equal(
        results["mean_n_features"][n_before:], plain.n_selected_features_
    )
    # The path is without them.
    assert_array_equal(results["param_eta"][search.path_rows_], search.etas_)
    assert_array_equal(search.path_rows_, plain.path_rows_)
    candidates = np.array([best, n_before])
    assert search.best_index_ == candidates[means[candidates].argmax()]
    assert search.best_score_ == means[candidates].max()
    assert search.final_noise_ == results["param_final_noise"][search.best_index_]
    # Neither the selection nor the path depends on it.
    assert search.eta_ == plain.eta_
    assert_array_equal(search.etas_, plain.etas_)
    assert_array_equal(search.importances_path_, plain.importances_path_)
    assert_array_equal(search.get_support(), plain.get_support())


@pytest.mark.parametrize("signal", [True, False])
def test_folds_choose_the_noise_of_the_last_stage(signal):
    """Little for a product of two features, as before for random labels."""
    n_samples = MANY if signal else FEW
    X, y = planted(n_samples)
    X = X[:, 3:11]
    y = X[:, 0] * X[:, 1] > 0 if signal else np.random.default_rng(0).permutation(y)
    params = {"etas": [np.inf], "max_epochs": 40, "scoring": "neg_log_loss"}
    search = quick(final_noise=0.1, **params).fit(X, y)
    before = quick(final_noise=1.0, **params).fit(X, y)
    if signal:
        assert search.final_noise_ == 0.1
        assert search.best_score_ > before.best_score_ + 0.2
        assert search.score(X, y) > before.score(X, y)
    else:
        assert search.final_noise_ == 1.0
        assert_array_equal(search.predict_proba(X), before.predict_proba(X))


@pytest.mark.parametrize("n_samples", [FEW, MANY])
def test_given_radii_are_tried_from_dense_to_sparse(n_samples):
    """With any scoring; with few samples the folds rank the features as well."""
    X, y = planted(n_samples)
    search = quick(etas=(1.0, 10, 3.0, 1.0), scoring="accuracy").fit(X, y)
    assert_array_equal(search.etas_, [10.0, 3.0, 1.0])
    assert np.all(np.diff(search.n_features_path_) <= 0)
    assert search.n_features_path_[0] > search.n_features_path_[-1] > 0
    scores = search.cv_results_["mean_test_score"]
    assert np.all((scores > 0.5) & (scores <= 1.0))
    if n_samples == MANY:
        params = SMALL | {"eta": search.eta_, "final_noise": search.final_noise_}
        single = SparseSupervisedAutoencoder(**scheduled(params)).fit(X, y)
        assert_array_equal(single.get_support(), search.get_support())
        assert_allclose(single.transform(X), search.transform(X), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("n_samples", [FEW, MANY])
def test_order_of_the_samples_is_no_matter(n_samples):
    """Sorted by class, or by batch, the folds are as good as of shuffled samples."""
    X, y = planted(n_samples)
    batch = np.arange(n_samples) // (n_samples // 5)
    X = X + 0.5 * np.random.default_rng(0).standard_normal((6, 30))[batch]
    orders = [
        np.random.default_rng(1).permutation(n_samples),
        np.argsort(y, kind="stable"),
        np.lexsort((y, batch)),
    ]
    for order in orders:
        search = quick(max_epochs=6).fit(X[order], y[order])
        assert search.best_score_ > -0.25
        assert search.score(X, y) > 0.9
        assert set(range(3)) <= set(search.get_support(indices=True))
        for i in range(3):
            split = search.cv_results_[f"split{i}_test_score"]
            assert split[search.best_index_] > -0.4


@pytest.mark.parametrize("n_samples", [FEW, MANY])
@pytest.mark.parametrize("cv", [3, GroupKFold(3)])
def test_groups_stay_together(n_samples, cv):
    """Each is in one test part, with a number of folds and with a splitter."""
    X, y = planted(n_samples)
    groups = np.random.default_rng(0).integers(0, 9, n_samples)
    X[:, -1] = groups
    seen = set()

    def record(model, X, y):
        seen.add(tuple(np.sort(X[:, -1])))
        return model.score(X, y)

    quick(cv=cv, scoring=record, etas=[3.0]).fit(X, y, groups=groups)
    assert len(seen) == 3
    assert sum(len(set(part)) for part in seen) == 9
    assert_array_equal(np.sort(np.concatenate(list(seen))), np.sort(groups))


@pytest.mark.parametrize("n_samples", [FEW, MANY])
def test_folds_are_shuffled_by_the_random_state(n_samples):
    """Not by what stands in the rows: another seed makes other folds."""
    X, y = planted(n_samples)
    search = quick(etas=[3.0]).fit(X, y)
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    assert_same_search(quick(etas=[3.0], cv=folds).fit(X, y), search, X, rtol=0)
    other = quick(etas=[3.0], random_state=1).fit(X, y)
    assert other.best_score_ != search.best_score_


def explicit_folds(groups):
    """Return two splits that leave out every other group."""
    parts = [np.flatnonzero(groups % 2 == i) for i in (0, 1)]
    return [(parts[1], parts[0]), (parts[0], parts[1])]


@pytest.mark.parametrize(
    ("n_samples", "scoring"), [(FEW, None), (FEW, "accuracy"), (MANY, None)]
)
def test_weights_equal_repetition_where_copies_stay_together(n_samples, scoring):
    """In the ranking, the training, the scores and the calibration."""
    X, y = planted(n_samples, 50)
    rng = np.random.default_rng(0)
    weight, groups = rng.integers(0, 3, n_samples), rng.integers(0, 12, n_samples)
    rows = np.repeat(np.arange(n_samples), weight)
    params = {"class_weight": "balanced", "scoring": scoring}
    weighted = quick(cv=explicit_folds(groups), **params)
    weighted.fit(X, y, sample_weight=weight)
    repeated = quick(cv=explicit_folds(groups[rows]), **params)
    repeated.fit(X[rows], y[rows])
    assert_same_search(weighted, repeated, X, rtol=1e-5, atol=1e-7)
    assert weighted.temperature_ == pytest.approx(repeated.temperature_, rel=1e-4)


@pytest.mark.parametrize("n_samples", [FEW, MANY])
def test_fold_whose_training_part_lacks_a_class(n_samples):
    """Its samples count neither for the score nor for the temperature."""
    X, y = planted(n_samples)
    y = np.where(np.arange(n_samples) < 4, "rare", y)
    pairs = np.arange(n_samples) // 4
    test = [np.flatnonzero(pairs % 2 == i) for i in (0, 1)]
    cv = [(test[1], test[0]), (test[0], test[1])]
    without = [(test[1], test[0][4:]), (test[0], test[1])]
    search, same = (quick(cv=folds).fit(X, y) for folds in (cv, without))
    assert_array_equal(search.classes_, ["healthy", "ill", "rare"])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert_same_search(search, same, X, rtol=1e-12)
    assert search.temperature_ == same.temperature_
    assert search.predict_proba(X).shape == (n_samples, 3)


@pytest.mark.parametrize("n_samples", [FEW, MANY])
def test_stability_and_substitutes_tell_of_a_duplicate(n_samples):
    """The twin of a feature is its closest substitute; the folds are counted."""
    X, y = planted(n_samples)
    X = np.c_[X, X[:, 0], -X[:, 1]]
    search = quick(etas=[2.0, 5.0], cv=4, scoring="accuracy").fit(X, y)
    frequency = search.selection_frequency_
    assert frequency.shape == (32,)
    assert_array_equal(4 * frequency, np.round(4 * frequency))
    assert frequency.sum() == pytest.approx(
        search.cv_results_["mean_n_features"][search.best_index_]
    )
    assert -1.0 <= search.stability_ <= 1.0
    low, high = search.stability_interval_
    assert low <= search.stability_ <= high
    selected = search.get_support(indices=True)
    assert list(search.substitutes_) == selected.tolist()
    twins = {0: (30, 1.0), 30: (0, 1.0), 1: (31, -1.0), 31: (1, -1.0)}
    found = [feature for feature in selected if feature in twins]
    assert found
    for feature in found:
        twin, correlation = search.substitutes_[feature][0]
        assert (twin, pytest.approx(correlation)) == twins[feature]
    support = search.get_support()
    compact = search.compact()
    assert_array_equal(compact.selection_frequency_, frequency[support])


def test_stability_is_one_where_all_folds_agree():
    """Only the three features that carry something are left everywhere."""
    X, y = planted(FEW)
    X[:, 3:] *= 1e-3

    def three(model, X, y):
        return -abs(model.n_selected_features_ - 3)

    params = {"scoring": three, "selection_rule": "best", "standardize": False}
    search = quick(max_epochs=8, **params).fit(X, y)
    assert_array_equal(search.selection_frequency_, np.arange(30) < 3)
    assert search.stability_ == pytest.approx(1.0)
    assert stability_index(np.ones((3, 1)) * (np.arange(30) < 3) > 0)[0] == (
        search.stability_
    )


def test_parsimonious_choice_pays_for_features():
    """Beyond a number of them, each factor of e costs less of more samples."""
    radii, counts = np.array([9.0, 5.0, 2.0]), np.array([[300, 100, 20]])
    others = {"n_features": counts, "n_samples": 64, "paths": np.arange(3)}

    def chosen(*scores):
        return choose_row(radii, np.array([scores]), "parsimonious", **others)

    cost = SCORE_PER_FACTOR / 8.0 * np.log(counts[0, :2] / FREE_FEATURES)
    assert chosen(0.9, 0.9, 0.9) == 2
    assert chosen(0.9 + cost[0] + 1e-6, 0.9, 0.9) == 0
    assert chosen(0.9 + cost[0] - 1e-6, 0.9, 0.9) == 2
    assert chosen(0.9 + cost[0], 0.9 + cost[1] + 1e-6, 0.9) == 1


def test_parsimonious_choice_smooths_the_scores_of_a_path():
    """A curve stays as it is, a spike among its neighbours does not win."""
    log_counts, path = np.linspace(0.0, 3.0, 12), np.repeat([0, 1], 6)
    curve = 0.8 + 0.05 * log_counts - 0.02 * log_counts**2 - 0.3 * path
    assert_allclose(smooth_paths(curve, log_counts, path, 1.0), curve)
    spiked = curve + 0.02 * (np.arange(12) == 1)
    smooth = smooth_paths(spiked, log_counts, path, 1.0)
    assert_allclose(smooth[6:], curve[6:])
    assert np.all(smooth[:6] - curve[:6] < 0.015)
    n_features = np.exp(log_counts)[np.newaxis]
    options = {"n_features": n_features, "n_samples": 100, "paths": path}
    for rule, row in (("best", 1), ("parsimonious", 4)):
        assert choose_row(-log_counts, spiked[np.newaxis], rule, **options) == row


@pytest.mark.parametrize("n_samples", [FEW, MANY])
def test_sparse_samples_give_the_search_of_dense_ones(n_samples):
    """To rounding, with a prior of the features."""
    X, y = planted(n_samples, 450)
    X = np.where(np.abs(X) > 0.5, X, 0.0)
    params = {"etas": [5.0, 2.0], "max_epochs": 2}
    dense, thin = (quick(**params).fit(A, y) for A in (X, csr_array(X)))
    assert_same_search(dense, thin, X, rtol=1e-6, atol=1e-8)
    assert list(dense.substitutes_) == list(thin.substitutes_)


def test_training_part_of_one_class_is_refused():
    """Its test samples of that class would be predicted without any error."""
    X, y = planted(FEW)
    ill = np.flatnonzero(y == "ill")[:20]
    cv = [(ill, np.setdiff1d(np.arange(FEW), ill))]
    with pytest.raises(ValueError, match="one class only, 'ill'"):
        quick(cv=cv, etas=[3.0]).fit(X, y)
