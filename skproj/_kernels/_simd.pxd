# The C loops of _simd.h, for float and for double. Cython calls the version for the
# type of the pointers; where a loop has no such argument, `like` stands for the type.

from cython cimport floating


cdef extern from "_simd.h" nogil:
    const int SKPROJ_NORM_L1
    const int SKPROJ_NORM_L2
    const int SKPROJ_NORM_LINF
    const int SKPROJ_MAP_CLIP
    const int SKPROJ_MAP_SCALE
    const int SKPROJ_MAP_SOFT
    const int SKPROJ_MAP_SUBTRACT
    const int SKPROJ_SLACK
    const double SKPROJ_NEAR

    const char* level_of_instructions "skproj_level" () noexcept
    double compensated_sum "skproj_compensated_sum" (
        const double* x, Py_ssize_t n, double start) noexcept
    double reduce_group "skproj_reduce_group" (
        int norm, const floating* x, Py_ssize_t n) noexcept
    void reduce_columns "skproj_reduce_columns" (
        int norm, const floating* x, Py_ssize_t n, Py_ssize_t w, Py_ssize_t stride,
        double* out) noexcept
    void sum_and_max_abs_columns "skproj_sum_and_max_abs_columns" (
        const floating* x, Py_ssize_t n, Py_ssize_t w, Py_ssize_t stride, double* sums,
        double* largest) noexcept
    void finish_columns "skproj_finish_columns" (
        const floating* like, int norm, Py_ssize_t w, double* out) noexcept
    void map_group "skproj_map_group" (
        int kind, const floating* x, Py_ssize_t n, double level, double offset,
        floating* out) noexcept
    void map_columns "skproj_map_columns" (
        int kind, const floating* x, Py_ssize_t n, Py_ssize_t w, Py_ssize_t stride,
        const double* levels, const double* offsets, floating* out,
        Py_ssize_t out_stride) noexcept
    double largest_value "skproj_largest" (
        const floating* x, Py_ssize_t n, bint signed_) noexcept
    double rounded_down "skproj_rounded_down" (
        double x, const floating* like) noexcept
    Py_ssize_t look "skproj_look" (
        const floating* x, Py_ssize_t n, floating level, bint signed_, double* excess,
        double* below, double* above) noexcept
    Py_ssize_t collect_band "skproj_collect_band" (
        const floating* x, Py_ssize_t n, floating low, floating high, bint signed_,
        floating* band, Py_ssize_t* count, double* excess) noexcept
    void gather_columns "skproj_gather_columns" (
        const floating* x, Py_ssize_t n, Py_ssize_t w, Py_ssize_t stride, floating* out,
        Py_ssize_t pitch) noexcept
    Py_ssize_t excess_moments "skproj_excess_moments" (
        const floating* x, Py_ssize_t n, double level, double* sum_,
        double* squares) noexcept
    void deficit_moments "skproj_deficit_moments" (
        const floating* x, Py_ssize_t n, double level, double offset, double* sum_,
        double* squares) noexcept
    void soft_and_scale "skproj_soft_and_scale" (
        const floating* x, Py_ssize_t n, double level, double offset, double factor,
        floating* out) noexcept
    double few_digits "skproj_few_digits" (double x) noexcept
    double sum_down "skproj_sum_down" (double level, double step) noexcept
    bint is_root "skproj_is_root" (
        double level, double step, double below, double above, double count,
        double before, double last, bint near, bint was_near) noexcept
    double rest "skproj_rest" (floating x, double w, double level) noexcept
    double weighted_norm "skproj_weighted_norm" (
        const floating* x, const double* w, Py_ssize_t n, double* largest,
        double* heaviest) noexcept
    double weighted_look "skproj_weighted_look" (
        const floating* x, const double* w, Py_ssize_t n, double level, double offset,
        double* squares, double* weights) noexcept
    Py_ssize_t collect_pairs "skproj_collect_pairs" (
        const floating* x, const double* w, Py_ssize_t n, double low, double high,
        double* values, double* weights, double* excess, double* squares) noexcept
    void soft_weighted "skproj_soft_weighted" (
        const floating* x, const double* w, Py_ssize_t n, double level, double offset,
        floating* out) noexcept
    void soft_weighted_row "skproj_soft_weighted_row" (
        const floating* x, const double* w, Py_ssize_t n, const double* levels,
        const double* offsets, floating* out) noexcept
