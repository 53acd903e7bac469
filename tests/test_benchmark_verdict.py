"""What the benchmark of the verdict compares it with."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score


@pytest.fixture
def bench(import_benchmark):
    return import_benchmark("verdict")


def test_likelihood_ratio_sums_over_all_sets_of_columns(bench):
    scores = np.random.default_rng(0).normal(size=(5, 3))
    ratios = np.cosh(1.5 * scores)
    for n_shifted in (1, 2, 5):
        sets = itertools.combinations(range(5), n_shifted)
        expected = np.log(sum(ratios[list(rows)].prod(axis=0) for rows in sets))
        found = bench.log_likelihood_ratio(scores, n_shifted, 1.5)
        np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("signal", ["one column", "ten columns"])
def test_signals_have_the_same_strength(bench, signal, monkeypatch):
    monkeypatch.setattr(bench, "N_ROWS", 40_000)
    n_shifted = bench.SIGNALS[signal]
    X, y, _ = bench.draw("10 columns", n_shifted, 0)
    told = X[:, :n_shifted].sum(axis=1)
    assert roc_auc_score(y, told) == pytest.approx(0.75, abs=0.01)
    correlation = np.corrcoef(y, told)[0, 1]
    X, y, _ = bench.draw("200 columns, numbers", n_shifted, 0)
    told = X[:, :n_shifted].sum(axis=1)
    assert np.corrcoef(y, told)[0, 1] == pytest.approx(correlation, abs=0.015)
    _, y, _ = bench.draw("200 columns, rare", n_shifted, 0)
    assert y.mean() == 0.2


def test_tests_that_know_more_keep_their_level(bench):
    """Of 100 tables without a signal, 5 are expected."""
    found = np.zeros(2)
    for seed in range(100):
        X, y, _ = bench.draw("10 columns", 0, seed)
        shift = bench.SHIFT / np.sqrt(10.0)
        found += [
            bench.best_test(X, y, 10, shift, seed),
            bench.true_model(X, y, 10, False),
        ]
    assert np.all(found <= 11)
    assert np.all(found > 0)


def test_rates_have_their_errors(bench):
    row = ("10 columns", "one column")
    records = [bench.Draw(*row, i, int(i > 0), 1, 1, "") for i in range(4)]
    assert bench.tabulate(records)[1] == [*row, "4", "25 ± 21.7 %", "0 %", "0 %"]
    records += [bench.Draw(row[0], "nothing", i, int(i > 2), 0, 0, "") for i in (1, 3)]
    assert bench.describe_false_alarms(records).startswith("Of 2 tables without a sig")
    assert "signal, 1 were" in bench.describe_false_alarms(records)
