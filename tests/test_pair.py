"""Pairs of one-sided devices, errors of programming, drift and noise that depend on the conductance, in the loop."""

import numpy as np
import pytest
from pair_replay import SEED, STEP, Replay
from scipy import stats
from test_pulsed import settings_of

import analogmgd as am
from analogmgd.device_response import draw_devices
from oracle import device as oracle
from oracle import flicker, retention

ONE = am.Dataset(np.ones((1, 1)), np.ones((1, 1)), np.ones((1, 1)), np.ones((1, 1)))
NET = am.Network.mlp([2, 3, 1])
P = NET.n_params
PCM_ERRORS = am.device("pcm-programmed").programming_noise
LINEAR = {
    "model": "linear",
    "dw_min": 0.01,
    "w_min": -1.2,
    "w_max": 1.0,
    "slope_up": 0.2,
    "slope_down": 0.1,
    "c2c": 0.3,
}
FLICKER = {"flicker": 0.05, "flicker_slowest": 0.05}
TELEGRAPH = {
    "telegraph": 0.5,
    "telegraph_size": 0.02,
    "telegraph_share": 0.1,
    "telegraph_high": 0.02,
    "telegraph_low": 0.05,
}
SETTINGS = {
    "pcm": {"name": "pcm"},
    "every third write": {"name": "pcm", "refresh_every": 3, "rounding": "carried", "max_pulses": 5},
    "never": {"name": "pcm", "refresh_every": 0, "rounding": "nearest"},
    "soft bounds": {"one_sided": True, "model": "soft-bounds", "dw_min": 0.05, "w_min": 0, "w_max": 1, "dw_spread": 0.2,
                    "w_max_spread": 0.1, "write_noise": 2.0, "refresh_upper": 0.5, "refresh_lower": 0.3, "reset": 0.05},
    "pcm with all": {"name": "pcm", "drift_model": "pcm", "programming_noise": PCM_ERRORS, **FLICKER, **TELEGRAPH,
                     "write_noise": 1.0},
    "pcm, drift of one exponent": {"name": "pcm", "drift_nu": 0.05, "drift_nu_spread": 0.02, "drift_every": 4},
    "mapped": {**LINEAR, "programming_noise": (0.01, 0.05, -0.03, 0.02), "drift_model": "pcm", "drift_every": 3,
               **FLICKER},
    "mapped, symmetric": {**LINEAR, "mapping": "symmetric", "g_min": 0.1, "programming_noise": PCM_ERRORS, **TELEGRAPH,
                          "write_noise": 2.0},
    "mapped, to a reference": {**LINEAR, "mapping": "reference", "drift_model": "pcm", "full_scale": 3.0,
                               "drift_t0": 2.0},
    "with a symmetry point": {"name": "reram-array-om", "programming_noise": (0.02,), "drift_model": "pcm"},
    "written to what is asked": {"name": "pcm-programmed", "flicker_slowest": 0.3},
    "rram-milo": {"name": "rram-milo"},
    "rram-wan": {"name": "rram-wan"},
}  # fmt: skip


def device_of(name):
    settings = dict(SETTINGS[name])
    return am.device(settings.pop("name", "ideal"), **settings)


def trained(device, steps, chips=(3, 20), eta=0.3, **more):
    theta0 = np.random.default_rng(1).uniform(-0.5, 0.5, P).round(2)
    rule = am.MGD(eta=eta, amplitude=0.05, baseline="antithetic")
    more = {"record": ("theta", "gradient"), "record_every": 1, "precision": "double", **more}
    chip = am.Chip(NET, device=device, step_time=STEP / 2)
    return theta0, am.train(chip, "parity", rule, steps=steps, chips=list(chips), seed=SEED, theta0=theta0, **more)


