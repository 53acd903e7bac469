"""Oracles of the projections that are fast enough for large arrays.

They are NumPy in float64, and take no more than a sort, but for the exact l1,inf ball.
The groups are the rows of a contiguous matrix, the radius is a number, or an array of
one for each group where these are projected each by itself. An oracle returns the
result and the threshold. `test_fuzz.py` compares them with slow ones.
"""

import math

import numpy as np


def as_tensor(X, axis):
    """Split the dimension of a matrix that tells the groups into two."""
    n_groups = X.shape[1 - axis]
    inner = next(k for k in (4, 3, 2, 1) if n_groups % k == 0)
    split = (n_groups // inner, inner)
    return X.reshape(
        (len(X), *split) if axis == 0 else (*split, X.shape[1]), copy=False
    )


def onto_simplex(G, radii):
    """Project each row onto the simplex.

    With the distances d of the entries from the largest one, in ascending order, the
    largest entry of the result is the least of ``(radius + d_1 + ... + d_k) / k``. This
    loses no digits where the radius is tiny.
    """
    top = G.max(axis=1, keepdims=True)
    D = top - np.sort(G, axis=1)[:, ::-1]
    largest = np.add(np.cumsum(D, axis=1), radii[:, np.newaxis])
    largest /= np.arange(1, D.shape[1] + 1)
    largest = largest.min(axis=1)
    # A step of Newton's method, because the cumulative sums are not that accurate.
    left = np.maximum(largest[:, np.newaxis] - D, 0.0)
    counts = np.maximum(np.count_nonzero(left, axis=1), 1)
    largest += (radii - left.sum(axis=1)) / counts
    largest = np.maximum(largest, 0.0)[:, np.newaxis]
    return np.maximum(largest - (top - G), 0.0), (top - largest)[:, 0]


def onto_l1(G, radii):
    """Project each row onto the l1 ball."""
    A = np.abs(G)
    P, thresholds = A.copy(), np.zeros(len(A))
    outside = np.flatnonzero(A.sum(axis=1) > radii)
    if len(outside):
        Q, taus = onto_simplex(A[outside], radii[outside])
        P[outside] = np.minimum(Q, A[outside])
        thresholds[outside] = np.maximum(taus, 0.0)
    return np.copysign(P, G), thresholds


def onto_l2(G, radii):
    """Project each row onto the l2 ball."""
    norms = np.linalg.norm(G, axis=1)
    factors = np.ones(len(G))
    np.divide(radii, norms, out=factors, where=norms > radii)
    return G * factors[:, np.newaxis], np.maximum(norms - radii, 0.0)


def onto_linf(G, radii):
    """Project each row onto the l_inf ball."""
    largest = np.abs(G).max(axis=1)
    levels = radii[:, np.newaxis]
    return np.clip(G, -levels, levels), np.maximum(largest - radii, 0.0)


ONTO = {1: onto_l1, 2: onto_l2, np.inf: onto_linf}


def ratios(G, W):
    """Divide the absolute values of the entries by their weights."""
    return np.divide(np.abs(G), W, out=np.full(G.shape, np.inf), where=W > 0.0)


def onto_weighted_l1(G, radii, W):
    """Project each row onto the weighted l1 ball."""
    A = np.abs(G)
    P, thresholds = G.copy(), np.zeros(len(A))
    outside = np.flatnonzero((W * A).sum(axis=1) > radii)
    if len(outside) == 0:
        return P, thresholds
    A, V, radii = A[outside], W[outside], radii[outside]
    order = np.argsort(-ratios(A, V), axis=1)
    a, v = (np.take_along_axis(B, order, axis=1) for B in (A, V))
    squares = np.cumsum(v * v, axis=1)
    candidates = np.full(A.shape, -np.inf)
    excess = np.cumsum(v * a, axis=1) - radii[:, np.newaxis]
    np.divide(excess, squares, out=candidates, where=squares > 0.0)
    # The cumulative sums are not that accurate: go on from the left of the root by
    # Newton's method, which does not step over it.
    taus = candidates.max(axis=1) * (1.0 - 1e-10)
    for _ in range(3):
        left = np.maximum(a - taus[:, np.newaxis] * v, 0.0)
        slopes = np.sum(v * v, axis=1, where=left > 0.0)
        steps = (v * left).sum(axis=1) - radii
        taus += np.divide(steps, slopes, out=np.zeros(len(taus)), where=slopes > 0.0)
    thresholds[outside] = taus
    Q = np.maximum(A - taus[:, np.newaxis] * V, 0.0)
    P[outside] = np.copysign(Q, G[outside])
    return P, thresholds


def level_by_level(orders):
    """Oracle for the ball of a norm of norms, the outermost first."""

    def oracle(G, radius):
        *outer, inner = orders
        norms = np.linalg.norm(G, inner, axis=1)
        if len(outer) == 2:
            rows = as_tensor(norms[np.newaxis], 0)[0].T
            budgets, threshold = level_by_level(outer)(
                np.ascontiguousarray(rows), radius
            )
            budgets = budgets.T.ravel()
        else:
            budgets, threshold = ONTO[outer[0]](norms[np.newaxis], np.array([radius]))
            budgets, threshold = budgets[0], threshold[0]
        return ONTO[inner](G, budgets)[0], threshold

    return oracle


def l1inf_levels(C, radius):
    """Levels of the columns and theta that the optimality conditions prove.

    The excess ``sum_i max(|c_i| - mu, 0)`` of a column is the largest of
    ``S_k - k mu`` over the sums S_k of its k largest entries, so it equals theta for
    ``mu = max_k (S_k - theta) / k``. Clipping there is the projection for the radius
    ``sum_j mu_j``, whatever theta is.

    Returns
    -------
    levels : ndarray of shape (n_columns,)
    theta : float
        0 inside the ball.
    """
    sums = np.cumsum(-np.sort(-np.abs(C), axis=0), axis=0)
    counts = np.arange(1, len(C) + 1)[:, np.newaxis]
    columns = np.arange(C.shape[1])  # that have a level above zero
    theta = 0.0
    for _ in range(100):  # Newton's method; the sum of the levels is convex in theta
        candidates = (sums - theta) / counts
        highest = candidates.max(axis=0)
        surplus = math.fsum(highest) - radius
        if surplus <= 1e-15 * radius:
            break
        before = theta
        theta += surplus / np.sum(1.0 / (1 + candidates.argmax(axis=0)))
        if theta == before:
            break
        alive = sums[-1] > theta
        if not alive.all():
            sums, columns = sums[:, alive], columns[alive]
    levels = np.zeros(C.shape[1])
    levels[columns] = highest
    return levels, theta


def onto_l1inf(G, radius):
    """Project onto the l1,inf ball, whose groups are the rows."""
    levels, theta = l1inf_levels(G.T, radius)
    return np.clip(G, -levels[:, np.newaxis], levels[:, np.newaxis]), theta


def soft(G, alphas):
    """Apply the proximity operator of the l1 norm to each row."""
    P = np.maximum(np.abs(G) - alphas[:, np.newaxis], 0.0)
    return np.copysign(P, G), alphas


def shorten(G, alphas):
    """Apply the proximity operator of the l2 norm to each row."""
    norms = np.linalg.norm(G, axis=1)
    factors = np.divide(
        np.maximum(norms - alphas, 0.0), norms, out=np.zeros(len(G)), where=norms > 0.0
    )
    return G * factors[:, np.newaxis], alphas


def clip_top(G, alphas):
    """Apply the proximity operator of the l_inf norm to each row."""
    levels = onto_l1(G, alphas)[1][:, np.newaxis]
    return np.clip(G, -levels, levels), alphas


def leave_l1inf(G, alpha):
    """Apply the proximity operator of the linf,1 norm of the rows."""
    levels, _ = l1inf_levels(G.T, alpha)
    return soft(G, levels)
