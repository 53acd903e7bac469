"""Roots behind the projections: one threshold per vector, one level per group.

Simplex and l1 ball: tau with ``sum(max(a - tau, 0)) == radius``. The left side is
convex and decreasing in tau, so Newton's method from the left of the root rises
monotonically and ends after finitely many steps; entries that fall below the
current tau are dropped for good. Expected linear time.

Exact l1,inf ball: one theta and one level mu_j per group with
``sum_i max(|x_ij| - mu_j, 0) == theta`` (mu_j = 0 where ``||x_j||_1 <= theta``) and
``sum_j mu_j == radius``. Newton in theta outside, Newton in mu_j inside; both start
left of their root, groups that die stay dead.

References: Condat, Math. Program. 158 (2016), doi:10.1007/s10107-015-0946-6;
Chu et al., ICML 2020; Perez, Condat, Barlaud, arXiv:2307.09836.
"""

from cython cimport floating
from cython.parallel cimport prange, threadid
from libc.math cimport fabs
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from ._simd cimport count_above, gather_tile

# Groups copied together where they are adjacent columns: whole cache lines.
cdef Py_ssize_t GATHER = 16
cdef double EPS = 2.220446049250313e-16


cdef double newton_threshold(
    double* a, Py_ssize_t n, double tau, double radius
) noexcept nogil:
    """Rise from tau, left of the root, to the root. Compacts ``a`` in place."""
    cdef:
        Py_ssize_t i, kept, previous = -1
        double excess, over
    while True:
        kept = 0
        excess = 0.0
        for i in range(n):
            over = a[i] - tau
            if over > 0.0:
                a[kept] = a[i]
                kept += 1
                excess += over
        if kept == 0:
            return tau
        tau += (excess - radius) / kept
        if kept == previous:
            return tau
        previous = kept
        n = kept


cdef double threshold_of(
    const floating* x, Py_ssize_t n, Py_ssize_t stride, double radius, bint signed_,
    double* work
) noexcept nogil:
    """Threshold of one vector: of x itself (simplex) or of abs(x) (l1 ball).

    For the l1 ball, 0 when x is inside already. ``work`` holds n doubles.
    """
    cdef:
        Py_ssize_t i, kept = 0
        double value, largest, total = 0.0, tau
    largest = x[0] if signed_ else fabs(<double>x[0])
    for i in range(n):
        value = x[i * stride]
        if not signed_:
            value = fabs(value)
        total += value
        largest = max(largest, value)
    if not signed_ and total <= radius:
        return 0.0
    if radius == 0.0:
        return largest
    # Left of the root: the largest entry alone, or all entries together.
    tau = max(largest - radius, (total - radius) / n)
    for i in range(n):
        value = x[i * stride]
        if not signed_:
            value = fabs(value)
        if value > tau:
            work[kept] = value
            kept += 1
    return newton_threshold(work, kept, tau, radius)


def group_thresholds(
    const floating[:, :] X,  # IN, (n_groups, group_size), any strides
    const double[::1] radii,  # IN, (n_groups,)
    bint signed_,            # simplex (True) or l1 ball (False)
    double[::1] out,         # OUT, (n_groups,)
    int n_threads,
):
    """Threshold of each group for its own radius."""
    cdef:
        Py_ssize_t n_groups = X.shape[0], size = X.shape[1], j
        Py_ssize_t group_stride, entry_stride
        const floating* x
        double* work

    if n_groups == 0 or size == 0:
        return
    x = &X[0, 0]
    group_stride = X.strides[0] // <Py_ssize_t>sizeof(floating)
    entry_stride = X.strides[1] // <Py_ssize_t>sizeof(floating)
    n_threads = <int>min(<Py_ssize_t>n_threads, n_groups)
    work = <double*>malloc(n_threads * size * sizeof(double))
    if work == NULL:
        raise MemoryError("No memory for the workspace of the l1 threshold.")
    for j in prange(n_groups, nogil=True, num_threads=n_threads, schedule="static"):
        out[j] = threshold_of(x + j * group_stride, size, entry_stride,
                              radii[j], signed_, work + threadid() * size)
    free(work)


cdef Py_ssize_t level_of(
    const floating* x, Py_ssize_t n, double theta, double start, Py_ssize_t previous,
    double* level
) noexcept nogil:
    """Rise from start to the mu with ``sum(max(|x| - mu, 0)) == theta``.

    ``previous`` is the count that belongs to ``start`` if known, else -1. Returns
    the number of entries above mu.
    """
    cdef:
        Py_ssize_t count
        double excess = 0.0, mu = start
    while True:
        count = count_above(x, n, mu, &excess)
        if count == 0:
            break
        mu += (excess - theta) / count
        if count == previous or excess - theta <= 2 * EPS * theta:
            break
        previous = count
    level[0] = max(mu, 0.0)
    return max(count, 1)


