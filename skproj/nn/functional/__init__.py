"""Projections of PyTorch tensors, with gradients.

The functions have the names of those in `skproj.projection`, with `dim` for `axis`.
Those whose names end in an underscore write into their argument.
"""

import inspect
import itertools
import math
import numbers
import re

import torch
from torch._functorch import eager_transforms
from torch.autograd import forward_ad

from skproj import projection as arrays
from skproj.nn.functional import _hoyer as hoyer
from skproj.nn.functional import _tensors as tensors
from skproj.projection._hoyer import check_task
from skproj.projection._layout import check_radius

__all__ = [
    "hoyer_sparsity",
    "projection_bilevel_l1inf_ball",
    "projection_bilevel_l1inf_ball_",
    "projection_bilevel_l11_ball",
    "projection_bilevel_l11_ball_",
    "projection_bilevel_l12_ball",
    "projection_bilevel_l12_ball_",
    "projection_hoyer",
    "projection_hoyer_",
    "projection_l1_ball",
    "projection_l1_ball_",
    "projection_l1inf_ball",
    "projection_l1inf_ball_",
    "projection_l2_ball",
    "projection_l2_ball_",
    "projection_l12_ball",
    "projection_l12_ball_",
    "projection_linf_ball",
    "projection_linf_ball_",
    "projection_multilevel",
    "projection_multilevel_",
    "projection_simplex",
    "projection_simplex_",
    "projection_weighted_l1_ball",
    "projection_weighted_l1_ball_",
]

KERNEL_DTYPES = (torch.float32, torch.float64)
HALF_DTYPES = (torch.bfloat16, torch.float16)  # computed in float32

# Norms of the levels: the innermost runs along `dim`, the outer one along the rest.
LEVEL_NORMS = {
    "l1_ball": (1.0,),
    "l2_ball": (2.0,),
    "linf_ball": (math.inf,),
    "l12_ball": (1.0, 2.0),
    "bilevel_l11_ball": (1.0, 1.0),
    "bilevel_l12_ball": (1.0, 2.0),
    "bilevel_l1inf_ball": (1.0, math.inf),
}


# ---------------------------------------------------------------------------
# Checks of the arguments


def check_tensor(X, name="X"):
    """Refuse what is not a dense floating-point tensor of at least one dimension."""
    if not isinstance(X, torch.Tensor):
        raise TypeError(
            f"{name} must be a torch.Tensor, got {type(X).__name__} instead; "
            "skproj.projection takes arrays."
        )
    if X.layout != torch.strided or X.is_nested:
        raise TypeError(f"{name} must be a dense tensor, got a sparse or nested one.")
    if X.is_meta:
        raise TypeError(f"{name} is on the meta device, where tensors have no entries.")
    if X.dtype not in KERNEL_DTYPES + HALF_DTYPES:
        raise TypeError(
            f"{name} must hold float64, float32, bfloat16 or float16 numbers, "
            f"got {X.dtype} instead."
        )
    if X.ndim == 0:
        raise ValueError(f"{name} must have at least one dimension, got a scalar.")


def check_type_of_dims(dim, name="dim"):
    """Refuse what is neither an integer, nor a tuple of integers, nor None."""
    dims = dim if isinstance(dim, tuple | list) else () if dim is None else (dim,)
    if any(isinstance(d, bool) or not isinstance(d, numbers.Integral) for d in dims):
        raise TypeError(
            f"{name} must be an integer, a tuple of integers or None, got {dim!r}."
        )


def check_dims(dim, ndim, name="dim"):
    """Return `dim` (int, tuple of int, or None for all) as a list of int >= 0."""
    if dim is None:
        return list(range(ndim))
    check_type_of_dims(dim, name)
    dims = list(dim) if isinstance(dim, tuple | list) else [dim]
    if not dims:
        raise ValueError(f"{name} must name at least one dimension, got {dim!r}.")
    if not all(-ndim <= d < ndim for d in dims):
        raise ValueError(
            f"{name} must be between {-ndim} and {ndim - 1} for a tensor with {ndim} "
            f"dimensions, got {dim!r}."
        )
    dims = [int(d) % ndim for d in dims]
    if len(set(dims)) < len(dims):
        raise ValueError(f"{name} must not name a dimension twice, got {dim!r}.")
    return dims


def check_float_radius(radius):
    """Return `radius` as a non-negative float; a tensor is refused."""
    if isinstance(radius, torch.Tensor):
        raise TypeError(
            "radius must be a float, got a tensor; radius.item() is one, without "
            "gradient, and waits for the device."
        )
    return check_radius(radius)


def _check_weights(weights, X):
    if not isinstance(weights, torch.Tensor):
        raise TypeError(
            f"weights must be a torch.Tensor, got {type(weights).__name__} instead."
        )
    if weights.layout != torch.strided or weights.dtype.is_complex:
        raise TypeError("weights must be a dense tensor of real numbers.")
    if weights.device != X.device:
        raise ValueError(
            f"weights must be on the device of X, {X.device}, got {weights.device}."
        )
    try:
        weights.expand(X.shape)
    except RuntimeError:
        raise ValueError(
            f"weights must have shape {tuple(X.shape)} or be broadcastable to it, got "
            f"shape {tuple(weights.shape)} instead."
        ) from None


def _check_levels(norms, dims, ndim):
    """Return norms, dimensions and the number of dimensions of each norm, as lists."""
    if not isinstance(norms, tuple | list) or not norms:
        raise TypeError(f"norms must be a non-empty tuple of norms, got {norms!r}.")
    if not all(norm in (1, 2, math.inf) for norm in norms):
        raise ValueError(f"norms must be 1, 2 or inf each, got {norms!r}.")
    if dims is None:
        dims = tuple(reversed(range(ndim)))
        if len(norms) != ndim:
            raise ValueError(
                f"norms must have one entry for each of the {ndim} dimensions of X if "
                f"dims is None, got {len(norms)}."
            )
    if not isinstance(dims, tuple | list) or len(dims) != len(norms):
        raise ValueError(
            "dims must be a tuple with one dimension, or tuple of dimensions, for each "
            f"of the {len(norms)} norms, got {dims!r}."
        )
    levels = [check_dims(() if d is None else d, ndim, "dims") for d in dims]
    flat = [d for level in levels for d in level]
    if sorted(flat) != list(range(ndim)):
        raise ValueError(
            f"dims must name each of the {ndim} dimensions of X once, got {dims!r}."
        )
    return [float(norm) for norm in norms], flat, [len(level) for level in levels]


