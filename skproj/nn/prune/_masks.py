"""Pruning by projections, in the vocabulary of `torch.nn.utils.prune`."""

import warnings
from collections.abc import Iterable

import numpy as np
import torch
from torch import nn
from torch.nn.utils import prune

from skproj.nn.functional._balls import BY_BALL
from skproj.nn.functional._checks import (
    check_dims,
    check_float_radius,
    check_type_of_dims,
)
from skproj.nn.prune._weight_groups import (
    GROUPINGS,
    LAYERS,
    TARGETS,
    as_array,
    check_choice,
    check_parameters,
    check_weight,
    effective_weight,
    project_jointly,
    pruned_or_plain,
)
from skproj.projection import BALLS
from skproj.projection._hoyer import check_sparsity

GROUPED = tuple(name for name, ball in BALLS.items() if ball.grouped)

# A layer that keeps less is worth a warning.
SMALLEST_SHARE = 0.01


class _EffectiveWeight(torch.Tensor):
    """Product of mask and original, which autograd has made, and that can be copied.

    Modules hold it between two forward passes, and PyTorch refuses to copy such a
    tensor. A copy has no gradient, and the next forward pass replaces it.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl

    def __deepcopy__(self, memo):
        return self.detach().clone()


class _CopyablePruning(prune.BasePruningMethod):
    """Pruning method whose modules can be copied, and that fails without a trace."""

    def apply_mask(self, module):
        weight = super().apply_mask(module)
        if type(weight) is not torch.Tensor:  # when `torch.export` traces
            return weight
        return weight.as_subclass(_EffectiveWeight)

    @classmethod
    def apply(cls, module, name, *args, importance_scores=None, **kwargs):
        # PyTorch drops the old method, and moves the parameter, before it knows that
        # the new method works.
        hooks, parameters = dict(module._forward_pre_hooks), dict(module._parameters)
        try:
            method = super().apply(
                module, name, *args, importance_scores=importance_scores, **kwargs
            )
        except Exception:
            for current, before in (
                (module._forward_pre_hooks, hooks),
                (module._parameters, parameters),
            ):
                current.clear()
                current.update(before)
            raise
        return _make_copyable(module, method)


class _CopyableContainer(_CopyablePruning, prune.PruningContainer):
    """What PyTorch adds further methods to, instead of making one of its own."""


def _make_copyable(module, method):
    """Put a method into a container that can be copied, in the place of its hook."""
    if isinstance(method, _CopyableContainer):
        return method
    is_container = isinstance(method, prune.PruningContainer)
    first, *others = method if is_container else [method]
    container = _CopyableContainer(first)
    for other in others:
        container.add_pruning_method(other)
    for key, hook in module._forward_pre_hooks.items():
        if hook is method:
            module._forward_pre_hooks[key] = container
    setattr(module, method._tensor_name, container.apply_mask(module))
    return container


class _GivenMask(_CopyablePruning):
    """Prune by a mask that was computed together with those of other layers."""

    PRUNING_TYPE = "global"

    def compute_mask(self, t, default_mask):
        """Take the scores for the mask."""
        return default_mask * t


class HoyerUnstructured(_CopyablePruning):
    """Pruning method that brings the filters of a weight to a Hoyer sparsity.

    `hoyer_unstructured` applies it. As a class it can be put into a
    `torch.nn.utils.prune.PruningContainer`.

    Parameters
    ----------
    sparsity : float
        Between 0, which leaves all weights, and 1, which leaves one in a filter.
    target : {"hoyer", "zeros"}, default="hoyer"
        Whether `sparsity` is the average Hoyer sparsity of the filters, or the
        fraction of weights that are zero.

    See Also
    --------
    hoyer_unstructured : Prunes a weight with it.

    References
    ----------
    .. [1] R. Ohib, N. Gillis, N. Dalmasso, S. Shah, V. Potluru, S. Plis, "Explicit
       group sparse projection with applications to deep learning and NMF",
       :arxiv:`1912.03896`.

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
        check_choice(target, TARGETS, "target")
        self.target = target

    def compute_mask(self, t, default_mask):
        """Compute the mask of a weight.

        Parameters
        ----------
        t : torch.Tensor
            The weight, or scores of its entries.
        default_mask : torch.Tensor of the shape of `t`
            What has been pruned already.

        Returns
        -------
        mask : torch.Tensor of the shape of `t`
            Where the projection of `t` is not zero.
        """
        weights = [(None, as_array(t * default_mask.to(t.dtype)))]
        (P,) = project_jointly(
            weights, self.sparsity, "layer/filters", self.target, normalize=False
        )
        return default_mask * torch.from_numpy(P != 0).to(default_mask)


