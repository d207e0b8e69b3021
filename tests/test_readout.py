"""Read noise and converters in the loop: against the network of the equations, and in distribution."""

import numpy as np
import pytest
from scipy import stats

import analogmgd as am
from analogmgd.block import Block
from analogmgd.plan import Plan
from analogmgd.train import settle
from oracle import philox

SEED, READ, CONVERTER = 3, 12, 13
SIZES = [3, 4, 2]
X = np.random.default_rng(1).uniform(-0.2, 1.2, (1, 3))
Y = np.array([[0.2, 0.9]])
DATA = am.Dataset(X, Y, X, Y)
QUIET = am.MGD(eta=0.0, amplitude=1e-12, tau_x=1)


def quantised(x, low, high, bits):
    step = (high - low) / (2**bits - 1)
    return low + step * np.floor((np.clip(x, low, high) - low) / step + 0.5), ((x < low) | (x > high)).sum()


def normals(chip, e0, count):
    return philox.normals(SEED, chip, READ, e0, count)


def conductances(w, device):
    """Both devices of each pair."""
    end = max(abs(device.w_min or 0.0), abs(device.w_max or 0.0))
    return {
        "one-sided": (device.g_min + np.maximum(w, 0), device.g_min + np.maximum(-w, 0)),
        "symmetric": (device.g_min + (end + w) / 2, device.g_min + (end - w) / 2),
        "reference": (device.g_min + end + w, device.g_min + end + 0 * w),
    }[device.mapping]


def forward(theta, device, converters, chip, evaluation, copy):
    """Outputs of the 3-4-2 network by the equations: DAC, product, noise of every pair, ADC, sigmoid; cuts counted."""
    x, p, first, cuts = X[0], 0, 0, np.zeros(2, int)
    padded = 8
    xi = normals(chip, evaluation * 2 * padded + copy * padded, 6)
    if converters.adc_varies:
        drawn = philox.normals(SEED, chip, CONVERTER, 0, 12)
    for n_in, n_out in ((3, 4), (4, 2)):
        if converters.dac_bits is not None:
            x, cut = quantised(x, *converters.dac_range, converters.dac_bits)
            cuts[0] += cut
        W, b = theta[p : p + n_in * n_out].reshape(n_out, n_in), theta[p + n_in * n_out : p + (n_in + 1) * n_out]
        a = W @ x + b
        sigmas = [device.read_noise + device.read_noise_slope * g for g in conductances(np.c_[W, b], device)]
        variance = (sigmas[0] ** 2 + sigmas[1] ** 2) @ np.append(x, 1.0) ** 2
        a = a + np.sqrt(variance) * xi[first : first + n_out]
        if converters.adc_bits is not None:
            if converters.adc_varies:
                gain, offset = drawn[2 * first : 2 * (first + n_out)].reshape(-1, 2).T
                a = a * (1 + converters.adc_gain_spread * gain) + converters.adc_offset_spread * offset
            a, cut = quantised(a, -converters.adc_range, converters.adc_range, converters.adc_bits)
            cuts[1] += cut
        x, p, first = 1 / (1 + np.exp(-a)), p + (n_in + 1) * n_out, first + n_out
    return ((x - Y[0]) ** 2).mean(), cuts


CASES = {
    "read noise": ({"read_noise": 0.05}, {}),
    "relative read noise": ({"read_noise": 0.01, "read_noise_slope": 0.2, "g_min": 0.1}, {}),
    "symmetric pairs": (
        {"read_noise_slope": 0.2, "g_min": 0.1, "mapping": "symmetric", "w_min": -3.0, "w_max": 2.0}, {},
    ),
    "with a reference": ({"read_noise_slope": 0.2, "mapping": "reference", "w_min": -3.0, "w_max": 2.0}, {}),
    "input converters": ({}, {"dac_bits": 3}),
    "column converters": ({}, {"adc_bits": 5, "adc_range": 0.4}),
    "all, all different": (
        {"read_noise": 0.02, "read_noise_slope": 0.1},
        {"dac_bits": 4, "dac_range": (-0.1, 1.1), "adc_bits": 6, "adc_range": 1.0, "adc_gain_spread": 0.1,
         "adc_offset_spread": 0.05},
    ),
}  # fmt: skip


