# What another kernel uses of the group sparse projection: see _hoyer.pyx.

from cython cimport floating


cdef void solve_vector(
    const floating* x, Py_ssize_t size, double largest, double mean, floating* entries,
    double* offset, double* length, double* inner, Py_ssize_t* n_tied
) noexcept nogil
