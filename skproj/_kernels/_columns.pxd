# Newton's method for the thresholds of adjacent columns, side by side.
#
# Short columns fit the cache together, and are looked at row by row until all are done.
# For long ones some of the rows tell where to start; one step leads close to the root,
# and one more pass copies what is between there and where the root can be.

from cython cimport floating
from libc.math cimport INFINITY, NAN, fabs, isnan
from libc.stdint cimport int32_t
from libc.string cimport memcpy

from ._newton cimport newton, rounded_down
from ._simd cimport collect_band_columns, count_above_columns, newton_columns

cdef enum:
    # Fewer columns do not fill the vectors.
    FEW_COLUMNS = 32
    # Columns that are looked at together as long as one of them is not done.
    TOGETHER = 64
    # Entries of a tile of short columns, which fits the cache, and columns of any tile.
    TILE_ENTRIES = 1 << 17
    MIN_WIDTH = 512
    MAX_WIDTH = 4096
    # Rows of the sample that tells where to start, at least and as a part of all.
    SAMPLE_ROWS = 64
    SAMPLE_PART = 40
    # Steps of Newton's method, which hardly ever needs more than ten.
    MAX_WALK = 50
    # Entries from which on columns are long: they do not fit the cache together.
    LONG_COLUMN = 512
    # Rows up to which those of a column are counted in 32 bits.
    MAX_ROWS = 1 << 30
    # Part of a column, one in so many, that is copied without more ado.
    FEW_ABOVE = 32
    # Entries of all bands that are copied together.
    MAX_MIXED = 1 << 19
    # Numbers that Columns has for each column, and those that it needs in all.
    N_NUMBERS = 8


cdef struct Columns:
    # Of each column: the radius of its l1 ball, infinite where there is nothing to do;
    # a bound left of the root; and what count_above_columns and newton_columns say.
    double* radii
    double* lowest
    double* counts
    double* excess
    double* before
    double* steps
    # Of each column that is solved for in a band: where its entries are and how many.
    Py_ssize_t* start
    Py_ssize_t* size
    # Of TOGETHER columns: whether to look at them at all, and whether again.
    char* wanted
    char* unfinished


