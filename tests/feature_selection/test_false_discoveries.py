"""StabilitySelector with fdr: rate, q-values, input and attributes."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import Lasso

from skproj._kernels._lasso_halves import count_selections
from skproj.datasets import make_survival
from skproj.feature_selection import StabilitySelector
from skproj.feature_selection._false_discoveries import (
    MAX_ENTRIES,
    n_draws,
    q_values,
)
from skproj.inspection import SupportDisplay


def make_blocks(seed, n_samples=120, n_features=60, n_informative=15):
    """Return pairs of correlated columns, and the sum of one of each of some pairs."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_samples, n_features))
    X[:, 1::2] = 0.8 * X[:, ::2] + 0.6 * X[:, 1::2]
    truth = np.arange(n_features) < 2 * n_informative
    truth[1::2] = False
    y = X[:, truth].sum(axis=1) + rng.standard_normal(n_samples)
    return X, y, truth


@pytest.mark.parametrize("weighted", [False, True])
def test_paths_are_those_of_a_lasso(weighted):
    """Another solver selects the same columns of halves, from the same penalties."""
    rng = np.random.default_rng(0)
    X, y, _ = make_blocks(0)
    weights = rng.integers(1, 4, 120) if weighted else np.ones(120, dtype=int)
    halves = rng.permutation(120).reshape(2, 60)
    penalties = np.array([0.5, 0.3, 0.2, 0.1, 0.07])
    counts = count_selections(
        np.asfortranarray(X),
        np.asfortranarray(y[:, np.newaxis]),
        weights.astype(float),
        halves,
        penalties,
        60,
    )
    expected = np.zeros((5, 60))
    for rows in halves:
        repeated = np.repeat(rows, weights[rows])
        Z, r = X[repeated] - X[repeated].mean(axis=0), y[repeated] - y[repeated].mean()
        Z, r = Z / np.linalg.norm(Z, axis=0), r / np.linalg.norm(r)
        for k, penalty in enumerate(penalties):
            model = Lasso(penalty / len(r), fit_intercept=False, tol=1e-8)
            expected[k] += model.fit(Z, r).coef_ != 0.0
    # Near the penalty where a column enters, rounding decides.
    assert np.mean(counts != expected) < 0.02
    assert 30 < counts[-1].sum() < 80


def test_paths_of_several_targets_end_where_they_should():
    """A column has one penalty for all targets; a constant one is never selected."""
    X, y, _ = make_blocks(0)
    X[:, 1] = 3.0
    targets = np.asfortranarray(np.column_stack([y, y**2, np.zeros(120)]))
    halves = np.arange(120).reshape(2, 60)
    penalties = np.geomspace(1.0, 0.01, 20)
    arguments = np.asfortranarray(X), targets, np.ones(120), halves, penalties
    counts = count_selections(*arguments, 60)
    assert_array_equal(counts[0], np.zeros(60))
    assert counts[-1].max() == 2
    assert_array_equal(counts[:, 1], np.zeros(20))
    # The first column enters where the norm of its gradient is the penalty.
    Z = targets[:60] - targets[:60].mean(axis=0)
    columns = np.delete(X[:60], 1, axis=1)
    centred = columns - columns.mean(axis=0)
    gradient = (centred / np.linalg.norm(centred, axis=0)).T @ Z / np.linalg.norm(Z)
    largest = np.linalg.norm(gradient, axis=1).max()
    alone = count_selections(
        *arguments[:3], halves[:1], largest * np.array([1.01, 0.99]), 60
    )
    assert_array_equal(alone.sum(axis=1), [0, 1])
    # From the first penalty with too many columns on nothing changes.
    ended = count_selections(*arguments[:3], halves[:1], penalties, 5)
    size = ended.sum(axis=1)
    last = np.flatnonzero(size > 5)[0]
    assert_array_equal(ended[last:], np.tile(ended[last], (20 - last, 1)))


def test_q_values_of_an_example():
    """Four draws: a decoy of one draw scores 4, with a mean of 1, and one 1.5."""
    scores = np.array([5.0, 0.0, 3.0, 0.5, 2.0])
    decoys = np.zeros((4, 5))
    decoys[0, 1], decoys[1, 2] = 4.0, 1.5
    # From 2 on, three are kept and no mean is as large. From .5 on, two decoys of all
    # draws are less than a mean: (.5 + .25) / 4.
    least = 0.25 / 3.0
    assert_allclose(q_values(scores, decoys), [least, np.inf, least, 0.1875, least])


