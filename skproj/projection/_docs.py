"""Shared parts of the docstrings of functions on arrays."""

import types

from skproj.utils._docs import shared_docs

_DTYPES = "Input of dtype float32 or float64; integers are converted to float64."
_THREADS = """\
n_threads : int, default=None
    Number of OpenMP threads. None takes those of OpenMP if the array is large, and
    one otherwise; negative values count from the number of CPUs (-1 is all)."""
_OUT = """\
out : ndarray of the shape and dtype of `X`, default=None
    Where to write the result; may be `X` itself. Nothing is written if an
    argument is refused."""
_SPARSE_RESULT = """\
Empty arrays come back empty. It is sparse if `X` is, in CSC if
    `X` is and in CSR otherwise, and stores no zeros."""
_TYPE_ERROR = """
Raises
------
TypeError
    If `X` is not of a real floating or integer type, or if an argument has the
    wrong type."""
_RAISES = f"""{_TYPE_ERROR}
ValueError
    If `{{}}` is negative or NaN, if `X` contains NaN or infinity, or if
    `axis` or `out` does not fit `X`."""

# Options of the group sparse projection, of arrays and of tensors.
HOYER_PARTS = {
    "hoyer_level": """
sparsity : float
    The wanted average of `hoyer_sparsity`, between 0 and 1. With
    ``target="zeros"`` the fraction of the entries that are to be zero.""",
    "hoyer_target": """
target : {"hoyer", "zeros"}, default="hoyer"
    Whether `sparsity` is the average Hoyer sparsity or the fraction of zeros.""",
    "per_vector": """
per_vector : bool, default=False
    Whether each vector is given the sparsity by itself, and not the average.""",
    "hoyer_scale": """
scale : {"ls", "keep_l2"}, default="ls"
    How long the vectors become: as near to those of `X` as their direction allows,
    or as long as they were.""",
}
PARTS = {
    # Parameters
    "X_of_groups": f"""
X : array-like or sparse matrix, usually of shape (n_rows, n_columns)
    {_DTYPES}""",
    "X_of_slices": f"""
X : array-like of any shape, or sparse matrix
    {_DTYPES}""",
    "dense_X": f"""
X : array-like of any shape
    {_DTYPES}""",
    "ball_radius": """
radius : float
    Radius of the ball; 0 gives zeros, infinity gives `X`.""",
    "alpha": """
alpha : float
    Non-negative factor of the norm, a step size times a penalty; 0 gives `X`,
    infinity gives zeros.""",
    "axis_of_groups": """
axis : int, tuple of int or None, default=0
    Axis along which the inner norm runs, as in ``np.linalg.norm(X, axis=0)``: with
    ``axis=0`` the groups of a matrix are its columns. None makes the whole
    array one group.""",
    "axis_of_slices": """
axis : int, tuple of int or None, default=None
    None projects the whole array as one vector; otherwise each slice along
    `axis` is projected by itself onto the ball.""",
    "axis_of_norm": """
axis : int, tuple of int or None, default=None
    None takes the whole array as one vector; otherwise each slice along `axis`
    has a norm of its own.""",
    "X_of_vectors": """
X : array-like of any shape, or list of arrays
    Vectors of dtype float32 or float64; integers are converted to float64. In a
    list or tuple of arrays each array is one vector, whatever its shape.""",
    "axis_of_vectors": """
axis : int, tuple of int or None, default=0
    Axis along which the vectors run: with ``axis=0`` they are the columns of a matrix.
    None makes the whole array one vector. It must be 0 for a list of arrays.""",
    "out": f"\n{_OUT} It must be None if `X` is sparse.",
    "dense_out": f"\n{_OUT}",
    "n_threads": f"\n{_THREADS} The\n    result does not depend on it.",
    "n_threads_of_norm": f"\n{_THREADS}",
    "return_threshold": """
return_threshold : bool, default=False
    Whether to return the threshold as well.""",
    "level_norms": """
norms : sequence of {1, 2, inf}, default=(1, inf, inf)
    The norm of each level, the outermost first.""",
    "level_axes": """
axes : sequence of int or tuple of int, default=None
    Axes along which each norm runs, the outermost first; together every
    dimension of `X` once. None means ``(ndim - 1, ..., 0)``, one dimension for
    each norm, so that the innermost norm runs along axis 0.""",
    # Results
    "P_of_projection": f"""
P : ndarray or sparse matrix of the shape and dtype of `X`
    The projection. {_SPARSE_RESULT}""",
    "P_of_prox": f"""
P : ndarray or sparse matrix of the shape and dtype of `X`
    The minimiser. {_SPARSE_RESULT}""",
    "dense_P": """
P : ndarray of the shape and dtype of `X`
    The projection. Empty arrays come back empty.""",
    "norm_of_slices": """
norm : float, or ndarray of the shape of `X` without `axis`
    The norm, of dtype float64; 0 for an empty array, infinite beyond the largest
    float.""",
    "norm_of_groups": """
norm : float
    The norm, summed in float64; 0 for an empty array, infinite beyond the largest
    float.""",
    # Errors
    "raises_of_dense": """
Raises
------
TypeError
    If `X` is sparse or not of a real floating or integer type, or if an argument
    has the wrong type.""",
    "raises_of_types": _TYPE_ERROR,
    "raises": _RAISES.format("radius"),
    "raises_of_prox": _RAISES.format("alpha"),
    "raises_of_norm": """
Raises
------
TypeError
    If `X` is not of a real floating or integer type.
ValueError
    If `X` contains NaN or infinity, or if `axis` does not fit `X`.""",
    # Methods
    "threshold_search": """
Newton's method on the threshold, for long vectors on the few entries near it that
a sample points to: expected time linear in the number of entries. Sums are carried
in float64. The radius is met to rounding, also if it is tiny against the entries.""",
    "two_passes": """
Two passes over the array. Sums of squares are carried in float64 and scaled
where they would overflow or underflow.""",
    "bilevel_properties": """
Notes
-----
Time linear in the number of entries. The result is in the ball but is not its
nearest point; for dense input it usually has more zero groups. It loses exactly
what it must in the norm of the ball: ``norm(X - P) + norm(P) == norm(X)`` [1]_.

{bilevel_reference}""",
}


