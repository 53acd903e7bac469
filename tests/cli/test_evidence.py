"""Evidence, verdicts, and the intervals of scores."""

import contextlib
import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import spearmanr
from sklearn.metrics import balanced_accuracy_score, r2_score, roc_auc_score

from skproj.cli import _evidence, _verdict
from skproj.cli._arguments import make_parser
from skproj.cli._errors import CommandError
from skproj.cli._evidence import (
    Association,
    RankEvidence,
    association_test,
    combine,
    means_of_groups,
    rank_evidence,
)
from skproj.cli._problem import Problem
from skproj.cli._result import Predictions, rounded
from skproj.cli._scores import score_predictions
from skproj.cli._selection import few_held_out, select
from skproj.cli._verdict import Judge

EVENTS = np.zeros(34, dtype=[("event", bool), ("time", float)])
EVENTS["event"][:4] = True


def make_decisions(n_classes, n_rows=40, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n_rows) % n_classes
    decisions = rng.normal(size=(n_rows, n_classes)) + 0.7 * np.eye(n_classes)[y]
    if n_classes == 2:
        decisions[:, 0] = -decisions[:, 1]
    return decisions.round(1), y  # with ties


@pytest.mark.parametrize("n_classes", [2, 3])
def test_area_and_its_variance_over_permutations(n_classes):
    decisions, y = make_decisions(n_classes, n_rows=6)
    classes = np.arange(n_classes)
    evidence = rank_evidence(decisions, y, classes)
    expected = np.mean([roc_auc_score(y == c, decisions[:, c]) for c in classes])
    assert evidence.score == pytest.approx(expected)
    orders = set(itertools.permutations(y))
    scores = [rank_evidence(decisions, np.array(y), classes).score for y in orders]
    assert np.mean(scores) == pytest.approx(0.5)
    assert np.var(scores) == pytest.approx(evidence.variance)


def test_rank_correlation():
    rng = np.random.default_rng(0)
    y, predicted = rng.normal(size=(2, 50))
    evidence = rank_evidence(predicted, y)
    assert evidence.score == pytest.approx(spearmanr(y, predicted).statistic)
    assert evidence.variance == pytest.approx(1.0 / 49.0)


def test_one_class_has_no_evidence():
    assert rank_evidence(np.zeros((3, 2)), np.zeros(3), np.arange(2)) is None
    assert combine([]) is None


def test_rows_of_a_group_count_as_one():
    """Ten patients that are copied ten times are not a hundred patients."""
    decisions, y = make_decisions(2, n_rows=10)
    once = rank_evidence(decisions, y, np.arange(2))
    groups = np.repeat(np.arange(10), 10)
    copied = decisions.repeat(10, axis=0), y.repeat(10), np.arange(2)
    without = rank_evidence(*copied)
    grouped = rank_evidence(*copied, groups)
    assert without.variance < 0.15 * once.variance
    assert grouped.variance > 0.5 * once.variance
    assert grouped.score == pytest.approx(once.score)


def test_folds_are_corrected_for_their_overlap():
    parts = [RankEvidence(0.6, 0.01), RankEvidence(0.8, 0.03)]
    assert combine(parts).score == pytest.approx(0.65)
    assert combine(parts).variance == pytest.approx(0.0075)
    assert combine(parts, n_folds=2).variance == pytest.approx(3 * 0.0075)


@pytest.mark.parametrize("classifies", [True, False])
def test_single_features(classifies):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 30))
    X[:, 4] = 1.0
    y = np.arange(50) % 3 if classifies else rng.normal(size=50)
    assert association_test(X, y, classifies, seed=0).p_value > 0.05
    X[:, 7] += 1.5 * y
    found = association_test(X, y, classifies, seed=0)
    assert found.p_value <= 0.002
    assert (found.feature, found.stands_out) == (7, True)
    assert association_test(sparse.csr_matrix(X), y, classifies, seed=0) == found


def test_many_weak_features_are_associated_together():
    rng = np.random.default_rng(0)
    y = np.arange(80) % 2
    X = rng.normal(size=(80, 40)) + 0.4 * y[:, np.newaxis]
    found = association_test(X, y, True, seed=0)
    assert found.p_value <= 0.005
    assert not found.stands_out


