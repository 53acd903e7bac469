"""Types of arguments that many public functions have."""

from collections.abc import Sequence
from typing import Any, ParamSpec, Protocol, TypeAlias, TypeVar

import numpy as np

# Of a function that a decorator keeps as it is.
Params = ParamSpec("Params")
Result = TypeVar("Result")


class HasArray(Protocol):
    """An array or a table that NumPy converts."""

    def __array__(self, *args: Any, **options: Any) -> Any: ...


class HasDLPack(Protocol):
    """An array of another library."""

    def __dlpack__(self, *args: Any, **options: Any) -> Any: ...


class HasToArray(Protocol):
    """A sparse matrix or array of SciPy."""

    def toarray(self, *args: Any, **options: Any) -> Any: ...


Number: TypeAlias = float | np.floating[Any] | np.integer[Any]
Integer: TypeAlias = int | np.integer[Any]
AnyArray: TypeAlias = HasArray | HasDLPack
# `numpy.typing.ArrayLike` takes text as well, which no function here does.
ArrayLike: TypeAlias = (
    AnyArray
    | HasToArray
    | Sequence[AnyArray | float | Sequence[float | Sequence[float]]]
)
# Columns may be of text.
Table: TypeAlias = ArrayLike | Sequence[Sequence[Any]]
Out: TypeAlias = AnyArray | Sequence[AnyArray] | None
Axis: TypeAlias = Integer | tuple[Integer, ...] | None
Axes: TypeAlias = Sequence[Integer | tuple[Integer, ...]] | None
RandomState: TypeAlias = Integer | np.random.RandomState | None
Labels: TypeAlias = HasArray | Sequence[Any]
# What it is depends on the kind of X and on whether a threshold is returned.
Projected: TypeAlias = Any
