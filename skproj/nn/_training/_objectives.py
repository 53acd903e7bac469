"""Losses of networks and their gradients, written out.

For a network of 100 hidden units, autograd takes up to 1.7 times as long. In the
comments, z is the input of an activation and a its output; dv is the gradient of the
objective with respect to v. Samples are the last axis but one, so that the formulas
hold for stacked networks as well.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from skproj.nn._training._stack import SplitNetworks

# From da, z and a to dz, for each activation.
_ATEN = torch.ops.aten
ACTIVATION_GRADIENTS = {
    # dz = da s (1 + z (1 - s)), s = sigmoid(z)
    torch.nn.SiLU: lambda da, z, a: _ATEN.silu_backward(da, z),
    # dz = da [a > 0]
    torch.nn.ReLU: lambda da, z, a: _ATEN.threshold_backward(da, a, 0),
    # dz = da (F(z) + z f(z)), F and f of the standard normal distribution
    torch.nn.GELU: lambda da, z, a: _ATEN.gelu_backward(da, z),
    # dz = da (1 - a^2)
    torch.nn.Tanh: lambda da, z, a: _ATEN.tanh_backward(da, a),
    # dz = da a (1 - a)
    torch.nn.Sigmoid: lambda da, z, a: _ATEN.sigmoid_backward(da, a),
    # dz = da
    torch.nn.Identity: lambda da, z, a: da,
}


def forward(layers, X):
    """Apply the layers of `make_mlp`; return the output, and the input of each."""
    inputs = []
    for layer in layers:
        inputs.append(X)
        X = layer(X)  # X W' + b, or the activation of X
    return X, inputs


def backward(layers, output, inputs, gradient, *, of_input):
    """Set the gradients of the parameters of the layers, from that of the output.

    `output` and `inputs` are those of `forward`. Returns the gradient of the input, if
    it is needed, of which `of_input` tells.
    """
    for layer, X in zip(reversed(layers), reversed(inputs), strict=True):
        if type(layer) in ACTIVATION_GRADIENTS:
            gradient = ACTIVATION_GRADIENTS[type(layer)](gradient, X, output)
        elif isinstance(layer, SplitNetworks):
            gradient = layer.gradient(gradient)
        else:  # Z = X W' + b
            layer.weight.grad = gradient.mT @ X  # dW = dZ' X
            layer.bias.grad = gradient.sum(dim=-2)  # db = sum of the rows of dZ
            if layer is layers[0] and not of_input:
                return None
            gradient = gradient @ layer.weight  # dX = dZ W
        output = X
    return gradient


# A loss returns the losses of the samples, and their gradients with respect to the
# output z of the network.


def cross_entropy(output, labels):
    """Cross-entropy of the softmax of logits."""
    log_probabilities = torch.log_softmax(output, dim=-1)
    labels = labels.unsqueeze(-1)
    losses = -log_probabilities.gather(-1, labels).squeeze(-1)  # -log p_y
    gradient = log_probabilities.exp_()
    minus_one = gradient.new_full((1, 1), -1.0).expand(labels.shape)
    return losses, gradient.scatter_add_(-1, labels, minus_one)  # p_k - [k = y]


def focal(output, labels):
    """Cross-entropy, weighted by the square of the probability of the other classes.

    References
    ----------
    T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollar, "Focal loss for dense object
    detection", ICCV 2017, arXiv:1708.02002.
    """
    log_probabilities = torch.log_softmax(output, dim=-1)
    labels = labels.unsqueeze(-1)
    log_p = log_probabilities.gather(-1, labels)
    p, q = log_p.exp(), -torch.expm1(log_p)
    losses = -(q.square() * log_p).squeeze(-1)  # -q^2 log p, q = 1 - p
    minus_one = p.new_full((1, 1), -1.0).expand(labels.shape)
    gradient = log_probabilities.exp_().scatter_add_(-1, labels, minus_one)
    return losses, gradient.mul_(q * (q - 2.0 * p * log_p))  # (q^2 - 2 p q log p) dz


def logistic(output, labels):
    """Cross-entropy of the logit of label 1 against label 0."""
    logits = output.squeeze(-1)
    losses = torch.nn.functional.softplus(logits) - labels * logits  # log(1+e^z) - yz
    return losses, (torch.sigmoid(logits) - labels).unsqueeze(-1)  # sigmoid(z) - y


def squared_error(output, target):
    """Squared error, summed over the outputs."""
    errors = output - target
    return errors.square().sum(dim=-1), errors.mul_(2.0)  # |z - y|^2, 2 (z - y)


def huber(output, target):
    """Half the squared error, linear beyond 1, summed over the outputs."""
    errors = output - target
    gradient = errors.clamp(-1.0, 1.0)  # g = clip(e), e = z - y
    return (gradient * (errors - 0.5 * gradient)).sum(dim=-1), gradient  # g (e - g/2)


def proportional_hazards(output, target):
    """Minus the log likelihood of events, with known cumulative hazards of risk 0.

    The target is whether the event was seen, d, and the cumulative hazard until then,
    h. Beyond a risk of 20, where weights diverge, the hazard is constant.
    """
    risk, (event, hazard) = output.squeeze(-1), target.unbind(dim=-1)
    expected = hazard * risk.clamp(max=20.0).exp()
    return expected - event * risk, (expected - event).unsqueeze(-1)  # h e^z - d z


def by_autograd(loss):
    """Return a loss of this form for a function ``loss(output, target)`` of tensors.

    It returns a tensor of shape (n_samples,), for outputs (n_samples, n_outputs).
    """

    def with_gradient(output, target):
        n_axes = output.ndim - 1
        with torch.enable_grad():
            flat = output.detach().flatten(0, -2).requires_grad_()
            losses = loss(flat, target.flatten(0, n_axes - 1))
            if not torch.is_tensor(losses) or losses.shape != flat.shape[:1]:
                raise ValueError(
                    "loss must return a tensor of shape (n_samples,), here "
                    f"{tuple(flat.shape[:1])}, got "
                    f"{tuple(getattr(losses, 'shape', ()))}."
                )
            (gradient,) = torch.autograd.grad(losses.sum(), flat)
        return losses.detach().view(output.shape[:-1]), gradient.view(output.shape)

    return with_gradient


CLASSIFICATION_LOSSES = {"cross_entropy": cross_entropy, "focal": focal}
REGRESSION_LOSSES = {"squared_error": squared_error, "huber": huber}
PREDICTION_LOSSES = {**REGRESSION_LOSSES, "cox": proportional_hazards}


def encoder_of(module):
    """Return the part of a network that predicts."""
    return module if isinstance(module, torch.nn.Sequential) else module.encoder


@dataclass(frozen=True)
class Objective:
    """Loss of the prediction of a network, and of its reconstruction if it has one.

    A loss returns that of each sample, and the gradient with respect to the output.
    That of the reconstruction is averaged over the features and multiplied with
    `reconstruction_weight`. With 0 the decoder is left alone.
    """

    prediction: Callable
    reconstruction: Callable = huber
    reconstruction_weight: float = 0.0

    @property
    def reads_clean_samples(self):
        """Whether samples without noise are needed beside those with it."""
        return self.reconstruction_weight > 0

    def losses(self, module, X, y):
        """Return the loss of each sample, without noise."""
        latent = encoder_of(module)(X)
        losses, _ = self.prediction(latent, y)
        if self._reconstructs(X):
            output = module.decoder(latent)
            more, _ = self.reconstruction(output, X)
            losses = losses + self.reconstruction_weight / X.shape[-1] * more
        return losses

    def backward(self, module, X_seen, X, y, weight):
        """Set the gradients of the weighted mean of the losses; return the losses.

        With z the prediction for the noisy sample, x^ the reconstruction from z, r the
        `reconstruction_weight` and d the number of features, the objective is
        mean(w (l(z, y) + r / d m(x^, x))). The encoder gets `X_seen`, with noise.
        """
        encoder = encoder_of(module)
        scale = weight.unsqueeze(-1) / weight.shape[-1]  # w / n
        latent, inputs = forward(encoder, X_seen)
        losses, gradient = self.prediction(latent, y)
        gradient = gradient * scale  # dz = w l' / n
        if self._reconstructs(X):
            share = self.reconstruction_weight / X.shape[-1]  # r / d
            output, decoder_inputs = forward(module.decoder, latent)
            more, more_gradient = self.reconstruction(output, X)
            losses = losses + share * more
            gradient = gradient + backward(  # dz += (dx^/dz)' dx^
                module.decoder,
                output,
                decoder_inputs,
                more_gradient * (share * scale),  # dx^ = r / d w m' / n
                of_input=True,
            )
        backward(encoder, latent, inputs, gradient, of_input=False)
        return losses * weight

    def _reconstructs(self, X):
        return self.reconstruction_weight > 0 and X.shape[-1] > 0
