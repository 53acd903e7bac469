"""Slow, short, obviously right versions of the projections: the oracles of the tests.

Everything is float64 and works on a matrix whose groups are its columns.
"""

import numpy as np


def threshold(a, radius):
    """Tau with ``sum(max(a - tau, 0)) == radius``, by sorting."""
    a = np.sort(np.asarray(a, dtype=np.float64))[::-1]
    taus = (np.cumsum(a) - radius) / np.arange(1, len(a) + 1)
    return taus[max(np.count_nonzero(a > taus), 1) - 1]


def l1_threshold(a, radius):
    """Tau >= 0 of the l1 ball for non-negative entries, 0 inside the ball."""
    return 0.0 if np.sum(a) <= radius else threshold(a, radius)


def soft(x, tau):
    """Soft threshold."""
    return np.sign(x) * np.maximum(np.abs(x) - tau, 0.0)


def simplex(x, radius):
    """Project all entries onto the simplex."""
    return np.maximum(x - threshold(np.ravel(x), radius), 0.0)


def l1(x, radius):
    """Project all entries onto the l1 ball."""
    return soft(x, l1_threshold(np.abs(np.ravel(x)), radius))


def l12(X, radius):
    """Project the columns onto the l1,2 ball."""
    norms = np.linalg.norm(X, axis=0)
    budgets = np.maximum(norms - l1_threshold(norms, radius), 0.0)
    return X * np.divide(budgets, norms, out=np.zeros_like(norms), where=norms > 0)


def bilevel_l11(X, radius):
    """Project the columns onto the l1,1 ball in two levels."""
    norms = np.abs(X).sum(axis=0)
    budgets = np.maximum(norms - l1_threshold(norms, radius), 0.0)
    return np.stack([l1(x, u) for x, u in zip(X.T, budgets, strict=True)], axis=1)


def bilevel_l1inf(X, radius):
    """Project the columns onto the l1,inf ball in two levels."""
    norms = np.abs(X).max(axis=0)
    budgets = np.maximum(norms - l1_threshold(norms, radius), 0.0)
    return np.clip(X, -budgets, budgets)


def l1inf(X, radius):
    """Project the columns onto the l1,inf ball, by bisection on theta.

    For a given theta each column is clipped where its excess is theta, which is the
    threshold of the l1 ball of radius theta; the levels add up to the radius.
    """
    A = np.abs(X)
    if A.max(axis=0).sum() <= radius:
        return X.copy()

    def levels(theta):
        return np.array([l1_threshold(a, theta) for a in A.T])

    low, high = 0.0, A.sum(axis=0).max()
    for _ in range(2000):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if levels(middle).sum() > radius:
            low = middle
        else:
            high = middle
    return np.clip(X, -levels(high), levels(high))
