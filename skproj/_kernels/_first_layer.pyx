"""Products of a first layer with samples of which few entries are not zero.

For each column of the samples, the weights of all units are in registers while its
entries are visited: they are read from memory once, in order, and the gradients are
written once. What the entries are multiplied with, the units of the samples of a batch,
stays in the cache.
"""

from cython cimport floating
from libc.stdint cimport int32_t


cdef extern from "_first_layer.h" nogil:
    enum:
        SKPROJ_LANES

    ctypedef struct skproj_sparse_samples:
        const int32_t* rows
        const int32_t* starts
        const int32_t* columns
        Py_ssize_t n_columns

    void apply_layer "skproj_apply_first_layer" (
        skproj_sparse_samples x, const floating* data, const floating* factors,
        const floating* weight, Py_ssize_t n_units, floating* outputs, Py_ssize_t pitch,
    ) noexcept

    void differentiate_layer "skproj_differentiate_first_layer" (
        skproj_sparse_samples x, const floating* data, const floating* factors,
        floating* d_weight, Py_ssize_t n_units, const floating* d_outputs,
        Py_ssize_t pitch,
    ) noexcept


LANES = SKPROJ_LANES


cdef skproj_sparse_samples samples_of(
    const int32_t[::1] rows, const int32_t[::1] starts, const int32_t[::1] columns
) noexcept nogil:
    cdef skproj_sparse_samples x
    x.rows, x.starts, x.columns = &rows[0], &starts[0], &columns[0]
    x.n_columns = columns.shape[0]
    return x


def apply_first_layer(
    const floating[::1] data,      # IN, entries, at least one, column by column
    const int32_t[::1] rows,       # IN, the sample of each of them
    const int32_t[::1] starts,     # IN, where the entries of each column begin
    const int32_t[::1] columns,    # IN, those that the layer takes, at least one
    const floating[::1] factors,   # IN, of these columns
    const floating[:, ::1] weight,  # IN, (n_columns, n_units)
    floating[:, ::1] outputs,      # IN and OUT, (n_samples, a multiple of LANES)
):
    """Add the products of samples and weights to the outputs of the units."""
    with nogil:
        apply_layer(
            samples_of(rows, starts, columns), &data[0], &factors[0], &weight[0, 0],
            weight.shape[1], &outputs[0, 0], outputs.shape[1],
        )


def differentiate_first_layer(
    const floating[::1] data,
    const int32_t[::1] rows,
    const int32_t[::1] starts,
    const int32_t[::1] columns,
    const floating[::1] factors,
    floating[:, ::1] d_weight,         # OUT, (n_columns, n_units)
    const floating[:, ::1] d_outputs,  # IN, (n_samples, a multiple of LANES)
):
    """Compute the gradients of the weights from those of the outputs."""
    with nogil:
        differentiate_layer(
            samples_of(rows, starts, columns), &data[0], &factors[0], &d_weight[0, 0],
            d_weight.shape[1], &d_outputs[0, 0], d_outputs.shape[1],
        )