# ---------------------------------------------------------------------------
# Operators. PyTorch calls them with numbers, lists and strings only: a projection is
# the end of the name of its function, and `dims` what `dim` or all of `dims` say.
# `norms` and `counts` (how many of `dims` belong to each norm) are those of multilevel.
# That of Hoyer has options of its own, and returns its multiplier as well. Its `sizes`
# are those of the vectors of a list, which follow one another; `dims` is empty then.


def _split(dims, counts):
    """Cut a list into tuples of the given lengths."""
    rest = iter(dims)
    return tuple(tuple(itertools.islice(rest, n)) for n in counts)


def _levels(name, dims, norms, counts, ndim):
    """List the levels of a projection that consists of levels, outermost first."""
    if name == "multilevel":
        parts = _split(dims, counts)
    else:
        norms = LEVEL_NORMS[name]
        parts = [tuple(dims)]
        if len(norms) == 2:
            parts.insert(0, tuple(d for d in range(ndim) if d not in dims))
    return tensors.chain_of_levels(map(tensors.Level, norms, parts))


def _project_on_device(X, weights, name, radius, dims, norms, counts):
    if name == "simplex":
        return tensors.project_simplex(X, radius, dims)
    if name == "weighted_l1_ball":
        return tensors.project_weighted_l1(X, radius, weights, dims)
    if name == "l1inf_ball":
        return tensors.project_l1inf(X, radius, dims)
    levels = _levels(name, dims, norms, counts, X.ndim)
    return tensors.project_levels(X, radius, levels)


def _project_on_cpu(X, out, weights, name, radius, dims, norms, counts):
    """Let the kernels read and write the memory of float32 or float64 tensors."""
    options = {"n_threads": torch.get_num_threads()}
    if name == "multilevel":
        options["norms"], options["axes"] = tuple(norms), _split(dims, counts)
    else:
        options["axis"] = tuple(dims)
    if weights is not None:
        options["weights"] = weights.detach().to(torch.float64).numpy()
    function = getattr(arrays, f"projection_{name}")
    function(X.numpy(), radius, out=out.numpy(), **options)


def _project_new(X, weights, *spec):
    """Project into a new tensor, of the memory layout that `empty_like` gives."""
    if X.numel() == 0:
        return torch.empty_like(X)
    X = X.detach()
    if not X.is_cpu:
        return _like(X, _project_on_device(X, weights, *spec))
    P = torch.empty_like(X)
    _project_on_cpu(X, P, weights, *spec)
    return P


def _like(X, P):
    """Give a result the memory layout that `empty_like` gives."""
    expected = torch.empty_like(X)
    return P if P.stride() == expected.stride() else expected.copy_(P)


def _project_in_place(X, weights, *spec):
    X = X.detach()
    if X.numel() > 0 and X.is_cpu:
        _project_on_cpu(X, X, weights, *spec)
        if not X.is_inference():  # which has no version to tell autograd of a change
            torch.autograd.graph.increment_version(X)
    else:
        X.copy_(_project_new(X, weights, *spec))


def _project_hoyer_new(X, weights, *spec):
    """Project into a new tensor; also return the multiplier."""
    X = X.detach()
    if not X.is_cpu:
        P, multiplier = hoyer.project(X, weights, *spec)
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
    per_vector, target, scale, objective, start = options
    _, multiplier = arrays.projection_hoyer(
        as_arrays(X),
        sparsity,
        axis=tuple(dims) or 0,
        weights=weights,
        per_vector=per_vector,
        target=target,
        scale=scale,
        objective=objective,
        start=start,
        out=as_arrays(out),
        n_threads=torch.get_num_threads(),
        return_multiplier=True,
    )
    return torch.as_tensor(multiplier, dtype=torch.float64)


def _project_hoyer_fake(X, weights, sparsity, dims, sizes, per_vector, *options):
    return torch.empty_like(X), hoyer.empty_multiplier(X, dims, sizes, per_vector)


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
    return _project_batch(_operate, info, in_dims, X, weights, "hoyer", *spec)


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
    "str target, str scale, str objective, float? start"
)
if not hasattr(torch.ops.skproj, "project"):  # a module can be executed twice
    torch.library.define("skproj::project", f"(Tensor X, {SPEC}) -> Tensor")
    torch.library.impl("skproj::project", "default", _project_new)
    torch.library.register_fake("skproj::project", lambda X, *spec: torch.empty_like(X))
    torch.library.register_vmap("skproj::project", _project_vmap)

    torch.library.define(
        "skproj::project_hoyer", f"(Tensor X, {SPEC_OF_HOYER}) -> (Tensor, Tensor)"
    )
    torch.library.impl("skproj::project_hoyer", "default", _project_hoyer_new)
    torch.library.register_fake("skproj::project_hoyer", _project_hoyer_fake)
    torch.library.register_vmap("skproj::project_hoyer", _project_hoyer_vmap)

    torch.library.define("skproj::project_", f"(Tensor(a!) X, {SPEC}) -> ()")
    torch.library.impl("skproj::project_", "default", _project_in_place)
    torch.library.register_fake("skproj::project_", lambda X, *spec: None)
    torch.library.register_vmap("skproj::project_", _project_in_place_vmap)

_project = torch.ops.skproj.project.default
_project_hoyer = torch.ops.skproj.project_hoyer.default
_project_ = torch.ops.skproj.project_.default


def _operate(X, weights, name, *spec):
    """Call the operator of a projection; that of Hoyer returns the multiplier too."""
    if name == "hoyer":
        return _project_hoyer(X, weights, *spec)
    return _project(X, weights, name, *spec)


