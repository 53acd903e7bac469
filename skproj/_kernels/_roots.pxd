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
from ._newton cimport FIRST_SAMPLE, MANY, MIN_SAMPLED, Root, newton, start_near_root
from ._simd cimport (
    SKPROJ_LANES, gather_columns, newton_lanes, pack_lanes, skproj_lanes
)

cdef enum:
    # Entries of a tile of columns that is copied, which fits the cache. Most blocks of
    # SKPROJ_LANES columns in such a tile, and in one that is read where it lies.
    TILE_ENTRIES = 1 << 17
    MAX_TILE_BLOCKS = 256
    MAX_STREAMED_BLOCKS = 64
    # Entries of arrays in which one look at each group costs little.
    CACHED_ENTRIES = 1 << 16


cdef struct Roots:
    # Of each group: the l1 norm, or the l_inf norm if the values are signed; the
    # radius, infinite where there is nothing to do; the results, as in Root. A level
    # that is not NaN is where to start. Steps may take the place of the radii, and the
    # last three may be NULL.
    const double* norms
    const double* radii
    double* levels
    double* steps
    double* counts
    double* below
    double* above
    int max_looks  # at a group


cdef inline int looks_in_cache(const Groups* groups) noexcept nogil:
    """Looks at a group that pay before the others are looked at.

    After the first they are cheap, if the group, or its tile, is in the cache by then.
    """
    if groups.n_groups * groups.size <= CACHED_ENTRIES:
        return 1
    return MANY if groups.size < MIN_SAMPLED else 1


cdef inline void store_root(
    const Roots* roots, Py_ssize_t j, const Root* root
) noexcept nogil:
    roots.levels[j] = root.level
    roots.steps[j] = root.step
    if roots.counts != NULL:
        roots.counts[j] = root.count
        roots.below[j] = root.below
        roots.above[j] = root.above


cdef inline double spread_of(
    const Roots* roots, Py_ssize_t j, double radius
) noexcept nogil:
    """Number of entries that share what a group loses, if each lost the threshold.

    Neighbours are alike in this, which makes a good start. It is 0 if not known. The
    radius may have been overwritten by the result.
    """
    cdef double root = roots.levels[j] + roots.steps[j]
    return (roots.norms[j] - radius) / root if root > 0.0 else 0.0


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
        double spread = 0.0, radius
        const floating* group
        Py_ssize_t j, n
        Root root
    for j in range(first, last):
        radius = roots.radii[j]
        if radius == INFINITY:
            continue
        group = x + start_of(groups, j)
        n = size_of(groups, j)
        root = newton(group, n, radius, signed_, 0, 0.0, 0.0,
                      start_for(group, n, signed_, roots, j, spread), roots.max_looks)
        store_root(roots, j, &root)
        spread = spread_of(roots, j, radius)


