"""Arrays of other libraries: read where they are, with results of their kind.

NumPy and the other library read each other's memory on the CPU by DLPack. Tensors of
PyTorch that have a gradient, or are on another device, are left to the functions of
the same names in `skproj.nn.functional`, which is found by its name when one comes:
it imports PyTorch, and is above this folder.
"""

import functools
import importlib
import inspect
import sys
from collections.abc import Callable

import numpy as np

from skproj._typing import Params, Result
from skproj.projection._docs import documented

# The arguments that may be arrays.
_ARRAYS = "X", "weights", "out"
# What `skproj.nn.functional` calls an argument; None where it has no such argument.
_NAMES = {
    "axis": "dim",
    "axes": "dims",
    "out": None,
    "n_threads": None,
    "return_threshold": None,
}


def array_function(
    *families: str, **related: str
) -> Callable[[Callable[Params, Result]], Callable[Params, Result]]:
    """Make a decorator of public functions: `documented`, and on arrays of any kind."""
    complete = documented(*families, **related)
    return lambda function: _of_any_kind(complete(function), "vectors" in families)


def _of_any_kind(function, takes_lists):
    signature = inspect.signature(function)

    @functools.wraps(function)
    def project(*args, **options):
        if args and type(args[0]) is np.ndarray:  # which most calls have
            return function(*args, **options)
        X = args[0] if args else options.get("X")
        one = X
        if takes_lists and isinstance(X, list | tuple):
            one = next(filter(_is_foreign, X), None)
        if not _is_foreign(one):
            return function(*args, **options)
        arguments = signature.bind(*args, **options).arguments
        tensors = X if one is not X else [X]
        if any(_is_tensor(x) and _is_beyond_numpy(x) for x in tensors):
            return _by_tensors(function.__name__, arguments)
        return _by_numpy(function, arguments, one)

    return project


def _is_tensor(X):
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(X, torch.Tensor)


def _is_foreign(X):
    """Whether `X` is an array that NumPy does not convert, or not back."""
    return (
        hasattr(type(X), "__dlpack__")
        and not isinstance(X, np.ndarray)
        and (
            hasattr(X, "__array_namespace__")
            or _is_tensor(X)
            or not hasattr(X, "__array__")
        )
    )


def _is_beyond_numpy(X):
    unpack_dual = sys.modules["torch"].autograd.forward_ad.unpack_dual
    return not X.is_cpu or X.requires_grad or unpack_dual(X).tangent is not None


def _by_tensors(name, arguments):
    """Call the function for tensors, which takes fewer arguments."""
    function = getattr(importlib.import_module("skproj.nn.functional"), name, None)
    reason = "X is a tensor that requires a gradient or is not on the CPU"
    if function is None:
        raise TypeError(
            f"{reason}, for which there is no {name}; pass X.detach().cpu()."
        )
    options = {}
    for argument, value in arguments.items():
        known = _NAMES.get(argument, argument)
        if known is not None:
            options[known] = value
        elif argument != "n_threads" and value is not None and value is not False:
            raise TypeError(
                f"{reason}, for which {argument} cannot be given; pass "
                "X.detach().cpu(), or leave it out."
            )
    return function(**options)


def _by_numpy(function, arguments, like):
    """Call the function on the memory of arrays of the kind of `like`."""
    originals = {}

    def read(name, value):
        if isinstance(value, list | tuple):
            return [read(f"{name}[{i}]", entry) for i, entry in enumerate(value)]
        if not _is_foreign(value):
            if name.startswith("out") and value is not None:
                kind, got = type(like).__name__, type(value).__name__
                raise TypeError(f"{name} must be a {kind}, as X is, got {got} instead.")
            return value
        array = _as_numpy(name, value)
        originals[id(array)] = value
        return array

    from_dlpack = _importer(like)

    def back(result):
        if isinstance(result, list | tuple):
            return type(result)(map(back, result))
        if type(result) is not np.ndarray:  # a norm or a threshold
            return result
        original = originals.get(id(result))  # that is, `out`
        return from_dlpack(result) if original is None else original

    given = {
        name: read(name, value) if name in _ARRAYS else value
        for name, value in arguments.items()
    }
    return back(function(**given))


def _as_numpy(name, X):
    try:
        # Some releases of PyTorch export what NumPy then takes for read-only.
        return X.detach().numpy() if _is_tensor(X) else np.from_dlpack(X)
    except (AttributeError, BufferError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise TypeError(
            f"{name} must be an array in the memory of the CPU, of a type that NumPy "
            f"has, got {type(X).__name__}: {reason}"
        ) from None


def _importer(X):
    """Return what makes an array of the kind of `X` from one of NumPy, uncopied."""
    if hasattr(X, "__array_namespace__"):
        return X.__array_namespace__().from_dlpack
    return sys.modules["torch"].from_dlpack if _is_tensor(X) else lambda array: array
