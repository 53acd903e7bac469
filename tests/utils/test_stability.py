"""What is reported of the stability of a selection."""

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from skproj.utils._stability import describe_selection, stability_index


def test_description_of_selections():
    supports = np.zeros((3, 20), dtype=bool)
    supports[:, 0] = supports[0, 7] = True
    found = describe_selection(supports, {"gene 0": []})
    assert_allclose(found["selection_frequency_"][[0, 7, 8]], [1.0, 1 / 3, 0.0])
    index, interval = stability_index(supports)
    assert found["stability_"] == index
    assert_array_equal(found["stability_interval_"], interval)
    assert found["substitutes_"] == {"gene 0": []}


def test_stability_of_one_selection_is_not_known():
    stability, interval = stability_index(np.array([[True, False]]))
    assert np.isnan(stability)
    assert np.isnan(interval).all()
