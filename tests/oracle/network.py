"""One chip's network: forward pass, costs, true gradient, accuracy. One sample at a time, double precision.

Here the dense network, Net; costs, gradient, accuracy and start are also those of image.ImageNet, which has the same
members: parameters, neurons, weights, cost, label_smoothing, outputs, mean_gradient.
Every function of theta also takes complex theta, for derivatives by complex step
(Squire and Trapp, SIAM Rev. 40, 110 (1998)): imaginary parts are carried through, decisions use real parts.
"""

from dataclasses import dataclass

import numpy as np

from . import philox


@dataclass(frozen=True)
class Net:
    """A network of dense layers.

    sizes            inputs, hidden layers ..., outputs
    activations      one per layer: "sigmoid", "tanh", "relu" or "linear"
    cost             "mse" or "cross_entropy" (of the outputs taken as logits)
    label_smoothing  s in [0, 1], cross-entropy only

    >>> Net((2, 2, 1), ("sigmoid", "sigmoid")).parameters
    9
    """

    sizes: tuple
    activations: tuple
    cost: str = "mse"
    label_smoothing: float = 0.0

    def __post_init__(self):
        if len(self.activations) != len(self.sizes) - 1:
            expected = len(self.sizes) - 1
            raise ValueError(f"{len(self.activations)} activations; expected {expected}, one per layer")

    @property
    def layers(self):
        """List of (n_in, n_out)."""
        return list(zip(self.sizes[:-1], self.sizes[1:], strict=True))

    @property
    def weights(self):
        """List of (weights, biases, fan_in, fan_out) per layer that has weights, in the order of theta; the first two
        are their numbers."""
        return [(n_out * n_in, n_out, n_in, n_out) for n_in, n_out in self.layers]

    @property
    def parameters(self):
        """P, the number of weights and biases."""
        return sum(weights + biases for weights, biases, _, _ in self.weights)

    @property
    def neurons(self):
        """Number of neurons, outputs included, inputs not."""
        return sum(self.sizes[1:])

    def outputs(self, theta, x, neurons):
        """Outputs for the samples x (n, n_in): list of n arrays (n_out,)."""
        return [forward_trace(self, theta, x_i, neurons)[0][-1] for x_i in x]

    def mean_gradient(self, theta, x, y, neurons):
        """Gradient of the mean cost over the samples, (P,)."""
        total = np.zeros(self.parameters)
        for x_i, y_i in zip(x, y, strict=True):
            total += sample_gradient(self, theta, x_i, y_i, neurons)
        return total / len(x)


@dataclass(frozen=True)
class Neurons:
    """Spread of the neurons, float64[neurons] each: output = alpha act(beta (a - a0)) + b0."""

    alpha: np.ndarray
    beta: np.ndarray
    a0: np.ndarray
    b0: np.ndarray


def ideal_neurons(net):
    """Neurons without spread."""
    zero, one = np.zeros(net.neurons), np.ones(net.neurons)
    return Neurons(alpha=one, beta=one, a0=zero, b0=zero)


def neuron_spread(net, sigma_a, seed, chip):
    """Neurons of a chip (McCaughan et al. 2023): alpha, beta ~ 1 + sigma_a xi; a0, b0 ~ sigma_a xi.

    Neuron q, numbered through all layers from the first hidden one, has normals 4q .. 4q+3 of stream NEURON.
    """
    xi = philox.normals(seed, chip, philox.NEURON, 0, 4 * net.neurons).reshape(net.neurons, 4)
    return Neurons(
        alpha=1.0 + sigma_a * xi[:, 0],
        beta=1.0 + sigma_a * xi[:, 1],
        a0=sigma_a * xi[:, 2],
        b0=sigma_a * xi[:, 3],
    )


def initial_theta(net, init, init_scale, seed, chip):
    """Initial parameters, float64[P], from the words of stream INIT: parameter p has word p.

    "uniform": all within +-init_scale. "glorot" (Glorot and Bengio, AISTATS 2010): weights within
    +-init_scale sqrt(6/(fan_in + fan_out)), biases 0 (their words are skipped).
    """
    u = philox.uniform(philox.words(seed, chip, philox.INIT, 0, net.parameters))
    symmetric = 2.0 * u - 1.0  # in (-1, 1)
    if init == "uniform":
        return init_scale * symmetric
    if init == "glorot":
        theta = np.zeros(net.parameters)
        p = 0
        for weights, biases, fan_in, fan_out in net.weights:
            theta[p : p + weights] = init_scale * np.sqrt(6.0 / (fan_in + fan_out)) * symmetric[p : p + weights]
            p += weights + biases
        return theta
    raise ValueError(f'init is {init!r}; expected "uniform" or "glorot"')


def unpack(net, theta):
    """List of (W, b) per layer: theta holds W row-major (n_out, n_in), then b (n_out,), layer after layer."""
    pairs = []
    p = 0
    for n_in, n_out in net.layers:
        W = theta[p : p + n_out * n_in].reshape(n_out, n_in)
        p += n_out * n_in
        b = theta[p : p + n_out]
        p += n_out
        pairs.append((W, b))
    return pairs


def activate(name, z):
    """Activation function."""
    if name == "sigmoid":  # 1/(1 + exp(-z)), the exponential always of a negative number
        positive = np.real(z) >= 0.0
        e = np.exp(np.where(positive, -z, z))
        return np.where(positive, 1.0 / (1.0 + e), e / (1.0 + e))
    if name == "tanh":
        return np.tanh(z)
    if name == "relu":
        return np.where(np.real(z) > 0.0, z, 0.0)
    if name == "linear":
        return z
    raise ValueError(f"activation is {name!r}; expected sigmoid, tanh, relu or linear")


