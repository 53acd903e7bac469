"""Docstrings of functions on tensors, made of those of the functions on arrays."""

import re
from collections.abc import Callable
from typing import Any

from skproj._typing import Params, Result
from skproj.projection._docs import completed, merged, rendered, sections

# What is said of arrays holds for tensors in these words.
_WORDS = {
    "np.linalg.norm": "torch.linalg.vector_norm",
    "axes": "dims",
    "Axes": "Dimensions",
    "axis 0": "dimension 0",
    "Axis": "Dimension",
    "axis": "dim",
    "array-like": "torch.Tensor",
    "array": "tensor",
    ": sequence": ": tuple",
}

TENSORS = sections("""
Parameters
----------
X : torch.Tensor of any shape, usually (n_rows, n_columns)
    Dense, of dtype float64, float32, bfloat16 or float16.

Returns
-------
P : torch.Tensor of the shape, dtype, device and memory layout of `X`
    The projection, with a gradient to `X`. Empty tensors come back empty.

Raises
------
TypeError
    If `X` is not a dense floating-point tensor, or if an argument has the wrong
    type.
ValueError
    If an argument does not fit `X`, if `radius` is negative or NaN, or if a tensor
    on the CPU contains NaN or infinity.

Notes
-----
On the CPU, compiled code reads float32 and float64 tensors where they are, with
`torch.get_num_threads()` threads. Other devices compute for themselves, and do not
look for NaN and infinity, which would wait for them. bfloat16 and float16 are
computed in float32 and rounded. Derivatives, in reverse and forward mode, are
those with respect to `X` alone, and can be differentiated again; at kinks they are
one of the possible ones.
""")
VECTORS = sections("""
Parameters
----------
X : torch.Tensor of any shape, or list of tensors
    Dense, of dtype float64, float32, bfloat16 or float16. In a list or tuple each
    tensor is one vector, whatever its shape.

Raises
------
TypeError
    If `X` is not made of dense floating-point tensors, or if an argument has the
    wrong type.
""")
PROJECTED_VECTORS = VECTORS | sections("""
Notes
-----
Derivatives, in reverse and forward mode, are those with respect to `X` alone, and
can be differentiated again. Where equal entries make the average jump, or only
some of them are kept, they hold for changes after which these are still equal; for
others there are none. At kinks they are one of the possible ones, and 0 for a
vector of zeros.
""")
IN_PLACE = sections("""
Returns
-------
X : torch.Tensor
    The argument itself, which now holds the projection.

Raises
------
RuntimeError
    If `X` requires a gradient and gradients are enabled: it has to be in a block of
    ``torch.no_grad()``. Also if `X` carries a tangent of forward-mode
    differentiation, if it comes from ``expand``, which puts several entries in one
    place, or if `torch.vmap` maps over `weights` but not over `X`.

Notes
-----
On the CPU, float32 and float64 tensors are projected without a copy, with
`torch.get_num_threads()` threads. If an argument is refused, `X` is unchanged. Other
devices do not look for NaN and infinity, which would wait for them.
""")
VECTORS_IN_PLACE = IN_PLACE | sections("""
Returns
-------
X : torch.Tensor or list of tensors
    The argument itself, which now holds the projection. What is sparse enough already
    stays as it is, so do empty tensors and vectors of one entry.

Notes
-----
If an argument is refused, `X` is unchanged.
""")


def document(
    like: Callable[..., Any], family: dict[str, Any] = TENSORS
) -> Callable[[Callable[Params, Result]], Callable[Params, Result]]:
    """Make a decorator that completes a docstring.

    The description, parameters, related functions and references are those of the
    function `like` on arrays.
    """

    def fill(function):
        if function.__doc__ is None:  # python -OO
            return function
        doc = like.__doc__
        for word, other in _WORDS.items():
            doc = doc.replace(word, other)
        theirs, own = sections(doc), sections(function.__doc__)
        if "radius" in theirs["Parameters"]:
            theirs["Parameters"]["radius"] += " Not a tensor."
        related, twin = {}, f"{function.__name__}_"
        if twin.startswith("projection_"):
            related[twin] = f"{twin} : The same in place."
        for name, entry in theirs["See Also"].items():
            if not name.startswith("norm_"):  # which are of arrays only
                related[name] = entry
        found = merged({"Parameters": theirs["Parameters"]}, family, own)
        _, _, description = theirs[""].partition("\n\n")
        found |= {
            "": f"{found['']}\n\n{description}",
            "See Also": related,
            "References": theirs["References"],
        }
        found = completed(found, function, "skproj.nn.functional")
        function.__doc__ = rendered(found)
        return function

    return fill


def document_in_place(function, twin, family=TENSORS, in_place=IN_PLACE):
    """Turn the docstring of a function, and of its family, into that of its twin."""
    if twin.__doc__ is None:  # python -OO
        return function
    name, found, raises = twin.__name__, sections(twin.__doc__), in_place["Raises"]
    results = {key: entry for key, entry in found["Returns"].items() if key != "P"}
    related = {key: entry for key, entry in found["See Also"].items() if key[-1] != "_"}
    own = {name: f"{name} : The same into a new tensor, with gradients."}
    found |= {
        "": found[""].replace(".\n", ", in place.\n", 1),
        "Returns": in_place["Returns"] | results,
        "Raises": raises | found["Raises"] | raises,
        "See Also": own | related,
        "Notes": found["Notes"].replace(family["Notes"], in_place["Notes"]),
        "Examples": re.sub(rf"\b{name}\b", f"{name}_", found["Examples"]),
    }
    function.__doc__ = rendered(found)
    return function
