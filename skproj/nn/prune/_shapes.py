"""Units of tensors that are indexed, transposed, flattened or averaged.

Each function returns None where the units do not stay along one dimension.
"""

import types

import numpy as np

from skproj.nn.prune._units import Value

BASIC_INDICES = (int, slice, types.NoneType, types.EllipsisType)


def dim_of(node, default):
    """Return the `dim` of a call, which PyTorch takes as `axis` as well."""
    given = node.args[1:2] or [
        node.kwargs[name] for name in ("dim", "axis") if name in node.kwargs
    ]
    return given[0] if given else default


def taken(value, n_dims, index):
    """Index a tensor by numbers and slices of other dimensions."""
    index = index if isinstance(index, tuple) else (index,)
    if any(type(x) not in BASIC_INDICES for x in index):
        return None
    n_named = sum(type(x) in (int, slice) for x in index)
    rest = [slice(None)] * (n_dims - n_named)
    place = index.index(...) if ... in index else len(index)
    old, new = 0, 0
    for x in (*index[:place], *rest, *index[place + 1 :]):
        if x is not None and old == value.dim:
            if x != slice(None):
                return None
            return Value(value.units, new, value.known, value.constants)
        old += x is not None
        new += type(x) is not int
    return None


def permuted(value, n_dims, name, dims):
    """Transpose two dimensions, or permute all of them."""
    dims = dims[0] if len(dims) == 1 else dims
    if not isinstance(dims, tuple | list) or any(type(dim) is not int for dim in dims):
        return None
    places = [dim % n_dims for dim in dims]
    if name == "transpose":
        a, b = places
        places = list(range(n_dims))
        places[a], places[b] = b, a
    dim = places.index(value.dim)
    return Value(value.units, dim, value.known, value.constants)


def flattened(value, shape, new_shape):
    """Join all dimensions but the first: a unit becomes several features."""
    size = int(np.prod(shape[1:]))
    if value.dim == 0 or new_shape != (shape[0], size):
        return None
    one_unit = [1] * (len(shape) - 1)
    one_unit[value.dim - 1] = -1

    def spread(x):
        return np.broadcast_to(x.reshape(one_unit), shape[1:]).ravel()

    return Value(spread(value.units), 1, spread(value.known), spread(value.constants))


def averaged(value, n_dims, dims, keepdim):
    """Take the mean along other dimensions."""
    if dims is None or dims == ():
        return None
    dims = {dim % n_dims for dim in ((dims,) if isinstance(dims, int) else dims)}
    if value.dim in dims:
        return None
    n_gone = 0 if keepdim else sum(dim < value.dim for dim in dims)
    return Value(value.units, value.dim - n_gone, value.known, value.constants)
