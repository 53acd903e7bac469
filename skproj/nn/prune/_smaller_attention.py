"""Attention with fewer heads than `torch.nn.MultiheadAttention` can have."""

import torch
from torch import nn
from torch.nn import functional as F

PROJECTIONS = ("q_proj", "k_proj", "v_proj")


def input_projections(attention):
    """Return the weights and biases that make queries, keys and values.

    Weights have the shape (n_heads, head_dim, n_inputs), biases (n_heads, head_dim), or
    are None.
    """
    if isinstance(attention, SmallerAttention):
        layers = [getattr(attention, name) for name in PROJECTIONS]
        weights, biases = ([x.weight for x in layers], [x.bias for x in layers])
    else:
        if attention.in_proj_weight is None:
            weights = [getattr(attention, f"{name}_weight") for name in PROJECTIONS]
        else:
            weights = attention.in_proj_weight.chunk(3)
        bias = attention.in_proj_bias
        biases = (None, None, None) if bias is None else bias.chunk(3)
    return [
        tuple(
            x if x is None else x.unflatten(0, (-1, attention.head_dim)) for x in pair
        )
        for pair in zip(weights, biases, strict=True)
    ]


def _linear(weight, bias, like):
    """Return a layer with these weights, as trainable as others."""
    layer = nn.Linear(
        *reversed(weight.shape), bias is not None, device="meta", dtype=weight.dtype
    )
    for name, tensor, old in zip(("weight", "bias"), (weight, bias), like, strict=True):
        if tensor is not None:
            tensor = tensor.detach().clone(memory_format=torch.contiguous_format)
            trained = old.requires_grad
            setattr(layer, name, nn.Parameter(tensor, requires_grad=trained))
    return layer


class SmallerAttention(nn.Module):
    """Some heads of an attention layer [1]_.

    PyTorch's own layer has as many features in all of its heads as in its outputs, so
    that no head can be taken from it. This layer takes its place, and is called in the
    same way.

    Parameters
    ----------
    attention : torch.nn.MultiheadAttention or SmallerAttention
        The layer whose heads these are.
    heads : torch.Tensor of shape (n_heads,), dtype int64
        Places of the heads that are kept, among those that `attention` has.

    Attributes
    ----------
    q_proj, k_proj, v_proj, out_proj : torch.nn.Linear
        Weights of queries, keys and values, ``n_heads * head_dim`` each, and those of
        the outputs.
    heads : torch.Tensor of shape (n_heads,), dtype int64
        Places of the heads in the original layer, for masks with a part for each.
    num_heads : int
        Number of heads of the original layer.

    See Also
    --------
    shrink : Makes one.

    References
    ----------
    .. [1] A. Vaswani et al., "Attention is all you need", :arxiv:`1706.03762`.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from skproj.nn.prune import SmallerAttention
    >>> attention = nn.MultiheadAttention(12, 4, batch_first=True)
    >>> smaller = SmallerAttention(attention, torch.tensor([0, 3]))
    >>> smaller
    SmallerAttention(
      2 of 4 heads
      (q_proj): Linear(in_features=12, out_features=6, bias=True)
      (k_proj): Linear(in_features=12, out_features=6, bias=True)
      (v_proj): Linear(in_features=12, out_features=6, bias=True)
      (out_proj): Linear(in_features=6, out_features=12, bias=True)
    )
    >>> X = torch.ones(2, 5, 12)
    >>> output, weights = smaller(X, X, X)
    >>> output.shape, weights
    (torch.Size([2, 5, 12]), None)
    """

    # `torch.nn.TransformerEncoderLayer` looks for it, and without it does not read the
    # weights by itself.
    in_proj_bias = None

    def __init__(self, attention, heads):
        super().__init__()
        for name in ("embed_dim", "num_heads", "head_dim", "dropout", "batch_first"):
            setattr(self, name, getattr(attention, name))
        if isinstance(attention, SmallerAttention):
            self.register_buffer("heads", attention.heads[heads])
        else:
            self.register_buffer("heads", heads)
        with torch.enable_grad():  # so that parts are as trainable as the whole
            pairs = input_projections(attention)
        for name, pair in zip(PROJECTIONS, pairs, strict=True):
            kept = [x if x is None else x[heads].flatten(0, 1) for x in pair]
            setattr(self, name, _linear(*kept, pair))
        out = attention.out_proj
        weight = out.weight.unflatten(1, (-1, self.head_dim))[:, heads].flatten(1)
        self.out_proj = _linear(weight, out.bias, (out.weight, out.bias))

    def forward(
        self,
        query,
        key,
        value,
        key_padding_mask=None,
        need_weights=False,
        attn_mask=None,
        average_attn_weights=True,
        is_causal=False,
    ):
        """Attend, as `torch.nn.MultiheadAttention` does.

        Parameters
        ----------
        query, key, value : torch.Tensor
            As there.
        key_padding_mask : torch.Tensor, default=None
            As there.
        need_weights : bool, default=False
            Must be False: the weights of the removed heads are not known. The default
            is another one than there.
        attn_mask : torch.Tensor, default=None
            As there; a mask for each head has those of the removed heads as well.
        average_attn_weights : bool, default=True
            Without effect.
        is_causal : bool, default=False
            Whether `attn_mask` is that of causal attention, as a hint.

        Returns
        -------
        output : torch.Tensor
            As there.
        weights : None
            They are not known.

        Raises
        ------
        ValueError
            If `need_weights` is True, or if `is_causal` comes without `attn_mask`.
        """
        if need_weights:
            raise ValueError(
                "need_weights must be False: shrink has removed heads, whose weights "
                "are not known."
            )
        if is_causal and attn_mask is None:
            raise ValueError("attn_mask must be given where is_causal is True.")
        is_causal = is_causal and key_padding_mask is None
        mask = None
        if not is_causal:
            mask = self._merge_masks(query, key_padding_mask, attn_mask)
        H = F.scaled_dot_product_attention(
            self._split(self.q_proj(query)),
            self._split(self.k_proj(key)),
            self._split(self.v_proj(value)),
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=is_causal,
        )
        H = H.transpose(-3, -2) if self.batch_first else H.movedim(-2, 0)
        return self.out_proj(H.flatten(-2)), None

    def _split(self, H):
        """Bring the heads before the positions."""
        H = H.unflatten(-1, (-1, self.head_dim))
        return H.transpose(-3, -2) if self.batch_first else H.movedim(0, -2)

    def _merge_masks(self, query, key_padding_mask, attn_mask):
        """Add both masks up, to numbers for each head, or for all."""
        masks = []
        if attn_mask is not None:
            if attn_mask.dim() == 3:
                attn_mask = attn_mask.unflatten(0, (-1, self.num_heads))[:, self.heads]
                attn_mask = attn_mask[0] if query.dim() == 2 else attn_mask
            masks.append(attn_mask)
        if key_padding_mask is not None:
            masks.append(key_padding_mask[..., None, None, :])
        numbers = [
            torch.zeros_like(mask, dtype=query.dtype).masked_fill(mask, -torch.inf)
            if mask.dtype == torch.bool
            else mask
            for mask in masks
        ]
        return sum(numbers) if numbers else None

    def extra_repr(self):
        """Say how many heads are left.

        Returns
        -------
        text : str
            For the representation of the module.
        """
        return f"{len(self.heads)} of {self.num_heads} heads"
