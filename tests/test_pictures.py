"""Networks of pictures with a chip in each lane, against the oracle; their devices against those of dense layers."""

import numpy as np
import pytest
from test_columns import NETS, agree, pictures

import analogmgd as am

pytestmark = pytest.mark.filterwarnings("ignore::analogmgd.errors.AnalogMGDWarning")
RULES = {
    "random": {"perturbation": "random", "tau_theta": 3, "tau_x": 2},
    "walsh, antithetic, batch": {"perturbation": "walsh", "baseline": "antithetic", "batch": 3},
    "gaussian": {"perturbation": "gaussian", "tau_theta": 30, "tau_p": 2},
    "sequential, analog": {"perturbation": "sequential", "mode": "analog", "tau_x": 9, "tau_theta": 3.0},
    "sinusoid, momentum": {"perturbation": "sinusoid", "momentum": 0.5, "tau_theta": 4},
}


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("rule", RULES)
def test_every_step_is_that_of_the_oracle(net, rule):
    agree(net, 60, rule=RULES[rule])


@pytest.mark.parametrize("baseline", ["measured", "antithetic"])
def test_all_imperfections_against_the_oracle(baseline):
    agree(
        "odd", 40, rule={"perturbation": "random", "batch": 2, "tau_theta": 9, "baseline": baseline}, mismatch=0.1,
        spread=0.1, sigma_C=1e-3, sigma_C_baseline=True, sigma_theta=1e-3,
    )  # fmt: skip


# Devices: a kernel as large as its picture is a dense layer, and one of 1 x 1 on a picture of one cell.

DENSE = am.Network([am.Dense(6, 5, "tanh"), am.Dense(5, 4, "sigmoid"), am.Dense(4, 2, "tanh")])
CONVOLVED = am.Network(
    [am.Conv2d(2, 5, (1, 3), activation="tanh"), am.Conv2d(5, 4, 1, activation="sigmoid"), am.Dense(4, 2, "tanh")],
    input_shape=(2, 1, 3),
)
RANGE = {"w_min": -2.0, "w_max": 2.0, "g_min": 0.1}
PHYSICS = {
    "pulses, drift, converters, faults, latency, errors": {
        "device": am.device("reram-es", read_noise=0.02, read_noise_slope=0.05, drift_nu=0.02, half_select=1e-3),
        "converters": am.Converters(
            dac_bits=4, adc_bits=5, adc_range=0.5, adc_gain_spread=0.05, adc_offset_spread=0.02, cost_bits=12,
            error_gain_spread=0.1, error_offset_spread=0.01, cost_flicker=1e-4,
        ),
        "faults": am.Faults(stuck=[(3, "plus", 0.5)], neurons=0.1), "delay": 2, "input_tau": 1.5,
    },
    "wires, drift, open lines": {
        "device": am.Device(drift_nu=0.05, drift_nu_spread=0.02, mapping="symmetric", **RANGE), "step_time": 1.0,
        "wires": am.Wires(row=100.0, column=50.0, sense=20.0, g_unit=1e-4, refresh=5, tile=(4, 3)),
        "faults": am.Faults(dead_rows=[(0, 1)], dead_columns=[(1, 2)]),
    },
    "pairs with 1/f noise": {"device": am.device("pcm", flicker=0.02)},
}  # fmt: skip


@pytest.mark.parametrize("name", PHYSICS)
def test_devices_are_those_of_a_dense_layer(name):
    rng = np.random.default_rng(3)
    x, y = rng.random((9, 6)), rng.random((9, 2))
    flat, square = am.Dataset(x, y, x, y, name="own"), am.Dataset(x.reshape(9, 2, 1, 3), y, x.reshape(9, 2, 1, 3), y)
    rule = am.MGD(eta=0.05, amplitude=0.05, tau_theta=4)
    settings = {"steps": 60, "chips": 3, "seed": 4, "precision": "double", "record": ("cost", "theta", "angle"),
                "record_every": 7, "eval_samples": None}  # fmt: skip
    wanted = am.train(am.Chip(DENSE, **PHYSICS[name]), flat, rule, **settings)
    run = am.train(am.Chip(CONVOLVED, **PHYSICS[name]), square, rule, **settings)
    assert np.abs(run.record["theta"][-1] - run.record["theta"][0]).max() > 1e-3
    for key in ("theta", "cost", "angle"):
        np.testing.assert_allclose(run.record[key], wanted.record[key], rtol=1e-9, atol=1e-11)
    assert run.time[-1] == wanted.time[-1]
    if "converters" in PHYSICS[name] and PHYSICS[name]["converters"].dac_bits:
        np.testing.assert_array_equal(run.saturated, wanted.saturated)
        assert run.saturated[:, 1].any()
        np.testing.assert_array_equal(run.pulses, wanted.pulses)


