"""Thresholds of l1 balls and simplexes: tau with ``sum(max(v - tau, 0)) == radius``.

A threshold comes as level + offset: close to the entries it is more exact than one
double, and so is what is left of the entries.

References: Condat, Math. Program. 158 (2016), doi:10.1007/s10107-015-0946-6.
"""

from cython cimport floating
from libc.math cimport INFINITY, NAN, isnan
from libc.stdlib cimport free

from ._bands cimport LONG, Band, find_root_of_long
from ._layout cimport Groups, are_contiguous, groups_of
from ._newton cimport MANY, Root, newton, set_threshold, start_near_root
from ._roots cimport Roots, copy_as_rows, find_roots, store_root
from ._simd cimport (
    SKPROJ_MAP_SUBTRACT, SKPROJ_NORM_L1, largest_value, map_group, reduce_group
)


def group_thresholds(
    const floating[:, :] X,   # IN, (n_groups, group_size), one stride is one entry
    const double[::1] norms,  # IN, (n_groups,), l1 norms; l_inf norms if signed
    const double[::1] radii,  # IN, (n_groups,), or None for one radius
    bint signed_,             # simplex (True) or l1 ball (False)
    double[::1] levels,       # OUT, (n_groups,)
    double[::1] offsets,      # OUT, (n_groups,)
    int n_threads,
    const Py_ssize_t[::1] indptr=None,  # IN, (n_groups + 1,), of segments of one row
    guess=None,               # IN, (low, high), what to take for the band of long ones
    double radius=0.0,        # IN, of all groups if there are no radii
):
    """Threshold of each group for its own radius, as level + offset.

    It is 0 for a group inside its l1 ball, and infinite for a radius of 0: such a group
    is not looked at. Returns how many groups are not inside their ball. Entries for a
    simplex may be minus infinity, but not all of a group.
    """
    cdef:
        Py_ssize_t n_groups = norms.shape[0], j, n_outside = 0
        double own_radius
        const floating* x
        Groups groups
        Roots roots
        Root root
        Band band
        Band* band_given = NULL
        void* copies = NULL
        int failed = 0

    if n_groups == 0 or X.shape[0] == 0 or X.shape[1] == 0:
        return 0
    x = &X[0, 0]
    groups = groups_of(n_groups, X.shape[1], X.strides[0], X.strides[1],
                       sizeof(floating))
    if indptr is not None:
        groups.indptr = &indptr[0]
    # Until they are known, offsets have the radii of the groups to be solved for.
    for j in range(n_groups):
        own_radius = radius if radii is None else radii[j]
        levels[j] = 0.0
        offsets[j] = INFINITY
        if own_radius == 0.0:
            levels[j] = INFINITY
        elif signed_ or norms[j] > own_radius:
            levels[j] = NAN
            offsets[j] = own_radius
        n_outside += levels[j] != 0.0
    roots.norms = &norms[0]
    roots.radii = &offsets[0]
    roots.levels = &levels[0]
    roots.steps = &offsets[0]
    roots.counts = roots.below = roots.above = NULL
    roots.max_looks = MANY
    roots.near = NULL
    if guess is not None:
        band.low, band.high = guess
        band_given = &band
    with nogil:
        if n_outside > 0:
            copies = copy_as_rows(&x, &groups)
        # Many long groups are better shared out among the threads than each of them.
        if (indptr is None and are_contiguous(&groups) and groups.size >= LONG
                and (n_groups == 1 or groups.size >= 16 * LONG)):
            for j in range(n_groups):
                if isnan(levels[j]):
                    root = find_root_of_long(x + j * groups.group_stride, groups.size,
                                             offsets[j], signed_, band_given, n_threads)
                    store_root(&roots, j, &root)
        elif n_outside > 0:
            failed = find_roots(x, &groups, signed_, &roots, n_threads)
        for j in range(n_groups):
            if offsets[j] == INFINITY:
                offsets[j] = 0.0
            else:
                set_threshold(levels[j], offsets[j], signed_, x, &levels[j],
                              &offsets[j])
        free(copies)
    if failed:
        raise MemoryError("No memory for the workspace of the l1 threshold.")
    return n_outside


cdef double l1_threshold(
    const double* x, Py_ssize_t n, double norm, double radius, double* level,
    double* offset
) noexcept nogil:
    """Threshold of one vector for the l1 ball, as level + offset; 0 inside of it."""
    cdef Root root
    level[0] = offset[0] = 0.0
    if norm > radius == 0.0:
        level[0] = largest_value(x, n, False)
    elif norm > radius:
        root = (find_root_of_long(x, n, radius, False, NULL, 1) if n >= LONG
                else newton(x, n, radius, False, 0, 0.0, 0.0,
                            start_near_root(x, n, norm, radius, False), MANY))
        set_threshold(root.level, root.step, False, x, level, offset)
    return level[0] + offset[0]


def project_norms(
    const double[::1] norms,  # IN, (n,), non-negative
    double radius,            # IN
    double[::1] budgets,      # OUT, (n,)
):
    """Project norms of groups onto the l1 ball; return the threshold, 0 inside."""
    cdef:
        Py_ssize_t n = norms.shape[0]
        double total, level, offset
    if n == 0:
        return 0.0
    with nogil:
        total = reduce_group(SKPROJ_NORM_L1, &norms[0], n)
        l1_threshold(&norms[0], n, total, radius, &level, &offset)
        map_group(SKPROJ_MAP_SUBTRACT, &norms[0], n, level, offset, &budgets[0])
    return level + offset
