"""The oracles of words, perturbations and networks against published numbers, other libraries and each other.

Statistical tests have fixed seeds and reject a correct oracle with probability ALPHA each.
"""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.linalg import hadamard

from oracle import perturb, philox
from oracle.network import (
    Net,
    accuracy,
    central_difference_gradient,
    complex_step_gradient,
    forward,
    gradient,
    initial_theta,
    is_right,
    neuron_spread,
    sample_cost,
)

ALPHA = 1e-4
XOR = Net((2, 2, 1), ("sigmoid", "sigmoid"))
X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
Y = np.array([[0.0], [1.0], [1.0], [0.0]])
ONES = 0xFFFFFFFF
KNOWN_ANSWERS = [  # counter, key, output: the authors' own vectors for philox4x32-10
    ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ((ONES, ONES, ONES, ONES), (ONES, ONES), "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


# --- words, uniforms, normals ---


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_philox_gives_the_published_answers(counter, key, expected):
    assert " ".join(f"{w:08x}" for w in philox.philox4x32(counter, key)) == expected
    assert " ".join(f"{w:08x}" for w in philox.philox4x32_array(*counter, key)) == expected


@pytest.mark.parametrize("j0", [0, 1, 3, 6, 2**34 - 2, 2**40 + 1])
def test_words_and_normals_are_those_taken_one_by_one(j0):
    seed, chip = 0xFEDCBA9876543210, 17
    for count in (0, 1, 2, 9):
        several = philox.words(seed, chip, philox.WRITE, j0, count)
        assert several.tolist() == [philox.word(seed, chip, philox.WRITE, j0 + i) for i in range(count)]
        several = philox.normals(seed, chip, philox.WRITE, j0, count)
        single = [philox.normal(seed, chip, philox.WRITE, j0 + i) for i in range(count)]
        np.testing.assert_allclose(several, single, rtol=1e-13, atol=1e-14)


def test_word_uses_every_part_of_counter_and_key():
    seed, chip, j = (0x299F31D0 << 32) | 0xA4093822, 0x03707344, (0x85A308D3 << 34) | (0x243F6A88 << 2) | 2
    assert philox.word(seed, chip, 0x13198A2E, j) == 0x5001E420


def test_uniforms_lie_strictly_inside_the_unit_interval():
    assert philox.uniform(0) == 2.0**-33
    assert philox.uniform(2**32 - 1) == 1.0 - 2.0**-33


def test_normals_are_standard_normal_and_uncorrelated():
    xi = philox.normals(3, 5, philox.COST, 0, 200_000)
    assert stats.kstest(xi, "norm").pvalue > ALPHA
    for lag in (1, 2, 3, 4):
        z = np.sum(xi[:-lag] * xi[lag:]) / math.sqrt(len(xi) - lag)
        assert abs(z) < stats.norm.isf(ALPHA / 2)


# --- perturbations ---


@pytest.mark.parametrize(("P", "W"), [(1, 1), (9, 1), (32, 1), (33, 2), (64, 2), (65, 4), (128, 4), (129, 8), (220, 8)])
def test_random_codes_take_one_bit_each_most_significant_first(P, W):
    for k in (0, 1, 1000):
        code = perturb.random_code(P, k, 0.25, seed=2, chip=3)
        bits = "".join(f"{philox.word(2, 3, philox.PERTURBATION, k * W + i):032b}" for i in range(W))
        assert code.tolist() == [-0.25 if bit == "1" else 0.25 for bit in bits[:P]]


def test_sequential_and_gaussian_perturbations_by_hand():
    assert [perturb.sequential_code(3, k, 0.5).tolist().index(0.5) for k in range(5)] == [0, 1, 2, 0, 1]
    xi = [philox.normal(2, 3, philox.PERTURBATION, 7 * 12 + p) for p in range(9)]  # 12 normals each
    np.testing.assert_allclose(perturb.gaussian(9, 7, 0.5, seed=2, chip=3), 0.5 * np.array(xi), rtol=1e-13)


@pytest.mark.parametrize("kind", ["random", "gaussian"])
def test_stochastic_perturbations_estimate_the_gradient_without_bias(kind):
    """Linear cost C = g.theta: the mean of C_ac theta_ac/amplitude**2 is g.

    Variance of component p per draw: |g|**2 - g_p**2 for codes, |g|**2 + g_p**2 for gaussian perturbations.
    Bonferroni over the components.
    """
    P, draws, amplitude = 40, 4000, 0.01
    g = np.linspace(-1.0, 2.0, P)
    total = np.zeros(P)
    for k in range(draws):
        theta_ac = perturb.perturbation(kind, P, k, 0.0, amplitude, None, seed=11, chip=4)
        total += (g @ theta_ac) * theta_ac / amplitude**2
    sign = -1.0 if kind == "random" else 1.0
    z = (total / draws - g) / np.sqrt((g @ g + sign * g**2) / draws)
    assert np.max(np.abs(z)) < stats.norm.isf(ALPHA / 2 / P)


@pytest.mark.parametrize("P", [1, 2, 3, 4, 7, 8, 9, 31, 32, 220])
def test_walsh_codes_are_rows_of_a_hadamard_matrix(P):
    N = 2 ** math.ceil(math.log2(P + 1))
    assert perturb.walsh_period(P) == N
    codes = np.array([perturb.walsh_code(P, k, 0.5) for k in range(N)])
    np.testing.assert_array_equal(codes.T, 0.5 * hadamard(N)[1 : P + 1])
    np.testing.assert_array_equal(codes.T @ codes, 0.25 * N * np.eye(P))
    np.testing.assert_array_equal(perturb.walsh_code(P, 3 * N + 1, 0.5), codes[1])


@pytest.mark.parametrize(("P", "band"), [(1, (0.1, 0.4)), (9, (0.1, 0.4)), (50, (0.03, 0.47))])
def test_sinusoids_are_orthogonal_over_the_integration_time(P, band):
    m0, T = perturb.sinusoid_plan(P, band)
    assert band[0] - 1e-9 <= m0 / T
    assert (m0 + P - 1) / T <= band[1] + 1e-9
    theta_ac = np.array([perturb.sinusoid(P, n, 0.02, band, seed=5, chip=6) for n in range(T)])
    np.testing.assert_allclose(theta_ac.T @ theta_ac / T, 0.02**2 * np.eye(P), atol=1e-15)
    np.testing.assert_allclose(theta_ac.sum(axis=0), 0.0, atol=1e-13)
    later = perturb.sinusoid(P, 3 + 10**9 * T, 0.02, band, seed=5, chip=6)
    np.testing.assert_array_equal(later, theta_ac[3])  # exactly periodic


# --- network ---

NETS = [
    XOR,
    Net((3, 4, 5, 2), ("tanh", "relu", "linear")),
    Net((5, 4, 4, 3, 3), ("sigmoid", "tanh", "sigmoid", "linear"), "cross_entropy", 0.1),
    Net((2, 3), ("linear",), "cross_entropy"),
]


@pytest.mark.parametrize("net", NETS, ids=lambda net: "-".join(map(str, net.sizes)))
@pytest.mark.parametrize("sigma_a", [0.0, 0.2])
def test_backpropagation_agrees_with_derivatives_of_the_forward_pass(net, sigma_a):
    rng = np.random.default_rng(1)
    theta = initial_theta(net, "uniform", 1.0, seed=1, chip=2)
    x = rng.random((3, net.sizes[0]))
    y = np.eye(net.sizes[-1])[rng.integers(net.sizes[-1], size=3)]
    neurons = neuron_spread(net, sigma_a, seed=1, chip=2)
    g = gradient(net, theta, x, y, neurons)
    np.testing.assert_allclose(g, complex_step_gradient(net, theta, x, y, neurons), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(g, central_difference_gradient(net, theta, x, y, neurons), atol=1e-9)


def test_forward_pass_by_hand():
    net = Net((2, 1, 2), ("tanh", "linear"))
    theta = np.array([1.0, 2.0, 0.5, 3.0, -1.0, 0.25, 0.75])  # W, b; W, b
    hidden = math.tanh(1.0 * 0.1 + 2.0 * 0.2 + 0.5)
    np.testing.assert_allclose(forward(net, theta, [0.1, 0.2]), [3.0 * hidden + 0.25, -hidden + 0.75])


def test_neuron_spread_by_hand():
    net = Net((1, 1, 1), ("sigmoid", "linear"))
    xi = [philox.normal(8, 9, philox.NEURON, e) for e in range(8)]
    a = 2.0 * 0.5 - 1.0
    h = (1 + 0.3 * xi[0]) / (1 + math.exp(-(1 + 0.3 * xi[1]) * (a - 0.3 * xi[2]))) + 0.3 * xi[3]
    f = (1 + 0.3 * xi[4]) * (1 + 0.3 * xi[5]) * (3.0 * h + 1.0 - 0.3 * xi[6]) + 0.3 * xi[7]
    neurons = neuron_spread(net, 0.3, seed=8, chip=9)
    np.testing.assert_allclose(forward(net, np.array([2.0, -1.0, 3.0, 1.0]), [0.5], neurons), [f], rtol=1e-13)


def test_costs_by_hand_and_at_extreme_values():
    net = Net((1, 2), ("sigmoid",))
    assert sample_cost(net, np.array([0.5, 1.0]), [1.0, 0.0]) == (0.25 + 1.0) / 2
    np.testing.assert_array_equal(forward(net, np.array([1e4, -1e4, 0.0, 0.0]), [1.0]), [1.0, 0.0])
    net = Net((1, 2), ("linear",), "cross_entropy", 0.2)  # smoothed targets 0.9, 0.1
    expected = -0.9 * math.log(1 / (1 + math.e)) - 0.1 * math.log(math.e / (1 + math.e))
    assert sample_cost(net, np.array([2.0, 3.0]), [1.0, 0.0]) == pytest.approx(expected, rel=1e-14)
    assert sample_cost(net, np.array([1e4, -1e4]), [1.0, 0.0]) == pytest.approx(0.1 * 2e4)


def test_accuracy_rule():
    assert is_right([0.51], [1.0])
    assert not is_right([0.49], [1.0])
    assert is_right([0.5], [0.0])
    assert is_right([0.1, 0.3, 0.2], [0.0, 1.0, 0.0])
    assert not is_right([0.1, 0.3, 0.2], [0.0, 0.0, 1.0])
    net = Net((2, 1), ("linear",))
    assert accuracy(net, np.array([1.0, 1.0, -0.4]), X, Y) == 0.75  # OR of two bits is XOR but for one


def test_initial_parameters():
    u = [2.0 * philox.uniform(philox.word(7, 8, philox.INIT, p)) - 1.0 for p in range(9)]
    np.testing.assert_array_equal(initial_theta(XOR, "uniform", 0.5, 7, 8), [0.5 * v for v in u])
    limits = [0.5 * math.sqrt(6 / 4)] * 4 + [0.0] * 2 + [0.5 * math.sqrt(6 / 3)] * 2 + [0.0]
    expected = [limit * v for limit, v in zip(limits, u, strict=True)]
    np.testing.assert_allclose(initial_theta(XOR, "glorot", 0.5, 7, 8), expected, rtol=1e-15)