@pytest.mark.parametrize("classifies", [True, False])
def test_association_by_chance_is_as_rare_as_it_says(classifies, monkeypatch):
    """Also of features that are correlated, and of unequal classes."""
    monkeypatch.setattr(_evidence, "N_PERMUTATIONS", 199)
    rng = np.random.default_rng(0)
    p_values = []
    for seed in range(120):
        X = rng.normal(size=(30, 12)) + rng.normal(size=(30, 1))
        y = (np.arange(30) < 8) if classifies else rng.normal(size=30) ** 3
        p_values.append(association_test(X, y, classifies, seed).p_value)
    # Within three standard deviations of a uniform distribution.
    for level in (0.03, 0.2, 0.5):
        expected = 120 * level
        error = 3.0 * np.sqrt(expected * (1.0 - level))
        assert abs(np.count_nonzero(np.array(p_values) <= level) - expected) < error


def test_too_large_tables_are_not_tested(monkeypatch):
    monkeypatch.setattr(_evidence, "MAX_PRODUCTS", 10)
    found = association_test(np.eye(4), np.arange(4) % 2, True, seed=0)
    assert np.isnan(found.p_value)


def test_verdicts(monkeypatch):
    rng = np.random.default_rng(0)
    X, names = rng.normal(size=(40, 3)), ["a", "b", "c"]
    _, y = make_decisions(2)
    for strength, predicts in ((0.0, False), (3.0, True)):
        judge = Judge("classification", "kind", np.arange(2))
        assert not judge.is_certain()
        told = rng.normal(size=40) + strength * y
        judge.add(np.column_stack([-told, told]), y)
        assert judge.is_certain() == predicts
        verdict = judge.verdict(X, y, names, seed=0)
        assert verdict.predicts == predicts
        assert verdict.sentence.startswith("Nothing predicts") != predicts
        assert verdict.difference == pytest.approx(verdict.score - 0.5)
    X[:, 1] += 3.0 * y
    verdict = Judge("classification", "kind", np.arange(2)).verdict(X, y, names, 0)
    assert verdict.predicts
    assert verdict.sentence.startswith("'b' is associated with 'kind' (p = 0.00")
    together = Association(0.012, 1, stands_out=False)
    monkeypatch.setattr(_verdict, "association_test", lambda *_: together)
    verdict = Judge("classification", "kind", np.arange(2)).verdict(X, y, names, 0)
    assert verdict.sentence.startswith(
        "The features together are associated with 'kind' (p = 0.012), though none "
    )


def test_verdict_names_the_rows_of_its_score():
    """The table has the score on the rows held out alone."""
    classes, y = np.arange(2), np.arange(40) % 2
    weak = y + np.random.default_rng(0).normal(scale=2.5, size=40)
    parts = {"held out": (y, -weak), "fold": (y[:20], weak[:20])}
    areas = {name: roc_auc_score(*part) for name, part in parts.items()}
    X = np.random.default_rng(1).normal(size=(40, 1))
    sentences = []
    for names in (["held out"], ["fold"], ["held out", "fold"]):
        judge = Judge("classification", "kind", classes)
        for name in names:
            rows, told = parts[name]
            told = np.column_stack([-told, told])
            judge.add(told, rows, of_fold=name == "fold")
        verdict = judge.verdict(X, y, ["x"], 0)
        assert f"AUC {verdict.score:.2f}, chance gives 0.50 +- " in verdict.sentence
        sentences.append((verdict.score, verdict.sentence))
    (held_out, first), (fold, second), (together, third) = sentences
    assert held_out == pytest.approx(areas["held out"])
    assert ", on the 40 rows held out." in first
    assert fold == pytest.approx(areas["fold"])
    assert ", in the folds." in second
    assert min(areas.values()) < together < max(areas.values())
    alone = f"on the 40 rows held out (alone {areas['held out']:.2f}) and in the folds."
    assert alone in third


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.9996, 3, "0.9996"),
        (1.0, 3, "1.000"),
        (1.0 - 1e-12, 3, "1.000"),
        (0.99951, 3, "0.9995"),
        (-0.997, 2, "-0.997"),
        (1.0004, 3, "1.0004"),
        (0.0, 2, "0.00"),
        (-1e-17, 2, "0.00"),
        (0.0004, 3, "0.0004"),
        (1.3e-5, 3, "1.3e-05"),
        (0.4567, 3, "0.457"),
        (np.nan, 3, "nan"),
        (1234.5678, 3, "1234.568"),
    ],
)
def test_numbers_are_not_rounded_to_perfect_ones(value, digits, text):
    assert rounded(value, digits) == text


