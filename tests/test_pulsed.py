"""Devices in the loop against the oracle of devices, fed with the same random numbers."""

import dataclasses

import numpy as np
import pytest

import analogmgd as am
from analogmgd.device_law import granularity
from analogmgd.device_response import response
from analogmgd.devices import NAMES
from oracle import device as oracle
from oracle import philox

DEVICE, PULSE = 10, 11  # streams
NET = am.Network.mlp([2, 3, 1])
P, BLOCKS = NET.n_params, (NET.n_params + 3) // 4
SEED = 7
PULSED = [name for name in NAMES if am.device(name).write == "pulsed" and not am.device(name).one_sided]


def settings_of(device):
    """The oracle's settings for a device of the package."""
    fields = {f.name for f in dataclasses.fields(oracle.DeviceSettings)}
    values = {k: v for k, v in device.model_dump().items() if k in fields}
    return oracle.DeviceSettings(**values)


def populated(device, chip, n=P):
    """The devices of a chip, by the oracle."""
    rows = 4 * ((n + 3) // 4)
    xi = [philox.normals(SEED, chip, DEVICE, k * rows, n) for k in range(7)]
    return oracle.populate(settings_of(device), np.array([*xi, np.zeros(n)]))


POWER = am.Device(
    model="power", dw_min=0.02, w_min=-0.8, w_max=1.1, g_up=1.7, g_down=0.6, dw_spread=0.2, up_down=-0.2, c2c=0.4,
    w_max_spread=0.1, w_min_spread=0.2, up_down_spread=0.05,
)  # fmt: skip
CASES = {
    **{name: am.device(name, lifetime=0.0) for name in PULSED},  # leak: test_aging.py
    "power": POWER,
    "nearest": am.device("ecram", rounding="nearest", dw_min=0.01),
    "carried": am.device("reram-es", rounding="carried", max_pulses=3),
    "soft bounds": am.Device(model="soft-bounds", dw_min=0.01, w_min=-1, w_max=1, c2c=0.5, write_noise=2.0),
    "rates of either sign": am.device("reram-es", g_up=-3.0, a_up=0.05, g_down=2.0, c2c=0.4),
    "of the state": am.device("reram-es", c2c=0.6, c2c_floor=0.042, c2c_slope=0.108),
}
RULES = {
    "every step": am.MGD(eta=0.3, amplitude=0.05),
    "windows, momentum, decay": am.MGD(eta=0.1, amplitude=0.05, tau_theta=3, momentum=0.5, weight_decay=0.01),
}


class Draws:
    """The random numbers of write `number` of a chip, as kernels/pulses.py says where they stand."""

    def __init__(self, chip, number, device, n=P):
        self.chip, self.n = chip, n
        self.groups, self.pairs, self.turns = -(-n // 16), -(-n // 2), device.max_pulses // 2 + 1
        self.start = number * (self.groups + (self.turns + 1) * self.pairs)

    def words(self, turn):
        """Words a and b of every parameter."""
        block = self.start + self.groups + turn * self.pairs
        return philox.words(SEED, self.chip, PULSE, 4 * block, 4 * self.pairs).reshape(-1, 2)[: self.n].T

    def rounding(self):
        """What is added to what is asked before it is cut: 32 bits from three places."""
        first = philox.words(SEED, self.chip, PULSE, 4 * self.start, 4 * self.groups).astype("<u4").view(np.uint8)
        (_, second), (rest, _) = self.words(0), self.words(self.turns)
        bits = (first[: self.n].astype(np.int64) << 24) | ((second & 255) << 16).astype(np.int64) | (rest & 0xFFFF)
        return 1 - (bits + 1) / 2**32

    def normals(self, turn):
        """Cosines and sines of a turn."""
        a, b = self.words(turn)
        r = np.sqrt(-2 * np.log(philox.uniform(a)))
        t = 2 * np.pi * philox.uniform(b & 0xFFFFFF00)
        return r * np.cos(t), r * np.sin(t)

    def of_pulse(self, i):
        """Normals of the i-th pulse of every parameter."""
        return self.normals((i + 1) // 2)[i % 2]

    def of_noise(self):
        """Normals of the write noise."""
        return self.normals(0)[1]


@pytest.mark.parametrize("chips", [[3, 20], [3, 7, 20]])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", CASES)
def test_every_write_is_that_of_the_oracle(name, rule, chips):
    """What the rule asks, from the recorded G, becomes the pulses and steps of the equations; alone and in lanes."""
    device, rule = CASES[name], RULES[rule]
    s, steps = settings_of(device), 60
    run = am.train(
        am.Chip(NET, device=device), "parity", rule, steps=steps, chips=chips, seed=SEED, precision="double",
        record=("theta", "gradient"), record_every=1,
    )  # fmt: skip
    moved = 0
    for lane, chip in enumerate(chips):
        dev = populated(device, chip)
        theta, G = run.record["theta"][:, lane], run.record["gradient"][:, lane]
        state = theta[0] - device.write_noise * (device.dw_min or 0) * philox.normals(
            SEED, chip, DEVICE, 40 * BLOCKS, P
        )
        lowest, highest = dev.b_min - dev.reference, dev.b_max - dev.reference
        assert (state >= lowest - 1e-12).all()
        assert (state <= highest + 1e-12).all()
        velocity, carry = np.zeros(P), np.zeros(P)
        for n in range(steps):
            if (n + 1) % rule.tau_theta:
                assert np.array_equal(theta[n + 1], theta[n])
                continue
            number = n // int(rule.tau_theta)
            velocity = rule.momentum * velocity + G[n + 1] + rule.weight_decay * theta[n]
            draws = Draws(chip, number, device)
            asked, carry = oracle.pulses_asked(
                -rule.eta * velocity, oracle.granularity(s), device.rounding, draws.rounding(), carry, device.max_pulses
            )
            for i in range(int(np.abs(asked).max())):
                which = np.where(np.abs(asked) > i, np.sign(asked), 0)
                state = oracle.pulse(s, dev, state, which, draws.of_pulse(i))
            wanted = np.where(asked != 0, oracle.apparent(s, state, draws.of_noise()), theta[n])
            moved += (asked != 0).sum()
            np.testing.assert_allclose(theta[n + 1], wanted, rtol=1e-9, atol=1e-11)
    assert moved > 10


@pytest.mark.parametrize("name", CASES)
def test_what_defines_a_device_is_recorded(name):
    device = CASES[name]
    run = am.train(am.Chip(NET, device=device), "parity", am.MGD(), steps=1, chips=[5], seed=SEED, precision="double")
    dev = populated(device, 5)
    drawn = {k: run.chip_arrays[k][0] for k in run.chip_arrays}
    for ours, theirs in (("w_max", dev.b_max), ("w_min", dev.b_min), ("step_up", dev.D_up), ("step_down", dev.D_down)):
        np.testing.assert_allclose(drawn[ours], theirs, rtol=1e-12)
    np.testing.assert_allclose(drawn.get("reference", np.zeros(P)), dev.reference, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", CASES)
def test_response_without_spread(name):
    """500 pulses up and 500 down, every model against its iterated response."""
    off = {k: 0.0 for k in am.Device.model_fields if k.endswith("_spread") or k in ("c2c", "write_noise")}
    if CASES[name].reference == "symmetry":
        off["reference"] = 0.0
    device = CASES[name].replace(**off)
    s = settings_of(device)
    found = response(device, [500, -500], 1).w[:, 0]
    np.testing.assert_allclose(found, oracle.response(s, oracle.nominal(s), 500, 500)[:, 0], rtol=1e-6, atol=1e-9)
    assert np.ptp(found) > 0.04 * (device.w_max - device.w_min)


def test_closed_forms():
    """Constant: a straight line. Soft bounds: geometric. Power with exponents 1: the same with other bounds."""
    k = np.arange(101)
    flat = response(am.Device(model="constant", dw_min=0.005, w_min=-1, w_max=1), [100], 1, start=0.0).w[:, 0]
    np.testing.assert_allclose(flat, 0.005 * k, rtol=1e-12)
    soft = response(am.Device(model="soft-bounds", dw_min=0.05, w_min=-1, w_max=2), [100], 1, start=0.0).w[:, 0]
    np.testing.assert_allclose(soft, 2 * (1 - (1 - 0.05 / 2) ** k), rtol=1e-12)
    power = am.Device(model="power", dw_min=0.05, w_min=-1, w_max=2, g_up=1, g_down=1)
    np.testing.assert_allclose(
        response(power, [-100], 1, start=0.0).w[:, 0], -1 + (1 - 0.05 / 3) ** k, rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("name", ["reram-es", "ecram"])
def test_a_small_request_is_a_small_chance(name):
    """Stochastic rounding in single precision: the mean of the pulses is what was asked, however little."""
    device = am.device(name, c2c=0.0, write_noise=0.0)
    eta = 1e-3 * granularity(device)
    data = am.Dataset(np.ones((1, 2)), np.ones((1, 1)), np.ones((1, 2)), np.ones((1, 1)))
    run = am.train(
        am.Chip(NET, device=device), data, am.MGD(eta=eta, amplitude=0.05), steps=300, chips=64, seed=2,
        record=("gradient",), record_every=1,
    )  # fmt: skip
    asked = np.abs(run.record["gradient"][1:]).sum(axis=(0, 2)).sum() * 1e-3
    counted = run.pulses.sum()
    assert abs(counted - asked) < 4 * np.sqrt(asked)


def test_no_request_no_pulse():
    """Also for the words that are 1 after rounding to single precision: 2^25 of them come up here."""
    device = am.device("gokmen-vlasov", dw_min=0.1)
    data = am.Dataset(np.ones((1, 40)), np.ones((1, 1)), np.ones((1, 40)), np.ones((1, 1)))
    run = am.train(
        am.Chip(am.Network.mlp([40, 1]), device=device), data, am.MGD(eta=0.0), steps=2000, chips=512, record=()
    )
    assert 2000 * 512 * 41 > 2**25
    assert run.pulses.sum() == 0


def test_levels_and_bounds():
    """Quantised: on the grid, and as asked on average. Ideal writes within bounds: clipped and nothing else."""
    grid = am.Device(levels=17, w_min=-1, w_max=1)
    assert grid.write == "quantised"
    run = am.train(
        am.Chip(NET, device=grid), "parity", am.MGD(eta=0.3, amplitude=0.05), steps=200, chips=4, record=("theta",),
        record_every=1,
    )  # fmt: skip
    theta = run.record["theta"]
    np.testing.assert_allclose(theta * 8, np.round(theta * 8), atol=1e-5)
    assert len(np.unique(theta)) > 10
    narrow = am.Device(w_min=-0.2, w_max=0.3)
    run = am.train(
        am.Chip(NET, device=narrow), "parity", am.MGD(eta=0.3, amplitude=0.05), steps=50, chips=[1], seed=SEED,
        record=("theta", "gradient"), record_every=1, precision="double",
    )  # fmt: skip
    theta, G = run.record["theta"][:, 0], run.record["gradient"][:, 0]
    for n in range(50):
        np.testing.assert_allclose(theta[n + 1], np.clip(theta[n] - 0.3 * G[n + 1], -0.2, 0.3), rtol=1e-12, atol=1e-14)


def test_wide_bounds_change_nothing():
    """A noisy device with bounds out of reach takes the same steps as one without, though by another kernel."""
    rule = am.MGD(eta=0.1, amplitude=0.05, tau_theta=2)
    runs = [
        am.train(am.Chip(NET, device=am.Device(sigma_theta=0.01, **bounds)), "parity", rule, steps=100, chips=3)
        for bounds in ({}, {"w_min": -1e6, "w_max": 1e6})
    ]
    np.testing.assert_array_equal(runs[0].theta, runs[1].theta)


def test_scale():
    """A device in other units is the same device."""
    rule = am.MGD(eta=0.3, amplitude=0.05)
    one = am.device("reram-sb", dw_min=0.004)
    values = {"dw_min": 0.002, "w_min": one.w_min / 2, "w_max": one.w_max / 2}
    runs = [
        am.train(am.Chip(NET, device=d), "parity", rule, steps=100, chips=3, precision="double")
        for d in (one, one.replace(scale=2.0, **values))
    ]
    np.testing.assert_allclose(runs[0].theta, runs[1].theta, rtol=1e-9)
    assert np.array_equal(runs[0].pulses, runs[1].pulses)


def test_granularity_is_that_at_zero_weight():
    """With a reference the state is not 0 there."""
    device = am.Device(model="soft-bounds-reference", dw_min=0.01, w_min=-0.5, w_max=1.0, reference=0.25)
    assert granularity(device) == pytest.approx(0.5 * 0.01 * ((1 - 0.25) + (1 + 0.5)))


@pytest.mark.filterwarnings("ignore::analogmgd.errors.AnalogMGDWarning")
def test_what_is_not_written_stays_where_it_is():
    """A bound that lies between two levels: a device there is not moved by a write of its neighbours."""
    device = am.Device(write="quantised", w_min=-1.5, w_max=0.3, w_max_spread=0.25, levels=2, lifetime=1.0)
    pushed = am.Converters(error_offset_spread=0.125)
    chip = am.Chip(am.Network.mlp([1, 1], init_scale=1.0), device=device, converters=pushed, step_time=0.25)
    data = am.Dataset([[0.64]], [[0.27]], [[0.04]], [[0.02]])
    rule = am.MGD(eta=0.1, amplitude=0.25, tau_x=2, tau_theta=0.3, mode="analog", tau_hp=19.0, perturbation="walsh")
    settings = {"steps": 12, "precision": "double", "record": "theta", "record_every": 1}
    whole = am.train(chip, data, rule, chips=128, **settings)
    for c in range(128):
        alone = am.train(chip, data, rule, chips=[c], **settings)
        np.testing.assert_array_equal(alone.record["theta"][:, 0], whole.record["theta"][:, c])
