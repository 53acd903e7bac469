"""Modules that take the places of layers in smaller networks."""

import torch
from torch import nn

from skproj.utils._docs import shared_docs


@shared_docs()
class SelectInputs(nn.Module):
    """A layer that reads some of its inputs only.

    `shrink` puts it in the place of a layer that is given more inputs, those of the
    network, than it reads.

    Parameters
    ----------
    layer : torch.nn.Module
        The layer.
    index : torch.Tensor of shape (n_inputs,), dtype int64
        The inputs that `layer` reads.
    dim : int
        Dimension of the inputs.

    See Also
    --------
    shrink : Makes one.

    {bilevel_reference}

    Examples
    --------
    >>> import torch
    >>> from skproj.nn.prune import SelectInputs
    >>> layer = SelectInputs(torch.nn.Identity(), torch.tensor([0, 2]), dim=1)
    >>> layer(torch.arange(6.0).reshape(2, 3))
    tensor([[0., 2.],
            [3., 5.]])
    """

    def __init__(self, layer, index, dim):
        super().__init__()
        self.layer = layer
        self.dim = dim
        self.register_buffer("index", index)

    def forward(self, X):
        """Pass the selected inputs to the layer.

        Parameters
        ----------
        X : torch.Tensor
            All inputs.

        Returns
        -------
        output : torch.Tensor
            What the layer returns.
        """
        return self.layer(X.index_select(self.dim, self.index))

    def extra_repr(self):
        """Say how many inputs are read.

        Returns
        -------
        text : str
            For the representation of the module.
        """
        return f"{len(self.index)} inputs"


@shared_docs()
class SelectRows(nn.Module):
    """An embedding with one row for all indices whose rows are zero.

    `shrink` puts it in the place of an embedding with rows of zeros.

    Parameters
    ----------
    layer : torch.nn.Embedding
        The embedding.
    index : torch.Tensor of shape (n_indices,), dtype int32 or int64
        The row of `layer` for each index.
    padding_idx : int, default=None
        Index that stands for no input, if there is one.

    Attributes
    ----------
    num_embeddings, embedding_dim, padding_idx : int or None
        Those of the original embedding, except for columns that are gone.

    See Also
    --------
    shrink : Makes one.

    {bilevel_reference}

    Examples
    --------
    >>> import torch
    >>> from skproj.nn.prune import SelectRows
    >>> rows = torch.tensor([[0.0, 0.0], [1.0, 2.0]])
    >>> layer = torch.nn.Embedding.from_pretrained(rows, padding_idx=0)
    >>> embedding = SelectRows(layer, torch.tensor([0, 0, 0, 1]))
    >>> embedding(torch.tensor([3, 1]))
    tensor([[1., 2.],
            [0., 0.]])
    """

    def __init__(self, layer, index, padding_idx=None):
        super().__init__()
        self.layer = layer
        self.register_buffer("index", index)
        self.num_embeddings = len(index)
        self.padding_idx = padding_idx

    @property
    def embedding_dim(self):
        """Number of columns."""
        return self.layer.embedding_dim

    def forward(self, X):
        """Look up the rows of indices.

        Parameters
        ----------
        X : torch.Tensor of int32 or int64
            Indices.

        Returns
        -------
        output : torch.Tensor of shape (..., n_columns)
            What the embedding returns.
        """
        rows = torch.index_select(self.index, 0, X.reshape(-1))
        return self.layer(rows.reshape(X.shape))

    def extra_repr(self):
        """Say how many indices there are.

        Returns
        -------
        text : str
            For the representation of the module.
        """
        return f"{len(self.index)} indices"


@shared_docs()
class ConstantOutput(nn.Module):
    """A layer of a residual branch [1]_ whose outputs do not depend on its inputs.

    `shrink` puts it in the place of the last layer of the branch.

    Parameters
    ----------
    bias : torch.nn.Parameter or torch.Tensor
        The outputs of one sample, repeated in the sum that reads them. A tensor is
        not trained, but saved and moved to devices as a parameter is.

    See Also
    --------
    shrink : Makes one.
    WritableOutput : For sums that are made in place.

    {residual_reference}

    Examples
    --------
    >>> import torch
    >>> from skproj.nn.prune import ConstantOutput
    >>> layer = ConstantOutput(torch.nn.Parameter(torch.tensor([[1.0, 2.0]])))
    >>> layer(torch.zeros(3, 5))
    Parameter containing:
    tensor([[1., 2.]], requires_grad=True)
    """

    def __init__(self, bias):
        super().__init__()
        if isinstance(bias, nn.Parameter):
            self.bias = bias
        elif isinstance(bias, torch.Tensor):
            self.register_buffer("bias", bias)
        else:
            raise TypeError(
                f"bias must be a tensor, got {type(bias).__name__} instead."
            )

    def forward(self, X):
        """Return the bias.

        Parameters
        ----------
        X : torch.Tensor
            Without effect.

        Returns
        -------
        bias : torch.nn.Parameter or torch.Tensor
            The outputs of one sample.
        """
        return self.bias


@shared_docs()
class WritableOutput(ConstantOutput):
    """A `ConstantOutput` to which a shortcut [1]_ is added in place, as by ``+=``.

    `shrink` puts it in the place of the last layer of a branch. `torch.compile` makes
    two graphs there.

    Parameters
    ----------
    bias : torch.nn.Parameter or torch.Tensor
        The outputs of one sample.

    See Also
    --------
    shrink : Makes one.

    {residual_reference}

    Examples
    --------
    >>> import torch
    >>> from skproj.nn.prune import WritableOutput
    >>> H = WritableOutput(torch.tensor([[1.0, 2.0]]))(torch.zeros(3, 5))
    >>> H += torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    >>> H
    tensor([[1., 2.],
            [2., 3.]])
    """

    def forward(self, X):
        """Return an object to which tensors can be added.

        Parameters
        ----------
        X : torch.Tensor
            Without effect.

        Returns
        -------
        outputs : object
            What is added, subtracted or multiplied, in place or not, makes a new
            tensor of it.
        """
        return _Writable(self.bias)


class _Writable:
    """Constants without a place for samples: what is written to them is a new tensor.

    Graphs of `torch.fx` do not tell ``+=`` from ``+``.
    """

    def __init__(self, constants):
        self._constants = constants

    def add_(self, other):
        return self._constants + other

    def sub_(self, other):
        return self._constants - other

    def mul_(self, other):
        return self._constants * other

    __add__ = __iadd__ = add_
    __sub__ = __isub__ = sub_
    __mul__ = __imul__ = mul_


@shared_docs()
class SkippedLayer(nn.Module):
    """A layer of a residual branch [1]_ that nothing reads.

    `shrink` puts it in the place of the first layer in front of a `ConstantOutput`, and
    `torch.nn.Identity` in those of the others.

    See Also
    --------
    shrink : Makes one.

    {residual_reference}

    Examples
    --------
    >>> import torch
    >>> from skproj.nn.prune import SkippedLayer
    >>> SkippedLayer()(torch.zeros(3, 5)).shape
    torch.Size([0, 5])
    """

    def __init__(self):
        super().__init__()

    def forward(self, X):
        """Pass nothing on, which costs the next operations no time.

        Parameters
        ----------
        X : torch.Tensor
            Inputs of the layer that was here.

        Returns
        -------
        empty : torch.Tensor
            No samples.
        """
        return torch.empty_like(X[:0])  # no view: others may work on it in place
