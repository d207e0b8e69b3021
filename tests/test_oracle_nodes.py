"""The oracle of perturbed nodes, and of layers in turn, against the network's own forward pass and backpropagation."""

import math

import numpy as np
import pytest

from oracle.image import ImageNet
from oracle.layers import AvgPool2d, Conv2d, Dense, Flatten, MaxPool2d
from oracle.network import Net, gradient, initial_theta, neuron_spread
from oracle.nodes import eligibility, node_counts, node_pass, parameter_counts
from oracle.rule import Settings, simulate

NETS = {
    "dense": Net((3, 4, 2), ("tanh", "linear"), "cross_entropy", 0.1),
    "pictures": ImageNet(
        (Conv2d(1, 2, (2, 2), 1, 1, "tanh"), AvgPool2d(2), Conv2d(2, 3, (2, 1), 1, 0, "sigmoid"), MaxPool2d(1),
         Flatten(), Dense(6, 2, "linear")),
        (1, 4, 4),
    ),
}  # fmt: skip
NODES = {"dense": [4, 2], "pictures": [2 * 5 * 5, 3 * 1 * 2, 2]}


def drawn(name):
    """(net, theta, x (n, n_in), y)."""
    net, rng = NETS[name], np.random.default_rng(3)
    n_in = net.sizes[0] if isinstance(net, Net) else math.prod(net.input_shape)
    x, y = rng.random((4, n_in)), np.eye(2)[rng.integers(0, 2, 4)]
    return net, initial_theta(net, "uniform", 1.0, 5, 2), x, y


@pytest.mark.parametrize("name", NETS)
def test_without_perturbation_it_is_the_forward_pass(name):
    net, theta, x, _ = drawn(name)
    neurons = neuron_spread(net, 0.2, 5, 2)
    assert node_counts(net) == NODES[name]
    output, _ = node_pass(net, theta, x[1], neurons, np.zeros(sum(NODES[name])))
    np.testing.assert_allclose(output, net.outputs(theta, x[1:2], neurons)[0], rtol=1e-13)


@pytest.mark.parametrize("name", NETS)
def test_a_perturbation_of_all_nodes_of_a_channel_is_one_of_its_bias(name):
    net, theta, x, _ = drawn(name)
    counts, parameters = node_counts(net), parameter_counts(net)
    for q, (weights, biases, _, _) in enumerate(net.weights):
        for j in range(biases):
            xi, shifted = np.zeros(sum(counts)), theta.copy()
            xi[sum(counts[:q]) : sum(counts[: q + 1])][j::biases] = 0.3  # place by place, at each one by channel
            shifted[sum(parameters[:q]) + weights + j] += 0.3
            output, signals = node_pass(net, theta, x[0], None, xi)
            expected, _ = node_pass(net, shifted, x[0], None, np.zeros(sum(counts)))
            np.testing.assert_allclose(output, expected, rtol=1e-12)
            assert eligibility(net, theta, signals, xi)[sum(parameters[:q]) + weights + j] == pytest.approx(
                0.3 * counts[q] / biases
            )


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(("baseline", "order"), [("measured", 1), ("antithetic", 2)])
def test_after_a_cycle_of_all_nodes_G_is_the_gradient(name, baseline, order):
    net, theta, x, y = drawn(name)
    nodes, errors = sum(NODES[name]), []
    g = gradient(net, theta, x[:1], y[:1])
    for amplitude in (0.02, 0.01):
        s = Settings(perturb="nodes", perturbation="sequential", amplitude=amplitude, baseline=baseline,
                     tau_x=nodes, tau_theta=nodes, order="sequential")  # fmt: skip
        errors.append(np.linalg.norm(simulate(net, x, y, s, nodes, theta).gradient[nodes] - g) / np.linalg.norm(g))
    assert errors[0] < 0.1
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("perturb", ["parameters", "nodes"])
def test_after_a_walsh_period_of_every_layer_in_turn_G_is_a_period_of_gradients(name, perturb):
    net, theta, x, y = drawn(name)
    counts = node_counts(net) if perturb == "nodes" else parameter_counts(net)
    period = 1 << sum(counts).bit_length()
    steps = period * len(counts)
    s = Settings(perturb=perturb, layers="in-turn", perturbation="walsh", amplitude=1e-3, baseline="antithetic",
                 tau_x=steps, tau_theta=steps, order="sequential")  # fmt: skip
    h = simulate(net, x, y, s, steps, theta)
    g = gradient(net, theta, x[:1], y[:1])
    assert np.linalg.norm(h.gradient[steps] / period - g) < 1e-4 * np.linalg.norm(g)
    ends = np.cumsum(parameter_counts(net))
    for n in range(2 * len(counts)):  # a layer moves at its turn and no other does
        moved = np.flatnonzero(h.theta_ac[n])
        assert set(np.searchsorted(ends, moved, side="right")) == {n % len(counts)}