class ProjectionStructured(_CopyablePruning):
    """Pruning method that removes the slices that a projection makes zero.

    `projection_structured` applies it. As a class it can be put into a
    `torch.nn.utils.prune.PruningContainer`.

    Parameters
    ----------
    radius : float
        Radius of the ball: smaller is sparser.
    projection : str, default="l1inf"
        A key of `skproj.projection.BALLS` whose ball has groups.
    dim : int, default=0
        Dimension whose slices are kept or removed: 0 for outputs, 1 for inputs.

    See Also
    --------
    projection_structured : Prunes a weight with it.

    References
    ----------
    .. [1] M. Barlaud, G. Perez, J.-P. Marmorat, "A new linear time bi-level l1,inf
       projection; application to the sparsification of auto-encoders neural
       networks", :arxiv:`2407.16293`.

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
        check_choice(projection, GROUPED, "projection")
        self.projection = projection
        check_type_of_dims(dim)
        if not isinstance(dim, int):
            raise TypeError(f"dim must be an integer, got {dim!r} instead.")
        self.dim = dim

    def compute_mask(self, t, default_mask):
        """Compute the mask of a weight.

        Parameters
        ----------
        t : torch.Tensor
            The weight, or scores of its entries.
        default_mask : torch.Tensor of the shape of `t`
            What has been pruned already.

        Returns
        -------
        mask : torch.Tensor of the shape of `t`
            One in the slices whose projection is not zero.
        """
        (dim,) = check_dims(self.dim, t.ndim)
        inside = [d for d in range(t.ndim) if d != dim]
        project, _ = BY_BALL[self.projection]
        P = project((t * default_mask.to(t.dtype)).detach(), self.radius, dim=inside)
        kept = P.ne(0).sum(dim=inside, keepdim=True) > 0
        return default_mask * kept.to(default_mask)


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
    target : {"hoyer", "zeros"}, default="hoyer"
        Whether `sparsity` is the average Hoyer sparsity of the filters, or the fraction
        of weights that are zero.

    Returns
    -------
    module : torch.nn.Module
        The same module.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
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

    What was pruned before stays pruned. As with PyTorch's own methods, `name` becomes
    the product of ``<name>_orig``, which is trained, and ``<name>_mask``, computed
    before every forward pass; pruned weights are therefore zero whatever an optimizer
    does to the original. Unlike with them, the module can be copied by `copy.deepcopy`
    at any time.

    References
    ----------
    .. [1] R. Ohib, N. Gillis, N. Dalmasso, S. Shah, V. Potluru, S. Plis, "Explicit
       group sparse projection with applications to deep learning and NMF",
       :arxiv:`1912.03896`.

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
    projection : str, default="l1inf"
        A key of `skproj.projection.BALLS` whose ball has groups.
    dim : int, default=0
        Dimension whose slices are kept or removed, as in
        `torch.nn.utils.prune.ln_structured`. The groups of the ball run along all the
        others.

    Returns
    -------
    module : torch.nn.Module
        The same module.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If `radius` is negative or NaN, if `projection` has no groups, if `dim` does not
        fit, if there is no such weight, or if it contains NaN or infinity. Then nothing
        is changed.

    See Also
    --------
    shrink : Makes the network smaller.
    skproj.nn.register_projection : Projects while training.

    Notes
    -----
    What was pruned before stays pruned. `hoyer_unstructured` says how the mask works.

    References
    ----------
    .. [1] M. Barlaud, G. Perez, J.-P. Marmorat, "A new linear time bi-level l1,inf
       projection; application to the sparsification of auto-encoders neural
       networks", :arxiv:`2407.16293`.

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


def prunable_parameters(model, *, exclude=()):
    """List the weights of the linear and convolutional layers of a model.

    Parameters
    ----------
    model : torch.nn.Module
        Any model. Biases and the parameters of other layers are not listed, nor is
        what `torch.nn.MultiheadAttention` reads without calling a layer.
    exclude : iterable of str, default=()
        Names of modules, as in `model.named_modules`, to leave out with all that is in
        them; the first and the last layer are candidates.

    Returns
    -------
    parameters : list of pair (torch.nn.Module, str)
        What `global_hoyer` and `torch.nn.utils.prune.global_unstructured` take.

    Raises
    ------
    TypeError
        If `model` is not a module, or `exclude` not an iterable.
    ValueError
        If `exclude` has something else than names of modules.

    See Also
    --------
    single_shot : Prunes all of them.

    References
    ----------
    .. [1] R. Ohib, N. Gillis, N. Dalmasso, S. Shah, V. Potluru, S. Plis, "Explicit
       group sparse projection with applications to deep learning and NMF",
       :arxiv:`1912.03896`.

    Examples
    --------
    >>> from torch import nn
    >>> from skproj.nn import prune
    >>> model = nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.Linear(6, 2))
    >>> prune.prunable_parameters(model, exclude=["2"])
    [(Linear(in_features=8, out_features=6, bias=True), 'weight')]
    """
    return [(layer, "weight") for _, layer in _named_prunable(model, exclude)]


def _named_prunable(model, exclude):
    """List names and modules of the layers on which a mask works."""
    layers = named_layers(model, exclude)
    # Attention reads this weight without calling the layer: no hook makes it anew.
    uncalled = {
        module.out_proj
        for module in model.modules()
        if isinstance(module, nn.MultiheadAttention)
    }
    return [(name, layer) for name, layer in layers if layer not in uncalled]


def named_layers(model, exclude=()):
    """List names and modules of the linear and convolutional layers."""
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"model must be a torch.nn.Module, got {type(model).__name__} instead."
        )
    if isinstance(exclude, str) or not isinstance(exclude, Iterable):
        raise TypeError(f"exclude must be an iterable of names, got {exclude!r}.")
    modules = dict(model.named_modules())
    excluded = set()
    for name in exclude:
        if not isinstance(name, str) or name not in modules:
            raise ValueError(f"exclude must have names of modules, got {name!r}.")
        excluded.update(modules[name].modules())
    return [
        (name, module)
        for name, module in modules.items()
        if isinstance(module, LAYERS) and module not in excluded
    ]


def warn_of_starved(weights, names):
    """Warn of layers of which little is left.

    Parameters
    ----------
    weights : list of ndarray
        After pruning.
    names : list of str
    """
    for W, name in zip(weights, names, strict=True):
        n_kept = np.count_nonzero(W)
        if n_kept < max(SMALLEST_SHARE * W.size, len(W)):
            warnings.warn(
                f"{name} keeps {n_kept} of {W.size} weights, for {len(W)} outputs; "
                "prune less, exclude it, or take another grouping.",
                UserWarning,
                stacklevel=4,
            )


def group_by_parameter(parameters):
    """Collect the places of each parameter, which modules may share."""
    places = {}
    for module, name in parameters:
        places.setdefault(id(pruned_or_plain(module, name)), []).append((module, name))
    return list(places.values())


def _prune_jointly(parameters, names, sparsity, grouping, target, normalize):
    sparsity = check_sparsity(sparsity)
    check_choice(grouping, GROUPINGS, "grouping")
    check_choice(target, TARGETS, "target")
    places = group_by_parameter(parameters)
    weights = [(first[0], as_array(effective_weight(*first))) for first, *_ in places]
    projected = project_jointly(weights, sparsity, grouping, target, normalize)
    for P, pairs in zip(projected, places, strict=True):
        mask = torch.from_numpy(P != 0).to(pruned_or_plain(*pairs[0]))
        for module, name in pairs:
            _GivenMask.apply(module, name, importance_scores=mask)
    warn_of_starved(projected, [names[first[0], first[1]] for first, *_ in places])


def global_hoyer(
    parameters,
    sparsity,
    grouping="layer/filters",
    target="hoyer",
    normalize=False,
):
    r"""Prune several layers together to a Hoyer sparsity.

    The vectors of `grouping` are brought to an average Hoyer sparsity by the group
    sparse projection [1]_, and the weights that become zero are masked. The others
    keep their values.

    Parameters
    ----------
    parameters : iterable of pair (torch.nn.Module, str)
        Layers and the names of their weights, as in
        `torch.nn.utils.prune.global_unstructured`; `prunable_parameters` lists those
        of a model. A weight that several of them share is pruned once, for all.
    sparsity : float
        Between 0, which prunes nothing, and 1, which leaves one weight in a vector.
    grouping : str, default="layer/filters"
        ``"layer/filters"``: each layer is a group, and its vectors are the filters
        (outputs), as in [1]_; ``"layer/inputs"``: the same with inputs;
        ``"model/filters"``: all filters of all layers are one group;
        ``"model/layers"``: each layer is a vector.
    target : {"hoyer", "zeros"}, default="hoyer"
        Whether `sparsity` is the average Hoyer sparsity of each group, or the fraction
        of all weights that are zero. In the second case, groups still have one common
        Hoyer level, which is searched for.
    normalize : bool, default=False
        Whether the vectors are given norm 1 for the projection. Otherwise the larger
        ones of a group are kept denser.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If `sparsity`, `grouping` or `target` is out of range, if there is no such
        weight, or if one contains NaN or infinity. Then nothing is changed.

    Warns
    -----
    UserWarning
        If less than 1 % of a layer is kept, or less than a weight for each output.

    See Also
    --------
    single_shot : All layers of a model.
    hoyer_unstructured : One layer.
    induced_pruning : Projects while training.

    Notes
    -----
    **A Hoyer sparsity is not a fraction of zeros**: 0.9 prunes 98 % of weights with a
    normal distribution.

    Inside a group of vectors of equal length the mask is that of the largest weights,
    except that each vector keeps its largest one. What the projection decides is how
    many weights each layer keeps. Vectors of different length in one group have
    different thresholds, and the short ones are cut harder: with ``"model/layers"``,
    small layers starve.

    Vectors of a single weight, as in a depthwise 1x1 convolution, have no sparsity and
    are left alone. ``target="zeros"`` is met as closely as equal weights and the last
    weight of each vector allow. `hoyer_unstructured` says how masks work.

    References
    ----------
    .. [1] R. Ohib, N. Gillis, N. Dalmasso, S. Shah, V. Potluru, S. Plis, "Explicit
       group sparse projection with applications to deep learning and NMF",
       :arxiv:`1912.03896`.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from skproj.nn import prune
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 8))
    >>> layers = [(model[0], "weight"), (model[2], "weight")]
    >>> prune.global_hoyer(layers, 0.9, target="zeros")
    >>> sum(int((layer.weight == 0).sum()) for layer, _ in layers), 0.9 * 2304
    (2074, 2073.6)
    """
    parameters = check_parameters(parameters)
    names = {
        pair: f"parameter {i} ({type(pair[0]).__name__})"
        for i, pair in enumerate(parameters)
    }
    _prune_jointly(parameters, names, sparsity, grouping, target, normalize)


def single_shot(
    model,
    sparsity,
    *,
    grouping="layer/filters",
    target="hoyer",
    normalize=False,
    exclude=(),
):
    r"""Prune a trained model in one go, to be finetuned after that.

    The weights of all linear and convolutional layers are projected together, and
    those that become zero are masked [1]_. The others keep their values. Biases and
    normalisations are left alone.

    Parameters
    ----------
    model : torch.nn.Module
        Trained model, which is changed in place.
    sparsity : float
        Between 0, which prunes nothing, and 1, which leaves one weight in a vector.
    grouping : str, default="layer/filters"
        Which vectors form a group, as in `global_hoyer`.
    target : {"hoyer", "zeros"}, default="hoyer"
        Whether `sparsity` is the average Hoyer sparsity of each group, or the fraction
        of all weights that are zero.
    normalize : bool, default=False
        Whether the vectors are given norm 1 for the projection.
    exclude : iterable of str, default=()
        Names of modules to leave alone, as in `model.named_modules`.

    Returns
    -------
    model : torch.nn.Module
        The same model.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If `sparsity`, `grouping`, `target` or `exclude` is out of range, if no layer is
        left, or if a weight contains NaN or infinity. Then nothing is changed.

    Warns
    -----
    UserWarning
        If less than 1 % of a layer is kept, or less than a weight for each output.

    See Also
    --------
    induced_pruning : Projects while training, which is better at high sparsity.
    sparsity_report : What is left in each layer.
    torch.nn.utils.prune.global_unstructured : By magnitude, with
        `prunable_parameters`; try it first.

    Notes
    -----
    Train the pruned model on as usual: the masks stay. In the end,
    `torch.nn.utils.prune.remove` makes the zeros permanent, and `shrink` removes what
    is dead.

    References
    ----------
    .. [1] R. Ohib, N. Gillis, N. Dalmasso, S. Shah, V. Potluru, S. Plis, "Explicit
       group sparse projection with applications to deep learning and NMF",
       :arxiv:`1912.03896`.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from skproj.nn import prune
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 8))
    >>> _ = prune.single_shot(model, 0.75, target="zeros", exclude=["2"])
    >>> print(prune.sparsity_report(model))
    layer         shape  parameters  zeros  fraction  Hoyer  dead outputs  dead inputs
    0           32 x 64        2048   1536     0.750  0.577             0            0
    2            8 x 32         256      0     0.000  0.176             0            0
    all layers                 2304   1536     0.667                    0            0
    """
    layers = _named_prunable(model, exclude)
    if not layers:
        raise ValueError("model must have a linear or convolutional layer, got none.")
    parameters = [(layer, "weight") for _, layer in layers]
    check_parameters(parameters)
    names = {(layer, "weight"): f"layer {name!r}" for name, layer in layers}
    _prune_jointly(parameters, names, sparsity, grouping, target, normalize)
    return model
