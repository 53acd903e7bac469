"""StabilitySelector with decoys: false discovery rate, input and attributes."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from selector_helpers import FixedSelector
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.feature_selection import (
    SelectFromModel,
    SelectKBest,
    VarianceThreshold,
    f_regression,
)
from sklearn.pipeline import make_pipeline

from skproj.datasets import make_survival
from skproj.feature_selection import (
    ProjectionFeatureSelector,
    StabilitySelector,
    _decoys,
)
from skproj.feature_selection._half_selections import scores_by
from skproj.inspection import SupportDisplay

UNIVARIATE = SelectKBest(f_regression, k=20)


def make_blocks(seed, n_samples=120, n_features=60, n_informative=15):
    """Return pairs of correlated columns, and the sum of one of each of some pairs."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_samples, n_features))
    X[:, 1::2] = 0.8 * X[:, ::2] + 0.6 * X[:, 1::2]
    truth = np.arange(n_features) < 2 * n_informative
    truth[1::2] = False
    y = X[:, truth].sum(axis=1) + rng.standard_normal(n_samples)
    return X, y, truth


def false_shares(decoys, make, n_draws=30):
    """Return the share of false features in each draw at the rate 0.2."""
    shares = []
    for seed in range(n_draws):
        X, y, truth = make(seed)
        selector = StabilitySelector(
            UNIVARIATE, fdr=0.2, decoys=decoys, n_pairs=2, random_state=seed
        )
        support = selector.fit(X, y).get_support()
        shares.append((support & ~truth).sum() / max(1, support.sum()))
    return np.array(shares)


@pytest.mark.filterwarnings("ignore:No feature is selected")
def test_knockoffs_control_the_rate_where_permutations_do_not():
    """Neighbours of informative columns look informative to a test of each column."""
    knockoff, permuted = (
        false_shares(x, make_blocks) for x in ("knockoff", "permuted")
    )
    error = knockoff.std() / np.sqrt(len(knockoff))
    assert knockoff.mean() <= 0.2 + 2.0 * error
    assert permuted.mean() > 0.3


@pytest.mark.filterwarnings("ignore:No feature is selected")
def test_permutations_control_the_rate_of_independent_columns():
    def make(seed):
        X, _, truth = make_blocks(seed)
        rng = np.random.default_rng(seed)
        X = rng.exponential(size=X.shape)
        return X, X[:, truth].sum(axis=1) + rng.standard_normal(len(X)), truth

    shares = false_shares("permuted", make)
    assert shares.mean() <= 0.2 + 2.0 * shares.std() / np.sqrt(len(shares))


def test_informative_features_are_kept():
    """The attributes say what the margins and the filter say."""
    X, y, truth = make_blocks(0, n_samples=200)
    selector = StabilitySelector(fdr=0.2, n_pairs=3, random_state=0).fit(X, y)
    support = selector.get_support()
    assert support[truth].all()
    assert (support & ~truth).sum() <= 8
    assert_array_equal(support, selector.smallest_fdr_ <= 0.2)
    assert_array_equal(support, selector.decoy_margins_ >= selector.fdr_threshold_)
    assert selector.fdr_threshold_ == selector.decoy_margins_[support].min()
    assert selector.decoy_probabilities_.shape == (60,)
    assert selector.supports_.shape == (6, 60)
    # Half as many columns as features are selected, from features and decoys.
    n_selected = selector.mean_n_features_ + selector.decoy_probabilities_.sum()
    assert_allclose(n_selected, 30.0)
    assert not hasattr(selector, "threshold_")
    assert not hasattr(selector, "expected_false_selections_")
    selector.check_state()
    selector.set_params(fdr=None).fit(X, y)
    assert not hasattr(selector, "decoy_margins_")


@pytest.mark.filterwarnings("ignore:No feature is selected")
def test_default_fits_few_samples():
    """A half that selects as many features as it has samples tells little."""
    X, y, _ = make_blocks(0, n_samples=40)
    selector = StabilitySelector(fdr=0.9, n_pairs=1, random_state=0).fit(X, y)
    n_selected = selector.mean_n_features_ + selector.decoy_probabilities_.sum()
    assert_allclose(n_selected, 10.0)


