"""Removal of heads and hidden units inside PyTorch's transformers."""

import pytest
import torch
from shrink_helpers import assert_same, build, zero
from torch import nn
from torch.nn import functional as F

from skproj.nn import prune
from skproj.nn.prune import SmallerAttention

N_FEATURES, N_HEADS, N_HIDDEN = 12, 4, 10
SHAPE = (2, 5, N_FEATURES)
X = torch.randn(SHAPE, dtype=torch.float64)
CAUSAL = nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64)
PADDING = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])

# The tensors of PyTorch that have no padding.
nested_tensors = pytest.mark.filterwarnings(
    "ignore:The PyTorch API of nested tensors is in prototype:UserWarning"
)


def make_encoder_layer(**options):
    options = {"batch_first": True} | options
    layer = nn.TransformerEncoderLayer(N_FEATURES, N_HEADS, N_HIDDEN, **options)
    with_biases(layer)
    return layer


def with_biases(module):
    """Biases of attention are zero at first."""
    for name, W in module.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(W)


def kill_heads(attention, heads, bias=True):
    rows = torch.arange(N_FEATURES).reshape(N_HEADS, -1)[heads].flatten()
    zero(attention.in_proj_weight, 2 * N_FEATURES + rows)
    if bias:
        zero(attention.in_proj_bias, 2 * N_FEATURES + rows)


def kill(layer, bias=True):
    """Heads 0 and 2, units 1 and 3; units 4 and 5 are not read."""
    kill_heads(layer.self_attn, [0, 2], bias)
    zero(layer.linear1.weight, [1, 3])
    zero(layer.linear2.weight, slice(None), [4, 5])


def assert_smaller(layer, kept=(1, 3), n_hidden=6):
    assert type(layer.self_attn) is SmallerAttention
    assert layer.self_attn.heads.tolist() == list(kept)
    assert layer.linear1.out_features == layer.linear2.in_features == n_hidden


class Calling(nn.Module):
    """A module and a linear layer, with given options of the call."""

    def __init__(self, module, call=None):
        super().__init__()
        self.first = nn.Linear(N_FEATURES, N_FEATURES)
        self.module = module
        self.head = nn.Linear(N_FEATURES, 2)
        self.call = call or {}
        for name, x in self.call.items():
            if isinstance(x, torch.Tensor):
                self.register_buffer(name, x)

    def forward(self, X):
        call = {name: getattr(self, name, x) for name, x in self.call.items()}
        return self.head(self.module(self.first(X), **call))


LAYERS = {
    "default": {},
    "gelu": {"activation": F.gelu},
    "a module": {"activation": nn.SiLU()},
    "norm first": {"norm_first": True},
    "steps first": {"batch_first": False},
}


@pytest.mark.parametrize("options", LAYERS.values(), ids=LAYERS)
def test_encoder_layer(options):
    """It has fewer heads and hidden units, and the norms keep all features."""
    model = build(lambda: Calling(make_encoder_layer(**options)))
    kill(model.module, bias=False)
    smaller, report = prune.shrink(model, X)
    assert_same(smaller, model, *SHAPE)
    assert_same(smaller, model, *SHAPE[1:])
    assert_smaller(smaller.module)
    shapes = {f"module.self_attn.{x}_proj": ((12, 12), (6, 12)) for x in "qkv"}
    assert report.layers == shapes | {
        "module.self_attn.out_proj": ((12, 12), (12, 6)),
        "module.linear1": ((10, 12), (6, 12)),
        "module.linear2": ((12, 10), (12, 6)),
    }
    removed = 3 * 6 * 13 + 6 * 12 + 4 * 13 + 4 * 12
    assert report.before.n_parameters - report.after.n_parameters == removed
    assert report.after.flops < report.before.flops


def test_layer_without_biases():
    """Hidden units that are zero go, and no bias comes."""
    model = build(lambda: Calling(make_encoder_layer(bias=False)))
    zero(model.module.linear1.weight, [1, 3])
    smaller, report = prune.shrink(model, X)
    assert_same(smaller, model, *SHAPE)
    assert smaller.module.linear1.out_features == 8
    assert smaller.module.linear2.bias is None
    assert set(report.layers) == {"module.linear1", "module.linear2"}


