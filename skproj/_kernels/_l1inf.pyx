"""The exact projection onto the l1,inf ball.

The projection clips group j at a level mu_j. With one theta > 0 for all groups,

    mu_j = 0                                                if ||x_j||_1 <= theta,
    the root of sum_i max(|x_ij| - mu_j, 0) = theta         otherwise,

and theta is such that ``sum_j mu_j = radius``. All these functions are convex and
piecewise linear. Newton's method takes all unknowns together: a look at the entries of
group j gives the tangent of its sum at some level, a line mu_j(theta) with slope
``-1 / k_j`` where k_j entries are above that level, and the next theta is where the
lines add up to the radius. Wherever it starts, the first step lands left of the
solution, with levels left of theirs, and theta rises from there.

A group whose tangent is its sum at the new level as well is not looked at again, and
one whose l1 norm is not above theta is not looked at at all. The method ends when no
group is looked at, and none has gone; or where rounding prevents that, when theta does
not rise and the levels are roots for it. In a large matrix a short group is looked at
until its level is the root for the present theta, while its entries are in the cache.

A guess of theta may come along. Whatever it is, the result is the same; a good one
saves looks at the matrix.

References: Quattoni et al., ICML 2009; Chu et al., ICML 2020; Perez, Condat, Barlaud,
arXiv:2307.09836.
"""

from cython cimport floating
from libc.math cimport INFINITY, NAN, pow
from libc.stdlib cimport free, malloc

from ._groups cimport extremes, map_block, norms_of_block
from ._layout cimport Groups, are_contiguous, groups_of
from ._newton cimport MANY, MIN_SAMPLED, Root, below, newton
from ._roots cimport (
    NEAR_PART, Near, Roots, copy_as_rows, find_roots, looks_in_cache
)
from ._simd cimport (
    SKPROJ_MAP_CLIP, SKPROJ_NORM_L1, SKPROJ_NORM_LINF, compensated_sum, reduce_group
)
from ._thresholds cimport l1_threshold

# Newton needs about ten steps; the bound only rules out an endless loop.
cdef int MAX_STEPS = 10_000


cdef Py_ssize_t follow_tangents(
    const Roots* roots, double* radii, Py_ssize_t n_groups, double before, double theta,
    Py_ssize_t* n_gone
) noexcept nogil:
    """Move from one theta to another; return how many groups have to be looked at.

    Counts those that were there before, and of which nothing is left.
    """
    cdef Py_ssize_t j, n_left = 0
    n_gone[0] = 0
    for j in range(n_groups):
        radii[j] = INFINITY
        if roots.norms[j] <= theta:
            n_gone[0] += roots.counts[j] > 0.0
            roots.levels[j] = 0.0
            roots.counts[j] = 0.0
            continue
        if roots.counts[j] > 0.0:
            roots.levels[j] += (before - theta) / roots.counts[j]
            if roots.below[j] <= roots.levels[j] <= roots.above[j]:
                continue
        radii[j] = theta
        n_left += 1
    return n_left


cdef void add_steps(
    const Roots* roots, Py_ssize_t n_groups, double size
) noexcept nogil:
    """Complete the levels of the groups that have been looked at."""
    cdef:
        Py_ssize_t j
        double lowest
    for j in range(n_groups):
        if roots.radii[j] < INFINITY:
            roots.levels[j] += roots.steps[j]
            lowest = (roots.norms[j] - roots.radii[j]) / size  # not empty
            if roots.levels[j] < lowest:  # then the tangent at 0 says more
                roots.levels[j] = lowest
                roots.counts[j] = size
                roots.below[j] = NAN  # of which nothing more is known


cdef double total_slope(const Roots* roots, Py_ssize_t n_groups) noexcept nogil:
    """How fast the sum of the levels falls with theta; 0 if no group is left."""
    cdef Py_ssize_t j
    cdef double slope = 0.0
    for j in range(n_groups):
        if roots.counts[j] > 0.0:
            slope += 1.0 / roots.counts[j]
    return slope


cdef void settle(
    const Roots* roots, Py_ssize_t n_groups, double radius, double surplus, double slope
) noexcept nogil:
    """Follow the tangents to where the levels add up to the radius."""
    cdef:
        Py_ssize_t j
        double total
    for j in range(n_groups):
        if roots.counts[j] > 0.0:  # then the slope is not 0
            roots.levels[j] = max(
                roots.levels[j] - surplus / slope / roots.counts[j], 0.0)
    total = compensated_sum(roots.levels, n_groups, 0.0)
    if total > radius:
        for j in range(n_groups):
            roots.levels[j] *= radius / total


