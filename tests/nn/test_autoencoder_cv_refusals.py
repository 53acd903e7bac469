"""SparseSupervisedAutoencoderCV: parameters and methods that it refuses."""

import numpy as np
import pytest
from autoencoder_helpers import scheduled

from skproj import SparseSupervisedAutoencoderCV


def quick(**params):
    small = {"hidden_layer_sizes": (20,), "max_epochs": 2, "random_state": 0}
    return SparseSupervisedAutoencoderCV(**scheduled({**small, "cv": 2, **params}))


def test_there_is_no_partial_fit(wide):
    """The choice of a radius needs all the data."""
    assert not hasattr(quick(), "partial_fit")
    with pytest.raises(AttributeError, match="needs all the data"):
        quick().partial_fit(*wide)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"etas": [0]}, "etas must hold positive numbers"),
        ({"etas": [1.0, -1.0]}, "etas must hold positive numbers"),
        ({"etas": [np.nan]}, "etas must hold positive numbers"),
        ({"etas": []}, "etas must hold positive numbers"),
        ({"etas": ["a"]}, "etas must hold positive numbers"),
        ({"etas": [[1.0]]}, "etas must hold positive numbers"),
        ({"etas": 3.0}, "'etas' parameter"),
        ({"input_noise": [1.0]}, "input_noise"),
        ({"final_noise": -1.0}, "final_noise"),
        ({"schedule": "double"}, r"schedule='double'.*GridSearchCV"),
        ({"keep_fraction": 1.0}, "keep_fraction"),
        ({"selection_rule": "luck"}, "selection_rule"),
        ({"scoring": "beauty"}, "scoring"),
        ({"cv": 1}, "'cv' parameter"),
    ],
)
def test_bad_parameters_are_named(wide, params, message):
    """One sentence, before any training."""
    search = quick(**params)
    with pytest.raises(ValueError, match=message):
        search.fit(*wide)
    assert not [name for name in vars(search) if name.endswith("_")]


def test_parameters_of_a_single_fit_are_not_accepted():
    """The search chooses them."""
    for name in ("eta", "n_features_to_select"):
        with pytest.raises(TypeError, match=name):
            SparseSupervisedAutoencoderCV(**{name: 1})
        assert name not in quick().get_params()