def activate_slope(name, z):
    """Derivative of the activation function (relu at 0: 0)."""
    if name == "sigmoid":
        f = activate(name, z)
        return f * (1.0 - f)
    if name == "tanh":
        return 1.0 - np.tanh(z) ** 2
    if name == "relu":
        return np.where(z > 0.0, 1.0, 0.0)
    return np.ones_like(z)


def forward_trace(net, theta, x, neurons=None):
    """One sample through the network: (signals, drives).

    signals[l] is what layer l receives, signals[-1] the output; drives[l] = beta (a - a0), a = W x + b.
    """
    neurons = ideal_neurons(net) if neurons is None else neurons
    signals, drives = [np.asarray(x, dtype=np.float64)], []
    q = 0
    for (W, b), name in zip(unpack(net, theta), net.activations, strict=True):
        of_layer = slice(q, q + len(b))
        a = W @ signals[-1] + b
        z = neurons.beta[of_layer] * (a - neurons.a0[of_layer])
        drives.append(z)
        signals.append(neurons.alpha[of_layer] * activate(name, z) + neurons.b0[of_layer])
        q += len(b)
    return signals, drives


def forward(net, theta, x, neurons=None):
    """Output f of the network for one sample x (n_in,): (n_out,)."""
    return net.outputs(theta, np.asarray(x)[None], ideal_neurons(net) if neurons is None else neurons)[0]


def smoothed(y, label_smoothing):
    """Targets (1 - s) y + s/n_out (Szegedy et al., CVPR 2016)."""
    return (1.0 - label_smoothing) * y + label_smoothing / len(y)


def logsumexp(z):
    """log(sum(exp(z))) with the largest element taken out."""
    largest = np.max(np.real(z))
    return largest + np.log(np.sum(np.exp(z - largest)))


def sample_cost(net, f, y):
    """Cost of one output f against one target y, (n_out,) each.

    mse: mean over the outputs of (f - y)**2.
    cross_entropy: sum_k y'_k (logsumexp(f) - f_k), y' the smoothed targets.
    """
    y = np.asarray(y, dtype=np.float64)
    if net.cost == "mse":
        return np.mean((f - y) ** 2)
    if net.cost == "cross_entropy":
        return np.sum(smoothed(y, net.label_smoothing) * (logsumexp(f) - f))
    raise ValueError(f"cost is {net.cost!r}; expected mse or cross_entropy")


def sample_cost_slope(net, f, y):
    """Derivative of sample_cost with respect to f: (n_out,)."""
    y = np.asarray(y, dtype=np.float64)
    if net.cost == "mse":
        return 2.0 * (f - y) / len(y)
    targets = smoothed(y, net.label_smoothing)
    return np.sum(targets) * np.exp(f - logsumexp(f)) - targets


def mean_cost(net, theta, x, y, neurons=None):
    """Mean cost of the samples x (n, n_in), y (n, n_out)."""
    total = 0.0
    for f, y_i in zip(net.outputs(theta, x, ideal_neurons(net) if neurons is None else neurons), y, strict=True):
        total = total + sample_cost(net, f, y_i)
    return total / len(x)


def sample_gradient(net, theta, x, y, neurons):
    """Gradient of the cost of one sample by backpropagation (Rumelhart, Hinton, Williams 1986): (P,)."""
    signals, drives = forward_trace(net, theta, x, neurons)
    upstream = sample_cost_slope(net, signals[-1], y)  # dC/d(output of the layer)
    parts = []
    q = net.neurons
    for layer in reversed(range(len(net.layers))):
        W, b = unpack(net, theta)[layer]
        q -= len(b)
        of_layer = slice(q, q + len(b))
        slope = activate_slope(net.activations[layer], drives[layer])
        delta = upstream * neurons.alpha[of_layer] * slope * neurons.beta[of_layer]  # dC/da
        parts = [np.outer(delta, signals[layer]).reshape(-1), delta, *parts]
        upstream = W.T @ delta
    return np.concatenate(parts)


def gradient(net, theta, x, y, neurons=None):
    """True gradient of the mean cost over the samples x (n, n_in), y (n, n_out): float64[P]."""
    return net.mean_gradient(theta, x, y, ideal_neurons(net) if neurons is None else neurons)


def complex_step_gradient(net, theta, x, y, neurons=None, step=1e-30):
    """The same from the forward pass alone: dC/dtheta_p = Im C(theta + i step e_p)/step, to rounding."""
    result = np.zeros(net.parameters)
    for p in range(net.parameters):
        shifted = theta.astype(np.complex128)
        shifted[p] += 1j * step
        result[p] = np.imag(mean_cost(net, shifted, x, y, neurons)) / step
    return result


def central_difference_gradient(net, theta, x, y, neurons=None, step=1e-5):
    """The same by central finite differences; error of order step**2."""
    result = np.zeros(net.parameters)
    for p in range(net.parameters):
        shift = np.zeros(net.parameters)
        shift[p] = step
        plus = mean_cost(net, theta + shift, x, y, neurons)
        minus = mean_cost(net, theta - shift, x, y, neurons)
        result[p] = (plus - minus) / (2.0 * step)
    return result


def is_right(f, y):
    """Whether output f answers target y, (n_out,) each: one output: on the target's side of 0.5 (an output of
    exactly 0.5 is on the side of 0); several: the largest at the same place (ties: the first)."""
    if len(f) == 1:
        return bool((f[0] > 0.5) == (y[0] > 0.5))
    return bool(np.argmax(f) == np.argmax(y))


def accuracy(net, theta, x, y, neurons=None):
    """Fraction of the samples that are right."""
    right = 0
    for f, y_i in zip(net.outputs(theta, x, ideal_neurons(net) if neurons is None else neurons), y, strict=True):
        right += is_right(f, y_i)
    return right / len(x)
