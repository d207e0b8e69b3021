"""Networks on images: convolutions, pools, dense layers. Double precision, a block of samples at once.

As in network.py, theta may be complex, for derivatives by complex step.
"""

from dataclasses import dataclass

import numpy as np

from .layers import AvgPool2d, Conv2d, Dense, Flatten, MaxPool2d
from .network import Net, activate, activate_slope, sample_cost_slope

BLOCK = 100  # samples at once, to bound memory


@dataclass(frozen=True)
class ImageNet:
    """A network of the layers above on images given flat, channel by channel; costs as Net's.

    input_shape  (c, h, w), or (n,) for a vector

    >>> ImageNet((Conv2d(1, 2, (3, 3)), MaxPool2d(2), Flatten(), Dense(8, 3)), (1, 6, 6)).parameters
    47
    """

    layers: tuple
    input_shape: tuple
    cost: str = "mse"
    label_smoothing: float = 0.0

    def __post_init__(self):
        if len(self.shapes[-1]) != 1:
            raise ValueError(f"the output is {self.shapes[-1]}; expected a vector (Flatten comes before)")

    @property
    def shapes(self):
        """Shape of one sample's signal before, between and after the layers."""
        shapes = [tuple(self.input_shape)]
        for layer in self.layers:
            shapes.append(layer.shape_out(shapes[-1]))
        return shapes

    @property
    def weights(self):
        """As Net.weights. fan_in = c_in kh kw, fan_out = c_out kh kw."""
        with_weights = [layer for layer in self.layers if layer.activation is not None]
        return [(int(np.prod(q.weight_shape)), q.weight_shape[0], *q.fans) for q in with_weights]

    @property
    def parameters(self):
        """P, the number of weights and biases."""
        return sum(weights + biases for weights, biases, _, _ in self.weights)

    @property
    def neurons(self):
        """Number of neuron circuits: one per output of a dense layer or channel of a convolution."""
        return sum(biases for _, biases, _, _ in self.weights)

    def unpack(self, theta):
        """(W, b, first neuron) per layer; None for layers without."""
        p, q, parts = 0, 0, []
        for layer in self.layers:
            if layer.activation is None:
                parts.append(None)
                continue
            size, rows = int(np.prod(layer.weight_shape)), layer.weight_shape[0]
            parts.append((theta[p : p + size].reshape(layer.weight_shape), theta[p + size : p + size + rows], q))
            p, q = p + size + rows, q + rows
        return parts

    def trace(self, theta, x, neurons):
        """The samples x (n, n_in) through the network: (signals, drives) as forward_trace; None without neurons."""
        signals, drives = [np.asarray(x, dtype=np.float64).reshape(len(x), *self.input_shape)], []
        for layer, part in zip(self.layers, self.unpack(theta), strict=True):
            if part is None:
                drives.append(None)
                signals.append(layer.apply(signals[-1]))
                continue
            W, b, q = part
            a = layer.drive(W, b, signals[-1])
            alpha, beta, a0, b0 = of_channels(neurons, q, a)
            drives.append(beta * (a - a0))
            signals.append(alpha * activate(layer.activation, drives[-1]) + b0)
        return signals, drives

    def outputs(self, theta, x, neurons):
        """Outputs for the samples x (n, n_in): (n, n_out)."""
        blocks = [x[first : first + BLOCK] for first in range(0, len(x), BLOCK)]
        return np.concatenate([self.trace(theta, block, neurons)[0][-1] for block in blocks])

    def mean_gradient(self, theta, x, y, neurons):
        """Gradient of the mean cost over the samples x (n, n_in), y (n, n_out), by backpropagation: (P,)."""
        total = np.zeros(self.parameters)
        for first in range(0, len(x), BLOCK):
            block = slice(first, first + BLOCK)
            total += self.summed_gradient(theta, x[block], y[block], neurons)
        return total / len(x)

    def summed_gradient(self, theta, x, y, neurons):
        """Sum over the samples of the gradients of their costs."""
        signals, drives = self.trace(theta, x, neurons)
        upstream = np.array([sample_cost_slope(self, f, y_i) for f, y_i in zip(signals[-1], y, strict=True)])
        gradients = []
        for number, part in reversed(list(enumerate(self.unpack(theta)))):
            layer, received, z = self.layers[number], signals[number], drives[number]
            if part is None:
                upstream = layer.back(received, upstream)
                continue
            W, _, q = part
            alpha, beta, _, _ = of_channels(neurons, q, z)
            delta = upstream * alpha * activate_slope(layer.activation, z) * beta  # dC/da
            dW, db, upstream = layer.back(W, received, delta)
            gradients = [dW.reshape(-1), db, *gradients]
        return np.concatenate(gradients)


def of_channels(neurons, q, a):
    """alpha, beta, a0, b0 of the neurons from q on, shaped for a (n, channels) or (n, channels, h, w)."""
    shape = (a.shape[1],) + (1,) * (a.ndim - 2)
    return [v[q : q + a.shape[1]].reshape(shape) for v in (neurons.alpha, neurons.beta, neurons.a0, neurons.b0)]


def net_of(network):
    """The oracle of a network with the attributes of the package's, read by name.

    ImageNet; where input_shape is None or missing, Net.
    """
    kinds = {kind.__name__: kind for kind in (Dense, Conv2d, MaxPool2d, AvgPool2d, Flatten)}
    layers = []
    for layer in network.layers:
        kind = kinds[type(layer).__name__]
        if kind is Dense and layers and not isinstance(layers[-1], Dense | Flatten):
            layers.append(Flatten())  # the package's dense layers do so by themselves
        layers.append(kind(**{name: getattr(layer, name) for name in kind.__dataclass_fields__}))
    cost = network.cost.replace("-", "_")
    input_shape = getattr(network, "input_shape", None)
    if input_shape is not None and isinstance(layers[0], Dense):
        layers.insert(0, Flatten())
    if input_shape is None:
        sizes = (layers[0].n_in, *(layer.n_out for layer in layers))
        return Net(sizes, tuple(layer.activation for layer in layers), cost, network.label_smoothing)
    return ImageNet(tuple(layers), tuple(input_shape), cost, network.label_smoothing)
