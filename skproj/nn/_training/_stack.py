"""Networks trained side by side, in products of stacked matrices.

The networks of one group see the same inputs; each group has inputs of its own. The
first axis of a tensor is that of the networks, group by group.
"""

import itertools
import math
from functools import partial

import torch

from skproj.nn._training._network import ACTIVATIONS
from skproj.nn._training._tensors import draw_

# Networks that share the hidden units of an estimator, where the widths allow it.
N_NETWORKS = 5


def n_networks_for(hidden_sizes):
    """Return how many networks of equal size the hidden units are shared out to."""
    if not hidden_sizes:
        return 1
    common = math.gcd(*hidden_sizes)
    return max(n for n in range(1, N_NETWORKS + 1) if common % n == 0)


class StackedLinear(torch.nn.Module):
    """Linear layers side by side.

    The groups start with the same weights, uniform on ``(-1 / sqrt(n_in), 1 /
    sqrt(n_in))``, the networks of a group with different ones.
    """

    def __init__(self, n_groups, n_networks, n_in, n_out, *, dtype, generator):
        super().__init__()
        bound = 1.0 / math.sqrt(max(1, n_in))
        for name, shape in (("weight", (n_out, n_in)), ("bias", (n_out,))):
            start = torch.empty(
                n_networks, *shape, dtype=dtype, device=generator.device
            )
            draw_(start, "uniform_", -bound, bound, generator=generator)
            setattr(self, name, torch.nn.Parameter(torch.cat([start] * n_groups)))

    def forward(self, X):
        """Apply each layer to its own samples."""
        return torch.baddbmm(self.bias.unsqueeze(1), X, self.weight.mT)


class SplitNetworks(torch.nn.Module):
    """Share out the outputs of a first layer, which has one input for all networks."""

    def __init__(self, n_networks):
        super().__init__()
        self.n_networks = n_networks

    def forward(self, Z):
        """Move the networks from the last axis to the first."""
        split = Z.unflatten(2, (self.n_networks, -1)).transpose(1, 2)
        return split.flatten(0, 1)  # contiguous, as activations are fastest

    def gradient(self, gradient):
        """Return the gradient of the input, from that of the output."""
        split = gradient.unflatten(0, (-1, self.n_networks)).transpose(1, 2)
        return split.flatten(2, 3)


class NetworkStack(torch.nn.Module):
    """Encoders side by side; `merged` returns the mean of a group.

    The sizes are the widths of the layers of all networks of a group together: the
    inputs, the hidden units, and the outputs.
    """

    def __init__(self, n_groups, n_networks, sizes, activation, *, dtype, generator):
        super().__init__()
        self.n_networks = n_networks
        n_in, *hidden, n_out = sizes
        widths = [*(size // n_networks for size in hidden), n_out]
        activate = ACTIVATIONS[activation]
        make = partial(StackedLinear, n_groups, dtype=dtype, generator=generator)
        layers = [make(1, n_in, n_networks * widths[0]), SplitNetworks(n_networks)]
        for before, after in itertools.pairwise(widths):
            layers += [activate(), make(n_networks, before, after)]
        self.encoder = torch.nn.Sequential(*layers)

    @torch.no_grad()
    def merged(self, group):
        """Return the layers of the mean of the networks of a group, as one network.

        Its hidden units are those of all of them, its outputs are means.
        """
        layers = [
            (
                layer.weight.unflatten(0, (-1, self.n_networks))[group],
                layer.bias.unflatten(0, (-1, self.n_networks))[group],
            )
            for layer in self.encoder[1:]
            if isinstance(layer, StackedLinear)
        ]
        first, split = self.encoder[0], (self.n_networks, -1)
        first = (
            first.weight[group].unflatten(0, split),
            first.bias[group].unflatten(0, split),
        )
        return merge_layers([first, *layers])


def merge_layers(layers):
    """Put networks side by side into one, whose output is the mean of theirs.

    A layer is a pair of the weights, of shape (n_outputs, n_inputs), and the biases of
    all networks. The first layers have the same inputs. Returns weights and biases.
    """
    merged = []
    for i, (weights, biases) in enumerate(layers):
        weights, biases, n = tuple(weights), tuple(biases), len(weights)
        if i < len(layers) - 1:
            weight = torch.cat(weights) if i == 0 else torch.block_diag(*weights)
            bias = torch.cat(biases)
        else:
            bias = torch.stack(biases).mean(dim=0)
            if i == 0:
                weight = torch.stack(weights).mean(dim=0)
            else:
                weight = torch.cat([weight / n for weight in weights], dim=1)
        merged.append((weight, bias))
    return merged
