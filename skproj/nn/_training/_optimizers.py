"""Proximal Adam and SGD, without the bookkeeping of `torch.optim`.

That takes several times longer than the arithmetic of a small network.
"""

from dataclasses import dataclass, replace

import torch

from skproj.nn.optim._proximal import adam_step_, proximal_step_, shape_of_groups

DEFAULT_EPS = 1e-8


@dataclass(frozen=True)
class Penalty:
    """The l1 norm of the weights of each layer, or the sum of norms of its columns.

    There is a factor of the norm of each layer; infinity keeps a layer at zero. With
    `by_group` the columns of a matrix are groups: the weights of one unit or feature.
    """

    alphas: tuple
    by_group: bool = False

    def scaled(self, factor):
        """Return a part of this penalty."""
        return replace(self, alphas=tuple(factor * alpha for alpha in self.alphas))

    def violations(self, weights, gradients):
        """Measure how far the weights are from their conditions of optimality.

        For each weight or group of the layers it is the distance between minus the
        gradient and the subdifferential of the penalty.
        """
        return torch.cat(
            [
                self.violation(weight, gradient, alpha).ravel()
                for weight, gradient, alpha in zip(
                    weights, gradients, self.alphas, strict=True
                )
            ]
        )

    def violation(self, weight, gradient, alpha):
        """Return the violations of one layer with the weight `alpha`."""
        if not self.by_group:
            kept = (gradient + alpha * weight.sign()).abs()
            removed = (gradient.abs() - alpha).clamp(min=0)
            return torch.where(weight != 0, kept, removed)
        norms = torch.linalg.vector_norm(weight, dim=0)
        directions = weight / torch.where(norms > 0, norms, 1.0)
        kept = torch.linalg.vector_norm(gradient + alpha * directions, dim=0)
        removed = (torch.linalg.vector_norm(gradient, dim=0) - alpha).clamp(min=0)
        return torch.where(norms > 0, kept, removed)

    def proximal_step_(self, parameters, step_size):
        """Take the proximal step of all layers.

        The matrices among the parameters are penalised, in their order; `step_size`
        returns that of a parameter, a float or tensor.
        """
        norm = "l12" if self.by_group else "l1"
        weights = (parameter for parameter in parameters if parameter.ndim == 2)
        for weight, alpha in zip(weights, self.alphas, strict=True):
            if alpha > 0:
                proximal_step_(weight, step_size(weight) * alpha, norm)


class _Solver:
    """Base class: parameters, and settings that may change from step to step.

    Each step ends with the proximal step of the penalty. `eps` is added to the root of
    the second moment of Adam. The attribute named by `memory` is what steps leave for
    later ones.
    """

    def __init__(
        self, parameters, learning_rate, weight_decay, penalty=None, eps=DEFAULT_EPS
    ):
        self.parameters = list(parameters)
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.penalty = penalty
        self.eps = eps

    def zero_grad(self):
        """Take the gradients away."""
        for parameter in self.parameters:
            parameter.grad = None


