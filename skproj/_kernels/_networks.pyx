"""Networks with one hidden layer and a softmax, side by side: losses and gradients.

For networks as small as those of an ensemble, calls of tensor operations take several
times longer than the arithmetic. Here one pass over the samples does all that lies
between the two large products, ``X W'`` of the first layer and ``dZ' X``.
"""

from cython cimport floating
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc


cdef extern from "_networks.h" nogil:
    enum:
        SKPROJ_LANES
        SKPROJ_SILU, SKPROJ_RELU, SKPROJ_TANH, SKPROJ_LOGISTIC

    ctypedef struct skproj_network_sizes:
        Py_ssize_t n_samples, n_units, n_classes
        int activation

    void differentiate_network "skproj_differentiate_network" (
        skproj_network_sizes sizes, floating* z, const floating* hidden_bias,
        const floating* weight, const floating* bias, const int64_t* labels,
        const floating* sample_weight, floating* losses, floating* d_hidden_bias,
        floating* d_weight, floating* d_bias, Py_ssize_t pitch, floating* a,
        floating* outputs) noexcept


ACTIVATIONS = {
    "silu": SKPROJ_SILU,
    "relu": SKPROJ_RELU,
    "tanh": SKPROJ_TANH,
    "logistic": SKPROJ_LOGISTIC,
}


def differentiate(
    int activation,                          # a value of ACTIVATIONS
    floating[:, :, ::1] z,                   # IN, OUT gradient, (n_all, n_units, n)
    const floating[:, ::1] hidden_bias,      # IN, (n_all, n_units), not yet in z
    const floating[:, :, ::1] weight,        # IN, (n_all, n_classes, n_units)
    const floating[:, ::1] bias,             # IN, (n_all, n_classes)
    const int64_t[::1] labels,               # IN, (n,), of all networks
    const floating[:, ::1] sample_weight,    # IN, (n_all, n)
    floating[:, ::1] losses,                 # OUT, (n_all, n), with the weights
    floating[:, ::1] d_hidden_bias,          # OUT
    floating[:, :, ::1] d_weight,            # OUT
    floating[:, ::1] d_bias,                 # OUT
):
    """Return the losses of `n_all` networks, and the gradients of their means.

    Samples are the last axis: loops over them are vectorised, whatever the widths are.
    """
    cdef:
        skproj_network_sizes sizes
        Py_ssize_t n_units = z.shape[1], n = z.shape[2], pitch, j
        floating* a
        floating* outputs

    sizes.n_samples, sizes.n_units, sizes.n_classes = n, n_units, weight.shape[1]
    sizes.activation = activation
    pitch = (n + SKPROJ_LANES - 1) // SKPROJ_LANES * SKPROJ_LANES
    a = <floating*>malloc((n_units + sizes.n_classes + 2) * pitch * sizeof(floating))
    if a == NULL:
        raise MemoryError("No memory for the units of a network.")
    outputs = a + n_units * pitch
    with nogil:
        for j in range(z.shape[0]):
            differentiate_network(
                sizes, &z[j, 0, 0], &hidden_bias[j, 0], &weight[j, 0, 0], &bias[j, 0],
                &labels[0], &sample_weight[j, 0], &losses[j, 0], &d_hidden_bias[j, 0],
                &d_weight[j, 0, 0], &d_bias[j, 0], pitch, a, outputs,
            )
    free(a)