@pytest.mark.parametrize("name", SETTINGS)
def test_every_write_is_that_of_the_oracle(name):
    """200 writes of two chips, refreshes included; what is kept at the end, too."""
    device, steps, eta = device_of(name), 200, 0.5 if "pcm" in name else 0.1
    theta0, run = trained(device, steps, eta=eta)
    for lane, chip in enumerate([3, 20]):
        theta, G = run.record["theta"][:, lane], run.record["gradient"][:, lane]
        replay = Replay(device, chip, theta0, steps)
        np.testing.assert_allclose(theta[0], replay.seen(), rtol=1e-9, atol=1e-11)
        for n in range(steps):
            replay.hold(n)
            replay.write(n, -eta * G[n + 1])
            np.testing.assert_allclose(theta[n + 1], replay.seen(n), rtol=1e-9, atol=1e-11, err_msg=f"step {n}")
        np.testing.assert_allclose(run.conductances[lane].T, replay.now, rtol=1e-9, atol=1e-11)
        if device.drifts:
            np.testing.assert_allclose(run.nu[lane].T, replay.nu, rtol=1e-9)
        if device.one_sided:
            assert np.array_equal(run.pulses[lane], replay.counted)
            assert np.array_equal(run.refreshes[lane], replay.refreshes)
            assert (replay.refreshes.sum() > 10) == (device.refresh_every > 0)
        if device.fluctuates:
            np.testing.assert_allclose(run.theta_still[lane], replay.seen(), rtol=1e-9, atol=1e-11)


def test_response_of_a_pair():
    """Up pulses raise plus, down pulses minus, each by the equations; nothing else moves."""
    device = am.device("pcm", c2c=0.0)
    found = am.device_response(device, [20, -30, 5], 4, seed=2)
    both = [draw_devices(device, 4, seed=2, side=s)[0] for s in range(2)]
    s = settings_of(device)
    for i in range(4):
        g = np.zeros((2, 1))
        of = [oracle.Devices(d.high[0, i : i + 1], np.zeros(1), d.up[0, i : i + 1], *[np.zeros(1)] * 5) for d in both]
        w = [0.0]
        for k in range(55):
            side = 1 if 20 <= k < 50 else 0
            g[side] = oracle.pulse(s, of[side], g[side], np.ones(1), np.zeros(1))
            w.append(float(g[0, 0] - g[1, 0]))
        np.testing.assert_allclose(found.w[:, i], w, rtol=1e-9, atol=1e-12)
    assert found.drawn["low"].tolist() == [0] * 4