class _ProjectionInReverse(torch.autograd.Function):
    """The operator with its derivatives in reverse mode."""

    @staticmethod
    def vmap(info, in_dims, *args):
        return _project_batch(_Projection.apply, info, in_dims, *args)

    @staticmethod
    def forward(X, weights, *spec):
        return _operate(X, weights, *spec)

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
        _, dims, sizes, per_vector, _, scale, *_ = spec
        return hoyer.gradient(*G, X, *results, weights, dims, sizes, per_vector, scale)
    [G], [P] = G, results
    radius, dims, norms, counts = spec
    if X.numel() == 0 or radius == 0.0:
        # Only the weighted ball of radius 0 is more than one point.
        return torch.zeros_like(G) if weights is None else G * (weights == 0)
    if name == "simplex":
        return tensors.gradient_of_simplex(G, P, dims)
    if name == "weighted_l1_ball":
        return tensors.gradient_of_weighted_l1(G, X, P, weights, dims)
    if name == "l1inf_ball":
        return tensors.gradient_of_l1inf(G, X, P, dims)
    levels = _levels(name, dims, norms, counts, X.ndim)
    return tensors.gradient_of_levels(G, X, P, levels)


# ---------------------------------------------------------------------------
# From the arguments of a public function to the operators


def _has_tangent(X):
    return forward_ad.unpack_dual(X).tangent is not None


def _needs_derivatives(X):
    return (X.requires_grad and torch.is_grad_enabled()) or _has_tangent(X)


def _out_of_place(name, X, radius, dim, weights=None, norms=None):
    spec = _spec(name, X, radius, dim, weights, norms)
    weights = None if weights is None else weights.detach()
    work = X.to(torch.float32) if X.dtype in HALF_DTYPES else X
    P = _apply(work, weights, *spec)
    return P if work is X else P.to(X.dtype)


def _apply(X, weights, *spec):
    """Call the operator, with derivatives where they are wanted."""
    if not _needs_derivatives(X):
        return _operate(X, weights, *spec)
    compiling = torch.compiler.is_compiling()
    function = _ProjectionInReverse if compiling else _Projection
    return function.apply(X, weights, *spec)


def _in_place(name, X, radius, dim, weights=None, norms=None):
    spec = _spec(name, X, radius, dim, weights, norms)
    _check_in_place(X)
    with torch.no_grad():
        if X.dtype in HALF_DTYPES:
            return X.copy_(_project(X.to(torch.float32), weights, *spec))
        # A lazy minus sign: the memory holds something else.
        if not torch.compiler.is_compiling() and X.is_neg():
            return X.copy_(_project(X, weights, *spec))
        _project_(X, weights, *spec)
    return X


def _check_in_place(X):
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


def _spec(name, X, radius, dim, weights, norms):
    """Check all arguments; return those of the operators after the tensors."""
    check_tensor(X)
    radius = check_float_radius(radius)
    if weights is not None or name == "weighted_l1_ball":
        _check_weights(weights, X)
    if name == "multilevel":
        norms, dims, counts = _check_levels(norms, dim, X.ndim)
        return name, radius, dims, norms, counts
    if name == "simplex" and radius > torch.finfo(X.dtype).max:
        raise ValueError(f"radius must be finite in {X.dtype}, got {radius!r} instead.")
    return name, radius, check_dims(dim, X.ndim), [], []


# ---------------------------------------------------------------------------
# Documentation: what all functions have in common, and what an underscore changes

_COMMON = {
    "X": """
X : torch.Tensor of any shape, usually (n_rows, n_columns)
    Dense, of dtype float64, float32, bfloat16 or float16.""",
    "radius": """
radius : float
    Radius of the ball; 0 gives zeros, infinity gives `X`. Not a tensor.""",
    "slices": """
dim : int, tuple of int or None, default=None
    None projects the whole tensor as one vector; otherwise each slice along `dim`
    is projected by itself.""",
    "groups": """
dim : int, tuple of int or None, default=0
    What the inner norm runs along, as in ``torch.linalg.vector_norm(X, dim=0)``:
    with ``dim=0`` the groups of a matrix are its columns. None makes the whole
    tensor one group.""",
}
_OUT_OF_PLACE = {
    "returns": """
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
    on the CPU contains NaN or infinity.""",
    "notes": """
On the CPU, compiled code reads float32 and float64 tensors where they are, with
`torch.get_num_threads()` threads. Other devices compute for themselves, and do not
look for NaN and infinity, which would wait for them. bfloat16 and float16 are
computed in float32 and rounded. Derivatives, in reverse and forward mode, are
those with respect to `X` alone, and can be differentiated again; at kinks they are
one of the possible ones.""",
}
_IN_PLACE = {
    "returns": """
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
TypeError
    If `X` is not a dense floating-point tensor, or if an argument has the wrong
    type.
ValueError
    If an argument does not fit `X`, if `radius` is negative or NaN, or if a tensor
    on the CPU contains NaN or infinity.""",
    "notes": """
On the CPU, float32 and float64 tensors are projected without a copy, with
`torch.get_num_threads()` threads. If an argument is refused, `X` is unchanged. Other
devices do not look for NaN and infinity, which would wait for them.""",
}
_TEMPLATES = {}


def _documented(function):
    """Fill in the parts of a docstring that are the same for all functions."""
    _TEMPLATES[function.__name__] = inspect.cleandoc(function.__doc__ or "")
    function.__doc__ = _filled(_TEMPLATES[function.__name__], _OUT_OF_PLACE)
    return function


def _in_place_of(original):
    """Derive the docstring of a function with underscore from that of `original`."""

    def document(function):
        template = _TEMPLATES[original.__name__]
        summary, _, rest = template.partition(".\n")
        rest = rest.replace(f"{original.__name__}(", f"{function.__name__}(")
        rest = rest.replace(
            f"import {original.__name__}", f"import {function.__name__}"
        )
        rest = re.sub(
            r"(See Also\n--------\n)",
            rf"\1{original.__name__} : The same into a new tensor, with gradients.\n",
            rest,
        )
        function.__doc__ = _filled(f"{summary}, in place.\n{rest}", _IN_PLACE)
        return function

    return document


def _filled(template, parts):
    for name, text in (_COMMON | parts).items():
        template = template.replace(f"<{name}>", text.lstrip("\n"))
    return template + "\n"


# ---------------------------------------------------------------------------
# Public functions


