"""The oracle of convolutional networks against sums by hand, SciPy, differences, PyTorch and the dense oracle."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.signal import correlate

from oracle import philox
from oracle.image import ImageNet, net_of
from oracle.layers import AvgPool2d, Conv2d, Dense, Flatten, MaxPool2d
from oracle.network import (
    Net,
    accuracy,
    central_difference_gradient,
    complex_step_gradient,
    forward,
    gradient,
    initial_theta,
    is_right,
    mean_cost,
    neuron_spread,
    sample_cost,
)
from oracle.rule import Settings, backprop_train, simulate


def conv_net(input_shape, *layers, n_out=3, output="linear", **cost):
    """These layers, flattened, and a dense one with n_out outputs."""
    shape = input_shape
    for layer in layers:
        shape = layer.shape_out(shape)
    return ImageNet((*layers, Flatten(), Dense(math.prod(shape), n_out, output)), input_shape, **cost)


def relu_conv(c_in, c_out):
    return Conv2d(c_in, c_out, (3, 3), activation="relu")


CROSS_ENTROPY = {"cost": "cross_entropy", "label_smoothing": 0.1}
NETS = {
    "3x3": conv_net((1, 5, 5), Conv2d(1, 2, (3, 3), activation="tanh")),
    "stride 2": conv_net((2, 7, 6), Conv2d(2, 3, (3, 2), stride=2, activation="sigmoid"), **CROSS_ENTROPY),
    "padding": conv_net((2, 4, 5), Conv2d(2, 2, (3, 3), padding=1), Conv2d(2, 3, (3, 3), padding=2)),
    "stride 2, padding 1": conv_net((1, 6, 6), Conv2d(1, 2, (3, 3), stride=2, padding=1, activation="tanh")),
    "stride above kernel": conv_net((1, 7, 7), Conv2d(1, 2, (2, 1), stride=3, padding=1, activation="linear")),
    "1xn, nx1": conv_net((2, 4, 6), Conv2d(2, 2, (1, 4)), Conv2d(2, 3, (3, 1), activation="tanh")),
    "max": conv_net((1, 7, 7), Conv2d(1, 2, (2, 2)), MaxPool2d(2), output="sigmoid"),
    "max drops": conv_net((2, 6, 8), Conv2d(2, 3, (2, 2), activation="tanh"), MaxPool2d(2), **CROSS_ENTROPY),
    "max overlaps": conv_net((1, 7, 8), Conv2d(1, 2, (2, 2), activation="tanh"), MaxPool2d(3, 2)),
    "max has gaps": conv_net((1, 8, 8), MaxPool2d(2, 3), Conv2d(1, 2, (2, 2), activation="sigmoid")),
    "average drops": conv_net((2, 6, 8), Conv2d(2, 3, (2, 2)), AvgPool2d(2), output="tanh"),
    "average overlaps": conv_net((1, 7, 8), AvgPool2d(3, 2), Conv2d(1, 2, (2, 2), activation="sigmoid")),
    "two of each": conv_net(
        (2, 10, 9), Conv2d(2, 3, (3, 3), padding=1), MaxPool2d(2), Conv2d(3, 2, (2, 2)), AvgPool2d(2), **CROSS_ENTROPY
    ),
    "two dense": ImageNet(
        (Conv2d(1, 2, (3, 3)), MaxPool2d(2), Flatten(), Dense(8, 4, "tanh"), Dense(4, 3, "linear")), (1, 6, 6)
    ),
    "one output": conv_net((1, 4, 4), Conv2d(1, 2, (2, 2), activation="sigmoid"), n_out=1, output="sigmoid"),
}


def make(net, n=4, seed=1):
    """(theta, x, y): parameters of order 1, images, one-hot targets (one output: 0 and 1)."""
    rng = np.random.default_rng(seed)
    n_out = net.shapes[-1][0]
    labels = rng.integers(max(2, n_out), size=n)
    y = np.eye(n_out)[labels] if n_out > 1 else labels[:, None].astype(float)
    return rng.normal(0.0, 0.7, net.parameters), rng.random((n, math.prod(net.input_shape))), y


# --- layers ---


def test_convolution_by_hand():
    """A 2x2 kernel on 3x3; it is not turned round."""
    net = ImageNet((Conv2d(1, 1, (2, 2), activation="linear"), Flatten()), (1, 3, 3))
    image = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
    theta = np.array([1.0, 10.0, 100.0, 1000.0, 0.5])
    np.testing.assert_array_equal(forward(net, theta, image), [5421.5, 6532.5, 8754.5, 9865.5])
    padded = ImageNet((Conv2d(1, 1, (2, 2), stride=2, padding=1, activation="linear"), Flatten()), (1, 3, 3))
    np.testing.assert_array_equal(forward(padded, theta, image), [1000.5, 3200.5, 7040.5, 9865.5])


def test_channels_by_hand():
    """1x1 kernels: theta is W[o, c] row-major, then b; images channel by channel."""
    net = ImageNet((Conv2d(2, 3, (1, 1), activation="linear"), Flatten()), (2, 1, 2))
    theta = np.array([1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 0.1, 0.2, 0.3])
    expected = [1 + 70 + 0.1, 5 + 90 + 0.1, 2 + 140 + 0.2, 10 + 180 + 0.2, 3 + 210 + 0.3, 15 + 270 + 0.3]
    np.testing.assert_allclose(forward(net, theta, [1.0, 5.0, 7.0, 9.0]), expected, rtol=1e-15)


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 4), (5, 1)])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1, 2])
def test_convolution_is_scipys_correlation(kernel, stride, padding):
    rng = np.random.default_rng(2)
    layer = Conv2d(3, 4, kernel, stride, padding)
    W, b, x = rng.normal(size=(4, 3, *kernel)), rng.normal(size=4), rng.normal(size=(2, 3, 8, 7))
    a = layer.drive(W, b, x)
    for sample in range(2):
        padded = np.pad(x[sample], ((0, 0), (padding, padding), (padding, padding)))
        for o in range(4):
            expected = correlate(padded, W[o], mode="valid", method="direct")[0] + b[o]
            np.testing.assert_allclose(a[sample, o], expected[::stride, ::stride], rtol=1e-12, atol=1e-13)
    h_out, w_out = (8 + 2 * padding - kernel[0]) // stride + 1, (7 + 2 * padding - kernel[1]) // stride + 1
    assert layer.shape_out((3, 8, 7)) == a.shape[1:] == (4, h_out, w_out)


def test_pools_by_hand():
    image = np.array([[1.0, 2.0, 8.0, 4.0, 9.0], [3.0, 4.0, 5.0, 6.0, 9.0], [9.0, 9.0, 9.0, 9.0, 9.0]])[None, None]
    np.testing.assert_array_equal(MaxPool2d(2).apply(image), [[[[4.0, 8.0]]]])  # drops a row and a column
    np.testing.assert_array_equal(AvgPool2d(2).apply(image), [[[[2.5, 5.75]]]])
    np.testing.assert_array_equal(MaxPool2d(2, 1).apply(image), [[[[4, 8, 8, 9], [9, 9, 9, 9]]]])
    np.testing.assert_array_equal(AvgPool2d(3, 2).apply(image), [[[[50 / 9, 68 / 9]]]])
    upstream = np.array([[[[10.0, 20.0]]]])
    expected = [[0, 0, 20, 0, 0], [0, 10, 0, 0, 0], [0, 0, 0, 0, 0]]
    np.testing.assert_array_equal(MaxPool2d(2).back(image, upstream)[0, 0], expected)
    expected = [[2.5, 2.5, 5, 5, 0], [2.5, 2.5, 5, 5, 0], [0, 0, 0, 0, 0]]
    np.testing.assert_array_equal(AvgPool2d(2).back(image, upstream)[0, 0], expected)


@pytest.mark.parametrize(
    ("window", "winner"),
    [
        ([5, 5, 5, 5], 0),
        ([1, 5, 5, 5], 1),
        ([1, 2, 5, 5], 2),
        ([1, 5, 5, 2], 1),
        ([0, 0, 0, 0], 0),
        ([-3, -1, -2, -1], 1),
    ],
)
def test_ties_go_to_the_first_in_row_major_order(window, winner):
    x = np.array(window, dtype=float).reshape(1, 1, 2, 2)
    dx = MaxPool2d(2).back(x, np.ones((1, 1, 1, 1)))
    np.testing.assert_array_equal(dx.reshape(-1), np.eye(4)[winner])


def test_a_winner_of_several_windows_gets_all_of_them():
    x = np.zeros((1, 1, 3, 3))
    x[0, 0, 1, 1] = 1.0
    dx = MaxPool2d(2, 1).back(x, np.array([[[[1.0, 2.0], [4.0, 8.0]]]]))
    assert dx[0, 0, 1, 1] == dx.sum() == 15.0


# --- networks ---


def fashion_cnn():
    layers = [relu_conv(1, 16), MaxPool2d(2), relu_conv(16, 32), MaxPool2d(2), relu_conv(32, 32), MaxPool2d(2)]
    return conv_net((1, 28, 28), *layers, n_out=10, cost="cross_entropy", label_smoothing=0.01)


def cifar_cnn():
    layers = [relu_conv(3, 16), MaxPool2d(2), relu_conv(16, 32), MaxPool2d(2), relu_conv(32, 64), MaxPool2d(2)]
    return conv_net((3, 32, 32), *layers, n_out=10, cost="cross_entropy", label_smoothing=0.01)


@pytest.mark.parametrize(
    ("net", "parameters", "neurons", "flat"), [(fashion_cnn(), 14378, 90, 32), (cifar_cnn(), 26154, 122, 256)]
)
def test_sizes_of_the_papers_networks(net, parameters, neurons, flat):
    assert (net.parameters, net.neurons) == (parameters, neurons)
    assert net.shapes[-2:] == [(flat,), (10,)]
    theta = initial_theta(net, "glorot", 1.0, 0, 0)
    assert forward(net, theta, np.full(math.prod(net.input_shape), 0.5)).shape == (10,)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("sigma_a", [0.0, 0.2])
def test_backpropagation_agrees_with_derivatives_of_the_forward_pass(name, sigma_a):
    net = NETS[name]
    theta, x, y = make(net)
    neurons = neuron_spread(net, sigma_a, seed=1, chip=2)
    g = gradient(net, theta, x, y, neurons)
    assert np.mean(g != 0.0) > 0.5
    np.testing.assert_allclose(g, complex_step_gradient(net, theta, x, y, neurons), rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(g, central_difference_gradient(net, theta, x, y, neurons, step=1e-6), atol=1e-8)


def test_a_kernel_as_large_as_the_image_is_a_dense_layer():
    dense = Net((24, 3, 2), ("tanh", "linear"), "cross_entropy", 0.1)
    conv = conv_net((2, 3, 4), Conv2d(2, 3, (3, 4), activation="tanh"), n_out=2, **CROSS_ENTROPY)
    plain = ImageNet((Dense(24, 3, "tanh"), Dense(3, 2, "linear")), (24,), **CROSS_ENTROPY)
    theta, x, y = make(conv)
    neurons = neuron_spread(dense, 0.2, seed=3, chip=4)
    for net in (conv, plain):
        assert (net.parameters, net.neurons) == (dense.parameters, dense.neurons)
        np.testing.assert_allclose(forward(net, theta, x[0], neurons), forward(dense, theta, x[0], neurons), rtol=1e-13)
        expected = gradient(dense, theta, x, y, neurons)
        np.testing.assert_allclose(gradient(net, theta, x, y, neurons), expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(initial_theta(plain, "glorot", 0.7, 1, 2), initial_theta(dense, "glorot", 0.7, 1, 2))
    s = Settings(tau_theta=3, tau_x=2, batch=2, spread=0.1, sigma_C=1e-3, mismatch=0.1, eta=1e-3, sigma_theta=1e-3)
    expected = simulate(dense, x, y, s, 30)
    history = simulate(conv, x, y, s, 30)
    np.testing.assert_allclose(history.theta, expected.theta, rtol=1e-9)
    np.testing.assert_array_equal(history.sample, expected.sample)


def test_a_channel_has_one_neuron_for_all_its_positions():
    net = ImageNet((Conv2d(1, 2, (1, 1), activation="tanh"), AvgPool2d(2), Flatten()), (1, 2, 2))
    assert net.neurons == 2
    xi = [philox.normal(8, 9, philox.NEURON, e) for e in range(8)]
    x, theta = np.array([0.1, 0.2, -0.3, 0.4]), np.array([2.0, -1.0, 0.5, 0.25])
    expected = []
    for channel in range(2):
        alpha, beta, a0, b0 = np.array([1, 1, 0, 0]) + 0.3 * np.array(xi[4 * channel : 4 * channel + 4])
        of_positions = [alpha * math.tanh(beta * (theta[channel] * v + theta[2 + channel] - a0)) + b0 for v in x]
        expected.append(sum(of_positions) / 4)
    neurons = neuron_spread(net, 0.3, seed=8, chip=9)
    np.testing.assert_allclose(forward(net, theta, x, neurons), expected, rtol=1e-13)


def test_glorot_start_by_hand():
    net = conv_net((2, 3, 4), Conv2d(2, 3, (3, 2)), n_out=2)  # 36 weights, 3 biases; 18, 2
    u = [2.0 * philox.uniform(philox.word(7, 8, philox.INIT, p)) - 1.0 for p in range(59)]
    limits = [0.7 * math.sqrt(6 / (12 + 18))] * 36 + [0] * 3 + [0.7 * math.sqrt(6 / (9 + 2))] * 18 + [0] * 2
    expected = [limit * v for limit, v in zip(limits, u, strict=True)]
    np.testing.assert_allclose(initial_theta(net, "glorot", 0.7, 7, 8), expected, rtol=1e-15)
    np.testing.assert_allclose(initial_theta(net, "uniform", 0.5, 7, 8), [0.5 * v for v in u], rtol=1e-15)


def test_many_samples_are_the_mean_over_each():
    net = NETS["two of each"]
    theta, x, y = make(net, n=230)
    outputs = [forward(net, theta, x_i) for x_i in x]
    costs = [sample_cost(net, f, y_i) for f, y_i in zip(outputs, y, strict=True)]
    assert mean_cost(net, theta, x, y) == pytest.approx(np.mean(costs), rel=1e-13)
    gradients = [gradient(net, theta, x[i : i + 1], y[i : i + 1]) for i in range(230)]
    np.testing.assert_allclose(gradient(net, theta, x, y), np.mean(gradients, axis=0), rtol=1e-12, atol=1e-14)
    right = [is_right(f, y_i) for f, y_i in zip(outputs, y, strict=True)]
    assert accuracy(net, theta, x, y) == np.mean(right)


def test_layers_that_do_not_fit():
    with pytest.raises(ValueError, match="channels receives"):
        ImageNet((Conv2d(2, 3, (3, 3)), Flatten()), (1, 5, 5))
    with pytest.raises(ValueError, match="does not fit"):
        ImageNet((Conv2d(1, 3, (6, 3), stride=2), Flatten()), (1, 5, 5))
    with pytest.raises(ValueError, match="does not fit"):
        ImageNet((MaxPool2d(6), Flatten()), (1, 5, 5))
    with pytest.raises(ValueError, match="inputs receives"):
        ImageNet((Dense(25, 3),), (1, 5, 5))
    with pytest.raises(ValueError, match="expected a vector"):
        ImageNet((Conv2d(1, 3, (3, 3)),), (1, 5, 5))
    with pytest.raises(ValueError, match="a pool receives"):
        ImageNet((Flatten(), MaxPool2d(2)), (1, 5, 5))


def test_attributes_are_read_by_name():
    """Other classes of the same names and attributes, as the package's."""

    def other(layer):
        values = {name: getattr(layer, name) for name in layer.__dataclass_fields__} | {"n_params": 0}
        return type(type(layer).__name__, (), values)()

    for net in NETS.values():
        layers = [other(layer) for layer in net.layers]
        cost = net.cost.replace("_", "-")
        network = SimpleNamespace(
            layers=layers, input_shape=list(net.input_shape), cost=cost, label_smoothing=net.label_smoothing
        )
        assert net_of(network) == net
    layers = [other(Dense(3, 4, "tanh")), other(Dense(4, 2, "linear"))]
    network = SimpleNamespace(layers=layers, input_shape=None, cost="cross-entropy", label_smoothing=0.1)
    assert net_of(network) == Net((3, 4, 2), ("tanh", "linear"), "cross_entropy", 0.1)