@pytest.mark.parametrize("activation", [lambda H: H.softmax(-1), nn.Softmax(-1)])
def test_activation_over_units(activation):
    """The hidden units stay, the heads go."""
    model = build(lambda: Calling(make_encoder_layer(activation=activation)))
    kill(model.module)
    smaller, _ = prune.shrink(model, X)
    assert_same(smaller, model, *SHAPE)
    assert_smaller(smaller.module, n_hidden=N_HIDDEN)


MASKS = {
    "causal": {"src_mask": CAUSAL},
    "hint": {"src_mask": CAUSAL, "is_causal": True},
    "padding": {"src_key_padding_mask": PADDING},
    "both": {"src_mask": CAUSAL.isinf(), "src_key_padding_mask": PADDING},
}


@pytest.mark.parametrize("call", MASKS.values(), ids=MASKS)
def test_masks(call):
    """As with plain attention."""
    model = build(lambda: Calling(make_encoder_layer(), call))
    kill(model.module)
    zero(model.module.self_attn.in_proj_weight, slice(27, 30))  # but not its bias
    smaller, _ = prune.shrink(model, X)
    assert_same(smaller, model, *SHAPE)
    assert_smaller(smaller.module)


def make_encoder(n_layers=2, **options):
    encoder = nn.TransformerEncoder(make_encoder_layer(), n_layers, **options)
    with_biases(encoder)
    return encoder


def test_encoder():
    """Each layer keeps its own heads and units."""
    model = build(lambda: Calling(make_encoder(3)))
    layers = model.module.layers
    kill(layers[1])
    kill_heads(layers[2].self_attn, [3])
    smaller, report = prune.shrink(model, X)
    assert_same(smaller, model, *SHAPE)
    assert type(smaller.module.layers[0].self_attn) is nn.MultiheadAttention
    assert_smaller(smaller.module.layers[1])
    assert_smaller(smaller.module.layers[2], [0, 1, 2], N_HIDDEN)
    assert not any(".0." in name for name in report.layers)


@nested_tensors
def test_encoder_with_padding_later():
    """It no longer takes the padding away, for a layer that could not read that."""
    encoder = build(lambda: Calling(make_encoder()))
    kill(encoder.module.layers[1])
    smaller, _ = prune.shrink(encoder, X)
    with torch.no_grad():
        expected, output = (
            module(X, src_key_padding_mask=PADDING)[~PADDING]
            for module in (encoder.module, smaller.module)
        )
    torch.testing.assert_close(output, expected, rtol=1e-10, atol=1e-10)


@nested_tensors
@pytest.mark.parametrize("nested", [True, False])
def test_encoder_with_padding(nested):
    """Where it works without the padding, heads stay: only its own layer reads that."""
    call = {"src_key_padding_mask": PADDING}
    model = build(lambda: Calling(make_encoder(enable_nested_tensor=nested), call))
    for layer in model.module.layers:
        kill(layer)
    smaller, _ = prune.shrink(model, X)
    assert_same(smaller, model, *SHAPE)
    for layer in smaller.module.layers:
        assert layer.linear1.out_features == 6
        expected = nn.MultiheadAttention if nested else SmallerAttention
        assert type(layer.self_attn) is expected


class Decoding(nn.Module):
    """Two sequences into a decoder, or a whole transformer."""

    def __init__(self, module):
        super().__init__()
        self.module = module
        with_biases(module)

    def forward(self, source, target):
        if isinstance(self.module, nn.Transformer):
            return self.module(source, target)
        return self.module(target, source)


SIZES = {"d_model": N_FEATURES, "nhead": N_HEADS, "dim_feedforward": N_HIDDEN}
DECODERS = {
    "layer": lambda: nn.TransformerDecoderLayer(**SIZES),
    "decoder": lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(**SIZES), 2),
    "transformer": lambda: nn.Transformer(
        **SIZES, num_encoder_layers=2, num_decoder_layers=2, batch_first=True
    ),
}