@_documented
def projection_simplex(X, radius=1.0, *, dim=None):
    r"""Project a tensor, or each slice of it, onto the simplex.

    .. math::

        \operatorname*{argmin}_{p} \|p - x\|_2^2 \quad \text{subject to} \quad
        p \ge 0, \ \sum_i p_i = \text{radius}

    What lies below a threshold becomes zero, the rest is shifted by it.

    Parameters
    ----------
    <X>
    radius : float, default=1.0
        Sum of the result, finite and non-negative. Not a tensor.
    <slices>

    <returns>

    See Also
    --------
    projection_l1_ball : The same set without the sign constraint, filled.

    Notes
    -----
    <notes>

    References
    ----------
    .. [1] L. Condat, "Fast projection onto the simplex and the l1 ball",
       Mathematical Programming 158 (2016), :doi:`10.1007/s10107-015-0946-6`.

    Examples
    --------
    >>> import torch
    >>> from skproj.nn.functional import projection_simplex
    >>> x = torch.tensor([0.5, 1.0, -2.0])
    >>> projection_simplex(x)
    tensor([0.2500, 0.7500, 0.0000])
    """
    return _out_of_place("simplex", X, radius, dim)


@_in_place_of(projection_simplex)
def projection_simplex_(X, radius=1.0, *, dim=None):
    return _in_place("simplex", X, radius, dim)


@_documented
def projection_l1_ball(X, radius, *, dim=None):
    r"""Project a tensor, or each slice of it, onto the l1 ball.

    .. math::

        \operatorname*{argmin}_{p} \|p - x\|_2^2 \quad \text{subject to} \quad
        \sum_i |p_i| \le \text{radius}

    The result is a soft threshold of `X`: single entries become zero, wherever they
    are. Use a ball with groups to make whole columns zero.

    Parameters
    ----------
    <X>
    <radius>
    <slices>

    <returns>

    See Also
    --------
    projection_bilevel_l11_ball : A budget for columns, then for their entries.

    Notes
    -----
    <notes>

    References
    ----------
    .. [1] L. Condat, "Fast projection onto the simplex and the l1 ball",
       Mathematical Programming 158 (2016), :doi:`10.1007/s10107-015-0946-6`.

    Examples
    --------
    >>> import torch
    >>> from skproj.nn.functional import projection_l1_ball
    >>> x = torch.tensor([3.0, -1.0, 0.5])
    >>> projection_l1_ball(x, 2.0)
    tensor([2., 0., 0.])
    """
    return _out_of_place("l1_ball", X, radius, dim)


@_in_place_of(projection_l1_ball)
def projection_l1_ball_(X, radius, *, dim=None):
    return _in_place("l1_ball", X, radius, dim)


@_documented
def projection_weighted_l1_ball(X, radius, weights, *, dim=None):
    r"""Project a tensor, or each slice of it, onto a weighted l1 ball.

    .. math::

        \operatorname*{argmin}_{p} \|p - x\|_2^2 \quad \text{subject to} \quad
        \sum_i w_i |p_i| \le \text{radius}

    The result is a soft threshold with one level per entry, proportional to its weight:
    entries with large weights become zero first.

    Parameters
    ----------
    <X>
    radius : float
        Radius of the ball; 0 gives zeros where the weight is not zero, infinity gives
        `X`. Not a tensor.
    weights : torch.Tensor of the shape of `X`, or broadcastable to it
        Finite and non-negative, on the device of `X`. An entry whose weight is zero is
        left alone.
    <slices>

    <returns>

    See Also
    --------
    projection_l1_ball : All weights are 1.

    Notes
    -----
    <notes>

    References
    ----------
    .. [1] G. Perez, S. Ament, C. Gomes, M. Barlaud, "Efficient projection algorithms
       onto the weighted l1 ball", Artificial Intelligence 306 (2022),
       :arxiv:`2009.02980`.

    Examples
    --------
    >>> import torch
    >>> from skproj.nn.functional import projection_weighted_l1_ball
    >>> x = torch.tensor([3.0, -1.0, 0.5])
    >>> w = torch.tensor([1.0, 2.0, 0.0])
    >>> projection_weighted_l1_ball(x, 2.0, w)
    tensor([2.0000, 0.0000, 0.5000])
    """
    return _out_of_place("weighted_l1_ball", X, radius, dim, weights)


@_in_place_of(projection_weighted_l1_ball)
def projection_weighted_l1_ball_(X, radius, weights, *, dim=None):
    return _in_place("weighted_l1_ball", X, radius, dim, weights)


@_documented
def projection_l2_ball(X, radius, *, dim=None):
    r"""Project a tensor, or each slice of it, onto the l2 ball.

    .. math::

        \operatorname*{argmin}_{p} \|p - x\|_2^2 \quad \text{subject to} \quad
        \|p\|_2 \le \text{radius}

    A vector outside the ball keeps its direction and is shortened. Entries become
    smaller, but none becomes zero.

    Parameters
    ----------
    <X>
    <radius>
    <slices>

    <returns>

    See Also
    --------
    projection_l12_ball : One radius for the sum of the norms of the slices.

    Notes
    -----
    <notes>

    References
    ----------
    .. [1] N. Parikh, S. Boyd, "Proximal algorithms", Foundations and Trends in
       Optimization 1 (2014), :doi:`10.1561/2400000003`.

    Examples
    --------
    >>> import torch
    >>> from skproj.nn.functional import projection_l2_ball
    >>> x = torch.tensor([3.0, -4.0])
    >>> projection_l2_ball(x, 2.5)
    tensor([ 1.5000, -2.0000])
    """
    return _out_of_place("l2_ball", X, radius, dim)


@_in_place_of(projection_l2_ball)
def projection_l2_ball_(X, radius, *, dim=None):
    return _in_place("l2_ball", X, radius, dim)


@_documented
def projection_linf_ball(X, radius, *, dim=None):
    r"""Project a tensor, or each slice of it, onto the l_inf ball.

    .. math::

        \operatorname*{argmin}_{p} \|p - x\|_2^2 \quad \text{subject to} \quad
        \max_i |p_i| \le \text{radius}

    Entries are clipped to the interval from ``-radius`` to ``radius``. No entry becomes
    zero.

    Parameters
    ----------
    <X>
    <radius>
    <slices>

    <returns>

    See Also
    --------
    projection_l1inf_ball : One radius for the sum of the maxima of the slices.

    Notes
    -----
    <notes>

    References
    ----------
    .. [1] N. Parikh, S. Boyd, "Proximal algorithms", Foundations and Trends in
       Optimization 1 (2014), :doi:`10.1561/2400000003`.

    Examples
    --------
    >>> import torch
    >>> from skproj.nn.functional import projection_linf_ball
    >>> x = torch.tensor([3.0, -4.0, 1.0])
    >>> projection_linf_ball(x, 2.0)
    tensor([ 2., -2.,  1.])
    """
    return _out_of_place("linf_ball", X, radius, dim)