@pytest.mark.parametrize(
    ("task", "target", "sentence"),
    [
        ("classification", np.repeat(["no", "yes"], [30, 7]), "Only 7 rows of 'yes' "),
        ("classification", np.repeat(["no", "yes"], [10, 10]), None),
        (
            "classification",
            np.repeat(["a", "b", "c"], [9, 8, 20]),
            "Only 8 rows of 'b' ",
        ),
        ("regression", np.arange(6.0), "Only 6 rows were held out: "),
        ("regression", np.arange(0.0), None),
        ("survival", EVENTS, "Only 4 events were held out: "),
    ],
)
def test_few_rows_held_out_are_said(task, target, sentence):
    classifies = task == "classification"
    problem = SimpleNamespace(
        task=task, classifies=classifies, classes=np.unique(target)
    )
    found = few_held_out(problem, target)
    assert len(found) == (sentence is not None)
    if found:
        assert sentence in found[0]
        assert "intervals" in found[0]


def test_scores_of_classes_and_their_intervals():
    decisions, y = make_decisions(3, n_rows=60)
    classes, predicted = np.arange(3), decisions.argmax(axis=1)
    balanced, area, accuracy = score_predictions(
        Predictions(y, predicted, decisions=decisions), classes
    )
    assert balanced.value == pytest.approx(balanced_accuracy_score(y, predicted))
    assert area.name == "AUC"
    assert accuracy.value == pytest.approx((y == predicted).mean())
    for score in (balanced, area, accuracy):
        assert 0.0 <= score.low < score.value < score.high <= 1.0
    perfect = np.eye(3)[y]
    for score in score_predictions(Predictions(y, y, decisions=perfect), classes):
        assert score.low < score.value == score.high == 1.0
    constant = Predictions(y, np.zeros_like(y), decisions=np.zeros((60, 3)))
    balanced, area, _ = score_predictions(constant, classes)
    assert (balanced.low, balanced.value) == pytest.approx((1 / 3, 1 / 3))
    assert (area.low, area.value, area.high) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_intervals_hold_the_true_score(task):
    """In about 95 % of the draws; the areas are averaged, which is conservative."""
    rng = np.random.default_rng(0)
    classes = np.arange(2) if task == "classification" else None
    n_rows, n_draws = 60, 400

    def draw(n):
        if task == "regression":
            y = rng.normal(size=n)
            return Predictions(y, y + rng.normal(scale=0.7, size=n))
        y = np.arange(n) % 2
        told = rng.normal(size=n) + y
        decisions = np.column_stack([-told, told])
        return Predictions(y, (told > 0.5).astype(int), decisions=decisions)

    true = score_predictions(draw(200_000), classes)
    hits = np.zeros(len(true))
    for _ in range(n_draws):
        found = score_predictions(draw(n_rows), classes)
        hits += [s.low <= t.value <= s.high for s, t in zip(found, true, strict=True)]
    assert np.all(hits / n_draws > 0.91)
    assert np.all(hits / n_draws < 0.985)


def test_scores_of_numbers():
    rng = np.random.default_rng(0)
    y = rng.normal(size=30)
    predicted = y + rng.normal(size=30)
    r2, mae, correlation = score_predictions(Predictions(y, predicted), None)
    assert r2.value == pytest.approx(r2_score(y, predicted))
    assert mae.value == pytest.approx(np.abs(y - predicted).mean())
    assert correlation.value == pytest.approx(spearmanr(y, predicted).statistic)