cdef double start_for_all(
    const Roots* roots, const double* largest, Py_ssize_t n_groups, double size,
    double radius, double low, double high, double guess
) noexcept nogil:
    """Theta to start with, from ``low`` to ``high``, and a level for each group.

    Without a guess, all groups are taken to be alike: what is above a level mu is near
    ``l1 * (1 - mu / largest) ** p``, which has the right slope, -size, at 0.
    """
    cdef:
        Py_ssize_t j
        double l1 = reduce_group(SKPROJ_NORM_L1, roots.norms, n_groups)
        double norm = reduce_group(SKPROJ_NORM_L1, largest, n_groups)
        double theta = guess, ratio
    if not low <= theta < INFINITY:  # NaN as well; neither l1 nor norm is 0
        theta = pow(max(1.0 - radius / norm, 0.0), size * norm / l1) * l1 / n_groups
    theta = min(max(theta, low), high)
    ratio = l1 / n_groups - theta
    if ratio > 0.0:
        ratio = radius / n_groups / ratio
    for j in range(n_groups):
        roots.counts[j] = 0.0
        roots.levels[j] = min((roots.norms[j] - theta) * ratio, largest[j])
        # A level that is above no entry is proportional to what l1 has above theta.
        if not ratio > 0.0 or size >= MIN_SAMPLED and radius * size > norm:
            roots.levels[j] = NAN
    return theta


cdef double solve(
    const floating* x, const Groups* groups, const double* largest, double radius,
    double low, double guess, Roots* roots, double* radii, int n_threads
) noexcept nogil:
    """Find the levels and theta; NaN if there is no memory."""
    cdef:
        Py_ssize_t n_groups = groups.n_groups, n_left, n_gone
        double high = below(reduce_group(SKPROJ_NORM_LINF, roots.norms, n_groups))
        double theta, after, before = 0.0, surplus, slope
        int step
        Root root
    # mu_j is at least (l1_j - theta) / size: if that adds up to more than the radius,
    # theta is larger.
    root = newton(roots.norms, n_groups, radius * groups.size, False, 0, 0.0, 0.0, low,
                  MANY)
    low = min(max(low, root.level + root.step), high)  # so that some group is left
    theta = start_for_all(roots, largest, n_groups, groups.size, radius, low, high,
                          guess)
    for step in range(MAX_STEPS):
        n_left = follow_tangents(roots, radii, n_groups, before, theta, &n_gone)
        if n_left == n_gone == 0:
            break
        if n_left > 0:
            if find_roots(x, groups, False, roots, n_threads) < 0:
                return NAN
            add_steps(roots, n_groups, groups.size)
        surplus = compensated_sum(roots.levels, n_groups, -radius)
        slope = total_slope(roots, n_groups)  # not 0, as theta is at most `high`
        after = min(max(theta + surplus / slope, low), high)
        before = theta
        if after == theta or (step > 0 and after < theta):  # less by rounding
            if n_left == 0 or roots.max_looks == MANY:
                break
            roots.max_looks = MANY  # theta stays: now the levels have to be roots
        else:
            theta = after
    surplus = compensated_sum(roots.levels, n_groups, -radius)
    slope = total_slope(roots, n_groups)
    settle(roots, n_groups, radius, surplus, slope)
    return max(theta + surplus / slope, 0.0)


cdef double clip_levels(
    const floating* x, const Groups* layout, const double* norms, const double* largest,
    double radius, double low, double guess, double* levels, int n_threads
) noexcept nogil:
    """Find the levels and theta; NaN if there is no memory."""
    cdef:
        Groups groups = layout[0]
        void* copies = copy_as_rows(&x, &groups)
        Py_ssize_t n_groups = groups.n_groups, j
        Roots roots
        double theta
        double* numbers = <double*>malloc(5 * n_groups * sizeof(double))
    if numbers == NULL:
        free(copies)
        return NAN
    roots.norms = norms
    roots.radii = numbers
    roots.levels = levels
    roots.steps = numbers + n_groups
    roots.counts = numbers + 2 * n_groups
    roots.below = numbers + 3 * n_groups
    roots.above = numbers + 4 * n_groups
    roots.max_looks = looks_in_cache(&groups)
    roots.near = NULL
    roots.entries = NULL
    # Long columns cost less to keep than to copy again.
    if roots.max_looks == MANY and not are_contiguous(&groups) and (
            groups.size >= MIN_SAMPLED):
        roots.room = groups.size // NEAR_PART + 1
        roots.entries = malloc(n_groups * roots.room * sizeof(floating))
        if roots.entries != NULL:  # slower without, but possible
            roots.near = <Near*>malloc(n_groups * sizeof(Near))
    if roots.near != NULL:
        for j in range(n_groups):
            roots.near[j].at_low = -INFINITY
            roots.near[j].at_high = INFINITY
    theta = solve(x, &groups, largest, radius, low, guess, &roots, numbers, n_threads)
    free(copies)
    free(roots.near)
    free(roots.entries)
    free(numbers)
    return theta