@_in_place_of(projection_linf_ball)
def projection_linf_ball_(X, radius, *, dim=None):
    return _in_place("linf_ball", X, radius, dim)


@_documented
def projection_l12_ball(X, radius, *, dim=0):
    r"""Project a tensor onto the l1,2 ball (group lasso).

    .. math::

        \operatorname*{argmin}_{P} \|P - X\|_F^2 \quad \text{subject to} \quad
        \sum_j \|p_j\|_2 \le \text{radius}

    Groups (columns for ``dim=0``) with a small l2 norm become zero, the others keep
    their direction and are shortened. The outer norm is named first: what is l1,2
    here is l2,1 elsewhere.

    Parameters
    ----------
    <X>
    <radius>
    <groups>

    <returns>

    See Also
    --------
    projection_l1inf_ball : Clips the groups instead of scaling them.

    Notes
    -----
    <notes>

    References
    ----------
    .. [1] M. Yuan, Y. Lin, "Model selection and estimation in regression with
       grouped variables", J. R. Stat. Soc. B 68 (2006),
       :doi:`10.1111/j.1467-9868.2005.00532.x`.

    Examples
    --------
    >>> import torch
    >>> from skproj.nn.functional import projection_l12_ball
    >>> X = torch.tensor([[3.0, 0.6, 0.5], [-4.0, 0.8, 0.0]])
    >>> projection_l12_ball(X, 2.5)
    tensor([[ 1.5000,  0.0000,  0.0000],
            [-2.0000,  0.0000,  0.0000]])
    """
    return _out_of_place("l12_ball", X, radius, dim)


@_in_place_of(projection_l12_ball)
def projection_l12_ball_(X, radius, *, dim=0):
    return _in_place("l12_ball", X, radius, dim)


@_documented
def projection_l1inf_ball(X, radius, *, dim=0):
    r"""Project a tensor onto the l1,inf ball, exactly.

    .. math::

        \operatorname*{argmin}_{P} \|P - X\|_F^2 \quad \text{subject to} \quad
        \sum_j \max_i |p_{ij}| \le \text{radius}

    Each group (column for ``dim=0``) is clipped at a level of its own, and groups
    whose l1 norm is below the threshold become zero. The outer norm is named first:
    l1 over the groups of l_inf inside a group.

    Parameters
    ----------
    <X>
    <radius>
    <groups>

    <returns>

    See Also
    --------
    projection_bilevel_l1inf_ball : Cheaper and usually sparser; not the nearest point.

    Notes
    -----
    <notes>
    Devices other than the CPU sort the groups and are asked a few times whether
    Newton's method has converged.

    References
    ----------
    .. [1] G. Perez, L. Condat, M. Barlaud, "Near-linear time projection onto the
       l1,inf ball; application to sparse autoencoders", :arxiv:`2307.09836`.
    .. [2] A. Quattoni, X. Carreras, M. Collins, T. Darrell, "An efficient projection
       for l1,inf regularization", ICML 2009, :doi:`10.1145/1553374.1553484`.

    Examples
    --------
    >>> import torch
    >>> from skproj.nn.functional import projection_l1inf_ball
    >>> X = torch.tensor([[3.0, 1.0, 0.5], [-1.0, 1.0, 0.0]])
    >>> projection_l1inf_ball(X, 2.0)
    tensor([[ 1.6667,  0.3333,  0.0000],
            [-1.0000,  0.3333,  0.0000]])
    """
    return _out_of_place("l1inf_ball", X, radius, dim)


@_in_place_of(projection_l1inf_ball)
def projection_l1inf_ball_(X, radius, *, dim=0):
    return _in_place("l1inf_ball", X, radius, dim)


@_documented
def projection_bilevel_l11_ball(X, radius, *, dim=0):
    r"""Project a tensor onto the l1,1 ball in two levels.

    .. math::

        p_j = \operatorname*{argmin}_{\|p\|_1 \le u_j} \|p - x_j\|_2^2,
        \qquad u = \operatorname*{argmin}_{\|u\|_1 \le \text{radius}}
        \sum_j (u_j - \|x_j\|_1)^2

    The l1 norms of the groups are projected onto the l1 ball, then each group onto
    the l1 ball of what it was given: zero groups, and zeros inside the kept ones.

    Parameters
    ----------
    <X>
    <radius>
    <groups>

    <returns>

    See Also
    --------
    projection_l1_ball : The nearest point of the same ball.

    Notes
    -----
    <notes>

    References
    ----------
    .. [1] M. Barlaud, G. Perez, J.-P. Marmorat, "A new linear time bi-level l1,inf
       projection; application to the sparsification of auto-encoders neural
       networks", :arxiv:`2407.16293`.

    Examples
    --------
    >>> import torch
    >>> from skproj.nn.functional import projection_bilevel_l11_ball
    >>> X = torch.tensor([[3.0, 1.0, 0.5], [-1.0, 1.0, 0.0]])
    >>> projection_bilevel_l11_ball(X, 2.0)
    tensor([[2., 0., 0.],
            [0., 0., 0.]])
    """
    return _out_of_place("bilevel_l11_ball", X, radius, dim)


@_in_place_of(projection_bilevel_l11_ball)
def projection_bilevel_l11_ball_(X, radius, *, dim=0):
    return _in_place("bilevel_l11_ball", X, radius, dim)