@pytest.mark.parametrize("g", [0.004, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("seconds", [1.0, 1e3, 1e7])
def test_drift_over_seven_decades(g, seconds):
    """Conductance of 4096 idle PCM devices: its exponents are |N(mu, s)| of what was written (KS), its mean and spread
    those of the formula by numerical integration (99.9 %)."""
    device = am.device("pcm-programmed", programming_noise=None, flicker=0.0, w_max=1.0)
    chip = am.Chip(am.Network.mlp([1, 1]), device=device, step_time=seconds / 8)
    data = am.Dataset(np.ones((1, 1)), np.ones((1, 1)), np.ones((1, 1)), np.ones((1, 1)))
    run = am.train(
        chip, data, am.MGD(eta=0.0, baseline="antithetic"), steps=5, chips=4096, theta0=np.array([g, g]), record=(),
        precision="double", seed=4,
    )  # fmt: skip
    held = run.theta[:, 0] / g  # seen last at step 4, after 4 iterations of two evaluations
    mu, s = float(retention.pcm_nu_mean(g * 25)), float(retention.pcm_nu_sigma(g * 25))
    law = stats.foldnorm(mu / s, scale=s)
    factor = np.log((seconds + 20) / 20)
    assert stats.kstest(-np.log(held) / factor, law.cdf).pvalue > 1e-3
    mean, square = (law.expect(lambda nu, k=k: np.exp(-k * nu * factor)) for k in (1, 2))
    sigma = np.sqrt(square - mean**2)
    assert abs(held.mean() - mean) < 3.3 * sigma / 64
    assert held.std() == pytest.approx(sigma, rel=0.1)


def test_errors_of_programming():
    """Of 4096 devices: the standard deviation of the fit, no conductance below 0 (chi-squared, 0.1 %)."""
    chip = am.Chip(am.Network.mlp([1, 1]), device=am.device("rram-milo"))
    run = am.train(chip, ONE, am.MGD(eta=0.0), steps=1, chips=4096, theta0=np.array([0.6, 0.0]),
                   record=(), precision="double", seed=5)  # fmt: skip
    G = run.conductances * 175  # microsiemens
    for p, side, wanted in ((0, 0, 50 + 0.6 * 175), (0, 1, 50.0), (1, 0, 50.0)):
        ratio = ((G[:, p, side] - wanted) ** 2).sum() / retention.rram_milo_sigma(wanted) ** 2
        assert stats.chi2.ppf(5e-4, 4096) < ratio < stats.chi2.ppf(1 - 5e-4, 4096)
    wan = am.Chip(am.Network.mlp([1, 1]), device=am.device("rram-wan"))
    run = am.train(wan, ONE, am.MGD(eta=0.0), steps=1, chips=4096, theta0=np.array([0.6, 0.0]), record=(), seed=5)
    assert run.conductances.min() == 0
    assert abs((run.conductances[:, 0, 1] > 0).mean() - 0.5) < 3.3 * 0.5 / 64


@pytest.mark.parametrize("device", [
    am.device("pcm", drift_model="pcm", drift_t0=20.0, flicker=0.01),
    am.device("pcm-programmed", flicker=0.0),
    am.Device(**LINEAR, drift_nu=0.05, programming_noise=[0.01], write_noise=1.0),
])  # fmt: skip
def test_left_alone(device):
    """am.age: both conductances drift from what they are, with the exponents of their last write."""
    _, run = trained(device, 50, chips=range(20), record=("theta",), record_every=50)
    aged = am.age(run, [0.0, 1.0, 1e6])
    still = run.theta if run.theta_still is None else run.theta_still
    np.testing.assert_allclose(aged.theta[0], still, rtol=1e-12, atol=1e-14)
    for k, seconds in enumerate((1.0, 1e6), 1):
        g = retention.drift(run.conductances, seconds, 0.0, device.drift_t0 or STEP, run.nu)
        rest = still - (run.conductances[..., 0] - run.conductances[..., 1])
        np.testing.assert_allclose(aged.theta[k], g[..., 0] - g[..., 1] + rest, rtol=1e-9, atol=1e-12)
    assert aged.accuracy.shape == (3, 20)


def test_a_pair_with_faults():
    """Stuck devices stay, whatever is asked of them; open lines are 0; worn-out devices stop."""
    faults = am.Faults(stuck=[(0, "plus", 0.25), (1, "minus", 1.0)], dead_rows=[(0, 1)], endurance=30, stuck_low=0.1)
    device = am.device("pcm", programming_noise=PCM_ERRORS, drift_model="pcm", flicker=0.05, write_noise=1.0)
    chip = am.Chip(NET, device=device, faults=faults)
    run = am.train(chip, "parity", am.MGD(eta=0.5, amplitude=0.05), steps=150, chips=10, seed=1, precision="double",
                   record=("theta",), record_every=1)  # fmt: skip
    high_plus, high_minus = run.chip_arrays["w_max_plus"], run.chip_arrays["w_max_minus"]
    low_plus, low_minus = run.chip_arrays["w_min_plus"], run.chip_arrays["w_min_minus"]
    assert (high_plus[:, 0] == low_plus[:, 0]).all()
    assert (high_minus[:, 1] == low_minus[:, 1]).all()
    for p in (1, 3, 5):  # weights from input 1 of the first layer, [j, 1]
        assert (run.record["theta"][:, :, p] == 0).all()
    stuck = (high_plus == low_plus) & (high_minus == low_minus)
    assert (run.pulses[stuck] == 0).all()
    assert (run.pulses <= 62).all()  # a reset is only made of devices that can still be pulsed
    assert run.pulses.max() > 50


@pytest.mark.parametrize("settings", [{"drift_nu": 0.1, "drift_t0": 1.0}, {"drift_model": "pcm", "drift_t0": 1.0}])
def test_a_stuck_device_of_a_one_sided_pair_does_not_drift(settings):
    """Nor when it is left alone; the other of the pair does."""
    chip = am.Chip(NET, device=am.device("pcm", **settings), faults=am.Faults(stuck=[(0, "plus", 1.0)]))
    run = am.train(chip, "parity", am.MGD(eta=0.5), steps=60, chips=10, seed=1, precision="double")
    np.testing.assert_array_equal(run.conductances[:, 0, 0], run.chip_arrays["w_max_plus"][:, 0])
    assert (run.nu[:, 0, 0] == 0).all()
    assert (run.nu[:, 0, 1] > 0).all()
    aged = am.age(run, [1e6]).theta[0, :, 0]
    stays, drifts = run.conductances[:, 0].T
    np.testing.assert_allclose(aged, stays - retention.drift(drifts, 1e6, 0.0, 1.0, run.nu[:, 0, 1]), rtol=1e-9)


def test_fluctuations_of_stuck_devices():
    """1/f noise of the conductances at which they are stuck, which have no errors of programming."""
    device = am.Device(w_min=-1, w_max=1, g_min=0.1, programming_noise=(0.2,), **FLICKER)
    stuck = [(p, side, at) for p in range(P) for side, at in (("plus", 0.5), ("minus", 0.2))]
    chip = am.Chip(NET, device=device, faults=am.Faults(stuck=stuck), step_time=STEP / 2)
    rule = am.MGD(eta=0.0, baseline="antithetic")
    run = am.train(chip, "parity", rule, steps=20, chips=[3], seed=SEED, precision="double", record=("theta",),
                   record_every=1)  # fmt: skip
    replay = Replay(device, 3, np.zeros(P), 20)
    g = np.array([[0.6], [0.3]])
    size = flicker.relative_size(g, 1.1, device.flicker, device.flicker_power, device.flicker_most,
                                 device.flicker_slowest, device.flicker_read_time)  # fmt: skip
    for n in range(20):
        seen = np.maximum(g + g * size * replay.fluctuations[0][:, n], 0)
        np.testing.assert_allclose(run.record["theta"][n + 1, 0], seen[0] - seen[1], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(run.conductances[0], np.tile([0.6, 0.3], (P, 1)), rtol=1e-12)


@pytest.mark.parametrize(("settings", "message"), [
    ({"one_sided": True}, 'one_sided = true needs write = "pulsed", not "ideal"'),
    ({"name": "pcm", "w_min": -1}, "w_min = -1: of devices that are one_sided, must be at least 0"),
    ({"name": "pcm", "g_min": 0.1}, "not with one_sided devices, which are the pair"),
    ({"name": "pcm", "read_noise_slope": 0.1}, "read_noise_slope = 0.1: not with one_sided; use read_noise"),
    ({"name": "pcm", "refresh_upper": 1.5}, "refresh_upper = 1.5: must be at most 1"),
    ({"name": "pcm", "reset": 3.0}, "reset = 3: must be at most w_max = 2"),
    ({"reset": 0.1}, "reset = 0.1 needs one_sided"),
    ({"drift_model": "pcm"}, "full_scale = None: needed where there is no w_max"),
    ({"drift_model": "pcm", "drift_nu": 0.1, "full_scale": 1}, "drift_nu = 0.1: not with drift_model"),
    ({"drift_model": "rram"}, 'must be one of "power", "pcm"'),
    ({"full_scale": 1.0}, "full_scale = 1 needs programming_noise"),
    ({"programming_noise": [0.1] * 5, "full_scale": 1.0}, "programming_noise"),
    ({"programming_noise": ["a"], "full_scale": 1.0}, "programming_noise"),
    ({"flicker_power": 0.5}, "flicker_power = 0.5 needs flicker"),
    ({"flicker": -1.0}, "flicker = -1.0: must be at least 0"),
    ({"flicker": 0.1, "full_scale": 1, "lifetime": 1.0}, "lifetime = 1: not with devices whose conductances"),
    ({"telegraph": 0.1, "full_scale": 1}, "telegraph = 0.1 needs telegraph_high and telegraph_low, in seconds"),
    ({"telegraph": 0.1, "full_scale": 1, "telegraph_high": 1, "telegraph_low": 1}, "needs telegraph_size or"),
    ({"telegraph_size": 0.1}, "telegraph_size = 0.1 needs telegraph"),
])  # fmt: skip
def test_what_does_not_go_together(settings, message):
    settings = dict(settings)
    with pytest.raises(am.ConfigError) as error:
        am.device(settings.pop("name", "ideal"), **settings)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
