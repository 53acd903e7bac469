# The C loops of _simd.h behind one fused name each.

from cython cimport floating
from libc.stdint cimport int32_t, int64_t


cdef extern from "_simd.h" nogil:
    double skproj_reduce_group_f32(
        int, const float*, Py_ssize_t) noexcept
    double skproj_reduce_group_f64(
        int, const double*, Py_ssize_t) noexcept
    void skproj_reduce_columns_f32(
        int, const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, double*) noexcept
    void skproj_reduce_columns_f64(
        int, const double*, Py_ssize_t, Py_ssize_t, Py_ssize_t, double*) noexcept
    void skproj_sum_and_max_abs_columns_f32(
        const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, double*, double*) noexcept
    void skproj_sum_and_max_abs_columns_f64(
        const double*, Py_ssize_t, Py_ssize_t, Py_ssize_t, double*, double*) noexcept
    void skproj_finish_columns_f32(
        int, Py_ssize_t, double*) noexcept
    void skproj_finish_columns_f64(
        int, Py_ssize_t, double*) noexcept
    void skproj_map_group_f32(
        int, const float*, Py_ssize_t, double, double, float*) noexcept
    void skproj_map_group_f64(
        int, const double*, Py_ssize_t, double, double, double*) noexcept
    void skproj_map_columns_f32(
        int, const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t,
        const double*, const double*, float*, Py_ssize_t) noexcept
    void skproj_map_columns_f64(
        int, const double*, Py_ssize_t, Py_ssize_t, Py_ssize_t,
        const double*, const double*, double*, Py_ssize_t) noexcept
    double skproj_largest_f32(
        const float*, Py_ssize_t, int) noexcept
    double skproj_largest_f64(
        const double*, Py_ssize_t, int) noexcept
    Py_ssize_t skproj_count_above_f32(
        const float*, Py_ssize_t, float, int, double*) noexcept
    Py_ssize_t skproj_count_above_f64(
        const double*, Py_ssize_t, double, int, double*) noexcept
    void skproj_count_above_columns_f32(
        const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, const float*, double*,
        double*) noexcept
    void skproj_count_above_columns_f64(
        const double*, Py_ssize_t, Py_ssize_t, Py_ssize_t, const double*, double*,
        double*) noexcept
    Py_ssize_t skproj_newton_columns_f32(
        Py_ssize_t, const double*, double, const double*, const double*, const double*,
        double*, float*, double*) noexcept
    Py_ssize_t skproj_newton_columns_f64(
        Py_ssize_t, const double*, double, const double*, const double*, const double*,
        double*, double*, double*) noexcept
    Py_ssize_t skproj_collect_band_f32(
        const float*, Py_ssize_t, float, float, int, float*, Py_ssize_t*,
        double*) noexcept
    Py_ssize_t skproj_collect_band_f64(
        const double*, Py_ssize_t, double, double, int, double*, Py_ssize_t*,
        double*) noexcept
    Py_ssize_t skproj_collect_band_columns_f32(
        const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, const float*, const float*,
        int32_t*, double*, float*, int32_t*, Py_ssize_t) noexcept
    Py_ssize_t skproj_collect_band_columns_f64(
        const double*, Py_ssize_t, Py_ssize_t, Py_ssize_t, const double*,
        const double*, int32_t*, double*, double*, int32_t*, Py_ssize_t) noexcept
    void skproj_pick_columns_f32(
        const float*, Py_ssize_t, Py_ssize_t, const int64_t*, Py_ssize_t,
        float*) noexcept
    void skproj_pick_columns_f64(
        const double*, Py_ssize_t, Py_ssize_t, const int64_t*, Py_ssize_t,
        double*) noexcept
    void skproj_gather_columns_f32(
        const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, float*,
        Py_ssize_t) noexcept
    void skproj_gather_columns_f64(
        const double*, Py_ssize_t, Py_ssize_t, Py_ssize_t, double*,
        Py_ssize_t) noexcept
    Py_ssize_t skproj_excess_moments_f32(
        const float*, Py_ssize_t, double, double*, double*) noexcept
    Py_ssize_t skproj_excess_moments_f64(
        const double*, Py_ssize_t, double, double*, double*) noexcept
    void skproj_weighted_excess_moments_f32(
        const float*, const double*, Py_ssize_t, double, double*, double*,
        double*) noexcept
    void skproj_weighted_excess_moments_f64(
        const double*, const double*, Py_ssize_t, double, double*, double*,
        double*) noexcept
    void skproj_deficit_moments_f32(
        const float*, Py_ssize_t, double, double, double*, double*) noexcept
    void skproj_deficit_moments_f64(
        const double*, Py_ssize_t, double, double, double*, double*) noexcept
    void skproj_soft_and_scale_f32(
        const float*, Py_ssize_t, double, double, double, float*) noexcept
    void skproj_soft_and_scale_f64(
        const double*, Py_ssize_t, double, double, double, double*) noexcept