@pytest.mark.parametrize("make", DECODERS.values(), ids=DECODERS)
def test_decoders(make):
    """Heads of both kinds of attention."""
    model = build(lambda: Decoding(make()))
    kinds = nn.TransformerEncoderLayer, nn.TransformerDecoderLayer
    layers = [name for name, x in model.named_modules() if isinstance(x, kinds)]
    for name in layers:
        layer = model.get_submodule(name)
        kill(layer, bias=False)
        if hasattr(layer, "multihead_attn"):
            kill_heads(layer.multihead_attn, [1], bias=False)
    inputs = torch.randn(SHAPE).double(), torch.randn(SHAPE).double()
    smaller, _ = prune.shrink(model, inputs)
    inputs = torch.randn(SHAPE).double(), torch.randn(SHAPE).double()
    torch.testing.assert_close(smaller(*inputs), model(*inputs), rtol=1e-10, atol=1e-10)
    for name in layers:
        layer = smaller.get_submodule(name)
        assert_smaller(layer)
        if hasattr(layer, "multihead_attn"):
            assert layer.multihead_attn.heads.tolist() == [0, 2, 3]


class SharedLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = make_encoder()

    def forward(self, X):
        return self.encoder(self.encoder.layers[0](X))


class SharedWeight(SharedLayer):
    def __init__(self):
        super().__init__()
        layers = self.encoder.layers
        layers[0].linear1.weight = layers[1].linear1.weight

    def forward(self, X):
        return self.encoder(X)


class OwnLayer(nn.TransformerEncoderLayer):
    """Needs the weights of its attention."""

    def _sa_block(self, x, attn_mask, key_padding_mask, is_causal=False):
        return x * self.self_attn(x, x, x)[1].mean((1, 2))[:, None, None]


class OwnLayers(nn.Module):
    def __init__(self):
        super().__init__()
        layer = OwnLayer(**SIZES, norm_first=True, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        with_biases(self.encoder)

    def forward(self, X):
        return self.encoder(X)


class Hooked(SharedWeight):
    def __init__(self):
        super().__init__()
        self.encoder = make_encoder()
        layer = self.encoder.layers[0]
        layer.dropout.register_forward_hook(lambda module, args, output: output.flip(2))


@pytest.mark.parametrize("make", [SharedLayer, SharedWeight, OwnLayers, Hooked])
def test_layers_that_stay(make):
    """Those with other readers, with shared weights, or of another class."""
    model = build(make)
    kill(model.encoder.layers[0])
    smaller, report = prune.shrink(model, X)
    assert_same(smaller, model, *SHAPE)
    assert report.layers == {}


def test_layer_norm():
    """It mixes the units, which stay, also those that are zero or not read."""
    model = build(
        lambda: nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 2))
    )
    zero(model[0].weight, [0, 1])
    zero(model[0].bias, [0])
    zero(model[2].weight, slice(None), [2, 3])
    smaller, report = prune.shrink(model, torch.randn(3, 4).double())
    assert_same(smaller, model, 3, 4)
    assert report.layers == {}


def test_shrinking_twice():
    """Finds nothing more."""
    model = build(lambda: Calling(make_encoder()))
    kill(model.module.layers[0])
    smaller, _ = prune.shrink(model, X)
    twice, report = prune.shrink(smaller, X)
    assert_same(twice, model, *SHAPE)
    assert report.layers == {}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_device():
    """The smaller layers are there."""
    model = build(lambda: Calling(make_encoder())).cuda()
    kill(model.module.layers[1], bias=False)
    smaller, _ = prune.shrink(model, X.cuda())
    torch.testing.assert_close(smaller(X.cuda()), model(X.cuda()))
    assert_smaller(smaller.module.layers[1])
    assert all(W.is_cuda for W in (*smaller.parameters(), *smaller.buffers()))
