"""Projections of parameters after each step of an optimizer."""

import numbers
import warnings
from collections.abc import Iterable

import torch
from sklearn.utils import check_scalar

from skproj.nn.functional._balls import BY_BALL
from skproj.nn.functional._checks import (
    check_dims,
    check_float_radius,
    check_tensor,
    check_type_of_dims,
)
from skproj.nn.optim._removal import (
    BALL_OF_GROUPS,
    GROUP_NORMS,
    WeightGroups,
    WeightRemoval,
    check_not_distributed,
)
from skproj.projection import BALLS
from skproj.utils._choices import check_choice
from skproj.utils._docs import shared_docs

# Number of projections after which a constraint should have made zeros.
N_STEPS_OF_EFFECT = 100


def _check_projection(projection):
    if callable(projection):
        return
    if not isinstance(projection, str):
        raise TypeError(
            f"projection must be a string or a callable, got {projection!r} instead."
        )
    check_choice("projection", projection, BALLS)


def _has_groups(projection):
    """Whether `dim` matters, as it may for any callable."""
    return callable(projection) or BALLS[projection].grouped


def _as_list(params):
    if isinstance(params, torch.Tensor):
        return [params]
    if isinstance(params, str | dict) or not isinstance(params, Iterable):
        raise TypeError(
            "params must be a tensor or an iterable of tensors, not of names, "
            f"got {type(params).__name__} instead."
        )
    return list(params)


def _project(projection, W, radius, dim):
    """Call a projection, of the registry or the user's own, and check the result."""
    if not callable(projection):
        if not _has_groups(projection):
            dim = None
        _, project_ = BY_BALL[projection]
        return project_(W, radius, dim=dim)
    P = projection(W, radius, dim=dim)
    if not isinstance(P, torch.Tensor) or P.shape != W.shape:
        got = tuple(P.shape) if isinstance(P, torch.Tensor) else type(P).__name__
        raise ValueError(
            "projection must return a tensor of the shape of its argument, "
            f"{tuple(W.shape)}, got {got} instead."
        )
    if not P.is_floating_point():
        raise TypeError(
            "projection must return a tensor of floating-point numbers, "
            f"got {P.dtype} instead."
        )
    return P


class _ProjectionHandle:
    """Hook after the steps of an optimizer: it counts them, and can be removed."""

    def __init__(self, optimizer, params, projection, radius, dim):
        self.n_steps = 0
        self._params = params
        self._projection = projection
        self._radius = radius
        self._dim = dim
        self._is_projecting = False
        self._is_removed = False
        self._hook = optimizer.register_step_post_hook(self._after_step)

    def _after_step(self, optimizer, args, kwargs):
        if self._is_removed:
            return
        step = self.n_steps + 1
        self._is_projecting = True
        try:
            self._project(step)
        finally:
            self._is_projecting = False
        self.n_steps = step

    @torch.no_grad()
    def _project(self, step):
        radius = self._radius
        if callable(radius):
            radius = check_float_radius(radius(step))
        for i, W in enumerate(self._params):
            try:
                P = _project(self._projection, W, radius, self._dim)
                if P is not W:
                    W.copy_(P)
            except Exception as error:
                error.add_note(
                    f"This was parameter {i} of the registration, of shape "
                    f"{tuple(W.shape)}; those before it have been projected."
                )
                if i > 0:
                    self.n_steps = step
                raise
        if step == N_STEPS_OF_EFFECT:
            self._check_effect()

    def _check_effect(self):
        """Warn if nothing is zero."""
        name = self._projection
        if callable(name) or not BALLS[name].sparsifying:
            return
        for i, W in enumerate(self._params):
            W = W.detach()
            if BALLS[name].grouped and W.ndim > 1:
                dims = check_dims(self._dim, W.ndim)
                W = torch.linalg.vector_norm(W, dim=dims)
            if W.numel() and bool(W.all()):
                warnings.warn(
                    f"Parameter {i} of register_projection has no zeros after "
                    f"{N_STEPS_OF_EFFECT} projections: radius is too large, or steps "
                    "with minibatches move the zeros away. Take a smaller radius, or "
                    "n_groups.",
                    UserWarning,
                    stacklevel=2,
                )

    def remove(self):
        """Project no more."""
        self._is_removed = True
        if not self._is_projecting:  # when the optimizer goes through its hooks
            self._hook.remove()

    def state_dict(self):
        """Return the number of steps, for a checkpoint."""
        return {"n_steps": self.n_steps}

    def load_state_dict(self, state_dict):
        """Go on counting from the number of steps in a checkpoint."""
        n_steps = state_dict.get("n_steps") if isinstance(state_dict, dict) else None
        if isinstance(n_steps, bool) or not isinstance(n_steps, numbers.Integral):
            raise TypeError(
                "state_dict must be a dict with an integer n_steps, "
                f"got {state_dict!r} instead."
            )
        if n_steps < 0:
            raise ValueError(f"n_steps must be non-negative, got {n_steps} instead.")
        self.n_steps = int(n_steps)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.remove()


