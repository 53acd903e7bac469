"""Choice of a candidate by its share of the gain."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skproj.utils._path_search import (
    ONE_STANDARD_ERROR,
    _standard_errors,
    choose_by_gain,
)

RADII = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
GAINS = np.array([0.0, 0.5, 0.94, 0.96, 1.0, 0.9])


def make_scores(gains=GAINS, noise=0.1, n=200, seed=0):
    """Scores with exactly these means, up to a shift and a scale."""
    errors = np.random.default_rng(seed).normal(0.0, noise, (n, len(gains)))
    return 7.0 + 3.0 * (gains + errors - errors.mean(axis=0))


def choose(scores, keep_gain=0.95, weights=None, radii=RADII, **options):
    weights = np.ones(len(scores)) if weights is None else weights
    return choose_by_gain(scores, weights, radii, keep_gain, **options)


def test_best_is_kept_where_all_lose():
    """The null model is not chosen unless it is asked for."""
    scores = make_scores(np.array([0.0, -0.3, -0.2, -0.1, -0.2, -0.4]))
    eligible = RADII > 0.0
    for null in (0, None):
        choice = choose(scores, 1.0, null=null, eligible=eligible)
        assert_array_equal(choice.rows, [3])
    draws = np.random.default_rng(0).multinomial(200, np.full(200, 1 / 200), 50)
    assert eligible[
        choose(scores, 1.0, null=0, eligible=eligible, draws=draws).rows
    ].all()
    assert_array_equal(choose(scores, 1.0, null=0).rows, [0])


@pytest.mark.parametrize(
    ("keep_gain", "row"), [(0.95, 3), (0.96 - 1e-9, 3), (0.97, 4), (1.0, 4), (0.4, 1)]
)
def test_sparsest_with_a_share_of_the_gain(keep_gain, row):
    choice = choose(make_scores(), keep_gain, null=0)
    assert_array_equal(choice.rows, [row])
    assert_allclose(choice.shares, [GAINS], atol=1e-12)
    assert choice.learns.all()


def test_order_of_the_candidates_does_not_matter():
    scores = make_scores()
    order = np.random.default_rng(1).permutation(6)
    null = int(np.flatnonzero(order == 0)[0])
    choice = choose(scores[:, order], radii=RADII[order], null=null)
    assert order[choice.rows[0]] == 3


def test_gain_is_over_the_null_model_though_it_is_not_eligible():
    """Over the sparsest candidate if there is none."""
    eligible = RADII > 0.0
    scores = make_scores()
    assert_array_equal(choose(scores, null=0, eligible=eligible).rows, [3])
    assert_array_equal(choose(scores, 0.3, null=0, eligible=eligible).rows, [1])
    choice = choose(scores, 0.9, eligible=eligible)
    assert_allclose(choice.shares[0, [1, 4]], [0.0, 1.0], atol=1e-12)
    assert_array_equal(choice.rows, [3])  # (.96 - .5) / .5 = .92, the one before .88


def test_family_is_that_of_the_best():
    families = np.array([0.0, 0.0, 0.0, 1.0, 0.0, 1.0])
    assert_array_equal(choose(make_scores(), null=0, families=families).rows, [4])
    assert_array_equal(choose(make_scores(), 0.93, null=0, families=families).rows, [2])


def test_equal_scores_take_the_smallest_radius():
    choice = choose(np.ones((20, 6)), 1.0)
    assert_array_equal(choice.rows, [0])
    assert not choice.learns.any()
    assert_array_equal(choice.shares, np.zeros((1, 6)))


def test_nothing_is_learned_within_the_standard_error():
    """That of the difference between two candidates, row by row."""
    scores = make_scores(0.01 * GAINS, noise=0.5)
    best = np.mean(scores[:, 4] - scores[:, 0])
    error = np.std(scores[:, 4] - scores[:, 0], ddof=1) / np.sqrt(len(scores))
    assert best < error
    choice = choose(scores, null=0)
    assert_array_equal(choice.rows, [0])
    common = np.random.default_rng(2).normal(size=(200, 1))  # of all candidates
    assert choose(make_scores(noise=0.01) + 100.0 * common, null=0).rows[0] == 3


def test_one_standard_error():
    """With weights, by a loop over the formula."""
    rng = np.random.default_rng(3)
    for seed in range(20):
        scores = make_scores(noise=rng.uniform(0.1, 2.0), seed=seed)
        weights = rng.uniform(0.1, 2.0, 200)
        shares = weights / weights.sum()
        means = shares @ scores
        best = means.argmax()
        squares = np.square(shares * (scores[:, best] - means[best]))
        limit = means[best] - np.sqrt(200 / 199 * squares.sum())
        expected = np.flatnonzero(means >= limit)[0]
        choice = choose(scores, ONE_STANDARD_ERROR, weights)
        assert_array_equal(choice.rows, [expected])


def test_draws_are_choices_of_their_own():
    """Those of scores that are repeated as often, with the errors of all units."""
    scores = make_scores(noise=0.5)
    weights = np.random.default_rng(5).uniform(0.5, 1.5, 200)
    draws = np.random.default_rng(4).multinomial(200, np.full(200, 0.005), 30)
    together = choose(scores, weights=weights, null=0, draws=draws)
    assert together.learns.all()
    for i, draw in enumerate(draws):
        repeated = choose(scores.repeat(draw, 0), weights=weights.repeat(draw), null=0)
        assert repeated.rows[0] == together.rows[i]
        assert_allclose(repeated.shares[0], together.shares[i], atol=1e-10)
    assert len(np.unique(together.rows)) > 1


def test_repeated_units_tell_no_more():
    """They have the errors of the units once."""
    scores = make_scores(0.15 * GAINS, noise=1.0, n=30)
    shares = np.full(30, 1.0 / 30)
    errors = _standard_errors(scores, shares, 1.0)
    assert_allclose(errors, scores.std(axis=0, ddof=1) / np.sqrt(30))
    often, shares = np.tile(scores, (400, 1)), np.full(12_000, 1.0 / 12_000)
    n_repeats = 400 * 30 / 29  # the variance of so many units has no correction
    assert_allclose(_standard_errors(often, shares, n_repeats), errors, rtol=1e-4)
    once = choose(scores, null=0)
    assert not once.learns.any()
    assert choose(often, null=0).learns.all()
    assert not choose(often, null=0, n_repeats=n_repeats).learns.any()


def test_a_single_fold_has_no_error():
    assert_array_equal(choose(make_scores(n=1, noise=0.0), null=0).rows, [3])