# What a convolution has more than a dense layer: many places.

SUMS = am.Network(
    [am.Conv2d(1, 2, 2, activation="linear"), am.AvgPool2d(3), am.Dense(2, 1, "linear")], input_shape=(1, 4, 4)
)


def test_each_place_is_read_with_noise_of_its_own():
    """Mean over 9 places of columns read with sigma sqrt(4 x 1^2 + bias): a ninth of its variance is left."""
    sigma, n = 1e-3, 40_000
    theta = np.concatenate([np.zeros(10), [1.0, -1.0, 0.0]])
    ones = np.ones((1, 1, 4, 4))
    data = am.Dataset(ones, np.full((1, 1), 10.0), ones, np.full((1, 1), 10.0))
    chip = am.Chip(SUMS, device=am.Device(read_noise=sigma))
    run = am.train(
        chip, data, am.MGD(eta=0.0, amplitude=1e-9, tau_theta=1), steps=n, chips=1, theta0=theta, precision="double",
        probe_chips=[0],
    )  # fmt: skip
    output = 10 - np.sqrt(run.probe["cost"][:, 0])
    # both devices of each pair, four inputs of 1 and the bias; then the dense layer's own: its inputs are near 0
    wanted = 2 * sigma**2 * (2 * 5 / 9 + 1)
    assert abs(output.var() / wanted - 1) < 5 * np.sqrt(2 / n)
    assert abs(output.mean()) < 5 * np.sqrt(wanted / n)


def test_converters_count_every_place_once():
    """Columns once a place, the inputs of a layer once each, margins never."""
    net = am.Network(
        [am.Conv2d(1, 2, 2, activation="linear"), am.Conv2d(2, 1, 3, padding=1, activation="linear"), am.Dense(9, 1)],
        input_shape=(1, 4, 4),
    )
    ones = np.ones((2, 1, 4, 4))
    data = am.Dataset(ones, np.zeros((2, 1)), ones, np.zeros((2, 1)))
    theta = np.concatenate([np.full(8, 1.0), np.zeros(2), np.full(18, 0.1), [0.0], np.full(9, 0.0), [0.0]])
    chip = am.Chip(net, converters=am.Converters(dac_bits=8, dac_range=(0.5, 1.0), adc_bits=8, adc_range=2.0))
    rule = am.MGD(eta=0.0, amplitude=1e-6, tau_theta=1000)
    run = am.train(chip, data, rule, steps=1, chips=1, theta0=theta, precision="double")
    # a pair of evaluations: 18 numbers of 4 at the columns are cut to 2, and again where they drive the next layer;
    # of its 9 columns each sees 2 x 4 to 2 x 9 inputs of 1 times 0.1: 0.8 to 1.8, and what is above 1 is cut
    columns = 2 * 18
    inside, edge, corner = 1.8, 1.2, 0.8
    driven = 2 * (18 + sum(n for n, value in ((1, inside), (4, edge), (4, corner)) if value > 1))
    assert run.saturated[0, 1] == columns
    assert run.saturated[0, 0] == driven


def test_energy_counts_every_place():
    net = NETS["max"]
    device = am.Device(joules_per_read=1.0, read_noise=1e-6)
    run = am.train(am.Chip(net, device=device), pictures(net), am.MGD(tau_theta=5), steps=10, chips=1)
    a, b, c = net.arrays
    reads = 25 * (a.rows + 1) * a.columns + 1 * (b.rows + 1) * b.columns + (c.rows + 1) * c.columns
    assert net.places == [25, 1, 1]
    assert run.summary()["spent"]["joules_per_chip"] == pytest.approx(reads * 20)  # a baseline for every sample