# --- PyTorch ---


def in_torch(torch, net, theta, x, y):
    """(outputs, mean cost, its gradient) of the network as PyTorch has it, without neuron spread."""
    functional = torch.nn.functional
    parameters = torch.tensor(theta, requires_grad=True)
    signal, p = torch.tensor(x).reshape(len(x), *net.input_shape), 0
    for layer in net.layers:
        if isinstance(layer, MaxPool2d):
            signal = functional.max_pool2d(signal, layer.size, layer.stride)
        elif isinstance(layer, AvgPool2d):
            signal = functional.avg_pool2d(signal, layer.size, layer.stride)
        elif isinstance(layer, Flatten):
            signal = signal.flatten(1)
        else:
            conv = isinstance(layer, Conv2d)
            shape = (layer.c_out, layer.c_in, *layer.kernel) if conv else (layer.n_out, layer.n_in)
            W = parameters[p : p + math.prod(shape)].reshape(shape)
            b = parameters[p + math.prod(shape) : p + math.prod(shape) + shape[0]]
            p += math.prod(shape) + shape[0]
            geometry = {"stride": layer.stride, "padding": layer.padding} if conv else {}
            signal = (functional.conv2d if conv else functional.linear)(signal, W, b, **geometry)
            signal = signal if layer.activation == "linear" else getattr(torch, layer.activation)(signal)
    assert p == len(theta)
    targets = torch.tensor(y)
    if net.cost == "mse":
        cost = functional.mse_loss(signal, targets)
    else:
        cost = functional.cross_entropy(signal, targets, label_smoothing=net.label_smoothing)
    cost.backward()
    return signal.detach().numpy(), cost.item(), parameters.grad.numpy()