@pytest.mark.parametrize("chips", [1, 5])
@pytest.mark.parametrize("baseline", ["measured", "antithetic"])
@pytest.mark.parametrize("name", CASES)
def test_every_evaluation_is_that_of_the_equations(name, baseline, chips):
    """Costs of single steps, each with draws of its own for both evaluations, and what was cut is counted."""
    device, converters = am.Device(**CASES[name][0]), am.Converters(**CASES[name][1])
    chip = am.Chip(am.Network.mlp(SIZES), device=device, converters=converters)
    ids = list(range(4, 4 + chips))
    run = am.train(
        chip, DATA, QUIET.replace(baseline=baseline), steps=6, chips=ids, seed=SEED, precision="double", record=(),
        probe_chips=ids,
    )  # fmt: skip
    for lane, c in enumerate(ids):
        cuts = np.zeros(2, int)
        for n in range(6):
            minus, cut0 = forward(run.theta[lane], device, converters, c, n, 0)
            plus, cut1 = forward(run.theta[lane], device, converters, c, n, 1)
            # the inputs of the first layer stay converted, for both evaluations
            first = quantised(X[0], *converters.dac_range, converters.dac_bits)[1] if converters.dac_bits else 0
            cuts += cut0 + cut1 - [first, 0]
            change = (plus - minus) / (2 if baseline == "antithetic" else 1)
            assert run.probe["cost"][n, lane] == pytest.approx(plus, rel=1e-9)
            assert run.probe["cost_ac"][n, lane] == pytest.approx(change, rel=1e-6, abs=1e-11)
        assert run.saturated[lane, :2].tolist() == cuts.tolist()