@pytest.mark.parametrize("scored", [True, False])
def test_exchange_of_feature_and_decoy_changes_the_sign(scored, monkeypatch):
    """That, for features without influence, makes the filter valid."""
    X, y, _ = make_blocks(1)
    decoys = np.random.default_rng(0).standard_normal(X.shape)
    both = np.stack([X, decoys])
    swapped = np.arange(60) % 3 == 0
    margins = []
    for exchange in (np.zeros(60, dtype=bool), swapped):
        features, others = (
            both[np.where(exchange, 1 - i, i), :, np.arange(60)].T for i in (0, 1)
        )
        monkeypatch.setattr(_decoys, "gaussian_decoys", lambda *_, other=others: other)
        estimator = UNIVARIATE if scored else make_pipeline(UNIVARIATE)
        selector = StabilitySelector(estimator, fdr=0.5, n_pairs=3, random_state=0)
        margins.append(selector.fit(features, y).decoy_margins_)
    assert_allclose(margins[1], np.where(swapped, -margins[0], margins[0]))
    # Without scores they are shares of the six halves.
    is_share = np.abs(6.0 * margins[0] - np.round(6.0 * margins[0])).max() < 1e-9
    assert is_share != scored


@pytest.mark.parametrize("scores", [[2.0, np.inf, np.nan], [-1.0, 3.0, 5.0]], ids=str)
def test_scores_of_what_is_not_selected_do_not_count(scores):
    """Neither do negative ones; those that are infinite remain finite in sums."""
    estimator = FixedSelector()
    assert_array_equal(scores_by(estimator, np.array([True, False])), [1.0, 0.0])
    estimator.scores_ = np.array(scores)
    counted = scores_by(estimator, np.array([True, True, False]))
    assert_array_equal(counted, np.clip([*scores[:2], 0.0], 0.0, 1e100))


@pytest.mark.filterwarnings("ignore:No feature is selected")
def test_path_adds_scores_up():
    X, y, _ = make_blocks(0)
    selector = StabilitySelector(
        make_pipeline(SelectKBest(f_regression)),
        param_name="selectkbest__k",
        param_values=[5, 10, 40],
        fdr=0.3,
        n_pairs=2,
        random_state=0,
    ).fit(X, y)
    assert selector.path_probabilities_.shape == (3, 60)
    sums = selector.path_probabilities_.sum(axis=0)
    alone = (selector.decoy_probabilities_ == 0.0) & (sums > 0.0)
    assert alone.any()
    assert_allclose(selector.decoy_margins_[alone], sums[alone])
    assert selector.decoy_margins_.max() > 1.0


def test_targets_of_all_kinds():
    """Classes and survival times are selected for as well."""
    X, y, truth = make_blocks(0, n_samples=400)
    selector = StabilitySelector(fdr=0.3, n_pairs=2, random_state=0)
    selector.fit(X, np.where(y > 0.0, "high", "low"))
    assert selector.get_support()[truth].mean() > 0.5
    assert selector.get_support()[~truth].mean() < 0.2
    data = make_survival(300, 40, n_informative=15, censoring=0.2, random_state=0)
    for loss in ("cox", "cox_efron"):
        base = ProjectionFeatureSelector(n_features_to_select=20, loss=loss)
        selector.set_params(estimator=base).fit(data.data, data.target)
        assert selector.get_support()[data.support].mean() > 0.6
        assert selector.get_support()[~data.support].mean() < 0.3


