from cython cimport floating

from ._layout cimport Groups


cdef (double, double) extremes(const double* norms, Py_ssize_t n) noexcept nogil


cdef int norms_of_block(
    int norm, const floating* x, const Groups* groups, double* first, double* second
) noexcept nogil


cdef void map_block(
    int kind, const floating* x, const Groups* groups, const double* levels,
    const double* offsets, floating* out, const Groups* targets
) noexcept nogil
