"""Slow, short, obviously right versions of the projections: the oracles of the tests.

Everything is float64. Groups are the columns of a matrix, or run along axis 0.
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


def l2(x, radius):
    """Project all entries onto the l2 ball."""
    norm = np.linalg.norm(np.ravel(x))
    return x.copy() if norm <= radius else x * (radius / norm)


def linf(x, radius):
    """Project all entries onto the l_inf ball."""
    return np.clip(x, -radius, radius)


def weighted_l1(x, radius, weights):
    """Project all entries onto the weighted l1 ball, by sorting the ratios.

    The entries with the largest ``abs(x) / w`` survive. No set of entries gives a
    larger tau than the right one, and the survivors give that.
    """
    a, w = np.abs(np.ravel(x)), np.ravel(weights)
    if np.sum(w * a) <= radius:
        return x.copy()
    a, w = a[w > 0.0], w[w > 0.0]
    order = np.argsort(-a / w)
    a, w = a[order], w[order]
    taus = (np.cumsum(w * a) - radius) / np.cumsum(w * w)
    return soft(x, max(taus) * weights)


def multilevel(X, radius, norms):
    """Project a tensor level by level; the innermost norm runs along axis 0."""
    onto_ball = {1: l1, 2: l2, np.inf: linf}
    if X.ndim == 1:
        return onto_ball[norms[0]](X, radius)
    budgets = multilevel(np.linalg.norm(X, norms[-1], axis=0), radius, norms[:-1])
    P = np.empty_like(X)
    for index in np.ndindex(budgets.shape):
        fibre = (slice(None), *index)
        P[fibre] = onto_ball[norms[-1]](X[fibre], budgets[index])
    return P


def prox_l1(X, alpha):
    """Proximity operator of alpha times the l1 norm."""
    return soft(X, alpha)


def prox_l12(X, alpha):
    """Proximity operator of alpha times the l1,2 norm of the columns."""
    return np.stack([x - l2(x, alpha) for x in X.T], axis=1)


def prox_l1inf(X, alpha):
    """Proximity operator of alpha times the l1,inf norm of the columns."""
    return np.stack([x - l1(x, alpha) for x in X.T], axis=1)


def prox_linf1(X, alpha):
    """Proximity operator of alpha times the linf,1 norm of the columns."""
    return X - l1inf(X, alpha)


def hoyer_sparsity(x, weights=None):
    """Hoyer sparsity of one vector; 1 for zeros."""
    w = np.ones(len(x)) if weights is None else weights
    norm = np.linalg.norm(x)
    mean = w @ np.abs(x) / norm if norm > 0.0 else w.min()
    return (np.linalg.norm(w) - mean) / (np.linalg.norm(w) - w.min())


def hoyer_direction(a, shift, w):
    """Unit vector x >= 0 with the largest ``x @ (a - shift * w)``, 0 where a is."""
    y = np.where((a > 0.0) | (a.max() == 0.0), a - shift * w, -np.inf)
    x = np.maximum(y, 0.0)
    if not x.any():
        best = np.flatnonzero(y == y.max())
        x[best[np.argmin(w[best])]] = 1.0
    return x / np.linalg.norm(x)


def _between(sparse, dense, w, mean):
    """Unit vector on the arc between two of them with ``w @ x == mean``."""
    low, high = 0.0, 1.0
    for _ in range(100):
        middle = (low + high) / 2
        x = (1.0 - middle) * sparse + middle * dense
        x /= np.linalg.norm(x)
        low, high = (middle, high) if w @ x < mean else (low, middle)
    return x


def hoyer(vectors, sparsity, weights=None):
    """Give vectors the average Hoyer sparsity, by bisection on the multiplier.

    At a jump of the average the first vectors take the dense side of it, and one a
    place in between. With weights the sparsity may be out of reach.
    """
    A = [np.abs(np.asarray(c, dtype=np.float64)) for c in vectors]
    W = [np.ones(len(a)) for a in A] if weights is None else weights
    rates = [1.0 / (np.linalg.norm(w) - w.min()) for w in W]
    budget = sum(
        rate * np.linalg.norm(w) - sparsity for rate, w in zip(rates, W, strict=True)
    )

    def solve(mu):
        return [
            hoyer_direction(a, mu * rate, w)
            for a, rate, w in zip(A, rates, W, strict=True)
        ]

    def use(X):
        means = [w @ x for x, w in zip(X, W, strict=True)]
        return np.multiply(rates, means)

    if use(solve(0.0)).sum() <= budget + 1e-12 * len(A):
        return [np.array(c, dtype=np.float64) for c in vectors]
    low, high = 0.0, max(a.max() for a in A)
    while use(solve(high)).sum() > budget + 1e-14 * len(A) and high < 1e200:
        high *= 4.0
    while low < (middle := (low + high) / 2) < high:
        if use(solve(middle)).sum() > budget:
            low = middle
        else:
            high = middle
    X, dense = solve(high), solve(low)
    gains = use(dense) - use(X)
    left = budget - use(X).sum()
    for i, gain in enumerate(gains):
        if gain <= left:
            X[i] = dense[i]
        elif left > 0.0:
            mean = (use(X)[i] + left) / rates[i]
            X[i] = _between(X[i], dense[i], W[i], mean)
        left -= min(gain, max(left, 0.0))
    return [np.sign(c) * x * (x @ a) for c, x, a in zip(vectors, X, A, strict=True)]
