"""Perturbation of nodes: of pre-activations instead of parameters, and what a parameter then correlates with.

The pre-activation of a neuron at a place is a = W x + b + xi. dC/dW = dC/da dx^T, so a weight takes C_ac xi x for its
part of the gradient, a bias C_ac xi, summed over the places of a convolution; x is what the layer receives while xi is
there. Nodes are numbered layer by layer, within a layer place by place (rows of the picture, left to right), at each
place channel by channel.
"""

import math

import numpy as np

from .image import ImageNet, of_channels
from .network import activate, ideal_neurons, unpack


def node_counts(net):
    """Nodes of each layer with parameters."""
    if isinstance(net, ImageNet):
        shapes = [net.shapes[k + 1] for k, layer in enumerate(net.layers) if layer.activation is not None]
        return [math.prod(shape) for shape in shapes]
    return [n_out for _, n_out in net.layers]


def parameter_counts(net):
    """Parameters of each layer that has any."""
    return [weights + biases for weights, biases, _, _ in net.weights]


def only_layer(values, counts, layer):
    """values, 0 outside of one of the parts of these sizes."""
    ends = np.cumsum(counts)
    masked = np.zeros(len(values))
    part = slice(ends[layer] - counts[layer], ends[layer])
    masked[part] = values[part]
    return masked


def node_pass(net, theta, x, neurons, xi):
    """One sample with xi added to the pre-activations: (output, signals) with signals[k] what layer k receives."""
    neurons = ideal_neurons(net) if neurons is None else neurons
    if not isinstance(net, ImageNet):
        return dense_pass(net, theta, x, neurons, xi)
    signals, first = [np.asarray(x, dtype=np.float64).reshape(1, *net.input_shape)], 0
    for layer, part in zip(net.layers, net.unpack(theta), strict=True):
        if part is None:
            signals.append(layer.apply(signals[-1]))
            continue
        W, b, q = part
        a = layer.drive(W, b, signals[-1])
        a = a + of_places(xi[first : first + a.size], a.shape)
        first += a.size
        alpha, beta, a0, b0 = of_channels(neurons, q, a)
        signals.append(alpha * activate(layer.activation, beta * (a - a0)) + b0)
    return signals[-1][0], signals


def dense_pass(net, theta, x, neurons, xi):
    """The same of dense layers."""
    signals, q = [np.asarray(x, dtype=np.float64)], 0
    for (W, b), name in zip(unpack(net, theta), net.activations, strict=True):
        of = slice(q, q + len(b))
        a = W @ signals[-1] + b + xi[of]
        signals.append(neurons.alpha[of] * activate(name, neurons.beta[of] * (a - neurons.a0[of])) + neurons.b0[of])
        q += len(b)
    return signals[-1], signals


def of_places(xi, shape):
    """The nodes of a layer in the shape of its pre-activations (1, channels, ..)."""
    channels = shape[1]
    return xi.reshape(-1, channels).T.reshape(shape)


def eligibility(net, theta, signals, xi):
    """What each parameter correlates C_ac with: xi x, xi; float64[P]."""
    parts, first = [], 0
    if not isinstance(net, ImageNet):
        for x, (_, n_out) in zip(signals, net.layers, strict=False):
            of = xi[first : first + n_out]
            parts += [np.outer(of, x).reshape(-1), of]
            first += n_out
        return np.concatenate(parts)
    for x, layer, part in zip(signals, net.layers, net.unpack(theta), strict=False):
        if part is None:
            continue
        shape = layer.drive(part[0], part[1], x).shape
        of = of_places(xi[first : first + math.prod(shape)], shape)
        dW, db, _ = layer.back(part[0], x, of)
        parts += [dW.reshape(-1), db]
        first += math.prod(shape)
    return np.concatenate(parts)
