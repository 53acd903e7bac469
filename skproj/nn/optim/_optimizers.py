"""Optimizers of a loss plus a sparse penalty, whose zeros are exact."""

import math
import numbers

import torch

from skproj.nn.functional._checks import check_dims, check_type_of_dims
from skproj.nn.optim._proximal import adam_step_, proximal_step_, shape_of_groups
from skproj.utils._choices import check_choice
from skproj.utils._docs import shared_docs

PENALTIES = ("l1", "l12")

_DOCS = {
    "problem": r"""
        .. math::

            \min_W \; L(W) + \text{l1} \sum_i |w_i|
            \quad\text{or}\quad
            \min_W \; L(W) + \text{l1} \sum_g \|w_g\|_2
    """,
    "options": """
        params : iterable
            Parameters, or dicts with groups of them and their options, as for any
            optimizer of PyTorch. The penalty is put on all that have no ``l1=0`` of
            their own; biases and the parameters of normalisation layers usually should.
        lr : float, default=1e-3
            Learning rate.
        l1 : float, default=0.0
            Weight of the penalty. Infinity makes all weights zero.
        penalty : {"l1", "l12"}, default="l1"
            Whether single weights become zero, or whole groups.
        dim : int, tuple of int or None, default=0
            Dimension along which the l2 norm of a group runs, for ``penalty="l12"``.
            In a weight of `torch.nn.Linear`, of shape (n_outputs, n_inputs), ``dim=0``
            removes inputs and ``dim=1`` outputs; ``dim=(1, 2, 3)`` removes the filters
            of a convolution. None makes a parameter one group.
    """,
    "raises": """
        Raises
        ------
        TypeError
            If an option has the wrong type, or a parameter does not hold real
            floating-point numbers.
        ValueError
            If an option is out of its range, or if `dim` does not fit a parameter that
            has an l1,2 penalty.
    """,
    "zeros": """
        Parameters without a gradient are left as they are. Count zeros after a step: no
        other is exact.
    """,
}