def l1inf_levels(
    const floating[:, :] X,      # IN, (n_groups, group_size), one stride is one entry
    const double[:, ::1] norms,  # IN, (2, n_groups), l1 and l_inf norms of the groups
    double radius,               # 0 < radius < sum(norms[1])
    double low,                  # at most theta; 0 is always right
    double guess,                # of theta; anything
    double[::1] levels,          # OUT, (n_groups,)
    int n_threads,
    const Py_ssize_t[::1] indptr=None,  # IN, (n_groups + 1,), of segments of one row
):
    """Clipping level of each group; returns theta."""
    cdef:
        Py_ssize_t n_groups = norms.shape[1], j
        const floating* x = &X[0, 0]
        Groups groups = groups_of(n_groups, X.shape[1], X.strides[0], X.strides[1],
                                  sizeof(floating))
        double theta
    if indptr is not None:
        groups.indptr = &indptr[0]
        groups.size = 1
        for j in range(n_groups):
            groups.size = max(groups.size, indptr[j + 1] - indptr[j])
    with nogil:
        theta = clip_levels(x, &groups, &norms[0, 0], &norms[1, 0], radius, low, guess,
                            &levels[0], n_threads)
    if theta != theta:
        raise MemoryError("No memory for the workspace of the l1,inf projection.")
    return theta


cdef double project_block(
    const floating* x, const Groups* groups, double radius, double low, double high,
    double* norms, floating* out, const Groups* targets
) noexcept nogil:
    """Project groups with a workspace of three numbers for each."""
    cdef:
        Py_ssize_t n_groups = groups.n_groups
        double* largest = norms + n_groups
        double* levels = norms + 2 * n_groups
        double extreme, tau, level, offset, theta
    if norms_of_block(SKPROJ_NORM_L1, x, groups, norms, largest):
        return NAN
    _, extreme = extremes(norms, n_groups)
    if not low < extreme < high:  # NaN as well
        return NAN
    tau = l1_threshold(largest, n_groups,
                       reduce_group(SKPROJ_NORM_L1, largest, n_groups), radius, &level,
                       &offset)
    if tau == 0.0:
        return 0.0
    theta = clip_levels(x, groups, norms, largest, radius, tau, NAN, levels, 1)
    if theta == theta:
        map_block(SKPROJ_MAP_CLIP, x, groups, levels, levels, out, targets)
    return theta


def project_l1inf(
    const floating[:, :] X,  # IN, (n_groups, group_size), one stride is one entry
    double radius,           # IN, positive
    double low,              # IN, what the largest norm has to be between, so that
    double high,             # sums neither overflow nor lose digits
    floating[:, :] out,      # OUT, same layout as X; may be X itself
):
    """Project a small matrix in one call; return theta.

    Nothing is written if it is 0, inside the ball, nor if it is NaN: then the norms are
    not between ``low`` and ``high``, or there is no memory.
    """
    cdef:
        Py_ssize_t n_groups = X.shape[0]
        const floating* x = &X[0, 0]
        floating* y = &out[0, 0]
        Groups groups = groups_of(n_groups, X.shape[1], X.strides[0], X.strides[1],
                                  sizeof(floating))
        Groups targets = groups_of(n_groups, X.shape[1], out.strides[0],
                                   out.strides[1], sizeof(floating))
        double theta = NAN
        double* norms = <double*>malloc(3 * n_groups * sizeof(double))
    if norms != NULL:
        with nogil:
            theta = project_block(x, &groups, radius, low, high, norms, y, &targets)
        free(norms)
    return theta