@pytest.mark.parametrize("name", [*NETS, "fashion-cnn", "cifar-cnn"])
def test_pytorch_agrees(name):
    torch = pytest.importorskip("torch")
    net = NETS.get(name) or {"fashion-cnn": fashion_cnn, "cifar-cnn": cifar_cnn}[name]()
    theta, x, y = make(net)
    if net.parameters > 10_000:
        theta = initial_theta(net, "glorot", 1.0, 1, 2)
        x[0] = np.round(x[0])  # many equal values: ties
    outputs, cost, expected = in_torch(torch, net, theta, x, y)
    np.testing.assert_allclose([forward(net, theta, x_i) for x_i in x], outputs, rtol=1e-11, atol=1e-12)
    assert mean_cost(net, theta, x, y) == pytest.approx(cost, rel=1e-12)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(gradient(net, theta, x, y), expected, rtol=1e-10, atol=1e-13 * scale)


@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2), (2, 1)])
def test_pytorch_breaks_ties_alike(size, stride):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    x = rng.integers(0, 3, size=(4, 2, 7, 7)).astype(float)
    pool = MaxPool2d(size, stride)
    upstream = rng.normal(size=(4, *pool.shape_out((2, 7, 7))))
    received = torch.tensor(x, requires_grad=True)
    pooled = torch.nn.functional.max_pool2d(received, size, stride)
    pooled.backward(torch.tensor(upstream))
    np.testing.assert_array_equal(pool.apply(x), pooled.detach().numpy())
    np.testing.assert_allclose(pool.back(x, upstream), received.grad.numpy(), rtol=1e-14, atol=1e-15)


