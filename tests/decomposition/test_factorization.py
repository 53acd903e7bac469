"""Projected gradient steps in the kernel, compared with those on arrays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skproj._kernels._hals import balance_columns
from skproj.decomposition._factorization import SparsityConstraint, descend_gradient


def make_problem(n_rows, n_components, *, seed=0, digits=None, scale=1.0):
    """Return a factor, a Gram matrix, a matrix of products and the curvature."""
    rng = np.random.default_rng(seed)
    basis = rng.random((20, n_components))
    factor = rng.random((n_rows, n_components))
    cross = rng.random((n_rows, 20)) @ basis
    if digits is not None:
        factor, cross = factor.round(digits), cross.round(digits)
    gram = basis.T @ basis
    return scale * factor, gram, scale * cross, np.linalg.norm(gram, 2)


def take_steps(factor, gram, cross, curvature, constraint):
    """Take the steps with projection_hoyer."""
    start = constraint.project(factor)
    return descend_gradient(start.copy(), gram, cross, constraint, curvature)


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("kind", ["group", "column", "weights", "equal weights"])
@pytest.mark.parametrize("shape", [(2, 3), (40, 1), (40, 5), (700, 11), (1100, 6)])
def test_kernel_takes_the_steps_of_the_projection(sparsity, kind, shape):
    weights = {
        "weights": np.linspace(0.5, 2.0, shape[0]),
        "equal weights": np.full(shape[0], 3.0),
    }.get(kind)
    constraint = SparsityConstraint(sparsity, weights, kind == "column", shape[0])
    factor, gram, cross, curvature = make_problem(*shape)
    expected = take_steps(factor, gram, cross, curvature, constraint)
    found = constraint.project(factor)
    if constraint.descend(found, gram, cross, curvature):
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)
    else:
        assert shape[0] < 40 or sparsity == 0.9 or kind == "weights"


@given(
    n_rows=st.integers(2, 30),
    n_components=st.integers(1, 9),
    sparsity=st.floats(0.0, 1.0),
    kind=st.sampled_from(["group", "column", "weights"]),
    digits=st.none() | st.integers(0, 3),
    seed=st.integers(0, 1000),
)
def test_kernel_is_right_or_leaves_the_factor(
    n_rows, n_components, sparsity, kind, digits, seed
):
    """Few digits make zeros, and equal entries at the threshold."""
    weights = None
    if kind == "weights":
        weights = np.random.default_rng(seed).random(n_rows) + 0.1
    constraint = SparsityConstraint(sparsity, weights, kind == "column", n_rows)
    factor, gram, cross, curvature = make_problem(
        n_rows, n_components, seed=seed, digits=digits
    )
    start = constraint.project(factor)
    found = start.copy()

    def objective(F):
        return np.sum(F * (0.5 * (F @ gram) - cross))

    if constraint.descend(found, gram, cross, curvature):
        assert objective(found) <= objective(start) + 1e-9 * abs(objective(start))
        # What is sparse enough comes back as it is.
        projected = constraint.project(found)
        np.testing.assert_allclose(projected, found, rtol=1e-6, atol=1e-6)
    else:
        np.testing.assert_array_equal(found, start)


@pytest.mark.parametrize("scale", [1e-140, 1e-120, 1e120])
@pytest.mark.parametrize("per_vector", [False, True])
def test_kernel_leaves_extreme_scales_alone_or_is_right(scale, per_vector):
    constraint = SparsityConstraint(0.5, None, per_vector, 40)
    factor, gram, cross, curvature = make_problem(40, 5)
    expected = take_steps(factor, gram, cross, curvature, constraint)
    found = scale * constraint.project(factor)
    done = constraint.descend(found, gram, scale * cross, curvature)
    assert done == (scale != 1e-140)
    if done:
        np.testing.assert_allclose(found / scale, expected, rtol=1e-8, atol=1e-10)


def test_vectors_of_one_entry_are_not_for_the_kernel():
    factor, gram, cross, curvature = make_problem(1, 3)
    constraint = SparsityConstraint(0.5, None, False, 1)
    assert not constraint.descend(factor, gram, cross, curvature)


def test_balance_makes_norms_equal():
    rng = np.random.default_rng(0)
    W, H = rng.random((7, 4)), 100.0 * rng.random((5, 4))
    product = W @ H.T
    assert not balance_columns(W, H)
    np.testing.assert_allclose(W @ H.T, product, rtol=1e-14)
    norms_W, norms_H = (np.linalg.norm(F, axis=0) for F in (W, H))
    np.testing.assert_allclose(norms_W, norms_H, rtol=1e-14)
    W[:, 1] = H[:, 2] = 0.0
    assert balance_columns(W, H)
    assert not W[:, 1:3].any()
    assert not H[:, 1:3].any()
    np.testing.assert_allclose(W[:, [0, 3]] @ H[:, [0, 3]].T, W @ H.T, rtol=1e-14)