@_documented
def projection_bilevel_l12_ball(X, radius, *, dim=0):
    r"""Project a tensor onto the l1,2 ball in two levels.

    .. math::

        p_j = \operatorname*{argmin}_{\|p\|_2 \le u_j} \|p - x_j\|_2^2,
        \qquad u = \operatorname*{argmin}_{\|u\|_1 \le \text{radius}}
        \sum_j (u_j - \|x_j\|_2)^2

    The l2 norms of the groups are projected onto the l1 ball, then each group is
    shortened to what it was given. `projection_l12_ball` is the same operator.

    Parameters
    ----------
    <X>
    <radius>
    <groups>

    <returns>

    See Also
    --------
    projection_l12_ball : Another name of this function.

    Notes
    -----
    <notes>

    References
    ----------
    .. [1] M. Barlaud, G. Perez, J.-P. Marmorat, "A new linear time bi-level l1,inf
       projection; application to the sparsification of auto-encoders neural
       networks", :arxiv:`2407.16293`.

    Examples
    --------
    >>> import torch
    >>> from skproj.nn.functional import projection_bilevel_l12_ball
    >>> X = torch.tensor([[3.0, 0.6, 0.5], [-4.0, 0.8, 0.0]])
    >>> projection_bilevel_l12_ball(X, 2.5)
    tensor([[ 1.5000,  0.0000,  0.0000],
            [-2.0000,  0.0000,  0.0000]])
    """
    return _out_of_place("bilevel_l12_ball", X, radius, dim)


@_in_place_of(projection_bilevel_l12_ball)
def projection_bilevel_l12_ball_(X, radius, *, dim=0):
    return _in_place("bilevel_l12_ball", X, radius, dim)


@_documented
def projection_bilevel_l1inf_ball(X, radius, *, dim=0):
    r"""Project a tensor onto the l1,inf ball in two levels.

    .. math::

        p_j = \operatorname*{argmin}_{\|p\|_\infty \le u_j} \|p - x_j\|_2^2,
        \qquad u = \operatorname*{argmin}_{\|u\|_1 \le \text{radius}}
        \sum_j (u_j - \|x_j\|_\infty)^2

    The maxima of the groups are projected onto the l1 ball, then each group is
    clipped at what it was given. Groups whose maximum is small become zero.

    Parameters
    ----------
    <X>
    <radius>
    <groups>

    <returns>

    See Also
    --------
    projection_l1inf_ball : The nearest point of the same ball.

    Notes
    -----
    <notes>

    References
    ----------
    .. [1] M. Barlaud, G. Perez, J.-P. Marmorat, "A new linear time bi-level l1,inf
       projection; application to the sparsification of auto-encoders neural
       networks", :arxiv:`2407.16293`.

    Examples
    --------
    >>> import torch
    >>> from skproj.nn.functional import projection_bilevel_l1inf_ball
    >>> X = torch.tensor([[3.0, 1.0, 0.5], [-1.0, 1.0, 0.0]])
    >>> projection_bilevel_l1inf_ball(X, 2.0)
    tensor([[ 2.,  0.,  0.],
            [-1.,  0.,  0.]])
    """
    return _out_of_place("bilevel_l1inf_ball", X, radius, dim)


@_in_place_of(projection_bilevel_l1inf_ball)
def projection_bilevel_l1inf_ball_(X, radius, *, dim=0):
    return _in_place("bilevel_l1inf_ball", X, radius, dim)


@_documented
def projection_multilevel(X, radius, norms=(1, math.inf, math.inf), *, dims=None):
    r"""Project a tensor onto the ball of a norm of norms, level by level.

    .. math::

        V = \big(\|x_j\|_q\big)_j, \qquad
        U = \operatorname{multilevel}(V, \text{radius}), \qquad
        p_j = \operatorname*{argmin}_{\|p\|_q \le u_j} \|p - x_j\|_2^2

    The fibres of the innermost level are replaced by their norms, the smaller tensor
    is projected in the same way, and each fibre then onto the ball of what it was
    given. With an outer l1 norm whole slices become zero: filters or channels of a
    convolution, which can be removed from the network.

    Parameters
    ----------
    <X>
    <radius>
    norms : tuple of {1, 2, inf}, default=(1, inf, inf)
        The norm of each level, the outermost first.
    dims : tuple of int or tuple of int, default=None
        For each norm what it runs along, the outermost first; together every dimension
        of `X` once. None means ``(ndim - 1, ..., 0)``, one dimension for each norm, so
        that the innermost norm runs along dimension 0.

    <returns>

    See Also
    --------
    projection_bilevel_l1inf_ball : The same for ``norms=(1, inf)`` and a matrix.

    Notes
    -----
    <notes>

    References
    ----------
    .. [1] G. Perez, M. Barlaud, "Multi-level projection with exponential parallel
       speedup; application to sparse auto-encoders neural networks",
       :arxiv:`2405.02086`.

    Examples
    --------
    >>> import math
    >>> import torch
    >>> from skproj.nn.functional import projection_multilevel
    >>> W = torch.arange(8.0).reshape(4, 1, 1, 2)
    >>> projection_multilevel(W, 4.0, (1, math.inf), dims=(0, (1, 2, 3))).flatten(1)
    tensor([[0., 0.],
            [0., 0.],
            [1., 1.],
            [3., 3.]])
    """
    return _out_of_place("multilevel", X, radius, dims, norms=norms)


@_in_place_of(projection_multilevel)
def projection_multilevel_(X, radius, norms=(1, math.inf, math.inf), *, dims=None):
    return _in_place("multilevel", X, radius, dims, norms=norms)


# ---------------------------------------------------------------------------
# Hoyer sparsity. There is no radius, and X may be a list.


def _check_group(X, dim, weights):
    """Return the tensors of a group, their dimensions (None for a list), weights."""
    is_list = isinstance(X, list | tuple)
    group = list(X) if is_list else [X]
    for number, tensor in enumerate(group):
        check_tensor(tensor, f"X[{number}]" if is_list else "X")
    if len({tensor.device for tensor in group}) > 1:
        raise ValueError("X must hold tensors of one device.")
    if is_list and (dim != 0 or isinstance(dim, bool)):
        raise ValueError(f"dim must be 0 for a list of tensors, got {dim!r} instead.")
    dims = None if is_list else check_dims(dim, X.ndim)
    if weights is None:
        return group, dims, None
    if not is_list:
        weights = [weights]
    elif not isinstance(weights, list | tuple) or len(weights) != len(group):
        raise ValueError(
            f"weights must be a list with one tensor for each of the {len(group)} "
            "tensors of X."
        )
    for w, tensor in zip(weights, group, strict=True):
        _check_weights(w, tensor)
    return group, dims, [w.detach() for w in weights]


