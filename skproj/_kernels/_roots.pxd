# Newton's method for the roots of ``sum(max(v - t, 0)) == radius`` of many groups.
#
# A group is contiguous (a row, or a segment of a vector), or a column of a matrix in C
# order. Columns are copied, some of them together, and solved for as rows. No root
# depends on the number of threads, nor on where in memory the columns are.

from cython cimport floating
from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY, isnan
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from ._layout cimport (
    LINE, Groups, are_contiguous, begin_line, columns_together, groups_together,
    pitch_of, place_in_line, size_of, start_of
)
from ._newton cimport MANY, Root, newton, start_near_root
from ._simd cimport SKPROJ_SLACK, collect_band, gather_columns, rounded_down

cdef enum:
    # Entries of arrays in which one look at each group costs little.
    CACHED_ENTRIES = 1 << 16
    # Entries of a group that fit the cache.
    MAX_LOOKED_AT = 1 << 15
    # Columns without a root in a row that end a run of columns that are copied.
    GAP = 32
    # The part of a group that is kept from a look, at most: 1 / NEAR_PART.
    NEAR_PART = 16
    # The next radius may differ by 1 / NEAR_RADIUS, for its root to be among them.
    NEAR_RADIUS = 64


cdef struct Near:
    # Of a group that was looked at: how many entries are above ``high``, with what
    # excess over ``low``, how many between the two are kept, and the radii of both.
    double low, high, excess, at_low, at_high
    Py_ssize_t count, kept


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
    # Of each group, or NULL: what is kept, and the entries, with room for that many.
    Near* near
    void* entries
    Py_ssize_t room
    # The group that others start from, which is done, or -1; its spread_of, or 0.
    Py_ssize_t first
    double spread


