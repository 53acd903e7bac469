from cython cimport floating

from ._layout cimport Groups


cdef double clip_levels(
    const floating* x, const Groups* layout, const double* norms, const double* largest,
    double radius, double low, double guess, double* levels, int n_threads
) noexcept nogil
