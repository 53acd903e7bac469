"""Docstrings of functions on arrays, with what those of a family have in common."""

import functools
import inspect
import re
from collections.abc import Callable

from skproj._typing import Params, Result
from skproj.utils._docs import REFERENCES

_LISTS = ("Parameters", "Returns", "Raises", "See Also")
_TITLES = ("", *_LISTS, "Notes", "References", "Examples")
_MODULES = {"math": "math", "np": "numpy as np", "torch": "torch"}


def sections(doc):
    """Split a docstring into its sections by title; the text before them has none.

    Lists become dictionaries of entries. A line such as ``{l1inf_reference}`` stands
    for the section that `REFERENCES` has, and an example needs no title.
    """
    doc = inspect.cleandoc(doc)
    doc = re.sub(r"(?m)^\{(\w+)\}$", lambda line: REFERENCES[line[1]], doc)
    if "\nExamples\n---" not in doc:
        doc = re.sub(r"(?m)^(?=>>>)", "Examples\n--------\n", doc, count=1)
    first, *rest = re.split(r"(?m)^([A-Z][\w ]*)\n-+\n", doc)
    found = {"": first.strip()}
    for title, text in zip(rest[::2], rest[1::2], strict=True):
        found[title] = text.strip()
        if title in _LISTS:
            entries = re.split(r"\n(?=\S)", found[title])
            found[title] = {entry.split()[0]: entry for entry in entries}
    return found


def merged(*parts):
    """Join sections: later entries replace those of the same name, notes are added."""
    result = {}
    for part in parts:
        for title, content in part.items():
            if title in _LISTS:
                content = result.get(title, {}) | content
            elif title == "Notes" and title in result:
                content = f"{result[title]}\n\n{content}"
            result[title] = content
    return result


def _with_imports(example, module):
    """Begin an example with imports of what it uses.

    Functions of skproj are those that have an underscore in their names.
    """
    names = sorted(set(re.findall(r"(?<![\w.])[a-z]\w*_\w+(?=\()", example)))
    lines = [f">>> import {_MODULES[m]}\n" for m in _MODULES if f"{m}." in example]
    lines.append(f">>> from {module} import {', '.join(names)}\n")
    return re.sub(r"(?m)^(?=>>>)", "".join(lines), example, count=1)


def completed(found, function, module):
    """Put the parameters of a function in order, and imports before its example."""
    parameters, names = found["Parameters"], inspect.signature(function).parameters
    return found | {
        "Parameters": {name: parameters[name] for name in names},
        "Examples": _with_imports(found["Examples"], module),
    }


def rendered(found):
    """Make a docstring of sections."""
    texts = []
    for title in filter(found.get, _TITLES):
        content = found[title]
        text = "\n".join(content.values()) if title in _LISTS else content
        texts.append(f"{title}\n{'-' * len(title)}\n{text}" if title else text)
    return "\n\n".join(texts) + "\n"


def documented(*families, **related):
    """Make a decorator that adds the sections of `FAMILIES` to a docstring.

    What it says itself comes on top of them. `related` are the names of functions by
    their relations to this one, which are in `RELATIONS`.
    """
    lines = {name: f"{name} : {RELATIONS[key]}" for key, name in related.items()}

    def fill(function):
        if function.__doc__ is not None:  # python -OO
            shared = map(FAMILIES.__getitem__, families)
            own = sections(function.__doc__)
            found = merged(*shared, {"See Also": lines}, own)
            found = completed(found, function, "skproj.projection")
            function.__doc__ = rendered(found)
        return function

    return fill


def alias(function: Callable[Params, Result], name: str) -> Callable[Params, Result]:
    """Make another name of a function, as its docstring says."""

    @functools.wraps(function)
    def renamed(*args, **kwargs):
        return function(*args, **kwargs)

    renamed.__name__ = renamed.__qualname__ = name
    if renamed.__doc__ is not None:  # python -OO
        _, _, rest = renamed.__doc__.partition("\n")
        renamed.__doc__ = f"Call `{function.__name__}` by another name.\n{rest}"
    return renamed


# ---------------------------------------------------------------------------
# What functions of a family share

