"""SparsityDisplay: zeros layer by layer."""

import numpy as np
import pytest
from display_helpers import DIGITS, tick_labels
from torch import nn

from skproj.inspection import SparsityDisplay
from skproj.nn.prune import sparsity_report


def drawn_shares(bars):
    return [bar.get_width() / 100 for bar in bars]


def test_sparsity_of_report():
    """The names are those of the modules."""
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    nn.init.ones_(model[0].weight).data[1] = 0.0
    display = SparsityDisplay.from_report(sparsity_report(model))
    assert list(display.layer_names) == ["0", "2"]
    assert list(display.n_zeros) == [4, 0]
    assert list(display.n_weights) == [12, 6]
    np.testing.assert_allclose(drawn_shares(display.bars_zero_), [1 / 3, 0.0])
    with pytest.raises(TypeError, match=r"report must be what .*, got Sequential"):
        SparsityDisplay.from_report(model)


def test_sparsity_of_factors(nmf):
    """Each component has a bar; both factors can be given by name."""
    H = nmf.components_
    display = SparsityDisplay.from_estimator(nmf)
    np.testing.assert_allclose(display.fraction_zeros, np.mean(H == 0.0, axis=1))
    W = nmf.transform(DIGITS)
    display = SparsityDisplay.from_weights({"W": W, "H": H})
    assert tick_labels(display.ax_.yaxis) == ["W", "H"]
    assert list(display.n_weights) == [W.size, H.size]
    np.testing.assert_allclose(
        display.fraction_zeros, [np.mean(W == 0.0), np.mean(H == 0.0)]
    )
