"""Norms, thresholds and maps of groups of different lengths: segments of one vector.

Segment j holds the entries ``data[indptr[j]:indptr[j + 1]]``, as a row of a matrix in
CSR or a column of one in CSC. A segment is the work of one thread, so no result depends
on the number of threads.
"""

from cython cimport floating
from cython.parallel cimport prange
from libc.math cimport INFINITY

from ._newton cimport find_threshold
from ._simd cimport map_group, reduce_group

# Entries that a thread takes at a time, on average: enough to hide the scheduling.
cdef Py_ssize_t CHUNK_ENTRIES = 16384


cdef inline int segments_together(const Py_ssize_t[::1] indptr) noexcept nogil:
    """Number of segments that a thread takes at a time."""
    cdef Py_ssize_t n_segments = indptr.shape[0] - 1
    cdef Py_ssize_t mean = indptr[n_segments] // n_segments + 1
    return <int>max(CHUNK_ENTRIES // mean, 1)


def segment_norms(
    const floating[::1] data,       # IN, (n_entries,)
    const Py_ssize_t[::1] indptr,   # IN, (n_segments + 1,), rising from 0 to n_entries
    int norm,                       # one of L1, L2, LINF
    double[::1] out,                # OUT, (n_segments,)
    int n_threads,
):
    """Write the norm of each segment; NaN and infinity in the data show up in it."""
    cdef Py_ssize_t n_segments = indptr.shape[0] - 1, j
    cdef int together
    cdef const floating* x
    if n_segments == 0:
        return
    if data.shape[0] == 0:
        out[:] = 0.0
        return
    x = &data[0]
    together = segments_together(indptr)
    for j in prange(n_segments, nogil=True, num_threads=n_threads, schedule="dynamic",
                    chunksize=together):
        if indptr[j] == indptr[j + 1]:
            out[j] = 0.0
        else:
            out[j] = reduce_group(norm, x + indptr[j], indptr[j + 1] - indptr[j])


def segment_thresholds(
    const floating[::1] data,       # IN, (n_entries,)
    const Py_ssize_t[::1] indptr,   # IN, (n_segments + 1,), rising from 0 to n_entries
    const double[::1] norms,        # IN, (n_segments,), l1 norms
    const double[::1] radii,        # IN, (n_segments,)
    double[::1] levels,             # OUT, (n_segments,)
    double[::1] offsets,            # OUT, (n_segments,)
    Py_ssize_t[::1] counts,         # OUT, (n_segments,), entries above the threshold
    int n_threads,
):
    """Threshold of each segment for its own radius, as level + offset.

    It is 0 for a segment inside its l1 ball, and infinite for a radius of 0: such a
    segment is not looked at, and its count is 0. Returns how many segments are not
    inside their ball.
    """
    cdef:
        Py_ssize_t n_segments = indptr.shape[0] - 1, j, n_outside = 0
        int together
        double spread
        const floating* x
    if n_segments == 0:
        return 0
    for j in range(n_segments):
        levels[j] = INFINITY if radii[j] == 0.0 else 0.0
        offsets[j] = 0.0
        counts[j] = 0
        n_outside += radii[j] == 0.0 or norms[j] > radii[j]
    if n_outside == 0 or data.shape[0] == 0:
        return n_outside
    x = &data[0]
    together = segments_together(indptr)
    for j in prange(n_segments, nogil=True, num_threads=n_threads, schedule="dynamic",
                    chunksize=together):
        if radii[j] > 0.0 and norms[j] > radii[j]:
            spread = 0.0
            find_threshold(x + indptr[j], indptr[j + 1] - indptr[j], radii[j], False,
                           norms[j], &spread, &levels[j], &offsets[j], &counts[j])
    return n_outside


def map_segments(
    floating[::1] data,             # IN, OUT, (n_entries,)
    const Py_ssize_t[::1] indptr,   # IN, (n_segments + 1,), rising from 0 to n_entries
    int kind,                       # one of CLIP, SCALE, SOFT
    const double[::1] levels,       # IN, (n_segments,)
    const double[::1] offsets,      # IN, (n_segments,); thresholds are levels + offsets
    int n_threads,
):
    """Shrink each segment by its level, in place."""
    cdef Py_ssize_t n_segments = indptr.shape[0] - 1, j
    cdef int together
    cdef floating* x
    if n_segments == 0 or data.shape[0] == 0:
        return
    x = &data[0]
    together = segments_together(indptr)
    for j in prange(n_segments, nogil=True, num_threads=n_threads, schedule="dynamic",
                    chunksize=together):
        map_group(kind, <const floating*>(x + indptr[j]), indptr[j + 1] - indptr[j],
                  levels[j], offsets[j], x + indptr[j])
