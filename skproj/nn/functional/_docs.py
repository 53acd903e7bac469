"""Shared parts of the docstrings of functions on tensors."""

import inspect
import re

from skproj.projection._docs import HOYER_PARTS
from skproj.utils._docs import shared_docs

_ERRORS = """\
TypeError
    If `X` is not a dense floating-point tensor, or if an argument has the wrong
    type.
ValueError
    If an argument does not fit `X`, if `radius` is negative or NaN, or if a tensor
    on the CPU contains NaN or infinity.

See Also
--------
{twin}"""
_WHY_NOT_IN_PLACE = """\
RuntimeError
    If `X` requires a gradient and gradients are enabled: it has to be in a block of
    ``torch.no_grad()``. Also if `X` carries a tangent of forward-mode
    differentiation, if it comes from ``expand``, which puts several entries in one
    place, or if `torch.vmap` maps over `weights` but not over `X`."""
PARTS = HOYER_PARTS | {
    "X": """
X : torch.Tensor of any shape, usually (n_rows, n_columns)
    Dense, of dtype float64, float32, bfloat16 or float16.""",
    "ball_radius": """
radius : float
    Radius of the ball; 0 gives zeros, infinity gives `X`. Not a tensor.""",
    "dim_of_slices": """
dim : int, tuple of int or None, default=None
    None projects the whole tensor as one vector; otherwise each slice along `dim`
    is projected by itself.""",
    "dim_of_groups": """
dim : int, tuple of int or None, default=0
    Dimension along which the inner norm runs, as in
    ``torch.linalg.vector_norm(X, dim=0)``: with ``dim=0`` the groups of a matrix are
    its columns. None makes the whole tensor one group.""",
    "X_or_list": """
X : torch.Tensor of any shape, or list of tensors
    Dense, of dtype float64, float32, bfloat16 or float16. In a list or tuple each
    tensor is one vector, whatever its shape.""",
    "dim_of_vectors": """
dim : int, tuple of int or None, default=0
    Dimension along which the vectors run: with ``dim=0`` they are the columns of a
    matrix. None makes the whole tensor one vector. It must be 0 for a list of
    tensors.""",
}
OUT_OF_PLACE = {
    "returns": f"""
Returns
-------
P : torch.Tensor of the shape, dtype, device and memory layout of `X`
    The projection, with a gradient to `X`. Empty tensors come back empty.

Raises
------
{_ERRORS}""",
    "notes": """
Notes
-----
On the CPU, compiled code reads float32 and float64 tensors where they are, with
`torch.get_num_threads()` threads. Other devices compute for themselves, and do not
look for NaN and infinity, which would wait for them. bfloat16 and float16 are
computed in float32 and rounded. Derivatives, in reverse and forward mode, are
those with respect to `X` alone, and can be differentiated again; at kinks they are
one of the possible ones.""",
    "hoyer_returns": """
P : torch.Tensor of the shape, dtype, device and memory layout of `X`, or list
    The projection, with a gradient to `X`. What is sparse enough already comes
    back as it is, so do empty tensors and vectors of one entry. The tensors of a
    list are contiguous.""",
    "hoyer_raises": """
RuntimeError
    If `X` requires a gradient or carries a tangent, for which there is none with
    ``target="zeros"`` and with ``objective="ls"``.""",
    "hoyer_notes": """
Derivatives, in reverse and forward mode, are those with respect to `X` alone, and
can be differentiated again. Where equal entries make the average jump, or only
some of them are kept, they hold for changes after which these are still equal; for
others there are none. At kinks they are one of the possible ones, and 0 for a
vector of zeros.""",
}
IN_PLACE = {
    "returns": f"""
Returns
-------
X : torch.Tensor
    The argument itself, which now holds the projection.

Raises
------
{_WHY_NOT_IN_PLACE}
{_ERRORS}""",
    "notes": """
Notes
-----
On the CPU, float32 and float64 tensors are projected without a copy, with
`torch.get_num_threads()` threads. If an argument is refused, `X` is unchanged. Other
devices do not look for NaN and infinity, which would wait for them.""",
    "hoyer_returns": """
X : torch.Tensor or list of tensors
    The argument itself, which now holds the projection. What is sparse enough already
    stays as it is, so do empty tensors and vectors of one entry.""",
    "hoyer_raises": f"""
{_WHY_NOT_IN_PLACE}""",
    "hoyer_notes": """
If an argument is refused, `X` is unchanged.""",
}


for _name in ("slices", "groups"):
    _parameters = (PARTS["X"], PARTS["ball_radius"], PARTS[f"dim_of_{_name}"])
    _text = "\nParameters\n----------" + "".join(map(str.rstrip, _parameters))
    for _parts in (OUT_OF_PLACE, IN_PLACE):
        _parts[f"projection_of_{_name}"] = f"{_text}\n{_parts['returns']}"


def document(function, like):
    """Fill in a docstring, of a function that has a twin in place.

    The description is that of the function `like`.
    """
    twin = f"{function.__name__}_ : The same in place."
    parts = PARTS | OUT_OF_PLACE
    return shared_docs(**parts, twin=twin, description=describe(like))(function)


def describe(function):
    """Take the text between summary and parameters from a docstring."""
    _, _, rest = (function.__doc__ or "").partition("\n\n")  # None by python -OO
    text, _, _ = rest.partition("\n\nParameters\n")
    return text.replace("axis=", "dim=")


def document_in_place(function, like):
    """Turn the docstring of a function into that of its twin in place."""
    if function.__doc__ is None:  # python -OO
        return function
    name = function.__name__.removesuffix("_")
    doc = inspect.cleandoc(function.__doc__).replace(".\n", ", in place.\n", 1)
    function.__doc__ = re.sub(rf"(?<!\.){name}\b", function.__name__, doc)
    twin = f"{name} : The same into a new tensor, with gradients."
    parts = PARTS | IN_PLACE
    return shared_docs(**parts, twin=twin, description=describe(like))(function)