def test_frames_sparse_matrices_and_missing_values():
    """Names are kept; permuted decoys are sparse, or have missing values."""
    X, y, _ = make_blocks(0)
    base = StabilitySelector(UNIVARIATE, fdr=0.4, n_pairs=2, random_state=0)
    frame = pd.DataFrame(X, columns=[f"gene {i}" for i in range(60)])
    named = clone(base).fit(frame, y)
    assert_array_equal(named.decoy_margins_, clone(base).fit(X, y).decoy_margins_)
    assert named.get_feature_names_out()[0].startswith("gene")
    base.set_params(decoys="permuted")
    assert base.fit(sparse.csr_array(X), y).get_support().any()
    X[::7, 3] = np.nan
    forest = ExtraTreesRegressor(20, max_depth=4, random_state=0)
    base.set_params(estimator=SelectFromModel(forest, max_features=20)).fit(X, y)
    assert base.get_support().any()
    with pytest.raises(ValueError, match="X contains NaN"):
        base.set_params(decoys="knockoff").fit(X, y)


@pytest.mark.filterwarnings("ignore:No feature is selected")
def test_result_does_not_depend_on_the_number_of_jobs():
    X, y, _ = make_blocks(0)
    selector = StabilitySelector(UNIVARIATE, fdr=0.3, n_pairs=3, random_state=0)
    margins = selector.fit(X, y).decoy_margins_
    assert_array_equal(selector.fit(X, y).decoy_margins_, margins)
    assert_array_equal(selector.set_params(n_jobs=2).fit(X, y).decoy_margins_, margins)
    other = selector.set_params(random_state=1).fit(X, y).decoy_margins_
    assert not np.array_equal(other, margins)


def test_too_few_features_are_said():
    X, y, _ = make_blocks(0, n_informative=3)
    selector = StabilitySelector(UNIVARIATE, fdr=0.05, n_pairs=2, random_state=0)
    with pytest.warns(
        UserWarning, match="needs at least 20 features that score"
    ) as log:
        selector.fit(X, y)
    assert log[0].filename == __file__
    assert selector.fdr_threshold_ == np.inf
    assert not selector.get_support().any()


@pytest.mark.parametrize(
    ("options", "data", "message"),
    [
        ({"threshold": 0.8}, {}, "threshold and fdr cannot be combined, got threshold"),
        ({"max_false_selections": 1}, {}, "max_false_selections and fdr cannot be"),
        ({"fdr": 1.0}, {}, "The 'fdr' parameter .* must be a float in the range"),
        ({"decoys": "shadow"}, {}, "The 'decoys' parameter"),
        ({}, {"groups": np.arange(30) // 3}, "fdr needs independent samples"),
        ({}, {"X": sparse.eye_array(30, format="csr")}, "needs a dense X"),
        (
            {"estimator": ProjectionFeatureSelector(always_keep=[0])},
            {},
            r"alike, got always_keep=\[0\]",
        ),
        (
            {
                "estimator": make_pipeline(
                    VarianceThreshold(),
                    ProjectionFeatureSelector(feature_groups=[0, 0, 1]),
                )
            },
            {},
            "alike, got projectionfeatureselector__feature_groups=",
        ),
    ],
)
def test_unsuitable_options_are_refused(options, data, message):
    """One sentence says why, and nothing is changed."""
    options = {"estimator": UNIVARIATE, "fdr": 0.2} | options
    selector = StabilitySelector(**options)
    data = {"X": np.random.default_rng(0).standard_normal((30, 3))} | data
    with pytest.raises(ValueError, match=message):
        selector.fit(**data, y=np.arange(30.0))
    assert not hasattr(selector, "n_features_in_")


def test_states_of_the_first_version_have_no_decoys():
    selector = StabilitySelector(n_pairs=3)
    state = selector.__getstate__()
    del state["fdr"], state["decoys"]
    state["_skproj_state_version"] = 1
    old = StabilitySelector()
    old.__setstate__(state)
    old.check_state()
    assert old.fdr is None
    assert old.n_pairs == 3


def test_display_has_no_line_of_a_threshold():
    X, y, _ = make_blocks(0)
    selector = StabilitySelector(UNIVARIATE, fdr=0.3, n_pairs=2, random_state=0)
    display = SupportDisplay.from_estimator(selector.fit(X, y))
    assert display.threshold is None