def _entries(parameters):
    return "\n".join(PARTS[name].strip() for name in parameters.split())


def _sections(parameters, result="", errors=""):
    """Join parts to the sections Parameters, Returns and Raises."""
    text = f"Parameters\n----------\n{_entries(parameters)}"
    if result:
        text += f"\n\nReturns\n-------\n{PARTS[result].strip()}"
    if errors:
        text += f"\n\n{PARTS[errors].strip()}"
    return f"\n{text}"


_REST = "out n_threads return_threshold"
PARTS |= HOYER_PARTS | {
    # The last parameters and the result of a function that has others of its own.
    "dense_result": (
        f"{_entries(f'dense_{_REST}')}\n\nReturns\n-------\n{PARTS['dense_P'].strip()}"
    ),
    "group_projection": _sections(
        f"X_of_groups ball_radius axis_of_groups {_REST}", "P_of_projection"
    ),
    "slice_projection": _sections(
        f"X_of_slices ball_radius axis_of_slices {_REST}", "P_of_projection"
    ),
    "group_prox": _sections(
        "X_of_groups alpha axis_of_groups out n_threads", "P_of_prox", "raises_of_prox"
    ),
    "group_norm": _sections(
        "X_of_groups axis_of_groups n_threads_of_norm",
        "norm_of_groups",
        "raises_of_norm",
    ),
    "slice_norm": _sections(
        "X_of_slices axis_of_norm n_threads_of_norm",
        "norm_of_slices",
        "raises_of_norm",
    ),
}

PARTS["bilevel_projection"] = f"""{PARTS["group_projection"]}
threshold : float
    The tau >= 0 of the outer level: groups whose norm is at most tau become
    zero. It is 0 if `X` is inside the ball, infinite beyond the largest float.
    Only if `return_threshold`.

{PARTS["raises"].strip()}"""

documented = shared_docs(**PARTS)


def alias(function, name):
    """Make another name of a function, as its docstring says."""
    copy = types.FunctionType(
        function.__code__,
        function.__globals__,
        name,
        function.__defaults__,
        function.__closure__,
    )
    copy.__qualname__, copy.__module__ = name, function.__module__
    copy.__dict__.update(function.__dict__)
    copy.__kwdefaults__ = function.__kwdefaults__
    if function.__doc__ is not None:  # python -OO
        _, _, rest = function.__doc__.partition("\n")
        copy.__doc__ = f"Call `{function.__name__}` by another name.\n{rest}"
    return copy
