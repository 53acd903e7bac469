"""WeightsDisplay: images of matrices."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from display_helpers import FLOWERS
from sklearn.linear_model import LogisticRegression

from skproj.inspection import WeightsDisplay
from skproj.projection import projection_bilevel_l1inf_ball


def test_weights_before_and_after():
    """Two images on one scale; zeros, and only they, are masked."""
    W = np.random.default_rng(0).normal(size=(7, 30))
    P = projection_bilevel_l1inf_ball(W, 3.0, axis=0)
    display = WeightsDisplay.from_weights(W, P, titles=("free", "projected"))
    assert 0 < display.support.sum() < 30
    before, after = display.images_
    np.testing.assert_array_equal(before.get_array(), W)
    np.testing.assert_array_equal(after.get_array().mask, P == 0.0)
    np.testing.assert_array_equal(after.get_array().filled(0.0), P)
    assert before.get_clim() == after.get_clim()
    assert before.get_clim()[0] == -before.get_clim()[1]
    assert [ax.get_title() for ax in display.axes_] == [
        "free: 30 of 30 columns are not zero",
        f"projected: {display.support.sum()} of 30 columns are not zero",
    ]
    display.plot(order="norm")
    shown = display.images_[1].get_array().filled(0.0)
    norms = np.linalg.norm(shown, axis=0)
    assert np.all(np.diff(norms) <= 0)


def test_weights_of_sparse_coefficients():
    """Coefficients of scikit-learn that have become a sparse matrix are drawn."""
    model = LogisticRegression(max_iter=500).fit(*FLOWERS)
    coef = model.coef_
    display = WeightsDisplay.from_estimator(model.sparsify())
    np.testing.assert_array_equal(display.after, coef)


def test_kept_columns_of_wide_matrix_are_drawn():
    """However many columns there are, none that is not zero is lost."""
    W = np.zeros((3, 20_011))
    kept = np.array([0, 7000, 20_010])
    W[:, kept] = [[1.0, -2.0, 3.0]]
    display = WeightsDisplay(after=W).plot()
    shown = display.images_[0].get_array()
    assert shown.shape[1] <= 400
    assert sorted(set(shown.compressed())) == [-2.0, 1.0, 3.0]
    assert (~shown.mask).any(axis=0).sum() == 3
    assert display.images_[0].get_extent()[:2] == [-0.5, 20_010.5]


def test_single_row_of_weights_has_no_fractions():
    """As the coefficients of a model for two classes."""
    display = WeightsDisplay(after=np.ones((1, 5))).plot()
    low, high = sorted(display.ax_.get_ylim())
    ticks = display.ax_.get_yticks()
    assert ticks[(ticks >= low) & (ticks <= high)].tolist() == [0.0]


def test_weights_that_are_all_zero():
    """Nothing left is a grey image."""
    display = WeightsDisplay(after=np.zeros((2, 3))).plot()
    assert display.images_[0].get_array().mask.all()


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            lambda W: WeightsDisplay.from_weights(W, W[:, 1:]),
            "before and after must have the same shape",
        ),
        (lambda W: WeightsDisplay(after=W).plot(order="size"), "order must be"),
        (
            lambda W: WeightsDisplay(before=W, after=W).plot(plt.gca()),
            "ax must be 2 axes",
        ),
        (lambda W: WeightsDisplay(after=W[0]), "Expected 2D array"),
    ],
)
def test_weights_refuse(draw, message):
    """The error names the argument."""
    with pytest.raises(ValueError, match=message):
        draw(np.ones((2, 3)))