class _ProximalOptimizer(torch.optim.Optimizer):
    """Base class: a step on the loss, then the proximal step of the penalty."""

    def __init__(self, params, lr, l1, penalty, dim, weight_decay, **options):
        shared = {"lr": lr, "l1": l1, "penalty": penalty, "dim": dim}
        super().__init__(params, shared | options | {"weight_decay": weight_decay})

    def add_param_group(self, param_group):
        """Add parameters with options of their own.

        Parameters
        ----------
        param_group : dict
            The parameters, as ``"params"``, and the options in which the group
            differs from the defaults.
        """
        super().add_param_group(param_group)
        try:
            _check_options(self.param_groups[-1])
        except Exception:
            del self.param_groups[-1]
            raise

    def load_state_dict(self, state_dict):
        """Go on from the state of an optimizer of the same class.

        Parameters
        ----------
        state_dict : dict
            Result of `state_dict`.

        Raises
        ------
        ValueError
            If it is that of an optimizer of another class, or of parameters of other
            shapes. Then nothing is changed.
        """
        own = (W for group in self.param_groups for W in group["params"])
        for group in state_dict["param_groups"]:
            missing = [name for name in self.defaults if name not in group]
            if missing:
                raise ValueError(
                    f"state_dict must be that of a {type(self).__name__}, but a "
                    f"parameter group has no {', '.join(missing)}."
                )
            for place, W in zip(group["params"], own, strict=False):
                shapes = [(), tuple(W.shape)]
                if group["penalty"] == "l12":
                    shapes.append(tuple(shape_of_groups(W, group["dim"])))
                for name, value in state_dict["state"].get(place, {}).items():
                    shape = tuple(getattr(value, "shape", ()))
                    if shape not in shapes:
                        raise ValueError(
                            f"state_dict must be of the same parameters, but {name} of "
                            f"parameter {place} has shape {shape} for {tuple(W.shape)}."
                        )
        super().load_state_dict(state_dict)

    def step(self, closure=None):
        """Move the parameters that have a gradient.

        Parameters
        ----------
        closure : callable, default=None
            Computes the loss and its gradients anew, and returns the loss.

        Returns
        -------
        loss : torch.Tensor or None
            Result of `closure`.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        moving = [
            (W, group)
            for group in self.param_groups
            for W in group["params"]
            if W.grad is not None
        ]
        if any(W.grad.is_sparse for W, _ in moving):
            raise RuntimeError(
                f"{type(self).__name__} needs dense gradients, got a sparse one."
            )
        for group in self.param_groups:  # a schedule may have changed the penalty
            _check_dims_of_groups(group)
        with torch.no_grad():
            for W, group in moving:
                step_size = self._step_on_loss(W, group)
                if group["l1"] == 0.0 or group["lr"] == 0.0:
                    continue
                proximal_step_(
                    W, step_size * group["l1"], group["penalty"], group["dim"]
                )
        return loss


@shared_docs(**_DOCS)
class ProximalSGD(_ProximalOptimizer):
    r"""Stochastic gradient descent on a loss plus an l1 or l1,2 penalty.

    {problem}

    Each step ends with the proximity operator of the penalty, a soft threshold, which
    makes small weights, or groups of them, exactly zero. Without penalty and weight
    decay this is :class:`torch.optim.SGD`.

    Parameters
    ----------
    {options}
    momentum : float, default=0.0
        Momentum, less than 1.
    weight_decay : float, default=0.0
        Factor of the additional penalty :math:`\|W\|^2 / 2`, applied to the weights
        before the gradient.

    {raises}

    See Also
    --------
    ProximalAdam : Step sizes that differ from weight to weight.
    register_projection : Keeps weights in a ball instead of penalising their norm.

    Notes
    -----
    At a stationary point :math:`|\partial L / \partial w_i| = \text{l1}` where a weight
    is not zero and :math:`\le \text{l1}` where it is, whatever learning rate and
    momentum; with groups, the same holds for the norm of the gradient of a group.
    Therefore the threshold is that of the current learning rate, which a schedule may
    change, and it grows as the momentum does: up to
    :math:`\text{lr} \cdot \text{l1} / (1 - \text{momentum})`, because a constant
    gradient moves a weight by :math:`1 / (1 - \text{momentum})` as much as without
    momentum.

    {zeros}

    {l1_training_reference}

    Examples
    --------
    Of ten inputs, two matter:

    >>> import torch
    >>> from skproj.nn import ProximalSGD
    >>> generator = torch.Generator().manual_seed(0)
    >>> X = torch.randn(200, 10, generator=generator)
    >>> y = X[:, :1] - X[:, 1:2]
    >>> model = torch.nn.Linear(10, 1)
    >>> groups = [{"params": model.weight, "l1": 0.5}, {"params": model.bias}]
    >>> optimizer = ProximalSGD(groups, lr=0.1)
    >>> for _ in range(50):
    ...     optimizer.zero_grad()
    ...     torch.nn.functional.mse_loss(model(X), y).backward()
    ...     optimizer.step()
    >>> model.weight.detach()[0].nonzero().flatten()
    tensor([0, 1])
    """

    def __init__(
        self,
        params,
        lr=1e-3,
        *,
        l1=0.0,
        penalty="l1",
        dim=0,
        momentum=0.0,
        weight_decay=0.0,
    ):
        super().__init__(params, lr, l1, penalty, dim, weight_decay, momentum=momentum)

    def _step_on_loss(self, W, group):
        """Move a parameter by its gradient; return the step size.

        With momentum it is the sum of the shares of a gradient in the steps so far.
        """
        momentum, direction, share = group["momentum"], W.grad, 1.0
        if momentum > 0.0:
            state = self.state[W]
            if not state:
                state["momentum_buffer"] = torch.zeros_like(W)
                state["share_buffer"] = 0.0  # the momentum of a gradient of one
            share = state["share_buffer"] = momentum * state["share_buffer"] + 1.0
            direction = state["momentum_buffer"].mul_(momentum).add_(W.grad)
        step_size = group["lr"] * share
        if group["weight_decay"] > 0.0:
            W.mul_(1.0 - step_size * group["weight_decay"])
        W.add_(direction, alpha=-group["lr"])
        return step_size


@shared_docs(**_DOCS)
class ProximalAdam(_ProximalOptimizer):
    r"""Adam on a loss plus an l1 or l1,2 penalty.

    {problem}

    Each step ends with the proximity operator of the penalty in the metric of Adam,
    which makes small weights, or groups of them, exactly zero. Without penalty this is
    :class:`torch.optim.AdamW`. With ``penalty="l12"``, the weights of a group share
    their step size.

    Parameters
    ----------
    {options}
    betas : tuple of two floats, default=(0.9, 0.999)
        Decay of the averages of the gradient and of its square, less than 1.
    eps : float, default=1e-8
        Added to the root of the averaged square; positive.
    weight_decay : float, default=0.0
        Decoupled weight decay, applied to the weights before the gradient.

    {raises}

    See Also
    --------
    ProximalSGD : One step size for all weights.
    register_projection : Keeps weights in a ball instead of penalising their norm.

    Notes
    -----
    With :math:`d_i = \sqrt{\hat v_i} + \text{eps}`, the step of Adam divides the
    gradient of each weight by its own :math:`d_i`. The penalty has to be divided by the
    same number, or it would be another one: a step takes the weights `u` that Adam
    leads to, to

    .. math::

        \operatorname*{argmin}_W \sum_i \frac{d_i}{2 \, \text{lr}} (w_i - u_i)^2
        + \text{penalty}(W)

    For single weights that is a soft threshold at
    :math:`\text{lr} \cdot \text{l1} / d_i` [2]_. For groups it would have no formula;
    therefore :math:`\hat v` is averaged over the weights of a group, as in Adam-mini
    [3]_, and the norms of the groups have that threshold. At a stationary point without
    weight decay, :math:`|\partial L / \partial w_i| = \text{l1}` where a weight is not
    zero and :math:`\le \text{l1}` where it is; with groups, the same holds for the norm
    of the gradient of a group.

    A weight whose gradient is always zero, as that of an input that is always zero,
    becomes zero at once. So do most weights of a network that has been trained before,
    where all gradients are tiny. To go on from there, use an `eps` of a tenth to a
    third of the root mean square of the gradient at random weights: no threshold
    exceeds :math:`\text{lr} \cdot \text{l1} / \text{eps}`.

    {zeros}

    {l1_training_reference}
    .. [2] J. Yun, A. C. Lozano, E. Yang, "A general family of stochastic proximal
       gradient methods for deep learning", :arxiv:`2007.07484`.
    .. [3] Y. Zhang et al., "Adam-mini: use fewer learning rates to gain more",
       International Conference on Learning Representations, 2025,
       :arxiv:`2406.16793`.

    Examples
    --------
    Of ten inputs of a hidden layer one matters, and few of its 30 units are needed:

    >>> import torch
    >>> from skproj.nn import ProximalAdam
    >>> _ = torch.manual_seed(0)
    >>> X = torch.randn(500, 10)
    >>> y = X[:, :1].abs()
    >>> model = torch.nn.Sequential(
    ...     torch.nn.Linear(10, 30), torch.nn.ReLU(), torch.nn.Linear(30, 1)
    ... )
    >>> groups = [
    ...     {"params": model[0].weight, "l1": 0.02, "penalty": "l12"},
    ...     {"params": model[2].weight, "l1": 0.02},
    ...     {"params": [model[0].bias, model[2].bias]},
    ... ]
    >>> optimizer = ProximalAdam(groups, lr=0.01)
    >>> for _ in range(200):
    ...     optimizer.zero_grad()
    ...     torch.nn.functional.mse_loss(model(X), y).backward()
    ...     optimizer.step()
    >>> model[0].weight.any(dim=0).nonzero().flatten()
    tensor([0])
    >>> int(model[2].weight.count_nonzero()) < 20
    True
    """

    def __init__(
        self,
        params,
        lr=1e-3,
        *,
        l1=0.0,
        penalty="l1",
        dim=0,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0.0,
    ):
        own = {"betas": betas, "eps": eps}
        super().__init__(params, lr, l1, penalty, dim, weight_decay, **own)

    def _step_on_loss(self, W, group):
        """Move a parameter by its gradient; return the step sizes."""
        state = self.state[W]
        if not state:
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(W)
            state["exp_avg_sq"] = torch.zeros_like(W)
        if group["penalty"] == "l12" and group["l1"] > 0.0:
            shape = shape_of_groups(W, group["dim"])
            inside = [d for d, n in enumerate(shape) if n == 1]
            if list(state["exp_avg_sq"].shape) != shape:
                state["exp_avg_sq"] = state["exp_avg_sq"].mean(inside, keepdim=True)
        state["step"] += 1
        return adam_step_(
            W,
            W.grad,
            state["exp_avg"],
            state["exp_avg_sq"],
            state["step"],
            **{name: group[name] for name in ("lr", "betas", "eps", "weight_decay")},
        )


def _check_options(group):
    """Refuse options of a group that do not make sense, or do not fit it."""
    for name in ("lr", "weight_decay"):
        _check_number(group[name], name)
    if group["l1"] != math.inf:
        _check_number(group["l1"], "l1")
    check_choice("penalty", group["penalty"], PENALTIES)
    for W in group["params"]:
        if not W.is_floating_point():
            raise TypeError(
                f"params must hold real floating-point numbers, got {W.dtype}."
            )
    check_type_of_dims(group["dim"])
    _check_dims_of_groups(group)
    if "betas" in group:
        betas = group["betas"]
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise TypeError(f"betas must be two numbers, got {betas!r} instead.")
        for beta in betas:
            _check_number(beta, "betas", below=1.0)
        _check_number(group["eps"], "eps")
        if group["eps"] == 0.0:
            raise ValueError("eps must be positive, got 0 instead.")
    else:
        _check_number(group["momentum"], "momentum", below=1.0)


def _check_dims_of_groups(group):
    if group["penalty"] == "l12" and group["l1"] > 0.0:
        for W in group["params"]:
            check_dims(group["dim"], W.ndim)


def _check_number(value, name, below=math.inf):
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a real number, got {value!r} instead.")
    if not 0.0 <= value < below:
        limits = "finite" if below == math.inf else f"less than {below:g}"
        raise ValueError(
            f"{name} must be non-negative and {limits}, got {value!r} instead."
        )
