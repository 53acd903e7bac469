cdef double l1_threshold(
    const double* x, Py_ssize_t n, double norm, double radius, double* level,
    double* offset
) noexcept nogil