def _hoyer(X, sparsity, dim, weights, per_vector, target, scale, objective, start):
    """Check all arguments; return results for the tensors of `X`, and a multiplier."""
    group, dims, weights = _check_group(X, dim, weights)
    task = check_task(sparsity, weights, per_vector, target, scale, objective, start)
    has_gradient = target == "hoyer" and objective == "surrogate"
    if not has_gradient and any(map(_needs_derivatives, group)):
        raise RuntimeError(
            "X requires a gradient, or carries a tangent, which projection_hoyer has "
            "only for target='hoyer' and objective='surrogate'; call it in a block of "
            "torch.no_grad(), with X.detach()."
        )
    sizes = []
    if dims is None:
        dims, sizes = [], [V.numel() for V in group]
        X, weights = _one_after_the_other(group, weights)
    elif weights is not None:
        [weights] = weights
    work = X.to(torch.promote_types(X.dtype, torch.float32))
    spec = task.sparsity, dims, sizes, task.per_vector, target, scale, objective
    P, multiplier = _apply(work, weights, "hoyer", *spec, task.start)
    multiplier = multiplier.detach()
    if dims:
        return [P.to(X.dtype)], multiplier
    # Copies, since PyTorch does not let the parts of a tensor be changed in place.
    parts = zip(P.split(sizes), group, strict=True)
    return [V.reshape(T.shape).to(T.dtype, copy=True) for V, T in parts], multiplier


def _one_after_the_other(group, weights):
    """Put the entries of tensors into one of one dimension, and their weights too."""
    if not group:
        return torch.empty(0), None
    if weights is not None:
        weights = [w.expand(V.shape) for w, V in zip(weights, group, strict=True)]
        weights = torch.cat([w.reshape(-1) for w in weights])
    return torch.cat([V.reshape(-1) for V in group]), weights


def hoyer_sparsity(X, dim=0, weights=None):
    r"""Compute the Hoyer sparsity of each vector of a group of tensors.

    .. math::

        \operatorname{sp}(x) = \frac{\sqrt{n} - \|x\|_1 / \|x\|_2}{\sqrt{n} - 1}

    It is 1 for a vector with one nonzero entry and 0 if all entries have the same
    magnitude, and does not depend on the length of the vector.

    Parameters
    ----------
    X : torch.Tensor of any shape, or list of tensors
        Dense, of dtype float64, float32, bfloat16 or float16. In a list or tuple each
        tensor is one vector, whatever its shape.
    dim : int, tuple of int or None, default=0
        What the vectors run along: with ``dim=0`` they are the columns of a matrix.
        None makes the whole tensor one vector. It must be 0 for a list of tensors.
    weights : torch.Tensor of the shape of `X`, or broadcastable to it, default=None
        Finite and non-negative, not all 0 in a vector; for a list of tensors a list.
        With weights :math:`\sqrt{n}` is replaced by :math:`\|w\|_2`, the l1 norm by
        :math:`\sum_i w_i |x_i|`, and the 1 by the smallest weight. None means 1.

    Returns
    -------
    sparsity : float64 tensor of the shape of `X` without `dim`
        The sparsity of each vector, with a gradient to `X`. It is 1 for a vector of
        zeros, and NaN for one with less than two entries, which has none. For a list
        of tensors the shape is ``(n_tensors,)``.

    Raises
    ------
    TypeError
        If `X` is not made of dense floating-point tensors, or if an argument has the
        wrong type.
    ValueError
        If `dim` or `weights` does not fit `X`.

    See Also
    --------
    projection_hoyer : Make a group of vectors as sparse as wanted.

    References
    ----------
    .. [1] P. O. Hoyer, "Non-negative matrix factorization with sparseness
       constraints", J. Mach. Learn. Res. 5 (2004), :arxiv:`cs/0408058`.

    Examples
    --------
    >>> import torch
    >>> from skproj.nn.functional import hoyer_sparsity
    >>> hoyer_sparsity(torch.tensor([[3.0, 1.0], [0.0, -1.0]])).round(decimals=6)
    tensor([1., 0.], dtype=torch.float64)
    """
    group, dims, weights = _check_group(X, dim, weights)
    if dims is not None:
        w = None if weights is None else weights[0]
        return hoyer.sparsity_of_slices(X, dims, w)
    weights = [None] * len(group) if weights is None else weights
    values = [
        hoyer.sparsity_of_slices(tensor, tuple(range(tensor.ndim)), w)
        for tensor, w in zip(group, weights, strict=True)
    ]
    return torch.stack(values) if values else torch.empty(0, dtype=torch.float64)