# --- learning rule ---

TINY = conv_net(
    (1, 8, 8), Conv2d(1, 2, (3, 3), activation="tanh"), MaxPool2d(2), Conv2d(2, 3, (2, 2), activation="sigmoid"),
    n_out=2, **CROSS_ENTROPY,
)  # fmt: skip


def test_sequential_codes_are_the_finite_difference():
    theta0, x, y = make(TINY)
    P = TINY.parameters
    s = Settings(perturbation="sequential", tau_theta=P, tau_x=P, eta=0.5, order="sequential")
    h = simulate(TINY, x, y, s, P, theta0)
    cost0 = mean_cost(TINY, theta0, x[:1], y[:1])
    shifted = [mean_cost(TINY, theta0 + 0.01 * unit, x[:1], y[:1]) for unit in np.eye(P)]
    forward_difference = (np.array(shifted) - cost0) / 0.01
    np.testing.assert_allclose(h.gradient[P], forward_difference, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(h.theta[P], theta0 - 0.5 * forward_difference, rtol=1e-12)


@pytest.mark.parametrize(("baseline", "order_of_error"), [("measured", 1), ("antithetic", 2)])
def test_a_walsh_period_gives_the_gradient_to_the_order_of_the_baseline(baseline, order_of_error):
    theta0, x, y = make(TINY)
    g = gradient(TINY, theta0, x, y)
    s = Settings(perturbation="walsh", baseline=baseline, batch=4, tau_theta=128, tau_x=128, order="sequential")
    errors = []
    for amplitude in (2e-4, 1e-4):  # small, or a maximum changes place
        h = simulate(TINY, x, y, replace(s, amplitude=amplitude), 128, theta0)
        errors.append(np.linalg.norm(h.gradient[128] / 128 - g) / np.linalg.norm(g))
    assert errors[0] < 0.1
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order_of_error, abs=0.05)


