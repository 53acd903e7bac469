"""Attention layers: heads that contribute a constant, and those that are read."""

import inspect
import operator
from dataclasses import dataclass

import numpy as np
from torch import fx, nn

from skproj.nn.prune._smaller_attention import SmallerAttention, input_projections
from skproj.nn.prune._units import as_float64

ATTENTION = (nn.MultiheadAttention, SmallerAttention)
N_SEQUENCES = {
    nn.TransformerEncoderLayer: 1,
    nn.TransformerEncoder: 1,
    nn.TransformerDecoderLayer: 2,
    nn.TransformerDecoder: 2,
    nn.Transformer: 2,
}
TRANSFORMER_LAYERS = (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)


@dataclass
class Heads:
    """An attention layer that can have fewer heads."""

    module: nn.Module
    kept: np.ndarray  # (heads,)
    amounts: np.ndarray  # (outputs,): what the other heads contribute


def is_plain(module):
    """Whether all keys and values of an attention layer come from its inputs."""
    if type(module) not in ATTENTION:
        return False
    return getattr(module, "bias_k", None) is None and not getattr(
        module, "add_zero_attn", False
    )


def heads_of(module, is_masked):
    """Find the heads that are needed, at least one of them.

    Without a mask, the weights of a position have the sum one, so that values that are
    constant go on as they are. A mask can leave a position without weights.
    """
    weight, bias = (
        None if x is None else as_float64(x.flatten(0, 1))
        for x in input_projections(module)[2]
    )
    constants = np.zeros(len(weight)) if bias is None else bias
    foldable = ~weight.any(axis=1)
    if is_masked:
        foldable &= constants == 0.0
    W = as_float64(module.out_proj.weight)
    is_read = W.any(axis=0) & ~foldable
    kept = is_read.reshape(-1, module.head_dim).any(axis=1)
    kept[0] |= not kept.any()
    folded = foldable & ~kept.repeat(module.head_dim)
    return Heads(module, kept, W[:, folded] @ constants[folded])


def is_attention_masked(node):
    """Whether a call of an attention layer can leave positions without weights."""
    call = _arguments_of(node)
    if call.get("key_padding_mask") is not None:
        return True
    return call.get("attn_mask") is not None and call.get("is_causal") is not True


def are_weights_read(node):
    """Whether a call of an attention layer asks for the weights of the heads."""
    if _arguments_of(node).get("need_weights", False) is not False:
        return True
    for user in node.users:
        is_part = user.target is operator.getitem
        if not is_part or (user.args[1] != 0 and user.users):
            return True
    return False


def _arguments_of(node):
    signature = inspect.signature(nn.MultiheadAttention.forward)
    return signature.bind(None, *node.args, **node.kwargs).arguments


def is_transformer_masked(node, kind):
    """Whether a call of a transformer has more than sequences."""
    options = (*node.args[N_SEQUENCES[kind] :], *node.kwargs.values())
    return any(isinstance(option, fx.Node) for option in options)


def layers_of(name, transformer, is_masked):
    """List the layers of a transformer: names, modules, and whether heads stay.

    With a mask, encoders can work on tensors without padding, which only PyTorch's own
    attention reads.
    """
    nested = {
        inner
        for module in transformer.modules()
        if is_masked and getattr(module, "use_nested_tensor", False)
        for inner in module.modules()
    }
    return [
        (path, module, module in nested)
        for path, module in transformer.named_modules(prefix=name)
        if type(module) in TRANSFORMER_LAYERS
    ]


def attention_of(layer):
    """List names and modules of the attention in a layer of a transformer."""
    names = ("self_attn", "multihead_attn")
    return [(name, getattr(layer, name)) for name in names if hasattr(layer, name)]
