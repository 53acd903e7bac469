import numpy as np
import pytest
from sklearn.datasets import load_iris

from skproj.datasets import add_probes


def test_add_probes_keeps_the_data_and_permutes_its_columns():
    """Real columns come first, untouched; a probe is a permuted real column."""
    X, _ = load_iris(return_X_y=True)
    X = X.astype(np.float32)
    X_wide, names, is_probe = add_probes(X, 20, random_state=0)
    assert X_wide.dtype == np.float32
    np.testing.assert_array_equal(X_wide[:, ~is_probe], X)
    np.testing.assert_array_equal(is_probe, np.arange(24) >= 4)
    columns = {tuple(np.sort(column)) for column in X.T}
    for probe in X_wide[:, is_probe].T:
        assert tuple(np.sort(probe)) in columns
        assert not any(np.array_equal(probe, column) for column in X.T)
    assert list(names[[0, 3, 4, -1]]) == ["x0", "x3", "probe0", "probe19"]


def test_add_probes_is_reproducible_and_leaves_the_global_generator_alone():
    """A seed fixes the probes; NumPy's global stream is not advanced."""
    X, _ = load_iris(return_X_y=True)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, _, _ = add_probes(X, 5, random_state=3)
    second, _, _ = add_probes(X, 5, random_state=3)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_probes": -1}, "n_probes"),
        ({"n_probes": 3, "feature_names": ["a"]}, "inconsistent"),
        ({"n_probes": 3, "feature_names": ["a", "probe2"]}, "feature_names"),
    ],
)
def test_add_probes_refuses_bad_arguments(arguments, message):
    """The message says which argument is wrong."""
    with pytest.raises(ValueError, match=message):
        add_probes(np.ones((3, 2)), **arguments)
