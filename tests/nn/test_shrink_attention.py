"""Removal of heads of attention layers."""

import copy
import itertools

import pytest
import torch
from shrink_helpers import assert_same, build, zero
from torch import nn
from torch.nn.utils import prune as torch_prune

from skproj.nn import prune
from skproj.nn.prune import SmallerAttention

N_FEATURES, N_HEADS, HEAD_DIM, N_SAMPLES, N_STEPS = 12, 4, 3, 2, 5
SHAPE = (N_SAMPLES, N_STEPS, N_FEATURES)
X = torch.randn(SHAPE, dtype=torch.float64)
CAUSAL = torch.ones(N_STEPS, N_STEPS, dtype=torch.bool).triu(1)


class Attending(nn.Module):
    """Attention in a residual network, called with options."""

    def __init__(self, call=None, **options):
        super().__init__()
        options = {"batch_first": True} | options
        self.attention = nn.MultiheadAttention(N_FEATURES, N_HEADS, **options)
        if self.attention.in_proj_bias is not None:
            nn.init.normal_(self.attention.in_proj_bias)
            nn.init.normal_(self.attention.out_proj.bias)
        self.norm = nn.LayerNorm(N_FEATURES)
        self.head = nn.Linear(N_FEATURES, 2)
        self.call = call or {}

    def forward(self, X):
        H, _ = self.attention(X, X, X, **self.call)
        return self.head(self.norm(X + H))


class Crossed(nn.Module):
    """Attention between two sequences, in features of their own."""

    def __init__(self, **options):
        super().__init__()
        self.attention = nn.MultiheadAttention(N_FEATURES, N_HEADS, **options)

    def forward(self, query, key, value):
        return self.attention(query, key, value, need_weights=False)[0]


def rows_of(heads):
    return torch.arange(N_FEATURES).reshape(N_HEADS, HEAD_DIM)[heads].flatten()


def hide(attention, heads):
    """Let the outputs not read heads."""
    zero(attention.out_proj.weight, slice(None), rows_of(heads))


def kill(attention, heads, bias=True):
    """Make the values of heads zero, or constant."""
    rows = rows_of(heads)
    if attention.in_proj_weight is None:
        zero(attention.v_proj_weight, rows)
    else:
        zero(attention.in_proj_weight, 2 * N_FEATURES + rows)
    if bias and attention.in_proj_bias is not None:
        zero(attention.in_proj_bias, 2 * N_FEATURES + rows)


def n_parameters(n_heads):
    """Of an attention layer with so many heads."""
    n_rows = n_heads * HEAD_DIM
    return 3 * n_rows * (N_FEATURES + 1) + (n_rows + 1) * N_FEATURES


def n_parameters_of(module):
    return sum(W.numel() for W in module.parameters())


def assert_heads(smaller, model, kept, attention="attention", shape=SHAPE):
    """Compare outputs on other inputs, and the heads that are kept."""
    assert_same(smaller, model, *shape)
    module = smaller.get_submodule(attention)
    assert type(module) is SmallerAttention
    assert module.heads.tolist() == kept
    assert n_parameters_of(module) == n_parameters(len(kept))


@pytest.mark.parametrize("call", [None, {"need_weights": False}], ids=str)
@pytest.mark.parametrize("batch_first", [True, False])
def test_heads(call, batch_first):
    """Of zeros, not read, or both; others stay, whatever is zero in part."""
    model = build(lambda: Attending(call, batch_first=batch_first))
    zero(model.attention.out_proj.weight, slice(None), [0, 1])  # two of three
    hide(model.attention, [1])
    kill(model.attention, [2])
    smaller, report = prune.shrink(model, X)
    assert_heads(smaller, model, [0, 3])
    assert_heads(smaller, model, [0, 3], shape=(N_STEPS, N_FEATURES))
    weights = {f"attention.{x}_proj": ((12, 12), (6, 12)) for x in "qkv"}
    assert report.layers == weights | {"attention.out_proj": ((12, 12), (12, 6))}
    removed = report.before.n_parameters - report.after.n_parameters
    assert removed == n_parameters(4) - n_parameters(2)
    assert report.after.flops < report.before.flops


