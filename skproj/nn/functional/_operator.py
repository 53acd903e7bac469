"""The projections as operators of PyTorch: autograd, forward mode, vmap, compile.

PyTorch calls the operators with numbers, lists and strings only. `name` is a key of
`PROJECTIONS`, and `dims` what `dim` or all of `dims` say; `norms` and `counts` (how
many of `dims` belong to each norm) are those of the multi-level projection. The
projection onto a Hoyer sparsity has options of its own, and returns its multiplier as
well. Its `sizes` are those of the vectors of a list, which follow one another; `dims`
is empty then.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch._functorch import eager_transforms
from torch.autograd import forward_ad

from skproj import projection as arrays
from skproj.nn.functional import _hoyer_gradient, _hoyer_solver, _tensors
from skproj.nn.functional._checks import (
    HALF_DTYPES,
    check_dims,
    check_float_radius,
    check_levels,
    check_tensor,
    check_weights,
)


class Projection(NamedTuple):
    """A projection by the ways in which it is computed.

    on_array : function of `skproj.projection`, for tensors on the CPU.
    on_device : ``on_device(X, radius, dims)``, for others, in plain PyTorch.
    gradient : ``gradient(G, X, P, dims)``, from the result of either.
    level_norms : norms of the levels, outermost first, if it consists of levels. In
        place of `dims` the functions take the levels then.
    """

    on_array: Callable
    on_device: Callable
    gradient: Callable
    level_norms: tuple = ()


def _of_levels(on_array, *norms):
    return Projection(
        on_array, _tensors.project_levels, _tensors.gradient_of_levels, norms
    )


# The names of balls are those of the registry, from which the norms of levels come.
PROJECTIONS = {
    name: _of_levels(ball.projection, *[1.0] * ball.grouped, float(ball.inner_norm))
    for name, ball in arrays.BALLS.items()
} | {
    "l1inf": Projection(
        arrays.projection_l1inf_ball,
        _tensors.project_l1inf,
        _tensors.gradient_of_l1inf,
    ),
    "simplex": Projection(
        arrays.projection_simplex,
        _tensors.project_simplex,
        _tensors.gradient_of_simplex,
    ),
    "weighted_l1": Projection(
        arrays.projection_weighted_l1_ball,
        _tensors.project_weighted_l1,
        _tensors.gradient_of_weighted_l1,
    ),
    "multilevel": _of_levels(arrays.projection_multilevel),
}


# ---------------------------------------------------------------------------
# What the operators do


def _split(dims, counts):
    """Cut a list into tuples of the given lengths."""
    rest = iter(dims)
    return tuple(tuple(itertools.islice(rest, n)) for n in counts)


def _dims_or_levels(name, dims, norms, counts, ndim):
    """Return what the functions of `PROJECTIONS` take: dimensions, or levels."""
    if name == "multilevel":
        parts = _split(dims, counts)
    else:
        norms = PROJECTIONS[name].level_norms
        parts = [tuple(dims)]
        if len(norms) == 2:
            parts.insert(0, tuple(d for d in range(ndim) if d not in dims))
    if not norms:
        return dims
    return _tensors.chain_of_levels(map(_tensors.Level, norms, parts))


def project_on_device(X, weights, name, radius, dims, norms, counts):
    """Project a tensor of any device in plain PyTorch."""
    dims = _dims_or_levels(name, dims, norms, counts, X.ndim)
    extra = () if weights is None else (weights,)
    return PROJECTIONS[name].on_device(X, radius, dims, *extra)


def _project_on_cpu(X, out, weights, name, radius, dims, norms, counts):
    """Let the kernels read and write the memory of float32 or float64 tensors."""
    options = {"n_threads": torch.get_num_threads()}
    if name == "multilevel":
        options["norms"], options["axes"] = tuple(norms), _split(dims, counts)
    else:
        options["axis"] = tuple(dims)
    if weights is not None:
        options["weights"] = weights.detach().to(torch.float64).numpy()
    PROJECTIONS[name].on_array(X.numpy(), radius, out=out.numpy(), **options)


def project_new(X, weights, *spec):
    """Project into a new tensor, of the memory layout that `empty_like` gives."""
    if X.numel() == 0:
        return torch.empty_like(X)
    X = X.detach()
    if not X.is_cpu:
        return _like(X, project_on_device(X, weights, *spec))
    P = torch.empty_like(X)
    _project_on_cpu(X, P, weights, *spec)
    return P


def _like(X, P):
    """Give a result the memory layout that `empty_like` gives."""
    expected = torch.empty_like(X)
    return P if P.stride() == expected.stride() else expected.copy_(P)


def project_in_memory(X, weights, *spec):
    X = X.detach()
    if X.numel() > 0 and X.is_cpu:
        _project_on_cpu(X, X, weights, *spec)
        if not X.is_inference():  # which has no version to tell autograd of a change
            torch.autograd.graph.increment_version(X)
    else:
        X.copy_(project_new(X, weights, *spec))


def project_hoyer_new(X, weights, *spec):
    """Project into a new tensor; also return the multiplier."""
    X = X.detach()
    if not X.is_cpu:
        P, multiplier = _hoyer_solver.project(X, weights, *spec)
        return _like(X, P), multiplier
    P, multiplier = _project_hoyer_fake(X, weights, *spec)
    if X.numel() == 0:
        return P, multiplier.zero_()
    multiplier.copy_(_project_hoyer_on_cpu(X, P, weights, *spec))
    return P, multiplier


def _project_hoyer_on_cpu(X, out, weights, sparsity, dims, sizes, *options):
    """Let the kernels read and write the memory of the tensors; return a multiplier."""

    def as_arrays(tensor):
        return tensor.numpy() if dims else [V.numpy() for V in tensor.split(sizes)]

    if weights is not None:
        weights = as_arrays(weights.detach().to(torch.float64))
    per_vector, scale, start = options
    _, multiplier = arrays.projection_hoyer(
        as_arrays(X),
        sparsity,
        axis=tuple(dims) or 0,
        weights=weights,
        per_vector=per_vector,
        scale=scale,
        start=start,
        out=as_arrays(out),
        n_threads=torch.get_num_threads(),
        return_multiplier=True,
    )
    return torch.as_tensor(multiplier, dtype=torch.float64)


def _project_hoyer_fake(X, weights, sparsity, dims, sizes, per_vector, *options):
    return torch.empty_like(X), _hoyer_solver.empty_multiplier(
        X, dims, sizes, per_vector
    )


def _project_batch(project, info, in_dims, X, weights, *spec):
    if info.batch_size == 0:
        return _empty_batch(X, in_dims[0], *spec)
    results = [
        project(_entry(X, in_dims[0], i), _entry(weights, in_dims[1], i), *spec)
        for i in range(info.batch_size)
    ]
    if isinstance(results[0], tuple):
        return tuple(map(torch.stack, zip(*results, strict=True))), (0, 0)
    return torch.stack(results), 0


def _empty_batch(X, dim, name, *spec):
    P = (X.expand(0, *X.shape) if dim is None else X.movedim(dim, 0)).clone()
    if name != "hoyer":
        return P, 0
    _, multiplier = _project_hoyer_fake(P.new_empty(P.shape[1:]), None, *spec)
    return (P, multiplier.expand(0, *multiplier.shape)), (0, 0)


def _project_vmap(info, in_dims, *args):
    return _project_batch(_project, info, in_dims, *args)


def _project_hoyer_vmap(info, in_dims, X, weights, *spec):
    return _project_batch(operate, info, in_dims, X, weights, "hoyer", *spec)


def _project_in_place_vmap(info, in_dims, X, weights, *spec):
    if in_dims[0] is None:
        raise RuntimeError(
            "X is not part of the batch of torch.vmap, but weights is: X has no room "
            "for the projections of the batch; call the function without underscore."
        )
    _check_entries_apart(X)
    for i in range(info.batch_size):
        _project_(_entry(X, in_dims[0], i), _entry(weights, in_dims[1], i), *spec)
    return None, None


def _check_entries_apart(X):
    if any(n > 1 and step == 0 for n, step in zip(X.shape, X.stride(), strict=True)):
        raise RuntimeError(
            "X has several entries in one place, as after expand(), and cannot be "
            "projected in place."
        )


def _entry(tensor, dim, i):
    """Take one entry of a batch that `torch.vmap` has made, or what is not batched."""
    return tensor if dim is None else tensor.select(dim, i)


SPEC = (
    "Tensor? weights, str name, float radius, int[] dims, float[] norms, int[] counts"
)
SPEC_OF_HOYER = (
    "Tensor? weights, float sparsity, int[] dims, int[] sizes, bool per_vector, "
    "str scale, float? start"
)
if not hasattr(torch.ops.skproj, "project"):  # a module can be executed twice
    torch.library.define("skproj::project", f"(Tensor X, {SPEC}) -> Tensor")
    torch.library.impl("skproj::project", "default", project_new)
    torch.library.register_fake("skproj::project", lambda X, *spec: torch.empty_like(X))
    torch.library.register_vmap("skproj::project", _project_vmap)

    torch.library.define(
        "skproj::project_hoyer", f"(Tensor X, {SPEC_OF_HOYER}) -> (Tensor, Tensor)"
    )
    torch.library.impl("skproj::project_hoyer", "default", project_hoyer_new)
    torch.library.register_fake("skproj::project_hoyer", _project_hoyer_fake)
    torch.library.register_vmap("skproj::project_hoyer", _project_hoyer_vmap)

    torch.library.define("skproj::project_", f"(Tensor(a!) X, {SPEC}) -> ()")
    torch.library.impl("skproj::project_", "default", project_in_memory)
    torch.library.register_fake("skproj::project_", lambda X, *spec: None)
    torch.library.register_vmap("skproj::project_", _project_in_place_vmap)

_project = torch.ops.skproj.project.default
_project_hoyer = torch.ops.skproj.project_hoyer.default
_project_ = torch.ops.skproj.project_.default


def operate(X, weights, name, *spec):
    """Call the operator of a projection; that of Hoyer returns the multiplier too."""
    if name == "hoyer":
        return _project_hoyer(X, weights, *spec)
    if _is_plain(X):
        return project_new(X, weights, name, *spec)
    return _project(X, weights, name, *spec)


def _is_plain(X):
    """Whether the operator would only be called, as nothing traces or transforms it.

    For a small tensor the way through PyTorch takes longer than the projection.
    """
    return (
        not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and type(X) in (torch.Tensor, torch.nn.Parameter)
        and X.is_cpu
        and not X.is_neg()
        and torch._C._functorch.peek_interpreter_stack() is None
        and torch._C._len_torch_dispatch_stack() == 0
    )


class _ProjectionInReverse(torch.autograd.Function):
    """The operator with its derivatives in reverse mode."""

    @staticmethod
    def vmap(info, in_dims, *args):
        return _project_batch(_Projection.apply, info, in_dims, *args)

    @staticmethod
    def forward(X, weights, *spec):
        return operate(X, weights, *spec)

    @staticmethod
    def setup_context(ctx, inputs, output):
        X, weights, *ctx.spec = inputs
        results = output if isinstance(output, tuple) else (output,)
        ctx.save_for_backward(X, weights, *results)
        ctx.save_for_forward(X, weights, *results)

    @staticmethod
    def backward(ctx, *G):
        gradient = _gradient(G, *ctx.saved_tensors, spec=ctx.spec)
        return gradient, None, *[None for _ in ctx.spec]


class _Projection(_ProjectionInReverse):
    """The operator with its derivatives in both modes, which cannot be compiled."""

    @staticmethod
    def jvp(ctx, T, *_):
        if eager_transforms.JVP_NESTING > 1:
            # PyTorch would take the outer derivative for 0.
            raise RuntimeError(
                "forward mode cannot be nested for projections; take one of the "
                "derivatives in reverse mode, as torch.func.hessian does."
            )
        X, weights, *results = ctx.saved_tensors

        def pull_back(*G):
            return _gradient(G, X, weights, *results, spec=ctx.spec)

        # Linear in G, so that its own pullback is the derivative in the direction T.
        zeros = [torch.zeros_like(P) for P in results]
        _, push_forward = torch.func.vjp(pull_back, *zeros)
        tangents = push_forward(T)
        return tangents if len(results) > 1 else tangents[0]


def _gradient(G, X, weights, *results, spec):
    name, *spec = spec
    if name == "hoyer":
        _, dims, sizes, per_vector, scale, *_ = spec
        return _hoyer_gradient.gradient(
            *G, X, *results, weights, dims, sizes, per_vector, scale
        )
    [G], [P] = G, results
    radius, dims, norms, counts = spec
    if X.numel() == 0 or radius == 0.0:
        # Only the weighted ball of radius 0 is more than one point.
        return torch.zeros_like(G) if weights is None else G * (weights == 0)
    dims = _dims_or_levels(name, dims, norms, counts, X.ndim)
    extra = () if weights is None else (weights,)
    return PROJECTIONS[name].gradient(G, X, P, dims, *extra)


# ---------------------------------------------------------------------------
# The way to the operators from a public function, whose arguments have been checked


def _has_tangent(X):
    return forward_ad.unpack_dual(X).tangent is not None


def needs_derivatives(X):
    """Whether results of a tensor should have derivatives."""
    return (X.requires_grad and torch.is_grad_enabled()) or _has_tangent(X)


def apply(X, weights, *spec):
    """Call the operator, with derivatives where they are wanted."""
    if not needs_derivatives(X):
        return operate(X, weights, *spec)
    compiling = torch.compiler.is_compiling()
    function = _ProjectionInReverse if compiling else _Projection
    return function.apply(X, weights, *spec)


def project_out_of_place(X, weights, *spec):
    """Project into a new tensor, with derivatives where they are wanted."""
    weights = None if weights is None else weights.detach()
    work = X.to(torch.float32) if X.dtype in HALF_DTYPES else X
    P = apply(work, weights, *spec)
    return P if work is X else P.to(X.dtype)


def project_in_place(X, weights, *spec):
    """Write the projection into the argument."""
    check_in_place(X)
    with torch.no_grad():
        if X.dtype in HALF_DTYPES:
            return X.copy_(_project(X.to(torch.float32), weights, *spec))
        # A lazy minus sign: the memory holds something else.
        if not torch.compiler.is_compiling() and X.is_neg():
            return X.copy_(_project(X, weights, *spec))
        _project_(X, weights, *spec)
    return X


def check_in_place(X):
    """Refuse a tensor whose entries, or derivatives, cannot be overwritten."""
    if X.requires_grad and torch.is_grad_enabled():
        raise RuntimeError(
            "X requires a gradient, which a projection in place would not have; call "
            "it in a block of torch.no_grad(), or call the function without underscore."
        )
    if _has_tangent(X):
        raise RuntimeError(
            "X carries a tangent of forward-mode differentiation, which a projection "
            "in place would not change; call the function without underscore."
        )
    _check_entries_apart(X)


def operands(name, X, radius, dim, weights=None, norms=()):
    """Check all arguments of a public function; return those of the operators."""
    check_tensor(X)
    radius = check_float_radius(radius)
    if weights is not None or name == "weighted_l1":
        check_weights(weights, X)
    if name == "multilevel":
        norms, dims, counts = check_levels(norms, dim, X.ndim)
        return X, weights, name, radius, dims, norms, counts
    if name == "simplex" and radius > torch.finfo(X.dtype).max:
        raise ValueError(f"radius must be finite in {X.dtype}, got {radius!r} instead.")
    return X, weights, name, radius, check_dims(dim, X.ndim), [], []
