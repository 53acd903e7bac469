# The C loops of _simd.h behind one fused name each.

from cython cimport floating


cdef extern from "_simd.h" nogil:
    const int SKPROJ_TILE

    double skproj_reduce_group_f32(
        int, const float*, Py_ssize_t) noexcept
    double skproj_reduce_group_f64(
        int, const double*, Py_ssize_t) noexcept
    void skproj_reduce_tile_f32(
        int, const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, double*) noexcept
    void skproj_reduce_tile_f64(
        int, const double*, Py_ssize_t, Py_ssize_t, Py_ssize_t, double*) noexcept
    void skproj_map_group_f32(
        int, const float*, Py_ssize_t, double, float*) noexcept
    void skproj_map_group_f64(
        int, const double*, Py_ssize_t, double, double*) noexcept
    void skproj_map_tile_f32(
        int, const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t,
        const double*, float*, Py_ssize_t) noexcept
    void skproj_map_tile_f64(
        int, const double*, Py_ssize_t, Py_ssize_t, Py_ssize_t,
        const double*, double*, Py_ssize_t) noexcept
    Py_ssize_t skproj_count_above_f32(
        const float*, Py_ssize_t, double, double*) noexcept
    Py_ssize_t skproj_count_above_f64(
        const double*, Py_ssize_t, double, double*) noexcept
    void skproj_gather_tile_f32(
        const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, float*) noexcept
    void skproj_gather_tile_f64(
        const double*, Py_ssize_t, Py_ssize_t, Py_ssize_t, double*) noexcept


cdef inline double reduce_group(
    int norm, const floating* x, Py_ssize_t n
) noexcept nogil:
    if floating is float:
        return skproj_reduce_group_f32(norm, x, n)
    else:
        return skproj_reduce_group_f64(norm, x, n)


cdef inline void reduce_tile(
    int norm, const floating* x, Py_ssize_t n, Py_ssize_t w, Py_ssize_t stride,
    double* out
) noexcept nogil:
    if floating is float:
        skproj_reduce_tile_f32(norm, x, n, w, stride, out)
    else:
        skproj_reduce_tile_f64(norm, x, n, w, stride, out)


cdef inline void map_group(
    int kind, const floating* x, Py_ssize_t n, double level, floating* out
) noexcept nogil:
    if floating is float:
        skproj_map_group_f32(kind, x, n, level, out)
    else:
        skproj_map_group_f64(kind, x, n, level, out)


cdef inline void map_tile(
    int kind, const floating* x, Py_ssize_t n, Py_ssize_t w, Py_ssize_t stride,
    const double* levels, floating* out, Py_ssize_t out_stride
) noexcept nogil:
    if floating is float:
        skproj_map_tile_f32(kind, x, n, w, stride, levels, out, out_stride)
    else:
        skproj_map_tile_f64(kind, x, n, w, stride, levels, out, out_stride)


cdef inline Py_ssize_t count_above(
    const floating* x, Py_ssize_t n, double level, double* excess
) noexcept nogil:
    if floating is float:
        return skproj_count_above_f32(x, n, level, excess)
    else:
        return skproj_count_above_f64(x, n, level, excess)


cdef inline void gather_tile(
    const floating* x, Py_ssize_t n, Py_ssize_t w, Py_ssize_t stride, floating* out
) noexcept nogil:
    if floating is float:
        skproj_gather_tile_f32(x, n, w, stride, out)
    else:
        skproj_gather_tile_f64(x, n, w, stride, out)