cdef inline int looks_in_cache(const Groups* groups) noexcept nogil:
    """Looks at a group that pay before the others are looked at.

    After the first they are cheap, as the group is in the cache by then.
    """
    if groups.n_groups * groups.size <= CACHED_ENTRIES:
        return 1
    return MANY if groups.size < MAX_LOOKED_AT or not are_contiguous(groups) else 1


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

    Groups are alike in this, which makes a good start. It is 0 if not known. The radius
    may have been overwritten by the result.
    """
    cdef double root = roots.levels[j] + roots.steps[j]
    return (roots.norms[j] - radius) / root if root > 0.0 else 0.0


cdef inline double start_for(
    const floating* x, Py_ssize_t n, bint signed_, const Roots* roots, Py_ssize_t j
) noexcept nogil:
    """Level to start with, in a contiguous group."""
    if not isnan(roots.levels[j]):
        return roots.levels[j]
    if roots.spread > 0.0:
        return (roots.norms[j] - roots.radii[j]) / roots.spread
    return start_near_root(x, n, roots.norms[j], roots.radii[j], signed_)


cdef inline bint is_wanted(const Roots* roots, Py_ssize_t j) noexcept nogil:
    """Whether a group has to be looked at."""
    return roots.radii[j] < INFINITY and (
        roots.near == NULL
        or not roots.near[j].at_high <= roots.radii[j] <= roots.near[j].at_low)


cdef inline void keep_near(
    const floating* group, Py_ssize_t n, bint signed_, const Roots* roots, Py_ssize_t j,
    double radius, floating* scratch
) noexcept nogil:
    """Keep the entries near a root, for the roots of radii that are nearly the same.

    ``scratch`` has room for ``n + SKPROJ_SLACK`` entries.
    """
    cdef:
        Near* near = &roots.near[j]
        double root = roots.levels[j] + roots.steps[j]
        double width = radius / NEAR_RADIUS / roots.counts[j]  # one is above the level
        double in_band = 0.0
        Py_ssize_t i
    near.low = rounded_down(root - width, group)  # compared with entries
    near.high = <floating>(root + width)
    near.at_low = -INFINITY
    near.count = 0
    near.excess = 0.0
    near.kept = collect_band(group, n, <floating>near.low, <floating>near.high, signed_,
                             scratch, &near.count, &near.excess)
    if near.kept > roots.room or near.count + near.kept == 0:
        return
    for i in range(near.kept):
        in_band += scratch[i] - near.low
    memcpy(<floating*>roots.entries + j * roots.room, scratch,
           near.kept * sizeof(floating))
    near.at_low = near.excess + in_band
    near.at_high = near.excess - near.count * (near.high - near.low)


cdef inline void find_root_near(
    const floating* like, bint signed_, const Roots* roots, Py_ssize_t j
) noexcept nogil:
    """Find a root among the entries that were kept."""
    cdef:
        Near* near = &roots.near[j]
        Root root = newton(
            <const floating*>roots.entries + j * roots.room, near.kept, roots.radii[j],
            True, near.count, near.excess, near.low,
            min(max(roots.levels[j], near.low), near.high), MANY)
    root.below = max(root.below, near.low)
    root.above = min(root.above, near.high)
    store_root(roots, j, &root)


cdef inline void copy_columns(
    const floating* x, const Groups* groups, const Roots* roots, Py_ssize_t first,
    Py_ssize_t last, floating* copies
) noexcept nogil:
    """Copy the columns of a tile that have to be looked at.

    They come with the rest of their cache lines, and with those in between: short runs
    of columns are read more slowly than long ones.
    """
    cdef:
        Py_ssize_t line = LINE // sizeof(floating), j = first, start, stop
        Py_ssize_t place = place_in_line(x, sizeof(floating))
        Py_ssize_t pitch = pitch_of(groups.size, sizeof(floating))
    while j < last:
        start = stop = j
        while j < last and (j < stop + GAP or start == stop):
            if is_wanted(roots, j):
                start = j if start == stop else start
                stop = j + 1
            j += 1
        if start == stop:
            return
        start = max(start - (place + start) % line, first)  # a line is not empty
        stop = min(stop + line - 1 - (place + stop - 1) % line, last)
        gather_columns(x + start, groups.size, stop - start, groups.entry_stride,
                       copies + (start - first) * pitch, pitch)


cdef inline void* copy_as_rows(const floating** x, Groups* groups) noexcept nogil:
    """Copy all columns, once, if there are few; what they are now is in x and groups.

    The result is to be freed. It is NULL where there is nothing to copy, or no memory.
    """
    cdef:
        Py_ssize_t pitch = pitch_of(groups.size, sizeof(floating))
        void* numbers = NULL
        floating* copies
    if are_contiguous(groups) or (
            groups.n_groups > columns_together(groups, sizeof(floating))):
        return NULL
    numbers = malloc(groups.n_groups * pitch * sizeof(floating) + LINE)
    if numbers != NULL:
        copies = <floating*>begin_line(numbers)
        gather_columns(x[0], groups.size, groups.n_groups, groups.entry_stride, copies,
                       pitch)
        x[0] = copies
        groups.group_stride = pitch
        groups.entry_stride = 1
    return numbers


cdef inline void find_roots_of_some(
    const floating* x, const Groups* groups, bint signed_, const Roots* roots,
    Py_ssize_t first, Py_ssize_t last, floating* copies, floating* scratch
) noexcept nogil:
    """Find the roots of some groups, one after the other.

    There are ``copies`` if they are columns, and ``scratch`` if entries are kept.
    """
    cdef:
        double radius
        const floating* group
        Py_ssize_t j, n, pitch = pitch_of(groups.size, sizeof(floating))
        Root root
    if copies != NULL:
        copy_columns(x, groups, roots, first, last, copies)
    for j in range(first, last):
        radius = roots.radii[j]
        if radius == INFINITY or j == roots.first:
            continue
        if not is_wanted(roots, j):
            find_root_near(x, signed_, roots, j)
            continue
        n = size_of(groups, j)
        group = (x + start_of(groups, j) if copies == NULL
                 else <const floating*>copies + (j - first) * pitch)
        root = newton(group, n, radius, signed_, 0, 0.0, 0.0,
                      start_for(group, n, signed_, roots, j), roots.max_looks)
        store_root(roots, j, &root)
        if scratch != NULL:
            keep_near(group, n, signed_, roots, j, radius, scratch)


cdef inline void find_first_root(
    const floating* x, const Groups* groups, bint signed_, Roots* roots,
    floating* copies, floating* scratch
) noexcept nogil:
    """Find the root of the first group without a start, for the others to have one."""
    cdef:
        Py_ssize_t j = 0
        double radius
    while j < groups.n_groups and not (
            roots.radii[j] < INFINITY and isnan(roots.levels[j])):
        j += 1
    if j < groups.n_groups:
        radius = roots.radii[j]
        find_roots_of_some(x, groups, signed_, roots, j, j + 1, copies, scratch)
        roots.first = j
        roots.spread = spread_of(roots, j, radius)


cdef inline int find_roots(
    const floating* x, const Groups* groups, bint signed_, Roots* roots, int n_threads
) noexcept nogil:
    """Find the roots of all groups; -1 if there is no memory."""
    cdef:
        Py_ssize_t width = groups_together(groups), in_tile = 0, room, before = 0, block
        void* numbers
        floating* copies = NULL
        floating* scratch = NULL
    if not are_contiguous(groups):
        width = columns_together(groups, sizeof(floating))
        in_tile = width * pitch_of(groups.size, sizeof(floating))
        # A tile begins where a cache line does: each line is read once.
        before = place_in_line(x, sizeof(floating)) if groups.n_groups > width else 0
    room = in_tile + (0 if roots.near == NULL else
                      pitch_of(groups.size + SKPROJ_SLACK, sizeof(floating)))
    if groups.n_groups <= width:
        n_threads = 1
    numbers = malloc(n_threads * room * sizeof(floating) + LINE)
    if numbers == NULL:
        return -1
    if in_tile > 0:
        copies = <floating*>begin_line(numbers)
    if roots.near != NULL:
        scratch = <floating*>begin_line(numbers) + in_tile
    roots.first = -1
    roots.spread = 0.0
    if not signed_:
        find_first_root(x, groups, signed_, roots, copies, scratch)
    if groups.n_groups <= width:  # without the cost of OpenMP
        find_roots_of_some(x, groups, signed_, roots, 0, groups.n_groups, copies,
                           scratch)
    else:
        for block in prange((groups.n_groups + before + width - 1) // width,
                            num_threads=n_threads, schedule="dynamic"):
            find_roots_of_some(
                x, groups, signed_, roots, max(block * width - before, 0),
                min((block + 1) * width - before, groups.n_groups),
                NULL if copies == NULL else copies + threadid() * room,
                NULL if scratch == NULL else scratch + threadid() * room)
    free(numbers)
    return 0
