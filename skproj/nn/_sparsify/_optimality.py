"""Conditions of optimality of a network with an l1 penalty."""

from typing import NamedTuple

import torch

from skproj.nn._sparsify._blocks import split_network
from skproj.nn._sparsify._loop import to_device
from skproj.nn._sparsify._run import DOCS, check_step
from skproj.nn._training._optimizers import Penalty
from skproj.nn.prune._weight_groups import pruned_or_plain
from skproj.utils._docs import shared_docs


class L1Violation(NamedTuple):
    """Violations of the conditions of optimality in a layer."""

    largest: float
    mean: float
    l1: float


@shared_docs(**DOCS)
def check_l1_optimality(module, loss, loader, *, l1, layers=None, step=None):
    r"""Measure how far a network is from a stationary point of an l1 penalised loss.

    At a stationary point of

    .. math::

        L(W) + \text{l1} \sum_i |w_i|

    each weight has a gradient :math:`g_i = -\text{l1} \operatorname{sign}(w_i)` if it
    is not zero, and :math:`|g_i| \le \text{l1}` if it is [1]_. The violation is
    :math:`|g_i + \text{l1} \operatorname{sign}(w_i)|` or
    :math:`\max(|g_i| - \text{l1}, 0)`.

    Parameters
    ----------
    module : torch.nn.Module
        Any network. It is evaluated in the mode that it is in: call ``module.eval()``
        before if it has dropout or batch normalisation.
    {data}
    l1 : float or dict of str to float
        The l1 weight, or one for each of some layers or parts of the network, by their
        names as in `module.named_modules`; ``SparsifyReport.l1`` is one.
    layers : iterable of str, default=None
        Names of layers or parts of the network to which a single `l1` applies. None
        takes all that `skproj.nn.prune.sparsity_report` lists.
    {step}

    Returns
    -------
    violations : dict of str to named tuple
        With `largest` and `mean`, the largest and mean violation of the weights of each
        layer, and its `l1`. Values that are small compared with `l1` are near a
        stationary point. The keys are the names of the parameters.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If `l1` is negative, or a named layer has no weights to prune.

    See Also
    --------
    sparsify : Trains to a share of zeros, with ``method="l1"`` by such a penalty.
    ProximalAdam : An optimizer for the penalty.

    Notes
    -----
    The loss is the mean over all samples of the loader, in batches weighted by the
    number of their samples. The training without penalty with which `sparsify` ends
    leaves the stationary point of the penalised loss.

    {l1_training_reference}

    Examples
    --------
    >>> import torch
    >>> from skproj.nn import ProximalSGD, check_l1_optimality
    >>> _ = torch.manual_seed(0)
    >>> X = torch.randn(200, 10)
    >>> y = X[:, :1] - X[:, 1:2]
    >>> model = torch.nn.Linear(10, 1, bias=False)
    >>> optimizer = ProximalSGD(model.parameters(), lr=0.1, l1=0.5)
    >>> loss = torch.nn.functional.mse_loss
    >>> for _ in range(200):
    ...     optimizer.zero_grad()
    ...     loss(model(X), y).backward()
    ...     optimizer.step()
    >>> violations = check_l1_optimality(model, loss, [(X, y)], l1=0.5)
    >>> violations["weight"].largest < 1e-5
    True
    """
    parts = split_network(module, l1, layers, "l1")
    step = check_step(loss, step, loader)
    weights = [pruned_or_plain(*pair) for _, _, pairs in parts for pair in pairs]
    amounts = [amount for _, amount, pairs in parts for _ in pairs]
    gradients = _mean_gradients(module, weights, step, loader)
    names = {id(W): name for name, W in module.named_parameters()}
    penalty = Penalty(tuple(amounts))
    violations = {}
    for W, gradient, amount in zip(weights, gradients, amounts, strict=True):
        values = penalty.violation(W.detach(), gradient, amount)
        violations[names[id(W)]] = L1Violation(
            float(values.max()), float(values.mean()), amount
        )
    return violations


def _mean_gradients(module, weights, step, loader):
    """Return the gradients of the mean loss of all samples."""
    sums = [torch.zeros_like(W) for W in weights]
    total = 0
    for batch in loader:
        size = _n_samples(batch)
        total += size
        loss = step(module, to_device(batch, weights[0].device))
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        for one, gradient in zip(sums, gradients, strict=True):
            if gradient is not None:
                one.add_(gradient, alpha=size)
    return [one / total for one in sums]


def _n_samples(batch):
    """Return the length of the first tensor of a batch, or 1."""
    if isinstance(batch, torch.Tensor):
        return len(batch) if batch.ndim else 1
    if isinstance(batch, dict):
        batch = list(batch.values())
    if isinstance(batch, list | tuple) and batch:
        return _n_samples(batch[0])
    return 1
