# Copying what is in a band, and columns side by side: what the searches share.

from cython cimport floating

from ._simd cimport collect_band

cdef extern from "_simd.h":
    const int SKPROJ_SLACK

cdef enum:
    # Entries of all the bands of a search, at most.
    MAX_BAND = 1 << 20
    # Entries that must fit in what is left of the room for a band before they are read.
    CHUNK = 4096
    # Columns of a C-ordered array that are copied together: whole cache lines that fit.
    MAX_GATHER = 64
    GATHER_ENTRIES = 1 << 20


cdef inline Py_ssize_t columns_together(Py_ssize_t n, Py_ssize_t size) noexcept nogil:
    """Number of columns, of n of this size, that are copied together."""
    cdef Py_ssize_t width = min(max(GATHER_ENTRIES // size, 1), MAX_GATHER)
    return min(width // 8 * 8 if width > 8 else width, n)


cdef inline int threads_with_columns(
    Py_ssize_t width, Py_ssize_t size, int n_threads
) noexcept nogil:
    """Number of threads, fewer where copies of long columns would fill the memory."""
    return <int>max(min(4 * GATHER_ENTRIES // (width * size), n_threads), 1)


cdef inline Py_ssize_t collect_chunks(
    const floating* x, Py_ssize_t n, floating low, floating high, bint signed_,
    floating* band, Py_ssize_t room, Py_ssize_t* count, double* excess
) noexcept nogil:
    """Do what collect_band does; return -1 if there may be no room for it."""
    cdef Py_ssize_t chunk, first, size, kept = 0
    count[0] = 0
    excess[0] = 0.0
    for chunk in range((n + CHUNK - 1) // CHUNK):
        first = chunk * CHUNK
        size = min(n - first, <Py_ssize_t>CHUNK)
        if kept + size + SKPROJ_SLACK > room:
            return -1
        kept += collect_band(x + first, size, low, high, signed_, band + kept, count,
                             excess)
    return kept
