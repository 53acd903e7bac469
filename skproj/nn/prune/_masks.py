"""Pruning methods by projections, as in `torch.nn.utils.prune`."""

import numbers

import torch
from torch.nn.utils import prune

from skproj.nn.functional._balls import BY_BALL
from skproj.nn.functional._checks import (
    check_dims,
    check_float_radius,
    check_type_of_dims,
)
from skproj.nn.prune._docs import DOCS
from skproj.nn.prune._weight_groups import (
    TARGETS,
    as_array,
    check_weight,
    is_masked,
    masked_product,
    project_jointly,
    pruned_or_plain,
)
from skproj.projection import BALLS
from skproj.projection._hoyer import check_sparsity
from skproj.utils._choices import check_choice
from skproj.utils._docs import shared_docs

GROUPED = tuple(name for name, ball in BALLS.items() if ball.grouped)


class _EffectiveWeight(torch.Tensor):
    """Product of mask and original, which autograd has made, and that can be copied.

    Modules hold it between two forward passes, and PyTorch refuses to copy such a
    tensor. A copy has no gradient, and the next forward pass replaces it.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl

    def __deepcopy__(self, memo):
        return self.detach().clone()


class _CopyablePruning(prune.BasePruningMethod):
    """Pruning method whose modules can be copied, with a mask of bool.

    It is always in a container of ours, to which PyTorch adds further methods.
    """

    def apply_mask(self, module):
        weight = masked_product(module, self._tensor_name)
        if type(weight) is not torch.Tensor:  # when `torch.export` traces
            return weight
        return weight.as_subclass(_EffectiveWeight)

    @classmethod
    def apply(cls, module, name, *args, importance_scores=None, **kwargs):
        # That of PyTorch makes a mask of ones before it computes one, and changes the
        # module before it knows that the new method works.
        original = pruned_or_plain(module, name)
        scores = original if importance_scores is None else importance_scores
        if scores.shape != original.shape:
            raise ValueError(
                f"importance_scores must have the shape {tuple(original.shape)}, "
                f"got {tuple(scores.shape)}."
            )
        method = cls(*args, **kwargs)
        method._tensor_name = name
        hooks = {
            key: hook
            for key, hook in module._forward_pre_hooks.items()
            if isinstance(hook, prune.BasePruningMethod) and hook._tensor_name == name
        }
        container = _CopyableContainer()
        container._tensor_name = name
        for hook in (*hooks.values(), method):
            parts = hook if isinstance(hook, prune.PruningContainer) else [hook]
            for part in parts:
                container.add_pruning_method(part)
        if is_masked(module, name):
            mask = container.compute_mask(scores, getattr(module, f"{name}_mask"))
        else:
            everything = torch.ones((), dtype=torch.bool, device=original.device)
            mask = method.compute_mask(scores, everything.expand_as(original))
            del module._parameters[name]
            module.register_parameter(f"{name}_orig", original)
        module.register_buffer(f"{name}_mask", mask)
        for key in hooks:
            module._forward_pre_hooks[key] = container
        if not hooks:
            module.register_forward_pre_hook(container)
        setattr(module, name, container.apply_mask(module))
        return container


class _CopyableContainer(_CopyablePruning, prune.PruningContainer):
    """Container of methods, those of PyTorch among them."""

    def compute_mask(self, t, default_mask):
        # Masks of PyTorch can have other numbers than zero and one.
        mask = super().compute_mask(t, default_mask.to(t.dtype, copy=True))
        kept = mask != 0
        return kept if torch.equal(kept.to(mask.dtype), mask) else mask


def _check_scores(t):
    """Refuse what has no filters, or no order."""
    if t.ndim < 2:
        raise ValueError(
            f"t must have at least 2 dimensions, got shape {tuple(t.shape)}."
        )
    if t.is_complex():
        raise TypeError(f"t must hold real numbers, got {t.dtype} instead.")


class _GivenMask(_CopyablePruning):
    """Prune by a mask that was computed together with those of other layers."""

    PRUNING_TYPE = "global"

    def compute_mask(self, t, default_mask):
        """Take the scores for the mask, without what is hidden already.

        Modules that share a weight can have hidden different parts of it.
        """
        return (default_mask * t).to(default_mask.dtype)


@shared_docs(**DOCS)
class HoyerUnstructured(_CopyablePruning):
    """Pruning method that brings the filters of a weight to a Hoyer sparsity.

    `hoyer_unstructured` applies it. As a class it can be put into a
    `torch.nn.utils.prune.PruningContainer`.

    Parameters
    ----------
    sparsity : float
        Between 0, which leaves all weights, and 1, which leaves one in a filter.
    {target}

    See Also
    --------
    hoyer_unstructured : Prunes a weight with it.

    {group_sparse_reference}

    Examples
    --------
    >>> import torch
    >>> from skproj.nn.prune import HoyerUnstructured
    >>> W = torch.tensor([[4.0, 1.0, -3.0, 0.5], [0.1, 2.0, 0.3, 0.2]])
    >>> HoyerUnstructured(0.85).prune(W)
    tensor([[ 4.,  0., -3.,  0.],
            [ 0.,  2.,  0.,  0.]])
    """

    PRUNING_TYPE = "global"

    def __init__(self, sparsity, target="hoyer"):
        self.sparsity = check_sparsity(sparsity)
        check_choice("target", target, TARGETS)
        self.target = target

    @shared_docs(**DOCS)
    def compute_mask(self, t, default_mask):
        """Compute the mask of a weight.

        {mask}
            Where the projection of `t` is not zero.
        """
        _check_scores(t)
        weights = [(None, as_array(t * default_mask.to(t.dtype)))]
        (P,) = project_jointly(
            weights, self.sparsity, "layer/filters", self.target, normalize=False
        )
        return default_mask * torch.from_numpy(P != 0).to(default_mask)


@shared_docs(**DOCS)
class ProjectionStructured(_CopyablePruning):
    """Pruning method that removes the slices that a projection makes zero.

    `projection_structured` applies it. As a class it can be put into a
    `torch.nn.utils.prune.PruningContainer`.

    Parameters
    ----------
    radius : float
        Radius of the ball: smaller is sparser.
    {projection}
    dim : int, default=0
        Dimension whose slices are kept or removed: 0 for outputs, 1 for inputs.

    See Also
    --------
    projection_structured : Prunes a weight with it.

    {bilevel_reference}

    Examples
    --------
    >>> import torch
    >>> from skproj.nn.prune import ProjectionStructured
    >>> W = torch.tensor([[3.0, 1.0, 0.5], [-1.0, 1.0, 0.0]])
    >>> ProjectionStructured(2.0, "bilevel_l1inf", dim=1).prune(W)
    tensor([[ 3.,  0.,  0.],
            [-1., 0.,  0.]])
    """

    PRUNING_TYPE = "structured"

    def __init__(self, radius, projection="l1inf", dim=0):
        self.radius = check_float_radius(radius)
        check_choice("projection", projection, GROUPED)
        self.projection = projection
        check_type_of_dims(dim)
        if not isinstance(dim, numbers.Integral):
            raise TypeError(f"dim must be an integer, got {dim!r} instead.")
        self.dim = int(dim)

    @shared_docs(**DOCS)
    def compute_mask(self, t, default_mask):
        """Compute the mask of a weight.

        {mask}
            One in the slices whose projection is not zero.
        """
        _check_scores(t)
        (dim,) = check_dims(self.dim, t.ndim)
        inside = [d for d in range(t.ndim) if d != dim]
        project, _ = BY_BALL[self.projection]
        P = project((t * default_mask.to(t.dtype)).detach(), self.radius, dim=inside)
        kept = P.ne(0).sum(dim=inside, keepdim=True) > 0
        return default_mask * kept.to(default_mask)


@shared_docs(**DOCS)
def hoyer_unstructured(module, name, sparsity, *, target="hoyer"):
    r"""Prune the weights of a layer to a Hoyer sparsity of its filters.

    The weights that the group sparse projection [1]_ makes zero are masked:

    .. math::

        \frac{1}{r} \sum_{i=1}^r
        \frac{\sqrt{n} - \|w_i\|_1 / \|w_i\|_2}{\sqrt{n} - 1} \ge \text{sparsity}

    where :math:`w_i` are the r filters of n weights each, as projected. The others keep
    their values.

    Parameters
    ----------
    module : torch.nn.Module
        Layer with the weight, which is changed in place.
    name : str
        Name of the weight, usually ``"weight"``; at least 2 dimensions, the first of
        which counts the filters (outputs).
    sparsity : float
        Between 0, which prunes nothing, and 1, which leaves one weight in a filter.
    {target}

    {same_module}
        If `sparsity` or `target` is out of range, if there is no such weight, or if it
        contains NaN or infinity. Then nothing is changed.

    See Also
    --------
    global_hoyer : Several layers at a time.
    torch.nn.utils.prune.remove : Makes the zeros permanent.

    Notes
    -----
    **A Hoyer sparsity is not a fraction of zeros**: 0.9 prunes 98 % of weights with a
    normal distribution. ``target="zeros"`` takes the fraction instead. The projection
    also shrinks the weights that stay, which a mask does not: the Hoyer sparsity of the
    pruned weights is below that of their projection.

    All filters of a layer have the same threshold: the mask is that of the largest
    weights of the layer, except that each filter keeps its largest one.

    Weights that were pruned before stay pruned. As with PyTorch's own methods, `name`
    becomes the product of ``<name>_orig``, which is trained, and ``<name>_mask``,
    computed before every forward pass; pruned weights are therefore zero whatever an
    optimizer does to the original. Unlike with them, the module can be copied by
    `copy.deepcopy` at any time.

    {group_sparse_reference}

    Examples
    --------
    >>> import torch
    >>> from skproj.nn import prune
    >>> _ = torch.manual_seed(0)
    >>> layer = prune.hoyer_unstructured(torch.nn.Linear(100, 50), "weight", 0.7)
    >>> torch.nn.utils.prune.is_pruned(layer)
    True
    >>> print(prune.sparsity_report(layer))
    layer          shape  parameters  zeros  fraction  Hoyer  dead outputs  dead inputs
    (model)     50 x 100        5000   4069     0.814  0.635             0            0
    all layers                  5000   4069     0.814                    0            0
    """
    check_weight(module, name)
    HoyerUnstructured.apply(module, name, sparsity, target)
    return module


@shared_docs(**DOCS)
def projection_structured(module, name, radius, projection="l1inf", dim=0):
    r"""Prune the slices of a weight that a projection onto a ball makes zero.

    Whole outputs (``dim=0``) or inputs (``dim=1``) go, and `shrink` can remove them.
    The others keep their values.

    Parameters
    ----------
    module : torch.nn.Module
        Layer with the weight, which is changed in place.
    name : str
        Name of the weight, usually ``"weight"``.
    radius : float
        Radius of the ball: smaller is sparser.
        `skproj.projection.radius_for_sparsity` finds the one that leaves a number of
        slices; its `axis` are all dimensions but `dim`.
    {projection}
    dim : int, default=0
        Dimension whose slices are kept or removed, as in
        `torch.nn.utils.prune.ln_structured`. The groups of the ball run along all the
        others.

    {same_module}
        If `radius` is negative or NaN, if `projection` has no groups, if `dim` does not
        fit, if there is no such weight, or if it contains NaN or infinity. Then nothing
        is changed.

    See Also
    --------
    shrink : Makes the network smaller.
    skproj.nn.register_projection : Projects while training.

    Notes
    -----
    Weights that were pruned before stay pruned. `hoyer_unstructured` says how the mask
    works.

    {bilevel_reference}

    Examples
    --------
    Keep 8 of 32 filters:

    >>> import torch
    >>> from skproj.nn import prune
    >>> from skproj.projection import radius_for_sparsity
    >>> _ = torch.manual_seed(0)
    >>> layer = torch.nn.Conv2d(3, 32, 3)
    >>> W = layer.weight.detach().numpy()
    >>> radius = radius_for_sparsity(W, n_groups=8, ball="l12", axis=(1, 2, 3))
    >>> _ = prune.projection_structured(layer, "weight", radius, "l12")
    >>> int(layer.weight.any(dim=3).any(dim=2).any(dim=1).sum())
    8
    """
    check_weight(module, name)
    check_dims(dim, pruned_or_plain(module, name).ndim)
    ProjectionStructured.apply(module, name, radius, projection, dim)
    return module
