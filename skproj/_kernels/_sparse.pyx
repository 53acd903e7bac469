"""Products of CSR matrices with up to `N_LANES` columns, which are side by side.

SciPy multiplies each entry with a row of a length that it does not know in advance.
Here all rows are filled up to the same length, and Fortran order is kept.
"""

from cython cimport floating


cdef extern from "_sparse.h" nogil:
    enum:
        SKPROJ_LANES

    void csr_dot "skproj_csr_dot" (
        const floating* data, const int* indices, const int* indptr, Py_ssize_t n,
        const floating* matrix, const double* shift, Py_ssize_t width, double* out
        ) noexcept
    void csr_transposed_dot "skproj_csr_transposed_dot" (
        const floating* data, const int* indices, const int* indptr, Py_ssize_t n,
        const double* x, Py_ssize_t width, floating* out) noexcept


N_LANES = SKPROJ_LANES


def multiply(
    const floating[::1] data,        # IN, (n_entries,), at least one
    const int[::1] indices,          # IN, (n_entries,)
    const int[::1] indptr,           # IN, (n + 1,)
    const floating[:, ::1] matrix,   # IN, (n_columns, N_LANES)
    const double[::1] shift,         # IN, (width,), subtracted
    double[:, ::1] out,              # OUT, (width, n), the product, transposed
):
    """Multiply with the first columns of a matrix."""
    with nogil:
        csr_dot(&data[0], &indices[0], &indptr[0], out.shape[1], &matrix[0, 0],
                &shift[0], out.shape[0], &out[0, 0])


def add_transposed(
    const floating[::1] data,        # IN, as above
    const int[::1] indices,
    const int[::1] indptr,
    const double[:, ::1] x,          # IN, (width, n)
    floating[:, ::1] out,            # IN and OUT, (n_columns, N_LANES)
):
    """Add the product of the transpose with that of x, in the first columns."""
    with nogil:
        csr_transposed_dot(&data[0], &indices[0], &indptr[0], x.shape[1], &x[0, 0],
                           x.shape[0], &out[0, 0])