# Of the parameters a function gets those that it has.
_ARRAYS = sections("""
Parameters
----------
X : array-like or sparse matrix, usually of shape (n_rows, n_columns)
    Input of dtype float32 or float64; integers are converted to float64.
radius : float
    Radius of the ball; 0 gives zeros, infinity gives `X`.
alpha : float
    Non-negative factor of the norm, a step size times a penalty; 0 gives `X`,
    infinity gives zeros.
norms : sequence of {1, 2, inf}, default=(1, inf, inf)
    The norm of each level, the outermost first.
axes : sequence of int or tuple of int, default=None
    Axes along which each norm runs, the outermost first; together every
    dimension of `X` once. None means ``(ndim - 1, ..., 0)``, one dimension for
    each norm, so that the innermost norm runs along axis 0.
axis : int, tuple of int or None, default=0
    Axis along which the inner norm runs, as in
    ``np.linalg.norm(X, axis=0)``: with ``axis=0`` the groups of a matrix are
    its columns. None makes the whole array one group.
out : ndarray of the shape and dtype of `X`, default=None
    Where to write the result; may be `X` itself. Nothing is written if an
    argument is refused. It must be None if `X` is sparse.
n_threads : int, default=None
    Number of OpenMP threads. None takes those of OpenMP if the array is large, and
    one otherwise; negative values count from the number of CPUs (-1 is all). The
    result does not depend on it.
return_threshold : bool, default=False
    Whether to return the threshold as well.

Raises
------
TypeError
    If `X` is not of a real floating or integer type, or if an argument has the
    wrong type.
""")
_DENSE_ARRAYS = sections("""
Parameters
----------
X : array-like of any shape
    Input of dtype float32 or float64; integers are converted to float64.
out : ndarray of the shape and dtype of `X`, default=None
    Where to write the result; may be `X` itself. Nothing is written if an
    argument is refused.

Raises
------
TypeError
    If `X` is sparse or not of a real floating or integer type, or if an argument
    has the wrong type.
""")
_ANY_SHAPE = sections("""
Parameters
----------
X : array-like of any shape, or sparse matrix
    Input of dtype float32 or float64; integers are converted to float64.
""")
_NORM = sections("""
Returns
-------
norm : float
    The norm, summed in float64; 0 for an empty array, infinite beyond the largest
    float.

Raises
------
ValueError
    If `X` contains NaN or infinity, or if `axis` does not fit `X`.
""")
_NORM_OF_SLICES = sections("""
Parameters
----------
axis : int, tuple of int or None, default=None
    None takes the whole array as one vector; otherwise each slice along `axis`
    has a norm of its own.

Returns
-------
norm : float, or ndarray of the shape of `X` without `axis`
    The norm, of dtype float64; 0 for an empty array, infinite beyond the largest
    float.
""")
_PROJECTION = """
Returns
-------
P : ndarray or sparse matrix of the shape and dtype of `X`
    The projection. Empty arrays come back empty. It is sparse if `X` is, in CSC if
    `X` is and in CSR otherwise, and stores no zeros. An array of another library,
    such as a tensor of PyTorch, gives one of that library, and so do `out` and
    arrays of thresholds.

Raises
------
ValueError
    If `radius` is negative or NaN, if `X` contains NaN or infinity, or if
    `axis` or `out` does not fit `X`.
"""
_MINIMISER = _PROJECTION.replace("radius", "alpha").replace("projection", "minimiser")
_DENSE_PROJECTION = sections("""
Returns
-------
P : ndarray of the shape and dtype of `X`
    The projection. Empty arrays come back empty. An array of another library, such
    as a tensor of PyTorch, gives one of that library, and so do `out` and arrays of
    thresholds.
""")
_PROJECTION_OF_SLICES = sections("""
Parameters
----------
axis : int, tuple of int or None, default=None
    None projects the whole array as one vector; otherwise each slice along
    `axis` is projected by itself.
""")
_THRESHOLD_SEARCH = sections("""
Notes
-----
Newton's method on the threshold, for long vectors on the few entries near it that
a sample points to: expected time linear in the number of entries. Sums are carried
in float64. The radius is met to rounding, also if it is tiny against the entries.

{simplex_reference}
""")
_BILEVEL = sections("""
Returns
-------
threshold : float
    The tau >= 0 of the outer level: groups whose norm is at most tau become
    zero. It is 0 if `X` is inside the ball, infinite beyond the largest float.
    Only if `return_threshold`.

Notes
-----
Time linear in the number of entries. The result is in the ball but is not its
nearest point; for dense input it usually has more zero groups. It loses exactly
what it must in the norm of the ball: ``norm(X - P) + norm(P) == norm(X)`` [1]_.

{bilevel_reference}
""")
_VECTORS = sections("""
Parameters
----------
X : array-like of any shape, or list of arrays
    Vectors of dtype float32 or float64; integers are converted to float64. In a
    list or tuple of arrays each array is one vector, whatever its shape.
axis : int, tuple of int or None, default=0
    Axis along which the vectors run: with ``axis=0`` they are the columns of a
    matrix. None makes the whole array one vector. It must be 0 for a list of arrays.
""")
_GROUPS = merged(_ARRAYS, sections(_PROJECTION))
_SLICES = merged(_GROUPS, _ANY_SHAPE, _PROJECTION_OF_SLICES)
FAMILIES = {
    "arrays": _ARRAYS,
    "norm of groups": merged(_ARRAYS, _NORM),
    "norm of slices": merged(_ARRAYS, _ANY_SHAPE, _NORM, _NORM_OF_SLICES),
    "norm of levels": merged(_ARRAYS, _DENSE_ARRAYS, _NORM),
    "prox": merged(_ARRAYS, sections(_MINIMISER)),
    "any shape": _ANY_SHAPE,
    "groups": _GROUPS,
    "bilevel": merged(_GROUPS, _BILEVEL),
    "slices": _SLICES,
    "dense slices": merged(_SLICES, _DENSE_ARRAYS, _DENSE_PROJECTION),
    "levels": merged(_GROUPS, _DENSE_ARRAYS, _DENSE_PROJECTION),
    "threshold search": _THRESHOLD_SEARCH,
    "vectors": merged(_ARRAYS, _DENSE_ARRAYS, _VECTORS),
}
# How other functions are related to a norm or a proximity operator.
RELATIONS = {
    "ball": "Projection onto the ball of this norm.",
    "dual": "The dual norm.",
    "projection": "Chooses the level so that a given norm is left.",
    "norm": "The norm.",
}