cdef inline double reduce_group(
    int norm, const floating* x, Py_ssize_t n
) noexcept nogil:
    if floating is float:
        return skproj_reduce_group_f32(norm, x, n)
    else:
        return skproj_reduce_group_f64(norm, x, n)


cdef inline void reduce_columns(
    int norm, const floating* x, Py_ssize_t n, Py_ssize_t w, Py_ssize_t stride,
    double* out
) noexcept nogil:
    if floating is float:
        skproj_reduce_columns_f32(norm, x, n, w, stride, out)
    else:
        skproj_reduce_columns_f64(norm, x, n, w, stride, out)


cdef inline void sum_and_max_abs_columns(
    const floating* x, Py_ssize_t n, Py_ssize_t w, Py_ssize_t stride, double* sums,
    double* largest
) noexcept nogil:
    if floating is float:
        skproj_sum_and_max_abs_columns_f32(x, n, w, stride, sums, largest)
    else:
        skproj_sum_and_max_abs_columns_f64(x, n, w, stride, sums, largest)


cdef inline void finish_columns(
    const floating* x, int norm, Py_ssize_t w, double* out
) noexcept nogil:
    """Last step of reduce_columns; of x only the type counts."""
    if floating is float:
        skproj_finish_columns_f32(norm, w, out)
    else:
        skproj_finish_columns_f64(norm, w, out)


cdef inline void map_group(
    int kind, const floating* x, Py_ssize_t n, double level, double offset,
    floating* out
) noexcept nogil:
    if floating is float:
        skproj_map_group_f32(kind, x, n, level, offset, out)
    else:
        skproj_map_group_f64(kind, x, n, level, offset, out)


cdef inline void map_columns(
    int kind, const floating* x, Py_ssize_t n, Py_ssize_t w, Py_ssize_t stride,
    const double* levels, const double* offsets, floating* out, Py_ssize_t out_stride
) noexcept nogil:
    if floating is float:
        skproj_map_columns_f32(kind, x, n, w, stride, levels, offsets, out, out_stride)
    else:
        skproj_map_columns_f64(kind, x, n, w, stride, levels, offsets, out, out_stride)


cdef inline double largest_value(
    const floating* x, Py_ssize_t n, bint signed_
) noexcept nogil:
    if floating is float:
        return skproj_largest_f32(x, n, signed_)
    else:
        return skproj_largest_f64(x, n, signed_)


cdef inline Py_ssize_t count_above(
    const floating* x, Py_ssize_t n, floating level, bint signed_, double* excess
) noexcept nogil:
    if floating is float:
        return skproj_count_above_f32(x, n, level, signed_, excess)
    else:
        return skproj_count_above_f64(x, n, level, signed_, excess)