cdef void update_tile(
    const floating* x,      # first entry of the first group of the tile
    Py_ssize_t size, Py_ssize_t width, Py_ssize_t entry_stride, bint contiguous,
    const double* l1, const double* largest, double theta, double theta_before,
    floating* buffer, double* levels, Py_ssize_t* counts
) noexcept nogil:
    """Levels and counts of the groups of one tile for a theta that has risen."""
    cdef:
        Py_ssize_t j
        double low
        bint any_alive = False
        const floating* group

    for j in range(width):
        if l1[j] <= theta:
            levels[j] = 0.0
            counts[j] = 0
        else:
            any_alive = True
    if not any_alive:
        return
    if not contiguous:
        gather_tile(x, size, width, entry_stride, buffer)
    for j in range(width):
        if l1[j] > theta:
            group = x if contiguous else buffer + j * size
            # Left of the root: two bounds, and the tangent of the convex mu_j(theta).
            low = max(largest[j] - theta, (l1[j] - theta) / size)
            if counts[j] > 0:
                low = max(low, levels[j] - (theta - theta_before) / counts[j])
            counts[j] = level_of(group, size, theta, low, counts[j], &levels[j])


def l1inf_levels(
    const floating[:, :] X,    # IN, (n_groups, group_size), one stride is one entry
    const double[::1] l1,      # IN, (n_groups,), l1 norms of the groups
    const double[::1] largest,  # IN, (n_groups,), l_inf norms of the groups
    double radius,             # 0 < radius < sum(largest)
    double start,              # 0 <= start <= theta
    double[::1] levels,        # OUT, (n_groups,)
    int n_threads,
):
    """Clipping level of each group for the exact l1,inf ball; returns theta."""
    cdef:
        Py_ssize_t n_groups = X.shape[0], size = X.shape[1]
        Py_ssize_t group_stride, entry_stride, width, n_tiles, tile, first, last, j
        Py_ssize_t n_alive, n_changed, _step
        double theta = start, theta_before = 0.0, total, slope, surplus
        const floating* x = &X[0, 0]
        floating* buffers = NULL
        Py_ssize_t* counts = NULL
        Py_ssize_t* counts_before = NULL
        bint contiguous

    group_stride = X.strides[0] // <Py_ssize_t>sizeof(floating)
    entry_stride = X.strides[1] // <Py_ssize_t>sizeof(floating)
    contiguous = entry_stride == 1 or size == 1
    width = 1 if contiguous else min(GATHER, n_groups)
    n_tiles = (n_groups + width - 1) // width
    n_threads = <int>min(<Py_ssize_t>n_threads, n_tiles)
    counts = <Py_ssize_t*>calloc(n_groups, sizeof(Py_ssize_t))
    counts_before = <Py_ssize_t*>malloc(n_groups * sizeof(Py_ssize_t))
    if not contiguous:
        buffers = <floating*>malloc(n_threads * width * size * sizeof(floating))
    if counts == NULL or counts_before == NULL or (
        buffers == NULL and not contiguous
    ):
        free(counts)
        free(counts_before)
        free(buffers)
        raise MemoryError("No memory for the workspace of the l1,inf projection.")
    levels[:] = largest

    # Newton needs about ten steps; the bound only rules out an endless loop.
    for _step in range(10_000):
        memcpy(counts_before, counts, n_groups * sizeof(Py_ssize_t))
        for tile in prange(n_tiles, nogil=True, num_threads=n_threads,
                           schedule="static"):
            first = tile * width
            last = min(first + width, n_groups)
            update_tile(
                x + first * group_stride, size, last - first, entry_stride, contiguous,
                &l1[first], &largest[first], theta, theta_before,
                buffers + threadid() * width * size, &levels[first], &counts[first])
        total = 0.0
        slope = 0.0
        n_alive = 0
        n_changed = 0
        for j in range(n_groups):
            n_changed += counts[j] != counts_before[j]
            if counts[j] > 0:
                n_alive += 1
                total += levels[j]
                slope += 1.0 / counts[j]
        if n_alive == 0 or total - radius <= 2 * EPS * radius:
            break
        theta_before = theta
        theta += (total - radius) / slope
        if n_changed == 0 or theta == theta_before:
            break
    # The last step along the linear piece makes the levels add up to the radius.
    if n_alive > 0:
        surplus = (total - radius) / slope
        for j in range(n_groups):
            if counts[j] > 0:
                levels[j] = max(levels[j] - surplus / counts[j], 0.0)
    free(counts)
    free(counts_before)
    free(buffers)
    return theta
