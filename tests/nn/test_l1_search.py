"""find_l1_weight: counts of every shape, coupled layers, bad input."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from skproj.nn import find_l1_weight
from skproj.nn._training._l1_training import masks_of_largest

TOTAL = 10_000


def identity(alpha):
    """Train a model that is nothing but its l1 weight."""
    return alpha


def power_law(alpha):
    return round(TOTAL / (1.0 + (alpha / 1e-3) ** 1.3))


def with_cliff(alpha):
    """Count the weights of a network that breaks down at a large l1 weight."""
    return power_law(alpha) if alpha < 0.05 else 0


def flat_then_steep(alpha):
    return round(TOTAL * 0.9 ** (alpha / 1e-3))


def rough(alpha):
    """Count with the noise of a short training: not monotone."""
    return round(power_law(alpha) * (1.0 + 0.03 * np.sin(40.0 * np.log(alpha))))


def coupled(alpha):
    """Count three layers, each of which depends on all the l1 weights."""
    total = np.array([1000, 5000, 400])
    mixed = 0.8 * np.log(alpha) + 0.2 * np.log(alpha).mean()
    return np.rint(total / (1.0 + np.exp(mixed) / 1e-3)).astype(int)


@pytest.mark.parametrize("count", [power_law, with_cliff, flat_then_steep, rough])
@pytest.mark.parametrize("target", [9000, 2000, 500, 200])
@pytest.mark.parametrize("alpha_init", [1e-5, 1e-3, 0.3])
def test_count_is_found_in_few_steps(count, target, alpha_init):
    """Whatever the shape of the counts and the beginning."""
    result = find_l1_weight(identity, count, target, alpha_init=alpha_init)
    assert result.converged
    assert abs(count(result.alpha) - target) <= 0.01 * target
    assert result.count == count(result.model)
    is_far = alpha_init != 1e-3 or count is flat_then_steep
    assert result.n_iter <= (14 if is_far else 8)


@pytest.mark.parametrize(
    "target", [[200, 500, 100], [50, 4000, 200], [900, 100, 100], [20, 100, 12]]
)
def test_counts_of_layers_are_found_in_few_steps(target):
    """All of them within the tolerance, although each moves the others."""
    result = find_l1_weight(identity, coupled, target, tol=0.05)
    assert result.converged
    assert result.n_iter <= 8
    assert_array_equal(result.count, coupled(result.alpha))
    assert_allclose(result.count, target, rtol=0.05)


def test_history_has_every_step():
    """In order, with what was tried and what it gave."""
    tried = []

    def train(alpha):
        tried.append(alpha)
        return alpha

    result = find_l1_weight(train, power_law, 300)
    assert_array_equal(result.history["alpha"], tried)
    assert_array_equal(result.history["count"], [power_law(alpha) for alpha in tried])
    assert len(tried) == result.n_iter > 1
    layers = find_l1_weight(identity, coupled, [200, 500, 100], tol=0.05)
    assert layers.history["alpha"].shape == (layers.n_iter, 3)
    assert layers.history["count"].shape == (layers.n_iter, 3)


def test_nothing_and_everything_need_no_search():
    """An infinite l1 weight leaves nothing, none leaves everything."""
    nothing = find_l1_weight(identity, lambda alpha: 0, 0)
    assert nothing.alpha == np.inf
    assert nothing.n_iter == 1
    everything = find_l1_weight(identity, lambda alpha: TOTAL, TOTAL, total=TOTAL)
    assert everything.alpha == 0.0
    assert everything.n_iter == 1
    mixed = find_l1_weight(
        identity,
        lambda alpha: np.where(np.isinf(alpha), 0, np.where(alpha == 0, 400, 50)),
        [0, 50, 400],
        total=[100, 100, 400],
    )
    assert mixed.converged
    assert_array_equal(mixed.alpha[[0, 2]], [np.inf, 0.0])
    assert 0 < mixed.alpha[1] < np.inf


@pytest.mark.parametrize("constant", [0, 50, 5000])
def test_unreachable_target_ends_with_a_warning(constant):
    """The count does not depend on the l1 weight."""
    with pytest.warns(ConvergenceWarning, match=f"{constant} nonzero.*300 were wanted"):
        result = find_l1_weight(identity, lambda alpha: constant, 300, max_iter=15)
    assert not result.converged
    assert result.n_iter == 15
    assert 0 < result.alpha < np.inf


@pytest.mark.parametrize("target", [300, [300, 10]])
@pytest.mark.parametrize("constant", [0, 5000])
def test_l1_weight_stays_a_positive_number(constant, target):
    """However many steps are allowed."""
    with pytest.warns(ConvergenceWarning, match="ended after 3"):
        result = find_l1_weight(
            identity,
            lambda alpha: np.full(np.shape(target), constant),
            target,
            max_iter=1000,
        )
    alphas = result.history["alpha"]
    assert np.isfinite(alphas).all()
    assert (alphas > 0.0).all()
    assert len(alphas) == result.n_iter < 400


def test_jump_over_the_target_ends_before_the_steps_do():
    """Between the two ends there is nothing left to try; the closer one is returned."""

    def jump(alpha):
        return 1000 if alpha < 0.02 else 280

    with pytest.warns(ConvergenceWarning) as warned:
        result = find_l1_weight(identity, jump, 300, max_iter=1000)
    assert warned[0].filename == __file__
    assert result.n_iter < 40
    assert result.count == 280
    with pytest.warns(ConvergenceWarning):
        result = find_l1_weight(identity, jump, 300, surplus=1, max_iter=1000)
    assert result.count == 1000
    assert result.alpha < 0.02


def test_surplus_is_accepted_in_one_direction():
    """What can be removed is no reason to go on; what is missing is one."""
    assert find_l1_weight(identity, lambda alpha: 11, 10, surplus=1).n_iter == 1
    with pytest.warns(ConvergenceWarning):
        find_l1_weight(identity, lambda alpha: 9, 10, surplus=1)


def test_callback_sees_each_step_and_can_end_the_search():
    """With the closest model so far."""
    seen = []

    def end_at_third(alpha, count, model):
        seen.append((alpha, count, model))
        return len(seen) == 3

    with pytest.warns(ConvergenceWarning, match="3 steps"):
        result = find_l1_weight(
            identity, power_law, 300, tol=0.0, callback=end_at_third
        )
    assert len(seen) == result.n_iter == 3
    assert all(alpha == model for alpha, _, model in seen)
    closest = min(seen, key=lambda step: abs(step[1] - 300))
    assert (result.alpha, result.count, result.model) == closest


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"target": -1}, "target must be a non-negative integer"),
        ({"target": 0.5}, "target must be a non-negative integer"),
        ({"target": [[1]]}, "target must be a non-negative integer"),
        ({"total": 200}, "target=300 exceeds total=200"),
        ({"total": [400]}, "total must have the shape of target"),
        ({"alpha_init": 0.0}, "alpha_init must be positive"),
        ({"alpha_init": np.inf}, "alpha_init must be positive"),
        ({"tol": -1.0}, "tol must not be negative"),
        ({"max_iter": 0}, "max_iter must be at least 1"),
    ],
)
def test_bad_arguments_are_named(params, message):
    with pytest.raises(ValueError, match=message):
        find_l1_weight(identity, power_law, **{"target": 300, **params})


def test_count_of_another_shape_is_refused():
    """A number for several layers."""
    with pytest.raises(ValueError, match=r"count must return an array of shape \(2,\)"):
        find_l1_weight(identity, lambda alpha: 3, [30, 20])


@pytest.mark.parametrize("n_kept", [0, 1, 4, 7, 11, 12])
def test_largest_with_ties(n_kept):
    """As many as wanted, the first ones of equal scores."""
    scores = [
        torch.tensor([[2.0, 0.0, 1.0], [0.0, 2.0, 2.0]]),
        torch.tensor([1.0, 1.0, 3.0, 0.0, 0.0, 2.0]),
    ]
    masks = masks_of_largest(scores, n_kept)
    joined = np.concatenate([score.numpy().ravel() for score in scores])
    expected = np.argsort(-joined, kind="stable")[:n_kept]
    found = np.concatenate([mask.numpy().ravel() for mask in masks])
    assert set(np.flatnonzero(found)) == set(expected)
    assert [mask.shape for mask in masks] == [score.shape for score in scores]