def test_constant_heads():
    """Go into the bias of the outputs."""
    model = build(Attending)
    kill(model.attention, [1, 3], bias=False)
    smaller, _ = prune.shrink(model, X)
    assert_heads(smaller, model, [0, 2])
    assert not torch.equal(
        smaller.attention.out_proj.bias, model.attention.out_proj.bias
    )


MASKS = {
    "causal": {"attn_mask": CAUSAL},
    "added": {"attn_mask": torch.randn(N_STEPS, N_STEPS).double()},
    "by head": {
        "attn_mask": torch.randn(N_SAMPLES * N_HEADS, N_STEPS, N_STEPS).double()
    },
    "hint": {"attn_mask": CAUSAL, "is_causal": True, "need_weights": False},
    "padding": {"key_padding_mask": torch.ones(N_SAMPLES, N_STEPS).triu(3).bool()},
    "added padding": {"key_padding_mask": torch.randn(N_SAMPLES, N_STEPS).double()},
}
MASKS["both"] = MASKS["by head"] | MASKS["added padding"]
MASKS["both with a hint"] = MASKS["hint"] | MASKS["padding"]


class Masked(Attending):
    """With masks that are tensors of the model."""

    def __init__(self, call):
        super().__init__(call)
        for name, mask in call.items():
            if isinstance(mask, torch.Tensor):
                self.register_buffer(name, mask)

    def forward(self, X):
        call = {name: getattr(self, name, x) for name, x in self.call.items()}
        return self.head(X + self.attention(X, X, X, **call)[0])


@pytest.mark.parametrize("call", MASKS.values(), ids=MASKS)
def test_masks(call):
    """Heads of zeros go; constant ones only if all positions have a weight."""
    model = build(lambda: Masked(call))
    kill(model.attention, [1])
    kill(model.attention, [2], bias=False)
    smaller, _ = prune.shrink(model, X)
    kept = [0, 3] if call is MASKS["hint"] else [0, 2, 3]
    assert_heads(smaller, model, kept)


def test_mask_by_head_without_a_batch():
    """The mask has a part for each of the removed heads, too."""
    call = {"attn_mask": torch.randn(N_HEADS, N_STEPS, N_STEPS).double()}
    model = build(lambda: Masked(call))
    hide(model.attention, [1])
    smaller, _ = prune.shrink(model, X[0])
    assert_heads(smaller, model, [0, 2, 3], shape=SHAPE[1:])


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"kdim": 7, "vdim": 4}])
def test_two_sequences(options):
    """With keys and values of as many features as they have."""
    model = build(lambda: Crossed(**options))
    kill(model.attention, [0])
    hide(model.attention, [3])
    n_keys, n_values = options.get("kdim", 12), options.get("vdim", 12)
    shapes = (N_STEPS, 2, 12), (9, 2, n_keys), (9, 2, n_values)
    smaller, report = prune.shrink(
        model, tuple(torch.randn(s).double() for s in shapes)
    )
    inputs = [torch.randn(shape).double() for shape in shapes]
    torch.testing.assert_close(smaller(*inputs), model(*inputs), rtol=1e-10, atol=1e-10)
    assert report.layers["attention.k_proj"] == ((12, n_keys), (6, n_keys))
    assert report.layers["attention.v_proj"] == ((12, n_values), (6, n_values))
    bias = options.get("bias", True)
    n = 6 * (12 + n_keys + n_values) + 6 * 12 + (18 + 12) * bias
    assert report.after.n_parameters == n


class Weighing(Attending):
    def forward(self, X):
        H, weights = self.attention(X, X, X)
        return self.head(H), weights


class Whole(Attending):
    def forward(self, X):
        return self.attention(X, X, X)


class Twice(Attending):
    def forward(self, X):
        H = self.attention(X, X, X)[0]
        return self.head(self.attention(H, H, H)[0])


class Peeking(Attending):
    def forward(self, X):
        return super().forward(X) + self.attention.out_proj.weight.sum()


def with_hook(model):
    model.attention.register_forward_hook(lambda module, args, output: None)
    return model


STAYING = {
    "weights are read": Weighing,
    "weights are returned": Whole,
    "weights are asked for": lambda: Attending({"need_weights": True}),
    "called twice": Twice,
    "weight is read": Peeking,
    "bias of keys": lambda: Attending(add_bias_kv=True),
    "another key": lambda: Attending(add_zero_attn=True),
    "hook": lambda: with_hook(Attending()),
}


