# Newton's method for the roots of ``sum(max(v - t, 0)) == radius`` of many groups.
#
# A group is contiguous (a row, or a segment of a vector), or a column of a matrix in C
# order. Columns are copied, some of them together, and solved for as rows. No root
# depends on the number of threads.

from cython cimport floating
from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY, isnan
from libc.stdlib cimport free, malloc

from ._layout cimport (
    LINE, Groups, are_contiguous, columns_together, groups_together, pitch_of, size_of,
    start_of
)
from ._newton cimport MANY, Root, newton, start_near_root
from ._simd cimport gather_columns

cdef enum:
    # Entries of arrays in which one look at each group costs little.
    CACHED_ENTRIES = 1 << 16
    # Entries of a group that fit the cache.
    MAX_LOOKED_AT = 1 << 15


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


cdef inline void copy_columns(
    const floating* x, const Groups* groups, const double* radii, Py_ssize_t first,
    Py_ssize_t last, floating* copies
) noexcept nogil:
    """Copy the cache lines of some columns that have a root to be found."""
    cdef:
        Py_ssize_t line = LINE // sizeof(floating), j = first, start, stop
        Py_ssize_t pitch = pitch_of(groups.size, sizeof(floating))
    while j < last:
        start = j
        while j < last and radii[j] < INFINITY:
            j += 1
        if j == start:
            j += 1
            continue
        # Up to the ends of the lines, which are copied as fast.
        stop = min(first + (j - first + line - 1) // line * line, last)
        start = first + (start - first) // line * line
        gather_columns(x + start, groups.size, stop - start, groups.entry_stride,
                       copies + (start - first) * pitch, pitch)
        j = stop


cdef inline void find_roots_of_some(
    const floating* x, const Groups* groups, bint signed_, const Roots* roots,
    Py_ssize_t first, Py_ssize_t last, floating* copies
) noexcept nogil:
    """Find the roots of some groups, one after the other.

    There are ``copies`` if they are columns.
    """
    cdef:
        double spread = 0.0, radius
        const floating* group
        Py_ssize_t j, n, pitch = pitch_of(groups.size, sizeof(floating))
        Root root
    if copies != NULL:
        copy_columns(x, groups, roots.radii, first, last, copies)
    for j in range(first, last):
        radius = roots.radii[j]
        if radius == INFINITY:
            continue
        n = size_of(groups, j)
        group = (x + start_of(groups, j) if copies == NULL
                 else <const floating*>copies + (j - first) * pitch)
        root = newton(group, n, radius, signed_, 0, 0.0, 0.0,
                      start_for(group, n, signed_, roots, j, spread), roots.max_looks)
        store_root(roots, j, &root)
        spread = spread_of(roots, j, radius)


cdef inline int find_roots(
    const floating* x, const Groups* groups, bint signed_, const Roots* roots,
    int n_threads
) noexcept nogil:
    """Find the roots of all groups; -1 if there is no memory."""
    cdef:
        # Some neighbours together, as they start from each other; blocks for 64 threads.
        Py_ssize_t width = max(groups_together(groups),
                               min(groups.n_groups // 64, <Py_ssize_t>8)), block
        Py_ssize_t room = 0
        floating* copies = NULL
        floating* copy
    if not are_contiguous(groups):
        width = columns_together(groups, sizeof(floating))
        room = width * pitch_of(groups.size, sizeof(floating))
    if groups.n_groups <= width:
        n_threads = 1
    if room > 0:
        copies = <floating*>malloc(n_threads * room * sizeof(floating))
        if copies == NULL:
            return -1
    if groups.n_groups <= width:  # without the cost of OpenMP
        find_roots_of_some(x, groups, signed_, roots, 0, groups.n_groups, copies)
    else:
        for block in prange((groups.n_groups + width - 1) // width,
                            num_threads=n_threads, schedule="dynamic"):
            copy = NULL if copies == NULL else copies + threadid() * room
            find_roots_of_some(x, groups, signed_, roots, block * width,
                               min((block + 1) * width, groups.n_groups), copy)
    free(copies)
    return 0
