"""The radius of a selector that is told neither radius nor number."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_wine,
    make_classification,
)

from skproj import ProjectionFeatureSelector
from skproj.blocks import open_blocks
from skproj.linear_model import _default_radius
from skproj.linear_model._fold_scores import score_fold

CANCER = load_breast_cancer(return_X_y=True)
WINE, DIABETES = load_wine(return_X_y=True), load_diabetes(return_X_y=True)


@pytest.mark.parametrize("projection", ["l1inf", "l12", "bilevel_l1inf"])
@pytest.mark.parametrize("data", [CANCER, WINE, DIABETES])
def test_default_selects_on_every_table(data, projection):
    """The radius says which it was: a fit with it gives the same."""
    X, y = data
    selector = ProjectionFeatureSelector(projection=projection).fit(X, y)
    assert 1 < selector.get_support().sum() < X.shape[1]
    again = ProjectionFeatureSelector(projection=projection, eta=selector.eta_)
    assert_array_equal(again.fit(X, y).coef_, selector.coef_)


def test_order_and_repetitions_do_not_matter():
    """Weights are the same as repeated samples."""
    X, y = CANCER
    rng = np.random.default_rng(0)
    weight = rng.integers(0, 3, len(X))
    rows = rng.permutation(np.repeat(np.arange(len(X)), weight))
    one = ProjectionFeatureSelector().fit(X, y, sample_weight=weight)
    other = ProjectionFeatureSelector().fit(X[rows], y[rows])
    assert one.eta_ == pytest.approx(other.eta_, rel=1e-4)
    assert_array_equal(one.get_support(), other.get_support())


def test_sparse_data_and_blocks_have_the_same_choice(monkeypatch):
    X, y = CANCER
    expected = ProjectionFeatureSelector().fit(X, y).get_support()
    for data in (sparse.csr_array(X), sparse.csc_array(X), open_blocks(X)):
        found = ProjectionFeatureSelector().fit(data, y).get_support()
        assert_array_equal(found, expected)
    monkeypatch.setattr(_default_radius, "MAX_SAMPLES", 300)
    blocks = open_blocks(X)
    given = open_blocks(X)
    selector = ProjectionFeatureSelector().fit(blocks, y)
    ProjectionFeatureSelector(eta=selector.eta_).fit(given, y)
    assert blocks.n_passes == given.n_passes + 1
    assert 1 < selector.get_support().sum() < X.shape[1]


def test_hopeless_radii_only_cost_time(monkeypatch):
    X, y = make_classification(
        n_samples=90, n_features=60, n_informative=8, random_state=0
    )
    numbers_of_radii = []

    def counted(make, options, candidates, *args):
        numbers_of_radii.append(len(candidates[0]))
        return score_fold(make, options, candidates, *args)

    monkeypatch.setattr(_default_radius, "score_fold", counted)
    fast = ProjectionFeatureSelector().fit(X, y)
    assert numbers_of_radii[:5] == [20] * 5
    assert max(numbers_of_radii[5:]) < 20
    monkeypatch.setattr(_default_radius, "HOPELESS_GAIN", -np.inf)
    slow = ProjectionFeatureSelector().fit(X, y)
    assert numbers_of_radii[15:] == [20] * 15
    assert fast.eta_ == slow.eta_
    assert_array_equal(fast.coef_, slow.coef_)


def test_noise_leaves_one_feature_and_a_warning():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((200, 20)), rng.integers(0, 2, 200)
    with pytest.warns(UserWarning, match="No feature is known to matter") as log:
        selector = ProjectionFeatureSelector().fit(X, y)
    assert log[0].filename == __file__
    assert selector.get_support().sum() == 1


def test_classes_of_one_sample_leave_one_feature():
    """No fold has both classes to train and to score with."""
    X = np.random.default_rng(0).standard_normal((6, 4))
    with pytest.warns(UserWarning, match="No feature is known to matter"):
        selector = ProjectionFeatureSelector().fit(X, np.arange(6) == 0)
    assert selector.get_support().sum() == 1
