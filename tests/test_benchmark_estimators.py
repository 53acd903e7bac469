"""What the benchmark of estimators computes from fits, and how it chooses."""

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.feature_selection import SelectKBest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC


@pytest.fixture
def bench(import_benchmark):
    return import_benchmark("estimators")


def make_fit(bench, method, fold, accuracy):
    numbers = {name: kind() for name, kind in bench.Fit.__annotations__.items()}
    setting = {"family": "digits", "draw": 1, "fold": fold, "method": method}
    return bench.Fit(**numbers | setting | {"accuracy": accuracy})


def test_selects_and_classifies_like_grid_search(bench):
    peers = bench.peers
    X, y = make_classification(
        120, 30, n_informative=4, n_redundant=0, random_state=0, shuffle=False
    )
    sizes, penalties = (2, 4, 8), (0.1, 1.0, 10.0)
    ours = peers.SelectThenClassify(
        peers.by_f_test, sizes, [SVC(C=C) for C in penalties], seed=3
    ).fit(X, y)
    search = GridSearchCV(
        make_pipeline(SelectKBest(), SVC()),
        {"selectkbest__k": sizes, "svc__C": penalties},
        cv=peers.inner_folds(3),
    ).fit(X, y)
    support = search.best_estimator_[0].get_support()
    np.testing.assert_array_equal(peers.kept_features(ours, 30), support)
    assert ours.model_.C == search.best_params_["svc__C"]
    np.testing.assert_array_equal(ours.predict(X), search.predict(X))


def test_f_test_ranks_constant_features_last(bench):
    X = np.c_[np.ones(6), [1, 2, 1, 5, 6, 5], [1, 2, 3, 2, 1, 3]]
    y = np.array([0, 0, 0, 1, 1, 1])
    (columns,) = bench.peers.by_f_test(X, y, None, [1])
    assert columns.tolist() == [1]
    assert bench.peers.f_scores(X, y)[0] == 0


def test_agreement(bench):
    kept = np.array([True, True, True, False, False, False])
    informative = np.array([True, False, False, True, False, False])
    assert bench.agreement(kept, informative) == (1 / 3, 1 / 2, 2 / 5)
    assert bench.agreement(np.zeros(6, dtype=bool), informative) == (0, 0, 0)


def test_leaders_are_compared_fold_by_fold(bench):
    folds = np.array([0.5, 0.7, 0.9])
    values = {
        "best": folds,
        "always behind": folds - [0.02, 0.03, 0.02],
        "behind by chance": folds - [0.2, -0.1, -0.09],
    }
    assert bench.leaders(values) == ("best", {"behind by chance"})


def test_fits_survive_the_file(bench, tmp_path):
    path = tmp_path / "fits.csv"
    assert bench.read_fits(path) == []
    fits = [make_fit(bench, "mlp", fold, 0.25 * fold) for fold in range(3)]
    for fit in fits:
        bench.append_fit(path, fit)
    assert bench.read_fits(path) == fits
    fits[1] = make_fit(bench, "mlp", 1, 0.75)
    bench.append_fit(path, fits[1])
    assert bench.read_fits(path) == fits


def test_run_repeats_nothing(bench, monkeypatch):
    class Options:
        families, draws, folds, methods = ["digits"], [1], [0, 1], ["l1", "mlp"]

    n_numbers = len(bench.Fit._fields) - 5
    monkeypatch.setattr(bench, "prepare", lambda *args: None)
    monkeypatch.setattr(bench, "measure", lambda *args, **kwargs: (0,) * n_numbers)
    done = [make_fit(bench, "mlp", 0, 0.5), make_fit(bench, "l1", 1, 0.5)]
    new = [fit.key for fit in bench.run(Options, done)]
    assert new == [("digits", 1, 0, "l1"), ("digits", 1, 1, "mlp")]


def test_prepare_scales_by_the_training_data(bench):
    data = bench.prepare(bench.FAMILIES["breast_cancer"], 1, 2)
    np.testing.assert_allclose(data.X.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(data.X.std(axis=0), 1)
    assert abs(data.X_test.mean(axis=0)).max() > 0.1
    assert data.X_test.shape[1] == len(data.informative)
    assert data.informative.sum() == 30


def test_methods_with_missing_fits_are_not_marked(bench):
    fits = [make_fit(bench, "l1", fold, 0.8) for fold in range(2)]
    fits += [make_fit(bench, "f-svc", fold, 0.7) for fold in range(2)]
    fits.append(make_fit(bench, "mlp", 0, 1.0))
    groups = bench.fits_by_method(fits, "digits", [1])
    titles, *rows = bench.table(groups)
    accuracy = {row[0]: row[titles.index("accuracy")] for row in rows}
    assert accuracy == {
        "L1 logistic regression": "**0.800 ± 0.000**",
        "F test + SVC": "0.700 ± 0.000",
        "MLP on all features (1 of 2 fits)": "1.000",
    }