def check_optimizer(optimizer):
    """Refuse what is not an optimizer."""
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(
            "optimizer must be a torch.optim.Optimizer, "
            f"got {type(optimizer).__name__} instead."
        )


def check_steps(optimizer):
    """Refuse an optimizer that evaluates the loss several times in a step."""
    if isinstance(optimizer, torch.optim.LBFGS):
        raise ValueError(
            "optimizer must make one step from one gradient, which LBFGS does not."
        )


def check_held(optimizer, params, name):
    """Refuse dense tensors that an optimizer does not move."""
    held = {id(W) for group in optimizer.param_groups for W in group["params"]}
    for W in params:
        check_tensor(W, name)
        if id(W) not in held:
            raise ValueError(
                f"{name} must be parameters of the optimizer, got a tensor of shape "
                f"{tuple(W.shape)} that it does not hold."
            )


@shared_docs()
def register_projection(
    optimizer,
    params,
    projection=None,
    radius=None,
    *,
    n_groups=None,
    n_steps=None,
    dim=0,
):
    r"""Project parameters after each step of an optimizer.

    This is projected gradient descent, with any optimizer in the place of gradient
    descent: after the step the parameters are back in the ball,

    .. math::

        \|W\| \le \text{radius}

    and with most balls some of their entries or groups are exactly zero. With
    `n_groups` a given number of groups is left instead, whatever the radius.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Its `step` is followed by the projection.
    params : torch.Tensor or iterable of torch.Tensor
        Parameters of `optimizer`, in whichever of its groups. Each is projected by
        itself, in place; also one that is frozen, which the optimizer leaves alone.
    projection : str or callable, default=None
        A key of `skproj.projection.BALLS`, or a function ``f(W, radius, dim=dim)``
        that returns a tensor of the shape of `W`: a new one, or `W` itself after
        having changed it. None is "bilevel_l1inf" with `radius`, and "l12" with
        `n_groups`, for which the largest entry of a group says less than its l2 norm.
    radius : float or callable, default=None
        Radius of the ball, or a function of the number of steps done so far, from 1,
        that returns it. Exactly one of `radius` and `n_groups` must be given.
    n_groups : int, default=None
        Number of groups of each parameter that are left in the end: those that the
        projection leaves whose radius `skproj.projection.radius_for_sparsity` finds,
        with their values. All are there at first, and fewer and fewer until 60 % of
        `n_steps`; removed ones are trained on and may return until 80 %, as the
        groups of `Sparsifier`.
    n_steps : int, default=None
        Number of steps that the training will have, needed with `n_groups`.
    dim : int, tuple of int or None, default=0
        Dimension along which the groups run. For the weight of `torch.nn.Linear`, of
        shape (n_outputs, n_inputs), ``dim=0`` removes inputs and ``dim=1`` outputs. A
        ball without groups takes all entries together and ignores `dim`.

    Returns
    -------
    handle : object
        With ``remove()``, which ends the projections; at the end of a ``with handle:``
        block that happens by itself. It counts the steps in ``n_steps``, and has
        ``state_dict()`` and ``load_state_dict()`` for that number, which is worth
        saving where `radius` is a callable. With `n_groups` its ``finalize()`` leaves
        the number of groups at once; the block ends with it.

    Raises
    ------
    TypeError
        If an argument has the wrong type, or a parameter is not a dense floating-point
        tensor.
    ValueError
        If `optimizer` does not hold a parameter, if `projection` is not known, if
        `radius` is negative or NaN, if `n_groups` is not between 0 and the number of
        groups, or if `dim` does not fit a parameter that has groups. Then nothing is
        registered.

    Warns
    -----
    UserWarning
        If a parameter has no zeros after 100 projections onto a ball that makes zeros.

    See Also
    --------
    Sparsifier : Makes a share of the weights zero.

    Notes
    -----
    Nothing is projected before the first step. Several registrations are independent,
    and run in the order in which they were made. A step that `torch.amp.GradScaler`
    skips is not counted. If a projection fails, the error has a note that names the
    parameter: those before it have been projected, and the step counts if there are
    such. State of the optimizer, such as momentum, is not projected.
    With minibatches, the steps of any optimizer bring back groups that were zero: a
    radius that makes zeros with the gradient of all data may make none.

    `Optimizer.state_dict` does not contain hooks, and neither does a copied or
    unpickled optimizer: register again, with the parameters of the copy.

    {bilevel_reference}

    Examples
    --------
    Of ten inputs, two matter:

    >>> import torch
    >>> from skproj.nn import register_projection
    >>> generator = torch.Generator().manual_seed(0)
    >>> X = torch.randn(200, 10, generator=generator)
    >>> y = X[:, :1] - X[:, 1:2]
    >>> model = torch.nn.Linear(10, 1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> handle = register_projection(optimizer, model.weight, "l1inf", radius=1.5)
    >>> for _ in range(50):
    ...     optimizer.zero_grad()
    ...     torch.nn.functional.mse_loss(model(X), y).backward()
    ...     optimizer.step()
    >>> model.weight.detach().any(dim=0).nonzero().flatten()
    tensor([0, 1])
    >>> handle.remove()
    """
    check_optimizer(optimizer)
    if projection is None:
        projection = "bilevel_l1inf" if n_groups is None else BALL_OF_GROUPS
    _check_projection(projection)
    check_type_of_dims(dim)
    if (radius is None) == (n_groups is None):
        raise ValueError("Exactly one of radius and n_groups must be given.")
    if radius is not None and not callable(radius):
        radius = check_float_radius(radius)
    params = _as_list(params)
    if not params:
        raise ValueError("params must contain at least one parameter, got none.")
    check_held(optimizer, params, "params")
    if _has_groups(projection):
        for W in params:
            check_dims(dim, W.ndim)
    if n_groups is None:
        return _ProjectionHandle(optimizer, params, projection, radius, dim)
    check_choice("projection", projection, GROUP_NORMS)
    check_scalar(n_groups, "n_groups", numbers.Integral, min_val=0)
    check_scalar(n_steps, "n_steps", numbers.Integral, min_val=1)
    blocks = [
        WeightGroups(W, tuple(check_dims(dim, W.ndim)), projection, int(n_groups))
        for W in params
    ]
    for block in blocks:
        check_not_distributed(block.weight)
        if n_groups > block.size:
            raise ValueError(
                f"n_groups must be at most {block.size}, the number of groups of a "
                f"parameter, got {n_groups!r}."
            )
    names = [str(i) for i in range(len(params))]
    return WeightRemoval(optimizer, blocks, names, n_steps)