cdef inline void count_above_columns(
    const floating* x, Py_ssize_t n, Py_ssize_t w, Py_ssize_t stride,
    const floating* levels, double* counts, double* excess
) noexcept nogil:
    if floating is float:
        skproj_count_above_columns_f32(x, n, w, stride, levels, counts, excess)
    else:
        skproj_count_above_columns_f64(x, n, w, stride, levels, counts, excess)


cdef inline Py_ssize_t newton_columns(
    Py_ssize_t w, const double* radii, double share, const double* lowest,
    const double* counts, const double* excess, double* before, floating* levels,
    double* steps
) noexcept nogil:
    if floating is float:
        return skproj_newton_columns_f32(
            w, radii, share, lowest, counts, excess, before, levels, steps)
    else:
        return skproj_newton_columns_f64(
            w, radii, share, lowest, counts, excess, before, levels, steps)


cdef inline Py_ssize_t collect_band(
    const floating* x, Py_ssize_t n, floating low, floating high, bint signed_,
    floating* band, Py_ssize_t* count, double* excess
) noexcept nogil:
    if floating is float:
        return skproj_collect_band_f32(x, n, low, high, signed_, band, count, excess)
    else:
        return skproj_collect_band_f64(x, n, low, high, signed_, band, count, excess)


cdef inline Py_ssize_t collect_band_columns(
    const floating* x, Py_ssize_t n, Py_ssize_t w, Py_ssize_t stride,
    const floating* lows, const floating* highs, int32_t* counts, double* excess,
    floating* band, int32_t* columns, Py_ssize_t room
) noexcept nogil:
    if floating is float:
        return skproj_collect_band_columns_f32(
            x, n, w, stride, lows, highs, counts, excess, band, columns, room)
    else:
        return skproj_collect_band_columns_f64(
            x, n, w, stride, lows, highs, counts, excess, band, columns, room)


cdef inline void pick_columns(
    const floating* x, Py_ssize_t n, Py_ssize_t stride, const int64_t* columns,
    Py_ssize_t m, floating* out
) noexcept nogil:
    if floating is float:
        skproj_pick_columns_f32(x, n, stride, columns, m, out)
    else:
        skproj_pick_columns_f64(x, n, stride, columns, m, out)


cdef inline void gather_columns(
    const floating* x, Py_ssize_t n, Py_ssize_t w, Py_ssize_t stride, floating* out,
    Py_ssize_t pitch
) noexcept nogil:
    if floating is float:
        skproj_gather_columns_f32(x, n, w, stride, out, pitch)
    else:
        skproj_gather_columns_f64(x, n, w, stride, out, pitch)


cdef inline Py_ssize_t excess_moments(
    const floating* x, Py_ssize_t n, double level, double* sum_, double* squares
) noexcept nogil:
    if floating is float:
        return skproj_excess_moments_f32(x, n, level, sum_, squares)
    else:
        return skproj_excess_moments_f64(x, n, level, sum_, squares)


cdef inline void weighted_excess_moments(
    const floating* x, const double* w, Py_ssize_t n, double level, double* sum_,
    double* squares, double* weights
) noexcept nogil:
    if floating is float:
        skproj_weighted_excess_moments_f32(x, w, n, level, sum_, squares, weights)
    else:
        skproj_weighted_excess_moments_f64(x, w, n, level, sum_, squares, weights)


cdef inline void deficit_moments(
    const floating* x, Py_ssize_t n, double level, double offset, double* sum_,
    double* squares
) noexcept nogil:
    if floating is float:
        skproj_deficit_moments_f32(x, n, level, offset, sum_, squares)
    else:
        skproj_deficit_moments_f64(x, n, level, offset, sum_, squares)


cdef inline void soft_and_scale(
    const floating* x, Py_ssize_t n, double level, double offset, double factor,
    floating* out
) noexcept nogil:
    if floating is float:
        skproj_soft_and_scale_f32(x, n, level, offset, factor, out)
    else:
        skproj_soft_and_scale_f64(x, n, level, offset, factor, out)