def count_predictions(n_draws, shift, n_features):
    """Return how many verdicts on 100 rows with one shifted feature are positive."""
    n_positive = 0
    for seed in range(n_draws):
        rng = np.random.default_rng(seed)
        y = rng.permutation(np.arange(100) % 2)
        X = rng.normal(size=(100, n_features))
        X[:, 0] += shift * y
        command = f"select none.csv --target kind --seed {seed}"
        problem = Problem(
            X=X.astype(np.float32),
            y=y,
            names=[f"x{j}" for j in range(n_features)],
            task="classification",
            method="selector",
            options=make_parser().parse_args(command.split()),
        )
        with contextlib.suppress(CommandError):  # nothing is selected
            n_positive += select(problem).verdict.predicts
    return n_positive


@pytest.mark.slow
def test_random_labels_are_not_predicted():
    assert count_predictions(25, shift=0.0, n_features=10) <= 2


@pytest.mark.slow
def test_signals_are_found():
    """A feature whose area under the curve is 0.75 in the population."""
    assert count_predictions(25, shift=0.954, n_features=10) >= 23


def test_equal_decisions_are_no_evidence():
    y, classes = np.array(["a", "b"] * 10), np.array(["a", "b"])
    judge = Judge("classification", "y", classes)
    judge.add(np.zeros((20, 2)), y)
    judge.add(np.ones((20, 2)), y, of_fold=True)
    verdict = judge.verdict(np.ones((20, 1)), y, ["x"], 0)
    assert not verdict.predicts
    assert "chance: AUC unknown" in verdict.sentence


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("classifies", [True, False])
def test_means_of_groups(make, classifies):
    rng = np.random.default_rng(0)
    groups = rng.permutation(np.repeat([7, 3, 5], [2, 4, 1]))
    X, y = rng.normal(size=(7, 3)), groups * (1 if classifies else 0.5)
    means, targets = means_of_groups(make(X), y, groups)
    expected = [X[groups == group].mean(axis=0) for group in (3, 5, 7)]
    means = means.toarray() if sparse.issparse(means) else means
    np.testing.assert_allclose(means, expected)
    np.testing.assert_array_equal(targets, np.array([3, 5, 7]) * y[0] / groups[0])
    y[np.flatnonzero(groups == 3)[0]] = 5
    assert means_of_groups(make(X), y, groups) is None


def judge_groups(y, groups, X):
    """Return the verdict without predictions."""
    judge = Judge("classification", "kind", np.unique(y))
    return judge.verdict(X, y, ["a", "b"], 0, groups)


def test_association_is_that_of_groups():
    """Ten patients that are copied ten times are not a hundred patients."""
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(10), 10)
    X, y = rng.normal(size=(10, 2)), np.arange(10) % 2
    X[:, 0] += y
    copied = X[groups], y[groups]
    assert association_test(*copied, True, 0).p_value <= 0.005
    alone = association_test(X, y, True, 0)
    assert alone.p_value > 0.05
    assert association_test(*means_of_groups(*copied, groups), True, 0) == alone
    assert not judge_groups(copied[1], groups, copied[0]).predicts
    X[:, 0] += 4 * y
    assert judge_groups(copied[1], groups, X[groups]).predicts


def test_association_that_was_not_tested_is_named(monkeypatch):
    rng = np.random.default_rng(0)
    X, y, groups = rng.normal(size=(40, 2)), np.arange(40) % 2, np.arange(40) // 4
    clause = "not tested, because it varies within the groups."
    assert judge_groups(y, groups, X).sentence.endswith(clause)
    assert "not tested" not in judge_groups(y, None, X).sentence
    monkeypatch.setattr(_evidence, "MAX_PRODUCTS", 10)
    assert "the table is too large." in judge_groups(y, None, X).sentence


@pytest.mark.parametrize("n_groups", [4, 60])
def test_too_few_groups_to_tell(n_groups):
    """Then the verdict says so, besides that nothing was found."""
    rng = np.random.default_rng(0)
    groups = np.arange(120) % n_groups
    classes = np.array(["a", "b"])
    y = classes[groups % 2]
    decisions = rng.normal(size=n_groups)[groups]
    judge = Judge("classification", "y", classes)
    judge.add(np.column_stack([-decisions, decisions]), y, groups)
    verdict = judge.verdict(np.ones((120, 1)), y, ["x"], 0, groups)
    assert not verdict.predicts
    assert ("no score can be told" in verdict.sentence) == (n_groups == 4)
