"""State of OpenMP at run time."""

cdef extern from "_openmp.h" nogil:
    const int SKPROJ_OPENMP
    int omp_get_max_threads() noexcept
    void skproj_end_threads() noexcept


def openmp_enabled():
    """Whether the kernels were built with OpenMP."""
    return bool(SKPROJ_OPENMP)


def openmp_max_threads():
    """Number of threads that OpenMP would use, 1 in a serial build."""
    return omp_get_max_threads()


def end_threads():
    """End the threads that wait for work of this one; the next call starts others."""
    skproj_end_threads()