CHIPS = {
    "single": am.Chip(NETS["odd"]),
    "double": am.Chip(
        NETS["odd"], device=am.device("reram-es", read_noise=0.02, drift_nu=0.02), neuron=am.Neuron(spread=0.1),
        converters=am.Converters(adc_bits=6, sigma_C=1e-4), wires=am.Wires(row=30.0, g_unit=1e-4, refresh=9),
        faults=am.Faults(stuck_low=0.02), step_time=1.0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("precision", CHIPS)
def test_bits_of_a_chip_are_its_own(precision):
    data = pictures(NETS["odd"])
    rule = am.MGD(eta=0.05, amplitude=0.05, tau_theta=3, tau_x=2)
    settings = {"steps": 50, "seed": 3, "precision": precision, "record": ("theta", "cost", "angle", "accuracy")}
    whole = am.train(CHIPS[precision], data, rule, chips=20, record_every=10, **settings)
    for chips, extra in (([17], {}), ([19, 17, 2], {"threads": 2}), (20, {"threads": 2, "record_every": 5})):
        run = am.train(CHIPS[precision], data, rule, chips=chips, **({"record_every": 10} | settings | extra))
        lanes = [int(c) for c in run.chips]
        some = np.isin(run.step, whole.step)
        np.testing.assert_array_equal(run.theta, whole.theta[lanes])
        for name in ("theta", "cost", "angle", "accuracy"):
            np.testing.assert_array_equal(run.record[name][some], whole.record[name][:, lanes])


def test_bytes_are_what_their_numbers_are():
    net = NETS["max"]
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 256, (6, 1, 7, 7), np.uint8), np.eye(3)[[0, 1, 2, 0, 1, 2]]
    rule = am.MGD(perturbation="gaussian", eta=0.05)
    runs = [am.train(net, am.Dataset(data, y), rule, steps=40, chips=2, precision="double") for data in (x, x / 255)]
    np.testing.assert_array_equal(runs[0].theta, runs[1].theta)


def test_age():
    """Chips that idle lose what they learnt, as those of dense networks do."""
    device = am.Device(drift_nu=0.1, w_min=-2.0, w_max=2.0, g_min=0.1)
    data = pictures(NETS["max"])
    run = am.train(am.Chip(NETS["max"], device=device), data, am.MGD(eta=0.05), steps=30, chips=3, precision="double")
    aged = am.age(run, [0.0, 1e6], data)
    np.testing.assert_allclose(aged.theta[0], run.theta, rtol=1e-6)
    assert abs(aged.theta[1]).max() < 0.5 * abs(run.theta).max()


def test_which_kernels_run():
    """Of network and rule alone: few columns and few parameters, or anything that is not ideal: chips in lanes."""
    from analogmgd.config import Config, Run
    from analogmgd.plan import Plan

    data = pictures(NETS["max"])

    def kind(rule, net=NETS["max"], data=data, **chip):
        config = Config(am.Chip(net, **chip), rule, {"name": "own"}, Run(steps=1))
        return Plan(config, data).kind

    assert kind(am.MGD(tau_theta=16)) == kind(am.MGD(batch=4, tau_theta=4)) == kind(am.Backprop()) == "columns"
    assert kind(am.MGD(tau_theta=15)) == kind(am.MGD(perturbation="gaussian", tau_theta=99)) == "ensemble"
    assert kind(am.MGD(tau_theta=16), device=am.device("ecram")) == "ensemble"
    large, small = am.Network.preset("mlp-784-128-10"), am.Network.mlp([784, 9, 10])
    wide = am.Dataset(np.zeros((3, 784)), np.eye(10)[:3])
    assert kind(am.Backprop(batch=16), large, wide) == "columns"
    assert kind(am.Backprop(batch=15), large, wide) == kind(am.Backprop(batch=16), small, wide) == "ensemble"
