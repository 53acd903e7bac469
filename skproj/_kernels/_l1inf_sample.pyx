"""What a sample of a matrix says of its projection onto the l1,inf ball.

For large matrices: of some groups some entries, both evenly spaced, a number that does
not grow with the matrix. Nothing that depends on the sample is taken for granted.
"""

from cython cimport floating
from libc.math cimport INFINITY, fabs, sqrt
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc

from ._l1inf cimport Estimate
from ._newton cimport newton
from ._simd cimport pick_columns

# Entries of the sample.
cdef Py_ssize_t MAX_SAMPLE = 1 << 16
# Entries of a group in the sample, where there are more.
cdef Py_ssize_t SAMPLE_OF_GROUP = 1024
# Half the width of the band of theta, in standard deviations of what the sample says.
cdef double SPREAD = 3.0
# The same for the band of a level. Groups that it does not suit are looked at again.
cdef double REACH = 2.5


cdef void take_sample(
    const floating* x, Py_ssize_t group_stride, Py_ssize_t entry_stride,
    Py_ssize_t group_size, const double* l1, Py_ssize_t n_groups, double theta,
    Py_ssize_t n_alive, Py_ssize_t n_sampled, Py_ssize_t size, floating* sample,
    double* sampled_l1, Py_ssize_t* picked
) noexcept nogil:
    """Copy ``size`` entries of some groups that theta spares, both evenly spaced."""
    cdef:
        Py_ssize_t i, j, k = 0, seen = 0
        const floating* group
    for j in range(n_groups):
        if l1[j] <= theta:
            continue
        if k < n_sampled and seen * n_sampled >= k * n_alive:
            picked[k] = j
            group = x + j * group_stride
            sampled_l1[k] = 0.0
            for i in range(size):
                sample[k * size + i] = group[i * group_size // size * entry_stride]
                sampled_l1[k] += fabs(<double>sample[k * size + i])
            k += 1
        seen += 1


cdef void solve_sample(
    const floating* sample, const double* sampled_l1, const double* l1,
    const Py_ssize_t* picked, Py_ssize_t n_sampled, Py_ssize_t n_groups,
    double share, Py_ssize_t size, double radius, double* levels, Estimate* estimate
) noexcept nogil:
    """Estimate theta from ``size`` entries, a ``share`` of all, of some groups.

    The radius is shared out in proportion to what the l1 norms have above theta: the
    levels nearly are, so that the sample says little more than a factor.
    """
    cdef:
        double theta = estimate.theta, part = 0.0, total = 0.0, slope = 0.0
        double offset = 0.0, level, weight, sampled_weight = 0.0, deviation = 0.0
        double excess, reach = 0.0
        Py_ssize_t j, k, count
        int _step, _stage
    for _stage in range(2):
        weight = 0.0
        sampled_weight = 0.0
        for j in range(n_groups):
            weight += max(l1[j] - theta, 0.0)
        for k in range(n_sampled):
            sampled_weight += max(l1[picked[k]] - theta, 0.0)
        if sampled_weight == 0.0:
            return
        part = radius * sampled_weight / weight
        for _step in range(50):
            total = 0.0
            slope = 0.0
            for k in range(n_sampled):
                levels[k] = 0.0
                if l1[picked[k]] > theta:
                    # Of the two parts of the l1 norm, what is above the level and what
                    # is below it, the smaller one is known better from a sample.
                    excess = theta * share
                    if 2.0 * theta > l1[picked[k]]:
                        excess += sampled_l1[k] - l1[picked[k]] * share
                    if not 0.0 < excess < sampled_l1[k]:
                        continue
                    count = -1
                    level = (sampled_l1[k] - excess) / size  # left of the root
                    level = newton(sample + k * size, size, excess, False, 0,
                                   0.0, 0.0, level, &count, &offset)
                    levels[k] = level + offset
                    total += levels[k]
                    slope += share / count
            if slope == 0.0:
                theta *= 0.5
                continue
            theta += (total - part) / slope
            if fabs(total - part) <= 1e-4 * part:
                break
    if slope == 0.0 or total == 0.0:
        return
    weight = 0.0
    count = 0
    for k in range(n_sampled):
        weight += max(l1[picked[k]] - theta, 0.0)
    for k in range(n_sampled):
        level = max(l1[picked[k]] - theta, 0.0) * total / weight
        deviation += (levels[k] - level) ** 2
        # Levels near zero may be far off relative to what they are.
        if level > 0.25 * total / n_sampled:
            reach += (levels[k] / level - 1.0) ** 2
            count += 1
    deviation = SPREAD * sqrt(deviation)
    if part <= 2.0 * deviation:
        return  # too few levels are left to tell
    estimate.spread = weight / total
    estimate.reach = min(REACH * sqrt(reach / count), 1.0)
    estimate.theta = max(theta, estimate.low)
    estimate.low = max(theta - deviation / slope, estimate.low)
    estimate.high = theta + 1.25 * deviation / slope  # skewed to the right


def no_estimate(double start):
    """What is known of theta without a sample: that it is at least ``start``."""
    return Estimate(theta=start, low=start, high=INFINITY, spread=0.0, reach=0.0)


def estimate_theta(
    const floating[:, :] X,  # IN, (n_groups, group_size), one stride is one entry
    const double[::1] l1,    # IN, (n_groups,), l1 norms of the groups
    double radius,           # 0 < radius < sum of the l_inf norms
    double start,            # 0 <= start <= theta
):
    """Estimate theta and the levels from a sample, as a dict (see `Estimate`)."""
    cdef:
        Py_ssize_t n_groups = X.shape[0], size = X.shape[1], j, n_alive = 0
        Py_ssize_t n_sampled, sample_size
        Estimate estimate = no_estimate(start)
        floating* sample = NULL
        double* numbers = NULL
        Py_ssize_t* picked = NULL
    for j in range(n_groups):
        n_alive += l1[j] > start
    sample_size = min(size, max(SAMPLE_OF_GROUP, MAX_SAMPLE // n_alive))
    n_sampled = min(n_alive, max(1, MAX_SAMPLE // sample_size))
    sample = <floating*>malloc(n_sampled * sample_size * sizeof(floating))
    numbers = <double*>malloc(2 * n_sampled * sizeof(double))
    picked = <Py_ssize_t*>malloc(n_sampled * sizeof(Py_ssize_t))
    if sample != NULL and numbers != NULL and picked != NULL:
        with nogil:
            take_sample(&X[0, 0], X.strides[0] // <Py_ssize_t>sizeof(floating),
                        X.strides[1] // <Py_ssize_t>sizeof(floating), size, &l1[0],
                        n_groups, start, n_alive, n_sampled, sample_size, sample,
                        numbers, picked)
            solve_sample(sample, numbers, &l1[0], picked, n_sampled, n_groups,
                         <double>sample_size / size, sample_size, radius,
                         numbers + n_sampled, &estimate)
    free(sample)
    free(numbers)
    free(picked)
    return estimate


def pick_groups(
    const floating[:, :] X,  # IN, (n_groups, group_size), the first stride is one entry
    const int64_t[::1] picked,  # IN, (n_picked,), rising
    floating[:, ::1] out,    # OUT, (n_picked, group_size)
):
    """Copy some groups of a matrix whose groups are adjacent."""
    if picked.shape[0] > 0 and X.shape[1] > 0:
        pick_columns(&X[0, 0], X.shape[1],
                     X.strides[1] // <Py_ssize_t>sizeof(floating), &picked[0],
                     picked.shape[0], &out[0, 0])