cdef inline void find_roots_of_rows(
    const floating* x, const Groups* groups, bint signed_, const Roots* roots,
    int n_threads
) noexcept nogil:
    """Find the roots of contiguous groups."""
    # Some neighbours together, as they start from each other; blocks for 64 threads.
    cdef Py_ssize_t width = max(groups_together(groups),
                                min(groups.n_groups // 64, <Py_ssize_t>8)), block
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


cdef inline void find_roots_of_blocks(
    const floating* x, Py_ssize_t size, Py_ssize_t stride, double share, bint signed_,
    const Roots* roots, Py_ssize_t begin, Py_ssize_t first, Py_ssize_t last,
    double spread, skproj_lanes* blocks, floating* column
) noexcept nogil:
    """Find the roots of columns from ``first`` on, where blocks begin at ``begin``.

    There are ``size`` rows. If these are a sample, only a share of all, what is found
    becomes the level to start with.
    """
    cdef:
        Py_ssize_t n_blocks = (last - begin + SKPROJ_LANES - 1) // SKPROJ_LANES
        Py_ssize_t block, start, j, k
        skproj_lanes* lanes
        Root root
    for block in range(n_blocks):
        lanes = &blocks[block]
        start = min(begin + block * SKPROJ_LANES, last - SKPROJ_LANES)
        for k in range(SKPROJ_LANES):
            j = start + k
            lanes.radius[k] = INFINITY
            lanes.lowest[k] = 0.0
            lanes.level[k] = 0.0
            if roots.radii[j] == INFINITY or j < max(
                    first, begin + block * SKPROJ_LANES):
                continue
            lanes.radius[k] = share * roots.radii[j]
            # Rounding must not carry it past the root.
            lanes.lowest[k] = (
                -(roots.norms[j] + roots.radii[j]) if signed_
                else share * (roots.norms[j] * (1.0 - 1e-14) - roots.radii[j]) / size)
            lanes.level[k] = roots.levels[j]
            if isnan(roots.levels[j]):
                lanes.level[k] = (lanes.lowest[k] if signed_ or not spread > 0.0
                                  else (roots.norms[j] - roots.radii[j]) / spread)
    newton_lanes(x, size, stride, last - begin, signed_,
                 roots.max_looks if share == 1.0 else MANY, blocks)
    for block in range(n_blocks):
        lanes = &blocks[block]
        start = min(begin + block * SKPROJ_LANES, last - SKPROJ_LANES)
        for k in range(SKPROJ_LANES):
            j = start + k
            if lanes.radius[k] == INFINITY:
                continue
            if share < 1.0:  # NaN, as if nothing were known, is allowed
                roots.levels[j] = lanes.level[k] + lanes.step[k]
            elif isnan(lanes.step[k]):
                find_root_of_column(x + j - begin, size, stride, signed_, roots, j,
                                    column)
            else:
                root.level = lanes.level[k]
                root.step = lanes.step[k]
                root.count = lanes.count[k]
                root.below = lanes.below[k]
                root.above = lanes.above[k]
                store_root(roots, j, &root)


cdef inline void find_roots_of_tile(
    const floating* x, const Groups* groups, bint signed_, const Roots* roots,
    Py_ssize_t first, Py_ssize_t last, skproj_lanes* blocks, floating* column,
    floating* packed
) noexcept nogil:
    """Find the roots of some columns, with those copied to ``packed`` that matter."""
    cdef:
        Py_ssize_t size = groups.size, stride = groups.entry_stride, block, j
        Py_ssize_t begin = min(first, last - SKPROJ_LANES)  # not negative
        Py_ssize_t n_blocks = (last - first + SKPROJ_LANES - 1) // SKPROJ_LANES
        char[MAX_TILE_BLOCKS] wanted
        Py_ssize_t n_rows
        bint any_wanted = False, is_unknown = False
        double spread = 0.0, radius
        const floating* lanes
    if packed == NULL:
        for j in range(first, last):
            is_unknown = is_unknown or (roots.radii[j] < INFINITY
                                        and isnan(roots.levels[j]))
        n_rows = FIRST_SAMPLE if is_unknown and size >= MIN_SAMPLED else size
        while 2 * n_rows <= size:
            find_roots_of_blocks(
                x + begin, n_rows, stride * (size // n_rows), <double>n_rows / size,
                signed_, roots, begin, first, last, spread, blocks, column)
            n_rows *= 4
        find_roots_of_blocks(x + begin, size, stride, 1.0, signed_, roots, begin, first,
                             last, spread, blocks, column)
        return
    for block in range(n_blocks):
        wanted[block] = False
        for j in range(first + block * SKPROJ_LANES,
                       min(first + (block + 1) * SKPROJ_LANES, last)):
            wanted[block] = wanted[block] or roots.radii[j] < INFINITY
        any_wanted = any_wanted or wanted[block]
    if not any_wanted:
        return
    pack_lanes(x + first, size, stride, last - first, wanted, packed)
    for block in range(n_blocks):
        if not wanted[block]:
            continue
        j = first + block * SKPROJ_LANES
        begin = min(j, last - SKPROJ_LANES)
        lanes = <const floating*>packed + block * size * SKPROJ_LANES
        radius = roots.radii[j]
        find_roots_of_blocks(lanes, size, SKPROJ_LANES, 1.0, signed_, roots, begin, j,
                             begin + SKPROJ_LANES, spread, blocks, column)
        if radius < INFINITY:
            spread = spread_of(roots, j, radius)


cdef inline int find_roots_of_columns(
    const floating* x, const Groups* groups, bint signed_, const Roots* roots,
    int n_threads
) noexcept nogil:
    """Find the roots of columns side by side; -1 if there is no memory."""
    cdef:
        Py_ssize_t size = groups.size, n_groups = groups.n_groups, n_blocks, width, tile
        Py_ssize_t room, j
        bint few = n_groups < SKPROJ_LANES
        # Long columns are read where they lie: a copy takes longer than a look.
        bint pack = not few and size < MIN_SAMPLED and roots.max_looks > 1
        skproj_lanes* blocks
        floating* columns
        floating* column
    n_blocks = (n_groups + SKPROJ_LANES - 1) // SKPROJ_LANES
    if pack:  # not by the number of threads: columns of a tile start from each other
        n_blocks = min(max(TILE_ENTRIES // size // SKPROJ_LANES, 1),  # not empty
                       <Py_ssize_t>MAX_TILE_BLOCKS, n_blocks)
    else:
        n_blocks = min((n_blocks + n_threads - 1) // n_threads,  # at least one
                       <Py_ssize_t>MAX_STREAMED_BLOCKS)
    width = n_blocks * SKPROJ_LANES
    room = size + size * width * pack
    if n_groups <= width:
        n_threads = 1
    columns = <floating*>malloc(n_threads * room * sizeof(floating))
    blocks = <skproj_lanes*>malloc(n_threads * n_blocks * sizeof(skproj_lanes))
    if columns == NULL or blocks == NULL:
        free(columns)
        free(blocks)
        return -1
    if few:
        for j in range(n_groups):
            if roots.radii[j] < INFINITY:
                find_root_of_column(x + j, size, groups.entry_stride, signed_, roots, j,
                                    columns)
    elif n_groups <= width:  # without the cost of OpenMP
        find_roots_of_tile(x, groups, signed_, roots, 0, n_groups, blocks, columns,
                           columns + size if pack else NULL)
    else:
        for tile in prange((n_groups + width - 1) // width, num_threads=n_threads,
                           schedule="dynamic"):
            column = columns + threadid() * room
            find_roots_of_tile(
                x, groups, signed_, roots, tile * width,
                min((tile + 1) * width, n_groups), blocks + threadid() * n_blocks,
                column, column + size if pack else NULL)
    free(columns)
    free(blocks)
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