@pytest.mark.parametrize("seed", range(3))
def test_q_values_follow_the_definition(seed):
    """They fall with the score, are equal for ties, and finite for positive scores."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 9, 40).astype(float)
    decoys = rng.integers(0, 7, (8, 40)).astype(float)
    rates = q_values(scores, decoys)
    order = np.argsort(scores)
    with np.errstate(invalid="ignore"):  # infinity less infinity
        assert not np.any(np.diff(rates[order]) > 0.0)
    assert_array_equal(np.isinf(rates), scores == 0.0)
    means = np.array([decoys[:4].mean(axis=0), decoys[4:].mean(axis=0)])
    for fdr in (0.2, 0.5, 1.0, 3.0):
        passing = []
        for t in scores[scores > 0.0]:
            n_decoys = min((decoys >= t).sum() / 8, (means >= t).sum() / 2)
            if (n_decoys + 0.25) / (scores >= t).sum() <= fdr:
                passing.append(t)
        kept = scores >= min(passing, default=np.inf)
        assert_array_equal(rates <= fdr, kept)


def test_number_of_draws_falls_with_the_size_of_the_table():
    """It is a multiple of four, of which means are taken."""
    found = [n_draws((MAX_ENTRIES // n, 1)) for n in (1, 8, 9, 12, 15, 16, 17, 10**5)]
    assert found == [8, 8, 8, 12, 12, 16, 16, 16]
    assert [n_draws(shape) for shape in ((300, 100), (500, 5000))] == [16, 8]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:No feature is selected")
def test_rate_is_kept_where_features_are_correlated():
    """Half of the columns are neighbours of informative ones, and most of these found.

    Decoys that are permuted columns, without correlations, have a share above .3.
    """
    shares, power = [], []
    for seed in range(25):
        X, y, truth = make_blocks(seed)
        selector = StabilitySelector(fdr=0.2, random_state=seed).fit(X, y)
        support = selector.get_support()
        shares.append((support & ~truth).sum() / max(1, support.sum()))
        power.append(support[truth].mean())
    assert np.mean(shares) <= 0.2 + 2.0 * np.std(shares) / np.sqrt(25)
    assert np.mean(power) > 0.7


@pytest.mark.filterwarnings("ignore:No feature is selected")
def test_nothing_is_found_in_noise():
    rng = np.random.default_rng(0)
    n_found = 0
    for seed in range(10):
        X, y = rng.standard_normal((80, 40)), rng.standard_normal(80)
        selector = StabilitySelector(fdr=0.1, random_state=seed).fit(X, y)
        n_found += selector.get_support().any()
    assert n_found <= 1


def test_attributes_agree():
    X, y, truth = make_blocks(0, n_samples=200)
    selector = StabilitySelector(fdr=0.2, random_state=0).fit(X, y)
    support = selector.get_support()
    assert support[truth].mean() > 0.9
    assert_array_equal(support, selector.q_values_ <= 0.2)
    assert selector.threshold_ == selector.scores_[support].min()
    assert_array_equal(selector.feature_importances_, selector.scores_)
    assert selector.decoy_scores_.shape[1] == 60
    n_false = selector.q_values_[support].max() * support.sum()
    assert_allclose(selector.expected_false_selections_, n_false)
    display = SupportDisplay.from_estimator(selector)
    assert display.threshold is None
    assert_array_equal(display.importances, selector.scores_)
    assert not hasattr(selector, "supports_")
    selector.check_state()
    selector.set_params(fdr=None, n_pairs=2).fit(X, y)
    assert not hasattr(selector, "q_values_")
    assert selector.supports_.shape == (4, 60)


def test_targets_of_all_kinds():
    """Classes, several targets and survival times are selected for as well."""
    X, y, truth = make_blocks(0, n_samples=300, n_features=40, n_informative=8)
    data = make_survival(200, 30, n_informative=8, censoring=0.2, random_state=0)
    cases = (
        (X, np.where(y > 0.0, "high", "low"), truth),
        (X, np.digitize(y, [-2.0, 2.0]), truth),
        (X, np.column_stack([y, -2.0 * y]), truth),
        (data.data, data.target, data.support),
    )
    selector = StabilitySelector(fdr=0.1, random_state=0)
    for table, target, informative in cases:
        support = selector.fit(table, target).get_support()
        assert support[informative].mean() > 0.7
        assert support[~informative].mean() < 0.2


def test_ties_and_constant_columns():
    """Copies of a column share its fate; constant columns are never selected."""
    X, y, _ = make_blocks(0, n_samples=200)
    X[:, 50] = 1.0
    X[:, 51] = 0.0
    X[:, 52:56] = np.round(X[:, 52:56])
    X[:, 59] = X[:, 58]
    selector = StabilitySelector(fdr=0.2, random_state=0).fit(X, y)
    assert np.isinf(selector.q_values_[[50, 51]]).all()
    assert np.isfinite(selector.decoy_scores_).all()
    assert selector.get_support()[:30:2].mean() > 0.9
    constant = np.ones((200, 3))
    with pytest.warns(UserWarning, match="No feature is selected"):
        assert not selector.fit(constant, y).get_support().any()
    with pytest.warns(UserWarning, match="No feature is selected"):
        assert not selector.fit(X, np.ones(200)).get_support().any()


def test_weights_count_samples():
    """Samples without weight are left out, and others may count more."""
    X, y, _ = make_blocks(0)
    selector = StabilitySelector(fdr=0.3, random_state=0)
    scores = selector.fit(X, y).scores_
    more = np.concatenate([X, np.full((5, 60), 100.0)])
    target, weights = np.append(y, np.full(5, 1e3)), np.repeat([2.0, 0.0], [120, 5])
    assert_allclose(selector.fit(more, target, sample_weight=weights).scores_, scores)
    weights = np.random.default_rng(0).uniform(0.5, 2.0, 120)
    weighted = selector.fit(X, y, sample_weight=weights).scores_
    assert not np.allclose(weighted, scores)


def test_same_seed_gives_the_same_result():
    """Also in several processes, and for frames; another seed nearly the same."""
    X, y, _ = make_blocks(0, n_features=40)
    selector = StabilitySelector(fdr=0.2, random_state=0)
    rates = selector.fit(X, y).q_values_
    frame = pd.DataFrame(X, columns=[f"gene {i}" for i in range(40)])
    parallel = clone(selector).set_params(n_jobs=2).fit(frame, y)
    assert_array_equal(parallel.q_values_, rates)
    assert parallel.get_feature_names_out()[0] == "gene 0"
    other = clone(selector).set_params(random_state=1).fit(X, y)
    assert not np.array_equal(other.q_values_, rates)
    either = selector.get_support() | other.get_support()
    both = selector.get_support() & other.get_support()
    assert both.sum() >= 0.8 * either.sum()


def test_an_empty_selection_is_explained():
    X, y, _ = make_blocks(0, n_informative=3)
    y = np.random.default_rng(0).permutation(y)
    selector = StabilitySelector(fdr=0.01, random_state=0)
    with pytest.warns(UserWarning, match="needs at least 25 features") as log:
        selector.fit(X, y)
    assert log[0].filename == __file__
    assert selector.threshold_ == np.inf
    assert selector.expected_false_selections_ == 0.0
    assert not selector.get_support().any()


@pytest.mark.parametrize(
    ("options", "data", "message"),
    [
        ({"threshold": 0.8}, {}, "threshold and fdr cannot be combined, got threshold"),
        ({"max_false_selections": 1}, {}, "max_false_selections and fdr cannot be"),
        ({"estimator": SelectKBest()}, {}, "fdr and estimator cannot be combined"),
        (
            {"param_name": "eta", "param_values": [1.0]},
            {},
            "fdr and param_name cannot be combined",
        ),
        ({"fdr": 1.0}, {}, "The 'fdr' parameter .* must be a float in the range"),
        ({}, {"groups": np.arange(30) // 3}, "fdr needs independent samples"),
        ({}, {"X": sparse.eye_array(30, format="csr")}, "[Ss]parse"),
        ({}, {"X": np.full((30, 3), np.nan)}, "X contains NaN"),
        ({}, {"y": None}, "fdr requires y to be passed"),
        ({}, {"offset": np.zeros(30)}, "fdr takes no offset"),
    ],
)
def test_unsuitable_options_are_refused(options, data, message):
    """One sentence says why, and nothing is changed."""
    selector = StabilitySelector(**{"fdr": 0.2} | options)
    X = np.random.default_rng(0).standard_normal((30, 3))
    with pytest.raises((ValueError, TypeError), match=message):
        selector.fit(**{"X": X, "y": np.arange(30.0)} | data)
    assert not hasattr(selector, "n_features_in_")


def test_states_of_the_first_version_have_no_rate():
    selector = StabilitySelector(n_pairs=3)
    state = selector.__getstate__()
    del state["fdr"]
    state["_skproj_state_version"] = 1
    old = StabilitySelector()
    old.__setstate__(state)
    old.check_state()
    assert old.fdr is None
    assert old.n_pairs == 3
