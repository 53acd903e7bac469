"""Projection to a sparsity while training."""

import numbers

import torch

from skproj.nn.optim._projected import StepHandle, check_held, check_optimizer
from skproj.nn.prune._docs import DOCS
from skproj.nn.prune._weight_groups import (
    GROUPINGS,
    TARGETS,
    as_array,
    check_parameters,
    effective_weight,
    group_by_parameter,
    project_jointly,
    pruned_or_plain,
)
from skproj.projection._hoyer import check_sparsity
from skproj.utils._choices import check_choice
from skproj.utils._docs import shared_docs

# Share of the way from `initial` to `final` at the share t of the time.
SHAPES = {
    "linear": lambda t: t,
    "cubic": lambda t: 1.0 - (1.0 - t) ** 3,
}


@shared_docs()
def sparsity_schedule(final, n_steps, *, initial=0.0, begin=0, shape="cubic"):
    r"""Make a function of the number of steps that grows to a sparsity.

    .. math::

        s(k) = s_0 + (s_1 - s_0) \, \phi\Big(\frac{k - k_0}{n}\Big), \qquad
        \phi(t) = t \ \text{or} \ 1 - (1 - t)^3

    Parameters
    ----------
    final : float
        Sparsity in the end, between 0 and 1.
    n_steps : int
        How many steps it takes from `initial` to `final`.
    initial : float, default=0.0
        Sparsity after `begin` steps, between 0 and 1.
    begin : int, default=0
        Up to this number of steps the sparsity is 0: nothing is projected.
    shape : {"cubic", "linear"}, default="cubic"
        ``"cubic"`` is fast at first and slow in the end [1]_.

    Returns
    -------
    schedule : callable
        ``schedule(step)``, for `induced_pruning`.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If an argument is out of range.

    See Also
    --------
    induced_pruning : Takes such a function.

    {gradual_reference}

    Examples
    --------
    >>> from skproj.nn.prune import sparsity_schedule
    >>> schedule = sparsity_schedule(0.8, 100, begin=50, shape="linear")
    >>> [schedule(step) for step in (50, 100, 150, 1000)]
    [0.0, 0.4, 0.8, 0.8]
    """
    final, initial = check_sparsity(final), check_sparsity(initial)
    for name, value, least in (("n_steps", n_steps, 1), ("begin", begin, 0)):
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            raise TypeError(f"{name} must be an integer, got {value!r} instead.")
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value!r} instead.")
    check_choice("shape", shape, SHAPES)

    def schedule(step):
        if step < begin:
            return 0.0
        share = SHAPES[shape](min((step - begin) / n_steps, 1.0))
        return initial + (final - initial) * share

    return schedule


class _JointHandle(StepHandle):
    """Handle of `induced_pruning`."""

    def __init__(self, optimizer, parameters, sparsity, every, **options):
        self._parameters = parameters
        self._sparsity = sparsity
        self._options = options
        super().__init__(optimizer, every)

    @torch.no_grad()
    def _project(self, step):
        sparsity = self._sparsity
        if callable(sparsity):
            sparsity = check_sparsity(sparsity(step))
        weights = [
            (module, as_array(effective_weight(module, name)))
            for module, name in self._parameters
        ]
        # All of them before the first is changed: there may be an error.
        projected = list(project_jointly(weights, sparsity, **self._options))
        for (module, name), P in zip(self._parameters, projected, strict=True):
            pruned_or_plain(module, name).copy_(torch.from_numpy(P))


@shared_docs(**DOCS)
def induced_pruning(
    optimizer,
    parameters,
    sparsity,
    *,
    grouping="layer/filters",
    target="hoyer",
    normalize=False,
    every=1,
):
    r"""Project the weights of a network to a sparsity while it is trained.

    After every so many steps of the optimizer, the weights are replaced by their group
    sparse projection [1]_. They are not masked: a weight that is zero can come back,
    and what is left has shrunk. :ref:`pruning-benchmark` compares networks that are
    trained like this, as "Hoyer", with others.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Its `step` is followed by the projection.
    parameters : iterable of pair (torch.nn.Module, str)
        Layers and the names of their weights, which `optimizer` holds;
        `prunable_parameters` lists those of a model.
    sparsity : float or callable
        Between 0 and 1, or a function of the number of steps done so far, from 1, that
        returns it; `sparsity_schedule` makes one.
    grouping : str, default="layer/filters"
        Which vectors form a group, as in `global_hoyer`.
    {joint_target}
    {normalize}
    every : int, default=1
        Project after every so many steps; ``len(loader)`` of them are an epoch.

    Returns
    -------
    handle : object
        With ``remove()``, which ends the projections; at the end of a ``with handle:``
        block that happens by itself. It counts the steps in ``n_steps``, and has
        ``state_dict()`` and ``load_state_dict()`` for that number.

    {raises}
        If `optimizer` does not hold a weight, if there is no such weight, or if
        `sparsity`, `grouping`, `target` or `every` is out of range. Then nothing is
        registered.

    See Also
    --------
    single_shot : Prunes in the end.
    skproj.nn.register_projection : The same with balls.

    Notes
    -----
    State of the optimizer, such as momentum, is not projected, and Adam moves weights
    of zero by about the learning rate. With many steps between projections, weights
    that do not matter have time to return: prune and mask in the end.

    {group_sparse_reference}

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from skproj.nn import prune
    >>> _ = torch.manual_seed(0)
    >>> X = torch.randn(200, 10)
    >>> y = X[:, :1] - X[:, 1:2]
    >>> model = nn.Linear(10, 1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> schedule = prune.sparsity_schedule(0.8, 30)
    >>> with prune.induced_pruning(
    ...     optimizer, [(model, "weight")], schedule, target="zeros"
    ... ):
    ...     for _ in range(50):
    ...         optimizer.zero_grad()
    ...         nn.functional.mse_loss(model(X), y).backward()
    ...         optimizer.step()
    >>> model.weight.detach().any(dim=0).nonzero().flatten()
    tensor([0, 1])
    """
    check_optimizer(optimizer, every)
    places = group_by_parameter(check_parameters(parameters))
    parameters = [first for first, *_ in places]
    check_held(optimizer, [pruned_or_plain(*pair) for pair in parameters], "parameters")
    if not callable(sparsity):
        sparsity = check_sparsity(sparsity)
    check_choice("grouping", grouping, GROUPINGS)
    check_choice("target", target, TARGETS)
    return _JointHandle(
        optimizer,
        parameters,
        sparsity,
        every,
        grouping=grouping,
        target=target,
        normalize=normalize,
    )
