# Newton's method for the threshold of one contiguous vector.

from cython cimport floating
from libc.math cimport INFINITY, fabs, nextafter, nextafterf

from ._simd cimport count_above, largest_value

# Fewer entries are looked at one by one.
cdef enum:
    FEW = 8


cdef inline floating below(floating x) noexcept nogil:
    """Largest number of the type that is less than x."""
    if floating is float:
        return nextafterf(x, -INFINITY)
    else:
        return nextafter(x, -INFINITY)


cdef inline floating rounded_down(double x, const floating* like) noexcept nogil:
    """Largest number of the type that is not above x."""
    cdef floating rounded = <floating>x
    return below(rounded) if rounded > x else rounded


cdef inline floating above_or_equal(double x, const floating* like) noexcept nogil:
    """Smallest number of the type that is not below x."""
    return -rounded_down(-x, like)


cdef inline Py_ssize_t look(
    const floating* x, Py_ssize_t n, floating tau, bint signed_, double* excess
) noexcept nogil:
    """Do what count_above does, without its overhead for a few entries."""
    cdef:
        Py_ssize_t i, count = 0
        double over
    if n > FEW:
        return count_above(x, n, tau, signed_, excess)
    excess[0] = 0.0
    for i in range(n):
        over = (<double>x[i] if signed_ else fabs(<double>x[i])) - tau
        excess[0] += max(over, 0.0)
        count += over > 0.0
    return count


cdef inline double newton(
    const floating* x, Py_ssize_t n, double radius, bint signed_,
    Py_ssize_t more_count, double more_excess, double base, double tau,
    Py_ssize_t* count, double* offset
) noexcept nogil:
    """Find the root of ``sum(max(v - t, 0)) == radius`` from any ``tau``.

    The values v are those of x (absolute ones unless signed_) and ``more_count`` that
    stay above the root for certain; ``more_excess`` is what these have above ``base``.

    The sum is convex and decreasing in t: a step from the right of the root lands left
    of it, and from the left the steps rise until the number of values above no longer
    changes. If tau is known to be the root if that number is ``count`` (not -1), then
    one look is enough. Returns a number of the type of x; the root is that
    number plus ``offset``.
    """
    cdef:
        Py_ssize_t above, before = count[0]
        double excess = 0.0, step
        bint moved = False, on_top = False
    while True:
        tau = rounded_down(tau, x)
        above = more_count + look(x, n, <floating>tau, signed_, &excess)
        if above == 0:
            # The start was right of everything, or tau was rounded onto the largest.
            excess = largest_value(x, n, signed_)
            on_top = moved or <floating>(excess - radius) == <floating>excess
            tau = (below(<floating>excess) if on_top
                   else rounded_down(excess - radius, x))
            above = look(x, n, <floating>tau, signed_, &excess)
            before = -1
        if more_count > 0:
            excess += more_excess - more_count * (tau - base)
        step = (excess - radius) / above
        if on_top or (moved and (above == before or step <= 0.0)):
            break
        if above == before and fabs(excess - radius) <= 1e-9 * radius:
            break
        before = above
        tau += step
        moved = True
    count[0] = above
    offset[0] = step
    return tau


cdef inline double offset_to_subtract(
    double offset, const floating* like
) noexcept nogil:
    """Round an offset up to a number of the type.

    Where it is large against what is left of the entries, these must not add up to more
    than the radius.
    """
    return above_or_equal(offset + 2.2e-16 * fabs(offset), like)


cdef inline void set_threshold(
    double root, double step, const floating* like, double* level, double* offset
) noexcept nogil:
    """Threshold of an l1 ball, not negative, whose root is ``root + step``."""
    level[0] = max(root, 0.0)  # less by rounding: taken off alone it lets entries grow
    offset[0] = offset_to_subtract(step + min(root, 0.0), like)
    if level[0] + offset[0] < 0.0:  # by rounding
        level[0] = 0.0
        offset[0] = 0.0


cdef inline void find_threshold(
    const floating* x, Py_ssize_t n, double radius, bint signed_, double total,
    double* spread, double* level, double* offset, Py_ssize_t* count
) noexcept nogil:
    """Threshold of a group that fits the cache, level + offset.

    ``total`` is the sum of abs(x); an l1 ball is smaller. What the group loses is
    spread over so many entries that come down by the threshold. Neighbours are alike in
    this: their ``spread``, if not 0, makes a good start.
    """
    cdef double start
    if spread[0] > 0.0:
        start = (total - radius) / spread[0]
    else:
        start = largest_value(x, n, signed_) - radius  # left of the root
        if not signed_:
            start = max(start, (total - radius) / n)  # left of it as well
    count[0] = -1
    level[0] = newton(x, n, radius, signed_, 0, 0.0, 0.0, start, count, offset)
    if signed_:
        offset[0] = offset_to_subtract(offset[0], x)
        return
    set_threshold(level[0], offset[0], x, level, offset)
    spread[0] = (total - radius) / level[0] if level[0] > 0.0 else 0.0
