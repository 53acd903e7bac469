"""What the benchmark on real tables computes, and its linear peers."""

import sys

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression


@pytest.fixture
def bench(import_benchmark):
    return import_benchmark("real_tables")


@pytest.fixture
def summary(bench):
    return sys.modules["_real_tables_summary"]


def make_fit(bench, **fields):
    numbers = {name: kind() for name, kind in bench.TableFit.__annotations__.items()}
    return bench.TableFit(**numbers | {"n_samples": 100, "n_features": 4} | fields)


def make_data(n_samples, n_features):
    return make_classification(
        n_samples, n_features, n_informative=6, n_classes=3, random_state=0
    )


@pytest.mark.parametrize("shape", [(40, 90), (90, 20)])
def test_lda_is_that_of_scikit_learn(bench, shape):
    X, y = make_data(*shape)
    X[:, 7] = y == 0  # constant in each class
    model = bench.peers.ShrinkageLDA().fit(X, y)
    expected = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(X, y)
    np.testing.assert_allclose(
        model.predict_proba(X), expected.predict_proba(X), atol=1e-8
    )


def test_ridge_on_wide_data_is_exact(bench):
    X, y = make_data(40, 90)
    model = bench.peers.RidgeLogistic(seed=0).fit(X, y)
    expected = LogisticRegression(C=model.model_.C_, tol=1e-8, max_iter=9999).fit(X, y)
    np.testing.assert_allclose(
        model.predict_proba(X), expected.predict_proba(X), atol=1e-2
    )


def test_elastic_net_finds_the_feature(bench):
    pytest.importorskip("skglm")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 20))
    y = np.digitize(X[:, 3], [-0.5, 0.5])
    model = bench.peers.ElasticNetPath(seed=0, l1_ratios=(1.0,)).fit(X, y)
    assert model.get_support()[3]
    assert model.get_support().sum() < 20
    assert model.score(X, y) > 0.6
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)


def test_shrunken_centroids_select(bench):
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    X = rng.normal(size=(60, 30))
    X[:, 5] += 4 * y
    model = bench.peers.ShrunkenCentroids(seed=0).fit(X, y)
    assert np.flatnonzero(model.get_support()).tolist() == [5]


def test_folds_keep_groups_together(bench):
    groups = np.repeat(np.arange(12), 3)
    y = groups % 2
    X = np.zeros((36, 1))
    table = bench.Table(X, y, groups)
    inner = bench.peers.inner_folds(0, groups).split(X, y)
    for train, test in [*bench.outer_folds(table, 0), *inner]:
        assert not set(groups[train]) & set(groups[test])


def test_support_is_of_the_columns_of_the_table(bench):
    X, y = make_data(60, 10)
    X = np.insert(X, 0, 1.0, axis=1)
    train, test = bench.outer_folds(bench.Table(X, y), 0)[0]
    fit = bench.measure(bench.Table(X, y), train, test, "lda", 0, 0)
    assert fit[5:7] == (10, "all")
    fit = bench.measure(bench.Table(X, y), train, test, "f-svc", 0, 0)
    assert fit[5] == len(fit[6].split()) or fit[6] == "all"
    assert "0" not in fit[6].split()
    assert np.isnan(fit[4])


def test_stability(bench, summary):
    supports = ["0 1", "1 2", "0 1"]
    fits = [make_fit(bench, fold=i, support=s) for i, s in enumerate(supports)]
    assert summary.stability(fits) == pytest.approx((1 / 3 + 1 / 3 + 1) / 3)
    assert summary.jaccard(fits[0], make_fit(bench, support="all")) == 1 / 2
    assert summary.jaccard(make_fit(bench), make_fit(bench)) == 1


def test_differences_are_taken_fold_by_fold(bench, summary):
    ours = [make_fit(bench, fold=i, accuracy=a) for i, a in enumerate([0.5, 0.7])]
    theirs = [make_fit(bench, fold=i, accuracy=a) for i, a in enumerate([0.6, 0.9, 1])]
    mean, error = summary.difference(ours, theirs)
    assert mean == pytest.approx(-0.15)
    assert error == pytest.approx(0.05)
    assert summary.difference(ours, ours) == (0, 1 / 100)
    assert summary.difference(ours, []) is None


def test_ties_share_their_rank(bench, summary):
    accuracy = {"a": [0.9, 0.8], "b": [0.9, 0.7], "c": [0.5, 0.9]}
    fits = [
        make_fit(bench, table=table, method=name, accuracy=values[i])
        for name, values in accuracy.items()
        for i, table in enumerate(["x", "y"])
    ]
    ranks, n_tables = summary.mean_ranks(summary.group_fits(fits))
    assert n_tables == 2
    assert ranks == {"a": 1.75, "b": 2.25, "c": 2.0}


def test_cliques(bench):
    plot = sys.modules["_real_tables_plot"]
    assert plot.cliques(np.array([1.0, 1.5, 2.2, 4.0]), 1.0) == [(0, 1), (1, 2)]
    # Demsar (2006), section 3.2.2: four classifiers on 14 data sets.
    assert plot.critical_difference(4, 14) == pytest.approx(1.25, abs=0.01)


def test_run_is_resumed_and_summed_up(bench, tmp_path, monkeypatch, capsys):
    X, y = make_data(60, 10)
    np.savez(tmp_path / "small.npz", X=X, y=y.astype(str))
    arguments = ["--data", tmp_path, "--methods", "lda,f-svc", "--reference", "lda"]
    for name in ("out.csv", "x.rst", "x.png"):
        option = {"csv": "--out", "rst": "--write-rst", "png": "--write-plot"}
        arguments += [option[name[-3:]], tmp_path / name]
    monkeypatch.setattr(sys, "argv", ["real_tables.py", *map(str, arguments)])
    bench.main()
    assert capsys.readouterr().out.count("repeat 0 fold") == 8
    bench.main()
    assert "repeat 0 fold" not in capsys.readouterr().out
    assert "LDA with shrinkage" in (tmp_path / "x.rst").read_text()
    assert (tmp_path / "x.png").stat().st_size > 0
