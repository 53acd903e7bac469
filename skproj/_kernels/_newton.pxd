# Newton's method for the root of ``sum(max(v - t, 0)) == radius`` over one vector.

from cython cimport floating
from libc.math cimport INFINITY, NAN, fabs, isnan, nextafter, nextafterf

from ._simd cimport (
    SKPROJ_NEAR, is_root, largest_value, look, rounded_down, sum_down
)

cdef enum:
    # Fewer entries are looked at one by one.
    FEW = 8
    # Looks that are never reached: Newton's method needs about five.
    MANY = 1 << 30
    # Entries of vectors that are sampled, and of the smallest and the largest sample.
    MIN_SAMPLED = 2048
    FIRST_SAMPLE = 512
    LAST_SAMPLE = 2048


cdef struct Root:
    # The root is level + step, where level is a number of the type of the entries.
    # Between below and above the sum is linear, with slope -count.
    double level, step, count, below, above


cdef inline floating below(floating x) noexcept nogil:
    """Largest number of the type that is less than x."""
    if floating is float:
        return nextafterf(x, -INFINITY)
    else:
        return nextafter(x, -INFINITY)


cdef inline Py_ssize_t look_at(
    const floating* x, Py_ssize_t n, floating level, bint signed_, double* excess,
    Root* root
) noexcept nogil:
    """Do what the C function does, without its overhead for a few entries."""
    cdef:
        Py_ssize_t i, count = 0
        double v
    if n > FEW:
        return look(x, n, level, signed_, excess, &root.below, &root.above)
    excess[0] = 0.0
    root.below = -INFINITY
    root.above = INFINITY
    for i in range(n):
        v = <double>x[i] if signed_ else fabs(<double>x[i])
        if v > level:
            count += 1
            excess[0] += v - level
            root.above = min(root.above, v)
        else:
            root.below = max(root.below, v)
    return count


cdef inline Root newton(
    const floating* x, Py_ssize_t n, double radius, bint signed_,
    Py_ssize_t more_count, double more_excess, double base, double start,
    int max_looks
) noexcept nogil:
    """Find the root from any finite ``start``, or come closer in a few looks.

    The values v are those of x (absolute ones unless signed_) and ``more_count`` that
    stay above the root for certain; ``more_excess`` is what these have above ``base``.

    The sum is convex and decreasing in t: a step from the right of the root lands left
    of it, and from the left the steps rise. The root is found where it is on the linear
    piece that was looked at. What is left of the entries is as exact as it can be if
    that look was not far from the root. After fewer looks the result is left of the
    root, where the tangent at the last one says.
    """
    cdef:
        Root root
        Py_ssize_t count, before = -1
        double excess = 0.0, last = NAN
        bint on_top = False, near = False, was_near
        int looks = 0
    while True:
        root.level = rounded_down(start, x)
        count = more_count + look_at(x, n, <floating>root.level, signed_, &excess,
                                     &root)
        if count == 0:
            # The start was right of everything, or was rounded onto the largest.
            excess = largest_value(x, n, signed_)
            on_top = looks > 0 or <floating>(excess - radius) == <floating>excess
            root.level = (below(<floating>excess) if on_top
                          else rounded_down(excess - radius, x))
            count = look_at(x, n, <floating>root.level, signed_, &excess, &root)
            before = -1
        if more_count > 0:
            excess += more_excess - more_count * (root.level - base)
        root.count = count
        root.step = (excess - radius) / count  # the largest entry is above the level
        start = sum_down(root.level, root.step)
        looks += 1
        was_near = near
        near = excess <= SKPROJ_NEAR * radius
        if on_top or looks == max_looks or is_root(
                root.level, root.step, root.below, root.above, count, before, last,
                near, was_near):
            break
        before = count
        last = root.level
    # What is left of the entries is more exact above a level that is near the root.
    start = rounded_down(root.level + root.step, x)
    if start < root.above:
        root.step -= start - root.level
    else:  # as near to that entry as rounding can tell
        start = root.above
        root.step = (excess - count * (start - root.level) - radius) / count  # as above
    root.level = start
    return root


cdef inline Py_ssize_t place_in_sample(
    Py_ssize_t run, Py_ssize_t n, Py_ssize_t size
) noexcept nogil:
    """First entry of a run of eight, which is one cache line, of ``size`` out of n."""
    return <Py_ssize_t>(<double>run * (n - 8) / (size // 8))


cdef inline Py_ssize_t take_sample(
    const floating* x, Py_ssize_t n, bint signed_, floating* sample, Py_ssize_t size
) noexcept nogil:
    """Copy the finite ones of ``size`` values, a multiple of 8; return their number."""
    cdef:
        Py_ssize_t i, j, n_finite = 0
        double value
    for i in range(size // 8):
        for j in range(8):
            value = x[place_in_sample(i, n, size) + j]
            sample[n_finite] = <floating>(value if signed_ else fabs(value))
            n_finite += value > -INFINITY
    return n_finite


cdef inline double start_near_root(
    const floating* x, Py_ssize_t n, double norm, double radius, bint signed_
) noexcept nogil:
    """Level to start with: left of the root, or the root of a sample of many entries.

    ``norm`` is the l1 norm, and not used if signed_.
    """
    cdef:
        floating[LAST_SAMPLE] sample
        Py_ssize_t size = FIRST_SAMPLE, n_finite
        double share, start = NAN
        Root root
    while n >= MIN_SAMPLED and size <= LAST_SAMPLE and (isnan(start) or 16 * size <= n):
        n_finite = take_sample(x, n, signed_, sample, size)
        if n_finite > 0:
            share = radius * (<double>size / n)
            if isnan(start):
                start = largest_value(<const floating*>sample, n_finite, True) - share
            root = newton(<const floating*>sample, n_finite, share, True, 0, 0.0, 0.0,
                          start, MANY)
            start = root.level + root.step
        size *= 4
    if isnan(start):
        start = largest_value(x, n, signed_) - radius
        start = start if signed_ else max(start, (norm - radius) / n)
    return start


cdef inline void set_threshold(
    double level, double step, bint signed_, const floating* like, double* threshold,
    double* offset
) noexcept nogil:
    """Threshold ``level + step`` as a number of the type and the smallest offset.

    That of an l1 ball is not negative: by rounding it would let entries grow.
    """
    cdef floating nearest = <floating>(level + step)
    threshold[0] = nearest if signed_ else max(nearest, 0.0)
    offset[0] = (level - threshold[0]) + step
    if signed_:
        return
    # Up to a number of the type: where it is large against what is left of the entries,
    # these must not add up to more than the radius.
    offset[0] = -rounded_down(-offset[0] - 2.2e-16 * fabs(offset[0]), like)
    if threshold[0] + offset[0] < 0.0:
        threshold[0] = 0.0
        offset[0] = 0.0
