"""Modules and functions of PyTorch that `shrink` understands."""

import operator

import numpy as np
from torch import nn

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
ELEMENTWISE_NAMES = {
    "abs",
    "celu",
    "clamp",
    "elu",
    "exp",
    "gelu",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "logsigmoid",
    "mish",
    "neg",
    "relu",
    "relu6",
    "relu_",
    "selu",
    "sigmoid",
    "sigmoid_",
    "silu",
    "softplus",
    "softsign",
    "tanh",
    "tanh_",
    "tanhshrink",
}
# Those that may return the memory that they are given.
VIEWS = (*DROPOUTS, nn.Flatten, nn.Identity)
VIEW_NAMES = {
    "chunk",
    "contiguous",
    "detach",
    "dropout",
    "expand",
    "flatten",
    "getattr",
    "getitem",
    "movedim",
    "narrow",
    "permute",
    "reshape",
    "select",
    "split",
    "squeeze",
    "t",
    "to",
    "transpose",
    "unbind",
    "unflatten",
    "unsqueeze",
    "view",
}
POOL_NAMES = {
    f"adaptive_{kind}_pool{n}d" for kind in ("avg", "max") for n in (1, 2, 3)
} | {f"max_pool{n}d" for n in (1, 2, 3)}
AVERAGE_POOL_NAMES = {f"avg_pool{n}d" for n in (1, 2, 3)}
ARITHMETIC = {
    "add": np.add,
    "add_": np.add,
    "iadd": np.add,
    "sub": np.subtract,
    "sub_": np.subtract,
    "isub": np.subtract,
    "mul": np.multiply,
    "mul_": np.multiply,
    "imul": np.multiply,
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