@pytest.mark.parametrize("spread", [0.0, 0.2])
def test_true_gradient_has_what_converters_do_to_columns_and_inputs(spread):
    """Gains and offsets of columns, and the inputs as converted: against differences of the cost of the equations."""
    converters = am.Converters(dac_bits=2, adc_bits=16, adc_gain_spread=0.3, adc_offset_spread=0.4)
    chip = am.Chip(am.Network.mlp([3, 2]), converters=converters, neuron=am.Neuron(spread=spread))
    config = am.Config(chip, QUIET, {"name": DATA.name}, am.Run(chips=[0, 1, 2], seed=SEED, precision="double"))
    plan = Plan(settle(config, DATA), DATA)
    block = Block(plan, 0, 3, None)
    theta = block.chips_theta()
    block.advance(1, probe=False)  # for the sample that it is shown
    variation = block.chips_variation()
    x = quantised(X[0], 0.0, 1.0, 2)[0]

    def cost(theta, lane):
        gain, offset = variation["adc"][lane].reshape(2, 2).T
        alpha, beta, a0, b0 = variation["neuron"][lane].T if spread else (1.0, 1.0, 0.0, 0.0)
        a = (theta[:6].reshape(2, 3) @ x + theta[6:]) * gain + offset
        return ((alpha / (1 + np.exp(-beta * (a - a0))) + b0 - Y[0]) ** 2).mean()

    found = block.true_gradient(plan.shown, ideal=False)
    for lane in range(3):
        steps = 1e-5 * np.eye(8)
        wanted = [(cost(theta[lane] + d, lane) - cost(theta[lane] - d, lane)) / 2e-5 for d in steps]
        np.testing.assert_allclose(found[lane], wanted, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(block.sample_gradient(plan.shown), found, rtol=1e-12)


def test_evaluation_has_the_converters_and_not_the_noise():
    device, converters = am.Device(read_noise=0.1), am.Converters(dac_bits=2, adc_bits=4, adc_range=1.0)
    run = am.train(
        am.Chip(am.Network.mlp(SIZES), device=device, converters=converters), DATA, QUIET, steps=3, chips=3, seed=SEED,
        precision="double",
    )  # fmt: skip
    quiet = am.Device()
    for lane in range(3):
        wanted = forward(run.theta[lane], quiet, converters, lane, 0, 0)[0]
        assert run.cost[-1, lane] == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("of", ["change", "cost"])
def test_converter_of_the_cost(of):
    """Of C_ac, or of C and C0, as the parameters see it; saturation counted; 8 bits of C hide a small C_ac."""
    bits, span = 8, 0.01 if of == "change" else 1.0
    rule = am.MGD(eta=0.0, amplitude=0.05)
    runs = [
        am.train(
            am.Chip(am.Network.mlp(SIZES), converters=am.Converters(**some)), DATA, rule, steps=50, chips=1, seed=SEED,
            precision="double", record=(), probe_chips=[0],
        )
        for some in ({}, {"cost_bits": bits, "cost_of": of, "cost_range": span})
    ]  # fmt: skip
    ideal, found = (run.probe["cost_ac"][:, 0] for run in runs)
    cost = runs[0].probe["cost"][:, 0]
    if of == "change":
        wanted, cut = quantised(ideal, -span, span, bits)
        assert cut > 0
        assert runs[1].saturated[0, 2] == cut
    else:
        wanted = quantised(cost, 0.0, span, bits)[0] - quantised(cost - ideal, 0.0, span, bits)[0]
        assert runs[1].saturated[0, 2] == 0
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


def test_one_draw_a_column_is_the_sum_over_its_devices():
    """Mean, variance and Kolmogorov-Smirnov against a draw per device, 1e-3 each; 20,000 readings of a column."""
    n_in, n = 12, 20_000
    rng = np.random.default_rng(8)
    x, theta = rng.random((1, n_in)), rng.uniform(-1, 1, n_in + 1)
    data = am.Dataset(x, np.full((1, 1), -50.0), x, np.full((1, 1), -50.0))
    device = am.Device(read_noise=0.02, read_noise_slope=0.1, g_min=0.05)
    run = am.train(
        am.Chip(am.Network.mlp([n_in, 1], "linear"), device=device), data, QUIET, steps=1, chips=n, seed=5,
        theta0=theta, precision="double", record=(), probe_chips=range(n),
    )  # fmt: skip
    found = np.sqrt(run.probe["cost"][0]) - 50.0  # cost = (a + 50)^2
    g_plus, g_minus = 0.05 + np.maximum(theta, 0), 0.05 + np.maximum(-theta, 0)
    drive = np.append(x[0], 1.0)
    reads = [g + (0.02 + 0.1 * g) * rng.normal(size=(n, n_in + 1)) for g in (g_plus, g_minus)]
    each = ((reads[0] - reads[1]) * drive).sum(axis=1)
    assert stats.ks_2samp(found, each).pvalue > 1e-3
    sigma = np.sqrt((((0.02 + 0.1 * g_plus) ** 2 + (0.02 + 0.1 * g_minus) ** 2) * drive**2).sum())
    assert abs(found.mean() - (theta * drive).sum()) < 3.29 * sigma / np.sqrt(n)
    assert stats.chi2.ppf(5e-4, n - 1) < (n - 1) * found.var(ddof=1) / sigma**2 < stats.chi2.ppf(1 - 5e-4, n - 1)


def test_readings_are_independent():
    """Of neurons, evaluations and chips: correlations of 4096 pairs each within 99.9 %."""
    config = am.Config(
        am.Chip(am.Network.mlp([2, 3, 2]), device=am.Device(read_noise=1.0)), QUIET, {"name": "own"},
        am.Run(steps=1, chips=4096, seed=1),
    )  # fmt: skip
    data = am.Dataset(np.ones((1, 2)), np.ones((1, 2)), np.ones((1, 2)), np.ones((1, 2)))
    block = Block(Plan(settle(config, data), data), 0, 4096, None)
    drawn = []
    for n in range(2):
        block.advance(n + 1, probe=False)
        drawn.append(block.devices.readout.xi[:, :4096].copy())
    z = np.concatenate([np.concatenate([d[:5], d[8:13]]) for d in drawn])  # 5 neurons of both copies
    correlation = np.corrcoef(z) - np.eye(len(z))
    assert np.abs(correlation).max() < stats.norm.ppf(1 - 0.0005 / (20 * 19 / 2)) / 64
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-3