def projection_hoyer(
    X,
    sparsity,
    *,
    dim=0,
    weights=None,
    per_vector=False,
    target="hoyer",
    scale="ls",
    objective="surrogate",
    return_multiplier=False,
    start=None,
):
    r"""Give a group of vectors an average Hoyer sparsity.

    .. math::

        \max_{x} \sum_i x_i^T |c_i| \quad \text{subject to} \quad
        x_i \ge 0, \ \|x_i\|_2 = 1, \
        \frac{1}{r} \sum_i \operatorname{sp}(x_i) \ge \text{sparsity}

    Each vector :math:`c_i` becomes :math:`(x_i^T |c_i|) x_i` with its own signs. The
    level is not a fraction of zeros: at 0.9 about 98 of 100 normally distributed
    entries are zero.

    Parameters
    ----------
    X : torch.Tensor of any shape, or list of tensors
        Dense, of dtype float64, float32, bfloat16 or float16. In a list or tuple each
        tensor is one vector, whatever its shape.
    sparsity : float
        The wanted average of `hoyer_sparsity`, between 0 and 1. With
        ``target="zeros"`` the fraction of the entries that are to be zero.
    dim : int, tuple of int or None, default=0
        What the vectors run along: with ``dim=0`` they are the columns of a matrix.
        None makes the whole tensor one vector. It must be 0 for a list of tensors.
    weights : torch.Tensor of the shape of `X`, or broadcastable to it, default=None
        Finite and non-negative, not all 0 in a vector; for a list of tensors a list.
        Entries with large weights become zero first. None means 1.
    per_vector : bool, default=False
        Whether each vector is given the sparsity by itself, and not the average.
    target : {"hoyer", "zeros"}, default="hoyer"
        What `sparsity` is.
    scale : {"ls", "keep_l2"}, default="ls"
        How long the vectors become: as near to those of `X` as their direction allows,
        or as long as they were.
    objective : {"surrogate", "ls"}, default="surrogate"
        The sum above, or the sum of its squared terms, which minimises the squared
        distance to `X` and takes longer.
    return_multiplier : bool, default=False
        Whether to return the multiplier as well.
    start : float, default=None
        The multiplier of an earlier call with similar data, as a number, from which
        the search is shorter. Not used if there is nothing to search for.

    Returns
    -------
    P : torch.Tensor of the shape, dtype, device and memory layout of `X`, or list
        The projection, with a gradient to `X`. What is sparse enough already comes
        back as it is, so do empty tensors and vectors of one entry. The tensors of a
        list are contiguous.
    multiplier : float64 tensor of shape (), or of the shape of `X` without `dim`
        The mu >= 0 such that, for vectors of length n without weights, entries of
        magnitude at most ``mu / (sqrt(n) - 1)`` become zero, but for one of each
        vector; 0 if `X` comes back as it is. One for each vector if `per_vector`.
        Without a gradient. Only if `return_multiplier`.

    Raises
    ------
    RuntimeError
        If `X` requires a gradient or carries a tangent, for which there is none with
        ``target="zeros"`` and with ``objective="ls"``.
    TypeError
        If `X` is not made of dense floating-point tensors, or if an argument has the
        wrong type.
    ValueError
        If `sparsity` is not between 0 and 1, if a tensor on the CPU contains NaN or
        infinity, if options do not go together, if `dim` or `weights` does not fit
        `X`, or if the tensors of a list are on several devices.

    See Also
    --------
    hoyer_sparsity : The sparsity of each vector.
    projection_hoyer_ : The same in place.

    Notes
    -----
    What it does to the vectors is said at `skproj.projection.projection_hoyer`, which
    computes it on the CPU, for float32 and float64 tensors where they are; those of
    lists are copied. Other devices compute for themselves, wait for each step of the
    search, and do not look for NaN and infinity. bfloat16 and float16 are computed in
    float32 and rounded, which moves the level.

    Derivatives, in reverse and forward mode, are those with respect to `X` alone, and
    can be differentiated again. Where equal entries make the average jump, or only
    some of them are kept, they hold for changes after which these are still equal; for
    others there are none. At kinks they are one of the possible ones, and 0 for a
    vector of zeros.

    References
    ----------
    .. [1] R. Ohib, N. Gillis, N. Dalmasso, S. Shah, V. K. Potluru, S. Plis, "Explicit
       group sparse projection with applications to deep learning and NMF", Transactions
       on Machine Learning Research (2022), :arxiv:`1912.03896`.

    Examples
    --------
    The filters of a convolution share an average sparsity:

    >>> import torch
    >>> from skproj.nn.functional import hoyer_sparsity, projection_hoyer
    >>> W = torch.linspace(-1.0, 2.0, 36).reshape(2, 2, 3, 3)
    >>> P = projection_hoyer(W, 0.4, dim=(1, 2, 3))
    >>> hoyer_sparsity(P, dim=(1, 2, 3)).mean().round(decimals=6).item()
    0.4
    """
    results, multiplier = _hoyer(
        X, sparsity, dim, weights, per_vector, target, scale, objective, start
    )
    P = results if isinstance(X, list | tuple) else results[0]
    return (P, multiplier) if return_multiplier else P


def projection_hoyer_(
    X,
    sparsity,
    *,
    dim=0,
    weights=None,
    per_vector=False,
    target="hoyer",
    scale="ls",
    objective="surrogate",
    return_multiplier=False,
    start=None,
):
    """Give a group of vectors an average Hoyer sparsity, in place.

    The arguments are those of `projection_hoyer`.

    Parameters
    ----------
    X : torch.Tensor of any shape, or list of tensors
        What is projected and overwritten.
    sparsity : float
        The wanted average of `hoyer_sparsity`, or the fraction of zeros.
    dim : int, tuple of int or None, default=0
        What the vectors run along.
    weights : torch.Tensor of the shape of `X`, or broadcastable to it, default=None
        Weights of the entries, all 1 if None.
    per_vector : bool, default=False
        Whether each vector is given the sparsity by itself.
    target : {"hoyer", "zeros"}, default="hoyer"
        What `sparsity` is.
    scale : {"ls", "keep_l2"}, default="ls"
        How long the vectors become.
    objective : {"surrogate", "ls"}, default="surrogate"
        What is maximised.
    return_multiplier : bool, default=False
        Whether to return the multiplier as well.
    start : float, default=None
        The multiplier of an earlier call.

    Returns
    -------
    X : torch.Tensor or list of tensors
        The argument itself, which now holds the projection.
    multiplier : float64 tensor of shape (), or of the shape of `X` without `dim`
        That of `projection_hoyer`. Only if `return_multiplier`.

    Raises
    ------
    RuntimeError
        If a tensor requires a gradient and gradients are enabled: it has to be in a
        block of ``torch.no_grad()``. Also if it carries a tangent of forward-mode
        differentiation, if it comes from ``expand``, which puts several entries in one
        place, or if `torch.vmap` maps over `weights` but not over `X`.
    TypeError
        If `X` is not made of dense floating-point tensors, or if an argument has the
        wrong type.
    ValueError
        As from `projection_hoyer`; nothing is written then.

    See Also
    --------
    projection_hoyer : The same into a new tensor, with gradients.

    References
    ----------
    .. [1] R. Ohib, N. Gillis, N. Dalmasso, S. Shah, V. K. Potluru, S. Plis, "Explicit
       group sparse projection with applications to deep learning and NMF", Transactions
       on Machine Learning Research (2022), :arxiv:`1912.03896`.

    Examples
    --------
    >>> import torch
    >>> from skproj.nn.functional import projection_hoyer_
    >>> X = torch.tensor([[4.0, 3.0], [-2.0, 3.0], [1.0, -1.0]])
    >>> projection_hoyer_(X, 0.6) is X
    True
    """
    group, *_ = _check_group(X, dim, weights)
    for tensor in group:
        _check_in_place(tensor)
    with torch.no_grad():
        results, multiplier = _hoyer(
            X, sparsity, dim, weights, per_vector, target, scale, objective, start
        )
        for tensor, P in zip(group, results, strict=True):
            tensor.copy_(P)
    return (X, multiplier) if return_multiplier else X
