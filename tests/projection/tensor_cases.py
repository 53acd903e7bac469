"""Projections of tensors with arguments, for their tests."""

import math
from dataclasses import dataclass, field

import pytest
import torch

import skproj.nn.functional as F
from skproj import projection as arrays
from skproj.nn.functional import _operator


@dataclass(frozen=True)
class Case:
    """A function, and arguments for tensors of some number of dimensions."""

    name: str
    dim: object = None
    norms: tuple = ()
    weighted: bool = False
    ndim: int = 2
    options: dict = field(default_factory=dict)

    def weights(self, like):
        """Weights of very different sizes; one of them is 0."""
        weights = torch.linspace(0.0, 2.0, like.shape[-1], dtype=torch.float64)
        return (weights**2).to(device=like.device)

    def arguments(self, X):
        """All arguments of the torch function after the radius."""
        if self.weighted:
            return (self.weights(X),), {"dim": self.dim}
        if self.norms:
            return (self.norms,), {"dims": self.dim}
        return (), {"dim": self.dim}

    def __call__(self, X, radius, suffix=""):
        """Project a tensor."""
        args, options = self.arguments(X)
        return getattr(F, f"{self.name}{suffix}")(X, radius, *args, **options)

    def on_arrays(self, X, radius):
        """Project an array."""
        args, options = self.arguments(torch.from_numpy(X))
        args = [a.numpy() if isinstance(a, torch.Tensor) else a for a in args]
        options = {{"dim": "axis", "dims": "axes"}[k]: v for k, v in options.items()}
        return getattr(arrays, self.name)(X, radius, *args, **options)

    def on_device(self, X, radius):
        """Project a tensor of the CPU by the code for other devices."""
        args, options = self.arguments(X)
        dim = options.get("dim", options.get("dims"))
        weights = args[0] if self.weighted else None
        norms = self.norms or None
        name = self.name.removeprefix("projection_").removesuffix("_ball")
        return _operator.project_on_device(
            *_operator.operands(name, X, radius, dim, weights, norms)
        )

    def __str__(self):
        parts = [self.name.removeprefix("projection_"), *map(str, self.norms)]
        return "-".join([*parts, str(self.dim).replace(" ", "")])


INF = math.inf
SLICED = ["simplex", "l1_ball", "l2_ball", "linf_ball"]
GROUPED = [
    "l12_ball",
    "l1inf_ball",
    "bilevel_l11_ball",
    "bilevel_l12_ball",
    "bilevel_l1inf_ball",
]
CASES = [
    *(Case(f"projection_{name}", dim) for name in SLICED for dim in (None, 0, -1)),
    *(
        Case("projection_weighted_l1_ball", dim, weighted=True)
        for dim in (None, 0, (1, 0))
    ),
    *(Case(f"projection_{name}", dim) for name in GROUPED for dim in (0, 1, None)),
    *(Case(f"projection_{name}", (0, 2), ndim=3) for name in ("l1_ball", *GROUPED)),
    Case("projection_multilevel", norms=(1, INF, INF), ndim=3),
    Case("projection_multilevel", norms=(1, 1, 1), ndim=3),
    Case("projection_multilevel", norms=(1, 2, 2), ndim=3),
    Case("projection_multilevel", (0, 1, 2), norms=(1, 2, INF), ndim=3),
    Case("projection_multilevel", (1, 0, 2), norms=(1, INF, 2), ndim=3),
    Case("projection_multilevel", (0, (1, 2)), norms=(1, INF), ndim=3),
    Case("projection_multilevel", ((0, 2), 1), norms=(INF, 1), ndim=3),
    Case("projection_multilevel", (2, 0, 1), norms=(2, 1, INF), ndim=3),
    Case("projection_multilevel", norms=(2, 1)),
    Case("projection_multilevel", ((0, 1),), norms=(2,)),
]
# One for each function: for what does not depend on the dimensions.
FUNCTIONS = list({case.name: case for case in CASES}.values())
each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_ball = pytest.mark.parametrize(
    "case", [case for case in CASES if case.name != "projection_simplex"], ids=str
)
each_function = pytest.mark.parametrize("case", FUNCTIONS, ids=str)


def random_tensor(case, dtype=torch.float64, layout="contiguous", seed=0):
    """Build a tensor whose groups have different sizes, in a given memory layout."""
    generator = torch.Generator().manual_seed(seed)
    shape = (3, 5, 2)[: case.ndim]
    X = torch.randn(shape, dtype=dtype, generator=generator)
    X *= torch.tensor([2.0, 0.1, 1.0, 0.5, 3.0], dtype=dtype).reshape(
        [-1] + [1] * (case.ndim - 2)
    )
    if layout == "transposed":
        X = X.transpose(0, -1).contiguous().transpose(0, -1)
    elif layout == "strided":
        X = X.repeat_interleave(2, -1)[..., ::2]
    elif layout == "expanded":
        X = X[:1].expand(shape)
    return X


def assert_close(actual, expected, scale):
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5}[actual.dtype]
    torch.testing.assert_close(
        actual, expected, rtol=0, atol=tolerance * max(float(scale), 1e-300)
    )


X = torch.ones(3, 2)