@pytest.mark.parametrize("make", STAYING.values(), ids=STAYING)
def test_heads_that_stay(make):
    """All of them."""
    model = build(make)
    kill(model.attention, [1])
    hide(model.attention, [1, 2])
    smaller, report = prune.shrink(model, X)
    assert_same(smaller, model, *SHAPE)
    assert report.layers == {}
    assert type(smaller.attention) is nn.MultiheadAttention


def test_heads_that_only_look_unused():
    """A zero in the queries and keys makes the weights equal, which is not nothing."""
    model = build(Attending)
    zero(model.attention.in_proj_weight, slice(0, 2 * N_FEATURES))
    zero(model.attention.in_proj_bias, slice(0, 2 * N_FEATURES))
    smaller, report = prune.shrink(model, X)
    assert_same(smaller, model, *SHAPE)
    assert report.layers == {}


def test_one_head_stays():
    """Of those that nobody reads."""
    model = build(Attending)
    hide(model.attention, [0, 1, 2, 3])
    smaller, _ = prune.shrink(model, X)
    assert_heads(smaller, model, [0])


def test_masked_weights():
    """Become plain ones."""
    model = build(Attending)
    keep = torch.ones_like(model.attention.in_proj_weight)
    keep[2 * N_FEATURES + rows_of([1, 2])] = 0.0
    torch_prune.custom_from_mask(model.attention, "in_proj_weight", keep)
    smaller, _ = prune.shrink(model, X)
    assert_heads(smaller, model, [0, 3])
    assert not torch_prune.is_pruned(smaller)


def test_smaller_model():
    """Is trained, copied, saved and shrunk again."""
    model = build(lambda: Attending(dropout=0.5)).train()
    model.attention.in_proj_weight.requires_grad_(False)
    hide(model.attention, [1])
    smaller, _ = prune.shrink(model, X)
    attention = smaller.attention
    assert attention.training
    assert not torch.equal(smaller(X), smaller(X))
    assert not attention.q_proj.weight.requires_grad
    assert attention.q_proj.bias.requires_grad
    smaller(X).sum().backward()
    assert attention.out_proj.weight.grad.any()
    again = copy.deepcopy(smaller).eval()
    again.load_state_dict(smaller.state_dict())
    zero(again.attention.v_proj.weight, slice(3))
    twice, report = prune.shrink(again, X)
    assert_heads(twice, again, [2, 3])
    assert report.layers["attention.q_proj"] == ((9, 12), (6, 12))
    assert "2 of 4 heads" in repr(twice)


def test_refusals_of_smaller_attention():
    """What the removed heads would be needed for."""
    model = build(Attending)
    hide(model.attention, [1])
    attention = prune.shrink(model, X)[0].attention
    with pytest.raises(ValueError, match="need_weights must be False: shrink has"):
        attention(X, X, X, need_weights=True)
    with pytest.raises(ValueError, match="attn_mask must be given where is_causal"):
        attention(X, X, X, is_causal=True)


@pytest.mark.parametrize("seed", range(6))
def test_random_zeros(seed):
    """The outputs are the same, and a second call finds nothing more."""
    generator = torch.Generator().manual_seed(seed)
    n_removed = 0
    for bias, batch_first in itertools.product((False, True), (False, True)):
        model = build(lambda b=bias, f=batch_first: Attending(bias=b, batch_first=f))
        attention = model.attention
        dead, unread = torch.rand(2, N_HEADS, generator=generator) < 0.3
        kill(attention, dead, bias=bool(torch.rand(1, generator=generator) < 0.5))
        hide(attention, unread)
        for W in (attention.in_proj_weight, attention.out_proj.weight):
            zero(W, torch.rand(W.shape, generator=generator) < 0.3)
        smaller, report = prune.shrink(model, X)
        assert_same(smaller, model, *SHAPE)
        gone = dead | unread
        expected = 0 if not gone.any() else N_HEADS - max(1, int((~gone).sum()))
        n_removed += expected
        if expected:
            n = smaller.attention.num_heads - len(smaller.attention.heads)
            assert n == expected
        else:
            assert report.layers == {}
        assert prune.shrink(smaller, X)[1].layers == {}
    assert n_removed > 0