cdef inline Py_ssize_t columns_at_once(
    Py_ssize_t n_columns, Py_ssize_t size
) noexcept nogil:
    """Number of columns in a tile, for any number of threads."""
    cdef Py_ssize_t width
    if size < LONG_COLUMN:
        width = TILE_ENTRIES // size
    else:
        width = max(n_columns // 8, MIN_WIDTH)
    width = (min(width, MAX_WIDTH) + TOGETHER - 1) // TOGETHER * TOGETHER
    return min(width, n_columns)


cdef inline Columns place_columns(double* numbers, Py_ssize_t width) noexcept nogil:
    """Use storage of N_NUMBERS + 1 numbers for each of ``width`` columns."""
    cdef Columns columns
    columns.radii = numbers
    columns.lowest = numbers + width
    columns.counts = numbers + 2 * width
    columns.excess = numbers + 3 * width
    columns.before = numbers + 4 * width
    columns.steps = numbers + 5 * width
    columns.start = <Py_ssize_t*>(numbers + 6 * width)
    columns.size = <Py_ssize_t*>(numbers + 7 * width)
    columns.wanted = <char*>(numbers + N_NUMBERS * width)
    columns.unfinished = columns.wanted + width
    return columns


cdef inline Py_ssize_t walk_run(
    const floating* x, Py_ssize_t size, Py_ssize_t stride, double share,
    const Columns* columns, floating* levels, Py_ssize_t start, Py_ssize_t stop
) noexcept nogil:
    """Take one step in some of the columns; return how many are not done."""
    cdef Py_ssize_t chunk, j, left, n_left = 0
    count_above_columns(x + start, size, stop - start, stride, levels + start,
                        columns.counts + start, columns.excess + start)
    for chunk in range(start // TOGETHER, (stop + TOGETHER - 1) // TOGETHER):
        j = chunk * TOGETHER
        left = newton_columns(
            min(stop - j, <Py_ssize_t>TOGETHER), columns.radii + j, share,
            columns.lowest + j, columns.counts + j, columns.excess + j,
            columns.before + j, levels + j, columns.steps + j)
        columns.unfinished[chunk] = left > 0
        n_left += left
    return n_left


cdef inline bint next_run(
    const char* chunks, Py_ssize_t width, Py_ssize_t* start, Py_ssize_t* stop
) noexcept nogil:
    """Find the columns of the next run of chunks that are marked, from ``stop`` on."""
    cdef Py_ssize_t chunk = (stop[0] + TOGETHER - 1) // TOGETHER
    cdef Py_ssize_t n_chunks = (width + TOGETHER - 1) // TOGETHER
    while chunk < n_chunks and not chunks[chunk]:
        chunk += 1
    start[0] = chunk * TOGETHER
    while chunk < n_chunks and chunks[chunk]:
        chunk += 1
    stop[0] = min(chunk * TOGETHER, width)
    return start[0] < stop[0]


cdef inline void walk_columns(
    const floating* x, Py_ssize_t size, Py_ssize_t width, Py_ssize_t stride,
    double share, const Columns* columns, floating* levels
) noexcept nogil:
    """Walk to the roots for ``share`` of the radii, from any levels."""
    cdef:
        Py_ssize_t start = 0, stop, n_left = 1
        int look = 0
    for start in range(width):
        columns.before[start] = -1.0
    memcpy(columns.unfinished, columns.wanted, (width + TOGETHER - 1) // TOGETHER)
    while n_left > 0 and look < MAX_WALK:
        look += 1
        n_left = 0
        stop = 0
        while next_run(columns.unfinished, width, &start, &stop):
            n_left += walk_run(x, size, stride, share, columns, levels, start, stop)


cdef inline bint collect_sorted(
    const floating* x, Py_ssize_t size, Py_ssize_t width, Py_ssize_t stride,
    const floating* lows, const floating* highs, int32_t* counts, double* excess,
    Py_ssize_t* starts, Py_ssize_t* sizes, floating* entries, int32_t* numbers
) noexcept nogil:
    """Do what collect_band_columns does, column by column; False if there is no room.

    ``entries`` has room for twice MAX_MIXED entries, ``numbers`` for MAX_MIXED. Those
    of a column begin at ``entries + MAX_MIXED + starts``.
    """
    cdef:
        Py_ssize_t i, j, start = 0, n_entries
        floating* sorted_ = entries + MAX_MIXED
    for j in range(width):
        counts[j] = 0
        excess[j] = 0.0
        sizes[j] = 0
    n_entries = collect_band_columns(x, size, width, stride, lows, highs, counts,
                                     excess, entries, numbers, MAX_MIXED)
    if n_entries < 0:
        return False
    for i in range(n_entries):
        sizes[numbers[i]] += 1
    for j in range(width):
        starts[j] = start
        start += sizes[j]
    for i in range(n_entries):
        j = numbers[i]
        sorted_[starts[j]] = entries[i]
        starts[j] += 1
    for j in range(width):
        starts[j] -= sizes[j]
    return True


cdef inline bint solve_in_bands(
    const floating* x, Py_ssize_t size, Py_ssize_t stride, const Columns* columns,
    floating* levels, floating* highs, floating* entries, int32_t* numbers,
    Py_ssize_t first, Py_ssize_t last
) noexcept nogil:
    """Find the roots of some columns between levels and highs; False if no room."""
    cdef:
        Py_ssize_t j, above, count
        int32_t* counts = <int32_t*>(columns.counts + first)
        double level
    if not collect_sorted(x + first, size, last - first, stride, levels + first,
                          highs + first, counts, columns.excess + first,
                          columns.start + first, columns.size + first, entries,
                          numbers):
        return False
    for j in range(first, last):
        above = counts[j - first]
        if columns.radii[j] == INFINITY or above + columns.size[j] == 0:
            continue
        count = -1
        level = newton(entries + MAX_MIXED + columns.start[j], columns.size[j],
                       columns.radii[j], True, above, columns.excess[j], levels[j],
                       levels[j], &count, &columns.steps[j])
        if level + columns.steps[j] <= highs[j]:
            levels[j] = <floating>level
        else:
            columns.steps[j] = NAN
    return True


cdef inline void find_roots(
    const floating* x, Py_ssize_t size, Py_ssize_t width, Py_ssize_t stride,
    const Columns* columns, floating* levels, floating* highs, floating* entries,
    int32_t* numbers
) noexcept nogil:
    """Find where the excess of each column is its radius: at levels + columns.steps.

    Steps are NaN for the few columns that are better solved for on their own: a root,
    if rounded to the type, may be as large as the largest entry.
    """
    cdef:
        Py_ssize_t j, chunk, start = 0, stop = 0
        Py_ssize_t apart = min(size // SAMPLE_ROWS, <Py_ssize_t>SAMPLE_PART)
    for j in range(width):
        levels[j] = rounded_down(columns.lowest[j], x)
        columns.steps[j] = NAN
    if size < LONG_COLUMN:
        walk_columns(x, size, width, stride, 1.0, columns, levels)
        return
    walk_columns(x, size // apart, width, apart * stride,
                 <double>(size // apart) / size, columns, levels)
    for j in range(width):
        if not isnan(columns.steps[j]):
            levels[j] = rounded_down(
                max(levels[j] + columns.steps[j], columns.lowest[j]), x)
    # One step leads to the left of the root, and close to it against its length. Where
    # only few entries are above, all of them are copied.
    for j in range(width):
        highs[j] = levels[j]
        columns.before[j] = -1.0
    while next_run(columns.wanted, width, &start, &stop):
        walk_run(x, size, stride, 1.0, columns, levels, start, stop)
        for j in range(start, stop):
            columns.steps[j] = NAN
            if columns.radii[j] == INFINITY:
                levels[j] = <floating>INFINITY
                highs[j] = <floating>INFINITY
            elif levels[j] > highs[j] and FEW_ABOVE * columns.counts[j] < size:
                highs[j] = <floating>INFINITY
            else:
                highs[j] = <floating>(
                    (1.0 + 1e-6) * max(2 * levels[j] - highs[j], highs[j]))
        if solve_in_bands(x, size, stride, columns, levels, highs, entries, numbers,
                          start, stop):
            continue
        for chunk in range(start // TOGETHER, (stop + TOGETHER - 1) // TOGETHER):
            solve_in_bands(x, size, stride, columns, levels, highs, entries, numbers,
                           chunk * TOGETHER, min((chunk + 1) * TOGETHER, stop))