class Adam(_Solver):
    """Adam with decoupled weight decay; proximal steps are in the metric of the step.

    References
    ----------
    I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019,
    arXiv:1711.05101.
    """

    default_learning_rate = 0.004
    memory = "_moments"
    betas = 0.9, 0.999

    def __init__(self, *settings, **options):
        super().__init__(*settings, **options)
        self._moments = [None] * len(self.parameters)
        self._plan = None

    def step(self):
        """Move the parameters that have a gradient."""
        parameters = self.parameters
        moving = [i for i, p in enumerate(parameters) if p.grad is not None]
        plan = moving, self._by_group
        if plan != self._plan:
            self._begin(moving)
            self._plan = plan
        for step in self._steps:
            step += 1.0
        if self._alone:
            alone = [parameters[i] for i in self._alone]
            gradients = [parameter.grad for parameter in alone]
            self._step_alone(alone, gradients, *self._moments_alone)
        if self.penalty is None:
            return
        sizes = {}
        for i in moving:
            parameter, (mean, mean_square, step) = parameters[i], self._moments[i]
            if self._has_groups(parameter):
                sizes[parameter] = adam_step_(
                    parameter,
                    parameter.grad,
                    mean,
                    mean_square,
                    float(step),
                    lr=self.learning_rate,
                    betas=self.betas,
                    eps=self.eps,
                    weight_decay=self.weight_decay,
                )
            elif parameter.ndim == 2:
                sizes[parameter] = self._step_size(mean_square, step)
        self.penalty.proximal_step_([parameters[i] for i in moving], sizes.get)

    def _begin(self, moving):
        """Give moments to parameters that have none; take those of the moving ones."""
        n_steps = None  # one counter for all that start together
        for i in moving:
            if self._moments[i] is None:
                parameter = self.parameters[i]
                if n_steps is None:
                    n_steps = parameter.new_zeros((), dtype=torch.float32)
                shape = parameter.shape
                if self._has_groups(parameter):
                    shape = shape_of_groups(parameter, 0)
                zeros = torch.zeros_like(parameter), parameter.new_zeros(shape)
                self._moments[i] = (*zeros, n_steps)
        self._steps = list({id(step): step for *_, step in self._of(moving)}.values())
        self._alone = [i for i in moving if not self._has_groups(self.parameters[i])]
        self._moments_alone = list(map(list, zip(*self._of(self._alone), strict=True)))

    def _of(self, indices):
        return [self._moments[i] for i in indices]

    def _has_groups(self, parameter):
        """Whether the weights in a column share their step size."""
        return self._by_group and parameter.ndim == 2

    @property
    def _by_group(self):
        return self.penalty is not None and self.penalty.by_group

    def _step_alone(self, moving, gradients, means, mean_squares, steps):
        """Move parameters each of whose entries has a step size of its own."""
        tensors = [moving, gradients, means, mean_squares]
        is_in_order = [parameter.is_contiguous() for parameter in moving]
        if not all(is_in_order):
            # The kernel would copy a matrix with its columns one after the other, but
            # not its transpose.
            tensors = [
                [t if keep else t.mT for t, keep in zip(row, is_in_order, strict=True)]
                for row in tensors
            ]
        # `torch.optim.adamw.adamw` takes twice as long around the same kernel.
        torch._fused_adamw_(
            *tensors,
            [],
            steps,
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=self.learning_rate,
            weight_decay=self.weight_decay,
            eps=self.eps,
            maximize=False,
        )

    def _step_size(self, second_moment, step):
        correction = 1.0 - self.betas[1] ** step
        scale = (second_moment / correction).sqrt_().add_(self.eps)
        return self.learning_rate / scale


class SGD(_Solver):
    """Gradient descent with momentum.

    The momentum is a mean of gradients, so that it changes neither the length of the
    steps nor the weights that a penalty holds at zero.
    """

    default_learning_rate = 0.1
    memory = "_means"
    momentum = 0.9

    def __init__(self, *settings, **options):
        super().__init__(*settings, **options)
        self._means = None

    def step(self):
        """Move the parameters, which all have a gradient."""
        gradients = [parameter.grad for parameter in self.parameters]
        if self._means is None:
            self._means = [gradient.clone() for gradient in gradients]
        else:
            torch._foreach_lerp_(self._means, gradients, 1.0 - self.momentum)
        if self.weight_decay:
            keep = 1.0 - self.learning_rate * self.weight_decay
            torch._foreach_mul_(self.parameters, keep)
        torch._foreach_add_(self.parameters, self._means, alpha=-self.learning_rate)
        if self.penalty is not None:
            self.penalty.proximal_step_(self.parameters, lambda _: self.learning_rate)


SOLVERS = {"adam": Adam, "sgd": SGD}
