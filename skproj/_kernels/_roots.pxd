# Newton's method for the roots of ``sum(max(v - t, 0)) == radius`` of many groups.
#
# A group is contiguous (a row, or a segment of a vector), or a column of a matrix in C
# order. Columns are solved for side by side: SKPROJ_LANES of them fill the vectors of
# the processor. No root depends on the number of threads.

from cython cimport floating
from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY, isnan
from libc.stdlib cimport free, malloc

from ._layout cimport Groups, are_contiguous, groups_together, size_of, start_of
from ._newton cimport Root, newton, start_near_root
from ._simd cimport (
    SKPROJ_LANES, gather_columns, newton_lanes, pack_lanes, skproj_lanes
)

cdef enum:
    # Entries of a tile of columns, which fits the cache; columns of any tile, at least;
    # and blocks of SKPROJ_LANES columns, at most.
    TILE_ENTRIES = 1 << 17
    MIN_TILE_WIDTH = 16
    MAX_TILE_BLOCKS = 256
    # Longer columns are read where they are, since a copy would not stay in the cache.
    MAX_PACKED_ROWS = 1 << 15


cdef struct Roots:
    # Of each group: the l1 norm, or the l_inf norm if the values are signed; the
    # radius, infinite where there is nothing to do; the results, as in Root. A level
    # that is not NaN is where to start. The last three may be NULL.
    const double* norms
    const double* radii
    double* levels
    double* steps
    double* counts
    double* below
    double* above
    int max_looks  # at a group


cdef inline void store_root(
    const Roots* roots, Py_ssize_t j, const Root* root
) noexcept nogil:
    roots.levels[j] = root.level
    roots.steps[j] = root.step
    if roots.counts != NULL:
        roots.counts[j] = root.count
        roots.below[j] = root.below
        roots.above[j] = root.above


cdef inline double spread_of(const Roots* roots, Py_ssize_t j) noexcept nogil:
    """Number of entries that share what a group loses, if each lost the threshold.

    Neighbours are alike in this, which makes a good start. It is 0 if not known.
    """
    cdef double root = roots.levels[j] + roots.steps[j]
    return (roots.norms[j] - roots.radii[j]) / root if root > 0.0 else 0.0


cdef inline double start_for(
    const floating* x, Py_ssize_t n, bint signed_, const Roots* roots, Py_ssize_t j,
    double spread
) noexcept nogil:
    """Level to start with, in a contiguous group."""
    if not isnan(roots.levels[j]):
        return roots.levels[j]
    if spread > 0.0 and not signed_:
        return (roots.norms[j] - roots.radii[j]) / spread
    return start_near_root(x, n, roots.norms[j], roots.radii[j], signed_)


cdef inline void find_roots_of_some_rows(
    const floating* x, const Groups* groups, bint signed_, const Roots* roots,
    Py_ssize_t first, Py_ssize_t last
) noexcept nogil:
    """Find the roots of some contiguous groups, one after the other."""
    cdef:
        double spread = 0.0
        const floating* group
        Py_ssize_t j, n
        Root root
    for j in range(first, last):
        if roots.radii[j] == INFINITY:
            continue
        group = x + start_of(groups, j)
        n = size_of(groups, j)
        root = newton(group, n, roots.radii[j], signed_, 0, 0.0, 0.0,
                      start_for(group, n, signed_, roots, j, spread), roots.max_looks)
        store_root(roots, j, &root)
        spread = spread_of(roots, j)


cdef inline void find_roots_of_rows(
    const floating* x, const Groups* groups, bint signed_, const Roots* roots,
    int n_threads
) noexcept nogil:
    """Find the roots of contiguous groups."""
    cdef Py_ssize_t width = groups_together(groups), block
    if groups.n_groups <= width:  # without the cost of OpenMP
        find_roots_of_some_rows(x, groups, signed_, roots, 0, groups.n_groups)
        return
    for block in prange((groups.n_groups + width - 1) // width, num_threads=n_threads,
                        schedule="dynamic"):
        find_roots_of_some_rows(x, groups, signed_, roots, block * width,
                                min((block + 1) * width, groups.n_groups))


cdef inline void find_root_of_column(
    const floating* x, Py_ssize_t size, Py_ssize_t stride, bint signed_,
    const Roots* roots, Py_ssize_t j, floating* column
) noexcept nogil:
    """Find the root of a column by itself, in a copy of it."""
    cdef Root root
    gather_columns(x, size, 1, stride, column, size)
    root = newton(<const floating*>column, size, roots.radii[j], signed_, 0, 0.0, 0.0,
                  start_for(<const floating*>column, size, signed_, roots, j, 0.0),
                  roots.max_looks)
    store_root(roots, j, &root)


