# Groups as the kernels see them: an array of shape (n_groups, group_size) in which one
# of the two strides is one entry, or segments of different lengths of one vector.

cdef enum:
    # Entries that a thread takes at a time: enough to hide the scheduling.
    BLOCK_ENTRIES = 16384
    # Bytes of a cache line; of a tile of columns that is copied, which fits the second
    # level of the cache; and of its rows at least: shorter ones are slow to read.
    LINE = 64
    TILE_BYTES = 1 << 19
    MIN_ROW_BYTES = 256


cdef struct Groups:
    # Strides are counted in entries. Group j of segments has the entries from indptr[j]
    # to indptr[j + 1]; of a matrix, whose indptr is NULL, it has ``size`` entries.
    Py_ssize_t n_groups, size, group_stride, entry_stride
    const Py_ssize_t* indptr


cdef inline Groups groups_of(
    Py_ssize_t n_groups, Py_ssize_t size, Py_ssize_t group_stride,
    Py_ssize_t entry_stride, Py_ssize_t itemsize
) noexcept nogil:
    """Describe an array of shape (n_groups, size), with strides in bytes."""
    cdef Groups groups
    groups.n_groups = n_groups
    groups.size = size
    groups.group_stride = group_stride // itemsize  # of a type, not 0
    groups.entry_stride = entry_stride // itemsize
    groups.indptr = NULL
    return groups


cdef inline bint are_contiguous(const Groups* groups) noexcept nogil:
    return groups.indptr != NULL or groups.entry_stride == 1 or groups.size == 1


cdef inline Py_ssize_t start_of(const Groups* groups, Py_ssize_t j) noexcept nogil:
    return j * groups.group_stride if groups.indptr == NULL else groups.indptr[j]


cdef inline Py_ssize_t size_of(const Groups* groups, Py_ssize_t j) noexcept nogil:
    return (groups.size if groups.indptr == NULL
            else groups.indptr[j + 1] - groups.indptr[j])


cdef inline Py_ssize_t groups_together(const Groups* groups) noexcept nogil:
    """Number of contiguous groups that a thread takes at a time."""
    cdef Py_ssize_t size = groups.size
    if groups.indptr != NULL:
        size = groups.indptr[groups.n_groups] // max(groups.n_groups, 1)
    return max(BLOCK_ENTRIES // max(size, 1), 1)


cdef inline Py_ssize_t columns_together(
    const Groups* groups, Py_ssize_t itemsize
) noexcept nogil:
    """Number of columns that are copied together: whole cache lines, or all."""
    cdef Py_ssize_t row_bytes = TILE_BYTES // max(groups.size, 1) // LINE * LINE
    return min(max(row_bytes, <Py_ssize_t>MIN_ROW_BYTES) // itemsize, groups.n_groups)


cdef inline Py_ssize_t pitch_of(Py_ssize_t size, Py_ssize_t itemsize) noexcept nogil:
    """Entries from one copied column to the next: an odd number of cache lines.

    Columns apart by a power of two would all compete for the same lines of the cache.
    """
    return ((size * itemsize + LINE - 1) // LINE | 1) * LINE // itemsize


cdef inline Py_ssize_t place_in_line(const void* x, Py_ssize_t itemsize) noexcept nogil:
    """Entries from the beginning of a cache line to x."""
    return <Py_ssize_t>(<size_t>x % LINE) // itemsize


cdef inline void* begin_line(void* x) noexcept nogil:
    """The first place from x on where a cache line begins."""
    return <char*>x + (LINE - <size_t>x % LINE) % LINE
