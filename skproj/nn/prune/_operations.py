"""Modules and functions of PyTorch that `shrink` understands, and their memory."""

import operator

import numpy as np
from torch import fx, nn

CONVOLUTIONS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
TRANSFORMER_LAYERS = (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
TRANSFORMERS = (
    *TRANSFORMER_LAYERS,
    nn.TransformerEncoder,
    nn.TransformerDecoder,
    nn.Transformer,
)
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
MAX_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
AVERAGE_POOLS = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
ADAPTIVE_POOLS = (
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveAvgPool3d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveMaxPool2d,
    nn.AdaptiveMaxPool3d,
)
ELEMENTWISE = (
    nn.CELU,
    nn.ELU,
    nn.GELU,
    nn.Hardshrink,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.Hardtanh,
    nn.Identity,
    nn.LeakyReLU,
    nn.LogSigmoid,
    nn.Mish,
    nn.ReLU,
    nn.ReLU6,
    nn.SELU,
    nn.SiLU,
    nn.Sigmoid,
    nn.Softplus,
    nn.Softshrink,
    nn.Softsign,
    nn.Tanh,
    nn.Tanhshrink,
    nn.Threshold,
)
ELEMENTWISE_NAMES = {kind.__name__.lower() for kind in ELEMENTWISE}
ELEMENTWISE_NAMES |= set("abs clamp exp leaky_relu neg relu_ sigmoid_ tanh_".split())
# Those that may return the memory that they are given.
VIEWS = (*DROPOUTS, nn.Flatten, nn.Identity)
VIEW_NAMES = set(
    "chunk contiguous detach dropout expand flatten getattr getitem movedim narrow "
    "permute reshape select split squeeze t to transpose unbind unflatten unsqueeze "
    "view".split()
)
POOL_NAMES = {
    f"adaptive_{kind}_pool{n}d" for kind in ("avg", "max") for n in (1, 2, 3)
} | {f"max_pool{n}d" for n in (1, 2, 3)}
AVERAGE_POOL_NAMES = {f"avg_pool{n}d" for n in (1, 2, 3)}
ARITHMETIC = {
    name: function
    for kind, function in zip(
        ("add", "sub", "mul"), (np.add, np.subtract, np.multiply), strict=True
    )
    for name in (kind, f"{kind}_", f"i{kind}")
}
IN_PLACE_OPERATORS = (operator.iadd, operator.isub, operator.imul)

# Modules whose functions are identified by their names.
KNOWN_MODULES = (
    "_operator",
    "builtins",
    "torch",
    "torch._C._nn",
    "torch.nn.functional",
)


def writes(node, modules):
    """Whether a node changes its first argument."""
    if node.op == "call_module":
        return getattr(modules[node.target], "inplace", False)
    if node.target in IN_PLACE_OPERATORS or node.kwargs.get("inplace", False):
        return True
    return getattr(node.target, "__name__", node.target).endswith("_")


def _is_view(node, modules):
    """Whether a node may return the memory of its first argument."""
    if node.op == "call_module":
        is_view = type(modules[node.target]) in VIEWS
    else:
        is_view = getattr(node.target, "__name__", node.target) in VIEW_NAMES
    is_first = node.args and isinstance(node.args[0], fx.Node)
    return is_first and (is_view or writes(node, modules))


def shared_places(node, modules):
    """List the nodes that may share the memory of one, if it has several readers."""
    memory = [node]
    while _is_view(memory[-1], modules):
        memory.append(memory[-1].args[0])
    if all(len(place.users) == 1 for place in memory):
        return []
    places = memory[-1:]
    for place in places:
        places += [user for user in place.users if _is_view(user, modules)]
    return places