def test_windows_of_whole_walsh_periods_follow_gradient_descent():
    _, x, y = make(TINY, n=6)
    descent = {"batch": 3, "momentum": 0.9, "order": "sequential", "seed": 4, "init": "glorot", "init_scale": 1.0}
    theta_bp = backprop_train(TINY, x, y, 5, eta=0.3, **descent)
    s = Settings(perturbation="walsh", baseline="antithetic", amplitude=1e-5, eta=0.3 / 128, tau_theta=128, tau_x=128)
    h = simulate(TINY, x, y, replace(s, **descent), 128 * 5)
    np.testing.assert_allclose(h.theta[::128], theta_bp, atol=1e-7)
    assert np.abs(theta_bp[-1] - theta_bp[0]).max() > 0.1


def test_training_lowers_the_cost():
    """Bright upper half or bright lower half, told apart after 400 steps."""
    rng = np.random.default_rng(6)
    images = rng.uniform(0.0, 0.3, size=(20, 8, 8))
    images[:10, :4] += 0.7
    images[10:, 4:] += 0.7
    x, y = images.reshape(20, 64), np.eye(2)[[0] * 10 + [1] * 10]
    s = Settings(
        eta=0.02, batch=5, amplitude=1e-3, spread=0.1, init="glorot", init_scale=1.0, tau_theta=2, momentum=0.5
    )
    h = simulate(TINY, x, y, s, 400)
    neurons = neuron_spread(TINY, 0.1, 0, 0)
    costs = [mean_cost(TINY, theta, x, y, neurons) for theta in (h.theta[0], h.theta[-1])]
    assert costs[1] < 0.7 * costs[0]
    assert accuracy(TINY, h.theta[-1], x, y, neurons) == 1.0
