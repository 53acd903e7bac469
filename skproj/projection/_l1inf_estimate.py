"""An estimate of theta of the exact l1,inf projection, from a sample of the matrix.

The estimate affects the time only, not the result: `l1inf_levels` starts from it, and
finds the same levels from any start. A good estimate saves passes over the matrix.
"""

import numpy as np

from skproj._kernels import _l1inf
from skproj.projection._policy import (
    MAX_SAMPLE_ENTRIES,
    MAX_SAMPLE_GROUP,
    MIN_SAMPLE_ENTRIES,
    SAMPLED_PART,
)

# With fewer groups left in a sample, its theta says little about that of all groups.
MIN_SAMPLE_GROUPS = 8


def _theta_of_part(groups, picked, step, radius, low):
    """Solve for theta with the picked groups alone, and every `step`-th entry."""
    part = np.ascontiguousarray(groups[picked, ::step])
    share = part.shape[1] / groups.shape[1]
    magnitudes = np.abs(part)
    l1 = magnitudes.sum(axis=1, dtype=np.float64)
    norms = np.stack([l1, magnitudes.max(axis=1)])
    if norms[1].sum() <= radius:
        return low
    levels = np.empty(len(picked))
    theta = _l1inf.l1inf_levels(part, norms, radius, 0.0, np.nan, levels, 1)
    return theta / share


def estimate_theta(groups, l1, radius, low):
    """Estimate theta from some groups that it spares, and some of their entries.

    The groups have the shape (n_groups, group_size), `l1` has their l1 norms, and `low`
    is a lower bound of theta.
    """
    size = groups.shape[1]
    n_entries = int(groups.size * SAMPLED_PART)
    n_entries = min(max(n_entries, MIN_SAMPLE_ENTRIES), MAX_SAMPLE_ENTRIES)
    step = max(size // MAX_SAMPLE_GROUP, 1)
    n_picked = max(n_entries // (size // step), 1)
    alive = np.flatnonzero(l1 > low)
    if len(alive) <= n_picked:
        return low
    picked = alive[np.linspace(0, len(alive) - 1, n_picked).astype(np.intp)]
    theta = low
    for _ in range(2):
        # The levels nearly are proportional to what the l1 norms have above theta.
        weights = np.maximum(l1[picked] - theta, 0.0)
        share = weights.sum() / np.maximum(l1 - theta, 0.0).sum()
        theta = max(_theta_of_part(groups, picked, step, radius * share, theta), low)
        if np.count_nonzero(l1[picked] > theta) < MIN_SAMPLE_GROUPS:
            # Of few groups, those with the largest l1 norms; theta of all is not less.
            n_few = min(max(n_entries // size, 1), len(alive))
            few = np.argpartition(l1, -n_few)[-n_few:]
            return max(_theta_of_part(groups, np.sort(few), 1, radius, low), low)
    return theta