cdef inline double find_roots_of_lanes(
    const floating* x, Py_ssize_t size, Py_ssize_t stride, bint signed_,
    const Roots* roots, Py_ssize_t first, Py_ssize_t own, double spread,
    floating* column
) noexcept nogil:
    """Find the roots of the columns from ``first`` on, those before ``own`` excepted.

    Returns the spread of one of them. ``column`` has room for one.
    """
    cdef:
        skproj_lanes lanes
        Root root
        Py_ssize_t j, k
    for k in range(SKPROJ_LANES):
        j = first + k
        lanes.radius[k] = INFINITY
        lanes.lowest[k] = 0.0
        lanes.level[k] = 0.0
        if j < own or roots.radii[j] == INFINITY:
            continue
        lanes.radius[k] = roots.radii[j]
        lanes.lowest[k] = (-(roots.norms[j] + roots.radii[j]) if signed_
                           else (roots.norms[j] - roots.radii[j]) / size)
        lanes.level[k] = roots.levels[j]
        if isnan(roots.levels[j]):
            lanes.level[k] = (lanes.lowest[k] if signed_ or not spread > 0.0
                              else (roots.norms[j] - roots.radii[j]) / spread)
    newton_lanes(x, size, stride, signed_, roots.max_looks, &lanes)
    for k in range(SKPROJ_LANES):
        if lanes.radius[k] == INFINITY:
            continue
        if isnan(lanes.step[k]):
            find_root_of_column(x + k, size, stride, signed_, roots, first + k, column)
        else:
            root.level = lanes.level[k]
            root.step = lanes.step[k]
            root.count = lanes.count[k]
            root.below = lanes.below[k]
            root.above = lanes.above[k]
            store_root(roots, first + k, &root)
        spread = spread_of(roots, first + k)
    return spread


cdef inline void find_roots_of_tile(
    const floating* x, const Groups* groups, bint signed_, const Roots* roots,
    Py_ssize_t first, Py_ssize_t last, floating* column, floating* packed
) noexcept nogil:
    """Find the roots of some columns, with those copied to ``packed`` that matter."""
    cdef:
        Py_ssize_t size = groups.size, stride = groups.entry_stride, block, j, start
        char[MAX_TILE_BLOCKS] wanted
        bint any_wanted = False
        double spread = 0.0
        const floating* lanes
    for block in range((last - first + SKPROJ_LANES - 1) // SKPROJ_LANES):
        wanted[block] = False
        for j in range(first + block * SKPROJ_LANES,
                       min(first + (block + 1) * SKPROJ_LANES, last)):
            wanted[block] = wanted[block] or roots.radii[j] < INFINITY
        any_wanted = any_wanted or wanted[block]
    if not any_wanted:
        return
    if packed != NULL:
        pack_lanes(x + first, size, stride, last - first, wanted, packed)
    for block in range((last - first + SKPROJ_LANES - 1) // SKPROJ_LANES):
        if not wanted[block]:
            continue
        j = first + block * SKPROJ_LANES
        start = min(j, last - SKPROJ_LANES)  # not negative: there are enough columns
        lanes = (x + start if packed == NULL
                 else <const floating*>packed + block * size * SKPROJ_LANES)
        spread = find_roots_of_lanes(
            lanes, size, stride if packed == NULL else <Py_ssize_t>SKPROJ_LANES,
            signed_, roots, start, j, spread, column)


cdef inline int find_roots_of_columns(
    const floating* x, const Groups* groups, bint signed_, const Roots* roots,
    int n_threads
) noexcept nogil:
    """Find the roots of columns; -1 if there is no memory."""
    cdef:
        Py_ssize_t size = groups.size, n_groups = groups.n_groups, width, tile, room, j
        bint few = n_groups < SKPROJ_LANES
        bint pack = not few and size <= MAX_PACKED_ROWS and roots.max_looks > 1
        floating* buffers
        floating* packed
    width = max(TILE_ENTRIES // size, <Py_ssize_t>MIN_TILE_WIDTH)  # not empty
    width = min(width // SKPROJ_LANES, <Py_ssize_t>MAX_TILE_BLOCKS) * SKPROJ_LANES
    room = size + (size * min(width, n_groups + SKPROJ_LANES) if pack else 0)
    buffers = <floating*>malloc(
        (n_threads if n_groups > width else 1) * room * sizeof(floating))
    if buffers == NULL:
        return -1
    if few:
        for j in range(n_groups):
            if roots.radii[j] < INFINITY:
                find_root_of_column(x + j, size, groups.entry_stride, signed_, roots, j,
                                    buffers)
    elif n_groups <= width:  # without the cost of OpenMP
        find_roots_of_tile(x, groups, signed_, roots, 0, n_groups, buffers,
                           buffers + size if pack else NULL)
    else:
        for tile in prange((n_groups + width - 1) // width, num_threads=n_threads,
                           schedule="dynamic"):
            packed = buffers + threadid() * room + size
            find_roots_of_tile(
                x, groups, signed_, roots, tile * width,
                min((tile + 1) * width, n_groups), packed - size,
                packed if pack else NULL)
    free(buffers)
    return 0


cdef inline int find_roots(
    const floating* x, const Groups* groups, bint signed_, const Roots* roots,
    int n_threads
) noexcept nogil:
    """Find the roots of all groups; -1 if there is no memory."""
    if are_contiguous(groups):
        find_roots_of_rows(x, groups, signed_, roots, n_threads)
        return 0
    return find_roots_of_columns(x, groups, signed_, roots, n_threads)
